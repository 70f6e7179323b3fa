//! A worker's end of a connection to a stock master over msgpack.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use super::{
    Settings,
    envelope::{Envelope, Incoming, Outcome, command_id, write_id},
};
use crate::{
    Command, CommandError, CommandId, SessionError, Transfer, Update, Value, WorkerEnd, WorkerEvent,
    WorkerInfo, fields::FieldError, update::Spelling,
};

/// What a request of this side was for.
#[derive(Debug)]
enum Asked {
    Done(CommandId),
    Data(CommandId),
    Other,
}

/// The worker's end, once the master has let it in over HTTP.
#[derive(Debug)]
pub struct WorkerSession {
    envelope: Envelope<Asked>,
    info: WorkerInfo,
    /// With whether each sends a folder: its messages have names of their own.
    running: HashMap<CommandId, bool>,
    events: VecDeque<WorkerEvent>,
}

impl WorkerSession {
    /// A connection to a master was made.
    pub fn new(info: WorkerInfo) -> Self {
        Self {
            envelope: Envelope::new(),
            info,
            running: HashMap::new(),
            events: VecDeque::from([WorkerEvent::Attached]),
        }
    }

    fn take(&mut self, message: &[u8]) -> Result<(), SessionError> {
        match self.envelope.receive(message)? {
            None => Ok(()),
            Some(Incoming::Response { asked, outcome }) => self.answered(asked, outcome),
            Some(Incoming::Request { op, number, body }) => {
                let outcome = self.requested(&op, &body);
                Ok(self.envelope.respond(number, outcome)?)
            }
        }
    }

    fn answered(&mut self, asked: Asked, outcome: Outcome) -> Result<(), SessionError> {
        let event = match (asked, outcome) {
            (Asked::Done(id), Ok(_)) => WorkerEvent::Done(id),
            (Asked::Data(id), Ok(Value::Bytes(data))) => WorkerEvent::Data { id, data },
            (Asked::Data(id), Ok(Value::None)) => WorkerEvent::Data {
                id,
                data: Bytes::new(),
            },
            (Asked::Data(_), Ok(_)) => return Err(SessionError::Malformed("response to `update_read_file`")),
            (Asked::Done(id) | Asked::Data(id), Err(reason)) => WorkerEvent::TransferFailed { id, reason },
            (Asked::Other, _) => return Ok(()),
        };
        self.events.push_back(event);
        Ok(())
    }

    fn requested(&mut self, op: &str, body: &Value) -> Outcome {
        match op {
            "print" => {
                let message = needed(body, "message")?.as_text().ok_or("'message' is no text")?;
                self.events.push_back(WorkerEvent::Print(message.into_owned()));
            }
            "keepalive" => {}
            "get_worker_info" => return Ok(self.info.write()),
            "set_worker_settings" => {
                let settings = Settings::read(needed(body, "args")?);
                let settings = settings.map_err(|error: FieldError| error.to_string())?;
                self.events.push_back(WorkerEvent::Settings(settings));
            }
            "start_command" => self.start(body)?,
            "interrupt_command" => {
                needed(body, "command_id")?;
                let why = needed(body, "why")?.as_text().unwrap_or_default().into_owned();
                // One that is over already has nothing to end.
                if let Some(id) = command_id(body).filter(|id| self.running.contains_key(id)) {
                    self.events.push_back(WorkerEvent::Interrupt { id, why });
                }
            }
            "shutdown" => self.events.push_back(WorkerEvent::Shutdown),
            other => {
                let name: String = other.chars().take(100).collect();
                return Err(format!("Command {name} does not exist."));
            }
        }
        Ok(Value::None)
    }

    fn start(&mut self, body: &Value) -> Result<(), String> {
        needed(body, "command_id")?;
        let id = command_id(body).ok_or("'command_id' is no text")?;
        let name = needed(body, "command_name")?
            .as_text()
            .ok_or("'command_name' is no text")?;
        let command = Command::read(&name, needed(body, "args")?).map_err(|error| match error {
            CommandError::Unknown(name) => format!("(command {id}): unrecognized WorkerCommand '{name}'"),
            other => other.to_string(),
        })?;
        if self.running.contains_key(&id) {
            return Err(format!("command {id} runs already"));
        }
        self.running
            .insert(id.clone(), matches!(command, Command::UploadDirectory(_)));
        self.events.push_back(WorkerEvent::Start {
            id,
            dir: None,
            command,
        });
        Ok(())
    }

    fn folder(&self, id: &CommandId) -> Result<bool, SessionError> {
        let folder = self.running.get(id).copied();
        folder.ok_or_else(|| SessionError::NotRunning(id.clone()))
    }
}

fn needed<'v>(body: &'v Value, key: &str) -> Result<&'v Value, String> {
    body.get(key)
        .ok_or_else(|| format!("'message did not contain obligatory \"{key}\" key'"))
}

impl WorkerEnd for WorkerSession {
    fn feed(&mut self, message: &[u8]) -> Result<(), SessionError> {
        let result = self.take(message);
        if result.is_err() {
            self.envelope.end();
        }
        result
    }

    fn poll_event(&mut self) -> Option<WorkerEvent> {
        self.events.pop_front()
    }

    fn poll_send(&mut self) -> Option<Bytes> {
        self.envelope.poll_send()
    }

    fn update(&mut self, id: &CommandId, updates: &[Update]) -> Result<(), SessionError> {
        self.folder(id)?;
        let pairs = updates.iter().map(|update| {
            let (name, value) = update.write(Spelling::Msgpack);
            Value::List(vec![name.into(), value])
        });
        let fields = [
            ("args", Value::List(pairs.collect())),
            ("command_id", write_id(id)),
        ];
        Ok(self.envelope.request("update", fields, Asked::Other)?)
    }

    fn transfer(&mut self, id: &CommandId, transfer: &Transfer) -> Result<(), SessionError> {
        let folder = self.folder(id)?;
        let command = ("command_id", write_id(id));
        let done = Asked::Done(id.clone());
        match transfer {
            Transfer::Write(data) => {
                let op = if folder {
                    "update_upload_directory_write"
                } else {
                    "update_upload_file_write"
                };
                let fields = [("args", Value::Bytes(data.clone())), command];
                self.envelope.request(op, fields, done)?;
            }
            Transfer::Close => self
                .envelope
                .request("update_upload_file_close", [command], done)?,
            Transfer::Times { accessed, modified } => {
                let fields = [
                    ("access_time", (*accessed).into()),
                    ("modified_time", (*modified).into()),
                    command,
                ];
                self.envelope.request("update_upload_file_utime", fields, done)?;
            }
            Transfer::Unpack => self
                .envelope
                .request("update_upload_directory_unpack", [command], done)?,
            Transfer::Read { length } => {
                let fields = [("length", (*length).into()), command];
                self.envelope
                    .request("update_read_file", fields, Asked::Data(id.clone()))?;
            }
            Transfer::ReadClose => self.envelope.request("update_read_file_close", [command], done)?,
        }
        Ok(())
    }

    fn complete(&mut self, id: &CommandId, failure: Option<&str>) -> Result<(), SessionError> {
        self.folder(id)?;
        let fields = [("args", failure.into()), ("command_id", write_id(id))];
        self.envelope.request("complete", fields, Asked::Other)?;
        self.running.remove(id);
        Ok(())
    }

    fn unanswered(&self) -> usize {
        self.envelope.unanswered()
    }
}
