//! A master's end of a connection to a stock worker over msgpack.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet, VecDeque},
};

use bytes::Bytes;

use super::{
    Settings,
    envelope::{Envelope, Incoming, Outcome, command_id, write_id},
};
use crate::{
    Builder, Command, CommandId, Limits, MasterEnd, MasterEvent, SessionError, Ticket, Transfer, Update,
    Value, WorkerInfo,
};

/// What a request of this side was for.
#[derive(Debug)]
enum Asked {
    Info,
    /// The command, and its number: a name may be used again.
    Start(CommandId, u64),
    Ping(u64),
    /// Nobody waits for the answer, but an error is told.
    Other(&'static str),
}

/// The master's end, once the worker has logged in over HTTP. It asks for the worker's info by itself.
#[derive(Debug)]
pub struct MasterSession {
    envelope: Envelope<Asked>,
    builders: HashSet<String>,
    /// With the number of each, which is not used twice.
    running: HashMap<CommandId, u64>,
    started: u64,
    /// Transfers that wait for their answer.
    tickets: HashSet<i128>,
    events: VecDeque<MasterEvent>,
}

impl MasterSession {
    /// A worker was let in.
    pub fn new(settings: &Settings) -> Result<Self, SessionError> {
        let mut envelope = Envelope::new();
        envelope.request("get_worker_info", [], Asked::Info)?;
        let asked = Asked::Other("set_worker_settings");
        envelope.request("set_worker_settings", [("args", settings.write())], asked)?;
        Ok(Self {
            envelope,
            builders: HashSet::new(),
            running: HashMap::new(),
            started: 0,
            tickets: HashSet::new(),
            events: VecDeque::new(),
        })
    }

    fn take(&mut self, message: &[u8]) -> Result<(), SessionError> {
        match self.envelope.receive(message)? {
            None => Ok(()),
            Some(Incoming::Response { asked, outcome }) => {
                self.answered(asked, outcome);
                Ok(())
            }
            Some(Incoming::Request { op, number, body }) => self.requested(&op, number, &body),
        }
    }

    fn answered(&mut self, asked: Asked, outcome: Outcome) {
        match (asked, outcome) {
            (Asked::Info, Ok(value)) => {
                let info = Box::new(WorkerInfo::read(&value));
                self.events.push_back(MasterEvent::Info(info));
            }
            (Asked::Start(id, number), outcome) => match outcome {
                // It was so short that it is over.
                _ if self.running.get(&id) != Some(&number) => {}
                Ok(_) => self.events.push_back(MasterEvent::Started(id)),
                Err(reason) => {
                    self.running.remove(&id);
                    self.events.push_back(MasterEvent::Refused { id, reason });
                }
            },
            (Asked::Ping(nonce), Ok(_)) => self.events.push_back(MasterEvent::Pong(nonce)),
            (Asked::Other(_), Ok(_)) => {}
            (Asked::Info, Err(reason)) => self.trouble("get_worker_info", reason),
            (Asked::Ping(_), Err(reason)) => self.trouble("print", reason),
            (Asked::Other(call), Err(reason)) => self.trouble(call, reason),
        }
    }

    fn trouble(&mut self, call: &'static str, reason: String) {
        self.events.push_back(MasterEvent::Trouble { call, reason });
    }

    fn requested(&mut self, op: &str, number: i128, body: &Value) -> Result<(), SessionError> {
        let Some(id) = command_id(body).filter(|id| self.running.contains_key(id)) else {
            let reason = if op.starts_with("update") || op == "complete" {
                "'unknown \"command_id\"'".into()
            } else {
                format!(
                    "Command {} does not exist.",
                    op.chars().take(100).collect::<String>()
                )
            };
            return Ok(self.envelope.respond(number, Err(reason))?);
        };
        let args = body.get("args");
        let transfer = match op {
            "update" => {
                let pairs = args
                    .and_then(Value::as_items)
                    .ok_or(SessionError::Malformed("update"))?;
                for pair in pairs {
                    let Some([name, value]) = pair.as_items() else {
                        return Err(SessionError::Malformed("update"));
                    };
                    let update = Update::read(&name.as_text().unwrap_or_default(), value);
                    self.events.push_back(MasterEvent::Update {
                        id: id.clone(),
                        update,
                    });
                }
                return Ok(self.envelope.respond(number, Ok(Value::None))?);
            }
            "complete" => {
                let failure = args.and_then(Value::as_text).map(Cow::into_owned);
                self.running.remove(&id);
                self.events.push_back(MasterEvent::Complete { id, failure });
                return Ok(self.envelope.respond(number, Ok(Value::None))?);
            }
            "update_upload_file_write" | "update_upload_directory_write" => match args {
                Some(Value::Bytes(data)) => Transfer::Write(data.clone()),
                _ => return Err(SessionError::Malformed("update_upload_file_write")),
            },
            "update_upload_file_close" => Transfer::Close,
            "update_upload_file_utime" => {
                let time = |name| body.get(name).and_then(Value::as_number);
                match (time("access_time"), time("modified_time")) {
                    (Some(accessed), Some(modified)) => Transfer::Times { accessed, modified },
                    // Of a file that is not there: nothing to set.
                    _ => return Ok(self.envelope.respond(number, Ok(Value::None))?),
                }
            }
            "update_upload_directory_unpack" => Transfer::Unpack,
            "update_read_file" => match body.get("length") {
                Some(Value::Int(length)) => Transfer::Read {
                    length: u64::try_from(*length).unwrap_or(0).min(Limits::PB_SIZE as u64),
                },
                _ => return Err(SessionError::Malformed("update_read_file")),
            },
            "update_read_file_close" => Transfer::ReadClose,
            other => {
                let reason = format!(
                    "Command {} does not exist.",
                    other.chars().take(100).collect::<String>()
                );
                return Ok(self.envelope.respond(number, Err(reason))?);
            }
        };
        if self.tickets.len() >= Limits::MSGPACK.open_calls {
            return Err(SessionError::ManyRequests(self.tickets.len()));
        }
        self.tickets.insert(number);
        let ticket = Ticket(number);
        self.events
            .push_back(MasterEvent::Transfer { id, ticket, transfer });
        Ok(())
    }

    fn answer(&mut self, ticket: Ticket, value: Value) -> Result<(), SessionError> {
        if self.tickets.remove(&ticket.0) {
            self.envelope.respond(ticket.0, Ok(value))?;
        }
        Ok(())
    }
}

impl MasterEnd for MasterSession {
    fn feed(&mut self, message: &[u8]) -> Result<(), SessionError> {
        let result = self.take(message);
        if result.is_err() {
            self.envelope.end();
        }
        result
    }

    fn poll_event(&mut self) -> Option<MasterEvent> {
        self.events.pop_front()
    }

    fn poll_send(&mut self) -> Option<Bytes> {
        self.envelope.poll_send()
    }

    /// This protocol knows no builders: the master alone does.
    fn set_builders(&mut self, builders: &[Builder]) -> Result<(), SessionError> {
        let names: Vec<String> = builders.iter().map(|builder| builder.name.clone()).collect();
        self.builders = names.iter().cloned().collect();
        self.events.push_back(MasterEvent::Builders(names));
        Ok(())
    }

    fn start(&mut self, builder: &str, id: &CommandId, command: &Command) -> Result<(), SessionError> {
        if !self.builders.contains(builder) {
            return Err(SessionError::NoBuilder(builder.to_owned()));
        }
        if self.running.contains_key(id) {
            return Err(SessionError::Running(id.clone()));
        }
        let fields = [
            ("builder_name", builder.into()),
            ("command_id", write_id(id)),
            ("command_name", command.msgpack_name().into()),
            ("args", command.msgpack_args()?),
        ];
        let number = self.started + 1;
        self.envelope
            .request("start_command", fields, Asked::Start(id.clone(), number))?;
        self.started = number;
        self.running.insert(id.clone(), number);
        Ok(())
    }

    fn interrupt(&mut self, id: &CommandId, why: &str) -> Result<(), SessionError> {
        if self.running.contains_key(id) {
            let fields = [("command_id", write_id(id)), ("why", why.into())];
            self.envelope
                .request("interrupt_command", fields, Asked::Other("interrupt_command"))?;
        }
        Ok(())
    }

    fn done(&mut self, ticket: Ticket) -> Result<(), SessionError> {
        self.answer(ticket, Value::None)
    }

    fn send_data(&mut self, ticket: Ticket, data: Bytes) -> Result<(), SessionError> {
        self.answer(ticket, Value::Bytes(data))
    }

    fn print(&mut self, message: &str) -> Result<(), SessionError> {
        let fields = [("message", message.into())];
        Ok(self.envelope.request("print", fields, Asked::Other("print"))?)
    }

    fn ping(&mut self, nonce: u64) -> Result<(), SessionError> {
        Ok(self.envelope.request("keepalive", [], Asked::Ping(nonce))?)
    }

    fn shut_down(&mut self) -> Result<(), SessionError> {
        Ok(self.envelope.request("shutdown", [], Asked::Other("shutdown"))?)
    }

    fn one_command_a_builder(&self) -> bool {
        false
    }

    fn kills_on_disconnect(&self) -> bool {
        false
    }
}
