//! Configurations made from a seed: small ones, in which everything that can differ does.

use std::collections::{BTreeMap, BTreeSet};

use ironmaster_model::{
    BuilderDef, ChangeFilter, CollapseRule, Duration, FixedSource, ForceDef, ForceField, ForceFieldKind,
    LockDef, LockScope, LockUse, Plan, SchedulerDef, SchedulerKind, StepDef, StepFlags, WorkerDef,
    WorkerPreference, WorkerSelector,
};
use serde_json::json;

use super::rng::Rng;

pub(crate) const BUILDERS: &[&str] = &["a", "b", "c", "d", "e"];
pub(crate) const WORKERS: &[&str] = &["w1", "w2", "w3", "w4"];
/// Locks in the order in which they are taken: a builder holds none that comes after one of its steps'. So no configuration
/// here can be a deadlock by itself.
pub(crate) const LOCKS: &[&str] = &["l0", "l1", "l2", "l3", "l4"];
pub(crate) const BRANCHES: &[Option<&str>] = &[Some("main"), Some("release/1"), Some("topic"), None];

/// A configuration. Each name is left out now and then; `whole` leaves out nothing.
pub(crate) fn plan(rng: &mut Rng, digest: u64, whole: bool) -> Plan {
    let mut plan = Plan {
        digest: format!("{digest:064x}"),
        ..Plan::default()
    };
    for name in WORKERS {
        if whole || rng.chance(85) {
            plan.workers.insert((*name).into(), worker(rng, name));
        }
    }
    for name in LOCKS {
        // One that is not defined locks nothing.
        if rng.chance(90) {
            plan.locks.insert((*name).into(), lock(rng, name));
        }
    }
    for name in BUILDERS {
        if whole || rng.chance(85) {
            plan.builders.insert((*name).into(), builder(rng, name));
        }
    }
    let known: Vec<String> = plan.builders.keys().cloned().collect();
    for (name, kind) in [
        ("s-single", single(rng)),
        ("s-any", any(rng)),
        ("s-plain", plain(rng)),
        ("s-periodic", periodic(rng)),
        ("s-force", force(rng)),
        ("t-dependent", dependent("s-single")),
        ("u-dependent", dependent("s-force")),
        ("v-dependent", dependent("t-dependent")),
        ("w-trigger", triggerable()),
        ("x-trigger", triggerable()),
    ] {
        // No period while everything is to come to rest.
        if known.is_empty() || (whole && name == "s-periodic") || (!whole && rng.chance(12)) {
            continue;
        }
        let mut builders: Vec<String> = known.iter().filter(|_| rng.chance(50)).cloned().collect();
        if builders.is_empty() {
            builders.push(known[0].clone());
        }
        let scheduler = SchedulerDef {
            name: name.into(),
            builders,
            priority: [0, 0, 0, 5, -3][rng.below(5) as usize],
            properties: BTreeMap::from([("from".into(), json!(name))]),
            kind,
        };
        plan.schedulers.insert(name.into(), scheduler);
    }
    plan
}

fn worker(rng: &mut Rng, name: &str) -> WorkerDef {
    let mut labels = BTreeSet::from(["all".to_owned()]);
    if rng.chance(50) {
        labels.insert("fast".into());
    }
    WorkerDef {
        name: name.into(),
        slots: 1 + rng.below(3) as u32,
        labels,
        token_sha256: String::new(),
        properties: BTreeMap::new(),
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
            0..3 => CollapseRule::SameBranch,
            3 => CollapseRule::Newest,
            _ => CollapseRule::Never,
        },
        builds_max: rng.chance(25).then(|| 1 + rng.below(2) as u32),
        locks,
        prefer: *rng.pick(&[
            WorkerPreference::Warm,
            WorkerPreference::Idle,
            WorkerPreference::Order,
        ]),
        priority_property: None,
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
    }
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
            kind: ForceFieldKind::Int,
            default: json!(1),
            required: rng.chance(30),
            regex: None,
            tooltip: String::new(),
        }],
    })
}
