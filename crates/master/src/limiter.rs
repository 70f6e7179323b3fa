//! Slows down guessing: each guesser has a few failed tries, which come back one by one.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::Mutex,
    time::{Duration, Instant},
};

/// Failed tries in a row that are free.
const BURST: u32 = 10;
/// How long one of them takes to come back.
const REFILL: Duration = Duration::from_secs(6);
/// Guessers remembered. When there are more, those that failed longest ago are forgotten.
const GUESSERS_MAX: usize = 4096;

/// Counts failed tries of each guesser: an [address](network), or an address and what is guessed at.
#[derive(Debug)]
pub struct Limiter<K> {
    failures: Mutex<BTreeMap<K, Failures>>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    /// When the count last changed.
    since: Instant,
}

impl<K> Default for Limiter<K> {
    fn default() -> Self {
        Self {
            failures: Mutex::default(),
        }
    }
}

impl<K: Ord + Clone> Limiter<K> {
    /// How long this guesser has to wait before its next try, if it has to.
    pub fn wait(&self, guesser: &K, now: Instant) -> Option<Duration> {
        let failures = self.failures.lock().expect("no panic while holding the lock");
        let failures = failures.get(guesser)?.at(now);
        (failures.count >= BURST)
            .then(|| REFILL.saturating_sub(now.saturating_duration_since(failures.since)))
    }

    /// Notes a failed try. Returns whether it is worth a line in the log (the first one, and each that exhausts the
    /// tries), so that a guesser cannot fill the disk.
    pub fn failed(&self, guesser: K, now: Instant) -> bool {
        let mut all = self.failures.lock().expect("no panic while holding the lock");
        if all.len() >= GUESSERS_MAX {
            all.retain(|_, failures| failures.at(now).count > 0);
        }
        if all.len() >= GUESSERS_MAX
            && let Some(oldest) = all
                .iter()
                .min_by_key(|(_, failures)| failures.since)
                .map(|(guesser, _)| guesser.clone())
        {
            all.remove(&oldest);
        }
        let failures = all.entry(guesser).or_insert(Failures { count: 0, since: now });
        *failures = failures.at(now);
        failures.count += 1;
        failures.since = now;
        failures.count == 1 || failures.count == BURST
    }
}

impl Failures {
    /// What is left of them at `now`.
    fn at(self, now: Instant) -> Self {
        let elapsed = now.saturating_duration_since(self.since);
        let refilled = u32::try_from(elapsed.as_secs() / REFILL.as_secs()).unwrap_or(u32::MAX);
        if refilled == 0 {
            return self;
        }
        Self {
            count: self.count.saturating_sub(refilled),
            since: self.since + REFILL * refilled.min(self.count.max(1)),
        }
    }
}

/// Those addresses that one guesser has: one customer of an IPv6 provider has a whole /64.
pub fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let bits = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_come_back_with_time() {
        let limiter = Limiter::default();
        let start = Instant::now();
        for _ in 0..BURST {
            assert_eq!(limiter.wait(&"peer", start), None);
            limiter.failed("peer", start);
        }
        assert_eq!(limiter.wait(&"peer", start), Some(REFILL));
        assert_eq!(limiter.wait(&"another", start), None);
        assert_eq!(limiter.wait(&"peer", start + REFILL), None);
        limiter.failed("peer", start + REFILL);
        assert!(limiter.wait(&"peer", start + REFILL).is_some());
        assert_eq!(limiter.wait(&"peer", start + REFILL * 100), None);
    }

    #[test]
    fn an_ipv6_network_is_one_guesser() {
        let [one, same, other] =
            ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(|text| network(text.parse().unwrap()));
        assert_eq!(one, same);
        assert_ne!(one, other);
        let mapped = network("::ffff:192.0.2.1".parse().unwrap());
        assert_eq!(mapped, network("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn memory_is_bounded() {
        let limiter = Limiter::default();
        let now = Instant::now();
        for n in 0..GUESSERS_MAX + 100 {
            limiter.failed(n, now);
        }
        assert!(limiter.failures.lock().unwrap().len() <= GUESSERS_MAX);
    }
}
