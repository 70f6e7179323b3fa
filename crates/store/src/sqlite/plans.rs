//! Looks at SQLite's plans for the statements that must stay fast however long history is.

use std::path::Path;

use rusqlite::Connection;

use super::migrate;
use crate::sql::{
    Dialect,
    hot::{HISTORY, hot},
    load, read, select,
};

fn database() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate::migrate(&mut connection, Path::new("test"), migrate::MIGRATIONS).unwrap();
    connection
}

fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection
        .prepare(&format!("explain query plan {sql}"))
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let mut rows = statement.raw_query();
    let mut lines = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        lines.push(row.get(3).unwrap());
    }
    lines
}

/// The tables of a plan's line by the names that the statement gives them.
fn scanned(line: &str, sql: &str) -> Option<String> {
    let name = line.strip_prefix("SCAN ")?.split(' ').next()?;
    let table = sql
        .find(&format!(" as {name}"))
        .and_then(|end| sql[..end].rsplit([' ', ',', '(']).next())
        .unwrap_or(name);
    Some(table.to_owned())
}

#[test]
fn a_start_up_touches_only_what_is_active() {
    let connection = database();
    for sql in load::statements(Dialect::Sqlite) {
        for line in plan(&connection, &sql) {
            // A scan of an index that holds only active rows is what is wanted.
            let active = line.contains("_active");
            if let Some(table) = scanned(&line, &sql) {
                assert!(active || !HISTORY.contains(&table.as_str()), "{line}\nin {sql}");
            }
        }
    }
}

#[test]
fn hot_queries_use_indexes() {
    let connection = database();
    for hot in hot() {
        let query = hot.query();
        let sql = select::statement(Dialect::Sqlite, hot.resource, &query);
        let lines = plan(&connection, &sql);
        let explain = || format!("{:?} {query:?}\n{sql}\n{}", hot.resource, lines.join("\n"));
        for line in &lines {
            if hot.in_order {
                assert!(!line.contains("TEMP B-TREE"), "{}", explain());
            } else if let Some(table) = scanned(line, &sql) {
                let active = line.contains("_active");
                assert!(active || !HISTORY.contains(&table.as_str()), "{}", explain());
            }
        }
        // What counts the rows reads no more than an index either.
        for sql in select::counts(Dialect::Sqlite, hot.resource, &query) {
            for line in plan(&connection, &sql) {
                if let Some(table) = scanned(&line, &sql) {
                    let active = line.contains("_active");
                    assert!(
                        active || !HISTORY.contains(&table.as_str()),
                        "{line}\nin {sql}\n{}",
                        explain()
                    );
                }
            }
        }
    }
}

#[test]
fn the_feed_is_read_by_its_key() {
    let connection = database();
    assert_eq!(
        plan(&connection, read::EVENTS),
        ["SEARCH events USING INTEGER PRIMARY KEY (rowid>?)"]
    );
}
