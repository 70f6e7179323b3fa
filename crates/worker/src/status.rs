//! What a running worker tells about itself to people on its machine: whoever connects to a socket in its folder gets
//! one JSON object. Nothing is written while nobody asks.

use std::{
    cell::RefCell,
    fmt::Write as _,
    fs::{self, File},
    io::{self, Read as _},
    os::{fd::AsRawFd as _, unix::fs::PermissionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::AsyncWriteExt as _,
    net::UnixListener,
    time::{sleep, timeout},
};

use crate::{folder, paths::STATE_FOLDER};

/// The socket's name, below the worker's own folder.
const SOCKET: &str = "status";
/// How long one who asks may take to read the answer, and the worker to give it.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait when nobody can be answered.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// No answer is longer.
const ANSWER_MAX: u64 = 4 * 1024 * 1024;

/// How a worker is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
    /// The process.
    pub pid: u32,
    /// The program's version.
    pub version: String,
    /// The name that the master knows it by.
    pub name: String,
    /// Where its master is.
    pub master: String,
    /// Whether the master has accepted it, and the connection stands.
    pub connected: bool,
    /// The same in words, with the reason if it is not.
    pub state: String,
    /// For how many seconds that has been so.
    pub for_secs: u64,
    /// For how many seconds it has run.
    pub running_secs: u64,
    /// Commands that run, or whose outcome the master does not have yet.
    pub commands: Vec<CommandStatus>,
}

/// One command.
#[derive(Debug, Serialize, Deserialize)]
pub struct CommandStatus {
    /// Build, step and number within the step.
    pub id: String,
    /// The program and where it runs, or what else is done.
    pub what: String,
    /// Whether it still runs.
    pub running: bool,
    /// For how many seconds the worker has had it.
    pub for_secs: u64,
}

/// Why nothing is known of a worker.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Nobody answers.
    #[error("no worker runs in {}", .0.display())]
    NotRunning(PathBuf),
    /// There is no such folder.
    #[error("{} is not the folder of a worker; `ironmaster-worker create` makes one", .0.display())]
    NoWorker(PathBuf),
    /// The answer cannot be read.
    #[error("cannot ask the worker in {}: {source}", path.display())]
    Broken {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// The state of the connection, for the log when it changes, and for who asks.
#[derive(Debug)]
pub(crate) struct Connection {
    now: RefCell<Now>,
    started: Instant,
}

#[derive(Debug)]
struct Now {
    text: String,
    connected: bool,
    since: Instant,
}

impl Connection {
    pub(crate) fn new() -> Self {
        let started = Instant::now();
        Self {
            now: RefCell::new(Now {
                text: "not connected yet".into(),
                connected: false,
                since: started,
            }),
            started,
        }
    }

    /// How it stands, in words.
    pub(crate) fn text(&self) -> String {
        self.now.borrow().text.clone()
    }

    /// Says it when it changes, and only then.
    pub(crate) fn change(&self, text: &str, connected: bool) {
        let mut now = self.now.borrow_mut();
        if now.text != text {
            tracing::info!("{text}");
            *now = Now {
                text: text.to_owned(),
                connected,
                since: Instant::now(),
            };
        }
    }
}

/// The path of a socket in a folder, however long that folder's own path is: addresses of sockets are short.
fn address(folder: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()))
}

/// Answers whoever asks, for ever. That it cannot is no reason to end.
pub(crate) async fn tell(
    folder: &Path,
    name: &str,
    master: &str,
    connection: &Connection,
    commands: impl Fn() -> Vec<CommandStatus>,
) {
    let Err(error) = serve(folder, name, master, connection, commands).await;
    tracing::warn!("cannot tell `ironmaster-worker status` how this worker is: {error}");
    std::future::pending::<()>().await;
}

async fn serve(
    folder: &Path,
    name: &str,
    master: &str,
    connection: &Connection,
    commands: impl Fn() -> Vec<CommandStatus>,
) -> io::Result<std::convert::Infallible> {
    // What an earlier process left; this one has the folder for itself.
    match fs::remove_file(folder.join(SOCKET)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(address(&File::open(folder)?))?;
    fs::set_permissions(folder.join(SOCKET), fs::Permissions::from_mode(0o600))?;
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            // No file descriptor is free, say; the next one who asks may have more luck.
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let answer = {
            let now = connection.now.borrow();
            Status {
                pid: std::process::id(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                name: name.to_owned(),
                master: master.to_owned(),
                connected: now.connected,
                state: now.text.clone(),
                for_secs: now.since.elapsed().as_secs(),
                running_secs: connection.started.elapsed().as_secs(),
                commands: commands(),
            }
        };
        let text = serde_json::to_vec(&answer).map_err(io::Error::other)?;
        // One who does not read only has itself to blame.
        let _ = timeout(PATIENCE, stream.write_all(&text)).await;
    }
}

/// Asks the worker of a folder, be it one that `create` made or a base folder.
pub fn status(dir: &Path) -> Result<Status, StatusError> {
    let basedir = folder::read(dir).map_or_else(|_| dir.to_owned(), |flags| flags.basedir);
    let broken = |source| StatusError::Broken {
        path: dir.to_owned(),
        source,
    };
    let folder = match File::open(basedir.join(STATE_FOLDER)) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(if dir.join(folder::SETTINGS).exists() {
                StatusError::NotRunning(dir.to_owned())
            } else {
                StatusError::NoWorker(dir.to_owned())
            });
        }
        Err(error) => return Err(broken(error)),
    };
    let stream = match std::os::unix::net::UnixStream::connect(address(&folder)) {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Err(StatusError::NotRunning(dir.to_owned()));
        }
        Err(error) => return Err(broken(error)),
    };
    stream.set_read_timeout(Some(PATIENCE)).map_err(broken)?;
    let mut text = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut text).map_err(broken)?;
    serde_json::from_slice(&text).map_err(|error| broken(error.into()))
}

/// The status for a terminal.
pub fn describe(status: &Status) -> String {
    let mut text = format!(
        "worker {} (process {}, version {}) has run for {}\n{}, for {}\n",
        status.name,
        status.pid,
        status.version,
        span(status.running_secs),
        status.state,
        span(status.for_secs),
    );
    if status.commands.is_empty() {
        text.push_str("nothing runs on it\n");
    }
    for command in &status.commands {
        let tail = if command.running {
            ""
        } else {
            " (over; the master has not taken it yet)"
        };
        let _ = writeln!(
            text,
            "  {}  {}  {}{tail}",
            command.id,
            span(command.for_secs),
            command.what
        );
    }
    text
}

fn span(secs: u64) -> String {
    match secs {
        0..60 => format!("{secs} s"),
        60..3_600 => format!("{} min {} s", secs / 60, secs % 60),
        3_600..86_400 => format!("{} h {} min", secs / 3_600, secs % 3_600 / 60),
        _ => format!("{} d {} h", secs / 86_400, secs % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        let texts = [0, 59, 61, 3_661, 90_000].map(span);
        assert_eq!(texts, ["0 s", "59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]);
    }

    #[test]
    fn a_folder_without_a_worker_is_told_apart_from_one_that_does_not_run() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(status(dir.path()), Err(StatusError::NoWorker(_))));
        fs::create_dir(dir.path().join(STATE_FOLDER)).unwrap();
        assert!(matches!(status(dir.path()), Err(StatusError::NotRunning(_))));
    }
}
