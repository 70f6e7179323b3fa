//! `/change_hook/base`.

use reqwest::Method;
use sha2::{Digest, Sha256};

use crate::support::Site;

#[tokio::test(flavor = "multi_thread")]
async fn forms_and_queries_become_changes() {
    let site = Site::start().await;
    let form = [
        ("who", "me <me@example.org>"),
        ("comments", "fix\nit"),
        ("branch", "other"),
        ("revision", "r 1"),
        ("files", "[\"a.c\", \"b.c\"]"),
        ("properties", "{\"p\": [1, 2]}"),
        ("when", "1700000000.5"),
    ];
    let response = site
        .hook("/change_hook/base?project=from-query", &form)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/html");
    assert_eq!(response.text().await.unwrap(), "1 change found");
    let change = site.item("changes/1").await;
    assert_eq!(change["author"], "me <me@example.org>");
    assert_eq!(change["files"], serde_json::json!(["a.c", "b.c"]));
    assert_eq!(change["project"], "from-query");
    assert_eq!(change["when_timestamp"], 1_700_000_000);
    assert_eq!(change["properties"]["p"], serde_json::json!([[1, 2], "Change"]));
    // Buildbot treats GET the same, and an empty dialect is `base`.
    let response = site
        .http
        .get(site.url("/change_hook?author=x&branch=y"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(site.items("changes").await.len(), 2);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said() {
    let site = Site::start_with(|settings| settings.limits.hook_body_bytes = 10_000).await;
    let hook = |method: Method, path: &str| site.http.request(method, site.url(path));
    for (request, status) in [
        (site.hook("/change_hook/github", &[("author", "x")]), 400),
        (
            site.hook("/change_hook/base", &[("author", "x"), ("files", "no json")]),
            400,
        ),
        (
            hook(Method::POST, "/change_hook/base").json(&serde_json::json!({"author": "x"})),
            400,
        ),
        (
            site.hook("/change_hook/base", &[("author", &"x".repeat(20_000))]),
            413,
        ),
        (hook(Method::PUT, "/change_hook/base"), 501),
        (
            hook(Method::GET, "/change_hook/base?author=x").header("Origin", "http://evil.example"),
            400,
        ),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status);
        if status == 400 {
            assert!(response.text().await.unwrap().len() > 10, "a reason is given");
        }
    }
    assert_eq!(site.items("changes").await.len(), 0);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_can_be_kept_to_those_with_a_token() {
    let sha256 = hex::encode(Sha256::digest("hook-token"));
    let site = Site::start_with(|settings| settings.hook_token_sha256 = Some(sha256)).await;
    let hook = || site.hook("/change_hook/base", &[("author", "x")]);
    let refused = hook().send().await.unwrap();
    assert_eq!(refused.status(), 401);
    assert_eq!(
        refused.headers()["www-authenticate"],
        "Basic realm=\"Protected area\""
    );
    assert_eq!(
        hook()
            .basic_auth("any", Some("wrong"))
            .send()
            .await
            .unwrap()
            .status(),
        401
    );
    assert_eq!(
        hook()
            .basic_auth("any", Some("hook-token"))
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    assert_eq!(
        hook().bearer_auth("hook-token").send().await.unwrap().status(),
        200
    );
    site.stop().await;
}
