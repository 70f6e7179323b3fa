//! Lays a TOML configuration out: keys in the order of the reference, one blank line between sections, nothing aligned.
//! Sections and comments stay where they are, a comment with the key or section that it stands above.

use std::{cmp::Ordering, fmt::Write as _};

use ironmaster_model::{Catalogue, KindSpec};
use toml_edit::{Array, Decor, DocumentMut, InlineTable, Item, Key, RawString, Table, Value};

use crate::keys;

/// One step to the right.
const INDENT: &str = "    ";

/// Why a text cannot be laid out.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// It is not TOML.
    #[error("it is not TOML: {0}")]
    Syntax(String),
    /// The outcome would mean something else, which is a mistake of this program.
    #[error("laid out, it would mean something else; this is a bug, please report it with the file")]
    Meaning,
}

/// The text, laid out. It means the same, and is not changed by being laid out again.
pub fn format(text: &str, catalogue: &Catalogue) -> Result<String, FormatError> {
    let text = text.replace("\r\n", "\n");
    let mut document: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| FormatError::Syntax(error.to_string()))?;
    let end = comments(&raw(Some(document.trailing())));
    let layout = Layout { catalogue };
    let begins_with_keys = layout.keys(document.as_table_mut(), "", true);
    let first = (!begins_with_keys)
        .then(|| first_position(document.as_table()))
        .flatten();
    layout.sections(document.as_table_mut(), "", first);
    document.set_trailing("");
    let mut out = document.to_string();
    if !end.is_empty() {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&end.join("\n\n"));
        out.push('\n');
    }
    let means = |text: &str| text.parse::<toml::Table>().ok();
    if means(&text) == means(&out) {
        Ok(out)
    } else {
        Err(FormatError::Meaning)
    }
}

struct Layout<'c> {
    catalogue: &'c Catalogue,
}

impl Layout<'_> {
    /// Lays out the keys that a section has itself; returns whether it has any.
    fn keys(&self, table: &mut Table, path: &str, at_start: bool) -> bool {
        if !path.is_empty() {
            let kind = kind_of(table.get("type").and_then(Item::as_str));
            let ranks = self.ranks(path, kind.as_deref());
            table.sort_values_by(|a, _, b, _| by_rank(&ranks, a, b));
        }
        let mut first = at_start;
        self.values(table, path, &mut first)
    }

    fn values(&self, table: &mut Table, path: &str, first: &mut bool) -> bool {
        let mut any = false;
        for (mut key, item) in table.iter_mut() {
            match item {
                Item::Value(value) => {
                    any = true;
                    let mut above = comments(&raw(key.leaf_decor().prefix())).join("\n\n");
                    if !above.is_empty() {
                        above.push('\n');
                    }
                    *key.leaf_decor_mut() = Decor::new(above, " ");
                    *key.dotted_decor_mut() = Decor::default();
                    let behind = behind(value.decor().suffix());
                    let inner = join(path, key.get());
                    self.value(value, &inner, 0);
                    *value.decor_mut() = Decor::new(" ", behind);
                    *first = false;
                }
                Item::Table(inner) if inner.is_dotted() => {
                    *key.dotted_decor_mut() = Decor::default();
                    let path = join(path, key.get());
                    any |= self.values(inner, &path, first);
                }
                _ => {}
            }
        }
        any
    }

    /// Lays out the sections below a table.
    fn sections(&self, table: &mut Table, path: &str, first: Option<isize>) {
        for (mut key, item) in table.iter_mut() {
            let path = join(path, key.get());
            match item {
                Item::Table(inner) if inner.is_dotted() => self.sections(inner, &path, first),
                Item::Table(inner) => {
                    *key.leaf_decor_mut() = Decor::default();
                    *key.dotted_decor_mut() = Decor::default();
                    self.section(inner, &path, first);
                }
                Item::ArrayOfTables(tables) => {
                    *key.leaf_decor_mut() = Decor::default();
                    *key.dotted_decor_mut() = Decor::default();
                    for inner in tables.iter_mut() {
                        self.section(inner, &path, first);
                    }
                }
                _ => {}
            }
        }
    }

    fn section(&self, table: &mut Table, path: &str, first: Option<isize>) {
        let above = raw(table.decor().prefix());
        let paragraphs = comments(&above);
        let mut prefix = String::new();
        if first.is_none() || table.position() != first {
            prefix.push('\n');
        }
        if !paragraphs.is_empty() {
            prefix.push_str(&paragraphs.join("\n\n"));
            prefix.push('\n');
            // What stands apart from the section is about more than it.
            let lines: Vec<&str> = above.lines().collect();
            if lines.last().is_some_and(|line| line.trim().is_empty()) {
                prefix.push('\n');
            }
        }
        let suffix = behind(table.decor().suffix());
        *table.decor_mut() = Decor::new(prefix, suffix);
        self.keys(table, path, false);
        self.sections(table, path, first);
    }

    fn value(&self, value: &mut Value, path: &str, depth: usize) {
        match value {
            Value::Array(array) => self.array(array, path, depth),
            Value::InlineTable(table) => self.inline(table, path, depth),
            _ => {}
        }
    }

    fn array(&self, array: &mut Array, path: &str, depth: usize) {
        // Comments inside have their own places.
        if array_has(array, '#') {
            return;
        }
        let spread = !array.is_empty()
            && (raw(Some(array.trailing())).contains('\n')
                || array.iter().any(|item| decor_has(item.decor(), '\n')));
        let inner = if spread { depth + 1 } else { depth };
        for (at, item) in array.iter_mut().enumerate() {
            self.value(item, path, inner);
            let before = match (spread, at) {
                (true, _) => format!("\n{}", INDENT.repeat(inner)),
                (false, 0) => String::new(),
                (false, _) => " ".to_owned(),
            };
            *item.decor_mut() = Decor::new(before, "");
        }
        array.set_trailing_comma(spread);
        array.set_trailing(if spread {
            format!("\n{}", INDENT.repeat(depth))
        } else {
            String::new()
        });
    }

    fn inline(&self, table: &mut InlineTable, path: &str, depth: usize) {
        let dotted = |value: &Value| value.as_inline_table().is_some_and(InlineTable::is_dotted);
        if table_has(table, '#') || table.iter().any(|(_, value)| dotted(value)) {
            return;
        }
        let kind = kind_of(table.get("type").and_then(Value::as_str));
        let ranks = self.ranks(path, kind.as_deref());
        table.sort_values_by(|a, _, b, _| by_rank(&ranks, a, b));
        for (key, value) in table.iter_mut() {
            self.value(value, &join(path, key.get()), depth);
        }
        table.fmt();
    }

    /// The keys of a section in the order of the reference.
    fn ranks(&self, path: &str, kind: Option<&str>) -> Vec<&'static str> {
        let mut names: Vec<&'static str> = keys::all()
            .filter(|section| section.name() == path)
            .flat_map(|section| section.keys)
            .map(|key| key.name)
            .collect();
        let kinds: &[KindSpec] = match path {
            "builder.step" => &self.catalogue.steps,
            "change_source" => &self.catalogue.change_sources,
            _ => &[],
        };
        if let Some(known) = kinds.iter().find(|known| Some(known.name) == kind) {
            // What it is and what it does comes before what every step has.
            let at = names
                .iter()
                .position(|name| *name == "type")
                .map_or(names.len(), |at| at + 1);
            let own: Vec<&'static str> = known.fields.iter().map(|field| field.name).collect();
            names.retain(|name| !own.contains(name));
            let at = at.min(names.len());
            names.splice(at..at, own);
        }
        names
    }
}

fn kind_of(kind: Option<&str>) -> Option<String> {
    kind.map(str::to_owned)
}

/// Keys that the reference does not know stay behind the others, in their order.
fn by_rank(ranks: &[&str], a: &Key, b: &Key) -> Ordering {
    let rank = |key: &Key| {
        ranks
            .iter()
            .position(|name| *name == key.get())
            .unwrap_or(usize::MAX)
    };
    rank(a).cmp(&rank(b))
}

/// The place of the section that comes first in the text.
fn first_position(table: &Table) -> Option<isize> {
    let mut first: Option<isize> = None;
    for (_, item) in table {
        let tables: Vec<&Table> = match item {
            Item::Table(inner) => vec![inner],
            Item::ArrayOfTables(tables) => tables.iter().collect(),
            _ => Vec::new(),
        };
        for inner in tables {
            let own = if inner.is_implicit() || inner.is_dotted() {
                None
            } else {
                inner.position()
            };
            for position in [own, first_position(inner)].into_iter().flatten() {
                first = Some(first.map_or(position, |first| first.min(position)));
            }
        }
    }
    first
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn raw(text: Option<&RawString>) -> String {
    text.and_then(RawString::as_str).unwrap_or_default().to_owned()
}

/// The comments in what stands between two things: paragraphs, which are lines without a blank one between them.
fn comments(raw: &str) -> Vec<String> {
    let mut paragraphs: Vec<String> = Vec::new();
    let mut apart = true;
    for line in raw.lines().map(str::trim) {
        match (line.is_empty(), paragraphs.last_mut()) {
            (true, _) => apart = true,
            (false, Some(last)) if !apart => {
                let _ = write!(last, "\n{line}");
            }
            (false, _) => {
                paragraphs.push(line.to_owned());
                apart = false;
            }
        }
    }
    paragraphs
}

/// A comment at the end of a line.
fn behind(raw_text: Option<&RawString>) -> String {
    let comment = raw(raw_text);
    match comment.trim() {
        "" => String::new(),
        comment => format!(" {comment}"),
    }
}

fn decor_has(decor: &Decor, what: char) -> bool {
    raw(decor.prefix()).contains(what) || raw(decor.suffix()).contains(what)
}

fn value_has(value: &Value, what: char) -> bool {
    decor_has(value.decor(), what)
        || match value {
            Value::Array(array) => array_has(array, what),
            Value::InlineTable(table) => table_has(table, what),
            _ => false,
        }
}

fn array_has(array: &Array, what: char) -> bool {
    raw(Some(array.trailing())).contains(what) || array.iter().any(|item| value_has(item, what))
}

fn table_has(table: &InlineTable, what: char) -> bool {
    let keys = || table.iter().filter_map(|(key, _)| table.key(key));
    raw(Some(table.trailing())).contains(what)
        || keys().any(|key| decor_has(key.leaf_decor(), what) || decor_has(key.dotted_decor(), what))
        || table.iter().any(|(_, value)| value_has(value, what))
}
