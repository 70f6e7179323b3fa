//! One connection, used from whichever thread has it: a small runtime of its own moves its bytes while that thread waits.

use std::{collections::HashMap, future::Future, io};

use futures_util::TryStreamExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, Error, NoTls, Statement, types::ToSql};

use super::{PostgresAddress, error};
use crate::{
    error::StoreError,
    sql::{Dialect, Param, Row, Session},
};

/// Statements that a connection keeps prepared; more than there usually are.
const STATEMENTS_MAX: usize = 512;

pub(super) struct Link {
    /// There until it is dropped.
    runtime: Option<Runtime>,
    pub(super) client: Client,
    statements: HashMap<String, Statement>,
}

impl Link {
    pub(super) fn open(address: &PostgresAddress) -> Result<Self, StoreError> {
        let failed = |source: io::Error| StoreError::Open {
            database: address.to_string(),
            source: source.into(),
        };
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let (client, connection) = runtime
            .block_on(address.config().connect(NoTls))
            .map_err(|source| match error::sort(&source) {
                error::Sort::Gone => error::unreachable(address, source),
                _ => StoreError::Open {
                    database: address.to_string(),
                    source: source.into(),
                },
            })?;
        // How it ends is seen by whoever waits for an answer.
        runtime.spawn(async move { drop(connection.await) });
        Ok(Self {
            runtime: Some(runtime),
            client,
            statements: HashMap::new(),
        })
    }

    /// Waits for something that the connection does. Never from async code.
    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let runtime = self.runtime.as_ref().expect("it is there until it is dropped");
        runtime.block_on(future)
    }

    /// Whether the connection is known to have ended; what has arrived since it was used last is looked at.
    pub(super) fn is_closed(&self) -> bool {
        self.wait(async {
            // The first lets the runtime look at the socket, the second lets the connection read from it.
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        });
        self.client.is_closed()
    }

    /// A statement, prepared at its first use. Parameters are written `?1`.
    pub(super) fn prepare(&mut self, sql: &str) -> Result<Statement, Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        if self.statements.len() >= STATEMENTS_MAX {
            self.statements.clear();
        }
        let statement = self.wait(self.client.prepare(&dollars(sql)))?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Runs statements without parameters, separated by semicolons.
    pub(super) fn batch(&self, sql: &str) -> Result<(), Error> {
        self.wait(self.client.batch_execute(sql))
    }

    /// Reads, as [`Session::each`].
    fn each(
        &mut self,
        address: &PostgresAddress,
        sql: &str,
        params: &[Param],
        take: &mut dyn FnMut(&dyn Row) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let reading = |source| error::reading(address, source);
        let statement = self.prepare(sql).map_err(reading)?;
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| param as _).collect();
        self.wait(async {
            let rows = self.client.query_raw(&statement, params).await.map_err(reading)?;
            let mut rows = std::pin::pin!(rows);
            while let Some(row) = rows.try_next().await.map_err(reading)? {
                take(&row)?;
            }
            Ok(())
        })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The usual end of a runtime waits, which async code, the last owner of a reader perhaps, must not.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A connection for as long as somebody reads through it.
pub(super) struct Through<'a> {
    pub(super) link: &'a mut Link,
    pub(super) address: &'a PostgresAddress,
}

impl Session for Through<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn each(
        &mut self,
        sql: &str,
        params: &[Param],
        take: &mut dyn FnMut(&dyn Row) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.link.each(self.address, sql, params, take)
    }
}

/// `?1` as PostgreSQL writes it. No statement of ours has a question mark in it for another reason.
fn dollars(sql: &str) -> String {
    sql.replace('?', "$")
}
