//! Builds that ask for other builds, and may wait for them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{BuildRequestId, BuilderId, BuildsetId, NewSourceStamp, Properties, Results};

/// One scheduler that a step triggers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// The triggerable scheduler's name.
    pub scheduler: String,
    /// What is built; empty = what the scheduler says, the newest.
    pub sourcestamps: Vec<NewSourceStamp>,
    /// Properties on top of the scheduler's.
    pub properties: Properties,
}

/// What a triggerable scheduler started for a build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Triggered {
    /// The scheduler's name.
    pub scheduler: String,
    /// The buildset.
    pub buildset: BuildsetId,
    /// Its requests, by builder.
    #[serde(with = "pairs")]
    pub requests: BTreeMap<BuilderId, BuildRequestId>,
}

/// What the running step of a build waits for, while the build's slot is given back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waits {
    /// Place of the request to trigger in the step's program order.
    pub ordinal: u32,
    /// SHA-256 (hex) of that request.
    pub digest: String,
    /// What was started.
    pub triggered: Vec<Triggered>,
    /// Buildsets that are over, with how they ended.
    #[serde(with = "pairs")]
    pub over: BTreeMap<BuildsetId, Results>,
}

impl Waits {
    /// Buildsets that are not over.
    pub fn open(&self) -> impl Iterator<Item = BuildsetId> + '_ {
        self.triggered
            .iter()
            .map(|triggered| triggered.buildset)
            .filter(|buildset| !self.over.contains_key(buildset))
    }
}

/// What came of a request to trigger, as it is kept on record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TriggerOutcome {
    /// What was started.
    pub triggered: Vec<Triggered>,
    /// How it ended, if the step waited.
    #[serde(with = "pairs")]
    pub results: BTreeMap<BuildsetId, Results>,
}

/// A map as a list of pairs: keys of a JSON object are texts, and ids inside an event do not come back from texts.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<K, V, S>(map: &BTreeMap<K, V>, serializer: S) -> Result<S::Ok, S::Error>
    where
        K: Serialize,
        V: Serialize,
        S: Serializer,
    {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(deserializer)?.into_iter().collect())
    }
}
