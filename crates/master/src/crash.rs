//! Named points at which a test may have the master die as if by `kill -9`. They exist in debug builds only.
//!
//! `IRONMASTER_CRASH_AT=name` kills at the first passage of that point, `name:3` at the third.

/// Dies here if the environment asks for it.
#[cfg(debug_assertions)]
pub(crate) fn point(name: &str) {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    };

    static WANTED: LazyLock<Option<(String, AtomicU64)>> = LazyLock::new(|| {
        let text = std::env::var("IRONMASTER_CRASH_AT").ok()?;
        let (name, passage) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), AtomicU64::new(passage.parse().ok()?)))
    });

    if let Some((wanted, left)) = &*WANTED
        && wanted == name
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        // SIGKILL cannot be caught: nothing is flushed or told to anybody, as when the power fails.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}

/// Does nothing in release builds.
#[cfg(not(debug_assertions))]
pub(crate) fn point(_name: &str) {}
