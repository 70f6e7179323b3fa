//! Records, the file's outer layer: a fixed head, metadata, payload. See `docs/logs-format.md`.

use crate::{
    LogKind, Position,
    tally::{OpenLines, Tally, put_open, take_open},
    varint,
};

/// Bytes of the fixed head.
pub(crate) const HEAD: usize = 20;
/// Upper limit of the metadata's length.
pub(crate) const MAX_META: usize = 512;
/// Upper limit of a payload's length.
pub(crate) const MAX_PAYLOAD: usize = 8 * 1024 * 1024;
/// Upper limit of a block's decompressed length.
pub(crate) const MAX_BLOCK: u64 = 2 * 1024 * 1024;
/// Upper limit of all counts (64 PiB, a century at 20 MB/s): sums of a few of them cannot overflow.
const MAX_COUNT: u64 = 1 << 56;
/// Bytes of the trailer at the end of an index record's payload.
pub(crate) const TRAILER: usize = 8;

pub(crate) const MAGIC: [u8; 4] = *b"IML1";
const TRAILER_MAGIC: [u8; 4] = *b"IMLE";

const TYPE_BLOCK: u8 = 1;
const TYPE_INDEX: u8 = 2;

/// The block begins a compression frame.
pub(crate) const FRAME_START: u8 = 1;
/// The block is the first of its log; blocks of the same log before it are void.
pub(crate) const BEGIN: u8 = 2;
/// The block is the last of its log.
pub(crate) const ENDED: u8 = 4;

/// Metadata of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockMeta {
    pub(crate) log_id: u64,
    pub(crate) kind: LogKind,
    pub(crate) flags: u8,
    /// Distance back to the block that begins its frame.
    pub(crate) frame_back: u64,
    /// Counts before it; open lines are those of the block before.
    pub(crate) store: u64,
    pub(crate) lines: u64,
    pub(crate) raw: u64,
    /// What it adds.
    pub(crate) store_len: u64,
    pub(crate) lines_len: u64,
    pub(crate) raw_len: u64,
    /// Open lines after it.
    pub(crate) open: OpenLines,
    /// What the log has consumed after it.
    pub(crate) position: Position,
}

impl BlockMeta {
    /// Counts after it.
    pub(crate) fn after(&self) -> Tally {
        Tally {
            store: self.store + self.store_len,
            lines: self.lines + self.lines_len,
            raw: self.raw + self.raw_len,
            open: self.open,
        }
    }

    /// Whether it follows on from `before`.
    pub(crate) fn continues(&self, before: &Tally) -> bool {
        (self.store, self.lines, self.raw) == (before.store, before.lines, before.raw)
    }
}

/// Metadata of an index record, which ends a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexMeta {
    pub(crate) log_id: u64,
    pub(crate) kind: LogKind,
    /// File offset just behind the log's last block.
    pub(crate) end: u64,
    /// File offset of the index record before this one in the file, of whatever log.
    pub(crate) previous: Option<u64>,
    pub(crate) tally: Tally,
    pub(crate) position: Position,
}

/// Metadata of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meta {
    Block(BlockMeta),
    Index(IndexMeta),
}

/// A record's head, parsed and found to be whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) meta: Meta,
    /// Bytes before the payload.
    pub(crate) head_len: usize,
    pub(crate) payload_len: usize,
    pub(crate) payload_crc: u32,
}

impl Record {
    /// Bytes of the whole record.
    pub(crate) fn len(&self) -> u64 {
        (self.head_len + self.payload_len) as u64
    }
}

/// Builds the bytes of a record.
pub(crate) fn encode(meta: &Meta, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD + 128 + payload.len());
    out.extend_from_slice(&MAGIC);
    let (record_type, flags) = match meta {
        Meta::Block(block) => (TYPE_BLOCK, block.flags),
        Meta::Index(_) => (TYPE_INDEX, 0),
    };
    out.extend_from_slice(&[record_type, flags, 0, 0]);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    match meta {
        Meta::Block(block) => {
            varint::put(&mut out, block.log_id);
            out.push(block.kind.letter() as u8);
            for value in [
                block.frame_back,
                block.store,
                block.lines,
                block.raw,
                block.store_len,
                block.lines_len,
                block.raw_len,
            ] {
                varint::put(&mut out, value);
            }
            put_open(&mut out, &block.open);
            put_position(&mut out, block.position);
        }
        Meta::Index(index) => {
            varint::put(&mut out, index.log_id);
            out.push(index.kind.letter() as u8);
            varint::put(&mut out, index.end);
            varint::put(&mut out, index.previous.map_or(0, |at| at + 1));
            index.tally.put(&mut out);
            put_position(&mut out, index.position);
        }
    }
    let meta_len = (out.len() - HEAD) as u16;
    out[6..8].copy_from_slice(&meta_len.to_le_bytes());
    let crc = head_crc(&out[..16], &out[HEAD..]);
    out[16..20].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(payload);
    out
}

/// The end of an index record's payload: lets a reader that sees the end of the file find the record.
pub(crate) fn put_trailer(payload: &mut Vec<u8>, record_len: usize) {
    payload.extend_from_slice(&(record_len as u32).to_le_bytes());
    payload.extend_from_slice(&TRAILER_MAGIC);
}

/// Builds an index record: `payload` is the serialised index.
pub(crate) fn encode_index(meta: &Meta, mut payload: Vec<u8>) -> Vec<u8> {
    // The trailer holds the length of the record, which does not depend on the trailer's content.
    let without = payload.len();
    put_trailer(&mut payload, 0);
    let len = encode(meta, &payload).len();
    payload.truncate(without);
    put_trailer(&mut payload, len);
    encode(meta, &payload)
}

/// Length of the index record that ends with these bytes.
pub(crate) fn parse_trailer(bytes: [u8; TRAILER]) -> Option<u64> {
    let [a, b, c, d, magic @ ..] = bytes;
    (magic == TRAILER_MAGIC).then(|| u64::from(u32::from_le_bytes([a, b, c, d])))
}

/// Bytes of the record's head if `bytes` begins like a record; `bytes` must have [`HEAD`] bytes.
pub(crate) fn head_len(bytes: &[u8]) -> Option<usize> {
    let fixed: &[u8; HEAD] = bytes.first_chunk()?;
    let meta_len = usize::from(u16::from_le_bytes([fixed[6], fixed[7]]));
    (fixed[..4] == MAGIC && meta_len <= MAX_META).then_some(HEAD + meta_len)
}

/// Parses a head; None unless every bit of it is right.
pub(crate) fn parse(bytes: &[u8]) -> Option<Record> {
    let head_len = head_len(bytes)?;
    let bytes = bytes.get(..head_len)?;
    let fixed: &[u8; HEAD] = bytes.first_chunk()?;
    let word = |at: usize| u32::from_le_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
    if head_crc(&fixed[..16], &bytes[HEAD..]) != word(16) {
        return None;
    }
    let payload_len = word(8) as usize;
    let payload_crc = word(12);
    if payload_len > MAX_PAYLOAD {
        return None;
    }
    let mut rest = &bytes[HEAD..];
    let log_id = varint::take(&mut rest)?;
    let (&letter, after) = rest.split_first()?;
    rest = after;
    let kind = LogKind::from_letter(char::from(letter))?;
    let meta = match fixed[4] {
        TYPE_BLOCK => {
            let mut next = || varint::take(&mut rest);
            let block = BlockMeta {
                log_id,
                kind,
                flags: fixed[5],
                frame_back: next()?,
                store: next()?,
                lines: next()?,
                raw: next()?,
                store_len: next()?,
                lines_len: next()?,
                raw_len: next()?,
                open: take_open(&mut rest)?,
                position: take_position(&mut rest)?,
            };
            let sane = block.flags <= (FRAME_START | BEGIN | ENDED)
                && block.store_len <= MAX_BLOCK
                && block.lines_len <= block.store_len
                && [block.store, block.lines, block.raw, block.raw_len]
                    .iter()
                    .all(|count| *count < MAX_COUNT)
                && block.open.iter().flatten().all(|line| {
                    let store = block.store + block.store_len;
                    line.start < store && line.len <= store
                })
                && (block.flags & FRAME_START != 0) == (block.frame_back == 0)
                && (block.flags & BEGIN == 0
                    || (block.flags & FRAME_START != 0 && block.continues(&Tally::default())));
            if !sane {
                return None;
            }
            Meta::Block(block)
        }
        TYPE_INDEX => {
            let end = varint::take(&mut rest)?;
            let previous = varint::take(&mut rest)?.checked_sub(1);
            let tally = Tally::take(&mut rest)?;
            let position = take_position(&mut rest)?;
            if payload_len < TRAILER {
                return None;
            }
            Meta::Index(IndexMeta {
                log_id,
                kind,
                end,
                previous,
                tally,
                position,
            })
        }
        _ => return None,
    };
    rest.is_empty().then_some(Record {
        meta,
        head_len,
        payload_len,
        payload_crc,
    })
}

pub(crate) fn put_position(out: &mut Vec<u8>, position: Position) {
    varint::put(out, u64::from(position.ordinal));
    varint::put(out, position.offset);
}

pub(crate) fn take_position(input: &mut &[u8]) -> Option<Position> {
    Some(Position {
        ordinal: u32::try_from(varint::take(input)?).ok()?,
        offset: varint::take(input)?,
    })
}

fn head_crc(fixed: &[u8], meta: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(fixed);
    hasher.update(meta);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::{BEGIN, BlockMeta, FRAME_START, IndexMeta, Meta, encode, parse, parse_trailer, put_trailer};
    use crate::{
        LogKind, Position,
        tally::{OpenLine, Tally},
    };

    fn samples() -> Vec<Meta> {
        let mut open = [None; 4];
        open[1] = Some(OpenLine { start: 7, len: 300 });
        let block = BlockMeta {
            log_id: 1 << 52,
            kind: LogKind::Stream,
            flags: FRAME_START,
            frame_back: 0,
            store: 1 << 40,
            lines: 5,
            raw: 600,
            store_len: 70_000,
            lines_len: 800,
            raw_len: 69_000,
            open,
            position: Position::new(u32::MAX, u64::MAX),
        };
        let tally = Tally {
            store: 9,
            lines: 1,
            raw: 2,
            open,
        };
        vec![
            Meta::Block(block),
            Meta::Block(BlockMeta {
                flags: 0,
                frame_back: 12,
                kind: LogKind::Html,
                ..block
            }),
            Meta::Block(BlockMeta {
                flags: BEGIN | FRAME_START,
                store: 0,
                lines: 0,
                raw: 0,
                ..block
            }),
            Meta::Index(IndexMeta {
                log_id: 3,
                kind: LogKind::Text,
                end: 99,
                previous: Some(0),
                tally,
                position: Position::new(1, 2),
            }),
        ]
    }

    #[test]
    fn records_survive_and_every_changed_bit_is_noticed() {
        for meta in samples() {
            let payload = b"12345678payload";
            let bytes = encode(&meta, payload);
            let record = parse(&bytes).unwrap();
            assert_eq!(record.meta, meta);
            assert_eq!(record.len(), bytes.len() as u64);
            assert_eq!(&bytes[record.head_len..], payload);
            assert_eq!(record.payload_crc, crc32fast::hash(payload));
            for bit in 0..record.head_len * 8 {
                let mut bad = bytes.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(parse(&bad).is_none(), "bit {bit}");
            }
            for cut in 0..record.head_len {
                assert!(parse(&bytes[..cut]).is_none());
            }
        }
    }

    #[test]
    fn impossible_values_are_refused_even_with_a_right_checksum() {
        let Meta::Block(block) = samples()[0] else {
            unreachable!()
        };
        for bad in [
            BlockMeta { flags: 8, ..block },
            BlockMeta { flags: 0, ..block },
            BlockMeta {
                frame_back: 5,
                ..block
            },
            BlockMeta {
                flags: BEGIN | FRAME_START,
                ..block
            },
            BlockMeta {
                store_len: super::MAX_BLOCK + 1,
                ..block
            },
            BlockMeta {
                lines_len: 70_001,
                ..block
            },
            BlockMeta {
                store: u64::MAX - 5,
                ..block
            },
            BlockMeta {
                lines: u64::MAX,
                ..block
            },
            BlockMeta {
                raw: u64::MAX,
                ..block
            },
        ] {
            assert!(parse(&encode(&Meta::Block(bad), b"")).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn trailers_are_found() {
        let mut payload = Vec::new();
        put_trailer(&mut payload, 4711);
        assert_eq!(parse_trailer(payload.as_slice().try_into().unwrap()), Some(4711));
        assert_eq!(parse_trailer(*b"\0\0\0\0IMLF"), None);
    }
}
