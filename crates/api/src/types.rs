//! The resource types of REST v2 with their fields (section 5 of `docs/reference/rest-api-v2.md`): what queries
//! are checked against, and what `application.spec` tells.

use serde_json::{Value, json};

/// A resource type.
#[derive(Debug)]
pub struct ResourceType {
    /// Singular name, as in `application.spec`.
    pub name: &'static str,
    /// Key of the envelope.
    pub plural: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
}

/// One field of a resource type.
#[derive(Debug)]
pub struct Field {
    /// Its key.
    pub name: &'static str,
    /// What it holds.
    pub kind: FieldKind,
    /// Whether it may be null.
    pub nullable: bool,
    /// Whether Buildbot does not have it.
    pub extra: bool,
}

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub enum FieldKind {
    /// A whole number.
    Integer,
    /// Text.
    String,
    /// Text that matches `^[a-zA-Z_-][a-zA-Z0-9._-]*$`.
    Identifier,
    /// true or false.
    Boolean,
    /// Unix seconds.
    DateTime,
    /// A list of such values.
    List(&'static FieldKind),
    /// Another resource, embedded.
    Entity(&'static ResourceType),
    /// Any JSON.
    Json,
    /// Properties: name to `[value, source]`.
    Properties,
    /// Bytes, which JSON cannot carry.
    Binary,
}

impl ResourceType {
    /// The field with that name.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The `type_spec` of `application.spec`.
    pub fn type_spec(&self) -> Value {
        // Properties are a type without a list of fields.
        if self.fields.is_empty() {
            return json!({ "name": self.name });
        }
        let fields: Vec<Value> = self.fields.iter().map(Field::spec).collect();
        json!({ "type": self.name, "fields": fields })
    }
}

impl Field {
    fn spec(&self) -> Value {
        let mut spec = self.kind.type_spec();
        let mut name = self.kind.name().to_owned();
        if self.nullable {
            name.push_str(" or None");
            spec["can_be_null"] = Value::Bool(true);
        }
        json!({ "name": self.name, "type": name, "type_spec": spec })
    }
}

impl FieldKind {
    fn name(self) -> &'static str {
        match self {
            FieldKind::Integer => "integer",
            FieldKind::String => "string",
            FieldKind::Identifier => "identifier",
            FieldKind::Boolean => "boolean",
            FieldKind::DateTime => "datetime",
            FieldKind::List(_) => "list",
            FieldKind::Entity(of) => of.name,
            FieldKind::Json => "jsonobject",
            FieldKind::Properties => "sourcedproperties",
            FieldKind::Binary => "binary",
        }
    }

    fn type_spec(self) -> Value {
        match self {
            FieldKind::List(of) => json!({ "type": "list", "of": of.type_spec() }),
            FieldKind::Entity(of) => of.type_spec(),
            plain => json!({ "name": plain.name() }),
        }
    }
}

use FieldKind::{
    Binary, Boolean, DateTime, Entity, Identifier, Integer, Json, List, Properties, String as Text,
};

const fn field(name: &'static str, kind: FieldKind) -> Field {
    Field {
        name,
        kind,
        nullable: false,
        extra: false,
    }
}

const fn nullable(name: &'static str, kind: FieldKind) -> Field {
    Field {
        name,
        kind,
        nullable: true,
        extra: false,
    }
}

const fn extra(mut field: Field) -> Field {
    field.extra = true;
    field
}

macro_rules! types {
    ($($(#[$doc:meta])* $constant:ident = $name:literal, $plural:literal { $($field:expr),* $(,)? })*) => {
        $(
            $(#[$doc])*
            pub static $constant: ResourceType =
                ResourceType { name: $name, plural: $plural, fields: &[$($field),*] };
        )*

        /// Every type, embedded ones too.
        pub static ALL: &[&ResourceType] = &[$(&$constant),*];
    };
}

types! {
    /// A link from the root.
    ROOTLINK = "rootlink", "rootlinks" { field("name", Text) }
    /// An entry of `application.spec`.
    SPEC = "spec", "specs" {
        field("path", Text), field("type", Text), field("plural", Text), field("type_spec", Json),
    }
    /// A master.
    MASTER = "master", "masters" {
        field("masterid", Integer), field("name", Text), field("active", Boolean), field("last_active", DateTime),
    }
    /// What this master says of itself.
    STATUS = "status", "master" {
        field("masterid", Integer), field("name", Text), field("started_at", DateTime), field("condition", Text),
        nullable("reason", Text), field("config", Text), field("draining", Boolean), nullable("draining_by", Text),
        field("running", List(&Json)), field("waiting", Integer),
    }
    /// A configuration that came into force.
    CONFIGURATION = "configuration", "configurations" {
        field("digest", Text), field("loaded_at", DateTime), field("by", Text), field("via", Text),
        field("files", List(&Text)), field("in_force", Boolean),
    }
    /// The files of a configuration.
    CONFIGURATION_FILES = "configuration_files", "configurations" {
        field("digest", Text), field("kept", Boolean), field("files", List(&Json)),
    }
    /// A builder.
    BUILDER = "builder", "builders" {
        field("builderid", Integer), field("name", Text), field("masterids", List(&Integer)),
        nullable("description", Text), nullable("description_format", Text), nullable("description_html", Text),
        nullable("projectid", Integer), field("tags", List(&Text)),
    }
    /// A build.
    BUILD = "build", "builds" {
        field("buildid", Integer), field("number", Integer), field("builderid", Integer),
        field("buildrequestid", Integer), field("workerid", Integer), field("masterid", Integer),
        field("started_at", DateTime), field("complete", Boolean), nullable("complete_at", DateTime),
        field("locks_duration_s", Integer), nullable("results", Integer), field("state_string", Text),
        nullable("properties", Properties), extra(field("attempt", Integer)), extra(nullable("cause", Json)),
        extra(field("config", Text)),
    }
    /// What a build request, or the step of a build, waits for.
    WAITING = "waiting", "waiting" {
        nullable("buildrequestid", Integer), nullable("buildid", Integer), field("why", Text), field("remedy", Text),
    }
    /// A build request.
    BUILDREQUEST = "buildrequest", "buildrequests" {
        field("buildrequestid", Integer), field("buildsetid", Integer), field("builderid", Integer),
        field("priority", Integer), field("claimed", Boolean), nullable("claimed_at", DateTime),
        nullable("claimed_by_masterid", Integer), field("complete", Boolean), nullable("results", Integer),
        field("submitted_at", DateTime), nullable("complete_at", DateTime), field("waited_for", Boolean),
        nullable("properties", Properties), extra(field("attempts", Integer)), extra(nullable("cause", Json)),
    }
    /// A pipeline.
    PIPELINE = "pipeline", "pipelines" {
        field("pipelineid", Integer), field("name", Text), field("project", Text), nullable("description", Text),
        field("active", Boolean),
    }
    /// A job that a run of a pipeline will have.
    PLANNED_JOB = "planned_job", "definition" {
        field("number", Integer), field("name", Text), field("group", Text), field("matrix", Json),
        field("needs", List(&Integer)), field("definition", Json),
    }
    /// A run of a pipeline.
    RUN = "run", "runs" {
        field("runid", Integer), field("pipelineid", Integer), field("pipeline", Text), field("state", Text),
        field("complete", Boolean), nullable("results", Integer), nullable("why", Text), field("reason", Text),
        field("scheduler", Text), field("priority", Integer), field("created_at", DateTime),
        nullable("started_at", DateTime), nullable("complete_at", DateTime), nullable("stopped_by", Text),
        nullable("parent_jobid", Integer), nullable("retried_runid", Integer), field("changes", List(&Integer)),
        field("trusted", Boolean), nullable("source", Json),
        field("properties", Json), field("sourcestamps", List(&Entity(&SOURCESTAMP))),
    }
    /// A job of a run.
    JOB = "job", "jobs" {
        field("jobid", Integer), field("runid", Integer), field("number", Integer), field("name", Text),
        field("group", Text), field("matrix", Json), field("needs", List(&Integer)), field("state", Text),
        field("complete", Boolean), nullable("results", Integer), nullable("cause", Json), nullable("why", Text),
        field("attempts", Integer), nullable("buildsetid", Integer), nullable("buildrequestid", Integer),
        nullable("buildid", Integer), nullable("child_runid", Integer), nullable("approved_by", Text),
        nullable("queued_at", DateTime), nullable("started_at", DateTime), nullable("complete_at", DateTime),
        field("outputs", Json), field("definition", Json),
    }
    /// What a job waits for.
    JOB_WAITING = "job_waiting", "waiting" { field("jobid", Integer), field("why", Text) }
    /// A patch; embedded in source stamps.
    PATCH = "patch", "patches" {
        field("patchid", Integer), field("body", Binary), field("level", Integer), field("subdir", Text),
        field("author", Text), field("comment", Text),
    }
    /// A source stamp.
    SOURCESTAMP = "sourcestamp", "sourcestamps" {
        field("ssid", Integer), nullable("revision", Text), nullable("branch", Text), field("repository", Text),
        field("project", Text), field("codebase", Text), nullable("patch", Entity(&PATCH)),
        field("created_at", DateTime),
    }
    /// A buildset.
    BUILDSET = "buildset", "buildsets" {
        field("bsid", Integer), nullable("external_idstring", Text), field("reason", Text),
        nullable("rebuilt_buildid", Integer), field("submitted_at", Integer), field("complete", Boolean),
        nullable("complete_at", Integer), nullable("results", Integer),
        field("sourcestamps", List(&Entity(&SOURCESTAMP))), nullable("parent_buildid", Integer),
        nullable("parent_relationship", Text), extra(nullable("jobid", Integer)),
    }
    /// A change.
    CHANGE = "change", "changes" {
        field("changeid", Integer), field("parent_changeids", List(&Integer)), field("author", Text),
        nullable("committer", Text), field("files", List(&Text)), field("comments", Text),
        nullable("revision", Text), field("when_timestamp", Integer), nullable("branch", Text),
        nullable("category", Text), nullable("revlink", Text), field("properties", Properties),
        field("repository", Text), field("project", Text), field("codebase", Text),
        field("sourcestamp", Entity(&SOURCESTAMP)),
    }
    /// A link of a step; embedded.
    URL = "Url", "urls" { field("name", Text), field("url", Text) }
    /// A step.
    STEP = "step", "steps" {
        field("stepid", Integer), field("number", Integer), field("name", Identifier), field("buildid", Integer),
        nullable("started_at", DateTime), nullable("locks_acquired_at", DateTime), field("complete", Boolean),
        nullable("complete_at", DateTime), nullable("results", Integer), field("state_string", Text),
        field("urls", List(&Entity(&URL))), field("hidden", Boolean), extra(nullable("cause", Json)),
    }
    /// A log.
    LOG = "log", "logs" {
        field("logid", Integer), field("name", Text), field("slug", Identifier), field("stepid", Integer),
        field("complete", Boolean), field("num_lines", Integer), field("type", Identifier),
        extra(field("raw_bytes", Integer)),
    }
    /// A piece of a log.
    LOGCHUNK = "logchunk", "logchunks" {
        field("logid", Integer), field("firstline", Integer), field("content", Text),
    }
    /// Where a worker is connected; embedded.
    MASTER_ID = "master_id", "master_ids" { field("masterid", Integer) }
    /// Where a worker may work; embedded.
    MASTER_BUILDER = "master_builder", "master_builders" { field("masterid", Integer), field("builderid", Integer) }
    /// A worker.
    WORKER = "worker", "workers" {
        field("workerid", Integer), field("name", Text), field("connected_to", List(&Entity(&MASTER_ID))),
        field("configured_on", List(&Entity(&MASTER_BUILDER))), field("workerinfo", Json),
        field("paused", Boolean), nullable("pause_reason", Text), field("graceful", Boolean),
        extra(field("facts", Json)), extra(field("slots", Integer)), extra(field("killed", Boolean)),
        extra(field("missing", Boolean)), extra(nullable("disconnected_at", DateTime)),
        extra(nullable("downtime_from", DateTime)), extra(nullable("downtime_until", DateTime)),
    }
    /// A scheduler.
    SCHEDULER = "scheduler", "schedulers" {
        field("schedulerid", Integer), field("name", Text), field("enabled", Boolean),
        nullable("master", Entity(&MASTER)),
    }
    /// A force scheduler with its form.
    FORCESCHEDULER = "forcescheduler", "forceschedulers" {
        field("name", Identifier), field("button_name", Text), field("label", Text),
        field("builder_names", List(&Text)), field("enabled", Boolean), field("all_fields", List(&Json)),
    }
    /// A try scheduler.
    TRYSCHEDULER = "tryscheduler", "tryschedulers" {
        field("name", Identifier), field("builder_names", List(&Text)), field("enabled", Boolean),
        field("refused", List(&Json)),
    }
    /// A change source.
    CHANGESOURCE = "changesource", "changesources" {
        field("changesourceid", Integer), field("name", Text), nullable("master", Entity(&MASTER)),
    }
    /// A set of properties.
    PROPERTIES = "sourcedproperties", "properties" {}
    /// One property of a list.
    PROPERTY = "_property", "_properties" {
        field("name", Text), field("source", Text), field("value", Json),
    }
    /// A project.
    PROJECT = "project", "projects" {
        field("projectid", Integer), field("name", Identifier), field("slug", Identifier),
        nullable("active", Boolean), nullable("description", Text), nullable("description_format", Text),
        nullable("description_html", Text),
    }
    /// A codebase.
    CODEBASE = "codebase", "codebases" {
        field("codebaseid", Integer), field("projectid", Integer), field("name", Identifier),
        field("slug", Identifier),
    }
    /// A branch of a codebase.
    BRANCH = "branch", "branches" {
        field("branchid", Integer), field("codebaseid", Integer), field("name", Text), field("commitid", Integer),
        field("last_timestamp", Integer),
    }
    /// A commit of a codebase.
    COMMIT = "commit", "commits" {
        field("commitid", Integer), field("codebaseid", Integer), field("author", Text),
        nullable("committer", Text), field("comments", Text), field("when_timestamp", Integer),
        field("revision", Text), nullable("parent_commitid", Integer),
    }
    /// How two commits are related.
    COMMIT_GRAPH = "commit_graph", "commit_graphs" {
        field("common", Integer), field("to1", List(&Integer)), field("to2", List(&Integer)),
    }
    /// Data that a build keeps.
    BUILD_DATA = "build_data", "build_data" {
        field("buildid", Integer), field("name", Text), field("length", Integer), nullable("value", Binary),
        field("source", Text),
    }
    /// A set of test results.
    TEST_RESULT_SET = "test_result_set", "test_result_sets" {
        field("test_result_setid", Integer), field("builderid", Integer), field("buildid", Integer),
        field("stepid", Integer), nullable("description", Text), field("category", Text),
        field("value_unit", Text), nullable("tests_passed", Integer), nullable("tests_failed", Integer),
        field("complete", Boolean),
    }
    /// A test result.
    TEST_RESULT = "test_result", "test_results" {
        field("test_resultid", Integer), field("builderid", Integer), field("test_result_setid", Integer),
        nullable("test_name", Text), nullable("test_code_path", Text), nullable("line", Integer),
        nullable("duration_ns", Integer), field("value", Text),
    }
}
