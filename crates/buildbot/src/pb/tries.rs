//! `buildbot try`: somebody who wants to know whether a patch builds, and watches.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, VecDeque},
};

use bytes::Bytes;

use super::{Broker, Call, Door, Failure, PbEvent, RequestId};
use crate::{
    Limits, SessionError,
    value::{ObjectId, Value},
};

/// Builds that one client may be told of. They are named by its own request, and by no more than that.
const BUILDS_MAX: usize = 10_000;

/// What is to be tried.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TryJob {
    /// The branch.
    pub branch: Option<String>,
    /// What the patch is against.
    pub revision: Option<String>,
    /// How many folders to strip (`-p`), and the difference; none: there is no difference.
    pub patch: Option<(u32, Bytes)>,
    /// The repository.
    pub repository: String,
    /// The project.
    pub project: String,
    /// The builders; none: all that may be tried.
    pub builders: Vec<String>,
    /// Who wants to know.
    pub who: Option<String>,
    /// What it is about.
    pub comment: Option<String>,
    /// Properties of the builds.
    pub properties: BTreeMap<String, Value>,
}

impl TryJob {
    /// From the arguments by position. Older clients leave out the last ones.
    fn read(args: &[Value]) -> Result<Self, String> {
        let text = |index: usize, name: &str| match args.get(index) {
            None | Some(Value::None) => Ok(None),
            Some(value) => match value.as_text() {
                Some(text) => Ok(Some(text.into_owned())),
                None => Err(format!(
                    "try: `{name}` is {}, where a text is wanted",
                    value.kind()
                )),
            },
        };
        let patch = match args.get(2).and_then(Value::as_items) {
            Some([Value::Int(level), diff]) => {
                let level = u32::try_from(*level).map_err(|_| "try: the patch's level is out of range")?;
                match diff {
                    Value::Bytes(diff) => Some((level, diff.clone())),
                    Value::Text(diff) => Some((level, Bytes::copy_from_slice(diff.as_bytes()))),
                    Value::None => None,
                    _ => return Err("try: the patch is no text".into()),
                }
            }
            Some(_) => return Err("try: `patch` wants a level and a text".into()),
            None => None,
        };
        let names = args.get(5).and_then(Value::as_items).unwrap_or_default();
        let builders: Option<Vec<String>> = names
            .iter()
            .map(|name| name.as_text().map(Cow::into_owned))
            .collect();
        let properties = match args.get(8) {
            Some(Value::Dict(entries)) => entries
                .iter()
                .filter_map(|(key, value)| Some((key.as_text()?.into_owned(), value.clone())))
                .collect(),
            _ => BTreeMap::new(),
        };
        Ok(Self {
            branch: text(0, "branch")?,
            revision: text(1, "revision")?,
            patch,
            repository: text(3, "repository")?.unwrap_or_default(),
            project: text(4, "project")?.unwrap_or_default(),
            builders: builders.ok_or("try: the names of builders are no texts")?,
            who: text(6, "who")?,
            comment: text(7, "comment")?,
            properties,
        })
    }
}

/// What a client says.
#[derive(Clone, Debug, PartialEq)]
pub enum TryEvent {
    /// It wants to know which builders it may try. Answer with [`TrySession::send_builders`].
    Builders(TryRequest),
    /// It wants something tried. Answer with [`TrySession::accept`] or [`TrySession::decline`].
    Try {
        /// What to answer to.
        request: TryRequest,
        /// What.
        job: Box<TryJob>,
    },
    /// It watches: tell it of builds as they happen. Without this it is about to go, and nothing is lost by that.
    Watches,
}

/// A question that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryRequest(Option<RequestId>);

/// A request for a build, and the builds that came of it.
#[derive(Debug)]
struct Requested {
    builder: String,
    builds: Vec<u64>,
    /// What the client knows it as.
    object: Option<u64>,
    /// The object of the client that watches.
    watcher: Option<ObjectId>,
}

#[derive(Debug)]
struct Build {
    builder: String,
    object: u64,
    watcher: Option<ObjectId>,
    /// Who waits for its end.
    waiting: Vec<Option<RequestId>>,
    /// How it ended.
    end: Option<(i64, Vec<String>)>,
}

/// What an object of this side is.
#[derive(Clone, Copy, Debug)]
enum Role {
    Buildset,
    Request(usize),
    Build(u64),
}

/// The master's end of a connection to somebody who tries.
#[derive(Debug)]
pub struct TrySession {
    broker: Broker,
    perspective: u64,
    objects: HashMap<u64, Role>,
    requests: Vec<Requested>,
    /// By the owner's numbers.
    builds: HashMap<u64, Build>,
    events: VecDeque<TryEvent>,
}

fn remote(object: u64) -> Value {
    Value::Remote(ObjectId::Number(object))
}

impl TrySession {
    /// Lets in somebody who has proved who it is.
    pub fn admit(door: Door) -> Result<Self, SessionError> {
        let limits = Limits {
            open_calls: 1024,
            objects: 64,
            ..Limits::PEER
        };
        let (broker, perspective) = door.admit(limits)?;
        Ok(Self {
            broker,
            perspective,
            objects: HashMap::new(),
            requests: Vec::new(),
            builds: HashMap::new(),
            events: VecDeque::new(),
        })
    }

    /// Takes in what came. An error ends the connection.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        let fed = self.broker.feed(bytes);
        while let Some(event) = self.broker.poll_event() {
            if let PbEvent::Call(call) = event {
                match self.call(&call)? {
                    Answer::Later => {}
                    Answer::Value(value) => self.broker.answer(call.request, &value)?,
                    Answer::Failure(failure) => self.broker.fail(call.request, &failure)?,
                }
            }
        }
        Ok(fed?)
    }

    /// The next thing that was said.
    pub fn poll_event(&mut self) -> Option<TryEvent> {
        self.events.pop_front()
    }

    /// What is to be sent next.
    pub fn poll_send(&mut self) -> Option<Bytes> {
        self.broker.take_output()
    }

    /// How much waits to be sent.
    pub const fn output_len(&self) -> usize {
        self.broker.output_len()
    }

    /// These builders may be tried.
    pub fn send_builders(&mut self, request: TryRequest, names: &[String]) -> Result<(), SessionError> {
        let names = names.iter().map(|name| name.as_str().into()).collect();
        Ok(self.broker.answer(request.0, &Value::List(names))?)
    }

    /// It is tried: for each of these builders there is a request. The order counts, see [`Self::build_started`].
    pub fn accept(&mut self, request: TryRequest, builders: &[String]) -> Result<(), SessionError> {
        self.requests = builders
            .iter()
            .map(|builder| Requested {
                builder: builder.clone(),
                builds: Vec::new(),
                object: None,
                watcher: None,
            })
            .collect();
        let object = self.broker.export();
        self.objects.insert(object, Role::Buildset);
        Ok(self.broker.answer(request.0, &remote(object))?)
    }

    /// It cannot be tried. The stock client shows no reason: it waits for ever on an answer that is a failure.
    pub fn decline(&mut self, request: TryRequest) -> Result<(), SessionError> {
        Ok(self.broker.answer(request.0, &Value::None)?)
    }

    /// A build of the request with this index has begun. `build` is the owner's number for it.
    pub fn build_started(&mut self, request: usize, build: u64) -> Result<(), SessionError> {
        if self.builds.len() >= BUILDS_MAX || self.builds.contains_key(&build) {
            return Ok(());
        }
        let Some(requested) = self.requests.get_mut(request) else {
            return Err(SessionError::Misuse {
                call: "build_started",
                when: "for a request that there is not",
            });
        };
        let object = self.broker.export();
        requested.builds.push(build);
        let (builder, watcher) = (requested.builder.clone(), requested.watcher.clone());
        self.objects.insert(object, Role::Build(build));
        let new = Build {
            builder,
            object,
            watcher: None,
            waiting: Vec::new(),
            end: None,
        };
        self.builds.insert(build, new);
        match watcher {
            Some(watcher) => self.new_build(&watcher, build),
            None => Ok(()),
        }
    }

    /// A step of a build has begun.
    pub fn step_started(&mut self, build: u64, step: &str) -> Result<(), SessionError> {
        self.tell(build, "stepStarted", vec![step.into(), Value::None])
    }

    /// A step of a build is over, with a result from 0 to 6.
    pub fn step_finished(&mut self, build: u64, step: &str, results: i64) -> Result<(), SessionError> {
        self.tell(
            build,
            "stepFinished",
            vec![step.into(), Value::None, results.into()],
        )
    }

    /// A build will be over in so many seconds.
    pub fn build_eta(&mut self, build: u64, seconds: f64) -> Result<(), SessionError> {
        self.tell(build, "buildETAUpdate", vec![seconds.into()])
    }

    /// A build is over, with a result from 0 to 6 and a line of text.
    pub fn build_finished(&mut self, build: u64, results: i64, text: &str) -> Result<(), SessionError> {
        let Some(known) = self.builds.get_mut(&build) else {
            return Ok(());
        };
        known.end = Some((results, vec![text.to_owned()]));
        let answer = remote(known.object);
        for request in std::mem::take(&mut known.waiting) {
            self.broker.answer(request, &answer)?;
        }
        Ok(())
    }

    fn new_build(&mut self, watcher: &ObjectId, build: u64) -> Result<(), SessionError> {
        if let Some(build) = self.builds.get(&build) {
            let args = vec![remote(build.object), build.builder.as_str().into()];
            self.broker.call(watcher, "newbuild", args, Vec::new())?;
        }
        Ok(())
    }

    fn tell(&mut self, build: u64, method: &'static str, more: Vec<Value>) -> Result<(), SessionError> {
        if let Some(build) = self.builds.get(&build)
            && let Some(watcher) = &build.watcher
        {
            let mut args = vec![build.builder.as_str().into(), remote(build.object)];
            args.extend(more);
            self.broker.call(watcher, method, args, Vec::new())?;
        }
        Ok(())
    }

    fn call(&mut self, call: &Call) -> Result<Answer, SessionError> {
        let ObjectId::Number(object) = call.object else {
            return Ok(Answer::Failure(Failure::no_object()));
        };
        let unknown = || Answer::Failure(Failure::no_method(&call.method));
        if object == self.perspective {
            let request = TryRequest(call.request);
            return Ok(match call.method.as_str() {
                "getAvailableBuilderNames" => {
                    self.events.push_back(TryEvent::Builders(request));
                    Answer::Later
                }
                "try" if !self.requests.is_empty() => {
                    Answer::Failure(Failure::value("this connection has tried something already"))
                }
                "try" => match TryJob::read(&call.args) {
                    Ok(job) => {
                        let job = Box::new(job);
                        self.events.push_back(TryEvent::Try { request, job });
                        Answer::Later
                    }
                    Err(reason) => Answer::Failure(Failure::value(reason)),
                },
                _ => unknown(),
            });
        }
        let client = match call.args.first() {
            Some(Value::Remote(client)) => Some(client.clone()),
            _ => None,
        };
        let role = self.objects.get(&object).copied();
        match (role, call.method.as_str()) {
            (Some(Role::Buildset), "getBuildRequests") => Ok(self.requested()),
            (Some(Role::Request(index)), "subscribe") => {
                let Some(requested) = self.requests.get_mut(index) else {
                    return Ok(unknown());
                };
                requested.watcher.clone_from(&client);
                let builds = requested.builds.clone();
                self.events.push_back(TryEvent::Watches);
                if let Some(client) = client {
                    for build in builds {
                        self.new_build(&client, build)?;
                    }
                }
                Ok(Answer::Value(Value::None))
            }
            (Some(Role::Request(index)), "unsubscribe") => {
                if let Some(requested) = self.requests.get_mut(index) {
                    requested.watcher = None;
                }
                Ok(Answer::Value(Value::None))
            }
            (Some(Role::Build(number)), method) => {
                let Some(build) = self.builds.get_mut(&number) else {
                    return Ok(unknown());
                };
                Ok(build.call(method, client, call.request).unwrap_or_else(unknown))
            }
            (None, _) => Ok(Answer::Failure(Failure::no_object())),
            _ => Ok(unknown()),
        }
    }

    /// The requests, as objects that the client can watch.
    fn requested(&mut self) -> Answer {
        let mut pairs = Vec::new();
        for (index, requested) in self.requests.iter_mut().enumerate() {
            let object = *requested.object.get_or_insert_with(|| self.broker.export());
            self.objects.insert(object, Role::Request(index));
            pairs.push(Value::Tuple(vec![
                requested.builder.as_str().into(),
                remote(object),
            ]));
        }
        Answer::Value(Value::List(pairs))
    }
}

/// What becomes of a call.
enum Answer {
    Later,
    Value(Value),
    Failure(Failure),
}

impl Build {
    fn call(&mut self, method: &str, client: Option<ObjectId>, request: Option<RequestId>) -> Option<Answer> {
        Some(match method {
            "subscribe" => {
                self.watcher = client;
                Answer::Value(Value::None)
            }
            "unsubscribe" => {
                self.watcher = None;
                Answer::Value(Value::None)
            }
            "waitUntilFinished" if self.end.is_some() => Answer::Value(remote(self.object)),
            "waitUntilFinished" => {
                self.waiting.push(request);
                Answer::Later
            }
            "getResults" => Answer::Value(self.end.as_ref().map(|(results, _)| *results).into()),
            "getText" => {
                let text = self
                    .end
                    .as_ref()
                    .map(|(_, text)| text.as_slice())
                    .unwrap_or_default();
                Answer::Value(Value::List(
                    text.iter().map(|line| line.as_str().into()).collect(),
                ))
            }
            _ => return None,
        })
    }
}
