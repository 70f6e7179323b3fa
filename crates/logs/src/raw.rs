//! The raw form as a stream.

use std::{io, sync::Arc};

use crate::{
    Result,
    reader::Snapshot,
    walk::{Span, Walker},
};

/// Streams the raw form; see [`LogReader::raw`](crate::LogReader::raw). As [`io::Read`] it gives [`LogError`](crate::LogError)s inside
/// [`io::Error`].
#[derive(Debug)]
pub struct RawReader {
    walker: Walker,
    span: Option<Span>,
    /// Bytes of the span that are handed out.
    used: usize,
    remaining: u64,
}

impl RawReader {
    pub(crate) fn new(snapshot: &Arc<Snapshot>, start: u64, end: u64) -> Result<Self> {
        let end = end.min(snapshot.tally.raw);
        let start = start.min(end);
        Ok(Self {
            walker: Walker::at_raw(snapshot, start)?,
            span: None,
            used: 0,
            remaining: end - start,
        })
    }

    /// Bytes that are still to come.
    pub const fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The next bytes, without copying them; empty at the end.
    pub fn chunk(&mut self) -> Result<&[u8]> {
        let len = self.fill()?;
        let used = self.used;
        self.consume(len);
        Ok(self
            .span
            .as_ref()
            .map_or(&[][..], |span| &self.walker.bytes(span)[used..used + len]))
    }

    /// Makes bytes available and says how many; 0 at the end.
    fn fill(&mut self) -> Result<usize> {
        while self.remaining > 0 {
            if let Some(span) = &self.span {
                let len = self.walker.bytes(span).len() - self.used;
                if len > 0 {
                    return Ok(usize::try_from(self.remaining).map_or(len, |most| most.min(len)));
                }
            }
            self.used = 0;
            self.span = self.walker.step()?;
            if self.span.is_none() {
                return Err(self.walker.cut_short());
            }
        }
        Ok(0)
    }

    const fn consume(&mut self, len: usize) {
        self.used += len;
        self.remaining -= len as u64;
    }
}

impl io::Read for RawReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.fill().map_err(io::Error::other)?.min(buf.len());
        if let Some(span) = &self.span {
            buf[..len].copy_from_slice(&self.walker.bytes(span)[self.used..self.used + len]);
        }
        self.consume(len);
        Ok(len)
    }
}
