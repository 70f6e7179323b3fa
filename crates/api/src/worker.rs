//! `/worker`: the WebSocket of native workers. This room only carries frames; what they mean is the master's business.

use std::{net::IpAddr, time::Duration};

use axum::{
    extract::{
        Extension, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code, rejection::WebSocketUpgradeRejection},
    },
    response::Response,
};
use futures_util::{SinkExt, StreamExt, stream::SplitSink, stream::SplitStream};
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
const READ_BYTES: usize = 4 * 1024;
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
            serve(app, connection, client, sink, stream)
        })
}

async fn serve(
    app: Shared,
    _connection: Option<Extension<Connection>>,
    client: IpAddr,
    mut sink: SplitSink<WebSocket, Message>,
    stream: SplitStream<WebSocket>,
) {
    let (to_master, incoming) = mpsc::channel(FRAMES_BETWEEN);
    let (outgoing, from_master) = mpsc::channel(FRAMES_BETWEEN);
    // On its own: the session must come to its own end even if this task is dropped.
    let master = app.master.clone();
    let session =
        tokio::spawn(async move { master.serve_worker(client.to_string(), incoming, outgoing).await });
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
