//! Whether the master makes progress.

use std::sync::{Mutex, MutexGuard};

/// What the master says of its own health. "The port is open" is not health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether it takes inputs.
    pub condition: Condition,
    /// Findings of the watchdog: queued work and a free worker for it, yet nothing starts.
    pub stuck: Vec<String>,
}

/// Whether the master takes inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It does.
    Serving,
    /// It reads, but changes nothing until the reason is gone; then it goes on by itself.
    Degraded {
        /// What is wrong, for people.
        reason: String,
    },
    /// It is on its way out.
    Stopping,
}

/// The shared cell behind [`Health`].
#[derive(Debug, Default)]
pub(crate) struct HealthCell(Mutex<Known>);

/// What is known of it. A master that stops may be in trouble, too.
#[derive(Debug, Default)]
struct Known {
    trouble: Option<String>,
    stopping: bool,
    stuck: Vec<String>,
}

impl HealthCell {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().expect("no panic while holding the lock")
    }

    pub(crate) fn get(&self) -> Health {
        let known = self.known();
        let condition = match &known.trouble {
            _ if known.stopping => Condition::Stopping,
            Some(reason) => Condition::Degraded {
                reason: reason.clone(),
            },
            None => Condition::Serving,
        };
        Health {
            condition,
            stuck: known.stuck.clone(),
        }
    }

    /// Why nothing can be changed now, if that is so.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.known().trouble.clone()
    }

    pub(crate) fn set_trouble(&self, trouble: Option<String>) {
        self.known().trouble = trouble;
    }

    pub(crate) fn set_stopping(&self) {
        self.known().stopping = true;
    }

    pub(crate) fn set_stuck(&self, stuck: Vec<String>) {
        self.known().stuck = stuck;
    }
}
