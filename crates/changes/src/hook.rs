//! The generic change hook: form fields in, a change out.

use ironmaster_engine::NewChange;

/// Why a hook's form is not a change. The text is for whoever sent it (status 400).
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct HookError(String);

/// Reads the fields of `/change_hook/base` (query and body together, in that order; of several values for one
/// name the first counts).
pub fn parse_base(form: &[(String, String)]) -> Result<NewChange, HookError> {
    let _ = form;
    Err(HookError("not yet".into()))
}
