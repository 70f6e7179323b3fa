//! What all requests share, and how a request is told apart from others.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{Extension, FromRequestParts},
    http::{HeaderMap, header, request::Parts},
};
use ironmaster_master::Master;
use tokio_util::task::TaskTracker;

use crate::{
    auth::{Auth, Identity},
    control::Calls,
    cors::Origins,
    error::ApiError,
    events::{Hub, Streams},
    rest::Answers,
    settings::ApiSettings,
    ui::Ui,
};

/// What all requests share.
#[derive(Debug)]
pub struct App {
    /// The master.
    pub master: Master,
    /// Settings.
    pub settings: ApiSettings,
    /// Who may do what.
    pub auth: Auth,
    /// Which pages may use the API.
    pub origins: Origins,
    /// Subscribers of events.
    pub hub: Arc<Hub>,
    /// Open streams of server-sent events.
    pub streams: Streams,
    /// Answers to questions that are still true.
    pub answers: Answers,
    /// Answers to calls that carried an idempotency key.
    pub calls: Calls,
    /// The UI's files.
    pub ui: Ui,
    /// What a stop waits for: connections, and sockets beyond their upgrade.
    pub tasks: TaskTracker,
}

/// What handlers share.
pub type Shared = Arc<App>;

/// The other end of the connection; set for every connection by [`serve`](crate::serve()).
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// The address of the client, which is not that of the proxy in front.
#[derive(Clone, Copy, Debug)]
pub struct Client(pub IpAddr);

impl FromRequestParts<Shared> for Client {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Self::Rejection> {
        let peer = Extension::<Peer>::from_request_parts(parts, app)
            .await
            .map_or(IpAddr::from([0, 0, 0, 0]), |Extension(Peer(address))| {
                address.ip()
            });
        Ok(Self(if app.settings.behind_proxy {
            forwarded(&parts.headers).unwrap_or(peer)
        } else {
            peer
        }))
    }
}

/// The last address of `X-Forwarded-For`: the one that the proxy in front has added itself. Those before it are what the
/// client says.
fn forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers
        .get_all("x-forwarded-for")
        .iter()
        .next_back()?
        .to_str()
        .ok()?;
    last.rsplit(',').next()?.trim().parse().ok()
}

impl App {
    /// Who sends this request. Refuses pages of other sites.
    pub fn admit(&self, headers: &HeaderMap, client: IpAddr) -> Result<Identity, ApiError> {
        self.origins.check(headers)?;
        self.auth.identify(headers, client)
    }
}

/// Whether the client wants JSON for programs.
pub fn accepts_json(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT).iter().any(|accept| {
        accept
            .to_str()
            .is_ok_and(|accept| accept.contains("application/json"))
    })
}
