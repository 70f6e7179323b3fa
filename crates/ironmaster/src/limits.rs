//! What the system allows this process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many open files as anybody can use here, where the system sets no limit.
const FILES_MAX: u64 = 1 << 20;
/// With fewer, a fleet of workers cannot be connected.
const FILES_WANTED: u64 = 16 * 1024;

/// Each connection is an open file. The usual limit, of 1024, is for programs that can do no more; what the administrator
/// allows at most is what counts.
pub(crate) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let allowed = limit.maximum.unwrap_or(FILES_MAX).min(FILES_MAX);
    if limit.current.is_none_or(|current| current >= allowed) {
        return;
    }
    let raised = Rlimit {
        current: Some(allowed),
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!("the limit of open files cannot be raised to {allowed}: {error}");
    } else if allowed < FILES_WANTED {
        tracing::info!(
            "the system allows {allowed} open files: there can be about so many connections; \
             `LimitNOFILE` of systemd or `ulimit -n` allows more"
        );
    }
}
