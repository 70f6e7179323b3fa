//! `download`: a file of the master, or a text, becomes a file on the worker.

use async_trait::async_trait;
use ironmaster_model::{FieldKind, FieldSpec, KindSpec, StepDef};
use ironmaster_wire::{MAX_PUT, Put, Verb};
use serde_json::{Map, Value};

use crate::{
    CommandResult, Output, Step, StepContext, StepEnd, StepError,
    folders::{halting, workdir_field},
    params::{Params, below, wrong_mode, wrong_paths},
    shell::{first_log, summarised},
    upload::mode_field,
};

/// So much of a file is sent between two words about it.
const TOLD_BYTES: u64 = 64 * MAX_PUT as u64;

/// The kind's description.
pub(crate) fn kind() -> KindSpec {
    KindSpec {
        name: "download",
        doc: "Writes a file on the worker: one of the master's, which was put or uploaded into `files` in its state directory, or a text.",
        fields: vec![
            FieldSpec {
                name: "src",
                kind: FieldKind::String,
                required: false,
                default: None,
                doc: "The file, below `files` in the master's state directory.",
                example: "\"tools/sign.sh\"",
            },
            FieldSpec {
                name: "text",
                kind: FieldKind::String,
                required: false,
                default: None,
                doc: "What the file is to hold, instead of a file of the master.",
                example: "\"revision = %(prop:got_revision)s\\n\"",
            },
            FieldSpec {
                name: "dest",
                kind: FieldKind::String,
                required: true,
                default: None,
                doc: "The file on the worker; what is there is replaced, and missing folders above it are made.",
                example: "\"sign.sh\"",
            },
            mode_field(),
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
    match (params.contains_key("src"), params.contains_key("text")) {
        (true, true) => wrong.push((
            "text".to_owned(),
            "give either `src` or `text`, not both".to_owned(),
        )),
        (false, false) => wrong.push(("dest".to_owned(), "give `src` or `text` with it".to_owned())),
        _ => {}
    }
    wrong
}

#[derive(Debug)]
pub(crate) struct Download {
    params: Params,
    log: String,
}

/// Where the bytes come from.
enum Source {
    File(String),
    Text(Vec<u8>),
}

impl Source {
    /// At most [`MAX_PUT`] bytes; nothing at the end.
    async fn piece(&self, ctx: &mut StepContext<'_>, offset: u64) -> Result<Vec<u8>, StepError> {
        match self {
            Self::File(path) => Ok(ctx.read_file(path, offset).await?),
            Self::Text(bytes) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                let to = from.saturating_add(MAX_PUT).min(bytes.len());
                Ok(bytes[from..to].to_vec())
            }
        }
    }
}

impl Download {
    pub(crate) fn new(definition: &StepDef) -> Self {
        Self {
            params: Params::of(definition),
            log: first_log(definition),
        }
    }
}

#[async_trait]
impl Step for Download {
    async fn run(&self, ctx: &mut StepContext<'_>) -> Result<StepEnd, StepError> {
        let env = ctx.environment();
        let to = self.params.text("dest", env)?.unwrap_or_default();
        let source = match self.params.text("src", env)? {
            Some(path) => Source::File(below("src", path)?),
            None => Source::Text(self.params.text("text", env)?.unwrap_or_default().into_bytes()),
        };
        let line = match &source {
            Source::File(path) => format!("download {path} to {to}"),
            Source::Text(bytes) => format!("write {} bytes of text to {to}", bytes.len()),
        };
        let path = self.params.on_worker(ctx, "dest", &to)?;
        let mode = self.params.mode(0o644);
        ctx.header(&self.log, &line).await?;
        let mut offset = 0;
        loop {
            let content = source.piece(ctx, offset).await?;
            let length = content.len();
            // A file without bytes is a file, too.
            if length == 0 && offset > 0 {
                break;
            }
            let put = Verb::Put(Put {
                path: path.clone(),
                mode,
                offset,
                content,
            });
            let done = ctx.command(put, Output::Log(self.log.clone())).await?;
            let result = CommandResult::read(&done.outcome, &[])?;
            if result.cause.is_some() {
                ctx.header(&self.log, &result.line).await?;
                return Ok(StepEnd {
                    results: result.results,
                    cause: result.cause,
                    summary: summarised(&line),
                });
            }
            offset += length as u64;
            if length < MAX_PUT {
                break;
            }
            if offset.is_multiple_of(TOLD_BYTES) {
                ctx.set_state(&format!("downloading {to}: {} MiB", offset >> 20))
                    .await?;
            }
        }
        ctx.header(&self.log, &format!("{offset} bytes written")).await?;
        Ok(StepEnd::success(format!("downloaded {to}")))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use ironmaster_model::Results;
    use serde_json::json;

    use super::*;
    use crate::{
        HostError, StepHost,
        fake_host::{FakeHost, run},
    };

    #[tokio::test]
    async fn a_text_and_a_file_of_any_size_arrive() {
        let folder = tempfile::tempdir().unwrap();
        let build = folder.path().join("b/build");
        std::fs::create_dir_all(&build).unwrap();
        let mut host = FakeHost::new(folder.path());
        host.set_property("n", "7".into(), "test").unwrap();
        let end = run(
            &mut host,
            "download",
            json!({ "text": "n = %(prop:n)s\n", "dest": "n.sh", "mode": "755" }),
        )
        .await
        .unwrap();
        assert_eq!(end, StepEnd::success("downloaded n.sh"));
        assert_eq!(std::fs::read_to_string(build.join("n.sh")).unwrap(), "n = 7\n");
        let mode = std::fs::metadata(build.join("n.sh"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o700, 0o700);
        assert_eq!(
            host.logs["stdio"],
            "write 6 bytes of text to n.sh\n6 bytes written\n"
        );

        for length in [0, 1, MAX_PUT - 1, MAX_PUT, MAX_PUT + 1, 3 * MAX_PUT] {
            let bytes: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            host.files.insert("tools/x".into(), bytes.clone());
            let end = run(&mut host, "download", json!({ "src": "tools/x", "dest": "x" }))
                .await
                .unwrap();
            assert_eq!(end.results, Results::Success);
            assert_eq!(std::fs::read(build.join("x")).unwrap(), bytes, "{length}");
        }
    }

    #[tokio::test]
    async fn a_long_one_says_how_far_it_is() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("b/build")).unwrap();
        let mut host = FakeHost::new(folder.path());
        host.files.insert("x".into(), vec![7; 65 * MAX_PUT]);
        run(&mut host, "download", json!({ "src": "x", "dest": "y" }))
            .await
            .unwrap();
        assert_eq!(host.states, ["downloading y: 32 MiB"]);
    }

    #[tokio::test]
    async fn what_is_missing_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut host = FakeHost::new(folder.path());
        let error = run(&mut host, "download", json!({ "src": "none", "dest": "x" }))
            .await
            .unwrap_err();
        assert!(
            matches!(error, StepError::Host(HostError::Refused { .. })),
            "{error}"
        );
        // There is no such folder, and this host makes none.
        let end = run(&mut host, "download", json!({ "text": "", "dest": "x" }))
            .await
            .unwrap();
        assert_eq!(end.results, Results::Failure);
        assert!(host.logs["stdio"].contains("failed: "), "{:?}", host.logs);
    }

    #[test]
    fn wrong_fields_are_found_before_anything_runs() {
        let names = |params: Value| -> Vec<String> {
            check(params.as_object().unwrap())
                .into_iter()
                .map(|(name, _)| name)
                .collect()
        };
        assert_eq!(names(json!({ "dest": "x" })), ["dest"]);
        assert_eq!(names(json!({ "dest": "x", "src": "a", "text": "b" })), ["text"]);
        assert_eq!(
            names(json!({ "dest": "../x", "src": "/a", "mode": "rwx" })),
            ["src", "dest", "mode"]
        );
        for mode in ["8", "99", "0o644", "12345", "4755", "+644"] {
            assert_eq!(
                names(json!({ "dest": "x", "text": "", "mode": mode })),
                ["mode"],
                "{mode}"
            );
        }
        for mode in ["644", "0755", "000"] {
            assert!(
                names(json!({ "dest": "x", "text": "", "mode": mode })).is_empty(),
                "{mode}"
            );
        }
    }
}
