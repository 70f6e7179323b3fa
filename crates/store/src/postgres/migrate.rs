//! Brings a database to this program's schema, or refuses it.
//!
//! Each script in `migrations/postgres/` is applied once, in order, all in one transaction, and only by who holds the
//! writer's lock. The checksum of each applied script is kept; a script is never edited after a release.

use super::{
    PostgresAddress, error,
    link::{Link, Through},
};
use crate::{
    error::StoreError,
    migration::{Migration, checksum, compare, newest},
    sql::{Session, one},
};

/// Marks our tables among all that are called `migrations`.
const MARK: &str = "Ironmaster";

/// All of them, by version from 1 without gaps.
pub(crate) const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "0001_first_tables",
    sql: include_str!("../../migrations/postgres/0001_first_tables.sql"),
}];

/// Applies what is missing.
pub(super) fn migrate(
    link: &mut Link,
    address: &PostgresAddress,
    migrations: &[Migration],
) -> Result<(), StoreError> {
    let reading = |source| error::reading(address, source);
    link.batch("begin").map_err(reading)?;
    let done = apply(link, address, migrations).and_then(|()| link.batch("commit").map_err(reading));
    if done.is_err() {
        // Refused by a connection that is gone as well.
        let _ = link.batch("rollback");
    }
    done
}

fn apply(link: &mut Link, address: &PostgresAddress, migrations: &[Migration]) -> Result<(), StoreError> {
    let applied = match state(&mut Through { link, address })? {
        State::Ours => applied(&mut Through { link, address }, migrations)?,
        State::Foreign => return Err(foreign(address)),
        State::Empty => {
            link.batch(&format!(
                "create table migrations (
                     version    bigint primary key,
                     name       text not null,
                     checksum   text not null,
                     applied_at timestamptz not null default now()
                 );
                 comment on table migrations is '{MARK}'"
            ))
            .map_err(|source| StoreError::Open {
                database: address.to_string(),
                source: source.into(),
            })?;
            0
        }
    };
    for migration in migrations.iter().filter(|migration| migration.version > applied) {
        // All three are constants of this program, without a quote in them.
        let note = format!(
            "insert into migrations (version, name, checksum) values ({}, '{}', '{}')",
            migration.version,
            migration.name,
            checksum(migration.sql)
        );
        link.batch(migration.sql)
            .and_then(|()| link.batch(&note))
            .map_err(|source| StoreError::Migration {
                version: migration.version,
                name: migration.name.into(),
                source: source.into(),
            })?;
    }
    Ok(())
}

/// Refuses a database whose schema is not exactly this program's.
pub(super) fn verify(
    session: &mut dyn Session,
    address: &PostgresAddress,
    migrations: &[Migration],
) -> Result<(), StoreError> {
    match state(session)? {
        State::Ours => {}
        State::Foreign => return Err(foreign(address)),
        State::Empty => {
            return Err(StoreError::OlderSchema {
                found: 0,
                known: newest(migrations),
            });
        }
    }
    let known = newest(migrations);
    let found = applied(session, migrations)?;
    if found < known {
        return Err(StoreError::OlderSchema { found, known });
    }
    Ok(())
}

enum State {
    Ours,
    Empty,
    Foreign,
}

/// Whose tables there are where ours would be made.
fn state(session: &mut dyn Session) -> Result<State, StoreError> {
    let found = one(
        session,
        "select count(*), coalesce(bool_or(c.relname = 'migrations' and obj_description(c.oid, 'pg_class') = ?1), false) \
         from pg_class c join pg_namespace n on n.oid = c.relnamespace \
         where n.nspname = current_schema() and c.relkind in ('r', 'p', 'v', 'm', 'f')",
        &[MARK.into()],
        |row| Ok((row.int(0)?, row.int(1)? != 0)),
    )?;
    Ok(match found {
        Some((_, true)) => State::Ours,
        Some((0, false)) | None => State::Empty,
        Some(_) => State::Foreign,
    })
}

fn applied(session: &mut dyn Session, migrations: &[Migration]) -> Result<u32, StoreError> {
    let mut applied = Vec::new();
    session.each(
        "select version, checksum from migrations order by version",
        &[],
        &mut |row| {
            applied.push((u32::try_from(row.int(0)?).unwrap_or(u32::MAX), row.text(1)?));
            Ok(())
        },
    )?;
    compare(applied, migrations)
}

fn foreign(address: &PostgresAddress) -> StoreError {
    StoreError::Foreign {
        database: address.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbered_without_gaps() {
        for (number, migration) in (1..).zip(MIGRATIONS) {
            assert_eq!(migration.version, number);
            assert!(migration.name.starts_with(&format!("{number:04}_")));
        }
    }
}
