//! The birth of a command's process. The only unsafe code of this crate is here.
#![expect(
    unsafe_code,
    reason = "what a process does between fork and exec can only be said with `pre_exec`"
)]

use std::{fs::File, io};

use rustix::{
    fs::{Mode, OFlags},
    process::{Signal, getpid, getppid, ioctl_tiocsctty, set_parent_process_death_signal, setsid},
};
use tokio::process::{Child, Command};

/// Starts a program as the leader of a session of its own. Before it becomes the program it has arranged to die
/// with this thread (so: with the worker) and has written its identity to `record`. See [`crate::leftovers`]. With a
/// `terminal` as its standard input, that becomes the session's.
///
/// Call this on the program's main thread only: the kernel ties the death of the child to the thread that forked.
pub(crate) fn spawn(mut command: Command, record: File, terminal: bool) -> io::Result<Child> {
    let parent = getpid();
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. These are plain system calls on
    // memory of this frame: nothing allocates, locks or unwinds.
    unsafe {
        command.pre_exec(move || {
            setsid()?;
            if terminal {
                ioctl_tiocsctty(rustix::stdio::stdin())?;
            }
            set_parent_process_death_signal(Some(Signal::KILL))?;
            if getppid() != Some(parent) {
                // The worker died before the kernel knew what to do then.
                return Err(rustix::io::Errno::SRCH.into());
            }
            let stat = rustix::fs::open(
                c"/proc/self/stat",
                OFlags::RDONLY | OFlags::CLOEXEC,
                Mode::empty(),
            )?;
            let mut line = [0; 1024];
            let length = rustix::io::read(&stat, &mut line)?;
            let mut rest = &line[..length];
            while !rest.is_empty() {
                let written = rustix::io::write(&record, rest)?;
                rest = &rest[written..];
            }
            Ok(())
        });
    }
    command.spawn()
}
