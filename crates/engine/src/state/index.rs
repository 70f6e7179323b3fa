//! What follows from the rows: indexes, deadlines, and what may be let go.

use std::collections::BTreeMap;

use ironmaster_model::{
    BuildId, BuildRecord, BuildRequestId, BuildRequestRecord, BuilderDef, BuilderId, BuildsetRecord,
    Downtime, LockUse, NewSourceStamp, Plan, ProjectId, SchedulerId, SchedulerKind, SourceStampId,
    SourceStampRecord, StepRecord, Timestamp, Waits, WorkerId, WorkerPreference,
};

use super::{Held, Stamps, State};
use crate::{
    deadlines::Due,
    planted::{Bug, planted},
    queue::{Limit, Need, Place, Uses, Wishes},
};

impl State {
    /// The builder's definition that a build runs under.
    pub(crate) fn definition_of(&self, build: &BuildRecord) -> Option<&BuilderDef> {
        self.plan_and_definition_of(build)
            .map(|(_, definition)| definition)
    }

    fn plan_and_definition_of(&self, build: &BuildRecord) -> Option<(&Plan, &BuilderDef)> {
        let name = &self.builders.get(&build.builder)?.name;
        let plan = &*self.plans.get(&build.config)?.plan;
        Some((plan, plan.builders.get(name)?))
    }

    pub(crate) fn stamps_of<'a>(
        &'a self,
        buildset: &'a BuildsetRecord,
    ) -> impl Iterator<Item = &'a SourceStampRecord> {
        buildset
            .sourcestamps
            .iter()
            .filter_map(|id| self.stamps.by_id.get(id))
            .map(|held| &held.record)
    }

    pub(crate) fn place_of(request: &BuildRequestRecord) -> Place {
        Place {
            priority: std::cmp::Reverse(if planted(Bug::PriorityIgnored) {
                0
            } else {
                request.priority
            }),
            submitted_at: request.submitted_at,
            request: request.id,
        }
    }

    /// Tells the indexes what the rows and the plan say about builders and workers.
    pub(crate) fn index_configuration(&mut self) {
        self.index_locks();
        let projects: Vec<_> = self.projects.keys().copied().collect();
        for id in projects {
            self.index_project(id);
        }
        let builders: Vec<_> = self.builders.keys().copied().collect();
        for id in builders {
            self.index_builder(id);
        }
        let workers: Vec<_> = self.workers.keys().copied().collect();
        for id in workers {
            self.index_worker(id);
        }
    }

    /// Tells the index the share of a project.
    pub(crate) fn index_project(&mut self, id: ProjectId) {
        let Some(record) = self.projects.get(&id) else {
            return;
        };
        let share = self.plan.projects.get(&record.name).map_or(1, |def| def.share);
        self.queue.set_share(id, share);
    }

    pub(crate) fn index_builder(&mut self, id: BuilderId) {
        let Some(record) = self.builders.get(&id) else {
            return;
        };
        let def = self.plan.builders.get(&record.name);
        let project = record.project;
        let gone = Wishes {
            project,
            ..Wishes::default()
        };
        let wishes = def.map_or(gone, |def| Wishes {
            project,
            max: def.builds_max,
            locks: needs(&self.plan, &def.locks),
            goes_by_warmth: def.prefer == WorkerPreference::Warm,
            ranks: self.ranks(def),
            asks: def.asks.before_start() && !planted(Bug::StartsUnasked),
        });
        self.queue.set_builder(id, wishes);
    }

    /// The builder's workers by the first of its selectors that means them, if it goes by that.
    fn ranks(&self, def: &BuilderDef) -> Vec<(WorkerId, u32)> {
        if def.prefer != WorkerPreference::Order {
            return Vec::new();
        }
        let mut ranks: Vec<(WorkerId, u32)> = self
            .plan
            .workers
            .values()
            .filter_map(|worker| {
                let rank = def.workers.iter().position(|selector| selector.matches(worker))?;
                Some((*self.names.workers.get(&worker.name)?, rank as u32))
            })
            .collect();
        ranks.sort_unstable();
        ranks
    }

    /// Tells the index how a new worker is preferred by builders that go by their order.
    pub(crate) fn index_ranks_of(&mut self, id: WorkerId) {
        let Some(worker) = self
            .workers
            .get(&id)
            .and_then(|worker| self.plan.workers.get(&worker.name))
        else {
            return;
        };
        for def in self.plan.builders.values() {
            if def.prefer == WorkerPreference::Order
                && let Some(rank) = def.workers.iter().position(|selector| selector.matches(worker))
                && let Some(builder) = self.names.builders.get(&def.name)
            {
                self.queue.set_rank(*builder, id, rank as u32);
            }
        }
    }

    /// Tells the index how much there is of each lock.
    pub(crate) fn index_locks(&mut self) {
        let limits = self
            .plan
            .locks
            .values()
            .map(|lock| {
                let by_worker = lock
                    .worker_counts
                    .iter()
                    .filter_map(|(name, count)| Some((*self.names.workers.get(name)?, *count)))
                    .collect();
                let max = lock.max_count;
                ((lock.name.as_str().into(), lock.scope), Limit { max, by_worker })
            })
            .collect();
        self.queue.set_limits(limits);
    }

    /// The locks that a build holds for its builder.
    pub(crate) fn locks_of_build(&self, build: &BuildRecord) -> Uses {
        let uses = |plan: &Plan, def: &BuilderDef| {
            let needs = needs(plan, &def.locks);
            needs
                .iter()
                .map(|need| (need.key(build.worker), need.access))
                .collect()
        };
        self.plan_and_definition_of(build)
            .map_or_else(Vec::new, |(plan, def)| uses(plan, def))
    }

    /// The index takes note of a step that has begun, or was loaded: it waits for its locks, or holds them.
    pub(crate) fn index_step(&mut self, step: &StepRecord) {
        let Some(build) = self.builds.get(&step.build).map(|entry| &entry.record) else {
            return;
        };
        let uses: Uses = self
            .plan_and_definition_of(build)
            .and_then(|(plan, def)| {
                let needs = needs(plan, &def.steps.get(step.definition as usize)?.locks);
                Some(
                    needs
                        .iter()
                        .map(|need| (need.key(build.worker), need.access))
                        .collect(),
                )
            })
            .unwrap_or_default();
        if uses.is_empty() && step.locks_acquired_at.is_some() {
            return;
        }
        let priority = self
            .requests
            .get(&build.request)
            .map_or(0, |request| request.priority);
        let place = Place {
            priority: std::cmp::Reverse(priority),
            submitted_at: step.started_at,
            request: build.request,
        };
        self.queue.wait_for_locks(step.build, place, uses);
        if step.locks_acquired_at.is_some() {
            self.queue.locks_acquired(step.build);
        }
    }

    pub(crate) fn index_worker(&mut self, id: WorkerId) {
        let Some(record) = self.workers.get(&id) else {
            return;
        };
        let slots = self.plan.workers.get(&record.name).map_or(0, |def| def.slots);
        let available = crate::watch::unavailable(record).is_none();
        self.queue.set_worker(id, slots, &record.builders, available);
    }

    pub(crate) fn index_queued(&mut self, id: BuildRequestId) {
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        let (builder, place) = (request.builder, State::place_of(request));
        if let Some(hash) = self.collapse_hash(request) {
            self.collapsible.entry(builder).or_default().insert((hash, id));
        }
        self.queue.enqueue(builder, place);
    }

    pub(crate) fn unindex_queued(&mut self, id: BuildRequestId) {
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        let (builder, place) = (request.builder, State::place_of(request));
        if let Some(hash) = self.collapse_hash(request)
            && let Some(set) = self.collapsible.get_mut(&builder)
        {
            set.remove(&(hash, id));
            if set.is_empty() {
                self.collapsible.remove(&builder);
            }
        }
        self.queue.dequeue(builder, place);
    }

    /// A build waits for what it has triggered, or for less than before.
    pub(crate) fn park(&mut self, id: BuildId, waits: Waits) {
        let Some(entry) = self.builds.get_mut(&id) else {
            return;
        };
        for triggered in &waits.triggered {
            if waits.over.contains_key(&triggered.buildset) {
                self.waiters.remove(&triggered.buildset);
            } else {
                self.waiters.insert(triggered.buildset, id);
            }
        }
        if waits.open().next().is_none() {
            self.ready.entry(entry.record.worker).or_default().insert(id);
        }
        entry.record.waits = Some(waits);
        let build = &entry.record;
        self.queue.park(build.builder, build.worker, build.slot);
        self.give_up_locks(id);
    }

    /// A build that waits for others gives up what locks it need not keep.
    pub(crate) fn give_up_locks(&mut self, id: BuildId) {
        let Some(entry) = self.builds.get(&id) else {
            return;
        };
        let definition = self.definition_of(&entry.record);
        let step = entry.steps.last().and_then(|step| {
            let definition = definition?;
            definition.steps.get(step.definition as usize)
        });
        let own = definition.map_or(&[][..], |definition| &definition.locks);
        let of_step = step.map_or(&[][..], |step| &step.locks);
        let kept: Vec<_> = own
            .iter()
            .chain(of_step)
            .filter(|used| used.keep)
            .map(|used| used.name.as_str().into())
            .collect();
        self.queue.give_up_locks(id, &kept);
    }

    /// A build does not wait any more.
    pub(crate) fn unpark(&mut self, id: BuildId) {
        let Some(entry) = self.builds.get_mut(&id) else {
            return;
        };
        let Some(waits) = entry.record.waits.take() else {
            return;
        };
        for buildset in waits.open() {
            self.waiters.remove(&buildset);
        }
        let build = &entry.record;
        if let Some(ready) = self.ready.get_mut(&build.worker) {
            ready.remove(&id);
            if ready.is_empty() {
                self.ready.remove(&build.worker);
            }
        }
        self.queue
            .unpark(build.builder, build.worker, build.slot, build.id);
    }

    /// Computes anew when the worker's absence ends its builds.
    pub(crate) fn update_lease(&mut self, id: WorkerId) {
        let at = self.lease_end(id);
        self.deadlines.set(Due::Lease(id), at);
    }

    /// Computes anew what follows from a worker's being away.
    pub(crate) fn update_away(&mut self, id: WorkerId) {
        self.update_lease(id);
        self.update_missing(id);
    }

    /// Computes anew when a worker counts as missing.
    pub(crate) fn update_missing(&mut self, id: WorkerId) {
        let at = self.missing_at(id);
        self.deadlines.set(Due::Missing(id), at);
    }

    fn missing_at(&self, id: WorkerId) -> Option<Timestamp> {
        let worker = self
            .workers
            .get(&id)
            .filter(|worker| worker.active && !worker.missing)?;
        let gone = worker.disconnected_at?;
        let after = self.plan.workers.get(&worker.name)?.missing_after?;
        // Nobody could connect while no master ran.
        Some(gone.max(self.master()?.last_active) + after)
    }

    fn lease_end(&self, id: WorkerId) -> Option<Timestamp> {
        if planted(Bug::LeaseForgotten) {
            return None;
        }
        let gone = self.workers.get(&id)?.disconnected_at?;
        let master = self.master()?;
        self.queue
            .builds_on(id)
            .any(|build| {
                self.builds
                    .get(&build)
                    .is_some_and(|entry| entry.record.lost.is_none())
            })
            // A worker that was already away when this master started may have heard from the one before.
            .then(|| gone.max(master.last_active) + master.lease)
    }

    /// Takes note of when a worker's time off begins or ends.
    pub(crate) fn update_downtime(&mut self, id: WorkerId) {
        let worker = self.workers.get(&id);
        let at = worker
            .and_then(|worker| worker.downtime)
            .map(Downtime::changes_at);
        self.deadlines.set(Due::Downtime(id), at);
    }

    /// Computes anew when a scheduler wants to be looked at next.
    pub(crate) fn update_timer(&mut self, id: SchedulerId) {
        let at = self
            .schedulers
            .get(&id)
            .and_then(|scheduler| self.timer_of(scheduler));
        self.deadlines.set(Due::Scheduler(id), at);
    }

    /// Lets go of what nothing refers to.
    pub(crate) fn forget_unused(&mut self) {
        while let Some(id) = self.unused_changes.pop_first() {
            if self.changes.get(&id).is_some_and(|held| held.refs == 0)
                && let Some(held) = self.changes.remove(&id)
            {
                self.release_stamp(held.record.sourcestamp);
            }
        }
        while let Some(id) = self.unused_stamps.pop_first() {
            if self.stamps.by_id.get(&id).is_some_and(|held| held.refs == 0) {
                self.stamps.remove(id);
            }
        }
    }

    pub(crate) fn release_stamp(&mut self, id: SourceStampId) {
        if let Some(held) = self.stamps.by_id.get_mut(&id) {
            held.refs = held.refs.saturating_sub(1);
            if held.refs == 0 {
                self.unused_stamps.insert(id);
            }
        }
    }
}

/// Dependent schedulers by what they follow.
pub(crate) fn dependents(plan: &Plan) -> BTreeMap<String, Vec<String>> {
    let mut dependents: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for scheduler in plan.schedulers.values() {
        if let SchedulerKind::Dependent { upstream } = &scheduler.kind {
            dependents
                .entry(upstream.clone())
                .or_default()
                .push(scheduler.name.clone());
        }
    }
    dependents
}

/// Uses of locks as the index knows them, in order of name. What the plan does not define is not locked.
fn needs(plan: &Plan, uses: &[LockUse]) -> Vec<Need> {
    let mut needs: Vec<Need> = uses
        .iter()
        .filter_map(|used| {
            Some(Need {
                name: used.name.as_str().into(),
                scope: plan.locks.get(&used.name)?.scope,
                access: used.access,
            })
        })
        .collect();
    needs.sort_unstable();
    needs.dedup_by(|a, b| a.name == b.name);
    needs
}

impl Stamps {
    pub(crate) fn insert(&mut self, record: SourceStampRecord, refs: usize) {
        self.by_hash.insert((stamp_hash(&record.stamp), record.id));
        self.by_id.insert(record.id, Box::new(Held { record, refs }));
    }

    pub(crate) fn find(&self, stamp: &NewSourceStamp) -> Option<SourceStampId> {
        let hash = stamp_hash(stamp);
        self.by_hash
            .range((hash, SourceStampId(0))..=(hash, SourceStampId(u64::MAX)))
            .map(|(_, id)| *id)
            .find(|id| self.by_id.get(id).is_some_and(|held| held.record.stamp == *stamp))
    }

    pub(crate) fn remove(&mut self, id: SourceStampId) {
        if let Some(held) = self.by_id.remove(&id) {
            self.by_hash.remove(&(stamp_hash(&held.record.stamp), id));
        }
    }
}

fn stamp_hash(stamp: &NewSourceStamp) -> u64 {
    let mut hash = crate::hash::Fnv::default();
    hash.option(stamp.branch.as_deref());
    hash.option(stamp.revision.as_deref());
    hash.text(&stamp.repository);
    hash.text(&stamp.project);
    hash.text(&stamp.codebase);
    hash.option(stamp.patch.as_ref().map(|patch| patch.body.as_str()));
    hash.finish()
}
