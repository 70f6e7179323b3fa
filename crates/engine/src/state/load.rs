//! State from rows, and rows from State.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ironmaster_model::{
    BuildRecord, BuildRequestRecord, ChangeId, Counter, RequestPhase, SchedulerId, Snapshot, SourceStampId,
};

use super::{
    BuildEntry, BuildsetEntry, Held, Names, PlanUse, Runs, Stamps, State, held_changes, index::dependents,
};
use crate::{deadlines::Deadlines, filter::Filters, judging::Judging, queue::Queue};

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
            projects: by(snapshot.projects, |project| project.id),
            codebases: by(snapshot.codebases, |codebase| codebase.id),
            names: Names::default(),
            config: snapshot.config,
            filters: Filters::new(&plan),
            dependents: dependents(&plan),
            plan,
            plans: BTreeMap::new(),
            changes: BTreeMap::new(),
            stamps: Stamps::default(),
            buildsets: BTreeMap::new(),
            requests: BTreeMap::new(),
            builds: BTreeMap::new(),
            waiters: BTreeMap::new(),
            ready: BTreeMap::new(),
            runs: Runs {
                names: snapshot
                    .pipelines
                    .iter()
                    .map(|pipeline| (pipeline.name.clone(), pipeline.id))
                    .collect(),
                pipelines: by(snapshot.pipelines, |pipeline| pipeline.id),
                ..Runs::default()
            },
            queue: Queue::default(),
            deadlines: Deadlines::default(),
            collapsible: BTreeMap::new(),
            judging: Judging::default(),
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
                Box::new(BuildsetEntry {
                    record: buildset,
                    requests: Vec::new(),
                    open: 0,
                }),
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
        let running: Vec<_> = state
            .builds
            .values()
            .filter_map(|build| {
                build
                    .steps
                    .last()
                    .filter(|step| step.complete_at.is_none())
                    .cloned()
            })
            .collect();
        for step in running {
            state.index_step(&step);
        }
        // What its step holds is known only now.
        let waiting: Vec<_> = state
            .builds
            .values()
            .filter(|build| build.record.waits.is_some())
            .map(|build| build.record.id)
            .collect();
        for build in waiting {
            state.give_up_locks(build);
        }
        for log in snapshot.logs {
            let build = state.builds.get_mut(&log.build).ok_or_else(|| LoadError {
                what: format!("log {}", log.id),
                missing: format!("build {}", log.build),
            })?;
            build.logs.insert(log.id, log);
        }
        state.load_runs(snapshot.runs, snapshot.jobs)?;
        let (workers, schedulers): (Vec<_>, Vec<_>) = (
            state.workers.keys().copied().collect(),
            state.schedulers.keys().copied().collect(),
        );
        for worker in workers {
            state.update_away(worker);
            state.update_downtime(worker);
        }
        for scheduler in schedulers {
            state.update_timer(scheduler);
        }
        state.queue.regroup();
        Ok(state)
    }

    pub(super) fn hold_stamp(
        &mut self,
        id: SourceStampId,
        what: impl FnOnce() -> String,
    ) -> Result<(), LoadError> {
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
            self.open_case(id);
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
        let locks = self.locks_of_build(&build);
        self.queue.take(
            build.builder,
            build.worker,
            build.slot,
            build.id,
            build.id.0,
            locks,
        );
        let (id, waits) = (build.id, build.waits.clone());
        self.builds.insert(
            id,
            BuildEntry {
                record: build,
                steps: Vec::new(),
                logs: BTreeMap::new(),
            },
        );
        if let Some(waits) = waits {
            self.park(id, waits);
        }
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
            projects: self.projects.values().cloned().collect(),
            codebases: self.codebases.values().cloned().collect(),
            pipelines: self.runs.pipelines.values().cloned().collect(),
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
            runs: self
                .runs
                .by_id
                .values()
                .map(|entry| entry.record.clone())
                .collect(),
            jobs: self
                .runs
                .by_id
                .values()
                .flat_map(|entry| entry.jobs.iter().map(|job| job.record.clone()))
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
        if self.runs != other.runs {
            return Some(format!("runs: {:?} is not {:?}", self.runs, other.runs));
        }
        if self.collapsible != other.collapsible {
            return Some(format!(
                "collapsible: {:?} is not {:?}",
                self.collapsible, other.collapsible
            ));
        }
        if (&self.waiters, &self.ready) != (&other.waiters, &other.ready) {
            return Some(format!(
                "who waits: {:?} {:?} is not {:?} {:?}",
                self.waiters, self.ready, other.waiters, other.ready
            ));
        }
        self.queue.difference(&other.queue)
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

fn by<K: Ord, V>(rows: Vec<V>, key: impl Fn(&V) -> K) -> BTreeMap<K, V> {
    rows.into_iter().map(|row| (key(&row), row)).collect()
}

fn names<K: Copy, V>(rows: &BTreeMap<K, V>, name: impl Fn(&V) -> &String) -> BTreeMap<String, K> {
    rows.iter().map(|(id, row)| (name(row).clone(), *id)).collect()
}
