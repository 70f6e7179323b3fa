//! The reading end.

use std::sync::Arc;

use ironmaster_model::{
    BuildId, BuildRecord, BuilderId, ChangeId, ChangeRecord, EffectRecord, LogContent, LogId, LogRecord,
    NewSourceStamp, Properties, Sequenced, StepId,
};

use crate::{
    error::{EventsError, QueryError, StoreError},
    query::{Page, Query},
    resource::Resource,
};

/// Reads what is committed, from any thread, without ever blocking the writer. Cheap to clone. All calls block: from
/// async code, call them on a blocking thread.
#[derive(Clone, Debug)]
pub struct Reader {
    pool: Arc<()>,
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

#[expect(clippy::unimplemented, unused_variables, reason = "being written")]
impl Reader {
    /// Answers a query for a REST resource.
    pub fn query(&self, resource: Resource, query: &Query) -> Result<Page, QueryError> {
        unimplemented!()
    }

    /// At most `limit` events after `seq`, in order. Empty if there are none yet.
    pub fn events_after(&self, seq: u64, limit: usize) -> Result<Vec<Sequenced>, EventsError> {
        unimplemented!()
    }

    /// Sequence number of the newest event, 0 before the first.
    pub fn last_seq(&self) -> Result<u64, StoreError> {
        unimplemented!()
    }

    /// Outcomes recorded for an unfinished step, by ordinal.
    pub fn effects(&self, step: StepId) -> Result<Vec<EffectRecord>, StoreError> {
        unimplemented!()
    }

    /// One log with its text, if that is in its row.
    pub fn log(&self, id: LogId) -> Result<Option<StoredLog>, StoreError> {
        unimplemented!()
    }

    /// All logs of a build, by id.
    pub fn logs_of_build(&self, build: BuildId) -> Result<Vec<LogRecord>, StoreError> {
        unimplemented!()
    }

    /// One build.
    pub fn build(&self, id: BuildId) -> Result<Option<BuildRecord>, StoreError> {
        unimplemented!()
    }

    /// What a rebuild of that build needs.
    pub fn rebuild_source(&self, id: BuildId) -> Result<Option<RebuildSource>, StoreError> {
        unimplemented!()
    }

    /// The changes with these ids, by id; unknown ids are left out.
    pub fn changes(&self, ids: &[ChangeId]) -> Result<Vec<ChangeRecord>, StoreError> {
        unimplemented!()
    }

    /// What was kept under a key ([`Store::set_meta`](crate::Store::set_meta)).
    pub fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        unimplemented!()
    }

    /// How far a durable consumer has come ([`Store::save_cursor`](crate::Store::save_cursor)).
    pub fn cursor(&self, name: &str) -> Result<Option<u64>, StoreError> {
        unimplemented!()
    }
}
