//! Who is asking. People log in with an access token and get a session cookie; machines send the token itself as
//! `Authorization: Bearer …`. Tokens are random and kept only as SHA-256; comparing takes the same time wherever
//! they differ. Failed tries are slowed down per address.
//!
//! A session cookie says which token it came from, not what that token may do: taking a token out of the settings
//! ends its sessions, too.

pub mod routes;
mod session;

use std::{
    fmt,
    net::IpAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::http::{HeaderMap, header};
use ironmaster_master::{Limiter, network};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use self::session::Sessions;
use crate::{
    error::ApiError,
    settings::{ApiSettings, Reading},
};

/// What somebody may do. Each role includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Read.
    Reader,
    /// Control.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Reader => "reader",
            Role::Admin => "admin",
        })
    }
}

/// The user's name of whoever calls through the socket of the state directory.
pub const LOCAL: &str = "local";

/// A token that somebody logs in with.
#[derive(Clone, Debug)]
pub struct AccessToken {
    /// Whose it is; shown as the owner of what is done with it.
    pub user: String,
    /// SHA-256 (hex) of the token.
    pub sha256: String,
    /// What it allows.
    pub role: Role,
}

impl AccessToken {
    /// A token by its secret text.
    pub fn new(user: impl Into<String>, token: &str, role: Role) -> Self {
        Self {
            user: user.into(),
            sha256: hex::encode(Sha256::digest(token.as_bytes())),
            role,
        }
    }
}

/// Who is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Nobody in particular.
    Anonymous,
    /// A holder of a token.
    User {
        /// Whose token.
        name: String,
        /// What it allows.
        role: Role,
        /// Whether a browser sent a cookie (and not a machine its token).
        by_cookie: bool,
    },
}

impl Identity {
    /// The user's name, if there is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Identity::Anonymous => None,
            Identity::User { name, .. } => Some(name),
        }
    }

    /// The user's name, or `anonymous`.
    pub fn owner(&self) -> &str {
        self.name().unwrap_or("anonymous")
    }

    /// `user_info` as `/config` and `/auth/user` show it.
    pub fn user_info(&self) -> Value {
        match self {
            Identity::Anonymous => json!({ "anonymous": true }),
            Identity::User { name, role, .. } => {
                json!({ "username": name, "full_name": name, "role": role.to_string() })
            }
        }
    }
}

/// Checks tokens and cookies.
#[derive(Debug)]
pub struct Auth {
    tokens: Vec<Known>,
    reading: Reading,
    sessions: Sessions,
    limiter: Limiter<IpAddr>,
}

#[derive(Debug)]
struct Known {
    user: String,
    role: Role,
    sha256: [u8; 32],
    /// Names the token in cookies without telling anything of it.
    fingerprint: String,
}

impl Auth {
    /// By the settings. A token whose hash is not one is left out and logged.
    pub fn new(settings: &ApiSettings) -> Self {
        let tokens = settings
            .tokens
            .iter()
            .filter_map(|token| {
                let mut sha256 = [0; 32];
                if hex::decode_to_slice(&token.sha256, &mut sha256).is_err() {
                    tracing::error!(user = %token.user, "the hash of this user's token is not SHA-256 in hex; the token is ignored");
                    return None;
                }
                let fingerprint = hex::encode(&Sha256::digest(sha256)[..8]);
                Some(Known { user: token.user.clone(), role: token.role, sha256, fingerprint })
            })
            .collect();
        Self {
            tokens,
            reading: settings.reading,
            sessions: Sessions::new(settings),
            limiter: Limiter::default(),
        }
    }

    /// Whether anybody can log in.
    pub fn has_tokens(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// Who sends these headers from `peer`. A wrong bearer token is an error; a cookie that is not (or no longer) good
    /// means nobody.
    pub fn identify(&self, headers: &HeaderMap, peer: IpAddr) -> Result<Identity, ApiError> {
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let text = value.to_str().unwrap_or("");
            if let Some((scheme, token)) = text.split_once(' ')
                && scheme.eq_ignore_ascii_case("bearer")
            {
                let known = self.check(token.trim(), peer)?;
                return Ok(known.identity(false));
            }
            // Other schemes (Basic for a proxy in front) have no effect, as in Buildbot.
        }
        let Some(cookie) = self.sessions.cookie_of(headers) else {
            return Ok(Identity::Anonymous);
        };
        let session = self.sessions.verify(cookie, now());
        let known = session.and_then(|session| {
            self.tokens
                .iter()
                .find(|known| known.fingerprint == session.fingerprint)
        });
        Ok(known.map_or(Identity::Anonymous, |known| known.identity(true)))
    }

    /// Refuses who lacks the role.
    pub fn require(&self, identity: &Identity, role: Role) -> Result<(), ApiError> {
        let allowed = match identity {
            Identity::Anonymous => role == Role::Reader && self.reading == Reading::Open,
            Identity::User { role: has, .. } => *has >= role,
        };
        if allowed {
            Ok(())
        } else {
            Err(ApiError::Forbidden(role))
        }
    }

    /// Exchanges a token for who it is and a `Set-Cookie` value.
    pub fn log_in(&self, token: &str, peer: IpAddr) -> Result<(Identity, String), ApiError> {
        let known = self.check(token, peer)?;
        tracing::info!(user = %known.user, %peer, "logged in");
        Ok((
            known.identity(true),
            self.sessions.issue(&known.fingerprint, now()),
        ))
    }

    /// Ends the session that the headers carry; returns the `Set-Cookie` value that removes it.
    pub fn log_out(&self, headers: &HeaderMap) -> String {
        if let Some(cookie) = self.sessions.cookie_of(headers) {
            self.sessions.revoke(cookie, now());
        }
        self.sessions.removal()
    }

    /// A fresh cookie for a session whose life is half over, so that only unused sessions end.
    pub fn refreshed(&self, headers: &HeaderMap) -> Option<String> {
        let session = self.sessions.verify(self.sessions.cookie_of(headers)?, now())?;
        let known = self
            .tokens
            .iter()
            .find(|known| known.fingerprint == session.fingerprint)?;
        self.sessions
            .is_half_over(&session, now())
            .then(|| self.sessions.issue(&known.fingerprint, now()))
    }

    /// Whether credentials are good, which `verify` finds out; failed tries count against `peer`.
    pub fn limited(&self, peer: IpAddr, verify: impl FnOnce() -> bool) -> Result<(), ApiError> {
        let (at, guesser) = (Instant::now(), network(peer));
        if let Some(wait) = self.limiter.wait(&guesser, at) {
            return Err(ApiError::TooManyTries {
                seconds: wait.as_secs().max(1),
            });
        }
        if verify() {
            return Ok(());
        }
        if self.limiter.failed(guesser, at) {
            tracing::warn!(%peer, "a wrong access token was sent; further tries from there are slowed down");
        }
        Err(ApiError::BadCredentials)
    }

    fn check(&self, token: &str, peer: IpAddr) -> Result<&Known, ApiError> {
        let mut found = None;
        self.limited(peer, || {
            let digest = Sha256::digest(token.as_bytes());
            // All are compared, so that the time does not tell which one was nearly right.
            for known in &self.tokens {
                if bool::from(known.sha256.ct_eq(digest.as_slice())) {
                    found = Some(known);
                }
            }
            found.is_some()
        })?;
        found.ok_or(ApiError::BadCredentials)
    }
}

impl Known {
    fn identity(&self, by_cookie: bool) -> Identity {
        Identity::User {
            name: self.user.clone(),
            role: self.role,
            by_cookie,
        }
    }
}

/// Time since 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::http::HeaderValue;

    use super::*;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn auth(change: impl FnOnce(&mut ApiSettings)) -> Auth {
        let mut settings = ApiSettings::new("http://localhost:8010/");
        settings.session_secret = [7; 32];
        settings.tokens = vec![
            AccessToken::new("admin", "correct horse", Role::Admin),
            AccessToken::new("screen", "battery staple", Role::Reader),
        ];
        change(&mut settings);
        Auth::new(&settings)
    }

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    fn cookie_of(set_cookie: &str) -> HeaderMap {
        headers(
            header::COOKIE,
            &format!("other=1; {}", set_cookie.split(';').next().unwrap()),
        )
    }

    #[test]
    fn a_session_lasts_over_a_restart_and_ends_with_its_token() {
        let (identity, cookie) = auth(|_| {}).log_in("correct horse", PEER).unwrap();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"));
        assert_eq!(identity.owner(), "admin");
        let headers = cookie_of(&cookie);
        let restarted = auth(|_| {});
        assert_eq!(restarted.identify(&headers, PEER).unwrap(), identity);
        let without = auth(|settings| settings.tokens.truncate(0));
        assert_eq!(without.identify(&headers, PEER).unwrap(), Identity::Anonymous);
        let other_secret = auth(|settings| settings.session_secret = [8; 32]);
        assert_eq!(
            other_secret.identify(&headers, PEER).unwrap(),
            Identity::Anonymous
        );
        restarted.log_out(&headers);
        assert_eq!(restarted.identify(&headers, PEER).unwrap(), Identity::Anonymous);
    }

    #[test]
    fn roles_decide() {
        let auth = auth(|settings| settings.reading = Reading::LoggedIn);
        let bearer =
            |token: &str| auth.identify(&headers(header::AUTHORIZATION, &format!("Bearer {token}")), PEER);
        let admin = bearer("correct horse").unwrap();
        let reader = bearer("battery staple").unwrap();
        assert!(auth.require(&admin, Role::Admin).is_ok());
        assert!(auth.require(&reader, Role::Reader).is_ok());
        assert_eq!(
            auth.require(&reader, Role::Admin).unwrap_err().to_string(),
            "you need to have role 'admin'"
        );
        assert!(auth.require(&Identity::Anonymous, Role::Reader).is_err());
        assert!(matches!(bearer("wrong"), Err(ApiError::BadCredentials)));
    }

    #[test]
    fn guessing_is_slowed_down_for_the_guesser_only() {
        let auth = auth(|_| {});
        let tries = (0..100)
            .take_while(|_| matches!(auth.log_in("guess", PEER), Err(ApiError::BadCredentials)))
            .count();
        assert!((5..50).contains(&tries), "{tries} free tries");
        assert!(matches!(
            auth.log_in("correct horse", PEER),
            Err(ApiError::TooManyTries { .. })
        ));
        assert!(
            auth.log_in("correct horse", IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)))
                .is_ok()
        );
    }
}
