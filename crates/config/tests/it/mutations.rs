//! Configurations that are almost right, in both spellings: a report or definitions, and never a panic.

use std::path::Path;

use ironmaster_config::check;
use proptest::prelude::*;

use crate::{catalogue::catalogue, spellings::starlark};

const FULL: &str = include_str!("../samples/valid/full.toml");

const PARTS: &[&str] = &[
    "\"",
    "'",
    "\"\"\"",
    "\n",
    "=",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "(",
    ")",
    ",",
    ".",
    ":",
    "#",
    "-",
    "1",
    "0",
    "-1",
    "99999999999999999999",
    "1e999",
    "true",
    "True",
    "None",
    "name",
    "token",
    "type",
    "steps",
    "step",
    "worker",
    "é",
    "\u{0}",
    "%(",
    ")s",
    "label:",
    "*",
    "\\",
    "for x in ",
    "range(9)",
    " if ",
    "def f():",
    "1979-05-27",
    "\"5m\"",
    "lambda: ",
    "load(\"x.star\", \"x\")",
    "master(",
    "[master]\n",
    "[[builder.step]]\n",
];

fn run(name: &str, text: &str) {
    let (loaded, report) = check(name, text, Path::new("/nonexistent"), &catalogue());
    assert_eq!(loaded.is_none(), report.has_errors(), "{text}\n{report}");
    let shown = report.render(false);
    assert_eq!(shown.is_empty(), report.is_empty());
    for finding in &report.findings {
        if let Some(place) = &finding.place {
            assert!(text.get(place.span.clone()).is_some(), "{text}\n{finding:?}");
        }
    }
}

fn changed(text: &str, changes: &[(usize, usize, usize)]) -> String {
    let mut text = text.to_owned();
    let boundary = |text: &str, mut at: usize| {
        at %= text.len() + 1;
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    for (place, removed, part) in changes {
        let from = boundary(&text, *place);
        let to = boundary(&text, (from + removed).min(text.len()));
        text.replace_range(from..to.max(from), PARTS[*part]);
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_toml_is_checked(changes in prop::collection::vec((any::<usize>(), 0usize..30, 0..PARTS.len()), 1..5)) {
        run("a.toml", &changed(FULL, &changes));
    }

    #[test]
    fn changed_starlark_is_checked(changes in prop::collection::vec((any::<usize>(), 0usize..30, 0..PARTS.len()), 1..5)) {
        run("a.star", &changed(&starlark(FULL).unwrap(), &changes));
    }
}
