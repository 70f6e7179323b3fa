//! When the database takes no commits: what that leaves open, and how the master goes on by itself.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ironmaster_engine::{Refusal, Reply, State};
use ironmaster_model::{Counter, Sequenced};
use ironmaster_store::{CommitError, StoreError};

use super::{
    Thread, chain,
    handle::{Answer, SubmitError, refuse_all, reply},
};
use crate::callbacks::Functions;

/// Between two looks whether a full disk has room again, or the database is back; the first look is sooner.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Before the first look. Each is twice as long in coming as the one before it.
const PROBE_FIRST: Duration = Duration::from_millis(100);

/// What a lost connection to the database has left open.
#[derive(Default)]
pub(crate) enum Unsettled {
    /// Nothing: State is as in the tables.
    #[default]
    Nothing,
    /// State is ahead of the tables, which could not be read.
    Reload,
    /// It is not known whether a batch was committed; State is as if it were.
    Doubt(Doubt),
}

/// A batch that may have been committed.
pub(crate) struct Doubt {
    pub(super) events: Vec<Sequenced>,
    pub(super) moved: BTreeMap<Counter, u64>,
    /// Functions of the configuration in force if it was.
    pub(super) functions: Functions,
    pub(super) replies: Vec<(Result<Reply, Refusal>, Option<Answer>)>,
}

impl Thread {
    /// Back to what the tables say, as soon as they can be read; returns whether they could.
    pub(super) fn reload(&mut self) -> bool {
        let snapshot = match self.store.load() {
            Ok(snapshot) => snapshot,
            Err(StoreError::Unreachable { .. }) => {
                self.unsettled = Unsettled::Reload;
                return false;
            }
            Err(error) => die(&error),
        };
        self.state = State::load(snapshot).unwrap_or_else(|error| die(&error));
        self.counters = self.state.counters().clone();
        self.unsettled = Unsettled::Nothing;
        true
    }

    /// Says what a failed commit means, and remembers it where it lasts.
    pub(super) fn explain(&mut self, error: &CommitError) -> String {
        let (reason, lasts) = match error {
            CommitError::NoSpace => (
                "the disk that holds the database is full; free some space, the master goes on by itself"
                    .to_owned(),
                true,
            ),
            CommitError::Unreachable { .. } | CommitError::Unknown { .. } => (
                format!(
                    "the connection to the database was lost ({}); the master goes on by itself when it is back",
                    chain(error)
                ),
                true,
            ),
            other => (format!("internal error: {}", chain(other)), false),
        };
        tracing::error!(reason, "a commit failed");
        if lasts {
            self.health.set_trouble(Some(reason.clone()));
            self.next_probe = (Instant::now() + PROBE_FIRST, PROBE_FIRST * 2);
        }
        reason
    }

    pub(super) fn is_degraded(&self) -> bool {
        self.health.trouble().is_some()
    }

    /// State, if it is what the tables say.
    pub(super) fn committed_state(&self) -> Result<&State, SubmitError> {
        match (&self.unsettled, self.health.trouble()) {
            (Unsettled::Reload | Unsettled::Doubt(_), Some(reason)) => {
                Err(SubmitError::Unavailable { reason })
            }
            _ => Ok(&self.state),
        }
    }

    /// Looks, now and then, whether the trouble is over: a full disk has room again, or the database is back.
    pub(super) fn recovered(&mut self) -> bool {
        let (due, after) = self.next_probe;
        if Instant::now() < due {
            return false;
        }
        let over = match self.store.probe() {
            Ok(()) => self.settle(),
            Err(error @ CommitError::Fatal { .. }) => die(&error),
            Err(_) => false,
        };
        if over {
            tracing::info!("the database takes commits again; going on");
            self.health.set_trouble(None);
        } else {
            self.next_probe = (Instant::now() + after, (after * 2).min(PROBE_INTERVAL));
        }
        over
    }

    /// Settles what a lost connection has left open; returns whether nothing is any more.
    fn settle(&mut self) -> bool {
        match std::mem::take(&mut self.unsettled) {
            Unsettled::Nothing => true,
            Unsettled::Reload => self.reload(),
            Unsettled::Doubt(doubt) => match self.store.committed(self.batch_id) {
                Ok(true) => {
                    self.counters.extend(doubt.moved);
                    self.in_force.set(doubt.functions.clone());
                    self.functions = doubt.functions;
                    self.act(doubt.events);
                    for (result, answer) in doubt.replies {
                        reply(answer, result.map_err(SubmitError::from));
                    }
                    true
                }
                Ok(false) => {
                    refuse_all(
                        doubt.replies,
                        "the connection to the database was lost, and nothing was changed; try again",
                    );
                    self.reload()
                }
                Err(StoreError::Unreachable { .. }) => {
                    self.unsettled = Unsettled::Doubt(doubt);
                    false
                }
                Err(error) => die(&error),
            },
        }
    }
}

/// The tables are the truth: leave at once, and let the next start read them.
pub(super) fn die(error: &dyn std::error::Error) -> ! {
    tracing::error!(
        error = chain(error),
        "the database cannot be trusted any more; the master ends here and recovers at its next start"
    );
    std::process::exit(70)
}
