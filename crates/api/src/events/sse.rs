//! Server-sent events (section 10 of `docs/reference/rest-api-v2.md`): the same events as `/ws`, for clients that only speak
//! plain HTTP. Topics of an open stream are changed by further requests that name the stream's id.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, Response as HttpResponse, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;

use super::{
    hub::{Subscriber, Subscription},
    pattern::TopicPattern,
};
use crate::{
    app::{Client, Shared},
    registry::Permission,
    rest::error_response,
};

/// A comment is sent after so much silence, so that a connection that is gone is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Open streams by id.
#[derive(Clone, Debug, Default)]
pub struct Streams(Arc<Mutex<BTreeMap<String, Subscription>>>);

impl Streams {
    fn find(&self, id: &str) -> Option<Subscription> {
        self.0
            .lock()
            .expect("no panic while holding the lock")
            .get(id)
            .cloned()
    }
}

/// `/sse`, `/sse/listen`: a stream without topics.
pub async fn listen(State(app): State<Shared>, client: Client, headers: HeaderMap) -> Response {
    open(&app, client, &headers, None)
}

/// `/sse/<path>`, `/sse/listen/<path>`: a stream with one topic.
pub async fn listen_to(
    State(app): State<Shared>,
    client: Client,
    headers: HeaderMap,
    Path(path): Path<String>,
) -> Response {
    open(&app, client, &headers, Some(&path))
}

/// `/sse/add/<uuid>/<path>`.
pub async fn add(
    State(app): State<Shared>,
    client: Client,
    headers: HeaderMap,
    Path((id, path)): Path<(String, String)>,
) -> Response {
    change(&app, client, &headers, &id, |subscription| {
        subscription.start(&TopicPattern::new(&path))
    })
}

/// `/sse/remove/<uuid>/<path>`.
pub async fn remove(
    State(app): State<Shared>,
    client: Client,
    headers: HeaderMap,
    Path((id, path)): Path<(String, String)>,
) -> Response {
    change(&app, client, &headers, &id, |subscription| {
        subscription.stop(&TopicPattern::new(&path))
    })
}

fn change(
    app: &Shared,
    Client(client): Client,
    headers: &HeaderMap,
    id: &str,
    change: impl FnOnce(&Subscription) -> bool,
) -> Response {
    if let Err(refusal) = app
        .admit(headers, client)
        .and_then(|who| app.auth.require(&who, Permission::Read.role()))
    {
        return error_response(&refusal);
    }
    match app.streams.find(id) {
        None => (StatusCode::BAD_REQUEST, "unknown uuid").into_response(),
        Some(subscription) if change(&subscription) => "ok".into_response(),
        Some(_) => (StatusCode::NOT_FOUND, "consumer is not listening to this event").into_response(),
    }
}

fn open(app: &Shared, Client(client): Client, headers: &HeaderMap, path: Option<&str>) -> Response {
    if let Err(refusal) = app
        .admit(headers, client)
        .and_then(|who| app.auth.require(&who, Permission::Read.role()))
    {
        return error_response(&refusal);
    }
    let subscriber = app.hub.join();
    if let Some(path) = path {
        subscriber.subscription().start(&TopicPattern::new(path));
    }
    let id = random_uuid();
    app.streams
        .0
        .lock()
        .expect("no panic while holding the lock")
        .insert(id.clone(), subscriber.subscription().clone());
    let handshake = format!("event: handshake\ndata: {id}\n\n");
    let open = Open {
        subscriber,
        id,
        streams: app.streams.clone(),
    };
    let events = stream::unfold((Some(handshake), Some(open)), |(first, open)| async {
        let mut open = open?;
        if let Some(text) = first {
            return Some((Ok::<_, std::convert::Infallible>(text), (None, Some(open))));
        }
        let text = match tokio::time::timeout(KEEP_ALIVE, open.subscriber.next()).await {
            Err(_) => ":\n\n".to_owned(),
            // Browsers connect again by themselves, and the page reads anew on each handshake.
            Ok(Err(_)) => return None,
            Ok(Ok(told)) => {
                let key: Vec<&str> = told.topic().split('/').collect();
                let key = serde_json::to_string(&key).expect("texts serialise");
                let mut text = String::with_capacity(told.item().len() + 128);
                let _ = write!(
                    text,
                    "event: event\ndata: {{\"key\": {key}, \"message\": {}}}\n\n",
                    told.item()
                );
                text
            }
        };
        Some((Ok(text), (None, Some(open))))
    });
    HttpResponse::builder()
        .header(header::CONTENT_TYPE, "text/event-stream")
        .header(header::CACHE_CONTROL, "no-cache")
        .body(Body::from_stream(events))
        .expect("all parts are valid")
}

/// A stream that a client has open; dropped with the response's body.
struct Open {
    subscriber: Subscriber,
    id: String,
    streams: Streams,
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Ok(mut streams) = self.streams.0.lock() {
            streams.remove(&self.id);
        }
    }
}

/// A random (version 4) UUID.
fn random_uuid() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
