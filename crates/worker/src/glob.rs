//! Patterns for paths: `*`, `?` and `[a-z]` within a name, `**` for any folders. As shells do it, a wildcard does
//! not match a name that begins with a dot.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use crate::paths::Failure;

/// The most bytes that paths or names may take in one answer; it has to fit a message.
const MAX_ANSWER: usize = 512 * 1024;

/// What an answer has taken so far, as it is written in a message: there a control character of a name takes six bytes.
#[derive(Debug, Default)]
pub(crate) struct Size(usize);

impl Size {
    /// Adds a text. Says whether there was room for it.
    pub(crate) fn add(&mut self, text: &str) -> bool {
        let comma = 1;
        self.0 += serde_json::to_string(text).map_or(MAX_ANSWER, |json| json.len()) + comma;
        self.0 <= MAX_ANSWER
    }
}

/// The paths below `base` that match, relative to it and sorted.
pub(crate) fn find(base: &Path, pattern: &str, cancel: &AtomicBool) -> Result<Vec<String>, Failure> {
    let mut parts: Vec<&str> = pattern
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.is_empty() {
        return Err(Failure::invalid("the pattern is empty"));
    }
    if parts.len() > 64 || pattern.len() > 4096 {
        return Err(Failure::invalid("the pattern is too long"));
    }
    if parts.last() == Some(&"**") {
        // At the end it means everything below, as files are looked for with it.
        parts.push("*");
    }
    let mut search = Search {
        base,
        cancel,
        found: Vec::new(),
        size: Size::default(),
        rest: vec![(PathBuf::new(), &parts)],
    };
    // Not one call in another: builds can make folders so deep that no stack would do.
    while let Some((here, parts)) = search.rest.pop() {
        search.look(here, parts)?;
    }
    search.found.sort();
    search.found.dedup();
    Ok(search.found)
}

struct Search<'a> {
    base: &'a Path,
    cancel: &'a AtomicBool,
    found: Vec<String>,
    size: Size,
    /// Paths, relative to the base directory, that have to be looked at, each with the rest of the pattern.
    rest: Vec<(PathBuf, &'a [&'a str])>,
}

impl<'a> Search<'a> {
    /// Folders that cannot be read hold no matches.
    fn look(&mut self, here: PathBuf, parts: &'a [&'a str]) -> Result<(), Failure> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(Failure::invalid("interrupted"));
        }
        let [part, rest @ ..] = parts else {
            let text = here.to_string_lossy().into_owned();
            if !self.size.add(&text) {
                return Err(Failure::invalid(
                    "the pattern matches too many paths for one answer; make it narrower",
                ));
            }
            self.found.push(text);
            return Ok(());
        };
        if *part != "**" && !part.contains(['*', '?', '[']) {
            let next = here.join(part);
            if self.base.join(&next).symlink_metadata().is_ok() {
                self.rest.push((next, rest));
            }
            return Ok(());
        }
        let entries = fs::read_dir(self.base.join(&here));
        for entry in entries.into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if *part == "**" {
                // Links are not followed, so that a loop of links ends.
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if is_folder && !name.starts_with('.') {
                    self.rest.push((here.join(name), parts));
                }
            } else if matches(part.as_bytes(), name.as_bytes()) {
                self.rest.push((here.join(name), rest));
            }
        }
        if *part == "**" {
            self.rest.push((here, rest));
        }
        Ok(())
    }
}

/// Whether a name matches a pattern. Linear in the name for each star: only the last star is ever retried.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    let (mut at, mut read) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while read < name.len() {
        let step = match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at + 1, read));
                at += 1;
                continue;
            }
            Some(b'?') => Some(at + 1),
            Some(b'[') => class(pattern, at, name[read]),
            Some(byte) => (*byte == name[read]).then_some(at + 1),
            None => None,
        };
        match (step, &mut retry) {
            (Some(next), _) => {
                at = next;
                read += 1;
            }
            (None, Some((star, from))) => {
                *from += 1;
                (at, read) = (*star, *from);
            }
            (None, None) => return false,
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// Where the pattern goes on after a `[…]` that has this byte. A bracket that is never closed stands for itself.
fn class(pattern: &[u8], at: usize, byte: u8) -> Option<usize> {
    let mut position = at + 1;
    let negated = matches!(pattern.get(position), Some(b'!' | b'^'));
    position += usize::from(negated);
    let first = position;
    let mut found = false;
    loop {
        match pattern.get(position) {
            None => return (byte == b'[').then_some(at + 1),
            Some(b']') if position > first => break,
            Some(low) => {
                if pattern.get(position + 1) == Some(&b'-')
                    && let Some(high) = pattern.get(position + 2).filter(|high| **high != b']')
                {
                    found |= (*low..=*high).contains(&byte);
                    position += 3;
                } else {
                    found |= *low == byte;
                    position += 1;
                }
            }
        }
    }
    (found != negated).then_some(position + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_in_a_shell() {
        let table = [
            ("*", "a.txt", true),
            ("*.txt", "a.txt", true),
            ("*.txt", "a.txt.gz", false),
            ("a*b*c", "aXbbYc", true),
            ("?", "", false),
            ("?at", "cat", true),
            ("[a-c]at", "bat", true),
            ("[!a-c]at", "bat", false),
            ("[]x]", "]", true),
            ("[a", "[a", true),
            ("*", ".hidden", false),
            (".*", ".hidden", true),
            ("", "", true),
            ("**a", "ba", true),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn paths_are_found_sorted_once_and_without_following_loops() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["a/x.xml", "a/b/y.xml", "a/b/z.txt", "c.xml", ".git/q.xml"] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        std::os::unix::fs::symlink("..", folder.path().join("a/loop")).unwrap();
        let find = |pattern: &str| find(folder.path(), pattern, &AtomicBool::new(false)).unwrap();
        assert_eq!(find("**/*.xml"), ["a/b/y.xml", "a/x.xml", "c.xml"]);
        assert_eq!(find("a/*"), ["a/b", "a/loop", "a/x.xml"]);
        assert_eq!(find("a/**/**/*.txt"), ["a/b/z.txt"]);
        assert_eq!(find("a/b/**"), ["a/b/y.xml", "a/b/z.txt"]);
        assert_eq!(find("./c.xml"), ["c.xml"]);
        assert!(find("none/*").is_empty());
    }
}
