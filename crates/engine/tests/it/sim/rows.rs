//! The database as the simulator sees it: what events do to rows, written down a second time, naively, without
//! looking at `State`.

use std::sync::Arc;

use ironmaster_model::{Counter, Event, LogSave, RequestPhase, Sequenced, Snapshot};

/// Does to the rows what a batch of events does.
pub(crate) fn fold(rows: &mut Snapshot, events: &[Sequenced]) {
    for sequenced in events {
        one(rows, sequenced);
    }
    // Loading takes only what is active.
    let waiting: Vec<_> = rows
        .schedulers
        .iter()
        .flat_map(|scheduler| scheduler.state.waiting.values())
        .flat_map(|waiting| waiting.changes.clone())
        .collect();
    rows.changes.retain(|change| waiting.contains(&change.id));
    let mut stamps: Vec<_> = rows.changes.iter().map(|change| change.sourcestamp).collect();
    for buildset in &rows.buildsets {
        stamps.extend(&buildset.sourcestamps);
    }
    for run in &rows.runs {
        stamps.extend(&run.sourcestamps);
    }
    rows.sourcestamps.retain(|stamp| stamps.contains(&stamp.id));
    let used: Vec<_> = rows.builds.iter().map(|build| build.config.clone()).collect();
    let current = rows.config.clone();
    rows.plans
        .retain(|digest, _| *digest == current || used.contains(digest));
    rows.steps.sort_by_key(|step| (step.build, step.number));
    rows.logs.sort_by_key(|log| (log.build, log.id));
    rows.jobs.sort_by_key(|job| (job.run, job.number));
}

fn took(rows: &mut Snapshot, counter: Counter, id: u64) {
    rows.counters.insert(counter, id + 1);
}

fn put<T: Clone, K: Ord + Copy>(rows: &mut Vec<T>, row: &T, id: impl Fn(&T) -> K) -> bool {
    if let Some(other) = rows.iter_mut().find(|other| id(other) == id(row)) {
        *other = row.clone();
        return false;
    }
    rows.push(row.clone());
    true
}

fn one(rows: &mut Snapshot, sequenced: &Sequenced) {
    let at = sequenced.at;
    rows.seq = sequenced.seq;
    rows.now = at;
    match &sequenced.event {
        Event::MasterStarted { master } => {
            if put(&mut rows.masters, master, |master| master.id) {
                took(rows, Counter::Master, master.id.0);
            }
            for worker in &mut rows.workers {
                if let Some(connection) = &mut worker.connection
                    && connection.connected
                {
                    connection.connected = false;
                    worker.disconnected_at = Some(at);
                }
            }
        }
        Event::MasterStopped { master } | Event::MasterSet { master } => {
            put(&mut rows.masters, master, |master| master.id);
        }
        Event::Configured { digest, plan } => {
            rows.config.clone_from(digest);
            rows.plans.insert(digest.clone(), plan.clone());
        }
        Event::BuilderSet { builder } => {
            if put(&mut rows.builders, builder, |builder| builder.id) {
                took(rows, Counter::Builder, builder.id.0);
            }
        }
        Event::WorkerSet { worker } => {
            if put(&mut rows.workers, worker, |worker| worker.id) {
                took(rows, Counter::Worker, worker.id.0);
            }
        }
        Event::SchedulerSet { scheduler } => {
            if put(&mut rows.schedulers, scheduler, |scheduler| scheduler.id) {
                took(rows, Counter::Scheduler, scheduler.id.0);
            }
        }
        Event::ChangeSourceSet { change_source } => {
            if put(&mut rows.change_sources, change_source, |source| source.id) {
                took(rows, Counter::ChangeSource, change_source.id.0);
            }
        }
        Event::ProjectSet { project } => {
            if put(&mut rows.projects, project, |project| project.id) {
                took(rows, Counter::Project, project.id.0);
            }
        }
        Event::CodebaseSet { codebase } => {
            if put(&mut rows.codebases, codebase, |codebase| codebase.id) {
                took(rows, Counter::Codebase, codebase.id.0);
            }
        }
        Event::SchedulerMoved { scheduler, state } => {
            for row in rows.schedulers.iter_mut().filter(|row| row.id == *scheduler) {
                row.state = state.clone();
            }
        }
        Event::WorkerConnected {
            worker,
            connection,
            info,
            graceful,
            killed,
        } => {
            for row in rows.workers.iter_mut().filter(|row| row.id == *worker) {
                row.connection = Some(connection.clone());
                row.info = info.clone();
                row.disconnected_at = None;
                row.missing = false;
                row.graceful = *graceful;
                row.killed = *killed;
            }
        }
        Event::WorkerDisconnected { worker, .. } => {
            for row in rows.workers.iter_mut().filter(|row| row.id == *worker) {
                if let Some(connection) = &mut row.connection {
                    connection.connected = false;
                }
                row.disconnected_at = Some(at);
            }
        }
        Event::WorkerStateChanged {
            worker,
            paused,
            pause_reason,
            graceful,
            downtime,
            killed,
        } => {
            for row in rows.workers.iter_mut().filter(|row| row.id == *worker) {
                row.paused = *paused;
                row.pause_reason.clone_from(pause_reason);
                row.graceful = *graceful;
                row.downtime = *downtime;
                row.killed = *killed;
            }
        }
        Event::WorkerMissing { worker, .. } => {
            for row in rows.workers.iter_mut().filter(|row| row.id == *worker) {
                row.missing = true;
            }
        }
        Event::SourceStampAdded { sourcestamp } => {
            took(rows, Counter::SourceStamp, sourcestamp.id.0);
            rows.sourcestamps.push(sourcestamp.clone());
        }
        Event::ChangeAdded { change } => {
            took(rows, Counter::Change, change.id.0);
            rows.changes.push(change.clone());
        }
        Event::BuildsetCreated { buildset } => {
            took(rows, Counter::Buildset, buildset.id.0);
            rows.buildsets.push(buildset.clone());
        }
        Event::RequestQueued { request } => {
            took(rows, Counter::BuildRequest, request.id.0);
            rows.requests.push(request.clone());
        }
        Event::RequestPrioritised {
            request,
            priority,
            by_hand,
            since,
        } => {
            for row in rows.requests.iter_mut().filter(|row| row.id == *request) {
                row.priority = *priority;
                row.by_hand = *by_hand;
                row.submitted_at = since.unwrap_or(row.submitted_at);
            }
        }
        Event::RequestRequeued { request } => {
            for row in rows.requests.iter_mut().filter(|row| row.id == *request) {
                row.phase = RequestPhase::Queued;
            }
        }
        Event::RequestCompleted {
            request,
            results,
            cause,
            ..
        } => {
            for row in rows.requests.iter_mut().filter(|row| row.id == *request) {
                row.phase = RequestPhase::Complete {
                    results: *results,
                    at,
                    cause: cause.clone(),
                };
            }
        }
        Event::BuildsetCompleted { buildset, .. } => {
            rows.buildsets.retain(|row| row.id != *buildset);
            rows.requests.retain(|row| row.buildset != *buildset);
        }
        Event::BuildStarted { build, .. } => {
            took(rows, Counter::Build, build.id.0);
            for row in rows.builders.iter_mut().filter(|row| row.id == build.builder) {
                row.next_number = build.number + 1;
            }
            for row in rows.requests.iter_mut().filter(|row| row.id == build.request) {
                row.attempts = build.attempt;
                row.phase = RequestPhase::Claimed { build: build.id, at };
            }
            rows.builds.push(build.clone());
        }
        Event::PropertiesSet { build, properties } => {
            for row in rows.builds.iter_mut().filter(|row| row.id == *build) {
                row.properties.update(properties);
            }
        }
        Event::BuildStopRequested { build, by, reason } => {
            for row in rows.builds.iter_mut().filter(|row| row.id == *build) {
                row.stop = Some((by.clone(), reason.clone()));
            }
        }
        Event::BuildLost { build, reason } => {
            for row in rows.builds.iter_mut().filter(|row| row.id == *build) {
                row.lost = Some(reason.clone());
            }
        }
        Event::BuildWaits { build, waits } => {
            for row in rows.builds.iter_mut().filter(|row| row.id == *build) {
                row.waits = Some(waits.clone());
            }
        }
        Event::BuildResumed { build, .. } => {
            for row in rows.builds.iter_mut().filter(|row| row.id == *build) {
                row.waits = None;
            }
        }
        Event::StepStarted { step, logs } => {
            took(rows, Counter::Step, step.id.0);
            rows.steps.push(step.clone());
            for log in logs {
                took(rows, Counter::Log, log.id.0);
                rows.logs.push(log.clone());
            }
        }
        Event::StepLocksAcquired {
            step, state_string, ..
        } => {
            for row in rows.steps.iter_mut().filter(|row| row.id == *step) {
                row.locks_acquired_at = Some(at);
                row.state_string.clone_from(state_string);
            }
        }
        Event::StepUpdated {
            step,
            state_string,
            urls,
            ..
        } => {
            for row in rows.steps.iter_mut().filter(|row| row.id == *step) {
                row.state_string.clone_from(state_string);
                row.urls.clone_from(urls);
            }
        }
        Event::LogOpened { log } => {
            took(rows, Counter::Log, log.id.0);
            rows.logs.push(log.clone());
        }
        Event::LogsSaved { saves, .. } => {
            for LogSave {
                log,
                num_lines,
                raw_bytes,
                complete,
                ..
            } in saves
            {
                for row in rows.logs.iter_mut().filter(|row| row.id == *log) {
                    row.num_lines = *num_lines;
                    row.raw_bytes = *raw_bytes;
                    row.complete = *complete;
                }
            }
        }
        Event::EffectsRecorded { .. } | Event::WorkerDismissed { .. } => {}
        Event::StepFinished {
            step,
            results,
            cause,
            state_string,
            urls,
            hidden,
            ..
        } => {
            rows.logs.retain(|row| row.step != *step);
            for row in rows.steps.iter_mut().filter(|row| row.id == *step) {
                row.complete_at = Some(at);
                row.results = Some(*results);
                row.cause.clone_from(cause);
                row.state_string.clone_from(state_string);
                row.urls.clone_from(urls);
                row.hidden = *hidden;
            }
        }
        Event::BuildFinished { build, .. } => {
            rows.builds.retain(|row| row.id != *build);
            rows.steps.retain(|row| row.build != *build);
            rows.logs.retain(|row| row.build != *build);
        }
        Event::PipelineSet { pipeline } => {
            if put(&mut rows.pipelines, pipeline, |pipeline| pipeline.id) {
                took(rows, Counter::Pipeline, pipeline.id.0);
            }
        }
        Event::RunCreated { run } => {
            took(rows, Counter::Run, run.id.0);
            rows.runs.push((**run).clone());
        }
        Event::JobsAdded { jobs, needs, .. } => {
            for job in jobs {
                took(rows, Counter::Job, job.id.0);
                rows.jobs.push(job.clone());
            }
            for (job, needs) in needs {
                for row in rows.jobs.iter_mut().filter(|row| row.id == *job) {
                    row.needs.clone_from(needs);
                }
            }
        }
        Event::JobMoved { job, progress, .. } => {
            for row in rows.jobs.iter_mut().filter(|row| row.id == *job) {
                row.progress = progress.clone();
            }
        }
        Event::RunDefined {
            run,
            trusted,
            sourcestamps,
            source,
            definition,
        } => {
            for row in rows.runs.iter_mut().filter(|row| row.id == *run) {
                row.trusted = *trusted;
                row.sourcestamps.clone_from(sourcestamps);
                row.source = Some(source.clone());
                row.definition = Arc::clone(definition);
            }
        }
        Event::RunPinned { run, sourcestamps } => {
            for row in rows.runs.iter_mut().filter(|row| row.id == *run) {
                row.sourcestamps.clone_from(sourcestamps);
            }
        }
        Event::RunMoved { run, progress } => {
            for row in rows.runs.iter_mut().filter(|row| row.id == *run) {
                row.progress = progress.clone();
            }
            if progress.complete_at.is_some() {
                rows.runs.retain(|row| row.id != *run);
                rows.jobs.retain(|row| row.run != *run);
            }
        }
    }
}

/// Rows of a new database.
pub(crate) fn empty() -> Snapshot {
    Snapshot {
        counters: Counter::ALL.iter().map(|counter| (*counter, 1)).collect(),
        ..Snapshot::default()
    }
}
