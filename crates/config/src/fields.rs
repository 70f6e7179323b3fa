//! Checks the fields of a step or change source against the description of its kind.

use ironmaster_model::{Duration, FieldKind, FieldSpec, KindSpec};
use serde_json::{Map, Value};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::checker::{Checker, Section, Text};

/// The longest duration of any field.
const DURATION_MAX: Duration = Duration::from_secs(366 * 86_400);

/// Finds the kind that `type` names among `kinds`; reports if there is none.
pub(crate) fn kind<'k>(
    checker: &mut Checker<'_>,
    section: &Section<'_>,
    kinds: &'k [KindSpec],
) -> Option<&'k KindSpec> {
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name).collect();
    let Some(name) = checker.text(section, "type") else {
        if !section.has("type") {
            let example = names.first().copied().unwrap_or("…");
            checker.missing(section, "type", format!("write `type = \"{example}\"`"));
        }
        return None;
    };
    let found = kinds.iter().find(|kind| kind.name == name.value);
    if found.is_none() {
        checker.not_a_choice("type", &name, &names);
    }
    found
}

/// Reads the fields of `kind`; `common` are keys that belong to the section itself.
pub(crate) fn read(
    checker: &mut Checker<'_>,
    section: &Section<'_>,
    kind: &KindSpec,
    common: &[&str],
) -> Map<String, Value> {
    let mut known: Vec<&str> = common.to_vec();
    known.extend(kind.fields.iter().map(|field| field.name));
    checker.unknown_keys(section, &known);
    let mut params = Map::new();
    let mut complete = true;
    for field in &kind.fields {
        match section.get(field.name) {
            Some(value) => match check(checker, field, value) {
                Some(value) => {
                    params.insert(field.name.to_owned(), value);
                }
                None => complete = false,
            },
            None if field.required => {
                complete = false;
                checker.missing(
                    section,
                    field.name,
                    format!("write `{} = {}`", field.name, field.example),
                );
            }
            None => {}
        }
    }
    // What concerns several fields is only looked at when each of them is good.
    if complete && let Some(check) = kind.check {
        for (field, message) in check(&params) {
            let span = section
                .get(&field)
                .map_or_else(|| section.span.clone(), Spanned::span);
            checker.error("bad_value", span, message);
        }
    }
    params
}

fn check(checker: &mut Checker<'_>, field: &FieldSpec, value: &Spanned<DeValue<'_>>) -> Option<Value> {
    let key = field.name;
    match &field.kind {
        FieldKind::String => {
            let text = value.get_ref().as_str();
            if text.is_none() {
                checker.wrong_type(key, value, "text in quotes");
            }
            text.map(|text| template(checker, text, value))
        }
        FieldKind::Bool => {
            let bool = value.get_ref().as_bool();
            if bool.is_none() {
                checker.wrong_type(key, value, "true or false");
            }
            bool.map(Value::Bool)
        }
        FieldKind::Integer { min, max } => checker.integer_value(key, value, *min..=*max).map(Value::from),
        FieldKind::Duration => checker
            .duration_value(key, value, Duration::ZERO, DURATION_MAX)
            .map(|duration| {
                if duration.0 % 1_000_000 == 0 {
                    Value::from(duration.as_secs())
                } else {
                    Value::from(duration.0 as f64 / 1e6)
                }
            }),
        FieldKind::StringList => list(checker, key, value),
        FieldKind::Command => match value.get_ref() {
            DeValue::String(text) if text.trim().is_empty() => {
                checker.error("empty", value.span(), format!("`{key}` is empty"));
                None
            }
            DeValue::String(text) => Some(template(checker, text, value)),
            DeValue::Array(items) if items.is_empty() => {
                checker.error("empty", value.span(), format!("`{key}` is an empty list"));
                None
            }
            DeValue::Array(_) => list(checker, key, value),
            _ => {
                checker.wrong_type(key, value, "one text for the shell or a list of texts");
                None
            }
        },
        FieldKind::Env => env(checker, key, value),
        FieldKind::Choice(words) => match value.get_ref().as_str() {
            Some(text) if words.contains(&text) => Some(Value::from(text)),
            Some(text) => {
                let text = Text {
                    value: text.to_owned(),
                    span: value.span(),
                };
                checker.not_a_choice(key, &text, words);
                None
            }
            None => {
                checker.wrong_type(key, value, "text in quotes");
                None
            }
        },
        FieldKind::Table => {
            if !value.get_ref().is_table() {
                checker.wrong_type(key, value, "a table such as { name = \"value\" }");
                return None;
            }
            templates_in(checker, value);
            checker.json(value)
        }
    }
}

fn list(checker: &mut Checker<'_>, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Value> {
    let texts = checker.texts_value(key, value)?;
    for text in &texts {
        checker.template(text);
    }
    Some(texts.into_iter().map(|text| Value::String(text.value)).collect())
}

/// Reads a table of environment variables: text, or null for one that is unset.
pub(crate) fn env(checker: &mut Checker<'_>, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Value> {
    let Some(table) = value.get_ref().as_table() else {
        checker.wrong_type(key, value, "a table such as { CC = \"clang\", LANG = false }");
        return None;
    };
    Some(Value::Object(env_entries(checker, key, table)))
}

fn env_entries(checker: &mut Checker<'_>, key: &str, table: &DeTable<'_>) -> Map<String, Value> {
    let mut out = Map::new();
    for (name, value) in table {
        let variable = name.get_ref();
        if variable.is_empty() || variable.contains(['=', '\0']) {
            checker.error(
                "bad_name",
                name.span(),
                format!("`{variable}` cannot be the name of an environment variable"),
            );
            continue;
        }
        match value.get_ref() {
            DeValue::String(text) => {
                let text = template(checker, text, value);
                out.insert(variable.to_string(), text);
            }
            DeValue::Boolean(false) => {
                out.insert(variable.to_string(), Value::Null);
            }
            DeValue::Integer(number) => checker.error_help(
                "wrong_type",
                value.span(),
                format!("the environment holds text, so `{variable}` must be in quotes"),
                Some(format!("write `{variable} = \"{number}\"`")),
            ),
            _ => checker.error_help(
                "wrong_type",
                value.span(),
                format!("`{key}.{variable}` is text, or false to unset it"),
                None,
            ),
        }
    }
    out
}

fn template(checker: &mut Checker<'_>, text: &str, value: &Spanned<DeValue<'_>>) -> Value {
    let text = Text {
        value: text.to_owned(),
        span: value.span(),
    };
    checker.template(&text);
    Value::String(text.value)
}

fn templates_in(checker: &mut Checker<'_>, value: &Spanned<DeValue<'_>>) {
    match value.get_ref() {
        DeValue::String(text) => {
            template(checker, text, value);
        }
        DeValue::Array(items) => items.iter().for_each(|item| templates_in(checker, item)),
        DeValue::Table(table) => table.values().for_each(|item| templates_in(checker, item)),
        _ => {}
    }
}
