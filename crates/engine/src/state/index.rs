//! What follows from the rows: indexes, deadlines, and what may be let go.

use std::collections::BTreeMap;

use ironmaster_model::{
    BuildId, BuildRecord, BuildRequestId, BuildRequestRecord, BuilderDef, BuilderId, BuildsetRecord,
    NewSourceStamp, Plan, SchedulerId, SchedulerKind, SourceStampId, SourceStampRecord, Timestamp, Waits,
    WorkerId,
};

use super::{Held, Stamps, State};
use crate::{
    deadlines::Due,
    planted::{Bug, planted},
    queue::Place,
};

impl State {
    /// The builder's definition that a build runs under.
    pub(crate) fn definition_of(&self, build: &BuildRecord) -> Option<&BuilderDef> {
        let name = &self.builders.get(&build.builder)?.name;
        self.plans.get(&build.config)?.plan.builders.get(name)
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
        let builders: Vec<_> = self.builders.keys().copied().collect();
        for id in builders {
            self.index_builder(id);
        }
        let workers: Vec<_> = self.workers.keys().copied().collect();
        for id in workers {
            self.index_worker(id);
        }
    }

    pub(crate) fn index_builder(&mut self, id: BuilderId) {
        let Some(record) = self.builders.get(&id) else {
            return;
        };
        let max = self
            .plan
            .builders
            .get(&record.name)
            .and_then(|def| def.builds_max);
        self.queue.set_builder(id, max);
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
            self.ready.insert(id);
        }
        entry.record.waits = Some(waits);
        let build = &entry.record;
        self.queue.park(build.builder, build.worker, build.slot);
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
        self.ready.remove(&id);
        let build = &entry.record;
        self.queue.unpark(build.builder, build.worker, build.slot);
    }

    /// Computes anew when the worker's absence ends its builds.
    pub(crate) fn update_lease(&mut self, id: WorkerId) {
        let at = self.lease_end(id);
        self.deadlines.set(Due::Lease(id), at);
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
