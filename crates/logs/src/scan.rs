//! Walking the records of a file from its beginning: what a writer does after a crash, a reader without an index, and
//! `fsck`.

use std::{collections::BTreeMap, io};

use memchr::memmem;

use crate::{
    DiskFile, LogKind, Position,
    record::{self, BEGIN, ENDED, HEAD, MAX_META, Meta, Record},
    tally::{Index, Mark, Tally},
};

/// One log as a scan found it.
#[derive(Debug, Clone)]
pub(crate) struct ScannedLog {
    pub(crate) kind: LogKind,
    pub(crate) index: Index,
    pub(crate) tally: Tally,
    pub(crate) position: Position,
    /// Its last block says that nothing follows.
    pub(crate) ended: bool,
    /// Just behind its last block.
    pub(crate) end: u64,
    /// Where its index record is, if it is finished.
    pub(crate) finished: Option<u64>,
    frame_at: u64,
}

/// Everything that a file holds up to its last whole record.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) logs: BTreeMap<u64, ScannedLog>,
    pub(crate) records: u64,
    /// Bytes of whole records.
    pub(crate) whole: u64,
    pub(crate) last_index: Option<u64>,
    /// Why it ended before the end of the file.
    pub(crate) stopped: Option<&'static str>,
}

/// Reads forward through a file in large steps.
struct Window<'a> {
    file: &'a dyn DiskFile,
    /// Length of the file.
    len: u64,
    buf: Vec<u8>,
    at: u64,
}

impl<'a> Window<'a> {
    const STEP: usize = 256 * 1024;

    fn new(file: &'a dyn DiskFile, len: u64) -> Self {
        Self {
            file,
            len,
            buf: Vec::new(),
            at: 0,
        }
    }

    /// Up to `len` bytes at `at`, fewer at the end of the file.
    fn get(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        let rest = usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX);
        let len = len.min(rest);
        let inside = at
            .checked_sub(self.at)
            .filter(|skip| skip + len as u64 <= self.buf.len() as u64);
        if inside.is_none() {
            let mut buf = std::mem::take(&mut self.buf);
            read_up_to(self.file, &mut buf, at, len.max(Self::STEP).min(rest))?;
            (self.buf, self.at) = (buf, at);
        }
        let skip = (at - self.at) as usize;
        let end = self.buf.len().min(skip + len);
        Ok(&self.buf[skip..end])
    }
}

/// Fills `buf` with up to `len` bytes at `at`.
pub(crate) fn read_up_to(file: &dyn DiskFile, buf: &mut Vec<u8>, at: u64, len: usize) -> io::Result<()> {
    buf.resize(len, 0);
    let mut filled = 0;
    while filled < len {
        match file.read_at(&mut buf[filled..], at + filled as u64)? {
            0 => break,
            n => filled += n,
        }
    }
    buf.truncate(filled);
    Ok(())
}

/// Reads the head of the record at `at`; None if there is no whole head.
pub(crate) fn read_head(file: &dyn DiskFile, at: u64, buf: &mut Vec<u8>) -> io::Result<Option<Record>> {
    // Nearly every head fits in the first read.
    read_up_to(file, buf, at, HEAD + 108)?;
    match record::head_len(buf) {
        Some(len) if len > buf.len() => read_up_to(file, buf, at, len)?,
        Some(_) => {}
        None => return Ok(None),
    }
    Ok(record::parse(buf))
}

/// Walks the file. With `only`, keeps what concerns that log.
pub(crate) fn scan(file: &dyn DiskFile, only: Option<u64>, index_marks: usize) -> io::Result<Scan> {
    let len = file.len()?;
    let mut window = Window::new(file, len);
    let mut scan = Scan::default();
    let mut at = 0;
    while at < len {
        let head = window.get(at, HEAD + MAX_META)?;
        let Some(record) = record::parse(head) else {
            scan.stopped = Some("no whole record head");
            break;
        };
        if record.len() > len - at {
            scan.stopped = Some("the record is cut short");
            break;
        }
        let payload = window.get(at + record.head_len as u64, record.payload_len)?;
        if payload.len() < record.payload_len || crc32fast::hash(payload) != record.payload_crc {
            scan.stopped = Some("the payload's checksum is wrong");
            break;
        }
        let wanted = |log_id| only.is_none_or(|only| only == log_id);
        match record.meta {
            Meta::Block(block) if wanted(block.log_id) => {
                if let Err(why) = scan.block(at, &record, &block, index_marks) {
                    scan.stopped = Some(why);
                    break;
                }
            }
            Meta::Index(index) => {
                if wanted(index.log_id) {
                    match scan.logs.get_mut(&index.log_id) {
                        Some(log)
                            if log.tally == index.tally
                                && log.position == index.position
                                && log.end == index.end =>
                        {
                            log.finished = Some(at);
                        }
                        _ => {
                            scan.stopped = Some("the index does not belong to the blocks before it");
                            break;
                        }
                    }
                }
                scan.last_index = Some(at);
            }
            Meta::Block(_) => {}
        }
        at += record.len();
        scan.records += 1;
        scan.whole = at;
    }
    Ok(scan)
}

impl Scan {
    fn block(
        &mut self,
        at: u64,
        record: &Record,
        block: &record::BlockMeta,
        index_marks: usize,
    ) -> Result<(), &'static str> {
        if block.flags & BEGIN != 0 {
            self.logs.insert(
                block.log_id,
                ScannedLog {
                    kind: block.kind,
                    index: Index::new(index_marks),
                    tally: Tally::default(),
                    position: Position::default(),
                    ended: false,
                    end: 0,
                    finished: None,
                    frame_at: at,
                },
            );
        }
        let Some(log) = self.logs.get_mut(&block.log_id) else {
            return Err("the log has no first block");
        };
        let frame_at = at
            .checked_sub(block.frame_back)
            .ok_or("the frame begins before the file")?;
        if block.frame_back == 0 {
            log.frame_at = at;
        }
        if frame_at != log.frame_at
            || block.kind != log.kind
            || !block.continues(&log.tally)
            || block.position < log.position
            || log.ended
        {
            return Err("the block does not follow on from the one before");
        }
        log.index.push(Mark {
            at,
            frame_at,
            before: log.tally,
        });
        log.tally = block.after();
        log.position = block.position;
        log.ended = block.flags & ENDED != 0;
        log.end = at + record.len();
        Ok(())
    }
}

/// Looks for a whole record head behind damage.
pub(crate) fn find_record(file: &dyn DiskFile, from: u64) -> io::Result<Option<u64>> {
    let len = file.len()?;
    let mut window = Window::new(file, len);
    let mut at = from;
    while at < len {
        let bytes = window.get(at, Window::STEP)?;
        let found: Vec<usize> = memmem::find_iter(bytes, &record::MAGIC).collect();
        let step = bytes.len().saturating_sub(record::MAGIC.len() - 1).max(1) as u64;
        for offset in found {
            let candidate = at + offset as u64;
            let whole = record::parse(window.get(candidate, HEAD + MAX_META)?)
                .is_some_and(|record| record.len() <= len - candidate);
            if whole {
                return Ok(Some(candidate));
            }
        }
        at += step;
    }
    Ok(None)
}
