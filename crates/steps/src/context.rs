//! What step code holds: numbered requests, and the helpers that most steps want.

use std::collections::BTreeMap;

use ironmaster_model::{BuildsetId, JobDef, Results, StepUrl, Triggered};
use ironmaster_wire::{Verb, Welcome};
use serde_json::Value;

use crate::{CommandDone, HostError, LogStream, Output, StepEnvironment, StepHost, TriggerRequest};

/// So much may a command print, of all streams together, whose output is captured, in bytes. The worker has to keep all of it, as a
/// replay needs it from its first byte on; what does not fit into the worker's window would never arrive, nor would the command's end.
pub const CAPTURED_OUTPUT_MAX: u64 = Welcome::WINDOW_BYTES / 2;

/// The world, as one running step may use it.
pub struct StepContext<'a> {
    host: &'a mut dyn StepHost,
    next_ordinal: u32,
}

impl<'a> StepContext<'a> {
    /// For a step that begins, or begins again.
    pub fn new(host: &'a mut dyn StepHost) -> Self {
        Self {
            host,
            next_ordinal: 0,
        }
    }

    /// What the step knows of its build.
    pub fn environment(&self) -> &StepEnvironment {
        self.host.environment()
    }

    /// Runs a command on the worker. One whose output is captured is ended if it prints more than [`CAPTURED_OUTPUT_MAX`].
    pub async fn command(&mut self, mut verb: Verb, output: Output) -> Result<CommandDone, HostError> {
        if let (Verb::Exec(exec), Output::Capture(_) | Output::Both(..)) = (&mut verb, &output) {
            let max = exec.max_output_bytes.unwrap_or(CAPTURED_OUTPUT_MAX);
            exec.max_output_bytes = Some(max.min(CAPTURED_OUTPUT_MAX));
        }
        let ordinal = self.ordinal();
        self.host.command(ordinal, verb, output).await
    }

    /// Writes one header line to a log; the newline is added.
    pub async fn header(&mut self, log: &str, line: &str) -> Result<(), HostError> {
        let ordinal = self.ordinal();
        let mut text = line.replace('\n', " ");
        text.push('\n');
        self.host.write_log(ordinal, log, LogStream::Header, &text).await
    }

    /// Writes lines of errors to a log, at most 64 KiB of them.
    pub async fn errors(&mut self, log: &str, text: &str) -> Result<(), HostError> {
        const BYTES_MAX: usize = 64 * 1024;
        let ordinal = self.ordinal();
        let mut shown = text[..text.floor_char_boundary(BYTES_MAX)].to_owned();
        if shown.len() < text.len() {
            shown.push_str("\n…\n");
        }
        self.host.write_log(ordinal, log, LogStream::Stderr, &shown).await
    }

    /// Reads a piece of a file of the master; see [`StepHost::read_file`].
    pub async fn read_file(&mut self, path: &str, offset: u64) -> Result<Vec<u8>, HostError> {
        self.host.read_file(path, offset).await
    }

    /// Adds jobs to the run that the build is a job of; gives their number. Refused, none is added.
    pub async fn add_jobs(&mut self, jobs: Vec<JobDef>) -> Result<usize, HostError> {
        let ordinal = self.ordinal();
        self.host.add_jobs(ordinal, jobs).await
    }

    /// Has triggerable schedulers start builds. Gives the number under which their results can be waited for.
    pub async fn trigger(&mut self, request: TriggerRequest) -> Result<(u32, Vec<Triggered>), HostError> {
        let ordinal = self.ordinal();
        let triggered = self.host.trigger(ordinal, request).await?;
        Ok((ordinal, triggered))
    }

    /// Waits for what was triggered under that number.
    pub async fn triggered_results(
        &mut self,
        ordinal: u32,
    ) -> Result<BTreeMap<BuildsetId, Results>, HostError> {
        self.host.triggered_results(ordinal).await
    }

    /// Waits.
    pub async fn pause(&mut self, time: std::time::Duration) -> Result<(), HostError> {
        self.host.pause(time).await
    }

    /// Sets a property of the build; refused if it is too large, badly named or one too many.
    pub fn set_property(
        &mut self,
        name: &str,
        value: impl Into<Value>,
        source: &str,
    ) -> Result<(), HostError> {
        self.host.set_property(name, value.into(), source)
    }

    /// Says what the step is doing.
    pub async fn set_state(&mut self, text: &str) -> Result<(), HostError> {
        self.host.set_state(text).await
    }

    /// Adds a link.
    pub fn add_url(&mut self, name: &str, url: &str) {
        self.host.add_url(StepUrl {
            name: name.into(),
            url: url.into(),
        });
    }

    /// A path below the build's directory, from one that the configuration gave.
    pub fn path(&self, relative: &str) -> String {
        let builddir = &self.environment().builddir;
        match relative.trim_matches('/') {
            "" | "." => builddir.clone(),
            rest => format!("{builddir}/{rest}"),
        }
    }

    /// Whether the worker runs Windows.
    pub fn on_windows(&self) -> bool {
        self.environment().worker.facts.get("os").and_then(Value::as_str) == Some("windows")
    }

    fn ordinal(&mut self) -> u32 {
        let ordinal = self.next_ordinal;
        self.next_ordinal += 1;
        ordinal
    }
}

impl std::fmt::Debug for StepContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StepContext")
            .field("next_ordinal", &self.next_ordinal)
            .finish_non_exhaustive()
    }
}
