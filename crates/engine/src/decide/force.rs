//! A force scheduler's button: the form is checked, and becomes a buildset.
//!
//! The form that people see ([`force_fields`]) and the check of what they fill in are made from one list of fields, so
//! that they cannot differ.

use std::collections::BTreeMap;

use ironmaster_model::{
    BuilderId, ForceDef, ForceField, ForceFieldKind, NewSourceStamp, SchedulerDef, SchedulerKind,
};
use regex::Regex;
use serde_json::{Map, Value, json};

use super::{NewBuildset, buildset, invalid};
use crate::{Refusal, Reply, State, Tx, schedulers};

/// Source of the properties that a form sets.
const SOURCE: &str = "Force Build Form";

pub(super) fn force(
    tx: &mut Tx<'_>,
    name: &str,
    params: &Map<String, Value>,
    owner: Option<String>,
) -> Result<Reply, Refusal> {
    let state = tx.state();
    let found = state.scheduler_by_name(name).filter(|record| record.active);
    let (Some(record), Some(definition)) = (found, state.plan().schedulers.get(name)) else {
        return Err(not_found(name));
    };
    let SchedulerKind::Force(form) = &definition.kind else {
        return Err(not_found(name));
    };
    if !record.enabled {
        return Err(Refusal::Conflict {
            reason: format!("force scheduler \"{name}\" is switched off"),
        });
    }
    let filled = Filled::new(definition, form, params, owner);
    let builders = chosen_builders(state, definition, params);
    let (filled, builders) = match (filled, builders) {
        (Ok(filled), Ok(builders)) => (filled, builders),
        (filled, builders) => {
            let mut fields = filled.err().unwrap_or_default();
            fields.extend(builders.err().unwrap_or_default());
            return Err(Refusal::Invalid { fields });
        }
    };
    let mut properties = schedulers::base_properties(definition);
    for (name, value) in filled.properties {
        properties.set(name, value, SOURCE);
    }
    properties.set("reason", filled.reason.as_str(), SOURCE);
    properties.set("owner", filled.owner.as_str(), SOURCE);
    properties
        .validate()
        .map_err(|error| invalid("properties", error.to_string()))?;
    let scheduler = name.to_owned();
    let stamp = buildset::stamp(tx, filled.stamp);
    let (buildset, requests) = buildset::create(
        tx,
        NewBuildset {
            reason: format!("A build was forced by '{}': {}", filled.owner, filled.reason),
            scheduler,
            sourcestamps: vec![stamp],
            changes: Vec::new(),
            properties,
            builders,
            priority: filled.priority,
            rebuilt_build: None,
        },
    );
    Ok(Reply::Buildset { buildset, requests })
}

fn not_found(name: &str) -> Refusal {
    Refusal::NotFound {
        what: format!("force scheduler \"{name}\""),
    }
}

type Problems = BTreeMap<String, String>;

/// The builders that the caller names, which must be the scheduler's; all of them if none is named.
fn chosen_builders(
    state: &State,
    definition: &SchedulerDef,
    params: &Map<String, Value>,
) -> Result<Vec<BuilderId>, Problems> {
    let problem = |field: &str, text: String| Problems::from([(field.to_owned(), text)]);
    let all = schedulers::builders(state, definition);
    if let Some(value) = params
        .get("builderid")
        .map(scalar)
        .filter(|value| !is_blank(value))
    {
        let id = match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        let Some(id) = id.map(BuilderId) else {
            return Err(problem("builderid", format!("{value} is not a builder's id")));
        };
        if !all.contains(&id) {
            return Err(problem(
                "builderid",
                format!("builder {id} is not one of this scheduler's"),
            ));
        }
        return Ok(vec![id]);
    }
    let names: Vec<&str> = match params.get("builderNames") {
        None | Some(Value::Null) => {
            return if all.is_empty() {
                Err(problem("builderNames", "this scheduler has no builders".into()))
            } else {
                Ok(all)
            };
        }
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) if names.iter().all(Value::is_string) => {
            names.iter().filter_map(Value::as_str).collect()
        }
        Some(_) => {
            return Err(problem(
                "builderNames",
                "this is not a list of builders' names".into(),
            ));
        }
    };
    let chosen: Vec<BuilderId> = all
        .into_iter()
        .filter(|id| {
            state
                .builder(*id)
                .is_some_and(|builder| names.contains(&builder.name.as_str()))
        })
        .collect();
    if chosen.is_empty() {
        return Err(problem(
            "builderNames",
            "none of these builders is one of this scheduler's".into(),
        ));
    }
    Ok(chosen)
}

/// What somebody wants, once the form was found to be in order.
struct Filled {
    owner: String,
    reason: String,
    priority: i64,
    stamp: NewSourceStamp,
    properties: Vec<(String, Value)>,
}

impl Filled {
    fn new(
        definition: &SchedulerDef,
        form: &ForceDef,
        params: &Map<String, Value>,
        owner: Option<String>,
    ) -> Result<Self, Problems> {
        let mut values: BTreeMap<String, Value> = BTreeMap::new();
        let mut problems = Problems::new();
        for field in general(definition, form)
            .iter()
            .chain(&source(form))
            .chain(&form.fields.iter().map(Field::own).collect::<Vec<_>>())
        {
            match field.value(params) {
                Ok(value) => {
                    values.insert(field.full_name.clone(), value);
                }
                Err(problem) => {
                    problems.insert(field.full_name.clone(), problem);
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let text = |name: &str| match values.get(name) {
            Some(Value::String(text)) => text.trim().to_owned(),
            _ => String::new(),
        };
        let optional = |name: &str| Some(text(name)).filter(|text| !text.is_empty());
        let at = |attribute: &str| source_name(form, attribute);
        Ok(Self {
            owner: owner
                .filter(|owner| !owner.is_empty() && owner != "anonymous")
                .or_else(|| optional("username"))
                .unwrap_or_else(|| "anonymous".into()),
            reason: text("reason"),
            priority: values
                .get("priority")
                .and_then(Value::as_i64)
                .unwrap_or(definition.priority),
            stamp: NewSourceStamp {
                branch: optional(&at("branch")),
                revision: optional(&at("revision")),
                repository: text(&at("repository")),
                project: text(&at("project")),
                codebase: form.source.codebase.clone(),
                patch: None,
            },
            properties: form
                .fields
                .iter()
                .filter_map(|field| Some((field.name.clone(), values.remove(&field.name)?)))
                .collect(),
        })
    }
}

/// One field, as shown and as checked.
struct Field {
    name: String,
    full_name: String,
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
fn general(definition: &SchedulerDef, form: &ForceDef) -> Vec<Field> {
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
fn source(form: &ForceDef) -> Vec<Field> {
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

fn source_name(form: &ForceDef, attribute: &str) -> String {
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

    fn own(field: &ForceField) -> Self {
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
    fn value(&self, params: &Map<String, Value>) -> Result<Value, String> {
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
fn scalar(value: &Value) -> &Value {
    match value {
        Value::Array(items) => match &items[..] {
            [] => &Value::Null,
            [one] => one,
            _ => value,
        },
        _ => value,
    }
}

fn is_blank(value: &Value) -> bool {
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
