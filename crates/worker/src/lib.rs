//! The worker: verbs, process trees, spool, reconnect.
