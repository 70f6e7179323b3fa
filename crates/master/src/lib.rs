//! Composition: committer, runner of builds, sessions, timers, recovery.
