//! The name of a command: which build, which step, which effect of that step.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Names one command for ever, over reconnects and restarts of either side. Written `build.step.ordinal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId {
    /// The build's id.
    pub build: u64,
    /// The step's number within its build.
    pub step: u32,
    /// The number of the effect within its step, in program order.
    pub ordinal: u32,
}

/// A text that is no [`CommandId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a command id is three numbers, such as 12.3.0")]
pub struct InvalidCommandId;

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.build, self.step, self.ordinal)
    }
}

/// Only the form that `Display` writes is accepted (no sign, no leading zero), so that an id has one spelling.
impl FromStr for CommandId {
    type Err = InvalidCommandId;

    fn from_str(text: &str) -> Result<Self, InvalidCommandId> {
        fn number<T: FromStr>(part: Option<&str>) -> Result<T, InvalidCommandId> {
            let part = part.ok_or(InvalidCommandId)?;
            let canonical = part == "0" || part.starts_with(|first: char| ('1'..='9').contains(&first));
            if canonical {
                part.parse().map_err(|_| InvalidCommandId)
            } else {
                Err(InvalidCommandId)
            }
        }
        let mut parts = text.split('.');
        let id = Self {
            build: number(parts.next())?,
            step: number(parts.next())?,
            ordinal: number(parts.next())?,
        };
        if parts.next().is_some() {
            Err(InvalidCommandId)
        } else {
            Ok(id)
        }
    }
}

impl Serialize for CommandId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CommandId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_spelling_is_an_id() {
        let id = CommandId {
            build: 12,
            step: 3,
            ordinal: 0,
        };
        assert_eq!(id.to_string(), "12.3.0");
        assert_eq!("12.3.0".parse(), Ok(id));
        for bad in [
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "01.2.3",
            "+1.2.3",
            "1.2.-3",
            "1..3",
            "1.2.4294967296",
            " 1.2.3",
        ] {
            assert_eq!(bad.parse::<CommandId>(), Err(InvalidCommandId), "{bad:?}");
        }
    }
}
