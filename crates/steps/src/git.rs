//! `git`: brings a checkout to what is to be built. All knowledge of Git is here, on the master; the worker
//! only runs the commands.
//!
//! One way serves every mode: a repository that is there or freshly made, a fetch if the revision is not there
//! yet, a forced detached checkout, and cleaning before it as the mode says.

use std::time::Duration;

use async_trait::async_trait;
use ironmaster_model::{FieldKind, FieldSpec, KindSpec, NewSourceStamp, Patch, Results, StepDef, StepFlags};
use ironmaster_wire::{MAX_PUT, Outcome, Put, Verb};
use serde_json::json;

use crate::{
    CommandDone, CommandResult, Output, Step, StepContext, StepEnd, StepError,
    params::{ParamError, Params},
    shell::{command_fields, displayed, exec, first_log, seconds},
};

/// Exit code of `git` for what it calls fatal, which is what network failures are.
const GIT_FATAL: i32 = 128;

/// The kind's description.
pub(crate) fn kind() -> KindSpec {
    let mut fields = vec![
        FieldSpec {
            name: "repository",
            kind: FieldKind::String,
            required: false,
            default: None,
            doc: "Where to fetch from: any URL or path that git on the worker understands. Without it the source stamp's repository.",
            example: "\"https://example.org/zlib.git\"",
        },
        FieldSpec {
            name: "branch",
            kind: FieldKind::String,
            required: false,
            default: None,
            doc: "Branch (or tag, or full ref) when the source stamp names none; without either, what the remote's HEAD points to.",
            example: "\"main\"",
        },
        FieldSpec {
            name: "codebase",
            kind: FieldKind::String,
            required: false,
            default: Some("\"\""),
            doc: "Codebase whose source stamp is checked out.",
            example: "\"kernel\"",
        },
        FieldSpec {
            name: "mode",
            kind: FieldKind::Choice(&["incremental", "full"]),
            required: false,
            default: Some("\"incremental\""),
            doc: "`incremental` keeps what earlier builds left behind, `full` begins clean.",
            example: "\"full\"",
        },
        FieldSpec {
            name: "method",
            kind: FieldKind::Choice(&["fresh", "clean", "clobber"]),
            required: false,
            default: Some("\"fresh\""),
            doc: "How `full` cleans: `fresh` removes all untracked files, `clean` keeps ignored ones, `clobber` removes everything and clones again.",
            example: "\"clobber\"",
        },
        FieldSpec {
            name: "depth",
            kind: FieldKind::Integer {
                min: 1,
                max: 1_000_000,
                unit: "commits",
            },
            required: false,
            default: None,
            doc: "Fetches only this many commits of history.",
            example: "1",
        },
        FieldSpec {
            name: "submodules",
            kind: FieldKind::Bool,
            required: false,
            default: Some("false"),
            doc: "Whether submodules are checked out too, recursively.",
            example: "true",
        },
        FieldSpec {
            name: "retries",
            kind: FieldKind::Integer {
                min: 0,
                max: 100,
                unit: "tries",
            },
            required: false,
            default: Some("3"),
            doc: "How often a fetch that fails is tried again.",
            example: "10",
        },
        FieldSpec {
            name: "retry_delay",
            kind: FieldKind::Duration,
            required: false,
            default: Some("\"10s\""),
            doc: "Time before the first of those tries; it doubles each time, up to five minutes.",
            example: "\"1m\"",
        },
    ];
    fields.extend(command_fields());
    KindSpec {
        name: "git",
        doc: "Checks out the source stamp's revision with Git, applies the source stamp's patch if there is one (of `try`, or of a form with `patch = true`), and sets the property `got_revision`.",
        fields,
        logs: &["stdio"],
        flags: StepFlags {
            halt_on_failure: true,
            ..StepFlags::default()
        },
        check: None,
    }
}

#[derive(Debug)]
pub(crate) struct Git {
    params: Params,
    log: String,
}

/// Which part of a checkout failed, with the outcome of the command.
enum Failure {
    /// The remote could not be read.
    Remote(Outcome),
    /// The checkout on the worker is at fault.
    Local(Outcome),
}

/// What is to be checked out, and where.
struct Target {
    repository: String,
    branch: Option<String>,
    revision: Option<String>,
    workdir: String,
}

impl Git {
    pub(crate) fn new(definition: &StepDef) -> Self {
        Self {
            params: Params::of(definition),
            log: first_log(definition),
        }
    }

    fn target(&self, ctx: &StepContext<'_>) -> Result<(Target, NewSourceStamp), StepError> {
        let env = ctx.environment();
        let codebase = self.params.text("codebase", env)?.unwrap_or_default();
        let stamp = env
            .stamps
            .iter()
            .find(|stamp| stamp.codebase == codebase)
            .cloned()
            .unwrap_or_default();
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let repository = given(self.params.text("repository", env)?)
            .or_else(|| given(Some(stamp.repository.clone())))
            .ok_or_else(|| ParamError {
                name: "repository".into(),
                reason: "is not given, and the source stamp names no repository either".into(),
            })?;
        let branch = given(stamp.branch.clone()).or(given(self.params.text("branch", env)?));
        let revision = given(stamp.revision.clone());
        for (name, value) in [("branch", &branch), ("revision", &revision)] {
            // Git would read it as an option.
            if value.as_deref().is_some_and(|value| value.starts_with('-')) {
                return Err(ParamError {
                    name: name.into(),
                    reason: "must not begin with '-'".into(),
                }
                .into());
            }
        }
        let workdir = self
            .params
            .text("workdir", env)?
            .unwrap_or_else(|| "build".into());
        Ok((
            Target {
                repository,
                branch,
                revision,
                workdir,
            },
            stamp,
        ))
    }

    /// Runs one git command, logged like a shell command.
    async fn git(
        &self,
        ctx: &mut StepContext<'_>,
        workdir: &str,
        args: &[&str],
        output: Output,
    ) -> Result<CommandDone, StepError> {
        let argv: Vec<String> = std::iter::once("git")
            .chain(args.iter().copied())
            .map(String::from)
            .collect();
        ctx.header(
            &self.log,
            &format!("$ {}", displayed(&crate::params::Command::Argv(argv.clone()))),
        )
        .await?;
        let mut exec = exec(ctx, &self.params, argv, workdir)?;
        // A question for a password would wait for ever.
        exec.env
            .entry("GIT_TERMINAL_PROMPT".into())
            .or_insert_with(|| Some("0".into()));
        let done = ctx.command(Verb::Exec(exec), output).await?;
        let result = CommandResult::read(&done.outcome, &[])?;
        if result.results != Results::Success {
            ctx.header(
                &self.log,
                &format!("{} after {}", result.line, seconds(done.duration_ms)),
            )
            .await?;
        }
        Ok(done)
    }

    async fn logged(
        &self,
        ctx: &mut StepContext<'_>,
        workdir: &str,
        args: &[&str],
    ) -> Result<Outcome, StepError> {
        Ok(self
            .git(ctx, workdir, args, Output::Log(self.log.clone()))
            .await?
            .outcome)
    }

    async fn remove(&self, ctx: &mut StepContext<'_>, path: String) -> Result<(), StepError> {
        let done = ctx
            .command(Verb::Remove { path }, Output::Log(self.log.clone()))
            .await?;
        let result = CommandResult::read(&done.outcome, &[])?;
        if result.results != Results::Success {
            ctx.header(&self.log, &result.line).await?;
        }
        Ok(())
    }

    /// Whether the checkout is a repository already.
    async fn is_repository(&self, ctx: &mut StepContext<'_>, workdir: &str) -> Result<bool, StepError> {
        let path = format!("{}/.git", ctx.path(workdir));
        let done = ctx
            .command(Verb::Stat { path }, Output::Log(self.log.clone()))
            .await?;
        Ok(matches!(done.outcome, Outcome::Value { .. }))
    }

    /// Fetches with retries. What was fetched is `FETCH_HEAD`.
    async fn fetch(
        &self,
        ctx: &mut StepContext<'_>,
        target: &Target,
        refspec: &str,
        depth: Option<&str>,
    ) -> Result<Outcome, StepError> {
        let mut args = vec!["fetch", "--force", "--no-tags"];
        if let Some(depth) = depth {
            args.extend(["--depth", depth]);
        }
        args.extend(["--", &target.repository, refspec]);
        let retries = self.params.integer("retries", 3);
        let mut delay = self
            .params
            .duration("retry_delay")
            .unwrap_or(Duration::from_secs(10));
        for attempt in 0.. {
            let outcome = self.logged(ctx, &target.workdir, &args).await?;
            if outcome != (Outcome::Exit { code: GIT_FATAL }) || attempt >= retries {
                return Ok(outcome);
            }
            ctx.header(
                &self.log,
                &format!(
                    "fetching again in {} s ({} of {retries})",
                    delay.as_secs_f64(),
                    attempt + 1
                ),
            )
            .await?;
            ctx.pause(delay).await?;
            delay = (delay * 2).min(Duration::from_mins(5));
        }
        unreachable!("the loop above ends by returning")
    }

    /// Brings the target's commit into the repository; returns what to check out.
    async fn obtain(
        &self,
        ctx: &mut StepContext<'_>,
        target: &Target,
    ) -> Result<Result<String, Failure>, StepError> {
        let depth = self.params.integer("depth", 0);
        let depth = (depth > 0).then(|| depth.to_string());
        let branch_refspec = target.branch.clone().unwrap_or_else(|| "HEAD".into());
        let Some(revision) = &target.revision else {
            let outcome = self.fetch(ctx, target, &branch_refspec, depth.as_deref()).await?;
            return self.fetched(ctx, target, outcome, "FETCH_HEAD").await;
        };
        let commit = format!("{revision}^{{commit}}");
        let present = ["cat-file", "-e", &commit];
        if succeeded(&self.quiet(ctx, target, &present).await?) {
            return Ok(Ok(revision.clone()));
        }
        let outcome = self.fetch(ctx, target, &branch_refspec, depth.as_deref()).await?;
        if succeeded(&outcome) && succeeded(&self.quiet(ctx, target, &present).await?) {
            return Ok(Ok(revision.clone()));
        }
        // Not on that branch (any more), or beyond the depth: ask for the commit itself, then for everything.
        ctx.header(
            &self.log,
            &format!("revision {revision} is not in what was fetched; asking for it by name"),
        )
        .await?;
        let by_name = [
            "fetch",
            "--force",
            "--no-tags",
            "--",
            &target.repository,
            revision,
        ];
        if succeeded(&self.logged(ctx, &target.workdir, &by_name).await?) {
            return Ok(Ok("FETCH_HEAD".into()));
        }
        let outcome = self
            .fetch(ctx, target, "+refs/heads/*:refs/remotes/origin/*", None)
            .await?;
        if succeeded(&outcome) && !succeeded(&self.quiet(ctx, target, &present).await?) {
            ctx.header(
                &self.log,
                &format!("{} has no revision {revision}", target.repository),
            )
            .await?;
            return Ok(Err(Failure::Remote(Outcome::Exit { code: GIT_FATAL })));
        }
        self.fetched(ctx, target, outcome, revision).await
    }

    /// After a fetch: what to check out, or whose fault the failure is.
    async fn fetched(
        &self,
        ctx: &mut StepContext<'_>,
        target: &Target,
        outcome: Outcome,
        commit: &str,
    ) -> Result<Result<String, Failure>, StepError> {
        if succeeded(&outcome) {
            return Ok(Ok(commit.to_owned()));
        }
        let remote = self
            .quiet(
                ctx,
                target,
                &["ls-remote", "--exit-code", "--", &target.repository, "HEAD"],
            )
            .await?;
        Ok(Err(if succeeded(&remote) && target.branch.is_none() {
            Failure::Local(outcome)
        } else {
            Failure::Remote(outcome)
        }))
    }

    /// A command whose failure is an answer, not a problem: its output stays out of the log.
    async fn quiet(
        &self,
        ctx: &mut StepContext<'_>,
        target: &Target,
        args: &[&str],
    ) -> Result<Outcome, StepError> {
        let argv: Vec<String> = std::iter::once("git")
            .chain(args.iter().copied())
            .map(String::from)
            .collect();
        let exec = exec(ctx, &self.params, argv, &target.workdir)?;
        Ok(ctx
            .command(Verb::Exec(exec), Output::Capture(64 * 1024))
            .await?
            .outcome)
    }

    /// One try at the whole checkout.
    async fn check_out(
        &self,
        ctx: &mut StepContext<'_>,
        target: &Target,
        clobber: bool,
    ) -> Result<Result<(), Failure>, StepError> {
        let full = self.params.word("mode") == Some("full");
        let fresh = clobber || !self.is_repository(ctx, &target.workdir).await?;
        if fresh {
            ctx.header(&self.log, &format!("cloning {} anew", target.repository))
                .await?;
            self.remove(ctx, ctx.path(&target.workdir)).await?;
            let outcome = self.logged(ctx, &target.workdir, &["init", "--quiet"]).await?;
            if !succeeded(&outcome) {
                return Ok(Err(Failure::Local(outcome)));
            }
        } else {
            // The directory is this build's alone: a lock in it was left by a process that is no more.
            self.remove(ctx, format!("{}/.git/index.lock", ctx.path(&target.workdir)))
                .await?;
            if full {
                let clean = if self.params.word("method") == Some("clean") {
                    "-dff"
                } else {
                    "-dffx"
                };
                let outcome = self.logged(ctx, &target.workdir, &["clean", clean]).await?;
                if !succeeded(&outcome) {
                    return Ok(Err(Failure::Local(outcome)));
                }
            }
        }
        let commit = match self.obtain(ctx, target).await? {
            Ok(commit) => commit,
            Err(failure) => return Ok(Err(failure)),
        };
        let mut commands = vec![vec![
            "-c",
            "advice.detachedHead=false",
            "checkout",
            "--force",
            "--detach",
            &commit,
            "--",
        ]];
        if self.params.bool("submodules", false) {
            commands.push(vec!["submodule", "sync", "--recursive"]);
            commands.push(vec!["submodule", "update", "--init", "--recursive", "--force"]);
        }
        for command in commands {
            let outcome = self.logged(ctx, &target.workdir, &command).await?;
            if !succeeded(&outcome) {
                return Ok(Err(Failure::Local(outcome)));
            }
        }
        Ok(Ok(()))
    }

    /// Applies the source stamp's patch.
    async fn apply_patch(
        &self,
        ctx: &mut StepContext<'_>,
        target: &Target,
        patch: &Patch,
    ) -> Result<Outcome, StepError> {
        let path = format!("{}/.git/ironmaster.patch", ctx.path(&target.workdir));
        let mut offset = 0;
        for piece in patch.body.as_bytes().chunks(MAX_PUT) {
            let put = Put {
                path: path.clone(),
                mode: 0o600,
                offset,
                content: piece.to_vec(),
            };
            let done = ctx.command(Verb::Put(put), Output::Log(self.log.clone())).await?;
            if !succeeded(&done.outcome) {
                return Ok(done.outcome);
            }
            offset += piece.len() as u64;
        }
        let level = format!("-p{}", patch.level);
        let directory = format!("--directory={}", patch.subdir.trim_matches('/'));
        let mut args = vec!["apply", "--index", &level];
        if directory != "--directory=" && directory != "--directory=." {
            args.push(&directory);
        }
        args.push(".git/ironmaster.patch");
        self.logged(ctx, &target.workdir, &args).await
    }
}

fn succeeded(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Exit { code: 0 } | Outcome::Value { .. })
}

#[async_trait]
impl Step for Git {
    async fn run(&self, ctx: &mut StepContext<'_>) -> Result<StepEnd, StepError> {
        let (target, stamp) = self.target(ctx)?;
        let full = self.params.word("mode") == Some("full");
        let clobber = full && self.params.word("method") == Some("clobber");
        ctx.set_state(&format!(
            "updating to {}",
            target
                .revision
                .as_deref()
                .or(target.branch.as_deref())
                .unwrap_or("HEAD")
        ))
        .await?;
        let mut checked_out = self.check_out(ctx, &target, clobber).await?;
        if !clobber && matches!(checked_out, Err(Failure::Local(_))) {
            ctx.header(
                &self.log,
                "the checkout may be damaged; trying once more from nothing",
            )
            .await?;
            checked_out = self.check_out(ctx, &target, true).await?;
        }
        if checked_out.is_ok()
            && let Some(patch) = &stamp.patch
        {
            let outcome = self.apply_patch(ctx, &target, patch).await?;
            if !succeeded(&outcome) {
                checked_out = Err(Failure::Local(outcome));
            }
        }
        if let Err(Failure::Local(outcome) | Failure::Remote(outcome)) = checked_out {
            let result = CommandResult::read(&outcome, &[])?;
            return Ok(StepEnd {
                results: Results::Failure,
                cause: result.cause,
                summary: "checkout failed".into(),
            });
        }
        let done = self
            .git(
                ctx,
                &target.workdir,
                &["rev-parse", "HEAD"],
                Output::Both(self.log.clone(), 4096),
            )
            .await?;
        let revision = String::from_utf8_lossy(&done.captured).trim().to_owned();
        if stamp.codebase.is_empty() {
            ctx.set_property("got_revision", revision.clone(), "Git")?;
        } else {
            let mut all = ctx
                .environment()
                .properties
                .get("got_revision")
                .cloned()
                .unwrap_or_else(|| json!({}));
            if let Some(all) = all.as_object_mut() {
                all.insert(stamp.codebase.clone(), revision.clone().into());
            }
            ctx.set_property("got_revision", all, "Git")?;
        }
        Ok(StepEnd::success(format!(
            "update {}",
            revision.get(..12).unwrap_or(&revision)
        )))
    }
}

#[cfg(test)]
mod tests;
