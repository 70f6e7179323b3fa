//! The port for Perspective Broker. Whoever connects says who it is, proves it, and is then a worker, somebody who reports
//! changes, or somebody who tries patches.

mod changes;
mod tries;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ironmaster_buildbot::{
    Value,
    pb::{Challenge, ChangesSession, Door, Login, PasswordDigest, TrySession},
};
use ironmaster_model::{PbSecret, Plan, SchedulerKind};
use ironmaster_tls::{Identity, Stream};
use ironmaster_wire::Frame;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::{sleep, timeout},
};

use crate::{
    Master,
    session::{NotAdmitted, StockSession},
};
use tries::Tester;

/// Connections at once.
const CONNECTIONS_MAX: usize = 16 * 1024;
/// How long somebody may take to log in, and before that for the handshake of TLS.
const LOGIN_TIME: Duration = Duration::from_secs(30);
/// How long the other side may take nothing of what is sent.
const STALL_TIME: Duration = Duration::from_mins(1);
/// What is read at once.
const READ_BYTES: usize = 16 * 1024;
/// Pieces between socket and session, in each direction. Few: when the master is slow, TCP tells the worker.
const PIECES_BETWEEN: usize = 8;
/// How long to wait when the system has no more file descriptors or memory for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How deep a property's value may be nested.
const DEPTH_MAX: usize = 32;

/// Somebody who may log in and is no worker.
#[derive(Clone, Debug)]
pub struct PbUser {
    /// The name.
    pub name: String,
    /// What goes with it.
    pub secret: PbSecret,
}

/// Whoever has logged in.
enum Guest {
    Worker(Box<StockSession>),
    Reporter(Box<ChangesSession>),
    Tester(Box<Tester>),
}

impl Master {
    /// Serves Perspective Broker on `listener` until the master stops: workers, and `reporter`, who may report changes. With an
    /// `identity` it is TLS that is spoken there, and nothing else.
    pub fn serve_pb(&self, listener: TcpListener, identity: Option<Arc<Identity>>, reporter: Option<PbUser>) {
        let master = self.clone();
        self.spawn(async move { accept(master, listener, identity, reporter.map(Arc::new)).await });
    }
}

async fn accept(
    master: Master,
    listener: TcpListener,
    identity: Option<Arc<Identity>>,
    reporter: Option<Arc<PbUser>>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let stop = master.stopping();
    loop {
        let next = async {
            let place = places
                .clone()
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = next => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (connection, reporter, identity) = (master.clone(), reporter.clone(), identity.clone());
                // On its own: a session must come to its own end, also when the master stops.
                tokio::spawn(async move {
                    let _place = place;
                    // Calls are small and wanted at once.
                    let _ = stream.set_nodelay(true);
                    if let Some(stream) = secured(&connection, stream, peer, identity).await {
                        serve(connection, stream, peer, reporter.as_deref()).await;
                    }
                });
            }
            Err(error) => {
                tracing::warn!("a connection for Perspective Broker could not be accepted: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The connection as it is to be spoken on. None if it has to be TLS and is not, which the log says.
async fn secured(
    master: &Master,
    stream: TcpStream,
    peer: SocketAddr,
    identity: Option<Arc<Identity>>,
) -> Option<Stream> {
    let Some(identity) = identity else {
        return Some(Box::new(stream));
    };
    let stop = master.stopping();
    let accepted = tokio::select! {
        () = stop.cancelled() => return None,
        accepted = timeout(LOGIN_TIME, identity.accept(stream)) => accepted,
    };
    let reason = match accepted {
        Ok(Ok(stream)) => return Some(Box::new(stream)),
        Ok(Err(error)) => error.in_full(),
        // This side speaks first in the protocol, so whoever expects no TLS waits.
        Err(_) => format!(
            "no TLS handshake within {} s; a stock worker needs `use_tls`",
            LOGIN_TIME.as_secs()
        ),
    };
    master.note_no_tls(&peer.to_string(), &reason);
    None
}

async fn serve(master: Master, mut stream: Stream, peer: SocketAddr, reporter: Option<&PbUser>) {
    let stop = master.stopping();
    let welcomed = tokio::select! {
        () = stop.cancelled() => return,
        welcomed = timeout(LOGIN_TIME, let_in(&master, &mut stream, peer, reporter)) => welcomed,
    };
    let guest = match welcomed {
        Ok(Ok(guest)) => guest,
        Ok(Err(reason)) => {
            tracing::debug!(%peer, "no login over Perspective Broker: {reason}");
            return;
        }
        Err(_) => {
            tracing::debug!(%peer, "no login over Perspective Broker within {} s", LOGIN_TIME.as_secs());
            return;
        }
    };
    let session = match guest {
        Guest::Worker(session) => *session,
        Guest::Reporter(session) => {
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = changes::serve(&master, *session, &mut stream) => ended,
            };
            if let Err(reason) = ended {
                tracing::warn!(%peer, "somebody who reports changes was cut off: {reason}");
            }
            return;
        }
        Guest::Tester(tester) => {
            let user = tester.user.clone();
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = tries::serve(&master, *tester, &mut stream) => ended,
            };
            if let Err(reason) = ended {
                tracing::warn!(%peer, "{user}, who tries a patch, was cut off: {reason}");
            }
            return;
        }
    };
    let (reader, writer) = tokio::io::split(stream);
    let (to_master, incoming) = mpsc::channel(PIECES_BETWEEN);
    let (outgoing, from_master) = mpsc::channel(PIECES_BETWEEN);
    let writing = tokio::spawn(write(writer, from_master));
    let reading = tokio::spawn(read(reader, to_master));
    master
        .serve_stock(session, peer.to_string(), incoming, outgoing)
        .await;
    // The session has said all that it had to say.
    let _ = writing.await;
    reading.abort();
}

/// From the first byte to a session; or why there is none.
async fn let_in(
    master: &Master,
    stream: &mut Stream,
    peer: SocketAddr,
    reporter: Option<&PbUser>,
) -> Result<Guest, String> {
    let mut challenge = [0; 16];
    getrandom::fill(&mut challenge).map_err(|error| error.to_string())?;
    let mut door = Door::new(Challenge(challenge));
    let mut buffer = vec![0; READ_BYTES];
    let login = loop {
        while let Some(bytes) = door.poll_send() {
            send(stream, &bytes).await?;
        }
        if let Some(login) = door.poll_login() {
            break login;
        }
        let count = stream
            .read(&mut buffer)
            .await
            .map_err(|error| error.to_string())?;
        if count == 0 {
            return Err("the connection was closed".to_owned());
        }
        door.feed(&buffer[..count]).map_err(|error| error.to_string())?;
    };
    let plan = master.plan();
    let reporter = reporter.filter(|reporter| reporter.name == login.user);
    let exists =
        reporter.is_some() || plan.workers.contains_key(&login.user) || is_tester(&plan, &login.user);
    let who = master.admit(&peer.to_string(), &login.user, exists, || {
        if reporter.is_some_and(|reporter| login.proves(&PasswordDigest::from_md5(reporter.secret.0))) {
            return Ok(Who::Reporter);
        }
        match tester(&plan, &login) {
            Some(scheduler) => Ok(Who::Tester { scheduler }),
            None => check(&plan, &login).map(|()| Who::Worker),
        }
    });
    let who = match who {
        Ok(who) => who,
        Err(NotAdmitted { reason, .. }) => {
            door.refuse().map_err(|error| error.to_string())?;
            while let Some(bytes) = door.poll_send() {
                send(stream, &bytes).await?;
            }
            return Err(reason);
        }
    };
    let guest = match who {
        Who::Reporter => ChangesSession::admit(door).map(|session| Guest::Reporter(Box::new(session))),
        Who::Tester { scheduler } => TrySession::admit(door).map(|session| {
            Guest::Tester(Box::new(Tester {
                user: login.user.clone(),
                scheduler,
                session,
            }))
        }),
        Who::Worker => StockSession::pb(door, &login).map(|session| Guest::Worker(Box::new(session))),
    };
    guest.map_err(|error| error.to_string())
}

/// Who has logged in.
enum Who {
    Reporter,
    Tester { scheduler: String },
    Worker,
}

async fn send(stream: &mut Stream, bytes: &[u8]) -> Result<(), String> {
    let sending = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    match timeout(STALL_TIME, sending).await {
        Ok(sent) => sent.map_err(|error| error.to_string()),
        Err(_) => Err("it takes nothing of what is sent".to_owned()),
    }
}

/// Whether a try scheduler has this user.
fn is_tester(plan: &Plan, user: &str) -> bool {
    plan.schedulers.values().any(
        |scheduler| matches!(&scheduler.kind, SchedulerKind::Try(tries) if tries.pb_users.contains_key(user)),
    )
}

/// The try scheduler that has this user, with that password.
fn tester(plan: &Plan, login: &Login) -> Option<String> {
    plan.schedulers.values().find_map(|scheduler| {
        let SchedulerKind::Try(tries) = &scheduler.kind else {
            return None;
        };
        let secret = tries.pb_users.get(&login.user)?;
        login
            .proves(&PasswordDigest::from_md5(secret.0))
            .then(|| scheduler.name.clone())
    })
}

/// Whether the worker is configured, and its password right. The reason does not tell which of both is wrong.
fn check(plan: &Plan, login: &Login) -> Result<(), String> {
    let worker = plan.workers.get(&login.user);
    let password = PasswordDigest::from_md5(worker.map_or([0; 16], |worker| worker.pb_secret.0));
    if login.proves(&password) && worker.is_some() && login.mind.is_some() {
        Ok(())
    } else {
        Err(format!(
            "worker \"{}\" is not configured on this master, or its password is not the configured token",
            login.user
        ))
    }
}

async fn read(mut reader: ReadHalf<Stream>, to_master: mpsc::Sender<Box<Frame>>) {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match reader.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => {
                let piece = Frame::Binary(buffer[..count].to_vec().into());
                if to_master.send(Box::new(piece)).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn write(mut writer: WriteHalf<Stream>, mut from_master: mpsc::Receiver<Box<Frame>>) {
    while let Some(piece) = from_master.recv().await {
        let Frame::Binary(bytes) = *piece else { continue };
        let sending = async {
            writer.write_all(&bytes).await?;
            writer.flush().await
        };
        if !matches!(timeout(STALL_TIME, sending).await, Ok(Ok(()))) {
            return;
        }
    }
    let _ = timeout(STALL_TIME, writer.shutdown()).await;
}

/// A property's value. Nothing that names an object is one.
fn json(value: &Value, depth: usize) -> Option<serde_json::Value> {
    let depth = depth.checked_sub(1)?;
    Some(match value {
        Value::None => serde_json::Value::Null,
        Value::Bool(truth) => json!(truth),
        Value::Int(number) => json!(i64::try_from(*number).ok()?),
        Value::Float(number) => json!(number),
        Value::Bytes(_) | Value::Text(_) => json!(value.as_text()?),
        Value::List(items) | Value::Tuple(items) => {
            let items: Option<Vec<_>> = items.iter().map(|item| json(item, depth)).collect();
            json!(items?)
        }
        Value::Dict(entries) => {
            let entries: Option<serde_json::Map<_, _>> = entries
                .iter()
                .map(|(key, value)| Some((key.as_text()?.into_owned(), json(value, depth)?)))
                .collect();
            json!(entries?)
        }
        _ => return None,
    })
}
