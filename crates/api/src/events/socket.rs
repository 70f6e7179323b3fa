//! `/ws`.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{
        Extension, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use tokio::time::{Instant, timeout};

use super::{
    commands::execute,
    hub::{Ended, Subscriber, Told},
};
use crate::{
    app::{Client, Shared},
    json::{self, Layout},
    registry::Permission,
    rest::error_response,
    server::Connection,
};

/// The largest frame of a client, in bytes.
const FRAME_BYTES_MAX: usize = 64 * 1024;
/// How often a client is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// After how many pings without an answer it counts as gone.
const PINGS_UNANSWERED: u32 = 2;
/// How long a goodbye may take.
const CLOSE_TIME: Duration = Duration::from_secs(2);

/// Answers `/ws`.
pub async fn upgrade(
    State(app): State<Shared>,
    Client(client): Client,
    connection: Option<Extension<Connection>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return upgrade_required();
    };
    let refused = app
        .admit(&headers, client)
        .and_then(|identity| app.auth.require(&identity, Permission::Read.role()));
    if let Err(refusal) = refused {
        return error_response(&refusal);
    }
    upgrade
        .max_frame_size(FRAME_BYTES_MAX)
        .max_message_size(FRAME_BYTES_MAX)
        .on_upgrade(move |socket| async move {
            // The place among all connections is kept until the socket ends.
            let _connection = connection;
            app.tasks
                .track_future(serve(socket, app.hub.join(), app.settings.limits.stall_time))
                .await;
        })
}

/// The answer to a plain request where a WebSocket is served.
pub(crate) fn upgrade_required() -> Response {
    let mut response = (StatusCode::UPGRADE_REQUIRED, "this is a WebSocket\n").into_response();
    response
        .headers_mut()
        .insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    response
}

async fn serve(socket: WebSocket, mut subscriber: Subscriber, stall_time: Duration) {
    let (sink, mut incoming) = socket.split();
    let mut out = Out { sink, stall_time };
    let mut ping = tokio::time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    let mut unanswered = 0;
    let goodbye = loop {
        tokio::select! {
            told = subscriber.next() => match told {
                Ok(told) => {
                    if let Err(end) = out.tell(told, &mut subscriber).await {
                        break end;
                    }
                }
                Err(why) => break Some(why.into()),
            },
            message = incoming.next() => {
                unanswered = 0;
                let reply = match message {
                    Some(Ok(Message::Text(text))) => execute(&text, subscriber.subscription()),
                    Some(Ok(Message::Binary(_))) => {
                        break Some(goodbye(close_code::UNSUPPORTED, "only text frames are understood"));
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    // Also a frame that is too large.
                    Some(Err(fault)) => break Some(goodbye(close_code::POLICY, &fault.to_string())),
                    Some(Ok(Message::Close(_))) | None => break None,
                };
                let text = json::to_vec(&reply, Layout::Compact);
                let text = String::from_utf8(text).expect("the writer makes ASCII");
                if let Err(end) = out.send(Message::Text(text.into()), &mut subscriber).await {
                    break end;
                }
            }
            _ = ping.tick() => {
                if unanswered >= PINGS_UNANSWERED {
                    break None;
                }
                unanswered += 1;
                if let Err(end) = out.send(Message::Ping(bytes::Bytes::new()), &mut subscriber).await {
                    break end;
                }
            }
        }
    };
    // Best effort: a client that takes nothing does not take this either.
    let _ = timeout(CLOSE_TIME, out.sink.send(Message::Close(goodbye))).await;
}

struct Out {
    sink: SplitSink<WebSocket, Message>,
    stall_time: Duration,
}

impl Out {
    /// Sends a message and whatever else waits behind it, in one go.
    async fn tell(&mut self, told: Arc<Told>, subscriber: &mut Subscriber) -> Result<(), Option<CloseFrame>> {
        let mut next = Some(told);
        while let Some(told) = next {
            let message = Message::Text(told.frame());
            self.guarded(subscriber, Step::Feed(message)).await?;
            next = subscriber.queue.try_recv().ok();
        }
        self.guarded(subscriber, Step::Flush).await
    }

    async fn send(
        &mut self,
        message: Message,
        subscriber: &mut Subscriber,
    ) -> Result<(), Option<CloseFrame>> {
        self.guarded(subscriber, Step::Feed(message)).await?;
        self.guarded(subscriber, Step::Flush).await
    }

    /// Does one step, unless the subscription ends or the client takes nothing for too long. The error is the goodbye.
    async fn guarded(&mut self, subscriber: &mut Subscriber, step: Step) -> Result<(), Option<CloseFrame>> {
        let sink = &mut self.sink;
        let doing = async {
            match step {
                Step::Feed(message) => sink.feed(message).await,
                Step::Flush => sink.flush().await,
            }
        };
        tokio::select! {
            biased;
            done = timeout(self.stall_time, doing) => match done {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(None),
                Err(_) => Err(Some(goodbye(close_code::POLICY, Ended::TooSlow.reason()))),
            },
            why = subscriber.ended() => Err(Some(why.into())),
        }
    }
}

enum Step {
    Feed(Message),
    Flush,
}

impl From<Ended> for CloseFrame {
    fn from(why: Ended) -> Self {
        let code = match why {
            Ended::TooSlow => close_code::POLICY,
            Ended::EventsLost => close_code::AGAIN,
            Ended::Stopping => close_code::RESTART,
        };
        goodbye(code, why.reason())
    }
}

/// A close frame; its reason may have 123 bytes.
pub(crate) fn goodbye(code: u16, reason: &str) -> CloseFrame {
    let end = reason.floor_char_boundary(123);
    CloseFrame {
        code,
        reason: reason[..end].into(),
    }
}
