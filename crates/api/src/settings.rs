//! What the program tells this room.

use std::{path::PathBuf, time::Duration};

use crate::auth::AccessToken;

/// Settings of the HTTP server.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// Where browsers find the site, with a trailing slash: `https://ci.example.org/`. A proxy may add a path.
    pub url: String,
    /// Name of the site.
    pub title: String,
    /// The program's version, shown in the UI.
    pub version: String,
    /// Who may read.
    pub reading: Reading,
    /// Who may log in.
    pub tokens: Vec<AccessToken>,
    /// Signs session cookies. Keep it over restarts, or everybody has to log in again; change it to end all sessions.
    pub session_secret: [u8; 32],
    /// How long a session lasts after its last use.
    pub session_lifetime: Duration,
    /// Origins of other sites whose pages may use the API; `*` and `?` are wildcards. The own site always may.
    pub origins: Vec<String>,
    /// Whether change hooks are heard at all.
    pub hook_enabled: bool,
    /// SHA-256 (hex) of the token that change hooks must bring; none = everybody may tell of changes.
    pub hook_token_sha256: Option<String>,
    /// A directory that replaces the bundled UI.
    pub ui_dir: Option<PathBuf>,
    /// Whether a proxy in front can be trusted to append the client's address to `X-Forwarded-For`.
    pub behind_proxy: bool,
    /// Bounds on what clients may use.
    pub limits: Limits,
}

/// Who may read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// Everybody.
    #[default]
    Open,
    /// Who is logged in.
    LoggedIn,
}

/// Bounds on what clients may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once, workers and event sockets included. More wait until others end.
    pub connections: usize,
    /// The largest request body of an administrator, in bytes. Forms may carry files of 10 MiB.
    pub body_bytes: usize,
    /// The largest request body of anybody else, in bytes.
    pub anonymous_body_bytes: usize,
    /// The largest body of a change hook, in bytes.
    pub hook_body_bytes: usize,
    /// How long the head of a request may take to arrive. Also how long an idle connection is kept.
    pub head_time: Duration,
    /// How long a request body may take to arrive.
    pub body_time: Duration,
    /// How long a client may take nothing of what is sent to it.
    pub stall_time: Duration,
    /// Events that may wait for one subscriber before it counts as too slow.
    pub events_queued: usize,
    /// Topic patterns of one subscriber.
    pub topics_per_client: usize,
    /// How long a stop waits for requests that run.
    pub stop_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16 * 1024,
            body_bytes: 16 * 1024 * 1024,
            anonymous_body_bytes: 64 * 1024,
            hook_body_bytes: 1024 * 1024,
            head_time: Duration::from_secs(75),
            body_time: Duration::from_mins(1),
            stall_time: Duration::from_mins(1),
            events_queued: 2048,
            topics_per_client: 1000,
            stop_time: Duration::from_secs(10),
        }
    }
}

impl ApiSettings {
    /// Settings for a site at `url`: open for reading, nobody can log in, a random session secret.
    pub fn new(url: impl Into<String>) -> Self {
        let mut url = url.into();
        if !url.ends_with('/') {
            url.push('/');
        }
        let mut session_secret = [0; 32];
        getrandom::fill(&mut session_secret).expect("the operating system has randomness");
        Self {
            url,
            title: "Ironmaster".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            reading: Reading::Open,
            tokens: Vec::new(),
            session_secret,
            session_lifetime: Duration::from_hours(7 * 24),
            origins: Vec::new(),
            hook_enabled: true,
            hook_token_sha256: None,
            ui_dir: None,
            behind_proxy: false,
            limits: Limits::default(),
        }
    }
}
