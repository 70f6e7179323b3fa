//! The worker: a pair of hands for a master. It runs programs and moves files below one folder, keeps their output
//! until the master has it, and makes sure that nothing outlives its end.
//!
//! `cli` is the command line, `folder` the folder that `create` makes, `status` what is told to who asks on this machine.
//!
//! [`run()`] is the whole life of a worker; the program `ironmaster-worker` adds arguments and a log. The protocol is
//! in `docs/worker-protocol.md`, its messages and sessions in `ironmaster-wire`.
//!
//! Everything happens on one thread, apart from file operations that block: `link` pumps one connection,
//! `dial` makes it, `commands` holds what outlives connections, `exec` runs one program, `tail` reads its log files, `spool` keeps its
//! output, `leftovers`, `spawn` and `guard` see to it that no process gets away.

#[cfg(not(target_os = "linux"))]
compile_error!("the worker needs Linux for now: it follows processes through /proc");

use std::{io, path::PathBuf};

mod backoff;
pub mod buildbot;
pub mod cli;
mod commands;
mod dial;
mod exec;
pub mod folder;
mod glob;
mod ground;
mod guard;
mod info;
mod leftovers;
mod link;
mod paths;
mod procs;
mod program;
mod reader;
mod run;
mod spawn;
mod spool;
pub mod status;
mod tail;
mod trees;
mod verbs;

pub use backoff::Backoff;
pub use dial::Tls;
pub use guard::{GUARD_ARGUMENT, guard};
pub use info::Said;
pub use run::{Config, run};
pub use spool::SpoolLimits;

/// The environment variable that may hold the token. Commands do not see it.
pub const TOKEN_VARIABLE: &str = "IRONMASTER_WORKER_TOKEN";

/// Why a worker ends other than by being stopped.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The address of the master makes no sense.
    #[error("the master's address {address:?} cannot be used: {problem}")]
    Address {
        /// The address as given.
        address: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The base directory cannot be used.
    #[error("cannot use {}: {source}; choose another --basedir, or make this one writable", path.display())]
    Basedir {
        /// The folder or file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another worker has the base directory.
    #[error("another worker uses {} (process {holder}); stop it, or give this one another --basedir", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The other worker's process id and start time.
        holder: String,
    },
    /// What an earlier worker left cannot be cleared away.
    #[error("{0}")]
    Leftovers(#[source] io::Error),
    /// The guard cannot be started.
    #[error("cannot start the guard process: {0}")]
    Guard(#[source] io::Error),
    /// The system refuses what every program needs.
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
    /// The master does not want this worker.
    #[error("the master refused this worker: {reason}")]
    Refused {
        /// What the master said.
        reason: String,
    },
}

/// 128 random bits as text.
fn random_hex() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system gives random numbers");
    hex::encode(bytes)
}
