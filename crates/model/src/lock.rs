//! Locks as the configuration defines and uses them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A thing that only so many builds or steps may use at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockDef {
    /// Its name, an identifier.
    pub name: String,
    /// Whether there is one of it, or one on each worker.
    pub scope: LockScope,
    /// How many may hold it at once, at least 1.
    pub max_count: u32,
    /// Other maxima for single workers, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub worker_counts: BTreeMap<String, u32>,
}

/// Where a lock counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockScope {
    /// Over all workers.
    Master,
    /// On each worker apart.
    Worker,
}

/// How a builder or a step uses a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockUse {
    /// The lock's name.
    pub name: String,
    /// How much of it.
    pub access: LockAccess,
    /// Whether a build keeps it while it waits for builds that it has triggered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep: bool,
}

/// How much of a lock is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockAccess {
    /// So many of its count.
    Counting(u32),
    /// All of it: nobody else holds it meanwhile.
    Exclusive,
}

impl LockDef {
    /// How many may hold it at once on a worker; over all workers, if that is its scope.
    pub fn count_on(&self, worker: &str) -> u32 {
        match self.scope {
            LockScope::Master => self.max_count,
            LockScope::Worker => self.worker_counts.get(worker).copied().unwrap_or(self.max_count),
        }
    }
}

impl LockUse {
    /// One of its count.
    pub fn counting(name: impl Into<String>, count: u32) -> Self {
        Self {
            name: name.into(),
            access: LockAccess::Counting(count),
            keep: false,
        }
    }

    /// All of it.
    pub fn exclusive(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            access: LockAccess::Exclusive,
            keep: false,
        }
    }
}
