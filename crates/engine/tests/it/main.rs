//! The engine's tests from outside: a simulator that drives it from a seed, and plain examples.

mod examples;
mod sim;
