//! Why something does not start: the same predicates that decide answer people's questions, and a
//! watchdog that goes through the plain rows finds what the indexes would have missed.

use std::fmt;

use ironmaster_model::{
    BuildId, BuildRequestId, BuilderId, Downtime, RequestPhase, Results, Timestamp, WorkerId, WorkerRecord,
    Zone,
};

use crate::{
    State,
    planted::{Bug, planted},
    queue::{Obstacle, is_stand_in},
};

/// Why a worker takes nothing, if it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The configuration does not have it.
    Removed,
    /// It has never connected.
    NeverConnected,
    /// It is not connected.
    Disconnected,
    /// Somebody paused it, for this reason.
    Paused(Option<String>),
    /// It is to finish what it runs and shut down.
    Graceful,
    /// It has time off until then.
    Downtime(Timestamp),
}

/// Why a worker takes no new build; none if it would, given a free slot.
pub fn unavailable(worker: &WorkerRecord) -> Option<Unavailable> {
    if !worker.active {
        return Some(Unavailable::Removed);
    }
    match &worker.connection {
        None => Some(Unavailable::NeverConnected),
        Some(connection) if !connection.connected => Some(Unavailable::Disconnected),
        Some(_) if worker.paused => Some(Unavailable::Paused(worker.pause_reason.clone())),
        Some(_) if worker.graceful => Some(Unavailable::Graceful),
        Some(_) => match worker.downtime {
            Some(Downtime::Until(until)) if !planted(Bug::DowntimeIgnored) => {
                Some(Unavailable::Downtime(until))
            }
            _ => None,
        },
    }
}

/// Where a request stands, and what it waits for. Its text answers a user who asks why nothing happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// It is over, or there never was one.
    Unknown,
    /// It is being built.
    Building {
        /// By this build.
        build: BuildId,
    },
    /// It is over; other requests of its buildset are not.
    Complete {
        /// How it ended.
        results: Results,
    },
    /// No master runs that could start it.
    NoMaster,
    /// The master is to stop when the builds that run are over.
    Draining,
    /// The configuration does not have its builder any more.
    BuilderRemoved {
        /// The builder's name.
        builder: String,
    },
    /// The configuration gives its builder no worker.
    NoWorkers {
        /// The builder's name.
        builder: String,
    },
    /// Other requests of the builder go first.
    Behind {
        /// How many.
        ahead: usize,
        /// The first of them.
        first: BuildRequestId,
        /// What that one waits for.
        because: Box<Waiting>,
    },
    /// As many builds of the builder run as may run at once.
    BuilderLimit {
        /// How many run.
        running: u32,
        /// How many may.
        max: u32,
    },
    /// None of the builder's workers has room.
    WorkersOccupied {
        /// Workers that run as much as they may.
        busy: Vec<String>,
        /// Workers that are not connected.
        disconnected: Vec<String>,
        /// Workers that are paused, with the reason.
        paused: Vec<(String, Option<String>)>,
        /// Workers that are about to shut down.
        graceful: Vec<String>,
        /// Workers that have time off, and until when.
        downtime: Vec<(String, Timestamp)>,
        /// Whose turn it is when one of those that are busy has room again, if it is another project's although this request
        /// has waited for longer.
        turn: Option<Turn>,
    },
    /// It could start if it had its locks.
    Locks(LockWait),
    /// Functions of the configuration are being asked what of its builder starts.
    Asked,
    /// Functions of the configuration have said that nothing of its builder starts for now, or have failed.
    Declined {
        /// What was said.
        why: String,
        /// When they are asked again at the latest.
        until: Timestamp,
    },
    /// Nothing is in its way.
    Ready {
        /// A worker that could run it.
        worker: WorkerId,
    },
}

/// It is another project's turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The other project.
    pub other: ProjectUse,
    /// The project of the request that waits.
    pub own: ProjectUse,
}

/// What a project has running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectUse {
    /// Its name; none for builders that belong to none.
    pub project: Option<String>,
    /// How many builds.
    pub running: u32,
    /// Its share.
    pub share: u32,
}

impl fmt::Display for ProjectUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.project {
            Some(name) => write!(f, "project \"{name}\"")?,
            None => f.write_str("what has no project")?,
        }
        let s = if self.running == 1 { "" } else { "s" };
        write!(f, " runs {} build{s}", self.running)?;
        if self.share != 1 {
            write!(f, " for its share of {}", self.share)?;
        }
        Ok(())
    }
}

/// A lock that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockWait {
    /// The lock's name.
    pub lock: String,
    /// Of which worker it is, if it is one of a worker.
    pub worker: Option<String>,
    /// How much of it is taken.
    pub taken: u64,
    /// How much of it there is.
    pub max: u64,
    /// Builds that hold it, for themselves or for their step.
    pub holders: Vec<BuildId>,
    /// Who waits before it, if that is what it waits for.
    pub behind: Option<Behind>,
}

/// Who is before somebody else in line for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// A request that is to start.
    Request(BuildRequestId),
    /// The step of this build.
    StepOf(BuildId),
}

impl fmt::Display for LockWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lock \"{}\"", self.lock)?;
        if let Some(worker) = &self.worker {
            write!(f, " of worker \"{worker}\"")?;
        }
        match self.behind {
            Some(Behind::Request(request)) => write!(f, " goes to request {request} first"),
            Some(Behind::StepOf(build)) => write!(f, " goes to a step of build {build} first"),
            None if self.holders.is_empty() => f.write_str(
                " is kept for a builder that functions of the configuration are being asked about",
            ),
            None => {
                let holders: Vec<String> = self
                    .holders
                    .iter()
                    .map(|build| format!("build {build}"))
                    .collect();
                let holders = list(&holders);
                write!(f, " is held by {holders} ({} of {} taken)", self.taken, self.max)
            }
        }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Waiting::Unknown => f.write_str("it is over, or there is no such request"),
            Waiting::Building { build } => write!(f, "build {build} is building it"),
            Waiting::Complete { results } => write!(f, "it is over ({results})"),
            Waiting::NoMaster => f.write_str("no master is running"),
            Waiting::Draining => f.write_str(
                "the master is stopping and starts no more builds; it begins after the next start, or when the stop is cancelled",
            ),
            Waiting::BuilderRemoved { builder } => write!(
                f,
                "the configuration has no builder \"{builder}\" any more; it waits until there is one again"
            ),
            Waiting::NoWorkers { builder } => {
                write!(f, "no worker in the configuration may run builder \"{builder}\"")
            }
            Waiting::Behind {
                ahead,
                first,
                because,
            } => write!(
                f,
                "{ahead} request{} of the same builder go{} first; request {first}: {because}",
                if *ahead == 1 { "" } else { "s" },
                if *ahead == 1 { "es" } else { "" },
            ),
            Waiting::BuilderLimit { running, max } => write!(
                f,
                "{running} builds of this builder are running, and its limit is {max}"
            ),
            Waiting::WorkersOccupied {
                busy,
                disconnected,
                paused,
                graceful,
                downtime,
                turn,
            } => {
                let mut parts = Vec::new();
                if !busy.is_empty() {
                    parts.push(format!("busy: {}", list(busy)));
                }
                if !disconnected.is_empty() {
                    parts.push(format!("not connected: {}", list(disconnected)));
                }
                if !paused.is_empty() {
                    let names: Vec<String> = paused
                        .iter()
                        .map(|(name, reason)| match reason {
                            Some(reason) => format!("{name} ({reason})"),
                            None => name.clone(),
                        })
                        .collect();
                    parts.push(format!("paused: {}", list(&names)));
                }
                if !graceful.is_empty() {
                    parts.push(format!("shutting down when idle: {}", list(graceful)));
                }
                if !downtime.is_empty() {
                    let names: Vec<String> = downtime
                        .iter()
                        .map(|(name, until)| format!("{name} until {} UTC", Zone::utc().text(*until)))
                        .collect();
                    parts.push(format!("in a downtime: {}", list(&names)));
                }
                write!(f, "none of its workers has room ({})", parts.join("; "))?;
                match turn {
                    None => Ok(()),
                    Some(Turn { other, own }) => {
                        write!(f, "; another project is served first: {other}, and {own}")
                    }
                }
            }
            Waiting::Locks(lock) => lock.fmt(f),
            Waiting::Asked => f.write_str("functions of the configuration are being asked about its builder"),
            Waiting::Declined { why, .. } => f.write_str(why),
            Waiting::Ready { worker } => write!(f, "nothing; worker {worker} could run it"),
        }
    }
}

impl LockWait {
    /// What would make it go on.
    pub fn remedy(&self) -> String {
        match self.behind {
            Some(_) => "it is served in order; it comes next when that one has had the lock".into(),
            None if self.holders.len() > 1 => {
                "it goes on when enough of them have ended, or were stopped".into()
            }
            None if self.holders.is_empty() => {
                "it goes on when they have said no, or that build has ended".into()
            }
            None => "it goes on when that build has ended, or was stopped".into(),
        }
    }
}

impl Waiting {
    /// What would make it run.
    pub fn remedy(&self) -> String {
        match self {
            Waiting::Unknown | Waiting::Building { .. } | Waiting::Complete { .. } => String::new(),
            Waiting::NoMaster => "start the master".into(),
            Waiting::Draining => "take the stop back, or start the master again once it has stopped".into(),
            Waiting::BuilderRemoved { .. } => {
                "put the builder back into the configuration, or cancel the request".into()
            }
            Waiting::NoWorkers { .. } => {
                "name a worker in the builder's `workers`, or give one a label that it asks for".into()
            }
            Waiting::Behind { because, .. } => format!(
                "raise its priority to let it go first; of the first one: {}",
                because.remedy()
            ),
            Waiting::BuilderLimit { .. } => {
                "it starts when one of them ends; the limit is the builder's `builds_max`".into()
            }
            Waiting::WorkersOccupied {
                busy,
                disconnected,
                paused,
                graceful,
                downtime,
                turn,
            } => {
                let mut ways = Vec::new();
                if !busy.is_empty() {
                    ways.push("a build on a busy worker ends".to_owned());
                }
                if !disconnected.is_empty() {
                    ways.push(format!("{} connects", list(disconnected)));
                }
                if !paused.is_empty() {
                    let names: Vec<String> = paused.iter().map(|(name, _)| name.clone()).collect();
                    ways.push(format!("{} is unpaused", list(&names)));
                }
                if !graceful.is_empty() {
                    ways.push(format!("{} is started again", list(graceful)));
                }
                if let Some((name, until)) = downtime.iter().min_by_key(|(_, until)| *until) {
                    let until = Zone::utc().text(*until);
                    ways.push(format!("the downtime of {name} ends at {until} UTC"));
                }
                let turn = turn.as_ref().map_or("", |_| {
                    "; a higher priority lets it go first, and `share` of the projects says how much is whose"
                });
                format!("it starts when {}{turn}", ways.join(", or "))
            }
            Waiting::Locks(lock) => lock.remedy(),
            Waiting::Asked => "it starts when they say so".into(),
            Waiting::Declined { until, .. } => format!(
                "they are asked again when its requests, its workers or the configuration have changed, at the latest at {} UTC",
                Zone::utc().text(*until)
            ),
            Waiting::Ready { .. } => "nothing is missing".into(),
        }
    }
}

/// Names, cut short where there are many.
pub(crate) fn list(names: &[String]) -> String {
    const SHOWN: usize = 5;
    if names.len() <= SHOWN {
        return names.join(", ");
    }
    format!("{} and {} more", names[..SHOWN].join(", "), names.len() - SHOWN)
}

/// Work that could run and does not: a mistake of this program. After each decision there must be none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// The request.
    pub request: BuildRequestId,
    /// Its builder.
    pub builder: BuilderId,
    /// A worker that could run it.
    pub worker: WorkerId,
    /// How long it has been possible cannot be known; this is how long the request has existed, in seconds.
    pub age_secs: i64,
    /// For people and bug reports.
    pub why: String,
}

impl State {
    /// What a request waits for.
    pub fn why_waiting(&self, id: BuildRequestId) -> Waiting {
        let Some(request) = self.requests.get(&id) else {
            return Waiting::Unknown;
        };
        match &request.phase {
            RequestPhase::Claimed { build, .. } => return Waiting::Building { build: *build },
            RequestPhase::Complete { results, .. } => return Waiting::Complete { results: *results },
            RequestPhase::Queued => {}
        }
        match self.master() {
            None => return Waiting::NoMaster,
            Some(master) if master.draining => return Waiting::Draining,
            Some(_) => {}
        }
        let Some(builder) = self.builders.get(&request.builder) else {
            return Waiting::Unknown;
        };
        if !builder.active {
            return Waiting::BuilderRemoved {
                builder: builder.name.clone(),
            };
        }
        if let (ahead, Some(first)) = self.queue.ahead(builder.id, &State::place_of(request)) {
            return Waiting::Behind {
                ahead,
                first,
                because: Box::new(self.why_waiting(first)),
            };
        }
        if let (running, Some(max)) = self.queue.running(builder.id)
            && running >= max
        {
            return Waiting::BuilderLimit { running, max };
        }
        if self.queue.asked(builder.id).is_some() {
            return Waiting::Asked;
        }
        let silence = self.queue.silence_of(builder.id);
        let mut obstacle = None;
        let (mut busy, mut disconnected, mut paused, mut graceful) = (vec![], vec![], vec![], vec![]);
        let mut downtime = vec![];
        for worker in self.workers.values() {
            if worker.builders.binary_search(&builder.id).is_err() {
                continue;
            }
            let name = worker.name.clone();
            match unavailable(worker) {
                None => {
                    let (used, slots) = self.queue.slots(worker.id);
                    if used >= slots {
                        busy.push(name);
                        continue;
                    }
                    match self.queue.why_no_locks(builder.id, worker.id) {
                        None => {
                            return silence.map_or(Waiting::Ready { worker: worker.id }, |silence| {
                                Waiting::Declined {
                                    why: silence.why.clone(),
                                    until: silence.until,
                                }
                            });
                        }
                        Some(other) => obstacle = obstacle.or(Some(other)),
                    }
                }
                Some(Unavailable::Removed) => {}
                Some(Unavailable::NeverConnected | Unavailable::Disconnected) => disconnected.push(name),
                Some(Unavailable::Paused(reason)) => paused.push((name, reason)),
                Some(Unavailable::Graceful) => graceful.push(name),
                Some(Unavailable::Downtime(until)) => downtime.push((name, until)),
            }
        }
        if let Some(obstacle) = obstacle {
            return Waiting::Locks(self.lock_wait(obstacle));
        }
        if [&busy, &disconnected, &graceful]
            .iter()
            .all(|names| names.is_empty())
            && paused.is_empty()
            && downtime.is_empty()
        {
            return Waiting::NoWorkers {
                builder: builder.name.clone(),
            };
        }
        let turn = if busy.is_empty() {
            None
        } else {
            self.turn(builder.id)
        };
        Waiting::WorkersOccupied {
            busy,
            disconnected,
            paused,
            graceful,
            downtime,
            turn,
        }
    }

    /// Whose turn it is before a builder's, if that is another project's.
    fn turn(&self, builder: BuilderId) -> Option<Turn> {
        let [other, own] = self
            .queue
            .whose_turn(builder)?
            .map(|(project, running)| ProjectUse {
                project: project.and_then(|id| Some(self.projects.get(&id)?.name.clone())),
                running: running.builds,
                share: running.share,
            });
        Some(Turn { other, own })
    }

    /// What the step of a build waits for, if it waits for locks.
    pub fn why_step_waits(&self, build: BuildId) -> Option<LockWait> {
        let obstacle = self.queue.why_step_waits(build)?;
        Some(self.lock_wait(obstacle))
    }

    /// Builds whose step waits for locks.
    pub fn builds_that_wait_for_locks(&self) -> impl Iterator<Item = BuildId> + '_ {
        self.queue.locks().waiting()
    }

    fn lock_wait(&self, obstacle: Obstacle) -> LockWait {
        let (key, behind) = match obstacle {
            Obstacle::Held(key) => (key, None),
            Obstacle::BehindStep(key, build) => (key, Some(Behind::StepOf(build))),
            Obstacle::BehindRequest(key, request) => (key, Some(Behind::Request(request))),
        };
        let locks = self.queue.locks();
        let (taken, max) = locks.count(&key);
        let worker = key.1.and_then(|id| self.workers.get(&id));
        LockWait {
            lock: key.0.to_string(),
            worker: worker.map(|worker| worker.name.clone()),
            taken,
            max,
            holders: locks.holders(&key).filter(|build| !is_stand_in(*build)).collect(),
            behind,
        }
    }

    /// The watchdog: what could run and does not. It reads the plain rows, not the index that choices are made
    /// from, so that a mistake there is seen. Always empty after a decision.
    pub fn stuck(&self, now: Timestamp) -> Vec<Stuck> {
        let waiting: Vec<_> = self.queue.waiting_builders().collect();
        let with_room = |worker: &&WorkerRecord| {
            let slots = self.plan.workers.get(&worker.name).map_or(0, |def| def.slots);
            unavailable(worker).is_none()
                && self
                    .queue
                    .builds_on(worker.id)
                    .filter(|id| self.build(*id).is_some_and(|build| build.waits.is_none()))
                    .count()
                    < slots as usize
        };
        let free: Vec<&WorkerRecord> = self.workers.values().filter(with_room).collect();
        if waiting.is_empty() || free.is_empty() {
            return Vec::new();
        }
        waiting
            .into_iter()
            .filter_map(|(builder, id)| {
                let request = self.requests.get(&id)?;
                if !free
                    .iter()
                    .any(|worker| worker.builders.binary_search(&builder).is_ok())
                {
                    return None;
                }
                let Waiting::Ready { worker } = self.why_waiting(id) else {
                    return None;
                };
                let name = self.workers.get(&worker).map_or("?", |worker| &worker.name);
                Some(Stuck {
                    request: id,
                    builder,
                    worker,
                    age_secs: now.since(request.submitted_at).as_secs(),
                    why: format!(
                        "request {id} waits although worker \"{name}\" has room for it; this is a bug, please report it"
                    ),
                })
            })
            .collect()
    }
}
