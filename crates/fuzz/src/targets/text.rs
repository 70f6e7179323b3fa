//! Texts that people and other programs write.

use std::path::Path;

use ironmaster_config::Report;
use ironmaster_model::{Catalogue, Properties, Scope, Template};
use ironmaster_worker::buildbot::tac::{Tac, Value};

/// A configuration.
pub(crate) fn config(input: &[u8]) {
    configuration("fuzz.toml", input);
}

/// A configuration of this name, whose end says what it is spelt in. What is wrong with it.
pub(super) fn configuration(name: &str, input: &[u8]) -> Report {
    let text = String::from_utf8_lossy(input);
    let catalogue = Catalogue {
        steps: ironmaster_steps::step_kinds(),
        change_sources: ironmaster_changes::change_source_kinds(),
    };
    let (loaded, report) = ironmaster_config::check(name, &text, Path::new("/nonexistent"), &catalogue);
    assert_eq!(
        loaded.is_none(),
        report.has_errors(),
        "it is refused for a reason"
    );
    for finding in &report.findings {
        if let Some(place) = &finding.place {
            assert!(text.get(place.span.clone()).is_some(), "it points into the text");
        }
    }
    let _ = report.render(false);
    report
}

/// A text with `%(prop:name)s` and the like.
pub(crate) fn interpolate(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    match Template::parse(&text) {
        Ok(template) => {
            let mut properties = Properties::new();
            properties.set("name", "value", "fuzz");
            let scope = Scope {
                properties: &properties,
                sourcestamps: &[],
                worker: None,
            };
            let _ = template.render(&scope);
        }
        Err(error) => assert!(error.at <= text.len(), "it points into the text"),
    }
}

/// A job file of a try client.
pub(crate) fn try_job(input: &[u8]) {
    match ironmaster_changes::parse_try_job(input) {
        Ok(job) => assert!(job.builders.len() <= ironmaster_changes::try_job::BUILDERS_MAX),
        Err(error) => assert!(!error.to_string().is_empty(), "it says what is wrong"),
    }
}

/// A form of the generic change hook: `name=value&name=value`, without escapes.
pub(crate) fn change_hook(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let form: Vec<(String, String)> = text
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    match ironmaster_changes::parse_base(&form) {
        Ok(change) => assert!(!change.author.is_empty()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let _ = ironmaster_changes::authorized(Some(&text), "00");
}

/// What git prints for the poller: `ls-remote`'s lines, or `diff-tree`'s texts with NUL between them. It comes from a
/// pipe, in pieces of any size.
pub(crate) fn git(input: &[u8]) {
    let whole = ironmaster_changes::poller::read_output(input, usize::MAX);
    for piece in [1, 7, 4096] {
        let again = ironmaster_changes::poller::read_output(input, piece);
        assert_eq!(again, whole, "pieces of {piece} bytes make no difference");
    }
    let hash =
        |text: &str| matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    for (branch, revision) in &whole.heads {
        assert!(!branch.is_empty() && !branch.contains(['\t', '\n', ':', '*']) && hash(revision));
    }
    for texts in whole.commits.iter().flatten() {
        assert!(hash(&texts[0]));
        let len: usize = texts.iter().map(String::len).sum();
        // A byte that is not UTF-8 becomes three, and so does the end of a text that was cut.
        assert!(len <= 3 * (input.len() + texts.len()), "nothing is made up");
    }
}

/// The file of a stock worker.
pub(crate) fn tac(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let tac = Tac::read(&text);
    for name in ["basedir", "passwd", "port", "umask"] {
        let Some(assigned) = tac.get(&[name]) else {
            continue;
        };
        let line = text.lines().nth(assigned.line - 1).unwrap_or_default();
        assert!(
            line.trim_start().starts_with(name),
            "it says where it found something"
        );
        if let Value::Text(text) = &assigned.value {
            assert!(
                text.len() <= line.len() * 2,
                "a text is no longer than what it is written as"
            );
        }
    }
}
