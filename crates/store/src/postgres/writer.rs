//! The one connection that writes: how it is had, and how a transaction goes through it.

use std::{
    future::Future,
    pin::Pin,
    task::Poll,
    time::{Duration, Instant},
};

use tokio_postgres::{Error, types::ToSql};

use super::{
    PostgresAddress, error,
    link::{Link, Through},
    statement::Statement,
};
use crate::{
    error::{CommitError, StoreError},
    sql::one,
    sqlite::OpenOptions,
};

/// The oldest server that is known to do, as it tells its version.
const OLDEST_SERVER: i64 = 140_000;
/// First half of the advisory lock's key ("IRON"); the other is the schema, so that two installations may share a database.
const LOCK: i32 = 0x4952_4f4e;
const LOCK_POLL: Duration = Duration::from_millis(20);
/// What a transaction may take before its connection is given up. Far more than any takes on a server that works.
const TRANSACTION_MAX: Duration = Duration::from_mins(1);
/// The statement whose failure means that somebody else writes.
pub(super) const POSITION: &str = "current";

/// A process of the server, recognised again even if its id is used again.
#[derive(Debug)]
pub(super) struct Backend {
    pid: i64,
    started: String,
}

/// A transaction that failed.
pub(super) struct Failed {
    pub(super) error: CommitError,
    /// Whether the connection cannot be used any more.
    pub(super) lost: bool,
}

/// Connects and takes the writer's lock. `before` is the connection that was lost, which is ended if the server still has it.
pub(super) fn connect(
    address: &PostgresAddress,
    options: &OpenOptions,
    before: Option<&Backend>,
) -> Result<(Link, Backend), StoreError> {
    let mut link = Link::open(address)?;
    let version = ask(
        &mut link,
        address,
        "select current_setting('server_version_num')::bigint",
    )?;
    if version < OLDEST_SERVER {
        return Err(StoreError::Open {
            database: address.to_string(),
            source: format!("its server has version {version}; PostgreSQL 14 or newer is needed").into(),
        });
    }
    let mut through = Through {
        link: &mut link,
        address,
    };
    let backend = one(
        &mut through,
        "select pid::bigint, backend_start::text, current_setting('synchronous_commit'), current_setting('fsync') \
         from pg_stat_activity where pid = pg_backend_pid()",
        &[],
        |row| {
            Ok((
                Backend {
                    pid: row.int(0)?,
                    started: row.text(1)?,
                },
                row.text(2)?,
                row.text(3)?,
            ))
        },
    )?;
    let Some((backend, synchronous, fsync)) = backend else {
        return Err(error::unreachable(
            address,
            "the connection is not among the server's own",
        ));
    };
    if synchronous == "off" {
        // What is acknowledged is durable, whatever the role or the server has set.
        link.batch("set synchronous_commit = on")
            .map_err(|source| error::reading(address, source))?;
    }
    if fsync == "off" && before.is_none() {
        tracing::warn!(
            database = %address,
            "the database server runs with fsync = off: a loss of power can destroy the database"
        );
    }
    if let Some(before) = before {
        end(&mut link, address, before)?;
    }
    lock(&mut link, address, options, before.is_some())?;
    Ok((link, backend))
}

fn ask(link: &mut Link, address: &PostgresAddress, sql: &str) -> Result<i64, StoreError> {
    let answer = one(&mut Through { link, address }, sql, &[], |row| row.int(0))?;
    answer.ok_or_else(|| error::unreachable(address, "the server has given no answer"))
}

/// Ends a connection of ours that was lost, if the server has not noticed yet.
fn end(link: &mut Link, address: &PostgresAddress, before: &Backend) -> Result<(), StoreError> {
    let mut through = Through { link, address };
    one(
        &mut through,
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where pid = ?1::bigint and backend_start::text = ?2",
        &[before.pid.into(), before.started.as_str().into()],
        |_| Ok(()),
    )?;
    Ok(())
}

fn lock(
    link: &mut Link,
    address: &PostgresAddress,
    options: &OpenOptions,
    again: bool,
) -> Result<(), StoreError> {
    let sql = format!(
        "select pg_try_advisory_lock({LOCK}, (select oid::bigint & 2147483647 from pg_namespace \
         where nspname = current_schema())::int)"
    );
    let began = Instant::now();
    while ask(link, address, &sql)? == 0 {
        if began.elapsed() < options.lock_timeout {
            std::thread::sleep(LOCK_POLL);
        } else if again {
            return Err(error::unreachable(
                address,
                "the server still holds the lock of the connection that was lost",
            ));
        } else {
            return Err(StoreError::InUse {
                database: address.to_string(),
            });
        }
    }
    Ok(())
}

/// After a new connection: nobody else has opened the database meanwhile.
pub(super) fn still_ours(link: &mut Link, address: &PostgresAddress, session: i64) -> Result<(), StoreError> {
    if ask(link, address, "select session from current")? == session {
        Ok(())
    } else {
        Err(StoreError::InUse {
            database: address.to_string(),
        })
    }
}

/// Runs statements in one durable transaction.
pub(super) fn transaction(link: &mut Link, statements: &[Statement<'_>]) -> Result<(), Failed> {
    let failed = |link: &Link, source: Error| {
        let lost = link.client.is_closed() || error::sort(&source) == error::Sort::Gone;
        Failed {
            error: error::writing(source),
            lost,
        }
    };
    let mut prepared = Vec::with_capacity(statements.len());
    for statement in statements {
        prepared.push(
            link.prepare(&statement.sql)
                .map_err(|source| failed(link, source))?,
        );
    }
    // All are sent before any is waited for; the server runs them one after another, and none after one that failed.
    let results = link.wait(async {
        let client = &link.client;
        let mut sent: Vec<Running<'_>> = vec![Box::pin(async {
            client.batch_execute("begin").await.map(|()| 0)
        })];
        for (statement, prepared) in statements.iter().zip(&prepared) {
            let params: Vec<&(dyn ToSql + Sync)> = statement.params.iter().map(|param| param as _).collect();
            sent.push(Box::pin(client.execute_raw(prepared, params)));
        }
        tokio::time::timeout(TRANSACTION_MAX, all(sent)).await
    });
    let Ok(results) = results else {
        return Err(Failed {
            error: CommitError::Unreachable {
                source: late().into(),
            },
            lost: true,
        });
    };
    let mut counts = Vec::with_capacity(results.len());
    for result in results {
        match result {
            Ok(count) => counts.push(count),
            Err(source) => {
                let mut failed = failed(link, source);
                failed.lost |= link.batch("rollback").is_err();
                return Err(failed);
            }
        }
    }
    for (statement, changed) in statements.iter().zip(&counts[1..]) {
        if statement.expected.is_some_and(|expected| expected != *changed) {
            let lost = link.batch("rollback").is_err();
            return Err(Failed {
                error: unexpected(statement, *changed),
                lost,
            });
        }
    }
    let commit =
        link.wait(async { tokio::time::timeout(TRANSACTION_MAX, link.client.batch_execute("commit")).await });
    match commit {
        Ok(Ok(())) => Ok(()),
        Ok(Err(source)) if error::surely_not_committed(&source) => Err(failed(link, source)),
        Ok(Err(source)) => Err(Failed {
            error: CommitError::Unknown {
                source: source.into(),
            },
            lost: true,
        }),
        Err(_) => Err(Failed {
            error: CommitError::Unknown {
                source: late().into(),
            },
            lost: true,
        }),
    }
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<u64, Error>> + 'a>>;

/// Waits for all; each is begun in its turn.
async fn all(mut running: Vec<Running<'_>>) -> Vec<Result<u64, Error>> {
    let mut done: Vec<Option<Result<u64, Error>>> = running.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        let mut waiting = false;
        for (future, done) in running.iter_mut().zip(&mut done) {
            if done.is_none() {
                match future.as_mut().poll(context) {
                    Poll::Ready(result) => *done = Some(result),
                    Poll::Pending => waiting = true,
                }
            }
        }
        if waiting { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    done.into_iter().flatten().collect()
}

fn unexpected(statement: &Statement<'_>, changed: u64) -> CommitError {
    if statement.table == POSITION && statement.rows == 1 && changed == 0 {
        return CommitError::Fatal {
            action: "be written: another master has opened it",
            source: "two masters must not use one database".into(),
        };
    }
    CommitError::Rejected {
        reason: format!(
            "there is no row for an update of {}: {changed} of {} changed",
            statement.table, statement.rows
        ),
        source: None,
    }
}

fn late() -> String {
    format!(
        "the server has not answered for {} seconds",
        TRANSACTION_MAX.as_secs()
    )
}
