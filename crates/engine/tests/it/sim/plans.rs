//! Configurations made from a seed: small ones, in which everything that can differ does.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ironmaster_model::{
    Asks, BuilderDef, ChangeFilter, CodebaseDef, CollapseRule, Cron, DowntimeDef, Duration, FixedSource,
    ForceDef, ForceField, ForceFieldKind, InRepositoryDef, JobDef, LockDef, LockScope, LockUse, NightlyDef,
    PipelineDef, Plan, ProjectDef, SchedulerDef, SchedulerKind, StepDef, StepFlags, TryDef, WorkerDef,
    WorkerPreference, WorkerSelector,
};
use serde_json::json;

use ironmaster_model::pipeline::{
    ApprovalDef, AxisDef, ConcurrencyDef, ConditionDef, FailureClass, JobWork, NeedsOn, RetryDef, WhenFull,
    in_repository::Grants,
};

use super::rng::Rng;

pub(crate) const BUILDERS: &[&str] = &["a", "b", "c", "d", "e"];
pub(crate) const WORKERS: &[&str] = &["w1", "w2", "w3", "w4"];
/// Locks in the order in which they are taken: a builder holds none that comes after one of its steps'. So no configuration
/// here can be a deadlock by itself.
pub(crate) const LOCKS: &[&str] = &["l0", "l1", "l2", "l3", "l4"];
/// The last is started by jobs of the others.
pub(crate) const PIPELINES: &[&str] = &["p-one", "p-two", "p-three"];
pub(crate) const BRANCHES: &[Option<&str>] = &[Some("main"), Some("release/1"), Some("topic"), None];

/// A configuration. Each name is left out now and then; `whole` leaves out nothing.
pub(crate) fn plan(rng: &mut Rng, digest: u64, whole: bool) -> Plan {
    let mut plan = Plan {
        digest: format!("{digest:064x}"),
        ..Plan::default()
    };
    for name in WORKERS {
        if whole || rng.chance(85) {
            plan.workers.insert((*name).into(), worker(rng, name, whole));
        }
    }
    for name in ["p1", "p2"] {
        if whole || rng.chance(70) {
            let project = ProjectDef {
                name: name.into(),
                description: rng.chance(50).then(|| "some".into()),
                share: 1 + rng.below(4) as u32,
            };
            let codebase = CodebaseDef {
                name: format!("of-{name}"),
                project: name.into(),
                repository: format!("repo of {name}"),
                branch: None,
            };
            plan.codebases.insert(codebase.name.clone(), codebase);
            plan.projects.insert(name.into(), project);
        }
    }
    let projects: Vec<String> = plan.projects.keys().cloned().collect();
    for name in LOCKS {
        // One that is not defined locks nothing.
        if rng.chance(90) {
            plan.locks.insert((*name).into(), lock(rng, name));
        }
    }
    for name in BUILDERS {
        if whole || rng.chance(85) {
            let mut builder = builder(rng, name);
            if !projects.is_empty() && rng.chance(50) {
                builder.project = Some(rng.pick(&projects).clone());
            }
            plan.builders.insert((*name).into(), builder);
        }
    }
    for name in PIPELINES {
        if whole || rng.chance(85) {
            plan.pipelines
                .insert((*name).into(), Arc::new(pipeline(rng, name)));
        }
    }
    let known: Vec<String> = plan.builders.keys().cloned().collect();
    for (name, kind) in [
        ("s-single", single(rng)),
        ("s-any", any(rng)),
        ("s-plain", plain(rng)),
        ("s-periodic", periodic(rng)),
        ("s-nightly", nightly(rng)),
        ("s-force", force(rng)),
        ("s-pipeline", any(rng)),
        ("t-dependent", dependent("s-single")),
        ("u-dependent", dependent("s-force")),
        ("v-dependent", dependent("t-dependent")),
        ("w-trigger", triggerable()),
        ("x-trigger", triggerable()),
        ("w-dependent", dependent("s-pipeline")),
        ("x-pipeline", dependent("s-any")),
        ("s-try", SchedulerKind::Try(TryDef::default())),
    ] {
        // No period while everything is to come to rest.
        if known.is_empty()
            || (whole && ["s-periodic", "s-nightly"].contains(&name))
            || (!whole && rng.chance(12))
        {
            continue;
        }
        let mut builders: Vec<String> = known.iter().filter(|_| rng.chance(50)).cloned().collect();
        if builders.is_empty() {
            builders.push(known[0].clone());
        }
        // One that starts a pipeline asks no builders.
        let pipeline = if name.ends_with("pipeline") {
            let known: Vec<String> = plan.pipelines.keys().cloned().collect();
            if known.is_empty() {
                continue;
            }
            builders.clear();
            Some(rng.pick(&known).clone())
        } else {
            None
        };
        let scheduler = SchedulerDef {
            pipeline,
            name: name.into(),
            builders,
            priority: [0, 0, 0, 5, -3][rng.below(5) as usize],
            asks_priority: rng.chance(10),
            codebases: Vec::new(),
            properties: BTreeMap::from([("from".into(), json!(name))]),
            kind,
        };
        plan.schedulers.insert(name.into(), scheduler);
    }
    plan
}

fn worker(rng: &mut Rng, name: &str, whole: bool) -> WorkerDef {
    // Times off have no end of coming, and so no rest.
    let windows = if whole { 0 } else { rng.below(6).saturating_sub(3) };
    let downtime = (0..windows)
        .map(|_| DowntimeDef {
            begins: Cron::parse(rng.pick::<&str>(&["*/15 * * * *", "5 * * * *", "30 */2 * * *"]))
                .expect("a good one"),
            lasts: Duration::from_secs(60 * (1 + rng.below(13) as i64)),
        })
        .collect();
    let mut labels = BTreeSet::from(["all".to_owned()]);
    if rng.chance(50) {
        labels.insert("fast".into());
    }
    WorkerDef {
        name: name.into(),
        slots: 1 + rng.below(3) as u32,
        labels,
        token_sha256: String::new(),
        pb_secret: ironmaster_model::PbSecret::default(),
        properties: BTreeMap::new(),
        downtime,
        time_zone: (*rng.pick(&["", "Europe/Berlin", "Australia/Lord_Howe"])).into(),
        missing_after: rng
            .chance(70)
            .then(|| Duration::from_secs(30 + rng.below(3600) as i64)),
    }
}

fn builder(rng: &mut Rng, name: &str) -> BuilderDef {
    let workers = match rng.below(5) {
        4 => vec![
            WorkerSelector::Labels {
                all: vec!["all".into()],
                not: vec!["fast".into()],
            },
            WorkerSelector::Name("w2".into()),
        ],
        0 => vec![WorkerSelector::Name((*rng.pick(WORKERS)).into())],
        1 => vec![
            WorkerSelector::Label("fast".into()),
            WorkerSelector::Name("w1".into()),
        ],
        _ => vec![WorkerSelector::Label("all".into())],
    };
    let locked = rng.chance(60);
    let first_of_steps = rng.below(LOCKS.len() as u64 + 1) as usize;
    let (own, of_steps) = LOCKS.split_at(first_of_steps);
    let locks = if locked { uses(rng, own) } else { Vec::new() };
    let steps = (0..if rng.chance(5) { 0 } else { 1 + rng.below(4) })
        .map(|index| StepDef {
            name: format!("step{index}"),
            kind: "shell".into(),
            params: serde_json::Map::new(),
            flags: flags(rng),
            logs: vec!["stdio".into()],
            locks: if locked && rng.chance(50) {
                uses(rng, of_steps)
            } else {
                Vec::new()
            },
        })
        .collect();
    let asks = Asks {
        can_start: rng.chance(20),
        priority: rng.chance(15),
        collapse: rng.chance(20),
        ..Asks::default()
    };
    BuilderDef {
        name: name.into(),
        description: None,
        tags: Vec::new(),
        workers,
        steps,
        properties: BTreeMap::new(),
        env: BTreeMap::new(),
        builddir: name.into(),
        attempts_max: 1 + rng.below(3) as u32,
        collapse: match rng.below(10) {
            _ if asks.collapse => CollapseRule::Never,
            0..3 => CollapseRule::SameBranch,
            3 => CollapseRule::Newest,
            _ => CollapseRule::Never,
        },
        builds_max: rng.chance(25).then(|| 1 + rng.below(2) as u32),
        project: None,
        locks,
        prefer: *rng.pick(&[
            WorkerPreference::Warm,
            WorkerPreference::Idle,
            WorkerPreference::Order,
        ]),
        priority_property: None,
        asks,
    }
}

fn lock(rng: &mut Rng, name: &str) -> LockDef {
    LockDef {
        name: name.into(),
        scope: if rng.chance(50) {
            LockScope::Master
        } else {
            LockScope::Worker
        },
        max_count: 1 + rng.below(3) as u32,
        worker_counts: WORKERS
            .iter()
            .filter_map(|worker| {
                let count = 1 + rng.below(3) as u32;
                rng.chance(15).then(|| ((*worker).to_owned(), count))
            })
            .collect(),
    }
}

/// Uses of some of these locks, at times of more than there is.
fn uses(rng: &mut Rng, locks: &[&str]) -> Vec<LockUse> {
    let chosen: Vec<&str> = locks.iter().copied().filter(|_| rng.chance(40)).collect();
    chosen
        .into_iter()
        .map(|lock| {
            if rng.chance(35) {
                LockUse::exclusive(lock)
            } else {
                LockUse::counting(lock, 1 + rng.below(3) as u32)
            }
        })
        .collect()
}

fn flags(rng: &mut Rng) -> StepFlags {
    if rng.chance(30) {
        return StepFlags::default();
    }
    StepFlags {
        halt_on_failure: rng.chance(40),
        flunk_on_failure: rng.chance(60),
        flunk_on_warnings: rng.chance(20),
        warn_on_failure: rng.chance(30),
        warn_on_warnings: rng.chance(60),
        always_run: rng.chance(25),
    }
}

fn filter(rng: &mut Rng) -> ChangeFilter {
    ChangeFilter {
        branches: match rng.below(3) {
            0 => Vec::new(),
            1 => vec!["main".into()],
            _ => vec!["main".into(), "release/*".into()],
        },
        unimportant_files: if rng.chance(50) {
            vec!["docs/**".into()]
        } else {
            Vec::new()
        },
        ..ChangeFilter::default()
    }
}

fn tree_stable(rng: &mut Rng) -> Option<Duration> {
    rng.chance(80)
        .then(|| Duration::from_secs(5 + rng.below(60) as i64))
}

fn single(rng: &mut Rng) -> SchedulerKind {
    SchedulerKind::SingleBranch {
        filter: filter(rng),
        tree_stable: tree_stable(rng),
    }
}

fn any(rng: &mut Rng) -> SchedulerKind {
    SchedulerKind::AnyBranch {
        filter: filter(rng),
        tree_stable: tree_stable(rng),
    }
}

fn plain(rng: &mut Rng) -> SchedulerKind {
    SchedulerKind::SingleBranch {
        filter: filter(rng),
        tree_stable: None,
    }
}

/// Jobs that need some of those before them, and everything that a job can have.
fn pipeline(rng: &mut Rng, name: &str) -> PipelineDef {
    let child = name == PIPELINES[2];
    let count = 1 + rng.below(if child { 2 } else { 6 });
    let in_repository = rng
        .chance(if child { 15 } else { 35 })
        .then(|| in_repository(rng));
    let jobs = match in_repository {
        Some(_) => Vec::new(),
        None => (0..count).map(|number| job(rng, number, child)).collect(),
    };
    PipelineDef {
        name: name.into(),
        jobs,
        in_repository,
        timeout: rng
            .chance(20)
            .then(|| Duration::from_secs(60 + rng.below(4000) as i64)),
        cancel_superseded: rng.chance(30),
        concurrency: rng
            .chance(40)
            .then(|| ConcurrencyDef {
                group: (*rng.pick(&["g", "h"])).into(),
                limit: 1 + rng.below(2) as u32,
                when_full: *rng.pick(&[WhenFull::Queue, WhenFull::CancelOlder]),
            })
            // A parent that waits for a child of its own group would wait for ever.
            .filter(|_| !child),
        ..PipelineDef::default()
    }
}

/// What the jobs of a repository may use.
fn in_repository(rng: &mut Rng) -> InRepositoryDef {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    InRepositoryDef {
        file: ".ironmaster.toml".into(),
        repository: "repo.git".into(),
        codebase: String::new(),
        trusted_branches: vec!["main".into(), "release/*".into()],
        granted: Grants {
            builders: names(&["a", "b"]),
            pipelines: names(&[]),
        },
        granted_trusted: Grants {
            builders: names(&["c", "d", "no such"]),
            pipelines: names(&[PIPELINES[2]]),
        },
        jobs_max: 2 + rng.below(5) as u32,
        patience: Duration::from_secs(100 + rng.below(1000) as i64),
    }
}

/// Jobs as a repository may have them. Not all of them are granted.
pub(crate) fn repository_jobs(rng: &mut Rng) -> Vec<JobDef> {
    let count = rng.below(5);
    let granted = rng.chance(70);
    (0..count)
        .map(|number| {
            let mut job = job(rng, number, false);
            if rng.chance(95) {
                job.priority = None;
            }
            if let (true, JobWork::Build { builder }) = (granted, &mut job.work) {
                *builder = (*rng.pick(&["a", "b", "c"])).into();
            }
            job
        })
        .collect()
}

fn job(rng: &mut Rng, number: u64, child: bool) -> JobDef {
    let needs: Vec<String> = (0..number)
        .filter(|_| rng.chance(40))
        .map(|need| format!("j{need}"))
        .collect();
    let condition = |rng: &mut Rng| {
        rng.chance(15).then(|| ConditionDef {
            branches: if rng.chance(50) {
                vec!["main".into()]
            } else {
                Vec::new()
            },
            files: if rng.chance(50) {
                vec!["src/**".into()]
            } else {
                Vec::new()
            },
            ..ConditionDef::default()
        })
    };
    let (_, needs_on) = *rng.pick(&NeedsOn::WORDS);
    let needs_on = if rng.chance(50) {
        NeedsOn::Success
    } else {
        needs_on
    };
    JobDef {
        name: format!("j{number}"),
        work: match rng.below(10) {
            0 => JobWork::Gate,
            1 | 2 if !child => JobWork::Pipeline {
                pipeline: PIPELINES[2].into(),
                wait: rng.chance(80),
            },
            _ => JobWork::Build {
                builder: (*rng.pick(BUILDERS)).into(),
            },
        },
        matrix: if rng.chance(15) {
            vec![AxisDef {
                name: "n".into(),
                values: (0..=rng.below(3)).map(|n| json!(n)).collect(),
            }]
        } else {
            Vec::new()
        },
        needs,
        needs_on,
        needs_share: (needs_on == NeedsOn::Success && rng.chance(30))
            .then(|| 10 + 10 * rng.below(100) as u32),
        when: condition(rng),
        unless: condition(rng),
        optional: rng.chance(20),
        approval: rng.chance(15).then(ApprovalDef::default),
        expires: rng
            .chance(25)
            .then(|| Duration::from_secs(30 + rng.below(2000) as i64)),
        timeout: rng
            .chance(20)
            .then(|| Duration::from_secs(10 + rng.below(600) as i64)),
        retry: rng.chance(30).then(|| RetryDef {
            limit: 1 + rng.below(2) as u32,
            on: vec![FailureClass::Any],
        }),
        priority: rng.chance(20).then(|| rng.below(9) as i64 - 4),
        ..JobDef::default()
    }
}

fn dependent(upstream: &str) -> SchedulerKind {
    SchedulerKind::Dependent {
        upstream: upstream.into(),
    }
}

fn triggerable() -> SchedulerKind {
    SchedulerKind::Triggerable {
        source: FixedSource {
            branch: Some("main".into()),
            repository: "repo".into(),
            ..FixedSource::default()
        },
    }
}

fn periodic(rng: &mut Rng) -> SchedulerKind {
    SchedulerKind::Periodic {
        interval: Duration::from_secs(60 + rng.below(600) as i64),
        source: FixedSource {
            branch: Some("main".into()),
            repository: "repo".into(),
            ..FixedSource::default()
        },
        changes: rng.chance(30).then(|| filter(rng)),
    }
}

fn nightly(rng: &mut Rng) -> SchedulerKind {
    let mut cron = |texts: &[&str]| Cron::parse(rng.pick::<&str>(texts)).expect("a good one");
    let often = cron(&["*/7 * * * *", "0,20 * * * *", "30 * * * *", "13 3 * * *"]);
    let force = cron(&["0 * * * *", "0 4 * * 0"]);
    SchedulerKind::Nightly(NightlyDef {
        cron: often,
        zone: (*rng.pick(&["UTC", "Europe/Berlin", "Australia/Lord_Howe"])).into(),
        jitter: Duration::from_secs([0, 0, 45, 600][rng.below(4) as usize]),
        force_at: rng.chance(30).then_some(force),
        source: FixedSource {
            branch: Some("main".into()),
            repository: "repo".into(),
            ..FixedSource::default()
        },
        changes: rng.chance(60).then(|| filter(rng)),
    })
}

fn force(rng: &mut Rng) -> SchedulerKind {
    SchedulerKind::Force(ForceDef {
        button: "go".into(),
        label: "Go".into(),
        reason: "because".into(),
        reason_required: false,
        source: FixedSource {
            repository: "repo".into(),
            ..FixedSource::default()
        },
        fields: vec![ForceField {
            name: "jobs".into(),
            label: "Jobs".into(),
            kind: ForceFieldKind::Int { min: None, max: None },
            default: json!(1),
            required: rng.chance(30),
            ..ForceField::default()
        }],
        ..ForceDef::default()
    })
}
