//! Row operations fit the tables that they are for.

use ironmaster_model::Event;
use ironmaster_store::{Column, RowOp, Table, Value, effect, row::ColumnKind};
use rusqlite::Connection;

use crate::{
    backend::{Backend as _, Sqlite},
    history::History,
};

fn fits(column: &Column, value: &Value<'_>) -> bool {
    match (column.kind, value) {
        (_, Value::Null)
        | (ColumnKind::Int | ColumnKind::Time, Value::Int(_))
        | (ColumnKind::Bool, Value::Bool(_))
        | (ColumnKind::Text, Value::Text(_))
        | (ColumnKind::Bytes, Value::Bytes(_)) => true,
        (ColumnKind::Json, Value::Text(text)) => serde_json::from_str::<serde_json::Value>(text).is_ok(),
        _ => false,
    }
}

#[test]
fn values_have_the_types_of_their_columns() {
    let mut operations = 0;
    let mut kinds = std::collections::BTreeSet::new();
    for seed in 0..20 {
        for commit in History::new(seed).commits(60) {
            for event in &commit.events {
                kinds.insert(event.event.name());
                for op in effect(event) {
                    operations += 1;
                    let (columns, values): (Vec<Column>, &[Value<'_>]) = match &op {
                        RowOp::Insert { table, values } | RowOp::Put { table, values } => {
                            (table.columns().to_vec(), values)
                        }
                        RowOp::Update { set, by, values, .. } => ([*set, *by].concat(), values),
                        RowOp::Delete { by, values, .. } => (by.to_vec(), values),
                        RowOp::Merge { column, members, .. } => {
                            assert_eq!(column.kind, ColumnKind::Json);
                            let members: serde_json::Map<String, serde_json::Value> =
                                serde_json::from_str(members).unwrap();
                            // A merge patch would go into objects, and take nulls for removals.
                            assert!(members.values().all(serde_json::Value::is_array));
                            continue;
                        }
                    };
                    assert_eq!(columns.len(), values.len(), "{op:?}");
                    for (column, value) in columns.iter().zip(values) {
                        assert!(op.table().columns().contains(column), "{op:?}: {column:?}");
                        assert!(fits(column, value), "{op:?}: {column:?} {value:?}");
                    }
                }
            }
        }
    }
    assert!(operations > 1000);
    // The histories know every kind of event.
    assert_eq!(kinds.len(), 45, "{kinds:?}");
}

#[test]
fn the_schema_has_the_declared_tables() {
    let mut backend = Sqlite::new();
    let _store = backend.open();
    let connection = Connection::open(backend.path()).unwrap();
    for table in Table::ALL {
        let mut statement = connection
            .prepare("select name, type, pk from pragma_table_info(?1) order by name")
            .unwrap();
        let stored: Vec<(String, String, i64)> = statement
            .query_map([table.name()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .unwrap()
            .map(Result::unwrap)
            .filter(|(name, _, _)| {
                // What the committer keeps for itself in the one row of `current`.
                *table != Table::Current || name == "id" || name == "config"
            })
            .collect();
        let mut declared: Vec<(String, String, i64)> = table
            .columns()
            .iter()
            .map(|column| {
                let kind = match column.kind {
                    ColumnKind::Int | ColumnKind::Time | ColumnKind::Bool => "INTEGER",
                    ColumnKind::Text | ColumnKind::Json => "TEXT",
                    ColumnKind::Bytes => "BLOB",
                };
                let key = table
                    .key()
                    .iter()
                    .position(|key| key == column)
                    .map_or(0, |position| position as i64 + 1);
                (column.name.to_owned(), kind.to_owned(), key)
            })
            .collect();
        declared.sort();
        let stored: Vec<_> = stored
            .into_iter()
            .map(|(name, kind, key)| (name, kind.to_uppercase(), key))
            .collect();
        assert_eq!(stored, declared, "{}", table.name());
    }
}

/// What is not for the feed does not get into it.
#[test]
fn the_feed_has_neither_plans_nor_text() {
    for commit in History::new(3).commits(60) {
        for event in commit.events {
            let text = serde_json::to_string(&event.event).unwrap();
            match &event.event {
                Event::Configured { .. } => assert!(!text.contains("git_poller"), "{text}"),
                Event::LogsSaved { .. } => assert!(!text.contains("111"), "{text}"),
                _ => {}
            }
        }
    }
}
