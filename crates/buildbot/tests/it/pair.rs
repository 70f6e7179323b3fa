//! The two ends of each protocol against each other.

use std::collections::BTreeMap;

use bytes::Bytes;
use ironmaster_buildbot::{
    Argument, Builder, Command, CommandId, CommandLine, Compression, DownloadFile, EnvValue, FailureReason,
    FileStat, Lines, LogFile, MasterEnd, MasterEvent, PathStyle, Place, SessionError, Shell, Stream,
    TimeLimits, Transfer, Update, UploadDirectory, UploadFile, Value, WorkerEnd, WorkerEvent, WorkerInfo,
    msgpack,
    pb::{self, Broker, Challenge, Door, PasswordDigest, PbError, PbEvent},
};

fn info() -> WorkerInfo {
    WorkerInfo {
        admin: Some("somebody".into()),
        environ: BTreeMap::from([("HOME".into(), "/srv/w".into())]),
        system: "posix".into(),
        basedir: "/srv/w".into(),
        numcpus: Some(4),
        version: Some("9.9".into()),
        commands: BTreeMap::from([("uploadFile".into(), "3.3".into())]),
        other: BTreeMap::from([("os_id".into(), "debian".into())]),
        ..WorkerInfo::default()
    }
}

/// Both ends, attached, with the builder `b`.
struct Pair {
    master: Box<dyn MasterEnd>,
    worker: Box<dyn WorkerEnd>,
    /// Over msgpack a message is fed as a whole.
    stream: bool,
}

impl Pair {
    fn over_pb() -> Self {
        let mut worker = pb::WorkerSession::new("w", PasswordDigest::of("secret"), info());
        let mut door = Door::new(Challenge([7; 16]));
        let login = loop {
            while let Some(bytes) = door.poll_send() {
                worker.feed(&bytes).unwrap();
            }
            while let Some(bytes) = worker.poll_send() {
                door.feed(&bytes).unwrap();
            }
            if let Some(login) = door.poll_login() {
                break login;
            }
        };
        assert!(login.proves(&PasswordDigest::of("secret")));
        let master = pb::MasterSession::admit(door, &login).unwrap();
        Self::attached(Box::new(master), Box::new(worker), true)
    }

    fn over_msgpack() -> Self {
        let worker = msgpack::WorkerSession::new(info());
        let master = msgpack::MasterSession::new(&msgpack::Settings::default()).unwrap();
        Self::attached(Box::new(master), Box::new(worker), false)
    }

    fn both() -> [Self; 2] {
        [Self::over_pb(), Self::over_msgpack()]
    }

    fn attached(master: Box<dyn MasterEnd>, worker: Box<dyn WorkerEnd>, stream: bool) -> Self {
        let mut pair = Self {
            master,
            worker,
            stream,
        };
        pair.exchange();
        let MasterEvent::Info(told) = pair.master.poll_event().unwrap() else {
            panic!("the info comes first")
        };
        assert_eq!(*told, info());
        let mut heard = pair.heard();
        assert_eq!(heard.remove(0), WorkerEvent::Attached);
        if !stream {
            assert_eq!(heard, [WorkerEvent::Settings(msgpack::Settings::default())]);
        }
        pair.set_builders(&["b"]);
        pair
    }

    fn set_builders(&mut self, names: &[&str]) {
        let builders: Vec<Builder> = names
            .iter()
            .map(|name| Builder {
                name: (*name).into(),
                dir: format!("dir-{name}"),
            })
            .collect();
        self.master.set_builders(&builders).unwrap();
        self.exchange();
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(self.said(), [MasterEvent::Builders(names)]);
        let heard = self.heard();
        assert_eq!(
            heard,
            if self.stream {
                vec![WorkerEvent::Builders(builders)]
            } else {
                vec![]
            }
        );
    }

    /// Until nobody has anything to say. A stream is cut into single bytes.
    fn exchange(&mut self) {
        loop {
            let mut quiet = true;
            while let Some(bytes) = self.master.poll_send() {
                quiet = false;
                for piece in bytes.chunks(if self.stream { 1 } else { usize::MAX }) {
                    self.worker.feed(piece).unwrap();
                }
            }
            while let Some(bytes) = self.worker.poll_send() {
                quiet = false;
                for piece in bytes.chunks(if self.stream { 1 } else { usize::MAX }) {
                    self.master.feed(piece).unwrap();
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn said(&mut self) -> Vec<MasterEvent> {
        std::iter::from_fn(|| self.master.poll_event()).collect()
    }

    fn heard(&mut self) -> Vec<WorkerEvent> {
        std::iter::from_fn(|| self.worker.poll_event()).collect()
    }

    fn start(&mut self, id: &str, command: &Command) -> CommandId {
        let id = CommandId::from(id);
        self.master.start("b", &id, command).unwrap();
        self.exchange();
        assert_eq!(self.said(), [MasterEvent::Started(id.clone())]);
        id
    }
}

fn commands() -> Vec<Command> {
    let mut shell = Shell::new(
        "/srv/w/build",
        CommandLine::Argv(vec![
            Argument::Plain("make".into()),
            Argument::Plain("a b".into()),
        ]),
    );
    shell.env = BTreeMap::from([
        ("A".into(), EnvValue::Unset),
        ("B".into(), EnvValue::Text("${PATH}".into())),
        ("C".into(), EnvValue::Paths(vec!["/a".into(), "/b".into()])),
    ]);
    shell.want_stderr = false;
    shell.logfiles = BTreeMap::from([(
        "log".into(),
        LogFile {
            filename: "x.log".into(),
            follow: true,
        },
    )]);
    shell.timeout = Some(1200.0);
    shell.max_time = Some(1.5);
    shell.max_lines = Some(10);
    shell.sigterm_time = Some(5.0);
    shell.use_pty = true;
    shell.log_environ = false;
    shell.initial_stdin = Some("é".into());
    shell.interrupt_signal = Some("INT".into());
    let limits = TimeLimits {
        timeout: None,
        max_time: Some(3.0),
        log_environ: false,
    };
    let mut line = Shell::new("/x", CommandLine::Line("make | tee".into()));
    line.interrupt_signal = Some("KILL".into());
    vec![
        Command::Shell(Box::new(shell)),
        Command::Shell(Box::new(line)),
        Command::MakeDirectories {
            paths: vec!["/x/y".into()],
        },
        Command::RemoveDirectories {
            paths: vec!["/x".into(), "/y".into()],
            limits,
        },
        Command::CopyDirectory {
            from: "/x".into(),
            to: "/y".into(),
            limits: TimeLimits::default(),
        },
        Command::Stat(Place::new("/x")),
        Command::Glob { path: "/x/**".into() },
        Command::ListDirectory { path: "/x".into() },
        Command::RemoveFile { path: "/x".into() },
    ]
}

fn transfers() -> [Command; 3] {
    [
        Command::UploadFile(UploadFile {
            place: Place::new("/x"),
            maxsize: Some(1 << 40),
            blocksize: 1000,
            keepstamp: true,
        }),
        Command::UploadDirectory(UploadDirectory {
            place: Place::new("/x"),
            maxsize: None,
            blocksize: 1000,
            compress: Some(Compression::Bz2),
        }),
        Command::DownloadFile(DownloadFile {
            place: Place::new("/x"),
            maxsize: None,
            blocksize: 1000,
            mode: Some(0o755),
        }),
    ]
}

/// What arrives of a command: over Perspective Broker a place is seen from the folder that it was sent with.
fn arrived(command: Command) -> Command {
    command.resolved(PathStyle::Posix, "/srv/w/dir-b")
}

#[test]
fn commands_arrive_as_they_were_sent() {
    for mut pair in Pair::both() {
        for (number, command) in commands().into_iter().chain(transfers()).enumerate() {
            let id = pair.start(&number.to_string(), &command);
            let heard = pair.heard();
            let [
                WorkerEvent::Start {
                    id: told,
                    dir,
                    command: got,
                },
            ] = heard.as_slice()
            else {
                panic!("{heard:?}")
            };
            assert_eq!((told, dir.as_deref()), (&id, pair.stream.then_some("dir-b")));
            assert_eq!(arrived(got.clone()), command);
            pair.worker.complete(&id, None).unwrap();
            pair.exchange();
            assert_eq!(pair.said(), [MasterEvent::Complete { id, failure: None }]);
        }
        assert_eq!(pair.worker.unanswered(), 0);
    }
}

#[test]
fn news_arrives_as_it_was_told() {
    let stat = FileStat {
        mode: 0o100_644,
        ino: 1 << 63,
        dev: 1,
        nlink: 1,
        uid: 0,
        gid: 0,
        size: 1 << 40,
        atime: -1,
        mtime: 0,
        ctime: 1,
    };
    let output = |stream, text: &str| Update::Output {
        stream,
        lines: Lines::new(text),
    };
    let news = [
        output(Stream::Header, "make\n"),
        output(Stream::Stdout, "é中\nmessage\n"),
        output(Stream::Stderr, "error\n"),
        Update::Log {
            name: "list".into(),
            lines: Lines::new("x\n"),
        },
        Update::ExitCode(-1),
        Update::FailureReason(FailureReason::Silent),
        Update::FailureReason(FailureReason::Slow),
        Update::FailureReason(FailureReason::Other("else".into())),
        Update::Elapsed(0.25),
        Update::Stat(stat),
        Update::Files(vec!["a".into(), "é".into()]),
    ];
    for mut pair in Pair::both() {
        let id = pair.start("1", &commands()[1]);
        pair.worker.update(&id, &news).unwrap();
        pair.worker.complete(&id, Some("it broke")).unwrap();
        pair.exchange();
        let mut said = pair.said();
        let Some(MasterEvent::Complete {
            failure: Some(failure),
            ..
        }) = said.pop()
        else {
            panic!("it is over")
        };
        assert!(failure.ends_with("it broke"), "{failure}");
        let told: Vec<Update> = said
            .into_iter()
            .map(|event| match event {
                MasterEvent::Update { update, .. } => update,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(told, news);
        assert!(matches!(
            pair.worker.update(&id, &news),
            Err(SessionError::NotRunning(_))
        ));
    }
}

#[test]
fn files_go_both_ways_block_by_block() {
    for mut pair in Pair::both() {
        let [file, folder, download] = transfers();
        let blocks = [
            (
                file,
                vec![
                    Transfer::Write(Bytes::from_static(b"list")),
                    Transfer::Close,
                    Transfer::Times {
                        accessed: 1.5,
                        modified: 2.0,
                    },
                ],
            ),
            (
                folder,
                vec![Transfer::Write(Bytes::from_static(b"\xff")), Transfer::Unpack],
            ),
            (
                download,
                vec![Transfer::Read { length: 1000 }, Transfer::ReadClose],
            ),
        ];
        for (number, (command, blocks)) in blocks.into_iter().enumerate() {
            let id = pair.start(&number.to_string(), &command);
            pair.heard();
            for block in blocks {
                pair.worker.transfer(&id, &block).unwrap();
                pair.exchange();
                assert_eq!(pair.heard(), [], "the next has to wait");
                let said = pair.said();
                let [MasterEvent::Transfer { ticket, transfer, .. }] = said.as_slice() else {
                    panic!("{said:?}")
                };
                assert_eq!(*transfer, block);
                let answer = if let Transfer::Read { .. } = transfer {
                    let data = Bytes::from_static(b"message");
                    pair.master.send_data(*ticket, data.clone()).unwrap();
                    WorkerEvent::Data { id: id.clone(), data }
                } else {
                    pair.master.done(*ticket).unwrap();
                    WorkerEvent::Done(id.clone())
                };
                // A second answer is not sent: a stock worker would be lost by it.
                pair.master.done(*ticket).unwrap();
                pair.exchange();
                assert_eq!(pair.heard(), [answer]);
            }
            pair.worker.complete(&id, None).unwrap();
            pair.exchange();
            pair.said();
        }
    }
}

#[test]
fn commands_end_before_their_time() {
    for mut pair in Pair::both() {
        let command = &commands()[1];
        let id = pair.start("1", command);
        pair.heard();
        assert!(matches!(
            pair.master.start("b", &id, command),
            Err(SessionError::Running(_))
        ));
        assert!(matches!(
            pair.master.start("c", &"2".into(), command),
            Err(SessionError::NoBuilder(_))
        ));
        let second = pair.master.start("b", &"2".into(), command);
        assert_eq!(
            matches!(second, Err(SessionError::Busy(_))),
            pair.master.one_command_a_builder()
        );
        pair.master.interrupt(&id, "enough").unwrap();
        pair.master.interrupt(&"unknown".into(), "enough").unwrap();
        pair.exchange();
        let interrupt = WorkerEvent::Interrupt {
            id: id.clone(),
            why: "enough".into(),
        };
        assert!(pair.heard().contains(&interrupt));
        pair.worker.complete(&id, None).unwrap();
        pair.exchange();
        pair.master.interrupt(&id, "late").unwrap();
        pair.master.ping(5).unwrap();
        pair.master.print("a word").unwrap();
        pair.master.shut_down().unwrap();
        pair.exchange();
        assert!(pair.said().contains(&MasterEvent::Pong(5)));
        let heard = pair.heard();
        assert!(heard.contains(&WorkerEvent::Print("a word".into())));
        assert_eq!(heard.last(), Some(&WorkerEvent::Shutdown));
    }
}

#[test]
fn a_builder_that_goes_takes_its_command_with_it() {
    let mut pair = Pair::over_pb();
    let id = pair.start("1", &commands()[1]);
    pair.heard();
    pair.master
        .set_builders(&[Builder {
            name: "c".into(),
            dir: "c".into(),
        }])
        .unwrap();
    pair.exchange();
    let why = "its builder is no more".into();
    assert!(
        pair.heard()
            .contains(&WorkerEvent::Interrupt { id: id.clone(), why })
    );
    assert!(matches!(
        &pair.said()[..],
        [MasterEvent::Complete { id: gone, failure: Some(_) }, MasterEvent::Builders(_)] if *gone == id
    ));
    // What it still has to say is refused, and harmless.
    pair.worker.complete(&id, None).unwrap();
    pair.exchange();
    assert_eq!(pair.said(), []);
}

#[test]
fn what_one_protocol_cannot_say_is_refused_before_it_is_said() {
    let hidden = Argument::Obfuscated {
        real: "hunter2".into(),
        shown: "***".into(),
    };
    assert!(!format!("{hidden:?}").contains("hunter2"));
    let mut hidden = Shell::new("/x", CommandLine::Argv(vec![hidden]));
    hidden.interrupt_signal = Some("KILL".into());
    let hidden = Command::Shell(Box::new(hidden));
    let two = Command::MakeDirectories {
        paths: vec!["/x".into(), "/y".into()],
    };
    let place = Place {
        workdir: Some("build".into()),
        path: "x".into(),
    };
    let relative = Command::Stat(place);
    for (over_pb, command) in [(false, hidden), (true, two), (false, relative)] {
        let mut pair = if over_pb {
            Pair::over_pb()
        } else {
            Pair::over_msgpack()
        };
        let error = pair.master.start("b", &"1".into(), &command).unwrap_err();
        assert!(matches!(error, SessionError::Command(_)), "{error}");
        pair.exchange();
        assert_eq!(pair.heard(), []);
        // The other one can.
        let mut pair = if over_pb {
            Pair::over_msgpack()
        } else {
            Pair::over_pb()
        };
        pair.start("1", &command);
        let heard = pair.heard();
        let [WorkerEvent::Start { command: got, .. }] = heard.as_slice() else {
            panic!("{heard:?}")
        };
        assert_eq!(*got, command);
    }
}

/// A worker from before slaves became workers, as far as it differs.
#[test]
fn an_old_slave_is_asked_in_its_own_words() {
    let mut door = Door::new(Challenge([1; 16]));
    let mut slave = Broker::client(ironmaster_buildbot::Limits::PEER);
    let mind = slave.export();
    let mut session: Option<pb::MasterSession> = None;
    let mut asked = Vec::new();
    let mut upload = Value::None;
    let remote = |object| Value::Remote(ironmaster_buildbot::ObjectId::Number(object));
    for _ in 0..20 {
        let output = match &mut session {
            Some(session) => session.poll_send(),
            None => door.poll_send(),
        };
        slave.feed(&output.unwrap_or_default()).unwrap();
        while let Some(event) = slave.poll_event() {
            match event {
                PbEvent::Ready => {
                    let name = vec![Value::bytes("w")];
                    slave
                        .call(&ironmaster_buildbot::ObjectId::ROOT, "login", name, vec![])
                        .unwrap();
                }
                PbEvent::Answer {
                    result: Ok(Value::Tuple(parts)),
                    ..
                } => {
                    let (Value::Bytes(_), Value::Remote(challenger)) = (&parts[0], &parts[1]) else {
                        panic!()
                    };
                    // No password is checked here.
                    let proof = vec![Value::bytes(vec![0; 16]), remote(mind)];
                    slave.call(challenger, "respond", proof, vec![]).unwrap();
                }
                PbEvent::Call(call) => {
                    asked.push(call.method.clone());
                    let answer = match call.method.as_str() {
                        "getSlaveInfo" => Value::Dict(vec![(Value::bytes("admin"), Value::bytes("old"))]),
                        "getCommands" => {
                            Value::Dict(vec![(Value::bytes("uploadFile"), Value::bytes("2.16"))])
                        }
                        "getVersion" => Value::bytes("0.8.12"),
                        "setBuilderList" => {
                            let builder = slave.export();
                            Value::Dict(vec![(Value::bytes("b"), remote(builder))])
                        }
                        "startCommand" => {
                            upload = call.args[3].clone();
                            let Value::Remote(command) = call.args[0].clone() else {
                                panic!()
                            };
                            // Several entries at once, and byte strings.
                            let news = Value::Dict(vec![
                                (Value::bytes("header"), Value::bytes("par")),
                                (Value::bytes("rc"), Value::Int(0)),
                            ]);
                            let pairs = Value::List(vec![Value::List(vec![news, Value::Int(3)])]);
                            slave.call(&command, "update", vec![pairs], vec![]).unwrap();
                            Value::None
                        }
                        _ => {
                            let failure = pb::Failure::no_method(&call.method);
                            slave.fail(call.request, &failure).unwrap();
                            continue;
                        }
                    };
                    slave.answer(call.request, &answer).unwrap();
                }
                _ => {}
            }
        }
        let output = slave.take_output().unwrap_or_default();
        if let Some(session) = &mut session {
            session.feed(&output).unwrap();
        } else {
            door.feed(&output).unwrap();
            if let Some(login) = door.poll_login() {
                let admitted = std::mem::replace(&mut door, Door::new(Challenge([0; 16])));
                session = Some(pb::MasterSession::admit(admitted, &login).unwrap());
            }
        }
        if let Some(session) = &mut session {
            while let Some(event) = session.poll_event() {
                match event {
                    MasterEvent::Info(info) => {
                        assert!(info.is_slave());
                        assert_eq!(
                            (info.admin.as_deref(), info.version.as_deref()),
                            (Some("old"), Some("0.8.12"))
                        );
                        let builder = Builder {
                            name: "b".into(),
                            dir: "b".into(),
                        };
                        session.set_builders(&[builder]).unwrap();
                    }
                    MasterEvent::Builders(_) => session.start("b", &"1".into(), &transfers()[0]).unwrap(),
                    MasterEvent::Update { update, .. } => asked.push(format!("{update:?}")),
                    _ => {}
                }
            }
        }
    }
    assert_eq!(
        asked[..6],
        [
            "getWorkerInfo",
            "getSlaveInfo",
            "getCommands",
            "getVersion",
            "setBuilderList",
            "startCommand"
        ]
    );
    assert!(asked[6].contains("par") && asked[7] == "ExitCode(0)", "{asked:?}");
    assert!(upload.get("slavesrc").is_some() && upload.get("workersrc").is_none());
}

#[test]
fn misbehaviour_ends_that_connection_with_a_reason() {
    let offer = |bytes: &[u8]| {
        let mut door = Door::new(Challenge([0; 16]));
        door.feed(bytes).unwrap_err().to_string()
    };
    let table: &[(&[u8], &str)] = &[
        (
            b"GET / HTTP/1.1\r\nHost: a.very.long.name.so.that.there.are.more.than.sixty.four\r\n",
            "64 bytes",
        ),
        (b"\x03\x82ssl", "no dialect"),
        (b"\x02\x80\x02\x82pb\x02\x82pb", "malformed `choice of dialect`"),
        (b"\x02\x82pb\x02\x80\x13\x87\x05\x81", "version 5"),
        (b"\x02\x82pb\x02\x80\x1b\x87\x05\x81", "before its version"),
        (
            b"\x02\x82pb\x02\x80\x13\x87\x06\x81\x03\x80\x1b\x87\x01\x81\x01\x81",
            "answered call 1",
        ),
        (
            b"\x02\x82pb\x02\x80\x13\x87\x06\x81\x02\x80\x1a\x87\x01\x81",
            "malformed `message`",
        ),
        (
            b"\x02\x82pb\x02\x80\x13\x87\x06\x81\x7f\x7f\x03\x82",
            "longer than the limit of 4096",
        ),
        (
            b"\x04\x82none\x02\x80\x13\x87\x06\x81",
            "dialect `none` does not have",
        ),
    ];
    for (bytes, reason) in table {
        let error = offer(bytes);
        assert!(error.contains(reason), "{error}");
    }
    // Whoever has not logged in gets nothing, however it asks.
    let mut door = Door::new(Challenge([0; 16]));
    let mut client = Broker::client(ironmaster_buildbot::Limits::PEER);
    client.feed(&door.poll_send().unwrap()).unwrap();
    assert_eq!(client.poll_event(), Some(PbEvent::Ready));
    let root = ironmaster_buildbot::ObjectId::ROOT;
    for object in [root.clone(), ironmaster_buildbot::ObjectId::Number(1)] {
        client.call(&object, "addChange", vec![], vec![]).unwrap();
    }
    client
        .call(&root, "loginAnonymous", vec![Value::None], vec![])
        .unwrap();
    door.feed(&client.take_output().unwrap()).unwrap();
    assert_eq!(door.poll_login(), None);
    client.feed(&door.poll_send().unwrap()).unwrap();
    let failures: Vec<bool> = std::iter::from_fn(|| client.poll_event())
        .map(|event| matches!(event, PbEvent::Answer { result: Err(_), .. }))
        .collect();
    assert_eq!(failures, [true; 3]);
    // A stranger who calls without waiting.
    for _ in 0..2 {
        client
            .call(&root, "login", vec![Value::text("w")], vec![])
            .unwrap();
    }
    door.feed(&client.take_output().unwrap()).unwrap();
    assert!(matches!(
        pb::ChangesSession::admit(door),
        Err(SessionError::Pb(PbError::Misuse { .. }))
    ));

    let mut master = msgpack::MasterSession::new(&msgpack::Settings::default()).unwrap();
    let response = Value::dict([("op", "response".into()), ("seq_number", 9_u64.into())]);
    let error = master.feed(&msgpack::encode(&response).unwrap()).unwrap_err();
    assert!(error.to_string().contains("answered request 9"), "{error}");
    let fine = msgpack::encode(&Value::Int(1)).unwrap();
    assert!(
        matches!(master.feed(&fine), Err(SessionError::Closed)),
        "it has ended"
    );
    let mut master = msgpack::MasterSession::new(&msgpack::Settings::default()).unwrap();
    // No message of this protocol at all is dropped, as stock programs do it.
    master.feed(&fine).unwrap();
    let error = master.feed(&[0xc1]).unwrap_err();
    assert!(error.to_string().contains("byte 1 of the message"), "{error}");
}
