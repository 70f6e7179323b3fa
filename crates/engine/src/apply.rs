//! What an event does to State. The counterpart for rows is `store::effect`; a test holds the two together.
//!
//! Nothing is decided here: an event is a fact, and applying it cannot fail. What an event refers to and is not
//! there is passed over.

use std::sync::Arc;

use ironmaster_model::{
    BuildId, BuildRequestId, Counter, Event, LogSave, MasterRecord, RequestPhase, SchedulerId,
    SchedulerRecord, SchedulerState, Sequenced, StepId, Timestamp, WorkerId,
};

use crate::{
    filter::Filters,
    state::{BuildEntry, BuildsetEntry, Held, PlanUse, State, dependents, held_changes},
};

impl State {
    /// Follows an event that somebody else decided. [`Tx::emit`](crate::Tx::emit) does the same for one's own.
    pub fn apply(&mut self, sequenced: &Sequenced) {
        // What a decision left over can go once the next one begins.
        if sequenced.at > self.now {
            self.forget_unused();
        }
        self.apply_event(sequenced);
    }

    pub(crate) fn apply_event(&mut self, sequenced: &Sequenced) {
        let at = sequenced.at;
        self.seq = sequenced.seq;
        self.now = at;
        match &sequenced.event {
            Event::MasterStarted { master } => {
                self.took(Counter::Master, master.id.0);
                self.set_master(master);
                let workers: Vec<WorkerId> = self.workers.keys().copied().collect();
                for id in workers {
                    self.set_disconnected(id, at);
                }
            }
            Event::MasterStopped { master } => {
                self.set_master(master);
                let workers: Vec<WorkerId> = self.workers.keys().copied().collect();
                for id in workers {
                    self.update_away(id);
                }
            }
            Event::MasterSet { master } => self.set_master(master),
            Event::Configured { digest, plan } => {
                let old = std::mem::replace(&mut self.config, digest.clone());
                self.plan = Arc::new(plan.clone());
                self.plans
                    .entry(digest.clone())
                    .and_modify(|used| used.plan = Arc::clone(&self.plan))
                    .or_insert_with(|| PlanUse {
                        plan: Arc::clone(&self.plan),
                        builds: 0,
                    });
                self.drop_plan(&old);
                self.filters = Filters::new(&self.plan);
                self.dependents = dependents(&self.plan);
                self.queue.forget_asked();
                self.index_configuration();
                self.index_collapsible();
                self.open_all_cases();
                let schedulers: Vec<SchedulerId> = self.schedulers.keys().copied().collect();
                for id in schedulers {
                    self.update_timer(id);
                }
                let workers: Vec<WorkerId> = self.workers.keys().copied().collect();
                for id in workers {
                    self.update_missing(id);
                }
            }
            Event::BuilderSet { builder } => {
                self.took(Counter::Builder, builder.id.0);
                self.names.builders.insert(builder.name.clone(), builder.id);
                self.builders.insert(builder.id, builder.clone());
                self.index_builder(builder.id);
            }
            Event::WorkerSet { worker } => {
                self.took(Counter::Worker, worker.id.0);
                self.names.workers.insert(worker.name.clone(), worker.id);
                let new = self.workers.insert(worker.id, worker.clone()).is_none();
                if new
                    && self
                        .plan
                        .locks
                        .values()
                        .any(|lock| lock.worker_counts.contains_key(&worker.name))
                {
                    self.index_locks();
                }
                self.index_worker(worker.id);
                if new {
                    self.index_ranks_of(worker.id);
                }
                self.update_away(worker.id);
                self.update_downtime(worker.id);
            }
            Event::SchedulerSet { scheduler } => self.set_scheduler(scheduler),
            Event::ChangeSourceSet { change_source } => {
                self.took(Counter::ChangeSource, change_source.id.0);
                self.names
                    .change_sources
                    .insert(change_source.name.clone(), change_source.id);
                self.change_sources
                    .insert(change_source.id, change_source.clone());
            }
            Event::ProjectSet { project } => {
                self.took(Counter::Project, project.id.0);
                self.projects.insert(project.id, project.clone());
                self.index_project(project.id);
            }
            Event::CodebaseSet { codebase } => {
                self.took(Counter::Codebase, codebase.id.0);
                self.codebases.insert(codebase.id, codebase.clone());
            }
            Event::SchedulerMoved { scheduler, state } => {
                let old = self
                    .schedulers
                    .get_mut(scheduler)
                    .map(|record| std::mem::replace(&mut record.state, state.clone()));
                if let Some(old) = old {
                    self.hold_changes(state, &old);
                }
                self.update_timer(*scheduler);
            }
            Event::WorkerConnected {
                worker,
                connection,
                info,
                graceful,
                killed,
            } => {
                if let Some(record) = self.workers.get_mut(worker) {
                    record.connection = Some(connection.clone());
                    record.info = info.clone();
                    record.disconnected_at = None;
                    record.missing = false;
                    record.graceful = *graceful;
                    record.killed = *killed;
                }
                self.index_worker(*worker);
                self.update_away(*worker);
            }
            Event::WorkerDisconnected { worker, .. } => self.set_disconnected(*worker, at),
            Event::WorkerStateChanged {
                worker,
                paused,
                pause_reason,
                graceful,
                downtime,
                killed,
            } => {
                if let Some(record) = self.workers.get_mut(worker) {
                    record.paused = *paused;
                    record.pause_reason.clone_from(pause_reason);
                    record.graceful = *graceful;
                    record.downtime = *downtime;
                    record.killed = *killed;
                }
                self.index_worker(*worker);
                self.update_downtime(*worker);
            }
            Event::WorkerMissing { worker, .. } => {
                if let Some(record) = self.workers.get_mut(worker) {
                    record.missing = true;
                }
                self.update_missing(*worker);
            }
            Event::SourceStampAdded { sourcestamp } => {
                self.took(Counter::SourceStamp, sourcestamp.id.0);
                self.stamps.insert(sourcestamp.clone(), 0);
                self.unused_stamps.insert(sourcestamp.id);
            }
            Event::ChangeAdded { change } => {
                self.took(Counter::Change, change.id.0);
                self.hold_stamp_if_there(change.sourcestamp);
                self.changes.insert(
                    change.id,
                    Held {
                        record: change.clone(),
                        refs: 0,
                    },
                );
                self.unused_changes.insert(change.id);
            }
            Event::BuildsetCreated { buildset } => {
                self.took(Counter::Buildset, buildset.id.0);
                for stamp in &buildset.sourcestamps {
                    self.hold_stamp_if_there(*stamp);
                }
                self.buildsets.insert(
                    buildset.id,
                    Box::new(BuildsetEntry {
                        record: buildset.clone(),
                        requests: Vec::new(),
                        open: 0,
                    }),
                );
            }
            Event::RequestQueued { request } => {
                self.took(Counter::BuildRequest, request.id.0);
                if let Some(entry) = self.buildsets.get_mut(&request.buildset) {
                    entry.requests.push(request.id);
                    entry.open += 1;
                }
                self.requests.insert(request.id, request.clone());
                self.index_queued(request.id);
                self.open_case(request.id);
            }
            Event::RequestPrioritised {
                request,
                priority,
                by_hand,
                since,
            } => {
                self.unindex_queued(*request);
                if let Some(record) = self.requests.get_mut(request) {
                    record.priority = *priority;
                    record.by_hand = *by_hand;
                    record.submitted_at = since.unwrap_or(record.submitted_at);
                }
                self.index_queued(*request);
            }
            Event::RequestRequeued { request } => {
                if let Some(record) = self.requests.get_mut(request) {
                    record.phase = RequestPhase::Queued;
                }
                self.index_queued(*request);
                self.open_case(*request);
            }
            Event::RequestCompleted {
                request,
                results,
                cause,
                ..
            } => {
                let phase = RequestPhase::Complete {
                    results: *results,
                    at,
                    cause: cause.clone(),
                };
                self.complete_request(*request, phase);
            }
            Event::BuildsetCompleted { buildset, .. } => {
                if let Some(entry) = self.buildsets.remove(buildset) {
                    for request in entry.requests {
                        self.requests.remove(&request);
                    }
                    for stamp in entry.record.sourcestamps {
                        self.release_stamp(stamp);
                    }
                }
            }
            Event::BuildStarted { build, .. } => {
                self.took(Counter::Build, build.id.0);
                if let Some(builder) = self.builders.get_mut(&build.builder) {
                    builder.next_number = builder.next_number.max(build.number + 1);
                }
                self.unindex_queued(build.request);
                self.judging.forget(build.request);
                if let Some(request) = self.requests.get_mut(&build.request) {
                    request.attempts = build.attempt;
                    request.phase = RequestPhase::Claimed { build: build.id, at };
                }
                if let Some(used) = self.plans.get_mut(&build.config) {
                    used.builds += 1;
                }
                let locks = self.locks_of_build(build);
                self.queue.take(
                    build.builder,
                    build.worker,
                    build.slot,
                    build.id,
                    sequenced.seq,
                    locks,
                );
                self.builds.insert(
                    build.id,
                    BuildEntry {
                        record: build.clone(),
                        steps: Vec::new(),
                        logs: std::collections::BTreeMap::new(),
                    },
                );
                self.update_lease(build.worker);
            }
            Event::PropertiesSet { build, properties } => {
                if let Some(entry) = self.builds.get_mut(build) {
                    entry.record.properties.update(properties);
                }
            }
            Event::BuildStopRequested { build, by, reason } => {
                if let Some(entry) = self.builds.get_mut(build) {
                    entry.record.stop = Some((by.clone(), reason.clone()));
                }
            }
            Event::BuildLost { build, reason } => {
                if let Some(entry) = self.builds.get_mut(build) {
                    entry.record.lost = Some(reason.clone());
                    let worker = entry.record.worker;
                    self.update_lease(worker);
                }
            }
            Event::BuildWaits { build, waits } => self.park(*build, waits.clone()),
            Event::BuildResumed { build, .. } => self.unpark(*build),
            Event::StepStarted { step, logs } => {
                self.took(Counter::Step, step.id.0);
                for log in logs {
                    self.took(Counter::Log, log.id.0);
                }
                if let Some(entry) = self.builds.get_mut(&step.build) {
                    entry.steps.push(step.clone());
                    entry.logs.extend(logs.iter().map(|log| (log.id, log.clone())));
                }
                self.index_step(step);
            }
            Event::StepLocksAcquired {
                step,
                build,
                state_string,
            } => {
                if let Some(step) = self.step_mut(*build, *step) {
                    step.locks_acquired_at = Some(at);
                    step.state_string.clone_from(state_string);
                }
                self.queue.locks_acquired(*build);
            }
            Event::StepUpdated {
                step,
                build,
                state_string,
                urls,
            } => {
                if let Some(step) = self.step_mut(*build, *step) {
                    step.state_string.clone_from(state_string);
                    step.urls.clone_from(urls);
                }
            }
            Event::LogOpened { log } => {
                self.took(Counter::Log, log.id.0);
                if let Some(entry) = self.builds.get_mut(&log.build) {
                    entry.logs.insert(log.id, log.clone());
                }
            }
            Event::LogsSaved { build, saves } => self.save_logs(*build, saves),
            // Only the store remembers them: they are read when a runner resumes, never to decide.
            Event::EffectsRecorded { .. } | Event::WorkerDismissed { .. } => {}
            Event::StepFinished {
                step,
                build,
                results,
                cause,
                state_string,
                urls,
                hidden,
            } => {
                if let Some(entry) = self.builds.get_mut(build) {
                    entry.logs.retain(|_, log| log.step != *step);
                }
                if let Some(step) = self.step_mut(*build, *step) {
                    step.complete_at = Some(at);
                    step.results = Some(*results);
                    step.cause.clone_from(cause);
                    step.state_string.clone_from(state_string);
                    step.urls.clone_from(urls);
                    step.hidden = *hidden;
                }
                self.queue.step_over(*build);
            }
            Event::BuildFinished { build, .. } => self.finish_build(*build),
            Event::PipelineSet { pipeline } => self.set_pipeline(pipeline),
            Event::RunCreated { run } => self.create_run(run),
            Event::JobsAdded { run, jobs, needs } => self.add_jobs(*run, jobs, needs),
            Event::JobMoved { run, job, progress } => self.move_job(*run, *job, progress),
            Event::RunDefined {
                run,
                trusted,
                sourcestamps,
                source,
                definition,
            } => self.define_run(*run, *trusted, sourcestamps, source, definition),
            Event::RunPinned { run, sourcestamps } => self.pin_run(*run, sourcestamps),
            Event::RunMoved { run, progress } => self.move_run(*run, progress),
        }
    }

    /// An id was given away.
    pub(crate) fn took(&mut self, counter: Counter, id: u64) {
        let next = self.counters.entry(counter).or_insert(1);
        *next = (*next).max(id + 1);
    }

    fn set_master(&mut self, master: &MasterRecord) {
        self.names.masters.insert(master.name.clone(), master.id);
        self.masters.insert(master.id, master.clone());
    }

    fn set_disconnected(&mut self, id: WorkerId, at: Timestamp) {
        if let Some(record) = self.workers.get_mut(&id)
            && let Some(connection) = &mut record.connection
            && connection.connected
        {
            connection.connected = false;
            record.disconnected_at = Some(at);
        }
        self.index_worker(id);
        self.update_away(id);
    }

    fn set_scheduler(&mut self, scheduler: &SchedulerRecord) {
        self.took(Counter::Scheduler, scheduler.id.0);
        self.names.schedulers.insert(scheduler.name.clone(), scheduler.id);
        let old = self.schedulers.insert(scheduler.id, scheduler.clone());
        self.hold_changes(&scheduler.state, &old.map(|old| old.state).unwrap_or_default());
        self.update_timer(scheduler.id);
    }

    /// A scheduler holds other changes back than before.
    fn hold_changes(&mut self, new: &SchedulerState, old: &SchedulerState) {
        for id in held_changes(new) {
            if let Some(held) = self.changes.get_mut(&id) {
                held.refs += 1;
            }
        }
        for id in held_changes(old) {
            if let Some(held) = self.changes.get_mut(&id) {
                held.refs = held.refs.saturating_sub(1);
                if held.refs == 0 {
                    self.unused_changes.insert(id);
                }
            }
        }
    }

    pub(crate) fn hold_stamp_if_there(&mut self, id: ironmaster_model::SourceStampId) {
        if let Some(held) = self.stamps.by_id.get_mut(&id) {
            held.refs += 1;
        }
    }

    fn drop_plan(&mut self, digest: &str) {
        if digest != self.config && self.plans.get(digest).is_some_and(|used| used.builds == 0) {
            self.plans.remove(digest);
        }
    }

    fn index_collapsible(&mut self) {
        self.collapsible.clear();
        for request in self.requests.values() {
            if request.phase == RequestPhase::Queued
                && let Some(hash) = self.collapse_hash(request)
            {
                self.collapsible
                    .entry(request.builder)
                    .or_default()
                    .insert((hash, request.id));
            }
        }
    }

    fn complete_request(&mut self, id: BuildRequestId, phase: RequestPhase) {
        let Some(record) = self.requests.get(&id) else {
            return;
        };
        match record.phase {
            RequestPhase::Queued => {
                self.unindex_queued(id);
                self.judging.forget(id);
            }
            RequestPhase::Claimed { .. } => {}
            RequestPhase::Complete { .. } => return,
        }
        if let Some(record) = self.requests.get_mut(&id) {
            record.phase = phase;
            if let Some(entry) = self.buildsets.get_mut(&record.buildset) {
                entry.open = entry.open.saturating_sub(1);
            }
        }
    }

    fn step_mut(&mut self, build: BuildId, step: StepId) -> Option<&mut ironmaster_model::StepRecord> {
        self.builds
            .get_mut(&build)?
            .steps
            .iter_mut()
            .rev()
            .find(|record| record.id == step)
    }

    fn save_logs(&mut self, build: BuildId, saves: &[LogSave]) {
        let Some(entry) = self.builds.get_mut(&build) else {
            return;
        };
        for save in saves {
            if let Some(log) = entry.logs.get_mut(&save.log) {
                log.num_lines = save.num_lines;
                log.raw_bytes = save.raw_bytes;
                log.complete = save.complete;
            }
        }
    }

    fn finish_build(&mut self, id: BuildId) {
        self.queue.forget_locks(id);
        self.unpark(id);
        let Some(entry) = self.builds.remove(&id) else {
            return;
        };
        let build = entry.record;
        if let Some(used) = self.plans.get_mut(&build.config) {
            used.builds = used.builds.saturating_sub(1);
        }
        self.drop_plan(&build.config);
        self.queue
            .give_back(build.builder, build.worker, build.slot, build.id);
        self.update_lease(build.worker);
    }
}
