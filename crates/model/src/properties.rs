//! Properties: named JSON values that know where they came from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The largest JSON text of one property value, in bytes.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;
/// The longest property name, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// The largest number of properties in one set.
pub const COUNT_MAX: usize = 1000;

/// One value with its source. As JSON a pair `[value, source]`, as REST v2 shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "(Value, String)", into = "(Value, String)")]
pub struct Property {
    /// Any JSON value.
    pub value: Value,
    /// Who set it: `Builder`, `Change`, `Scheduler`, a step's name …
    pub source: String,
}

impl From<(Value, String)> for Property {
    fn from((value, source): (Value, String)) -> Self {
        Self { value, source }
    }
}

impl From<Property> for (Value, String) {
    fn from(property: Property) -> Self {
        (property.value, property.source)
    }
}

/// A set of properties by name. As JSON an object `name -> [value, source]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Properties(pub BTreeMap<String, Property>);

/// A property that is too large or badly named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyError(pub String);

impl std::fmt::Display for PropertyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PropertyError {}

impl Properties {
    /// No properties.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Sets one; a later call for the same name wins.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Value>, source: impl Into<String>) {
        self.0.insert(
            name.into(),
            Property {
                value: value.into(),
                source: source.into(),
            },
        );
    }

    /// As [`Self::set`], but changes nothing if [`Self::validate`] would object.
    pub fn try_set(
        &mut self,
        name: &str,
        value: impl Into<Value>,
        source: impl Into<String>,
    ) -> Result<(), PropertyError> {
        let value = value.into();
        fits(name, &value)?;
        if !self.0.contains_key(name) {
            are_few(self.0.len() + 1)?;
        }
        self.set(name, value, source);
        Ok(())
    }

    /// The value with that name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).map(|property| &property.value)
    }

    /// Takes over all of `other`, which wins where both have a name.
    pub fn update(&mut self, other: &Properties) {
        for (name, property) in &other.0 {
            self.0.insert(name.clone(), property.clone());
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks names and sizes against the limits of this module.
    pub fn validate(&self) -> Result<(), PropertyError> {
        are_few(self.0.len())?;
        for (name, property) in &self.0 {
            fits(name, &property.value)?;
        }
        Ok(())
    }
}

fn are_few(count: usize) -> Result<(), PropertyError> {
    if count > COUNT_MAX {
        return Err(PropertyError(format!(
            "{count} properties are more than {COUNT_MAX}"
        )));
    }
    Ok(())
}

fn fits(name: &str, value: &Value) -> Result<(), PropertyError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(PropertyError(format!(
            "a property name has {} bytes, allowed are 1 to {NAME_BYTES_MAX}",
            name.len()
        )));
    }
    let size = value.to_string().len();
    if size > VALUE_BYTES_MAX {
        return Err(PropertyError(format!(
            "property \"{name}\" has {size} bytes as JSON, more than {VALUE_BYTES_MAX}"
        )));
    }
    Ok(())
}

/// A value as text, as Buildbot's users expect it in a command: strings bare, `True`, `False`, `None`,
/// lists and objects in Python's notation.
pub fn render(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => render_nested(other),
    }
}

fn render_nested(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => python_quote(text),
        Value::Array(items) => {
            format!(
                "[{}]",
                items.iter().map(render_nested).collect::<Vec<_>>().join(", ")
            )
        }
        Value::Object(map) => {
            let items: Vec<_> = map
                .iter()
                .map(|(k, v)| format!("{}: {}", python_quote(k), render_nested(v)))
                .collect();
            format!("{{{}}}", items.join(", "))
        }
    }
}

fn python_quote(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rendering_is_what_python_prints() {
        for (value, text) in [
            (json!("plain"), "plain"),
            (json!(true), "True"),
            (json!(false), "False"),
            (json!(null), "None"),
            (json!(12), "12"),
            (json!(1.5), "1.5"),
            (json!(["a", 1, null]), "['a', 1, None]"),
            (json!({"k": ["it's"]}), "{'k': [\"it's\"]}"),
        ] {
            assert_eq!(render(&value), text);
        }
    }

    #[test]
    fn limits_are_checked() {
        let mut properties = Properties::new();
        properties.set("ok", "x", "test");
        assert!(properties.validate().is_ok());
        properties.set("big", "x".repeat(VALUE_BYTES_MAX), "test");
        assert!(properties.validate().unwrap_err().0.contains("\"big\""));
    }
}
