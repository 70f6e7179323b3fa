//! What is kept on record of a step's requests, so that a replay is answered from it.

use ironmaster_model::{EffectRecord, JobDef};
use ironmaster_steps::{CommandDone, HostError, TriggerRequest};
use ironmaster_wire::Outcome;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// An outcome as it is kept on record.
#[derive(Serialize, Deserialize)]
pub(super) struct Recorded {
    pub(super) outcome: Outcome,
    pub(super) duration_ms: u64,
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        with = "ironmaster_wire::base64_text"
    )]
    pub(super) captured: Vec<u8>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) file_bytes: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl From<Recorded> for CommandDone {
    fn from(recorded: Recorded) -> Self {
        Self {
            outcome: recorded.outcome,
            duration_ms: recorded.duration_ms,
            captured: recorded.captured,
            file_bytes: recorded.file_bytes,
        }
    }
}

/// Identifies a request to trigger.
pub(super) fn request_digest(request: &TriggerRequest) -> String {
    digest(request)
}

/// Identifies jobs.
pub(super) fn jobs_digest(jobs: &[JobDef]) -> String {
    digest(jobs)
}

fn digest<T: Serialize + ?Sized>(request: &T) -> String {
    // Fields have a fixed order and the maps are sorted, so that equal requests have equal texts.
    let json = serde_json::to_vec(request).expect("a request has only texts, numbers and JSON");
    hex::encode(Sha256::digest(json))
}

/// The answer to a command on record, if it is one to this request.
pub(super) fn answer(effect: &EffectRecord, digest: &str) -> Result<CommandDone, HostError> {
    Ok(on_record::<Recorded>(effect, digest)?.into())
}

/// What is on record, if it came of this request.
pub(super) fn on_record<T: serde::de::DeserializeOwned>(
    effect: &EffectRecord,
    digest: &str,
) -> Result<T, HostError> {
    if effect.digest != digest {
        return Err(HostError::Lost {
            reason: format!(
                "request {} of the step is not the one that was made before the master restarted (another version of \
                 the program, or a step that does not ask for the same things in the same order)",
                effect.ordinal
            ),
        });
    }
    serde_json::from_value(effect.outcome.clone()).map_err(|error| HostError::Lost {
        reason: format!("the outcome on record cannot be read: {error}"),
    })
}
