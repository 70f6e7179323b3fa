//! The commands of this worker. They outlive connections: each is kept, with its spool and outcome, until the
//! master says that it may be forgotten.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use ironmaster_wire::{CommandId, CommandReport, Exited, Outcome, Stream, Verb, WorkerInfo};
use tokio::{
    sync::{Notify, Semaphore, mpsc},
    time::Instant,
};

use crate::{
    exec::{self, Cause},
    leftovers::Registry,
    paths::Basedir,
    program::{Owner, Program},
    spool::{Spool, SpoolLimits},
    status::CommandStatus,
    verbs,
};

/// How many commands are kept, running or not: what a greeting can report.
const MAX_KEPT: usize = 1024;

/// How many verbs work on files at once, each on a thread of its own. Those of a `get` wait for room, maybe until the master
/// is back, so they must not be all that there are.
pub(crate) const FILE_WORK: usize = 8;

/// What a verb does, in a few words: not its arguments, which may hold what is nobody's business.
fn what(verb: &Verb) -> String {
    const LONGEST: usize = 200;
    let mut text = match verb {
        Verb::Exec(exec) => {
            let program = exec.argv.first().map_or("", String::as_str);
            match exec.workdir.as_str() {
                "" => program.to_owned(),
                workdir => format!("{program} in {workdir}"),
            }
        }
        other => other.name().to_owned(),
    };
    if let Some((cut, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(cut);
    }
    text
}

/// What all commands share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) base: Basedir,
    pub(crate) info: WorkerInfo,
    pub(crate) registry: Registry,
    pub(crate) spool: SpoolLimits,
    /// A permit for each of [`FILE_WORK`].
    pub(crate) file_work: Semaphore,
    /// Tells the connection that some command has something to say.
    pub(crate) wake: Notify,
}

/// What is to become of a command once it has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Its outcome waits for the master.
    Keep,
    /// The master wants to hear that nothing is left.
    Forget,
    /// The master has to hear that it is lost, and why.
    Lose(String),
}

/// One command.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: CommandId,
    digest: String,
    context: Rc<Context>,
    spool: RefCell<Spool>,
    room: Notify,
    stop: RefCell<Option<Cause>>,
    stop_asked: Notify,
    /// The same for verbs that block a thread.
    cancelled: Arc<AtomicBool>,
    ended: RefCell<Option<Exited>>,
    /// For people: what it is.
    what: String,
    /// The names of its log files.
    files: Vec<String>,
    begun: Instant,
    fate: RefCell<Fate>,
}

impl Owner for Entry {
    fn label(&self) -> String {
        self.id.to_string()
    }

    fn registry(&self) -> &Registry {
        &self.context.registry
    }

    /// Adds output and tells the connection.
    fn push(&self, stream: Stream, data: Bytes) {
        self.spool.borrow_mut().push(stream, data);
        self.context.wake.notify_one();
    }

    fn is_full(&self) -> bool {
        self.spool.borrow().is_full()
    }

    /// Waits until the master has confirmed enough.
    async fn room(&self) {
        while self.is_full() {
            self.room.notified().await;
        }
    }

    fn unread(&self, file: usize, why: &str) {
        if let Some(name) = self.files.get(file) {
            self.header(&format!("log file \"{name}\": {why}\n"));
        }
    }

    async fn stop_asked(&self) -> Cause {
        loop {
            if let Some(cause) = self.stop.borrow_mut().take() {
                return cause;
            }
            self.stop_asked.notified().await;
        }
    }
}

impl Entry {
    fn stop(&self, cause: Cause) {
        if self.is_running() {
            self.cancelled.store(true, Ordering::Relaxed);
            let mut stop = self.stop.borrow_mut();
            // What has not been seen yet may only be replaced by something harder.
            if stop.is_none() || matches!(cause, Cause::Drop | Cause::Lease) {
                *stop = Some(cause);
            }
            self.stop_asked.notify_one();
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.ended.borrow().is_none()
    }

    pub(crate) fn ended(&self) -> Option<Exited> {
        self.ended.borrow().clone()
    }

    pub(crate) fn fate(&self) -> Fate {
        self.fate.borrow().clone()
    }

    pub(crate) fn output_end(&self) -> u64 {
        self.spool.borrow().end()
    }

    /// Appends output from `offset` on to `to`; see [`Spool::read`].
    pub(crate) fn read(&self, offset: u64, most: usize, to: &mut BytesMut) -> io::Result<Option<Stream>> {
        self.spool.borrow().read(offset, most, to)
    }

    fn report(&self) -> CommandReport {
        let spool = self.spool.borrow();
        CommandReport {
            id: self.id,
            digest: self.digest.clone(),
            output_start: spool.start(),
            output_end: spool.end(),
            exited: !self.is_running(),
        }
    }

    async fn work(&self, verb: Verb) {
        let started = Instant::now();
        let outcome = match verb {
            Verb::Exec(exec) => match Program::native(exec, &self.context.base) {
                Ok(program) => exec::run(self, program).await,
                Err(message) => Outcome::StartFailed { message },
            },
            other => self.perform(other).await,
        };
        tracing::debug!(command = %self.id, ?outcome, "ended");
        *self.ended.borrow_mut() = Some(Exited {
            id: self.id,
            outcome,
            output_end: self.output_end(),
            duration_ms: started.elapsed().as_millis() as u64,
        });
        self.context.wake.notify_one();
    }

    /// A verb that blocks, on a thread for such work; what it reads arrives here piece by piece.
    async fn perform(&self, verb: Verb) -> Outcome {
        let _permit = tokio::select! {
            permit = self.context.file_work.acquire() => permit,
            asked = self.stop_asked() => return ended_by(asked),
        };
        let (send, mut receive) = mpsc::channel::<Bytes>(2);
        let (base, info, cancelled) = (
            self.context.base.clone(),
            self.context.info.clone(),
            Arc::clone(&self.cancelled),
        );
        let work = tokio::task::spawn_blocking(move || {
            verbs::perform(&base, &info, verb, &cancelled, |data| {
                send.blocking_send(data).is_ok()
            })
        });
        let mut cause = None;
        loop {
            tokio::select! {
                asked = self.stop_asked() => {
                    // Nobody reads on; the thread notices, also when it waits for room.
                    receive.close();
                    cause.get_or_insert(asked);
                }
                data = receive.recv() => match data {
                    Some(data) if cause.is_none() => {
                        self.push(Stream::Stdout, data);
                        tokio::select! {
                            () = self.room() => {}
                            asked = self.stop_asked() => {
                                receive.close();
                                cause = Some(asked);
                            }
                        }
                    }
                    Some(_) => {}
                    None => break,
                },
            }
        }
        match (work.await, cause) {
            // It was done before it could be stopped.
            (Ok(outcome @ Outcome::Value { .. }), _) | (Ok(outcome), None) => outcome,
            (_, Some(cause)) => ended_by(cause),
            (Err(error), None) => Outcome::Failed {
                kind: ironmaster_wire::FailureKind::Io,
                message: format!("the worker failed: {error}; please report this as a bug"),
            },
        }
    }
}

/// The outcome of work on files that was ended before it was done.
fn ended_by(cause: Cause) -> Outcome {
    match cause {
        Cause::Interrupt(reason) => Outcome::Interrupted { reason },
        Cause::Lease => Outcome::LeaseExpired,
        _ => Outcome::Interrupted {
            reason: "dropped".into(),
        },
    }
}

/// What a request about a command leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Send its output from here on.
    Attach(u64),
    /// Nothing to say now.
    Nothing,
    /// It is lost, for this reason.
    Lost(String),
    /// Nothing is left of it.
    Forgotten,
}

/// Every command that the worker has.
#[derive(Debug)]
pub(crate) struct Commands {
    context: Rc<Context>,
    entries: RefCell<BTreeMap<CommandId, Rc<Entry>>>,
    max_running: u32,
    stopping: Cell<bool>,
}

impl Commands {
    pub(crate) fn new(context: Rc<Context>, max_running: u32) -> Self {
        Self {
            context,
            entries: RefCell::default(),
            max_running,
            stopping: Cell::new(false),
        }
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    pub(crate) fn reports(&self) -> Vec<CommandReport> {
        self.entries
            .borrow()
            .values()
            .map(|entry| entry.report())
            .collect()
    }

    /// What there is, for people.
    pub(crate) fn statuses(&self) -> Vec<CommandStatus> {
        let entries = self.entries.borrow();
        let status = |entry: &Rc<Entry>| CommandStatus {
            id: entry.id.to_string(),
            what: entry.what.clone(),
            running: entry.is_running(),
            for_secs: entry.begun.elapsed().as_secs(),
        };
        entries.values().map(status).collect()
    }

    pub(crate) fn running(&self) -> usize {
        self.entries
            .borrow()
            .values()
            .filter(|entry| entry.is_running())
            .count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.borrow().is_empty()
    }

    pub(crate) fn get(&self, id: CommandId) -> Option<Rc<Entry>> {
        self.entries.borrow().get(&id).cloned()
    }

    /// All commands, beginning after `last`, so that each gets its turn.
    pub(crate) fn after(&self, last: Option<CommandId>) -> Vec<Rc<Entry>> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let entries = self.entries.borrow();
        match last {
            None => entries.values().cloned().collect(),
            Some(last) => entries
                .range((Excluded(last), Unbounded))
                .chain(entries.range((Unbounded, Included(last))))
                .map(|(_, entry)| Rc::clone(entry))
                .collect(),
        }
    }

    /// `attached` says whether this connection already sends its output.
    pub(crate) fn start(&self, id: CommandId, digest: String, verb: Verb, attached: bool) -> Answer {
        if let Some(entry) = self.get(id) {
            if entry.digest != digest {
                return self.lose(&entry, "the worker has a command of this id for another request");
            }
            return if attached {
                Answer::Nothing
            } else {
                self.resume(id, 0)
            };
        }
        if self.stopping.get() {
            return Answer::Lost("the worker stops".into());
        }
        if self.running() >= self.max_running as usize {
            return Answer::Lost(format!(
                "the worker already runs {} commands, which is its limit",
                self.max_running
            ));
        }
        if self.entries.borrow().len() >= MAX_KEPT {
            return Answer::Lost(format!(
                "the worker already keeps {MAX_KEPT} commands that were not forgotten"
            ));
        }
        tracing::debug!(command = %id, verb = verb.name(), "started");
        let entry = Rc::new(Entry {
            id,
            digest,
            context: Rc::clone(&self.context),
            spool: RefCell::new(Spool::new(
                self.context.spool,
                self.context.base.state().join("spool"),
            )),
            room: Notify::new(),
            stop: RefCell::new(None),
            stop_asked: Notify::new(),
            cancelled: Arc::default(),
            ended: RefCell::new(None),
            what: what(&verb),
            files: match &verb {
                Verb::Exec(exec) => exec.log_files.iter().map(|file| file.name.clone()).collect(),
                _ => Vec::new(),
            },
            begun: Instant::now(),
            fate: RefCell::new(Fate::Keep),
        });
        self.entries.borrow_mut().insert(id, Rc::clone(&entry));
        tokio::task::spawn_local(async move { entry.work(verb).await });
        Answer::Attach(0)
    }

    pub(crate) fn resume(&self, id: CommandId, offset: u64) -> Answer {
        let Some(entry) = self.get(id) else {
            return Answer::Lost("the worker does not know this command".into());
        };
        let (start, end) = (entry.spool.borrow().start(), entry.output_end());
        if entry.fate() != Fate::Keep {
            return self.lose(&entry, "the command was being ended");
        }
        if !(start..=end).contains(&offset) {
            return self.lose(
                &entry,
                &format!("output is asked for from byte {offset} on, but the worker has {start} to {end}"),
            );
        }
        Answer::Attach(offset)
    }

    pub(crate) fn interrupt(&self, id: CommandId, reason: String) -> Answer {
        match self.get(id) {
            Some(entry) => {
                entry.stop(Cause::Interrupt(reason));
                Answer::Nothing
            }
            None => Answer::Lost("the worker does not know this command".into()),
        }
    }

    /// Drops output that the master has made durable.
    pub(crate) fn confirm(&self, id: CommandId, offset: u64) {
        if let Some(entry) = self.get(id)
            && entry.spool.borrow_mut().confirm(offset)
        {
            entry.room.notify_one();
        }
    }

    pub(crate) fn forget(&self, id: CommandId) -> Answer {
        let Some(entry) = self.get(id) else {
            return Answer::Forgotten;
        };
        if entry.is_running() {
            *entry.fate.borrow_mut() = Fate::Forget;
            entry.stop(Cause::Drop);
            return Answer::Nothing;
        }
        self.entries.borrow_mut().remove(&id);
        Answer::Forgotten
    }

    fn lose(&self, entry: &Rc<Entry>, reason: &str) -> Answer {
        if entry.is_running() {
            *entry.fate.borrow_mut() = Fate::Lose(reason.into());
            entry.stop(Cause::Drop);
            return Answer::Nothing;
        }
        self.entries.borrow_mut().remove(&entry.id);
        Answer::Lost(reason.into())
    }

    /// A new connection begins. What was fated on an earlier one is told by its absence from the greeting, or,
    /// if it is still dying, as lost: this connection's master has asked for nothing yet.
    pub(crate) fn reconnecting(&self) {
        self.take_fated();
        for entry in self.entries.borrow().values() {
            let mut fate = entry.fate.borrow_mut();
            if *fate == Fate::Forget {
                *fate = Fate::Lose("the command was being ended".into());
            }
        }
    }

    /// Commands that have ended and are not to be kept; each is given out once.
    pub(crate) fn take_fated(&self) -> Vec<(CommandId, Fate)> {
        let mut entries = self.entries.borrow_mut();
        let fated: Vec<(CommandId, Fate)> = entries
            .values()
            .filter(|entry| !entry.is_running())
            .map(|entry| (entry.id, entry.fate()))
            .filter(|(_, fate)| *fate != Fate::Keep)
            .collect();
        for (id, _) in &fated {
            entries.remove(id);
        }
        fated
    }

    /// The lease has run out: everything that runs is killed; outcomes are kept for the master.
    pub(crate) fn expire(&self) {
        for entry in self.entries.borrow().values() {
            entry.stop(Cause::Lease);
        }
    }

    /// The worker stops: what runs is ended within `grace` and lost; nothing new is begun.
    pub(crate) fn stop_all(&self, grace: Duration) {
        self.stopping.set(true);
        for entry in self.entries.borrow().values().filter(|entry| entry.is_running()) {
            if entry.fate() == Fate::Keep {
                *entry.fate.borrow_mut() = Fate::Lose("the worker was stopped".into());
            }
            entry.stop(Cause::Stop(grace));
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// A spool that cannot be read any more: the command cannot keep its promise.
    pub(crate) fn spool_failed(&self, entry: &Rc<Entry>, error: &io::Error) -> Answer {
        self.lose(
            entry,
            &format!("its output cannot be read back from disk: {error}"),
        )
    }
}
