//! One connection: moves frames between a WebSocket and a [`WorkerSession`], and output from spools into frames.

use std::{cell::Cell, collections::HashSet, future::Future as _, pin::pin, task::Poll, time::Duration};

use bytes::BytesMut;
use futures_util::{Sink as _, SinkExt as _, Stream as _};
use ironmaster_tls::Stream;
use ironmaster_wire::{
    CommandId, Frame, Hello, Limits, MAX_CHUNK, OUTPUT_HEADER_LEN, ProtocolError, Welcome, WorkerEvent,
    WorkerSession,
};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, Message},
};

use crate::{
    commands::{Answer, Commands, Fate},
    run::{clock, keep_lease},
};

/// How long a last message may take on its way out.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long a worker that stops waits for its master to take outcomes.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// What the connections have learnt so far; outlives each of them.
#[derive(Debug)]
pub(crate) struct Memory {
    /// When the master was last heard, since `epoch` on the clock that goes on while the machine sleeps.
    pub(crate) last_heard: Cell<Duration>,
    /// The lease that the master last gave.
    pub(crate) lease: Cell<Option<Duration>>,
}

/// How a connection ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The worker was asked to stop, and has said goodbye.
    Stopped,
    /// The master does not accept the worker.
    Refused { reason: String, retry: bool },
    /// Anything else, for the log. `violation` says that one side broke the protocol.
    Lost { reason: String, violation: bool },
}

enum Turn {
    Message(Message),
    Broken(String),
    Woken,
    Deadline,
}

pub(crate) struct Link<'a> {
    socket: WebSocketStream<Stream>,
    session: WorkerSession,
    commands: &'a Commands,
    memory: &'a Memory,
    epoch: Instant,
    /// When something came on this connection, on the clock that goes on while the machine sleeps.
    heard: Duration,
    /// The command that sent last.
    last: Option<CommandId>,
    /// Commands whose outcome went out on this connection.
    told: HashSet<CommandId>,
    /// Told the owner's log that the worker is connected.
    on_welcome: &'a dyn Fn(&Welcome),
    stop_until: Option<Instant>,
}

impl<'a> Link<'a> {
    pub(crate) fn new(
        socket: WebSocketStream<Stream>,
        hello: Hello,
        commands: &'a Commands,
        memory: &'a Memory,
        on_welcome: &'a dyn Fn(&Welcome),
    ) -> Self {
        Self {
            socket,
            session: WorkerSession::new(hello, Limits::default(), Duration::ZERO),
            commands,
            memory,
            epoch: Instant::now(),
            heard: clock(),
            last: None,
            told: HashSet::new(),
            on_welcome,
            stop_until: None,
        }
    }

    /// Runs the connection to its end. Commands are not affected by it.
    pub(crate) async fn run(mut self) -> Ended {
        loop {
            if self.commands.is_stopping() && self.has_stopped() {
                self.session.goodbye("the worker was stopped");
                self.farewell().await;
                return Ended::Stopped;
            }
            self.tell_fates();
            let turn = self.turn().await;
            let result = match turn {
                Turn::Message(message) => match self.receive(message) {
                    Ok(None) => Ok(()),
                    Ok(Some(ended)) => {
                        self.farewell().await;
                        return ended;
                    }
                    Err(error) => Err(error),
                },
                Turn::Woken => Ok(()),
                Turn::Deadline => match self.session.poll_timeout() {
                    Some(at) if at <= self.now() => self.session.handle_timeout(self.now()),
                    _ => Ok(()),
                },
                Turn::Broken(reason) => {
                    return Ended::Lost {
                        reason,
                        violation: false,
                    };
                }
            };
            if let Err(error) = result {
                self.farewell().await;
                let violation = !matches!(error, ProtocolError::Silent { .. });
                return Ended::Lost {
                    reason: error.to_string(),
                    violation,
                };
            }
        }
    }

    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// Whether a worker that stops has nothing more to wait for.
    fn has_stopped(&mut self) -> bool {
        let until = *self
            .stop_until
            .get_or_insert_with(|| Instant::now() + STOP_PATIENCE);
        self.tell_fates();
        self.commands.is_empty()
            || Instant::now() >= until
            || (!self.session.is_open() && self.commands.running() == 0)
    }

    /// Sends what can be sent, then waits for the next thing that happens.
    async fn turn(&mut self) -> Turn {
        let commands = self.commands;
        let mut woken = pin!(commands.context().wake.notified());
        let session_deadline = self.session.poll_timeout().map(|at| self.epoch + at);
        let deadline = [session_deadline, self.stop_until].into_iter().flatten().min();
        let mut timer = pin!(sleep_until(
            deadline.unwrap_or_else(|| Instant::now() + Duration::from_hours(1))
        ));
        std::future::poll_fn(|cx| {
            loop {
                match std::pin::Pin::new(&mut self.socket).poll_ready(cx) {
                    Poll::Ready(Ok(())) => match self.next_frame() {
                        Ok(Some(frame)) => {
                            if let Err(error) =
                                std::pin::Pin::new(&mut self.socket).start_send(message(frame))
                            {
                                return Poll::Ready(Turn::Broken(describe(&error)));
                            }
                        }
                        Ok(None) => break,
                        Err(error) => return Poll::Ready(Turn::Broken(error.to_string())),
                    },
                    Poll::Ready(Err(error)) => return Poll::Ready(Turn::Broken(describe(&error))),
                    Poll::Pending => break,
                }
            }
            if let Poll::Ready(Err(error)) = std::pin::Pin::new(&mut self.socket).poll_flush(cx) {
                return Poll::Ready(Turn::Broken(describe(&error)));
            }
            match std::pin::Pin::new(&mut self.socket).poll_next(cx) {
                Poll::Ready(Some(Ok(message))) => return Poll::Ready(Turn::Message(message)),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Turn::Broken(describe(&error))),
                Poll::Ready(None) => {
                    return Poll::Ready(Turn::Broken("the master closed the connection".into()));
                }
                Poll::Pending => {}
            }
            if woken.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Turn::Woken);
            }
            timer.as_mut().poll(cx).map(|()| Turn::Deadline)
        })
        .await
    }

    /// The next frame: control messages first, then a piece of output of one command after another.
    fn next_frame(&mut self) -> Result<Option<Frame>, ProtocolError> {
        if let Some(frame) = self.session.poll_send() {
            return Ok(Some(frame));
        }
        if !self.session.is_open() {
            return Ok(None);
        }
        for entry in self.commands.after(self.last) {
            let Some(next) = self.session.next_offset(entry.id) else {
                continue;
            };
            if entry.fate() != Fate::Keep {
                continue;
            }
            if next < entry.output_end() {
                let most = self.session.sendable(entry.id).min(MAX_CHUNK as u64) as usize;
                if most == 0 {
                    continue;
                }
                let available = most.min((entry.output_end() - next) as usize);
                let mut body = BytesMut::with_capacity(OUTPUT_HEADER_LEN + available);
                body.resize(OUTPUT_HEADER_LEN, 0);
                match entry.read(next, most, &mut body) {
                    Ok(Some(stream)) => {
                        self.last = Some(entry.id);
                        return Ok(Some(Frame::Binary(
                            self.session.output_frame(entry.id, stream, body)?,
                        )));
                    }
                    Ok(None) => {}
                    Err(error) => {
                        self.session.detach(entry.id);
                        let answer = self.commands.spool_failed(&entry, &error);
                        self.answer(entry.id, answer);
                        return Ok(self.session.poll_send());
                    }
                }
            } else if let Some(exited) = entry.ended()
                && self.told.insert(entry.id)
            {
                self.session.exited(&exited)?;
                return Ok(self.session.poll_send());
            }
        }
        Ok(None)
    }

    /// Takes in a message; says how the connection ends if it does.
    fn receive(&mut self, message: Message) -> Result<Option<Ended>, ProtocolError> {
        // What was said before a pause of this machine is heard after it. It does not give the lease back, and others may
        // have been given what it asks for.
        keep_lease(self.commands, self.memory);
        let silence = clock().saturating_sub(std::mem::replace(&mut self.heard, clock()));
        if self.memory.lease.get().is_some_and(|lease| silence >= lease) {
            return Ok(Some(Ended::Lost {
                reason: format!(
                    "nothing came for {:.0} s, which is longer than the lease",
                    silence.as_secs_f64()
                ),
                violation: false,
            }));
        }
        let frame = match message {
            Message::Text(text) => Frame::Text(text.as_str().to_owned()),
            Message::Binary(bytes) => Frame::Binary(bytes),
            Message::Close(frame) => {
                let reason = match frame {
                    Some(frame) if !frame.reason.is_empty() => {
                        format!("the master closed the connection: {}", frame.reason)
                    }
                    _ => "the master closed the connection".into(),
                };
                return Ok(Some(Ended::Lost {
                    reason,
                    violation: false,
                }));
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Ok(None),
        };
        self.session.feed(frame, self.now())?;
        if self.session.is_open() {
            self.memory.last_heard.set(clock());
        }
        while let Some(event) = self.session.poll_event() {
            match event {
                WorkerEvent::Welcome(welcome) => {
                    self.memory.last_heard.set(clock());
                    self.memory
                        .lease
                        .set(Some(Duration::from_millis(welcome.lease_ms)));
                    (self.on_welcome)(&welcome);
                }
                WorkerEvent::Refused { reason, retry } => return Ok(Some(Ended::Refused { reason, retry })),
                WorkerEvent::Goodbye { reason } => {
                    let reason = format!("the master said goodbye: {reason}");
                    return Ok(Some(Ended::Lost {
                        reason,
                        violation: false,
                    }));
                }
                WorkerEvent::ShutDown { reason } => {
                    tracing::info!("the master ends this worker: {reason}");
                    self.commands.stop_all(Duration::ZERO);
                }
                WorkerEvent::Start { id, digest, verb } => {
                    let attached = self.session.next_offset(id).is_some();
                    let answer = self.commands.start(id, digest, verb, attached);
                    self.answer(id, answer);
                }
                WorkerEvent::Resume { id, offset } => {
                    let answer = self.commands.resume(id, offset);
                    self.answer(id, answer);
                }
                WorkerEvent::Interrupt { id, reason } => {
                    let answer = self.commands.interrupt(id, reason);
                    self.answer(id, answer);
                }
                WorkerEvent::Ack { id, offset } => self.commands.confirm(id, offset),
                WorkerEvent::Forget { id } => {
                    self.session.detach(id);
                    let answer = self.commands.forget(id);
                    self.answer(id, answer);
                }
            }
        }
        Ok(None)
    }

    fn answer(&mut self, id: CommandId, answer: Answer) {
        match answer {
            Answer::Attach(offset) => {
                self.told.remove(&id);
                self.session.attach(id, offset);
            }
            Answer::Nothing => {}
            Answer::Lost(reason) => {
                self.told.remove(&id);
                self.session.lost(id, reason);
            }
            Answer::Forgotten => {
                self.told.remove(&id);
                self.session.forgotten(id);
            }
        }
    }

    /// Tells the master about commands that have ended and are not kept.
    fn tell_fates(&mut self) {
        if !self.session.is_open() {
            return;
        }
        for (id, fate) in self.commands.take_fated() {
            match fate {
                Fate::Forget => self.answer(id, Answer::Forgotten),
                Fate::Lose(reason) => self.answer(id, Answer::Lost(reason)),
                Fate::Keep => {}
            }
        }
    }

    /// Sends the last messages, if the other side still takes any, and closes.
    async fn farewell(&mut self) {
        let _ = timeout(FAREWELL, async {
            while let Some(frame) = self.session.poll_send() {
                self.socket.feed(message(frame)).await?;
            }
            self.socket.flush().await?;
            self.socket.close(None).await
        })
        .await;
    }
}

fn message(frame: Frame) -> Message {
    match frame {
        Frame::Text(text) => Message::Text(text.into()),
        Frame::Binary(bytes) => Message::Binary(bytes),
    }
}

fn describe(error: &tungstenite::Error) -> String {
    match error {
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
            "the master closed the connection".into()
        }
        tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
            "the connection was cut".into()
        }
        tungstenite::Error::Io(error) => ironmaster_tls::broken(error),
        other => other.to_string(),
    }
}
