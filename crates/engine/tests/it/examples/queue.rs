//! Who goes first, where, and why something waits.

use ironmaster_engine::{Input, Refusal, Waiting};
use ironmaster_model::{
    BuildRequestId, CollapseRule, Cron, DowntimeDef, Duration, Event, ProjectDef, Results, WorkerId,
    WorkerSelector,
};
use serde_json::json;

use super::{Bench, builder, force, names, scheduler, worker};

#[test]
fn one_decision_starts_the_build_and_its_first_step() {
    let mut bench = Bench::new();
    assert_eq!(
        names(&bench.ok(force(json!({})))),
        [
            "source_stamp_added",
            "buildset_created",
            "request_queued",
            "build_started",
            "step_started"
        ]
    );
    let build = bench.running()[0].clone();
    let assignment = bench.state.assignment(build.id).expect("it is active");
    assert_eq!(assignment.builder.name, "a");
    assert_eq!(assignment.worker_name, "w");
    assert_eq!(assignment.workdir, "a");
    assert_eq!(assignment.reason, "A build was forced by 'ann': ");
    assert_eq!(assignment.logs[0].slug, "stdio");
    assert_eq!(
        names(&bench.end(build.id, Results::Success)),
        [
            "step_finished",
            "build_finished",
            "request_completed",
            "buildset_completed"
        ]
    );
    assert_eq!(bench.state.assignment(build.id), None);
}

#[test]
fn priority_goes_first_then_age() {
    let mut bench = Bench::new();
    bench.force(json!({}));
    let old = bench.force(json!({}));
    let urgent = bench.force(json!({"priority": 5}));
    let moved = bench.force(json!({}));
    bench.ok(Input::SetPriority {
        request: moved,
        priority: 9,
    });
    let mut order = Vec::new();
    for _ in 0..3 {
        let build = bench.running()[0].id;
        bench.end(build, Results::Success);
        order.push(bench.running()[0].request);
    }
    assert_eq!(order, [moved, urgent, old]);
    assert!(matches!(
        bench.refused(Input::SetPriority {
            request: old,
            priority: 1
        }),
        Refusal::Conflict { .. }
    ));
    let never = Input::SetPriority {
        request: BuildRequestId(99),
        priority: 1,
    };
    assert!(matches!(bench.refused(never), Refusal::NotFound { .. }));
}

#[test]
fn a_master_that_drains_starts_nothing_until_it_goes_on_or_starts_again() {
    let mut bench = Bench::new();
    bench.force(json!({}));
    let running = bench.running()[0].id;
    assert_eq!(names(&bench.ok(Input::Drain { draining: true })), ["master_set"]);
    assert!(
        bench.ok(Input::Drain { draining: true }).is_empty(),
        "it drains already"
    );
    let waits = bench.force(json!({}));
    bench.end(running, Results::Success);
    assert!(bench.running().is_empty());
    assert_eq!(bench.state.why_waiting(waits), Waiting::Draining);
    bench.ok(Input::Drain { draining: false });
    assert_eq!(bench.running()[0].request, waits);

    let next = bench.force(json!({}));
    bench.ok(Input::Drain { draining: true });
    bench.ok(Input::MasterStop);
    assert!(matches!(
        bench.refused(Input::Drain { draining: false }),
        Refusal::NotLive { .. }
    ));
    bench.ok(Input::MasterStart {
        name: "host:/".into(),
        lease: ironmaster_model::Duration::from_secs(60),
    });
    assert!(!bench.state.master().expect("it runs").draining);
    assert!(matches!(
        bench.state.why_waiting(next),
        Waiting::WorkersOccupied { .. }
    ));
}

#[test]
fn a_warm_checkout_is_preferred_then_the_idlest_worker() {
    let mut bench = Bench::new();
    for name in ["x", "y"] {
        bench.plan.workers.insert(name.into(), worker(name, 2));
    }
    bench.plan.builders.insert("b".into(), builder("b", &["make"]));
    let form = scheduler("force", &["a", "b"], super::force_form());
    bench.plan.schedulers.insert("force".into(), form);
    bench.configure();
    bench.connect("x", "x#1");
    bench.connect("y", "y#1");
    let run = |bench: &mut Bench, builder: u64| {
        bench.pass(1);
        bench.force(json!({"builderid": builder}));
        let build = bench.running().pop().expect("it started");
        (
            bench.state.worker(build.worker).expect("known").name.clone(),
            build,
        )
    };
    let (first, build) = run(&mut bench, 1);
    bench.end(build.id, Results::Success);
    let (other, build) = run(&mut bench, 2);
    assert_ne!(first, other, "the idlest worker gets another builder's build");
    bench.end(build.id, Results::Success);
    let (again, build) = run(&mut bench, 1);
    assert_eq!(first, again, "the checkout is warm");
    bench.end(build.id, Results::Success);
}

#[test]
fn slots_are_directories_of_their_own() {
    let mut bench = Bench::new();
    bench.plan.workers.insert("w".into(), worker("w", 2));
    bench.configure();
    for _ in 0..3 {
        bench.force(json!({}));
    }
    let running = bench.running();
    assert_eq!(running.iter().map(|build| build.slot).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(
        bench.state.assignment(running[1].id).expect("active").workdir,
        "a@2"
    );
    assert_eq!(running[1].properties.get("builddir"), Some(&json!("a@2")));
    bench.end(running[1].id, Results::Success);
    assert_eq!(bench.running()[1].slot, 1);
}

#[test]
fn it_says_why_a_request_waits() {
    let mut bench = Bench::new();
    bench.plan.builders.get_mut("a").expect("a").builds_max = Some(1);
    bench.configure();
    bench.force(json!({}));
    let second = bench.force(json!({}));
    let third = bench.force(json!({}));
    let why = |bench: &Bench, request| bench.state.why_waiting(request).to_string();
    assert_eq!(
        why(&bench, second),
        "1 builds of this builder are running, and its limit is 1"
    );
    assert!(why(&bench, third).starts_with("1 request of the same builder goes first; request 2: "));
    bench.plan.builders.get_mut("a").expect("a").builds_max = None;
    bench.configure();
    assert_eq!(why(&bench, second), "none of its workers has room (busy: w)");
    bench.ok(Input::PauseWorker {
        worker: WorkerId(1),
        paused: true,
        reason: "new disk".into(),
    });
    assert_eq!(
        why(&bench, second),
        "none of its workers has room (paused: w (new disk))"
    );
    bench.plan.builders.get_mut("a").expect("a").workers = vec![WorkerSelector::Name("w2".into())];
    bench.configure();
    assert_eq!(
        why(&bench, second),
        "no worker in the configuration may run builder \"a\""
    );
    bench.plan.builders.clear();
    bench.configure();
    assert!(matches!(
        bench.state.why_waiting(second),
        Waiting::BuilderRemoved { .. }
    ));
    bench.ok(Input::MasterStop);
    assert_eq!(why(&bench, second), "no master is running");
}

#[test]
fn requests_of_a_removed_builder_are_kept_until_it_returns() {
    let mut bench = Bench::new();
    let kept = bench.plan.clone();
    bench.force(json!({}));
    bench.force(json!({}));
    bench.plan.builders.clear();
    bench.configure();
    let build = bench.running()[0].id;
    bench.end(build, Results::Success);
    assert_eq!(bench.running(), []);
    bench.plan.builders = kept.builders;
    let events = bench.configure();
    assert!(
        names(&events).ends_with(&["build_started", "step_started"]),
        "{events:?}"
    );
}

#[test]
fn nothing_changed_is_no_event() {
    let mut bench = Bench::new();
    let plan = std::sync::Arc::new(bench.plan.clone());
    assert_eq!(bench.ok(Input::Configure { plan }), []);
    assert_eq!(names(&bench.configure()), ["configured"]);
}

#[test]
fn merging_keeps_the_place_in_the_queue() {
    let mut bench = Bench::new();
    bench.plan.builders.get_mut("a").expect("a").collapse = CollapseRule::SameBranch;
    bench.configure();
    bench.force(json!({"branch": "main"}));
    let first = bench.force(json!({"branch": "main", "priority": 3}));
    let other = bench.force(json!({"branch": "other"}));
    let fixed = bench.force(json!({"branch": "main", "revision": "r1"}));
    bench.pass(10);
    let events = bench.ok(force(json!({"branch": "main"})));
    let queued = events
        .iter()
        .find_map(|event| match event {
            Event::RequestQueued { request } => Some(request.clone()),
            _ => None,
        })
        .expect("queued");
    assert_eq!(queued.priority, 3);
    assert_eq!(
        names(&events)[1..],
        ["request_queued", "request_completed", "buildset_completed"]
    );
    assert_eq!(bench.state.request(first), None);
    assert!(
        bench.state.request(other).is_some(),
        "another branch is another thing"
    );
    assert!(
        bench.state.request(fixed).is_some(),
        "a revision that somebody asked for is built"
    );
    let build = bench.running()[0].id;
    bench.end(build, Results::Success);
    assert_eq!(bench.running()[0].request, queued.id);
}

#[test]
fn a_builder_says_which_worker_it_prefers() {
    use ironmaster_model::WorkerPreference::{Idle, Order, Warm};
    let mut bench = Bench::new();
    for name in ["x", "y"] {
        let mut worker = worker(name, 1);
        worker.labels.insert(format!("is-{name}"));
        bench.plan.workers.insert(name.into(), worker);
    }
    let builder = bench.plan.builders.get_mut("a").expect("it is there");
    builder.workers = vec![
        WorkerSelector::Name("y".into()),
        WorkerSelector::Labels {
            all: vec!["all".into(), "is-x".into()],
            not: vec!["is-y".into()],
        },
    ];
    bench.configure();
    for name in ["x", "y"] {
        bench.connect(name, &format!("{name}#1"));
    }
    // One build after the other.
    let mut choose = |prefer| {
        bench.plan.builders.get_mut("a").expect("it is there").prefer = prefer;
        bench.configure();
        let mut on = Vec::new();
        for _ in 0..3 {
            bench.force(json!({}));
            let build = bench.running()[0].clone();
            on.push(
                bench
                    .state
                    .worker(build.worker)
                    .expect("it is there")
                    .name
                    .clone(),
            );
            bench.end(build.id, Results::Success);
        }
        on.join("")
    };
    assert_eq!(choose(Order), "yyy");
    assert_eq!(choose(Idle), "xyx");
    assert_eq!(choose(Warm), "xxx");
}

#[test]
fn a_property_can_say_the_priority() {
    let mut bench = Bench::new();
    let builder = bench.plan.builders.get_mut("a").expect("it is there");
    builder.priority_property = Some("urgency".into());
    let form = ironmaster_model::ForceDef {
        fields: vec![ironmaster_model::ForceField {
            name: "urgency".into(),
            label: String::new(),
            kind: ironmaster_model::ForceFieldKind::String,
            default: json!(""),
            required: false,
            regex: None,
            tooltip: String::new(),
            hide: false,
        }],
        ..ironmaster_model::ForceDef::default()
    };
    let form = scheduler("force", &["a"], ironmaster_model::SchedulerKind::Force(form));
    bench.plan.schedulers.insert("force".into(), form);
    bench.configure();
    for (urgency, priority) in [("7", 7), ("soon", 0), ("-99999999999", -1_000_000)] {
        let request = bench.force(json!({"urgency": urgency}));
        let request = bench.state.request(request).expect("it is open");
        assert_eq!(request.priority, priority);
    }
}

#[test]
fn only_the_newest_request_is_built_where_the_builder_says_so() {
    let mut bench = Bench::new();
    bench.plan.builders.get_mut("a").expect("it is there").collapse = CollapseRule::Newest;
    bench.configure();
    bench.force(json!({}));
    let old = bench.force(json!({"branch": "topic", "revision": "r1"}));
    let new = bench.force(json!({"branch": "main", "revision": "r2"}));
    assert_eq!(bench.state.request(old), None);
    assert!(matches!(
        bench.state.why_waiting(new),
        Waiting::WorkersOccupied { .. }
    ));
}

#[test]
fn a_worker_takes_nothing_new_in_its_downtime() {
    let mut bench = Bench::new();
    // 1970-01-12 13:46:40 UTC.
    let running = bench.force(json!({}));
    let mut worker = worker("w", 1);
    worker.downtime = vec![DowntimeDef {
        begins: Cron::parse("0 14 * * *").expect("a good one"),
        lasts: Duration::from_secs(3600),
    }];
    bench.plan.workers.insert("w".into(), worker);
    bench.configure();
    let begins = bench.state.next_deadline().expect("it begins");
    assert_eq!(begins.as_secs(), 11 * 86_400 + 14 * 3600);
    bench.now = begins;
    assert_eq!(names(&bench.ok(Input::Tick)), ["worker_state_changed"]);
    let build = bench.running()[0].clone();
    assert_eq!(build.request, running, "what runs goes on");
    let waits = bench.force(json!({}));
    bench.end(build.id, Results::Success);
    assert!(bench.running().is_empty());
    let why = bench.state.why_waiting(waits);
    assert_eq!(
        why.to_string(),
        "none of its workers has room (in a downtime: w until 1970-01-12 15:00 UTC)"
    );
    assert_eq!(
        why.remedy(),
        "it starts when the downtime of w ends at 1970-01-12 15:00 UTC"
    );
    bench.now = bench.state.next_deadline().expect("it ends");
    bench.ok(Input::Tick);
    assert_eq!(bench.running()[0].request, waits);
}

/// Projects `big` (builder `a`) and `small` (builder `b`), with these shares, on one worker with four slots.
fn two_projects(shares: [u32; 2]) -> Bench {
    let mut bench = Bench::new();
    bench.plan.workers.insert("w".into(), worker("w", 4));
    for (project, builder_name, share) in [("big", "a", shares[0]), ("small", "b", shares[1])] {
        let mut builder = builder(builder_name, &["make"]);
        builder.project = Some(project.into());
        bench.plan.builders.insert(builder_name.into(), builder);
        let project = ProjectDef {
            name: project.into(),
            description: None,
            share,
        };
        bench.plan.projects.insert(project.name.clone(), project);
    }
    let form = scheduler("force", &["a", "b"], super::force_form());
    bench.plan.schedulers.insert("force".into(), form);
    bench.configure();
    bench
}

/// How many builds of each builder run.
fn running_of(bench: &Bench) -> [usize; 2] {
    [1, 2].map(|id| {
        bench
            .running()
            .iter()
            .filter(|build| build.builder.0 == id)
            .count()
    })
}

#[test]
fn a_project_with_many_requests_leaves_others_their_share() {
    let mut bench = two_projects([1, 1]);
    for _ in 0..50 {
        bench.force(json!({"builderid": 1}));
    }
    let waits = bench.force(json!({"builderid": 2}));
    assert_eq!(running_of(&bench), [4, 0]);
    let old = bench
        .state
        .requests()
        .map(|request| request.id)
        .nth(4)
        .expect("one waits");
    assert_eq!(
        bench.state.why_waiting(old).to_string(),
        "none of its workers has room (busy: w); another project is served first: project \"small\" runs 0 \
         builds, and project \"big\" runs 4 builds"
    );
    assert!(bench.state.why_waiting(old).remedy().contains("`share`"));
    let first = bench.running()[0].id;
    bench.end(first, Results::Success);
    assert!(bench.running().iter().any(|build| build.request == waits));
    for _ in 0..10 {
        bench.force(json!({"builderid": 2}));
    }
    for _ in 0..10 {
        let first = bench.running()[0].id;
        bench.end(first, Results::Success);
    }
    assert_eq!(running_of(&bench), [2, 2]);
}

#[test]
fn a_larger_share_is_more_builds_and_priority_comes_before_it() {
    let mut bench = two_projects([3, 1]);
    for _ in 0..20 {
        bench.force(json!({"builderid": 2}));
    }
    for _ in 0..20 {
        bench.force(json!({"builderid": 1}));
    }
    for _ in 0..8 {
        let first = bench.running()[0].id;
        bench.end(first, Results::Success);
    }
    assert_eq!(running_of(&bench), [3, 1]);
    let urgent = bench.force(json!({"builderid": 2, "priority": 1}));
    let of_big = bench
        .running()
        .iter()
        .find(|build| build.builder.0 == 1)
        .expect("one")
        .id;
    bench.end(of_big, Results::Success);
    assert!(bench.running().iter().any(|build| build.request == urgent));
    // A new share counts from the moment it is loaded.
    bench.plan.projects.get_mut("small").expect("it is there").share = 9;
    bench.configure();
    for _ in 0..6 {
        let of_big = bench
            .running()
            .iter()
            .find(|build| build.builder.0 == 1)
            .map(|build| build.id);
        let Some(of_big) = of_big else { break };
        bench.end(of_big, Results::Success);
    }
    assert_eq!(running_of(&bench), [1, 3]);
}
