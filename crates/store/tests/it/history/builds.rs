//! Builds, their steps and logs.

use ironmaster_model::{
    BuildId, BuildRecord, BuildRequestId, BuilderId, BuildsetId, Cause, Counter, EffectRecord, Event,
    LogContent, LogId, LogKind, LogRecord, LogSave, Properties, Results, StepId, StepRecord, StepUrl,
    Triggered, Waits, WorkerId,
};
use serde_json::json;

use super::{History, MASTER, Running};

impl History {
    pub(super) fn begin_build(&mut self) {
        let queued = self.queued();
        if queued.is_empty() {
            return self.add_work();
        }
        let request = self.pick(&queued);
        let workers: Vec<WorkerId> = self.workers.iter().map(|worker| worker.id).collect();
        let worker = self.pick(&workers);
        self.start_build(request, worker);
    }

    pub(super) fn start_build(&mut self, request: BuildRequestId, worker: WorkerId) {
        let id = BuildId(self.id(Counter::Build));
        let (builder, attempt) = {
            let entry = self.requests.get_mut(&request).expect("it is there");
            entry.1 += 1;
            entry.2 = Some(id);
            (entry.0, entry.1)
        };
        let record = self
            .builders
            .iter_mut()
            .find(|record| record.id == builder)
            .expect("it is there");
        let number = record.next_number;
        record.next_number += 1;
        let mut properties = Properties::new();
        properties.set("buildnumber", number, "Build");
        properties.set("workername", format!("worker-{worker}"), "Worker");
        let build = BuildRecord {
            id,
            number,
            builder,
            request,
            attempt,
            worker,
            instance: "0123456789abcdef".into(),
            slot: self.below(4) as u32,
            master: MASTER,
            config: self.config.clone(),
            started_at: self.at(),
            complete_at: None,
            results: None,
            cause: None,
            state_string: "starting".into(),
            properties,
            stop: None,
            lost: None,
            waits: None,
        };
        self.emit(Event::BuildStarted { build, chosen: false });
        self.builds.push(Running {
            id,
            builder,
            worker,
            request,
            steps: 0,
            step: None,
            logs: Vec::new(),
        });
    }

    pub(super) fn work_on_build(&mut self) {
        if self.builds.is_empty() {
            return self.begin_build();
        }
        let index = self.below(self.builds.len() as u64) as usize;
        let build = self.builds[index].id;
        let Some((step, _)) = self.builds[index].step else {
            if self.chance(70) {
                self.start_step(index);
            } else {
                let results = self.pick(&Results::ALL);
                self.end_build(index, results, None);
            }
            return;
        };
        match self.below(13) {
            12 => self.wait_or_resume(index),
            0 => {
                let mut properties = Properties::new();
                let names = ["got_revision", "a", "b\"c", "é", "nest"];
                properties.set(
                    self.pick(&names),
                    json!({"n": [self.below(9), null, {"k": "v"}]}),
                    "Git",
                );
                properties.set("workername", json!(null), "Step");
                self.emit(Event::PropertiesSet { build, properties });
            }
            1 => self.emit(Event::BuildStopRequested {
                build,
                by: "me".into(),
                reason: "enough".into(),
            }),
            2 => self.emit(Event::BuildLost {
                build,
                reason: "its worker was restarted".into(),
            }),
            3 => {
                let urls = vec![StepUrl {
                    name: "report".into(),
                    url: format!("https://example.org/{step}"),
                }];
                self.emit(Event::StepUpdated {
                    step,
                    build,
                    state_string: "working".into(),
                    urls,
                });
            }
            4 => self.open_log(index),
            5 | 6 => self.save_log(index),
            7 | 8 => {
                let ordinal = self.builds[index].step.as_mut().map_or(0, |(_, ordinal)| {
                    *ordinal += 2;
                    *ordinal - 2
                });
                let effects = (ordinal..ordinal + 2)
                    .map(|ordinal| EffectRecord {
                        ordinal,
                        kind: "exec".into(),
                        digest: format!("{ordinal:064x}"),
                        outcome: json!({"exit": 0}),
                    })
                    .collect();
                self.emit(Event::EffectsRecorded { build, step, effects });
            }
            _ => {
                let results = self.pick(&Results::ALL);
                self.finish_step(index, results);
            }
        }
    }

    /// The running step begins to wait, hears of an end, or goes on.
    fn wait_or_resume(&mut self, index: usize) {
        let build = self.builds[index].id;
        let Some((step, ordinal)) = self.builds[index].step else {
            return;
        };
        if self.chance(50) {
            let triggered = (1..3)
                .map(|n| Triggered {
                    scheduler: format!("children \"{n}\""),
                    buildset: BuildsetId(1000 + n),
                    requests: [(BuilderId(1), BuildRequestId(1000 + n))].into(),
                })
                .collect();
            let over = if self.chance(50) {
                [(BuildsetId(1001), Results::Failure)].into()
            } else {
                [].into()
            };
            let waits = Waits {
                ordinal,
                digest: "00ff".into(),
                triggered,
                over,
            };
            self.emit(Event::BuildWaits { build, waits });
        } else {
            self.builds[index].step = Some((step, ordinal + 1));
            let effect = EffectRecord {
                ordinal,
                kind: "trigger".into(),
                digest: "00ff".into(),
                outcome: json!({"triggered": [], "results": []}),
            };
            self.emit(Event::BuildResumed { build, step, effect });
        }
    }

    pub(super) fn start_step(&mut self, index: usize) {
        let id = StepId(self.id(Counter::Step));
        let build = self.builds[index].id;
        let number = self.builds[index].steps;
        self.builds[index].steps += 1;
        let log = LogId(self.id(Counter::Log));
        let step = StepRecord {
            id,
            build,
            number,
            definition: number,
            name: format!("step-{number}"),
            started_at: self.at(),
            // Some have no locks, some get theirs, some end before that.
            locks_acquired_at: number.is_multiple_of(3).then(|| self.at()),
            complete_at: None,
            results: None,
            cause: None,
            state_string: "running".into(),
            urls: Vec::new(),
            hidden: false,
        };
        self.emit(Event::StepStarted {
            step,
            logs: vec![LogRecord {
                id: log,
                step: id,
                build,
                name: "stdio".into(),
                slug: "stdio".into(),
                kind: LogKind::Stdio,
                complete: false,
                num_lines: 0,
                raw_bytes: 0,
            }],
        });
        if number % 3 == 1 {
            self.emit(Event::StepLocksAcquired {
                step: id,
                build,
                state_string: "running".into(),
            });
        }
        self.builds[index].step = Some((id, 0));
        self.builds[index].logs = vec![(log, false)];
    }

    fn open_log(&mut self, index: usize) {
        let id = LogId(self.id(Counter::Log));
        let Some((step, _)) = self.builds[index].step else {
            return;
        };
        let build = self.builds[index].id;
        let number = self.builds[index].logs.len();
        let kind = self.pick(&[LogKind::Text, LogKind::Html]);
        self.emit(Event::LogOpened {
            log: LogRecord {
                id,
                step,
                build,
                name: format!("log {number}"),
                slug: format!("log_{number}"),
                kind,
                complete: false,
                num_lines: 0,
                raw_bytes: 0,
            },
        });
        self.builds[index].logs.push((id, false));
    }

    fn save_log(&mut self, index: usize) {
        let Some((log, _)) = self.builds[index]
            .logs
            .iter()
            .copied()
            .find(|(_, complete)| !complete)
        else {
            return;
        };
        let complete = self.chance(30);
        let save = self.save(log, complete);
        let build = self.builds[index].id;
        self.emit(Event::LogsSaved {
            build,
            saves: vec![save],
        });
        for entry in &mut self.builds[index].logs {
            if entry.0 == log {
                entry.1 = complete;
            }
        }
    }

    fn save(&mut self, log: LogId, complete: bool) -> LogSave {
        let lines = self.below(50);
        LogSave {
            log,
            num_lines: lines,
            raw_bytes: lines * 20,
            complete,
            content: if self.chance(50) {
                LogContent::Inline(vec![b'o'; lines as usize])
            } else {
                LogContent::File
            },
        }
    }

    pub(super) fn finish_step(&mut self, index: usize, results: Results) {
        let Some((step, _)) = self.builds[index].step.take() else {
            return;
        };
        let build = self.builds[index].id;
        let open: Vec<LogId> = self.builds[index]
            .logs
            .drain(..)
            .filter(|(_, complete)| !complete)
            .map(|(log, _)| log)
            .collect();
        if !open.is_empty() {
            let saves = open.into_iter().map(|log| self.save(log, true)).collect();
            self.emit(Event::LogsSaved { build, saves });
        }
        let cause = (results == Results::Failure).then_some(Cause::ExitCode { code: 2 });
        self.emit(Event::StepFinished {
            step,
            build,
            results,
            cause,
            state_string: format!("done ({})", results.word()),
            urls: Vec::new(),
            hidden: results == Results::Skipped,
        });
    }

    pub(super) fn end_build(&mut self, index: usize, results: Results, then: Option<Results>) {
        let running = self.builds.remove(index);
        let cause = (results == Results::Exception).then(|| Cause::Infrastructure {
            reason: "the disk of the worker is full".into(),
        });
        self.emit(Event::BuildFinished {
            build: running.id,
            builder: running.builder,
            worker: running.worker,
            results,
            cause: cause.clone(),
            state_string: format!("build {}", results.word()),
        });
        self.finished.push(running.id);
        if results == Results::Retry && then.is_none() {
            self.requests.get_mut(&running.request).expect("it is there").2 = None;
            self.emit(Event::RequestRequeued {
                request: running.request,
            });
        } else {
            self.complete_request(running.request, results, cause);
        }
    }
}
