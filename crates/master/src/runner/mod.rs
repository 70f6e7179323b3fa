//! The runner: one task a build. Committed events tell it what to begin, stop or give up; what comes of it goes
//! back as inputs. It decides nothing.

mod build;
mod host;
mod record;
mod step_logs;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use ironmaster_engine::{Assignment, State};
use ironmaster_logs::LogStore;
use ironmaster_model::{BuildId, EffectRecord, Event, StepId, StepRecord, WorkerInfo};
use ironmaster_store::Reader;
use tokio::sync::{Notify, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{committer::Committer, feed::Feed, files::Files, logs::LiveLogs, workers::Workers};

/// What every build needs.
#[derive(Debug)]
pub(crate) struct Runner {
    pub(crate) committer: Committer,
    pub(crate) workers: Arc<Workers>,
    pub(crate) logs: LogStore,
    pub(crate) files: Files,
    pub(crate) live: Arc<LiveLogs>,
    pub(crate) reader: Reader,
    pub(crate) feed: Arc<Feed>,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) builds: Mutex<BTreeMap<BuildId, watch::Sender<Control>>>,
    /// Told when the jobs of a run are to be read.
    pub(crate) definitions: Arc<Notify>,
}

/// What a build's task is told. Always the newest: nothing queues up.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    /// The build with its running step.
    pub(crate) assignment: Arc<Assignment>,
    /// What its worker says of itself.
    pub(crate) worker: Arc<WorkerInfo>,
    /// Of the step that waited last: what came of what it waited for.
    pub(crate) resumed: Option<(StepId, Arc<EffectRecord>)>,
    /// Whether the build is over.
    pub(crate) over: bool,
}

impl Runner {
    /// Acts on one committed event. `state` is that after the whole commit.
    pub(crate) fn act(self: &Arc<Self>, state: &State, event: &Event) {
        match event {
            Event::BuildStarted { build, .. } => self.begin(state, build.id, false),
            Event::BuildResumed { build, step, effect } => {
                self.tell_with(state, *build, Some((*step, Arc::new(effect.clone()))));
            }
            Event::StepStarted { step, .. } if self.knows(step) => {}
            Event::StepStarted { step, .. } => self.tell(state, step.build),
            Event::StepLocksAcquired { build, .. }
            | Event::BuildStopRequested { build, .. }
            | Event::BuildLost { build, .. } => self.tell(state, *build),
            Event::BuildFinished { build, .. } => {
                let finished = self
                    .builds
                    .lock()
                    .expect("no panic while holding the lock")
                    .remove(build);
                if let Some(control) = finished {
                    control.send_modify(|control| control.over = true);
                }
            }
            Event::RunCreated { run } if run.source.is_some() => self.definitions.notify_one(),
            Event::WorkerDismissed {
                worker,
                instance,
                reason,
            } => {
                if let Some(worker) = state.worker(*worker) {
                    tracing::info!(worker = worker.name, reason, "worker told to end");
                    let link = self.workers.link(&worker.name);
                    link.dismiss(instance, reason, worker.killed);
                }
            }
            Event::WorkerMissing { worker, since } => {
                if let Some(worker) = state.worker(*worker) {
                    tracing::warn!(worker = worker.name, %since, "worker is missing");
                }
            }
            _ => {}
        }
    }

    /// After a restart: takes up every build that is under way.
    pub(crate) fn resume(self: &Arc<Self>, state: &State) {
        let active = state.active_builds().map(|build| build.id.0).collect();
        self.files.sweep(&active);
        for build in state.active_builds() {
            self.begin(state, build.id, true);
        }
    }

    fn begin(self: &Arc<Self>, state: &State, build: BuildId, resumed: bool) {
        // None if the build was over at once.
        let Some(control) = control(state, build) else {
            return;
        };
        let (sender, receiver) = watch::channel(control);
        self.builds
            .lock()
            .expect("no panic while holding the lock")
            .insert(build, sender);
        let task = build::run(self.clone(), receiver, resumed);
        self.tasks.spawn_on(task, &self.runtime);
    }

    /// Whether a build began with this step in the same commit: its task has had it from the start.
    fn knows(&self, step: &StepRecord) -> bool {
        let builds = self.builds.lock().expect("no panic while holding the lock");
        builds.get(&step.build).is_some_and(|sender| {
            let control = sender.borrow();
            control.assignment.step.as_ref().map(|known| known.id) == Some(step.id)
        })
    }

    fn tell(&self, state: &State, build: BuildId) {
        self.tell_with(state, build, None);
    }

    fn tell_with(&self, state: &State, build: BuildId, resumed: Option<(StepId, Arc<EffectRecord>)>) {
        let builds = self.builds.lock().expect("no panic while holding the lock");
        if let (Some(sender), Some(mut control)) = (builds.get(&build), control(state, build)) {
            // What the task may not have looked at yet stays.
            control.resumed = resumed.or_else(|| sender.borrow().resumed.clone());
            sender.send_replace(control);
        }
    }
}

fn control(state: &State, build: BuildId) -> Option<Control> {
    let assignment = state.assignment(build)?;
    let worker = state
        .worker(assignment.worker_id)
        .map(|worker| worker.info.clone())
        .unwrap_or_default();
    Some(Control {
        assignment: Arc::new(assignment),
        worker,
        resumed: None,
        over: false,
    })
}
