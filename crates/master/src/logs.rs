//! Logs as readers see them: one handle whether a log is being written, small, or in a file.

use std::{collections::BTreeMap, sync::Mutex};

use ironmaster_logs::{LiveLog, LogError, LogReader, LogSource, LogStore, LogWriter};
use ironmaster_model::{LogContent, LogId, LogKind, LogRecord};
use ironmaster_store::{Reader, StoreError};

/// A log, ready to be read.
#[derive(Debug, Clone)]
pub struct LogHandle {
    /// Its record; `num_lines`, `raw_bytes` and `complete` are what `reader` shows.
    pub record: LogRecord,
    /// Its text.
    pub reader: LogReader,
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogReadError {
    /// Its row cannot be read.
    #[error("cannot look up log {log}")]
    Store {
        /// Which.
        log: LogId,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// Its text cannot be read.
    #[error("cannot read log {log}")]
    Log {
        /// Which.
        log: LogId,
        /// Why.
        #[source]
        source: LogError,
    },
}

/// Logs that are being written, by id.
#[derive(Debug, Default)]
pub(crate) struct LiveLogs(Mutex<BTreeMap<LogId, LiveLog>>);

impl LiveLogs {
    pub(crate) fn add(&self, log: LogId, live: LiveLog) {
        self.0
            .lock()
            .expect("no panic while holding the lock")
            .insert(log, live);
    }

    pub(crate) fn remove(&self, log: LogId) {
        self.0
            .lock()
            .expect("no panic while holding the lock")
            .remove(&log);
    }

    pub(crate) fn get(&self, log: LogId) -> Option<LiveLog> {
        self.0
            .lock()
            .expect("no panic while holding the lock")
            .get(&log)
            .cloned()
    }
}

/// Opens a log wherever its text is. Blocks.
pub(crate) fn open(
    log: LogId,
    live: &LiveLogs,
    store: &LogStore,
    reader: &Reader,
) -> Result<Option<LogHandle>, LogReadError> {
    // Before the row: a log that ends in between is then found in the row, complete.
    let written = live.get(log);
    let stored = reader
        .log(log)
        .map_err(|source| LogReadError::Store { log, source })?;
    let Some(stored) = stored else { return Ok(None) };
    let text = match (&written, &stored.content) {
        (Some(live), _) if !stored.record.complete => Ok(live.reader()),
        (_, LogContent::Inline(bytes)) if bytes.is_empty() => {
            // Nothing committed yet, and nobody writes: a build that waits for its worker.
            match LogReader::open(
                store,
                LogSource::File {
                    key: stored.record.build.0,
                    log_id: log.0,
                },
            ) {
                Err(LogError::NoSuchLog { .. }) => {
                    let empty =
                        LogWriter::create(store, stored.record.build.0, log.0, kind_of(stored.record.kind));
                    Ok(empty.live().reader())
                }
                other => other,
            }
        }
        (_, LogContent::Inline(bytes)) => LogReader::open(store, LogSource::Inline(bytes)),
        (_, LogContent::File) => LogReader::open(
            store,
            LogSource::File {
                key: stored.record.build.0,
                log_id: log.0,
            },
        ),
    };
    let text = text.map_err(|source| LogReadError::Log { log, source })?;
    let mut record = stored.record;
    record.num_lines = text.num_lines();
    record.raw_bytes = text.raw_bytes();
    Ok(Some(LogHandle { record, reader: text }))
}

/// The kind in the words of `logs`.
pub(crate) fn kind_of(kind: LogKind) -> ironmaster_logs::LogKind {
    match kind {
        LogKind::Stdio => ironmaster_logs::LogKind::Stream,
        LogKind::Text => ironmaster_logs::LogKind::Text,
        LogKind::Html => ironmaster_logs::LogKind::Html,
    }
}
