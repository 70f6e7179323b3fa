//! The small vocabulary that writers and readers share.

use serde::{Deserialize, Serialize};

/// How far a log has consumed its source.
///
/// Opaque to this crate apart from its order (`ordinal` first, then `offset`). The caller gives it with every
/// append, each block records it, and after a crash the caller continues its source exactly there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Number of the effect in its step, in program order.
    pub ordinal: u32,
    /// Raw bytes of that effect's output that are consumed. Counts source bytes, before any redaction.
    pub offset: u64,
}

impl Position {
    /// A position from its two parts.
    pub const fn new(ordinal: u32, offset: u64) -> Self {
        Self { ordinal, offset }
    }

    /// How many of the first bytes of a chunk of `len` source bytes at `start` are consumed already when the
    /// source has been consumed up to `self`. Bytes of an earlier effect always are.
    pub fn consumed_of(self, start: Self, len: u64) -> u64 {
        match start.ordinal.cmp(&self.ordinal) {
            std::cmp::Ordering::Less => len,
            std::cmp::Ordering::Equal => self.offset.saturating_sub(start.offset).min(len),
            std::cmp::Ordering::Greater => 0,
        }
    }
}

/// What a log holds; REST v2 shows it as `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogKind {
    /// Lines of several streams (`s`): each line has a [`Stream`].
    Stream,
    /// Plain text (`t`): lines have no stream.
    Text,
    /// HTML (`h`): lines have no stream.
    Html,
}

impl LogKind {
    /// The letter that REST v2 uses.
    pub const fn letter(self) -> char {
        match self {
            Self::Stream => 's',
            Self::Text => 't',
            Self::Html => 'h',
        }
    }

    /// The kind with that letter.
    pub const fn from_letter(letter: char) -> Option<Self> {
        match letter {
            's' => Some(Self::Stream),
            't' => Some(Self::Text),
            'h' => Some(Self::Html),
            _ => None,
        }
    }

    /// Whether lines carry a stream letter in the `contents` form.
    pub const fn has_streams(self) -> bool {
        matches!(self, Self::Stream)
    }
}

/// Where a line came from, in logs of kind [`LogKind::Stream`]. Other kinds ignore it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output, `o`.
    Stdout,
    /// Standard error, `e`.
    Stderr,
    /// Written by the master about the command, `h`.
    Header,
    /// What was fed to the command, `i`.
    Stdin,
}

impl Stream {
    /// All streams, in the order of their codes in the file.
    pub const ALL: [Self; 4] = [Self::Stdout, Self::Stderr, Self::Header, Self::Stdin];

    /// The letter that REST v2 puts before each line.
    pub const fn letter(self) -> char {
        match self {
            Self::Stdout => 'o',
            Self::Stderr => 'e',
            Self::Header => 'h',
            Self::Stdin => 'i',
        }
    }

    pub(crate) const fn code(self) -> usize {
        match self {
            Self::Stdout => 0,
            Self::Stderr => 1,
            Self::Header => 2,
            Self::Stdin => 3,
        }
    }
}

/// Where the content of a log is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// Small, in memory: made durable by committing [`LogWriter::snapshot_inline`](crate::LogWriter::snapshot_inline).
    Memory,
    /// In the build's log file.
    File,
}

/// What [`LogWriter::flush`](crate::LogWriter::flush) and [`LogWriter::sync`](crate::LogWriter::sync) reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flushed {
    /// Everything of the source before this is in the log and visible to readers.
    pub position: Position,
    /// Lines that have ended so far.
    pub num_lines: u64,
    /// Whether all of it survives a power loss now. Always false for [`Place::Memory`]: there it is the
    /// caller's commit of the snapshot that makes it durable.
    pub durable: bool,
    /// Where the content is.
    pub place: Place,
}

/// Options of a [`LogStore`](crate::LogStore). The defaults are measured; tests make them small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// A log with at most this many stored bytes stays in memory and travels in the database row.
    pub inline_limit: usize,
    /// Unflushed bytes at which a block is written without being asked.
    pub block_bytes: usize,
    /// Stored bytes after which a new compression frame begins: the most that a random read must decompress
    /// before the place it wants.
    pub frame_bytes: u64,
    /// zstd level.
    pub level: i32,
    /// zstd window (log2 of bytes): memory per open log and per reader.
    pub window_log: u32,
    /// Marks that an index may have before it drops every second one.
    pub index_marks: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            inline_limit: 16 * 1024,
            block_bytes: 64 * 1024,
            frame_bytes: 8 * 1024 * 1024,
            // Measured on 100 MB of several kinds of log lines: level 3 stores a tenth to a quarter less than 1 and
            // takes about the same time. Logs that repeat some thousand different lines take a quarter less than in half
            // this window; larger ones take megabytes and gain little.
            level: 3,
            window_log: 20,
            index_marks: 1024,
        }
    }
}
