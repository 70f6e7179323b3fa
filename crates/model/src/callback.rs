//! Functions that a configuration brings along, which are asked before something is decided.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Functions of a configuration. They are bounded, and whatever they do, only their answer comes out.
pub trait Callbacks: Send + Sync {
    /// What the functions that schedulers filter changes with say of a change, by the scheduler's name. An error is
    /// text for people, with a traceback.
    fn change_filters(&self, change: &Map<String, Value>) -> BTreeMap<String, Result<bool, String>>;

    /// Which of a builder's requests starts on which of these workers. An error is text for people, with a traceback.
    fn choose(
        &self,
        builder: &str,
        requests: &[Map<String, Value>],
        workers: &[Map<String, Value>],
    ) -> Result<Pick, String>;

    /// What is thought of a request that a scheduler has made for a builder, and of older ones of the same builder.
    fn judge(
        &self,
        builder: &str,
        scheduler: &str,
        request: &Map<String, Value>,
        others: &[Map<String, Value>],
    ) -> Opinion;
}

/// What functions think of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opinion {
    /// How urgent it is, if they say so.
    pub priority: Option<i64>,
    /// The others that it replaces, as numbers of what they were given.
    pub replaces: Vec<usize>,
    /// What failed: text for people, with a traceback.
    pub problem: Option<String>,
}

/// What functions have chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    /// A request and a worker, as numbers of what they were given.
    Start {
        /// The request.
        request: usize,
        /// The worker.
        worker: usize,
    },
    /// Nothing, and why, for people.
    Nothing(String),
}

/// The functions of a plan, if it has any. Two plans differ by their digest, not by these.
#[derive(Clone, Default)]
pub struct CallbackSet(pub Option<Arc<dyn Callbacks>>);

impl fmt::Debug for CallbackSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "callbacks"
        } else {
            "no callbacks"
        })
    }
}

impl PartialEq for CallbackSet {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

/// Which functions of the configuration are asked about a builder's requests. Their answers come back as inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Asks {
    /// Whether a request may start on a worker.
    pub can_start: bool,
    /// Which of several workers a request starts on.
    pub next_worker: bool,
    /// Which of several requests goes next.
    pub next_build: bool,
    /// How urgent a request is.
    pub priority: bool,
    /// Whether a new request replaces an older one.
    pub collapse: bool,
}

impl Asks {
    /// Whether nobody is asked.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether nothing starts before somebody was asked.
    pub fn before_start(&self) -> bool {
        self.can_start || self.next_worker || self.next_build
    }
}
