//! Walking a log in the order of its raw form.
//!
//! Lines come in the order in which they end. Nearly always a line's bytes lie together, or its first part was seen a
//! moment ago and is still in a small buffer per stream. A line of which the first part lies far back (it is
//! long, or other streams went on meanwhile) is gathered with a second decompressor from where it begins. Memory
//! is the same in all cases.

use std::{ops::Range, sync::Arc};

use memchr::{memchr, memchr_iter, memrchr};

use crate::{
    Result,
    blocks::Blocks,
    entry::{self, Head, newlines},
    reader::Snapshot,
    tally::{Mark, OpenLine, Tally},
};

/// How many blocks early the walk begins, at most, to see the beginning of lines that are open where it should begin.
const WARM_UP: u64 = 4;

/// Bytes that follow each other in the raw form, of one stream, from one or more lines.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    from: From,
    range: Range<usize>,
    /// Line of the first byte.
    pub(crate) line: u64,
    /// Where in that line it is.
    pub(crate) line_offset: u64,
    pub(crate) stream: usize,
    /// An unterminated line ends behind the span.
    pub(crate) end: bool,
}

#[derive(Debug, Clone, Copy)]
enum From {
    Block,
    Ready,
    Gather,
}

/// Where to begin.
#[derive(Debug, Clone, Copy)]
enum Skip {
    Nothing,
    Line { line: u64, offset: u64 },
    Raw(u64),
}

/// The first part of an open line.
#[derive(Debug, Default)]
struct Carry {
    /// The line's [`OpenLine::start`]; None if not all of it is here.
    start: Option<u64>,
    bytes: Vec<u8>,
}

impl Carry {
    /// A line begins. Open lines up to `limit` are kept, so that most lines need no second look.
    fn begin(&mut self, start: u64, bytes: &[u8], limit: usize) {
        self.clear();
        if bytes.len() <= limit {
            self.start = Some(start);
            self.bytes.extend_from_slice(bytes);
        }
    }

    fn go_on(&mut self, line: OpenLine, bytes: &[u8], limit: usize) {
        if self.holds(line) && self.bytes.len() + bytes.len() <= limit {
            self.bytes.extend_from_slice(bytes);
        } else {
            self.clear();
        }
    }

    fn holds(&self, line: OpenLine) -> bool {
        self.start == Some(line.start) && self.bytes.len() as u64 == line.len
    }

    fn clear(&mut self) {
        self.start = None;
        self.bytes.clear();
    }
}

/// Lines that have just ended and are to be handed out.
#[derive(Debug)]
struct Job {
    stream: usize,
    line: u64,
    line_offset: u64,
    /// What remains of the first line's earlier part.
    prior: Prior,
    /// The rest, in the current block.
    body: Range<usize>,
    end: bool,
}

#[derive(Debug)]
enum Prior {
    None,
    /// In the buffer `ready`, from that byte on.
    Ready(usize),
    /// To be gathered, from that byte on.
    Far(OpenLine, u64),
    Gathering,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Walker {
    blocks: Blocks,
    /// Next entry in the current block, and its store offset.
    at: usize,
    store: u64,
    /// Whether the current block is still to be fetched.
    fresh: bool,
    /// Lines and raw bytes before the next line that ends.
    line: u64,
    raw: u64,
    skip: Skip,
    carry: [Carry; 4],
    ready: Vec<u8>,
    job: Option<Job>,
    gather: Option<Box<Gather>>,
}

impl Walker {
    /// Begins at a byte of the raw form.
    pub(crate) fn at_raw(snapshot: &Arc<Snapshot>, raw: u64) -> Result<Self> {
        Self::new(snapshot, Skip::Raw(raw), |tally| tally.raw <= raw)
    }

    /// Begins at a byte of a line. If the line is shorter, at its end.
    pub(crate) fn at_line(snapshot: &Arc<Snapshot>, line: u64, offset: u64) -> Result<Self> {
        Self::new(snapshot, Skip::Line { line, offset }, |tally| tally.lines <= line)
    }

    fn new(snapshot: &Arc<Snapshot>, skip: Skip, wanted: impl Fn(&Tally) -> bool) -> Result<Self> {
        let mut blocks = Blocks::new(snapshot);
        let mut before = Tally::default();
        if let Some(mark) = snapshot.locate(wanted)? {
            let mark = warm_up(snapshot, mark)?;
            blocks.seek(mark)?;
            before = mark.before;
        }
        Ok(Self {
            blocks,
            at: 0,
            store: 0,
            fresh: true,
            line: before.lines,
            raw: before.raw,
            skip,
            carry: Default::default(),
            ready: Vec::new(),
            job: None,
            gather: None,
        })
    }

    /// The bytes of a span, until the next [`Walker::step`].
    pub(crate) fn bytes(&self, span: &Span) -> &[u8] {
        let all = match span.from {
            From::Block => self.blocks.bytes(),
            From::Ready => &self.ready,
            From::Gather => self
                .gather
                .as_deref()
                .map_or(&[][..], |gather| gather.blocks.bytes()),
        };
        &all[span.range.clone()]
    }

    /// The next span, which may be empty; None at the end.
    pub(crate) fn step(&mut self) -> Result<Option<Span>> {
        loop {
            if let Some(job) = self.job.take() {
                if let Some(span) = self.work(job)? {
                    return Ok(Some(span));
                }
            } else if self.fresh || self.at >= self.blocks.bytes().len() {
                if !self.blocks.advance()? {
                    self.at = self.blocks.bytes().len();
                    self.fresh = true;
                    return Ok(None);
                }
                self.fresh = false;
                self.at = 0;
                self.store = self.blocks.before().store;
            } else {
                self.entry()?;
            }
        }
    }

    /// The error for content that ends before the counts say so.
    pub(crate) fn cut_short(&self) -> crate::LogError {
        self.blocks
            .snapshot()
            .corrupt(self.store, "the log ends before its counts say so")
    }

    /// Hands out the next part of a job and keeps the rest of it.
    fn work(&mut self, mut job: Job) -> Result<Option<Span>> {
        let (from, range) = match job.prior {
            Prior::Ready(from) => {
                job.prior = Prior::None;
                (From::Ready, from..self.ready.len())
            }
            Prior::Far(line, skip) => {
                let snapshot = self.blocks.snapshot();
                let gather = self.gather.get_or_insert_with(|| Box::new(Gather::new(snapshot)));
                gather.begin(job.stream, line, skip)?;
                job.prior = Prior::Gathering;
                self.job = Some(job);
                return Ok(None);
            }
            Prior::Gathering => {
                let gather = self.gather.as_mut();
                if let Some(range) = gather.map_or(Ok(None), |gather| gather.next())? {
                    (From::Gather, range)
                } else {
                    job.prior = Prior::None;
                    self.job = Some(job);
                    return Ok(None);
                }
            }
            Prior::None => {
                let Job {
                    stream,
                    line,
                    line_offset,
                    body,
                    end,
                    ..
                } = job;
                let nothing = body.is_empty() && !end;
                let span = Span {
                    from: From::Block,
                    range: body,
                    line,
                    line_offset,
                    stream,
                    end,
                };
                return Ok((!nothing).then_some(span));
            }
        };
        let span = Span {
            from,
            range,
            line: job.line,
            line_offset: job.line_offset,
            stream: job.stream,
            end: false,
        };
        job.line_offset += span.range.len() as u64;
        self.job = Some(job);
        Ok(Some(span))
    }

    /// Reads the next entry; makes a job of the lines that end in it, keeps what stays open.
    fn entry(&mut self) -> Result<()> {
        let head = match entry::parse(&self.blocks.bytes()[self.at..], self.store) {
            Ok(head) => head,
            Err(what) => return Err(self.blocks.snapshot().corrupt(self.store, what)),
        };
        let limit = self.blocks.snapshot().block_bytes;
        let start = self.store;
        let body = self.at + head.own_len..self.at + head.own_len + head.body_len;
        self.at = body.end;
        self.store += (head.own_len + head.body_len) as u64;
        let bytes = &self.blocks.bytes()[body.clone()];
        let ended = if head.end {
            Some(bytes.len())
        } else {
            memrchr(b'\n', bytes).map(|last| last + 1)
        };
        match ended {
            Some(ended) => {
                let rest = body.start + ended..body.end;
                self.job = self.plan(&head, body.start..body.start + ended);
                let carry = &mut self.carry[head.stream];
                if rest.is_empty() {
                    carry.clear();
                } else {
                    carry.begin(start, &self.blocks.bytes()[rest], limit);
                }
            }
            None => match head.cont {
                Some(line) => self.carry[head.stream].go_on(line, bytes, limit),
                None => self.carry[head.stream].begin(start, bytes, limit),
            },
        }
        Ok(())
    }

    /// What is to be handed out of the lines that end in `body`.
    fn plan(&mut self, head: &Head, mut body: Range<usize>) -> Option<Job> {
        let bytes = &self.blocks.bytes()[body.clone()];
        let prior_len = head.cont.map_or(0, |line| line.len);
        let total = prior_len.saturating_add(bytes.len() as u64);
        let lines = newlines(bytes) + u64::from(head.end);
        let (line_after, raw_after) = (self.line.saturating_add(lines), self.raw.saturating_add(total));
        // Bytes to leave out, counted from the beginning of the first line; and the place where that leads to.
        let (skip, line, line_offset) = match self.skip {
            Skip::Nothing => (0, self.line, 0),
            Skip::Raw(raw) if raw_after <= raw => (total, line_after, 0),
            Skip::Raw(raw) => {
                let skip = raw.saturating_sub(self.raw);
                let skipped = &bytes[..skip.saturating_sub(prior_len) as usize];
                let line_offset =
                    memrchr(b'\n', skipped).map_or(skip, |last| (skipped.len() - last - 1) as u64);
                (skip, self.line + newlines(skipped), line_offset)
            }
            Skip::Line { line, .. } if line_after <= line => (total, line_after, 0),
            Skip::Line { line, offset } => {
                let lines_off = line.saturating_sub(self.line);
                let begin = match lines_off.checked_sub(1) {
                    None => 0,
                    Some(n) => {
                        prior_len
                            + memchr_iter(b'\n', bytes)
                                .nth(n as usize)
                                .map_or(0, |at| at as u64 + 1)
                    }
                };
                let first = &bytes[begin.saturating_sub(prior_len) as usize..];
                let len =
                    memchr(b'\n', first).unwrap_or(first.len()) as u64 + prior_len.saturating_sub(begin);
                let offset = offset.min(len);
                (begin + offset, line, offset)
            }
        };
        (self.line, self.raw) = (line_after, raw_after);
        if skip >= total && !(head.end && matches!(self.skip, Skip::Line { line, .. } if line < line_after)) {
            return None;
        }
        self.skip = Skip::Nothing;
        body.start += skip.saturating_sub(prior_len) as usize;
        let prior = match head.cont {
            Some(open) if skip < prior_len => {
                let carry = &mut self.carry[head.stream];
                if carry.holds(open) {
                    std::mem::swap(&mut self.ready, &mut carry.bytes);
                    Prior::Ready(skip as usize)
                } else {
                    Prior::Far(open, skip)
                }
            }
            _ => Prior::None,
        };
        Some(Job {
            stream: head.stream,
            line,
            line_offset,
            prior,
            body,
            end: head.end,
        })
    }
}

/// Where to begin instead of `mark` to see the beginnings of lines that are open there, if that is not far.
fn warm_up(snapshot: &Snapshot, mark: Mark) -> Result<Mark> {
    let block = snapshot.block_bytes as u64;
    let from = mark.before.store.saturating_sub(WARM_UP * block);
    let near = |line: &&OpenLine| line.start >= from && line.len <= block;
    let first = mark
        .before
        .open
        .iter()
        .flatten()
        .filter(near)
        .map(|line| line.start)
        .min();
    match first {
        Some(start) => Ok(snapshot.locate(|tally| tally.store <= start)?.unwrap_or(mark)),
        None => Ok(mark),
    }
}

/// Collects the parts of one open line.
#[derive(Debug)]
pub(crate) struct Gather {
    blocks: Blocks,
    at: usize,
    store: u64,
    fresh: bool,
    stream: usize,
    line: OpenLine,
    /// Bytes of the line before the next part.
    reached: u64,
    skip: u64,
}

impl Gather {
    pub(crate) fn new(snapshot: &Arc<Snapshot>) -> Self {
        Self {
            blocks: Blocks::new(snapshot),
            at: 0,
            store: 0,
            fresh: true,
            stream: 0,
            line: OpenLine { start: 0, len: 0 },
            reached: 0,
            skip: 0,
        }
    }

    /// Begins with byte `skip` of that line.
    pub(crate) fn begin(&mut self, stream: usize, line: OpenLine, skip: u64) -> Result<()> {
        let inside = |tally: &Tally| {
            tally.open[stream]
                .filter(|open| open.start == line.start && open.len <= skip)
                .map(|open| open.len)
        };
        let snapshot = self.blocks.snapshot();
        let mark = snapshot.locate(|tally| tally.store <= line.start || inside(tally).is_some())?;
        let mark = mark.ok_or_else(|| snapshot.corrupt(line.start, "a line begins where nothing is"))?;
        self.reached = inside(&mark.before).unwrap_or(0);
        (self.stream, self.line, self.skip) = (stream, line, skip);
        self.fresh = true;
        self.blocks.seek(mark)
    }

    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.blocks.bytes()[range]
    }

    /// The next part, as a range of the current block; None at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Range<usize>>> {
        while self.reached < self.line.len {
            if self.fresh || self.at >= self.blocks.bytes().len() {
                if !self.blocks.advance()? {
                    return Err(self.corrupt("the first part of a line is missing"));
                }
                self.fresh = false;
                self.at = 0;
                self.store = self.blocks.before().store;
                continue;
            }
            let head = entry::parse(&self.blocks.bytes()[self.at..], self.store)
                .map_err(|what| self.corrupt(what))?;
            let start = self.store;
            let body = self.at + head.own_len..self.at + head.own_len + head.body_len;
            self.at = body.end;
            self.store += (head.own_len + head.body_len) as u64;
            if start < self.line.start || (start > self.line.start && head.stream != self.stream) {
                continue;
            }
            let bytes = &self.blocks.bytes()[body.clone()];
            let last = memrchr(b'\n', bytes);
            let part = if start == self.line.start {
                body.start + last.map_or(0, |last| last + 1)..body.end
            } else {
                let follows = head.cont
                    == Some(OpenLine {
                        start: self.line.start,
                        len: self.reached,
                    });
                if last.is_some() || head.end || !follows {
                    return Err(self.corrupt("a line does not hang together"));
                }
                body
            };
            let before = self.reached;
            self.reached += part.len() as u64;
            if self.reached > self.line.len || head.stream != self.stream {
                return Err(self.corrupt("a line does not hang together"));
            }
            if self.reached > self.skip {
                let skip = self.skip.saturating_sub(before) as usize;
                return Ok(Some(part.start + skip..part.end));
            }
        }
        Ok(None)
    }

    fn corrupt(&self, what: &'static str) -> crate::LogError {
        self.blocks.snapshot().corrupt(self.store, what)
    }
}
