//! How things ended.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Buildbot's result codes. The set is closed: clients know exactly these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
#[repr(u8)]
pub enum Results {
    /// All went well.
    Success = 0,
    /// It went well, but something deserves a look.
    Warnings = 1,
    /// The user's code is at fault.
    Failure = 2,
    /// There was nothing to do.
    Skipped = 3,
    /// The CI system or its configuration is at fault.
    Exception = 4,
    /// The attempt was lost; the request is tried again.
    Retry = 5,
    /// Somebody stopped it.
    Cancelled = 6,
}

impl Results {
    /// Every result, by code.
    pub const ALL: [Results; 7] = [
        Results::Success,
        Results::Warnings,
        Results::Failure,
        Results::Skipped,
        Results::Exception,
        Results::Retry,
        Results::Cancelled,
    ];

    /// The numeric code that REST v2 shows.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The word for it, in lower case.
    pub const fn word(self) -> &'static str {
        match self {
            Results::Success => "success",
            Results::Warnings => "warnings",
            Results::Failure => "failure",
            Results::Skipped => "skipped",
            Results::Exception => "exception",
            Results::Retry => "retry",
            Results::Cancelled => "cancelled",
        }
    }

    /// How bad it is: cancelled, retry, exception, failure, warnings, success, skipped, worst first
    /// (Buildbot's order for overall results).
    const fn badness(self) -> u8 {
        match self {
            Results::Cancelled => 6,
            Results::Retry => 5,
            Results::Exception => 4,
            Results::Failure => 3,
            Results::Warnings => 2,
            Results::Success => 1,
            Results::Skipped => 0,
        }
    }

    /// The worse of two, for overall results.
    #[must_use]
    pub const fn worst(self, other: Results) -> Results {
        if other.badness() > self.badness() {
            other
        } else {
            self
        }
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl From<Results> for u8 {
    fn from(results: Results) -> u8 {
        results.code()
    }
}

impl TryFrom<u8> for Results {
    type Error = String;
    fn try_from(code: u8) -> Result<Self, String> {
        Results::ALL
            .get(usize::from(code))
            .copied()
            .ok_or_else(|| format!("{code} is not a result code (0 to 6)"))
    }
}

/// Why something ended as it did. Beside the closed [`Results`] this set is open: readers show what they
/// do not know by its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cause {
    /// Machines or connections failed, not the user's code.
    Infrastructure {
        /// What happened, for people.
        reason: String,
    },
    /// A command exited with this code.
    ExitCode {
        /// The code, non-zero.
        code: i32,
    },
    /// A command was ended by this signal.
    Signal {
        /// The POSIX signal number.
        signal: i32,
    },
    /// A command said nothing for too long, or ran for too long.
    Timeout {
        /// `silence` or `total`.
        limit: String,
    },
    /// Somebody or something cancelled it.
    Cancelled {
        /// Who.
        by: String,
        /// Why, in their words.
        reason: String,
    },
    /// The request was merged into another one that builds the same.
    Collapsed {
        /// The request that is built instead.
        into: crate::BuildRequestId,
    },
    /// The definition or the step itself is wrong.
    Configuration {
        /// What is wrong, for people.
        reason: String,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Infrastructure { reason } => write!(f, "infrastructure: {reason}"),
            Cause::ExitCode { code } => write!(f, "exit code {code}"),
            Cause::Signal { signal } => write!(f, "signal {signal}"),
            Cause::Timeout { limit } => write!(f, "timeout ({limit})"),
            Cause::Cancelled { by, reason } => write!(f, "cancelled by {by}: {reason}"),
            Cause::Collapsed { into } => write!(f, "merged into build request {into}"),
            Cause::Configuration { reason } => write!(f, "configuration: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_buildbots() {
        for (code, results) in Results::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(results.code()), code);
            assert_eq!(Results::try_from(results.code()), Ok(results));
        }
        assert!(Results::try_from(7).is_err());
    }

    #[test]
    fn worst_follows_buildbots_order() {
        use Results::{Cancelled, Exception, Failure, Retry, Skipped, Success, Warnings};
        let order = [Cancelled, Retry, Exception, Failure, Warnings, Success, Skipped];
        for (i, worse) in order.into_iter().enumerate() {
            for better in &order[i..] {
                assert_eq!(worse.worst(*better), worse);
                assert_eq!(better.worst(worse), worse);
            }
        }
    }
}
