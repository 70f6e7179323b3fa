//! A configuration that is spelt in TOML.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    checker::Checker,
    sources::Span,
    tree::{Data, Entry, Node, Table},
};

/// Reads a text as far as it is TOML, and reports where it is not.
pub(crate) fn read(checker: &mut Checker<'_>, text: &str) -> Table {
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        checker.broken = true;
        let message = error.message().replace('\n', ", ");
        let span = error.span().unwrap_or(text.len()..text.len());
        checker.error(
            "syntax",
            Span::new(span.start, span.end),
            format!("this is not TOML: {message}"),
        );
    }
    table(document.get_ref())
}

/// The tree of a TOML table, in the order of the text: the parser sorts by name, and the order of a matrix' axes is seen in the
/// names of its jobs. Its depth is bounded by the parser.
fn table(table: &DeTable<'_>) -> Table {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(name, value)| Entry {
            name: name.get_ref().to_string(),
            name_span: span(name),
            node: node(value),
        })
        .collect();
    entries.sort_by_key(|entry| entry.name_span.start);
    Table { entries }
}

fn span<T>(value: &Spanned<T>) -> Span {
    let span = value.span();
    Span::new(span.start, span.end)
}

fn node(value: &Spanned<DeValue<'_>>) -> Node {
    let data = match value.get_ref() {
        DeValue::String(text) => Data::Text(text.to_string()),
        DeValue::Boolean(bool) => Data::Bool(*bool),
        DeValue::Integer(number) => Data::Integer(
            i64::from_str_radix(number.as_str(), number.radix()).ok(),
            number.to_string(),
        ),
        DeValue::Float(number) => {
            Data::Float(number.as_str().replace('_', "").parse().ok(), number.to_string())
        }
        DeValue::Datetime(date) => Data::Date(date.to_string()),
        DeValue::Array(items) => Data::List(items.iter().map(node).collect()),
        DeValue::Table(inner) => Data::Table(table(inner)),
    };
    Node {
        data,
        span: span(value),
    }
}

/// A value that is written as the right side of a TOML line.
pub(crate) fn value(text: &str) -> Option<Node> {
    let text = format!("x = {text}");
    let document = DeTable::parse(&text).ok()?;
    table(document.get_ref()).entries.pop().map(|entry| entry.node)
}
