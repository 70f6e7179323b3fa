//! What the master knows of its workers' commands, across connections.
//!
//! The runner begins a command here and takes its output from an [`Inbox`]; whichever connection the worker has
//! at the time carries it. When a connection is lost, nothing happens here but a pause: the next one resumes each
//! command where its output stopped.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ironmaster_model::BuildId;
use ironmaster_wire::{CommandId, CommandReport, Exited, OutputChunk, Verb};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    crash,
    inbox::{CommandEnd, Inbox, Waiting},
    session::{Carrier, CarrierError},
};

/// All workers, by name.
#[derive(Debug, Default)]
pub(crate) struct Workers(Mutex<BTreeMap<String, Arc<WorkerLink>>>);

impl Workers {
    /// The link to the worker with that (configured) name.
    pub(crate) fn link(&self, name: &str) -> Arc<WorkerLink> {
        let mut links = self.0.lock().expect("no panic while holding the lock");
        links.entry(name.to_owned()).or_default().clone()
    }

    /// Ends all connections; commands go on.
    pub(crate) fn disconnect_all(&self) {
        for link in self.0.lock().expect("no panic while holding the lock").values() {
            link.disconnect();
        }
    }
}

/// One worker, connected or not.
#[derive(Debug, Default)]
pub(crate) struct WorkerLink {
    state: Mutex<LinkState>,
    /// Wakes the connection when there is something to send.
    pub(crate) wake: Notify,
    /// Wakes who waits for a sign of life of the process that is connected.
    pub(crate) heard: Notify,
    /// Held while the engine is told that a process is connected, or is not: it has to hear of that in the order in which it happens.
    pub(crate) turn: tokio::sync::Mutex<()>,
    /// Output that waits for the runners.
    pub(crate) waiting: Arc<Waiting>,
}

#[derive(Debug, Default)]
struct LinkState {
    connection: Option<Connection>,
    commands: BTreeMap<CommandId, Command>,
    /// Commands that the worker process reported, and that nobody here has asked for yet.
    reports: BTreeMap<CommandId, CommandReport>,
    /// Commands with something to send. Bounded by the commands themselves.
    dirty: BTreeSet<CommandId>,
}

#[derive(Debug)]
struct Connection {
    /// Tells this connection from others of the same process.
    serial: u64,
    instance: String,
    /// Whether commands may be sent: after the welcome.
    open: bool,
    /// Whether the process has promised to end when it is told to.
    shuts_down: bool,
    /// Why it is to be told so.
    dismissed: Option<String>,
    /// Whether it is to be asked for a sign of life.
    asked: bool,
    end: CancellationToken,
}

#[derive(Debug)]
struct Command {
    /// The worker process that it belongs to.
    instance: String,
    digest: String,
    verb: Verb,
    /// Where its output is wanted from next.
    from: From,
    /// Whether this connection carries it.
    attached: bool,
    /// Whether it was sent, or reported, over any connection that we know of.
    known_there: bool,
    ack: u64,
    /// Why it is to end. Said on each connection: what said it before may have been lost on its way.
    interrupt: Option<String>,
    /// Whether this connection was told so.
    interrupted: bool,
    forget: bool,
    inbox: Arc<Inbox>,
}

/// Where output is wanted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// That byte.
    Offset(u64),
    /// It goes into several logs, which have come to different places, from the first of these bytes to the second. The worker has
    /// dropped only what none of them lacks.
    Between(u64, u64),
    /// All of it was had before; only the outcome is wanted.
    End,
}

impl LinkState {
    /// No connection carries a command any more.
    fn detach_commands(&mut self) {
        for command in self.commands.values_mut() {
            command.attached = false;
            command.interrupted = false;
        }
    }

    /// The connection, if it still is that one.
    fn connection_of(&mut self, serial: u64) -> Option<&mut Connection> {
        self.connection
            .as_mut()
            .filter(|connection| connection.serial == serial)
    }

    /// A command that the connection, which still has to be that one, tells something of. One whose place was taken may have been
    /// heard later than its successor.
    fn command_of(&mut self, serial: u64, id: CommandId) -> Option<&mut Command> {
        self.connection_of(serial)?;
        self.commands.get_mut(&id)
    }
}

impl WorkerLink {
    fn state(&self) -> MutexGuard<'_, LinkState> {
        self.state.lock().expect("no panic while holding the lock")
    }

    /// Begins a command, or takes it up again if the worker has it already.
    pub(crate) fn begin(
        &self,
        id: CommandId,
        instance: &str,
        verb: Verb,
        digest: String,
        from: From,
    ) -> Arc<Inbox> {
        let inbox = Arc::new(Inbox::new(self.waiting.clone()));
        let command = Command {
            instance: instance.to_owned(),
            digest,
            verb,
            from,
            attached: false,
            known_there: false,
            ack: 0,
            interrupt: None,
            interrupted: false,
            forget: false,
            inbox: inbox.clone(),
        };
        let mut state = self.state();
        state.commands.insert(id, command);
        state.dirty.insert(id);
        drop(state);
        self.wake.notify_one();
        inbox
    }

    /// Says that output below `offset` is durable.
    pub(crate) fn ack(&self, id: CommandId, offset: u64) {
        self.change(id, |command| command.ack = command.ack.max(offset));
    }

    /// Asks the worker to end a command.
    pub(crate) fn interrupt(&self, id: CommandId, reason: &str) {
        self.change(id, |command| {
            command.interrupt.get_or_insert_with(|| reason.to_owned());
        });
    }

    fn change(&self, id: CommandId, change: impl FnOnce(&mut Command)) {
        let mut state = self.state();
        let Some(command) = state.commands.get_mut(&id) else {
            return;
        };
        change(command);
        state.dirty.insert(id);
        drop(state);
        self.wake.notify_one();
    }

    /// Says that nobody wants these commands any more: their outcome is durable, or the attempt was given up. What still
    /// runs of them is killed. Said again after a reconnect as long as the worker reports them.
    pub(crate) fn forget(&self, which: impl Fn(CommandId) -> bool) {
        let mut state = self.state();
        let LinkState {
            commands,
            reports,
            dirty,
            ..
        } = &mut *state;
        for (id, command) in commands.iter_mut().filter(|(id, _)| which(**id)) {
            command.forget = true;
            dirty.insert(*id);
        }
        let unclaimed: Vec<CommandId> = reports.keys().copied().filter(|id| which(*id)).collect();
        for id in unclaimed {
            let report = reports.remove(&id).expect("the key was just seen");
            commands.insert(id, Command::unwanted(report));
            dirty.insert(id);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// The connection of another process of this worker; `None` if the given one may connect.
    pub(crate) fn rival(&self, instance: &str) -> Option<u64> {
        let state = self.state();
        let connection = state.connection.as_ref()?;
        if connection.instance == instance {
            // The same process comes anew: it knows best that its old connection is dead.
            connection.end.cancel();
        }
        (!connection.end.is_cancelled()).then_some(connection.serial)
    }

    /// Asks the process behind that connection for a sign of life, which [`Self::heard`] then tells.
    pub(crate) fn ask(&self, serial: u64) {
        let mut state = self.state();
        if let Some(connection) = state.connection_of(serial) {
            connection.asked = true;
            drop(state);
            self.wake.notify_one();
        }
    }

    /// The process behind that connection does not answer: it counts as gone.
    pub(crate) fn give_up(&self, serial: u64) {
        if let Some(connection) = self.state().connection_of(serial) {
            connection.end.cancel();
        }
    }

    /// Tells that process to end. One that cannot be told is cut off if it was `killed`.
    pub(crate) fn dismiss(&self, instance: &str, reason: &str, killed: bool) {
        let mut state = self.state();
        let Some(connection) = state
            .connection
            .as_mut()
            .filter(|connection| connection.instance == instance)
        else {
            // It is told when it is back.
            return;
        };
        if connection.shuts_down {
            connection.dismissed = Some(reason.to_owned());
            drop(state);
            self.wake.notify_one();
        } else if killed {
            connection.end.cancel();
        }
    }

    /// A connection was accepted but not yet welcomed. Takes the place of an older one.
    pub(crate) fn attach(&self, instance: &str, shuts_down: bool, end: CancellationToken) -> u64 {
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        if let Some(old) = state.connection.take() {
            old.end.cancel();
        }
        state.detach_commands();
        state.reports.clear();
        state.connection = Some(Connection {
            serial,
            instance: instance.to_owned(),
            open: false,
            shuts_down,
            dismissed: None,
            asked: false,
            end,
        });
        serial
    }

    /// The connection is welcomed: sorts what the worker reported. `live` says which builds still run on this process.
    pub(crate) fn open(
        &self,
        serial: u64,
        reports: Vec<CommandReport>,
        live: &BTreeSet<BuildId>,
        instance: &str,
    ) {
        let mut state = self.state();
        let state = &mut *state;
        if state.connection_of(serial).is_none() {
            return;
        }
        for report in reports {
            let id = report.id;
            if let Some(command) = state
                .commands
                .get_mut(&id)
                .filter(|command| command.instance == instance)
            {
                command.known_there = true;
                if !command.forget && command.digest != report.digest {
                    command.inbox.end(CommandEnd::Lost(
                        "the worker runs something else under this command's number than what the step asks for now".into(),
                    ));
                    command.forget = true;
                }
                state.reports.insert(id, report);
            } else if live.contains(&BuildId(id.build)) {
                state.reports.insert(id, report);
            } else {
                state.commands.insert(id, Command::unwanted(report));
            }
        }
        // What was begun before, and is not there any more.
        for (id, command) in &mut state.commands {
            if command.instance != instance || !command.known_there || state.reports.contains_key(id) {
                continue;
            }
            if command.from == From::Offset(0) && !command.forget {
                // It may never have arrived; if it did, the worker would have said so.
                command.known_there = false;
            } else if !command.forget {
                command
                    .inbox
                    .end(CommandEnd::Lost("the worker has lost this command".into()));
            }
        }
        state
            .commands
            .retain(|id, command| !command.forget || state.reports.contains_key(id) || command.is_unwanted());
        state.dirty = state.commands.keys().copied().collect();
        if let Some(connection) = state.connection.as_mut() {
            connection.open = true;
        }
        self.wake.notify_one();
    }

    /// A connection has ended. Nothing happens if another one has taken its place.
    pub(crate) fn detach(&self, serial: u64) {
        let mut state = self.state();
        if state.connection_of(serial).is_some() {
            state.connection = None;
            state.detach_commands();
        }
    }

    /// Whether a connection of that process is there, welcomed or not.
    pub(crate) fn is_attached(&self, instance: &str) -> bool {
        let state = self.state();
        let connection = state.connection.as_ref();
        connection.is_some_and(|connection| connection.instance == instance)
    }

    /// Ends the connection, if there is one.
    pub(crate) fn disconnect(&self) {
        if let Some(connection) = &self.state().connection {
            connection.end.cancel();
        }
    }

    /// Hands what there is to say to the session of the open connection. False if that is another one by now.
    pub(crate) fn pump(
        &self,
        serial: u64,
        session: &mut dyn Carrier,
        now: Duration,
    ) -> Result<bool, CarrierError> {
        let mut state = self.state();
        let LinkState {
            connection,
            commands,
            reports,
            dirty,
        } = &mut *state;
        let Some(connection) = connection.as_mut() else {
            return Ok(true);
        };
        if connection.serial != serial {
            // What woke this one was meant for the other.
            self.wake.notify_one();
            return Ok(false);
        }
        if !connection.open {
            return Ok(true);
        }
        for id in std::mem::take(dirty) {
            let Some(command) = commands.get_mut(&id) else {
                continue;
            };
            if command.forget && !command.is_unwanted() && command.instance != connection.instance {
                // The process that had it is gone, and all that it ran.
                commands.remove(&id);
                continue;
            }
            if command.forget {
                crash::point("forget");
                session.forget(id);
                reports.remove(&id);
                commands.remove(&id);
                continue;
            }
            if command.instance != connection.instance {
                continue;
            }
            if !command.attached {
                match begin(session, id, command, reports.remove(&id)) {
                    Ok(()) => command.attached = true,
                    Err(CarrierError::Closed) => return Ok(true),
                    Err(CarrierError::Unfit(reason)) => {
                        command.inbox.end(CommandEnd::Lost(reason));
                        command.forget = true;
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            if let Some(reason) = &command.interrupt
                && !std::mem::replace(&mut command.interrupted, true)
            {
                session.interrupt(id, reason.clone());
            }
            if command.ack > 0 {
                session.ack(id, command.ack);
                crash::point("output_acknowledged");
            }
        }
        if let Some(reason) = connection.dismissed.take() {
            session.shut_down(&reason, now)?;
        }
        if std::mem::take(&mut connection.asked) {
            session.ping()?;
        }
        Ok(true)
    }

    /// The next bytes of a command's output. False if the worker sends them in too many pieces.
    pub(crate) fn output(&self, serial: u64, chunk: OutputChunk) -> bool {
        let mut state = self.state();
        let Some(command) = state
            .command_of(serial, chunk.id)
            .filter(|command| !command.forget)
        else {
            return true;
        };
        command.from = From::Offset(chunk.end());
        command.inbox.push(chunk)
    }

    /// A command has ended.
    pub(crate) fn exited(&self, serial: u64, exited: Exited) {
        if let Some(command) = self.state().command_of(serial, exited.id) {
            command.from = From::End;
            command.inbox.end(CommandEnd::Exited(exited));
        }
    }

    /// The worker does not have a command.
    pub(crate) fn lost(&self, serial: u64, id: CommandId, reason: String) {
        if let Some(command) = self.state().command_of(serial, id) {
            command.inbox.end(CommandEnd::Lost(reason));
        }
    }
}

impl Command {
    /// Something that the worker still has, and that is to be killed and forgotten.
    fn unwanted(report: CommandReport) -> Self {
        Self {
            instance: String::new(),
            digest: report.digest,
            verb: Verb::Info,
            from: From::End,
            attached: false,
            known_there: true,
            ack: 0,
            interrupt: None,
            interrupted: false,
            forget: true,
            inbox: Arc::new(Inbox::new(Arc::default())),
        }
    }

    /// The worker has something else under this number.
    fn mismatched(&mut self) {
        let reason =
            "the worker runs something else under this command's number than what the step asks for now";
        self.inbox.end(CommandEnd::Lost(reason.into()));
        self.forget = true;
    }

    fn is_unwanted(&self) -> bool {
        self.instance.is_empty()
    }
}

/// Attaches a command to a connection: resumes it if the worker has it, starts it otherwise.
fn begin(
    session: &mut dyn Carrier,
    id: CommandId,
    command: &mut Command,
    report: Option<CommandReport>,
) -> Result<(), CarrierError> {
    let Some(report) = report else {
        session.start(id, command.digest.clone(), command.verb.clone())?;
        command.known_there = true;
        crash::point("command_started");
        return Ok(());
    };
    if report.digest != command.digest {
        command.mismatched();
        return Ok(());
    }
    let offset = match command.from {
        From::Offset(offset) => offset,
        From::Between(least, most) => report
            .output_start
            .clamp(least, most.min(report.output_end).max(least)),
        From::End => report.output_end,
    };
    command.known_there = true;
    session.resume(id, offset)
}
