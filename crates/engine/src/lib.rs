//! Turns an input and the state into events. Start reading at [`decide`](crate::decide::decide).
//!
//! **Invariant:** no I/O, no clock, no randomness, no async. Time comes in with the input.
//!
//! **Invariant:** a refused input changes nothing, and says why in a typed error.

pub mod input;

pub use input::{ConnectedWorker, Input, NewChange, Refusal, Reply, StepOutcome, StepReport};
