//! The HTTP surface: a registry of methods, and the transports that dispatch into it.
//!
//! Start reading at [`mod@registry`]: every method is defined there once, with its paths, parameters, permission and
//! documentation. [`rest`] answers GET, [`control`] answers actions by JSON-RPC, [`events`] tells what has changed.
//! [`auth`] says who may do what. `docs/api.md` is the guide for users, `docs/reference/rest-api-v2.md` the
//! reference of the wire format.
//!
//! **Invariant:** everything that changes goes through the [`Master`](ironmaster_master::Master) handle, everything that is
//! read comes from the store's reader. Nothing here keeps state that a restart may not forget.
//!
//! **Invariant:** nothing of a client is taken without a bound: not its body, its head, its time, nor its topics.

pub mod app;
pub mod auth;
pub mod body;
pub mod control;
pub mod cors;
pub mod error;
pub mod events;
mod files;
pub mod health;
pub mod hook;
pub mod json;
pub mod query;
pub mod registry;
pub mod rest;
mod routes;
pub mod select;
pub mod server;
pub mod settings;
pub mod types;
pub mod ui;
pub mod worker;

pub use auth::{AccessToken, Role};
pub use registry::registry;
pub use server::{Listeners, LocalListener, SOCKET, ServerHandle, serve, serve_all};
pub use settings::{ApiSettings, Limits, Reading};
