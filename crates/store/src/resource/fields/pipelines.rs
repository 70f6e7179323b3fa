//! The fields of pipelines, runs and jobs. Buildbot has none of them.

use super::{
    Attach, Descriptor, FieldKind, attached, bool, date, fixed_scope, int, list, object, present, table, text,
};

pub(super) static PIPELINES: Descriptor = Descriptor {
    plural: "pipelines",
    from: Some(table("pipelines as t")),
    newest_first: false,
    fields: &[
        bool("active", "t.active"),
        text("description", "t.description").null(),
        text("name", "t.name").fixed(),
        int("pipelineid", "t.id").fixed(),
        text("project", "t.project"),
    ],
    scopes: &[],
};

pub(super) static RUNS: Descriptor = Descriptor {
    plural: "runs",
    from: Some(table("runs as t")),
    newest_first: false,
    fields: &[
        list("changes", "t.changes"),
        present("complete", "t.complete_at"),
        date("complete_at", "t.complete_at").null(),
        date("created_at", "t.created_at").fixed(),
        int("parent_jobid", "t.parent").null().fixed(),
        text(
            "pipeline",
            "(select p.name from pipelines p where p.id = t.pipeline)",
        ),
        int("pipelineid", "t.pipeline").fixed(),
        int("priority", "t.priority").fixed(),
        object("properties", "t.properties"),
        text("reason", "t.reason").fixed(),
        int("results", "t.results").null(),
        int("retried_runid", "t.retried").null().fixed(),
        int("runid", "t.id").fixed(),
        text("scheduler", "t.scheduler").fixed(),
        object("source", "t.source").null(),
        attached("sourcestamps", FieldKind::List, "t.sourcestamps", Attach::Stamps),
        date("started_at", "t.started_at").null(),
        text("state", "t.state"),
        text("stopped_by", "t.stop_by").null(),
        bool("trusted", "t.trusted"),
        text("why", "t.why").null(),
    ],
    scopes: &[fixed_scope(
        "changeid",
        "t.id in (select c.run from run_changes c where c.change = {})",
    )],
};

pub(super) static JOBS: Descriptor = Descriptor {
    plural: "jobs",
    from: Some(table("jobs as t")),
    newest_first: false,
    fields: &[
        text("approved_by", "t.approved_by").null(),
        int("attempts", "t.attempts"),
        int(
            "buildid",
            "(select max(b.id) from builds b where b.request = t.request)",
        )
        .null(),
        int("buildrequestid", "t.request").null(),
        int("buildsetid", "t.buildset").null(),
        object("cause", "t.cause").null(),
        int("child_runid", "t.child").null(),
        present("complete", "t.complete_at"),
        date("complete_at", "t.complete_at").null(),
        object("definition", "t.definition"),
        text("group", "t.job_group").fixed(),
        int("jobid", "t.id").fixed(),
        object("matrix", "t.matrix"),
        text("name", "t.name").fixed(),
        list("needs", "t.needs"),
        int("number", "t.number").fixed(),
        object("outputs", "t.outputs"),
        date("queued_at", "t.queued_at").null(),
        int("results", "t.results").null(),
        int("runid", "t.run").fixed(),
        date("started_at", "t.started_at").null(),
        text("state", "t.state"),
        text("why", "t.why").null(),
    ],
    scopes: &[fixed_scope(
        "pipelineid",
        "t.run in (select r.id from runs r where r.pipeline = {})",
    )],
};
