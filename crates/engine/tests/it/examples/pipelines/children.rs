//! Pipelines that start others, and jobs that add jobs.

use super::*;

#[test]
fn pipelines_start_others_of_the_same_source() {
    let start = |wait| JobDef {
        work: JobWork::Pipeline {
            pipeline: "child".into(),
            wait,
        },
        outputs: vec!["url".into()],
        ..job("deploy", &[])
    };
    let child = pipeline(
        "child",
        vec![JobDef {
            outputs: vec!["url".into()],
            ..job("a", &[])
        }],
    );
    let mut lab = Lab::new(vec![
        pipeline("p", vec![start(true), job("check", &["deploy"])]),
        child.clone(),
    ]);
    let run = lab.start("p");
    assert_eq!(lab.state(run, "deploy"), JobState::Running);
    let inner = lab.job(run, "deploy").progress.child.unwrap();
    assert_eq!(lab.rows[&inner].sourcestamps, lab.rows[&run].sourcestamps);
    let mut set = Properties::new();
    set.set("url", "http://localhost/", "deploy");
    lab.end_with(inner, "a", Results::Success, None, set);
    assert_eq!(lab.state(run, "deploy"), JobState::Complete);
    let outputs = &lab.job(run, "deploy").progress.outputs;
    assert_eq!(
        outputs.get("url").and_then(|url| url.as_str()),
        Some("http://localhost/")
    );
    lab.end(run, "check", Results::Success);
    assert_eq!(lab.results(run), Some(Results::Success));

    // Who stops the outer one stops the inner one.
    let run = lab.start("p");
    let inner = lab.job(run, "deploy").progress.child.unwrap();
    lab.ok(Input::StopRun {
        run,
        by: "ann".into(),
        reason: "enough".into(),
    });
    assert_eq!(lab.rows[&inner].progress.state, RunState::Stopping);
    lab.end(inner, "a", Results::Cancelled);
    assert_eq!(lab.results(run), Some(Results::Cancelled));

    // One that does not wait goes its own way.
    let mut lab = Lab::new(vec![pipeline("p", vec![start(false)]), child]);
    let run = lab.start("p");
    assert_eq!(lab.results(run), Some(Results::Success));
    // One that starts itself is refused by the configuration's check; if it came so far, it would end.
    let mut lab = Lab::new(vec![pipeline(
        "child",
        vec![JobDef {
            needs_on: NeedsOn::Completion,
            ..start(true)
        }],
    )]);
    let run = lab.start("child");
    let first = lab.rows.keys().next().copied().unwrap();
    assert_eq!(lab.results(first), Some(Results::Exception));
    assert!(run.0 < 20);
}

#[test]
fn a_running_job_adds_jobs() {
    let mut lab = Lab::of(vec![
        job("find", &[]),
        JobDef {
            needs_share: Some(500),
            ..gate("report", &["find"])
        },
    ]);
    let run = lab.start("p");
    let build = lab.ci.running()[0].id;
    let add = |jobs: Vec<JobDef>| Input::AddJobs {
        build,
        key: "1".into(),
        jobs,
    };
    let part = JobDef {
        matrix: vec![AxisDef {
            name: "n".into(),
            values: vec![1.into(), 2.into(), 3.into()],
        }],
        needed_by: vec!["report".into()],
        ..job("part", &[])
    };
    for (jobs, problem) in [
        (vec![job("find", &[])], "job `find`: there are two jobs `find`"),
        (vec![job("x", &["y"])], "`needs` names `y`"),
        (
            vec![JobDef {
                work: JobWork::Build { builder: "b".into() },
                ..job("x", &[])
            }],
            "there is no builder `b`",
        ),
        (
            vec![JobDef {
                needed_by: vec!["find".into()],
                ..job("x", &[])
            }],
            "does not wait any more",
        ),
    ] {
        let refused = lab.ci.refused(add(jobs));
        assert!(refused.to_string().contains(problem), "{refused}");
    }
    lab.ok(add(vec![part.clone()]));
    // Asked again, as after a restart: nothing more happens.
    lab.ok(add(vec![part.clone()]));
    assert_eq!(lab.jobs.len(), 5);
    lab.end(run, "find", Results::Success);
    assert_eq!(lab.state(run, "report"), JobState::Waiting, "the new ones count");
    lab.end(run, "part (1)", Results::Success);
    lab.end(run, "part (2)", Results::Failure);
    lab.end(run, "part (3)", Results::Failure);
    assert_eq!(lab.state(run, "report"), JobState::Complete, "two of four");
    assert_eq!(lab.results(run), Some(Results::Failure));

    // What has failed is done again, and what has not is taken over.
    lab.ok(Input::RetryRun {
        source: lab.retry_source(run),
        job: None,
        by: "ann".into(),
    });
    let second = *lab.rows.keys().next_back().unwrap();
    for (name, state) in [
        ("find", JobState::Complete),
        ("part (1)", JobState::Complete),
        ("part (2)", JobState::Running),
        ("report", JobState::Waiting),
    ] {
        assert_eq!(lab.state(second, name), state, "{name}");
    }
    lab.end(second, "part (2)", Results::Success);
    lab.end(second, "part (3)", Results::Success);
    assert_eq!(lab.results(second), Some(Results::Success));
    lab.ci.refused(Input::RetryRun {
        source: lab.retry_source(second),
        job: None,
        by: "ann".into(),
    });
    // The job that has added others adds them again.
    let find = lab.job(second, "find").id;
    lab.ok(Input::RetryRun {
        source: lab.retry_source(second),
        job: Some(find),
        by: "ann".into(),
    });
    let third = *lab.rows.keys().next_back().unwrap();
    let names: Vec<&str> = lab
        .jobs
        .values()
        .filter(|job| job.run == third)
        .map(|job| job.name.as_str())
        .collect();
    assert_eq!(names, ["find", "report"]);
}
