//! The master, its configuration, and workers that come and go.

use ironmaster_model::{
    BuilderId, BuilderRecord, ChangeSourceId, ChangeSourceRecord, CodebaseId, CodebaseRecord, Counter,
    Downtime, Duration, Event, MasterRecord, Plan, ProjectId, ProjectRecord, SchedulerId, SchedulerRecord,
    SchedulerState, Timestamp, WorkerConnection, WorkerId, WorkerInfo, WorkerRecord,
};
use serde_json::json;

use super::{History, MASTER};

impl History {
    pub(super) fn start(&mut self) {
        let master = MasterRecord {
            id: MASTER,
            name: "ci.example.org:/srv/ci".into(),
            active: true,
            last_active: self.at(),
            lease: Duration::from_secs(660),
            draining: false,
        };
        let at = self.at();
        for worker in &mut self.workers {
            if let Some(connection) = &mut worker.connection
                && connection.connected
            {
                connection.connected = false;
                worker.disconnected_at = Some(at);
            }
        }
        self.emit(Event::MasterStarted { master });
    }

    pub(super) fn stop(&mut self) {
        let draining = MasterRecord {
            id: MASTER,
            name: "ci.example.org:/srv/ci".into(),
            active: true,
            last_active: self.at(),
            lease: Duration::from_secs(660),
            draining: true,
        };
        let master = MasterRecord {
            active: false,
            ..draining.clone()
        };
        self.emit(Event::MasterSet { master: draining });
        self.emit(Event::MasterStopped { master });
        self.start();
    }

    pub(super) fn configure(&mut self) {
        self.config = format!("{:064x}", self.below(4));
        let mut plan = Plan {
            digest: self.config.clone(),
            ..Plan::default()
        };
        plan.change_sources.insert(
            "poller".into(),
            ironmaster_model::ChangeSourceDef {
                name: "poller".into(),
                kind: "git_poller".into(),
                params: serde_json::Map::new(),
            },
        );
        self.emit(Event::Configured {
            digest: self.config.clone(),
            plan,
        });
        if self.builders.len() < self.builders_max {
            let id = BuilderId(self.id(Counter::Builder));
            let tags: Vec<String> = ["linux", "slow", "it's \"odd\"", "é"]
                .into_iter()
                .filter(|_| self.chance(50))
                .map(str::to_owned)
                .collect();
            let description = self.chance(50).then(|| format!("builds *{id}*"));
            self.builders.push(BuilderRecord {
                id,
                name: format!("builder {id}"),
                description,
                tags,
                active: true,
                next_number: 1,
                project: None,
            });
        }
        if self.workers.len() < 4 {
            let id = WorkerId(self.id(Counter::Worker));
            self.workers.push(WorkerRecord {
                id,
                name: format!("worker-{id}"),
                active: true,
                builders: Vec::new(),
                paused: false,
                pause_reason: None,
                graceful: false,
                downtime: None,
                killed: false,
                slots: 2,
                connection: None,
                disconnected_at: None,
                missing: false,
                info: std::sync::Arc::default(),
            });
        }
        if self.schedulers.len() < 3 {
            let id = SchedulerId(self.id(Counter::Scheduler));
            self.schedulers.push(SchedulerRecord {
                id,
                name: format!("scheduler {id}"),
                active: true,
                enabled: true,
                state: SchedulerState::default(),
            });
            let id = ChangeSourceId(self.id(Counter::ChangeSource));
            let change_source = ChangeSourceRecord {
                id,
                name: format!("poller {id}"),
                active: self.chance(70),
            };
            self.emit(Event::ChangeSourceSet { change_source });
            let project = ProjectRecord {
                id: ProjectId(self.id(Counter::Project)),
                name: format!("project-{id}"),
                description: self.chance(50).then(|| format!("about *{id}*")),
                active: self.chance(70),
            };
            let codebase = CodebaseRecord {
                id: CodebaseId(self.id(Counter::Codebase)),
                name: format!("codebase-{id}"),
                project: project.id,
                active: self.chance(70),
            };
            self.project = Some(project.id);
            self.emit(Event::ProjectSet { project });
            self.emit(Event::CodebaseSet { codebase });
        }
        for index in 0..self.builders.len() {
            self.builders[index].active = index == 0 || self.chance(80);
            self.builders[index].project = self.project.filter(|_| index % 2 == 0);
            let builder = self.builders[index].clone();
            self.emit(Event::BuilderSet { builder });
        }
        let builders: Vec<BuilderId> = self.builders.iter().map(|builder| builder.id).collect();
        for index in 0..self.workers.len() {
            self.workers[index].active = index == 0 || self.chance(80);
            self.workers[index].builders = builders.iter().copied().filter(|_| self.chance(60)).collect();
            let worker = self.workers[index].clone();
            self.emit(Event::WorkerSet { worker });
        }
        for index in 0..self.schedulers.len() {
            self.schedulers[index].active = self.chance(80);
            self.schedulers[index].enabled = self.chance(80);
            let scheduler = self.schedulers[index].clone();
            self.emit(Event::SchedulerSet { scheduler });
        }
    }

    pub(super) fn worker_comes_or_goes(&mut self) {
        let index = self.below(self.workers.len() as u64) as usize;
        let worker = self.workers[index].id;
        let connected = self.workers[index]
            .connection
            .as_ref()
            .is_some_and(|connection| connection.connected);
        if connected {
            let at = self.at();
            let record = &mut self.workers[index];
            if let Some(connection) = &mut record.connection {
                connection.connected = false;
            }
            record.disconnected_at = Some(at);
            self.emit(Event::WorkerDisconnected {
                worker,
                reason: "the connection was reset".into(),
            });
        } else {
            let connection = WorkerConnection {
                instance: format!("{:016x}", self.below(u64::MAX)),
                boot: "b00t".into(),
                resumes: self.chance(80),
                connected: true,
            };
            let info = std::sync::Arc::new(WorkerInfo {
                admin: self.chance(50).then(|| "Admin <admin@example.org>\n".into()),
                host: self.chance(50).then(|| "test host\n".into()),
                access_uri: None,
                version: Some("0.1.0".into()),
                facts: [
                    ("os".to_owned(), json!("linux")),
                    ("cpus".to_owned(), json!(self.below(64))),
                ]
                .into(),
            });
            let record = &mut self.workers[index];
            record.connection = Some(connection.clone());
            record.info = info.clone();
            record.disconnected_at = None;
            record.missing = false;
            let (graceful, killed) = (record.graceful && record.id.0 == 1, record.killed);
            (record.graceful, record.killed) = (graceful, killed);
            self.emit(Event::WorkerConnected {
                worker,
                connection,
                info,
                graceful,
                killed,
            });
        }
    }

    pub(super) fn worker_state(&mut self) {
        let index = self.below(self.workers.len() as u64) as usize;
        let paused = self.chance(50);
        let graceful = self.chance(20);
        let killed = graceful && self.chance(30);
        let pause_reason = paused.then(|| "maintenance".to_owned());
        let downtime = self
            .chance(30)
            .then_some(Downtime::Until(Timestamp::from_secs(9_000)));
        let record = &mut self.workers[index];
        record.downtime = downtime;
        record.paused = paused;
        record.pause_reason.clone_from(&pause_reason);
        (record.graceful, record.killed) = (graceful, killed);
        let worker = record.id;
        self.emit(Event::WorkerStateChanged {
            worker,
            paused,
            pause_reason,
            graceful,
            downtime,
            killed,
        });
        let record = &mut self.workers[index];
        let instance = record
            .connection
            .as_ref()
            .map(|connection| connection.instance.clone());
        match (record.disconnected_at, instance) {
            (Some(since), _) => {
                record.missing = true;
                self.emit(Event::WorkerMissing { worker, since });
            }
            (None, Some(instance)) if graceful => self.emit(Event::WorkerDismissed {
                worker,
                instance,
                reason: "somebody told it to finish, and it is idle".into(),
            }),
            _ => {}
        }
    }
}
