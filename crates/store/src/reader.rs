//! The reading end.

use std::{fmt, path::Path, sync::Arc};

use ironmaster_model::{
    BuildId, BuildRecord, BuilderId, ChangeId, ChangeRecord, EffectRecord, LogContent, LogId, LogRecord,
    NewSourceStamp, PipelineJobRecord, PipelineRunRecord, Properties, RunId, Sequenced, Snapshot, StepId,
};

use crate::{
    database::Database,
    error::{EventsError, QueryError, StoreError},
    fsck::Finding,
    postgres,
    query::{Page, Query},
    resource::Resource,
    sql::{Counts, Session, check, load, read, select},
    sqlite::{self, OpenOptions, Through},
};

/// Reads what is committed, from any thread, without ever blocking the writer. Cheap to clone. All calls block: from
/// async code, call them on a blocking thread.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

struct Shared {
    pool: Pool,
    counts: Counts,
}

enum Pool {
    Sqlite(sqlite::Pool),
    Postgres(Box<postgres::Pool>),
}

/// A log as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredLog {
    /// What is known of it.
    pub record: LogRecord,
    /// Its text, or that it is in the build's log file.
    pub content: LogContent,
}

/// What is needed to build a finished build's request again.
#[derive(Clone, Debug, PartialEq)]
pub struct RebuildSource {
    /// The first build of the chain of rebuilds.
    pub rebuilt: BuildId,
    /// Its builder.
    pub builder: BuilderId,
    /// What it built.
    pub sourcestamps: Vec<NewSourceStamp>,
    /// Properties of its buildset.
    pub properties: Properties,
}

/// What is needed to try a run of a pipeline again.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSource {
    /// The run.
    pub run: PipelineRunRecord,
    /// What it built.
    pub sourcestamps: Vec<NewSourceStamp>,
    /// All of its jobs, by number.
    pub jobs: Vec<PipelineJobRecord>,
}

impl Reader {
    pub(crate) fn sqlite(pool: sqlite::Pool) -> Self {
        Self::new(Pool::Sqlite(pool))
    }

    pub(crate) fn postgres(pool: postgres::Pool) -> Self {
        Self::new(Pool::Postgres(Box::new(pool)))
    }

    fn new(pool: Pool) -> Self {
        Self {
            shared: Arc::new(Shared {
                pool,
                counts: Counts::default(),
            }),
        }
    }

    /// Opens a SQLite database for reading only, whether or not a [`Store`](crate::Store) is open on it. Its schema must
    /// be this program's.
    pub fn open(path: impl AsRef<Path>, options: OpenOptions) -> Result<Self, StoreError> {
        sqlite::Pool::open_existing(path.as_ref(), &options).map(Self::sqlite)
    }

    /// The same for any database.
    pub fn of(database: &Database, options: OpenOptions) -> Result<Self, StoreError> {
        match database {
            Database::Sqlite(path) => Self::open(path, options),
            Database::Postgres(address) => {
                postgres::Pool::open_existing(address, &options).map(Self::postgres)
            }
        }
    }

    /// Reads with one statement, or with several that need not be of one moment.
    fn read<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&mut dyn Session) -> Result<T, E>,
    ) -> Result<T, E> {
        match &self.shared.pool {
            Pool::Sqlite(pool) => work(&mut Through(&*pool.read()?)),
            Pool::Postgres(pool) => work(&mut pool.read()?),
        }
    }

    /// Reads what is of one moment.
    fn at_once<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&mut dyn Session) -> Result<T, E>,
    ) -> Result<T, E> {
        match &self.shared.pool {
            Pool::Sqlite(_) => self.read(work),
            Pool::Postgres(pool) => pool.at_once(work),
        }
    }

    pub(crate) fn check(&self) -> Result<Vec<Finding>, StoreError> {
        self.at_once(check::check)
    }

    /// Answers a query for a REST resource.
    pub fn query(&self, resource: Resource, query: &Query) -> Result<Page, QueryError> {
        self.at_once(|session| select::query(session, &self.shared.counts, resource, query))
    }

    /// What is active, as [`Store::load`](crate::Store::load) reads it, beside a master that may be running.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.at_once(load::load)
    }

    /// At most `limit` events after `seq`, in order. Empty if there are none yet.
    pub fn events_after(&self, seq: u64, limit: usize) -> Result<Vec<Sequenced>, EventsError> {
        self.read(|session| read::events_after(session, seq, limit))
    }

    /// Sequence number of the newest event, 0 before the first.
    pub fn last_seq(&self) -> Result<u64, StoreError> {
        self.read(read::last_seq)
    }

    /// Outcomes recorded for an unfinished step, by ordinal.
    pub fn effects(&self, step: StepId) -> Result<Vec<EffectRecord>, StoreError> {
        self.read(|session| read::effects(session, step))
    }

    /// One log with its text, if that is in its row.
    pub fn log(&self, id: LogId) -> Result<Option<StoredLog>, StoreError> {
        self.read(|session| read::log(session, id))
    }

    /// All logs of a build, by id.
    pub fn logs_of_build(&self, build: BuildId) -> Result<Vec<LogRecord>, StoreError> {
        self.read(|session| read::logs_of_build(session, build))
    }

    /// One build.
    pub fn build(&self, id: BuildId) -> Result<Option<BuildRecord>, StoreError> {
        self.read(|session| read::build(session, id))
    }

    /// What a rebuild of that build needs.
    pub fn rebuild_source(&self, id: BuildId) -> Result<Option<RebuildSource>, StoreError> {
        self.read(|session| read::rebuild_source(session, id))
    }

    /// What trying a run again needs.
    pub fn retry_source(&self, id: RunId) -> Result<Option<RunSource>, StoreError> {
        self.at_once(|session| read::retry_source(session, id))
    }

    /// The changes with these ids, by id; unknown ids are left out.
    pub fn changes(&self, ids: &[ChangeId]) -> Result<Vec<ChangeRecord>, StoreError> {
        self.read(|session| read::changes(session, ids))
    }

    /// What was kept under a key ([`Store::set_meta`](crate::Store::set_meta)).
    pub fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.read(|session| read::meta(session, key))
    }

    /// How far a durable consumer has come ([`Store::save_cursor`](crate::Store::save_cursor)).
    pub fn cursor(&self, name: &str) -> Result<Option<u64>, StoreError> {
        self.read(|session| read::cursor(session, name))
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}
