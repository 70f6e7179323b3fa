//! Whether the master makes progress.

use std::sync::Mutex;

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
#[derive(Debug)]
pub(crate) struct HealthCell(Mutex<Health>);

impl HealthCell {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Health {
            condition: Condition::Serving,
            stuck: Vec::new(),
        }))
    }

    pub(crate) fn get(&self) -> Health {
        self.0.lock().expect("no panic while holding the lock").clone()
    }

    pub(crate) fn set(&self, condition: Condition) {
        self.0.lock().expect("no panic while holding the lock").condition = condition;
    }

    pub(crate) fn set_stuck(&self, stuck: Vec<String>) {
        self.0.lock().expect("no panic while holding the lock").stuck = stuck;
    }
}
