//! One value of either protocol: what Jelly and msgpack are spellings of.

use std::borrow::Cow;

use bytes::Bytes;

/// A value as it travels in arguments and answers.
///
/// These are all the forms there are. A peer cannot name anything that this side would then run.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    None,
    /// A truth value.
    Bool(bool),
    /// A whole number. Wide enough for inode numbers of every file system.
    Int(i128),
    /// A floating point number.
    Float(f64),
    /// A byte string.
    Bytes(Bytes),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// A tuple. Over msgpack it becomes a list.
    Tuple(Vec<Value>),
    /// A dictionary, in the order in which it was sent.
    Dict(Vec<(Value, Value)>),
    /// A set (Jelly alone).
    Set(Vec<Value>),
    /// A set that cannot be changed (Jelly alone).
    FrozenSet(Vec<Value>),
    /// A reference to an object of whoever sends this (Jelly alone).
    Remote(ObjectId),
    /// A reference to an object of whoever receives this (Jelly alone).
    Local(ObjectId),
    /// An object that was copied by its class's name and state (Jelly alone). It stays data.
    Copied(Box<Copied>),
    /// A date and time, as seven numbers in text (Jelly alone).
    DateTime(Bytes),
    /// A span of time, as three numbers in text (Jelly alone).
    TimeDelta(Bytes),
    /// A decimal number: value and exponent (Jelly alone).
    Decimal(i128, i128),
}

/// An object that was copied.
#[derive(Clone, Debug, PartialEq)]
pub struct Copied {
    /// The dotted name of its class.
    pub class: Bytes,
    /// Its state, mostly a dictionary.
    pub state: Value,
}

/// The name of an object that lives on one side of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectId {
    /// Given when the object was first sent.
    Number(u64),
    /// A fixed name: `root` is where a conversation begins.
    Name(Bytes),
}

impl ObjectId {
    /// The object with which every conversation begins.
    pub const ROOT: Self = Self::Name(Bytes::from_static(b"root"));
}

impl Value {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A byte string.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::Bytes(bytes.into())
    }

    /// A dictionary whose keys are texts.
    pub fn dict<'k>(entries: impl IntoIterator<Item = (&'k str, Self)>) -> Self {
        Self::Dict(
            entries
                .into_iter()
                .map(|(key, value)| (Self::text(key), value))
                .collect(),
        )
    }

    /// A text, or a byte string read as UTF-8: old peers make no difference between them.
    pub fn as_text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Bytes(bytes) => Some(String::from_utf8_lossy(bytes)),
            _ => None,
        }
    }

    /// The elements of a list or a tuple.
    pub fn as_items(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) | Self::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// A number as a floating point number.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// The entry of a dictionary under a text. Of several the last counts.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Dict(entries) = self else { return None };
        entries
            .iter()
            .rev()
            .find(|(name, _)| name.is_text(key))
            .map(|(_, value)| value)
    }

    /// Whether this is that text, be it as text or as bytes.
    pub(crate) fn is_text(&self, text: &str) -> bool {
        match self {
            Self::Text(own) => own == text,
            Self::Bytes(own) => own == text.as_bytes(),
            _ => false,
        }
    }

    /// What this is, for messages.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Bool(_) => "a truth value",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Bytes(_) => "a byte string",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Tuple(_) => "a tuple",
            Self::Dict(_) => "a dictionary",
            Self::Set(_) | Self::FrozenSet(_) => "a set",
            Self::Remote(_) | Self::Local(_) => "a reference",
            Self::Copied(_) => "a copied object",
            Self::DateTime(_) | Self::TimeDelta(_) => "a time",
            Self::Decimal(..) => "a decimal number",
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number.into())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(number.into())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(option: Option<T>) -> Self {
        option.map_or(Self::None, Into::into)
    }
}
