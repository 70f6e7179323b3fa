//! A field as REST v2 shows it.

use ironmaster_model::GroupLayout;
use serde_json::{Map, Value, json};

use super::{Field, FieldType};

impl Field {
    /// As REST v2 shows it.
    pub(super) fn json(&self) -> Value {
        let mut more = Map::new();
        let mut put = |name: &str, value: Value| {
            more.insert(name.to_owned(), value);
        };
        let (kind, multiple, size_max) = match &self.kind {
            FieldType::UserName { need_email } => {
                put("size", json!(self.size));
                put("need_email", json!(need_email));
                ("username", false, None)
            }
            FieldType::Text => {
                put("size", json!(self.size));
                ("text", false, None)
            }
            FieldType::Int { .. } => {
                put("size", json!(self.size));
                ("int", false, None)
            }
            FieldType::Textarea { cols, rows } => {
                put("size", json!(self.size));
                put("cols", json!(cols));
                put("rows", json!(rows));
                ("textarea", false, None)
            }
            FieldType::Bool => ("bool", false, None),
            FieldType::List {
                choices,
                strict,
                multiple,
            } => {
                put("choices", json!(choices));
                put("strict", json!(strict));
                ("list", *multiple, None)
            }
            FieldType::File { size_max } => ("file", false, Some(*size_max)),
            FieldType::Fixed => ("fixed", false, None),
            FieldType::Group {
                fields,
                layout,
                columns,
            } => {
                let layout = match layout {
                    GroupLayout::Vertical => "vertical",
                    GroupLayout::Simple => "simple",
                    GroupLayout::Tabs => "tabs",
                };
                put("layout", json!(layout));
                put("columns", json!(columns));
                put("fields", fields.iter().map(Field::json).collect());
                ("nested", false, None)
            }
        };
        for (name, value) in [
            ("name", json!(self.name)),
            ("fullName", json!(self.full_name)),
            ("label", json!(self.label)),
            ("tablabel", json!(self.label)),
            ("type", json!(kind)),
            ("default", self.default.clone()),
            ("required", json!(self.required)),
            ("multiple", json!(multiple)),
            ("regex", json!(self.regex)),
            ("hide", json!(self.hide)),
            ("maxsize", json!(size_max)),
            ("autopopulate", Value::Null),
            ("tooltip", json!(self.tooltip)),
        ] {
            more.insert(name.to_owned(), value);
        }
        Value::Object(more)
    }
}
