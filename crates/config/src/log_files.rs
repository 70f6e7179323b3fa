//! Files on the worker that become logs of a step: `log_files = { "test.log" = "out/test.log" }`.

use ironmaster_model::wrong_path;
use serde_json::{Map, Value, json};

use crate::{
    checker::{Checker, Text},
    suggest,
    tree::{Data, Entry, Node},
};

/// The most log files of one step: what one command of a worker can have.
const FILES_MAX: usize = 32;
/// What a file can say of itself.
const KEYS: [&str; 2] = ["path", "follow"];
/// What a value looks like, as TOML.
const EXAMPLE: &str = "{ \"test.log\" = \"out/test.log\" }";

/// Reads a table of log files; each becomes `{"path", "follow"}`. `taken` are the logs that the step has anyway.
pub(crate) fn read(checker: &mut Checker<'_>, key: &str, value: &Node, taken: &[&str]) -> Option<Value> {
    let Some(table) = value.as_table() else {
        checker.wrong_table(key, value, EXAMPLE);
        return None;
    };
    if table.entries.len() > FILES_MAX {
        checker.error(
            "too_many",
            value.span,
            format!(
                "`{key}` names {} files; a step can have {FILES_MAX}",
                table.entries.len()
            ),
        );
        return None;
    }
    let mut out = Map::new();
    let mut complete = true;
    for entry in &table.entries {
        let name = Text {
            value: entry.name.clone(),
            span: entry.name_span,
        };
        checker.any_name("a log", &name);
        if taken.contains(&entry.name.as_str()) {
            checker.error_help(
                "duplicate",
                entry.name_span,
                format!("`{}` is the log of what the command prints", entry.name),
                Some("give the file's log another name".to_owned()),
            );
        }
        match file(checker, entry) {
            Some(file) => {
                out.insert(entry.name.clone(), file);
            }
            None => complete = false,
        }
    }
    complete.then_some(Value::Object(out))
}

fn file(checker: &mut Checker<'_>, entry: &Entry) -> Option<Value> {
    let name = &entry.name;
    let (at, follow) = match &entry.node.data {
        Data::Text(_) => (&entry.node, false),
        Data::Table(table) => {
            for unknown in table
                .entries
                .iter()
                .filter(|entry| !KEYS.contains(&entry.name.as_str()))
            {
                checker.error_help(
                    "unknown_key",
                    unknown.name_span,
                    format!("log file `{name}` has no key `{}`", unknown.name),
                    suggest::help(&unknown.name, KEYS),
                );
            }
            let follow = match table.entry("follow") {
                None => false,
                Some(follow) => {
                    let wanted = checker.spelling.pick("true or false", "True or False");
                    let given = follow.node.as_bool();
                    if given.is_none() {
                        checker.wrong_type("follow", &follow.node, wanted);
                    }
                    given?
                }
            };
            let Some(path) = table.entry("path") else {
                checker.error(
                    "missing_key",
                    entry.node.span,
                    format!("log file `{name}` needs a `path`"),
                );
                return None;
            };
            (&path.node, follow)
        }
        _ => {
            let wanted = "the file's path or a table with `path` and `follow`";
            checker.wrong_type(name, &entry.node, wanted);
            return None;
        }
    };
    let Some(path) = at.as_str() else {
        checker.wrong_type("path", at, "text in quotes");
        return None;
    };
    if let Some(wrong) = wrong_path(path) {
        checker.error_help(
            "bad_path",
            at.span,
            format!("the path of log file `{name}` {wrong}"),
            Some("it is seen from `workdir`, and stays below it".to_owned()),
        );
        return None;
    }
    checker.template(&Text {
        value: path.to_owned(),
        span: at.span,
    });
    Some(json!({ "path": path, "follow": follow }))
}
