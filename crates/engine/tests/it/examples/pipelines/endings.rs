//! Second tries, and runs that are stopped or give way to others.

use super::*;

#[test]
fn a_job_is_tried_again_for_the_failures_that_it_names() {
    let exit = Some(Cause::ExitCode { code: 1 });
    let late = Some(Cause::Timeout {
        limit: "total".into(),
    });
    for (on, cause, again) in [
        (FailureClass::ExitCode, exit.clone(), true),
        (FailureClass::ExitCode, late.clone(), false),
        (FailureClass::Timeout, late, true),
        (FailureClass::Infrastructure, exit.clone(), false),
        (FailureClass::Any, exit, true),
        (FailureClass::Any, None, true),
    ] {
        let mut lab = Lab::of(vec![JobDef {
            retry: Some(RetryDef {
                limit: 1,
                on: vec![on],
            }),
            ..job("a", &[])
        }]);
        let run = lab.start("p");
        lab.end_with(run, "a", Results::Failure, cause.clone(), Properties::new());
        assert_eq!(
            lab.state(run, "a") == JobState::Running,
            again,
            "{on:?} {cause:?}"
        );
        if again {
            lab.end_with(run, "a", Results::Failure, cause, Properties::new());
        }
        assert_eq!(lab.results(run), Some(Results::Failure), "within the limit");
        let id = lab.job(run, "a").id;
        let each = vec![Some(id); 1 + usize::from(again)];
        assert_eq!(lab.tried, each, "each attempt is known to be the job's");
    }
}

#[test]
fn a_stopped_run_still_cleans_up() {
    let mut lab = Lab::of(vec![
        job("build", &[]),
        job("test", &["build"]),
        JobDef {
            needs_on: NeedsOn::Always,
            ..job("clean", &["build", "test"])
        },
    ]);
    let run = lab.start("p");
    let stop = |run| Input::StopRun {
        run,
        by: "ann".into(),
        reason: "enough".into(),
    };
    lab.ok(stop(run));
    assert_eq!(lab.state(run, "test"), JobState::Skipped);
    assert_eq!(
        lab.state(run, "build"),
        JobState::Running,
        "its build is asked to end"
    );
    lab.end(run, "build", Results::Cancelled);
    assert_eq!(lab.state(run, "clean"), JobState::Running);
    assert_eq!(lab.rows[&run].progress.state, RunState::Stopping);
    lab.end(run, "clean", Results::Success);
    assert_eq!(lab.results(run), Some(Results::Cancelled));
    lab.ci.refused(stop(run));
}

#[test]
fn newer_runs_supersede_and_take_turns() {
    let mut lab = Lab::new(vec![PipelineDef {
        cancel_superseded: true,
        ..pipeline("p", vec![job("a", &[])])
    }]);
    let (first, other) = (lab.start("p"), lab.start_on("p", Some("topic")));
    let second = lab.start("p");
    assert_eq!(lab.rows[&first].progress.state, RunState::Stopping);
    assert_eq!(
        lab.rows[&other].progress.state,
        RunState::Running,
        "another branch"
    );
    assert_eq!(lab.rows[&second].progress.state, RunState::Running);

    for when_full in [WhenFull::Queue, WhenFull::CancelOlder] {
        let mut lab = Lab::new(vec![PipelineDef {
            concurrency: Some(ConcurrencyDef {
                group: "deploy %(src::branch)s".into(),
                limit: 1,
                when_full,
            }),
            ..pipeline("p", vec![job("a", &[])])
        }]);
        let (first, second, other) = (lab.start("p"), lab.start("p"), lab.start_on("p", Some("topic")));
        let cancels = when_full == WhenFull::CancelOlder;
        let wanted = if cancels {
            RunState::Stopping
        } else {
            RunState::Running
        };
        assert_eq!(lab.rows[&first].progress.state, wanted);
        assert_eq!(
            lab.rows[&second].progress.state,
            RunState::Queued,
            "the limit holds"
        );
        assert_eq!(
            lab.rows[&other].progress.state,
            RunState::Running,
            "another group"
        );
        let why = lab.ci.state.why_job_waits(lab.job(second, "a").id).unwrap();
        assert!(why.contains("the group `deploy main`"), "{why}");
        lab.end(first, "a", Results::Cancelled);
        assert_eq!(lab.rows[&second].progress.state, RunState::Running);
    }
}
