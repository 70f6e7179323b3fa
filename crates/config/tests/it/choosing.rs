//! Functions of a Starlark configuration that say what starts where.

use std::path::Path;

use ironmaster_config::check;
use ironmaster_model::{Asks, Opinion, Pick, WorkerPreference};
use serde_json::{Map, Value, json};

use crate::{catalogue::catalogue, starlark::loaded};

fn objects(values: Value) -> Vec<Map<String, Value>> {
    let Value::Array(values) = values else {
        panic!("not a list");
    };
    let objects = values.into_iter().map(|value| match value {
        Value::Object(object) => object,
        other => panic!("{other}"),
    });
    objects.collect()
}

fn requests() -> Vec<Map<String, Value>> {
    objects(json!([
        {"id": 1, "branch": "main", "properties": {"gpu": true}},
        {"id": 2, "branch": "release/1", "properties": {}},
        {"id": 3, "branch": null, "properties": {}},
    ]))
}

fn workers() -> Vec<Map<String, Value>> {
    objects(json!([
        {"name": "w1", "labels": ["linux"], "running": 1},
        {"name": "w2", "labels": ["linux", "gpu"], "running": 0},
    ]))
}

/// What the functions of the one builder choose.
fn choose(functions: &str) -> Result<Pick, String> {
    let text = format!(
        "worker(\"w\", token = \"hunter2-0123456789\")\n\
         builder(\"b\", workers = [\"w\"], steps = [shell(\"make\")], {functions})\n"
    );
    let plan = loaded(&text).plan;
    let callbacks = plan.callbacks.0.expect("there are functions");
    callbacks.choose("b", &requests(), &workers())
}

const GPU: &str =
    "can_start = lambda request, worker: \"gpu\" in worker.labels or not request.properties.get(\"gpu\")";

#[test]
fn functions_choose() {
    let start = |request, worker| Pick::Start { request, worker };
    for (functions, chosen) in [
        (GPU.to_owned(), start(0, 1)),
        ("can_start = lambda request, worker: request.id == 3".to_owned(), start(2, 0)),
        (
            "prefer = lambda request, workers: sorted(workers, key = lambda worker: worker.running)[0]".to_owned(),
            start(0, 1),
        ),
        (
            "prefer = lambda request, workers: workers[0] if request.branch == None else None".to_owned(),
            start(2, 0),
        ),
        ("next_build = lambda requests: requests[-1]".to_owned(), start(2, 0)),
        (
            format!("next_build = lambda requests: [r for r in requests if r.branch != \"main\"][0], {GPU}"),
            start(1, 0),
        ),
        // One odd request keeps nobody else from starting.
        (
            "can_start = lambda request, worker: request.branch.startswith(\"none\") or 5 // (request.id - 1)"
                .to_owned(),
            start(1, 0),
        ),
        (
            "next_build = lambda requests: requests[-1], can_start = lambda request, worker: len(request.branch) > 0"
                .to_owned(),
            start(1, 0),
        ),
    ] {
        assert_eq!(choose(&functions).as_ref(), Ok(&chosen), "{functions}");
    }
}

#[test]
fn functions_say_no() {
    for (functions, why) in [
        (
            "can_start = lambda request, worker: False",
            "`can_start` says no to request 1 on w1 or w2; `can_start` says no to request 2 on w1 or w2",
        ),
        (
            "prefer = lambda request, workers: None",
            "`prefer` chooses no worker for request 1 among w1, w2",
        ),
        (
            "next_build = lambda requests: None",
            "`next_build` chooses none of 3 requests",
        ),
    ] {
        match choose(functions) {
            Ok(Pick::Nothing(said)) => assert!(said.contains(why), "{said}"),
            other => panic!("{functions}: {other:?}"),
        }
    }
}

#[test]
fn functions_fail_with_a_traceback() {
    for (functions, part) in [
        (
            "can_start = lambda request, worker: request.nothing",
            "a struct has no `nothing`",
        ),
        (
            "can_start = lambda request, worker: [1 for i in range(1 << 40)]",
            "more than 100000 steps",
        ),
        (
            "next_build = lambda requests: requests",
            "`next_build` has given a value of type list",
        ),
        (
            "prefer = lambda request, workers: \"w1\"",
            "`prefer` has given a value of type string",
        ),
        (
            "prefer = lambda request, workers: request",
            "give one of the `workers` that it is called with, or None",
        ),
    ] {
        let traceback = choose(functions).expect_err(functions);
        assert!(
            traceback.contains(part) && traceback.contains("ironmaster.star:2:"),
            "{functions}: {traceback}"
        );
        assert!(!traceback.contains("hunter2"), "{traceback}");
    }
}

/// Each call is within its bound; all together have one, too.
#[test]
fn a_question_takes_no_longer_than_a_few_calls() {
    let slow = "can_start = lambda request, worker: [i for i in range(14500) if i < 0]";
    let traceback =
        choose(&format!("{slow}, prefer = lambda request, workers: None")).expect_err("it takes too long");
    assert!(
        traceback.contains("more than") && !traceback.contains("more than 100000"),
        "{traceback}"
    );
}

/// What functions of the builder and its scheduler think of the last request beside the first two.
fn judge(of_builder: &str, of_scheduler: &str) -> Opinion {
    let text = format!(
        "worker(\"w\", token = \"hunter2-0123456789\")\n\
         builder(\"b\", workers = [\"w\"], steps = [shell(\"make\")], {of_builder})\n\
         scheduler(\"s\", type = \"force\", builders = [\"b\"], {of_scheduler})\n"
    );
    let plan = loaded(&text).plan;
    assert_eq!(
        plan.schedulers["s"].asks_priority,
        of_scheduler.contains("lambda")
    );
    let callbacks = plan.callbacks.0.expect("there are functions");
    let mut requests = requests();
    let new = requests.pop().expect("the last one");
    callbacks.judge("b", "s", &new, &requests)
}

#[test]
fn functions_say_how_urgent_a_request_is_and_what_it_replaces() {
    let priority = |priority| Opinion {
        priority,
        ..Opinion::default()
    };
    for (of_builder, of_scheduler, opinion) in [
        (
            "priority = lambda request: request.id * 2",
            "priority = 5",
            priority(Some(6)),
        ),
        (
            "priority = lambda request: request.id * 2",
            "priority = lambda request: 1",
            priority(Some(6)),
        ),
        (
            "tags = []",
            "priority = lambda request: -request.id",
            priority(Some(-3)),
        ),
        ("priority = lambda request: None", "", priority(None)),
        (
            "collapse = lambda request, other: request.branch == None and other.id == 2",
            "",
            Opinion {
                replaces: vec![1],
                ..Opinion::default()
            },
        ),
    ] {
        assert_eq!(
            judge(of_builder, of_scheduler),
            opinion,
            "{of_builder} {of_scheduler}"
        );
    }
    let odd = judge(
        "collapse = lambda request, other: other.properties[\"gpu\"]",
        "priority = lambda request: \"high\"",
    );
    assert_eq!((odd.priority, &odd.replaces), (None, &vec![0]));
    let problem = odd.problem.expect("both have failed");
    for part in [
        "`priority` failed, so its priority stays",
        "`priority` has given a value of type string",
        "give a whole number",
        "ironmaster.star:3:",
    ] {
        assert!(problem.contains(part), "{problem}");
    }
    let odd = judge("collapse = lambda request, other: other.properties[\"gpu\"]", "");
    let problem = odd.problem.expect("it has failed for one of them");
    assert!(
        problem.contains("`collapse` failed, so others stay beside it"),
        "{problem}"
    );
    assert!(problem.contains("ironmaster.star:2:"), "{problem}");
}

#[test]
fn a_builder_says_which_functions_are_asked() {
    let text = "worker(\"w\", token = \"hunter2-0123456789\")\n\
         builder(\"one\", workers = [\"w\"], steps = [shell(\"make\")], prefer = lambda request, workers: workers[0])\n\
         builder(\"two\", workers = [\"w\"], steps = [shell(\"make\")], prefer = \"idle\")\n";
    let builders = loaded(text).plan.builders;
    let asks = Asks {
        next_worker: true,
        ..Asks::default()
    };
    assert_eq!(
        (builders["one"].asks, builders["one"].prefer),
        (asks, WorkerPreference::Warm)
    );
    assert_eq!(
        (builders["two"].asks, builders["two"].prefer),
        (Asks::default(), WorkerPreference::Idle)
    );
}

#[test]
fn toml_has_no_functions() {
    for (key, value, part) in [
        (
            "can_start",
            "true",
            "`can_start` must be a function, which TOML has not",
        ),
        (
            "next_build",
            "\"first\"",
            "`next_build` must be a function, which TOML has not",
        ),
        ("prefer", "\"lambda\"", "`prefer` cannot be `lambda`"),
        ("collapse", "true", "`collapse` must be text"),
        (
            "priority",
            "5",
            "`priority` must be a function, which TOML has not",
        ),
    ] {
        let toml = format!(
            "[[worker]]\nname = \"w\"\ntoken = \"hunter2-0123456789\"\n[[builder]]\nname = \"b\"\nworkers = [\"w\"]\n\
             step = [{{ type = \"shell\", command = \"true\" }}]\n{key} = {value}\n"
        );
        let (_, report) = check("a.toml", &toml, Path::new("."), &catalogue());
        assert!(report.to_string().contains(part), "{report}");
    }
}

/// A function that cannot be called as it would be is pointed at where the configuration gives it.
#[test]
fn functions_take_as_many_arguments_as_they_get() {
    let text = |of_builder: &str, of_scheduler: &str| {
        format!(
            "worker(\"w\", token = \"hunter2-0123456789\")\n\
             def named(request, *, worker):\n    return True\n\
             builder(\"b\", workers = [\"w\"], steps = [shell(\"make\")], {of_builder})\n\
             scheduler(\"s\", type = \"any_branch\", builders = [\"b\"], {of_scheduler})\n"
        )
    };
    let report = |of_builder: &str, of_scheduler: &str| {
        let text = text(of_builder, of_scheduler);
        check("a.star", &text, Path::new("."), &catalogue()).1.to_string()
    };
    for (of_builder, said) in [
        (
            "can_start = lambda request: True",
            "`can_start` is called with 2 arguments (request, worker), but this function takes 1",
        ),
        (
            "can_start = named",
            "`can_start` is called with 2 arguments (request, worker), but this function needs `worker` by name",
        ),
        (
            "prefer = lambda workers: workers[0]",
            "`prefer` is called with 2 arguments (request, workers), but this function takes 1",
        ),
        (
            "next_build = lambda builder, requests: requests[0]",
            "`next_build` is called with one argument (requests), but this function takes 2",
        ),
        (
            "priority = lambda: 1",
            "`priority` is called with one argument (request), but this function takes 0",
        ),
        (
            "collapse = lambda a, b, c, *rest: True",
            "`collapse` is called with 2 arguments (request, other), but this function takes at least 3",
        ),
        (
            "collapse = lambda a, b, c, d = 1: True",
            "`collapse` is called with 2 arguments (request, other), but this function takes 3 to 4",
        ),
    ] {
        let report = report(of_builder, "");
        let (key, _) = of_builder.split_once(" = ").expect("a key and a function");

        for part in [
            "error[wrong_parameters]",
            said,
            "a.star:4:",
            "^",
            "begin it with `lambda ",
        ] {
            assert!(report.contains(part), "{key}: {report}");
        }
        assert_eq!(report.matches("error[").count(), 1, "{report}");
    }
    for (of_scheduler, said) in [
        (
            "change_filter = lambda: True",
            "`change_filter` is called with one argument (change)",
        ),
        (
            "priority = lambda request, other: 1",
            "`priority` is called with one argument (request)",
        ),
    ] {
        let report = report("", of_scheduler);
        assert!(report.contains(said) && report.contains("a.star:5:"), "{report}");
    }
    for of_builder in [
        "can_start = lambda request, worker, why = None: True",
        "can_start = lambda *both: True",
        "prefer = lambda request, *rest, quick = True: None, next_build = lambda r, **more: r[0]",
    ] {
        let report = report(of_builder, "");
        assert!(!report.contains("error["), "{report}");
    }
}
