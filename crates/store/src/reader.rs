//! The reading end.

use std::{path::Path, sync::Arc};

use ironmaster_model::{
    BuildId, BuildRecord, BuilderId, ChangeId, ChangeRecord, EffectRecord, LogContent, LogId, LogRecord,
    NewSourceStamp, Properties, Sequenced, StepId,
};

use crate::{
    error::{EventsError, QueryError, StoreError},
    query::{Page, Query},
    resource::Resource,
    sqlite::{OpenOptions, Pool, read, select},
};

/// Reads what is committed, from any thread, without ever blocking the writer. Cheap to clone. All calls block: from
/// async code, call them on a blocking thread.
#[derive(Clone, Debug)]
pub struct Reader {
    pool: Arc<Pool>,
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

impl Reader {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Opens a database for reading only, whether or not a [`Store`](crate::Store) is open on it. Its schema must be this
    /// program's.
    pub fn open(path: impl AsRef<Path>, options: OpenOptions) -> Result<Self, StoreError> {
        Pool::open_existing(path.as_ref(), &options).map(|pool| Self::new(Arc::new(pool)))
    }

    /// Answers a query for a REST resource.
    pub fn query(&self, resource: Resource, query: &Query) -> Result<Page, QueryError> {
        select::query(&self.pool, resource, query)
    }

    /// At most `limit` events after `seq`, in order. Empty if there are none yet.
    pub fn events_after(&self, seq: u64, limit: usize) -> Result<Vec<Sequenced>, EventsError> {
        read::events_after(&self.pool, seq, limit)
    }

    /// Sequence number of the newest event, 0 before the first.
    pub fn last_seq(&self) -> Result<u64, StoreError> {
        read::last_seq(&self.pool)
    }

    /// Outcomes recorded for an unfinished step, by ordinal.
    pub fn effects(&self, step: StepId) -> Result<Vec<EffectRecord>, StoreError> {
        read::effects(&self.pool, step)
    }

    /// One log with its text, if that is in its row.
    pub fn log(&self, id: LogId) -> Result<Option<StoredLog>, StoreError> {
        read::log(&self.pool, id)
    }

    /// All logs of a build, by id.
    pub fn logs_of_build(&self, build: BuildId) -> Result<Vec<LogRecord>, StoreError> {
        read::logs_of_build(&self.pool, build)
    }

    /// One build.
    pub fn build(&self, id: BuildId) -> Result<Option<BuildRecord>, StoreError> {
        read::build(&self.pool, id)
    }

    /// What a rebuild of that build needs.
    pub fn rebuild_source(&self, id: BuildId) -> Result<Option<RebuildSource>, StoreError> {
        read::rebuild_source(&self.pool, id)
    }

    /// The changes with these ids, by id; unknown ids are left out.
    pub fn changes(&self, ids: &[ChangeId]) -> Result<Vec<ChangeRecord>, StoreError> {
        read::changes(&self.pool, ids)
    }

    /// What was kept under a key ([`Store::set_meta`](crate::Store::set_meta)).
    pub fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        read::meta(&self.pool, key)
    }

    /// How far a durable consumer has come ([`Store::save_cursor`](crate::Store::save_cursor)).
    pub fn cursor(&self, name: &str) -> Result<Option<u64>, StoreError> {
        read::cursor(&self.pool, name)
    }
}
