//! `"…" % values` and `"…".format(values)`.

use std::{fmt::Write, sync::Arc};

use crate::{
    call::Arguments,
    dict::{Key, float_as_int},
    error::{Error, Result},
    heap::{Object, Slot, Value},
    machine::Machine,
    text,
};

impl Machine<'_> {
    pub(crate) fn percent(&mut self, format: &str, given: &Value) -> Result<Value> {
        let mut values = self
            .tuple_items(given)
            .unwrap_or_else(|| vec![given.clone()])
            .into_iter();
        let is_tuple = self.tuple_items(given).is_some();
        let mut mapped = false;
        let mut out = String::new();
        let mut rest = format;
        while let Some(at) = rest.find('%') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('%') {
                out.push('%');
                rest = after;
                continue;
            }
            let value = if let Some(after) = rest.strip_prefix('(') {
                let Some(end) = after.find(')') else {
                    return Err(Error::failed("a `%(` of the text is never closed"));
                };
                let name = &after[..end];
                rest = &after[end + 1..];
                mapped = true;
                self.mapped(given, name)?
            } else {
                values
                    .next()
                    .ok_or_else(|| Error::failed("the text has more `%` than there are values"))?
            };
            let mut letters = rest.chars();
            let letter = letters.next();
            rest = letters.as_str();
            self.convert(&mut out, letter, &value)?;
            self.heap.charge_text(out.len() / 8)?;
        }
        out.push_str(rest);
        let unused = values.next().is_some();
        if unused && !mapped && (is_tuple || !matches!(given, Value::Object(_))) {
            return Err(Error::failed("there are more values than `%` in the text"));
        }
        self.heap.text(&out)
    }

    /// The value of `%(name)s`.
    fn mapped(&mut self, given: &Value, name: &str) -> Result<Value> {
        let key = Key::Text(name.into());
        if let Value::Object(id) = given
            && let Object::Dict(dict) = self.heap.get(*id)
        {
            return dict
                .get(&key)
                .map(|entry| entry.value.value.clone())
                .ok_or_else(|| Error::failed(format!("the dict has no key \"{name}\"")));
        }
        Err(Error::failed(format!("`%({name})` wants a dict behind the `%`"))
            .help("to leave it in the text, join texts with `+` or use `.format()` instead of `%`"))
    }

    fn convert(&mut self, out: &mut String, letter: Option<char>, value: &Value) -> Result<()> {
        match letter {
            Some('s') => {
                let text = self.str(value)?;
                self.heap.charge_text(text.len())?;
                out.push_str(&text);
            }
            Some('r') => {
                let text = self.repr(value)?;
                out.push_str(&text);
            }
            Some(letter @ ('d' | 'i' | 'x' | 'X' | 'o')) => {
                let number = match value {
                    Value::Int(number) => Some(*number),
                    Value::Float(number) => float_as_int(number.trunc()),
                    _ => None,
                };
                let Some(number) = number else {
                    return Err(self.wants_number(letter, value));
                };
                let sign = if number < 0 { "-" } else { "" };
                let size = number.unsigned_abs();
                let _ = match letter {
                    'x' => write!(out, "{sign}{size:x}"),
                    'X' => write!(out, "{sign}{size:X}"),
                    'o' => write!(out, "{sign}{size:o}"),
                    _ => write!(out, "{sign}{size}"),
                };
            }
            Some(letter @ ('e' | 'f' | 'g')) => {
                let number = match value {
                    Value::Int(number) => *number as f64,
                    Value::Float(number) => *number,
                    _ => return Err(self.wants_number(letter, value)),
                };
                match letter {
                    'f' => {
                        let _ = write!(out, "{number:.6}");
                    }
                    'e' => out.push_str(&format!("{number:.6e}").replace('e', "e+").replace("e+-", "e-")),
                    _ => out.push_str(&text::float(number)),
                }
            }
            Some(letter) => {
                let message = format!("`%{}` is no way to write a value", letter.escape_debug());
                return Err(Error::failed(message).help("write `%%` for a percent sign"));
            }
            None => {
                return Err(Error::failed("the text ends behind a `%`").help("write `%%` for a percent sign"));
            }
        }
        Ok(())
    }

    fn wants_number(&self, letter: char, value: &Value) -> Box<Error> {
        Error::failed(format!(
            "`%{letter}` wants a number, not a {}",
            self.heap.type_name(value)
        ))
    }

    fn tuple_items(&self, value: &Value) -> Option<Vec<Value>> {
        let Value::Object(id) = value else { return None };
        match self.heap.get(*id) {
            Object::Tuple(items) => Some(items.iter().map(|slot| slot.value.clone()).collect()),
            _ => None,
        }
    }

    pub(crate) fn format(&mut self, format: &str, arguments: &Arguments) -> Result<Value> {
        let mut out = String::new();
        let mut rest = format;
        let mut next = 0;
        while let Some(at) = rest.find(['{', '}']) {
            out.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                out.push_str(brace);
                rest = after;
                continue;
            }
            if brace == "}" {
                return Err(Error::failed("a `}` of the text closes nothing").help("write `}}` for a brace"));
            }
            let Some(end) = rest.find('}') else {
                return Err(Error::failed("a `{` of the text is never closed").help("write `{{` for a brace"));
            };
            let field = &rest[..end];
            rest = &rest[end + 1..];
            let (name, conversion) = field.split_once('!').unwrap_or((field, "s"));
            if name.contains(['.', '[', ',', ':', '{']) {
                return Err(Error::failed(format!("`{{{field}}}` is no name or number")));
            }
            let slot = if name.is_empty() {
                next += 1;
                arguments.positional.get(next - 1)
            } else if name.bytes().all(|byte| byte.is_ascii_digit()) {
                name.parse()
                    .ok()
                    .and_then(|at: usize| arguments.positional.get(at))
            } else {
                let named = arguments.named.iter().find(|argument| *argument.name == *name);
                named.map(|argument| &argument.slot)
            };
            let Some(Slot { value, .. }) = slot else {
                return Err(Error::failed(format!("there is no value for `{{{field}}}`")));
            };
            let text: Arc<str> = match conversion {
                "s" => self.str(value)?,
                "r" => self.repr(value)?.into(),
                _ => return Err(Error::failed(format!("`!{conversion}` is not `!s` or `!r`"))),
            };
            self.heap.charge_text(text.len())?;
            out.push_str(&text);
        }
        out.push_str(rest);
        self.heap.text(&out)
    }
}
