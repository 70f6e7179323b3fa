//! Masks secrets in a file's text, so that an excerpt can be shown. The masked text has the same length and
//! the same lines, so that places stay true.

use std::ops::Range;

/// Keys whose value is a secret, wherever they stand.
const SECRET_WORDS: &[&str] = &["token", "password", "passwd", "secret"];

/// A copy of `text` with all `spans` masked, and every value that is assigned to a key that sounds like a
/// secret. The second rule holds for text that is not TOML at all, and for keys that are misspelt.
pub(crate) fn mask(text: &str, spans: &[Range<usize>]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for span in spans.iter().cloned().chain(assignments(text)) {
        if let Some(value) = bytes.get_mut(span) {
            for byte in value {
                if !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b'\'') {
                    *byte = b'*';
                }
            }
        }
    }
    // Every byte of a character outside ASCII became a star, or none did.
    String::from_utf8(bytes).unwrap_or_default()
}

/// The values of `token = …` and the like: to the end of the quotes, or of the line where there are none.
fn assignments(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (equals, _) in text.match_indices('=') {
        let before = text[..equals].trim_end();
        let before = before.strip_suffix(['"', '\'']).unwrap_or(before);
        let key_start = before
            .rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-')))
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        if !is_secret_key(&before[key_start..]) {
            continue;
        }
        let after = &text[equals + 1..];
        let start = equals + 1 + (after.len() - after.trim_start_matches([' ', '\t']).len());
        let value = &text[start..];
        let line_end = value.find('\n').unwrap_or(value.len());
        let end = if let Some(quotes) = ["\"\"\"", "'''"].into_iter().find(|q| value.starts_with(q)) {
            value[3..].find(quotes).map_or(value.len(), |at| at + 3)
        } else if let Some(quote) = ['"', '\''].into_iter().find(|q| value.starts_with(*q)) {
            closing_quote(&value[..line_end], quote).unwrap_or(line_end)
        } else {
            line_end
        };
        found.push(start..start + end);
    }
    found
}

/// Where the quote that the text starts with is closed.
fn closing_quote(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            c if c == quote => return Some(at),
            _ => {}
        }
    }
    None
}

/// Whether a key sounds like a secret: `token`, `api_token`, `tokne`, but not `token_file`.
pub(crate) fn is_secret_key(key: &str) -> bool {
    let key = key.to_lowercase();
    if key.ends_with("_file") || key.ends_with("_env") {
        return false;
    }
    SECRET_WORDS.iter().any(|word| {
        let mistakes = if word.len() > 5 { 2 } else { 1 };
        key.contains(word) || strsim::damerau_levenshtein(&key, word) <= mistakes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_lengths_kept() {
        for (text, expected) in [
            ("token = \"abc def\"\n", "token = \"*** ***\"\n"),
            ("token='abc' # note", "token='***' # note"),
            ("  token   =   \"a\\\"b\" x", "  token   =   \"**\"*\" x"),
            (
                "{ name = \"n\", token = \"abc\", slots = 1 }",
                "{ name = \"n\", token = \"***\", slots = 1 }",
            ),
            ("token = abc\nname = \"n\"", "token = ***\nname = \"n\""),
            ("token = \"abc\nname = \"n\"", "token = \"***\nname = \"n\""),
            (
                "token = \"\"\"\nab\ncd\"\"\"\nx=1",
                "token = \"\"\"\n**\n**\"\"\"\nx=1",
            ),
            ("\"token\" = \"abc\"", "\"token\" = \"***\""),
            ("worker.token = \"abc\"", "worker.token = \"***\""),
            ("tokne = \"abc\"", "tokne = \"***\""),
            ("api_token = \"äb\"", "api_token = \"***\""),
            ("token_file = \"abc\"", "token_file = \"abc\""),
            ("token_env = \"ABC\"", "token_env = \"ABC\""),
            ("name = \"abc\"", "name = \"abc\""),
            ("token", "token"),
            ("token =", "token ="),
            ("= é = ", "= é = "),
        ] {
            let masked = mask(text, &[]);
            assert_eq!(masked, expected, "{text}");
            assert_eq!(masked.len(), text.len(), "{text}");
        }
    }

    #[test]
    fn spans_are_masked() {
        for (text, span, expected) in [("x = 'abc'", 4..9, "x = '***'"), ("short", 3..99, "short")] {
            assert_eq!(mask(text, std::slice::from_ref(&span)), expected);
        }
    }
}
