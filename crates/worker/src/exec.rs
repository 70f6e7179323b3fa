//! Running a program: its streams, its time limits, and the end of its whole process tree.

use std::{
    fmt::Write as _,
    io,
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use ironmaster_wire::{Ending, Exec, FailureKind, MAX_CHUNK, Outcome, Stream, TimeoutKind};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{ChildStderr, ChildStdout, Command},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    commands::{Context, Entry},
    procs::{self, MARKER},
    spawn,
};

/// How long output is awaited from processes that outlive the command's leader and hold its pipes.
const DRAIN: Duration = Duration::from_secs(2);
/// How long processes that the leader left behind may take to end by themselves.
const LINGER: Duration = Duration::from_millis(200);
/// How long killed processes may take to vanish before the command is declared over all the same.
const VANISH: Duration = Duration::from_secs(30);

/// Why a command is ended before its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The master asked for it: gently first.
    Interrupt(String),
    Timeout(TimeoutKind),
    OutputLimit,
    /// The lease ran out: at once, for another worker may be given the work.
    Lease,
    /// Nobody wants the command any more: at once.
    Drop,
    /// The worker stops: gently, but not for longer than this.
    Stop(Duration),
}

/// How far the ending of the process tree has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Free,
    /// The interrupt signal was sent.
    Asked {
        kill_at: Instant,
    },
    Killed,
}

/// Runs a program to its end; nothing of its process group is alive afterwards.
pub(crate) async fn run(entry: &Entry, exec: Exec, context: &Context) -> Outcome {
    let started = match start(entry, &exec, context) {
        Ok(started) => started,
        Err(message) => {
            context.remove_record(entry.id);
            return Outcome::StartFailed { message };
        }
    };
    let outcome = started.finish().await;
    context.remove_record(entry.id);
    outcome
}

fn start<'a>(entry: &'a Entry, exec: &'a Exec, context: &'a Context) -> Result<Running<'a>, String> {
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
    let workdir = context
        .base
        .lexical(&exec.workdir)
        .map_err(|failure| failure.message)?;
    std::fs::create_dir_all(&workdir)
        .map_err(|error| format!("cannot make the folder {}: {error}", workdir.display()))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(&workdir)
        .env_remove(crate::TOKEN_VARIABLE);
    for (name, value) in &exec.env {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(format!("{name:?} cannot name an environment variable"));
        }
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env(MARKER, context.marker(entry.id));
    command.stdin(if exec.initial_stdin.is_some() {
        Stdio::piped()
    } else {
        Stdio::null()
    });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if exec.log_env {
        entry.header(&environment(&command));
    }
    let record = context
        .registry
        .new_record(&entry.id.to_string())
        .map_err(|error| {
            format!(
                "cannot record the command in {}: {error}",
                context.base.state().display()
            )
        })?;
    let mut child = spawn::spawn(command, record)
        .map_err(|error| format!("cannot run {program:?} in {}: {error}", workdir.display()))?;
    let now = Instant::now();
    let group = child
        .id()
        .and_then(|pid| Pid::from_raw(pid as i32))
        .ok_or("the process has no number")?;
    let stdin = child
        .stdin
        .take()
        .zip(exec.initial_stdin.clone())
        .map(|(mut stdin, text)| {
            // A program that does not read its input to the end is within its rights.
            tokio::task::spawn_local(async move {
                let _ = stdin.write_all(text.as_bytes()).await;
            })
        });
    for pipe in [
        child.stdout.as_ref().map(rustix_fd),
        child.stderr.as_ref().map(rustix_fd),
    ]
    .into_iter()
    .flatten()
    {
        // Fewer, larger reads. An unprivileged user may be over a quota; then the usual size has to do.
        let _ = rustix::pipe::fcntl_setpipe_size(pipe, 4 * MAX_CHUNK);
    }
    Ok(Running {
        entry,
        exec,
        context,
        signal,
        group,
        stdout: Reader::new(child.stdout.take()),
        stderr: Reader::new(child.stderr.take()),
        child,
        stdin,
        started: now,
        last_output: now,
        printed: 0,
        cause: None,
        phase: Phase::Free,
        exited: None,
    })
}

fn rustix_fd(pipe: &impl std::os::fd::AsFd) -> std::os::fd::BorrowedFd<'_> {
    pipe.as_fd()
}

/// The environment that the command will see, for people.
fn environment(command: &Command) -> String {
    let mut variables: std::collections::BTreeMap<_, _> = std::env::vars_os().collect();
    for (name, value) in command.as_std().get_envs() {
        match value {
            Some(value) => variables.insert(name.to_owned(), value.to_owned()),
            None => variables.remove(name),
        };
    }
    let mut text = String::from("environment:\n");
    for (name, value) in variables {
        let _ = writeln!(text, " {}={}", name.to_string_lossy(), value.to_string_lossy());
    }
    text
}

/// One of the command's output pipes.
struct Reader<P> {
    pipe: Option<P>,
    buffer: BytesMut,
}

impl<P: AsyncRead + Unpin> Reader<P> {
    fn new(pipe: Option<P>) -> Self {
        Self {
            pipe,
            buffer: BytesMut::new(),
        }
    }

    /// What is there, without copying it; nothing at the end. Safe to cancel.
    async fn read(&mut self) -> Bytes {
        let Some(pipe) = &mut self.pipe else {
            return Bytes::new();
        };
        if self.buffer.capacity() < MAX_CHUNK / 4 {
            self.buffer.reserve(MAX_CHUNK);
        }
        if let Ok(1..) = pipe.read_buf(&mut self.buffer).await {
            return self.buffer.split().freeze();
        }
        // Its end; and a pipe that cannot be read has nothing more to say either.
        self.pipe = None;
        self.buffer = BytesMut::new();
        Bytes::new()
    }
}

struct Running<'a> {
    entry: &'a Entry,
    exec: &'a Exec,
    context: &'a Context,
    signal: Signal,
    group: Pid,
    child: tokio::process::Child,
    stdout: Reader<ChildStdout>,
    stderr: Reader<ChildStderr>,
    stdin: Option<JoinHandle<()>>,
    started: Instant,
    last_output: Instant,
    printed: u64,
    /// The first one is what the outcome tells.
    cause: Option<Cause>,
    phase: Phase,
    exited: Option<io::Result<ExitStatus>>,
}

impl Running<'_> {
    async fn finish(mut self) -> Outcome {
        let mut drain_until = None;
        loop {
            let open = self.stdout.pipe.is_some() || self.stderr.pipe.is_some();
            let dropped = matches!(self.cause, Some(Cause::Drop | Cause::Stop(_)));
            if self.exited.is_some() && (!open || dropped) {
                break;
            }
            // While the spool is full the program waits for us: that is neither silence nor an open end.
            let full = self.entry.is_full() && !dropped;
            if self.exited.is_some() && drain_until.is_none() {
                // What was asked to end has its grace, also after the leader has gone.
                drain_until = Some(match self.phase {
                    Phase::Asked { kill_at } => kill_at + DRAIN,
                    Phase::Free | Phase::Killed => Instant::now() + DRAIN,
                });
            }
            let deadline = self.deadline(full, drain_until.filter(|_| !full));
            tokio::select! {
                data = self.stdout.read(), if !full && self.stdout.pipe.is_some() => self.take(Stream::Stdout, data),
                data = self.stderr.read(), if !full && self.stderr.pipe.is_some() => self.take(Stream::Stderr, data),
                status = self.child.wait(), if self.exited.is_none() => self.exited = Some(status),
                cause = self.entry.stop_asked() => self.end(cause),
                () = self.entry.room(), if full => {
                    self.last_output = Instant::now();
                    drain_until = None;
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    if !self.on_time(full, &mut drain_until) {
                        break;
                    }
                }
            }
        }
        if let Some(stdin) = self.stdin.take() {
            stdin.abort();
        }
        self.clear_group().await;
        self.outcome()
    }

    /// The next moment at which something has to be done.
    fn deadline(&self, full: bool, drain_until: Option<Instant>) -> Option<Instant> {
        let free = self.cause.is_none() && self.exited.is_none();
        let after = |from: Instant, limit: Option<u64>| {
            limit
                .filter(|_| free)
                .and_then(|limit| from.checked_add(Duration::from_millis(limit)))
        };
        let kill_at = match self.phase {
            Phase::Asked { kill_at } => Some(kill_at),
            Phase::Free | Phase::Killed => None,
        };
        [
            after(self.last_output, self.exec.timeout_silence_ms.filter(|_| !full)),
            after(self.started, self.exec.timeout_total_ms),
            kill_at,
            drain_until,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due. Says whether to go on reading.
    fn on_time(&mut self, full: bool, drain_until: &mut Option<Instant>) -> bool {
        let now = Instant::now();
        if let Phase::Asked { kill_at } = self.phase
            && now >= kill_at
        {
            self.entry
                .header("still running after the grace period: killed\n");
            self.kill();
        }
        if !full && drain_until.is_some_and(|until| now >= until) {
            if self.phase == Phase::Killed {
                // Only a process that left the session and its marker behind can still hold the pipe.
                self.entry.header("a process that could not be found still holds the output; what it prints is not recorded\n");
                return false;
            }
            self.entry.header(&format!(
                "the command ended {} s ago, but processes that it left behind hold its output: killed\n",
                DRAIN.as_secs()
            ));
            self.kill();
            *drain_until = Some(now + DRAIN);
        }
        if self.cause.is_none() && self.exited.is_none() {
            let passed = |from: Instant, limit: Option<u64>| {
                limit.filter(|limit| now.duration_since(from) >= Duration::from_millis(*limit))
            };
            if let Some(limit) = passed(self.started, self.exec.timeout_total_ms) {
                self.entry.header(&format!("running for {} s: ", seconds(limit)));
                self.end(Cause::Timeout(TimeoutKind::Total));
            } else if let Some(limit) =
                passed(self.last_output, self.exec.timeout_silence_ms.filter(|_| !full))
            {
                self.entry
                    .header(&format!("no output for {} s: ", seconds(limit)));
                self.end(Cause::Timeout(TimeoutKind::Silence));
            }
        }
        true
    }

    fn take(&mut self, stream: Stream, mut data: Bytes) {
        if data.is_empty() || matches!(self.cause, Some(Cause::OutputLimit)) {
            return;
        }
        self.last_output = Instant::now();
        let room = self
            .exec
            .max_output_bytes
            .map_or(u64::MAX, |limit| limit - self.printed);
        let too_much = data.len() as u64 > room;
        if too_much {
            data.truncate(room as usize);
        }
        self.printed += data.len() as u64;
        self.entry.push(stream, data);
        if too_much {
            self.entry
                .header(&format!("more than {} bytes of output: ", self.printed));
            self.end(Cause::OutputLimit);
        }
    }

    /// Begins to end the command, or ends it faster.
    fn end(&mut self, cause: Cause) {
        if self.exited.is_some() {
            // The leader has ended by itself; only what it left behind can be meant.
            if matches!(cause, Cause::Drop | Cause::Stop(_)) {
                self.cause.get_or_insert(cause);
            }
            self.kill();
            return;
        }
        let grace = match &cause {
            Cause::Interrupt(_) | Cause::Timeout(_) => Duration::from_millis(self.exec.grace_ms),
            Cause::Stop(limit) => Duration::from_millis(self.exec.grace_ms).min(*limit),
            Cause::OutputLimit | Cause::Lease | Cause::Drop => Duration::ZERO,
        };
        match &cause {
            Cause::Interrupt(reason) => self.entry.header(&format!("interrupted ({reason})")),
            Cause::Lease => self.entry.header("not heard from the master for the lease"),
            _ => {}
        }
        if grace.is_zero() || self.signal == Signal::KILL {
            if self.phase != Phase::Killed {
                self.entry
                    .header(if matches!(cause, Cause::Interrupt(_) | Cause::Lease) {
                        ": killed\n"
                    } else {
                        "killed\n"
                    });
            }
            self.kill();
        } else {
            let now = Instant::now();
            let mut kill_at = now.checked_add(grace).unwrap_or(now + Duration::from_hours(24));
            if let Phase::Asked { kill_at: earlier } = self.phase {
                // Asked before; a second request can only make it sooner.
                kill_at = kill_at.min(earlier);
                self.entry.header("\n");
            } else {
                let text = format!(
                    "asked to end with SIG{}, {} s of grace\n",
                    self.exec.interrupt_signal,
                    grace.as_secs_f64()
                );
                self.entry.header(&if matches!(cause, Cause::Interrupt(_)) {
                    format!(": {text}")
                } else {
                    text
                });
                let _ = kill_process_group(self.group, self.signal);
            }
            if self.phase != Phase::Killed {
                self.phase = Phase::Asked { kill_at };
            }
        }
        if matches!(cause, Cause::Drop) {
            self.cause = Some(cause);
        } else {
            self.cause.get_or_insert(cause);
        }
    }

    fn kill(&mut self) {
        self.phase = Phase::Killed;
        // The group may be gone already; then there is nothing to do.
        let _ = kill_process_group(self.group, Signal::KILL);
        let (registry, id) = (self.context.registry.clone(), self.entry.id.to_string());
        tokio::task::spawn_blocking(move || registry.kill_marked(&id));
    }

    /// Makes sure that nothing of the command's session is alive.
    async fn clear_group(&mut self) {
        let now = Instant::now();
        let deadline = now + VANISH;
        // Processes may be dying by themselves, or have been asked to just now.
        let patience = match self.phase {
            Phase::Free => now + LINGER,
            Phase::Asked { kill_at } => kill_at,
            Phase::Killed => now,
        };
        let mut pause = Duration::from_millis(2);
        let (group, me) = (self.group, std::process::id() as i32);
        while self.phase == Phase::Killed || test_kill_process_group(group).is_ok() {
            let (registry, id) = (self.context.registry.clone(), self.entry.id.to_string());
            let killed = self.phase == Phase::Killed;
            let left = tokio::task::spawn_blocking(move || {
                let marked = if killed { registry.kill_marked(&id) } else { 0 };
                let number = group.as_raw_nonzero().get();
                let mut left = Vec::new();
                for process in procs::all() {
                    if process.group != number && process.session != number {
                        continue;
                    }
                    if process.is_alive() {
                        left.push(process);
                    } else if process.parent == me {
                        // An orphan that ended up with us, because the worker is the first process of a container.
                        let _ = rustix::process::waitpid(
                            Pid::from_raw(process.pid),
                            rustix::process::WaitOptions::NOHANG,
                        );
                    }
                }
                (left, marked)
            })
            .await;
            let Ok((left, marked)) = left else { return };
            if left.is_empty() && marked == 0 {
                return;
            }
            pause = (pause * 2).min(Duration::from_millis(100));
            if self.phase != Phase::Killed && Instant::now() < patience {
                tokio::select! {
                    () = sleep(pause) => {}
                    cause = self.entry.stop_asked() => self.end(cause),
                }
                continue;
            }
            if self.phase != Phase::Killed {
                self.entry.header(&format!(
                    "{} processes that the command left behind: killed\n",
                    left.len()
                ));
                self.phase = Phase::Killed;
            }
            for process in &left {
                process.kill();
            }
            if Instant::now() >= deadline.max(patience + LINGER) {
                let numbers: Vec<String> = left.iter().map(|process| process.pid.to_string()).collect();
                let numbers = numbers.join(", ");
                tracing::error!(command = %self.entry.id, "processes {numbers} cannot be killed");
                self.entry
                    .header(&format!("processes {numbers} cannot be killed\n"));
                return;
            }
            // The kernel takes a moment to bury the dead and does not say when it is done with a whole group.
            sleep(pause).await;
        }
    }

    fn outcome(self) -> Outcome {
        match self.cause {
            Some(Cause::Interrupt(reason)) => Outcome::Interrupted { reason },
            Some(Cause::Timeout(kind)) => {
                let after = if self.phase == Phase::Killed {
                    Ending::Kill
                } else {
                    Ending::Interrupt
                };
                Outcome::Timeout { kind, after }
            }
            Some(Cause::OutputLimit) => Outcome::OutputLimit,
            Some(Cause::Lease) => Outcome::LeaseExpired,
            Some(Cause::Stop(_)) => Outcome::Interrupted {
                reason: "the worker stops".into(),
            },
            Some(Cause::Drop) => Outcome::Interrupted {
                reason: "dropped".into(),
            },
            None => match self.exited {
                Some(Ok(status)) => match (status.code(), status.signal()) {
                    (Some(code), _) => Outcome::Exit { code },
                    (None, signal) => Outcome::Signal {
                        signal: signal.unwrap_or_default(),
                    },
                },
                Some(Err(error)) => Outcome::Failed {
                    kind: FailureKind::Io,
                    message: format!("cannot wait for the process: {error}"),
                },
                None => Outcome::Failed {
                    kind: FailureKind::Io,
                    message: "the process was lost sight of".into(),
                },
            },
        }
    }
}

fn seconds(milliseconds: u64) -> f64 {
    Duration::from_millis(milliseconds).as_secs_f64()
}
