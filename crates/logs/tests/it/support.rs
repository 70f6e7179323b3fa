//! A naive log to compare with, and what several tests need.

use std::io::Read;

use ironmaster_logs::{
    FinishedLog, FinishedStorage, LineCursor, LogKind, LogReader, LogSource, LogStore, LogWriter, Options,
    Position, Stream,
};
use tempfile::TempDir;

/// One thing that a source does, with where the source is before it.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    Bytes(Position, Stream, Vec<u8>),
    EndLines(Position),
}

/// A log as simple as can be: lines in a vector.
#[derive(Debug, Default, Clone)]
pub(crate) struct Model {
    pub(crate) lines: Vec<(Stream, Vec<u8>)>,
    pub(crate) partial: Vec<(Stream, Vec<u8>)>,
}

impl Model {
    pub(crate) fn of(items: &[Item]) -> Self {
        let mut model = Self::default();
        for item in items {
            match item {
                Item::Bytes(_, stream, bytes) => model.append(*stream, bytes),
                Item::EndLines(_) => {
                    for (stream, mut line) in std::mem::take(&mut model.partial) {
                        line.push(b'\n');
                        model.lines.push((stream, line));
                    }
                }
            }
        }
        model
    }

    fn append(&mut self, stream: Stream, bytes: &[u8]) {
        for byte in bytes {
            let open = self.partial.iter().position(|(other, _)| *other == stream);
            let at = open.unwrap_or_else(|| {
                self.partial.push((stream, Vec::new()));
                self.partial.len() - 1
            });
            self.partial[at].1.push(*byte);
            if *byte == b'\n' {
                let line = self.partial.remove(at);
                self.lines.push(line);
            }
        }
    }

    pub(crate) fn finish(&mut self) {
        let count = self.partial.len();
        for (i, (stream, mut line)) in std::mem::take(&mut self.partial).into_iter().enumerate() {
            if i + 1 < count {
                line.push(b'\n');
            }
            self.lines.push((stream, line));
        }
    }

    pub(crate) fn raw(&self) -> Vec<u8> {
        self.lines.iter().flat_map(|(_, line)| line.clone()).collect()
    }

    pub(crate) fn contents(&self, kind: LogKind) -> String {
        let mut text = String::new();
        for (stream, line) in &self.lines {
            if kind.has_streams() {
                text.push(stream.letter());
            }
            text.push_str(&String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line)));
            text.push('\n');
        }
        text
    }
}

/// Sizes so small that a few bytes make blocks, frames and sparse indexes.
pub(crate) fn tiny() -> Options {
    Options {
        inline_limit: 64,
        block_bytes: 40,
        frame_bytes: 200,
        index_marks: 4,
        ..Options::default()
    }
}

pub(crate) fn store(options: Options) -> (TempDir, LogStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open(dir.path().join("logs"), options).unwrap();
    (dir, store)
}

pub(crate) fn at(ordinal: u32, offset: u64) -> Position {
    Position::new(ordinal, offset)
}

/// Gives items to a writer from the one that holds `from` on, as a source would that goes on there.
pub(crate) fn feed(writer: &mut LogWriter, item: &Item) {
    match item {
        Item::Bytes(start, stream, bytes) => writer.append(*start, *stream, bytes).unwrap(),
        Item::EndLines(start) => writer.end_lines(*start).unwrap(),
    }
}

pub(crate) fn open_finished(store: &LogStore, key: u64, log_id: u64, finished: &FinishedLog) -> LogReader {
    let source = match &finished.storage {
        FinishedStorage::Inline(bytes) => LogSource::Inline(bytes),
        FinishedStorage::File => LogSource::File { key, log_id },
    };
    LogReader::open(store, source).unwrap()
}

pub(crate) fn raw(reader: &LogReader) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.raw().unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

pub(crate) fn contents(reader: &LogReader, first: u64, count: Option<u64>) -> String {
    let mut text = String::new();
    reader
        .contents(first, count)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    text
}

/// All lines from `from` on, read page by page.
pub(crate) fn lines(reader: &LogReader, from: u64, count: u64, page: usize) -> Vec<(Stream, Vec<u8>)> {
    let mut found: Vec<(Stream, Vec<u8>)> = Vec::new();
    let mut next = Some(LineCursor::line(from));
    let end = from.saturating_add(count);
    while let Some(cursor) = next {
        let got = reader.lines(cursor, end - cursor.line, page).unwrap();
        for (i, line) in got.lines.iter().enumerate() {
            if line.offset == 0 {
                assert_eq!(line.number, from + found.len() as u64);
                found.push((line.stream, line.bytes.clone()));
            } else {
                assert_eq!(i, 0, "only the first line of a page may be a rest");
                let last = found.last_mut().unwrap();
                assert_eq!(last.1.len() as u64, line.offset);
                last.1.extend_from_slice(&line.bytes);
            }
            assert_eq!(
                line.complete,
                i + 1 < got.lines.len() || got.next.is_none_or(|next| next.offset == 0)
            );
        }
        if let Some(next) = got.next {
            assert!(next > cursor, "a page must get on");
        }
        next = got.next;
    }
    found
}

/// Compares everything that a reader can say with the model.
pub(crate) fn check_all(reader: &LogReader, model: &Model) {
    let whole = model.raw();
    assert_eq!(reader.num_lines(), model.lines.len() as u64);
    assert_eq!(reader.raw_bytes(), whole.len() as u64);
    assert_eq!(raw(reader), whole);
    assert_eq!(contents(reader, 0, None), model.contents(reader.kind()));
    let bare: Vec<(Stream, Vec<u8>)> = model
        .lines
        .iter()
        .map(|(stream, line)| (*stream, line.strip_suffix(b"\n").unwrap_or(line).to_vec()))
        .collect();
    assert_eq!(lines(reader, 0, u64::MAX, 1 << 20), bare);
    // Pages of one or a few bytes, but not thousands of them.
    assert_eq!(lines(reader, 0, u64::MAX, 1 + whole.len() / 20), bare);
    let n = bare.len();
    for first in [0, 1, n / 3, n / 2, n.saturating_sub(1), n, n + 5] {
        let rest = bare.get(first..).unwrap_or_default();
        assert_eq!(
            lines(reader, first as u64, u64::MAX, 100),
            rest,
            "from line {first}"
        );
        let two = &rest[..rest.len().min(2)];
        assert_eq!(lines(reader, first as u64, 2, 1 << 20), two);
        let text = Model {
            lines: model.lines[first.min(n)..(first + 2).min(n)].to_vec(),
            ..Model::default()
        };
        assert_eq!(
            contents(reader, first as u64, Some(2)),
            text.contents(reader.kind())
        );
    }
    let len = whole.len();
    for start in [0, 1, len / 3, len / 2, len.saturating_sub(1), len, len + 5] {
        for end in [start, start + 1, start + len / 4, len + 9] {
            let mut part = Vec::new();
            reader
                .raw_range(start as u64, end as u64)
                .unwrap()
                .read_to_end(&mut part)
                .unwrap();
            let wanted = &whole[start.min(len)..end.min(len)];
            assert_eq!(part, wanted, "raw {start}..{end}");
        }
    }
}

/// How many cases a property is tried with: `PROPTEST_CASES`, or that many.
pub(crate) fn cases(default: u32) -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// Joins what `line` makes of the numbers.
pub(crate) fn text_of(numbers: std::ops::Range<u64>, line: impl Fn(u64) -> String) -> String {
    numbers.map(line).collect::<Vec<String>>().concat()
}
