//! What may come when, from both ends.

use std::time::Duration;

use bytes::Bytes;
use ironmaster_wire::{
    Exec, Exited, FailureKind, Frame, Limits, LogFile, MasterEvent, MasterSession, Outcome, ProtocolError,
    Stream, Verb, Welcome, WorkerEvent, WorkerMessage, WorkerSession,
};

use crate::{chunk, exchange, greeted, hello, id, report, text};

const HELLO: &str =
    r#"{"type":"hello","protocol_min":1,"protocol_max":1,"name":"w","token":"t","instance":"i"}"#;

#[test]
fn what_a_worker_has_not_promised_is_not_sent_to_it() {
    let (mut master, mut worker) = greeted(vec![], 100);
    for exec in [
        Exec {
            pty: true,
            ..Exec::default()
        },
        Exec {
            log_files: vec![LogFile {
                name: "log".into(),
                path: "log".into(),
                follow: false,
            }],
            ..Exec::default()
        },
    ] {
        master.start(id(0), "d".into(), Verb::Exec(exec)).unwrap();
        match master.poll_event() {
            Some(MasterEvent::Exited(exited)) => assert!(
                matches!(&exited.outcome, Outcome::StartFailed { message } if message.contains("upgrade it")),
                "{exited:?}"
            ),
            other => panic!("{other:?}"),
        }
    }
    exchange(&mut master, &mut worker);
    assert_eq!(worker.poll_event(), None);
    // It is forgotten like any other.
    master.forget(id(0));
    exchange(&mut master, &mut worker);
    assert_eq!(worker.poll_event(), Some(WorkerEvent::Forget { id: id(0) }));
}

#[test]
fn a_command_goes_from_start_to_forgotten() {
    let (mut master, mut worker) = greeted(vec![], 100);
    master.start(id(0), "d".into(), Verb::Info).unwrap();
    exchange(&mut master, &mut worker);
    let start = WorkerEvent::Start {
        id: id(0),
        digest: "d".into(),
        verb: Verb::Info,
    };
    assert_eq!(worker.poll_event(), Some(start));

    worker.attach(id(0), 0);
    worker.output(id(0), Stream::Stdout, b"abc").unwrap();
    worker.output(id(0), Stream::Stderr, b"de").unwrap();
    let exited = Exited {
        id: id(0),
        outcome: Outcome::Exit { code: 0 },
        output_end: 5,
        duration_ms: 1,
    };
    worker.exited(&exited).unwrap();
    exchange(&mut master, &mut worker);
    for (offset, stream, data) in [(0, Stream::Stdout, "abc"), (3, Stream::Stderr, "de")] {
        match master.poll_event() {
            Some(MasterEvent::Output(chunk)) => {
                assert_eq!(
                    (chunk.offset, chunk.stream, &chunk.data[..]),
                    (offset, stream, data.as_bytes())
                );
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(master.poll_event(), Some(MasterEvent::Exited(exited)));

    master.ack(id(0), 5);
    master.ack(id(0), 4); // old news
    master.forget(id(0));
    exchange(&mut master, &mut worker);
    assert_eq!(
        worker.poll_event(),
        Some(WorkerEvent::Ack { id: id(0), offset: 5 })
    );
    assert_eq!(worker.poll_event(), Some(WorkerEvent::Forget { id: id(0) }));
    worker.forgotten(id(0));
    exchange(&mut master, &mut worker);
    assert_eq!(master.poll_event(), Some(MasterEvent::Forgotten { id: id(0) }));
    assert_eq!((master.poll_event(), worker.poll_event()), (None, None));
}

#[test]
fn a_worker_that_breaks_the_rules_is_told_which() {
    let exited =
        r#"{"type":"exited","id":"1.2.0","outcome":{"type":"exit","code":0},"output_end":5,"duration_ms":1}"#;
    let huge = "x".repeat(Limits::default().max_text + 1);
    let table: &[(&str, &[Frame], &str)] = &[
        (
            "a second hello",
            &[text(HELLO)],
            "hello may not come a second time",
        ),
        (
            "an unknown type",
            &[text(r#"{"type":"dance"}"#)],
            "not a message of this protocol: unknown variant `dance`",
        ),
        (
            "no JSON",
            &[text("hi")],
            "not a message of this protocol: expected value",
        ),
        (
            "a master's message",
            &[text(r#"{"type":"forget","id":"1.2.0"}"#)],
            "unknown variant `forget`",
        ),
        (
            "a wrong id",
            &[text(r#"{"type":"lost","id":"1.2","reason":""}"#)],
            "a command id is three numbers",
        ),
        (
            "too much text",
            &[Frame::Text(huge)],
            "a text frame of 1048577 bytes is larger than the limit of 1048576",
        ),
        (
            "too much data",
            &[Frame::Binary(Bytes::from(vec![1; 26 + 256 * 1024 + 1]))],
            "a binary frame of 262145 bytes is larger than the limit of 262144",
        ),
        (
            "a short frame",
            &[Frame::Binary(Bytes::from_static(b"\x01"))],
            "shorter than its header",
        ),
        (
            "an unknown command",
            &[chunk(9, 0, b"x")],
            "output for command 1.2.9, which was neither started nor resumed",
        ),
        (
            "an early command",
            &[chunk(1, 10, b"x")],
            "output for command 1.2.1, which was neither started nor resumed",
        ),
        (
            "a gap",
            &[chunk(0, 1, b"x")],
            "output of command 1.2.0 continues at byte 1, expected byte 0",
        ),
        (
            "an overlap",
            &[chunk(0, 0, b"ab"), chunk(0, 1, b"x")],
            "continues at byte 1, expected byte 2",
        ),
        (
            "too much at once",
            &[chunk(0, 0, b"01234567890")],
            "reaches byte 11, but only bytes below 10 were allowed",
        ),
        (
            "an early end",
            &[text(exited)],
            "continues at byte 5, expected byte 0",
        ),
        (
            "output after the end",
            &[chunk(0, 0, b"01234"), text(exited), chunk(0, 5, b"x")],
            "output may not come after the command's outcome",
        ),
        (
            "nothing to forget",
            &[text(r#"{"type":"forgotten","id":"1.2.0"}"#)],
            "forgotten for command 1.2.0",
        ),
    ];
    for (name, frames, expected) in table {
        let (mut master, _worker) = greeted(vec![report(1, 10, 20)], 10);
        master.start(id(0), "d".into(), Verb::Info).unwrap();
        while master.poll_send().is_some() {}
        let (last, first) = frames.split_last().unwrap();
        for frame in first {
            master
                .feed(frame.clone(), Duration::ZERO)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        let error = master
            .feed(last.clone(), Duration::ZERO)
            .expect_err(name)
            .to_string();
        assert!(error.contains(expected), "{name}: {error}");
        // The worker hears the reason, and nothing goes on.
        let Some(Frame::Text(goodbye)) = master.poll_send() else {
            panic!("{name}: no goodbye")
        };
        let goodbye: serde_json::Value = serde_json::from_str(&goodbye).unwrap();
        assert_eq!(
            (&goodbye["type"], &goodbye["reason"]),
            (&"goodbye".into(), &error.as_str().into())
        );
        assert!(master.is_closed() && master.poll_send().is_none() && master.poll_timeout().is_none());
        assert!(matches!(
            master.feed(chunk(0, 0, b"x"), Duration::ZERO),
            Err(ProtocolError::Closed)
        ));
    }
}

#[test]
fn a_greeting_that_breaks_the_rules_is_refused() {
    let reported = |commands: &str| {
        HELLO.replace(
            r#""instance":"i""#,
            &format!(r#""instance":"i","commands":[{commands}]"#),
        )
    };
    let one = r#"{"id":"1.1.1","digest":"d","output_start":0,"output_end":0,"exited":false}"#;
    let table = [
        (
            text(r#"{"type":"ping","nonce":1}"#),
            "ping may not come before hello",
        ),
        (chunk(0, 0, b"x"), "output may not come before hello"),
        (
            text(
                &HELLO
                    .replace(r#""protocol_min":1"#, r#""protocol_min":2"#)
                    .replace(r#""protocol_max":1"#, r#""protocol_max":3"#),
            ),
            "speaks 2 to 3, this side 1 to 1",
        ),
        (
            text(&HELLO.replace(r#""w""#, r#""""#)),
            "hello: the name must have 1 to 256 bytes",
        ),
        (
            text(&HELLO.replace(r#""i""#, r#""""#)),
            "hello: the instance must have 1 to 256 bytes",
        ),
        (
            text(&reported(&format!("{one},{one}"))),
            "command 1.1.1 is reported twice",
        ),
        (
            text(&reported(
                &one.replace(r#""output_start":0"#, r#""output_start":1"#),
            )),
            "ends before it starts",
        ),
        (
            text(&reported(&vec![one; 2049].join(","))),
            "2049 commands are reported, at most 2048 may be",
        ),
    ];
    for (frame, expected) in table {
        let mut master = MasterSession::new(Limits::default(), Duration::ZERO);
        let error = master.feed(frame, Duration::ZERO).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        let Some(Frame::Text(refused)) = master.poll_send() else {
            panic!("no refusal")
        };
        assert!(
            refused.starts_with(r#"{"type":"refused","#) && refused.contains(r#""retry":true"#),
            "{refused}"
        );
        assert_eq!(master.poll_event(), None);
    }
    let mut master = MasterSession::new(Limits::default(), Duration::ZERO);
    master.feed(text(HELLO), Duration::ZERO).unwrap();
    let error = master
        .feed(text(r#"{"type":"ping","nonce":1}"#), Duration::ZERO)
        .unwrap_err();
    assert_eq!(error.to_string(), "ping may not come before welcome");
}

#[test]
fn a_master_that_breaks_the_rules_is_told_which() {
    let welcome =
        r#"{"type":"welcome","protocol":1,"session":"s","lease_ms":1,"heartbeat_ms":1,"window_bytes":1}"#;
    let before: &[(&str, &str)] = &[
        (
            r#"{"type":"start","id":"1.1.1","digest":"d","verb":{"type":"info"}}"#,
            "start may not come before welcome",
        ),
        (r#"{"type":"ping","nonce":1}"#, "ping may not come before welcome"),
        (
            &welcome.replace(r#""protocol":1"#, r#""protocol":2"#),
            "the other side speaks 2 to 2, this side 1 to 1",
        ),
        (
            &welcome.replace(r#""heartbeat_ms":1"#, r#""heartbeat_ms":0"#),
            "must be more than 0",
        ),
        ("{}", "not a message of this protocol: missing field `type`"),
    ];
    for (message, expected) in before {
        let mut worker = WorkerSession::new(hello(vec![]), Limits::default(), Duration::ZERO);
        let error = worker
            .feed(text(message), Duration::ZERO)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
    let after = [
        (text(welcome), "welcome may not come after welcome"),
        (
            text(r#"{"type":"refused","reason":"","retry":true}"#),
            "refused may not come after welcome",
        ),
        (chunk(0, 0, b"x"), "a binary frame may not come from a master"),
        (
            text(r#"{"type":"ack","id":"1.2.0","offset":1}"#),
            "acknowledged up to byte 1, but only 0 were sent",
        ),
        (
            text(r#"{"type":"start","id":"1.2.0","digest":"d","verb":{"type":"fly"}}"#),
            "unknown variant `fly`",
        ),
    ];
    for (frame, expected) in after {
        let (_master, mut worker) = greeted(vec![], 10);
        worker.attach(id(0), 0);
        let error = worker.feed(frame, Duration::ZERO).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(matches!(worker.poll_send(), Some(Frame::Text(last)) if last.contains("goodbye")));
        assert!(!worker.is_open());
    }
}

#[test]
fn unknown_fields_are_ignored() {
    let mut master = MasterSession::new(Limits::default(), Duration::ZERO);
    let future = HELLO.replace(r#""name""#, r#""mood":{"good":[1]},"name""#);
    master.feed(text(&future), Duration::ZERO).unwrap();
    assert!(matches!(master.poll_event(), Some(MasterEvent::Hello(_))));
}

#[test]
fn the_newest_common_version_is_spoken() {
    let mut master = MasterSession::new(Limits::default(), Duration::ZERO);
    master
        .feed(
            text(&HELLO.replace(r#""protocol_max":1"#, r#""protocol_max":7"#)),
            Duration::ZERO,
        )
        .unwrap();
    master.welcome(Welcome::new("s"), Duration::ZERO).unwrap();
    assert!(matches!(master.poll_send(), Some(Frame::Text(welcome)) if welcome.contains(r#""protocol":1,"#)));
}

#[test]
fn calls_at_the_wrong_moment_do_no_harm() {
    let mut master = MasterSession::new(Limits::default(), Duration::ZERO);
    let misuse =
        |result: Result<(), ProtocolError>| assert!(matches!(result, Err(ProtocolError::Misuse { .. })));
    misuse(master.welcome(Welcome::new("s"), Duration::ZERO));
    misuse(master.start(id(0), "d".into(), Verb::Info));
    misuse(master.resume(id(0), 0));
    master.ack(id(0), 5);
    master.forget(id(0));
    assert_eq!(master.poll_send(), None);

    let (mut master, _worker) = greeted(vec![report(1, 10, 20)], 10);
    for offset in [9, 21] {
        let error = master.resume(id(1), offset).unwrap_err();
        assert!(
            matches!(
                error,
                ProtocolError::CannotResume {
                    start: 10,
                    end: 20,
                    ..
                }
            ),
            "{error}"
        );
    }
    assert!(matches!(
        master.start(id(1), "d".into(), Verb::Info),
        Err(ProtocolError::CannotResume { .. })
    ));
    assert!(matches!(
        master.resume(id(5), 0),
        Err(ProtocolError::UnknownCommand { .. })
    ));
    let large = Verb::Mkdir {
        path: "x".repeat(2 << 20),
    };
    assert!(matches!(
        master.start(id(2), "d".into(), large),
        Err(ProtocolError::TooLarge { .. })
    ));
    master.forget(id(1));
    misuse(master.start(id(1), "d".into(), Verb::Info));
    assert!(!master.is_closed());

    let (_master, mut worker) = greeted(vec![], 4);
    assert!(matches!(
        worker.output(id(0), Stream::Stdout, b"x"),
        Err(ProtocolError::UnknownCommand { .. })
    ));
    worker.attach(id(0), 7);
    assert_eq!((worker.sendable(id(0)), worker.next_offset(id(0))), (4, Some(7)));
    assert!(matches!(
        worker.output(id(0), Stream::Stdout, b"12345"),
        Err(ProtocolError::WindowExceeded { .. })
    ));
    worker.output(id(0), Stream::Stdout, b"1234").unwrap();
    assert_eq!(worker.sendable(id(0)), 0);
    let early = Exited {
        id: id(0),
        outcome: Outcome::OutputLimit,
        output_end: 12,
        duration_ms: 0,
    };
    assert!(matches!(
        worker.exited(&early),
        Err(ProtocolError::Gap { expected: 11, .. })
    ));
    worker
        .feed(text(r#"{"type":"ack","id":"1.2.0","offset":9}"#), Duration::ZERO)
        .unwrap();
    assert_eq!(worker.sendable(id(0)), 2);
}

#[test]
fn what_comes_of_a_command_that_is_being_forgotten_is_dropped() {
    let (mut master, mut worker) = greeted(vec![], 100);
    master.start(id(0), "d".into(), Verb::Info).unwrap();
    exchange(&mut master, &mut worker);
    worker.attach(id(0), 0);
    worker.output(id(0), Stream::Stdout, b"on its way").unwrap();
    master.forget(id(0));
    master.forget(id(0));
    worker.lost(id(0), "crossed");
    exchange(&mut master, &mut worker);
    assert_eq!(master.poll_event(), None);
    worker.forgotten(id(0));
    exchange(&mut master, &mut worker);
    assert_eq!(master.poll_event(), Some(MasterEvent::Forgotten { id: id(0) }));
}

#[test]
fn both_ends_ask_for_signs_of_life_and_give_up_in_time() {
    let (mut master, mut worker) = greeted(vec![], 100);
    let at = Duration::from_secs;
    assert_eq!(
        (master.poll_timeout(), worker.poll_timeout()),
        (Some(at(10)), Some(at(10)))
    );
    master.handle_timeout(at(10)).unwrap();
    let ping = master.poll_send().unwrap();
    worker.feed(ping, at(11)).unwrap();
    let pong = worker.poll_send().unwrap();
    assert_eq!(pong, text(r#"{"type":"pong","nonce":1}"#));
    master.feed(pong, at(12)).unwrap();
    assert_eq!(
        (master.poll_timeout(), worker.poll_timeout()),
        (Some(at(22)), Some(at(21)))
    );
    for (now, alive) in [(21, true), (31, true), (36, false)] {
        assert_eq!(worker.handle_timeout(at(now)).is_ok(), alive, "{now}");
    }
    assert!(!worker.is_open());
    let error = master.handle_timeout(at(40)).unwrap_err();
    assert_eq!(error.to_string(), "nothing heard from the other side for 28.0 s");
}

#[test]
fn a_flood_of_pings_waits_in_one_place() {
    let (mut master, _worker) = greeted(vec![], 100);
    for nonce in 0..1000 {
        master
            .feed(
                text(&format!(r#"{{"type":"ping","nonce":{nonce}}}"#)),
                Duration::ZERO,
            )
            .unwrap();
    }
    assert_eq!(master.poll_send(), Some(text(r#"{"type":"pong","nonce":999}"#)));
    assert_eq!(master.poll_send(), None);
}

#[test]
fn a_greeting_has_a_time_limit() {
    let limits = Limits::default();
    let mut master = MasterSession::new(limits, Duration::from_secs(5));
    assert_eq!(master.poll_timeout(), Some(Duration::from_secs(35)));
    master.handle_timeout(Duration::from_secs(34)).unwrap();
    let error = master.handle_timeout(Duration::from_secs(35)).unwrap_err();
    assert_eq!(error.to_string(), "the greeting was not complete within 30 s");
    let mut worker = WorkerSession::new(hello(vec![]), limits, Duration::ZERO);
    assert!(worker.handle_timeout(Duration::from_secs(30)).is_err());
}

#[test]
fn a_token_is_never_shown() {
    let hello = hello(vec![]);
    assert!(!format!("{hello:?} {:?}", MasterEvent::Hello(Box::new(hello.clone()))).contains("secret"));
}

#[test]
fn an_outcome_too_large_for_a_message_is_a_failure() {
    let (mut master, mut worker) = greeted(vec![], 100);
    // The largest that fits, and one that is a byte larger.
    let empty = Exited {
        id: id(0),
        outcome: Outcome::Interrupted {
            reason: String::new(),
        },
        output_end: 0,
        duration_ms: 1,
    };
    let room = Limits::default().max_text - WorkerMessage::Exited(empty.clone()).encode().len();
    for (ordinal, length) in [(0, room), (1, room + 1)] {
        master.start(id(ordinal), "d".into(), Verb::Info).unwrap();
        worker.attach(id(ordinal), 0);
        let outcome = Outcome::Interrupted {
            reason: "x".repeat(length),
        };
        let exited = Exited {
            id: id(ordinal),
            outcome: outcome.clone(),
            ..empty.clone()
        };
        worker.exited(&exited).unwrap();
        exchange(&mut master, &mut worker);
        let Some(MasterEvent::Exited(exited)) = master.poll_event() else {
            panic!("no outcome")
        };
        if length == room {
            assert_eq!(exited.outcome, outcome);
        } else {
            assert!(
                matches!(
                    &exited.outcome,
                    Outcome::Failed { kind: FailureKind::Invalid, message } if message.contains("1048577 bytes")
                ),
                "{exited:?}"
            );
        }
    }
}
