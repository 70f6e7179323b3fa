//! Calendars: time zones, and times that come again, as cron writes them. Pure: the rules of all time zones are compiled
//! in, and which moment it is comes in with the call.
//!
//! What happens where clocks are changed:
//!
//! - A [`Cron`] that is due in *every* hour goes by elapsed time: it is due in both passes of an hour that comes twice, and
//!   leaves out the times that there are not.
//! - Any other is due once for each of its times of day: in the first pass of an hour that comes twice, and where its time
//!   is left out by the clocks, at the moment they are put forward.

mod cron;

pub use cron::{Cron, CronError};

use jiff::{
    ToSpan as _,
    civil::{Date, DateTime},
    tz::{Offset, TimeZone, TimeZoneDatabase},
};

use crate::{Duration, Timestamp};

/// How far ahead is looked: from one 29th of February to the next there can be eight years.
const YEARS_AHEAD: i16 = 9;

/// A time zone with its rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone(TimeZone);

impl Zone {
    /// UTC.
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// The zone with this name in the IANA database (`Europe/Berlin`), none if there is no such zone.
    pub fn named(name: &str) -> Option<Self> {
        TimeZoneDatabase::bundled().get(name).ok().map(Self)
    }

    /// The names of all zones.
    pub fn names() -> Vec<String> {
        TimeZoneDatabase::bundled()
            .available()
            .map(|name| name.as_str().to_owned())
            .collect()
    }

    /// What the clocks show at `at`.
    pub fn local(&self, at: Timestamp) -> Local {
        let civil = self.civil(at);
        Local {
            weekday: civil.weekday().to_monday_zero_offset().cast_unsigned(),
            minute_of_day: u16::from(civil.hour().cast_unsigned()) * 60
                + u16::from(civil.minute().cast_unsigned()),
        }
    }

    /// Date and time that the clocks show at `at`, to the minute.
    pub fn text(&self, at: Timestamp) -> String {
        self.civil(at).strftime("%Y-%m-%d %H:%M").to_string()
    }

    fn civil(&self, at: Timestamp) -> DateTime {
        self.0.to_datetime(instant(at))
    }
}

/// What clocks show, as far as windows of time ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// 0 = Monday.
    pub weekday: u8,
    /// Minutes since midnight.
    pub minute_of_day: u16,
}

impl Cron {
    /// The first moment after `after` when this is due in `zone`; none if there is none within years.
    pub fn next(&self, zone: &Zone, after: Timestamp) -> Option<Timestamp> {
        let tz = &zone.0;
        let start = instant(after);
        let mut offset = tz.to_offset(start);
        let local = offset.to_datetime(start);
        // Due moments are whole minutes: the first one that is later.
        let mut from = floor(local).checked_add(1.minute()).ok()?;
        let horizon = local.date().year().checked_add(YEARS_AHEAD)?;
        // The clocks may have been put back a moment ago: what this second pass shows again does not count again.
        if !self.every_hour()
            && let Some(last) = tz.preceding(start.checked_add(1.nanosecond()).ok()?).next()
        {
            let at = last.timestamp();
            let before = tz.to_offset(at.checked_sub(1.nanosecond()).ok()?).to_datetime(at);
            if before > offset.to_datetime(at) {
                from = from.max(ceil(before));
            }
        }
        let mut transitions = tz.following(start);
        loop {
            let found = self.next_local(from, horizon)?;
            let Some(change) = transitions.next() else {
                return timestamp(offset, found);
            };
            let at = change.timestamp();
            let until = offset.to_datetime(at);
            if found < until {
                return timestamp(offset, found);
            }
            let next = change.offset();
            let resumes = next.to_datetime(at);
            if resumes > until {
                if found < resumes && !self.every_hour() {
                    return Some(Timestamp(at.as_microsecond()));
                }
                from = ceil(resumes);
            } else if self.every_hour() {
                from = ceil(resumes);
            } else {
                // What the first pass has shown does not count again.
                from = ceil(until);
            }
            offset = next;
        }
    }

    /// The first time from `from` on that matches, up to the end of the year `horizon`.
    fn next_local(&self, from: DateTime, horizon: i16) -> Option<DateTime> {
        let mut date = from.date();
        let mut earliest = (from.hour(), from.minute());
        while date.year() <= horizon {
            if !self.month(date.month()) {
                date = date.last_of_month().tomorrow().ok()?;
            } else if !self.day(date) {
                date = date.tomorrow().ok()?;
            } else if let Some((hour, minute)) = self.time_from(earliest) {
                return Some(date.at(hour, minute, 0, 0));
            } else {
                date = date.tomorrow().ok()?;
            }
            if date != from.date() {
                earliest = (0, 0);
            }
        }
        None
    }

    fn day(&self, date: Date) -> bool {
        let last = date.day() == date.days_in_month();
        self.day_of(date.day(), last, date.weekday().to_sunday_zero_offset())
    }
}

/// A deterministic delay from nothing up to `most`, for one firing of something with that name.
///
/// There is no chance in it: the same firing is delayed alike by every master and after every restart, and different
/// names spread over the whole time.
pub fn jitter(name: &str, at: Timestamp, most: Duration) -> Duration {
    // FNV-1a with a finish that spreads neighbouring moments.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in name.bytes().chain(at.0.to_be_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^= hash >> 29;
    // In whole seconds, as cron counts at most in minutes.
    let seconds = most.as_secs().max(0).cast_unsigned();
    Duration::from_secs((hash % (seconds + 1)).cast_signed())
}

fn floor(time: DateTime) -> DateTime {
    time.date().at(time.hour(), time.minute(), 0, 0)
}

fn ceil(time: DateTime) -> DateTime {
    let floor = floor(time);
    if floor == time {
        time
    } else {
        floor.checked_add(1.minute()).unwrap_or(floor)
    }
}

fn timestamp(offset: Offset, time: DateTime) -> Option<Timestamp> {
    offset
        .to_timestamp(time)
        .ok()
        .map(|at| Timestamp(at.as_microsecond()))
}

/// Moments that a calendar cannot show are taken for the nearest that it can.
fn instant(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(at.0).unwrap_or(if at.0 < 0 {
        jiff::Timestamp::MIN
    } else {
        jiff::Timestamp::MAX
    })
}

#[cfg(test)]
mod tests;
