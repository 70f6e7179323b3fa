//! `mkdir`, `remove` and `copy`: folders and files on the worker.

use async_trait::async_trait;
use ironmaster_model::{FieldKind, FieldSpec, KindSpec, StepDef, StepFlags};
use ironmaster_wire::Verb;
use serde_json::{Map, Value};

use crate::{
    CommandResult, HostError, Output, Step, StepContext, StepEnd, StepError,
    params::{Params, wrong_paths},
    shell::first_log,
};

/// The field that says from where the paths of such a step are seen.
pub(crate) fn workdir_field() -> FieldSpec {
    FieldSpec {
        name: "workdir",
        kind: FieldKind::String,
        required: false,
        default: Some("\"build\""),
        doc: "Directory that paths on the worker are relative to, below the builder's directory there; `.` is that directory itself.",
        example: "\".\"",
    }
}

/// Flags of steps without which the others make no sense.
pub(crate) fn halting() -> StepFlags {
    StepFlags {
        halt_on_failure: true,
        ..StepFlags::default()
    }
}

/// The description of `mkdir`.
pub(crate) fn mkdir_kind() -> KindSpec {
    each_path_kind(
        "mkdir",
        "Makes folders on the worker, and those above them. It is fine if they are there.",
        "The folders.",
        "[\"out\", \"out/logs\"]",
    )
}

/// The description of `remove`.
pub(crate) fn remove_kind() -> KindSpec {
    each_path_kind(
        "remove",
        "Removes files, and folders with all that is in them, on the worker. It is fine if they are not there.",
        "The files and folders.",
        "[\"out\", \"core\"]",
    )
}

fn each_path_kind(
    name: &'static str,
    doc: &'static str,
    paths: &'static str,
    example: &'static str,
) -> KindSpec {
    let paths = FieldSpec {
        name: "paths",
        kind: FieldKind::StringList,
        required: true,
        default: None,
        doc: paths,
        example,
    };
    KindSpec {
        name,
        doc,
        fields: vec![paths, workdir_field()],
        logs: &["stdio"],
        flags: halting(),
        check: Some(check_paths),
    }
}

/// The description of `copy`.
pub(crate) fn copy_kind() -> KindSpec {
    KindSpec {
        name: "copy",
        doc: "Copies a file, or a folder with all that is in it, on the worker. What was at its new place is removed first.",
        fields: vec![
            FieldSpec {
                name: "src",
                kind: FieldKind::String,
                required: true,
                default: None,
                doc: "What to copy.",
                example: "\"src\"",
            },
            FieldSpec {
                name: "dest",
                kind: FieldKind::String,
                required: true,
                default: None,
                doc: "The copy's own path, not that of the folder that it goes into.",
                example: "\"work/src\"",
            },
            workdir_field(),
        ],
        logs: &["stdio"],
        flags: halting(),
        check: Some(check_copy),
    }
}

fn check_paths(params: &Map<String, Value>) -> Vec<(String, String)> {
    let mut wrong = wrong_paths(params, &["paths", "workdir"]);
    if params
        .get("paths")
        .and_then(Value::as_array)
        .is_some_and(Vec::is_empty)
    {
        wrong.push(("paths".to_owned(), "name at least one".to_owned()));
    }
    wrong
}

fn check_copy(params: &Map<String, Value>) -> Vec<(String, String)> {
    let mut wrong = wrong_paths(params, &["src", "dest", "workdir"]);
    let text = |name: &str| params.get(name).and_then(Value::as_str).unwrap_or_default();
    if wrong.is_empty()
        && let Some(message) = overlap(text("src"), text("dest"))
    {
        wrong.push(("dest".to_owned(), message.to_owned()));
    }
    wrong
}

/// Why a copy is not possible, if one of its paths is part of the other.
fn overlap(from: &str, to: &str) -> Option<&'static str> {
    let parts = |path: &str| -> Vec<String> {
        let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
        parts.map(str::to_owned).collect()
    };
    let (from, to) = (parts(from), parts(to));
    if to.starts_with(&from) {
        Some("a folder cannot be copied to itself or into itself")
    } else if from.starts_with(&to) {
        Some("the copy would replace the folder that holds what is copied")
    } else {
        None
    }
}

/// Runs one verb after the other until one fails. Each comes with the words for the log.
async fn run_all(
    ctx: &mut StepContext<'_>,
    log: &str,
    verbs: Vec<(String, Verb)>,
    summary: String,
) -> Result<StepEnd, StepError> {
    for (line, verb) in verbs {
        ctx.header(log, &line).await?;
        let done = ctx.command(verb, Output::Log(log.to_owned())).await?;
        let result = CommandResult::read(&done.outcome, &[])?;
        if result.cause.is_some() {
            ctx.header(log, &result.line).await?;
            return Ok(StepEnd {
                results: result.results,
                cause: result.cause,
                summary,
            });
        }
    }
    Ok(StepEnd::success(summary))
}

/// Several paths in the words of a summary.
fn named(paths: &[String]) -> String {
    match paths {
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        [] => String::new(),
    }
}

/// `mkdir` and `remove`: the same verb for each path.
#[derive(Debug)]
pub(crate) struct EachPath {
    params: Params,
    log: String,
    word: &'static str,
    verb: fn(String) -> Verb,
}

impl EachPath {
    pub(crate) fn mkdir(definition: &StepDef) -> Self {
        Self {
            params: Params::of(definition),
            log: first_log(definition),
            word: "mkdir",
            verb: |path| Verb::Mkdir { path },
        }
    }

    pub(crate) fn remove(definition: &StepDef) -> Self {
        Self {
            params: Params::of(definition),
            log: first_log(definition),
            word: "remove",
            verb: |path| Verb::Remove { path },
        }
    }
}

#[async_trait]
impl Step for EachPath {
    async fn run(&self, ctx: &mut StepContext<'_>) -> Result<StepEnd, StepError> {
        let paths = self.params.texts("paths", ctx.environment())?;
        let mut verbs = Vec::with_capacity(paths.len());
        for path in &paths {
            let full = self.params.on_worker(ctx, "paths", path)?;
            verbs.push((format!("{} {path}", self.word), (self.verb)(full)));
        }
        let summary = format!("{} {}", self.word, named(&paths));
        run_all(ctx, &self.log, verbs, summary).await
    }
}

/// `copy`.
#[derive(Debug)]
pub(crate) struct Copy {
    params: Params,
    log: String,
}

impl Copy {
    pub(crate) fn new(definition: &StepDef) -> Self {
        Self {
            params: Params::of(definition),
            log: first_log(definition),
        }
    }
}

#[async_trait]
impl Step for Copy {
    async fn run(&self, ctx: &mut StepContext<'_>) -> Result<StepEnd, StepError> {
        let env = ctx.environment();
        let from = self.params.text("src", env)?.unwrap_or_default();
        let to = self.params.text("dest", env)?.unwrap_or_default();
        let (source, target) = (
            self.params.on_worker(ctx, "src", &from)?,
            self.params.on_worker(ctx, "dest", &to)?,
        );
        if let Some(why) = overlap(&source, &target) {
            return Err(HostError::Refused {
                reason: format!("cannot copy {from} to {to}: {why}"),
            }
            .into());
        }
        let line = format!("copy {from} to {to}");
        let verbs = vec![
            (format!("remove {to}"), Verb::Remove { path: target.clone() }),
            (
                line.clone(),
                Verb::Copy {
                    from: source,
                    to: target,
                },
            ),
        ];
        run_all(ctx, &self.log, verbs, line).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        StepHost,
        fake_host::{FakeHost, run},
    };

    #[tokio::test]
    async fn folders_are_made_copied_into_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let build = folder.path().join("b/build");
        let mut host = FakeHost::new(folder.path());
        host.set_property("name", "logs".into(), "test").unwrap();
        let made = run(
            &mut host,
            "mkdir",
            json!({ "paths": ["out/%(prop:name)s", "tmp"] }),
        )
        .await
        .unwrap();
        assert_eq!(made, StepEnd::success("mkdir out/logs and 1 more"));
        assert!(build.join("out/logs").is_dir() && build.join("tmp").is_dir());
        assert_eq!(host.logs["stdio"], "mkdir out/logs\nmkdir tmp\n");

        std::fs::write(build.join("a"), "text").unwrap();
        let copied = run(&mut host, "copy", json!({ "src": "a", "dest": "out/logs/b" }))
            .await
            .unwrap();
        assert_eq!(copied, StepEnd::success("copy a to out/logs/b"));
        assert_eq!(std::fs::read_to_string(build.join("out/logs/b")).unwrap(), "text");

        let removed = run(
            &mut host,
            "remove",
            json!({ "paths": ["."], "workdir": "build/out" }),
        )
        .await
        .unwrap();
        assert_eq!(removed, StepEnd::success("remove ."));
        assert!(!build.join("out").exists() && build.join("a").exists());
        let again = run(
            &mut host,
            "remove",
            json!({ "paths": ["build/out"], "workdir": "." }),
        )
        .await
        .unwrap();
        assert_eq!(again.results, ironmaster_model::Results::Success);
    }

    #[tokio::test]
    async fn the_first_failure_ends_the_step_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let mut host = FakeHost::new(folder.path());
        let end = run(&mut host, "copy", json!({ "src": "nothing", "dest": "b" }))
            .await
            .unwrap();
        assert_eq!(end.results, ironmaster_model::Results::Failure);
        assert_eq!(end.summary, "copy nothing to b");
        let log = &host.logs["stdio"];
        assert!(log.contains("failed: No such file or directory"), "{log}");
    }

    #[tokio::test]
    async fn no_property_leads_a_path_astray() {
        let folder = tempfile::tempdir().unwrap();
        let mut host = FakeHost::new(folder.path());
        host.set_property("up", "../..".into(), "test").unwrap();
        for (kind, params) in [
            ("remove", json!({ "paths": ["%(prop:up)s/other"] })),
            ("remove", json!({ "paths": ["x"], "workdir": "%(prop:up)s" })),
            ("mkdir", json!({ "paths": ["a", "%(prop:up)s"] })),
            ("copy", json!({ "src": "%(prop:up)s/etc", "dest": "x" })),
            ("upload", json!({ "src": "a", "dest": "%(prop:up)s/ci.toml" })),
            ("upload", json!({ "src": "%(prop:up)s/*", "dest": "x/" })),
            ("download", json!({ "src": "%(prop:up)s/session", "dest": "x" })),
            ("download", json!({ "text": "x", "dest": "%(prop:up)s/x" })),
        ] {
            let error = run(&mut host, kind, params.clone()).await.unwrap_err();
            assert!(matches!(error, StepError::Params(_)), "{kind} {params}: {error}");
        }
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            0,
            "nothing was done"
        );
    }

    #[tokio::test]
    async fn a_copy_never_destroys_what_it_copies() {
        let folder = tempfile::tempdir().unwrap();
        let mut host = FakeHost::new(folder.path());
        for (from, to) in [("a", "a"), ("a", "./a/"), ("a", "a/b"), ("a/b", "a"), ("a", ".")] {
            let params = json!({ "src": from, "dest": to });
            let wrong = check_copy(params.as_object().unwrap());
            assert_eq!(wrong.len(), 1, "{from} {to}");
            assert_eq!(wrong[0].0, "dest");
            let error = run(&mut host, "copy", params).await.unwrap_err();
            assert!(
                matches!(error, StepError::Host(HostError::Refused { .. })),
                "{from} {to}: {error}"
            );
        }
        assert!(check_copy(json!({ "src": "a", "dest": "ab" }).as_object().unwrap()).is_empty());
    }

    #[test]
    fn wrong_paths_are_found_before_anything_runs() {
        let wrong = |params: Value| check_paths(params.as_object().unwrap());
        assert_eq!(
            wrong(json!({ "paths": ["a", "../b", "%(prop:x)s"], "workdir": "/tmp" })),
            [
                ("paths".to_owned(), "the path \"../b\" contains `..`".to_owned()),
                ("workdir".to_owned(), "the path \"/tmp\" is absolute".to_owned()),
            ]
        );
        assert_eq!(
            wrong(json!({ "paths": [] })),
            [("paths".to_owned(), "name at least one".to_owned())]
        );
    }
}
