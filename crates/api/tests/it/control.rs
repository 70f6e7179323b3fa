//! Actions by JSON-RPC.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{ADMIN, Site, json_of, rpc};

#[tokio::test(flavor = "multi_thread")]
async fn the_envelope_is_checked_as_documented() {
    let site = Site::start().await;
    let post = async |path: &str, content_type: &str, body: &str| {
        let request = site
            .request(Method::POST, path)
            .bearer_auth(ADMIN)
            .header("Content-Type", content_type);
        let response = request.body(body.to_owned()).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/json");
        (response.status().as_u16(), json_of(response).await)
    };
    let json_type = "application/json; charset=utf-8";
    let stop = r#"{"jsonrpc":"2.0","method":"stop","id":"x","params":{}}"#;
    for (path, content_type, body, status, code) in [
        ("/api/v2/builds/1", "text/plain", stop, 400, -32600),
        ("/api/v2/builds/1", json_type, "{", 400, -32700),
        ("/api/v2/builds/1", json_type, "[]", 400, -32600),
        (
            "/api/v2/builds/1",
            json_type,
            r#"{"jsonrpc":"2.0","method":"stop","id":1}"#,
            400,
            -32600,
        ),
        ("/api/v2/nosuch", json_type, stop, 404, -32600),
        (
            "/api/v2/builds/1",
            json_type,
            r#"{"jsonrpc":"2.0","method":"nope","id":1,"params":{}}"#,
            501,
            -32601,
        ),
        ("/api/v2/masters/1", json_type, stop, 501, -32601),
        ("/api/v2/builds/99", json_type, stop, 404, -32600),
        (
            "/api/v2/forceschedulers/none",
            json_type,
            r#"{"jsonrpc":"2.0","method":"force","id":1,"params":{}}"#,
            404,
            -32600,
        ),
    ] {
        let (said, answer) = post(path, content_type, body).await;
        assert_eq!(
            (said, &answer["error"]["code"]),
            (status, &json!(code)),
            "{path} {body}: {answer}"
        );
        assert_eq!(answer["jsonrpc"], "2.0");
    }
    let (_, answer) = post(
        "/api/v2/builds/1",
        json_type,
        r#"{"jsonrpc":"2.0","method":"nope","id":7,"params":{}}"#,
    )
    .await;
    assert_eq!(answer["error"]["message"], "action: nope is not supported");
    assert_eq!(answer["id"], 7);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_are_checked_and_forced() {
    let site = Site::start().await;
    let (status, answer) = site
        .call(
            "forceschedulers/force",
            "force",
            json!({ "builderid": 1, "count": "abc" }),
        )
        .await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (400, &json!(-32602)),
        "{answer}"
    );
    assert!(answer["error"]["message"]["count"].is_string(), "{answer}");

    let params = json!({ "builderNames": ["quick", "slow"], "count": "7", "reason": "try it", "owner": "somebody else" });
    let (status, answer) = site.call("forceschedulers/force", "force", params).await;
    assert_eq!(status, 200, "{answer}");
    let buildset = answer["result"][0].as_u64().unwrap();
    assert_eq!(answer["result"][1].as_object().unwrap().len(), 2);
    let properties = site.item(&format!("buildsets/{buildset}/properties")).await;
    assert_eq!(properties["count"], json!([7, "Force Build Form"]));
    assert_eq!(
        properties["owner"][0], "admin",
        "who is logged in counts, not what is said"
    );
    assert_eq!(
        site.item(&format!("buildsets/{buildset}")).await["reason"],
        "A build was forced by 'admin': try it"
    );
    let request = answer["result"][1]
        .as_object()
        .unwrap()
        .values()
        .next()
        .unwrap()
        .clone();
    assert_eq!(
        site.item(&format!("buildrequests/{request}/properties")).await,
        properties
    );
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_makes_a_call_act_once() {
    let site = Site::start().await;
    let force = async |key: &str, id: u64, count: u64| {
        let mut body = rpc("force", json!({ "builderid": 1, "count": count }));
        body["id"] = id.into();
        let request = site
            .request(Method::POST, "/api/v2/forceschedulers/force")
            .bearer_auth(ADMIN);
        let response = request
            .header("Idempotency-Key", key)
            .json(&body)
            .send()
            .await
            .unwrap();
        (response.status().as_u16(), json_of(response).await)
    };
    let (_, first) = force("k1", 1, 1).await;
    let (_, again) = force("k1", 2, 1).await;
    assert_eq!(first["result"], again["result"]);
    assert_eq!(again["id"], 2, "the envelope is that of the second call");
    let (_, other) = force("k2", 1, 1).await;
    assert_ne!(first["result"], other["result"]);
    assert_eq!(force("k1", 1, 2).await.0, 409, "a key names one call");
    assert_eq!(site.items("buildsets").await.len(), 2);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_workers_and_schedulers_are_controlled() {
    let site = Site::start().await;
    let ok = async |path: &str, method: &str, params: Value| {
        let (status, answer) = site.call(path, method, params).await;
        assert_eq!(
            (status, answer.get("result")),
            (200, Some(&Value::Null)),
            "{path} {method}: {answer}"
        );
    };
    let request = site.force("quick").await;
    let path = format!("buildrequests/{request}");
    ok(&path, "set_priority", json!({ "priority": 9 })).await;
    assert_eq!(site.item(&path).await["priority"], 9);
    let (status, answer) = site
        .call(&path, "set_priority", json!({ "priority": "high" }))
        .await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(-32602)));
    let (status, answer) = site.call(&path, "set_priority", json!({})).await;
    assert_eq!(
        (status, &answer["error"]["message"]["priority"]),
        (400, &json!("'priority' is required"))
    );
    let waiting = site.items(&format!("{path}/waiting")).await;
    assert_eq!(
        (waiting.len(), &waiting[0]["why"]),
        (1, &json!("none of its workers has room (not connected: w1)")),
        "{waiting:?}"
    );
    assert_eq!(waiting[0]["remedy"], "it starts when w1 connects");
    ok(&path, "cancel", json!({ "reason": "no more" })).await;
    assert!(site.items(&format!("{path}/waiting")).await.is_empty());
    let cancelled = site.item(&path).await;
    assert_eq!(
        (&cancelled["complete"], &cancelled["results"]),
        (&json!(true), &json!(6))
    );
    ok(&path, "cancel", json!({})).await;
    assert_eq!(
        site.call(&path, "set_priority", json!({ "priority": 1 })).await.0,
        409
    );

    ok("workers/w1", "pause", json!({ "reason": "maintenance" })).await;
    let worker = site.item("workers/1").await;
    assert_eq!(
        (&worker["paused"], &worker["pause_reason"]),
        (&json!(true), &json!("maintenance"))
    );
    ok("workers/1", "unpause", json!({})).await;
    let worker = site.item("workers/1").await;
    assert_eq!(
        (&worker["paused"], &worker["pause_reason"]),
        (&json!(false), &Value::Null)
    );
    ok("workers/1", "stop", json!({})).await;
    ok("workers/1", "kill", json!({})).await;
    let worker = site.item("workers/1").await;
    assert_eq!(
        (&worker["graceful"], &worker["killed"], &worker["missing"]),
        (&json!(true), &json!(true), &json!(false))
    );
    assert_eq!(site.call("workers/none", "pause", json!({})).await.0, 404);

    ok("schedulers/1", "enable", json!({ "enabled": false })).await;
    assert_eq!(site.item("schedulers/1").await["enabled"], false);
    assert_eq!(
        site.call("schedulers/1", "enable", json!({ "enabled": 1 }))
            .await
            .0,
        400
    );
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_is_stopped_and_built_again() {
    let site = Site::start().await;
    let _worker = site.worker().await;
    let mut events = site.listen(&["builds/*/*"]).await;
    site.force("slow").await;
    events.until("builds/1/new").await;
    let (status, _) = site
        .call("builders/slow/builds/1", "stop", json!({ "reason": "bye" }))
        .await;
    assert_eq!(status, 200);
    assert_eq!(events.until("builds/1/finished").await["results"], 6);
    let (status, answer) = site.call("builds/1", "stop", json!({})).await;
    assert_eq!(
        (status, &answer["result"]),
        (200, &Value::Null),
        "stopping what is over is no mistake"
    );

    let (status, answer) = site.call("builds/1", "rebuild", json!({})).await;
    assert_eq!(status, 200, "{answer}");
    let set = site.item(&format!("buildsets/{}", answer["result"][0])).await;
    assert_eq!(
        (&set["reason"], &set["rebuilt_buildid"]),
        (&json!("rebuild"), &json!(1))
    );
    events.until("builds/2/new").await;
    assert_eq!(site.call("builds/99", "rebuild", json!({})).await.0, 404);
    site.stop().await;
}
