//! Composition: the committer, the runner of builds, worker sessions, timers and recovery, behind the
//! [`Master`] handle. Start at `committer.rs`: everything that changes state goes through it.
//!
//! * `committer`: inputs in, decisions, one durable commit, and only then action.
//! * `callbacks`: the configuration's own functions, asked before a decision.
//! * `reload`: configurations come into force, and are remembered; `leave`: how the master is asked to stop.
//! * `files`: what builds leave with the master and take from it.
//! * `feed`: committed events for everybody who follows them.
//! * `replay`: what changes would start under another configuration.
//! * `runner`: one task a build; drives its steps, writes its logs, reports outcomes.
//! * `workers`: what the master knows of connected workers; `session` speaks with one, in whichever protocol;
//!   `pb` is the port for Perspective Broker.
//! * `limiter`: slows down who guesses at credentials.
//! * `sources`: one task a change source; `jobdir`: jobs of try schedulers.
//!
//! **Invariant:** nothing here speaks HTTP, and nothing acts before the commit that allows it.

mod asking;
mod callbacks;
mod choosing;
mod committer;
mod crash;
mod definitions;
mod feed;
mod files;
mod handle;
mod health;
mod inbox;
mod jobdir;
mod judging;
mod leave;
mod limiter;
mod logs;
mod options;
mod pb;
mod reload;
mod replay;
mod runner;
mod session;
mod sources;
mod start;
mod workers;

pub use committer::SubmitError;
pub use feed::{FeedError, FeedReader, Hint};
pub use files::FileError;
pub use handle::Master;
pub use health::{Condition, Health};
pub use jobdir::RefusedJob;
pub use leave::{Leave, RunningBuild, Status, StopWhen};
pub use limiter::{Limiter, network};
pub use logs::{LogHandle, LogReadError};
pub use options::MasterOptions;
pub use pb::PbUser;
pub use reload::{
    ConfigFile, ConfigRecord, ConfigSource, Findings, NewConfig, Origin, ReloadError, Reloaded,
};
pub use replay::{WouldStart, replay};
pub use session::{NotAdmitted, StockSession};
pub use start::StartError;
