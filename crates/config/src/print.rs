//! What a configuration comes to, for people: every definition with its defaults, the same for the same configuration in
//! either spelling. The identity is left out, because that is of the files; so are the settings, which `check` only reads.

use ironmaster_model::Plan;
use serde_json::Value;

/// The definitions as JSON.
pub fn json(plan: &Plan) -> String {
    format!("{:#}\n", definitions(plan))
}

/// The definitions as TOML. What is null is left out, but for variables that are unset, which are false.
pub fn toml(plan: &Plan) -> String {
    // A plan has names for keys and nothing that TOML has not, once nulls are gone.
    converted(&definitions(plan), false)
        .and_then(|value| toml::to_string_pretty(&value).ok())
        .unwrap_or_default()
}

fn definitions(plan: &Plan) -> Value {
    let mut value = serde_json::to_value(plan).unwrap_or_default();
    if let Some(plan) = value.as_object_mut() {
        plan.remove("digest");
    }
    value
}

fn converted(value: &Value, unset: bool) -> Option<toml::Value> {
    Some(match value {
        Value::Null if unset => toml::Value::Boolean(false),
        Value::Null => return None,
        Value::Bool(bool) => toml::Value::Boolean(*bool),
        Value::Number(number) => number.as_i64().map_or_else(
            || toml::Value::Float(number.as_f64().unwrap_or_default()),
            toml::Value::Integer,
        ),
        Value::String(text) => toml::Value::String(text.clone()),
        Value::Array(items) => {
            toml::Value::Array(items.iter().filter_map(|item| converted(item, false)).collect())
        }
        Value::Object(entries) => toml::Value::Table(
            entries
                .iter()
                .filter_map(|(name, value)| {
                    let value = match value {
                        Value::Object(variables) if name == "env" => toml::Value::Table(
                            variables
                                .iter()
                                .filter_map(|(name, value)| Some((name.clone(), converted(value, true)?)))
                                .collect(),
                        ),
                        other => converted(other, false)?,
                    };
                    Some((name.clone(), value))
                })
                .collect(),
        ),
    })
}
