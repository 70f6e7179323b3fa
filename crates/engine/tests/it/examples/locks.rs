//! Locks of builders and of steps.

use ironmaster_engine::{Behind, Input, LockWait, Refusal, State, Waiting};
use ironmaster_model::{
    BuildId, BuildRequestId, BuilderId, Event, LockDef, LockScope, LockUse, Results, WorkerId,
};
use serde_json::json;

use super::{Bench, builder, force, force_form, names, scheduler, worker};

fn lock(name: &str, scope: LockScope, max_count: u32) -> LockDef {
    LockDef {
        name: name.into(),
        scope,
        max_count,
        worker_counts: std::collections::BTreeMap::new(),
    }
}

/// Builders of one step each, with four slots on each of two workers.
fn bench(builders: &[&str], locks: Vec<LockDef>) -> Bench {
    let mut bench = Bench::new();
    for name in ["w", "x"] {
        bench.plan.workers.insert(name.into(), worker(name, 4));
    }
    for name in builders {
        bench
            .plan
            .builders
            .insert((*name).into(), builder(name, &["make"]));
    }
    let form = scheduler("force", builders, force_form());
    bench.plan.schedulers.insert("force".into(), form);
    for lock in locks {
        bench.plan.locks.insert(lock.name.clone(), lock);
    }
    bench
}

fn ready(bench: &mut Bench) {
    bench.configure();
    bench.connect("x", "x#1");
}

/// The request of one builder, a second later than the one before.
fn ask(bench: &mut Bench, name: &str) -> BuildRequestId {
    bench.pass(1);
    let id = bench.state.builder_by_name(name).expect("it is configured").id;
    bench.force(json!({"builderid": id.0}))
}

fn build_of(bench: &Bench, request: BuildRequestId) -> Option<BuildId> {
    let build = bench
        .state
        .active_builds()
        .find(|build| build.request == request)?;
    Some(build.id)
}

fn waits(bench: &Bench, build: BuildId) -> bool {
    bench
        .state
        .builds_that_wait_for_locks()
        .any(|waiting| waiting == build)
}

/// A state that is loaded from the rows knows the same locks and lines.
fn survives_a_restart(bench: &Bench) {
    let loaded = State::load(bench.state.to_snapshot()).expect("the rows fit together");
    assert_eq!(bench.state.difference(&loaded), None);
}

#[test]
fn a_counting_lock_lets_so_many_builds_run() {
    let mut bench = bench(&["a", "b"], vec![lock("db", LockScope::Master, 2)]);
    for name in ["a", "b"] {
        let builder = bench.plan.builders.get_mut(name).unwrap();
        builder.locks = vec![LockUse::counting("db", 1)];
    }
    ready(&mut bench);
    let first = ask(&mut bench, "a");
    let second = ask(&mut bench, "b");
    let third = ask(&mut bench, "a");
    let (first, second) = (
        build_of(&bench, first).unwrap(),
        build_of(&bench, second).unwrap(),
    );
    let wait = LockWait {
        lock: "db".into(),
        worker: None,
        taken: 2,
        max: 2,
        holders: vec![first, second],
        behind: None,
    };
    assert_eq!(bench.state.why_waiting(third), Waiting::Locks(wait.clone()));
    assert_eq!(
        wait.to_string(),
        format!("lock \"db\" is held by build {first}, build {second} (2 of 2 taken)")
    );
    survives_a_restart(&bench);
    bench.end(second, Results::Failure);
    assert!(build_of(&bench, third).is_some());
}

#[test]
fn many_small_wishes_do_not_put_off_a_large_one() {
    let mut bench = bench(&["a", "b", "c"], vec![lock("db", LockScope::Master, 3)]);
    bench.plan.builders.get_mut("a").unwrap().locks = vec![LockUse::counting("db", 1)];
    bench.plan.builders.get_mut("b").unwrap().locks = vec![LockUse::exclusive("db")];
    ready(&mut bench);
    let small = ask(&mut bench, "a");
    let large = ask(&mut bench, "b");
    let late = ask(&mut bench, "a");
    let free = ask(&mut bench, "c");
    // Who needs no lock passes.
    assert!(build_of(&bench, free).is_some());
    assert!(build_of(&bench, large).is_none() && build_of(&bench, late).is_none());
    let Waiting::Locks(wait) = bench.state.why_waiting(late) else {
        panic!("it waits for the lock");
    };
    assert_eq!(wait.behind, Some(Behind::Request(large)));
    let small = build_of(&bench, small).unwrap();
    bench.end(small, Results::Success);
    assert!(build_of(&bench, late).is_none());
    let large = build_of(&bench, large).expect("it was its turn");
    bench.end(large, Results::Success);
    assert!(build_of(&bench, late).is_some());
}

#[test]
fn a_lock_of_workers_takes_part_in_the_choice_of_a_worker() {
    let mut bench = bench(&["a"], vec![lock("disk", LockScope::Worker, 1)]);
    bench.plan.locks.get_mut("disk").unwrap().worker_counts = [("x".to_owned(), 2)].into();
    bench.plan.builders.get_mut("a").unwrap().locks = vec![LockUse::counting("disk", 1)];
    ready(&mut bench);
    let requests: Vec<_> = (0..4).map(|_| ask(&mut bench, "a")).collect();
    let mut on: Vec<WorkerId> = bench.running().iter().map(|build| build.worker).collect();
    on.sort_unstable();
    assert_eq!(on, [WorkerId(1), WorkerId(2), WorkerId(2)]);
    assert!(matches!(bench.state.why_waiting(requests[3]), Waiting::Locks(_)));
    survives_a_restart(&bench);
}

#[test]
fn a_step_runs_only_when_it_has_its_locks() {
    let mut bench = bench(&["a"], vec![lock("db", LockScope::Master, 1)]);
    let step = &mut bench.plan.builders.get_mut("a").unwrap().steps[0];
    step.locks = vec![LockUse::exclusive("db")];
    ready(&mut bench);
    let events = bench.ok(force(json!({})));
    assert_eq!(
        names(&events)[3..],
        ["build_started", "step_started", "step_locks_acquired"]
    );
    let second = ask(&mut bench, "a");
    let (first, second) = (BuildId(1), build_of(&bench, second).unwrap());
    assert!(!waits(&bench, first) && waits(&bench, second));
    let why = bench.state.why_step_waits(second).expect("it waits");
    assert_eq!((why.lock.as_str(), &why.holders[..]), ("db", &[first][..]));
    survives_a_restart(&bench);
    // Nobody speaks for it yet.
    let step = bench.state.assignment(second).unwrap().step.unwrap();
    assert_eq!(step.locks_acquired_at, None);
    let progress = Input::StepProgress(ironmaster_engine::StepReport {
        build: second,
        step: step.id,
        effects: Vec::new(),
        saves: Vec::new(),
        properties: ironmaster_model::Properties::new(),
        state_string: Some("compiling".into()),
        urls: None,
    });
    assert!(matches!(bench.refused(progress), Refusal::NotLive { .. }));
    bench.pass(1);
    let events = bench.end(first, Results::Success);
    assert!(names(&events).contains(&"step_locks_acquired"));
    let step = bench.state.assignment(second).unwrap().step.unwrap();
    assert_eq!(step.locks_acquired_at, Some(bench.now));
}

#[test]
fn waiting_for_a_lock_can_be_stopped() {
    let mut bench = bench(&["a"], vec![lock("db", LockScope::Master, 1)]);
    let builder = bench.plan.builders.get_mut("a").unwrap();
    builder.steps = vec![super::step("use"), super::step("clean")];
    for step in &mut builder.steps {
        step.locks = vec![LockUse::counting("db", 1)];
    }
    builder.steps[1].flags.always_run = true;
    ready(&mut bench);
    ask(&mut bench, "a");
    let second = ask(&mut bench, "a");
    let second = build_of(&bench, second).unwrap();
    let stop = || Input::StopBuild {
        build: second,
        by: "ann".into(),
        reason: "no need".into(),
    };
    // The step that always runs waits too, until somebody insists.
    assert_eq!(
        names(&bench.ok(stop())),
        ["build_stop_requested", "step_finished", "step_started"]
    );
    assert!(waits(&bench, second));
    let events = bench.ok(stop());
    assert!(matches!(
        &events[..],
        [
            Event::StepFinished {
                results: Results::Cancelled,
                ..
            },
            Event::BuildFinished {
                results: Results::Cancelled,
                ..
            },
            ..
        ]
    ));
    survives_a_restart(&bench);
}

#[test]
fn a_lost_build_waits_no_more_and_gives_its_locks_back() {
    let mut bench = bench(&["a"], vec![lock("db", LockScope::Master, 1)]);
    bench.plan.builders.get_mut("a").unwrap().steps[0].locks = vec![LockUse::counting("db", 1)];
    ready(&mut bench);
    let first = ask(&mut bench, "a");
    let second = ask(&mut bench, "a");
    let second = build_of(&bench, second).unwrap();
    let events = bench.ok(Input::BuildLost {
        build: second,
        reason: "its machine burnt".into(),
    });
    assert_eq!(
        names(&events)[..4],
        [
            "build_lost",
            "step_finished",
            "build_finished",
            "request_requeued"
        ]
    );
    // And what was asked for is tried again.
    assert!(
        bench
            .running()
            .iter()
            .any(|build| build.attempt == 2 && waits(&bench, build.id))
    );
    let first = build_of(&bench, first).unwrap();
    bench.end(first, Results::Success);
    assert!(bench.running().iter().all(|build| !waits(&bench, build.id)));
}

/// Two builds hold `own` and want `other` in their step; a request for both waits between them. If the step stood in line
/// behind that request, none of the three could go on.
#[test]
fn a_step_does_not_wait_behind_those_who_wait_for_its_build() {
    let locks = vec![
        lock("own", LockScope::Master, 1),
        lock("other", LockScope::Master, 1),
    ];
    let mut bench = bench(&["a", "b", "c"], locks);
    let builders = &mut bench.plan.builders;
    let a = builders.get_mut("a").unwrap();
    a.locks = vec![LockUse::counting("own", 1)];
    a.steps = vec![super::step("first"), super::step("second")];
    a.steps[1].locks = vec![LockUse::counting("other", 1)];
    builders.get_mut("b").unwrap().locks = vec![LockUse::exclusive("own"), LockUse::exclusive("other")];
    ready(&mut bench);
    let holder = ask(&mut bench, "a");
    let both = ask(&mut bench, "b");
    let holder = build_of(&bench, holder).unwrap();
    assert!(build_of(&bench, both).is_none());
    bench.end(holder, Results::Success);
    assert!(!waits(&bench, holder), "its second step runs");
    bench.end(holder, Results::Success);
    assert!(build_of(&bench, both).is_some());
}

#[test]
fn a_configuration_may_take_locks_away_while_they_are_held() {
    let mut bench = bench(&["a"], vec![lock("db", LockScope::Master, 3)]);
    bench.plan.builders.get_mut("a").unwrap().locks = vec![LockUse::counting("db", 1)];
    ready(&mut bench);
    for _ in 0..3 {
        ask(&mut bench, "a");
    }
    assert_eq!(bench.running().len(), 3);
    bench.plan.locks.get_mut("db").unwrap().max_count = 1;
    bench.configure();
    let next = ask(&mut bench, "a");
    for build in [1, 2] {
        bench.end(BuildId(build), Results::Success);
        assert!(build_of(&bench, next).is_none());
    }
    survives_a_restart(&bench);
    bench.end(BuildId(3), Results::Success);
    assert!(build_of(&bench, next).is_some());
    let id = BuilderId(1);
    assert_eq!(bench.state.builder(id).unwrap().name, "a");
}

/// A build that waits for others holds none of its locks, but those that it is to keep, so that the others can have them.
#[test]
fn a_build_that_waits_for_others_gives_its_locks_up() {
    use ironmaster_engine::Trigger;
    use ironmaster_model::{FixedSource, SchedulerKind, Wanted};
    let locks = vec![
        lock("db", LockScope::Master, 1),
        lock("kept", LockScope::Master, 1),
    ];
    let mut bench = bench(&["a", "b", "c"], locks);
    let builders = &mut bench.plan.builders;
    let mut kept = LockUse::exclusive("kept");
    kept.keep = true;
    builders.get_mut("a").unwrap().locks = vec![LockUse::exclusive("db"), kept];
    builders.get_mut("b").unwrap().locks = vec![LockUse::exclusive("db")];
    builders.get_mut("c").unwrap().locks = vec![LockUse::counting("kept", 1)];
    let source = FixedSource::default();
    let children = scheduler("children", &["b"], SchedulerKind::Triggerable { source });
    bench.plan.schedulers.insert("children".into(), children);
    ready(&mut bench);
    let parent = ask(&mut bench, "a");
    let parent = build_of(&bench, parent).unwrap();
    let step = bench.state.assignment(parent).unwrap().step.unwrap();
    bench.ok(Input::Trigger(Trigger {
        build: parent,
        step: step.id,
        ordinal: 0,
        digest: String::new(),
        relationship: "Triggered".into(),
        waits: true,
        wanted: vec![Wanted {
            scheduler: "children".into(),
            sourcestamps: Vec::new(),
            properties: ironmaster_model::Properties::new(),
        }],
    }));
    let child = bench.running().into_iter().find(|build| build.id != parent);
    let child = child.expect("the child has the lock of its parent").id;
    let other = ask(&mut bench, "c");
    assert!(build_of(&bench, other).is_none(), "the parent keeps this one");
    survives_a_restart(&bench);
    let next = ask(&mut bench, "b");
    bench.end(child, Results::Success);
    // The parent goes first: it has its lock again before the next request gets it.
    assert!(bench.state.build(parent).unwrap().waits.is_none());
    assert!(build_of(&bench, next).is_none());
    survives_a_restart(&bench);
    bench.end(parent, Results::Success);
    assert!(build_of(&bench, next).is_some() && build_of(&bench, other).is_some());
}
