//! The trait that every step implements, and how a step ends.

use async_trait::async_trait;
use ironmaster_model::{Cause, Results};

use crate::{HostError, StepContext, params::ParamError};

/// One kind of step, with the parameters of one place in the configuration.
#[async_trait]
pub trait Step: Send + Sync {
    /// Runs it. An error ends the step as [`StepError`] says; a failing command is not an error.
    async fn run(&self, ctx: &mut StepContext<'_>) -> Result<StepEnd, StepError>;
}

/// How a step ended by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct StepEnd {
    /// Its result.
    pub results: Results,
    /// Why, where there is more to say.
    pub cause: Option<Cause>,
    /// For people, short.
    pub summary: String,
}

/// Why a step could not come to an end by itself.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StepError {
    /// The host cannot go on.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Its parameters make no sense for this build.
    #[error(transparent)]
    Params(#[from] ParamError),
}

impl StepEnd {
    /// A success.
    pub fn success(summary: impl Into<String>) -> Self {
        Self {
            results: Results::Success,
            cause: None,
            summary: summary.into(),
        }
    }
}

impl StepError {
    /// How a step ends that failed in this way.
    pub fn into_end(self, name: &str) -> StepEnd {
        match self {
            StepError::Host(HostError::Stopped { by, reason }) => StepEnd {
                results: Results::Cancelled,
                summary: format!("cancelled '{name}' ({reason})"),
                cause: Some(Cause::Cancelled { by, reason }),
            },
            StepError::Host(HostError::Lost { reason }) => StepEnd {
                results: Results::Retry,
                summary: format!("'{name}' was lost: {reason}"),
                cause: Some(Cause::Infrastructure { reason }),
            },
            StepError::Host(HostError::Refused { reason }) | StepError::Params(ParamError { reason, .. }) => {
                StepEnd {
                    results: Results::Exception,
                    summary: format!("'{name}' could not run: {reason}"),
                    cause: Some(Cause::Configuration { reason }),
                }
            }
        }
    }
}
