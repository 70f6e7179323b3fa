//! Recorded traffic: what stock programs said, byte for byte.

use std::{collections::BTreeMap, path::Path};

use base64::{Engine, prelude::BASE64_STANDARD};
use ironmaster_buildbot::{
    Limits, Value,
    banana::{Decoder, Dialect, Element, encode},
    jelly, msgpack,
};
use serde_json::Value as Json;

/// What was said: by whom (`worker`, `client`, `master`, `server`), and what.
pub(crate) type Said = (String, Vec<u8>);

/// A recorded file: for each connection what was said, in order.
pub(crate) fn read(name: &str) -> BTreeMap<u64, Vec<Said>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/captures/{name}.jsonl"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut connections: BTreeMap<u64, Vec<Said>> = BTreeMap::new();
    for line in text.lines() {
        let line: Json = serde_json::from_str(line).unwrap();
        let Some(data) = line["b64"].as_str() else {
            continue;
        };
        let (who, _) = line["dir"].as_str().unwrap().split_once('>').unwrap();
        connections
            .entry(line["conn"].as_u64().unwrap())
            .or_default()
            .push((who.to_owned(), BASE64_STANDARD.decode(data).unwrap()));
    }
    assert!(!connections.is_empty());
    connections
}

/// All that one side of a connection said.
pub(crate) fn all_of(said: &[Said], who: impl Fn(&str) -> bool) -> Vec<u8> {
    said.iter()
        .filter(|(by, _)| who(by))
        .flat_map(|(_, bytes)| bytes.clone())
        .collect()
}

/// The top-level elements of a stream, which begins without vocabulary and goes on with it.
pub(crate) fn elements(stream: &[u8], piece: usize) -> Vec<Element> {
    let mut decoder = Decoder::new(Dialect::None, Limits::PEER);
    let mut elements = Vec::new();
    for piece in stream.chunks(piece) {
        decoder.push(piece);
        while let Some(element) = decoder.poll().unwrap() {
            decoder.set_dialect(Dialect::Pb);
            elements.push(element);
        }
    }
    elements
}

pub(crate) const PB: &[&str] = &[
    "pb-authfail",
    "pb-connect",
    "pb-download",
    "pb-fs",
    "pb-interrupt",
    "pb-sendchange",
    "pb-shell",
    "pb-timeout",
    "pb-try",
    "pb-upload",
];

pub(crate) const MSGPACK: &[&str] = &[
    "msgpack-connect",
    "msgpack-download",
    "msgpack-fs",
    "msgpack-interrupt",
    "msgpack-probe-testserver",
    "msgpack-shell",
    "msgpack-timeout",
    "msgpack-upload",
];

/// The values of a message, and whether it uses references, which are resolved and not written again.
fn values(message: &Element) -> (Vec<&Element>, bool) {
    let Element::List(parts) = message else {
        return (Vec::new(), false);
    };
    let values = match &parts[0] {
        Element::Bytes(name) if name == "message" => parts[5..].iter().collect(),
        Element::Bytes(name) if name == "answer" || name == "error" => parts[2..].iter().collect(),
        _ => Vec::new(),
    };
    (values, format!("{parts:?}").contains("b\"reference\""))
}

#[test]
fn perspective_broker_is_read_and_written_as_it_was() {
    let mut shared = 0;
    for name in PB {
        for said in read(name).values() {
            for master in [true, false] {
                let stream = all_of(said, |who| (who == "master") == master);
                let whole = elements(&stream, usize::MAX);
                assert!(whole.len() > 3, "{name}");
                assert_eq!(elements(&stream, 1), whole, "{name}: in single bytes");
                assert_eq!(elements(&stream, 7), whole, "{name}: in pieces");
                let mut again = Vec::new();
                for element in &whole {
                    encode(element, Dialect::Pb, &mut again).unwrap();
                    let (values, references) = values(element);
                    for form in values {
                        let value = jelly::read(form.clone(), &Limits::PEER).unwrap();
                        if references {
                            shared += 1;
                            assert_eq!(jelly::read(jelly::write(&value), &Limits::PEER).unwrap(), value);
                        } else {
                            assert_eq!(jelly::write(&value), *form, "{name}");
                        }
                    }
                }
                assert!(again == stream, "{name}: written as it was");
            }
        }
    }
    assert!(shared > 0, "one of them refers to a value again");
}

/// The binary messages that one side sent after its HTTP head.
pub(crate) fn messages(mut stream: &[u8]) -> Vec<Vec<u8>> {
    let head = stream
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap();
    stream = &stream[head + 4..];
    let mut messages = Vec::new();
    let mut partial: Option<Vec<u8>> = None;
    while !stream.is_empty() {
        let (opcode, last) = (stream[0] & 0x0f, stream[0] & 0x80 != 0);
        let masked = stream[1] & 0x80 != 0;
        let (len, mut at) = match stream[1] & 0x7f {
            126 => (
                usize::from(u16::from_be_bytes(stream[2..4].try_into().unwrap())),
                4,
            ),
            127 => (u64::from_be_bytes(stream[2..10].try_into().unwrap()) as usize, 10),
            len => (usize::from(len), 2),
        };
        let mask: [u8; 4] = if masked {
            at += 4;
            stream[at - 4..at].try_into().unwrap()
        } else {
            [0; 4]
        };
        let body: Vec<u8> = stream[at..at + len]
            .iter()
            .enumerate()
            .map(|(index, byte)| byte ^ mask[index % 4])
            .collect();
        stream = &stream[at + len..];
        match opcode {
            2 => partial = Some(body),
            0 => partial.as_mut().unwrap().extend(body),
            _ => continue,
        }
        if last && let Some(message) = partial.take() {
            messages.push(message);
        }
    }
    messages
}

/// All messages of a file, by side.
pub(crate) fn msgpack_messages(name: &str) -> Vec<(bool, Vec<u8>)> {
    let mut all = Vec::new();
    for said in read(name).values() {
        for worker in [true, false] {
            let stream = all_of(said, |who| (who == "worker") == worker);
            all.extend(messages(&stream).into_iter().map(|message| (worker, message)));
        }
    }
    all
}

#[test]
fn msgpack_is_read_and_written_as_it_was() {
    for name in MSGPACK {
        let messages = msgpack_messages(name);
        assert!(messages.len() > 10, "{name}");
        for (_, message) in messages {
            let value = msgpack::decode(&message, &Limits::MSGPACK).unwrap();
            assert!(matches!(value.get("op"), Some(Value::Text(_))), "{name}");
            assert!(msgpack::encode(&value).unwrap() == message, "{name}: {value:?}");
        }
    }
}
