//! Path patterns in the notation of `application.spec`: `builders/n:builderid/builds/n:build_number`.
//! `n:` takes a number, `i:` an identifier, `s:` any text that is not a number.

use percent_encoding::percent_decode_str;

use crate::query::is_identifier;

/// A pattern, split at `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// As written.
    pub text: &'static str,
    elements: Vec<Element>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Element {
    Literal(&'static str),
    Number(&'static str),
    Identifier(&'static str),
    Text(&'static str),
}

/// What a pattern took from a path, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures(Vec<(&'static str, Capture)>);

/// One taken element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Capture {
    /// By `n:`.
    Number(u64),
    /// By `i:` or `s:`.
    Text(String),
}

impl Pattern {
    /// Reads a pattern.
    pub fn new(text: &'static str) -> Self {
        let elements = text
            .split('/')
            .map(|element| match element.split_once(':') {
                Some(("n", name)) => Element::Number(name),
                Some(("i", name)) => Element::Identifier(name),
                Some(("s", name)) => Element::Text(name),
                _ => Element::Literal(element),
            })
            .collect();
        Self { text, elements }
    }

    /// The number of elements and the first one, which is always literal: what an index needs.
    pub fn index_key(&self) -> (usize, &'static str) {
        match self.elements[0] {
            Element::Literal(first) => (self.elements.len(), first),
            _ => unreachable!("patterns start with a literal element"),
        }
    }

    /// What the pattern takes from the decoded elements of a path, if it matches.
    pub fn captures(&self, path: &[String]) -> Option<Captures> {
        if path.len() != self.elements.len() {
            return None;
        }
        let mut captures = Captures::default();
        for (element, text) in self.elements.iter().zip(path) {
            match element {
                Element::Literal(literal) if literal == text => {}
                Element::Number(name) => captures.0.push((name, Capture::Number(number(text)?))),
                Element::Identifier(name) if is_identifier(text) => {
                    captures.0.push((name, Capture::Text(text.clone())));
                }
                Element::Text(name) if !text.is_empty() && number(text).is_none() => {
                    captures.0.push((name, Capture::Text(text.clone())));
                }
                _ => return None,
            }
        }
        Some(captures)
    }

    /// Names of what the pattern takes.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.elements.iter().filter_map(|element| match element {
            Element::Literal(_) => None,
            Element::Number(name) | Element::Identifier(name) | Element::Text(name) => Some(*name),
        })
    }
}

impl Captures {
    /// The number with that name.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.0.iter().find_map(|(known, capture)| match capture {
            Capture::Number(number) if *known == name => Some(*number),
            _ => None,
        })
    }

    /// The text with that name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|(known, capture)| match capture {
            Capture::Text(text) if *known == name => Some(text.as_str()),
            _ => None,
        })
    }

    /// For error messages: `buildid 7, step_name stdio`.
    pub fn describe(&self) -> String {
        let parts: Vec<String> = self
            .0
            .iter()
            .map(|(name, capture)| match capture {
                Capture::Number(number) => format!("{name} {number}"),
                Capture::Text(text) => format!("{name} '{text}'"),
            })
            .collect();
        parts.join(", ")
    }
}

/// Splits a path (without its leading `/`) into decoded elements.
pub fn split(path: &str) -> Vec<String> {
    path.split('/')
        .map(|element| percent_decode_str(element).decode_utf8_lossy().into_owned())
        .collect()
}

/// All digits, and an id that can exist.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // A number beyond every id is still a number: it names nothing, and is not a builder's name either.
    Some(text.parse().unwrap_or(u64::MAX).min(1 << 62))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captures(pattern: &'static str, path: &str) -> Option<String> {
        Pattern::new(pattern)
            .captures(&split(path))
            .map(|captures| captures.describe())
    }

    #[test]
    fn elements_match_by_kind() {
        let builder = "builders/s:buildername";
        assert_eq!(
            captures("builders/n:builderid", "builders/12"),
            Some("builderid 12".into())
        );
        assert_eq!(captures("builders/n:builderid", "builders/x"), None);
        assert_eq!(captures("builders/n:builderid", "builders/12/"), None);
        assert_eq!(captures(builder, "builders/12"), None);
        assert_eq!(
            captures(builder, "builders/a%2Fb%20c"),
            Some("buildername 'a/b c'".into())
        );
        assert_eq!(captures("workers/i:name", "workers/a%2Fb"), None);
        assert_eq!(
            captures("workers/i:name", "workers/a-b.c"),
            Some("name 'a-b.c'".into())
        );
        assert_eq!(captures("builds", "builds"), Some(String::new()));
        assert!(captures("builds/n:buildid", "builds/99999999999999999999999").is_some());
    }
}
