//! Texts with a grammar of their own: names, globs, interpolation.

use ironmaster_model::Template;

use crate::checker::{Checker, Span, Text};

impl Checker<'_> {
    /// Reports what is wrong with the `%(…)s` in a text, at its place inside the text.
    pub(crate) fn template(&mut self, text: &Text) {
        if let Err(error) = Template::parse(&text.value) {
            let span = self.inside(text, error.at);
            self.error("bad_interpolation", span, error.message);
        }
    }

    /// Reports what is wrong with a glob. Compiled as the engine's filter does it.
    pub(crate) fn glob(&mut self, text: &Text) {
        let glob = globset::GlobBuilder::new(&text.value)
            .literal_separator(true)
            .build();
        if let Err(error) = glob {
            self.error(
                "bad_glob",
                text.span,
                format!("`{}` is not a glob: {}", text.value, error.kind()),
            );
        }
    }

    /// Reports what is wrong with a regular expression.
    pub(crate) fn regex(&mut self, text: &Text) {
        if let Err(error) = regex::Regex::new(&text.value) {
            let reason = error.to_string();
            let reason = reason
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ");
            self.error(
                "bad_regex",
                text.span,
                format!("`{}` is not a regular expression: {reason}", text.value),
            );
        }
    }

    /// The place of byte `at` of a text. Where the configuration spells the text with escapes, the whole text.
    fn inside(&self, text: &Text, at: usize) -> Span {
        let raw = self.sources.text(text.span);
        let start = ["\"\"\"\n", "'''\n", "\"\"\"", "'''", "\"", "'"]
            .iter()
            .find(|quote| raw.starts_with(**quote))
            .map_or(0, |quote| quote.len());
        if start == 0 || raw.get(start..start + text.value.len()) != Some(text.value.as_str()) {
            return text.span;
        }
        // Up to the end of the word, so that the caret marks more than a character.
        let rest = text.value.get(at..).unwrap_or_default();
        let len = rest
            .bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
            .count();
        let char_len = rest.chars().next().map_or(1, char::len_utf8);
        let from = text.span.start + (start + at) as u32;
        Span {
            start: from,
            end: from + len.max(char_len) as u32,
            ..text.span
        }
    }

    /// Checks a name that may be any text.
    pub(crate) fn any_name(&mut self, what: &str, name: &Text) {
        let length = name.value.chars().count();
        if length == 0 || length > 255 {
            self.error(
                "bad_name",
                name.span,
                format!("the name of {what} has {length} characters; allowed are 1 to 255"),
            );
        } else if name.value.chars().any(char::is_control) {
            self.error(
                "bad_name",
                name.span,
                format!("the name of {what} holds a control character"),
            );
        } else if name.value.trim() != name.value {
            self.error(
                "bad_name",
                name.span,
                format!("the name of {what} starts or ends with white space"),
            );
        }
    }

    /// Checks a name that must be an identifier: `^[a-zA-Z_-][a-zA-Z0-9._-]*$`.
    pub(crate) fn identifier(&mut self, what: &str, name: &Text) {
        let bytes = name.value.as_bytes();
        let tail = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let head = |byte: &u8| tail(byte) && !byte.is_ascii_digit() && *byte != b'.';
        let fits = bytes.len() <= 255 && bytes.first().is_some_and(head) && bytes.iter().all(tail);
        if !fits {
            self.error_help(
                "bad_name",
                name.span,
                format!("`{}` cannot be the name of {what}", name.value),
                Some(
                    "use letters, digits, `_`, `.` and `-`, starting with a letter, `_` or `-`; at most 255"
                        .to_owned(),
                ),
            );
        }
    }
}
