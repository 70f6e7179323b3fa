//! Requests of builders with locks, in line with the steps that wait.
//!
//! A request stands in line for its builder's locks while it is the first of its builder, the builder may start something, and some
//! worker of it has a free slot: it waits for nothing but locks. All requests of a group need the same, so the first of the group
//! stands for all. It is before those behind it in every line; for a lock of workers, on every worker that it could run on.

use std::sync::Arc;

use ironmaster_model::{BuildId, BuildRequestId, BuilderId, LockScope, WorkerId};

use super::{Head, LockKey, Locks, Need, Obstacle, Place, Queue, Start, Uses};

impl Queue {
    /// The first request of builders with locks that can start.
    pub(super) fn next_locked(&mut self) -> Option<Start> {
        while let Some((head, index)) = self.fresh_groups.first() {
            if self.groups[index].first == Some(head)
                && let Some(start) = self.start_of(index, &head)
            {
                return Some(start);
            }
            self.fresh_groups
                .remove(self.project_of(head.1), &(head, index), &self.projects);
        }
        None
    }

    fn start_of(&self, index: usize, head: &Head) -> Option<Start> {
        let (place, builder) = *head;
        if self.master_obstacle(index, head).is_some() {
            return None;
        }
        let (worker, slot) = self.choose(builder, &place)?;
        Some(Start {
            request: place.request,
            builder,
            worker,
            slot,
        })
    }

    /// What keeps a request from its locks of the master.
    pub(super) fn master_obstacle(&self, index: usize, head: &Head) -> Option<Obstacle> {
        let needs = self.groups[index].locks.iter();
        for need in needs.filter(|need| need.scope == LockScope::Master) {
            let key = (Arc::clone(&need.name), None);
            if !self.locks.fits(&key, need.access) {
                return Some(Obstacle::Held(key));
            }
            if let Some((place, build)) = self.locks.first_in_line(&key)
                && place < head.0
            {
                return Some(Obstacle::BehindStep(key, build));
            }
            let first = self.lines.get(&need.name).and_then(|line| line.first());
            if let Some((first, _)) = first.filter(|(first, _)| first < head) {
                return Some(Obstacle::BehindRequest(key, first.0.request));
            }
        }
        None
    }

    /// What keeps a request from its locks on a worker.
    pub(super) fn worker_obstacle(&self, index: usize, head: &Head, worker: WorkerId) -> Option<Obstacle> {
        let needs = self.groups[index].locks.iter();
        for need in needs.filter(|need| need.scope == LockScope::Worker) {
            let key = need.key(worker);
            if !self.locks.fits(&key, need.access) {
                return Some(Obstacle::Held(key));
            }
            if let Some((place, build)) = self.locks.first_in_line(&key)
                && place < head.0
            {
                return Some(Obstacle::BehindStep(key, build));
            }
            if let Some(first) = self.first_request_on(&need.name, worker)
                && first < *head
            {
                return Some(Obstacle::BehindRequest(key, first.0.request));
            }
        }
        None
    }

    /// Whether a request of the same workers is before it in line for a lock of workers: a short way to say that none of
    /// them will do.
    pub(super) fn is_blocked_everywhere(&self, index: usize, head: &Head) -> bool {
        let group = &self.groups[index];
        let needs = group.locks.iter();
        needs.filter(|need| need.scope == LockScope::Worker).any(|need| {
            self.sharing.get(&need.name).into_iter().flatten().any(|other| {
                let other = &self.groups[*other];
                other.workers == group.workers && other.first.is_some_and(|first| first < *head)
            })
        })
    }

    /// The first request in line for a lock of that worker.
    fn first_request_on(&self, name: &Arc<str>, worker: WorkerId) -> Option<Head> {
        let worker = self.workers.get(&worker).filter(|worker| worker.room.is_some())?;
        self.sharing
            .get(name)?
            .iter()
            .filter(|index| worker.builder_groups.binary_search(index).is_ok())
            .filter_map(|index| self.groups[*index].first)
            .min()
    }

    /// The request that is before a place in line for a lock.
    fn request_before(&self, key: &LockKey, place: &Place) -> Option<BuildRequestId> {
        let first = match key.1 {
            None => self.lines.get(&key.0)?.first()?.0,
            Some(worker) => self.first_request_on(&key.0, worker)?,
        };
        (first.0 < *place).then_some(first.0.request)
    }

    /// The first head of a group, or whether it has a worker, may have changed.
    pub(super) fn publish_group(&mut self, index: usize) {
        let group = &mut self.groups[index];
        if group.locks.is_empty() {
            return;
        }
        let first = group.heads.first().copied().filter(|_| group.open > 0);
        if first == group.first {
            return;
        }
        let locks = group.locks.clone();
        let old = std::mem::replace(&mut group.first, first);
        if let Some(old) = old {
            self.fresh_groups
                .remove(self.project_of(old.1), &(old, index), &self.projects);
        }
        for need in &locks {
            match need.scope {
                LockScope::Master => {
                    let line = self.lines.entry(Arc::clone(&need.name)).or_default();
                    if let Some(old) = old {
                        line.remove(&(old, index));
                    }
                    if let Some(first) = first {
                        line.insert((first, index));
                    }
                    if line.is_empty() {
                        self.lines.remove(&need.name);
                    }
                    self.look_again(&(Arc::clone(&need.name), None));
                }
                LockScope::Worker => {
                    let sharing = self.sharing.get(&need.name).cloned().unwrap_or_default();
                    for other in sharing {
                        self.try_group(other);
                    }
                    self.locks.touch_workers(&need.name);
                }
            }
        }
        self.try_group(index);
    }

    pub(super) fn try_group(&mut self, index: usize) {
        if let Some(first) = self.groups[index].first {
            self.fresh_groups
                .insert(self.project_of(first.1), (first, index), &self.projects);
        }
    }

    /// Who is first in line for a lock may have changed.
    fn look_again(&mut self, key: &LockKey) {
        self.locks.touch(key);
        if key.1.is_none()
            && let Some((head, index)) = self.lines.get(&key.0).and_then(|line| line.first())
        {
            self.fresh_groups
                .insert(self.project_of(head.1), (*head, *index), &self.projects);
        }
    }

    /// Locks were taken, given back, or their lines have moved.
    pub(super) fn locks_changed<'a>(&mut self, keys: impl Iterator<Item = &'a LockKey>) {
        if self.stale {
            return;
        }
        for key in keys {
            self.look_again(key);
            let Some(id) = key.1 else { continue };
            let Some(worker) = self.workers.get(&id) else {
                continue;
            };
            let Some(room) = worker.room else { continue };
            let sharing = self.sharing.get(&key.0).into_iter().flatten();
            let here: Vec<usize> = sharing
                .copied()
                .filter(|index| worker.builder_groups.binary_search(index).is_ok())
                .collect();
            for index in here {
                let group = &mut self.groups[index];
                if self.locks.all_fit(&group.locks, id) {
                    group.insert(room);
                } else {
                    group.remove(room);
                }
                self.try_group(index);
            }
        }
    }

    /// The step of a build waits for its locks.
    pub(crate) fn wait_for_locks(&mut self, build: BuildId, place: Place, uses: Uses) {
        let keys: Vec<LockKey> = uses.iter().map(|(key, _)| key.clone()).collect();
        self.locks.wait(build, place, uses);
        self.locks_changed(keys.iter());
    }

    /// The step of a build has the locks that it waited for.
    pub(crate) fn locks_acquired(&mut self, build: BuildId) {
        let uses = self.locks.waits_for(build).cloned().unwrap_or_default();
        self.locks.acquire(build);
        self.locks_changed(uses.iter().map(|(key, _)| key));
    }

    /// The step of a build is over, or waits no more.
    pub(crate) fn step_over(&mut self, build: BuildId) {
        let uses = self.locks.step_over(build);
        self.locks_changed(uses.iter().map(|(key, _)| key));
    }

    /// A build whose step can have its locks now. The caller gives them before it asks again.
    pub(crate) fn next_grant(&mut self) -> Option<BuildId> {
        if self.stale {
            self.regroup();
        }
        let mut locks = std::mem::take(&mut self.locks);
        let next = locks.next_grant(|key, place| self.request_before(key, place));
        self.locks = locks;
        next
    }

    /// Why the step of a build does not get its locks; none if it does not wait or could have them.
    pub(crate) fn why_step_waits(&self, build: BuildId) -> Option<Obstacle> {
        self.locks
            .why_step_waits(build, |key, place| self.request_before(key, place))
    }

    /// Why the first request of a builder does not get its locks on a worker with a free slot; none if it does.
    pub(crate) fn why_no_locks(&self, builder: BuilderId, worker: WorkerId) -> Option<Obstacle> {
        let queue = self.builders.get(&builder)?;
        let head = (queue.head?, builder);
        self.master_obstacle(queue.group, &head)
            .or_else(|| self.worker_obstacle(queue.group, &head, worker))
    }
}

impl Locks {
    /// Whether the locks of a worker are free for a group.
    pub(super) fn all_fit(&self, needs: &[Need], worker: WorkerId) -> bool {
        needs
            .iter()
            .filter(|need| need.scope == LockScope::Worker)
            .all(|need| self.fits(&need.key(worker), need.access))
    }
}
