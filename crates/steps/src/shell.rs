//! `shell`: runs a program.

use async_trait::async_trait;
use ironmaster_model::{FieldKind, FieldSpec, KindSpec, StepDef, StepFlags};
use ironmaster_wire::{Exec, LogFile, Verb};
use serde_json::{Map, Value};

use crate::{
    CommandResult, Output, Step, StepContext, StepEnd, StepError,
    params::{Command, Params},
};

/// Fields that every step with commands has.
pub(crate) fn command_fields() -> Vec<FieldSpec> {
    vec![
        FieldSpec {
            name: "workdir",
            kind: FieldKind::String,
            required: false,
            default: Some("\"build\""),
            doc: "Directory to run in, below the builder's directory on the worker; made if missing.",
            example: "\"build/docs\"",
        },
        FieldSpec {
            name: "env",
            kind: FieldKind::Env,
            required: false,
            default: None,
            doc: "Environment variables on top of the builder's and the worker's; `false` unsets one.",
            example: "{ CC = \"clang\", LANG = false }",
        },
        FieldSpec {
            name: "timeout",
            kind: FieldKind::Duration,
            required: false,
            default: Some("\"20m\""),
            doc: "Ends the command when it prints nothing for longer than this; 0 = never.",
            example: "\"1h\"",
        },
        FieldSpec {
            name: "max_time",
            kind: FieldKind::Duration,
            required: false,
            default: None,
            doc: "Ends the command when it runs for longer than this.",
            example: "\"6h\"",
        },
        FieldSpec {
            name: "interrupt_signal",
            kind: FieldKind::Choice(&["INT", "TERM", "KILL"]),
            required: false,
            default: Some("\"TERM\""),
            doc: "Signal that asks the command's process group to end.",
            example: "\"INT\"",
        },
        FieldSpec {
            name: "grace",
            kind: FieldKind::Duration,
            required: false,
            default: Some("\"10s\""),
            doc: "How long the process group may take to end after that signal before it is killed.",
            example: "\"1m\"",
        },
    ]
}

/// The kind's description.
pub(crate) fn kind() -> KindSpec {
    let mut fields = vec![FieldSpec {
        name: "command",
        kind: FieldKind::Command,
        required: true,
        default: None,
        doc: "What to run: a list is program and arguments, a text goes to the shell (`/bin/sh -c`, on Windows `cmd /c`).",
        example: "[\"make\", \"-j4\", \"check\"]",
    }];
    fields.extend(command_fields());
    fields.extend([
        FieldSpec {
            name: "warn_codes",
            kind: FieldKind::StringList,
            required: false,
            default: None,
            doc: "Exit codes that mean warnings rather than failure.",
            example: "[\"77\"]",
        },
        FieldSpec {
            name: "stdin",
            kind: FieldKind::String,
            required: false,
            default: None,
            doc: "Text for the command's standard input; without it the input is empty.",
            example: "\"yes\\n\"",
        },
        FieldSpec {
            name: "max_output",
            kind: FieldKind::Integer {
                min: 1,
                max: 1 << 50,
                unit: "bytes",
            },
            required: false,
            default: None,
            doc: "Ends the command when it prints more bytes than this; those of its log files count, too.",
            example: "1000000000",
        },
        FieldSpec {
            name: "log_files",
            kind: FieldKind::LogFiles,
            required: false,
            default: None,
            doc: "Files that the command writes, by the names of the logs that they become; shown while it runs. Paths are relative to `workdir`. With `follow` only what is added after the command's start.",
            example: "{ \"test.log\" = \"out/test.log\", server = { path = \"server.log\", follow = true } }",
        },
        FieldSpec {
            name: "pty",
            kind: FieldKind::Bool,
            required: false,
            default: Some("false"),
            doc: "Whether the command gets a terminal, for programs that want one. Its standard error is standard output then.",
            example: "true",
        },
    ]);
    KindSpec {
        name: "shell",
        doc: "Runs a program on the worker. Exit code 0 is success, any other failure.",
        fields,
        logs: &["stdio"],
        flags: StepFlags::default(),
        check: Some(check),
    }
}

fn check(params: &Map<String, Value>) -> Vec<(String, String)> {
    if params.get("pty") == Some(&Value::Bool(true)) && params.contains_key("stdin") {
        let message =
            "a command with a terminal cannot have text for its standard input: leave `pty` or `stdin` out";
        return vec![("pty".to_owned(), message.to_owned())];
    }
    Vec::new()
}

/// What the command fields say, ready to be run.
pub(crate) fn exec(
    ctx: &StepContext<'_>,
    params: &Params,
    argv: Vec<String>,
    workdir: &str,
) -> Result<Exec, StepError> {
    let timeout = if params.integer("timeout", 1) == 0 {
        None
    } else {
        Some(
            params
                .duration("timeout")
                .unwrap_or(std::time::Duration::from_mins(20)),
        )
    };
    let grace = params
        .duration("grace")
        .unwrap_or(std::time::Duration::from_secs(10));
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Ok(Exec {
        argv,
        workdir: ctx.path(workdir),
        env: params.env(ctx.environment())?,
        timeout_silence_ms: timeout.map(millis),
        timeout_total_ms: params.duration("max_time").map(millis),
        interrupt_signal: params.word("interrupt_signal").unwrap_or("TERM").to_owned(),
        grace_ms: millis(grace),
        ..Exec::default()
    })
}

/// Program and arguments for a command.
pub(crate) fn argv(ctx: &StepContext<'_>, command: Command) -> Vec<String> {
    match command {
        Command::Argv(argv) => argv,
        Command::Shell(text) if ctx.on_windows() => vec!["cmd.exe".into(), "/c".into(), text],
        Command::Shell(text) => vec!["/bin/sh".into(), "-c".into(), text],
    }
}

/// A command as people would type it.
pub(crate) fn displayed(command: &Command) -> String {
    match command {
        Command::Shell(text) => text.clone(),
        Command::Argv(argv) => argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// A command in the words of a summary: its first few words.
pub(crate) fn summarised(text: &str) -> String {
    const WORDS_MAX: usize = 3;
    let words: Vec<&str> = text.split_whitespace().take(WORDS_MAX + 1).collect();
    let mut summary = words[..words.len().min(WORDS_MAX)].join(" ");
    if words.len() > WORDS_MAX {
        summary.push_str(" ...");
    }
    if summary.chars().count() > 60 {
        summary = summary.chars().take(57).chain("...".chars()).collect();
    }
    summary
}

/// Seconds for people, from milliseconds.
pub(crate) fn seconds(duration_ms: u64) -> String {
    format!("{}.{:03} s", duration_ms / 1000, duration_ms % 1000)
}

#[derive(Debug)]
pub(crate) struct Shell {
    params: Params,
    log: String,
}

impl Shell {
    pub(crate) fn new(definition: &StepDef) -> Self {
        Self {
            params: Params::of(definition),
            log: first_log(definition),
        }
    }

    /// The files that become logs, with their paths below the worker's base directory.
    fn log_files(&self, ctx: &StepContext<'_>, workdir: &str) -> Result<Vec<LogFile>, StepError> {
        let workdir = workdir.trim_end_matches('/');
        self.params
            .log_files("log_files", ctx.environment())?
            .into_iter()
            .map(|file| {
                Ok(LogFile {
                    path: ctx.path(&format!("{workdir}/{}", file.path)),
                    ..file
                })
            })
            .collect()
    }
}

pub(crate) fn first_log(definition: &StepDef) -> String {
    definition.logs.first().cloned().unwrap_or_else(|| "stdio".into())
}

#[async_trait]
impl Step for Shell {
    async fn run(&self, ctx: &mut StepContext<'_>) -> Result<StepEnd, StepError> {
        let command = self.params.command("command", ctx.environment())?;
        let workdir = self
            .params
            .text("workdir", ctx.environment())?
            .unwrap_or_else(|| "build".into());
        let shown = displayed(&command);
        let argv = argv(ctx, command);
        let mut exec = exec(ctx, &self.params, argv, &workdir)?;
        exec.initial_stdin = self.params.text("stdin", ctx.environment())?;
        exec.max_output_bytes = u64::try_from(self.params.integer("max_output", 0))
            .ok()
            .filter(|bytes| *bytes > 0);
        exec.pty = self.params.bool("pty", false);
        exec.log_files = self.log_files(ctx, &workdir)?;
        ctx.header(&self.log, &format!("$ {shown}")).await?;
        ctx.header(&self.log, &format!("in {}", exec.workdir)).await?;
        let output = if exec.log_files.is_empty() {
            Output::Log(self.log.clone())
        } else {
            Output::Logs {
                log: self.log.clone(),
                files: exec.log_files.iter().map(|file| file.name.clone()).collect(),
            }
        };
        let done = ctx.command(Verb::Exec(exec), output).await?;
        let result = CommandResult::read(&done.outcome, &self.params.integers("warn_codes"))?;
        ctx.header(
            &self.log,
            &format!("{} after {}", result.line, seconds(done.duration_ms)),
        )
        .await?;
        Ok(StepEnd {
            results: result.results,
            cause: result.cause,
            summary: format!("'{}'", summarised(&shown)),
        })
    }
}

#[cfg(test)]
mod tests {
    use ironmaster_model::Results;
    use serde_json::json;

    use super::*;
    use crate::{StepHost as _, fake_host::FakeHost};

    #[test]
    fn commands_are_shown_as_typed() {
        for (argv, shown) in [
            (vec!["make", "-j4"], "make -j4"),
            (vec!["echo", "two words"], "echo 'two words'"),
            (vec!["echo", "it's", ""], "echo 'it'\\''s' ''"),
        ] {
            let argv = argv.into_iter().map(String::from).collect();
            assert_eq!(displayed(&Command::Argv(argv)), shown);
        }
    }

    fn definition(params: &Value) -> StepDef {
        StepDef {
            name: "x".into(),
            kind: "shell".into(),
            params: params.as_object().expect("a table").clone(),
            flags: StepFlags::default(),
            logs: vec!["stdio".into()],
            locks: Vec::new(),
        }
    }

    #[tokio::test]
    async fn log_files_are_seen_from_the_workdir() {
        let folder = tempfile::tempdir().unwrap();
        let mut host = FakeHost::new(folder.path());
        host.set_property("n", "7".into(), "test").unwrap();
        let step = Shell::new(&definition(&json!({
            "command": "echo out; mkdir sub; echo in > sub/7.log",
            "workdir": "some/dir/",
            "log_files": { "the log": { "path": "sub/%(prop:n)s.log", "follow": false } },
        })));
        let end = step.run(&mut StepContext::new(&mut host)).await.unwrap();
        assert_eq!(end.results, Results::Success);
        assert_eq!(host.logs["the log"], "in\n");
        assert!(host.logs["stdio"].contains("out\n"), "{:?}", host.logs);
    }

    #[tokio::test]
    async fn a_property_cannot_lead_a_log_file_astray() {
        let folder = tempfile::tempdir().unwrap();
        let mut host = FakeHost::new(folder.path());
        host.set_property("n", "../../etc".into(), "test").unwrap();
        let step = Shell::new(&definition(&json!({
            "command": "touch begun",
            "log_files": { "log": { "path": "%(prop:n)s/passwd", "follow": false } },
        })));
        let error = step.run(&mut StepContext::new(&mut host)).await.unwrap_err();
        let end = error.into_end("x");
        assert_eq!(end.results, Results::Exception);
        assert!(
            end.summary
                .contains("the path \"../../etc/passwd\" contains `..`"),
            "{}",
            end.summary
        );
        assert!(!folder.path().join("b").exists(), "nothing was run");
    }

    #[test]
    fn a_terminal_and_text_exclude_each_other() {
        let check = kind().check.expect("there is one");
        let wrong = |params: Value| check(params.as_object().expect("a table"));
        assert_eq!(wrong(json!({ "pty": true, "stdin": "y" }))[0].0, "pty");
        assert!(wrong(json!({ "pty": false, "stdin": "y" })).is_empty());
    }

    #[test]
    fn summaries_are_short() {
        assert_eq!(summarised("make -j4 check"), "make -j4 check");
        assert_eq!(summarised("make -j4 check  all"), "make -j4 check ...");
        assert_eq!(summarised(&"x".repeat(100)).chars().count(), 60);
    }
}
