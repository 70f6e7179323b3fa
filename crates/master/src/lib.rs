//! Composition: the committer, the runner of builds, worker sessions, timers and recovery, behind the
//! [`Master`] handle. Start at `committer.rs`: everything that changes state goes through it.
//!
//! **Invariant:** nothing here speaks HTTP, and nothing acts before the commit that allows it.

mod feed;

pub use feed::{Feed, FeedError, FeedReader, Hint};
