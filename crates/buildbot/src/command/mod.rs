//! What a worker can be told to do: the commands of both protocols, with their arguments.
//!
//! [`Command::read`] takes the arguments of either protocol. Writing them differs: over Perspective Broker paths may be
//! relative to the builder's folder and transfers carry a reference, over msgpack paths are absolute ([`Command::resolved`]).

mod read;
mod write;

use std::{collections::BTreeMap, fmt};

use crate::{EncodeError, PathStyle, fields::FieldError};

/// One command.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Run a program.
    Shell(Box<Shell>),
    /// Send a file to the master.
    UploadFile(UploadFile),
    /// Send a folder to the master, as a tar archive.
    UploadDirectory(UploadDirectory),
    /// Fetch a file from the master.
    DownloadFile(DownloadFile),
    /// Make folders, and those above them. Over Perspective Broker it can be one only.
    MakeDirectories {
        /// The folders.
        paths: Vec<String>,
    },
    /// Remove folders and what is in them. Nothing there is success.
    RemoveDirectories {
        /// The folders.
        paths: Vec<String>,
        /// Of the program that does it.
        limits: TimeLimits,
    },
    /// Copy a folder. If the target exists, into it.
    CopyDirectory {
        /// The folder.
        from: String,
        /// The copy.
        to: String,
        /// Of the program that does it.
        limits: TimeLimits,
    },
    /// What is known of a file.
    Stat(Place),
    /// Which files match a pattern.
    Glob {
        /// The pattern, in which `**` goes into folders.
        path: String,
    },
    /// What is in a folder.
    ListDirectory {
        /// The folder.
        path: String,
    },
    /// Remove one file.
    RemoveFile {
        /// The file.
        path: String,
    },
}

/// Where a file is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The folder from which the path is seen, relative to the builder's. Perspective Broker alone has it.
    pub workdir: Option<String>,
    /// The path.
    pub path: String,
}

impl Place {
    /// A path by itself.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            workdir: None,
            path: path.into(),
        }
    }
}

/// Limits of a program that does a file operation.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeLimits {
    /// Seconds that it may print nothing.
    pub timeout: Option<f64>,
    /// Seconds that it may take.
    pub max_time: Option<f64>,
    /// Whether its environment is told.
    pub log_environ: bool,
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self {
            timeout: Some(120.0),
            max_time: None,
            log_environ: true,
        }
    }
}

/// `shell`: run a program, tell what it prints.
#[derive(Clone, Debug, PartialEq)]
pub struct Shell {
    /// Where it runs. It is made if it is missing.
    pub workdir: String,
    /// What is run.
    pub command: CommandLine,
    /// What differs from the worker's own environment.
    pub env: BTreeMap<String, EnvValue>,
    /// Whether its standard output is told.
    pub want_stdout: bool,
    /// Whether its standard error output is told.
    pub want_stderr: bool,
    /// Files that are told as they grow, by the names of their logs.
    pub logfiles: BTreeMap<String, LogFile>,
    /// Seconds that it may print nothing.
    pub timeout: Option<f64>,
    /// Seconds that it may take.
    pub max_time: Option<f64>,
    /// Lines that it may print.
    pub max_lines: Option<u64>,
    /// Seconds between SIGTERM and the interrupt signal; none: no SIGTERM.
    pub sigterm_time: Option<f64>,
    /// Whether it gets a terminal.
    pub use_pty: bool,
    /// Whether its environment is told.
    pub log_environ: bool,
    /// What it reads from its standard input.
    pub initial_stdin: Option<String>,
    /// The signal that ends it, `KILL` if there is none.
    pub interrupt_signal: Option<String>,
}

impl Shell {
    /// A program without further wishes.
    pub fn new(workdir: impl Into<String>, command: CommandLine) -> Self {
        Self {
            workdir: workdir.into(),
            command,
            env: BTreeMap::new(),
            want_stdout: true,
            want_stderr: true,
            logfiles: BTreeMap::new(),
            timeout: None,
            max_time: None,
            max_lines: None,
            sigterm_time: None,
            use_pty: false,
            log_environ: true,
            initial_stdin: None,
            interrupt_signal: None,
        }
    }
}

/// What a shell command runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandLine {
    /// A line for the system's shell.
    Line(String),
    /// A program and its arguments.
    Argv(Vec<Argument>),
}

/// One argument.
#[derive(Clone, PartialEq, Eq)]
pub enum Argument {
    /// As it is.
    Plain(String),
    /// One that is told as something else. Perspective Broker alone has it.
    Obfuscated {
        /// What the program gets.
        real: String,
        /// What people see.
        shown: String,
    },
}

impl fmt::Debug for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(text) => fmt::Debug::fmt(text, f),
            Self::Obfuscated { shown, .. } => write!(f, "Obfuscated({shown:?})"),
        }
    }
}

/// What becomes of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvValue {
    /// It is removed.
    Unset,
    /// It is set; `${NAME}` stands for the worker's own value.
    Text(String),
    /// It is set to these, with the system's path separator between them.
    Paths(Vec<String>),
}

/// A file that is told as it grows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// Its path, seen from the command's folder.
    pub filename: String,
    /// Whether only what is new in it is told.
    pub follow: bool,
}

/// `uploadFile`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadFile {
    /// The file.
    pub place: Place,
    /// Bytes that are sent at most.
    pub maxsize: Option<u64>,
    /// Bytes of one block.
    pub blocksize: u64,
    /// Whether its times are sent.
    pub keepstamp: bool,
}

/// `uploadDirectory`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadDirectory {
    /// The folder.
    pub place: Place,
    /// Bytes that are sent at most.
    pub maxsize: Option<u64>,
    /// Bytes of one block.
    pub blocksize: u64,
    /// How the archive is compressed.
    pub compress: Option<Compression>,
}

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// gzip.
    Gz,
    /// bzip2.
    Bz2,
}

/// `downloadFile`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownloadFile {
    /// The file. It is made, and the folders above it.
    pub place: Place,
    /// Bytes that are fetched at most.
    pub maxsize: Option<u64>,
    /// Bytes of one block.
    pub blocksize: u64,
    /// Its permissions.
    pub mode: Option<u32>,
}

/// Why a command cannot be read, or cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// There is no such command.
    #[error("there is no command `{0}`")]
    Unknown(String),
    /// An argument is wrong.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// Over this protocol it cannot be said.
    #[error("{0}")]
    NoForm(&'static str),
    /// It is too large.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl Command {
    /// Its name over Perspective Broker.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Shell(_) => "shell",
            Self::UploadFile(_) => "uploadFile",
            Self::UploadDirectory(_) => "uploadDirectory",
            Self::DownloadFile(_) => "downloadFile",
            Self::MakeDirectories { .. } => "mkdir",
            Self::RemoveDirectories { .. } => "rmdir",
            Self::CopyDirectory { .. } => "cpdir",
            Self::Stat(_) => "stat",
            Self::Glob { .. } => "glob",
            Self::ListDirectory { .. } => "listdir",
            Self::RemoveFile { .. } => "rmfile",
        }
    }

    /// Its name over msgpack.
    pub const fn msgpack_name(&self) -> &'static str {
        match self {
            Self::UploadFile(_) => "upload_file",
            Self::UploadDirectory(_) => "upload_directory",
            Self::DownloadFile(_) => "download_file",
            other => other.name(),
        }
    }

    /// The same with absolute paths: all of them are seen from this folder of the worker.
    #[must_use]
    pub fn resolved(mut self, style: PathStyle, folder: &str) -> Self {
        let join = |path: &mut String| *path = style.join(folder, path);
        let place = |place: &mut Place| {
            let from = place.workdir.take().unwrap_or_default();
            place.path = style.join(folder, &style.join(&from, &place.path));
        };
        match &mut self {
            Self::Shell(shell) => join(&mut shell.workdir),
            Self::UploadFile(UploadFile { place: at, .. })
            | Self::UploadDirectory(UploadDirectory { place: at, .. })
            | Self::DownloadFile(DownloadFile { place: at, .. })
            | Self::Stat(at) => place(at),
            Self::MakeDirectories { paths } | Self::RemoveDirectories { paths, .. } => {
                paths.iter_mut().for_each(join);
            }
            Self::CopyDirectory { from, to, .. } => {
                join(from);
                join(to);
            }
            Self::Glob { path } | Self::ListDirectory { path } | Self::RemoveFile { path } => join(path),
        }
        self
    }
}
