//! What is played, by a master that reacts to errors as the real one does, and what must be true all the time.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use ironmaster_store::{
    Batch, CommitError, OpenOptions, Query, Reader, Resource, SqliteStore, Store as _, StoreError, fsck,
};
use rusqlite::{Connection, OpenFlags};

use super::{
    disk::{Counts, Disk, Survivors},
    vfs::Vfs,
};
use crate::{
    conformance::shown,
    history::{Commit, History},
    world::World,
};

/// After one fault it has to go on; more tries than this mean that it does not.
const TRIES_MAX: u32 = 3;
/// So small that commits copy the log into the database now and then.
const LOG_PAGES: u32 = 60;

/// What happens, in order.
pub(super) struct Scenario {
    /// The database before it; none = it is made, with all its tables.
    database: Option<Vec<u8>>,
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Commit(Commit),
    Meta(&'static str, String),
    Cursor(&'static str, u64),
    /// Removes old events, up to so many of the newest.
    Prune(u64),
    /// Somebody's shell copies the log into the database.
    Checkpoint,
    /// A page is looked at.
    Read,
    /// The master is stopped, and started again.
    Restart,
}

impl Scenario {
    /// A database is made, and used a little.
    pub(super) fn first_start(seed: u64) -> Self {
        let mut history = History::new(2000 + seed);
        let mut steps = vec![Step::Meta("installation", "one".into())];
        steps.extend(history.commits(2).into_iter().map(Step::Commit));
        Self {
            database: None,
            steps,
        }
    }

    /// All that is ever written, in a database that has its tables.
    pub(super) fn daily_use(seed: u64) -> Self {
        let mut history = History::new(1000 + seed);
        let mut steps = Vec::new();
        let commits = |steps: &mut Vec<Step>, history: &mut History, number| {
            steps.extend(history.commits(number).into_iter().map(Step::Commit));
        };
        commits(&mut steps, &mut history, 2);
        steps.push(Step::Meta("installation", "one".into()));
        steps.push(Step::Read);
        commits(&mut steps, &mut history, 4);
        steps.push(Step::Cursor("mail", 3));
        steps.push(Step::Checkpoint);
        commits(&mut steps, &mut history, 1);
        steps.push(Step::Restart);
        commits(&mut steps, &mut history, 2);
        steps.push(Step::Meta("installation", "two".into()));
        steps.push(Step::Prune(5));
        steps.push(Step::Cursor("mail", 9));
        steps.push(Step::Read);
        commits(&mut steps, &mut history, 2);
        Self {
            database: Some(empty_database()),
            steps,
        }
    }
}

fn empty_database() -> Vec<u8> {
    let directory = directory().unwrap();
    let path = directory.path().join("test.db");
    drop(SqliteStore::open(&path, OpenOptions::default()).unwrap());
    std::fs::read(&path).unwrap()
}

/// Plays a scenario on a disk. What is not as it must be is the error.
pub(super) fn play(scenario: &Scenario, disk: Disk, survivors: Survivors) -> Result<Counts, String> {
    let directory = directory().map_err(|error| error.to_string())?;
    let path = directory.path().join("test.db");
    if let Some(database) = &scenario.database {
        std::fs::write(&path, database).map_err(|error| error.to_string())?;
    }
    let vfs = Vfs::new(disk);
    let mut player = Player {
        path,
        vfs: &vfs,
        survivors,
        open: None,
        batch: 0,
        world: World::of(&[]),
        metas: BTreeMap::new(),
        cursors: BTreeMap::new(),
        oldest: 1,
    };
    player.start(None)?;
    for (number, step) in scenario.steps.iter().enumerate() {
        let mut tries = 0;
        while !player
            .step(step)
            .map_err(|what| format!("step {number}, {}: {what}", name(step)))?
        {
            tries += 1;
            if tries == TRIES_MAX {
                return Err(format!("step {number}, {}: it does not go on", name(step)));
            }
        }
    }
    let counts = vfs.disk().counts();
    // Whatever has gone wrong before: what is acknowledged by now survives a loss of power.
    player.stop();
    vfs.disk().reboot(Survivors::Nothing);
    player
        .start(None)
        .map_err(|what| format!("after the end: {what}"))?;
    player.fsck()?;
    player.stop();
    Ok(counts)
}

/// In memory if that is possible: what is durable is the model's business, and nothing has to wait for a disk.
fn directory() -> std::io::Result<tempfile::TempDir> {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())
}

fn name(step: &Step) -> String {
    match step {
        Step::Commit(commit) => format!("commit up to event {}", commit.events.last().unwrap().seq),
        other => format!("{other:?}"),
    }
}

struct Player<'a> {
    path: PathBuf,
    vfs: &'a Vfs,
    survivors: Survivors,
    open: Option<(SqliteStore, Reader)>,
    batch: u64,
    /// What was acknowledged.
    world: World,
    metas: BTreeMap<&'static str, String>,
    cursors: BTreeMap<&'static str, u64>,
    oldest: u64,
}

/// What the caller of a write is to do.
enum Next {
    Again,
    Restart,
}

impl Player<'_> {
    /// Whether the step is done; if not, it is to be tried again.
    fn step(&mut self, step: &Step) -> Result<bool, String> {
        let fired = self.vfs.disk().fired().is_some();
        let result = self.attempt(step);
        let error = match result {
            Ok(()) => {
                self.acknowledge(step);
                // The power may have failed where nobody was told of it, as when a copy of the log fails.
                if self.vfs.disk().is_dead() {
                    self.restart(None)?;
                }
                return Ok(true);
            }
            Err(error) => error,
        };
        if fired {
            return Err(format!(
                "fails although nothing is wrong any more: {}",
                chain(&*error)
            ));
        }
        let next = match error.downcast_ref::<CommitError>() {
            Some(CommitError::NoSpace) => {
                self.room_again(step)?;
                Next::Again
            }
            Some(CommitError::Fatal { .. } | CommitError::Unknown { .. }) => Next::Restart,
            Some(CommitError::Rejected { .. } | CommitError::Unreachable { .. }) => {
                return Err(chain(&*error));
            }
            // A reader or a shell: asked again.
            None if self.vfs.disk().is_dead() => Next::Restart,
            None => Next::Again,
        };
        match next {
            Next::Again => Ok(false),
            Next::Restart => self.restart(Some(step)),
        }
    }

    fn attempt(&mut self, step: &Step) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let (store, reader) = self.open.as_mut().expect("it runs");
        match step {
            Step::Commit(commit) => {
                self.batch += 1;
                store.commit(&Batch {
                    id: self.batch,
                    events: &commit.events,
                    counters: &commit.counters,
                    meta: &[],
                })?;
            }
            Step::Meta(key, value) => store.set_meta(key, value)?,
            Step::Cursor(name, seq) => store.save_cursor(name, *seq)?,
            Step::Prune(keep) => drop(store.prune_events(*keep)?),
            Step::Checkpoint => {
                let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let shell = Connection::open_with_flags_and_vfs(&self.path, flags, self.vfs.name())?;
                shell.query_row("pragma wal_checkpoint(passive)", [], |_| Ok(()))?;
            }
            Step::Read => {
                reader.query(Resource::Builds, &Query::default())?;
                reader.last_seq()?;
            }
            Step::Restart => {
                drop(self.open.take());
                let open = SqliteStore::open(&self.path, self.options());
                match open {
                    Ok(open) => self.open = Some(open),
                    // `restart` tries once more.
                    Err(error) => {
                        return Err(CommitError::Unknown { source: error.into() }.into());
                    }
                }
                self.batch = 0;
                self.open
                    .as_mut()
                    .expect("it is open")
                    .0
                    .load()
                    .map_err(|error| CommitError::Unknown { source: error.into() })?;
            }
        }
        Ok(())
    }

    fn options(&self) -> OpenOptions {
        OpenOptions {
            vfs: Some(self.vfs.name()),
            log_pages: Some(LOG_PAGES),
            readers: 1,
            busy_timeout: Duration::ZERO,
            ..OpenOptions::default()
        }
    }

    fn acknowledge(&mut self, step: &Step) {
        match step {
            Step::Commit(commit) => self.world.commit(commit),
            Step::Meta(key, value) => drop(self.metas.insert(key, value.clone())),
            Step::Cursor(name, seq) => drop(self.cursors.insert(name, *seq)),
            Step::Prune(keep) => {
                self.oldest = (self.world.events.len() as u64 + 1).saturating_sub(*keep).max(1);
            }
            Step::Checkpoint | Step::Read | Step::Restart => {}
        }
    }

    /// The disk was full: the database is as before, and takes what is written next.
    fn room_again(&mut self, refused: &Step) -> Result<(), String> {
        let (store, _) = self.open.as_mut().expect("it runs");
        if matches!(refused, Step::Commit(_)) && store.committed(self.batch).map_err(|error| chain(&error))? {
            return Err("no space, and yet committed".into());
        }
        let loaded = store.load().map_err(|error| chain(&error))?;
        same(&loaded, &self.world)?;
        store.probe().map_err(|error| chain(&error))
    }

    /// The master ends at once, and is started again. Whether the step in flight turns out to be done.
    fn restart(&mut self, in_flight: Option<&Step>) -> Result<bool, String> {
        let lost_power = self.vfs.disk().is_dead();
        self.stop();
        if lost_power {
            self.vfs.disk().reboot(self.survivors);
        } else {
            self.vfs.disk().revive();
        }
        self.start(in_flight)
    }

    /// As by `kill -9`.
    fn stop(&mut self) {
        self.vfs.disk().kill();
        drop(self.open.take());
    }

    /// Opens and checks everything. Whether the step in flight turns out to be done.
    fn start(&mut self, in_flight: Option<&Step>) -> Result<bool, String> {
        for _ in 0..TRIES_MAX {
            let fired = self.vfs.disk().fired().is_some();
            match self.try_start(in_flight) {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(what)) => return Err(what),
                Err(error) if fired => {
                    return Err(format!("does not start: {}", chain(&error)));
                }
                Err(_) => {
                    let lost_power = self.vfs.disk().is_dead();
                    self.stop();
                    if lost_power {
                        self.vfs.disk().reboot(self.survivors);
                    } else {
                        self.vfs.disk().revive();
                    }
                }
            }
        }
        Err("does not start".into())
    }

    fn try_start(&mut self, in_flight: Option<&Step>) -> Result<Result<bool, String>, StoreError> {
        // Opening does that first, past SQLite's file system, before anything is added to the log.
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        self.vfs.disk().rewritten(Path::new(&log));
        let (mut store, reader) = SqliteStore::open(&self.path, self.options())?;
        let loaded = store.load()?;
        self.batch = 0;
        let mut done = false;
        if let Some(Step::Commit(commit)) = in_flight
            && loaded.seq > self.world.events.len() as u64
        {
            self.world.commit(commit);
            done = true;
        }
        if let Err(what) = same(&loaded, &self.world) {
            return Ok(Err(what));
        }
        let checked = self.check(&reader, in_flight)?;
        self.open = Some((store, reader));
        Ok(checked.map(|also| done || also))
    }

    /// All but what is loaded. Whether the step in flight turns out to be done.
    fn check(
        &mut self,
        reader: &Reader,
        in_flight: Option<&Step>,
    ) -> Result<Result<bool, String>, StoreError> {
        let mut done = false;
        {
            let key = "installation";
            let stored = reader.meta(key)?;
            match in_flight {
                Some(Step::Meta(name, value)) if *name == key && stored.as_ref() == Some(value) => {
                    self.metas.insert(key, value.clone());
                    done = true;
                }
                _ if stored.as_ref() != self.metas.get(key) => {
                    return Ok(Err(format!("{key} is {stored:?}, not {:?}", self.metas.get(key))));
                }
                _ => {}
            }
        }
        {
            let name = "mail";
            let stored = reader.cursor(name)?;
            match in_flight {
                Some(Step::Cursor(cursor, seq)) if *cursor == name && stored == Some(*seq) => {
                    self.cursors.insert(name, *seq);
                    done = true;
                }
                _ if stored != self.cursors.get(name).copied() => {
                    return Ok(Err(format!(
                        "cursor {name} is {stored:?}, not {:?}",
                        self.cursors.get(name)
                    )));
                }
                _ => {}
            }
        }
        let events = match reader.events_after(self.oldest - 1, usize::MAX) {
            Ok(events) => events,
            Err(ironmaster_store::EventsError::TooOld { oldest })
                if matches!(in_flight, Some(Step::Prune(_))) =>
            {
                self.oldest = oldest;
                done = true;
                match reader.events_after(oldest - 1, usize::MAX) {
                    Ok(events) => events,
                    Err(error) => return Ok(Err(chain(&error))),
                }
            }
            Err(ironmaster_store::EventsError::Store(error)) => return Err(error),
            Err(error) => return Ok(Err(chain(&error))),
        };
        let expected: Vec<_> = self.world.events[self.oldest as usize - 1..]
            .iter()
            .map(shown)
            .collect();
        if events != expected {
            return Ok(Err("the feed differs".into()));
        }
        Ok(Ok(done))
    }

    /// At the end only: what is damaged does not heal.
    fn fsck(&self) -> Result<(), String> {
        let (_, reader) = self.open.as_ref().expect("it runs");
        let findings: Vec<_> = fsck(reader)
            .map_err(|error| chain(&error))?
            .into_iter()
            // Histories from seeds know nothing of slots.
            .filter(|finding| !finding.what.contains("same slot"))
            .map(|finding| finding.to_string())
            .collect();
        if findings.is_empty() {
            return Ok(());
        }
        Err(findings.join("; "))
    }
}

fn same(loaded: &ironmaster_model::Snapshot, world: &World) -> Result<(), String> {
    let expected = world.snapshot();
    if *loaded == expected {
        return Ok(());
    }
    Err(format!(
        "{} events are there, {} were acknowledged: {}",
        loaded.seq,
        world.events.len(),
        ironmaster_engine::snapshot_difference(loaded, &expected)
    ))
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
