//! Answers the typed questions of the master.

use ironmaster_model::{
    BuildId, BuildRecord, BuilderId, ChangeId, ChangeRecord, EffectRecord, Event, LogId, LogRecord, RunId,
    Sequenced, StepId, Timestamp, event,
};

use super::{
    load,
    rows::{self, collect, select},
    session::{Cell, Param, Row, Session, one},
};
use crate::{
    error::{EventsError, StoreError},
    reader::{RebuildSource, RunSource, StoredLog},
    row::Table,
};

/// The statement that [`events_after`] reads with.
pub(crate) const EVENTS: &str =
    "select seq, at, version, event from events where seq > ?1 order by seq limit ?2";

pub(crate) fn events_after(
    session: &mut dyn Session,
    seq: u64,
    limit: usize,
) -> Result<Vec<Sequenced>, EventsError> {
    let newest = last_seq(session)?;
    if seq > newest {
        return Err(EventsError::Ahead { cursor: seq, newest });
    }
    if seq == newest || limit == 0 {
        return Ok(Vec::new());
    }
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut events = Vec::new();
    let mut odd = None;
    session.each(
        EVENTS,
        &[Param::Int(seq.cast_signed()), Param::Int(limit)],
        &mut |row| {
            if odd.is_none() {
                match event_of(row)? {
                    Ok(event) if events.is_empty() && event.seq != seq + 1 => {
                        odd = Some(EventsError::TooOld { oldest: event.seq });
                    }
                    Ok(event) => events.push(event),
                    // What is missing before it matters more than its form.
                    Err(EventsError::Version { seq: stored, .. })
                        if events.is_empty() && stored != seq + 1 =>
                    {
                        odd = Some(EventsError::TooOld { oldest: stored });
                    }
                    Err(error) => odd = Some(error),
                }
            }
            Ok(())
        },
    )?;
    if let Some(error) = odd {
        return Err(error);
    }
    if events.is_empty() {
        return Err(EventsError::TooOld { oldest: newest + 1 });
    }
    Ok(events)
}

fn event_of(row: &dyn Row) -> Result<Result<Sequenced, EventsError>, StoreError> {
    let seq = row.int(0)?.cast_unsigned();
    let version = u32::try_from(row.int(2)?).unwrap_or(u32::MAX);
    if version > event::VERSION || version + 1 < event::VERSION {
        return Ok(Err(EventsError::Version {
            seq,
            version,
            known: event::VERSION,
        }));
    }
    let event = event_text(&row.cell(3)?).map_err(|what| StoreError::Malformed {
        table: "events",
        row: seq.to_string(),
        what,
    })?;
    Ok(Ok(Sequenced {
        seq,
        at: Timestamp(row.int(1)?),
        event,
    }))
}

/// An event from its text.
pub(super) fn event_text(cell: &Cell<'_>) -> Result<Event, String> {
    match cell {
        Cell::Text(text) => serde_json::from_slice(&text.json()).map_err(|error| error.to_string()),
        other => Err(format!("a text is expected, not {}", other.kind())),
    }
}

pub(crate) fn last_seq(session: &mut dyn Session) -> Result<u64, StoreError> {
    let seq = one(session, "select seq from current", &[], |row| row.int(0))?;
    Ok(seq.unwrap_or_default().cast_unsigned())
}

pub(crate) fn effects(session: &mut dyn Session, step: StepId) -> Result<Vec<EffectRecord>, StoreError> {
    collect(
        session,
        Table::Effects,
        &select(Table::Effects, "where step = ?1 order by ordinal"),
        &[Param::Int(step.0.cast_signed())],
        rows::effect,
    )
}

pub(crate) fn log(session: &mut dyn Session, id: LogId) -> Result<Option<StoredLog>, StoreError> {
    let found = collect(
        session,
        Table::Logs,
        &select(Table::Logs, "where id = ?1"),
        &[Param::Int(id.0.cast_signed())],
        |fields| {
            Ok(StoredLog {
                record: rows::log(fields)?,
                content: rows::log_content(fields)?,
            })
        },
    )?;
    Ok(found.into_iter().next())
}

pub(crate) fn logs_of_build(session: &mut dyn Session, build: BuildId) -> Result<Vec<LogRecord>, StoreError> {
    collect(
        session,
        Table::Logs,
        &select(
            Table::Logs,
            "where step in (select id from steps where build = ?1) order by id",
        ),
        &[Param::Int(build.0.cast_signed())],
        rows::log,
    )
}

pub(crate) fn build(session: &mut dyn Session, id: BuildId) -> Result<Option<BuildRecord>, StoreError> {
    let found = collect(
        session,
        Table::Builds,
        &select(Table::Builds, "where id = ?1"),
        &[Param::Int(id.0.cast_signed())],
        rows::build,
    )?;
    Ok(found.into_iter().next())
}

pub(crate) fn rebuild_source(
    session: &mut dyn Session,
    id: BuildId,
) -> Result<Option<RebuildSource>, StoreError> {
    let found = one(
        session,
        "select b.builder, s.id, s.rebuilt_build from builds b \
         join buildrequests r on r.id = b.request join buildsets s on s.id = r.buildset where b.id = ?1",
        &[Param::Int(id.0.cast_signed())],
        |row| Ok((row.int(0)?, row.int(1)?, row.opt_int(2)?)),
    )?;
    let Some((builder, buildset, rebuilt)) = found else {
        return Ok(None);
    };
    let buildsets = collect(
        session,
        Table::Buildsets,
        &select(Table::Buildsets, "where id = ?1"),
        &[Param::Int(buildset)],
        rows::buildset,
    )?;
    let stamps = collect(
        session,
        Table::SourceStamps,
        &stamps_of_buildset(),
        &[Param::Int(buildset)],
        rows::sourcestamp,
    )?;
    Ok(buildsets.into_iter().next().map(|buildset| RebuildSource {
        rebuilt: rebuilt.map_or(id, |rebuilt| BuildId(rebuilt.cast_unsigned())),
        builder: BuilderId(builder.cast_unsigned()),
        sourcestamps: stamps.into_iter().map(|record| record.stamp).collect(),
        properties: buildset.properties,
    }))
}

pub(crate) fn retry_source(session: &mut dyn Session, id: RunId) -> Result<Option<RunSource>, StoreError> {
    let key = [Param::Int(id.0.cast_signed())];
    let runs = collect(
        session,
        Table::Runs,
        &select(Table::Runs, "where id = ?1"),
        &key,
        rows::pipelines::run,
    )?;
    let Some(run) = runs.into_iter().next() else {
        return Ok(None);
    };
    let jobs = collect(
        session,
        Table::Jobs,
        &select(Table::Jobs, "where run = ?1 order by number"),
        &key,
        rows::pipelines::job,
    )?;
    let among = session.dialect().among("id", "?1");
    let mut stamps = collect(
        session,
        Table::SourceStamps,
        &select(Table::SourceStamps, &format!("where {among}")),
        &[Param::ids(run.sourcestamps.iter().map(|id| id.0))],
        rows::sourcestamp,
    )?;
    // In the run's order.
    stamps.sort_by_key(|stamp| run.sourcestamps.iter().position(|id| *id == stamp.id));
    Ok(Some(RunSource {
        sourcestamps: stamps.into_iter().map(|record| record.stamp).collect(),
        run,
        jobs,
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

pub(crate) fn changes(session: &mut dyn Session, ids: &[ChangeId]) -> Result<Vec<ChangeRecord>, StoreError> {
    let sql = load::changes(session.dialect());
    collect(
        session,
        Table::Changes,
        &sql,
        &[Param::ids(ids.iter().map(|id| id.0))],
        rows::change,
    )
}

pub(crate) fn meta(session: &mut dyn Session, key: &str) -> Result<Option<String>, StoreError> {
    one(
        session,
        "select value from meta where key = ?1",
        &[key.into()],
        |row| row.text(0),
    )
}

pub(crate) fn cursor(session: &mut dyn Session, name: &str) -> Result<Option<u64>, StoreError> {
    let seq = one(
        session,
        "select seq from cursors where name = ?1",
        &[name.into()],
        |row| row.int(0),
    )?;
    Ok(seq.map(i64::cast_unsigned))
}
