//! The committer: one thread that owns the State and the database's writing end.
//!
//! It takes whatever inputs have arrived, decides them one after another, makes all their events durable in one
//! transaction, and only then acts: wakes the feed, tells the runner, answers. Thousands of inputs share one
//! `fsync`, and nobody sees State ahead of its commit.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration as StdDuration, Instant, SystemTime},
};

use ironmaster_engine::{Input, Refusal, Reply, State, Tx, decide};
use ironmaster_model::{CallbackSet, Counter, Sequenced, Timestamp};
use ironmaster_store::{Batch, CommitError, Store, StoreError};
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
/// Between two looks whether a full disk has room again, or the database is back; the first look is sooner.
const PROBE_INTERVAL: StdDuration = StdDuration::from_secs(1);
/// Before the first look. Each is twice as long in coming as the one before it.
const PROBE_FIRST: StdDuration = StdDuration::from_millis(100);
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
type Look = Box<dyn FnOnce(Result<&State, SubmitError>) + Send>;
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
        let look: Look = Box::new(move |state| drop(answer.send(state.map(look))));
        self.requests
            .send(Request::Look(look))
            .await
            .map_err(|_| SubmitError::Stopping)?;
        answered.await.map_err(|_| SubmitError::Stopping)?
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
    /// What has to be settled before anything is decided again.
    pub(crate) unsettled: Unsettled,
    /// When to look next whether the trouble is over, and how long after that again.
    pub(crate) next_probe: (Instant, StdDuration),
}

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
    events: Vec<Sequenced>,
    moved: BTreeMap<Counter, u64>,
    replies: Vec<(Result<Reply, Refusal>, Option<Answer>)>,
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
                    Request::Decide(input, meta, answer) => inputs.push(Submission {
                        input: *input,
                        meta,
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
                refuse_all(replies, &reason);
            }
            Outcome::Doubtful(error, moved) => {
                self.explain(&error);
                self.unsettled = Unsettled::Doubt(Doubt {
                    events,
                    moved,
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

    /// Back to what the tables say, as soon as they can be read; returns whether they could.
    fn reload(&mut self) -> bool {
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
    fn explain(&mut self, error: &CommitError) -> String {
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
            self.health.set(Condition::Degraded {
                reason: reason.clone(),
            });
            self.next_probe = (Instant::now() + PROBE_FIRST, PROBE_FIRST * 2);
        }
        reason
    }

    fn is_degraded(&self) -> bool {
        matches!(self.health.get().condition, Condition::Degraded { .. })
    }

    /// State, if it is what the tables say.
    fn committed_state(&self) -> Result<&State, SubmitError> {
        match (&self.unsettled, self.health.get().condition) {
            (Unsettled::Reload | Unsettled::Doubt(_), Condition::Degraded { reason }) => {
                Err(SubmitError::Unavailable { reason })
            }
            _ => Ok(&self.state),
        }
    }

    /// Looks, now and then, whether the trouble is over: a full disk has room again, or the database is back.
    fn recovered(&mut self) -> bool {
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
            self.health.set(Condition::Serving);
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

    /// Acts on what has just become true.
    fn act(&mut self, events: Vec<Sequenced>) {
        for event in &events {
            self.runner.act(&self.state, &event.event);
        }
        self.feed.publish(events);
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

fn refuse_all(replies: Vec<(Result<Reply, Refusal>, Option<Answer>)>, reason: &str) {
    for (_, answer) in replies {
        let reason = reason.to_owned();
        reply(answer, Err(SubmitError::Unavailable { reason }));
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
        "the database cannot be trusted any more; the master ends here and recovers at its next start"
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
    last: Instant,
}

impl Periodic {
    fn new(interval: StdDuration) -> Self {
        Self {
            interval,
            last: Instant::now(),
        }
    }

    fn left(&self) -> StdDuration {
        self.interval.saturating_sub(self.last.elapsed())
    }

    fn due(&mut self) -> bool {
        let due = self.left().is_zero();
        if due {
            self.last = Instant::now();
        }
        due
    }
}
