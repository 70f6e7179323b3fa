//! How many decisions a second, and how many bytes a queued request takes:
//! `cargo run --release -p ironmaster-engine --example decisions`.
//!
//! 1,000 builders in 20 kinds of hardware, 1,000 workers, 100,000 queued requests; then every build that ends is followed by the next
//! one. With `-- large` ten times as many of each. With `locks`, three of four builders use locks: of the master, of their worker, or
//! in their step.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ironmaster_engine::{ConnectedWorker, Input, NewChange, State, StepOutcome, StepReport, Tx, decide};
use ironmaster_model::{
    BuilderDef, ChangeFilter, CollapseRule, Duration, ForceDef, LockDef, LockScope, LockUse, Plan,
    Properties, Results, SchedulerDef, SchedulerKind, StepDef, StepFlags, Timestamp, WorkerConnection,
    WorkerDef, WorkerSelector,
};

const CHANGES: usize = 100;
const CLASSES: usize = 20;
const FORCES: usize = 10_000;

/// Counts what is allocated.
struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

#[expect(
    unsafe_code,
    reason = "an allocator can only be written so; this one counts and passes on"
)]
// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as our caller promised.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as our caller promised.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What is measured.
#[derive(Clone, Copy)]
struct Size {
    builders: usize,
    workers: usize,
    locks: bool,
}

/// Locks of builder number `index`, and of its step.
fn locks(index: usize) -> (Vec<LockUse>, Vec<LockUse>) {
    let class = index % CLASSES;
    match index / CLASSES % 4 {
        0 => (vec![LockUse::counting(format!("master{class}"), 1)], Vec::new()),
        1 => (vec![LockUse::counting("disk", 1)], Vec::new()),
        2 if index.is_multiple_of(7) => (Vec::new(), vec![LockUse::exclusive(format!("step{class}"))]),
        2 => (Vec::new(), vec![LockUse::counting(format!("step{class}"), 1)]),
        _ => (Vec::new(), Vec::new()),
    }
}

fn lock_definitions(size: Size) -> BTreeMap<String, LockDef> {
    let lock = |name: String, scope, max_count: usize| LockDef {
        name,
        scope,
        max_count: max_count as u32,
        worker_counts: BTreeMap::new(),
    };
    // Not enough for all that want one.
    let some = (size.workers / CLASSES / 4).max(1);
    (0..CLASSES)
        .flat_map(|class| {
            [
                lock(format!("master{class}"), LockScope::Master, some),
                lock(format!("step{class}"), LockScope::Master, some),
            ]
        })
        .chain([lock("disk".into(), LockScope::Worker, 1)])
        .map(|lock| (lock.name.clone(), lock))
        .collect()
}

fn plan(size: Size) -> Plan {
    let class = |index: usize| format!("class{}", index % CLASSES);
    let builders: BTreeMap<String, BuilderDef> = (0..size.builders)
        .map(|index| {
            let name = format!("builder{index:05}");
            let (own, of_step) = if size.locks {
                locks(index)
            } else {
                (Vec::new(), Vec::new())
            };
            let step = StepDef {
                name: "make".into(),
                kind: "shell".into(),
                params: serde_json::Map::new(),
                flags: StepFlags::default(),
                logs: vec!["stdio".into()],
                locks: of_step,
            };
            let definition = BuilderDef {
                name: name.clone(),
                description: None,
                tags: Vec::new(),
                workers: vec![WorkerSelector::Label(class(index))],
                steps: vec![step],
                properties: BTreeMap::new(),
                env: BTreeMap::new(),
                builddir: name.clone(),
                attempts_max: 3,
                collapse: CollapseRule::Never,
                builds_max: None,
                locks: own,
                ..BuilderDef::default()
            };
            (name, definition)
        })
        .collect();
    let workers = (0..size.workers)
        .map(|index| {
            let name = format!("worker{index:05}");
            let definition = WorkerDef {
                name: name.clone(),
                slots: if size.locks { 2 } else { 1 },
                labels: BTreeSet::from([class(index)]),
                token_sha256: String::new(),
                ..WorkerDef::default()
            };
            (name, definition)
        })
        .collect();
    let force = SchedulerDef {
        name: "force".into(),
        builders: builders.keys().cloned().collect(),
        pipeline: None,
        priority: 0,
        asks_priority: false,
        codebases: Vec::new(),
        properties: BTreeMap::new(),
        kind: SchedulerKind::Force(ForceDef::default()),
    };
    let scheduler = SchedulerDef {
        name: "all".into(),
        builders: builders.keys().cloned().collect(),
        pipeline: None,
        priority: 0,
        asks_priority: false,
        codebases: Vec::new(),
        properties: BTreeMap::new(),
        kind: SchedulerKind::SingleBranch {
            filter: ChangeFilter::default(),
            tree_stable: None,
        },
    };
    Plan {
        digest: "plan".into(),
        workers,
        builders,
        locks: lock_definitions(size),
        schedulers: BTreeMap::from([("all".into(), scheduler), ("force".into(), force)]),
        ..Plan::default()
    }
}

fn send(state: &mut State, input: Input) -> usize {
    let now = state.now() + Duration(1);
    let mut tx = Tx::new(state, now);
    decide(&mut tx, input).expect("the input is in order");
    tx.finish().len()
}

fn measure(what: &str, decisions: usize, mut work: impl FnMut() -> usize) {
    #[expect(
        clippy::disallowed_methods,
        reason = "this program measures; it decides nothing"
    )]
    let begin = std::time::Instant::now();
    let events = work();
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "{what}: {decisions} decisions, {events} events in {seconds:.2} s: {:.0} decisions/s, {:.1} µs each",
        decisions as f64 / seconds,
        seconds * 1e6 / decisions as f64
    );
}

fn change(number: usize) -> Input {
    Input::Change(NewChange {
        author: "someone <someone@example.org>".into(),
        revision: Some(format!("{number:040x}")),
        branch: Some("main".into()),
        repository: "https://example.org/project.git".into(),
        ..NewChange::default()
    })
}

fn end_of(state: &State, build: ironmaster_model::BuildId) -> Input {
    let step = state
        .assignment(build)
        .and_then(|assignment| assignment.step)
        .expect("it runs");
    Input::StepEnded {
        report: StepReport {
            build,
            step: step.id,
            effects: Vec::new(),
            saves: Vec::new(),
            properties: Properties::new(),
            state_string: None,
            urls: None,
        },
        outcome: StepOutcome {
            results: Results::Success,
            cause: None,
            state_string: "done".into(),
            hidden: false,
        },
    }
}

fn main() {
    let asked: Vec<String> = std::env::args().collect();
    let is_asked = |word: &str| asked.iter().any(|argument| argument == word);
    let times = if is_asked("large") { 10 } else { 1 };
    let size = Size {
        builders: 1000 * times,
        workers: 1000 * times,
        locks: is_asked("locks"),
    };
    println!(
        "{} builders, {} workers, locks: {}",
        size.builders, size.workers, size.locks
    );
    let mut state = State::default();
    {
        let mut tx = Tx::new(&mut state, Timestamp::from_secs(1_700_000_000));
        let start = Input::MasterStart {
            name: "bench:/".into(),
            lease: Duration::from_secs(660),
        };
        decide(&mut tx, start).expect("it starts");
    }
    measure("configure", 1, || {
        send(
            &mut state,
            Input::Configure {
                plan: Arc::new(plan(size)),
            },
        )
    });
    let before = ALLOCATED.load(Ordering::Relaxed);
    measure("queue one request for each builder a change", CHANGES, || {
        (0..CHANGES).map(|number| send(&mut state, change(number))).sum()
    });
    let bytes = ALLOCATED.load(Ordering::Relaxed) - before;
    let requests = state.requests().count();
    println!("{requests} queued requests: {} bytes each", bytes / requests);
    let before = ALLOCATED.load(Ordering::Relaxed);
    measure("queue one request a force", FORCES, || {
        (0..FORCES)
            .map(|number| {
                let params =
                    serde_json::json!({"builderid": 1 + number % size.builders, "revision": number.to_string()});
                let force = Input::Force {
                    scheduler: "force".into(),
                    params: params.as_object().cloned().unwrap_or_default(),
                    owner: Some("somebody@example.org".into()),
                };
                send(&mut state, force)
            })
            .sum()
    });
    let bytes = ALLOCATED.load(Ordering::Relaxed) - before;
    println!(
        "{FORCES} more, each with its own buildset, stamp and properties: {} bytes each",
        bytes / FORCES
    );
    measure("connect workers", size.workers, || {
        (0..size.workers)
            .map(|index| {
                let connect = ConnectedWorker {
                    name: format!("worker{index:05}"),
                    connection: WorkerConnection {
                        instance: format!("process{index}"),
                        boot: "boot".into(),
                        resumes: true,
                        connected: true,
                    },
                    info: std::sync::Arc::default(),
                };
                send(&mut state, Input::WorkerConnected(connect))
            })
            .sum()
    });
    println!(
        "{} builds run, of which {} wait for the locks of their step",
        state.active_builds().count(),
        state.builds_that_wait_for_locks().count()
    );
    assert!(size.locks || state.active_builds().count() == size.workers);
    assert!(state.stuck(state.now()).is_empty());
    // Inputs are made beforehand, so that only deciding is measured.
    for round in 0..5 {
        let waiting: BTreeSet<_> = state.builds_that_wait_for_locks().collect();
        let ends: Vec<Input> = state
            .active_builds()
            .map(|build| build.id)
            .filter(|build| !waiting.contains(build))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|build| end_of(&state, build))
            .collect();
        measure(
            &format!("round {round}: a step ends, the next build starts"),
            ends.len(),
            || ends.iter().map(|end| send(&mut state, end.clone())).sum(),
        );
    }
    println!("{} requests are left", state.requests().count());
}
