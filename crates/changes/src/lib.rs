//! Change sources: pollers and hook parsers. They say what was committed; whether anything is built because
//! of it is decided elsewhere.

pub mod hook;
pub mod poller;

use ironmaster_model::KindSpec;

pub use hook::{HookError, parse_base};
pub use poller::{GitPoller, PollError, Polled, PolledChange, PollerState};

/// The kinds of change sources, for the catalogue.
pub fn change_source_kinds() -> Vec<KindSpec> {
    vec![poller::kind()]
}
