//! The master itself: reloaded, asked to stop, and spoken to through its socket.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use ironmaster_api::SOCKET;
use ironmaster_master::{Findings, Leave};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use crate::support::{READER, Site, plan, rpc};

/// Sends a request through the socket; gives the status and the body.
async fn locally(dir: &Path, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut stream = UnixStream::connect(dir.join(SOCKET)).await.unwrap();
    let request = format!(
        "{method} /api/v2/{path} HTTP/1.0\r\nAuthorization: Bearer nonsense\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_is_all_or_nothing_and_remembered() {
    let site = Site::start().await;
    let found = json!({ "severity": "error", "code": "unknown_key", "message": "no such key" });
    *site.config.0.lock().unwrap() = Err(Findings {
        text: "error: no such key".into(),
        list: vec![found.clone()],
    });
    let (status, answer) = site.call("master", "reload", json!({})).await;
    assert_eq!(
        (status, &answer["error"]["data"]),
        (400, &json!([found])),
        "{answer}"
    );
    assert_eq!(answer["error"]["message"], "error: no such key");
    assert!(
        site.items("builders")
            .await
            .iter()
            .any(|builder| builder["name"] == "slow")
    );

    let mut next = plan();
    next.digest = "e".repeat(64);
    next.builders.remove("a/b c");
    for scheduler in next.schedulers.values_mut() {
        scheduler.builders.retain(|builder| builder != "a/b c");
    }
    *site.config.0.lock().unwrap() = Ok(next);
    let body = rpc("reload", json!({})).to_string();
    let (status, answer) = locally(site.dir.path(), "POST", "master", &body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["result"]["changed"], true);
    assert_eq!(answer["result"]["next_start"], json!(["`listen` in [master]"]));
    let (_, again) = site.call("master", "reload", json!({})).await;
    assert_eq!(again["result"]["changed"], false);

    let history = site.items("configurations").await;
    let shown: Vec<(&Value, &Value, &Value)> = history
        .iter()
        .map(|entry| (&entry["digest"], &entry["via"], &entry["in_force"]))
        .collect();
    assert_eq!(
        shown,
        [
            (&json!("d".repeat(64)), &json!("start"), &json!(false)),
            (&json!("e".repeat(64)), &json!("cli"), &json!(true)),
        ]
    );
    assert_eq!(site.item("master").await["config"], "e".repeat(64));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_builds_and_can_be_cancelled() {
    let site = Site::start().await;
    let worker = site.worker().await;
    let mut events = site
        .listen(&["builds/*/new", "builds/*/finished", "masters/*/updated"])
        .await;
    site.force("slow").await;
    events.until("builds/1/new").await;
    let call = async |method, params| site.call("master", method, params).await.0;
    assert_eq!(call("shutdown", json!({ "wait": true, "now": true })).await, 400);
    assert_eq!(call("shutdown", json!({ "wait": true })).await, 200);
    events.until("masters/1/updated").await;

    let status = site.item("master").await;
    assert_eq!(
        (&status["condition"], &status["draining_by"]),
        (&json!("draining"), &json!("admin"))
    );
    assert_eq!(status["running"][0]["builder"], "slow");
    let request = site.force("quick").await;
    let why = site.item(&format!("buildrequests/{request}/waiting")).await;
    assert!(
        why["why"].as_str().unwrap().contains("the master is stopping"),
        "{why}"
    );

    // What was asked for meanwhile was kept, and starts when the stop is cancelled.
    assert_eq!(call("cancel_shutdown", json!({})).await, 200);
    events.until("builds/2/finished").await;
    assert_eq!(site.item("master").await["condition"], "serving");

    assert_eq!(call("shutdown", json!({ "wait": true })).await, 200);
    site.call("builds/1", "stop", json!({})).await;
    assert_eq!(site.master.leaving().await, Leave::Soon);
    assert_eq!(site.item("master").await["condition"], "stopping");
    assert_eq!(call("cancel_shutdown", json!({})).await, 409, "it is too late");
    worker.abort();
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_for_its_owner_and_everybody_else_needs_a_role() {
    let site = Site::start().await;
    let mode = std::fs::metadata(site.dir.path().join(SOCKET))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    // Who may open it needs no token, and a wrong one does no harm.
    let body = rpc("cancel_shutdown", json!({})).to_string();
    assert_eq!(locally(site.dir.path(), "POST", "master", &body).await.0, 200);
    assert_eq!(locally(site.dir.path(), "GET", "builders", "").await.0, 200);
    for method in ["reload", "shutdown", "cancel_shutdown"] {
        for token in [None, Some(READER)] {
            let mut post = site
                .request(Method::POST, "/api/v2/master")
                .json(&rpc(method, json!({})));
            if let Some(token) = token {
                post = post.bearer_auth(token);
            }
            assert_eq!(post.send().await.unwrap().status(), 403, "{method} {token:?}");
        }
    }
    let path = format!("configurations/{}", "d".repeat(64));
    assert_eq!(site.get(&path).await.0, 403);
    let socket = site.dir.path().join(SOCKET);
    site.master.stop().await;
    assert!(socket.exists());
    let Site { server, dir, .. } = site;
    server.stop().await;
    assert!(!socket.exists(), "it goes with its server");
    drop(dir);
}
