//! Runs of pipelines: how they are made, how their jobs start and end, and what people do to them.
//!
//! What follows from what is put on a list and done one after another ([`follow`]). So a run of ten thousand jobs that skip one
//! another takes no depth of calls, and time in proportion to jobs and needs: a job is looked at once, when the last job that it
//! needs is over.

mod add;
mod define;
mod people;
mod start;
mod stop;

use std::sync::Arc;

use ironmaster_model::{
    BuildId, BuildsetId, Cause, Event, JobId, JobProgress, JobState, Properties, Results, RunId, RunProblem,
    RunProgress, RunState, pipeline::JobWork,
};

use super::{
    NewBuildset, buildset,
    completed::{Completed, Ended, dependents},
};
use crate::{
    State, Tx, codebases,
    pipeline::{self, Patterns, Verdict},
    planted::{Bug, planted},
    state::{JobEntry, RunEntry},
};

pub(super) use add::add;
pub use define::is_trusted;
pub(super) use define::{ask_again, define};
pub(super) use people::{approve, retry, start as start_by_hand, stop as stop_by_hand};
pub(super) use start::{StartRun, files_of, start};
use stop::{TIMEOUT, stop};
pub(super) use stop::{job_due, run_due};

/// Something that follows.
#[derive(Debug)]
pub(crate) enum Work {
    /// A run begins, if it is its turn.
    Begin(RunId),
    /// All that a job needs is over.
    Look(RunId, u32),
    /// What a job does has ended.
    Over {
        job: JobId,
        results: Results,
        cause: Option<Cause>,
        outputs: Properties,
    },
    /// A run is to be stopped.
    Stop { run: RunId, by: String, reason: String },
    /// All jobs of a run are over.
    Finish(RunId),
}

/// Does everything that follows.
pub(super) fn follow(tx: &mut Tx<'_>) {
    let mut patterns = Patterns::default();
    while let Some(work) = tx.next_work() {
        match work {
            Work::Begin(run) => begin(tx, run),
            Work::Look(run, number) => look(tx, run, number, &mut patterns),
            Work::Over {
                job,
                results,
                cause,
                outputs,
            } => over(tx, job, results, cause, &outputs),
            Work::Stop { run, by, reason } => stop(tx, run, &by, &reason),
            Work::Finish(run) => finish(tx, run),
        }
    }
}

impl State {
    pub(crate) fn run_entry(&self, id: RunId) -> Option<&RunEntry> {
        self.runs.by_id.get(&id).map(|entry| &**entry)
    }

    fn job_entry(&self, id: JobId) -> Option<(&RunEntry, &JobEntry)> {
        let (run, number) = self.runs.jobs.get(&id)?;
        let run = self.run_entry(*run)?;
        Some((run, run.job(*number)?))
    }

    /// Whether it is a run's turn in its concurrency group.
    fn has_turn(&self, run: &RunEntry) -> bool {
        let (Some(group), Some(definition)) = (&run.record.group, &run.record.definition.concurrency) else {
            return true;
        };
        let mut going = 0;
        for other in self.runs.groups.get(group).into_iter().flatten() {
            match self.run(*other).map(|other| other.progress.state) {
                Some(RunState::Running | RunState::Stopping) => going += 1,
                // Who came first goes first.
                Some(RunState::Queued) if *other < run.record.id => return false,
                _ => {}
            }
        }
        going < definition.limit || planted(Bug::ConcurrencyIgnored)
    }
}

/// States where a job stands, and notes what follows from that.
fn job_moved(tx: &mut Tx<'_>, run: RunId, number: u32, progress: JobProgress) {
    let Some(job) = tx.state().run_entry(run).and_then(|run| run.job(number)) else {
        return;
    };
    let (id, over) = (job.record.id, progress.state.is_over());
    tx.emit(Event::JobMoved {
        run,
        job: id,
        progress,
    });
    if !over {
        return;
    }
    let Some(entry) = tx.state().run_entry(run) else {
        return;
    };
    let mut next: Vec<Work> = Vec::new();
    if entry.record.progress.state != RunState::Queued
        && let Some(job) = entry.job(number)
    {
        next.extend(
            job.needed_by
                .iter()
                .filter(|other| entry.job(**other).is_some_and(|other| other.open_needs == 0))
                .map(|other| Work::Look(run, *other)),
        );
    }
    if entry.open == 0 {
        next.push(Work::Finish(run));
    }
    for work in next {
        tx.note_work(work);
    }
}

fn begin(tx: &mut Tx<'_>, id: RunId) {
    let Some(run) = tx.state().run_entry(id) else {
        return;
    };
    if run.record.progress.state != RunState::Queued || !tx.state().has_turn(run) {
        return;
    }
    let progress = RunProgress {
        state: RunState::Running,
        why: None,
        started_at: Some(tx.now()),
        ..run.record.progress.clone()
    };
    let free: Vec<u32> = run
        .jobs
        .iter()
        .filter(|job| job.open_needs == 0 && job.record.progress.state == JobState::Waiting)
        .map(|job| job.record.number)
        .collect();
    let empty = run.open == 0;
    tx.emit(Event::RunMoved { run: id, progress });
    for number in free {
        tx.note_work(Work::Look(id, number));
    }
    if empty {
        tx.note_work(Work::Finish(id));
    }
}

/// Decides on a job whose needs are over.
fn look(tx: &mut Tx<'_>, id: RunId, number: u32, patterns: &mut Patterns) {
    let state = tx.state();
    let Some(run) = state.run_entry(id) else {
        return;
    };
    let Some(job) = run.job(number) else {
        return;
    };
    if job.record.progress.state != JobState::Waiting
        || job.open_needs > 0
        || run.record.progress.state < RunState::Running
    {
        return;
    }
    match pipeline::verdict(state, run, job, patterns) {
        Verdict::Start => start_job(tx, id, number, None),
        Verdict::Ask => {
            let progress = JobProgress {
                state: JobState::AwaitingApproval,
                queued_at: Some(tx.now()),
                ..job.record.progress.clone()
            };
            job_moved(tx, id, number, progress);
        }
        Verdict::Skip { results, why } => {
            let progress = JobProgress {
                state: JobState::Skipped,
                results: Some(results),
                why: Some(why),
                complete_at: Some(tx.now()),
                ..job.record.progress.clone()
            };
            job_moved(tx, id, number, progress);
        }
    }
}

/// Starts a job: a build is asked for, or another run made.
fn start_job(tx: &mut Tx<'_>, id: RunId, number: u32, approved_by: Option<String>) {
    let now = tx.now();
    let Some(run) = tx.state().run_entry(id) else {
        return;
    };
    let Some(job) = run.job(number) else {
        return;
    };
    let mut progress = JobProgress {
        attempts: job.record.progress.attempts + 1,
        queued_at: Some(now),
        started_at: None,
        timed_out: false,
        ..job.record.progress.clone()
    };
    if approved_by.is_some() {
        progress.approved_by = approved_by;
    }
    let properties = pipeline::properties(run, job);
    let failed = match properties.validate() {
        Err(error) => Some(format!("its properties are too many or too large: {error}")),
        Ok(()) => match &job.record.definition.work {
            JobWork::Gate => {
                progress.state = JobState::Complete;
                progress.results = Some(Results::Success);
                progress.complete_at = Some(now);
                return job_moved(tx, id, number, progress);
            }
            JobWork::Build { builder } => {
                let found = tx
                    .state()
                    .builder_by_name(builder)
                    .filter(|builder| builder.active);
                match found.map(|builder| builder.id) {
                    None => Some(format!("the configuration has no builder `{builder}`")),
                    Some(builder) => {
                        let new = NewBuildset {
                            reason: format!(
                                "job '{}' of pipeline '{}', run {id}: {}",
                                job.record.name, run.record.definition.name, run.record.reason
                            ),
                            scheduler: run.record.scheduler.clone(),
                            sourcestamps: run.record.sourcestamps.clone(),
                            changes: run.record.changes.clone(),
                            properties,
                            builders: vec![builder],
                            priority: job.record.definition.priority.unwrap_or(run.record.priority),
                            rebuilt_build: None,
                            parent: None,
                            job: Some(job.record.id),
                            external_id: None,
                        };
                        let (buildset, requests) = buildset::create(tx, new);
                        progress.state = JobState::Queued;
                        progress.buildset = Some(buildset);
                        progress.request = requests.into_values().next();
                        return job_moved(tx, id, number, progress);
                    }
                }
            }
            JobWork::Pipeline { pipeline, wait } => {
                let plan = Arc::clone(tx.state().plan());
                match plan.pipelines.get(pipeline) {
                    None => Some(format!("the configuration has no pipeline `{pipeline}`")),
                    Some(_) if run.record.depth + 1 >= ironmaster_model::pipeline::DEPTH_MAX => {
                        Some(format!(
                            "pipelines start one another more than {} deep",
                            ironmaster_model::pipeline::DEPTH_MAX
                        ))
                    }
                    Some(definition) => {
                        let wait = *wait;
                        let new = StartRun {
                            reason: format!(
                                "job '{}' of pipeline '{}', run {id}: {}",
                                job.record.name, run.record.definition.name, run.record.reason
                            ),
                            scheduler: run.record.scheduler.clone(),
                            sourcestamps: run.record.sourcestamps.clone(),
                            changes: run.record.changes.clone(),
                            files: run.record.files.clone(),
                            properties,
                            priority: job.record.definition.priority.unwrap_or(run.record.priority),
                            parent: Some(job.record.id),
                            depth: run.record.depth + 1,
                            trusted: run.record.trusted,
                            source: None,
                        };
                        let child = start(tx, definition, new);
                        progress.child = Some(child);
                        progress.started_at = Some(now);
                        if wait {
                            progress.state = JobState::Running;
                        } else {
                            progress.state = JobState::Complete;
                            progress.results = Some(Results::Success);
                            progress.complete_at = Some(now);
                        }
                        return job_moved(tx, id, number, progress);
                    }
                }
            }
        },
    };
    if let Some(reason) = failed {
        progress.state = JobState::Complete;
        progress.results = Some(Results::Exception);
        progress.cause = Some(Cause::Configuration { reason });
        progress.complete_at = Some(now);
        job_moved(tx, id, number, progress);
    }
}

/// What a job does has ended: the job has too, unless it is tried again.
fn over(tx: &mut Tx<'_>, id: JobId, results: Results, cause: Option<Cause>, outputs: &Properties) {
    let Some((run, job)) = tx.state().job_entry(id) else {
        return;
    };
    let mut progress = job.record.progress.clone();
    if progress.state.is_over() {
        return;
    }
    let (results, cause) = if progress.timed_out && results == Results::Cancelled {
        let limit = "job".to_owned();
        (Results::Failure, Some(Cause::Timeout { limit }))
    } else {
        (results, cause)
    };
    progress.outputs.update(outputs);
    let (run_id, number) = (run.record.id, job.record.number);
    let again = run.record.progress.state == RunState::Running
        && job.record.definition.retry.as_ref().is_some_and(|retry| {
            let more = u32::from(planted(Bug::RetryOffByOne));
            progress.attempts <= retry.limit + more
                && retry
                    .on
                    .iter()
                    .any(|class| pipeline::is_class(*class, results, cause.as_ref()))
        });
    if again {
        return start_job(tx, run_id, number, None);
    }
    progress.state = JobState::Complete;
    progress.results = Some(results);
    progress.cause = cause;
    progress.complete_at = Some(tx.now());
    job_moved(tx, run_id, number, progress);
}

fn finish(tx: &mut Tx<'_>, id: RunId) {
    let Some(run) = tx.state().run_entry(id).filter(|run| run.open == 0) else {
        return;
    };
    let results = results_of(run);
    let (group, parent) = (run.record.group.clone(), run.record.parent);
    let ended = Ended {
        what: format!("run {id} of pipeline '{}'", run.record.definition.name),
        scheduler: run.record.scheduler.clone(),
        sourcestamps: run.record.sourcestamps.clone(),
        changes: run.record.changes.clone(),
        files: run.record.files.clone(),
        results,
    };
    let progress = RunProgress {
        state: RunState::Complete,
        why: match (&run.record.progress.stop, problem_of(run)) {
            (Some(_), _) => Some(pipeline::stopped(run)),
            (None, problem) => problem.map(|problem| problem.summary.clone()),
        },
        results: Some(results),
        complete_at: Some(tx.now()),
        ..run.record.progress.clone()
    };
    let mut outputs = Properties::new();
    let wanted = parent
        .and_then(|parent| tx.state().job(parent))
        .map(|job| job.definition.outputs.clone())
        .unwrap_or_default();
    for job in &run.jobs {
        for (name, property) in &job.record.progress.outputs.0 {
            if wanted.contains(name) {
                outputs.0.insert(name.clone(), property.clone());
            }
        }
    }
    let cause = match (&progress.stop, results) {
        (Some((by, reason)), Results::Cancelled) => Some(Cause::Cancelled {
            by: by.clone(),
            reason: reason.clone(),
        }),
        (Some((by, reason)), _) => Some(Cause::Timeout {
            limit: format!("{by}: {reason}"),
        }),
        (None, _) => problem_of(run).map(|problem| Cause::Configuration {
            reason: problem.summary.clone(),
        }),
    };
    tx.emit(Event::RunMoved { run: id, progress });
    match parent {
        Some(job) => tx.note_work(Work::Over {
            job,
            results,
            cause,
            outputs,
        }),
        None => dependents(tx, &ended),
    }
    let waiting: Vec<RunId> = group
        .and_then(|group| tx.state().runs.groups.get(&group))
        .into_iter()
        .flatten()
        .copied()
        .filter(|other| {
            tx.state()
                .run(*other)
                .is_some_and(|other| other.progress.state == RunState::Queued)
        })
        .collect();
    for run in waiting {
        tx.note_work(Work::Begin(run));
    }
}

/// Why the jobs of a run that stand in its repository cannot be used.
fn problem_of(run: &RunEntry) -> Option<&RunProblem> {
    run.record.source.as_ref()?.problem.as_ref()
}

/// The worst of its jobs; of those that are optional, no worse than warnings.
fn results_of(run: &RunEntry) -> Results {
    if run.record.progress.stop.is_none() && problem_of(run).is_some() {
        return Results::Exception;
    }
    let worst = run
        .jobs
        .iter()
        .filter_map(|job| {
            let results = job.record.progress.results?;
            Some(if job.record.definition.optional && job.record.has_failed() {
                Results::Warnings
            } else {
                results
            })
        })
        .reduce(Results::worst)
        .unwrap_or(Results::Success);
    match &run.record.progress.stop {
        Some((by, _)) if by == TIMEOUT => Results::Exception.worst(match worst {
            Results::Cancelled => Results::Skipped,
            worst => worst,
        }),
        Some(_) => Results::Cancelled,
        None => worst,
    }
}

/// A buildset is over: perhaps a job waits for it.
pub(super) fn buildset_over(tx: &mut Tx<'_>, over: &Completed) {
    let Some(job) = tx.state().runs.buildsets.get(&over.buildset.id).copied() else {
        return;
    };
    tx.note_work(Work::Over {
        job,
        results: over.results,
        cause: over.cause.clone(),
        outputs: Properties::new(),
    });
}

/// A build has started, or its attempt was lost and its request waits again: perhaps it is a job's.
pub(super) fn build_moved(tx: &mut Tx<'_>, buildset: BuildsetId, state: JobState) {
    let Some(id) = tx.state().runs.buildsets.get(&buildset) else {
        return;
    };
    let Some((run, job)) = tx.state().job_entry(*id) else {
        return;
    };
    let (run, number) = (run.record.id, job.record.number);
    let mut progress = JobProgress {
        state,
        ..job.record.progress.clone()
    };
    match state {
        JobState::Running => progress.started_at = Some(tx.now()),
        _ => progress.queued_at = Some(tx.now()),
    }
    job_moved(tx, run, number, progress);
}

/// A build says what it has checked out. If it is a job's, that is what the rest of the run builds, where it was told to
/// build the newest; and what the rest of the run builds that has started this one.
pub(super) fn pin(tx: &mut Tx<'_>, build: BuildId) {
    let state = tx.state();
    let found = state.builds.get(&build).and_then(|build| {
        let request = state.request(build.record.request)?;
        let job = state.runs.buildsets.get(&request.buildset)?;
        let (run, _) = state.runs.jobs.get(job)?;
        let built = build.record.properties.get("got_revision")?;
        Some((*run, built.clone()))
    });
    let Some((mut id, built)) = found else {
        return;
    };
    while let Some(run) = tx.state().run(id) {
        let (given, parent) = (run.sourcestamps.clone(), run.parent);
        let sourcestamps = codebases::pinned(tx, &given, |codebase| codebases::got(&built, codebase));
        if sourcestamps != given {
            tx.emit(Event::RunPinned {
                run: id,
                sourcestamps,
            });
        }
        let Some((above, _)) = parent.and_then(|job| tx.state().runs.jobs.get(&job)) else {
            return;
        };
        id = *above;
    }
}

/// A build is about to end well: what it has for other jobs is kept.
pub(super) fn keep_outputs(tx: &mut Tx<'_>, build: BuildId) {
    let state = tx.state();
    let found = state.builds.get(&build).and_then(|build| {
        let request = state.request(build.record.request)?;
        let job = state.runs.buildsets.get(&request.buildset)?;
        let (run, job) = state.job_entry(*job)?;
        Some((build, run, job))
    });
    let Some((build, run, job)) = found else {
        return;
    };
    let mut progress = job.record.progress.clone();
    for name in &job.record.definition.outputs {
        if let Some(property) = build.record.properties.0.get(name) {
            progress
                .outputs
                .set(name, property.value.clone(), job.record.name.as_str());
        }
    }
    if progress.outputs != job.record.progress.outputs {
        let (run, number) = (run.record.id, job.record.number);
        job_moved(tx, run, number, progress);
    }
}
