//! Checking a log file, for `fsck`.

use std::path::Path;

use crate::{LogKind, Position, Result};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where in the file.
    pub offset: u64,
    /// The log it belongs to, if known.
    pub log_id: Option<u64>,
    /// What is wrong.
    pub what: String,
}

/// What a file holds of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSummary {
    /// The log.
    pub log_id: u64,
    /// Its kind.
    pub kind: LogKind,
    /// Lines.
    pub num_lines: u64,
    /// Bytes of the raw form.
    pub raw_bytes: u64,
    /// What it has consumed.
    pub position: Position,
    /// Whether it was finished.
    pub finished: bool,
}

/// The result of [`verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// Whole records.
    pub records: u64,
    /// Bytes of whole records.
    pub whole_bytes: u64,
    /// Bytes after them: a torn tail, normal after a crash until the writer opens the file again.
    pub torn_bytes: u64,
    /// All logs, by number.
    pub logs: Vec<LogSummary>,
    /// Everything that is wrong; empty for a sound file. A torn tail alone is no finding.
    pub findings: Vec<Finding>,
}

/// Walks all records of a file: checksums, contiguity, decompression, line counts, index. Constant memory; never writes.
pub fn verify(_path: &Path) -> Result<VerifyReport> {
    todo!()
}
