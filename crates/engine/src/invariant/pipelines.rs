//! Runs of pipelines: jobs start when what they need has ended as it should, and everything ends once.

use std::{collections::BTreeMap, sync::Arc};

use ironmaster_model::{
    Counter, JobId, JobProgress, JobState, PipelineDef, PipelineJobRecord, PipelineRunRecord, Results, RunId,
    RunProgress, RunSource, RunState, SourceStampId,
    pipeline::{JobWork, NeedsOn},
};

use super::Checker;

/// A run that is open.
#[derive(Clone, Debug)]
pub(super) struct Run {
    record: PipelineRunRecord,
    jobs: Vec<PipelineJobRecord>,
    numbers: BTreeMap<JobId, usize>,
}

impl Checker {
    pub(super) fn run_created(&mut self, run: &PipelineRunRecord) {
        self.fresh(Counter::Run, run.id.0);
        let begins = if run.source.is_some() && run.retried.is_none() {
            RunState::Defining
        } else {
            RunState::Queued
        };
        if run.progress.state != begins || run.progress.results.is_some() {
            self.violate(
                "a run begins queued, or with its jobs unknown",
                format!("run {} is {:?}", run.id, run.progress),
            );
        }
        if !run.changes.is_empty() {
            // What it was made for counts as built, whatever becomes of its jobs.
            self.built
                .entry(run.scheduler.clone())
                .or_default()
                .extend(run.changes.iter().copied());
        }
        self.runs.insert(
            run.id,
            Run {
                record: run.clone(),
                jobs: Vec::new(),
                numbers: BTreeMap::new(),
            },
        );
    }

    pub(super) fn jobs_added(&mut self, id: RunId, jobs: &[PipelineJobRecord], needs: &[(JobId, Vec<u32>)]) {
        for job in jobs {
            self.fresh(Counter::Job, job.id.0);
        }
        let Some(run) = self.runs.get_mut(&id) else {
            self.unknown(format!("run {id} got jobs"));
            return;
        };
        let mut wrong = Vec::new();
        for job in jobs {
            if job.run != id || job.number as usize != run.jobs.len() {
                wrong.push(format!(
                    "job {} is number {} of run {}",
                    job.id, job.number, job.run
                ));
            }
            run.numbers.insert(job.id, run.jobs.len());
            run.jobs.push(job.clone());
        }
        for (job, needs) in needs {
            match run.numbers.get(job).and_then(|number| run.jobs.get_mut(*number)) {
                Some(job) if job.progress.state == JobState::Waiting => job.needs.clone_from(needs),
                Some(job) => wrong.push(format!(
                    "job {} is {:?} and needs more now",
                    job.id, job.progress.state
                )),
                None => wrong.push(format!("job {job} is not there and needs more now")),
            }
        }
        let count = run.jobs.len();
        for job in &run.jobs {
            if job.needs.iter().any(|need| *need as usize >= count) {
                wrong.push(format!("job {} needs {:?} of {count}", job.id, job.needs));
            }
        }
        for what in wrong {
            self.violate("jobs of a run are numbered, and need only one another", what);
        }
        self.granted(id);
    }

    pub(super) fn run_defined(
        &mut self,
        id: RunId,
        trusted: bool,
        sourcestamps: &[SourceStampId],
        source: &RunSource,
        definition: &Arc<PipelineDef>,
    ) {
        let Some(run) = self.runs.get_mut(&id) else {
            self.unknown(format!("run {id} was defined"));
            return;
        };
        let record = &mut run.record;
        let mut wrong: Vec<(&'static str, String)> = Vec::new();
        if record.progress.state != RunState::Defining || record.source.is_none() {
            wrong.push((
                "a run's jobs are read once",
                format!("run {id} is {:?}", record.progress.state),
            ));
        }
        if trusted && (!source.may_be_trusted || source.problem.is_some()) {
            wrong.push((
                "only what may be trusted is",
                format!("run {id} is trusted: {source:?}"),
            ));
        }
        record.trusted = trusted;
        record.sourcestamps = sourcestamps.to_vec();
        record.source = Some(source.clone());
        record.definition = Arc::clone(definition);
        for (rule, what) in wrong {
            self.violate(rule, what);
        }
    }

    pub(super) fn run_pinned(&mut self, id: RunId, sourcestamps: &[SourceStampId]) {
        let Some(run) = self.runs.get_mut(&id) else {
            self.unknown(format!("run {id} was pinned"));
            return;
        };
        let old = std::mem::replace(&mut run.record.sourcestamps, sourcestamps.to_vec());
        let moved = old.iter().zip(sourcestamps).any(|(old, new)| {
            let was_newest = self.newest.contains(old) || self.partial;
            old != new && (!was_newest || self.newest.contains(new))
        });
        if moved || old.len() != sourcestamps.len() {
            self.violate(
                "what a run builds is found out once",
                format!("run {id} builds stamps {sourcestamps:?}, after {old:?}"),
            );
        }
    }

    /// Jobs of a repository use what is granted, and no more.
    fn granted(&mut self, id: RunId) {
        let Some(run) = self.runs.get(&id).filter(|run| run.record.source.is_some()) else {
            return;
        };
        let Some(def) = &run.record.definition.in_repository else {
            return;
        };
        let mut lists = vec![&def.granted];
        if run.record.trusted {
            lists.push(&def.granted_trusted);
        }
        let bad: Vec<String> = run
            .jobs
            .iter()
            .filter(|job| match &job.definition.work {
                JobWork::Gate => false,
                JobWork::Build { builder } => !lists.iter().any(|list| list.builders.contains(builder)),
                JobWork::Pipeline { pipeline, .. } => {
                    !lists.iter().any(|list| list.pipelines.contains(pipeline))
                }
            })
            .map(|job| format!("job {} of run {id}: {:?}", job.name, job.definition.work))
            .collect();
        for what in bad {
            self.violate("jobs of a repository use what they are granted", what);
        }
    }

    pub(super) fn job_moved(&mut self, id: RunId, job: JobId, progress: &JobProgress) {
        let Some(run) = self.runs.get(&id) else {
            self.unknown(format!("job {job} of run {id} moved"));
            return;
        };
        let Some(number) = run.numbers.get(&job).copied() else {
            self.unknown(format!("job {job} moved"));
            return;
        };
        let record = &run.jobs[number];
        let (from, to) = (record.progress.state, progress.state);
        let mut wrong: Vec<(&'static str, String)> = Vec::new();
        let forward = match (from, to) {
            (JobState::Running, JobState::Queued) => true,
            (from, _) if from.is_over() => false,
            (from, to) => from <= to,
        };
        if !forward {
            wrong.push((
                "states only move forward",
                format!("job {job} was {from:?} and is {to:?}"),
            ));
        }
        if to.is_over() != progress.results.is_some() {
            wrong.push((
                "a job that is over has a result",
                format!("job {job} is {to:?} with {:?}", progress.results),
            ));
        }
        let starts = matches!(from, JobState::Waiting | JobState::AwaitingApproval)
            && !matches!(to, JobState::Waiting | JobState::Skipped | JobState::Expired);
        if starts {
            if let Some(what) = unmet(run, record) {
                wrong.push(("a job starts when its needs have ended as they should", what));
            }
            if run.record.progress.state < RunState::Running {
                wrong.push((
                    "a job starts when its run has begun",
                    format!("job {job} of run {id} did not wait"),
                ));
            }
            if record.definition.approval.is_some()
                && to != JobState::AwaitingApproval
                && progress.approved_by.is_none()
            {
                wrong.push(("a job starts when it is approved", format!("job {job} was not")));
            }
        }
        let limit = 1 + record.definition.retry.as_ref().map_or(0, |retry| retry.limit);
        if progress.attempts > limit {
            wrong.push((
                "a job is tried again within its limit",
                format!("job {job} was tried {} times of {limit}", progress.attempts),
            ));
        }
        if let (JobState::Queued, Some(buildset)) = (to, progress.buildset)
            && !self.buildsets.contains_key(&buildset)
        {
            wrong.push((
                "a job that waits for a worker has asked for a build",
                format!("job {job} waits for buildset {buildset}"),
            ));
        }
        for (rule, what) in wrong {
            self.violate(rule, what);
        }
        if let Some(run) = self.runs.get_mut(&id) {
            run.jobs[number].progress = progress.clone();
        }
    }

    pub(super) fn run_moved(&mut self, id: RunId, progress: &RunProgress) {
        let Some(run) = self.runs.get_mut(&id) else {
            self.unknown(format!("run {id} moved"));
            return;
        };
        let from = run.record.progress.state;
        run.record.progress = progress.clone();
        let mut wrong: Vec<(&'static str, String)> = Vec::new();
        if progress.state < from || from == RunState::Complete {
            wrong.push((
                "states only move forward",
                format!("run {id} was {from:?} and is {:?}", progress.state),
            ));
        }
        let record = run.record.clone();
        if progress.state == RunState::Complete {
            let open: Vec<String> = run
                .jobs
                .iter()
                .filter(|job| !job.progress.state.is_over())
                .map(|job| job.name.clone())
                .collect();
            if !open.is_empty() || progress.results.is_none() {
                wrong.push((
                    "a run completes when its jobs are over",
                    format!("run {id} ended {:?}, open are {open:?}", progress.results),
                ));
            }
            self.runs.remove(&id);
        }
        if let (RunState::Running, RunState::Queued, Some(group), Some(concurrency)) = (
            progress.state,
            from,
            &record.group,
            &record.definition.concurrency,
        ) {
            let going = self
                .runs
                .values()
                .filter(|run| run.record.group.as_ref() == Some(group))
                .filter(|run| matches!(run.record.progress.state, RunState::Running | RunState::Stopping))
                .count();
            if going > concurrency.limit as usize {
                wrong.push((
                    "a concurrency group keeps its limit",
                    format!("run {id} is number {going} at once in the group {group:?}"),
                ));
            }
        }
        for (rule, what) in wrong {
            self.violate(rule, what);
        }
    }

    /// Runs that have not ended, for the end of everything.
    pub(super) fn open_runs(&self) -> Vec<String> {
        self.runs
            .iter()
            .map(|(id, run)| {
                let open: Vec<String> = run
                    .jobs
                    .iter()
                    .filter(|job| !job.progress.state.is_over())
                    .map(|job| format!("{} {:?}", job.name, job.progress.state))
                    .collect();
                format!("run {id} is {:?}: {open:?}", run.record.progress.state)
            })
            .collect()
    }
}

/// Why the job should not have started.
fn unmet(run: &Run, job: &PipelineJobRecord) -> Option<String> {
    let needs: Vec<&PipelineJobRecord> = job
        .needs
        .iter()
        .filter_map(|need| run.jobs.get(*need as usize))
        .collect();
    if let Some(open) = needs.iter().find(|need| !need.progress.state.is_over()) {
        return Some(format!("job {} started, and {} is not over", job.name, open.name));
    }
    if needs.is_empty() {
        return None;
    }
    let well = |need: &PipelineJobRecord| {
        matches!(need.progress.results, Some(Results::Success | Results::Warnings))
            || (need.definition.optional && ill(need))
    };
    let total = needs.len();
    let good = needs.iter().filter(|need| well(need)).count();
    let met = match job.definition.needs_on {
        NeedsOn::Success => match job.definition.needs_share {
            Some(share) => good as f64 / total as f64 >= f64::from(share) / 1000.0 - 1e-9,
            None => good == total,
        },
        NeedsOn::NotFailed => needs.iter().all(|need| well(need) || !ill(need)),
        NeedsOn::Failure => needs.iter().any(|need| ill(need)),
        NeedsOn::Completion | NeedsOn::Always => true,
    };
    (!met).then(|| {
        format!(
            "job {} started {:?} with {good} of {total} good",
            job.name, job.definition.needs_on
        )
    })
}

fn ill(need: &PipelineJobRecord) -> bool {
    matches!(
        need.progress.results,
        Some(Results::Failure | Results::Exception | Results::Cancelled | Results::Retry)
    )
}
