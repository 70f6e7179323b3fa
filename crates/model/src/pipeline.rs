//! Pipelines: several jobs as one thing with a state of its own.
//!
//! What the configuration says ([`PipelineDef`], [`JobDef`]), what has happened ([`PipelineRunRecord`],
//! [`PipelineJobRecord`]), and how the one becomes the other ([`graph`]): matrices are multiplied out, names resolved,
//! cycles found. The configuration's check and the engine use the same function for that, so they cannot differ.
//!
//! The jobs of a pipeline may stand in a file of the repository that it builds, too: [`in_repository`].

pub mod graph;
pub mod in_repository;
mod record;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Duration, Results};

pub use in_repository::{InRepositoryDef, RunProblem, RunSource};
pub use record::{
    AddedBy, JobProgress, JobState, PipelineJobRecord, PipelineRecord, PipelineRunRecord, RunProgress,
    RunState,
};

/// The most jobs that a run may have, those that are added while it runs included.
pub const JOBS_MAX: usize = 10_000;
/// The most needs that the jobs of a run may have in all.
pub const NEEDS_MAX: usize = 200_000;
/// How deep pipelines may start one another.
pub const DEPTH_MAX: u32 = 16;

/// A pipeline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PipelineDef {
    /// Its name, any text.
    pub name: String,
    /// For people; Markdown.
    pub description: Option<String>,
    /// The project that it belongs to; may be empty.
    pub project: String,
    /// Its jobs, in the order of the file. None yet where they stand in the repository.
    pub jobs: Vec<JobDef>,
    /// Where its jobs stand if not here, and what they may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_repository: Option<InRepositoryDef>,
    /// Properties of the builds of all its jobs (source `Pipeline`).
    pub properties: BTreeMap<String, Value>,
    /// How long a run may take from its first job on.
    pub timeout: Option<Duration>,
    /// Whether a run stops older ones of the same branch (of the same repositories).
    pub cancel_superseded: bool,
    /// How many runs go on at once.
    pub concurrency: Option<ConcurrencyDef>,
}

/// Runs that take turns, also those of other pipelines with the same group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConcurrencyDef {
    /// Name of the group; may hold `%(src::branch)s` and `%(prop:name)s`.
    pub group: String,
    /// How many go on at once, at least 1.
    pub limit: u32,
    /// What happens when there are as many.
    pub when_full: WhenFull,
}

/// What happens to a run that finds its concurrency group full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// It waits for its turn.
    #[default]
    Queue,
    /// Older ones are stopped, and it begins when they have ended.
    CancelOlder,
}

/// A job of a pipeline; with a matrix, several.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobDef {
    /// Its name, unique in the pipeline. May hold `%(matrix:axis)s`.
    pub name: String,
    /// What it does.
    pub work: JobWork,
    /// Names of the jobs that must be over before it starts; the name of a matrix means all of its jobs.
    pub needs: Vec<String>,
    /// Names of jobs that need this one: the same from the other side, for jobs that are added to a run.
    pub needed_by: Vec<String>,
    /// How those must have ended.
    pub needs_on: NeedsOn,
    /// With `needs_on = success`: the share of them, in thousandths, that must have succeeded.
    pub needs_share: Option<u32>,
    /// It is skipped unless all of this holds.
    pub when: Option<ConditionDef>,
    /// It is skipped if all of this holds.
    pub unless: Option<ConditionDef>,
    /// Axes; there is a job for each combination of values.
    pub matrix: Vec<AxisDef>,
    /// Combinations that are left out: those that have all of these values.
    pub matrix_exclude: Vec<BTreeMap<String, Value>>,
    /// Whether the run may succeed when it fails.
    pub optional: bool,
    /// Whether somebody must approve it before it starts.
    pub approval: Option<ApprovalDef>,
    /// How long it may wait for approval and for a worker.
    pub expires: Option<Duration>,
    /// How long it may run.
    pub timeout: Option<Duration>,
    /// When it is tried again.
    pub retry: Option<RetryDef>,
    /// Properties of its builds (source `Job`).
    pub properties: BTreeMap<String, Value>,
    /// Names of properties of its build that the jobs get which need it.
    pub outputs: Vec<String>,
    /// Priority of its requests; none = the run's.
    pub priority: Option<i64>,
}

/// What a job does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum JobWork {
    /// Nothing: it joins others, or waits for an approval.
    #[default]
    Gate,
    /// One build.
    Build {
        /// The builder's name.
        builder: String,
    },
    /// A run of another pipeline, of the same source.
    Pipeline {
        /// Its name.
        pipeline: String,
        /// Whether the job goes on until that run has ended, and ends like it.
        wait: bool,
    },
}

/// How the jobs that a job needs must have ended. Ended with warnings is succeeded, and so is an optional job that has
/// failed; a job that was skipped has neither succeeded nor failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NeedsOn {
    /// All have succeeded, or the stated share of them.
    #[default]
    Success,
    /// None has failed.
    NotFailed,
    /// At least one has failed.
    Failure,
    /// They are over, however they ended.
    Completion,
    /// The same, also when the run is being stopped.
    Always,
}

impl NeedsOn {
    /// All of them, by the configuration's words.
    pub const WORDS: [(&'static str, NeedsOn); 5] = [
        ("success", NeedsOn::Success),
        ("not_failed", NeedsOn::NotFailed),
        ("failure", NeedsOn::Failure),
        ("completion", NeedsOn::Completion),
        ("always", NeedsOn::Always),
    ];
}

/// Something that holds of a run or not. All parts that are given must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConditionDef {
    /// Globs: one of them matches the branch.
    pub branches: Vec<String>,
    /// Globs: one of them matches a changed file. Holds too where nothing is known of the files.
    pub files: Vec<String>,
    /// Properties of the run, or outputs of the jobs that are needed: each has one of these values.
    pub properties: BTreeMap<String, Vec<Value>>,
    /// Jobs that are needed: each has one of these results; of a matrix, at least one job has.
    pub results: BTreeMap<String, Vec<Results>>,
}

/// One axis of a matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AxisDef {
    /// Its name; becomes a property.
    pub name: String,
    /// Its values.
    pub values: Vec<Value>,
}

/// Who may let a job start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ApprovalDef {
    /// What they are asked.
    pub prompt: String,
    /// Names of the users who may; empty = whoever may control the master.
    pub users: Vec<String>,
}

/// When a job that has failed is tried again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryDef {
    /// How many times more.
    pub limit: u32,
    /// After what.
    pub on: Vec<FailureClass>,
}

/// Why a job has failed, as far as it decides on trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// Machines or connections failed, beyond the attempts of the builder itself.
    Infrastructure,
    /// A command ended with an exit code, or by a signal.
    ExitCode,
    /// A command or the job took too long.
    Timeout,
    /// Whatever it was, unless somebody cancelled it.
    Any,
}

impl FailureClass {
    /// All of them, by the configuration's words.
    pub const WORDS: [(&'static str, FailureClass); 4] = [
        ("infrastructure", FailureClass::Infrastructure),
        ("exit_code", FailureClass::ExitCode),
        ("timeout", FailureClass::Timeout),
        ("any", FailureClass::Any),
    ];
}
