//! Fair shares: of requests with the same priority those go first whose project has the fewest builds running for its share.
//!
//! What a project has running changes with every start and end, and with it the order of whatever waits for it, everywhere. So what
//! waits is kept by project, each in its own order, which does not change; and only the first of each project takes part in an order
//! of the projects. That order is kept only where several projects wait for the same: a start or an end moves one entry in
//! each such place, and none where a project has the place for itself.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use ironmaster_model::{BuilderId, ProjectId};

use super::{Head, Queue};
use crate::planted::{Bug, planted};

/// A project; none for all builders that belong to none: they have one share together.
pub(super) type Project = Option<ProjectId>;

/// How much a project has running for its share. The fewer, the earlier it is its turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Load(u64);

impl Load {
    fn of(running: u32, share: u32) -> Self {
        if planted(Bug::ShareIgnored) {
            return Self(0);
        }
        // Fractions of shares up to a million differ by more than this rounds off.
        Self((u64::from(running) << 32) / u64::from(share.max(1)))
    }
}

/// What a project has running, and its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) builds: u32,
    pub(crate) share: u32,
}

impl Default for Running {
    fn default() -> Self {
        Self { builds: 0, share: 1 }
    }
}

impl Running {
    fn load(self) -> Load {
        Load::of(self.builds, self.share)
    }
}

/// Everybody's place: priority, then the project's load, then age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    priority: Reverse<i64>,
    load: Load,
    pub(super) head: Head,
}

/// What waits: the head of a builder, or of a group of builders.
pub(super) trait Waits: Copy + Ord {
    fn head(&self) -> Head;
}

impl Waits for Head {
    fn head(&self) -> Head {
        *self
    }
}

impl Waits for (Head, usize) {
    fn head(&self) -> Head {
        self.0
    }
}

/// All that wait for the same, by project.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fair<T> {
    by_project: BTreeMap<Project, BTreeSet<T>>,
    /// The first of each project; empty unless there are several projects.
    order: BTreeSet<(Reverse<i64>, Load, T, Project)>,
    keys: BTreeMap<Project, (Reverse<i64>, Load, T)>,
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        Self {
            by_project: BTreeMap::new(),
            order: BTreeSet::new(),
            keys: BTreeMap::new(),
        }
    }
}

impl<T: Waits> Fair<T> {
    pub(super) fn insert(&mut self, project: Project, item: T, loads: &Projects) {
        let set = self.by_project.entry(project).or_default();
        let new = set.is_empty();
        set.insert(item);
        if new && self.by_project.len() == 2 {
            let all: Vec<Project> = self.by_project.keys().copied().collect();
            for project in all {
                self.refresh(project, loads);
            }
        } else {
            self.refresh(project, loads);
        }
    }

    pub(super) fn remove(&mut self, project: Project, item: &T, loads: &Projects) {
        let Some(set) = self.by_project.get_mut(&project) else {
            return;
        };
        set.remove(item);
        if set.is_empty() {
            self.by_project.remove(&project);
            if let Some((priority, load, item)) = self.keys.remove(&project) {
                self.order.remove(&(priority, load, item, project));
            }
            if self.by_project.len() == 1 {
                self.order.clear();
                self.keys.clear();
            }
            return;
        }
        self.refresh(project, loads);
    }

    /// The load of a project, or the first of what waits for it, has changed.
    pub(super) fn refresh(&mut self, project: Project, loads: &Projects) {
        if !self.is_contested() {
            return;
        }
        let Some(first) = self.by_project.get(&project).and_then(BTreeSet::first) else {
            return;
        };
        let key = (first.head().0.priority, loads.load(project), *first);
        if let Some((priority, load, item)) = self.keys.insert(project, key) {
            if (priority, load, item) == key {
                return;
            }
            self.order.remove(&(priority, load, item, project));
        }
        self.order.insert((key.0, key.1, key.2, project));
    }

    /// Whoever's turn it is.
    pub(super) fn first(&self) -> Option<T> {
        match self.order.first() {
            Some((_, _, item, _)) => Some(*item),
            None => self.by_project.values().next()?.first().copied(),
        }
    }

    /// Whether several projects wait here.
    pub(super) fn is_contested(&self) -> bool {
        self.by_project.len() > 1
    }

    pub(super) fn projects(&self) -> impl Iterator<Item = Project> + '_ {
        self.by_project.keys().copied()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// What each project has running, and where several of them wait for the same workers.
#[derive(Clone, Debug, Default)]
pub(super) struct Projects {
    running: BTreeMap<Project, Running>,
    /// Worker groups for which the project waits beside others.
    contested: BTreeMap<Project, BTreeSet<usize>>,
}

impl Projects {
    pub(super) fn running(&self, project: Project) -> Running {
        self.running.get(&project).copied().unwrap_or_default()
    }

    fn load(&self, project: Project) -> Load {
        self.running(project).load()
    }

    pub(super) fn rank(&self, project: Project, head: Head) -> Rank {
        Rank {
            priority: head.0.priority,
            load: self.load(project),
            head,
        }
    }

    pub(super) fn forget_places(&mut self) {
        self.contested.clear();
    }

    fn note(&mut self, project: Project, group: usize, contested: bool) {
        if contested {
            self.contested.entry(project).or_default().insert(group);
        } else if let Some(groups) = self.contested.get_mut(&project) {
            groups.remove(&group);
            if groups.is_empty() {
                self.contested.remove(&project);
            }
        }
    }
}

impl Queue {
    /// The share of a project.
    pub(crate) fn set_share(&mut self, project: ProjectId, share: u32) {
        let running = self.projects.running.entry(Some(project)).or_default();
        if running.share != share {
            running.share = share;
            self.load_changed(Some(project));
        }
    }

    pub(super) fn project_of(&self, builder: BuilderId) -> Project {
        self.builders.get(&builder).and_then(|queue| queue.project)
    }

    pub(super) fn rank(&self, head: Head) -> Rank {
        self.projects.rank(self.project_of(head.1), head)
    }

    /// So many more builds of a builder take a place, or fewer.
    pub(super) fn runs(&mut self, builder: BuilderId, more: bool) {
        let Some(queue) = self.builders.get_mut(&builder) else {
            return;
        };
        let count = |builds: u32| {
            if more {
                builds + 1
            } else {
                builds.saturating_sub(1)
            }
        };
        queue.running = count(queue.running);
        let project = queue.project;
        let running = self.projects.running.entry(project).or_default();
        running.builds = count(running.builds);
        self.load_changed(project);
        self.publish_head(builder);
    }

    /// A builder belongs to another project than before.
    pub(super) fn move_load(&mut self, from: Project, to: Project, builds: u32) {
        let running = self.projects.running.entry(from).or_default();
        running.builds = running.builds.saturating_sub(builds);
        self.projects.running.entry(to).or_default().builds += builds;
    }

    fn load_changed(&mut self, project: Project) {
        if self.stale {
            return;
        }
        self.fresh_heads.refresh(project, &self.projects);
        self.fresh_groups.refresh(project, &self.projects);
        for group in self.projects.contested.get(&project).into_iter().flatten() {
            self.heads[*group].refresh(project, &self.projects);
        }
    }

    /// A head waits for a group of workers.
    pub(super) fn head_in(&mut self, group: usize, project: Project, head: Head) {
        let before = self.heads[group].is_contested();
        self.heads[group].insert(project, head, &self.projects);
        if !self.heads[group].is_contested() {
            return;
        }
        if before {
            self.projects.note(project, group, true);
        } else {
            for project in self.heads[group].projects() {
                self.projects.note(project, group, true);
            }
        }
    }

    /// A head does not wait any more for a group of workers.
    pub(super) fn head_out(&mut self, group: usize, project: Project, head: &Head) {
        let before = self.heads[group].is_contested();
        self.heads[group].remove(project, head, &self.projects);
        if !before {
            return;
        }
        if !self.heads[group].projects().any(|other| other == project) {
            self.projects.note(project, group, false);
        }
        if !self.heads[group].is_contested() {
            for project in self.heads[group].projects() {
                self.projects.note(project, group, false);
            }
        }
    }

    /// Another project of which it is the turn before this builder's, although this builder has waited for longer; with what it has
    /// running, and what this one's has.
    pub(crate) fn whose_turn(&self, builder: BuilderId) -> Option<[(Project, Running); 2]> {
        /// A builder may have workers in very many groups; one of them is enough to tell.
        const LOOKED_AT: usize = 64;
        let queue = self.builders.get(&builder)?;
        let own = self.rank((queue.head?, builder));
        queue.worker_groups.iter().take(LOOKED_AT).find_map(|group| {
            let other = self.heads[*group].first()?;
            let rank = self.rank(other);
            let project = self.project_of(other.1);
            (rank < own && rank.priority == own.priority && other > own.head && project != queue.project)
                .then(|| [project, queue.project].map(|project| (project, self.projects.running(project))))
        })
    }

    /// What each project has running, as far as it has anything.
    pub(super) fn all_running(&self) -> BTreeMap<Project, Running> {
        let running = self.projects.running.iter();
        running
            .filter(|(_, running)| running.builds > 0)
            .map(|(project, running)| (*project, *running))
            .collect()
    }
}
