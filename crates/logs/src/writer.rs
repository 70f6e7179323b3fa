//! Writing a log.

use std::{io, sync::Arc};

use crate::{
    Flushed, InlineLog, LiveLog, LogError, LogKind, LogStore, MAX_CHUNK, OpenMode, PendingSync, Place,
    Position, Result, Stream,
    codec::FrameEncoder,
    entry::{MAX_HEAD, Pending},
    inline,
    live::Shared,
    reader::Content,
    record::{self, BEGIN, BlockMeta, ENDED, FRAME_START, IndexMeta, Meta},
    scan::ScannedLog,
    segment::Segment,
    tally::{Mark, Tally},
};

/// Lines that may be open at once: one of each stream.
const OPEN_MAX: usize = 3;

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
    /// Bytes of torn tail cut from the build's file by this call (the first one that opens the file).
    pub cut_bytes: u64,
    /// Whether the log was finished before the crash.
    pub finished: bool,
}

/// The writing end of one log. It starts in memory and moves to the build's file when it grows.
///
/// After [`LogError::NoSpace`] call the same method with the same arguments again: what was taken already is dropped
/// by its position. Dropping the writer loses what was not flushed, as a crash does.
///
/// Memory, whatever the length of the log or its lines: in memory up to the inline limit and a block; in the file two
/// blocks (128 KiB), the index (at most 140 KB) and, while a frame is open, a compression context (2.7 MB, see
/// [`LogWriter::rest`]).
#[derive(Debug)]
pub struct LogWriter {
    store: LogStore,
    file_key: u64,
    log_id: u64,
    kind: LogKind,
    pending: Pending,
    accepted: Position,
    /// Counts of all that is encoded, whether it has reached memory, file or only a staged block.
    tally: Tally,
    target: Target,
    shared: Arc<Shared>,
    durable: Position,
    state: State,
}

#[derive(Debug)]
enum Target {
    /// The entries so far.
    Memory(Vec<u8>),
    File(Box<FileEnd>),
}

#[derive(Debug)]
struct FileEnd {
    segment: Arc<Segment>,
    /// Present while a frame is open.
    encoder: Option<FrameEncoder>,
    frame_at: u64,
    frame_store: u64,
    /// A compressed block that is not in the file yet: the frame cannot go back, so it waits for space.
    staged: Option<Staged>,
    /// Just behind the last record.
    end: u64,
    /// As far as that this writer has made it durable.
    synced: u64,
    /// The buffer of the last block, for the next one.
    spare: Vec<u8>,
}

#[derive(Debug)]
struct Staged {
    payload: Vec<u8>,
    flags: u8,
    before: Tally,
    after: Tally,
    position: Position,
}

#[derive(Debug)]
enum State {
    Open,
    /// The last line is ended; the index may be written.
    Ended {
        index: bool,
    },
    Finished(FinishedLog),
}

impl LogWriter {
    /// A new, empty log. Touches no file before it outgrows
    /// [`Options::inline_limit`](crate::Options::inline_limit). The number must be new in the file.
    pub fn create(store: &LogStore, file_key: u64, log_id: u64, kind: LogKind) -> Self {
        let content = Content::Memory(Arc::new([]));
        let (tally, start) = (Tally::default(), Position::default());
        Self {
            store: store.clone(),
            file_key,
            log_id,
            kind,
            pending: Pending::default(),
            accepted: start,
            tally,
            target: Target::Memory(Vec::new()),
            shared: Arc::new(Shared::new(
                log_id,
                kind,
                store.options().block_bytes,
                content,
                tally,
                start,
            )),
            durable: start,
            state: State::Open,
        }
    }

    /// Takes up a log after a restart, from the newest committed snapshot (`inline`) or the build's file, whichever
    /// reaches further; a new log if there is neither. Cuts a torn tail of the file and makes the rest durable.
    pub fn resume(
        store: &LogStore,
        file_key: u64,
        log_id: u64,
        kind: LogKind,
        inline: Option<&[u8]>,
    ) -> Result<(Self, Resumed)> {
        let mut writer = Self::create(store, file_key, log_id, kind);
        let inline = inline.map(inline::decode).transpose()?;
        let segment = store.segment(file_key, OpenMode::Write)?;
        let cut_bytes = segment.as_ref().map_or(0, |segment| segment.take_cut());
        let found = match segment {
            Some(segment) => segment.find(log_id)?.map(|found| (found, segment)),
            None => None,
        };
        match (found, inline) {
            (Some((found, segment)), inline)
                if inline
                    .as_ref()
                    .is_none_or(|inline| inline.position <= found.position) =>
            {
                writer.resume_file(found, segment)?;
            }
            (_, Some(inline)) => {
                writer.kind = inline.kind;
                writer.accepted = inline.position;
                writer.tally = inline.tally;
                let content = Content::Memory(inline.stored.as_slice().into());
                writer.shared = Arc::new(Shared::new(
                    log_id,
                    inline.kind,
                    store.options().block_bytes,
                    content,
                    inline.tally,
                    inline.position,
                ));
                writer.target = Target::Memory(inline.stored);
                if inline.finished {
                    writer.state = State::Ended { index: false };
                    writer.finish()?;
                }
            }
            _ => {}
        }
        writer.durable = writer.accepted;
        let resumed = Resumed {
            position: writer.accepted,
            num_lines: writer.tally.lines,
            cut_bytes,
            finished: writer.is_finished(),
        };
        Ok((writer, resumed))
    }

    fn resume_file(&mut self, found: ScannedLog, segment: Arc<Segment>) -> Result<()> {
        segment.sync(found.end)?;
        self.kind = found.kind;
        self.accepted = found.position;
        self.tally = found.tally;
        let content = Content::file(&segment, found.index, found.end);
        self.shared = Arc::new(Shared::new(
            self.log_id,
            found.kind,
            self.store.options().block_bytes,
            content,
            found.tally,
            found.position,
        ));
        self.target = Target::File(Box::new(FileEnd::new(segment, found.end)));
        if found.ended || found.finished.is_some() {
            self.state = State::Ended {
                index: found.finished.is_some(),
            };
        }
        if found.finished.is_some() {
            self.finish()?;
        }
        Ok(())
    }

    /// Appends bytes of a stream, stored as they are: `bytes[i]` is source byte `start.offset + i`. What lies
    /// before [`LogWriter::accepted`] is dropped, so sending again is harmless.
    pub fn append(&mut self, start: Position, stream: Stream, bytes: &[u8]) -> Result<()> {
        let skip = self.accepted.consumed_of(start, bytes.len() as u64) as usize;
        let mut offset = start.offset + skip as u64;
        let mut rest = &bytes[skip..];
        if rest.is_empty() {
            // An empty chunk may still say that an effect has begun.
            return if start > self.accepted {
                self.take(start, stream, &[])
            } else {
                Ok(())
            };
        }
        while !rest.is_empty() {
            self.make_room(1)?;
            let room = self
                .store
                .options()
                .block_bytes
                .saturating_sub(self.pending.cost())
                .max(1);
            let (now, later) = rest.split_at(rest.len().min(room));
            offset += now.len() as u64;
            self.take(Position::new(start.ordinal, offset), stream, now)?;
            rest = later;
        }
        self.make_room(1)
    }

    /// Appends bytes that stand for `consumed` source bytes from `start` on, but need not be equal to them
    /// (redacted, or decoded). Stored in one block, whole or not at all.
    pub fn append_as(&mut self, start: Position, consumed: u64, stream: Stream, bytes: &[u8]) -> Result<()> {
        if bytes.len() > MAX_CHUNK {
            return Err(LogError::ChunkTooLarge { len: bytes.len() });
        }
        let end = Position::new(start.ordinal, start.offset + consumed);
        if end <= self.accepted {
            return Ok(());
        }
        if start < self.accepted && start.ordinal == self.accepted.ordinal {
            return Err(LogError::Overlap {
                start,
                reached: self.accepted,
            });
        }
        self.make_room(bytes.len())?;
        self.take(end, stream, bytes)?;
        self.make_room(1)
    }

    /// Ends the unterminated lines of all streams (a command has ended; what follows belongs to new lines) and
    /// brings the log to `at`. Does nothing if the log has got further already.
    pub fn end_lines(&mut self, at: Position) -> Result<()> {
        if at < self.accepted {
            return Ok(());
        }
        let open = self.open_streams();
        if open.is_empty() && at == self.accepted {
            return Ok(());
        }
        self.make_room(open.len())?;
        self.refuse_if_ended()?;
        for stream in open {
            self.pending.push(stream, b"\n");
        }
        self.accepted = at;
        Ok(())
    }

    /// Makes everything appended visible to readers, in the file as one block.
    pub fn flush(&mut self) -> Result<Flushed> {
        self.seal()?;
        let position = self.position();
        Ok(Flushed {
            position,
            num_lines: self.num_lines(),
            durable: matches!(&self.target, Target::File(file) if file.synced == file.end),
            place: match self.target {
                Target::Memory(_) => Place::Memory,
                Target::File(_) => Place::File,
            },
        })
    }

    /// [`LogWriter::flush`], then `fdatasync` of the file; calls for logs of one file share it. A log in memory has
    /// no file: its snapshot must be committed.
    pub fn sync(&mut self) -> Result<Flushed> {
        self.seal()?;
        if let Target::File(file) = &mut self.target {
            file.sync()?;
            self.durable = self.accepted;
        }
        self.flush()
    }

    /// [`LogWriter::flush`], and what a later sync has to cover, if the log is in a file: the sync may run on another thread while
    /// more is appended.
    pub fn begin_sync(&mut self) -> Result<(Flushed, Option<PendingSync>)> {
        let flushed = self.flush()?;
        let pending = match &self.target {
            Target::Memory(_) => None,
            Target::File(file) => Some(PendingSync {
                segment: Arc::clone(&file.segment),
                end: file.end,
                position: self.accepted,
            }),
        };
        Ok((flushed, pending))
    }

    /// A sync that was begun with [`LogWriter::begin_sync`] has succeeded.
    pub fn synced(&mut self, done: &PendingSync) {
        if let Target::File(file) = &mut self.target {
            file.synced = file.synced.max(done.end);
            self.durable = self.durable.max(done.position);
        }
    }

    /// Ends the log: an unterminated last line becomes a line, a file gets the log's index and is durable. May be
    /// called again, after an error or a restart.
    pub fn finish(&mut self) -> Result<FinishedLog> {
        if let State::Finished(finished) = &self.state {
            return Ok(finished.clone());
        }
        if matches!(self.state, State::Open) {
            self.end_last_lines();
            self.state = State::Ended { index: false };
        }
        self.seal()?;
        let storage = match &self.target {
            Target::Memory(stored) => {
                FinishedStorage::Inline(inline::encode(self.kind, true, self.accepted, stored))
            }
            Target::File(_) => {
                self.finish_file()?;
                FinishedStorage::File
            }
        };
        let finished = FinishedLog {
            storage,
            num_lines: self.tally.lines,
            raw_bytes: self.tally.raw,
            position: self.accepted,
        };
        self.state = State::Finished(finished.clone());
        self.shared.publish_finished();
        Ok(finished)
    }

    fn finish_file(&mut self) -> Result<()> {
        let Target::File(file) = &mut self.target else {
            return Ok(());
        };
        if matches!(self.state, State::Ended { index: false }) {
            let (log_id, kind, tally, position) = (self.log_id, self.kind, self.tally, self.accepted);
            let mut payload = Vec::new();
            let blocks_end = self.shared.put_index(&mut payload).unwrap_or(file.end);
            let (at, len) = file.segment.append(log_id, true, |place| {
                let meta = Meta::Index(IndexMeta {
                    log_id,
                    kind,
                    end: blocks_end,
                    previous: place.last_index,
                    tally,
                    position,
                });
                record::encode_index(&meta, payload)
            })?;
            file.end = at + len;
            self.state = State::Ended { index: true };
        }
        file.sync()?;
        self.durable = self.accepted;
        file.rest(&self.store);
        Ok(())
    }

    /// Flushes; the serialised form if the log is (still) in memory, to be committed with the database row. None for
    /// a log in the file.
    pub fn snapshot_inline(&mut self) -> Result<Option<InlineLog>> {
        self.seal()?;
        let Target::Memory(stored) = &self.target else {
            return Ok(None);
        };
        Ok(Some(InlineLog {
            bytes: inline::encode(self.kind, self.is_finished(), self.accepted, stored),
            num_lines: self.tally.lines,
            raw_bytes: self.tally.raw,
            position: self.accepted,
        }))
    }

    /// Flushes, and moves a log that is still in memory to the file, where a sync makes it durable without a commit.
    pub fn leave_memory(&mut self) -> Result<()> {
        self.seal()?;
        self.promote()?;
        self.write_staged()
    }

    /// Flushes and gives the compression context back to the store's pool: for a log that has been silent for a while. The
    /// next block begins a new frame.
    pub fn rest(&mut self) -> Result<()> {
        self.seal()?;
        if let Target::File(file) = &mut self.target {
            file.rest(&self.store);
        }
        Ok(())
    }

    /// What is flushed: after a restart, where the source continues.
    pub fn position(&self) -> Position {
        self.shared.reached().1
    }

    /// What was taken by `append`, flushed or not.
    pub const fn accepted(&self) -> Position {
        self.accepted
    }

    /// What this writer knows to survive a power loss (see [`Flushed::durable`]).
    pub const fn durable(&self) -> Position {
        self.durable
    }

    /// Whether this log stays in memory even if `more` bytes are appended in so many `pieces`, and it is flushed, synced or
    /// finished: then none of these calls touches a file.
    pub fn stays_in_memory(&self, more: usize, pieces: usize) -> bool {
        match &self.target {
            Target::Memory(stored) => {
                // The ends of lines that are still open may come on top.
                let more = more + (pieces + OPEN_MAX) * MAX_HEAD + OPEN_MAX;
                stored.len() + self.pending.most() + more <= self.store.options().inline_limit
            }
            Target::File(_) => false,
        }
    }

    /// Lines that have ended and are flushed.
    pub fn num_lines(&self) -> u64 {
        self.shared.reached().0.lines
    }

    /// Whether it is finished.
    pub const fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished(_))
    }

    /// The log's number.
    pub const fn log_id(&self) -> u64 {
        self.log_id
    }

    /// The log's kind.
    pub const fn kind(&self) -> LogKind {
        self.kind
    }

    /// A view for readers that follows this writer.
    pub fn live(&self) -> LiveLog {
        LiveLog::new(&self.shared)
    }

    fn refuse_if_ended(&self) -> Result<()> {
        match self.state {
            State::Open => Ok(()),
            State::Ended { .. } | State::Finished(_) => Err(LogError::Finished { log_id: self.log_id }),
        }
    }

    /// Takes bytes into the pending block.
    fn take(&mut self, end: Position, stream: Stream, bytes: &[u8]) -> Result<()> {
        self.refuse_if_ended()?;
        self.pending.push(self.code(stream), bytes);
        self.accepted = end;
        Ok(())
    }

    fn code(&self, stream: Stream) -> usize {
        if self.kind.has_streams() { stream.code() } else { 0 }
    }

    /// Seals the pending block if it is full or `len` more bytes would make it so. A block that an error holds
    /// back blocks everything behind it, so what waits in memory stays bounded.
    fn make_room(&mut self, len: usize) -> Result<()> {
        let held_back = match &self.target {
            Target::Memory(stored) => stored.len() > self.store.options().inline_limit,
            Target::File(file) => file.staged.is_some(),
        };
        if held_back
            || (!self.pending.is_empty() && self.pending.cost() + len > self.store.options().block_bytes)
        {
            self.seal()?;
        }
        Ok(())
    }

    /// Streams with an unterminated line, in the order in which those begin.
    fn open_streams(&self) -> Vec<usize> {
        let mut tally = self.tally;
        let Ok(()) = self
            .pending
            .encode(&mut tally, |_| Ok::<_, std::convert::Infallible>(()));
        let mut open: Vec<_> = tally
            .open
            .iter()
            .enumerate()
            .filter_map(|(i, line)| Some((line.as_ref()?.start, i)))
            .collect();
        open.sort_unstable();
        open.into_iter().map(|(_, stream)| stream).collect()
    }

    /// Ends unterminated lines for good. Only the log's very last line may lack its newline, so that line *n* is always the
    /// *n*-th of the raw form.
    fn end_last_lines(&mut self) {
        let open = self.open_streams();
        if let Some((last, others)) = open.split_last() {
            for stream in others {
                self.pending.push(*stream, b"\n");
            }
            self.pending.push_end(*last);
        }
    }

    /// Moves the pending block to memory or file and publishes it.
    fn seal(&mut self) -> Result<()> {
        if let Target::Memory(stored) = &mut self.target {
            let Ok(()) = self.pending.encode(&mut self.tally, |part| {
                stored.extend_from_slice(part);
                Ok::<_, std::convert::Infallible>(())
            });
            self.pending.clear();
            if stored.len() <= self.store.options().inline_limit {
                if self.shared.reached().1 != self.accepted || self.shared.reached().0 != self.tally {
                    self.shared.publish_memory(stored, self.tally, self.accepted);
                }
                return Ok(());
            }
            self.promote()?;
        }
        self.write_staged()?;
        if !self.pending.is_empty() || self.position() != self.accepted {
            self.stage()?;
            self.write_staged()?;
        }
        Ok(())
    }

    /// Moves a log that has outgrown memory to the file.
    fn promote(&mut self) -> Result<()> {
        let Target::Memory(stored) = &self.target else {
            return Ok(());
        };
        let missing = || io::Error::new(io::ErrorKind::NotFound, "it was not made");
        let segment = self
            .store
            .segment(self.file_key, OpenMode::Create)?
            .ok_or_else(|| LogError::io("open", self.store.path(self.file_key), missing()))?;
        let mut file = FileEnd::new(segment, 0);
        let mut payload = Vec::new();
        let mut encoder = self.store.pool().get().map_err(self.compress_error())?;
        let packed = encoder
            .push(stored, &mut payload)
            .and_then(|()| encoder.flush(&mut payload));
        packed.map_err(self.compress_error())?;
        file.encoder = Some(encoder);
        file.staged = Some(Staged {
            payload,
            flags: BEGIN | FRAME_START | self.ended_flag(),
            before: Tally::default(),
            after: self.tally,
            position: self.accepted,
        });
        self.target = Target::File(Box::new(file));
        Ok(())
    }

    /// Compresses the pending block.
    fn stage(&mut self) -> Result<()> {
        let flag = self.ended_flag();
        let fail = self.compress_error();
        let Target::File(file) = &mut self.target else {
            return Ok(());
        };
        let full = self.tally.store - file.frame_store >= self.store.options().frame_bytes;
        let (mut encoder, new) = match file.encoder.take() {
            Some(encoder) if !full => (encoder, false),
            Some(mut encoder) => {
                encoder.reset().map_err(&fail)?;
                (encoder, true)
            }
            None => (self.store.pool().get().map_err(&fail)?, true),
        };
        let mut after = self.tally;
        let mut payload = std::mem::take(&mut file.spare);
        payload.clear();
        // If this fails, the context is dropped with its half block and the next attempt begins a frame.
        self.pending
            .encode(&mut after, |part| encoder.push(part, &mut payload))
            .and_then(|()| encoder.flush(&mut payload))
            .map_err(&fail)?;
        if new {
            file.frame_store = self.tally.store;
        }
        file.encoder = Some(encoder);
        file.staged = Some(Staged {
            payload,
            flags: flag | if new { FRAME_START } else { 0 },
            before: self.tally,
            after,
            position: self.accepted,
        });
        self.tally = after;
        self.pending.clear();
        Ok(())
    }

    /// Writes the staged block, if there is one, and publishes it.
    fn write_staged(&mut self) -> Result<()> {
        let Target::File(file) = &mut self.target else {
            return Ok(());
        };
        let Some(staged) = &file.staged else { return Ok(()) };
        let Staged {
            payload,
            flags,
            before,
            after,
            position,
        } = staged;
        let (log_id, kind, frame_at) = (self.log_id, self.kind, file.frame_at);
        let begins = flags & FRAME_START != 0;
        let (at, len) = file.segment.append(log_id, false, |place| {
            let meta = Meta::Block(BlockMeta {
                log_id,
                kind,
                flags: *flags,
                frame_back: if begins { 0 } else { place.at - frame_at },
                store: before.store,
                lines: before.lines,
                raw: before.raw,
                store_len: after.store - before.store,
                lines_len: after.lines - before.lines,
                raw_len: after.raw - before.raw,
                open: after.open,
                position: *position,
            });
            record::encode(&meta, payload)
        })?;
        if begins {
            file.frame_at = at;
        }
        file.end = at + len;
        let mark = Mark {
            at,
            frame_at: file.frame_at,
            before: *before,
        };
        let marks = self.store.options().index_marks;
        self.shared
            .publish_block(&file.segment, marks, mark, file.end, *after, *position);
        if let Some(staged) = file.staged.take() {
            file.spare = staged.payload;
        }
        Ok(())
    }

    fn ended_flag(&self) -> u8 {
        if matches!(self.state, State::Open) {
            0
        } else {
            ENDED
        }
    }

    fn compress_error(&self) -> impl Fn(io::Error) -> LogError + use<> {
        let log_id = self.log_id;
        move |source| LogError::Compress { log_id, source }
    }
}

impl FileEnd {
    fn new(segment: Arc<Segment>, end: u64) -> Self {
        Self {
            segment,
            encoder: None,
            frame_at: 0,
            frame_store: 0,
            staged: None,
            end,
            synced: end,
            spare: Vec::new(),
        }
    }

    fn sync(&mut self) -> Result<()> {
        self.segment.sync(self.end)?;
        self.synced = self.end;
        Ok(())
    }

    fn rest(&mut self, store: &LogStore) {
        if let Some(encoder) = self.encoder.take() {
            store.pool().put(encoder);
        }
        self.spare = Vec::new();
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        if let Target::File(file) = &mut self.target {
            file.rest(&self.store);
        }
    }
}
