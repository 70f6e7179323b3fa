//! Pipelines whose jobs stand in the repository: what is asked, what is granted, and what becomes of the run.

use std::sync::Arc;

use ironmaster_engine::{Found, Question};
use ironmaster_model::{
    InRepositoryDef, JobDef, NewSourceStamp, Patch, PipelineDef, PipelineRunRecord, RunId, RunProblem,
    RunState,
    pipeline::{JobWork, in_repository::Grants},
};

use super::*;

/// A master with builders `a`, `trusted` and `secret`, of which the jobs of the pipeline `ci` may use the first, and on `main`
/// the second.
struct Lab {
    ci: Bench,
    run: Option<PipelineRunRecord>,
}

fn grants(builders: &[&str], pipelines: &[&str]) -> Grants {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Grants {
        builders: names(builders),
        pipelines: names(pipelines),
    }
}

fn definition() -> InRepositoryDef {
    InRepositoryDef {
        file: "jobs.toml".into(),
        repository: "https://git.example.org/zlib.git".into(),
        codebase: String::new(),
        trusted_branches: vec!["main".into(), "release/*".into()],
        granted: grants(&["a"], &[]),
        granted_trusted: grants(&["trusted"], &["inner"]),
        jobs_max: 3,
        patience: Duration::from_secs(600),
    }
}

fn pipeline(name: &str, in_repository: Option<InRepositoryDef>) -> PipelineDef {
    PipelineDef {
        name: name.into(),
        in_repository,
        ..PipelineDef::default()
    }
}

fn job(name: &str, builder: &str) -> JobDef {
    JobDef {
        name: name.into(),
        work: JobWork::Build {
            builder: builder.into(),
        },
        ..JobDef::default()
    }
}

fn jobs(revision: &str, branch: Option<&str>, jobs: Vec<JobDef>) -> Found {
    Found::Jobs {
        revision: revision.into(),
        branch: branch.map(str::to_owned),
        jobs,
    }
}

fn on(branch: &str, revision: Option<&str>) -> NewSourceStamp {
    NewSourceStamp {
        branch: Some(branch.into()),
        revision: revision.map(str::to_owned),
        repository: "https://git.example.org/zlib".into(),
        ..NewSourceStamp::default()
    }
}

impl Lab {
    fn new() -> Self {
        let mut ci = Bench::new();
        for name in ["trusted", "secret"] {
            ci.plan.builders.insert(name.into(), builder(name, &["make"]));
        }
        for one in [
            pipeline("ci", Some(definition())),
            PipelineDef {
                jobs: vec![job("x", "a")],
                ..pipeline("inner", None)
            },
        ] {
            ci.plan.pipelines.insert(one.name.clone(), Arc::new(one));
        }
        ci.configure();
        Self { ci, run: None }
    }

    fn note(&mut self, events: Vec<Event>) -> Vec<Event> {
        for event in &events {
            match event {
                Event::RunCreated { run } if run.definition.name == "ci" => self.run = Some((**run).clone()),
                Event::RunMoved { run, progress } => {
                    if let Some(mine) = self.run.as_mut().filter(|mine| mine.id == *run) {
                        mine.progress = progress.clone();
                    }
                }
                Event::RunDefined {
                    trusted,
                    sourcestamps,
                    source,
                    definition,
                    ..
                } => {
                    let run = self.run.as_mut().unwrap();
                    run.trusted = *trusted;
                    run.sourcestamps.clone_from(sourcestamps);
                    run.source = Some(source.clone());
                    run.definition = Arc::clone(definition);
                }
                _ => {}
            }
        }
        events
    }

    fn start(&mut self, stamp: NewSourceStamp) -> RunId {
        let events = self.ci.ok(Input::StartRun {
            pipeline: "ci".into(),
            sourcestamps: vec![stamp],
            properties: Properties::new(),
            by: "ann".into(),
            reason: "to see".into(),
        });
        self.note(events);
        self.run().id
    }

    fn run(&self) -> &PipelineRunRecord {
        self.run.as_ref().expect("a run was made")
    }

    fn found(&mut self, found: Found) -> Vec<Event> {
        let run = self.run().id;
        let events = self.ci.ok(Input::Define { run, found });
        self.note(events)
    }

    fn questions(&self) -> Vec<Question> {
        self.ci.state.questions().collect()
    }

    fn problem(&self) -> &RunProblem {
        let source = self.run().source.as_ref().unwrap();
        source.problem.as_ref().expect("there is a problem")
    }

    fn end(&self) -> (RunState, Option<Results>) {
        let progress = &self.run().progress;
        (progress.state, progress.results)
    }
}

const BAD: (RunState, Option<Results>) = (RunState::Complete, Some(Results::Exception));

#[test]
fn the_file_is_asked_for_and_its_jobs_run() {
    let mut lab = Lab::new();
    let run = lab.start(on("main", Some("abc")));
    assert_eq!(
        lab.questions(),
        [Question {
            run,
            pipeline: "ci".into(),
            file: "jobs.toml".into(),
            repository: "https://git.example.org/zlib.git".into(),
            branch: Some("main".into()),
            revision: Some("abc".into()),
            may_be_trusted: true,
        }]
    );
    assert_eq!(lab.run().progress.state, RunState::Defining);
    assert!(!lab.run().trusted, "not before the repository has said so");
    lab.found(jobs(
        "abc",
        Some("main"),
        vec![job("x", "a"), job("y", "trusted")],
    ));
    assert_eq!(lab.questions(), []);
    assert_eq!(lab.run().progress.state, RunState::Running);
    assert!(lab.run().trusted);
    assert_eq!(lab.ci.state.jobs_of(run).count(), 2);
    assert_eq!(
        lab.run().definition.jobs.len(),
        2,
        "the run keeps what it was made of"
    );
    // Said once more, it is refused: there is one set of jobs.
    let again = jobs("abc", Some("main"), vec![job("x", "a")]);
    lab.ci.refused(Input::Define { run, found: again });
}

#[test]
fn a_run_of_no_certain_revision_builds_the_one_that_was_read() {
    let mut lab = Lab::new();
    lab.start(on("main", None));
    lab.found(jobs("def", Some("main"), vec![job("x", "a")]));
    let building = lab.ci.running();
    let build = building.first().expect("its job is being built");
    assert_eq!(
        build.properties.get("revision").and_then(|value| value.as_str()),
        Some("def")
    );
}

#[test]
fn who_is_trusted_may_use_more() {
    let patch = Patch {
        level: 1,
        subdir: String::new(),
        author: "ann".into(),
        comment: String::new(),
        body: "--- a".into(),
    };
    let patched = NewSourceStamp {
        patch: Some(patch),
        ..on("main", Some("abc"))
    };
    let elsewhere = NewSourceStamp {
        repository: "https://git.example.org/fork.git".into(),
        ..on("main", Some("abc"))
    };
    for (what, stamp, branch, trusted) in [
        ("a trusted branch", on("main", Some("abc")), Some("main"), true),
        (
            "another one",
            on("release/2", Some("abc")),
            Some("release/2"),
            true,
        ),
        (
            "a branch that is not trusted",
            on("topic", Some("abc")),
            Some("topic"),
            false,
        ),
        (
            "a revision that the branch does not have",
            on("main", Some("abc")),
            None,
            false,
        ),
        ("a patch", patched, Some("main"), false),
        ("a fork", elsewhere, Some("main"), false),
    ] {
        let mut lab = Lab::new();
        lab.start(stamp.clone());
        lab.found(jobs("abc", branch, vec![job("x", "trusted")]));
        assert_eq!(lab.run().trusted, trusted, "{what}");
        if trusted {
            assert_eq!(lab.end().0, RunState::Running, "{what}");
        } else {
            assert_eq!(lab.end(), BAD, "{what}");
            assert!(
                lab.problem()
                    .summary
                    .contains("`trusted` is granted to trusted branches only"),
                "{what}: {:?}",
                lab.problem()
            );
        }
        let mut lab = Lab::new();
        lab.start(stamp);
        lab.found(jobs("abc", branch, vec![job("x", "a")]));
        assert_eq!(
            (lab.end().0, lab.run().trusted),
            (RunState::Running, trusted),
            "{what}"
        );
    }
}

#[test]
fn what_is_not_granted_is_told() {
    let with = |change: fn(&mut JobDef)| {
        let mut job = job("x", "a");
        change(&mut job);
        vec![job]
    };
    for (found, expected) in [
        (vec![job("x", "secret")], "the project grants no builder `secret`"),
        (vec![job("x", "none")], "the project grants no builder `none`"),
        (
            with(|job| {
                job.work = JobWork::Pipeline {
                    pipeline: "deploy".into(),
                    wait: true,
                }
            }),
            "the project grants no pipeline `deploy`",
        ),
        (
            with(|job| job.priority = Some(9)),
            "its priority is for the configuration to say",
        ),
        (
            with(|job| job.properties = [("workername".to_owned(), "w".into())].into()),
            "the property `workername` is not for the file to set",
        ),
        (
            with(|job| job.outputs = vec!["owner".into()]),
            "the property `owner` is not for the file to set",
        ),
        (
            (0..4).map(|n| job(&format!("x{n}"), "a")).collect(),
            "there are 4 jobs, and the project grants 3",
        ),
        (Vec::new(), "there are no jobs"),
        (with(|job| job.needs = vec!["y".into()]), "there is no such job"),
    ] {
        let mut lab = Lab::new();
        lab.start(on("main", Some("abc")));
        lab.found(jobs("abc", Some("main"), found));
        assert_eq!(lab.end(), BAD, "{expected}");
        let problem = lab.problem();
        assert!(problem.summary.contains(expected), "{expected}: {problem:?}");
        assert_eq!(lab.run().progress.why.as_ref(), Some(&problem.summary));
        assert_eq!(lab.ci.state.active_builds().count(), 0);
    }
}

#[test]
fn what_was_granted_when_the_run_was_made_does_not_count() {
    let mut lab = Lab::new();
    lab.start(on("main", Some("abc")));
    Arc::make_mut(lab.ci.plan.pipelines.get_mut("ci").unwrap()).in_repository = Some(InRepositoryDef {
        granted: Grants::default(),
        ..definition()
    });
    lab.ci.configure();
    lab.found(jobs("abc", Some("main"), vec![job("x", "a")]));
    assert_eq!(lab.end(), BAD);
    let mut lab = Lab::new();
    lab.start(on("main", Some("abc")));
    lab.ci.plan.pipelines.remove("ci");
    lab.ci.configure();
    lab.found(jobs("abc", Some("main"), vec![job("x", "a")]));
    assert!(lab.problem().summary.contains("any more"), "{:?}", lab.problem());
}

#[test]
fn patience_ends_and_a_start_of_the_master_begins_it_anew() {
    let mut lab = Lab::new();
    lab.start(on("main", Some("abc")));
    let reason = "no way there".to_owned();
    lab.found(Found::Trouble {
        reason: reason.clone(),
    });
    assert_eq!(lab.run().progress.why.as_ref(), Some(&reason));
    let again = lab.found(Found::Trouble { reason });
    assert_eq!(again, [], "what is known is not said again");
    lab.ci.pass(599);
    let events = lab.ci.ok(Input::MasterStart {
        name: "m".into(),
        lease: Duration::from_secs(10),
    });
    lab.note(events);
    lab.ci.pass(599);
    let events = lab.ci.ok(Input::Tick);
    lab.note(events);
    assert_eq!(lab.end().0, RunState::Defining);
    lab.ci.pass(1);
    let events = lab.ci.ok(Input::Tick);
    lab.note(events);
    assert_eq!(lab.end(), BAD);
    assert!(
        lab.problem().summary.contains("no way there"),
        "{:?}",
        lab.problem()
    );
}

#[test]
fn a_run_can_be_stopped_before_its_jobs_are_known() {
    let mut lab = Lab::new();
    let run = lab.start(on("main", Some("abc")));
    let events = lab.ci.ok(Input::StopRun {
        run,
        by: "ann".into(),
        reason: "enough".into(),
    });
    lab.note(events);
    assert_eq!(lab.end(), (RunState::Complete, Some(Results::Cancelled)));
    assert_eq!(lab.questions(), []);
    let late = jobs("abc", Some("main"), vec![job("x", "a")]);
    lab.ci.refused(Input::Define { run, found: late });
}

#[test]
fn a_run_without_the_code_base_of_the_file_is_over_at_once() {
    let mut lab = Lab::new();
    let other = NewSourceStamp {
        codebase: "docs".into(),
        ..on("main", Some("abc"))
    };
    lab.start(other);
    assert_eq!(lab.end(), BAD);
    assert!(lab.problem().summary.contains("code base"), "{:?}", lab.problem());
}

#[test]
fn what_an_untrusted_run_starts_is_not_trusted() {
    for (branch, trusted) in [("main", true), ("topic", false)] {
        let mut lab = Lab::new();
        // Everybody may start it here.
        Arc::make_mut(lab.ci.plan.pipelines.get_mut("ci").unwrap()).in_repository = Some(InRepositoryDef {
            granted: grants(&[], &["inner"]),
            ..definition()
        });
        lab.ci.configure();
        lab.start(on(branch, Some("abc")));
        let inner = JobDef {
            work: JobWork::Pipeline {
                pipeline: "inner".into(),
                wait: true,
            },
            ..job("x", "a")
        };
        let events = lab.found(jobs("abc", Some(branch), vec![inner]));
        let child = events.iter().find_map(|event| match event {
            Event::RunCreated { run } => Some(run.clone()),
            _ => None,
        });
        assert_eq!(child.expect("it is started").trusted, trusted);
    }
}

#[test]
fn jobs_that_are_added_are_granted_too() {
    let mut lab = Lab::new();
    let run = lab.start(on("topic", Some("abc")));
    lab.found(jobs("abc", Some("topic"), vec![job("x", "a")]));
    let build = lab.ci.running()[0].id;
    let add = |jobs| Input::AddJobs {
        build,
        key: "k".into(),
        jobs,
    };
    for bad in [
        vec![job("y", "trusted")],
        (0..3).map(|n| job(&format!("y{n}"), "a")).collect(),
    ] {
        lab.ci.refused(add(bad));
    }
    lab.ci.ok(add(vec![job("y", "a")]));
    assert_eq!(lab.ci.state.jobs_of(run).count(), 2);
}
