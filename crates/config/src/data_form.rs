//! Data that is spelt in JSON or YAML, as a tree with its places. [`data`](crate::data) says what is allowed.

use saphyr_parser::{Event, Parser};

use crate::{
    checker::Checker,
    data::{Datum, Form, scalar},
    sources::Span,
    tree::{Data, Entry, Node, Table},
};

/// Reads a text as far as it is JSON or YAML; reports where it is not.
pub(crate) fn read(checker: &mut Checker<'_>, form: Form, text: &str) -> Option<Node> {
    if let Err(wrong) = form.read(text) {
        checker.broken = true;
        let name = if form == Form::Json { "JSON" } else { "YAML" };
        checker.error(
            "syntax",
            Span::new(wrong.at.start, wrong.at.end),
            format!("this is not {name} that can be read: {}", wrong.message),
        );
        return None;
    }
    // From here on the text is known to be right.
    Some(if form == Form::Json {
        Json { text, at: 0 }.value()
    } else {
        yaml(text)
    })
}

/// From `start`, no further than its line goes: excerpts of many lines show nothing.
fn within_line(text: &str, start: usize, end: usize) -> Span {
    let rest = text.get(start..end).unwrap_or_default();
    let line = rest.find('\n').unwrap_or(rest.len());
    Span::new(start, start + rest[..line].trim_end().len())
}

fn leaf(datum: Datum, shown: &str) -> Data {
    match datum {
        Datum::Bool(bool) => Data::Bool(bool),
        Datum::Int(number) => Data::Integer(Some(number), shown.to_owned()),
        Datum::Float(number) => Data::Float(Some(number), shown.to_owned()),
        Datum::Text(text) => Data::Text(text),
        Datum::Null | Datum::List(_) | Datum::Dict(_) => Data::Other("null".to_owned()),
    }
}

/// What is null might as well be left out.
fn push(entries: &mut Vec<Entry>, name: (String, Span), node: Node) {
    if !matches!(&node.data, Data::Other(_)) {
        let (name, name_span) = name;
        entries.push(Entry {
            name,
            name_span,
            node,
        });
    }
}

/// A text that is JSON, and how far it was read. Its depth was bounded by who has checked it.
struct Json<'t> {
    text: &'t str,
    at: usize,
}

impl Json<'_> {
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn value(&mut self) -> Node {
        let first = self.peek();
        let start = self.at;
        let data = match first {
            Some(b'{') => Data::Table(self.table()),
            Some(b'[') => Data::List(self.list()),
            Some(b'"') => Data::Text(self.string().0),
            _ => {
                let rest = self.text.get(start..).unwrap_or_default();
                let end = rest.find([',', ']', '}', ' ', '\n', '\r', '\t']);
                let shown = &rest[..end.unwrap_or(rest.len())];
                self.at += shown.len();
                leaf(Form::Json.read(shown).unwrap_or(Datum::Null), shown)
            }
        };
        Node {
            data,
            span: within_line(self.text, start, self.at),
        }
    }

    fn string(&mut self) -> (String, Span) {
        let start = self.at;
        let bytes = self.text.as_bytes();
        self.at += 1;
        while let Some(byte) = bytes.get(self.at).filter(|byte| **byte != b'"') {
            self.at += if *byte == b'\\' { 2 } else { 1 };
        }
        self.at = (self.at + 1).min(bytes.len());
        let text = self.text.get(start..self.at).unwrap_or_default();
        (
            serde_json::from_str(text).unwrap_or_default(),
            Span::new(start, self.at),
        )
    }

    fn list(&mut self) -> Vec<Node> {
        let mut items = Vec::new();
        self.at += 1;
        loop {
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return items;
                }
                None => return items,
                Some(_) => items.push(self.value()),
            }
        }
    }

    fn table(&mut self) -> Table {
        let mut entries = Vec::new();
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let name = self.string();
                    // The colon.
                    self.peek();
                    self.at += 1;
                    let node = self.value();
                    push(&mut entries, name, node);
                }
                Some(b',') => self.at += 1,
                Some(_) => {
                    self.at += 1;
                    return Table { entries };
                }
                None => return Table { entries },
            }
        }
    }
}

/// Where the parser is: it counts characters, and places are in bytes.
struct Cursor<'t> {
    text: &'t str,
    chars: usize,
    bytes: usize,
}

impl Cursor<'_> {
    /// Goes on to a character; never back.
    fn go(&mut self, to: usize) -> usize {
        let ahead = to.saturating_sub(self.chars);
        let rest = self.text.get(self.bytes..).unwrap_or_default();
        self.bytes += rest
            .char_indices()
            .nth(ahead)
            .map_or(rest.len(), |(bytes, _)| bytes);
        self.chars = self.chars.max(to);
        self.bytes
    }
}

/// Something that is not at its end yet, with its place.
enum Open {
    List(Vec<Node>, Span),
    Table(Vec<Entry>, Option<(String, Span)>, Span),
}

/// A text that is YAML of the kind that is allowed.
fn yaml(text: &str) -> Node {
    let mut cursor = Cursor {
        text,
        chars: 0,
        bytes: 0,
    };
    let mut open: Vec<Open> = Vec::new();
    for event in Parser::new_from_str(text) {
        let Ok((event, span)) = event else { break };
        let start = cursor.go(span.start.index());
        let line = within_line(text, start, text.len());
        let node = match event {
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new(), line));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Table(Vec::new(), None, line));
                continue;
            }
            Event::Scalar(text_of, style, ..) => {
                let end = cursor.go(span.end.index());
                let span = within_line(text, start, end);
                if let Some(Open::Table(_, key @ None, _)) = open.last_mut() {
                    *key = Some((text_of.into_owned(), span));
                    continue;
                }
                let shown = text.get(start..end).unwrap_or_default();
                Node {
                    data: leaf(scalar(&text_of, style).unwrap_or(Datum::Null), shown),
                    span,
                }
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(items, span)) => Node {
                    data: Data::List(items),
                    span,
                },
                Some(Open::Table(entries, _, span)) => Node {
                    data: Data::Table(Table { entries }),
                    span,
                },
                None => break,
            },
            _ => continue,
        };
        match open.last_mut() {
            Some(Open::List(items, _)) => items.push(node),
            Some(Open::Table(entries, key, _)) => {
                if let Some(name) = key.take() {
                    push(entries, name, node);
                }
            }
            None => return node,
        }
    }
    Node {
        data: Data::Other("nothing".to_owned()),
        span: Span::default(),
    }
}
