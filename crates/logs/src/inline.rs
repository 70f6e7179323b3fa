//! The serialised form of a small log, as its database row carries it.

use crate::{
    LogError, LogKind, Position, Result, entry,
    record::{put_position, take_position},
    tally::Tally,
    varint,
};

const MAGIC: &[u8; 3] = b"IL1";
const FINISHED: u8 = 1;
const PACKED: u8 = 2;
/// Upper limit of the stored bytes of an inline log.
const MAX_LEN: u64 = 1024 * 1024;
/// Below this compression gains some bytes of a row, and takes longer than all else that is done for a small log.
const PACK_FROM: usize = 512;

/// The serialised form of a small log, for its database row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlineLog {
    /// Opaque, checksummed, versioned; what [`LogWriter::resume`](crate::LogWriter::resume) and
    /// [`LogReader::open`](crate::LogReader::open) take.
    pub bytes: Vec<u8>,
    /// Lines in it.
    pub num_lines: u64,
    /// Bytes of its raw form.
    pub raw_bytes: u64,
    /// What it has consumed.
    pub position: Position,
}

/// An inline log, read back.
#[derive(Debug, Clone)]
pub(crate) struct Restored {
    pub(crate) kind: LogKind,
    pub(crate) finished: bool,
    pub(crate) position: Position,
    pub(crate) tally: Tally,
    /// Its entries.
    pub(crate) stored: Vec<u8>,
}

/// Serialises it.
pub(crate) fn encode(kind: LogKind, finished: bool, position: Position, stored: &[u8]) -> Vec<u8> {
    let packed = (stored.len() >= PACK_FROM)
        .then(|| zstd::bulk::compress(stored, 3).ok())
        .flatten()
        .filter(|packed| packed.len() < stored.len());
    let mut out = Vec::with_capacity(32 + packed.as_ref().map_or(stored.len(), Vec::len));
    out.extend_from_slice(MAGIC);
    out.push((u8::from(finished) * FINISHED) | (u8::from(packed.is_some()) * PACKED));
    out.push(kind.letter() as u8);
    put_position(&mut out, position);
    varint::put(&mut out, stored.len() as u64);
    out.extend_from_slice(packed.as_deref().unwrap_or(stored));
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// Reads it back; everything is checked, lines are counted anew.
pub(crate) fn decode(bytes: &[u8]) -> Result<Restored> {
    parse(bytes).map_err(|what| LogError::Corrupt {
        place: "(inline)".to_owned(),
        offset: 0,
        what,
    })
}

fn parse(bytes: &[u8]) -> Result<Restored, &'static str> {
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or("it is cut short")?;
    if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
        return Err("its checksum is wrong");
    }
    let rest = body
        .strip_prefix(MAGIC)
        .ok_or("it does not begin as inline logs do")?;
    let (&[flags, letter], mut rest) = rest.split_first_chunk::<2>().ok_or("it is cut short")?;
    if flags > (FINISHED | PACKED) {
        return Err("it has unknown flags");
    }
    let kind = LogKind::from_letter(char::from(letter)).ok_or("its kind is unknown")?;
    let position = take_position(&mut rest).ok_or("its position is malformed")?;
    let len = varint::take(&mut rest)
        .filter(|len| *len <= MAX_LEN)
        .ok_or("its length is malformed")? as usize;
    let stored = if flags & PACKED == 0 {
        rest.to_vec()
    } else {
        zstd::bulk::decompress(rest, len).map_err(|_| "it does not decompress")?
    };
    if stored.len() != len {
        return Err("its length is wrong");
    }
    let tally = count(&stored)?;
    Ok(Restored {
        kind,
        finished: flags & FINISHED != 0,
        position,
        tally,
        stored,
    })
}

/// Counts entries from the beginning of a log, checking each.
fn count(stored: &[u8]) -> Result<Tally, &'static str> {
    let mut tally = Tally::default();
    let mut rest = stored;
    while !rest.is_empty() {
        let head = entry::parse(rest, tally.store)?;
        if head.cont != tally.open[head.stream] {
            return Err("an entry does not continue the line that is open");
        }
        let (whole, after) = rest.split_at(head.own_len + head.body_len);
        entry::advance(
            &mut tally,
            head.stream,
            head.own_len,
            &whole[head.own_len..],
            head.end,
        );
        rest = after;
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};
    use crate::{LogKind, Position, entry::Pending, tally::Tally};

    #[test]
    fn survives_and_notices_every_changed_byte() {
        for lines in [0, 1, 50] {
            let mut pending = Pending::default();
            for n in 0..lines {
                pending.push(n % 3, format!("line {n}\nrest").as_bytes());
            }
            let mut stored = Vec::new();
            let mut tally = Tally::default();
            let done: Result<(), std::convert::Infallible> = pending.encode(&mut tally, |part| {
                stored.extend_from_slice(part);
                Ok(())
            });
            done.unwrap();
            let position = Position::new(3, 1 << 40);
            let bytes = encode(LogKind::Stream, lines == 1, position, &stored);
            assert!(bytes.len() <= stored.len() + 24);
            let back = decode(&bytes).unwrap();
            assert_eq!(
                (back.kind, back.finished, back.position),
                (LogKind::Stream, lines == 1, position)
            );
            assert_eq!((back.tally, back.stored), (tally, stored));
            for at in 0..bytes.len() {
                let mut bad = bytes.clone();
                bad[at] ^= 0x41;
                assert!(decode(&bad).is_err());
                assert!(decode(&bytes[..at]).is_err());
            }
        }
    }

    #[test]
    fn malformed_entries_are_refused_behind_a_right_checksum() {
        for bad in [
            b"\x04\x01\x00\x01a".as_slice(),
            b"\x00\x05a",
            b"\xff",
            b"\x00\x01a\x00\x01b",
        ] {
            let bytes = encode(LogKind::Text, false, Position::default(), bad);
            assert!(decode(&bytes).is_err(), "{bad:?}");
        }
    }
}
