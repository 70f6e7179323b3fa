//! What people do to pipelines: start and stop runs, approve and reject jobs, try again.

use std::{collections::BTreeMap, sync::Arc};

use ironmaster_model::{
    Counter, JobId, JobProgress, JobState, NewSourceStamp, PipelineJobRecord, PipelineRunRecord, Properties,
    Results, RunId,
};

use super::{
    super::{buildset, invalid},
    StartRun, job_moved, start_job, stop as stop_run,
};
use crate::{Refusal, Reply, RetrySource, Tx};

/// Somebody starts a run.
pub(in crate::decide) fn start(
    tx: &mut Tx<'_>,
    name: &str,
    sourcestamps: Vec<NewSourceStamp>,
    mut properties: Properties,
    by: &str,
    reason: &str,
) -> Result<Reply, Refusal> {
    let plan = Arc::clone(tx.state().plan());
    let Some(definition) = plan.pipelines.get(name) else {
        return Err(Refusal::NotFound {
            what: format!("pipeline \"{name}\" in the configuration"),
        });
    };
    properties.set("owner", by, "Run");
    properties
        .validate()
        .map_err(|error| invalid("properties", error.to_string()))?;
    if sourcestamps.is_empty() {
        return Err(invalid("sourcestamps", "a run needs something to build"));
    }
    let sourcestamps = sourcestamps
        .into_iter()
        .map(|stamp| buildset::stamp(tx, stamp))
        .collect();
    let run = super::start(
        tx,
        definition,
        StartRun {
            reason: format!("started by '{by}': {reason}"),
            scheduler: String::new(),
            sourcestamps,
            changes: Vec::new(),
            files: None,
            properties,
            priority: 0,
            parent: None,
            depth: 0,
            trusted: true,
            source: None,
        },
    );
    Ok(Reply::Run(run))
}

/// Somebody stops a run.
pub(in crate::decide) fn stop(tx: &mut Tx<'_>, id: RunId, by: &str, reason: &str) -> Result<Reply, Refusal> {
    if tx.state().run(id).is_none() {
        let what = format!("run {id}");
        return Err(if id.0 > 0 && id.0 < tx.next_id(Counter::Run) {
            Refusal::NotLive { what }
        } else {
            Refusal::NotFound { what }
        });
    }
    stop_run(tx, id, by, reason);
    Ok(Reply::Done)
}

/// Somebody lets a job start, or not.
pub(in crate::decide) fn approve(
    tx: &mut Tx<'_>,
    id: JobId,
    by: String,
    approved: bool,
    reason: &str,
) -> Result<Reply, Refusal> {
    let Some((run, job)) = tx.state().job_entry(id) else {
        let what = format!("job {id}");
        return Err(if id.0 > 0 && id.0 < tx.next_id(Counter::Job) {
            Refusal::NotLive { what }
        } else {
            Refusal::NotFound { what }
        });
    };
    if job.record.progress.state != JobState::AwaitingApproval {
        return Err(Refusal::Conflict {
            reason: format!(
                "job '{}' of run {} does not wait for approval: it is {}",
                job.record.name,
                run.record.id,
                job.record.progress.state.word()
            ),
        });
    }
    let users = job
        .record
        .definition
        .approval
        .as_ref()
        .map(|approval| &approval.users);
    if let Some(users) = users.filter(|users| !users.is_empty() && !users.contains(&by)) {
        return Err(Refusal::Conflict {
            reason: format!(
                "job '{}' can be approved or rejected by {} only",
                job.record.name,
                crate::watch::list(users)
            ),
        });
    }
    let (run, number) = (run.record.id, job.record.number);
    if approved {
        start_job(tx, run, number, Some(by));
        return Ok(Reply::Done);
    }
    let progress = JobProgress {
        state: JobState::Skipped,
        results: Some(Results::Cancelled),
        why: Some(format!("rejected by {by}: {reason}")),
        approved_by: Some(by),
        complete_at: Some(tx.now()),
        ..job.record.progress.clone()
    };
    job_moved(tx, run, number, progress);
    Ok(Reply::Done)
}

/// Somebody tries a run again that is over: a job with all that needs it, or everything that has not succeeded. What has
/// succeeded is taken over.
pub(in crate::decide) fn retry(
    tx: &mut Tx<'_>,
    source: RetrySource,
    job: Option<JobId>,
    by: &str,
) -> Result<Reply, Refusal> {
    let RetrySource {
        run: old,
        sourcestamps,
        mut jobs,
    } = source;
    if tx.state().run(old.id).is_some() {
        return Err(Refusal::Conflict {
            reason: format!("run {} still goes on; stop it or wait for its end", old.id),
        });
    }
    if let (true, None, Some(source)) = (jobs.is_empty(), job, old.source.clone()) {
        return read_again(tx, old, source.may_be_trusted, sourcestamps, by);
    }
    if sourcestamps.is_empty() || jobs.is_empty() {
        return Err(Refusal::Conflict {
            reason: format!("nothing is known any more of what run {} did", old.id),
        });
    }
    if let Some(job) = job
        && !jobs.iter().any(|other| other.id == job)
    {
        return Err(Refusal::NotFound {
            what: format!("job {job} of run {}", old.id),
        });
    }
    jobs.sort_by_key(|job| job.number);
    let again = again(&jobs, job);
    if !again.contains(&true) {
        return Err(Refusal::Conflict {
            reason: format!("every job of run {} has succeeded", old.id),
        });
    }
    if old.source.is_some() {
        still_granted(tx, &old, &jobs)?;
    }
    let jobs = taken_over(tx, old.id, jobs, &again);
    let sourcestamps = sourcestamps
        .into_iter()
        .map(|stamp| buildset::stamp(tx, stamp))
        .collect();
    let run = super::start::create(
        tx,
        &old.definition,
        StartRun {
            reason: format!("run {} is tried again by '{by}': {}", old.id, old.reason),
            scheduler: old.scheduler,
            sourcestamps,
            changes: old.changes,
            files: old.files,
            properties: old.properties,
            priority: old.priority,
            parent: None,
            depth: old.depth,
            trusted: old.trusted,
            source: old.source,
        },
        Some(old.id),
        jobs,
    );
    Ok(Reply::Run(run))
}

/// A run ended before its jobs were known: they are read once more.
fn read_again(
    tx: &mut Tx<'_>,
    old: PipelineRunRecord,
    trusted: bool,
    sourcestamps: Vec<NewSourceStamp>,
    by: &str,
) -> Result<Reply, Refusal> {
    let plan = Arc::clone(tx.state().plan());
    let Some(definition) = plan.pipelines.get(&old.definition.name) else {
        return Err(Refusal::NotFound {
            what: format!("pipeline \"{}\" in the configuration", old.definition.name),
        });
    };
    let sourcestamps = sourcestamps
        .into_iter()
        .map(|stamp| buildset::stamp(tx, stamp))
        .collect();
    let run = super::start(
        tx,
        definition,
        StartRun {
            reason: format!("run {} is tried again by '{by}': {}", old.id, old.reason),
            scheduler: old.scheduler,
            sourcestamps,
            changes: old.changes,
            files: old.files,
            properties: old.properties,
            priority: old.priority,
            parent: None,
            depth: old.depth,
            trusted,
            source: None,
        },
    );
    Ok(Reply::Run(run))
}

/// The jobs of a repository that are done again must still be granted.
fn still_granted(tx: &Tx<'_>, old: &PipelineRunRecord, jobs: &[PipelineJobRecord]) -> Result<(), Refusal> {
    let plan = tx.state().plan();
    let granted = plan
        .pipelines
        .get(&old.definition.name)
        .and_then(|definition| definition.in_repository.as_ref());
    let refused = match granted {
        None => Some("the configuration does not allow jobs of a repository any more".to_owned()),
        Some(granted) => jobs
            .iter()
            .find_map(|job| granted.refuse_work(&job.definition.work, old.trusted)),
    };
    match refused {
        None => Ok(()),
        Some(why) => Err(Refusal::Conflict {
            reason: format!("run {} cannot be tried again: {why}", old.id),
        }),
    }
}

/// Which jobs are done again: those asked for, and all that need them.
fn again(jobs: &[PipelineJobRecord], job: Option<JobId>) -> Vec<bool> {
    let mut again: Vec<bool> = jobs
        .iter()
        .map(|other| match job {
            Some(job) => other.id == job,
            None => !matches!(other.progress.results, Some(Results::Success | Results::Warnings)),
        })
        .collect();
    let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); jobs.len()];
    for (number, job) in jobs.iter().enumerate() {
        for need in &job.needs {
            if let Some(needed_by) = needed_by.get_mut(*need as usize) {
                needed_by.push(number);
            }
        }
    }
    let mut list: Vec<usize> = (0..jobs.len()).filter(|number| again[*number]).collect();
    while let Some(number) = list.pop() {
        for other in &needed_by[number] {
            if !again[*other] {
                again[*other] = true;
                list.push(*other);
            }
        }
    }
    again
}

/// The jobs of the new run. Those that a job has added which is done again are left out: it adds them again.
fn taken_over(
    tx: &Tx<'_>,
    old: RunId,
    jobs: Vec<PipelineJobRecord>,
    again: &[bool],
) -> Vec<PipelineJobRecord> {
    let run = RunId(tx.next_id(Counter::Run));
    let first = tx.next_id(Counter::Job);
    let mut left_out = vec![false; jobs.len()];
    for (number, job) in jobs.iter().enumerate() {
        left_out[number] = job.added_by.as_ref().is_some_and(|by| {
            let by = by.job as usize;
            again.get(by) == Some(&true) || left_out.get(by) == Some(&true)
        });
    }
    let mut numbers: BTreeMap<u32, u32> = BTreeMap::new();
    for (number, left_out) in (0_u32..).zip(&left_out) {
        if !left_out {
            numbers.insert(number, numbers.len() as u32);
        }
    }
    jobs.into_iter()
        .enumerate()
        .filter_map(|(at, mut job)| {
            let number = *numbers.get(&(at as u32))?;
            job.id = JobId(first + u64::from(number));
            job.run = run;
            job.number = number;
            job.needs = job
                .needs
                .iter()
                .filter_map(|need| numbers.get(need).copied())
                .collect();
            job.added_by = job.added_by.and_then(|mut by| {
                by.job = *numbers.get(&by.job)?;
                Some(by)
            });
            job.progress = if again[at] {
                JobProgress::default()
            } else {
                JobProgress {
                    state: JobState::Complete,
                    results: job.progress.results,
                    outputs: job.progress.outputs,
                    why: Some(format!("taken over from run {old}")),
                    buildset: job.progress.buildset,
                    request: job.progress.request,
                    complete_at: Some(tx.now()),
                    ..JobProgress::default()
                }
            };
            Some(job)
        })
        .collect()
}
