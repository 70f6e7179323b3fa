//! The worker of a Buildbot master: what its owner asks for at its machine, a master that falls silent, and files that grow.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use ironmaster_buildbot::{
    Builder, CommandId, CommandLine, LogFile, MasterEnd as _, MasterEvent, Shell, Update, WorkerInfo,
    pb::{Challenge, Door, MasterSession, PasswordDigest},
};
use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
};

use crate::harness::{Place, Worker, marked, until, within};

/// A Buildbot master with one builder, `b`, over Perspective Broker.
struct Master {
    listener: TcpListener,
}

impl Master {
    async fn new() -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        }
    }

    /// Starts a worker of this master in this folder.
    fn worker(&self, folder: &Path, more: &[&str]) -> Worker {
        worker(self.listener.local_addr().unwrap(), folder, more)
    }
    /// The next connection, with its builder.
    async fn attach(&self) -> Attached {
        let mut attached = self.admit().await;
        attached.set_builders(&["b"]).await;
        attached
    }

    /// The next connection, without builders.
    async fn admit(&self) -> Attached {
        let (mut stream, _) = within("a connection", self.listener.accept()).await.unwrap();
        let mut door = Door::new(Challenge([7; 16]));
        let login = loop {
            while let Some(bytes) = door.poll_send() {
                stream.write_all(&bytes).await.unwrap();
            }
            if let Some(login) = door.poll_login() {
                break login;
            }
            let mut bytes = [0; 4096];
            let length = within("a login", stream.read(&mut bytes)).await.unwrap();
            assert!(length > 0, "the worker has gone");
            door.feed(&bytes[..length]).unwrap();
        };
        assert!(login.proves(&PasswordDigest::of("secret")));
        let end = MasterSession::admit(door, &login).unwrap();
        let mut attached = Attached {
            stream,
            end,
            info: Box::default(),
        };
        match attached.event().await {
            Some(MasterEvent::Info(info)) => attached.info = info,
            other => panic!("the info comes first: {other:?}"),
        }
        attached
    }
}

struct Attached {
    stream: TcpStream,
    end: MasterSession,
    info: Box<WorkerInfo>,
}

impl Attached {
    async fn flush(&mut self) {
        while let Some(bytes) = self.end.poll_send() {
            // A worker that is already gone is found out by reading.
            let _ = self.stream.write_all(&bytes).await;
        }
    }

    /// The next thing that the worker says; none when the connection has ended.
    async fn event(&mut self) -> Option<MasterEvent> {
        loop {
            self.flush().await;
            if let Some(event) = self.end.poll_event() {
                return Some(event);
            }
            let mut bytes = [0; 4096];
            let read = within("an event", self.stream.read(&mut bytes)).await;
            match read {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.end.feed(&bytes[..length]).unwrap(),
            }
        }
    }

    async fn set_builders(&mut self, names: &[&str]) {
        let builders: Vec<Builder> = names
            .iter()
            .map(|name| Builder {
                name: (*name).to_owned(),
                dir: (*name).to_owned(),
            })
            .collect();
        self.end.set_builders(&builders).unwrap();
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(self.event().await, Some(MasterEvent::Builders(names)));
    }

    /// Begins a command of the builder, and waits until it runs.
    async fn start(&mut self, id: &str, shell: Shell) -> CommandId {
        let id = CommandId::from(id);
        let command = ironmaster_buildbot::Command::Shell(Box::new(shell));
        self.end.start("b", &id, &command).unwrap();
        assert_eq!(self.event().await, Some(MasterEvent::Started(id.clone())));
        id
    }

    /// What else is said until a command is over, and its exit code.
    async fn over(&mut self, id: &CommandId) -> (Vec<MasterEvent>, i64) {
        let (mut events, mut code) = (Vec::new(), None);
        loop {
            match self.event().await.expect("the connection stays") {
                MasterEvent::Update {
                    update: Update::ExitCode(exit),
                    ..
                } => code = Some(exit),
                MasterEvent::Complete { id: over, failure } => {
                    assert_eq!((&over, failure), (id, None));
                    return (events, code.expect("it has an exit code"));
                }
                other => events.push(other),
            }
        }
    }

    /// The worker asks to be shut down; nothing else comes before, but what its commands print.
    async fn wants_shutdown(&mut self) {
        loop {
            match self.event().await {
                Some(MasterEvent::WantsShutdown) => return,
                Some(MasterEvent::Update {
                    update: Update::Output { .. },
                    ..
                }) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Starts a worker of a master at this address in this folder.
fn worker(master: SocketAddr, folder: &Path, more: &[&str]) -> Worker {
    let password = folder.with_extension("password");
    fs::write(&password, "secret\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ironmaster-worker"));
    command
        .arg("buildbot")
        .arg(folder)
        .arg(format!("--master={master}"))
        .args(["--name=w", "--max-delay=1", "--password-file"])
        .arg(password)
        .args(more);
    Worker::spawn(command, folder)
}

/// A script as a command below the folder.
fn sh(folder: &Path, script: &str) -> Shell {
    Shell::new(
        folder.join("b").to_string_lossy(),
        CommandLine::Line(script.to_owned()),
    )
}

/// Runs until a file is there.
fn waits_for(folder: &Path, file: &Path) -> Shell {
    sh(
        folder,
        &format!("while ! test -e '{}'; do sleep 0.05; done", file.display()),
    )
}

fn base(place: &Place) -> PathBuf {
    let base = place.base();
    fs::create_dir_all(&base).unwrap();
    base
}

/// Whoever looks after the machine asks, the master says when: what runs goes on to its end.
async fn ends_when_its_master_says_so(how: &str, ask: impl AsyncFnOnce(&Worker, &Path)) {
    let (master, place) = (Master::new().await, Place::new());
    let base = base(&place);
    // What was there before asks for nothing.
    let stamp = fs::File::create(base.join("shutdown.stamp")).unwrap();
    stamp.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let mut worker = master.worker(&base, &["--allow-shutdown", how]);
    let mut conn = master.attach().await;
    let go = base.join("go");
    let id = conn.start("1", waits_for(&base, &go)).await;
    ask(&worker, &base).await;
    conn.wants_shutdown().await;
    fs::write(go, "").unwrap();
    assert_eq!(conn.over(&id).await.1, 0);
    // It still does what it is told.
    let id = conn.start("2", sh(&base, "exit 3")).await;
    assert_eq!(conn.over(&id).await.1, 3);
    conn.end.shut_down().unwrap();
    assert_eq!(conn.event().await, None);
    assert!(worker.wait().await.success());
    assert!(
        worker.log().contains("the master has shut this worker down"),
        "{}",
        worker.log()
    );
}

#[tokio::test]
async fn sighup_asks_the_master_for_a_shutdown() {
    ends_when_its_master_says_so("signal", async |worker, _| worker.signal(Signal::HUP)).await;
}

#[tokio::test]
async fn touching_a_file_asks_the_master_for_a_shutdown() {
    ends_when_its_master_says_so("file", async |_, base| {
        fs::write(base.join("shutdown.stamp"), "now").unwrap();
    })
    .await;
}

#[tokio::test]
async fn nobody_asks_for_a_shutdown_who_may_not() {
    let (master, place) = (Master::new().await, Place::new());
    let base = base(&place);
    let mut worker = master.worker(&base, &["--keepalive=1"]);
    let mut conn = master.attach().await;
    worker.signal(Signal::HUP);
    until("word about it", || worker.log().contains("SIGHUP is ignored")).await;
    fs::write(base.join("shutdown.stamp"), "now").unwrap();
    // It would have asked before it asks for a sign of life the seventh time.
    for _ in 0..7 {
        assert_eq!(conn.event().await, Some(MasterEvent::Keepalive));
    }
    worker.signal(Signal::TERM);
    assert!(worker.wait().await.success());
}

/// Without a master there is nobody to ask, and nothing that runs.
#[tokio::test]
async fn without_a_master_a_worker_that_is_asked_to_shut_down_stops() {
    let place = Place::new();
    let base = base(&place);
    // Nobody listens on this port, and nobody else can have it.
    let nobody = TcpSocket::new_v4().unwrap();
    nobody.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let mut worker = worker(nobody.local_addr().unwrap(), &base, &["--allow-shutdown=signal"]);
    until("a try in vain", || {
        worker.log().contains("cannot reach the master")
    })
    .await;
    worker.signal(Signal::HUP);
    assert!(worker.wait().await.success());

    let silent = Master::new().await;
    let mut worker = silent.worker(&base, &["--allow-shutdown=signal"]);
    let _connection = within("a connection", silent.listener.accept()).await.unwrap();
    worker.signal(Signal::HUP);
    assert!(worker.wait().await.success());
    assert!(worker.log().contains("stopping"), "{}", worker.log());
}

#[tokio::test]
async fn a_master_that_falls_silent_is_left_and_what_it_started_is_ended() {
    let (master, place) = (Master::new().await, Place::new());
    let base = base(&place);
    let worker = master.worker(&base, &["--keepalive=1"]);
    let mut conn = master.attach().await;
    // As long as it answers, the worker stays.
    for _ in 0..4 {
        assert_eq!(conn.event().await, Some(MasterEvent::Keepalive));
    }
    let mut shell = sh(&base, "sleep 1000 & wait");
    let (name, value) = place
        .mark()
        .split_once('=')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    shell.env.insert(name, ironmaster_buildbot::EnvValue::Text(value));
    conn.start("1", shell).await;
    until("the command", || !marked(&place.mark()).is_empty()).await;
    // Its side of the connection stays open, and nothing comes over it.
    let again = master.attach().await;
    assert_eq!(again.info.basedir, base.canonicalize().unwrap().to_string_lossy());
    assert!(
        worker.log().contains("the master has said nothing for"),
        "{}",
        worker.log()
    );
    assert!(
        marked(&place.mark()).is_empty(),
        "it is ended before another connection is made"
    );
    drop(conn);
}

#[tokio::test]
async fn folders_that_no_builder_has_are_removed_if_that_is_wanted() {
    for remove in [false, true] {
        let (master, place) = (Master::new().await, Place::new());
        let base = base(&place);
        let outside = base.with_extension("outside");
        for folder in ["info", "old/deep/er", "locked/in", "b/kept"] {
            fs::create_dir_all(base.join(folder)).unwrap();
        }
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("precious"), "").unwrap();
        std::os::unix::fs::symlink(&outside, base.join("link")).unwrap();
        fs::write(base.join("file"), "").unwrap();
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o500);
        fs::set_permissions(base.join("locked"), closed).unwrap();
        let more: &[&str] = if remove { &["--delete-leftover-dirs"] } else { &[] };
        let _worker = master.worker(&base, more);
        let mut conn = master.attach().await;
        let names = || {
            let entries = fs::read_dir(&base).unwrap().flatten();
            let mut names: Vec<String> = entries
                .map(|entry| entry.file_name().into_string().unwrap())
                .filter(|name| name != ".ironmaster-worker")
                .collect();
            names.sort();
            names
        };
        let all = ["b", "file", "info", "link", "locked", "old"];
        let left = ["b", "file", "info", "link"];
        // When the master hears that its builders are known, nothing of the others is in the way.
        assert_eq!(names(), if remove { left.to_vec() } else { all.to_vec() });
        assert!(base.join("b/kept").is_dir() && outside.join("precious").is_file());
        // One that goes and comes back finds an empty folder that nobody takes from it.
        if remove {
            conn.set_builders(&["c"]).await;
            assert!(!base.join("b").exists());
            conn.set_builders(&["b", "c"]).await;
            let id = conn.start("1", sh(&base, "ls; touch made; ls")).await;
            assert_eq!(conn.over(&id).await.1, 0);
            let removed = base.join(".ironmaster-worker/removed");
            until("the end of the removal", || {
                fs::read_dir(&removed).is_ok_and(|mut entries| entries.next().is_none())
            })
            .await;
            let there: Vec<_> = fs::read_dir(base.join("b")).unwrap().flatten().collect();
            assert_eq!(there.len(), 1, "{there:?}");
        }
    }
}

/// The lines of each log that was asked for, and nothing twice.
#[tokio::test]
async fn a_file_that_is_followed_is_told_from_where_it_ended() {
    let (master, place) = (Master::new().await, Place::new());
    let base = base(&place);
    let _worker = master.worker(&base, &[]);
    let mut conn = master.attach().await;
    let files = ["grows", "whole", "same", "anew", "late"];
    for name in &files[..4] {
        fs::write(base.join("b").join(name), "before, which is long enough\n").unwrap();
    }
    let script = "echo one >>grows; echo one >>whole; echo one >anew; echo one >late; \
                  while ! test -e go; do sleep 0.05; done; \
                  for name in grows whole anew late; do echo two >>$name; done";
    let mut shell = sh(&base, script);
    for name in files {
        let file = LogFile {
            filename: name.to_owned(),
            follow: name != "whole",
        };
        shell.logfiles.insert(format!("log of {name}"), file);
    }
    let id = conn.start("1", shell).await;
    // They are told while the command runs.
    let mut told: Vec<MasterEvent> = Vec::new();
    while told.iter().filter(|event| log(event).is_some()).count() < 4 {
        told.push(conn.event().await.expect("the connection stays"));
    }
    fs::write(base.join("b/go"), "").unwrap();
    let (more, code) = conn.over(&id).await;
    told.extend(more);
    assert_eq!(code, 0);
    let text = |name: &str| -> String {
        let name = format!("log of {name}");
        let lines = told.iter().filter_map(log).filter(|(log, _)| **log == name);
        lines.map(|(_, text)| text).collect()
    };
    let new = "one\ntwo\n";
    for (name, expected) in [
        ("grows", new),
        ("whole", "before, which is long enough\none\ntwo\n"),
        ("same", ""),
        ("anew", new),
        ("late", new),
    ] {
        assert_eq!(text(name), expected, "{name}");
    }
}

/// The name and text of a piece of a log.
fn log(event: &MasterEvent) -> Option<(&String, &str)> {
    match event {
        MasterEvent::Update {
            update: Update::Log { name, lines },
            ..
        } => Some((name, &lines.text)),
        _ => None,
    }
}
