//! Tests of the public interface, one binary.

mod broken;
mod crash;
mod faults;
mod format;
mod live;
mod long;
mod malformed;
mod support;
mod tables;
