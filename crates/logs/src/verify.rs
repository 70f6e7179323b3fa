//! Checking a log file, for `fsck`.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use crate::{
    Disk, DiskFile, LogError, LogKind, OpenMode, Position, RealDisk, Result,
    blocks::Blocks,
    entry,
    reader::{Content, Snapshot},
    scan::{ScannedLog, find_record, scan},
    tally::Tally,
};

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
    /// Lines that have ended.
    pub num_lines: u64,
    /// Their bytes in the raw form.
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

/// Walks all records of a file: checksums, contiguity, decompression, line counts, index. Constant memory; never
/// writes.
pub fn verify(path: &Path) -> Result<VerifyReport> {
    verify_on(&RealDisk, path)
}

pub(crate) fn verify_on(disk: &dyn Disk, path: &Path) -> Result<VerifyReport> {
    let fail = |action: &'static str| {
        move |source| LogError::Io {
            action,
            path: path.to_owned(),
            source,
        }
    };
    let file: Arc<dyn DiskFile> = disk.open(path, OpenMode::Read).map_err(fail("open"))?.into();
    let len = file.len().map_err(fail("read"))?;
    let found = scan(&*file, None, 2).map_err(fail("read"))?;
    let mut report = VerifyReport {
        records: found.records,
        whole_bytes: found.whole,
        torn_bytes: len.saturating_sub(found.whole),
        logs: Vec::new(),
        findings: Vec::new(),
    };
    if let Some(why) = found.stopped
        && let Some(next) = find_record(&*file, found.whole + 1).map_err(fail("read"))?
    {
        let what = format!("damage: {why}; whole records follow from byte {next} on");
        report.findings.push(Finding {
            offset: found.whole,
            log_id: None,
            what,
        });
    }
    for (log_id, log) in found.logs {
        report.logs.push(LogSummary {
            log_id,
            kind: log.kind,
            num_lines: log.tally.lines,
            raw_bytes: log.tally.raw,
            position: log.position,
            finished: log.finished.is_some(),
        });
        let outcome = check_log(&file, path, log_id, log);
        if let Err(error) = outcome {
            let offset = if let LogError::Corrupt { offset, .. } = &error {
                *offset
            } else {
                0
            };
            report.findings.push(Finding {
                offset,
                log_id: Some(log_id),
                what: error.to_string(),
            });
        }
    }
    Ok(report)
}

/// Decompresses a log and counts everything anew.
fn check_log(file: &Arc<dyn DiskFile>, path: &Path, log_id: u64, log: ScannedLog) -> Result<()> {
    let snapshot = Arc::new(Snapshot {
        log_id,
        kind: log.kind,
        content: Content::File {
            file: Arc::clone(file),
            path: path.into(),
            index: Arc::new(Mutex::new(log.index)),
            end: log.end,
        },
        tally: log.tally,
        position: log.position,
        finished: log.finished.is_some(),
        block_bytes: 0,
    });
    let mut blocks = Blocks::new(&snapshot);
    if let Some(mark) = snapshot.locate(|tally| tally.store == 0)? {
        blocks.seek(mark)?;
    }
    let mut tally = Tally::default();
    while blocks.advance()? {
        if *blocks.before() != tally {
            return Err(snapshot.corrupt(0, "the counts of a block's head differ from its content"));
        }
        let mut rest = blocks.bytes();
        while !rest.is_empty() {
            let head = entry::parse(rest, tally.store).map_err(|what| snapshot.corrupt(0, what))?;
            if head.cont != tally.open[head.stream] {
                return Err(snapshot.corrupt(0, "an entry does not continue the line that is open"));
            }
            let (whole, after) = rest.split_at(head.own_len + head.body_len);
            entry::advance(
                &mut tally,
                head.stream,
                head.own_len,
                &whole[head.own_len..],
                head.end,
            );
            rest = after;
        }
    }
    if tally != log.tally {
        return Err(snapshot.corrupt(
            log.end,
            "the counts of the last block's head differ from its content",
        ));
    }
    Ok(())
}
