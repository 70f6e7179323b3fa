//! Opens the file: alone, durably, and for its owner only.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};

use super::OpenOptions;
use crate::error::StoreError;

/// Statements that the writer keeps prepared; more than there are shapes of row operations.
const STATEMENTS_MAX: usize = 128;
/// Page cache of the writer, in KiB.
const CACHE_KIB: i64 = 16 * 1024;

pub(super) fn connect(path: &Path, options: &OpenOptions) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(options.busy_timeout)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    // On while migrating, off would be needed only by scripts that rebuild a table.
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

pub(super) fn set_max_pages(connection: &Connection, pages: Option<u32>) -> rusqlite::Result<()> {
    // 2^32 - 2 is SQLite's own largest.
    let pages = pages.map_or(4_294_967_294, i64::from);
    connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
}

/// Keeps a second writer out, also one of another process. The lock file stays; the operating system releases the lock
/// when the process ends, however it ends.
pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    let lock_path = with_suffix(path, ".lock");
    let opening = |source: std::io::Error| StoreError::Open {
        database: path.display().to_string(),
        source: source.into(),
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .map_err(opening)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse {
            database: path.display().to_string(),
        }),
        Err(TryLockError::Error(source)) => Err(opening(source)),
    }
}

/// A new database is for its owner's eyes only: it holds hashes of tokens and the key of sessions. SQLite gives the files
/// beside it the same rights.
pub(super) fn create_private(path: &Path) -> Result<(), StoreError> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(StoreError::Open {
            database: path.display().to_string(),
            source: source.into(),
        }),
    }
}

/// Makes the database's directory entry durable.
pub(super) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| StoreError::Open {
            database: path.display().to_string(),
            source: source.into(),
        })
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No test of ours can cut the power: that a commit waits for the disk is a matter of these settings.
    #[test]
    fn commits_wait_for_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let connection = connect(&directory.path().join("test.db"), &OpenOptions::default()).unwrap();
        let ask = |name: &str| -> rusqlite::Result<rusqlite::types::Value> {
            connection.pragma_query_value(None, name, |row| row.get(0))
        };
        assert_eq!(ask("journal_mode"), Ok("wal".to_owned().into()));
        // 2 is `full`.
        assert_eq!(ask("synchronous"), Ok(2.into()));
    }
}
