//! The HTTP server: accepts connections within bounds, and ends in good order.

mod local;
mod stall;

use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper::{Request, body::Incoming, server::conn::http1, service::Service, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use ironmaster_master::Master;
use ironmaster_tls::Identity;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::local::{LocalListener, SOCKET};
use self::stall::StallGuard;
use crate::{
    app::{App, Peer, Shared},
    auth::Auth,
    control::Calls,
    cors::Origins,
    events::{self, Hub},
    rest::Answers,
    routes::router,
    settings::{ApiSettings, Limits},
    ui::Ui,
};

/// Request heads may have so many bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How long to wait when the system has no more file descriptors or memory for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A running server. Dropping it does not stop the server; [`stop`](ServerHandle::stop) does.
#[derive(Debug)]
pub struct ServerHandle {
    stopping: CancellationToken,
    serving: JoinHandle<()>,
}

/// A place among all connections, which sockets keep beyond their upgrade.
#[derive(Clone, Debug)]
pub struct Connection {
    _place: Arc<OwnedSemaphorePermit>,
}

/// Where an API is served.
#[derive(Debug)]
pub struct Listeners {
    /// For everybody.
    pub http: TcpListener,
    /// With it, `http` speaks HTTPS, and nothing else.
    pub identity: Option<Arc<Identity>>,
    /// For commands on this machine.
    pub local: Option<LocalListener>,
}

/// Serves the API of `master` on `listener`.
pub fn serve(listener: TcpListener, master: Master, settings: ApiSettings) -> ServerHandle {
    let listeners = Listeners {
        http: listener,
        identity: None,
        local: None,
    };
    serve_all(listeners, master, settings)
}

/// Serves the API of `master`.
pub fn serve_all(listeners: Listeners, master: Master, mut settings: ApiSettings) -> ServerHandle {
    let Listeners {
        http,
        identity,
        local,
    } = listeners;
    let local = local.map(|local| {
        let (token, bearer) = local::access();
        settings.tokens.push(token);
        (local, bearer)
    });
    let stopping = CancellationToken::new();
    let limits = settings.limits;
    let hub = Hub::new(limits.events_queued, limits.topics_per_client);
    let tasks = TaskTracker::new();
    tasks.spawn(events::follow(master.clone(), hub.clone(), stopping.clone()));
    let app: Shared = Arc::new(App {
        auth: Auth::new(&settings),
        origins: Origins::new(&settings),
        hub,
        streams: events::Streams::default(),
        answers: Answers::default(),
        calls: Calls::default(),
        ui: settings.ui_dir.clone().map_or(Ui::Embedded, Ui::Directory),
        tasks: tasks.clone(),
        master,
        settings,
    });
    let router = router(app);
    let serving = tokio::spawn({
        let (stopping, router) = (stopping.clone(), router.clone());
        let locally = local.map(|(local, bearer)| {
            local::accept(
                local,
                bearer,
                router.clone(),
                limits,
                stopping.clone(),
                tasks.clone(),
            )
        });
        async move {
            let (stopping, tasks) = (stopping, tasks);
            let locally = async {
                if let Some(locally) = locally {
                    locally.await;
                }
            };
            tokio::join!(accept(http, identity, router, limits, &stopping, &tasks), locally);
            tasks.close();
            if timeout(limits.stop_time, tasks.wait()).await.is_err() {
                tracing::warn!("{} connections did not end in time and are cut", tasks.len());
            }
        }
    });
    ServerHandle { stopping, serving }
}

impl ServerHandle {
    /// Takes no more connections, lets running requests end (within the settings' time), closes event sockets with a
    /// reason. Worker sockets end with the master's sessions.
    pub async fn stop(self) {
        self.stopping.cancel();
        if let Err(panicked) = self.serving.await {
            tracing::error!("the HTTP server ended badly: {panicked}");
        }
    }
}

async fn accept(
    listener: TcpListener,
    identity: Option<Arc<Identity>>,
    router: Router,
    limits: Limits,
    stopping: &CancellationToken,
    tasks: &TaskTracker,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    loop {
        let next = async {
            // A place first: what waits beyond the limit waits in the kernel's queue.
            let place = places
                .clone()
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = stopping.cancelled() => break,
            accepted = next => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = Connection {
                    _place: Arc::new(place),
                };
                // Answers are small and wanted at once.
                let _ = stream.set_nodelay(true);
                let (router, stopping) = (router.clone(), stopping.clone());
                let mark = move |request: &mut Request<Incoming>| {
                    request.extensions_mut().insert(Peer(peer));
                    request.extensions_mut().insert(connection.clone());
                };
                match identity.clone() {
                    None => tasks.spawn(serve_connection(stream, router, limits, stopping, mark)),
                    Some(identity) => {
                        tasks.spawn(serve_encrypted(identity, stream, router, limits, stopping, mark))
                    }
                };
            }
            Err(error) => {
                tracing::warn!("a connection could not be accepted: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection that has to begin with the handshake of TLS.
async fn serve_encrypted(
    identity: Arc<Identity>,
    stream: TcpStream,
    router: Router,
    limits: Limits,
    stopping: CancellationToken,
    mark: impl Fn(&mut Request<Incoming>),
) {
    let accepted = tokio::select! {
        () = stopping.cancelled() => return,
        accepted = timeout(limits.head_time, identity.accept(stream)) => accepted,
    };
    match accepted {
        Ok(Ok(stream)) => serve_connection(stream, router, limits, stopping, mark).await,
        // As common as scanners are.
        Ok(Err(error)) => tracing::debug!("a connection came to no TLS: {}", error.in_full()),
        Err(_) => tracing::debug!("a connection came to no TLS in time"),
    }
}

/// Serves one connection; `mark` says on each request where it comes from.
async fn serve_connection<S>(
    stream: S,
    router: Router,
    limits: Limits,
    stopping: CancellationToken,
    mark: impl Fn(&mut Request<Incoming>),
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let inner = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        mark(&mut request);
        inner.call(request)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(StallGuard::new(stream, limits.stall_time)), service)
        .with_upgrades();
    tokio::pin!(serving);
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = stopping.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!("a connection ended early: {error}");
    }
}
