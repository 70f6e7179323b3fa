//! The committer: one thread that owns the State and the database's writing end.
//!
//! It takes whatever inputs have arrived, decides them one after another, makes all their events durable in one
//! transaction, and only then acts: wakes the feed, tells the runner, answers. Thousands of inputs share one
//! `fsync`, and nobody sees State ahead of its commit.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration as StdDuration, SystemTime},
};

use ironmaster_engine::{Input, Refusal, Reply, State, Tx, decide};
use ironmaster_model::{CallbackSet, Counter, Sequenced, Timestamp};
use ironmaster_store::{Batch, CommitError, Store};
use tokio::sync::{mpsc, oneshot};

use crate::{
    callbacks, crash,
    feed::Feed,
    health::{Condition, HealthCell},
    runner::Runner,
};

/// Inputs that may wait for the committer; senders wait beyond.
const QUEUE_MAX: usize = 4096;
/// Inputs decided in one commit.
const BATCH_MAX: usize = 512;
/// Between two looks whether a full disk has room again.
const PROBE_INTERVAL: StdDuration = StdDuration::from_secs(1);
/// Between two looks of the watchdog.
const WATCHDOG_INTERVAL: StdDuration = StdDuration::from_secs(30);
/// Between two removals of old events from the feed's table.
const PRUNE_INTERVAL: StdDuration = StdDuration::from_mins(1);
/// Events that the feed's table keeps for followers who were away.
const EVENTS_KEEP: u64 = 200_000;

/// Why an input did not lead to a commit.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// It was refused; nothing has changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The master cannot make anything durable now. It goes on by itself when it can; try again then.
    #[error("nothing can be changed now: {reason}")]
    Unavailable {
        /// What is wrong, for people.
        reason: String,
    },
    /// The master stops.
    #[error("the master is stopping")]
    Stopping,
}

/// A value to keep under a key in the commit of an input.
pub(crate) type Meta = (String, String);
type Answer = oneshot::Sender<Result<Reply, SubmitError>>;
type Look = Box<dyn FnOnce(&State) + Send>;
type Write = Box<dyn FnOnce(&mut dyn Store) + Send>;

pub(crate) enum Request {
    /// Decide this, keep the value in the same commit unless it is refused, and answer after the commit.
    Decide(Box<Input>, Option<Meta>, Answer),
    /// Let somebody look at the committed State.
    Look(Look),
    /// Let somebody use the database's writing end between two commits (keys, cursors).
    Write(Write),
    /// Stop after what has arrived before.
    Stop,
}

/// The sending end; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Committer {
    requests: mpsc::Sender<Request>,
}

impl Committer {
    /// The handle, and the end that [`Thread::run`] takes.
    pub(crate) fn channel() -> (Self, mpsc::Receiver<Request>) {
        let (requests, receiver) = mpsc::channel(QUEUE_MAX);
        (Self { requests }, receiver)
    }

    /// Has an input decided; answers after the commit.
    pub(crate) async fn submit(&self, input: Input) -> Result<Reply, SubmitError> {
        self.submit_with(input, None).await
    }

    async fn submit_with(&self, input: Input, meta: Option<Meta>) -> Result<Reply, SubmitError> {
        let (answer, answered) = oneshot::channel();
        self.requests
            .send(Request::Decide(Box::new(input), meta, answer))
            .await
            .map_err(|_| SubmitError::Stopping)?;
        answered.await.map_err(|_| SubmitError::Stopping)?
    }

    /// As [`Self::submit`], but waits until the master can commit again. For facts from the world (a command's
    /// outcome, a lost connection) that must not be dropped because a disk is full.
    pub(crate) async fn submit_fact(&self, input: Input) -> Result<Reply, SubmitError> {
        self.submit_fact_with(input, None).await
    }

    /// As [`Self::submit_fact`]; a value is kept under a key in the same commit, unless the input is refused.
    pub(crate) async fn submit_fact_with(
        &self,
        input: Input,
        meta: Option<Meta>,
    ) -> Result<Reply, SubmitError> {
        loop {
            match self.submit_with(input.clone(), meta.clone()).await {
                Err(SubmitError::Unavailable { .. }) => tokio::time::sleep(PROBE_INTERVAL / 2).await,
                other => return other,
            }
        }
    }

    /// Looks at the committed State.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&State) -> T + Send + 'static,
    ) -> Result<T, SubmitError> {
        let (answer, answered) = oneshot::channel();
        let look: Look = Box::new(move |state| drop(answer.send(look(state))));
        self.requests
            .send(Request::Look(look))
            .await
            .map_err(|_| SubmitError::Stopping)?;
        answered.await.map_err(|_| SubmitError::Stopping)
    }

    /// Uses the database's writing end between two commits.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut dyn Store) -> T + Send + 'static,
    ) -> Result<T, SubmitError> {
        let (answer, answered) = oneshot::channel();
        let write: Write = Box::new(move |store| drop(answer.send(write(store))));
        self.requests
            .send(Request::Write(write))
            .await
            .map_err(|_| SubmitError::Stopping)?;
        answered.await.map_err(|_| SubmitError::Stopping)
    }

    /// Has the committer stop after what it was given before.
    pub(crate) async fn stop(&self) {
        // Gone already is as good.
        let _ = self.requests.send(Request::Stop).await;
    }
}

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
    pub(crate) callbacks: CallbackSet,
}

/// An input on its way through a commit.
struct Submission {
    input: Input,
    meta: Option<Meta>,
    answer: Option<Answer>,
}

/// What became of a batch.
enum Outcome {
    Committed,
    /// Not committed; State is as before.
    Failed(CommitError),
}

impl Thread {
    /// Runs until told to stop. Call on a thread of its own that may enter `runtime`.
    pub(crate) fn run(mut self, mut requests: mpsc::Receiver<Request>, runtime: &tokio::runtime::Handle) {
        let mut watchdog = Periodic::new(WATCHDOG_INTERVAL);
        let mut prune = Periodic::new(PRUNE_INTERVAL);
        let mut pruning = false;
        loop {
            let mut wait = watchdog.left().min(prune.left());
            if let Some(deadline) = self.state.next_deadline() {
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
                    Request::Decide(input, meta, answer) => inputs.push(Submission {
                        input: *input,
                        meta,
                        answer: Some(answer),
                    }),
                    Request::Look(look) => {
                        // It may rely on what was submitted before it.
                        self.decide_all(std::mem::take(&mut inputs));
                        look(&self.state);
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
            if self
                .state
                .next_deadline()
                .is_some_and(|deadline| deadline <= clock())
            {
                inputs.push(Submission {
                    input: Input::Tick,
                    meta: None,
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
            if prune.due() || pruning {
                pruning = self.store.prune_events(EVENTS_KEEP).unwrap_or(false);
            }
        }
    }

    /// Decides and commits inputs together; one by one if the database refuses them together.
    fn decide_all(&mut self, inputs: Vec<Submission>) {
        if inputs.is_empty() {
            return;
        }
        if let Condition::Degraded { reason } = self.health.get().condition
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
            kept.map(|submission| (submission.input.clone(), submission.meta.clone()))
                .collect()
        };
        let callbacks_before = self.callbacks.clone();
        let mut events = Vec::new();
        let mut metas = Vec::new();
        let mut replies = Vec::with_capacity(inputs.len());
        for Submission { input, meta, answer } in inputs {
            let now = clock().max(self.state.now());
            let brought = match &input {
                Input::Configure { plan } => Some(plan.callbacks.clone()),
                _ => None,
            };
            let input = callbacks::ask(&self.callbacks, input);
            let mut tx = Tx::new(&mut self.state, now);
            let result = decide(&mut tx, input);
            // What follows in this batch is asked of the configuration that it will be decided by.
            if let (Some(brought), Ok(_)) = (brought, &result) {
                self.callbacks = brought;
            }
            events.extend(tx.finish());
            metas.extend(meta.filter(|_| result.is_ok()));
            replies.push((result, answer));
        }
        let outcome = self.commit(&events, &metas);
        if !matches!(outcome, Outcome::Committed) {
            self.callbacks = callbacks_before;
        }
        match outcome {
            Outcome::Committed => {
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
                for ((input, meta), (_, answer)) in spare.into_iter().zip(replies) {
                    self.decide_all(vec![Submission { input, meta, answer }]);
                }
            }
            Outcome::Failed(error) => {
                let reason = self.explain(&error);
                for (_, answer) in replies {
                    reply(
                        answer,
                        Err(SubmitError::Unavailable {
                            reason: reason.clone(),
                        }),
                    );
                }
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
                Err(lost) => die(&lost),
            },
            CommitError::NoSpace | CommitError::Rejected { .. } => {}
        }
        self.reload();
        Outcome::Failed(error)
    }

    /// Back to what the tables say.
    fn reload(&mut self) {
        let snapshot = self.store.load().unwrap_or_else(|error| die(&error));
        self.state = State::load(snapshot).unwrap_or_else(|error| die(&error));
        self.counters = self.state.counters().clone();
    }

    /// Says what a failed commit means, and remembers it where it lasts.
    fn explain(&mut self, error: &CommitError) -> String {
        let reason = match error {
            CommitError::NoSpace => {
                "the disk that holds the state directory is full; free some space, the master goes on by itself".to_owned()
            }
            other => format!("internal error: {}", chain(other)),
        };
        tracing::error!(reason, "a commit failed; nothing of it has happened");
        if matches!(error, CommitError::NoSpace) {
            self.health.set(Condition::Degraded {
                reason: reason.clone(),
            });
        }
        reason
    }

    /// Whether a full disk has room again.
    fn recovered(&mut self) -> bool {
        if self.store.probe().is_err() {
            return false;
        }
        tracing::info!("the disk has room again; going on");
        self.health.set(Condition::Serving);
        true
    }

    /// Acts on what has just become true.
    fn act(&mut self, events: Vec<Sequenced>) {
        for event in &events {
            self.runner.act(&self.state, &event.event);
        }
        self.feed.publish(events);
    }

    fn watch(&mut self) {
        if matches!(self.health.get().condition, Condition::Degraded { .. }) {
            self.recovered();
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

fn reply(answer: Option<Answer>, result: Result<Reply, SubmitError>) {
    if let Some(answer) = answer {
        // Who asked may have gone away; what was decided stays.
        let _ = answer.send(result);
    }
}

/// The tables are the truth: leave at once, and let the next start read them.
fn die(error: &dyn std::error::Error) -> ! {
    tracing::error!(
        error = chain(error),
        "the state directory cannot be trusted any more; the master ends here and recovers at its next start"
    );
    std::process::exit(70)
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

/// Something that is due every so often.
struct Periodic {
    interval: StdDuration,
    last: std::time::Instant,
}

impl Periodic {
    fn new(interval: StdDuration) -> Self {
        Self {
            interval,
            last: std::time::Instant::now(),
        }
    }

    fn left(&self) -> StdDuration {
        self.interval.saturating_sub(self.last.elapsed())
    }

    fn due(&mut self) -> bool {
        let due = self.left().is_zero();
        if due {
            self.last = std::time::Instant::now();
        }
        due
    }
}
