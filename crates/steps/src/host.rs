//! What a step runs on: the boundary between step code and the master that drives it.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use ironmaster_model::{
    BuildsetId, JobDef, NewSourceStamp, Properties, Results, StepUrl, Triggered, Wanted, WorkerInfo,
};
use ironmaster_wire::{Outcome, Verb};
use serde::Serialize;
use serde_json::Value;

/// What a step knows of its build. It does not change while the step runs, apart from the properties.
#[derive(Clone, Debug, Default)]
pub struct StepEnvironment {
    /// Directory of this build on the worker, relative to the worker's base directory.
    pub builddir: String,
    /// Environment of every command, from the builder; `None` unsets a name. Not interpolated yet.
    pub env: BTreeMap<String, Option<String>>,
    /// Properties of the build.
    pub properties: Properties,
    /// What is built: one stamp a codebase.
    pub stamps: Vec<NewSourceStamp>,
    /// Name of the worker.
    pub worker_name: String,
    /// What the worker says of itself.
    pub worker: Arc<WorkerInfo>,
}

/// Where the output of a command goes.
#[derive(Clone, Debug)]
pub enum Output {
    /// Into the log of that name.
    Log(String),
    /// Into logs: what it prints into the first, each of its log files into one of the others, in their order.
    Logs {
        /// Of what it prints.
        log: String,
        /// Of the log files.
        files: Vec<String>,
    },
    /// Into memory, up to so many bytes; more fails the command.
    Capture(usize),
    /// Both: standard output and error into the log, standard output into memory too.
    Both(String, usize),
    /// Into a file of the master: complete or not at all.
    File {
        /// Its path below the master's folder for files; what is there is replaced.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
}

/// Who wrote to a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The CI system itself.
    Header,
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandDone {
    /// How it ended.
    pub outcome: Outcome,
    /// How long it ran, in milliseconds, as the worker measured it.
    pub duration_ms: u64,
    /// Captured standard output, if it was asked for.
    pub captured: Vec<u8>,
    /// Size of the file that was written, in bytes; 0 if none was.
    pub file_bytes: u64,
}

/// What a step triggers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TriggerRequest {
    /// What is to be started.
    pub wanted: Vec<Wanted>,
    /// Whether the step will ask for the results. Its slot is given back until they are there.
    pub waits: bool,
    /// How the builds are related to this one, for people.
    pub relationship: String,
}

/// Why the host cannot go on with a step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Somebody stopped the build.
    #[error("stopped by {by}: {reason}")]
    Stopped {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// The worker or the command is gone: this attempt cannot go on.
    #[error("{reason}")]
    Lost {
        /// What happened.
        reason: String,
    },
    /// What the step asked for is not possible (a request that is too large, captured output over its limit).
    #[error("{reason}")]
    Refused {
        /// Why, and what to do.
        reason: String,
    },
}

/// The master's side of a running step.
///
/// `ordinal` numbers requests and log writes together, in program order from 0; the host answers a number that it has
/// on record from the record.
#[async_trait]
pub trait StepHost: Send {
    /// What the step knows of its build.
    fn environment(&self) -> &StepEnvironment;

    /// Runs a command on the worker until it ends. A stop interrupts it, and its outcome says so.
    async fn command(&mut self, ordinal: u32, verb: Verb, output: Output) -> Result<CommandDone, HostError>;

    /// Appends whole lines to a log.
    async fn write_log(
        &mut self,
        ordinal: u32,
        log: &str,
        stream: LogStream,
        text: &str,
    ) -> Result<(), HostError>;

    /// Reads a piece of a file below the master's folder for files, at most [`MAX_PUT`](ironmaster_wire::MAX_PUT) bytes; nothing at
    /// its end. Not recorded: what is done with the bytes is, and shows if they have changed.
    async fn read_file(&mut self, path: &str, offset: u64) -> Result<Vec<u8>, HostError>;

    /// Has triggerable schedulers start builds.
    async fn trigger(&mut self, ordinal: u32, request: TriggerRequest) -> Result<Vec<Triggered>, HostError>;

    /// Waits for what was triggered under that ordinal, in a request that waits. A stop of the build stops what was triggered, and
    /// ends the waiting with it.
    async fn triggered_results(&mut self, ordinal: u32) -> Result<BTreeMap<BuildsetId, Results>, HostError>;

    /// Adds jobs to the run of a pipeline that the build is a job of; gives their number. Asked again after a restart, it answers the
    /// same and adds nothing.
    async fn add_jobs(&mut self, ordinal: u32, jobs: Vec<JobDef>) -> Result<usize, HostError>;

    /// Waits; a stop ends it early with [`HostError::Stopped`]. Not recorded: a replay may skip it.
    async fn pause(&mut self, time: std::time::Duration) -> Result<(), HostError>;

    /// Sets a property of the build; refused if it is too large, badly named or one too many.
    fn set_property(&mut self, name: &str, value: Value, source: &str) -> Result<(), HostError>;

    /// Says what the step is doing.
    async fn set_state(&mut self, text: &str) -> Result<(), HostError>;

    /// Adds a link.
    fn add_url(&mut self, url: StepUrl);
}
