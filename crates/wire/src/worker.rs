//! The worker's end of one connection.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use bytes::{Bytes, BytesMut};

use crate::{
    CommandId, Exited, FailureKind, Frame, Hello, Limits, MasterMessage, OUTPUT_HEADER_LEN, Outcome,
    OutputChunk, ProtocolError, Stream, Verb, Welcome, WorkerMessage, heartbeat::Heartbeat,
    master::check_size,
};

/// What a master tells its worker.
#[derive(Debug, Clone, PartialEq)]
pub enum WorkerEvent {
    /// The master accepts the worker on these terms.
    Welcome(Welcome),
    /// The master turns the worker away. The session has ended.
    Refused {
        /// Why, for people.
        reason: String,
        /// Whether to try again later.
        retry: bool,
    },
    /// Begin a command, or attach the one that has this id.
    Start {
        /// The command.
        id: CommandId,
        /// The identity of the request.
        digest: String,
        /// What to do.
        verb: Verb,
    },
    /// Send output from this byte on, then the outcome if there is one.
    Resume {
        /// The command.
        id: CommandId,
        /// The first byte to send.
        offset: u64,
    },
    /// End a command gently, then by force.
    Interrupt {
        /// The command.
        id: CommandId,
        /// Goes into the outcome.
        reason: String,
    },
    /// Bytes below this offset may be dropped.
    Ack {
        /// The command.
        id: CommandId,
        /// The first byte to keep.
        offset: u64,
    },
    /// Kill the command if it runs, drop everything about it, then call [`WorkerSession::forgotten`].
    Forget {
        /// The command.
        id: CommandId,
    },
    /// End this program: kill what runs, call [`WorkerSession::lost`] for each, then [`WorkerSession::goodbye`], and stay away.
    ShutDown {
        /// Why, for people.
        reason: String,
    },
    /// The master closes the connection; commands go on. The session has ended.
    Goodbye {
        /// Why, for people.
        reason: String,
    },
}

#[derive(Debug)]
enum State {
    Greeting { min: u32, max: u32, deadline: Duration },
    Open { heartbeat: Heartbeat, window: u64 },
    Closed,
}

#[derive(Debug)]
struct Attached {
    next: u64,
    acked: u64,
}

/// The worker's end of one connection. The spool and the commands belong to its owner, who attaches them
/// ([`Self::attach`]) when the master asks for their output, and then sends what [`Self::sendable`] allows.
#[derive(Debug)]
pub struct WorkerSession {
    limits: Limits,
    state: State,
    commands: HashMap<CommandId, Attached>,
    events: VecDeque<WorkerEvent>,
    outbox: VecDeque<Frame>,
    /// At most one pong waits, so that a flood of pings cannot fill memory.
    pong: Option<u64>,
    pings: u64,
}

impl WorkerSession {
    /// A connection has just been made; `hello` is the first thing that will be sent.
    /// `now` is the time since any fixed moment, here and everywhere.
    pub fn new(hello: Hello, limits: Limits, now: Duration) -> Self {
        let (min, max) = (hello.protocol_min, hello.protocol_max);
        let first = Frame::Text(WorkerMessage::Hello(Box::new(hello)).encode());
        Self {
            limits,
            state: State::Greeting {
                min,
                max,
                deadline: now + limits.handshake,
            },
            commands: HashMap::new(),
            events: VecDeque::new(),
            outbox: VecDeque::from([first]),
            pong: None,
            pings: 0,
        }
    }

    /// Takes in one frame. On an error send what is left in [`Self::poll_send`], close, and connect again.
    pub fn feed(&mut self, frame: Frame, now: Duration) -> Result<(), ProtocolError> {
        self.try_feed(frame, now).map_err(|error| self.fail(error))
    }

    /// The next thing that the master said.
    pub fn poll_event(&mut self) -> Option<WorkerEvent> {
        self.events.pop_front()
    }

    /// The next frame to send.
    pub fn poll_send(&mut self) -> Option<Frame> {
        match self.pong.take() {
            Some(nonce) => Some(Frame::Text(WorkerMessage::Pong { nonce }.encode())),
            None => self.outbox.pop_front(),
        }
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Duration> {
        match &self.state {
            State::Greeting { deadline, .. } => Some(*deadline),
            State::Open { heartbeat, .. } => Some(heartbeat.deadline()),
            State::Closed => None,
        }
    }

    /// Sends a ping when one is due. An error says that the master is gone.
    pub fn handle_timeout(&mut self, now: Duration) -> Result<(), ProtocolError> {
        let result = match &mut self.state {
            State::Greeting { deadline, .. } if now >= *deadline => Err(ProtocolError::HandshakeTimeout {
                after: self.limits.handshake,
            }),
            State::Open { heartbeat, .. } => heartbeat.due(now),
            _ => Ok(false),
        };
        match result {
            Ok(true) => {
                self.pings += 1;
                let nonce = self.pings;
                self.say(&WorkerMessage::Ping { nonce });
                Ok(())
            }
            Ok(false) => Ok(()),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Output of this command may be sent from `offset` on (after a resume, or a start at 0).
    pub fn attach(&mut self, id: CommandId, offset: u64) {
        self.commands.insert(
            id,
            Attached {
                next: offset,
                acked: offset,
            },
        );
    }

    /// No more output of this command is sent on this connection.
    pub fn detach(&mut self, id: CommandId) {
        self.commands.remove(&id);
    }

    /// The next byte to send of an attached command.
    pub fn next_offset(&self, id: CommandId) -> Option<u64> {
        self.commands.get(&id).map(|attached| attached.next)
    }

    /// How many bytes of this command's output may be sent now; 0 if it is not attached.
    pub fn sendable(&self, id: CommandId) -> u64 {
        match (&self.state, self.commands.get(&id)) {
            (State::Open { window, .. }, Some(attached)) => attached
                .acked
                .saturating_add(*window)
                .saturating_sub(attached.next),
            _ => 0,
        }
    }

    /// Sends the next bytes of a command's output; at most [`Self::sendable`] of them.
    pub fn output(&mut self, id: CommandId, stream: Stream, data: &[u8]) -> Result<(), ProtocolError> {
        let mut body = BytesMut::with_capacity(OUTPUT_HEADER_LEN + data.len());
        body.resize(OUTPUT_HEADER_LEN, 0);
        body.extend_from_slice(data);
        let frame = self.output_frame(id, stream, body)?;
        self.outbox.push_back(Frame::Binary(frame));
        Ok(())
    }

    /// Makes the frame for the next bytes of output without queueing it; the caller sends it next.
    /// `body` is [`OUTPUT_HEADER_LEN`] bytes of room, which the header overwrites, and then the output: nothing is copied.
    pub fn output_frame(
        &mut self,
        id: CommandId,
        stream: Stream,
        mut body: BytesMut,
    ) -> Result<Bytes, ProtocolError> {
        let Some(length) = body.len().checked_sub(OUTPUT_HEADER_LEN) else {
            return Err(ProtocolError::Misuse {
                call: "output_frame",
                when: "without room for the header",
            });
        };
        check_size("binary", length, self.limits.max_binary)?;
        let room = self.sendable(id);
        let Some(attached) = self.commands.get_mut(&id) else {
            return Err(ProtocolError::UnknownCommand { got: "output", id });
        };
        let end = attached.next.saturating_add(length as u64);
        if length as u64 > room {
            return Err(ProtocolError::WindowExceeded {
                id,
                end,
                limit: attached.next + room,
            });
        }
        OutputChunk::put_header(&mut &mut body[..OUTPUT_HEADER_LEN], id, stream, attached.next);
        attached.next = end;
        Ok(body.freeze())
    }

    /// Sends a command's outcome. All its output must have been sent. An outcome that is too large for a message is
    /// told as a failure: the master would close the connection on it, after each resume anew.
    pub fn exited(&mut self, exited: &Exited) -> Result<(), ProtocolError> {
        match self.next_offset(exited.id) {
            None => Err(ProtocolError::UnknownCommand {
                got: "exited",
                id: exited.id,
            }),
            Some(next) if next != exited.output_end => Err(ProtocolError::Gap {
                id: exited.id,
                expected: next,
                got: exited.output_end,
            }),
            Some(_) => {
                let mut text = WorkerMessage::Exited(exited.clone()).encode();
                if text.len() > self.limits.max_text {
                    let outcome = Outcome::Failed {
                        kind: FailureKind::Invalid,
                        message: format!(
                            "its outcome makes a message of {} bytes, which is more than the {} that one may have",
                            text.len(),
                            self.limits.max_text
                        ),
                    };
                    text = WorkerMessage::Exited(Exited {
                        outcome,
                        ..exited.clone()
                    })
                    .encode();
                }
                self.send(text);
                Ok(())
            }
        }
    }

    /// Says that the worker does not have this command and that nothing of it runs.
    pub fn lost(&mut self, id: CommandId, reason: impl Into<String>) {
        self.commands.remove(&id);
        self.say(&WorkerMessage::Lost {
            id,
            reason: reason.into(),
        });
    }

    /// Says that nothing is left of a command that was to be forgotten.
    pub fn forgotten(&mut self, id: CommandId) {
        self.commands.remove(&id);
        self.say(&WorkerMessage::Forgotten { id });
    }

    /// Ends the session. Send what is left, then close.
    pub fn goodbye(&mut self, reason: impl Into<String>) {
        self.say(&WorkerMessage::Goodbye {
            reason: reason.into(),
        });
        self.state = State::Closed;
    }

    /// Whether the master has accepted the worker and the session has not ended.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    fn try_feed(&mut self, frame: Frame, now: Duration) -> Result<(), ProtocolError> {
        let text = match frame {
            Frame::Text(text) => text,
            Frame::Binary(_) => {
                return Err(ProtocolError::OutOfOrder {
                    got: "a binary frame",
                    when: "from a master",
                });
            }
        };
        check_size("text", text.len(), self.limits.max_text)?;
        let message = match self.state {
            State::Closed => return Err(ProtocolError::Closed),
            _ => MasterMessage::decode(&text).map_err(ProtocolError::BadMessage)?,
        };
        match &mut self.state {
            State::Open { heartbeat, .. } => {
                heartbeat.heard(now);
                self.message(message)
            }
            _ => self.greeting(message, now),
        }
    }

    /// Before the welcome: only the verdict may come.
    fn greeting(&mut self, message: MasterMessage, now: Duration) -> Result<(), ProtocolError> {
        let State::Greeting { min, max, .. } = self.state else {
            return Err(ProtocolError::Closed);
        };
        match message {
            MasterMessage::Welcome(welcome) => {
                let bad = |problem: &str| ProtocolError::BadField {
                    message: "welcome",
                    problem: problem.into(),
                };
                if !(min..=max).contains(&welcome.protocol) {
                    return Err(ProtocolError::Version {
                        their_min: welcome.protocol,
                        their_max: welcome.protocol,
                        our_min: min,
                        our_max: max,
                    });
                }
                if welcome.heartbeat_ms == 0 || welcome.window_bytes == 0 || welcome.lease_ms == 0 {
                    return Err(bad("heartbeat_ms, window_bytes and lease_ms must be more than 0"));
                }
                self.state = State::Open {
                    heartbeat: Heartbeat::new(Duration::from_millis(welcome.heartbeat_ms), now),
                    window: welcome.window_bytes,
                };
                self.events.push_back(WorkerEvent::Welcome(welcome));
                Ok(())
            }
            MasterMessage::Refused { reason, retry } => {
                self.state = State::Closed;
                self.events.push_back(WorkerEvent::Refused { reason, retry });
                Ok(())
            }
            MasterMessage::Goodbye { reason } => {
                self.state = State::Closed;
                self.events.push_back(WorkerEvent::Goodbye { reason });
                Ok(())
            }
            other => Err(ProtocolError::OutOfOrder {
                got: other.name(),
                when: "before welcome",
            }),
        }
    }

    fn message(&mut self, message: MasterMessage) -> Result<(), ProtocolError> {
        let event = match message {
            MasterMessage::Welcome(_) | MasterMessage::Refused { .. } => {
                return Err(ProtocolError::OutOfOrder {
                    got: message.name(),
                    when: "after welcome",
                });
            }
            MasterMessage::Ping { nonce } => {
                self.pong = Some(nonce);
                return Ok(());
            }
            MasterMessage::Pong { .. } => return Ok(()),
            MasterMessage::Ack { id, offset } => {
                // An acknowledgement of what is not attached crossed a `forget` or a loss on the way.
                let Some(attached) = self.commands.get_mut(&id) else {
                    return Ok(());
                };
                if offset > attached.next {
                    return Err(ProtocolError::AckBeyondSent {
                        id,
                        offset,
                        sent: attached.next,
                    });
                }
                attached.acked = attached.acked.max(offset);
                WorkerEvent::Ack { id, offset }
            }
            MasterMessage::Start { id, digest, verb } => WorkerEvent::Start { id, digest, verb },
            MasterMessage::Resume { id, offset } => WorkerEvent::Resume { id, offset },
            MasterMessage::Interrupt { id, reason } => WorkerEvent::Interrupt { id, reason },
            MasterMessage::Forget { id } => WorkerEvent::Forget { id },
            MasterMessage::ShutDown { reason } => WorkerEvent::ShutDown { reason },
            MasterMessage::Goodbye { reason } => {
                self.state = State::Closed;
                WorkerEvent::Goodbye { reason }
            }
        };
        self.events.push_back(event);
        Ok(())
    }

    fn say(&mut self, message: &WorkerMessage) {
        self.send(message.encode());
    }

    fn send(&mut self, text: String) {
        if self.is_open() {
            self.outbox.push_back(Frame::Text(text));
        }
    }

    /// Ends the session, leaving a last message that tells the master why.
    fn fail(&mut self, error: ProtocolError) -> ProtocolError {
        self.goodbye(error.to_string());
        error
    }
}
