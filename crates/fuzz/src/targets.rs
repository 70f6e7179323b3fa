//! What is tried with an input.

pub(crate) mod buildbot;
pub(crate) mod logs;
pub(crate) mod query;
pub(crate) mod repository;
pub(crate) mod rest;
pub(crate) mod starlark;
pub(crate) mod text;
pub(crate) mod wire;
