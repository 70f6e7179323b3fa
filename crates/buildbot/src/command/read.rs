//! Arguments to commands, in the spelling of either protocol.

use super::{
    Argument, Command, CommandError, CommandLine, Compression, DownloadFile, EnvValue, LogFile, Place, Shell,
    TimeLimits, UploadDirectory, UploadFile,
};
use crate::{
    Value,
    fields::{FieldError, FieldProblem, Fields, wrong},
};

impl Command {
    /// From its name and its arguments. Arguments that no one knows are ignored, as stock workers do it.
    pub fn read(name: &str, args: &Value) -> Result<Self, CommandError> {
        Ok(match name {
            "shell" => Self::Shell(Box::new(shell(Fields::of("shell", args)?)?)),
            "uploadFile" | "upload_file" => {
                let fields = Fields::of("uploadFile", args)?;
                Self::UploadFile(UploadFile {
                    place: place(fields, &["workersrc", "slavesrc"])?,
                    maxsize: fields.opt_size("maxsize")?,
                    blocksize: fields.size("blocksize")?,
                    keepstamp: fields.flag("keepstamp", false)?,
                })
            }
            "uploadDirectory" | "upload_directory" => {
                let fields = Fields::of("uploadDirectory", args)?;
                Self::UploadDirectory(UploadDirectory {
                    place: place(fields, &["workersrc", "slavesrc"])?,
                    maxsize: fields.opt_size("maxsize")?,
                    blocksize: fields.size("blocksize")?,
                    compress: match fields.opt_text("compress")?.as_deref() {
                        None => None,
                        Some("gz") => Some(Compression::Gz),
                        Some("bz2") => Some(Compression::Bz2),
                        Some(_) => return Err(fields.error("compress", FieldProblem::Range).into()),
                    },
                })
            }
            "downloadFile" | "download_file" => {
                let fields = Fields::of("downloadFile", args)?;
                Self::DownloadFile(DownloadFile {
                    place: place(fields, &["workerdest", "slavedest"])?,
                    maxsize: fields.opt_size("maxsize")?,
                    blocksize: fields.size("blocksize")?,
                    mode: fields.opt_size("mode")?,
                })
            }
            "mkdir" => {
                let fields = Fields::of("mkdir", args)?;
                Self::MakeDirectories {
                    paths: fields.texts(either(fields, "paths", "dir"))?,
                }
            }
            "rmdir" => {
                let fields = Fields::of("rmdir", args)?;
                Self::RemoveDirectories {
                    paths: fields.texts(either(fields, "paths", "dir"))?,
                    limits: limits(fields)?,
                }
            }
            "cpdir" => {
                let fields = Fields::of("cpdir", args)?;
                Self::CopyDirectory {
                    from: fields.text(either(fields, "from_path", "fromdir"))?,
                    to: fields.text(either(fields, "to_path", "todir"))?,
                    limits: limits(fields)?,
                }
            }
            "stat" => Self::Stat(place(Fields::of("stat", args)?, &["file"])?),
            "glob" => Self::Glob {
                path: Fields::of("glob", args)?.text("path")?,
            },
            "listdir" => {
                let fields = Fields::of("listdir", args)?;
                Self::ListDirectory {
                    path: fields.text(either(fields, "path", "dir"))?,
                }
            }
            "rmfile" => Self::RemoveFile {
                path: Fields::of("rmfile", args)?.text("path")?,
            },
            other => return Err(CommandError::Unknown(other.chars().take(100).collect())),
        })
    }
}

/// The name under which it is there; if under neither, the second will be missed.
fn either(fields: Fields<'_>, first: &'static str, second: &'static str) -> &'static str {
    if fields.get(first).is_some() {
        first
    } else {
        second
    }
}

/// `path` is whole by itself (msgpack); under the other names it is seen from `workdir`.
fn place(fields: Fields<'_>, names: &[&'static str]) -> Result<Place, FieldError> {
    if let Some(path) = fields.opt_text("path")? {
        return Ok(Place::new(path));
    }
    let name = names.iter().find(|name| fields.get(name).is_some());
    Ok(Place {
        path: fields.text(name.copied().unwrap_or(names[0]))?,
        workdir: fields.opt_text("workdir")?,
    })
}

fn limits(fields: Fields<'_>) -> Result<TimeLimits, FieldError> {
    let default = TimeLimits::default();
    Ok(TimeLimits {
        // Nothing is no limit; the default is for those who say nothing at all.
        timeout: if fields.has("timeout") {
            fields.seconds("timeout")?
        } else {
            default.timeout
        },
        max_time: fields.seconds("maxTime")?,
        log_environ: fields.flag("logEnviron", default.log_environ)?,
    })
}

fn shell(fields: Fields<'_>) -> Result<Shell, FieldError> {
    let env = fields.entries("env", |value| match value {
        Value::None => Some(EnvValue::Unset),
        value => match value.as_items() {
            Some(items) => {
                let items: Option<_> = items.iter().map(|item| item.as_text().map(Into::into)).collect();
                items.map(EnvValue::Paths)
            }
            None => value.as_text().map(|text| EnvValue::Text(text.into())),
        },
    })?;
    let logfiles = fields.entries("logfiles", |value| match value {
        Value::Dict(_) => {
            let fields = Fields::of("logfiles", value).ok()?;
            Some(LogFile {
                filename: fields.text("filename").ok()?,
                follow: fields.flag("follow", false).ok()?,
            })
        }
        value => Some(LogFile {
            filename: value.as_text()?.into(),
            follow: false,
        }),
    })?;
    let command = match fields.get("command") {
        None => return Err(fields.error("command", FieldProblem::Missing)),
        Some(value) => match value.as_items() {
            None => CommandLine::Line(fields.text("command")?),
            Some(items) => CommandLine::Argv(items.iter().map(argument).collect::<Result<_, _>>()?),
        },
    };
    Ok(Shell {
        workdir: fields.text("workdir")?,
        command,
        env: env.into_iter().collect(),
        want_stdout: fields.flag("want_stdout", true)?,
        want_stderr: fields.flag("want_stderr", true)?,
        logfiles: logfiles.into_iter().collect(),
        timeout: fields.seconds("timeout")?,
        max_time: fields.seconds("maxTime")?,
        max_lines: fields.opt_size("max_lines")?,
        sigterm_time: fields.seconds("sigtermTime")?,
        use_pty: fields.flag("usePTY", false)?,
        log_environ: fields.flag("logEnviron", true)?,
        initial_stdin: fields.opt_text("initial_stdin")?,
        interrupt_signal: fields.opt_text("interruptSignal")?,
    })
}

/// What is no text becomes the text that Python would make of it.
fn argument(value: &Value) -> Result<Argument, FieldError> {
    Ok(Argument::Plain(match value {
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::None => "None".into(),
        Value::Tuple(items) => match items.as_slice() {
            [mark, real, shown] if mark.is_text("obfuscated") => {
                return Ok(Argument::Obfuscated {
                    real: crate::fields::text("shell", "command", real)?,
                    shown: crate::fields::text("shell", "command", shown)?,
                });
            }
            _ => return Err(wrong("shell", "command", "a list of texts", value)),
        },
        value => match value.as_text() {
            Some(text) => text.into(),
            None => return Err(wrong("shell", "command", "a list of texts", value)),
        },
    }))
}
