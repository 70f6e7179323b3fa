//! The git poller against real repositories in temporary directories, and the reference of the configuration:
//! this is the lowest room that knows the kinds of both steps and change sources.

mod failures;
mod file;
mod polling;
mod reference;
mod repository;
