//! Reading a log.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex},
};

use crate::{
    ContentsPage, ContentsReader, DiskFile, LineCursor, LinePage, LineStream, LogError, LogKind, LogStore,
    OpenMode, Position, RawReader, Result, Stream, contents, inline, lines,
    record::{self, IndexMeta, Meta, TRAILER},
    scan::{read_head, read_up_to, scan},
    segment::Segment,
    tally::{Index, Tally},
    walk::Gather,
};

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

/// A line that has not ended yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialLine {
    /// Its stream ([`Stream::Stdout`] in logs without streams).
    pub stream: Stream,
    /// How long it is so far.
    pub len: u64,
    /// Its last bytes, as many as were asked for.
    pub tail: Vec<u8>,
}

/// The bytes of a log.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// All entries.
    Memory(Arc<[u8]>),
    /// Blocks in a file.
    File {
        file: Arc<dyn DiskFile>,
        path: Arc<Path>,
        /// Shared with the writer; may know later blocks too.
        index: Arc<Mutex<Index>>,
        /// Just behind the last block.
        end: u64,
    },
}

impl Content {
    pub(crate) fn file(segment: &Segment, index: Index, end: u64) -> Self {
        Self::File {
            file: Arc::clone(segment.file()),
            path: segment.path().into(),
            index: Arc::new(Mutex::new(index)),
            end,
        }
    }
}

/// A log as it was at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) log_id: u64,
    pub(crate) kind: LogKind,
    pub(crate) content: Content,
    pub(crate) tally: Tally,
    pub(crate) position: Position,
    pub(crate) finished: bool,
    /// [`Options::block_bytes`](crate::Options::block_bytes): how much of an open line a walk keeps.
    pub(crate) block_bytes: usize,
}

/// Reads everything that was flushed when it was made. Cheap to clone; methods do not disturb each other.
///
/// A place in the file is reached by decompressing its frame from the beginning: at most 8 MiB, some milliseconds. What is to be
/// read in order is better streamed than asked for page by page. A stream takes a decompression context and a block, about 1.7 MB, twice that
/// if a line must be gathered from afar.
#[derive(Debug, Clone)]
pub struct LogReader(Arc<Snapshot>);

impl LogReader {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Self(Arc::new(snapshot))
    }

    /// Opens a log. One that is being written is better read through [`LiveLog::reader`](crate::LiveLog::reader), which has the
    /// writer's index; here its file is walked once. Never writes, stops at a torn tail.
    pub fn open(store: &LogStore, source: LogSource<'_>) -> Result<Self> {
        match source {
            LogSource::Inline(bytes) => {
                let log = inline::decode(bytes)?;
                Ok(Self::new(Snapshot {
                    log_id: 0,
                    kind: log.kind,
                    content: Content::Memory(log.stored.into()),
                    tally: log.tally,
                    position: log.position,
                    finished: log.finished,
                    block_bytes: store.options().block_bytes,
                }))
            }
            LogSource::File { key, log_id } => open_file(store, key, log_id).map(Self::new),
        }
    }

    /// The log's kind.
    pub fn kind(&self) -> LogKind {
        self.0.kind
    }

    /// Lines that have ended.
    pub fn num_lines(&self) -> u64 {
        self.0.tally.lines
    }

    /// Raw bytes of those lines.
    pub fn raw_bytes(&self) -> u64 {
        self.0.tally.raw
    }

    /// Whether the log is finished.
    pub fn is_finished(&self) -> bool {
        self.0.finished
    }

    /// What the log has consumed.
    pub fn position(&self) -> Position {
        self.0.position
    }

    /// Up to `count` lines from `from` on, at most about `max_bytes` of them (but always some, so that a caller who
    /// goes on at `next` gets to the end).
    pub fn lines(&self, from: LineCursor, count: u64, max_bytes: usize) -> Result<LinePage> {
        lines::page(self, from, count, max_bytes)
    }

    /// The last `count` lines; see [`LogReader::lines`].
    pub fn tail(&self, count: u64, max_bytes: usize) -> Result<LinePage> {
        self.lines(
            LineCursor::line(self.num_lines().saturating_sub(count)),
            count,
            max_bytes,
        )
    }

    /// Lines that have not ended, in the order in which they begin, with at most `max_bytes` of the end of each.
    pub fn partials(&self, max_bytes: usize) -> Result<Vec<PartialLine>> {
        let mut open: Vec<_> = Stream::ALL
            .iter()
            .filter_map(|stream| Some((self.0.tally.open[stream.code()]?, *stream)))
            .collect();
        open.sort_unstable_by_key(|(line, _)| line.start);
        let mut gather = Gather::new(&self.0);
        let mut partials = Vec::new();
        for (line, stream) in open {
            let mut tail = Vec::new();
            gather.begin(stream.code(), line, line.len.saturating_sub(max_bytes as u64))?;
            while let Some(range) = gather.next()? {
                tail.extend_from_slice(gather.bytes(range));
            }
            partials.push(PartialLine {
                stream,
                len: line.len,
                tail,
            });
        }
        Ok(partials)
    }

    /// Lines as a stream of pieces, in constant memory.
    pub fn line_stream(&self, from: LineCursor) -> Result<LineStream> {
        LineStream::new(&self.0, from)
    }

    /// The REST `contents` form of up to `count` lines as a stream of valid UTF-8, in constant memory.
    pub fn contents(&self, first: u64, count: Option<u64>) -> Result<ContentsReader> {
        ContentsReader::new(self, first, count)
    }

    /// The REST `contents` form of up to `count` lines, at most about `max_bytes` of the log.
    pub fn contents_page(
        &self,
        from: LineCursor,
        count: Option<u64>,
        max_bytes: usize,
    ) -> Result<ContentsPage> {
        contents::page(self, from, count, max_bytes)
    }

    /// The whole raw form: all lines in their order, bytes as they came, without stream letters.
    pub fn raw(&self) -> Result<RawReader> {
        self.raw_range(0, u64::MAX)
    }

    /// Bytes `start..end` of the raw form (what lies beyond its end is left out).
    pub fn raw_range(&self, start: u64, end: u64) -> Result<RawReader> {
        RawReader::new(&self.0, start, end)
    }
}

fn open_file(store: &LogStore, key: u64, log_id: u64) -> Result<Snapshot> {
    let path: Arc<Path> = store.path(key).into();
    let missing = || LogError::NoSuchLog {
        path: path.to_path_buf(),
        log_id,
    };
    let fail = |action: &'static str| {
        let path = path.to_path_buf();
        move |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => LogError::NoSuchLog { path, log_id },
            _ => LogError::Io { action, path, source },
        }
    };
    let file: Arc<dyn DiskFile> = store
        .disk()
        .open(&path, OpenMode::Read)
        .map_err(fail("open"))?
        .into();
    let marks = store.options().index_marks;
    if let Some((meta, index)) = find_index(&*file, log_id, marks).map_err(fail("read"))? {
        return Ok(Snapshot {
            log_id,
            kind: meta.kind,
            content: Content::File {
                file,
                path,
                index: Arc::new(Mutex::new(index)),
                end: meta.end,
            },
            tally: meta.tally,
            position: meta.position,
            finished: true,
            block_bytes: store.options().block_bytes,
        });
    }
    let log = scan(&*file, Some(log_id), marks)
        .map_err(fail("read"))?
        .logs
        .remove(&log_id)
        .ok_or_else(missing)?;
    Ok(Snapshot {
        log_id,
        kind: log.kind,
        content: Content::File {
            file,
            path,
            index: Arc::new(Mutex::new(log.index)),
            end: log.end,
        },
        tally: log.tally,
        position: log.position,
        finished: log.finished.is_some(),
        block_bytes: store.options().block_bytes,
    })
}

/// Looks for a log's index record from the end of the file. None if the file does not end with one (a log is still
/// written, or was when the process ended): then the file must be walked.
fn find_index(file: &dyn DiskFile, log_id: u64, marks: usize) -> io::Result<Option<(IndexMeta, Index)>> {
    let mut buf = Vec::new();
    let len = file.len()?;
    let Some(trailer_at) = len.checked_sub(TRAILER as u64) else {
        return Ok(None);
    };
    read_up_to(file, &mut buf, trailer_at, TRAILER)?;
    let last = buf.first_chunk().and_then(|bytes| record::parse_trailer(*bytes));
    let mut at = last.and_then(|record_len| len.checked_sub(record_len));
    while let Some(here) = at {
        let Some(record) = read_head(file, here, &mut buf)? else {
            return Ok(None);
        };
        let Meta::Index(meta) = record.meta else {
            return Ok(None);
        };
        if meta.log_id == log_id {
            read_up_to(file, &mut buf, here + record.head_len as u64, record.payload_len)?;
            if buf.len() != record.payload_len
                || crc32fast::hash(&buf) != record.payload_crc
                || meta.end > here
            {
                return Ok(None);
            }
            let mut rest = &buf[..buf.len() - TRAILER];
            let index = Index::take(&mut rest, marks).filter(|_| rest.is_empty());
            return Ok(index.map(|index| (meta, index)));
        }
        at = meta.previous.filter(|previous| *previous < here);
    }
    Ok(None)
}
