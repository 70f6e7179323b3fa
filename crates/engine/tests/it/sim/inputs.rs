//! Inputs made from a seed: mostly sensible ones, aimed at what is there, and now and then late or wrong ones.

use std::sync::Arc;

use ironmaster_engine::{
    ConnectedWorker, Found, Input, Judgement, NewChange, State, StepOutcome, StepReport, Trigger, TryJob,
    TryPatch, Verdict,
};
use ironmaster_model::{
    BuildId, BuildRecord, BuildRequestId, Counter, EffectRecord, JobId, JobState, LogContent, LogKind,
    LogSave, NewSourceStamp, Properties, Results, RunId, RunProblem, StepId, StepUrl, Wanted,
    WorkerConnection, WorkerInfo,
};
use serde_json::{Map, Value, json};

use super::{
    plans::{self, BRANCHES, WORKERS},
    rng::Rng,
};

/// Makes inputs.
pub(crate) struct Inputs {
    pub(crate) rng: Rng,
    /// Processes that each worker has had.
    instances: [u64; 4],
    revisions: u64,
    /// How many triggers there were; each has a place of its own in its step.
    triggers: u32,
    pub(crate) plans: u64,
    /// Steps that once ran.
    pub(crate) old_steps: Vec<(BuildId, StepId)>,
}

impl Inputs {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            instances: [0; 4],
            revisions: 0,
            triggers: 0,
            plans: 0,
            old_steps: Vec::new(),
        }
    }

    /// Any input.
    pub(crate) fn any(&mut self, state: &State) -> Input {
        if state.has_cases() && self.rng.chance(15) {
            return self.judged(state);
        }
        if state.has_choices() && self.rng.chance(35) {
            return self.chosen(state);
        }
        match self.rng.below(100) {
            0..42 => self.runner(state).unwrap_or_else(|| self.change()),
            42..46 => self.stale(state),
            46..59 => self.change(),
            59..67 => self.force(state),
            67..70 => Input::CancelRequest {
                request: self.request(state),
                by: "ann".into(),
                reason: "changed her mind".into(),
            },
            71 if self.rng.chance(70) => self.approve(state),
            70 => self.define(state),
            72 if self.rng.chance(70) => self.define(state),
            71..75 => Input::SetPriority {
                request: self.request(state),
                priority: self.rng.below(9) as i64 - 4,
            },
            75..78 => Input::StopBuild {
                build: self.build(state),
                by: "bob".into(),
                reason: "wrong branch".into(),
            },
            78..80 => {
                let ids: Vec<_> = state.schedulers().map(|scheduler| scheduler.id).collect();
                if ids.is_empty() {
                    return self.change();
                }
                Input::EnableScheduler {
                    scheduler: *self.rng.pick(&ids),
                    enabled: self.rng.chance(70),
                }
            }
            80..84 => self.worker_state(state),
            84..93 => {
                let index = self.rng.below(4) as usize;
                self.connect(index)
            }
            93..97 => self.disconnect(state),
            97 => match self.rng.below(4) {
                0 => self.rebuild(state),
                1 => self.start_run(),
                2 => self.tries(),
                _ => self.stop_run(state),
            },
            98 if self.rng.chance(60) => self.configure(),
            98 => Input::Drain {
                draining: self.rng.chance(40),
            },
            _ => Input::Tick,
        }
    }

    /// A new configuration, mostly with something left out.
    pub(crate) fn configure(&mut self) -> Input {
        self.plans += 1;
        let plan = plans::plan(&mut self.rng, self.plans, false);
        Input::Configure { plan: Arc::new(plan) }
    }

    /// A configuration with everything in it and no period.
    pub(crate) fn configure_whole(&mut self) -> Input {
        self.plans += 1;
        let plan = plans::plan(&mut self.rng, self.plans, true);
        Input::Configure { plan: Arc::new(plan) }
    }

    /// A worker connects: the process that was there, or another one.
    pub(crate) fn connect(&mut self, index: usize) -> Input {
        let anew = self.rng.chance(35);
        self.connect_as(index, anew)
    }

    /// The same, where it is known which of both.
    pub(crate) fn connect_as(&mut self, index: usize, anew: bool) -> Input {
        if self.instances[index] == 0 || anew {
            self.instances[index] += 1;
        }
        let name = WORKERS[index];
        let instance = self.instances[index];
        Input::WorkerConnected(ConnectedWorker {
            name: name.into(),
            connection: WorkerConnection {
                instance: format!("{name}#{instance}"),
                boot: "boot".into(),
                // One of them cannot resume, and one only sometimes.
                resumes: !(index == 3 || (index == 2 && instance.is_multiple_of(2))),
                connected: true,
            },
            info: Arc::new(WorkerInfo {
                facts: [("basedir".to_owned(), json!("/srv/w"))].into(),
                ..WorkerInfo::default()
            }),
        })
    }

    fn disconnect(&mut self, state: &State) -> Input {
        let index = self.rng.below(4) as usize;
        let Some(worker) = state.worker_by_name(WORKERS[index]) else {
            return self.connect(index);
        };
        // Late news of an earlier process now and then.
        let instance = self.instances[index].saturating_sub(u64::from(self.rng.chance(15)));
        Input::WorkerDisconnected {
            worker: worker.id,
            instance: format!("{}#{instance}", WORKERS[index]),
            reason: "connection reset".into(),
        }
    }

    fn worker_state(&mut self, state: &State) -> Input {
        let Some(worker) = state.worker_by_name(self.rng.pick::<&str>(WORKERS)) else {
            return Input::Tick;
        };
        if self.rng.chance(25) {
            let worker = worker.id;
            return if self.rng.chance(30) {
                Input::KillWorker { worker }
            } else {
                Input::StopWorker { worker }
            };
        }
        Input::PauseWorker {
            worker: worker.id,
            paused: self.rng.chance(40),
            reason: "maintenance".into(),
        }
    }

    fn change(&mut self) -> Input {
        self.revisions += 1;
        let files = match self.rng.below(4) {
            0 => vec!["docs/a.md".to_owned()],
            1 => vec!["docs/a.md".to_owned(), "src/a.rs".to_owned()],
            2 => Vec::new(),
            _ => vec!["src/b.rs".to_owned()],
        };
        let mut properties = Properties::new();
        properties.set("ticket", self.revisions, "Change");
        Input::Change(NewChange {
            author: format!("author{}", self.rng.below(3)),
            files,
            // The same commit is told of twice now and then.
            revision: Some(format!("r{}", self.revisions - u64::from(self.rng.chance(10)))),
            branch: self.rng.pick(BRANCHES).map(str::to_owned),
            repository: "repo".into(),
            properties,
            ..NewChange::default()
        })
    }

    fn force(&mut self, state: &State) -> Input {
        let mut params = Map::new();
        if self.rng.chance(60) {
            let ids: Vec<u64> = state
                .builders()
                .map(|builder| builder.id.0)
                .chain([999])
                .collect();
            params.insert("builderid".into(), json!(self.rng.pick(&ids)));
        }
        for (name, values) in [
            ("reason", vec![json!("again"), json!("nightly")]),
            ("priority", vec![json!(7), json!(0), json!("many")]),
            ("branch", vec![json!("main")]),
            ("revision", vec![json!("r1"), json!("r2")]),
            ("jobs", vec![json!(4), json!("many")]),
        ] {
            if self.rng.chance(25) {
                let value: Value = self.rng.pick(&values).clone();
                params.insert(name.into(), value);
            }
        }
        Input::Force {
            scheduler: if self.rng.chance(95) {
                "s-force"
            } else {
                "s-single"
            }
            .into(),
            params,
            owner: self.rng.chance(50).then(|| "carla".into()),
        }
    }

    /// Each job is like no other, so that none is merged with another.
    fn tries(&mut self) -> Input {
        self.revisions += 1;
        let builders = [vec![], vec!["a"], vec!["b", "c"], vec!["nobody"]];
        let builders = self.rng.pick(&builders).iter().map(|name| (*name).to_owned());
        Input::Try(Box::new(TryJob {
            scheduler: (*self.rng.pick(&["s-try", "s-try", "s-try", "s-force"])).into(),
            id: format!("job {}", self.revisions),
            branch: self.rng.pick(BRANCHES).map(str::to_owned),
            revision: Some("r1".into()),
            patch: self.rng.chance(80).then(|| TryPatch {
                level: 1,
                subdir: String::new(),
                body: format!("change {}", self.revisions),
            }),
            builders: builders.collect(),
            properties: [("job".to_owned(), json!(self.revisions))].into(),
            ..TryJob::default()
        }))
    }

    fn start_run(&mut self) -> Input {
        Input::StartRun {
            pipeline: (*self.rng.pick(plans::PIPELINES)).into(),
            sourcestamps: vec![NewSourceStamp {
                branch: self.rng.pick(BRANCHES).map(str::to_owned),
                repository: "repo".into(),
                ..NewSourceStamp::default()
            }],
            properties: Properties::new(),
            by: "eve".into(),
            reason: "to see".into(),
        }
    }

    fn stop_run(&mut self, state: &State) -> Input {
        let ids: Vec<_> = state.active_runs().map(|run| run.id).collect();
        let run = if ids.is_empty() || self.rng.chance(10) {
            RunId(1 + self.rng.below(state.counters()[&Counter::Run]))
        } else {
            *self.rng.pick(&ids)
        };
        Input::StopRun {
            run,
            by: "eve".into(),
            reason: "enough".into(),
        }
    }

    /// The file of some run was read, or it was not. Sometimes it is one that nobody has asked for, or not any more.
    fn define(&mut self, state: &State) -> Input {
        let asked: Vec<_> = state.questions().collect();
        let (run, branch) = if asked.is_empty() || self.rng.chance(10) {
            (RunId(1 + self.rng.below(state.counters()[&Counter::Run])), None)
        } else {
            let question = self.rng.pick(&asked);
            (question.run, question.branch.clone())
        };
        self.revisions += 1;
        let revision = format!("read{}", self.revisions);
        let found = match self.rng.below(10) {
            0..7 => Found::Jobs {
                revision,
                branch: branch.filter(|_| self.rng.chance(80)),
                jobs: plans::repository_jobs(&mut self.rng),
            },
            7 => Found::Problem {
                revision: Some(revision),
                problem: RunProblem::default(),
            },
            _ => Found::Trouble {
                reason: "no way there".into(),
            },
        };
        Input::Define { run, found }
    }

    /// Somebody says what he thinks of a request; now and then under a configuration that is over, or of what he was not asked about.
    fn judged(&mut self, state: &State) -> Input {
        let open: Vec<_> = state.cases().collect();
        let case = state.case(*self.rng.pick(&open)).expect("it is asked about");
        let mut replaces: Vec<_> = case.others.iter().map(|other| other.request.id).collect();
        replaces.retain(|_| self.rng.chance(40));
        if self.rng.chance(10) {
            replaces.push(self.request(state));
        }
        let request = if self.rng.chance(95) {
            case.wish.request.id
        } else {
            self.request(state)
        };
        Input::Judged {
            request,
            config: if self.rng.chance(95) {
                case.config
            } else {
                String::new()
            },
            judgement: Judgement {
                priority: self.rng.chance(60).then(|| self.rng.below(9) as i64 - 4),
                replaces,
                problem: self.rng.chance(10).then(|| "it failed".into()),
            },
        }
    }

    /// Somebody says what starts, or that nothing does. Now and then he is late, or says what nobody has offered.
    fn chosen(&mut self, state: &State) -> Input {
        let open: Vec<_> = state.choices().collect();
        let (builder, mut number) = *self.rng.pick(&open);
        let choice = state.choice(builder).expect("it is asked");
        let others: Vec<_> = state.workers().map(|worker| worker.id).collect();
        let offers: Vec<_> = choice.workers.iter().map(|offer| offer.worker.id).collect();
        let wishes: Vec<_> = choice.requests.iter().map(|wish| wish.request.id).collect();
        if self.rng.chance(7) {
            number = number.saturating_sub(1 + self.rng.below(9));
        }
        let verdict = if wishes.is_empty() || self.rng.chance(25) {
            Verdict::Nothing {
                why: "`can_start` says no".into(),
            }
        } else if self.rng.chance(12) {
            Verdict::Start {
                request: self.request(state),
                worker: *self.rng.pick(&others),
            }
        } else {
            Verdict::Start {
                request: *self.rng.pick(&wishes),
                worker: *self.rng.pick(&offers),
            }
        };
        Input::Chosen {
            builder,
            number,
            verdict,
        }
    }

    /// Somebody answers a job that waits for it, or one that does not.
    fn approve(&mut self, state: &State) -> Input {
        let waiting: Vec<JobId> = state
            .active_runs()
            .flat_map(|run| state.jobs_of(run.id))
            .filter(|job| job.progress.state == JobState::AwaitingApproval)
            .map(|job| job.id)
            .collect();
        let job = if waiting.is_empty() || self.rng.chance(5) {
            JobId(1 + self.rng.below(state.counters()[&Counter::Job]))
        } else {
            *self.rng.pick(&waiting)
        };
        Input::ApproveJob {
            job,
            by: "eve".into(),
            approved: self.rng.chance(75),
            reason: "so it is".into(),
        }
    }

    fn rebuild(&mut self, state: &State) -> Input {
        let ids: Vec<_> = state.builders().map(|builder| builder.id).collect();
        if ids.is_empty() {
            return Input::Tick;
        }
        Input::Rebuild {
            rebuilt: BuildId(1),
            builder: *self.rng.pick(&ids),
            sourcestamps: vec![NewSourceStamp {
                branch: Some("main".into()),
                revision: Some("r1".into()),
                repository: "repo".into(),
                ..NewSourceStamp::default()
            }],
            properties: Properties::new(),
            owner: "dora".into(),
        }
    }

    /// Any request that ever was, and one that was not; those that wait more often.
    fn request(&mut self, state: &State) -> BuildRequestId {
        let open: Vec<_> = state.requests().map(|request| request.id).collect();
        if !open.is_empty() && self.rng.chance(80) {
            return *self.rng.pick(&open);
        }
        BuildRequestId(1 + self.rng.below(state.counters()[&Counter::BuildRequest]))
    }

    fn build(&mut self, state: &State) -> BuildId {
        let active: Vec<_> = state.active_builds().map(|build| build.id).collect();
        if !active.is_empty() && self.rng.chance(90) {
            return *self.rng.pick(&active);
        }
        BuildId(1 + self.rng.below(state.counters()[&Counter::Build]))
    }

    /// The runner of some active build has something to say.
    fn runner(&mut self, state: &State) -> Option<Input> {
        let active: Vec<_> = state.active_builds().map(|build| build.id).collect();
        if active.is_empty() {
            return None;
        }
        let assignment = state.assignment(*self.rng.pick(&active))?;
        let build = assignment.build.id;
        let step = assignment.step?;
        // Nobody speaks for a step that waits for its locks; if somebody does, he is refused.
        if step.locks_acquired_at.is_none() && self.rng.chance(85) {
            return None;
        }
        let step = step.id;
        self.old_steps.push((build, step));
        if self.rng.chance(12) {
            return Some(self.trigger(&assignment.build, step));
        }
        let mut report = report(build, step);
        let ends = if assignment.build.lost.is_some() || assignment.build.stop.is_some() {
            80
        } else {
            60
        };
        if !self.rng.chance(ends) {
            return Some(match self.rng.below(10) {
                0 => Input::BuildLost {
                    build,
                    reason: "the command's process is unknown".into(),
                },
                1..4 => Input::OpenLog {
                    build,
                    step,
                    name: (*self.rng.pick(&["stdio", "test.log", "test log", "9"])).into(),
                    kind: LogKind::Text,
                },
                _ => {
                    for log in &assignment.logs {
                        if self.rng.chance(60) {
                            report.saves.push(LogSave {
                                log: log.id,
                                num_lines: log.num_lines + self.rng.below(10),
                                raw_bytes: log.raw_bytes + self.rng.below(500),
                                complete: self.rng.chance(20),
                                content: LogContent::File,
                            });
                        }
                    }
                    if self.rng.chance(30) {
                        report.state_string = Some("compiling".into());
                    }
                    if self.rng.chance(10) {
                        report.urls = Some(vec![StepUrl {
                            name: "report".into(),
                            url: "http://localhost/".into(),
                        }]);
                    }
                    if self.rng.chance(30) {
                        let got = format!("got{}", self.rng.below(3));
                        report.properties.set("got_revision", got, "git");
                    }
                    Input::StepProgress(report)
                }
            });
        }
        let results = if assignment.build.lost.is_some() {
            if self.rng.chance(90) {
                Results::Retry
            } else {
                Results::Success
            }
        } else if assignment.build.stop.is_some() {
            if self.rng.chance(80) {
                Results::Cancelled
            } else {
                Results::Success
            }
        } else {
            match self.rng.below(100) {
                0..58 => Results::Success,
                58..70 => Results::Failure,
                70..79 => Results::Warnings,
                79..84 => Results::Skipped,
                84..88 => Results::Exception,
                88..97 => Results::Retry,
                _ => Results::Cancelled,
            }
        };
        report.effects.push(EffectRecord {
            ordinal: 1_000_000,
            kind: "exec".into(),
            digest: String::new(),
            outcome: json!({"code": 0}),
        });
        Some(ended(report, results))
    }

    /// A step triggers others; or one that waits asks again, as after a restart.
    fn trigger(&mut self, build: &BuildRecord, step: StepId) -> Input {
        self.triggers += 1;
        let again = build.waits.as_ref().filter(|_| self.rng.chance(70));
        let ordinal = again.map_or(self.triggers, |waits| waits.ordinal);
        let names = ["w-trigger", "x-trigger", "s-force"];
        let names = match self.rng.below(20) {
            0 => &names[2..],
            1..8 => &names[..2],
            8..14 => &names[1..2],
            _ => &names[..1],
        };
        let wanted = names
            .iter()
            .map(|name| Wanted {
                scheduler: (*name).into(),
                sourcestamps: if self.rng.chance(70) {
                    vec![NewSourceStamp {
                        branch: Some("main".into()),
                        revision: Some("r1".into()),
                        repository: "repo".into(),
                        ..NewSourceStamp::default()
                    }]
                } else {
                    Vec::new()
                },
                properties: if self.rng.chance(30) {
                    let mut properties = Properties::new();
                    properties.set("ticket", self.rng.below(2), "Trigger");
                    properties
                } else {
                    Properties::new()
                },
            })
            .collect();
        Input::Trigger(Trigger {
            build: build.id,
            step,
            ordinal,
            digest: ordinal.to_string(),
            wanted,
            waits: self.rng.chance(75),
            relationship: "Triggered from".into(),
        })
    }

    /// A report of an attempt that is over, or of a step that is.
    fn stale(&mut self, state: &State) -> Input {
        if self.old_steps.is_empty() {
            return Input::Tick;
        }
        let (build, step) = *self.rng.pick(&self.old_steps);
        let running = state
            .assignment(build)
            .and_then(|assignment| assignment.step)
            .is_some_and(|running| running.id == step);
        if running {
            return Input::Tick;
        }
        let report = report(build, step);
        match self.rng.below(3) {
            0 => Input::StepProgress(report),
            1 => Input::OpenLog {
                build,
                step,
                name: "late".into(),
                kind: LogKind::Text,
            },
            _ => ended(report, Results::Success),
        }
    }
}

pub(crate) fn report(build: BuildId, step: StepId) -> StepReport {
    StepReport {
        build,
        step,
        effects: Vec::new(),
        saves: Vec::new(),
        properties: Properties::new(),
        state_string: None,
        urls: None,
    }
}

pub(crate) fn ended(report: StepReport, results: Results) -> Input {
    Input::StepEnded {
        report,
        outcome: StepOutcome {
            results,
            cause: None,
            state_string: results.word().into(),
            hidden: false,
        },
    }
}
