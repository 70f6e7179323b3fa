//! Requests and responses: what both ends have in common.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use super::codec;
use crate::{CommandId, EncodeError, Limits, SessionError, Value};

/// What a request ended with: its result, or the other side's words.
pub(super) type Outcome = Result<Value, String>;

/// What came.
#[derive(Debug)]
pub(super) enum Incoming<A> {
    Request { op: String, number: i128, body: Value },
    Response { asked: A, outcome: Outcome },
}

/// Numbers of requests, and what is to be sent. `A` says what a request of this side was for.
#[derive(Debug)]
pub(super) struct Envelope<A> {
    next: i128,
    asked: HashMap<i128, A>,
    output: VecDeque<Bytes>,
    ended: bool,
}

impl<A> Envelope<A> {
    pub(super) fn new() -> Self {
        Self {
            next: 0,
            asked: HashMap::new(),
            output: VecDeque::new(),
            ended: false,
        }
    }

    /// Reads a message. One without an operation or a number is no message of this protocol and is dropped.
    pub(super) fn receive(&mut self, message: &[u8]) -> Result<Option<Incoming<A>>, SessionError> {
        if self.ended {
            return Err(SessionError::Closed);
        }
        let body = codec::decode(message, &Limits::MSGPACK)?;
        let (Some(Value::Text(op)), Some(Value::Int(number))) = (body.get("op"), body.get("seq_number"))
        else {
            return Ok(None);
        };
        let (op, number) = (op.clone(), *number);
        if op != "response" {
            return Ok(Some(Incoming::Request { op, number, body }));
        }
        let asked = self
            .asked
            .remove(&number)
            .ok_or(SessionError::UnknownRequest(number))?;
        let result = body.get("result").cloned().unwrap_or(Value::None);
        // That it is there says enough.
        let outcome = match body.get("is_exception") {
            None => Ok(result),
            Some(_) => Err(result.as_text().map(Into::into).unwrap_or_default()),
        };
        Ok(Some(Incoming::Response { asked, outcome }))
    }

    /// After an error nothing more is read.
    pub(super) const fn end(&mut self) {
        self.ended = true;
    }

    pub(super) fn request<'k>(
        &mut self,
        op: &'static str,
        fields: impl IntoIterator<Item = (&'k str, Value)>,
        asked: A,
    ) -> Result<(), EncodeError> {
        let number = self.next;
        let head = std::iter::once(("op", op.into()));
        let tail = std::iter::once(("seq_number", Value::Int(number)));
        let message = codec::encode(&Value::dict(head.chain(fields).chain(tail)))?;
        self.output.push_back(message.into());
        self.next += 1;
        self.asked.insert(number, asked);
        Ok(())
    }

    pub(super) fn respond(&mut self, number: i128, outcome: Outcome) -> Result<(), EncodeError> {
        let mut fields = vec![("op", "response".into()), ("seq_number", Value::Int(number))];
        match outcome {
            Ok(result) => fields.push(("result", result)),
            Err(reason) => fields.extend([("result", reason.into()), ("is_exception", true.into())]),
        }
        self.output.push_back(codec::encode(&Value::dict(fields))?.into());
        Ok(())
    }

    pub(super) fn poll_send(&mut self) -> Option<Bytes> {
        self.output.pop_front()
    }

    pub(super) fn unanswered(&self) -> usize {
        self.asked.len()
    }
}

/// The name of a command in a message.
pub(super) fn command_id(body: &Value) -> Option<CommandId> {
    match body.get("command_id")? {
        Value::Text(text) => Some(CommandId::Text(text.clone())),
        Value::Int(number) => Some(CommandId::Number(*number)),
        _ => None,
    }
}

pub(super) fn write_id(id: &CommandId) -> Value {
    match id {
        CommandId::Text(text) => text.as_str().into(),
        CommandId::Number(number) => Value::Int(*number),
    }
}
