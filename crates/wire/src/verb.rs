//! What a worker can be asked to do, and how that can end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The most bytes that one [`Put`] carries; larger files take several.
pub const MAX_PUT: usize = 512 * 1024;
/// The most files that one command tells as they grow.
pub const MAX_LOG_FILES: usize = 32;

/// A command. Every path is relative to the worker's base directory, uses `/`, and may not leave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Verb {
    /// Runs a program.
    Exec(Exec),
    /// Writes a file, or a piece of one. Missing folders above it are made.
    Put(Put),
    /// Reads a file; its bytes are the command's output on [`Stream::Stdout`](crate::Stream::Stdout).
    Get {
        /// The file.
        path: String,
        /// A larger file fails.
        max_bytes: u64,
    },
    /// Makes a folder and those above it; fine if it exists.
    Mkdir {
        /// The folder.
        path: String,
    },
    /// Removes a file, or a folder with all that is in it; fine if nothing is there.
    Remove {
        /// What to remove.
        path: String,
    },
    /// Copies a file, or a folder with all that is in it.
    Copy {
        /// What to copy.
        from: String,
        /// The copy's own path (not the folder that it goes into).
        to: String,
    },
    /// Describes a path: `{"type": "file"|"dir"|"symlink"|"other", "size", "mode", "mtime_us"}`.
    Stat {
        /// What to describe.
        path: String,
    },
    /// Lists the paths that match a pattern (`*`, `?`, `[a-z]` within a name, `**` for any folders), sorted.
    Glob {
        /// The pattern.
        pattern: String,
    },
    /// Lists the names in a folder, sorted.
    List {
        /// The folder.
        path: String,
    },
    /// Describes the worker as [`WorkerInfo`](crate::WorkerInfo).
    Info,
}

impl Verb {
    /// The identity of a request: SHA-256, in hexadecimal, over its JSON with fields in the documented order; of the content of
    /// a file its own SHA-256 is in there.
    /// Only the master computes it; to the worker it is an opaque text that it compares.
    pub fn digest(&self) -> String {
        // Fields have a fixed order and the only map is sorted, so that equal verbs have equal texts.
        let json = match self {
            // To write half a megabyte as text takes longer than all the rest of sending it.
            Self::Put(put) => serde_json::to_vec(&Self::Put(Put {
                path: put.path.clone(),
                mode: put.mode,
                offset: put.offset,
                content: Sha256::digest(&put.content).to_vec(),
            })),
            other => serde_json::to_vec(other),
        };
        hex::encode(Sha256::digest(json.expect("a verb has only texts and numbers")))
    }

    /// The verb's name as it is written in messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Exec(_) => "exec",
            Self::Put(_) => "put",
            Self::Get { .. } => "get",
            Self::Mkdir { .. } => "mkdir",
            Self::Remove { .. } => "remove",
            Self::Copy { .. } => "copy",
            Self::Stat { .. } => "stat",
            Self::Glob { .. } => "glob",
            Self::List { .. } => "list",
            Self::Info => "info",
        }
    }
}

/// A program to run, in a session and process group of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// Program and arguments; at least the program.
    pub argv: Vec<String>,
    /// Where it runs; made if missing. Empty means the base directory.
    #[serde(default)]
    pub workdir: String,
    /// Changes to the worker's own environment; `None` removes a variable.
    #[serde(default)]
    pub env: BTreeMap<String, Option<String>>,
    /// Ends the command when it prints nothing for so long, in milliseconds.
    #[serde(default)]
    pub timeout_silence_ms: Option<u64>,
    /// Ends the command when it runs for so long, in milliseconds.
    #[serde(default)]
    pub timeout_total_ms: Option<u64>,
    /// What ends it gently: `INT`, `TERM` or `KILL` (at once).
    #[serde(default = "default_signal")]
    pub interrupt_signal: String,
    /// How long it may take to end gently, in milliseconds.
    #[serde(default = "default_grace")]
    pub grace_ms: u64,
    /// Ends the command when it prints more bytes, those of its log files included.
    #[serde(default)]
    pub max_output_bytes: Option<u64>,
    /// What it reads on its standard input; nothing if `None`.
    #[serde(default)]
    pub initial_stdin: Option<String>,
    /// Whether its environment is written to the header stream first.
    #[serde(default)]
    pub log_env: bool,
    /// Whether its input and output are a terminal. All that it prints is standard output then. Needs
    /// [`Capabilities::pty`](crate::Capabilities::pty).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pty: bool,
    /// Files that are told as they grow, each on a stream of its own: [`Stream::File`](crate::Stream::File). At most
    /// [`MAX_LOG_FILES`]. Needs [`Capabilities::log_files`](crate::Capabilities::log_files).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_files: Vec<LogFile>,
}

/// A file that a command writes, and that is told as it grows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFile {
    /// The log's name, for people.
    pub name: String,
    /// The file. It need not be there when the command begins, nor at all.
    pub path: String,
    /// Whether only what is written from the command's start on is told. Otherwise all of the file is, once it differs from
    /// what was there before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follow: bool,
}

fn default_signal() -> String {
    "TERM".into()
}

fn default_grace() -> u64 {
    10_000
}

impl Default for Exec {
    fn default() -> Self {
        Self {
            argv: Vec::new(),
            workdir: String::new(),
            env: BTreeMap::new(),
            timeout_silence_ms: None,
            timeout_total_ms: None,
            interrupt_signal: default_signal(),
            grace_ms: default_grace(),
            max_output_bytes: None,
            initial_stdin: None,
            log_env: false,
            pty: false,
            log_files: Vec::new(),
        }
    }
}

/// A file, or a piece of one, to write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// The file.
    pub path: String,
    /// Its permission bits, for example `0o644`.
    pub mode: u32,
    /// Where the content goes. At 0 the file is replaced as a whole; beyond, the file is cut there first
    /// and must be at least so long, so that a piece may be repeated.
    #[serde(default)]
    pub offset: u64,
    /// At most [`MAX_PUT`] bytes.
    #[serde(rename = "content_base64", with = "crate::base64_text")]
    pub content: Vec<u8>,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Outcome {
    /// The program ended by itself.
    Exit {
        /// Its exit code.
        code: i32,
    },
    /// A signal that the worker did not send ended the program.
    Signal {
        /// The signal's number.
        signal: i32,
    },
    /// The worker ended it because it took too long.
    Timeout {
        /// Which limit it hit.
        kind: TimeoutKind,
        /// What it took to end it.
        after: Ending,
    },
    /// The master asked for its end.
    Interrupted {
        /// The reason that the master gave.
        reason: String,
    },
    /// It printed more than `max_output_bytes`.
    OutputLimit,
    /// The program could not be started.
    StartFailed {
        /// Why.
        message: String,
    },
    /// The answer of a verb other than exec; `null` where there is nothing to say.
    Value {
        /// The answer.
        value: serde_json::Value,
    },
    /// A verb other than exec did not succeed.
    Failed {
        /// What kind of failure.
        kind: FailureKind,
        /// Why, with the path.
        message: String,
    },
    /// The worker ended it because it had not heard from its master for the lease.
    LeaseExpired,
}

/// Which time limit was hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeoutKind {
    /// No output for `timeout_silence_ms`.
    Silence,
    /// Running for `timeout_total_ms`.
    Total,
}

/// What it took to end a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It ended within the grace period after the interrupt signal.
    Interrupt,
    /// It had to be killed.
    Kill,
}

/// The kinds of failure of a verb other than exec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// There is no such file or folder.
    NotFound,
    /// The operating system does not allow it.
    Permission,
    /// The request makes no sense: a path that leaves the base directory, a pattern that cannot be read, a file over the limit.
    Invalid,
    /// The disk is full.
    NoSpace,
    /// Anything else that the operating system says.
    Io,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_equal_for_equal_verbs_only() {
        let exec = |argv: &[&str]| {
            Verb::Exec(Exec {
                argv: argv.iter().map(ToString::to_string).collect(),
                ..Exec::default()
            })
        };
        assert_eq!(exec(&["make"]).digest(), exec(&["make"]).digest());
        assert_ne!(exec(&["make"]).digest(), exec(&["make", "x"]).digest());
        assert_eq!(
            Verb::Info.digest(),
            hex::encode(Sha256::digest(br#"{"type":"info"}"#))
        );
    }

    #[test]
    fn a_digest_knows_every_part_of_a_file() {
        let put = |path: &str, mode, offset, content: &[u8]| {
            Verb::Put(Put {
                path: path.into(),
                mode,
                offset,
                content: content.to_vec(),
            })
            .digest()
        };
        let one = put("a", 0o644, 0, b"x");
        assert_eq!(one, put("a", 0o644, 0, b"x"));
        for other in [
            put("b", 0o644, 0, b"x"),
            put("a", 0o755, 0, b"x"),
            put("a", 0o644, 1, b"x"),
            put("a", 0o644, 0, b"y"),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn a_put_carries_base64() {
        let put = Verb::Put(Put {
            path: "a".into(),
            mode: 0o644,
            offset: 0,
            content: b"\0\xff".to_vec(),
        });
        let text = serde_json::to_string(&put).unwrap();
        assert_eq!(
            text,
            r#"{"type":"put","path":"a","mode":420,"offset":0,"content_base64":"AP8="}"#
        );
        assert_eq!(serde_json::from_str::<Verb>(&text).unwrap(), put);
        assert!(serde_json::from_str::<Verb>(&text.replace("AP8=", "AP8")).is_err());
    }

    #[test]
    fn a_short_exec_is_enough() {
        let exec: Verb = serde_json::from_str(r#"{"type":"exec","argv":["true"]}"#).unwrap();
        assert_eq!(
            exec,
            Verb::Exec(Exec {
                argv: vec!["true".into()],
                ..Exec::default()
            })
        );
    }
}
