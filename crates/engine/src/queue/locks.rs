//! Locks: who holds them, and which steps stand in line for them.
//!
//! A lock of a worker is as many locks as there are workers. Its line is in order of [`Place`]; that of a step has the priority
//! of its request, and counts from the start of the step. Requests stand in the same lines; `groups` knows them.
//!
//! Whoever stands in line lets nobody behind pass, whatever the lock has left: so a wish for all of it is not put off
//! by many small ones. That alone could be a deadlock: a step waits behind somebody who waits for what the step's own build holds.
//! Three rules prevent it. A lock is *mixed* if builders use it, and steps too.
//!
//! 1. A step that needs a mixed lock, and whose build holds locks, stands in no line (it is *nested*): it takes its locks as soon as
//!    they are free.
//! 2. A step without mixed locks waits only behind steps that need no mixed lock either. What those wait for is held by steps
//!    that run, and they end by themselves.
//! 3. A request, and a step with a mixed lock whose build holds nothing, waits behind everybody: nobody can be waiting for it to let
//!    go of something.
//!
//! So a step is passed at times only if it needs a mixed lock and another one together.
//! What is left are deadlocks of the configuration itself: builder lock A with step lock B against B with A.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ironmaster_model::{BuildId, BuildRequestId, LockAccess, LockScope, WorkerId};

use super::Place;
use crate::planted::{Bug, planted};

/// One lock: its name, and the worker if it is one of a worker.
pub(crate) type LockKey = (Arc<str>, Option<WorkerId>);

/// What a builder needs of a lock.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Need {
    pub(crate) name: Arc<str>,
    pub(crate) scope: LockScope,
    pub(crate) access: LockAccess,
}

impl Need {
    /// The lock that it means on a worker.
    pub(crate) fn key(&self, worker: WorkerId) -> LockKey {
        let worker = (self.scope == LockScope::Worker).then_some(worker);
        (Arc::clone(&self.name), worker)
    }
}

/// Locks with how much of each.
pub(crate) type Uses = Vec<(LockKey, LockAccess)>;

/// How many may hold a lock.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Limit {
    pub(crate) max: u32,
    pub(crate) by_worker: BTreeMap<WorkerId, u32>,
}

/// A place in line for a lock.
type Waiter = (Place, BuildId);

/// False for nested steps.
type InLine = bool;

/// A lock that somebody holds or waits for.
#[derive(Clone, Debug, Default, PartialEq)]
struct Instance {
    counting: u64,
    exclusive: usize,
    holders: BTreeMap<BuildId, LockAccess>,
    /// Steps in line.
    line: BTreeSet<Waiter>,
    /// Those of them that need no mixed lock.
    simple: BTreeSet<Waiter>,
    /// Nested steps.
    nested: BTreeSet<Waiter>,
}

/// A step that waits.
#[derive(Clone, Debug, PartialEq)]
struct Wait {
    place: Place,
    uses: Uses,
    nested: bool,
    simple: bool,
}

/// Why something does not get its locks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Obstacle {
    /// Too much of it is taken.
    Held(LockKey),
    /// This step's build goes first.
    BehindStep(LockKey, BuildId),
    /// This request goes first.
    BehindRequest(LockKey, BuildRequestId),
}

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub(crate) struct Locks {
    limits: BTreeMap<(Arc<str>, LockScope), Limit>,
    instances: BTreeMap<LockKey, Instance>,
    /// What a build holds for itself.
    builds: BTreeMap<BuildId, Uses>,
    /// What its running step holds.
    steps: BTreeMap<BuildId, Uses>,
    waits: BTreeMap<BuildId, Wait>,
    /// What builds have given up, for themselves and for their step, while they wait for others.
    given_up: BTreeMap<BuildId, (Uses, Uses)>,
    /// How many builders of the configuration, and builds, use a lock as a builder's.
    of_builders: BTreeMap<Arc<str>, usize>,
    /// Workers at whose lock of that name a step stands in line.
    waiting_on: BTreeMap<Arc<str>, BTreeSet<WorkerId>>,
    /// Steps whose locks may have become free since they were last looked at; nested ones first.
    fresh: BTreeSet<(InLine, Waiter)>,
}

impl Locks {
    /// The locks of the configuration.
    pub(crate) fn set_limits(&mut self, limits: BTreeMap<(Arc<str>, LockScope), Limit>) {
        self.limits = limits;
    }

    /// Builders of the configuration that use locks have changed.
    pub(super) fn set_builder_uses<'a>(&mut self, needs: impl Iterator<Item = &'a Need>) {
        self.of_builders.clear();
        for need in needs {
            *self.of_builders.entry(Arc::clone(&need.name)).or_default() += 1;
        }
        for uses in self.builds.values() {
            for ((name, _), _) in uses {
                *self.of_builders.entry(Arc::clone(name)).or_default() += 1;
            }
        }
        self.classify_all();
    }

    fn max(&self, key: &LockKey) -> u64 {
        let scope = key.1.map_or(LockScope::Master, |_| LockScope::Worker);
        let limit = self.limits.get(&(Arc::clone(&key.0), scope));
        // What the configuration does not know any more is used by builds that are older, one at a time.
        let max = limit.map_or(1, |limit| {
            key.1
                .and_then(|worker| limit.by_worker.get(&worker).copied())
                .unwrap_or(limit.max)
        });
        max.into()
    }

    /// Whether enough of a lock is free. More than there is of it fits if nobody else has any.
    pub(super) fn fits(&self, key: &LockKey, access: LockAccess) -> bool {
        let Some(lock) = self.instances.get(key) else {
            return true;
        };
        if lock.holders.is_empty() || planted(Bug::LockCountIgnored) {
            return true;
        }
        match access {
            LockAccess::Exclusive => false,
            LockAccess::Counting(count) => {
                lock.exclusive == 0 && lock.counting + u64::from(count) <= self.max(key)
            }
        }
    }

    /// The first step in line for a lock.
    pub(super) fn first_in_line(&self, key: &LockKey) -> Option<Waiter> {
        if planted(Bug::LockLineIgnored) {
            return None;
        }
        self.instances.get(key)?.line.first().copied()
    }

    /// Who holds a lock.
    pub(crate) fn holders(&self, key: &LockKey) -> impl Iterator<Item = BuildId> + '_ {
        self.instances
            .get(key)
            .into_iter()
            .flat_map(|lock| lock.holders.keys().copied())
    }

    /// How much of a lock there is, and how much of it is taken (all of it, if exclusively).
    pub(crate) fn count(&self, key: &LockKey) -> (u64, u64) {
        let max = self.max(key);
        let taken = self
            .instances
            .get(key)
            .map_or(0, |lock| if lock.exclusive > 0 { max } else { lock.counting });
        (taken, max)
    }

    /// A build has started and holds these. Says whether a lock has become mixed by it, which moves others.
    pub(super) fn take_for_build(&mut self, build: BuildId, uses: Uses) -> bool {
        let mut mixed = false;
        for ((name, _), _) in &uses {
            let count = self.of_builders.entry(Arc::clone(name)).or_default();
            *count += 1;
            mixed |= *count == 1;
        }
        if !uses.is_empty() {
            self.take(build, &uses);
            let own = self.builds.entry(build).or_default();
            own.extend(uses);
            own.sort_unstable();
        }
        mixed
    }

    /// Somebody holds these for a build that is not there yet.
    pub(super) fn hold(&mut self, stand_in: BuildId, uses: &Uses) {
        self.take(stand_in, uses);
    }

    /// Nobody holds these any more for a build that was not there.
    pub(super) fn let_go(&mut self, stand_in: BuildId, uses: &Uses) {
        self.release(stand_in, uses);
    }

    /// A build gives up its own locks. Says which they were, and whether one of them is not mixed any more.
    pub(super) fn release_build(&mut self, build: BuildId) -> (Uses, bool) {
        let uses = self.builds.remove(&build).unwrap_or_default();
        let mixed = self.release_own(build, &uses);
        (uses, mixed)
    }

    fn release_own(&mut self, build: BuildId, uses: &Uses) -> bool {
        self.release(build, uses);
        let mut mixed = false;
        for ((name, _), _) in uses {
            let count = self.of_builders.entry(Arc::clone(name)).or_default();
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.of_builders.remove(name);
                mixed = true;
            }
        }
        mixed
    }

    /// A build waits for others, and gives up its locks and those of its step but these. Says which they were, and whether
    /// one of them is not mixed any more.
    pub(super) fn give_up(&mut self, build: BuildId, kept: &[Arc<str>]) -> (Uses, bool) {
        let split =
            |uses: Uses| -> (Uses, Uses) { uses.into_iter().partition(|((name, _), _)| kept.contains(name)) };
        let (keep, own) = split(self.builds.remove(&build).unwrap_or_default());
        if !keep.is_empty() {
            self.builds.insert(build, keep);
        }
        let (keep, of_step) = split(self.steps.remove(&build).unwrap_or_default());
        if !keep.is_empty() {
            self.steps.insert(build, keep);
        }
        let mixed = self.release_own(build, &own);
        self.release(build, &of_step);
        let uses = own.iter().chain(&of_step).cloned().collect();
        if !own.is_empty() || !of_step.is_empty() {
            let given_up = self.given_up.entry(build).or_default();
            given_up.0.extend(own);
            given_up.1.extend(of_step);
        }
        (uses, mixed)
    }

    /// Whether there is enough of all that a build has given up.
    pub(super) fn can_take_again(&self, build: BuildId) -> bool {
        self.given_up.get(&build).is_none_or(|(own, of_step)| {
            own.iter()
                .chain(of_step)
                .all(|(key, access)| self.fits(key, *access))
        })
    }

    /// A build that has waited for others takes its locks again. Says which, and whether one has become mixed by it.
    pub(super) fn take_again(&mut self, build: BuildId) -> (Uses, bool) {
        let (own, of_step) = self.given_up.remove(&build).unwrap_or_default();
        let uses = own.iter().chain(&of_step).cloned().collect();
        let mixed = self.take_for_build(build, own);
        if !of_step.is_empty() {
            self.take(build, &of_step);
            let held = self.steps.entry(build).or_default();
            held.extend(of_step);
            held.sort_unstable();
        }
        (uses, mixed)
    }

    /// A build will not take its locks again.
    pub(super) fn forget_given_up(&mut self, build: BuildId) {
        self.given_up.remove(&build);
    }

    /// A step of a build waits for these.
    pub(super) fn wait(&mut self, build: BuildId, place: Place, mut uses: Uses) {
        // What its build holds already is not waited for: it would be for ever.
        if let Some(own) = self.builds.get(&build) {
            uses.retain(|(key, _)| !own.iter().any(|(held, _)| held == key));
        }
        let wait = Wait {
            place,
            uses,
            nested: false,
            simple: false,
        };
        self.waits.insert(build, wait);
        self.classify(build);
    }

    /// The step of a build that waited has its locks.
    pub(super) fn acquire(&mut self, build: BuildId) {
        if let Some(wait) = self.leave(build) {
            self.take(build, &wait.uses);
            if !wait.uses.is_empty() {
                self.steps.insert(build, wait.uses);
            }
        }
    }

    /// The step of a build is over, or does not wait any more. Says which locks it had to do with.
    pub(super) fn step_over(&mut self, build: BuildId) -> Uses {
        if let Some(wait) = self.leave(build) {
            return wait.uses;
        }
        if planted(Bug::StepLockKept) {
            return Vec::new();
        }
        let uses = self.steps.remove(&build).unwrap_or_default();
        self.release(build, &uses);
        uses
    }

    /// A step that can have its locks now: nested ones first, then the one with the first place. `requests` tells who
    /// of the requests stands in line before a place.
    pub(super) fn next_grant(
        &mut self,
        requests: impl Fn(&LockKey, &Place) -> Option<BuildRequestId>,
    ) -> Option<BuildId> {
        let mut found = None;
        let mut looked_at = Vec::new();
        for fresh in &self.fresh {
            let (_, (_, build)) = *fresh;
            match self.waits.get(&build) {
                Some(wait) if self.step_obstacle(build, wait, &requests).is_none() => {
                    found = Some(build);
                    break;
                }
                _ => looked_at.push(*fresh),
            }
        }
        for fresh in looked_at {
            self.fresh.remove(&fresh);
        }
        found
    }

    /// Why a waiting step does not get its locks, if it does not.
    pub(super) fn why_step_waits(
        &self,
        build: BuildId,
        requests: impl Fn(&LockKey, &Place) -> Option<BuildRequestId>,
    ) -> Option<Obstacle> {
        let wait = self.waits.get(&build)?;
        self.step_obstacle(build, wait, &requests)
    }

    /// Locks that the step of a build waits for.
    pub(crate) fn waits_for(&self, build: BuildId) -> Option<&Uses> {
        self.waits.get(&build).map(|wait| &wait.uses)
    }

    /// Builds whose step waits.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = BuildId> + '_ {
        self.waits.keys().copied()
    }

    fn step_obstacle(
        &self,
        build: BuildId,
        wait: &Wait,
        requests: &impl Fn(&LockKey, &Place) -> Option<BuildRequestId>,
    ) -> Option<Obstacle> {
        let me = (wait.place, build);
        for (key, access) in &wait.uses {
            if !self.fits(key, *access) {
                return Some(Obstacle::Held(key.clone()));
            }
            if wait.nested || planted(Bug::LockLineIgnored) {
                continue;
            }
            let lock = self.instances.get(key)?;
            let line = if wait.simple { &lock.simple } else { &lock.line };
            if let Some((_, first)) = line.first().filter(|first| **first < me) {
                return Some(Obstacle::BehindStep(key.clone(), *first));
            }
            if let Some(first) = requests(key, &wait.place) {
                return Some(Obstacle::BehindRequest(key.clone(), first));
            }
        }
        None
    }

    /// Something about a lock has changed: looks again at who may go first.
    pub(super) fn touch(&mut self, key: &LockKey) {
        if let Some(lock) = self.instances.get(key) {
            self.fresh
                .extend(lock.nested.iter().map(|waiter| (false, *waiter)));
            self.fresh.extend(lock.line.first().map(|waiter| (true, *waiter)));
            self.fresh
                .extend(lock.simple.first().map(|waiter| (true, *waiter)));
        }
    }

    /// Requests that stood in line for a lock of workers have moved: looks again at the steps there.
    pub(super) fn touch_workers(&mut self, name: &Arc<str>) {
        for worker in self.waiting_on.get(name).into_iter().flatten() {
            let key = (Arc::clone(name), Some(*worker));
            if let Some(lock) = self.instances.get(&key) {
                self.fresh.extend(lock.line.first().map(|waiter| (true, *waiter)));
            }
        }
    }

    /// Locks of a worker at which a step stands in line.
    pub(super) fn touch_worker(&mut self, worker: WorkerId) {
        let names: Vec<Arc<str>> = self
            .waiting_on
            .iter()
            .filter(|(_, workers)| workers.contains(&worker))
            .map(|(name, _)| Arc::clone(name))
            .collect();
        for name in names {
            self.touch(&(name, Some(worker)));
        }
    }

    fn take(&mut self, build: BuildId, uses: &Uses) {
        for (key, access) in uses {
            let lock = self.instances.entry(key.clone()).or_default();
            lock.holders.insert(build, *access);
            match access {
                LockAccess::Exclusive => lock.exclusive += 1,
                LockAccess::Counting(count) => lock.counting += u64::from(*count),
            }
        }
    }

    fn release(&mut self, build: BuildId, uses: &Uses) {
        for (key, access) in uses {
            if let Some(lock) = self.instances.get_mut(key) {
                lock.holders.remove(&build);
                match access {
                    LockAccess::Exclusive => lock.exclusive -= 1,
                    LockAccess::Counting(count) => lock.counting -= u64::from(*count),
                }
            }
            self.tidy(key);
        }
    }

    /// A waiting step leaves all lines.
    fn leave(&mut self, build: BuildId) -> Option<Wait> {
        let wait = self.waits.remove(&build)?;
        self.unlist(build, &wait);
        Some(wait)
    }

    fn unlist(&mut self, build: BuildId, wait: &Wait) {
        let me = (wait.place, build);
        self.fresh.remove(&(!wait.nested, me));
        for (key, _) in &wait.uses {
            let Some(lock) = self.instances.get_mut(key) else {
                continue;
            };
            lock.line.remove(&me);
            lock.simple.remove(&me);
            lock.nested.remove(&me);
            if let (Some(worker), true) = (key.1, lock.line.is_empty())
                && let Some(workers) = self.waiting_on.get_mut(&key.0)
            {
                workers.remove(&worker);
                if workers.is_empty() {
                    self.waiting_on.remove(&key.0);
                }
            }
            self.tidy(key);
        }
    }

    fn tidy(&mut self, key: &LockKey) {
        if self
            .instances
            .get(key)
            .is_some_and(|lock| lock.holders.is_empty() && lock.line.is_empty() && lock.nested.is_empty())
        {
            self.instances.remove(key);
        }
    }

    /// Puts a waiting step into the lines where it belongs.
    fn classify(&mut self, build: BuildId) {
        let Some(mut wait) = self.waits.remove(&build) else {
            return;
        };
        self.unlist(build, &wait);
        let mixed = wait
            .uses
            .iter()
            .any(|((name, _), _)| self.of_builders.contains_key(name));
        wait.nested = mixed && self.builds.contains_key(&build) && !planted(Bug::NestedInLine);
        wait.simple = !mixed;
        let me = (wait.place, build);
        for (key, _) in &wait.uses {
            let lock = self.instances.entry(key.clone()).or_default();
            if wait.nested {
                lock.nested.insert(me);
                continue;
            }
            lock.line.insert(me);
            if wait.simple {
                lock.simple.insert(me);
            }
            if let Some(worker) = key.1 {
                self.waiting_on
                    .entry(Arc::clone(&key.0))
                    .or_default()
                    .insert(worker);
            }
        }
        self.fresh.insert((!wait.nested, me));
        self.waits.insert(build, wait);
    }

    fn classify_all(&mut self) {
        let waiting: Vec<BuildId> = self.waits.keys().copied().collect();
        for build in waiting {
            self.classify(build);
        }
    }

    /// Says how these locks differ from others of the same rows.
    pub(super) fn difference(&self, other: &Locks) -> Option<String> {
        macro_rules! compare {
            ($($field:ident),*) => {
                $(if self.$field != other.$field {
                    return Some(format!(
                        concat!(stringify!($field), " {:?}\nis not {:?}"),
                        self.$field, other.$field
                    ));
                })*
            };
        }
        compare!(
            limits,
            instances,
            builds,
            steps,
            waits,
            given_up,
            of_builders,
            waiting_on
        );
        None
    }
}
