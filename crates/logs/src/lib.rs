//! Log segments: blocks, line index, live tail, range reads.
//!
//! One file holds all logs of a build (small logs stay in memory and travel in the database row). A
//! [`LogWriter`] appends bytes of several streams together with the source [`Position`] they bring the log to;
//! [`LogWriter::flush`] makes them visible as one block, [`LogWriter::sync`] durable. After a crash
//! [`LogWriter::resume`] cuts a torn tail and says where the source must continue; bytes that are sent again
//! are dropped. A [`LiveLog`] gives readers of a log that is still written, a [`LogReader`] reads lines, byte
//! ranges or the whole in constant memory.
//!
//! The API blocks (plain `std::fs`): call it from blocking threads. The file format is in `docs/logs-format.md`.

mod blocks;
mod codec;
mod contents;
mod disk;
mod entry;
mod error;
mod inline;
mod lines;
mod live;
mod raw;
mod reader;
mod record;
mod scan;
mod segment;
mod store;
mod sync;
mod tally;
mod types;
mod varint;
mod verify;
mod walk;
mod writer;

pub use contents::{ContentsPage, ContentsReader};
pub use disk::{Disk, DiskFile, OpenMode, RealDisk};
pub use error::{LogError, Result};
pub use inline::InlineLog;
pub use lines::{Line, LineCursor, LinePage, LinePiece, LineStream};
pub use live::LiveLog;
pub use raw::RawReader;
pub use reader::{LogReader, LogSource, PartialLine};
pub use store::LogStore;
pub use sync::PendingSync;
pub use types::{Flushed, LogKind, Options, Place, Position, Stream};
pub use verify::{Finding, LogSummary, VerifyReport, verify};
pub use writer::{FinishedLog, FinishedStorage, LogWriter, Resumed};

/// Largest chunk that [`LogWriter::append_as`] takes: such a chunk is stored in one block.
pub const MAX_CHUNK: usize = 1024 * 1024;
