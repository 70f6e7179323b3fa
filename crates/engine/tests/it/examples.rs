//! Plain examples, one subject each: what a user would expect, in the words of the engine.

mod choices;
mod codebases;
mod force;
mod in_repository;
mod locks;
mod nightly;
mod pipelines;
mod queue;
mod schedulers;
mod steps;
mod tries;

use std::{collections::BTreeMap, sync::Arc};

use ironmaster_engine::{
    ConnectedWorker, Input, NewChange, Refusal, Reply, State, StepOutcome, StepReport, Tx, decide,
};
use ironmaster_model::{
    BuildId, BuildRecord, BuildRequestId, BuilderDef, CollapseRule, Duration, Event, Plan, Properties,
    Results, SchedulerDef, SchedulerKind, StepDef, StepFlags, Timestamp, WorkerConnection, WorkerDef,
    WorkerSelector,
};

/// An engine with a clock.
struct Bench {
    state: State,
    now: Timestamp,
    plan: Plan,
}

impl Bench {
    /// Begins with builder `a` of one step on worker `w`, which is connected.
    fn new() -> Self {
        let mut bench = Self {
            state: State::default(),
            now: Timestamp::from_secs(1_000_000),
            plan: Plan::default(),
        };
        bench.plan.builders.insert("a".into(), builder("a", &["make"]));
        bench.plan.workers.insert("w".into(), worker("w", 1));
        bench
            .plan
            .schedulers
            .insert("force".into(), scheduler("force", &["a"], force_form()));
        bench.ok(Input::MasterStart {
            name: "host:/".into(),
            lease: Duration::from_secs(600),
        });
        bench.configure();
        bench.connect("w", "w#1");
        bench
    }

    fn send(&mut self, input: Input) -> (Result<Reply, Refusal>, Vec<Event>) {
        let mut tx = Tx::new(&mut self.state, self.now);
        let answer = decide(&mut tx, input);
        let events = tx.finish().into_iter().map(|sequenced| sequenced.event).collect();
        (answer, events)
    }

    fn ok(&mut self, input: Input) -> Vec<Event> {
        let (answer, events) = self.send(input);
        answer.expect("the input is in order");
        events
    }

    fn refused(&mut self, input: Input) -> Refusal {
        let before = self.state.to_snapshot();
        let (answer, events) = self.send(input);
        assert_eq!(events, []);
        assert_eq!(self.state.to_snapshot(), before);
        answer.expect_err("the input is refused")
    }

    fn pass(&mut self, seconds: i64) {
        self.now = self.now + Duration::from_secs(seconds);
    }

    fn configure(&mut self) -> Vec<Event> {
        let digest = self.plan.digest.parse().unwrap_or(0) + 1;
        self.plan.digest = digest.to_string();
        self.ok(Input::Configure {
            plan: Arc::new(self.plan.clone()),
        })
    }

    fn connect(&mut self, name: &str, instance: &str) -> Vec<Event> {
        self.ok(Input::WorkerConnected(ConnectedWorker {
            name: name.into(),
            connection: WorkerConnection {
                instance: instance.into(),
                boot: "boot".into(),
                resumes: true,
                connected: true,
            },
            info: std::sync::Arc::default(),
        }))
    }

    fn force(&mut self, params: serde_json::Value) -> BuildRequestId {
        let (answer, _) = self.send(force(params));
        let Ok(Reply::Buildset { requests, .. }) = answer else {
            panic!("{answer:?}");
        };
        *requests.values().next().expect("a request")
    }

    /// The builds that run.
    fn running(&self) -> Vec<BuildRecord> {
        self.state.active_builds().cloned().collect()
    }

    fn end(&mut self, build: BuildId, results: Results) -> Vec<Event> {
        self.end_with(build, results, Properties::new())
    }

    fn end_with(&mut self, build: BuildId, results: Results, properties: Properties) -> Vec<Event> {
        let step = self
            .state
            .assignment(build)
            .expect("it is active")
            .step
            .expect("it has a step");
        self.ok(Input::StepEnded {
            report: StepReport {
                build,
                step: step.id,
                effects: Vec::new(),
                saves: Vec::new(),
                properties,
                state_string: None,
                urls: None,
            },
            outcome: StepOutcome {
                results,
                cause: None,
                state_string: String::new(),
                hidden: false,
            },
        })
    }
}

fn force(params: serde_json::Value) -> Input {
    let serde_json::Value::Object(params) = params else {
        panic!("not an object");
    };
    Input::Force {
        scheduler: "force".into(),
        params,
        owner: Some("ann".into()),
    }
}

fn force_form() -> SchedulerKind {
    SchedulerKind::Force(ironmaster_model::ForceDef::default())
}

fn builder(name: &str, steps: &[&str]) -> BuilderDef {
    BuilderDef {
        name: name.into(),
        description: None,
        tags: Vec::new(),
        workers: vec![WorkerSelector::Label("all".into())],
        steps: steps.iter().map(|step| self::step(step)).collect(),
        properties: BTreeMap::new(),
        env: BTreeMap::new(),
        builddir: name.into(),
        attempts_max: 2,
        collapse: CollapseRule::Never,
        builds_max: None,
        ..BuilderDef::default()
    }
}

fn step(name: &str) -> StepDef {
    StepDef {
        name: name.into(),
        kind: "shell".into(),
        params: serde_json::Map::new(),
        flags: StepFlags::default(),
        logs: vec!["stdio".into()],
        locks: Vec::new(),
    }
}

fn worker(name: &str, slots: u32) -> WorkerDef {
    WorkerDef {
        name: name.into(),
        slots,
        labels: ["all".to_owned()].into(),
        token_sha256: String::new(),
        ..WorkerDef::default()
    }
}

fn scheduler(name: &str, builders: &[&str], kind: SchedulerKind) -> SchedulerDef {
    SchedulerDef {
        name: name.into(),
        builders: builders.iter().map(|name| (*name).to_owned()).collect(),
        pipeline: None,
        priority: 0,
        asks_priority: false,
        codebases: Vec::new(),
        properties: BTreeMap::new(),
        kind,
    }
}

fn change(branch: &str, revision: &str, files: &[&str]) -> Input {
    Input::Change(NewChange {
        author: format!("author of {revision}"),
        branch: Some(branch.into()),
        revision: Some(revision.into()),
        files: files.iter().map(|file| (*file).to_owned()).collect(),
        repository: "repo".into(),
        ..NewChange::default()
    })
}

fn names(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(Event::name).collect()
}
