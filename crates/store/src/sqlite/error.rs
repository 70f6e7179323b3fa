//! Sorts SQLite's errors into ours.

use rusqlite::{Error, ErrorCode, ffi};

use crate::error::{CommitError, StoreError};

/// A failed read.
pub(super) fn reading(source: Error) -> StoreError {
    StoreError::Database {
        action: "be read",
        source: source.into(),
    }
}

/// A failed write, after which the transaction was rolled back.
pub(super) fn writing(action: &'static str, source: Error) -> CommitError {
    match code(&source) {
        // SQLite reports a full disk, a quota and its own page limit alike.
        Some(ErrorCode::DiskFull) => CommitError::NoSpace,
        Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch) => {
            CommitError::Rejected {
                reason: "a value does not fit the table".into(),
                source: Some(source.into()),
            }
        }
        // Everything else: I/O errors (a failed sync above all: what the disk holds is unknown then), a damaged or
        // read-only file, no memory, a lock that another program does not give back.
        _ => CommitError::Fatal {
            action,
            source: source.into(),
        },
    }
}

fn code(error: &Error) -> Option<ErrorCode> {
    match error {
        Error::SqliteFailure(ffi::Error { code, .. }, _) => Some(*code),
        _ => None,
    }
}

pub(super) fn is_foreign_file(error: &Error) -> bool {
    code(error) == Some(ErrorCode::NotADatabase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(extended: std::ffi::c_int) -> Error {
        Error::SqliteFailure(ffi::Error::new(extended), None)
    }

    #[test]
    fn errors_are_sorted_by_what_to_do() {
        for (extended, expected) in [
            (ffi::SQLITE_FULL, "no space"),
            (ffi::SQLITE_IOERR_FSYNC, "fatal"),
            (ffi::SQLITE_IOERR_WRITE, "fatal"),
            (ffi::SQLITE_IOERR_SHORT_READ, "fatal"),
            (ffi::SQLITE_CORRUPT, "fatal"),
            (ffi::SQLITE_READONLY, "fatal"),
            (ffi::SQLITE_BUSY, "fatal"),
            (ffi::SQLITE_NOMEM, "fatal"),
            (ffi::SQLITE_CONSTRAINT_UNIQUE, "rejected"),
            (ffi::SQLITE_CONSTRAINT_FOREIGNKEY, "rejected"),
            (ffi::SQLITE_CONSTRAINT_DATATYPE, "rejected"),
            (ffi::SQLITE_TOOBIG, "rejected"),
        ] {
            let sorted = match writing("commit", failure(extended)) {
                CommitError::NoSpace => "no space",
                CommitError::Fatal { .. } => "fatal",
                CommitError::Unknown { .. } | CommitError::Unreachable { .. } => "network",
                CommitError::Rejected { .. } => "rejected",
            };
            assert_eq!(sorted, expected, "{}", ffi::code_to_str(extended));
        }
    }
}
