//! A disk in memory in which faults are planned: it knows what has reached the platter, and what only looks so.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use ironmaster_logs::{Disk, DiskFile, OpenMode};

/// What is torn is torn at these boundaries.
const SECTOR: usize = 512;

/// What goes wrong, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Nothing,
    /// The n-th call (from 1) fails with an I/O error. A write has written half by then; what a failed sync was asked to
    /// make durable never will be, although it can be read.
    Error(u64),
    /// The n-th call that may need space finds none, a write after half of it.
    Full(u64),
    /// The power fails just before the n-th call that changes something.
    Cut(u64),
}

/// Which changes that no sync covered are there after a loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Survivors {
    Nothing,
    Everything,
    /// By chance, sector by sector.
    Some {
        seed: u64,
    },
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) calls: u64,
    pub(super) growths: u64,
    pub(super) changes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    /// Takes nothing and changes nothing.
    Look,
    /// Changes something, and may need space.
    Grow,
    /// Changes something.
    Change,
}

#[derive(Clone, Debug)]
pub(super) struct Faulty(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    fault: Fault,
    fired: bool,
    dead: bool,
    honest: bool,
    counts: Counts,
    dirs: BTreeSet<PathBuf>,
    durable_dirs: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    files: Vec<File>,
}

#[derive(Debug, Default)]
struct File {
    seen: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Truncate(usize),
    Write {
        offset: usize,
        bytes: Vec<u8>,
        /// A sync of it has failed: the system takes it for written, and does not try again.
        forgotten: bool,
    },
}

#[derive(Debug)]
struct Handle {
    disk: Faulty,
    file: usize,
    writes: bool,
}

impl Faulty {
    pub(super) fn new(fault: Fault) -> Self {
        Self(Arc::new(Mutex::new(State {
            fault,
            fired: false,
            dead: false,
            honest: true,
            counts: Counts::default(),
            dirs: BTreeSet::new(),
            durable_dirs: BTreeSet::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            files: Vec::new(),
        })))
    }

    /// A disk that says that it has synced, and has not.
    pub(super) fn lying(fault: Fault) -> Self {
        let disk = Self::new(fault);
        disk.state().honest = false;
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(super) fn counts(&self) -> Counts {
        self.state().counts
    }

    pub(super) fn fired(&self) -> bool {
        self.state().fired
    }

    pub(super) fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// As by `kill -9`: nothing is changed any more, until [`Self::revive`].
    pub(super) fn kill(&self) {
        self.state().dead = true;
    }

    pub(super) fn revive(&self) {
        self.state().dead = false;
    }

    /// The power was off.
    pub(super) fn reboot(&self, survivors: Survivors) {
        let mut state = self.state();
        let mut random = match survivors {
            Survivors::Some { seed } => seed,
            Survivors::Nothing | Survivors::Everything => 0,
        };
        let mut chance = |of: u64| {
            random = random
                .wrapping_mul(0x5851_f42d_4c95_7f2d)
                .wrapping_add(0x1405_7b7e_f767_814f);
            (random >> 33) % of
        };
        if survivors == Survivors::Everything || (survivors != Survivors::Nothing && chance(2) == 0) {
            let state = &mut *state;
            state.durable_dirs.clone_from(&state.dirs);
            state.durable_names.clone_from(&state.names);
        }
        for file in &mut state.files {
            for change in std::mem::take(&mut file.pending) {
                match (survivors, change) {
                    (Survivors::Nothing, _) | (_, Change::Write { forgotten: true, .. }) => {}
                    (Survivors::Some { .. }, Change::Write { offset, bytes, .. }) => {
                        if chance(4) == 0 {
                            continue;
                        }
                        let whole = chance(2) == 0;
                        let mut done = 0;
                        while done < bytes.len() {
                            let length = (SECTOR - (offset + done) % SECTOR).min(bytes.len() - done);
                            if whole || chance(2) == 0 {
                                write(&mut file.durable, offset + done, &bytes[done..done + length]);
                            }
                            done += length;
                        }
                    }
                    (_, change) => apply(&mut file.durable, &change),
                }
            }
            file.seen.clone_from(&file.durable);
        }
        let dirs = state.durable_dirs.clone();
        state
            .durable_names
            .retain(|path, _| path.parent().is_some_and(|dir| dirs.contains(dir)));
        let names = state.durable_names.clone();
        state.names = names;
        state.dirs = dirs;
        state.dead = false;
    }

    fn ask(&self, call: Call) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        let failed = || Err(io::Error::from_raw_os_error(5));
        if state.dead {
            return failed();
        }
        state.counts.calls += 1;
        state.counts.growths += u64::from(call == Call::Grow);
        state.counts.changes += u64::from(call != Call::Look);
        if state.fired {
            return Ok(state);
        }
        let (fault, counts) = (state.fault, state.counts);
        match fault {
            Fault::Error(n) if n == counts.calls => {
                state.fired = true;
                failed()
            }
            Fault::Full(n) if call == Call::Grow && n == counts.growths => {
                state.fired = true;
                Err(io::Error::from_raw_os_error(28))
            }
            Fault::Cut(n) if call != Call::Look && n == counts.changes => {
                state.fired = true;
                state.dead = true;
                failed()
            }
            _ => Ok(state),
        }
    }
}

fn write(to: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if to.len() < end {
        to.resize(end, 0);
    }
    to[offset..end].copy_from_slice(bytes);
}

fn apply(to: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Truncate(len) => to.resize(*len, 0),
        Change::Write { offset, bytes, .. } => write(to, *offset, bytes),
    }
}

impl Disk for Faulty {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let exists = self.state().names.contains_key(path);
        let call = match mode {
            OpenMode::Create if !exists => Call::Grow,
            _ => Call::Look,
        };
        let mut state = self.ask(call)?;
        let file = match state.names.get(path) {
            Some(file) => *file,
            None if mode == OpenMode::Create && state.dirs.contains(path.parent().unwrap()) => {
                state.files.push(File::default());
                let file = state.files.len() - 1;
                state.names.insert(path.to_owned(), file);
                file
            }
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        drop(state);
        Ok(Box::new(Handle {
            disk: self.clone(),
            file,
            writes: mode != OpenMode::Read,
        }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let exists = self.state().dirs.contains(path);
        let mut state = self.ask(if exists { Call::Look } else { Call::Grow })?;
        if state.dirs.is_empty() {
            // The first is the folder of all: it was made with the state directory, long ago.
            state.durable_dirs.insert(path.to_owned());
        }
        state.dirs.insert(path.to_owned());
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.ask(Call::Change)?;
        if !state.honest {
            return Ok(());
        }
        let below = |other: &Path| other.parent() == Some(path);
        let names: Vec<_> = state
            .names
            .iter()
            .map(|(path, file)| (path.clone(), *file))
            .collect();
        state.durable_names.retain(|other, _| !below(other));
        state
            .durable_names
            .extend(names.into_iter().filter(|(other, _)| below(other)));
        let dirs = state.dirs.clone();
        state
            .durable_dirs
            .extend(dirs.into_iter().filter(|other| below(other)));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.ask(Call::Change)?;
        match state.names.remove(path) {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.ask(Call::Look)?;
        let all = state.dirs.iter().chain(state.names.keys());
        Ok(all
            .filter(|other| other.parent() == Some(path))
            .cloned()
            .collect())
    }
}

impl DiskFile for Handle {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.ask(Call::Look)?;
        let rest = state.files[self.file]
            .seen
            .get(offset as usize..)
            .unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        assert!(self.writes, "opened for reading only");
        let fired = self.disk.fired();
        let asked = self.disk.ask(Call::Grow);
        let (mut state, bytes, result) = match asked {
            Ok(state) => (state, buf, Ok(())),
            Err(error) if fired || self.disk.is_dead() => return Err(error),
            // Half of it.
            Err(error) => (self.disk.state(), &buf[..buf.len() / 2], Err(error)),
        };
        let offset = offset as usize;
        let file = &mut state.files[self.file];
        write(&mut file.seen, offset, bytes);
        file.pending.push(Change::Write {
            offset,
            bytes: bytes.to_vec(),
            forgotten: false,
        });
        result
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.ask(Call::Look)?.files[self.file].seen.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.ask(Call::Change)?;
        let file = &mut state.files[self.file];
        file.seen.resize(len as usize, 0);
        file.pending.push(Change::Truncate(len as usize));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let fired = self.disk.fired();
        match self.disk.ask(Call::Change) {
            Ok(mut state) => {
                let honest = state.honest;
                let file = &mut state.files[self.file];
                if honest {
                    for change in std::mem::take(&mut file.pending) {
                        if !matches!(change, Change::Write { forgotten: true, .. }) {
                            apply(&mut file.durable, &change);
                        }
                    }
                }
                Ok(())
            }
            Err(error) => {
                if !fired && !self.disk.is_dead() {
                    for change in &mut self.disk.state().files[self.file].pending {
                        if let Change::Write { forgotten, .. } = change {
                            *forgotten = true;
                        }
                    }
                }
                Err(error)
            }
        }
    }
}
