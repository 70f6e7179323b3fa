//! Patches that somebody wants tried.

use ironmaster_engine::{Input, Refusal, TryJob, TryPatch};
use ironmaster_model::{
    BuildsetRecord, CodebaseUse, Event, FixedSource, NewSourceStamp, Patch, SchedulerDef, SchedulerKind,
    TryDef,
};
use serde_json::json;

use super::{Bench, builder, scheduler};

fn bench(change: impl FnOnce(&mut SchedulerDef)) -> Bench {
    let mut bench = Bench::new();
    bench.plan.builders.insert("b".into(), builder("b", &["make"]));
    let mut definition = scheduler("try", &["a", "b"], SchedulerKind::Try(TryDef::default()));
    definition.properties.insert("trusted".into(), json!(false));
    change(&mut definition);
    bench.plan.schedulers.insert("try".into(), definition);
    bench.configure();
    bench
}

fn job() -> TryJob {
    TryJob {
        scheduler: "try".into(),
        id: "ann-1".into(),
        branch: Some("main".into()),
        revision: Some("abc".into()),
        patch: Some(TryPatch {
            level: 1,
            subdir: "src".into(),
            body: "--- a\n+++ b".into(),
        }),
        repository: "repo".into(),
        who: " ann ".into(),
        comment: "does it build?".into(),
        ..TryJob::default()
    }
}

fn tried(job: TryJob) -> Input {
    Input::Try(Box::new(job))
}

/// What a job leads to: a buildset, the stamps that were added for it, and names of builders.
fn accepted(bench: &mut Bench, job: TryJob) -> (BuildsetRecord, Vec<NewSourceStamp>, usize) {
    let (mut buildset, mut stamps, mut requests) = (None, Vec::new(), 0);
    for event in bench.ok(tried(job)) {
        match event {
            Event::BuildsetCreated { buildset: created } => buildset = Some(created),
            Event::SourceStampAdded { sourcestamp } => stamps.push(sourcestamp.stamp),
            Event::RequestQueued { .. } => requests += 1,
            _ => {}
        }
    }
    (buildset.expect("a buildset"), stamps, requests)
}

#[test]
fn a_job_becomes_a_buildset_with_its_patch() {
    let mut bench = bench(|_| {});
    let mut with_properties = job();
    // What the scheduler says holds, whatever the job says.
    with_properties.properties = [("jobs".to_owned(), json!(4)), ("trusted".to_owned(), json!(true))].into();
    let (buildset, stamps, requests) = accepted(&mut bench, with_properties);
    assert_eq!(requests, 2, "no builder is named, so all are asked");
    assert_eq!(buildset.reason, "'try' job by user ann (does it build?)");
    assert_eq!(buildset.external_id.as_deref(), Some("ann-1"));
    assert_eq!(
        serde_json::to_value(&buildset.properties).expect("JSON"),
        json!({
            "scheduler": ["try", "Scheduler"], "trusted": [false, "Scheduler"], "jobs": [4, "try build"],
            "owner": ["ann", "try build"],
        })
    );
    let patch = Patch {
        level: 1,
        subdir: "src".into(),
        author: "ann".into(),
        comment: "does it build?".into(),
        body: "--- a\n+++ b\n".into(),
    };
    let stamp = NewSourceStamp {
        branch: Some("main".into()),
        revision: Some("abc".into()),
        repository: "repo".into(),
        patch: Some(patch),
        ..NewSourceStamp::default()
    };
    assert_eq!(stamps, [stamp]);
}

#[test]
fn a_job_without_a_patch_builds_what_is_there() {
    let mut bench = bench(|_| {});
    let mut plain = job();
    plain.patch = Some(TryPatch::default());
    plain.revision = Some(String::new());
    plain.builders = vec!["b".into()];
    plain.who = String::new();
    plain.comment = String::new();
    plain.id = String::new();
    let (buildset, stamps, requests) = accepted(&mut bench, plain);
    assert_eq!(requests, 1);
    assert_eq!(
        (buildset.reason.as_str(), buildset.external_id),
        ("'try' job", None)
    );
    assert_eq!(buildset.properties.get("owner"), None);
    assert_eq!((&stamps[0].patch, &stamps[0].revision), (&None, &None));
}

#[test]
fn what_cannot_be_built_is_refused_with_a_reason() {
    let mut bench = bench(|_| {});
    let mut wrong = job();
    wrong.builders = vec!["a".into(), "zlib".into()];
    wrong.patch.as_mut().expect("it has one").level = 101;
    let Refusal::Invalid { fields } = bench.refused(tried(wrong)) else {
        panic!("its values are wrong");
    };
    assert_eq!(
        fields["builders"],
        "try scheduler \"try\" cannot build zlib; its builders are a, b"
    );
    assert_eq!(
        fields["patchlevel"],
        "a patch cannot strip 101 path elements, at most 100"
    );
    let mut elsewhere = job();
    elsewhere.scheduler = "force".into();
    assert!(matches!(
        bench.refused(tried(elsewhere)),
        Refusal::NotFound { .. }
    ));
    let id = bench.state.scheduler_by_name("try").expect("it is there").id;
    bench.ok(Input::EnableScheduler {
        scheduler: id,
        enabled: false,
    });
    assert!(matches!(bench.refused(tried(job())), Refusal::Conflict { .. }));
}

fn of(codebase: &str) -> CodebaseUse {
    CodebaseUse {
        source: FixedSource {
            branch: Some("stable".into()),
            repository: format!("https://example.org/{codebase}.git"),
            project: "p".into(),
            codebase: codebase.into(),
        },
        revision: None,
    }
}

#[test]
fn a_job_is_for_one_of_several_code_bases() {
    let mut bench = bench(|definition| definition.codebases = vec![of("app"), of("lib")]);
    let mut by_repository = job();
    by_repository.repository = "https://example.org/lib".into();
    by_repository.branch = None;
    let (buildset, stamps, _) = accepted(&mut bench, by_repository);
    assert_eq!(
        buildset.sourcestamps.len(),
        2,
        "the other code base is built along"
    );
    let lib = stamps
        .iter()
        .find(|stamp| stamp.codebase == "lib")
        .expect("a stamp");
    assert!(lib.patch.is_some());
    assert_eq!(lib.branch.as_deref(), Some("stable"));
    assert_eq!(
        lib.repository, "https://example.org/lib.git",
        "as workers know it"
    );
    let app = stamps
        .iter()
        .find(|stamp| stamp.codebase == "app")
        .expect("a stamp");
    assert_eq!((&app.patch, &app.revision), (&None, &None));

    for (codebase, repository) in [("", "/srv/ann/lib"), ("tool", "https://example.org/lib")] {
        let mut unclear = job();
        unclear.codebase = codebase.into();
        unclear.repository = repository.into();
        let Refusal::Invalid { fields } = bench.refused(tried(unclear)) else {
            panic!("nobody can say which one it is for");
        };
        assert!(fields["codebase"].ends_with(": one of app, lib"), "{fields:?}");
    }
}
