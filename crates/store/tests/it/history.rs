//! Plausible histories from a seed: what an engine might have decided, without one.

use std::collections::BTreeMap;

use ironmaster_model::{
    BuildId, BuildRecord, BuildRequestId, BuildRequestRecord, BuilderId, BuilderRecord, BuildsetId,
    BuildsetRecord, Cause, ChangeId, ChangeRecord, ChangeSourceId, ChangeSourceRecord, Counter, Duration,
    EffectRecord, Event, LogContent, LogId, LogKind, LogRecord, LogSave, MasterId, MasterRecord,
    NewSourceStamp, Patch, Plan, Properties, RequestPhase, Results, SchedulerId, SchedulerRecord,
    SchedulerState, Sequenced, SourceStampId, SourceStampRecord, StepId, StepRecord, StepUrl, Timestamp,
    Triggered, Waits, WorkerConnection, WorkerId, WorkerInfo, WorkerRecord,
};
use serde_json::json;

/// Events that were committed together, with the counters after them.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) events: Vec<Sequenced>,
    pub(crate) counters: BTreeMap<Counter, u64>,
}

/// Makes commits, one after another.
pub(crate) struct History {
    random: u64,
    seq: u64,
    now: i64,
    counters: BTreeMap<Counter, u64>,
    events: Vec<Sequenced>,
    config: String,
    builders_max: usize,
    builders: Vec<BuilderRecord>,
    workers: Vec<WorkerRecord>,
    schedulers: Vec<SchedulerRecord>,
    /// Source stamps of open buildsets: an engine shares those, and makes a new one of any other.
    stamps: BTreeMap<BuildsetId, SourceStampId>,
    changes: Vec<ChangeId>,
    buildsets: Vec<(BuildsetId, Vec<BuildRequestId>)>,
    requests: BTreeMap<BuildRequestId, (BuilderId, u32, Option<BuildId>, Option<Results>)>,
    builds: Vec<Running>,
    finished: Vec<BuildId>,
}

struct Running {
    id: BuildId,
    builder: BuilderId,
    worker: WorkerId,
    request: BuildRequestId,
    steps: u32,
    step: Option<(StepId, u32)>,
    logs: Vec<(LogId, bool)>,
}

const MASTER: MasterId = MasterId(1);

impl History {
    /// Starts with a master, a configuration and what it names.
    pub(crate) fn new(seed: u64) -> Self {
        let mut history = Self {
            random: seed ^ 0x9e37_79b9_7f4a_7c15,
            seq: 0,
            now: 1_700_000_000_000_000,
            counters: Counter::ALL.iter().map(|counter| (*counter, 1)).collect(),
            events: Vec::new(),
            config: String::new(),
            builders_max: 5,
            builders: Vec::new(),
            workers: Vec::new(),
            schedulers: Vec::new(),
            stamps: BTreeMap::new(),
            changes: Vec::new(),
            buildsets: Vec::new(),
            requests: BTreeMap::new(),
            builds: Vec::new(),
            finished: Vec::new(),
        };
        history.counters.insert(Counter::Master, 2);
        history.start();
        history.configure();
        history
    }

    /// Configures until there are so many builders.
    pub(crate) fn grow_builders(&mut self, builders: usize) -> Commit {
        self.builders_max = builders;
        while self.builders.len() < builders {
            self.configure();
        }
        Commit {
            events: std::mem::take(&mut self.events),
            counters: self.counters.clone(),
        }
    }

    /// What happened since the last call; at least one event.
    pub(crate) fn commit(&mut self, steps: usize) -> Commit {
        for _ in 0..steps {
            self.step();
        }
        if self.events.is_empty() {
            self.add_stamp();
        }
        Commit {
            events: std::mem::take(&mut self.events),
            counters: self.counters.clone(),
        }
    }

    /// Commits of random size.
    pub(crate) fn commits(&mut self, number: usize) -> Vec<Commit> {
        (0..number)
            .map(|_| {
                let size = 1 + self.below(6) as usize;
                self.commit(size)
            })
            .collect()
    }

    /// One build of builder 1 from request to end, as one commit: what a trivial job leaves behind.
    pub(crate) fn trivial_build(&mut self, properties: usize, steps: u32) -> Commit {
        let stamp = self.add_stamp();
        let mut set = Properties::new();
        set.set("scheduler", "bench", "Scheduler");
        let index = self.counters[&Counter::Buildset] as usize % self.builders.len();
        let builder = self.builders[index].id;
        let (buildset, requests) = self.add_buildset(vec![stamp], Vec::new(), set, &[builder]);
        let worker = self.workers[0].id;
        let request = requests[0];
        self.start_build(request, worker);
        let running = self.builds.len() - 1;
        let id = self.builds[running].id;
        let mut all = Properties::new();
        for number in 0..properties {
            all.set(
                format!("property{number}"),
                format!("value {number} of build {id}"),
                "Build",
            );
        }
        self.emit(Event::PropertiesSet {
            build: id,
            properties: all,
        });
        for _ in 0..steps {
            self.start_step(running);
            self.finish_step(running, Results::Success);
        }
        self.end_build(running, Results::Success, Some(Results::Success));
        let _ = buildset;
        Commit {
            events: std::mem::take(&mut self.events),
            counters: self.counters.clone(),
        }
    }

    /// A build that has begun its first step.
    pub(crate) fn request_and_start(&mut self) -> Commit {
        let stamp = self.add_stamp();
        let builder = self.builders[0].id;
        let worker = self.workers[0].id;
        let (_, requests) = self.add_buildset(vec![stamp], Vec::new(), Properties::new(), &[builder]);
        self.start_build(requests[0], worker);
        self.start_step(0);
        Commit {
            events: std::mem::take(&mut self.events),
            counters: self.counters.clone(),
        }
    }

    fn below(&mut self, end: u64) -> u64 {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        let index = self.below(from.len() as u64) as usize;
        from[index].clone()
    }

    fn id(&mut self, counter: Counter) -> u64 {
        let next = self.counters.get_mut(&counter).expect("all counters are there");
        *next += 1;
        *next - 1
    }

    fn at(&self) -> Timestamp {
        Timestamp(self.now)
    }

    fn emit(&mut self, event: Event) {
        self.seq += 1;
        let at = self.at();
        self.events.push(Sequenced {
            seq: self.seq,
            at,
            event,
        });
    }

    fn step(&mut self) {
        // Often within the same second, sometimes within the same microsecond.
        let pause = match self.below(10) {
            0..4 => 0,
            4..8 => self.below(700_000),
            // A whole second, where a comparison may go wrong by one.
            8 => 1_000_000 - self.now.cast_unsigned() % 1_000_000,
            _ => self.below(5_000_000),
        };
        self.now += pause.cast_signed();
        match self.below(100) {
            0..3 => self.configure(),
            3 => self.start(),
            4..6 => self.stop(),
            6..14 => self.worker_comes_or_goes(),
            14..17 => self.worker_state(),
            17..33 => self.add_change(),
            33..43 => self.add_work(),
            43..46 => self.move_scheduler(),
            46..49 => self.request_changes(),
            49..60 => self.begin_build(),
            _ => self.work_on_build(),
        }
    }

    fn start(&mut self) {
        let master = MasterRecord {
            id: MASTER,
            name: "ci.example.org:/srv/ci".into(),
            active: true,
            last_active: self.at(),
            lease: Duration::from_secs(660),
        };
        let at = self.at();
        for worker in &mut self.workers {
            if let Some(connection) = &mut worker.connection
                && connection.connected
            {
                connection.connected = false;
                worker.disconnected_at = Some(at);
            }
        }
        self.emit(Event::MasterStarted { master });
    }

    fn stop(&mut self) {
        let master = MasterRecord {
            id: MASTER,
            name: "ci.example.org:/srv/ci".into(),
            active: false,
            last_active: self.at(),
            lease: Duration::from_secs(660),
        };
        self.emit(Event::MasterStopped { master });
        self.start();
    }

    fn configure(&mut self) {
        self.config = format!("{:064x}", self.below(4));
        let mut plan = Plan {
            digest: self.config.clone(),
            ..Plan::default()
        };
        plan.change_sources.insert(
            "poller".into(),
            ironmaster_model::ChangeSourceDef {
                name: "poller".into(),
                kind: "git_poller".into(),
                params: serde_json::Map::new(),
            },
        );
        self.emit(Event::Configured {
            digest: self.config.clone(),
            plan,
        });
        if self.builders.len() < self.builders_max {
            let id = BuilderId(self.id(Counter::Builder));
            let tags: Vec<String> = ["linux", "slow", "it's \"odd\"", "é"]
                .into_iter()
                .filter(|_| self.chance(50))
                .map(str::to_owned)
                .collect();
            let description = self.chance(50).then(|| format!("builds *{id}*"));
            self.builders.push(BuilderRecord {
                id,
                name: format!("builder {id}"),
                description,
                tags,
                active: true,
                next_number: 1,
            });
        }
        if self.workers.len() < 4 {
            let id = WorkerId(self.id(Counter::Worker));
            self.workers.push(WorkerRecord {
                id,
                name: format!("worker-{id}"),
                active: true,
                builders: Vec::new(),
                paused: false,
                pause_reason: None,
                graceful: false,
                connection: None,
                disconnected_at: None,
                info: WorkerInfo::default(),
            });
        }
        if self.schedulers.len() < 3 {
            let id = SchedulerId(self.id(Counter::Scheduler));
            self.schedulers.push(SchedulerRecord {
                id,
                name: format!("scheduler {id}"),
                active: true,
                enabled: true,
                state: SchedulerState::default(),
            });
            let id = ChangeSourceId(self.id(Counter::ChangeSource));
            let change_source = ChangeSourceRecord {
                id,
                name: format!("poller {id}"),
                active: self.chance(70),
            };
            self.emit(Event::ChangeSourceSet { change_source });
        }
        for index in 0..self.builders.len() {
            self.builders[index].active = index == 0 || self.chance(80);
            let builder = self.builders[index].clone();
            self.emit(Event::BuilderSet { builder });
        }
        let builders: Vec<BuilderId> = self.builders.iter().map(|builder| builder.id).collect();
        for index in 0..self.workers.len() {
            self.workers[index].active = index == 0 || self.chance(80);
            self.workers[index].builders = builders.iter().copied().filter(|_| self.chance(60)).collect();
            let worker = self.workers[index].clone();
            self.emit(Event::WorkerSet { worker });
        }
        for index in 0..self.schedulers.len() {
            self.schedulers[index].active = self.chance(80);
            self.schedulers[index].enabled = self.chance(80);
            let scheduler = self.schedulers[index].clone();
            self.emit(Event::SchedulerSet { scheduler });
        }
    }

    fn worker_comes_or_goes(&mut self) {
        let index = self.below(self.workers.len() as u64) as usize;
        let worker = self.workers[index].id;
        let connected = self.workers[index]
            .connection
            .as_ref()
            .is_some_and(|connection| connection.connected);
        if connected {
            let at = self.at();
            let record = &mut self.workers[index];
            if let Some(connection) = &mut record.connection {
                connection.connected = false;
            }
            record.disconnected_at = Some(at);
            self.emit(Event::WorkerDisconnected {
                worker,
                reason: "the connection was reset".into(),
            });
        } else {
            let connection = WorkerConnection {
                instance: format!("{:016x}", self.below(u64::MAX)),
                boot: "b00t".into(),
                resumes: self.chance(80),
                connected: true,
            };
            let info = WorkerInfo {
                admin: self.chance(50).then(|| "Admin <admin@example.org>\n".into()),
                host: self.chance(50).then(|| "test host\n".into()),
                access_uri: None,
                version: Some("0.1.0".into()),
                facts: [
                    ("os".to_owned(), json!("linux")),
                    ("cpus".to_owned(), json!(self.below(64))),
                ]
                .into(),
            };
            let record = &mut self.workers[index];
            record.connection = Some(connection.clone());
            record.info = info.clone();
            record.disconnected_at = None;
            record.graceful = false;
            self.emit(Event::WorkerConnected {
                worker,
                connection,
                info,
            });
        }
    }

    fn worker_state(&mut self) {
        let index = self.below(self.workers.len() as u64) as usize;
        let paused = self.chance(50);
        let graceful = self.chance(20);
        let pause_reason = paused.then(|| "maintenance".to_owned());
        let record = &mut self.workers[index];
        record.paused = paused;
        record.pause_reason.clone_from(&pause_reason);
        record.graceful = graceful;
        let worker = record.id;
        self.emit(Event::WorkerStateChanged {
            worker,
            paused,
            pause_reason,
            graceful,
        });
    }

    fn add_stamp(&mut self) -> SourceStampId {
        let id = SourceStampId(self.id(Counter::SourceStamp));
        let patch = self.chance(10).then(|| Patch {
            level: 1,
            subdir: "src".into(),
            author: "me <me@example.org>".into(),
            comment: "hello".into(),
            body: "--- a\n+++ b\n".into(),
        });
        let sourcestamp = SourceStampRecord {
            id,
            stamp: NewSourceStamp {
                branch: self.chance(80).then(|| "main".into()),
                revision: self.chance(80).then(|| format!("{:08x}", id.0 * 7919)),
                repository: "https://example.org/repo.git".into(),
                project: if self.below(2) == 0 {
                    String::new()
                } else {
                    "proj".into()
                },
                codebase: String::new(),
                patch,
            },
            created_at: self.at(),
        };
        self.emit(Event::SourceStampAdded { sourcestamp });
        id
    }

    fn add_change(&mut self) {
        let sourcestamp = self.add_stamp();
        let id = ChangeId(self.id(Counter::Change));
        let mut properties = Properties::new();
        if self.chance(50) {
            properties.set("event", "push", "Change");
            properties.set("nest", json!({"inner": ["é", 1.5, null]}), "Change");
        }
        let authors = ["me <me@example.org>", "dev", "zoë"];
        let change = ChangeRecord {
            id,
            author: self.pick(&authors).into(),
            committer: self.chance(30).then(|| "committer".into()),
            comments: format!("change {id}\nmore of it"),
            files: ["a.c", "dir/b.c", "c\"d.h"]
                .into_iter()
                .filter(|_| self.chance(50))
                .map(str::to_owned)
                .collect(),
            revision: Some(format!("{:08x}", id.0 * 7919)),
            branch: self.chance(80).then(|| "main".into()),
            category: self.chance(30).then(|| "tag".into()),
            revlink: self.chance(50).then(|| format!("https://example.org/{id}")),
            repository: "https://example.org/repo.git".into(),
            project: "proj".into(),
            codebase: String::new(),
            when: Timestamp(self.now - self.below(10_000_000).cast_signed()),
            properties,
            sourcestamp,
            parent: self.changes.last().copied().filter(|_| self.chance(50)),
        };
        self.emit(Event::ChangeAdded { change });
        self.changes.push(id);
        match self.below(3) {
            0 => {
                let index = self.below(self.schedulers.len() as u64) as usize;
                let fire_at = Some(Timestamp(self.now + 60_000_000));
                let key = if self.chance(50) { "" } else { "main" };
                let state = &mut self.schedulers[index].state;
                let waiting = state.waiting.entry(key.into()).or_default();
                waiting.changes.push(id);
                waiting.fire_at = fire_at;
                self.scheduler_moved(index);
            }
            1 => {
                self.request_builds(vec![sourcestamp], vec![id]);
            }
            _ => {}
        }
    }

    fn move_scheduler(&mut self) {
        let index = self.below(self.schedulers.len() as u64) as usize;
        if self.chance(50) {
            self.schedulers[index].state.waiting.clear();
        } else {
            self.schedulers[index].state.next_fire = Some(Timestamp(self.now + 3_600_000_000));
        }
        self.scheduler_moved(index);
    }

    fn scheduler_moved(&mut self, index: usize) {
        let record = &self.schedulers[index];
        let (scheduler, state) = (record.id, record.state.clone());
        self.emit(Event::SchedulerMoved { scheduler, state });
    }

    fn add_work(&mut self) {
        let mut stamps = vec![self.add_stamp()];
        let open: Vec<SourceStampId> = self.stamps.values().copied().collect();
        if self.chance(20) && !open.is_empty() {
            stamps.push(self.pick(&open));
        }
        self.request_builds(stamps, Vec::new());
    }

    fn request_builds(&mut self, stamps: Vec<SourceStampId>, changes: Vec<ChangeId>) {
        let mut builders: Vec<BuilderId> = self.builders.iter().map(|builder| builder.id).collect();
        let first = self.below(builders.len() as u64) as usize;
        builders.rotate_left(first);
        builders.truncate(1 + self.below(2) as usize);
        let mut properties = Properties::new();
        properties.set("scheduler", "force", "Scheduler");
        if self.chance(60) {
            properties.set("owner", "me <me@example.org>", "Force Build Form");
        }
        self.add_buildset(stamps, changes, properties, &builders);
    }

    fn add_buildset(
        &mut self,
        stamps: Vec<SourceStampId>,
        changes: Vec<ChangeId>,
        properties: Properties,
        builders: &[BuilderId],
    ) -> (BuildsetId, Vec<BuildRequestId>) {
        let id = BuildsetId(self.id(Counter::Buildset));
        let parent = self.finished.last().copied().filter(|_| self.chance(30));
        self.stamps.insert(id, stamps[0]);
        let buildset = BuildsetRecord {
            id,
            external_id: self.chance(20).then(|| format!("ext {id}")),
            reason: "because".into(),
            scheduler: "force".into(),
            submitted_at: self.at(),
            sourcestamps: stamps,
            changes,
            properties,
            parent_build: parent,
            parent_relationship: parent.map(|_| "Triggered from".into()),
            rebuilt_build: self.finished.first().copied().filter(|_| self.chance(10)),
            complete_at: None,
            results: None,
        };
        self.emit(Event::BuildsetCreated { buildset });
        let mut requests = Vec::new();
        for builder in builders {
            let request = BuildRequestId(self.id(Counter::BuildRequest));
            let record = BuildRequestRecord {
                id: request,
                buildset: id,
                builder: *builder,
                priority: self.below(3).cast_signed() - 1,
                submitted_at: self.at(),
                waited_for: self.chance(20),
                attempts: 0,
                phase: RequestPhase::Queued,
            };
            self.emit(Event::RequestQueued { request: record });
            self.requests.insert(request, (*builder, 0, None, None));
            requests.push(request);
        }
        self.buildsets.push((id, requests.clone()));
        (id, requests)
    }

    fn queued(&self) -> Vec<BuildRequestId> {
        self.requests
            .iter()
            .filter(|(_, (_, _, build, results))| build.is_none() && results.is_none())
            .map(|(id, _)| *id)
            .collect()
    }

    fn request_changes(&mut self) {
        let queued = self.queued();
        if queued.is_empty() {
            return;
        }
        let request = self.pick(&queued);
        if self.chance(50) {
            let priority = self.below(10).cast_signed();
            self.emit(Event::RequestPrioritised { request, priority });
        } else {
            self.complete_request(
                request,
                Results::Cancelled,
                Some(Cause::Cancelled {
                    by: "me".into(),
                    reason: "no need".into(),
                }),
            );
        }
    }

    fn complete_request(&mut self, request: BuildRequestId, results: Results, cause: Option<Cause>) {
        let entry = self.requests.get_mut(&request).expect("it is there");
        entry.2 = None;
        entry.3 = Some(results);
        let builder = entry.0;
        self.emit(Event::RequestCompleted {
            request,
            builder,
            results,
            cause,
        });
        let (buildset, requests) = self
            .buildsets
            .iter()
            .find(|(_, requests)| requests.contains(&request))
            .cloned()
            .expect("every request has a buildset");
        let all: Option<Vec<Results>> = requests.iter().map(|id| self.requests[id].3).collect();
        if let Some(all) = all {
            let results = all.into_iter().fold(Results::Success, Results::worst);
            self.emit(Event::BuildsetCompleted { buildset, results });
            self.buildsets.retain(|(id, _)| *id != buildset);
            self.stamps.remove(&buildset);
        }
    }

    fn begin_build(&mut self) {
        let queued = self.queued();
        if queued.is_empty() {
            return self.add_work();
        }
        let request = self.pick(&queued);
        let workers: Vec<WorkerId> = self.workers.iter().map(|worker| worker.id).collect();
        let worker = self.pick(&workers);
        self.start_build(request, worker);
    }

    fn start_build(&mut self, request: BuildRequestId, worker: WorkerId) {
        let id = BuildId(self.id(Counter::Build));
        let (builder, attempt) = {
            let entry = self.requests.get_mut(&request).expect("it is there");
            entry.1 += 1;
            entry.2 = Some(id);
            (entry.0, entry.1)
        };
        let record = self
            .builders
            .iter_mut()
            .find(|record| record.id == builder)
            .expect("it is there");
        let number = record.next_number;
        record.next_number += 1;
        let mut properties = Properties::new();
        properties.set("buildnumber", number, "Build");
        properties.set("workername", format!("worker-{worker}"), "Worker");
        let build = BuildRecord {
            id,
            number,
            builder,
            request,
            attempt,
            worker,
            instance: "0123456789abcdef".into(),
            slot: self.below(4) as u32,
            master: MASTER,
            config: self.config.clone(),
            started_at: self.at(),
            complete_at: None,
            results: None,
            cause: None,
            state_string: "starting".into(),
            properties,
            stop: None,
            lost: None,
            waits: None,
        };
        self.emit(Event::BuildStarted { build });
        self.builds.push(Running {
            id,
            builder,
            worker,
            request,
            steps: 0,
            step: None,
            logs: Vec::new(),
        });
    }

    fn work_on_build(&mut self) {
        if self.builds.is_empty() {
            return self.begin_build();
        }
        let index = self.below(self.builds.len() as u64) as usize;
        let build = self.builds[index].id;
        let Some((step, _)) = self.builds[index].step else {
            if self.chance(70) {
                self.start_step(index);
            } else {
                let results = self.pick(&Results::ALL);
                self.end_build(index, results, None);
            }
            return;
        };
        match self.below(13) {
            12 => self.wait_or_resume(index),
            0 => {
                let mut properties = Properties::new();
                let names = ["got_revision", "a", "b\"c", "é", "nest"];
                properties.set(
                    self.pick(&names),
                    json!({"n": [self.below(9), null, {"k": "v"}]}),
                    "Git",
                );
                properties.set("workername", json!(null), "Step");
                self.emit(Event::PropertiesSet { build, properties });
            }
            1 => self.emit(Event::BuildStopRequested {
                build,
                by: "me".into(),
                reason: "enough".into(),
            }),
            2 => self.emit(Event::BuildLost {
                build,
                reason: "its worker was restarted".into(),
            }),
            3 => {
                let urls = vec![StepUrl {
                    name: "report".into(),
                    url: format!("https://example.org/{step}"),
                }];
                self.emit(Event::StepUpdated {
                    step,
                    build,
                    state_string: "working".into(),
                    urls,
                });
            }
            4 => self.open_log(index),
            5 | 6 => self.save_log(index),
            7 | 8 => {
                let ordinal = self.builds[index].step.as_mut().map_or(0, |(_, ordinal)| {
                    *ordinal += 2;
                    *ordinal - 2
                });
                let effects = (ordinal..ordinal + 2)
                    .map(|ordinal| EffectRecord {
                        ordinal,
                        kind: "exec".into(),
                        digest: format!("{ordinal:064x}"),
                        outcome: json!({"exit": 0}),
                    })
                    .collect();
                self.emit(Event::EffectsRecorded { build, step, effects });
            }
            _ => {
                let results = self.pick(&Results::ALL);
                self.finish_step(index, results);
            }
        }
    }

    /// The running step begins to wait, hears of an end, or goes on.
    fn wait_or_resume(&mut self, index: usize) {
        let build = self.builds[index].id;
        let Some((step, ordinal)) = self.builds[index].step else {
            return;
        };
        if self.chance(50) {
            let triggered = (1..3)
                .map(|n| Triggered {
                    scheduler: format!("children \"{n}\""),
                    buildset: BuildsetId(1000 + n),
                    requests: [(BuilderId(1), BuildRequestId(1000 + n))].into(),
                })
                .collect();
            let over = if self.chance(50) {
                [(BuildsetId(1001), Results::Failure)].into()
            } else {
                [].into()
            };
            let waits = Waits {
                ordinal,
                digest: "00ff".into(),
                triggered,
                over,
            };
            self.emit(Event::BuildWaits { build, waits });
        } else {
            self.builds[index].step = Some((step, ordinal + 1));
            let effect = EffectRecord {
                ordinal,
                kind: "trigger".into(),
                digest: "00ff".into(),
                outcome: json!({"triggered": [], "results": []}),
            };
            self.emit(Event::BuildResumed { build, step, effect });
        }
    }

    fn start_step(&mut self, index: usize) {
        let id = StepId(self.id(Counter::Step));
        let build = self.builds[index].id;
        let number = self.builds[index].steps;
        self.builds[index].steps += 1;
        let log = LogId(self.id(Counter::Log));
        let step = StepRecord {
            id,
            build,
            number,
            definition: number,
            name: format!("step-{number}"),
            started_at: self.at(),
            complete_at: None,
            results: None,
            cause: None,
            state_string: "running".into(),
            urls: Vec::new(),
            hidden: false,
        };
        self.emit(Event::StepStarted {
            step,
            logs: vec![LogRecord {
                id: log,
                step: id,
                build,
                name: "stdio".into(),
                slug: "stdio".into(),
                kind: LogKind::Stdio,
                complete: false,
                num_lines: 0,
                raw_bytes: 0,
            }],
        });
        self.builds[index].step = Some((id, 0));
        self.builds[index].logs = vec![(log, false)];
    }

    fn open_log(&mut self, index: usize) {
        let id = LogId(self.id(Counter::Log));
        let Some((step, _)) = self.builds[index].step else {
            return;
        };
        let build = self.builds[index].id;
        let number = self.builds[index].logs.len();
        let kind = self.pick(&[LogKind::Text, LogKind::Html]);
        self.emit(Event::LogOpened {
            log: LogRecord {
                id,
                step,
                build,
                name: format!("log {number}"),
                slug: format!("log_{number}"),
                kind,
                complete: false,
                num_lines: 0,
                raw_bytes: 0,
            },
        });
        self.builds[index].logs.push((id, false));
    }

    fn save_log(&mut self, index: usize) {
        let Some((log, _)) = self.builds[index]
            .logs
            .iter()
            .copied()
            .find(|(_, complete)| !complete)
        else {
            return;
        };
        let complete = self.chance(30);
        let save = self.save(log, complete);
        let build = self.builds[index].id;
        self.emit(Event::LogsSaved {
            build,
            saves: vec![save],
        });
        for entry in &mut self.builds[index].logs {
            if entry.0 == log {
                entry.1 = complete;
            }
        }
    }

    fn save(&mut self, log: LogId, complete: bool) -> LogSave {
        let lines = self.below(50);
        LogSave {
            log,
            num_lines: lines,
            raw_bytes: lines * 20,
            complete,
            content: if self.chance(50) {
                LogContent::Inline(vec![b'o'; lines as usize])
            } else {
                LogContent::File
            },
        }
    }

    fn finish_step(&mut self, index: usize, results: Results) {
        let Some((step, _)) = self.builds[index].step.take() else {
            return;
        };
        let build = self.builds[index].id;
        let open: Vec<LogId> = self.builds[index]
            .logs
            .drain(..)
            .filter(|(_, complete)| !complete)
            .map(|(log, _)| log)
            .collect();
        if !open.is_empty() {
            let saves = open.into_iter().map(|log| self.save(log, true)).collect();
            self.emit(Event::LogsSaved { build, saves });
        }
        let cause = (results == Results::Failure).then_some(Cause::ExitCode { code: 2 });
        self.emit(Event::StepFinished {
            step,
            build,
            results,
            cause,
            state_string: format!("done ({})", results.word()),
            urls: Vec::new(),
            hidden: results == Results::Skipped,
        });
    }

    fn end_build(&mut self, index: usize, results: Results, then: Option<Results>) {
        let running = self.builds.remove(index);
        let cause = (results == Results::Exception).then(|| Cause::Infrastructure {
            reason: "the disk of the worker is full".into(),
        });
        self.emit(Event::BuildFinished {
            build: running.id,
            builder: running.builder,
            worker: running.worker,
            results,
            cause: cause.clone(),
            state_string: format!("build {}", results.word()),
        });
        self.finished.push(running.id);
        if results == Results::Retry && then.is_none() {
            self.requests.get_mut(&running.request).expect("it is there").2 = None;
            self.emit(Event::RequestRequeued {
                request: running.request,
            });
        } else {
            self.complete_request(running.request, results, cause);
        }
    }
}
