//! What is tried with an input.

pub(crate) mod logs;
pub(crate) mod query;
pub(crate) mod text;
pub(crate) mod wire;
