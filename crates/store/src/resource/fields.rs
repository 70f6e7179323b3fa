//! The fields of each resource.

mod pipelines;

use super::{Attach, Descriptor, Field, FieldKind, From, Resource, Scope, Source, Unasked};

impl Resource {
    pub(crate) fn descriptor(self) -> &'static Descriptor {
        match self {
            Resource::Builders => &BUILDERS,
            Resource::Builds => &BUILDS,
            Resource::BuildRequests => &BUILD_REQUESTS,
            Resource::Buildsets => &BUILDSETS,
            Resource::SourceStamps => &SOURCE_STAMPS,
            Resource::Changes => &CHANGES,
            Resource::Steps => &STEPS,
            Resource::Logs => &LOGS,
            Resource::Workers => &WORKERS,
            Resource::Masters => &MASTERS,
            Resource::Schedulers => &SCHEDULERS,
            Resource::ChangeSources => &CHANGE_SOURCES,
            Resource::BuildProperties => &BUILD_PROPERTIES,
            Resource::BuildsetProperties => &BUILDSET_PROPERTIES,
            Resource::ChangeProperties => &CHANGE_PROPERTIES,
            Resource::BuildPropertyList => &BUILD_PROPERTY_LIST,
            Resource::BuildsetPropertyList => &BUILDSET_PROPERTY_LIST,
            Resource::ChangePropertyList => &CHANGE_PROPERTY_LIST,
            Resource::Projects => &PROJECTS,
            Resource::Codebases => &CODEBASES,
            Resource::Branches => &BRANCHES,
            Resource::Commits => &COMMITS,
            Resource::BuildData => &BUILD_DATA,
            Resource::TestResultSets => &TEST_RESULT_SETS,
            Resource::TestResults => &TEST_RESULTS,
            Resource::Pipelines => &pipelines::PIPELINES,
            Resource::Runs => &pipelines::RUNS,
            Resource::Jobs => &pipelines::JOBS,
        }
    }
}

impl Field {
    const fn new(name: &'static str, kind: FieldKind, source: Source) -> Self {
        Self {
            name,
            kind,
            nullable: false,
            extra: false,
            fixed: false,
            source,
            postgres: None,
        }
    }

    const fn null(mut self) -> Self {
        self.nullable = true;
        self
    }

    const fn extra(mut self) -> Self {
        self.extra = true;
        self
    }

    const fn fixed(mut self) -> Self {
        self.fixed = true;
        self
    }

    /// Spelled in another way for PostgreSQL.
    const fn postgres(mut self, source: Source) -> Self {
        self.postgres = Some(source);
        self
    }
}

/// A plain table with ids.
const fn table(from: &'static str) -> From {
    From {
        sqlite: from,
        postgres: from,
        key: "t.id",
        key_postgres: "t.id",
    }
}

const fn int(name: &'static str, sql: &'static str) -> Field {
    Field::new(name, FieldKind::Int, Source::Scalar(sql))
}

const fn date(name: &'static str, sql: &'static str) -> Field {
    Field::new(name, FieldKind::Date, Source::Scalar(sql))
}

const fn bool(name: &'static str, sql: &'static str) -> Field {
    Field::new(name, FieldKind::Bool, Source::Scalar(sql))
}

const fn present(name: &'static str, sql: &'static str) -> Field {
    Field::new(name, FieldKind::Bool, Source::Present(sql))
}

const fn text(name: &'static str, sql: &'static str) -> Field {
    Field::new(name, FieldKind::Text, Source::Scalar(sql))
}

const fn ident(name: &'static str, sql: &'static str) -> Field {
    Field::new(name, FieldKind::Identifier, Source::Scalar(sql))
}

const fn object(name: &'static str, sql: &'static str) -> Field {
    Field::new(name, FieldKind::Object, Source::Json(sql))
}

const fn list(name: &'static str, sql: &'static str) -> Field {
    Field::new(name, FieldKind::List, Source::Json(sql))
}

const fn list_of(name: &'static str, json: &'static str, member: FieldKind, contains: &'static str) -> Field {
    Field::new(
        name,
        FieldKind::List,
        Source::List {
            json,
            member,
            contains,
        },
    )
}

const fn attached(name: &'static str, kind: FieldKind, key: &'static str, attach: Attach) -> Field {
    Field::new(
        name,
        kind,
        Source::Attached {
            key,
            attach,
            contains: None,
        },
    )
}

const fn scope(name: &'static str, sql: &'static str) -> Scope {
    Scope {
        name,
        sql,
        postgres: None,
        fixed: false,
    }
}

/// A scope that a row is in or not in for good.
const fn fixed_scope(name: &'static str, sql: &'static str) -> Scope {
    Scope {
        name,
        sql,
        postgres: None,
        fixed: true,
    }
}

impl Scope {
    /// Spelled in another way for PostgreSQL.
    const fn postgres(mut self, sql: &'static str) -> Self {
        self.postgres = Some(sql);
        self
    }
}

static BUILDERS: Descriptor = Descriptor {
    plural: "builders",
    from: Some(table("builders as t")),
    newest_first: false,
    fields: &[
        int("builderid", "t.id").fixed(),
        text("description", "t.description").null(),
        text("description_format", "null").null(),
        text("description_html", "null").null(),
        Field::new(
            "masterids",
            FieldKind::List,
            Source::Attached {
                key: "t.active",
                attach: Attach::MasterIds,
                contains: Some(
                    "(t.active = true and exists (select 1 from masters m where m.active = true and m.id = {}))",
                ),
            },
        ),
        text("name", "t.name").fixed(),
        int("projectid", "t.project").null(),
        list_of(
            "tags",
            "t.tags",
            FieldKind::Text,
            "exists (select 1 from json_each(t.tags) as j where j.value = {})",
        )
        .postgres(Source::List {
            json: "t.tags",
            member: FieldKind::Text,
            contains: "exists (select 1 from json_array_elements_text(t.tags::json) as j where j.value = {})",
        }),
    ],
    scopes: &[
        scope(
            "masterid",
            "(t.active = true and exists (select 1 from masters m where m.active = true and m.id = {}))",
        ),
        scope(
            "workerid",
            "t.id in (select j.value from workers w, json_each(w.builders) as j where w.id = {} and w.active = true)",
        )
        .postgres(
            "t.id in (select j.value::bigint from workers w, json_array_elements_text(w.builders::json) as j \
             where w.id = {} and w.active = true)",
        ),
    ],
};

static BUILDS: Descriptor = Descriptor {
    plural: "builds",
    from: Some(table("builds as t")),
    newest_first: false,
    fields: &[
        int("attempt", "t.attempt").extra().fixed(),
        int("builderid", "t.builder").fixed(),
        int("buildid", "t.id").fixed(),
        int("buildrequestid", "t.request").fixed(),
        object("cause", "t.cause").null().extra(),
        present("complete", "t.complete_at"),
        date("complete_at", "t.complete_at").null(),
        text("config", "t.config").extra().fixed(),
        int(
            "locks_duration_s",
            "(select cast(coalesce(sum(coalesce(s.locks_acquired_at, s.complete_at, s.started_at) - s.started_at), 0) \
             as bigint) / 1000000 from steps s where s.build = t.id)",
        ),
        int("masterid", "t.master").fixed(),
        int("number", "t.number").fixed(),
        Field::new(
            "properties",
            FieldKind::Object,
            Source::Properties {
                json: "t.properties",
                unasked: Unasked::Empty,
            },
        ),
        int("results", "t.results").null(),
        date("started_at", "t.started_at").fixed(),
        text("state_string", "t.state_string"),
        int("workerid", "t.worker").fixed(),
    ],
    scopes: &[
        fixed_scope(
            "bsid",
            "t.request in (select r.id from buildrequests r where r.buildset = {})",
        ),
        fixed_scope(
            "jobid",
            "t.request in (select r.id from buildrequests r where r.buildset in (\
             select s.id from buildsets s where s.job = {}))",
        ),
        // Both what the buildset says and what has the change's very source stamp (a forced build of it).
        fixed_scope(
            "changeid",
            "t.request in (select r.id from buildrequests r where r.buildset in (\
             select x.buildset from buildset_changes x where x.change = {} \
             union select y.buildset from changes c, buildset_sourcestamps y \
             where c.id = {} and y.sourcestamp = c.sourcestamp))",
        ),
        fixed_scope(
            "parent_buildid",
            "t.request in (select r.id from buildrequests r where r.buildset in (\
             select s.id from buildsets s where s.parent_build = {}))",
        ),
    ],
};

static BUILD_REQUESTS: Descriptor = Descriptor {
    plural: "buildrequests",
    from: Some(table("buildrequests as t")),
    newest_first: false,
    fields: &[
        int("attempts", "t.attempts").extra(),
        int("builderid", "t.builder").fixed(),
        int("buildrequestid", "t.id").fixed(),
        int("buildsetid", "t.buildset").fixed(),
        object("cause", "t.cause").null().extra(),
        present("claimed", "t.claimed_at"),
        date("claimed_at", "t.claimed_at").null(),
        int("claimed_by_masterid", "t.claimed_master").null(),
        present("complete", "t.complete_at"),
        date("complete_at", "t.complete_at").null(),
        int("priority", "t.priority"),
        Field::new(
            "properties",
            FieldKind::Object,
            Source::Properties {
                json: "(select s.properties from buildsets s where s.id = t.buildset)",
                unasked: Unasked::Null,
            },
        )
        .null(),
        int("results", "coalesce(t.results, -1)"),
        date("submitted_at", "t.submitted_at").fixed(),
        bool("waited_for", "t.waited_for").fixed(),
    ],
    scopes: &[],
};

static BUILDSETS: Descriptor = Descriptor {
    plural: "buildsets",
    from: Some(table("buildsets as t")),
    newest_first: false,
    fields: &[
        int("bsid", "t.id").fixed(),
        present("complete", "t.complete_at"),
        date("complete_at", "t.complete_at").null(),
        text("external_idstring", "t.external_id").null().fixed(),
        int("jobid", "t.job").null().fixed().extra(),
        int("parent_buildid", "t.parent_build").null().fixed(),
        text("parent_relationship", "t.parent_relationship")
            .null()
            .fixed(),
        text("reason", "t.reason").fixed(),
        int("rebuilt_buildid", "t.rebuilt_build").null().fixed(),
        int("results", "t.results").null(),
        attached("sourcestamps", FieldKind::List, "t.id", Attach::BuildsetStamps),
        date("submitted_at", "t.submitted_at").fixed(),
    ],
    scopes: &[],
};

static SOURCE_STAMPS: Descriptor = Descriptor {
    plural: "sourcestamps",
    from: Some(table("sourcestamps as t")),
    newest_first: false,
    fields: &[
        text("branch", "t.branch").null().fixed(),
        text("codebase", "t.codebase").fixed(),
        date("created_at", "t.created_at").fixed(),
        object("patch", PATCH)
            .null()
            .postgres(Source::Json(PATCH_POSTGRES)),
        text("project", "t.project").fixed(),
        text("repository", "t.repository").fixed(),
        text("revision", "t.revision").null().fixed(),
        int("ssid", "t.id").fixed(),
    ],
    scopes: &[fixed_scope(
        "bsid",
        "t.id in (select x.sourcestamp from buildset_sourcestamps x where x.buildset = {})",
    )],
};

/// A patch has no row of its own; it goes by its source stamp's id.
const PATCH: &str = "case when t.patch_body is not null then json_object('author', t.patch_author, \
    'body', t.patch_body, 'comment', t.patch_comment, 'level', t.patch_level, 'patchid', t.id, \
    'subdir', t.patch_subdir) end";

const PATCH_POSTGRES: &str = "case when t.patch_body is not null then json_build_object('author', t.patch_author, \
    'body', t.patch_body, 'comment', t.patch_comment, 'level', t.patch_level, 'patchid', t.id, \
    'subdir', t.patch_subdir)::text end";

static CHANGES: Descriptor = Descriptor {
    plural: "changes",
    from: Some(table("changes as t")),
    newest_first: true,
    fields: &[
        text("author", "t.author").fixed(),
        text("branch", "t.branch").null().fixed(),
        text("category", "t.category").null().fixed(),
        int("changeid", "t.id").fixed(),
        text("codebase", "t.codebase").fixed(),
        text("comments", "t.comments").fixed(),
        text("committer", "t.committer").null().fixed(),
        list_of(
            "files",
            "t.files",
            FieldKind::Text,
            "exists (select 1 from json_each(t.files) as j where j.value = {})",
        )
        .postgres(Source::List {
            json: "t.files",
            member: FieldKind::Text,
            contains: "exists (select 1 from json_array_elements_text(t.files::json) as j where j.value = {})",
        })
        .fixed(),
        list_of(
            "parent_changeids",
            "case when t.parent is null then '[]' else json_array(t.parent) end",
            FieldKind::Int,
            "t.parent = {}",
        )
        .postgres(Source::List {
            json: "case when t.parent is null then '[]' else '[' || t.parent || ']' end",
            member: FieldKind::Int,
            contains: "t.parent = {}",
        })
        .fixed(),
        text("project", "t.project").fixed(),
        object("properties", "t.properties"),
        text("repository", "t.repository").fixed(),
        text("revision", "t.revision").null().fixed(),
        text("revlink", "t.revlink").null().fixed(),
        attached("sourcestamp", FieldKind::Object, "t.sourcestamp", Attach::Stamp),
        date("when_timestamp", "t.when_at").fixed(),
    ],
    scopes: &[
        fixed_scope(
            "buildid",
            "t.id in (select x.change from builds b, buildrequests r, buildset_changes x \
             where b.id = {} and r.id = b.request and x.buildset = r.buildset \
             union select c.id from builds b, buildrequests r, buildset_sourcestamps y, changes c \
             where b.id = {} and r.id = b.request and y.buildset = r.buildset and c.sourcestamp = y.sourcestamp)",
        ),
        fixed_scope("ssid", "t.sourcestamp = {}"),
    ],
};

static STEPS: Descriptor = Descriptor {
    plural: "steps",
    from: Some(table("steps as t")),
    newest_first: false,
    fields: &[
        int("buildid", "t.build").fixed(),
        object("cause", "t.cause").null().extra(),
        present("complete", "t.complete_at"),
        date("complete_at", "t.complete_at").null(),
        bool("hidden", "t.hidden"),
        date("locks_acquired_at", "t.locks_acquired_at").null(),
        ident("name", "t.name").fixed(),
        int("number", "t.number").fixed(),
        int("results", "t.results").null(),
        date("started_at", "t.started_at").null().fixed(),
        text("state_string", "t.state_string"),
        int("stepid", "t.id").fixed(),
        list("urls", "t.urls"),
    ],
    scopes: &[],
};

static LOGS: Descriptor = Descriptor {
    plural: "logs",
    from: Some(table("logs as t")),
    newest_first: false,
    fields: &[
        bool("complete", "t.complete"),
        int("logid", "t.id").fixed(),
        text("name", "t.name").fixed(),
        int("num_lines", "t.num_lines"),
        int("raw_bytes", "t.raw_bytes").extra(),
        ident("slug", "t.slug").fixed(),
        int("stepid", "t.step").fixed(),
        ident("type", "t.kind"),
    ],
    scopes: &[fixed_scope(
        "buildid",
        "t.step in (select s.id from steps s where s.build = {})",
    )],
};

static WORKERS: Descriptor = Descriptor {
    plural: "workers",
    from: Some(table("workers as t")),
    newest_first: false,
    fields: &[
        attached(
            "configured_on",
            FieldKind::List,
            "case when t.active = true then t.builders end",
            Attach::ConfiguredOn,
        ),
        attached(
            "connected_to",
            FieldKind::List,
            "t.connected",
            Attach::ConnectedTo,
        ),
        date("disconnected_at", "t.disconnected_at").null().extra(),
        date("downtime_from", "json_extract(t.downtime, '$.from')")
            .null()
            .extra()
            .postgres(Source::Scalar("(t.downtime::json ->> 'from')::bigint")),
        date("downtime_until", "json_extract(t.downtime, '$.until')")
            .null()
            .extra()
            .postgres(Source::Scalar("(t.downtime::json ->> 'until')::bigint")),
        object("facts", "json_extract(t.info, '$.facts')")
            .extra()
            .postgres(Source::Json("(t.info::json -> 'facts')::text")),
        bool("graceful", "t.graceful"),
        bool("killed", "t.killed").extra(),
        bool("missing", "t.missing").extra(),
        ident("name", "t.name").fixed(),
        text("pause_reason", "t.pause_reason").null(),
        bool("paused", "t.paused"),
        int("slots", "t.slots").extra(),
        int("workerid", "t.id").fixed(),
        object(
            "workerinfo",
            "case when t.instance is null then '{}' else json_remove(t.info, '$.facts') end",
        )
        .postgres(Source::Json(
            "case when t.instance is null then '{}' else (t.info::jsonb - 'facts')::text end",
        )),
    ],
    scopes: &[
        scope(
            "builderid",
            "(t.active = true and exists (select 1 from json_each(t.builders) as j where j.value = {}))",
        )
        .postgres(
            "(t.active = true and exists (\
             select 1 from json_array_elements_text(t.builders::json) as j where j.value::bigint = {}))",
        ),
        scope(
            "masterid",
            "((t.active = true or t.connected = true) and exists (select 1 from masters m where m.active = true and m.id = {}))",
        ),
    ],
};

static MASTERS: Descriptor = Descriptor {
    plural: "masters",
    from: Some(table("masters as t")),
    newest_first: false,
    fields: &[
        bool("active", "t.active"),
        date("last_active", "t.last_active"),
        int("masterid", "t.id").fixed(),
        text("name", "t.name").fixed(),
    ],
    scopes: &[scope(
        "builderid",
        "(t.active = true and exists (select 1 from builders b where b.active = true and b.id = {}))",
    )],
};

static SCHEDULERS: Descriptor = Descriptor {
    plural: "schedulers",
    from: Some(table("schedulers as t")),
    newest_first: false,
    fields: &[
        bool("enabled", "t.enabled"),
        attached("master", FieldKind::Object, "t.active", Attach::Master).null(),
        text("name", "t.name").fixed(),
        int("schedulerid", "t.id").fixed(),
    ],
    scopes: &[ON_MASTER],
};

static CHANGE_SOURCES: Descriptor = Descriptor {
    plural: "changesources",
    from: Some(table("changesources as t")),
    newest_first: false,
    fields: &[
        int("changesourceid", "t.id").fixed(),
        attached("master", FieldKind::Object, "t.active", Attach::Master).null(),
        text("name", "t.name").fixed(),
    ],
    scopes: &[ON_MASTER],
};

static PROJECTS: Descriptor = Descriptor {
    plural: "projects",
    from: Some(table("projects as t")),
    newest_first: false,
    fields: &[
        bool("active", "t.active").null(),
        text("description", "t.description").null(),
        text("description_format", "null").null(),
        text("description_html", "null").null(),
        ident("name", "t.name").fixed(),
        int("projectid", "t.id").fixed(),
        ident("slug", "t.name").fixed(),
    ],
    scopes: &[],
};

static CODEBASES: Descriptor = Descriptor {
    plural: "codebases",
    from: Some(table("codebases as t")),
    newest_first: false,
    fields: &[
        int("codebaseid", "t.id").fixed(),
        ident("name", "t.name").fixed(),
        int("projectid", "t.project"),
        ident("slug", "t.name").fixed(),
    ],
    scopes: &[],
};

const ON_MASTER: Scope = scope(
    "masterid",
    "(t.active = true and exists (select 1 from masters m where m.active = true and m.id = {}))",
);

static BUILD_PROPERTIES: Descriptor = properties("builds as t", &[scope("buildid", "t.id = {}")]);

static BUILDSET_PROPERTIES: Descriptor = properties(
    "buildsets as t",
    &[
        scope("bsid", "t.id = {}"),
        scope(
            "buildrequestid",
            "t.id in (select r.buildset from buildrequests r where r.id = {})",
        ),
    ],
);

static CHANGE_PROPERTIES: Descriptor = properties("changes as t", &[scope("changeid", "t.id = {}")]);

const fn properties(from: &'static str, scopes: &'static [Scope]) -> Descriptor {
    Descriptor {
        plural: "properties",
        from: Some(table(from)),
        newest_first: false,
        fields: &[],
        scopes,
    }
}

static BUILD_PROPERTY_LIST: Descriptor = property_list(
    "builds as o, json_each(o.properties) as t",
    "builds as o, json_each(o.properties::json) as t",
    &[scope("buildid", "o.id = {}")],
);

static BUILDSET_PROPERTY_LIST: Descriptor = property_list(
    "buildsets as o, json_each(o.properties) as t",
    "buildsets as o, json_each(o.properties::json) as t",
    &[
        scope("bsid", "o.id = {}"),
        scope(
            "buildrequestid",
            "o.id in (select r.buildset from buildrequests r where r.id = {})",
        ),
    ],
);

static CHANGE_PROPERTY_LIST: Descriptor = property_list(
    "changes as o, json_each(o.properties) as t",
    "changes as o, json_each(o.properties::json) as t",
    &[scope("changeid", "o.id = {}")],
);

const PROPERTY_LIST_FIELDS: &[Field] = &[
    text("name", "t.key").postgres(Source::Scalar("t.key collate \"C\"")),
    text("source", "t.value ->> 1").postgres(Source::Scalar("(t.value ->> 1) collate \"C\"")),
    text("value", "t.value -> 0").postgres(Source::Scalar("(t.value -> 0)::text collate \"C\"")),
];

const fn property_list(sqlite: &'static str, postgres: &'static str, scopes: &'static [Scope]) -> Descriptor {
    Descriptor {
        plural: "_properties",
        from: Some(From {
            sqlite,
            postgres,
            key: "t.key",
            key_postgres: "t.key collate \"C\"",
        }),
        newest_first: false,
        fields: PROPERTY_LIST_FIELDS,
        scopes,
    }
}

// What there is no table for yet. The fields are declared so that queries are checked as they will be.

static BRANCHES: Descriptor = none_yet(
    "branches",
    &[
        int("branchid", "null"),
        int("codebaseid", "null"),
        int("commitid", "null"),
        date("last_timestamp", "null"),
        text("name", "null"),
    ],
    &[],
);

static COMMITS: Descriptor = none_yet(
    "commits",
    &[
        text("author", "null"),
        int("codebaseid", "null"),
        text("comments", "null"),
        int("commitid", "null"),
        text("committer", "null").null(),
        int("parent_commitid", "null").null(),
        text("revision", "null"),
        date("when_timestamp", "null"),
    ],
    &[],
);

static BUILD_DATA: Descriptor = none_yet(
    "build_data",
    &[
        int("buildid", "null"),
        int("length", "null"),
        ident("name", "null"),
        text("source", "null"),
        object("value", "null").null(),
    ],
    &[],
);

static TEST_RESULT_SETS: Descriptor = none_yet(
    "test_result_sets",
    &[
        int("builderid", "null"),
        int("buildid", "null"),
        text("category", "null"),
        bool("complete", "null"),
        text("description", "null").null(),
        int("stepid", "null"),
        int("test_result_setid", "null"),
        int("tests_failed", "null").null(),
        int("tests_passed", "null").null(),
        text("value_unit", "null"),
    ],
    &[scope("codebaseid", "false")],
);

static TEST_RESULTS: Descriptor = none_yet(
    "test_results",
    &[
        int("builderid", "null"),
        int("duration_ns", "null").null(),
        int("line", "null").null(),
        text("test_code_path", "null").null(),
        text("test_name", "null").null(),
        int("test_result_setid", "null"),
        int("test_resultid", "null"),
        text("value", "null"),
    ],
    &[],
);

const fn none_yet(plural: &'static str, fields: &'static [Field], scopes: &'static [Scope]) -> Descriptor {
    Descriptor {
        plural,
        from: None,
        newest_first: false,
        fields,
        scopes,
    }
}
