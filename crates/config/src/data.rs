//! Data files beside a Starlark configuration: JSON, TOML, YAML and CSV, as values. A file is small, and what is in it is
//! counted like everything else that an evaluation makes.

use std::{fmt, ops::Range};

use ironmaster_starlark::{Heap, Refusal, Span, Value};
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// The largest data file, in bytes.
pub(crate) const FILE_BYTES_MAX: u64 = 1 << 20;
/// How deep data may be nested.
const DEPTH_MAX: usize = 64;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Toml,
    Yaml,
    Csv,
}

/// What is in a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Datum {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Datum>),
    /// In the order of the file.
    Dict(Vec<(String, Datum)>),
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) message: String,
    pub(crate) at: Range<usize>,
}

impl Form {
    /// The functions that read them.
    pub(crate) const FUNCTIONS: &[(&str, Form)] = &[
        ("read_json", Form::Json),
        ("read_toml", Form::Toml),
        ("read_yaml", Form::Yaml),
        ("read_csv", Form::Csv),
    ];

    /// How names of such files end.
    pub(crate) fn endings(self) -> &'static [&'static str] {
        match self {
            Form::Json => &["json"],
            Form::Toml => &["toml"],
            Form::Yaml => &["yaml", "yml"],
            Form::Csv => &["csv"],
        }
    }

    /// Reads a text.
    pub(crate) fn read(self, text: &str) -> Result<Datum, Wrong> {
        match self {
            Form::Json => serde_json::from_str(text).map_err(|error| Wrong {
                at: place(text, error.line(), error.column().saturating_sub(1)),
                message: without_place(&error.to_string()),
            }),
            Form::Toml => toml(text),
            Form::Yaml => yaml(text),
            Form::Csv => csv(text),
        }
    }
}

impl Datum {
    /// The value that a file of the configuration sees; `span` is where it reads the data.
    pub(crate) fn value(self, span: Span, heap: &mut Heap) -> Result<Value, Refusal> {
        heap.tick(1)?;
        Ok(match self {
            Datum::Null => Value::None,
            Datum::Bool(bool) => Value::Bool(bool),
            Datum::Int(number) => Value::Int(number),
            Datum::Float(number) => Value::Float(number),
            Datum::Text(text) => heap.text(&text)?,
            Datum::List(items) => {
                let mut values = Vec::new();
                for item in items {
                    values.push(item.value(span, heap)?);
                }
                heap.list_at(values, span)?
            }
            Datum::Dict(entries) => {
                let mut values = Vec::new();
                for (name, entry) in entries {
                    values.push((name, entry.value(span, heap)?));
                }
                let values = values.iter().map(|(name, value)| (name.as_str(), value.clone()));
                heap.dict_at(values.collect(), span)?
            }
        })
    }
}

/// The byte after so many characters of a line, counted from 1 and 0.
fn place(text: &str, line: usize, column: usize) -> Range<usize> {
    let start: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    let rest = &text[start..];
    let at = rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at);
    let end = rest[at..].chars().next().map_or(0, char::len_utf8);
    start + at..start + at + end
}

/// serde's messages end with a place, which is shown otherwise.
fn without_place(message: &str) -> String {
    message
        .rfind(" at line ")
        .map_or(message, |at| &message[..at])
        .to_owned()
}

impl<'de> Deserialize<'de> for Datum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Datum;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Datum, E> {
                Ok(Datum::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Datum, E> {
                Ok(Datum::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Datum, E> {
                Ok(Datum::Int(value))
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Datum, E> {
                i64::try_from(value)
                    .map(Datum::Int)
                    .map_err(|_| E::custom("this number has more than 64 bits"))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Datum, E> {
                Ok(Datum::Float(value))
            }

            fn visit_str<E>(self, value: &str) -> Result<Datum, E> {
                Ok(Datum::Text(value.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Datum, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Datum::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Datum, A::Error> {
                let mut dict = Vec::new();
                let mut names = std::collections::HashSet::new();
                while let Some((name, value)) = entries.next_entry::<String, Datum>()? {
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(format!("the key `{name}` is there twice")));
                    }
                    dict.push((name, value));
                }
                Ok(Datum::Dict(dict))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

fn toml(text: &str) -> Result<Datum, Wrong> {
    let document: toml_edit::Document<&str> = toml_edit::Document::parse(text).map_err(|error| Wrong {
        message: error.message().to_owned(),
        at: error.span().unwrap_or_default(),
    })?;
    Ok(toml_table(document.as_table()))
}

fn toml_table(table: &toml_edit::Table) -> Datum {
    let entries = table.iter().filter_map(|(name, item)| {
        let datum = match item {
            toml_edit::Item::None => return None,
            toml_edit::Item::Value(value) => toml_value(value),
            toml_edit::Item::Table(table) => toml_table(table),
            toml_edit::Item::ArrayOfTables(tables) => Datum::List(tables.iter().map(toml_table).collect()),
        };
        Some((name.to_owned(), datum))
    });
    Datum::Dict(entries.collect())
}

fn toml_value(value: &toml_edit::Value) -> Datum {
    match value {
        toml_edit::Value::String(text) => Datum::Text(text.value().clone()),
        toml_edit::Value::Integer(number) => Datum::Int(*number.value()),
        toml_edit::Value::Float(number) => Datum::Float(*number.value()),
        toml_edit::Value::Boolean(bool) => Datum::Bool(*bool.value()),
        toml_edit::Value::Datetime(date) => Datum::Text(date.value().to_string()),
        toml_edit::Value::Array(items) => Datum::List(items.iter().map(toml_value).collect()),
        toml_edit::Value::InlineTable(table) => Datum::Dict(
            table
                .iter()
                .map(|(name, value)| (name.to_owned(), toml_value(value)))
                .collect(),
        ),
    }
}

/// Something that is not at its end yet.
enum Open {
    List(Vec<Datum>),
    Dict(Vec<(String, Datum)>, Option<String>),
}

/// One document of YAML 1.2 by its core schema. Anchors, aliases and tags are refused: they make large things of small
/// files, and programs of data.
fn yaml(text: &str) -> Result<Datum, Wrong> {
    let mut open: Vec<Open> = Vec::new();
    let mut whole = None;
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Wrong {
            message: error.info().to_owned(),
            at: place(text, error.marker().line(), error.marker().col()),
        })?;
        let wrong = |message: &str| {
            Err(Wrong {
                message: message.to_owned(),
                at: place(text, span.start.line(), span.start.col()),
            })
        };
        let is_key = matches!(open.last(), Some(Open::Dict(_, None)));
        let datum = match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    return wrong("there is more than one document");
                }
                continue;
            }
            Event::Alias(_) => return wrong("aliases (`*name`) are not supported; write the value again"),
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => {
                return wrong("tags (`!name`) are not supported");
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if is_key => {
                return wrong("a key is a text");
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if open.len() >= DEPTH_MAX => {
                return wrong("this is nested too deeply");
            }
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Dict(Vec::new(), None));
                continue;
            }
            Event::Scalar(scalar, style, ..) => {
                if let Some(Open::Dict(entries, key @ None)) = open.last_mut() {
                    if entries.iter().any(|(name, _)| *name == *scalar) {
                        return wrong(&format!("the key `{scalar}` is there twice"));
                    }
                    *key = Some(scalar.into_owned());
                    continue;
                }
                match self::scalar(&scalar, style) {
                    Ok(datum) => datum,
                    Err(message) => return wrong(message),
                }
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(items)) => Datum::List(items),
                Some(Open::Dict(entries, _)) => Datum::Dict(entries),
                None => continue,
            },
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => continue,
        };
        match open.last_mut() {
            Some(Open::List(items)) => items.push(datum),
            Some(Open::Dict(entries, key)) => entries.push((key.take().unwrap_or_default(), datum)),
            None => whole = Some(datum),
        }
    }
    Ok(whole.unwrap_or(Datum::Null))
}

/// A scalar by YAML's core schema.
pub(crate) fn scalar(text: &str, style: ScalarStyle) -> Result<Datum, &'static str> {
    const LARGE: &str = "this number has more than 64 bits";
    if style != ScalarStyle::Plain {
        return Ok(Datum::Text(text.to_owned()));
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let only = |text: &str, allowed: fn(&char) -> bool| !text.is_empty() && text.chars().all(|c| allowed(&c));
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Datum::Null,
        "true" | "True" | "TRUE" => Datum::Bool(true),
        "false" | "False" | "FALSE" => Datum::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" => Datum::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Datum::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => Datum::Float(f64::NAN),
        _ if only(digits, char::is_ascii_digit) => Datum::Int(
            text.strip_prefix('+')
                .unwrap_or(text)
                .parse()
                .map_err(|_| LARGE)?,
        ),
        _ => {
            if let Some(hex) = text
                .strip_prefix("0x")
                .filter(|hex| only(hex, char::is_ascii_hexdigit))
            {
                Datum::Int(i64::from_str_radix(hex, 16).map_err(|_| LARGE)?)
            } else if let Some(octal) = text
                .strip_prefix("0o")
                .filter(|octal| only(octal, |c| ('0'..='7').contains(c)))
            {
                Datum::Int(i64::from_str_radix(octal, 8).map_err(|_| LARGE)?)
            } else if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
                && digits.contains(|c: char| c.is_ascii_digit())
                && only(digits, |c| {
                    c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-')
                })
            {
                text.parse()
                    .map_or_else(|_| Datum::Text(text.to_owned()), Datum::Float)
            } else {
                Datum::Text(text.to_owned())
            }
        }
    })
}

/// A table with a header (RFC 4180): a list of dicts, whose values are texts.
fn csv(text: &str) -> Result<Datum, Wrong> {
    let mut records = Vec::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    while !rest.is_empty() {
        let start = text.len() - rest.len();
        let (fields, after) = record(rest).map_err(|(message, at)| Wrong {
            message: message.to_owned(),
            at: start + at..start + at + 1,
        })?;
        rest = after;
        // An empty line is no record.
        if fields != [""] {
            records.push((start, fields));
        }
    }
    let mut records = records.into_iter();
    let Some((start, header)) = records.next() else {
        return Ok(Datum::List(Vec::new()));
    };
    for (at, name) in header.iter().enumerate() {
        if header[..at].contains(name) {
            return Err(Wrong {
                message: format!("the column `{name}` is there twice"),
                at: start..start + 1,
            });
        }
    }
    records
        .map(|(start, fields)| {
            if fields.len() != header.len() {
                return Err(Wrong {
                    message: format!(
                        "this line has {} values, the header {}",
                        fields.len(),
                        header.len()
                    ),
                    at: start..start + 1,
                });
            }
            let texts = fields.into_iter().map(Datum::Text);
            Ok(Datum::Dict(header.iter().cloned().zip(texts).collect()))
        })
        .collect::<Result<_, _>>()
        .map(Datum::List)
}

/// The first record, and what follows it.
fn record(text: &str) -> Result<(Vec<String>, &str), (&'static str, usize)> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let at = text.len() - rest.len();
        let field;
        (field, rest) = if let Some(inner) = rest.strip_prefix('"') {
            quoted(inner).ok_or(("this quote is not closed", at))?
        } else {
            let end = rest.find([',', '\n', '\r']).unwrap_or(rest.len());
            (rest[..end].to_owned(), &rest[end..])
        };
        fields.push(field);
        if let Some(after) = rest.strip_prefix(',') {
            rest = after;
            continue;
        }
        let after = rest
            .strip_prefix("\r\n")
            .or_else(|| rest.strip_prefix(['\n', '\r']));
        return match after {
            Some(after) => Ok((fields, after)),
            None if rest.is_empty() => Ok((fields, rest)),
            None => Err((
                "after a closing quote comes a comma or the end of the line",
                text.len() - rest.len(),
            )),
        };
    }
}

/// What is in quotes, whose first is gone; two of them inside are one.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"')?;
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        let Some(after) = rest.strip_prefix('"') else {
            return Some((field, rest));
        };
        field.push('"');
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> Datum {
        Datum::Text(text.to_owned())
    }

    fn dict(entries: &[(&str, Datum)]) -> Datum {
        Datum::Dict(
            entries
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        )
    }

    #[test]
    fn all_forms_say_the_same() {
        let expected = dict(&[
            ("name", text("b")),
            ("jobs", Datum::Int(4)),
            ("share", Datum::Float(0.5)),
            ("fast", Datum::Bool(true)),
            ("labels", Datum::List(vec![text("x"), text("y z")])),
            ("env", dict(&[("CC", text("clang"))])),
        ]);
        let json = r#"{"name": "b", "jobs": 4, "share": 0.5, "fast": true, "labels": ["x", "y z"], "env": {"CC": "clang"}}"#;
        let toml = "name = \"b\"\njobs = 4\nshare = 0.5\nfast = true\nlabels = [\"x\", \"y z\"]\n[env]\nCC = \"clang\"\n";
        let yaml = "# a comment\nname: b\njobs: 4\nshare: 0.5\nfast: true\nlabels:\n  - x\n  - y z\nenv: {CC: clang}\n";
        for (form, given) in [(Form::Json, json), (Form::Toml, toml), (Form::Yaml, yaml)] {
            assert_eq!(form.read(given), Ok(expected.clone()), "{form:?}");
        }
        let csv = "name,jobs\r\nb,4\n\n\"c, \"\"d\"\"\n\",\"\"\n";
        let rows = vec![
            dict(&[("name", text("b")), ("jobs", text("4"))]),
            dict(&[("name", text("c, \"d\"\n")), ("jobs", text(""))]),
        ];
        assert_eq!(Form::Csv.read(csv), Ok(Datum::List(rows)));
    }

    #[test]
    fn plain_scalars_of_yaml_follow_its_core_schema() {
        for (written, expected) in [
            ("~", Datum::Null),
            ("'~'", text("~")),
            ("no", text("no")),
            ("1.0", Datum::Float(1.0)),
            ("1e3", Datum::Float(1000.0)),
            ("0x1F", Datum::Int(31)),
            ("0o17", Datum::Int(15)),
            ("+7", Datum::Int(7)),
            ("1.2.3", text("1.2.3")),
            ("2026-11-22", text("2026-11-22")),
            ("12:30", text("12:30")),
        ] {
            let read = Form::Yaml.read(&format!("[{written}]"));
            assert_eq!(read, Ok(Datum::List(vec![expected])), "{written}");
        }
    }

    #[test]
    fn mistakes_have_their_place() {
        for (form, given, message, at) in [
            (
                Form::Json,
                "{\n  \"a\": 1,\n  \"a\": 2\n}",
                "the key `a` is there twice",
                None,
            ),
            (Form::Json, "[1, ]", "", Some("]")),
            (Form::Json, "[18446744073709551615]", "more than 64 bits", None),
            (Form::Toml, "a = 1\nb = = 2\n", "", Some("=")),
            (
                Form::Yaml,
                "a: 1\na: 2\n",
                "the key `a` is there twice",
                Some("a"),
            ),
            (Form::Yaml, "a: &x 1\nb: *x\n", "aliases", Some("*")),
            (Form::Yaml, "a: !!python/object 1\n", "tags", None),
            (Form::Yaml, "? [1]\n: 2\n", "a key is a text", Some("[")),
            (Form::Yaml, "a: 1\n---\nb: 2\n", "more than one document", None),
            (Form::Csv, "a,b\n1\n", "1 values, the header 2", Some("1")),
            (Form::Csv, "a,a\n", "the column `a`", Some("a")),
            (Form::Csv, "a\n\"x\n", "not closed", Some("\"")),
            (Form::Csv, "a\n\"x\"y\n", "after a closing quote", Some("y")),
        ] {
            let wrong = form.read(given).expect_err(given);
            assert!(wrong.message.contains(message), "{given}: {wrong:?}");
            let shown = given.get(wrong.at.clone());
            assert!(shown.is_some(), "{given}: {wrong:?}");
            if at.is_some() {
                assert_eq!(shown, at, "{given}: {wrong:?}");
            }
        }
        let deep = "[".repeat(100_000);
        for form in [Form::Json, Form::Toml, Form::Yaml] {
            let given = if form == Form::Toml {
                format!("a = {deep}")
            } else {
                deep.clone()
            };
            assert!(form.read(&given).is_err(), "{form:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(given in "[\\[\\]{}a-c:=,\"'#&*!?|>\\- \n\r\té0-9.]{0,80}") {
            for (_, form) in Form::FUNCTIONS {
                if let Err(wrong) = form.read(&given) {
                    prop_assert!(wrong.at.start <= given.len());
                }
            }
        }
    }
}
