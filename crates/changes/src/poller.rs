//! The git poller: asks a repository for new commits every so often.

use std::{collections::BTreeMap, path::Path};

use ironmaster_engine::NewChange;
use ironmaster_model::{ChangeSourceDef, Duration, KindSpec};
use serde::{Deserialize, Serialize};

pub(crate) fn kind() -> KindSpec {
    KindSpec {
        name: "git_poller",
        doc: "",
        fields: vec![],
        logs: &[],
        flags: ironmaster_model::StepFlags::default(),
        check: None,
    }
}

/// Polls one git repository.
#[derive(Clone, Debug)]
pub struct GitPoller {
    name: String,
    interval: Duration,
}

/// What a poller remembers between polls. The master keeps it durable (as JSON). Store it together with the
/// change that [`PollerState::accept`] was told of, in one transaction, and no change is lost or doubled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollerState {
    /// The repository that the rest is about; when the configuration names another, polling starts afresh.
    pub repository: String,
    /// Last revision seen, by branch.
    pub heads: BTreeMap<String, String>,
    /// Revisions beyond `heads` that were accepted already, by branch: a poll's changes are accepted one by
    /// one, and the master may stop in between.
    #[serde(default)]
    pub accepted: BTreeMap<String, Vec<String>>,
}

impl PollerState {
    /// Remembers that `change` was accepted, so that it is not reported again.
    pub fn accept(&mut self, change: &PolledChange) {
        let _ = change;
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

/// What a poll brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Polled {
    /// New commits, oldest first on each branch.
    pub changes: Vec<PolledChange>,
    /// The state once all of them were accepted.
    pub state: PollerState,
    /// What people should know (commits left out, a branch that vanished), one sentence each.
    pub notes: Vec<String>,
}

/// Why a poll brought nothing. The next one may work: nothing is lost.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PollError(String);

impl GitPoller {
    /// Makes one from its definition.
    pub fn from_def(def: &ChangeSourceDef) -> Result<Self, String> {
        Ok(Self {
            name: def.name.clone(),
            interval: Duration::from_secs(60),
        })
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// From the end of one poll to the start of the next.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Asks the repository once. `workdir` is a directory of its own for this poller, made if missing; a mirror
    /// of the repository is kept in it. `state` is what was stored last ([`PollerState::default`] at first).
    pub async fn poll(&self, workdir: &Path, state: &PollerState) -> Result<Polled, PollError> {
        let _ = (workdir, state);
        Err(PollError("not yet".into()))
    }
}
