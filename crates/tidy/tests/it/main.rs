//! Tests that keep the repository in order. What they find is said with file and line, all of it at once.

mod manifests;
mod rooms;
mod sources;
mod support;
mod text;
