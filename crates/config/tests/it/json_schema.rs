//! As much of JSON Schema as the schema of the configuration uses. What it does not know is an error, so that nothing is
//! taken for checked that is not.

use regex::Regex;
use serde_json::Value;

/// What is wrong with a value: the path to it, and which rule of the schema says so.
pub(crate) fn refusals(schema: &Value, value: &Value) -> Vec<String> {
    let mut out = Vec::new();
    check(schema, value, "", &mut out);
    out
}

fn accepts(schema: &Value, value: &Value) -> bool {
    refusals(schema, value).is_empty()
}

fn check(schema: &Value, value: &Value, path: &str, out: &mut Vec<String>) {
    let schema = schema.as_object().expect("a schema is an object");
    for (rule, given) in schema {
        let list = || given.as_array().expect("a list of schemas");
        let good = match rule.as_str() {
            "$schema" | "title" | "description" | "default" | "examples" => true,
            "type" => match given {
                Value::Array(types) => types.iter().any(|name| is_of(value, name)),
                name => is_of(value, name),
            },
            "const" => value == given,
            "enum" => list().contains(value),
            "minimum" => value
                .as_f64()
                .is_none_or(|number| number >= given.as_f64().unwrap()),
            "maximum" => value
                .as_f64()
                .is_none_or(|number| number <= given.as_f64().unwrap()),
            "minLength" => length(value).is_none_or(|length| length >= given.as_u64().unwrap()),
            "maxLength" => length(value).is_none_or(|length| length <= given.as_u64().unwrap()),
            "minItems" => value
                .as_array()
                .is_none_or(|items| items.len() as u64 >= given.as_u64().unwrap()),
            "maxProperties" => value
                .as_object()
                .is_none_or(|object| object.len() as u64 <= given.as_u64().unwrap()),
            "pattern" => {
                let pattern = Regex::new(given.as_str().unwrap()).expect("a pattern that all engines know");
                value.as_str().is_none_or(|text| pattern.is_match(text))
            }
            "required" => value.as_object().is_none_or(|object| {
                list()
                    .iter()
                    .all(|name| object.contains_key(name.as_str().unwrap()))
            }),
            "anyOf" => list().iter().any(|schema| accepts(schema, value)),
            "oneOf" => list().iter().filter(|schema| accepts(schema, value)).count() == 1,
            "not" => !accepts(given, value),
            "items" => {
                for (at, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(given, item, &format!("{path}[{at}]"), out);
                }
                true
            }
            "properties" => {
                for (name, schema) in given.as_object().unwrap() {
                    if let Some(inner) = value.get(name) {
                        check(schema, inner, &format!("{path}.{name}"), out);
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                let others = value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .filter(|(name, _)| known.is_none_or(|known| !known.contains_key(*name)));
                for (name, inner) in others {
                    let path = format!("{path}.{name}");
                    match given {
                        Value::Bool(true) => {}
                        Value::Bool(false) => out.push(format!("{path}: additionalProperties")),
                        schema => check(schema, inner, &path, out),
                    }
                }
                true
            }
            other => panic!("the rule `{other}` is not known here"),
        };
        if !good {
            out.push(format!("{path}: {rule}"));
        }
    }
}

fn is_of(value: &Value, name: &Value) -> bool {
    match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("the type `{other}` is not known here"),
    }
}

fn length(value: &Value) -> Option<u64> {
    value.as_str().map(|text| text.chars().count() as u64)
}

/// A TOML text as JSON, as editors hand it to a schema.
pub(crate) fn json(toml: &str) -> Value {
    fn of(value: toml::Value) -> Value {
        match value {
            toml::Value::String(text) => text.into(),
            toml::Value::Integer(number) => number.into(),
            toml::Value::Float(number) => {
                serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number)
            }
            toml::Value::Boolean(bool) => bool.into(),
            toml::Value::Datetime(date) => date.to_string().into(),
            toml::Value::Array(items) => items.into_iter().map(of).collect(),
            toml::Value::Table(table) => table.into_iter().map(|(name, value)| (name, of(value))).collect(),
        }
    }
    of(toml::Value::Table(toml::from_str(toml).expect(toml)))
}
