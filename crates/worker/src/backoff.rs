//! How long a worker waits before it connects again.

use std::time::Duration;

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

    /// The connection was a good one: the next pause is a short one again.
    pub const fn reset(&mut self) {
        self.next = self.shortest;
    }
}
