//! Making a log durable while more of it is being written.

use std::sync::Arc;

use crate::{Position, Result, segment::Segment};

/// What [`LogWriter::begin_sync`](crate::LogWriter::begin_sync) leaves to be done, on whatever thread. When it is done, tell the
/// writer ([`LogWriter::synced`](crate::LogWriter::synced)).
#[derive(Debug)]
pub struct PendingSync {
    pub(crate) segment: Arc<Segment>,
    pub(crate) end: u64,
    pub(crate) position: Position,
}

impl PendingSync {
    /// Makes it durable. Blocks. An error is final: see [`LogError::is_fatal`](crate::LogError::is_fatal).
    pub fn run(&self) -> Result<()> {
        self.segment.sync(self.end)
    }
}
