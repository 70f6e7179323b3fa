//! What a worker says of itself, as it is kept.

use std::{collections::BTreeMap, time::SystemTime};

use ironmaster_model::WorkerInfo;
use ironmaster_wire::Hello;
use serde_json::Value;

/// Clocks that differ by more, in milliseconds, are worth a word.
const CLOCK_SKEW_MAX: u64 = 5_000;
/// So much of each text is kept, in bytes: it is in the memory of the master as often as the worker connects in a while.
const TEXT_BYTES_MAX: usize = 4096;

/// What is kept of a greeting.
pub(super) fn of(hello: &Hello, protocol: &str) -> WorkerInfo {
    let mut facts = BTreeMap::from([("protocol".to_owned(), protocol.into())]);
    if let Ok(Value::Object(map)) = serde_json::to_value(&hello.info) {
        facts.extend(map.into_iter().map(|(name, value)| (name, short_value(value))));
    }
    if let Some(skew) = clock_skew(hello) {
        if skew.unsigned_abs() > CLOCK_SKEW_MAX {
            tracing::warn!(
                worker = hello.name,
                skew_ms = skew,
                "the worker's clock differs from the master's: set one of them right"
            );
        }
        facts.insert("clock_skew_ms".into(), skew.into());
    }
    let text = |text: &str| Some(short(text)).filter(|text| !text.is_empty());
    let info = &hello.info;
    WorkerInfo {
        admin: info.admin.as_deref().map(short),
        host: info
            .host
            .as_deref()
            .map_or_else(|| text(&info.hostname), |host| Some(short(host))),
        access_uri: info.access_uri.as_deref().map(short),
        version: text(&hello.version),
        facts,
    }
}

fn short_value(value: Value) -> Value {
    match value {
        Value::String(text) if text.len() > TEXT_BYTES_MAX => short(&text).into(),
        other => other,
    }
}

/// The text, or its beginning.
pub(super) fn short(text: &str) -> String {
    let kept = &text[..text.floor_char_boundary(TEXT_BYTES_MAX)];
    let end = if kept.len() < text.len() { "…" } else { "" };
    format!("{kept}{end}")
}

/// How far a worker's clock is ahead of this machine's, in milliseconds.
fn clock_skew(hello: &Hello) -> Option<i64> {
    let here = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let there = i64::try_from(hello.time_ms?).ok()?;
    there.checked_sub(i64::try_from(here.as_millis()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_says_much_of_itself_is_not_kept_in_full() {
        let mut hello = Hello {
            protocol_min: 1,
            protocol_max: 1,
            name: "w".into(),
            token: String::new(),
            instance: "i".into(),
            boot: String::new(),
            version: "é".repeat(5000),
            time_ms: None,
            capabilities: ironmaster_wire::Capabilities::default(),
            info: ironmaster_wire::WorkerInfo::default(),
            commands: Vec::new(),
        };
        hello.info.admin = Some("ada".into());
        hello.info.host = Some("x".repeat(1_000_000));
        hello.info.basedir = "/".repeat(1_000_000);
        let kept = of(&hello, "native");
        assert_eq!(kept.admin.as_deref(), Some("ada"));
        assert_eq!(kept.version.map(|version| version.len()), Some(4096 + "…".len()));
        assert_eq!(kept.host.map(|host| host.len()), Some(4096 + "…".len()));
        let facts = serde_json::to_string(&kept.facts).unwrap();
        assert!((8000..10_000).contains(&facts.len()), "{}", facts.len());
    }
}
