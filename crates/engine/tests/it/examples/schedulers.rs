//! Changes and time become buildsets.

use ironmaster_engine::{Input, schedulers::WAITING_MAX};
use ironmaster_model::{
    BuildsetRecord, ChangeFilter, Duration, Event, FixedSource, SchedulerKind, Timestamp,
};

use super::{Bench, change, names, scheduler};

fn filter() -> ChangeFilter {
    ChangeFilter {
        branches: vec!["main".into(), "release/*".into()],
        unimportant_files: vec!["docs/**".into()],
        ..ChangeFilter::default()
    }
}

fn bench(kind: SchedulerKind) -> Bench {
    let mut bench = Bench::new();
    bench
        .plan
        .schedulers
        .insert("s".into(), scheduler("s", &["a"], kind));
    bench.configure();
    bench
}

fn buildsets(events: &[Event]) -> Vec<BuildsetRecord> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::BuildsetCreated { buildset } => Some(buildset.clone()),
            _ => None,
        })
        .collect()
}

fn changes(events: &[Event]) -> Vec<Vec<u64>> {
    buildsets(events)
        .iter()
        .map(|buildset| buildset.changes.iter().map(|change| change.0).collect())
        .collect()
}

#[test]
fn without_a_timer_each_important_change_is_built_at_once() {
    let mut bench = bench(SchedulerKind::SingleBranch {
        filter: filter(),
        tree_stable: None,
    });
    assert_eq!(changes(&bench.ok(change("topic", "r1", &["src/a"]))), [[0; 0]; 0]);
    assert_eq!(changes(&bench.ok(change("main", "r2", &["docs/a"]))), [[0; 0]; 0]);
    let events = bench.ok(change("main", "r3", &["src/a"]));
    assert_eq!(changes(&events), [[2, 3]]);
    let set = &buildsets(&events)[0];
    assert_eq!(set.reason, "scheduler 's' heard of 2 changes");
    let build = &bench.running()[0];
    assert_eq!(build.properties.get("revision"), Some(&"r3".into()));
    assert_eq!(
        build.properties.get("owners"),
        Some(&serde_json::json!(["author of r2", "author of r3"]))
    );
}

#[test]
fn a_tree_stable_timer_collects_and_restarts_with_important_changes() {
    let mut bench = bench(SchedulerKind::SingleBranch {
        filter: filter(),
        tree_stable: Some(Duration::from_secs(60)),
    });
    bench.ok(change("main", "r1", &["src/a"]));
    bench.pass(50);
    bench.ok(change("release/1", "r2", &["src/a"]));
    bench.pass(50);
    // Unimportant: it comes along and does not hold up.
    bench.ok(change("main", "r3", &["docs/a"]));
    assert_eq!(bench.ok(Input::Tick), []);
    let due = bench.state.next_deadline().expect("a timer");
    assert_eq!(due, bench.now + Duration::from_secs(10));
    bench.now = due;
    assert_eq!(changes(&bench.ok(Input::Tick)), [[1, 2, 3]]);
    assert_eq!(bench.state.next_deadline(), None);
}

#[test]
fn any_branch_has_a_timer_for_each_branch() {
    let mut bench = bench(SchedulerKind::AnyBranch {
        filter: ChangeFilter::default(),
        tree_stable: Some(Duration::from_secs(60)),
    });
    bench.ok(change("main", "r1", &[]));
    bench.ok(change("topic", "r2", &[]));
    bench.pass(30);
    bench.ok(change("main", "r3", &[]));
    bench.pass(30);
    assert_eq!(changes(&bench.ok(Input::Tick)), [[2]]);
    bench.pass(30);
    assert_eq!(changes(&bench.ok(Input::Tick)), [[1, 3]]);
}

#[test]
fn a_period_begins_at_once_and_never_catches_up() {
    let source = FixedSource {
        branch: Some("main".into()),
        ..FixedSource::default()
    };
    let mut bench = bench(SchedulerKind::Periodic {
        interval: Duration::from_secs(3600),
        source,
        changes: None,
    });
    assert_eq!(bench.state.next_deadline(), Some(bench.now));
    assert_eq!(buildsets(&bench.ok(Input::Tick)).len(), 1);
    bench.pass(3600);
    assert_eq!(buildsets(&bench.ok(Input::Tick)).len(), 1);
    // A week without a master, or a clock that jumps.
    bench.pass(7 * 86_400);
    assert_eq!(buildsets(&bench.ok(Input::Tick)).len(), 1);
    assert_eq!(
        bench.state.next_deadline(),
        Some(bench.now + Duration::from_secs(3600))
    );
    // A shorter interval counts from the last firing.
    let at: Timestamp = bench.now;
    bench.pass(60);
    let Some(definition) = bench.plan.schedulers.get_mut("s") else {
        unreachable!("it is configured");
    };
    if let SchedulerKind::Periodic { interval, .. } = &mut definition.kind {
        *interval = Duration::from_secs(600);
    }
    bench.configure();
    assert_eq!(bench.state.next_deadline(), Some(at + Duration::from_secs(600)));
}

#[test]
fn what_a_removed_scheduler_holds_back_is_kept() {
    let mut bench = bench(SchedulerKind::SingleBranch {
        filter: filter(),
        tree_stable: Some(Duration::from_secs(60)),
    });
    bench.ok(change("main", "r1", &[]));
    let kept = bench.plan.clone();
    bench.plan.schedulers.remove("s");
    bench.configure();
    bench.pass(600);
    assert_eq!(bench.ok(Input::Tick), []);
    bench.plan.schedulers = kept.schedulers;
    bench.configure();
    assert_eq!(changes(&bench.ok(Input::Tick)), [[1]]);
}

#[test]
fn a_scheduler_that_is_off_hears_nothing() {
    let mut bench = bench(SchedulerKind::SingleBranch {
        filter: filter(),
        tree_stable: None,
    });
    let id = bench.state.scheduler_by_name("s").expect("it is there").id;
    let off = Input::EnableScheduler {
        scheduler: id,
        enabled: false,
    };
    assert_eq!(names(&bench.ok(off.clone())), ["scheduler_set"]);
    assert_eq!(bench.ok(off), []);
    let events = bench.ok(change("main", "r1", &[]));
    assert_eq!(names(&events), ["source_stamp_added", "change_added"]);
}

#[test]
fn what_a_timer_holds_back_is_bounded() {
    let mut bench = bench(SchedulerKind::SingleBranch {
        filter: filter(),
        tree_stable: Some(Duration::from_secs(60)),
    });
    for number in 0..WAITING_MAX + 10 {
        bench.ok(change("main", &format!("r{number}"), &["docs/a"]));
    }
    let held = |bench: &Bench| {
        let state = &bench.state.scheduler_by_name("s").expect("it is there").state;
        state
            .waiting
            .values()
            .map(|waiting| waiting.changes.len())
            .sum::<usize>()
    };
    assert!(held(&bench) < WAITING_MAX, "of unimportant ones the oldest go");
    assert_eq!(bench.state.to_snapshot().changes.len(), held(&bench));
    // Important ones are not dropped: the timer waits no longer.
    let mut built = 0;
    for number in 0..10 {
        built += changes(&bench.ok(change("main", &format!("i{number}"), &["src/a"]))).len();
    }
    assert_eq!(built, 1);
}
