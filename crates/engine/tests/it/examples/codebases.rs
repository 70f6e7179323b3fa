//! Several code bases built together.

use std::sync::Arc;

use ironmaster_engine::{Input, NewChange};
use ironmaster_model::{
    ChangeFilter, CodebaseDef, CodebaseUse, Cron, Duration, Event, FixedSource, JobDef, NewSourceStamp,
    NightlyDef, PipelineDef, Properties, Results, SchedulerDef, SchedulerKind, pipeline::JobWork,
};
use serde_json::json;

use super::{Bench, scheduler};

fn of(codebase: &str, branch: Option<&str>) -> CodebaseUse {
    CodebaseUse {
        source: FixedSource {
            branch: branch.map(str::to_owned),
            repository: format!("https://example.org/{codebase}.git"),
            project: "p".into(),
            codebase: codebase.into(),
        },
        revision: None,
    }
}

fn together(kind: SchedulerKind, codebases: Vec<CodebaseUse>) -> SchedulerDef {
    SchedulerDef {
        codebases,
        ..scheduler("s", &["a"], kind)
    }
}

fn on_change() -> SchedulerKind {
    SchedulerKind::SingleBranch {
        filter: ChangeFilter::default(),
        tree_stable: None,
    }
}

fn bench(definition: SchedulerDef) -> Bench {
    let mut bench = Bench::new();
    for of in &definition.codebases {
        let def = CodebaseDef {
            name: of.source.codebase.clone(),
            project: "p".into(),
            repository: of.source.repository.clone(),
            branch: of.source.branch.clone(),
        };
        bench.plan.codebases.insert(def.name.clone(), def);
    }
    bench.plan.schedulers.insert("s".into(), definition);
    bench.configure();
    bench
}

/// A change as a hook tells of it: with its repository alone.
fn change(repository: &str, branch: &str, revision: &str) -> Input {
    Input::Change(NewChange {
        author: "ann".into(),
        branch: Some(branch.into()),
        revision: Some(revision.into()),
        repository: format!("https://example.org/{repository}"),
        ..NewChange::default()
    })
}

/// What each buildset builds: code base, branch and revision.
fn built(bench: &Bench, events: &[Event]) -> Vec<Vec<String>> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::BuildsetCreated { buildset } => Some(&buildset.sourcestamps),
            _ => None,
        })
        .map(|stamps| {
            let snapshot = bench.state.to_snapshot();
            let stamp = |id| snapshot.sourcestamps.iter().find(|record| record.id == id);
            stamps
                .iter()
                .filter_map(|id| stamp(*id))
                .map(|record| {
                    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
                    let stamp = &record.stamp;
                    format!(
                        "{} {} {}",
                        stamp.codebase,
                        text(&stamp.branch),
                        text(&stamp.revision)
                    )
                })
                .collect()
        })
        .collect()
}

#[test]
fn a_change_belongs_to_the_code_base_of_its_repository() {
    let mut bench = bench(together(on_change(), vec![of("app", None)]));
    for (repository, codebase) in [("app.git", "app"), ("app", "app"), ("app/", "app"), ("apps", "")] {
        let events = bench.ok(change(repository, "main", "r1"));
        let Some(Event::ChangeAdded { change }) = events
            .iter()
            .find(|event| matches!(event, Event::ChangeAdded { .. }))
        else {
            panic!("{events:?}");
        };
        let project = if codebase.is_empty() { "" } else { "p" };
        assert_eq!(
            (&*change.codebase, &*change.project),
            (codebase, project),
            "{repository}"
        );
    }
}

#[test]
fn the_others_are_built_as_they_were_last_heard_of() {
    let codebases = vec![of("app", Some("main")), of("lib", Some("main"))];
    let mut bench = bench(together(on_change(), codebases));
    // Nothing is known of the library: the newest of its branch.
    let events = bench.ok(change("app", "main", "a1"));
    assert_eq!(built(&bench, &events), [["app main a1", "lib main -"]]);
    let events = bench.ok(change("lib", "main", "l1"));
    assert_eq!(built(&bench, &events), [["app main a1", "lib main l1"]]);
    // A branch is built with the main branch of the others, and is not what they are built with.
    let events = bench.ok(change("app", "topic", "t1"));
    assert_eq!(built(&bench, &events), [["app topic t1", "lib main l1"]]);
    let events = bench.ok(change("lib", "main", "l2"));
    assert_eq!(built(&bench, &events), [["app main a1", "lib main l2"]]);
    // Another repository is none of its business.
    let events = bench.ok(change("other", "main", "o1"));
    assert_eq!(built(&bench, &events), [[""; 0]; 0]);
}

#[test]
fn changes_that_set_nothing_off_are_seen_and_kept_over_restarts() {
    let mut definition = together(on_change(), vec![of("app", None), of("lib", Some("main"))]);
    definition.kind = SchedulerKind::SingleBranch {
        filter: ChangeFilter {
            codebases: vec!["app".into()],
            ..ChangeFilter::default()
        },
        tree_stable: Some(Duration::from_secs(60)),
    };
    let mut bench = bench(definition);
    let events = bench.ok(change("lib", "main", "l1"));
    assert_eq!(built(&bench, &events), [[""; 0]; 0]);
    bench.ok(change("lib", "topic", "l2"));
    bench.state = ironmaster_engine::State::load(bench.state.to_snapshot()).expect("the rows fit together");
    bench.ok(change("app", "main", "a1"));
    // The library moves on while the timer runs.
    bench.ok(change("lib", "main", "l3"));
    bench.pass(60);
    let events = bench.ok(Input::Tick);
    assert_eq!(built(&bench, &events), [["app main a1", "lib main l3"]]);
    // A code base that is left out is forgotten.
    let Some(definition) = bench.plan.schedulers.get_mut("s") else {
        unreachable!("it is there");
    };
    definition.codebases.pop();
    bench.configure();
    assert!(
        bench
            .state
            .scheduler_by_name("s")
            .expect("it is there")
            .state
            .seen
            .is_empty()
    );
}

#[test]
fn the_newest_of_each_code_base_goes_into_one_build() {
    let mut definition = together(on_change(), vec![of("app", None), of("lib", None)]);
    definition.kind = SchedulerKind::SingleBranch {
        filter: ChangeFilter::default(),
        tree_stable: Some(Duration::from_secs(60)),
    };
    let mut bench = bench(definition);
    for (repository, revision) in [("lib", "l1"), ("app", "a1"), ("lib", "l2"), ("app", "a2")] {
        bench.ok(change(repository, "main", revision));
    }
    bench.pass(60);
    let events = bench.ok(Input::Tick);
    assert_eq!(built(&bench, &events), [["app main a2", "lib main l2"]]);
}

#[test]
fn a_pinned_one_stays() {
    let mut lib = of("lib", Some("main"));
    lib.revision = Some("v1".into());
    let mut bench = bench(together(on_change(), vec![of("app", None), lib]));
    let events = bench.ok(change("lib", "main", "l1"));
    assert_eq!(built(&bench, &events), [[""; 0]; 0]);
    let events = bench.ok(change("app", "main", "a1"));
    assert_eq!(built(&bench, &events), [["app main a1", "lib main v1"]]);
}

#[test]
fn a_nightly_build_of_several() {
    let nightly = NightlyDef {
        cron: Cron::parse("* * * * *").expect("a good one"),
        zone: "UTC".into(),
        jitter: Duration::ZERO,
        force_at: None,
        source: FixedSource::default(),
        changes: Some(ChangeFilter::default()),
    };
    let kind = SchedulerKind::Nightly(nightly);
    let mut bench = bench(together(
        kind,
        vec![of("app", Some("main")), of("lib", Some("main"))],
    ));
    bench.ok(change("app", "topic", "t1"));
    bench.pass(60);
    let events = bench.ok(Input::Tick);
    assert_eq!(
        built(&bench, &events),
        [[""; 0]; 0],
        "only the branches it builds count"
    );
    bench.ok(change("lib", "main", "l1"));
    bench.pass(60);
    let events = bench.ok(Input::Tick);
    assert_eq!(built(&bench, &events), [["app main -", "lib main l1"]]);
}

#[test]
fn what_follows_another_project_has_its_revision() {
    let mut bench = bench(together(on_change(), vec![of("lib", Some("main"))]));
    let after = SchedulerDef {
        name: "after".into(),
        ..together(
            SchedulerKind::Dependent { upstream: "s".into() },
            vec![of("app", Some("main")), of("lib", Some("main"))],
        )
    };
    bench.plan.schedulers.insert("after".into(), after);
    bench.configure();
    bench.ok(change("lib", "main", "l1"));
    let build = bench.running()[0].id;
    // The library has moved on by the time that it has passed.
    bench.ok(change("lib", "main", "l2"));
    let events = bench.end(build, Results::Success);
    assert_eq!(built(&bench, &events), [["app main -", "lib main l1"]]);
}

#[test]
fn what_follows_builds_what_was_checked_out() {
    let after = |codebases| SchedulerDef {
        name: "after".into(),
        ..together(SchedulerKind::Dependent { upstream: "s".into() }, codebases)
    };
    let got = |value: serde_json::Value| {
        let mut properties = Properties::new();
        properties.set("got_revision", value, "Git");
        properties
    };
    let both = || vec![of("app", Some("main")), of("lib", Some("main"))];
    let mut several = bench(together(on_change(), both()));
    several.plan.schedulers.insert("after".into(), after(both()));
    several.configure();
    // The library was built as the newest of its branch; which that was, the build has found out.
    several.ok(change("app", "main", "a1"));
    let build = several.running()[0].id;
    let checked_out = got(json!({ "app": "a1", "lib": "l7" }));
    let events = several.end_with(build, Results::Success, checked_out);
    assert_eq!(built(&several, &events), [["app main a1", "lib main l7"]]);

    // Without code bases it is a text. Only what was not said before is filled in.
    for (revision, expected) in [(None, " main r9"), (Some("r1"), " main r1")] {
        let mut one = bench(together(on_change(), Vec::new()));
        one.plan.schedulers.insert("after".into(), after(Vec::new()));
        one.configure();
        one.ok(Input::Change(NewChange {
            author: "ann".into(),
            branch: Some("main".into()),
            revision: revision.map(str::to_owned),
            repository: "repo".into(),
            ..NewChange::default()
        }));
        let build = one.running()[0].id;
        let events = one.end_with(build, Results::Success, got(json!("r9")));
        assert_eq!(built(&one, &events), [[expected]]);
    }
}

#[test]
fn the_jobs_of_a_run_build_what_the_first_of_them_has_checked_out() {
    let job = |name: &str, needs: &[&str], work: JobWork| JobDef {
        name: name.into(),
        needs: needs.iter().map(|need| (*need).to_owned()).collect(),
        work,
        ..JobDef::default()
    };
    let build = || JobWork::Build { builder: "a".into() };
    let child = JobWork::Pipeline {
        pipeline: "child".into(),
        wait: true,
    };
    let mut bench = Bench::new();
    for (name, jobs) in [
        (
            "parent",
            vec![job("child", &[], child), job("after", &["child"], build())],
        ),
        (
            "child",
            vec![job("one", &[], build()), job("two", &["one"], build())],
        ),
    ] {
        let definition = PipelineDef {
            name: name.into(),
            jobs,
            ..PipelineDef::default()
        };
        bench.plan.pipelines.insert(name.into(), Arc::new(definition));
    }
    bench.configure();
    bench.ok(Input::StartRun {
        pipeline: "parent".into(),
        sourcestamps: vec![NewSourceStamp::default()],
        properties: Properties::new(),
        by: "ann".into(),
        reason: "to see".into(),
    });
    let mut revisions = Vec::new();
    for found in ["r1", "r2", "r3"] {
        let build = bench.running()[0].clone();
        let stamps = bench.state.assignment(build.id).expect("it runs").sourcestamps;
        revisions.push(stamps[0].stamp.revision.clone());
        let mut properties = Properties::new();
        properties.set("got_revision", found, "Git");
        bench.end_with(build.id, Results::Success, properties);
    }
    // The first found it out; the second is of its run, the third of the run that has started that one.
    let r1 = Some("r1".to_owned());
    assert_eq!(revisions, [None, r1.clone(), r1]);
}
