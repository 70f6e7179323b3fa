//! What the configuration says: the definitions that all spellings of it lead to.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Asks, CallbackSet, CodebaseDef, Cron, Downtime, DowntimeDef, Duration, LockDef, LockUse, NewSourceStamp,
    PipelineDef, ProjectDef, Properties, Timestamp, TryDef, Zone,
};

/// Everything that decisions depend on, from one configuration bundle.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// SHA-256 (hex) of the bundle of files it came from: the configuration's identity.
    pub digest: String,
    /// Workers by name.
    pub workers: BTreeMap<String, WorkerDef>,
    /// Builders by name.
    pub builders: BTreeMap<String, BuilderDef>,
    /// Schedulers by name.
    pub schedulers: BTreeMap<String, SchedulerDef>,
    /// Change sources by name.
    pub change_sources: BTreeMap<String, ChangeSourceDef>,
    /// Projects by name.
    #[serde(default)]
    pub projects: BTreeMap<String, ProjectDef>,
    /// Code bases by name.
    #[serde(default)]
    pub codebases: BTreeMap<String, CodebaseDef>,
    /// Locks by name.
    #[serde(default)]
    pub locks: BTreeMap<String, LockDef>,
    /// Pipelines by name.
    #[serde(default)]
    pub pipelines: BTreeMap<String, Arc<PipelineDef>>,
    /// Functions that are asked before something is decided. They live as long as the plan is in force, and are never
    /// stored.
    #[serde(skip)]
    pub callbacks: CallbackSet,
}

/// MD5 of a token: what the login of Perspective Broker is computed from. Whoever has it can log in, so it is kept in memory
/// only: no record, message or debug output has it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PbSecret(pub [u8; 16]);

impl fmt::Debug for PbSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PbSecret")
    }
}

/// A machine that may connect, and what it may run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerDef {
    /// Its name, an identifier.
    pub name: String,
    /// How many builds it runs at once, at least 1.
    pub slots: u32,
    /// Labels that builders may ask for.
    pub labels: BTreeSet<String>,
    /// SHA-256 (hex) of the token it logs in with. The token itself is never kept.
    pub token_sha256: String,
    /// The same token, as the login of Perspective Broker needs it.
    #[serde(skip)]
    pub pb_secret: PbSecret,
    /// Properties of every build on it (source `Worker`).
    pub properties: BTreeMap<String, Value>,
    /// Times in which it takes no new build.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub downtime: Vec<DowntimeDef>,
    /// The time zone that they are meant in, by its name; empty = UTC.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub time_zone: String,
    /// It counts as missing when it has not been connected for so long; none = never.
    #[serde(default)]
    pub missing_after: Option<Duration>,
}

impl WorkerDef {
    /// Where it stands between its times off.
    pub fn downtime_at(&self, now: Timestamp) -> Option<Downtime> {
        if self.downtime.is_empty() {
            return None;
        }
        let zone = Zone::named(&self.time_zone).unwrap_or_else(Zone::utc);
        Downtime::at(&self.downtime, &zone, now)
    }
}

/// A named job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BuilderDef {
    /// Its name, any text.
    pub name: String,
    /// For people; Markdown.
    pub description: Option<String>,
    /// Tags for finding it.
    pub tags: Vec<String>,
    /// Which workers may run it: those that any selector matches.
    pub workers: Vec<WorkerSelector>,
    /// What it does, in order.
    pub steps: Vec<StepDef>,
    /// Properties of every build (source `Builder`).
    pub properties: BTreeMap<String, Value>,
    /// Environment of every command; `None` unsets a name.
    pub env: BTreeMap<String, Option<String>>,
    /// Name of its directory on workers, made from its name where not given.
    pub builddir: String,
    /// Attempts at one request when machines fail, at least 1. The first counts.
    pub attempts_max: u32,
    /// Whether queued requests for the same thing are merged.
    pub collapse: CollapseRule,
    /// Builds of this builder at once over all workers; none = as many as there are slots.
    pub builds_max: Option<u32>,
    /// Name of its project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Locks that each build holds from its start to its end.
    #[serde(default)]
    pub locks: Vec<LockUse>,
    /// Which of its workers is taken when several have room.
    #[serde(default)]
    pub prefer: WorkerPreference,
    /// A property that says the priority of a request, if it is a whole number.
    #[serde(default)]
    pub priority_property: Option<String>,
    /// Which functions of the configuration ([`Plan::callbacks`]) are asked about its requests.
    #[serde(default, skip_serializing_if = "Asks::is_none")]
    pub asks: Asks,
}

/// Selects workers for a builder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerSelector {
    /// The worker with this name.
    Name(String),
    /// Every worker with this label.
    Label(String),
    /// Every worker with all of these labels, and none of those.
    Labels {
        /// What it must have.
        all: Vec<String>,
        /// What it must not have.
        not: Vec<String>,
    },
}

impl WorkerSelector {
    /// Whether it means that worker.
    pub fn matches(&self, worker: &WorkerDef) -> bool {
        match self {
            WorkerSelector::Name(name) => worker.name == *name,
            WorkerSelector::Label(label) => worker.labels.contains(label),
            WorkerSelector::Labels { all, not } => {
                all.iter().all(|label| worker.labels.contains(label))
                    && !not.iter().any(|label| worker.labels.contains(label))
            }
        }
    }
}

/// Which of several workers with room a builder's next build gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerPreference {
    /// One that has built it lately, for its warm checkout; else as for `Idle`.
    #[default]
    Warm,
    /// The one that runs the least, of these the one that was not used for longest.
    Idle,
    /// One that an earlier selector of the builder means; of these as for `Idle`.
    Order,
}

/// When an older queued request is merged into a newer one of the same builder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CollapseRule {
    /// Never: each request is built.
    #[default]
    Never,
    /// When branch, repository, project, codebase and patch are equal; the newest revision is built
    /// (Buildbot's default rule).
    SameBranch,
    /// When repository, project, codebase and patch are equal, whatever branch and revision they name; only the newest request is
    /// built.
    Newest,
}

/// One step of a builder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepDef {
    /// Shown to people; unique within a builder (made so by the configuration).
    pub name: String,
    /// Which kind of the catalogue.
    pub kind: String,
    /// The kind's fields, checked against its description. Durations are seconds.
    pub params: Map<String, Value>,
    /// What its result does to the build.
    pub flags: StepFlags,
    /// Logs that are opened together with it, in order.
    pub logs: Vec<String>,
    /// Locks that it holds while it runs.
    #[serde(default)]
    pub locks: Vec<LockUse>,
}

/// What a step's result does to the build; Buildbot's flags with Buildbot's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFlags {
    /// A failure (or exception) stops the build; only `always_run` steps follow.
    pub halt_on_failure: bool,
    /// A failure makes the build fail.
    pub flunk_on_failure: bool,
    /// Warnings make the build fail.
    pub flunk_on_warnings: bool,
    /// A failure makes the build end with warnings.
    pub warn_on_failure: bool,
    /// Warnings make the build end with warnings.
    pub warn_on_warnings: bool,
    /// Runs even when the build was stopped or has failed.
    pub always_run: bool,
}

impl Default for StepFlags {
    fn default() -> Self {
        Self {
            halt_on_failure: false,
            flunk_on_failure: true,
            flunk_on_warnings: false,
            warn_on_failure: false,
            warn_on_warnings: true,
            always_run: false,
        }
    }
}

/// A scheduler: turns changes, time or wishes into buildsets for its builders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchedulerDef {
    /// Its name; for force schedulers an identifier.
    pub name: String,
    /// Names of the builders it asks; none if it starts a pipeline.
    pub builders: Vec<String>,
    /// Name of the pipeline that it starts in place of builders.
    #[serde(default)]
    pub pipeline: Option<String>,
    /// Priority of its requests; higher goes first.
    pub priority: i64,
    /// Whether a function of the configuration ([`Plan::callbacks`]) says the priority.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asks_priority: bool,
    /// Properties of its buildsets (source `Scheduler`).
    pub properties: BTreeMap<String, Value>,
    /// Code bases that it builds together. Empty = whatever sets it off says what is built.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codebases: Vec<CodebaseUse>,
    /// What sets it off.
    pub kind: SchedulerKind,
}

/// A code base that a scheduler builds together with others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodebaseUse {
    /// What of it is built when nothing else is known, and which branch of it is followed (none = all).
    #[serde(flatten)]
    pub source: FixedSource,
    /// If given, always this revision is built, and its changes are not heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}

/// What sets a scheduler off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SchedulerKind {
    /// Changes on the branches that the filter names, collected until the tree is stable.
    SingleBranch {
        /// Which changes.
        filter: ChangeFilter,
        /// How long no important change may arrive before it fires; none = at once, one buildset a change.
        tree_stable: Option<Duration>,
    },
    /// The same with a timer for each branch apart.
    AnyBranch {
        /// Which changes.
        filter: ChangeFilter,
        /// As for the single branch, per (codebase, project, repository, branch).
        tree_stable: Option<Duration>,
    },
    /// Whenever a buildset of another scheduler has succeeded: the same source is built.
    Dependent {
        /// The other scheduler's name.
        upstream: String,
    },
    /// Every so often.
    Periodic {
        /// From one firing to the next.
        interval: Duration,
        /// What it builds.
        #[serde(flatten)]
        source: FixedSource,
        /// If given, it builds only if an important change has passed this since it last looked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        changes: Option<ChangeFilter>,
    },
    /// At times of a calendar.
    Nightly(NightlyDef),
    /// At times of a calendar, if a step of a build has said so since the last time.
    NightlyTriggerable(NightlyDef),
    /// When a step of a build says so (the step `trigger`).
    Triggerable {
        /// What it builds when the step does not say.
        #[serde(flatten)]
        source: FixedSource,
    },
    /// When somebody says so.
    Force(ForceDef),
    /// When somebody wants to know what a patch would do.
    Try(TryDef),
}

/// The source stamp of a scheduler that is not set off by changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedSource {
    /// Branch; none = the repository's default.
    pub branch: Option<String>,
    /// Repository, as change sources spell it.
    pub repository: String,
    /// Project.
    pub project: String,
    /// Codebase; empty = the default one.
    pub codebase: String,
}

impl FixedSource {
    /// Its source stamp: the newest revision.
    pub fn stamp(&self) -> NewSourceStamp {
        NewSourceStamp {
            branch: self.branch.clone(),
            revision: None,
            repository: self.repository.clone(),
            project: self.project.clone(),
            codebase: self.codebase.clone(),
            patch: None,
        }
    }
}

/// What sets a scheduler off at times of a calendar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NightlyDef {
    /// When it is due.
    pub cron: Cron,
    /// Name of the time zone that this is meant in, of the IANA database.
    pub zone: String,
    /// Each firing is put off by some of this, which its time and the scheduler's name say.
    #[serde(default)]
    pub jitter: Duration,
    /// When it is due and builds even though nothing has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_at: Option<Cron>,
    /// What it builds.
    #[serde(flatten)]
    pub source: FixedSource,
    /// If given, it builds only if an important change has passed this since it last looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<ChangeFilter>,
}

/// Which changes a scheduler hears. Every part that is given must match; an empty part matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeFilter {
    /// Branch names; globs are allowed (`release/*`).
    pub branches: Vec<String>,
    /// Repositories, exact.
    pub repositories: Vec<String>,
    /// Projects, exact.
    pub projects: Vec<String>,
    /// Categories, exact.
    pub categories: Vec<String>,
    /// Codebases, exact.
    pub codebases: Vec<String>,
    /// Globs: at least one changed file must match one of them, or the change is not heard.
    pub files: Vec<String>,
    /// Globs: a change whose files all match is *unimportant*: it is built along, but sets nothing off.
    pub unimportant_files: Vec<String>,
    /// Globs: a change of which no file matches is *unimportant*. Empty = all are important.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub important_files: Vec<String>,
    /// Whether unimportant changes are not heard at all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_important: bool,
    /// Further tests; each must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<ChangeTest>,
    /// Whether a function of the configuration ([`Plan::callbacks`]) is asked too. What it said comes with the change.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub callback: bool,
}

/// One test of a change filter: whether an attribute is (or, negated, is not) one of several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeTest {
    /// What is looked at.
    pub attribute: ChangeAttribute,
    /// How it is compared.
    pub matching: Matching,
    /// Whether none may match, instead of one having to. A change without the attribute passes then, and only then.
    pub negated: bool,
    /// What it is compared with.
    pub values: Vec<String>,
}

/// An attribute of a change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeAttribute {
    /// Who wrote it.
    Author,
    /// Who committed it.
    Committer,
    /// Its branch.
    Branch,
    /// Its repository.
    Repository,
    /// Its project.
    Project,
    /// Its category.
    Category,
    /// Its codebase.
    Codebase,
    /// A property of it, as text.
    Property(String),
}

/// How an attribute is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Matching {
    /// As it is.
    Exact,
    /// With globs.
    Glob,
    /// With regular expressions, from its beginning on.
    Regex,
}

/// A force scheduler's form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ForceDef {
    /// Text on the button.
    pub button: String,
    /// Heading of the form.
    pub label: String,
    /// Default of the field `reason`.
    pub reason: String,
    /// Whether a reason must be given.
    pub reason_required: bool,
    /// Default source stamp.
    pub source: FixedSource,
    /// Default source stamps of several code bases, in place of the one. Empty = there is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codebases: Vec<FixedSource>,
    /// Whether the form takes a patch for each source stamp.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub patch: bool,
    /// Further fields; each becomes a property (source `Force Build Form`).
    pub fields: Vec<ForceField>,
}

/// One field of a force form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ForceField {
    /// Name of the property.
    pub name: String,
    /// Shown to people.
    pub label: String,
    /// Its type.
    pub kind: ForceFieldKind,
    /// Value where none is given.
    pub default: Value,
    /// Whether blank is refused.
    pub required: bool,
    /// What text must match as a whole, if given (a regular expression).
    pub regex: Option<String>,
    /// Shown on hovering.
    pub tooltip: String,
    /// Whether pages leave it out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hide: bool,
}

/// The type of a force field.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ForceFieldKind {
    /// One line of text.
    #[default]
    String,
    /// Several lines of text.
    Text,
    /// A whole number.
    Int {
        /// The smallest that is accepted.
        #[serde(default)]
        min: Option<i64>,
        /// The largest that is accepted.
        #[serde(default)]
        max: Option<i64>,
    },
    /// Yes or no.
    Bool,
    /// One of several.
    Choice {
        /// The choices.
        choices: Vec<String>,
        /// Whether anything else is refused.
        strict: bool,
        /// Whether several can be chosen.
        #[serde(default)]
        multiple: bool,
    },
    /// Somebody's name.
    #[serde(rename = "username")]
    UserName {
        /// Whether it must be of the form `Name <name@example.org>`.
        need_email: bool,
    },
    /// The text of a file.
    File {
        /// The largest that is accepted, in bytes.
        size_max: u64,
    },
    /// Its default, whatever is given.
    Fixed,
    /// An object of further fields.
    Group {
        /// The fields.
        fields: Vec<ForceField>,
        /// How they are shown.
        layout: GroupLayout,
        /// In how many columns.
        columns: u32,
    },
}

/// How a group of fields is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupLayout {
    /// One below the other, with a frame.
    #[default]
    Vertical,
    /// Without a frame.
    Simple,
    /// A tab each.
    Tabs,
}

/// Where changes come from, when the master has to look for them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeSourceDef {
    /// Its name.
    pub name: String,
    /// Which kind of the catalogue.
    pub kind: String,
    /// The kind's fields, checked against its description.
    pub params: Map<String, Value>,
}

impl Plan {
    /// Names of the workers that may run `builder`.
    pub fn workers_of(&self, builder: &BuilderDef) -> BTreeSet<String> {
        self.workers
            .values()
            .filter(|worker| builder.workers.iter().any(|selector| selector.matches(worker)))
            .map(|worker| worker.name.clone())
            .collect()
    }
}

impl BuilderDef {
    /// Its properties with their source.
    pub fn property_set(&self) -> Properties {
        let mut properties = Properties::new();
        for (name, value) in &self.properties {
            properties.set(name, value.clone(), "Builder");
        }
        properties
    }
}
