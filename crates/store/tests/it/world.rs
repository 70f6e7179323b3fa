//! The obvious reference: all records in maps, changed by events one by one, and what follows from them.

use std::collections::BTreeMap;

use ironmaster_model::{
    BuildId, BuildRecord, BuildRequestId, BuildRequestRecord, BuilderId, BuilderRecord, BuildsetId,
    BuildsetRecord, ChangeId, ChangeRecord, ChangeSourceId, ChangeSourceRecord, CodebaseId, CodebaseRecord,
    Counter, EffectRecord, Event, JobId, LogContent, LogId, LogRecord, MasterId, MasterRecord, PipelineId,
    PipelineJobRecord, PipelineRecord, PipelineRunRecord, Plan, ProjectId, ProjectRecord, RequestPhase,
    RunId, SchedulerId, SchedulerRecord, Sequenced, Snapshot, SourceStampId, SourceStampRecord, StepId,
    StepRecord, Timestamp, WorkerId, WorkerRecord,
};

use crate::history::Commit;

#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) events: Vec<Sequenced>,
    pub(crate) counters: BTreeMap<Counter, u64>,
    pub(crate) config: String,
    pub(crate) plans: BTreeMap<String, Plan>,
    pub(crate) masters: BTreeMap<MasterId, MasterRecord>,
    pub(crate) builders: BTreeMap<BuilderId, BuilderRecord>,
    pub(crate) workers: BTreeMap<WorkerId, WorkerRecord>,
    pub(crate) schedulers: BTreeMap<SchedulerId, SchedulerRecord>,
    pub(crate) change_sources: BTreeMap<ChangeSourceId, ChangeSourceRecord>,
    pub(crate) projects: BTreeMap<ProjectId, ProjectRecord>,
    pub(crate) codebases: BTreeMap<CodebaseId, CodebaseRecord>,
    pub(crate) stamps: BTreeMap<SourceStampId, SourceStampRecord>,
    pub(crate) changes: BTreeMap<ChangeId, ChangeRecord>,
    pub(crate) buildsets: BTreeMap<BuildsetId, BuildsetRecord>,
    pub(crate) requests: BTreeMap<BuildRequestId, BuildRequestRecord>,
    /// The last claim: when, by which master.
    pub(crate) claims: BTreeMap<BuildRequestId, (Timestamp, MasterId)>,
    pub(crate) builds: BTreeMap<BuildId, BuildRecord>,
    pub(crate) steps: BTreeMap<StepId, StepRecord>,
    pub(crate) logs: BTreeMap<LogId, (LogRecord, LogContent)>,
    pub(crate) effects: BTreeMap<StepId, Vec<EffectRecord>>,
    pub(crate) pipelines: BTreeMap<PipelineId, PipelineRecord>,
    pub(crate) runs: BTreeMap<RunId, PipelineRunRecord>,
    pub(crate) jobs: BTreeMap<JobId, PipelineJobRecord>,
}

impl World {
    pub(crate) fn of(commits: &[Commit]) -> Self {
        let mut world = Self {
            counters: Counter::ALL.iter().map(|counter| (*counter, 1)).collect(),
            ..Self::default()
        };
        for commit in commits {
            world.commit(commit);
        }
        world
    }

    pub(crate) fn commit(&mut self, commit: &Commit) {
        for event in &commit.events {
            self.apply(event);
        }
        self.counters.extend(&commit.counters);
    }

    fn apply(&mut self, event: &Sequenced) {
        let at = event.at;
        self.events.push(event.clone());
        match event.event.clone() {
            Event::MasterStarted { master } => {
                self.masters.insert(master.id, master);
                for worker in self.workers.values_mut() {
                    disconnect(worker, at);
                }
            }
            Event::MasterStopped { master } | Event::MasterSet { master } => {
                self.masters.insert(master.id, master);
            }
            Event::Configured { digest, plan } => {
                self.plans.insert(digest.clone(), plan);
                self.config = digest;
            }
            Event::BuilderSet { builder } => {
                self.builders.insert(builder.id, builder);
            }
            Event::WorkerSet { worker } => {
                self.workers.insert(worker.id, worker);
            }
            Event::SchedulerSet { scheduler } => {
                self.schedulers.insert(scheduler.id, scheduler);
            }
            Event::ChangeSourceSet { change_source } => {
                self.change_sources.insert(change_source.id, change_source);
            }
            Event::ProjectSet { project } => {
                self.projects.insert(project.id, project);
            }
            Event::CodebaseSet { codebase } => {
                self.codebases.insert(codebase.id, codebase);
            }
            Event::SchedulerMoved { scheduler, state } => {
                self.schedulers.get_mut(&scheduler).unwrap().state = state;
            }
            Event::WorkerConnected {
                worker,
                connection,
                info,
                graceful,
                killed,
            } => {
                let worker = self.workers.get_mut(&worker).unwrap();
                worker.connection = Some(connection);
                worker.info = info;
                worker.disconnected_at = None;
                worker.missing = false;
                worker.graceful = graceful;
                worker.killed = killed;
            }
            Event::WorkerDisconnected { worker, .. } => {
                disconnect(self.workers.get_mut(&worker).unwrap(), at);
            }
            Event::WorkerStateChanged {
                worker,
                paused,
                pause_reason,
                downtime,
                graceful,
                killed,
            } => {
                let worker = self.workers.get_mut(&worker).unwrap();
                worker.paused = paused;
                worker.pause_reason = pause_reason;
                worker.downtime = downtime;
                worker.graceful = graceful;
                worker.killed = killed;
            }
            Event::WorkerDismissed { .. } => {}
            Event::WorkerMissing { worker, .. } => self.workers.get_mut(&worker).unwrap().missing = true,
            Event::SourceStampAdded { sourcestamp } => {
                self.stamps.insert(sourcestamp.id, sourcestamp);
            }
            Event::ChangeAdded { change } => {
                self.changes.insert(change.id, change);
            }
            Event::BuildsetCreated { buildset } => {
                self.buildsets.insert(buildset.id, buildset);
            }
            Event::RequestQueued { request } => {
                self.requests.insert(request.id, request);
            }
            Event::RequestPrioritised {
                request,
                priority,
                by_hand,
                since,
            } => {
                let request = self.requests.get_mut(&request).unwrap();
                request.priority = priority;
                request.by_hand = by_hand;
                request.submitted_at = since.unwrap_or(request.submitted_at);
            }
            Event::RequestRequeued { request } => {
                self.requests.get_mut(&request).unwrap().phase = RequestPhase::Queued;
                self.claims.remove(&request);
            }
            Event::RequestCompleted {
                request,
                results,
                cause,
                ..
            } => {
                self.requests.get_mut(&request).unwrap().phase =
                    RequestPhase::Complete { results, at, cause };
            }
            Event::BuildsetCompleted { buildset, results } => {
                let buildset = self.buildsets.get_mut(&buildset).unwrap();
                buildset.complete_at = Some(at);
                buildset.results = Some(results);
            }
            Event::BuildStarted { build, .. } => {
                let request = self.requests.get_mut(&build.request).unwrap();
                request.attempts = build.attempt;
                request.phase = RequestPhase::Claimed { build: build.id, at };
                self.claims.insert(build.request, (at, build.master));
                self.builders.get_mut(&build.builder).unwrap().next_number = build.number + 1;
                self.builds.insert(build.id, build);
            }
            Event::PropertiesSet { build, properties } => {
                self.builds
                    .get_mut(&build)
                    .unwrap()
                    .properties
                    .update(&properties);
            }
            Event::BuildStopRequested { build, by, reason } => {
                self.builds.get_mut(&build).unwrap().stop = Some((by, reason));
            }
            Event::BuildLost { build, reason } => {
                self.builds.get_mut(&build).unwrap().lost = Some(reason);
            }
            Event::StepStarted { step, logs } => {
                self.steps.insert(step.id, step);
                for log in logs {
                    self.logs.insert(log.id, (log, LogContent::File));
                }
            }
            Event::StepLocksAcquired {
                step, state_string, ..
            } => {
                let step = self.steps.get_mut(&step).unwrap();
                step.locks_acquired_at = Some(at);
                step.state_string = state_string;
            }
            Event::StepUpdated {
                step,
                state_string,
                urls,
                ..
            } => {
                let step = self.steps.get_mut(&step).unwrap();
                step.state_string = state_string;
                step.urls = urls;
            }
            Event::LogOpened { log } => {
                self.logs.insert(log.id, (log, LogContent::File));
            }
            Event::LogsSaved { saves, .. } => {
                for save in saves {
                    let (log, content) = self.logs.get_mut(&save.log).unwrap();
                    log.num_lines = save.num_lines;
                    log.raw_bytes = save.raw_bytes;
                    log.complete = save.complete;
                    *content = save.content;
                }
            }
            Event::BuildWaits { build, waits } => self.builds.get_mut(&build).unwrap().waits = Some(waits),
            Event::BuildResumed { build, step, effect } => {
                self.builds.get_mut(&build).unwrap().waits = None;
                self.effects.entry(step).or_default().push(effect);
            }
            Event::EffectsRecorded { step, effects, .. } => {
                self.effects.entry(step).or_default().extend(effects);
            }
            Event::StepFinished {
                step,
                results,
                cause,
                state_string,
                urls,
                hidden,
                ..
            } => {
                self.effects.remove(&step);
                let step = self.steps.get_mut(&step).unwrap();
                step.complete_at = Some(at);
                step.results = Some(results);
                step.cause = cause;
                step.state_string = state_string;
                step.urls = urls;
                step.hidden = hidden;
            }
            Event::BuildFinished {
                build,
                results,
                cause,
                state_string,
                ..
            } => {
                let build = self.builds.get_mut(&build).unwrap();
                build.complete_at = Some(at);
                build.results = Some(results);
                build.cause = cause;
                build.state_string = state_string;
            }
            Event::PipelineSet { pipeline } => {
                self.pipelines.insert(pipeline.id, pipeline);
            }
            Event::RunCreated { run } => {
                self.runs.insert(run.id, *run);
            }
            Event::JobsAdded { jobs, needs, .. } => {
                self.jobs.extend(jobs.into_iter().map(|job| (job.id, job)));
                for (job, needs) in needs {
                    self.jobs.get_mut(&job).unwrap().needs = needs;
                }
            }
            Event::JobMoved { job, progress, .. } => {
                self.jobs.get_mut(&job).unwrap().progress = progress;
            }
            Event::RunDefined {
                run,
                trusted,
                sourcestamps,
                source,
                definition,
            } => {
                let run = self.runs.get_mut(&run).unwrap();
                run.trusted = trusted;
                run.sourcestamps = sourcestamps;
                run.source = Some(source);
                run.definition = definition;
            }
            Event::RunPinned { run, sourcestamps } => {
                self.runs.get_mut(&run).unwrap().sourcestamps = sourcestamps;
            }
            Event::RunMoved { run, progress } => {
                self.runs.get_mut(&run).unwrap().progress = progress;
            }
        }
    }

    /// What a start-up must read.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let buildsets: Vec<BuildsetRecord> = self
            .buildsets
            .values()
            .filter(|buildset| buildset.complete_at.is_none())
            .cloned()
            .collect();
        let builds: Vec<BuildRecord> = self
            .builds
            .values()
            .filter(|build| build.complete_at.is_none())
            .cloned()
            .collect();
        let waits = |id: &ChangeId| {
            self.schedulers.values().any(|scheduler| {
                scheduler
                    .state
                    .waiting
                    .values()
                    .any(|waiting| waiting.changes.contains(id))
            })
        };
        let changes: Vec<ChangeRecord> = self
            .changes
            .values()
            .filter(|change| waits(&change.id))
            .cloned()
            .collect();
        let runs: Vec<PipelineRunRecord> = self
            .runs
            .values()
            .filter(|run| run.progress.complete_at.is_none())
            .cloned()
            .collect();
        let mut jobs: Vec<PipelineJobRecord> = self
            .jobs
            .values()
            .filter(|job| runs.iter().any(|run| run.id == job.run))
            .cloned()
            .collect();
        jobs.sort_by_key(|job| (job.run, job.number));
        let steps_of = |build: BuildId| self.steps.values().filter(move |step| step.build == build);
        Snapshot {
            now: self.events.last().map(|event| event.at).unwrap_or_default(),
            seq: self.events.len() as u64,
            counters: self.counters.clone(),
            masters: self.masters.values().cloned().collect(),
            builders: self.builders.values().cloned().collect(),
            workers: self.workers.values().cloned().collect(),
            schedulers: self.schedulers.values().cloned().collect(),
            change_sources: self.change_sources.values().cloned().collect(),
            projects: self.projects.values().cloned().collect(),
            codebases: self.codebases.values().cloned().collect(),
            config: self.config.clone(),
            plans: self
                .plans
                .iter()
                .filter(|(digest, _)| {
                    **digest == self.config || builds.iter().any(|build| build.config == **digest)
                })
                .map(|(digest, plan)| (digest.clone(), plan.clone()))
                .collect(),
            requests: self
                .requests
                .values()
                .filter(|request| buildsets.iter().any(|buildset| buildset.id == request.buildset))
                .cloned()
                .collect(),
            sourcestamps: self
                .stamps
                .values()
                .filter(|stamp| {
                    changes.iter().any(|change| change.sourcestamp == stamp.id)
                        || buildsets
                            .iter()
                            .any(|buildset| buildset.sourcestamps.contains(&stamp.id))
                        || runs.iter().any(|run| run.sourcestamps.contains(&stamp.id))
                })
                .cloned()
                .collect(),
            steps: builds
                .iter()
                .flat_map(|build| steps_of(build.id))
                .cloned()
                .collect(),
            logs: builds
                .iter()
                .flat_map(|build| steps_of(build.id))
                .filter(|step| step.complete_at.is_none())
                .flat_map(|step| self.logs.values().filter(move |(log, _)| log.step == step.id))
                .map(|(log, _)| log.clone())
                .collect(),
            changes,
            buildsets,
            builds,
            pipelines: self.pipelines.values().cloned().collect(),
            runs,
            jobs,
        }
    }
}

fn disconnect(worker: &mut WorkerRecord, at: Timestamp) {
    if let Some(connection) = &mut worker.connection
        && connection.connected
    {
        connection.connected = false;
        worker.disconnected_at = Some(at);
    }
}
