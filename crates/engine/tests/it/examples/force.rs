//! The force button.

use ironmaster_engine::{Input, Refusal, force_fields};
use ironmaster_model::{
    Event, FixedSource, ForceDef, ForceField, ForceFieldKind, GroupLayout, Patch, SchedulerKind,
};
use serde_json::{Value, json};

use super::{Bench, builder, force, scheduler};

fn form() -> ForceDef {
    let field = |name: &str, kind: ForceFieldKind, default: Value| ForceField {
        name: name.into(),
        label: String::new(),
        kind,
        default,
        ..ForceField::default()
    };
    let mut version = field("version", ForceFieldKind::String, json!(""));
    version.label = "Version".into();
    version.required = true;
    version.regex = Some(r"\d+\.\d+".into());
    let choices = ForceFieldKind::Choice {
        choices: vec!["debug".into(), "release".into()],
        strict: true,
        multiple: false,
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
            field("jobs", ForceFieldKind::Int { min: None, max: None }, json!(3)),
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

fn field(name: &str, kind: ForceFieldKind, default: Value) -> ForceField {
    ForceField {
        name: name.into(),
        kind,
        default,
        ..ForceField::default()
    }
}

/// Every type of field: what is given, and what becomes of it, or what is said against it.
#[test]
fn values_of_every_type() {
    let choice = |strict, multiple| ForceFieldKind::Choice {
        choices: vec!["a".into(), "b".into()],
        strict,
        multiple,
    };
    let int = ForceFieldKind::Int {
        min: Some(1),
        max: Some(9),
    };
    let required = |field: ForceField| ForceField {
        required: true,
        ..field
    };
    for (field, given, expected) in [
        (field("f", int.clone(), json!(3)), json!("9"), Ok(json!(9))),
        (field("f", int.clone(), json!(3)), json!(null), Ok(json!(3))),
        (
            field("f", int.clone(), json!(3)),
            json!(10),
            Err("f: 10 is more than 9"),
        ),
        (
            field("f", int.clone(), json!(3)),
            json!("0"),
            Err("f: 0 is less than 1"),
        ),
        (
            field("f", int, json!(3)),
            json!("3.0"),
            Err("f: '3.0' is not a whole number"),
        ),
        (
            field("f", ForceFieldKind::Bool, json!(true)),
            json!("true"),
            Ok(json!(false)),
        ),
        (
            field("f", ForceFieldKind::Bool, json!(true)),
            json!([true]),
            Ok(json!(true)),
        ),
        (
            field("f", choice(true, false), json!("a")),
            json!("c"),
            Err("f: 'c' is not one of a, b"),
        ),
        (
            field("f", choice(false, false), json!("a")),
            json!("c"),
            Ok(json!("c")),
        ),
        (
            field("f", choice(true, false), json!("a")),
            json!(["a", "b"]),
            Err("f: one value is wanted, not 2"),
        ),
        (
            field("f", choice(true, true), json!(["a"])),
            json!(["b", "a"]),
            Ok(json!(["b", "a"])),
        ),
        (
            field("f", choice(true, true), json!(["a"])),
            json!("b"),
            Ok(json!(["b"])),
        ),
        (
            field("f", choice(true, true), json!(["a"])),
            json!([]),
            Ok(json!([])),
        ),
        (
            field("f", choice(true, true), json!(["a"])),
            json!(""),
            Ok(json!(["a"])),
        ),
        (
            field("f", choice(true, true), json!(["a"])),
            json!(["a", "c"]),
            Err("f: 'c' is not one of a, b"),
        ),
        (
            field("f", choice(false, true), json!([])),
            json!(["c", 7]),
            Ok(json!(["c", "7"])),
        ),
        (
            required(field("f", choice(true, true), json!([]))),
            json!([]),
            Err("'f' needs to be specified"),
        ),
        (
            field("f", ForceFieldKind::Fixed, json!({"x": [1]})),
            json!("other"),
            Ok(json!({"x": [1]})),
        ),
        (
            field("f", ForceFieldKind::UserName { need_email: false }, json!("")),
            json!("ann"),
            Ok(json!("ann")),
        ),
        (
            field("f", ForceFieldKind::UserName { need_email: true }, json!("")),
            json!("ann"),
            Err("f 'ann' is not of the form 'Name <name@example.org>'"),
        ),
        (
            field("f", ForceFieldKind::File { size_max: 4 }, json!("")),
            json!("text"),
            Ok(json!("text")),
        ),
        (
            field("f", ForceFieldKind::File { size_max: 4 }, json!("")),
            json!("texts"),
            Err("f: the file has 5 bytes, more than 4"),
        ),
        (
            required(field("f", ForceFieldKind::Text, json!(""))),
            json!(" "),
            Err("'f' needs to be specified"),
        ),
    ] {
        let mut bench = bench(ForceDef {
            fields: vec![field.clone()],
            ..ForceDef::default()
        });
        let params = json!({"builderid": 1, "f": given});
        match expected {
            Ok(value) => {
                bench.ok(force(params));
                let build = &bench.running()[0];
                assert_eq!(build.properties.get("f"), Some(&value), "{field:?} {given}");
            }
            Err(text) => {
                let expected = [("f".to_owned(), text.to_owned())];
                assert_eq!(problems(&mut bench, params), expected, "{field:?} {given}");
            }
        }
    }
}

#[test]
fn groups_are_objects_and_their_name_stands_before_their_fields() {
    let inner = ForceFieldKind::Group {
        fields: vec![field("deep", ForceFieldKind::String, json!("d"))],
        layout: GroupLayout::Simple,
        columns: 1,
    };
    let outer = ForceFieldKind::Group {
        fields: vec![
            field("one", ForceFieldKind::Int { min: None, max: None }, json!(1)),
            field("inner", inner, Value::Null),
        ],
        layout: GroupLayout::Tabs,
        columns: 2,
    };
    let mut bench = bench(ForceDef {
        fields: vec![field("outer", outer, Value::Null)],
        ..ForceDef::default()
    });
    let shown = force_fields(&bench.plan.schedulers["force"]);
    let group = &shown[2];
    assert_eq!((&group["layout"], &group["columns"]), (&json!("tabs"), &json!(2)));
    assert_eq!(
        group["fields"][1]["fields"][0]["fullName"],
        json!("outer_inner_deep")
    );
    let found = problems(&mut bench, json!({"outer_one": "x"}));
    assert_eq!(found[0].0, "outer_one");
    bench.ok(force(
        json!({"builderid": 1, "outer_one": "5", "outer_inner_deep": "e", "one": 7}),
    ));
    let build = &bench.running()[0];
    assert_eq!(
        build.properties.get("outer"),
        Some(&json!({"one": 5, "inner": {"deep": "e"}}))
    );
    assert_eq!(build.properties.get("one"), None);
}

#[test]
fn several_code_bases_with_patches() {
    let source = |codebase: &str| FixedSource {
        branch: Some("main".into()),
        repository: format!("repo of {codebase}"),
        codebase: codebase.into(),
        ..FixedSource::default()
    };
    let mut bench = bench(ForceDef {
        codebases: vec![source("app"), source("lib")],
        patch: true,
        ..ForceDef::default()
    });
    let shown = force_fields(&bench.plan.schedulers["force"]);
    assert_eq!(
        shown[2]["fields"][4]["fields"][0]["fullName"],
        json!("lib_patch_body")
    );
    let diff = "--- a\n+++ b\n@@ -1 +1 @@\n-x\n+ ";
    bench.ok(force(json!({
        "builderid": 1, "app_branch": "topic", "lib_revision": "abc", "lib_patch_body": diff, "lib_patch_level": "0",
    })));
    let assignment = bench.state.assignment(bench.running()[0].id).expect("it runs");
    let stamps: Vec<_> = assignment
        .sourcestamps
        .iter()
        .map(|record| &record.stamp)
        .collect();
    assert_eq!(
        (
            &*stamps[0].codebase,
            stamps[0].branch.as_deref(),
            &stamps[0].patch
        ),
        ("app", Some("topic"), &None)
    );
    assert_eq!(
        (&*stamps[1].codebase, stamps[1].revision.as_deref()),
        ("lib", Some("abc"))
    );
    assert_eq!(stamps[1].repository, "repo of lib");
    let patch = Patch {
        level: 0,
        subdir: ".".into(),
        body: format!("{diff}\n"),
        ..Patch::default()
    };
    assert_eq!(stamps[1].patch, Some(patch));
    assert_eq!(
        problems(&mut bench, json!({"app_patch_level": "x"}))[0].0,
        "app_patch_level"
    );
}
