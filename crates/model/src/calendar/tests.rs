//! Tables of cases: plain times, clocks that are put forward and back, and what is no time.

use super::*;

fn zone(name: &str) -> Zone {
    Zone::named(name).unwrap_or_else(|| panic!("there is no zone {name}"))
}

fn at(text: &str) -> Timestamp {
    let at: jiff::Timestamp = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    Timestamp(at.as_microsecond())
}

/// The moments that follow `after`, as the clocks show them, with the offset.
fn following(cron: &str, zone_name: &str, after: &str, count: usize) -> Vec<String> {
    let zone = zone(zone_name);
    let cron = Cron::parse(cron).unwrap_or_else(|error| panic!("{cron}: {error}"));
    let mut now = at(after);
    let mut out = Vec::new();
    while out.len() < count {
        let Some(next) = cron.next(&zone, now) else { break };
        assert!(next > now, "{cron}: {next} is not after {now}");
        let zoned = instant(next).to_zoned(zone.0.clone());
        out.push(zoned.strftime("%a %F %H:%M%:z").to_string());
        now = next;
    }
    out
}

#[test]
fn plain_times() {
    for (cron, after, expected) in [
        // Of each field something, and the moment itself does not count.
        (
            "0 3 * * *",
            "2025-01-15T02:59:59Z",
            vec!["Wed 2025-01-15 03:00+00:00"],
        ),
        (
            "0 3 * * *",
            "2025-01-15T03:00:00Z",
            vec!["Thu 2025-01-16 03:00+00:00"],
        ),
        (
            "0 3 * * *",
            "2025-01-15T03:00:00.000001Z",
            vec!["Thu 2025-01-16 03:00+00:00"],
        ),
        (
            "*/20 * * * *",
            "2025-01-15T23:41:00Z",
            vec!["Thu 2025-01-16 00:00+00:00", "Thu 2025-01-16 00:20+00:00"],
        ),
        (
            "5-10/5,58 1,2 * * *",
            "2025-01-15T01:06:00Z",
            vec![
                "Wed 2025-01-15 01:10+00:00",
                "Wed 2025-01-15 01:58+00:00",
                "Wed 2025-01-15 02:05+00:00",
            ],
        ),
        (
            "10/25 0 * * *",
            "2025-01-15T01:00:00Z",
            vec![
                "Thu 2025-01-16 00:10+00:00",
                "Thu 2025-01-16 00:35+00:00",
                "Fri 2025-01-17 00:10+00:00",
            ],
        ),
        // Weekdays by number and by name; Sunday is 0 and 7.
        (
            "0 4 * * 1-5",
            "2025-01-17T05:00:00Z",
            vec!["Mon 2025-01-20 04:00+00:00"],
        ),
        (
            "0 4 * * 7",
            "2025-01-17T05:00:00Z",
            vec!["Sun 2025-01-19 04:00+00:00"],
        ),
        (
            "0 4 * * SUN",
            "2025-01-17T05:00:00Z",
            vec!["Sun 2025-01-19 04:00+00:00"],
        ),
        (
            "0 4 * * fri-sun",
            "2025-01-17T05:00:00Z",
            vec![
                "Sat 2025-01-18 04:00+00:00",
                "Sun 2025-01-19 04:00+00:00",
                "Fri 2025-01-24 04:00+00:00",
            ],
        ),
        // Both days: one is enough.
        (
            "0 0 13 * 5",
            "2025-06-01T00:00:00Z",
            vec!["Fri 2025-06-06 00:00+00:00", "Fri 2025-06-13 00:00+00:00"],
        ),
        (
            "0 0 13 * 5",
            "2025-05-10T00:00:00Z",
            vec!["Tue 2025-05-13 00:00+00:00"],
        ),
        // … but not where one is any day.
        (
            "0 0 */2 * 5",
            "2025-06-01T00:00:00Z",
            vec!["Fri 2025-06-13 00:00+00:00"],
        ),
        // Ends of months and rare days.
        (
            "0 0 31 * *",
            "2025-01-31T00:00:00Z",
            vec!["Mon 2025-03-31 00:00+00:00"],
        ),
        (
            "30 12 L * *",
            "2024-02-01T00:00:00Z",
            vec![
                "Thu 2024-02-29 12:30+00:00",
                "Sun 2024-03-31 12:30+00:00",
                "Tue 2024-04-30 12:30+00:00",
            ],
        ),
        (
            "0 0 1,L feb *",
            "2025-01-01T00:00:00Z",
            vec!["Sat 2025-02-01 00:00+00:00", "Fri 2025-02-28 00:00+00:00"],
        ),
        (
            "0 0 29 2 *",
            "2096-03-01T00:00:00Z",
            vec!["Fri 2104-02-29 00:00+00:00"],
        ),
        (
            "0 0 1 jan,Jul *",
            "2025-01-01T00:00:00Z",
            vec!["Tue 2025-07-01 00:00+00:00", "Thu 2026-01-01 00:00+00:00"],
        ),
        (
            "@weekly",
            "2025-01-15T00:00:00Z",
            vec!["Sun 2025-01-19 00:00+00:00"],
        ),
        (
            "@hourly",
            "1969-12-31T23:30:00Z",
            vec!["Thu 1970-01-01 00:00+00:00"],
        ),
    ] {
        assert_eq!(
            following(cron, "UTC", after, expected.len()),
            expected,
            "{cron} after {after}"
        );
    }
}

#[test]
fn clocks_are_put_forward() {
    for (zone, cron, after, expected) in [
        // Berlin, 30 March 2025: 01:59 is followed by 03:00. What would be left out is due at that moment, once.
        (
            "Europe/Berlin",
            "30 2 * * *",
            "2025-03-29T00:00:00Z",
            vec![
                "Sat 2025-03-29 02:30+01:00",
                "Sun 2025-03-30 03:00+02:00",
                "Mon 2025-03-31 02:30+02:00",
            ],
        ),
        (
            "Europe/Berlin",
            "0 2 * * *",
            "2025-03-30T00:00:00Z",
            vec!["Sun 2025-03-30 03:00+02:00", "Mon 2025-03-31 02:00+02:00"],
        ),
        (
            "Europe/Berlin",
            "*/15 2 * * *",
            "2025-03-30T00:00:00Z",
            vec!["Sun 2025-03-30 03:00+02:00", "Mon 2025-03-31 02:00+02:00"],
        ),
        // What is due then anyway is due once.
        (
            "Europe/Berlin",
            "0 2,3 * * *",
            "2025-03-30T00:00:00Z",
            vec!["Sun 2025-03-30 03:00+02:00", "Mon 2025-03-31 02:00+02:00"],
        ),
        // Just before and just after.
        (
            "Europe/Berlin",
            "59 1 * * *",
            "2025-03-30T00:00:00Z",
            vec!["Sun 2025-03-30 01:59+01:00"],
        ),
        (
            "Europe/Berlin",
            "0 3 * * *",
            "2025-03-30T00:00:00Z",
            vec!["Sun 2025-03-30 03:00+02:00"],
        ),
        // Every hour: by elapsed time.
        (
            "Europe/Berlin",
            "30 * * * *",
            "2025-03-30T00:00:00Z",
            vec!["Sun 2025-03-30 01:30+01:00", "Sun 2025-03-30 03:30+02:00"],
        ),
        (
            "Europe/Berlin",
            "*/30 * * * *",
            "2025-03-30T00:15:00Z",
            vec![
                "Sun 2025-03-30 01:30+01:00",
                "Sun 2025-03-30 03:00+02:00",
                "Sun 2025-03-30 03:30+02:00",
            ],
        ),
        // Midnight itself is left out; half an hour; a whole day.
        (
            "America/Santiago",
            "0 0 * * *",
            "2025-09-06T12:00:00Z",
            vec!["Sun 2025-09-07 01:00-03:00", "Mon 2025-09-08 00:00-03:00"],
        ),
        (
            "Australia/Lord_Howe",
            "15 2 * * *",
            "2025-10-04T10:00:00Z",
            vec!["Sun 2025-10-05 02:30+11:00", "Mon 2025-10-06 02:15+11:00"],
        ),
        (
            "Pacific/Apia",
            "0 12 * * *",
            "2011-12-29T20:00:00Z",
            vec![
                "Thu 2011-12-29 12:00-10:00",
                "Sat 2011-12-31 00:00+14:00",
                "Sat 2011-12-31 12:00+14:00",
            ],
        ),
        // A day that the change does not concern.
        (
            "Europe/Berlin",
            "30 2 * * 1",
            "2025-03-29T00:00:00Z",
            vec!["Mon 2025-03-31 02:30+02:00"],
        ),
    ] {
        assert_eq!(
            following(cron, zone, after, expected.len()),
            expected,
            "{cron} in {zone}"
        );
    }
}

#[test]
fn clocks_are_put_back() {
    for (zone, cron, after, expected) in [
        // Berlin, 26 October 2025: 02:59 is followed by 02:00. A time of day is due in the first pass alone.
        (
            "Europe/Berlin",
            "30 2 * * *",
            "2025-10-25T12:00:00Z",
            vec!["Sun 2025-10-26 02:30+02:00", "Mon 2025-10-27 02:30+01:00"],
        ),
        (
            "Europe/Berlin",
            "*/20 2 * * *",
            "2025-10-25T12:00:00Z",
            vec![
                "Sun 2025-10-26 02:00+02:00",
                "Sun 2025-10-26 02:20+02:00",
                "Sun 2025-10-26 02:40+02:00",
                "Mon 2025-10-27 02:00+01:00",
            ],
        ),
        (
            "Europe/Berlin",
            "0 3 * * *",
            "2025-10-25T12:00:00Z",
            vec!["Sun 2025-10-26 03:00+01:00"],
        ),
        // Asked in the second pass, also at its first moment.
        (
            "Europe/Berlin",
            "30 2 * * *",
            "2025-10-26T01:10:00Z",
            vec!["Mon 2025-10-27 02:30+01:00"],
        ),
        (
            "Europe/Berlin",
            "0,30 2,3 * * *",
            "2025-10-26T01:00:00Z",
            vec!["Sun 2025-10-26 03:00+01:00"],
        ),
        // Every hour: both passes.
        (
            "Europe/Berlin",
            "30 * * * *",
            "2025-10-26T00:00:00Z",
            vec![
                "Sun 2025-10-26 02:30+02:00",
                "Sun 2025-10-26 02:30+01:00",
                "Sun 2025-10-26 03:30+01:00",
            ],
        ),
        (
            "Europe/Berlin",
            "0 * * * *",
            "2025-10-26T00:00:00Z",
            vec!["Sun 2025-10-26 02:00+01:00", "Sun 2025-10-26 03:00+01:00"],
        ),
        // Back over midnight: the day before comes twice, the day itself begins once.
        (
            "America/Santiago",
            "0 0 * * *",
            "2025-04-05T12:00:00Z",
            vec!["Sun 2025-04-06 00:00-04:00"],
        ),
        (
            "America/Santiago",
            "30 23 * * *",
            "2025-04-05T12:00:00Z",
            vec!["Sat 2025-04-05 23:30-03:00", "Sun 2025-04-06 23:30-04:00"],
        ),
        (
            "America/New_York",
            "30 1 * * *",
            "2025-11-02T00:00:00Z",
            vec!["Sun 2025-11-02 01:30-04:00", "Mon 2025-11-03 01:30-05:00"],
        ),
        (
            "Australia/Lord_Howe",
            "45 1 * * *",
            "2025-04-05T10:00:00Z",
            vec!["Sun 2025-04-06 01:45+11:00", "Mon 2025-04-07 01:45+10:30"],
        ),
    ] {
        assert_eq!(
            following(cron, zone, after, expected.len()),
            expected,
            "{cron} in {zone}"
        );
    }
}

/// Over a year in several zones: never twice within an hour of the same day, and never a day left out.
#[test]
fn once_a_day_is_once_a_day() {
    for name in [
        "Europe/Berlin",
        "America/Santiago",
        "Australia/Lord_Howe",
        "America/New_York",
        "Asia/Tokyo",
    ] {
        for hour in 0..24 {
            let zone = zone(name);
            let cron = Cron::parse(&format!("17 {hour} * * *")).expect("a good one");
            let mut now = at("2025-01-01T12:00:00Z");
            let mut days = vec![zone.civil(now).date()];
            while days.len() < 370 {
                now = cron.next(&zone, now).expect("there is always a next day");
                days.push(zone.civil(now).date());
            }
            // The first day may already have had its time.
            for pair in days[1..].windows(2) {
                assert_eq!(
                    pair[0].tomorrow().expect("a day follows"),
                    pair[1],
                    "{name} at {hour}"
                );
            }
        }
    }
}

#[test]
fn mistakes_are_told() {
    for (text, part) in [
        ("", "not 0"),
        ("* * * *", "not 4"),
        ("* * * * * *", "not 6"),
        ("60 * * * *", "`60` is not a minute"),
        ("* 24 * * *", "`24` is not a hour"),
        ("* * 0 * *", "`0` is not a day of the month"),
        ("* * * 13 *", "`13` is not a month"),
        ("* * * * 8", "`8` is not a day of the week"),
        ("-1 * * * *", "`` is not a minute"),
        ("5-1 * * * *", "begins after its end"),
        ("*/0 * * * *", "not a step"),
        ("1,,2 * * * *", "`` is not a minute"),
        ("mon * * * *", "`mon` is not a minute"),
        ("99999999999999999999 * * * *", "is not a minute"),
        ("0 0 30 2 *", "no month it names has a day 30"),
        ("0 0 31 4,jun *", "no month it names has a day 31"),
    ] {
        let error = Cron::parse(text).expect_err(text).to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn zones_are_known_by_name() {
    assert!(Zone::named("Europe/Berlin").is_some());
    assert!(Zone::named("UTC").is_some());
    assert!(Zone::named("Europe/Bärlin").is_none());
    assert!(Zone::names().len() > 400);
    let local = zone("Asia/Kolkata").local(at("2025-01-19T20:00:00Z"));
    assert_eq!(
        local,
        Local {
            weekday: 0,
            minute_of_day: 90
        }
    );
}

#[test]
fn jitter_is_spread_and_always_the_same() {
    let most = Duration::from_secs(600);
    let delays: std::collections::BTreeSet<i64> = (0..200)
        .map(|day| jitter("nightly", Timestamp::from_secs(day * 86_400), most).as_secs())
        .collect();
    assert!(delays.iter().all(|delay| (0..=600).contains(delay)));
    assert!(delays.len() > 120, "{delays:?}");
    let at = Timestamp::from_secs(86_400);
    assert_eq!(jitter("a", at, most), jitter("a", at, most));
    assert_ne!(jitter("a", at, most), jitter("b", at, most));
    assert_eq!(jitter("a", at, Duration::ZERO), Duration::ZERO);
}

/// Far ends of time, and a text of any kind, do not panic.
#[test]
fn nothing_panics() {
    let zone = zone("Europe/Berlin");
    for text in ["* * * * *", "0 0 29 2 *", "0 0 L * 1"] {
        let cron = Cron::parse(text).expect("a good one");
        for now in [i64::MIN, -1, 0, i64::MAX - 1, i64::MAX] {
            let _ = cron.next(&zone, Timestamp(now));
        }
    }
    for text in [
        "é é é é é",
        "* * * * *\u{a0}",
        "/ / / / /",
        "1-/2 - , * *",
        "*/99999999999 * * * *",
        "L L L L L",
    ] {
        let _ = Cron::parse(text);
    }
}
