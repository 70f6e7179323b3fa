//! The index behind every choice: which builder has work, which worker has room, which lock is free, and who goes first.
//!
//! Nothing here is a fact of its own; all of it follows from the rows in [`State`](crate::State). It exists so
//! that a decision costs the logarithm of what is active instead of builders × workers:
//!
//! - Workers that serve the same builders form a *worker group*, which keeps the heads of those builders' queues in
//!   order. A freed slot looks at one entry.
//! - Builders that run on the same workers and need the same locks form a *builder group*, which keeps those workers that have
//!   room, the idlest first. A new request looks at one entry.
//! - Builders that need locks are kept apart from the others: of each such group only the first request can start, and only if it is
//!   the first in line for each of its locks. See `line`.
//! - Of equal priority it is the turn of the project with the fewest builds running for its share. See `fair`.
//! - Builders of which a function says what starts are asked when it is their turn. See `ask`.
//! - Only what changed since the last look is looked at: everything else had no match before and has none now.

mod ask;
mod fair;
mod groups;
mod line;
mod locks;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use ironmaster_model::{BuildId, BuildRequestId, BuilderId, LockScope, ProjectId, Timestamp, WorkerId};

use self::{
    ask::{Ask, Silence},
    fair::{Fair, Projects, Rank},
    groups::Group,
};
pub(crate) use self::{
    ask::{CANDIDATES_MAX, is_stand_in},
    locks::{Limit, LockKey, Locks, Need, Obstacle, Uses},
};
use crate::planted::{Bug, planted};

/// How many workers a builder remembers as having a warm checkout.
const WARM_MAX: usize = 8;

/// A request's place in its builder's queue: higher priority first, then the longest waiting, then the
/// lower id. The heads of all queues are compared the same way, but between priority and time by the share of their projects.
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
    project: Option<ProjectId>,
    locks: Vec<Need>,
    /// Whether one of the workers that ran it last is taken rather than the idlest.
    goes_by_warmth: bool,
    /// Workers in the order in which they are preferred, where there is one; by id.
    ranks: Vec<(WorkerId, u32)>,
    /// The head as the groups know it; none while the builder may not start anything.
    head: Option<Place>,
    /// Whether somebody is asked before anything starts.
    asks: bool,
    /// Whether it stands in no line: it is being asked, or has said no.
    withheld: bool,
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
    /// Slots that are held for builders that are being asked.
    held: u32,
    available: bool,
    builders: Vec<BuilderId>,
    /// As the builder groups know it; none while it takes nothing.
    room: Option<Room>,
    /// When it was last given something (a sequence number). Only a preference: it is not stored.
    last_used: u64,
    group: usize,
    builder_groups: Vec<usize>,
}

/// What the configuration says of a builder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    /// How many builds of it may run at once.
    pub(crate) max: Option<u32>,
    /// Its project.
    pub(crate) project: Option<ProjectId>,
    /// Its locks, in order of name.
    pub(crate) locks: Vec<Need>,
    /// Whether a worker with a warm checkout is taken rather than the idlest.
    pub(crate) goes_by_warmth: bool,
    /// How each worker is preferred (the lowest number first), by id; empty where all are alike.
    pub(crate) ranks: Vec<(WorkerId, u32)>,
    /// Whether somebody is asked before anything starts.
    pub(crate) asks: bool,
}

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    builders: BTreeMap<BuilderId, BuilderQueue>,
    workers: BTreeMap<WorkerId, WorkerSlots>,
    /// Heads by worker group, of builders that need no locks.
    heads: Vec<Fair<Head>>,
    /// By builder group.
    groups: Vec<Group>,
    /// Who serves whom has changed; the groups must be made anew.
    stale: bool,
    /// Heads that nobody has tried to start since they became heads.
    fresh_heads: Fair<Head>,
    /// Workers that had no room when last looked at, and have some now.
    fresh_workers: BTreeSet<WorkerId>,
    locks: Locks,
    /// The first heads of groups, in line for a lock of the master; only of groups that have a worker with a free slot.
    lines: BTreeMap<Arc<str>, BTreeSet<(Head, usize)>>,
    /// Groups that need a lock of a worker.
    sharing: BTreeMap<Arc<str>, Vec<usize>>,
    /// Groups with locks for which something has changed, with their first heads.
    fresh_groups: Fair<(Head, usize)>,
    projects: Projects,
    /// Who is being asked.
    asked: BTreeMap<BuilderId, Ask>,
    /// Who has said no.
    silent: BTreeMap<BuilderId, Silence>,
}

impl Queue {
    /// A builder exists, with these wishes.
    pub(crate) fn set_builder(&mut self, id: BuilderId, wishes: Wishes) {
        let known = self.builders.contains_key(&id);
        let builder = self.builders.entry(id).or_default();
        self.stale |= !known || builder.locks != wishes.locks || builder.ranks != wishes.ranks;
        let (project, running) = (builder.project, builder.running);
        self.stale |= project != wishes.project;
        builder.project = wishes.project;
        builder.max = wishes.max;
        builder.locks = wishes.locks;
        builder.ranks = wishes.ranks;
        builder.goes_by_warmth = wishes.goes_by_warmth;
        builder.asks = wishes.asks;
        if project != wishes.project {
            self.move_load(project, wishes.project, running);
        }
        self.publish_head(id);
    }

    /// The builders that a worker serves, in order of id.
    pub(crate) fn builders_of(&self, worker: WorkerId) -> &[BuilderId] {
        self.workers.get(&worker).map_or(&[], |worker| &worker.builders)
    }

    /// A builder prefers one of its workers so much: the lowest number first.
    pub(crate) fn set_rank(&mut self, builder: BuilderId, worker: WorkerId, rank: u32) {
        let Some(queue) = self.builders.get_mut(&builder) else {
            return;
        };
        match queue.ranks.binary_search_by_key(&worker, |(id, _)| *id) {
            Ok(at) => queue.ranks[at].1 = rank,
            Err(at) => queue.ranks.insert(at, (worker, rank)),
        }
        self.stale = true;
    }

    /// A worker exists, with so many slots and for these builders (in order of id).
    pub(crate) fn set_worker(&mut self, id: WorkerId, slots: u32, builders: &[BuilderId], available: bool) {
        let worker = self.workers.entry(id).or_insert_with(|| {
            self.stale = true;
            WorkerSlots::default()
        });
        worker.slots = slots;
        let back = available && !worker.available;
        worker.available = available;
        if worker.builders != builders {
            worker.builders = builders.to_vec();
            self.stale = true;
        }
        self.publish_room(id);
        if back {
            self.listen_all_of(id);
        }
    }

    /// The locks of the configuration.
    pub(crate) fn set_limits(&mut self, limits: BTreeMap<(Arc<str>, LockScope), Limit>) {
        self.locks.set_limits(limits);
        // What fits has changed everywhere.
        self.stale = true;
    }

    /// A request waits.
    pub(crate) fn enqueue(&mut self, builder: BuilderId, place: Place) {
        if let Some(queue) = self.builders.get_mut(&builder) {
            queue.waiting.insert(place);
            self.publish_head(builder);
            self.listen(builder);
        }
    }

    /// A request does not wait any more.
    pub(crate) fn dequeue(&mut self, builder: BuilderId, place: Place) {
        if let Some(queue) = self.builders.get_mut(&builder) {
            queue.waiting.remove(&place);
            self.publish_head(builder);
            self.listen(builder);
        }
    }

    /// A build took a slot, and the locks of its builder.
    pub(crate) fn take(
        &mut self,
        builder: BuilderId,
        worker: WorkerId,
        slot: u32,
        build: BuildId,
        seq: u64,
        locks: Uses,
    ) {
        if let Some(queue) = self.builders.get_mut(&builder) {
            queue.warm.retain(|(other, _)| *other != worker);
            queue.warm.push_front((worker, slot));
            queue.warm.truncate(WARM_MAX);
        }
        self.runs(builder, true);
        if let Some(slots) = self.workers.get_mut(&worker) {
            slots.used.insert(slot, build);
            slots.last_used = seq;
            self.publish_room(worker);
        }
        let keys: Vec<LockKey> = locks.iter().map(|(key, _)| key.clone()).collect();
        self.stale |= self.locks.take_for_build(build, locks);
        self.locks_changed(keys.iter());
    }

    /// A build gave its slot and its locks back.
    pub(crate) fn give_back(&mut self, builder: BuilderId, worker: WorkerId, slot: u32, build: BuildId) {
        self.runs(builder, false);
        if let Some(slots) = self.workers.get_mut(&worker) {
            slots.used.remove(&slot);
            self.publish_room(worker);
        }
        let mut uses = self.locks.step_over(build);
        let (own, moved) = self.locks.release_build(build);
        uses.extend(own);
        self.stale |= moved;
        self.locks_changed(uses.iter().map(|(key, _)| key));
        self.listen_all_of(worker);
    }

    /// A build that waits for others gives up its locks, and those of its step, but the ones with these names.
    pub(crate) fn give_up_locks(&mut self, build: BuildId, kept: &[Arc<str>]) {
        let (uses, moved) = self.locks.give_up(build, kept);
        self.stale |= moved;
        self.locks_changed(uses.iter().map(|(key, _)| key));
    }

    /// A build ends while it waits for others: it takes no locks again.
    pub(crate) fn forget_locks(&mut self, build: BuildId) {
        self.locks.forget_given_up(build);
    }

    /// Locks, and who waits for them.
    pub(crate) fn locks(&self) -> &Locks {
        &self.locks
    }

    /// A build waits for others, and its place can be given away.
    pub(crate) fn park(&mut self, builder: BuilderId, worker: WorkerId, slot: u32) {
        let Some(slots) = self.workers.get_mut(&worker) else {
            return;
        };
        if slots.parked.insert(slot) {
            self.publish_room(worker);
            self.runs(builder, false);
            self.listen_all_of(worker);
        }
    }

    /// A build that waited takes a place again.
    pub(crate) fn unpark(&mut self, builder: BuilderId, worker: WorkerId, slot: u32, build: BuildId) {
        let (uses, moved) = self.locks.take_again(build);
        self.stale |= moved;
        self.locks_changed(uses.iter().map(|(key, _)| key));
        let Some(slots) = self.workers.get_mut(&worker) else {
            return;
        };
        if slots.parked.remove(&slot) {
            self.publish_room(worker);
            self.runs(builder, true);
        }
    }

    /// Whether a build that waited on this worker may take a place again.
    pub(crate) fn can_resume(&self, builder: BuilderId, worker: WorkerId, build: BuildId) -> bool {
        let room = self
            .workers
            .get(&worker)
            .is_some_and(|worker| worker.running() < worker.slots);
        let (running, max) = self.running(builder);
        room && max.is_none_or(|max| running < max) && self.locks.can_take_again(build)
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
        let locked = self.next_locked();
        loop {
            let mut best: Option<Rank> = None;
            let (heads, workers, builders, projects) =
                (&self.heads, &self.workers, &self.builders, &self.projects);
            let rank =
                |head: Head| projects.rank(builders.get(&head.1).and_then(|queue| queue.project), head);
            // A worker without room, or without work, needs no second look until something changes.
            self.fresh_workers.retain(|id| {
                let Some(worker) = workers.get(id).filter(|worker| worker.room.is_some()) else {
                    return false;
                };
                let Some(head) = heads[worker.group].first() else {
                    return false;
                };
                let rank = rank(head);
                if best.is_none_or(|best| rank < best) {
                    best = Some(rank);
                }
                true
            });
            let mut fresh = false;
            if let Some(head) = self.fresh_heads.first()
                && best.is_none_or(|best| rank(head) <= best)
            {
                best = Some(rank(head));
                fresh = true;
            }
            let Some(best) = best else {
                return locked;
            };
            let (place, builder) = best.head;
            if let Some(locked) = locked
                && let Some(place) = self.place_of_head(locked.builder)
                && self.rank((place, locked.builder)) < best
            {
                return Some(locked);
            }
            if let Some((worker, slot)) = self.choose(builder, &place) {
                return Some(Start {
                    request: place.request,
                    builder,
                    worker,
                    slot,
                });
            }
            debug_assert!(fresh, "a worker with room serves the builder of its group's head");
            self.fresh_heads
                .remove(self.project_of(builder), &(place, builder), &self.projects);
            if !fresh {
                return locked;
            }
        }
    }

    fn place_of_head(&self, builder: BuilderId) -> Option<Place> {
        self.builders.get(&builder)?.head
    }

    /// The worker for the next build of a builder: one with a warm checkout, else the idlest, and its locks must be free. The
    /// slot: the one that the builder used there last, else the lowest.
    fn choose(&self, builder: BuilderId, place: &Place) -> Option<(WorkerId, u32)> {
        let queue = self.builders.get(&builder)?;
        let group = self.groups.get(queue.group)?;
        let fits = |id: WorkerId| {
            self.worker_obstacle(queue.group, &(*place, builder), id)
                .is_none()
        };
        let warm = queue
            .warm
            .iter()
            .filter(|_| queue.goes_by_warmth)
            .find(|(id, _)| {
                self.workers
                    .get(id)
                    .is_some_and(|worker| worker.room.is_some_and(|room| group.has(room)) && fits(*id))
            });
        let id = match warm {
            Some((id, _)) => *id,
            None if group.locks.is_empty() => group.rooms.first()?.1.2,
            None if self.is_blocked_everywhere(queue.group, &(*place, builder)) => return None,
            None => group.rooms.iter().map(|(_, (.., id))| *id).find(|id| fits(*id))?,
        };
        Some((id, self.slot_on(builder, id)?))
    }

    /// The slot of a worker that a builder's next build gets.
    fn slot_on(&self, builder: BuilderId, id: WorkerId) -> Option<u32> {
        let queue = self.builders.get(&builder)?;
        let worker = self.workers.get(&id)?;
        queue
            .warm
            .iter()
            .find(|(warm, _)| *warm == id)
            .map(|(_, slot)| *slot)
            .filter(|slot| *slot < worker.directories() && !worker.used.contains_key(slot))
            .or_else(|| (0..worker.directories()).find(|slot| !worker.used.contains_key(slot)))
            .or_else(|| planted(Bug::DoubleStart).then_some(0))
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
        if !queue.locks.is_empty() {
            let index = queue.group;
            let heads = &mut self.groups[index].heads;
            if let Some(old) = old {
                heads.remove(&(old, id));
            }
            if let Some(head) = head {
                heads.insert((head, id));
            }
            self.publish_group(index);
            return;
        }
        let project = queue.project;
        let groups = std::mem::take(&mut queue.worker_groups);
        for group in &groups {
            if let Some(old) = old {
                self.head_out(*group, project, &(old, id));
            }
            if let Some(head) = head {
                self.head_in(*group, project, (head, id));
            }
        }
        if let Some(queue) = self.builders.get_mut(&id) {
            queue.worker_groups = groups;
        }
        if let Some(old) = old {
            self.fresh_heads.remove(project, &(old, id), &self.projects);
        }
        if let Some(head) = head {
            self.fresh_heads.insert(project, (head, id), &self.projects);
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
        let mut moved = Vec::new();
        for index in &worker.builder_groups {
            let group = &mut self.groups[*index];
            if let Some(old) = old {
                group.remove(old);
            }
            let locked = !group.locks.is_empty();
            if let Some(room) = room
                && (!locked || self.locks.all_fit(&group.locks, id))
            {
                group.insert(room);
            }
            if locked {
                group.open += usize::from(room.is_some());
                group.open -= usize::from(old.is_some());
                moved.push(*index);
            }
        }
        if old.is_none() {
            self.fresh_workers.insert(id);
        }
        for index in moved {
            self.publish_group(index);
            if old.is_none() {
                self.try_group(index);
            }
        }
        if room.is_none() {
            // Requests that stood in line for this worker's locks cannot use them now.
            self.locks.touch_worker(id);
        }
    }
}

impl BuilderQueue {
    fn head_now(&self) -> Option<Place> {
        if self.withheld || self.max.is_some_and(|max| self.running >= max) {
            return None;
        }
        self.waiting.first().copied()
    }
}

impl WorkerSlots {
    /// How many builds take a place.
    fn running(&self) -> u32 {
        (self.used.len() - self.parked.len()) as u32 + self.held
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
