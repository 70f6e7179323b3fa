//! Our answers have the shape of Buildbot's, as captured.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::Site;

/// Pairs of a captured answer and a path of ours that answers the same kind of thing.
const PAIRS: &[(&str, &str)] = &[
    ("rootlinks", ""),
    ("builders", "builders?order=builderid&limit=3"),
    ("builder-by-name", "builders/quick"),
    (
        "builds",
        "builds?order=-buildid&limit=2&property=owner&property=branch",
    ),
    ("build", "builds/1?property=*"),
    ("build-properties", "builds/1/properties"),
    ("build-property-list", "builds/1/property_list?limit=3"),
    ("build-steps", "builds/1/steps"),
    ("step-logs", "builds/1/steps/0/logs"),
    ("log", "logs/1"),
    ("log-contents", "logs/1/contents"),
    ("log-contents-range", "logs/1/contents?offset=2&limit=3"),
    ("buildrequests", "buildrequests?limit=2&property=*"),
    ("buildsets", "buildsets?limit=2"),
    ("changes", "changes"),
    ("change", "changes/1"),
    ("workers", "workers"),
    ("masters", "masters"),
    ("schedulers", "schedulers"),
    ("forceschedulers", "forceschedulers"),
    ("error-400-query", "builds?nosuchfield=1"),
    ("error-404-path", "nosuch"),
    ("error-404-resource", "builds/999999"),
];

#[tokio::test(flavor = "multi_thread")]
async fn answers_have_the_shape_of_the_captures() {
    let site = Site::start().await;
    let _worker = site.worker().await;
    let mut events = site.listen(&["builds/*/finished"]).await;
    site.force("quick").await;
    events.until("builds/1/finished").await;
    let hook = site.hook(
        "/change_hook/base",
        &[
            ("author", "me <me@example.org>"),
            ("comments", "c"),
            ("branch", "other"),
            ("revision", "r1"),
            ("files", "[\"a\"]"),
            ("properties", "{\"p\": 1}"),
        ],
    );
    assert_eq!(hook.send().await.unwrap().status(), 200);

    for (name, path) in PAIRS {
        let text = std::fs::read_to_string(format!(
            "{}/tests/captures/{name}.json",
            env!("CARGO_MANIFEST_DIR")
        ))
        .unwrap();
        let capture: Value = serde_json::from_str(&text).unwrap();
        let (status, body) = site.get(path).await;
        assert_eq!(
            u64::from(status),
            capture["status"].as_u64().unwrap(),
            "{name}: {body}"
        );
        let mut differences = Vec::new();
        compare(name, &capture["body"], &body, &mut differences);
        assert!(
            differences.is_empty(),
            "{name} ({path}):\n{}\n{body:#}",
            differences.join("\n")
        );
        if status == 400 || *name == "error-404-path" {
            assert_eq!(body, capture["body"], "{name}");
        }
    }
    site.stop().await;
}

/// Every key that they have, we have, with a value of the same type. Keys of our own are allowed. Objects whose keys are
/// data (properties) are not compared; neither is what is null on either side.
fn compare(place: &str, theirs: &Value, ours: &Value, differences: &mut Vec<String>) {
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            for (key, value) in theirs {
                let place = format!("{place}.{key}");
                match ours.get(key) {
                    None => differences.push(format!("{place} is missing")),
                    Some(_) if matches!(key.as_str(), "properties" | "workerinfo") => {}
                    Some(our) => compare(&place, value, our, differences),
                }
            }
        }
        (Value::Array(theirs), Value::Array(ours)) => {
            // Fields of forms differ in type from each other: compare those of the same type.
            let kind = |value: &Value| {
                value
                    .get("type")
                    .filter(|_| value.get("fullName").is_some())
                    .map(Value::to_string)
            };
            let mut samples: BTreeMap<Option<String>, &Value> = BTreeMap::new();
            for value in theirs {
                samples.entry(kind(value)).or_insert(value);
            }
            for our in ours {
                if let Some(their) = samples.get(&kind(our)) {
                    compare(&format!("{place}[]"), their, our, differences);
                }
            }
        }
        (Value::Null, _) | (_, Value::Null) => {}
        _ => {
            if std::mem::discriminant(theirs) != std::mem::discriminant(ours) {
                differences.push(format!("{place} is {ours}, theirs {theirs}"));
            }
        }
    }
}
