//! The methods of texts.

use std::sync::Arc;

use crate::{
    Span,
    builtins::Given,
    call::Arguments,
    error::{Error, Result},
    heap::{Slot, Value},
    machine::Machine,
};

pub(crate) const NAMES: &[&str] = &[
    "capitalize",
    "count",
    "elems",
    "endswith",
    "find",
    "format",
    "index",
    "isalnum",
    "isalpha",
    "isdigit",
    "islower",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "title",
    "upper",
];

impl Machine<'_> {
    pub(crate) fn text_method(
        &mut self,
        text: &Arc<str>,
        name: &str,
        arguments: Arguments,
        span: Span,
    ) -> Result<Value> {
        // Each of these goes over the text once or twice.
        self.heap.tick(1 + text.len() as u64 / 16)?;
        if name == "format" {
            return self.format(text, &arguments);
        }
        let given = Given::new(name, arguments, span);
        match name {
            "lower" | "upper" | "capitalize" | "title" => {
                given.values(0, [])?;
                // A character may become several.
                self.heap.charge_text(text.len().saturating_mul(3))?;
                self.heap.text(&cased(text, name))
            }
            "isalnum" | "isalpha" | "isdigit" | "islower" | "isspace" | "istitle" | "isupper" => {
                given.values(0, [])?;
                Ok(Value::Bool(is(text, name)))
            }
            "elems" => {
                given.values(0, [])?;
                let parts: Vec<String> = text.chars().map(String::from).collect();
                self.texts(parts.iter().map(String::as_str), span)
            }
            "splitlines" => {
                let [keep] = given.values(0, ["keepends"])?;
                let keep = keep.is_some_and(|slot| self.truth(&slot.value));
                let lines = text.split_inclusive('\n').map(|line| {
                    if keep {
                        return line;
                    }
                    let line = line.strip_suffix('\n').unwrap_or(line);
                    line.strip_suffix('\r').unwrap_or(line)
                });
                self.texts(lines, span)
            }
            "strip" | "lstrip" | "rstrip" => {
                let [chars] = given.values(0, ["chars"])?;
                let chars = chars.map(|slot| self.given_text(&slot)).transpose()?;
                let out = |c: char| match &chars {
                    None => c.is_whitespace(),
                    Some(chars) => chars.contains(c),
                };
                self.heap
                    .tick(text.len() as u64 * chars.as_ref().map_or(0, |chars| chars.len()) as u64 / 64)?;
                let part = match name {
                    "strip" => text.trim_matches(out),
                    "lstrip" => text.trim_start_matches(out),
                    _ => text.trim_end_matches(out),
                };
                self.heap.text(part)
            }
            "removeprefix" | "removesuffix" => {
                let part = self.given_text(&given.one("x")?)?;
                let rest = if name == "removeprefix" {
                    text.strip_prefix(&*part)
                } else {
                    text.strip_suffix(&*part)
                };
                self.heap.text(rest.unwrap_or(text))
            }
            "startswith" | "endswith" => {
                let slot = given.one("x")?;
                let parts = match &slot.value {
                    Value::Object(_) => self.items(&slot.value, slot.span)?,
                    _ => vec![slot],
                };
                let mut found = false;
                for slot in &parts {
                    let part = self.given_text(slot)?;
                    found |= if name == "startswith" {
                        text.starts_with(&*part)
                    } else {
                        text.ends_with(&*part)
                    };
                }
                Ok(Value::Bool(found))
            }
            "join" => self.join(text, &given.one("iterable")?),
            "replace" => self.replace(text, given),
            "split" | "rsplit" => self.split(text, name, given),
            "partition" | "rpartition" => {
                let slot = given.one("sep")?;
                let separator = self.separator(&slot)?;
                let parts = if name == "partition" {
                    text.split_once(&*separator)
                        .map_or([text, "", ""], |(a, b)| [a, &separator, b])
                } else {
                    text.rsplit_once(&*separator)
                        .map_or(["", "", text], |(a, b)| [a, &separator, b])
                };
                let mut slots = Vec::new();
                for part in parts {
                    let value = self.heap.text(part)?;
                    slots.push(Slot { value, span });
                }
                self.heap.charge_slots(3)?;
                self.heap.tuple(slots)
            }
            "find" | "rfind" | "index" | "rindex" | "count" => self.search(text, name, given),
            _ => Err(Error::failed(format!("a text has no method `{name}`"))),
        }
    }

    pub(crate) fn given_text(&self, slot: &Slot) -> Result<Arc<str>> {
        match &slot.value {
            Value::Text(text) => Ok(Arc::clone(text)),
            other => {
                let found = self.heap.type_name(other);
                Err(Error::failed(format!("this must be a text, not a {found}")).at(slot.span))
            }
        }
    }

    fn separator(&self, slot: &Slot) -> Result<Arc<str>> {
        let separator = self.given_text(slot)?;
        if separator.is_empty() {
            return Err(Error::failed("the separator is empty").at(slot.span));
        }
        Ok(separator)
    }

    fn texts<'t>(&mut self, parts: impl Iterator<Item = &'t str>, span: Span) -> Result<Value> {
        let mut items = Vec::new();
        for part in parts {
            self.heap.charge_slots(1)?;
            let value = self.heap.text(part)?;
            items.push(Slot { value, span });
        }
        self.heap.list(items)
    }

    fn join(&mut self, separator: &str, given: &Slot) -> Result<Value> {
        let mut out = String::new();
        for (at, item) in self.items(&given.value, given.span)?.iter().enumerate() {
            let part = self.given_text(item)?;
            self.heap.charge_text(separator.len() + part.len())?;
            if at > 0 {
                out.push_str(separator);
            }
            out.push_str(&part);
        }
        Ok(Value::Text(out.into()))
    }

    fn replace(&mut self, text: &str, given: Given) -> Result<Value> {
        let [old, new, count] = given.values(2, ["old", "new", "count"])?;
        let (Some(old), Some(new)) = (old, new) else {
            return Ok(Value::None);
        };
        let (old, new) = (self.given_text(&old)?, self.given_text(&new)?);
        let count = match count {
            Some(count) => usize::try_from(self.whole(&count)?).unwrap_or(usize::MAX),
            None => usize::MAX,
        };
        self.heap.tick(text.len() as u64 / 8)?;
        let found = text.matches(&*old).take(count).count();
        self.heap
            .charge_text(text.len().saturating_add(found.saturating_mul(new.len())))?;
        Ok(Value::Text(text.replacen(&*old, &new, count).into()))
    }

    fn split(&mut self, text: &str, name: &str, given: Given) -> Result<Value> {
        let span = given.span;
        let [separator, max] = given.values(0, ["sep", "maxsplit"])?;
        let max = match max {
            Some(max) => usize::try_from(self.whole(&max)?).ok(),
            None => None,
        };
        let pieces = max.map_or(usize::MAX, |max| max.saturating_add(1));
        let separator = match separator {
            Some(Slot {
                value: Value::None, ..
            })
            | None => None,
            Some(slot) => Some(self.separator(&slot)?),
        };
        self.heap.charge(text.len())?;
        let mut parts: Vec<&str> = match &separator {
            Some(separator) if name == "split" => text.splitn(pieces, &**separator).collect(),
            Some(separator) => text.rsplitn(pieces, &**separator).collect(),
            None => blanks(text, pieces, name == "rsplit"),
        };
        if name == "rsplit" {
            parts.reverse();
        }
        self.texts(parts.into_iter(), span)
    }

    fn search(&mut self, text: &str, name: &str, given: Given) -> Result<Value> {
        let [part, from, to] = given.values(1, ["sub", "start", "end"])?;
        let Some(part) = part else { return Ok(Value::None) };
        let part = self.given_text(&part)?;
        let len = text.chars().count();
        let bound = |slot: Option<Slot>, default: usize| -> Result<usize> {
            let Some(slot) = slot else { return Ok(default) };
            if matches!(slot.value, Value::None) {
                return Ok(default);
            }
            let at = self.whole(&slot)?;
            let from_start = if at < 0 { at.saturating_add(len as i64) } else { at };
            Ok(usize::try_from(from_start.max(0)).unwrap_or(usize::MAX).min(len))
        };
        let from = bound(from, 0)?;
        let to = bound(to, len)?;
        let byte = |at: usize| text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte);
        let window = text.get(byte(from)..byte(to)).unwrap_or_default();
        self.heap.tick(text.len() as u64 / 8)?;
        if name == "count" {
            return Ok(Value::Int(window.matches(&*part).count() as i64));
        }
        let found = if name.starts_with('r') {
            window.rfind(&*part)
        } else {
            window.find(&*part)
        };
        match found {
            Some(at) => Ok(Value::Int((from + window[..at].chars().count()) as i64)),
            None if name.ends_with("find") => Ok(Value::Int(-1)),
            None => Err(Error::failed("the text does not hold that")),
        }
    }
}

/// Parts of a text between white space, at most so many; from the end if `reverse`, in that order.
fn blanks(text: &str, pieces: usize, reverse: bool) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = if reverse {
        text.trim_end()
    } else {
        text.trim_start()
    };
    while !rest.is_empty() {
        if parts.len() + 1 == pieces {
            parts.push(if reverse {
                rest.trim_start()
            } else {
                rest.trim_end()
            });
            break;
        }
        if reverse {
            let at = rest.rfind(char::is_whitespace);
            let begin = at.map_or(0, |at| at + rest[at..].chars().next().map_or(1, char::len_utf8));
            parts.push(&rest[begin..]);
            rest = rest[..begin].trim_end();
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            parts.push(&rest[..end]);
            rest = rest[end..].trim_start();
        }
    }
    parts
}

fn cased(text: &str, how: &str) -> String {
    match how {
        "lower" => text.to_lowercase(),
        "upper" => text.to_uppercase(),
        _ => {
            let mut out = String::new();
            let mut begins = true;
            for c in text.chars() {
                if begins {
                    out.extend(c.to_uppercase());
                } else {
                    out.extend(c.to_lowercase());
                }
                begins = how == "title" && !c.is_alphabetic();
            }
            out
        }
    }
}

fn is(text: &str, what: &str) -> bool {
    let all = |test: fn(char) -> bool| !text.is_empty() && text.chars().all(test);
    let cased = text.chars().any(|c| c.is_uppercase() || c.is_lowercase());
    match what {
        "isalnum" => all(char::is_alphanumeric),
        "isalpha" => all(char::is_alphabetic),
        "isdigit" => all(|c| c.is_ascii_digit()),
        "isspace" => all(char::is_whitespace),
        "islower" => cased && !text.chars().any(char::is_uppercase),
        "isupper" => cased && !text.chars().any(char::is_lowercase),
        _ => {
            let mut before = false;
            for c in text.chars() {
                if (c.is_uppercase() && before) || (c.is_lowercase() && !before) {
                    return false;
                }
                before = c.is_alphabetic();
            }
            cased
        }
    }
}
