//! The reference model: what should happen, in plain lists and loops. It is slow and has no index and no
//! events; it says for each input what becomes of requests and builds, in order.
//!
//! The one thing it does not foresee is which of several workers is taken. It is told, and checks that the worker would do.

mod asked;
mod builds;
mod in_repository;
mod judged;
mod locks;
mod pipelines;
mod time;
mod trigger;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ironmaster_engine::Input;
use ironmaster_model::{BuilderDef, CollapseRule, Plan, Results, SchedulerDef, SchedulerKind};
use serde_json::Value;

pub(crate) use self::asked::Questions;
use super::facts::{Fact, Placements};

#[derive(Clone, Debug)]
struct Worker {
    name: String,
    active: bool,
    paused: bool,
    graceful: bool,
    instance: Option<String>,
    resumes: bool,
    connected: bool,
    gone_at: i64,
    /// Whether it has time off, and when that changes.
    down: bool,
    turns_at: Option<i64>,
}

#[derive(Clone, Debug)]
struct Timer {
    key: String,
    changes: Vec<u64>,
    fire_at: Option<i64>,
}

#[derive(Clone, Debug)]
struct Scheduler {
    name: String,
    active: bool,
    enabled: bool,
    timers: Vec<Timer>,
    next_fire: Option<i64>,
    /// Changes that one which is set off by time keeps, and whether there is an important one.
    kept: Vec<u64>,
    changed: bool,
}

/// Branch, revision and code base: the rest is always the same here.
type Stamp = (Option<String>, Option<String>, String);

#[derive(Clone, Debug)]
struct Request {
    id: u64,
    buildset: u64,
    builder: u64,
    priority: i64,
    by_hand: bool,
    since: i64,
    attempts: u32,
    /// None while queued, the build while claimed.
    build: Option<u64>,
    done: Option<Results>,
    stamp: Stamp,
    scheduler: String,
    changes: Vec<u64>,
    waited_for: bool,
    wish: String,
}

#[derive(Clone, Debug)]
struct Build {
    id: u64,
    request: u64,
    builder: u64,
    attempt: u32,
    definition: Arc<BuilderDef>,
    worker: u64,
    slot: u32,
    instance: String,
    /// Id and index of the running step.
    step: (u64, usize),
    next_index: usize,
    overall: Results,
    halted: bool,
    machine_gone: bool,
    stopped: bool,
    /// What it has checked out.
    got: Option<String>,
    wait: Option<Wait>,
    plan: Arc<Plan>,
    /// Locks that it holds for itself, and those of its step.
    locks: Vec<locks::Use>,
    step_locks: Vec<locks::Use>,
    /// Place of the step if it waits for `step_locks`.
    lock_place: Option<locks::Place>,
}

/// What a build waits for.
#[derive(Clone, Debug)]
struct Wait {
    ordinal: u32,
    open: Vec<u64>,
}

#[derive(Clone, Debug)]
struct Master {
    since: i64,
    lease: i64,
    draining: bool,
}

/// See the [module](self). Ids are places in the lists, from 1.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    plan: Arc<Plan>,
    master: Option<Master>,
    builders: Vec<(String, bool)>,
    /// The project that each builder belongs to, or belonged to last.
    projects_of: BTreeMap<String, Option<String>>,
    workers: Vec<Worker>,
    schedulers: Vec<Scheduler>,
    stamps_of_changes: Vec<Stamp>,
    requests: Vec<Request>,
    /// Buildsets that are over and nobody has followed yet: one of their requests, and their results.
    completed: Vec<(Request, Results)>,
    runs: Vec<pipelines::Run>,
    /// What follows in pipelines.
    work: Vec<pipelines::Work>,
    last_run: u64,
    last_job: u64,
    files_of_changes: Vec<Vec<String>>,
    builds: Vec<Build>,
    /// Builders that are asked what starts.
    asked: Vec<asked::Asked>,
    /// Builders that have said no, and until when.
    silent: Vec<(u64, i64)>,
    /// Requests about which functions are asked.
    cases: BTreeSet<u64>,
    buildsets: u64,
    /// Whether a build waits for the buildset that is being made.
    waited_for: bool,
    last_request: u64,
    last_build: u64,
    last_step: u64,
}

/// Worst first.
const ORDER: [Results; 7] = [
    Results::Cancelled,
    Results::Retry,
    Results::Exception,
    Results::Failure,
    Results::Warnings,
    Results::Success,
    Results::Skipped,
];

fn worse(a: Results, b: Results) -> Results {
    *ORDER
        .iter()
        .find(|results| **results == a || **results == b)
        .unwrap()
}

impl Model {
    /// What should follow from an input, or `Err` when it should be refused.
    pub(crate) fn decide(
        &mut self,
        input: &Input,
        now: i64,
        placed: &Placements,
        questions: &Questions,
    ) -> Result<Vec<Fact>, ()> {
        let mut out = Vec::new();
        let away: Vec<bool> = self.workers.iter().map(|worker| !worker.takes_builds()).collect();
        self.input(input, now, placed, &mut out)?;
        for (at, was_away) in away.into_iter().enumerate() {
            if was_away && self.workers[at].takes_builds() {
                self.listen_all_of(at as u64 + 1);
            }
        }
        self.start_what_can(now, placed, questions, &mut out);
        Ok(out)
    }

    fn input(&mut self, input: &Input, now: i64, placed: &Placements, out: &mut Vec<Fact>) -> Result<(), ()> {
        match input {
            Input::MasterStart { lease, .. } => {
                self.master = Some(Master {
                    since: now,
                    lease: lease.0,
                    draining: false,
                });
                for run in &mut self.runs {
                    run.asked = now;
                }
                for id in 1..=self.workers.len() as u64 {
                    let worker = &mut self.workers[id as usize - 1];
                    if worker.connected {
                        worker.connected = false;
                        worker.gone_at = now;
                    }
                    if worker.instance.is_some() && !worker.resumes {
                        self.lose(id, None, now, out);
                    }
                }
            }
            Input::MasterStop => self.master = None,
            Input::Drain { draining } => self.master.as_mut().ok_or(())?.draining = *draining,
            Input::Configure { plan } => self.configure(plan, now),
            Input::Change(change) => self.change(change, now, out),
            Input::Force {
                scheduler,
                params,
                owner,
            } => {
                let index = self.scheduler(scheduler).ok_or(())?;
                let definition = self.plan.schedulers.get(scheduler).ok_or(())?.clone();
                if !self.schedulers[index].active || !self.schedulers[index].enabled {
                    return Err(());
                }
                let SchedulerKind::Force(_) = definition.kind else {
                    return Err(());
                };
                let mut builders = self.ids(&definition.builders);
                if let Some(id) = params.get("builderid").and_then(Value::as_u64) {
                    builders.retain(|builder| *builder == id);
                }
                let bad = ["jobs", "priority"]
                    .iter()
                    .any(|name| params.get(*name).is_some_and(|value| value == "many"));
                if builders.is_empty() || bad {
                    return Err(());
                }
                let text = |name: &str| params.get(name).and_then(Value::as_str).map(str::to_owned);
                let wish = format!("{owner:?} {:?} {:?}", params.get("reason"), params.get("jobs"));
                let stamp = (text("branch"), text("revision"), String::new());
                let priority = params
                    .get("priority")
                    .and_then(Value::as_i64)
                    .unwrap_or(definition.priority);
                self.buildset(scheduler, &builders, priority, &stamp, &[], &wish, now, out);
            }
            Input::Try(job) => {
                let index = self.scheduler(&job.scheduler).ok_or(())?;
                let definition = self.plan.schedulers.get(&job.scheduler).ok_or(())?.clone();
                let is_on = self.schedulers[index].active && self.schedulers[index].enabled;
                if !is_on || !matches!(definition.kind, SchedulerKind::Try(_)) {
                    return Err(());
                }
                let strange = |name: &String| !definition.builders.contains(name);
                if job.builders.iter().any(strange) {
                    return Err(());
                }
                let mut names = definition.builders.clone();
                names.retain(|name| job.builders.is_empty() || job.builders.contains(name));
                let builders = self.ids(&names);
                let stamp = (job.branch.clone(), job.revision.clone(), String::new());
                let priority = definition.priority;
                self.buildset(
                    &job.scheduler,
                    &builders,
                    priority,
                    &stamp,
                    &[],
                    &job.id,
                    now,
                    out,
                );
            }
            Input::Rebuild {
                builder,
                sourcestamps,
                owner,
                ..
            } => {
                if !self
                    .builders
                    .get(builder.0 as usize - 1)
                    .is_some_and(|(_, active)| *active)
                {
                    return Err(());
                }
                let stamp = &sourcestamps[0];
                let stamp = (
                    stamp.branch.clone(),
                    stamp.revision.clone(),
                    stamp.codebase.clone(),
                );
                let wish = format!("rebuild {owner}");
                self.buildset("rebuild", &[builder.0], 0, &stamp, &[], &wish, now, out);
            }
            Input::CancelRequest { request, .. } => {
                if request.0 == 0 || request.0 > self.last_request {
                    return Err(());
                }
                let found = self.requests.iter().find(|other| other.id == request.0).cloned();
                match found {
                    Some(Request { done: Some(_), .. }) | None => {}
                    Some(Request {
                        build: Some(build), ..
                    }) => self.stop(build, now, out)?,
                    Some(_) => self.complete(request.0, Results::Cancelled, out),
                }
            }
            Input::SetPriority { request, priority } => {
                let queued = self
                    .requests
                    .iter_mut()
                    .find(|other| other.id == request.0 && other.build.is_none() && other.done.is_none());
                let queued = queued.ok_or(())?;
                let builder = queued.builder;
                if (queued.priority, queued.by_hand) != (*priority, true) {
                    (queued.priority, queued.by_hand) = (*priority, true);
                    self.listen(builder);
                    out.push(Fact::Moved {
                        request: request.0,
                        priority: *priority,
                        by_hand: true,
                        since: None,
                    });
                }
            }
            Input::StopBuild { build, .. } => self.stop(build.0, now, out)?,
            Input::EnableScheduler { scheduler, enabled } => {
                let found = self.schedulers.get_mut(scheduler.0 as usize - 1);
                let found = found.filter(|scheduler| scheduler.active).ok_or(())?;
                if *enabled
                    && !found.enabled
                    && found.next_fire.is_some_and(|due| due <= now)
                    && let SchedulerKind::Nightly(nightly) = &self.plan.schedulers[&found.name].kind
                {
                    found.next_fire = Some(time::next_nightly(&found.name, nightly, now));
                }
                found.enabled = *enabled;
            }
            Input::PauseWorker { worker, paused, .. } => self.worker(worker.0)?.paused = *paused,
            Input::StopWorker { worker } | Input::KillWorker { worker } => {
                self.worker(worker.0)?.graceful = true;
            }
            Input::WorkerConnected(connected) => {
                let at = self
                    .workers
                    .iter()
                    .position(|worker| worker.name == connected.name && worker.active);
                let at = at.ok_or(())?;
                let worker = &mut self.workers[at];
                worker.connected = true;
                worker.graceful &= worker.instance.as_ref() == Some(&connected.connection.instance);
                worker.instance = Some(connected.connection.instance.clone());
                worker.resumes = connected.connection.resumes;
                self.lose(at as u64 + 1, Some(&connected.connection.instance), now, out);
            }
            Input::WorkerDisconnected { worker, instance, .. } => {
                let known = self.worker(worker.0)?;
                if known.connected && known.instance.as_ref() == Some(instance) {
                    known.connected = false;
                    known.gone_at = now;
                    if !known.resumes {
                        self.lose(worker.0, None, now, out);
                    }
                }
            }
            Input::BuildLost { build, .. } => {
                let build = self
                    .builds
                    .iter_mut()
                    .find(|other| other.id == build.0)
                    .ok_or(())?;
                if !build.machine_gone {
                    build.machine_gone = true;
                    let id = build.id;
                    out.push(Fact::Lost { build: id });
                    self.give_up_waiting(id, now, out);
                }
            }
            Input::OpenLog { build, step, .. } => {
                self.running(build.0, step.0)?;
            }
            Input::StepProgress(report) => {
                let build = self.running(report.build.0, report.step.0)?;
                if let Some(got) = report.properties.get("got_revision").and_then(|got| got.as_str()) {
                    // A build that says it again has the run told again; which has listened the first time.
                    build.got = Some(got.to_owned());
                    let request = build.request;
                    self.pin(request, got);
                }
            }
            Input::StepEnded { report, outcome } => {
                let build = self.running(report.build.0, report.step.0)?;
                let flags = build.definition.steps[build.step.1].flags;
                // A step that waits cannot end by itself: something has gone wrong with the attempt.
                let mut part = if build.wait.is_some() {
                    Results::Retry
                } else {
                    outcome.results
                };
                if part == Results::Failure {
                    build.halted |= flags.halt_on_failure;
                    part = match (flags.flunk_on_failure, flags.warn_on_failure) {
                        (true, _) => Results::Failure,
                        (false, true) => Results::Warnings,
                        (false, false) => Results::Success,
                    };
                } else if part == Results::Warnings {
                    part = match (flags.flunk_on_warnings, flags.warn_on_warnings) {
                        (true, _) => Results::Failure,
                        (false, true) => Results::Warnings,
                        (false, false) => Results::Success,
                    };
                }
                build.halted |= [Results::Exception, Results::Retry, Results::Cancelled].contains(&part);
                build.machine_gone |= part == Results::Retry;
                build.overall = worse(build.overall, part);
                self.go_on(report.build.0, now, out);
            }
            Input::Trigger(trigger) => self.trigger(trigger, now, out)?,
            Input::StartRun {
                pipeline,
                sourcestamps,
                ..
            } => self.start_by_hand(pipeline, sourcestamps, now, out)?,
            Input::StopRun { run, by, .. } => {
                if !self.runs.iter().any(|other| other.id == run.0) {
                    return Err(());
                }
                self.stop_run(run.0, by, now, out);
            }
            Input::ApproveJob { job, approved, .. } => self.approve(job.0, *approved, now, out)?,
            Input::Define { run, found } => self.define(run.0, found, out)?,
            Input::RetryRun { .. } | Input::AddJobs { .. } => unreachable!("these are not generated"),
            Input::Chosen {
                builder,
                number,
                verdict,
            } => self.chosen(builder.0, *number, verdict, now, placed, out)?,
            Input::Judged {
                request,
                config,
                judgement,
            } => self.judged(request.0, config, judgement, out)?,
            Input::Tick => {
                self.tick(now, out);
                self.end_silences(now);
            }
        }
        Ok(())
    }

    /// Dependent schedulers build what another one's builds have made sure of.
    pub(super) fn follow(&mut self, now: i64, out: &mut Vec<Fact>) {
        loop {
            if self.completed.is_empty() {
                self.follow_pipelines(now, out);
                if self.completed.is_empty() {
                    return;
                }
            }
            let (over, results) = self.completed.remove(0);
            if !self.job_buildset_over(over.buildset, results)
                && [Results::Success, Results::Warnings].contains(&results)
            {
                self.dependents(&over.scheduler, &over.stamp, &over.changes, now, out);
            }
        }
    }

    fn dependents(&mut self, scheduler: &str, stamp: &Stamp, changes: &[u64], now: i64, out: &mut Vec<Fact>) {
        for (name, definition) in &Arc::clone(&self.plan).schedulers {
            let on = self
                .scheduler(name)
                .is_some_and(|at| self.schedulers[at].active && self.schedulers[at].enabled);
            if on
                && let SchedulerKind::Dependent { upstream } = &definition.kind
                && upstream == scheduler
            {
                // Files of changes are known when they are heard of, and not any more.
                self.launch(definition, stamp, changes, None, now, out);
            }
        }
    }

    /// What a scheduler starts: builds, or a run of a pipeline.
    fn launch(
        &mut self,
        definition: &SchedulerDef,
        stamp: &Stamp,
        changes: &[u64],
        files: Option<Vec<String>>,
        now: i64,
        out: &mut Vec<Fact>,
    ) {
        let Some(pipeline) = &definition.pipeline else {
            let builders = self.ids(&definition.builders);
            let (name, priority) = (&definition.name, definition.priority);
            return self.buildset(name, &builders, priority, stamp, changes, "", now, out);
        };
        let Some(pipeline) = Arc::clone(&self.plan).pipelines.get(pipeline).cloned() else {
            return;
        };
        let new = pipelines::New {
            stamp: stamp.clone(),
            changes: changes.to_vec(),
            files,
            priority: definition.priority,
            parent: None,
            scheduler: definition.name.clone(),
            trusted: true,
            given: BTreeSet::new(),
        };
        self.make_run(&pipeline, new, now, out);
    }

    fn worker(&mut self, id: u64) -> Result<&mut Worker, ()> {
        self.workers.get_mut((id as usize).wrapping_sub(1)).ok_or(())
    }

    fn scheduler(&self, name: &str) -> Option<usize> {
        self.schedulers
            .iter()
            .position(|scheduler| scheduler.name == name)
    }

    /// Ids of active builders.
    fn ids(&self, names: &[String]) -> Vec<u64> {
        names
            .iter()
            .filter_map(|name| {
                let at = self
                    .builders
                    .iter()
                    .position(|(known, active)| known == name && *active)?;
                Some(at as u64 + 1)
            })
            .collect()
    }

    fn running(&mut self, build: u64, step: u64) -> Result<&mut Build, ()> {
        self.builds
            .iter_mut()
            .find(|other| other.id == build && other.step.0 == step && other.lock_place.is_none())
            .ok_or(())
    }

    fn configure(&mut self, plan: &Arc<Plan>, now: i64) {
        self.forget_asked();
        let old = std::mem::replace(&mut self.plan, Arc::clone(plan));
        for builder in plan.builders.values() {
            self.projects_of
                .insert(builder.name.clone(), builder.project.clone());
        }
        for name in plan.builders.keys() {
            if !self.builders.iter().any(|(known, _)| known == name) {
                self.builders.push((name.clone(), true));
            }
        }
        for (name, active) in &mut self.builders {
            *active = plan.builders.contains_key(name);
        }
        self.open_all_cases();
        for name in plan.workers.keys() {
            if !self.workers.iter().any(|worker| worker.name == *name) {
                self.workers.push(Worker {
                    name: name.clone(),
                    active: true,
                    paused: false,
                    graceful: false,
                    instance: None,
                    resumes: false,
                    connected: false,
                    gone_at: 0,
                    down: false,
                    turns_at: None,
                });
            }
        }
        for worker in &mut self.workers {
            worker.active = plan.workers.contains_key(&worker.name);
            worker.look_at_the_clock(plan, now);
        }
        for (name, definition) in &plan.schedulers {
            if self.scheduler(name).is_none() {
                self.schedulers.push(Scheduler {
                    name: name.clone(),
                    active: true,
                    enabled: true,
                    timers: Vec::new(),
                    next_fire: None,
                    kept: Vec::new(),
                    changed: false,
                });
            }
            let at = self.scheduler(name).unwrap();
            let before = old.schedulers.get(name).map(|old| &old.kind);
            let changes = match &definition.kind {
                SchedulerKind::Periodic {
                    interval, changes, ..
                } => {
                    let before = match before {
                        Some(SchedulerKind::Periodic { interval, .. }) => *interval,
                        _ => *interval,
                    };
                    let next = self.schedulers[at]
                        .next_fire
                        .map_or(now, |next| next - before.0 + interval.0);
                    self.schedulers[at].next_fire = Some(next);
                    changes
                }
                SchedulerKind::Nightly(nightly) => {
                    let same = matches!(before, Some(SchedulerKind::Nightly(old))
                        if old.cron == nightly.cron
                            && old.zone == nightly.zone
                            && old.jitter == nightly.jitter
                            && old.force_at == nightly.force_at);
                    if !same {
                        self.schedulers[at].next_fire = Some(time::next_nightly(name, nightly, now));
                    }
                    &nightly.changes
                }
                _ => continue,
            };
            if changes.is_none() {
                self.schedulers[at].kept.clear();
                self.schedulers[at].changed = false;
            }
        }
        for scheduler in &mut self.schedulers {
            scheduler.active = plan.schedulers.contains_key(&scheduler.name);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "plain is better than clever here")]
    fn buildset(
        &mut self,
        scheduler: &str,
        builders: &[u64],
        priority: i64,
        stamp: &Stamp,
        changes: &[u64],
        wish: &str,
        now: i64,
        out: &mut Vec<Fact>,
    ) {
        if builders.is_empty() {
            return;
        }
        self.buildsets += 1;
        for builder in builders {
            self.last_request += 1;
            let mut new = Request {
                id: self.last_request,
                buildset: self.buildsets,
                builder: *builder,
                priority,
                by_hand: false,
                since: now,
                attempts: 0,
                build: None,
                done: None,
                stamp: stamp.clone(),
                scheduler: scheduler.into(),
                changes: changes.to_vec(),
                waited_for: self.waited_for,
                wish: wish.into(),
            };
            let name = &self.builders[*builder as usize - 1].0;
            let mut merged = Vec::new();
            let rule = self.plan.builders[name].collapse;
            if rule != CollapseRule::Never {
                for old in &self.requests {
                    let same = old.builder == *builder
                        && !old.waited_for
                        && !new.waited_for
                        && old.build.is_none()
                        && old.done.is_none()
                        && (rule == CollapseRule::Newest || old.stamp.0 == new.stamp.0)
                        && old.stamp.2 == new.stamp.2
                        && (rule == CollapseRule::Newest
                            || (!old.changes.is_empty() && !new.changes.is_empty())
                            || old.stamp.1 == new.stamp.1)
                        && old.wish == new.wish;
                    if same && wish != pipelines::JOB {
                        merged.push(old.clone());
                    }
                }
            }
            new.replace(&merged);
            out.push(Fact::Queued {
                request: new.id,
                builder: *builder,
                priority: new.priority,
                since: new.since,
                changes: changes.to_vec(),
                revision: new.stamp.1.clone(),
            });
            let id = new.id;
            self.requests.push(new);
            self.listen(*builder);
            self.open_case(id);
            for old in merged {
                self.complete(old.id, Results::Skipped, out);
            }
        }
    }
}
