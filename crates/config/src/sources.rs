//! The texts that a configuration is made of, and places in them. Behind one another they are one long text, in which
//! a place is a range of bytes.

use crate::report::Place;

/// A place in the texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// The calls that led there: see [`Sources::calls`]. 0 = none.
    pub(crate) calls: u32,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        let number = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self {
            start: number(start),
            end: number(end),
            calls: 0,
        }
    }
}

impl Span {
    /// Whether another place is inside this one.
    pub(crate) fn holds(self, other: Span) -> bool {
        self.start <= other.start && other.end <= self.end
    }
}

/// A text.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// What findings call it.
    pub(crate) name: String,
    /// What it is in the configuration's identity: the same wherever the configuration is.
    pub(crate) identity: String,
    /// With secrets in it: only masked copies leave this room.
    pub(crate) text: std::sync::Arc<str>,
    pub(crate) base: u32,
    line_starts: Vec<usize>,
}

/// All texts.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    pub(crate) files: Vec<SourceFile>,
    /// Where functions were called, innermost first, by [`Span::calls`] less one.
    calls: Vec<Vec<Span>>,
}

impl Sources {
    /// Adds a text; gives its index.
    pub(crate) fn add(&mut self, name: String, identity: String, text: std::sync::Arc<str>) -> usize {
        // One byte between, so that the end of one is not the start of the next.
        let base = self.files.last().map_or(0, |last| {
            last.base.saturating_add(last.text.len() as u32).saturating_add(1)
        });
        let mut line_starts = vec![0];
        line_starts.extend(text.match_indices('\n').map(|(at, _)| at + 1));
        self.files.push(SourceFile {
            name,
            identity,
            text,
            base,
            line_starts,
        });
        self.files.len() - 1
    }

    pub(crate) fn file(&self, span: Span) -> Option<&SourceFile> {
        let behind = self.files.partition_point(|file| file.base <= span.start);
        self.files.get(behind.checked_sub(1)?)
    }

    /// Bytes of a place in its own text.
    pub(crate) fn range(&self, span: Span) -> std::ops::Range<usize> {
        let base = self.file(span).map_or(0, |file| file.base);
        span.start.saturating_sub(base) as usize..span.end.saturating_sub(base) as usize
    }

    /// What stands at a place.
    pub(crate) fn text(&self, span: Span) -> &str {
        self.file(span)
            .and_then(|file| file.text.get(self.range(span)))
            .unwrap_or_default()
    }

    pub(crate) fn place(&self, span: Span) -> Option<Place> {
        let file = self.file(span)?;
        let range = self.range(span);
        let line = file.line_starts.partition_point(|start| *start <= range.start);
        let line_start = file.line_starts.get(line.checked_sub(1)?)?;
        let column = file
            .text
            .get(*line_start..range.start)
            .map_or(1, |text| text.chars().count() + 1);
        Some(Place {
            file: file.name.clone(),
            span: range,
            line,
            column,
        })
    }

    /// Notes where functions were called on the way to a place.
    pub(crate) fn add_calls(&mut self, calls: Vec<Span>) -> u32 {
        if calls.is_empty() {
            return 0;
        }
        if self.calls.last() != Some(&calls) {
            self.calls.push(calls);
        }
        self.calls.len() as u32
    }

    /// Where functions were called on the way to a place, innermost first.
    pub(crate) fn calls(&self, span: Span) -> &[Span] {
        span.calls
            .checked_sub(1)
            .and_then(|at| self.calls.get(at as usize))
            .map_or(&[], Vec::as_slice)
    }
}
