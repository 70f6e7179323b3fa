//! The form of a force scheduler: its own keys, and `[[scheduler.field]]`.

use std::collections::{BTreeMap, BTreeSet};

use ironmaster_model::{CodebaseUse, ForceDef, ForceField, ForceFieldKind, GroupLayout};
use serde_json::Value;

use super::source;
use crate::{
    checker::{Checker, Section, Span, Text},
    keys,
};

/// How deep groups of fields can be nested.
const DEPTH_MAX: u32 = 8;

/// What a file field takes at most where the configuration does not say; a property can hold no more.
const FILE_SIZE: u64 = 48 << 10;

pub(super) fn force(
    checker: &mut Checker<'_>,
    section: &Section<'_>,
    title: &str,
    together: &[CodebaseUse],
) -> ForceDef {
    let mut text = |key: &str, default: &str| {
        checker
            .text(section, key)
            .map_or_else(|| default.to_owned(), |text| text.value)
    };
    let (button, label, reason) = (
        text("button", title),
        text("label", title),
        text("reason", "force build"),
    );
    ForceDef {
        button,
        label,
        reason,
        reason_required: checker.boolean(section, "reason_required").unwrap_or(false),
        source: source(checker, section),
        codebases: together.iter().map(|of| of.source.clone()).collect(),
        patch: checker.boolean(section, "patch").unwrap_or(false),
        fields: fields(checker, section, "field", true, 0),
    }
}

/// The fields of a form (`top`) or of a group.
fn fields(
    checker: &mut Checker<'_>,
    section: &Section<'_>,
    key: &str,
    top: bool,
    depth: u32,
) -> Vec<ForceField> {
    let mut fields = Vec::new();
    let mut places: BTreeMap<String, Span> = BTreeMap::new();
    if depth > DEPTH_MAX {
        checker.error(
            "too_deep",
            section.value_span(key),
            format!("groups can be nested {DEPTH_MAX} deep"),
        );
        return fields;
    }
    for mut section in checker.sections(section.get(key), "a field", &keys::FIELD) {
        let name = checker.text(&section, "name");
        match &name {
            Some(name) => {
                section.what = format!("field `{}`", name.value);
                checker.identifier("a field", name);
                if top && RESERVED.contains(&name.value.as_str()) {
                    checker.error_help(
                        "bad_name",
                        name.span,
                        format!("the form has a field `{}` already", name.value),
                        Some("give it another name".to_owned()),
                    );
                }
            }
            None if !section.has("name") => checker.missing(&section, "name", "write `name = \"target\"`"),
            None => {}
        }
        checker.unknown_keys(&section, &[]);
        let field = field(checker, &section, name.as_ref(), depth);
        if let Some(name) = &name
            && let Some(first) = places.insert(name.value.clone(), name.span)
        {
            checker.duplicate("field", name, first);
        }
        fields.extend(field);
    }
    fields
}

/// Fields that every form has.
const RESERVED: &[&str] = &[
    "username",
    "reason",
    "priority",
    "branch",
    "project",
    "repository",
    "revision",
    "patch",
    "builderid",
    "builderNames",
    "owner",
];

#[derive(Clone, Copy, PartialEq)]
enum Word {
    String,
    Text,
    Int,
    Bool,
    Choice,
    UserName,
    File,
    Fixed,
    Group,
}

const WORDS: [(&str, Word); 9] = [
    ("string", Word::String),
    ("text", Word::Text),
    ("int", Word::Int),
    ("bool", Word::Bool),
    ("choice", Word::Choice),
    ("username", Word::UserName),
    ("file", Word::File),
    ("fixed", Word::Fixed),
    ("group", Word::Group),
];

/// Keys that only some types have, and which.
const ONLY_FOR: &[(&str, &[Word], &str)] = &[
    (
        "regex",
        &[Word::String, Word::Text, Word::UserName],
        "`string`, `text` and `username`",
    ),
    ("choices", &[Word::Choice], "`choice`"),
    ("strict", &[Word::Choice], "`choice`"),
    ("multiple", &[Word::Choice], "`choice`"),
    ("min", &[Word::Int], "`int`"),
    ("max", &[Word::Int], "`int`"),
    ("need_email", &[Word::UserName], "`username`"),
    ("max_size", &[Word::File], "`file`"),
    ("fields", &[Word::Group], "`group`"),
    ("layout", &[Word::Group], "`group`"),
    ("columns", &[Word::Group], "`group`"),
    (
        "default",
        &[
            Word::String,
            Word::Text,
            Word::Int,
            Word::Bool,
            Word::Choice,
            Word::UserName,
            Word::Fixed,
        ],
        "that hold one value",
    ),
];

fn field(
    checker: &mut Checker<'_>,
    section: &Section<'_>,
    name: Option<&Text>,
    depth: u32,
) -> Option<ForceField> {
    let word = checker.choice(section, "type", &WORDS);
    if !section.has("type") {
        checker.missing(section, "type", "write `type = \"string\"`");
    }
    let regex = checker.text(section, "regex");
    if let Some(text) = &regex {
        checker.regex(text);
    }
    let required = checker.boolean(section, "required").unwrap_or(false);
    let hide = checker.boolean(section, "hide").unwrap_or(false);
    let tooltip = checker
        .text(section, "tooltip")
        .map(|text| text.value)
        .unwrap_or_default();
    let label = checker.text(section, "label").map(|text| text.value);
    let word = word?;
    for (key, words, what) in ONLY_FOR {
        if let (false, Some(span)) = (words.contains(&word), section.key_span(key)) {
            let message = format!("`{key}` is only for fields of type {what}");
            checker.error("conflict", span, message.replace("of type that", "that"));
        }
    }
    let (kind, default) = kind(checker, section, word, depth);
    let name = name?.value.clone();
    Some(ForceField {
        label: label.unwrap_or_else(|| name.clone()),
        name,
        kind,
        default,
        required,
        hide,
        regex: regex.map(|text| text.value),
        tooltip,
    })
}

/// The type with what belongs to it, and the default.
fn kind(checker: &mut Checker<'_>, section: &Section<'_>, word: Word, depth: u32) -> (ForceFieldKind, Value) {
    let text = |checker: &mut Checker<'_>| {
        let text = checker.text(section, "default");
        Value::from(text.map(|text| text.value).unwrap_or_default())
    };
    match word {
        Word::String => (ForceFieldKind::String, text(checker)),
        Word::Text => (ForceFieldKind::Text, text(checker)),
        Word::UserName => {
            let need_email = checker.boolean(section, "need_email").unwrap_or(true);
            (ForceFieldKind::UserName { need_email }, text(checker))
        }
        Word::File => {
            let size_max = checker.size(section, "max_size").unwrap_or(FILE_SIZE);
            (ForceFieldKind::File { size_max }, Value::from(""))
        }
        Word::Fixed => {
            if !section.has("default") {
                checker.missing(
                    section,
                    "default",
                    "write `default = \"x\"`: a fixed field has no other value",
                );
            }
            let value = section.get("default").and_then(|value| checker.json(value));
            (ForceFieldKind::Fixed, value.unwrap_or_default())
        }
        Word::Bool => {
            let default = checker.boolean(section, "default").unwrap_or(false);
            (ForceFieldKind::Bool, Value::from(default))
        }
        Word::Int => int(checker, section),
        Word::Choice => choice(checker, section),
        Word::Group => {
            if !section.has("fields") {
                checker.missing(
                    section,
                    "fields",
                    "write `fields = [{ name = \"jobs\", type = \"int\" }]`",
                );
            }
            let layouts = [
                ("vertical", GroupLayout::Vertical),
                ("simple", GroupLayout::Simple),
                ("tabs", GroupLayout::Tabs),
            ];
            let kind = ForceFieldKind::Group {
                fields: fields(checker, section, "fields", false, depth + 1),
                layout: checker.choice(section, "layout", &layouts).unwrap_or_default(),
                columns: checker.integer(section, "columns").unwrap_or(1) as u32,
            };
            (kind, Value::from(""))
        }
    }
}

fn int(checker: &mut Checker<'_>, section: &Section<'_>) -> (ForceFieldKind, Value) {
    let (min, max) = (checker.integer(section, "min"), checker.integer(section, "max"));
    let default = match section.get("default") {
        Some(value) => checker.integer_value("default", value, i64::MIN..=i64::MAX),
        None => None,
    };
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        checker.error(
            "out_of_range",
            section.value_span("max"),
            format!("`max` is {max}, less than `min`, which is {min}"),
        );
    } else if let Some(number) = default
        && (min.is_some_and(|min| number < min) || max.is_some_and(|max| number > max))
    {
        checker.error(
            "out_of_range",
            section.value_span("default"),
            format!("`default` is {number}, which the field itself would refuse"),
        );
    }
    let nearest = 0.max(min.unwrap_or(0)).min(max.unwrap_or(i64::MAX));
    (
        ForceFieldKind::Int { min, max },
        Value::from(default.unwrap_or(nearest)),
    )
}

fn choice(checker: &mut Checker<'_>, section: &Section<'_>) -> (ForceFieldKind, Value) {
    let given = checker.texts(section, "choices").unwrap_or_default();
    let choices: Vec<String> = given.into_iter().map(|text| text.value).collect();
    let strict = checker.boolean(section, "strict").unwrap_or(true);
    let multiple = checker.boolean(section, "multiple").unwrap_or(false);
    if choices.is_empty() {
        checker.missing(section, "choices", "write `choices = [\"a\", \"b\"]`");
    }
    let distinct: BTreeSet<_> = choices.iter().collect();
    if distinct.len() < choices.len() {
        checker.error(
            "duplicate",
            section.value_span("choices"),
            "a choice is given twice",
        );
    }
    let defaults: Vec<Text> = if multiple {
        checker.text_or_texts(section, "default")
    } else {
        checker.text(section, "default").into_iter().collect()
    };
    if strict {
        let words: Vec<_> = choices.iter().map(String::as_str).collect();
        for text in defaults.iter().filter(|text| !choices.contains(&text.value)) {
            checker.not_a_choice("default", text, &words);
        }
    }
    let mut defaults = defaults.into_iter().map(|text| text.value);
    let default = if multiple {
        Value::from(defaults.collect::<Vec<_>>())
    } else {
        Value::from(
            defaults
                .next()
                .or_else(|| choices.first().cloned())
                .unwrap_or_default(),
        )
    };
    let kind = ForceFieldKind::Choice {
        choices,
        strict,
        multiple,
    };
    (kind, default)
}
