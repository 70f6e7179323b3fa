//! What would change if one plan took the place of another: by name, and within a definition by key.

use std::collections::BTreeSet;

use ironmaster_model::Plan;
use serde_json::{Map, Value};

/// The longest value that is shown, in characters.
const SHOWN_MAX: usize = 60;

/// A definition that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it defines: `builder`, `worker`, …
    pub section: String,
    /// Its name.
    pub name: String,
    /// What becomes of it.
    pub what: What,
}

/// What becomes of a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It is new.
    Added,
    /// It is not there any more.
    Removed,
    /// These keys of it have other values.
    Changed(Vec<KeyDifference>),
}

/// A key that has another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDifference {
    /// Where: `steps[1].command`.
    pub key: String,
    /// Its value so far, as JSON, cut short; none if there was none.
    pub old: Option<String>,
    /// Its new value.
    pub new: Option<String>,
}

/// Everything that differs, in the order of sections and names.
pub fn diff(old: &Plan, new: &Plan) -> Vec<Difference> {
    // Whatever a plan has by name is compared, also what comes to plans later.
    let (Value::Object(old), Value::Object(new)) = (json(old), json(new)) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for section in names(&old, &new) {
        let (Some(old), Some(new)) = (section_of(&old, section), section_of(&new, section)) else {
            continue;
        };
        for name in names(old, new) {
            let what = match (old.get(name), new.get(name)) {
                (None, Some(_)) => What::Added,
                (Some(_), None) => What::Removed,
                (Some(before), Some(after)) if before != after => {
                    let mut keys = Vec::new();
                    compare("", Some(before), Some(after), &mut keys);
                    What::Changed(keys)
                }
                _ => continue,
            };
            found.push(Difference {
                section: section.strip_suffix('s').unwrap_or(section).replace('_', " "),
                name: name.clone(),
                what,
            });
        }
    }
    found
}

/// The definitions of a section; empty if a plan has none of them.
fn section_of<'p>(plan: &'p Map<String, Value>, section: &str) -> Option<&'p Map<String, Value>> {
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    match plan.get(section) {
        None => Some(&NONE),
        Some(Value::Object(definitions)) => Some(definitions),
        Some(_) => None,
    }
}

fn json(plan: &Plan) -> Value {
    serde_json::to_value(plan).expect("plans have text keys only")
}

fn names<'m>(old: &'m Map<String, Value>, new: &'m Map<String, Value>) -> BTreeSet<&'m String> {
    old.keys().chain(new.keys()).collect()
}

fn compare(at: &str, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<KeyDifference>) {
    if old == new {
        return;
    }
    match (old, new) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            for key in names(old, new) {
                // What kinds of steps know stands beside the step's own keys when it is written.
                let inner = match (at.is_empty(), key.as_str()) {
                    (_, "params" | "flags") => at.to_owned(),
                    (true, key) => key.to_owned(),
                    (false, key) => format!("{at}.{key}"),
                };
                compare(&inner, old.get(key), new.get(key), found);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new)))
            if old.iter().chain(new).all(Value::is_object) && old.len() == new.len() =>
        {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                compare(&format!("{at}[{}]", index + 1), Some(old), Some(new), found);
            }
        }
        _ => {
            let secret = at.ends_with("_sha256");
            let show = |value: &Value| if secret { "***".to_owned() } else { shown(value) };
            found.push(KeyDifference {
                key: at.strip_suffix("_sha256").unwrap_or(at).to_owned(),
                old: old.map(show),
                new: new.map(show),
            });
        }
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN_MAX {
        return text;
    }
    let cut: String = text.chars().take(SHOWN_MAX).collect();
    format!("{cut}…")
}
