//! Row operations: what a commit does to tables, in a form that every backend can execute.
//!
//! An operation's statement depends only on its variant, table and column lists, all of which are constants of the
//! program. So SQLite runs it through a cached prepared statement, and PostgreSQL can gather the values of equal statements
//! into arrays and run them at once.

use std::borrow::Cow;

/// One change to rows.
#[derive(Clone, Debug, PartialEq)]
pub enum RowOp<'a> {
    /// A new row.
    Insert {
        /// Where.
        table: Table,
        /// One value for each of [`Table::columns`].
        values: Vec<Value<'a>>,
    },
    /// A row that may be there already: the one with this primary key is replaced.
    Put {
        /// Where.
        table: Table,
        /// One value for each of [`Table::columns`].
        values: Vec<Value<'a>>,
    },
    /// New values for some columns.
    Update {
        /// Where.
        table: Table,
        /// Columns that change.
        set: &'static [Column],
        /// Columns that select the rows; all must be equal to their values.
        by: &'static [Column],
        /// Values for `set`, then for `by`.
        values: Vec<Value<'a>>,
    },
    /// Members of a JSON object that are added or replaced; the others stay.
    Merge {
        /// Where.
        table: Table,
        /// The column with the object.
        column: Column,
        /// The row's id.
        id: i64,
        /// The members, as JSON text of an object whose values are no objects.
        members: String,
    },
    /// Rows that go.
    Delete {
        /// Where.
        table: Table,
        /// Columns that select the rows; all must be equal to their values.
        by: &'static [Column],
        /// Values for `by`.
        values: Vec<Value<'a>>,
    },
}

/// A value for a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// No value.
    Null,
    /// For `Bool`.
    Bool(bool),
    /// For `Int`, and for `Time` in microseconds.
    Int(i64),
    /// For `Text` and `Json`.
    Text(Cow<'a, str>),
    /// For `Bytes`.
    Bytes(&'a [u8]),
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// The type of its values.
    pub kind: ColumnKind,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnKind {
    /// A whole number.
    Int,
    /// Microseconds since 1970.
    Time,
    /// true or false.
    Bool,
    /// Text.
    Text,
    /// Text of a JSON value.
    Json,
    /// Bytes.
    Bytes,
}

macro_rules! tables {
    ($($(#[$doc:meta])* $table:ident = $name:literal mod $module:ident key $key:literal {
        $($column:ident $column_name:literal $kind:ident,)*
    })*) => {
        /// A table that row operations write to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Table {
            $($(#[$doc])* $table,)*
        }

        impl Table {
            /// All of them.
            pub const ALL: &[Table] = &[$(Table::$table),*];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self { $(Table::$table => $name,)* }
            }

            /// Its columns in order; those of the primary key come first.
            pub const fn columns(self) -> &'static [Column] {
                match self { $(Table::$table => &[$($module::$column),*],)* }
            }

            /// Columns of its primary key.
            pub const fn key(self) -> &'static [Column] {
                self.columns().split_at(match self { $(Table::$table => $key,)* }).0
            }
        }

        $(
            #[expect(
                unreachable_pub,
                reason = "columns are named by updates and by tests"
            )]
            pub(crate) mod $module {
                use super::{Column, ColumnKind};
                $(pub const $column: Column = Column { name: $column_name, kind: ColumnKind::$kind };)*
            }
        )*
    };
}

tables! {
    /// Masters.
    Masters = "masters" mod masters key 1 {
        ID "id" Int, NAME "name" Text, ACTIVE "active" Bool, LAST_ACTIVE "last_active" Time,
        LEASE "lease" Int, DRAINING "draining" Bool,
    }
    /// Builders.
    Builders = "builders" mod builders key 1 {
        ID "id" Int, NAME "name" Text, DESCRIPTION "description" Text, TAGS "tags" Json, ACTIVE "active" Bool,
        NEXT_NUMBER "next_number" Int, PROJECT "project" Int,
    }
    /// Workers.
    Workers = "workers" mod workers key 1 {
        ID "id" Int, NAME "name" Text, ACTIVE "active" Bool, BUILDERS "builders" Json, PAUSED "paused" Bool,
        PAUSE_REASON "pause_reason" Text, GRACEFUL "graceful" Bool, DOWNTIME "downtime" Json, KILLED "killed" Bool,
        SLOTS "slots" Int, INSTANCE "instance" Text, BOOT "boot" Text, RESUMES "resumes" Bool, CONNECTED "connected" Bool,
        DISCONNECTED_AT "disconnected_at" Time, MISSING "missing" Bool, INFO "info" Json,
    }
    /// Schedulers.
    Schedulers = "schedulers" mod schedulers key 1 {
        ID "id" Int, NAME "name" Text, ACTIVE "active" Bool, ENABLED "enabled" Bool, STATE "state" Json,
    }
    /// Change sources.
    ChangeSources = "changesources" mod changesources key 1 {
        ID "id" Int, NAME "name" Text, ACTIVE "active" Bool,
    }
    /// Projects.
    Projects = "projects" mod projects key 1 {
        ID "id" Int, NAME "name" Text, DESCRIPTION "description" Text, ACTIVE "active" Bool,
    }
    /// Code bases.
    Codebases = "codebases" mod codebases key 1 {
        ID "id" Int, NAME "name" Text, PROJECT "project" Int, ACTIVE "active" Bool,
    }
    /// Source stamps; the patch's columns are all null or all set.
    SourceStamps = "sourcestamps" mod sourcestamps key 1 {
        ID "id" Int, BRANCH "branch" Text, REVISION "revision" Text, REPOSITORY "repository" Text,
        PROJECT "project" Text, CODEBASE "codebase" Text, PATCH_LEVEL "patch_level" Int,
        PATCH_SUBDIR "patch_subdir" Text, PATCH_AUTHOR "patch_author" Text, PATCH_COMMENT "patch_comment" Text,
        PATCH_BODY "patch_body" Text, CREATED_AT "created_at" Time,
    }
    /// Changes.
    Changes = "changes" mod changes key 1 {
        ID "id" Int, AUTHOR "author" Text, COMMITTER "committer" Text, COMMENTS "comments" Text, FILES "files" Json,
        REVISION "revision" Text, BRANCH "branch" Text, CATEGORY "category" Text, REVLINK "revlink" Text,
        REPOSITORY "repository" Text, PROJECT "project" Text, CODEBASE "codebase" Text, WHEN_AT "when_at" Time,
        PROPERTIES "properties" Json, SOURCESTAMP "sourcestamp" Int, PARENT "parent" Int,
    }
    /// Buildsets.
    Buildsets = "buildsets" mod buildsets key 1 {
        ID "id" Int, EXTERNAL_ID "external_id" Text, REASON "reason" Text, SCHEDULER "scheduler" Text,
        SUBMITTED_AT "submitted_at" Time, PARENT_BUILD "parent_build" Int,
        PARENT_RELATIONSHIP "parent_relationship" Text, REBUILT_BUILD "rebuilt_build" Int, JOB "job" Int,
        COMPLETE_AT "complete_at" Time, RESULTS "results" Int, PROPERTIES "properties" Json,
    }
    /// What a buildset builds.
    BuildsetSourceStamps = "buildset_sourcestamps" mod buildset_sourcestamps key 2 {
        BUILDSET "buildset" Int, POSITION "position" Int, SOURCESTAMP "sourcestamp" Int,
    }
    /// Changes that led to a buildset.
    BuildsetChanges = "buildset_changes" mod buildset_changes key 2 {
        BUILDSET "buildset" Int, POSITION "position" Int, CHANGE "change" Int,
    }
    /// Build requests. The claim stays when they are complete.
    BuildRequests = "buildrequests" mod buildrequests key 1 {
        ID "id" Int, BUILDSET "buildset" Int, BUILDER "builder" Int, PRIORITY "priority" Int,
        BY_HAND "by_hand" Bool, SUBMITTED_AT "submitted_at" Time, WAITED_FOR "waited_for" Bool, ATTEMPTS "attempts" Int,
        CLAIMED_BUILD "claimed_build" Int, CLAIMED_AT "claimed_at" Time, CLAIMED_MASTER "claimed_master" Int,
        COMPLETE_AT "complete_at" Time, RESULTS "results" Int, CAUSE "cause" Json,
    }
    /// Builds.
    Builds = "builds" mod builds key 1 {
        ID "id" Int, NUMBER "number" Int, BUILDER "builder" Int, REQUEST "request" Int, ATTEMPT "attempt" Int,
        WORKER "worker" Int, INSTANCE "instance" Text, SLOT "slot" Int, MASTER "master" Int, CONFIG "config" Text,
        STARTED_AT "started_at" Time, COMPLETE_AT "complete_at" Time, RESULTS "results" Int, CAUSE "cause" Json,
        STATE_STRING "state_string" Text, STOP_BY "stop_by" Text, STOP_REASON "stop_reason" Text, LOST "lost" Text,
        WAITS "waits" Json, PROPERTIES "properties" Json,
    }
    /// Steps.
    Steps = "steps" mod steps key 1 {
        ID "id" Int, BUILD "build" Int, NUMBER "number" Int, DEFINITION "definition" Int, NAME "name" Text,
        STARTED_AT "started_at" Time, LOCKS_ACQUIRED_AT "locks_acquired_at" Time, COMPLETE_AT "complete_at" Time,
        RESULTS "results" Int, CAUSE "cause" Json, STATE_STRING "state_string" Text, URLS "urls" Json, HIDDEN "hidden" Bool,
    }
    /// Logs. Without content the text is in the build's log file.
    Logs = "logs" mod logs key 1 {
        ID "id" Int, STEP "step" Int, BUILD "build" Int, NAME "name" Text, SLUG "slug" Text, KIND "kind" Text,
        COMPLETE "complete" Bool, NUM_LINES "num_lines" Int, RAW_BYTES "raw_bytes" Int, CONTENT "content" Bytes,
    }
    /// Outcomes that replays of unfinished steps answer from.
    Effects = "effects" mod effects key 2 {
        STEP "step" Int, ORDINAL "ordinal" Int, KIND "kind" Text, DIGEST "digest" Text, OUTCOME "outcome" Json,
    }
    /// Pipelines.
    Pipelines = "pipelines" mod pipelines key 1 {
        ID "id" Int, NAME "name" Text, ACTIVE "active" Bool, PROJECT "project" Text, DESCRIPTION "description" Text,
    }
    /// Runs of pipelines.
    Runs = "runs" mod runs key 1 {
        ID "id" Int, PIPELINE "pipeline" Int, STATE "state" Text, RESULTS "results" Int, SCHEDULER "scheduler" Text,
        PRIORITY "priority" Int, PARENT "parent" Int, DEPTH "depth" Int, RETRIED "retried" Int,
        RUN_GROUP "run_group" Text, SUPERSEDES "supersedes" Text, TRUSTED "trusted" Bool, CREATED_AT "created_at" Time,
        STARTED_AT "started_at" Time, COMPLETE_AT "complete_at" Time, STOP_BY "stop_by" Text,
        STOP_REASON "stop_reason" Text, WHY "why" Text, REASON "reason" Text, SOURCESTAMPS "sourcestamps" Json,
        CHANGES "changes" Json, FILES "files" Json, PROPERTIES "properties" Json, SOURCE "source" Json,
        DEFINITION "definition" Json,
    }
    /// Changes that led to a run.
    RunChanges = "run_changes" mod run_changes key 2 {
        RUN "run" Int, POSITION "position" Int, CHANGE "change" Int,
    }
    /// Jobs of runs.
    Jobs = "jobs" mod jobs key 1 {
        ID "id" Int, RUN "run" Int, NUMBER "number" Int, NAME "name" Text, JOB_GROUP "job_group" Text,
        STATE "state" Text, RESULTS "results" Int, BUILDSET "buildset" Int, REQUEST "request" Int, CHILD "child" Int,
        ATTEMPTS "attempts" Int, TIMED_OUT "timed_out" Bool, APPROVED_BY "approved_by" Text,
        QUEUED_AT "queued_at" Time, STARTED_AT "started_at" Time, COMPLETE_AT "complete_at" Time,
        CAUSE "cause" Json, WHY "why" Text, ADDED_BY "added_by" Json, NEEDS "needs" Json, MATRIX "matrix" Json,
        OUTPUTS "outputs" Json, DEFINITION "definition" Json,
    }
    /// Configurations.
    Configs = "configs" mod configs key 1 {
        DIGEST "digest" Text, PLAN "plan" Json,
    }
    /// One row: the configuration in force.
    Current = "current" mod current key 1 {
        ID "id" Int, CONFIG "config" Text,
    }
}

impl<'a> Value<'a> {
    pub(crate) fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    pub(crate) fn opt_text(text: Option<&'a str>) -> Self {
        text.map_or(Self::Null, Self::text)
    }

    /// Ids and counts are below 2^53.
    pub(crate) fn id(id: u64) -> Self {
        Self::Int(id.cast_signed())
    }

    pub(crate) fn opt_id(id: Option<u64>) -> Self {
        id.map_or(Self::Null, Self::id)
    }
}

impl RowOp<'_> {
    /// The table that it writes to.
    pub fn table(&self) -> Table {
        match self {
            RowOp::Insert { table, .. }
            | RowOp::Put { table, .. }
            | RowOp::Update { table, .. }
            | RowOp::Merge { table, .. }
            | RowOp::Delete { table, .. } => *table,
        }
    }
}
