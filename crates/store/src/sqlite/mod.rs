//! SQLite: one writing connection, a few reading ones.

use std::{path::Path, time::Duration};

use ironmaster_model::Snapshot;

use crate::{
    error::{CommitError, StoreError},
    reader::Reader,
    store::{Batch, Store},
};

/// How a database is opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Connections for readers; a reader waits while all are busy.
    pub readers: usize,
    /// How long to wait for another program that has locked the file (a backup, a shell) before giving up.
    pub busy_timeout: Duration,
    /// Largest size of the file in pages of 4 KiB; none = as large as the disk allows. For tests of a full disk.
    pub max_pages: Option<u32>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            readers: 4,
            busy_timeout: Duration::from_secs(60),
            max_pages: None,
        }
    }
}

/// The writing end of a SQLite database.
#[derive(Debug)]
pub struct SqliteStore {}

#[expect(clippy::unimplemented, unused_variables, reason = "being written")]
impl SqliteStore {
    /// Opens the database, creates it if it is missing, and brings it to this program's schema.
    pub fn open(path: impl AsRef<Path>, options: OpenOptions) -> Result<(Self, Reader), StoreError> {
        unimplemented!()
    }
}

#[expect(clippy::unimplemented, unused_variables, reason = "being written")]
impl Store for SqliteStore {
    fn load(&mut self) -> Result<Snapshot, StoreError> {
        unimplemented!()
    }
    fn commit(&mut self, batch: &Batch<'_>) -> Result<(), CommitError> {
        unimplemented!()
    }
    fn committed(&mut self, batch: u64) -> Result<bool, StoreError> {
        unimplemented!()
    }
    fn probe(&mut self) -> Result<(), CommitError> {
        unimplemented!()
    }
    fn set_meta(&mut self, key: &str, value: &str) -> Result<(), CommitError> {
        unimplemented!()
    }
    fn save_cursor(&mut self, name: &str, seq: u64) -> Result<(), CommitError> {
        unimplemented!()
    }
    fn prune_events(&mut self, keep: u64) -> Result<bool, CommitError> {
        unimplemented!()
    }
}
