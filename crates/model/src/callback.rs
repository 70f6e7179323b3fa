//! Functions that a configuration brings along, which are asked before something is decided.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde_json::{Map, Value};

/// Functions of a configuration. They are bounded, and whatever they do, only their answer comes out.
pub trait Callbacks: Send + Sync {
    /// What the functions that schedulers filter changes with say of a change, by the scheduler's name. An error is
    /// text for people, with a traceback.
    fn change_filters(&self, change: &Map<String, Value>) -> BTreeMap<String, Result<bool, String>>;
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
