//! Getting at the blocks of one log: finding the one that holds a place, and decompressing from there on.

use std::{io, sync::Arc};

use crate::{
    LogError, Result,
    codec::FrameDecoder,
    reader::{Content, Snapshot},
    record::{BlockMeta, Meta, Record},
    scan::{read_head, read_up_to},
    segment::lock,
    tally::{Mark, Tally},
};

/// Blocks of a log in their order, decompressed one at a time.
#[derive(Debug)]
pub(crate) struct Blocks {
    snapshot: Arc<Snapshot>,
    decoder: Option<FrameDecoder>,
    /// The frame that the decoder is in, and the file offset behind the block that it decompressed last.
    frame: Option<(u64, u64)>,
    /// Where to look for the next block; None at the end.
    next: Option<Mark>,
    packed: Vec<u8>,
    plain: Vec<u8>,
    before: Tally,
}

impl Blocks {
    pub(crate) fn new(snapshot: &Arc<Snapshot>) -> Self {
        Self {
            snapshot: Arc::clone(snapshot),
            decoder: None,
            frame: None,
            next: None,
            packed: Vec::new(),
            plain: Vec::new(),
            before: Tally::default(),
        }
    }

    /// The stored form of the current block.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.snapshot.content {
            Content::Memory(stored) => stored,
            Content::File { .. } => &self.plain,
        }
    }

    /// Counts before the current block.
    pub(crate) fn before(&self) -> &Tally {
        &self.before
    }

    pub(crate) fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Makes the block at `mark` the next one.
    pub(crate) fn seek(&mut self, mark: Mark) -> Result<()> {
        self.next = Some(mark);
        if matches!(self.snapshot.content, Content::Memory(_)) {
            return Ok(());
        }
        // A frame decompresses from its beginning only; go on from where the decoder is if that is on the way.
        let mut at = match self.frame {
            Some((frame_at, reached)) if frame_at == mark.frame_at && reached <= mark.at => reached,
            _ => mark.frame_at,
        };
        while at < mark.at {
            let Some((record, block)) = self.record(at)? else {
                return Err(self.snapshot.corrupt(at, "the frame ends before its block"));
            };
            if let Some(block) = block {
                self.decompress(at, &record, &block)?;
            }
            at += record.len();
        }
        Ok(())
    }

    /// Decompresses the next block. False at the end of what the reader may see.
    pub(crate) fn advance(&mut self) -> Result<bool> {
        let Some(mut next) = self.next.take() else {
            return Ok(false);
        };
        if let Content::Memory(stored) = &self.snapshot.content {
            self.before = Tally::default();
            return Ok(!stored.is_empty());
        }
        loop {
            let Some((record, block)) = self.record(next.at)? else {
                return Ok(false);
            };
            let at = next.at;
            next.at += record.len();
            let Some(block) = block else { continue };
            if !block.continues(&next.before) {
                return Err(self
                    .snapshot
                    .corrupt(at, "the block does not follow on from the one before"));
            }
            self.decompress(at, &record, &block)?;
            self.before = next.before;
            next.before = block.after();
            self.next = Some(next);
            return Ok(true);
        }
    }

    /// The record at `at`, with its metadata if it is a block of this log. None at the end.
    fn record(&mut self, at: u64) -> Result<Option<(Record, Option<BlockMeta>)>> {
        let record = self.snapshot.record(at, &mut self.packed)?;
        Ok(record.map(|record| (record, self.snapshot.own_block(&record))))
    }

    fn decompress(&mut self, at: u64, record: &Record, block: &BlockMeta) -> Result<()> {
        let Content::File { file, path, .. } = &self.snapshot.content else {
            return Ok(());
        };
        let frame_at = at.checked_sub(block.frame_back);
        let frame_at =
            frame_at.ok_or_else(|| self.snapshot.corrupt(at, "the frame begins before the file"))?;
        let memory = |source| LogError::Io {
            action: "decompress",
            path: path.to_path_buf(),
            source,
        };
        if block.frame_back == 0 {
            match &mut self.decoder {
                Some(decoder) => decoder.reset().map_err(memory)?,
                None => self.decoder = Some(FrameDecoder::new().map_err(memory)?),
            }
        } else if self.frame.is_none_or(|(current, _)| current != frame_at) {
            return Err(self
                .snapshot
                .corrupt(at, "the block's frame is not the one before it"));
        }
        self.frame = None;
        read_up_to(
            &**file,
            &mut self.packed,
            at + record.head_len as u64,
            record.payload_len,
        )
        .map_err(|source| LogError::Io {
            action: "read",
            path: path.to_path_buf(),
            source,
        })?;
        if self.packed.len() != record.payload_len || crc32fast::hash(&self.packed) != record.payload_crc {
            return Err(self.snapshot.corrupt(at, "the payload's checksum is wrong"));
        }
        let decoder = self.decoder.as_mut();
        if !decoder
            .is_some_and(|decoder| decoder.block(&self.packed, block.store_len as usize, &mut self.plain))
        {
            return Err(self.snapshot.corrupt(at, "the block does not decompress"));
        }
        self.frame = Some((frame_at, at + record.len()));
        Ok(())
    }
}

impl Snapshot {
    pub(crate) fn corrupt(&self, offset: u64, what: &'static str) -> LogError {
        let place = match &self.content {
            Content::Memory(_) => "(inline)".to_owned(),
            Content::File { path, .. } => path.display().to_string(),
        };
        LogError::Corrupt { place, offset, what }
    }

    /// The head of the record at `at`; None behind the last block that this snapshot may see.
    fn record(&self, at: u64, buf: &mut Vec<u8>) -> Result<Option<Record>> {
        let Content::File { file, path, end, .. } = &self.content else {
            return Ok(None);
        };
        if at >= *end {
            return Ok(None);
        }
        let read = |source: io::Error| LogError::Io {
            action: "read",
            path: path.to_path_buf(),
            source,
        };
        match read_head(&**file, at, buf).map_err(read)? {
            Some(record) => Ok(Some(record)),
            None => Err(self.corrupt(at, "no whole record head")),
        }
    }

    fn own_block(&self, record: &Record) -> Option<BlockMeta> {
        match record.meta {
            Meta::Block(block) if block.log_id == self.log_id => Some(block),
            _ => None,
        }
    }

    /// The last block before which `wanted` holds; it must hold for a first part of the blocks and no other. None if the
    /// log has no block.
    pub(crate) fn locate(&self, wanted: impl Fn(&Tally) -> bool) -> Result<Option<Mark>> {
        let Content::File { index, .. } = &self.content else {
            return Ok(Some(Mark {
                at: 0,
                frame_at: 0,
                before: Tally::default(),
            }));
        };
        let (mark, dense) = {
            let index = lock(index);
            (
                index.last(wanted_within(self.tally.store, &wanted)),
                index.is_dense(),
            )
        };
        let Some(mut found) = mark else { return Ok(None) };
        if dense {
            return Ok(Some(found));
        }
        // Marks are sparse: look at the heads of the blocks that follow.
        let mut buf = Vec::new();
        let mut before = found.before;
        let mut at = found.at;
        while let Some(record) = self.record(at, &mut buf)? {
            if let Some(block) = self.own_block(&record) {
                if !block.continues(&before) {
                    return Err(self.corrupt(at, "the block does not follow on from the one before"));
                }
                if !wanted(&before) {
                    break;
                }
                let frame_at = at.checked_sub(block.frame_back);
                let frame_at =
                    frame_at.ok_or_else(|| self.corrupt(at, "the frame begins before the file"))?;
                found = Mark { at, frame_at, before };
                before = block.after();
            }
            at += record.len();
        }
        Ok(Some(found))
    }
}

/// The index may have grown since the snapshot was taken: leave out later blocks.
fn wanted_within(store: u64, wanted: &impl Fn(&Tally) -> bool) -> impl Fn(&Tally) -> bool {
    move |tally| (tally.store == 0 || tally.store < store) && wanted(tally)
}
