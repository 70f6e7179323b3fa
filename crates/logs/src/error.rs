//! What can go wrong, told apart by what the caller must do.

use std::{io, path::PathBuf};

use crate::Position;

/// Result of this crate.
pub type Result<T, E = LogError> = std::result::Result<T, E>;

/// An error of a log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk or the quota is full. Nothing is lost: make room and call the same method again.
    #[error(
        "no space left to write log file {path}: free some space or raise the quota; the log goes on by itself"
    )]
    NoSpace {
        /// The file that could not grow.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// `fsync` failed: what the disk holds is unknown. It is never tried again; the process should exit and
    /// recover from the file.
    #[error(
        "cannot make log file {path} durable; restart after checking the disk, the log recovers from its file"
    )]
    SyncFailed {
        /// The file.
        path: PathBuf,
        /// What the system said; for calls after the first failure, that it failed before.
        #[source]
        source: io::Error,
    },
    /// Any other failure of a file operation.
    #[error("cannot {action} log file {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file holds something that this crate never writes. `fsck` lists all such places.
    #[error("log {place} is damaged at byte {offset}: {what}")]
    Corrupt {
        /// The file, or `(inline)`.
        place: String,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// The compression library refused.
    #[error("cannot compress log {log_id}")]
    Compress {
        /// The log.
        log_id: u64,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// There is no such log in the file.
    #[error("log file {path} has no log {log_id}: something other than this program has changed the file")]
    NoSuchLog {
        /// The file.
        path: PathBuf,
        /// The log that was asked for.
        log_id: u64,
    },
    /// New bytes came for a log that is finished.
    #[error("log {log_id} is finished and takes no more bytes")]
    Finished {
        /// The log.
        log_id: u64,
    },
    /// A chunk whose stored form differs from its source cannot be cut in two: drop what
    /// [`Position::consumed_of`] says before redacting it.
    #[error("chunk at {start:?} was consumed up to {reached:?} already and cannot be cut there")]
    Overlap {
        /// Start of the chunk.
        start: Position,
        /// What the log has consumed.
        reached: Position,
    },
    /// A chunk that must be stored as one is larger than [`MAX_CHUNK`](crate::MAX_CHUNK).
    #[error("chunk of {len} bytes is larger than the limit of {limit}", limit = crate::MAX_CHUNK)]
    ChunkTooLarge {
        /// Its length.
        len: usize,
    },
}

impl LogError {
    /// Whether waiting for space and calling again is the thing to do.
    pub const fn is_no_space(&self) -> bool {
        matches!(self, Self::NoSpace { .. })
    }

    /// Whether the process must not go on with this file.
    pub const fn is_fatal(&self) -> bool {
        matches!(self, Self::SyncFailed { .. })
    }

    /// Sorts a failed write or create by what the caller must do.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { path, source },
            _ => Self::Io { action, path, source },
        }
    }
}
