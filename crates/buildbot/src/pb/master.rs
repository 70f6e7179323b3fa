//! A master's end of a connection to a stock worker over Perspective Broker.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use super::{Broker, Call, Door, Failure, Login, PbError, PbEvent, RequestId};
use crate::{
    Builder, Command, CommandId, Limits, MasterEnd, MasterEvent, SessionError, Ticket, Transfer, Update,
    WorkerInfo,
    value::{ObjectId, Value},
};

/// Builders that a stock worker can have: it has 1024 objects at most, and one is itself.
const BUILDERS_MAX: usize = 1000;

/// The call that tells a worker of its builders, as [`MasterEvent::Trouble`] names it.
pub const SET_BUILDERS: &str = "setBuilderList";

/// What a call of this side was for.
#[derive(Debug)]
enum Asked {
    Info,
    SlaveInfo,
    Commands(Box<WorkerInfo>),
    Version(Box<WorkerInfo>),
    Builders(Vec<String>),
    /// The command, and the object that it was started with: a name may be used again.
    Start(CommandId, u64),
    Ping(u64),
    /// Nobody waits for the answer, but an error is told.
    Other(&'static str),
}

#[derive(Debug)]
struct Running {
    builder: String,
    /// The object that hears of it.
    object: u64,
    /// The object that it reads from or writes to.
    file: Option<u64>,
    /// Whether it reads from it.
    reads: bool,
}

/// What an object of this side is for.
#[derive(Debug)]
enum Role {
    Command(CommandId),
    File(CommandId),
}

/// The master's end. It asks for the worker's info by itself; then tell it the builders.
#[derive(Debug)]
pub struct MasterSession {
    broker: Broker,
    perspective: u64,
    mind: ObjectId,
    slave: bool,
    asked: HashMap<RequestId, Asked>,
    builders: HashMap<String, ObjectId>,
    running: HashMap<CommandId, Running>,
    objects: HashMap<u64, Role>,
    events: VecDeque<MasterEvent>,
}

impl MasterSession {
    /// Lets in a worker that has proved who it is.
    pub fn admit(door: Door, login: &Login) -> Result<Self, SessionError> {
        let Some(mind) = login.mind.clone() else {
            return Err(SessionError::Misuse {
                call: "admit",
                when: "for a client that is no worker: it has no object that could be called",
            });
        };
        let (broker, perspective) = door.admit(Limits::PEER)?;
        let mut session = Self {
            broker,
            perspective,
            mind,
            slave: false,
            asked: HashMap::new(),
            builders: HashMap::new(),
            running: HashMap::new(),
            objects: HashMap::new(),
            events: VecDeque::new(),
        };
        session.ask(Asked::Info, "getWorkerInfo", Vec::new())?;
        Ok(session)
    }

    /// How much waits to be sent.
    pub const fn output_len(&self) -> usize {
        self.broker.output_len()
    }

    fn ask(&mut self, asked: Asked, method: &'static str, args: Vec<Value>) -> Result<(), SessionError> {
        let request = self.broker.call(&self.mind, method, args, Vec::new())?;
        self.asked.insert(request, asked);
        Ok(())
    }

    fn say(&mut self, asked: Asked, message: &str) -> Result<(), SessionError> {
        let kwargs = vec![("message".into(), message.into())];
        let request = self.broker.call(&self.mind, "print", Vec::new(), kwargs)?;
        self.asked.insert(request, asked);
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        let fed = self.broker.feed(bytes);
        while let Some(event) = self.broker.poll_event() {
            self.handle(event)?;
        }
        Ok(fed?)
    }

    fn handle(&mut self, event: PbEvent) -> Result<(), SessionError> {
        match event {
            PbEvent::Ready | PbEvent::Released(_) => Ok(()),
            PbEvent::Answer { request, result } => match self.asked.remove(&request) {
                Some(asked) => self.answered(asked, result),
                None => Ok(()),
            },
            PbEvent::Call(call) => self.called(&call),
        }
    }

    fn answered(&mut self, asked: Asked, result: Result<Value, Failure>) -> Result<(), SessionError> {
        match (asked, result) {
            (Asked::Info, Ok(value)) => self.info(WorkerInfo::read(&value)),
            // One from the time before slaves became workers.
            (Asked::Info, Err(failure)) if failure.is_no_method() => {
                self.ask(Asked::SlaveInfo, "getSlaveInfo", Vec::new())?;
            }
            (Asked::SlaveInfo, result) => {
                let info = result.map(|value| WorkerInfo::read(&value)).unwrap_or_default();
                if info.commands.is_empty() {
                    self.ask(Asked::Commands(Box::new(info)), "getCommands", Vec::new())?;
                } else {
                    self.info(info);
                }
            }
            (Asked::Commands(mut info), result) => {
                if let Ok(commands) = result {
                    info.commands = crate::info::texts(&commands);
                }
                self.ask(Asked::Version(info), "getVersion", Vec::new())?;
            }
            (Asked::Version(mut info), result) => {
                info.version = result.ok().and_then(|version| version.as_text().map(Into::into));
                self.info(*info);
            }
            (Asked::Builders(names), Ok(value)) => self.attached(names, &value),
            (Asked::Start(id, object), result) => {
                let ours = self
                    .running
                    .get(&id)
                    .is_some_and(|running| running.object == object);
                match result {
                    _ if !ours => {}
                    Ok(_) => self.events.push_back(MasterEvent::Started(id)),
                    Err(failure) => {
                        self.forget(&id);
                        let reason = failure.to_string();
                        self.events.push_back(MasterEvent::Refused { id, reason });
                    }
                }
            }
            (Asked::Ping(nonce), Ok(_)) => self.events.push_back(MasterEvent::Pong(nonce)),
            (Asked::Other(_), Ok(_)) => {}
            (Asked::Info, Err(failure)) => self.trouble("getWorkerInfo", &failure),
            (Asked::Builders(_), Err(failure)) => self.trouble(SET_BUILDERS, &failure),
            (Asked::Ping(_), Err(failure)) => self.trouble("print", &failure),
            (Asked::Other(call), Err(failure)) => self.trouble(call, &failure),
        }
        Ok(())
    }

    fn trouble(&mut self, call: &'static str, failure: &Failure) {
        let reason = failure.to_string();
        self.events.push_back(MasterEvent::Trouble { call, reason });
    }

    fn info(&mut self, info: WorkerInfo) {
        self.slave = info.is_slave();
        self.events.push_back(MasterEvent::Info(Box::new(info)));
    }

    fn attached(&mut self, names: Vec<String>, value: &Value) {
        self.builders = names
            .iter()
            .filter_map(|name| match value.get(name) {
                Some(Value::Remote(object)) => Some((name.clone(), object.clone())),
                _ => None,
            })
            .collect();
        // The worker ends commands of builders that it has no more, without a word.
        let gone: Vec<CommandId> = self
            .running
            .iter()
            .filter(|(_, running)| !self.builders.contains_key(&running.builder))
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            self.forget(&id);
            let failure = Some("the worker was told that its builder is no more".to_owned());
            self.events.push_back(MasterEvent::Complete { id, failure });
        }
        let names = names
            .into_iter()
            .filter(|name| self.builders.contains_key(name))
            .collect();
        self.events.push_back(MasterEvent::Builders(names));
    }

    fn forget(&mut self, id: &CommandId) {
        if let Some(running) = self.running.remove(id) {
            for object in std::iter::once(running.object).chain(running.file) {
                self.objects.remove(&object);
                self.broker.revoke(object);
            }
        }
    }

    fn called(&mut self, call: &Call) -> Result<(), SessionError> {
        let ObjectId::Number(object) = call.object else {
            // Somebody who is logged in has nothing to do at the door.
            return Ok(self.broker.fail(call.request, &Failure::no_object())?);
        };
        if object == self.perspective {
            match call.method.as_str() {
                "keepalive" => self.events.push_back(MasterEvent::Keepalive),
                "shutdown" => self.events.push_back(MasterEvent::WantsShutdown),
                other => return Ok(self.broker.fail(call.request, &Failure::no_method(other))?),
            }
            return Ok(self.broker.answer(call.request, &Value::None)?);
        }
        match self.objects.get(&object) {
            Some(Role::Command(id)) => {
                let id = id.clone();
                self.of_command(id, call)
            }
            Some(Role::File(id)) => {
                let id = id.clone();
                self.of_file(id, call)
            }
            None => Ok(self.broker.fail(call.request, &Failure::no_object())?),
        }
    }

    fn of_command(&mut self, id: CommandId, call: &Call) -> Result<(), SessionError> {
        match call.method.as_str() {
            "update" => {
                // Stock workers send one pair with one entry; old ones several of both.
                let pairs = call
                    .arg(0, "updates")
                    .and_then(Value::as_items)
                    .unwrap_or_default();
                let mut number = 0;
                for pair in pairs {
                    let Some([Value::Dict(news), Value::Int(count)]) = pair.as_items() else {
                        return Err(PbError::Malformed("update").into());
                    };
                    number = number.max(*count);
                    for (name, value) in news {
                        let name = name.as_text().unwrap_or_default();
                        let update = Update::read(&name, value);
                        self.events.push_back(MasterEvent::Update {
                            id: id.clone(),
                            update,
                        });
                    }
                }
                Ok(self.broker.answer(call.request, &Value::Int(number))?)
            }
            "complete" => {
                let failure = match call.arg(0, "failure") {
                    None | Some(Value::None) => None,
                    Some(value) => Some(Failure::read(value).to_string()),
                };
                self.forget(&id);
                self.events.push_back(MasterEvent::Complete { id, failure });
                Ok(self.broker.answer(call.request, &Value::None)?)
            }
            other => Ok(self.broker.fail(call.request, &Failure::no_method(other))?),
        }
    }

    fn of_file(&mut self, id: CommandId, call: &Call) -> Result<(), SessionError> {
        let transfer = match (call.method.as_str(), call.args.as_slice()) {
            ("write", [Value::Bytes(data)]) => Transfer::Write(data.clone()),
            // Old Python makes no difference.
            ("write", [Value::Text(data)]) => Transfer::Write(Bytes::copy_from_slice(data.as_bytes())),
            ("close", []) => self.close(&id),
            ("unpack", []) => Transfer::Unpack,
            ("utime", [times]) => match times
                .as_items()
                .map(|times| (times, times.iter().map(Value::as_number)))
            {
                Some(([_, _], mut times)) => match (times.next().flatten(), times.next().flatten()) {
                    (Some(accessed), Some(modified)) => Transfer::Times { accessed, modified },
                    // Of a file that is not there: nothing to set.
                    _ => return Ok(self.broker.answer(call.request, &Value::None)?),
                },
                _ => return Err(PbError::Malformed("utime").into()),
            },
            ("read", [Value::Int(length)]) => Transfer::Read {
                length: u64::try_from(*length).unwrap_or(0).min(Limits::PB_SIZE as u64),
            },
            ("write" | "close" | "unpack" | "utime" | "read", _) => {
                return Err(PbError::Malformed("transfer").into());
            }
            (other, _) => return Ok(self.broker.fail(call.request, &Failure::no_method(other))?),
        };
        let Some(RequestId(number)) = call.request else {
            return Ok(());
        };
        let ticket = Ticket(number.into());
        self.events
            .push_back(MasterEvent::Transfer { id, ticket, transfer });
        Ok(())
    }

    /// Readers and writers are closed by the same name.
    fn close(&self, id: &CommandId) -> Transfer {
        match self.running.get(id) {
            Some(Running { reads: true, .. }) => Transfer::ReadClose,
            _ => Transfer::Close,
        }
    }
}

/// The call that a ticket stands for.
fn request(ticket: Ticket) -> Option<RequestId> {
    u64::try_from(ticket.0).ok().map(RequestId)
}

impl MasterEnd for MasterSession {
    fn feed(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        let result = self.take(bytes);
        if result.is_err() {
            self.broker.end();
        }
        result
    }

    fn poll_event(&mut self) -> Option<MasterEvent> {
        self.events.pop_front()
    }

    fn poll_send(&mut self) -> Option<Bytes> {
        self.broker.take_output()
    }

    fn set_builders(&mut self, builders: &[Builder]) -> Result<(), SessionError> {
        if builders.len() > BUILDERS_MAX {
            return Err(SessionError::ManyBuilders {
                count: builders.len(),
                limit: BUILDERS_MAX,
            });
        }
        let pair =
            |builder: &Builder| Value::Tuple(vec![builder.name.as_str().into(), builder.dir.as_str().into()]);
        let names = builders.iter().map(|builder| builder.name.clone()).collect();
        let list = Value::List(builders.iter().map(pair).collect());
        self.ask(Asked::Builders(names), SET_BUILDERS, vec![list])
    }

    fn start(&mut self, builder: &str, id: &CommandId, command: &Command) -> Result<(), SessionError> {
        let Some(target) = self.builders.get(builder).cloned() else {
            return Err(SessionError::NoBuilder(builder.to_owned()));
        };
        if self.running.contains_key(id) {
            return Err(SessionError::Running(id.clone()));
        }
        if self.running.values().any(|running| running.builder == builder) {
            return Err(SessionError::Busy(builder.to_owned()));
        }
        let object = self.broker.export();
        let transfers = matches!(
            command,
            Command::UploadFile(_) | Command::UploadDirectory(_) | Command::DownloadFile(_)
        );
        let file = transfers.then(|| self.broker.export());
        let remote = |object| Value::Remote(ObjectId::Number(object));
        let called = command
            .pb_args(self.slave, file.map(remote))
            .map_err(SessionError::from)
            .and_then(|args| {
                let name = command.name();
                let call = vec![remote(object), id.to_string().into(), name.into(), args];
                Ok(self.broker.call(&target, "startCommand", call, Vec::new())?)
            });
        let request = match called {
            Ok(request) => request,
            Err(error) => {
                for object in std::iter::once(object).chain(file) {
                    self.broker.revoke(object);
                }
                return Err(error);
            }
        };
        self.asked.insert(request, Asked::Start(id.clone(), object));
        self.objects.insert(object, Role::Command(id.clone()));
        if let Some(file) = file {
            self.objects.insert(file, Role::File(id.clone()));
        }
        let running = Running {
            builder: builder.to_owned(),
            object,
            file,
            reads: matches!(command, Command::DownloadFile(_)),
        };
        self.running.insert(id.clone(), running);
        Ok(())
    }

    fn interrupt(&mut self, id: &CommandId, why: &str) -> Result<(), SessionError> {
        let Some(target) = self
            .running
            .get(id)
            .and_then(|running| self.builders.get(&running.builder))
        else {
            return Ok(());
        };
        let args = vec![id.to_string().into(), why.into()];
        let request = self.broker.call(target, "interruptCommand", args, Vec::new())?;
        self.asked.insert(request, Asked::Other("interruptCommand"));
        Ok(())
    }

    fn done(&mut self, ticket: Ticket) -> Result<(), SessionError> {
        Ok(self.broker.answer(request(ticket), &Value::None)?)
    }

    fn send_data(&mut self, ticket: Ticket, data: Bytes) -> Result<(), SessionError> {
        Ok(self.broker.answer(request(ticket), &Value::Bytes(data))?)
    }

    fn print(&mut self, message: &str) -> Result<(), SessionError> {
        self.say(Asked::Other("print"), message)
    }

    fn ping(&mut self, nonce: u64) -> Result<(), SessionError> {
        self.say(Asked::Ping(nonce), "keepalive")
    }

    fn shut_down(&mut self) -> Result<(), SessionError> {
        self.ask(Asked::Other("shutdown"), "shutdown", Vec::new())
    }

    fn one_command_a_builder(&self) -> bool {
        true
    }

    fn kills_on_disconnect(&self) -> bool {
        true
    }
}
