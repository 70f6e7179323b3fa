//! Checks the fields of a step or change source against the description of its kind.

use ironmaster_model::{Duration, FieldKind, FieldSpec, KindSpec};
use serde_json::{Map, Value};

use crate::{
    checker::{Checker, Section, Text},
    log_files,
    tree::{Data, Entry, Node, Table},
};

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

/// Reads the fields of `kind`, which stand beside the keys of the section itself.
pub(crate) fn read(checker: &mut Checker<'_>, section: &Section<'_>, kind: &KindSpec) -> Map<String, Value> {
    let names: Vec<&str> = kind.fields.iter().map(|field| field.name).collect();
    checker.unknown_keys(section, &names);
    let mut params = Map::new();
    let mut complete = true;
    for field in &kind.fields {
        match section.get(field.name) {
            Some(value) => match check(checker, kind, field, value) {
                Some(value) => {
                    params.insert(field.name.to_owned(), value);
                }
                None => complete = false,
            },
            None if field.required => {
                complete = false;
                let example = checker.spelling.example(field.example);
                checker.missing(section, field.name, format!("write `{} = {example}`", field.name));
            }
            None => {}
        }
    }
    // What concerns several fields is only looked at when each of them is good.
    if complete && let Some(check) = kind.check {
        for (field, message) in check(&params) {
            let span = section.value_span(&field);
            checker.error("bad_value", span, message);
        }
    }
    params
}

/// The logs that a step with these fields opens when it starts.
pub(crate) fn logs(kind: &KindSpec, params: &Map<String, Value>) -> Vec<String> {
    let files = kind
        .fields
        .iter()
        .filter(|field| field.kind == FieldKind::LogFiles)
        .filter_map(|field| params.get(field.name)?.as_object())
        .flat_map(Map::keys)
        .cloned();
    kind.logs.iter().map(|&log| log.to_owned()).chain(files).collect()
}

fn check(checker: &mut Checker<'_>, kind: &KindSpec, field: &FieldSpec, value: &Node) -> Option<Value> {
    let key = field.name;
    match &field.kind {
        FieldKind::String => {
            let text = value.as_str();
            if text.is_none() {
                checker.wrong_type(key, value, "text in quotes");
            }
            text.map(|text| template(checker, text, value))
        }
        FieldKind::Bool => {
            let bool = value.as_bool();
            if bool.is_none() {
                let wanted = checker.spelling.pick("true or false", "True or False");
                checker.wrong_type(key, value, wanted);
            }
            bool.map(Value::Bool)
        }
        FieldKind::Integer { min, max, .. } => {
            checker.integer_value(key, value, *min..=*max).map(Value::from)
        }
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
        FieldKind::Triggerables => {
            let names = list(checker, key, value);
            for item in value.as_list().into_iter().flatten() {
                if let Some(text) = item.as_str().filter(|text| !text.contains("%(")) {
                    checker.triggered.push(Text {
                        value: text.to_owned(),
                        span: item.span,
                    });
                }
            }
            names
        }
        FieldKind::Command => match &value.data {
            Data::Text(text) if text.trim().is_empty() => {
                checker.error("empty", value.span, format!("`{key}` is empty"));
                None
            }
            Data::Text(text) => Some(template(checker, text, value)),
            Data::List(items) if items.is_empty() => {
                checker.error("empty", value.span, format!("`{key}` is an empty list"));
                None
            }
            Data::List(_) => list(checker, key, value),
            _ => {
                checker.wrong_type(key, value, "one text for the shell or a list of texts");
                None
            }
        },
        FieldKind::Env => env(checker, key, value),
        FieldKind::LogFiles => log_files::read(checker, key, value, kind.logs),
        FieldKind::Choice(words) => match value.as_str() {
            Some(text) if words.contains(&text) => Some(Value::from(text)),
            Some(text) => {
                let text = Text {
                    value: text.to_owned(),
                    span: value.span,
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
            if value.as_table().is_none() {
                checker.wrong_table(key, value, "{ name = \"value\" }");
                return None;
            }
            templates_in(checker, value);
            checker.json(value)
        }
    }
}

fn list(checker: &mut Checker<'_>, key: &str, value: &Node) -> Option<Value> {
    let texts = checker.texts_value(key, value)?;
    for text in &texts {
        checker.template(text);
    }
    Some(texts.into_iter().map(|text| Value::String(text.value)).collect())
}

/// Reads a table of environment variables: text, or null for one that is unset.
pub(crate) fn env(checker: &mut Checker<'_>, key: &str, value: &Node) -> Option<Value> {
    let Some(table) = value.as_table() else {
        checker.wrong_table(key, value, "{ CC = \"clang\", LANG = false }");
        return None;
    };
    Some(Value::Object(env_entries(checker, key, table)))
}

fn env_entries(checker: &mut Checker<'_>, key: &str, table: &Table) -> Map<String, Value> {
    let mut out = Map::new();
    for Entry {
        name: variable,
        name_span,
        node: value,
    } in &table.entries
    {
        if variable.is_empty() || variable.contains(['=', '\0']) {
            checker.error(
                "bad_name",
                *name_span,
                format!("`{variable}` cannot be the name of an environment variable"),
            );
            continue;
        }
        match &value.data {
            Data::Text(text) => {
                let text = template(checker, text, value);
                out.insert(variable.clone(), text);
            }
            Data::Bool(false) => {
                out.insert(variable.clone(), Value::Null);
            }
            Data::Integer(_, number) => checker.error_help(
                "wrong_type",
                value.span,
                format!("the environment holds text, so `{variable}` must be in quotes"),
                Some(checker.spelling.pick(
                    format!("write `{variable} = \"{number}\"`"),
                    format!("write `\"{variable}\": \"{number}\"`"),
                )),
            ),
            _ => checker.error_help(
                "wrong_type",
                value.span,
                format!(
                    "`{key}.{variable}` is text, or {} to unset it",
                    checker.spelling.pick("false", "False")
                ),
                None,
            ),
        }
    }
    out
}

fn template(checker: &mut Checker<'_>, text: &str, value: &Node) -> Value {
    let text = Text {
        value: text.to_owned(),
        span: value.span,
    };
    checker.template(&text);
    Value::String(text.value)
}

fn templates_in(checker: &mut Checker<'_>, value: &Node) {
    match &value.data {
        Data::Text(text) => {
            template(checker, text, value);
        }
        Data::List(items) => items.iter().for_each(|item| templates_in(checker, item)),
        Data::Table(table) => table
            .entries
            .iter()
            .for_each(|entry| templates_in(checker, &entry.node)),
        _ => {}
    }
}
