//! Commands to arguments.

use super::{Argument, Command, CommandError, CommandLine, Compression, EnvValue, Place, Shell, TimeLimits};
use crate::{Value, update::Spelling};

/// The dictionary of arguments, in the order in which stock masters write it.
#[derive(Default)]
struct Args(Vec<(Value, Value)>);

impl Args {
    fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.push((name.into(), value.into()));
    }

    fn limits(&mut self, limits: &TimeLimits) {
        self.set("timeout", seconds(limits.timeout));
        self.set("maxTime", seconds(limits.max_time));
        self.set("logEnviron", limits.log_environ);
    }
}

impl Command {
    /// Arguments over Perspective Broker. `slave`: by the names that they had before slaves became workers. `file` is the object
    /// that a transfer reads from or writes to.
    pub(crate) fn pb_args(&self, slave: bool, file: Option<Value>) -> Result<Value, CommandError> {
        let mut args = Args::default();
        let file: Value = file.into();
        let (source, target) = if slave {
            ("slavesrc", "slavedest")
        } else {
            ("workersrc", "workerdest")
        };
        let workdir = |place: &Place| place.workdir.clone().unwrap_or_default();
        match self {
            Self::Shell(shell) => write_shell(&mut args, shell, Spelling::Pb)?,
            Self::UploadFile(upload) => {
                args.set("workdir", workdir(&upload.place));
                args.set("writer", file);
                args.set("maxsize", upload.maxsize);
                args.set("blocksize", upload.blocksize);
                args.set("keepstamp", upload.keepstamp);
                args.set(source, upload.place.path.as_str());
            }
            Self::UploadDirectory(upload) => {
                args.set("workdir", workdir(&upload.place));
                args.set("writer", file);
                args.set("maxsize", upload.maxsize);
                args.set("blocksize", upload.blocksize);
                args.set("compress", compression(upload.compress));
                args.set(source, upload.place.path.as_str());
            }
            Self::DownloadFile(download) => {
                args.set("maxsize", download.maxsize);
                args.set("reader", file);
                args.set("blocksize", download.blocksize);
                args.set("workdir", workdir(&download.place));
                args.set("mode", download.mode.map(u64::from));
                args.set(target, download.place.path.as_str());
            }
            Self::MakeDirectories { paths } => match paths.as_slice() {
                [path] => args.set("dir", path.as_str()),
                _ => {
                    return Err(CommandError::NoForm(
                        "over Perspective Broker `mkdir` makes one folder; send one command for each",
                    ));
                }
            },
            Self::RemoveDirectories { paths, limits } => {
                match paths.as_slice() {
                    [path] => args.set("dir", path.as_str()),
                    paths => args.set("dir", texts(paths)),
                }
                args.limits(limits);
            }
            Self::CopyDirectory { from, to, limits } => {
                args.set("fromdir", from.as_str());
                args.set("todir", to.as_str());
                args.limits(limits);
            }
            Self::Stat(place) => {
                args.set("file", place.path.as_str());
                if let Some(workdir) = &place.workdir {
                    args.set("workdir", workdir.as_str());
                }
            }
            Self::Glob { path } | Self::RemoveFile { path } => args.set("path", path.as_str()),
            Self::ListDirectory { path } => args.set("dir", path.as_str()),
        }
        Ok(Value::Dict(args.0))
    }

    /// Arguments over msgpack.
    pub(crate) fn msgpack_args(&self) -> Result<Value, CommandError> {
        let mut args = Args::default();
        match self {
            Self::Shell(shell) => write_shell(&mut args, shell, Spelling::Msgpack)?,
            Self::UploadFile(upload) => {
                args.set("path", whole(&upload.place)?);
                args.set("maxsize", upload.maxsize);
                args.set("blocksize", upload.blocksize);
                args.set("keepstamp", upload.keepstamp);
            }
            Self::UploadDirectory(upload) => {
                args.set("path", whole(&upload.place)?);
                args.set("maxsize", upload.maxsize);
                args.set("blocksize", upload.blocksize);
                args.set("compress", compression(upload.compress));
            }
            Self::DownloadFile(download) => {
                args.set("path", whole(&download.place)?);
                args.set("maxsize", download.maxsize);
                args.set("blocksize", download.blocksize);
                args.set("mode", download.mode.map(u64::from));
            }
            Self::MakeDirectories { paths } => args.set("paths", texts(paths)),
            Self::RemoveDirectories { paths, limits } => {
                args.set("paths", texts(paths));
                args.limits(limits);
            }
            Self::CopyDirectory { from, to, limits } => {
                args.set("from_path", from.as_str());
                args.set("to_path", to.as_str());
                args.limits(limits);
            }
            Self::Stat(place) => args.set("path", whole(place)?),
            Self::Glob { path } | Self::ListDirectory { path } | Self::RemoveFile { path } => {
                args.set("path", path.as_str());
            }
        }
        Ok(Value::Dict(args.0))
    }
}

fn whole(place: &Place) -> Result<&str, CommandError> {
    match place.workdir {
        None => Ok(&place.path),
        Some(_) => Err(CommandError::NoForm(
            "over msgpack paths are absolute; resolve the command first",
        )),
    }
}

fn texts(paths: &[String]) -> Value {
    Value::List(paths.iter().map(|path| path.as_str().into()).collect())
}

const fn compression(compression: Option<Compression>) -> Option<&'static str> {
    match compression {
        None => None,
        Some(Compression::Gz) => Some("gz"),
        Some(Compression::Bz2) => Some("bz2"),
    }
}

/// Whole seconds are whole numbers: workers print them.
fn seconds(seconds: Option<f64>) -> Value {
    match seconds {
        None => Value::None,
        Some(seconds) if seconds.fract() == 0.0 && seconds.abs() < 1e15 => Value::Int(seconds as i128),
        Some(seconds) => Value::Float(seconds),
    }
}

fn write_shell(args: &mut Args, shell: &Shell, spelling: Spelling) -> Result<(), CommandError> {
    let env = shell.env.iter().map(|(name, value)| {
        let value = match value {
            EnvValue::Unset => Value::None,
            EnvValue::Text(text) => text.as_str().into(),
            EnvValue::Paths(paths) => texts(paths),
        };
        (name.as_str(), value)
    });
    let logfiles = shell.logfiles.iter().map(|(name, file)| {
        let filename = Value::from(file.filename.as_str());
        let file = if file.follow {
            Value::dict([("filename", filename), ("follow", true.into())])
        } else {
            filename
        };
        (name.as_str(), file)
    });
    args.set("workdir", shell.workdir.as_str());
    args.set("env", Value::dict(env));
    args.set("want_stdout", shell.want_stdout);
    args.set("want_stderr", shell.want_stderr);
    args.set("logfiles", Value::dict(logfiles));
    args.set("timeout", seconds(shell.timeout));
    args.set("maxTime", seconds(shell.max_time));
    args.set("max_lines", shell.max_lines);
    args.set("sigtermTime", seconds(shell.sigterm_time));
    args.set("usePTY", shell.use_pty);
    args.set("logEnviron", shell.log_environ);
    args.set("initial_stdin", shell.initial_stdin.as_deref());
    args.set(
        "interruptSignal",
        shell.interrupt_signal.as_deref().unwrap_or("KILL"),
    );
    let command = match &shell.command {
        CommandLine::Line(line) => line.as_str().into(),
        CommandLine::Argv(argv) => {
            let argv: Result<_, _> = argv
                .iter()
                .map(|argument| write_argument(argument, spelling))
                .collect();
            Value::List(argv?)
        }
    };
    args.set("command", command);
    Ok(())
}

fn write_argument(argument: &Argument, spelling: Spelling) -> Result<Value, CommandError> {
    match (argument, spelling) {
        (Argument::Plain(text), _) => Ok(text.as_str().into()),
        (Argument::Obfuscated { real, shown }, Spelling::Pb) => {
            let parts = ["obfuscated", real, shown];
            Ok(Value::Tuple(parts.map(Value::from).into()))
        }
        // The worker would make one text of all three, and show it.
        (Argument::Obfuscated { .. }, Spelling::Msgpack) => Err(CommandError::NoForm(
            "over msgpack no argument can be hidden; hand the secret over in the environment or a file",
        )),
    }
}
