//! Bytes to elements.

use bytes::Bytes;

use super::{Dialect, Element, FLOAT, INT, LIST, LONGINT, LONGNEG, NEG, STRING, VOCAB, words};
use crate::Limits;

/// The longest prefix that is read.
const PREFIX_MAX: usize = 64;
/// A list begins with room for so many: its announced length is only a claim.
const ROOM: usize = 8;
/// Consumed bytes are dropped from the buffer when they are so many.
const DROP_AT: usize = 64 * 1024;

/// What is wrong with a stream, and where. Nothing after it can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {at} of the stream: {problem}")]
pub struct BananaError {
    /// Bytes before the element.
    pub at: u64,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A number that does not end.
    #[error("a prefix of more than {PREFIX_MAX} bytes")]
    LongPrefix,
    /// A number that is larger than this side can hold.
    #[error("a number of more than 127 bits")]
    LargeNumber,
    /// A byte that says no known type.
    #[error("an element of the unknown type {0:#04x}")]
    UnknownType(u8),
    /// A number that is no word.
    #[error("word {0} is not in the vocabulary")]
    UnknownWord(u128),
    /// A word although the dialect has none.
    #[error("a word of the vocabulary, which the dialect `none` does not have")]
    NoWords,
    /// A string is too long.
    #[error("a string of {len} bytes is longer than the limit of {limit}")]
    LongString {
        /// Its length.
        len: u128,
        /// The limit.
        limit: usize,
    },
    /// A list is too long.
    #[error("a list of {len} elements is longer than the limit of {limit}")]
    LongList {
        /// Its length.
        len: u128,
        /// The limit.
        limit: usize,
    },
    /// Lists within lists.
    #[error("lists are nested more than {0} deep")]
    Deep(usize),
    /// Too many elements together.
    #[error("more than {0} elements in one message")]
    ManyElements(usize),
    /// Too many bytes together.
    #[error("more than {0} bytes in one message")]
    ManyBytes(usize),
}

/// A list whose end has not come.
#[derive(Debug)]
struct Open {
    missing: usize,
    items: Vec<Element>,
}

/// Reads a stream that comes in pieces.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    dialect: Dialect,
    buffer: Vec<u8>,
    /// What of the buffer has been read.
    read: usize,
    /// Where in the stream the buffer begins.
    offset: u64,
    open: Vec<Open>,
    /// Of the current message.
    elements: usize,
    bytes: usize,
}

impl Decoder {
    /// A stream begins.
    pub const fn new(dialect: Dialect, limits: Limits) -> Self {
        Self {
            limits,
            dialect,
            buffer: Vec::new(),
            read: 0,
            offset: 0,
            open: Vec::new(),
            elements: 0,
            bytes: 0,
        }
    }

    /// From the next element on this dialect is read.
    pub const fn set_dialect(&mut self, dialect: Dialect) {
        self.dialect = dialect;
    }

    /// From the next element on these limits hold.
    pub const fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The next bytes. Take all elements with [`Self::poll`] before there are more.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.read == self.buffer.len() || self.read > DROP_AT {
            self.offset += self.read as u64;
            self.buffer.drain(..self.read);
            self.read = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole top-level element, if it has come.
    pub fn poll(&mut self) -> Result<Option<Element>, BananaError> {
        while let Some(element) = self.element().map_err(|problem| BananaError {
            at: self.offset + self.read as u64,
            problem,
        })? {
            if let Some(whole) = self.place(element) {
                self.elements = 0;
                self.bytes = 0;
                return Ok(Some(whole));
            }
        }
        if self.read == self.buffer.len() && self.buffer.capacity() > DROP_AT {
            // A connection that is idle keeps no large buffer.
            self.offset += self.read as u64;
            self.read = 0;
            self.buffer = Vec::new();
        }
        Ok(None)
    }

    /// Puts an element where it belongs. If that ends the outermost list, gives it.
    fn place(&mut self, element: Element) -> Option<Element> {
        let mut done = element;
        while let Some(list) = self.open.last_mut() {
            list.items.push(done);
            list.missing -= 1;
            if list.missing > 0 {
                return None;
            }
            done = Element::List(self.open.pop().map(|list| list.items).unwrap_or_default());
        }
        Some(done)
    }

    /// The next element that is whole; lists only if they are empty. None: more bytes are needed.
    fn element(&mut self) -> Result<Option<Element>, Problem> {
        loop {
            let rest = &self.buffer[self.read..];
            let Some(prefix) = rest.iter().take(PREFIX_MAX + 1).position(|byte| *byte >= 0x80) else {
                return if rest.len() > PREFIX_MAX {
                    Err(Problem::LongPrefix)
                } else {
                    Ok(None)
                };
            };
            let (digits, kind) = (&rest[..prefix], rest[prefix]);
            let head = prefix + 1;
            if self.elements >= self.limits.elements {
                return Err(Problem::ManyElements(self.limits.elements));
            }
            let (element, len) = match kind {
                LIST => {
                    let len = number(digits)?;
                    if len > self.limits.list as u128 {
                        return Err(Problem::LongList {
                            len,
                            limit: self.limits.list,
                        });
                    }
                    if self.open.len() >= self.limits.depth {
                        return Err(Problem::Deep(self.limits.depth));
                    }
                    self.count(head)?;
                    self.read += head;
                    if len == 0 {
                        return Ok(Some(Element::List(Vec::new())));
                    }
                    let missing = len as usize;
                    self.open.push(Open {
                        missing,
                        items: Vec::with_capacity(missing.min(ROOM)),
                    });
                    continue;
                }
                STRING => {
                    let len = number(digits)?;
                    if len > self.limits.string as u128 {
                        return Err(Problem::LongString {
                            len,
                            limit: self.limits.string,
                        });
                    }
                    let whole = head + len as usize;
                    if self.bytes + whole > self.limits.bytes {
                        return Err(Problem::ManyBytes(self.limits.bytes));
                    }
                    let Some(body) = rest.get(head..whole) else {
                        return Ok(None);
                    };
                    (Element::Bytes(string(body)), whole)
                }
                FLOAT => {
                    let Some(body) = rest.get(head..head + 8) else {
                        return Ok(None);
                    };
                    let body: [u8; 8] = body.try_into().unwrap_or_default();
                    (Element::Float(f64::from_be_bytes(body)), head + 8)
                }
                INT | LONGINT => (Element::Int(signed(digits)?), head),
                NEG | LONGNEG => (Element::Int(-signed(digits)?), head),
                VOCAB if self.dialect == Dialect::None => return Err(Problem::NoWords),
                VOCAB => {
                    let number = number(digits)?;
                    let word = words::word(number).ok_or(Problem::UnknownWord(number))?;
                    (Element::Bytes(Bytes::from_static(word.as_bytes())), head)
                }
                kind => return Err(Problem::UnknownType(kind)),
            };
            self.count(len)?;
            self.read += len;
            return Ok(Some(element));
        }
    }

    fn count(&mut self, bytes: usize) -> Result<(), Problem> {
        self.elements += 1;
        self.bytes += bytes;
        if self.bytes > self.limits.bytes {
            return Err(Problem::ManyBytes(self.limits.bytes));
        }
        Ok(())
    }
}

/// Most strings are the word that says that the next one is text; it needs no memory of its own.
fn string(body: &[u8]) -> Bytes {
    match body {
        b"unicode" => Bytes::from_static(b"unicode"),
        _ => Bytes::copy_from_slice(body),
    }
}

fn number(digits: &[u8]) -> Result<u128, Problem> {
    let mut number = 0_u128;
    for (place, digit) in digits.iter().enumerate() {
        let digit = u128::from(*digit);
        let shift = 7 * place as u32;
        if digit != 0 && (shift >= 128 || digit >> (128 - shift).min(7) != 0) {
            return Err(Problem::LargeNumber);
        }
        number |= digit.checked_shl(shift).unwrap_or(0);
    }
    Ok(number)
}

fn signed(digits: &[u8]) -> Result<i128, Problem> {
    i128::try_from(number(digits)?).map_err(|_| Problem::LargeNumber)
}
