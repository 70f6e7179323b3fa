//! Masks secrets in a file's text, so that an excerpt can be shown. The masked text has the same length and
//! the same lines, so that places stay true.

use std::{collections::BTreeSet, ops::Range};

use aho_corasick::AhoCorasick;

/// Keys whose value is a secret, wherever they stand.
const SECRET_WORDS: &[&str] = &["token", "password", "passwd", "secret"];

/// A secret shorter than this is not looked for elsewhere: it could be any word.
const VALUE_BYTES_MIN: usize = 8;

/// Texts that can be shown.
#[derive(Debug)]
pub(crate) struct Masked {
    /// Each as long as the original, and with the same lines.
    pub(crate) texts: Vec<String>,
    /// The secrets that were found, so that messages can be kept free of them.
    pub(crate) values: Values,
}

/// Secrets that are looked for together: a configuration may have as many as it has workers.
#[derive(Debug)]
pub(crate) struct Values {
    /// `None` if they are more than can be looked for (gigabytes): then every text is one.
    search: Option<AhoCorasick>,
}

impl Values {
    fn new(values: impl Iterator<Item = String>) -> Self {
        let values: BTreeSet<String> = values.filter(|value| value.len() >= VALUE_BYTES_MIN).collect();
        Self {
            search: AhoCorasick::new(values).ok(),
        }
    }

    /// Where they stand, in order; those that overlap are one place.
    fn places(&self, text: &str) -> Vec<Range<usize>> {
        let Some(search) = &self.search else {
            return std::iter::once(0..text.len()).collect();
        };
        let mut places: Vec<Range<usize>> = search
            .find_overlapping_iter(text)
            .map(|found| found.range())
            .collect();
        places.sort_unstable_by_key(|place| (place.start, place.end));
        places.dedup_by(|next, place| {
            let overlaps = next.start < place.end;
            if overlaps {
                place.end = place.end.max(next.end);
            }
            overlaps
        });
        places
    }

    /// The text with `***` in their places.
    pub(crate) fn hide(&self, mut text: String) -> String {
        for place in self.places(&text).into_iter().rev() {
            text.replace_range(place, "***");
        }
        text
    }
}

/// Masks the places of each text, every value that is given to a key that sounds like a secret, and every other place
/// where one of these values, or of `values`, stands. The second holds for text that cannot be read at all, and for keys
/// that are misspelt.
pub(crate) fn mask(texts: &[(&str, Vec<Range<usize>>)], values: &[String]) -> Masked {
    let spans: Vec<Vec<Range<usize>>> = texts
        .iter()
        .map(|(text, given)| given.iter().cloned().chain(secret_values(text)).collect())
        .collect();
    let found = texts.iter().zip(&spans).flat_map(|((text, _), spans)| {
        spans
            .iter()
            .filter_map(|span| text.get(span.clone()))
            .map(|value| value.trim().trim_matches(['"', '\'']).to_owned())
    });
    let values = Values::new(found.chain(values.iter().cloned()));
    let texts = texts
        .iter()
        .zip(spans)
        .map(|((text, _), spans)| starred(text, spans.into_iter().chain(values.places(text))))
        .collect();
    Masked { texts, values }
}

fn starred(text: &str, spans: impl Iterator<Item = Range<usize>>) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for span in spans {
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

/// The values of keys that sound like a secret: to the end of the quotes, or of the line where there are none.
/// The equals sign may be missing.
fn secret_values(text: &str) -> Vec<Range<usize>> {
    let is_key = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find(is_key).map(|offset| at + offset) {
        let word = &text[start..];
        let word = &word[..word.find(|c| !is_key(c)).unwrap_or(word.len())];
        let end = start + word.len();
        at = end;
        if !is_secret_key(word) {
            continue;
        }
        let after = &text[end..];
        let unquoted = after.strip_prefix(['"', '\'']);
        // A dict of Starlark has its keys in quotes, with a colon behind.
        let assigns: &[char] = if unquoted.is_some() { &['=', ':'] } else { &['='] };
        let after = unquoted.unwrap_or(after).trim_start_matches([' ', '\t']);
        let after = match after.strip_prefix(assigns) {
            Some(value) => value.trim_start_matches([' ', '\t']),
            // Where a key may stand, a text follows one whose equals sign was forgotten.
            None if after.starts_with(['"', '\'']) && begins_key(&text[..start]) => after,
            None => continue,
        };
        let value = text.len() - after.len()..text.len() - after.len() + value_len(after);
        at = value.end;
        found.push(value);
    }
    found
}

/// Whether a key may follow: at the start of a line, or in an inline table.
fn begins_key(before: &str) -> bool {
    let before = before.trim_end_matches([' ', '\t']);
    let before = before.strip_suffix(['"', '\'']).unwrap_or(before);
    before.is_empty() || before.ends_with(['\n', '{', ',', '.', '('])
}

/// How long the value is that a text starts with.
fn value_len(text: &str) -> usize {
    let line_end = text.find('\n').unwrap_or(text.len());
    if let Some(quotes) = ["\"\"\"", "'''"]
        .into_iter()
        .find(|quotes| text.starts_with(quotes))
    {
        text[3..].find(quotes).map_or(text.len(), |at| at + 3)
    } else if let Some(quote) = ['"', '\''].into_iter().find(|quote| text.starts_with(*quote)) {
        closing_quote(&text[..line_end], quote).unwrap_or(line_end)
    } else {
        line_end
    }
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
        // Each of these is a mistake by itself. Nearly all words are told apart by that, without comparing them.
        let strange = |c: &char| !key.contains(*c);
        let few =
            word.len().abs_diff(key.len()) <= mistakes && word.chars().filter(strange).count() <= mistakes;
        key.contains(word) || few && strsim::damerau_levenshtein(&key, word) <= mistakes
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
            ("token \"abc\"", "token \"***\""),
            ("{ a = 1, token \"abc\" }", "{ a = 1, token \"***\" }"),
            ("x = \"a token 'abc'\"", "x = \"a token 'abc'\""),
            ("x = \"y\"token = \"abc\"", "x = \"y\"token = \"***\""),
            (
                "a = \"long-secret\"\ntoken = \"long-secret\"",
                "a = \"***********\"\ntoken = \"***********\"",
            ),
            ("{\"token\": \"abc\", \"a\": 1}", "{\"token\": \"***\", \"a\": 1}"),
            ("worker('a', token = \"abc\")", "worker('a', token = \"***\")"),
            ("%(secret:abc", "%(secret:abc"),
            ("token", "token"),
            ("token =", "token ="),
            ("= é = ", "= é = "),
        ] {
            let masked = mask(&[(text, vec![])], &[]).texts.remove(0);
            assert_eq!(masked, expected, "{text}");
            assert_eq!(masked.len(), text.len(), "{text}");
        }
    }

    #[test]
    fn secrets_that_overlap_are_hidden_whole() {
        let secrets = ["aaaabbbb", "bbbbcccc", "aaaabbbbcc", "zzzzzzzz"].map(str::to_owned);
        let text = "x aaaabbbbcccc y zzzzzzzzz aaaabbb";
        let masked = mask(&[(text, vec![])], &secrets);
        assert_eq!(masked.texts, ["x ************ y ********* aaaabbb"]);
        assert_eq!(masked.values.hide(text.to_owned()), "x *** y *** aaaabbb");
        assert_eq!(masked.values.hide("none".to_owned()), "none");
    }

    #[test]
    fn spans_are_masked() {
        for (text, span, expected) in [("x = 'abc'", 4..9, "x = '***'"), ("short", 3..99, "short")] {
            assert_eq!(mask(&[(text, vec![span])], &[]).texts, [expected]);
        }
    }
}
