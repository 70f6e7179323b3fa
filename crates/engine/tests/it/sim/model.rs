//! The reference model: what should happen, in plain lists and loops. It is slow and has no index and no
//! events; it says for each input what becomes of requests and builds, in order.
//!
//! The one thing it does not foresee is which of several workers is taken. It is told, and checks that the worker would do.

use std::{collections::BTreeMap, sync::Arc};

use ironmaster_engine::{Input, NewChange};
use ironmaster_model::{
    BuilderDef, ChangeFilter, CollapseRule, Event, Plan, Results, SchedulerKind, Sequenced, WorkerSelector,
};
use serde_json::Value;

/// What happens to requests and builds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fact {
    Queued {
        request: u64,
        builder: u64,
        priority: i64,
        since: i64,
        changes: Vec<u64>,
    },
    Completed {
        request: u64,
        results: Results,
    },
    Requeued {
        request: u64,
    },
    BuildsetDone {
        buildset: u64,
        results: Results,
    },
    Started {
        build: u64,
        request: u64,
        attempt: u32,
    },
    Step {
        build: u64,
        definition: usize,
    },
    Ended {
        build: u64,
        results: Results,
    },
    Lost {
        build: u64,
    },
    Stopped {
        build: u64,
    },
    /// Never seen in events.
    BadPlacement {
        build: u64,
        worker: u64,
        slot: u32,
    },
}

/// Where each build was put.
pub(crate) type Placements = BTreeMap<u64, (u64, u32)>;

/// The facts that events state.
pub(crate) fn facts(events: &[Sequenced]) -> (Vec<Fact>, Placements) {
    let mut facts = Vec::new();
    let mut placements = Placements::new();
    let mut changes: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for sequenced in events {
        match &sequenced.event {
            Event::BuildsetCreated { buildset } => {
                changes.insert(
                    buildset.id.0,
                    buildset.changes.iter().map(|change| change.0).collect(),
                );
            }
            Event::RequestQueued { request } => facts.push(Fact::Queued {
                request: request.id.0,
                builder: request.builder.0,
                priority: request.priority,
                since: request.submitted_at.0,
                changes: changes.get(&request.buildset.0).cloned().unwrap_or_default(),
            }),
            Event::RequestCompleted { request, results, .. } => facts.push(Fact::Completed {
                request: request.0,
                results: *results,
            }),
            Event::RequestRequeued { request } => facts.push(Fact::Requeued { request: request.0 }),
            Event::BuildsetCompleted { buildset, results } => facts.push(Fact::BuildsetDone {
                buildset: buildset.0,
                results: *results,
            }),
            Event::BuildStarted { build } => {
                placements.insert(build.id.0, (build.worker.0, build.slot));
                facts.push(Fact::Started {
                    build: build.id.0,
                    request: build.request.0,
                    attempt: build.attempt,
                });
            }
            Event::StepStarted { step, .. } => facts.push(Fact::Step {
                build: step.build.0,
                definition: step.definition as usize,
            }),
            Event::BuildFinished { build, results, .. } => facts.push(Fact::Ended {
                build: build.0,
                results: *results,
            }),
            Event::BuildLost { build, .. } => facts.push(Fact::Lost { build: build.0 }),
            Event::BuildStopRequested { build, .. } => facts.push(Fact::Stopped { build: build.0 }),
            _ => {}
        }
    }
    (facts, placements)
}

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
}

/// Branch, revision and code base: the rest is always the same here.
type Stamp = (Option<String>, Option<String>, String);

#[derive(Clone, Debug)]
struct Request {
    id: u64,
    buildset: u64,
    builder: u64,
    priority: i64,
    since: i64,
    attempts: u32,
    /// None while queued, the build while claimed.
    build: Option<u64>,
    done: Option<Results>,
    stamp: Stamp,
    by_changes: bool,
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
}

#[derive(Clone, Debug)]
struct Master {
    since: i64,
    lease: i64,
}

/// See the [module](self). Ids are places in the lists, from 1.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    plan: Arc<Plan>,
    master: Option<Master>,
    builders: Vec<(String, bool)>,
    workers: Vec<Worker>,
    schedulers: Vec<Scheduler>,
    stamps_of_changes: Vec<Stamp>,
    requests: Vec<Request>,
    builds: Vec<Build>,
    buildsets: u64,
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
    pub(crate) fn decide(&mut self, input: &Input, now: i64, placed: &Placements) -> Result<Vec<Fact>, ()> {
        let mut out = Vec::new();
        self.input(input, now, &mut out)?;
        self.start_what_can(placed, &mut out);
        Ok(out)
    }

    fn input(&mut self, input: &Input, now: i64, out: &mut Vec<Fact>) -> Result<(), ()> {
        match input {
            Input::MasterStart { lease, .. } => {
                self.master = Some(Master {
                    since: now,
                    lease: lease.0,
                });
                for id in 1..=self.workers.len() as u64 {
                    let worker = &mut self.workers[id as usize - 1];
                    if worker.connected {
                        worker.connected = false;
                        worker.gone_at = now;
                    }
                    if worker.instance.is_some() && !worker.resumes {
                        self.lose(id, None, out);
                    }
                }
            }
            Input::MasterStop => self.master = None,
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
                self.buildset(&builders, priority, &stamp, &[], &wish, now, out);
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
                self.buildset(&[builder.0], 0, &stamp, &[], &wish, now, out);
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
                    }) => self.stop(build, out)?,
                    Some(_) => self.complete(request.0, Results::Cancelled, out),
                }
            }
            Input::SetPriority { request, priority } => {
                let queued = self
                    .requests
                    .iter_mut()
                    .find(|other| other.id == request.0 && other.build.is_none() && other.done.is_none());
                queued.ok_or(())?.priority = *priority;
            }
            Input::StopBuild { build, .. } => self.stop(build.0, out)?,
            Input::EnableScheduler { scheduler, enabled } => {
                let found = self.schedulers.get_mut(scheduler.0 as usize - 1);
                found.filter(|scheduler| scheduler.active).ok_or(())?.enabled = *enabled;
            }
            Input::PauseWorker { worker, paused, .. } => self.worker(worker.0)?.paused = *paused,
            Input::StopWorker { worker } => self.worker(worker.0)?.graceful = true,
            Input::WorkerConnected(connected) => {
                let at = self
                    .workers
                    .iter()
                    .position(|worker| worker.name == connected.name && worker.active);
                let at = at.ok_or(())?;
                let worker = &mut self.workers[at];
                worker.connected = true;
                worker.graceful = false;
                worker.instance = Some(connected.connection.instance.clone());
                worker.resumes = connected.connection.resumes;
                self.lose(at as u64 + 1, Some(&connected.connection.instance), out);
            }
            Input::WorkerDisconnected { worker, instance, .. } => {
                let known = self.worker(worker.0)?;
                if known.connected && known.instance.as_ref() == Some(instance) {
                    known.connected = false;
                    known.gone_at = now;
                    if !known.resumes {
                        self.lose(worker.0, None, out);
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
                    out.push(Fact::Lost { build: build.id });
                }
            }
            Input::OpenLog { build, step, .. } => {
                self.running(build.0, step.0)?;
            }
            Input::StepProgress(report) => {
                self.running(report.build.0, report.step.0)?;
            }
            Input::StepEnded { report, outcome } => {
                let build = self.running(report.build.0, report.step.0)?;
                let flags = build.definition.steps[build.step.1].flags;
                let mut part = outcome.results;
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
                self.go_on(report.build.0, out);
            }
            Input::Tick => self.tick(now, out),
        }
        Ok(())
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
            .find(|other| other.id == build && other.step.0 == step)
            .ok_or(())
    }

    fn configure(&mut self, plan: &Arc<Plan>, now: i64) {
        let old = std::mem::replace(&mut self.plan, Arc::clone(plan));
        for name in plan.builders.keys() {
            if !self.builders.iter().any(|(known, _)| known == name) {
                self.builders.push((name.clone(), true));
            }
        }
        for (name, active) in &mut self.builders {
            *active = plan.builders.contains_key(name);
        }
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
                });
            }
        }
        for worker in &mut self.workers {
            worker.active = plan.workers.contains_key(&worker.name);
        }
        for (name, definition) in &plan.schedulers {
            if self.scheduler(name).is_none() {
                self.schedulers.push(Scheduler {
                    name: name.clone(),
                    active: true,
                    enabled: true,
                    timers: Vec::new(),
                    next_fire: None,
                });
            }
            let at = self.scheduler(name).unwrap();
            if let SchedulerKind::Periodic { interval, .. } = &definition.kind {
                let before = match old.schedulers.get(name).map(|old| &old.kind) {
                    Some(SchedulerKind::Periodic { interval, .. }) => *interval,
                    _ => *interval,
                };
                let next = self.schedulers[at]
                    .next_fire
                    .map_or(now, |next| next - before.0 + interval.0);
                self.schedulers[at].next_fire = Some(next);
            }
        }
        for scheduler in &mut self.schedulers {
            scheduler.active = plan.schedulers.contains_key(&scheduler.name);
        }
    }

    fn change(&mut self, change: &NewChange, now: i64, out: &mut Vec<Fact>) {
        let stamp = (
            change.branch.clone(),
            change.revision.clone(),
            change.codebase.clone(),
        );
        self.stamps_of_changes.push(stamp);
        let id = self.stamps_of_changes.len() as u64;
        for at in 0..self.schedulers.len() {
            let scheduler = &self.schedulers[at];
            if !scheduler.active || !scheduler.enabled {
                continue;
            }
            let (filter, tree_stable, key) = match &self.plan.schedulers[&scheduler.name].kind {
                SchedulerKind::SingleBranch { filter, tree_stable } => (filter, *tree_stable, String::new()),
                SchedulerKind::AnyBranch { filter, tree_stable } => {
                    (filter, *tree_stable, format!("{:?}", change.branch))
                }
                _ => continue,
            };
            let Some(important) = heard(filter, change) else {
                continue;
            };
            let timers = &mut self.schedulers[at].timers;
            if !timers.iter().any(|timer| timer.key == key) {
                timers.push(Timer {
                    key: key.clone(),
                    changes: Vec::new(),
                    fire_at: None,
                });
                timers.sort_by(|a, b| a.key.cmp(&b.key));
            }
            let timer = timers.iter_mut().find(|timer| timer.key == key).unwrap();
            timer.changes.push(id);
            if important {
                timer.fire_at = Some(now + tree_stable.map_or(0, |time| time.0));
                if tree_stable.is_none() {
                    self.fire(at, &key, now, out);
                }
            }
        }
    }

    fn fire(&mut self, at: usize, key: &str, now: i64, out: &mut Vec<Fact>) {
        let timers = &mut self.schedulers[at].timers;
        let index = timers.iter().position(|timer| timer.key == key).unwrap();
        let timer = timers.remove(index);
        let definition = self.plan.schedulers[&self.schedulers[at].name].clone();
        let builders = self.ids(&definition.builders);
        let stamp = self.stamps_of_changes[*timer.changes.last().unwrap() as usize - 1].clone();
        self.buildset(
            &builders,
            definition.priority,
            &stamp,
            &timer.changes,
            "",
            now,
            out,
        );
    }

    fn tick(&mut self, now: i64, out: &mut Vec<Fact>) {
        loop {
            // The earliest deadline of all, schedulers before workers.
            let mut first: Option<(i64, bool, usize)> = None;
            let mut consider = |due: (i64, bool, usize)| {
                if due.0 <= now && first.is_none_or(|first| due < first) {
                    first = Some(due);
                }
            };
            for (at, scheduler) in self.schedulers.iter().enumerate() {
                if !scheduler.active || !scheduler.enabled {
                    continue;
                }
                for timer in &scheduler.timers {
                    if let Some(fire_at) = timer.fire_at {
                        consider((fire_at, false, at));
                    }
                }
                if let Some(next) = scheduler.next_fire {
                    consider((next, false, at));
                }
            }
            if let Some(master) = &self.master {
                for (at, worker) in self.workers.iter().enumerate() {
                    let open = self
                        .builds
                        .iter()
                        .any(|build| build.worker == at as u64 + 1 && !build.machine_gone);
                    if worker.instance.is_some() && !worker.connected && open {
                        consider((worker.gone_at.max(master.since) + master.lease, true, at));
                    }
                }
            }
            match first {
                None => return,
                Some((_, true, at)) => self.lose(at as u64 + 1, None, out),
                Some((_, false, at)) => {
                    let due: Vec<String> = self.schedulers[at]
                        .timers
                        .iter()
                        .filter(|timer| timer.fire_at.is_some_and(|at| at <= now))
                        .map(|timer| timer.key.clone())
                        .collect();
                    for key in due {
                        self.fire(at, &key, now, out);
                    }
                    let definition = self.plan.schedulers[&self.schedulers[at].name].clone();
                    if let SchedulerKind::Periodic { interval, source } = &definition.kind
                        && self.schedulers[at].next_fire.is_some_and(|next| next <= now)
                    {
                        self.schedulers[at].next_fire = Some(now + interval.0);
                        let builders = self.ids(&definition.builders);
                        let stamp = (source.branch.clone(), None, String::new());
                        self.buildset(&builders, definition.priority, &stamp, &[], "", now, out);
                    }
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "plain is better than clever here")]
    fn buildset(
        &mut self,
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
                since: now,
                attempts: 0,
                build: None,
                done: None,
                stamp: stamp.clone(),
                by_changes: !changes.is_empty(),
                wish: wish.into(),
            };
            let name = &self.builders[*builder as usize - 1].0;
            let mut merged = Vec::new();
            if self.plan.builders[name].collapse == CollapseRule::SameBranch {
                for old in &self.requests {
                    let same = old.builder == *builder
                        && old.build.is_none()
                        && old.done.is_none()
                        && old.stamp.0 == new.stamp.0
                        && old.stamp.2 == new.stamp.2
                        && ((old.by_changes && new.by_changes) || old.stamp.1 == new.stamp.1)
                        && old.wish == new.wish;
                    if same {
                        new.priority = new.priority.max(old.priority);
                        new.since = new.since.min(old.since);
                        merged.push(old.id);
                    }
                }
            }
            out.push(Fact::Queued {
                request: new.id,
                builder: *builder,
                priority: new.priority,
                since: new.since,
                changes: changes.to_vec(),
            });
            self.requests.push(new);
            for old in merged {
                self.complete(old, Results::Skipped, out);
            }
        }
    }

    fn complete(&mut self, id: u64, results: Results, out: &mut Vec<Fact>) {
        let request = self.requests.iter_mut().find(|request| request.id == id).unwrap();
        request.done = Some(results);
        out.push(Fact::Completed { request: id, results });
        let buildset = request.buildset;
        let mut worst = Results::Skipped;
        for other in self.requests.iter().filter(|other| other.buildset == buildset) {
            let Some(results) = other.done else { return };
            worst = worse(worst, results);
        }
        out.push(Fact::BuildsetDone {
            buildset,
            results: worst,
        });
        self.requests.retain(|other| other.buildset != buildset);
    }

    fn stop(&mut self, build: u64, out: &mut Vec<Fact>) -> Result<(), ()> {
        let build = self.builds.iter_mut().find(|other| other.id == build).ok_or(())?;
        if !build.stopped {
            build.stopped = true;
            out.push(Fact::Stopped { build: build.id });
        }
        Ok(())
    }

    fn lose(&mut self, worker: u64, surviving: Option<&str>, out: &mut Vec<Fact>) {
        let mut lost: Vec<&mut Build> = self
            .builds
            .iter_mut()
            .filter(|build| {
                build.worker == worker && !build.machine_gone && surviving != Some(&build.instance)
            })
            .collect();
        lost.sort_by_key(|build| build.slot);
        for build in lost {
            build.machine_gone = true;
            out.push(Fact::Lost { build: build.id });
        }
    }

    /// The next step of a build, or its end.
    fn go_on(&mut self, id: u64, out: &mut Vec<Fact>) {
        let at = self.builds.iter().position(|build| build.id == id).unwrap();
        let build = &mut self.builds[at];
        let mut next = build.next_index;
        while next < build.definition.steps.len()
            && (build.halted || build.stopped)
            && !build.definition.steps[next].flags.always_run
        {
            next += 1;
        }
        let left = next < build.definition.steps.len();
        if left && !build.machine_gone {
            self.last_step += 1;
            build.step = (self.last_step, next);
            build.next_index = next + 1;
            out.push(Fact::Step {
                build: id,
                definition: next,
            });
            return;
        }
        let build = self.builds.remove(at);
        let mut results = build.overall;
        if left {
            results = worse(results, Results::Retry);
        }
        if build.stopped {
            results = Results::Cancelled;
        }
        let again = results == Results::Retry && build.attempt < build.definition.attempts_max;
        if results == Results::Retry && !again {
            results = Results::Exception;
        }
        out.push(Fact::Ended { build: id, results });
        if again {
            let request = self
                .requests
                .iter_mut()
                .find(|request| request.id == build.request);
            request.unwrap().build = None;
            out.push(Fact::Requeued {
                request: build.request,
            });
        } else {
            self.complete(build.request, results, out);
        }
    }

    /// Whether a worker takes anything at all now.
    fn has_room(&self, worker: u64) -> bool {
        self.workers.get(worker as usize - 1).is_some_and(|known| {
            let slots = self
                .plan
                .workers
                .get(&known.name)
                .map_or(0, |definition| definition.slots as usize);
            known.connected
                && !known.paused
                && !known.graceful
                && self.builds.iter().filter(|build| build.worker == worker).count() < slots
        })
    }

    fn would_do(&self, worker: u64, builder: u64) -> bool {
        let known = &self.workers[worker as usize - 1];
        let name = &self.builders[builder as usize - 1].0;
        let (Some(definition), Some(builder)) =
            (self.plan.workers.get(&known.name), self.plan.builders.get(name))
        else {
            return false;
        };
        builder.workers.iter().any(|selector| match selector {
            WorkerSelector::Name(name) => *name == known.name,
            WorkerSelector::Label(label) => definition.labels.contains(label),
        })
    }

    fn start_what_can(&mut self, placed: &Placements, out: &mut Vec<Fact>) {
        while self.master.is_some() {
            let free: Vec<u64> = (1..=self.workers.len() as u64)
                .filter(|id| self.has_room(*id))
                .collect();
            if free.is_empty() {
                return;
            }
            let first = self
                .requests
                .iter()
                .filter(|request| request.build.is_none() && request.done.is_none())
                .filter(|request| {
                    let (name, active) = &self.builders[request.builder as usize - 1];
                    let running = self
                        .builds
                        .iter()
                        .filter(|build| build.builder == request.builder)
                        .count();
                    *active
                        && self.plan.builders[name]
                            .builds_max
                            .is_none_or(|max| running < max as usize)
                        && free.iter().any(|worker| self.would_do(*worker, request.builder))
                })
                .min_by_key(|request| (-request.priority, request.since, request.id));
            let Some(request) = first.map(|request| request.id) else {
                return;
            };
            self.last_build += 1;
            let id = self.last_build;
            let at = self
                .requests
                .iter()
                .position(|other| other.id == request)
                .unwrap();
            self.requests[at].attempts += 1;
            self.requests[at].build = Some(id);
            let request = self.requests[at].clone();
            out.push(Fact::Started {
                build: id,
                request: request.id,
                attempt: request.attempts,
            });
            // Not started: the comparison will say so.
            let Some((worker, slot)) = placed.get(&id).copied() else {
                return;
            };
            let name = &self.builders[request.builder as usize - 1].0;
            let slots = self
                .workers
                .get(worker as usize - 1)
                .and_then(|worker| self.plan.workers.get(&worker.name))
                .map_or(0, |definition| definition.slots);
            let taken = self
                .builds
                .iter()
                .any(|build| build.worker == worker && build.slot == slot);
            if !free.contains(&worker) || !self.would_do(worker, request.builder) || taken || slot >= slots {
                out.push(Fact::BadPlacement {
                    build: id,
                    worker,
                    slot,
                });
                return;
            }
            self.builds.push(Build {
                id,
                request: request.id,
                builder: request.builder,
                attempt: request.attempts,
                definition: Arc::new(self.plan.builders[name].clone()),
                worker,
                slot,
                instance: self.workers[worker as usize - 1].instance.clone().unwrap(),
                step: (0, 0),
                next_index: 0,
                overall: Results::Success,
                halted: false,
                machine_gone: false,
                stopped: false,
            });
            self.go_on(id, out);
        }
    }
}

/// Whether a scheduler hears a change, and whether it is important; only the patterns that the plans here use.
fn heard(filter: &ChangeFilter, change: &NewChange) -> Option<bool> {
    let branch = change.branch.as_deref();
    let passes = filter.branches.is_empty()
        || filter
            .branches
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(start) => branch.is_some_and(|branch| branch.starts_with(start)),
                None => branch == Some(pattern),
            });
    let unimportant = !filter.unimportant_files.is_empty()
        && !change.files.is_empty()
        && change.files.iter().all(|file| file.starts_with("docs/"));
    passes.then_some(!unimportant)
}
