//! The JSON Schema says the same as the checker, as far as one key goes.

use std::path::Path;

use ironmaster_config::{Report, Severity, check, keys, schema::schema};

use crate::{
    catalogue::catalogue,
    json_schema::{json, refusals},
};

const FULL: &str = include_str!("../samples/valid/full.toml");

fn report(toml: &str) -> Report {
    check("a.toml", toml, Path::new("/nonexistent"), &catalogue()).1
}

#[test]
fn good_configurations_are_accepted() {
    let schema = schema(&catalogue());
    for toml in [FULL, include_str!("../samples/valid/warnings.toml"), ""] {
        assert_eq!(refusals(&schema, &json(toml)), [""; 0]);
    }
}

#[test]
fn bad_ones_are_refused() {
    let schema = schema(&catalogue());
    let worker = "[[worker]]\nname = \"w\"\n";
    let builder = "[[builder]]\nname = \"b\"\nworkers = []\n";
    let step = format!("{builder}[[builder.step]]\n");
    let scheduler = "[[scheduler]]\nname = \"s\"\nbuilders = [\"*\"]\n";
    for (toml, expected) in [
        ("[mastre]".to_owned(), ".mastre: additionalProperties"),
        (
            "[master]\nlog_level = \"loud\"".to_owned(),
            ".master.log_level: enum",
        ),
        ("[master]\nlease = \"5\"".to_owned(), ".master.lease: anyOf"),
        ("[master]\nlease = -1".to_owned(), ".master.lease: anyOf"),
        (
            "[limits]\nrequest_size = 1".to_owned(),
            ".limits.request_size: anyOf",
        ),
        (
            "[change_hook]\ntoken = \"a\"\ntoken_env = \"b\"".to_owned(),
            ".change_hook: oneOf",
        ),
        (worker.to_owned(), ".worker[0]: oneOf"),
        (
            format!("{worker}token = \"a\"\ntoken_file = \"b\""),
            ".worker[0]: oneOf",
        ),
        (
            format!("{worker}token = \"a\"\nslots = 0"),
            ".worker[0].slots: minimum",
        ),
        (
            format!("{worker}token = \"a\"\nslots = \"4\""),
            ".worker[0].slots: type",
        ),
        ("[worker]\nname = \"w\"".to_owned(), ".worker: type"),
        (builder.to_owned(), ".builder[0]: required"),
        (
            format!("{builder}step = []\nenv = {{ A = true }}"),
            ".builder[0].env.A: anyOf",
        ),
        (
            format!("{step}type = \"shel\"\ncommand = \"make\""),
            ".builder[0].step[0]: oneOf",
        ),
        (format!("{step}type = \"shell\""), ".builder[0].step[0]: oneOf"),
        (
            format!("{step}type = \"git\"\ncommand = \"make\""),
            ".builder[0].step[0]: oneOf",
        ),
        (format!("{scheduler}type = \"periodic\""), ".scheduler[0]: oneOf"),
        (
            format!("{scheduler}type = \"force\"\ntree_stable = \"1m\""),
            ".scheduler[0]: oneOf",
        ),
        (
            "[[change_source]]\nname = \"c\"\ntype = \"git_poller\"".to_owned(),
            ".change_source[0]: oneOf",
        ),
    ] {
        let found = refusals(&schema, &json(&toml));
        assert!(
            found.iter().any(|refusal| refusal == expected),
            "{toml}\n{found:?}"
        );
        assert!(report(&toml).has_errors(), "{toml}");
    }
}

/// Whatever is given to a key: if the checker has nothing against its type, word or size, neither has the schema, and
/// the other way round.
#[test]
fn the_schema_agrees_with_the_checker() {
    const ABOUT_ONE_VALUE: &[&str] = &[
        "wrong_type",
        "out_of_range",
        "unknown_value",
        "bad_duration",
        "bad_size",
        "bad_url",
        "bad_path",
        "bad_name",
        "unknown_key",
    ];
    // What only the checker can say of a text, a number out of several keys, or a table's inside.
    const CHECKERS_OWN: &[&str] = &["listen", "regex", "time_zone"];
    let schema = schema(&catalogue());
    let values = [
        "\"\"",
        "\"x y\"",
        "\"main\"",
        "\"5m\"",
        "\"5\"",
        "\"10MiB\"",
        "\"https://a.example/\"",
        "\"0.0.0.0:1\"",
        "0",
        "1",
        "-1",
        "5",
        "1000",
        "1001",
        "100000",
        "9000000000",
        "true",
        "false",
        "[]",
        "[\"a\"]",
        "[1]",
        "{}",
        "{ A = \"b\" }",
        "{ A = false }",
        "{ A = true }",
        "\"open\"",
        "\"info\"",
        "\"never\"",
        "\"int\"",
    ];
    let before: &[(&str, &str)] = &[
        ("master", "[master]\n"),
        ("change_hook", "[change_hook]\n"),
        ("limits", "[limits]\n"),
        ("worker", "[[worker]]\nname = \"w\"\ntoken_env = \"PATH\"\n"),
        (
            "builder",
            "[[builder]]\nname = \"b\"\nworkers = []\nstep = [{ type = \"shell\", command = \"x\" }]\n",
        ),
    ];
    let mut compared = 0;
    for (section, before) in before {
        let keys = keys::TOP.iter().find(|keys| keys.name() == *section).unwrap();
        for key in keys.keys {
            if before.contains(&format!("{} =", key.name))
                || key.name.starts_with("token")
                || CHECKERS_OWN.contains(&key.name)
            {
                continue;
            }
            for value in values {
                let toml = format!("{before}{} = {value}\n", key.name);
                let found = refusals(&schema, &json(&toml));
                let report = report(&toml);
                let refused = report.findings.iter().any(|finding| {
                    finding.severity == Severity::Error && ABOUT_ONE_VALUE.contains(&finding.code)
                });
                // A duration in words has its bounds in the checker only.
                let bounds = report
                    .findings
                    .iter()
                    .any(|finding| finding.code == "out_of_range")
                    && value.starts_with('"');
                if !bounds {
                    assert_eq!(refused, !found.is_empty(), "{toml}\n{found:?}\n{report}");
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 400, "{compared}");
}
