//! What is filled in, field by field.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value, json};

use super::{Field, FieldType, Values};

/// What is wrong, by the full name of the field.
pub(in super::super) type Problems = BTreeMap<String, String>;

/// The values of fields that were filled in with `params`, or their defaults.
pub(in super::super) fn fill(
    fields: &[Field],
    params: &Map<String, Value>,
    problems: &mut Problems,
) -> Values {
    let mut values = Values::new();
    for field in fields {
        if let FieldType::Group { fields, .. } = &field.kind {
            let inside = fill(fields, params, problems);
            if field.name.is_empty() {
                values.extend(inside);
            } else {
                values.insert(field.name.clone(), Value::Object(inside));
            }
            continue;
        }
        let Some(full_name) = &field.full_name else {
            continue;
        };
        match field.value(params.get(full_name)) {
            Ok(value) => {
                values.insert(field.name.clone(), value);
            }
            Err(problem) => {
                problems.insert(full_name.clone(), problem);
            }
        }
    }
    values
}

impl Field {
    /// The value that was given, or the default.
    fn value(&self, given: Option<&Value>) -> Result<Value, String> {
        match &self.kind {
            FieldType::Fixed | FieldType::Group { .. } => return Ok(self.default.clone()),
            FieldType::List { multiple: true, .. } => return self.several(given),
            _ => {}
        }
        let given = match given {
            Some(Value::Array(items)) if items.len() > 1 => {
                return Err(format!(
                    "{}: one value is wanted, not {}",
                    self.label,
                    items.len()
                ));
            }
            given => given.map(scalar).filter(|value| !is_blank(value)),
        };
        let Some(given) = given else {
            if self.required && is_blank(&self.default) {
                return Err(self.needed());
            }
            return Ok(self.default.clone());
        };
        match &self.kind {
            FieldType::Bool => Ok(json!(given == &Value::Bool(true))),
            FieldType::Int { min, max } => self.whole_number(given, *min, *max),
            _ => self.text(given).map(Value::String),
        }
    }

    fn needed(&self) -> String {
        format!("'{}' needs to be specified", self.label)
    }

    /// Some of several choices.
    fn several(&self, given: Option<&Value>) -> Result<Value, String> {
        let items = match given {
            None | Some(Value::Null) => return self.none_of_several(),
            Some(Value::Array(items)) => items.as_slice(),
            Some(one) => std::slice::from_ref(one),
        };
        let chosen: Vec<&Value> = items.iter().filter(|item| !is_blank(item)).collect();
        if chosen.is_empty() {
            // An empty list says that nothing is chosen; a blank says nothing.
            return if items.is_empty() && !self.required {
                Ok(json!([]))
            } else {
                self.none_of_several()
            };
        }
        let texts: Result<Vec<String>, String> = chosen.into_iter().map(|item| self.text(item)).collect();
        Ok(json!(texts?))
    }

    fn none_of_several(&self) -> Result<Value, String> {
        let has_default = self.default.as_array().is_some_and(|items| !items.is_empty());
        if self.required && !has_default {
            return Err(self.needed());
        }
        Ok(self.default.clone())
    }

    fn whole_number(&self, given: &Value, min: Option<i64>, max: Option<i64>) -> Result<Value, String> {
        let number = match given {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.trim().parse::<i64>().ok(),
            _ => None,
        };
        let shown = given.as_str().map_or_else(|| given.to_string(), str::to_owned);
        let number = number.ok_or_else(|| format!("{}: '{shown}' is not a whole number", self.label))?;
        match (min, max) {
            (Some(min), _) if number < min => Err(format!("{}: {number} is less than {min}", self.label)),
            (_, Some(max)) if number > max => Err(format!("{}: {number} is more than {max}", self.label)),
            _ => Ok(number.into()),
        }
    }

    fn text(&self, given: &Value) -> Result<String, String> {
        let text = match given {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            other => return Err(format!("{}: {other} is not text", self.label)),
        };
        if let Some(pattern) = &self.regex {
            let whole = Regex::new(&format!("^(?:{pattern})$")).map_err(|_| {
                format!(
                    "{}: the pattern '{pattern}' in the configuration is broken",
                    self.label
                )
            })?;
            if !whole.is_match(&text) {
                return Err(format!(
                    "{}:'{text}' does not match pattern '{pattern}'",
                    self.label
                ));
            }
        }
        match &self.kind {
            FieldType::List {
                choices,
                strict: true,
                ..
            } if !choices.contains(&text) => Err(format!(
                "{}: '{text}' is not one of {}",
                self.label,
                choices.join(", ")
            )),
            FieldType::UserName { need_email: true } if !is_name_with_address(&text) => Err(format!(
                "{} '{text}' is not of the form 'Name <name@example.org>'",
                self.label
            )),
            FieldType::File { size_max } if text.len() as u64 > *size_max => Err(format!(
                "{}: the file has {} bytes, more than {size_max}",
                self.label,
                text.len()
            )),
            _ => Ok(text),
        }
    }
}

/// A value may come alone in a list.
pub(in super::super) fn scalar(value: &Value) -> &Value {
    match value {
        Value::Array(items) => match &items[..] {
            [] => &Value::Null,
            [one] => one,
            _ => value,
        },
        _ => value,
    }
}

pub(in super::super) fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        _ => false,
    }
}

/// Whether the text looks like `Name <name@host>`.
fn is_name_with_address(text: &str) -> bool {
    let Some((name, rest)) = text.trim().split_once('<') else {
        return false;
    };
    let Some(address) = rest.strip_suffix('>') else {
        return false;
    };
    let well_formed = |part: &str| !part.is_empty() && !part.contains([' ', '<', '>', '@']);
    !name.trim().is_empty()
        && address
            .split_once('@')
            .is_some_and(|(local, host)| well_formed(local) && well_formed(host))
}
