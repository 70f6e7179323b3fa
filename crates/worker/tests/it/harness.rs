//! A master for tests, on top of the same session that the real one uses, and the worker's process.

use std::{
    fs,
    future::Future,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use futures_util::{SinkExt as _, StreamExt as _};
use ironmaster_wire::{
    CommandId, Exec, Exited, Frame, Hello, Limits, MasterEvent, MasterSession, Outcome, OutputChunk, Stream,
    Verb, Welcome,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{WebSocketStream, accept_async, tungstenite::Message};

/// Only ever reached by a test that hangs.
const HANG: Duration = Duration::from_mins(2);

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, future)
        .await
        .unwrap_or_else(|_| panic!("still waiting for {what}"))
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut check: impl FnMut() -> bool) {
    within(what, async {
        while !check() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

pub(crate) fn id(ordinal: u32) -> CommandId {
    CommandId {
        build: 7,
        step: 1,
        ordinal,
    }
}

/// A shell script as a command.
pub(crate) fn sh(script: &str) -> Exec {
    Exec {
        argv: vec!["sh".into(), "-c".into(), script.into()],
        ..Exec::default()
    }
}

pub(crate) struct Master {
    listener: TcpListener,
}

impl Master {
    pub(crate) async fn new() -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.listener.local_addr().unwrap())
    }

    /// The next connection, after its hello.
    pub(crate) async fn accept(&self) -> (Conn, Hello) {
        within("a connection", async {
            let (stream, _) = self.listener.accept().await.unwrap();
            let socket = accept_async(stream).await.unwrap();
            let epoch = Instant::now();
            let mut conn = Conn {
                socket,
                session: MasterSession::new(Limits::default(), Duration::ZERO),
                epoch,
            };
            let Some(MasterEvent::Hello(hello)) = conn.event().await else {
                panic!("no hello")
            };
            (conn, *hello)
        })
        .await
    }

    /// The next connection, welcomed on the usual terms.
    pub(crate) async fn welcome(&self) -> (Conn, Hello) {
        self.welcome_with(Welcome::new("test")).await
    }

    pub(crate) async fn welcome_with(&self, welcome: Welcome) -> (Conn, Hello) {
        let (mut conn, hello) = self.accept().await;
        conn.session.welcome(welcome, Duration::ZERO).unwrap();
        conn.flush().await;
        (conn, hello)
    }
}

pub(crate) struct Conn {
    pub(crate) socket: WebSocketStream<TcpStream>,
    pub(crate) session: MasterSession,
    epoch: Instant,
}

impl Conn {
    /// Sends what the session has to say.
    pub(crate) async fn flush(&mut self) {
        while let Some(frame) = self.session.poll_send() {
            let message = match frame {
                Frame::Text(text) => Message::Text(text.into()),
                Frame::Binary(bytes) => Message::Binary(bytes),
            };
            // A worker that is already gone is found out by reading.
            let _ = self.socket.send(message).await;
        }
    }

    /// The next event; `None` when the connection has ended. A protocol error of the worker fails the test.
    pub(crate) async fn event(&mut self) -> Option<MasterEvent> {
        within("an event", async {
            loop {
                self.flush().await;
                if let Some(event) = self.session.poll_event() {
                    return Some(event);
                }
                let frame = match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => Frame::Text(text.as_str().to_owned()),
                    Some(Ok(Message::Binary(bytes))) => Frame::Binary(bytes),
                    Some(Ok(_)) => continue,
                    Some(Err(_)) | None => return None,
                };
                self.session
                    .feed(frame, self.epoch.elapsed())
                    .expect("the worker keeps to the protocol");
            }
        })
        .await
    }

    pub(crate) async fn start(&mut self, id: CommandId, verb: impl Into<Verb2>) {
        let verb = verb.into().0;
        self.session.start(id, verb.digest(), verb).unwrap();
        self.flush().await;
    }

    /// The next piece of output, acknowledged.
    pub(crate) async fn output(&mut self) -> OutputChunk {
        match self.event().await {
            Some(MasterEvent::Output(chunk)) => {
                self.session.ack(chunk.id, chunk.end());
                self.flush().await;
                chunk
            }
            other => panic!("expected output, got {other:?}"),
        }
    }

    /// Waits for a line on standard output by which a script says how far it is.
    pub(crate) async fn line(&mut self, line: &str) {
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains(line) {
            seen.extend_from_slice(&self.output().await.data);
        }
    }

    /// Takes in output, acknowledging it, until the outcome.
    pub(crate) async fn finish(&mut self) -> Done {
        let mut done = Done {
            chunks: Vec::new(),
            exited: None,
        };
        loop {
            match self.event().await {
                Some(MasterEvent::Output(chunk)) => {
                    self.session.ack(chunk.id, chunk.end());
                    done.chunks.push(chunk);
                }
                Some(MasterEvent::Exited(exited)) => {
                    done.exited = Some(exited);
                    return done;
                }
                other => panic!("expected output or an outcome, got {other:?}"),
            }
        }
    }

    /// Runs one command to its end and forgets it.
    pub(crate) async fn run(&mut self, id: CommandId, verb: impl Into<Verb2>) -> Done {
        self.start(id, verb).await;
        let done = self.finish().await;
        self.session.forget(id);
        assert_eq!(self.event().await, Some(MasterEvent::Forgotten { id }));
        done
    }

    /// Runs a verb that gives a value.
    pub(crate) async fn value(&mut self, id: CommandId, verb: Verb) -> Result<serde_json::Value, Outcome> {
        match self.run(id, verb).await.outcome() {
            Outcome::Value { value } => Ok(value),
            other => Err(other),
        }
    }
}

/// A verb, or what is short for one.
pub(crate) struct Verb2(Verb);

impl From<Verb> for Verb2 {
    fn from(verb: Verb) -> Self {
        Self(verb)
    }
}

impl From<Exec> for Verb2 {
    fn from(exec: Exec) -> Self {
        Self(Verb::Exec(exec))
    }
}

/// A command's output and outcome.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) chunks: Vec<OutputChunk>,
    exited: Option<Exited>,
}

impl Done {
    pub(crate) fn bytes(&self, stream: Stream) -> Vec<u8> {
        self.chunks
            .iter()
            .filter(|chunk| chunk.stream == stream)
            .flat_map(|chunk| chunk.data.to_vec())
            .collect()
    }

    pub(crate) fn text(&self, stream: Stream) -> String {
        String::from_utf8(self.bytes(stream)).unwrap()
    }

    pub(crate) fn outcome(&self) -> Outcome {
        self.exited.as_ref().unwrap().outcome.clone()
    }
}

pub(crate) struct Worker {
    pub(crate) child: Child,
    log: PathBuf,
}

impl Worker {
    pub(crate) fn start(master: &Master, basedir: &Path) -> Self {
        Self::start_with(master, basedir, &[])
    }

    pub(crate) fn start_with(master: &Master, basedir: &Path, more: &[&str]) -> Self {
        Self::start_at(&master.url(), basedir, more)
    }

    /// Starts it for a master at this address.
    pub(crate) fn start_at(url: &str, basedir: &Path, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ironmaster-worker"));
        command
            .args([
                "--master",
                url,
                "--name",
                "w",
                "--backoff-min",
                "1",
                "--backoff-max",
                "20",
            ])
            .arg("--basedir")
            .arg(basedir)
            .args(more)
            .env("IRONMASTER_WORKER_TOKEN", "secret-token");
        Self::spawn(command, basedir)
    }

    /// Starts it with a log beside its folder.
    pub(crate) fn spawn(mut command: Command, basedir: &Path) -> Self {
        let log = basedir.with_extension("log");
        let child = command
            .stdin(Stdio::null())
            .stderr(
                fs::OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(&log)
                    .unwrap(),
            )
            .spawn()
            .unwrap();
        Self { child, log }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// SIGKILL, and wait until it is dead.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) async fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("the worker's end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }

    /// The process id of its guard.
    pub(crate) fn guard(&self) -> Option<i32> {
        processes().into_iter().find(|pid| {
            parent(*pid) == Some(self.pid())
                && fs::read(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|line| line.split(|byte| *byte == 0).nth(1) == Some(b"guard"))
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn processes() -> Vec<i32> {
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn stat(pid: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(
        text.rsplit_once(')')?
            .1
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
    )
}

fn parent(pid: i32) -> Option<i32> {
    stat(pid)?.get(1)?.parse().ok()
}

pub(crate) fn is_alive(pid: i32) -> bool {
    stat(pid).is_some_and(|stat| stat[0] != "Z" && stat[0] != "X")
}

/// Living processes that have this variable in their environment.
pub(crate) fn marked(variable: &str) -> Vec<i32> {
    processes()
        .into_iter()
        .filter(|pid| {
            is_alive(*pid)
                && fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| {
                    environ
                        .split(|byte| *byte == 0)
                        .any(|entry| entry == variable.as_bytes())
                })
        })
        .collect()
}

/// A folder for a worker, and a mark for the processes of its commands that nothing else has.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn base(&self) -> PathBuf {
        self.folder.path().join("base")
    }

    pub(crate) fn mark(&self) -> String {
        format!("IT_MARK={}", self.folder.path().display())
    }

    /// A script whose processes carry the mark.
    pub(crate) fn sh(&self, script: &str) -> Exec {
        let mut exec = sh(script);
        exec.env
            .insert("IT_MARK".into(), Some(self.folder.path().display().to_string()));
        exec
    }
}
