//! Opens the file: alone, durably, and for its owner only.

use std::{
    fs::{File, TryLockError},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags, ffi};

use super::OpenOptions;
use crate::error::StoreError;

/// Statements that the writer keeps prepared; more than there are shapes of row operations.
const STATEMENTS_MAX: usize = 128;
/// How much of the write-ahead log is rewritten at a time.
const REWRITE_BYTES: usize = 256 * 1024;
/// Size of the write-ahead log from the beginning. It grows to about that anyway: the 1000 pages of 4 KiB from which on SQLite begins
/// it anew, and a commit.
const LOG_BYTES: u64 = 4608 * 1024;
/// Page cache of the writer, in KiB.
const CACHE_KIB: i64 = 16 * 1024;

pub(super) fn connect(path: &Path, options: &OpenOptions) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = open_file(path, flags, options)?;
    connection.busy_timeout(options.busy_timeout)?;
    write_ahead(&connection)?;
    connection.pragma_update(None, "synchronous", "full")?;
    // On while migrating, off would be needed only by scripts that rebuild a table.
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    if let Some(pages) = options.log_pages {
        connection.pragma_update_and_check(None, "wal_autocheckpoint", pages, |_| Ok(()))?;
    }
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

/// SQLite goes on with a rollback journal when it cannot begin a write-ahead log (no space, an I/O error), and tells only
/// who looks. With that journal and our settings the last commit may be undone by a loss of power.
fn write_ahead(connection: &Connection) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("pragma journal_mode = wal")?;
    let mut rows = statement.query([])?;
    let mut mode = String::new();
    // To the end: it tells the mode first, and fails after that.
    while let Some(row) = rows.next()? {
        mode = row.get(0)?;
    }
    if mode == "wal" {
        return Ok(());
    }
    Err(rusqlite::Error::SqliteFailure(
        ffi::Error::new(ffi::SQLITE_CANTOPEN),
        Some(format!(
            "it keeps the journal mode \"{mode}\" and cannot begin a write-ahead log; check the disk's space and health"
        )),
    ))
}

/// Makes durable what the write-ahead log holds, whatever has happened before.
///
/// After a failed sync the system takes the log's pages for written, although the disk may not have them. A process that
/// starts then reads them all the same, believes them, and a later sync does not write them again: a loss of power would
/// leave a hole before everything committed since. So each byte is written once more, and synced.
pub(super) fn rewrite_log(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let log = with_suffix(path, "-wal");
    let opening = |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Open {
        database: log.display().to_string(),
        source,
    };
    // Meanwhile nobody else writes to it.
    let locked = |sql| connection.execute(sql, []).map_err(|error| opening(error.into()));
    locked("begin immediate")?;
    let done = rewrite(&log).map_err(|error| opening(error.into()));
    locked("rollback")?;
    done
}

fn rewrite(path: &Path) -> io::Result<()> {
    let file = match File::options().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let mut buffer = vec![0; REWRITE_BYTES];
    let mut at = 0;
    loop {
        let read = file.read_at(&mut buffer, at)?;
        if read == 0 {
            break;
        }
        file.write_all_at(&buffer[..read], at)?;
        at += read as u64;
    }
    if at > 0 { file.sync_data() } else { Ok(()) }
}

/// Gives the write-ahead log its size, so that no commit has to wait until the file system has noted another one. SQLite takes the
/// zeros for what is left of an older log. Only while nobody writes to it; a disk that has no room for it is no reason to stop.
pub(super) fn presize_log(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let log = with_suffix(path, "-wal");
    let opening = |error: rusqlite::Error| StoreError::Open {
        database: log.display().to_string(),
        source: error.into(),
    };
    connection.execute("begin immediate", []).map_err(opening)?;
    let grown = presize(&log);
    connection.execute("rollback", []).map_err(opening)?;
    if let Err(error) = grown {
        tracing::debug!(%error, "the write-ahead log grows by and by");
    }
    Ok(())
}

fn presize(path: &Path) -> io::Result<()> {
    let file = match File::options().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let before = file.metadata()?.len();
    let zeros = vec![0; REWRITE_BYTES];
    let mut at = before;
    while at < LOG_BYTES {
        let piece = zeros.len().min((LOG_BYTES - at) as usize);
        if let Err(error) = file.write_all_at(&zeros[..piece], at) {
            // What room there is, others need more.
            file.set_len(before)?;
            return Err(error);
        }
        at += piece as u64;
    }
    Ok(())
}

pub(super) fn open_file(
    path: &Path,
    flags: OpenFlags,
    options: &OpenOptions,
) -> rusqlite::Result<Connection> {
    match options.vfs {
        None => Connection::open_with_flags(path, flags),
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs),
    }
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

    /// That a commit waits for the disk is a matter of these settings.
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

    /// A database that cannot have a write-ahead log is not used with a rollback journal instead.
    #[test]
    fn another_journal_is_refused() {
        // One in memory is such a database.
        let connection = Connection::open_in_memory().unwrap();
        let error = write_ahead(&connection).unwrap_err().to_string();
        assert!(error.contains("write-ahead log"), "{error}");
    }

    #[test]
    fn a_rewritten_log_is_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.db");
        let connection = connect(&path, &OpenOptions::default()).unwrap();
        connection
            .execute_batch("create table t (a); insert into t values (zeroblob(600000))")
            .unwrap();
        let log = with_suffix(&path, "-wal");
        let before = std::fs::read(&log).unwrap();
        assert!(before.len() > 2 * REWRITE_BYTES);
        rewrite_log(&connection, &path).unwrap();
        assert_eq!(std::fs::read(&log).unwrap(), before);
        // Nothing to rewrite is fine, too.
        rewrite(&directory.path().join("none")).unwrap();
    }

    /// What was committed before and after is read again by who comes after a crash.
    #[test]
    fn a_log_that_has_its_size_is_read_to_where_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.db");
        let connection = connect(&path, &OpenOptions::default()).unwrap();
        connection
            .execute_batch("create table t (a); insert into t values (1)")
            .unwrap();
        presize_log(&connection, &path).unwrap();
        let log = with_suffix(&path, "-wal");
        assert_eq!(log.metadata().unwrap().len(), LOG_BYTES);
        connection.execute("insert into t values (2)", []).unwrap();
        assert_eq!(log.metadata().unwrap().len(), LOG_BYTES, "a commit needs no more");
        let copy = directory.path().join("copy.db");
        std::fs::copy(&path, &copy).unwrap();
        std::fs::copy(&log, with_suffix(&copy, "-wal")).unwrap();
        let found = connect(&copy, &OpenOptions::default())
            .and_then(|copy| copy.query_row("select group_concat(a) from t", [], |row| row.get(0)));
        assert_eq!(found, Ok("1,2".to_owned()));
    }
}
