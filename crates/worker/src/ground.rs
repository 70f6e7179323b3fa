//! What a worker stands on, whatever master it has: a folder that is its own, nothing left of its predecessor, and a guard.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};
use tokio::{process::Child, time::sleep};

use crate::{
    WorkerError, guard,
    leftovers::{Registry, Whose},
    paths::Basedir,
    procs,
};

/// A folder that this process alone has, as long as it keeps this.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) base: Basedir,
    pub(crate) instance: String,
    pub(crate) registry: Registry,
    tag: String,
    /// The program that becomes the guard.
    program: PathBuf,
    _lock: File,
}

impl Ground {
    /// Takes the folder, ends what an earlier worker left behind, and starts the guard.
    pub(crate) fn take(basedir: &Path, program: &Path) -> Result<(Self, Child), WorkerError> {
        let broken = |source| WorkerError::Basedir {
            path: basedir.to_owned(),
            source,
        };
        let base = Basedir::open(basedir).map_err(broken)?;
        fs::create_dir_all(base.state()).map_err(broken)?;
        let lock = lock(&base)?;
        let tag = tag(&base).map_err(broken)?;
        let instance = crate::random_hex();
        let registry = Registry::new(&base.state(), tag.clone(), instance.clone());
        match registry
            .kill_leftovers(Whose::AllBut(&instance))
            .map_err(WorkerError::Leftovers)?
        {
            0 => {}
            count => tracing::warn!("killed {count} processes that an earlier worker left behind"),
        }
        let _ = fs::remove_dir_all(base.state().join("spool"));
        let ground = Self {
            base,
            instance,
            registry,
            tag,
            program: program.to_owned(),
            _lock: lock,
        };
        let guard = ground.start_guard().map_err(WorkerError::Guard)?;
        Ok((ground, guard))
    }

    fn start_guard(&self) -> std::io::Result<Child> {
        guard::start(&self.program, &self.base.state(), &self.tag, &self.instance)
    }

    /// Sees to it that there is a guard as long as this worker lives.
    pub(crate) async fn keep_guard(&self, mut guard: Child) {
        loop {
            // Its input stays open as long as the worker lives; `wait` would close it.
            let _stdin = guard.stdin.take();
            let status = guard.wait().await;
            tracing::warn!(?status, "the guard has ended; starting another one");
            sleep(Duration::from_secs(1)).await;
            match self.start_guard() {
                Ok(new) => guard = new,
                Err(error) => {
                    tracing::error!(
                        "cannot start a guard: {error}; commands may outlive a worker that is killed"
                    );
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

/// Takes the base directory for this process alone.
fn lock(base: &Basedir) -> Result<File, WorkerError> {
    let path = base.state().join("lock");
    let broken = |source| WorkerError::Basedir {
        path: path.clone(),
        source,
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(broken)?;
    let mut tries = 0;
    let holder = loop {
        let locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
        let mut holder = String::new();
        let _ = file
            .rewind()
            .and_then(|()| (&mut file).take(64).read_to_string(&mut holder));
        match locked {
            Ok(()) => break holder,
            // A command that a killed worker was just giving birth to still shares its lock; it is about to die.
            Err(rustix::io::Errno::WOULDBLOCK) if tries < 500 && !is_running(&holder) => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(WorkerError::InUse {
                    path: base.path().to_owned(),
                    holder: holder.split_whitespace().next().unwrap_or("unknown").to_owned(),
                });
            }
            Err(error) => return Err(broken(error.into())),
        }
    };
    wait_for_predecessor(&holder);
    let me = procs::Process::read(std::process::id() as i32);
    file.set_len(0).and_then(|()| file.rewind()).map_err(broken)?;
    writeln!(file, "{} {}", std::process::id(), me.map_or(0, |me| me.start)).map_err(broken)?;
    Ok(file)
}

/// A process that is killed gives its locks back a moment before the kernel kills the children that asked for it.
/// So the lock alone does not say that no new leader is about to be born: the holder must be dead.
fn wait_for_predecessor(holder: &str) {
    for _ in 0..1000 {
        if !is_running(holder) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether the process that wrote this into the lock file (its number and start time) lives, and is not this one.
fn is_running(holder: &str) -> bool {
    let mut parts = holder.split_whitespace();
    let (Some(Ok(pid)), Some(Ok(start))) = (
        parts.next().map(str::parse::<i32>),
        parts.next().map(str::parse::<u64>),
    ) else {
        return false;
    };
    pid != std::process::id() as i32
        && procs::Process::read(pid).is_some_and(|process| process.start == start && process.is_alive())
}

/// Names the base directory in the markers of its processes: random, made once.
fn tag(base: &Basedir) -> std::io::Result<String> {
    let path = base.state().join("id");
    match fs::read_to_string(&path) {
        Ok(tag) if tag.len() == 32 && tag.bytes().all(|byte| byte.is_ascii_hexdigit()) => Ok(tag),
        _ => {
            let tag = crate::random_hex();
            fs::write(&path, &tag)?;
            Ok(tag)
        }
    }
}
