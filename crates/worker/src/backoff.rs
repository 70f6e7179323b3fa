//! How long a worker waits before it connects again.

use std::time::Duration;

/// A connection that lasted so long was a good one, however long pauses may be.
const GOOD: Duration = Duration::from_secs(10);

/// Doubles from the shortest to the longest pause. Jitter keeps a fleet from coming back all at once.
#[derive(Debug)]
pub struct Backoff {
    shortest: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Begins with the shortest pause.
    pub const fn new(shortest: Duration, longest: Duration) -> Self {
        Self {
            shortest,
            longest,
            next: shortest,
        }
    }

    /// How long to wait now: between the half and the whole of what it stands at.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next.min(self.longest);
        self.next = (pause * 2).min(self.longest);
        let jitter = f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX);
        pause.mul_f64(0.5 + jitter / 2.0)
    }

    /// A connection has ended that lasted so long. If that was longer than the usual pauses, it was a good one. Otherwise the
    /// pauses go on growing: what ended it may end the next one as soon, and each costs the master something.
    pub fn ended_after(&mut self, lasted: Duration) {
        if lasted >= self.longest.min(GOOD) {
            self.reset();
        }
    }

    /// The connection was a good one: the next pause is a short one again.
    pub const fn reset(&mut self) {
        self.next = self.shortest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connection_that_lasted_makes_pauses_short_again() {
        let (shortest, longest) = (Duration::from_millis(100), Duration::from_secs(10));
        let mut backoff = Backoff::new(shortest, longest);
        for _ in 0..10 {
            let before = backoff.next;
            assert!((before / 2..=before).contains(&backoff.pause()));
            backoff.ended_after(longest / 2);
            assert_eq!(backoff.next, (before * 2).min(longest));
        }
        assert_eq!(backoff.next, longest);
        backoff.ended_after(longest);
        assert_eq!(backoff.next, shortest);
    }
}
