//! Session cookies: `expiry.nonce.fingerprint.signature`, signed with HMAC-SHA256, so that they are good after a
//! restart without being stored. Those that somebody logged out of are remembered until they expire (in memory: a
//! restart forgets them, but browsers have dropped them by then).

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use axum::http::{HeaderMap, header};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::settings::ApiSettings;

/// Logged-out sessions remembered. When there are more, those that expire first are forgotten.
const REVOKED_MAX: usize = 10_000;

#[derive(Debug)]
pub(super) struct Sessions {
    name: String,
    key: [u8; 32],
    lifetime: Duration,
    secure: bool,
    /// Nonce to expiry in seconds since 1970.
    revoked: Mutex<BTreeMap<String, u64>>,
}

/// What a good cookie says.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) fingerprint: String,
    nonce: String,
    expires: u64,
}

impl Sessions {
    pub(super) fn new(settings: &ApiSettings) -> Self {
        // Cookies do not know ports: two masters on one host need different names.
        let name = format!(
            "ironmaster_{}",
            hex::encode(&Sha256::digest(settings.session_secret)[..4])
        );
        Self {
            name,
            key: settings.session_secret,
            lifetime: settings.session_lifetime,
            secure: settings.url.starts_with("https:"),
            revoked: Mutex::default(),
        }
    }

    /// Our cookie among those sent.
    pub(super) fn cookie_of<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, _)| *name == self.name)
            .map(|(_, value)| value)
    }

    /// A new session as a `Set-Cookie` value.
    pub(super) fn issue(&self, fingerprint: &str, now: Duration) -> String {
        let mut nonce = [0; 12];
        getrandom::fill(&mut nonce).expect("the operating system has randomness");
        let expires = (now + self.lifetime).as_secs();
        let text = format!("{expires}.{}.{fingerprint}", hex::encode(nonce));
        let signature = hex::encode(self.mac(&text).finalize().into_bytes());
        self.set_cookie(&format!("{text}.{signature}"), self.lifetime.as_secs())
    }

    /// The `Set-Cookie` value that removes the cookie.
    pub(super) fn removal(&self) -> String {
        self.set_cookie("", 0)
    }

    /// What a cookie says, if it is one of ours, not expired and not logged out of.
    pub(super) fn verify(&self, cookie: &str, now: Duration) -> Option<Session> {
        let (text, signature) = cookie.rsplit_once('.')?;
        self.mac(text).verify_slice(&hex::decode(signature).ok()?).ok()?;
        let mut parts = text.split('.');
        let expires = parts.next()?.parse().ok()?;
        let nonce = parts.next()?.to_owned();
        let fingerprint = parts.next()?.to_owned();
        let revoked = self
            .revoked
            .lock()
            .expect("no panic while holding the lock")
            .contains_key(&nonce);
        (expires > now.as_secs() && !revoked).then_some(Session {
            fingerprint,
            nonce,
            expires,
        })
    }

    pub(super) fn is_half_over(&self, session: &Session, now: Duration) -> bool {
        Duration::from_secs(session.expires).saturating_sub(now) < self.lifetime / 2
    }

    pub(super) fn revoke(&self, cookie: &str, now: Duration) {
        let Some(session) = self.verify(cookie, now) else {
            return;
        };
        let mut revoked = self.revoked.lock().expect("no panic while holding the lock");
        revoked.retain(|_, expires| *expires > now.as_secs());
        if revoked.len() >= REVOKED_MAX
            && let Some(first) = revoked
                .iter()
                .min_by_key(|(_, expires)| **expires)
                .map(|(nonce, _)| nonce.clone())
        {
            revoked.remove(&first);
        }
        revoked.insert(session.nonce, session.expires);
    }

    fn set_cookie(&self, value: &str, max_age: u64) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!(
            "{}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax{secure}",
            self.name
        )
    }

    fn mac(&self, text: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(text.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sessions() -> Sessions {
        let mut settings = ApiSettings::new("https://ci.example.org/");
        settings.session_secret = [3; 32];
        Sessions::new(&settings)
    }

    fn value(set_cookie: &str) -> String {
        set_cookie
            .split(';')
            .next()
            .unwrap()
            .split_once('=')
            .unwrap()
            .1
            .to_owned()
    }

    #[test]
    fn cookies_expire() {
        let sessions = sessions();
        let start = Duration::from_secs(1_000_000);
        let cookie = sessions.issue("f00d", start);
        assert!(cookie.ends_with("; Secure"));
        let cookie = value(&cookie);
        assert_eq!(sessions.verify(&cookie, start).unwrap().fingerprint, "f00d");
        assert!(sessions.verify(&cookie, start + sessions.lifetime).is_none());
        let session = sessions.verify(&cookie, start).unwrap();
        assert!(!sessions.is_half_over(&session, start));
        assert!(sessions.is_half_over(&session, start + sessions.lifetime * 2 / 3));
    }

    proptest! {
        #[test]
        fn a_changed_cookie_is_worth_nothing(at in any::<prop::sample::Index>(), to in "[0-9a-f.]") {
            let sessions = sessions();
            let cookie = value(&sessions.issue("f00d", Duration::ZERO));
            let mut changed = cookie.clone();
            let at = at.index(cookie.len());
            changed.replace_range(at..=at, &to);
            prop_assert_eq!(sessions.verify(&changed, Duration::ZERO).is_some(), changed == cookie);
        }
    }
}
