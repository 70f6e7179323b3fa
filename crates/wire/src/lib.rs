//! The native worker protocol, without any input or output of its own.
//!
//! A worker opens one WebSocket to its master (path [`PATH`]). Control messages are JSON text frames
//! ([`WorkerMessage`], [`MasterMessage`]); what commands print travels in binary frames ([`OutputChunk`]).
//! `docs/worker-protocol.md` describes the same for people who write a worker in another language.
//!
//! The two ends of one connection are state machines in the style of `quinn-proto`: [`MasterSession`] and
//! [`WorkerSession`] are fed frames and the time, and are asked for frames to send, events, and the time at
//! which they want to be woken. They know no socket, clock or runtime. What must outlive a connection (a
//! running command, its spool, a build) belongs to their owners.
//!
//! ```
//! use std::time::Duration;
//! use ironmaster_wire::{Frame, Limits, MasterEvent, MasterSession, Welcome};
//!
//! let mut session = MasterSession::new(Limits::default(), Duration::ZERO);
//! let hello = r#"{"type":"hello","protocol_min":1,"protocol_max":1,"name":"linux-1","token":"t",
//!                 "instance":"a1","boot":"b1","version":"0.1.0","capabilities":{"resumes":true},
//!                 "info":{},"commands":[]}"#;
//! session.feed(Frame::Text(hello.into()), Duration::ZERO)?;
//! assert!(matches!(session.poll_event(), Some(MasterEvent::Hello(hello)) if hello.name == "linux-1"));
//! session.welcome(Welcome::new("session-1"), Duration::ZERO)?;
//! assert!(matches!(session.poll_send(), Some(Frame::Text(text)) if text.contains(r#""type":"welcome""#)));
//! # Ok::<(), ironmaster_wire::ProtocolError>(())
//! ```

pub mod base64_text;
mod error;
mod frame;
mod heartbeat;
mod id;
mod limits;
mod master;
mod message;
mod verb;
mod worker;

pub use error::{FrameError, ProtocolError};
pub use frame::{Frame, MAX_CHUNK, OUTPUT_HEADER_LEN, OutputChunk, Stream};
pub use id::{CommandId, InvalidCommandId};
pub use limits::Limits;
pub use master::{MasterEvent, MasterSession};
pub use message::{
    Capabilities, CommandReport, Exited, Hello, MasterMessage, Welcome, WorkerInfo, WorkerMessage,
};
pub use verb::{Ending, Exec, FailureKind, LogFile, MAX_LOG_FILES, MAX_PUT, Outcome, Put, TimeoutKind, Verb};
pub use worker::{WorkerEvent, WorkerSession};

/// The path of the WebSocket on the master's HTTP port.
pub const PATH: &str = "/worker";
/// The oldest protocol version that this code speaks.
pub const PROTOCOL_MIN: u32 = 1;
/// The newest protocol version that this code speaks.
pub const PROTOCOL_MAX: u32 = 1;
