//! A job's matrix: axes with their values, and combinations that are left out.

use std::collections::BTreeMap;

use ironmaster_model::pipeline::AxisDef;
use serde_json::Value;

use crate::{
    checker::{Checker, Section},
    suggest,
    tree::{Node, Table},
};

pub(super) fn matrix(checker: &mut Checker<'_>, job: &Section<'_>) -> Vec<AxisDef> {
    let Some(node) = job.get("matrix") else {
        return Vec::new();
    };
    let Some(table) = node.as_table() else {
        checker.wrong_table("matrix", node, "{ os = [\"linux\", \"macos\"] }");
        return Vec::new();
    };
    let mut axes = Vec::new();
    for entry in &table.entries {
        let Some(items) = entry.node.as_list() else {
            checker.error_help(
                "wrong_type",
                entry.node.span,
                format!(
                    "the axis `{}` must be a list of values, not {}",
                    entry.name,
                    entry.node.type_name()
                ),
                None,
            );
            continue;
        };
        let values: Vec<Value> = items.iter().filter_map(|item| checker.json(item)).collect();
        if values.is_empty() {
            checker.error(
                "empty",
                entry.node.span,
                format!("the axis `{}` has no values", entry.name),
            );
            continue;
        }
        axes.push(AxisDef {
            name: entry.name.clone(),
            values,
        });
    }
    axes
}

pub(super) fn exclude(
    checker: &mut Checker<'_>,
    job: &Section<'_>,
    axes: &[AxisDef],
) -> Vec<BTreeMap<String, Value>> {
    let Some(node) = job.get("matrix_exclude") else {
        return Vec::new();
    };
    let tables: Option<Vec<&Table>> = node
        .as_list()
        .and_then(|items| items.iter().map(Node::as_table).collect());
    let Some(tables) = tables else {
        checker.wrong_type("matrix_exclude", node, "a list of tables");
        return Vec::new();
    };
    let mut out = Vec::new();
    for table in tables {
        let mut values = BTreeMap::new();
        for entry in &table.entries {
            let Some(value) = checker.json(&entry.node) else {
                continue;
            };
            match axes.iter().find(|axis| axis.name == entry.name) {
                None => {
                    let help = suggest::help(&entry.name, axes.iter().map(|axis| axis.name.as_str()));
                    checker.error_help(
                        "unknown_key",
                        entry.name_span,
                        format!("the matrix has no axis `{}`", entry.name),
                        help,
                    );
                }
                Some(axis) if !axis.values.contains(&value) => checker.warning(
                    "useless",
                    entry.node.span,
                    format!(
                        "the axis `{}` has no such value, so nothing is left out",
                        entry.name
                    ),
                    "take it out, or write the value as the axis has it",
                ),
                Some(_) => {}
            }
            values.insert(entry.name.clone(), value);
        }
        out.push(values);
    }
    out
}
