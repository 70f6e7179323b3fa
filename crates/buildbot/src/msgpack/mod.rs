//! The protocol `msgpack_experimental_v7`: the payloads of WebSocket messages. The WebSocket itself, and the login within its
//! HTTP head, belong to the owner.

mod codec;
mod envelope;
mod master;
mod settings;
mod worker;

pub use codec::{MsgpackError, MsgpackProblem, decode, encode};
pub use master::MasterSession;
pub use settings::Settings;
pub use worker::WorkerSession;
