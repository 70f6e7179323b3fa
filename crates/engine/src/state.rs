//! Everything that decisions need, in memory: what is active, never history.
//!
//! State is made from rows ([`State::load`]) and changes by events alone ([`State::apply`]). Turned back into rows
//! ([`State::to_snapshot`]) it equals what the database says: a test proves it, and so does `ironmaster fsck`.

mod index;
mod load;
mod runs;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ironmaster_model::{
    BuildId, BuildRecord, BuildRequestId, BuildRequestRecord, BuilderDef, BuilderId, BuilderRecord,
    BuildsetId, BuildsetRecord, ChangeId, ChangeRecord, ChangeSourceId, ChangeSourceRecord, CodebaseId,
    CodebaseRecord, Counter, LogId, LogRecord, MasterId, MasterRecord, Plan, ProjectId, ProjectRecord,
    SchedulerId, SchedulerRecord, SourceStampId, SourceStampRecord, StepRecord, Timestamp, WorkerId,
    WorkerRecord,
};

pub(crate) use index::dependents;
pub use load::LoadError;
pub(crate) use runs::{JobEntry, RunEntry, Runs};

use crate::{deadlines::Deadlines, filter::Filters, judging::Judging, queue::Queue};

/// Everything that decisions need, in memory: what is active, never history. It is made from rows
/// ([`State::load`]) and changes by events alone.
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) now: Timestamp,
    pub(crate) seq: u64,
    pub(crate) counters: BTreeMap<Counter, u64>,
    pub(crate) masters: BTreeMap<MasterId, MasterRecord>,
    pub(crate) builders: BTreeMap<BuilderId, BuilderRecord>,
    pub(crate) workers: BTreeMap<WorkerId, WorkerRecord>,
    pub(crate) schedulers: BTreeMap<SchedulerId, SchedulerRecord>,
    pub(crate) change_sources: BTreeMap<ChangeSourceId, ChangeSourceRecord>,
    pub(crate) projects: BTreeMap<ProjectId, ProjectRecord>,
    pub(crate) codebases: BTreeMap<CodebaseId, CodebaseRecord>,
    pub(crate) names: Names,
    /// Digest of the plan in force.
    pub(crate) config: String,
    /// The plan in force; an empty one before the first.
    pub(crate) plan: Arc<Plan>,
    /// Plans by digest: the one in force, and those of running builds with their number.
    pub(crate) plans: BTreeMap<String, PlanUse>,
    pub(crate) filters: Filters,
    /// Names of dependent schedulers, by the scheduler that they follow.
    pub(crate) dependents: BTreeMap<String, Vec<String>>,
    /// Changes that schedulers hold back.
    pub(crate) changes: BTreeMap<ChangeId, Held<ChangeRecord>>,
    pub(crate) stamps: Stamps,
    /// Boxed, as other large records: a tree's nodes are half empty, and there may be very many of them.
    pub(crate) buildsets: BTreeMap<BuildsetId, Box<BuildsetEntry>>,
    pub(crate) requests: BTreeMap<BuildRequestId, BuildRequestRecord>,
    pub(crate) builds: BTreeMap<BuildId, BuildEntry>,
    /// Who waits for a buildset.
    pub(crate) waiters: BTreeMap<BuildsetId, BuildId>,
    /// Builds that waited, and could go on if they had a slot, by their worker.
    pub(crate) ready: BTreeMap<WorkerId, BTreeSet<BuildId>>,
    /// Pipelines, and their runs that are not complete.
    pub(crate) runs: Runs,
    pub(crate) queue: Queue,
    /// Requests about which functions of the configuration are asked.
    pub(crate) judging: Judging,
    pub(crate) deadlines: Deadlines,
    pub(crate) collapsible: BTreeMap<BuilderId, BTreeSet<(u64, BuildRequestId)>>,
    /// Changes and stamps that nothing refers to any more, or not yet. They go when the decision is over.
    pub(crate) unused_changes: BTreeSet<ChangeId>,
    pub(crate) unused_stamps: BTreeSet<SourceStampId>,
}

/// Ids by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(crate) masters: BTreeMap<String, MasterId>,
    pub(crate) builders: BTreeMap<String, BuilderId>,
    pub(crate) workers: BTreeMap<String, WorkerId>,
    pub(crate) schedulers: BTreeMap<String, SchedulerId>,
    pub(crate) change_sources: BTreeMap<String, ChangeSourceId>,
}

/// A plan and how many running builds use it.
#[derive(Clone, Debug)]
pub(crate) struct PlanUse {
    pub(crate) plan: Arc<Plan>,
    pub(crate) builds: usize,
}

/// A record and how many others refer to it.
#[derive(Clone, Debug)]
pub(crate) struct Held<T> {
    pub(crate) record: T,
    pub(crate) refs: usize,
}

/// Source stamps by id and by what they name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stamps {
    pub(crate) by_id: BTreeMap<SourceStampId, Box<Held<SourceStampRecord>>>,
    pub(crate) by_hash: BTreeSet<(u64, SourceStampId)>,
}

/// A buildset that is not complete.
#[derive(Clone, Debug)]
pub(crate) struct BuildsetEntry {
    pub(crate) record: BuildsetRecord,
    pub(crate) requests: Vec<BuildRequestId>,
    /// How many of them are not complete.
    pub(crate) open: usize,
}

/// A build that is not complete.
#[derive(Clone, Debug)]
pub(crate) struct BuildEntry {
    pub(crate) record: BuildRecord,
    pub(crate) steps: Vec<StepRecord>,
    /// Logs of its running step.
    pub(crate) logs: BTreeMap<LogId, LogRecord>,
}

/// What a runner needs to run or resume a build.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The build, with its properties, its slot, and whether it is to be stopped or is lost.
    pub build: BuildRecord,
    /// The builder as it was when the build started.
    pub builder: Arc<BuilderDef>,
    /// The builder's name.
    pub builder_name: String,
    /// The worker's id.
    pub worker_id: WorkerId,
    /// The worker's name.
    pub worker_name: String,
    /// Name of its directory on the worker: that of [`workdir`](crate::build::workdir).
    pub workdir: String,
    /// What it builds.
    pub sourcestamps: Vec<SourceStampRecord>,
    /// Changes that led to it.
    pub changes: Vec<ChangeId>,
    /// Its buildset.
    pub buildset: BuildsetId,
    /// The buildset's reason.
    pub reason: String,
    /// The running step; there is always one in an active build.
    pub step: Option<StepRecord>,
    /// That step's logs, finished ones too.
    pub logs: Vec<LogRecord>,
    /// Steps that are over, in order.
    pub steps_done: Vec<StepRecord>,
}

impl State {
    /// Time of the last event.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Sequence number of the last event.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The next id of each counter. Ids below were given away and never come back.
    pub fn counters(&self) -> &BTreeMap<Counter, u64> {
        &self.counters
    }

    /// The plan in force; an empty one before the first configuration.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Digest of the plan in force, empty before the first configuration.
    pub fn config_digest(&self) -> &str {
        &self.config
    }

    /// When [`Input::Tick`](crate::Input::Tick) is due next, if ever. It may lie in the past: then it is due now.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let fact = self.deadlines.next().map(|(at, _)| at);
        fact.into_iter().chain(self.queue.next_silence_ends()).min()
    }

    /// The running master, if one has started.
    pub fn master(&self) -> Option<&MasterRecord> {
        self.masters.values().find(|master| master.active)
    }

    /// The worker with that id.
    pub fn worker(&self, id: WorkerId) -> Option<&WorkerRecord> {
        self.workers.get(&id)
    }

    /// The worker with that name, configured or not any more.
    pub fn worker_by_name(&self, name: &str) -> Option<&WorkerRecord> {
        self.workers.get(self.names.workers.get(name)?)
    }

    /// All workers, inactive ones too.
    pub fn workers(&self) -> impl Iterator<Item = &WorkerRecord> {
        self.workers.values()
    }

    /// The builders that may run on a worker, by id.
    pub fn builders_of(&self, worker: WorkerId) -> impl Iterator<Item = BuilderId> {
        self.queue.builders_of(worker).iter().copied()
    }

    /// The builder with that id.
    pub fn builder(&self, id: BuilderId) -> Option<&BuilderRecord> {
        self.builders.get(&id)
    }

    /// The builder with that name, configured or not any more.
    pub fn builder_by_name(&self, name: &str) -> Option<&BuilderRecord> {
        self.builders.get(self.names.builders.get(name)?)
    }

    /// All builders, inactive ones too.
    pub fn builders(&self) -> impl Iterator<Item = &BuilderRecord> {
        self.builders.values()
    }

    /// The scheduler with that id.
    pub fn scheduler(&self, id: SchedulerId) -> Option<&SchedulerRecord> {
        self.schedulers.get(&id)
    }

    /// The scheduler with that name, configured or not any more.
    pub fn scheduler_by_name(&self, name: &str) -> Option<&SchedulerRecord> {
        self.schedulers.get(self.names.schedulers.get(name)?)
    }

    /// All schedulers, inactive ones too.
    pub fn schedulers(&self) -> impl Iterator<Item = &SchedulerRecord> {
        self.schedulers.values()
    }

    /// All change sources, inactive ones too.
    pub fn change_sources(&self) -> impl Iterator<Item = &ChangeSourceRecord> {
        self.change_sources.values()
    }

    /// All projects, inactive ones too.
    pub fn projects(&self) -> impl Iterator<Item = &ProjectRecord> {
        self.projects.values()
    }

    /// All code bases, inactive ones too.
    pub fn codebases(&self) -> impl Iterator<Item = &CodebaseRecord> {
        self.codebases.values()
    }

    /// A request of a buildset that is not complete.
    pub fn request(&self, id: BuildRequestId) -> Option<&BuildRequestRecord> {
        self.requests.get(&id)
    }

    /// All requests of buildsets that are not complete.
    pub fn requests(&self) -> impl Iterator<Item = &BuildRequestRecord> {
        self.requests.values()
    }

    /// A buildset that is not complete.
    pub fn buildset(&self, id: BuildsetId) -> Option<&BuildsetRecord> {
        self.buildsets.get(&id).map(|entry| &entry.record)
    }

    /// A build that is not complete.
    pub fn build(&self, id: BuildId) -> Option<&BuildRecord> {
        self.builds.get(&id).map(|entry| &entry.record)
    }

    /// Builds that are not complete, in order of id.
    pub fn active_builds(&self) -> impl Iterator<Item = &BuildRecord> {
        self.builds.values().map(|entry| &entry.record)
    }

    /// What a runner needs to run or resume a build; none if it is not active.
    pub fn assignment(&self, id: BuildId) -> Option<Assignment> {
        let entry = self.builds.get(&id)?;
        let build = entry.record.clone();
        let builder_name = self.builders.get(&build.builder)?.name.clone();
        let builder = Arc::new(self.definition_of(&build)?.clone());
        let request = self.requests.get(&build.request)?;
        let buildset = &self.buildsets.get(&request.buildset)?.record;
        let step = entry
            .steps
            .iter()
            .find(|step| step.complete_at.is_none())
            .cloned();
        Some(Assignment {
            workdir: crate::build::workdir(&builder, build.slot),
            worker_id: build.worker,
            worker_name: self.workers.get(&build.worker)?.name.clone(),
            sourcestamps: self.stamps_of(buildset).cloned().collect(),
            changes: buildset.changes.clone(),
            buildset: buildset.id,
            reason: buildset.reason.clone(),
            logs: entry.logs.values().cloned().collect(),
            step,
            steps_done: entry
                .steps
                .iter()
                .filter(|step| step.complete_at.is_some())
                .cloned()
                .collect(),
            builder_name,
            builder,
            build,
        })
    }
}

/// Every change that a scheduler holds back, once for each timer that holds it.
pub(crate) fn held_changes(state: &ironmaster_model::SchedulerState) -> impl Iterator<Item = ChangeId> + '_ {
    state
        .waiting
        .values()
        .flat_map(|waiting| waiting.changes.iter().copied())
}
