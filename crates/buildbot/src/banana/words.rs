//! The vocabulary of the dialect `pb`.

/// Word number `n` is at `n - 1`.
pub const WORDS: [&str; 31] = [
    "None",
    "class",
    "dereference",
    "reference",
    "dictionary",
    "function",
    "instance",
    "list",
    "module",
    "persistent",
    "tuple",
    "unpersistable",
    "copy",
    "cache",
    "cached",
    "remote",
    "local",
    "lcache",
    "version",
    "login",
    "password",
    "challenge",
    "logged_in",
    "not_logged_in",
    "cachemessage",
    "message",
    "answer",
    "error",
    "decref",
    "decache",
    "uncache",
];

/// The word of a number.
pub(super) fn word(number: u128) -> Option<&'static str> {
    let index = usize::try_from(number).ok()?.checked_sub(1)?;
    WORDS.get(index).copied()
}

/// The number of a word.
pub(super) fn number(word: &[u8]) -> Option<u8> {
    let index = WORDS.iter().position(|known| known.as_bytes() == word)?;
    Some(index as u8 + 1)
}
