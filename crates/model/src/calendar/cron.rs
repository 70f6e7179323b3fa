//! Times that come again, in cron's notation.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Times that come again: minute, hour, day of the month, month and day of the week. As in cron, where both days are
/// restricted, one of them is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    /// As it was written, in five fields.
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    /// Whether the last day of the month is meant (`L`).
    last_day: bool,
    months: u64,
    weekdays: u64,
    any_day: bool,
    any_weekday: bool,
}

/// What is wrong with a cron expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CronError(String);

/// A field: what it is called, its bounds, and words for its values.
struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    words: &'static [&'static str],
    /// The number of the first word.
    first_word: u32,
}

const FIELDS: [Field; 5] = [
    Field {
        name: "minute",
        min: 0,
        max: 59,
        words: &[],
        first_word: 0,
    },
    Field {
        name: "hour",
        min: 0,
        max: 23,
        words: &[],
        first_word: 0,
    },
    Field {
        name: "day of the month",
        min: 1,
        max: 31,
        words: &[],
        first_word: 0,
    },
    Field {
        name: "month",
        min: 1,
        max: 12,
        words: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
        first_word: 1,
    },
    Field {
        name: "day of the week",
        min: 0,
        max: 7,
        words: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
        first_word: 0,
    },
];

impl Cron {
    /// Reads five fields: `*`, numbers, ranges `1-5`, steps `*/15` or `0-30/10`, lists `1,3,5`, names of months and days
    /// (`mar`, `mon-fri`), and `L` for the last day of the month. Sunday is 0 and 7. Also `@hourly`, `@daily`
    /// (`@midnight`), `@weekly`, `@monthly` and `@yearly` (`@annually`).
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let text = text.trim();
        let text = match text {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            _ => text,
        };
        let parts: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = parts[..] else {
            return Err(CronError(format!(
                "five fields are wanted (minute, hour, day of the month, month, day of the week), not {}",
                parts.len()
            )));
        };
        let last_day = day.split(',').any(|part| part.eq_ignore_ascii_case("l"));
        let days: Vec<&str> = day
            .split(',')
            .filter(|part| !part.eq_ignore_ascii_case("l"))
            .collect();
        let mut weekdays = field(&FIELDS[4], weekday)?;
        weekdays |= weekdays >> 7;
        let cron = Self {
            text: parts.join(" "),
            minutes: field(&FIELDS[0], minute)?,
            hours: field(&FIELDS[1], hour)?,
            days: if days.is_empty() {
                0
            } else {
                field(&FIELDS[2], &days.join(","))?
            },
            last_day,
            months: field(&FIELDS[3], month)?,
            weekdays,
            any_day: day.starts_with('*'),
            any_weekday: weekday.starts_with('*'),
        };
        if !cron.ever_due() {
            return Err(CronError(format!("no month it names has a day {day}")));
        }
        Ok(cron)
    }

    /// As it was written, in five fields.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is due in each hour of its days: then it goes by elapsed time where clocks are changed.
    pub(super) fn every_hour(&self) -> bool {
        self.hours == (1 << 24) - 1
    }

    pub(super) fn month(&self, month: i8) -> bool {
        has(self.months, month)
    }

    pub(super) fn day_of(&self, day: i8, is_last: bool, weekday: i8) -> bool {
        let by_day = has(self.days, day) || (self.last_day && is_last);
        let by_weekday = has(self.weekdays, weekday);
        if self.any_day || self.any_weekday {
            by_day && by_weekday
        } else {
            by_day || by_weekday
        }
    }

    /// The first time of a day from that hour and minute on.
    pub(super) fn time_from(&self, (hour, minute): (i8, i8)) -> Option<(i8, i8)> {
        (hour..24)
            .filter(|other| has(self.hours, *other))
            .find_map(|other| {
                let from = if other == hour { minute } else { 0 };
                let minute = (from..60).find(|minute| has(self.minutes, *minute))?;
                Some((other, minute))
            })
    }

    /// Whether there is such a day in any year.
    fn ever_due(&self) -> bool {
        const LENGTHS: [i8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let days_matter = self.any_weekday;
        !days_matter
            || self.last_day
            || (1..=12).any(|month: i8| {
                self.month(month)
                    && (1..=LENGTHS[usize::from(month.cast_unsigned()) - 1]).any(|day| has(self.days, day))
            })
    }
}

fn has(bits: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|value| bits >> value & 1 == 1)
}

fn field(field: &Field, text: &str) -> Result<u64, CronError> {
    let mut bits = 0;
    for part in text.split(',') {
        bits |= item(field, part)?;
    }
    Ok(bits)
}

fn item(field: &Field, text: &str) -> Result<u64, CronError> {
    let (range, step) = match text.split_once('/') {
        Some((range, step)) => {
            let step: u32 = step.parse().ok().filter(|step| *step > 0).ok_or_else(|| {
                CronError(format!("`{step}` is not a step, in the {} `{text}`", field.name))
            })?;
            (range, Some(step))
        }
        None => (text, None),
    };
    let (from, to) = if range == "*" {
        // A week's eighth day would be Sunday again.
        (field.min, if field.max == 7 { 6 } else { field.max })
    } else if let Some((from, to)) = range.split_once('-') {
        let (from, to) = (value(field, from)?, value(field, to)?);
        // `fri-sun`: Sunday is the end of the week here.
        let to = if field.max == 7 && to == 0 && from > 0 {
            7
        } else {
            to
        };
        if from > to {
            return Err(CronError(format!(
                "the {} `{range}` begins after its end",
                field.name
            )));
        }
        (from, to)
    } else {
        let from = value(field, range)?;
        (from, if step.is_some() { field.max } else { from })
    };
    let step = usize::try_from(step.unwrap_or(1)).unwrap_or(usize::MAX);
    Ok((from..=to).step_by(step).fold(0, |bits, value| bits | 1 << value))
}

fn value(field: &Field, text: &str) -> Result<u32, CronError> {
    let word = field
        .words
        .iter()
        .position(|word| text.eq_ignore_ascii_case(word));
    let number = match word {
        Some(at) => Some(at as u32 + field.first_word),
        None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        None => None,
    };
    number
        .filter(|number| (field.min..=field.max).contains(number))
        .ok_or_else(|| {
            CronError(format!(
                "`{text}` is not a {}, which is from {} to {}",
                field.name, field.min, field.max
            ))
        })
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Cron {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Cron {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}
