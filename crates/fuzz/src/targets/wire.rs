//! What a worker or a master on the other end may send.

use std::time::Duration;

use bytes::Bytes;
use ironmaster_wire::{
    Capabilities, CommandId, Frame, Hello, Limits, MasterMessage, MasterSession, OutputChunk, Verb, Welcome,
    WorkerInfo, WorkerMessage, WorkerSession,
};

/// Frames that one call may answer with at most.
const ANSWERS_MAX: usize = 64;

/// Each line is a frame: text, or binary in hex after a `#`. Both ends of a connection are fed with them.
pub(crate) fn frames(input: &[u8]) {
    let now = Duration::ZERO;
    let mut master = MasterSession::new(Limits::default(), now);
    let mut worker = WorkerSession::new(hello(), Limits::default(), now);
    let mut ended = (false, false);
    for (second, line) in input.split(|byte| *byte == b'\n').enumerate() {
        let frame = frame(line);
        match &frame {
            Frame::Text(text) => {
                if let Ok(message) = WorkerMessage::decode(text) {
                    assert!(
                        WorkerMessage::decode(&message.encode()).is_ok(),
                        "what is written is read"
                    );
                }
                if let Ok(message) = MasterMessage::decode(text) {
                    assert!(
                        MasterMessage::decode(&message.encode()).is_ok(),
                        "what is written is read"
                    );
                }
            }
            Frame::Binary(bytes) => {
                if let Ok(chunk) = OutputChunk::decode(bytes) {
                    assert_eq!(chunk.encode(), bytes, "a chunk is written as it was read");
                }
            }
        }
        let now = Duration::from_secs(second as u64);
        let fed = master.feed(frame.clone(), now);
        assert!(!(ended.0 && fed.is_ok()), "an ended session takes nothing");
        ended.0 |= fed.is_err();
        while let Some(event) = master.poll_event() {
            if matches!(event, ironmaster_wire::MasterEvent::Hello(_))
                && master.welcome(Welcome::new("s"), now).is_ok()
            {
                let id = CommandId {
                    build: 1,
                    step: 2,
                    ordinal: 3,
                };
                let _ = master.start(id, "d".into(), Verb::Info);
            }
        }
        let fed = worker.feed(frame, now);
        assert!(!(ended.1 && fed.is_ok()), "an ended session takes nothing");
        ended.1 |= fed.is_err();
        while worker.poll_event().is_some() {}
        assert!(std::iter::from_fn(|| master.poll_send()).count() <= ANSWERS_MAX);
        assert!(std::iter::from_fn(|| worker.poll_send()).count() <= ANSWERS_MAX);
    }
}

fn frame(line: &[u8]) -> Frame {
    if let Some(hex) = line.strip_prefix(b"#") {
        let nibble = |byte: u8| char::from(byte).to_digit(16).unwrap_or_default() as u8;
        let bytes: Vec<u8> = hex
            .chunks(2)
            .map(|pair| nibble(pair[0]) << 4 | pair.get(1).map_or(0, |byte| nibble(*byte)))
            .collect();
        return Frame::Binary(Bytes::from(bytes));
    }
    Frame::Text(String::from_utf8_lossy(line).into_owned())
}

fn hello() -> Hello {
    Hello {
        protocol_min: 1,
        protocol_max: 1,
        name: "w".into(),
        token: "t".into(),
        instance: "i".into(),
        boot: "b".into(),
        version: "0".into(),
        time_ms: Some(1_760_000_000_000),
        capabilities: Capabilities::default(),
        info: WorkerInfo::default(),
        commands: Vec::new(),
    }
}

/// What a command is to do, with its parameters.
pub(crate) fn verb(input: &[u8]) {
    if let Ok(verb) = serde_json::from_slice::<Verb>(input) {
        let text = serde_json::to_string(&verb).expect("it can be written");
        let again: Verb = serde_json::from_str(&text).expect("what is written is read");
        assert_eq!(again.digest(), verb.digest(), "it is the same command");
    }
}
