//! Sorts PostgreSQL's errors into ours.

use std::error::Error as _;

use tokio_postgres::{Error, error::SqlState};

use super::PostgresAddress;
use crate::error::{BoxError, CommitError, StoreError};

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// The server or the connection is gone, or refuses for now: nothing has happened, try again later.
    Gone,
    /// The server's disk is full.
    Full,
    /// Values contradict the tables.
    Misfit,
    /// Anything else.
    Broken,
}

pub(super) fn sort(error: &Error) -> Sort {
    if let Some(code) = error.code() {
        return sort_code(code);
    }
    let io = matches!(error.source(), Some(source) if source.is::<std::io::Error>());
    // Without a code it was not the server that complained. A value that cannot be encoded is our own mistake; whatever else
    // goes wrong on the way ends the connection.
    if io || error.is_closed() || error.source().is_none() {
        Sort::Gone
    } else {
        Sort::Broken
    }
}

fn sort_code(code: &SqlState) -> Sort {
    if *code == SqlState::DISK_FULL {
        return Sort::Full;
    }
    // A server that has become a standby, an administrator who cancelled something.
    if [SqlState::READ_ONLY_SQL_TRANSACTION, SqlState::LOCK_NOT_AVAILABLE].contains(code) {
        return Sort::Gone;
    }
    match code.code().get(..2) {
        // Connection, resources, intervention of an administrator, serialisation.
        Some("08" | "53" | "57" | "40") => Sort::Gone,
        Some("22" | "23") => Sort::Misfit,
        _ => Sort::Broken,
    }
}

/// Whether the server has said that a commit failed. Otherwise it may have happened.
pub(super) fn surely_not_committed(error: &Error) -> bool {
    // A server that goes down says so in place of an answer.
    error
        .as_db_error()
        .is_some_and(|error| error.severity() == "ERROR" && !error.code().code().starts_with("57"))
}

/// A failed read.
pub(super) fn reading(address: &PostgresAddress, source: Error) -> StoreError {
    match sort(&source) {
        Sort::Gone => unreachable(address, source),
        _ => StoreError::Database {
            action: "be read",
            source: source.into(),
        },
    }
}

pub(super) fn unreachable(address: &PostgresAddress, source: impl Into<BoxError>) -> StoreError {
    StoreError::Unreachable {
        database: address.to_string(),
        source: source.into(),
    }
}

/// A failed write, after which the transaction is rolled back.
pub(super) fn writing(source: Error) -> CommitError {
    match sort(&source) {
        Sort::Gone => CommitError::Unreachable {
            source: source.into(),
        },
        Sort::Full => CommitError::NoSpace,
        Sort::Misfit => CommitError::Rejected {
            reason: "a value does not fit the table".into(),
            source: Some(source.into()),
        },
        Sort::Broken => CommitError::Fatal {
            action: "be written",
            source: source.into(),
        },
    }
}

/// A connection that could not be had for writing.
pub(super) fn connecting(error: StoreError) -> CommitError {
    match error {
        error @ StoreError::Unreachable { .. } => CommitError::Unreachable { source: error.into() },
        error => CommitError::Fatal {
            action: "be written",
            source: error.into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sorted_by_what_to_do() {
        for (code, expected) in [
            ("53100", Sort::Full),
            ("53300", Sort::Gone),
            ("57P01", Sort::Gone),
            ("57P03", Sort::Gone),
            ("08006", Sort::Gone),
            ("25006", Sort::Gone),
            ("40001", Sort::Gone),
            ("23505", Sort::Misfit),
            ("23503", Sort::Misfit),
            ("22003", Sort::Misfit),
            ("42501", Sort::Broken),
            ("42P01", Sort::Broken),
            ("58030", Sort::Broken),
            ("XX001", Sort::Broken),
        ] {
            assert_eq!(sort_code(&SqlState::from_code(code)), expected, "{code}");
        }
    }
}
