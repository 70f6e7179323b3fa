//! Looks at the whole database for what must never be.

use super::{
    load,
    read::event_text,
    session::{Dialect, Session, one},
};
use crate::{
    error::StoreError,
    fsck::{Finding, Severity},
};
use ironmaster_model::{Counter, event};

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
        offenders: "select id from steps where locks_acquired_at < started_at or locks_acquired_at > complete_at",
        what: "it had its locks before it started or after it ended",
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
                    where l.complete = false and s.complete_at is not null",
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
        table: "runs",
        offenders: "select id from runs where (complete_at is null) <> (results is null) \
                    or (complete_at is null) <> (state <> 'complete')",
        what: "the time, the result and the state of its end do not fit together",
    },
    Check {
        table: "runs",
        offenders: "select r.id from runs r where r.complete_at is not null and exists (\
                    select 1 from jobs j where j.run = r.id and j.complete_at is null)",
        what: "it is complete, but a job of it is not over",
    },
    Check {
        table: "runs",
        // Its jobs may still have to be read.
        offenders: "select r.id from runs r where r.complete_at is null and r.state <> 'defining' and not exists (\
                    select 1 from jobs j where j.run = r.id and j.complete_at is null)",
        what: "it is not complete, but has no job that is open",
    },
    Check {
        table: "jobs",
        offenders: "select id from jobs where (complete_at is null) <> (results is null) \
                    or (complete_at is null) <> (state not in ('complete', 'skipped', 'expired'))",
        what: "the time, the result and the state of its end do not fit together",
    },
    Check {
        table: "jobs",
        offenders: "select j.id from jobs j where j.complete_at is null and j.buildset is not null and exists (\
                    select 1 from buildsets s where s.id = j.buildset and s.complete_at is not null)",
        what: "its buildset is complete, but it is not over",
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

/// References between rows; SQLite knows them itself.
const REFERENCES: &[(&str, &str, &str)] = &[
    ("changes", "sourcestamp", "sourcestamps"),
    ("buildset_sourcestamps", "buildset", "buildsets"),
    ("buildset_sourcestamps", "sourcestamp", "sourcestamps"),
    ("buildset_changes", "buildset", "buildsets"),
    ("buildset_changes", "change", "changes"),
    ("buildrequests", "buildset", "buildsets"),
    ("buildrequests", "builder", "builders"),
    ("builds", "builder", "builders"),
    ("builds", "request", "buildrequests"),
    ("builds", "worker", "workers"),
    ("builds", "master", "masters"),
    ("steps", "build", "builds"),
    ("logs", "step", "steps"),
    ("runs", "pipeline", "pipelines"),
    ("jobs", "run", "runs"),
];

pub(crate) fn check(session: &mut dyn Session) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
    if session.dialect() == Dialect::Sqlite
        && let Err(broken) = integrity(session, &mut findings)
    {
        // Too damaged even to be looked at.
        findings.push(error("the file".into(), describe(&broken)));
    }
    if !findings.is_empty() {
        // A damaged file gives no sensible answers.
        return Ok(findings);
    }
    references(session, &mut findings)?;
    for check in CHECKS {
        offenders(session, check, &mut findings)?;
    }
    counters(session, &mut findings)?;
    feed(session, &mut findings)?;
    if let Err(error) = load::load(session) {
        findings.push(Finding {
            severity: Severity::Error,
            place: "start-up".into(),
            what: describe(&error),
        });
    }
    Ok(findings)
}

fn integrity(session: &mut dyn Session, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    session.each("pragma integrity_check(100)", &[], &mut |row| {
        let line = row.text(0)?;
        if line != "ok" {
            findings.push(error("the file".into(), line));
        }
        Ok(())
    })
}

fn references(session: &mut dyn Session, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    if session.dialect() == Dialect::Sqlite {
        let sql = "select \"table\", rowid, parent from pragma_foreign_key_check limit 100";
        return session.each(sql, &[], &mut |row| {
            findings.push(dangling(&row.text(0)?, row.opt_int(1)?, &row.text(2)?));
            Ok(())
        });
    }
    for (table, column, parent) in REFERENCES {
        let id = if table.starts_with("buildset_") {
            "buildset"
        } else {
            "id"
        };
        let sql = format!(
            "select t.{id} from {table} t where not exists (select 1 from {parent} p where p.id = t.{column}) limit 100"
        );
        session.each(&sql, &[], &mut |row| {
            findings.push(dangling(table, row.opt_int(0)?, parent));
            Ok(())
        })?;
    }
    Ok(())
}

fn dangling(table: &str, id: Option<i64>, parent: &str) -> Finding {
    error(
        id.map_or(table.to_owned(), |id| format!("{table} {id}")),
        format!("it refers to a row of {parent} that is not there"),
    )
}

fn offenders(
    session: &mut dyn Session,
    check: &Check,
    findings: &mut Vec<Finding>,
) -> Result<(), StoreError> {
    let mut found = 0;
    session.each(check.offenders, &[], &mut |row| {
        found += 1;
        if found <= LISTED_MAX {
            findings.push(error(format!("{} {}", check.table, row.int(0)?), check.what));
        }
        Ok(())
    })?;
    if found > LISTED_MAX {
        findings.push(error(
            check.table.into(),
            format!("{} more: {}", found - LISTED_MAX, check.what),
        ));
    }
    Ok(())
}

/// A counter that is not above all ids would give one of them again.
fn counters(session: &mut dyn Session, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    for counter in Counter::ALL {
        let table = counter.name();
        let sql = format!(
            "select coalesce((select max(id) from {table}), 0), \
             coalesce((select next from counters where name = ?1), 1)"
        );
        let (max, next) = one(session, &sql, &[table.into()], |row| {
            Ok((row.int(0)?, row.int(1)?))
        })?
        .unwrap_or_default();
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
fn feed(session: &mut dyn Session, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    let (newest, at) = one(session, "select seq, at from current", &[], |row| {
        Ok((row.int(0)?, row.int(1)?))
    })?
    .unwrap_or_default();
    let mut last: Option<(i64, i64)> = None;
    let mut found = 0;
    let mut add = |place: String, what: String| {
        found += 1;
        if found <= LISTED_MAX {
            findings.push(error(place, what));
        }
    };
    let sql = "select seq, at, version, event from events order by seq";
    session.each(sql, &[], &mut |row| {
        let (seq, time) = (row.int(0)?, row.int(1)?);
        let version = u32::try_from(row.int(2)?).unwrap_or(u32::MAX);
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
        } else if let Err(what) = event_text(&row.cell(3)?) {
            add(format!("events {seq}"), format!("it cannot be read: {what}"));
        }
        Ok(())
    })?;
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
