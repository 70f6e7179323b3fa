//! A view of a log that is still written.

use std::sync::Arc;

use crate::{LogKind, LogReader};

/// Follows a [`LogWriter`](crate::LogWriter): cheap to clone, takes a short lock, never waits for the disk. Stays valid after the
/// writer is finished or gone.
#[derive(Debug, Clone)]
pub struct LiveLog(#[expect(dead_code, reason = "interface first")] Arc<()>);

impl LiveLog {
    /// The log's number.
    pub fn log_id(&self) -> u64 {
        todo!()
    }

    /// The log's kind.
    pub fn kind(&self) -> LogKind {
        todo!()
    }

    /// Lines that have ended and are flushed.
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

    /// A reader of everything flushed up to now.
    pub fn reader(&self) -> LogReader {
        todo!()
    }
}
