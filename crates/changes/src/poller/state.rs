//! What a poller remembers.

use std::collections::BTreeMap;

use ironmaster_engine::NewChange;
use serde::{Deserialize, Serialize};

/// What a poller remembers between polls. The master keeps it durable (as JSON). Store it together with each
/// change that [`PollerState::accept`] was told of, and no change is lost or doubled; at the end of a poll store
/// [`Polled::state`](super::Polled::state).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollerState {
    /// The repository that the rest is about; when the configuration names another, polling starts afresh.
    pub repository: String,
    /// The configured branches at that time.
    #[serde(default)]
    pub branches: Vec<String>,
    /// Last revision seen, by branch.
    #[serde(default)]
    pub heads: BTreeMap<String, String>,
    /// Revisions beyond `heads` that were accepted already, by branch: a poll's changes are accepted one by
    /// one, and the master may stop in between.
    #[serde(default)]
    pub accepted: BTreeMap<String, Vec<String>>,
}

impl PollerState {
    /// Remembers that `change` was accepted, so that it is not reported again.
    pub fn accept(&mut self, change: &PolledChange) {
        let accepted = self.accepted.entry(change.branch.clone()).or_default();
        if !accepted.contains(&change.revision) {
            accepted.push(change.revision.clone());
        }
    }
}

/// A commit that the poller found.
#[derive(Clone, Debug, PartialEq)]
pub struct PolledChange {
    /// Branch it was found on.
    pub branch: String,
    /// Its full hash.
    pub revision: String,
    /// What to hand to the engine.
    pub change: NewChange,
}
