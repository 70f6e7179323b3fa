//! What an event does to rows: one pure function, the same for every backend.

mod rows;

use ironmaster_model::{BuildId, Event, Sequenced};

use self::rows::{
    build_row, builder_row, buildset_rows, change_row, change_source_row, codebase_row, effect_row, insert,
    json, log_row, log_saved, master_row, opt_cause,
    pipelines::{job_moved, job_row, pipeline_row, run_defined, run_moved, run_pinned, run_rows},
    project_row, put, request_row, scheduler_row, sourcestamp_row, step_row, time, to_json, worker_row,
};
use crate::row::{
    RowOp, Table, Value, builders, buildrequests, builds, buildsets, current, effects, jobs, schedulers,
    steps, workers,
};

/// What a build waits for is something else now.
fn waits_for(build: BuildId, waits: Value<'_>) -> RowOp<'_> {
    RowOp::Update {
        table: Table::Builds,
        set: &[builds::WAITS],
        by: &[builds::ID],
        values: vec![waits, Value::id(build.0)],
    }
}

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
        Event::MasterStopped { master } | Event::MasterSet { master } => {
            vec![put(Table::Masters, master_row(master))]
        }
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
        Event::ProjectSet { project } => vec![put(Table::Projects, project_row(project))],
        Event::CodebaseSet { codebase } => vec![put(Table::Codebases, codebase_row(codebase))],
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
            graceful,
            killed,
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
                workers::KILLED,
                workers::MISSING,
            ],
            by: &[workers::ID],
            values: vec![
                Value::text(&connection.instance),
                Value::text(&connection.boot),
                Value::Bool(connection.resumes),
                Value::Bool(connection.connected),
                Value::Null,
                json(info),
                Value::Bool(*graceful),
                Value::Bool(*killed),
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
            downtime,
            killed,
        } => vec![RowOp::Update {
            table: Table::Workers,
            set: &[
                workers::PAUSED,
                workers::PAUSE_REASON,
                workers::GRACEFUL,
                workers::DOWNTIME,
                workers::KILLED,
            ],
            by: &[workers::ID],
            values: vec![
                Value::Bool(*paused),
                Value::opt_text(pause_reason.as_deref()),
                Value::Bool(*graceful),
                json(downtime),
                Value::Bool(*killed),
                Value::id(worker.0),
            ],
        }],
        // What it leads to is that its connection ends.
        Event::WorkerDismissed { .. } => Vec::new(),
        Event::WorkerMissing { worker, since: _ } => vec![RowOp::Update {
            table: Table::Workers,
            set: &[workers::MISSING],
            by: &[workers::ID],
            values: vec![Value::Bool(true), Value::id(worker.0)],
        }],
        Event::SourceStampAdded { sourcestamp } => {
            vec![insert(Table::SourceStamps, sourcestamp_row(sourcestamp))]
        }
        Event::ChangeAdded { change } => vec![insert(Table::Changes, change_row(change))],
        Event::BuildsetCreated { buildset } => buildset_rows(buildset),
        Event::RequestQueued { request } => vec![insert(Table::BuildRequests, request_row(request))],
        Event::RequestPrioritised {
            request,
            priority,
            by_hand,
            since: None,
        } => vec![RowOp::Update {
            table: Table::BuildRequests,
            set: &[buildrequests::PRIORITY, buildrequests::BY_HAND],
            by: &[buildrequests::ID],
            values: vec![Value::Int(*priority), Value::Bool(*by_hand), Value::id(request.0)],
        }],
        Event::RequestPrioritised {
            request,
            priority,
            by_hand,
            since: Some(since),
        } => vec![RowOp::Update {
            table: Table::BuildRequests,
            set: &[
                buildrequests::PRIORITY,
                buildrequests::BY_HAND,
                buildrequests::SUBMITTED_AT,
            ],
            by: &[buildrequests::ID],
            values: vec![
                Value::Int(*priority),
                Value::Bool(*by_hand),
                time(*since),
                Value::id(request.0),
            ],
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
        Event::BuildStarted { build, .. } => vec![
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
        Event::BuildWaits { build, waits } => vec![waits_for(*build, json(waits))],
        Event::BuildResumed { build, step, effect } => vec![
            waits_for(*build, Value::Null),
            insert(Table::Effects, effect_row(*step, effect)),
        ],
        Event::StepStarted { step, logs } => std::iter::once(insert(Table::Steps, step_row(step)))
            .chain(logs.iter().map(|log| insert(Table::Logs, log_row(log))))
            .collect(),
        Event::StepLocksAcquired {
            step,
            build: _,
            state_string,
        } => vec![RowOp::Update {
            table: Table::Steps,
            set: &[steps::LOCKS_ACQUIRED_AT, steps::STATE_STRING],
            by: &[steps::ID],
            values: vec![time(at), Value::text(state_string), Value::id(step.0)],
        }],
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
        Event::PipelineSet { pipeline } => vec![put(Table::Pipelines, pipeline_row(pipeline))],
        Event::RunCreated { run } => run_rows(run),
        Event::JobsAdded { run: _, jobs, needs } => jobs
            .iter()
            .map(|job| insert(Table::Jobs, job_row(job)))
            .chain(needs.iter().map(|(job, needs)| RowOp::Update {
                table: Table::Jobs,
                set: &[jobs::NEEDS],
                by: &[jobs::ID],
                values: vec![json(needs), Value::id(job.0)],
            }))
            .collect(),
        Event::JobMoved {
            run: _,
            job,
            progress,
        } => vec![job_moved(*job, progress)],
        Event::RunDefined {
            run,
            trusted,
            sourcestamps,
            source,
            definition,
        } => vec![run_defined(*run, *trusted, sourcestamps, source, definition)],
        Event::RunPinned { run, sourcestamps } => vec![run_pinned(*run, sourcestamps)],
        Event::RunMoved { run, progress } => vec![run_moved(*run, progress)],
    }
}
