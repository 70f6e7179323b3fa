//! Looks at the whole database for what must never be.

use ironmaster_model::{Counter, Event, event};
use rusqlite::Connection;

use super::{error::reading, load, pool::Pool};
use crate::{
    error::StoreError,
    fsck::{Finding, Severity},
};

/// Findings of one kind that are listed; the others are counted.
const LISTED_MAX: usize = 20;

/// What must never be: a query for the offenders' ids, and what is wrong with them.
struct Check {
    table: &'static str,
    offenders: &'static str,
    what: &'static str,
}

const CHECKS: &[Check] = &[
    Check {
        table: "buildsets",
        offenders: "select id from buildsets where (complete_at is null) <> (results is null)",
        what: "the time and the result of its end are not both there",
    },
    Check {
        table: "buildsets",
        offenders: "select s.id from buildsets s where s.complete_at is not null and exists (\
                    select 1 from buildrequests r where r.buildset = s.id and r.complete_at is null)",
        what: "it is complete, but a request of it is not",
    },
    Check {
        table: "buildsets",
        offenders: "select s.id from buildsets s where s.complete_at is null and not exists (\
                    select 1 from buildrequests r where r.buildset = s.id and r.complete_at is null)",
        what: "it is not complete, but has no request that is open",
    },
    Check {
        table: "buildsets",
        offenders: "select s.id from buildsets s where not exists (\
                    select 1 from buildset_sourcestamps x where x.buildset = s.id)",
        what: "it has no source stamp",
    },
    Check {
        table: "buildrequests",
        offenders: "select id from buildrequests where (complete_at is null) <> (results is null)",
        what: "the time and the result of its end are not both there",
    },
    Check {
        table: "buildrequests",
        offenders: "select id from buildrequests where (claimed_at is null) <> (claimed_build is null)",
        what: "the time and the build of its claim are not both there",
    },
    Check {
        table: "buildrequests",
        offenders: "select r.id from buildrequests r where r.complete_at is null and r.claimed_build is not null \
                    and not exists (select 1 from builds b where b.id = r.claimed_build and b.request = r.id \
                    and b.complete_at is null)",
        what: "it is claimed by a build that is not running",
    },
    Check {
        table: "buildrequests",
        offenders: "select r.id from buildrequests r where r.complete_at is null and (\
                    select count(*) from builds b where b.request = r.id and b.complete_at is null) > 1",
        what: "two builds of it are running",
    },
    Check {
        table: "buildrequests",
        offenders: "select r.id from buildrequests r where r.attempts <> (\
                    select count(*) from builds b where b.request = r.id)",
        what: "its number of attempts is not that of its builds",
    },
    Check {
        table: "builds",
        offenders: "select id from builds where (complete_at is null) <> (results is null)",
        what: "the time and the result of its end are not both there",
    },
    Check {
        table: "builds",
        offenders: "select b.id from builds b where b.complete_at is null and not exists (\
                    select 1 from buildrequests r where r.id = b.request and r.claimed_build = b.id \
                    and r.complete_at is null)",
        what: "it is running, but its request is not claimed by it",
    },
    Check {
        table: "builds",
        offenders: "select b.id from builds b join buildrequests r on r.id = b.request where r.builder <> b.builder",
        what: "its builder is not that of its request",
    },
    Check {
        table: "builds",
        offenders: "select b.id from builds b where exists (select 1 from builds o where o.request = b.request \
                    and o.attempt = b.attempt and o.id < b.id)",
        what: "another build is the same attempt at its request",
    },
    Check {
        table: "builds",
        offenders: "select b.id from builds b where b.complete_at is null and exists (select 1 from builds o \
                    where o.complete_at is null and o.worker = b.worker and o.slot = b.slot and o.id < b.id)",
        what: "another build runs in the same slot of its worker",
    },
    Check {
        table: "builds",
        offenders: "select b.id from builds b join builders x on x.id = b.builder where b.number >= x.next_number",
        what: "its builder would give its number again",
    },
    Check {
        table: "builds",
        offenders: "select b.id from builds b where b.complete_at is null and not exists (\
                    select 1 from configs c where c.digest = b.config)",
        what: "it is running under a configuration that is not there",
    },
    Check {
        table: "builds",
        offenders: "select id from builds where complete_at < started_at",
        what: "it ended before it started",
    },
    Check {
        table: "steps",
        offenders: "select id from steps where (complete_at is null) <> (results is null)",
        what: "the time and the result of its end are not both there",
    },
    Check {
        table: "steps",
        offenders: "select s.id from steps s join builds b on b.id = s.build \
                    where s.complete_at is null and b.complete_at is not null",
        what: "it is running, but its build is over",
    },
    Check {
        table: "steps",
        offenders: "select s.id from steps s where s.complete_at is null and exists (select 1 from steps o \
                    where o.build = s.build and o.complete_at is null and o.id < s.id)",
        what: "another step of its build is running too",
    },
    Check {
        table: "logs",
        offenders: "select l.id from logs l join steps s on s.id = l.step \
                    where l.complete = 0 and s.complete_at is not null",
        what: "it is unfinished, but its step is over",
    },
    Check {
        table: "logs",
        offenders: "select l.id from logs l join steps s on s.id = l.step where l.build <> s.build",
        what: "its build is not that of its step",
    },
    Check {
        table: "effects",
        offenders: "select distinct e.step from effects e where not exists (\
                    select 1 from steps s where s.id = e.step and s.complete_at is null)",
        what: "outcomes are kept of a step that is not running",
    },
    Check {
        table: "builds",
        offenders: "select id from builds where not json_valid(properties) or not json_valid(coalesce(cause, '{}'))",
        what: "a value is no JSON",
    },
    Check {
        table: "buildsets",
        offenders: "select id from buildsets where not json_valid(properties)",
        what: "a value is no JSON",
    },
    Check {
        table: "changes",
        offenders: "select id from changes where not json_valid(properties) or not json_valid(files)",
        what: "a value is no JSON",
    },
    Check {
        table: "steps",
        offenders: "select id from steps where not json_valid(urls) or not json_valid(coalesce(cause, '{}'))",
        what: "a value is no JSON",
    },
];

pub(crate) fn check(pool: &Pool) -> Result<Vec<Finding>, StoreError> {
    let connection = pool.read()?;
    let mut findings = Vec::new();
    if let Err(broken) = integrity(&connection, &mut findings) {
        // Too damaged even to be looked at.
        findings.push(error("the file".into(), describe(&broken)));
    }
    if !findings.is_empty() {
        // A damaged file gives no sensible answers.
        return Ok(findings);
    }
    references(&connection, &mut findings)?;
    for check in CHECKS {
        offenders(&connection, check, &mut findings)?;
    }
    counters(&connection, &mut findings)?;
    feed(&connection, &mut findings)?;
    if let Err(error) = load::load(&connection) {
        findings.push(Finding {
            severity: Severity::Error,
            place: "start-up".into(),
            what: describe(&error),
        });
    }
    Ok(findings)
}

fn integrity(connection: &Connection, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare("pragma integrity_check(100)")
        .map_err(reading)?;
    let mut rows = statement.query([]).map_err(reading)?;
    while let Some(row) = rows.next().map_err(reading)? {
        let line: String = row.get(0).map_err(reading)?;
        if line != "ok" {
            findings.push(Finding {
                severity: Severity::Error,
                place: "the file".into(),
                what: line,
            });
        }
    }
    Ok(())
}

fn references(connection: &Connection, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare("select \"table\", rowid, parent from pragma_foreign_key_check limit 100")
        .map_err(reading)?;
    let mut rows = statement.query([]).map_err(reading)?;
    while let Some(row) = rows.next().map_err(reading)? {
        let table: String = row.get(0).map_err(reading)?;
        let id: Option<i64> = row.get(1).map_err(reading)?;
        let parent: String = row.get(2).map_err(reading)?;
        findings.push(Finding {
            severity: Severity::Error,
            place: id.map_or(table.clone(), |id| format!("{table} {id}")),
            what: format!("it refers to a row of {parent} that is not there"),
        });
    }
    Ok(())
}

fn offenders(connection: &Connection, check: &Check, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    let mut statement = connection.prepare(check.offenders).map_err(reading)?;
    let mut rows = statement.query([]).map_err(reading)?;
    let mut found = 0;
    while let Some(row) = rows.next().map_err(reading)? {
        found += 1;
        if found <= LISTED_MAX {
            let id: i64 = row.get(0).map_err(reading)?;
            findings.push(error(format!("{} {id}", check.table), check.what));
        }
    }
    if found > LISTED_MAX {
        findings.push(error(
            check.table.into(),
            format!("{} more: {}", found - LISTED_MAX, check.what),
        ));
    }
    Ok(())
}

/// A counter that is not above all ids would give one of them again.
fn counters(connection: &Connection, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    for counter in Counter::ALL {
        let table = counter.name();
        let (max, next): (i64, i64) = connection
            .query_row(
                &format!(
                    "select coalesce((select max(id) from {table}), 0), \
                     coalesce((select next from counters where name = ?1), 1)"
                ),
                [table],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .map_err(reading)?;
        if next <= max {
            findings.push(error(
                format!("counters {table}"),
                format!("it would give {next} next, but there is a row {max} already"),
            ));
        }
    }
    Ok(())
}

/// Every event that is left must be readable, and none may be missing between them.
fn feed(connection: &Connection, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    let (newest, at): (i64, i64) = connection
        .query_row("select seq, at from current", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .map_err(reading)?;
    let mut statement = connection
        .prepare("select seq, at, version, event from events order by seq")
        .map_err(reading)?;
    let mut rows = statement.query([]).map_err(reading)?;
    let mut last: Option<(i64, i64)> = None;
    let mut found = 0;
    let mut add = |place: String, what: String| {
        found += 1;
        if found <= LISTED_MAX {
            findings.push(error(place, what));
        }
    };
    while let Some(row) = rows.next().map_err(reading)? {
        let seq: i64 = row.get(0).map_err(reading)?;
        let time: i64 = row.get(1).map_err(reading)?;
        let version: u32 = row.get(2).map_err(reading)?;
        if let Some((last_seq, last_time)) = last {
            if seq != last_seq + 1 {
                add(
                    format!("events {seq}"),
                    format!("the one before it is {last_seq}: there is a gap"),
                );
            }
            if time < last_time {
                add(
                    format!("events {seq}"),
                    "it is older than the one before it".into(),
                );
            }
        }
        last = Some((seq, time));
        if version > event::VERSION || version + 1 < event::VERSION {
            add(
                format!("events {seq}"),
                format!("its form {version} is none that this program reads"),
            );
            continue;
        }
        let text = row.get_ref(3).map_err(reading)?;
        let parsed = text
            .as_str()
            .map_err(|error| error.to_string())
            .and_then(|text| serde_json::from_str::<Event>(text).map_err(|error| error.to_string()));
        if let Err(what) = parsed {
            add(format!("events {seq}"), format!("it cannot be read: {what}"));
        }
    }
    if let Some((seq, time)) = last
        && (seq, time) != (newest, at)
    {
        add(
            "current".into(),
            format!("it names event {newest} as the newest, but that is {seq}"),
        );
    }
    Ok(())
}

fn error(place: String, what: impl Into<String>) -> Finding {
    Finding {
        severity: Severity::Error,
        place,
        what: what.into(),
    }
}

/// An error with its causes, in one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
