//! The JSON Schema of the TOML spelling, for editors and other tools. It accepts whatever the checker accepts, and
//! refuses wrong keys, types, words and numbers; what concerns several keys, names and files is the checker's alone.

use ironmaster_model::{Catalogue, FieldKind, FieldSpec, KindSpec};
use serde_json::{Map, Value, json};

use crate::{
    keys::{self, Key, SectionKeys, Type},
    toml_form,
    tree::{Data, Node},
};

/// A duration as text.
const DURATION: &str = r"^\s*([0-9]+(ms|s|m|h|d)\s*)+$";
/// A size as text.
const SIZE: &str = r"^\s*[0-9]+\s*(B|KiB|MiB|GiB)?\s*$";

/// The schema of every section and key, with the kinds of the catalogue.
pub fn schema(catalogue: &Catalogue) -> Value {
    let mut sections = Map::new();
    for keys in keys::TOP {
        let one = top(keys, catalogue);
        let section = if keys.repeats() {
            json!({ "type": "array", "items": one })
        } else {
            one
        };
        sections.insert(keys.name().to_owned(), section);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of an Ironmaster master",
        "type": "object",
        "additionalProperties": false,
        "properties": sections,
    })
}

/// The schema as it is committed.
pub fn text(catalogue: &Catalogue) -> String {
    format!("{:#}\n", schema(catalogue))
}

fn top(keys: &'static SectionKeys, catalogue: &Catalogue) -> Value {
    match keys.name() {
        "scheduler" => {
            let mut variants = Vec::new();
            for (word, more) in keys::SCHEDULER_TYPES {
                let sections: Vec<_> = std::iter::once(&keys).chain(*more).copied().collect();
                let doc = more.first().map_or(keys.doc, |keys| keys.doc);
                variants.push(variant(word, doc, &sections, &[], catalogue));
            }
            json!({ "description": keys.doc, "oneOf": variants })
        }
        "change_source" => kinds(keys, &catalogue.change_sources, catalogue),
        _ => section(keys, catalogue),
    }
}

/// A section of which `type` says what else it has, one variant for each kind.
fn kinds(keys: &'static SectionKeys, kinds: &[KindSpec], catalogue: &Catalogue) -> Value {
    let variants: Vec<Value> = kinds
        .iter()
        .map(|kind| variant(kind.name, kind.doc, &[keys], &kind.fields, catalogue))
        .collect();
    json!({ "description": keys.doc, "oneOf": variants })
}

fn variant(
    word: &str,
    doc: &str,
    sections: &[&'static SectionKeys],
    fields: &[FieldSpec],
    catalogue: &Catalogue,
) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in sections.iter().flat_map(|section| section.keys) {
        // TOML has no functions.
        if matches!(key.ty, Type::Function) {
            continue;
        }
        let value = if key.name == "type" {
            json!({ "const": word, "description": key.doc })
        } else {
            property(key, catalogue)
        };
        properties.insert(key.name.to_owned(), value);
        if key.required {
            required.push(key.name);
        }
    }
    for field in fields {
        properties.insert(field.name.to_owned(), field_property(field));
        if field.required {
            required.push(field.name);
        }
    }
    json!({
        "description": doc,
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "required": required,
    })
}

fn section(keys: &'static SectionKeys, catalogue: &Catalogue) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    // TOML has no functions.
    for key in keys.keys.iter().filter(|key| !matches!(key.ty, Type::Function)) {
        properties.insert(key.name.to_owned(), property(key, catalogue));
        if key.required {
            required.push(key.name);
        }
    }
    let mut schema = json!({
        "description": keys.doc,
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    // A secret is given in one of three ways.
    let secrets = [
        ["token", "token_file", "token_env"],
        ["password", "password_file", "password_env"],
    ];
    for ways in secrets {
        if ways.iter().any(|way| keys.key(way).is_none()) {
            continue;
        }
        let mut variants: Vec<Value> = ways.iter().map(|way| json!({ "required": [way] })).collect();
        if !keys.repeats() {
            let any: Vec<Value> = variants.clone();
            variants.push(json!({ "not": { "anyOf": any } }));
        }
        schema["oneOf"] = json!(variants);
    }
    schema
}

fn property(key: &Key, catalogue: &Catalogue) -> Value {
    described(
        of_type(&key.ty, catalogue),
        key.doc,
        Some(key.default),
        key.example,
    )
}

fn field_property(field: &FieldSpec) -> Value {
    described(of_field(&field.kind), field.doc, field.default, field.example)
}

fn described(mut schema: Value, doc: &str, default: Option<&str>, example: &str) -> Value {
    schema["description"] = json!(doc);
    if let Some(default) = default.and_then(toml_form::value).and_then(|node| json_of(&node)) {
        schema["default"] = default;
    }
    if let Some(example) = toml_form::value(example).and_then(|node| json_of(&node)) {
        schema["examples"] = json!([example]);
    }
    schema
}

fn json_of(node: &Node) -> Option<Value> {
    Some(match &node.data {
        Data::Text(text) | Data::Date(text) => json!(text),
        Data::Bool(bool) => json!(bool),
        Data::Integer(number, _) => json!((*number)?),
        Data::Float(number, _) => json!((*number)?),
        Data::List(items) => Value::Array(items.iter().map(json_of).collect::<Option<_>>()?),
        Data::Table(table) => Value::Object(
            table
                .entries
                .iter()
                .map(|entry| Some((entry.name.clone(), json_of(&entry.node)?)))
                .collect::<Option<_>>()?,
        ),
        Data::Function(..) | Data::Other(_) => return None,
    })
}

fn of_type(ty: &Type, catalogue: &Catalogue) -> Value {
    match ty {
        Type::Text
        | Type::Regex
        | Type::Cron
        | Type::Address
        | Type::StepKind
        | Type::ChangeSourceKind
        | Type::Function => {
            json!({ "type": "string" })
        }
        Type::OrFunction(ty) => of_type(ty, catalogue),
        Type::Identifier => {
            json!({ "type": "string", "pattern": "^[a-zA-Z_-][a-zA-Z0-9._-]*$", "maxLength": 255 })
        }
        Type::Path => json!({ "type": "string", "minLength": 1 }),
        Type::Url => json!({ "type": "string", "pattern": "^https?://[^/@\\s]+" }),
        Type::DirectoryName => {
            json!({ "type": "string", "pattern": r#"^[^./\\:*?"<>|][^/\\:*?"<>|]*$"#, "maxLength": 100 })
        }
        Type::Bool => json!({ "type": "boolean" }),
        Type::CronField => {
            let one = json!({ "type": ["integer", "string"] });
            json!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
        }
        Type::Integer(min, max, _) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Type::Duration(..) => {
            let (min, max) = ty.durations();
            duration(min.0 as f64 / 1e6, max.0 as f64 / 1e6)
        }
        Type::Size(..) => {
            let (min, max) = ty.sizes();
            json!({ "anyOf": [
                { "type": "string", "pattern": SIZE },
                { "type": "integer", "minimum": min, "maximum": max },
            ] })
        }
        Type::Choice(words) => json!({ "enum": words }),
        Type::Texts => texts(),
        Type::TextOrTexts => json!({ "anyOf": [{ "type": "string" }, texts()] }),
        Type::Table => json!({ "type": "object" }),
        Type::Tables => json!({ "type": "array", "items": { "type": "object" } }),
        Type::Inline(inside) => section(inside, catalogue),
        Type::Env => env(),
        Type::Sections(inside) => {
            let one = if inside.name() == keys::STEP.name() {
                kinds(inside, &catalogue.steps, catalogue)
            } else {
                section(inside, catalogue)
            };
            json!({ "type": "array", "items": one })
        }
        Type::Fields => {
            // One level is described; groups are seldom nested deeper.
            let keys: Vec<&Key> = keys::FIELD.keys.iter().collect();
            let (deeper, known): (Vec<&Key>, Vec<&Key>) =
                keys.into_iter().partition(|key| matches!(key.ty, Type::Fields));
            let mut properties = Map::new();
            for key in &known {
                properties.insert(key.name.to_owned(), property(key, catalogue));
            }
            for key in deeper {
                let inside = json!({ "type": "array", "items": { "type": "object" } });
                properties.insert(key.name.to_owned(), inside);
            }
            let required: Vec<_> = known
                .iter()
                .filter(|key| key.required)
                .map(|key| key.name)
                .collect();
            json!({ "type": "array", "items": {
                "type": "object",
                "additionalProperties": false,
                "properties": properties,
                "required": required,
            } })
        }
        // Anything: a fixed field may be of any type.
        Type::AsField => json!({}),
    }
}

fn of_field(kind: &FieldKind) -> Value {
    match kind {
        FieldKind::String => json!({ "type": "string" }),
        FieldKind::Bool => json!({ "type": "boolean" }),
        FieldKind::Integer { min, max, .. } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        FieldKind::Duration => duration(0.0, 366.0 * 86_400.0),
        FieldKind::StringList | FieldKind::Triggerables => texts(),
        FieldKind::Command => json!({ "anyOf": [
            { "type": "string", "pattern": r"\S" },
            { "type": "array", "items": { "type": "string" }, "minItems": 1 },
        ] }),
        FieldKind::Env => env(),
        FieldKind::LogFiles => json!({
            "type": "object",
            "maxProperties": 32,
            "additionalProperties": { "anyOf": [
                { "type": "string", "pattern": r"\S" },
                {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": { "path": { "type": "string", "pattern": r"\S" }, "follow": { "type": "boolean" } },
                    "required": ["path"],
                },
            ] },
        }),
        FieldKind::Choice(words) => json!({ "enum": words }),
        FieldKind::Table => json!({ "type": "object" }),
    }
}

fn texts() -> Value {
    json!({ "type": "array", "items": { "type": "string" } })
}

fn env() -> Value {
    json!({
        "type": "object",
        "additionalProperties": { "anyOf": [{ "type": "string" }, { "const": false }] },
    })
}

fn duration(min: f64, max: f64) -> Value {
    json!({ "anyOf": [
        { "type": "string", "pattern": DURATION },
        { "type": "number", "minimum": min, "maximum": max },
    ] })
}
