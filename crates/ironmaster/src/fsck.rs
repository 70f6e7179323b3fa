//! `ironmaster fsck`: the database, the logs, and the promises that the history of events must keep.

use std::{io::IsTerminal as _, path::Path};

use ironmaster_engine::invariant::Checker;
use ironmaster_logs::LogStore;
use ironmaster_store::{Database, EventsError, OpenOptions, Reader};

use crate::{catalogue, database, failure::Failure};

/// Events read at once.
const EVENTS_AT_ONCE: usize = 1000;

pub(crate) fn run(config: &Path) -> Result<(), Failure> {
    let settings = catalogue::load(config)?.settings;
    let database = database::of(&settings)?;
    // What is not there is not made by looking at it.
    if let Database::Sqlite(path) = &database
        && !path.is_file()
    {
        return Err(Failure::Failed {
            message: format!("there is no database {database}"),
            hint: Some("is `state_dir` in [master] the directory that the master uses?".into()),
        });
    }
    let failed = |error: &dyn std::error::Error| Failure::because("cannot check", error);
    if let Database::Postgres(_) = &database {
        Reader::of(&database, OpenOptions::default()).map_err(|error| failed(&error))?;
    }
    let (_store, reader) =
        ironmaster_store::open(&database, OpenOptions::default()).map_err(|error| failed(&error))?;
    progress("database");
    let mut findings: Vec<String> = ironmaster_store::fsck(&reader)
        .map_err(|error| failed(&error))?
        .iter()
        .map(ToString::to_string)
        .collect();
    progress("events");
    findings.extend(events(&reader)?);
    progress("logs");
    findings.extend(logs(&settings.state_dir.join("logs"))?);
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("{}: no findings", settings.state_dir.display());
        return Ok(());
    }
    println!(
        "{}: {} finding{}",
        settings.state_dir.display(),
        findings.len(),
        if findings.len() == 1 { "" } else { "s" }
    );
    Err(Failure::Findings)
}

/// The invariants over the feed, as far back as it reaches.
fn events(reader: &Reader) -> Result<Vec<String>, Failure> {
    let mut checker = Checker::new();
    let mut cursor = 0;
    loop {
        let events = match reader.events_after(cursor, EVENTS_AT_ONCE) {
            Ok(events) => events,
            // The beginning was pruned; the checker bears that, and what is left is checked.
            Err(EventsError::TooOld { oldest }) if oldest > cursor + 1 => {
                cursor = oldest - 1;
                continue;
            }
            Err(error) => return Err(Failure::because("cannot read the events", &error)),
        };
        let Some(last) = events.last() else { break };
        cursor = last.seq;
        for event in &events {
            checker.observe(event);
        }
    }
    Ok(checker
        .finish(false)
        .iter()
        .map(|violation| format!("error: events: {violation}"))
        .collect())
}

fn logs(dir: &Path) -> Result<Vec<String>, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::because("cannot check the logs", error);
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let store = LogStore::open(dir, ironmaster_logs::Options::default()).map_err(|error| failed(&error))?;
    let mut findings = Vec::new();
    for key in store.keys().map_err(|error| failed(&error))? {
        let report = store.verify(key).map_err(|error| failed(&error))?;
        findings.extend(report.findings.iter().map(|finding| {
            format!(
                "error: {}: byte {}: {}",
                store.path(key).display(),
                finding.offset,
                finding.what
            )
        }));
    }
    Ok(findings)
}

/// Says on a terminal what takes its time.
fn progress(what: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("checking the {what} …");
    }
}
