//! How a master is started.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use ironmaster_model::{Duration, Plan};
use ironmaster_store::Database;

use crate::{ConfigFile, ConfigSource};

/// Everything a master needs to know at its start.
#[derive(Clone, Debug)]
pub struct MasterOptions {
    /// Where logs and small files are kept, and the database if it is a file of its own.
    pub state_dir: PathBuf,
    /// The database.
    pub database: Database,
    /// The configuration to begin with.
    pub plan: Arc<Plan>,
    /// The files that it was read from.
    pub files: Vec<ConfigFile>,
    /// Where further configurations come from; without it nothing can be reloaded.
    pub config: Option<Arc<dyn ConfigSource>>,
    /// Events that the feed keeps for followers who were away.
    pub feed_events: u64,
    /// How long workers let commands run on without hearing from their master.
    pub lease: Duration,
    /// After so much silence a connection is probed.
    pub heartbeat: Duration,
}

impl MasterOptions {
    /// How much longer than the lease the master waits before it gives a build up: the worker must be first.
    pub(crate) const LEASE_MARGIN: Duration = Duration::from_secs(30);

    /// How many events the feed keeps unless it is told otherwise.
    pub const FEED_EVENTS: u64 = 200_000;

    /// The SQLite database of a state directory.
    pub fn sqlite(state_dir: &Path) -> PathBuf {
        state_dir.join("ironmaster.sqlite")
    }

    /// Options with the usual times, and a SQLite database in the directory.
    pub fn new(state_dir: impl Into<PathBuf>, plan: Arc<Plan>) -> Self {
        let state_dir = state_dir.into();
        Self {
            database: Database::Sqlite(Self::sqlite(&state_dir)),
            state_dir,
            plan,
            files: Vec::new(),
            config: None,
            feed_events: Self::FEED_EVENTS,
            lease: Duration::from_secs(600),
            heartbeat: Duration::from_secs(10),
        }
    }

    /// How long a worker that has gone away keeps its builds.
    pub(crate) fn patience(&self) -> Duration {
        Duration(
            self.lease
                .0
                .saturating_add(Self::LEASE_MARGIN.0.min(self.lease.0)),
        )
    }
}
