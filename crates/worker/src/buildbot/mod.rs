//! The same hands for a stock Buildbot master: this worker in the place of `buildbot-worker`.
//!
//! [`Settings`] come from a stock worker's `buildbot.tac`, which [`tac`] reads as text, or from the command line. [`run`] is the life of
//! such a worker: connection after connection, over either of Buildbot's protocols. `ironmaster-buildbot` speaks them; here
//! `transport` moves the bytes, `session` begins what a master asks for, and `work` does it, with the executor that serves native
//! masters, too. What a master cannot tell from a stock worker is the same, byte for byte; what stock workers lose is not lost here.
//!
//! A Buildbot master knows no resumption: what runs when its connection ends is killed.

mod address;
mod channel;
mod files;
mod folders;
mod info;
mod life;
mod lines;
mod options;
mod report;
mod session;
mod shell;
mod small_files;
pub mod tac;
mod tar;
mod transfer;
mod transport;
mod work;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use ironmaster_buildbot::msgpack;
use tokio::sync::Notify;

use crate::{Tls, leftovers::Registry, status::CommandStatus};

pub use life::run;
pub use options::{Options, OptionsError, ProtocolName, ShutdownName};

/// How to talk to the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Perspective Broker: what all masters have, usually on port 9989.
    Pb,
    /// msgpack over a WebSocket, which Buildbot calls `msgpack_experimental_v7`.
    Msgpack,
}

/// How somebody at the worker's machine can ask for a shutdown when it is idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowShutdown {
    /// With SIGHUP.
    Signal,
    /// By touching the file `shutdown.stamp` in its folder.
    File,
}

/// What a worker of a Buildbot master needs to know.
#[derive(Clone)]
pub struct Settings {
    /// The master's host.
    pub host: String,
    /// The master's port for workers of this protocol.
    pub port: u16,
    /// How the connection is encrypted, if it is.
    pub tls: Option<Tls>,
    /// Which protocol.
    pub protocol: Protocol,
    /// The name that the master knows the worker by.
    pub name: String,
    /// The secret that goes with the name.
    pub password: String,
    /// The folder of the builders' folders.
    pub basedir: PathBuf,
    /// How often the master is asked for a sign of life.
    pub keepalive: Option<Duration>,
    /// The permissions that new files do not get.
    pub umask: Option<u32>,
    /// How many processors to tell the master of, instead of those that there are.
    pub numcpus: Option<u32>,
    /// How somebody here can ask for a shutdown.
    pub allow_shutdown: Option<AllowShutdown>,
    /// How many attempts to connect may fail in a row before the worker gives up.
    pub max_retries: Option<u32>,
    /// The longest pause between attempts to connect.
    pub max_delay: Duration,
    /// Whether folders that no builder has any more are removed.
    pub delete_leftover_dirs: bool,
    /// The program that becomes the guard when its first argument is [`GUARD_ARGUMENT`](crate::GUARD_ARGUMENT).
    pub guard: PathBuf,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // All but the password.
        f.debug_struct("Settings")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .field("protocol", &self.protocol)
            .field("name", &self.name)
            .field("basedir", &self.basedir)
            .finish_non_exhaustive()
    }
}

/// What all commands of all connections share.
#[derive(Debug)]
struct Place {
    base: PathBuf,
    registry: Registry,
    /// As the master last set them.
    settings: RefCell<msgpack::Settings>,
    /// How many programs there were.
    programs: Cell<u64>,
    /// Commands that are not over, each with its name, what it does, and since when.
    live: RefCell<BTreeMap<u64, (String, &'static str, Instant)>>,
    /// How many commands there were.
    commands: Cell<u64>,
    idle: Notify,
}

impl Place {
    fn new(base: PathBuf, registry: Registry) -> Self {
        let usual = msgpack::Settings {
            // What stock workers do while nobody tells them otherwise.
            buffer_timeout: 5.0,
            max_line_length: 4096,
            ..msgpack::Settings::default()
        };
        Self {
            base,
            registry,
            settings: RefCell::new(usual),
            programs: Cell::new(0),
            live: RefCell::default(),
            commands: Cell::new(0),
            idle: Notify::new(),
        }
    }

    /// A name for the next program. What the master calls its command may be anything, and is no name for a file.
    fn label(&self) -> String {
        self.programs.set(self.programs.get() + 1);
        format!("buildbot-{}", self.programs.get())
    }

    /// A command begins; the number is for its end.
    fn begun(&self, id: String, what: &'static str) -> u64 {
        self.commands.set(self.commands.get() + 1);
        let number = self.commands.get();
        self.live.borrow_mut().insert(number, (id, what, Instant::now()));
        number
    }

    fn over(&self, number: u64) {
        self.live.borrow_mut().remove(&number);
        self.idle.notify_waiters();
    }

    fn running(&self) -> usize {
        self.live.borrow().len()
    }

    fn statuses(&self) -> Vec<CommandStatus> {
        let live = self.live.borrow();
        let status = |(id, what, begun): &(String, &'static str, Instant)| CommandStatus {
            id: id.clone(),
            what: (*what).to_owned(),
            running: true,
            for_secs: begun.elapsed().as_secs(),
        };
        live.values().map(status).collect()
    }

    /// Waits until nothing runs.
    async fn idle(&self) {
        while self.running() > 0 {
            self.idle.notified().await;
        }
    }
}
