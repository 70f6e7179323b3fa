//! Patches that are tried over the API.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{ADMIN, READER, Site, TESTER, json_of, rpc};

const PATH: &str = "/api/v2/tryschedulers/try";

async fn try_as(site: &Site, user: Option<(&str, &str)>, params: Value) -> (u16, Value) {
    let request = site.request(Method::POST, PATH);
    let request = match user {
        Some((name, password)) => request.basic_auth(name, Some(password)),
        None => request,
    };
    let response = request.json(&rpc("try", params)).send().await.unwrap();
    (response.status().as_u16(), json_of(response).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_the_scheduler_tries_a_patch() {
    let site = Site::start().await;
    let patch = "--- a/x\n+++ b/x\n";
    let params = json!({
        "jobid": "job-1", "branch": "main", "revision": "abc", "patch": patch, "patch_level": 0, "repository": "repo",
        "comment": "why", "builderNames": ["quick"], "properties": { "a": 1 },
    });
    let (status, answer) = try_as(&site, Some(("ann", TESTER)), params).await;
    assert_eq!(status, 200, "{answer}");
    let (buildset, requests) = (&answer["result"][0], &answer["result"][1]);
    assert_eq!(requests.as_object().unwrap().len(), 1);
    let buildset = site.item(&format!("buildsets/{buildset}")).await;
    assert_eq!(buildset["reason"], "'try' job by user ann (why)");
    assert_eq!(buildset["external_idstring"], "job-1");
    let stamp = &buildset["sourcestamps"][0];
    for (field, expected) in [("branch", "main"), ("revision", "abc"), ("repository", "repo")] {
        assert_eq!(stamp[field], expected, "{stamp}");
    }
    assert_eq!(stamp["patch"]["body"], patch);
    assert_eq!(stamp["patch"]["level"], 0);
    let properties = site
        .item(&format!("buildsets/{}/properties", buildset["bsid"]))
        .await;
    assert_eq!(properties["a"], json!([1, "try build"]));
    assert_eq!(properties["owner"], json!(["ann", "try build"]));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_may_and_a_password_is_good_for_nothing_else() {
    let site = Site::start().await;
    for user in [
        None,
        Some(("ann", "guess")),
        Some(("bob", TESTER)),
        Some(("", "")),
    ] {
        let (status, answer) = try_as(&site, user, json!({})).await;
        assert!(matches!(status, 401 | 403), "{user:?}: {answer}");
    }
    let reader = site.request(Method::POST, PATH).bearer_auth(READER);
    let response = reader.json(&rpc("try", json!({}))).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 403);
    let force = site
        .request(Method::POST, "/api/v2/forceschedulers/force")
        .basic_auth("ann", Some(TESTER));
    let response = force.json(&rpc("force", json!({}))).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 403);
    assert_eq!(site.items("buildsets").await.len(), 0);
    let (status, answer) = site
        .call("tryschedulers/try", "try", json!({ "properties": 1 }))
        .await;
    assert_eq!(status, 400, "{answer}");
    let (status, answer) = site
        .call("tryschedulers/try", "try", json!({ "builderNames": ["slow"] }))
        .await;
    assert_eq!(status, 400, "{answer}");
    assert!(answer.to_string().contains("cannot build slow"), "{answer}");
    let (status, _) = site.call("tryschedulers/force", "try", json!({})).await;
    assert_eq!(status, 404);
    let large = json!({ "patch": "x".repeat(200 * 1024) });
    let (status, answer) = try_as(&site, Some(("ann", TESTER)), large).await;
    assert_eq!(status, 200, "a patch may be long: {answer}");
    let admin = site.request(Method::POST, PATH).bearer_auth(ADMIN);
    let response = admin.json(&rpc("try", json!({}))).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    let shown = site.item("tryschedulers/try").await;
    assert_eq!(
        shown,
        json!({ "name": "try", "builder_names": ["quick"], "enabled": true, "refused": [] })
    );
    site.stop().await;
}
