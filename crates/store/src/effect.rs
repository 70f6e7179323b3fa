//! What an event does to rows: one pure function, the same for every backend.

use std::borrow::Cow;

use ironmaster_model::{
    BuildRecord, BuildRequestRecord, BuilderRecord, BuildsetRecord, Cause, ChangeRecord, ChangeSourceRecord,
    EffectRecord, Event, LogContent, LogRecord, LogSave, MasterRecord, RequestPhase, SchedulerRecord,
    Sequenced, SourceStampRecord, StepId, StepRecord, Timestamp, WorkerRecord,
};
use serde::Serialize;

use crate::row::{
    RowOp, Table, Value, builders, buildrequests, builds, buildsets, current, effects, logs, schedulers,
    steps, workers,
};

/// The row operations that make `event` true in the tables, in order.
pub fn effect(event: &Sequenced) -> Vec<RowOp<'_>> {
    let at = event.at;
    match &event.event {
        Event::MasterStarted { master } => vec![
            put(Table::Masters, master_row(master)),
            // No worker is connected to a master that has just started.
            RowOp::Update {
                table: Table::Workers,
                set: &[workers::CONNECTED, workers::DISCONNECTED_AT],
                by: &[workers::CONNECTED],
                values: vec![Value::Bool(false), time(at), Value::Bool(true)],
            },
        ],
        Event::MasterStopped { master } => vec![put(Table::Masters, master_row(master))],
        Event::Configured { digest, plan } => vec![
            put(Table::Configs, vec![Value::text(digest), json(plan)]),
            RowOp::Update {
                table: Table::Current,
                set: &[current::CONFIG],
                by: &[current::ID],
                values: vec![Value::text(digest), Value::Int(1)],
            },
        ],
        Event::BuilderSet { builder } => vec![put(Table::Builders, builder_row(builder))],
        Event::WorkerSet { worker } => vec![put(Table::Workers, worker_row(worker))],
        Event::SchedulerSet { scheduler } => vec![put(Table::Schedulers, scheduler_row(scheduler))],
        Event::ChangeSourceSet { change_source } => {
            vec![put(Table::ChangeSources, change_source_row(change_source))]
        }
        Event::SchedulerMoved { scheduler, state } => vec![RowOp::Update {
            table: Table::Schedulers,
            set: &[schedulers::STATE],
            by: &[schedulers::ID],
            values: vec![json(state), Value::id(scheduler.0)],
        }],
        Event::WorkerConnected {
            worker,
            connection,
            info,
        } => vec![RowOp::Update {
            table: Table::Workers,
            set: &[
                workers::INSTANCE,
                workers::BOOT,
                workers::RESUMES,
                workers::CONNECTED,
                workers::DISCONNECTED_AT,
                workers::INFO,
                workers::GRACEFUL,
            ],
            by: &[workers::ID],
            values: vec![
                Value::text(&connection.instance),
                Value::text(&connection.boot),
                Value::Bool(connection.resumes),
                Value::Bool(connection.connected),
                Value::Null,
                json(info),
                Value::Bool(false),
                Value::id(worker.0),
            ],
        }],
        Event::WorkerDisconnected { worker, reason: _ } => vec![RowOp::Update {
            table: Table::Workers,
            set: &[workers::CONNECTED, workers::DISCONNECTED_AT],
            by: &[workers::ID, workers::CONNECTED],
            values: vec![
                Value::Bool(false),
                time(at),
                Value::id(worker.0),
                Value::Bool(true),
            ],
        }],
        Event::WorkerStateChanged {
            worker,
            paused,
            pause_reason,
            graceful,
        } => vec![RowOp::Update {
            table: Table::Workers,
            set: &[workers::PAUSED, workers::PAUSE_REASON, workers::GRACEFUL],
            by: &[workers::ID],
            values: vec![
                Value::Bool(*paused),
                Value::opt_text(pause_reason.as_deref()),
                Value::Bool(*graceful),
                Value::id(worker.0),
            ],
        }],
        Event::SourceStampAdded { sourcestamp } => {
            vec![insert(Table::SourceStamps, sourcestamp_row(sourcestamp))]
        }
        Event::ChangeAdded { change } => vec![insert(Table::Changes, change_row(change))],
        Event::BuildsetCreated { buildset } => buildset_rows(buildset),
        Event::RequestQueued { request } => vec![insert(Table::BuildRequests, request_row(request))],
        Event::RequestPrioritised { request, priority } => vec![RowOp::Update {
            table: Table::BuildRequests,
            set: &[buildrequests::PRIORITY],
            by: &[buildrequests::ID],
            values: vec![Value::Int(*priority), Value::id(request.0)],
        }],
        Event::RequestRequeued { request } => vec![RowOp::Update {
            table: Table::BuildRequests,
            set: &[
                buildrequests::CLAIMED_BUILD,
                buildrequests::CLAIMED_AT,
                buildrequests::CLAIMED_MASTER,
            ],
            by: &[buildrequests::ID],
            values: vec![Value::Null, Value::Null, Value::Null, Value::id(request.0)],
        }],
        Event::RequestCompleted {
            request,
            builder: _,
            results,
            cause,
        } => vec![RowOp::Update {
            table: Table::BuildRequests,
            set: &[
                buildrequests::COMPLETE_AT,
                buildrequests::RESULTS,
                buildrequests::CAUSE,
            ],
            by: &[buildrequests::ID],
            values: vec![
                time(at),
                Value::Int(results.code().into()),
                opt_cause(cause.as_ref()),
                Value::id(request.0),
            ],
        }],
        Event::BuildsetCompleted { buildset, results } => vec![RowOp::Update {
            table: Table::Buildsets,
            set: &[buildsets::COMPLETE_AT, buildsets::RESULTS],
            by: &[buildsets::ID],
            values: vec![time(at), Value::Int(results.code().into()), Value::id(buildset.0)],
        }],
        Event::BuildStarted { build } => vec![
            insert(Table::Builds, build_row(build)),
            RowOp::Update {
                table: Table::BuildRequests,
                set: &[
                    buildrequests::ATTEMPTS,
                    buildrequests::CLAIMED_BUILD,
                    buildrequests::CLAIMED_AT,
                    buildrequests::CLAIMED_MASTER,
                ],
                by: &[buildrequests::ID],
                values: vec![
                    Value::Int(build.attempt.into()),
                    Value::id(build.id.0),
                    time(at),
                    Value::id(build.master.0),
                    Value::id(build.request.0),
                ],
            },
            RowOp::Update {
                table: Table::Builders,
                set: &[builders::NEXT_NUMBER],
                by: &[builders::ID],
                values: vec![Value::id(build.number + 1), Value::id(build.builder.0)],
            },
        ],
        Event::PropertiesSet { build, properties } => vec![RowOp::Merge {
            table: Table::Builds,
            column: builds::PROPERTIES,
            id: build.0.cast_signed(),
            members: to_json(properties),
        }],
        Event::BuildStopRequested { build, by, reason } => vec![RowOp::Update {
            table: Table::Builds,
            set: &[builds::STOP_BY, builds::STOP_REASON],
            by: &[builds::ID],
            values: vec![Value::text(by), Value::text(reason), Value::id(build.0)],
        }],
        Event::BuildLost { build, reason } => vec![RowOp::Update {
            table: Table::Builds,
            set: &[builds::LOST],
            by: &[builds::ID],
            values: vec![Value::text(reason), Value::id(build.0)],
        }],
        Event::StepStarted { step, logs } => std::iter::once(insert(Table::Steps, step_row(step)))
            .chain(logs.iter().map(|log| insert(Table::Logs, log_row(log))))
            .collect(),
        Event::StepUpdated {
            step,
            build: _,
            state_string,
            urls,
        } => vec![RowOp::Update {
            table: Table::Steps,
            set: &[steps::STATE_STRING, steps::URLS],
            by: &[steps::ID],
            values: vec![Value::text(state_string), json(urls), Value::id(step.0)],
        }],
        Event::LogOpened { log } => vec![insert(Table::Logs, log_row(log))],
        Event::LogsSaved { build: _, saves } => saves.iter().map(log_saved).collect(),
        Event::EffectsRecorded {
            build: _,
            step,
            effects,
        } => effects
            .iter()
            .map(|effect| insert(Table::Effects, effect_row(*step, effect)))
            .collect(),
        Event::StepFinished {
            step,
            build: _,
            results,
            cause,
            state_string,
            urls,
            hidden,
        } => vec![
            RowOp::Update {
                table: Table::Steps,
                set: &[
                    steps::COMPLETE_AT,
                    steps::RESULTS,
                    steps::CAUSE,
                    steps::STATE_STRING,
                    steps::URLS,
                    steps::HIDDEN,
                ],
                by: &[steps::ID],
                values: vec![
                    time(at),
                    Value::Int(results.code().into()),
                    opt_cause(cause.as_ref()),
                    Value::text(state_string),
                    json(urls),
                    Value::Bool(*hidden),
                    Value::id(step.0),
                ],
            },
            RowOp::Delete {
                table: Table::Effects,
                by: &[effects::STEP],
                values: vec![Value::id(step.0)],
            },
        ],
        Event::BuildFinished {
            build,
            builder: _,
            worker: _,
            results,
            cause,
            state_string,
        } => vec![RowOp::Update {
            table: Table::Builds,
            set: &[
                builds::COMPLETE_AT,
                builds::RESULTS,
                builds::CAUSE,
                builds::STATE_STRING,
            ],
            by: &[builds::ID],
            values: vec![
                time(at),
                Value::Int(results.code().into()),
                opt_cause(cause.as_ref()),
                Value::text(state_string),
                Value::id(build.0),
            ],
        }],
    }
}

fn insert(table: Table, values: Vec<Value<'_>>) -> RowOp<'_> {
    RowOp::Insert { table, values }
}

fn put(table: Table, values: Vec<Value<'_>>) -> RowOp<'_> {
    RowOp::Put { table, values }
}

fn time(at: Timestamp) -> Value<'static> {
    Value::Int(at.0)
}

fn opt_time(at: Option<Timestamp>) -> Value<'static> {
    at.map_or(Value::Null, time)
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("the model's types have string keys and no failing serialisers")
}

fn json<'a>(value: &impl Serialize) -> Value<'a> {
    Value::Text(Cow::Owned(to_json(value)))
}

fn opt_cause(cause: Option<&Cause>) -> Value<'static> {
    cause.map_or(Value::Null, json)
}

fn master_row(master: &MasterRecord) -> Vec<Value<'_>> {
    vec![
        Value::id(master.id.0),
        Value::text(&master.name),
        Value::Bool(master.active),
        time(master.last_active),
        Value::Int(master.lease.0),
    ]
}

fn builder_row(builder: &BuilderRecord) -> Vec<Value<'_>> {
    vec![
        Value::id(builder.id.0),
        Value::text(&builder.name),
        Value::opt_text(builder.description.as_deref()),
        json(&builder.tags),
        Value::Bool(builder.active),
        Value::id(builder.next_number),
    ]
}

fn worker_row(worker: &WorkerRecord) -> Vec<Value<'_>> {
    let connection = worker.connection.as_ref();
    vec![
        Value::id(worker.id.0),
        Value::text(&worker.name),
        Value::Bool(worker.active),
        json(&worker.builders),
        Value::Bool(worker.paused),
        Value::opt_text(worker.pause_reason.as_deref()),
        Value::Bool(worker.graceful),
        Value::opt_text(connection.map(|connection| connection.instance.as_str())),
        Value::opt_text(connection.map(|connection| connection.boot.as_str())),
        connection.map_or(Value::Null, |connection| Value::Bool(connection.resumes)),
        connection.map_or(Value::Null, |connection| Value::Bool(connection.connected)),
        opt_time(worker.disconnected_at),
        json(&worker.info),
    ]
}

fn scheduler_row(scheduler: &SchedulerRecord) -> Vec<Value<'_>> {
    vec![
        Value::id(scheduler.id.0),
        Value::text(&scheduler.name),
        Value::Bool(scheduler.active),
        Value::Bool(scheduler.enabled),
        json(&scheduler.state),
    ]
}

fn change_source_row(source: &ChangeSourceRecord) -> Vec<Value<'_>> {
    vec![
        Value::id(source.id.0),
        Value::text(&source.name),
        Value::Bool(source.active),
    ]
}

fn sourcestamp_row(record: &SourceStampRecord) -> Vec<Value<'_>> {
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

fn change_row(change: &ChangeRecord) -> Vec<Value<'_>> {
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

fn buildset_rows(buildset: &BuildsetRecord) -> Vec<RowOp<'_>> {
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

fn request_row(request: &BuildRequestRecord) -> Vec<Value<'_>> {
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

fn build_row(build: &BuildRecord) -> Vec<Value<'_>> {
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
        json(&build.properties),
    ]
}

fn step_row(step: &StepRecord) -> Vec<Value<'_>> {
    vec![
        Value::id(step.id.0),
        Value::id(step.build.0),
        Value::Int(step.number.into()),
        Value::Int(step.definition.into()),
        Value::text(&step.name),
        time(step.started_at),
        opt_time(step.complete_at),
        step.results
            .map_or(Value::Null, |results| Value::Int(results.code().into())),
        opt_cause(step.cause.as_ref()),
        Value::text(&step.state_string),
        json(&step.urls),
        Value::Bool(step.hidden),
    ]
}

fn log_row(log: &LogRecord) -> Vec<Value<'_>> {
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

fn log_saved(save: &LogSave) -> RowOp<'_> {
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

fn effect_row(step: StepId, effect: &EffectRecord) -> Vec<Value<'_>> {
    vec![
        Value::id(step.0),
        Value::Int(effect.ordinal.into()),
        Value::text(&effect.kind),
        Value::text(&effect.digest),
        json(&effect.outcome),
    ]
}
