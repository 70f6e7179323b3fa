//! What clients say on `/ws`, and what they are answered. No I/O.

use serde_json::{Map, Value, json};

use super::{hub::Subscription, pattern::TopicPattern};

/// The longest topic pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 512;

/// Carries out one frame; returns the reply.
pub(super) fn execute(frame: &str, subscription: &Subscription) -> Value {
    let command: Map<String, Value> = match serde_json::from_str(frame) {
        Ok(Value::Object(command)) => command,
        Ok(_) => return error("a websocket frame must hold a JSON object", 400, &Value::Null),
        Err(fault) => {
            return error(
                &format!("the websocket frame is not JSON: {fault}"),
                400,
                &Value::Null,
            );
        }
    };
    let id = command.get("_id").cloned().unwrap_or(Value::Null);
    if !command.contains_key("_id") && !command.contains_key("type") {
        return error("no '_id' or 'type' in websocket frame", 400, &Value::Null);
    }
    let Some(name) = command.get("cmd") else {
        return error("no 'cmd' in websocket frame", 400, &id);
    };
    match name.as_str() {
        Some("ping") => match arguments(&command, &[]) {
            Ok(()) => ok("pong", &id),
            Err(text) => error(&text, 400, &id),
        },
        Some(name @ ("startConsuming" | "stopConsuming")) => match path(&command) {
            Err(text) => error(&text, 400, &id),
            Ok(path) if name == "startConsuming" => {
                if subscription.start(&TopicPattern::new(path)) {
                    ok("OK", &id)
                } else {
                    error("too many paths are consumed already; stop some first", 400, &id)
                }
            }
            Ok(path) => {
                if subscription.stop(&TopicPattern::new(path)) {
                    ok("OK", &id)
                } else {
                    error(&format!("path was not consumed '{path}'"), 400, &id)
                }
            }
        },
        _ => {
            let shown = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
            error(&format!("no such command type '{shown}'"), 404, &id)
        }
    }
}

fn path(command: &Map<String, Value>) -> Result<&str, String> {
    arguments(command, &["path"])?;
    match command.get("path") {
        None => Err("the argument 'path' is missing".into()),
        Some(Value::String(path)) if path.len() <= PATTERN_BYTES_MAX => Ok(path),
        Some(Value::String(_)) => Err(format!("a path has at most {PATTERN_BYTES_MAX} bytes")),
        Some(other) => Err(format!("invalid path format '{other}'")),
    }
}

fn arguments(command: &Map<String, Value>, known: &[&str]) -> Result<(), String> {
    match command
        .keys()
        .find(|key| !["cmd", "_id", "type"].contains(&key.as_str()) && !known.contains(&key.as_str()))
    {
        Some(unknown) => Err(format!("unexpected argument '{unknown}'")),
        None => Ok(()),
    }
}

fn ok(message: &str, id: &Value) -> Value {
    json!({ "msg": message, "code": 200, "_id": id })
}

fn error(text: &str, code: u16, id: &Value) -> Value {
    json!({ "error": text, "code": code, "_id": id })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::events::Hub;

    #[test]
    fn replies_are_those_of_the_capture() {
        let hub = Hub::new(10, 100);
        let subscriber = hub.join();
        let capture = include_str!("../../tests/captures/ws-events.jsonl");
        let frames: Vec<Value> = capture
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let texts = |direction: &str| -> Vec<Value> {
            frames
                .iter()
                .filter(|frame| frame["dir"] == direction)
                .filter_map(|frame| frame["text"].as_str())
                // At the end a frame that is no JSON made stock abort the connection.
                .filter_map(|text| serde_json::from_str::<Value>(text).ok())
                .collect()
        };
        let replies: Vec<Value> = texts("server>client")
            .into_iter()
            .filter(|reply| reply.get("code").is_some())
            .collect();
        let commands = texts("client>server");
        assert_eq!(commands.len(), replies.len());
        for (command, theirs) in commands.iter().zip(&replies) {
            let ours = execute(&command.to_string(), subscriber.subscription());
            assert_eq!(ours["code"], theirs["code"], "{command}");
            assert_eq!(
                ours.get("error").is_some(),
                theirs.get("error").is_some(),
                "{command}"
            );
            // Stock forgets the id where the command is missing.
            if command.get("cmd").is_some() {
                assert_eq!(ours["_id"], theirs["_id"], "{command}");
            }
            let text = theirs.get("error").and_then(Value::as_str).unwrap_or("");
            if !text.starts_with("Invalid method argument") {
                assert_eq!(ours.get("error"), theirs.get("error"), "{command}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_frame_panics(frame in any::<String>()) {
            let hub = Hub::new(1, 1);
            let reply = execute(&frame, hub.join().subscription());
            prop_assert!(reply["code"].is_number());
        }
    }
}
