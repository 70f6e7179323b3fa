//! The same configuration in both spellings: the same definitions, and the same mistakes.

use std::{fmt::Write, fs, path::Path};

use ironmaster_config::{Loaded, Report, check, keys, print};
use toml::{Table, Value};

use crate::catalogue::catalogue;

/// A TOML configuration as Starlark: sections are calls, lists of sections have the plural's name, and steps are
/// called by their kind.
pub(crate) fn starlark(text: &str) -> Option<String> {
    let table: Table = toml::from_str(text).ok()?;
    let mut out = String::new();
    for (name, value) in &table {
        let known = keys::TOP.iter().find(|section| section.name() == name)?;
        match value {
            Value::Table(section) if !known.repeats() => call(&mut out, name, section)?,
            Value::Array(sections) if known.repeats() => {
                for section in sections {
                    call(&mut out, name, section.as_table()?)?;
                }
            }
            _ => return None,
        }
        out.push('\n');
    }
    Some(out)
}

fn call(out: &mut String, function: &str, section: &Table) -> Option<()> {
    write!(out, "{function}(").ok()?;
    for (name, value) in section {
        if !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return None;
        }
        match (function, name.as_str(), value) {
            ("builder", "step", Value::Array(steps)) => {
                out.push_str("steps = [");
                for step in steps {
                    let step = step.as_table()?;
                    match step.get("type").and_then(Value::as_str) {
                        Some(kind) if catalogue().steps.iter().any(|known| known.name == kind) => {
                            let mut rest = step.clone();
                            rest.remove("type");
                            call(out, kind, &rest)?;
                        }
                        _ => call(out, "step", step)?,
                    }
                    out.push_str(", ");
                }
                out.push(']');
            }
            ("scheduler", "field" | "user", Value::Array(items)) => {
                write!(out, "{name}s = [").ok()?;
                for item in items {
                    call(out, name, item.as_table()?)?;
                    out.push_str(", ");
                }
                out.push(']');
            }
            ("pipeline", "job", Value::Array(jobs)) => {
                out.push_str("jobs = [");
                for job in jobs {
                    call(out, "job", job.as_table()?)?;
                    out.push_str(", ");
                }
                out.push(']');
            }
            ("builder", "step", _) | ("scheduler", "field" | "user", _) | ("pipeline", "job", _) => {
                return None;
            }
            _ => {
                write!(out, "{name} = ").ok()?;
                literal(out, value);
            }
        }
        out.push_str(", ");
    }
    out.push_str(")\n");
    Some(())
}

fn literal(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => {
            let _ = write!(out, "{}", serde_json::Value::from(text.as_str()));
        }
        Value::Boolean(true) => out.push_str("True"),
        Value::Boolean(false) => out.push_str("False"),
        Value::Array(items) => {
            out.push('[');
            for item in items {
                literal(out, item);
                out.push_str(", ");
            }
            out.push(']');
        }
        Value::Table(table) => {
            out.push('{');
            for (name, value) in table {
                let _ = write!(out, "{}: ", serde_json::Value::from(name.as_str()));
                literal(out, value);
                out.push_str(", ");
            }
            out.push('}');
        }
        Value::Datetime(date) => {
            let _ = write!(out, "\"{date}\"");
        }
        other => out.push_str(&other.to_string()),
    }
}

fn read(name: &str, text: &str) -> (Option<Loaded>, Report) {
    check(name, text, Path::new("/nonexistent"), &catalogue())
}

/// What a configuration comes to, but for the identity, which is that of the files.
fn meaning(loaded: &Loaded) -> (ironmaster_model::Plan, ironmaster_config::Settings) {
    let mut plan = loaded.plan.clone();
    plan.digest.clear();
    (plan, loaded.settings.clone())
}

fn codes(report: &Report) -> Vec<&'static str> {
    let mut codes: Vec<_> = report.findings.iter().map(|finding| finding.code).collect();
    codes.sort_unstable();
    codes
}

fn samples(kind: &str) -> Vec<(String, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/samples")
        .join(kind);
    let mut samples: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| (path.display().to_string(), fs::read_to_string(&path).unwrap()))
        .collect();
    samples.sort();
    samples
}

#[test]
fn both_spellings_give_the_same_definitions() {
    for (name, toml) in samples("valid") {
        let star = starlark(&toml).unwrap();
        let (of_toml, toml_report) = read("a.toml", &toml);
        let (of_star, star_report) = read("a.star", &star);
        let of_star = of_star.unwrap_or_else(|| panic!("{name}\n{star}\n{star_report}"));
        assert_eq!(meaning(&of_toml.unwrap()), meaning(&of_star), "{name}\n{star}");
        assert_eq!(
            codes(&toml_report),
            codes(&star_report),
            "{name}\n{toml_report}\n{star_report}"
        );
    }
}

#[test]
fn both_spellings_have_the_same_mistakes() {
    let mut compared = 0;
    for (name, toml) in samples("invalid") {
        // What is broken as TOML, or has the wrong shape, has no like in Starlark.
        let Some(star) = starlark(&toml) else { continue };
        let (_, toml_report) = read("a.toml", &toml);
        let (_, star_report) = read("a.star", &star);
        assert_eq!(
            codes(&toml_report),
            codes(&star_report),
            "{name}\n{star}\n{toml_report}\n{star_report}"
        );
        compared += 1;
    }
    assert!(compared >= 5, "{compared}");
}

/// Each key's own example, and what is none, by itself.
#[test]
fn each_key_is_the_same_in_both_spellings() {
    let mut compared = 0;
    for section in keys::TOP {
        for key in section.keys {
            for value in [
                key.example,
                "\"x y\"",
                "-1",
                "1.5",
                "true",
                "[]",
                "[1]",
                "{ a = [1, { b = false }] }",
                "[[\"a\"]]",
            ] {
                let header = section.header;
                let toml = format!("{header}\n{} = {value}\n", key.name);
                let Some(star) = starlark(&toml) else { continue };
                let (of_toml, toml_report) = read("a.toml", &toml);
                let (of_star, star_report) = read("a.star", &star);
                assert_eq!(
                    codes(&toml_report),
                    codes(&star_report),
                    "{star}\n{toml_report}\n{star_report}"
                );
                assert_eq!(
                    of_toml.as_ref().map(meaning),
                    of_star.as_ref().map(meaning),
                    "{star}"
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 200, "{compared}");
}

/// What `ironmaster check --print` shows.
#[test]
fn definitions_are_printed_alike() {
    for (name, toml) in samples("valid") {
        let of_toml = read("a.toml", &toml).0.unwrap().plan;
        let of_star = read("a.star", &starlark(&toml).unwrap()).0.unwrap().plan;
        assert_eq!(print::json(&of_toml), print::json(&of_star), "{name}");
        assert_eq!(print::toml(&of_toml), print::toml(&of_star), "{name}");
        let shown: serde_json::Value = serde_json::from_str(&print::json(&of_toml)).unwrap();
        let builders = shown["builders"].as_object().unwrap().len();
        assert_eq!(builders, of_toml.builders.len(), "{name}");
        let shown: Table = toml::from_str(&print::toml(&of_toml)).unwrap();
        assert_eq!(shown["builders"].as_table().unwrap().len(), builders, "{name}");
    }
    let full = read("a.toml", &samples("valid")[1].1).0.unwrap().plan;
    let shown: Table = toml::from_str(&print::toml(&full)).unwrap();
    let env = &shown["builders"]["zlib on linux"]["env"];
    assert_eq!(env["LANG"], Value::Boolean(false));
    assert_eq!(env["CC"], Value::String("clang".to_owned()));
}
