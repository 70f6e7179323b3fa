//! Reads what is active. Every query of history's tables goes through a partial index of active rows.

use std::collections::{BTreeMap, BTreeSet};

use ironmaster_model::{BuildsetRecord, ChangeId, Counter, Plan, Snapshot, SourceStampId, Timestamp};
use rusqlite::Connection;

use super::{
    error::reading,
    rows::{self, collect, select},
};
use crate::{error::StoreError, row::Table};

const ACTIVE_BUILDSETS: &str = "select id from buildsets where complete_at is null";
const ACTIVE_BUILDS: &str = "select id from builds where complete_at is null";

/// The statements that [`load`] runs against tables of history, for the test that looks at their plans.
#[cfg(test)]
pub(super) fn statements() -> Vec<String> {
    vec![
        active_plans(),
        active_buildsets(),
        links("buildset_sourcestamps", "sourcestamp"),
        links("buildset_changes", "change"),
        requests(),
        active_builds(),
        steps(),
        logs(),
        changes(),
        sourcestamps(),
    ]
}

fn active_plans() -> String {
    "select digest, plan from configs where digest in (\
     select config from current union select config from builds where complete_at is null)"
        .into()
}

fn active_buildsets() -> String {
    select(Table::Buildsets, "where complete_at is null order by id")
}

fn links(table: &str, column: &str) -> String {
    format!(
        "select buildset, {column} from {table} where buildset in ({ACTIVE_BUILDSETS}) order by buildset, position"
    )
}

fn requests() -> String {
    select(
        Table::BuildRequests,
        &format!("where buildset in ({ACTIVE_BUILDSETS}) order by id"),
    )
}

fn active_builds() -> String {
    select(Table::Builds, "where complete_at is null order by id")
}

fn steps() -> String {
    select(
        Table::Steps,
        &format!("where build in ({ACTIVE_BUILDS}) order by build, id"),
    )
}

fn logs() -> String {
    select(
        Table::Logs,
        &format!(
            "where step in (select id from steps where build in ({ACTIVE_BUILDS}) and complete_at is null) order by build, id"
        ),
    )
}

pub(super) fn changes() -> String {
    select(
        Table::Changes,
        "where id in (select value from json_each(?1)) order by id",
    )
}

pub(super) fn sourcestamps() -> String {
    select(
        Table::SourceStamps,
        "where id in (select value from json_each(?1)) order by id",
    )
}

pub(super) fn load(connection: &Connection) -> Result<Snapshot, StoreError> {
    let (seq, now, config) = connection
        .query_row("select seq, at, config from current", [], |row| {
            Ok((
                row.get::<_, i64>(0)?.cast_unsigned(),
                Timestamp(row.get(1)?),
                row.get(2)?,
            ))
        })
        .map_err(reading)?;
    let schedulers = collect(
        connection,
        Table::Schedulers,
        &select(Table::Schedulers, "order by id"),
        [],
        rows::scheduler,
    )?;
    let waiting: BTreeSet<ChangeId> = schedulers
        .iter()
        .flat_map(|scheduler| scheduler.state.waiting.values())
        .flat_map(|waiting| waiting.changes.iter().copied())
        .collect();
    let changes = collect(
        connection,
        Table::Changes,
        &changes(),
        [json_list(waiting.iter().map(|id| id.0))],
        rows::change,
    )?;
    let buildsets = buildsets(connection)?;
    let stamps: BTreeSet<SourceStampId> = changes
        .iter()
        .map(|change| change.sourcestamp)
        .chain(
            buildsets
                .iter()
                .flat_map(|buildset| buildset.sourcestamps.iter().copied()),
        )
        .collect();
    Ok(Snapshot {
        now,
        seq,
        counters: counters(connection)?,
        masters: collect(
            connection,
            Table::Masters,
            &select(Table::Masters, "order by id"),
            [],
            rows::master,
        )?,
        builders: collect(
            connection,
            Table::Builders,
            &select(Table::Builders, "order by id"),
            [],
            rows::builder,
        )?,
        workers: collect(
            connection,
            Table::Workers,
            &select(Table::Workers, "order by id"),
            [],
            rows::worker,
        )?,
        schedulers,
        change_sources: collect(
            connection,
            Table::ChangeSources,
            &select(Table::ChangeSources, "order by id"),
            [],
            rows::change_source,
        )?,
        config,
        plans: plans(connection)?,
        changes,
        requests: collect(connection, Table::BuildRequests, &requests(), [], rows::request)?,
        sourcestamps: collect(
            connection,
            Table::SourceStamps,
            &sourcestamps(),
            [json_list(stamps.iter().map(|id| id.0))],
            rows::sourcestamp,
        )?,
        buildsets,
        builds: collect(connection, Table::Builds, &active_builds(), [], rows::build)?,
        steps: collect(connection, Table::Steps, &steps(), [], rows::step)?,
        logs: collect(connection, Table::Logs, &logs(), [], rows::log)?,
    })
}

fn buildsets(connection: &Connection) -> Result<Vec<BuildsetRecord>, StoreError> {
    let mut buildsets = collect(
        connection,
        Table::Buildsets,
        &active_buildsets(),
        [],
        rows::buildset,
    )?;
    let pairs = |table, sql: String| collect(connection, table, &sql, [], |row| Ok((row.id()?, row.id()?)));
    let mut position: BTreeMap<u64, usize> = BTreeMap::new();
    for (index, buildset) in buildsets.iter().enumerate() {
        position.insert(buildset.id.0, index);
    }
    for (buildset, stamp) in pairs(
        Table::BuildsetSourceStamps,
        links("buildset_sourcestamps", "sourcestamp"),
    )? {
        if let Some(index) = position.get(&buildset) {
            buildsets[*index].sourcestamps.push(SourceStampId(stamp));
        }
    }
    for (buildset, change) in pairs(Table::BuildsetChanges, links("buildset_changes", "change"))? {
        if let Some(index) = position.get(&buildset) {
            buildsets[*index].changes.push(ChangeId(change));
        }
    }
    Ok(buildsets)
}

fn counters(connection: &Connection) -> Result<BTreeMap<Counter, u64>, StoreError> {
    let mut statement = connection
        .prepare("select name, next from counters")
        .map_err(reading)?;
    let mut rows = statement.query([]).map_err(reading)?;
    let mut counters: BTreeMap<_, _> = Counter::ALL.iter().map(|counter| (*counter, 1)).collect();
    while let Some(row) = rows.next().map_err(reading)? {
        let name: String = row.get(0).map_err(reading)?;
        let next: i64 = row.get(1).map_err(reading)?;
        match (Counter::from_name(&name), u64::try_from(next)) {
            (Some(counter), Ok(next)) => counters.insert(counter, next),
            _ => {
                return Err(StoreError::Malformed {
                    table: "counters",
                    row: name,
                    what: format!("there is no such counter, or {next} is no id"),
                });
            }
        };
    }
    Ok(counters)
}

fn plans(connection: &Connection) -> Result<BTreeMap<String, Plan>, StoreError> {
    let plans = collect(connection, Table::Configs, &active_plans(), [], |row| {
        Ok((row.text()?, row.json()?))
    })?;
    Ok(plans.into_iter().collect())
}

/// Ids as JSON text: one parameter for any number of them.
pub(super) fn json_list(ids: impl IntoIterator<Item = u64>) -> String {
    let ids: Vec<u64> = ids.into_iter().collect();
    serde_json::to_string(&ids).expect("numbers are valid JSON")
}
