//! Where a PostgreSQL database is.

use std::{fmt, time::Duration};

use tokio_postgres::{
    Config,
    config::{Host, SslMode},
};

/// How long a server may take to answer a new connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// After so much silence of a connection the server's machine is asked whether it is there, so often.
const PROBE_AFTER: Duration = Duration::from_secs(10);
const PROBE_EVERY: Duration = Duration::from_secs(5);
const PROBES: u32 = 3;
/// What is sent and not acknowledged for so long is lost.
const ACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);
/// Whatever the server or the role has set, these hold: the writer's transactions and locks end when it wants them to, and
/// no statement of ours gains by being compiled. A server finds out within ten seconds that a master's machine is gone, and
/// gives the writer's lock free.
const SETTINGS: &str = "-c jit=off -c client_min_messages=warning -c statement_timeout=0 -c lock_timeout=0 \
                        -c idle_in_transaction_session_timeout=0 -c idle_session_timeout=0 \
                        -c tcp_keepalives_idle=4 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 \
                        -c tcp_user_timeout=10000 -c default_transaction_isolation=read\\ committed -c default_transaction_read_only=off";

/// The address of a database of a PostgreSQL server. Its password is never shown.
#[derive(Clone)]
pub struct PostgresAddress {
    config: Config,
    shown: String,
}

/// An address that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// It does not read as an address.
    #[error("it is no address of a PostgreSQL database such as postgres://user@host/database")]
    Malformed {
        /// What does not fit.
        #[source]
        source: tokio_postgres::Error,
    },
    /// It asks for an encrypted connection.
    #[error(
        "encrypted connections to PostgreSQL are not supported yet; leave `sslmode` out and keep the server on this \
         machine or on a trusted network"
    )]
    Encrypted,
}

impl PostgresAddress {
    /// Reads `postgres://user@host:port/database`; `host` may be a directory with a socket, given as
    /// `postgres:///database?host=/run/postgresql`.
    pub fn new(url: &str, password: Option<&str>) -> Result<Self, AddressError> {
        let mut config: Config = url.parse().map_err(|source| AddressError::Malformed { source })?;
        if config.get_ssl_mode() == SslMode::Require {
            return Err(AddressError::Encrypted);
        }
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            config.host_path("/run/postgresql");
        }
        if let Some(password) = password {
            config.password(password);
        }
        if config.get_application_name().is_none() {
            config.application_name("ironmaster");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_MAX);
        }
        config
            .keepalives_idle(PROBE_AFTER)
            .keepalives_interval(PROBE_EVERY)
            .keepalives_retries(PROBES)
            .tcp_user_timeout(ACKNOWLEDGED_MAX);
        let options = match config.get_options() {
            Some(given) => format!("{SETTINGS} {given}"),
            None => SETTINGS.to_owned(),
        };
        config.options(options);
        let shown = shown(&config);
        Ok(Self { config, shown })
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }
}

fn shown(config: &Config) -> String {
    let user = config
        .get_user()
        .map(|user| format!("{user}@"))
        .unwrap_or_default();
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .map(|host| match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(path) => path.display().to_string(),
        })
        .collect();
    let port = match config.get_ports() {
        [] => String::new(),
        [port, ..] => format!(":{port}"),
    };
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("postgres://{user}{}{port}/{database}", hosts.join(","))
}

impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresAddress").field(&self.shown).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_never_shown() {
        for (url, password, expected) in [
            (
                "postgres://ci@db.example.org:5433/builds",
                Some("secret"),
                "postgres://ci@db.example.org:5433/builds",
            ),
            (
                "postgres://ci:secret@localhost/builds",
                None,
                "postgres://ci@localhost:5432/builds",
            ),
            (
                "postgres://ci@/builds?host=/run/pg",
                Some("secret"),
                "postgres://ci@/run/pg/builds",
            ),
            ("postgres:///builds", None, "postgres:///run/postgresql/builds"),
        ] {
            let address = PostgresAddress::new(url, password).unwrap();
            assert_eq!(address.to_string(), expected);
            assert!(!format!("{address:?}").contains("secret"));
        }
    }

    #[test]
    fn odd_addresses_are_refused() {
        let refused = |url: &str| PostgresAddress::new(url, None).unwrap_err();
        assert!(matches!(refused("mysql://x"), AddressError::Malformed { .. }));
        assert!(matches!(
            refused("postgres://x/y?port=high"),
            AddressError::Malformed { .. }
        ));
        assert!(matches!(
            refused("postgres://x/y?sslmode=require"),
            AddressError::Encrypted
        ));
    }
}
