//! Where a log stands at a point of its stored form, and the sparse index of such points.

use crate::varint;

/// A line of one stream that has begun and not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenLine {
    /// Store offset of the entry in which it begins (after the last newline of that entry).
    pub(crate) start: u64,
    /// Its bytes so far; never 0.
    pub(crate) len: u64,
}

/// The unterminated line of each stream.
pub(crate) type OpenLines = [Option<OpenLine>; 4];

/// Counts up to a point of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Offset in the stored form: all entries, decompressed and joined.
    pub(crate) store: u64,
    /// Lines that have ended.
    pub(crate) lines: u64,
    /// Raw bytes of those lines.
    pub(crate) raw: u64,
    /// Lines that have not.
    pub(crate) open: OpenLines,
}

pub(crate) fn put_open(out: &mut Vec<u8>, open: &OpenLines) {
    let mask = open
        .iter()
        .enumerate()
        .fold(0_u8, |mask, (i, line)| mask | (u8::from(line.is_some()) << i));
    out.push(mask);
    for line in open.iter().flatten() {
        varint::put(out, line.start);
        varint::put(out, line.len);
    }
}

pub(crate) fn take_open(input: &mut &[u8]) -> Option<OpenLines> {
    let (&mask, rest) = input.split_first()?;
    *input = rest;
    if mask > 0x0f {
        return None;
    }
    let mut open = OpenLines::default();
    for (i, line) in open.iter_mut().enumerate() {
        if mask & (1 << i) != 0 {
            let (start, len) = (varint::take(input)?, varint::take(input)?);
            if len == 0 {
                return None;
            }
            *line = Some(OpenLine { start, len });
        }
    }
    Some(open)
}

impl Tally {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        for value in [self.store, self.lines, self.raw] {
            varint::put(out, value);
        }
        put_open(out, &self.open);
    }

    pub(crate) fn take(input: &mut &[u8]) -> Option<Self> {
        Some(Self {
            store: varint::take(input)?,
            lines: varint::take(input)?,
            raw: varint::take(input)?,
            open: take_open(input)?,
        })
    }
}

/// A block and what came before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// File offset of the block.
    pub(crate) at: u64,
    /// File offset of the block that begins its frame.
    pub(crate) frame_at: u64,
    /// Counts before it.
    pub(crate) before: Tally,
}

/// Marks of one log, at every block until there are too many, then at every second, fourth, … block.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    marks: Vec<Mark>,
    stride: u64,
    blocks: u64,
    limit: usize,
}

impl Index {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            marks: Vec::new(),
            stride: 1,
            blocks: 0,
            limit: limit.max(2),
        }
    }

    /// Notes the next block.
    pub(crate) fn push(&mut self, mark: Mark) {
        if self.blocks.is_multiple_of(self.stride) {
            if self.marks.len() >= self.limit {
                let mut odd = true;
                self.marks.retain(|_| {
                    odd = !odd;
                    !odd
                });
                self.stride *= 2;
            }
            if self.blocks.is_multiple_of(self.stride) {
                self.marks.push(mark);
            }
        }
        self.blocks += 1;
    }

    /// Whether each block has a mark.
    pub(crate) fn is_dense(&self) -> bool {
        self.stride == 1
    }

    /// The last mark for which `wanted` holds; it must hold for a first part of the marks and no other.
    pub(crate) fn last(&self, wanted: impl Fn(&Tally) -> bool) -> Option<Mark> {
        let after = self.marks.partition_point(|mark| wanted(&mark.before));
        self.marks.get(after.checked_sub(1)?).copied()
    }

    /// Serialises it, differences only.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        varint::put(out, self.stride);
        varint::put(out, self.blocks);
        varint::put(out, self.marks.len() as u64);
        let mut last = Mark {
            at: 0,
            frame_at: 0,
            before: Tally::default(),
        };
        for mark in &self.marks {
            varint::put(out, mark.at - last.at);
            varint::put(out, mark.frame_at - last.frame_at);
            varint::put(out, mark.before.store - last.before.store);
            varint::put(out, mark.before.lines - last.before.lines);
            varint::put(out, mark.before.raw - last.before.raw);
            put_open(out, &mark.before.open);
            last = *mark;
        }
    }

    /// Reads it back; None if it is not what [`Index::put`] writes.
    pub(crate) fn take(input: &mut &[u8], limit: usize) -> Option<Self> {
        let (stride, blocks, count) = (varint::take(input)?, varint::take(input)?, varint::take(input)?);
        // A mark takes 6 bytes at least: a count that cannot fit must not make us reserve memory.
        if !stride.is_power_of_two() || count > (input.len() / 6) as u64 || blocks.div_ceil(stride) != count {
            return None;
        }
        let mut index = Self {
            marks: Vec::with_capacity(count as usize),
            stride,
            blocks,
            limit: limit.max(2),
        };
        let mut last = Mark {
            at: 0,
            frame_at: 0,
            before: Tally::default(),
        };
        for _ in 0..count {
            last.at = last.at.checked_add(varint::take(input)?)?;
            last.frame_at = last.frame_at.checked_add(varint::take(input)?)?;
            last.before.store = last.before.store.checked_add(varint::take(input)?)?;
            last.before.lines = last.before.lines.checked_add(varint::take(input)?)?;
            last.before.raw = last.before.raw.checked_add(varint::take(input)?)?;
            last.before.open = take_open(input)?;
            if last.frame_at > last.at {
                return None;
            }
            index.marks.push(last);
        }
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::{Index, Mark, OpenLine, Tally};

    fn mark(n: u64) -> Mark {
        let mut before = Tally {
            store: n * 10,
            lines: n * 3,
            raw: n * 9,
            ..Tally::default()
        };
        if n % 3 == 1 {
            before.open[2] = Some(OpenLine {
                start: n * 10 - 5,
                len: 4,
            });
        }
        Mark {
            at: n * 7,
            frame_at: n / 4 * 28,
            before,
        }
    }

    #[test]
    fn stays_small_and_finds_the_mark_before() {
        for limit in [2, 3, 8] {
            let mut index = Index::new(limit);
            for n in 0..1000 {
                index.push(mark(n));
                assert!(index.marks.len() <= limit);
                assert_eq!(index.marks[0], mark(0), "the beginning is always marked");
                let stride = index.stride;
                for target in 0..=n {
                    let found = index.last(|t| t.lines <= target * 3).unwrap();
                    assert_eq!(
                        found,
                        mark(target / stride * stride),
                        "stride {stride}, target {target}"
                    );
                }
            }
        }
    }

    #[test]
    fn survives_serialisation() {
        let mut index = Index::new(8);
        for n in 0..100 {
            index.push(mark(n));
            let mut bytes = Vec::new();
            index.put(&mut bytes);
            let mut rest = bytes.as_slice();
            let back = Index::take(&mut rest, 8).unwrap();
            assert!(rest.is_empty());
            assert_eq!(
                (back.marks, back.stride, back.blocks),
                (index.marks.clone(), index.stride, index.blocks)
            );
            for cut in 0..bytes.len() {
                assert!(Index::take(&mut &bytes[..cut], 8).is_none());
            }
        }
    }
}
