//! Brings a database to this program's schema, or refuses it.
//!
//! Each script in `migrations/sqlite/` is applied once, in order, all in one exclusive transaction: two programs that start at
//! once do not meet, and a failed upgrade leaves nothing behind. The checksum of each applied script is kept; a script is
//! never edited after a release.

use std::path::Path;

use super::error::{is_foreign_file, reading};
use crate::{
    error::StoreError,
    migration::{Migration, checksum, compare, newest},
};
use rusqlite::{Connection, TransactionBehavior, params};

/// Marks a file as a database of Ironmaster ("IRON").
const APPLICATION_ID: i64 = 0x4952_4f4e;

/// All of them, by version from 1 without gaps.
pub(crate) const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "0001_first_tables",
    sql: include_str!("../../migrations/sqlite/0001_first_tables.sql"),
}];

/// Applies what is missing.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    migrations: &[Migration],
) -> Result<(), StoreError> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Exclusive)
        .map_err(|error| opening(path, error))?;
    let application: i64 = transaction
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(|error| opening(path, error))?;
    if application != APPLICATION_ID {
        let tables: i64 = transaction
            .query_row("select count(*) from sqlite_schema", [], |row| row.get(0))
            .map_err(|error| opening(path, error))?;
        if tables > 0 || application != 0 {
            return Err(StoreError::Foreign {
                database: path.display().to_string(),
            });
        }
        transaction
            .execute_batch(&format!(
                "pragma application_id = {APPLICATION_ID};
                 create table migrations (
                     version    integer primary key,
                     name       text    not null,
                     checksum   text    not null,
                     applied_at text    not null
                 ) strict;"
            ))
            .map_err(|error| opening(path, error))?;
    }
    let applied = check(&transaction, migrations)?;
    for migration in migrations.iter().filter(|migration| migration.version > applied) {
        transaction
            .execute_batch(migration.sql)
            .and_then(|()| {
                transaction.execute(
                    "insert into migrations (version, name, checksum, applied_at) \
                     values (?1, ?2, ?3, strftime('%Y-%m-%dT%H:%M:%SZ'))",
                    params![migration.version, migration.name, checksum(migration.sql)],
                )
            })
            .map_err(|source| StoreError::Migration {
                version: migration.version,
                name: migration.name.into(),
                source: source.into(),
            })?;
    }
    transaction.commit().map_err(|error| opening(path, error))
}

/// Refuses a database whose schema is not exactly this program's.
pub(super) fn verify(
    connection: &Connection,
    path: &Path,
    migrations: &[Migration],
) -> Result<(), StoreError> {
    let application: i64 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(|error| opening(path, error))?;
    if application != APPLICATION_ID {
        return Err(StoreError::Foreign {
            database: path.display().to_string(),
        });
    }
    let known = newest(migrations);
    let applied = check(connection, migrations)?;
    if applied < known {
        return Err(StoreError::OlderSchema {
            found: applied,
            known,
        });
    }
    Ok(())
}

/// The newest version that was applied, after comparing all checksums.
fn check(connection: &Connection, migrations: &[Migration]) -> Result<u32, StoreError> {
    let mut statement = connection
        .prepare("select version, checksum from migrations order by version")
        .map_err(reading)?;
    let mut rows = statement.query([]).map_err(reading)?;
    let mut applied: Vec<(u32, String)> = Vec::new();
    while let Some(row) = rows.next().map_err(reading)? {
        applied.push((row.get(0).map_err(reading)?, row.get(1).map_err(reading)?));
    }
    compare(applied, migrations)
}

fn opening(path: &Path, error: rusqlite::Error) -> StoreError {
    if is_foreign_file(&error) {
        return StoreError::Foreign {
            database: path.display().to_string(),
        };
    }
    StoreError::Open {
        database: path.display().to_string(),
        source: error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[Migration] = &[
        Migration {
            version: 1,
            name: "0001_one",
            sql: "create table one (id integer primary key) strict;",
        },
        Migration {
            version: 2,
            name: "0002_two",
            sql: "alter table one add column two text;",
        },
    ];

    fn schema(connection: &Connection) -> Vec<String> {
        let mut statement = connection
            .prepare("select name || ': ' || coalesce(sql, '') from sqlite_schema order by name")
            .unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    #[test]
    fn fresh_schema_is_the_sum_of_steps() {
        let path = Path::new("test");
        for migrations in [MIGRATIONS, TWO] {
            let mut fresh = Connection::open_in_memory().unwrap();
            migrate(&mut fresh, path, migrations).unwrap();
            let mut stepwise = Connection::open_in_memory().unwrap();
            for upto in 1..=migrations.len() {
                migrate(&mut stepwise, path, &migrations[..upto]).unwrap();
                verify(&stepwise, path, &migrations[..upto]).unwrap();
            }
            assert_eq!(schema(&fresh), schema(&stepwise));
            // Once more changes nothing.
            migrate(&mut stepwise, path, migrations).unwrap();
            assert_eq!(schema(&fresh), schema(&stepwise));
        }
    }

    #[test]
    fn versions_are_numbered_without_gaps() {
        for (number, migration) in (1..).zip(MIGRATIONS) {
            assert_eq!(migration.version, number);
            assert!(migration.name.starts_with(&format!("{number:04}_")));
        }
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, Path::new("test"), TWO).unwrap();
        let error = migrate(&mut connection, Path::new("test"), &TWO[..1]).unwrap_err();
        assert!(matches!(error, StoreError::NewerSchema { found: 2, known: 1 }));
        let text = error.to_string();
        assert!(text.contains("version 2") && text.contains("up to 1"), "{text}");
    }

    #[test]
    fn an_older_schema_is_not_read() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, Path::new("test"), &TWO[..1]).unwrap();
        let error = verify(&connection, Path::new("test"), TWO).unwrap_err();
        assert!(matches!(error, StoreError::OlderSchema { found: 1, known: 2 }));
    }

    #[test]
    fn an_altered_script_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, Path::new("test"), TWO).unwrap();
        let altered = [
            Migration {
                sql: "create table one (id integer primary key, more text) strict;",
                ..TWO[0]
            },
            TWO[1],
        ];
        let error = migrate(&mut connection, Path::new("test"), &altered).unwrap_err();
        assert!(matches!(error, StoreError::Altered { version: 1, .. }), "{error}");
    }

    #[test]
    fn a_failed_upgrade_leaves_nothing_behind() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, Path::new("test"), &TWO[..1]).unwrap();
        let before = schema(&connection);
        let broken = [
            TWO[0],
            Migration {
                sql: "create table two (id integer primary key) strict; create table two (id);",
                ..TWO[1]
            },
        ];
        let error = migrate(&mut connection, Path::new("test"), &broken).unwrap_err();
        assert!(
            matches!(error, StoreError::Migration { version: 2, .. }),
            "{error}"
        );
        assert_eq!(schema(&connection), before);
    }

    #[test]
    fn another_programs_database_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("create table theirs (id integer)")
            .unwrap();
        let error = migrate(&mut connection, Path::new("theirs.db"), MIGRATIONS).unwrap_err();
        assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    }
}
