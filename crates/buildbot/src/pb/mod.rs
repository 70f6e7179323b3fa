//! Perspective Broker: calls of objects on the other side, and what Buildbot does with them.
//!
//! [`Broker`] is the mechanism: negotiation, calls, answers, references. [`Door`] lets somebody in who knows a password. Behind it a worker
//! is met by [`MasterSession`], `buildbot sendchange` by [`ChangesSession`], `buildbot try` by [`TrySession`]. [`WorkerSession`] is the
//! other side of the first: a worker that serves a stock master.

mod broker;
mod changes;
mod door;
mod failure;
mod login;
mod master;
mod tries;
mod worker;

pub use broker::{Broker, Call, PbError, PbEvent, RequestId};
pub use changes::{ChangeRequest, ChangesEvent, ChangesSession, SentChange};
pub use door::{Door, Login};
pub use failure::Failure;
pub use login::{Challenge, PasswordDigest, Response};
pub use master::{MasterSession, SET_BUILDERS};
pub use tries::{TryEvent, TryJob, TryRequest, TrySession};
pub use worker::WorkerSession;
