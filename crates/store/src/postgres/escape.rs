//! PostgreSQL's text holds every character but NUL. Texts of the world may have one (a commit message, a property), and what is
//! read must equal what was written, so it is kept as two characters: one that Unicode promises never to give a meaning to,
//! and a digit.
//!
//! In text of JSON, NUL stands as `\u0000`, which PostgreSQL's functions refuse too; it is kept in the same way.

use std::borrow::Cow;

/// A noncharacter, which texts do not have; where one does, it is kept as itself and [`ITSELF`].
const MARK: char = '\u{fdd0}';
const NUL: char = '0';
const ITSELF: char = '1';
const JSON_NUL: &str = "\\u0000";

/// A text as PostgreSQL can keep it.
pub(crate) fn text(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains(['\0', MARK]) {
        return text;
    }
    let mut kept = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\0' => kept.extend([MARK, NUL]),
            MARK => kept.extend([MARK, ITSELF]),
            other => kept.push(other),
        }
    }
    Cow::Owned(kept)
}

/// Text of a JSON value as PostgreSQL can keep it.
pub(crate) fn json(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains(MARK) && !text.contains(JSON_NUL) {
        return text;
    }
    let mut kept = String::with_capacity(text.len() + 8);
    let mut rest = &*text;
    while let Some(at) = rest.find(['\\', MARK]) {
        kept.push_str(&rest[..at]);
        rest = &rest[at..];
        // A backslash goes with what it escapes: `\\u0000` has no NUL in it.
        let taken = if rest.starts_with(MARK) {
            kept.extend([MARK, ITSELF]);
            MARK.len_utf8()
        } else if rest.starts_with(JSON_NUL) {
            kept.extend([MARK, NUL]);
            JSON_NUL.len()
        } else {
            let pair = rest.chars().take(2).map(char::len_utf8).sum();
            kept.push_str(&rest[..pair]);
            pair
        };
        rest = &rest[taken..];
    }
    kept.push_str(rest);
    Cow::Owned(kept)
}

/// Whether a kept text is not what it stands for.
pub(super) fn is_escaped(text: &str) -> bool {
    text.contains(MARK)
}

/// The way back from [`text`].
pub(crate) fn text_back(kept: &str) -> String {
    back(kept, "\0")
}

/// The way back from [`json`].
pub(crate) fn json_back(kept: &str) -> String {
    back(kept, JSON_NUL)
}

fn back(kept: &str, nul: &str) -> String {
    let mut text = String::with_capacity(kept.len());
    let mut characters = kept.chars();
    while let Some(character) = characters.next() {
        match character {
            MARK if characters.next() == Some(NUL) => text.push_str(nul),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn odd() -> impl Strategy<Value = String> {
        prop::collection::vec(
            prop_oneof![
                Just('\0'),
                Just(MARK),
                Just('\\'),
                Just('u'),
                Just('0'),
                Just('1'),
                Just('"'),
                any::<char>()
            ],
            0..20,
        )
        .prop_map(|characters| characters.into_iter().collect())
    }

    proptest! {
        #[test]
        fn what_is_kept_comes_back(original in odd()) {
            let kept = text(Cow::Borrowed(&original));
            prop_assert!(!kept.contains('\0'));
            prop_assert_eq!(is_escaped(&kept), kept != original);
            prop_assert_eq!(text_back(&kept), original);
        }

        #[test]
        fn json_comes_back_and_stays_json(key in odd(), value in odd()) {
            let original = serde_json::json!({ key: [value, 1] }).to_string();
            let kept = json(Cow::Borrowed(&original));
            prop_assert!(serde_json::from_str::<Value>(&kept).is_ok(), "{}", kept);
            let has_nul = serde_json::from_str::<Value>(&kept).unwrap().to_string().contains(JSON_NUL);
            // What looks like one behind an escaped backslash is none.
            prop_assert!(!has_nul || kept.contains("\\\\u0000"), "{}", kept);
            prop_assert_eq!(json_back(&kept), original);
        }
    }
}
