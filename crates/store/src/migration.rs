//! Steps of the schema, and whether a database has exactly this program's.

use sha2::{Digest, Sha256};

use crate::error::StoreError;

/// One step of the schema.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Migration {
    pub(crate) version: u32,
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
}

/// The newest version that was applied (versions with their checksums, in order), after comparing all checksums.
pub(crate) fn compare(applied: Vec<(u32, String)>, migrations: &[Migration]) -> Result<u32, StoreError> {
    let known = newest(migrations);
    let found = applied.last().map_or(0, |(version, _)| *version);
    if found > known {
        return Err(StoreError::NewerSchema { found, known });
    }
    for (version, stored) in applied {
        let Some(migration) = migrations.iter().find(|migration| migration.version == version) else {
            continue;
        };
        let expected = checksum(migration.sql);
        if stored != expected {
            return Err(StoreError::Altered {
                version,
                name: migration.name.into(),
                expected,
                found: stored,
            });
        }
    }
    Ok(found)
}

/// The version that a database of this program has.
pub(crate) fn newest(migrations: &[Migration]) -> u32 {
    migrations.last().map_or(0, |migration| migration.version)
}

/// What is kept of a script that was applied.
pub(crate) fn checksum(sql: &str) -> String {
    // A checkout with other line ends is the same script.
    hex::encode(Sha256::digest(sql.replace("\r\n", "\n").as_bytes()))
}
