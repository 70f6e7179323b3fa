//! The REST `contents` form: whole lines with `\n`, a stream letter before each in logs of kind `s`, valid UTF-8.

use std::io;

use crate::{LineCursor, LineStream, LogReader, Result};

/// A part of the REST `contents` form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentsPage {
    /// Lines with stream letter (kind `s` only) and `\n`; invalid UTF-8 replaced. Cut inside a line only if `next` says so.
    pub text: String,
    /// Where to continue when `max_bytes` cut the range short.
    pub next: Option<LineCursor>,
}

/// See [`LogReader::contents_page`].
pub(crate) fn page(
    reader: &LogReader,
    from: LineCursor,
    count: Option<u64>,
    max_bytes: usize,
) -> Result<ContentsPage> {
    let mut page = reader.lines(from, count.unwrap_or(u64::MAX), max_bytes)?;
    let mut text = String::new();
    for line in &mut page.lines {
        if !line.complete
            && let Some(next) = &mut page.next
        {
            // Do not cut a character in two: what is begun here comes whole with the next page.
            let begun = incomplete_suffix(&line.bytes);
            line.bytes.truncate(line.bytes.len() - begun);
            next.offset -= begun as u64;
            if line.bytes.is_empty() {
                break;
            }
        }
        if line.offset == 0 && reader.kind().has_streams() {
            text.push(line.stream.letter());
        }
        text.push_str(&String::from_utf8_lossy(&line.bytes));
        if line.complete {
            text.push('\n');
        }
    }
    Ok(ContentsPage {
        text,
        next: page.next,
    })
}

/// Number of bytes at the end (at most 3) that begin a character which more bytes could complete.
fn incomplete_suffix(bytes: &[u8]) -> usize {
    match bytes.utf8_chunks().last() {
        Some(chunk) => match std::str::from_utf8(chunk.invalid()) {
            Err(error) if error.error_len().is_none() => chunk.invalid().len(),
            _ => 0,
        },
        None => 0,
    }
}

/// Streams the REST `contents` form; see [`LogReader::contents`].
#[derive(Debug)]
pub struct ContentsReader {
    lines: LineStream,
    letters: bool,
    /// First line that is not wanted.
    end: u64,
    text: String,
    used: usize,
    /// A piece of the current line with what the one before left over.
    bytes: Vec<u8>,
    /// Bytes of `bytes` that wait for the rest of their character.
    held: usize,
    done: bool,
}

impl ContentsReader {
    /// Text is collected up to about this before it is handed out.
    const CHUNK: usize = 32 * 1024;

    pub(crate) fn new(reader: &LogReader, first: u64, count: Option<u64>) -> Result<Self> {
        let end = first
            .saturating_add(count.unwrap_or(u64::MAX))
            .min(reader.num_lines());
        Ok(Self {
            lines: reader.line_stream(LineCursor::line(first))?,
            letters: reader.kind().has_streams(),
            end,
            text: String::new(),
            used: 0,
            bytes: Vec::new(),
            held: 0,
            done: first >= end,
        })
    }

    /// The next piece of text; empty at the end.
    pub fn chunk(&mut self) -> Result<&str> {
        if self.used == self.text.len() {
            self.fill()?;
        }
        let used = std::mem::replace(&mut self.used, self.text.len());
        Ok(self.text.get(used..).unwrap_or_default())
    }

    fn fill(&mut self) -> Result<()> {
        self.text.clear();
        self.used = 0;
        while self.text.len() < Self::CHUNK && !self.done {
            let Some(piece) = self.lines.next()? else {
                self.done = true;
                break;
            };
            if piece.offset == 0 && self.letters {
                self.text.push(piece.stream.letter());
            }
            let bytes = if self.held == 0 {
                piece.bytes
            } else {
                self.bytes.extend_from_slice(piece.bytes);
                &self.bytes
            };
            let held = if piece.complete {
                0
            } else {
                incomplete_suffix(bytes)
            };
            let (now, later) = bytes.split_at(bytes.len() - held);
            self.text.push_str(&String::from_utf8_lossy(now));
            let mut kept = [0; 4];
            kept[..held].copy_from_slice(later);
            self.bytes.clear();
            self.bytes.extend_from_slice(&kept[..held]);
            self.held = held;
            if piece.complete {
                self.text.push('\n');
                self.done = piece.number + 1 >= self.end;
            }
        }
        Ok(())
    }
}

impl io::Read for ContentsReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.used == self.text.len() {
            self.fill().map_err(io::Error::other)?;
        }
        let rest = &self.text.as_bytes()[self.used..];
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        self.used += len;
        Ok(len)
    }
}
