//! Jobs that a running job adds to its run.

use ironmaster_model::{
    BuildId, Counter, Event, JobDef, JobId, JobProgress, JobState, PipelineJobRecord, RunId,
    pipeline::{
        AddedBy, JobWork,
        graph::{self, Known},
    },
};

use super::{super::invalid, Work, define};
use crate::{Refusal, Reply, State, Tx};

/// A step of a job's build adds jobs. `key` tells this request from others of the build: asked again, it is answered alike.
pub(in crate::decide) fn add(
    tx: &mut Tx<'_>,
    build: BuildId,
    key: String,
    jobs: &[JobDef],
) -> Result<Reply, Refusal> {
    let state = tx.state();
    let Some(build) = state.build(build) else {
        return Err(super::super::not_live(tx, build));
    };
    let adder = state
        .request(build.request)
        .and_then(|request| state.runs.buildsets.get(&request.buildset))
        .and_then(|job| state.job_entry(*job));
    let Some((run, adder)) = adder else {
        return Err(Refusal::Conflict {
            reason: format!(
                "build {} belongs to no run of a pipeline, so there is nothing that jobs could be added to",
                build.id
            ),
        });
    };
    let by = AddedBy {
        job: adder.record.number,
        key,
    };
    let known = run
        .jobs
        .iter()
        .filter(|job| job.record.added_by.as_ref() == Some(&by))
        .count();
    if known > 0 {
        return Ok(Reply::Added { jobs: known });
    }
    let id = run.record.id;
    if run.record.progress.stop.is_some() {
        return Err(Refusal::Conflict {
            reason: format!("run {id} is being stopped"),
        });
    }
    let there: Vec<Known<'_>> = run
        .jobs
        .iter()
        .map(|job| Known {
            name: &job.record.name,
            group: &job.record.group,
            needs: &job.record.needs,
            settled: job.record.progress.state != JobState::Waiting,
        })
        .collect();
    let planned = graph::plan(jobs, &there).map_err(|errors| {
        let texts: Vec<String> = errors
            .iter()
            .map(|error| {
                let name = jobs.get(error.job()).map_or("", |job| &job.name);
                format!("job `{name}`: {error}")
            })
            .collect();
        invalid("jobs", texts.join("; "))
    })?;
    let unknown: Vec<String> = planned
        .jobs
        .iter()
        .filter_map(|job| unknown_work(state, &job.definition))
        .collect();
    if !unknown.is_empty() {
        return Err(invalid("jobs", unknown.join("; ")));
    }
    if run.record.source.is_some() {
        // The repository's jobs cannot add what they could not have been.
        let refused = match define::granted(state, run) {
            None => vec!["the configuration does not allow jobs of a repository any more".to_owned()],
            Some((granted, taken)) => {
                let taken = taken.iter().map(String::as_str).collect();
                granted.refuse(jobs, run.jobs.len(), run.record.trusted, &taken)
            }
        };
        if !refused.is_empty() {
            return Err(invalid("jobs", refused.join("; ")));
        }
    }
    let first = tx.next_id(Counter::Job);
    let from = run.jobs.len() as u32;
    let records: Vec<PipelineJobRecord> = (0_u32..)
        .zip(planned.jobs)
        .map(|(index, job)| PipelineJobRecord {
            id: JobId(first + u64::from(index)),
            run: id,
            number: from + index,
            name: job.name,
            group: job.group,
            matrix: job.matrix,
            definition: job.definition,
            needs: job.needs,
            added_by: Some(by.clone()),
            progress: JobProgress::default(),
        })
        .collect();
    let needs = planned
        .needs
        .into_iter()
        .filter_map(|(number, needs)| Some((run.job(number)?.record.id, needs)))
        .collect();
    let count = records.len();
    tx.emit(Event::JobsAdded {
        run: id,
        jobs: records,
        needs,
    });
    look_at_new(tx, id, from);
    Ok(Reply::Added { jobs: count })
}

fn look_at_new(tx: &mut Tx<'_>, run: RunId, from: u32) {
    let free: Vec<u32> = tx
        .state()
        .run_entry(run)
        .into_iter()
        .flat_map(|run| run.jobs.iter().skip(from as usize))
        .filter(|job| job.open_needs == 0)
        .map(|job| job.record.number)
        .collect();
    for number in free {
        tx.note_work(Work::Look(run, number));
    }
}

/// What a job refers to that is not there.
fn unknown_work(state: &State, definition: &JobDef) -> Option<String> {
    match &definition.work {
        JobWork::Build { builder }
            if !state
                .builder_by_name(builder)
                .is_some_and(|builder| builder.active) =>
        {
            Some(format!(
                "job `{}`: there is no builder `{builder}`",
                definition.name
            ))
        }
        JobWork::Pipeline { pipeline, .. } if !state.plan.pipelines.contains_key(pipeline) => Some(format!(
            "job `{}`: there is no pipeline `{pipeline}`",
            definition.name
        )),
        _ => None,
    }
}
