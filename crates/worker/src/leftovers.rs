//! Nothing of a command may run after its worker: records of what runs, and the killing of what was left behind.
//!
//! Three nets, each for what slips through the one before:
//!
//! 1. The leader of a command asks the kernel to be killed when the worker dies, before it does anything else. So
//!    there is no moment between its birth and its record in which it could get away.
//! 2. It then writes its own record (`running/INSTANCE/COMMAND`: the boot, then its line of `/proc/self/stat`), and
//!    only then becomes the command. A *guard* process waits for the worker's end and kills every session on record.
//! 3. A worker that starts kills what any predecessor in its base directory left, before it connects.
//!
//! Processes that left their session are found by the marker in their environment.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::procs::{self, MARKER, Process};

/// How long killed processes may take to vanish.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whose leftovers are meant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Whose<'a> {
    /// Those of this instance (its guard asks).
    Instance(&'a str),
    /// Those of every instance but this one (a worker that starts asks).
    AllBut(&'a str),
}

impl Whose<'_> {
    fn includes(self, instance: &str) -> bool {
        match self {
            Self::Instance(own) => instance == own,
            Self::AllBut(own) => instance != own,
        }
    }
}

/// Where commands are recorded and how their processes are marked.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    running: PathBuf,
    /// Names the base directory in markers.
    tag: String,
    pub(crate) instance: String,
    /// The current boot, as a line of a record.
    boot: String,
}

impl Registry {
    pub(crate) fn new(state: &Path, tag: String, instance: String) -> Self {
        Self {
            running: state.join("running"),
            tag,
            instance,
            boot: procs::boot_id() + "\n",
        }
    }

    /// The marker of one command's processes, without what encloses it.
    pub(crate) fn marker(&self, id: &str) -> String {
        format!("{}/{}/{id}", self.tag, self.instance)
    }

    /// The value of a command's marker: this worker's part after those of the workers around it.
    pub(crate) fn command_marker(&self, id: &str) -> String {
        let own = self.marker(id);
        match std::env::var(MARKER) {
            Ok(outer) if !outer.is_empty() => format!("{outer}:{own}"),
            _ => own,
        }
    }

    /// Where the records are.
    pub(crate) fn folder(&self) -> &Path {
        &self.running
    }

    pub(crate) fn remove_record(&self, id: &str) {
        if let Err(error) = fs::remove_file(self.record_path(id))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("cannot remove the record of command {id}: {error}");
        }
    }

    pub(crate) fn record_path(&self, id: &str) -> PathBuf {
        self.running.join(&self.instance).join(id)
    }

    /// Makes an empty record, to be filled by the command's leader.
    pub(crate) fn new_record(&self, id: &str) -> io::Result<fs::File> {
        use io::Write as _;
        let path = self.record_path(id);
        let mut file = match fs::File::create(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(self.running.join(&self.instance))?;
                fs::File::create(path)?
            }
            made => made?,
        };
        file.write_all(self.boot.as_bytes())?;
        Ok(file)
    }

    /// Kills every process that carries this command's marker: those that left its session.
    pub(crate) fn kill_marked(&self, id: &str) -> usize {
        let marker = self.marker(id);
        let me = std::process::id() as i32;
        let mut killed = 0;
        for process in procs::all() {
            if process.pid != me && process.is_alive() && process.is_marked(|value| value == marker) {
                process.kill();
                killed += 1;
            }
        }
        killed
    }

    /// Kills what is left, and waits until it is gone. Says how many processes there were.
    pub(crate) fn kill_leftovers(&self, whose: Whose<'_>) -> io::Result<usize> {
        let records = self.records(whose);
        let deadline = Instant::now() + PATIENCE;
        let me = std::process::id() as i32;
        let mut seen = std::collections::BTreeSet::new();
        loop {
            let left: Vec<Process> = procs::all()
                .into_iter()
                .filter(|process| process.pid != me && process.is_alive())
                .collect();
            let left: Vec<Process> = left
                .iter()
                .filter(|process| {
                    records.iter().any(|record| record.owns(process, &left)) || self.is_ours(process, whose)
                })
                .copied()
                .collect();
            if left.is_empty() {
                break;
            }
            for process in &left {
                seen.insert(process.pid);
                process.kill();
            }
            if Instant::now() > deadline {
                let pids: Vec<String> = left.iter().map(|process| process.pid.to_string()).collect();
                return Err(io::Error::other(format!(
                    "processes of an earlier worker cannot be killed: {}; end them, or restart the machine",
                    pids.join(", ")
                )));
            }
            // A killed process vanishes in its own time, and it may have had children meanwhile: look again.
            thread::sleep(Duration::from_millis(10));
        }
        for record in &records {
            let _ = fs::remove_file(&record.path);
        }
        for folder in self.instances(whose) {
            let _ = fs::remove_dir_all(folder);
        }
        Ok(seen.len())
    }

    fn is_ours(&self, process: &Process, whose: Whose<'_>) -> bool {
        process.is_marked(|marker| {
            let mut parts = marker.splitn(3, '/');
            parts.next() == Some(&self.tag) && parts.next().is_some_and(|instance| whose.includes(instance))
        })
    }

    fn instances(&self, whose: Whose<'_>) -> Vec<PathBuf> {
        let Ok(folders) = fs::read_dir(&self.running) else {
            return Vec::new();
        };
        folders
            .flatten()
            .filter(|folder| {
                folder
                    .file_name()
                    .to_str()
                    .is_some_and(|instance| whose.includes(instance))
            })
            .map(|folder| folder.path())
            .collect()
    }

    fn records(&self, whose: Whose<'_>) -> Vec<Record> {
        let boot = procs::boot_id();
        self.instances(whose)
            .iter()
            .filter_map(|folder| fs::read_dir(folder).ok())
            .flat_map(Iterator::flatten)
            .filter_map(|file| Record::read(file.path(), &boot))
            .collect()
    }
}

/// A command that was running when its worker died.
#[derive(Debug)]
struct Record {
    path: PathBuf,
    leader: Process,
}

impl Record {
    /// A record of another boot, or one that its process had no time to write, names nothing that can still run.
    fn read(path: PathBuf, boot: &str) -> Option<Self> {
        let content = fs::read(&path).ok()?;
        let line = content.iter().position(|byte| *byte == b'\n')?;
        let same_boot = content[..line] == *boot.as_bytes();
        let leader = Process::parse(&content[line + 1..])?;
        same_boot.then_some(Self { path, leader })
    }

    /// Whether a process belongs to the recorded session. A pid is not given out again while a session has its
    /// number, so a session is the recorded one if its leader is, or if it has no leader and is no older.
    fn owns(&self, process: &Process, all: &[Process]) -> bool {
        if process.session != self.leader.pid && process.group != self.leader.pid {
            return false;
        }
        match all.iter().find(|other| other.pid == self.leader.pid) {
            Some(leader) => leader.start == self.leader.start,
            None => process.start >= self.leader.start,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_tell_a_session_from_a_later_one_with_the_same_number() {
        let process = |pid, session, start| Process {
            pid,
            state: b'S',
            parent: 1,
            group: session,
            session,
            start,
        };
        let record = Record {
            path: PathBuf::new(),
            leader: process(10, 10, 100),
        };
        let leader = process(10, 10, 100);
        let stranger = process(10, 10, 500);
        let table = [
            (process(11, 10, 120), vec![leader], true),
            (leader, vec![leader], true),
            (process(11, 10, 520), vec![stranger], false),
            (stranger, vec![stranger], false),
            (process(11, 10, 120), vec![], true),
            (process(11, 10, 20), vec![], false),
            (process(11, 9, 120), vec![leader], false),
        ];
        for (number, (process, all, expected)) in table.into_iter().enumerate() {
            assert_eq!(record.owns(&process, &all), expected, "row {number}");
        }
    }

    #[test]
    fn torn_and_foreign_records_are_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.1.0");
        let stat = "10 (sh) S 1 10 10 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 2 3";
        for (content, found) in [
            (format!("boot\n{stat}"), true),
            (format!("other\n{stat}"), false),
            ("boot\n".to_owned(), false),
            ("boot\n10 (sh".to_owned(), false),
            (String::new(), false),
        ] {
            fs::write(&path, &content).unwrap();
            assert_eq!(Record::read(path.clone(), "boot").is_some(), found, "{content:?}");
        }
    }
}
