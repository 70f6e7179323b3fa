//! Change sources: where commits come from. They say what was committed; whether anything is built because
//! of it is decided elsewhere.
//!
//! [`hook`] parses what is told over HTTP, [`poller`] goes and looks, and [`try_job`] reads what is not committed yet.
//! To add a kind of change source: describe it in [`change_source_kinds`], so that the configuration knows it, and give it a `from_def` and a `poll`
//! like those of [`GitPoller`]. [`read_file`] reads one file of a repository, for pipelines whose jobs stand in one.

pub mod hook;
pub mod poller;
pub mod try_job;

use ironmaster_model::KindSpec;

pub use hook::{HookError, authorized, parse_base};
pub use poller::{FileRead, FileRequest, GitPoller, PollError, Polled, PolledChange, PollerState, read_file};
pub use try_job::{TryJobError, parse_try_job};

/// The kinds of change sources, for the catalogue.
pub fn change_source_kinds() -> Vec<KindSpec> {
    vec![poller::kind()]
}
