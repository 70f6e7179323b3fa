//! Runs git: without a terminal, with a time limit, killed as a whole, and never with more output in memory than
//! is wanted.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use ironmaster_model::Duration;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    time::timeout,
};

use super::parse::Remote;

/// The most output of one command that is kept in memory, in bytes: some hundred thousand branches.
const OUTPUT_BYTES_MAX: usize = 32 << 20;
/// The most error text that is kept; the end of it says what went wrong.
const STDERR_BYTES_MAX: usize = 4096;
/// How long git may take to clean up when it is told to end.
const GRACE: std::time::Duration = std::time::Duration::from_secs(2);

/// Why a poll brought nothing. The next one may work: nothing is lost.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// Git could not be started.
    #[error("cannot run `git`: {source}; is it installed on the master?")]
    Spawn {
        /// What the system says.
        source: io::Error,
    },
    /// Talking to git failed.
    #[error("cannot read from `git {command}`: {source}")]
    Pipe {
        /// Which command.
        command: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The directory of the mirror cannot be used.
    #[error("cannot use the directory `{}` for a mirror: {source}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Git says that something is wrong.
    #[error("`git {command}` failed ({status}): {stderr}")]
    Failed {
        /// Which command.
        command: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The end of its error text, without passwords.
        stderr: String,
    },
    /// Git took too long and was killed.
    #[error(
        "`git {command}` took longer than {seconds} s and was killed; `timeout` sets how long it may take"
    )]
    Timeout {
        /// Which command.
        command: &'static str,
        /// The limit.
        seconds: i64,
    },
    /// Git printed something unheard-of.
    #[error(
        "`git {command}` printed something that cannot be understood; is the git on the master very old?"
    )]
    Garbled {
        /// Which command.
        command: &'static str,
    },
    /// Git printed more than is kept.
    #[error(
        "`git {command}` printed more than {OUTPUT_BYTES_MAX} bytes; does the repository have that many branches?"
    )]
    TooMuch {
        /// Which command.
        command: &'static str,
    },
}

/// How git is run.
#[derive(Clone, Debug)]
pub(crate) struct Git {
    timeout: Duration,
}

impl Git {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { timeout }
    }

    /// Which branches a repository has, and where they point.
    pub(crate) async fn ls_remote(&self, remote: &str) -> Result<Remote, PollError> {
        let arguments = ["--symref", "--", remote, "HEAD", "refs/heads/*"];
        let output = self.output(None, "ls-remote", &arguments, Vec::new()).await?;
        Ok(Remote::parse(&output))
    }

    /// Runs a command and gives what it printed.
    pub(crate) async fn output(
        &self,
        directory: Option<&Path>,
        command: &'static str,
        arguments: &[&str],
        input: Vec<u8>,
    ) -> Result<Vec<u8>, PollError> {
        let mut output = Vec::new();
        self.run(directory, command, arguments, input, |piece| {
            if output.len() + piece.len() > OUTPUT_BYTES_MAX {
                return Err(PollError::TooMuch { command });
            }
            output.extend_from_slice(piece);
            Ok(())
        })
        .await?;
        Ok(output)
    }

    /// Runs a command; `sink` gets what it prints, piece by piece.
    pub(crate) async fn run(
        &self,
        directory: Option<&Path>,
        command: &'static str,
        arguments: &[&str],
        input: Vec<u8>,
        mut sink: impl FnMut(&[u8]) -> Result<(), PollError>,
    ) -> Result<(), PollError> {
        let mut process = Command::new("git");
        // Nothing in the background: what outlives the command would not be killed with it.
        process.args(["-c", "gc.autoDetach=false", "-c", "maintenance.autoDetach=false"]);
        process.arg(command).args(arguments);
        process
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(directory) = directory {
            // By variable, not by looking: a damaged mirror must not make git find a repository above it.
            process
                .current_dir(directory)
                .env("GIT_DIR", directory_argument(directory));
        }
        environment(&mut process, directory.is_none());
        let mut child = process.spawn().map_err(|source| PollError::Spawn { source })?;
        let mut group = Group::of(&child);
        let pipe = |source| PollError::Pipe { command, source };
        let mut stderr = Tail::default();
        let result = timeout(self.timeout.into(), async {
            let stdin = child.stdin.take();
            let stdout = child.stdout.take();
            let stderr_pipe = child.stderr.take();
            let write = async {
                if let Some(mut stdin) = stdin {
                    // A command that ends early says so by its status.
                    let _ = stdin.write_all(&input).await;
                    let _ = stdin.shutdown().await;
                }
                Ok(())
            };
            let read = async {
                match stdout {
                    Some(stdout) => pump(stdout, pipe, &mut sink).await,
                    None => Ok(()),
                }
            };
            let complain = async {
                match stderr_pipe {
                    Some(pipe_end) => {
                        pump(pipe_end, pipe, &mut |piece| {
                            stderr.push(piece);
                            Ok(())
                        })
                        .await
                    }
                    None => Ok(()),
                }
            };
            tokio::try_join!(write, read, complain)?;
            child.wait().await.map_err(pipe)
        })
        .await;
        match result {
            Ok(Ok(status)) => {
                group.forget();
                if status.success() {
                    return Ok(());
                }
                Err(PollError::Failed {
                    command,
                    status,
                    stderr: stderr.text(),
                })
            }
            Ok(Err(error)) => {
                group.end(&mut child).await;
                Err(error)
            }
            Err(_) => {
                group.end(&mut child).await;
                Err(PollError::Timeout {
                    command,
                    seconds: self.timeout.as_secs(),
                })
            }
        }
    }
}

/// The directory as an absolute path, because git is started in it.
fn directory_argument(directory: &Path) -> PathBuf {
    std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned())
}

/// No questions, no surprises from where the master was started, plain English messages.
fn environment(process: &mut Command, nowhere: bool) {
    for name in [
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_NAMESPACE",
        "GIT_COMMON_DIR",
        "GIT_PREFIX",
        "GIT_TRACE",
    ] {
        process.env_remove(name);
    }
    if nowhere {
        process.env_remove("GIT_DIR");
    }
    process
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ASKPASS", "true")
        .env("SSH_ASKPASS", "true")
        .env("LC_ALL", "C");
    let chosen = |name: &str| std::env::var_os(name).is_some_and(|value| value != OsStr::new(""));
    if !chosen("GIT_SSH_COMMAND") && !chosen("GIT_SSH") {
        // Batch mode: an unknown host or a locked key is an error, not a question that nobody hears.
        process.env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes");
    }
}

async fn pump(
    mut pipe: impl AsyncRead + Unpin,
    wrap: impl Fn(io::Error) -> PollError,
    sink: &mut impl FnMut(&[u8]) -> Result<(), PollError>,
) -> Result<(), PollError> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match pipe.read(&mut buffer).await.map_err(&wrap)? {
            0 => return Ok(()),
            read => sink(&buffer[..read])?,
        }
    }
}

/// The process group of a command, killed when this is dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let raw = child.id().and_then(|id| i32::try_from(id).ok());
        Self(raw.and_then(Pid::from_raw))
    }

    /// The command is over and its process is reaped: its number may belong to another by now.
    fn forget(&mut self) {
        self.0 = None;
    }

    /// Ends it: asked first, so that git removes its lock files, then killed.
    async fn end(&mut self, child: &mut Child) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::TERM);
            let _ = timeout(GRACE, child.wait()).await;
            // The group may have members although its leader is gone.
            let _ = kill_process_group(group, Signal::KILL);
            let _ = child.wait().await;
            self.0 = None;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// The end of a long text.
#[derive(Debug, Default)]
struct Tail(Vec<u8>);

impl Tail {
    fn push(&mut self, piece: &[u8]) {
        self.0
            .extend_from_slice(&piece[piece.len().saturating_sub(STDERR_BYTES_MAX)..]);
        let surplus = self.0.len().saturating_sub(STDERR_BYTES_MAX);
        self.0.drain(..surplus);
    }

    /// As one line, without passwords.
    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.0);
        let lines: Vec<_> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        if lines.is_empty() {
            return "it does not say why".to_owned();
        }
        without_passwords(&lines.join("; "))
    }
}

/// Takes `user:password@` out of URLs.
fn without_passwords(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(scheme) = rest.find("://") {
        let (before, after) = rest.split_at(scheme + 3);
        out.push_str(before);
        let end = after
            .find(|c: char| c == '/' || c.is_whitespace() || matches!(c, '\'' | '"'))
            .unwrap_or(after.len());
        match after[..end].rfind('@') {
            Some(at) => {
                out.push_str("***");
                rest = &after[at..];
            }
            None => rest = after,
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_taken_out() {
        for (text, expected) in [
            (
                "fatal: unable to access 'https://u:hunter2@h/r.git/': no",
                "fatal: unable to access 'https://***@h/r.git/': no",
            ),
            (
                "https://hunter2@h/a and ssh://git@h/b",
                "https://***@h/a and ssh://***@h/b",
            ),
            ("https://h/a@b", "https://h/a@b"),
            ("https://h", "https://h"),
            ("a@b", "a@b"),
            ("https://u:p@ss@h/", "https://***@h/"),
        ] {
            assert_eq!(without_passwords(text), expected);
        }
    }

    #[test]
    fn of_much_error_text_the_end_is_kept() {
        let mut tail = Tail::default();
        for number in 0..10_000 {
            tail.push(format!("line {number}\n").as_bytes());
        }
        let text = tail.text();
        assert!(text.len() < 2 * STDERR_BYTES_MAX);
        assert!(text.ends_with("line 9999"), "{text}");
        assert_eq!(Tail::default().text(), "it does not say why");
    }
}
