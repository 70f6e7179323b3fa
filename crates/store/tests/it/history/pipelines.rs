//! Runs of pipelines in a history.

use std::sync::Arc;

use ironmaster_model::{
    BuildRequestId, Cause, Counter, Event, JobDef, JobId, JobProgress, JobState, PipelineDef, PipelineId,
    PipelineJobRecord, PipelineRecord, PipelineRunRecord, Properties, Results, RunId, RunProblem,
    RunProgress, RunSource, RunState,
    pipeline::{AddedBy, JobWork},
};
use serde_json::json;

use super::History;

/// A run that goes on.
pub(super) struct Going {
    run: PipelineRunRecord,
    jobs: Vec<PipelineJobRecord>,
}

impl History {
    pub(super) fn pipelines(&mut self) {
        if self.pipelines.len() < 2 || self.chance(10) {
            self.set_pipeline();
        } else if self.runs.is_empty() || (self.runs.len() < 4 && self.chance(30)) {
            self.create_run();
        } else {
            self.go_on();
        }
    }

    fn set_pipeline(&mut self) {
        let fresh = self.pipelines.len() < 3;
        if fresh {
            let id = PipelineId(self.id(Counter::Pipeline));
            self.pipelines.push(PipelineRecord {
                id,
                name: format!("pipeline {id}"),
                description: None,
                project: String::new(),
                active: true,
            });
        }
        // A new one is told of: runs refer to it.
        let index = if fresh {
            self.pipelines.len() - 1
        } else {
            self.below(self.pipelines.len() as u64) as usize
        };
        let active = self.chance(80);
        let described = self.chance(50);
        let pipeline = &mut self.pipelines[index];
        pipeline.active = active;
        pipeline.description = described.then(|| format!("makes *{}*", pipeline.name));
        pipeline.project = if described { "zlib".into() } else { String::new() };
        let pipeline = pipeline.clone();
        self.emit(Event::PipelineSet { pipeline });
    }

    fn create_run(&mut self) {
        let id = RunId(self.id(Counter::Run));
        let mut stamps = vec![self.add_stamp()];
        if self.chance(30) {
            stamps.push(self.add_stamp());
        }
        let pipelines: Vec<PipelineId> = self.pipelines.iter().map(|pipeline| pipeline.id).collect();
        let mut properties = Properties::new();
        properties.set("scheduler", "nightly", "Scheduler");
        let changes = self.changes.iter().rev().take(2).copied().collect();
        let in_repository = self.chance(40);
        let run = PipelineRunRecord {
            id,
            pipeline: self.pick(&pipelines),
            definition: Arc::new(PipelineDef {
                name: "release".into(),
                ..PipelineDef::default()
            }),
            scheduler: "nightly".into(),
            reason: "it is late".into(),
            sourcestamps: stamps,
            changes,
            files: self.chance(50).then(|| vec!["src/a \"b\".rs".into()]),
            properties,
            priority: self.below(5).cast_signed() - 2,
            parent: self.chance(20).then_some(JobId(1)),
            depth: self.below(3) as u32,
            retried: self.chance(20).then_some(RunId(1)),
            group: self.chance(50).then(|| "deploy".into()),
            supersedes: self.chance(50).then(|| "main".into()),
            trusted: !in_repository,
            source: in_repository.then(|| RunSource {
                file: ".ironmaster.toml".into(),
                repository: "https://git.example.org/a".into(),
                branch: Some("main".into()),
                asked_at: self.at(),
                ..RunSource::default()
            }),
            created_at: self.at(),
            progress: RunProgress {
                state: if in_repository {
                    RunState::Defining
                } else {
                    RunState::Queued
                },
                why: self.chance(50).then(|| "it waits for its turn".into()),
                ..RunProgress::default()
            },
        };
        self.emit(Event::RunCreated {
            run: Box::new(run.clone()),
        });
        let mut going = Going {
            run,
            jobs: Vec::new(),
        };
        if !in_repository {
            self.first_jobs(&mut going);
        }
        self.runs.push(going);
    }

    fn first_jobs(&mut self, going: &mut Going) {
        let id = going.run.id;
        let count = 1 + self.below(4) as u32;
        let jobs: Vec<PipelineJobRecord> = (0..count).map(|number| self.job(id, number, None)).collect();
        going.jobs.clone_from(&jobs);
        self.emit(Event::JobsAdded {
            run: id,
            jobs,
            needs: Vec::new(),
        });
    }

    /// A job has found out what the newest is.
    fn pin(&mut self, going: &mut Going) {
        let stamp = self.add_stamp();
        going.run.sourcestamps = vec![stamp];
        self.emit(Event::RunPinned {
            run: going.run.id,
            sourcestamps: going.run.sourcestamps.clone(),
        });
    }

    /// The file of the repository was read, or it is asked for once more, or it is of no use.
    fn define(&mut self, going: &mut Going) {
        let good = self.chance(70);
        if good {
            let stamp = self.add_stamp();
            going.run.sourcestamps = vec![stamp];
            going.run.trusted = self.chance(50);
            Arc::make_mut(&mut going.run.definition).description = Some("from \u{1} the repository".into());
        }
        let at = self.at();
        let bad = !good && self.chance(50);
        if let Some(source) = &mut going.run.source {
            source.asked_at = at;
            source.revision = good.then(|| "0123abc".into());
            source.problem = bad.then(|| RunProblem {
                summary: "it has 1 error".into(),
                text: "error: \n  ^ here \"é\"".into(),
                findings: vec![json!({"code": "syntax"})],
            });
        }
        self.emit(Event::RunDefined {
            run: going.run.id,
            trusted: going.run.trusted,
            sourcestamps: going.run.sourcestamps.clone(),
            source: going.run.source.clone().unwrap_or_default(),
            definition: going.run.definition.clone(),
        });
        if good {
            going.run.progress.state = RunState::Queued;
            self.run_moved(going);
            self.first_jobs(going);
        } else if bad {
            going.run.progress.state = RunState::Complete;
            going.run.progress.complete_at = Some(at);
            going.run.progress.results = Some(Results::Exception);
            self.run_moved(going);
        }
    }

    fn job(&mut self, run: RunId, number: u32, added_by: Option<AddedBy>) -> PipelineJobRecord {
        let id = JobId(self.id(Counter::Job));
        PipelineJobRecord {
            id,
            run,
            number,
            name: format!("test (linux, {number})"),
            group: "test".into(),
            matrix: [("os".to_owned(), json!("linux")), ("n".to_owned(), json!(number))].into(),
            definition: Arc::new(JobDef {
                name: "test".into(),
                work: JobWork::Build {
                    builder: "builder 1".into(),
                },
                ..JobDef::default()
            }),
            needs: (0..number).filter(|_| self.chance(40)).collect(),
            added_by,
            progress: JobProgress::default(),
        }
    }

    fn go_on(&mut self) {
        let index = self.below(self.runs.len() as u64) as usize;
        let mut going = self.runs.swap_remove(index);
        let at = self.at();
        if going.run.progress.state == RunState::Defining {
            self.define(&mut going);
            if going.run.progress.state != RunState::Complete {
                self.runs.push(going);
            }
            return;
        }
        if self.chance(20) {
            self.pin(&mut going);
        }
        if going.run.progress.state == RunState::Queued {
            going.run.progress = RunProgress {
                state: RunState::Running,
                started_at: Some(at),
                ..RunProgress::default()
            };
            self.run_moved(&going);
        } else if self.chance(10) {
            going.run.progress.state = RunState::Stopping;
            going.run.progress.stop = Some(("me".into(), "enough".into()));
            self.run_moved(&going);
        } else if self.chance(15) && going.jobs.len() < 8 {
            let by = AddedBy {
                job: 0,
                key: "1.2.3".into(),
            };
            let number = going.jobs.len() as u32;
            let job = self.job(going.run.id, number, Some(by));
            let waiting = going
                .jobs
                .iter_mut()
                .find(|job| job.progress.state == JobState::Waiting);
            let needs = waiting.map(|job| {
                job.needs.push(number);
                (job.id, job.needs.clone())
            });
            going.jobs.push(job.clone());
            self.emit(Event::JobsAdded {
                run: going.run.id,
                jobs: vec![job],
                needs: needs.into_iter().collect(),
            });
        }
        self.move_job(&mut going);
        if going.jobs.iter().all(|job| job.progress.state.is_over()) {
            going.run.progress.state = RunState::Complete;
            going.run.progress.complete_at = Some(at);
            going.run.progress.results = Some(Results::Warnings);
            self.run_moved(&going);
        } else {
            self.runs.push(going);
        }
    }

    fn run_moved(&mut self, going: &Going) {
        self.emit(Event::RunMoved {
            run: going.run.id,
            progress: going.run.progress.clone(),
        });
    }

    fn move_job(&mut self, going: &mut Going) {
        let at = self.at();
        let open = going.jobs.iter().position(|job| !job.progress.state.is_over());
        let Some(number) = open else { return };
        let mut progress = going.jobs[number].progress.clone();
        progress.state = match (progress.state, self.below(10)) {
            (JobState::Waiting, 0) => JobState::AwaitingApproval,
            (JobState::Waiting, 1) => JobState::Skipped,
            (JobState::AwaitingApproval, 0) => JobState::Expired,
            (JobState::Waiting | JobState::AwaitingApproval, _) => JobState::Queued,
            (JobState::Queued, _) => JobState::Running,
            _ => JobState::Complete,
        };
        match progress.state {
            JobState::Queued => {
                progress.attempts += 1;
                progress.queued_at = Some(at);
                progress.approved_by = self.chance(50).then(|| "ann".into());
                let requests: Vec<BuildRequestId> = self.requests.keys().copied().collect();
                if !requests.is_empty() {
                    progress.request = Some(self.pick(&requests));
                }
            }
            JobState::Running => {
                progress.started_at = Some(at);
                progress.child = self.chance(20).then_some(RunId(1));
                progress.timed_out = self.chance(20);
            }
            JobState::Complete => {
                progress.results = Some(Results::Failure);
                progress.cause = Some(Cause::ExitCode { code: 2 });
                progress.outputs.set("version", "1.2 é", "test");
                let sets: Vec<_> = self.buildsets.iter().map(|(set, _)| *set).collect();
                if !sets.is_empty() {
                    progress.buildset = Some(self.pick(&sets));
                }
            }
            JobState::Skipped => {
                progress.results = Some(Results::Skipped);
                progress.why = Some("it was not needed".into());
            }
            JobState::Expired => progress.results = Some(Results::Exception),
            JobState::Waiting | JobState::AwaitingApproval => {}
        }
        if progress.state.is_over() {
            progress.complete_at = Some(at);
        }
        going.jobs[number].progress = progress.clone();
        self.emit(Event::JobMoved {
            run: going.run.id,
            job: going.jobs[number].id,
            progress,
        });
    }
}
