//! The directory of log files.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{Disk, LogWriter, Options, Result, VerifyReport};

/// The directory `logs/` with one file per build. Cheap to clone; all clones share open files.
#[derive(Debug, Clone)]
pub struct LogStore(Arc<()>);

impl LogStore {
    /// Opens (and makes, if missing) the directory.
    pub fn open(_root: impl Into<PathBuf>, _options: Options) -> Result<Self> {
        todo!()
    }

    /// As [`LogStore::open`], on another file system.
    pub fn with_disk(_root: impl Into<PathBuf>, _options: Options, _disk: Arc<dyn Disk>) -> Result<Self> {
        todo!()
    }

    /// Where the file of that key is: `<root>/<shard>/<key>.log`, shard = two hex digits of the key.
    pub fn path(&self, _key: u64) -> PathBuf {
        todo!()
    }

    /// Keys of all files, for retention and `fsck`.
    pub fn keys(&self) -> Result<Vec<u64>> {
        todo!()
    }

    /// Unlinks a file; false if there was none. Readers that have it open keep reading.
    pub fn remove(&self, _key: u64) -> Result<bool> {
        todo!()
    }

    /// Checks the file of that key.
    pub fn verify(&self, _key: u64) -> Result<VerifyReport> {
        todo!()
    }

    #[expect(dead_code, reason = "interface first")]
    fn root(&self) -> &Path {
        let _: Option<LogWriter> = None;
        todo!()
    }
}
