//! Elements to bytes.

use super::{Dialect, Element, FLOAT, INT, LIST, LONGINT, LONGNEG, NEG, STRING, VOCAB, words};
use crate::Limits;

/// Why something cannot be sent. Nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A string is longer than the other side would take.
    #[error("a string of {0} bytes cannot be sent over Perspective Broker, whose limit is {limit}", limit = Limits::PB_SIZE)]
    LongString(usize),
    /// A list is longer than the other side would take.
    #[error("a list of {0} elements cannot be sent over Perspective Broker, whose limit is {limit}", limit = Limits::PB_SIZE)]
    LongList(usize),
    /// Lists within lists.
    #[error("lists are nested more than {limit} deep", limit = Limits::PEER.depth)]
    Deep,
    /// A form that this protocol does not have.
    #[error("{0} cannot be sent over msgpack")]
    NoForm(&'static str),
    /// A number that msgpack does not have.
    #[error("the number {0} cannot be sent over msgpack, which has 64 bits")]
    Number(i128),
}

/// Writes an element behind what is there. With [`Dialect::Pb`] words of the vocabulary become numbers, as stock programs do
/// it; nobody has to.
pub fn encode(element: &Element, dialect: Dialect, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let len = out.len();
    let result = write(element, dialect, Limits::PEER.depth, out);
    if result.is_err() {
        out.truncate(len);
    }
    result
}

fn write(element: &Element, dialect: Dialect, depth: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match element {
        Element::Int(number) => {
            let size = number.unsigned_abs();
            let short = size <= if *number < 0 { 1 << 31 } else { (1 << 31) - 1 };
            let kind = match (*number < 0, short) {
                (false, true) => INT,
                (false, false) => LONGINT,
                (true, true) => NEG,
                (true, false) => LONGNEG,
            };
            head(size, kind, out);
        }
        Element::Float(number) => {
            out.push(FLOAT);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Element::Bytes(bytes) => {
            if let (Dialect::Pb, Some(number)) = (dialect, words::number(bytes)) {
                head(number.into(), VOCAB, out);
            } else if bytes.len() > Limits::PB_SIZE {
                return Err(EncodeError::LongString(bytes.len()));
            } else {
                head(bytes.len() as u128, STRING, out);
                out.extend_from_slice(bytes);
            }
        }
        Element::List(items) => {
            let below = depth.checked_sub(1).ok_or(EncodeError::Deep)?;
            if items.len() > Limits::PB_SIZE {
                return Err(EncodeError::LongList(items.len()));
            }
            head(items.len() as u128, LIST, out);
            for item in items {
                write(item, dialect, below, out)?;
            }
        }
    }
    Ok(())
}

fn head(mut number: u128, kind: u8, out: &mut Vec<u8>) {
    loop {
        out.push((number & 0x7f) as u8);
        number >>= 7;
        if number == 0 {
            break;
        }
    }
    out.push(kind);
}
