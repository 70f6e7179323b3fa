//! `/ws` and `/sse`.

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::{connect_async, tungstenite::Message};

use crate::support::Site;

#[tokio::test(flavor = "multi_thread")]
async fn a_build_is_told_in_order_with_full_items() {
    let site = Site::start().await;
    let _worker = site.worker().await;
    let mut events = site
        .listen(&[
            "buildsets/*/*",
            "buildrequests/*/*",
            "builds/*/*",
            "builds/*/steps/*/*",
            "logs/*/*",
            "steps/*/logs/*/*",
            "builders/*/builds/*/*",
            "builds/*/properties/*",
        ])
        .await;
    site.force("quick").await;
    let last = events.until("buildsets/1/complete").await;
    assert_eq!(
        last,
        site.item("buildsets/1").await,
        "the item is what a GET answers"
    );

    let seen = |topic: &str| {
        events
            .seen
            .iter()
            .position(|heard| heard == topic)
            .unwrap_or_else(|| panic!("{topic} not in {:?}", events.seen))
    };
    let order = [
        "buildsets/1/new",
        "buildrequests/1/new",
        "buildrequests/1/claimed",
        "builds/1/new",
        "builds/1/steps/1/new",
        "builds/1/steps/1/started",
        "logs/1/new",
        "logs/1/finished",
        "builds/1/steps/1/finished",
        "builds/1/finished",
        "buildrequests/1/complete",
        "buildsets/1/complete",
    ];
    let places: Vec<usize> = order.iter().map(|topic| seen(topic)).collect();
    assert!(places.is_sorted(), "{:?}", events.seen);
    assert!(
        events
            .seen
            .iter()
            .any(|heard| heard.ends_with("/builds/1/finished") && heard.starts_with("builders/"))
    );
    assert!(
        events
            .seen
            .iter()
            .any(|heard| heard == "steps/1/logs/stdio/finished")
    );
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_buildsets_name_their_scheduler_and_changes_are_told() {
    let site = Site::start().await;
    let mut events = site.listen(&["changes/*/new", "buildsets/*/new"]).await;
    let form = [
        ("author", "me"),
        ("branch", "main"),
        ("revision", "abc"),
        ("comments", "c"),
    ];
    site.hook("/change_hook/base", &form).send().await.unwrap();
    let change = events.until("changes/1/new").await;
    assert_eq!(change, site.item("changes/1").await);
    assert_eq!(events.until("buildsets/1/new").await["scheduler"], "main");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_answered_and_the_socket_stays() {
    let site = Site::start().await;
    let mut listener = site.listen(&["builds/*/*"]).await;
    for (frame, code) in [
        ("no json", 400),
        ("[]", 400),
        (r#"{"cmd":"bogus","_id":1}"#, 404),
        (r#"{"cmd":"stopConsuming","path":"never/*","_id":2}"#, 400),
        (r#"{"cmd":"stopConsuming","path":"builds/*/*","_id":3}"#, 200),
        (r#"{"cmd":"ping","_id":"four"}"#, 200),
    ] {
        listener.socket.send(Message::text(frame)).await.unwrap();
        assert_eq!(listener.frame().await["code"], code, "{frame}");
    }
    listener
        .socket
        .send(Message::text("x".repeat(100_000)))
        .await
        .unwrap();
    let closed = loop {
        match listener.socket.next().await {
            Some(Ok(Message::Close(frame))) => break frame.is_some(),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => break true,
        }
    };
    assert!(closed, "a frame that is too large ends the connection");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_requests_and_strangers_are_turned_away() {
    let site = Site::start_with(|settings| settings.reading = ironmaster_api::Reading::LoggedIn).await;
    assert_eq!(site.http.get(site.url("/ws")).send().await.unwrap().status(), 426);
    assert_eq!(
        site.http.get(site.url("/worker")).send().await.unwrap().status(),
        426
    );
    let refused = connect_async(format!("ws://{}/ws", site.address))
        .await
        .unwrap_err();
    let tokio_tungstenite::tungstenite::Error::Http(response) = refused else {
        panic!("{refused}")
    };
    assert_eq!(response.status(), 403);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_says_goodbye() {
    let site = Site::start().await;
    let mut listener = site.listen(&["builds/*/*"]).await;
    let stop = tokio::spawn(site.stop());
    let frame = loop {
        if let Message::Close(frame) = listener.socket.next().await.unwrap().unwrap() {
            break frame.unwrap();
        }
    };
    assert_eq!(frame.reason, "the master is stopping");
    stop.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn server_sent_events_are_the_same_events() {
    let site = Site::start().await;
    let mut stream = site
        .http
        .get(site.url("/sse/listen/changes/*/new"))
        .send()
        .await
        .unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    while !text.contains("\n\n") {
        text.push_str(std::str::from_utf8(&stream.chunk().await.unwrap().unwrap()).unwrap());
    }
    let id = text
        .lines()
        .nth(1)
        .unwrap()
        .strip_prefix("data: ")
        .unwrap()
        .to_owned();
    assert!(text.starts_with("event: handshake\n"));
    let status = async |path: String| {
        site.http
            .get(site.url(&path))
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(status(format!("/sse/add/{id}/buildsets/*/new")).await, 200);
    assert_eq!(status(format!("/sse/remove/{id}/never/*")).await, 404);
    assert_eq!(status("/sse/add/unknown/buildsets/*/new".into()).await, 400);
    let form = [("author", "me"), ("branch", "main"), ("revision", "abc")];
    site.hook("/change_hook/base", &form).send().await.unwrap();
    text.clear();
    while text.matches("\n\n").count() < 2 {
        text.push_str(std::str::from_utf8(&stream.chunk().await.unwrap().unwrap()).unwrap());
    }
    let keys: Vec<serde_json::Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str::<serde_json::Value>(data).unwrap()["key"].take())
        .collect();
    assert_eq!(
        keys,
        [json!(["changes", "1", "new"]), json!(["buildsets", "1", "new"])]
    );
    drop(stream);
    site.stop().await;
}
