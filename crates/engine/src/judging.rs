//! Requests about which functions of the configuration are asked when they are queued: how urgent they are, and which older ones they
//! replace.
//!
//! A request need not wait for that: it has the priority that it was made with, and may start. That it was asked about is no fact; what
//! comes of it is ([`Event::RequestPrioritised`](ironmaster_model::Event), [`Event::RequestCompleted`](ironmaster_model::Event)). So a start of
//! the master, or a configuration, which may have other functions, asks about all that waits.

use std::collections::{BTreeMap, BTreeSet};

use ironmaster_model::{Asks, BuildRequestId, BuildRequestRecord, RequestPhase};

use crate::{State, Wish, queue::CANDIDATES_MAX};

/// Requests that are looked at for those that a new one might replace.
const LOOKED_AT_MAX: usize = 256;
/// Failures that are kept, for those who ask why.
const PROBLEMS_MAX: usize = 256;

/// Who is to be asked about, and what has failed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Judging {
    open: BTreeSet<BuildRequestId>,
    problems: BTreeMap<BuildRequestId, String>,
}

/// A request about which functions are to be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// The request.
    pub wish: Wish,
    /// Its builder's name.
    pub builder: String,
    /// Digest of the configuration whose functions are meant.
    pub config: String,
    /// Older requests of the builder that it might replace, the newest first, at most 16.
    pub others: Vec<Wish>,
}

/// What functions have said of a [`Case`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// The request's priority, if they have said one.
    pub priority: Option<i64>,
    /// Older requests that it replaces.
    pub replaces: Vec<BuildRequestId>,
    /// What went wrong, for people, with the place in the file.
    pub problem: Option<String>,
}

impl Judging {
    /// Functions were asked about a request; with what went wrong.
    pub(crate) fn judged(&mut self, id: BuildRequestId, problem: Option<String>) {
        self.open.remove(&id);
        match problem {
            None => {
                self.problems.remove(&id);
            }
            Some(problem) => {
                self.problems.insert(id, problem);
                while self.problems.len() > PROBLEMS_MAX {
                    self.problems.pop_first();
                }
            }
        }
    }

    /// A request does not wait any more.
    pub(crate) fn forget(&mut self, id: BuildRequestId) {
        self.open.remove(&id);
        self.problems.remove(&id);
    }
}

impl State {
    /// Whether functions are to be asked about a request.
    pub fn has_cases(&self) -> bool {
        !self.judging.open.is_empty()
    }

    /// Requests about which functions are to be asked, the oldest first.
    pub fn cases(&self) -> impl Iterator<Item = BuildRequestId> + '_ {
        self.judging.open.iter().copied()
    }

    pub(crate) fn is_case(&self, id: BuildRequestId) -> bool {
        self.judging.open.contains(&id)
    }

    /// What is asked about a request; none if nothing is.
    pub fn case(&self, id: BuildRequestId) -> Option<Case> {
        if !self.is_case(id) {
            return None;
        }
        let wish = self.wish(id)?;
        let request = &wish.request;
        let others = if self.may_collapse(request) {
            let last = self.queue.last_requests(request.builder).take(LOOKED_AT_MAX);
            let mut older: Vec<BuildRequestId> = last
                .filter(|other| self.is_replaceable(*other, request))
                .collect();
            older.sort_unstable();
            let newest = older.iter().rev().take(CANDIDATES_MAX);
            newest.filter_map(|other| self.wish(*other)).collect()
        } else {
            Vec::new()
        };
        Some(Case {
            builder: self.builders.get(&request.builder)?.name.clone(),
            config: self.config.clone(),
            others,
            wish,
        })
    }

    /// What went wrong when functions were asked about a request that waits.
    pub fn problem_of(&self, id: BuildRequestId) -> Option<&str> {
        self.judging.problems.get(&id).map(String::as_str)
    }

    /// Whether a function says which older requests this one replaces.
    pub(crate) fn may_collapse(&self, request: &BuildRequestRecord) -> bool {
        !request.waited_for && self.asks_of(request).is_some_and(|asks| asks.collapse)
    }

    /// Whether a request may be replaced by a newer one of its builder.
    pub(crate) fn is_replaceable(&self, other: BuildRequestId, by: &BuildRequestRecord) -> bool {
        self.requests.get(&other).is_some_and(|other| {
            other.builder == by.builder
                && other.id < by.id
                && !other.waited_for
                && other.phase == RequestPhase::Queued
        })
    }

    fn asks_of(&self, request: &BuildRequestRecord) -> Option<Asks> {
        let name = &self.builders.get(&request.builder)?.name;
        Some(self.plan.builders.get(name)?.asks)
    }

    /// A request waits: functions are asked about it, if there are any.
    pub(crate) fn open_case(&mut self, id: BuildRequestId) {
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        let by_scheduler = || {
            let buildset = self.buildset(request.buildset)?;
            let scheduler = self.plan.schedulers.get(&buildset.scheduler)?;
            Some(scheduler.asks_priority)
        };
        let asked = self.asks_of(request).is_some_and(|asks| asks.priority)
            || self.may_collapse(request)
            || by_scheduler().unwrap_or_default();
        if asked {
            self.judging.open.insert(id);
        }
    }

    /// Functions are asked about everything that waits: they may be others than before.
    pub(crate) fn open_all_cases(&mut self) {
        self.judging = Judging::default();
        let builders = self.plan.builders.values();
        let asks = builders
            .clone()
            .any(|builder| builder.asks.priority || builder.asks.collapse)
            || self
                .plan
                .schedulers
                .values()
                .any(|scheduler| scheduler.asks_priority);
        if !asks {
            return;
        }
        let queued = self.requests.values();
        let queued: Vec<BuildRequestId> = queued
            .filter(|request| request.phase == RequestPhase::Queued)
            .map(|request| request.id)
            .collect();
        for id in queued {
            self.open_case(id);
        }
    }
}
