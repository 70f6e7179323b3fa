//! Schedulers that a calendar sets off. The table of what clocks do is with `model::calendar`.

use ironmaster_engine::{Input, Reply, State, Trigger};
use ironmaster_model::{
    BuildsetRecord, ChangeFilter, Cron, Duration, Event, FixedSource, NewSourceStamp, NightlyDef, Properties,
    Results, SchedulerKind, Timestamp, Wanted,
};

use super::{Bench, builder, change, scheduler};

/// 2023-11-14 22:13:20 UTC.
const NOW: i64 = 1_700_000_000;
const DAY: i64 = 86_400;
/// The next three in the morning, in Berlin.
const THREE: i64 = 1_700_013_600;

fn nightly() -> NightlyDef {
    NightlyDef {
        cron: Cron::parse("0 3 * * *").expect("a good one"),
        zone: "Europe/Berlin".into(),
        jitter: Duration::ZERO,
        force_at: None,
        source: FixedSource {
            branch: Some("main".into()),
            repository: "repo".into(),
            ..FixedSource::default()
        },
        changes: None,
    }
}

fn bench(nightly: NightlyDef) -> Bench {
    let mut bench = Bench::new();
    bench.now = Timestamp::from_secs(NOW);
    set(&mut bench, nightly);
    bench
}

fn set(bench: &mut Bench, nightly: NightlyDef) {
    let definition = scheduler("s", &["a"], SchedulerKind::Nightly(nightly));
    bench.plan.schedulers.insert("s".into(), definition);
    bench.configure();
}

fn due(bench: &Bench) -> i64 {
    bench
        .state
        .next_deadline()
        .expect("it is due some time")
        .as_secs()
}

/// Goes to the next due time.
fn fire(bench: &mut Bench) -> Vec<BuildsetRecord> {
    bench.now = bench
        .state
        .next_deadline()
        .expect("it is due some time")
        .max(bench.now);
    bench
        .ok(Input::Tick)
        .into_iter()
        .filter_map(|event| match event {
            Event::BuildsetCreated { buildset } => Some(buildset),
            _ => None,
        })
        .collect()
}

#[test]
fn it_fires_at_its_time_of_day() {
    let mut bench = bench(nightly());
    assert_eq!(due(&bench), THREE);
    let built = fire(&mut bench);
    assert_eq!(built[0].reason, "scheduler 's' builds at 0 3 * * *");
    assert_eq!(built[0].changes, []);
    assert_eq!(due(&bench), THREE + DAY);
    // The same configuration again changes nothing; another time of day does.
    bench.configure();
    assert_eq!(due(&bench), THREE + DAY);
    let mut later = nightly();
    later.cron = Cron::parse("30 4 * * *").expect("a good one");
    set(&mut bench, later);
    assert_eq!(due(&bench), THREE + 5400);
}

#[test]
fn what_was_missed_is_made_up_for_once() {
    let mut bench = bench(nightly());
    // A week without a master: it comes back with the configuration that it had.
    bench.pass(7 * DAY);
    bench.ok(Input::MasterStart {
        name: "host:/".into(),
        lease: Duration::from_secs(600),
    });
    bench.configure();
    assert_eq!(fire(&mut bench).len(), 1);
    assert_eq!(due(&bench), THREE + 7 * DAY);
}

#[test]
fn what_was_due_while_it_was_off_is_not_made_up_for() {
    let mut bench = bench(nightly());
    let id = bench.state.scheduler_by_name("s").expect("it is there").id;
    bench.ok(Input::EnableScheduler {
        scheduler: id,
        enabled: false,
    });
    assert_eq!(bench.state.next_deadline(), None);
    bench.pass(3 * DAY);
    bench.ok(Input::EnableScheduler {
        scheduler: id,
        enabled: true,
    });
    assert_eq!(due(&bench), THREE + 3 * DAY);
}

#[test]
fn jitter_puts_it_off_and_never_twice_a_night() {
    let mut definition = nightly();
    definition.jitter = Duration::from_secs(3600);
    let mut bench = bench(definition);
    for night in 0..20 {
        let off = due(&bench) - THREE - night * DAY;
        assert!((0..=3600).contains(&off), "night {night}: {off}");
        assert_eq!(fire(&mut bench).len(), 1);
    }
}

#[test]
fn only_if_changed_builds_what_has_changed() {
    let mut definition = nightly();
    definition.changes = Some(ChangeFilter {
        branches: vec!["main".into()],
        unimportant_files: vec!["docs/**".into()],
        ..ChangeFilter::default()
    });
    definition.force_at = Some(Cron::parse("0 3 * * 0").expect("a good one"));
    let mut bench = bench(definition);
    // A Wednesday: nothing new.
    assert_eq!(fire(&mut bench), []);
    // Only unimportant things, and another branch.
    bench.ok(change("main", "r1", &["docs/a"]));
    bench.ok(change("topic", "r2", &["src/a"]));
    assert_eq!(fire(&mut bench), []);
    // The important one brings along what was kept.
    bench.ok(change("main", "r3", &["src/a"]));
    bench.ok(change("main", "r4", &["docs/a"]));
    let built = fire(&mut bench);
    let changes: Vec<u64> = built[0].changes.iter().map(|change| change.0).collect();
    assert_eq!(changes, [1, 3, 4]);
    let build = &bench.running()[0];
    assert_eq!(build.properties.get("revision"), Some(&"r4".into()));
    // What is kept is in the rows, too.
    bench.ok(change("main", "r5", &["docs/a"]));
    assert_eq!(bench.state.to_snapshot().changes.len(), 1);
    assert_eq!(fire(&mut bench), []);
    // On Sunday it builds in any case.
    assert_eq!(due(&bench), THREE + 4 * DAY);
    assert_eq!(fire(&mut bench).len(), 1);
    assert_eq!(bench.state.to_snapshot().changes.len(), 0);
}

#[test]
fn a_period_that_only_builds_what_has_changed() {
    let mut bench = Bench::new();
    let kind = SchedulerKind::Periodic {
        interval: Duration::from_secs(600),
        source: FixedSource::default(),
        changes: Some(ChangeFilter::default()),
    };
    bench
        .plan
        .schedulers
        .insert("s".into(), scheduler("s", &["a"], kind));
    bench.configure();
    assert_eq!(fire(&mut bench), []);
    bench.ok(change("main", "r1", &[]));
    assert_eq!(fire(&mut bench).len(), 1);
    assert_eq!(fire(&mut bench), []);
}

/// What a step asks for is built at the next time, the last wish of several, and then no more.
#[test]
fn a_step_asks_for_a_build_at_night() {
    let mut bench = Bench::new();
    bench.now = Timestamp::from_secs(NOW);
    let definition = scheduler("s", &["b"], SchedulerKind::NightlyTriggerable(nightly()));
    bench.plan.schedulers.insert("s".into(), definition);
    bench.plan.builders.insert("b".into(), builder("b", &["make"]));
    bench.configure();
    // Nobody has asked.
    assert_eq!(fire(&mut bench), []);
    bench.force(serde_json::json!({"builderid": 1}));
    let build = bench.running()[0].id;
    let step = bench
        .state
        .assignment(build)
        .and_then(|assignment| assignment.step);
    let ask = |ordinal: u32, revision: &str, waits: bool| {
        let mut properties = Properties::new();
        properties.set("from", revision, "Trigger");
        Input::Trigger(Trigger {
            build,
            step: step.as_ref().expect("it has a step").id,
            ordinal,
            digest: format!("{ordinal}"),
            wanted: vec![Wanted {
                scheduler: "s".into(),
                sourcestamps: vec![NewSourceStamp {
                    revision: Some(revision.into()),
                    ..NewSourceStamp::default()
                }],
                properties,
            }],
            waits,
            relationship: "Triggered from".into(),
        })
    };
    // Nothing is started, and nobody waits.
    for (ordinal, revision, waits) in [(0, "r1", false), (1, "r2", true)] {
        let (answer, _) = bench.send(ask(ordinal, revision, waits));
        assert_eq!(answer, Ok(Reply::Triggered(Vec::new())));
        assert_eq!(bench.running().len(), 1);
    }
    bench.end(build, Results::Success);
    bench.state = State::load(bench.state.to_snapshot()).expect("the rows fit together");
    assert_eq!(fire(&mut bench).len(), 1);
    let build = &bench.running()[0];
    assert_eq!(build.properties.get("revision"), Some(&"r2".into()));
    assert_eq!(build.properties.get("from"), Some(&"r2".into()));
    assert_eq!(fire(&mut bench), []);
}
