//! Rows of pipelines, runs and jobs back into records.

use ironmaster_model::{
    BuildRequestId, BuildsetId, JobId, JobProgress, JobState, PipelineId, PipelineJobRecord, PipelineRecord,
    PipelineRunRecord, RunId, RunProgress, RunState,
};

use super::Fields;
use crate::error::StoreError;

pub(in crate::sql) fn pipeline(fields: &mut Fields<'_>) -> Result<PipelineRecord, StoreError> {
    Ok(PipelineRecord {
        id: PipelineId(fields.id()?),
        name: fields.text()?,
        active: fields.bool()?,
        project: fields.text()?,
        description: fields.opt_text()?,
    })
}

pub(in crate::sql) fn run(fields: &mut Fields<'_>) -> Result<PipelineRunRecord, StoreError> {
    let id = RunId(fields.id()?);
    let pipeline = PipelineId(fields.id()?);
    let state = fields.text()?;
    let state =
        RunState::from_word(&state).ok_or_else(|| fields.malformed(format!("a run is never \"{state}\"")))?;
    let results = fields.opt_results()?;
    let scheduler = fields.text()?;
    let priority = fields.int()?;
    let parent = fields.opt_id()?.map(JobId);
    let depth = fields.small()?;
    let retried = fields.opt_id()?.map(RunId);
    let group = fields.opt_text()?;
    let supersedes = fields.opt_text()?;
    let trusted = fields.bool()?;
    let created_at = fields.time()?;
    let started_at = fields.opt_time()?;
    let complete_at = fields.opt_time()?;
    let stop = fields.opt_text()?.zip(fields.opt_text()?);
    let why = fields.opt_text()?;
    let reason = fields.text()?;
    let sourcestamps = fields.json()?;
    let changes = fields.json()?;
    let files = fields.opt_json()?;
    let properties = fields.json()?;
    let source = fields.opt_json()?;
    Ok(PipelineRunRecord {
        id,
        pipeline,
        definition: fields.json()?,
        scheduler,
        reason,
        sourcestamps,
        changes,
        files,
        properties,
        priority,
        parent,
        depth,
        retried,
        group,
        supersedes,
        trusted,
        source,
        created_at,
        progress: RunProgress {
            state,
            why,
            stop,
            started_at,
            complete_at,
            results,
        },
    })
}

pub(in crate::sql) fn job(fields: &mut Fields<'_>) -> Result<PipelineJobRecord, StoreError> {
    let id = JobId(fields.id()?);
    let run = RunId(fields.id()?);
    let number = fields.small()?;
    let name = fields.text()?;
    let group = fields.text()?;
    let state = fields.text()?;
    let state =
        JobState::from_word(&state).ok_or_else(|| fields.malformed(format!("a job is never \"{state}\"")))?;
    let results = fields.opt_results()?;
    let buildset = fields.opt_id()?.map(BuildsetId);
    let request = fields.opt_id()?.map(BuildRequestId);
    let child = fields.opt_id()?.map(RunId);
    let attempts = fields.small()?;
    let timed_out = fields.bool()?;
    let approved_by = fields.opt_text()?;
    let queued_at = fields.opt_time()?;
    let started_at = fields.opt_time()?;
    let complete_at = fields.opt_time()?;
    let cause = fields.opt_json()?;
    let why = fields.opt_text()?;
    let added_by = fields.opt_json()?;
    let needs = fields.json()?;
    let matrix = fields.json()?;
    let outputs = fields.json()?;
    Ok(PipelineJobRecord {
        id,
        run,
        number,
        name,
        group,
        matrix,
        definition: fields.json()?,
        needs,
        added_by,
        progress: JobProgress {
            state,
            why,
            results,
            cause,
            buildset,
            request,
            child,
            attempts,
            timed_out,
            outputs,
            approved_by,
            queued_at,
            started_at,
            complete_at,
        },
    })
}
