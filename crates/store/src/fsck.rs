//! What a database must always satisfy.

use crate::{error::StoreError, reader::Reader};

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Where: a table and a row, such as `builds 12`.
    pub place: String,
    /// What is wrong, for people.
    pub what: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Odd, but nothing is lost.
    Warning,
    /// A promise is broken.
    Error,
}

/// Checks the whole database as of one moment, with a master at work on it or not; the work grows with history. Empty =
/// all is well.
///
/// It looks at the file itself (PostgreSQL sees to its own), at references between rows, at rows against the states that they stand for (a complete
/// buildset has only complete requests, a request at most one running build …), at counters against ids and at the
/// feed for gaps.
pub fn fsck(reader: &Reader) -> Result<Vec<Finding>, StoreError> {
    reader.check()
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{severity}: {}: {}", self.place, self.what)
    }
}
