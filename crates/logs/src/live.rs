//! A view of a log that is still written.

use std::sync::{Arc, Mutex};

use crate::{
    LogKind, LogReader, Position,
    reader::{Content, Snapshot},
    segment::{Segment, lock},
    tally::{Index, Mark, Tally},
};

/// What a writer publishes at each flush.
#[derive(Debug)]
pub(crate) struct Shared {
    log_id: u64,
    kind: LogKind,
    block_bytes: usize,
    view: Mutex<View>,
}

#[derive(Debug)]
struct View {
    content: Content,
    tally: Tally,
    position: Position,
    finished: bool,
}

impl Shared {
    pub(crate) fn new(
        log_id: u64,
        kind: LogKind,
        block_bytes: usize,
        content: Content,
        tally: Tally,
        position: Position,
    ) -> Self {
        let view = Mutex::new(View {
            content,
            tally,
            position,
            finished: false,
        });
        Self {
            log_id,
            kind,
            block_bytes,
            view,
        }
    }

    /// Replaces the content of a log in memory.
    pub(crate) fn publish_memory(&self, stored: &[u8], tally: Tally, position: Position) {
        let stored: Arc<[u8]> = stored.into();
        let mut view = lock(&self.view);
        (view.tally, view.position) = (tally, position);
        view.content = Content::Memory(stored);
    }

    /// Adds a block that is in the file.
    pub(crate) fn publish_block(
        &self,
        segment: &Segment,
        index_marks: usize,
        mark: Mark,
        end: u64,
        tally: Tally,
        position: Position,
    ) {
        let mut view = lock(&self.view);
        (view.tally, view.position) = (tally, position);
        if let Content::File {
            index, end: old_end, ..
        } = &mut view.content
        {
            lock(index).push(mark);
            *old_end = end;
        } else {
            let mut index = Index::new(index_marks);
            index.push(mark);
            view.content = Content::File {
                file: Arc::clone(segment.file()),
                path: segment.path().into(),
                index: Arc::new(Mutex::new(index)),
                end,
            };
        }
    }

    pub(crate) fn publish_finished(&self) {
        lock(&self.view).finished = true;
    }

    /// Serialises the index of a log in the file, and says where its last block ends.
    pub(crate) fn put_index(&self, out: &mut Vec<u8>) -> Option<u64> {
        match &lock(&self.view).content {
            Content::Memory(_) => None,
            Content::File { index, end, .. } => {
                lock(index).put(out);
                Some(*end)
            }
        }
    }

    /// Counts and position of what is published.
    pub(crate) fn reached(&self) -> (Tally, Position) {
        let view = lock(&self.view);
        (view.tally, view.position)
    }
}

/// Follows a [`LogWriter`](crate::LogWriter): cheap to clone, takes a short lock, never waits for the disk. Stays
/// valid after the writer is finished or gone.
#[derive(Debug, Clone)]
pub struct LiveLog(Arc<Shared>);

impl LiveLog {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }

    /// The log's number.
    pub fn log_id(&self) -> u64 {
        self.0.log_id
    }

    /// The log's kind.
    pub fn kind(&self) -> LogKind {
        self.0.kind
    }

    /// Lines that have ended and are flushed.
    pub fn num_lines(&self) -> u64 {
        self.0.reached().0.lines
    }

    /// Raw bytes of those lines.
    pub fn raw_bytes(&self) -> u64 {
        self.0.reached().0.raw
    }

    /// Whether the log is finished.
    pub fn is_finished(&self) -> bool {
        lock(&self.0.view).finished
    }

    /// A reader of everything flushed up to now.
    pub fn reader(&self) -> LogReader {
        let view = lock(&self.0.view);
        LogReader::new(Snapshot {
            log_id: self.0.log_id,
            kind: self.0.kind,
            content: view.content.clone(),
            tally: view.tally,
            position: view.position,
            finished: view.finished,
            block_bytes: self.0.block_bytes,
        })
    }
}
