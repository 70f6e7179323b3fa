//! The closed set of things that can change state, and what they are answered with.

use std::{collections::BTreeMap, sync::Arc};

use ironmaster_model::{
    BuildId, BuildRequestId, BuilderId, BuildsetId, Cause, ChangeId, Duration, EffectRecord, JobDef, JobId,
    LogKind, LogRecord, LogSave, NewSourceStamp, PipelineJobRecord, PipelineRunRecord, Plan, Properties,
    Results, RunId, RunProblem, SchedulerId, StepId, StepUrl, Timestamp, Triggered, Wanted, WorkerConnection,
    WorkerId, WorkerInfo,
};
use serde_json::{Map, Value};

use crate::{Judgement, Verdict};

/// Everything that can change state. Inputs are decided one after another; the list of them explains
/// the program, and a seed can generate it.
#[derive(Clone, Debug)]
pub enum Input {
    /// This master starts. All workers count as disconnected from now on.
    MasterStart {
        /// `host:basedir`.
        name: String,
        /// How long a worker that has not connected keeps its builds: the workers' lease plus a margin.
        lease: Duration,
    },
    /// This master stops in good order.
    MasterStop,
    /// Somebody wants this master to start no more builds, so that it can stop when those that run are over; or not
    /// any more. A start of the master ends it, too.
    Drain {
        /// Whether no build is to start.
        draining: bool,
    },
    /// A configuration comes into force.
    Configure {
        /// The plan, checked by `config`.
        plan: Arc<Plan>,
    },
    /// Somebody tells of a commit.
    Change(NewChange),
    /// Somebody presses a force scheduler's button.
    Force {
        /// The force scheduler's name.
        scheduler: String,
        /// The form's values by full name (REST v2: section 8.2), with `builderid` or `builderNames`.
        params: Map<String, Value>,
        /// The logged-in user, if there is one.
        owner: Option<String>,
    },
    /// Somebody wants to know what a patch would do.
    Try(Box<TryJob>),
    /// Somebody wants a finished build's request built again.
    Rebuild {
        /// The first build of the chain of rebuilds.
        rebuilt: BuildId,
        /// Its builder.
        builder: BuilderId,
        /// What it built.
        sourcestamps: Vec<NewSourceStamp>,
        /// Its buildset's properties.
        properties: Properties,
        /// Who wants it.
        owner: String,
    },
    /// Somebody cancels a request; a build of it is stopped.
    CancelRequest {
        /// Which.
        request: BuildRequestId,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// Somebody changes a queued request's priority.
    SetPriority {
        /// Which.
        request: BuildRequestId,
        /// Higher goes first.
        priority: i64,
    },
    /// Somebody stops a build.
    StopBuild {
        /// Which.
        build: BuildId,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// Somebody switches a scheduler on or off.
    EnableScheduler {
        /// Which.
        scheduler: SchedulerId,
        /// On or off.
        enabled: bool,
    },
    /// Somebody pauses or unpauses a worker.
    PauseWorker {
        /// Which.
        worker: WorkerId,
        /// Whether it gets no new builds.
        paused: bool,
        /// Why.
        reason: String,
    },
    /// Somebody tells a worker to finish what it runs, to take nothing new, and then to end (graceful).
    StopWorker {
        /// Which.
        worker: WorkerId,
    },
    /// Somebody tells a worker to end at once; what it runs is lost.
    KillWorker {
        /// Which.
        worker: WorkerId,
    },
    /// A worker has logged in and is ready. Builds that ran on an earlier process of it are lost.
    WorkerConnected(ConnectedWorker),
    /// A worker's connection has ended.
    WorkerDisconnected {
        /// Which.
        worker: WorkerId,
        /// The process it was; stale messages about an earlier one are ignored.
        instance: String,
        /// Why, for people.
        reason: String,
    },
    /// A worker process says, or the runner knows, that a build cannot go on.
    BuildLost {
        /// Which.
        build: BuildId,
        /// What happened.
        reason: String,
    },
    /// A running step opens a log beyond those declared.
    OpenLog {
        /// Its build.
        build: BuildId,
        /// The step.
        step: StepId,
        /// The log's name.
        name: String,
        /// Its kind.
        kind: LogKind,
    },
    /// A running step makes outcomes durable, or says something new of itself.
    StepProgress(StepReport),
    /// The running step is over.
    StepEnded {
        /// What it made durable with its end.
        report: StepReport,
        /// How it ended.
        outcome: StepOutcome,
    },
    /// A running step asks for other builds, and perhaps waits for them.
    Trigger(Trigger),
    /// Somebody starts a run of a pipeline.
    StartRun {
        /// The pipeline's name.
        pipeline: String,
        /// What it builds.
        sourcestamps: Vec<NewSourceStamp>,
        /// Properties of its builds.
        properties: Properties,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// Somebody stops a run: what has not started never does. Stopped again, what always runs is stopped too.
    StopRun {
        /// Which.
        run: RunId,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// Somebody lets a job start that waits for approval, or not.
    ApproveJob {
        /// Which.
        job: JobId,
        /// Who.
        by: String,
        /// Whether it starts.
        approved: bool,
        /// Why.
        reason: String,
    },
    /// Somebody tries a run again that is over. What has succeeded is taken over into the new run.
    RetryRun {
        /// What is known of it.
        source: Box<RetrySource>,
        /// The job that is done again, with all that need it; none = everything that has not succeeded.
        job: Option<JobId>,
        /// Who.
        by: String,
    },
    /// Somebody has tried to read the file that the jobs of a run stand in.
    Define {
        /// The run.
        run: RunId,
        /// What came of it.
        found: Found,
    },
    /// A running job adds jobs to its run.
    AddJobs {
        /// Its build.
        build: BuildId,
        /// Tells this request from others of the build.
        key: String,
        /// The jobs.
        jobs: Vec<JobDef>,
    },
    /// Functions of the configuration have said what of a builder starts where. See [`Choice`](crate::Choice).
    Chosen {
        /// The builder.
        builder: BuilderId,
        /// Which question.
        number: u64,
        /// What they said.
        verdict: Verdict,
    },
    /// Functions of the configuration have said what they think of a request. See [`Case`](crate::Case).
    Judged {
        /// The request.
        request: BuildRequestId,
        /// Digest of the configuration that they are of.
        config: String,
        /// What they said.
        judgement: Judgement,
    },
    /// Time has passed: whatever was due by now happens.
    Tick,
}

/// A file that is to be read, because the jobs of a run stand in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The run.
    pub run: RunId,
    /// Its pipeline's name.
    pub pipeline: String,
    /// The file, from the top of the repository.
    pub file: String,
    /// The repository.
    pub repository: String,
    /// The branch that it is said to be on; none = the repository's default.
    pub branch: Option<String>,
    /// The revision; none = the newest.
    pub revision: Option<String>,
    /// Whether the run may be trusted, if its branch is.
    pub may_be_trusted: bool,
}

/// What came of reading the file that the jobs of a run stand in.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// It was read.
    Jobs {
        /// The revision that it was read at.
        revision: String,
        /// The branch that has this revision, by the repository's own word; none if none that was asked for has.
        branch: Option<String>,
        /// What it says.
        jobs: Vec<JobDef>,
    },
    /// It cannot be used, and never will.
    Problem {
        /// The revision, if it is known.
        revision: Option<String>,
        /// What is wrong.
        problem: RunProblem,
    },
    /// It cannot be read at the moment.
    Trouble {
        /// Why, for people.
        reason: String,
    },
}

/// What is needed to try a run again that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct RetrySource {
    /// The run.
    pub run: PipelineRunRecord,
    /// What it built.
    pub sourcestamps: Vec<NewSourceStamp>,
    /// All of its jobs.
    pub jobs: Vec<PipelineJobRecord>,
}

/// A commit, as told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewChange {
    /// Who wrote it.
    pub author: String,
    /// Who committed it, if known apart from the author.
    pub committer: Option<String>,
    /// The commit message.
    pub comments: String,
    /// Changed files.
    pub files: Vec<String>,
    /// Revision.
    pub revision: Option<String>,
    /// Branch.
    pub branch: Option<String>,
    /// Category.
    pub category: Option<String>,
    /// Where to look at it.
    pub revlink: Option<String>,
    /// Repository.
    pub repository: String,
    /// Project.
    pub project: String,
    /// Codebase.
    pub codebase: String,
    /// When it was made; none = now.
    pub when: Option<Timestamp>,
    /// Properties (source `Change`).
    pub properties: Properties,
    /// What the functions that schedulers filter changes with have said, by the scheduler's name. A scheduler with such
    /// a function that is not here does not hear the change.
    pub verdicts: BTreeMap<String, bool>,
}

/// What somebody wants tried.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TryJob {
    /// The try scheduler's name.
    pub scheduler: String,
    /// What the client calls it; shown with the buildset. Blank = nothing.
    pub id: String,
    /// Branch; none = the repository's default.
    pub branch: Option<String>,
    /// What the patch is meant for; none = the newest.
    pub revision: Option<String>,
    /// The patch; its author and comment are those of the job. None = what is there is built.
    pub patch: Option<TryPatch>,
    /// Repository, as the client has it.
    pub repository: String,
    /// Project.
    pub project: String,
    /// Codebase; may be left out where the repository, or the scheduler, says it.
    pub codebase: String,
    /// Who wants it.
    pub who: String,
    /// What for.
    pub comment: String,
    /// Names of builders, which must be the scheduler's. Empty = all of them.
    pub builders: Vec<String>,
    /// Properties of the builds (source `try build`); the scheduler's own go before.
    pub properties: BTreeMap<String, Value>,
}

/// The patch of a job that is tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TryPatch {
    /// Leading path elements to strip.
    pub level: u32,
    /// Directory below the checkout to apply it in.
    pub subdir: String,
    /// The diff; a blank one counts as none.
    pub body: String,
}

/// A worker that has logged in.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectedWorker {
    /// Its configured name; its token was checked.
    pub name: String,
    /// The process behind it.
    pub connection: WorkerConnection,
    /// What it says of itself.
    pub info: Arc<WorkerInfo>,
}

/// What a running step makes durable. The running step is `step` of `build`; a report about any other is
/// refused, so that a fenced-off attempt can write nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// The build.
    pub build: BuildId,
    /// Its running step.
    pub step: StepId,
    /// Outcomes that are not yet recorded, in order.
    pub effects: Vec<EffectRecord>,
    /// Text of logs that is durable, or travels along.
    pub saves: Vec<LogSave>,
    /// Properties that changed.
    pub properties: Properties,
    /// For people, if it changed.
    pub state_string: Option<String>,
    /// All links, if they changed.
    pub urls: Option<Vec<StepUrl>>,
}

/// What a step triggers. Asked again with the same ordinal and digest while it waits, it is answered alike and starts
/// nothing again.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// The build.
    pub build: BuildId,
    /// Its running step.
    pub step: StepId,
    /// Place in the step's program order.
    pub ordinal: u32,
    /// SHA-256 (hex) of the request.
    pub digest: String,
    /// What is to be started.
    pub wanted: Vec<Wanted>,
    /// Whether the step goes on only when all of it is over.
    pub waits: bool,
    /// How the builds are related to this one, for people.
    pub relationship: String,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq)]
pub struct StepOutcome {
    /// Its result. `Retry` means that the infrastructure failed: the build ends and is tried again.
    pub results: Results,
    /// Why, where there is more to say.
    pub cause: Option<Cause>,
    /// For people.
    pub state_string: String,
    /// Whether UIs leave the step out.
    pub hidden: bool,
}

/// What an input is answered with, once its events are committed.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Done.
    Done,
    /// The change has this id.
    Change(ChangeId),
    /// The buildset with its requests by builder.
    Buildset {
        /// Its id.
        buildset: BuildsetId,
        /// Its requests.
        requests: BTreeMap<BuilderId, BuildRequestId>,
    },
    /// The log that was opened.
    Log(LogRecord),
    /// The worker has this id.
    Worker(WorkerId),
    /// What was triggered.
    Triggered(Vec<Triggered>),
    /// The run of a pipeline has this id.
    Run(RunId),
    /// Jobs were added to a run, now or when this was asked before.
    Added {
        /// How many.
        jobs: usize,
    },
}

/// Why an input was refused. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such thing, or none that is active.
    #[error("there is no {what}")]
    NotFound {
        /// Kind and name, such as `worker "linux-1"`.
        what: String,
    },
    /// Values of a form are not acceptable.
    #[error("{}", .fields.values().cloned().collect::<Vec<_>>().join("; "))]
    Invalid {
        /// Full name of the field to what is wrong with it.
        fields: BTreeMap<String, String>,
    },
    /// It is over already, or belongs to an attempt that was given up.
    #[error("{what} is not running")]
    NotLive {
        /// Kind and id.
        what: String,
    },
    /// It cannot be done now.
    #[error("{reason}")]
    Conflict {
        /// Why, and what to do.
        reason: String,
    },
}
