//! Every method of the registry is called, against a master that has something of everything.

use std::collections::{BTreeMap, BTreeSet};

use ironmaster_api::{
    registry,
    registry::{Kind, Permission, split},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{ADMIN, Site, rpc};

/// The configuration of the site.
const DIGEST_PATH: &str = "configurations/dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd";

/// What a call must lead to.
enum Expect {
    /// Items, at least one.
    Some,
    /// No items: there is nothing of the kind in this version or in this site.
    None,
    /// Not found, as documented.
    Missing,
    /// An action that succeeds.
    Done(Value),
}

fn calls() -> BTreeMap<&'static str, (&'static str, Expect)> {
    use Expect::{Done, Missing, None, Some};
    BTreeMap::from([
        ("rootlinks.list", ("", Some)),
        ("specs.list", ("application.spec", Some)),
        ("builders.list", ("workers/1/builders", Some)),
        ("builders.get", ("masters/1/builders/1", Some)),
        ("builds.list", ("builds?complete=true&property=*", Some)),
        ("builds.get", ("builds/1", Some)),
        ("properties.get", ("builds/1/properties", Some)),
        ("properties.list", ("changes/1/properties_list?order=name", Some)),
        ("changes.list", ("builds/1/changes", Some)),
        ("changes.get", ("changes/1", Some)),
        ("steps.list", ("builders/quick/builds/1/steps", Some)),
        ("steps.get", ("steps/1", Some)),
        ("logs.list", ("steps/1/logs", Some)),
        ("logs.get", ("logs/1", Some)),
        ("logs.contents", ("logs/1/contents", Some)),
        ("logs.raw", ("logs/1/raw", Some)),
        ("logs.raw_inline", ("logs/1/raw_inline", Some)),
        ("logchunks.get", ("logchunks", Missing)),
        ("buildrequests.list", ("buildrequests", Some)),
        ("buildrequests.get", ("buildrequests/1", Some)),
        ("buildrequests.waiting", ("buildrequests/2/waiting", Some)),
        ("builds.waiting", ("builds/1/waiting", None)),
        ("buildsets.list", ("buildsets", Some)),
        ("buildsets.get", ("buildsets/1", Some)),
        ("sourcestamps.list", ("buildsets/1/sourcestamps", Some)),
        ("sourcestamps.get", ("sourcestamps/1", Some)),
        ("workers.list", ("builders/1/workers", Some)),
        ("workers.get", ("workers/w1", Some)),
        ("masters.list", ("builders/1/masters", Some)),
        ("masters.get", ("masters/1", Some)),
        ("master.get", ("master", Some)),
        ("configurations.list", ("configurations", Some)),
        ("configurations.get", (DIGEST_PATH, Some)),
        ("master.reload", ("master", Done(json!({})))),
        ("master.cancel_shutdown", ("master", Done(json!({})))),
        ("master.shutdown", ("master", Done(json!({ "wait": true })))),
        ("schedulers.list", ("masters/1/schedulers", Some)),
        ("schedulers.get", ("schedulers/1", Some)),
        ("forceschedulers.list", ("builders/1/forceschedulers", Some)),
        ("forceschedulers.get", ("forceschedulers/force", Some)),
        ("tryschedulers.list", ("tryschedulers", Some)),
        ("tryschedulers.get", ("tryschedulers/try", Some)),
        (
            "tryschedulers.try",
            ("tryschedulers/try", Done(json!({ "patch": "--- a" }))),
        ),
        ("changesources.list", ("changesources", None)),
        ("changesources.get", ("changesources/1", Missing)),
        (
            "forceschedulers.force",
            ("forceschedulers/force", Done(json!({ "builderNames": ["slow"] }))),
        ),
        ("builds.stop", ("builds/1", Done(json!({})))),
        ("builds.rebuild", ("builds/1", Done(json!({})))),
        ("buildrequests.cancel", ("buildrequests/1", Done(json!({})))),
        (
            "buildrequests.set_priority",
            ("buildrequests/2", Done(json!({ "priority": 5 }))),
        ),
        ("workers.pause", ("workers/1", Done(json!({ "reason": "r" })))),
        ("workers.unpause", ("workers/1", Done(json!({})))),
        ("workers.stop", ("workers/1", Done(json!({})))),
        ("workers.kill", ("workers/1", Done(json!({})))),
        (
            "schedulers.enable",
            ("schedulers/1", Done(json!({ "enabled": true }))),
        ),
        ("pipelines.list", ("pipelines?name=asks", Some)),
        ("pipelines.get", ("pipelines/1", Some)),
        ("pipelines.definition", ("pipelines/1/definition", Some)),
        ("runs.list", ("pipelines/1/runs", Some)),
        ("runs.get", ("runs/1", Some)),
        ("jobs.list", ("runs/1/jobs?state=awaiting_approval", Some)),
        ("jobs.get", ("runs/1/jobs/0", Some)),
        ("jobs.waiting", ("jobs/1/waiting", Some)),
        (
            "pipelines.start",
            (
                "pipelines/1",
                Done(json!({ "branch": "main", "properties": { "a": 1 } })),
            ),
        ),
        ("runs.stop", ("runs/1", Done(json!({ "reason": "r" })))),
        ("runs.retry", ("runs/1", Done(json!({})))),
        ("jobs.retry", ("jobs/1", Done(json!({})))),
        ("jobs.approve", ("jobs/4", Done(json!({})))),
        ("jobs.reject", ("jobs/5", Done(json!({})))),
        ("projects.list", ("projects", None)),
        ("projects.get", ("projects/1", Missing)),
        ("codebases.list", ("codebases", None)),
        ("codebases.get", ("codebases/1", Missing)),
        ("branches.list", ("codebases/1/branches", None)),
        ("branches.get", ("branches/1", Missing)),
        ("commits.list", ("codebases/1/commits", None)),
        ("commits.get", ("commits/1", Missing)),
        (
            "commit_graphs.get",
            ("codebases/1/commit_range/1/2/commits_common_parent", Missing),
        ),
        ("build_data.list", ("builds/1/data", None)),
        ("build_data.get", ("builds/1/data/x", Missing)),
        ("build_data.value", ("builds/1/data/x/value", Missing)),
        ("test_result_sets.list", ("test_result_sets", None)),
        ("test_result_sets.get", ("test_result_sets/1", Missing)),
        ("test_results.list", ("test_result_sets/1/results", None)),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_is_called() {
    let calls = calls();
    let known: BTreeSet<&str> = registry().methods().iter().map(|method| method.name).collect();
    assert_eq!(
        known,
        calls.keys().copied().collect(),
        "each method has a call here"
    );

    let site = Site::start().await;
    let worker = site.worker().await;
    let mut events = site.listen(&["builds/*/finished"]).await;
    let change = [
        ("author", "me"),
        ("branch", "main"),
        ("revision", "abc"),
        ("properties", "{\"p\": 1}"),
    ];
    site.hook("/change_hook/base", &change).send().await.unwrap();
    events.until("builds/1/finished").await;
    // Without its worker this request stays in the queue.
    worker.abort();
    site.call("workers/1", "pause", json!({})).await;
    assert_eq!(site.force("slow").await, 2);

    let (_, started) = site.call("pipelines/1", "start", json!({})).await;
    assert_eq!(started["result"], json!({ "runid": 1 }), "{started}");

    // In the order of the registry: reading first.
    for method in registry().methods() {
        let (path, expect) = &calls[method.name];
        let bare = split(path.split('?').next().unwrap());
        let path = if path.is_empty() {
            "/api/v2".to_owned()
        } else {
            format!("/api/v2/{path}")
        };
        let (found, request) = if let Kind::Control(action) = method.kind {
            let Expect::Done(params) = expect else {
                panic!("{} acts", method.name)
            };
            let post = site
                .request(Method::POST, &path)
                .bearer_auth(ADMIN)
                .json(&rpc(action, params.clone()));
            (registry().action(&bare, action).unwrap(), post)
        } else {
            let mut get = site.request(Method::GET, &path);
            if method.permission == Permission::Control {
                get = get.bearer_auth(ADMIN);
            }
            (registry().get(&bare).unwrap(), get)
        };
        assert_eq!(found.method.name, method.name, "{path} leads to the method");
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        if method.kind == Kind::Raw && status == 200 {
            assert!(text.starts_with("Builder: quick\n"), "{}: {text}", method.name);
            continue;
        }
        let body: Value = serde_json::from_str(&text).unwrap();
        match expect {
            Expect::Some => {
                assert_eq!(status, 200, "{}: {text}", method.name);
                assert!(
                    !body[method.resource.plural].as_array().unwrap().is_empty(),
                    "{}: {text}",
                    method.name
                );
            }
            Expect::None => {
                let mut empty = json!({ "meta": { "total": 0 } });
                empty[method.resource.plural] = json!([]);
                assert_eq!((status, body), (200, empty), "{}", method.name);
            }
            Expect::Missing => {
                assert_eq!(status, 404, "{}: {text}", method.name);
                assert!(body["error"].is_string());
            }
            Expect::Done(_) => {
                assert_eq!(status, 200, "{}: {text}", method.name);
                assert!(body.get("result").is_some(), "{}: {text}", method.name);
            }
        }
    }
    site.stop().await;
}
