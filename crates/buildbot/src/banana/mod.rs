//! Banana: nested lists of numbers and byte strings as bytes.
//!
//! An element is a number in base 128 with its least significant digit first (bytes below `0x80`), a byte that says what it
//! is, and a body: see the reference, section 1. [`Decoder`] takes bytes in pieces of any size.

mod decode;
mod encode;
mod words;

use bytes::Bytes;

pub use decode::{BananaError, Decoder, Problem};
pub use encode::{EncodeError, encode};
pub use words::WORDS;

const LIST: u8 = 0x80;
const INT: u8 = 0x81;
const STRING: u8 = 0x82;
const NEG: u8 = 0x83;
const FLOAT: u8 = 0x84;
const LONGINT: u8 = 0x85;
const LONGNEG: u8 = 0x86;
const VOCAB: u8 = 0x87;

/// One element.
#[derive(Clone, Debug, PartialEq)]
pub enum Element {
    /// A whole number.
    Int(i128),
    /// A floating point number.
    Float(f64),
    /// A byte string; also what was sent as a word of the vocabulary.
    Bytes(Bytes),
    /// A list.
    List(Vec<Element>),
}

/// What two sides agree upon at the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Without a vocabulary.
    None,
    /// Words of the vocabulary may be sent as numbers.
    Pb,
}

impl Dialect {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pb => "pb",
        }
    }

    /// The dialect of this name.
    pub fn of(name: &[u8]) -> Option<Self> {
        [Self::Pb, Self::None]
            .into_iter()
            .find(|dialect| dialect.name().as_bytes() == name)
    }
}
