//! How the master itself is set up; nothing here takes part in decisions about builds.

use std::{net::SocketAddr, path::PathBuf};

use ironmaster_model::{Duration, PbSecret};

use crate::database::DatabaseSettings;

/// The settings of a master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Shown at the top of each page.
    pub title: String,
    /// Public base URL with a slash at its end; links in properties and reports start with it.
    pub url: String,
    /// Where the master listens.
    pub listen: SocketAddr,
    /// What it says who it is there; without it, it speaks without encryption.
    pub tls: Option<TlsFiles>,
    /// The database.
    pub database: DatabaseSettings,
    /// Directory of logs and tokens, and of a SQLite database; absolute if the configuration's own path was.
    pub state_dir: PathBuf,
    /// Whether reading needs no login.
    pub reading: Reading,
    /// Origins of other sites whose pages may use the API.
    pub allowed_origins: Vec<String>,
    /// Whether a proxy in front says who the client is.
    pub behind_proxy: bool,
    /// A directory in place of the pages inside the program.
    pub ui_dir: Option<PathBuf>,
    /// How much the master says of itself.
    pub log_level: LogLevel,
    /// How long a worker that has lost its master lets commands run on.
    pub lease: Duration,
    /// How often a silent connection to a worker is probed. The protocol gives it up after two and a half of these.
    pub heartbeat: Duration,
    /// After how much silence at the latest a connection to a worker counts as dead; at least two and a half times
    /// `heartbeat`, so whoever sets the protocol up needs `heartbeat` only.
    pub dead_after: Duration,
    /// Where Perspective Broker is served, if it is.
    pub pb: Option<PbSettings>,
    /// Who may report changes over Perspective Broker, if anybody may.
    pub sendchange: Option<SendchangeSettings>,
    /// The generic change hook.
    pub change_hook: ChangeHookSettings,
    /// Bounds on what comes from outside.
    pub limits: Limits,
}

impl Settings {
    /// The keys, with their sections, whose values differ: a running master keeps its own until its next start.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let Self {
            title,
            url,
            listen,
            tls,
            database,
            state_dir,
            reading,
            allowed_origins,
            behind_proxy,
            ui_dir,
            log_level,
            lease,
            heartbeat,
            dead_after,
            pb,
            sendchange,
            change_hook,
            limits,
        } = self;
        [
            ("`title` in [master]", *title == other.title),
            ("`url` in [master]", *url == other.url),
            ("`listen` in [master]", *listen == other.listen),
            ("`certificate` and `key` in [master]", *tls == other.tls),
            ("`database` in [master]", *database == other.database),
            ("`state_dir` in [master]", *state_dir == other.state_dir),
            ("`reading` in [master]", *reading == other.reading),
            (
                "`allowed_origins` in [master]",
                *allowed_origins == other.allowed_origins,
            ),
            ("`behind_proxy` in [master]", *behind_proxy == other.behind_proxy),
            ("`ui_dir` in [master]", *ui_dir == other.ui_dir),
            ("`log_level` in [master]", *log_level == other.log_level),
            ("`lease` in [master]", *lease == other.lease),
            ("`heartbeat` in [master]", *heartbeat == other.heartbeat),
            ("`dead_after` in [master]", *dead_after == other.dead_after),
            ("[pb]", *pb == other.pb),
            ("[sendchange]", *sendchange == other.sendchange),
            ("[change_hook]", *change_hook == other.change_hook),
            ("[limits]", *limits == other.limits),
        ]
        .into_iter()
        .filter_map(|(key, same)| (!same).then_some(key))
        .collect()
    }
}

/// Who may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Everybody.
    Open,
    /// Who has logged in.
    Login,
}

/// How much the master says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Only what went wrong.
    Error,
    /// And what may go wrong.
    Warn,
    /// And what happens.
    Info,
    /// And why.
    Debug,
    /// And every step of it.
    Trace,
}

impl LogLevel {
    /// As the configuration spells it; also a directive of `tracing-subscriber`'s filter.
    pub const fn word(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

/// The port for Perspective Broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PbSettings {
    /// Where the master listens for it.
    pub listen: SocketAddr,
    /// Where it listens besides, without encryption, for clients that know none.
    pub plain_listen: Option<SocketAddr>,
    /// What it says who it is at the first address; without it, it speaks without encryption.
    pub tls: Option<TlsFiles>,
}

/// Files that a listener with TLS needs. They are there; what is in them is for whoever uses them to find out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, with those of authorities in between, as PEM.
    pub certificate: PathBuf,
    /// Its private key, as PEM.
    pub key: PathBuf,
}

/// Who may report changes over Perspective Broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendchangeSettings {
    /// The name.
    pub user: String,
    /// What goes with it.
    pub secret: PbSecret,
}

/// Settings of `/change_hook/base`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeHookSettings {
    /// Whether it exists at all.
    pub enabled: bool,
    /// SHA-256 (hex) of the token that callers must give; none = everybody may call. The token is never kept.
    pub token_sha256: Option<String>,
}

/// Bounds on what comes from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest body of a request, in bytes.
    pub request_bytes_max: u64,
    /// Events that the feed keeps.
    pub feed_events: u64,
}
