//! Runs row operations as cached prepared statements.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use rusqlite::{
    Connection, ToSql,
    types::{ToSqlOutput, ValueRef},
};

use super::error::writing;
use crate::{
    error::CommitError,
    row::{Column, RowOp, Table, Value},
};

/// Statement texts by what an operation's statement depends on. The column lists are constants, so their place in
/// memory stands for them.
#[derive(Debug, Default)]
pub(super) struct Statements {
    texts: BTreeMap<Shape, Arc<str>>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    verb: u8,
    table: Table,
    set: (usize, usize),
    by: (usize, usize),
}

impl Statements {
    /// Runs one operation within the open transaction.
    pub(super) fn run(&mut self, connection: &Connection, op: &RowOp<'_>) -> Result<(), CommitError> {
        let sql = self.text(op);
        let failed = |error| writing("be written", error);
        let mut statement = connection.prepare_cached(&sql).map_err(failed)?;
        let changed = match op {
            RowOp::Insert { values, .. }
            | RowOp::Put { values, .. }
            | RowOp::Update { values, .. }
            | RowOp::Delete { values, .. } => {
                for (number, value) in (1..).zip(values) {
                    statement.raw_bind_parameter(number, value).map_err(failed)?;
                }
                statement.raw_execute().map_err(failed)?
            }
            RowOp::Merge { id, members, .. } => statement.execute((members, id)).map_err(failed)?,
        };
        let one_row = match op {
            RowOp::Update { table, by, .. } => *by == table.key(),
            RowOp::Merge { .. } => true,
            RowOp::Insert { .. } | RowOp::Put { .. } | RowOp::Delete { .. } => false,
        };
        if one_row && changed != 1 {
            return Err(CommitError::Rejected {
                reason: format!("there is no row for {}", describe(op)),
                source: None,
            });
        }
        Ok(())
    }

    fn text(&mut self, op: &RowOp<'_>) -> Arc<str> {
        let place = |columns: &'static [Column]| (columns.as_ptr() as usize, columns.len());
        let shape = match op {
            RowOp::Insert { table, .. } => Shape {
                verb: 0,
                table: *table,
                set: (0, 0),
                by: (0, 0),
            },
            RowOp::Put { table, .. } => Shape {
                verb: 1,
                table: *table,
                set: (0, 0),
                by: (0, 0),
            },
            RowOp::Update { table, set, by, .. } => Shape {
                verb: 2,
                table: *table,
                set: place(set),
                by: place(by),
            },
            RowOp::Merge { table, column, .. } => Shape {
                verb: 3,
                table: *table,
                set: (column.name.as_ptr() as usize, column.name.len()),
                by: (0, 0),
            },
            RowOp::Delete { table, by, .. } => Shape {
                verb: 4,
                table: *table,
                set: (0, 0),
                by: place(by),
            },
        };
        self.texts.entry(shape).or_insert_with(|| sql(op).into()).clone()
    }
}

/// The statement for an operation, its parameters in the order of its values.
fn sql(op: &RowOp<'_>) -> String {
    match op {
        RowOp::Insert { table, .. } => insert(*table),
        RowOp::Put { table, .. } => {
            let mut sql = insert(*table);
            let key: Vec<_> = table.key().iter().map(|column| column.name).collect();
            let _ = write!(sql, " on conflict ({}) do update set ", key.join(", "));
            let others = &table.columns()[key.len()..];
            for (number, column) in others.iter().enumerate() {
                let comma = if number > 0 { ", " } else { "" };
                let _ = write!(sql, "{comma}{0} = excluded.{0}", column.name);
            }
            sql
        }
        RowOp::Update { table, set, by, .. } => {
            let mut sql = format!("update {} set ", table.name());
            equals(&mut sql, set, 1, ", ");
            sql.push_str(" where ");
            equals(&mut sql, by, set.len() + 1, " and ");
            sql
        }
        // A merge patch replaces whole members, as their values are no objects themselves.
        RowOp::Merge { table, column, .. } => format!(
            "update {0} set {1} = json_patch({1}, ?1) where id = ?2",
            table.name(),
            column.name
        ),
        RowOp::Delete { table, by, .. } => {
            let mut sql = format!("delete from {} where ", table.name());
            equals(&mut sql, by, 1, " and ");
            sql
        }
    }
}

fn insert(table: Table) -> String {
    let names: Vec<_> = table.columns().iter().map(|column| column.name).collect();
    let places: Vec<_> = (1..=names.len()).map(|number| format!("?{number}")).collect();
    format!(
        "insert into {} ({}) values ({})",
        table.name(),
        names.join(", "),
        places.join(", ")
    )
}

fn equals(sql: &mut String, columns: &[Column], first: usize, separator: &str) {
    for (number, column) in (first..).zip(columns) {
        let separator = if number > first { separator } else { "" };
        let _ = write!(sql, "{separator}{} = ?{number}", column.name);
    }
}

fn describe(op: &RowOp<'_>) -> String {
    let key = match op {
        RowOp::Update { set, values, .. } => format!("{:?}", &values[set.len()..]),
        RowOp::Merge { id, .. } => id.to_string(),
        RowOp::Insert { values, .. } | RowOp::Put { values, .. } | RowOp::Delete { values, .. } => {
            format!("{:?}", values.first())
        }
    };
    format!("an update of {} {key}", op.table().name())
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Bool(value) => ValueRef::Integer(i64::from(*value)),
            Value::Int(value) => ValueRef::Integer(*value),
            Value::Text(value) => ValueRef::Text(value.as_bytes()),
            Value::Bytes(value) => ValueRef::Blob(value),
        }))
    }
}
