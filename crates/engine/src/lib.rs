//! State and decide: every decision, pure.
