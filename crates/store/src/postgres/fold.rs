//! A commit's row operations, gathered: one statement for all rows of a table that change in the same way.
//!
//! Operations on the same row are folded into one first (a build that starts and ends in one commit is one new row). Where
//! that would change their meaning, what was gathered for the table goes out before.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use serde_json::value::RawValue;

use super::statement::{self, Statement};
use crate::{
    error::CommitError,
    row::{Column, RowOp, Table, Value},
};

/// What a commit does to tables.
#[derive(Debug, Default)]
pub(super) struct Fold<'a> {
    tables: BTreeMap<Table, Gathered<'a>>,
    ready: Vec<Statement<'a>>,
}

/// A row's primary key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key<'a> {
    One(i64),
    Two(i64, i64),
    Text(Cow<'a, str>),
}

/// What is to be done to a table, in this order: deletes, then rows.
#[derive(Debug, Default)]
struct Gathered<'a> {
    deletes: Option<Deletes<'a>>,
    rows: Vec<(Key<'a>, Change<'a>)>,
    places: HashMap<Key<'a>, usize>,
}

#[derive(Debug)]
struct Deletes<'a> {
    by: &'static [Column],
    rows: Vec<Vec<Value<'a>>>,
}

#[derive(Debug)]
enum Change<'a> {
    /// Emptied by a delete.
    None,
    Insert(Vec<Value<'a>>),
    Put(Vec<Value<'a>>),
    Update {
        /// Those of the table's columns that change.
        set: Vec<Option<Value<'a>>>,
        merges: Vec<(Column, Members)>,
    },
}

/// Members of a JSON object, their values as they were written.
type Members = BTreeMap<String, Box<RawValue>>;

impl<'a> Fold<'a> {
    pub(super) fn add(&mut self, op: RowOp<'a>) -> Result<(), CommitError> {
        let table = op.table();
        match op {
            RowOp::Insert { values, .. } => {
                let key = key(table, &values);
                if self.at(table, &key).is_some() {
                    self.flush(table);
                }
                self.put(table, key, Change::Insert(values));
            }
            RowOp::Put { values, .. } => {
                let key = key(table, &values);
                match self.at(table, &key) {
                    Some(Change::Insert(row) | Change::Put(row)) => *row = values,
                    Some(_) => {
                        self.flush(table);
                        self.put(table, key, Change::Put(values));
                    }
                    None => self.put(table, key, Change::Put(values)),
                }
            }
            RowOp::Update { set, by, values, .. } if by == table.key() => {
                let key = key(table, &values[set.len()..]);
                match self.at(table, &key) {
                    Some(Change::Insert(row) | Change::Put(row)) => {
                        for (column, value) in set.iter().zip(values) {
                            row[index(table, column)] = value;
                        }
                    }
                    Some(Change::Update { set: known, .. }) => {
                        for (column, value) in set.iter().zip(values) {
                            known[index(table, column)] = Some(value);
                        }
                    }
                    Some(Change::None) | None => {
                        let mut row = vec![None; table.columns().len()];
                        for (column, value) in set.iter().zip(values) {
                            row[index(table, column)] = Some(value);
                        }
                        let merges = Vec::new();
                        self.put(table, key, Change::Update { set: row, merges });
                    }
                }
            }
            RowOp::Update { set, by, values, .. } => {
                // Which rows that are depends on what they are by then.
                self.flush(table);
                self.ready
                    .push(statement::update(table, set, by, vec![values], None));
            }
            RowOp::Merge {
                column, id, members, ..
            } => self.merge(table, column, id, &members)?,
            RowOp::Delete { by, values, .. } => self.delete(table, by, values),
        }
        Ok(())
    }

    fn merge(&mut self, table: Table, column: Column, id: i64, members: &str) -> Result<(), CommitError> {
        let members = parse(members)?;
        let key = Key::One(id);
        match self.at(table, &key) {
            Some(Change::Insert(row) | Change::Put(row)) => {
                let place = &mut row[index(table, &column)];
                let Value::Text(text) = &*place else {
                    return Err(refused(format!(
                        "{} {id} has no object to merge into",
                        table.name()
                    )));
                };
                let mut merged = parse(text)?;
                merged.extend(members);
                *place = Value::Text(Cow::Owned(print(&merged)));
            }
            Some(Change::Update { merges, .. }) => {
                match merges.iter_mut().find(|(known, _)| *known == column) {
                    Some((_, known)) => known.extend(members),
                    None => merges.push((column, members)),
                }
            }
            Some(Change::None) | None => {
                let set = vec![None; table.columns().len()];
                let merges = vec![(column, members)];
                self.put(table, key, Change::Update { set, merges });
            }
        }
        Ok(())
    }

    /// Rows that were gathered to be inserted, and go again, are never sent.
    fn delete(&mut self, table: Table, by: &'static [Column], values: Vec<Value<'a>>) {
        let gathered = self.tables.entry(table).or_default();
        let fresh = gathered.deletes.as_ref().is_none_or(|deletes| deletes.by == by)
            && gathered
                .rows
                .iter()
                .all(|(_, change)| matches!(change, Change::Insert(_) | Change::None));
        if !fresh {
            self.flush(table);
        }
        let gathered = self.tables.entry(table).or_default();
        for (_, change) in &mut gathered.rows {
            if let Change::Insert(row) = change
                && by
                    .iter()
                    .zip(&values)
                    .all(|(column, value)| row[index(table, column)] == *value)
            {
                *change = Change::None;
            }
        }
        let deletes = gathered.deletes.get_or_insert(Deletes { by, rows: Vec::new() });
        deletes.rows.push(values);
    }

    fn at(&mut self, table: Table, key: &Key<'a>) -> Option<&mut Change<'a>> {
        let gathered = self.tables.get_mut(&table)?;
        let place = *gathered.places.get(key)?;
        match &mut gathered.rows[place].1 {
            Change::None => None,
            change => Some(change),
        }
    }

    fn put(&mut self, table: Table, key: Key<'a>, change: Change<'a>) {
        let gathered = self.tables.entry(table).or_default();
        gathered.places.insert(key.clone(), gathered.rows.len());
        gathered.rows.push((key, change));
    }

    fn flush(&mut self, table: Table) {
        if let Some(gathered) = self.tables.remove(&table) {
            gathered.statements(table, &mut self.ready);
        }
    }

    /// Everything, in an order that keeps its meaning.
    pub(super) fn statements(mut self) -> Vec<Statement<'a>> {
        for (table, gathered) in std::mem::take(&mut self.tables) {
            gathered.statements(table, &mut self.ready);
        }
        self.ready
    }
}

impl<'a> Gathered<'a> {
    fn statements(self, table: Table, out: &mut Vec<Statement<'a>>) {
        if let Some(Deletes { by, rows }) = self.deletes {
            out.push(statement::delete(table, by, rows));
        }
        let mut inserts = Vec::new();
        let mut puts = Vec::new();
        // By the columns that change.
        let mut updates: BTreeMap<Vec<usize>, Vec<Vec<Value<'a>>>> = BTreeMap::new();
        let mut merges: Vec<(Column, Vec<(i64, String)>)> = Vec::new();
        for (key, change) in self.rows {
            match change {
                Change::None => {}
                Change::Insert(row) => inserts.push(row),
                Change::Put(row) => puts.push(row),
                Change::Update { set, merges: members } => {
                    let mut columns = Vec::new();
                    let mut values = Vec::new();
                    for (index, value) in set.into_iter().enumerate() {
                        if let Some(value) = value {
                            columns.push(index);
                            values.push(value);
                        }
                    }
                    for (column, members) in members {
                        let Key::One(id) = key else { continue };
                        let row = (id, print(&members));
                        match merges.iter_mut().find(|(known, _)| *known == column) {
                            Some((_, rows)) => rows.push(row),
                            None => merges.push((column, vec![row])),
                        }
                    }
                    if !columns.is_empty() {
                        values.extend(key.values());
                        updates.entry(columns).or_default().push(values);
                    }
                }
            }
        }
        if !inserts.is_empty() {
            out.push(statement::insert(table, inserts, false));
        }
        if !puts.is_empty() {
            out.push(statement::insert(table, puts, true));
        }
        for (columns, rows) in updates {
            let set: Vec<Column> = columns.iter().map(|index| table.columns()[*index]).collect();
            let expected = rows.len() as u64;
            out.push(statement::update(table, &set, table.key(), rows, Some(expected)));
        }
        for (column, rows) in merges {
            out.push(statement::merge(table, column, rows));
        }
    }
}

impl<'a> Key<'a> {
    fn values(self) -> Vec<Value<'a>> {
        match self {
            Key::One(id) => vec![Value::Int(id)],
            Key::Two(first, second) => vec![Value::Int(first), Value::Int(second)],
            Key::Text(text) => vec![Value::Text(text)],
        }
    }
}

fn key<'a>(table: Table, values: &[Value<'a>]) -> Key<'a> {
    match &values[..table.key().len()] {
        [Value::Int(id)] => Key::One(*id),
        [Value::Int(first), Value::Int(second)] => Key::Two(*first, *second),
        [Value::Text(text)] => Key::Text(text.clone()),
        other => unreachable!("no key of {} is like {other:?}", table.name()),
    }
}

fn index(table: Table, column: &Column) -> usize {
    let columns = table.columns();
    columns
        .iter()
        .position(|known| known == column)
        .unwrap_or_else(|| panic!("{} has no column {}", table.name(), column.name))
}

fn parse(text: &str) -> Result<Members, CommitError> {
    serde_json::from_str(text).map_err(|error| CommitError::Rejected {
        reason: "properties are no JSON object".into(),
        source: Some(error.into()),
    })
}

fn print(members: &Members) -> String {
    serde_json::to_string(members).expect("what was read as JSON can be written")
}

fn refused(reason: String) -> CommitError {
    CommitError::Rejected { reason, source: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{builds, effects};

    fn build(id: i64, properties: &'static str) -> RowOp<'static> {
        let mut values = vec![Value::Null; Table::Builds.columns().len()];
        values[0] = Value::Int(id);
        values[index(Table::Builds, &builds::PROPERTIES)] = Value::text(properties);
        RowOp::Insert {
            table: Table::Builds,
            values,
        }
    }

    fn lost(id: i64, reason: &'static str) -> RowOp<'static> {
        RowOp::Update {
            table: Table::Builds,
            set: &[builds::LOST],
            by: &[builds::ID],
            values: vec![Value::text(reason), Value::Int(id)],
        }
    }

    fn results(id: i64) -> RowOp<'static> {
        RowOp::Update {
            table: Table::Builds,
            set: &[builds::RESULTS],
            by: &[builds::ID],
            values: vec![Value::Int(0), Value::Int(id)],
        }
    }

    fn merge(id: i64, members: &str) -> RowOp<'static> {
        RowOp::Merge {
            table: Table::Builds,
            column: builds::PROPERTIES,
            id,
            members: members.into(),
        }
    }

    fn outcome(step: i64, ordinal: i64) -> RowOp<'static> {
        RowOp::Insert {
            table: Table::Effects,
            values: vec![
                Value::Int(step),
                Value::Int(ordinal),
                Value::text("exec"),
                Value::text(""),
                Value::text("{}"),
            ],
        }
    }

    fn forget(step: i64) -> RowOp<'static> {
        RowOp::Delete {
            table: Table::Effects,
            by: &[effects::STEP],
            values: vec![Value::Int(step)],
        }
    }

    fn statements(ops: Vec<RowOp<'static>>) -> Vec<String> {
        let mut fold = Fold::default();
        for op in ops {
            fold.add(op).unwrap();
        }
        let name = |statement: &Statement<'_>| {
            let words: Vec<&str> = statement.sql.split(' ').take(3).collect();
            format!("{} {}", words.join(" "), statement.rows)
        };
        fold.statements().iter().map(name).collect()
    }

    #[test]
    fn what_happens_to_a_new_row_is_part_of_it() {
        let ops = vec![
            build(1, "{\"a\":[1.10,\"x\"]}"),
            build(2, "{}"),
            lost(1, "gone"),
            merge(1, "{\"b\":[1e300,\"y\"]}"),
            results(1),
        ];
        let mut fold = Fold::default();
        for op in ops.clone() {
            fold.add(op).unwrap();
        }
        let Some(Change::Insert(row)) = fold.at(Table::Builds, &Key::One(1)) else {
            panic!("it is one new row");
        };
        let properties = &row[index(Table::Builds, &builds::PROPERTIES)];
        assert_eq!(
            *properties,
            Value::text("{\"a\":[1.10,\"x\"],\"b\":[1e300,\"y\"]}")
        );
        assert_eq!(row[index(Table::Builds, &builds::LOST)], Value::text("gone"));
        assert_eq!(statements(ops), ["insert into builds 2"]);
    }

    #[test]
    fn rows_that_change_alike_share_a_statement() {
        let ops = vec![
            lost(1, "a"),
            results(2),
            lost(3, "b"),
            results(3),
            lost(4, "c"),
            merge(4, "{}"),
            merge(5, "{}"),
            merge(4, "{}"),
        ];
        assert_eq!(
            statements(ops),
            [
                "update builds as 1",
                "update builds as 1",
                "update builds as 2",
                "update builds as 2"
            ]
        );
    }

    #[test]
    fn a_row_again_is_sent_again() {
        assert_eq!(
            statements(vec![build(1, "{}"), build(1, "{}")]),
            ["insert into builds 1", "insert into builds 1"]
        );
    }

    #[test]
    fn outcomes_that_are_gone_again_are_never_sent() {
        let ops = vec![
            outcome(1, 0),
            outcome(2, 0),
            forget(1),
            outcome(3, 0),
            forget(3),
            outcome(3, 1),
        ];
        assert_eq!(
            statements(ops),
            ["delete from effects 2", "insert into effects 2"]
        );
    }
}
