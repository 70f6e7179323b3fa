//! Reading connections, shared by all readers.

use std::{
    ops::Deref,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};

use super::{OpenOptions, error::reading, migrate, open::open_file};
use crate::{error::StoreError, pool::Idle};

/// Statements that each connection keeps prepared.
const STATEMENTS_MAX: usize = 128;
/// Page cache of each connection, in KiB.
const CACHE_KIB: u32 = 4096;

pub(crate) struct Pool {
    path: PathBuf,
    options: OpenOptions,
    connections: Idle<Connection>,
}

/// A borrowed connection, inside one read transaction: all it reads is of one moment.
pub(crate) struct Reading<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Pool {
    pub(super) fn new(path: &Path, options: &OpenOptions) -> Self {
        Self {
            path: path.into(),
            options: *options,
            connections: Idle::new(options.readers),
        }
    }

    /// For readers without a writer.
    pub(crate) fn open_existing(path: &Path, options: &OpenOptions) -> Result<Self, StoreError> {
        let pool = Self::new(path, options);
        migrate::verify(&*pool.read()?, path, migrate::MIGRATIONS)?;
        Ok(pool)
    }

    /// Borrows a connection; waits while all are in use.
    pub(crate) fn read(&self) -> Result<Reading<'_>, StoreError> {
        let connection = self.connections.take(|| self.open())?;
        let reading = Reading {
            pool: self,
            connection: Some(connection),
        };
        reading.begin()?;
        Ok(reading)
    }

    fn open(&self) -> Result<Connection, StoreError> {
        // Opened for writing, as recovery after a crash of the writer needs that; `query_only` keeps it from changing
        // anything else.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connect = || -> rusqlite::Result<Connection> {
            let connection = open_file(&self.path, flags, &self.options)?;
            connection.busy_timeout(self.options.busy_timeout)?;
            connection.pragma_update(None, "query_only", true)?;
            connection.pragma_update(None, "trusted_schema", false)?;
            connection.pragma_update(None, "cache_size", -i64::from(CACHE_KIB))?;
            connection.pragma_update(None, "temp_store", "memory")?;
            connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
            Ok(connection)
        };
        connect().map_err(|source| StoreError::Open {
            database: self.path.display().to_string(),
            source: source.into(),
        })
    }
}

impl Reading<'_> {
    fn begin(&self) -> Result<(), StoreError> {
        self.prepare_cached("begin")
            .and_then(|mut statement| statement.execute([]))
            .map_err(reading)?;
        Ok(())
    }
}

impl Deref for Reading<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        let ended = connection.is_autocommit()
            || connection
                .prepare_cached("commit")
                .and_then(|mut statement| statement.execute([]))
                .is_ok();
        if ended {
            self.pool.connections.give_back(connection);
        } else {
            drop(connection);
            self.pool.connections.forget();
        }
    }
}
