//! What `/proc` knows of processes: who belongs to which session, since when, with which marker.

use std::{fs, path::Path};

use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid};

/// The environment variable that marks every process of a command: one `basedir/instance/command` for each worker
/// around it, separated by colons (a worker may itself run in a command of another).
pub(crate) const MARKER: &str = "IRONMASTER_COMMAND";

/// One line of `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// `Z` is a zombie: dead, but not yet reaped by its parent.
    pub(crate) state: u8,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    pub(crate) session: i32,
    /// Clock ticks since the machine booted (field 22): with the pid it names a process for good.
    pub(crate) start: u64,
}

impl Process {
    /// Reads a line of `/proc/PID/stat`. The name in parentheses may contain anything, so count from its end.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let close = line.iter().rposition(|byte| *byte == b')')?;
        let open = line.iter().position(|byte| *byte == b'(')?;
        let pid = std::str::from_utf8(line.get(..open)?).ok()?.trim().parse().ok()?;
        let rest = std::str::from_utf8(line.get(close + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = *fields.next()?.as_bytes().first()?;
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let session = fields.next()?.parse().ok()?;
        // Fields 3 to 6 are read; field 22 is fifteen further on.
        let start = fields.nth(15)?.parse().ok()?;
        Some(Self {
            pid,
            state,
            parent,
            group,
            session,
            start,
        })
    }

    pub(crate) fn read(pid: i32) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    pub(crate) fn is_alive(&self) -> bool {
        !matches!(self.state, b'Z' | b'X')
    }

    /// Kills exactly this process, never another one that got its number meanwhile.
    pub(crate) fn kill(&self) {
        let Some(pid) = Pid::from_raw(self.pid) else {
            return;
        };
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else {
            return;
        };
        if Self::read(self.pid).is_some_and(|now| now.start == self.start) {
            // It may have ended by itself, which is just as well.
            let _ = pidfd_send_signal(handle, Signal::KILL);
        }
    }

    /// Whether one of this process's markers satisfies `wanted`. Unreadable (another user's) counts as no.
    pub(crate) fn is_marked(&self, wanted: impl Fn(&str) -> bool) -> bool {
        let Ok(environment) = fs::read(format!("/proc/{}/environ", self.pid)) else {
            return false;
        };
        environment
            .split(|byte| *byte == 0)
            .filter_map(|variable| {
                std::str::from_utf8(variable)
                    .ok()?
                    .strip_prefix(MARKER)?
                    .strip_prefix('=')
            })
            .any(|value| value.split(':').any(&wanted))
    }
}

/// Every process that this one may see.
pub(crate) fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| Process::read(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}

/// How many numbers are tried one by one: that is as much work as to list some hundred processes.
const FEW: i32 = 256;

/// Every process that may have begun after the one with this number, which did so a moment ago. Numbers are given out in turn, so
/// that there are few to look at, unless they have just begun again with the lowest. No [`all`], as a short command may cost less.
pub(crate) fn since(first: i32) -> Vec<Process> {
    let mut found = Vec::new();
    let mut next = first;
    while let Some(newest) = newest().filter(|newest| (first..first.saturating_add(FEW)).contains(newest)) {
        if newest < next {
            return found;
        }
        found.extend((next..=newest).filter_map(Process::read));
        // One that was looked at may have begun another and ended meanwhile.
        next = newest + 1;
    }
    all()
}

/// The number of the process that was created most recently: the last field, proc(5).
fn newest() -> Option<i32> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_ascii_whitespace().next_back()?.parse().ok()
}

/// What is alive of a session, whose leader began a moment ago if it `is_young`. The dead of it are reaped if that is for us.
pub(crate) fn alive_in(session: i32, is_young: bool) -> Vec<Process> {
    let me = std::process::id() as i32;
    let mut processes = if is_young { since(session) } else { all() };
    processes.retain(|process| process.session == session);
    for orphan in &processes {
        if !orphan.is_alive() && orphan.parent == me {
            // It ended up with us, because the worker is the first process of a container.
            let _ = waitpid(Pid::from_raw(orphan.pid), WaitOptions::NOHANG);
        }
    }
    processes.retain(Process::is_alive);
    processes
}

/// Names the current boot of the machine; empty if the system does not say.
pub(crate) fn boot_id() -> String {
    fs::read_to_string(Path::new("/proc/sys/kernel/random/boot_id"))
        .unwrap_or_default()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_name() {
        let line = b"42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 2 3";
        let expected = Process {
            pid: 42,
            state: b'S',
            parent: 1,
            group: 42,
            session: 42,
            start: 98765,
        };
        assert_eq!(Process::parse(line), Some(expected));
        assert_eq!(Process::parse(b"42 (a"), None);
        assert_eq!(Process::parse(b""), None);
    }

    #[test]
    fn a_child_is_among_those_since_it_and_since_its_parent() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let (me, number) = (std::process::id() as i32, child.id() as i32);
        let is_found = |since: Vec<Process>| since.iter().any(|process| process.pid == number);
        let found = (is_found(since(number)), is_found(since(me)));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, (true, true));
        assert!(!is_found(since(number)));
    }

    #[test]
    fn this_process_is_among_all() {
        let me = Process::read(std::process::id() as i32).unwrap();
        assert!(me.is_alive());
        assert!(
            all()
                .iter()
                .any(|process| process.pid == me.pid && process.start == me.start)
        );
    }
}
