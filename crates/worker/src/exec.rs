//! Running a program: its streams, its time limits, and the end of its whole process tree.

use std::{
    fmt::Write as _,
    io,
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use bytes::Bytes;
use ironmaster_wire::{Ending, FailureKind, MAX_CHUNK, Outcome, Stream, TimeoutKind};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::AsyncWriteExt as _,
    process::Command,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    procs::{self, MARKER},
    program::{self, Gentle, Limits, Owner, Program},
    reader::Reader,
    spawn,
    tail::Tails,
};

/// How long output is awaited from processes that outlive the command's leader and hold its pipes.
const DRAIN: Duration = Duration::from_secs(2);
/// How long they may wait for room each time without being given more time for it: what fills the spool again whenever
/// there is room comes to an end, too.
const SHORT_WAIT: Duration = Duration::from_millis(200);
/// How long processes that the leader left behind may take to end by themselves.
const LINGER: Duration = Duration::from_millis(200);
/// A command that began less long ago has a number that few processes have come after, by far not all that there can be.
const YOUNG: Duration = Duration::from_secs(1);
/// A grace that nobody waits for.
const LONG: Duration = Duration::from_hours(24 * 365);
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
    /// A gentle signal was sent; `next` is the one that follows, or the kill.
    Asked {
        until: Instant,
        next: usize,
    },
    Killed,
}

/// Runs a program to its end; nothing of its process group is alive afterwards.
pub(crate) async fn run<O: Owner>(owner: &O, mut program: Program) -> Outcome {
    program.tails.begin().await;
    let started = match start(owner, program) {
        Ok(started) => started,
        Err(message) => {
            owner.registry().remove_record(&owner.label());
            return Outcome::StartFailed { message };
        }
    };
    let outcome = started.finish().await;
    owner.registry().remove_record(&owner.label());
    outcome
}

fn start<O: Owner>(owner: &O, program: Program) -> Result<Running<'_, O>, String> {
    let Program {
        mut command,
        workdir,
        stdin,
        terminal,
        log_env,
        tails,
        limits,
    } = program;
    let name = command.as_std().get_program().to_owned();
    std::fs::create_dir_all(&workdir)
        .map_err(|error| format!("cannot make the folder {}: {error}", workdir.display()))?;
    command
        .current_dir(&workdir)
        .env_remove(crate::TOKEN_VARIABLE)
        .env(MARKER, owner.registry().command_marker(&owner.label()));
    let screen = if terminal {
        let no_terminal = |error: io::Error| format!("cannot make a terminal: {error}");
        let (ours, theirs) = program::terminal().map_err(no_terminal)?;
        let theirs = || theirs.try_clone().map(Stdio::from).map_err(no_terminal);
        command.stdin(theirs()?).stdout(theirs()?).stderr(theirs()?);
        Some(ours)
    } else {
        command.stdin(if stdin.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        None
    };
    if log_env {
        owner.header(&environment(&command));
    }
    let record = owner.registry().new_record(&owner.label()).map_err(|error| {
        format!(
            "cannot record the command in {}: {error}",
            owner.registry().folder().display()
        )
    })?;
    let mut child = spawn::spawn(command, record, terminal).map_err(|error| {
        format!(
            "cannot run {:?} in {}: {error}",
            name.to_string_lossy(),
            workdir.display()
        )
    })?;
    let now = Instant::now();
    let group = child
        .id()
        .and_then(|pid| Pid::from_raw(pid as i32))
        .ok_or("the process has no number")?;
    let stdin = child.stdin.take().zip(stdin).map(|(mut stdin, text)| {
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
        owner,
        limits,
        group,
        stdout: match screen {
            Some(screen) => Reader::new(Some(screen)),
            None => Reader::new(child.stdout.take()),
        },
        stderr: Reader::new(child.stderr.take()),
        tails,
        child,
        stdin,
        started: now,
        last_output: now,
        printed: 0,
        cause: None,
        unwanted: false,
        interrupted: false,
        phase: Phase::Free,
        exited: None,
        cleared: false,
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

struct Running<'a, O> {
    owner: &'a O,
    limits: Limits,
    group: Pid,
    child: tokio::process::Child,
    stdout: Reader,
    stderr: Reader,
    tails: Tails,
    stdin: Option<JoinHandle<()>>,
    started: Instant,
    last_output: Instant,
    printed: u64,
    /// The first one is what the outcome tells.
    cause: Option<Cause>,
    /// Nobody wants what it has printed any more, whatever ended it.
    unwanted: bool,
    /// The master has said that it is to end. It says so again on each connection, which changes nothing.
    interrupted: bool,
    phase: Phase,
    exited: Option<io::Result<ExitStatus>>,
    /// Nothing of it is alive any more.
    cleared: bool,
}

impl<O: Owner> Running<'_, O> {
    async fn finish(mut self) -> Outcome {
        let mut drain_until: Option<Instant> = None;
        let mut full_since: Option<Instant> = None;
        loop {
            let open = self.stdout.is_open() || self.stderr.is_open();
            if self.exited.is_some() && (!open || self.unwanted) {
                break;
            }
            // While the spool is full the program waits for us: that is neither silence nor an open end.
            let full = self.owner.is_full() && !self.unwanted;
            if full {
                full_since.get_or_insert_with(Instant::now);
            } else if let Some(since) = full_since.take() {
                self.last_output = Instant::now();
                if let Some(until) = &mut drain_until {
                    *until += since.elapsed().saturating_sub(SHORT_WAIT);
                }
            }
            if self.exited.is_some() && drain_until.is_none() {
                full_since = full.then(Instant::now);
                // What was asked to end has its grace, also after the leader has gone.
                drain_until = Some(match self.phase {
                    Phase::Asked { until, .. } => until + DRAIN,
                    Phase::Free | Phase::Killed => Instant::now() + DRAIN,
                });
            }
            let deadline = self.deadline(full, drain_until.filter(|_| !full));
            tokio::select! {
                data = self.stdout.read(), if !full && self.stdout.is_open() => self.take(Stream::Stdout, data),
                data = self.stderr.read(), if !full && self.stderr.is_open() => self.take(Stream::Stderr, data),
                (file, data) = self.tails.read(), if !full && !self.tails.is_empty() => self.take(Stream::File(file), data),
                status = self.child.wait(), if self.exited.is_none() => self.exited = Some(status),
                cause = self.owner.stop_asked() => self.end(cause),
                () = self.owner.room(), if full => {}
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
        self.cleared = true;
        self.tell_rest().await;
        if let Some(Ok(status)) = &self.exited {
            self.owner.exited(status.code());
        }
        self.outcome()
    }

    /// The next moment at which something has to be done.
    fn deadline(&self, full: bool, drain_until: Option<Instant>) -> Option<Instant> {
        let free = self.cause.is_none() && self.exited.is_none();
        let after = |from: Instant, limit: Option<Duration>| {
            limit.filter(|_| free).and_then(|limit| from.checked_add(limit))
        };
        let asked_until = match self.phase {
            Phase::Asked { until, .. } => Some(until),
            Phase::Free | Phase::Killed => None,
        };
        [
            after(self.last_output, self.limits.silence.filter(|_| !full)),
            after(self.started, self.limits.total),
            asked_until,
            drain_until,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due. Says whether to go on reading.
    fn on_time(&mut self, full: bool, drain_until: &mut Option<Instant>) -> bool {
        let now = Instant::now();
        if let Phase::Asked { until, next } = self.phase
            && now >= until
        {
            if let Some(gentle) = self.limits.ending.get(next).cloned() {
                self.owner.header(&format!(
                    "still running after the grace period: {}",
                    told(&gentle)
                ));
                self.ask(&gentle, next, gentle.grace);
            } else {
                self.owner
                    .header("still running after the grace period: killed\n");
                self.kill();
            }
        }
        if !full && drain_until.is_some_and(|until| now >= until) {
            if self.phase == Phase::Killed {
                // Only a process that left the session and its marker behind can still hold the pipe.
                self.owner.header("a process that could not be found still holds the output; what it prints is not recorded\n");
                return false;
            }
            self.owner.header(&format!(
                "the command ended {} s ago, but processes that it left behind hold its output: killed\n",
                DRAIN.as_secs()
            ));
            self.kill();
            *drain_until = Some(now + DRAIN);
        }
        if self.cause.is_none() && self.exited.is_none() {
            let passed = |from: Instant, limit: Option<Duration>| {
                limit.filter(|limit| now.duration_since(from) >= *limit)
            };
            if let Some(limit) = passed(self.started, self.limits.total) {
                self.owner
                    .header(&format!("running for {} s: ", limit.as_secs_f64()));
                self.end(Cause::Timeout(TimeoutKind::Total));
            } else if let Some(limit) = passed(self.last_output, self.limits.silence.filter(|_| !full)) {
                self.owner
                    .header(&format!("no output for {} s: ", limit.as_secs_f64()));
                self.end(Cause::Timeout(TimeoutKind::Silence));
            }
        }
        true
    }

    fn take(&mut self, stream: Stream, mut data: Bytes) {
        if data.is_empty() || self.is_over_limit(stream) {
            return;
        }
        self.last_output = Instant::now();
        let room = self
            .limits
            .max_output
            .map_or(u64::MAX, |limit| limit - self.printed);
        let too_much = data.len() as u64 > room;
        if too_much {
            data.truncate(room as usize);
        }
        self.printed += data.len() as u64;
        self.owner.push(stream, data);
        if too_much {
            self.owner
                .header(&format!("more than {} bytes of output: ", self.printed));
            if self.cleared {
                self.owner.header("the rest is left out\n");
                self.cause.get_or_insert(Cause::OutputLimit);
            } else {
                self.end(Cause::OutputLimit);
            }
        }
    }

    /// Whether what comes is more than is wanted. Lines, which a Buildbot master counts, are none in a log file.
    fn is_over_limit(&self, stream: Stream) -> bool {
        matches!(self.cause, Some(Cause::OutputLimit))
            && (self.limits.max_output.is_some() || !matches!(stream, Stream::File(_)))
    }

    /// Tells what the log files have beyond what was told: nobody writes them any more.
    async fn tell_rest(&mut self) {
        self.tails.over();
        while !self.unwanted
            && !matches!(self.cause, Some(Cause::Lease))
            && !self.is_over_limit(Stream::File(0))
        {
            let full = self.owner.is_full();
            tokio::select! {
                rest = self.tails.rest(), if !full => match rest {
                    Some((file, data)) => self.take(Stream::File(file), data),
                    None => break,
                },
                () = self.owner.room(), if full => {}
                cause = self.owner.stop_asked() => {
                    // It is over already; only who does not want its output either is heard.
                    if matches!(cause, Cause::Drop | Cause::Stop(_) | Cause::Lease) {
                        self.cause.get_or_insert(cause);
                        break;
                    }
                }
            }
        }
        for (file, why) in self.tails.troubles() {
            self.owner.unread(file, why);
        }
    }

    /// Begins to end the command, or ends it faster.
    fn end(&mut self, cause: Cause) {
        if matches!(cause, Cause::Interrupt(_)) && std::mem::replace(&mut self.interrupted, true) {
            return;
        }
        self.unwanted |= matches!(cause, Cause::Drop | Cause::Stop(_));
        if self.exited.is_some() {
            // The leader has ended by itself; only what it left behind can be meant.
            if matches!(cause, Cause::OutputLimit) {
                self.owner.header("killed\n");
            }
            if matches!(cause, Cause::Drop | Cause::Stop(_) | Cause::OutputLimit) {
                self.cause.get_or_insert(cause);
            }
            self.kill();
            return;
        }
        let gentle = self.limits.ending.first().cloned();
        let grace = gentle.as_ref().map_or(Duration::ZERO, |gentle| match &cause {
            Cause::Interrupt(_) | Cause::Timeout(_) => gentle.grace,
            Cause::Stop(limit) => gentle.grace.min(*limit),
            Cause::OutputLimit | Cause::Lease | Cause::Drop => Duration::ZERO,
        });
        match &cause {
            Cause::Interrupt(reason) => self.owner.header(&format!("interrupted ({reason})")),
            Cause::Lease => self.owner.header("not heard from the master for the lease"),
            _ => {}
        }
        match gentle.filter(|_| !grace.is_zero()) {
            None => {
                if self.phase != Phase::Killed {
                    self.owner
                        .header(if matches!(cause, Cause::Interrupt(_) | Cause::Lease) {
                            ": killed\n"
                        } else {
                            "killed\n"
                        });
                }
                self.kill();
            }
            Some(gentle) => {
                if let Phase::Asked { until, .. } = &mut self.phase {
                    // Asked before; a second request can only make it sooner.
                    *until = (*until).min(Instant::now() + grace.min(LONG));
                    self.owner.header("\n");
                } else if self.phase == Phase::Free {
                    let text = told(&gentle);
                    self.owner.header(&if matches!(cause, Cause::Interrupt(_)) {
                        format!(": {text}")
                    } else {
                        text
                    });
                    self.ask(&gentle, 0, grace);
                }
            }
        }
        if matches!(cause, Cause::Drop) {
            self.cause = Some(cause);
        } else {
            self.cause.get_or_insert(cause);
        }
    }

    /// Sends a gentle signal, the one of this number.
    fn ask(&mut self, gentle: &Gentle, number: usize, grace: Duration) {
        let _ = kill_process_group(self.group, gentle.signal);
        self.phase = Phase::Asked {
            until: Instant::now() + grace.min(LONG),
            next: number + 1,
        };
    }

    fn kill(&mut self) {
        self.phase = Phase::Killed;
        // The group may be gone already; then there is nothing to do.
        let _ = kill_process_group(self.group, Signal::KILL);
        let (registry, id) = (self.owner.registry().clone(), self.owner.label());
        tokio::task::spawn_blocking(move || registry.kill_marked(&id));
    }

    /// Makes sure that nothing of the command's session is alive.
    async fn clear_group(&mut self) {
        let now = Instant::now();
        let deadline = now + VANISH;
        // Processes may be dying by themselves, or have been asked to just now.
        let patience = match self.phase {
            Phase::Free => now + LINGER,
            Phase::Asked { until, .. } => until,
            Phase::Killed => now,
        };
        let mut pause = Duration::from_millis(2);
        // Processes may have gone into groups of their own, as a shell's jobs do; the session is the same.
        let session = self.group.as_raw_nonzero().get();
        loop {
            let is_young = self.started.elapsed() < YOUNG;
            let (registry, id) = (self.owner.registry().clone(), self.owner.label());
            let killed = self.phase == Phase::Killed;
            let left = tokio::task::spawn_blocking(move || {
                let marked = if killed { registry.kill_marked(&id) } else { 0 };
                (procs::alive_in(session, is_young), marked)
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
                    cause = self.owner.stop_asked() => self.end(cause),
                }
                continue;
            }
            if self.phase != Phase::Killed {
                self.owner.header(&format!(
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
                tracing::error!(
                    command = self.owner.label(),
                    "processes {numbers} cannot be killed"
                );
                self.owner
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

fn told(gentle: &Gentle) -> String {
    format!(
        "asked to end with SIG{}, {} s of grace\n",
        gentle.name,
        gentle.grace.as_secs_f64()
    )
}
