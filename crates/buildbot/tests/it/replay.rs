//! Recorded conversations once more, with one side played by our code: it has to say what the stock program said.

use std::collections::HashMap;

use ironmaster_buildbot::{
    Builder, CommandId, Limits, Transfer, Update, Value, WorkerEnd, WorkerEvent, WorkerInfo,
    banana::{Dialect, Element, encode},
    jelly, msgpack,
    pb::{self, Challenge, ChangesEvent, ChangesSession, Door, Login, PasswordDigest, TryEvent, TrySession},
};

use crate::captures::{self, Said, all_of, elements, messages, read};

fn parts(element: &Element) -> &[Element] {
    match element {
        Element::List(parts) => parts,
        _ => &[],
    }
}

fn is(element: &Element, word: &str) -> bool {
    matches!(element, Element::Bytes(bytes) if bytes == word)
}

fn value(element: &Element) -> Value {
    jelly::read(element.clone(), &Limits::PEER).unwrap()
}

/// What a stock master asked a client with.
fn challenge(said: &[Said]) -> Challenge {
    let master = elements(&all_of(said, |who| who == "master"), usize::MAX);
    let answer = master
        .iter()
        .find(|element| parts(element).first().is_some_and(|name| is(name, "answer")));
    let Value::Tuple(answer) = value(&parts(answer.unwrap())[2]) else {
        panic!("a challenge")
    };
    let Value::Bytes(challenge) = &answer[0] else {
        panic!("a challenge")
    };
    Challenge(challenge[..].try_into().unwrap())
}

/// Feeds a door with what a client said until it wants in; gives the rest.
fn at_the_door<'s>(
    said: &'s [Said],
    out: &mut Vec<u8>,
) -> (Door, Login, impl Iterator<Item = &'s [u8]> + use<'s>) {
    let mut door = Door::new(challenge(said));
    let mut client = said
        .iter()
        .filter(|(who, _)| who != "master")
        .map(|(_, bytes)| bytes.as_slice());
    loop {
        while let Some(bytes) = door.poll_send() {
            out.extend_from_slice(&bytes);
        }
        if let Some(login) = door.poll_login() {
            return (door, login, client);
        }
        door.feed(client.next().expect("it wants in")).unwrap();
    }
}

#[test]
fn a_change_is_sent() {
    let said = &read("pb-sendchange")[&1];
    let mut out = Vec::new();
    let (door, login, client) = at_the_door(said, &mut out);
    assert_eq!((login.user.as_str(), &login.mind), ("change", &None));
    assert!(
        login.proves(&PasswordDigest::of("changepw")),
        "as the stock client proved it"
    );
    assert!(!login.proves(&PasswordDigest::of("guess")));
    let mut session = ChangesSession::admit(door).unwrap();
    let mut changes = Vec::new();
    for bytes in client {
        session.feed(bytes).unwrap();
        while let Some(ChangesEvent::Change { request, change }) = session.poll_event() {
            session.accept(request).unwrap();
            changes.push(change);
        }
    }
    while let Some(bytes) = session.poll_send() {
        out.extend_from_slice(&bytes);
    }
    let [change] = changes.as_slice() else {
        panic!("one change")
    };
    assert_eq!(change.project, "projx");
    assert_eq!(change.repository, "https://example.org/repo.git");
    assert_eq!(change.author.as_deref(), Some("dev <dev@example.org>"));
    assert_eq!(change.files, ["file1.c", "dir/file2.c"]);
    assert_eq!(change.comments.as_deref(), Some("a commit \nmessage é"));
    assert_eq!(
        (change.branch.as_deref(), change.revision.as_deref()),
        (Some("other"), Some("abcdef"))
    );
    assert_eq!(
        (change.category.as_deref(), change.when),
        (Some("catx"), Some(1_700_000_000.0))
    );
    assert_eq!(change.properties["prop2"], Value::text("val2"));
    assert_eq!(
        (change.codebase.as_deref(), change.src.as_deref()),
        (None, Some("git"))
    );
    assert_eq!(
        elements(&out, usize::MAX),
        elements(&all_of(said, |who| who == "master"), usize::MAX)
    );
}

#[test]
fn who_is_turned_away_is_told_so() {
    for said in read("pb-authfail").values() {
        let mut out = Vec::new();
        let (mut door, login, client) = at_the_door(said, &mut out);
        assert!(!login.proves(&PasswordDigest::of("changepw")));
        door.refuse().unwrap();
        for bytes in client {
            door.feed(bytes).unwrap();
        }
        while let Some(bytes) = door.poll_send() {
            out.extend_from_slice(&bytes);
        }
        let ours = elements(&out, usize::MAX);
        let last = parts(ours.last().unwrap());
        assert!(is(&last[0], "error"));
        let Value::Copied(failure) = value(&last[2]) else {
            panic!("a failure")
        };
        let kind = failure.state.get("type").unwrap();
        assert_eq!(*kind, Value::bytes("twisted.cred.error.UnauthorizedLogin"));
        let parents = failure.state.get("parents").and_then(Value::as_items).unwrap();
        assert!(parents.contains(&Value::text("twisted.cred.error.LoginFailed")));
    }
}

#[test]
fn a_patch_is_tried_and_watched() {
    let connections = read("pb-try");
    let said = &connections[&3];
    let mut out = Vec::new();
    let (door, login, client) = at_the_door(said, &mut out);
    assert!(login.proves(&PasswordDigest::of("tryp")));
    let mut session = TrySession::admit(door).unwrap();
    let mut watches = 0;
    let steps = [("both", 0), ("rc3", 2), ("pty", 0), ("stdin", 0), ("setprop", 0)];
    for bytes in client {
        session.feed(bytes).unwrap();
        while let Some(event) = session.poll_event() {
            match event {
                TryEvent::Try { request, job } => {
                    assert_eq!(
                        (job.branch.as_deref(), job.revision.as_deref()),
                        (Some("br"), Some("abc"))
                    );
                    let (level, diff) = job.patch.as_ref().unwrap();
                    assert_eq!((*level, diff.starts_with(b"--- a/x")), (1, true));
                    assert_eq!(
                        (job.repository.as_str(), &job.builders[..]),
                        ("repo1", &["shell-pb".into()][..])
                    );
                    assert_eq!(job.who.as_deref(), Some("me <me@example.org>"));
                    assert_eq!(job.comment.as_deref(), Some("hello"));
                    assert_eq!(job.properties["k2"], Value::text("v2"));
                    session.accept(request, &job.builders).unwrap();
                }
                TryEvent::Watches => {
                    watches += 1;
                    // It will take the build's object before it is told of steps.
                    session.step_started(77, "too early").unwrap();
                }
                TryEvent::Builders(_) => panic!("it does not ask"),
            }
        }
        if watches == 1 {
            watches += 1;
            while let Some(bytes) = session.poll_send() {
                out.extend_from_slice(&bytes);
            }
            session.build_started(0, 77).unwrap();
        } else if watches == 2 {
            watches += 1;
            session.step_finished(77, "worker_preparation", 0).unwrap();
            for (step, results) in steps {
                session.step_started(77, step).unwrap();
                session.step_finished(77, step, results).unwrap();
            }
            let text = "warnings 'echo 'unicode: ...' (failure)";
            session.build_finished(77, 1, text).unwrap();
        }
    }
    while let Some(bytes) = session.poll_send() {
        out.extend_from_slice(&bytes);
    }
    assert_eq!(
        elements(&out, usize::MAX),
        elements(&all_of(said, |who| who == "master"), usize::MAX)
    );
    assert_eq!(session.output_len(), 0);

    // The other two: which builders there are, and one that may not be tried.
    for (connection, names) in [(1, true), (2, false)] {
        let said = &connections[&connection];
        let mut out = Vec::new();
        let (door, _, client) = at_the_door(said, &mut out);
        let mut session = TrySession::admit(door).unwrap();
        for bytes in client {
            session.feed(bytes).unwrap();
            match session.poll_event() {
                Some(TryEvent::Builders(request)) if names => {
                    let builders = ["shell-pb", "shell-mp"].map(str::to_owned);
                    session.send_builders(request, &builders).unwrap();
                }
                Some(TryEvent::Try { request, job }) if !names => {
                    assert_eq!(job.builders, ["nosuchbuilder"]);
                    session.decline(request).unwrap();
                }
                None => {}
                other => panic!("{other:?}"),
            }
        }
        while let Some(bytes) = session.poll_send() {
            out.extend_from_slice(&bytes);
        }
        assert_eq!(
            elements(&out, usize::MAX),
            elements(&all_of(said, |who| who == "master"), usize::MAX)
        );
    }
}

/// The calls among what a side said.
fn calls(stream: &[u8]) -> Vec<Element> {
    let calls = elements(stream, usize::MAX).into_iter();
    calls
        .filter(|element| parts(element).first().is_some_and(|name| is(name, "message")))
        .collect()
}

/// The worker of a recorded conversation, played by our code: told what to say by what the stock one said.
#[test]
fn our_worker_says_over_perspective_broker_what_the_stock_one_said() {
    let names = [
        "pb-connect",
        "pb-shell",
        "pb-fs",
        "pb-timeout",
        "pb-interrupt",
        "pb-upload",
        "pb-download",
    ];
    for name in names {
        let said = &read(name)[&1];
        let mut session =
            pb::WorkerSession::new("w-pb", PasswordDigest::of("pass-pb"), WorkerInfo::default());
        let mut out = Vec::new();
        // The stock worker's elements come in pieces; so far taken.
        let mut heard = Vec::new();
        let mut taken = 0;
        let mut master = Vec::new();
        // Objects of the master's, as the conversation names them.
        let mut commands: HashMap<i128, CommandId> = HashMap::new();
        let mut started = 0;
        for (who, bytes) in said {
            if who == "master" {
                master.extend_from_slice(bytes);
                session.feed(bytes).unwrap();
                while let Some(event) = session.poll_event() {
                    match event {
                        WorkerEvent::Start { .. } => started += 1,
                        WorkerEvent::Builders(builders) => {
                            assert!(builders.contains(&Builder {
                                name: "shell-pb".into(),
                                dir: "shell-pb".into(),
                            }));
                        }
                        WorkerEvent::TransferFailed { .. } | WorkerEvent::Refused { .. } => {
                            panic!("{event:?}")
                        }
                        _ => {}
                    }
                }
                for call in calls(&master) {
                    let parts = parts(&call);
                    if !is(&parts[3], "startCommand") {
                        continue;
                    }
                    let Value::Tuple(args) = value(&parts[5]) else {
                        panic!("arguments")
                    };
                    let id = CommandId::from(args[1].as_text().unwrap().as_ref());
                    let file = args[3].get("writer").or_else(|| args[3].get("reader"));
                    for object in std::iter::once(&args[0]).chain(file) {
                        if let Value::Remote(ironmaster_buildbot::ObjectId::Number(object)) = object {
                            commands.insert((*object).into(), id.clone());
                        }
                    }
                }
            } else {
                heard.extend_from_slice(bytes);
                let calls = calls(&heard);
                for call in &calls[taken..] {
                    replay_call(&mut session, parts(call), &commands);
                }
                taken = calls.len();
            }
            while let Some(bytes) = session.poll_send() {
                out.extend_from_slice(&bytes);
            }
        }
        assert!(started > 0 || name == "pb-connect", "{name}");
        let (ours, theirs) = (calls(&out), calls(&heard));
        assert_eq!(ours.len(), theirs.len(), "{name}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let bytes = |element| {
                let mut bytes = Vec::new();
                encode(element, Dialect::Pb, &mut bytes).unwrap();
                bytes
            };
            assert!(bytes(ours) == bytes(theirs), "{name}: {ours:?} is not {theirs:?}");
        }
    }
}

fn replay_call(session: &mut pb::WorkerSession, parts: &[Element], commands: &HashMap<i128, CommandId>) {
    let (Element::Int(object), Element::Bytes(method)) = (&parts[2], &parts[3]) else {
        return;
    };
    let Value::Tuple(args) = value(&parts[5]) else {
        panic!("arguments")
    };
    let Some(id) = commands.get(object) else { return };
    let transfer = match &method[..] {
        b"update" => {
            for pair in args[0].as_items().unwrap() {
                let Some([Value::Dict(news), _]) = pair.as_items() else {
                    panic!("news")
                };
                let news: Vec<Update> = news
                    .iter()
                    .map(|(name, value)| Update::read(&name.as_text().unwrap(), value))
                    .collect();
                assert!(
                    !news.iter().any(|update| matches!(update, Update::Other { .. })),
                    "{news:?}"
                );
                session.update(id, &news).unwrap();
            }
            return;
        }
        b"complete" => {
            assert_eq!(args, [Value::None]);
            session.complete(id, None).unwrap();
            return;
        }
        b"write" => match &args[0] {
            Value::Bytes(data) => Transfer::Write(data.clone()),
            other => panic!("{other:?}"),
        },
        b"close" => Transfer::Close,
        b"unpack" => Transfer::Unpack,
        b"utime" => {
            let times = args[0].as_items().unwrap();
            Transfer::Times {
                accessed: times[0].as_number().unwrap(),
                modified: times[1].as_number().unwrap(),
            }
        }
        b"read" => match &args[0] {
            Value::Int(length) => Transfer::Read {
                length: *length as u64,
            },
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    session.transfer(id, &transfer).unwrap();
}

/// As above. Messages are compared byte for byte.
#[test]
fn our_worker_says_over_msgpack_what_the_stock_one_said() {
    for name in captures::MSGPACK {
        // There a server asks for nonsense on purpose.
        if *name == "msgpack-probe-testserver" {
            continue;
        }
        let said = &read(name)[&1];
        let master = messages(&all_of(said, |who| who == "master"));
        let worker = messages(&all_of(said, |who| who == "worker"));
        let mut session = msgpack::WorkerSession::new(WorkerInfo::default());
        // All that the master asked for first, then all that the worker said: the requests of the two do not depend on each other's
        // order, but responses have to come after their requests.
        let is_response = |message: &[u8]| {
            let message = msgpack::decode(message, &Limits::MSGPACK).unwrap();
            message.get("op") == Some(&Value::text("response"))
        };
        let (responses, requests): (Vec<_>, Vec<_>) = master.iter().partition(|message| is_response(message));
        for message in requests {
            session.feed(message).unwrap();
        }
        let mut started = 0;
        while let Some(event) = session.poll_event() {
            started += usize::from(matches!(event, WorkerEvent::Start { .. }));
        }
        assert!(started > 0, "{name}");
        let theirs: Vec<_> = worker.iter().filter(|message| !is_response(message)).collect();
        for message in &theirs {
            replay_message(&mut session, &msgpack::decode(message, &Limits::MSGPACK).unwrap());
        }
        for message in responses {
            session.feed(message).unwrap();
        }
        assert_eq!(session.unanswered(), 0, "{name}");
        let ours: Vec<_> = std::iter::from_fn(|| session.poll_send())
            .filter(|message| !is_response(message))
            .collect();
        assert_eq!(ours.len(), theirs.len(), "{name}");
        for (ours, theirs) in ours.iter().zip(theirs) {
            assert!(
                ours == theirs,
                "{name}: {:?}",
                msgpack::decode(theirs, &Limits::MSGPACK)
            );
        }
    }
}

fn replay_message(session: &mut msgpack::WorkerSession, message: &Value) {
    let id = CommandId::from(message.get("command_id").unwrap().as_text().unwrap().as_ref());
    let args = message.get("args");
    let number = |name| message.get(name).and_then(Value::as_number);
    let op = message.get("op").unwrap().as_text().unwrap();
    let transfer = match op.as_ref() {
        "update" => {
            let news: Vec<Update> = args
                .and_then(Value::as_items)
                .unwrap()
                .iter()
                .map(|pair| match pair.as_items().unwrap() {
                    [name, value] => Update::read(&name.as_text().unwrap(), value),
                    _ => panic!("news"),
                })
                .collect();
            return session.update(&id, &news).unwrap();
        }
        "complete" => {
            let failure = args.and_then(Value::as_text);
            return session.complete(&id, failure.as_deref()).unwrap();
        }
        "update_upload_file_write" | "update_upload_directory_write" => match args.unwrap() {
            Value::Bytes(data) => Transfer::Write(data.clone()),
            other => panic!("{other:?}"),
        },
        "update_upload_file_close" => Transfer::Close,
        "update_upload_directory_unpack" => Transfer::Unpack,
        "update_upload_file_utime" => Transfer::Times {
            accessed: number("access_time").unwrap(),
            modified: number("modified_time").unwrap(),
        },
        "update_read_file" => Transfer::Read {
            length: number("length").unwrap() as u64,
        },
        "update_read_file_close" => Transfer::ReadClose,
        other => panic!("{other}"),
    };
    session.transfer(&id, &transfer).unwrap();
}
