//! A file that this program must not touch is refused, and says what to do.

use ironmaster_store::{OpenOptions, Reader, SqliteStore, StoreError};
use rusqlite::Connection;

use crate::conformance::{Backend as _, Sqlite};

fn damaged(sql: &str) -> (Sqlite, StoreError, StoreError) {
    let mut backend = Sqlite::new();
    drop(backend.open());
    Connection::open(backend.path())
        .unwrap()
        .execute_batch(sql)
        .unwrap();
    let writing = SqliteStore::open(backend.path(), OpenOptions::default()).unwrap_err();
    let reading = Reader::open(backend.path(), OpenOptions::default()).unwrap_err();
    (backend, writing, reading)
}

#[test]
fn a_newer_schema_is_refused() {
    let (_backend, writing, reading) =
        damaged("insert into migrations values (999, '0999_future', 'x', 'y'); create table future (id);");
    for error in [writing, reading] {
        assert!(
            matches!(error, StoreError::NewerSchema { found: 999, .. }),
            "{error}"
        );
        let text = error.to_string();
        for part in ["version 999", "versions up to", "restore the backup"] {
            assert!(text.contains(part), "{text}");
        }
    }
}

#[test]
fn an_altered_schema_is_refused() {
    let (_backend, writing, reading) = damaged("update migrations set checksum = 'abc' where version = 1");
    for error in [writing, reading] {
        assert!(matches!(error, StoreError::Altered { version: 1, .. }), "{error}");
        assert!(error.to_string().contains("0001_first_tables"), "{error}");
    }
}

#[test]
fn another_file_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("theirs");
    for content in [
        "this is no database, but a text that is long enough to be taken for one".repeat(20),
        "short".into(),
    ] {
        std::fs::write(&path, &content).unwrap();
        let error = SqliteStore::open(&path, OpenOptions::default()).unwrap_err();
        assert!(matches!(error, StoreError::Foreign { .. }), "{error:?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
    }
    let error = Reader::open(directory.path().join("missing"), OpenOptions::default()).unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error}");
    let error =
        SqliteStore::open(directory.path().join("no/such/directory"), OpenOptions::default()).unwrap_err();
    assert!(error.to_string().contains("no/such/directory"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_new_database_is_its_owners_only() {
    use std::os::unix::fs::PermissionsExt as _;

    let mut backend = Sqlite::new();
    let _open = backend.open();
    for suffix in ["", "-wal", "-shm"] {
        let path = format!("{}{suffix}", backend.path().display());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{path}: {mode:o}");
    }
}

/// Two programs that start at once: one of them creates the schema, the other finds it or is told that it is in use.
#[test]
fn two_that_start_at_once_do_not_meet() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let path = directory.path().join(format!("{round}.db"));
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| SqliteStore::open(&path, OpenOptions::default())))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let opened = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(opened, 1, "all stores are still alive here");
        for result in results {
            if let Err(error) = result {
                assert!(matches!(error, StoreError::InUse { .. }), "{error}");
            }
        }
    }
}
