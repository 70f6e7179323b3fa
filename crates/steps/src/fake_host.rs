//! A host for tests that really runs commands, in a directory of its own.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use async_trait::async_trait;
use ironmaster_model::{
    BuildRequestId, BuilderId, BuildsetId, JobDef, Results, StepDef, StepFlags, StepUrl, Triggered, Wanted,
};
use ironmaster_wire::{FailureKind, MAX_PUT, Outcome, Verb};
use serde_json::{Value, json};

use crate::{
    CommandDone, HostError, LogStream, Output, StepContext, StepEnd, StepEnvironment, StepError, StepHost,
    TriggerRequest, make_step,
};

/// Runs each verb at once, here.
#[derive(Debug)]
pub(crate) struct FakeHost {
    pub(crate) basedir: PathBuf,
    pub(crate) environment: StepEnvironment,
    pub(crate) logs: BTreeMap<String, String>,
    pub(crate) pauses: Vec<Duration>,
    pub(crate) urls: Vec<StepUrl>,
    pub(crate) triggered: Vec<Wanted>,
    /// How what was triggered ends.
    pub(crate) results: BTreeMap<BuildsetId, Results>,
    pub(crate) added: Vec<JobDef>,
    /// What the step said that it was doing.
    pub(crate) states: Vec<String>,
    /// The master's files.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// What every pattern matches.
    pub(crate) matches: Vec<&'static str>,
    /// Why jobs are refused, if they are.
    pub(crate) refuses: Option<&'static str>,
    /// Called with each pause, so that a test can mend what was broken.
    pub(crate) on_pause: fn(&std::path::Path),
}

impl FakeHost {
    pub(crate) fn new(basedir: impl Into<PathBuf>) -> Self {
        let environment = StepEnvironment {
            builddir: "b".into(),
            ..StepEnvironment::default()
        };
        Self {
            basedir: basedir.into(),
            environment,
            logs: BTreeMap::new(),
            pauses: Vec::new(),
            urls: Vec::new(),
            triggered: Vec::new(),
            results: BTreeMap::new(),
            added: Vec::new(),
            states: Vec::new(),
            files: BTreeMap::new(),
            matches: Vec::new(),
            refuses: None,
            on_pause: |_| (),
        }
    }

    fn done(outcome: Outcome) -> CommandDone {
        CommandDone {
            outcome,
            duration_ms: 0,
            captured: Vec::new(),
            file_bytes: 0,
        }
    }

    fn file_result(result: std::io::Result<()>) -> CommandDone {
        Self::done(match result {
            Ok(()) => Outcome::Value { value: Value::Null },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Outcome::Failed {
                kind: FailureKind::NotFound,
                message: error.to_string(),
            },
            Err(error) => Outcome::Failed {
                kind: FailureKind::Io,
                message: error.to_string(),
            },
        })
    }
}

/// Makes a step of that kind, as a configuration would, and runs it.
pub(crate) async fn run(host: &mut FakeHost, kind: &str, params: Value) -> Result<StepEnd, StepError> {
    let definition = StepDef {
        name: kind.into(),
        kind: kind.into(),
        params: params.as_object().expect("a table").clone(),
        flags: StepFlags::default(),
        logs: vec!["stdio".into()],
        locks: Vec::new(),
    };
    let step = make_step(&definition).expect("there is such a step");
    step.run(&mut StepContext::new(host)).await
}

#[async_trait]
impl StepHost for FakeHost {
    fn environment(&self) -> &StepEnvironment {
        &self.environment
    }

    async fn command(&mut self, _ordinal: u32, verb: Verb, output: Output) -> Result<CommandDone, HostError> {
        let exec = match verb {
            Verb::Exec(exec) => exec,
            Verb::Stat { path } => {
                return Ok(match std::fs::symlink_metadata(self.basedir.join(path)) {
                    Ok(found) => {
                        let kind = match found.file_type() {
                            kind if kind.is_file() => "file",
                            kind if kind.is_dir() => "dir",
                            _ => "symlink",
                        };
                        Self::done(Outcome::Value {
                            value: json!({ "type": kind }),
                        })
                    }
                    Err(error) => Self::file_result(Err(error)),
                });
            }
            Verb::Remove { path } => {
                let path = self.basedir.join(path);
                let result = if path.is_dir() {
                    std::fs::remove_dir_all(path)
                } else {
                    std::fs::remove_file(path)
                };
                return Ok(Self::file_result(result.or_else(|error| match error.kind() {
                    std::io::ErrorKind::NotFound => Ok(()),
                    _ => Err(error),
                })));
            }
            Verb::Put(put) => {
                let path = self.basedir.join(put.path);
                let mut file = OpenOptions::new();
                file.write(true)
                    .create(true)
                    .truncate(put.offset == 0)
                    .mode(put.mode);
                let written = file
                    .open(path)
                    .and_then(|file| file.write_all_at(&put.content, put.offset));
                return Ok(Self::file_result(written));
            }
            Verb::Mkdir { path } => {
                return Ok(Self::file_result(std::fs::create_dir_all(
                    self.basedir.join(path),
                )));
            }
            Verb::Copy { from, to } => {
                let (from, to) = (self.basedir.join(from), self.basedir.join(to));
                return Ok(Self::file_result(std::fs::copy(from, to).map(drop)));
            }
            Verb::Glob { .. } => {
                let names = self.matches.iter().map(|name| Value::from(*name)).collect();
                return Ok(Self::done(Outcome::Value { value: names }));
            }
            Verb::Get { path, max_bytes } => {
                return Ok(match std::fs::read(self.basedir.join(&path)) {
                    Ok(bytes) if bytes.len() as u64 > max_bytes => Self::done(Outcome::Failed {
                        kind: FailureKind::Invalid,
                        message: format!(
                            "{path} has {} bytes, more than the limit of {max_bytes}",
                            bytes.len()
                        ),
                    }),
                    Ok(bytes) => {
                        let mut done = Self::file_result(Ok(()));
                        if let Output::File { path, .. } = output {
                            done.file_bytes = bytes.len() as u64;
                            self.files.insert(path, bytes);
                        } else {
                            done.captured = bytes;
                        }
                        done
                    }
                    Err(error) => Self::file_result(Err(error)),
                });
            }
            other => unreachable!("no step uses {other:?} yet"),
        };
        let workdir = self.basedir.join(&exec.workdir);
        std::fs::create_dir_all(&workdir).expect("a directory below the test's own");
        let mut command = Command::new(&exec.argv[0]);
        command.args(&exec.argv[1..]).current_dir(workdir);
        for (name, value) in &exec.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let result = match command.output() {
            Ok(result) => result,
            Err(error) => {
                return Ok(Self::done(Outcome::StartFailed {
                    message: error.to_string(),
                }));
            }
        };
        let (log, capture) = match output {
            Output::Log(log) => (Some(log), false),
            Output::Logs { log, files } => {
                for (name, file) in files.iter().zip(&exec.log_files) {
                    let text = std::fs::read_to_string(self.basedir.join(&file.path)).unwrap_or_default();
                    self.logs.entry(name.clone()).or_default().push_str(&text);
                }
                (Some(log), false)
            }
            Output::Capture(_) => (None, true),
            Output::Both(log, _) => (Some(log), true),
            Output::File { .. } => unreachable!("no step wants what a program prints in a file"),
        };
        if let Some(log) = log {
            let text = self.logs.entry(log).or_default();
            text.push_str(&String::from_utf8_lossy(&result.stdout));
            text.push_str(&String::from_utf8_lossy(&result.stderr));
        }
        Ok(CommandDone {
            outcome: Outcome::Exit {
                code: result.status.code().expect("no test's command dies of a signal"),
            },
            duration_ms: 0,
            captured: if capture { result.stdout } else { Vec::new() },
            file_bytes: 0,
        })
    }

    async fn write_log(
        &mut self,
        _ordinal: u32,
        log: &str,
        _stream: LogStream,
        text: &str,
    ) -> Result<(), HostError> {
        self.logs.entry(log.into()).or_default().push_str(text);
        Ok(())
    }

    async fn read_file(&mut self, path: &str, offset: u64) -> Result<Vec<u8>, HostError> {
        let Some(bytes) = self.files.get(path) else {
            return Err(HostError::Refused {
                reason: format!("there is no file {path}"),
            });
        };
        let from = usize::try_from(offset).expect("files of tests are small");
        Ok(bytes[from..].iter().copied().take(MAX_PUT).collect())
    }

    async fn trigger(&mut self, _ordinal: u32, request: TriggerRequest) -> Result<Vec<Triggered>, HostError> {
        let first = self.triggered.len() as u64 + 1;
        let triggered = std::iter::zip(first.., &request.wanted)
            .map(|(id, wanted)| Triggered {
                scheduler: wanted.scheduler.clone(),
                buildset: BuildsetId(id),
                requests: BTreeMap::from([(BuilderId(1), BuildRequestId(id))]),
            })
            .collect();
        self.triggered.extend(request.wanted);
        Ok(triggered)
    }

    async fn triggered_results(&mut self, _ordinal: u32) -> Result<BTreeMap<BuildsetId, Results>, HostError> {
        Ok(self.results.clone())
    }

    async fn add_jobs(&mut self, _ordinal: u32, jobs: Vec<JobDef>) -> Result<usize, HostError> {
        if let Some(reason) = self.refuses {
            return Err(HostError::Refused {
                reason: reason.to_owned(),
            });
        }
        self.added.extend(jobs);
        Ok(self.added.len())
    }

    async fn pause(&mut self, time: Duration) -> Result<(), HostError> {
        self.pauses.push(time);
        (self.on_pause)(&self.basedir);
        Ok(())
    }

    fn set_property(&mut self, name: &str, value: Value, source: &str) -> Result<(), HostError> {
        let set = self.environment.properties.try_set(name, value, source);
        set.map_err(|error| HostError::Refused {
            reason: error.to_string(),
        })
    }

    async fn set_state(&mut self, text: &str) -> Result<(), HostError> {
        self.states.push(text.to_owned());
        Ok(())
    }

    fn add_url(&mut self, url: StepUrl) {
        self.urls.push(url);
    }
}
