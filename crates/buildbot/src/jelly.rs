//! Jelly: typed values as Banana lists.
//!
//! A list's first element says what it is, the others are its content. These are the forms of the reference, section 2, and
//! nothing else: what looks like a class is kept as its name and its state, and an unknown form is an error.

use std::collections::HashMap;

use bytes::Bytes;

use crate::{
    Limits,
    banana::Element,
    value::{Copied, ObjectId, Value},
};

/// What is wrong with a value, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}, at {}", place(path))]
pub struct JellyError {
    /// Which element of which list, from the innermost outwards.
    path: Vec<usize>,
    /// What is wrong.
    problem: JellyProblem,
}

impl JellyError {
    /// What is wrong.
    pub const fn problem(&self) -> &JellyProblem {
        &self.problem
    }
}

/// What can be wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JellyProblem {
    /// A list that does not say what it is.
    #[error("a list without a type name")]
    NoType,
    /// A type that this side does not know.
    #[error("unknown type `{0}`")]
    UnknownType(String),
    /// A known type with the wrong content.
    #[error("malformed `{0}`")]
    Malformed(&'static str),
    /// A value that has not been there, or not wholly.
    #[error("value {0} is referred to before it is complete")]
    UnknownReference(i128),
    /// Two values under one number.
    #[error("value {0} is given twice")]
    DoubleReference(i128),
    /// What is referred to is copied; all copies together are too much.
    #[error("values that are referred to again make this too large")]
    Large,
    /// As before, in depth.
    #[error("values are nested too deep")]
    Deep,
}

fn place(path: &[usize]) -> String {
    if path.is_empty() {
        return "the outermost list".into();
    }
    let steps: Vec<String> = path.iter().rev().map(usize::to_string).collect();
    format!("element {}", steps.join("."))
}

/// Reads one value. What was read from the wire within limits may become larger by references, but not beyond them.
pub fn read(element: Element, limits: &Limits) -> Result<Value, JellyError> {
    let mut reader = Reader {
        shared: HashMap::new(),
        room: limits.bytes.saturating_mul(4),
        depth: limits.depth,
    };
    reader.read(element, 0)
}

/// A value that can be referred to again.
struct Shared {
    value: Value,
    weight: usize,
    height: usize,
}

struct Reader {
    shared: HashMap<i128, Shared>,
    /// How much may still be copied.
    room: usize,
    depth: usize,
}

type Items = std::vec::IntoIter<Element>;

impl Reader {
    fn read(&mut self, element: Element, depth: usize) -> Result<Value, JellyError> {
        match element {
            Element::Int(number) => Ok(Value::Int(number)),
            Element::Float(number) => Ok(Value::Float(number)),
            Element::Bytes(bytes) => Ok(Value::Bytes(bytes)),
            Element::List(items) => {
                if depth >= self.depth {
                    return Err(fail(JellyProblem::Deep));
                }
                let mut items = items.into_iter();
                let Some(Element::Bytes(name)) = items.next() else {
                    return Err(fail(JellyProblem::NoType));
                };
                self.form(&name, items, depth)
            }
        }
    }

    fn form(&mut self, name: &Bytes, items: Items, depth: usize) -> Result<Value, JellyError> {
        match &name[..] {
            b"None" => {
                let [] = exactly("None", items)?;
                Ok(Value::None)
            }
            b"unicode" => match exactly("unicode", items)? {
                [Element::Bytes(bytes)] => Ok(Value::Text(text(&bytes))),
                _ => Err(malformed("unicode")),
            },
            b"boolean" => match exactly("boolean", items)? {
                [Element::Bytes(word)] if word == "true" => Ok(Value::Bool(true)),
                [Element::Bytes(word)] if word == "false" => Ok(Value::Bool(false)),
                _ => Err(malformed("boolean")),
            },
            b"list" => self.all(items, depth).map(Value::List),
            b"tuple" => self.all(items, depth).map(Value::Tuple),
            b"set" => self.all(items, depth).map(Value::Set),
            b"frozenset" => self.all(items, depth).map(Value::FrozenSet),
            b"dictionary" => self.entries(items, depth).map(Value::Dict),
            b"remote" => Ok(Value::Remote(object("remote", items)?)),
            b"local" => Ok(Value::Local(object("local", items)?)),
            b"reference" => match exactly("reference", items)? {
                [Element::Int(number), form] => self.share(number, form, depth),
                _ => Err(malformed("reference")),
            },
            b"dereference" => match exactly("dereference", items)? {
                [Element::Int(number)] => self.again(number, depth),
                _ => Err(malformed("dereference")),
            },
            b"datetime" => match exactly("datetime", items)? {
                [Element::Bytes(numbers)] => Ok(Value::DateTime(numbers)),
                _ => Err(malformed("datetime")),
            },
            b"timedelta" => match exactly("timedelta", items)? {
                [Element::Bytes(numbers)] => Ok(Value::TimeDelta(numbers)),
                _ => Err(malformed("timedelta")),
            },
            b"decimal" => match exactly("decimal", items)? {
                [Element::Int(value), Element::Int(exponent)] => Ok(Value::Decimal(value, exponent)),
                _ => Err(malformed("decimal")),
            },
            class if class.contains(&b'.') => {
                let [state] = exactly("copied object", items)?;
                let state = self.read(state, depth + 1).map_err(|error| within(error, 1))?;
                let class = name.clone();
                Ok(Value::Copied(Box::new(Copied { class, state })))
            }
            other => {
                // A long name says no more than its beginning.
                let name = String::from_utf8_lossy(&other[..other.len().min(40)]).into_owned();
                Err(fail(JellyProblem::UnknownType(name)))
            }
        }
    }

    fn all(&mut self, items: Items, depth: usize) -> Result<Vec<Value>, JellyError> {
        items
            .enumerate()
            .map(|(index, item)| {
                self.read(item, depth + 1)
                    .map_err(|error| within(error, index + 1))
            })
            .collect()
    }

    fn entries(&mut self, items: Items, depth: usize) -> Result<Vec<(Value, Value)>, JellyError> {
        items
            .enumerate()
            .map(|(index, item)| {
                let Element::List(pair) = item else {
                    return Err(within(malformed("dictionary"), index + 1));
                };
                let [key, value] =
                    exactly("dictionary", pair.into_iter()).map_err(|error| within(error, index + 1))?;
                let mut part = |element, number| {
                    self.read(element, depth + 1)
                        .map_err(|error| within(within(error, number), index + 1))
                };
                Ok((part(key, 0)?, part(value, 1)?))
            })
            .collect()
    }

    fn share(&mut self, number: i128, form: Element, depth: usize) -> Result<Value, JellyError> {
        let value = self.read(form, depth + 1).map_err(|error| within(error, 2))?;
        let (weight, height) = weigh(&value);
        let shared = Shared {
            value: value.clone(),
            weight,
            height,
        };
        self.pay(weight)?;
        if self.shared.insert(number, shared).is_some() {
            return Err(fail(JellyProblem::DoubleReference(number)));
        }
        Ok(value)
    }

    fn again(&mut self, number: i128, depth: usize) -> Result<Value, JellyError> {
        let Some(shared) = self.shared.get(&number) else {
            return Err(fail(JellyProblem::UnknownReference(number)));
        };
        if depth + shared.height > self.depth {
            return Err(fail(JellyProblem::Deep));
        }
        let (value, weight) = (shared.value.clone(), shared.weight);
        self.pay(weight)?;
        Ok(value)
    }

    fn pay(&mut self, weight: usize) -> Result<(), JellyError> {
        self.room = self
            .room
            .checked_sub(weight)
            .ok_or_else(|| fail(JellyProblem::Large))?;
        Ok(())
    }
}

/// What a copy takes, in bytes, about; and how deep it is.
fn weigh(value: &Value) -> (usize, usize) {
    const OWN: usize = size_of::<Value>();
    let within = |parts: &mut dyn Iterator<Item = &Value>| {
        parts.map(weigh).fold((OWN, 1), |(weight, height), (more, deep)| {
            (weight + more, height.max(deep + 1))
        })
    };
    match value {
        Value::Text(text) => (OWN + text.len(), 1),
        Value::Bytes(bytes) | Value::DateTime(bytes) | Value::TimeDelta(bytes) => (OWN + bytes.len(), 1),
        Value::List(items) | Value::Tuple(items) | Value::Set(items) | Value::FrozenSet(items) => {
            within(&mut items.iter())
        }
        Value::Dict(entries) => within(&mut entries.iter().flat_map(|(key, value)| [key, value])),
        Value::Copied(copied) => within(&mut std::iter::once(&copied.state)),
        Value::None
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Remote(_)
        | Value::Local(_)
        | Value::Decimal(..) => (OWN, 1),
    }
}

fn exactly<const N: usize>(name: &'static str, items: Items) -> Result<[Element; N], JellyError> {
    let items: Vec<Element> = items.collect();
    items.try_into().map_err(|_| malformed(name))
}

fn object(name: &'static str, items: Items) -> Result<ObjectId, JellyError> {
    let [id] = exactly(name, items)?;
    object_id(&id).ok_or_else(|| malformed(name))
}

/// The name of an object: a number, or a short string.
pub(crate) fn object_id(element: &Element) -> Option<ObjectId> {
    match element {
        Element::Int(number) => u64::try_from(*number).ok().map(ObjectId::Number),
        Element::Bytes(name) if name.len() <= 64 => Some(ObjectId::Name(name.clone())),
        _ => None,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn fail(problem: JellyProblem) -> JellyError {
    JellyError {
        path: Vec::new(),
        problem,
    }
}

fn malformed(name: &'static str) -> JellyError {
    fail(JellyProblem::Malformed(name))
}

fn within(mut error: JellyError, index: usize) -> JellyError {
    error.path.push(index);
    error
}

/// Writes one value.
pub fn write(value: &Value) -> Element {
    match value {
        Value::None => form("None", []),
        Value::Bool(truth) => form("boolean", [word(if *truth { "true" } else { "false" })]),
        Value::Int(number) => Element::Int(*number),
        Value::Float(number) => Element::Float(*number),
        Value::Bytes(bytes) => Element::Bytes(bytes.clone()),
        Value::Text(text) => form(
            "unicode",
            [Element::Bytes(Bytes::copy_from_slice(text.as_bytes()))],
        ),
        Value::List(items) => form("list", items.iter().map(write)),
        Value::Tuple(items) => form("tuple", items.iter().map(write)),
        Value::Set(items) => form("set", items.iter().map(write)),
        Value::FrozenSet(items) => form("frozenset", items.iter().map(write)),
        Value::Dict(entries) => {
            let pair = |(key, value): &(Value, Value)| Element::List(vec![write(key), write(value)]);
            form("dictionary", entries.iter().map(pair))
        }
        Value::Remote(id) => form("remote", [write_object(id)]),
        Value::Local(id) => form("local", [write_object(id)]),
        Value::Copied(copied) => {
            Element::List(vec![Element::Bytes(copied.class.clone()), write(&copied.state)])
        }
        Value::DateTime(numbers) => form("datetime", [Element::Bytes(numbers.clone())]),
        Value::TimeDelta(numbers) => form("timedelta", [Element::Bytes(numbers.clone())]),
        Value::Decimal(value, exponent) => form("decimal", [Element::Int(*value), Element::Int(*exponent)]),
    }
}

pub(crate) fn write_object(id: &ObjectId) -> Element {
    match id {
        ObjectId::Number(number) => Element::Int((*number).into()),
        ObjectId::Name(name) => Element::Bytes(name.clone()),
    }
}

pub(crate) const fn word(word: &'static str) -> Element {
    Element::Bytes(Bytes::from_static(word.as_bytes()))
}

fn form(name: &'static str, content: impl IntoIterator<Item = Element>) -> Element {
    Element::List(std::iter::once(word(name)).chain(content).collect())
}
