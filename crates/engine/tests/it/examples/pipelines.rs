//! Pipelines: which job starts when, and what becomes of the run. Here is what the examples are tried with; they stand below.

mod approval;
mod children;
mod endings;
mod needs;

use std::sync::Arc;

use ironmaster_engine::RetrySource;
use ironmaster_model::{
    Cause, JobDef, JobId, JobState, NewSourceStamp, PipelineDef, PipelineJobRecord, PipelineRunRecord, RunId,
    RunState,
    pipeline::{
        ApprovalDef, AxisDef, ConcurrencyDef, ConditionDef, FailureClass, JobWork, NeedsOn, RetryDef,
        WhenFull,
    },
};

use super::*;

fn job(name: &str, needs: &[&str]) -> JobDef {
    JobDef {
        name: name.into(),
        work: JobWork::Build { builder: "a".into() },
        needs: needs.iter().map(|need| (*need).to_owned()).collect(),
        ..JobDef::default()
    }
}

fn gate(name: &str, needs: &[&str]) -> JobDef {
    JobDef {
        work: JobWork::Gate,
        ..job(name, needs)
    }
}

/// A master with a worker that has room for everything, builder `a` with one step, and these pipelines.
struct Lab {
    ci: Bench,
    rows: BTreeMap<RunId, PipelineRunRecord>,
    jobs: BTreeMap<JobId, PipelineJobRecord>,
    /// Whose each buildset is, in order.
    tried: Vec<Option<JobId>>,
}

impl Lab {
    fn new(pipelines: Vec<PipelineDef>) -> Self {
        let mut ci = Bench::new();
        ci.plan.workers.insert("w".into(), worker("w", 50));
        ci.plan.pipelines = pipelines
            .into_iter()
            .map(|pipeline| (pipeline.name.clone(), Arc::new(pipeline)))
            .collect();
        ci.configure();
        Self {
            ci,
            rows: BTreeMap::new(),
            jobs: BTreeMap::new(),
            tried: Vec::new(),
        }
    }

    fn of(jobs: Vec<JobDef>) -> Self {
        Self::new(vec![pipeline("p", jobs)])
    }

    /// Does something, and keeps what becomes of runs and jobs.
    fn ok(&mut self, input: Input) {
        let events = self.ci.ok(input);
        self.note(&events);
    }

    fn note(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::RunCreated { run } => {
                    self.rows.insert(run.id, (**run).clone());
                }
                Event::BuildsetCreated { buildset } => self.tried.push(buildset.job),
                Event::JobsAdded { jobs, needs, .. } => {
                    self.jobs.extend(jobs.iter().map(|job| (job.id, job.clone())));
                    for (job, needs) in needs {
                        self.jobs.get_mut(job).unwrap().needs.clone_from(needs);
                    }
                }
                Event::JobMoved { job, progress, .. } => {
                    self.jobs.get_mut(job).unwrap().progress = progress.clone();
                }
                Event::RunMoved { run, progress } => {
                    self.rows.get_mut(run).unwrap().progress = progress.clone();
                }
                _ => {}
            }
        }
    }

    fn start(&mut self, pipeline: &str) -> RunId {
        self.start_on(pipeline, Some("main"))
    }

    fn start_on(&mut self, pipeline: &str, branch: Option<&str>) -> RunId {
        let before = self.rows.len();
        self.ok(Input::StartRun {
            pipeline: pipeline.into(),
            sourcestamps: vec![NewSourceStamp {
                branch: branch.map(str::to_owned),
                ..NewSourceStamp::default()
            }],
            properties: Properties::new(),
            by: "ann".into(),
            reason: "to see".into(),
        });
        // It may have started others.
        *self.rows.keys().nth(before).unwrap()
    }

    fn job(&self, run: RunId, name: &str) -> &PipelineJobRecord {
        self.jobs
            .values()
            .find(|job| job.run == run && job.name == name)
            .unwrap_or_else(|| panic!("no job {name} in run {run}"))
    }

    fn state(&self, run: RunId, name: &str) -> JobState {
        self.job(run, name).progress.state
    }

    fn results(&self, run: RunId) -> Option<Results> {
        self.rows[&run].progress.results
    }

    /// Ends the running build of a job, with properties that it has set.
    fn end_with(
        &mut self,
        run: RunId,
        name: &str,
        results: Results,
        cause: Option<Cause>,
        properties: Properties,
    ) {
        let request = self
            .job(run, name)
            .progress
            .request
            .expect("it has asked for a build");
        let build = self
            .ci
            .running()
            .into_iter()
            .find(|build| build.request == request)
            .unwrap_or_else(|| panic!("{name} is being built"))
            .id;
        let step = self.ci.state.assignment(build).unwrap().step.unwrap().id;
        self.ok(Input::StepEnded {
            report: StepReport {
                build,
                step,
                effects: Vec::new(),
                saves: Vec::new(),
                properties,
                state_string: None,
                urls: None,
            },
            outcome: StepOutcome {
                results,
                cause,
                state_string: String::new(),
                hidden: false,
            },
        });
    }

    fn end(&mut self, run: RunId, name: &str, results: Results) {
        self.end_with(run, name, results, None, Properties::new());
    }

    fn retry_source(&self, run: RunId) -> Box<RetrySource> {
        Box::new(RetrySource {
            run: self.rows[&run].clone(),
            sourcestamps: vec![NewSourceStamp::default()],
            jobs: self.jobs.values().filter(|job| job.run == run).cloned().collect(),
        })
    }
}

fn pipeline(name: &str, jobs: Vec<JobDef>) -> PipelineDef {
    PipelineDef {
        name: name.into(),
        jobs,
        ..PipelineDef::default()
    }
}
