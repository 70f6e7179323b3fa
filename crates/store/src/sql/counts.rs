//! Remembered numbers of rows, so that a page of a long table does not cost a count of all of it.
//!
//! Only conditions on columns that never change are remembered. Ids grow in commit order, so the rows that came since
//! the last count are exactly those with a larger id, and only those are counted.
//!
//! Whoever comes to remove rows of history must forget these counts afterwards.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// Different conditions that are remembered.
const ENTRIES_MAX: usize = 1024;

/// Counts by condition (its SQL and its values).
#[derive(Default)]
pub(crate) struct Counts {
    known: Mutex<BTreeMap<String, Known>>,
}

/// How many rows with ids up to `upto` there are.
#[derive(Clone, Copy, Default)]
pub(super) struct Known {
    pub(super) upto: i64,
    pub(super) rows: u64,
}

impl Counts {
    pub(super) fn get(&self, condition: &str) -> Known {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(condition).copied().unwrap_or_default()
    }

    pub(super) fn set(&self, condition: String, count: Known) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= ENTRIES_MAX && !known.contains_key(&condition) {
            // Rare enough that starting afresh is simpler than choosing a victim.
            known.clear();
        }
        let entry = known.entry(condition).or_default();
        // Another reader may have seen more.
        if count.upto >= entry.upto {
            *entry = count;
        }
    }
}
