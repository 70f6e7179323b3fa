//! Statements over many rows: each column's values travel as one array.

use std::{borrow::Cow, fmt::Write as _};

use super::{escape, values::Bound};
use crate::row::{Column, ColumnKind, Table, Value};

/// A statement with its values.
#[derive(Debug)]
pub(super) struct Statement<'a> {
    pub(super) sql: String,
    pub(super) params: Vec<Bound<'a>>,
    /// Rows that were sent.
    pub(super) rows: usize,
    /// Rows that must change; another number contradicts the tables.
    pub(super) expected: Option<u64>,
    /// What it is about.
    pub(super) table: &'static str,
}

impl<'a> Statement<'a> {
    /// A statement of its own making, whose effect is not counted.
    pub(super) fn plain(table: &'static str, sql: &str, params: Vec<Bound<'a>>) -> Self {
        Self {
            sql: sql.to_owned(),
            params,
            rows: 1,
            expected: None,
            table,
        }
    }
}

pub(super) fn insert(table: Table, rows: Vec<Vec<Value<'_>>>, replace: bool) -> Statement<'_> {
    let columns = table.columns();
    let names = list(columns, |column| column.name.to_owned());
    let mut sql = format!(
        "insert into {} ({names}) select * from unnest({})",
        table.name(),
        arrays(columns)
    );
    if replace {
        let (key, others) = columns.split_at(table.key().len());
        let _ = write!(
            sql,
            " on conflict ({}) do update set {}",
            list(key, |column| column.name.to_owned()),
            list(others, |column| format!("{0} = excluded.{0}", column.name))
        );
    }
    statement(table, sql, columns, rows, None)
}

pub(super) fn update<'a>(
    table: Table,
    set: &[Column],
    by: &[Column],
    rows: Vec<Vec<Value<'a>>>,
    expected: Option<u64>,
) -> Statement<'a> {
    let columns = [set, by].concat();
    let mut condition = String::new();
    for (number, column) in (set.len()..).zip(by) {
        let and = if condition.is_empty() { "" } else { " and " };
        let _ = write!(condition, "{and}t.{} = u.c{number}", column.name);
    }
    let mut number = 0;
    let assignments = list(set, |column| {
        number += 1;
        format!("{} = u.c{}", column.name, number - 1)
    });
    let sql = format!(
        "update {} as t set {assignments} from unnest({}) as u({}) where {condition}",
        table.name(),
        arrays(&columns),
        names(columns.len()),
    );
    statement(table, sql, &columns, rows, expected)
}

pub(super) fn delete<'a>(table: Table, by: &[Column], rows: Vec<Vec<Value<'a>>>) -> Statement<'a> {
    let mut condition = String::new();
    for (number, column) in by.iter().enumerate() {
        let and = if condition.is_empty() { "" } else { " and " };
        let _ = write!(condition, "{and}t.{} = u.c{number}", column.name);
    }
    let sql = format!(
        "delete from {} as t using unnest({}) as u({}) where {condition}",
        table.name(),
        arrays(by),
        names(by.len()),
    );
    statement(table, sql, by, rows, None)
}

pub(super) fn merge<'a>(table: Table, column: Column, rows: Vec<(i64, String)>) -> Statement<'a> {
    let expected = rows.len();
    let (ids, members) = rows
        .into_iter()
        .map(|(id, members)| (Some(id), Some(escape::json(Cow::Owned(members)))))
        .unzip();
    Statement {
        sql: format!(
            "update {0} as t set {1} = json_merged(t.{1}, u.members) \
             from unnest(?1::bigint[], ?2::text[]) as u(id, members) where t.id = u.id",
            table.name(),
            column.name
        ),
        params: vec![Bound::Ints(ids), Bound::Texts(members)],
        rows: expected,
        expected: Some(expected as u64),
        table: table.name(),
    }
}

fn list(columns: &[Column], each: impl FnMut(&Column) -> String) -> String {
    let texts: Vec<String> = columns.iter().map(each).collect();
    texts.join(", ")
}

fn names(columns: usize) -> String {
    let names: Vec<String> = (0..columns).map(|number| format!("c{number}")).collect();
    names.join(", ")
}

/// The parameters for these columns.
fn arrays(columns: &[Column]) -> String {
    let mut number = 0;
    list(columns, |column| {
        number += 1;
        let kind = match column.kind {
            ColumnKind::Int | ColumnKind::Time => "bigint",
            ColumnKind::Bool => "boolean",
            ColumnKind::Text | ColumnKind::Json => "text",
            ColumnKind::Bytes => "bytea",
        };
        format!("?{number}::{kind}[]")
    })
}

fn statement<'a>(
    table: Table,
    sql: String,
    columns: &[Column],
    rows: Vec<Vec<Value<'a>>>,
    expected: Option<u64>,
) -> Statement<'a> {
    let number = rows.len();
    let mut params: Vec<Bound<'a>> = columns
        .iter()
        .map(|column| match column.kind {
            ColumnKind::Int | ColumnKind::Time => Bound::Ints(Vec::with_capacity(number)),
            ColumnKind::Bool => Bound::Bools(Vec::with_capacity(number)),
            ColumnKind::Text | ColumnKind::Json => Bound::Texts(Vec::with_capacity(number)),
            ColumnKind::Bytes => Bound::Blobs(Vec::with_capacity(number)),
        })
        .collect();
    for row in rows {
        for ((column, param), value) in columns.iter().zip(&mut params).zip(row) {
            match (param, value) {
                (Bound::Ints(values), Value::Int(value)) => values.push(Some(value)),
                (Bound::Bools(values), Value::Bool(value)) => values.push(Some(value)),
                (Bound::Texts(values), Value::Text(text)) => values.push(Some(match column.kind {
                    ColumnKind::Json => escape::json(text),
                    _ => escape::text(text),
                })),
                (Bound::Blobs(values), Value::Bytes(bytes)) => values.push(Some(bytes)),
                (Bound::Ints(values), Value::Null) => values.push(None),
                (Bound::Bools(values), Value::Null) => values.push(None),
                (Bound::Texts(values), Value::Null) => values.push(None),
                (Bound::Blobs(values), Value::Null) => values.push(None),
                (_, value) => unreachable!("{}.{} is not for {value:?}", table.name(), column.name),
            }
        }
    }
    Statement {
        sql,
        params,
        rows: number,
        expected,
        table: table.name(),
    }
}
