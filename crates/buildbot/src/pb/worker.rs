//! A worker's end of a connection to a stock master over Perspective Broker.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;

use super::{Broker, Call, Failure, PasswordDigest, PbError, PbEvent, RequestId};
use crate::{
    Builder, Command, CommandError, CommandId, Limits, SessionError, Transfer, Update, WorkerEnd,
    WorkerEvent, WorkerInfo,
    fields::FieldProblem,
    update::Spelling,
    value::{ObjectId, Value},
};

/// What a call of this side was for.
#[derive(Debug)]
enum Asked {
    Login,
    Respond {
        challenger: ObjectId,
    },
    Update,
    Complete {
        command: ObjectId,
        file: Option<ObjectId>,
    },
    Done(CommandId),
    Data(CommandId),
    Keepalive,
    Other,
}

#[derive(Debug)]
struct Running {
    builder: String,
    command: ObjectId,
    /// Where a transfer reads from or writes to.
    file: Option<ObjectId>,
}

#[derive(Debug)]
struct Attached {
    object: u64,
    dir: String,
}

/// The worker's end. It logs in by itself.
#[derive(Debug)]
pub struct WorkerSession {
    broker: Broker,
    name: String,
    password: PasswordDigest,
    info: WorkerInfo,
    mind: u64,
    perspective: Option<ObjectId>,
    builders: BTreeMap<String, Attached>,
    running: HashMap<CommandId, Running>,
    asked: HashMap<RequestId, Asked>,
    events: VecDeque<WorkerEvent>,
}

impl WorkerSession {
    /// A connection to a master was made.
    pub fn new(name: impl Into<String>, password: PasswordDigest, info: WorkerInfo) -> Self {
        let mut broker = Broker::client(Limits::PEER);
        let mind = broker.export();
        Self {
            broker,
            name: name.into(),
            password,
            info,
            mind,
            perspective: None,
            builders: BTreeMap::new(),
            running: HashMap::new(),
            asked: HashMap::new(),
            events: VecDeque::new(),
        }
    }

    /// Sends a sign of life; [`WorkerEvent::Alive`] follows.
    pub fn keepalive(&mut self) -> Result<(), SessionError> {
        self.perspective_call("keepalive", Asked::Keepalive)
    }

    /// Asks the master to stop this worker when it is idle.
    pub fn ask_for_shutdown(&mut self) -> Result<(), SessionError> {
        self.perspective_call("shutdown", Asked::Other)
    }

    fn perspective_call(&mut self, method: &'static str, asked: Asked) -> Result<(), SessionError> {
        let Some(perspective) = self.perspective.clone() else {
            return Err(SessionError::Misuse {
                call: method,
                when: "before the master has let this worker in",
            });
        };
        self.ask(&perspective, method, Vec::new(), asked)
    }

    fn ask(
        &mut self,
        object: &ObjectId,
        method: &'static str,
        args: Vec<Value>,
        asked: Asked,
    ) -> Result<(), SessionError> {
        let request = self.broker.call(object, method, args, Vec::new())?;
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
            PbEvent::Ready => {
                let name = Value::bytes(self.name.clone().into_bytes());
                self.ask(&ObjectId::ROOT, "login", vec![name], Asked::Login)
            }
            PbEvent::Released(_) => Ok(()),
            PbEvent::Answer { request, result } => match self.asked.remove(&request) {
                Some(asked) => self.answered(asked, result),
                None => Ok(()),
            },
            PbEvent::Call(call) => self.called(&call),
        }
    }

    fn answered(&mut self, asked: Asked, result: Result<Value, Failure>) -> Result<(), SessionError> {
        match (asked, result) {
            (Asked::Login, Ok(value)) => {
                let Some([Value::Bytes(challenge), Value::Remote(challenger)]) = value.as_items() else {
                    return Err(PbError::Malformed("challenge").into());
                };
                let response = self.password.respond(challenge);
                let mind = Value::Remote(ObjectId::Number(self.mind));
                let challenger = challenger.clone();
                let asked = Asked::Respond {
                    challenger: challenger.clone(),
                };
                self.ask(
                    &challenger,
                    "respond",
                    vec![Value::bytes(response.0), mind],
                    asked,
                )?;
            }
            (Asked::Respond { challenger }, result) => {
                self.broker.release(&challenger);
                match result {
                    Ok(Value::Remote(perspective)) => {
                        self.perspective = Some(perspective);
                        self.events.push_back(WorkerEvent::Attached);
                    }
                    Ok(_) => return Err(PbError::Malformed("answer to the login").into()),
                    Err(failure) => self.refused(&failure),
                }
            }
            (Asked::Login, Err(failure)) => self.refused(&failure),
            (Asked::Complete { command, file }, _) => {
                self.broker.release(&command);
                if let Some(file) = file {
                    self.broker.release(&file);
                }
            }
            (Asked::Done(id), Ok(_)) => self.events.push_back(WorkerEvent::Done(id)),
            (Asked::Data(id), Ok(value)) => {
                let data = match value {
                    Value::Bytes(data) => data,
                    Value::None => Bytes::new(),
                    _ => return Err(PbError::Malformed("answer to `read`").into()),
                };
                self.events.push_back(WorkerEvent::Data { id, data });
            }
            (Asked::Done(id) | Asked::Data(id), Err(failure)) => {
                let reason = failure.to_string();
                self.events.push_back(WorkerEvent::TransferFailed { id, reason });
            }
            (Asked::Keepalive, _) => self.events.push_back(WorkerEvent::Alive),
            (Asked::Update | Asked::Other, _) => {}
        }
        Ok(())
    }

    fn refused(&mut self, failure: &Failure) {
        self.events.push_back(WorkerEvent::Refused {
            unauthorized: failure.is_unauthorized(),
            reason: failure.words(),
        });
    }

    fn called(&mut self, call: &Call) -> Result<(), SessionError> {
        let ObjectId::Number(object) = call.object else {
            return Ok(self.broker.fail(call.request, &Failure::no_object())?);
        };
        let answer = if object == self.mind {
            self.of_mind(call)
        } else {
            let builder = self.builders.iter().find(|(_, builder)| builder.object == object);
            match builder.map(|(name, _)| name.clone()) {
                Some(builder) => self.of_builder(&builder, call),
                None => Err(Failure::no_object()),
            }
        };
        match answer {
            Ok(value) => self.broker.answer(call.request, &value)?,
            Err(failure) => self.broker.fail(call.request, &failure)?,
        }
        Ok(())
    }

    fn of_mind(&mut self, call: &Call) -> Result<Value, Failure> {
        match call.method.as_str() {
            "print" => self.print(call),
            "getWorkerInfo" => Ok(self.info.write()),
            "getCommands" => Ok(self
                .info
                .write()
                .get("worker_commands")
                .cloned()
                .unwrap_or(Value::None)),
            "getVersion" => Ok(self.info.version.as_deref().into()),
            "setBuilderList" => self.set_builders(call),
            "shutdown" => {
                self.events.push_back(WorkerEvent::Shutdown);
                Ok(Value::None)
            }
            other => Err(Failure::no_method(other)),
        }
    }

    fn print(&mut self, call: &Call) -> Result<Value, Failure> {
        let message = call.arg(0, "message").and_then(Value::as_text);
        let message = message.ok_or_else(|| Failure::value("print wants a message"))?;
        self.events.push_back(WorkerEvent::Print(message.into_owned()));
        Ok(Value::None)
    }

    fn set_builders(&mut self, call: &Call) -> Result<Value, Failure> {
        let list = call.arg(0, "wanted").and_then(Value::as_items);
        let wanted: Option<Vec<Builder>> = list.and_then(|list| {
            list.iter()
                .map(|pair| match pair.as_items()? {
                    [name, dir] => Some(Builder {
                        name: name.as_text()?.into_owned(),
                        dir: dir.as_text()?.into_owned(),
                    }),
                    _ => None,
                })
                .collect()
        });
        let wanted =
            wanted.ok_or_else(|| Failure::value("setBuilderList wants a list of names and folders"))?;
        let mut before = std::mem::take(&mut self.builders);
        for builder in &wanted {
            // One that stays keeps its object.
            let object = before.remove(&builder.name).map(|attached| attached.object);
            let object = object.unwrap_or_else(|| self.broker.export());
            let dir = builder.dir.clone();
            self.builders
                .insert(builder.name.clone(), Attached { object, dir });
        }
        for (name, gone) in before {
            self.broker.revoke(gone.object);
            self.interrupt(&name, "its builder is no more");
        }
        let answer = self.builders.iter().map(|(name, builder)| {
            let object = Value::Remote(ObjectId::Number(builder.object));
            (name.as_str(), object)
        });
        let answer = Value::dict(answer);
        self.events.push_back(WorkerEvent::Builders(wanted));
        Ok(answer)
    }

    fn of_builder(&mut self, builder: &str, call: &Call) -> Result<Value, Failure> {
        match call.method.as_str() {
            "print" => self.print(call),
            "startBuild" => Ok(Value::None),
            "startCommand" => self.start(builder, call),
            "interruptCommand" => {
                let why = call.arg(1, "why").and_then(Value::as_text).unwrap_or_default();
                self.interrupt(builder, &why);
                Ok(Value::None)
            }
            other => Err(Failure::no_method(other)),
        }
    }

    /// Ends whatever runs there: this protocol does not ask which.
    fn interrupt(&mut self, builder: &str, why: &str) {
        for (id, _) in self
            .running
            .iter()
            .filter(|(_, running)| running.builder == builder)
        {
            self.events.push_back(WorkerEvent::Interrupt {
                id: id.clone(),
                why: why.to_owned(),
            });
        }
    }

    fn start(&mut self, builder: &str, call: &Call) -> Result<Value, Failure> {
        let [Value::Remote(reference), id, name, args] = call.args.as_slice() else {
            return Err(Failure::value(
                "startCommand wants an object, a name, a command and arguments",
            ));
        };
        let (Some(id), Some(name)) = (id.as_text(), name.as_text()) else {
            return Err(Failure::value("startCommand wants texts as names"));
        };
        let id = CommandId::Text(id.into_owned());
        let command = Command::read(&name, args).map_err(|error| refusal(&id, &name, &error))?;
        let file = match args.get("writer").or_else(|| args.get("reader")) {
            Some(Value::Remote(file)) => Some(file.clone()),
            _ => None,
        };
        let transfers = matches!(
            command,
            Command::UploadFile(_) | Command::UploadDirectory(_) | Command::DownloadFile(_)
        );
        if transfers && file.is_none() {
            return Err(Failure::value(format!(
                "{name} wants an object to read from or to write to"
            )));
        }
        if self.running.contains_key(&id) {
            return Err(Failure::value(format!("command {id} runs already")));
        }
        // The master should have waited; the one before gives way.
        self.interrupt(builder, "another command was started");
        let running = Running {
            builder: builder.to_owned(),
            command: reference.clone(),
            file,
        };
        self.running.insert(id.clone(), running);
        let dir = self.builders.get(builder).map(|builder| builder.dir.clone());
        self.events.push_back(WorkerEvent::Start { id, dir, command });
        Ok(Value::None)
    }

    fn running(&self, id: &CommandId) -> Result<&Running, SessionError> {
        self.running
            .get(id)
            .ok_or_else(|| SessionError::NotRunning(id.clone()))
    }
}

/// The error that a stock worker gives.
fn refusal(id: &CommandId, name: &str, error: &CommandError) -> Failure {
    match error {
        CommandError::Unknown(_) => {
            Failure::unknown_command(format!("(command {id}): unrecognized WorkerCommand '{name}'"))
        }
        CommandError::Field(field) if field.problem == FieldProblem::Missing => Failure::new(
            "builtins.KeyError",
            &["builtins.LookupError", "builtins.Exception"],
            format!("'{}'", field.field),
        ),
        other => Failure::value(other.to_string()),
    }
}

impl WorkerEnd for WorkerSession {
    fn feed(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        let result = self.take(bytes);
        if result.is_err() {
            self.broker.end();
        }
        result
    }

    fn poll_event(&mut self) -> Option<WorkerEvent> {
        self.events.pop_front()
    }

    fn poll_send(&mut self) -> Option<Bytes> {
        self.broker.take_output()
    }

    fn update(&mut self, id: &CommandId, updates: &[Update]) -> Result<(), SessionError> {
        let command = self.running(id)?.command.clone();
        for update in updates {
            let (name, value) = update.write(Spelling::Pb);
            let pair = Value::List(vec![Value::dict([(name, value)]), Value::Int(0)]);
            self.ask(&command, "update", vec![Value::List(vec![pair])], Asked::Update)?;
        }
        Ok(())
    }

    fn transfer(&mut self, id: &CommandId, transfer: &Transfer) -> Result<(), SessionError> {
        let Some(file) = self.running(id)?.file.clone() else {
            return Err(SessionError::Misuse {
                call: "transfer",
                when: "for a command that transfers nothing",
            });
        };
        let done = Asked::Done(id.clone());
        match transfer {
            Transfer::Write(data) => self.ask(&file, "write", vec![Value::Bytes(data.clone())], done),
            Transfer::Close | Transfer::ReadClose => self.ask(&file, "close", Vec::new(), done),
            Transfer::Unpack => self.ask(&file, "unpack", Vec::new(), done),
            Transfer::Times { accessed, modified } => {
                let times = Value::Tuple(vec![Value::Float(*accessed), Value::Float(*modified)]);
                self.ask(&file, "utime", vec![times], done)
            }
            Transfer::Read { length } => {
                self.ask(&file, "read", vec![(*length).into()], Asked::Data(id.clone()))
            }
        }
    }

    fn complete(&mut self, id: &CommandId, failure: Option<&str>) -> Result<(), SessionError> {
        let command = self.running(id)?.command.clone();
        let failure = failure.map_or(Value::None, |reason| Failure::command(reason).write());
        let file = self.running.remove(id).and_then(|running| running.file);
        let asked = Asked::Complete {
            command: command.clone(),
            file,
        };
        self.ask(&command, "complete", vec![failure], asked)
    }

    fn unanswered(&self) -> usize {
        self.asked.len()
    }
}
