//! Frames, and the layout of binary ones.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::{CommandId, FrameError, MAX_LOG_FILES};

/// One WebSocket message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A control message: JSON.
    Text(String),
    /// Output of a command.
    Binary(Bytes),
}

/// Where a piece of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// The command's standard output; also the bytes of a fetched file.
    Stdout,
    /// The command's standard error.
    Stderr,
    /// Remarks of the worker about the command (environment, what was killed and why).
    Header,
    /// The file of that number in [`Exec::log_files`](crate::Exec::log_files).
    File(u8),
}

/// The number of the first log file's stream on the wire.
const FIRST_FILE: u8 = 3;

impl Stream {
    /// The stream with this number on the wire.
    pub fn from_wire(number: u8) -> Result<Self, FrameError> {
        match number {
            0 => Ok(Self::Stdout),
            1 => Ok(Self::Stderr),
            2 => Ok(Self::Header),
            other => match other.checked_sub(FIRST_FILE) {
                Some(file) if usize::from(file) < MAX_LOG_FILES => Ok(Self::File(file)),
                _ => Err(FrameError::Stream(other)),
            },
        }
    }

    /// Its number on the wire.
    pub const fn to_wire(self) -> u8 {
        match self {
            Self::Stdout => 0,
            Self::Stderr => 1,
            Self::Header => 2,
            Self::File(file) => FIRST_FILE.saturating_add(file),
        }
    }
}

/// The length of the header before an output chunk's bytes.
pub const OUTPUT_HEADER_LEN: usize = 26;
/// The largest piece of output that this project's worker puts into one frame, in bytes.
pub const MAX_CHUNK: usize = 64 * 1024;
/// The first byte of a binary frame that carries output.
const KIND_OUTPUT: u8 = 1;

/// A piece of a command's output.
///
/// Layout, numbers big-endian: kind `1` (u8), stream (u8), build (u64), step (u32), ordinal (u32), offset (u64), bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputChunk {
    /// The command.
    pub id: CommandId,
    /// Where the bytes came from.
    pub stream: Stream,
    /// How many bytes of output, of all streams together, came before these.
    pub offset: u64,
    /// The bytes.
    pub data: Bytes,
}

impl OutputChunk {
    /// The offset after the last byte.
    pub fn end(&self) -> u64 {
        self.offset + self.data.len() as u64
    }

    /// Writes the header of a chunk; its bytes are to follow.
    pub fn put_header(to: &mut impl BufMut, id: CommandId, stream: Stream, offset: u64) {
        to.put_u8(KIND_OUTPUT);
        to.put_u8(stream.to_wire());
        to.put_u64(id.build);
        to.put_u32(id.step);
        to.put_u32(id.ordinal);
        to.put_u64(offset);
    }

    /// The chunk as a binary frame's payload.
    pub fn encode(&self) -> Bytes {
        let mut frame = BytesMut::with_capacity(OUTPUT_HEADER_LEN + self.data.len());
        Self::put_header(&mut frame, self.id, self.stream, self.offset);
        frame.put_slice(&self.data);
        frame.freeze()
    }

    /// Reads a binary frame's payload; the chunk's bytes share its memory.
    pub fn decode(frame: &Bytes) -> Result<Self, FrameError> {
        fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
            let mut array = [0; N];
            array.copy_from_slice(&bytes[at..at + N]);
            array
        }
        if frame.len() < OUTPUT_HEADER_LEN {
            return Err(FrameError::Short(frame.len()));
        }
        if frame[0] != KIND_OUTPUT {
            return Err(FrameError::Kind(frame[0]));
        }
        let stream = Stream::from_wire(frame[1])?;
        let id = CommandId {
            build: u64::from_be_bytes(array(frame, 2)),
            step: u32::from_be_bytes(array(frame, 10)),
            ordinal: u32::from_be_bytes(array(frame, 14)),
        };
        let offset = u64::from_be_bytes(array(frame, 18));
        let data = frame.slice(OUTPUT_HEADER_LEN..);
        if offset.checked_add(data.len() as u64).is_none() {
            return Err(FrameError::Offset(offset));
        }
        Ok(Self {
            id,
            stream,
            offset,
            data,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_the_documented_one() {
        let chunk = OutputChunk {
            id: CommandId {
                build: 0x0102_0304,
                step: 5,
                ordinal: 6,
            },
            stream: Stream::Stderr,
            offset: 0x0708,
            data: Bytes::from_static(b"hi"),
        };
        let frame = chunk.encode();
        assert_eq!(
            hex::encode(&frame),
            "010100000000010203040000000500000006000000000000070868 69".replace(' ', "")
        );
        assert_eq!(OutputChunk::decode(&frame), Ok(chunk));
    }

    #[test]
    fn malformed_frames_have_their_reasons() {
        let good = OutputChunk {
            id: CommandId {
                build: 1,
                step: 1,
                ordinal: 1,
            },
            stream: Stream::Stdout,
            offset: u64::MAX - 1,
            data: Bytes::from_static(b"x"),
        }
        .encode();
        let change = |at: usize, to: u8| {
            let mut frame = good.to_vec();
            frame[at] = to;
            OutputChunk::decode(&Bytes::from(frame))
        };
        let mut long = good.to_vec();
        long.push(b'y');
        assert!(OutputChunk::decode(&good).is_ok());
        assert_eq!(change(0, 9), Err(FrameError::Kind(9)));
        let first_unknown = Stream::File(MAX_LOG_FILES as u8).to_wire();
        assert_eq!(
            change(1, first_unknown - 1).map(|chunk| chunk.stream),
            Ok(Stream::File(MAX_LOG_FILES as u8 - 1))
        );
        assert_eq!(change(1, first_unknown), Err(FrameError::Stream(first_unknown)));
        assert_eq!(OutputChunk::decode(&good.slice(..25)), Err(FrameError::Short(25)));
        assert_eq!(
            OutputChunk::decode(&Bytes::from(long)),
            Err(FrameError::Offset(u64::MAX - 1))
        );
    }
}
