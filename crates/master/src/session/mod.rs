//! One connection of a worker: carries frames between the socket, the sans-I/O session of its protocol (a
//! [`Carrier`]), and the worker's link.

mod carrier;
mod facts;
mod presence;
mod refusals;
mod stock;
#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ironmaster_engine::{ConnectedWorker, Input, Reply, State, build::workdir};
use ironmaster_model::{Plan, WorkerConnection, WorkerId};
use ironmaster_wire::{Frame, Hello, Limits, MasterEvent, MasterSession, Welcome};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::{MutexGuard, mpsc};
use tokio_util::sync::CancellationToken;

pub(crate) use self::carrier::{Carrier, CarrierError};
pub use self::refusals::NotAdmitted;
pub(crate) use self::refusals::Refusals;
pub use self::stock::StockSession;
use crate::{
    committer::{Committer, SubmitError},
    workers::{WorkerLink, Workers},
};

/// How long a process that is connected may take to answer when another one comes under its name.
const RIVAL_PATIENCE: Duration = Duration::from_secs(5);

/// What every session needs.
#[derive(Debug)]
pub(crate) struct Sessions {
    pub(crate) committer: Committer,
    pub(crate) workers: Arc<Workers>,
    pub(crate) lease: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) refusals: Refusals,
    pub(crate) stop: CancellationToken,
}

/// How a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the worker closed the connection")]
    Closed,
    #[error("the worker said goodbye: {0}")]
    Goodbye(String),
    #[error("{0}")]
    Protocol(#[from] CarrierError),
    #[error("the connection does not take what is sent")]
    Stuck,
    #[error("another connection of the same worker took its place, or the master ended it")]
    Replaced,
    #[error("refused: {0}")]
    Refused(String),
    #[error("output came in too many small pieces")]
    Crumbs,
    #[error("{0}")]
    Submit(#[from] SubmitError),
}

/// A worker that said who it is.
struct Greeted {
    name: String,
    instance: String,
    link: Arc<WorkerLink>,
    serial: u64,
    /// Set when it is known as connected.
    worker: Option<WorkerId>,
    /// How the connection ended, if it has.
    ended: Option<End>,
}

impl Sessions {
    /// Runs one connection of a native worker until it ends.
    pub(crate) async fn serve_native(
        &self,
        plan: Arc<Plan>,
        peer: String,
        incoming: mpsc::Receiver<Box<Frame>>,
        outgoing: mpsc::Sender<Box<Frame>>,
    ) {
        let session = Box::new(MasterSession::new(Limits::default(), Duration::ZERO));
        self.serve(session, plan, peer, incoming, outgoing).await;
    }

    /// Runs one connection of a stock worker until it ends.
    pub(crate) async fn serve_stock(
        &self,
        session: StockSession,
        plan: Arc<Plan>,
        peer: String,
        incoming: mpsc::Receiver<Box<Frame>>,
        outgoing: mpsc::Sender<Box<Frame>>,
    ) {
        self.serve(Box::new(session), plan, peer, incoming, outgoing)
            .await;
    }

    /// Runs one connection until it ends. What its beginning and its end need room for is not kept while it lasts: there are
    /// many of them.
    async fn serve(
        &self,
        session: Box<dyn Carrier>,
        plan: Arc<Plan>,
        peer: String,
        incoming: mpsc::Receiver<Box<Frame>>,
        outgoing: mpsc::Sender<Box<Frame>>,
    ) {
        let mut connection = Running {
            epoch: Instant::now(),
            session,
            incoming,
            outgoing,
            send_within: self.heartbeat * 3,
            end: self.stop.child_token(),
        };
        let Some(mut greeted) = Box::pin(self.greet(plan, &peer, &mut connection)).await else {
            return;
        };
        if greeted.ended.is_none() {
            greeted.ended = Some(self.pump(&greeted, &mut connection).await);
        }
        Box::pin(self.part(greeted, &peer, connection)).await;
    }

    /// From the first frame to an open connection; none if it does not come to that.
    async fn greet(&self, plan: Arc<Plan>, peer: &str, connection: &mut Running) -> Option<Greeted> {
        let hello = connection.hello().await?;
        let name = hello.name.clone();
        let instance = hello.instance.clone();
        if !connection.session.is_known() {
            let check = || authenticate(&plan, &name, &hello.token);
            if let Err(NotAdmitted { reason, later }) =
                self.refusals
                    .admit(peer, &name, plan.workers.contains_key(&name), check)
            {
                // Wrong credentials do not become right by trying again; the configuration may change, though.
                connection.refuse(&reason, later).await;
                return None;
            }
        }
        if !hello.capabilities.shuts_down && self.was_killed(&hello).await {
            connection
                .refuse("somebody told this worker to end at once", false)
                .await;
            return None;
        }
        let link = self.workers.link(&name);
        let _turn = match connection.take_place(&link, &name, &instance).await {
            Ok(turn) => turn,
            Err(reason) => {
                self.refusals.note(peer, &name, &reason);
                connection.refuse(&reason, true).await;
                return None;
            }
        };
        let shuts_down = hello.capabilities.shuts_down;
        let serial = link.attach(&instance, shuts_down, connection.end.clone());
        let mut worker = None;
        let connected = self.connect(connection, &link, serial, hello, &mut worker).await;
        Some(Greeted {
            name,
            instance,
            link: link.clone(),
            serial,
            worker,
            ended: connected.err(),
        })
    }

    /// Whether this process was to end at once. At a stop of the master nobody knows.
    async fn was_killed(&self, hello: &Hello) -> bool {
        let (name, instance) = (hello.name.clone(), hello.instance.clone());
        let killed = move |state: &State| is_killed(state, &name, &instance);
        self.committer.look(killed).await.unwrap_or(false)
    }

    /// The life of an open connection.
    async fn pump(&self, greeted: &Greeted, connection: &mut Running) -> End {
        loop {
            if let Some(end) = connection.pump(&greeted.link, greeted.serial).await {
                return end;
            }
            tracing::info!(
                worker = greeted.name,
                "the worker asks to be stopped when it is idle"
            );
            let Some(worker) = greeted.worker else { continue };
            if let Err(error) = self.committer.submit_fact(Input::StopWorker { worker }).await {
                return error.into();
            }
        }
    }

    /// The end of a connection.
    async fn part(&self, mut greeted: Greeted, peer: &str, mut connection: Running) {
        let reason = greeted.ended.take().unwrap_or(End::Closed).to_string();
        connection.session.goodbye(&reason);
        connection.flush_last().await;
        tracing::info!(worker = greeted.name, peer, reason, "worker disconnected");
        greeted.link.detach(greeted.serial);
        // At a stop of the master there is nobody to tell; the next start takes all workers for disconnected.
        let telling = self.tell_gone(&greeted, &reason);
        let _ = self.stop.run_until_cancelled(telling).await;
    }

    /// From a good hello to an open connection.
    async fn connect(
        &self,
        connection: &mut Running,
        link: &WorkerLink,
        serial: u64,
        hello: Hello,
        worker: &mut Option<WorkerId>,
    ) -> Result<(), End> {
        let connected = ConnectedWorker {
            name: hello.name.clone(),
            connection: WorkerConnection {
                instance: hello.instance.clone(),
                boot: facts::short(&hello.boot),
                resumes: hello.capabilities.resumes,
                connected: true,
            },
            info: facts::of(&hello, connection.session.protocol()).into(),
        };
        let connecting = self.committer.submit(Input::WorkerConnected(connected));
        let Some(connected) = connection.end.run_until_cancelled(connecting).await else {
            return Err(End::Replaced);
        };
        match connected {
            Ok(Reply::Worker(id)) => *worker = Some(id),
            Ok(other) => unreachable!("a connected worker is answered with its id, not {other:?}"),
            Err(error) => {
                connection.refuse(&error.to_string(), true).await;
                return Err(End::Refused(error.to_string()));
            }
        }
        let instance = hello.instance.clone();
        let id = worker.expect("it was just set");
        let wants_dirs = connection.session.wants_dirs();
        let (live, dirs) = self
            .committer
            .look(move |state| {
                let live = state
                    .active_builds()
                    .filter(|build| build.instance == instance)
                    .map(|build| build.id)
                    .collect();
                (live, if wants_dirs { dirs(state, id) } else { Vec::new() })
            })
            .await?;
        let welcome = Welcome {
            lease_ms: u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX),
            heartbeat_ms: u64::try_from(self.heartbeat.as_millis()).unwrap_or(u64::MAX),
            ..Welcome::new(format!(
                "{}-{}",
                hello.name,
                &hello.instance.get(..8).unwrap_or_default()
            ))
        };
        let now = connection.now();
        connection.session.welcome(welcome, dirs, now)?;
        tracing::info!(
            worker = hello.name,
            commands = hello.commands.len(),
            "worker connected"
        );
        link.open(serial, hello.commands, &live, &hello.instance);
        Ok(())
    }
}

/// One connection.
struct Running {
    epoch: Instant,
    session: Box<dyn Carrier>,
    /// A queue has room for 32 frames from its first one on, so boxes.
    incoming: mpsc::Receiver<Box<Frame>>,
    outgoing: mpsc::Sender<Box<Frame>>,
    send_within: Duration,
    end: CancellationToken,
}

impl Running {
    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// The first message; none if the connection ends before.
    async fn hello(&mut self) -> Option<Hello> {
        loop {
            while let Some(event) = self.session.poll_event() {
                if let MasterEvent::Hello(hello) = event {
                    return Some(*hello);
                }
            }
            if let Err(end) = self.turn(None).await {
                self.session.goodbye(&end.to_string());
                self.flush_last().await;
                return None;
            }
        }
    }

    /// Makes sure that no other process is this worker. One that is connected keeps its place if it answers. Until the guard is
    /// dropped, nobody else takes the place.
    async fn take_place<'l>(
        &mut self,
        link: &'l WorkerLink,
        name: &str,
        instance: &str,
    ) -> Result<MutexGuard<'l, ()>, String> {
        loop {
            let turn = link.turn.lock().await;
            let Some(rival) = link.rival(instance) else {
                return Ok(turn);
            };
            drop(turn);
            let heard = link.heard.notified();
            link.ask(rival);
            tokio::select! {
                () = heard => return Err(format!(
                    "another process is connected as worker \"{name}\", and answers; stop it, or give this one a name of its own"
                )),
                () = tokio::time::sleep(RIVAL_PATIENCE) => {
                    // Nobody listens to it, so that it may well have answered.
                    if link.waiting.is_full() {
                        return Err(format!(
                            "another process is connected as worker \"{name}\", and sends more than the master can write; stop it, or give \
                             this one a name of its own"
                        ));
                    }
                    tracing::warn!(
                        worker = name,
                        "the process that was connected does not answer; another one takes its place"
                    );
                    link.give_up(rival);
                }
                () = self.end.cancelled() => return Err("the master is stopping".into()),
            }
        }
    }

    /// The life of an open connection, until it ends or the worker wishes to be stopped.
    async fn pump(&mut self, link: &WorkerLink, serial: u64) -> Option<End> {
        loop {
            if let Some(end) = self.hear(link, serial) {
                return Some(end);
            }
            let now = self.now();
            match link.pump(serial, self.session.as_mut(), now) {
                Ok(true) => {}
                Ok(false) => return Some(End::Replaced),
                Err(error) => return Some(error.into()),
            }
            // What cannot be begun has ended by now.
            if let Some(end) = self.hear(link, serial) {
                return Some(end);
            }
            if self.session.takes_shutdown_wish() {
                return None;
            }
            if let Err(end) = self.turn(Some(link)).await {
                return Some(end);
            }
        }
    }

    /// Hands on what the worker has said.
    fn hear(&mut self, link: &WorkerLink, serial: u64) -> Option<End> {
        while let Some(event) = self.session.poll_event() {
            match event {
                MasterEvent::Output(chunk) => {
                    if !link.output(serial, chunk) {
                        return Some(End::Crumbs);
                    }
                }
                MasterEvent::Exited(exited) => link.exited(serial, exited),
                MasterEvent::Lost { id, reason } => link.lost(serial, id, reason),
                MasterEvent::Goodbye { reason } => return Some(End::Goodbye(reason)),
                MasterEvent::Hello(_) | MasterEvent::Forgotten { .. } => {}
            }
        }
        None
    }

    /// Sends what is to be sent, then waits for the next thing to happen.
    async fn turn(&mut self, link: Option<&WorkerLink>) -> Result<(), End> {
        self.flush().await?;
        if let Some(link) = link
            && link.waiting.is_full()
        {
            return self.wait_for_room(link).await;
        }
        let timeout = self
            .session
            .poll_timeout()
            .map_or(Duration::from_hours(1), |at| at.saturating_sub(self.now()));
        tokio::select! {
            frame = self.incoming.recv() => {
                let Some(frame) = frame else { return Err(End::Closed) };
                let now = self.now();
                self.session.feed(*frame, now)?;
                self.feed_what_is_there()?;
                if let Some(link) = link {
                    link.heard.notify_waiters();
                }
            }
            () = async { match link { Some(link) => link.wake.notified().await, None => std::future::pending().await } } => {}
            () = tokio::time::sleep(timeout) => {
                let now = self.now();
                self.session.handle_timeout(now)?;
            }
            () = self.end.cancelled() => return Err(End::Replaced),
        }
        Ok(())
    }

    /// What else has arrived already, so that one turn serves many frames.
    fn feed_what_is_there(&mut self) -> Result<(), End> {
        let now = self.now();
        for _ in 0..32 {
            let Ok(frame) = self.incoming.try_recv() else {
                break;
            };
            self.session.feed(*frame, now)?;
        }
        Ok(())
    }

    /// Nothing is read while so much output waits to be written: TCP tells the worker. It is not taken for silent meanwhile.
    async fn wait_for_room(&mut self, link: &WorkerLink) -> Result<(), End> {
        let room = link.waiting.room.notified();
        if link.waiting.is_full() {
            tokio::select! {
                () = room => {}
                () = link.wake.notified() => return Ok(()),
                () = self.end.cancelled() => return Err(End::Replaced),
            }
        }
        // Before anybody looks at the clock.
        self.feed_what_is_there()
    }

    async fn flush(&mut self) -> Result<(), End> {
        while let Some(frame) = self.session.poll_send() {
            match tokio::time::timeout(self.send_within, self.outgoing.send(Box::new(frame))).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(End::Closed),
                Err(_) => return Err(End::Stuck),
            }
        }
        Ok(())
    }

    async fn refuse(&mut self, reason: &str, retry: bool) {
        self.session.refuse(reason, retry);
        self.flush_last().await;
    }

    /// Sends the last words, if the other side still takes them.
    async fn flush_last(&mut self) {
        let _ = self.flush().await;
    }
}

/// The directories of all builds that may run on a worker.
fn dirs(state: &State, id: WorkerId) -> Vec<String> {
    let slots = state
        .worker(id)
        .and_then(|worker| state.plan().workers.get(&worker.name))
        .map_or(1, |worker| worker.slots);
    state
        .builders_of(id)
        .filter_map(|builder| state.plan().builders.get(&state.builder(builder)?.name))
        .flat_map(|builder| (0..slots).map(move |slot| workdir(builder, slot)))
        .collect()
}

/// Whether the worker is configured, and its token right. The reason does not tell which of both is wrong.
pub(crate) fn authenticate(plan: &Plan, name: &str, token: &str) -> Result<(), String> {
    let wrong = || {
        format!("worker \"{name}\" is not configured on this master, or its token is not the configured one")
    };
    let worker = plan.workers.get(name).ok_or_else(wrong)?;
    let given = hex::encode(Sha256::digest(token.as_bytes()));
    if bool::from(given.as_bytes().ct_eq(worker.token_sha256.as_bytes())) {
        Ok(())
    } else {
        Err(wrong())
    }
}

/// Whether that process was to end at once.
fn is_killed(state: &State, name: &str, instance: &str) -> bool {
    state.worker_by_name(name).is_some_and(|worker| {
        worker.killed
            && worker
                .connection
                .as_ref()
                .is_some_and(|connection| connection.instance == instance)
    })
}
