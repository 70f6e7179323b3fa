//! Builds: where they start, how they go on, how they and their requests end.

use std::sync::Arc;

use ironmaster_model::{JobState, Results, WorkerSelector};

use super::{Build, Fact, Model, Placements, Questions, Request, Worker, locks, worse};

impl Model {
    pub(super) fn complete(&mut self, id: u64, results: Results, out: &mut Vec<Fact>) {
        let request = self.requests.iter().find(|request| request.id == id).unwrap();
        if request.build.is_none() {
            self.listen(request.builder);
        }
        self.cases.remove(&id);
        let request = self.requests.iter_mut().find(|request| request.id == id).unwrap();
        request.done = Some(results);
        out.push(Fact::Completed { request: id, results });
        let buildset = request.buildset;
        let over = request.clone();
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
        self.child_is_over(buildset);
        self.completed.push((over, worst));
    }

    pub(super) fn stop(&mut self, id: u64, now: i64, out: &mut Vec<Fact>) -> Result<(), ()> {
        let build = self.builds.iter_mut().find(|other| other.id == id).ok_or(())?;
        if !build.stopped {
            build.stopped = true;
            out.push(Fact::Stopped { build: id });
            let wait = build.wait.clone();
            self.cancel_children(wait.as_ref(), now, out);
        }
        self.give_up_waiting(id, now, out);
        Ok(())
    }

    pub(super) fn lose(&mut self, worker: u64, surviving: Option<&str>, now: i64, out: &mut Vec<Fact>) {
        let mut lost: Vec<&mut Build> = self
            .builds
            .iter_mut()
            .filter(|build| {
                build.worker == worker && !build.machine_gone && surviving != Some(&build.instance)
            })
            .collect();
        lost.sort_by_key(|build| build.slot);
        let lost: Vec<u64> = lost
            .into_iter()
            .map(|build| {
                build.machine_gone = true;
                build.id
            })
            .collect();
        for build in lost {
            out.push(Fact::Lost { build });
            self.give_up_waiting(build, now, out);
        }
    }

    /// The next step of a build, or its end.
    pub(super) fn go_on(&mut self, id: u64, now: i64, out: &mut Vec<Fact>) {
        let at = self.builds.iter().position(|build| build.id == id).unwrap();
        let build = &mut self.builds[at];
        build.step_locks.clear();
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
            self.wait_for_locks(at, now);
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
        self.listen_all_of(build.worker);
        self.cancel_children(build.wait.as_ref(), now, out);
        if again {
            let request = self
                .requests
                .iter_mut()
                .find(|request| request.id == build.request)
                .unwrap();
            request.build = None;
            let buildset = request.buildset;
            self.listen(build.builder);
            self.open_case(build.request);
            out.push(Fact::Requeued {
                request: build.request,
            });
            self.job_build(buildset, JobState::Queued, now, out);
        } else {
            if let Some(got) = build.got {
                let request = self
                    .requests
                    .iter_mut()
                    .find(|request| request.id == build.request);
                request.unwrap().stamp.1.get_or_insert(got);
            }
            self.complete(build.request, results, out);
        }
    }

    /// How much the builder's project has running, in twelfths of its share.
    fn load(&self, builder: u64) -> usize {
        let project = |builder: u64| &self.projects_of[&self.builders[builder as usize - 1].0];
        let own = project(builder);
        let share = own
            .as_ref()
            .and_then(|name| self.plan.projects.get(name))
            .map_or(1, |project| project.share as usize);
        self.count(|build| project(build.builder) == own) * 12 / share
    }

    /// Whether a worker takes anything at all now.
    pub(super) fn has_room(&self, worker: u64) -> bool {
        self.workers.get(worker as usize - 1).is_some_and(|known| {
            let slots = self
                .plan
                .workers
                .get(&known.name)
                .map_or(0, |definition| definition.slots as usize);
            known.takes_builds() && self.count(|build| build.worker == worker) + self.kept(worker) < slots
        })
    }

    pub(super) fn would_do(&self, worker: u64, builder: u64) -> bool {
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
            WorkerSelector::Labels { all, not } => {
                all.iter().all(|label| definition.labels.contains(label))
                    && not.iter().all(|label| !definition.labels.contains(label))
            }
        })
    }

    /// Workers that take something.
    pub(super) fn free(&self) -> Vec<u64> {
        (1..=self.workers.len() as u64)
            .filter(|id| self.has_room(*id))
            .collect()
    }

    pub(super) fn start_what_can(
        &mut self,
        now: i64,
        placed: &Placements,
        questions: &Questions,
        out: &mut Vec<Fact>,
    ) {
        loop {
            self.follow(now, out);
            if self.master.is_none() {
                return;
            }
            if self.resume_one(out) {
                continue;
            }
            let free = self.free();
            let lines = self.lines(&free);
            if let Some(at) = self.next_step_with_locks(&lines) {
                self.builds[at].lock_place = None;
                out.push(Fact::Acquired {
                    build: self.builds[at].id,
                });
                continue;
            }
            if self.master.as_ref().is_some_and(|master| master.draining) {
                return;
            }
            if free.is_empty() {
                return;
            }
            let first = self
                .startable(&free)
                .into_iter()
                .filter(|request| free.iter().any(|worker| self.locks_let(request, *worker, &lines)))
                .min_by_key(|request| {
                    let load = self.load(request.builder);
                    (-request.priority, load, request.since, request.id)
                });
            let Some(request) = first.cloned() else {
                return;
            };
            if self.asks(request.builder) {
                // Not asked: the comparison will say so.
                let Some((number, worker)) = questions.get(&request.builder).copied() else {
                    out.push(Fact::NotAsked {
                        builder: request.builder,
                    });
                    return;
                };
                if !free.contains(&worker) || !self.locks_let(&request, worker, &lines) {
                    out.push(Fact::NotAsked {
                        builder: request.builder,
                    });
                }
                self.ask(request.builder, number, worker);
                continue;
            }
            if !self.start(request.id, None, now, placed, out) {
                return;
            }
        }
    }

    /// Starts a request, on this worker if it was chosen; whether it was done as it should be.
    pub(super) fn start(
        &mut self,
        request: u64,
        chosen: Option<u64>,
        now: i64,
        placed: &Placements,
        out: &mut Vec<Fact>,
    ) -> bool {
        let free = self.free();
        let lines = self.lines(&free);
        self.last_build += 1;
        let id = self.last_build;
        let at = self
            .requests
            .iter()
            .position(|other| other.id == request)
            .unwrap();
        let as_queued = self.requests[at].clone();
        self.requests[at].attempts += 1;
        self.requests[at].build = Some(id);
        let request = self.requests[at].clone();
        self.listen(request.builder);
        self.cases.remove(&request.id);
        out.push(Fact::Started {
            build: id,
            request: request.id,
            attempt: request.attempts,
        });
        self.job_build(request.buildset, JobState::Running, now, out);
        // Not started: the comparison will say so.
        let Some((worker, slot)) = placed.get(&id).copied() else {
            return false;
        };
        let name = &self.builders[request.builder as usize - 1].0;
        let slots = self
            .workers
            .get(worker as usize - 1)
            .and_then(|worker| self.plan.workers.get(&worker.name))
            .map_or(0, |definition| definition.slots);
        // Those that wait keep their directories.
        let waiting = self
            .builds
            .iter()
            .filter(|build| build.worker == worker && build.wait.is_some());
        let slots = slots + waiting.count() as u32;
        let taken = self
            .builds
            .iter()
            .any(|build| build.worker == worker && build.slot == slot);
        let fits = match chosen {
            // It was the turn of its builder.
            Some(chosen) => worker == chosen,
            None => self.locks_let(&as_queued, worker, &lines),
        };
        if !free.contains(&worker) || !fits || taken || slot >= slots {
            out.push(Fact::BadPlacement {
                build: id,
                worker,
                slot,
            });
            return false;
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
            got: None,
            wait: None,
            locks: locks::uses(&self.plan, &self.plan.builders[name].locks, worker),
            plan: Arc::clone(&self.plan),
            step_locks: Vec::new(),
            lock_place: None,
        });
        self.go_on(id, now, out);
        true
    }

    /// Requests that wait for nothing but locks, and for those only if they do.
    pub(super) fn startable(&self, free: &[u64]) -> Vec<&Request> {
        self.requests
            .iter()
            .filter(|request| request.build.is_none() && request.done.is_none())
            .filter(|request| {
                let (name, active) = &self.builders[request.builder as usize - 1];
                let running = self.count(|build| build.builder == request.builder);
                *active
                    && !self.is_withheld(request.builder)
                    && self.plan.builders[name]
                        .builds_max
                        .is_none_or(|max| running < max as usize)
                    && free.iter().any(|worker| self.would_do(*worker, request.builder))
            })
            .collect()
    }
}

impl Worker {
    /// Whether it takes builds, if it has room.
    pub(super) fn takes_builds(&self) -> bool {
        self.connected && !self.paused && !self.graceful && !self.down
    }
}
