//! The committer: one thread that owns the State and the database's writing end.
//!
//! It takes whatever inputs have arrived, decides them one after another, makes all their events durable in one
//! transaction, and only then acts: wakes the feed, tells the runner, answers. Thousands of inputs share one
//! `fsync`, and nobody sees State ahead of its commit.

mod handle;
mod outage;
mod periodic;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration as StdDuration, Instant, SystemTime},
};

use ironmaster_engine::{Input, State, Tx, decide};
use ironmaster_model::{Counter, Sequenced, Timestamp};
use ironmaster_store::{Batch, CommitError, Store, StoreError};
use tokio::sync::{Notify, mpsc};

pub use self::handle::SubmitError;
use self::{
    handle::{Answer, refuse_all, reply},
    outage::{Doubt, die},
    periodic::Periodic,
};
pub(crate) use self::{
    handle::{Committer, Meta, Request},
    outage::Unsettled,
};
use crate::{
    callbacks::{self, Functions, InForce},
    crash,
    feed::Feed,
    health::HealthCell,
    runner::Runner,
};

/// Inputs decided in one commit.
const BATCH_MAX: usize = 512;
/// Between two looks of the watchdog.
const WATCHDOG_INTERVAL: StdDuration = StdDuration::from_secs(30);
/// Between two removals of old events from the feed's table.
const PRUNE_INTERVAL: StdDuration = StdDuration::from_mins(1);

/// What the committer's thread owns.
pub(crate) struct Thread {
    pub(crate) state: State,
    pub(crate) store: Box<dyn Store>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) runner: Arc<Runner>,
    pub(crate) health: Arc<HealthCell>,
    pub(crate) batch_id: u64,
    /// Counters as of the last commit: only those that moved are written.
    pub(crate) counters: BTreeMap<Counter, u64>,
    /// Functions of the configuration in force. Not those of the State's plan, which a database cannot keep.
    pub(crate) functions: Functions,
    /// The same for everybody else.
    pub(crate) in_force: Arc<InForce>,
    /// Told when functions are to be asked what starts.
    pub(crate) choosing: Arc<Notify>,
    /// Told when functions are to be asked about requests.
    pub(crate) judging: Arc<Notify>,
    /// Events that the feed's table keeps for followers who were away.
    pub(crate) feed_events: u64,
    /// What has to be settled before anything is decided again.
    pub(crate) unsettled: Unsettled,
    /// When to look next whether the trouble is over, and how long after that again.
    pub(crate) next_probe: (Instant, StdDuration),
}

/// An input on its way through a commit.
struct Submission {
    input: Input,
    meta: Option<Meta>,
    /// The configuration whose functions were asked about it, if some were.
    asked: Option<String>,
    answer: Option<Answer>,
}

/// What became of a batch.
enum Outcome {
    Committed,
    /// Not committed; State is as before, or that is [unsettled](Unsettled).
    Failed(CommitError),
    /// Not known yet. These are the counters that moved.
    Doubtful(CommitError, BTreeMap<Counter, u64>),
}

impl Thread {
    /// Runs until told to stop. Call on a thread of its own that may enter `runtime`.
    pub(crate) fn run(mut self, mut requests: mpsc::Receiver<Request>, runtime: &tokio::runtime::Handle) {
        let mut watchdog = Periodic::new(WATCHDOG_INTERVAL);
        let mut prune = Periodic::new(PRUNE_INTERVAL);
        let mut pruning = false;
        loop {
            let mut wait = watchdog.left().min(prune.left());
            if self.is_degraded() {
                wait = wait.min(self.next_probe.0.saturating_duration_since(Instant::now()));
            } else if let Some(deadline) = self.state.next_deadline() {
                wait = wait.min(deadline.since(clock()).into());
            }
            if pruning {
                wait = wait.min(StdDuration::from_millis(50));
            }
            let first = runtime.block_on(async { tokio::time::timeout(wait, requests.recv()).await });
            let mut inputs = Vec::new();
            let mut stop = false;
            let mut next = match first {
                Ok(Some(request)) => Some(request),
                Ok(None) => return,
                Err(_) => None,
            };
            while let Some(request) = next {
                match request {
                    Request::Decide(input, meta, asked, answer) => inputs.push(Submission {
                        input: *input,
                        meta,
                        asked,
                        answer: Some(answer),
                    }),
                    Request::Look(look) => {
                        // It may rely on what was submitted before it.
                        self.decide_all(std::mem::take(&mut inputs));
                        look(self.committed_state());
                    }
                    Request::Write(write) => {
                        self.decide_all(std::mem::take(&mut inputs));
                        write(&mut *self.store);
                    }
                    Request::Stop => stop = true,
                }
                next = if stop || inputs.len() >= BATCH_MAX {
                    None
                } else {
                    requests.try_recv().ok()
                };
            }
            if self.is_degraded() {
                self.recovered();
            }
            if !self.is_degraded()
                && self
                    .state
                    .next_deadline()
                    .is_some_and(|deadline| deadline <= clock())
            {
                inputs.push(Submission {
                    input: Input::Tick,
                    meta: None,
                    asked: None,
                    answer: None,
                });
            }
            self.decide_all(inputs);
            if stop {
                return;
            }
            if watchdog.due() {
                self.watch();
            }
            if (prune.due() || pruning) && !self.is_degraded() {
                pruning = self.prune();
            }
        }
    }

    /// Decides and commits inputs together; one by one if the database refuses them together.
    fn decide_all(&mut self, inputs: Vec<Submission>) {
        if inputs.is_empty() {
            return;
        }
        if let Some(reason) = self.health.trouble()
            && !self.recovered()
        {
            for submission in inputs {
                reply(
                    submission.answer,
                    Err(SubmitError::Unavailable {
                        reason: reason.clone(),
                    }),
                );
            }
            return;
        }
        let alone = inputs.len() == 1;
        let spare: Vec<_> = if alone {
            Vec::new()
        } else {
            let kept = inputs.iter();
            kept.map(|submission| {
                let Submission {
                    input, meta, asked, ..
                } = submission;
                (input.clone(), meta.clone(), asked.clone())
            })
            .collect()
        };
        let functions_before = self.functions.clone();
        let mut events = Vec::new();
        let mut metas = Vec::new();
        let mut replies = Vec::with_capacity(inputs.len());
        for submission in inputs {
            let Submission {
                input,
                meta,
                asked,
                answer,
            } = submission;
            let now = clock().max(self.state.now());
            let brought = match &input {
                Input::Configure { plan } => Some(Functions::of(plan)),
                _ => None,
            };
            // They were asked before, but of another configuration: rare enough for asking them here.
            let is_late = matches!(input, Input::Change(_)) && asked.as_ref() != Some(&self.functions.config);
            let input = if is_late {
                callbacks::ask(&self.functions.set, input)
            } else {
                input
            };
            let mut tx = Tx::new(&mut self.state, now);
            let result = decide(&mut tx, input);
            // What follows in this batch is asked of the configuration that it will be decided by.
            if let (Some(brought), Ok(_)) = (brought, &result) {
                self.functions = brought;
            }
            events.extend(tx.finish());
            metas.extend(meta.filter(|_| result.is_ok()));
            replies.push((result, answer));
        }
        let outcome = self.commit(&events, &metas);
        let functions_after = self.functions.clone();
        if !matches!(outcome, Outcome::Committed) {
            self.functions = functions_before;
        }
        match outcome {
            Outcome::Committed => {
                self.in_force.set(functions_after);
                self.act(events);
                for (result, answer) in replies {
                    reply(answer, result.map_err(SubmitError::from));
                }
            }
            Outcome::Failed(CommitError::Rejected { reason, .. }) if !alone => {
                tracing::error!(
                    reason,
                    "the database refused a batch; deciding its inputs one by one"
                );
                for ((input, meta, asked), (_, answer)) in spare.into_iter().zip(replies) {
                    self.decide_all(vec![Submission {
                        input,
                        meta,
                        asked,
                        answer,
                    }]);
                }
            }
            Outcome::Failed(error) => {
                let reason = self.explain(&error);
                refuse_all(replies, &reason);
            }
            Outcome::Doubtful(error, moved) => {
                self.explain(&error);
                self.unsettled = Unsettled::Doubt(Doubt {
                    events,
                    moved,
                    functions: functions_after,
                    replies,
                });
            }
        }
    }

    fn commit(&mut self, events: &[Sequenced], meta: &[Meta]) -> Outcome {
        if events.is_empty() && meta.is_empty() {
            return Outcome::Committed;
        }
        self.batch_id += 1;
        let mut moved = self.state.counters().clone();
        moved.retain(|counter, next| self.counters.get(counter) != Some(next));
        crash::point("before_commit");
        let result = self.store.commit(&Batch {
            id: self.batch_id,
            events,
            counters: &moved,
            meta,
        });
        crash::point("after_commit");
        let error = match result {
            Ok(()) => {
                self.counters.extend(moved);
                return Outcome::Committed;
            }
            Err(error) => error,
        };
        match error {
            CommitError::Fatal { .. } => die(&error),
            CommitError::Unknown { .. } => match self.store.committed(self.batch_id) {
                Ok(true) => {
                    self.counters.extend(moved);
                    return Outcome::Committed;
                }
                Ok(false) => {}
                Err(StoreError::Unreachable { .. }) => return Outcome::Doubtful(error, moved),
                Err(lost) => die(&lost),
            },
            CommitError::NoSpace | CommitError::Rejected { .. } | CommitError::Unreachable { .. } => {}
        }
        self.reload();
        Outcome::Failed(error)
    }

    /// Acts on what has just become true.
    fn act(&mut self, events: Vec<Sequenced>) {
        for event in &events {
            self.runner.act(&self.state, &event.event);
        }
        if self.state.has_choices() {
            self.choosing.notify_one();
        }
        if self.state.has_cases() {
            self.judging.notify_one();
        }
        self.feed.publish(events);
    }

    /// Removes some old events; whether there are more to remove.
    fn prune(&mut self) -> bool {
        match self.store.prune_events(self.feed_events) {
            Ok(more) => more,
            Err(error @ CommitError::Fatal { .. }) => die(&error),
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    "old events are not removed from the feed yet"
                );
                false
            }
        }
    }

    fn watch(&mut self) {
        if self.is_degraded() {
            return;
        }
        let stuck: Vec<String> = self
            .state
            .stuck(clock())
            .iter()
            .map(|stuck| stuck.why.clone())
            .collect();
        for finding in &stuck {
            tracing::error!(finding, "there is work and a worker for it, yet nothing starts");
        }
        self.health.set_stuck(stuck);
    }
}

/// An error with all its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The wall clock. The only place of the master that reads it for decisions.
pub(crate) fn clock() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
