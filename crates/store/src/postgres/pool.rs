//! Reading connections, shared by all readers.

use super::{
    PostgresAddress,
    link::{Link, Through},
    migrate,
};
use crate::{
    error::StoreError,
    pool::Idle,
    sql::{Dialect, Param, Row, Session},
    sqlite::OpenOptions,
};

pub(crate) struct Pool {
    address: PostgresAddress,
    links: Idle<Link>,
}

/// A borrowed connection.
pub(crate) struct Reading<'a> {
    pool: &'a Pool,
    link: Option<Link>,
}

impl Pool {
    pub(super) fn new(address: &PostgresAddress, options: &OpenOptions) -> Self {
        Self {
            address: address.clone(),
            links: Idle::new(options.readers),
        }
    }

    /// For readers without a writer.
    pub(crate) fn open_existing(
        address: &PostgresAddress,
        options: &OpenOptions,
    ) -> Result<Self, StoreError> {
        let pool = Self::new(address, options);
        migrate::verify(&mut pool.read()?, address, migrate::MIGRATIONS)?;
        Ok(pool)
    }

    /// Borrows a connection; waits while all are in use.
    pub(crate) fn read(&self) -> Result<Reading<'_>, StoreError> {
        loop {
            let link = self.links.take(|| Link::open(&self.address))?;
            // A server that was started again has ended those that were idle.
            if link.is_closed() {
                drop(link);
                self.links.forget();
                continue;
            }
            return Ok(Reading {
                pool: self,
                link: Some(link),
            });
        }
    }

    /// Borrows a connection for several statements that see one moment of the database.
    pub(crate) fn at_once<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&mut dyn Session) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut reading = self.read()?;
        reading.run("begin isolation level repeatable read, read only")?;
        let result = work(&mut reading);
        // Nothing was changed: it makes no difference how it ends, but it has to. If it does not, the connection is gone.
        let _ = reading.run("rollback");
        result
    }
}

impl Reading<'_> {
    fn link(&mut self) -> &mut Link {
        self.link.as_mut().expect("it is there until it is dropped")
    }

    fn run(&mut self, sql: &str) -> Result<(), StoreError> {
        let pool = self.pool;
        self.link()
            .batch(sql)
            .map_err(|source| super::error::reading(&pool.address, source))
    }
}

impl Session for Reading<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn each(
        &mut self,
        sql: &str,
        params: &[Param],
        take: &mut dyn FnMut(&dyn Row) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let address = &self.pool.address;
        let link = self.link.as_mut().expect("it is there until it is dropped");
        Through { link, address }.each(sql, params, take)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let Some(link) = self.link.take() else {
            return;
        };
        if link.client.is_closed() {
            drop(link);
            self.pool.links.forget();
        } else {
            self.pool.links.give_back(link);
        }
    }
}
