//! What our own protocol asks for, in the words of a stock worker.

use ironmaster_buildbot::{
    Argument, Command, CommandLine, DownloadFile, EnvValue, LogFile, PathStyle, Place, Shell, TimeLimits,
    UploadFile,
};
use ironmaster_wire::{Exec, Put, Verb};

/// Bytes of one block of a file. Each is answered before the next is sent, and a stock worker refuses 640 KiB.
const BLOCK: u64 = 256 * 1024;
/// Puts a piece of a file in its place: `$1` the file, `$2` the piece, `$3` and `$4` the size and number of the blocks before it, `$5` its
/// permissions, which may not let its owner write. `dd` cuts the file there first, as POSIX says.
const APPEND: &str =
    r#"chmod u+w "$1" && dd if="$2" of="$1" bs="$3" seek="$4" 2>/dev/null && chmod "$5" "$1" && rm -f "$2""#;

/// Where a stock worker has its files.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) style: PathStyle,
    pub(super) base: String,
}

impl Default for Folder {
    /// Until the worker has said what it is.
    fn default() -> Self {
        Self {
            style: PathStyle::Posix,
            base: String::new(),
        }
    }
}

impl Folder {
    /// A path of our protocol on that machine.
    fn absolute(&self, path: &str) -> String {
        let path = match self.style {
            PathStyle::Posix => path.to_owned(),
            PathStyle::Windows => path.replace('/', "\\"),
        };
        self.style.join(&self.base, &path)
    }

    /// The commands that do what a verb says, one after the other; none for [`Verb::Info`], which needs no command.
    pub(super) fn commands(&self, verb: &Verb) -> Result<Vec<Command>, String> {
        Ok(match verb {
            Verb::Exec(exec) => vec![Command::Shell(Box::new(self.shell(exec)))],
            Verb::Put(put) => self.put(put)?,
            Verb::Get { path, max_bytes } => vec![Command::UploadFile(UploadFile {
                place: Place::new(self.absolute(path)),
                // At this size it stops, so one more shows that a file is larger than it may be.
                maxsize: Some(max_bytes.saturating_add(1)),
                blocksize: BLOCK,
                keepstamp: false,
            })],
            Verb::Mkdir { path } => vec![Command::MakeDirectories {
                paths: vec![self.absolute(path)],
            }],
            Verb::Remove { path } => vec![self.remove(path)],
            // It would be copied into a folder that is there.
            Verb::Copy { from, to } => vec![
                self.remove(to),
                Command::CopyDirectory {
                    from: self.absolute(from),
                    to: self.absolute(to),
                    limits: limits(),
                },
            ],
            Verb::Stat { path } => vec![Command::Stat(Place::new(self.absolute(path)))],
            Verb::Glob { pattern } => vec![Command::Glob {
                path: self.absolute(pattern),
            }],
            Verb::List { path } => vec![Command::ListDirectory {
                path: self.absolute(path),
            }],
            Verb::Info => Vec::new(),
        })
    }

    fn shell(&self, exec: &Exec) -> Shell {
        let seconds = |ms: u64| ms as f64 / 1000.0;
        let argv = exec.argv.iter().cloned().map(Argument::Plain).collect();
        let grace = (exec.interrupt_signal == "TERM").then(|| seconds(exec.grace_ms));
        Shell {
            env: exec
                .env
                .iter()
                .map(|(name, value)| {
                    let value = value.clone().map_or(EnvValue::Unset, EnvValue::Text);
                    (name.clone(), value)
                })
                .collect(),
            timeout: exec.timeout_silence_ms.map(seconds),
            max_time: exec.timeout_total_ms.map(seconds),
            // With it: TERM, some time, then the interrupt signal. Without: the interrupt signal at once.
            sigterm_time: grace,
            interrupt_signal: Some(if grace.is_some() {
                "KILL".to_owned()
            } else {
                exec.interrupt_signal.clone()
            }),
            log_environ: exec.log_env,
            use_pty: exec.pty,
            logfiles: exec
                .log_files
                .iter()
                .map(|file| {
                    let filename = self.absolute(&file.path);
                    let follow = file.follow;
                    (file.name.clone(), LogFile { filename, follow })
                })
                .collect(),
            initial_stdin: exec.initial_stdin.clone(),
            ..Shell::new(self.absolute(&exec.workdir), CommandLine::Argv(argv))
        }
    }

    /// A stock worker only writes whole files. What comes after the first piece is a file of its own that is put in its place then.
    fn put(&self, put: &Put) -> Result<Vec<Command>, String> {
        let download = |path: String, mode| {
            Command::DownloadFile(DownloadFile {
                place: Place::new(path),
                maxsize: None,
                blocksize: BLOCK,
                mode,
            })
        };
        let path = self.absolute(&put.path);
        if put.offset == 0 {
            return Ok(vec![download(path, Some(put.mode))]);
        }
        if self.style == PathStyle::Windows {
            return Err(
                "a stock worker on Windows cannot take a file of more than 512 KiB; run ironmaster-worker there"
                    .into(),
            );
        }
        let piece = format!("{path}.piece");
        let block = 1 << put.offset.trailing_zeros().min(20);
        let words = [
            "sh",
            "-c",
            APPEND,
            "sh",
            &path,
            &piece,
            &block.to_string(),
            &(put.offset / block).to_string(),
            &format!("{:o}", put.mode & 0o7777),
        ];
        let argv = words.map(|word| Argument::Plain(word.to_owned())).into();
        let append = Shell {
            log_environ: false,
            ..Shell::new(self.base.clone(), CommandLine::Argv(argv))
        };
        Ok(vec![
            download(piece, Some(0o600)),
            Command::Shell(Box::new(append)),
        ])
    }

    /// `rm -rf`, so it is good for files, too; but not on Windows, where a folder is removed by the worker itself.
    fn remove(&self, path: &str) -> Command {
        Command::RemoveDirectories {
            paths: vec![self.absolute(path)],
            limits: limits(),
        }
    }
}

/// Of the programs that do file operations. A large folder takes its time without a word.
fn limits() -> TimeLimits {
    TimeLimits {
        timeout: Some(3600.0),
        max_time: None,
        log_environ: false,
    }
}

/// The directory of the builder that a verb works in: its path's first folder.
pub(super) fn dir(verb: &Verb) -> &str {
    let path = match verb {
        Verb::Exec(exec) => &exec.workdir,
        Verb::Put(put) => &put.path,
        Verb::Get { path, .. }
        | Verb::Mkdir { path }
        | Verb::Remove { path }
        | Verb::Copy { to: path, .. }
        | Verb::Stat { path }
        | Verb::Glob { pattern: path }
        | Verb::List { path } => path,
        Verb::Info => "",
    };
    match path.split('/').next() {
        None | Some("") => ".",
        Some(dir) => dir,
    }
}
