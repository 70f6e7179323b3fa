//! Composition: the committer, the runner of builds, worker sessions, timers and recovery, behind the
//! [`Master`] handle. Start at `committer.rs`: everything that changes state goes through it.
//!
//! * `committer`: inputs in, decisions, one durable commit, and only then action.
//! * `callbacks`: the configuration's own functions, asked before a decision.
//! * `feed`: committed events for everybody who follows them.
//! * `runner`: one task a build; drives its steps, writes its logs, reports outcomes.
//! * `workers`: what the master knows of connected workers; `session` speaks the native protocol with one.
//! * `sources`: one task a change source.
//!
//! **Invariant:** nothing here speaks HTTP, and nothing acts before the commit that allows it.

mod callbacks;
mod committer;
mod crash;
mod feed;
mod handle;
mod health;
mod logs;
mod options;
mod runner;
mod session;
mod sources;
mod start;
mod workers;

pub use committer::SubmitError;
pub use feed::{FeedError, FeedReader, Hint};
pub use handle::Master;
pub use health::{Condition, Health};
pub use logs::{LogHandle, LogReadError};
pub use options::MasterOptions;
pub use start::StartError;
