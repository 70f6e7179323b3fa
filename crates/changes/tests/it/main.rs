//! The git poller against real repositories in temporary directories.

mod failures;
mod polling;
mod repository;
