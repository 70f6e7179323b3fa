//! The master's end of one connection.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use crate::{
    Capabilities, CommandId, CommandReport, Exited, Frame, Hello, Limits, MasterMessage, Outcome,
    OutputChunk, PROTOCOL_MAX, PROTOCOL_MIN, ProtocolError, Verb, Welcome, WorkerMessage,
    heartbeat::Heartbeat,
};

/// What a worker tells its master.
#[derive(Debug, Clone, PartialEq)]
pub enum MasterEvent {
    /// A worker introduces itself. Check its token, then call [`MasterSession::welcome`] or [`MasterSession::refuse`].
    Hello(Box<Hello>),
    /// The next bytes of a command's output.
    Output(OutputChunk),
    /// A command has ended; all its output came before. Make it durable, then [`MasterSession::forget`] it.
    Exited(Exited),
    /// The worker does not have this command, and nothing of it runs.
    Lost {
        /// The command.
        id: CommandId,
        /// Why, for people.
        reason: String,
    },
    /// What was to be forgotten is gone, and nothing of it runs.
    Forgotten {
        /// The command.
        id: CommandId,
    },
    /// The worker closes the connection.
    Goodbye {
        /// Why, for people.
        reason: String,
    },
}

/// The first of a queue. An empty one keeps no memory: most workers have nothing to say most of the time.
fn pop<T>(queue: &mut VecDeque<T>) -> Option<T> {
    let first = queue.pop_front();
    if queue.is_empty() {
        *queue = VecDeque::new();
    }
    first
}

#[derive(Debug)]
enum State {
    /// Nothing has come yet.
    Greeting {
        deadline: Duration,
    },
    /// A hello waits for the owner's verdict.
    Deciding {
        version: u32,
    },
    Open {
        heartbeat: Heartbeat,
        window: u64,
    },
    Closed,
}

/// What this connection knows of a command.
#[derive(Debug)]
enum Known {
    /// Reported in the hello, neither resumed nor forgotten yet.
    Reported(CommandReport),
    /// Its output flows.
    Attached { next: u64, acked: u64, exited: bool },
    /// To be forgotten; what still comes is dropped.
    Forgetting,
}

/// The master's end of one connection: order, versions, limits, heartbeats, and that no byte is missing.
///
/// After each call drain [`Self::poll_send`] and [`Self::poll_event`]; both stay short that way.
#[derive(Debug)]
pub struct MasterSession {
    limits: Limits,
    state: State,
    /// What the worker promises.
    capabilities: Capabilities,
    commands: HashMap<CommandId, Known>,
    events: VecDeque<MasterEvent>,
    outbox: VecDeque<MasterMessage>,
    /// At most one pong waits, so that a flood of pings cannot fill memory.
    pong: Option<u64>,
    pings: u64,
}

impl MasterSession {
    /// A connection has just been accepted. `now` is the time since any fixed moment, here and everywhere.
    pub fn new(limits: Limits, now: Duration) -> Self {
        Self {
            limits,
            state: State::Greeting {
                deadline: now + limits.handshake,
            },
            capabilities: Capabilities::default(),
            commands: HashMap::new(),
            events: VecDeque::new(),
            outbox: VecDeque::new(),
            pong: None,
            pings: 0,
        }
    }

    /// Takes in one frame. On an error send what is left in [`Self::poll_send`] and close the connection.
    pub fn feed(&mut self, frame: Frame, now: Duration) -> Result<(), ProtocolError> {
        self.try_feed(frame, now).map_err(|error| self.fail(error))
    }

    /// The next thing that the worker said.
    pub fn poll_event(&mut self) -> Option<MasterEvent> {
        pop(&mut self.events)
    }

    /// The next frame to send.
    pub fn poll_send(&mut self) -> Option<Frame> {
        let message = match self.pong.take() {
            Some(nonce) => MasterMessage::Pong { nonce },
            None => pop(&mut self.outbox)?,
        };
        Some(Frame::Text(message.encode()))
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Duration> {
        match &self.state {
            State::Greeting { deadline } => Some(*deadline),
            State::Open { heartbeat, .. } => Some(heartbeat.deadline()),
            State::Deciding { .. } | State::Closed => None,
        }
    }

    /// Sends a ping when one is due. An error says that the worker is gone.
    pub fn handle_timeout(&mut self, now: Duration) -> Result<(), ProtocolError> {
        let result = match &mut self.state {
            State::Greeting { deadline } if now >= *deadline => Err(ProtocolError::HandshakeTimeout {
                after: self.limits.handshake,
            }),
            State::Open { heartbeat, .. } => heartbeat.due(now),
            _ => Ok(false),
        };
        match result {
            Ok(true) => {
                self.pings += 1;
                self.outbox.push_back(MasterMessage::Ping { nonce: self.pings });
                Ok(())
            }
            Ok(false) => Ok(()),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Accepts the worker that said hello. `settings.protocol` is replaced by the version to speak.
    pub fn welcome(&mut self, settings: Welcome, now: Duration) -> Result<(), ProtocolError> {
        let State::Deciding { version } = self.state else {
            return Err(self.misuse("welcome"));
        };
        let welcome = Welcome {
            protocol: version,
            heartbeat_ms: settings.heartbeat_ms.max(1),
            window_bytes: settings.window_bytes.max(1),
            ..settings
        };
        self.state = State::Open {
            heartbeat: Heartbeat::new(Duration::from_millis(welcome.heartbeat_ms), now),
            window: welcome.window_bytes,
        };
        self.outbox.push_back(MasterMessage::Welcome(welcome));
        Ok(())
    }

    /// Turns the worker away and ends the session. Send what is left, then close.
    pub fn refuse(&mut self, reason: impl Into<String>, retry: bool) {
        if !matches!(self.state, State::Closed) {
            self.outbox.push_back(MasterMessage::Refused {
                reason: reason.into(),
                retry,
            });
            self.state = State::Closed;
        }
    }

    /// Begins a command. Harmless if the worker already has it with this digest: it is attached from byte 0.
    /// [`ProtocolError::TooLarge`] means that the verb does not fit a frame; the connection is unharmed. A verb that the worker
    /// has not promised to understand is not sent: it ends at once, with [`Outcome::StartFailed`].
    pub fn start(&mut self, id: CommandId, digest: String, verb: Verb) -> Result<(), ProtocolError> {
        if !matches!(self.state, State::Open { .. }) {
            return Err(self.misuse("start"));
        }
        match self.commands.get(&id) {
            Some(Known::Forgetting) => {
                return Err(ProtocolError::Misuse {
                    call: "start",
                    when: "while the command is being forgotten",
                });
            }
            Some(Known::Reported(report)) if report.output_start > 0 && report.digest == digest => {
                return Err(cannot_resume(id, 0, report));
            }
            _ => {}
        }
        if let Some(lacking) = self.capabilities.lacks(&verb) {
            // It would leave out what it does not know, and nobody would notice.
            self.events.push_back(MasterEvent::Exited(Exited {
                id,
                outcome: Outcome::StartFailed {
                    message: format!(
                        "this worker cannot {lacking}; upgrade it, or run the step on another one"
                    ),
                },
                output_end: 0,
                duration_ms: 0,
            }));
            return Ok(());
        }
        let message = MasterMessage::Start { id, digest, verb };
        let size = message.encode().len();
        if size > self.limits.max_text {
            return Err(ProtocolError::TooLarge {
                kind: "text",
                size,
                limit: self.limits.max_text,
            });
        }
        if !matches!(self.commands.get(&id), Some(Known::Attached { .. })) {
            self.commands.insert(
                id,
                Known::Attached {
                    next: 0,
                    acked: 0,
                    exited: false,
                },
            );
        }
        self.outbox.push_back(message);
        Ok(())
    }

    /// Asks for the output of a reported command from `offset` on, then for its outcome.
    /// On [`ProtocolError::CannotResume`] the connection is unharmed; [`Self::forget`] the command.
    pub fn resume(&mut self, id: CommandId, offset: u64) -> Result<(), ProtocolError> {
        if !matches!(self.state, State::Open { .. }) {
            return Err(self.misuse("resume"));
        }
        let Some(Known::Reported(report)) = self.commands.get(&id) else {
            return Err(ProtocolError::UnknownCommand { got: "resume", id });
        };
        if !(report.output_start..=report.output_end).contains(&offset) {
            return Err(cannot_resume(id, offset, report));
        }
        self.commands.insert(
            id,
            Known::Attached {
                next: offset,
                acked: offset,
                exited: false,
            },
        );
        self.outbox.push_back(MasterMessage::Resume { id, offset });
        Ok(())
    }

    /// Ends a command: its interrupt signal, its grace period, then kill. Its outcome follows.
    pub fn interrupt(&mut self, id: CommandId, reason: impl Into<String>) {
        self.say(MasterMessage::Interrupt {
            id,
            reason: reason.into(),
        });
    }

    /// Says that all output below `offset` is durable. Nothing happens unless that is news.
    pub fn ack(&mut self, id: CommandId, offset: u64) {
        if let Some(Known::Attached { next, acked, .. }) = self.commands.get_mut(&id)
            && *acked < offset
        {
            *acked = offset.min(*next);
            let offset = *acked;
            self.say(MasterMessage::Ack { id, offset });
        }
    }

    /// Says that the outcome is durable, or that nobody wants the command: it is killed if it runs, and dropped.
    /// [`MasterEvent::Forgotten`] follows; nothing else of this command does.
    pub fn forget(&mut self, id: CommandId) {
        if matches!(self.state, State::Open { .. })
            && !matches!(self.commands.get(&id), Some(Known::Forgetting))
        {
            self.commands.insert(id, Known::Forgetting);
            self.say(MasterMessage::Forget { id });
        }
    }

    /// Asks the worker to end its program, whatever it runs. Only if it has promised that it does.
    pub fn shut_down(&mut self, reason: impl Into<String>) {
        self.say(MasterMessage::ShutDown {
            reason: reason.into(),
        });
    }

    /// Asks for a sign of life now: a pong follows, or any other frame.
    pub fn ping(&mut self) {
        self.pings += 1;
        self.say(MasterMessage::Ping { nonce: self.pings });
    }

    /// Ends the session without ending commands. Send what is left, then close.
    pub fn goodbye(&mut self, reason: impl Into<String>) {
        match self.state {
            State::Open { .. } => {
                self.outbox.push_back(MasterMessage::Goodbye {
                    reason: reason.into(),
                });
                self.state = State::Closed;
            }
            State::Greeting { .. } | State::Deciding { .. } => self.refuse(reason, true),
            State::Closed => {}
        }
    }

    /// Whether the session has ended.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    fn try_feed(&mut self, frame: Frame, now: Duration) -> Result<(), ProtocolError> {
        match frame {
            Frame::Text(text) => {
                check_size("text", text.len(), self.limits.max_text)?;
                if self.is_closed() {
                    return Err(ProtocolError::Closed);
                }
                let message = WorkerMessage::decode(&text).map_err(ProtocolError::BadMessage)?;
                self.message(message, now)
            }
            Frame::Binary(bytes) => {
                let payload = bytes.len().saturating_sub(crate::OUTPUT_HEADER_LEN);
                check_size("binary", payload, self.limits.max_binary)?;
                self.heard("output", now)?;
                self.output(OutputChunk::decode(&bytes)?)
            }
        }
    }

    fn message(&mut self, message: WorkerMessage, now: Duration) -> Result<(), ProtocolError> {
        if let (State::Greeting { .. }, WorkerMessage::Hello(hello)) = (&self.state, &message) {
            let version = self.check_hello(hello)?;
            for report in &hello.commands {
                self.commands.insert(report.id, Known::Reported(report.clone()));
            }
            self.capabilities = hello.capabilities.clone();
            self.state = State::Deciding { version };
            let WorkerMessage::Hello(hello) = message else {
                unreachable!("matched above")
            };
            self.events.push_back(MasterEvent::Hello(hello));
            return Ok(());
        }
        self.heard(message.name(), now)?;
        match message {
            WorkerMessage::Hello(_) => {
                return Err(ProtocolError::OutOfOrder {
                    got: "hello",
                    when: "a second time",
                });
            }
            WorkerMessage::Ping { nonce } => self.pong = Some(nonce),
            WorkerMessage::Pong { .. } => {}
            WorkerMessage::Exited(exited) => match self.commands.get_mut(&exited.id) {
                Some(Known::Forgetting) => {}
                Some(Known::Attached {
                    next, exited: done, ..
                }) => {
                    if exited.output_end != *next {
                        return Err(ProtocolError::Gap {
                            id: exited.id,
                            expected: *next,
                            got: exited.output_end,
                        });
                    }
                    if !std::mem::replace(done, true) {
                        self.events.push_back(MasterEvent::Exited(exited));
                    }
                }
                _ => {
                    return Err(ProtocolError::UnknownCommand {
                        got: "exited",
                        id: exited.id,
                    });
                }
            },
            WorkerMessage::Lost { id, reason } => {
                // A command that is being forgotten stays so until the worker says that too.
                if !matches!(self.commands.get(&id), Some(Known::Forgetting)) {
                    self.commands.remove(&id);
                    self.events.push_back(MasterEvent::Lost { id, reason });
                }
            }
            WorkerMessage::Forgotten { id } => {
                if !matches!(self.commands.remove(&id), Some(Known::Forgetting)) {
                    return Err(ProtocolError::UnknownCommand { got: "forgotten", id });
                }
                self.events.push_back(MasterEvent::Forgotten { id });
            }
            WorkerMessage::Goodbye { reason } => {
                self.state = State::Closed;
                self.events.push_back(MasterEvent::Goodbye { reason });
            }
        }
        Ok(())
    }

    fn check_hello(&self, hello: &Hello) -> Result<u32, ProtocolError> {
        let bad = |problem: String| {
            Err(ProtocolError::BadField {
                message: "hello",
                problem,
            })
        };
        let version = hello.protocol_max.min(PROTOCOL_MAX);
        if version < hello.protocol_min.max(PROTOCOL_MIN) {
            return Err(ProtocolError::Version {
                their_min: hello.protocol_min,
                their_max: hello.protocol_max,
                our_min: PROTOCOL_MIN,
                our_max: PROTOCOL_MAX,
            });
        }
        if hello.name.is_empty() || hello.name.len() > 256 {
            return bad("the name must have 1 to 256 bytes".into());
        }
        if hello.instance.is_empty() || hello.instance.len() > 256 {
            return bad("the instance must have 1 to 256 bytes".into());
        }
        if hello.commands.len() > self.limits.max_reported {
            return bad(format!(
                "{} commands are reported, at most {} may be",
                hello.commands.len(),
                self.limits.max_reported
            ));
        }
        let mut seen = HashSet::new();
        for report in &hello.commands {
            if !seen.insert(report.id) {
                return bad(format!("command {} is reported twice", report.id));
            }
            if report.output_start > report.output_end {
                return bad(format!(
                    "the output of command {} ends before it starts",
                    report.id
                ));
            }
        }
        Ok(version)
    }

    fn output(&mut self, chunk: OutputChunk) -> Result<(), ProtocolError> {
        let State::Open { window, .. } = self.state else {
            return Err(ProtocolError::Closed);
        };
        match self.commands.get_mut(&chunk.id) {
            Some(Known::Forgetting) => return Ok(()),
            Some(Known::Attached {
                next,
                acked,
                exited: false,
            }) => {
                if chunk.offset != *next {
                    return Err(ProtocolError::Gap {
                        id: chunk.id,
                        expected: *next,
                        got: chunk.offset,
                    });
                }
                let limit = acked.saturating_add(window);
                if chunk.end() > limit {
                    return Err(ProtocolError::WindowExceeded {
                        id: chunk.id,
                        end: chunk.end(),
                        limit,
                    });
                }
                *next = chunk.end();
            }
            Some(Known::Attached { exited: true, .. }) => {
                return Err(ProtocolError::OutOfOrder {
                    got: "output",
                    when: "after the command's outcome",
                });
            }
            _ => {
                return Err(ProtocolError::UnknownCommand {
                    got: "output",
                    id: chunk.id,
                });
            }
        }
        if !chunk.data.is_empty() {
            self.events.push_back(MasterEvent::Output(chunk));
        }
        Ok(())
    }

    /// Notes a sign of life, which only counts once the greeting is over.
    fn heard(&mut self, got: &'static str, now: Duration) -> Result<(), ProtocolError> {
        match &mut self.state {
            State::Greeting { .. } => Err(ProtocolError::OutOfOrder {
                got,
                when: "before hello",
            }),
            State::Deciding { .. } => Err(ProtocolError::OutOfOrder {
                got,
                when: "before welcome",
            }),
            State::Closed => Err(ProtocolError::Closed),
            State::Open { heartbeat, .. } => {
                heartbeat.heard(now);
                Ok(())
            }
        }
    }

    fn say(&mut self, message: MasterMessage) {
        if matches!(self.state, State::Open { .. }) {
            self.outbox.push_back(message);
        }
    }

    /// Ends the session, leaving a last message that tells the worker why.
    fn fail(&mut self, error: ProtocolError) -> ProtocolError {
        self.goodbye(error.to_string());
        error
    }

    fn misuse(&self, call: &'static str) -> ProtocolError {
        let when = match self.state {
            State::Greeting { .. } => "before hello",
            State::Deciding { .. } => "before welcome",
            State::Open { .. } => "after welcome",
            State::Closed => "after the end of the session",
        };
        ProtocolError::Misuse { call, when }
    }
}

fn cannot_resume(id: CommandId, offset: u64, report: &CommandReport) -> ProtocolError {
    ProtocolError::CannotResume {
        id,
        offset,
        start: report.output_start,
        end: report.output_end,
    }
}

pub(crate) fn check_size(kind: &'static str, size: usize, limit: usize) -> Result<(), ProtocolError> {
    if size > limit {
        Err(ProtocolError::TooLarge { kind, size, limit })
    } else {
        Ok(())
    }
}
