//! The control messages, as they are written in text frames.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{CommandId, Outcome, Verb};

/// What a worker says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum WorkerMessage {
    /// The first message of a connection.
    Hello(Box<Hello>),
    /// A command has ended and all its output has been sent. Repeated after each resume until `forget`.
    Exited(Exited),
    /// The worker does not have this command (any more); nothing of it runs.
    Lost {
        /// The command.
        id: CommandId,
        /// Why, for people.
        reason: String,
    },
    /// The answer to `forget`: nothing of the command runs and nothing is kept.
    Forgotten {
        /// The command.
        id: CommandId,
    },
    /// Asks for a pong.
    Ping {
        /// Comes back in the pong.
        nonce: u64,
    },
    /// The answer to a ping.
    Pong {
        /// From the ping.
        nonce: u64,
    },
    /// The worker stops, or gives up this connection.
    Goodbye {
        /// Why, for people.
        reason: String,
    },
}

/// What a master says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum MasterMessage {
    /// The worker is accepted.
    Welcome(Welcome),
    /// The worker is not accepted.
    Refused {
        /// Why, for people.
        reason: String,
        /// Whether it makes sense to try again later.
        retry: bool,
    },
    /// Send the output of a reported command from here on, then its outcome if it has ended.
    Resume {
        /// The command.
        id: CommandId,
        /// The first byte that the master does not have.
        offset: u64,
    },
    /// Begin a command. One with the same id and digest that the worker already has is attached, from byte 0.
    Start {
        /// The command.
        id: CommandId,
        /// The identity of the request.
        digest: String,
        /// What to do.
        verb: Verb,
    },
    /// End a command: the interrupt signal, the grace period, then kill.
    Interrupt {
        /// The command.
        id: CommandId,
        /// Comes back in the outcome.
        reason: String,
    },
    /// Bytes below this offset are durable; the worker may drop them and send more.
    Ack {
        /// The command.
        id: CommandId,
        /// The first byte that is not durable yet.
        offset: u64,
    },
    /// The outcome is durable, or nobody wants it: kill the command if it runs, drop everything, say `forgotten`.
    Forget {
        /// The command.
        id: CommandId,
    },
    /// Asks for a pong.
    Ping {
        /// Comes back in the pong.
        nonce: u64,
    },
    /// The answer to a ping.
    Pong {
        /// From the ping.
        nonce: u64,
    },
    /// The worker is to end its program: it kills what still runs, says `lost` for each and `goodbye`, and does not come
    /// back. Only for a worker that promises [`Capabilities::shuts_down`].
    ShutDown {
        /// Why, for people.
        reason: String,
    },
    /// The master closes this connection. Commands go on; the worker connects again.
    Goodbye {
        /// Why, for people.
        reason: String,
    },
}

/// A worker introduces itself.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The oldest protocol version that the worker speaks.
    pub protocol_min: u32,
    /// The newest protocol version that the worker speaks.
    pub protocol_max: u32,
    /// The configured name.
    pub name: String,
    /// The secret that goes with the name.
    pub token: String,
    /// Random per process: a new one means that the worker was restarted.
    pub instance: String,
    /// Names the boot of the machine.
    #[serde(default)]
    pub boot: String,
    /// The worker's own version.
    #[serde(default)]
    pub version: String,
    /// The worker's clock: milliseconds since 1970.
    #[serde(default)]
    pub time_ms: Option<u64>,
    /// What the worker promises.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// What the worker is.
    #[serde(default)]
    pub info: WorkerInfo,
    /// Every command that the worker still has.
    #[serde(default)]
    pub commands: Vec<CommandReport>,
}

/// Never shows the token.
impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello")
            .field("protocol", &(self.protocol_min..=self.protocol_max))
            .field("name", &self.name)
            .field("instance", &self.instance)
            .field("boot", &self.boot)
            .field("version", &self.version)
            .field("time_ms", &self.time_ms)
            .field("capabilities", &self.capabilities)
            .field("info", &self.info)
            .field("commands", &self.commands)
            .finish_non_exhaustive()
    }
}

/// A command that a worker still has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandReport {
    /// The command.
    pub id: CommandId,
    /// The identity of the request, as `start` gave it.
    pub digest: String,
    /// The oldest byte of output that the worker still has.
    pub output_start: u64,
    /// The bytes of output so far.
    pub output_end: u64,
    /// Whether the command has ended.
    pub exited: bool,
}

/// A command's end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exited {
    /// The command.
    pub id: CommandId,
    /// How it ended.
    pub outcome: Outcome,
    /// How many bytes of output it had, over all streams.
    pub output_end: u64,
    /// How long it ran, in milliseconds of a monotonic clock.
    pub duration_ms: u64,
}

/// What a worker promises. What is absent is not promised.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// Commands survive the loss of a connection and can be resumed.
    pub resumes: bool,
    /// Commands are killed when the connection is lost.
    pub kills_on_disconnect: bool,
    /// How many commands may run at once; `None` means no limit.
    pub max_commands: Option<u32>,
    /// Output arrives byte for byte (nothing is decoded, split or replaced).
    pub exact_bytes: bool,
    /// The longest line that arrives whole, in bytes; `None` means no limit.
    pub line_limit: Option<u64>,
    /// It ends when it is told to `shut_down`.
    pub shuts_down: bool,
    /// It can give a command a terminal.
    pub pty: bool,
    /// It tells the files of [`Exec::log_files`](crate::Exec::log_files).
    pub log_files: bool,
}

impl Capabilities {
    /// What a worker would have to promise before it can be given this verb, in words for people.
    pub fn lacks(&self, verb: &Verb) -> Option<&'static str> {
        let Verb::Exec(exec) = verb else { return None };
        if exec.pty && !self.pty {
            Some("give a command a terminal (`pty`)")
        } else if !exec.log_files.is_empty() && !self.log_files {
            Some("send log files as they grow (`log_files`)")
        } else {
            None
        }
    }
}

/// What a worker is. Everything is optional.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerInfo {
    /// The operating system, for example `linux`.
    pub os: String,
    /// The processor architecture, for example `x86_64`.
    pub arch: String,
    /// The machine's name.
    pub hostname: String,
    /// How many processors the worker may use.
    pub cpus: u32,
    /// The machine's memory in bytes.
    pub memory_bytes: u64,
    /// The version of the operating system or its kernel.
    pub os_version: String,
    /// Who looks after the worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<String>,
    /// A description of the machine for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// How people who may get onto the machine do so, for example `ssh://buildbot@arm-7.example.org`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_uri: Option<String>,
    /// The folder that paths are relative to.
    pub basedir: String,
}

/// The terms of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The protocol version to speak; [`MasterSession::welcome`](crate::MasterSession::welcome) fills it in.
    pub protocol: u32,
    /// The master's name for this connection, for logs.
    pub session: String,
    /// A worker that has not heard from its master for so long kills what it runs, in milliseconds.
    pub lease_ms: u64,
    /// After so much silence each side sends a ping; after two and a half times as much the other side is taken for dead. In milliseconds.
    pub heartbeat_ms: u64,
    /// How many bytes of each command's output may be on their way without an acknowledgement.
    pub window_bytes: u64,
}

impl Welcome {
    /// The usual [`window_bytes`](Self::window_bytes).
    pub const WINDOW_BYTES: u64 = 4 * 1024 * 1024;

    /// The usual terms: a lease of 10 minutes, a heartbeat of 10 seconds, a window of 4 MiB.
    pub fn new(session: impl Into<String>) -> Self {
        Self {
            protocol: 0,
            session: session.into(),
            lease_ms: 600_000,
            heartbeat_ms: 10_000,
            window_bytes: Self::WINDOW_BYTES,
        }
    }
}

impl WorkerMessage {
    /// The text of a frame.
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("messages have only texts and numbers")
    }

    /// Reads a frame's text. The caller bounds its length.
    pub fn decode(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The message's type as it is written.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Exited(_) => "exited",
            Self::Lost { .. } => "lost",
            Self::Forgotten { .. } => "forgotten",
            Self::Ping { .. } => "ping",
            Self::Pong { .. } => "pong",
            Self::Goodbye { .. } => "goodbye",
        }
    }
}

impl MasterMessage {
    /// The text of a frame.
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("messages have only texts and numbers")
    }

    /// Reads a frame's text. The caller bounds its length.
    pub fn decode(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The message's type as it is written.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Welcome(_) => "welcome",
            Self::Refused { .. } => "refused",
            Self::Resume { .. } => "resume",
            Self::Start { .. } => "start",
            Self::Interrupt { .. } => "interrupt",
            Self::Ack { .. } => "ack",
            Self::Forget { .. } => "forget",
            Self::ShutDown { .. } => "shut_down",
            Self::Ping { .. } => "ping",
            Self::Pong { .. } => "pong",
            Self::Goodbye { .. } => "goodbye",
        }
    }
}
