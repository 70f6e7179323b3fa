//! What is due every so often.

use std::time::{Duration, Instant};

/// Something that is due every so often.
pub(super) struct Periodic {
    interval: Duration,
    last: Instant,
}

impl Periodic {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            last: Instant::now(),
        }
    }

    pub(super) fn left(&self) -> Duration {
        self.interval.saturating_sub(self.last.elapsed())
    }

    pub(super) fn due(&mut self) -> bool {
        let due = self.left().is_zero();
        if due {
            self.last = Instant::now();
        }
        due
    }
}
