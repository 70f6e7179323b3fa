//! Who is alike: made anew when a configuration changed.

use std::collections::{BTreeMap, BTreeSet};

use ironmaster_model::{BuilderId, LockScope, WorkerId};

use super::{Fair, Head, Need, Queue, Room};

/// Builders that run on the same workers and need the same locks.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Group {
    /// Which groups have the same workers: those with the same number.
    pub(super) workers: usize,
    pub(super) locks: Vec<Need>,
    /// How each worker is preferred, by id; empty where all are alike.
    pub(super) ranks: Vec<(WorkerId, u32)>,
    /// Workers with a free slot and the free locks that are theirs, the preferred ones first.
    pub(super) rooms: BTreeSet<(u32, Room)>,
    /// Of a group with locks: how many of its workers have a free slot.
    pub(super) open: usize,
    /// Of a group with locks: the heads of its builders.
    pub(super) heads: BTreeSet<Head>,
    /// Of a group with locks: the first of the heads, as the lines know it.
    pub(super) first: Option<Head>,
}

impl Group {
    fn ranked(&self, room: Room) -> (u32, Room) {
        let rank = self.ranks.binary_search_by_key(&room.2, |(id, _)| *id);
        (rank.map_or(0, |at| self.ranks[at].1), room)
    }

    pub(super) fn has(&self, room: Room) -> bool {
        self.rooms.contains(&self.ranked(room))
    }

    pub(super) fn insert(&mut self, room: Room) {
        let ranked = self.ranked(room);
        self.rooms.insert(ranked);
    }

    pub(super) fn remove(&mut self, room: Room) {
        let ranked = self.ranked(room);
        self.rooms.remove(&ranked);
    }
}

/// What builders of a group have in common: their workers, locks, and the order of the workers.
type Alike<'a> = (usize, &'a [Need], &'a [(WorkerId, u32)]);

impl Queue {
    /// Makes all groups anew. Costs as much as there are pairs of worker and builder, and happens only when a
    /// configuration changed or at the start.
    pub(crate) fn regroup(&mut self) {
        self.stale = false;
        self.fresh_workers.clear();
        self.fresh_heads.clear();
        self.fresh_groups.clear();
        self.projects.forget_places();
        self.lines.clear();
        self.sharing.clear();
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
        let mut worker_sets: BTreeMap<&[WorkerId], usize> = BTreeMap::new();
        let mut builder_groups: BTreeMap<Alike<'_>, usize> = BTreeMap::new();
        let mut group_of_builder: BTreeMap<BuilderId, usize> = BTreeMap::new();
        for (id, builder) in &self.builders {
            let workers = workers_of.get(id).map_or(&[][..], Vec::as_slice);
            let next = worker_sets.len();
            let workers = *worker_sets.entry(workers).or_insert(next);
            let next = builder_groups.len();
            let group = *builder_groups
                .entry((workers, &builder.locks, &builder.ranks))
                .or_insert(next);
            group_of_builder.insert(*id, group);
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
        self.heads = vec![Fair::default(); worker_groups.len()];
        self.groups = vec![Group::default(); builder_groups.len()];
        for ((workers, locks, ranks), index) in builder_groups {
            self.groups[index].workers = workers;
            self.groups[index].ranks = ranks.to_vec();
            self.groups[index].locks = locks.to_vec();
            for need in locks.iter().filter(|need| need.scope == LockScope::Worker) {
                self.sharing.entry(need.name.clone()).or_default().push(index);
            }
        }
        self.locks
            .set_builder_uses(self.builders.values().flat_map(|builder| &builder.locks));
        let mut heads = Vec::new();
        for (id, queue) in &mut self.builders {
            queue.group = group_of_builder[id];
            queue.worker_groups = groups_of_builder.remove(id).unwrap_or_default();
            queue.head = queue.head_now();
            let Some(head) = queue.head else { continue };
            if !queue.locks.is_empty() {
                self.groups[queue.group].heads.insert((head, *id));
                continue;
            }
            self.fresh_heads
                .insert(queue.project, (head, *id), &self.projects);
            heads.push((queue.project, (head, *id), queue.worker_groups.clone()));
        }
        for (project, head, groups) in heads {
            for group in groups {
                self.head_in(group, project, head);
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
                    let group = &mut self.groups[*group];
                    group.open += usize::from(!group.locks.is_empty());
                    if self.locks.all_fit(&group.locks, *id) {
                        group.insert(room);
                    }
                }
            }
        }
        for index in 0..self.groups.len() {
            self.publish_group(index);
        }
    }

    /// Says how this index differs from another of the same state, apart from mere preferences.
    pub(crate) fn difference(&self, other: &Queue) -> Option<String> {
        let mut left = self.clone();
        let mut right = other.clone();
        for queue in [&mut left, &mut right] {
            queue.forget_asked();
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
            for group in &mut queue.groups {
                let rooms = group.rooms.iter();
                group.rooms = rooms
                    .map(|(rank, (running, _, id))| (*rank, (*running, 0, *id)))
                    .collect();
            }
        }
        let part = if left.builders != right.builders {
            format!("builders {:?}\nis not {:?}", left.builders, right.builders)
        } else if left.workers != right.workers {
            format!("workers {:?}\nis not {:?}", left.workers, right.workers)
        } else if left.all_running() != right.all_running() {
            format!(
                "running {:?}\nis not {:?}",
                left.all_running(),
                right.all_running()
            )
        } else if left.heads != right.heads {
            format!("heads {:?}\nis not {:?}", left.heads, right.heads)
        } else if left.groups != right.groups {
            format!("groups {:?}\nis not {:?}", left.groups, right.groups)
        } else if left.lines != right.lines {
            format!("lines {:?}\nis not {:?}", left.lines, right.lines)
        } else if let Some(locks) = left.locks.difference(&right.locks) {
            format!("locks: {locks}")
        } else {
            return None;
        };
        Some(format!("queue index: {part}"))
    }
}
