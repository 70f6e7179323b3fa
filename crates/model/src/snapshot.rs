//! The snapshot: what a start-up reads from the database. It holds what is active, never history.

use std::collections::BTreeMap;

use crate::{
    BuildRecord, BuildRequestRecord, BuilderRecord, BuildsetRecord, ChangeRecord, ChangeSourceRecord,
    CodebaseRecord, Counter, LogRecord, MasterRecord, PipelineJobRecord, PipelineRecord, PipelineRunRecord,
    Plan, ProjectRecord, SchedulerRecord, SourceStampRecord, StepRecord, Timestamp, WorkerRecord,
};

/// Everything that decisions need, as rows. `engine::State` is made from it and can be turned back into it,
/// which is how a test proves that loaded and live State are equal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Time of the last event.
    pub now: Timestamp,
    /// Sequence number of the last event.
    pub seq: u64,
    /// The next id of each counter.
    pub counters: BTreeMap<Counter, u64>,
    /// All masters.
    pub masters: Vec<MasterRecord>,
    /// All builders, inactive ones too.
    pub builders: Vec<BuilderRecord>,
    /// All workers, inactive ones too.
    pub workers: Vec<WorkerRecord>,
    /// All schedulers, inactive ones too.
    pub schedulers: Vec<SchedulerRecord>,
    /// All change sources, inactive ones too.
    pub change_sources: Vec<ChangeSourceRecord>,
    /// All projects, inactive ones too.
    pub projects: Vec<ProjectRecord>,
    /// All code bases, inactive ones too.
    pub codebases: Vec<CodebaseRecord>,
    /// All pipelines, inactive ones too.
    pub pipelines: Vec<PipelineRecord>,
    /// Digest of the configuration in force, empty before the first.
    pub config: String,
    /// Plans by digest: the one in force and those of active builds.
    pub plans: BTreeMap<String, Plan>,
    /// Changes that schedulers hold back.
    pub changes: Vec<ChangeRecord>,
    /// Buildsets that are not complete.
    pub buildsets: Vec<BuildsetRecord>,
    /// All requests of those buildsets, complete ones too (a buildset's result needs them).
    pub requests: Vec<BuildRequestRecord>,
    /// Source stamps of those changes, buildsets and runs.
    pub sourcestamps: Vec<SourceStampRecord>,
    /// Builds that are not complete.
    pub builds: Vec<BuildRecord>,
    /// All steps of those builds.
    pub steps: Vec<StepRecord>,
    /// All logs of the running steps of those builds, finished ones too (a replayed step opens them by name again).
    pub logs: Vec<LogRecord>,
    /// Runs that are not complete.
    pub runs: Vec<PipelineRunRecord>,
    /// All jobs of those runs, by run and number.
    pub jobs: Vec<PipelineJobRecord>,
}
