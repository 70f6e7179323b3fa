//! The committer's sending end, and what can be sent.

use std::{sync::Arc, time::Duration};

use ironmaster_engine::{Input, Refusal, Reply, State};
use ironmaster_store::{CommitError, Store};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::outage::die;
use crate::callbacks::InForce;

/// Inputs that may wait for the committer; senders wait beyond.
const QUEUE_MAX: usize = 4096;
/// Between two tries of a fact that could not be made durable.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

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
pub(super) type Answer = oneshot::Sender<Result<Reply, SubmitError>>;
pub(super) type Look = Box<dyn FnOnce(Result<&State, SubmitError>) + Send>;
pub(super) type Write = Box<dyn FnOnce(&mut dyn Store) + Send>;

pub(crate) enum Request {
    /// Decide this, keep the value in the same commit unless it is refused, and answer after the commit. Functions of
    /// the configuration with this digest were asked about it.
    Decide(Box<Input>, Option<Meta>, Option<String>, Answer),
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
    in_force: Arc<InForce>,
    /// Ends the waiting of those who wait until the master can commit again.
    stop: CancellationToken,
}

impl Committer {
    /// The handle, and the end that [`Thread::run`](super::Thread::run) takes.
    pub(crate) fn channel(stop: CancellationToken) -> (Self, mpsc::Receiver<Request>) {
        let (requests, receiver) = mpsc::channel(QUEUE_MAX);
        let committer = Self {
            requests,
            in_force: Arc::default(),
            stop,
        };
        (committer, receiver)
    }

    /// Functions of the configuration in force.
    pub(crate) fn functions(&self) -> &Arc<InForce> {
        &self.in_force
    }

    /// Has an input decided; answers after the commit.
    pub(crate) async fn submit(&self, input: Input) -> Result<Reply, SubmitError> {
        self.submit_with(input, None).await
    }

    /// As [`Self::submit`]; a value is kept under a key in the same commit, unless the input is refused.
    pub(crate) async fn submit_with(&self, input: Input, meta: Option<Meta>) -> Result<Reply, SubmitError> {
        let (input, asked) = self.in_force.ask(input).await;
        let (answer, answered) = oneshot::channel();
        self.requests
            .send(Request::Decide(Box::new(input), meta, asked, answer))
            .await
            .map_err(|_| SubmitError::Stopping)?;
        answered.await.map_err(|_| SubmitError::Stopping)?
    }

    /// As [`Self::submit`], but waits until the master can commit again, or is to stop. For facts from the world (a command's
    /// outcome, a change) that must not be dropped because a disk is full. What the next start finds out by itself may be dropped
    /// by a stop.
    pub(crate) async fn submit_fact(&self, input: Input) -> Result<Reply, SubmitError> {
        self.submit_fact_with(input, None).await
    }

    /// As [`Self::submit_fact`]; a value is kept under a key in the same commit, unless the input is refused.
    pub(crate) async fn submit_fact_with(
        &self,
        input: Input,
        meta: Option<Meta>,
    ) -> Result<Reply, SubmitError> {
        let submitting = async {
            loop {
                match self.submit_with(input.clone(), meta.clone()).await {
                    Err(SubmitError::Unavailable { .. }) => tokio::time::sleep(RETRY_INTERVAL).await,
                    other => return other,
                }
            }
        };
        let done = self.stop.run_until_cancelled(submitting).await;
        done.unwrap_or(Err(SubmitError::Stopping))
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
        write: impl FnOnce(&mut dyn Store) -> Result<T, CommitError> + Send + 'static,
    ) -> Result<Result<T, CommitError>, SubmitError> {
        let (answer, answered) = oneshot::channel();
        let write: Write = Box::new(move |store| {
            let result = write(store);
            if let Err(error @ CommitError::Fatal { .. }) = &result {
                die(error);
            }
            // Who asked may have gone away.
            let _ = answer.send(result);
        });
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

pub(super) fn refuse_all(replies: Vec<(Result<Reply, Refusal>, Option<Answer>)>, reason: &str) {
    for (_, answer) in replies {
        let reason = reason.to_owned();
        reply(answer, Err(SubmitError::Unavailable { reason }));
    }
}

pub(super) fn reply(answer: Option<Answer>, result: Result<Reply, SubmitError>) {
    if let Some(answer) = answer {
        // Who asked may have gone away; what was decided stays.
        let _ = answer.send(result);
    }
}
