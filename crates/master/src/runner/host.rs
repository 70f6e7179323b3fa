//! The master's side of a running step: answers its requests from the record, or carries them out.
//!
//! Order of truth: log durable, then outcome committed, then the worker told to forget. A crash between any two of
//! them leads back here with the same requests, and to the same answers.

mod follow;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use ironmaster_engine::{Input, Reply, StepReport, Trigger};
use ironmaster_logs::{LogWriter, Position, Stream};
use ironmaster_model::{
    BuildsetId, EffectRecord, JobDef, LogKind, LogRecord, Properties, Results, StepRecord, StepUrl,
    TriggerOutcome, Triggered,
};
use ironmaster_steps::{
    CommandDone, HostError, LogStream, Output, StepEnvironment, StepHost, TriggerRequest,
};
use ironmaster_store::StoreError;
use ironmaster_wire::{CommandId, Verb};
use serde_json::Value;
use tokio::{sync::watch, time::Instant};

use self::follow::{Sinks, in_place};
use super::{
    Control, Runner,
    record::{answer, jobs_digest, on_record, request_digest},
    step_logs::{FinishedLogs, Size, StepLogs},
};
use crate::{
    committer::{SubmitError, chain},
    crash,
    files::Reading,
    workers::WorkerLink,
};

/// Between two looks whether the database can be read again.
const RETRY: Duration = Duration::from_millis(500);

/// One running step.
#[derive(Debug)]
pub(super) struct Host {
    runner: Arc<Runner>,
    link: Arc<WorkerLink>,
    control: watch::Receiver<Control>,
    step: StepRecord,
    instance: String,
    environment: StepEnvironment,
    logs: StepLogs,
    /// Outcomes from before a restart.
    recorded: BTreeMap<u32, EffectRecord>,
    /// Outcomes that are not committed yet.
    effects: Vec<EffectRecord>,
    /// Properties that are not committed yet: they are with the step's end, so that a replay begins with the same ones.
    properties: Properties,
    urls: Option<Vec<StepUrl>>,
    /// The file of the master that the step reads: the same one to its end, also if another takes its place meanwhile.
    reading: Option<Reading>,
    /// Whether a stop of the build is meant for this step: not if it only began after it.
    heeds_stop: bool,
    /// Why an earlier process's part of the step cannot be taken up.
    broken: Option<String>,
}

impl Host {
    /// Readies a step that begins, or begins again after a restart.
    pub(super) async fn new(
        runner: Arc<Runner>,
        link: Arc<WorkerLink>,
        control: watch::Receiver<Control>,
        current: &Control,
        step: &StepRecord,
        resumed: bool,
    ) -> Self {
        let assignment = &current.assignment;
        let environment = StepEnvironment {
            builddir: assignment.workdir.clone(),
            env: assignment.builder.env.clone(),
            properties: assignment.build.properties.clone(),
            stamps: assignment
                .sourcestamps
                .iter()
                .map(|stamp| stamp.stamp.clone())
                .collect(),
            worker_name: assignment.worker_name.clone(),
            worker: current.worker.clone(),
        };
        let always_run = assignment
            .builder
            .steps
            .get(step.definition as usize)
            .is_some_and(|definition| definition.flags.always_run);
        let mut host = Self {
            runner,
            link,
            control,
            step: step.clone(),
            instance: assignment.build.instance.clone(),
            environment,
            logs: StepLogs::default(),
            recorded: BTreeMap::new(),
            effects: Vec::new(),
            properties: Properties::new(),
            urls: None,
            reading: None,
            heeds_stop: assignment.build.stop.is_none() || (resumed && !always_run),
            broken: None,
        };
        if resumed {
            if let Err(reason) = host.remember(assignment.logs.clone()).await {
                host.broken = Some(reason);
            }
        } else {
            for record in &assignment.logs {
                host.logs
                    .create(&host.runner.logs, &host.runner.live, record.clone());
            }
        }
        host
    }

    /// Reads what an earlier process of this master knew of the step.
    async fn remember(&mut self, records: Vec<LogRecord>) -> Result<(), String> {
        let (runner, step) = (self.runner.clone(), self.step.id);
        let mut logs = std::mem::take(&mut self.logs);
        // A database that is away for a while is no reason to give a build up.
        let effects = loop {
            let reader = runner.reader.clone();
            let read = tokio::task::spawn_blocking(move || reader.effects(step)).await;
            match read.map_err(|error| error.to_string())? {
                Err(StoreError::Unreachable { .. }) => tokio::time::sleep(RETRY).await,
                other => break other.map_err(|error| chain(&error))?,
            }
        };
        let read = tokio::task::spawn_blocking(move || {
            for record in records {
                logs.resume(&runner.logs, &runner.live, &runner.reader, record)
                    .map_err(|error| error.to_string())?;
            }
            Ok::<_, String>(logs)
        })
        .await;
        let logs = read.map_err(|error| error.to_string())??;
        self.recorded = effects
            .into_iter()
            .map(|effect| (effect.ordinal, effect))
            .collect();
        self.logs = logs;
        Ok(())
    }

    /// Why the step cannot be taken up after a restart, if it cannot.
    pub(super) fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// Ends the step: everything that its end has to make durable.
    pub(super) async fn finish(mut self) -> (StepReport, FinishedLogs, Option<HostError>) {
        let (saves, error) = match self.logs.save(true).await {
            Ok(saves) => (saves, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let report = StepReport {
            // The step's end forgets its effects: nothing will ask for them again.
            saves,
            properties: std::mem::take(&mut self.properties),
            urls: self.urls.take(),
            ..self.empty_report()
        };
        (
            report,
            FinishedLogs::new(self.runner.clone(), self.logs.ids().collect()),
            error,
        )
    }

    /// Commits the outcomes so far, so that neither the worker nor a replay needs them again.
    async fn checkpoint(&mut self) -> Result<(), HostError> {
        if self.effects.is_empty() {
            return Ok(());
        }
        let saves = self.logs.save(false).await?;
        let effects = std::mem::take(&mut self.effects);
        let done: Vec<u32> = effects.iter().map(|effect| effect.ordinal).collect();
        self.report(StepReport {
            effects,
            saves,
            ..self.empty_report()
        })
        .await?;
        crash::point("effects_committed");
        let (build, step) = (self.step.build.0, self.step.number);
        self.link
            .forget(|id| id.build == build && id.step == step && done.contains(&id.ordinal));
        Ok(())
    }

    fn empty_report(&self) -> StepReport {
        StepReport {
            build: self.step.build,
            step: self.step.id,
            effects: Vec::new(),
            saves: Vec::new(),
            properties: Properties::new(),
            state_string: None,
            urls: None,
        }
    }

    async fn report(&self, report: StepReport) -> Result<(), HostError> {
        match self
            .runner
            .committer
            .submit_fact(Input::StepProgress(report))
            .await
        {
            Ok(_) => Ok(()),
            Err(error) => Err(HostError::Lost {
                reason: error.to_string(),
            }),
        }
    }

    /// Why the step may not go on, if it may not.
    fn ended(&self) -> Option<HostError> {
        let control = self.control.borrow();
        let build = &control.assignment.build;
        if control.over {
            return Some(HostError::Lost {
                reason: "the build is over".into(),
            });
        }
        if let Some(reason) = &build.lost {
            return Some(HostError::Lost {
                reason: reason.clone(),
            });
        }
        match &build.stop {
            Some((by, reason)) if self.heeds_stop => Some(HostError::Stopped {
                by: by.clone(),
                reason: reason.clone(),
            }),
            _ => None,
        }
    }

    /// Hands in what the step asks of the engine; `point` is the instant at which that is committed and the step does not know.
    async fn ask(&self, input: Input, point: &'static str) -> Result<Reply, HostError> {
        let answer = self.runner.committer.submit_fact(input).await;
        crash::point(point);
        answer.map_err(|error| match error {
            // Most likely because of a stop, if there is one.
            SubmitError::Refused(refusal) => self.ended().unwrap_or(HostError::Refused {
                reason: refusal.to_string(),
            }),
            error => HostError::Lost {
                reason: error.to_string(),
            },
        })
    }

    async fn ensure_log(&mut self, name: &str) -> Result<(), HostError> {
        if self.logs.contains(name) {
            return Ok(());
        }
        let open = Input::OpenLog {
            build: self.step.build,
            step: self.step.id,
            name: name.into(),
            kind: LogKind::Text,
        };
        match self.runner.committer.submit_fact(open).await {
            Ok(Reply::Log(record)) => {
                self.logs.create(&self.runner.logs, &self.runner.live, record);
                Ok(())
            }
            Ok(other) => unreachable!("opening a log is answered with the log, not {other:?}"),
            Err(error) => Err(HostError::Lost {
                reason: error.to_string(),
            }),
        }
    }
}

#[async_trait]
impl StepHost for Host {
    fn environment(&self) -> &StepEnvironment {
        &self.environment
    }

    async fn command(&mut self, ordinal: u32, verb: Verb, output: Output) -> Result<CommandDone, HostError> {
        let digest = verb.digest();
        if let Some(effect) = self.recorded.get(&ordinal) {
            return answer(effect, &digest);
        }
        if let Some(error) = self.ended() {
            return Err(error);
        }
        self.checkpoint().await?;
        let id = CommandId {
            build: self.step.build.0,
            step: self.step.number,
            ordinal,
        };
        let mut sinks = Sinks::of(&output);
        for log in &sinks.logs {
            self.ensure_log(log).await?;
        }
        if let Output::File { path, mode } = &output {
            sinks.file = Some(in_place(|| self.runner.files.incoming(id, path, *mode))?);
        }
        let from = self.wanted_from(ordinal, &sinks);
        let kind = verb.name();
        crash::point("command_sent");
        let inbox = self.link.begin(id, &self.instance, verb, digest.clone(), from);
        // What has arrived of a file stays until the build is over: until the step's end is durable, a replay may ask for it.
        let recorded = self.follow(id, &inbox, &sinks).await?;
        let effect = EffectRecord {
            ordinal,
            kind: kind.into(),
            digest,
            outcome: serde_json::to_value(&recorded).unwrap_or(Value::Null),
        };
        self.effects.push(effect);
        if let Some(file) = &sinks.file {
            // Until then a replay needs it.
            self.checkpoint().await?;
            file.forget();
        }
        Ok(recorded.into())
    }

    async fn read_file(&mut self, path: &str, offset: u64) -> Result<Vec<u8>, HostError> {
        if self.reading.as_ref().is_none_or(|reading| !reading.is_of(path)) {
            self.reading = Some(in_place(|| Reading::begin(&self.runner.files, path))?);
        }
        let reading = self.reading.as_ref().expect("it was just begun");
        in_place(|| reading.piece(offset))
    }

    async fn write_log(
        &mut self,
        ordinal: u32,
        log: &str,
        stream: LogStream,
        text: &str,
    ) -> Result<(), HostError> {
        self.ensure_log(log).await?;
        let stream = match stream {
            LogStream::Stdout => Stream::Stdout,
            LogStream::Stderr => Stream::Stderr,
            LogStream::Header => Stream::Header,
        };
        let start = Position::new(ordinal, 0);
        let size = Size {
            bytes: text.len(),
            pieces: 1,
        };
        let write = |writer: &mut LogWriter| {
            writer.append(start, stream, text.as_bytes())?;
            writer.flush()
        };
        self.logs.write(log, size, write).await.map(drop)
    }

    async fn trigger(&mut self, ordinal: u32, request: TriggerRequest) -> Result<Vec<Triggered>, HostError> {
        let digest = request_digest(&request);
        if let Some(effect) = self.recorded.get(&ordinal) {
            return Ok(on_record::<TriggerOutcome>(effect, &digest)?.triggered);
        }
        if let Some(error) = self.ended() {
            return Err(error);
        }
        self.checkpoint().await?;
        let input = Input::Trigger(Trigger {
            build: self.step.build,
            step: self.step.id,
            ordinal,
            digest,
            wanted: request.wanted,
            waits: request.waits,
            relationship: request.relationship,
        });
        match self.ask(input, "triggered").await? {
            Reply::Triggered(triggered) => Ok(triggered),
            other => unreachable!("a trigger is answered with what it started, not {other:?}"),
        }
    }

    async fn triggered_results(&mut self, ordinal: u32) -> Result<BTreeMap<BuildsetId, Results>, HostError> {
        if let Some(effect) = self.recorded.get(&ordinal) {
            return Ok(on_record::<TriggerOutcome>(effect, &effect.digest)?.results);
        }
        loop {
            let resumed = self.control.borrow_and_update().resumed.clone();
            if let Some((_, effect)) =
                resumed.filter(|(step, effect)| *step == self.step.id && effect.ordinal == ordinal)
            {
                let outcome: TriggerOutcome = on_record(&effect, &effect.digest)?;
                // It was stopped, and what it waited for with it.
                return self.ended().map_or(Ok(outcome.results), Err);
            }
            if let Some(lost @ HostError::Lost { .. }) = self.ended() {
                return Err(lost);
            }
            if self.control.changed().await.is_err() {
                return Err(HostError::Lost {
                    reason: "the build is over".into(),
                });
            }
        }
    }

    async fn add_jobs(&mut self, ordinal: u32, jobs: Vec<JobDef>) -> Result<usize, HostError> {
        if let Some(error) = self.ended() {
            return Err(error);
        }
        // What the jobs were read from is on record before they are added: a replay asks for the same ones.
        self.checkpoint().await?;
        // Without the build's id: another attempt that asks for the same jobs finds them there.
        let key = format!("{}.{ordinal} {}", self.step.number, jobs_digest(&jobs));
        let build = self.step.build;
        match self
            .ask(Input::AddJobs { build, key, jobs }, "jobs_added")
            .await?
        {
            Reply::Added { jobs } => Ok(jobs),
            other => unreachable!("added jobs are answered with their number, not {other:?}"),
        }
    }

    async fn pause(&mut self, time: Duration) -> Result<(), HostError> {
        let until = Instant::now() + time;
        loop {
            if let Some(error) = self.ended() {
                return Err(error);
            }
            tokio::select! {
                () = tokio::time::sleep_until(until) => return Ok(()),
                changed = self.control.changed() => if changed.is_err() {
                    return Err(HostError::Lost { reason: "the build is over".into() });
                },
            }
        }
    }

    fn set_property(&mut self, name: &str, value: Value, source: &str) -> Result<(), HostError> {
        let set = self.environment.properties.try_set(name, value.clone(), source);
        set.map_err(|error| HostError::Refused {
            reason: error.to_string(),
        })?;
        self.properties.set(name, value, source);
        Ok(())
    }

    async fn set_state(&mut self, text: &str) -> Result<(), HostError> {
        self.report(StepReport {
            state_string: Some(text.into()),
            urls: self.urls.clone(),
            ..self.empty_report()
        })
        .await
    }

    fn add_url(&mut self, url: StepUrl) {
        let urls = self.urls.get_or_insert_with(|| self.step.urls.clone());
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
}
