//! A small catalogue with every kind of field.

use ironmaster_model::{Catalogue, FieldKind, FieldSpec, KindSpec, StepFlags};

fn field(name: &'static str, kind: FieldKind, required: bool, example: &'static str) -> FieldSpec {
    FieldSpec {
        name,
        kind,
        required,
        default: None,
        doc: "For tests.",
        example,
    }
}

pub(crate) fn catalogue() -> Catalogue {
    Catalogue {
        steps: vec![
            KindSpec {
                name: "shell",
                doc: "Runs a command.",
                fields: vec![
                    field("command", FieldKind::Command, true, "\"make\""),
                    field("env", FieldKind::Env, false, "{ CC = \"clang\" }"),
                    field("workdir", FieldKind::String, false, "\"build\""),
                    field("timeout", FieldKind::Duration, false, "\"20m\""),
                    field(
                        "max_lines",
                        FieldKind::Integer {
                            min: 1,
                            max: 100,
                            unit: "lines",
                        },
                        false,
                        "10",
                    ),
                    field("log_environ", FieldKind::Bool, false, "true"),
                    field(
                        "log_files",
                        FieldKind::LogFiles,
                        false,
                        "{ \"test.log\" = \"out/test.log\" }",
                    ),
                ],
                logs: &["stdio"],
                flags: StepFlags::default(),
                check: None,
            },
            KindSpec {
                name: "git",
                doc: "Checks out.",
                fields: vec![
                    field(
                        "repository",
                        FieldKind::String,
                        true,
                        "\"https://example.org/r.git\"",
                    ),
                    field(
                        "mode",
                        FieldKind::Choice(&["incremental", "full"]),
                        false,
                        "\"full\"",
                    ),
                    field(
                        "method",
                        FieldKind::Choice(&["clobber", "fresh"]),
                        false,
                        "\"fresh\"",
                    ),
                    field("options", FieldKind::Table, false, "{ depth = 1 }"),
                ],
                logs: &["stdio"],
                flags: StepFlags {
                    halt_on_failure: true,
                    ..StepFlags::default()
                },
                check: Some(|params| {
                    let incremental = params.get("mode").and_then(|mode| mode.as_str()) != Some("full");
                    if incremental && params.contains_key("method") {
                        let message = "`method` is only for `mode = \"full\"`";
                        vec![("method".to_owned(), message.to_owned())]
                    } else {
                        vec![]
                    }
                }),
            },
            KindSpec {
                name: "spread",
                doc: "Triggers.",
                fields: vec![field("schedulers", FieldKind::Triggerables, true, "[\"five\"]")],
                logs: &[],
                flags: StepFlags::default(),
                check: None,
            },
        ],
        change_sources: vec![KindSpec {
            name: "git_poller",
            doc: "Polls.",
            fields: vec![
                field(
                    "repository",
                    FieldKind::String,
                    true,
                    "\"https://example.org/r.git\"",
                ),
                field("branches", FieldKind::StringList, false, "[\"main\"]"),
                field("interval", FieldKind::Duration, false, "\"60s\""),
            ],
            logs: &[],
            flags: StepFlags::default(),
            check: None,
        }],
    }
}
