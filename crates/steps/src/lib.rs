//! The step library, and what steps are written against.
//!
//! A step is ordinary async code against a [`StepContext`]. Everything it asks of the world goes through the
//! context, which numbers the requests in program order: after a restart of the master the same code runs
//! again from its beginning, and each request is answered from its record or re-attached to the command that
//! still runs on the worker. So a step's code must ask for the same things in the same order when it gets
//! the same answers: no clock, no randomness, no state outside its own variables.
//!
//! To add a step: implement [`Step`], describe its fields in a `KindSpec`, and add both to `library.rs`.
//!
//! **Invariant:** no sockets, no version control or platform knowledge on the worker: a step is made of the
//! worker's verbs alone.

mod add_jobs;
mod command;
mod context;
mod download;
mod folders;
mod git;
mod host;
mod library;
mod params;
mod set_property;
mod shell;
mod step;
mod trigger;
mod upload;

pub use command::CommandResult;
pub use context::{CAPTURED_OUTPUT_MAX, StepContext};
pub use host::{CommandDone, HostError, LogStream, Output, StepEnvironment, StepHost, TriggerRequest};
pub use library::{make_step, step_kinds};
pub use params::ParamError;
pub use step::{Step, StepEnd, StepError};

#[cfg(test)]
mod fake_host;
