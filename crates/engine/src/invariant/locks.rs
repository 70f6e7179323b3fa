//! Locks: never more holders than there is room for, held to the end of the holder and no longer, and no code of a step runs
//! before it has its locks. Checked where the plans are at hand.

use ironmaster_model::{BuildId, LockAccess, LockScope, LockUse, StepId, WorkerId};

use super::{Checker, HeldLock};

/// Who holds a lock: a build, or (true) its step.
type Holder = (BuildId, bool);

/// A lock's name, the worker if it is one of a worker, how much of it, whether it is kept while others are waited for.
type Use = (String, Option<WorkerId>, LockAccess, bool);

impl Checker {
    /// The uses of a builder or step in the plan that its build runs under; with the worker, if that is the lock's scope.
    fn uses(&self, id: BuildId, step: Option<u32>) -> Vec<Use> {
        let found = self.builds.get(&id).and_then(|build| {
            let plan = self.plans.get(&build.config)?;
            let definition = plan.builders.get(&self.builders.get(&build.builder)?.name)?;
            let uses: &[LockUse] = match step {
                None => &definition.locks,
                Some(step) => &definition.steps.get(step as usize)?.locks,
            };
            let locks = uses.iter().filter_map(|used| {
                let scope = plan.locks.get(&used.name)?.scope;
                let worker = (scope == LockScope::Worker).then_some(build.worker);
                Some((used.name.clone(), worker, used.access, used.keep))
            });
            Some(locks.collect())
        });
        found.unwrap_or_default()
    }

    pub(super) fn build_takes_locks(&mut self, id: BuildId) {
        let uses = self.uses(id, None);
        self.take_locks((id, false), uses);
    }

    /// A step that begins with locks has to wait for them, be it for no time.
    pub(super) fn step_waits(&mut self, id: BuildId, definition: u32, acquired: bool) {
        let uses = self.uses(id, Some(definition));
        if acquired && !uses.is_empty() {
            self.violate(
                "a step runs when it has its locks",
                format!("a step of build {id} began without {uses:?}"),
            );
        }
    }

    pub(super) fn step_locks_acquired(&mut self, id: BuildId, step: StepId) {
        let definition = match self.builds.get_mut(&id).and_then(|build| build.step.as_mut()) {
            Some(running) if running.id == step => {
                let again = std::mem::replace(&mut running.runs, true);
                let definition = running.definition;
                if again {
                    self.violate("locks are acquired once", format!("step {step} of build {id}"));
                }
                definition
            }
            _ => {
                self.unknown(format!("the locks of step {step} of build {id}"));
                return;
            }
        };
        let mut uses = self.uses(id, Some(definition));
        // What the build holds itself is not taken again.
        let own = self.uses(id, None);
        uses.retain(|(name, worker, ..)| !own.iter().any(|(held, on, ..)| held == name && on == worker));
        self.take_locks((id, true), uses);
    }

    /// A build waits for others: it holds only what it is told to keep.
    pub(super) fn give_up_locks(&mut self, id: BuildId) {
        for (holder, uses) in self.all_uses(id) {
            for (name, worker, _, keep) in uses {
                if let Some(lock) = self.locks.get_mut(&(name, worker)).filter(|_| !keep) {
                    lock.remove(&holder);
                }
            }
        }
        self.locks.retain(|_, lock| !lock.is_empty());
    }

    /// A build that has waited for others goes on.
    pub(super) fn take_locks_again(&mut self, id: BuildId) {
        for (holder, mut uses) in self.all_uses(id) {
            uses.retain(|(.., keep)| !keep);
            self.take_locks(holder, uses);
        }
    }

    /// What a build uses for itself, and for its running step.
    fn all_uses(&self, id: BuildId) -> [(Holder, Vec<Use>); 2] {
        let step = self.builds.get(&id).and_then(|build| build.step.as_ref());
        let own = self.uses(id, None);
        let mut of_step = step.map_or_else(Vec::new, |step| self.uses(id, Some(step.definition)));
        of_step.retain(|(name, worker, ..)| !own.iter().any(|(held, on, ..)| held == name && on == worker));
        [((id, false), own), ((id, true), of_step)]
    }

    fn take_locks(&mut self, holder: Holder, uses: Vec<Use>) {
        for (name, worker, access, _) in uses {
            let scope = worker.map_or(LockScope::Master, |_| LockScope::Worker);
            let max = self
                .plan
                .as_ref()
                .and_then(|plan| plan.locks.get(&name))
                .filter(|lock| lock.scope == scope)
                .map_or(1, |lock| {
                    let name = worker
                        .and_then(|worker| self.workers.get(&worker))
                        .map(|worker| &worker.name);
                    lock.count_on(name.map_or("", String::as_str))
                });
            let lock: &mut HeldLock = self.locks.entry((name.clone(), worker)).or_default();
            let taken: u64 = lock
                .values()
                .map(|held| match held {
                    LockAccess::Counting(count) => u64::from(*count),
                    LockAccess::Exclusive => u64::from(max),
                })
                .sum();
            let exclusive = lock.values().any(|held| *held == LockAccess::Exclusive);
            let fits = lock.is_empty()
                || match access {
                    LockAccess::Exclusive => false,
                    LockAccess::Counting(count) => !exclusive && taken + u64::from(count) <= max.into(),
                };
            lock.insert(holder, access);
            if !fits {
                let what = format!(
                    "build {} took {access:?} of lock \"{name}\" on {worker:?}",
                    holder.0
                );
                self.violate("a lock never has more holders than it allows", what);
            }
        }
    }

    /// The holder is over.
    pub(super) fn release_locks(&mut self, holder: Holder) {
        self.locks.retain(|_, lock| {
            lock.remove(&holder);
            !lock.is_empty()
        });
    }
}
