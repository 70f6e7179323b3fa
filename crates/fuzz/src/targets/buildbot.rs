//! What Buildbot's workers, masters and clients may send.

use ironmaster_buildbot::{
    Builder, Command, Limits, MasterEnd, MasterEvent, Place, Transfer, Update, UploadFile, WorkerEnd,
    WorkerEvent, WorkerInfo,
    banana::{Decoder, Dialect, encode},
    jelly, msgpack,
    pb::{self, Challenge, Door, PasswordDigest},
};

/// A stream of Banana elements with Jelly values in them, in pieces of the length that its first byte says.
pub(crate) fn banana(input: &[u8]) {
    let (piece, stream) = input.split_first().unwrap_or((&1, &[]));
    let whole = elements(stream, stream.len().max(1));
    assert_eq!(
        whole,
        elements(stream, usize::from(*piece).max(1)),
        "pieces make no difference"
    );
}

/// What was read, as it is written again, and the error that ended it.
fn elements(stream: &[u8], piece: usize) -> (Vec<Vec<u8>>, Option<String>) {
    let mut decoder = Decoder::new(Dialect::Pb, Limits::PEER);
    let mut read = Vec::new();
    for piece in stream.chunks(piece) {
        decoder.push(piece);
        loop {
            let element = match decoder.poll() {
                Ok(Some(element)) => element,
                Ok(None) => break,
                Err(error) => return (read, Some(error.to_string())),
            };
            let mut bytes = Vec::new();
            encode(&element, Dialect::Pb, &mut bytes).expect("what was read can be written");
            if let Ok(value) = jelly::read(element, &Limits::PEER)
                && let Ok(again) = jelly::read(jelly::write(&value), &Limits::PEER)
            {
                // Text, as a number that is none is not equal to itself.
                assert_eq!(
                    format!("{again:?}"),
                    format!("{value:?}"),
                    "what is written is read"
                );
            }
            read.push(bytes);
        }
    }
    (read, None)
}

/// One message of the protocol over WebSocket.
pub(crate) fn message(input: &[u8]) {
    if let Ok(value) = msgpack::decode(input, &Limits::MSGPACK) {
        let bytes = msgpack::encode(&value).expect("what was read can be written");
        let again = msgpack::decode(&bytes, &Limits::MSGPACK).expect("what is written is read");
        assert_eq!(format!("{again:?}"), format!("{value:?}"));
    }
}

/// Somebody on the other side of a connection. The first byte says who is fed; over msgpack each message comes after its length.
pub(crate) fn session(input: &[u8]) {
    let (who, bytes) = input.split_first().unwrap_or((&0, &[]));
    match who % 7 {
        0 => door(bytes),
        1 => master(attached().0, bytes),
        2 => worker(&mut new_worker(), bytes),
        3 => worker(&mut attached().1, bytes),
        4 => changes(bytes),
        5 => tries(bytes),
        _ => over_msgpack(bytes),
    }
}

/// In pieces, as a network does it.
fn pieces(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.chunks(97)
}

fn door(bytes: &[u8]) {
    let mut door = Door::new(Challenge([0; 16]));
    for piece in pieces(bytes) {
        let fed = door.feed(piece);
        if let Some(login) = door.poll_login() {
            assert!(
                !login.proves(&PasswordDigest::of("nobody knows this")),
                "nobody gets in by accident"
            );
            // Who says more than is bearable in the same breath hears nothing.
            assert_eq!(door.refuse().is_ok(), fed.is_ok(), "it can be said");
        }
        if fed.is_err() {
            assert!(
                door.feed(b"\x01\x81").is_err(),
                "an ended connection takes nothing"
            );
            break;
        }
        assert!(sent(|| door.poll_send()) <= 64 * 1024, "answers are bounded");
    }
}

fn sent(mut poll: impl FnMut() -> Option<bytes::Bytes>) -> usize {
    std::iter::from_fn(&mut poll).map(|bytes| bytes.len()).sum()
}

fn new_worker() -> pb::WorkerSession {
    pb::WorkerSession::new("w", PasswordDigest::of("p"), WorkerInfo::default())
}

/// Somebody at the door who knows the password, and what it has on its side.
fn logged_in() -> (Door, pb::Login, pb::WorkerSession) {
    let mut door = Door::new(Challenge([0; 16]));
    let mut worker = new_worker();
    loop {
        while let Some(bytes) = door.poll_send() {
            worker.feed(&bytes).expect("it is well said");
        }
        while let Some(bytes) = worker.poll_send() {
            door.feed(&bytes).expect("it is well said");
        }
        if let Some(login) = door.poll_login() {
            return (door, login, worker);
        }
    }
}

/// Both ends, with an upload that runs: its objects are 3 and 4.
fn attached() -> (pb::MasterSession, pb::WorkerSession) {
    let (door, login, mut worker) = logged_in();
    let mut master = pb::MasterSession::admit(door, &login).expect("it is a worker");
    let builder = Builder {
        name: "b".into(),
        dir: "b".into(),
    };
    master.set_builders(&[builder]).expect("one is not too many");
    let mut started = false;
    loop {
        let mut quiet = true;
        while let Some(bytes) = master.poll_send() {
            worker.feed(&bytes).expect("it is well said");
            quiet = false;
        }
        while let Some(bytes) = worker.poll_send() {
            master.feed(&bytes).expect("it is well said");
            quiet = false;
        }
        while let Some(event) = master.poll_event() {
            if matches!(event, MasterEvent::Builders(_)) {
                master.start("b", &"1".into(), &upload()).expect("it is free");
                started = true;
                quiet = false;
            }
        }
        while worker.poll_event().is_some() {}
        if quiet {
            assert!(started, "the worker has its builders");
            return (master, worker);
        }
    }
}

fn upload() -> Command {
    Command::UploadFile(UploadFile {
        place: Place::new("/f"),
        maxsize: None,
        blocksize: 10,
        keepstamp: true,
    })
}

fn master(mut master: pb::MasterSession, bytes: &[u8]) {
    for piece in pieces(bytes) {
        let ended = master.feed(piece).is_err();
        answer(&mut master);
        sent(|| master.poll_send());
        if ended {
            assert!(
                master.feed(b"\x01\x81").is_err(),
                "an ended connection takes nothing"
            );
            break;
        }
    }
}

fn answer(master: &mut dyn MasterEnd) {
    while let Some(event) = master.poll_event() {
        if let MasterEvent::Transfer { ticket, transfer, .. } = event {
            let _ = match transfer {
                Transfer::Read { .. } => master.send_data(ticket, bytes::Bytes::from_static(b"data")),
                _ => master.done(ticket),
            };
        }
    }
}

fn worker(worker: &mut pb::WorkerSession, bytes: &[u8]) {
    for piece in pieces(bytes) {
        let ended = worker.feed(piece).is_err();
        perform(worker);
        sent(|| worker.poll_send());
        if ended {
            assert!(
                worker.feed(b"\x01\x81").is_err(),
                "an ended connection takes nothing"
            );
            break;
        }
    }
}

/// Whatever is asked for is done at once.
fn perform(worker: &mut dyn WorkerEnd) {
    while let Some(event) = worker.poll_event() {
        if let WorkerEvent::Start { id, command, .. } = event {
            assert!(!command.name().is_empty());
            let _ = worker.update(&id, &[Update::ExitCode(0)]);
            let _ = worker.transfer(&id, &Transfer::Close);
            let _ = worker.complete(&id, None);
        }
    }
}

fn changes(bytes: &[u8]) {
    let mut session = pb::ChangesSession::admit(logged_in().0).expect("it knows the password");
    for piece in pieces(bytes) {
        let ended = session.feed(piece).is_err();
        while let Some(pb::ChangesEvent::Change { request, .. }) = session.poll_event() {
            let _ = session.accept(request);
        }
        sent(|| session.poll_send());
        if ended {
            break;
        }
    }
}

fn tries(bytes: &[u8]) {
    let mut session = pb::TrySession::admit(logged_in().0).expect("it knows the password");
    for piece in pieces(bytes) {
        let ended = session.feed(piece).is_err();
        while let Some(event) = session.poll_event() {
            let _ = match event {
                pb::TryEvent::Builders(request) => session.send_builders(request, &["b".into()]),
                pb::TryEvent::Try { request, job } => session.accept(request, &job.builders),
                pb::TryEvent::Watches => session.build_started(0, 1),
            };
        }
        let _ = session.step_started(1, "step");
        let _ = session.build_finished(1, 0, "done");
        sent(|| session.poll_send());
        if ended {
            break;
        }
    }
}

fn over_msgpack(mut bytes: &[u8]) {
    let mut master = msgpack::MasterSession::new(&msgpack::Settings::default()).expect("it can be said");
    let builder = Builder {
        name: "b".into(),
        dir: "b".into(),
    };
    master.set_builders(&[builder]).expect("there is no limit");
    master.start("b", &"1".into(), &upload()).expect("it is free");
    let mut worker = msgpack::WorkerSession::new(WorkerInfo::default());
    while let Some((len, rest)) = bytes.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*len)).min(rest.len());
        let (message, rest) = rest.split_at(len);
        bytes = rest;
        let _ = master.feed(message);
        answer(&mut master);
        let _ = worker.feed(message);
        perform(&mut worker);
        sent(|| master.poll_send());
        sent(|| worker.poll_send());
    }
}
