//! What [`crate::exec`] runs, and for whom: a native session and one to a Buildbot master say it in words of their own.

use std::{
    future::Future,
    os::fd::{AsFd as _, OwnedFd},
    path::PathBuf,
    time::Duration,
};

use bytes::Bytes;
use ironmaster_wire::{Exec, MAX_LOG_FILES, Stream};
use rustix::{
    process::Signal,
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{OptionalActions, OutputModes, tcgetattr, tcsetattr},
};
use tokio::{net::unix::pipe, process::Command};

use crate::{
    exec::Cause,
    leftovers::Registry,
    paths::Basedir,
    tail::{Tail, Tails, Where},
};

/// How often log files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Who has a program run: takes what it prints, and says when it is to end.
pub(crate) trait Owner {
    /// Names the command in records and markers; no two that run have the same. It becomes the name of a file.
    fn label(&self) -> String;
    /// Where the command is recorded.
    fn registry(&self) -> &Registry;
    /// Takes output.
    fn push(&self, stream: Stream, data: Bytes);
    /// Whether the program has to wait before it may print more.
    fn is_full(&self) -> bool;
    /// Waits until it need not wait any more.
    fn room(&self) -> impl Future<Output = ()>;
    /// Waits until the command is to end.
    fn stop_asked(&self) -> impl Future<Output = Cause>;
    /// Hears of a log file that could not be read to the end, by its number, and why.
    fn unread(&self, _file: usize, _why: &str) {}
    /// Hears how the program itself ended, be it asked to or not; nothing if a signal ended it.
    fn exited(&self, _code: Option<i32>) {}
    /// Takes a remark of the worker about the command.
    fn header(&self, text: &str) {
        self.push(Stream::Header, Bytes::copy_from_slice(text.as_bytes()));
    }
}

/// A way to ask a program to end.
#[derive(Debug, Clone)]
pub(crate) struct Gentle {
    /// What it is sent.
    pub(crate) signal: Signal,
    /// The signal's name, without `SIG`.
    pub(crate) name: String,
    /// How long it may take then.
    pub(crate) grace: Duration,
}

/// A program and what it is allowed.
#[derive(Debug)]
pub(crate) struct Program {
    /// Program, arguments and changes to the environment.
    pub(crate) command: Command,
    /// Where it runs; made if it is missing.
    pub(crate) workdir: PathBuf,
    /// What it reads.
    pub(crate) stdin: Option<String>,
    /// Whether it gets a terminal.
    pub(crate) terminal: bool,
    /// Whether its environment is told first.
    pub(crate) log_env: bool,
    /// Files that are told as it writes them.
    pub(crate) tails: Tails,
    /// What it is allowed.
    pub(crate) limits: Limits,
}

/// When and how a program is ended.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    /// When it prints nothing for so long.
    pub(crate) silence: Option<Duration>,
    /// When it runs for so long.
    pub(crate) total: Option<Duration>,
    /// When it prints more bytes.
    pub(crate) max_output: Option<u64>,
    /// How it is asked to end, one way after another, before it is killed.
    pub(crate) ending: Vec<Gentle>,
}

impl Program {
    /// What a native master asks for. The error is a sentence for it.
    pub(crate) fn native(exec: Exec, base: &Basedir) -> Result<Self, String> {
        let signal = match exec.interrupt_signal.as_str() {
            "INT" => Signal::INT,
            "TERM" => Signal::TERM,
            "KILL" => Signal::KILL,
            other => {
                return Err(format!(
                    "interrupt_signal is {other:?}; it must be INT, TERM or KILL"
                ));
            }
        };
        let Some((program, arguments)) = exec.argv.split_first() else {
            return Err("argv is empty; it must name a program".into());
        };
        if exec.pty && exec.initial_stdin.is_some() {
            return Err("a command with a terminal cannot have text for its standard input, too".into());
        }
        if exec.log_files.len() > MAX_LOG_FILES {
            return Err(format!("a command can have {MAX_LOG_FILES} log files at most"));
        }
        let mut tails = Vec::with_capacity(exec.log_files.len());
        for file in exec.log_files {
            base.lexical(&file.path)
                .map_err(|failure| format!("log file {:?}: {}", file.name, failure.message))?;
            tails.push(Tail::new(Where::Below(base.clone(), file.path), file.follow));
        }
        let workdir = base.lexical(&exec.workdir).map_err(|failure| failure.message)?;
        let mut command = Command::new(program);
        command.args(arguments);
        for (name, value) in &exec.env {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(format!("{name:?} cannot name an environment variable"));
            }
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let gentle = Gentle {
            signal,
            name: exec.interrupt_signal,
            grace: Duration::from_millis(exec.grace_ms),
        };
        Ok(Self {
            command,
            workdir,
            stdin: exec.initial_stdin,
            terminal: exec.pty,
            log_env: exec.log_env,
            tails: Tails::new(tails, LOOK),
            limits: Limits {
                silence: exec.timeout_silence_ms.map(Duration::from_millis),
                total: exec.timeout_total_ms.map(Duration::from_millis),
                max_output: exec.max_output_bytes,
                ending: if signal == Signal::KILL || gentle.grace.is_zero() {
                    Vec::new()
                } else {
                    vec![gentle]
                },
            },
        })
    }
}

/// A terminal for a program: the end that this process reads, and the program's.
pub(crate) fn terminal() -> std::io::Result<(pipe::Receiver, OwnedFd)> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let theirs = ioctl_tiocgptpeer(
        ours.as_fd(),
        OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
    )?;
    // Lines end as they do without a terminal.
    let mut modes = tcgetattr(&theirs)?;
    modes.output_modes.remove(OutputModes::ONLCR);
    tcsetattr(&theirs, OptionalActions::Now, &modes)?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    // It is read like a pipe, and like one it is at its end when nobody can write any more.
    Ok((pipe::Receiver::from_owned_fd_unchecked(ours)?, theirs))
}
