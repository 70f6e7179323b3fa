//! A stock `buildbot-worker` on our end of both protocols, through every command.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command as Process, Stdio},
    time::Duration,
};

use ironmaster_buildbot::{
    Argument, Builder, Command, CommandId, CommandLine, Compression, DownloadFile, EnvValue, LogFile,
    MasterEnd, MasterEvent, Place, Shell, Stream, Transfer, Update, UploadDirectory, UploadFile, WorkerInfo,
    msgpack,
    pb::{self, Challenge, Door, PasswordDigest},
};
use tokio_tungstenite::tungstenite::{Message, WebSocket, handshake::server};

/// Nothing here takes so long. What comes too late is an error, not a reason to try again.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where the stock programs are.
fn programs() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/buildbot-4.3.0");
    assert!(
        folder.join("complete").exists(),
        "stock Buildbot is not there; scripts/buildbot.sh brings it, as `make test` does"
    );
    folder.join("bin")
}

/// A worker's process. It ends with the test.
struct Stock {
    child: Child,
    folder: tempfile::TempDir,
}

impl Stock {
    fn start(port: u16, password: &str, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base");
        let created = Process::new(programs().join("buildbot-worker"))
            .args(["create-worker", "--umask=0o022"])
            .args(options)
            .arg(&base)
            .args([&format!("127.0.0.1:{port}"), "w", password])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(
            created.status.success(),
            "{}",
            String::from_utf8_lossy(&created.stderr)
        );
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = Process::new(programs().join("twistd"))
            .args([
                "--nodaemon",
                "--no_save",
                "--pidfile=",
                "--logfile=-",
                "--python=buildbot.tac",
            ])
            .current_dir(&base)
            .env("SHOWN", "worker's own")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    fn log(&self) -> String {
        // What it says before its log is there is on its standard output.
        let read = |path| fs::read_to_string(self.folder.path().join(path)).unwrap_or_default();
        read("log") + &read("base/twistd.log")
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

enum Pipe {
    Tcp(TcpStream),
    Ws(Box<WebSocket<TcpStream>>),
}

/// Our end, whichever protocol it speaks.
struct Master {
    end: Box<dyn MasterEnd>,
    pipe: Pipe,
}

impl Master {
    fn flush(&mut self) {
        while let Some(bytes) = self.end.poll_send() {
            match &mut self.pipe {
                Pipe::Tcp(stream) => stream.write_all(&bytes).unwrap(),
                Pipe::Ws(socket) => socket.send(Message::Binary(bytes)).unwrap(),
            }
        }
    }

    fn event(&mut self) -> MasterEvent {
        loop {
            self.flush();
            if let Some(event) = self.end.poll_event() {
                return event;
            }
            match &mut self.pipe {
                Pipe::Tcp(stream) => {
                    let mut buffer = [0; 16 * 1024];
                    let len = stream.read(&mut buffer).unwrap();
                    assert!(len > 0, "the worker is gone");
                    self.end.feed(&buffer[..len]).unwrap();
                }
                Pipe::Ws(socket) => {
                    if let Message::Binary(message) = socket.read().unwrap() {
                        self.end.feed(&message).unwrap();
                    }
                }
            }
        }
    }

    fn run(&mut self, id: &str, command: &Command) -> Ran {
        self.run_with(id, command, b"", |_, _| {})
    }

    /// Runs a command to its end. What it reads is `content`.
    fn run_with(
        &mut self,
        id: &str,
        command: &Command,
        content: &[u8],
        mut on_start: impl FnMut(&mut Self, &CommandId),
    ) -> Ran {
        let id = CommandId::from(id);
        self.end.start("b", &id, command).unwrap();
        let mut ran = Ran::default();
        let mut content = content;
        loop {
            match self.event() {
                MasterEvent::Started(started) => {
                    assert_eq!(started, id);
                    on_start(self, &id);
                }
                MasterEvent::Update { id: of, update } => {
                    assert_eq!(of, id);
                    ran.take(update);
                }
                MasterEvent::Transfer {
                    id: of,
                    ticket,
                    transfer,
                } => {
                    assert_eq!(of, id);
                    match transfer {
                        Transfer::Read { length } => {
                            let len = content.len().min(length as usize);
                            let block = content[..len].to_vec();
                            content = &content[len..];
                            self.end.send_data(ticket, block.into()).unwrap();
                            continue;
                        }
                        Transfer::Write(data) => ran.written.extend_from_slice(&data),
                        Transfer::Times { modified, .. } => ran.times = Some(modified),
                        Transfer::Unpack | Transfer::Close | Transfer::ReadClose => {
                            ran.closed = Some(transfer);
                        }
                    }
                    self.end.done(ticket).unwrap();
                }
                MasterEvent::Complete { id: of, failure } => {
                    assert_eq!(of, id);
                    ran.failure = failure;
                    return ran;
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// What came of a command.
#[derive(Debug, Default)]
struct Ran {
    stdout: String,
    stderr: String,
    header: String,
    logs: String,
    rc: Option<i64>,
    others: Vec<Update>,
    written: Vec<u8>,
    closed: Option<Transfer>,
    times: Option<f64>,
    failure: Option<String>,
}

impl Ran {
    fn take(&mut self, update: Update) {
        match update {
            Update::Output { stream, lines } => match stream {
                Stream::Stdout => self.stdout.push_str(&lines.text),
                Stream::Stderr => self.stderr.push_str(&lines.text),
                Stream::Header => self.header.push_str(&lines.text),
            },
            Update::Log { name, lines } => self.logs.push_str(&format!("{name}:{}", lines.text)),
            Update::ExitCode(rc) => self.rc = Some(rc),
            other => self.others.push(other),
        }
    }

    fn ok(self) -> Self {
        assert_eq!((self.rc, &self.failure), (Some(0), &None), "{self:?}");
        self
    }
}

fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// The next connection. If none comes, the test's own time limit ends it.
fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Lets the worker log in: with a word that is known, or not.
fn door(stream: &mut TcpStream, challenge: u8, known: &str) -> Option<pb::MasterSession> {
    let mut door = Door::new(Challenge([challenge; 16]));
    loop {
        while let Some(bytes) = door.poll_send() {
            stream.write_all(&bytes).unwrap();
        }
        if let Some(login) = door.poll_login() {
            assert_eq!(login.user, "w");
            if login.proves(&PasswordDigest::of(known)) {
                return Some(pb::MasterSession::admit(door, &login).unwrap());
            }
            door.refuse().unwrap();
            while let Some(bytes) = door.poll_send() {
                stream.write_all(&bytes).unwrap();
            }
            // It goes when it has understood.
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
            return None;
        }
        let mut buffer = [0; 1024];
        let len = stream.read(&mut buffer).unwrap();
        assert!(len > 0, "the worker is gone");
        door.feed(&buffer[..len]).unwrap();
    }
}

fn over_pb() -> (Master, Stock) {
    let (listener, port) = listen();
    let stock = Stock::start(port, "secret", &[]);
    // The first time nobody knows its password: it has to come again.
    let mut stream = accept(&listener);
    assert!(door(&mut stream, 1, "another").is_none());
    drop(stream);
    let mut stream = accept(&listener);
    let session = door(&mut stream, 2, "secret").expect("the password is right");
    let master = Master {
        end: Box::new(session),
        pipe: Pipe::Tcp(stream),
    };
    (master, stock)
}

#[expect(clippy::result_large_err, reason = "the type of the error is the library's")]
fn over_msgpack() -> (Master, Stock) {
    let (listener, port) = listen();
    let stock = Stock::start(port, "secret", &["--protocol=msgpack_experimental_v7"]);
    let stream = accept(&listener);
    let mut authorization = None;
    let check = |request: &server::Request, response: server::Response| {
        authorization = request.headers().get("Authorization").cloned();
        Ok(response)
    };
    let socket = tokio_tungstenite::tungstenite::accept_hdr(stream, check).unwrap();
    // `w:secret`
    assert_eq!(authorization.unwrap(), "Basic dzpzZWNyZXQ=");
    let session = msgpack::MasterSession::new(&msgpack::Settings::default()).unwrap();
    let master = Master {
        end: Box::new(session),
        pipe: Pipe::Ws(Box::new(socket)),
    };
    (master, stock)
}

fn attach(master: &mut Master) -> WorkerInfo {
    let MasterEvent::Info(info) = master.event() else {
        panic!("the info comes first")
    };
    assert_eq!(info.version.as_deref(), Some("4.3.0"));
    assert_eq!(info.commands["shell"], "3.3");
    assert!(!info.is_slave());
    assert_eq!(info.environ["SHOWN"], "worker's own");
    assert!(info.numcpus.unwrap() > 0);
    let builder = Builder {
        name: "b".into(),
        dir: "b".into(),
    };
    master.end.set_builders(&[builder]).unwrap();
    assert_eq!(master.event(), MasterEvent::Builders(vec!["b".into()]));
    *info
}

/// Everything a worker can be told to do, the same over both protocols.
fn every_command(mut master: Master, mut stock: Stock) {
    let info = attach(&mut master);
    let style = info.paths();
    let folder = style.join(&info.basedir, "b");
    let at = |command: Command| command.resolved(style, &folder);
    let path = |path: &str| Place::new(path);

    // A program that prints to both streams and to a log, with arguments that need care.
    let script = "printf 'out é中\\n'; echo \"$1|$FOO|$GONE|$LIST\" >&2; echo log > x.log; cat; exit 3";
    let argv = ["sh", "-c", script, "sh", "a b"].map(|text| Argument::Plain(text.into()));
    let mut shell = Shell::new("build", CommandLine::Argv(argv.into()));
    shell
        .env
        .insert("FOO".into(), EnvValue::Text("<${SHOWN}>".into()));
    shell.env.insert("GONE".into(), EnvValue::Unset);
    shell
        .env
        .insert("LIST".into(), EnvValue::Paths(vec!["/a".into(), "/b".into()]));
    shell.initial_stdin = Some("typed\n".into());
    shell.timeout = Some(50.0);
    shell.logfiles.insert(
        "extra".into(),
        LogFile {
            filename: "x.log".into(),
            follow: false,
        },
    );
    let ran = master.run("1", &at(Command::Shell(Box::new(shell))));
    assert_eq!(ran.stdout, "out é中\ntyped\n");
    assert_eq!(ran.stderr, "a b|<worker's own>||/a:/b\n");
    assert_eq!(ran.logs, "extra:log\n");
    assert_eq!((ran.rc, ran.failure), (Some(3), None));
    assert!(ran.header.contains("(timeout 50 secs)"), "{}", ran.header);

    // Folders and files.
    let made = Command::MakeDirectories {
        paths: vec!["d/sub".into()],
    };
    master.run("2", &at(made)).ok();
    let content: Vec<u8> = (0..100_000_u64).map(|n| (n * n % 251) as u8).collect();
    let download = Command::DownloadFile(DownloadFile {
        place: path("d/sub/file"),
        maxsize: None,
        blocksize: 30_000,
        mode: Some(0o640),
    });
    let ran = master.run_with("3", &at(download), &content, |_, _| {}).ok();
    assert_eq!(ran.closed, Some(Transfer::ReadClose));
    assert_eq!(fs::read(Path::new(&folder).join("d/sub/file")).unwrap(), content);
    let stat = master.run("4", &at(Command::Stat(path("d/sub/file")))).ok();
    let Some(Update::Stat(stat)) = stat.others.first() else {
        panic!("{stat:?}")
    };
    assert_eq!(
        (stat.size, stat.mode & 0o777, stat.is_dir()),
        (100_000, 0o640, false)
    );
    let missing = master.run("5", &at(Command::Stat(path("nowhere"))));
    assert_eq!((missing.rc, missing.failure), (Some(2), None));

    let upload = Command::UploadFile(UploadFile {
        place: path("d/sub/file"),
        maxsize: None,
        blocksize: 64 * 1024,
        keepstamp: true,
    });
    let ran = master.run("6", &at(upload)).ok();
    assert!(ran.written == content, "sent as it is");
    assert_eq!(ran.closed, Some(Transfer::Close));
    assert_eq!(ran.times.map(|time| time as i64), Some(stat.mtime));
    // A file whose whole content is a word of the vocabulary.
    fs::write(Path::new(&folder).join("word"), "list").unwrap();
    let upload = Command::UploadFile(UploadFile {
        place: path("word"),
        maxsize: Some(1 << 40),
        blocksize: 4,
        keepstamp: false,
    });
    assert_eq!(master.run("7", &at(upload)).ok().written, b"list");
    let upload = Command::UploadDirectory(UploadDirectory {
        place: path("d"),
        maxsize: None,
        blocksize: 1000,
        compress: Some(Compression::Gz),
    });
    let ran = master.run("8", &at(upload)).ok();
    assert_eq!(ran.written[..2], [0x1f, 0x8b]);
    assert_eq!(ran.closed, Some(Transfer::Unpack));

    let copy = Command::CopyDirectory {
        from: "d".into(),
        to: "e".into(),
        limits: ironmaster_buildbot::TimeLimits::default(),
    };
    master.run("9", &at(copy)).ok();
    let files = |ran: Ran| match ran.others.first() {
        Some(Update::Files(files)) => files.clone(),
        _ => panic!("{ran:?}"),
    };
    let globbed = Command::Glob {
        path: "e/*/file".into(),
    };
    let globbed = files(master.run("10", &at(globbed)).ok());
    assert_eq!(globbed, [format!("{folder}/e/sub/file")]);
    let removed = Command::RemoveFile {
        path: "e/sub/file".into(),
    };
    master.run("11", &at(removed)).ok();
    let listed = Command::ListDirectory { path: "e/sub".into() };
    assert_eq!(files(master.run("12", &at(listed)).ok()), [""; 0]);
    let removed = Command::RemoveDirectories {
        paths: vec!["d".into(), "e".into()],
        limits: ironmaster_buildbot::TimeLimits::default(),
    };
    master.run("13", &at(removed)).ok();
    assert!(!Path::new(&folder).join("d").exists());

    // One that is ended, one that ends itself.
    let sleep = Shell::new("build", CommandLine::Line("echo begun; exec sleep 1000".into()));
    let ran = master.run_with("14", &at(Command::Shell(Box::new(sleep))), b"", |master, id| {
        master.end.interrupt(id, "no longer wanted").unwrap();
    });
    assert_eq!((ran.rc, ran.failure), (Some(-1), None));
    let mut many = Shell::new("build", CommandLine::Line("yes".into()));
    many.max_lines = Some(5);
    let ran = master.run("15", &at(Command::Shell(Box::new(many))));
    let reason = Update::FailureReason(ironmaster_buildbot::FailureReason::ManyLines);
    assert!(ran.others.contains(&reason), "{:?}", ran.others);
    // An environment that the worker does not take.
    let mut wrong = Shell::new("build", CommandLine::Line("true".into()));
    wrong.interrupt_signal = Some("NOSUCH".into());
    wrong.use_pty = true;
    let ran = master.run("16", &at(Command::Shell(Box::new(wrong)))).ok();
    assert!(ran.header.contains("using PTY: True"), "{}", ran.header);

    master.end.print("a word for the log").unwrap();
    master.end.ping(7).unwrap();
    assert_eq!(master.event(), MasterEvent::Pong(7));
    assert!(stock.log().contains("a word for the log"));
    master.end.shut_down().unwrap();
    master.flush();
    assert!(stock.child.wait().unwrap().success(), "{}", stock.log());
}

#[test]
fn a_stock_worker_over_perspective_broker() {
    let (master, stock) = over_pb();
    every_command(master, stock);
}

#[test]
fn a_stock_worker_over_msgpack() {
    let (master, stock) = over_msgpack();
    every_command(master, stock);
}
