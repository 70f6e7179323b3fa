//! How a master is asked to stop, by whatever way: at once, or when the builds that run are over. Until it has begun to
//! stop, it can be told to go on after all.

use std::sync::Mutex;

use ironmaster_engine::{Input, State};
use ironmaster_model::{BuildId, BuildRecord, MasterId, RequestPhase, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{Condition, FeedError, Master, SubmitError};

/// How a master is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// In good order, without waiting for builds: their commands run on where they are, and the next start takes them up.
    Soon,
    /// The same without waiting for requests that are being answered.
    Now,
}

/// What somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopWhen {
    /// When no build runs any more. Until then none starts.
    NoBuildRuns,
    /// See [`Leave::Soon`].
    Soon,
    /// See [`Leave::Now`].
    Now,
}

/// What the master is asked to do about its end.
#[derive(Debug)]
pub(crate) struct Leaving {
    asked: watch::Sender<Option<Leave>>,
    waiting: Mutex<Option<Wait>>,
}

#[derive(Debug)]
struct Wait {
    by: String,
    cancel: CancellationToken,
}

impl Default for Leaving {
    fn default() -> Self {
        Self {
            asked: watch::Sender::new(None),
            waiting: Mutex::new(None),
        }
    }
}

/// What a master says of itself.
#[derive(Clone, Debug)]
pub struct Status {
    /// Its id.
    pub master: MasterId,
    /// Its name.
    pub name: String,
    /// When it started.
    pub started_at: Timestamp,
    /// Whether it takes inputs.
    pub condition: Condition,
    /// Identity of the configuration in force.
    pub config: String,
    /// Who had it wait for the end of all builds in order to stop.
    pub draining_by: Option<String>,
    /// Whether it was told to stop, and no more can be said against it.
    pub leaving: bool,
    /// Builds that run.
    pub running: Vec<RunningBuild>,
    /// Requests that wait.
    pub waiting: usize,
}

/// A build that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningBuild {
    /// Its id.
    pub build: BuildId,
    /// Its builder's name.
    pub builder: String,
    /// Its number.
    pub number: u64,
    /// Its worker's name.
    pub worker: String,
}

impl Master {
    /// Asks this master to stop. Whoever runs it hears of it by [`Self::leaving`].
    pub async fn ask_to_stop(&self, when: StopWhen, by: &str) -> Result<(), SubmitError> {
        let leave = match when {
            StopWhen::Soon => Leave::Soon,
            StopWhen::Now => Leave::Now,
            StopWhen::NoBuildRuns => {
                self.submit(Input::Drain { draining: true }).await?;
                let cancel = CancellationToken::new();
                let wait = Wait {
                    by: by.to_owned(),
                    cancel: cancel.clone(),
                };
                let before = self.leave().waiting().replace(wait);
                if let Some(before) = before {
                    before.cancel.cancel();
                }
                tracing::info!(by, "stopping when no build runs any more; until then none starts");
                let master = self.clone();
                self.spawn(async move {
                    let over = cancel.run_until_cancelled(master.until_idle()).await;
                    if over.is_some() {
                        tracing::info!("no build runs any more");
                        master.leave().ask(Leave::Soon);
                    }
                });
                return Ok(());
            }
        };
        tracing::info!(by, "asked to stop");
        self.leave().ask(leave);
        Ok(())
    }

    /// Has a master that waits for builds in order to stop go on after all. Returns whether it did; one that has begun to
    /// stop does not.
    pub async fn cancel_stop(&self, by: &str) -> Result<bool, SubmitError> {
        if self.leave().asked.borrow().is_some() {
            return Ok(false);
        }
        let wait = self.leave().waiting().take();
        if let Some(wait) = wait {
            wait.cancel.cancel();
            tracing::info!(by, "the stop is cancelled");
        }
        self.submit(Input::Drain { draining: false }).await?;
        Ok(true)
    }

    /// Waits until somebody has asked the master to stop, and it is time.
    pub async fn leaving(&self) -> Leave {
        let mut asked = self.leave().asked.subscribe();
        match asked.wait_for(Option::is_some).await.map(|leave| *leave) {
            Ok(Some(leave)) => leave,
            // The sender lives as long as the master.
            _ => std::future::pending().await,
        }
    }

    /// What the master says of itself.
    pub async fn status(&self) -> Result<Option<Status>, SubmitError> {
        let draining_by = self.leave().waiting().as_ref().map(|wait| wait.by.clone());
        let leaving = self.leave().asked.borrow().is_some();
        let condition = self.health().condition;
        self.look(move |state| {
            let master = state.master()?;
            let name_of = |build: &BuildRecord| RunningBuild {
                build: build.id,
                builder: state
                    .builder(build.builder)
                    .map(|builder| builder.name.clone())
                    .unwrap_or_default(),
                number: build.number,
                worker: state
                    .worker(build.worker)
                    .map(|worker| worker.name.clone())
                    .unwrap_or_default(),
            };
            Some(Status {
                master: master.id,
                name: master.name.clone(),
                started_at: master.last_active,
                condition,
                config: state.config_digest().to_owned(),
                draining_by: draining_by.filter(|_| master.draining),
                leaving,
                running: holding(state).map(name_of).collect(),
                waiting: state
                    .requests()
                    .filter(|request| matches!(request.phase, RequestPhase::Queued))
                    .count(),
            })
        })
        .await
    }

    async fn until_idle(&self) {
        loop {
            // Followed before looking: an end in between is not missed.
            let mut feed = self.subscribe();
            loop {
                let running = self.look(|state| holding(state).count()).await;
                if matches!(running, Ok(0) | Err(SubmitError::Stopping)) {
                    return;
                }
                match feed.next().await {
                    Ok(_) => {}
                    Err(FeedError::TooOld { .. }) => break,
                    Err(FeedError::Store(error)) => {
                        tracing::warn!(%error, "the end of the builds is waited for by looking");
                        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                        break;
                    }
                    Err(FeedError::Closed) => return,
                }
            }
        }
    }
}

/// Builds that a stop waits for. One that waits itself for builds that it has asked for holds no slot; the next start
/// takes it up.
fn holding(state: &State) -> impl Iterator<Item = &BuildRecord> {
    state.active_builds().filter(|build| build.waits.is_none())
}

impl Leaving {
    fn waiting(&self) -> std::sync::MutexGuard<'_, Option<Wait>> {
        self.waiting.lock().expect("no panic while holding the lock")
    }

    fn ask(&self, leave: Leave) {
        self.asked.send_replace(Some(leave));
    }
}
