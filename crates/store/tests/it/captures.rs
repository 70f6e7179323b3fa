//! The fields declared here are those that a stock server was seen to serve.

use std::{collections::BTreeSet, path::Path};

use ironmaster_store::{FieldKind, Resource};
use serde_json::Value;

fn body(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/captures/{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let capture: Value = serde_json::from_str(&text).unwrap();
    capture["body"].clone()
}

#[test]
fn fields_are_those_of_the_captures() {
    for (resource, captures) in [
        (Resource::Builds, &["build", "builds"][..]),
        (Resource::Builders, &["builders", "builder-by-name"]),
        (Resource::BuildRequests, &["buildrequests"]),
        (Resource::Buildsets, &["buildsets"]),
        (Resource::SourceStamps, &["sourcestamps-with-patch"]),
        (Resource::Changes, &["changes", "change"]),
        (Resource::Steps, &["build-steps"]),
        (Resource::Logs, &["log", "step-logs"]),
        (Resource::Workers, &["workers"]),
        (Resource::Masters, &["masters"]),
        (Resource::Schedulers, &["schedulers"]),
        (Resource::ChangeSources, &["changesources"]),
        (Resource::BuildPropertyList, &["build-property-list"]),
        (Resource::Projects, &["projects"]),
        (Resource::Codebases, &["codebases"]),
    ] {
        let ours: BTreeSet<&str> = resource
            .fields()
            .iter()
            .filter(|field| !field.extra)
            .map(|field| field.name)
            .collect();
        for name in captures {
            let body = body(name);
            let items = body[resource.plural()].as_array().unwrap();
            assert!(!items.is_empty(), "{name}");
            for item in items {
                let item = item.as_object().unwrap();
                let theirs: BTreeSet<&str> = item.keys().map(String::as_str).collect();
                assert_eq!(ours, theirs, "{name}");
                for (key, value) in item {
                    let field = resource.field(key).unwrap();
                    let fits = match value {
                        Value::Null => field.nullable,
                        Value::Bool(_) => field.kind == FieldKind::Bool,
                        Value::Number(_) => matches!(field.kind, FieldKind::Int | FieldKind::Date),
                        Value::String(_) => matches!(field.kind, FieldKind::Text | FieldKind::Identifier),
                        Value::Array(_) => field.kind == FieldKind::List,
                        Value::Object(_) => field.kind == FieldKind::Object,
                    };
                    assert!(fits, "{name}: {key} = {value} is not {:?}", field.kind);
                }
            }
        }
    }
}

/// Inside lists and objects too.
#[test]
fn nested_objects_are_those_of_the_captures() {
    let keys = |value: &Value| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };
    let stamp: BTreeSet<String> = Resource::SourceStamps
        .fields()
        .iter()
        .map(|field| field.name.to_owned())
        .collect();
    assert_eq!(keys(&body("buildsets")["buildsets"][0]["sourcestamps"][0]), stamp);
    assert_eq!(keys(&body("change")["changes"][0]["sourcestamp"]), stamp);
    let master: BTreeSet<String> = Resource::Masters
        .fields()
        .iter()
        .map(|field| field.name.to_owned())
        .collect();
    assert_eq!(keys(&body("schedulers")["schedulers"][0]["master"]), master);
    let worker = &body("workers")["workers"][0];
    let set = |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    // These are what `reference` builds, and so what the queries are compared with.
    assert_eq!(
        keys(&worker["workerinfo"]),
        set(&["admin", "host", "access_uri", "version"])
    );
    assert_eq!(keys(&worker["connected_to"][0]), set(&["masterid"]));
    assert_eq!(keys(&worker["configured_on"][0]), set(&["masterid", "builderid"]));
    let patch = &body("sourcestamps-with-patch")["sourcestamps"][3]["patch"];
    assert_eq!(
        keys(patch),
        set(&["patchid", "level", "subdir", "author", "comment", "body"])
    );
}
