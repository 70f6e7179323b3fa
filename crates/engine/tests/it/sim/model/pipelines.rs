//! Runs of pipelines, in plain lists: each job is looked at when all that it needs is over.

use std::{collections::BTreeSet, sync::Arc};

use ironmaster_model::{
    JobDef, JobState, NewSourceStamp, PipelineDef, Results, RunState,
    pipeline::{ConditionDef, JobWork, NeedsOn, WhenFull, graph},
};

use super::{Fact, Model, Stamp};

#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) id: u64,
    pub(super) definition: PipelineDef,
    pub(super) jobs: Vec<Job>,
    pub(super) state: RunState,
    stopped_by: Option<String>,
    pub(super) stamp: Stamp,
    changes: Vec<u64>,
    files: Option<Vec<String>>,
    priority: i64,
    parent: Option<(u64, usize)>,
    scheduler: String,
    started: i64,
    /// Since when its jobs are asked for.
    pub(super) asked: i64,
    /// Whether it was said that they cannot be read.
    pub(super) troubled: bool,
    /// Whether what has started it may make it trusted, and whether it is.
    pub(super) may_be_trusted: bool,
    pub(super) trusted: bool,
    /// Whether its jobs cannot be used.
    pub(super) bad: bool,
    /// Names of the values that the job has handed on which started it.
    pub(super) given: BTreeSet<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) id: u64,
    definition: JobDef,
    /// Names of the axes that it has a value on.
    axes: BTreeSet<String>,
    needs: Vec<u32>,
    pub(super) state: JobState,
    results: Option<Results>,
    pub(super) buildset: u64,
    request: u64,
    child: u64,
    attempts: u32,
    queued: i64,
    started: i64,
    timed_out: bool,
}

/// What follows, in order.
#[derive(Clone, Debug)]
pub(super) enum Work {
    Begin(u64),
    Look(u64, usize),
    Over(u64, usize, Results),
    Stop(u64, String),
    Finish(u64),
}

/// What a run is made of.
pub(super) struct New {
    pub(super) stamp: Stamp,
    pub(super) changes: Vec<u64>,
    pub(super) files: Option<Vec<String>>,
    pub(super) priority: i64,
    pub(super) parent: Option<(u64, usize)>,
    pub(super) scheduler: String,
    pub(super) trusted: bool,
    pub(super) given: BTreeSet<String>,
}

impl Job {
    fn over(&self) -> bool {
        [JobState::Complete, JobState::Skipped, JobState::Expired].contains(&self.state)
    }

    fn bad(&self) -> bool {
        self.over() && !good_or_skipped(self.results)
    }

    fn fine(&self) -> bool {
        self.over()
            && ([Some(Results::Success), Some(Results::Warnings)].contains(&self.results)
                || (self.bad() && self.definition.optional))
    }

    pub(super) fn due(&self) -> Option<i64> {
        match self.state {
            JobState::AwaitingApproval | JobState::Queued => Some(self.queued + self.definition.expires?.0),
            JobState::Running if !self.timed_out => Some(self.started + self.definition.timeout?.0),
            _ => None,
        }
    }
}

fn good_or_skipped(results: Option<Results>) -> bool {
    [
        None,
        Some(Results::Success),
        Some(Results::Warnings),
        Some(Results::Skipped),
    ]
    .contains(&results)
}

impl Run {
    pub(super) fn due(&self) -> Option<i64> {
        match self.state {
            RunState::Defining if self.bad => None,
            RunState::Defining => Some(self.asked + self.definition.in_repository.as_ref()?.patience.0),
            RunState::Running => Some(self.started + self.definition.timeout?.0),
            _ => None,
        }
    }
}

impl Model {
    pub(super) fn files(&self, changes: &[u64]) -> Option<Vec<String>> {
        let mut all = Vec::new();
        for change in changes {
            let files = &self.files_of_changes[*change as usize - 1];
            if files.is_empty() {
                return None;
            }
            all.extend(files.iter().cloned());
        }
        (!all.is_empty()).then_some(all)
    }

    pub(super) fn at(&self, run: u64) -> Option<usize> {
        self.runs.iter().position(|other| other.id == run)
    }

    /// Where the job with this id is.
    pub(super) fn place(&self, id: u64) -> Option<(usize, usize)> {
        self.runs.iter().enumerate().find_map(|(at, run)| {
            let number = run.jobs.iter().position(|job| job.id == id)?;
            Some((at, number))
        })
    }

    pub(super) fn start_by_hand(
        &mut self,
        pipeline: &str,
        stamps: &[NewSourceStamp],
        now: i64,
        out: &mut Vec<Fact>,
    ) -> Result<(), ()> {
        let definition = self.plan.pipelines.get(pipeline).ok_or(())?.clone();
        let stamp = stamps.first().ok_or(())?;
        let new = New {
            stamp: (
                stamp.branch.clone(),
                stamp.revision.clone(),
                stamp.codebase.clone(),
            ),
            changes: Vec::new(),
            files: None,
            priority: 0,
            parent: None,
            scheduler: String::new(),
            trusted: true,
            given: BTreeSet::new(),
        };
        self.make_run(&definition, new, now, out);
        Ok(())
    }

    pub(super) fn make_run(
        &mut self,
        definition: &PipelineDef,
        new: New,
        now: i64,
        out: &mut Vec<Fact>,
    ) -> u64 {
        self.last_run += 1;
        let id = self.last_run;
        let planned = graph::plan(&definition.jobs, &[]).unwrap();
        let jobs = self.new_jobs(planned.jobs);
        let state = if definition.in_repository.is_some() {
            RunState::Defining
        } else {
            RunState::Queued
        };
        out.push(Fact::Run {
            run: id,
            state,
            results: None,
        });
        let older: Vec<u64> = self
            .runs
            .iter()
            .filter(|other| {
                definition.cancel_superseded
                    && other.definition.cancel_superseded
                    && other.definition.name == definition.name
                    && other.stamp.0 == new.stamp.0
                    && other.state != RunState::Stopping
            })
            .map(|other| other.id)
            .collect();
        for older in older {
            self.work.push(Work::Stop(older, "newer".into()));
        }
        if let Some(concurrency) = &definition.concurrency
            && concurrency.when_full == WhenFull::CancelOlder
        {
            let older: Vec<u64> = self
                .runs
                .iter()
                .filter(|other| {
                    other
                        .definition
                        .concurrency
                        .as_ref()
                        .is_some_and(|other| other.group == concurrency.group)
                        && other.state != RunState::Stopping
                })
                .map(|other| other.id)
                .collect();
            let too_many = (older.len() + 1).saturating_sub(concurrency.limit as usize);
            for older in older.into_iter().take(too_many) {
                self.work.push(Work::Stop(older, "newer".into()));
            }
        }
        self.runs.push(Run {
            id,
            definition: definition.clone(),
            jobs,
            state,
            stopped_by: None,
            // Of another code base there is no file.
            bad: state == RunState::Defining && !new.stamp.2.is_empty(),
            stamp: new.stamp,
            changes: new.changes,
            files: new.files,
            priority: new.priority,
            parent: new.parent,
            scheduler: new.scheduler,
            started: 0,
            asked: now,
            troubled: false,
            may_be_trusted: new.trusted,
            trusted: new.trusted && state == RunState::Queued,
            given: new.given,
        });
        let hopeless = self.runs.last().is_some_and(|run| run.bad);
        self.work.push(if hopeless {
            Work::Finish(id)
        } else {
            Work::Begin(id)
        });
        id
    }

    pub(super) fn new_jobs(&mut self, planned: Vec<graph::PlannedJob>) -> Vec<Job> {
        let mut jobs = Vec::new();
        for job in planned {
            self.last_job += 1;
            jobs.push(Job {
                id: self.last_job,
                definition: JobDef::clone(&job.definition),
                axes: job.matrix.into_keys().collect(),
                needs: job.needs,
                state: JobState::Waiting,
                results: None,
                buildset: 0,
                request: 0,
                child: 0,
                attempts: 0,
                queued: 0,
                started: 0,
                timed_out: false,
            });
        }
        jobs
    }

    /// Does everything that follows in pipelines.
    pub(super) fn follow_pipelines(&mut self, now: i64, out: &mut Vec<Fact>) {
        while !self.work.is_empty() {
            match self.work.remove(0) {
                Work::Begin(run) => self.begin(run, now, out),
                Work::Look(run, number) => self.look(run, number, now, out),
                Work::Over(run, number, results) => self.job_over(run, number, results, now, out),
                Work::Stop(run, by) => self.stop_run(run, &by, now, out),
                Work::Finish(run) => self.finish_run(run, now, out),
            }
        }
    }

    fn begin(&mut self, id: u64, now: i64, out: &mut Vec<Fact>) {
        let Some(at) = self.at(id) else { return };
        if self.runs[at].state != RunState::Queued {
            return;
        }
        if let Some(concurrency) = self.runs[at].definition.concurrency.clone() {
            let others: Vec<&Run> = self
                .runs
                .iter()
                .filter(|other| {
                    other.id != id
                        && other
                            .definition
                            .concurrency
                            .as_ref()
                            .is_some_and(|other| other.group == concurrency.group)
                })
                .collect();
            let going = others
                .iter()
                .filter(|other| [RunState::Running, RunState::Stopping].contains(&other.state))
                .count();
            let before = others
                .iter()
                .any(|other| other.state == RunState::Queued && other.id < id);
            if before || going >= concurrency.limit as usize {
                return;
            }
        }
        let run = &mut self.runs[at];
        run.state = RunState::Running;
        run.started = now;
        out.push(Fact::Run {
            run: id,
            state: RunState::Running,
            results: None,
        });
        for (number, job) in run.jobs.iter().enumerate() {
            if job.needs.is_empty() {
                self.work.push(Work::Look(id, number));
            }
        }
    }

    /// Puts a job elsewhere, and notes who looks next.
    fn put(
        &mut self,
        run: u64,
        number: usize,
        state: JobState,
        results: Option<Results>,
        out: &mut Vec<Fact>,
    ) {
        let at = self.at(run).unwrap();
        let job = &mut self.runs[at].jobs[number];
        job.state = state;
        job.results = results;
        out.push(Fact::Job {
            run,
            number,
            state,
            results,
        });
        if !job.over() {
            return;
        }
        let run = &self.runs[at];
        if run.state != RunState::Queued {
            for (other, job) in run.jobs.iter().enumerate() {
                if job.needs.contains(&(number as u32)) && run.needs_over(other) {
                    self.work.push(Work::Look(run.id, other));
                }
            }
        }
        if run.jobs.iter().all(Job::over) {
            self.work.push(Work::Finish(run.id));
        }
    }

    fn look(&mut self, id: u64, number: usize, now: i64, out: &mut Vec<Fact>) {
        let Some(at) = self.at(id) else { return };
        let run = &self.runs[at];
        let job = &run.jobs[number];
        if job.state != JobState::Waiting || !run.needs_over(number) || run.state == RunState::Queued {
            return;
        }
        let needs: Vec<&Job> = job.needs.iter().map(|need| &run.jobs[*need as usize]).collect();
        let fine = needs.iter().filter(|need| need.fine()).count();
        let definition = &job.definition;
        let met = needs.is_empty()
            || match definition.needs_on {
                NeedsOn::Success => {
                    let share = f64::from(definition.needs_share.unwrap_or(1000)) / 1000.0;
                    fine as f64 + 1e-9 >= share * needs.len() as f64
                }
                NeedsOn::NotFailed => !needs.iter().any(|need| need.bad() && !need.definition.optional),
                NeedsOn::Failure => needs.iter().any(|need| need.bad()),
                NeedsOn::Completion | NeedsOn::Always => true,
            };
        let skip = if run.state == RunState::Stopping && definition.needs_on != NeedsOn::Always {
            Some(Results::Cancelled)
        } else if !met
            || definition.when.as_ref().is_some_and(|when| !run.holds(when))
            || definition.unless.as_ref().is_some_and(|unless| run.holds(unless))
        {
            Some(Results::Skipped)
        } else {
            None
        };
        if let Some(results) = skip {
            self.put(id, number, JobState::Skipped, Some(results), out);
        } else if definition.approval.is_some() {
            self.runs[at].jobs[number].queued = now;
            self.put(id, number, JobState::AwaitingApproval, None, out);
        } else {
            self.start_job(id, number, now, out);
        }
    }

    pub(super) fn start_job(&mut self, id: u64, number: usize, now: i64, out: &mut Vec<Fact>) {
        let at = self.at(id).unwrap();
        let run = self.runs[at].clone();
        let job = &mut self.runs[at].jobs[number];
        job.attempts += 1;
        job.queued = now;
        job.timed_out = false;
        let priority = job.definition.priority.unwrap_or(run.priority);
        match job.definition.work.clone() {
            JobWork::Gate => self.put(id, number, JobState::Complete, Some(Results::Success), out),
            JobWork::Build { builder } => {
                let builders = self.ids(std::slice::from_ref(&builder));
                if builders.is_empty() {
                    return self.put(id, number, JobState::Complete, Some(Results::Exception), out);
                }
                self.buildset(
                    &run.scheduler,
                    &builders,
                    priority,
                    &run.stamp,
                    &run.changes,
                    JOB,
                    now,
                    out,
                );
                let job = &mut self.runs[at].jobs[number];
                (job.buildset, job.request) = (self.buildsets, self.last_request);
                self.put(id, number, JobState::Queued, None, out);
            }
            JobWork::Pipeline { pipeline, wait } => {
                let Some(definition) = Arc::clone(&self.plan).pipelines.get(&pipeline).cloned() else {
                    return self.put(id, number, JobState::Complete, Some(Results::Exception), out);
                };
                let new = New {
                    stamp: run.stamp,
                    changes: run.changes,
                    files: run.files,
                    priority,
                    parent: Some((id, number)),
                    scheduler: run.scheduler,
                    trusted: run.trusted,
                    given: run.given.union(&run.jobs[number].axes).cloned().collect(),
                };
                let child = self.make_run(&definition, new, now, out);
                let job = &mut self.runs[at].jobs[number];
                (job.child, job.started) = (child, now);
                if wait {
                    self.put(id, number, JobState::Running, None, out);
                } else {
                    self.put(id, number, JobState::Complete, Some(Results::Success), out);
                }
            }
        }
    }

    fn job_over(&mut self, id: u64, number: usize, results: Results, now: i64, out: &mut Vec<Fact>) {
        let Some(at) = self.at(id) else { return };
        let run = &self.runs[at];
        let job = &run.jobs[number];
        if job.over() {
            return;
        }
        let results = if job.timed_out && results == Results::Cancelled {
            Results::Failure
        } else {
            results
        };
        let limit = job.definition.retry.as_ref().map_or(0, |retry| retry.limit);
        let again = run.state == RunState::Running
            && [Results::Failure, Results::Exception].contains(&results)
            && job.attempts <= limit;
        if again {
            self.start_job(id, number, now, out);
        } else {
            self.put(id, number, JobState::Complete, Some(results), out);
        }
    }

    pub(super) fn stop_run(&mut self, id: u64, by: &str, now: i64, out: &mut Vec<Fact>) {
        let Some(at) = self.at(id) else { return };
        let before = self.runs[at].state;
        if before != RunState::Stopping {
            self.runs[at].state = RunState::Stopping;
            self.runs[at].stopped_by = Some(by.into());
            out.push(Fact::Run {
                run: id,
                state: RunState::Stopping,
                results: None,
            });
        }
        if self.runs[at].jobs.is_empty() {
            self.work.push(Work::Finish(id));
        }
        for number in 0..self.runs[at].jobs.len() {
            let job = self.runs[at].jobs[number].clone();
            if job.over() || (job.definition.needs_on == NeedsOn::Always && before == RunState::Running) {
                continue;
            }
            if [JobState::Waiting, JobState::AwaitingApproval].contains(&job.state) {
                self.put(id, number, JobState::Skipped, Some(Results::Cancelled), out);
            } else {
                self.end_work(&job, by, now, out);
            }
        }
    }

    fn end_work(&mut self, job: &Job, by: &str, now: i64, out: &mut Vec<Fact>) {
        if job.child > 0 {
            self.work.push(Work::Stop(job.child, by.into()));
            return;
        }
        let request = self.requests.iter().find(|request| request.id == job.request);
        match request.map(|request| request.build) {
            Some(Some(build)) => self.stop(build, now, out).unwrap(),
            Some(None) => self.complete(job.request, Results::Cancelled, out),
            None => {}
        }
    }

    fn finish_run(&mut self, id: u64, now: i64, out: &mut Vec<Fact>) {
        let Some(at) = self.at(id) else { return };
        if !self.runs[at].jobs.iter().all(Job::over) {
            return;
        }
        let run = self.runs.remove(at);
        let worst = |exclude: Option<Results>| {
            run.jobs
                .iter()
                .map(|job| {
                    if job.definition.optional && job.bad() {
                        Results::Warnings
                    } else {
                        job.results.unwrap()
                    }
                })
                .fold(None, |worst: Option<Results>, results| {
                    Some(worst.map_or(results, |worst| super::worse(worst, results)))
                })
                .filter(|worst| Some(*worst) != exclude)
                .unwrap_or(Results::Skipped)
        };
        let results = match run.stopped_by.as_deref() {
            None if run.bad => Results::Exception,
            Some("timeout") => super::worse(Results::Exception, worst(Some(Results::Cancelled))),
            Some(_) => Results::Cancelled,
            None => worst(None),
        };
        out.push(Fact::Run {
            run: id,
            state: RunState::Complete,
            results: Some(results),
        });
        match run.parent {
            Some((parent, number)) => self.work.push(Work::Over(parent, number, results)),
            None if [Results::Success, Results::Warnings].contains(&results) => {
                self.dependents(&run.scheduler, &run.stamp, &run.changes, now, out);
            }
            None => {}
        }
        if let Some(concurrency) = &run.definition.concurrency {
            for other in &self.runs {
                let same = other
                    .definition
                    .concurrency
                    .as_ref()
                    .is_some_and(|other| other.group == concurrency.group);
                if same && other.state == RunState::Queued {
                    self.work.push(Work::Begin(other.id));
                }
            }
        }
    }

    /// A build of the buildset started, or its attempt was lost.
    pub(super) fn job_build(&mut self, buildset: u64, state: JobState, now: i64, out: &mut Vec<Fact>) {
        let found = self.runs.iter().find_map(|run| {
            let number = run
                .jobs
                .iter()
                .position(|job| job.buildset == buildset && buildset > 0 && !job.over())?;
            Some((run.id, number))
        });
        let Some((run, number)) = found else { return };
        let at = self.at(run).unwrap();
        let job = &mut self.runs[at].jobs[number];
        match state {
            JobState::Running => job.started = now,
            _ => job.queued = now,
        }
        self.put(run, number, state, None, out);
    }

    /// A buildset is over. Says whether it is a job's.
    pub(super) fn job_buildset_over(&mut self, buildset: u64, results: Results) -> bool {
        let found = self.runs.iter().find_map(|run| {
            let number = run
                .jobs
                .iter()
                .position(|job| job.buildset == buildset && !job.over())?;
            Some((run.id, number))
        });
        if let Some((run, number)) = found {
            self.work.push(Work::Over(run, number, results));
        }
        found.is_some()
    }

    /// A build of a job has found out what the newest is: that is what its run builds, and those that have started it.
    pub(super) fn pin(&mut self, request: u64, revision: &str) {
        let of_job = |job: &Job| job.request == request && !job.over();
        let mut at = self.runs.iter().position(|run| run.jobs.iter().any(of_job));
        while let Some(run) = at {
            let run = &mut self.runs[run];
            if run.stamp.2.is_empty() {
                run.stamp.1.get_or_insert_with(|| revision.to_owned());
            }
            let parent = run.parent;
            at = parent.and_then(|(parent, _)| self.at(parent));
        }
    }

    pub(super) fn job_due(&mut self, id: u64, now: i64, out: &mut Vec<Fact>) {
        let (at, number) = self.place(id).unwrap();
        let run = self.runs[at].id;
        let job = &mut self.runs[at].jobs[number];
        if job.state == JobState::Running {
            job.timed_out = true;
            self.put(run, number, JobState::Running, None, out);
            let job = self.runs[at].jobs[number].clone();
            return self.end_work(&job, "timeout", now, out);
        }
        let request = (job.state == JobState::Queued).then_some(job.request);
        self.put(run, number, JobState::Expired, Some(Results::Exception), out);
        // Its run may have been stopped at the same time, and the request with it.
        if let Some(request) = request
            && self.requests.iter().any(|other| other.id == request)
        {
            self.complete(request, Results::Cancelled, out);
        }
    }

    pub(super) fn approve(
        &mut self,
        id: u64,
        approved: bool,
        now: i64,
        out: &mut Vec<Fact>,
    ) -> Result<(), ()> {
        let (at, number) = self.place(id).ok_or(())?;
        let run = self.runs[at].id;
        if self.runs[at].jobs[number].state != JobState::AwaitingApproval {
            return Err(());
        }
        if approved {
            self.start_job(run, number, now, out);
        } else {
            self.put(run, number, JobState::Skipped, Some(Results::Cancelled), out);
        }
        Ok(())
    }
}

/// The wish of a job's buildset: nothing is merged with it.
pub(super) const JOB: &str = "job";

impl Run {
    fn needs_over(&self, number: usize) -> bool {
        self.jobs[number]
            .needs
            .iter()
            .all(|need| self.jobs[*need as usize].over())
    }

    /// Only the patterns that the plans here use.
    fn holds(&self, condition: &ConditionDef) -> bool {
        let branch = condition.branches.is_empty()
            || condition
                .branches
                .iter()
                .any(|branch| self.stamp.0.as_ref() == Some(branch));
        let files = condition.files.is_empty()
            || self
                .files
                .as_ref()
                .is_none_or(|files| files.iter().any(|file| file.starts_with("src/")));
        branch && files
    }
}
