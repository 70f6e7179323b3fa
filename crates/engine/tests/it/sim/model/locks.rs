//! Locks: who holds what is counted anew each time, and every line is all who wait, looked through from the start.

use ironmaster_model::{LockAccess, LockScope, LockUse, Plan, Results};

use super::{Build, Fact, Model, Request, worse};

/// Name of a lock, the worker if it is one of a worker, how much.
pub(super) type Use = (String, Option<u64>, LockAccess);

/// Priority (negated), since when, request.
pub(super) type Place = (i64, i64, u64);

pub(super) fn uses(plan: &Plan, uses: &[LockUse], worker: u64) -> Vec<Use> {
    let of_worker = |scope| (scope == LockScope::Worker).then_some(worker);
    uses.iter()
        .filter_map(|used| {
            let lock = plan.locks.get(&used.name)?;
            Some((used.name.clone(), of_worker(lock.scope), used.access))
        })
        .collect()
}

impl Model {
    /// The step that was just begun waits for its locks, if it has some.
    pub(super) fn wait_for_locks(&mut self, at: usize, now: i64) {
        let build = &self.builds[at];
        let locks = &build.definition.steps[build.step.1].locks;
        if locks.is_empty() {
            return;
        }
        let request = self
            .requests
            .iter()
            .find(|request| request.id == build.request)
            .unwrap();
        let place = (-request.priority, now, request.id);
        let mut wanted = uses(&build.plan, locks, build.worker);
        wanted.retain(|(name, worker, _)| {
            !build
                .locks
                .iter()
                .any(|(held, on, _)| held == name && on == worker)
        });
        let build = &mut self.builds[at];
        build.step_locks = wanted;
        build.lock_place = Some(place);
    }

    /// A build that is to end does not wait any more.
    pub(super) fn give_up_waiting(&mut self, id: u64, now: i64, out: &mut Vec<Fact>) {
        let Some(build) = self
            .builds
            .iter_mut()
            .find(|build| build.id == id && build.lock_place.is_some())
        else {
            return;
        };
        let part = if build.machine_gone {
            Results::Retry
        } else {
            Results::Cancelled
        };
        build.lock_place = None;
        build.halted = true;
        build.overall = worse(build.overall, part);
        self.go_on(id, now, out);
    }

    /// Whether a build that has waited for others can have its locks again.
    pub(super) fn can_take_again(&self, build: &Build) -> bool {
        build
            .locks
            .iter()
            .chain(&build.step_locks)
            .all(|lock| self.fits(lock))
    }

    fn held(&self, name: &str, worker: Option<u64>) -> Vec<LockAccess> {
        self.builds
            .iter()
            .flat_map(|build| {
                let of_step = build.step_locks.iter().filter(|_| build.lock_place.is_none());
                // Who waits for others has given its locks up.
                build.locks.iter().chain(of_step).filter(|_| build.wait.is_none())
            })
            .chain(self.asked.iter().flat_map(|asked| &asked.locks))
            .filter(|(held, on, _)| held == name && *on == worker)
            .map(|(.., access)| *access)
            .collect()
    }

    fn fits(&self, (name, worker, access): &Use) -> bool {
        let held = self.held(name, *worker);
        let scope = worker.map_or(LockScope::Master, |_| LockScope::Worker);
        let max = match self.plan.locks.get(name) {
            Some(lock) if lock.scope == scope => {
                lock.count_on(worker.map_or("", |id| &self.workers[id as usize - 1].name))
            }
            _ => 1,
        };
        let mut taken = 0;
        for other in &held {
            match other {
                LockAccess::Exclusive => return false,
                LockAccess::Counting(count) => taken += count,
            }
        }
        match access {
            _ if held.is_empty() => true,
            LockAccess::Exclusive => false,
            LockAccess::Counting(count) => taken + count <= max,
        }
    }

    /// Whether builders use the lock, now or still.
    fn is_of_builders(&self, name: &str) -> bool {
        self.plan.locks.contains_key(name)
            && self
                .plan
                .builders
                .values()
                .any(|builder| builder.locks.iter().any(|used| used.name == name))
            || self
                .builds
                .iter()
                .any(|build| build.wait.is_none() && build.locks.iter().any(|(held, ..)| held == name))
    }

    /// Everybody who waits.
    pub(super) fn lines(&self, free: &[u64]) -> Lines {
        let steps = self.builds.iter().enumerate().filter_map(|(at, build)| {
            let mixed = build
                .step_locks
                .iter()
                .any(|(name, ..)| self.is_of_builders(name));
            Some(Waiting {
                at,
                place: build.lock_place?,
                wanted: build.step_locks.clone(),
                mixed,
                nested: mixed && !build.locks.is_empty(),
            })
        });
        let requests = self.startable(free).into_iter().map(|request| {
            let name = &self.builders[request.builder as usize - 1].0;
            let locks = &self.plan.builders[name].locks;
            let wanted = free
                .iter()
                .filter(|worker| self.would_do(**worker, request.builder))
                .flat_map(|worker| uses(&self.plan, locks, *worker));
            let place = (-request.priority, request.since, request.id);
            (place, wanted.collect())
        });
        Lines {
            steps: steps.collect(),
            requests: requests.collect(),
        }
    }

    /// The step that gets its locks next.
    pub(super) fn next_step_with_locks(&self, lines: &Lines) -> Option<usize> {
        lines
            .steps
            .iter()
            .filter(|step| {
                step.wanted.iter().all(|wanted| {
                    let behind_step = lines
                        .steps_for(wanted)
                        .any(|other| other.place < step.place && (step.mixed || !other.mixed));
                    self.fits(wanted)
                        && (step.nested || !behind_step && !lines.is_request_before(wanted, step.place))
                })
            })
            .min_by_key(|step| (!step.nested, step.place))
            .map(|step| step.at)
    }

    /// Whether a request may start on a worker, as far as locks go.
    pub(super) fn locks_let(&self, request: &Request, worker: u64, lines: &Lines) -> bool {
        let place = (-request.priority, request.since, request.id);
        let name = &self.builders[request.builder as usize - 1].0;
        self.would_do(worker, request.builder)
            && uses(&self.plan, &self.plan.builders[name].locks, worker)
                .iter()
                .all(|wanted| {
                    self.fits(wanted)
                        && !lines.steps_for(wanted).any(|other| other.place < place)
                        && !lines.is_request_before(wanted, place)
                })
    }
}

/// Everybody who waits for locks.
pub(super) struct Lines {
    steps: Vec<Waiting>,
    /// Requests that wait for nothing else, with what they need on any worker that is free.
    requests: Vec<(Place, Vec<Use>)>,
}

/// A step that waits.
struct Waiting {
    at: usize,
    place: Place,
    wanted: Vec<Use>,
    mixed: bool,
    nested: bool,
}

fn same(a: &Use, b: &Use) -> bool {
    a.0 == b.0 && a.1 == b.1
}

impl Lines {
    fn steps_for<'a>(&'a self, wanted: &'a Use) -> impl Iterator<Item = &'a Waiting> {
        self.steps
            .iter()
            .filter(|step| !step.nested && step.wanted.iter().any(|other| same(other, wanted)))
    }

    fn is_request_before(&self, wanted: &Use, place: Place) -> bool {
        self.requests
            .iter()
            .any(|(other, locks)| *other < place && locks.iter().any(|other| same(other, wanted)))
    }
}
