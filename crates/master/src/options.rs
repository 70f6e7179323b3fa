//! How a master is started.

use std::{path::PathBuf, sync::Arc};

use ironmaster_model::{Duration, Plan};

/// Everything a master needs to know at its start.
#[derive(Clone, Debug)]
pub struct MasterOptions {
    /// Where everything durable is kept: the database and `logs/`.
    pub state_dir: PathBuf,
    /// The configuration to begin with.
    pub plan: Arc<Plan>,
    /// How long workers let commands run on without hearing from their master.
    pub lease: Duration,
    /// After so much silence a connection is probed.
    pub heartbeat: Duration,
}

impl MasterOptions {
    /// How much longer than the lease the master waits before it gives a build up: the worker must be first.
    pub(crate) const LEASE_MARGIN: Duration = Duration::from_secs(30);

    /// Options with the usual times.
    pub fn new(state_dir: impl Into<PathBuf>, plan: Arc<Plan>) -> Self {
        Self {
            state_dir: state_dir.into(),
            plan,
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
