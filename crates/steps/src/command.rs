//! From how a command ended to how its step ends.

use ironmaster_model::{Cause, Results};
use ironmaster_wire::{FailureKind, Outcome, TimeoutKind};

use crate::{HostError, StepError};

/// What a command's outcome means for its step.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandResult {
    /// The result.
    pub results: Results,
    /// Why, where there is more to say.
    pub cause: Option<Cause>,
    /// One line for the log, such as `exit code 2`.
    pub line: String,
}

/// See [`CAPTURED_OUTPUT_MAX`](crate::CAPTURED_OUTPUT_MAX).
const OUTPUT_LIMIT: &str =
    "more than the step allows (`max_output`; 2 MiB in all where the output is captured)";

impl CommandResult {
    /// Reads an outcome. `warn_codes` are exit codes that mean warnings.
    ///
    /// An interrupted command becomes [`HostError::Stopped`], one that the worker gave up [`HostError::Lost`].
    pub fn read(outcome: &Outcome, warn_codes: &[i32]) -> Result<Self, StepError> {
        let failed = |cause: Cause, line: String| CommandResult {
            results: Results::Failure,
            cause: Some(cause),
            line,
        };
        Ok(match outcome {
            Outcome::Exit { code: 0 } => CommandResult {
                results: Results::Success,
                cause: None,
                line: "exit code 0".into(),
            },
            Outcome::Exit { code } if warn_codes.contains(code) => CommandResult {
                results: Results::Warnings,
                cause: Some(Cause::ExitCode { code: *code }),
                line: format!("exit code {code}, which means warnings"),
            },
            Outcome::Exit { code } => failed(Cause::ExitCode { code: *code }, format!("exit code {code}")),
            Outcome::Signal { signal } => failed(
                Cause::Signal { signal: *signal },
                format!("ended by signal {signal}"),
            ),
            Outcome::Timeout { kind, .. } => {
                let (limit, line) = match kind {
                    TimeoutKind::Silence => ("silence", "timed out: it printed nothing for too long"),
                    TimeoutKind::Total => ("total", "timed out: it ran for too long"),
                };
                failed(Cause::Timeout { limit: limit.into() }, line.into())
            }
            Outcome::OutputLimit => failed(
                Cause::Configuration {
                    reason: OUTPUT_LIMIT.into(),
                },
                format!("ended: it printed {OUTPUT_LIMIT}"),
            ),
            Outcome::Value { .. } => CommandResult {
                results: Results::Success,
                cause: None,
                line: "done".into(),
            },
            Outcome::StartFailed { message } => failed(
                Cause::Configuration {
                    reason: format!("the program could not be started: {message}"),
                },
                format!("could not be started: {message}"),
            ),
            Outcome::Failed {
                kind: FailureKind::NoSpace,
                message,
            } => {
                return Err(HostError::Lost {
                    reason: format!("the worker's disk is full: {message}"),
                }
                .into());
            }
            Outcome::Failed { message, .. } => failed(
                Cause::Configuration {
                    reason: message.clone(),
                },
                format!("failed: {message}"),
            ),
            Outcome::Interrupted { reason } => {
                return Err(HostError::Stopped {
                    by: "the master".into(),
                    reason: reason.clone(),
                }
                .into());
            }
            Outcome::LeaseExpired => {
                return Err(HostError::Lost {
                    reason: "the worker had not heard from its master for its lease and ended the command"
                        .into(),
                }
                .into());
            }
        })
    }
}
