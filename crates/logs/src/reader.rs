//! Reading a log.

use std::io;

use crate::{LogKind, LogStore, Position, Result, Stream};

/// Where a log is, as its database row says.
#[derive(Debug, Clone, Copy)]
pub enum LogSource<'a> {
    /// In the row.
    Inline(&'a [u8]),
    /// In the build's file.
    File {
        /// The file.
        key: u64,
        /// The log.
        log_id: u64,
    },
}

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
    /// The bytes, without the newline.
    pub bytes: &'a [u8],
    /// Whether the line ends with this piece.
    pub complete: bool,
}

/// A line that has not ended yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialLine {
    /// Its stream.
    pub stream: Stream,
    /// How long it is so far.
    pub len: u64,
    /// Its last bytes, as many as were asked for.
    pub tail: Vec<u8>,
}

/// A part of the REST `contents` form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentsPage {
    /// Lines with stream letter (kind `s` only) and `\n`; invalid UTF-8 replaced.
    pub text: String,
    /// Where to continue when `max_bytes` cut the range short.
    pub next: Option<LineCursor>,
}

/// Reads everything that was flushed when it was made. Cheap to clone; methods do not disturb each other.
#[derive(Debug, Clone)]
pub struct LogReader(());

impl LogReader {
    /// Opens a log that no writer of this process has open; for those see [`LiveLog::reader`](crate::LiveLog::reader). Never writes, stops at a
    /// torn tail.
    pub fn open(_store: &LogStore, _source: LogSource<'_>) -> Result<Self> {
        todo!()
    }

    /// The log's kind.
    pub fn kind(&self) -> LogKind {
        todo!()
    }

    /// Lines that have ended.
    pub fn num_lines(&self) -> u64 {
        todo!()
    }

    /// Raw bytes of those lines.
    pub fn raw_bytes(&self) -> u64 {
        todo!()
    }

    /// Whether the log is finished.
    pub fn is_finished(&self) -> bool {
        todo!()
    }

    /// What the log has consumed.
    pub fn position(&self) -> Position {
        todo!()
    }

    /// Up to `count` lines from `from` on, at most about `max_bytes` of them (at least one byte, so that a caller
    /// who goes on at `next` always gets to the end).
    pub fn lines(&self, _from: LineCursor, _count: u64, _max_bytes: usize) -> Result<LinePage> {
        todo!()
    }

    /// The last `count` lines.
    pub fn tail(&self, _count: u64, _max_bytes: usize) -> Result<LinePage> {
        todo!()
    }

    /// Lines that have not ended, with at most `max_bytes` of the end of each.
    pub fn partials(&self, _max_bytes: usize) -> Result<Vec<PartialLine>> {
        todo!()
    }

    /// Lines as a stream of pieces, in constant memory.
    pub fn line_stream(&self, _from: LineCursor) -> Result<LineStream> {
        todo!()
    }

    /// The REST `contents` form of up to `count` lines as a stream of valid UTF-8, in constant memory.
    pub fn contents(&self, _first: u64, _count: Option<u64>) -> Result<ContentsReader> {
        todo!()
    }

    /// The REST `contents` form of up to `count` lines, at most about `max_bytes` of it.
    pub fn contents_page(
        &self,
        _from: LineCursor,
        _count: Option<u64>,
        _max_bytes: usize,
    ) -> Result<ContentsPage> {
        todo!()
    }

    /// The whole raw form: all lines in their order, bytes as they came, stream letters removed.
    pub fn raw(&self) -> Result<RawReader> {
        todo!()
    }

    /// Bytes `start..end` of the raw form (what lies beyond its end is left out).
    pub fn raw_range(&self, _start: u64, _end: u64) -> Result<RawReader> {
        todo!()
    }
}

/// Streams lines; see [`LogReader::line_stream`].
#[derive(Debug)]
pub struct LineStream(());

impl LineStream {
    /// The next piece (at most a block), or None at the end.
    #[expect(
        clippy::should_implement_trait,
        reason = "lends its buffer, which Iterator cannot"
    )]
    pub fn next(&mut self) -> Result<Option<LinePiece<'_>>> {
        todo!()
    }
}

/// Streams the raw form; see [`LogReader::raw`]. Errors are [`LogError`](crate::LogError)s inside [`io::Error`].
#[derive(Debug)]
pub struct RawReader(());

impl RawReader {
    /// The next bytes without copying them; empty at the end.
    pub fn chunk(&mut self) -> Result<&[u8]> {
        todo!()
    }
}

impl io::Read for RawReader {
    fn read(&mut self, _buf: &mut [u8]) -> io::Result<usize> {
        todo!()
    }
}

/// Streams the REST `contents` form; see [`LogReader::contents`].
#[derive(Debug)]
pub struct ContentsReader(());

impl ContentsReader {
    /// The next piece of text; empty at the end.
    pub fn chunk(&mut self) -> Result<&str> {
        todo!()
    }
}

impl io::Read for ContentsReader {
    fn read(&mut self, _buf: &mut [u8]) -> io::Result<usize> {
        todo!()
    }
}
