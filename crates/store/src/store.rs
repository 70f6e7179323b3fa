//! The writing end, as every backend offers it.

use std::collections::BTreeMap;

use ironmaster_model::{Counter, Sequenced, Snapshot, Timestamp};

use crate::error::{CommitError, StoreError};

/// What one commit makes durable.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Identifies the commit to [`Store::committed`]. Grows from commit to commit within the life of a [`Store`];
    /// every newly opened one may start again at 1.
    pub id: u64,
    /// The events, continuing the sequence without a gap. May be empty.
    pub events: &'a [Sequenced],
    /// The next id of each counter after these events. Counters that did not move may be left out.
    pub counters: &'a BTreeMap<Counter, u64>,
    /// Values to keep under keys, as [`Store::set_meta`] does. Of one key the last value counts.
    pub meta: &'a [(String, String)],
}

/// The writer's end of a database, owned by the committer. All calls block.
pub trait Store: Send + std::fmt::Debug {
    /// Reads what is active. The work does not depend on the length of history.
    fn load(&mut self) -> Result<Snapshot, StoreError>;

    /// Makes a batch durable in one transaction: row effects, the feed, and the counters. When it returns `Ok`, the
    /// batch survives loss of power. After any error but [`CommitError::Unknown`] the database is as before.
    ///
    /// After [`CommitError::Unknown`] nothing may be committed before [`Self::committed`] knows what became of it.
    fn commit(&mut self, batch: &Batch<'_>) -> Result<(), CommitError>;

    /// After [`CommitError::Unknown`]: whether that batch of this [`Store`] is in the database. An answer is final; an
    /// error ([`StoreError::Unreachable`]) is none.
    fn committed(&mut self, batch: u64) -> Result<bool, StoreError>;

    /// Tries a small durable write: after [`CommitError::NoSpace`], `Ok` means that there is room again, and after
    /// [`CommitError::Unreachable`] that the database is back.
    fn probe(&mut self) -> Result<(), CommitError>;

    /// Keeps a value under a key, durably (see [`Reader::meta`](crate::Reader::meta)).
    fn set_meta(&mut self, key: &str, value: &str) -> Result<(), CommitError>;

    /// Remembers, durably, that consumer `name` has dealt with all events up to `seq`.
    fn save_cursor(&mut self, name: &str, seq: u64) -> Result<(), CommitError>;

    /// Removes old events from the feed so that the newest `keep` stay. One call removes at most some thousands, so
    /// that a commit never waits long; returns whether there are more to remove.
    fn prune_events(&mut self, keep: u64) -> Result<bool, CommitError>;
}

/// Where the committer stands in its database.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Position {
    /// The last batch committed.
    pub(crate) batch: u64,
    /// Sequence number of the last event committed.
    pub(crate) seq: u64,
    /// Its time.
    pub(crate) at: Timestamp,
}

impl Position {
    /// Refuses a batch that does not follow.
    pub(crate) fn check(&self, batch: &Batch<'_>) -> Result<(), CommitError> {
        let refuse = |reason| Err(CommitError::Rejected { reason, source: None });
        if batch.id <= self.batch {
            return refuse(format!("batch {} does not follow batch {}", batch.id, self.batch));
        }
        let mut at = self.at;
        for (seq, event) in (self.seq + 1..).zip(batch.events) {
            if event.seq != seq {
                return refuse(format!("event {} stands where {seq} is due", event.seq));
            }
            if event.at < at {
                return refuse(format!(
                    "event {} is of {}, before the one ahead of it",
                    event.seq, event.at
                ));
            }
            at = event.at;
        }
        Ok(())
    }

    /// Where it stands after this batch.
    pub(crate) fn after(&self, batch: &Batch<'_>) -> Self {
        let (seq, at) = batch
            .events
            .last()
            .map_or((self.seq, self.at), |event| (event.seq, event.at));
        Self {
            batch: batch.id,
            seq,
            at,
        }
    }
}
