//! A disk in which faults are planned: it knows what has reached the platter, and what only looks so.
//!
//! The real files hold what a program sees. Beside them this model keeps, for each file, what would be left after a loss
//! of power, and the changes since then. A sync moves them over; nothing else does.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Mutex,
};

use super::random::Random;

/// What is torn is torn at these boundaries.
const SECTOR: usize = 512;

/// What a program asks of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Open,
    Access,
    Delete,
    Read,
    Size,
    Write,
    Truncate,
    Sync,
    Lock,
    SharedMap,
    SharedLock,
}

impl Call {
    /// Whether it can make a difference to what is left after a loss of power.
    fn changes(self) -> bool {
        matches!(
            self,
            Self::Open | Self::Delete | Self::Write | Self::Truncate | Self::Sync
        )
    }
}

/// What goes wrong, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Nothing,
    /// The n-th call (from 1) fails with an I/O error. A write has written half by then; what a failed sync was
    /// asked to make durable never will be, although it can be read.
    Error(u64),
    /// The n-th write finds no space, after half of it.
    Full(u64),
    /// The power fails just before the n-th call that changes something.
    Cut(u64),
}

/// What a fault makes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Go,
    Error,
    Full,
    /// The machine is off, or the program was killed.
    Dead,
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

#[derive(Debug)]
pub(super) struct Disk(Mutex<State>);

#[derive(Debug)]
struct State {
    fault: Fault,
    fired: Option<Call>,
    calls: u64,
    writes: u64,
    changes: u64,
    dead: bool,
    honest: bool,
    files: BTreeMap<PathBuf, File>,
}

#[derive(Debug, Default)]
struct File {
    /// What is left after a loss of power; none = no such file.
    durable: Option<Vec<u8>>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Create,
    Delete,
    Truncate(u64),
    Write {
        offset: u64,
        bytes: Vec<u8>,
        /// A sync of it has failed: the system takes it for written, and does not try again.
        forgotten: bool,
    },
}

/// How often each was called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    pub(super) calls: u64,
    pub(super) writes: u64,
    pub(super) changes: u64,
}

impl Disk {
    pub(super) fn new(fault: Fault) -> Self {
        Self(Mutex::new(State {
            fault,
            fired: None,
            calls: 0,
            writes: 0,
            changes: 0,
            dead: false,
            honest: true,
            files: BTreeMap::new(),
        }))
    }

    /// A disk that says that it has synced, and has not.
    pub(super) fn lying(fault: Fault) -> Self {
        let disk = Self::new(fault);
        disk.state().honest = false;
        disk
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(super) fn counts(&self) -> Counts {
        let state = self.state();
        Counts {
            calls: state.calls,
            writes: state.writes,
            changes: state.changes,
        }
    }

    /// The call that the fault has struck.
    pub(super) fn fired(&self) -> Option<Call> {
        self.state().fired
    }

    pub(super) fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// Counts a call and says what becomes of it.
    pub(super) fn ask(&self, call: Call) -> Verdict {
        let mut state = self.state();
        if state.dead {
            return Verdict::Dead;
        }
        state.calls += 1;
        state.writes += u64::from(call == Call::Write);
        state.changes += u64::from(call.changes());
        if state.fired.is_some() {
            return Verdict::Go;
        }
        let verdict = match state.fault {
            Fault::Error(n) if n == state.calls => Verdict::Error,
            Fault::Full(n) if call == Call::Write && n == state.writes => Verdict::Full,
            Fault::Cut(n) if call.changes() && n == state.changes => Verdict::Dead,
            _ => return Verdict::Go,
        };
        state.fired = Some(call);
        state.dead = verdict == Verdict::Dead;
        verdict
    }

    /// As by `kill -9`: from now on nothing reaches the files, until [`Self::revive`].
    pub(super) fn kill(&self) {
        self.state().dead = true;
    }

    /// The program is started again; the machine was on all the time.
    pub(super) fn revive(&self) {
        self.state().dead = false;
    }

    /// The power was off: what no sync covered is gone, or some of it. No file may be open.
    pub(super) fn reboot(&self, survivors: Survivors) {
        let mut state = self.state();
        let mut random = Random(match survivors {
            Survivors::Some { seed } => seed,
            Survivors::Nothing | Survivors::Everything => 0,
        });
        for (path, file) in &mut state.files {
            for change in std::mem::take(&mut file.pending) {
                let kept = match survivors {
                    Survivors::Nothing => false,
                    Survivors::Everything => !change.forgotten(),
                    Survivors::Some { .. } => !change.forgotten() && random.below(4) > 0,
                };
                match change {
                    Change::Write { offset, bytes, .. }
                        if kept && matches!(survivors, Survivors::Some { .. }) =>
                    {
                        file.write_some(offset, &bytes, &mut random);
                    }
                    change if kept => file.apply(&change),
                    // What came after belongs to a file that never was.
                    Change::Create | Change::Delete => break,
                    Change::Truncate(_) | Change::Write { .. } => {}
                }
            }
            match &file.durable {
                Some(bytes) => std::fs::write(path, bytes).unwrap(),
                None if path.exists() => std::fs::remove_file(path).unwrap(),
                None => {}
            }
        }
        state.dead = false;
    }

    /// A file is about to be opened, and created if `create` says so.
    pub(super) fn open(&self, path: &Path, create: bool) {
        let mut state = self.state();
        let exists = path.exists();
        let file = state.files.entry(path.to_owned()).or_insert_with(|| File {
            // It was there before.
            durable: exists.then(|| std::fs::read(path).unwrap()),
            pending: Vec::new(),
        });
        if create && !exists {
            file.pending.push(Change::Create);
        }
    }

    pub(super) fn wrote(&self, path: &Path, offset: u64, bytes: &[u8]) {
        self.change(
            path,
            Change::Write {
                offset,
                bytes: bytes.to_vec(),
                forgotten: false,
            },
        );
    }

    pub(super) fn truncated(&self, path: &Path, size: u64) {
        self.change(path, Change::Truncate(size));
    }

    pub(super) fn deleted(&self, path: &Path, durably: bool) {
        self.change(path, Change::Delete);
        if durably {
            self.synced(path);
        }
    }

    fn change(&self, path: &Path, change: Change) {
        let mut state = self.state();
        state
            .files
            .entry(path.to_owned())
            .or_default()
            .pending
            .push(change);
    }

    pub(super) fn synced(&self, path: &Path) {
        let mut state = self.state();
        if !state.honest {
            return;
        }
        let file = state.files.entry(path.to_owned()).or_default();
        let new = file.pending.iter().any(|change| matches!(change, Change::Create));
        for change in std::mem::take(&mut file.pending) {
            if !change.forgotten() {
                file.apply(&change);
            }
        }
        // With a new file SQLite syncs the directory, there is only one, and with that the names of all other files.
        if new {
            for file in state.files.values_mut() {
                file.name_synced();
            }
        }
    }

    /// All that can be read of it was written once more, and synced.
    pub(super) fn rewritten(&self, path: &Path) {
        if let Some(file) = self.state().files.get_mut(path) {
            for change in &mut file.pending {
                if let Change::Write { forgotten, .. } = change {
                    *forgotten = false;
                }
            }
        }
        self.synced(path);
    }

    pub(super) fn sync_failed(&self, path: &Path) {
        let mut state = self.state();
        let file = state.files.entry(path.to_owned()).or_default();
        for change in &mut file.pending {
            if let Change::Write { forgotten, .. } = change {
                *forgotten = true;
            }
        }
    }
}

impl File {
    /// That it exists, or does not any more, is durable; what is in it is not.
    fn name_synced(&mut self) {
        let named = |change: &Change| matches!(change, Change::Create | Change::Delete);
        if let Some(last) = self.pending.iter().rposition(named) {
            let rest = self.pending.split_off(last + 1);
            self.durable = matches!(self.pending[last], Change::Create).then(Vec::new);
            self.pending = rest;
        }
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Create => self.durable = Some(Vec::new()),
            Change::Delete => self.durable = None,
            Change::Truncate(size) => {
                if let Some(durable) = &mut self.durable {
                    durable.resize(*size as usize, 0);
                }
            }
            Change::Write { offset, bytes, .. } => self.write(*offset, bytes),
        }
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        if let Some(durable) = &mut self.durable {
            let offset = offset as usize;
            let end = offset + bytes.len();
            if durable.len() < end {
                durable.resize(end, 0);
            }
            durable[offset..end].copy_from_slice(bytes);
        }
    }

    /// Torn: some of its sectors.
    fn write_some(&mut self, offset: u64, bytes: &[u8], random: &mut Random) {
        let whole = random.below(2) == 0;
        let mut done = 0;
        while done < bytes.len() {
            let at = offset as usize + done;
            let length = (SECTOR - at % SECTOR).min(bytes.len() - done);
            if whole || random.below(2) == 0 {
                self.write(at as u64, &bytes[done..done + length]);
            }
            done += length;
        }
    }
}

impl Change {
    fn forgotten(&self) -> bool {
        matches!(self, Self::Write { forgotten: true, .. })
    }
}
