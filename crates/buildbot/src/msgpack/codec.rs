//! MessagePack: values as bytes, one message at a time.

use bytes::Bytes;

use crate::{EncodeError, Limits, Value};

/// What is wrong with a message, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {at} of the message: {problem}")]
pub struct MsgpackError {
    /// Bytes before the value.
    pub at: usize,
    /// What is wrong with it.
    pub problem: MsgpackProblem,
}

/// What can be wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MsgpackProblem {
    /// It ends too early.
    #[error("the message ends in the middle of a value")]
    Truncated,
    /// It goes on too long.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
    /// A text that is none.
    #[error("a text that is not UTF-8")]
    NotText,
    /// A type of value that Buildbot's protocol does not use.
    #[error("a value of the unknown type {0:#04x}")]
    UnknownType(u8),
    /// A string is too long.
    #[error("a string of {len} bytes is longer than the limit of {limit}")]
    LongString {
        /// Its length.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// An array or a map is too long.
    #[error("{len} elements are more than the limit of {limit}")]
    LongList {
        /// Its length.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// Arrays within arrays.
    #[error("arrays and maps are nested more than {0} deep")]
    Deep(usize),
    /// Too many values together.
    #[error("more than {0} values in one message")]
    ManyElements(usize),
    /// Too many bytes together.
    #[error("a message of {len} bytes is longer than the limit of {limit}")]
    ManyBytes {
        /// Its length.
        len: usize,
        /// The limit.
        limit: usize,
    },
}

/// Reads one message, which is one value.
pub fn decode(message: &[u8], limits: &Limits) -> Result<Value, MsgpackError> {
    if message.len() > limits.bytes {
        let problem = MsgpackProblem::ManyBytes {
            len: message.len(),
            limit: limits.bytes,
        };
        return Err(MsgpackError { at: 0, problem });
    }
    let mut reader = Reader {
        message,
        at: 0,
        elements: 0,
        limits,
    };
    reader.whole().map_err(|problem| MsgpackError {
        at: reader.at,
        problem,
    })
}

struct Reader<'m> {
    message: &'m [u8],
    at: usize,
    elements: usize,
    limits: &'m Limits,
}

impl<'m> Reader<'m> {
    fn whole(&mut self) -> Result<Value, MsgpackProblem> {
        let value = self.value(0)?;
        match self.message.len() - self.at {
            0 => Ok(value),
            left => Err(MsgpackProblem::Trailing(left)),
        }
    }

    fn take(&mut self, len: usize) -> Result<&'m [u8], MsgpackProblem> {
        let rest = &self.message[self.at..];
        let taken = rest.get(..len).ok_or(MsgpackProblem::Truncated)?;
        self.at += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MsgpackProblem> {
        Ok(self.take(N)?.try_into().unwrap_or([0; N]))
    }

    /// A length of one, two or four bytes.
    fn length(&mut self, width: usize) -> Result<usize, MsgpackProblem> {
        Ok(self
            .take(width)?
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte)))
    }

    fn value(&mut self, depth: usize) -> Result<Value, MsgpackProblem> {
        if self.elements >= self.limits.elements {
            return Err(MsgpackProblem::ManyElements(self.limits.elements));
        }
        self.elements += 1;
        let kind = self.array::<1>()?[0];
        Ok(match kind {
            0x00..=0x7f => Value::Int(kind.into()),
            0xe0..=0xff => Value::Int((kind as i8).into()),
            0x80..=0x8f => self.map(usize::from(kind & 0x0f), depth)?,
            0x90..=0x9f => self.list(usize::from(kind & 0x0f), depth)?,
            0xa0..=0xbf => self.text(usize::from(kind & 0x1f))?,
            0xc0 => Value::None,
            0xc2 => Value::Bool(false),
            0xc3 => Value::Bool(true),
            0xc4..=0xc6 => {
                let len = self.length(1 << (kind - 0xc4))?;
                Value::Bytes(Bytes::copy_from_slice(self.string(len)?))
            }
            0xca => Value::Float(f32::from_be_bytes(self.array()?).into()),
            0xcb => Value::Float(f64::from_be_bytes(self.array()?)),
            0xcc => Value::Int(u8::from_be_bytes(self.array()?).into()),
            0xcd => Value::Int(u16::from_be_bytes(self.array()?).into()),
            0xce => Value::Int(u32::from_be_bytes(self.array()?).into()),
            0xcf => Value::Int(u64::from_be_bytes(self.array()?).into()),
            0xd0 => Value::Int(i8::from_be_bytes(self.array()?).into()),
            0xd1 => Value::Int(i16::from_be_bytes(self.array()?).into()),
            0xd2 => Value::Int(i32::from_be_bytes(self.array()?).into()),
            0xd3 => Value::Int(i64::from_be_bytes(self.array()?).into()),
            0xd9..=0xdb => {
                let len = self.length(1 << (kind - 0xd9))?;
                self.text(len)?
            }
            0xdc..=0xdd => {
                let len = self.length(2 << (kind - 0xdc))?;
                self.list(len, depth)?
            }
            0xde..=0xdf => {
                let len = self.length(2 << (kind - 0xde))?;
                self.map(len, depth)?
            }
            // Extensions, and the one that is never used.
            0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => return Err(MsgpackProblem::UnknownType(kind)),
        })
    }

    fn string(&mut self, len: usize) -> Result<&'m [u8], MsgpackProblem> {
        if len > self.limits.string {
            return Err(MsgpackProblem::LongString {
                len,
                limit: self.limits.string,
            });
        }
        self.take(len)
    }

    fn text(&mut self, len: usize) -> Result<Value, MsgpackProblem> {
        let text = str::from_utf8(self.string(len)?).map_err(|_| MsgpackProblem::NotText)?;
        Ok(Value::text(text))
    }

    /// An announced length is only a claim: room is made for what can be there.
    fn room(&self, len: usize, depth: usize) -> Result<usize, MsgpackProblem> {
        if len > self.limits.list {
            return Err(MsgpackProblem::LongList {
                len,
                limit: self.limits.list,
            });
        }
        if depth >= self.limits.depth {
            return Err(MsgpackProblem::Deep(self.limits.depth));
        }
        Ok(len.min(8))
    }

    fn list(&mut self, len: usize, depth: usize) -> Result<Value, MsgpackProblem> {
        let mut items = Vec::with_capacity(self.room(len, depth)?);
        for _ in 0..len {
            items.push(self.value(depth + 1)?);
        }
        Ok(Value::List(items))
    }

    fn map(&mut self, len: usize, depth: usize) -> Result<Value, MsgpackProblem> {
        let mut entries = Vec::with_capacity(self.room(len, depth)?);
        for _ in 0..len {
            entries.push((self.value(depth + 1)?, self.value(depth + 1)?));
        }
        Ok(Value::Dict(entries))
    }
}

/// Writes one message. Tuples become arrays; references and copied objects have no form here.
pub fn encode(value: &Value) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    write(value, Limits::MSGPACK.depth, &mut out)?;
    Ok(out)
}

fn write(value: &Value, depth: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match value {
        Value::None => out.push(0xc0),
        Value::Bool(truth) => out.push(0xc2 + u8::from(*truth)),
        Value::Int(number) => integer(*number, out)?,
        Value::Float(number) => {
            out.push(0xcb);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Value::Bytes(bytes) => {
            head(bytes.len(), None, [Some(0xc4), Some(0xc5), Some(0xc6)], out);
            out.extend_from_slice(bytes);
        }
        Value::Text(text) => {
            head(
                text.len(),
                Some((0xa0, 32)),
                [Some(0xd9), Some(0xda), Some(0xdb)],
                out,
            );
            out.extend_from_slice(text.as_bytes());
        }
        Value::List(items) | Value::Tuple(items) => {
            let below = depth.checked_sub(1).ok_or(EncodeError::Deep)?;
            head(items.len(), Some((0x90, 16)), [None, Some(0xdc), Some(0xdd)], out);
            for item in items {
                write(item, below, out)?;
            }
        }
        Value::Dict(entries) => {
            let below = depth.checked_sub(1).ok_or(EncodeError::Deep)?;
            head(
                entries.len(),
                Some((0x80, 16)),
                [None, Some(0xde), Some(0xdf)],
                out,
            );
            for (key, value) in entries {
                write(key, below, out)?;
                write(value, below, out)?;
            }
        }
        other => return Err(EncodeError::NoForm(other.kind())),
    }
    Ok(())
}

/// The shortest form, as stock programs do it.
fn integer(number: i128, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if let Ok(number) = u64::try_from(number) {
        let bytes = number.to_be_bytes();
        match number {
            0..=0x7f => out.push(number as u8),
            0x80..=0xff => out.extend([0xcc, bytes[7]]),
            0x100..=0xffff => {
                out.push(0xcd);
                out.extend_from_slice(&bytes[6..]);
            }
            0x1_0000..=0xffff_ffff => {
                out.push(0xce);
                out.extend_from_slice(&bytes[4..]);
            }
            _ => {
                out.push(0xcf);
                out.extend_from_slice(&bytes);
            }
        }
        return Ok(());
    }
    let small = i64::try_from(number).map_err(|_| EncodeError::Number(number))?;
    let bytes = small.to_be_bytes();
    match small {
        -0x20..=-1 => out.push(bytes[7]),
        -0x80..-0x20 => out.extend([0xd0, bytes[7]]),
        -0x8000..-0x80 => {
            out.push(0xd1);
            out.extend_from_slice(&bytes[6..]);
        }
        -0x8000_0000..-0x8000 => {
            out.push(0xd2);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(0xd3);
            out.extend_from_slice(&bytes);
        }
    }
    Ok(())
}

/// A length in the shortest form: within the type byte, or behind it in one, two or four bytes.
fn head(len: usize, fixed: Option<(u8, usize)>, kinds: [Option<u8>; 3], out: &mut Vec<u8>) {
    let bytes = (len as u32).to_be_bytes();
    match (fixed, kinds) {
        (Some((kind, below)), _) if len < below => out.push(kind | bytes[3]),
        (_, [Some(kind), ..]) if len < 0x100 => out.extend([kind, bytes[3]]),
        (_, [_, Some(kind), _]) if len < 0x1_0000 => out.extend([kind, bytes[2], bytes[3]]),
        (_, [_, _, Some(kind)]) => {
            out.push(kind);
            out.extend_from_slice(&bytes);
        }
        _ => {}
    }
}
