//! A file that this program must not touch is refused, and says what to do.

use ironmaster_store::{Database, OpenOptions, PostgresAddress, Reader, SqliteStore, StoreError, open};

use crate::{
    backend::{Backend, Sqlite, on_both},
    conformance::impatient,
};

/// What opening says of a database after some damage: for writing, and for reading.
fn damaged(backend: &mut dyn Backend, sql: &str) -> [StoreError; 2] {
    let mut backend = backend.fresh();
    drop(backend.open());
    backend.execute(sql);
    [
        open(&backend.database(), OpenOptions::default()).unwrap_err(),
        Reader::of(&backend.database(), OpenOptions::default()).unwrap_err(),
    ]
}

fn a_newer_schema_is_refused(backend: &mut dyn Backend) {
    let sql = "insert into migrations (version, name, checksum, applied_at) values (999, '0999_future', 'x', '2026-01-01')";
    for error in damaged(backend, sql) {
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

fn an_altered_schema_is_refused(backend: &mut dyn Backend) {
    for error in damaged(
        backend,
        "update migrations set checksum = 'abc' where version = 1",
    ) {
        assert!(matches!(error, StoreError::Altered { version: 1, .. }), "{error}");
        assert!(error.to_string().contains("0001_first_tables"), "{error}");
    }
}

/// Two programs that start at once: one of them creates the schema, the other finds it or is told that it is in use.
fn two_that_start_at_once_do_not_meet(backend: &mut dyn Backend) {
    let backend = backend.fresh();
    let database = backend.database();
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| open(&database, impatient())))
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

on_both! { a_newer_schema_is_refused an_altered_schema_is_refused two_that_start_at_once_do_not_meet }

#[test]
fn tables_of_another_program_are_refused_and_left_alone() {
    let postgres = crate::backend::Postgres::new();
    postgres.execute("create table migrations (id int)");
    let error = open(&postgres.database(), OpenOptions::default()).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    let error = Reader::of(&postgres.database(), OpenOptions::default()).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    postgres.execute("drop table migrations");
    let error = Reader::of(&postgres.database(), OpenOptions::default()).unwrap_err();
    assert!(
        matches!(error, StoreError::OlderSchema { found: 0, .. }),
        "{error}"
    );
    open(&postgres.database(), OpenOptions::default()).unwrap();
}

#[test]
fn a_server_that_is_not_there_is_named_without_its_password() {
    // A port that nobody listens at any more.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = format!("postgres://ci@127.0.0.1:{port}/builds");
    let address = PostgresAddress::new(&url, Some("secret")).unwrap();
    let error = open(&Database::Postgres(Box::new(address)), OpenOptions::default()).unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(&url), "{error}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
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
