//! Functions of a configuration say what starts where: a master asks them, bears their failures, and starts nothing without, whatever
//! happens to it meanwhile.

use std::fs;

use serde_json::json;

use crate::fleet::{Fleet, token};

/// A configuration with two workers; builder `asks` has these functions, builder `plain` has none.
fn configuration(fleet: &Fleet, functions: &str) {
    let port = fleet.port();
    let (w1, w2) = (token("w1"), token("w2"));
    let text = format!(
        "master(listen = \"127.0.0.1:{port}\", url = \"http://127.0.0.1:{port}/\", state_dir = \"state\")\n\
         worker(\"w1\", token = \"{w1}\")\n\
         worker(\"w2\", token = \"{w2}\", labels = [\"gpu\"])\n\
         {functions}\n\
         plain = builder(\"plain\", workers = [\"*\"], steps = [shell(\"true\")])\n\
         scheduler(\"force\", type = \"force\", builders = [asks, plain])\n"
    );
    fs::write(fleet.path("ci.star"), text).expect("the directory is ours");
}

/// The builder `asks`, with this beside what it needs.
fn asks(functions: &str) -> String {
    format!("asks = builder(\"asks\", workers = [\"*\"], steps = [shell(\"true\")], {functions})")
}

/// Comes back when the configuration is in force.
fn reload(fleet: &Fleet) {
    let output = fleet
        .ironmaster(&["reload", "ci.star"])
        .output()
        .expect("the program can be started");
    assert!(output.status.success(), "{output:?}");
}

async fn start(fleet: &mut Fleet, crash_at: Option<&str>) {
    let mut command = fleet.ironmaster(&["start", "ci.star"]);
    if let Some(point) = crash_at {
        command.env("IRONMASTER_CRASH_AT", point);
    }
    fleet.spawn_master_as(command);
    fleet
        .until("the master serves", async |fleet| {
            fleet.get("/api/v2/builders").await.is_some()
        })
        .await;
}

async fn force(fleet: &Fleet, builder: &str) -> u64 {
    force_because(fleet, builder, "").await
}

async fn force_because(fleet: &Fleet, builder: &str, reason: &str) -> u64 {
    ask(fleet, builder, reason).await.expect("the master serves")
}

/// The same, of a master that may be gone before it answers.
async fn ask(fleet: &Fleet, builder: &str, reason: &str) -> Option<u64> {
    let builders = fleet.list("/api/v2/builders", "builders").await;
    let found = builders.iter().find(|other| other["name"] == builder);
    let id = &found.expect("the builder is there")["builderid"];
    fleet
        .force("force", json!({ "builderid": id, "reason": reason }))
        .await
}

fn explain(fleet: &Fleet, request: u64) -> String {
    let output = fleet
        .ironmaster(&["explain", "ci.star", "request", &request.to_string()])
        .output()
        .expect("the program can be started");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("it prints text")
}

async fn until_explained(fleet: &Fleet, request: u64, parts: &[&str]) -> String {
    let mut said = String::new();
    fleet
        .until(
            &format!("request {request} waits because of {parts:?}"),
            async |fleet| {
                said = explain(fleet, request);
                parts.iter().all(|part| said.contains(part))
            },
        )
        .await;
    said
}

async fn worker_of(fleet: &Fleet, request: u64) -> String {
    let request = fleet.completed(request).await["buildrequestid"].as_u64();
    let builds = fleet.builds_of(request.expect("a request has an id")).await;
    assert_eq!(builds.len(), 1, "it was built once: {builds:?}");
    let workers = fleet.list("/api/v2/workers", "workers").await;
    let worker = workers
        .iter()
        .find(|worker| worker["workerid"] == builds[0]["workerid"])
        .expect("the worker is there");
    worker["name"].as_str().expect("a worker has a name").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_choose_fail_and_are_mended() {
    let mut fleet = Fleet::new("", "");
    configuration(
        &fleet,
        &asks("prefer = lambda request, workers: [w for w in workers if \"gpu\" in w.labels][0]"),
    );
    start(&mut fleet, None).await;
    for name in ["w1", "w2"] {
        fleet.spawn_worker(name);
    }
    fleet.workers_connected(&["w1", "w2"]).await;
    for _ in 0..3 {
        let request = force(&fleet, "asks").await;
        assert_eq!(worker_of(&fleet, request).await, "w2");
    }

    // One that fails, and one that would never end, say so with their place; nothing is lost, and others go on.
    for (function, part) in [
        (
            "can_start = lambda request, worker: request.nothing",
            "has no `nothing`",
        ),
        (
            "can_start = lambda request, worker: [1 for i in range(1 << 40)]",
            "more than 100000 steps",
        ),
        (
            "can_start = lambda request, worker: False",
            "`can_start` says no to request",
        ),
    ] {
        configuration(&fleet, &asks(function));
        reload(&fleet);
        let waits = force(&fleet, "asks").await;
        let said = until_explained(&fleet, waits, &[part, "asked again"]).await;
        if !function.ends_with("False") {
            assert!(said.contains("ci.star:4:"), "{said}");
        }
        let other = force(&fleet, "plain").await;
        assert_eq!(fleet.completed(other).await["results"], 0);
        assert!(fleet.builds_of(waits).await.is_empty());

        // Asked again after a kill, it says the same.
        fleet.kill_master();
        start(&mut fleet, None).await;
        fleet.workers_connected(&["w1", "w2"]).await;
        until_explained(&fleet, waits, &[part]).await;

        configuration(
            &fleet,
            &asks("can_start = lambda request, worker: worker.name == \"w1\""),
        );
        reload(&fleet);
        assert_eq!(worker_of(&fleet, waits).await, "w1");
    }
    fleet.stop_master().await;
}

/// A master that dies between what was said and what is done about it asks again.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_chosen_and_not_started_is_chosen_again() {
    let mut fleet = Fleet::new("", "");
    configuration(
        &fleet,
        &asks("next_build = lambda requests: requests[-1], can_start = lambda request, worker: True"),
    );
    start(&mut fleet, Some("choice_made:2")).await;
    fleet.spawn_worker("w1");
    fleet.workers_connected(&["w1"]).await;
    let first = force(&fleet, "asks").await;
    assert_eq!(worker_of(&fleet, first).await, "w1");
    // The request is committed before the master asks its function, and so before it dies; its answer may be lost.
    ask(&fleet, "asks", "").await;
    let ended = fleet.master_ended().await;
    assert!(!ended.success(), "it was killed: {ended:?}");
    start(&mut fleet, None).await;
    let requests = fleet
        .list("/api/v2/buildrequests?order=buildrequestid", "buildrequests")
        .await;
    let requests: Vec<_> = requests
        .iter()
        .filter_map(|request| request["buildrequestid"].as_u64())
        .collect();
    assert_eq!(requests.len(), 2, "{requests:?}");
    assert_eq!(requests[0], first);
    let second = requests[1];
    fleet.workers_connected(&["w1"]).await;
    assert_eq!(worker_of(&fleet, second).await, "w1");
    fleet.stop_master().await;
}

/// Requests are given priorities and replaced while they wait; a function that fails leaves them as they are, and all are built.
#[tokio::test(flavor = "multi_thread")]
async fn functions_say_how_urgent_requests_are_and_which_they_replace() {
    let mut fleet = Fleet::new("", "");
    let functions = "priority = lambda request: 7 if \"urgent\" in request.reason else 1 if \"odd\" not in request.reason else request.nothing, \
                     collapse = lambda request, other: \"same\" in request.reason and \"same\" in other.reason";
    configuration(&fleet, &asks(functions));
    start(&mut fleet, None).await;
    let urgent = force_because(&fleet, "asks", "urgent").await;
    let odd = force_because(&fleet, "asks", "odd").await;
    let same = force_because(&fleet, "asks", "the same").await;
    let newer = force_because(&fleet, "asks", "the same").await;
    assert_eq!(
        fleet.completed(same).await["results"],
        3,
        "the newer one replaces it"
    );
    let priority = async |fleet: &Fleet, request: u64| {
        let found = fleet
            .list(&format!("/api/v2/buildrequests/{request}"), "buildrequests")
            .await;
        found[0]["priority"].as_i64()
    };
    for round in 0..2 {
        fleet
            .until("the function has said its priority", async |fleet| {
                priority(fleet, urgent).await == Some(7) && priority(fleet, newer).await == Some(1)
            })
            .await;
        assert_eq!(priority(&fleet, odd).await, Some(0));
        until_explained(
            &fleet,
            odd,
            &["`priority` failed", "has no `nothing`", "ci.star:4:"],
        )
        .await;
        if round == 0 {
            fleet.kill_master();
            start(&mut fleet, None).await;
        }
    }
    fleet.spawn_worker("w1");
    for request in [urgent, odd, newer] {
        assert_eq!(fleet.completed(request).await["results"], 0);
    }
    let mut builds = Vec::new();
    for request in [urgent, newer, odd] {
        builds.push(fleet.builds_of(request).await[0]["buildid"].as_u64());
    }
    assert!(builds.is_sorted(), "the most urgent went first: {builds:?}");
    fleet.stop_master().await;
}
