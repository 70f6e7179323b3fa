//! Buildbot's wire protocols, both directions, without any input or output of their own.
//!
//! A stock `buildbot-worker` speaks one of two protocols to its master: Perspective Broker over TCP ([`pb`]), which
//! `buildbot sendchange` and `buildbot try` speak too, or msgpack over a WebSocket ([`msgpack`]). `docs/reference` describes
//! both byte by byte. This room speaks them from both sides: as a master to stock workers and clients, and as a worker to a
//! stock master.
//!
//! From the bottom up: [`banana`] makes elements of bytes, [`jelly`] makes a [`Value`] of elements, and so does
//! [`msgpack::decode`] of a message. [`pb::Broker`] calls objects on the other side and is called. What Buildbot says with them is
//! typed once for both protocols: [`Command`], [`Update`], [`Transfer`]. A master's end is a [`MasterEnd`] and a worker's a
//! [`WorkerEnd`], so whoever has one need not know which protocol it speaks. [`pb::Door`] stands before all who connect over TCP;
//! who has proved its password becomes a [`pb::MasterSession`], a [`pb::ChangesSession`] or a [`pb::TrySession`].
//!
//! All of them are fed bytes and are asked for events and for bytes to send. They know no socket, no clock and no chance: the challenge
//! of a login comes from the owner, and so does the moment of a sign of life.
//!
//! ```
//! use ironmaster_buildbot::{MasterEnd, MasterEvent, WorkerEnd, WorkerInfo, pb};
//!
//! let password = pb::PasswordDigest::of("secret");
//! let mut worker = pb::WorkerSession::new("linux-1", password, WorkerInfo::default());
//! // From the system's random numbers.
//! let mut door = pb::Door::new(pb::Challenge([7; 16]));
//! let login = loop {
//!     while let Some(bytes) = door.poll_send() {
//!         worker.feed(&bytes)?;
//!     }
//!     while let Some(bytes) = worker.poll_send() {
//!         door.feed(&bytes)?;
//!     }
//!     if let Some(login) = door.poll_login() {
//!         break login;
//!     }
//! };
//! assert!(login.user == "linux-1" && login.proves(&password));
//! let mut master = pb::MasterSession::admit(door, &login)?;
//! while let Some(bytes) = master.poll_send() {
//!     worker.feed(&bytes)?;
//! }
//! while let Some(bytes) = worker.poll_send() {
//!     master.feed(&bytes)?;
//! }
//! assert!(matches!(master.poll_event(), Some(MasterEvent::Info(_))));
//! # Ok::<(), ironmaster_buildbot::SessionError>(())
//! ```
//!
//! **Invariant:** bytes of a peer become one of the forms that are listed here, or an error that says where. Nothing that a peer
//! names is looked up, made or run.

pub mod banana;
mod command;
mod fields;
mod info;
pub mod jelly;
mod limits;
pub mod msgpack;
mod paths;
pub mod pb;
mod session;
mod update;
mod value;

pub use banana::EncodeError;
pub use command::{
    Argument, Command, CommandError, CommandLine, Compression, DownloadFile, EnvValue, LogFile, Place, Shell,
    TimeLimits, UploadDirectory, UploadFile,
};
pub use fields::{FieldError, FieldProblem};
pub use info::WorkerInfo;
pub use limits::Limits;
pub use paths::PathStyle;
pub use session::{
    Builder, CommandId, MasterEnd, MasterEvent, SessionError, Ticket, Transfer, WorkerEnd, WorkerEvent,
};
pub use update::{FailureReason, FileStat, Lines, Stream, Update};
pub use value::{Copied, ObjectId, Value};
