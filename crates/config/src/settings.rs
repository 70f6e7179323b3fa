//! How the master itself is set up; nothing here takes part in decisions about builds.

use std::{net::SocketAddr, path::PathBuf};

use ironmaster_model::Duration;

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
    /// The database.
    pub database: DatabaseSettings,
    /// Directory of logs and tokens, and of a SQLite database; absolute if the configuration's own path was.
    pub state_dir: PathBuf,
    /// Whether reading needs no login.
    pub reading: Reading,
    /// How much the master says of itself.
    pub log_level: LogLevel,
    /// How long a worker that has lost its master lets commands run on.
    pub lease: Duration,
    /// How often a silent connection to a worker is probed. The protocol gives it up after two and a half of these.
    pub heartbeat: Duration,
    /// After how much silence at the latest a connection to a worker counts as dead; at least two and a half times
    /// `heartbeat`, so whoever sets the protocol up needs `heartbeat` only.
    pub dead_after: Duration,
    /// The generic change hook.
    pub change_hook: ChangeHookSettings,
    /// Bounds on what comes from outside.
    pub limits: Limits,
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
}
