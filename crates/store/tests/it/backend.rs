//! The databases that the tests run on. Each test is written once, and is a test for each of them.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use ironmaster_store::{Database, OpenOptions, PostgresAddress, Reader, Store, open};
use tokio_postgres::NoTls;

/// A database that can be opened, and lost without a word.
pub(crate) trait Backend: Send + Sync {
    fn database(&self) -> Database;

    fn open(&mut self) -> (Box<dyn Store>, Reader) {
        self.open_with(OpenOptions::default())
    }

    fn open_with(&mut self, options: OpenOptions) -> (Box<dyn Store>, Reader) {
        open(&self.database(), options).unwrap()
    }

    fn reader(&self) -> Reader {
        Reader::of(&self.database(), OpenOptions::default()).unwrap()
    }

    /// The master's machine loses power: what was not synced is gone, what was is there when it is opened next.
    fn crash(&mut self, store: Box<dyn Store>, reader: Reader);

    /// Does something behind the store's back, references unchecked; returns how many rows have changed.
    fn execute(&self, sql: &str) -> u64;

    /// Another database of the same kind.
    fn fresh(&self) -> Box<dyn Backend>;

    /// `database` for the environment of another process.
    fn word(&self) -> String;
}

/// Makes tests of functions that take a `&mut dyn Backend`: one for each database.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[test]
            fn $name() {
                super::$name(&mut crate::backend::Sqlite::new());
            })*
        }
        mod postgres {
            $(#[test]
            fn $name() {
                super::$name(&mut crate::backend::Postgres::new());
            })*
        }
    };
}
pub(crate) use on_both;

pub(crate) struct Sqlite {
    directory: tempfile::TempDir,
    generation: u32,
}

impl Sqlite {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            generation: 0,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join(format!("{}.db", self.generation))
    }
}

impl Backend for Sqlite {
    fn database(&self) -> Database {
        Database::Sqlite(self.path())
    }

    /// Goes on with a copy of the files as they are, while the store is still open.
    fn crash(&mut self, store: Box<dyn Store>, reader: Reader) {
        let old = self.path();
        self.generation += 1;
        for suffix in ["", "-wal"] {
            let name = |path: &PathBuf| {
                let mut name = path.clone().into_os_string();
                name.push(suffix);
                name
            };
            if std::fs::exists(name(&old)).unwrap() {
                std::fs::copy(name(&old), name(&self.path())).unwrap();
            }
        }
        drop((store, reader));
    }

    fn execute(&self, sql: &str) -> u64 {
        let connection = rusqlite::Connection::open(self.path()).unwrap();
        connection.pragma_update(None, "foreign_keys", false).unwrap();
        connection
            .execute(sql, [])
            .unwrap_or_else(|error| panic!("{sql}: {error}")) as u64
    }

    fn fresh(&self) -> Box<dyn Backend> {
        Box::new(Self::new())
    }

    fn word(&self) -> String {
        self.path().to_str().unwrap().to_owned()
    }
}

/// Where the tests' server is; `scripts/postgres.sh` says so.
const SERVER: &str = "IRONMASTER_TEST_POSTGRES";

/// A database of its own on the tests' server, removed when dropped.
pub(crate) struct Postgres {
    name: String,
}

impl Postgres {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "store_{}_{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        run(&server(), &format!("create database {name}")).unwrap();
        Self { name }
    }

    /// With the name of the database at its end, so that it can be told from the server's own.
    pub(crate) fn url(&self) -> String {
        let server = server();
        let (base, _) = server.rsplit_once('/').unwrap();
        format!("{base}/{}", self.name)
    }
}

fn server() -> String {
    std::env::var(SERVER).unwrap_or_else(|_| {
        panic!(
            "{SERVER} is not set: these tests need a PostgreSQL server. `cargo nextest run` starts one by itself; \
             with `cargo test`, start one before: eval \"$(scripts/postgres.sh start)\""
        )
    })
}

/// Runs a statement on a connection of its own.
pub(crate) fn run(url: &str, sql: &str) -> Result<u64, tokio_postgres::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        let connection = tokio::spawn(connection);
        let result = client.execute(sql, &[]).await;
        drop(client);
        connection.await.unwrap()?;
        result
    })
}

impl Backend for Postgres {
    fn database(&self) -> Database {
        Database::Postgres(Box::new(PostgresAddress::new(&self.url(), None).unwrap()))
    }

    /// The server lives on; it sees its connections end.
    fn crash(&mut self, store: Box<dyn Store>, reader: Reader) {
        drop((store, reader));
    }

    fn execute(&self, sql: &str) -> u64 {
        let url = format!("{}?options=-c%20session_replication_role%3Dreplica", self.url());
        run(&url, sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    fn fresh(&self) -> Box<dyn Backend> {
        Box::new(Self::new())
    }

    fn word(&self) -> String {
        self.url()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The server goes away with the tests; a database that stays until then is no failure.
        let _ = run(&server(), &format!("drop database {} with (force)", self.name));
    }
}

/// The way back from [`Backend::word`].
pub(crate) fn database_of(word: &str) -> Database {
    if word.starts_with("postgres") {
        Database::Postgres(Box::new(PostgresAddress::new(word, None).unwrap()))
    } else {
        Database::Sqlite(word.into())
    }
}
