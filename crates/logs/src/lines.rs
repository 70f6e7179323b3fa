//! Lines as a stream and as pages.

use std::sync::Arc;

use memchr::memchr;

use crate::{
    LogReader, Result, Stream,
    reader::Snapshot,
    walk::{Span, Walker},
};

/// A place in a log: a byte inside a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineCursor {
    /// Line number, from 0.
    pub line: u64,
    /// Byte in that line.
    pub offset: u64,
}

impl LineCursor {
    /// The beginning of a line.
    pub const fn line(line: u64) -> Self {
        Self { line, offset: 0 }
    }
}

/// A line, or what fits of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 0.
    pub number: u64,
    /// Its stream ([`Stream::Stdout`] in logs without streams).
    pub stream: Stream,
    /// Where in the line `bytes` begins; not 0 only for the first line of a page.
    pub offset: u64,
    /// Its bytes without the newline, `\r` and invalid UTF-8 kept.
    pub bytes: Vec<u8>,
    /// Whether the line ends here; false only for the last line of a page.
    pub complete: bool,
}

/// An answer to a range of lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinePage {
    /// The lines.
    pub lines: Vec<Line>,
    /// Where to continue when `max_bytes` cut the range short; None when the range (or the log) ends here.
    pub next: Option<LineCursor>,
}

/// A piece of one line from [`LineStream`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinePiece<'a> {
    /// Line number.
    pub number: u64,
    /// Its stream.
    pub stream: Stream,
    /// Where in the line this piece begins.
    pub offset: u64,
    /// The bytes, without the newline. May be empty.
    pub bytes: &'a [u8],
    /// Whether the line ends with this piece.
    pub complete: bool,
}

/// Streams lines; see [`LogReader::line_stream`].
#[derive(Debug)]
pub struct LineStream {
    walker: Walker,
    span: Option<Span>,
    /// Bytes of the span that are handed out.
    used: usize,
    at: LineCursor,
}

impl LineStream {
    pub(crate) fn new(snapshot: &Arc<Snapshot>, from: LineCursor) -> Result<Self> {
        let walker = Walker::at_line(snapshot, from.line, from.offset)?;
        Ok(Self {
            walker,
            span: None,
            used: 0,
            at: from,
        })
    }

    /// The next piece (at most a block of the log), or None at the end.
    #[expect(
        clippy::should_implement_trait,
        reason = "lends its buffer, which Iterator cannot"
    )]
    pub fn next(&mut self) -> Result<Option<LinePiece<'_>>> {
        loop {
            let Some(span) = &self.span else {
                let Some(span) = self.walker.step()? else {
                    return Ok(None);
                };
                self.at = LineCursor {
                    line: span.line,
                    offset: span.line_offset,
                };
                self.used = 0;
                self.span = Some(span);
                continue;
            };
            let rest = &self.walker.bytes(span)[self.used..];
            let (len, skip, complete) = match memchr(b'\n', rest) {
                Some(len) => (len, 1, true),
                None => (rest.len(), 0, span.end),
            };
            let last = len + skip == rest.len();
            let (used, at) = (self.used, self.at);
            if complete {
                self.at = LineCursor::line(at.line + 1);
            } else {
                self.at.offset += len as u64;
            }
            self.used += len + skip;
            let span = span.clone();
            if last {
                self.span = None;
                // An unterminated line that ends with its span must not be handed out again for an empty rest.
            }
            if len > 0 || complete {
                return Ok(Some(LinePiece {
                    number: at.line,
                    stream: Stream::ALL[span.stream],
                    offset: at.offset,
                    bytes: &self.walker.bytes(&span)[used..used + len],
                    complete,
                }));
            }
        }
    }
}

/// See [`LogReader::lines`].
pub(crate) fn page(reader: &LogReader, from: LineCursor, count: u64, max_bytes: usize) -> Result<LinePage> {
    /// What a line costs beside its bytes, so that a million empty lines are not free.
    const LINE_COST: usize = 16;
    let end = from.line.saturating_add(count).min(reader.num_lines());
    let mut page = LinePage {
        lines: Vec::new(),
        next: None,
    };
    if from.line >= end {
        return Ok(page);
    }
    let mut room = max_bytes.max(LINE_COST);
    let mut stream = reader.line_stream(from)?;
    let mut at = from;
    while at.line < end {
        if room == 0 {
            page.next = Some(at);
            break;
        }
        let Some(piece) = stream.next()? else {
            return Err(stream.walker.cut_short());
        };
        let bytes = &piece.bytes[..piece.bytes.len().min(room)];
        let complete = piece.complete && bytes.len() == piece.bytes.len();
        room -= bytes.len();
        match page.lines.last_mut() {
            Some(line) if line.number == piece.number => {
                line.bytes.extend_from_slice(bytes);
                line.complete = complete;
            }
            _ => page.lines.push(Line {
                number: piece.number,
                stream: piece.stream,
                offset: piece.offset,
                bytes: bytes.to_vec(),
                complete,
            }),
        }
        if complete {
            room = room.saturating_sub(LINE_COST);
            at = LineCursor::line(piece.number + 1);
        } else {
            at = LineCursor {
                line: piece.number,
                offset: piece.offset + bytes.len() as u64,
            };
        }
    }
    Ok(page)
}
