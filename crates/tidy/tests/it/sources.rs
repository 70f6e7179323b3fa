//! Rust sources: no loose ends, no giants.

use crate::support::{File, files, report};

/// A file with one subject is shorter than this, without its tests.
const LINES_MAX: usize = 600;

/// Longer ones, with the reason.
const LONG: &[(&str, &str)] = &[
    (
        "crates/logs/src/writer.rs",
        "the writer's states follow one another, and crash safety is read in one go",
    ),
    (
        "crates/store/src/resource/fields.rs",
        "a table: every field of the REST types with its column",
    ),
];

fn rust() -> impl Iterator<Item = File> {
    files().into_iter().filter(|file| {
        std::path::Path::new(&file.path)
            .extension()
            .is_some_and(|extension| extension == "rs")
    })
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// How many lines come before the unit tests at the end of a file.
fn lines_without_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    lines
        .windows(2)
        .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{'))
        .unwrap_or(lines.len())
}

#[test]
fn nothing_is_left_undone() {
    // Put together here, so that this file does not find itself.
    let words = [
        ["to", "do!("].concat(),
        ["unimple", "mented!("].concat(),
        ["#[ig", "nore"].concat(),
        ["FIX", "ME"].concat(),
        ["XX", "X:"].concat(),
    ];
    let mut findings = Vec::new();
    for file in rust() {
        for (number, line) in file.text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(word.as_str())) {
                findings.push(format!("{}:{}: {word}", file.path, number + 1));
            }
        }
    }
    report(&findings, "finish it, or open an issue for it");
}

#[test]
fn files_have_one_subject() {
    let mut findings = Vec::new();
    let mut long = Vec::new();
    for file in rust().filter(|file| !is_test(&file.path)) {
        let lines = lines_without_tests(&file.text);
        if lines <= LINES_MAX {
            continue;
        }
        long.push(file.path.clone());
        if !LONG.iter().any(|(path, _)| *path == file.path) {
            findings.push(format!("{}: {lines} lines", file.path));
        }
    }
    for (path, _) in LONG {
        if !long.iter().any(|long| long == path) {
            findings.push(format!("{path} needs no exception any more"));
        }
    }
    report(
        &findings,
        "split what has two subjects; a long file with one gets its reason in crates/tidy/tests/it/sources.rs",
    );
}

#[test]
fn every_file_says_what_it_is_for() {
    let findings: Vec<String> = rust()
        .filter(|file| !file.text.trim_start().starts_with("//!"))
        .map(|file| file.path)
        .collect();
    report(
        &findings,
        "a file starts with `//!` and a sentence about its subject",
    );
}

#[test]
fn crates_have_one_integration_test_program() {
    let findings: Vec<String> = rust()
        .map(|file| file.path)
        .filter(|path| {
            path.split_once("/tests/")
                .is_some_and(|(_, below)| !below.contains('/'))
        })
        .collect();
    report(
        &findings,
        "each would be linked by itself; put them below tests/it/",
    );
}

#[test]
fn tests_are_found_at_the_end() {
    let text = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n";
    assert_eq!(lines_without_tests(text), 2);
    assert_eq!(
        lines_without_tests("#[cfg(test)]\nmod fake_host;\nfn a() {}\n"),
        3
    );
}
