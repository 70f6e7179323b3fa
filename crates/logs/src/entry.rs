//! The stored form of a log: entries, each some bytes of one stream.
//!
//! An entry is a tag (stream, [`CONT`], [`END`]), the length of its bytes, and, if its first bytes continue a line that an
//! earlier entry of the stream left open, where that line begins and how long it is so far. So a reader that comes
//! in anywhere knows for each line that ends where its first part is, however much of other streams lies between.

use memchr::{memchr_iter, memrchr};

use crate::{
    tally::{OpenLine, Tally},
    varint,
};

/// The entry begins inside an open line.
const CONT: u8 = 4;
/// The last line of the entry ends here although it has no newline: the log's last line.
const END: u8 = 8;

/// Longest head of an entry.
pub(crate) const MAX_HEAD: usize = 1 + 5 + 10 + 10;

/// The head of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) stream: usize,
    pub(crate) cont: Option<OpenLine>,
    pub(crate) end: bool,
    /// Bytes of the head.
    pub(crate) own_len: usize,
    /// Bytes after it.
    pub(crate) body_len: usize,
}

/// Number of newlines.
pub(crate) fn newlines(bytes: &[u8]) -> u64 {
    memchr_iter(b'\n', bytes).count() as u64
}

/// Writes the head of the entry that holds `body`, and counts head and body.
pub(crate) fn put_head(out: &mut Vec<u8>, tally: &mut Tally, stream: usize, body: &[u8], end: bool) {
    let before = out.len();
    let cont = tally.open[stream];
    out.push(stream as u8 | if cont.is_some() { CONT } else { 0 } | if end { END } else { 0 });
    varint::put(out, body.len() as u64);
    if let Some(line) = cont {
        varint::put(out, tally.store - line.start);
        varint::put(out, line.len);
    }
    let head_len = out.len() - before;
    advance(tally, stream, head_len, body, end);
}

/// Counts an entry of which the head is right.
pub(crate) fn advance(tally: &mut Tally, stream: usize, head_len: usize, body: &[u8], end: bool) {
    let start = tally.store;
    let prior = tally.open[stream];
    tally.store += (head_len + body.len()) as u64;
    tally.lines += newlines(body) + u64::from(end);
    let prior_len = prior.map_or(0, |line| line.len);
    let ended = if end {
        Some(body.len())
    } else {
        memrchr(b'\n', body).map(|last| last + 1)
    };
    tally.open[stream] = match ended {
        Some(ended) => {
            // Saturating, because a malformed file may claim any length; its counts are found wrong afterwards.
            tally.raw = tally.raw.saturating_add(prior_len.saturating_add(ended as u64));
            let rest = (body.len() - ended) as u64;
            (rest > 0).then_some(OpenLine { start, len: rest })
        }
        None if body.is_empty() => prior,
        None => Some(OpenLine {
            start: prior.map_or(start, |line| line.start),
            len: prior_len.saturating_add(body.len() as u64),
        }),
    };
}

/// Reads the head at the beginning of `input`, which lies at store offset `store`; the body is known to follow.
pub(crate) fn parse(input: &[u8], store: u64) -> Result<Head, &'static str> {
    let mut rest = input;
    let (&tag, after) = rest.split_first().ok_or("an entry is missing")?;
    rest = after;
    if tag > 0x0f {
        return Err("an entry has an unknown tag");
    }
    let body_len = varint::take(&mut rest).ok_or("the length of an entry is malformed")?;
    let cont = if tag & CONT == 0 {
        None
    } else {
        let back = varint::take(&mut rest);
        let len = varint::take(&mut rest);
        match (back.and_then(|back| store.checked_sub(back)), len) {
            (Some(start), Some(len)) if start < store && 0 < len && len <= store => {
                Some(OpenLine { start, len })
            }
            _ => return Err("an entry continues a line that cannot be"),
        }
    };
    let own_len = input.len() - rest.len();
    if body_len > rest.len() as u64 {
        return Err("an entry is longer than its block");
    }
    let body_len = body_len as usize;
    let end = tag & END != 0;
    if body_len == 0 && !(end && cont.is_some()) {
        return Err("an entry is empty");
    }
    if end && rest[..body_len].ends_with(b"\n") {
        return Err("the unterminated last line has a newline");
    }
    Ok(Head {
        stream: usize::from(tag & 3),
        cont,
        end,
        own_len,
        body_len,
    })
}

/// Bytes of several streams that wait for their block.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    bytes: Vec<u8>,
    runs: Vec<Run>,
}

#[derive(Debug)]
struct Run {
    len: u32,
    stream: u8,
    end: bool,
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// About what it will take in the stored form.
    pub(crate) fn cost(&self) -> usize {
        self.bytes.len() + self.runs.len() * 4
    }

    /// What it will take in the stored form at most.
    pub(crate) fn most(&self) -> usize {
        self.bytes.len() + self.runs.len() * MAX_HEAD
    }

    pub(crate) fn push(&mut self, stream: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.bytes.extend_from_slice(bytes);
        match self.runs.last_mut() {
            Some(run) if usize::from(run.stream) == stream && !run.end => run.len += bytes.len() as u32,
            _ => self.runs.push(Run {
                len: bytes.len() as u32,
                stream: stream as u8,
                end: false,
            }),
        }
    }

    /// Ends the open line of that stream, the log's last one.
    pub(crate) fn push_end(&mut self, stream: usize) {
        match self.runs.last_mut() {
            Some(run) if usize::from(run.stream) == stream => run.end = true,
            _ => self.runs.push(Run {
                len: 0,
                stream: stream as u8,
                end: true,
            }),
        }
    }

    /// Hands the stored form to `sink` piece by piece and counts it.
    pub(crate) fn encode<E>(
        &self,
        tally: &mut Tally,
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = self.bytes.as_slice();
        let mut head = Vec::with_capacity(MAX_HEAD);
        for run in &self.runs {
            let (body, after) = rest.split_at(run.len as usize);
            rest = after;
            head.clear();
            put_head(&mut head, tally, usize::from(run.stream), body, run.end);
            sink(&head)?;
            sink(body)?;
        }
        Ok(())
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.runs.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::{Pending, parse};
    use crate::tally::{OpenLine, Tally};

    #[test]
    fn interleaved_partial_lines_are_counted_and_read_back() {
        let mut pending = Pending::default();
        pending.push(0, b"ab");
        pending.push(1, b"x\n");
        pending.push(0, b"c");
        pending.push(1, b"y\nz");
        pending.push(0, b"\nd");
        pending.push(0, b"e");
        pending.push(1, b"\n");
        pending.push_end(0);
        let mut tally = Tally::default();
        let mut stored = Vec::new();
        let Ok(()) = pending.encode::<Infallible>(&mut tally, |part| {
            stored.extend_from_slice(part);
            Ok(())
        });
        assert_eq!(tally.store, stored.len() as u64);
        assert_eq!((tally.lines, tally.raw, tally.open), (5, 12, [None; 4]));

        let mut at = 0;
        let mut heads = Vec::new();
        let mut bodies = Vec::new();
        while at < stored.len() {
            let head = parse(&stored[at..], at as u64).unwrap();
            bodies.push(&stored[at + head.own_len..][..head.body_len]);
            at += head.own_len + head.body_len;
            heads.push((head.stream, head.cont, head.end));
        }
        let line = |start, len| Some(OpenLine { start, len });
        assert_eq!(
            heads,
            [
                (0, None, false),
                (1, None, false),
                (0, line(0, 2), false),
                (1, None, false),
                (0, line(0, 3), false),
                (1, line(13, 1), false),
                (0, line(18, 2), true),
            ]
        );
        assert_eq!(
            bodies,
            [b"ab".as_slice(), b"x\n", b"c", b"y\nz", b"\nde", b"\n", b""]
        );
    }

    #[test]
    fn malformed_heads_are_refused() {
        for bad in [
            b"".as_slice(),
            b"\x10\x01a",
            b"\x00\x00",
            b"\x00\x02a",
            b"\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01a",
            b"\x04\x01\x00\x01a",
            b"\x04\x01\x01\x00a",
            b"\x04\x01\x09\x01a",
            b"\x04\x01\x01\x09a",
            b"\x08\x01\n",
            b"\x08\x00",
        ] {
            assert!(parse(bad, 5).is_err(), "{bad:?}");
        }
        assert!(parse(b"\x04\x01\x01\x04a", 5).is_ok());
    }
}
