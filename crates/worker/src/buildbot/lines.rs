//! Output as a Buildbot master wants it: text in whole lines, with one kind of line end.

use ironmaster_buildbot::{Lines, msgpack::Settings};

/// The longest line that is ever gathered, in characters, whatever a master wants.
const MAX_LINE: u64 = 1 << 20;
/// An escape sequence that has not ended after so many bytes is none.
const MAX_ESCAPE: usize = 64;

/// Makes lines of one stream. Bytes that are no UTF-8 become U+FFFD. What terminals show as a new beginning ends a line: a carriage
/// return, the cursor moved to a place or back to a marked one, the screen cleared, backspaces.
///
/// Lines that are too long are split, and nothing of them is lost.
#[derive(Debug)]
pub(super) struct LineMaker {
    /// Characters that a line may have, without its end.
    limit: usize,
    /// The beginning of a character whose end has not come yet.
    bytes: Vec<u8>,
    /// What may or may not become the end of a line.
    held: String,
    /// The line that has not ended.
    current: String,
    chars: usize,
    began: f64,
}

impl LineMaker {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            limit: settings.max_line_length.clamp(2, MAX_LINE) as usize - 1,
            bytes: Vec::new(),
            held: String::new(),
            current: String::new(),
            chars: 0,
            began: 0.0,
        }
    }

    /// Takes what was read at this time, in seconds since 1970; lines that it completes go to `to`.
    pub(super) fn push(&mut self, data: &[u8], now: f64, to: &mut Lines) {
        let mut text = std::mem::take(&mut self.held);
        if self.bytes.is_empty() {
            self.decode(data, &mut text);
        } else {
            let mut bytes = std::mem::take(&mut self.bytes);
            bytes.extend_from_slice(data);
            self.decode(&bytes, &mut text);
        }
        self.text(&text, now, to);
    }

    /// The stream is over: what is left becomes a line.
    pub(super) fn end(&mut self, now: f64, to: &mut Lines) {
        if !self.bytes.is_empty() {
            self.bytes.clear();
            let text = std::mem::take(&mut self.held) + "\u{fffd}";
            self.text(&text, now, to);
        }
        let held = std::mem::take(&mut self.held);
        if held.starts_with('\x08') {
            self.end_line(now, to);
        } else {
            self.add(&held, now, to);
        }
        if self.chars > 0 {
            self.end_line(now, to);
        }
    }

    fn decode(&mut self, data: &[u8], text: &mut String) {
        for chunk in data.utf8_chunks() {
            text.push_str(chunk.valid());
            let invalid = chunk.invalid();
            let at_end = invalid.as_ptr_range().end == data.as_ptr_range().end;
            if at_end && is_beginning(invalid) {
                self.bytes = invalid.to_vec();
            } else if !invalid.is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
    }

    fn text(&mut self, text: &str, now: f64, to: &mut Lines) {
        let bytes = text.as_bytes();
        let mut from = 0;
        let special = |byte: &u8| matches!(byte, b'\n' | b'\r' | 0x1b | 0x08);
        while let Some(found) = bytes[from..].iter().position(special) {
            let at = from + found;
            self.add(&text[from..at], now, to);
            let length = match bytes[at] {
                b'\n' => Some(1),
                b'\r' => match bytes.get(at + 1) {
                    None => None,
                    Some(b'\n') => Some(2),
                    Some(_) => Some(1),
                },
                0x08 => bytes[at..].iter().position(|byte| *byte != 0x08),
                _ => match escape(&bytes[at..]) {
                    Escape::Ends(length) => Some(length),
                    Escape::Open => None,
                    Escape::Other => {
                        self.add("\x1b", now, to);
                        from = at + 1;
                        continue;
                    }
                },
            };
            let Some(length) = length else {
                // What comes next decides.
                text[at..].clone_into(&mut self.held);
                if bytes[at] == 0x08 {
                    self.held.truncate(1);
                }
                return;
            };
            self.end_line(now, to);
            from = at + length;
        }
        self.add(&text[from..], now, to);
    }

    /// Adds what has no end of a line in it.
    fn add(&mut self, mut text: &str, now: f64, to: &mut Lines) {
        if text.is_empty() {
            return;
        }
        if self.chars == 0 {
            self.began = now;
        }
        // There are no more characters than bytes; mostly that is all there is to know.
        while self.chars + text.len() > self.limit {
            let room = self.limit - self.chars;
            let Some((at, _)) = text.char_indices().nth(room) else {
                break;
            };
            self.current.push_str(&text[..at]);
            self.end_line(now, to);
            self.began = now;
            text = &text[at..];
        }
        self.chars += text.chars().count();
        self.current.push_str(text);
    }

    fn end_line(&mut self, now: f64, to: &mut Lines) {
        to.times.push(if self.chars == 0 { now } else { self.began });
        to.text.push_str(&self.current);
        to.text.push('\n');
        self.current.clear();
        self.chars = 0;
    }
}

/// Whether more bytes could make a character of these.
fn is_beginning(bytes: &[u8]) -> bool {
    match bytes {
        [] => false,
        _ => std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none()),
    }
}

enum Escape {
    /// It ends a line, and has so many bytes.
    Ends(usize),
    /// It has not come to its end.
    Open,
    /// It means something else.
    Other,
}

/// Reads an escape sequence: `ESC [ u`, `ESC [ 2 J`, `ESC [ 1 ; 1 H` or `f`.
fn escape(bytes: &[u8]) -> Escape {
    let mut numbers = 0;
    let mut digits = 0;
    for (at, byte) in bytes.iter().enumerate().take(MAX_ESCAPE).skip(1) {
        match (at, byte) {
            (1, b'[') => {}
            (2, b'u') => return Escape::Ends(3),
            (2.., b'0'..=b'9') => digits += 1,
            (2.., b';') if digits > 0 && numbers == 0 => {
                numbers = 1;
                digits = 0;
            }
            (2.., b'H' | b'f') if digits > 0 && numbers == 1 => return Escape::Ends(at + 1),
            (3, b'J') if bytes[2] == b'2' => return Escape::Ends(4),
            _ => return Escape::Other,
        }
    }
    if bytes.len() >= MAX_ESCAPE {
        Escape::Other
    } else {
        Escape::Open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(max_line_length: u64, pieces: &[&[u8]]) -> Lines {
        let settings = Settings {
            max_line_length,
            ..Settings::default()
        };
        let (mut maker, mut lines) = (LineMaker::new(&settings), Lines::default());
        for (number, piece) in pieces.iter().enumerate() {
            maker.push(piece, number as f64, &mut lines);
        }
        maker.end(99.0, &mut lines);
        lines
    }

    #[test]
    fn what_terminals_show_as_a_new_beginning_ends_a_line_however_it_is_cut() {
        let table: &[(&[u8], &str)] = &[
            (b"a\nb", "a\nb\n"),
            (b"a\r\nb\r\n", "a\nb\n"),
            (b"10%\r20%\r", "10%\n20%\r\n"),
            (b"a\r\r\nb", "a\n\nb\n"),
            (b"abc\x08\x08\x08xyz", "abc\nxyz\n"),
            (b"abc\x08\x08", "abc\n"),
            (b"a\x1b[ub\x1b[2Jc\x1b[10;2Hd\x1b[1;1fe", "a\nb\nc\nd\ne\n"),
            (b"\x1b[1;31mred\x1b[0m\x1b[12", "\x1b[1;31mred\x1b[0m\x1b[12\n"),
            (b"\x1b[;1Ha\x1b[1;Hb", "\x1b[;1Ha\x1b[1;Hb\n"),
            ("é 中 🦀\n".as_bytes(), "é 中 🦀\n"),
            (b"a\xff\xfeb\xe4\xb8", "a\u{fffd}\u{fffd}b\u{fffd}\n"),
            (b"", ""),
            (b"\n\n", "\n\n"),
        ];
        for (bytes, expected) in table {
            let whole = made(4096, &[bytes]);
            assert_eq!(&whole.text, expected, "{bytes:?}");
            assert_eq!(whole.times.len(), expected.matches('\n').count());
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(&made(4096, &single).text, expected, "{bytes:?}, byte by byte");
            for cut in 0..bytes.len() {
                let (before, after) = bytes.split_at(cut);
                assert_eq!(
                    &made(4096, &[before, after]).text,
                    expected,
                    "{bytes:?}, cut at {cut}"
                );
            }
        }
    }

    #[test]
    fn long_lines_are_split_without_loss() {
        let text = "é".repeat(100);
        let lines = made(40, &[text.as_bytes()]);
        let lengths: Vec<usize> = lines.text.lines().map(|line| line.chars().count()).collect();
        assert_eq!(lengths, [39, 39, 22]);
        assert_eq!(lines.text.replace('\n', ""), text);
        assert_eq!(
            made(40, &[&[b'a'; 39], b"\n"]).text,
            format!("{}\n", "a".repeat(39))
        );
        assert_eq!(
            made(40, &[&[b'a'; 39], b"b\n"]).text,
            format!("{}\nb\n", "a".repeat(39))
        );
    }

    #[test]
    fn a_line_has_the_time_at_which_it_began() {
        let lines = made(4096, &[b"a", b"b\nc", b"\n", b"d"]);
        assert_eq!(
            (lines.text.as_str(), lines.times.as_slice()),
            ("ab\nc\nd\n", [0.0, 1.0, 3.0].as_slice())
        );
    }
}
