//! Everything that can be wrong with what the other side sends.

use std::time::Duration;

use crate::CommandId;

/// Why a connection cannot go on, in words for the log and for the other side.
///
/// Unless a method says otherwise, an error ends the session: send what [`poll_send`](crate::MasterSession::poll_send)
/// still gives (it tells the other side the reason), then close the connection. Commands are not affected.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// A frame is larger than agreed.
    #[error("a {kind} frame of {size} bytes is larger than the limit of {limit}")]
    TooLarge {
        /// `text` or `binary`.
        kind: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A text frame is not a message of this protocol version.
    #[error("not a message of this protocol: {0}")]
    BadMessage(#[source] serde_json::Error),
    /// A binary frame is malformed.
    #[error(transparent)]
    BadFrame(#[from] FrameError),
    /// A message came at a moment where it may not come.
    #[error("{got} may not come {when}")]
    OutOfOrder {
        /// The message's type.
        got: &'static str,
        /// The state of the conversation.
        when: &'static str,
    },
    /// There is no version that both sides speak.
    #[error(
        "no common protocol version: the other side speaks {their_min} to {their_max}, this side {our_min} to {our_max}; upgrade the older one"
    )]
    Version {
        /// The oldest version of the other side.
        their_min: u32,
        /// The newest version of the other side.
        their_max: u32,
        /// The oldest version of this side.
        our_min: u32,
        /// The newest version of this side.
        our_max: u32,
    },
    /// A field has a value that makes no sense.
    #[error("{message}: {problem}")]
    BadField {
        /// The message's type.
        message: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// Output or an outcome of a command that this connection does not know.
    #[error("{got} for command {id}, which was neither started nor resumed on this connection")]
    UnknownCommand {
        /// The message's type.
        got: &'static str,
        /// The command.
        id: CommandId,
    },
    /// Output does not continue where the last chunk ended.
    #[error("output of command {id} continues at byte {got}, expected byte {expected}")]
    Gap {
        /// The command.
        id: CommandId,
        /// The next byte that was due.
        expected: u64,
        /// The byte that came.
        got: u64,
    },
    /// The worker sent more than it may without an acknowledgement.
    #[error("output of command {id} reaches byte {end}, but only bytes below {limit} were allowed")]
    WindowExceeded {
        /// The command.
        id: CommandId,
        /// The end of the chunk.
        end: u64,
        /// The end of the window.
        limit: u64,
    },
    /// An acknowledgement of bytes that were never sent.
    #[error("output of command {id} acknowledged up to byte {offset}, but only {sent} were sent")]
    AckBeyondSent {
        /// The command.
        id: CommandId,
        /// The acknowledged offset.
        offset: u64,
        /// The bytes that were sent.
        sent: u64,
    },
    /// The worker no longer has the bytes that are asked for. The connection is unharmed.
    #[error("command {id} cannot be resumed at byte {offset}: the worker has bytes {start} to {end}")]
    CannotResume {
        /// The command.
        id: CommandId,
        /// The byte asked for.
        offset: u64,
        /// The oldest byte that the worker has.
        start: u64,
        /// The end of what the worker has.
        end: u64,
    },
    /// The other side has not been heard for too long.
    #[error("nothing heard from the other side for {:.1} s", .silence.as_secs_f64())]
    Silent {
        /// How long nothing came.
        silence: Duration,
    },
    /// The greeting did not complete in time.
    #[error("the greeting was not complete within {:.0} s", .after.as_secs_f64())]
    HandshakeTimeout {
        /// The time allowed.
        after: Duration,
    },
    /// This side called a method at a moment where it may not be called. The connection is unharmed.
    #[error("{call} may not be called {when}")]
    Misuse {
        /// The method.
        call: &'static str,
        /// The state of the conversation.
        when: &'static str,
    },
    /// The session has ended.
    #[error("the session has ended")]
    Closed,
}

/// Why a binary frame is malformed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Shorter than its header.
    #[error("a binary frame of {0} bytes is shorter than its header of 26 bytes")]
    Short(usize),
    /// The first byte names no kind of frame.
    #[error("binary frame of unknown kind {0}")]
    Kind(u8),
    /// The second byte names no stream.
    #[error("binary frame for unknown stream {0}")]
    Stream(u8),
    /// Offset and length leave the range of 64 bits.
    #[error("binary frame whose offset {0} plus length leaves the range")]
    Offset(u64),
}
