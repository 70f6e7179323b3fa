//! The real program against a small master: every verb, every way to end, every way to lose the connection.

mod endings;
mod harness;
mod lifecycle;
mod log_files;
mod resume;
mod stock_master;
mod verbs;
