//! A real master on a temporary directory, a server on a port of its own, and a worker that does what a test says.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use futures_util::{SinkExt, StreamExt};
use ironmaster_api::{AccessToken, ApiSettings, LocalListener, Role, ServerHandle};
use ironmaster_master::{ConfigSource, Findings, Master, MasterOptions, NewConfig};
use ironmaster_model::{
    BuilderDef, ChangeFilter, CollapseRule, FixedSource, ForceDef, ForceField, ForceFieldKind, JobDef,
    PipelineDef, Plan, SchedulerDef, SchedulerKind, StepDef, StepFlags, TryDef, WorkerDef, WorkerSelector,
    pipeline::{ApprovalDef, ConditionDef, JobWork},
};
use ironmaster_wire::{
    Capabilities, CommandId, Exited, Hello, MasterMessage, Outcome, OutputChunk, Stream, Verb, WorkerInfo,
    WorkerMessage,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{net::TcpListener, net::TcpStream, task::JoinHandle};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

/// The administrator's token.
pub(crate) const ADMIN: &str = "admin-token-of-the-test";
/// The reader's token.
pub(crate) const READER: &str = "reader-token-of-the-test";
/// The password of a user of the try scheduler.
pub(crate) const TESTER: &str = "password-of-the-test";
const WORKER_TOKEN: &str = "worker-token-of-the-test";

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A running site.
pub(crate) struct Site {
    pub(crate) master: Master,
    pub(crate) address: SocketAddr,
    pub(crate) http: Client,
    /// What a reload reads.
    pub(crate) config: Arc<Config>,
    pub(crate) server: ServerHandle,
    pub(crate) dir: tempfile::TempDir,
}

/// A configuration to be read, or what is wrong with it.
#[derive(Debug)]
pub(crate) struct Config(pub(crate) Mutex<Result<Plan, Findings>>);

impl ConfigSource for Config {
    fn load(&self) -> Result<NewConfig, Findings> {
        self.0.lock().unwrap().clone().map(|plan| NewConfig {
            plan: Arc::new(plan),
            next_start: vec!["`listen` in [master]".into()],
            ..NewConfig::default()
        })
    }
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut ApiSettings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Arc::new(Config(Mutex::new(Ok(plan()))));
        let source: Arc<dyn ConfigSource> = config.clone();
        let master = Master::start(MasterOptions {
            config: Some(source),
            ..MasterOptions::new(dir.path(), Arc::new(plan()))
        })
        .await
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut settings = ApiSettings::new(format!("http://{address}/"));
        settings.tokens = vec![
            AccessToken::new("admin", ADMIN, Role::Admin),
            AccessToken::new("reader", READER, Role::Reader),
        ];
        change(&mut settings);
        let local = LocalListener::bind(dir.path()).unwrap();
        let listeners = ironmaster_api::Listeners {
            http: listener,
            identity: None,
            local: Some(local),
        };
        let server = ironmaster_api::serve_all(listeners, master.clone(), settings);
        Self {
            config,
            master,
            address,
            http: Client::new(),
            server,
            dir,
        }
    }

    pub(crate) async fn stop(self) {
        self.master.stop().await;
        self.server.stop().await;
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, self.url(path))
            .header("Accept", "application/json")
    }

    /// GETs below `/api/v2` as anybody.
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let slash = if path.is_empty() { "" } else { "/" };
        let response = self
            .request(Method::GET, &format!("/api/v2{slash}{path}"))
            .send()
            .await
            .unwrap();
        (response.status().as_u16(), json_of(response).await)
    }

    /// The items of a GET that must succeed.
    pub(crate) async fn items(&self, path: &str) -> Vec<Value> {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        let list = body
            .as_object()
            .unwrap()
            .iter()
            .find(|(key, _)| *key != "meta")
            .unwrap()
            .1;
        list.as_array().unwrap().clone()
    }

    pub(crate) async fn item(&self, path: &str) -> Value {
        let mut items = self.items(path).await;
        assert_eq!(items.len(), 1, "{path}");
        items.remove(0)
    }

    /// Calls an action as administrator; returns status and the whole answer.
    pub(crate) async fn call(&self, path: &str, method: &str, params: Value) -> (u16, Value) {
        let request = self
            .request(Method::POST, &format!("/api/v2/{path}"))
            .bearer_auth(ADMIN);
        let response = request.json(&rpc(method, params)).send().await.unwrap();
        (response.status().as_u16(), json_of(response).await)
    }

    /// Forces a build of a builder; returns the request's id.
    pub(crate) async fn force(&self, builder: &str) -> u64 {
        let id = self.item(&format!("builders/{builder}")).await["builderid"]
            .as_u64()
            .unwrap();
        let (status, answer) = self
            .call("forceschedulers/force", "force", json!({ "builderid": id }))
            .await;
        assert_eq!(status, 200, "{answer}");
        answer["result"][1][id.to_string()].as_u64().unwrap()
    }

    /// A request to the change hook with these form fields.
    pub(crate) fn hook(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let form: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        self.http
            .post(self.url(path))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form.join("&"))
    }

    /// Subscribes to topics.
    pub(crate) async fn listen(&self, topics: &[&str]) -> Listener {
        let (mut socket, _) = connect_async(format!("ws://{}/ws", self.address)).await.unwrap();
        for topic in topics {
            let command = json!({ "cmd": "startConsuming", "path": topic, "_id": topic });
            socket.send(Message::text(command.to_string())).await.unwrap();
        }
        let mut listener = Listener {
            socket,
            seen: Vec::new(),
        };
        for topic in topics {
            let reply = listener.frame().await;
            assert_eq!(
                (&reply["code"], &reply["_id"]),
                (&json!(200), &json!(topic)),
                "{reply}"
            );
        }
        listener
    }

    /// Connects a worker that runs commands as their first word says.
    pub(crate) async fn worker(&self) -> JoinHandle<()> {
        let (socket, _) = connect_async(format!("ws://{}/worker", self.address))
            .await
            .unwrap();
        let mut events = self.listen(&["workers/*/connected"]).await;
        let worker = tokio::spawn(work(socket));
        events.until("workers/1/connected").await;
        worker
    }
}

/// Hears events.
pub(crate) struct Listener {
    pub(crate) socket: Socket,
    /// Every topic heard, in order.
    pub(crate) seen: Vec<String>,
}

impl Listener {
    /// The next text frame.
    pub(crate) async fn frame(&mut self) -> Value {
        loop {
            match self.socket.next().await.expect("the socket is open").unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Close(frame) => panic!("closed: {frame:?}"),
                _ => {}
            }
        }
    }

    /// Waits for an event; returns its message.
    pub(crate) async fn until(&mut self, topic: &str) -> Value {
        loop {
            let mut frame = self.frame().await;
            let heard = frame["k"].as_str().unwrap().to_owned();
            self.seen.push(heard.clone());
            if heard == topic {
                return frame["m"].take();
            }
        }
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "calls read better with `json!` in place"
)]
pub(crate) fn rpc(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "method": method, "id": 1, "params": params })
}

pub(crate) async fn json_of(response: Response) -> Value {
    let text = response.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Builders: `quick` says something and ends, `fails` fails, `slow` runs until it is stopped, `large` says much,
/// and one has an awkward name.
pub(crate) fn plan() -> Plan {
    let builders = [
        builder("quick", &[&["say", "hello\nwörld\n"]]),
        builder("fails", &[&["fail"], &["say", "never\n"]]),
        builder("slow", &[&["hold"]]),
        builder("large", &[&["lines", "100000"]]),
        builder("a/b c", &[&["say", "x\n"]]),
    ];
    let names: Vec<String> = builders.iter().map(|builder| builder.name.clone()).collect();
    let scheduler = |name: &str, builders: Vec<String>, kind| SchedulerDef {
        name: name.into(),
        builders,
        pipeline: None,
        priority: 0,
        asks_priority: false,
        codebases: Vec::new(),
        properties: BTreeMap::new(),
        kind,
    };
    let force = ForceDef {
        button: "Build now".into(),
        label: "Build something".into(),
        reason: "because".into(),
        reason_required: false,
        source: FixedSource {
            repository: "repo".into(),
            ..FixedSource::default()
        },
        fields: vec![ForceField {
            name: "count".into(),
            label: "Count".into(),
            kind: ForceFieldKind::Int { min: None, max: None },
            default: json!(3),
            ..ForceField::default()
        }],
        ..ForceDef::default()
    };
    let schedulers = [
        scheduler("force", names, SchedulerKind::Force(force)),
        scheduler(
            "try",
            vec!["quick".into()],
            SchedulerKind::Try(TryDef {
                users: BTreeMap::from([("ann".into(), hex::encode(Sha256::digest(TESTER)))]),
                ..TryDef::default()
            }),
        ),
        scheduler(
            "main",
            vec!["quick".into()],
            SchedulerKind::SingleBranch {
                filter: ChangeFilter {
                    branches: vec!["main".into()],
                    ..ChangeFilter::default()
                },
                tree_stable: None,
            },
        ),
    ];
    let worker = WorkerDef {
        name: "w1".into(),
        slots: 4,
        labels: BTreeSet::new(),
        token_sha256: hex::encode(Sha256::digest(WORKER_TOKEN)),
        ..WorkerDef::default()
    };
    let job = |name: &str, builder: &str| JobDef {
        name: name.into(),
        work: JobWork::Build {
            builder: builder.into(),
        },
        ..JobDef::default()
    };
    // What is asked first may be approved and rejected; the slow one waits for whoever stops it.
    let asked = |name: &str| JobDef {
        approval: Some(ApprovalDef::default()),
        ..job(name, "quick")
    };
    let pipelines = [
        PipelineDef {
            name: "asks".into(),
            jobs: vec![asked("one"), asked("two"), asked("three")],
            ..PipelineDef::default()
        },
        PipelineDef {
            name: "skips".into(),
            jobs: vec![JobDef {
                when: Some(ConditionDef {
                    branches: vec!["never".into()],
                    ..ConditionDef::default()
                }),
                ..job("never", "quick")
            }],
            ..PipelineDef::default()
        },
    ];
    Plan {
        digest: "d".repeat(64),
        pipelines: pipelines
            .into_iter()
            .map(|pipeline| (pipeline.name.clone(), Arc::new(pipeline)))
            .collect(),
        workers: BTreeMap::from([(worker.name.clone(), worker)]),
        builders: builders
            .into_iter()
            .map(|builder| (builder.name.clone(), builder))
            .collect(),
        schedulers: schedulers
            .into_iter()
            .map(|scheduler| (scheduler.name.clone(), scheduler))
            .collect(),
        ..Plan::default()
    }
}

fn builder(name: &str, commands: &[&[&str]]) -> BuilderDef {
    let step = |(number, command): (usize, &&[&str])| StepDef {
        name: format!("step-{number}"),
        kind: "shell".into(),
        params: json!({ "command": command }).as_object().unwrap().clone(),
        flags: StepFlags {
            halt_on_failure: true,
            ..StepFlags::default()
        },
        logs: vec!["stdio".into()],
        locks: Vec::new(),
    };
    BuilderDef {
        name: name.into(),
        description: Some("for *tests*".into()),
        tags: vec!["test".into(), name.into()],
        workers: vec![WorkerSelector::Name("w1".into())],
        steps: commands.iter().enumerate().map(step).collect(),
        properties: BTreeMap::from([("flavour".to_owned(), json!("vanilla"))]),
        env: BTreeMap::new(),
        builddir: name.replace(['/', ' '], "_"),
        attempts_max: 2,
        collapse: CollapseRule::Never,
        builds_max: None,
        ..BuilderDef::default()
    }
}

/// A worker's whole life.
async fn work(mut socket: Socket) {
    let hello = Hello {
        protocol_min: 1,
        protocol_max: 1,
        name: "w1".into(),
        token: WORKER_TOKEN.into(),
        instance: "instance-1".into(),
        boot: "boot-1".into(),
        version: "0".into(),
        time_ms: Some(0),
        capabilities: Capabilities {
            resumes: true,
            exact_bytes: true,
            ..Capabilities::default()
        },
        info: WorkerInfo {
            admin: Some("me".into()),
            ..WorkerInfo::default()
        },
        commands: Vec::new(),
    };
    say(&mut socket, &WorkerMessage::Hello(Box::new(hello))).await;
    let mut offsets: BTreeMap<CommandId, u64> = BTreeMap::new();
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        match MasterMessage::decode(&text).unwrap() {
            MasterMessage::Ping { nonce } => say(&mut socket, &WorkerMessage::Pong { nonce }).await,
            MasterMessage::Forget { id } => say(&mut socket, &WorkerMessage::Forgotten { id }).await,
            MasterMessage::Interrupt { id, reason } => {
                end(&mut socket, id, Outcome::Interrupted { reason }, offsets[&id]).await;
            }
            MasterMessage::Start { id, verb, .. } => {
                let mut offset = 0;
                let mut outcome = Some(Outcome::Value { value: Value::Null });
                if let Verb::Exec(exec) = &verb {
                    let argument = exec.argv.get(1).map_or("", String::as_str);
                    let (output, ended) = match exec.argv[0].as_str() {
                        "say" => (argument.to_owned(), Some(Outcome::Exit { code: 0 })),
                        "fail" => ("broken\n".to_owned(), Some(Outcome::Exit { code: 1 })),
                        "hold" => ("holding\n".to_owned(), None),
                        "lines" => {
                            let lines =
                                (0..argument.parse::<u32>().unwrap()).map(|n| format!("line {n:08}\n"));
                            (lines.collect(), Some(Outcome::Exit { code: 0 }))
                        }
                        other => panic!("what is {other}?"),
                    };
                    for piece in output.as_bytes().chunks(32 * 1024) {
                        let data = bytes::Bytes::copy_from_slice(piece);
                        let chunk = OutputChunk {
                            id,
                            stream: Stream::Stdout,
                            offset,
                            data,
                        };
                        offset = chunk.end();
                        socket.send(Message::binary(chunk.encode())).await.unwrap();
                    }
                    outcome = ended;
                }
                offsets.insert(id, offset);
                if let Some(outcome) = outcome {
                    end(&mut socket, id, outcome, offset).await;
                }
            }
            _ => {}
        }
    }
}

async fn end(socket: &mut Socket, id: CommandId, outcome: Outcome, output_end: u64) {
    say(
        socket,
        &WorkerMessage::Exited(Exited {
            id,
            outcome,
            output_end,
            duration_ms: 5,
        }),
    )
    .await;
}

async fn say(socket: &mut Socket, message: &WorkerMessage) {
    // The master may be gone already.
    let _ = socket.send(Message::text(message.encode())).await;
}
