//! Every promise that is broken in the tables is found.

use ironmaster_store::{OpenOptions, Reader, fsck};
use rusqlite::Connection;

use crate::{
    backend::{Backend, Sqlite, on_both},
    conformance::commit_one,
    history::{Commit, History},
};

fn filled(backend: &mut dyn Backend) -> Reader {
    let (mut store, reader) = backend.open();
    let mut history = History::new(5);
    // Slots are given away blindly by these histories: one build at a time keeps to the rules.
    for id in 1..10 {
        let Commit { events, counters } = history.trivial_build(3, 2);
        commit_one(&mut *store, id, &Commit { events, counters });
    }
    let queued = history.request_and_start();
    commit_one(&mut *store, 10, &queued);
    reader
}

fn a_healthy_database_has_no_findings(backend: &mut dyn Backend) {
    let reader = filled(backend);
    assert_eq!(fsck(&reader).unwrap(), []);
}

fn every_broken_promise_is_found(backend: &mut dyn Backend) {
    for (damage, place, what) in [
        (
            "update buildsets set complete_at = null, results = null where id = 3",
            "buildsets 3",
            "no request that is open",
        ),
        (
            "update buildsets set complete_at = 1, results = 0 where complete_at is null",
            "buildsets 10",
            "a request of it is not",
        ),
        (
            "update buildsets set results = null where id = 2",
            "buildsets 2",
            "not both there",
        ),
        (
            "delete from buildset_sourcestamps where buildset = 2",
            "buildsets 2",
            "no source stamp",
        ),
        (
            "update buildrequests set complete_at = null where id = 2",
            "buildrequests 2",
            "not both there",
        ),
        (
            "update buildrequests set claimed_at = null where id = 2",
            "buildrequests 2",
            "not both there",
        ),
        (
            "update builds set complete_at = started_at, results = 0 where complete_at is null",
            "buildrequests 10",
            "by a build that is not running",
        ),
        (
            "update builds set complete_at = null, results = null where id = 4",
            "builds 4",
            "its request is not claimed by it",
        ),
        (
            "update builds set complete_at = null, results = null, request = 10 where id = 4",
            "buildrequests 10",
            "two builds of it are running",
        ),
        (
            "update buildrequests set attempts = 7 where id = 3",
            "buildrequests 3",
            "number of attempts",
        ),
        (
            "update builds set request = 10 where id = 4",
            "builds 10",
            "the same attempt",
        ),
        (
            "update builds set complete_at = null, results = null, slot = (select slot from builds where id = 10) \
             where id = 4",
            "builds 10",
            "same slot",
        ),
        (
            "update builders set next_number = 1",
            "builds 1",
            "give its number again",
        ),
        (
            "update builds set config = 'gone' where id = 10",
            "builds 10",
            "configuration that is not there",
        ),
        (
            "update builds set complete_at = 1 where id = 3",
            "builds 3",
            "ended before it started",
        ),
        (
            "update steps set complete_at = null, results = null where id = 2",
            "steps 2",
            "its build is over",
        ),
        (
            "update steps set results = null where id = 2",
            "steps 2",
            "not both there",
        ),
        (
            "update steps set complete_at = null, results = null, build = 10, number = 77 where id = 2",
            "steps 19",
            "another step of its build is running",
        ),
        (
            "update logs set complete = false where id = 3",
            "logs 3",
            "its step is over",
        ),
        (
            "update logs set build = 9 where id = 3",
            "logs 3",
            "not that of its step",
        ),
        (
            "insert into effects values (2, 0, 'exec', '', '{}')",
            "effects 2",
            "not running",
        ),
        (
            "update builds set properties = '{' where id = 3",
            "builds 3",
            "no JSON",
        ),
        (
            "update buildsets set properties = 'x' where id = 3",
            "buildsets 3",
            "no JSON",
        ),
        ("update steps set urls = '' where id = 3", "steps 3", "no JSON"),
        (
            "update counters set next = 3 where name = 'builds'",
            "counters builds",
            "a row 10 already",
        ),
        (
            "delete from counters where name = 'steps'",
            "counters steps",
            "give 1 next",
        ),
        ("delete from events where seq = 30", "events 31", "a gap"),
        ("update events set at = 1 where seq = 30", "events 30", "older"),
        (
            "update events set event = '{}' where seq = 30",
            "events 30",
            "cannot be read",
        ),
        (
            "update events set version = 9 where seq = 30",
            "events 30",
            "form 9",
        ),
        ("update current set seq = seq + 5", "current", "as the newest"),
        (
            "delete from builders where id = 1",
            "builds ",
            "refers to a row of builders",
        ),
        ("update workers set info = '?'", "start-up", "column info"),
        (
            "update builds set builder = builder % 2 + 1, number = number + 100 where id = 4",
            "builds 4",
            "not that of its request",
        ),
    ] {
        let mut backend = backend.fresh();
        let reader = filled(&mut *backend);
        assert!(backend.execute(damage) > 0, "{damage}");
        let findings = fsck(&reader).unwrap();
        assert!(
            findings
                .iter()
                .any(|finding| finding.place.starts_with(place) && finding.what.contains(what)),
            "{damage}: {findings:#?}"
        );
    }
}

fn many_findings_are_counted(backend: &mut dyn Backend) {
    let (mut store, reader) = backend.open();
    let mut history = History::new(5);
    let mut all: Option<Commit> = None;
    for _ in 0..50 {
        let commit = history.trivial_build(0, 1);
        let all = all.get_or_insert_with(|| Commit {
            events: Vec::new(),
            counters: commit.counters.clone(),
        });
        all.events.extend(commit.events);
        all.counters = commit.counters;
    }
    commit_one(&mut *store, 1, &all.unwrap());
    backend.execute("update logs set complete = false");
    let findings = fsck(&reader).unwrap();
    assert_eq!(findings.len(), 21, "{findings:#?}");
    assert_eq!(
        findings.last().unwrap().to_string(),
        "error: logs: 30 more: it is unfinished, but its step is over"
    );
}

on_both! { a_healthy_database_has_no_findings every_broken_promise_is_found many_findings_are_counted }

#[test]
fn a_damaged_file_is_found() {
    let mut backend = Sqlite::new();
    drop(filled(&mut backend));
    // Without a log beside it the file is all there is.
    let path = backend.path();
    Connection::open(&path)
        .unwrap()
        .pragma_update(None, "journal_mode", "delete")
        .unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    // Towards the end, where rows are: a damaged schema cannot even be opened.
    let at = bytes.len() / 4 * 3 / 4096 * 4096;
    for byte in &mut bytes[at..at + 4096] {
        *byte ^= 0x5a;
    }
    std::fs::write(&path, bytes).unwrap();
    let reader = Reader::open(backend.path(), OpenOptions::default()).unwrap();
    let findings = fsck(&reader).unwrap();
    assert!(!findings.is_empty());
    assert!(
        findings.iter().all(|finding| finding.place == "the file"),
        "{findings:#?}"
    );
    drop(reader);
    drop(backend.open());
}
