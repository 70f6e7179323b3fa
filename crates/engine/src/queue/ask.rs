//! Builders of which a function of the configuration says what starts.
//!
//! Such a builder stands in all lines like any other. When it is its turn, it is *asked* instead of started: from then until the
//! answer it holds the slot and the locks that it could have started with. So nobody slips past it meanwhile, and a builder that
//! asks gets its share of a fleet that is never idle. An answer is looked at like everything else before anything starts by it.
//!
//! Who has said no is *silent*: it stands in no line, and is in nobody's way. It is asked again when something has changed
//! that may matter to it (its requests, its workers, the configuration), or when some time has passed.
//!
//! None of this is stored. After a start everybody is asked again.

use ironmaster_model::{BuildId, BuildRequestId, BuilderId, Duration, Timestamp, WorkerId};

use super::{Place, Queue, Start, Uses};
use crate::planted::{Bug, planted};

/// How many requests, and how many workers, there are to choose from at most.
pub(crate) const CANDIDATES_MAX: usize = 16;
/// How many workers are looked at for that.
const LOOKED_AT_MAX: usize = 256;
/// After what time somebody who has said no is asked again although nothing has changed.
const SILENCE: Duration = Duration::from_secs(30);

/// Somebody is being asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ask {
    /// Tells it from others of the builder.
    pub(crate) number: u64,
    /// The worker of which a slot is held.
    pub(crate) worker: WorkerId,
    /// Workers on which the builder could start, the best first.
    pub(crate) workers: Vec<WorkerId>,
    /// Locks that are held.
    uses: Uses,
    /// Whether something has changed since that may matter: a no is out of date.
    changed: bool,
}

/// Somebody has said no.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Silence {
    /// When to ask again at the latest.
    pub(crate) until: Timestamp,
    /// What was said.
    pub(crate) why: String,
}

/// Who holds locks for a builder while it is asked: no build ever has such an id.
fn stand_in(builder: BuilderId) -> BuildId {
    BuildId(u64::MAX - builder.0)
}

/// Whether a holder of locks only stands in for a build that is not there yet.
pub(crate) fn is_stand_in(build: BuildId) -> bool {
    build.0 > u64::MAX / 2
}

impl Queue {
    /// Whether a function is asked before anything of a builder starts.
    pub(crate) fn is_asked(&self, builder: BuilderId) -> bool {
        self.builders.get(&builder).is_some_and(|queue| queue.asks)
    }

    /// It is a builder's turn, and it is asked.
    pub(crate) fn ask(&mut self, start: &Start, number: u64) {
        let Some(queue) = self.builders.get_mut(&start.builder) else {
            return;
        };
        queue.withheld = true;
        let workers = self.able(start);
        let needs = self.builders[&start.builder].locks.iter();
        let uses: Uses = needs.map(|need| (need.key(start.worker), need.access)).collect();
        self.locks.hold(stand_in(start.builder), &uses);
        self.hold_slot(start.worker, true);
        self.publish_head(start.builder);
        self.locks_changed(uses.iter().map(|(key, _)| key));
        let ask = Ask {
            number,
            worker: start.worker,
            workers,
            uses,
            changed: false,
        };
        self.asked.insert(start.builder, ask);
    }

    /// Workers on which a builder could start whose turn it is, the best first.
    fn able(&self, start: &Start) -> Vec<WorkerId> {
        let Some(queue) = self.builders.get(&start.builder) else {
            return Vec::new();
        };
        let group = &self.groups[queue.group];
        let place = queue.waiting.first().copied();
        let others = group
            .rooms
            .iter()
            .take(LOOKED_AT_MAX)
            .map(|(_, (.., worker))| *worker)
            .filter(|worker| *worker != start.worker)
            .filter(|worker| {
                let head = place.map(|place| (place, start.builder));
                head.is_some_and(|head| self.worker_obstacle(queue.group, &head, *worker).is_none())
            });
        std::iter::once(start.worker)
            .chain(others)
            .take(CANDIDATES_MAX)
            .collect()
    }

    /// A question is over: what was held for it is free again, and the builder stands in line as before. Says whether something
    /// has changed since it was put.
    pub(crate) fn answered(&mut self, builder: BuilderId) -> bool {
        let Some(ask) = self.asked.remove(&builder) else {
            return false;
        };
        self.locks.let_go(stand_in(builder), &ask.uses);
        self.hold_slot(ask.worker, false);
        self.stand(builder);
        self.locks_changed(ask.uses.iter().map(|(key, _)| key));
        ask.changed
    }

    fn hold_slot(&mut self, worker: WorkerId, held: bool) {
        if let Some(slots) = self.workers.get_mut(&worker) {
            slots.held = if held {
                slots.held + 1
            } else {
                slots.held.saturating_sub(1)
            };
        }
        self.publish_room(worker);
    }

    fn stand(&mut self, builder: BuilderId) {
        if let Some(queue) = self.builders.get_mut(&builder) {
            queue.withheld = false;
        }
        self.publish_head(builder);
    }

    /// A builder that was asked starts nothing for now.
    pub(crate) fn silence(&mut self, builder: BuilderId, why: String, now: Timestamp) {
        // What has nothing waiting has nothing to be silent about.
        let queue = self.builders.get_mut(&builder);
        let Some(queue) = queue.filter(|queue| !queue.waiting.is_empty()) else {
            return;
        };
        queue.withheld = true;
        let silence = Silence {
            until: now + SILENCE,
            why,
        };
        self.silent.insert(builder, silence);
        self.publish_head(builder);
    }

    /// Something has changed that may matter to a builder.
    pub(super) fn listen(&mut self, builder: BuilderId) {
        if self.silent.remove(&builder).is_some() {
            self.stand(builder);
        }
        if let Some(ask) = self.asked.get_mut(&builder) {
            ask.changed = true;
        }
    }

    /// Something has changed that may matter to whatever a worker serves.
    pub(super) fn listen_all_of(&mut self, worker: WorkerId) {
        if self.silent.is_empty() && self.asked.is_empty() {
            return;
        }
        let served = self.builders_of(worker);
        let concerned: Vec<BuilderId> = self
            .silent
            .keys()
            .chain(self.asked.keys())
            .copied()
            .filter(|builder| served.binary_search(builder).is_ok())
            .collect();
        for builder in concerned {
            self.listen(builder);
        }
    }

    /// Those who have been silent for long enough are asked again.
    pub(crate) fn end_silences(&mut self, now: Timestamp) {
        let over = self.silent.iter().filter(|(_, silence)| silence.until <= now);
        let over: Vec<BuilderId> = over.map(|(builder, _)| *builder).collect();
        for builder in over {
            self.listen(builder);
        }
    }

    /// When somebody is asked again at the latest.
    pub(crate) fn next_silence_ends(&self) -> Option<Timestamp> {
        self.silent.values().map(|silence| silence.until).min()
    }

    /// Another configuration has other functions: what was asked, and what was said, means nothing any more.
    pub(crate) fn forget_asked(&mut self) {
        let asked: Vec<BuilderId> = self.asked.keys().copied().collect();
        for builder in asked {
            self.answered(builder);
        }
        let silent: Vec<BuilderId> = self.silent.keys().copied().collect();
        for builder in silent {
            self.listen(builder);
        }
    }

    /// Builders that are asked.
    pub(crate) fn all_asked(&self) -> impl Iterator<Item = (BuilderId, &Ask)> + '_ {
        self.asked.iter().map(|(builder, ask)| (*builder, ask))
    }

    /// What a builder is asked, if it is.
    pub(crate) fn asked(&self, builder: BuilderId) -> Option<&Ask> {
        self.asked.get(&builder)
    }

    /// What a builder has said, if it has said no.
    pub(crate) fn silence_of(&self, builder: BuilderId) -> Option<&Silence> {
        self.silent.get(&builder)
    }

    /// The first requests of a builder.
    pub(crate) fn first_requests(&self, builder: BuilderId) -> impl Iterator<Item = BuildRequestId> + '_ {
        let queue = self.builders.get(&builder);
        let waiting = queue.into_iter().flat_map(|queue| &queue.waiting);
        waiting.take(CANDIDATES_MAX).map(|place| place.request)
    }

    /// The requests of a builder, those that go last before the others.
    pub(crate) fn last_requests(&self, builder: BuilderId) -> impl Iterator<Item = BuildRequestId> + '_ {
        let queue = self.builders.get(&builder);
        let waiting = queue.into_iter().flat_map(|queue| queue.waiting.iter().rev());
        waiting.map(|place| place.request)
    }

    /// Whether a worker has run a builder lately.
    pub(crate) fn is_warm(&self, builder: BuilderId, worker: WorkerId) -> bool {
        let queue = self.builders.get(&builder);
        queue.is_some_and(|queue| queue.warm.iter().any(|(warm, _)| *warm == worker))
    }

    /// How a request that somebody has chosen starts on a worker that somebody has chosen; none if it cannot any more. The builder's
    /// turn is that of its first request, whichever of them is chosen.
    pub(crate) fn start_chosen(
        &mut self,
        builder: BuilderId,
        place: &Place,
        worker: WorkerId,
    ) -> Option<Start> {
        if self.stale {
            self.regroup();
        }
        let queue = self.builders.get(&builder)?;
        let first = queue.head_now()?;
        let slots = self.workers.get(&worker)?;
        let serves = slots.builders.binary_search(&builder).is_ok();
        let room = slots.room.is_some() || planted(Bug::AnswerUnchecked);
        if !queue.waiting.contains(place) || !serves || !room {
            return None;
        }
        let head = (first, builder);
        let obstacle = self
            .master_obstacle(queue.group, &head)
            .or_else(|| self.worker_obstacle(queue.group, &head, worker));
        if obstacle.is_some() && !planted(Bug::AnswerUnchecked) {
            return None;
        }
        Some(Start {
            request: place.request,
            builder,
            worker,
            slot: self.slot_on(builder, worker)?,
        })
    }
}
