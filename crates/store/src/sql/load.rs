//! Reads what is active. Every query of history's tables goes through a partial index of active rows.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    rows::{self, collect, select},
    session::{Dialect, Param, Session, one},
};
use crate::{error::StoreError, row::Table};
use ironmaster_model::{BuildsetRecord, ChangeId, Counter, Plan, Snapshot, SourceStampId, Timestamp};

const ACTIVE_BUILDSETS: &str = "select id from buildsets where complete_at is null";
const ACTIVE_BUILDS: &str = "select id from builds where complete_at is null";

/// The statements that [`load`] runs against tables of history, for the test that looks at their plans.
#[cfg(test)]
pub(crate) fn statements(dialect: Dialect) -> Vec<String> {
    vec![
        active_plans(),
        active_buildsets(),
        links("buildset_sourcestamps", "sourcestamp"),
        links("buildset_changes", "change"),
        requests(),
        active_builds(),
        steps(),
        logs(),
        changes(dialect),
        sourcestamps(dialect),
        runs(),
        jobs(),
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

fn runs() -> String {
    select(Table::Runs, "where complete_at is null order by id")
}

fn jobs() -> String {
    select(
        Table::Jobs,
        "where run in (select id from runs where complete_at is null) order by run, number",
    )
}

pub(super) fn changes(dialect: Dialect) -> String {
    select(
        Table::Changes,
        &format!("where {} order by id", dialect.among("id", "?1")),
    )
}

fn sourcestamps(dialect: Dialect) -> String {
    select(
        Table::SourceStamps,
        &format!("where {} order by id", dialect.among("id", "?1")),
    )
}

pub(crate) fn load(session: &mut dyn Session) -> Result<Snapshot, StoreError> {
    let dialect = session.dialect();
    let (seq, now, config) = one(session, "select seq, at, config from current", &[], |row| {
        Ok((row.int(0)?.cast_unsigned(), Timestamp(row.int(1)?), row.text(2)?))
    })?
    .ok_or(StoreError::Malformed {
        table: "current",
        row: "1".into(),
        what: "it is missing".into(),
    })?;
    let schedulers = collect(
        session,
        Table::Schedulers,
        &select(Table::Schedulers, "order by id"),
        &[],
        rows::scheduler,
    )?;
    let waiting: BTreeSet<ChangeId> = schedulers
        .iter()
        .flat_map(|scheduler| scheduler.state.waiting.values())
        .flat_map(|waiting| waiting.changes.iter().copied())
        .collect();
    let changes = collect(
        session,
        Table::Changes,
        &changes(dialect),
        &[Param::ids(waiting.iter().map(|id| id.0))],
        rows::change,
    )?;
    let buildsets = buildsets(session)?;
    let runs = collect(session, Table::Runs, &runs(), &[], rows::pipelines::run)?;
    let stamps: BTreeSet<SourceStampId> = changes
        .iter()
        .map(|change| change.sourcestamp)
        .chain(
            buildsets
                .iter()
                .flat_map(|buildset| buildset.sourcestamps.iter().copied()),
        )
        .chain(runs.iter().flat_map(|run| run.sourcestamps.iter().copied()))
        .collect();
    Ok(Snapshot {
        now,
        seq,
        counters: counters(session)?,
        masters: collect(
            session,
            Table::Masters,
            &select(Table::Masters, "order by id"),
            &[],
            rows::master,
        )?,
        builders: collect(
            session,
            Table::Builders,
            &select(Table::Builders, "order by id"),
            &[],
            rows::builder,
        )?,
        workers: collect(
            session,
            Table::Workers,
            &select(Table::Workers, "order by id"),
            &[],
            rows::worker,
        )?,
        schedulers,
        change_sources: collect(
            session,
            Table::ChangeSources,
            &select(Table::ChangeSources, "order by id"),
            &[],
            rows::change_source,
        )?,
        projects: collect(
            session,
            Table::Projects,
            &select(Table::Projects, "order by id"),
            &[],
            rows::project,
        )?,
        codebases: collect(
            session,
            Table::Codebases,
            &select(Table::Codebases, "order by id"),
            &[],
            rows::codebase,
        )?,
        config,
        plans: plans(session)?,
        changes,
        requests: collect(session, Table::BuildRequests, &requests(), &[], rows::request)?,
        sourcestamps: collect(
            session,
            Table::SourceStamps,
            &sourcestamps(dialect),
            &[Param::ids(stamps.iter().map(|id| id.0))],
            rows::sourcestamp,
        )?,
        buildsets,
        builds: collect(session, Table::Builds, &active_builds(), &[], rows::build)?,
        steps: collect(session, Table::Steps, &steps(), &[], rows::step)?,
        logs: collect(session, Table::Logs, &logs(), &[], rows::log)?,
        pipelines: collect(
            session,
            Table::Pipelines,
            &select(Table::Pipelines, "order by id"),
            &[],
            rows::pipelines::pipeline,
        )?,
        runs,
        jobs: collect(session, Table::Jobs, &jobs(), &[], rows::pipelines::job)?,
    })
}

fn buildsets(session: &mut dyn Session) -> Result<Vec<BuildsetRecord>, StoreError> {
    let mut buildsets = collect(
        session,
        Table::Buildsets,
        &active_buildsets(),
        &[],
        rows::buildset,
    )?;
    let mut pairs = |table, sql: String| collect(session, table, &sql, &[], |row| Ok((row.id()?, row.id()?)));
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

fn counters(session: &mut dyn Session) -> Result<BTreeMap<Counter, u64>, StoreError> {
    let mut counters: BTreeMap<_, _> = Counter::ALL.iter().map(|counter| (*counter, 1)).collect();
    session.each("select name, next from counters", &[], &mut |row| {
        let (name, next) = (row.text(0)?, row.int(1)?);
        match (Counter::from_name(&name), u64::try_from(next)) {
            (Some(counter), Ok(next)) => {
                counters.insert(counter, next);
                Ok(())
            }
            _ => Err(StoreError::Malformed {
                table: "counters",
                row: name,
                what: format!("there is no such counter, or {next} is no id"),
            }),
        }
    })?;
    Ok(counters)
}

fn plans(session: &mut dyn Session) -> Result<BTreeMap<String, Plan>, StoreError> {
    let plans = collect(session, Table::Configs, &active_plans(), &[], |row| {
        Ok((row.text()?, row.json()?))
    })?;
    Ok(plans.into_iter().collect())
}
