//! Which database.

use std::{fmt, path::PathBuf};

use crate::{
    error::StoreError,
    postgres::{PostgresAddress, PostgresStore},
    reader::Reader,
    sqlite::{OpenOptions, SqliteStore},
    store::Store,
};

/// Which database, and where.
#[derive(Clone, Debug)]
pub enum Database {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A database of a PostgreSQL server.
    Postgres(Box<PostgresAddress>),
}

/// Opens a database for writing and reading, creates what is missing, and brings it to this program's schema. Refused while
/// another process has it open for writing.
pub fn open(database: &Database, options: OpenOptions) -> Result<(Box<dyn Store>, Reader), StoreError> {
    Ok(match database {
        Database::Sqlite(path) => {
            let (store, reader) = SqliteStore::open(path, options)?;
            (Box::new(store), reader)
        }
        Database::Postgres(address) => {
            let (store, reader) = PostgresStore::open(address, options)?;
            (Box::new(store), reader)
        }
    })
}

impl fmt::Display for Database {
    /// Without a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Database::Sqlite(path) => path.display().fmt(f),
            Database::Postgres(address) => address.fmt(f),
        }
    }
}
