//! Answers the typed questions of the master.

use ironmaster_model::{
    BuildId, BuildRecord, BuilderId, ChangeId, ChangeRecord, EffectRecord, LogId, LogRecord, Sequenced,
    StepId, Timestamp, event,
};
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    error::reading,
    load,
    pool::Pool,
    rows::{self, collect, select},
};
use crate::{
    error::{EventsError, StoreError},
    reader::{RebuildSource, StoredLog},
    row::Table,
};

pub(crate) fn events_after(pool: &Pool, seq: u64, limit: usize) -> Result<Vec<Sequenced>, EventsError> {
    let connection = pool.read()?;
    let newest = last_seq_of(&connection)?;
    if seq > newest {
        return Err(EventsError::Ahead { cursor: seq, newest });
    }
    if seq == newest || limit == 0 {
        return Ok(Vec::new());
    }
    let mut statement = connection
        .prepare_cached("select seq, at, version, event from events where seq > ?1 order by seq limit ?2")
        .map_err(reading)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement
        .query(params![seq.cast_signed(), limit])
        .map_err(reading)?;
    let mut events = Vec::new();
    while let Some(row) = rows.next().map_err(reading)? {
        let stored = row.get::<_, i64>(0).map_err(reading)?.cast_unsigned();
        if events.is_empty() && stored != seq + 1 {
            return Err(EventsError::TooOld { oldest: stored });
        }
        let version: u32 = row.get(2).map_err(reading)?;
        if version > event::VERSION || version + 1 < event::VERSION {
            return Err(EventsError::Version {
                seq: stored,
                version,
                known: event::VERSION,
            });
        }
        let text = row.get_ref(3).map_err(reading)?;
        let event = text
            .as_str()
            .map_err(|error| error.to_string())
            .and_then(|text| serde_json::from_str(text).map_err(|error| error.to_string()))
            .map_err(|what| StoreError::Malformed {
                table: "events",
                row: stored.to_string(),
                what,
            })?;
        events.push(Sequenced {
            seq: stored,
            at: Timestamp(row.get(1).map_err(reading)?),
            event,
        });
    }
    if events.is_empty() {
        return Err(EventsError::TooOld { oldest: newest + 1 });
    }
    Ok(events)
}

pub(crate) fn last_seq(pool: &Pool) -> Result<u64, StoreError> {
    last_seq_of(&*pool.read()?)
}

fn last_seq_of(connection: &Connection) -> Result<u64, StoreError> {
    connection
        .prepare_cached("select seq from current")
        .and_then(|mut statement| statement.query_row([], |row| row.get::<_, i64>(0)))
        .map(i64::cast_unsigned)
        .map_err(reading)
}

pub(crate) fn effects(pool: &Pool, step: StepId) -> Result<Vec<EffectRecord>, StoreError> {
    collect(
        &*pool.read()?,
        Table::Effects,
        &select(Table::Effects, "where step = ?1 order by ordinal"),
        [step.0.cast_signed()],
        rows::effect,
    )
}

pub(crate) fn log(pool: &Pool, id: LogId) -> Result<Option<StoredLog>, StoreError> {
    let found = collect(
        &*pool.read()?,
        Table::Logs,
        &select(Table::Logs, "where id = ?1"),
        [id.0.cast_signed()],
        |fields| {
            Ok(StoredLog {
                record: rows::log(fields)?,
                content: rows::log_content(fields)?,
            })
        },
    )?;
    Ok(found.into_iter().next())
}

pub(crate) fn logs_of_build(pool: &Pool, build: BuildId) -> Result<Vec<LogRecord>, StoreError> {
    collect(
        &*pool.read()?,
        Table::Logs,
        &select(
            Table::Logs,
            "where step in (select id from steps where build = ?1) order by id",
        ),
        [build.0.cast_signed()],
        rows::log,
    )
}

pub(crate) fn build(pool: &Pool, id: BuildId) -> Result<Option<BuildRecord>, StoreError> {
    let found = collect(
        &*pool.read()?,
        Table::Builds,
        &select(Table::Builds, "where id = ?1"),
        [id.0.cast_signed()],
        rows::build,
    )?;
    Ok(found.into_iter().next())
}

pub(crate) fn rebuild_source(pool: &Pool, id: BuildId) -> Result<Option<RebuildSource>, StoreError> {
    let connection = pool.read()?;
    let found: Option<(i64, i64, Option<i64>)> = connection
        .prepare_cached(
            "select b.builder, s.id, s.rebuilt_build from builds b \
             join buildrequests r on r.id = b.request join buildsets s on s.id = r.buildset where b.id = ?1",
        )
        .and_then(|mut statement| {
            statement
                .query_row([id.0.cast_signed()], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })
                .optional()
        })
        .map_err(reading)?;
    let Some((builder, buildset, rebuilt)) = found else {
        return Ok(None);
    };
    let buildsets = collect(
        &connection,
        Table::Buildsets,
        &select(Table::Buildsets, "where id = ?1"),
        [buildset],
        rows::buildset,
    )?;
    let stamps = collect(
        &connection,
        Table::SourceStamps,
        &stamps_of_buildset(),
        [buildset],
        rows::sourcestamp,
    )?;
    Ok(buildsets.into_iter().next().map(|buildset| RebuildSource {
        rebuilt: rebuilt.map_or(id, |rebuilt| BuildId(rebuilt.cast_unsigned())),
        builder: BuilderId(builder.cast_unsigned()),
        sourcestamps: stamps.into_iter().map(|record| record.stamp).collect(),
        properties: buildset.properties,
    }))
}

fn stamps_of_buildset() -> String {
    let names: Vec<_> = Table::SourceStamps
        .columns()
        .iter()
        .map(|column| format!("t.{}", column.name))
        .collect();
    format!(
        "select {} from buildset_sourcestamps x join sourcestamps t on t.id = x.sourcestamp \
         where x.buildset = ?1 order by x.position",
        names.join(", ")
    )
}

pub(crate) fn changes(pool: &Pool, ids: &[ChangeId]) -> Result<Vec<ChangeRecord>, StoreError> {
    collect(
        &*pool.read()?,
        Table::Changes,
        &load::changes(),
        [load::json_list(ids.iter().map(|id| id.0))],
        rows::change,
    )
}

pub(crate) fn meta(pool: &Pool, key: &str) -> Result<Option<String>, StoreError> {
    pool.read()?
        .query_row("select value from meta where key = ?1", [key], |row| row.get(0))
        .optional()
        .map_err(reading)
}

pub(crate) fn cursor(pool: &Pool, name: &str) -> Result<Option<u64>, StoreError> {
    pool.read()?
        .query_row("select seq from cursors where name = ?1", [name], |row| {
            row.get::<_, i64>(0)
        })
        .optional()
        .map(|seq| seq.map(i64::cast_unsigned))
        .map_err(reading)
}
