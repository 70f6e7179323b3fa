//! How much one end of a connection accepts from the other.

use std::time::Duration;

/// The bounds of one session. The default is what the protocol's document promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest text frame in bytes.
    pub max_text: usize,
    /// The largest payload of a binary frame in bytes (its header comes on top).
    pub max_binary: usize,
    /// How long the other side may take until the greeting is complete.
    pub handshake: Duration,
    /// The most commands that a worker may report in its greeting.
    pub max_reported: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_text: 1024 * 1024,
            max_binary: 256 * 1024,
            handshake: Duration::from_secs(30),
            max_reported: 2048,
        }
    }
}

impl Limits {
    /// The largest frame of any kind: what to tell the WebSocket library.
    pub fn max_frame(&self) -> usize {
        self.max_text.max(self.max_binary + crate::OUTPUT_HEADER_LEN)
    }
}
