//! Writing a log.

use crate::{Flushed, LiveLog, LogKind, LogStore, Position, Result, Stream};

/// The serialised form of a small log, for its database row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlineLog {
    /// Opaque, checksummed, versioned; what [`LogWriter::resume`] and [`LogReader`](crate::LogReader) take.
    pub bytes: Vec<u8>,
    /// Lines in it.
    pub num_lines: u64,
    /// Bytes of its raw form.
    pub raw_bytes: u64,
    /// What it has consumed.
    pub position: Position,
}

/// Where a finished log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FinishedStorage {
    /// To be kept in the database row.
    Inline(Vec<u8>),
    /// In the build's file, durable.
    File,
}

/// What a finished log came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedLog {
    /// Where it is.
    pub storage: FinishedStorage,
    /// Lines, an unterminated last one included.
    pub num_lines: u64,
    /// Bytes of its raw form.
    pub raw_bytes: u64,
    /// What it has consumed.
    pub position: Position,
}

/// What [`LogWriter::resume`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resumed {
    /// Continue the source here. Durable: it may be acknowledged.
    pub position: Position,
    /// Lines that have ended.
    pub num_lines: u64,
    /// Bytes of torn tail cut from the build's file by this call.
    pub cut_bytes: u64,
    /// Whether the log was finished before the crash.
    pub finished: bool,
}

/// The writing end of one log. It starts in memory and moves to the build's file when it grows.
///
/// After [`LogError::NoSpace`](crate::LogError::NoSpace) call the same method with the same arguments again: what was taken already is
/// dropped by its position. Dropping the writer loses what was not flushed, as a crash does.
#[derive(Debug)]
pub struct LogWriter(());

impl LogWriter {
    /// A new, empty log. Touches no file before it outgrows [`Options::inline_limit`](crate::Options::inline_limit).
    pub fn create(_store: &LogStore, _file_key: u64, _log_id: u64, _kind: LogKind) -> Self {
        todo!()
    }

    /// Takes up a log after a restart, from the newest committed snapshot (`inline`) or the build's file, whichever
    /// reaches further; a new log if there is neither. Cuts a torn tail of the file.
    pub fn resume(
        _store: &LogStore,
        _file_key: u64,
        _log_id: u64,
        _kind: LogKind,
        _inline: Option<&[u8]>,
    ) -> Result<(Self, Resumed)> {
        todo!()
    }

    /// Appends bytes of a stream, stored as they are: `bytes[i]` is source byte `start.offset + i`. What lies
    /// before [`LogWriter::accepted`] is dropped, so sending again is harmless.
    pub fn append(&mut self, _start: Position, _stream: Stream, _bytes: &[u8]) -> Result<()> {
        todo!()
    }

    /// Appends bytes that stand for `consumed` source bytes from `start` on, but need not be equal to them
    /// (redacted, or decoded). Stored in one block, whole or not at all.
    pub fn append_as(
        &mut self,
        _start: Position,
        _consumed: u64,
        _stream: Stream,
        _bytes: &[u8],
    ) -> Result<()> {
        todo!()
    }

    /// Ends the unterminated lines of all streams (a command has ended; what follows belongs to a new line) and
    /// brings the log to `at`. Does nothing if the log was there before.
    pub fn end_lines(&mut self, _at: Position) -> Result<()> {
        todo!()
    }

    /// Makes everything appended visible to readers, in the file as one block.
    pub fn flush(&mut self) -> Result<Flushed> {
        todo!()
    }

    /// [`LogWriter::flush`], then `fdatasync` of the file; calls for logs of one file share it.
    pub fn sync(&mut self) -> Result<Flushed> {
        todo!()
    }

    /// Ends the log: an unterminated last line becomes a line, a file gets the log's index and is durable. May be called
    /// again, after an error or a restart.
    pub fn finish(&mut self) -> Result<FinishedLog> {
        todo!()
    }

    /// Flushes; the serialised form if the log is (still) in memory, to be committed with the database row. None for
    /// a log in the file.
    pub fn snapshot_inline(&mut self) -> Result<Option<InlineLog>> {
        todo!()
    }

    /// Gives the compression context back to the store's pool (a log that has been silent for a while). The next
    /// block begins a new frame.
    pub fn rest(&mut self) -> Result<()> {
        todo!()
    }

    /// What is flushed: after a restart, where the source continues.
    pub fn position(&self) -> Position {
        todo!()
    }

    /// What was taken by `append`, flushed or not.
    pub fn accepted(&self) -> Position {
        todo!()
    }

    /// What is known to survive a power loss (see [`Flushed::durable`]).
    pub fn durable(&self) -> Position {
        todo!()
    }

    /// Lines that have ended and are flushed.
    pub fn num_lines(&self) -> u64 {
        todo!()
    }

    /// Whether it is finished.
    pub fn is_finished(&self) -> bool {
        todo!()
    }

    /// The log's number.
    pub fn log_id(&self) -> u64 {
        todo!()
    }

    /// The log's kind.
    pub fn kind(&self) -> LogKind {
        todo!()
    }

    /// A view for readers that follows this writer.
    pub fn live(&self) -> LiveLog {
        todo!()
    }
}
