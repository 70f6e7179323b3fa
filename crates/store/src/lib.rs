//! Keeps what has happened: SQLite or PostgreSQL, behind the same interface.
//!
//! Start reading at [`effect()`]: the one pure function that says what an event does to rows. A backend only
//! executes [`RowOp`]s. The writing end is [`Store`], owned by the one committer thread; everybody else reads
//! through a [`Reader`], which never blocks the writer.
//!
//! * [`resource`] declares the REST types once: `api` validates with it, this room makes SQL from it.
//! * [`open`] brings a [`Database`] to this program's schema, or refuses it and says why: [`sqlite`] and [`postgres`]
//!   are how each of them is written to; reading is written once for both.
//! * [`fsck`](fsck::fsck) checks what a database must always satisfy.
//!
//! **Invariant:** nothing is decided here. What an event means for memory is `engine::State::apply`; a test proves
//! that the rows lead to the same.
//!
//! **Invariant:** the trait and the errors know no driver's types.

pub mod database;
pub mod effect;
pub mod error;
pub mod fsck;
mod migration;
mod pool;
pub mod postgres;
pub mod query;
pub mod reader;
pub mod resource;
pub mod row;
mod sql;
pub mod sqlite;
pub mod store;

pub use database::{Database, open};
pub use effect::effect;
pub use error::{BoxError, CommitError, EventsError, QueryError, StoreError};
pub use fsck::{Finding, Severity, fsck};
pub use postgres::{PostgresAddress, PostgresStore};
pub use query::{Filter, FilterValue, Op, Order, Page, Query};
pub use reader::{Reader, RebuildSource, RunSource, StoredLog};
pub use resource::{Field, FieldKind, Resource};
pub use row::{Column, RowOp, Table, Value};
pub use sqlite::{OpenOptions, SqliteStore};
pub use store::{Batch, Store};
