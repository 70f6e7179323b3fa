//! Values as text.

use std::{fmt::Write, sync::Arc};

use crate::{
    error::Result,
    heap::{Object, Value},
    machine::Machine,
};

/// How deep values are written out; below that stands `...`.
const REPR_DEPTH_MAX: u32 = 30;

impl Machine<'_> {
    /// As `str` gives it: a text as it is.
    pub(crate) fn str(&mut self, value: &Value) -> Result<Arc<str>> {
        match value {
            Value::Text(text) => Ok(Arc::clone(text)),
            _ => Ok(self.repr(value)?.into()),
        }
    }

    /// As the file would write it.
    pub(crate) fn repr(&mut self, value: &Value) -> Result<String> {
        let mut out = String::new();
        self.write(&mut out, value, 0)?;
        Ok(out)
    }

    fn write(&mut self, out: &mut String, value: &Value, depth: u32) -> Result<()> {
        self.heap.charge_text(8)?;
        if depth > REPR_DEPTH_MAX {
            out.push_str("...");
            return Ok(());
        }
        match value {
            Value::None => out.push_str("None"),
            Value::Bool(true) => out.push_str("True"),
            Value::Bool(false) => out.push_str("False"),
            Value::Int(number) => {
                let _ = write!(out, "{number}");
            }
            Value::Float(number) => out.push_str(&float(*number)),
            Value::Text(text) => {
                self.heap.charge_text(text.len().saturating_mul(2))?;
                quoted(out, text);
            }
            Value::Builtin(at) => {
                let name = self.builtins.get(*at as usize).map_or("?", |name| &**name);
                let _ = write!(out, "<function {name}>");
            }
            Value::Object(id) => match self.heap.get(*id).clone_for_text() {
                ForText::Sequence(open, items, close) => {
                    out.push_str(open);
                    let single = items.len() == 1 && close == ")";
                    for (at, item) in items.iter().enumerate() {
                        if at > 0 {
                            out.push_str(", ");
                        }
                        self.write(out, item, depth + 1)?;
                    }
                    out.push_str(if single { ",)" } else { close });
                }
                ForText::Pairs(entries) => {
                    out.push('{');
                    for (at, (key, value)) in entries.iter().enumerate() {
                        if at > 0 {
                            out.push_str(", ");
                        }
                        self.write(out, key, depth + 1)?;
                        out.push_str(": ");
                        self.write(out, value, depth + 1)?;
                    }
                    out.push('}');
                }
                ForText::Named(kind, fields) => {
                    let _ = write!(out, "{kind}(");
                    for (at, (name, value)) in fields.iter().enumerate() {
                        let _ = write!(out, "{}{name} = ", if at > 0 { ", " } else { "" });
                        self.write(out, value, depth + 1)?;
                    }
                    out.push(')');
                }
                ForText::Word(word) => out.push_str(&word),
            },
        }
        Ok(())
    }
}

enum ForText {
    Sequence(&'static str, Vec<Value>, &'static str),
    Pairs(Vec<(Value, Value)>),
    Named(Arc<str>, Vec<(Arc<str>, Value)>),
    Word(String),
}

impl Object {
    /// The parts that are written out, so that the heap is free to count meanwhile.
    fn clone_for_text(&self) -> ForText {
        match self {
            Object::List { items, .. } => {
                ForText::Sequence("[", items.iter().map(|slot| slot.value.clone()).collect(), "]")
            }
            Object::Tuple(items) => {
                ForText::Sequence("(", items.iter().map(|slot| slot.value.clone()).collect(), ")")
            }
            Object::Dict(dict) => ForText::Pairs(
                dict.entries()
                    .iter()
                    .map(|entry| (entry.key.value.clone(), entry.value.value.clone()))
                    .collect(),
            ),
            Object::Record(record) => ForText::Named(
                Arc::clone(&record.kind),
                record
                    .fields
                    .iter()
                    .map(|(name, _, slot)| (Arc::clone(name), slot.value.clone()))
                    .collect(),
            ),
            Object::Range(from, to, 1) => ForText::Word(format!("range({from}, {to})")),
            Object::Range(from, to, step) => ForText::Word(format!("range({from}, {to}, {step})")),
            Object::Function(function) => ForText::Word(format!("<function {}>", function.def.name)),
            Object::Method(_, name) => ForText::Word(format!("<function {name}>")),
            Object::Variables { .. } => ForText::Word("<variables>".to_owned()),
        }
    }
}

/// Appends a text as a file would write it, between double quotes.
pub fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = if u32::from(c) < 0x80 {
                    write!(out, "\\x{:02x}", u32::from(c))
                } else {
                    write!(out, "\\u{:04x}", u32::from(c))
                };
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A number so that it is told from a whole one.
pub(crate) fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+inf" } else { "-inf" }.to_owned();
    }
    let plain = number != 0.0 && !(1e-4..1e17).contains(&number.abs());
    if plain {
        return format!("{number:e}").replace('e', "e+").replace("e+-", "e-");
    }
    let text = format!("{number}");
    if text.contains('.') { text } else { text + ".0" }
}
