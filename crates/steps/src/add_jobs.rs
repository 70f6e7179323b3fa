//! `add_jobs`: adds jobs to the pipeline's run that the build belongs to, from a file that the build has made.

use async_trait::async_trait;
use ironmaster_config::{JOBS_FILE_BYTES_MAX, read_jobs};
use ironmaster_model::{FieldKind, FieldSpec, KindSpec, Results, StepDef, StepFlags};
use ironmaster_wire::{FailureKind, Outcome, Verb};

use crate::{
    HostError, Output, Step, StepContext, StepEnd, StepError, command::CommandResult, params::Params,
    shell::first_log,
};

/// The kind's description.
pub(crate) fn kind() -> KindSpec {
    let field = |name, required, default, doc, example| FieldSpec {
        name,
        kind: FieldKind::String,
        required,
        default,
        doc,
        example,
    };
    KindSpec {
        name: "add_jobs",
        doc: "Adds jobs to the run of a pipeline that the build is a job of, from a file in TOML, JSON or YAML that an earlier step has \
              made: `[[job]]` (TOML) or a list `jobs`, with the keys of `[[pipeline.job]]`. `needed_by` makes a job that still waits wait for \
              the new one, too. The file is checked like the configuration, and either all of its jobs are added or none.",
        fields: vec![
            field(
                "file",
                true,
                None,
                "The file, relative to `workdir`. Its name ends in `.toml`, `.json`, `.yaml` or `.yml`.",
                "\"jobs.json\"",
            ),
            field(
                "workdir",
                false,
                Some("\"build\""),
                "Directory below the builder's own.",
                "\"build/parts\"",
            ),
        ],
        logs: &["stdio"],
        flags: StepFlags {
            halt_on_failure: true,
            ..StepFlags::default()
        },
        check: None,
    }
}

#[derive(Debug)]
pub(crate) struct AddJobs {
    params: Params,
    log: String,
}

impl AddJobs {
    pub(crate) fn new(definition: &StepDef) -> Self {
        Self {
            params: Params::of(definition),
            log: first_log(definition),
        }
    }
}

fn failure(summary: String) -> StepEnd {
    StepEnd {
        results: Results::Failure,
        cause: None,
        summary,
    }
}

#[async_trait]
impl Step for AddJobs {
    async fn run(&self, ctx: &mut StepContext<'_>) -> Result<StepEnd, StepError> {
        let file = self.params.text("file", ctx.environment())?.unwrap_or_default();
        let workdir = self
            .params
            .text("workdir", ctx.environment())?
            .unwrap_or_else(|| "build".into());
        let path = ctx.path(&format!("{}/{file}", workdir.trim_matches('/')));
        let get = Verb::Get {
            path,
            max_bytes: JOBS_FILE_BYTES_MAX as u64,
        };
        let done = ctx.command(get, Output::Capture(JOBS_FILE_BYTES_MAX)).await?;
        if let Outcome::Failed {
            kind: FailureKind::NotFound | FailureKind::Invalid,
            message,
        } = &done.outcome
        {
            ctx.header(&self.log, &format!("{file} cannot be read: {message}"))
                .await?;
            return Ok(failure(format!("no jobs added: {file} cannot be read")));
        }
        let result = CommandResult::read(&done.outcome, &[])?;
        if result.results != Results::Success {
            ctx.header(&self.log, &format!("{file}: {}", result.line)).await?;
            return Ok(StepEnd {
                results: result.results,
                cause: result.cause,
                summary: format!("no jobs added: {file} cannot be read"),
            });
        }
        let Ok(text) = std::str::from_utf8(&done.captured) else {
            ctx.header(&self.log, &format!("{file} is not UTF-8; save it as UTF-8"))
                .await?;
            return Ok(failure(format!("no jobs added: {file} is not UTF-8")));
        };
        let jobs = match read_jobs(&file, text) {
            Ok(jobs) => jobs,
            Err(report) => {
                ctx.errors(&self.log, &report.to_string()).await?;
                return Ok(failure(format!("no jobs added: {}", report.summary())));
            }
        };
        if jobs.is_empty() {
            ctx.header(&self.log, &format!("{file} has no jobs")).await?;
            return Ok(StepEnd::success("no jobs to add"));
        }
        let names: Vec<String> = jobs.iter().map(|job| format!("'{}'", job.name)).collect();
        match ctx.add_jobs(jobs).await {
            Ok(count) => {
                ctx.header(&self.log, &format!("added {count} jobs: {}", names.join(", ")))
                    .await?;
                Ok(StepEnd::success(format!("added {count} jobs")))
            }
            Err(HostError::Refused { reason }) => {
                ctx.errors(&self.log, &format!("{file}: {reason}\n")).await?;
                Ok(failure("no jobs added: the run refuses them".into()))
            }
            Err(other) => Err(other.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use ironmaster_model::StepDef;
    use serde_json::json;

    use super::*;
    use crate::fake_host::FakeHost;

    async fn run(file: &str, content: &[u8], refuses: Option<&'static str>) -> (StepEnd, FakeHost) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir_all(dir.path().join("b/build")).expect("the directory is ours");
        if !content.is_empty() {
            fs::write(dir.path().join("b/build").join(file), content).expect("the directory is ours");
        }
        let mut host = FakeHost::new(dir.path());
        host.refuses = refuses;
        let params = json!({ "file": file });
        let step = AddJobs::new(&StepDef {
            name: "add".into(),
            kind: "add_jobs".into(),
            params: params.as_object().expect("an object").clone(),
            flags: StepFlags::default(),
            logs: vec!["stdio".into()],
            locks: Vec::new(),
        });
        let end = step
            .run(&mut StepContext::new(&mut host))
            .await
            .expect("the step ends by itself");
        (end, host)
    }

    #[tokio::test]
    async fn jobs_are_read_and_added() {
        let text = br#"{"jobs": [{"name": "part", "builder": "b", "matrix": {"n": [1, 2]}}, {"name": "join", "needs": ["part"]}]}"#;
        let (end, host) = run("jobs.json", text, None).await;
        assert_eq!(end, StepEnd::success("added 2 jobs"));
        assert_eq!(host.added[1].needs, ["part"]);
        assert_eq!(host.logs["stdio"], "added 2 jobs: 'part', 'join'\n");
        let (end, host) = run("jobs.yaml", b"jobs: []", None).await;
        assert_eq!(end, StepEnd::success("no jobs to add"));
        assert!(host.added.is_empty());
    }

    #[tokio::test]
    async fn what_is_wrong_is_in_the_log() {
        let large = vec![b' '; JOBS_FILE_BYTES_MAX + 1];
        for (file, content, refuses, said) in [
            ("jobs.json", &b""[..], None, "jobs.json cannot be read"),
            ("jobs.json", &large[..], None, "more than the limit"),
            ("jobs.json", b"\xff", None, "not UTF-8"),
            (
                "jobs.yaml",
                b"jobs:\n- name: a\n  bilder: b\n",
                None,
                "jobs.yaml:3:3",
            ),
            (
                "jobs.toml",
                b"[[job]]\nname = \"a\"\n",
                Some("`needs` names `y`, and there is no such job"),
                "jobs.toml: `needs` names `y`",
            ),
        ] {
            let (end, host) = run(file, content, refuses).await;
            assert_eq!(end.results, Results::Failure, "{said}");
            assert!(host.logs["stdio"].contains(said), "{said}: {:?}", host.logs);
            assert!(host.added.is_empty(), "{said}");
        }
    }
}
