//! Programs: `shell`, and those that remove and copy folders.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf, pin::pin, time::Duration};

use ironmaster_buildbot::{Argument, CommandLine, EnvValue, FailureReason, LogFile, Shell, TimeLimits};
use ironmaster_wire::{Outcome, TimeoutKind};
use rustix::process::Signal;
use tokio::process::Command;

use super::report::Report;
use crate::{
    exec,
    program::{Gentle, Limits, Owner as _, Program},
    tail::{Tail, Tails, Where},
};

/// How long a program may take to end after the signal that the master chose, if that is not SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// How often log files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// How a program ended, for the master.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) code: i64,
    pub(super) reason: Option<FailureReason>,
}

/// Runs what `shell` says. The error is why it cannot be run at all.
pub(super) async fn shell(report: &Report, shell: Shell) -> Result<Ended, String> {
    let workdir = PathBuf::from(&shell.workdir);
    let mut environment: BTreeMap<String, String> = own_environment();
    change(&mut environment, &shell.env);
    environment.insert("PWD".into(), shell.workdir.clone());
    let ending = ending(&shell)?;
    let (mut command, shown, argv) = match &shell.command {
        CommandLine::Line(line) => {
            let mut command = Command::new("/bin/sh");
            command.arg("-c").arg(line);
            (command, line.clone(), bytes_literal(line))
        }
        CommandLine::Argv(arguments) => {
            let (program, rest) = arguments.split_first().ok_or("the command names no program")?;
            let mut command = Command::new(real(program));
            command.args(rest.iter().map(real));
            let shown: Vec<&str> = arguments.iter().map(shown).collect();
            let quoted: Vec<String> = shown.iter().map(|argument| quote(argument)).collect();
            let literals: Vec<String> = shown.iter().map(|argument| bytes_literal(argument)).collect();
            (command, quoted.join(" "), format!("[{}]", literals.join(", ")))
        }
    };
    // The programs of a command are looked for where the command looks.
    command.env_clear().envs(&environment);
    let terminal = shell.use_pty && shell.initial_stdin.is_none();
    let files: Vec<String> = shell
        .logfiles
        .iter()
        .map(|(name, file)| {
            let filename = literal(&file.filename);
            let value = if file.follow {
                format!("{{'filename': {filename}, 'follow': True}}")
            } else {
                filename
            };
            format!("{}: {value}", literal(name))
        })
        .collect();
    let mut text = String::new();
    if shell.use_pty && !terminal {
        text += "no terminal, because there is text for the standard input\n";
    }
    text += &Head {
        shown,
        place: place(&shell.workdir, shell.timeout, shell.max_time),
        files: files.join(", "),
        argv,
        environment: shell.log_environ.then_some(&environment),
        input: shell.initial_stdin.as_deref(),
        terminal,
    }
    .text();
    report.header(&text);
    report.name_files(shell.logfiles.keys().cloned().collect());
    let tail = |file: &LogFile| Tail::new(Where::Anywhere(workdir.join(&file.filename)), file.follow);
    // The number of a file is a byte.
    let tails = shell.logfiles.values().take(256).map(tail).collect();
    let program = Program {
        command,
        workdir,
        stdin: shell.initial_stdin,
        terminal,
        log_env: false,
        tails: Tails::new(tails, LOOK),
        limits: Limits {
            silence: duration(shell.timeout),
            total: duration(shell.max_time),
            max_output: None,
            ending,
        },
    };
    let outcome = run(report, program).await;
    Ok(judge(report, outcome))
}

/// Runs a program that does something with files, in this folder.
pub(super) async fn helper(report: &Report, argv: &[&str], folder: &str, limits: &TimeLimits) -> Ended {
    let mut command = Command::new(argv[0]);
    command.args(&argv[1..]);
    let quoted: Vec<String> = argv.iter().map(|argument| quote(argument)).collect();
    let literals: Vec<String> = argv.iter().map(|argument| bytes_literal(argument)).collect();
    let head = Head {
        shown: quoted.join(" "),
        place: place(folder, limits.timeout, limits.max_time),
        files: String::new(),
        argv: format!("[{}]", literals.join(", ")),
        environment: limits.log_environ.then(own_environment).as_ref(),
        input: None,
        terminal: false,
    }
    .text();
    report.header(&head);
    let program = Program {
        command,
        workdir: folder.into(),
        stdin: None,
        terminal: false,
        log_env: false,
        tails: Tails::none(),
        limits: Limits {
            silence: duration(limits.timeout),
            total: duration(limits.max_time),
            ..Limits::default()
        },
    };
    let outcome = run(report, program).await;
    judge(report, outcome)
}

/// What people see of a program before it runs.
struct Head<'a> {
    shown: String,
    place: String,
    files: String,
    argv: String,
    environment: Option<&'a BTreeMap<String, String>>,
    input: Option<&'a str>,
    terminal: bool,
}

impl Head<'_> {
    fn text(&self) -> String {
        let mut text = format!(
            "{}\n{} watching logfiles {{{}}}\n argv: {}\n",
            self.shown, self.place, self.files, self.argv
        );
        if let Some(environment) = self.environment {
            text += " environment:\n";
            for (name, value) in environment {
                let _ = writeln!(text, "  {name}={value}");
            }
        }
        if let Some(input) = self.input {
            let _ = writeln!(text, " writing {} bytes to stdin", input.len());
        }
        let _ = writeln!(
            text,
            " using PTY: {}",
            if self.terminal { "True" } else { "False" }
        );
        text
    }
}

async fn run(report: &Report, program: Program) -> Outcome {
    let mut run = pin!(exec::run(report, program));
    let outcome = loop {
        tokio::select! {
            outcome = &mut run => break outcome,
            () = report.flush_due() => report.flush(),
        }
    };
    report.end_lines();
    outcome
}

fn judge(report: &Report, outcome: Outcome) -> Ended {
    let mut reason = None;
    let code = match outcome {
        Outcome::Exit { code } if !report.running.is_interrupted() => i64::from(code),
        Outcome::Signal { signal } => {
            report.header(&format!("process killed by signal {signal}\n"));
            -1
        }
        Outcome::Timeout { kind, .. } => {
            reason = Some(match kind {
                TimeoutKind::Silence => FailureReason::Silent,
                TimeoutKind::Total => FailureReason::Slow,
            });
            report.code_of_ended()
        }
        Outcome::OutputLimit => {
            if report.has_exceeded() {
                reason = Some(FailureReason::ManyLines);
            }
            -1
        }
        Outcome::StartFailed { message } => {
            report.complain(&message);
            1
        }
        Outcome::Failed { message, .. } => {
            report.complain(&message);
            -1
        }
        _ => report.code_of_ended(),
    };
    Ended { code, reason }
}

/// How it is asked to end before it is killed: SIGTERM with the time that goes with it, then the signal that was chosen.
fn ending(shell: &Shell) -> Result<Vec<Gentle>, String> {
    let mut ending = Vec::new();
    if let Some(grace) = duration(shell.sigterm_time) {
        ending.push(Gentle {
            signal: Signal::TERM,
            name: "TERM".into(),
            grace,
        });
    }
    let name = shell.interrupt_signal.as_deref().unwrap_or("KILL");
    let name = name.strip_prefix("SIG").unwrap_or(name);
    let signal = signal(name)
        .ok_or_else(|| format!("interruptSignal is {name:?}, which is no signal that this worker knows"))?;
    if signal != Signal::KILL {
        ending.push(Gentle {
            signal,
            name: name.into(),
            grace: GRACE,
        });
    }
    Ok(ending)
}

fn signal(name: &str) -> Option<Signal> {
    Some(match name {
        "ABRT" => Signal::ABORT,
        "ALRM" => Signal::ALARM,
        "CONT" => Signal::CONT,
        "HUP" => Signal::HUP,
        "INT" => Signal::INT,
        "KILL" => Signal::KILL,
        "PIPE" => Signal::PIPE,
        "QUIT" => Signal::QUIT,
        "STOP" => Signal::STOP,
        "TERM" => Signal::TERM,
        "TSTP" => Signal::TSTP,
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        "WINCH" => Signal::WINCH,
        _ => return None,
    })
}

pub(super) fn duration(seconds: Option<f64>) -> Option<Duration> {
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

/// This process's environment, without what is its own business.
pub(super) fn own_environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name != crate::TOKEN_VARIABLE)
        .collect()
}

fn change(environment: &mut BTreeMap<String, String>, changes: &BTreeMap<String, EnvValue>) {
    let own = environment.clone();
    for (name, value) in changes {
        // The system has no words for such a name.
        if name.is_empty() || name.contains(['=', '\0']) {
            continue;
        }
        let mut value = match value {
            EnvValue::Unset => {
                environment.remove(name);
                continue;
            }
            EnvValue::Text(text) => expand(text, &own),
            EnvValue::Paths(paths) => expand(&paths.join(":"), &own),
        };
        if name == "PYTHONPATH" {
            value.push(':');
            value.push_str(own.get(name).map_or("", String::as_str));
        }
        environment.insert(name.clone(), value.replace('\0', ""));
    }
}

/// Replaces every `${NAME}`.
fn expand(text: &str, own: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let after = &rest[at + 2..];
        let end = after
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .filter(|end| after[*end..].starts_with('}'));
        let Some(end) = end else {
            out.push_str(&rest[..at + 2]);
            rest = after;
            continue;
        };
        out.push_str(&rest[..at]);
        out.push_str(own.get(&after[..end]).map_or("", String::as_str));
        rest = &after[end + 1..];
    }
    out + rest
}

fn place(workdir: &str, timeout: Option<f64>, max_time: Option<f64>) -> String {
    let mut text = format!(" in dir {workdir}");
    for (name, limit) in [("timeout", timeout), ("maxTime", max_time)] {
        if let Some(limit) = limit {
            let limit = limit.to_string();
            let unit = if limit == "1" { "sec" } else { "secs" };
            let _ = write!(text, " ({name} {limit} {unit})");
        }
    }
    text + "\n"
}

fn real(argument: &Argument) -> &str {
    match argument {
        Argument::Plain(text) | Argument::Obfuscated { real: text, .. } => text,
    }
}

fn shown(argument: &Argument) -> &str {
    match argument {
        Argument::Plain(text) | Argument::Obfuscated { shown: text, .. } => text,
    }
}

/// An argument as people write it for a shell.
fn quote(argument: &str) -> String {
    if argument.is_empty() {
        return "\"\"".into();
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if argument.chars().all(plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', "'\"'\"'"))
    }
}

/// A byte string as Python writes it, which is what people know from these logs.
fn bytes_literal(text: &str) -> String {
    let mark = mark(text);
    let mut out = format!("b{mark}");
    for byte in text.bytes() {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x20..=0x7e => {
                if byte == mark as u8 {
                    out.push('\\');
                }
                out.push(byte as char);
            }
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push(mark);
    out
}

/// A text as Python writes it.
fn literal(text: &str) -> String {
    let mark = mark(text);
    let escaped = text.replace('\\', "\\\\").replace('\n', "\\n");
    let escaped = escaped.replace(mark, &format!("\\{mark}"));
    format!("{mark}{escaped}{mark}")
}

fn mark(text: &str) -> char {
    if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_the_worker_are_put_in() {
        let own = BTreeMap::from([("A".into(), "1".into()), ("PYTHONPATH".into(), "/own".into())]);
        for (text, expected) in [
            ("x${A}y${A}", "x1y1"),
            ("${B}|${}|$A|${A", "||$A|${A"),
            ("${A-B}${A}", "${A-B}1"),
            ("${é}${A}", "${é}1"),
            ("$${A}", "$1"),
        ] {
            assert_eq!(expand(text, &own), expected, "{text}");
        }
        let mut environment = own;
        let text = |text: &str| EnvValue::Text(text.into());
        let changes = BTreeMap::from([
            ("A".into(), EnvValue::Unset),
            (
                "P".into(),
                EnvValue::Paths(vec!["/a".into(), "${A}".into(), "/b".into()]),
            ),
            ("PYTHONPATH".into(), text("/new")),
            ("bad=name".into(), text("x")),
        ]);
        change(&mut environment, &changes);
        let expected = BTreeMap::from([
            ("P".to_owned(), "/a:1:/b".to_owned()),
            ("PYTHONPATH".into(), "/new:/own".into()),
        ]);
        assert_eq!(environment, expected);
    }

    #[test]
    fn arguments_are_written_as_people_know_them() {
        assert_eq!(quote("a-b/c.d"), "a-b/c.d");
        assert_eq!(quote(""), "\"\"");
        assert_eq!(quote("it's"), "'it'\"'\"'s'");
        assert_eq!(bytes_literal("é'\n"), "b\"\\xc3\\xa9'\\n\"");
        assert_eq!(bytes_literal("'\"\\"), "b'\\'\"\\\\'");
        assert_eq!(literal("a'b"), "\"a'b\"");
    }

    #[test]
    fn a_program_is_asked_to_end_as_the_master_wants_it() {
        let table: &[(Option<f64>, Option<&str>, &[&str])] = &[
            (None, None, &[]),
            (Some(3.0), None, &["TERM"]),
            (None, Some("INT"), &["INT"]),
            (Some(3.0), Some("SIGINT"), &["TERM", "INT"]),
        ];
        for (sigterm_time, interrupt_signal, expected) in table {
            let mut shell = Shell::new("/", CommandLine::Line("true".into()));
            shell.sigterm_time = *sigterm_time;
            shell.interrupt_signal = interrupt_signal.map(Into::into);
            let names: Vec<String> = ending(&shell)
                .expect("these are signals")
                .into_iter()
                .map(|gentle| gentle.name)
                .collect();
            assert_eq!(names, *expected);
        }
        let mut shell = Shell::new("/", CommandLine::Line("true".into()));
        shell.interrupt_signal = Some("NOPE".into());
        assert!(ending(&shell).is_err());
    }
}
