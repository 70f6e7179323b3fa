//! The door: where somebody who connects says who it is, and proves it.

use bytes::Bytes;

use super::{Broker, Call, Challenge, Failure, PasswordDigest, PbError, PbEvent, RequestId, Response};
use crate::{
    Limits,
    value::{ObjectId, Value},
};

/// Somebody wants in. Look the user up, check [`Self::proves`], then make a session of the door, or
/// [`Door::refuse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Who it says it is.
    pub user: String,
    /// The object that it can be called at: workers have one, other clients have none.
    pub mind: Option<ObjectId>,
    challenge: Challenge,
    response: Response,
}

impl Login {
    /// Whether it knows the password. For an unknown user check against anything, so that both take the same time.
    pub fn proves(&self, password: &PasswordDigest) -> bool {
        self.response.proves(password, self.challenge)
    }
}

#[derive(Debug)]
enum State {
    /// Nobody has said a name.
    Name,
    /// A challenge was sent.
    Response { user: String, object: u64 },
    /// The owner decides.
    Deciding { request: Option<RequestId> },
    /// It may stay until it goes, but nobody listens.
    Refused,
}

/// A connection before its login: with tight limits, and one attempt.
#[derive(Debug)]
pub struct Door {
    broker: Broker,
    challenge: Challenge,
    state: State,
    login: Option<Login>,
}

impl Door {
    /// Somebody has connected. The challenge is 16 random bytes, new for each connection.
    pub fn new(challenge: Challenge) -> Self {
        Self {
            broker: Broker::server(Limits::STRANGER),
            challenge,
            state: State::Name,
            login: None,
        }
    }

    /// Takes in what came.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), PbError> {
        let fed = self.broker.feed(bytes);
        while let Some(event) = self.broker.poll_event() {
            if let PbEvent::Call(call) = event {
                self.call(&call)?;
            }
        }
        fed
    }

    /// Somebody who said its name and answered the challenge.
    pub fn poll_login(&mut self) -> Option<Login> {
        self.login.take()
    }

    /// What is to be sent.
    pub fn poll_send(&mut self) -> Option<Bytes> {
        self.broker.take_output()
    }

    /// Lets it in. It gets the number of an object, its perspective, and may call that.
    pub(crate) fn admit(mut self, limits: Limits) -> Result<(Broker, u64), PbError> {
        let State::Deciding { request } = self.state else {
            return Err(PbError::Misuse {
                call: "admit",
                when: "before somebody has logged in",
            });
        };
        let perspective = self.broker.export();
        self.broker.set_limits(limits);
        self.broker
            .answer(request, &Value::Remote(ObjectId::Number(perspective)))?;
        Ok((self.broker, perspective))
    }

    /// Turns it away; send what is left, then close. A worker comes again after a while.
    pub fn refuse(&mut self) -> Result<(), PbError> {
        if let State::Deciding { request } = std::mem::replace(&mut self.state, State::Refused) {
            self.broker.fail(request, &Failure::unauthorized())?;
        }
        Ok(())
    }

    fn call(&mut self, call: &Call) -> Result<(), PbError> {
        match (&self.state, call.method.as_str(), &call.object) {
            (State::Name, "login", object) if *object == ObjectId::ROOT => {
                let Some(user) = call.arg(0, "username").and_then(Value::as_text) else {
                    return self
                        .broker
                        .fail(call.request, &Failure::value("a user name is wanted"));
                };
                let user = user.into_owned();
                let object = self.broker.export();
                let answer = Value::Tuple(vec![
                    Value::bytes(self.challenge.0.to_vec()),
                    Value::Remote(ObjectId::Number(object)),
                ]);
                self.broker.answer(call.request, &answer)?;
                self.state = State::Response { user, object };
            }
            (State::Response { user, object }, "respond", ObjectId::Number(called)) if called == object => {
                let Some(Value::Bytes(response)) = call.arg(0, "response") else {
                    return self
                        .broker
                        .fail(call.request, &Failure::value("a response is wanted"));
                };
                let mind = match call.arg(1, "mind") {
                    Some(Value::Remote(mind)) => Some(mind.clone()),
                    _ => None,
                };
                self.login = Some(Login {
                    user: user.clone(),
                    mind,
                    challenge: self.challenge,
                    response: Response(response.to_vec()),
                });
                self.broker.revoke(*object);
                self.state = State::Deciding {
                    request: call.request,
                };
            }
            // Whatever else somebody may want who is not logged in, this is the answer.
            _ => self.broker.fail(call.request, &Failure::unauthorized())?,
        }
        Ok(())
    }
}
