//! What a job needs, under which conditions, and what it gets from there.

use super::*;

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
