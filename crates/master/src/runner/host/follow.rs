//! A command's output on its way into the step's logs, until the command has ended.
//!
//! All output of a command is one sequence of bytes, whichever log a piece of it belongs to, and each log remembers how far in that
//! sequence it has come. The worker may drop what lies below an acknowledgement, so all logs have to be durable up to there.

use std::{cmp::Ordering, collections::VecDeque, time::Duration};

use ironmaster_logs::{LogError, LogWriter, Position};
use ironmaster_steps::{HostError, Output, StepHost};
use ironmaster_wire::{CommandId, Outcome, OutputChunk, Stream};
use tokio::time::Instant;

use super::Host;
use crate::{
    committer::chain,
    crash,
    files::{FileError, Incoming},
    inbox::{Arrived, CommandEnd, Inbox},
    runner::{
        record::Recorded,
        step_logs::{SPACE_INTERVAL, Size, Synced, Syncing, stream_of},
    },
    workers::From,
};

/// How long output may stay invisible and unacknowledged.
const FLUSH_INTERVAL: Duration = Duration::from_millis(100);
/// Output after which a file is made durable without waiting for that.
const SYNC_BYTES: usize = 1024 * 1024;
/// Output after which a small log must not hold up the acknowledgement of others any more by staying in memory. The worker sends
/// a few times as much before it waits.
const HELD_UP_MAX: u64 = 1024 * 1024;

/// So much of a file arrives between two words about it.
const TOLD_BYTES: u64 = 32 * 1024 * 1024;

/// Where a command's output goes.
#[derive(Debug)]
pub(super) struct Sinks<'o> {
    /// The log of what it prints, if there is one, then those of its log files.
    pub(super) logs: Vec<&'o str>,
    /// How much of its standard output is captured.
    capture: Option<usize>,
    /// The file that its standard output becomes.
    pub(super) file: Option<Incoming>,
}

impl<'o> Sinks<'o> {
    pub(super) fn of(output: &'o Output) -> Self {
        let (logs, capture) = match output {
            Output::Log(log) => (vec![log.as_str()], None),
            Output::Logs { log, files } => {
                let files = files.iter().map(String::as_str);
                (std::iter::once(log.as_str()).chain(files).collect(), None)
            }
            Output::Capture(max) => (Vec::new(), Some(*max)),
            Output::Both(log, max) => (vec![log.as_str()], Some(*max)),
            Output::File { .. } => (Vec::new(), None),
        };
        Self {
            logs,
            capture,
            file: None,
        }
    }

    /// The log for a piece of output, by its number here.
    fn number(stream: Stream) -> usize {
        match stream {
            Stream::Stdout | Stream::Stderr | Stream::Header => 0,
            Stream::File(file) => usize::from(file) + 1,
        }
    }
}

/// How far the output has come.
#[derive(Debug, Default)]
struct Progress {
    /// The end of what has arrived.
    received: u64,
    /// What the worker was told that it need not keep.
    acknowledged: u64,
    /// Bytes since a sync was last begun.
    unsynced: usize,
    /// How much of a file people were last told to be there.
    told: u64,
}

impl Host {
    /// Where output of a command is wanted from: behind what each log has of it already.
    pub(super) fn wanted_from(&self, ordinal: u32, sinks: &Sinks<'_>) -> From {
        if sinks.capture.is_some() {
            return From::Offset(0);
        }
        if let Some(file) = &sinks.file {
            return match file.had() {
                0 => From::Offset(0),
                // What the worker has dropped is durable here, and what it has not it sends again.
                had => From::Between(0, had),
            };
        }
        let (mut least, mut most) = (u64::MAX, 0);
        for log in &sinks.logs {
            let accepted = self.logs.accepted(log);
            let reached = match accepted.ordinal.cmp(&ordinal) {
                Ordering::Less => 0,
                Ordering::Equal => accepted.offset,
                Ordering::Greater => u64::MAX,
            };
            (least, most) = (least.min(reached), most.max(reached));
        }
        match least {
            u64::MAX => From::End,
            least if least == most => From::Offset(least),
            least => From::Between(least, most),
        }
    }

    /// Takes output until the command has ended.
    pub(super) async fn follow(
        &mut self,
        id: CommandId,
        inbox: &Inbox,
        sinks: &Sinks<'_>,
    ) -> Result<Recorded, HostError> {
        let capture = sinks.capture;
        let mut captured = Vec::new();
        let mut too_much = false;
        let mut progress = Progress::default();
        let mut flush_at: Option<Instant> = None;
        let mut syncing: Option<Syncing> = None;
        let mut control = self.control.clone();
        let mut stopped = None;
        loop {
            let flush = async {
                match flush_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            if stopped.is_none() {
                match self.ended() {
                    Some(HostError::Stopped { by, reason }) => {
                        self.link.interrupt(id, &reason);
                        stopped = Some(HostError::Stopped { by, reason });
                    }
                    Some(lost) => return Err(lost),
                    None => {}
                }
            }
            tokio::select! {
                biased;
                changed = control.changed() => {
                    if changed.is_err() {
                        return Err(HostError::Lost { reason: "the build is over".into() });
                    }
                    if let Some(lost @ HostError::Lost { .. }) = self.ended() {
                        return Err(lost);
                    }
                }
                done = async { syncing.as_mut().expect("there is one").await }, if syncing.is_some() => {
                    syncing = None;
                    if let (Ok(done), None) = (done, capture) {
                        self.acknowledge(id, &done, &mut progress);
                    }
                    if progress.unsynced >= SYNC_BYTES {
                        syncing = self.begin_sync(id, sinks, &mut progress).await?;
                    }
                }
                () = flush, if syncing.is_none() => {
                    flush_at = None;
                    syncing = self.begin_sync(id, sinks, &mut progress).await?;
                }
                Arrived { chunks, end } = inbox.take() => {
                    match &sinks.file {
                        Some(file) => self.write_file(id, file, &chunks, &mut progress).await?,
                        None => self.write(id, sinks, &chunks, &mut progress).await?,
                    }
                    for chunk in &chunks {
                        if let Some(max) = capture && chunk.stream == Stream::Stdout {
                            too_much |= captured.len() + chunk.data.len() > max;
                            let room = max.saturating_sub(captured.len()).min(chunk.data.len());
                            captured.extend_from_slice(&chunk.data[..room]);
                        }
                    }
                    if too_much && stopped.is_none() {
                        let reason = format!("the command printed more than the {} bytes that can be captured", capture.unwrap_or(0));
                        self.link.interrupt(id, &reason);
                        stopped = Some(HostError::Refused { reason });
                    }
                    match end {
                        // Files are made durable as they are written.
                        None if sinks.file.is_some() => {}
                        None => {
                            if progress.unsynced >= SYNC_BYTES && syncing.is_none() {
                                syncing = self.begin_sync(id, sinks, &mut progress).await?;
                            }
                            flush_at.get_or_insert_with(|| Instant::now() + FLUSH_INTERVAL);
                        }
                        Some(CommandEnd::Lost(reason)) => return Err(HostError::Lost { reason }),
                        Some(CommandEnd::Exited(exited)) => {
                            crash::point("command_exited");
                            let at = Position::new(id.ordinal, exited.output_end);
                            for log in &sinks.logs {
                                self.logs.write(log, Size::default(), |writer| writer.end_lines(at)).await?;
                            }
                            return match (stopped, exited.outcome) {
                                (Some(error @ HostError::Refused { .. }), _) | (Some(error), Outcome::Interrupted { .. }) => Err(error),
                                (_, outcome) => {
                                    let file_bytes = match (&sinks.file, &outcome) {
                                        (Some(file), Outcome::Value { .. }) => {
                                            in_place(|| file.publish(exited.output_end))?;
                                            crash::point("file_published");
                                            exited.output_end
                                        }
                                        _ => 0,
                                    };
                                    Ok(Recorded { outcome, duration_ms: exited.duration_ms, captured, file_bytes })
                                }
                            };
                        }
                    }
                }
            }
        }
    }

    /// Appends each piece to its log.
    async fn write(
        &mut self,
        id: CommandId,
        sinks: &Sinks<'_>,
        chunks: &VecDeque<OutputChunk>,
        progress: &mut Progress,
    ) -> Result<(), HostError> {
        let (Some(first), Some(last)) = (chunks.front(), chunks.back()) else {
            return Ok(());
        };
        if progress.received == 0 {
            progress.acknowledged = first.offset;
        }
        progress.received = last.end();
        if sinks.logs.is_empty() {
            return Ok(());
        }
        if chunks
            .iter()
            .any(|chunk| Sinks::number(chunk.stream) >= sinks.logs.len())
        {
            return Err(HostError::Lost {
                reason: "the worker sends a log file that it was not asked for".into(),
            });
        }
        for (number, log) in sinks.logs.iter().enumerate() {
            let own = || {
                chunks
                    .iter()
                    .filter(move |chunk| Sinks::number(chunk.stream) == number)
            };
            let size = Size {
                bytes: own().map(|chunk| chunk.data.len()).sum(),
                pieces: own().count(),
            };
            if size.pieces > 0 {
                let write = |writer: &mut LogWriter| append(writer, id, own());
                self.logs.write(log, size, write).await?;
                progress.unsynced += size.bytes;
            }
        }
        Ok(())
    }

    /// Writes each piece to its place in a file, and makes the file durable from time to time.
    async fn write_file(
        &mut self,
        id: CommandId,
        file: &Incoming,
        chunks: &VecDeque<OutputChunk>,
        progress: &mut Progress,
    ) -> Result<(), HostError> {
        // What the worker says of it besides is for nobody.
        let pieces = || chunks.iter().filter(|chunk| chunk.stream == Stream::Stdout);
        let mut said = false;
        // A piece may be written twice.
        while let Err(error) = tokio::task::block_in_place(|| {
            pieces().try_for_each(|chunk| file.write(chunk.offset, &chunk.data))
        }) {
            if !error.is_no_space() {
                return Err(refused(&error));
            }
            if let Some(end) = self.ended() {
                return Err(end);
            }
            if !std::mem::replace(&mut said, true) {
                tracing::error!(error = chain(&error), "an upload waits for room on the disk");
            }
            tokio::time::sleep(SPACE_INTERVAL).await;
        }
        progress.unsynced += pieces().map(|chunk| chunk.data.len()).sum::<usize>();
        progress.received = chunks.back().map_or(progress.received, OutputChunk::end);
        if progress.unsynced >= SYNC_BYTES {
            in_place(|| file.sync())?;
            progress.unsynced = 0;
            crash::point("output_durable");
            self.link.ack(id, progress.received);
        }
        if progress.received >= progress.told + TOLD_BYTES {
            progress.told = progress.received;
            let told = format!("uploading {}: {} MiB", file.path(), progress.received >> 20);
            self.set_state(&told).await?;
        }
        Ok(())
    }

    /// Makes output visible and begins to make it durable; none if there is no file to sync. Captured output is only in
    /// memory here: the worker keeps it until the outcome is committed.
    async fn begin_sync(
        &mut self,
        id: CommandId,
        sinks: &Sinks<'_>,
        progress: &mut Progress,
    ) -> Result<Option<Syncing>, HostError> {
        progress.unsynced = 0;
        let held_up = progress.received - progress.acknowledged.min(progress.received) >= HELD_UP_MAX;
        if held_up && sinks.logs.len() > 1 {
            self.logs.leave_memory(id.ordinal, &sinks.logs).await?;
        }
        self.logs
            .begin_sync(id.ordinal, &sinks.logs, progress.received, &self.runner.feed)
            .await
    }

    /// Output is durable: tells the worker what it need not keep.
    fn acknowledge(&mut self, id: CommandId, done: &Synced, progress: &mut Progress) {
        self.logs.synced(done);
        crash::point("output_durable");
        if done.reach > progress.acknowledged {
            progress.acknowledged = done.reach;
            self.link.ack(id, done.reach);
        }
    }
}

/// Does something with a file that may block, while this thread's other tasks go to another one.
pub(super) fn in_place<T>(operation: impl FnOnce() -> Result<T, FileError>) -> Result<T, HostError> {
    tokio::task::block_in_place(operation).map_err(|error| refused(&error))
}

fn refused(error: &FileError) -> HostError {
    let reason = error.to_string();
    if error.is_no_space() {
        // What the disk holds of it is unknown, and there is room some day.
        return HostError::Lost { reason };
    }
    HostError::Refused { reason }
}

/// Appends a command's output. What an attempt that found no room has taken is known by its position.
fn append<'c>(
    writer: &mut LogWriter,
    id: CommandId,
    chunks: impl Iterator<Item = &'c OutputChunk>,
) -> Result<(), LogError> {
    for chunk in chunks {
        let start = Position::new(id.ordinal, chunk.offset);
        writer.append(start, stream_of(chunk.stream), &chunk.data)?;
    }
    Ok(())
}
