//! When to ask whether the other side still lives, and when to give it up.

use std::time::Duration;

use crate::ProtocolError;

/// One side's view of the other's signs of life.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    interval: Duration,
    last_heard: Duration,
    last_ping: Duration,
}

impl Heartbeat {
    pub(crate) fn new(interval: Duration, now: Duration) -> Self {
        Self {
            interval,
            last_heard: now,
            last_ping: now,
        }
    }

    pub(crate) fn heard(&mut self, now: Duration) {
        self.last_heard = self.last_heard.max(now);
    }

    /// Two missed answers and half an interval of margin: 25 s with the usual 10 s, so within the promised 30 s.
    fn patience(&self) -> Duration {
        self.interval * 5 / 2
    }

    fn ping_at(&self) -> Duration {
        self.last_heard.max(self.last_ping) + self.interval
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.ping_at().min(self.last_heard + self.patience())
    }

    /// Whether a ping is due; an error when the other side has been silent for too long.
    pub(crate) fn due(&mut self, now: Duration) -> Result<bool, ProtocolError> {
        if now >= self.last_heard + self.patience() {
            return Err(ProtocolError::Silent {
                silence: now.saturating_sub(self.last_heard),
            });
        }
        let due = now >= self.ping_at();
        if due {
            self.last_ping = now;
        }
        Ok(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_leads_to_pings_and_then_to_the_end() {
        let at = Duration::from_secs;
        let mut heartbeat = Heartbeat::new(at(10), at(100));
        let mut pings = Vec::new();
        let end = loop {
            let now = heartbeat.deadline();
            match heartbeat.due(now) {
                Ok(due) => {
                    assert!(due, "woken for nothing at {now:?}");
                    pings.push(now);
                }
                Err(error) => break (now, error.to_string()),
            }
        };
        assert_eq!(pings, [at(110), at(120)]);
        assert_eq!(
            end,
            (at(125), "nothing heard from the other side for 25.0 s".into())
        );
    }

    #[test]
    fn a_talking_peer_is_never_asked() {
        let at = Duration::from_secs;
        let mut heartbeat = Heartbeat::new(at(10), at(0));
        for second in 1..100 {
            assert!(!heartbeat.due(at(second)).unwrap());
            heartbeat.heard(at(second));
        }
    }
}
