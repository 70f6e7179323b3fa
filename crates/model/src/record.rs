//! Records: what has happened, one type a table. Events carry them, the store keeps them, REST shows them.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    BuildId, BuildRequestId, BuilderId, BuildsetId, Cause, ChangeId, ChangeSourceId, CodebaseId, Downtime,
    Duration, JobId, LogId, MasterId, ProjectId, Properties, Results, SchedulerId, SourceStampId, StepId,
    Timestamp, Waits, WorkerId,
};

/// A master that uses this database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MasterRecord {
    /// Id.
    pub id: MasterId,
    /// `host:basedir`.
    pub name: String,
    /// Whether it runs.
    pub active: bool,
    /// When it was last known to run; of the one that runs: when it started.
    pub last_active: Timestamp,
    /// How long it lets a worker that has gone away keep its builds: the workers' lease plus a margin.
    #[serde(default)]
    pub lease: Duration,
    /// Whether it starts no builds any more, because it is to stop when those that run are over.
    #[serde(default)]
    pub draining: bool,
}

/// A builder, configured or not any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BuilderRecord {
    /// Id.
    pub id: BuilderId,
    /// Unique name.
    pub name: String,
    /// Markdown.
    pub description: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Whether the current configuration has it.
    pub active: bool,
    /// Number that its next build gets, from 1.
    pub next_number: u64,
    /// Its project, if it has one.
    #[serde(default)]
    pub project: Option<ProjectId>,
}

/// A project, configured or not any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProjectRecord {
    /// Id.
    pub id: ProjectId,
    /// Unique name.
    pub name: String,
    /// Markdown.
    pub description: Option<String>,
    /// Whether the current configuration has it.
    pub active: bool,
}

/// A code base, configured or not any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CodebaseRecord {
    /// Id.
    pub id: CodebaseId,
    /// Unique name.
    pub name: String,
    /// Its project.
    pub project: ProjectId,
    /// Whether the current configuration has it.
    pub active: bool,
}

/// A worker, configured or not any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerRecord {
    /// Id.
    pub id: WorkerId,
    /// Unique name.
    pub name: String,
    /// Whether the current configuration has it.
    pub active: bool,
    /// Builders that may use it, by the current configuration.
    pub builders: Vec<BuilderId>,
    /// Whether it gets no new builds.
    pub paused: bool,
    /// Why, in the words of who paused it.
    pub pause_reason: Option<String>,
    /// Whether it is to shut down when idle. A matter of this process: the next one knows nothing of it.
    pub graceful: bool,
    /// Its time off, if it has any: this one, or the next.
    pub downtime: Option<Downtime>,
    /// Whether it is to end at once, likewise. It is `graceful` then, too.
    #[serde(default)]
    pub killed: bool,
    /// How many builds it runs at once, by the configuration that had it last.
    #[serde(default)]
    pub slots: u32,
    /// The process behind it, as last seen; its fields outlive the connection.
    pub connection: Option<WorkerConnection>,
    /// Since when it has not been connected, if it is not; at first since it was configured.
    pub disconnected_at: Option<Timestamp>,
    /// Whether it has not been connected for longer than it may.
    #[serde(default)]
    pub missing: bool,
    /// What it last said of itself. Shared with the event that brought it, which is kept in memory for a while: there are many workers.
    pub info: Arc<WorkerInfo>,
}

/// The worker process that connected last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerConnection {
    /// Random, new for every worker process.
    pub instance: String,
    /// Identifies the boot of its machine.
    pub boot: String,
    /// Whether its commands survive a lost connection.
    pub resumes: bool,
    /// Whether it is connected now.
    pub connected: bool,
}

/// What a worker says of itself, for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// Whom to ask about it.
    pub admin: Option<String>,
    /// Description of the machine.
    pub host: Option<String>,
    /// How to get at it.
    pub access_uri: Option<String>,
    /// Version of the worker program.
    pub version: Option<String>,
    /// More facts (`os`, `arch`, `cpus` …).
    #[serde(default)]
    pub facts: BTreeMap<String, serde_json::Value>,
}

/// A scheduler, configured or not any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchedulerRecord {
    /// Id.
    pub id: SchedulerId,
    /// Unique name.
    pub name: String,
    /// Whether the current configuration has it.
    pub active: bool,
    /// Whether it acts at all (people can switch it off).
    pub enabled: bool,
    /// What it remembers.
    pub state: SchedulerState,
}

/// What a scheduler remembers between inputs. All of it is durable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SchedulerState {
    /// Changes that wait for a stable tree, by timer key (one key, `""`, for the single-branch kind).
    #[serde(default)]
    pub waiting: BTreeMap<String, WaitingChanges>,
    /// When one that is set off by time fires next.
    #[serde(default)]
    pub next_fire: Option<Timestamp>,
    /// The newest that was heard of each code base, where it builds several.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub seen: BTreeMap<String, NewSourceStamp>,
    /// What was asked of a nightly-triggerable one since it last fired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
}

/// Changes that wait for a tree-stable timer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WaitingChanges {
    /// Ids in arrival order.
    pub changes: Vec<ChangeId>,
    /// When it fires; none while there are only unimportant changes.
    pub fire_at: Option<Timestamp>,
    /// Whether an important one is among them, or was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub important: bool,
}

/// What a step has asked a nightly-triggerable scheduler for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// What is to be built; empty = what the scheduler says.
    pub sourcestamps: Vec<NewSourceStamp>,
    /// Properties of the builds.
    pub properties: Properties,
    /// Changes that led to it.
    #[serde(default)]
    pub changes: Vec<ChangeId>,
}

/// A change source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeSourceRecord {
    /// Id.
    pub id: ChangeSourceId,
    /// Unique name.
    pub name: String,
    /// Whether the current configuration has it.
    pub active: bool,
}

/// A commit that somebody told us about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeRecord {
    /// Id.
    pub id: ChangeId,
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
    /// When it was made.
    pub when: Timestamp,
    /// Properties (source `Change`).
    pub properties: Properties,
    /// Its source stamp.
    pub sourcestamp: SourceStampId,
    /// The change before it on the same branch, if known.
    pub parent: Option<ChangeId>,
}

/// A source stamp to be stored; equal ones share a row.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NewSourceStamp {
    /// Branch; none = the repository's default.
    pub branch: Option<String>,
    /// Revision; none = the newest.
    pub revision: Option<String>,
    /// Repository.
    pub repository: String,
    /// Project.
    pub project: String,
    /// Codebase.
    pub codebase: String,
    /// A patch on top.
    pub patch: Option<Patch>,
}

/// A patch to be applied to a checkout.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Patch {
    /// Leading path elements to strip (`patch -p`).
    pub level: u32,
    /// Directory below the checkout to apply it in.
    pub subdir: String,
    /// Who wrote it.
    pub author: String,
    /// What for.
    pub comment: String,
    /// The unified diff.
    pub body: String,
}

/// A stored source stamp.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceStampRecord {
    /// Id.
    pub id: SourceStampId,
    /// What it names.
    #[serde(flatten)]
    pub stamp: NewSourceStamp,
    /// When it was first used.
    pub created_at: Timestamp,
}

/// One decision to build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BuildsetRecord {
    /// Id.
    pub id: BuildsetId,
    /// Given by who asked, to find it again.
    pub external_id: Option<String>,
    /// Why, for people.
    pub reason: String,
    /// Name of the scheduler that made it.
    pub scheduler: String,
    /// When.
    pub submitted_at: Timestamp,
    /// What it builds, one stamp a codebase.
    pub sourcestamps: Vec<SourceStampId>,
    /// Changes that led to it.
    pub changes: Vec<ChangeId>,
    /// Properties of its builds.
    pub properties: Properties,
    /// Build that asked for it.
    pub parent_build: Option<BuildId>,
    /// How that build is related.
    pub parent_relationship: Option<String>,
    /// First build of a chain of rebuilds.
    pub rebuilt_build: Option<BuildId>,
    /// Job of a pipeline's run that asked for it; it has one for each attempt of the job.
    pub job: Option<JobId>,
    /// When all requests were complete.
    pub complete_at: Option<Timestamp>,
    /// The worst of their results.
    pub results: Option<Results>,
}

/// The wish that one builder builds one buildset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BuildRequestRecord {
    /// Id.
    pub id: BuildRequestId,
    /// Its buildset.
    pub buildset: BuildsetId,
    /// Who is to build it.
    pub builder: BuilderId,
    /// Higher goes first.
    pub priority: i64,
    /// Whether somebody has set the priority by hand: then no function of the configuration says another.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_hand: bool,
    /// When it was made.
    pub submitted_at: Timestamp,
    /// Whether somebody waits for it.
    pub waited_for: bool,
    /// Builds started for it so far.
    pub attempts: u32,
    /// Where it stands.
    pub phase: RequestPhase,
}

impl BuildRequestRecord {
    /// Stands for older requests from now on: it takes over the oldest place and the highest priority.
    pub fn take_over(&mut self, older: &[&BuildRequestRecord]) {
        for older in older {
            self.priority = self.priority.max(older.priority);
            self.submitted_at = self.submitted_at.min(older.submitted_at);
        }
        let mut same = older.iter().filter(|older| older.priority == self.priority);
        self.by_hand |= same.any(|older| older.by_hand);
    }
}

/// Where a build request stands. It only moves forward, apart from `Claimed` back to `Queued` when an
/// attempt is lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum RequestPhase {
    /// Waits for a worker.
    Queued,
    /// Is being built.
    Claimed {
        /// By this build.
        build: BuildId,
        /// Since then.
        at: Timestamp,
    },
    /// Over.
    Complete {
        /// How it ended.
        results: Results,
        /// When.
        at: Timestamp,
        /// Why, where there is more to say.
        cause: Option<Cause>,
    },
}

/// One attempt at a build request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BuildRecord {
    /// Id.
    pub id: BuildId,
    /// Per builder, from 1.
    pub number: u64,
    /// Its builder.
    pub builder: BuilderId,
    /// The request it attempts.
    pub request: BuildRequestId,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// Where it runs.
    pub worker: WorkerId,
    /// On which process of that worker.
    pub instance: String,
    /// In which of its slots, from 0. Together with the builder this names the directory.
    pub slot: u32,
    /// On which master.
    pub master: MasterId,
    /// Digest of the configuration it runs under.
    pub config: String,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub complete_at: Option<Timestamp>,
    /// How it ended.
    pub results: Option<Results>,
    /// Why, where there is more to say.
    pub cause: Option<Cause>,
    /// For people.
    pub state_string: String,
    /// All its properties.
    pub properties: Properties,
    /// Set once somebody asked to stop it: (who, why).
    pub stop: Option<(String, String)>,
    /// Set once its worker process is known to be gone for good: what happened.
    pub lost: Option<String>,
    /// Set while its running step waits for builds that it has triggered, and its slot is given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<Waits>,
}

/// One step of a build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Id.
    pub id: StepId,
    /// Its build.
    pub build: BuildId,
    /// In the build, from 0 in the order of running.
    pub number: u32,
    /// Index of its definition in the builder's steps.
    pub definition: u32,
    /// Name.
    pub name: String,
    /// When it started.
    pub started_at: Timestamp,
    /// Since when it has its locks and runs; none while it waits for them.
    pub locks_acquired_at: Option<Timestamp>,
    /// When it ended.
    pub complete_at: Option<Timestamp>,
    /// How it ended.
    pub results: Option<Results>,
    /// Why, where there is more to say.
    pub cause: Option<Cause>,
    /// For people.
    pub state_string: String,
    /// Links.
    pub urls: Vec<StepUrl>,
    /// Whether UIs leave it out.
    pub hidden: bool,
}

/// A link of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepUrl {
    /// Text.
    pub name: String,
    /// Target.
    pub url: String,
}

/// The kind of a log, by REST v2's letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogKind {
    /// Output of commands; each line has a stream.
    #[serde(rename = "s")]
    Stdio,
    /// Plain text.
    #[serde(rename = "t")]
    Text,
    /// HTML.
    #[serde(rename = "h")]
    Html,
}

impl LogKind {
    /// REST v2's letter.
    pub const fn letter(self) -> &'static str {
        match self {
            LogKind::Stdio => "s",
            LogKind::Text => "t",
            LogKind::Html => "h",
        }
    }
}

/// One log of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogRecord {
    /// Id.
    pub id: LogId,
    /// Its step.
    pub step: StepId,
    /// Its build; logs of one build share a file.
    pub build: BuildId,
    /// Name.
    pub name: String,
    /// Identifier made from the name, unique in the step.
    pub slug: String,
    /// Kind.
    pub kind: LogKind,
    /// Whether it is finished.
    pub complete: bool,
    /// Lines so far, as of the last commit that mentions it.
    pub num_lines: u64,
    /// Bytes of the raw form so far, likewise.
    pub raw_bytes: u64,
}

/// What a commit says about a log's text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogSave {
    /// Which log.
    pub log: LogId,
    /// Lines now.
    pub num_lines: u64,
    /// Bytes of the raw form now.
    pub raw_bytes: u64,
    /// Whether it is finished.
    pub complete: bool,
    /// Where the text is.
    pub content: LogContent,
}

/// Where a log's text is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogContent {
    /// In the build's log file.
    File,
    /// In the row itself, in the form of `logs`. The feed does not repeat it.
    Inline(#[serde(skip)] Vec<u8>),
}

/// What a step asked of the world, and what came of it: the memory that a replay answers from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EffectRecord {
    /// Place in the step's program order, from 0.
    pub ordinal: u32,
    /// `exec`, `get`, `time` …
    pub kind: String,
    /// SHA-256 (hex) of the request without secret values.
    pub digest: String,
    /// What came of it.
    pub outcome: serde_json::Value,
}
