//! Who may do what.

use ironmaster_api::{
    Reading, registry,
    registry::{Kind, Permission},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{ADMIN, READER, Site, json_of, rpc};

/// A path of the method with something for every capture.
fn sample(path: &str) -> String {
    let element = |element: &str| match element.split_once(':') {
        Some(("n", _)) => "1".to_owned(),
        Some((_, _)) => "x".to_owned(),
        None => element.to_owned(),
    };
    path.split('/').map(element).collect::<Vec<_>>().join("/")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_control_is_refused_without_the_role() {
    let site = Site::start().await;
    let mut refused = 0;
    for method in registry().methods() {
        let Kind::Control(action) = method.kind else {
            continue;
        };
        for path in method.paths {
            let post = |token: Option<&str>| {
                let request = site.request(Method::POST, &format!("/api/v2/{}", sample(path)));
                let request = match token {
                    Some(token) => request.bearer_auth(token),
                    None => request,
                };
                request.json(&rpc(action, json!({}))).send()
            };
            for token in [None, Some(READER)] {
                let response = post(token).await.unwrap();
                assert_eq!(response.status(), 403, "{action} {path} {token:?}");
                let message = json_of(response).await["error"]["message"].clone();
                assert_eq!(message, "you need to have role 'admin'");
                refused += 1;
            }
        }
    }
    let wrong = site
        .request(Method::POST, "/api/v2/builds/1")
        .bearer_auth("wrong")
        .json(&rpc("stop", json!({})));
    assert_eq!(wrong.send().await.unwrap().status(), 401);
    assert!(refused > 40);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_can_be_kept_to_those_who_log_in() {
    let site = Site::start_with(|settings| settings.reading = Reading::LoggedIn).await;
    for method in registry().methods() {
        if method.permission != Permission::Read {
            continue;
        }
        for path in method.paths {
            let path = if path.is_empty() {
                "/api/v2".to_owned()
            } else {
                format!("/api/v2/{}", sample(path))
            };
            let response = site.request(Method::GET, &path).send().await.unwrap();
            assert_eq!(response.status(), 403, "{path}");
        }
    }
    let response = site.request(Method::GET, "/api/v2/builds").send().await.unwrap();
    assert_eq!(
        json_of(response).await,
        json!({ "error": "you need to have role 'reader'" })
    );
    let response = site
        .request(Method::GET, "/api/v2/builds")
        .bearer_auth(READER)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    for path in ["/api/methods", "/sse/listen"] {
        assert_eq!(
            site.request(Method::GET, path).send().await.unwrap().status(),
            403,
            "{path}"
        );
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_buys_a_session() {
    let site = Site::start().await;
    let log_in = |token: &str| {
        site.request(Method::POST, "/auth/token")
            .json(&json!({ "token": token }))
            .send()
    };
    let wrong = log_in("wrong").await.unwrap();
    assert_eq!(wrong.status(), 401);
    assert!(!wrong.headers().contains_key("set-cookie"));
    let right = log_in(ADMIN).await.unwrap();
    let cookie = right.headers()["set-cookie"]
        .to_str()
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    assert_eq!(json_of(right).await["user"]["username"], "admin");

    let user = async |cookie: &str| -> Value {
        let response = site
            .request(Method::GET, "/auth/user")
            .header("Cookie", cookie)
            .send()
            .await
            .unwrap();
        json_of(response).await
    };
    assert_eq!(
        user(&cookie).await["may"],
        json!({ "read": true, "control": true })
    );
    assert_eq!(user("").await["may"], json!({ "read": true, "control": false }));
    let pause = |origin: Option<String>| {
        let request = site
            .request(Method::POST, "/api/v2/workers/1")
            .header("Cookie", &cookie);
        let request = match origin {
            Some(origin) => request.header("Origin", origin),
            None => request,
        };
        request.json(&rpc("pause", json!({}))).send()
    };
    assert_eq!(
        pause(Some("http://evil.example".into())).await.unwrap().status(),
        400,
        "another site's page"
    );
    assert_eq!(pause(Some(site.url(""))).await.unwrap().status(), 200);
    let form = site
        .request(Method::POST, "/api/v2/workers/1")
        .header("Cookie", &cookie);
    let form = form
        .header("Content-Type", "text/plain")
        .body(rpc("pause", json!({})).to_string());
    assert_eq!(
        form.send().await.unwrap().status(),
        400,
        "what a form could send is refused"
    );

    let out = site
        .request(Method::POST, "/auth/logout")
        .header("Cookie", &cookie)
        .send()
        .await
        .unwrap();
    assert_eq!(out.status(), 200);
    assert_eq!(
        user(&cookie).await["may"]["control"],
        false,
        "the cookie is worth nothing any more"
    );
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_stay_on_the_site() {
    let site = Site::start().await;
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    for (path, location) in [
        ("/auth/login", "#/"),
        ("/auth/login?redirect=/builders/3", "#/builders/3"),
        (
            "/auth/logout?redirect=https://evil.example",
            "#https://evil.example",
        ),
    ] {
        let response = client.get(site.url(path)).send().await.unwrap();
        assert_eq!(response.status(), 302);
        assert_eq!(
            response.headers()["location"].to_str().unwrap(),
            format!("{}{location}", site.url("/"))
        );
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_origins_are_refused_and_listed_ones_told_so() {
    let site = Site::start_with(|settings| settings.origins = vec!["https://*.example.net".into()]).await;
    let ask = async |method: Method, origin: &str| {
        let request = site.request(method, "/api/v2/builders").header("Origin", origin);
        request
            .header("Access-Control-Request-Method", "POST")
            .send()
            .await
            .unwrap()
    };
    let refused = ask(Method::GET, "https://evil.example").await;
    assert_eq!(refused.status(), 400);
    assert_eq!(json_of(refused).await, json!({ "error": "invalid origin" }));
    let allowed = ask(Method::OPTIONS, "https://a.example.net").await;
    assert_eq!(allowed.status(), 200);
    assert_eq!(
        allowed.headers()["access-control-allow-origin"],
        "https://a.example.net"
    );
    assert_eq!(allowed.headers()["access-control-max-age"], "3600");
    assert_eq!(allowed.text().await.unwrap(), "");
    let wrong = site
        .request(Method::OPTIONS, "/api/v2/builders")
        .header("Origin", "https://a.example.net");
    let wrong = wrong
        .header("Access-Control-Request-Method", "DELETE")
        .send()
        .await
        .unwrap();
    assert_eq!(json_of(wrong).await, json!({ "error": "invalid method" }));
    site.stop().await;
}
