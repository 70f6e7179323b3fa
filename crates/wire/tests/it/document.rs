//! The examples in `docs/worker-protocol.md` are what this crate reads and writes.

use ironmaster_wire::{MasterMessage, Outcome, OutputChunk, Stream, Verb, WorkerMessage};

const DOCUMENT: &str = include_str!("../../../../docs/worker-protocol.md");

/// Everything between `open` and `close`.
fn between<'a>(text: &'a str, open: &'a str, close: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(open)
        .skip(1)
        .filter_map(move |rest| Some(rest.split_once(close)?.0))
}

fn is_known(example: &str) -> bool {
    WorkerMessage::decode(example).is_ok()
        || MasterMessage::decode(example).is_ok()
        || serde_json::from_str::<Verb>(example).is_ok()
        || serde_json::from_str::<Outcome>(example).is_ok()
}

#[test]
fn every_example_is_understood() {
    let mut blocks = 0;
    for block in between(DOCUMENT, "```json\n", "```") {
        for value in serde_json::Deserializer::from_str(block).into_iter::<serde_json::Value>() {
            let example = value.expect("JSON").to_string();
            assert!(is_known(&example), "{example}");
            blocks += 1;
        }
    }
    assert_eq!(blocks, 9);
    let mut inline = 0;
    for example in between(DOCUMENT, "`{\"type\"", "`") {
        let example = format!("{{\"type\"{example}");
        // Shortened ones, and the value of `stat`.
        if !example.contains("{…}") && !example.contains(", …}") && !example.contains("mtime_us") {
            assert!(is_known(&example), "{example}");
            inline += 1;
        }
    }
    assert_eq!(inline, 25);
}

#[test]
fn every_message_verb_and_outcome_is_mentioned() {
    let types = "hello exited lost forgotten ping pong goodbye welcome refused start resume ack interrupt forget shut_down \
                 exec put get mkdir remove copy stat glob list info \
                 exit signal timeout interrupted output_limit start_failed lease_expired value failed";
    for name in types.split_whitespace() {
        assert!(DOCUMENT.contains(&format!("\"type\": \"{name}\"")), "{name}");
    }
}

#[test]
fn the_binary_example_is_right() {
    let line = DOCUMENT.lines().find(|line| line.starts_with("01 01 ")).unwrap();
    let chunk = OutputChunk::decode(&hex::decode(line.replace(' ', "")).unwrap().into()).unwrap();
    assert_eq!(
        (chunk.id.to_string().as_str(), chunk.stream, chunk.offset),
        ("12.3.0", Stream::Stderr, 4096)
    );
    assert_eq!(&chunk.data[..], b"hi");
}
