//! Every call that a small scenario makes of the file system goes wrong once, one after the other.
//!
//! It is played once to count its calls, then again for each of them and each kind of fault: the call fails, the disk is
//! full, the power is cut. What follows is what the master would do. In the end all logs are there byte by byte, also
//! after one more loss of power.
//!
//! `IRONMASTER_FAULT_SEEDS` (1) is the number of chances what survives that are tried.

mod disk;

use std::sync::Arc;

use ironmaster_logs::{
    FinishedStorage, LogError, LogKind, LogReader, LogSource, LogStore, LogWriter, Place, Position, Stream,
};

use self::disk::{Counts, Fault, Faulty, Survivors};
use crate::support::{Item, Model, at, tiny};

/// After one fault it has to go on; more tries than this mean that it does not.
const TRIES_MAX: u32 = 3;
/// The file that is removed in the end.
const OLD: u64 = 256 + 7;
const KEY: u64 = 7;

/// What is done, in order, with the log of that number.
#[derive(Clone, Copy, Debug)]
enum Op {
    /// Gives it all items before this one.
    Feed(usize, usize),
    Flush(usize),
    Sync(usize),
    /// Commits its snapshot if it is in memory, as the database would.
    Commit(usize),
    Rest(usize),
    Finish(usize),
    Look(usize),
    /// Retention removes the file of the last log.
    Remove,
}

const OPS: &[Op] = &[
    Op::Feed(0, 2),
    Op::Commit(0),
    Op::Feed(1, 9),
    Op::Flush(1),
    Op::Sync(1),
    Op::Feed(2, 20),
    Op::Finish(2),
    Op::Feed(1, 14),
    Op::Look(1),
    Op::Feed(0, 3),
    Op::Sync(1),
    Op::Rest(1),
    Op::Feed(1, 22),
    Op::Flush(1),
    Op::Feed(0, 12),
    Op::Commit(0),
    Op::Sync(0),
    Op::Feed(1, 40),
    Op::Remove,
    Op::Finish(1),
    Op::Look(1),
    Op::Feed(0, 14),
    Op::Finish(0),
];

/// What each log's source does: small pieces, pieces larger than a block, lines that end late, several commands.
fn items(log: usize) -> Vec<Item> {
    let mut items = Vec::new();
    let (mut ordinal, mut offset) = (0, 0);
    for number in 0..40 {
        let stream = Stream::ALL[(number / 3) % 2];
        let text = match number % 5 {
            0 => format!("log {log}, piece {number}\n"),
            1 => "no end".to_owned(),
            2 => format!(" yet {}", "x".repeat(number * 17 % 150)),
            3 => "\nand\r\nmore\n".to_owned(),
            _ => "a".repeat(log * 13),
        };
        items.push(Item::Bytes(
            at(ordinal, offset),
            stream,
            text.clone().into_bytes(),
        ));
        offset += text.len() as u64;
        if number % 11 == 10 {
            items.push(Item::EndLines(at(ordinal, offset)));
            (ordinal, offset) = (ordinal + 1, 0);
        }
    }
    items
}

struct Log {
    id: u64,
    key: u64,
    items: Vec<Item>,
    next: usize,
    fed: usize,
    writer: Option<LogWriter>,
    /// Its row in the database.
    row: Option<Vec<u8>>,
    /// What was acknowledged.
    promised: Position,
    finished: bool,
}

struct Player {
    disk: Faulty,
    survivors: Survivors,
    store: Option<LogStore>,
    logs: Vec<Log>,
    removed: bool,
}

impl Player {
    fn attempt(&mut self, op: Op) -> Result<(), LogError> {
        let store = self.store.as_ref().expect("it runs");
        match op {
            Op::Feed(log, upto) => {
                let log = &mut self.logs[log];
                let writer = log.writer.as_mut().expect("it is open");
                log.fed = log.fed.max(upto);
                while log.next < upto && !writer.is_finished() {
                    match &log.items[log.next] {
                        Item::Bytes(start, stream, bytes) => writer.append(*start, *stream, bytes)?,
                        Item::EndLines(start) => writer.end_lines(*start)?,
                    }
                    log.next += 1;
                }
            }
            Op::Flush(log) => drop(self.logs[log].writer.as_mut().expect("it is open").flush()?),
            Op::Sync(log) => {
                let log = &mut self.logs[log];
                let flushed = log.writer.as_mut().expect("it is open").sync()?;
                if flushed.place == Place::File {
                    log.promised = flushed.position;
                }
            }
            Op::Commit(log) => {
                let log = &mut self.logs[log];
                if let Some(row) = log.writer.as_mut().expect("it is open").snapshot_inline()? {
                    log.row = Some(row.bytes);
                    log.promised = row.position;
                }
            }
            Op::Rest(log) => self.logs[log].writer.as_mut().expect("it is open").rest()?,
            Op::Finish(log) => {
                let log = &mut self.logs[log];
                let finished = log.writer.as_mut().expect("it is open").finish()?;
                if let FinishedStorage::Inline(row) = finished.storage {
                    log.row = Some(row);
                }
                log.promised = finished.position;
                log.finished = true;
            }
            Op::Look(log) => {
                let writer = self.logs[log].writer.as_ref().expect("it is open");
                let reader = writer.live().reader();
                let mut raw = reader.raw()?;
                while !raw.chunk()?.is_empty() {}
            }
            Op::Remove => {
                self.logs[2].writer = None;
                store.remove(OLD)?;
                self.removed = true;
            }
        }
        Ok(())
    }

    fn step(&mut self, op: Op) -> Result<(), String> {
        for _ in 0..TRIES_MAX {
            let fired = self.disk.fired();
            match self.attempt(op) {
                Ok(()) if self.disk.is_dead() => {
                    self.restart()?;
                    return Ok(());
                }
                Ok(()) => return Ok(()),
                Err(error) if fired => {
                    return Err(format!("fails although nothing is wrong any more: {error:?}"));
                }
                Err(error) if error.is_fatal() || self.disk.is_dead() => self.restart()?,
                // No space, or a call that has failed for once: the same call again.
                Err(_) => {}
            }
        }
        Err("it does not go on".into())
    }

    /// The master ends at once, and is started again.
    fn restart(&mut self) -> Result<(), String> {
        let lost_power = self.disk.is_dead();
        self.stop();
        if lost_power {
            self.disk.reboot(self.survivors);
        } else {
            self.disk.revive();
        }
        self.start()
    }

    fn stop(&mut self) {
        self.disk.kill();
        for log in &mut self.logs {
            log.writer = None;
        }
        self.store = None;
    }

    fn start(&mut self) -> Result<(), String> {
        for _ in 0..TRIES_MAX {
            let fired = self.disk.fired();
            match self.try_start() {
                Ok(checked) => return checked,
                Err(error) if fired => return Err(format!("does not start: {error:?}")),
                Err(_) => {
                    let lost_power = self.disk.is_dead();
                    self.stop();
                    if lost_power {
                        self.disk.reboot(self.survivors);
                    } else {
                        self.disk.revive();
                    }
                }
            }
        }
        Err("does not start".into())
    }

    fn try_start(&mut self) -> Result<Result<(), String>, LogError> {
        let store = LogStore::with_disk("/logs", tiny(), Arc::new(self.disk.clone()))?;
        for log in &mut self.logs {
            if log.key == OLD && self.removed {
                continue;
            }
            let (writer, resumed) =
                LogWriter::resume(&store, log.key, log.id, LogKind::Stream, log.row.as_deref())?;
            if resumed.position < log.promised || (log.finished && !resumed.finished) {
                return Ok(Err(format!(
                    "log {}: {:?} was promised, {resumed:?} is left",
                    log.id, log.promised
                )));
            }
            log.promised = resumed.position;
            // From the first item that is not wholly in the log.
            let must = log
                .items
                .iter()
                .position(|item| match item {
                    Item::Bytes(start, _, bytes) => {
                        resumed.position.consumed_of(*start, bytes.len() as u64) < bytes.len() as u64
                    }
                    Item::EndLines(start) => *start >= resumed.position,
                })
                .unwrap_or(log.items.len());
            log.next = must.min(log.next);
            log.writer = Some(writer);
        }
        self.store = Some(store);
        // What was fed before is sent again, as a worker does.
        for log in 0..self.logs.len() {
            if self.logs[log].writer.is_some() {
                self.attempt(Op::Feed(log, self.logs[log].fed))?;
            }
        }
        Ok(Ok(()))
    }

    fn check(&self) -> Result<(), String> {
        let store = self.store.as_ref().expect("it runs");
        for log in &self.logs[..2] {
            let file = LogSource::File {
                key: log.key,
                log_id: log.id,
            };
            let reader = match (LogReader::open(store, file), &log.row) {
                (Ok(reader), _) => reader,
                // It was small enough for its row.
                (Err(LogError::NoSuchLog { .. }), Some(row)) => {
                    LogReader::open(store, LogSource::Inline(row)).map_err(|error| format!("{error:?}"))?
                }
                (Err(error), _) => return Err(format!("log {}: {error:?}", log.id)),
            };
            let mut model = Model::of(&log.items[..log.fed]);
            model.finish();
            let mut bytes = Vec::new();
            let mut raw = reader.raw().map_err(|error| format!("{error:?}"))?;
            std::io::Read::read_to_end(&mut raw, &mut bytes).map_err(|error| format!("{error:?}"))?;
            if bytes != model.raw() {
                return Err(format!(
                    "log {} has {} bytes that are not the {} given",
                    log.id,
                    bytes.len(),
                    model.raw().len()
                ));
            }
            if reader.num_lines() != model.lines.len() as u64 {
                return Err(format!("log {} has {} lines", log.id, reader.num_lines()));
            }
        }
        let report = store.verify(KEY).map_err(|error| format!("{error:?}"))?;
        if !report.findings.is_empty() {
            return Err(format!("{:?}", report.findings));
        }
        Ok(())
    }
}

/// Plays all with a fault. What is not as it must be is the error.
fn play(disk: Faulty, survivors: Survivors) -> Result<Counts, String> {
    let log = |index: usize, key| Log {
        id: index as u64 + 1,
        key,
        items: items(index),
        next: 0,
        fed: 0,
        writer: None,
        row: None,
        promised: Position::default(),
        finished: false,
    };
    let mut player = Player {
        disk,
        survivors,
        store: None,
        logs: vec![log(0, KEY), log(1, KEY), log(2, OLD)],
        removed: false,
    };
    player.start()?;
    for (number, op) in OPS.iter().enumerate() {
        player
            .step(*op)
            .map_err(|what| format!("step {number}, {op:?}: {what}"))?;
    }
    let counts = player.disk.counts();
    // Whatever has gone wrong before: what is finished survives a loss of power.
    player.stop();
    player.disk.reboot(Survivors::Nothing);
    player.start().map_err(|what| format!("after the end: {what}"))?;
    player.check().map_err(|what| format!("after the end: {what}"))?;
    Ok(counts)
}

fn seeds() -> u64 {
    std::env::var("IRONMASTER_FAULT_SEEDS").map_or(1, |seeds| seeds.parse().expect("a number"))
}

fn count() -> Counts {
    play(Faulty::new(Fault::Nothing), Survivors::Nothing)
        .unwrap_or_else(|what| panic!("without any fault: {what}"))
}

fn check(name: &str, faults: impl Iterator<Item = Fault>, survivors: &[Survivors]) {
    let mut played = 0;
    let mut wrong = Vec::new();
    for fault in faults {
        for survivors in survivors {
            played += 1;
            if let Err(what) = play(Faulty::new(fault), *survivors) {
                wrong.push(format!("{fault:?}, {survivors:?}: {what}"));
            }
        }
    }
    println!("faults: {played} histories checked ({name})");
    assert!(played > 20, "only {played}");
    assert!(
        wrong.is_empty(),
        "{} of {played}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_call_fails_once() {
    let calls = count().calls;
    check(
        "logs, a call fails",
        (1..=calls).map(Fault::Error),
        &[Survivors::Nothing],
    );
}

#[test]
fn every_growth_finds_the_disk_full() {
    let growths = count().growths;
    check(
        "logs, no space",
        (1..=growths).map(Fault::Full),
        &[Survivors::Nothing],
    );
}

#[test]
fn the_power_fails_at_every_change() {
    let changes = count().changes;
    let mut survivors = vec![Survivors::Nothing, Survivors::Everything];
    survivors.extend((0..4 * seeds()).map(|seed| Survivors::Some { seed }));
    check("logs, the power fails", (1..=changes).map(Fault::Cut), &survivors);
}

/// That the tests above can fail: a disk that does not sync when it is told to loses what was promised.
#[test]
fn a_lying_disk_is_found_out() {
    let changes = count().changes;
    let lost = (1..=changes)
        .filter(|n| play(Faulty::lying(Fault::Cut(*n)), Survivors::Nothing).is_err())
        .count() as u64;
    assert!(lost > changes / 2, "only {lost} of {changes}");
}
