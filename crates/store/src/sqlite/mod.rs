//! SQLite: one writing connection, a few reading ones.
//!
//! The writing connection uses a write-ahead log with `synchronous=FULL`: a commit is one sync of that log, and what is
//! acknowledged survives loss of power. Readers never wait for it, nor it for them.

mod error;
mod execute;
mod migrate;
mod open;
#[cfg(test)]
mod plans;
mod pool;
mod session;

use std::{collections::BTreeMap, fs::File, path::Path, time::Duration};

use ironmaster_model::{Counter, Snapshot, Timestamp, event};
use rusqlite::{Connection, params};

use self::{
    error::{reading, writing},
    execute::Statements,
    open::{connect, create_private, lock, presize_log, rewrite_log, set_max_pages, sync_directory},
};
use crate::{
    effect::effect,
    error::{CommitError, StoreError},
    reader::Reader,
    sql::load,
    store::{Batch, Position, Store},
};

pub(crate) use self::{pool::Pool, session::Through};

/// Events that one call of [`Store::prune_events`] removes at most.
const PRUNE_MAX: u64 = 2000;
/// What [`Store::probe`] writes: enough to need new space, and not only a reused corner of the log.
const PROBE_BYTES: i64 = 256 * 1024;

/// How a database is opened.
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    /// Connections for readers; a reader waits while all are busy.
    pub readers: usize,
    /// How long to wait for another program that has locked the file (a backup, a shell) before giving up.
    pub busy_timeout: Duration,
    /// How long to wait for the writer's lock of a PostgreSQL database: the server takes up to ten seconds to find out that the
    /// machine of a master is gone.
    pub lock_timeout: Duration,
    /// Largest size of the file in pages of 4 KiB; none = as large as the disk allows. For tests of a full disk.
    pub max_pages: Option<u32>,
    /// Pages in the write-ahead log from which on a commit also copies them into the database; none = SQLite's own
    /// 1000. For tests that want to see that happen.
    pub log_pages: Option<u32>,
    /// Name of the registered file system of SQLite's to use; none = the system's. For tests of failing disks.
    pub vfs: Option<&'static str>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            readers: 4,
            busy_timeout: Duration::from_mins(1),
            lock_timeout: Duration::from_secs(12),
            max_pages: None,
            log_pages: None,
            vfs: None,
        }
    }
}

/// The writing end of a SQLite database. There is at most one per file, over all processes.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    statements: Statements,
    /// Which opening of the database this is; batch ids count within it.
    session: i64,
    position: Position,
    /// Counters as in the table.
    counters: BTreeMap<Counter, u64>,
    /// Text of the event being written; kept for its memory.
    text: Vec<u8>,
    /// Held as long as the store lives.
    _lock: File,
}

impl SqliteStore {
    /// Opens the database, creates it if it is missing, and brings it to this program's schema.
    pub fn open(path: impl AsRef<Path>, options: OpenOptions) -> Result<(Self, Reader), StoreError> {
        let path = path.as_ref();
        let lock = lock(path)?;
        create_private(path)?;
        let opening = |source: rusqlite::Error| {
            if error::is_foreign_file(&source) {
                return StoreError::Foreign {
                    database: path.display().to_string(),
                };
            }
            StoreError::Open {
                database: path.display().to_string(),
                source: source.into(),
            }
        };
        let mut connection = connect(path, &options).map_err(opening)?;
        rewrite_log(&connection, path)?;
        migrate::migrate(&mut connection, path, migrate::MIGRATIONS)?;
        connection
            .pragma_update(None, "foreign_keys", true)
            .map_err(opening)?;
        set_max_pages(&connection, options.max_pages).map_err(opening)?;
        // Not past a file system of the tests' own, which has to see all that is written.
        if options.vfs.is_none() {
            presize_log(&connection, path)?;
        }
        connection
            .execute("update current set session = session + 1, batch = 0", [])
            .map_err(opening)?;
        sync_directory(path)?;
        let (session, seq, at) = connection
            .query_row("select session, seq, at from current", [], |row| {
                Ok((
                    row.get(0)?,
                    row.get::<_, i64>(1)?.cast_unsigned(),
                    Timestamp(row.get(2)?),
                ))
            })
            .map_err(reading)?;
        let pool = Pool::new(path, &options);
        let store = Self {
            connection,
            statements: Statements::default(),
            session,
            position: Position { batch: 0, seq, at },
            counters: BTreeMap::new(),
            text: Vec::new(),
            _lock: lock,
        };
        Ok((store, Reader::sqlite(pool)))
    }

    /// Limits the size of the file from now on, in pages of 4 KiB; none = as large as the disk allows.
    pub fn set_max_pages(&self, pages: Option<u32>) -> Result<(), StoreError> {
        set_max_pages(&self.connection, pages).map_err(reading)
    }

    /// Runs `work` in one durable transaction; after an error nothing of it remains.
    fn transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, CommitError>,
    ) -> Result<T, CommitError> {
        self.execute("begin immediate")
            .map_err(|error| writing("be locked", error))?;
        let done = work(self).and_then(|value| {
            self.execute("commit").map_err(|error| writing("commit", error))?;
            Ok(value)
        });
        // Some errors have rolled back already.
        if done.is_err() && !self.connection.is_autocommit() {
            self.execute("rollback")
                .map_err(|error| writing("roll back", error))?;
        }
        done
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    fn write(&mut self, batch: &Batch<'_>) -> Result<(), CommitError> {
        for event in batch.events {
            for op in effect(event) {
                self.statements.run(&self.connection, &op)?;
            }
        }
        self.write_events(batch)?;
        let failed = |error| writing("be written", error);
        for (counter, next) in batch.counters {
            if self.counters.get(counter) != Some(next) {
                self.connection
                    .prepare_cached(
                        "insert into counters (name, next) values (?1, ?2) \
                         on conflict (name) do update set next = max(next, excluded.next)",
                    )
                    .and_then(|mut statement| statement.execute(params![counter.name(), next.cast_signed()]))
                    .map_err(failed)?;
            }
        }
        for (key, value) in batch.meta {
            self.write_meta(key, value)?;
        }
        let Position { seq, at, .. } = self.position.after(batch);
        self.connection
            .prepare_cached("update current set batch = ?1, seq = ?2, at = ?3")
            .and_then(|mut statement| {
                statement.execute(params![batch.id.cast_signed(), seq.cast_signed(), at.0])
            })
            .map_err(failed)?;
        Ok(())
    }

    fn write_meta(&self, key: &str, value: &str) -> Result<(), CommitError> {
        self.connection
            .prepare_cached(
                "insert into meta (key, value) values (?1, ?2) \
                 on conflict (key) do update set value = excluded.value",
            )
            .and_then(|mut statement| statement.execute([key, value]))
            .map_err(|error| writing("be written", error))?;
        Ok(())
    }

    /// The feed has a row an event. A row a commit would save about a microsecond an event, and cost the direct way to each.
    fn write_events(&mut self, batch: &Batch<'_>) -> Result<(), CommitError> {
        let failed = |error| writing("be written", error);
        let mut statement = self
            .connection
            .prepare_cached("insert into events (seq, at, version, event) values (?1, ?2, ?3, ?4)")
            .map_err(failed)?;
        for event in batch.events {
            self.text.clear();
            serde_json::to_writer(&mut self.text, &event.event).map_err(|error| CommitError::Rejected {
                reason: format!("event {} cannot be written as JSON", event.seq),
                source: Some(error.into()),
            })?;
            let text = std::str::from_utf8(&self.text).expect("JSON is UTF-8");
            statement
                .execute(params![event.seq.cast_signed(), event.at.0, event::VERSION, text])
                .map_err(failed)?;
        }
        Ok(())
    }
}

impl Store for SqliteStore {
    fn load(&mut self) -> Result<Snapshot, StoreError> {
        // One read transaction: what it reads is of one moment even if somebody else writes with other tools.
        self.execute("begin").map_err(reading)?;
        let snapshot = load::load(&mut Through(&self.connection));
        self.execute("commit").map_err(reading)?;
        let snapshot = snapshot?;
        self.counters.clone_from(&snapshot.counters);
        self.position.seq = snapshot.seq;
        self.position.at = snapshot.now;
        Ok(snapshot)
    }

    fn commit(&mut self, batch: &Batch<'_>) -> Result<(), CommitError> {
        self.position.check(batch)?;
        self.transaction(|store| store.write(batch))?;
        self.position = self.position.after(batch);
        self.counters.extend(batch.counters);
        Ok(())
    }

    fn committed(&mut self, batch: u64) -> Result<bool, StoreError> {
        self.connection
            .query_row(
                "select session = ?1 and batch >= ?2 from current",
                params![self.session, batch.cast_signed()],
                |row| row.get(0),
            )
            .map_err(reading)
    }

    fn probe(&mut self) -> Result<(), CommitError> {
        self.transaction(|store| {
            store
                .connection
                .execute("update current set probe = zeroblob(?1)", [PROBE_BYTES])
                .map_err(|error| writing("be written", error))
        })?;
        self.transaction(|store| {
            store
                .connection
                .execute("update current set probe = x''", [])
                .map_err(|error| writing("be written", error))
        })?;
        Ok(())
    }

    fn set_meta(&mut self, key: &str, value: &str) -> Result<(), CommitError> {
        self.transaction(|store| store.write_meta(key, value))
    }

    fn save_cursor(&mut self, name: &str, seq: u64) -> Result<(), CommitError> {
        self.transaction(|store| {
            store
                .connection
                .prepare_cached(
                    "insert into cursors (name, seq) values (?1, ?2) \
                     on conflict (name) do update set seq = excluded.seq",
                )
                .and_then(|mut statement| statement.execute(params![name, seq.cast_signed()]))
                .map_err(|error| writing("be written", error))
        })?;
        Ok(())
    }

    fn prune_events(&mut self, keep: u64) -> Result<bool, CommitError> {
        let newest = self.position.seq;
        self.transaction(|store| {
            let failed = |error| writing("be written", error);
            let oldest: Option<i64> = store
                .connection
                .query_row("select min(seq) from events", [], |row| row.get(0))
                .map_err(failed)?;
            let Some(oldest) = oldest.map(i64::cast_unsigned) else {
                return Ok(false);
            };
            // The first that stays.
            let target = (newest + 1).saturating_sub(keep);
            let upto = target.min(oldest + PRUNE_MAX);
            store
                .connection
                .execute("delete from events where seq < ?1", [upto.cast_signed()])
                .map_err(failed)?;
            Ok(upto < target)
        })
    }
}
