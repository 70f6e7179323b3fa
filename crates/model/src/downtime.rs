//! Times in which a worker takes no new build.

use serde::{Deserialize, Serialize};

use crate::{Cron, Duration, Timestamp, Zone};

/// How many windows that touch one another are looked at as one. What lasts longer is looked at again at its end.
const MERGED: usize = 64;

/// Windows of time that come again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DowntimeDef {
    /// When they begin.
    pub begins: Cron,
    /// How long each of them lasts, as time passes, whatever clocks do meanwhile.
    pub lasts: Duration,
}

/// Where a worker stands between its windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Downtime {
    /// The next one begins then.
    From(Timestamp),
    /// It is in one, until then.
    Until(Timestamp),
}

impl Downtime {
    /// Where somebody with these windows stands at `now`; none if there are no windows to come.
    pub fn at(windows: &[DowntimeDef], zone: &Zone, now: Timestamp) -> Option<Self> {
        let mut until = now;
        for _ in 0..MERGED {
            let Some(later) = windows
                .iter()
                .filter_map(|window| window.end_of_what_covers(zone, until))
                .max()
            else {
                break;
            };
            until = later;
        }
        if until > now {
            return Some(Downtime::Until(until));
        }
        windows
            .iter()
            .filter_map(|window| window.begins.next(zone, now))
            .min()
            .map(Downtime::From)
    }

    /// When it changes.
    pub fn changes_at(self) -> Timestamp {
        match self {
            Downtime::From(at) | Downtime::Until(at) => at,
        }
    }
}

impl DowntimeDef {
    /// The end of a window that has begun by `at` and is not over then.
    fn end_of_what_covers(&self, zone: &Zone, at: Timestamp) -> Option<Timestamp> {
        let begin = self
            .begins
            .next(zone, Timestamp(at.0.saturating_sub(self.lasts.0)))?;
        (begin <= at).then(|| begin + self.lasts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(begins: &str, hours: i64) -> DowntimeDef {
        DowntimeDef {
            begins: Cron::parse(begins).expect("a good one"),
            lasts: Duration::from_secs(hours * 3600),
        }
    }

    /// Hours after midnight (UTC) of the 1st of January 1970, a Thursday.
    fn hour(hour: i64) -> Timestamp {
        Timestamp::from_secs(hour * 3600)
    }

    #[test]
    fn windows_begin_end_and_touch() {
        let zone = Zone::utc();
        let night = [window("0 22 * * *", 8)];
        let at = |windows: &[DowntimeDef], now| Downtime::at(windows, &zone, hour(now));
        assert_eq!(at(&night, 12), Some(Downtime::From(hour(22))));
        assert_eq!(at(&night, 22), Some(Downtime::Until(hour(30))));
        assert_eq!(at(&night, 29), Some(Downtime::Until(hour(30))));
        assert_eq!(at(&night, 30), Some(Downtime::From(hour(46))));
        // One that begins before, or when, another ends makes it longer.
        let both = [window("0 22 * * *", 8), window("0 6 * * *", 1)];
        assert_eq!(at(&both, 23), Some(Downtime::Until(hour(31))));
        assert_eq!(at(&both, 31), Some(Downtime::From(hour(46))));
        assert_eq!(at(&[], 12), None);
        // No end is no reason to look for one for ever.
        let always = [window("0 * * * *", 2)];
        assert!(matches!(at(&always, 12), Some(Downtime::Until(until)) if until > hour(12)));
    }

    #[test]
    fn a_night_lasts_as_long_as_it_says_when_clocks_change() {
        let zone = Zone::named("Europe/Berlin").expect("there is one");
        // 2026-03-28 22:00 in Berlin is 21:00 UTC; that night has one hour less on the clocks.
        let begin = Timestamp::from_secs(1_774_731_600);
        let night = [window("0 22 * * *", 8)];
        let end = begin + Duration::from_secs(8 * 3600);
        assert_eq!(Downtime::at(&night, &zone, begin), Some(Downtime::Until(end)));
        assert_eq!(
            Downtime::at(&night, &zone, end),
            Some(Downtime::From(begin + Duration::from_secs(23 * 3600)))
        );
    }
}
