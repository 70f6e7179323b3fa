//! Workers that are turned away: how often somebody may try, and what the log says of it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::limiter::{Limiter, network};

/// Why somebody was not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAdmitted {
    /// For people. Does not tell whether it is the name or the secret that is wrong.
    pub reason: String,
    /// Whether the same secret may be the right one later on: it was not looked at.
    pub later: bool,
}

/// Slows down who guesses at secrets, and says in the log who was refused, at most once a while for each address, so that a
/// misconfigured worker cannot flood it.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// Failed tries of an address at a name that there is, or (empty) at all that there are not. Not at all names together: of several
    /// workers behind one address, one may have a wrong token.
    guesses: Limiter<(String, String)>,
    told: Mutex<BTreeMap<String, (Instant, u64)>>,
}

impl Refusals {
    const INTERVAL: Duration = Duration::from_secs(10);
    const ADDRESSES_MAX: usize = 1024;

    /// Whether somebody is who he says, which `check` finds out; `exists` says whether the configuration has that name.
    pub(crate) fn admit<T>(
        &self,
        peer: &str,
        name: &str,
        exists: bool,
        check: impl FnOnce() -> Result<T, String>,
    ) -> Result<T, NotAdmitted> {
        let guessed_at = if exists { name } else { "" };
        let (guesser, now) = ((network_of(peer), guessed_at.to_owned()), Instant::now());
        let refused = match self.guesses.wait(&guesser, now) {
            Some(wait) => NotAdmitted {
                reason: format!(
                    "too many wrong tokens came from this address for \"{name}\"; the next one is looked at in {} s",
                    wait.as_secs() + 1
                ),
                later: true,
            },
            None => match check() {
                Ok(known) => return Ok(known),
                Err(reason) => {
                    self.guesses.failed(guesser, now);
                    NotAdmitted { reason, later: false }
                }
            },
        };
        self.note(peer, name, &refused.reason);
        Err(refused)
    }

    /// Says who was refused.
    pub(crate) fn note(&self, peer: &str, worker: &str, reason: &str) {
        if let Some((peer, unsaid_before)) = self.is_told(peer) {
            tracing::warn!(peer, worker, reason, unsaid_before, "a worker was refused");
        }
    }

    pub(crate) fn note_no_tls(&self, peer: &str, reason: &str) {
        if let Some((peer, unsaid_before)) = self.is_told(peer) {
            tracing::warn!(
                peer,
                reason,
                unsaid_before,
                "a connection for Perspective Broker was closed, as it came to no TLS"
            );
        }
    }

    /// The address, and how often nothing was said about it meanwhile; none if nothing is to be said this time, either.
    fn is_told(&self, peer: &str) -> Option<(String, u64)> {
        let address = address_of(peer).map_or_else(|| peer.to_owned(), |address| address.to_string());
        let mut noted = self.told.lock().expect("no panic while holding the lock");
        if noted.len() >= Self::ADDRESSES_MAX {
            noted.retain(|_, (at, _)| at.elapsed() < Self::INTERVAL);
        }
        if noted.len() >= Self::ADDRESSES_MAX && !noted.contains_key(&address) {
            return None;
        }
        let now = Instant::now();
        let (at, unsaid) = noted
            .entry(address.clone())
            .or_insert((now.checked_sub(Self::INTERVAL).unwrap_or(now), 0));
        if at.elapsed() < Self::INTERVAL {
            *unsaid += 1;
            return None;
        }
        *at = now;
        Some((address, std::mem::take(unsaid)))
    }
}

/// Without the port, which is another one each time.
fn address_of(peer: &str) -> Option<IpAddr> {
    let socket = peer.parse::<SocketAddr>().map(|peer| peer.ip());
    socket.or_else(|_| peer.parse()).ok()
}

fn network_of(peer: &str) -> String {
    address_of(peer).map_or_else(|| peer.to_owned(), |address| network(address).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_at_one_name_are_slowed_down_and_others_are_not() {
        let refusals = Refusals::default();
        let guess = |peer: &str, name: &str, right: bool| {
            let check = || if right { Ok(()) } else { Err("wrong".to_owned()) };
            refusals.admit(peer, name, name.len() == 1, check)
        };
        for port in 1..=10 {
            let refused = guess(&format!("192.0.2.1:{port}"), "w", false).unwrap_err();
            assert_eq!((&refused.reason[..], refused.later), ("wrong", false));
        }
        let refused = guess("192.0.2.1:11", "w", true).unwrap_err();
        assert!(
            refused.later && refused.reason.contains("too many"),
            "{refused:?}"
        );
        assert_eq!(guess("192.0.2.1", "w", true), Err(refused), "on whichever port");
        assert_eq!(guess("192.0.2.1:11", "x", true), Ok(()));
        assert_eq!(guess("192.0.2.2:11", "w", true), Ok(()));
        // Invented names take no memory each, and do not push out who guesses at a real one.
        for number in 0..10_000 {
            assert!(guess("192.0.2.1:11", &format!("invented {number}"), false).is_err());
        }
        assert!(guess("192.0.2.1:11", "w", true).is_err());
        assert!(guess("192.0.2.1:11", "y", true).is_ok());
    }
}
