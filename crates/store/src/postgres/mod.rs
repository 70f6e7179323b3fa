//! PostgreSQL: one writing connection, a few reading ones.
//!
//! A commit is one transaction of batched statements, at most a few for each table, sent without waiting between them; only
//! the `commit` goes out when all of them are known to be good.
//!
//! There is one writer: its connection holds an advisory lock for as long as it lives. If it is lost, the next one takes the
//! lock before anything else, and so knows that whatever the lost one was about to do has been done or never will be. Each
//! opening has a number (`current.session`) that every commit checks, so a writer that was replaced cannot write. As
//! sequence numbers are the writer's, and the feed is written in the transaction that they belong to, they are in commit
//! order, and a follower's cursor skips nothing.

mod address;
mod error;
pub(crate) mod escape;
mod fold;
mod link;
mod migrate;
#[cfg(test)]
mod plans;
mod pool;
mod statement;
mod values;
mod writer;

use std::{borrow::Cow, collections::BTreeMap};

use ironmaster_model::{Counter, Snapshot, Timestamp, event};

use self::{
    error::{connecting, reading},
    fold::Fold,
    link::{Link, Through},
    statement::Statement,
    values::Bound,
    writer::{Backend, Failed},
};
use crate::{
    effect::effect,
    error::{CommitError, StoreError},
    reader::Reader,
    sql::{load, one},
    sqlite::OpenOptions,
    store::{Batch, Position, Store},
};

pub use self::address::{AddressError, PostgresAddress};
pub(crate) use self::pool::Pool;

/// Events that one call of [`Store::prune_events`] removes at most.
const PRUNE_MAX: u64 = 2000;
/// What [`Store::probe`] writes: enough to need new space.
const PROBE_BYTES: usize = 256 * 1024;

/// The writing end of a PostgreSQL database. There is at most one per database (and schema), over all machines.
pub struct PostgresStore {
    address: PostgresAddress,
    options: OpenOptions,
    /// None while the connection is lost.
    link: Option<Link>,
    /// The server's process of the last connection: what it was doing must have ended before another one begins.
    backend: Backend,
    /// Which opening of the database this is; batch ids count within it.
    session: i64,
    position: Position,
    /// Counters as in the table.
    counters: BTreeMap<Counter, u64>,
    /// A batch of which it is not known whether it was committed: what holds if it was.
    doubt: Option<(Position, BTreeMap<Counter, u64>)>,
}

impl PostgresStore {
    /// Opens the database, which must exist, and brings it to this program's schema.
    pub fn open(address: &PostgresAddress, options: OpenOptions) -> Result<(Self, Reader), StoreError> {
        let (mut link, backend) = writer::connect(address, &options, None)?;
        migrate::migrate(&mut link, address, migrate::MIGRATIONS)?;
        let opened = one(
            &mut Through {
                link: &mut link,
                address,
            },
            "update current set session = session + 1, batch = 0 returning session, seq, at",
            &[],
            |row| Ok((row.int(0)?, row.int(1)?.cast_unsigned(), Timestamp(row.int(2)?))),
        )?;
        let Some((session, seq, at)) = opened else {
            return Err(StoreError::Malformed {
                table: "current",
                row: "1".into(),
                what: "it is missing".into(),
            });
        };
        let store = Self {
            address: address.clone(),
            options,
            link: Some(link),
            backend,
            session,
            position: Position { batch: 0, seq, at },
            counters: BTreeMap::new(),
            doubt: None,
        };
        Ok((store, Reader::postgres(Pool::new(address, &options))))
    }

    /// The connection; a new one if it was lost.
    fn link(&mut self) -> Result<&mut Link, StoreError> {
        if self.link.as_ref().is_some_and(Link::is_closed) {
            self.link = None;
        }
        if self.link.is_none() {
            let (mut link, backend) = writer::connect(&self.address, &self.options, Some(&self.backend))?;
            writer::still_ours(&mut link, &self.address, self.session)?;
            tracing::info!(database = %self.address, "connected to the database again");
            self.link = Some(link);
            self.backend = backend;
        }
        Ok(self.link.as_mut().expect("it was just made"))
    }

    /// Runs statements in one durable transaction; after an error nothing of it remains, unless that is unknown.
    fn transaction(&mut self, statements: &[Statement<'_>]) -> Result<(), CommitError> {
        let link = self.link().map_err(connecting)?;
        let result = writer::transaction(link, statements);
        match result {
            Ok(()) => Ok(()),
            Err(Failed { error, lost }) => {
                if lost {
                    self.link = None;
                }
                Err(error)
            }
        }
    }

    /// For what may be done twice: an unknown outcome is as good as none.
    fn small(&mut self, statement: Statement<'_>) -> Result<(), CommitError> {
        self.transaction(&[statement]).map_err(|error| match error {
            CommitError::Unknown { source } => CommitError::Unreachable { source },
            other => other,
        })
    }

    fn statements<'a>(&self, batch: &Batch<'a>) -> Result<Vec<Statement<'a>>, CommitError> {
        let mut fold = Fold::default();
        for event in batch.events {
            for op in effect(event) {
                fold.add(op)?;
            }
        }
        let mut statements = fold.statements();
        if !batch.events.is_empty() {
            statements.push(events(batch)?);
        }
        let moved: Vec<_> = batch
            .counters
            .iter()
            .filter(|(counter, next)| self.counters.get(counter) != Some(next))
            .collect();
        if !moved.is_empty() {
            let (names, nexts) = moved
                .into_iter()
                .map(|(counter, next)| (Some(Cow::Borrowed(counter.name())), Some(next.cast_signed())))
                .unzip();
            statements.push(Statement::plain(
                "counters",
                "insert into counters (name, next) select * from unnest(?1::text[], ?2::bigint[]) \
                 on conflict (name) do update set next = greatest(counters.next, excluded.next)",
                vec![Bound::Texts(names), Bound::Ints(nexts)],
            ));
        }
        if !batch.meta.is_empty() {
            // Of one key the last value counts.
            let values: BTreeMap<&str, &str> = batch
                .meta
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect();
            statements.push(meta(values));
        }
        let after = self.position.after(batch);
        statements.push(Statement {
            // No row: another master has opened the database since.
            expected: Some(1),
            ..Statement::plain(
                writer::POSITION,
                "update current set batch = ?1, seq = ?2, at = ?3 where session = ?4",
                vec![
                    Bound::Int(after.batch.cast_signed()),
                    Bound::Int(after.seq.cast_signed()),
                    Bound::Int(after.at.0),
                    Bound::Int(self.session),
                ],
            )
        });
        Ok(statements)
    }

    fn stand(&mut self, position: Position, counters: BTreeMap<Counter, u64>) {
        self.position = position;
        self.counters.extend(counters);
    }
}

fn meta<'a>(values: BTreeMap<&'a str, &'a str>) -> Statement<'a> {
    let text = |text| Some(escape::text(Cow::Borrowed(text)));
    let (keys, values) = values
        .into_iter()
        .map(|(key, value)| (text(key), text(value)))
        .unzip();
    Statement::plain(
        "meta",
        "insert into meta (key, value) select * from unnest(?1::text[], ?2::text[]) \
         on conflict (key) do update set value = excluded.value",
        vec![Bound::Texts(keys), Bound::Texts(values)],
    )
}

/// The feed has a row an event.
fn events<'a>(batch: &Batch<'_>) -> Result<Statement<'a>, CommitError> {
    let (mut seqs, mut ats, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    for event in batch.events {
        let text = serde_json::to_string(&event.event).map_err(|error| CommitError::Rejected {
            reason: format!("event {} cannot be written as JSON", event.seq),
            source: Some(error.into()),
        })?;
        seqs.push(Some(event.seq.cast_signed()));
        ats.push(Some(event.at.0));
        texts.push(Some(escape::json(Cow::Owned(text))));
    }
    Ok(Statement::plain(
        "events",
        "insert into events (seq, at, version, event) \
         select u.seq, u.at, ?4::bigint, u.event from unnest(?1::bigint[], ?2::bigint[], ?3::text[]) as u(seq, at, event)",
        vec![
            Bound::Ints(seqs),
            Bound::Ints(ats),
            Bound::Texts(texts),
            Bound::Int(event::VERSION.into()),
        ],
    ))
}

impl Store for PostgresStore {
    fn load(&mut self) -> Result<Snapshot, StoreError> {
        let address = self.address.clone();
        let link = self.link()?;
        let result = link
            .batch("begin isolation level repeatable read, read only")
            .map_err(|source| reading(&address, source))
            .and_then(|()| {
                load::load(&mut Through {
                    link,
                    address: &address,
                })
            });
        if link.batch("rollback").is_err() {
            self.link = None;
        }
        let snapshot = result?;
        self.counters.clone_from(&snapshot.counters);
        self.position.seq = snapshot.seq;
        self.position.at = snapshot.now;
        self.doubt = None;
        Ok(snapshot)
    }

    fn commit(&mut self, batch: &Batch<'_>) -> Result<(), CommitError> {
        self.position.check(batch)?;
        let statements = self.statements(batch)?;
        let after = self.position.after(batch);
        match self.transaction(&statements) {
            Ok(()) => {
                self.stand(after, batch.counters.clone());
                Ok(())
            }
            Err(error) => {
                if matches!(error, CommitError::Unknown { .. }) {
                    self.doubt = Some((after, batch.counters.clone()));
                }
                Err(error)
            }
        }
    }

    fn committed(&mut self, batch: u64) -> Result<bool, StoreError> {
        let address = self.address.clone();
        let session = self.session;
        // Whoever has the lock knows that no earlier connection of ours is still at work.
        let link = self.link()?;
        let found = one(
            &mut Through {
                link,
                address: &address,
            },
            "select session, batch from current",
            &[],
            |row| Ok((row.int(0)?, row.int(1)?)),
        )?;
        let committed = found.is_some_and(|(ours, last)| ours == session && last >= batch.cast_signed());
        if let Some((position, counters)) = self.doubt.take()
            && committed
        {
            self.stand(position, counters);
        }
        Ok(committed)
    }

    fn probe(&mut self) -> Result<(), CommitError> {
        let bytes = vec![0; PROBE_BYTES];
        let probe = |bytes| {
            Statement::plain(
                "current",
                "update current set probe = ?1",
                vec![Bound::Bytes(bytes)],
            )
        };
        self.small(probe(&bytes))?;
        self.small(probe(&[]))
    }

    fn set_meta(&mut self, key: &str, value: &str) -> Result<(), CommitError> {
        self.small(meta(BTreeMap::from([(key, value)])))
    }

    fn save_cursor(&mut self, name: &str, seq: u64) -> Result<(), CommitError> {
        self.small(Statement::plain(
            "cursors",
            "insert into cursors (name, seq) values (?1, ?2) on conflict (name) do update set seq = excluded.seq",
            vec![
                Bound::Text(escape::text(Cow::Borrowed(name))),
                Bound::Int(seq.cast_signed()),
            ],
        ))
    }

    fn prune_events(&mut self, keep: u64) -> Result<bool, CommitError> {
        let address = self.address.clone();
        let link = self.link().map_err(connecting)?;
        let oldest = one(
            &mut Through {
                link,
                address: &address,
            },
            "select min(seq) from events",
            &[],
            |row| row.opt_int(0),
        )
        .map_err(connecting)?;
        let Some(oldest) = oldest.flatten().map(i64::cast_unsigned) else {
            return Ok(false);
        };
        // The first that stays.
        let target = (self.position.seq + 1).saturating_sub(keep);
        let upto = target.min(oldest + PRUNE_MAX);
        if upto > oldest {
            self.small(Statement::plain(
                "events",
                "delete from events where seq < ?1",
                vec![Bound::Int(upto.cast_signed())],
            ))?;
        }
        Ok(upto < target)
    }
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore")
            .field("address", &self.address)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}
