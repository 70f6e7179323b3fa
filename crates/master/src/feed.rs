//! The feed: committed events for everybody who follows them, from a cursor. Recent events are kept in
//! memory; who lags further behind reads on from the database, or is told that the cursor is too old.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use ironmaster_model::{BuildId, Event, LogContent, LogId, Sequenced, StepId};
use ironmaster_store::{EventsError, Reader};
use serde_json::Value;
use tokio::sync::{broadcast, watch};

/// Events kept in memory for followers.
const RECENT_MAX: usize = 4096;
/// Events handed over at once.
const BATCH_MAX: usize = 1024;
/// Hints kept for a slow follower before it loses some.
const HINTS_MAX: usize = 1024;

/// What may be worth a look, though no fact was committed. Lossy, never saying what a GET would not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// A log has more lines than before.
    LogGrew {
        /// Its build.
        build: BuildId,
        /// Its step.
        step: StepId,
        /// The log.
        log: LogId,
        /// Its lines now.
        num_lines: u64,
    },
}

/// The publishing end.
#[derive(Debug)]
pub(crate) struct Feed {
    recent: Mutex<VecDeque<Arc<Sequenced>>>,
    last: watch::Sender<u64>,
    hints: broadcast::Sender<Hint>,
}

/// A follower's place in the feed.
#[derive(Clone, Debug)]
pub struct FeedReader {
    feed: Arc<Feed>,
    reader: Reader,
    cursor: u64,
    last: watch::Receiver<u64>,
}

/// Why a follower cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// Events after its cursor were removed: it has to read everything again.
    #[error("the cursor is too old: events up to {oldest} are gone, read everything again")]
    TooOld {
        /// Sequence number of the oldest event that is left.
        oldest: u64,
    },
    /// The database could not be read.
    #[error("cannot read events")]
    Store(#[source] EventsError),
    /// The master has stopped.
    #[error("the master has stopped")]
    Closed,
}

impl Feed {
    pub(crate) fn new(last_seq: u64) -> Arc<Self> {
        Arc::new(Self {
            recent: Mutex::new(VecDeque::new()),
            last: watch::Sender::new(last_seq),
            hints: broadcast::Sender::new(HINTS_MAX),
        })
    }

    /// Makes committed events public. They continue the sequence.
    pub(crate) fn publish(&self, events: Vec<Sequenced>) {
        let Some(last) = events.last().map(|event| event.seq) else {
            return;
        };
        {
            let mut recent = self.recent.lock().expect("no panic while holding the lock");
            recent.extend(events.into_iter().map(|event| Arc::new(without_text(event))));
            let surplus = recent.len().saturating_sub(RECENT_MAX);
            recent.drain(..surplus);
        }
        self.last.send_replace(last);
    }

    pub(crate) fn hint(&self, hint: Hint) {
        // Nobody listening is fine.
        let _ = self.hints.send(hint);
    }

    pub(crate) fn hints(&self) -> broadcast::Receiver<Hint> {
        self.hints.subscribe()
    }

    pub(crate) fn last_seq(&self) -> u64 {
        *self.last.borrow()
    }

    pub(crate) fn follow(self: &Arc<Self>, reader: Reader, cursor: u64) -> FeedReader {
        FeedReader {
            feed: self.clone(),
            reader,
            cursor,
            last: self.last.subscribe(),
        }
    }

    /// Events after `cursor` from memory; none if memory does not reach back that far.
    fn recent_after(&self, cursor: u64) -> Option<Vec<Arc<Sequenced>>> {
        let recent = self.recent.lock().expect("no panic while holding the lock");
        let first = recent.front()?.seq;
        let skip = (cursor + 1).checked_sub(first)?;
        Some(
            recent
                .iter()
                .skip(skip as usize)
                .take(BATCH_MAX)
                .cloned()
                .collect(),
        )
    }
}

impl FeedReader {
    /// The sequence number up to which this follower has read.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Waits for events after the cursor and returns them, in order, at most a thousand or so at once.
    ///
    /// Cancel safe: the cursor moves only when events are returned.
    pub async fn next(&mut self) -> Result<Vec<Arc<Sequenced>>, FeedError> {
        let cursor = self.cursor;
        if *self.last.borrow() <= cursor {
            self.last
                .wait_for(|last| *last > cursor)
                .await
                .map_err(|_| FeedError::Closed)?;
        }
        let events = if let Some(events) = self.feed.recent_after(cursor) {
            events
        } else {
            let reader = self.reader.clone();
            tokio::task::spawn_blocking(move || reader.events_after(cursor, BATCH_MAX))
                .await
                .map_err(|_| FeedError::Closed)?
                .map_err(|error| match error {
                    EventsError::TooOld { oldest } => FeedError::TooOld { oldest },
                    other => FeedError::Store(other),
                })?
                .into_iter()
                .map(Arc::new)
                .collect()
        };
        if let Some(last) = events.last() {
            self.cursor = last.seq;
        }
        Ok(events)
    }
}

/// Log text that travelled in the commit stays in the database: followers read it there.
fn without_text(mut sequenced: Sequenced) -> Sequenced {
    match &mut sequenced.event {
        Event::LogsSaved { saves, .. } => {
            for save in saves {
                if let LogContent::Inline(text) = &mut save.content {
                    *text = Vec::new();
                }
            }
        }
        Event::EffectsRecorded { effects, .. } => {
            for effect in effects {
                effect.outcome = Value::Null;
            }
        }
        _ => {}
    }
    sequenced
}
