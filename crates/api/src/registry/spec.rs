//! Documents about the API, made from the registry.

use serde_json::{Value, json};

use super::{Idempotency, Kind, ParamKind, TOPICS, registry};
use crate::select::Item;

/// The items of `application.spec`.
pub fn application_spec() -> Vec<Item> {
    let mut specs: Vec<Item> = registry()
        .methods()
        .iter()
        .filter(|method| !matches!(method.kind, Kind::Control(_)))
        .flat_map(|method| {
            method.paths.iter().map(|path| {
                Item::from_iter([
                    ("path".to_owned(), Value::from(*path)),
                    ("plural".to_owned(), Value::from(method.resource.plural)),
                    ("type".to_owned(), Value::from(method.resource.name)),
                    ("type_spec".to_owned(), method.resource.type_spec()),
                ])
            })
        })
        .collect();
    specs.sort_by(|a, b| a["path"].as_str().cmp(&b["path"].as_str()));
    specs
}

/// The document at `GET /api/methods`: every method with all that is to know about it.
pub fn describe() -> Value {
    let methods: Vec<Value> = registry()
        .methods()
        .iter()
        .map(|method| {
            let (kind, action) = match method.kind {
                Kind::Collection => ("collection", None),
                Kind::Single => ("single", None),
                Kind::Raw => ("raw", None),
                Kind::Control(action) => ("control", Some(action)),
            };
            let params: Vec<Value> = method
                .params
                .iter()
                .map(|param| {
                    let kind = match param.kind {
                        ParamKind::String => "string",
                        ParamKind::Integer => "integer",
                        ParamKind::Boolean => "boolean",
                        ParamKind::Strings => "list of strings",
                    };
                    json!({ "name": param.name, "type": kind, "required": param.required, "docs": param.docs })
                })
                .collect();
            let idempotency = match method.idempotency {
                Idempotency::Safe => "safe",
                Idempotency::Natural => "natural",
                Idempotency::ByKey => "by key",
            };
            json!({
                "name": method.name,
                "kind": kind,
                "action": action,
                "paths": method.paths,
                "type": method.resource.name,
                "plural": method.resource.plural,
                "permission": method.permission.word(),
                "params": params,
                "idempotency": idempotency,
                "docs": method.docs,
            })
        })
        .collect();
    let topics: Vec<Value> = TOPICS
        .iter()
        .map(|topic| json!({ "type": topic.resource.name, "prefixes": topic.prefixes, "events": topic.events }))
        .collect();
    let types: Vec<Value> = crate::types::ALL.iter().map(|of| of.type_spec()).collect();
    json!({ "methods": methods, "topics": topics, "types": types })
}
