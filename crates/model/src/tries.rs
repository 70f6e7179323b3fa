//! What the configuration says of try schedulers.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::PbSecret;

/// Where a try scheduler has its jobs from; the API is always one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TryDef {
    /// A maildir that jobs are dropped into; absolute if the configuration's own path was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobdir: Option<PathBuf>,
    /// SHA-256 (hex) of the password of each user who may call this scheduler without any other permission. The passwords
    /// themselves are never kept.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub users: BTreeMap<String, String>,
    /// The same passwords, as the login of Perspective Broker needs them.
    #[serde(skip)]
    pub pb_users: BTreeMap<String, PbSecret>,
}
