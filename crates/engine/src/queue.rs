//! The index behind every choice: which builder has work, which worker has room, and who goes first.
//!
//! Nothing here is a fact of its own; all of it follows from the rows in [`State`](crate::State). It exists so
//! that a decision costs the logarithm of what is active instead of builders × workers:
//!
//! - Workers that serve the same builders form a *worker group*, which keeps the heads of those builders' queues in
//!   order. A freed slot looks at one entry.
//! - Builders that run on the same workers form a *builder group*, which keeps those workers that have room, the
//!   idlest first. A new request looks at one entry.
//! - Only what changed since the last look is looked at: everything else had no match before and has none now.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, VecDeque},
};

use ironmaster_model::{BuildId, BuildRequestId, BuilderId, Timestamp, WorkerId};

use crate::planted::{Bug, planted};

/// How many workers a builder remembers as having a warm checkout.
const WARM_MAX: usize = 8;

/// A request's place in its builder's queue: higher priority first, then the longest waiting, then the
/// lower id. The heads of all queues are compared the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) priority: Reverse<i64>,
    pub(crate) submitted_at: Timestamp,
    pub(crate) request: BuildRequestId,
}

/// The first request of a builder's queue.
type Head = (Place, BuilderId);

/// A worker with room: fewest running builds first, then the one not used for longest, then the lower id.
type Room = (u32, u64, WorkerId);

/// What is to start next, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) request: BuildRequestId,
    pub(crate) builder: BuilderId,
    pub(crate) worker: WorkerId,
    pub(crate) slot: u32,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct BuilderQueue {
    waiting: BTreeSet<Place>,
    running: u32,
    max: Option<u32>,
    /// The head as the worker groups know it; none while the builder may not start anything.
    head: Option<Place>,
    group: usize,
    worker_groups: Vec<usize>,
    /// Workers that ran it last and in which slot, the latest first. Only a preference: it is not stored.
    warm: VecDeque<(WorkerId, u32)>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct WorkerSlots {
    slots: u32,
    used: BTreeMap<u32, BuildId>,
    /// Slots whose build waits for others: their directories are taken, their places are not.
    parked: BTreeSet<u32>,
    available: bool,
    builders: Vec<BuilderId>,
    /// As the builder groups know it; none while it takes nothing.
    room: Option<Room>,
    /// When it was last given something (a sequence number). Only a preference: it is not stored.
    last_used: u64,
    group: usize,
    builder_groups: Vec<usize>,
}

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    builders: BTreeMap<BuilderId, BuilderQueue>,
    workers: BTreeMap<WorkerId, WorkerSlots>,
    /// Heads by worker group.
    heads: Vec<BTreeSet<Head>>,
    /// Room by builder group.
    rooms: Vec<BTreeSet<Room>>,
    /// Who serves whom has changed; the groups must be made anew.
    stale: bool,
    /// Heads that nobody has tried to start since they became heads.
    fresh_heads: BTreeSet<Head>,
    /// Workers that had no room when last looked at, and have some now.
    fresh_workers: BTreeSet<WorkerId>,
}

impl Queue {
    /// A builder exists; `max` is how many builds of it may run at once.
    pub(crate) fn set_builder(&mut self, id: BuilderId, max: Option<u32>) {
        if !self.builders.contains_key(&id) {
            self.stale = true;
        }
        self.builders.entry(id).or_default().max = max;
        self.publish_head(id);
    }

    /// A worker exists, with so many slots and for these builders (in order of id).
    pub(crate) fn set_worker(&mut self, id: WorkerId, slots: u32, builders: &[BuilderId], available: bool) {
        let worker = self.workers.entry(id).or_insert_with(|| {
            self.stale = true;
            WorkerSlots::default()
        });
        worker.slots = slots;
        worker.available = available;
        if worker.builders != builders {
            worker.builders = builders.to_vec();
            self.stale = true;
        }
        self.publish_room(id);
    }

    /// A request waits.
    pub(crate) fn enqueue(&mut self, builder: BuilderId, place: Place) {
        if let Some(queue) = self.builders.get_mut(&builder) {
            queue.waiting.insert(place);
            self.publish_head(builder);
        }
    }

    /// A request does not wait any more.
    pub(crate) fn dequeue(&mut self, builder: BuilderId, place: Place) {
        if let Some(queue) = self.builders.get_mut(&builder) {
            queue.waiting.remove(&place);
            self.publish_head(builder);
        }
    }

    /// A build took a slot.
    pub(crate) fn take(&mut self, builder: BuilderId, worker: WorkerId, slot: u32, build: BuildId, seq: u64) {
        if let Some(queue) = self.builders.get_mut(&builder) {
            queue.running += 1;
            queue.warm.retain(|(other, _)| *other != worker);
            queue.warm.push_front((worker, slot));
            queue.warm.truncate(WARM_MAX);
            self.publish_head(builder);
        }
        if let Some(slots) = self.workers.get_mut(&worker) {
            slots.used.insert(slot, build);
            slots.last_used = seq;
            self.publish_room(worker);
        }
    }

    /// A build gave its slot back.
    pub(crate) fn give_back(&mut self, builder: BuilderId, worker: WorkerId, slot: u32) {
        if let Some(queue) = self.builders.get_mut(&builder) {
            queue.running = queue.running.saturating_sub(1);
            self.publish_head(builder);
        }
        if let Some(slots) = self.workers.get_mut(&worker) {
            slots.used.remove(&slot);
            self.publish_room(worker);
        }
    }

    /// A build waits for others, and its place can be given away.
    pub(crate) fn park(&mut self, builder: BuilderId, worker: WorkerId, slot: u32) {
        let Some(slots) = self.workers.get_mut(&worker) else {
            return;
        };
        if slots.parked.insert(slot) {
            self.publish_room(worker);
            if let Some(queue) = self.builders.get_mut(&builder) {
                queue.running = queue.running.saturating_sub(1);
                self.publish_head(builder);
            }
        }
    }

    /// A build that waited takes a place again.
    pub(crate) fn unpark(&mut self, builder: BuilderId, worker: WorkerId, slot: u32) {
        let Some(slots) = self.workers.get_mut(&worker) else {
            return;
        };
        if slots.parked.remove(&slot) {
            self.publish_room(worker);
            if let Some(queue) = self.builders.get_mut(&builder) {
                queue.running += 1;
                self.publish_head(builder);
            }
        }
    }

    /// Whether a build that waited on this worker may take a place again.
    pub(crate) fn can_resume(&self, builder: BuilderId, worker: WorkerId) -> bool {
        let room = self
            .workers
            .get(&worker)
            .is_some_and(|worker| worker.running() < worker.slots);
        let (running, max) = self.running(builder);
        room && max.is_none_or(|max| running < max)
    }

    /// Builds that a worker runs, by slot.
    pub(crate) fn builds_on(&self, worker: WorkerId) -> impl Iterator<Item = BuildId> + '_ {
        self.workers
            .get(&worker)
            .into_iter()
            .flat_map(|slots| slots.used.values().copied())
    }

    /// Builds of a builder that run now, and how many may.
    pub(crate) fn running(&self, builder: BuilderId) -> (u32, Option<u32>) {
        self.builders
            .get(&builder)
            .map_or((0, None), |queue| (queue.running, queue.max))
    }

    /// Slots of a worker in use, and how many it has.
    pub(crate) fn slots(&self, worker: WorkerId) -> (u32, u32) {
        self.workers
            .get(&worker)
            .map_or((0, 0), |slots| (slots.running(), slots.slots))
    }

    /// How many requests of the same builder go first, and the first of all.
    pub(crate) fn ahead(&self, builder: BuilderId, place: &Place) -> (usize, Option<BuildRequestId>) {
        self.builders.get(&builder).map_or((0, None), |queue| {
            let mut ahead = queue.waiting.range(..place);
            let first = ahead.next().map(|place| place.request);
            (usize::from(first.is_some()) + ahead.count(), first)
        })
    }

    /// Builders that have requests waiting, each with the first of them.
    pub(crate) fn waiting_builders(&self) -> impl Iterator<Item = (BuilderId, BuildRequestId)> + '_ {
        self.builders
            .iter()
            .filter_map(|(id, queue)| queue.waiting.first().map(|place| (*id, place.request)))
    }

    /// What is to start next, if anything. The caller starts it before it asks again.
    pub(crate) fn next(&mut self) -> Option<Start> {
        if self.stale {
            self.regroup();
        }
        loop {
            let mut best: Option<Head> = None;
            let heads = &self.heads;
            let workers = &self.workers;
            // A worker without room, or without work, needs no second look until something changes.
            self.fresh_workers.retain(|id| {
                let Some(worker) = workers.get(id).filter(|worker| worker.room.is_some()) else {
                    return false;
                };
                let Some(head) = heads[worker.group].first() else {
                    return false;
                };
                if best.is_none_or(|best| *head < best) {
                    best = Some(*head);
                }
                true
            });
            let mut fresh = false;
            if let Some(head) = self.fresh_heads.first()
                && best.is_none_or(|best| *head <= best)
            {
                best = Some(*head);
                fresh = true;
            }
            let (place, builder) = best?;
            if let Some((worker, slot)) = self.choose(builder) {
                return Some(Start {
                    request: place.request,
                    builder,
                    worker,
                    slot,
                });
            }
            debug_assert!(fresh, "a worker with room serves the builder of its group's head");
            self.fresh_heads.remove(&(place, builder));
            if !fresh {
                return None;
            }
        }
    }

    /// The worker for the next build of a builder: one with a warm checkout, else the idlest. The slot: the one that the
    /// builder used there last, else the lowest.
    fn choose(&self, builder: BuilderId) -> Option<(WorkerId, u32)> {
        let queue = self.builders.get(&builder)?;
        let rooms = self.rooms.get(queue.group)?;
        let warm = queue.warm.iter().find(|(id, _)| {
            self.workers.get(id).is_some_and(|worker| {
                worker.room.is_some() && worker.builder_groups.binary_search(&queue.group).is_ok()
            })
        });
        let id = warm.map_or_else(|| rooms.first().map(|(.., id)| *id), |(id, _)| Some(*id))?;
        let worker = self.workers.get(&id)?;
        let slot = warm
            .map(|(_, slot)| *slot)
            .filter(|slot| *slot < worker.directories() && !worker.used.contains_key(slot))
            .or_else(|| (0..worker.directories()).find(|slot| !worker.used.contains_key(slot)))
            .or_else(|| planted(Bug::DoubleStart).then_some(0))?;
        Some((id, slot))
    }

    fn publish_head(&mut self, id: BuilderId) {
        if self.stale {
            return;
        }
        let Some(queue) = self.builders.get_mut(&id) else {
            return;
        };
        let head = queue.head_now();
        if head == queue.head {
            return;
        }
        let old = std::mem::replace(&mut queue.head, head);
        for group in &queue.worker_groups {
            let heads = &mut self.heads[*group];
            if let Some(old) = old {
                heads.remove(&(old, id));
            }
            if let Some(head) = head {
                heads.insert((head, id));
            }
        }
        if let Some(old) = old {
            self.fresh_heads.remove(&(old, id));
        }
        if let Some(head) = head {
            self.fresh_heads.insert((head, id));
        }
    }

    fn publish_room(&mut self, id: WorkerId) {
        if self.stale {
            return;
        }
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        let room = worker.room_now(id);
        if room == worker.room {
            return;
        }
        let old = std::mem::replace(&mut worker.room, room);
        for group in &worker.builder_groups {
            let rooms = &mut self.rooms[*group];
            if let Some(old) = old {
                rooms.remove(&old);
            }
            if let Some(room) = room {
                rooms.insert(room);
            }
        }
        if old.is_none() {
            self.fresh_workers.insert(id);
        }
    }

    /// Makes all groups anew. Costs as much as there are pairs of worker and builder, and happens only when a
    /// configuration changed or at the start.
    pub(crate) fn regroup(&mut self) {
        self.stale = false;
        self.fresh_workers.clear();
        self.fresh_heads.clear();
        let mut workers_of: BTreeMap<BuilderId, Vec<WorkerId>> = BTreeMap::new();
        let mut worker_groups: BTreeMap<&[BuilderId], usize> = BTreeMap::new();
        let mut group_of_worker: BTreeMap<WorkerId, usize> = BTreeMap::new();
        for (id, worker) in &self.workers {
            let next = worker_groups.len();
            let group = *worker_groups.entry(&worker.builders).or_insert(next);
            group_of_worker.insert(*id, group);
            for builder in &worker.builders {
                workers_of.entry(*builder).or_default().push(*id);
            }
        }
        let mut builder_groups: BTreeMap<&[WorkerId], usize> = BTreeMap::new();
        let mut group_of_builder: BTreeMap<BuilderId, usize> = BTreeMap::new();
        for id in self.builders.keys() {
            let workers = workers_of.get(id).map_or(&[][..], Vec::as_slice);
            let next = builder_groups.len();
            group_of_builder.insert(*id, *builder_groups.entry(workers).or_insert(next));
        }
        // Which groups touch each other; via one member each, since all members of a group are alike.
        let mut groups_of_builder: BTreeMap<BuilderId, Vec<usize>> = BTreeMap::new();
        let mut groups_of_worker_group: Vec<Vec<usize>> = vec![Vec::new(); worker_groups.len()];
        for (builders, group) in &worker_groups {
            let touched: BTreeSet<usize> = builders
                .iter()
                .filter_map(|builder| group_of_builder.get(builder).copied())
                .collect();
            groups_of_worker_group[*group] = touched.into_iter().collect();
            for builder in *builders {
                groups_of_builder.entry(*builder).or_default().push(*group);
            }
        }
        self.heads = vec![BTreeSet::new(); worker_groups.len()];
        self.rooms = vec![BTreeSet::new(); builder_groups.len()];
        for (id, queue) in &mut self.builders {
            queue.group = group_of_builder[id];
            queue.worker_groups = groups_of_builder.remove(id).unwrap_or_default();
            queue.head = queue.head_now();
            if let Some(head) = queue.head {
                self.fresh_heads.insert((head, *id));
                for group in &queue.worker_groups {
                    self.heads[*group].insert((head, *id));
                }
            }
        }
        for (id, worker) in &mut self.workers {
            worker.group = group_of_worker[id];
            worker
                .builder_groups
                .clone_from(&groups_of_worker_group[worker.group]);
            worker.room = worker.room_now(*id);
            if let Some(room) = worker.room {
                for group in &worker.builder_groups {
                    self.rooms[*group].insert(room);
                }
            }
        }
    }

    /// Says how this index differs from another of the same state, apart from mere preferences.
    pub(crate) fn difference(&self, other: &Queue) -> Option<String> {
        let mut left = self.clone();
        let mut right = other.clone();
        for queue in [&mut left, &mut right] {
            if queue.stale {
                queue.regroup();
            }
            for builder in queue.builders.values_mut() {
                builder.warm.clear();
            }
            for worker in queue.workers.values_mut() {
                worker.last_used = 0;
                worker.room = worker.room.map(|(running, _, id)| (running, 0, id));
            }
            queue.rooms = queue
                .rooms
                .iter()
                .map(|rooms| rooms.iter().map(|(running, _, id)| (*running, 0, *id)).collect())
                .collect();
        }
        let part = if left.builders != right.builders {
            format!("builders {:?}\nis not {:?}", left.builders, right.builders)
        } else if left.workers != right.workers {
            format!("workers {:?}\nis not {:?}", left.workers, right.workers)
        } else if left.heads != right.heads {
            format!("heads {:?}\nis not {:?}", left.heads, right.heads)
        } else if left.rooms != right.rooms {
            format!("rooms {:?}\nis not {:?}", left.rooms, right.rooms)
        } else {
            return None;
        };
        Some(format!("queue index: {part}"))
    }
}

impl BuilderQueue {
    fn head_now(&self) -> Option<Place> {
        if self.max.is_some_and(|max| self.running >= max) {
            return None;
        }
        self.waiting.first().copied()
    }
}

impl WorkerSlots {
    /// How many builds take a place.
    fn running(&self) -> u32 {
        (self.used.len() - self.parked.len()) as u32
    }

    /// How many directories of a builder it may need: one a slot, and one for each build that waits.
    fn directories(&self) -> u32 {
        self.slots + self.parked.len() as u32
    }

    fn room_now(&self, id: WorkerId) -> Option<Room> {
        let running = self.running();
        let slots = self.slots + u32::from(planted(Bug::DoubleStart));
        (self.available && running < slots).then_some((running, self.last_used, id))
    }
}
