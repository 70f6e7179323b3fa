//! Records as rows: one value for each column of their table, in its order. `sqlite::rows` is the way back.

pub(super) mod pipelines;

use std::borrow::Cow;

use ironmaster_model::{
    BuildRecord, BuildRequestRecord, BuilderRecord, BuildsetRecord, Cause, ChangeRecord, ChangeSourceRecord,
    CodebaseRecord, EffectRecord, LogContent, LogRecord, LogSave, MasterRecord, ProjectRecord, RequestPhase,
    SchedulerRecord, SourceStampRecord, StepId, StepRecord, Timestamp, WorkerRecord,
};
use serde::Serialize;

use crate::row::{RowOp, Table, Value, logs};

pub(super) fn insert(table: Table, values: Vec<Value<'_>>) -> RowOp<'_> {
    RowOp::Insert { table, values }
}

pub(super) fn put(table: Table, values: Vec<Value<'_>>) -> RowOp<'_> {
    RowOp::Put { table, values }
}

pub(super) fn time(at: Timestamp) -> Value<'static> {
    Value::Int(at.0)
}

pub(super) fn opt_time(at: Option<Timestamp>) -> Value<'static> {
    at.map_or(Value::Null, time)
}

pub(super) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("the model's types have string keys and no failing serialisers")
}

pub(super) fn json<'a>(value: &impl Serialize) -> Value<'a> {
    Value::Text(Cow::Owned(to_json(value)))
}

pub(super) fn opt_cause(cause: Option<&Cause>) -> Value<'static> {
    cause.map_or(Value::Null, json)
}

pub(super) fn master_row(master: &MasterRecord) -> Vec<Value<'_>> {
    vec![
        Value::id(master.id.0),
        Value::text(&master.name),
        Value::Bool(master.active),
        time(master.last_active),
        Value::Int(master.lease.0),
        Value::Bool(master.draining),
    ]
}

pub(super) fn builder_row(builder: &BuilderRecord) -> Vec<Value<'_>> {
    vec![
        Value::id(builder.id.0),
        Value::text(&builder.name),
        Value::opt_text(builder.description.as_deref()),
        json(&builder.tags),
        Value::Bool(builder.active),
        Value::id(builder.next_number),
        builder
            .project
            .map_or(Value::Null, |project| Value::id(project.0)),
    ]
}

pub(super) fn project_row(project: &ProjectRecord) -> Vec<Value<'_>> {
    vec![
        Value::id(project.id.0),
        Value::text(&project.name),
        Value::opt_text(project.description.as_deref()),
        Value::Bool(project.active),
    ]
}

pub(super) fn codebase_row(codebase: &CodebaseRecord) -> Vec<Value<'_>> {
    vec![
        Value::id(codebase.id.0),
        Value::text(&codebase.name),
        Value::id(codebase.project.0),
        Value::Bool(codebase.active),
    ]
}

pub(super) fn worker_row(worker: &WorkerRecord) -> Vec<Value<'_>> {
    let connection = worker.connection.as_ref();
    vec![
        Value::id(worker.id.0),
        Value::text(&worker.name),
        Value::Bool(worker.active),
        json(&worker.builders),
        Value::Bool(worker.paused),
        Value::opt_text(worker.pause_reason.as_deref()),
        Value::Bool(worker.graceful),
        json(&worker.downtime),
        Value::Bool(worker.killed),
        Value::Int(i64::from(worker.slots)),
        Value::opt_text(connection.map(|connection| connection.instance.as_str())),
        Value::opt_text(connection.map(|connection| connection.boot.as_str())),
        connection.map_or(Value::Null, |connection| Value::Bool(connection.resumes)),
        connection.map_or(Value::Null, |connection| Value::Bool(connection.connected)),
        opt_time(worker.disconnected_at),
        Value::Bool(worker.missing),
        json(&worker.info),
    ]
}

pub(super) fn scheduler_row(scheduler: &SchedulerRecord) -> Vec<Value<'_>> {
    vec![
        Value::id(scheduler.id.0),
        Value::text(&scheduler.name),
        Value::Bool(scheduler.active),
        Value::Bool(scheduler.enabled),
        json(&scheduler.state),
    ]
}

pub(super) fn change_source_row(source: &ChangeSourceRecord) -> Vec<Value<'_>> {
    vec![
        Value::id(source.id.0),
        Value::text(&source.name),
        Value::Bool(source.active),
    ]
}

pub(super) fn sourcestamp_row(record: &SourceStampRecord) -> Vec<Value<'_>> {
    let stamp = &record.stamp;
    let patch = stamp.patch.as_ref();
    vec![
        Value::id(record.id.0),
        Value::opt_text(stamp.branch.as_deref()),
        Value::opt_text(stamp.revision.as_deref()),
        Value::text(&stamp.repository),
        Value::text(&stamp.project),
        Value::text(&stamp.codebase),
        patch.map_or(Value::Null, |patch| Value::Int(patch.level.into())),
        Value::opt_text(patch.map(|patch| patch.subdir.as_str())),
        Value::opt_text(patch.map(|patch| patch.author.as_str())),
        Value::opt_text(patch.map(|patch| patch.comment.as_str())),
        Value::opt_text(patch.map(|patch| patch.body.as_str())),
        time(record.created_at),
    ]
}

pub(super) fn change_row(change: &ChangeRecord) -> Vec<Value<'_>> {
    vec![
        Value::id(change.id.0),
        Value::text(&change.author),
        Value::opt_text(change.committer.as_deref()),
        Value::text(&change.comments),
        json(&change.files),
        Value::opt_text(change.revision.as_deref()),
        Value::opt_text(change.branch.as_deref()),
        Value::opt_text(change.category.as_deref()),
        Value::opt_text(change.revlink.as_deref()),
        Value::text(&change.repository),
        Value::text(&change.project),
        Value::text(&change.codebase),
        time(change.when),
        json(&change.properties),
        Value::id(change.sourcestamp.0),
        Value::opt_id(change.parent.map(|parent| parent.0)),
    ]
}

pub(super) fn buildset_rows(buildset: &BuildsetRecord) -> Vec<RowOp<'_>> {
    let mut ops = vec![insert(
        Table::Buildsets,
        vec![
            Value::id(buildset.id.0),
            Value::opt_text(buildset.external_id.as_deref()),
            Value::text(&buildset.reason),
            Value::text(&buildset.scheduler),
            time(buildset.submitted_at),
            Value::opt_id(buildset.parent_build.map(|build| build.0)),
            Value::opt_text(buildset.parent_relationship.as_deref()),
            Value::opt_id(buildset.rebuilt_build.map(|build| build.0)),
            Value::opt_id(buildset.job.map(|job| job.0)),
            opt_time(buildset.complete_at),
            buildset
                .results
                .map_or(Value::Null, |results| Value::Int(results.code().into())),
            json(&buildset.properties),
        ],
    )];
    let id = Value::id(buildset.id.0);
    for (position, stamp) in (0..).zip(&buildset.sourcestamps) {
        ops.push(insert(
            Table::BuildsetSourceStamps,
            vec![id.clone(), Value::Int(position), Value::id(stamp.0)],
        ));
    }
    for (position, change) in (0..).zip(&buildset.changes) {
        ops.push(insert(
            Table::BuildsetChanges,
            vec![id.clone(), Value::Int(position), Value::id(change.0)],
        ));
    }
    ops
}

pub(super) fn request_row(request: &BuildRequestRecord) -> Vec<Value<'_>> {
    let (claimed_build, claimed_at) = match &request.phase {
        RequestPhase::Claimed { build, at } => (Value::id(build.0), time(*at)),
        RequestPhase::Queued | RequestPhase::Complete { .. } => (Value::Null, Value::Null),
    };
    let (complete_at, results, cause) = match &request.phase {
        RequestPhase::Complete { results, at, cause } => (
            time(*at),
            Value::Int(results.code().into()),
            opt_cause(cause.as_ref()),
        ),
        RequestPhase::Queued | RequestPhase::Claimed { .. } => (Value::Null, Value::Null, Value::Null),
    };
    vec![
        Value::id(request.id.0),
        Value::id(request.buildset.0),
        Value::id(request.builder.0),
        Value::Int(request.priority),
        Value::Bool(request.by_hand),
        time(request.submitted_at),
        Value::Bool(request.waited_for),
        Value::Int(request.attempts.into()),
        claimed_build,
        claimed_at,
        Value::Null,
        complete_at,
        results,
        cause,
    ]
}

pub(super) fn build_row(build: &BuildRecord) -> Vec<Value<'_>> {
    let stop = build.stop.as_ref();
    vec![
        Value::id(build.id.0),
        Value::id(build.number),
        Value::id(build.builder.0),
        Value::id(build.request.0),
        Value::Int(build.attempt.into()),
        Value::id(build.worker.0),
        Value::text(&build.instance),
        Value::Int(build.slot.into()),
        Value::id(build.master.0),
        Value::text(&build.config),
        time(build.started_at),
        opt_time(build.complete_at),
        build
            .results
            .map_or(Value::Null, |results| Value::Int(results.code().into())),
        opt_cause(build.cause.as_ref()),
        Value::text(&build.state_string),
        Value::opt_text(stop.map(|(by, _)| by.as_str())),
        Value::opt_text(stop.map(|(_, reason)| reason.as_str())),
        Value::opt_text(build.lost.as_deref()),
        build.waits.as_ref().map_or(Value::Null, json),
        json(&build.properties),
    ]
}

pub(super) fn step_row(step: &StepRecord) -> Vec<Value<'_>> {
    vec![
        Value::id(step.id.0),
        Value::id(step.build.0),
        Value::Int(step.number.into()),
        Value::Int(step.definition.into()),
        Value::text(&step.name),
        time(step.started_at),
        opt_time(step.locks_acquired_at),
        opt_time(step.complete_at),
        step.results
            .map_or(Value::Null, |results| Value::Int(results.code().into())),
        opt_cause(step.cause.as_ref()),
        Value::text(&step.state_string),
        json(&step.urls),
        Value::Bool(step.hidden),
    ]
}

pub(super) fn log_row(log: &LogRecord) -> Vec<Value<'_>> {
    vec![
        Value::id(log.id.0),
        Value::id(log.step.0),
        Value::id(log.build.0),
        Value::text(&log.name),
        Value::text(&log.slug),
        Value::text(log.kind.letter()),
        Value::Bool(log.complete),
        Value::id(log.num_lines),
        Value::id(log.raw_bytes),
        Value::Null,
    ]
}

pub(super) fn log_saved(save: &LogSave) -> RowOp<'_> {
    RowOp::Update {
        table: Table::Logs,
        set: &[logs::COMPLETE, logs::NUM_LINES, logs::RAW_BYTES, logs::CONTENT],
        by: &[logs::ID],
        values: vec![
            Value::Bool(save.complete),
            Value::id(save.num_lines),
            Value::id(save.raw_bytes),
            match &save.content {
                LogContent::File => Value::Null,
                LogContent::Inline(bytes) => Value::Bytes(bytes),
            },
            Value::id(save.log.0),
        ],
    }
}

pub(super) fn effect_row(step: StepId, effect: &EffectRecord) -> Vec<Value<'_>> {
    vec![
        Value::id(step.0),
        Value::Int(effect.ordinal.into()),
        Value::text(&effect.kind),
        Value::text(&effect.digest),
        json(&effect.outcome),
    ]
}
