//! What a connection must be able to do, whatever protocol it speaks. No step and no link knows which kind of worker it
//! runs on.

use std::time::Duration;

use ironmaster_wire::{CommandId, Frame, MasterEvent, MasterSession, ProtocolError, Verb, Welcome};

/// Why a connection cannot do what it is asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CarrierError {
    /// It has ended.
    #[error("the session has ended")]
    Closed,
    /// This one command cannot be carried; the connection is unharmed.
    #[error("{0}")]
    Unfit(String),
    /// The connection cannot go on.
    #[error("{0}")]
    Broken(String),
}

impl From<ProtocolError> for CarrierError {
    fn from(error: ProtocolError) -> Self {
        match error {
            ProtocolError::Closed => Self::Closed,
            error @ (ProtocolError::TooLarge { .. } | ProtocolError::CannotResume { .. }) => {
                Self::Unfit(error.to_string())
            }
            error => Self::Broken(error.to_string()),
        }
    }
}

/// The master's end of one connection, without input and output of its own: it is fed frames and the time, and asked for
/// frames, events, and the time at which it wants to be woken. `now` is the time since any fixed moment.
pub(crate) trait Carrier: Send {
    /// Takes in one frame (of a protocol without frames: some bytes). After an error the connection is closed.
    fn feed(&mut self, frame: Frame, now: Duration) -> Result<(), CarrierError>;
    /// The next thing that the worker said. The first is a hello, whose sender is not yet trusted unless [`Self::is_known`].
    fn poll_event(&mut self) -> Option<MasterEvent>;
    /// The next frame to send.
    fn poll_send(&mut self) -> Option<Frame>;
    /// When [`Self::handle_timeout`] wants to be called.
    fn poll_timeout(&self) -> Option<Duration>;
    /// Probes the worker when it is time. An error says that it is gone.
    fn handle_timeout(&mut self, now: Duration) -> Result<(), CarrierError>;
    /// What it speaks, for people.
    fn protocol(&self) -> &'static str;
    /// Whether the worker has asked, since this was last called, to be stopped when it is idle.
    fn takes_shutdown_wish(&mut self) -> bool;
    /// Whether the protocol has made sure itself that the worker is who it says.
    fn is_known(&self) -> bool;
    /// Whether the worker has to be told which directories its builds have.
    fn wants_dirs(&self) -> bool;
    /// Accepts the worker that said hello. `dirs` are the directories of the builds that it may run, if they are wanted.
    fn welcome(&mut self, settings: Welcome, dirs: Vec<String>, now: Duration) -> Result<(), CarrierError>;
    /// Turns the worker away and ends the session.
    fn refuse(&mut self, reason: &str, retry: bool);
    /// Ends the session.
    fn goodbye(&mut self, reason: &str);
    /// Begins a command.
    fn start(&mut self, id: CommandId, digest: String, verb: Verb) -> Result<(), CarrierError>;
    /// Takes up a command that the worker has, from that byte of its output.
    fn resume(&mut self, id: CommandId, offset: u64) -> Result<(), CarrierError>;
    /// Output below `offset` is durable.
    fn ack(&mut self, id: CommandId, offset: u64);
    /// Ends a command.
    fn interrupt(&mut self, id: CommandId, reason: String);
    /// Nobody wants this command any more.
    fn forget(&mut self, id: CommandId);
    /// Asks the worker to end its process, whatever it runs. Only called if its hello promised that it does.
    fn shut_down(&mut self, reason: &str, now: Duration) -> Result<(), CarrierError>;
    /// Asks for a sign of life now; whatever frame comes next is one.
    fn ping(&mut self) -> Result<(), CarrierError>;
}

impl Carrier for MasterSession {
    fn feed(&mut self, frame: Frame, now: Duration) -> Result<(), CarrierError> {
        Ok(self.feed(frame, now)?)
    }
    fn poll_event(&mut self) -> Option<MasterEvent> {
        self.poll_event()
    }
    fn poll_send(&mut self) -> Option<Frame> {
        self.poll_send()
    }
    fn poll_timeout(&self) -> Option<Duration> {
        self.poll_timeout()
    }
    fn handle_timeout(&mut self, now: Duration) -> Result<(), CarrierError> {
        Ok(self.handle_timeout(now)?)
    }
    fn protocol(&self) -> &'static str {
        "native"
    }
    fn takes_shutdown_wish(&mut self) -> bool {
        false
    }
    fn is_known(&self) -> bool {
        false
    }
    fn wants_dirs(&self) -> bool {
        false
    }
    fn welcome(&mut self, settings: Welcome, _dirs: Vec<String>, now: Duration) -> Result<(), CarrierError> {
        Ok(self.welcome(settings, now)?)
    }
    fn refuse(&mut self, reason: &str, retry: bool) {
        self.refuse(reason, retry);
    }
    fn goodbye(&mut self, reason: &str) {
        self.goodbye(reason);
    }
    fn start(&mut self, id: CommandId, digest: String, verb: Verb) -> Result<(), CarrierError> {
        Ok(self.start(id, digest, verb)?)
    }
    fn resume(&mut self, id: CommandId, offset: u64) -> Result<(), CarrierError> {
        Ok(self.resume(id, offset)?)
    }
    fn ack(&mut self, id: CommandId, offset: u64) {
        self.ack(id, offset);
    }
    fn interrupt(&mut self, id: CommandId, reason: String) {
        self.interrupt(id, reason);
    }
    fn forget(&mut self, id: CommandId) {
        self.forget(id);
    }
    fn shut_down(&mut self, reason: &str, _now: Duration) -> Result<(), CarrierError> {
        self.shut_down(reason);
        Ok(())
    }
    fn ping(&mut self) -> Result<(), CarrierError> {
        self.ping();
        Ok(())
    }
}
