//! Nothing but tests, in `tests/it`: they keep the repository in order.
