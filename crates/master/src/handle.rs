//! The handle that everything above this room uses.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, RwLock},
};

use ironmaster_engine::{Input, Refusal, Reply, RetrySource, State, Waiting};
use ironmaster_logs::LogStore;
use ironmaster_model::{BuildId, BuildRequestId, JobId, LogId, Plan, RunId};
use ironmaster_store::Reader;
use ironmaster_wire::Frame;
use tokio::sync::{broadcast, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    ConfigSource, FeedReader, FileError, Health, Hint, LogHandle, LogReadError, MasterOptions, RefusedJob,
    StartError, SubmitError,
    committer::{Committer, Meta, chain},
    feed::Feed,
    files::Files,
    health::HealthCell,
    leave::Leaving,
    logs::{self, LiveLogs},
    session::{self, NotAdmitted, Sessions, StockSession},
    sources::Sources,
    workers::Workers,
};

/// A running master. Cheap to clone; all clones are the same master.
#[derive(Clone)]
pub struct Master {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) committer: Committer,
    pub(crate) reader: Reader,
    pub(crate) feed: Arc<Feed>,
    pub(crate) health: Arc<HealthCell>,
    pub(crate) logs: LogStore,
    pub(crate) files: Files,
    pub(crate) live: Arc<LiveLogs>,
    pub(crate) workers: Arc<Workers>,
    pub(crate) sessions: Sessions,
    pub(crate) sources: Arc<Sources>,
    pub(crate) plan: RwLock<Arc<Plan>>,
    /// Where further configurations come from.
    pub(crate) config: Option<Arc<dyn ConfigSource>>,
    /// Held while one is read and brought into force.
    pub(crate) reloading: tokio::sync::Mutex<()>,
    pub(crate) leaving: Leaving,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) stopped: CancellationToken,
}

impl Master {
    /// Starts a master: takes the state directory, loads what is active, takes up builds that were under way.
    pub async fn start(options: MasterOptions) -> Result<Self, StartError> {
        crate::start::start(options).await
    }

    pub(crate) fn new(inner: Inner) -> Self {
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The one way to change anything. Answered after the commit.
    pub async fn submit(&self, input: Input) -> Result<Reply, SubmitError> {
        if self.inner.stop.is_cancelled() {
            return Err(SubmitError::Stopping);
        }
        self.inner.committer.submit(input).await
    }

    /// Brings a plan into force, and keeps a value in the same commit.
    pub(crate) async fn configure(&self, plan: Arc<Plan>, kept: Option<Meta>) -> Result<(), SubmitError> {
        self.inner
            .committer
            .submit_with(Input::Configure { plan: plan.clone() }, kept)
            .await?;
        *self.inner.plan.write().expect("no panic while holding the lock") = plan.clone();
        self.inner.sources.begin(&plan, &self.inner.stop);
        Ok(())
    }

    /// Jobs that a try scheduler's job directory, or Perspective Broker, has brought lately and that were refused, oldest first. A restart forgets them;
    /// the files stay in the directory.
    pub fn refused_jobs(&self, scheduler: &str) -> Vec<RefusedJob> {
        self.inner.sources.refused.of(scheduler)
    }

    /// Keeps in mind that a job was refused whose sender cannot be told why.
    pub(crate) fn note_refused_job(&self, scheduler: &str, reason: &str) {
        self.inner.sources.refused.add(scheduler, None, reason);
    }

    /// Builds what a build built once more.
    pub async fn rebuild(&self, build: BuildId, owner: &str) -> Result<Reply, SubmitError> {
        let source = self.read(move |reader| reader.rebuild_source(build)).await;
        let source = source
            .map_err(|error| SubmitError::Unavailable {
                reason: chain(&error),
            })?
            .ok_or_else(|| Refusal::NotFound {
                what: format!("build {build}"),
            })?;
        let input = Input::Rebuild {
            rebuilt: source.rebuilt,
            builder: source.builder,
            sourcestamps: source.sourcestamps,
            properties: source.properties,
            owner: owner.to_owned(),
        };
        self.submit(input).await
    }

    /// Tries a run of a pipeline again: `job` with all that need it, or everything that has not succeeded.
    pub async fn retry_run(&self, run: RunId, job: Option<JobId>, by: &str) -> Result<Reply, SubmitError> {
        let source = self.read(move |reader| reader.retry_source(run)).await;
        let source = source
            .map_err(|error| SubmitError::Unavailable {
                reason: chain(&error),
            })?
            .ok_or_else(|| Refusal::NotFound {
                what: format!("run {run}"),
            })?;
        let input = Input::RetryRun {
            source: Box::new(RetrySource {
                run: source.run,
                sourcestamps: source.sourcestamps,
                jobs: source.jobs,
            }),
            job,
            by: by.to_owned(),
        };
        self.submit(input).await
    }

    /// The reading end of the database. Its calls block: see [`Self::read`].
    pub fn reader(&self) -> &Reader {
        &self.inner.reader
    }

    /// Reads from the database on a thread that may block.
    pub async fn read<T: Send + 'static>(&self, read: impl FnOnce(&Reader) -> T + Send + 'static) -> T {
        let reader = self.inner.reader.clone();
        match tokio::task::spawn_blocking(move || read(&reader)).await {
            Ok(value) => value,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Keeps a value under a key in the database (hashes of tokens and the like), durably.
    pub async fn set_meta(&self, key: &str, value: &str) -> Result<(), SubmitError> {
        let (key, value) = (key.to_owned(), value.to_owned());
        let written = self
            .inner
            .committer
            .write(move |store| store.set_meta(&key, &value))
            .await?;
        written.map_err(|error| SubmitError::Unavailable {
            reason: chain(&error),
        })
    }

    /// The configuration in force.
    pub fn plan(&self) -> Arc<Plan> {
        self.inner
            .plan
            .read()
            .expect("no panic while holding the lock")
            .clone()
    }

    /// Follows the feed from now on.
    pub fn subscribe(&self) -> FeedReader {
        self.subscribe_from(self.inner.feed.last_seq())
    }

    /// Follows the feed from a cursor.
    pub fn subscribe_from(&self, seq: u64) -> FeedReader {
        self.inner.feed.follow(self.inner.reader.clone(), seq)
    }

    /// Follows the hints: lossy.
    pub fn hints(&self) -> broadcast::Receiver<Hint> {
        self.inner.feed.hints()
    }

    /// Opens a log, whether it is being written or finished.
    pub async fn log(&self, log: LogId) -> Result<Option<LogHandle>, LogReadError> {
        let inner = self.inner.clone();
        match tokio::task::spawn_blocking(move || logs::open(log, &inner.live, &inner.logs, &inner.reader))
            .await
        {
            Ok(result) => result,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Where a file is that a build has uploaded, or somebody has put there; `path` is seen from the folder of all files.
    pub async fn file(&self, path: String) -> Result<PathBuf, FileError> {
        let files = self.inner.files.clone();
        match tokio::task::spawn_blocking(move || files.open(&path)).await {
            Ok(result) => result.map(|(_, place)| place),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Why a request is not being built, and what would make it run; none if it is not waiting.
    pub async fn why_waiting(&self, request: BuildRequestId) -> Option<(String, String)> {
        let why = self
            .inner
            .committer
            .look(move |state| {
                (
                    state.why_waiting(request),
                    state.problem_of(request).map(str::to_owned),
                )
            })
            .await
            .ok()?;
        match why {
            (Waiting::Unknown | Waiting::Building { .. } | Waiting::Complete { .. }, _) => None,
            (waiting, None) => Some((waiting.to_string(), waiting.remedy())),
            (waiting, Some(problem)) => Some((format!("{waiting}\n{problem}"), waiting.remedy())),
        }
    }

    /// What the running step of a build waits for, and what would make it go on; none if it is not waiting.
    pub async fn why_step_waits(&self, build: BuildId) -> Option<(String, String)> {
        let wait = self
            .inner
            .committer
            .look(move |state| state.why_step_waits(build))
            .await
            .ok()??;
        Some((wait.to_string(), wait.remedy()))
    }

    /// Why a job of a pipeline has not started; none if it is not waiting.
    pub async fn why_job_waits(&self, job: JobId) -> Option<String> {
        self.inner
            .committer
            .look(move |state| state.why_job_waits(job))
            .await
            .ok()?
    }

    /// Runs one connection of a native worker until it ends. `peer` is its address, for logs.
    pub async fn serve_worker(
        &self,
        peer: String,
        incoming: mpsc::Receiver<Box<Frame>>,
        outgoing: mpsc::Sender<Box<Frame>>,
    ) {
        // Not `track_future`, which would keep room for the session twice.
        let _tracked = self.inner.tasks.token();
        self.inner
            .sessions
            .serve_native(self.plan(), peer, incoming, outgoing)
            .await;
    }

    /// Runs one connection of a stock worker until it ends.
    pub async fn serve_stock(
        &self,
        session: StockSession,
        peer: String,
        incoming: mpsc::Receiver<Box<Frame>>,
        outgoing: mpsc::Sender<Box<Frame>>,
    ) {
        let _tracked = self.inner.tasks.token();
        self.inner
            .sessions
            .serve_stock(session, self.plan(), peer, incoming, outgoing)
            .await;
    }

    /// Whether a worker is configured, and that its token; else why not, in words that do not tell which of both is wrong.
    pub fn admit_worker(&self, peer: &str, name: &str, token: &str) -> Result<(), NotAdmitted> {
        let plan = self.plan();
        self.admit(peer, name, plan.workers.contains_key(name), || {
            session::authenticate(&plan, name, token)
        })
    }

    /// Whether somebody is who he says, which `check` finds out; `exists` says whether the configuration has that name. Failed tries
    /// count, and are told in the log.
    pub(crate) fn admit<T>(
        &self,
        peer: &str,
        name: &str,
        exists: bool,
        check: impl FnOnce() -> Result<T, String>,
    ) -> Result<T, NotAdmitted> {
        self.inner.sessions.refusals.admit(peer, name, exists, check)
    }

    /// Says in the log whose connection did not become one with TLS; not each time.
    pub(crate) fn note_no_tls(&self, peer: &str, reason: &str) {
        self.inner.sessions.refusals.note_no_tls(peer, reason);
    }

    /// Cancelled when the master stops.
    pub(crate) fn stopping(&self) -> CancellationToken {
        self.inner.stop.clone()
    }

    pub(crate) fn config_source(&self) -> Option<Arc<dyn ConfigSource>> {
        self.inner.config.clone()
    }

    pub(crate) fn reloading(&self) -> &tokio::sync::Mutex<()> {
        &self.inner.reloading
    }

    pub(crate) fn leave(&self) -> &Leaving {
        &self.inner.leaving
    }

    /// Runs a task that a stop ends.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.inner.stop.clone();
        self.inner.tasks.spawn(async move {
            let _ = stop.run_until_cancelled(task).await;
        });
    }

    /// Looks at the committed State.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&State) -> T + Send + 'static,
    ) -> Result<T, SubmitError> {
        self.inner.committer.look(look).await
    }

    /// Whether the master makes progress.
    pub fn health(&self) -> Health {
        self.inner.health.get()
    }

    /// Stops in good order. Builds are left as they are: their workers run on, and the next start takes them up.
    pub async fn stop(&self) {
        if self.inner.stop.is_cancelled() {
            return self.stopped().await;
        }
        self.inner.health.set_stopping();
        self.inner.stop.cancel();
        self.inner.workers.disconnect_all();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        if let Err(error) = self.inner.committer.submit(Input::MasterStop).await {
            tracing::warn!(%error, "the stop could not be recorded");
        }
        self.inner.committer.stop().await;
        self.stopped().await;
    }

    /// Waits until the master has stopped.
    pub async fn stopped(&self) {
        self.inner.stopped.cancelled().await;
    }
}

impl fmt::Debug for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Master")
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}
