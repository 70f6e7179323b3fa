//! The fields of a form: as they are shown, and as what is filled in is checked.

mod check;
mod shown;

use ironmaster_model::{
    FixedSource, ForceDef, ForceField, ForceFieldKind, GroupLayout, SchedulerDef, SchedulerKind,
};
use serde_json::{Map, Value, json};

pub(super) use check::{Problems, fill, is_blank, scalar};

/// One field, as shown and as checked.
pub(super) struct Field {
    name: String,
    /// None for a group without a name: what is in it counts as if it stood beside it.
    full_name: Option<String>,
    label: String,
    kind: FieldType,
    default: Value,
    required: bool,
    hide: bool,
    regex: Option<String>,
    tooltip: String,
    size: u32,
}

enum FieldType {
    UserName {
        need_email: bool,
    },
    Text,
    Textarea {
        cols: u32,
        rows: u32,
    },
    Int {
        min: Option<i64>,
        max: Option<i64>,
    },
    Bool,
    List {
        choices: Vec<String>,
        strict: bool,
        multiple: bool,
    },
    File {
        size_max: u64,
    },
    Fixed,
    Group {
        fields: Vec<Field>,
        layout: GroupLayout,
        columns: u32,
    },
}

/// The group of fields that every form begins with.
pub(super) fn general(definition: &SchedulerDef, form: &ForceDef) -> Field {
    let name = FieldType::UserName { need_email: true };
    let priority = FieldType::Int { min: None, max: None };
    group(
        "",
        "",
        1,
        vec![
            Field {
                size: 30,
                ..Field::new("username", "Your name:", name, json!(""))
            },
            Field {
                required: form.reason_required,
                size: 20,
                ..Field::new("reason", "reason", FieldType::Text, json!(form.reason))
            },
            Field::new("priority", "priority", priority, json!(definition.priority)),
        ],
    )
}

/// The sources that a form names: one, or one for each of its code bases.
pub(super) fn sources(form: &ForceDef) -> &[FixedSource] {
    if form.codebases.is_empty() {
        std::slice::from_ref(&form.source)
    } else {
        &form.codebases
    }
}

/// The group of fields that name what is built of a source.
pub(super) fn source(form: &ForceDef, source: &FixedSource) -> Field {
    let mut fields: Vec<Field> = [
        ("branch", "Branch:", source.branch.as_deref().unwrap_or_default()),
        ("project", "Project:", &source.project),
        ("repository", "Repository:", &source.repository),
        ("revision", "Revision:", ""),
    ]
    .into_iter()
    .map(|(name, label, default)| Field::new(name, label, FieldType::Text, json!(default)))
    .collect();
    if form.patch {
        let text =
            |name: &str, label: &str, default: &str| Field::new(name, label, FieldType::Text, json!(default));
        let body = FieldType::Textarea { cols: 80, rows: 20 };
        let level = FieldType::Int {
            min: Some(0),
            max: Some(100),
        };
        fields.push(group(
            "patch",
            "Patch",
            1,
            vec![
                Field::new("body", "Patch (unified diff):", body, json!("")),
                Field::new("level", "Leading path elements to strip:", level, json!(1)),
                text("author", "Author:", ""),
                text("comment", "Comment:", ""),
                text("subdir", "Directory to apply it in:", "."),
            ],
        ));
    }
    let label = if source.codebase.is_empty() {
        String::new()
    } else {
        format!("Codebase: {}", source.codebase)
    };
    group(&source.codebase, &label, 2, fields)
}

/// Fields of the configuration.
pub(super) fn own(fields: &[ForceField]) -> Vec<Field> {
    fields.iter().map(|field| Field::own(field, None)).collect()
}

/// A group whose fields have its name before theirs.
fn group(name: &str, label: &str, columns: u32, fields: Vec<Field>) -> Field {
    let kind = FieldType::Group {
        fields,
        layout: GroupLayout::Vertical,
        columns,
    };
    let mut group = Field::new(name, label, kind, json!(""));
    group.put_under(None);
    group
}

impl Field {
    fn new(name: &str, label: &str, kind: FieldType, default: Value) -> Self {
        Self {
            name: name.to_owned(),
            full_name: Some(name.to_owned()),
            label: label.to_owned(),
            kind,
            default,
            required: false,
            hide: false,
            regex: None,
            tooltip: String::new(),
            size: 10,
        }
    }

    /// Gives it, and what is in it, their full names.
    fn put_under(&mut self, parent: Option<&str>) {
        let own = match (parent, self.name.as_str()) {
            (parent, "") => parent.map(str::to_owned),
            (None, name) => Some(name.to_owned()),
            (Some(parent), name) => Some(format!("{parent}_{name}")),
        };
        if let FieldType::Group { fields, .. } = &mut self.kind {
            for field in fields {
                field.put_under(own.as_deref());
            }
        }
        self.full_name = own.filter(|_| !self.name.is_empty());
    }

    fn own(field: &ForceField, parent: Option<&str>) -> Self {
        let kind = match &field.kind {
            ForceFieldKind::String => FieldType::Text,
            ForceFieldKind::Text => FieldType::Textarea { cols: 80, rows: 20 },
            ForceFieldKind::Int { min, max } => FieldType::Int { min: *min, max: *max },
            ForceFieldKind::Bool => FieldType::Bool,
            ForceFieldKind::Choice {
                choices,
                strict,
                multiple,
            } => FieldType::List {
                choices: choices.clone(),
                strict: *strict,
                multiple: *multiple,
            },
            ForceFieldKind::UserName { need_email } => FieldType::UserName {
                need_email: *need_email,
            },
            ForceFieldKind::File { size_max } => FieldType::File { size_max: *size_max },
            ForceFieldKind::Fixed => FieldType::Fixed,
            ForceFieldKind::Group {
                fields,
                layout,
                columns,
            } => FieldType::Group {
                fields: fields.iter().map(|field| Field::own(field, Some(""))).collect(),
                layout: *layout,
                columns: *columns,
            },
        };
        let is_group = matches!(kind, FieldType::Group { .. });
        let label = if field.label.is_empty() {
            &field.name
        } else {
            &field.label
        };
        let default = if is_group {
            json!("")
        } else {
            field.default.clone()
        };
        let mut out = Self {
            required: field.required,
            hide: field.hide,
            regex: field.regex.clone(),
            tooltip: field.tooltip.clone(),
            ..Field::new(&field.name, label, kind, default)
        };
        if parent.is_none() {
            out.put_under(None);
        }
        out
    }
}

/// The form of a force scheduler as REST v2 describes it (`all_fields`); empty for schedulers of other kinds.
pub fn force_fields(definition: &SchedulerDef) -> Vec<Value> {
    let SchedulerKind::Force(form) = &definition.kind else {
        return Vec::new();
    };
    let mut all = vec![general(definition, form).json()];
    all.extend(sources(form).iter().map(|one| source(form, one).json()));
    all.extend(own(&form.fields).iter().map(Field::json));
    all
}

/// What was filled in, by name: groups with a name are objects.
pub(super) type Values = Map<String, Value>;
