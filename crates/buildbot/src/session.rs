//! What a session says and can be told, whichever of the two protocols it speaks.

use std::fmt;

use bytes::Bytes;

use crate::{Command, CommandError, EncodeError, Update, WorkerInfo, msgpack::MsgpackError, pb::PbError};

/// The name that a master gives a command; unique among those that run on a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CommandId {
    /// What everybody uses.
    Text(String),
    /// Allowed over msgpack, and given back as it came.
    Number(i128),
}

impl From<&str> for CommandId {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
        }
    }
}

/// A builder as a worker knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Builder {
    /// Its name.
    pub name: String,
    /// Its folder below the worker's.
    pub dir: String,
}

/// One block of a transfer, and what comes after the last.
#[derive(Clone, Debug, PartialEq)]
pub enum Transfer {
    /// The next block of a file or of an archive.
    Write(Bytes),
    /// The file is over.
    Close,
    /// When the file was accessed and modified, in seconds since 1970.
    Times {
        /// Last access.
        accessed: f64,
        /// Last modification.
        modified: f64,
    },
    /// The archive is over: unpack it.
    Unpack,
    /// So many bytes at most are wanted.
    Read {
        /// How many.
        length: u64,
    },
    /// No more is wanted.
    ReadClose,
}

/// A transfer that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub(crate) i128);

/// What a master hears from a worker.
#[derive(Clone, Debug, PartialEq)]
pub enum MasterEvent {
    /// What the worker says of itself. It comes once, first.
    Info(Box<WorkerInfo>),
    /// Commands can be started for these builders.
    Builders(Vec<String>),
    /// A command runs. It may not come for a short one.
    Started(CommandId),
    /// A command was not started. Nothing more of it comes.
    Refused {
        /// Which.
        id: CommandId,
        /// Why.
        reason: String,
    },
    /// News of a command.
    Update {
        /// Which.
        id: CommandId,
        /// What.
        update: Update,
    },
    /// A block of a transfer. The next comes when this is answered: with [`MasterEnd::send_data`] for [`Transfer::Read`], else with
    /// [`MasterEnd::done`]. Neither can be refused, as stock workers hang then: drop what cannot be kept, fail on the end.
    Transfer {
        /// Of which command.
        id: CommandId,
        /// What to answer to.
        ticket: Ticket,
        /// What.
        transfer: Transfer,
    },
    /// A command is over.
    Complete {
        /// Which.
        id: CommandId,
        /// If it failed in a way that it has no exit code for.
        failure: Option<String>,
    },
    /// The answer to [`MasterEnd::ping`].
    Pong(u64),
    /// A sign of life.
    Keepalive,
    /// The worker wants to stop: give it nothing new, then [`MasterEnd::shut_down`].
    WantsShutdown,
    /// Something that is no command went wrong on the worker.
    Trouble {
        /// What was asked for.
        call: &'static str,
        /// What it says.
        reason: String,
    },
}

/// What a worker hears from a master.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkerEvent {
    /// The master has let this worker in.
    Attached,
    /// It has not. Over Perspective Broker the reason says whether the name or password is wrong.
    Refused {
        /// Whether name or password are wrong.
        unauthorized: bool,
        /// What the master says.
        reason: String,
    },
    /// Something for the log.
    Print(String),
    /// These are the builders now; make their folders. Commands of others are interrupted.
    Builders(Vec<Builder>),
    /// How output is to be gathered from the next command on.
    Settings(crate::msgpack::Settings),
    /// Run this. [`WorkerEnd::complete`] has to follow.
    Start {
        /// Its name.
        id: CommandId,
        /// The builder's folder below the worker's, from which paths are seen; none: they are absolute.
        dir: Option<String>,
        /// What.
        command: Command,
    },
    /// End it. [`WorkerEnd::complete`] still has to follow.
    Interrupt {
        /// Which.
        id: CommandId,
        /// Why.
        why: String,
    },
    /// A transfer was taken: go on.
    Done(CommandId),
    /// What was read; empty at the end.
    Data {
        /// For which command.
        id: CommandId,
        /// The bytes.
        data: Bytes,
    },
    /// A transfer was refused: end the command.
    TransferFailed {
        /// Of which command.
        id: CommandId,
        /// Why.
        reason: String,
    },
    /// The answer to a sign of life.
    Alive,
    /// Stop the program.
    Shutdown,
}

/// Why something went wrong. What [`MasterEnd::feed`] and [`WorkerEnd::feed`] return ends the connection; errors of other methods leave
/// it as it was.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// As the broker says.
    #[error(transparent)]
    Pb(#[from] PbError),
    /// A message that is none.
    #[error("the other side sent a message that cannot be read: {0}")]
    Msgpack(#[from] MsgpackError),
    /// A message that is not of the form that it must have.
    #[error("the other side sent a malformed `{0}`")]
    Malformed(&'static str),
    /// An answer to a request that was not made, or was answered already.
    #[error("the other side answered request {0}, which does not wait for an answer")]
    UnknownRequest(i128),
    /// More requests than may be open.
    #[error("the other side made {0} requests without waiting for an answer")]
    ManyRequests(usize),
    /// The connection has ended by an error before.
    #[error("the connection has ended")]
    Closed,
    /// A command cannot be sent.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A value cannot be sent.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// There is a command of this name.
    #[error("command {0} runs already")]
    Running(CommandId),
    /// Over Perspective Broker a builder runs one command at a time.
    #[error("builder `{0}` runs another command")]
    Busy(String),
    /// The worker has not been told of it.
    #[error("the worker has no builder `{0}` yet")]
    NoBuilder(String),
    /// No such command runs.
    #[error("command {0} does not run")]
    NotRunning(CommandId),
    /// Stock workers fail with more.
    #[error("{count} builders are more than a stock worker can have, which are {limit}")]
    ManyBuilders {
        /// How many.
        count: usize,
        /// At most.
        limit: usize,
    },
    /// It may not be called now.
    #[error("`{call}` may not be called {when}")]
    Misuse {
        /// The method.
        call: &'static str,
        /// Why not now.
        when: &'static str,
    },
}

/// A master's end of a connection to a stock worker.
///
/// After each call drain [`Self::poll_event`] and [`Self::poll_send`]. What is sent to a peer that does not read piles up: stop reading
/// from it until it has taken it.
pub trait MasterEnd {
    /// Takes in what came: over Perspective Broker bytes in any pieces, over msgpack one whole binary message.
    fn feed(&mut self, bytes: &[u8]) -> Result<(), SessionError>;
    /// The next thing that the worker said.
    fn poll_event(&mut self) -> Option<MasterEvent>;
    /// What is to be sent next: over msgpack one binary message.
    fn poll_send(&mut self) -> Option<Bytes>;
    /// Tells the worker its builders. [`MasterEvent::Builders`] follows.
    fn set_builders(&mut self, builders: &[Builder]) -> Result<(), SessionError>;
    /// Begins a command.
    fn start(&mut self, builder: &str, id: &CommandId, command: &Command) -> Result<(), SessionError>;
    /// Ends a command; [`MasterEvent::Complete`] follows. Nothing happens if it does not run.
    fn interrupt(&mut self, id: &CommandId, why: &str) -> Result<(), SessionError>;
    /// Answers a transfer that sent something.
    fn done(&mut self, ticket: Ticket) -> Result<(), SessionError>;
    /// Answers a transfer that wants something, with no more than it wants; nothing is the end.
    fn send_data(&mut self, ticket: Ticket, data: Bytes) -> Result<(), SessionError>;
    /// Writes into the worker's log.
    fn print(&mut self, message: &str) -> Result<(), SessionError>;
    /// Asks for a sign of life; [`MasterEvent::Pong`] follows.
    fn ping(&mut self, nonce: u64) -> Result<(), SessionError>;
    /// Stops the worker's program. Interrupt what runs first.
    fn shut_down(&mut self) -> Result<(), SessionError>;
    /// Whether a builder can run one command only.
    fn one_command_a_builder(&self) -> bool;
    /// Whether a worker ends its commands when the connection ends.
    fn kills_on_disconnect(&self) -> bool;
}

/// A worker's end of a connection to a stock master. See [`MasterEnd`].
pub trait WorkerEnd {
    /// Takes in what came.
    fn feed(&mut self, bytes: &[u8]) -> Result<(), SessionError>;
    /// The next thing that the master said.
    fn poll_event(&mut self) -> Option<WorkerEvent>;
    /// What is to be sent next.
    fn poll_send(&mut self) -> Option<Bytes>;
    /// Tells news of a command, in this order.
    fn update(&mut self, id: &CommandId, updates: &[Update]) -> Result<(), SessionError>;
    /// Sends or asks for the next block. Wait for [`WorkerEvent::Done`] or [`WorkerEvent::Data`] before the next.
    fn transfer(&mut self, id: &CommandId, transfer: &Transfer) -> Result<(), SessionError>;
    /// Says that a command is over, and why if it failed in a way that it has no exit code for.
    fn complete(&mut self, id: &CommandId, failure: Option<&str>) -> Result<(), SessionError>;
    /// How many messages the master has not answered: who has much to tell waits when they are many.
    fn unanswered(&self) -> usize;
}
