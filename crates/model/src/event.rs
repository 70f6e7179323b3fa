//! Events: facts that have been committed. They are the only feed; rows, memory, UI and reporters all
//! follow from them.
//!
//! Serialised form: an object with the variant's name in `type`. [`VERSION`] is stored beside each; a
//! reader accepts the version before its own too.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    BuildId, BuildRecord, BuildRequestId, BuildRequestRecord, BuilderId, BuilderRecord, BuildsetId,
    BuildsetRecord, Cause, ChangeRecord, ChangeSourceRecord, CodebaseRecord, Downtime, EffectRecord, JobId,
    JobProgress, LogRecord, LogSave, MasterRecord, PipelineDef, PipelineJobRecord, PipelineRecord,
    PipelineRunRecord, Plan, ProjectRecord, Properties, Results, RunId, RunProgress, RunSource, SchedulerId,
    SchedulerRecord, SchedulerState, SourceStampId, SourceStampRecord, StepId, StepRecord, StepUrl,
    Timestamp, Waits, WorkerConnection, WorkerId, WorkerInfo, WorkerRecord,
};

/// Version of the serialised form.
pub const VERSION: u32 = 1;

/// An event with its place in the feed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sequenced {
    /// Place in commit order, from 1, without gaps.
    pub seq: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// The fact.
    pub event: Event,
}

/// A fact. Its effect on rows is `store::effect`, its effect on memory `engine::State::apply`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A master started on this database. Worker connections of its predecessor are gone.
    MasterStarted {
        /// The master.
        master: MasterRecord,
    },
    /// A master stopped in good order.
    MasterStopped {
        /// The master, no longer active.
        master: MasterRecord,
    },
    /// The running master begins to drain, or goes on after all.
    MasterSet {
        /// As it is now.
        master: MasterRecord,
    },
    /// A configuration came into force. The feed carries its digest only; the plan itself is kept by digest.
    Configured {
        /// Identity of the configuration.
        digest: String,
        /// The plan.
        #[serde(skip)]
        plan: Plan,
    },
    /// A builder was added, changed, or left out of the configuration (`active: false`).
    BuilderSet {
        /// As it is now.
        builder: BuilderRecord,
    },
    /// A worker was added, changed, or left out of the configuration.
    WorkerSet {
        /// As it is now.
        worker: WorkerRecord,
    },
    /// A scheduler was added, changed, or left out of the configuration.
    SchedulerSet {
        /// As it is now.
        scheduler: SchedulerRecord,
    },
    /// A change source was added, changed, or left out of the configuration.
    ChangeSourceSet {
        /// As it is now.
        change_source: ChangeSourceRecord,
    },
    /// A project was added, changed, or left out of the configuration.
    ProjectSet {
        /// As it is now.
        project: ProjectRecord,
    },
    /// A code base was added, changed, or left out of the configuration.
    CodebaseSet {
        /// As it is now.
        codebase: CodebaseRecord,
    },
    /// A scheduler remembers something else now.
    SchedulerMoved {
        /// Which.
        scheduler: SchedulerId,
        /// What it remembers.
        state: SchedulerState,
    },
    /// A worker connected and is ready for work.
    WorkerConnected {
        /// Which.
        worker: WorkerId,
        /// The process behind it.
        connection: WorkerConnection,
        /// What it says of itself.
        info: Arc<WorkerInfo>,
        /// Whether it is to shut down when idle: it was told so, and is still the same process.
        #[serde(default)]
        graceful: bool,
        /// Whether it is to end at once, likewise.
        #[serde(default)]
        killed: bool,
    },
    /// A worker's connection ended. What it runs goes on for as long as its lease.
    WorkerDisconnected {
        /// Which.
        worker: WorkerId,
        /// Why, for people.
        reason: String,
    },
    /// A worker was paused, unpaused, told to finish or to end at once, or its time off begins or ends.
    WorkerStateChanged {
        /// Which.
        worker: WorkerId,
        /// Whether it gets no new builds.
        paused: bool,
        /// Why.
        pause_reason: Option<String>,
        /// Whether it is to shut down when idle.
        graceful: bool,
        /// Its time off: this one, or the next.
        #[serde(default)]
        downtime: Option<Downtime>,
        /// Whether it is to end at once, whatever it runs.
        #[serde(default)]
        killed: bool,
    },
    /// A worker process that is connected is told to end: it was to finish and is idle, or it is to end at once.
    WorkerDismissed {
        /// Which.
        worker: WorkerId,
        /// The process.
        instance: String,
        /// Why, for people.
        reason: String,
    },
    /// A worker has not been connected for longer than it may.
    WorkerMissing {
        /// Which.
        worker: WorkerId,
        /// Since when it has not been connected.
        since: Timestamp,
    },
    /// A source stamp was first used.
    SourceStampAdded {
        /// The stamp.
        sourcestamp: SourceStampRecord,
    },
    /// A change was accepted.
    ChangeAdded {
        /// The change.
        change: ChangeRecord,
    },
    /// A decision to build was made. Its requests follow.
    BuildsetCreated {
        /// The buildset.
        buildset: BuildsetRecord,
    },
    /// A request waits for a worker.
    RequestQueued {
        /// The request.
        request: BuildRequestRecord,
    },
    /// A request's priority was changed.
    RequestPrioritised {
        /// Which.
        request: BuildRequestId,
        /// Its new priority.
        priority: i64,
        /// Whether somebody has set that by hand.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        by_hand: bool,
        /// Since when it counts as waiting, if that has changed: it has taken the place of one that it replaces.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Timestamp>,
    },
    /// A request's attempt was lost; it waits again.
    RequestRequeued {
        /// Which.
        request: BuildRequestId,
    },
    /// A request is over.
    RequestCompleted {
        /// Which.
        request: BuildRequestId,
        /// Its builder.
        builder: BuilderId,
        /// How it ended.
        results: Results,
        /// Why, where there is more to say.
        cause: Option<Cause>,
    },
    /// All requests of a buildset are over.
    BuildsetCompleted {
        /// Which.
        buildset: BuildsetId,
        /// The worst of their results.
        results: Results,
    },
    /// An attempt began: its request is claimed, its worker's slot taken.
    BuildStarted {
        /// The build.
        build: BuildRecord,
        /// Whether a function of the configuration has chosen it: then it need not be the request that goes first.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        chosen: bool,
    },
    /// Properties of a running build changed.
    PropertiesSet {
        /// Which build.
        build: BuildId,
        /// Only those that changed.
        properties: Properties,
    },
    /// Somebody asked to stop a build.
    BuildStopRequested {
        /// Which.
        build: BuildId,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// A build's worker process is gone for good, or lost its command: the runner winds it up, and it ends RETRY.
    BuildLost {
        /// Which.
        build: BuildId,
        /// What happened.
        reason: String,
    },
    /// A build waits for builds that its running step has triggered, or one of these is over. Its slot is free meanwhile.
    BuildWaits {
        /// Which.
        build: BuildId,
        /// What for.
        waits: Waits,
    },
    /// A build that waited has a slot again, and its step goes on.
    BuildResumed {
        /// Which.
        build: BuildId,
        /// Its running step.
        step: StepId,
        /// What came of what it waited for; a replay of the step answers from it.
        effect: EffectRecord,
    },
    /// A step began; its declared logs are open.
    StepStarted {
        /// The step.
        step: StepRecord,
        /// Its logs.
        logs: Vec<LogRecord>,
    },
    /// A step that waited for its locks has all of them, and runs.
    StepLocksAcquired {
        /// Which.
        step: StepId,
        /// Its build.
        build: BuildId,
        /// For people.
        state_string: String,
    },
    /// A running step says something new of itself.
    StepUpdated {
        /// Which.
        step: StepId,
        /// Its build.
        build: BuildId,
        /// For people.
        state_string: String,
        /// All its links.
        urls: Vec<StepUrl>,
    },
    /// A step opened a further log.
    LogOpened {
        /// The log.
        log: LogRecord,
    },
    /// Text of logs is durable up to here (inline text travels with it).
    LogsSaved {
        /// Their build.
        build: BuildId,
        /// Each log.
        saves: Vec<LogSave>,
    },
    /// Outcomes that a replay of the running step answers from.
    EffectsRecorded {
        /// The build.
        build: BuildId,
        /// The step.
        step: StepId,
        /// The outcomes, in order.
        effects: Vec<EffectRecord>,
    },
    /// A step ended. Its effects are forgotten.
    StepFinished {
        /// Which.
        step: StepId,
        /// Its build.
        build: BuildId,
        /// How it ended.
        results: Results,
        /// Why, where there is more to say.
        cause: Option<Cause>,
        /// For people.
        state_string: String,
        /// All its links.
        urls: Vec<StepUrl>,
        /// Whether UIs leave it out.
        hidden: bool,
    },
    /// A pipeline was added, changed, or left out of the configuration.
    PipelineSet {
        /// As it is now.
        pipeline: PipelineRecord,
    },
    /// A run of a pipeline was made. Its jobs follow.
    RunCreated {
        /// The run.
        run: Box<PipelineRunRecord>,
    },
    /// A run got jobs: when it was made, or from one that runs.
    JobsAdded {
        /// Which run.
        run: RunId,
        /// The jobs.
        jobs: Vec<PipelineJobRecord>,
        /// Jobs that need more than before, with everything that they need now.
        needs: Vec<(JobId, Vec<u32>)>,
    },
    /// A job stands elsewhere.
    JobMoved {
        /// Its run.
        run: RunId,
        /// Which.
        job: JobId,
        /// Where it stands now.
        progress: JobProgress,
    },
    /// What a run of a pipeline in a repository has its jobs from is asked anew, known, or known to be of no use.
    RunDefined {
        /// Which.
        run: RunId,
        /// Whether it is trusted.
        trusted: bool,
        /// What it builds: where no revision was known, the one that the file was read at.
        sourcestamps: Vec<SourceStampId>,
        /// Where its jobs stand.
        source: RunSource,
        /// The pipeline with its jobs, once they are known.
        definition: Arc<PipelineDef>,
    },
    /// What a run builds is known more exactly: a job of it has found out what the newest is.
    RunPinned {
        /// Which.
        run: RunId,
        /// What it builds from now on.
        sourcestamps: Vec<SourceStampId>,
    },
    /// A run stands elsewhere.
    RunMoved {
        /// Which.
        run: RunId,
        /// Where it stands now.
        progress: RunProgress,
    },
    /// An attempt ended: its slot is free.
    BuildFinished {
        /// Which.
        build: BuildId,
        /// Its builder.
        builder: BuilderId,
        /// Its worker.
        worker: WorkerId,
        /// How it ended.
        results: Results,
        /// Why, where there is more to say.
        cause: Option<Cause>,
        /// For people.
        state_string: String,
    },
}

impl Event {
    /// The variant's name as serialised.
    pub fn name(&self) -> &'static str {
        match self {
            Event::MasterStarted { .. } => "master_started",
            Event::MasterStopped { .. } => "master_stopped",
            Event::MasterSet { .. } => "master_set",
            Event::Configured { .. } => "configured",
            Event::BuilderSet { .. } => "builder_set",
            Event::WorkerSet { .. } => "worker_set",
            Event::SchedulerSet { .. } => "scheduler_set",
            Event::ChangeSourceSet { .. } => "change_source_set",
            Event::ProjectSet { .. } => "project_set",
            Event::CodebaseSet { .. } => "codebase_set",
            Event::SchedulerMoved { .. } => "scheduler_moved",
            Event::WorkerConnected { .. } => "worker_connected",
            Event::WorkerDisconnected { .. } => "worker_disconnected",
            Event::WorkerStateChanged { .. } => "worker_state_changed",
            Event::WorkerDismissed { .. } => "worker_dismissed",
            Event::WorkerMissing { .. } => "worker_missing",
            Event::SourceStampAdded { .. } => "source_stamp_added",
            Event::ChangeAdded { .. } => "change_added",
            Event::BuildsetCreated { .. } => "buildset_created",
            Event::RequestQueued { .. } => "request_queued",
            Event::RequestPrioritised { .. } => "request_prioritised",
            Event::RequestRequeued { .. } => "request_requeued",
            Event::RequestCompleted { .. } => "request_completed",
            Event::BuildsetCompleted { .. } => "buildset_completed",
            Event::BuildStarted { .. } => "build_started",
            Event::PropertiesSet { .. } => "properties_set",
            Event::BuildStopRequested { .. } => "build_stop_requested",
            Event::BuildLost { .. } => "build_lost",
            Event::BuildWaits { .. } => "build_waits",
            Event::BuildResumed { .. } => "build_resumed",
            Event::StepStarted { .. } => "step_started",
            Event::StepLocksAcquired { .. } => "step_locks_acquired",
            Event::StepUpdated { .. } => "step_updated",
            Event::LogOpened { .. } => "log_opened",
            Event::LogsSaved { .. } => "logs_saved",
            Event::EffectsRecorded { .. } => "effects_recorded",
            Event::StepFinished { .. } => "step_finished",
            Event::BuildFinished { .. } => "build_finished",
            Event::PipelineSet { .. } => "pipeline_set",
            Event::RunCreated { .. } => "run_created",
            Event::JobsAdded { .. } => "jobs_added",
            Event::JobMoved { .. } => "job_moved",
            Event::RunDefined { .. } => "run_defined",
            Event::RunPinned { .. } => "run_pinned",
            Event::RunMoved { .. } => "run_moved",
        }
    }
}
