//! Plausible histories from a seed: what an engine might have decided, without one.

mod builds;
mod pipelines;
mod requests;
mod site;

use std::collections::BTreeMap;

use ironmaster_model::{
    BuildId, BuildRequestId, BuilderId, BuilderRecord, BuildsetId, ChangeId, Counter, Event, LogId, MasterId,
    PipelineRecord, ProjectId, Properties, Results, SchedulerRecord, Sequenced, SourceStampId, StepId,
    Timestamp, WorkerId, WorkerRecord,
};

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
    project: Option<ProjectId>,
    /// Source stamps of open buildsets: an engine shares those, and makes a new one of any other.
    stamps: BTreeMap<BuildsetId, SourceStampId>,
    changes: Vec<ChangeId>,
    buildsets: Vec<(BuildsetId, Vec<BuildRequestId>)>,
    requests: BTreeMap<BuildRequestId, (BuilderId, u32, Option<BuildId>, Option<Results>)>,
    builds: Vec<Running>,
    finished: Vec<BuildId>,
    pipelines: Vec<PipelineRecord>,
    runs: Vec<pipelines::Going>,
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
            project: None,
            stamps: BTreeMap::new(),
            changes: Vec::new(),
            buildsets: Vec::new(),
            requests: BTreeMap::new(),
            builds: Vec::new(),
            finished: Vec::new(),
            pipelines: Vec::new(),
            runs: Vec::new(),
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
            43..45 => self.move_scheduler(),
            45 | 49..55 => self.pipelines(),
            46..49 => self.request_changes(),
            55..66 => self.begin_build(),
            _ => self.work_on_build(),
        }
    }
}
