//! A connection of a stock Buildbot worker: speaks our own protocol to the link, and Buildbot's to the worker.
//!
//! What a stock worker cannot do is not pretended: it keeps nothing for a master that went away, so what it ran is lost with its
//! connection. Each connection therefore counts as a new process.

mod carrier;
mod outcome;
mod verbs;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use ironmaster_buildbot::{
    Builder, Command, CommandId as Name, Limits, MasterEnd, MasterEvent as Heard, SessionError, Transfer,
    WorkerInfo, msgpack,
    pb::{self, Door, Login},
};
use ironmaster_wire::{Capabilities, CommandId, Hello, MasterEvent, Verb, WorkerInfo as NativeInfo};

use self::{outcome::Running, verbs::Folder};
use super::CarrierError;

/// How long a worker may take to say what it is.
const GREETING: Duration = Duration::from_mins(1);
/// A line is sent as a whole up to so many characters, which bounds a message.
const LINE_MAX: u64 = 4_000_000;
/// Builders that a worker is told of at once. It can have some more than a thousand.
const DIRS_MAX: usize = 900;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It has not said yet what it is.
    Greeting,
    /// The owner decides.
    Deciding,
    Open {
        heartbeat: Duration,
    },
    Closed,
}

/// One command of ours, which may be several of the worker's.
struct Task {
    running: Running,
    dir: String,
    /// What comes after the one that runs.
    next: VecDeque<Command>,
    /// Nobody wants to hear of it any more.
    forgotten: bool,
}

/// A command that waits for its builder.
struct Waiting {
    id: CommandId,
    verb: Verb,
    dir: String,
}

/// One connection of a stock worker, over whichever of Buildbot's protocols.
pub struct StockSession {
    name: String,
    instance: String,
    protocol: &'static str,
    end: Box<dyn MasterEnd + Send>,
    state: State,
    folder: Folder,
    /// The builders' directories that the worker was told of.
    dirs: BTreeSet<String>,
    /// Those that it has made.
    ready: BTreeSet<String>,
    waiting: VecDeque<Waiting>,
    /// What runs, by the number that the worker knows it by.
    tasks: BTreeMap<u64, Task>,
    numbers: u64,
    events: VecDeque<MasterEvent>,
    wants_shutdown: bool,
    /// Its program is to end when what it runs is over, or at that time.
    ending: Option<Duration>,
    began: Duration,
    heard: Duration,
    pinged: Duration,
    now: Duration,
}

impl std::fmt::Debug for StockSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StockSession")
            .field("name", &self.name)
            .field("protocol", &self.protocol)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl StockSession {
    /// The largest message that is read, in bytes.
    pub const MESSAGE_MAX: usize = Limits::MSGPACK.bytes;

    /// A worker that has proved to be who it says.
    fn new(name: String, protocol: &'static str, end: Box<dyn MasterEnd + Send>) -> Self {
        let mut instance = [0; 16];
        // Without randomness two connections could be taken for one; there is no system without it.
        getrandom::fill(&mut instance).expect("the operating system has randomness");
        Self {
            name,
            instance: hex::encode(instance),
            protocol,
            end,
            state: State::Greeting,
            folder: Folder::default(),
            dirs: BTreeSet::new(),
            ready: BTreeSet::new(),
            waiting: VecDeque::new(),
            tasks: BTreeMap::new(),
            numbers: 0,
            events: VecDeque::new(),
            wants_shutdown: false,
            ending: None,
            began: Duration::ZERO,
            heard: Duration::ZERO,
            pinged: Duration::ZERO,
            now: Duration::ZERO,
        }
    }

    /// Lets in a worker over Perspective Broker, once its login has been checked.
    pub(crate) fn pb(door: Door, login: &Login) -> Result<Self, SessionError> {
        let end = Box::new(pb::MasterSession::admit(door, login)?);
        Ok(Self::new(login.user.clone(), "pb", end))
    }

    /// A worker that has logged in when it asked for its WebSocket.
    pub fn msgpack(name: String) -> Result<Self, String> {
        let settings = msgpack::Settings {
            max_line_length: LINE_MAX,
            ..msgpack::Settings::default()
        };
        let end = msgpack::MasterSession::new(&settings).map_err(|error| error.to_string())?;
        let end = Box::new(end);
        Ok(Self::new(name, "msgpack", end))
    }

    fn drain(&mut self) -> Result<(), CarrierError> {
        while let Some(event) = self.end.poll_event() {
            self.hear(event)?;
        }
        self.end_program()?;
        self.begin_waiting()
    }

    fn hear(&mut self, event: Heard) -> Result<(), CarrierError> {
        match event {
            Heard::Info(info) => self.greeted(&info),
            Heard::Builders(names) => self.ready = names.into_iter().collect(),
            Heard::Started(_) | Heard::Pong(_) | Heard::Keepalive => {}
            Heard::Refused { id, reason } => self.ended(&id, Some(reason))?,
            Heard::Complete { id, failure } => self.ended(&id, failure)?,
            Heard::Update { id, update } => {
                let Some((_, task)) = task_of(&mut self.tasks, &id) else {
                    return Ok(());
                };
                let (events, forgotten) = (&mut self.events, task.forgotten);
                let too_much = task.running.said(update, &mut |chunk| {
                    if !forgotten {
                        events.push_back(MasterEvent::Output(chunk));
                    }
                });
                if too_much {
                    self.end
                        .interrupt(&id, "it printed more than it may")
                        .map_err(broken)?;
                }
            }
            Heard::Transfer { id, ticket, transfer } => {
                let task = task_of(&mut self.tasks, &id).map(|(_, task)| task);
                match transfer {
                    Transfer::Read { length } => {
                        let length = usize::try_from(length).unwrap_or(usize::MAX);
                        let data = task.map(|task| task.running.give(length)).unwrap_or_default();
                        self.end.send_data(ticket, data.into()).map_err(broken)?;
                    }
                    Transfer::Write(data) => {
                        let mut too_much = false;
                        if let Some(task) = task {
                            let (events, forgotten) = (&mut self.events, task.forgotten);
                            too_much = task.running.sent(&data, &mut |chunk| {
                                if !forgotten {
                                    events.push_back(MasterEvent::Output(chunk));
                                }
                            });
                        }
                        self.end.done(ticket).map_err(broken)?;
                        if too_much {
                            self.end
                                .interrupt(&id, "the file is larger than what is allowed")
                                .map_err(broken)?;
                        }
                    }
                    Transfer::Close | Transfer::Times { .. } | Transfer::Unpack | Transfer::ReadClose => {
                        self.end.done(ticket).map_err(broken)?;
                    }
                }
            }
            Heard::WantsShutdown => {
                self.wants_shutdown = true;
            }
            Heard::Trouble { call, reason } => {
                tracing::warn!(
                    worker = self.name,
                    call,
                    reason,
                    "the worker could not do what it was asked"
                );
                if call == pb::SET_BUILDERS {
                    self.without_folders(&reason);
                }
            }
        }
        Ok(())
    }

    /// The worker has refused a list of builders as a whole, most likely as it could not make the folder of one. What waits for one
    /// of them would wait for ever; the next command asks again, with the folders only that are there and its own.
    fn without_folders(&mut self, reason: &str) {
        let (ready, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|waiting| self.ready.contains(&waiting.dir));
        self.waiting = ready;
        let waiting: VecDeque<Waiting> = waiting;
        self.events
            .extend(waiting.into_iter().map(|waiting| MasterEvent::Lost {
                id: waiting.id,
                reason: format!(
                "the worker does not take the folder {} (when it can be made, start the worker's program again): {reason}",
                waiting.dir
            ),
            }));
        self.dirs.clone_from(&self.ready);
    }

    fn greeted(&mut self, info: &WorkerInfo) {
        if self.state != State::Greeting {
            return;
        }
        self.state = State::Deciding;
        self.folder = Folder {
            style: info.paths(),
            base: info.basedir.clone(),
        };
        self.events.push_back(MasterEvent::Hello(Box::new(Hello {
            protocol_min: 0,
            protocol_max: 0,
            name: self.name.clone(),
            token: String::new(),
            instance: self.instance.clone(),
            boot: String::new(),
            version: info.version.clone().unwrap_or_default(),
            time_ms: None,
            capabilities: Capabilities {
                kills_on_disconnect: self.end.kills_on_disconnect(),
                shuts_down: true,
                pty: true,
                log_files: true,
                ..Capabilities::default()
            },
            info: facts(info),
            commands: Vec::new(),
        })));
    }

    /// A command of the worker is over.
    fn ended(&mut self, name: &Name, failure: Option<String>) -> Result<(), CarrierError> {
        let Some((number, task)) = task_of(&mut self.tasks, name) else {
            return Ok(());
        };
        if !task.forgotten && !task.next.is_empty() && task.running.goes_on(failure.as_deref()) {
            let mut task = self.tasks.remove(&number).expect("it was just found");
            let command = task.next.pop_front().expect("there is one");
            return self.launch(task, &command);
        }
        let task = self.tasks.remove(&number).expect("it was just found");
        if !task.forgotten {
            let exited = task.running.end(failure, &self.folder.base, self.now);
            self.events.push_back(MasterEvent::Exited(exited));
        }
        Ok(())
    }

    /// Begins what waits for its builder.
    fn begin_waiting(&mut self) -> Result<(), CarrierError> {
        if !matches!(self.state, State::Open { .. }) {
            return Ok(());
        }
        for waiting in std::mem::take(&mut self.waiting) {
            if !self.has_room(&waiting.dir) {
                self.waiting.push_back(waiting);
                continue;
            }
            self.begin(waiting)?;
        }
        Ok(())
    }

    fn has_room(&self, dir: &str) -> bool {
        self.ready.contains(dir)
            && !(self.end.one_command_a_builder() && self.tasks.values().any(|task| task.dir == dir))
    }

    fn begin(&mut self, waiting: Waiting) -> Result<(), CarrierError> {
        let Waiting { id, verb, dir } = waiting;
        let commands = self.folder.commands(&verb);
        let running = Running::new(id, verb, self.now);
        match commands.map(VecDeque::from) {
            Err(reason) => self.refused(running, reason),
            Ok(mut next) => match next.pop_front() {
                None => self.refused(running, "a stock worker knows no such command".into()),
                Some(command) => {
                    let task = Task {
                        running,
                        dir,
                        next,
                        forgotten: false,
                    };
                    return self.launch(task, &command);
                }
            },
        }
        Ok(())
    }

    fn launch(&mut self, task: Task, command: &Command) -> Result<(), CarrierError> {
        self.numbers += 1;
        let name = Name::Text(self.numbers.to_string());
        match self.end.start(&task.dir, &name, command) {
            Ok(()) => {
                self.tasks.insert(self.numbers, task);
                Ok(())
            }
            Err(error @ (SessionError::Command(_) | SessionError::Encode(_))) => {
                self.refused(task.running, error.to_string());
                Ok(())
            }
            Err(error) => Err(broken(error)),
        }
    }

    fn refused(&mut self, running: Running, reason: String) {
        let exited = running.end(Some(reason), &self.folder.base, self.now);
        self.events.push_back(MasterEvent::Exited(exited));
    }

    /// Asks for a sign of life.
    fn ask(&mut self) -> Result<(), CarrierError> {
        self.pinged = self.now;
        self.numbers += 1;
        self.end.ping(self.numbers).map_err(broken)
    }

    /// Ends the worker's program, if that is wanted and nothing runs any more, or for too long: it would leave that behind.
    fn end_program(&mut self) -> Result<(), CarrierError> {
        if self
            .ending
            .is_some_and(|until| self.tasks.is_empty() || self.now >= until)
        {
            self.ending = None;
            self.end.shut_down().map_err(broken)?;
        }
        Ok(())
    }

    /// Sees to it that the worker knows a directory.
    fn know(&mut self, dir: &str) -> Result<(), CarrierError> {
        if self.dirs.contains(dir) {
            return Ok(());
        }
        if self.dirs.len() >= DIRS_MAX {
            // It was told of many; those that nothing runs in are the ones to do without.
            let tasks = self.tasks.values().map(|task| &task.dir);
            let used: BTreeSet<String> = tasks
                .chain(self.waiting.iter().map(|waiting| &waiting.dir))
                .cloned()
                .collect();
            self.dirs = used;
        }
        self.dirs.insert(dir.to_owned());
        self.tell_dirs()
    }

    fn tell_dirs(&mut self) -> Result<(), CarrierError> {
        let builders: Vec<Builder> = self
            .dirs
            .iter()
            .map(|dir| Builder {
                name: dir.clone(),
                dir: dir.clone(),
            })
            .collect();
        self.end.set_builders(&builders).map_err(broken)
    }

    fn numbers_of(&self, id: CommandId) -> Vec<u64> {
        self.tasks
            .iter()
            .filter(|(_, task)| task.running.id() == id && !task.forgotten)
            .map(|(number, _)| *number)
            .collect()
    }

    /// Ends what the worker runs of a command.
    fn end_command(&mut self, number: u64, why: &str) {
        if let Err(error) = self.end.interrupt(&Name::Text(number.to_string()), why) {
            tracing::warn!(worker = self.name, %error, "a command cannot be interrupted");
        }
    }
}

fn task_of<'t>(tasks: &'t mut BTreeMap<u64, Task>, name: &Name) -> Option<(u64, &'t mut Task)> {
    let number = match name {
        Name::Text(text) => text.parse().ok()?,
        Name::Number(number) => u64::try_from(*number).ok()?,
    };
    tasks.get_mut(&number).map(|task| (number, task))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn broken(error: SessionError) -> CarrierError {
    CarrierError::Broken(error.to_string())
}

/// What it says of itself, without its environment: that may hold secrets.
fn facts(info: &WorkerInfo) -> NativeInfo {
    let trimmed = |text: &Option<String>| {
        let text = text.as_deref().map(str::trim).filter(|text| !text.is_empty());
        text.map(str::to_owned)
    };
    let other = |key: &str| info.other.get(key).cloned();
    NativeInfo {
        os: other("os_id").unwrap_or_else(|| info.system.clone()),
        os_version: other("os_pretty_name").unwrap_or_default(),
        cpus: info.numcpus.unwrap_or_default(),
        admin: trimmed(&info.admin),
        host: trimmed(&info.host),
        access_uri: trimmed(&info.access_uri),
        basedir: info.basedir.clone(),
        ..NativeInfo::default()
    }
}
