//! What can go wrong, without a driver's types.

/// The driver's own error, kept as the cause.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A database that cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be opened or created.
    #[error("cannot open the database {database}")]
    Open {
        /// The file, or the server's address without a password.
        database: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// Another process writes to it.
    #[error("the database {database} is in use by another master; stop that one first")]
    InUse {
        /// The file, or the server's address without a password.
        database: String,
    },
    /// It belongs to some other program.
    #[error("{database} is not a database of Ironmaster; name another one, or move that one away")]
    Foreign {
        /// The file, or the server's address without a password.
        database: String,
    },
    /// The server cannot be reached now, or the connection to it was lost. Nothing has changed; try again later.
    #[error("the database {database} cannot be reached")]
    Unreachable {
        /// The server's address without a password.
        database: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// A newer Ironmaster has been at work.
    #[error(
        "the database has schema version {found}, this program knows versions up to {known}: a newer Ironmaster \
         has upgraded it. Start that program, or restore the backup from before the upgrade"
    )]
    NewerSchema {
        /// Version in the database.
        found: u32,
        /// Newest version that this program knows.
        known: u32,
    },
    /// The database is to be read only, and was not yet upgraded.
    #[error(
        "the database has schema version {found}, this program reads version {known}; start the master once to \
         upgrade it"
    )]
    OlderSchema {
        /// Version in the database.
        found: u32,
        /// Version that this program reads.
        known: u32,
    },
    /// A migration that was applied is not the one that this program has under its number.
    #[error(
        "schema version {version} of the database was made by a different script ({found}) than this program's \
         \"{name}\" ({expected}): it was made by a modified program. Start that program, or restore a backup"
    )]
    Altered {
        /// Number of the migration.
        version: u32,
        /// Its name in this program.
        name: String,
        /// Its checksum in this program.
        expected: String,
        /// The checksum in the database.
        found: String,
    },
    /// A migration failed; nothing of it remains.
    #[error("cannot upgrade the database to schema version {version} (\"{name}\"); it is unchanged")]
    Migration {
        /// Number of the migration.
        version: u32,
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// A stored value is not what this program writes.
    #[error("table {table}, row {row}: {what}; run `ironmaster fsck`")]
    Malformed {
        /// Where.
        table: &'static str,
        /// Which row, by its key.
        row: String,
        /// What is wrong.
        what: String,
    },
    /// The database refused.
    #[error("the database cannot {action}")]
    Database {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: BoxError,
    },
}

/// Why a commit did not happen.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The disk (or a quota) is full. The database is as before; try again when there is room
    /// ([`Store::probe`](crate::Store::probe)).
    #[error("no space is left for the database")]
    NoSpace,
    /// The database cannot be reached now, or has lost the connection before the commit. Nothing of the batch has
    /// happened; when [`Store::probe`](crate::Store::probe) succeeds, [load](crate::Store::load) and go on.
    #[error("the database cannot be reached")]
    Unreachable {
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The storage cannot be trusted any more (an I/O error, a failed sync, a damaged file). Stop: what is in the tables
    /// when they are opened next is the truth.
    #[error("the database cannot {action}; what it holds when it is opened next is the truth")]
    Fatal {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: BoxError,
    },
    /// The connection was lost while committing: ask [`Store::committed`](crate::Store::committed), again and again until
    /// it knows.
    #[error("it is not known whether the commit happened")]
    Unknown {
        /// What happened.
        #[source]
        source: BoxError,
    },
    /// The batch contradicts the tables: a bug. The database is as before.
    #[error("the database refuses the batch: {reason}")]
    Rejected {
        /// What does not fit.
        reason: String,
        /// What the database says, if it was the one to refuse.
        #[source]
        source: Option<BoxError>,
    },
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The resource has no such field.
    #[error("no such field '{field}'")]
    NoSuchField {
        /// The name asked for.
        field: String,
    },
    /// The field cannot be filtered like that.
    #[error("invalid filter value for {field}")]
    InvalidFilter {
        /// The field.
        field: String,
        /// What does not fit, for people.
        reason: String,
    },
    /// Lists and objects have no order.
    #[error("cannot order on {field}")]
    CannotOrder {
        /// The field.
        field: String,
    },
    /// The database could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why events cannot be read on from a cursor.
#[derive(Debug, thiserror::Error)]
pub enum EventsError {
    /// Events after the cursor have been removed: read everything again.
    #[error("the cursor is too old: events before {oldest} are gone, read everything again")]
    TooOld {
        /// Sequence number of the oldest event that is left, or of the next one if none is.
        oldest: u64,
    },
    /// The cursor is beyond the newest event: it belongs to another database, or to a time before a backup was
    /// restored.
    #[error("the cursor {cursor} is beyond the newest event {newest}: read everything again")]
    Ahead {
        /// The cursor.
        cursor: u64,
        /// Sequence number of the newest event.
        newest: u64,
    },
    /// An event was written in a form that this program does not read.
    #[error("event {seq} has form {version}; this program reads form {known} and the one before it")]
    Version {
        /// The event.
        seq: u64,
        /// Version of its form.
        version: u32,
        /// The version that this program writes.
        known: u32,
    },
    /// The database could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}
