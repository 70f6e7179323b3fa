//! Runs of pipelines that are not complete, with what follows from their rows.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ironmaster_model::{
    BuildsetId, Counter, JobId, JobProgress, JobState, PipelineDef, PipelineId, PipelineJobRecord,
    PipelineRecord, PipelineRunRecord, RunId, RunProgress, RunSource, RunState, SourceStampId, Timestamp,
};

use super::{LoadError, State};
use crate::{
    deadlines::Due,
    planted::{Bug, planted},
};

/// Pipelines, and their runs that are not complete.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Runs {
    pub(crate) pipelines: BTreeMap<PipelineId, PipelineRecord>,
    pub(crate) names: BTreeMap<String, PipelineId>,
    pub(crate) by_id: BTreeMap<RunId, Box<RunEntry>>,
    /// Where each of their jobs is.
    pub(crate) jobs: BTreeMap<JobId, (RunId, u32)>,
    /// Jobs that wait for a buildset.
    pub(crate) buildsets: BTreeMap<BuildsetId, JobId>,
    /// Runs whose jobs are to be read from their repository.
    pub(crate) defining: BTreeSet<RunId>,
    /// Runs by concurrency group.
    pub(crate) groups: BTreeMap<String, BTreeSet<RunId>>,
    /// Runs by what newer ones supersede them for.
    pub(crate) supersedable: BTreeMap<String, BTreeSet<RunId>>,
}

/// A run that is not complete.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RunEntry {
    pub(crate) record: PipelineRunRecord,
    pub(crate) jobs: Vec<JobEntry>,
    /// How many of them are not over.
    pub(crate) open: usize,
}

/// A job of such a run, with counts of the jobs that it needs, so that nobody goes through them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct JobEntry {
    pub(crate) record: PipelineJobRecord,
    /// Numbers of the jobs that need it, ascending.
    pub(crate) needed_by: Vec<u32>,
    /// Needs that are not over.
    pub(crate) open_needs: u32,
    /// Needs that have succeeded, optional ones that have failed among them.
    pub(crate) succeeded: u32,
    /// Needs that have failed, optional ones among them.
    pub(crate) failed: u32,
    /// Needs that have failed and are not optional.
    pub(crate) broken: u32,
}

impl RunEntry {
    pub(crate) fn job(&self, number: u32) -> Option<&JobEntry> {
        self.jobs.get(number as usize)
    }

    /// Counts a job that is over with those that need it.
    fn count_over(&mut self, number: u32) {
        let Some(job) = self.jobs.get_mut(number as usize) else {
            return;
        };
        let (succeeded, failed) = (job.record.has_succeeded(), job.record.has_failed());
        let needed_by = std::mem::take(&mut job.needed_by);
        for other in &needed_by {
            if let Some(other) = self.jobs.get_mut(*other as usize) {
                other.open_needs = other.open_needs.saturating_sub(1);
                other.succeeded += u32::from(succeeded);
                other.failed += u32::from(failed);
                other.broken += u32::from(failed && !succeeded);
            }
        }
        if let Some(job) = self.jobs.get_mut(number as usize) {
            job.needed_by = needed_by;
        }
    }
}

impl JobEntry {
    /// When something is to be done about it.
    fn due(&self) -> Option<Timestamp> {
        let (progress, definition) = (&self.record.progress, &self.record.definition);
        match progress.state {
            JobState::AwaitingApproval | JobState::Queued if !planted(Bug::ExpiryForgotten) => {
                Some(progress.queued_at? + definition.expires?)
            }
            JobState::Running if !progress.timed_out => Some(progress.started_at? + definition.timeout?),
            _ => None,
        }
    }
}

impl State {
    /// A run that is not complete.
    pub fn run(&self, id: RunId) -> Option<&PipelineRunRecord> {
        self.runs.by_id.get(&id).map(|entry| &entry.record)
    }

    /// Runs that are not complete, in order of id.
    pub fn active_runs(&self) -> impl Iterator<Item = &PipelineRunRecord> {
        self.runs.by_id.values().map(|entry| &entry.record)
    }

    /// A job of a run that is not complete.
    pub fn job(&self, id: JobId) -> Option<&PipelineJobRecord> {
        let (run, number) = self.runs.jobs.get(&id)?;
        Some(&self.runs.by_id.get(run)?.job(*number)?.record)
    }

    /// The jobs of a run that is not complete, in order of number.
    pub fn jobs_of(&self, run: RunId) -> impl Iterator<Item = &PipelineJobRecord> {
        self.runs
            .by_id
            .get(&run)
            .into_iter()
            .flat_map(|entry| &entry.jobs)
            .map(|job| &job.record)
    }

    /// The pipeline with that name, configured or not any more.
    pub fn pipeline_by_name(&self, name: &str) -> Option<&PipelineRecord> {
        self.runs.pipelines.get(self.runs.names.get(name)?)
    }

    /// All pipelines, inactive ones too.
    pub fn pipelines(&self) -> impl Iterator<Item = &PipelineRecord> {
        self.runs.pipelines.values()
    }

    pub(crate) fn set_pipeline(&mut self, pipeline: &PipelineRecord) {
        self.took(Counter::Pipeline, pipeline.id.0);
        self.runs.names.insert(pipeline.name.clone(), pipeline.id);
        self.runs.pipelines.insert(pipeline.id, pipeline.clone());
    }

    pub(crate) fn create_run(&mut self, run: &PipelineRunRecord) {
        self.took(Counter::Run, run.id.0);
        for stamp in &run.sourcestamps {
            self.hold_stamp_if_there(*stamp);
        }
        self.insert_run(run.clone());
    }

    fn insert_run(&mut self, run: PipelineRunRecord) {
        let id = run.id;
        if run.progress.state == RunState::Defining {
            self.runs.defining.insert(id);
        }
        for (keys, key) in [
            (&mut self.runs.groups, &run.group),
            (&mut self.runs.supersedable, &run.supersedes),
        ] {
            if let Some(key) = key {
                keys.entry(key.clone()).or_default().insert(id);
            }
        }
        self.runs.by_id.insert(
            id,
            Box::new(RunEntry {
                record: run,
                jobs: Vec::new(),
                open: 0,
            }),
        );
        self.update_run_deadline(id);
    }

    pub(crate) fn add_jobs(&mut self, run: RunId, jobs: &[PipelineJobRecord], needs: &[(JobId, Vec<u32>)]) {
        for job in jobs {
            self.took(Counter::Job, job.id.0);
            self.insert_job(job.clone());
        }
        // What they need may come after them in the list, so this waits until all are there.
        for (job, needs) in needs {
            let Some((_, number)) = self.runs.jobs.get(job).copied() else {
                continue;
            };
            let Some(entry) = self.runs.by_id.get_mut(&run) else {
                continue;
            };
            let Some(job) = entry.jobs.get_mut(number as usize) else {
                continue;
            };
            job.record.needs.clone_from(needs);
            self.count_needs(run, number);
        }
        for job in jobs {
            self.count_needs(run, job.number);
        }
    }

    /// Jobs come in order of number. Their needs are counted later.
    fn insert_job(&mut self, job: PipelineJobRecord) {
        let (id, run, number) = (job.id, job.run, job.number);
        let Some(entry) = self.runs.by_id.get_mut(&run) else {
            return;
        };
        let over = job.progress.state.is_over();
        entry.open += usize::from(!over);
        if let (false, Some(buildset)) = (over, job.progress.buildset) {
            self.runs.buildsets.insert(buildset, id);
        }
        entry.jobs.push(JobEntry {
            record: job,
            needed_by: Vec::new(),
            open_needs: 0,
            succeeded: 0,
            failed: 0,
            broken: 0,
        });
        self.runs.jobs.insert(id, (run, number));
        self.update_job_deadline(id);
    }

    /// Counts what a job needs anew, once all of that is there.
    fn count_needs(&mut self, run: RunId, number: u32) {
        let Some(entry) = self.runs.by_id.get_mut(&run) else {
            return;
        };
        let Some(job) = entry.jobs.get_mut(number as usize) else {
            return;
        };
        let needs = std::mem::take(&mut job.record.needs);
        let (mut open, mut succeeded, mut failed, mut broken) = (0, 0, 0, 0);
        for need in &needs {
            let Some(need) = entry.jobs.get_mut(*need as usize) else {
                continue;
            };
            // They mostly come in order.
            if need.needed_by.last().is_none_or(|last| *last < number) {
                need.needed_by.push(number);
            } else if let Err(at) = need.needed_by.binary_search(&number) {
                need.needed_by.insert(at, number);
            }
            let record = &need.record;
            open += u32::from(!record.progress.state.is_over());
            succeeded += u32::from(record.has_succeeded());
            failed += u32::from(record.has_failed());
            broken += u32::from(record.has_failed() && !record.has_succeeded());
        }
        if let Some(job) = entry.jobs.get_mut(number as usize) {
            (job.open_needs, job.succeeded, job.failed, job.broken) = (open, succeeded, failed, broken);
            job.record.needs = needs;
        }
    }

    pub(crate) fn move_job(&mut self, run: RunId, id: JobId, progress: &JobProgress) {
        let Some((_, number)) = self.runs.jobs.get(&id).copied() else {
            return;
        };
        let Some(entry) = self.runs.by_id.get_mut(&run) else {
            return;
        };
        let Some(job) = entry.jobs.get_mut(number as usize) else {
            return;
        };
        let old = std::mem::replace(&mut job.record.progress, progress.clone());
        let (was_over, over) = (old.state.is_over(), progress.state.is_over());
        if let Some(buildset) = old
            .buildset
            .filter(|buildset| over || progress.buildset != Some(*buildset))
        {
            self.runs.buildsets.remove(&buildset);
        }
        if let (false, Some(buildset)) = (over, progress.buildset) {
            self.runs.buildsets.insert(buildset, id);
        }
        if over && !was_over {
            entry.open = entry.open.saturating_sub(1);
            entry.count_over(number);
        }
        self.update_job_deadline(id);
    }

    pub(crate) fn define_run(
        &mut self,
        id: RunId,
        trusted: bool,
        sourcestamps: &[SourceStampId],
        source: &RunSource,
        definition: &Arc<PipelineDef>,
    ) {
        let Some(entry) = self.runs.by_id.get_mut(&id) else {
            return;
        };
        let record = &mut entry.record;
        record.trusted = trusted;
        record.source = Some(source.clone());
        record.definition = Arc::clone(definition);
        self.pin_run(id, sourcestamps);
        self.update_run_deadline(id);
    }

    /// A run builds something else from now on.
    pub(crate) fn pin_run(&mut self, id: RunId, sourcestamps: &[SourceStampId]) {
        let Some(entry) = self.runs.by_id.get_mut(&id) else {
            return;
        };
        let old = std::mem::replace(&mut entry.record.sourcestamps, sourcestamps.to_vec());
        // Those that stay are never without a holder.
        for stamp in sourcestamps {
            self.hold_stamp_if_there(*stamp);
        }
        for stamp in old {
            self.release_stamp(stamp);
        }
    }

    pub(crate) fn move_run(&mut self, id: RunId, progress: &RunProgress) {
        let Some(entry) = self.runs.by_id.get_mut(&id) else {
            return;
        };
        entry.record.progress = progress.clone();
        if progress.state != RunState::Defining {
            self.runs.defining.remove(&id);
        }
        if progress.state == RunState::Complete {
            self.remove_run(id);
        } else {
            self.update_run_deadline(id);
        }
    }

    fn remove_run(&mut self, id: RunId) {
        let Some(entry) = self.runs.by_id.remove(&id) else {
            return;
        };
        for job in &entry.jobs {
            self.runs.jobs.remove(&job.record.id);
            self.deadlines.set(Due::Job(job.record.id), None);
            if let Some(buildset) = job.record.progress.buildset {
                self.runs.buildsets.remove(&buildset);
            }
        }
        for (keys, key) in [
            (&mut self.runs.groups, &entry.record.group),
            (&mut self.runs.supersedable, &entry.record.supersedes),
        ] {
            if let Some(key) = key
                && let Some(runs) = keys.get_mut(key)
            {
                runs.remove(&id);
                if runs.is_empty() {
                    keys.remove(key);
                }
            }
        }
        self.deadlines.set(Due::Run(id), None);
        for stamp in entry.record.sourcestamps {
            self.release_stamp(stamp);
        }
    }

    fn update_job_deadline(&mut self, id: JobId) {
        let due = self.runs.jobs.get(&id).and_then(|(run, number)| {
            let entry = self.runs.by_id.get(run)?;
            entry.job(*number)?.due()
        });
        self.deadlines.set(Due::Job(id), due);
    }

    fn update_run_deadline(&mut self, id: RunId) {
        let due = self.runs.by_id.get(&id).and_then(|entry| {
            let (record, progress) = (&entry.record, &entry.record.progress);
            match progress.state {
                RunState::Defining => {
                    let source = record.source.as_ref().filter(|source| source.problem.is_none())?;
                    Some(source.asked_at + record.definition.in_repository.as_ref()?.patience)
                }
                RunState::Running => Some(progress.started_at? + record.definition.timeout?),
                _ => None,
            }
        });
        self.deadlines.set(Due::Run(id), due);
    }

    /// Takes up runs and their jobs from rows. Source stamps and buildsets are there.
    pub(crate) fn load_runs(
        &mut self,
        runs: Vec<PipelineRunRecord>,
        mut jobs: Vec<PipelineJobRecord>,
    ) -> Result<(), LoadError> {
        for run in runs {
            let missing = |missing: String| LoadError {
                what: format!("run {}", run.id),
                missing,
            };
            if !self.runs.pipelines.contains_key(&run.pipeline) {
                return Err(missing(format!("pipeline {}", run.pipeline)));
            }
            for stamp in &run.sourcestamps {
                self.hold_stamp(*stamp, || format!("run {}", run.id))?;
            }
            self.insert_run(run);
        }
        jobs.sort_by_key(|job| (job.run, job.number));
        for job in jobs {
            let missing = |missing: String| LoadError {
                what: format!("job {}", job.id),
                missing,
            };
            let Some(entry) = self.runs.by_id.get(&job.run) else {
                return Err(missing(format!("run {}", job.run)));
            };
            if entry.jobs.len() != job.number as usize {
                return Err(missing(format!(
                    "job number {} of run {}",
                    entry.jobs.len(),
                    job.run
                )));
            }
            if let (false, Some(buildset)) = (job.progress.state.is_over(), job.progress.buildset)
                && !self.buildsets.contains_key(&buildset)
            {
                return Err(missing(format!("buildset {buildset}")));
            }
            self.insert_job(job);
        }
        let all: Vec<(RunId, usize)> = self
            .runs
            .by_id
            .iter()
            .map(|(id, entry)| (*id, entry.jobs.len()))
            .collect();
        for (run, count) in all {
            for number in 0..count {
                self.count_needs(run, number as u32);
            }
        }
        Ok(())
    }
}
