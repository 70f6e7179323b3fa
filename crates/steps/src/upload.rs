//! `upload`: files of the worker become files of the master.

use async_trait::async_trait;
use ironmaster_model::{Cause, FieldKind, FieldSpec, KindSpec, Results, StepDef};
use ironmaster_wire::{Outcome, Verb};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use crate::{
    CommandResult, HostError, Output, Step, StepContext, StepEnd, StepError,
    folders::{halting, workdir_field},
    params::{Params, below, wrong_mode, wrong_paths},
    shell::first_log,
};

/// A larger file is refused unless the step says otherwise.
const SIZE_MAX: i64 = 1 << 30;
/// Files that one pattern may match.
const FILES_MAX: usize = 10_000;
/// Files that a step has links to; the others are found beside them.
const LINKS_MAX: usize = 20;
/// What the names of a listing may take, in bytes.
const NAMES_MAX: usize = 1 << 20;
/// What stays as it is in the path of an address.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The field for the permission bits of what is written.
pub(crate) fn mode_field() -> FieldSpec {
    FieldSpec {
        name: "mode",
        kind: FieldKind::String,
        required: false,
        default: Some("\"644\""),
        doc: "Permission bits of what is written, in octal.",
        example: "\"755\"",
    }
}

/// The kind's description.
pub(crate) fn kind() -> KindSpec {
    KindSpec {
        name: "upload",
        doc: "Takes files from the worker into `files` in the master's state directory, where the pages serve them (at `/files/`) and `download` finds them. A file gets its place when all of it is there, and what was there is replaced.",
        fields: vec![
            FieldSpec {
                name: "src",
                kind: FieldKind::String,
                required: true,
                default: None,
                doc: "The file on the worker, or a pattern: `*`, `?` and `[a-z]` within a name, `**` for any folders.",
                example: "\"dist/*.tar.gz\"",
            },
            FieldSpec {
                name: "dest",
                kind: FieldKind::String,
                required: true,
                default: None,
                doc: "Its place below `files` in the master's state directory. If it ends in `/`, it is a folder: a file goes into it under its own name, and files that a pattern matches keep their paths below the part of the pattern without wildcards.",
                example: "\"nightly/%(prop:buildnumber)s/\"",
            },
            mode_field(),
            FieldSpec {
                name: "max_size",
                kind: FieldKind::Integer {
                    min: 1,
                    max: 1 << 50,
                    unit: "bytes",
                },
                required: false,
                default: Some("1073741824"),
                doc: "A larger file fails the step.",
                example: "10000000",
            },
            workdir_field(),
        ],
        logs: &["stdio"],
        flags: halting(),
        check: Some(check),
    }
}

fn check(params: &Map<String, Value>) -> Vec<(String, String)> {
    let mut wrong = wrong_paths(params, &["src", "dest", "workdir"]);
    wrong.extend(wrong_mode(params));
    let text = |name: &str| params.get(name).and_then(Value::as_str).unwrap_or_default();
    if is_pattern(text("src")) && !text("dest").ends_with('/') {
        let message =
            "a pattern may match several files: write the folder that they go into, with `/` at its end";
        wrong.push(("dest".to_owned(), message.to_owned()));
    }
    wrong
}

fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

#[derive(Debug)]
pub(crate) struct Upload {
    params: Params,
    log: String,
}

/// One file: where it is, and where it goes.
struct File {
    /// On the worker.
    path: String,
    /// Below the master's folder for files.
    to: String,
}

impl Upload {
    pub(crate) fn new(definition: &StepDef) -> Self {
        Self {
            params: Params::of(definition),
            log: first_log(definition),
        }
    }

    /// Ends the step with what the worker could not do, which goes to the log, too.
    async fn failed(
        &self,
        ctx: &mut StepContext<'_>,
        result: CommandResult,
        from: &str,
    ) -> Result<StepEnd, StepError> {
        ctx.header(&self.log, &result.line).await?;
        Ok(StepEnd {
            results: result.results,
            cause: result.cause,
            summary: format!("upload {from}"),
        })
    }

    /// The files that match; an error is how the step ends.
    async fn matches(
        &self,
        ctx: &mut StepContext<'_>,
        from: &str,
        to: &str,
    ) -> Result<Result<Vec<File>, StepEnd>, StepError> {
        let pattern = self.params.on_worker(ctx, "src", from)?;
        let fixed: Vec<&str> = pattern.split('/').take_while(|part| !is_pattern(part)).collect();
        let fixed = format!("{}/", fixed.join("/"));
        let glob = Verb::Glob {
            pattern: pattern.clone(),
        };
        let names = match self.ask(ctx, glob).await? {
            Ok(Value::Array(names)) => names,
            Ok(other) => return Err(strange(&other)),
            Err(result) => return Ok(Err(self.failed(ctx, result, from).await?)),
        };
        if names.len() > FILES_MAX {
            return Err(HostError::Refused {
                reason: format!(
                    "{from} matches {} files; at most {FILES_MAX} can be uploaded in one step, so pack them first",
                    names.len()
                ),
            }
            .into());
        }
        let mut files = Vec::new();
        for path in names.iter().filter_map(Value::as_str) {
            let path = path.to_owned();
            let stat = match self.ask(ctx, Verb::Stat { path: path.clone() }).await? {
                Ok(stat) => stat,
                Err(result) => return Ok(Err(self.failed(ctx, result, from).await?)),
            };
            let name = path.strip_prefix(&fixed).unwrap_or(&path);
            match stat.get("type").and_then(Value::as_str) {
                Some("file") => files.push(File {
                    to: below("dest", format!("{}/{name}", to.trim_end_matches('/')))?,
                    path,
                }),
                Some("dir") => {}
                _ => {
                    let line = format!("{name} is left out: it is a link or no file");
                    ctx.header(&self.log, &line).await?;
                }
            }
        }
        if files.is_empty() {
            let reason = format!("no file matches {from}");
            ctx.header(&self.log, &reason).await?;
            return Ok(Err(StepEnd {
                results: Results::Failure,
                summary: reason.clone(),
                cause: Some(Cause::Configuration { reason }),
            }));
        }
        Ok(Ok(files))
    }

    /// Has the worker answer; an error is what it could not do.
    async fn ask(
        &self,
        ctx: &mut StepContext<'_>,
        verb: Verb,
    ) -> Result<Result<Value, CommandResult>, StepError> {
        let done = ctx.command(verb, Output::Capture(NAMES_MAX)).await?;
        let result = CommandResult::read(&done.outcome, &[])?;
        Ok(match done.outcome {
            Outcome::Value { value } => Ok(value),
            _ => Err(result),
        })
    }
}

/// The worker does not do as the protocol says.
fn strange(answer: &Value) -> StepError {
    let kind = match answer {
        Value::Null => "nothing",
        _ => "something else",
    };
    HostError::Lost {
        reason: format!("the worker was asked for a list of files and answers {kind}"),
    }
    .into()
}

#[async_trait]
impl Step for Upload {
    async fn run(&self, ctx: &mut StepContext<'_>) -> Result<StepEnd, StepError> {
        let env = ctx.environment();
        let from = self.params.text("src", env)?.unwrap_or_default();
        let to = below("dest", self.params.text("dest", env)?.unwrap_or_default())?;
        let max_bytes = u64::try_from(self.params.integer("max_size", SIZE_MAX)).unwrap_or(u64::MAX);
        let mode = self.params.mode(0o644);
        let files = if is_pattern(&from) {
            match self.matches(ctx, &from, &to).await? {
                Ok(files) => files,
                Err(end) => return Ok(end),
            }
        } else {
            let path = self.params.on_worker(ctx, "src", &from)?;
            let to = match to.strip_suffix('/') {
                Some(folder) => {
                    let name = path.rsplit('/').next().unwrap_or_default();
                    format!("{}/{name}", folder.trim_end_matches('/'))
                }
                None => to,
            };
            vec![File { path, to }]
        };
        let mut total = 0;
        for (number, File { path, to }) in files.iter().enumerate() {
            ctx.header(&self.log, &format!("upload {path} to {to}")).await?;
            let get = Verb::Get {
                path: path.clone(),
                max_bytes,
            };
            let into = Output::File {
                path: to.clone(),
                mode,
            };
            let done = ctx.command(get, into).await?;
            let result = CommandResult::read(&done.outcome, &[])?;
            if result.cause.is_some() {
                return self.failed(ctx, result, &from).await;
            }
            ctx.header(&self.log, &format!("{} bytes", done.file_bytes))
                .await?;
            total += done.file_bytes;
            if number < LINKS_MAX {
                let url = format!("files/{}", utf8_percent_encode(to, PATH));
                ctx.add_url(to, &url);
            }
        }
        Ok(StepEnd::success(match &files[..] {
            [one] => format!("uploaded {}", one.to),
            many => format!("uploaded {} files, {total} bytes", many.len()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fake_host::{FakeHost, run};

    fn worker() -> (tempfile::TempDir, FakeHost) {
        let folder = tempfile::tempdir().unwrap();
        let dist = folder.path().join("b/build/dist");
        std::fs::create_dir_all(dist.join("sub")).unwrap();
        std::fs::write(dist.join("a b.gz"), "one").unwrap();
        std::fs::write(dist.join("sub/c.gz"), "three").unwrap();
        std::os::unix::fs::symlink("a b.gz", dist.join("latest.gz")).unwrap();
        let host = FakeHost::new(folder.path());
        (folder, host)
    }

    #[tokio::test]
    async fn a_file_goes_where_it_is_wanted_and_is_linked() {
        let (_folder, mut host) = worker();
        let end = run(
            &mut host,
            "upload",
            json!({ "src": "dist/a b.gz", "dest": "nightly/x y.gz" }),
        )
        .await
        .unwrap();
        assert_eq!(end, StepEnd::success("uploaded nightly/x y.gz"));
        assert_eq!(host.files["nightly/x y.gz"], b"one");
        assert_eq!(host.urls[0].url, "files/nightly/x%20y.gz");
        let end = run(
            &mut host,
            "upload",
            json!({ "src": "dist/a b.gz", "dest": "nightly/" }),
        )
        .await
        .unwrap();
        assert_eq!(end, StepEnd::success("uploaded nightly/a b.gz"));
    }

    #[tokio::test]
    async fn what_a_pattern_matches_keeps_its_path() {
        let (_folder, mut host) = worker();
        host.matches = vec![
            "b/build/dist/a b.gz",
            "b/build/dist/latest.gz",
            "b/build/dist/sub",
            "b/build/dist/sub/c.gz",
        ];
        let end = run(&mut host, "upload", json!({ "src": "dist/**", "dest": "n/" }))
            .await
            .unwrap();
        assert_eq!(end, StepEnd::success("uploaded 2 files, 8 bytes"));
        let files: Vec<&str> = host.files.keys().map(String::as_str).collect();
        assert_eq!(files, ["n/a b.gz", "n/sub/c.gz"]);
        let log = &host.logs["stdio"];
        assert!(
            log.contains("latest.gz is left out: it is a link or no file\n"),
            "{log}"
        );
    }

    #[tokio::test]
    async fn failures_say_why() {
        let (_folder, mut host) = worker();
        let end = run(&mut host, "upload", json!({ "src": "dist/*.zip", "dest": "n/" }))
            .await
            .unwrap();
        assert_eq!(
            (end.results, end.summary.as_str()),
            (Results::Failure, "no file matches dist/*.zip")
        );
        let end = run(&mut host, "upload", json!({ "src": "none", "dest": "n" }))
            .await
            .unwrap();
        assert_eq!(
            (end.results, end.summary.as_str()),
            (Results::Failure, "upload none")
        );
        let end = run(
            &mut host,
            "upload",
            json!({ "src": "dist/a b.gz", "dest": "n", "max_size": 2 }),
        )
        .await
        .unwrap();
        assert_eq!(end.results, Results::Failure);
        let log = &host.logs["stdio"];
        assert!(log.contains("more than the limit of 2"), "{log}");
        assert!(host.files.is_empty());
        // A worker that is not ours may answer what it likes.
        host.matches = vec!["b/build/dist/../../../etc"];
        std::fs::write(host.basedir.join("b/build/dist/../../../etc"), "x").unwrap();
        let error = run(&mut host, "upload", json!({ "src": "dist/*", "dest": "n/" }))
            .await
            .unwrap_err();
        assert!(matches!(error, StepError::Params(_)), "{error}");
    }

    #[test]
    fn a_pattern_wants_a_folder() {
        let wrong = |params: Value| check(params.as_object().unwrap());
        assert_eq!(wrong(json!({ "src": "*.gz", "dest": "x" }))[0].0, "dest");
        assert!(wrong(json!({ "src": "*.gz", "dest": "x/" })).is_empty());
        assert!(wrong(json!({ "src": "a.gz", "dest": "x" })).is_empty());
    }
}
