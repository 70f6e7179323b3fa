//! The server itself: health, files, bounds.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{connect_async, tungstenite::Message};

use crate::support::{Site, json_of};

#[tokio::test(flavor = "multi_thread")]
async fn health_is_more_than_an_open_port() {
    let site = Site::start().await;
    let response = site.request(Method::GET, "/healthz").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let body = json_of(response).await;
    assert_eq!(body["condition"], "serving");
    assert!(body["last_event"].as_u64().unwrap() > 0);
    site.master.stop().await;
    let response = site.request(Method::GET, "/healthz").send().await.unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(json_of(response).await["condition"], "stopping");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_can_replace_the_pages() {
    let ui = tempfile::tempdir().unwrap();
    let index = "<html><head><!-- BUILDBOT_CONFIG_PLACEHOLDER --></head></html>";
    std::fs::write(ui.path().join("index.html"), index).unwrap();
    std::fs::create_dir(ui.path().join("assets")).unwrap();
    std::fs::write(ui.path().join("assets/app-1234.js"), "js").unwrap();
    let site = Site::start_with(|settings| settings.ui_dir = Some(ui.path().to_owned())).await;
    let page = site.http.get(site.url("/")).send().await.unwrap();
    assert_eq!(page.headers()["cache-control"], "public,max-age=0");
    let page = page.text().await.unwrap();
    assert!(
        page.contains("window.buildbotFrontendConfig = {") && page.contains("\"auth\":{\"name\":\"Token\"}"),
        "{page}"
    );
    let asset = site
        .http
        .get(site.url("/assets/app-1234.js"))
        .send()
        .await
        .unwrap();
    assert_eq!(asset.headers()["content-type"], "text/javascript; charset=utf-8");
    assert!(
        asset.headers()["cache-control"]
            .to_str()
            .unwrap()
            .contains("immutable")
    );
    let tag = asset.headers()["etag"].clone();
    let again = site
        .http
        .get(site.url("/assets/app-1234.js"))
        .header("If-None-Match", tag)
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), 304);
    for path in ["/nosuch", "/%2e%2e/%2e%2e/etc/passwd", "/assets/none.js"] {
        assert_eq!(
            site.http.get(site.url(path)).send().await.unwrap().status(),
            404,
            "{path}"
        );
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_a_page_without_any_setting() {
    let site = Site::start().await;
    let page = site.http.get(site.url("/")).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(
        page.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("script-src 'self' 'nonce-")
    );
    assert!(page.text().await.unwrap().contains("Ironmaster"));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_and_bodies_have_bounds() {
    let site = Site::start_with(|settings| {
        settings.limits.head_time = Duration::from_millis(200);
    })
    .await;
    let mut slow = TcpStream::connect(site.address).await.unwrap();
    slow.write_all(b"GET /api/v2/builders HTTP/1.1\r\nHost: x\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
        "the connection ends: {answer}"
    );
    site.stop().await;

    // Here a head may take its time.
    let site = Site::start_with(|settings| settings.limits.anonymous_body_bytes = 1000).await;
    let large = site
        .request(Method::POST, "/api/v2/builds/1")
        .header("Content-Type", "application/json");
    let large = large.body("x".repeat(2000)).send().await.unwrap();
    assert_eq!(large.status(), 413);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_frames_too_large_is_cut_off_alone() {
    let site = Site::start().await;
    let _worker = site.worker().await;
    let (mut socket, _) = connect_async(format!("ws://{}/worker", site.address))
        .await
        .unwrap();
    // The other end may close before it has taken everything.
    let _ = socket.send(Message::text("x".repeat(2 * 1024 * 1024))).await;
    while let Some(Ok(message)) = socket.next().await {
        if matches!(message, Message::Close(_)) {
            break;
        }
    }
    let connected = site.item("workers/1").await["connected_to"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(connected, 1, "the real worker is still there");
    site.stop().await;
}
