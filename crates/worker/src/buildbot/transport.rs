//! Bytes between a session and its master: a plain connection for Perspective Broker, a WebSocket for msgpack.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use base64::Engine as _;
use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{Sink as _, Stream as _};
use ironmaster_buildbot::Limits;
use ironmaster_tls::{Stream, broken};
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, Message,
        client::IntoClientRequest as _,
        http::{HeaderValue, StatusCode, header::AUTHORIZATION},
        protocol::WebSocketConfig,
    },
};

use super::{Protocol, Settings};
use crate::dial::dial;

/// How long making a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes that are read at once.
const READ: usize = 64 * 1024;

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum NoConnection {
    /// The master does not know the name and the password.
    Unauthorized,
    /// Anything else, for the log.
    Failed(String),
}

/// An open connection.
#[derive(Debug)]
pub(super) enum Transport {
    Pb {
        stream: Stream,
        out: BytesMut,
        /// Something was written since all was out.
        unflushed: bool,
    },
    Msgpack {
        socket: Box<WebSocketStream<Stream>>,
        out: VecDeque<Message>,
        waiting: usize,
    },
}

/// What happened.
#[derive(Debug)]
pub(super) enum Came {
    /// Something for the session.
    Bytes(Bytes),
    /// A sign of life that is not for it.
    Sign,
    /// Everything that waited has gone out.
    Sent,
}

impl Transport {
    /// Connects; over msgpack also logs in.
    pub(super) async fn connect(settings: &Settings) -> Result<Self, NoConnection> {
        let attempt = async {
            let stream = dial(&settings.host, settings.port, settings.tls.as_ref())
                .await
                .map_err(NoConnection::Failed)?;
            match settings.protocol {
                Protocol::Pb => Ok(Self::Pb {
                    stream,
                    out: BytesMut::new(),
                    unflushed: false,
                }),
                Protocol::Msgpack => {
                    let socket = Box::pin(open(settings, stream)).await?;
                    Ok(Self::Msgpack {
                        socket: Box::new(socket),
                        out: VecDeque::new(),
                        waiting: 0,
                    })
                }
            }
        };
        timeout(CONNECT_TIMEOUT, attempt).await.unwrap_or_else(|_| {
            Err(NoConnection::Failed(format!(
                "no answer within {} s",
                CONNECT_TIMEOUT.as_secs()
            )))
        })
    }

    /// Takes something to send.
    pub(super) fn send(&mut self, bytes: Bytes) {
        match self {
            Self::Pb { out, .. } => out.extend_from_slice(&bytes),
            Self::Msgpack { out, waiting, .. } => {
                *waiting += bytes.len();
                out.push_back(Message::Binary(bytes));
            }
        }
    }

    /// Asks the other side for a sign of life, if the protocol below has one.
    pub(super) fn ping(&mut self) {
        if let Self::Msgpack { out, .. } = self {
            out.push_back(Message::Ping(Bytes::new()));
        }
    }

    /// How many bytes have not gone out.
    pub(super) fn waiting(&self) -> usize {
        match self {
            Self::Pb { out, .. } => out.len(),
            Self::Msgpack { waiting, .. } => *waiting,
        }
    }

    /// Sends and receives until something happens. Safe to cancel. The error is why the connection is over.
    pub(super) async fn turn(&mut self) -> Result<Came, String> {
        std::future::poll_fn(|cx| self.poll_turn(cx)).await
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<Came, String>> {
        match self {
            Self::Pb {
                stream,
                out,
                unflushed,
            } => {
                while !out.is_empty() {
                    match Pin::new(&mut *stream).poll_write(cx, out) {
                        Poll::Ready(Ok(0)) => return Poll::Ready(Err(closed())),
                        Poll::Ready(Ok(length)) => {
                            out.advance(length);
                            *unflushed = true;
                        }
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(broken(&error))),
                        Poll::Pending => break,
                    }
                }
                if *unflushed && out.is_empty() {
                    match Pin::new(&mut *stream).poll_flush(cx) {
                        Poll::Ready(Ok(())) => {
                            *unflushed = false;
                            return Poll::Ready(Ok(Came::Sent));
                        }
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(broken(&error))),
                        Poll::Pending => {}
                    }
                }
                let mut buffer = vec![0; READ];
                let mut read = ReadBuf::new(&mut buffer);
                match Pin::new(stream).poll_read(cx, &mut read) {
                    Poll::Ready(Ok(())) => {
                        let length = read.filled().len();
                        if length == 0 {
                            return Poll::Ready(Err(closed()));
                        }
                        buffer.truncate(length);
                        Poll::Ready(Ok(Came::Bytes(buffer.into())))
                    }
                    Poll::Ready(Err(error)) => Poll::Ready(Err(broken(&error))),
                    Poll::Pending => Poll::Pending,
                }
            }
            Self::Msgpack { socket, out, waiting } => {
                let had = !out.is_empty();
                let lost = |error: tungstenite::Error| match error {
                    tungstenite::Error::Protocol(
                        tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
                    ) => closed(),
                    tungstenite::Error::Io(error) => broken(&error),
                    other => other.to_string(),
                };
                while !out.is_empty() {
                    match Pin::new(&mut **socket).poll_ready(cx) {
                        Poll::Ready(Ok(())) => {
                            let Some(message) = out.pop_front() else { break };
                            *waiting -= match &message {
                                Message::Binary(bytes) => bytes.len(),
                                _ => 0,
                            };
                            if let Err(error) = Pin::new(&mut **socket).start_send(message) {
                                return Poll::Ready(Err(lost(error)));
                            }
                        }
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(lost(error))),
                        Poll::Pending => break,
                    }
                }
                match Pin::new(&mut **socket).poll_flush(cx) {
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(lost(error))),
                    Poll::Ready(Ok(())) if had && out.is_empty() => return Poll::Ready(Ok(Came::Sent)),
                    _ => {}
                }
                match Pin::new(&mut **socket).poll_next(cx) {
                    Poll::Ready(Some(Ok(Message::Binary(bytes)))) => Poll::Ready(Ok(Came::Bytes(bytes))),
                    Poll::Ready(Some(Ok(Message::Close(frame)))) => Poll::Ready(Err(match frame {
                        Some(frame) if !frame.reason.is_empty() => format!("{}: {}", closed(), frame.reason),
                        _ => closed(),
                    })),
                    Poll::Ready(Some(Ok(_))) => Poll::Ready(Ok(Came::Sign)),
                    Poll::Ready(Some(Err(error))) => Poll::Ready(Err(lost(error))),
                    Poll::Ready(None) => Poll::Ready(Err(closed())),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }
}

fn closed() -> String {
    "the master closed the connection".into()
}

async fn open(settings: &Settings, stream: Stream) -> Result<WebSocketStream<Stream>, NoConnection> {
    let failed = |error: tungstenite::Error| NoConnection::Failed(error.to_string());
    let host = if settings.host.contains(':') {
        format!("[{}]", settings.host)
    } else {
        settings.host.clone()
    };
    // Also where the connection is encrypted: it is what stock workers say.
    let mut request = format!("ws://{host}:{}/", settings.port)
        .into_client_request()
        .map_err(failed)?;
    let login = format!("{}:{}", settings.name, settings.password);
    let login = format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(login)
    );
    let mut login = HeaderValue::from_str(&login)
        .map_err(|_| NoConnection::Failed("the name or the password cannot be sent".into()))?;
    login.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, login);
    let config = WebSocketConfig::default()
        .max_message_size(Some(Limits::MSGPACK.bytes))
        .max_frame_size(Some(Limits::MSGPACK.bytes))
        .read_buffer_size(16 * 1024);
    match client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(response)) if response.status() == StatusCode::UNAUTHORIZED => {
            Err(NoConnection::Unauthorized)
        }
        Err(tungstenite::Error::Http(response)) => Err(NoConnection::Failed(format!(
            "it answered {} instead of opening a WebSocket; is this its port for msgpack?",
            response.status()
        ))),
        Err(error) => Err(failed(error)),
    }
}
