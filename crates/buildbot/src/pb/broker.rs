//! The broker: negotiation, then calls, answers and references in both directions.

use std::collections::{HashMap, HashSet, VecDeque};

use bytes::Bytes;

use super::Failure;
use crate::{
    Limits,
    banana::{self, BananaError, Decoder, Dialect, Element, EncodeError},
    jelly::{self, JellyError, word},
    value::{ObjectId, Value},
};

/// The only version of the protocol.
const VERSION: i128 = 6;
/// Longest name of a method or a message.
const NAME_MAX: usize = 128;

/// The number of a call; those of the two directions have nothing to do with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Why a connection cannot go on. Close it; nothing else is affected.
#[derive(Debug, thiserror::Error)]
pub enum PbError {
    /// The stream is damaged or exceeds a limit.
    #[error("the other side does not speak Banana: {0}")]
    Banana(#[from] BananaError),
    /// A value has a form that this side does not know.
    #[error("the other side sent a value that cannot be read, in `{message}`: {source}")]
    Jelly {
        /// The message.
        message: &'static str,
        /// What is wrong.
        source: JellyError,
    },
    /// There is no common dialect.
    #[error("the other side offers no dialect that this side speaks (`pb`, `none`)")]
    NoDialect,
    /// Another version of the protocol.
    #[error("the other side speaks version {0} of Perspective Broker, this side {VERSION}")]
    Version(i128),
    /// A message that is not of the form that it must have.
    #[error("the other side sent a malformed `{0}`")]
    Malformed(&'static str),
    /// A message that may not come yet.
    #[error("the other side sent a message before its version")]
    TooEarly,
    /// An answer to a call that was not made, or was answered already.
    #[error("the other side answered call {0}, which does not wait for an answer")]
    UnknownRequest(u64),
    /// A call with the number of another that is not answered yet.
    #[error("the other side made two calls with the number {0}")]
    DoubleRequest(u64),
    /// More calls than may be open.
    #[error("the other side made {0} calls without waiting for an answer")]
    ManyCalls(usize),
    /// More objects than may be known.
    #[error("the other side sent references to more than {0} objects")]
    ManyObjects(usize),
    /// What this side is to send cannot be sent. The connection is unharmed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The owner's mistake. The connection is unharmed.
    #[error("`{call}` may not be called {when}")]
    Misuse {
        /// The method.
        call: &'static str,
        /// Why not now.
        when: &'static str,
    },
    /// The connection has ended by an error before.
    #[error("the connection has ended")]
    Closed,
}

/// A call from the other side.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Answer under this number with [`Broker::answer`] or [`Broker::fail`]; none: no answer is wanted.
    pub request: Option<RequestId>,
    /// The object that is called: one that was exported, or [`ObjectId::ROOT`] on a server.
    pub object: ObjectId,
    /// The method.
    pub method: String,
    /// Arguments by position.
    pub args: Vec<Value>,
    /// Arguments by name.
    pub kwargs: Vec<(Value, Value)>,
}

impl Call {
    /// An argument, by its position or by its name.
    pub fn arg(&self, position: usize, name: &str) -> Option<&Value> {
        self.args.get(position).or_else(|| {
            let mut named = self.kwargs.iter().rev();
            named.find(|(key, _)| key.is_text(name)).map(|(_, value)| value)
        })
    }
}

/// What comes from the other side.
#[derive(Clone, Debug, PartialEq)]
pub enum PbEvent {
    /// Calls can be made now.
    Ready,
    /// The other side calls.
    Call(Call),
    /// A call of this side has ended.
    Answer {
        /// Which.
        request: RequestId,
        /// How.
        result: Result<Value, Failure>,
    },
    /// The other side has dropped all its references to an object of this side.
    Released(u64),
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// A server waits for the dialect.
    AwaitChoice,
    /// A client waits for the dialects.
    AwaitOffer,
    /// The version comes first.
    AwaitVersion,
    Open,
    Failed,
}

/// One end of a connection.
///
/// Feed it with [`Self::feed`], then drain [`Self::poll_event`] and [`Self::take_output`]. Whoever writes more slowly than the
/// other side calls has to stop reading when [`Self::output_len`] grows: one answer at most follows each call.
#[derive(Debug)]
pub struct Broker {
    server: bool,
    state: State,
    decoder: Decoder,
    limits: Limits,
    events: VecDeque<PbEvent>,
    output: Vec<u8>,
    /// Calls of this side that wait for their answer.
    asked: HashSet<u64>,
    last_request: u64,
    /// Calls of the other side that wait for theirs.
    open: HashSet<u64>,
    /// Objects of this side, and how often each was sent.
    exports: HashMap<u64, u64>,
    last_object: u64,
    /// Objects of the other side, and how often each was received.
    imports: HashMap<ObjectId, u64>,
}

impl Broker {
    /// The end that was connected to. It speaks first: there is output at once.
    pub fn server(limits: Limits) -> Self {
        let mut broker = Self::new(true, State::AwaitChoice, limits);
        let offer = [Dialect::Pb, Dialect::None].map(|dialect| word(dialect.name()));
        broker.write(&Element::List(offer.into()));
        broker
    }

    /// The end that connected.
    pub fn client(limits: Limits) -> Self {
        Self::new(false, State::AwaitOffer, limits)
    }

    fn new(server: bool, state: State, limits: Limits) -> Self {
        Self {
            server,
            state,
            decoder: Decoder::new(Dialect::None, limits),
            limits,
            events: VecDeque::new(),
            output: Vec::new(),
            asked: HashSet::new(),
            last_request: 0,
            open: HashSet::new(),
            exports: HashMap::new(),
            last_object: 0,
            imports: HashMap::new(),
        }
    }

    /// These limits hold from now on: more for somebody who has logged in.
    pub const fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        self.decoder.set_limits(limits);
    }

    /// Takes in what came. After an error nothing more can be read: close the connection.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), PbError> {
        if self.state == State::Failed {
            return Err(PbError::Closed);
        }
        self.decoder.push(bytes);
        let result = self.read();
        if result.is_err() {
            self.state = State::Failed;
        }
        result
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<PbEvent> {
        self.events.pop_front()
    }

    /// What is to be sent.
    pub fn take_output(&mut self) -> Option<Bytes> {
        (!self.output.is_empty()).then(|| std::mem::take(&mut self.output).into())
    }

    /// How much waits to be sent.
    pub const fn output_len(&self) -> usize {
        self.output.len()
    }

    /// Ends the connection: something above found it wrong.
    pub(crate) fn end(&mut self) {
        self.state = State::Failed;
    }

    /// Whether the connection has ended by an error.
    pub fn has_failed(&self) -> bool {
        self.state == State::Failed
    }

    /// Calls an object of the other side. [`PbEvent::Answer`] follows.
    pub fn call(
        &mut self,
        object: &ObjectId,
        method: &'static str,
        args: Vec<Value>,
        kwargs: Vec<(Value, Value)>,
    ) -> Result<RequestId, PbError> {
        // A client may speak as soon as it has chosen, without waiting for the server's version.
        let ready = match self.state {
            State::Open => true,
            State::AwaitVersion => !self.server,
            _ => false,
        };
        if !ready {
            return Err(self.misuse("call"));
        }
        let request = self.last_request + 1;
        let (args, kwargs) = (Value::Tuple(args), Value::Dict(kwargs));
        let message = Element::List(vec![
            word("message"),
            Element::Int(request.into()),
            jelly::write_object(object),
            word(method),
            Element::Int(1),
            jelly::write(&args),
            jelly::write(&kwargs),
        ]);
        self.send(&message)?;
        self.sent(&args);
        self.sent(&kwargs);
        self.last_request = request;
        self.asked.insert(request);
        Ok(RequestId(request))
    }

    /// Answers a call. One that is not open is ignored: nobody waits for it.
    pub fn answer(&mut self, request: Option<RequestId>, value: &Value) -> Result<(), PbError> {
        let Some(RequestId(number)) = request.filter(|request| self.open.contains(&request.0)) else {
            return Ok(());
        };
        let message = Element::List(vec![
            word("answer"),
            Element::Int(number.into()),
            jelly::write(value),
        ]);
        self.send(&message)?;
        self.sent(value);
        self.open.remove(&number);
        Ok(())
    }

    /// Answers a call with an error.
    pub fn fail(&mut self, request: Option<RequestId>, failure: &Failure) -> Result<(), PbError> {
        let Some(RequestId(number)) = request.filter(|request| self.open.contains(&request.0)) else {
            return Ok(());
        };
        let message = Element::List(vec![
            word("error"),
            Element::Int(number.into()),
            jelly::write(&failure.write()),
        ]);
        self.send(&message)?;
        self.open.remove(&number);
        Ok(())
    }

    /// A new object of this side. Send it as [`Value::Remote`] with [`ObjectId::Number`]. Numbers are not used twice.
    pub fn export(&mut self) -> u64 {
        self.last_object += 1;
        self.exports.insert(self.last_object, 0);
        self.last_object
    }

    /// The object is no more. Calls of it fail, and references that are dropped later are ignored.
    pub fn revoke(&mut self, object: u64) {
        self.exports.remove(&object);
    }

    /// Says that an object of the other side is not needed any more, as often as it was received.
    pub fn release(&mut self, object: &ObjectId) {
        if let Some(times) = self.imports.remove(object) {
            for _ in 0..times {
                self.write(&Element::List(vec![word("decref"), jelly::write_object(object)]));
            }
        }
    }

    fn read(&mut self) -> Result<(), PbError> {
        while let Some(element) = self.decoder.poll()? {
            match self.state {
                State::AwaitChoice => self.choice(&element)?,
                State::AwaitOffer => self.offer(element)?,
                State::AwaitVersion | State::Open => self.message(element)?,
                State::Failed => return Err(PbError::Closed),
            }
        }
        Ok(())
    }

    fn choice(&mut self, element: &Element) -> Result<(), PbError> {
        let Element::Bytes(name) = element else {
            return Err(PbError::Malformed("choice of dialect"));
        };
        let dialect = Dialect::of(name).ok_or(PbError::NoDialect)?;
        self.negotiated(dialect);
        Ok(())
    }

    fn offer(&mut self, element: Element) -> Result<(), PbError> {
        let Element::List(names) = element else {
            return Err(PbError::Malformed("offer of dialects"));
        };
        let mut known = names.iter().filter_map(|name| match name {
            Element::Bytes(name) => Dialect::of(name),
            _ => None,
        });
        let dialect = known.next().ok_or(PbError::NoDialect)?;
        self.write(&word(dialect.name()));
        self.negotiated(dialect);
        self.events.push_back(PbEvent::Ready);
        Ok(())
    }

    fn negotiated(&mut self, dialect: Dialect) {
        self.decoder.set_dialect(dialect);
        self.write(&Element::List(vec![word("version"), Element::Int(VERSION)]));
        self.state = State::AwaitVersion;
    }

    fn message(&mut self, element: Element) -> Result<(), PbError> {
        let Element::List(parts) = element else {
            return Err(PbError::Malformed("message"));
        };
        let mut parts = parts.into_iter();
        let Some(Element::Bytes(name)) = parts.next() else {
            return Err(PbError::Malformed("message"));
        };
        if self.state == State::AwaitVersion {
            let ([Element::Int(version)], b"version") = (parts.as_slice(), &name[..]) else {
                return Err(PbError::TooEarly);
            };
            if *version != VERSION {
                return Err(PbError::Version(*version));
            }
            self.state = State::Open;
            if self.server {
                self.events.push_back(PbEvent::Ready);
            }
            return Ok(());
        }
        match &name[..] {
            b"message" => self.called(parts.collect()),
            b"answer" => {
                let (request, value) = self.answered("answer", parts.collect())?;
                let event = PbEvent::Answer {
                    request,
                    result: Ok(value),
                };
                self.events.push_back(event);
                Ok(())
            }
            b"error" => {
                let (request, value) = self.answered("error", parts.collect())?;
                let event = PbEvent::Answer {
                    request,
                    result: Err(Failure::read(&value)),
                };
                self.events.push_back(event);
                Ok(())
            }
            b"decref" => self.dropped(parts.as_slice()),
            b"didNotUnderstand" => Ok(()),
            name => {
                let name = Bytes::copy_from_slice(&name[..name.len().min(NAME_MAX)]);
                self.write(&Element::List(vec![
                    word("didNotUnderstand"),
                    Element::Bytes(name),
                ]));
                Ok(())
            }
        }
    }

    fn called(&mut self, parts: Vec<Element>) -> Result<(), PbError> {
        let malformed = || PbError::Malformed("message");
        let [request, object, method, wanted, args, kwargs]: [Element; 6] =
            parts.try_into().map_err(|_| malformed())?;
        let request = unsigned(&request).ok_or_else(malformed)?;
        let object = jelly::object_id(&object).ok_or_else(malformed)?;
        let method = match method {
            Element::Bytes(name) if name.len() <= NAME_MAX => String::from_utf8_lossy(&name).into_owned(),
            _ => return Err(malformed()),
        };
        let wanted = match wanted {
            Element::Int(number) => number != 0,
            _ => return Err(malformed()),
        };
        let Value::Tuple(args) = self.value("message", args)? else {
            return Err(malformed());
        };
        let Value::Dict(kwargs) = self.value("message", kwargs)? else {
            return Err(malformed());
        };
        if wanted {
            if self.open.len() >= self.limits.open_calls {
                return Err(PbError::ManyCalls(self.open.len()));
            }
            if !self.open.insert(request) {
                return Err(PbError::DoubleRequest(request));
            }
        }
        let request = wanted.then_some(RequestId(request));
        let known = match &object {
            ObjectId::Number(number) => self.exports.contains_key(number),
            name @ ObjectId::Name(_) => self.server && *name == ObjectId::ROOT,
        };
        if !known {
            return self.fail(request, &Failure::no_object());
        }
        self.events.push_back(PbEvent::Call(Call {
            request,
            object,
            method,
            args,
            kwargs,
        }));
        Ok(())
    }

    fn answered(
        &mut self,
        message: &'static str,
        parts: Vec<Element>,
    ) -> Result<(RequestId, Value), PbError> {
        let [request, value]: [Element; 2] = parts.try_into().map_err(|_| PbError::Malformed(message))?;
        let request = unsigned(&request).ok_or(PbError::Malformed(message))?;
        let value = self.value(message, value)?;
        if !self.asked.remove(&request) {
            return Err(PbError::UnknownRequest(request));
        }
        Ok((RequestId(request), value))
    }

    /// Late ones, for objects that are no more, are common.
    fn dropped(&mut self, parts: &[Element]) -> Result<(), PbError> {
        let [object] = parts else {
            return Err(PbError::Malformed("decref"));
        };
        let object = unsigned(object).ok_or(PbError::Malformed("decref"))?;
        if let Some(times) = self.exports.get_mut(&object) {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.events.push_back(PbEvent::Released(object));
            }
        }
        Ok(())
    }

    fn value(&mut self, message: &'static str, element: Element) -> Result<Value, PbError> {
        let value =
            jelly::read(element, &self.limits).map_err(|source| PbError::Jelly { message, source })?;
        let mut new = Ok(());
        references(&value, &mut |object| {
            if self.imports.len() >= self.limits.objects && !self.imports.contains_key(object) {
                new = Err(PbError::ManyObjects(self.limits.objects));
            } else {
                *self.imports.entry(object.clone()).or_default() += 1;
            }
        });
        new.map(|()| value)
    }

    /// Counts the objects of this side that were sent.
    fn sent(&mut self, value: &Value) {
        references(value, &mut |object| {
            if let ObjectId::Number(number) = object
                && let Some(times) = self.exports.get_mut(number)
            {
                *times += 1;
            }
        });
    }

    fn send(&mut self, message: &Element) -> Result<(), PbError> {
        if self.state == State::Failed {
            return Err(PbError::Closed);
        }
        // Words are never sent as numbers: nobody has to, and it is one difference less between the dialects.
        banana::encode(message, Dialect::None, &mut self.output)?;
        Ok(())
    }

    /// Sends what is known to be small.
    fn write(&mut self, message: &Element) {
        let written = banana::encode(message, Dialect::None, &mut self.output);
        debug_assert!(written.is_ok(), "small and flat");
    }

    fn misuse(&self, call: &'static str) -> PbError {
        match self.state {
            State::Failed => PbError::Closed,
            _ => PbError::Misuse {
                call,
                when: "before the two sides have agreed upon a dialect",
            },
        }
    }
}

fn unsigned(element: &Element) -> Option<u64> {
    match element {
        Element::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

/// Calls back for every reference to an object of the sender.
fn references(value: &Value, found: &mut dyn FnMut(&ObjectId)) {
    match value {
        Value::Remote(object) => found(object),
        Value::List(items) | Value::Tuple(items) | Value::Set(items) | Value::FrozenSet(items) => {
            for item in items {
                references(item, found);
            }
        }
        Value::Dict(entries) => {
            for (key, value) in entries {
                references(key, found);
                references(value, found);
            }
        }
        Value::Copied(copied) => references(&copied.state, found),
        _ => {}
    }
}
