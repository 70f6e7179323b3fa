//! The promises, checked over a feed of events: by the simulator after each step, by tests over the history of real crashes,
//! and by `ironmaster fsck`.
//!
//! The checker knows nothing of [`State`](crate::State) and shares no code with it. It takes events one by one and keeps only
//! what is open. A feed whose beginning was removed by retention is fine: what it refers to and cannot be seen any more is not
//! held against it. Where the plans are at hand (live; the stored feed has only their digests) it checks choices too.

mod entry;
mod locks;
mod order;
mod pipelines;
mod runs;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ironmaster_model::{
    BuildId, BuildRequestId, BuilderId, BuildsetId, Cause, ChangeId, Counter, Downtime, Event, LockAccess,
    LogId, MasterId, Plan, ProjectId, Results, RunId, SchedulerId, Sequenced, SourceStampId, StepId,
    Timestamp, WorkerId,
};

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// At this event.
    pub seq: u64,
    /// The promise.
    pub rule: &'static str,
    /// What happened.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {}: {}: {}", self.seq, self.rule, self.what)
    }
}

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub struct Checker {
    seq: u64,
    at: Timestamp,
    /// The feed did not begin at its beginning.
    partial: bool,
    violations: Vec<Violation>,
    last_ids: BTreeMap<Counter, u64>,
    /// Names by id, for the things that keep theirs.
    names: BTreeMap<(Counter, u64), String>,
    masters: BTreeMap<MasterId, bool>,
    /// Whether the running one starts no builds.
    draining: bool,
    plan: Option<Plan>,
    plans: BTreeMap<String, Plan>,
    builders: BTreeMap<BuilderId, Builder>,
    workers: BTreeMap<WorkerId, Worker>,
    changes: BTreeMap<SchedulerId, BTreeMap<String, (Vec<ChangeId>, bool)>>,
    scheduler_names: BTreeMap<SchedulerId, (String, bool)>,
    /// Changes that a scheduler has built, kept while it may still let go of them.
    built: BTreeMap<String, BTreeSet<ChangeId>>,
    buildsets: BTreeMap<BuildsetId, Buildset>,
    requests: BTreeMap<BuildRequestId, Request>,
    builds: BTreeMap<BuildId, Build>,
    runs: BTreeMap<RunId, pipelines::Run>,
    /// Source stamps without a revision: they mean the newest.
    newest: BTreeSet<SourceStampId>,
    /// Requests whose attempt ended, with how: the next events must say what becomes of them.
    owed: BTreeMap<BuildRequestId, (u64, Results)>,
    /// Held locks by name and worker.
    locks: BTreeMap<(String, Option<WorkerId>), HeldLock>,
}

/// Who holds a lock (a build, or its step), and how much of it.
type HeldLock = BTreeMap<(BuildId, bool), LockAccess>;

#[derive(Clone, Debug, Default)]
struct Builder {
    name: String,
    active: bool,
    number: u64,
    project: Option<ProjectId>,
    running: u32,
    /// Priority (negated), time and id of each queued request.
    queued: BTreeSet<(std::cmp::Reverse<i64>, Timestamp, BuildRequestId)>,
}

#[derive(Clone, Debug, Default)]
struct Worker {
    name: String,
    active: bool,
    builders: Vec<BuilderId>,
    paused: bool,
    graceful: bool,
    /// Whether it has time off.
    down: bool,
    killed: bool,
    /// The connected process; none while there is none.
    instance: Option<String>,
    /// Whether its settings were seen; in a feed without its beginning they may not have been.
    known: bool,
    used: BTreeMap<u32, BuildId>,
    /// Slots whose build waits for others.
    parked: BTreeSet<u32>,
}

#[derive(Clone, Debug)]
struct Buildset {
    requests: Vec<BuildRequestId>,
    /// Whether it is known from its creation on.
    whole: bool,
}

#[derive(Clone, Debug)]
struct Request {
    builder: BuilderId,
    priority: i64,
    by_hand: bool,
    submitted_at: Timestamp,
    attempts: u32,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Queued,
    Claimed(BuildId),
    Complete(Results),
}

#[derive(Clone, Debug)]
struct Build {
    builder: BuilderId,
    request: BuildRequestId,
    worker: WorkerId,
    instance: String,
    slot: u32,
    attempt: u32,
    config: String,
    stopped: bool,
    lost: bool,
    /// What it waits for, with its slot given back.
    waits: Option<BTreeSet<BuildsetId>>,
    step: Option<Step>,
    steps: u32,
    /// Definition index and result of each step that is over.
    done: Vec<(u32, Results)>,
}

#[derive(Clone, Debug)]
struct Step {
    id: StepId,
    definition: u32,
    /// Whether it has its locks.
    runs: bool,
    next_ordinal: u32,
    /// Lines, raw bytes and whether complete, of each log.
    logs: BTreeMap<LogId, (u64, u64, bool)>,
}

impl Checker {
    /// Has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was found so far.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Looks at the next event of the feed.
    pub fn observe(&mut self, sequenced: &Sequenced) {
        if self.seq == 0 && sequenced.seq != 1 {
            self.partial = true;
        } else if sequenced.seq != self.seq + 1 {
            self.seq_broken(sequenced.seq);
        }
        if sequenced.at < self.at {
            self.violate(
                "time never runs backwards",
                format!("{} after {}", sequenced.at, self.at),
            );
        }
        // Decisions at one time cannot be told apart; by the next one everything must be settled.
        if sequenced.at > self.at {
            self.settled();
        }
        self.seq = sequenced.seq;
        self.at = sequenced.at;
        self.event(&sequenced.event);
    }

    /// Ends the feed. With `healed`, all faults were healed and time was given: nothing may be open any more.
    pub fn finish(mut self, healed: bool) -> Vec<Violation> {
        self.settled();
        if healed {
            self.nothing_open();
        }
        self.violations
    }

    fn seq_broken(&mut self, seq: u64) {
        self.violate(
            "the feed has no gaps and no repetitions",
            format!("event {seq} follows event {}", self.seq),
        );
    }

    fn violate(&mut self, rule: &'static str, what: impl Into<String>) {
        self.violations.push(Violation {
            seq: self.seq,
            rule,
            what: what.into(),
        });
    }

    /// What an event refers to is not there. In a partial feed it may have been before.
    fn unknown(&mut self, what: impl Into<String>) {
        if !self.partial {
            self.violate("events refer to what is there and open", what);
        }
    }

    /// An id is given away.
    fn fresh(&mut self, counter: Counter, id: u64) {
        let last = self.last_ids.get(&counter).copied().unwrap_or(0);
        if id <= last {
            self.violate(
                "an id is never used again",
                format!("{} {id} after {last}", counter.name()),
            );
        }
        self.last_ids.insert(counter, id.max(last));
    }

    /// Something that keeps its id is set: either it is new, or it has the name it had.
    fn named(&mut self, counter: Counter, id: u64, name: &str) {
        match self.names.get(&(counter, id)) {
            Some(known) if known == name => {}
            Some(known) => {
                let what = format!("{} {id} was \"{known}\" and is \"{name}\"", counter.name());
                self.violate("an id keeps its name", what);
            }
            None => {
                if !self.partial {
                    self.fresh(counter, id);
                }
                self.names.insert((counter, id), name.to_owned());
            }
        }
    }

    fn settled(&mut self) {
        for (request, (seq, results)) in std::mem::take(&mut self.owed) {
            self.violations.push(Violation {
                seq,
                rule: "an attempt's end settles its request",
                what: format!("request {request} was left after its attempt ended {results}"),
            });
        }
        let kept: Vec<String> = self
            .builds
            .iter()
            .filter(|(_, build)| !build.lost)
            .filter_map(|(id, build)| {
                let worker = self.workers.get(&build.worker)?;
                let instance = worker
                    .instance
                    .as_ref()
                    .filter(|instance| **instance != build.instance)?;
                Some(format!(
                    "build {id} of process {} goes on, connected is {instance}",
                    build.instance
                ))
            })
            .collect();
        for what in kept {
            self.violate("a process that was replaced has lost its builds", what);
        }
    }

    fn nothing_open(&mut self) {
        let rule = "with all faults healed everything ends";
        let requests: Vec<String> = self
            .requests
            .iter()
            .filter(|(_, request)| {
                !matches!(request.phase, Phase::Complete(_))
                    && self
                        .builders
                        .get(&request.builder)
                        .is_none_or(|builder| builder.active)
            })
            .map(|(id, request)| format!("request {id} is {:?}", request.phase))
            .collect();
        let builds: Vec<String> = self.builds.keys().map(|id| format!("build {id} runs")).collect();
        let timers: Vec<String> = self
            .changes
            .iter()
            .filter(|(id, _)| self.scheduler_names.get(id).is_some_and(|(_, active)| *active))
            .flat_map(|(id, waiting)| {
                waiting
                    .values()
                    .filter(|(_, timer)| *timer)
                    .map(move |(changes, _)| format!("scheduler {id} holds {} changes back", changes.len()))
            })
            .collect();
        let runs = self.open_runs();
        for what in requests.into_iter().chain(builds).chain(timers).chain(runs) {
            self.violate(rule, what);
        }
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::MasterStarted { master } => {
                self.named(Counter::Master, master.id.0, &master.name);
                if self
                    .masters
                    .iter()
                    .any(|(id, active)| *id != master.id && *active)
                {
                    self.violate(
                        "one master at a time",
                        format!("master {} started beside another", master.id),
                    );
                }
                self.masters.insert(master.id, true);
                self.draining = false;
                for worker in self.workers.values_mut() {
                    worker.instance = None;
                }
            }
            Event::MasterStopped { master } => {
                self.masters.insert(master.id, false);
                self.draining = false;
            }
            Event::MasterSet { master } => self.draining = master.draining,
            Event::Configured { digest, plan } => {
                // The stored feed has an empty plan in place of the plan.
                self.plan = (plan.digest == *digest).then(|| plan.clone());
                if let Some(plan) = &self.plan {
                    self.plans.insert(digest.clone(), plan.clone());
                }
            }
            Event::BuilderSet { builder } => {
                self.named(Counter::Builder, builder.id.0, &builder.name);
                let entry = self.builders.entry(builder.id).or_default();
                entry.name.clone_from(&builder.name);
                entry.active = builder.active;
                entry.project = builder.project;
            }
            Event::WorkerSet { worker } => {
                self.named(Counter::Worker, worker.id.0, &worker.name);
                let connected = worker
                    .connection
                    .as_ref()
                    .filter(|connection| connection.connected);
                let entry = self.workers.entry(worker.id).or_default();
                entry.name.clone_from(&worker.name);
                entry.active = worker.active;
                entry.builders.clone_from(&worker.builders);
                entry.paused = worker.paused;
                entry.graceful = worker.graceful;
                entry.down = matches!(worker.downtime, Some(Downtime::Until(_)));
                entry.killed = worker.killed;
                entry.instance = connected.map(|connection| connection.instance.clone());
                entry.known = true;
            }
            Event::SchedulerSet { scheduler } => {
                self.named(Counter::Scheduler, scheduler.id.0, &scheduler.name);
                self.scheduler_names
                    .insert(scheduler.id, (scheduler.name.clone(), scheduler.active));
                self.scheduler_state(scheduler.id, &scheduler.state, true);
            }
            Event::ChangeSourceSet { change_source } => {
                self.named(Counter::ChangeSource, change_source.id.0, &change_source.name);
            }
            Event::ProjectSet { project } => self.named(Counter::Project, project.id.0, &project.name),
            Event::CodebaseSet { codebase } => self.named(Counter::Codebase, codebase.id.0, &codebase.name),
            Event::SchedulerMoved { scheduler, state } => self.scheduler_state(*scheduler, state, false),
            Event::WorkerConnected {
                worker,
                connection,
                graceful,
                killed,
                ..
            } => {
                let entry = self.workers.entry(*worker).or_default();
                entry.instance = Some(connection.instance.clone());
                entry.graceful = *graceful;
                entry.killed = *killed;
            }
            Event::WorkerDisconnected { worker, .. } => {
                if let Some(entry) = self.workers.get_mut(worker) {
                    entry.instance = None;
                }
            }
            Event::WorkerStateChanged {
                worker,
                paused,
                graceful,
                downtime,
                killed,
                ..
            } => {
                if let Some(entry) = self.workers.get_mut(worker) {
                    entry.paused = *paused;
                    entry.graceful = *graceful;
                    entry.down = matches!(downtime, Some(Downtime::Until(_)));
                    entry.killed = *killed;
                }
            }
            Event::WorkerDismissed { worker, instance, .. } => self.worker_dismissed(*worker, instance),
            Event::WorkerMissing { worker, .. } => self.worker_missing(*worker),
            Event::SourceStampAdded { sourcestamp } => {
                self.fresh(Counter::SourceStamp, sourcestamp.id.0);
                if sourcestamp.stamp.revision.is_none() {
                    self.newest.insert(sourcestamp.id);
                }
            }
            Event::ChangeAdded { change } => self.fresh(Counter::Change, change.id.0),
            Event::BuildsetCreated { buildset } => self.buildset_created(buildset),
            Event::RequestQueued { request } => self.request_queued(request),
            Event::RequestPrioritised {
                request,
                priority,
                by_hand,
                since,
            } => self.request_prioritised(*request, (*priority, *by_hand), *since),
            Event::RequestRequeued { request } => self.request_requeued(*request),
            Event::RequestCompleted {
                request,
                results,
                cause,
                ..
            } => {
                if let Some(Cause::Collapsed { into }) = cause {
                    self.merged(*request, *into);
                }
                self.request_completed(*request, *results);
            }
            Event::BuildsetCompleted { buildset, results } => self.buildset_completed(*buildset, *results),
            Event::BuildStarted { build, chosen } => {
                if self.draining {
                    let what = format!("build {} started", build.id);
                    self.violate("a master that drains starts no build", what);
                }
                self.build_started(build, *chosen);
            }
            Event::PropertiesSet { build, .. } => self.live(*build, "properties"),
            Event::BuildStopRequested { build, .. } => self.stop_requested(*build),
            Event::BuildLost { build, .. } => self.build_lost(*build),
            Event::BuildWaits { build, waits } => self.build_waits(*build, waits),
            Event::BuildResumed { build, step, effect } => self.build_resumed(*build, *step, effect),
            Event::StepStarted { step, logs } => self.step_started(step, logs),
            Event::StepLocksAcquired { step, build, .. } => self.step_locks_acquired(*build, *step),
            Event::StepUpdated { step, build, .. } => self.running_step(*build, *step, "news"),
            Event::LogOpened { log } => self.log_opened(log),
            Event::LogsSaved { build, saves } => self.logs_saved(*build, saves),
            Event::EffectsRecorded { build, step, effects } => self.effects_recorded(*build, *step, effects),
            Event::StepFinished {
                step, build, results, ..
            } => self.step_finished(*build, *step, *results),
            Event::BuildFinished { build, results, .. } => self.build_finished(*build, *results),
            Event::PipelineSet { pipeline } => self.named(Counter::Pipeline, pipeline.id.0, &pipeline.name),
            Event::RunCreated { run } => self.run_created(run),
            Event::JobsAdded { run, jobs, needs } => self.jobs_added(*run, jobs, needs),
            Event::JobMoved { run, job, progress } => self.job_moved(*run, *job, progress),
            Event::RunDefined {
                run,
                trusted,
                sourcestamps,
                source,
                definition,
            } => self.run_defined(*run, *trusted, sourcestamps, source, definition),
            Event::RunPinned { run, sourcestamps } => self.run_pinned(*run, sourcestamps),
            Event::RunMoved { run, progress } => self.run_moved(*run, progress),
        }
    }
}
