//! The language as people write it, right and wrong, and what holds it within its limits.

mod calls;
mod language;
mod limits;
mod loading;
mod mistakes;
mod mutations;
mod support;
