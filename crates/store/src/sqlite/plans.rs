//! Looks at SQLite's plans for the statements that must stay fast however long history is.

use std::path::Path;

use rusqlite::Connection;

use super::migrate;
use crate::{
    query::{Filter, Op, Order, Query},
    resource::Resource,
    sql::{Dialect, load, read, select},
};

/// Tables that only grow.
const HISTORY: &[&str] = &[
    "builds",
    "buildrequests",
    "buildsets",
    "buildset_sourcestamps",
    "buildset_changes",
    "sourcestamps",
    "changes",
    "steps",
    "logs",
    "events",
    "effects",
];

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

struct Hot {
    resource: Resource,
    scope: Vec<Filter>,
    filters: Vec<Filter>,
    order: Vec<Order>,
    /// Whether it reads its rows in order, and so stops at the limit.
    in_order: bool,
}

fn hot() -> Vec<Hot> {
    let eq = |field: &str, value: u64| vec![Filter::eq(field, value)];
    let none = Vec::new;
    let down = |field: &str| vec![Order::descending(field)];
    let page = |resource, scope, order| Hot {
        resource,
        scope,
        filters: Vec::new(),
        order,
        in_order: true,
    };
    let few = |resource, scope| Hot {
        resource,
        scope,
        filters: Vec::new(),
        order: Vec::new(),
        in_order: false,
    };
    let with = |filters: Vec<Filter>, hot: Hot| Hot { filters, ..hot };
    vec![
        page(Resource::Builds, none(), vec![]),
        page(Resource::Builds, none(), down("buildid")),
        page(Resource::Builds, none(), down("started_at")),
        page(Resource::Builds, none(), down("complete_at")),
        with(
            vec![Filter::eq("complete", true)],
            page(Resource::Builds, none(), down("buildid")),
        ),
        with(vec![Filter::eq("complete", false)], few(Resource::Builds, none())),
        with(
            vec![Filter::eq("complete", false)],
            few(Resource::Builds, eq("builderid", 1)),
        ),
        with(
            vec![Filter {
                field: "started_at".into(),
                op: Op::Ge,
                values: vec![1_700_000_000_u64.into()],
            }],
            page(Resource::Builds, none(), down("started_at")),
        ),
        with(
            vec![Filter {
                field: "builderid".into(),
                op: Op::In,
                values: vec![1_u64.into(), 2_u64.into()],
            }],
            few(Resource::Builds, none()),
        ),
        page(Resource::Builds, eq("builderid", 1), vec![]),
        page(Resource::Builds, eq("builderid", 1), down("buildid")),
        page(Resource::Builds, eq("builderid", 1), down("number")),
        few(Resource::Builds, eq("buildid", 1)),
        few(
            Resource::Builds,
            vec![Filter::eq("builderid", 1_u64), Filter::eq("number", 1_u64)],
        ),
        few(Resource::Builds, eq("buildrequestid", 1)),
        page(Resource::Builds, eq("workerid", 1), down("buildid")),
        few(Resource::Builds, eq("bsid", 1)),
        few(Resource::Builds, eq("changeid", 1)),
        few(Resource::Builds, eq("parent_buildid", 1)),
        page(Resource::BuildRequests, none(), down("buildrequestid")),
        page(Resource::BuildRequests, none(), down("submitted_at")),
        with(
            vec![Filter::eq("complete", false)],
            few(Resource::BuildRequests, none()),
        ),
        with(
            vec![Filter::eq("claimed", false), Filter::eq("complete", false)],
            few(Resource::BuildRequests, eq("builderid", 1)),
        ),
        few(Resource::BuildRequests, eq("buildsetid", 1)),
        page(
            Resource::BuildRequests,
            eq("builderid", 1),
            down("buildrequestid"),
        ),
        page(Resource::Buildsets, none(), down("bsid")),
        with(
            vec![Filter::eq("complete", false)],
            few(Resource::Buildsets, none()),
        ),
        few(Resource::Buildsets, eq("bsid", 1)),
        page(Resource::SourceStamps, none(), vec![]),
        few(Resource::SourceStamps, eq("bsid", 1)),
        page(Resource::Changes, none(), vec![]),
        page(Resource::Changes, none(), down("changeid")),
        page(Resource::Changes, none(), down("when_timestamp")),
        few(Resource::Changes, eq("buildid", 1)),
        few(Resource::Changes, eq("ssid", 1)),
        few(Resource::Steps, eq("buildid", 1)),
        few(Resource::Steps, eq("stepid", 1)),
        few(
            Resource::Steps,
            vec![Filter::eq("buildid", 1_u64), Filter::eq("name", "compile")],
        ),
        few(Resource::Logs, eq("stepid", 1)),
        few(Resource::Logs, eq("buildid", 1)),
        few(Resource::Logs, eq("logid", 1)),
        few(Resource::BuildProperties, eq("buildid", 1)),
        few(Resource::BuildsetProperties, eq("buildrequestid", 1)),
        few(Resource::BuildPropertyList, eq("buildid", 1)),
        few(Resource::BuildsetPropertyList, eq("bsid", 1)),
        few(Resource::ChangePropertyList, eq("changeid", 1)),
    ]
}

#[test]
fn hot_queries_use_indexes() {
    let connection = database();
    for hot in hot() {
        let query = Query {
            scope: hot.scope,
            filters: hot.filters,
            order: hot.order,
            limit: Some(50),
            properties: vec!["*".into()],
            ..Query::default()
        };
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
