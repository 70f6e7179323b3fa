//! `buildbot sendchange`: somebody who tells of changes.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::{Broker, Door, Failure, PbEvent, RequestId};
use crate::{
    Limits, SessionError,
    fields::{FieldError, Fields},
    value::{ObjectId, Value},
};

/// A change as `sendchange` tells it. Everything may be missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SentChange {
    /// The project.
    pub project: String,
    /// Where it was committed.
    pub repository: String,
    /// Which of several repositories that is.
    pub codebase: Option<String>,
    /// Who wrote it (`author`, or `who` from older clients).
    pub author: Option<String>,
    /// Who committed it.
    pub committer: Option<String>,
    /// What was changed.
    pub files: Vec<String>,
    /// What it says.
    pub comments: Option<String>,
    /// On which branch.
    pub branch: Option<String>,
    /// As which revision.
    pub revision: Option<String>,
    /// Its category.
    pub category: Option<String>,
    /// When, in seconds since 1970.
    pub when: Option<f64>,
    /// Properties of builds that follow from it, as they were sent.
    pub properties: BTreeMap<String, Value>,
    /// Where more is to be read.
    pub revlink: String,
    /// The kind of version control (`--vc`).
    pub src: Option<String>,
}

impl SentChange {
    /// From the dictionary that was sent.
    pub fn read(value: &Value) -> Result<Self, FieldError> {
        let fields = Fields::of("addChange", value)?;
        let text = |name| fields.opt_text(name);
        let either = |first, second| Ok(text(first)?.or(text(second)?));
        let when = match fields.opt_number("when_timestamp")? {
            Some(when) => Some(when),
            None => fields.opt_number("when")?,
        };
        Ok(Self {
            project: text("project")?.unwrap_or_default(),
            repository: text("repository")?.unwrap_or_default(),
            codebase: text("codebase")?,
            author: either("author", "who")?,
            committer: text("committer")?.filter(|committer| !committer.is_empty()),
            files: match fields.get("files") {
                None => Vec::new(),
                Some(_) => fields.texts("files")?,
            },
            comments: text("comments")?,
            branch: text("branch")?,
            revision: text("revision")?,
            category: text("category")?,
            when: when.filter(|when| when.is_finite()),
            properties: fields
                .entries("properties", |value| Some(value.clone()))?
                .into_iter()
                .collect(),
            revlink: text("revlink")?.unwrap_or_default(),
            src: text("src")?,
        })
    }
}

/// What a client says.
#[derive(Clone, Debug, PartialEq)]
pub enum ChangesEvent {
    /// There is a change. Answer with [`ChangesSession::accept`] once it is kept, or [`ChangesSession::refuse`].
    Change {
        /// What to answer to.
        request: ChangeRequest,
        /// What.
        change: Box<SentChange>,
    },
}

/// A change that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeRequest(Option<RequestId>);

/// The master's end of a connection to somebody who tells of changes.
#[derive(Debug)]
pub struct ChangesSession {
    broker: Broker,
    perspective: u64,
    events: VecDeque<ChangesEvent>,
}

impl ChangesSession {
    /// Lets in somebody who has proved who it is.
    pub fn admit(door: Door) -> Result<Self, SessionError> {
        let limits = Limits {
            open_calls: 64,
            objects: 64,
            ..Limits::PEER
        };
        let (broker, perspective) = door.admit(limits)?;
        Ok(Self {
            broker,
            perspective,
            events: VecDeque::new(),
        })
    }

    /// Takes in what came. An error ends the connection.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        let fed = self.broker.feed(bytes);
        while let Some(event) = self.broker.poll_event() {
            let PbEvent::Call(call) = event else { continue };
            let failure = match (&call.object, call.method.as_str()) {
                (ObjectId::Number(object), "addChange") if *object == self.perspective => {
                    match call.arg(0, "changedict").map(SentChange::read) {
                        Some(Ok(change)) => {
                            self.events.push_back(ChangesEvent::Change {
                                request: ChangeRequest(call.request),
                                change: Box::new(change),
                            });
                            continue;
                        }
                        Some(Err(error)) => Failure::value(error.to_string()),
                        None => Failure::value("addChange wants a dictionary"),
                    }
                }
                (_, method) => Failure::no_method(method),
            };
            self.broker.fail(call.request, &failure)?;
        }
        Ok(fed?)
    }

    /// The next thing that was said.
    pub fn poll_event(&mut self) -> Option<ChangesEvent> {
        self.events.pop_front()
    }

    /// What is to be sent next.
    pub fn poll_send(&mut self) -> Option<Bytes> {
        self.broker.take_output()
    }

    /// The change is kept.
    pub fn accept(&mut self, request: ChangeRequest) -> Result<(), SessionError> {
        Ok(self.broker.answer(request.0, &Value::None)?)
    }

    /// It is not; the client shows why and fails.
    pub fn refuse(&mut self, request: ChangeRequest, reason: &str) -> Result<(), SessionError> {
        Ok(self.broker.fail(request.0, &Failure::command(reason))?)
    }
}
