//! The logs of one running step.

use std::{collections::BTreeMap, sync::Arc};

use ironmaster_logs::{FinishedStorage, LogError, LogStore, LogWriter, PendingSync, Place, Position, Stream};
use ironmaster_model::{LogContent, LogId, LogRecord, LogSave};
use ironmaster_steps::HostError;
use ironmaster_store::Reader;

use super::Runner;
use crate::{
    committer::chain,
    feed::{Feed, Hint},
    logs::{LiveLogs, kind_of},
};

/// Between two looks whether a full disk has room again.
pub(super) const SPACE_INTERVAL: std::time::Duration = std::time::Duration::from_secs(1);

/// The writers, by name.
#[derive(Debug, Default)]
pub(super) struct StepLogs {
    logs: BTreeMap<String, StepLog>,
}

/// The logs of a finished step: readers find them here until its outcome is committed, in their rows from then on.
#[derive(Debug)]
pub(super) struct FinishedLogs {
    runner: Arc<Runner>,
    logs: Vec<LogId>,
}

impl FinishedLogs {
    pub(super) fn new(runner: Arc<Runner>, logs: Vec<LogId>) -> Self {
        Self { runner, logs }
    }
}

impl Drop for FinishedLogs {
    fn drop(&mut self) {
        for log in &self.logs {
            self.runner.live.remove(*log);
        }
    }
}

/// Logs that are being made durable.
pub(super) type Syncing = tokio::task::JoinHandle<Synced>;

/// Logs that were made durable.
#[derive(Debug)]
pub(super) struct Synced {
    begun: Vec<(String, PendingSync)>,
    /// All output of the command below this is durable, whichever log it belongs to.
    pub(super) reach: u64,
}

/// How much an operation appends.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    pub(super) bytes: usize,
    pub(super) pieces: usize,
}

#[derive(Debug)]
struct StepLog {
    record: LogRecord,
    writer: LogWriter,
    /// Lines that the last hint told of.
    hinted: u64,
}

impl StepLogs {
    /// Adds a log that was just opened.
    pub(super) fn create(&mut self, store: &LogStore, live: &LiveLogs, record: LogRecord) {
        let writer = LogWriter::create(store, record.build.0, record.id.0, kind_of(record.kind));
        self.add(live, record, writer);
    }

    /// Takes up a log that an earlier process of this master wrote. Blocks.
    pub(super) fn resume(
        &mut self,
        store: &LogStore,
        live: &LiveLogs,
        reader: &Reader,
        record: LogRecord,
    ) -> Result<(), HostError> {
        let lost = |reason: String| HostError::Lost {
            reason: format!("log \"{}\" cannot be taken up: {reason}", record.name),
        };
        let stored = reader.log(record.id).map_err(|error| lost(chain(&error)))?;
        let inline = stored.and_then(|stored| match stored.content {
            LogContent::Inline(bytes) if !bytes.is_empty() => Some(bytes),
            _ => None,
        });
        let (writer, resumed) = LogWriter::resume(
            store,
            record.build.0,
            record.id.0,
            kind_of(record.kind),
            inline.as_deref(),
        )
        .map_err(|error| lost(chain(&error)))?;
        if resumed.cut_bytes > 0 {
            tracing::info!(log = %record.id, bytes = resumed.cut_bytes, "cut a torn tail; the worker sends it again");
        }
        self.add(live, record, writer);
        Ok(())
    }

    fn add(&mut self, live: &LiveLogs, record: LogRecord, writer: LogWriter) {
        live.add(record.id, writer.live());
        self.logs.insert(
            record.name.clone(),
            StepLog {
                record,
                writer,
                hinted: 0,
            },
        );
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.logs.contains_key(name)
    }

    /// How far a log has come.
    pub(super) fn accepted(&self, name: &str) -> Position {
        self.logs
            .get(name)
            .map(|log| log.writer.accepted())
            .unwrap_or_default()
    }

    /// Appends what `operation` appends: `size` bytes. Waits for room on the disk where there is none.
    pub(super) async fn write<T>(
        &mut self,
        name: &str,
        size: Size,
        mut operation: impl FnMut(&mut LogWriter) -> Result<T, LogError>,
    ) -> Result<T, HostError> {
        let log = self.logs.get_mut(name).ok_or_else(|| HostError::Refused {
            reason: format!("the step has no log \"{name}\""),
        })?;
        with_room(&mut log.writer, size, &mut operation).await
    }

    /// Makes what was appended to these logs visible. What is in the build's file is then made durable on a thread that may block,
    /// while more is appended: hand what comes of it to [`Self::synced`]. None if nothing is in the file. `received` is the end of
    /// what has arrived of the output of the command with this ordinal.
    pub(super) async fn begin_sync(
        &mut self,
        ordinal: u32,
        names: &[&str],
        received: u64,
        feed: &Feed,
    ) -> Result<Option<Syncing>, HostError> {
        let mut reach = received;
        let mut begun = Vec::new();
        for name in names {
            let Some(log) = self.logs.get_mut(*name) else {
                continue;
            };
            let (flushed, pending) =
                with_room(&mut log.writer, Size::default(), &mut LogWriter::begin_sync).await?;
            if flushed.num_lines != log.hinted {
                log.hinted = flushed.num_lines;
                let LogRecord { build, step, id, .. } = log.record;
                feed.hint(Hint::LogGrew {
                    build,
                    step,
                    log: id,
                    num_lines: flushed.num_lines,
                });
            }
            match pending {
                Some(pending) => begun.push(((*name).to_owned(), pending)),
                // Only a commit makes it durable.
                None => reach = reach.min(log.durable_of(ordinal).unwrap_or(reach)),
            }
        }
        if begun.is_empty() {
            return Ok(None);
        }
        Ok(Some(tokio::task::spawn_blocking(move || {
            for (_, pending) in &begun {
                if let Err(error) = pending.run() {
                    give_up(&error);
                }
            }
            Synced { begun, reach }
        })))
    }

    /// What was begun is done: up to there these logs survive a loss of power.
    pub(super) fn synced(&mut self, done: &Synced) {
        for (name, pending) in &done.begun {
            if let Some(log) = self.logs.get_mut(name) {
                log.writer.synced(pending);
            }
        }
    }

    /// Moves those of these logs to the build's file that have something of the command with this ordinal in memory.
    pub(super) async fn leave_memory(&mut self, ordinal: u32, names: &[&str]) -> Result<(), HostError> {
        for name in names {
            if let Some(log) = self.logs.get_mut(*name)
                && log.durable_of(ordinal).is_some()
            {
                with_room(&mut log.writer, Size::default(), &mut LogWriter::leave_memory).await?;
            }
        }
        Ok(())
    }

    /// Durable text, or text to be committed, of all logs; ends them if `finish`.
    pub(super) async fn save(&mut self, finish: bool) -> Result<Vec<LogSave>, HostError> {
        let mut saves = Vec::with_capacity(self.logs.len());
        for log in self.logs.values_mut() {
            saves.push(if finish {
                log.finish().await?
            } else {
                log.save().await?
            });
        }
        Ok(saves)
    }

    /// The ids, for taking them off the list of live logs.
    pub(super) fn ids(&self) -> impl Iterator<Item = LogId> {
        self.logs.values().map(|log| log.record.id)
    }
}

impl StepLog {
    /// How much of the output of the command with this ordinal is durable as far as this log is concerned, if not all is.
    fn durable_of(&self, ordinal: u32) -> Option<u64> {
        let (accepted, durable) = (self.writer.accepted(), self.writer.durable());
        let waits = accepted.ordinal == ordinal && durable < accepted;
        waits.then_some(if durable.ordinal == ordinal {
            durable.offset
        } else {
            0
        })
    }

    async fn finish(&mut self) -> Result<LogSave, HostError> {
        let finished = with_room(&mut self.writer, Size::default(), &mut LogWriter::finish).await?;
        Ok(LogSave {
            log: self.record.id,
            num_lines: finished.num_lines,
            raw_bytes: finished.raw_bytes,
            complete: true,
            content: match finished.storage {
                FinishedStorage::Inline(bytes) => LogContent::Inline(bytes),
                FinishedStorage::File => LogContent::File,
            },
        })
    }

    async fn save(&mut self) -> Result<LogSave, HostError> {
        let flushed = with_room(&mut self.writer, Size::default(), &mut LogWriter::sync).await?;
        let content = match flushed.place {
            Place::File => LogContent::File,
            Place::Memory => {
                match with_room(&mut self.writer, Size::default(), &mut LogWriter::snapshot_inline).await? {
                    Some(inline) => LogContent::Inline(inline.bytes),
                    None => LogContent::File,
                }
            }
        };
        let live = self.writer.live();
        Ok(LogSave {
            log: self.record.id,
            num_lines: live.num_lines(),
            raw_bytes: live.raw_bytes(),
            complete: false,
            content,
        })
    }
}

/// As for the database: what the disk holds is unknown, and the next start reads it.
fn give_up(error: &LogError) -> ! {
    tracing::error!(
        error = chain(error),
        "the master ends here and recovers at its next start"
    );
    std::process::exit(70)
}

/// Calls a writer until there is room. What it was given is not lost and not doubled: positions see to that.
async fn with_room<T>(
    writer: &mut LogWriter,
    size: Size,
    operation: &mut impl FnMut(&mut LogWriter) -> Result<T, LogError>,
) -> Result<T, HostError> {
    let mut said = false;
    loop {
        // To hand this thread's other tasks to another one costs more than a small log does.
        let result = if writer.stays_in_memory(size.bytes, size.pieces) {
            operation(writer)
        } else {
            tokio::task::block_in_place(|| operation(writer))
        };
        let error = match result {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if error.is_fatal() {
            give_up(&error);
        }
        if !error.is_no_space() {
            return Err(HostError::Lost {
                reason: format!("its log cannot be written: {}", chain(&error)),
            });
        }
        if !std::mem::replace(&mut said, true) {
            tracing::error!(
                error = chain(&error),
                "a log waits for room on the disk; its command's output waits with it"
            );
        }
        tokio::time::sleep(SPACE_INTERVAL).await;
    }
}

/// A stream in the words of `logs`.
pub(super) fn stream_of(stream: ironmaster_wire::Stream) -> Stream {
    match stream {
        ironmaster_wire::Stream::Stdout | ironmaster_wire::Stream::File(_) => Stream::Stdout,
        ironmaster_wire::Stream::Stderr => Stream::Stderr,
        ironmaster_wire::Stream::Header => Stream::Header,
    }
}
