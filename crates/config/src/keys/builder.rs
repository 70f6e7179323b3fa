//! Keys of `[[builder]]` and `[[builder.step]]`.

use super::{
    SectionKeys, Type,
    lock::{BUILDER_LOCKS, STEP_LOCKS},
    optional, required,
};

/// `[[builder]]`.
pub static BUILDER: SectionKeys = SectionKeys {
    header: "[[builder]]",
    doc: "A named job: which steps, and which workers may run them.",
    keys: &[
        required(
            "name",
            Type::Text,
            "Its name: 1 to 255 characters, none of them a control character.",
            "\"zlib on linux\"",
        ),
        required(
            "workers",
            Type::Texts,
            "Which workers may run it: names, `label:NAME` for every worker with that label, `label:ONE,TWO,!THREE` for those that have the first two and not the third, or `*` for all.",
            "[\"linux-1\", \"label:linux,arm64,!slow\"]",
        ),
        required(
            "step",
            Type::Sections(&STEP),
            "What it does, in order: see `[[builder.step]]`.",
            "[{ type = \"shell\", command = \"make check\" }]",
        ),
        optional(
            "description",
            Type::Text,
            "none",
            "For people; Markdown.",
            "\"Builds and tests zlib.\"",
        ),
        optional("project", Type::Text, "none", "Name of its project.", "\"zlib\""),
        optional(
            "tags",
            Type::Texts,
            "[]",
            "For finding it among many.",
            "[\"zlib\", \"linux\"]",
        ),
        optional(
            "env",
            Type::Env,
            "{}",
            "Environment of every command; `false` unsets a name. Values may hold `%(prop:name)s`.",
            "{ CC = \"clang\", LANG = false }",
        ),
        optional(
            "properties",
            Type::Table,
            "{}",
            "Properties of every build (source `Builder`).",
            "{ optimise = true }",
        ),
        optional(
            "attempts",
            Type::Integer(1, 100, "tries"),
            "3",
            "How often one request is tried when machines fail. A build that fails by itself is not tried again.",
            "5",
        ),
        optional(
            "collapse",
            Type::OrFunction(&Type::Choice(&["never", "same_branch", "newest"])),
            "\"never\"",
            "Whether waiting requests are merged: with `same_branch` when their branch, repository, project, code base and patch are equal, then the newest revision is built; with `newest` whatever their branch is, then only the newest request is built. In Starlark also a function of a new request and an older one, which says whether the new one replaces the other: see [functions](choosing.md#functions).",
            "\"same_branch\"",
        ),
        optional(
            "builds_max",
            Type::Integer(1, 100_000, "builds"),
            "no bound",
            "How many of its builds run at once over all workers.",
            "1",
        ),
        BUILDER_LOCKS,
        optional(
            "prefer",
            Type::OrFunction(&Type::Choice(&["warm", "idle", "order"])),
            "\"warm\"",
            "Which worker is taken when several have a free slot: one that has built it lately, the idlest, or one that is named earlier in `workers`. In Starlark also a function of a request and a list of workers, which gives one of them, or None if it is not to start now: see [functions that choose](choosing.md#functions).",
            "\"order\"",
        ),
        optional(
            "can_start",
            Type::Function,
            "none",
            "Is called with a request and a worker that has a free slot; the request starts there if this gives something true. See [functions that choose](choosing.md#functions).",
            "lambda request, worker: \"gpu\" in worker.labels or not request.properties.get(\"gpu\")",
        ),
        optional(
            "next_build",
            Type::Function,
            "by priority, then by age",
            "Is called with a list of the builder's waiting requests, and gives the one that goes next, or None if none is to start now. See [functions that choose](choosing.md#functions).",
            "lambda requests: requests[-1]",
        ),
        optional(
            "priority",
            Type::Function,
            "the scheduler's",
            "Is called with each request that is queued, and gives its priority, or None to leave it as it is. See [functions](choosing.md#functions).",
            "lambda request: 10 if request.branch == \"main\" else 0",
        ),
        optional(
            "priority_property",
            Type::Text,
            "none",
            "A property: where a request has it, and it is a whole number, it is the request's priority.",
            "\"urgency\"",
        ),
        optional(
            "builddir",
            Type::DirectoryName,
            "made from `name`",
            "Name of its directory on workers. Two builders cannot share one.",
            "\"zlib\"",
        ),
    ],
};

/// `[[builder.step]]`: the keys that every kind of step has.
pub static STEP: SectionKeys = SectionKeys {
    header: "[[builder.step]]",
    doc: "One step of the builder above it. `type` says which kind; each kind has keys of its own beside these.",
    keys: &[
        required("type", Type::StepKind, "Which kind of step it is.", "\"shell\""),
        optional(
            "name",
            Type::Text,
            "the kind's name",
            "Shown to people. Steps with the same name get a number: `shell`, `shell_1`.",
            "\"compile\"",
        ),
        optional(
            "halt_on_failure",
            Type::Bool,
            "depends on the kind",
            "A failure ends the build; only `always_run` steps follow.",
            "true",
        ),
        optional(
            "flunk_on_failure",
            Type::Bool,
            "depends on the kind",
            "A failure makes the build fail.",
            "false",
        ),
        optional(
            "flunk_on_warnings",
            Type::Bool,
            "depends on the kind",
            "Warnings make the build fail.",
            "true",
        ),
        optional(
            "warn_on_failure",
            Type::Bool,
            "depends on the kind",
            "A failure makes the build end with warnings.",
            "true",
        ),
        optional(
            "warn_on_warnings",
            Type::Bool,
            "depends on the kind",
            "Warnings make the build end with warnings.",
            "false",
        ),
        optional(
            "always_run",
            Type::Bool,
            "depends on the kind",
            "It runs even when the build was stopped or has failed.",
            "true",
        ),
        STEP_LOCKS,
    ],
};
