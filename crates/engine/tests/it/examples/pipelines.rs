//! Pipelines: which job starts when, and what becomes of the run.

use ironmaster_engine::RetrySource;
use ironmaster_model::{
    Cause, JobDef, JobId, JobState, NewSourceStamp, PipelineDef, PipelineJobRecord, PipelineRunRecord, RunId,
    RunState,
    pipeline::{
        ApprovalDef, AxisDef, ConcurrencyDef, ConditionDef, FailureClass, JobWork, NeedsOn, RetryDef,
        WhenFull,
    },
};

use super::*;

fn job(name: &str, needs: &[&str]) -> JobDef {
    JobDef {
        name: name.into(),
        work: JobWork::Build { builder: "a".into() },
        needs: needs.iter().map(|need| (*need).to_owned()).collect(),
        ..JobDef::default()
    }
}

fn gate(name: &str, needs: &[&str]) -> JobDef {
    JobDef {
        work: JobWork::Gate,
        ..job(name, needs)
    }
}

/// A master with a worker that has room for everything, builder `a` with one step, and these pipelines.
struct Lab {
    ci: Bench,
    rows: BTreeMap<RunId, PipelineRunRecord>,
    jobs: BTreeMap<JobId, PipelineJobRecord>,
}

impl Lab {
    fn new(pipelines: Vec<PipelineDef>) -> Self {
        let mut ci = Bench::new();
        ci.plan.workers.insert("w".into(), worker("w", 50));
        ci.plan.pipelines = pipelines
            .into_iter()
            .map(|pipeline| (pipeline.name.clone(), pipeline))
            .collect();
        ci.configure();
        Self {
            ci,
            rows: BTreeMap::new(),
            jobs: BTreeMap::new(),
        }
    }

    fn of(jobs: Vec<JobDef>) -> Self {
        Self::new(vec![pipeline("p", jobs)])
    }

    /// Does something, and keeps what becomes of runs and jobs.
    fn ok(&mut self, input: Input) {
        let events = self.ci.ok(input);
        self.note(&events);
    }

    fn note(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::RunCreated { run } => {
                    self.rows.insert(run.id, run.clone());
                }
                Event::JobsAdded { jobs, needs, .. } => {
                    self.jobs.extend(jobs.iter().map(|job| (job.id, job.clone())));
                    for (job, needs) in needs {
                        self.jobs.get_mut(job).unwrap().needs.clone_from(needs);
                    }
                }
                Event::JobMoved { job, progress, .. } => {
                    self.jobs.get_mut(job).unwrap().progress = progress.clone();
                }
                Event::RunMoved { run, progress } => {
                    self.rows.get_mut(run).unwrap().progress = progress.clone();
                }
                _ => {}
            }
        }
    }

    fn start(&mut self, pipeline: &str) -> RunId {
        self.start_on(pipeline, Some("main"))
    }

    fn start_on(&mut self, pipeline: &str, branch: Option<&str>) -> RunId {
        let before = self.rows.len();
        self.ok(Input::StartRun {
            pipeline: pipeline.into(),
            sourcestamps: vec![NewSourceStamp {
                branch: branch.map(str::to_owned),
                ..NewSourceStamp::default()
            }],
            properties: Properties::new(),
            by: "ann".into(),
            reason: "to see".into(),
        });
        // It may have started others.
        *self.rows.keys().nth(before).unwrap()
    }

    fn job(&self, run: RunId, name: &str) -> &PipelineJobRecord {
        self.jobs
            .values()
            .find(|job| job.run == run && job.name == name)
            .unwrap_or_else(|| panic!("no job {name} in run {run}"))
    }

    fn state(&self, run: RunId, name: &str) -> JobState {
        self.job(run, name).progress.state
    }

    fn results(&self, run: RunId) -> Option<Results> {
        self.rows[&run].progress.results
    }

    /// Ends the running build of a job, with properties that it has set.
    fn end_with(
        &mut self,
        run: RunId,
        name: &str,
        results: Results,
        cause: Option<Cause>,
        properties: Properties,
    ) {
        let request = self
            .job(run, name)
            .progress
            .request
            .expect("it has asked for a build");
        let build = self
            .ci
            .running()
            .into_iter()
            .find(|build| build.request == request)
            .unwrap_or_else(|| panic!("{name} is being built"))
            .id;
        let step = self.ci.state.assignment(build).unwrap().step.unwrap().id;
        self.ok(Input::StepEnded {
            report: StepReport {
                build,
                step,
                effects: Vec::new(),
                saves: Vec::new(),
                properties,
                state_string: None,
                urls: None,
            },
            outcome: StepOutcome {
                results,
                cause,
                state_string: String::new(),
                hidden: false,
            },
        });
    }

    fn end(&mut self, run: RunId, name: &str, results: Results) {
        self.end_with(run, name, results, None, Properties::new());
    }

    fn retry_source(&self, run: RunId) -> Box<RetrySource> {
        Box::new(RetrySource {
            run: self.rows[&run].clone(),
            sourcestamps: vec![NewSourceStamp::default()],
            jobs: self.jobs.values().filter(|job| job.run == run).cloned().collect(),
        })
    }
}

fn pipeline(name: &str, jobs: Vec<JobDef>) -> PipelineDef {
    PipelineDef {
        name: name.into(),
        jobs,
        ..PipelineDef::default()
    }
}

#[test]
fn needs_end_and_jobs_start() {
    use Results::{Cancelled, Exception, Failure, Success, Warnings};
    let on = |on, share| JobDef {
        needs_on: on,
        needs_share: share,
        ..gate("z", &["a", "b", "c"])
    };
    let optional = |name| JobDef {
        optional: true,
        ..job(name, &[])
    };
    for (needs_on, share, ends, runs, results) in [
        (
            NeedsOn::Success,
            None,
            [Success, Success, Warnings],
            true,
            Warnings,
        ),
        (
            NeedsOn::Success,
            None,
            [Success, Failure, Success],
            false,
            Failure,
        ),
        (
            NeedsOn::Success,
            Some(660),
            [Success, Failure, Success],
            true,
            Failure,
        ),
        (
            NeedsOn::Success,
            Some(670),
            [Success, Failure, Success],
            false,
            Failure,
        ),
        (
            NeedsOn::Success,
            Some(1),
            [Failure, Failure, Failure],
            false,
            Failure,
        ),
        (
            NeedsOn::Success,
            Some(1000),
            [Success, Success, Success],
            true,
            Success,
        ),
        (
            NeedsOn::NotFailed,
            None,
            [Success, Success, Success],
            true,
            Success,
        ),
        (
            NeedsOn::NotFailed,
            None,
            [Success, Success, Exception],
            false,
            Exception,
        ),
        (
            NeedsOn::Failure,
            None,
            [Success, Success, Success],
            false,
            Success,
        ),
        (NeedsOn::Failure, None, [Success, Failure, Success], true, Failure),
        (
            NeedsOn::Completion,
            None,
            [Failure, Failure, Cancelled],
            true,
            Cancelled,
        ),
        (NeedsOn::Always, None, [Failure, Failure, Failure], true, Failure),
    ] {
        let mut lab = Lab::of(vec![
            job("a", &[]),
            job("b", &[]),
            job("c", &[]),
            on(needs_on, share),
        ]);
        let run = lab.start("p");
        for (name, ends) in std::iter::zip(["a", "b", "c"], ends) {
            assert_eq!(lab.state(run, "z"), JobState::Waiting);
            lab.end(run, name, ends);
        }
        let wanted = if runs {
            JobState::Complete
        } else {
            JobState::Skipped
        };
        assert_eq!(lab.state(run, "z"), wanted, "{needs_on:?} {share:?} {ends:?}");
        assert_eq!(lab.results(run), Some(results), "{needs_on:?} {share:?} {ends:?}");
    }
    // What is optional may fail: for the run, and for what needs it.
    for (needs_on, runs) in [
        (NeedsOn::Success, true),
        (NeedsOn::NotFailed, true),
        (NeedsOn::Failure, true),
    ] {
        let mut lab = Lab::of(vec![
            optional("a"),
            JobDef {
                needs_on,
                ..gate("z", &["a"])
            },
        ]);
        let run = lab.start("p");
        lab.end(run, "a", Failure);
        assert_eq!(lab.state(run, "z") == JobState::Complete, runs, "{needs_on:?}");
        assert_eq!(lab.results(run), Some(Warnings));
    }
    // A skipped job has neither succeeded nor failed, and with nothing done the run was skipped.
    for (needs_on, runs, results) in [
        (NeedsOn::Success, false, Results::Skipped),
        (NeedsOn::NotFailed, true, Success),
        (NeedsOn::Failure, false, Results::Skipped),
        (NeedsOn::Completion, true, Success),
    ] {
        let mut lab = Lab::of(vec![
            JobDef {
                when: Some(ConditionDef {
                    branches: vec!["other".into()],
                    ..ConditionDef::default()
                }),
                ..job("a", &[])
            },
            JobDef {
                needs_on,
                ..gate("z", &["a"])
            },
        ]);
        let run = lab.start("p");
        assert_eq!(lab.state(run, "z") == JobState::Complete, runs, "{needs_on:?}");
        assert_eq!(lab.results(run), Some(results), "{needs_on:?}");
    }
}

#[test]
fn conditions_are_looked_at() {
    let text = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let any = ConditionDef::default;
    for (branch, condition, holds) in [
        (Some("main"), any(), true),
        (
            Some("main"),
            ConditionDef {
                branches: text(&["main"]),
                ..any()
            },
            true,
        ),
        (
            Some("release/1"),
            ConditionDef {
                branches: text(&["main", "release/*"]),
                ..any()
            },
            true,
        ),
        (
            Some("release/1/x"),
            ConditionDef {
                branches: text(&["release/*"]),
                ..any()
            },
            false,
        ),
        (
            None,
            ConditionDef {
                branches: text(&["**"]),
                ..any()
            },
            false,
        ),
        // Nobody has told of files, so nobody can say that it is not needed.
        (
            Some("main"),
            ConditionDef {
                files: text(&["docs/**"]),
                ..any()
            },
            true,
        ),
        (
            Some("main"),
            ConditionDef {
                properties: [("owner".to_owned(), vec!["bob".into(), "ann".into()])].into(),
                ..any()
            },
            true,
        ),
        (
            Some("main"),
            ConditionDef {
                properties: [("owner".to_owned(), vec!["bob".into()])].into(),
                ..any()
            },
            false,
        ),
        (
            Some("main"),
            ConditionDef {
                branches: text(&["main"]),
                properties: [("nosuch".to_owned(), vec![true.into()])].into(),
                ..any()
            },
            false,
        ),
    ] {
        let mut lab = Lab::of(vec![
            JobDef {
                when: Some(condition.clone()),
                ..gate("when", &[])
            },
            JobDef {
                unless: Some(condition.clone()),
                ..gate("unless", &[])
            },
        ]);
        let run = lab.start_on("p", branch);
        assert_eq!(
            lab.state(run, "when") == JobState::Complete,
            holds,
            "{branch:?} {condition:?}"
        );
        assert_eq!(
            lab.state(run, "unless") == JobState::Skipped,
            holds,
            "{branch:?} {condition:?}"
        );
    }
}

#[test]
fn outputs_and_results_reach_who_needs_them() {
    let mut lab = Lab::of(vec![
        JobDef {
            outputs: vec!["version".into(), "nosuch".into()],
            ..job("build", &[])
        },
        JobDef {
            properties: [("target".to_owned(), "check".into())].into(),
            ..job("test", &["build"])
        },
        JobDef {
            when: Some(ConditionDef {
                properties: [("version".to_owned(), vec!["1.2".into()])].into(),
                ..ConditionDef::default()
            }),
            ..gate("this version", &["build"])
        },
        JobDef {
            needs_on: NeedsOn::Completion,
            when: Some(ConditionDef {
                results: [("test".to_owned(), vec![Results::Failure])].into(),
                ..ConditionDef::default()
            }),
            ..gate("mourn", &["test"])
        },
        // It does not need the job, so it does not hear of what that has.
        JobDef {
            when: Some(ConditionDef {
                properties: [("version".to_owned(), vec!["1.2".into()])].into(),
                ..ConditionDef::default()
            }),
            ..gate("elsewhere", &["test"])
        },
    ]);
    let run = lab.start("p");
    let mut set = Properties::new();
    set.set("version", "1.2", "make");
    set.set("secret", "no", "make");
    lab.end_with(run, "build", Results::Success, None, set);
    assert_eq!(lab.state(run, "this version"), JobState::Complete);
    let request = lab.job(run, "test").progress.request;
    let build = lab
        .ci
        .running()
        .into_iter()
        .find(|build| Some(build.request) == request)
        .unwrap();
    for (name, value) in [
        ("version", Some("1.2")),
        ("target", Some("check")),
        ("pipeline", Some("p")),
        ("pipeline_job", Some("test")),
        ("secret", None),
    ] {
        let found = build.properties.get(name).and_then(|value| value.as_str());
        assert_eq!(found, value, "{name}");
    }
    lab.end(run, "test", Results::Failure);
    assert_eq!(lab.state(run, "mourn"), JobState::Complete);
    assert_eq!(lab.state(run, "elsewhere"), JobState::Skipped);
    assert_eq!(lab.results(run), Some(Results::Failure));
}

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
    }
}

#[test]
fn somebody_approves() {
    let asked = |users: &[&str]| JobDef {
        approval: Some(ApprovalDef {
            prompt: "Publish?".into(),
            users: users.iter().map(|user| (*user).to_owned()).collect(),
        }),
        expires: Some(Duration::from_secs(60)),
        ..gate("publish", &[])
    };
    let answer = |lab: &Lab, by: &str, approved| Input::ApproveJob {
        job: lab.jobs.values().next().unwrap().id,
        by: by.into(),
        approved,
        reason: "so".into(),
    };
    let mut lab = Lab::of(vec![asked(&["ann"])]);
    let run = lab.start("p");
    assert_eq!(lab.state(run, "publish"), JobState::AwaitingApproval);
    let refused = lab.ci.refused(answer(&lab, "bob", true));
    assert!(refused.to_string().contains("by ann only"), "{refused}");
    let waits = lab.ci.state.why_job_waits(lab.job(run, "publish").id);
    assert_eq!(waits.as_deref(), Some("one of these has to approve it: ann"));
    lab.ok(answer(&lab, "ann", true));
    assert_eq!(lab.results(run), Some(Results::Success));
    assert_eq!(
        lab.job(run, "publish").progress.approved_by.as_deref(),
        Some("ann")
    );

    let mut lab = Lab::of(vec![asked(&[])]);
    let run = lab.start("p");
    lab.ok(answer(&lab, "bob", false));
    assert_eq!(lab.state(run, "publish"), JobState::Skipped);
    assert_eq!(lab.results(run), Some(Results::Cancelled));

    let mut lab = Lab::of(vec![asked(&[])]);
    let run = lab.start("p");
    lab.ci.pass(61);
    lab.ok(Input::Tick);
    assert_eq!(lab.state(run, "publish"), JobState::Expired);
    assert_eq!(lab.results(run), Some(Results::Exception));
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
