//! What has happened: pipelines that are or were configured, their runs, and the jobs of those.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{JobDef, PipelineDef, in_repository::RunSource};
use crate::{
    BuildRequestId, BuildsetId, Cause, ChangeId, JobId, PipelineId, Properties, Results, RunId,
    SourceStampId, Timestamp,
};

/// A pipeline, configured or not any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PipelineRecord {
    /// Id.
    pub id: PipelineId,
    /// Unique name.
    pub name: String,
    /// Markdown.
    pub description: Option<String>,
    /// Its project; may be empty.
    pub project: String,
    /// Whether the current configuration has it.
    pub active: bool,
}

/// One run of a pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PipelineRunRecord {
    /// Id.
    pub id: RunId,
    /// Its pipeline.
    pub pipeline: PipelineId,
    /// The pipeline as it was when the run was made, with the jobs of the repository's file once these are known; jobs that
    /// were added since are not in it.
    pub definition: Arc<PipelineDef>,
    /// Name of the scheduler that made it.
    pub scheduler: String,
    /// Why, for people.
    pub reason: String,
    /// What it builds, one stamp a code base.
    pub sourcestamps: Vec<SourceStampId>,
    /// Changes that led to it.
    pub changes: Vec<ChangeId>,
    /// Files that those changed; none where nothing is known of them.
    pub files: Option<Vec<String>>,
    /// Properties of the builds of its jobs.
    pub properties: Properties,
    /// Priority of its requests.
    pub priority: i64,
    /// Job of another run that started it.
    pub parent: Option<JobId>,
    /// How many runs are above it.
    pub depth: u32,
    /// Run that it tries again.
    pub retried: Option<RunId>,
    /// Its concurrency group, filled in.
    pub group: Option<String>,
    /// What it shares with the runs that it supersedes.
    pub supersedes: Option<String>,
    /// Whether what it builds is trusted. Jobs that stand in a repository are, if the project says so of the branch; those of
    /// the configuration always, unless something untrusted has started the run. An untrusted run uses less.
    #[serde(default = "trusted")]
    pub trusted: bool,
    /// Where its jobs stand, if that is in the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<RunSource>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Where it stands.
    pub progress: RunProgress,
}

/// A run without a word on it is one of the configuration's own.
fn trusted() -> bool {
    true
}

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunProgress {
    /// In short.
    pub state: RunState,
    /// For people.
    pub why: Option<String>,
    /// Set once it is to be stopped: (who, why).
    pub stop: Option<(String, String)>,
    /// When its first jobs were looked at.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub complete_at: Option<Timestamp>,
    /// How it ended.
    pub results: Option<Results>,
}

/// Where a run stands, in short. It only moves forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Its jobs stand in the repository, and are not known yet.
    Defining,
    /// Waits for its turn in its concurrency group.
    #[default]
    Queued,
    /// Goes on.
    Running,
    /// Is being stopped: what runs is asked to end, and nothing new starts but what always does.
    Stopping,
    /// Over.
    Complete,
}

impl RunState {
    /// The word for it, as stored.
    pub const fn word(self) -> &'static str {
        match self {
            RunState::Defining => "defining",
            RunState::Queued => "queued",
            RunState::Running => "running",
            RunState::Stopping => "stopping",
            RunState::Complete => "complete",
        }
    }

    /// The state with that word.
    pub fn from_word(word: &str) -> Option<Self> {
        [
            Self::Defining,
            Self::Queued,
            Self::Running,
            Self::Stopping,
            Self::Complete,
        ]
        .into_iter()
        .find(|state| state.word() == word)
    }
}

/// One job of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PipelineJobRecord {
    /// Id.
    pub id: JobId,
    /// Its run.
    pub run: RunId,
    /// In the run, from 0.
    pub number: u32,
    /// Unique in the run.
    pub name: String,
    /// Name of its definition: that of the whole matrix.
    pub group: String,
    /// Its values on each axis.
    pub matrix: BTreeMap<String, Value>,
    /// Its definition with the matrix' values filled in.
    pub definition: Arc<JobDef>,
    /// Numbers of the jobs that it needs, ascending.
    pub needs: Vec<u32>,
    /// Who added it while the run was going on.
    pub added_by: Option<AddedBy>,
    /// Where it stands.
    pub progress: JobProgress,
}

/// Who added a job to a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedBy {
    /// Number of the job whose build did.
    pub job: u32,
    /// Which request of its steps it was: asked again, the answer is the same.
    pub key: String,
}

/// Where a job stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JobProgress {
    /// In short.
    pub state: JobState,
    /// For people.
    pub why: Option<String>,
    /// How it ended.
    pub results: Option<Results>,
    /// Why it ended so, where there is more to say.
    pub cause: Option<Cause>,
    /// The buildset that was made for it last.
    pub buildset: Option<BuildsetId>,
    /// That one's only request.
    pub request: Option<BuildRequestId>,
    /// The run that it started.
    pub child: Option<RunId>,
    /// How often it was started.
    pub attempts: u32,
    /// Whether it ran for too long and was told to stop.
    pub timed_out: bool,
    /// What it has for the jobs that need it.
    pub outputs: Properties,
    /// Who approved or rejected it.
    pub approved_by: Option<String>,
    /// Since when it waits for approval or for a worker.
    pub queued_at: Option<Timestamp>,
    /// When its first build started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub complete_at: Option<Timestamp>,
}

/// Where a job stands, in short. It only moves forward, apart from `Running` back to `Queued` when it is tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits for the jobs that it needs.
    #[default]
    Waiting,
    /// Waits for somebody to approve it.
    AwaitingApproval,
    /// Waits for a worker.
    Queued,
    /// Is being built, or the run that it started goes on.
    Running,
    /// Over.
    Complete,
    /// Over without having been started.
    Skipped,
    /// Over: nobody approved it, or no worker was free, in time.
    Expired,
}

impl JobState {
    /// The word for it, as stored.
    pub const fn word(self) -> &'static str {
        match self {
            JobState::Waiting => "waiting",
            JobState::AwaitingApproval => "awaiting_approval",
            JobState::Queued => "queued",
            JobState::Running => "running",
            JobState::Complete => "complete",
            JobState::Skipped => "skipped",
            JobState::Expired => "expired",
        }
    }

    /// The state with that word.
    pub fn from_word(word: &str) -> Option<Self> {
        [
            Self::Waiting,
            Self::AwaitingApproval,
            Self::Queued,
            Self::Running,
            Self::Complete,
            Self::Skipped,
            Self::Expired,
        ]
        .into_iter()
        .find(|state| state.word() == word)
    }

    /// Whether nothing more happens to it.
    pub const fn is_over(self) -> bool {
        matches!(self, JobState::Complete | JobState::Skipped | JobState::Expired)
    }
}

impl PipelineJobRecord {
    /// Whether it counts as succeeded for those that need it.
    pub fn has_succeeded(&self) -> bool {
        self.progress.state.is_over()
            && match self.progress.results {
                Some(Results::Success | Results::Warnings) => true,
                Some(Results::Skipped) | None => false,
                Some(_) => self.definition.optional,
            }
    }

    /// Whether it counts as failed for those that need it.
    pub fn has_failed(&self) -> bool {
        self.progress.state.is_over()
            && !matches!(
                self.progress.results,
                Some(Results::Success | Results::Warnings | Results::Skipped) | None
            )
    }
}
