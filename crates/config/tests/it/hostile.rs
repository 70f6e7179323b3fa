//! Files that are broken, cut off or very large: no panic, no secret, no long wait.

use std::path::Path;

use ironmaster_config::check;

use crate::{catalogue::catalogue, spellings::starlark};

const SAMPLES: [&str; 2] = [
    include_str!("../samples/valid/full.toml"),
    include_str!("../samples/invalid/tokens.toml"),
];

/// No message about a file may show a secret, also when the file is not TOML any more.
#[track_caller]
fn check_secret_kept(name: &str, text: &str) {
    let (_, report) = check(name, text, Path::new("/nonexistent"), &catalogue());
    let shown = report.render(false);
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(!format!("{report:?}").contains("hunter2"), "{report:?}");
}

/// Every place in and just behind a line with a secret.
fn places(sample: &str) -> Vec<usize> {
    sample
        .match_indices("hunter2")
        .flat_map(|(at, _)| {
            let start = sample[..at].rfind('\n').map_or(0, |end| end + 1);
            let end = sample[at..].find('\n').map_or(sample.len(), |end| at + end + 2);
            start..end.min(sample.len())
        })
        .filter(|at| sample.is_char_boundary(*at))
        .collect()
}

/// The samples in both spellings, with the names of their files.
fn samples() -> Vec<(&'static str, String)> {
    SAMPLES
        .iter()
        .flat_map(|sample| {
            [
                ("a.toml", Some((*sample).to_owned())),
                ("a.star", starlark(sample)),
            ]
        })
        .filter_map(|(name, text)| Some((name, text?)))
        .collect()
}

#[test]
fn a_file_may_end_anywhere() {
    for (name, sample) in &samples() {
        for at in places(sample) {
            check_secret_kept(name, &sample[..at]);
        }
    }
}

#[test]
fn any_character_may_be_missing() {
    for (name, sample) in &samples() {
        for at in places(sample) {
            let mut text = sample.clone();
            text.remove(at);
            check_secret_kept(name, &text);
        }
    }
}

#[test]
fn any_line_may_be_missing() {
    for (name, sample) in &samples() {
        let lines: Vec<_> = sample.lines().collect();
        for without in 0..lines.len() {
            let kept = lines.iter().enumerate().filter(|(at, _)| *at != without);
            let text = kept.fold(String::new(), |text, (_, line)| text + line + "\n");
            check_secret_kept(name, &text);
        }
    }
}

#[test]
fn very_many_mistakes_are_counted_and_not_all_shown() {
    let text = "[[worker]]\nname = 5\nunknown = 1\n".repeat(20_000);
    let (loaded, report) = check("test.toml", &text, Path::new("/nonexistent"), &catalogue());
    assert!(loaded.is_none());
    assert!(report.findings.len() < 1000, "{}", report.findings.len());
    let shown = report.render(false);
    assert!(
        shown.contains("more findings are left out"),
        "{}",
        report.summary()
    );
    assert!(shown.len() < 1_000_000, "{}", shown.len());
}

#[test]
fn deep_nesting_is_refused() {
    let text = format!("x = {}", "[".repeat(100_000));
    let (loaded, report) = check("test.toml", &text, Path::new("/nonexistent"), &catalogue());
    assert!(loaded.is_none() && report.has_errors());
}
