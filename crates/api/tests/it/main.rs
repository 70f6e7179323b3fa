//! The API against a real master.

mod auth;
mod control;
mod coverage;
mod events;
mod files;
mod hook;
mod logs;
mod operate;
mod read;
mod server;
mod shapes;
mod support;
mod tries;
