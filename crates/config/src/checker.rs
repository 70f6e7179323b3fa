//! What every part of the check works with: a table of the file with its places, typed access to its keys,
//! and the list of findings. Reading goes on after a mistake, so that all of them are found at once.

use std::{collections::BTreeMap, ops::Range, path::Path};

use ironmaster_model::{Catalogue, Duration, Template};
use serde_json::Value;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    report::{Finding, Place, Related, Report, Severity},
    suggest, units,
};

/// A byte range of the file.
pub(crate) type Span = Range<usize>;

/// More findings than this are counted but not kept.
const FINDINGS_MAX: usize = 500;

/// A text of the file with its place.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) value: String,
    pub(crate) span: Span,
}

/// A table of the file.
#[derive(Clone, Debug)]
pub(crate) struct Section<'t> {
    pub(crate) table: &'t DeTable<'t>,
    /// Its header, or the whole of an inline table.
    pub(crate) span: Span,
    /// How messages call it: `worker "linux-1"`.
    pub(crate) what: String,
    /// How messages call what is in it: `key`, or `section` at the top.
    pub(crate) parts: &'static str,
}

impl<'t> Section<'t> {
    pub(crate) fn get(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.table
            .iter()
            .find(|(name, _)| name.get_ref() == key)
            .map(|(_, value)| value)
    }

    pub(crate) fn key_span(&self, key: &str) -> Option<Span> {
        self.table
            .iter()
            .find(|(name, _)| name.get_ref() == key)
            .map(|(name, _)| name.span())
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }
}

/// The state of one check.
pub(crate) struct Checker<'c> {
    /// Name of the file in findings.
    file: &'c str,
    /// Its text, with secrets in it: only masked copies leave the checker.
    text: &'c str,
    pub(crate) base_dir: &'c Path,
    pub(crate) catalogue: &'c Catalogue,
    line_starts: Vec<usize>,
    findings: Vec<Finding>,
    left_out: usize,
    /// Values that must not be shown.
    secrets: Vec<Span>,
    /// SHA-256 of each token, by whose it is.
    pub(crate) tokens: BTreeMap<String, String>,
    /// Whether the file is not TOML, so that what seems to be missing may stand in the broken part.
    pub(crate) broken: bool,
}

impl<'c> Checker<'c> {
    pub(crate) fn new(file: &'c str, text: &'c str, base_dir: &'c Path, catalogue: &'c Catalogue) -> Self {
        let mut line_starts = vec![0];
        line_starts.extend(text.match_indices('\n').map(|(at, _)| at + 1));
        Self {
            file,
            text,
            base_dir,
            catalogue,
            line_starts,
            findings: Vec::new(),
            left_out: 0,
            secrets: Vec::new(),
            tokens: BTreeMap::new(),
            broken: false,
        }
    }

    /// The report, with a masked copy of the file.
    pub(crate) fn into_report(mut self) -> (Report, String) {
        let masked = crate::mask::mask(self.text, &self.secrets);
        self.findings
            .sort_by_key(|finding| finding.place.as_ref().map_or(0, |place| place.span.start));
        if self.left_out > 0 {
            let message = format!("{} more findings are left out", self.left_out);
            self.findings.push(Finding {
                severity: Severity::Warning,
                code: "too_many",
                message,
                place: None,
                related: Vec::new(),
                help: Some("mend the first ones and check again".to_owned()),
            });
        }
        // A message may quote a value; a secret in it is masked too.
        for value in &masked.values {
            for finding in &mut self.findings {
                finding.message = finding.message.replace(value, "***");
                finding.help = finding.help.take().map(|help| help.replace(value, "***"));
            }
        }
        let report = Report {
            findings: self.findings,
            sources: BTreeMap::from([(self.file.to_owned(), masked.text.clone())]),
        };
        (report, masked.text)
    }

    // Findings.

    pub(crate) fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.add(Severity::Error, code, span, message.into(), None, Vec::new());
    }

    pub(crate) fn error_help(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.add(Severity::Error, code, span, message.into(), help, Vec::new());
    }

    pub(crate) fn warning(&mut self, code: &'static str, span: Span, message: impl Into<String>, help: &str) {
        self.add(
            Severity::Warning,
            code,
            span,
            message.into(),
            Some(help.to_owned()),
            Vec::new(),
        );
    }

    /// Reports that something has the same name as something before it.
    pub(crate) fn duplicate(&mut self, what: &str, name: &Text, first: &Span) {
        let related = Related {
            place: self.place(first.clone()),
            message: "first defined here".to_owned(),
        };
        self.add(
            Severity::Error,
            "duplicate",
            name.span.clone(),
            format!("{what} `{}` is defined twice", name.value),
            None,
            vec![related],
        );
    }

    /// Reports an error that has to do with a second place.
    pub(crate) fn error_related(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        related: (Span, &str),
        help: Option<String>,
    ) {
        let related = Related {
            place: self.place(related.0),
            message: related.1.to_owned(),
        };
        self.add(Severity::Error, code, span, message.into(), help, vec![related]);
    }

    /// Reports that a key is missing, unless the file is broken and it may be there, or an unknown key was
    /// taken for it.
    pub(crate) fn missing(&mut self, section: &Section<'_>, key: &str, help: impl Into<String>) {
        let meant = Some(suggest::did_you_mean(key));
        let misspelt = section.table.iter().any(|(name, _)| {
            self.findings.iter().any(|finding| {
                finding.code == "unknown_key"
                    && finding.help == meant
                    && finding
                        .place
                        .as_ref()
                        .is_some_and(|place| place.span == name.span())
            })
        });
        if !self.broken && !misspelt {
            self.error_help(
                "missing_key",
                section.span.clone(),
                format!("{} has no `{key}`", section.what),
                Some(help.into()),
            );
        }
    }

    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        span: Span,
        message: String,
        help: Option<String>,
        related: Vec<Related>,
    ) {
        if self.findings.len() >= FINDINGS_MAX {
            self.left_out += 1;
            return;
        }
        let place = Some(self.place(span));
        self.findings.push(Finding {
            severity,
            code,
            message,
            place,
            related,
            help,
        });
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.severity == Severity::Error)
    }

    pub(crate) fn place(&self, span: Span) -> Place {
        let line = self.line_starts.partition_point(|start| *start <= span.start);
        let line_start = self.line_starts[line - 1];
        let column = self
            .text
            .get(line_start..span.start)
            .map_or(1, |text| text.chars().count() + 1);
        Place {
            file: self.file.to_owned(),
            span,
            line,
            column,
        }
    }

    /// Marks a value that must not be shown.
    pub(crate) fn secret(&mut self, span: Span) {
        self.secrets.push(span);
    }

    // Tables.

    /// Reports the keys of a section that are not known.
    pub(crate) fn unknown_keys(&mut self, section: &Section<'_>, known: &[&str]) {
        for (key, _) in section.table {
            let name = key.get_ref();
            if !known.contains(&name.as_ref()) {
                let help = suggest::help(name, known.iter().copied());
                let message = format!("{} has no {} `{name}`", section.what, section.parts);
                self.error_help("unknown_key", key.span(), message, help);
            }
        }
    }

    /// A value that must be a table.
    pub(crate) fn as_section<'t>(
        &mut self,
        value: &'t Spanned<DeValue<'t>>,
        what: &str,
    ) -> Option<Section<'t>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(Section {
                table,
                span: value.span(),
                what: what.to_owned(),
                parts: "key",
            }),
            other => {
                self.error(
                    "wrong_type",
                    value.span(),
                    format!("{what} must be a table, not {}", type_name(other)),
                );
                None
            }
        }
    }

    /// The tables of an array of tables; `header` is how one is written.
    pub(crate) fn sections<'t>(
        &mut self,
        value: Option<&'t Spanned<DeValue<'t>>>,
        what: &str,
        header: &str,
    ) -> Vec<Section<'t>> {
        let Some(value) = value else { return Vec::new() };
        match value.get_ref() {
            DeValue::Array(items) => items
                .iter()
                .filter_map(|item| self.as_section(item, what))
                .collect(),
            DeValue::Table(_) => {
                self.error_help(
                    "wrong_type",
                    value.span(),
                    format!("`[{header}]` must stand in double brackets, because there can be several"),
                    Some(format!("write `[[{header}]]`")),
                );
                self.as_section(value, what).into_iter().collect()
            }
            other => {
                self.error_help(
                    "wrong_type",
                    value.span(),
                    format!("{what} must be a table, not {}", type_name(other)),
                    Some(format!("write `[[{header}]]`")),
                );
                Vec::new()
            }
        }
    }

    // Values. Each reports what is wrong and gives nothing then.

    pub(crate) fn wrong_type(&mut self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        self.error(
            "wrong_type",
            value.span(),
            format!("`{key}` must be {wanted}, not {}", type_name(value.get_ref())),
        );
    }

    pub(crate) fn text(&mut self, section: &Section<'_>, key: &str) -> Option<Text> {
        let value = section.get(key)?;
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(key, value, "text in quotes");
            return None;
        };
        Some(Text {
            value: text.to_owned(),
            span: value.span(),
        })
    }

    pub(crate) fn boolean(&mut self, section: &Section<'_>, key: &str) -> Option<bool> {
        let value = section.get(key)?;
        let bool = value.get_ref().as_bool();
        if bool.is_none() {
            self.wrong_type(key, value, "true or false");
        }
        bool
    }

    pub(crate) fn integer(
        &mut self,
        section: &Section<'_>,
        key: &str,
        bounds: std::ops::RangeInclusive<i64>,
    ) -> Option<i64> {
        self.integer_value(key, section.get(key)?, bounds)
    }

    pub(crate) fn integer_value(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        bounds: std::ops::RangeInclusive<i64>,
    ) -> Option<i64> {
        let Some(number) = value.get_ref().as_integer() else {
            self.wrong_type(key, value, "a whole number");
            return None;
        };
        let parsed = i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .filter(|number| bounds.contains(number));
        if parsed.is_none() {
            self.error(
                "out_of_range",
                value.span(),
                format!(
                    "`{key}` is {number}, but must be from {} to {}",
                    bounds.start(),
                    bounds.end()
                ),
            );
        }
        parsed
    }

    pub(crate) fn duration(
        &mut self,
        section: &Section<'_>,
        key: &str,
        min: Duration,
        max: Duration,
    ) -> Option<Duration> {
        self.duration_value(key, section.get(key)?, min, max)
    }

    pub(crate) fn duration_value(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        min: Duration,
        max: Duration,
    ) -> Option<Duration> {
        let parsed = match value.get_ref() {
            DeValue::String(text) => match units::duration(text) {
                Ok(duration) => duration,
                Err(message) => {
                    self.error("bad_duration", value.span(), message);
                    return None;
                }
            },
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or(Duration(i64::MAX), Duration::from_secs),
            DeValue::Float(number) => match number.as_str().replace('_', "").parse::<f64>() {
                Ok(seconds) if seconds.is_finite() => Duration((seconds * 1e6) as i64),
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
                value.span(),
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

    /// A list of texts, each with its place.
    pub(crate) fn texts(&mut self, section: &Section<'_>, key: &str) -> Option<Vec<Text>> {
        self.texts_value(key, section.get(key)?)
    }

    pub(crate) fn texts_value(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Vec<Text>> {
        let Some(items) = value.get_ref().as_array() else {
            let help = value
                .get_ref()
                .as_str()
                .map(|text| format!("write `[\"{text}\"]`"));
            self.error_help(
                "wrong_type",
                value.span(),
                format!(
                    "`{key}` must be a list of texts, not {}",
                    type_name(value.get_ref())
                ),
                help,
            );
            return None;
        };
        let mut texts = Vec::new();
        for item in items {
            match item.get_ref().as_str() {
                Some(text) => texts.push(Text {
                    value: text.to_owned(),
                    span: item.span(),
                }),
                None => self.wrong_type(key, item, "a list of texts in quotes"),
            }
        }
        Some(texts)
    }

    /// One text or a list of texts.
    pub(crate) fn text_or_texts(&mut self, section: &Section<'_>, key: &str) -> Vec<Text> {
        match section.get(key) {
            Some(value) if value.get_ref().as_str().is_some() => {
                self.text(section, key).into_iter().collect()
            }
            Some(value) => self.texts_value(key, value).unwrap_or_default(),
            None => Vec::new(),
        }
    }

    /// One of a few words.
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
            text.span.clone(),
            format!("`{key}` cannot be `{}`", text.value),
            Some(match suggest::similar(&text.value, words.iter().copied()) {
                Some(word) => suggest::did_you_mean(word),
                None => format!("it can be {}", suggest::list(words).replace(" and ", " or ")),
            }),
        );
    }

    /// A table of name to any value.
    pub(crate) fn json_table(&mut self, section: &Section<'_>, key: &str) -> BTreeMap<String, Value> {
        let Some(value) = section.get(key) else {
            return BTreeMap::new();
        };
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(key, value, "a table such as { name = \"value\" }");
            return BTreeMap::new();
        };
        let mut out = BTreeMap::new();
        for (name, value) in table {
            if let Some(json) = self.json(value) {
                out.insert(name.get_ref().to_string(), json);
            }
        }
        out
    }

    /// Any value as JSON. Dates become text; numbers that JSON has not are reported.
    pub(crate) fn json(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        Some(match value.get_ref() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Boolean(bool) => Value::Bool(*bool),
            DeValue::Integer(number) => {
                let Ok(number) = i64::from_str_radix(number.as_str(), number.radix()) else {
                    self.error("out_of_range", value.span(), format!("{number} is too large"));
                    return None;
                };
                number.into()
            }
            DeValue::Float(number) => {
                let parsed = number.as_str().replace('_', "").parse::<f64>().ok();
                let Some(number) = parsed.and_then(serde_json::Number::from_f64) else {
                    self.error(
                        "out_of_range",
                        value.span(),
                        format!("{number} is not a number that can be kept"),
                    );
                    return None;
                };
                number.into()
            }
            DeValue::Datetime(date) => Value::String(date.to_string()),
            DeValue::Array(items) => Value::Array(items.iter().filter_map(|item| self.json(item)).collect()),
            DeValue::Table(table) => Value::Object(
                table
                    .iter()
                    .filter_map(|(name, value)| Some((name.get_ref().to_string(), self.json(value)?)))
                    .collect(),
            ),
        })
    }

    // Texts with a grammar of their own.

    /// Reports what is wrong with the `%(…)s` in a text, at its place inside the text.
    pub(crate) fn template(&mut self, text: &Text) {
        if let Err(error) = Template::parse(&text.value) {
            let span = self.inside(text, error.at);
            self.error("bad_interpolation", span, error.message);
        }
    }

    /// Reports what is wrong with a glob. Compiled as the engine's filter does it.
    pub(crate) fn glob(&mut self, text: &Text) {
        let glob = globset::GlobBuilder::new(&text.value)
            .literal_separator(true)
            .build();
        if let Err(error) = glob {
            self.error(
                "bad_glob",
                text.span.clone(),
                format!("`{}` is not a glob: {}", text.value, error.kind()),
            );
        }
    }

    /// The place of byte `at` of a text. Where the file spells the text with escapes, the whole text.
    fn inside(&self, text: &Text, at: usize) -> Span {
        let raw = self.text.get(text.span.clone()).unwrap_or_default();
        let start = ["\"\"\"\n", "'''\n", "\"\"\"", "'''", "\"", "'"]
            .iter()
            .find(|quote| raw.starts_with(**quote))
            .map_or(0, |quote| quote.len());
        if raw.get(start..start + text.value.len()) == Some(text.value.as_str()) {
            let from = text.span.start + start + at;
            // Up to the end of the word, so that the caret marks more than a character.
            let len = text.value[at..]
                .bytes()
                .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
                .count();
            let char_len = text.value[at..].chars().next().map_or(1, char::len_utf8);
            from..from + len.max(char_len)
        } else {
            text.span.clone()
        }
    }

    /// Checks a name that may be any text.
    pub(crate) fn any_name(&mut self, what: &str, name: &Text) {
        let length = name.value.chars().count();
        if length == 0 || length > 255 {
            self.error(
                "bad_name",
                name.span.clone(),
                format!("the name of {what} has {length} characters; allowed are 1 to 255"),
            );
        } else if name.value.chars().any(char::is_control) {
            self.error(
                "bad_name",
                name.span.clone(),
                format!("the name of {what} holds a control character"),
            );
        } else if name.value.trim() != name.value {
            self.error(
                "bad_name",
                name.span.clone(),
                format!("the name of {what} starts or ends with white space"),
            );
        }
    }

    /// Checks a name that must be an identifier: `^[a-zA-Z_-][a-zA-Z0-9._-]*$`.
    pub(crate) fn identifier(&mut self, what: &str, name: &Text) {
        let bytes = name.value.as_bytes();
        let tail = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let head = |byte: &u8| tail(byte) && !byte.is_ascii_digit() && *byte != b'.';
        let fits = bytes.len() <= 255 && bytes.first().is_some_and(head) && bytes.iter().all(tail);
        if !fits {
            self.error_help(
                "bad_name",
                name.span.clone(),
                format!("`{}` cannot be the name of {what}", name.value),
                Some(
                    "use letters, digits, `_`, `.` and `-`, starting with a letter, `_` or `-`; at most 255"
                        .to_owned(),
                ),
            );
        }
    }
}

/// What a value is, with its article.
pub(crate) fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
