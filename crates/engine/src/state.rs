//! Everything that decisions need, in memory: what is active, never history.
//!
//! State is made from rows ([`State::load`]) and changes by events alone ([`State::apply`]). Turned back into rows
//! ([`State::to_snapshot`]) it equals what the database says: a test proves it, and so does `ironmaster fsck`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ironmaster_model::{
    BuildId, BuildRecord, BuildRequestId, BuildRequestRecord, BuilderDef, BuilderId, BuilderRecord,
    BuildsetId, BuildsetRecord, ChangeId, ChangeRecord, ChangeSourceId, ChangeSourceRecord, Counter, LogId,
    LogRecord, MasterId, MasterRecord, NewSourceStamp, Plan, RequestPhase, SchedulerId, SchedulerRecord,
    Snapshot, SourceStampId, SourceStampRecord, StepRecord, Timestamp, WorkerId, WorkerRecord,
};

use crate::{
    deadlines::{Deadlines, Due},
    filter::Filters,
    planted::{Bug, planted},
    queue::{Place, Queue},
};

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) now: Timestamp,
    pub(crate) seq: u64,
    pub(crate) counters: BTreeMap<Counter, u64>,
    pub(crate) masters: BTreeMap<MasterId, MasterRecord>,
    pub(crate) builders: BTreeMap<BuilderId, BuilderRecord>,
    pub(crate) workers: BTreeMap<WorkerId, WorkerRecord>,
    pub(crate) schedulers: BTreeMap<SchedulerId, SchedulerRecord>,
    pub(crate) change_sources: BTreeMap<ChangeSourceId, ChangeSourceRecord>,
    pub(crate) names: Names,
    /// Digest of the plan in force.
    pub(crate) config: String,
    /// The plan in force; an empty one before the first.
    pub(crate) plan: Arc<Plan>,
    /// Plans by digest: the one in force, and those of running builds with their number.
    pub(crate) plans: BTreeMap<String, PlanUse>,
    pub(crate) filters: Filters,
    /// Changes that schedulers hold back.
    pub(crate) changes: BTreeMap<ChangeId, Held<ChangeRecord>>,
    pub(crate) stamps: Stamps,
    pub(crate) buildsets: BTreeMap<BuildsetId, BuildsetEntry>,
    pub(crate) requests: BTreeMap<BuildRequestId, BuildRequestRecord>,
    pub(crate) builds: BTreeMap<BuildId, BuildEntry>,
    pub(crate) queue: Queue,
    pub(crate) deadlines: Deadlines,
    pub(crate) collapsible: BTreeMap<BuilderId, BTreeSet<(u64, BuildRequestId)>>,
    /// Changes and stamps that nothing refers to any more, or not yet. They go when the decision is over.
    pub(crate) unused_changes: BTreeSet<ChangeId>,
    pub(crate) unused_stamps: BTreeSet<SourceStampId>,
}

/// Ids by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(crate) masters: BTreeMap<String, MasterId>,
    pub(crate) builders: BTreeMap<String, BuilderId>,
    pub(crate) workers: BTreeMap<String, WorkerId>,
    pub(crate) schedulers: BTreeMap<String, SchedulerId>,
    pub(crate) change_sources: BTreeMap<String, ChangeSourceId>,
}

/// A plan and how many running builds use it.
#[derive(Clone, Debug)]
pub(crate) struct PlanUse {
    pub(crate) plan: Arc<Plan>,
    pub(crate) builds: usize,
}

/// A record and how many others refer to it.
#[derive(Clone, Debug)]
pub(crate) struct Held<T> {
    pub(crate) record: T,
    pub(crate) refs: usize,
}

/// Source stamps by id and by what they name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stamps {
    pub(crate) by_id: BTreeMap<SourceStampId, Held<SourceStampRecord>>,
    pub(crate) by_hash: BTreeSet<(u64, SourceStampId)>,
}

/// A buildset that is not complete.
#[derive(Clone, Debug)]
pub(crate) struct BuildsetEntry {
    pub(crate) record: BuildsetRecord,
    pub(crate) requests: Vec<BuildRequestId>,
    /// How many of them are not complete.
    pub(crate) open: usize,
}

/// A build that is not complete.
#[derive(Clone, Debug)]
pub(crate) struct BuildEntry {
    pub(crate) record: BuildRecord,
    pub(crate) steps: Vec<StepRecord>,
    /// Logs of its running step.
    pub(crate) logs: BTreeMap<LogId, LogRecord>,
}

/// What a runner needs to run or resume a build.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The build, with its properties, its slot, and whether it is to be stopped or is lost.
    pub build: BuildRecord,
    /// The builder as it was when the build started.
    pub builder: Arc<BuilderDef>,
    /// The builder's name.
    pub builder_name: String,
    /// The worker's id.
    pub worker_id: WorkerId,
    /// The worker's name.
    pub worker_name: String,
    /// Name of its directory on the worker: that of [`workdir`](crate::build::workdir).
    pub workdir: String,
    /// What it builds.
    pub sourcestamps: Vec<SourceStampRecord>,
    /// Changes that led to it.
    pub changes: Vec<ChangeId>,
    /// Its buildset.
    pub buildset: BuildsetId,
    /// The buildset's reason.
    pub reason: String,
    /// The running step; there is always one in an active build.
    pub step: Option<StepRecord>,
    /// That step's logs, finished ones too.
    pub logs: Vec<LogRecord>,
    /// Steps that are over, in order.
    pub steps_done: Vec<StepRecord>,
}

/// Rows that do not fit together. The database was damaged, or written by something else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} refers to {missing}, which is not there; run `ironmaster fsck`")]
pub struct LoadError {
    /// The row that refers.
    pub what: String,
    /// What it refers to.
    pub missing: String,
}

impl State {
    /// Makes State from rows.
    pub fn load(snapshot: Snapshot) -> Result<State, LoadError> {
        let plan = snapshot
            .plans
            .get(&snapshot.config)
            .cloned()
            .map(Arc::new)
            .unwrap_or_default();
        if !snapshot.config.is_empty() && !snapshot.plans.contains_key(&snapshot.config) {
            return Err(LoadError {
                what: "the state".into(),
                missing: format!("configuration {}", snapshot.config),
            });
        }
        let mut state = State {
            now: snapshot.now,
            seq: snapshot.seq,
            counters: Counter::ALL
                .iter()
                .map(|counter| {
                    (
                        *counter,
                        snapshot.counters.get(counter).copied().unwrap_or(1).max(1),
                    )
                })
                .collect(),
            masters: by(snapshot.masters, |master| master.id),
            builders: by(snapshot.builders, |builder| builder.id),
            workers: by(snapshot.workers, |worker| worker.id),
            schedulers: by(snapshot.schedulers, |scheduler| scheduler.id),
            change_sources: by(snapshot.change_sources, |source| source.id),
            names: Names::default(),
            config: snapshot.config,
            filters: Filters::new(&plan),
            plan,
            plans: BTreeMap::new(),
            changes: BTreeMap::new(),
            stamps: Stamps::default(),
            buildsets: BTreeMap::new(),
            requests: BTreeMap::new(),
            builds: BTreeMap::new(),
            queue: Queue::default(),
            deadlines: Deadlines::default(),
            collapsible: BTreeMap::new(),
            unused_changes: BTreeSet::new(),
            unused_stamps: BTreeSet::new(),
        };
        state.names = Names {
            masters: names(&state.masters, |master| &master.name),
            builders: names(&state.builders, |builder| &builder.name),
            workers: names(&state.workers, |worker| &worker.name),
            schedulers: names(&state.schedulers, |scheduler| &scheduler.name),
            change_sources: names(&state.change_sources, |source| &source.name),
        };
        for (digest, plan) in snapshot.plans {
            let plan = if digest == state.config {
                Arc::clone(&state.plan)
            } else {
                Arc::new(plan)
            };
            state.plans.insert(digest, PlanUse { plan, builds: 0 });
        }
        for stamp in snapshot.sourcestamps {
            state.stamps.insert(stamp, 0);
        }
        for change in snapshot.changes {
            state.hold_stamp(change.sourcestamp, || format!("change {}", change.id))?;
            state.changes.insert(
                change.id,
                Held {
                    record: change,
                    refs: 0,
                },
            );
        }
        let waiting: Vec<(SchedulerId, ChangeId)> = state
            .schedulers
            .values()
            .flat_map(|scheduler| held_changes(&scheduler.state).map(|change| (scheduler.id, change)))
            .collect();
        for (scheduler, change) in waiting {
            let held = state.changes.get_mut(&change).ok_or_else(|| LoadError {
                what: format!("scheduler {scheduler}"),
                missing: format!("change {change}"),
            })?;
            held.refs += 1;
        }
        for buildset in snapshot.buildsets {
            for stamp in &buildset.sourcestamps {
                state.hold_stamp(*stamp, || format!("buildset {}", buildset.id))?;
            }
            state.buildsets.insert(
                buildset.id,
                BuildsetEntry {
                    record: buildset,
                    requests: Vec::new(),
                    open: 0,
                },
            );
        }
        state.index_configuration();
        let mut requests = snapshot.requests;
        requests.sort_by_key(|request| request.id);
        for request in requests {
            state.load_request(request)?;
        }
        let mut builds = snapshot.builds;
        builds.sort_by_key(|build| build.id);
        for build in builds {
            state.load_build(build)?;
        }
        let mut steps = snapshot.steps;
        steps.sort_by_key(|step| (step.build, step.number));
        for step in steps {
            let build = state.builds.get_mut(&step.build).ok_or_else(|| LoadError {
                what: format!("step {}", step.id),
                missing: format!("build {}", step.build),
            })?;
            build.steps.push(step);
        }
        for log in snapshot.logs {
            let build = state.builds.get_mut(&log.build).ok_or_else(|| LoadError {
                what: format!("log {}", log.id),
                missing: format!("build {}", log.build),
            })?;
            build.logs.insert(log.id, log);
        }
        let (workers, schedulers): (Vec<_>, Vec<_>) = (
            state.workers.keys().copied().collect(),
            state.schedulers.keys().copied().collect(),
        );
        for worker in workers {
            state.update_lease(worker);
        }
        for scheduler in schedulers {
            state.update_timer(scheduler);
        }
        state.queue.regroup();
        Ok(state)
    }

    fn hold_stamp(&mut self, id: SourceStampId, what: impl FnOnce() -> String) -> Result<(), LoadError> {
        let held = self.stamps.by_id.get_mut(&id).ok_or_else(|| LoadError {
            what: what(),
            missing: format!("source stamp {id}"),
        })?;
        held.refs += 1;
        Ok(())
    }

    fn load_request(&mut self, request: BuildRequestRecord) -> Result<(), LoadError> {
        let missing = |missing: String| LoadError {
            what: format!("build request {}", request.id),
            missing,
        };
        if !self.builders.contains_key(&request.builder) {
            return Err(missing(format!("builder {}", request.builder)));
        }
        let entry = self
            .buildsets
            .get_mut(&request.buildset)
            .ok_or_else(|| missing(format!("buildset {}", request.buildset)))?;
        entry.requests.push(request.id);
        entry.open += usize::from(!matches!(request.phase, RequestPhase::Complete { .. }));
        let queued = request.phase == RequestPhase::Queued;
        let id = request.id;
        self.requests.insert(id, request);
        if queued {
            self.index_queued(id);
        }
        Ok(())
    }

    fn load_build(&mut self, build: BuildRecord) -> Result<(), LoadError> {
        let missing = |missing: String| LoadError {
            what: format!("build {}", build.id),
            missing,
        };
        if !self.requests.contains_key(&build.request) {
            return Err(missing(format!("build request {}", build.request)));
        }
        if !self.workers.contains_key(&build.worker) {
            return Err(missing(format!("worker {}", build.worker)));
        }
        let plan = self
            .plans
            .get_mut(&build.config)
            .ok_or_else(|| missing(format!("configuration {}", build.config)))?;
        plan.builds += 1;
        // The order among preferences is lost with a restart; ids serve as well as anything.
        self.queue
            .take(build.builder, build.worker, build.slot, build.id, build.id.0);
        self.builds.insert(
            build.id,
            BuildEntry {
                record: build,
                steps: Vec::new(),
                logs: BTreeMap::new(),
            },
        );
        Ok(())
    }

    /// Turns it back into rows, each kind in order of id.
    pub fn to_snapshot(&self) -> Snapshot {
        // A change that nobody took up is history, and with it what it alone refers to.
        let mut let_go: BTreeMap<SourceStampId, usize> = BTreeMap::new();
        for id in &self.unused_changes {
            if let Some(held) = self.changes.get(id).filter(|held| held.refs == 0) {
                *let_go.entry(held.record.sourcestamp).or_default() += 1;
            }
        }
        Snapshot {
            now: self.now,
            seq: self.seq,
            counters: self.counters.clone(),
            masters: self.masters.values().cloned().collect(),
            builders: self.builders.values().cloned().collect(),
            workers: self.workers.values().cloned().collect(),
            schedulers: self.schedulers.values().cloned().collect(),
            change_sources: self.change_sources.values().cloned().collect(),
            config: self.config.clone(),
            plans: self
                .plans
                .iter()
                .map(|(digest, used)| (digest.clone(), (*used.plan).clone()))
                .collect(),
            changes: self
                .changes
                .values()
                .filter(|held| held.refs > 0)
                .map(|held| held.record.clone())
                .collect(),
            buildsets: self
                .buildsets
                .values()
                .map(|entry| entry.record.clone())
                .collect(),
            requests: self.requests.values().cloned().collect(),
            sourcestamps: self
                .stamps
                .by_id
                .values()
                .filter(|held| held.refs > let_go.get(&held.record.id).copied().unwrap_or(0))
                .map(|held| held.record.clone())
                .collect(),
            builds: self.builds.values().map(|entry| entry.record.clone()).collect(),
            steps: self
                .builds
                .values()
                .flat_map(|entry| entry.steps.clone())
                .collect(),
            logs: self
                .builds
                .values()
                .flat_map(|entry| entry.logs.values().cloned())
                .collect(),
        }
    }

    /// Says how two states differ in their rows or in the indexes made from them; none if they decide alike
    /// (apart from mere preferences between equally good workers).
    pub fn difference(&self, other: &State) -> Option<String> {
        let (left, right) = (self.to_snapshot(), other.to_snapshot());
        if left != right {
            return Some(crate::snapshot_difference(&left, &right));
        }
        if self.deadlines != other.deadlines {
            return Some(format!(
                "deadlines: {:?} is not {:?}",
                self.deadlines, other.deadlines
            ));
        }
        if self.collapsible != other.collapsible {
            return Some(format!(
                "collapsible: {:?} is not {:?}",
                self.collapsible, other.collapsible
            ));
        }
        self.queue.difference(&other.queue)
    }

    /// Time of the last event.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Sequence number of the last event.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The next id of each counter. Ids below were given away and never come back.
    pub fn counters(&self) -> &BTreeMap<Counter, u64> {
        &self.counters
    }

    /// The plan in force; an empty one before the first configuration.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Digest of the plan in force, empty before the first configuration.
    pub fn config_digest(&self) -> &str {
        &self.config
    }

    /// When [`Input::Tick`](crate::Input::Tick) is due next, if ever. It may lie in the past: then it is due now.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.next().map(|(at, _)| at)
    }

    /// The running master, if one has started.
    pub fn master(&self) -> Option<&MasterRecord> {
        self.masters.values().find(|master| master.active)
    }

    /// The worker with that id.
    pub fn worker(&self, id: WorkerId) -> Option<&WorkerRecord> {
        self.workers.get(&id)
    }

    /// The worker with that name, configured or not any more.
    pub fn worker_by_name(&self, name: &str) -> Option<&WorkerRecord> {
        self.workers.get(self.names.workers.get(name)?)
    }

    /// All workers, inactive ones too.
    pub fn workers(&self) -> impl Iterator<Item = &WorkerRecord> {
        self.workers.values()
    }

    /// The builder with that id.
    pub fn builder(&self, id: BuilderId) -> Option<&BuilderRecord> {
        self.builders.get(&id)
    }

    /// The builder with that name, configured or not any more.
    pub fn builder_by_name(&self, name: &str) -> Option<&BuilderRecord> {
        self.builders.get(self.names.builders.get(name)?)
    }

    /// All builders, inactive ones too.
    pub fn builders(&self) -> impl Iterator<Item = &BuilderRecord> {
        self.builders.values()
    }

    /// The scheduler with that id.
    pub fn scheduler(&self, id: SchedulerId) -> Option<&SchedulerRecord> {
        self.schedulers.get(&id)
    }

    /// The scheduler with that name, configured or not any more.
    pub fn scheduler_by_name(&self, name: &str) -> Option<&SchedulerRecord> {
        self.schedulers.get(self.names.schedulers.get(name)?)
    }

    /// All schedulers, inactive ones too.
    pub fn schedulers(&self) -> impl Iterator<Item = &SchedulerRecord> {
        self.schedulers.values()
    }

    /// All change sources, inactive ones too.
    pub fn change_sources(&self) -> impl Iterator<Item = &ChangeSourceRecord> {
        self.change_sources.values()
    }

    /// A request of a buildset that is not complete.
    pub fn request(&self, id: BuildRequestId) -> Option<&BuildRequestRecord> {
        self.requests.get(&id)
    }

    /// All requests of buildsets that are not complete.
    pub fn requests(&self) -> impl Iterator<Item = &BuildRequestRecord> {
        self.requests.values()
    }

    /// A buildset that is not complete.
    pub fn buildset(&self, id: BuildsetId) -> Option<&BuildsetRecord> {
        self.buildsets.get(&id).map(|entry| &entry.record)
    }

    /// A build that is not complete.
    pub fn build(&self, id: BuildId) -> Option<&BuildRecord> {
        self.builds.get(&id).map(|entry| &entry.record)
    }

    /// Builds that are not complete, in order of id.
    pub fn active_builds(&self) -> impl Iterator<Item = &BuildRecord> {
        self.builds.values().map(|entry| &entry.record)
    }

    /// What a runner needs to run or resume a build; none if it is not active.
    pub fn assignment(&self, id: BuildId) -> Option<Assignment> {
        let entry = self.builds.get(&id)?;
        let build = entry.record.clone();
        let builder_name = self.builders.get(&build.builder)?.name.clone();
        let builder = Arc::new(self.definition_of(&build)?.clone());
        let request = self.requests.get(&build.request)?;
        let buildset = &self.buildsets.get(&request.buildset)?.record;
        let step = entry
            .steps
            .iter()
            .find(|step| step.complete_at.is_none())
            .cloned();
        Some(Assignment {
            workdir: crate::build::workdir(&builder, build.slot),
            worker_id: build.worker,
            worker_name: self.workers.get(&build.worker)?.name.clone(),
            sourcestamps: self.stamps_of(buildset).cloned().collect(),
            changes: buildset.changes.clone(),
            buildset: buildset.id,
            reason: buildset.reason.clone(),
            logs: entry.logs.values().cloned().collect(),
            step,
            steps_done: entry
                .steps
                .iter()
                .filter(|step| step.complete_at.is_some())
                .cloned()
                .collect(),
            builder_name,
            builder,
            build,
        })
    }

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

/// The empty state: a new database.
impl Default for State {
    fn default() -> Self {
        match State::load(Snapshot::default()) {
            Ok(state) => state,
            Err(error) => unreachable!("an empty snapshot refers to nothing: {error}"),
        }
    }
}

impl Stamps {
    pub(crate) fn insert(&mut self, record: SourceStampRecord, refs: usize) {
        self.by_hash.insert((stamp_hash(&record.stamp), record.id));
        self.by_id.insert(record.id, Held { record, refs });
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

/// Every change that a scheduler holds back, once for each timer that holds it.
pub(crate) fn held_changes(state: &ironmaster_model::SchedulerState) -> impl Iterator<Item = ChangeId> + '_ {
    state
        .waiting
        .values()
        .flat_map(|waiting| waiting.changes.iter().copied())
}

fn by<K: Ord, V>(rows: Vec<V>, key: impl Fn(&V) -> K) -> BTreeMap<K, V> {
    rows.into_iter().map(|row| (key(&row), row)).collect()
}

fn names<K: Copy, V>(rows: &BTreeMap<K, V>, name: impl Fn(&V) -> &String) -> BTreeMap<String, K> {
    rows.iter().map(|(id, row)| (name(row).clone(), *id)).collect()
}
