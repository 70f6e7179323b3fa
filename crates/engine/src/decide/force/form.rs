//! The fields of a form: as they are shown, and as what is filled in is checked.

use ironmaster_model::{ForceDef, ForceField, ForceFieldKind, SchedulerDef, SchedulerKind};
use regex::Regex;
use serde_json::{Map, Value, json};

/// One field, as shown and as checked.
pub(super) struct Field {
    name: String,
    pub(super) full_name: String,
    label: String,
    kind: FieldType,
    default: Value,
    required: bool,
    regex: Option<String>,
    tooltip: String,
    size: u32,
}

enum FieldType {
    Username,
    Text,
    Textarea,
    Int,
    Bool,
    List { choices: Vec<String>, strict: bool },
}

/// The fields that every form begins with.
pub(super) fn general(definition: &SchedulerDef, form: &ForceDef) -> Vec<Field> {
    vec![
        Field {
            size: 30,
            ..Field::new("username", "Your name:", FieldType::Username, json!(""))
        },
        Field {
            required: form.reason_required,
            size: 20,
            ..Field::new("reason", "reason", FieldType::Text, json!(form.reason))
        },
        Field::new("priority", "priority", FieldType::Int, json!(definition.priority)),
    ]
}

/// The fields that name what is built.
pub(super) fn source(form: &ForceDef) -> Vec<Field> {
    let defaults = &form.source;
    [
        (
            "branch",
            "Branch:",
            defaults.branch.as_deref().unwrap_or_default(),
        ),
        ("project", "Project:", &defaults.project),
        ("repository", "Repository:", &defaults.repository),
        ("revision", "Revision:", ""),
    ]
    .into_iter()
    .map(|(name, label, default)| Field {
        full_name: source_name(form, name),
        ..Field::new(name, label, FieldType::Text, json!(default))
    })
    .collect()
}

pub(super) fn source_name(form: &ForceDef, attribute: &str) -> String {
    match form.source.codebase.as_str() {
        "" => attribute.to_owned(),
        codebase => format!("{codebase}_{attribute}"),
    }
}

impl Field {
    fn new(name: &str, label: &str, kind: FieldType, default: Value) -> Self {
        Self {
            name: name.to_owned(),
            full_name: name.to_owned(),
            label: label.to_owned(),
            kind,
            default,
            required: false,
            regex: None,
            tooltip: String::new(),
            size: 10,
        }
    }

    pub(super) fn own(field: &ForceField) -> Self {
        let kind = match &field.kind {
            ForceFieldKind::String => FieldType::Text,
            ForceFieldKind::Text => FieldType::Textarea,
            ForceFieldKind::Int => FieldType::Int,
            ForceFieldKind::Bool => FieldType::Bool,
            ForceFieldKind::Choice { choices, strict } => FieldType::List {
                choices: choices.clone(),
                strict: *strict,
            },
        };
        let label = if field.label.is_empty() {
            &field.name
        } else {
            &field.label
        };
        Self {
            required: field.required,
            regex: field.regex.clone(),
            tooltip: field.tooltip.clone(),
            ..Field::new(&field.name, label, kind, field.default.clone())
        }
    }

    /// As REST v2 shows it.
    fn json(&self) -> Value {
        let kind = match &self.kind {
            FieldType::Username => "username",
            FieldType::Text => "text",
            FieldType::Textarea => "textarea",
            FieldType::Int => "int",
            FieldType::Bool => "bool",
            FieldType::List { .. } => "list",
        };
        let mut item = base_json(
            &self.name,
            Some(&self.full_name),
            &self.label,
            kind,
            &self.default,
        );
        item.insert("required".into(), json!(self.required));
        item.insert("regex".into(), json!(self.regex));
        item.insert("tooltip".into(), json!(self.tooltip));
        match &self.kind {
            FieldType::Username => {
                item.insert("size".into(), json!(self.size));
                item.insert("need_email".into(), json!(true));
            }
            FieldType::Text | FieldType::Int => {
                item.insert("size".into(), json!(self.size));
            }
            FieldType::Textarea => {
                item.insert("size".into(), json!(self.size));
                item.insert("cols".into(), json!(80));
                item.insert("rows".into(), json!(20));
            }
            FieldType::Bool => {}
            FieldType::List { choices, strict } => {
                item.insert("choices".into(), json!(choices));
                item.insert("strict".into(), json!(strict));
            }
        }
        Value::Object(item)
    }

    /// The value that was given, or the default.
    pub(super) fn value(&self, params: &Map<String, Value>) -> Result<Value, String> {
        let given = match params.get(&self.full_name) {
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
                return Err(format!("'{}' needs to be specified", self.label));
            }
            return Ok(self.default.clone());
        };
        match &self.kind {
            FieldType::Bool => Ok(json!(given == &Value::Bool(true))),
            FieldType::Int => self.whole_number(given),
            FieldType::Text | FieldType::Textarea | FieldType::Username | FieldType::List { .. } => {
                self.text(given)
            }
        }
    }

    fn whole_number(&self, given: &Value) -> Result<Value, String> {
        let number = match given {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.trim().parse::<i64>().ok(),
            _ => None,
        };
        let shown = given.as_str().map_or_else(|| given.to_string(), str::to_owned);
        number
            .map(Value::from)
            .ok_or_else(|| format!("{}: '{shown}' is not a whole number", self.label))
    }

    fn text(&self, given: &Value) -> Result<Value, String> {
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
            } if !choices.contains(&text) => Err(format!(
                "{}: '{text}' is not one of {}",
                self.label,
                choices.join(", ")
            )),
            FieldType::Username if !is_name_with_address(&text) => Err(format!(
                "{} '{text}' is not of the form 'Name <name@example.org>'",
                self.label
            )),
            _ => Ok(Value::String(text)),
        }
    }
}

/// A value may come alone in a list.
pub(super) fn scalar(value: &Value) -> &Value {
    match value {
        Value::Array(items) => match &items[..] {
            [] => &Value::Null,
            [one] => one,
            _ => value,
        },
        _ => value,
    }
}

pub(super) fn is_blank(value: &Value) -> bool {
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

fn base_json(
    name: &str,
    full_name: Option<&str>,
    label: &str,
    kind: &str,
    default: &Value,
) -> Map<String, Value> {
    let Value::Object(item) = json!({
        "name": name,
        "fullName": full_name,
        "label": label,
        "tablabel": label,
        "type": kind,
        "default": default,
        "required": false,
        "multiple": false,
        "regex": null,
        "hide": false,
        "maxsize": null,
        "autopopulate": null,
        "tooltip": "",
    }) else {
        unreachable!("an object literal");
    };
    item
}

fn group(name: &str, label: &str, columns: u32, fields: &[Value]) -> Value {
    let full_name = (!name.is_empty()).then_some(name);
    let mut item = base_json(name, full_name, label, "nested", &json!(""));
    item.insert("layout".into(), json!("vertical"));
    item.insert("columns".into(), json!(columns));
    item.insert("fields".into(), json!(fields));
    Value::Object(item)
}

/// The form of a force scheduler as REST v2 describes it (`all_fields`); empty for schedulers of other kinds.
pub fn force_fields(definition: &SchedulerDef) -> Vec<Value> {
    let SchedulerKind::Force(form) = &definition.kind else {
        return Vec::new();
    };
    let shown = |fields: Vec<Field>| fields.iter().map(Field::json).collect::<Vec<_>>();
    let codebase = &form.source.codebase;
    let label = if codebase.is_empty() {
        String::new()
    } else {
        format!("Codebase: {codebase}")
    };
    let mut all = vec![
        group("", "", 1, &shown(general(definition, form))),
        group(codebase, &label, 2, &shown(source(form))),
    ];
    all.extend(form.fields.iter().map(|field| Field::own(field).json()));
    all
}
