//! A host for tests that really runs commands, in a directory of its own.

use std::{collections::BTreeMap, path::PathBuf, process::Command, time::Duration};

use async_trait::async_trait;
use ironmaster_model::{BuildRequestId, BuilderId, BuildsetId, JobDef, Results, StepUrl, Triggered, Wanted};
use ironmaster_wire::{FailureKind, Outcome, Verb};
use serde_json::Value;

use crate::{CommandDone, HostError, LogStream, Output, StepEnvironment, StepHost, TriggerRequest};

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
            refuses: None,
            on_pause: |_| (),
        }
    }

    fn done(outcome: Outcome) -> CommandDone {
        CommandDone {
            outcome,
            duration_ms: 0,
            captured: Vec::new(),
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

#[async_trait]
impl StepHost for FakeHost {
    fn environment(&self) -> &StepEnvironment {
        &self.environment
    }

    async fn command(&mut self, _ordinal: u32, verb: Verb, output: Output) -> Result<CommandDone, HostError> {
        let exec = match verb {
            Verb::Exec(exec) => exec,
            Verb::Stat { path } => {
                return Ok(Self::file_result(
                    std::fs::metadata(self.basedir.join(path)).map(drop),
                ));
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
                return Ok(Self::file_result(std::fs::write(
                    self.basedir.join(put.path),
                    put.content,
                )));
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
                    Ok(captured) => CommandDone {
                        captured,
                        ..Self::file_result(Ok(()))
                    },
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

    fn set_property(&mut self, name: &str, value: Value, source: &str) {
        self.environment.properties.set(name, value, source);
    }

    async fn set_state(&mut self, _text: &str) -> Result<(), HostError> {
        Ok(())
    }

    fn add_url(&mut self, url: StepUrl) {
        self.urls.push(url);
    }
}
