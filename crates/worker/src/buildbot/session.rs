//! One connection to a Buildbot master: what it asks for is begun, what commands say is sent.

use std::{collections::HashMap, rc::Rc, time::Duration};

use ironmaster_buildbot::{
    CommandId, SessionError, WorkerEnd, WorkerEvent, msgpack,
    pb::{self, PasswordDigest},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    Place, Protocol, Settings,
    channel::{Answer, Channel, Running, Said},
    folders, info,
    transport::{Came, Transport},
    work,
};
use crate::exec::Cause;

/// How many messages may wait for the master's answer before commands have to wait.
const WINDOW: usize = 64;
/// How many bytes may wait for the network.
const OUT: usize = 1024 * 1024;
/// How long last words may take.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long the login may take.
const LOGIN_PATIENCE: Duration = Duration::from_mins(1);

/// How a connection ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The worker is to stop.
    Stopped,
    /// The master does not want this worker.
    Refused { unauthorized: bool, reason: String },
    /// Anything else, for the log.
    Lost(String),
}

enum End {
    Pb(Box<pb::WorkerSession>),
    Msgpack(Box<msgpack::WorkerSession>),
}

impl End {
    fn get(&mut self) -> &mut dyn WorkerEnd {
        match self {
            Self::Pb(session) => session.as_mut(),
            Self::Msgpack(session) => session.as_mut(),
        }
    }
}

pub(super) struct Session<'a> {
    place: &'a Rc<Place>,
    settings: &'a Settings,
    transport: Transport,
    end: End,
    channel: Rc<Channel>,
    running: HashMap<CommandId, Rc<Running>>,
    attached: bool,
    heard: Instant,
    /// Tells the owner's log.
    on_attached: &'a dyn Fn(),
}

impl<'a> Session<'a> {
    pub(super) fn new(
        place: &'a Rc<Place>,
        settings: &'a Settings,
        transport: Transport,
        on_attached: &'a dyn Fn(),
    ) -> Self {
        let info = info::gather(&place.base, settings);
        let end = match settings.protocol {
            Protocol::Pb => {
                let password = PasswordDigest::of(&settings.password);
                End::Pb(Box::new(pb::WorkerSession::new(&settings.name, password, info)))
            }
            Protocol::Msgpack => End::Msgpack(Box::new(msgpack::WorkerSession::new(info))),
        };
        Self {
            place,
            settings,
            transport,
            end,
            channel: Rc::default(),
            running: HashMap::new(),
            attached: false,
            heard: Instant::now(),
            on_attached,
        }
    }

    /// Runs the connection to its end. What was started on it ends with it.
    pub(super) async fn run(
        mut self,
        stopped: &mut watch::Receiver<u8>,
        wishes: &tokio::sync::Notify,
    ) -> Ended {
        let ended = self.serve(stopped, wishes).await;
        if matches!(ended, Ended::Stopped) {
            // The answer to the master's last call.
            let _ = self.exchange();
            let until = Instant::now() + FAREWELL;
            while self.transport.waiting() > 0 {
                if !matches!(timeout_at(until, self.transport.turn()).await, Ok(Ok(_))) {
                    break;
                }
            }
        }
        self.channel.close();
        for running in self.running.values() {
            running.stop(Cause::Drop);
        }
        ended
    }

    async fn serve(&mut self, stopped: &mut watch::Receiver<u8>, wishes: &tokio::sync::Notify) -> Ended {
        let opened = Instant::now();
        let mut asked_at = opened;
        loop {
            match self.exchange() {
                Ok(None) => {}
                Ok(Some(ended)) => return ended,
                Err(error) => return Ended::Lost(error.to_string()),
            }
            let alarm = match self.settings.keepalive {
                _ if !self.attached => Some(opened + LOGIN_PATIENCE),
                Some(every) => Some(asked_at + every),
                None => None,
            };
            tokio::select! {
                came = self.transport.turn() => match came {
                    Ok(Came::Bytes(bytes)) => {
                        self.heard = Instant::now();
                        if let Err(error) = self.end.get().feed(&bytes) {
                            return Ended::Lost(error.to_string());
                        }
                    }
                    Ok(Came::Sign) => self.heard = Instant::now(),
                    Ok(Came::Sent) => {}
                    Err(reason) => return Ended::Lost(reason),
                },
                () = self.channel.wake.notified() => {}
                () = wishes.notified() => {
                    if !self.attached {
                        tracing::info!("asked to shut down before a master has let this worker in: stopping");
                        return Ended::Stopped;
                    }
                    self.ask_for_shutdown();
                }
                _ = stopped.wait_for(|level| *level > 0) => return Ended::Stopped,
                () = sleep_until(alarm.unwrap_or_else(Instant::now)), if alarm.is_some() => {
                    if !self.attached {
                        return Ended::Lost(format!("the master has not let this worker in for {} s", LOGIN_PATIENCE.as_secs()));
                    }
                    if self.heard < asked_at && asked_at > opened {
                        let silence = self.heard.elapsed().as_secs();
                        return Ended::Lost(format!("the master has said nothing for {silence} s, though it was asked to"));
                    }
                    asked_at = Instant::now();
                    if let Err(error) = self.ask_for_life() {
                        return Ended::Lost(error.to_string());
                    }
                }
            }
        }
    }

    fn ask_for_life(&mut self) -> Result<(), SessionError> {
        match &mut self.end {
            End::Pb(session) => session.keepalive(),
            End::Msgpack(_) => {
                self.transport.ping();
                Ok(())
            }
        }
    }

    fn ask_for_shutdown(&mut self) {
        match &mut self.end {
            End::Pb(session) => match session.ask_for_shutdown() {
                Ok(()) => tracing::info!("asked the master to shut this worker down when it is idle"),
                Err(error) => tracing::warn!("cannot ask the master for a shutdown: {error}"),
            },
            End::Msgpack(_) => tracing::warn!(
                "over msgpack a worker cannot ask its master for a shutdown; pause it there, then stop it with SIGTERM"
            ),
        }
    }

    /// Does what the master has said, and gives the network what there is to send.
    fn exchange(&mut self) -> Result<Option<Ended>, SessionError> {
        while let Some(event) = self.end.get().poll_event() {
            if let Some(ended) = self.handle(event) {
                return Ok(Some(ended));
            }
        }
        while self.end.get().unanswered() < WINDOW && self.transport.waiting() < OUT {
            let Some((id, said)) = self.channel.take() else {
                break;
            };
            let end = self.end.get();
            match said {
                Said::Updates(updates) => end.update(&id, &updates)?,
                Said::Transfer(transfer) => end.transfer(&id, &transfer)?,
                Said::Complete(failure) => {
                    end.complete(&id, failure.as_deref())?;
                    self.running.remove(&id);
                }
            }
            self.collect();
        }
        self.collect();
        Ok(None)
    }

    fn collect(&mut self) {
        while let Some(bytes) = self.end.get().poll_send() {
            self.transport.send(bytes);
        }
    }

    fn handle(&mut self, event: WorkerEvent) -> Option<Ended> {
        match event {
            WorkerEvent::Attached => {
                self.attached = true;
                (self.on_attached)();
            }
            WorkerEvent::Refused { unauthorized, reason } => {
                return Some(Ended::Refused { unauthorized, reason });
            }
            WorkerEvent::Print(message) => tracing::info!("the master says: {message}"),
            WorkerEvent::Builders(builders) => {
                folders::settle(&self.place.base, &builders, self.settings.delete_leftover_dirs);
            }
            WorkerEvent::Settings(settings) => {
                if settings.newline_re != msgpack::Settings::default().newline_re {
                    tracing::warn!(
                        "the master has a pattern of its own for ends of lines; this worker keeps to Buildbot's usual one"
                    );
                }
                *self.place.settings.borrow_mut() = settings;
            }
            WorkerEvent::Start { id, dir, command } => {
                let running = Rc::new(Running::new(id.clone(), Rc::clone(&self.channel)));
                self.running.insert(id, Rc::clone(&running));
                let place = Rc::clone(self.place);
                let number = place.begun(running.id.to_string(), command.name());
                tokio::task::spawn_local(async move {
                    work::work(Rc::clone(&place), running, dir, command).await;
                    place.over(number);
                });
            }
            WorkerEvent::Interrupt { id, why } => {
                if let Some(running) = self.running.get(&id) {
                    running.stop(Cause::Interrupt(why));
                }
            }
            WorkerEvent::Done(id) => self.answer(&id, Answer::Done),
            WorkerEvent::Data { id, data } => self.answer(&id, Answer::Data(data)),
            WorkerEvent::TransferFailed { id, reason } => self.answer(&id, Answer::Failed(reason)),
            WorkerEvent::Alive => {}
            WorkerEvent::Shutdown => {
                tracing::info!("the master has shut this worker down");
                return Some(Ended::Stopped);
            }
        }
        None
    }

    fn answer(&self, id: &CommandId, answer: Answer) {
        if let Some(running) = self.running.get(id) {
            running.answer(answer);
        }
    }
}
