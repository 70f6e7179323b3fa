//! A build's way through its steps, stops and losses.

use ironmaster_engine::{Input, Refusal, Reply, StepReport};
use ironmaster_model::{
    BuildId, Cause, Event, LogContent, LogKind, LogSave, Properties, Results, StepId, WorkerId,
};
use serde_json::json;

use super::{Bench, names, step};

fn bench(steps: &[&str]) -> (Bench, BuildId) {
    let mut bench = Bench::new();
    let mut always = step("clean");
    always.flags.always_run = true;
    let definition = bench.plan.builders.get_mut("a").expect("a");
    definition.steps = steps.iter().map(|name| step(name)).collect();
    definition.steps.push(always);
    bench.configure();
    bench.force(json!({}));
    let build = bench.running()[0].id;
    (bench, build)
}

fn results(events: &[Event]) -> Vec<Results> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::BuildFinished { results, .. } | Event::RequestCompleted { results, .. } => Some(*results),
            _ => None,
        })
        .collect()
}

fn report(build: BuildId, step: StepId) -> StepReport {
    StepReport {
        build,
        step,
        effects: Vec::new(),
        saves: Vec::new(),
        properties: Properties::new(),
        state_string: None,
        urls: None,
    }
}

#[test]
fn a_stopped_build_runs_only_what_always_runs() {
    let (mut bench, build) = bench(&["make", "test"]);
    let stop = Input::StopBuild {
        build,
        by: "ann".into(),
        reason: "wrong".into(),
    };
    assert_eq!(names(&bench.ok(stop.clone())), ["build_stop_requested"]);
    assert_eq!(bench.ok(stop.clone()), []);
    bench.end(build, Results::Cancelled);
    let assignment = bench.state.assignment(build).expect("it goes on");
    assert_eq!(assignment.step.expect("a step").name, "clean");
    let events = bench.end(build, Results::Success);
    assert_eq!(results(&events), [Results::Cancelled, Results::Cancelled]);
    let Some(Event::BuildFinished { cause, .. }) =
        events.iter().find(|event| event.name() == "build_finished")
    else {
        panic!("{events:?}");
    };
    assert_eq!(
        cause.as_ref().map(ToString::to_string),
        Some("cancelled by ann: wrong".into())
    );
    assert!(matches!(bench.refused(stop), Refusal::NotLive { .. }));
}

#[test]
fn cancelling_a_claimed_request_stops_its_build_and_is_no_retry() {
    let (mut bench, build) = bench(&["make"]);
    let request = bench.running()[0].request;
    let cancel = Input::CancelRequest {
        request,
        by: "ann".into(),
        reason: "wrong".into(),
    };
    assert_eq!(names(&bench.ok(cancel.clone())), ["build_stop_requested"]);
    // The machine dies before it is over.
    assert_eq!(
        results(&bench.end(build, Results::Retry)),
        [Results::Cancelled, Results::Cancelled]
    );
    assert_eq!(bench.ok(cancel), []);
}

#[test]
fn another_process_of_the_worker_fences_the_attempt_off() {
    let (mut bench, build) = bench(&["make"]);
    let step = bench
        .state
        .assignment(build)
        .expect("active")
        .step
        .expect("a step")
        .id;
    assert_eq!(names(&bench.connect("w", "w#1")), ["worker_connected"]);
    assert_eq!(
        names(&bench.connect("w", "w#2")),
        ["worker_connected", "build_lost"]
    );
    let events = bench.end(build, Results::Retry);
    assert_eq!(
        names(&events),
        [
            "step_finished",
            "build_finished",
            "request_requeued",
            "build_started",
            "step_started"
        ]
    );
    assert_eq!(results(&events), [Results::Retry]);
    let second = bench.running()[0].clone();
    assert_eq!((second.attempt, second.instance.as_str()), (2, "w#2"));
    assert!(matches!(
        bench.refused(Input::StepProgress(report(build, step))),
        Refusal::NotLive { .. }
    ));
    // The second of two attempts: the request ends, and says so.
    let lost = Input::BuildLost {
        build: second.id,
        reason: "the machine caught fire".into(),
    };
    assert_eq!(names(&bench.ok(lost.clone())), ["build_lost"]);
    assert_eq!(bench.ok(lost), []);
    let events = bench.end(second.id, Results::Retry);
    assert_eq!(results(&events), [Results::Exception, Results::Exception]);
    let Some(Event::RequestCompleted {
        cause: Some(Cause::Infrastructure { reason }),
        ..
    }) = events.iter().find(|event| event.name() == "request_completed")
    else {
        panic!("{events:?}");
    };
    assert_eq!(
        reason,
        "all 2 attempts were lost; the last one: the machine caught fire"
    );
}

#[test]
fn a_worker_that_stays_away_loses_its_builds_at_the_end_of_its_lease() {
    let (mut bench, _) = bench(&["make"]);
    bench.ok(Input::WorkerDisconnected {
        worker: WorkerId(1),
        instance: "w#1".into(),
        reason: "reset".into(),
    });
    bench.pass(500);
    // The master restarts: the lease begins again, since nobody could hear the worker.
    bench.state = ironmaster_engine::State::load(bench.state.to_snapshot()).expect("it loads");
    bench.ok(Input::MasterStart {
        name: "host:/".into(),
        lease: ironmaster_model::Duration::from_secs(600),
    });
    bench.pass(599);
    assert_eq!(bench.ok(Input::Tick), []);
    bench.pass(1);
    assert_eq!(bench.state.next_deadline(), Some(bench.now));
    assert_eq!(names(&bench.ok(Input::Tick)), ["build_lost"]);
    assert_eq!(bench.state.next_deadline(), None);
}

#[test]
fn a_lost_build_does_not_begin_another_step() {
    let (mut bench, build) = bench(&["make", "test"]);
    bench.connect("w", "w#2");
    assert_eq!(results(&bench.end(build, Results::Success)), [Results::Retry]);
}

#[test]
fn logs_are_opened_once_by_name_and_only_grow() {
    let (mut bench, build) = bench(&["make"]);
    let assignment = bench.state.assignment(build).expect("active");
    let step = assignment.step.expect("a step").id;
    let mut open = |name: &str| {
        let (answer, events) = bench.send(Input::OpenLog {
            build,
            step,
            name: name.into(),
            kind: LogKind::Text,
        });
        let Ok(Reply::Log(log)) = answer else {
            panic!("{answer:?}")
        };
        (log, events.len())
    };
    let (first, events) = open("test.log");
    assert_eq!((first.slug.as_str(), events), ("test_log", 1));
    assert_eq!(open("test.log"), (first.clone(), 0));
    assert_eq!(open("test log").0.slug, "test_log_1");
    let mut save = |lines, complete| {
        let mut report = report(build, step);
        report.saves.push(LogSave {
            log: first.id,
            num_lines: lines,
            raw_bytes: lines * 10,
            complete,
            content: LogContent::File,
        });
        names(&bench.ok(Input::StepProgress(report))).len()
    };
    assert_eq!(save(5, false), 1);
    assert_eq!(save(4, false), 0);
    assert_eq!(save(5, true), 1);
    assert_eq!(save(9, false), 0);
}

#[test]
fn a_builder_without_steps_ends_at_once() {
    let mut bench = Bench::new();
    bench.plan.builders.get_mut("a").expect("a").steps.clear();
    bench.configure();
    bench.force(json!({}));
    assert_eq!(bench.running(), []);
    assert_eq!(bench.state.requests().count(), 0);
}

#[test]
fn reports_with_too_large_properties_are_refused_whole() {
    let (mut bench, build) = bench(&["make"]);
    let step = bench
        .state
        .assignment(build)
        .expect("active")
        .step
        .expect("a step")
        .id;
    let mut report = report(build, step);
    report.properties.set("big", "x".repeat(100_000), "make");
    report.state_string = Some("news".into());
    assert!(matches!(
        bench.refused(Input::StepProgress(report)),
        Refusal::Invalid { .. }
    ));
}
