//! Pipelines, their runs and jobs as rows.

use ironmaster_model::{
    JobId, JobProgress, PipelineDef, PipelineJobRecord, PipelineRecord, PipelineRunRecord, Results, RunId,
    RunProgress, RunSource, SourceStampId,
};

use super::{insert, json, opt_cause, opt_time, time};
use crate::row::{RowOp, Table, Value, jobs, runs};

fn opt_results(results: Option<Results>) -> Value<'static> {
    results.map_or(Value::Null, |results| Value::Int(results.code().into()))
}

pub(in crate::effect) fn pipeline_row(pipeline: &PipelineRecord) -> Vec<Value<'_>> {
    vec![
        Value::id(pipeline.id.0),
        Value::text(&pipeline.name),
        Value::Bool(pipeline.active),
        Value::text(&pipeline.project),
        Value::opt_text(pipeline.description.as_deref()),
    ]
}

fn run_row(run: &PipelineRunRecord) -> Vec<Value<'_>> {
    let progress = &run.progress;
    let stop = progress.stop.as_ref();
    vec![
        Value::id(run.id.0),
        Value::id(run.pipeline.0),
        Value::text(progress.state.word()),
        opt_results(progress.results),
        Value::text(&run.scheduler),
        Value::Int(run.priority),
        Value::opt_id(run.parent.map(|job| job.0)),
        Value::Int(run.depth.into()),
        Value::opt_id(run.retried.map(|run| run.0)),
        Value::opt_text(run.group.as_deref()),
        Value::opt_text(run.supersedes.as_deref()),
        Value::Bool(run.trusted),
        time(run.created_at),
        opt_time(progress.started_at),
        opt_time(progress.complete_at),
        Value::opt_text(stop.map(|(by, _)| by.as_str())),
        Value::opt_text(stop.map(|(_, reason)| reason.as_str())),
        Value::opt_text(progress.why.as_deref()),
        Value::text(&run.reason),
        json(&run.sourcestamps),
        json(&run.changes),
        run.files.as_ref().map_or(Value::Null, json),
        json(&run.properties),
        run.source.as_ref().map_or(Value::Null, json),
        json(&run.definition),
    ]
}

/// A new run: itself, and what it is found by.
pub(in crate::effect) fn run_rows(run: &PipelineRunRecord) -> Vec<RowOp<'_>> {
    let changes = (0..).zip(&run.changes).map(|(position, change)| {
        let values = vec![Value::id(run.id.0), Value::Int(position), Value::id(change.0)];
        insert(Table::RunChanges, values)
    });
    std::iter::once(insert(Table::Runs, run_row(run)))
        .chain(changes)
        .collect()
}

pub(in crate::effect) fn run_defined<'a>(
    run: RunId,
    trusted: bool,
    sourcestamps: &'a [SourceStampId],
    source: &'a RunSource,
    definition: &'a PipelineDef,
) -> RowOp<'a> {
    RowOp::Update {
        table: Table::Runs,
        set: &[runs::TRUSTED, runs::SOURCESTAMPS, runs::SOURCE, runs::DEFINITION],
        by: &[runs::ID],
        values: vec![
            Value::Bool(trusted),
            json(&sourcestamps),
            json(source),
            json(definition),
            Value::id(run.0),
        ],
    }
}

pub(in crate::effect) fn run_pinned(run: RunId, sourcestamps: &[SourceStampId]) -> RowOp<'_> {
    RowOp::Update {
        table: Table::Runs,
        set: &[runs::SOURCESTAMPS],
        by: &[runs::ID],
        values: vec![json(&sourcestamps), Value::id(run.0)],
    }
}

pub(in crate::effect) fn run_moved(run: RunId, progress: &RunProgress) -> RowOp<'_> {
    let stop = progress.stop.as_ref();
    RowOp::Update {
        table: Table::Runs,
        set: &[
            runs::STATE,
            runs::RESULTS,
            runs::STARTED_AT,
            runs::COMPLETE_AT,
            runs::STOP_BY,
            runs::STOP_REASON,
            runs::WHY,
        ],
        by: &[runs::ID],
        values: vec![
            Value::text(progress.state.word()),
            opt_results(progress.results),
            opt_time(progress.started_at),
            opt_time(progress.complete_at),
            Value::opt_text(stop.map(|(by, _)| by.as_str())),
            Value::opt_text(stop.map(|(_, reason)| reason.as_str())),
            Value::opt_text(progress.why.as_deref()),
            Value::id(run.0),
        ],
    }
}

pub(in crate::effect) fn job_row(job: &PipelineJobRecord) -> Vec<Value<'_>> {
    let progress = &job.progress;
    vec![
        Value::id(job.id.0),
        Value::id(job.run.0),
        Value::Int(job.number.into()),
        Value::text(&job.name),
        Value::text(&job.group),
        Value::text(progress.state.word()),
        opt_results(progress.results),
        Value::opt_id(progress.buildset.map(|buildset| buildset.0)),
        Value::opt_id(progress.request.map(|request| request.0)),
        Value::opt_id(progress.child.map(|run| run.0)),
        Value::Int(progress.attempts.into()),
        Value::Bool(progress.timed_out),
        Value::opt_text(progress.approved_by.as_deref()),
        opt_time(progress.queued_at),
        opt_time(progress.started_at),
        opt_time(progress.complete_at),
        opt_cause(progress.cause.as_ref()),
        Value::opt_text(progress.why.as_deref()),
        job.added_by.as_ref().map_or(Value::Null, json),
        json(&job.needs),
        json(&job.matrix),
        json(&progress.outputs),
        json(&job.definition),
    ]
}

pub(in crate::effect) fn job_moved(job: JobId, progress: &JobProgress) -> RowOp<'_> {
    RowOp::Update {
        table: Table::Jobs,
        set: &[
            jobs::STATE,
            jobs::RESULTS,
            jobs::BUILDSET,
            jobs::REQUEST,
            jobs::CHILD,
            jobs::ATTEMPTS,
            jobs::TIMED_OUT,
            jobs::APPROVED_BY,
            jobs::QUEUED_AT,
            jobs::STARTED_AT,
            jobs::COMPLETE_AT,
            jobs::CAUSE,
            jobs::WHY,
            jobs::OUTPUTS,
        ],
        by: &[jobs::ID],
        values: vec![
            Value::text(progress.state.word()),
            opt_results(progress.results),
            Value::opt_id(progress.buildset.map(|buildset| buildset.0)),
            Value::opt_id(progress.request.map(|request| request.0)),
            Value::opt_id(progress.child.map(|run| run.0)),
            Value::Int(progress.attempts.into()),
            Value::Bool(progress.timed_out),
            Value::opt_text(progress.approved_by.as_deref()),
            opt_time(progress.queued_at),
            opt_time(progress.started_at),
            opt_time(progress.complete_at),
            opt_cause(progress.cause.as_ref()),
            Value::opt_text(progress.why.as_deref()),
            json(&progress.outputs),
            Value::id(job.0),
        ],
    }
}
