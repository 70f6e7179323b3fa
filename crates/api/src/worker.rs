//! The WebSockets of workers: `/worker` for our own, and every path that is nothing else for Buildbot's workers that speak
//! msgpack. This room only carries frames; what they mean is the master's business.

use std::{net::IpAddr, time::Duration};

use axum::{
    extract::{
        Extension, FromRequestParts, Request, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt, stream::SplitSink, stream::SplitStream};
use ironmaster_master::StockSession;
use ironmaster_wire::{Frame, Limits};
use tokio::{sync::mpsc, time::timeout};

use crate::{
    app::{Client, Shared},
    events::{goodbye, upgrade_required},
    server::Connection,
};

/// Frames between socket and master, in each direction. Few: when the master is slow, TCP tells the worker.
const FRAMES_BETWEEN: usize = 8;
/// What is read from a socket at once. The library keeps, and clears for each read, so much for each worker that is connected;
/// the rest of a larger frame is read into the frame itself.
const READ_BYTES: usize = 1024;
/// The largest message of a stock worker, in bytes. It sends a line as a whole, of as many characters as the master allows.
const STOCK_MESSAGE_MAX: usize = StockSession::MESSAGE_MAX;
/// How long a goodbye may take.
const CLOSE_TIME: Duration = Duration::from_secs(2);

/// Answers `/worker`. Who it is, the worker says in its first frame.
pub async fn upgrade(
    State(app): State<Shared>,
    Client(client): Client,
    connection: Option<Extension<Connection>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return upgrade_required();
    };
    let frame_max = Limits::default().max_frame();
    upgrade
        .max_frame_size(frame_max)
        .max_message_size(frame_max)
        .read_buffer_size(READ_BYTES)
        .on_upgrade(move |socket| {
            // Here, as the task would keep room for the whole socket if it had it for a moment.
            let (sink, stream) = socket.split();
            serve(app, connection, client, Speaks::Native, sink, stream)
        })
}

/// Whether somebody asks for a WebSocket with a name and a password, as stock workers do.
pub fn is_stock(headers: &HeaderMap) -> bool {
    let says = |name, what: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.is_some_and(|value| value.to_ascii_lowercase().contains(what))
    };
    says(header::UPGRADE, "websocket") && says(header::AUTHORIZATION, "basic ")
}

/// Answers a stock worker (`docs/reference/worker-protocol-msgpack.md`, section 1).
pub async fn upgrade_stock(app: Shared, client: IpAddr, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let Some((name, password)) = credentials(&parts.headers) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    if let Err(refused) = app.master.admit_worker(&client.to_string(), &name, &password) {
        return if refused.later {
            StatusCode::TOO_MANY_REQUESTS.into_response()
        } else {
            StatusCode::UNAUTHORIZED.into_response()
        };
    }
    let Ok(session) = StockSession::msgpack(name) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let connection = parts.extensions.get::<Connection>().cloned().map(Extension);
    match WebSocketUpgrade::from_request_parts(&mut parts, &app).await {
        Ok(upgrade) => upgrade
            .max_frame_size(STOCK_MESSAGE_MAX)
            .max_message_size(STOCK_MESSAGE_MAX)
            .read_buffer_size(READ_BYTES)
            .on_upgrade(move |socket| {
                let (sink, stream) = socket.split();
                serve(
                    app,
                    connection,
                    client,
                    Speaks::Stock(Box::new(session)),
                    sink,
                    stream,
                )
            }),
        Err(_) => upgrade_required(),
    }
}

/// Name and password; the name ends at the first colon.
fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (name, password) = text.split_once(':')?;
    scheme
        .eq_ignore_ascii_case("basic")
        .then(|| (name.to_owned(), password.to_owned()))
}

/// What a worker speaks.
enum Speaks {
    Native,
    Stock(Box<StockSession>),
}

async fn serve(
    app: Shared,
    _connection: Option<Extension<Connection>>,
    client: IpAddr,
    speaks: Speaks,
    mut sink: SplitSink<WebSocket, Message>,
    stream: SplitStream<WebSocket>,
) {
    let (to_master, incoming) = mpsc::channel(FRAMES_BETWEEN);
    let (outgoing, from_master) = mpsc::channel(FRAMES_BETWEEN);
    // On its own: the session must come to its own end even if this task is dropped.
    let master = app.master.clone();
    let session = tokio::spawn(async move {
        match speaks {
            Speaks::Native => master.serve_worker(client.to_string(), incoming, outgoing).await,
            Speaks::Stock(session) => {
                master
                    .serve_stock(*session, client.to_string(), incoming, outgoing)
                    .await;
            }
        }
    });
    let mut reading = Box::pin(read(stream, to_master));
    let mut refusal = None;
    {
        // When there is nothing more to read, the session ends; what it still has to say is then written.
        let writing = write(&mut sink, from_master, app.settings.limits.stall_time);
        tokio::pin!(writing);
        tokio::select! {
            () = &mut writing => {}
            fault = &mut reading => {
                refusal = fault;
                writing.await;
            }
        }
    }
    if let Some(why) = &refusal {
        tracing::warn!(%client, "the connection of a worker is closed: {}", why.reason);
    }
    let _ = timeout(CLOSE_TIME, sink.send(Message::Close(refusal))).await;
    drop(reading);
    if let Err(panicked) = session.await {
        tracing::error!(%client, "the session of a worker ended badly: {panicked}");
    }
}

/// Hands frames to the master until the connection ends; returns why it must be closed, if it is our doing.
async fn read(mut stream: SplitStream<WebSocket>, to_master: mpsc::Sender<Box<Frame>>) -> Option<CloseFrame> {
    loop {
        let frame = match stream.next().await {
            Some(Ok(Message::Text(text))) => Frame::Text(text.as_str().to_owned()),
            Some(Ok(Message::Binary(bytes))) => Frame::Binary(bytes),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            Some(Ok(Message::Close(_))) | None => return None,
            // Too large, not UTF-8, or the connection broke.
            Some(Err(fault)) => return Some(goodbye(close_code::POLICY, &fault.to_string())),
        };
        if to_master.send(Box::new(frame)).await.is_err() {
            return None;
        }
    }
}

/// Sends what the master says until it has said everything, or the worker takes nothing any more.
async fn write(
    sink: &mut SplitSink<WebSocket, Message>,
    mut from_master: mpsc::Receiver<Box<Frame>>,
    stall_time: Duration,
) {
    while let Some(frame) = from_master.recv().await {
        let message = match *frame {
            Frame::Text(text) => Message::Text(text.into()),
            Frame::Binary(bytes) => Message::Binary(bytes),
        };
        if !matches!(timeout(stall_time, sink.send(message)).await, Ok(Ok(()))) {
            return;
        }
    }
}
