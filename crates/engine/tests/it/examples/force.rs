//! The force button.

use ironmaster_engine::{Input, Refusal, force_fields};
use ironmaster_model::{Event, FixedSource, ForceDef, ForceField, ForceFieldKind, SchedulerKind};
use serde_json::{Value, json};

use super::{Bench, builder, force, scheduler};

fn form() -> ForceDef {
    let field = |name: &str, kind: ForceFieldKind, default: Value| ForceField {
        name: name.into(),
        label: String::new(),
        kind,
        default,
        required: false,
        regex: None,
        tooltip: String::new(),
    };
    let mut version = field("version", ForceFieldKind::String, json!(""));
    version.label = "Version".into();
    version.required = true;
    version.regex = Some(r"\d+\.\d+".into());
    let choices = ForceFieldKind::Choice {
        choices: vec!["debug".into(), "release".into()],
        strict: true,
    };
    ForceDef {
        reason: "force build".into(),
        source: FixedSource {
            branch: Some("main".into()),
            repository: "repo".into(),
            ..FixedSource::default()
        },
        fields: vec![
            version,
            field("jobs", ForceFieldKind::Int, json!(3)),
            field("clean", ForceFieldKind::Bool, json!(false)),
            field("mode", choices, json!("debug")),
            field("notes", ForceFieldKind::Text, json!("")),
        ],
        ..ForceDef::default()
    }
}

fn bench(form: ForceDef) -> Bench {
    let mut bench = Bench::new();
    bench.plan.builders.insert("b".into(), builder("b", &["make"]));
    bench
        .plan
        .builders
        .insert("other".into(), builder("other", &["make"]));
    let scheduler = scheduler("force", &["a", "b"], SchedulerKind::Force(form));
    bench.plan.schedulers.insert("force".into(), scheduler);
    bench.configure();
    bench
}

fn problems(bench: &mut Bench, params: Value) -> Vec<(String, String)> {
    match bench.refused(force(params)) {
        Refusal::Invalid { fields } => fields.into_iter().collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn values_become_properties_and_blanks_become_defaults() {
    let mut bench = bench(form());
    let params = json!({
        "version": ["1.5"], "jobs": "8", "clean": true, "mode": " ", "revision": "abc", "priority": 4,
        "reason": "a try", "builderid": 2, "unknown": 1,
    });
    let events = bench.ok(force(params));
    let buildset = events
        .iter()
        .find_map(|event| match event {
            Event::BuildsetCreated { buildset } => Some(buildset),
            _ => None,
        })
        .expect("a buildset");
    assert_eq!(buildset.reason, "A build was forced by 'ann': a try");
    let shown = serde_json::to_value(&buildset.properties).expect("JSON");
    let form = "Force Build Form";
    assert_eq!(
        shown,
        json!({
            "scheduler": ["force", "Scheduler"], "version": ["1.5", form], "jobs": [8, form], "clean": [true, form],
            "mode": ["debug", form], "notes": ["", form], "reason": ["a try", form], "owner": ["ann", form],
        })
    );
    let build = &bench.running()[0];
    let property = |name: &str| {
        build
            .properties
            .0
            .get(name)
            .map(|p| (p.value.clone(), p.source.clone()))
    };
    for (name, value, source) in [
        ("branch", json!("main"), "Build"),
        ("revision", json!("abc"), "Build"),
        ("repository", json!("repo"), "Build"),
        ("buildnumber", json!(1), "Build"),
        ("owners", json!(["ann"]), "Build"),
        ("buildername", json!("b"), "Builder"),
        ("builderid", json!(2), "Builder"),
        ("workername", json!("w"), "Worker"),
        ("builddir", json!("b"), "Worker"),
        ("jobs", json!(8), form),
    ] {
        assert_eq!(property(name), Some((value, source.to_owned())), "{name}");
    }
}

#[test]
fn every_mistake_is_told_under_its_field() {
    let mut bench = bench(form());
    let params = json!({
        "jobs": "many", "mode": "fast", "priority": [1, 2], "username": "nobody", "notes": {}, "builderid": 3,
    });
    let found = problems(&mut bench, params);
    let texts: Vec<(&str, &str)> = found.iter().map(|(name, text)| (&**name, &**text)).collect();
    assert_eq!(
        texts,
        [
            ("builderid", "builder 3 is not one of this scheduler's"),
            ("jobs", "jobs: 'many' is not a whole number"),
            ("mode", "mode: 'fast' is not one of debug, release"),
            ("notes", "notes: {} is not text"),
            ("priority", "priority: one value is wanted, not 2"),
            (
                "username",
                "Your name: 'nobody' is not of the form 'Name <name@example.org>'"
            ),
            ("version", "'Version' needs to be specified"),
        ]
    );
    let found = problems(&mut bench, json!({"version": "1.5x"}));
    assert_eq!(found[0].1, r"Version:'1.5x' does not match pattern '\d+\.\d+'");
}

#[test]
fn builders_are_all_named_or_one() {
    let mut bench = bench(ForceDef::default());
    let queued = |events: &[Event]| -> Vec<u64> {
        events
            .iter()
            .filter_map(|event| match event {
                Event::RequestQueued { request } => Some(request.builder.0),
                _ => None,
            })
            .collect()
    };
    assert_eq!(queued(&bench.ok(force(json!({})))), [1, 2]);
    assert_eq!(
        queued(&bench.ok(force(json!({"builderNames": ["b", "other"]})))),
        [2]
    );
    assert_eq!(queued(&bench.ok(force(json!({"builderid": "1"})))), [1]);
    assert_eq!(
        problems(&mut bench, json!({"builderNames": ["other"]}))[0].0,
        "builderNames"
    );
}

#[test]
fn a_named_code_base_prefixes_its_fields() {
    let mut form = ForceDef::default();
    form.source.codebase = "lib".into();
    let mut bench = bench(form);
    bench.ok(force(
        json!({"lib_branch": "topic", "branch": "ignored", "builderid": 1}),
    ));
    let assignment = bench.state.assignment(bench.running()[0].id).expect("it runs");
    let stamp = &assignment.sourcestamps[0].stamp;
    assert_eq!(
        (stamp.codebase.as_str(), stamp.branch.as_deref()),
        ("lib", Some("topic"))
    );
}

#[test]
fn a_scheduler_that_is_off_or_of_another_kind_cannot_be_forced() {
    let mut bench = bench(ForceDef::default());
    let id = bench.state.scheduler_by_name("force").expect("it is there").id;
    bench.ok(Input::EnableScheduler {
        scheduler: id,
        enabled: false,
    });
    let refusal = bench.refused(force(json!({})));
    assert_eq!(refusal.to_string(), "force scheduler \"force\" is switched off");
    bench.plan.schedulers.clear();
    bench.configure();
    assert!(matches!(
        bench.refused(force(json!({}))),
        Refusal::NotFound { .. }
    ));
}

#[test]
fn the_form_has_the_shape_of_the_reference() {
    let bench = bench(form());
    let fields = force_fields(&bench.plan.schedulers["force"]);
    assert_eq!(
        fields[0]["fields"][0],
        json!({
            "autopopulate": null, "default": "", "fullName": "username", "hide": false, "label": "Your name:",
            "maxsize": null, "multiple": false, "name": "username", "need_email": true, "regex": null, "required": false,
            "size": 30, "tablabel": "Your name:", "tooltip": "", "type": "username",
        })
    );
    let names: Vec<Vec<&str>> = fields[..2]
        .iter()
        .map(|group| {
            assert_eq!(
                (&group["type"], &group["fullName"]),
                (&json!("nested"), &Value::Null)
            );
            let children = group["fields"].as_array().expect("a list");
            children
                .iter()
                .filter_map(|field| field["fullName"].as_str())
                .collect()
        })
        .collect();
    assert_eq!(
        names,
        [
            vec!["username", "reason", "priority"],
            vec!["branch", "project", "repository", "revision"]
        ]
    );
    let kinds: Vec<&str> = fields[2..]
        .iter()
        .filter_map(|field| field["type"].as_str())
        .collect();
    assert_eq!(kinds, ["text", "int", "bool", "list", "textarea"]);
    assert_eq!(fields[1]["fields"][0]["default"], json!("main"));
    assert_eq!(fields[5]["choices"], json!(["debug", "release"]));
}
