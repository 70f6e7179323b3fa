//! Typed access to the keys of a section. Each method reports what is wrong and gives nothing then; bounds are those
//! of the table of keys.

use std::collections::BTreeMap;

use ironmaster_model::Duration;
use ironmaster_starlark::Arity;
use serde_json::Value;

use crate::{
    callbacks::Function,
    checker::{Checker, Section, Text},
    keys::{Key, SectionKeys, Type},
    sources::Span,
    spelling::Spelling,
    suggest,
    tree::{Data, Entry, Node},
    units,
};

impl Checker<'_> {
    // Tables.

    /// A key as this spelling has it: a list of sections is named after one of them in TOML, after all in Starlark.
    pub(crate) fn shown(&self, section: &Section<'_>, key: &str) -> String {
        match section.key(key) {
            Some(Key {
                ty: Type::Sections(_),
                ..
            }) => self.spelling.pick(key.to_owned(), format!("{key}s")),
            _ => key.to_owned(),
        }
    }

    /// Reports the keys of a section that are not known; `more` are known beside those of the section.
    pub(crate) fn unknown_keys(&mut self, section: &Section<'_>, more: &[&str]) {
        let mut known: Vec<&str> = Vec::new();
        for keys in &section.keys {
            known.extend(keys.keys.iter().map(|key| key.name));
        }
        known.extend(more);
        for entry in &section.table.entries {
            if !known.contains(&entry.name.as_str()) {
                self.unknown_key(section, entry, &known);
            }
        }
    }

    fn unknown_key(&mut self, section: &Section<'_>, entry: &Entry, known: &[&str]) {
        // Thousands of mistakes need no thousands of suggestions.
        if self.is_full() {
            return;
        }
        let shown: Vec<String> = known.iter().map(|key| self.shown(section, key)).collect();
        let help = suggest::help(&entry.name, shown.iter().map(String::as_str));
        let message = format!("{} has no {} `{}`", section.what, section.parts, entry.name);
        self.error_help("unknown_key", entry.name_span, message, help);
    }

    /// A value that must be a table.
    pub(crate) fn as_section<'t>(
        &mut self,
        value: &'t Node,
        what: &str,
        keys: &'static SectionKeys,
    ) -> Option<Section<'t>> {
        let Some(table) = value.as_table() else {
            self.error(
                "wrong_type",
                value.span,
                format!("{what} must be a table, not {}", value.type_name()),
            );
            return None;
        };
        Some(Section {
            table,
            span: value.span,
            what: what.to_owned(),
            parts: "key",
            keys: vec![keys],
        })
    }

    /// The tables of a list of sections.
    pub(crate) fn sections<'t>(
        &mut self,
        value: Option<&'t Node>,
        what: &str,
        keys: &'static SectionKeys,
    ) -> Vec<Section<'t>> {
        let Some(value) = value else { return Vec::new() };
        let header = keys.name();
        match &value.data {
            Data::List(items) => items
                .iter()
                .filter_map(|item| self.as_section(item, what, keys))
                .collect(),
            // A single one is not a list of one, but what is in it can be checked.
            Data::Table(_) if self.spelling == Spelling::Starlark => {
                self.error_help(
                    "wrong_type",
                    value.span,
                    format!("this must be a list, not {}", value.type_name()),
                    Some("put it into brackets: `[…]`".to_owned()),
                );
                self.as_section(value, what, keys).into_iter().collect()
            }
            Data::Table(_) => {
                self.error_help(
                    "wrong_type",
                    value.span,
                    format!("`[{header}]` must stand in double brackets, because there can be several"),
                    Some(format!("write `[[{header}]]`")),
                );
                self.as_section(value, what, keys).into_iter().collect()
            }
            _ => {
                let (wanted, help) = self.spelling.pick(
                    (what, format!("write `[[{header}]]`")),
                    ("this", "write `[…]`".to_owned()),
                );
                self.error_help(
                    "wrong_type",
                    value.span,
                    format!(
                        "{wanted} must be a {}, not {}",
                        self.spelling.pick("table", "list"),
                        value.type_name()
                    ),
                    Some(help),
                );
                Vec::new()
            }
        }
    }

    // Values.

    pub(crate) fn wrong_type(&mut self, key: &str, value: &Node, wanted: &str) {
        self.error(
            "wrong_type",
            value.span,
            format!("`{key}` must be {wanted}, not {}", value.type_name()),
        );
    }

    pub(crate) fn text(&mut self, section: &Section<'_>, key: &str) -> Option<Text> {
        let value = section.get(key)?;
        let Some(text) = value.as_str() else {
            self.wrong_type(key, value, "text in quotes");
            return None;
        };
        Some(Text {
            value: text.to_owned(),
            span: value.span,
        })
    }

    pub(crate) fn boolean(&mut self, section: &Section<'_>, key: &str) -> Option<bool> {
        let value = section.get(key)?;
        let bool = value.as_bool();
        if bool.is_none() {
            self.wrong_type(key, value, self.spelling.pick("true or false", "True or False"));
        }
        bool
    }

    pub(crate) fn integer(&mut self, section: &Section<'_>, key: &str) -> Option<i64> {
        let (min, max) = section
            .key(key)
            .map_or((i64::MIN, i64::MAX), |key| key.ty.integers());
        self.integer_value(key, section.get(key)?, min..=max)
    }

    pub(crate) fn integer_value(
        &mut self,
        key: &str,
        value: &Node,
        bounds: std::ops::RangeInclusive<i64>,
    ) -> Option<i64> {
        let Data::Integer(number, shown) = &value.data else {
            self.wrong_type(key, value, "a whole number");
            return None;
        };
        let parsed = number.filter(|number| bounds.contains(number));
        if parsed.is_none() {
            self.error(
                "out_of_range",
                value.span,
                format!(
                    "`{key}` is {shown}, but must be from {} to {}",
                    bounds.start(),
                    bounds.end()
                ),
            );
        }
        parsed
    }

    pub(crate) fn duration(&mut self, section: &Section<'_>, key: &str) -> Option<Duration> {
        let unbounded = (Duration::ZERO, Duration(i64::MAX));
        let (min, max) = section.key(key).map_or(unbounded, |key| key.ty.durations());
        self.duration_value(key, section.get(key)?, min, max)
    }

    pub(crate) fn duration_value(
        &mut self,
        key: &str,
        value: &Node,
        min: Duration,
        max: Duration,
    ) -> Option<Duration> {
        let parsed = match &value.data {
            Data::Text(text) => match units::duration(text) {
                Ok(duration) => duration,
                Err(message) => {
                    self.error("bad_duration", value.span, message);
                    return None;
                }
            },
            Data::Integer(number, _) => {
                let micros = number.and_then(|number| number.checked_mul(1_000_000));
                Duration(micros.unwrap_or(i64::MAX))
            }
            Data::Float(number, _) => match number {
                Some(seconds) if seconds.is_finite() => Duration((seconds * 1e6) as i64),
                _ => Duration(i64::MAX),
            },
            _ => {
                self.wrong_type(key, value, "a duration such as \"90s\" or \"20m\"");
                return None;
            }
        };
        if parsed < min || parsed > max {
            self.error(
                "out_of_range",
                value.span,
                format!(
                    "`{key}` must be from {} to {}",
                    units::duration_text(min),
                    units::duration_text(max)
                ),
            );
            return None;
        }
        Some(parsed)
    }

    /// A number of bytes.
    pub(crate) fn size(&mut self, section: &Section<'_>, key: &str) -> Option<u64> {
        let (min, max) = section.key(key).map_or((0, u64::MAX), |key| key.ty.sizes());
        let value = section.get(key)?;
        let bytes = match &value.data {
            Data::Text(text) => match units::size(text) {
                Ok(bytes) => bytes,
                Err(message) => {
                    self.error("bad_size", value.span, message);
                    return None;
                }
            },
            Data::Integer(number, _) => number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0),
            _ => {
                self.wrong_type(key, value, "a size such as \"10MiB\"");
                return None;
            }
        };
        if !(min..=max).contains(&bytes) {
            self.error(
                "out_of_range",
                value.span,
                format!("`{key}` is {bytes} bytes, but must be from {min} to {max}"),
            );
            return None;
        }
        Some(bytes)
    }

    /// A function that is called with such arguments.
    fn function(
        &mut self,
        section: &Section<'_>,
        key: &str,
        arguments: &[&str],
    ) -> Option<ironmaster_starlark::Value> {
        let value = section.get(key)?;
        if let Data::Function(function, arity) = &value.data {
            if arity.takes(arguments.len()) {
                return Some(function.clone());
            }
            self.wrong_parameters(key, value.span, arguments, arity);
            return None;
        }
        match self.spelling {
            Spelling::Toml => self.error_help(
                "wrong_type",
                value.span,
                format!("`{key}` must be a function, which TOML has not"),
                Some("write the configuration in Starlark, in a file that ends in `.star`".to_owned()),
            ),
            Spelling::Starlark => self.wrong_type(
                key,
                value,
                &format!("a function such as `lambda {}: …`", arguments.join(", ")),
            ),
        }
        None
    }

    /// A function that cannot be called as it would be.
    fn wrong_parameters(&mut self, key: &str, span: Span, arguments: &[&str], arity: &Arity) {
        let takes = match (arity.named.first(), arity.most) {
            (Some(name), _) => format!("needs `{name}` by name"),
            (None, None) => format!("takes at least {}", arity.least),
            (None, Some(most)) if most == arity.least => format!("takes {most}"),
            (None, Some(most)) => format!("takes {} to {most}", arity.least),
        };
        let list = arguments.join(", ");
        let count = match arguments.len() {
            1 => "one argument".to_owned(),
            many => format!("{many} arguments"),
        };
        self.error_help(
            "wrong_parameters",
            span,
            format!("`{key}` is called with {count} ({list}), but this function {takes}"),
            Some(format!("begin it with `lambda {list}:` or `def name({list}):`")),
        );
    }

    /// A function, where a key takes one in place of something else; none where it has something else.
    pub(crate) fn function_instead(
        &mut self,
        section: &Section<'_>,
        key: &str,
        arguments: &[&str],
    ) -> Option<Function> {
        let is_one = matches!(section.get(key)?.data, Data::Function(..));
        is_one
            .then(|| self.placed_function(section, key, arguments))
            .flatten()
    }

    /// A function that is called with such arguments, with its place.
    pub(crate) fn placed_function(
        &mut self,
        section: &Section<'_>,
        key: &str,
        arguments: &[&str],
    ) -> Option<Function> {
        let value = self.function(section, key, arguments)?;
        let span = section.value_span(key);
        Some(Function { value, span })
    }

    /// A list of texts, each with its place.
    pub(crate) fn texts(&mut self, section: &Section<'_>, key: &str) -> Option<Vec<Text>> {
        self.texts_value(key, section.get(key)?)
    }

    pub(crate) fn texts_value(&mut self, key: &str, value: &Node) -> Option<Vec<Text>> {
        let Some(items) = value.as_list() else {
            let help = value.as_str().map(|text| format!("write `[\"{text}\"]`"));
            self.error_help(
                "wrong_type",
                value.span,
                format!("`{key}` must be a list of texts, not {}", value.type_name()),
                help,
            );
            return None;
        };
        let mut texts = Vec::new();
        for item in items {
            match item.as_str() {
                Some(text) => texts.push(Text {
                    value: text.to_owned(),
                    span: item.span,
                }),
                None => self.wrong_type(key, item, "a list of texts in quotes"),
            }
        }
        Some(texts)
    }

    /// One text or a list of texts.
    pub(crate) fn text_or_texts(&mut self, section: &Section<'_>, key: &str) -> Vec<Text> {
        match section.get(key) {
            Some(value) if value.as_str().is_some() => self.text(section, key).into_iter().collect(),
            Some(value) => self.texts_value(key, value).unwrap_or_default(),
            None => Vec::new(),
        }
    }

    /// One of a few words: those of the key's type, each with what it means.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let text = self.text(section, key)?;
        let found = choices.iter().find(|(word, _)| *word == text.value);
        if found.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            self.not_a_choice(key, &text, &words);
        }
        found.map(|(_, value)| *value)
    }

    pub(crate) fn not_a_choice(&mut self, key: &str, text: &Text, words: &[&str]) {
        self.error_help(
            "unknown_value",
            text.span,
            format!("`{key}` cannot be `{}`", text.value),
            Some(match suggest::similar(&text.value, words.iter().copied()) {
                Some(word) => suggest::did_you_mean(word),
                None => format!("it can be {}", suggest::list(words).replace(" and ", " or ")),
            }),
        );
    }

    /// Reports that a table is wanted; `example` is one as TOML.
    pub(crate) fn wrong_table(&mut self, key: &str, value: &Node, example: &str) {
        let wanted = format!(
            "a {} such as {}",
            self.spelling.pick("table", "dict"),
            self.spelling.example(example)
        );
        self.wrong_type(key, value, &wanted);
    }

    /// A table of name to any value.
    pub(crate) fn json_table(&mut self, section: &Section<'_>, key: &str) -> BTreeMap<String, Value> {
        let Some(value) = section.get(key) else {
            return BTreeMap::new();
        };
        let Some(table) = value.as_table() else {
            self.wrong_table(key, value, "{ name = \"value\" }");
            return BTreeMap::new();
        };
        let mut out = BTreeMap::new();
        for entry in &table.entries {
            if let Some(json) = self.json(&entry.node) {
                out.insert(entry.name.clone(), json);
            }
        }
        out
    }

    /// Any value as JSON. Dates become text; numbers that JSON has not are reported.
    pub(crate) fn json(&mut self, value: &Node) -> Option<Value> {
        Some(match &value.data {
            Data::Text(text) => Value::String(text.clone()),
            Data::Bool(bool) => Value::Bool(*bool),
            Data::Integer(number, shown) => {
                let Some(number) = number else {
                    self.error("out_of_range", value.span, format!("{shown} is too large"));
                    return None;
                };
                (*number).into()
            }
            Data::Float(number, shown) => {
                let Some(number) = number.and_then(serde_json::Number::from_f64) else {
                    self.error(
                        "out_of_range",
                        value.span,
                        format!("{shown} is not a number that can be kept"),
                    );
                    return None;
                };
                number.into()
            }
            Data::Date(date) => Value::String(date.clone()),
            Data::List(items) => Value::Array(items.iter().filter_map(|item| self.json(item)).collect()),
            Data::Table(table) => Value::Object(
                table
                    .entries
                    .iter()
                    .filter_map(|entry| Some((entry.name.clone(), self.json(&entry.node)?)))
                    .collect(),
            ),
            Data::Function(..) | Data::Other(_) => {
                let message = format!("{} cannot be kept as a value", value.type_name());
                self.error("wrong_type", value.span, message);
                return None;
            }
        })
    }
}

impl Node {
    /// What it is, with its article.
    pub(crate) fn type_name(&self) -> &str {
        match &self.data {
            Data::Text(_) => "text",
            Data::Integer(..) => "a whole number",
            Data::Float(..) => "a number",
            Data::Bool(_) => "true or false",
            Data::Date(_) => "a date",
            Data::List(_) => "a list",
            Data::Table(_) => "a table",
            Data::Function(..) => "a function",
            Data::Other(what) => what,
        }
    }
}
