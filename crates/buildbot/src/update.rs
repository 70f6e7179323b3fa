//! What a worker tells of a command while it runs.

use crate::{
    Value,
    fields::{FieldError, FieldProblem, text, wrong},
};

/// One piece of news.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// Lines that were printed, or that the worker says itself.
    Output {
        /// Where they come from.
        stream: Stream,
        /// The lines.
        lines: Lines,
    },
    /// Lines of a log file that was asked for.
    Log {
        /// The log's name.
        name: String,
        /// The lines.
        lines: Lines,
    },
    /// `rc`: the exit status, or -1 for a signal, or an `errno`. Output may still follow.
    ExitCode(i64),
    /// Why the worker ends the command itself.
    FailureReason(FailureReason),
    /// How long it took, in seconds. It does not come when the command was interrupted.
    Elapsed(f64),
    /// What `stat` found.
    Stat(FileStat),
    /// What `glob` or `listdir` found.
    Files(Vec<String>),
    /// Something that is not known, or not as it must be. It has no consequences.
    Other {
        /// Its name.
        name: String,
        /// What is wrong with it, if its name is known.
        problem: Option<FieldError>,
    },
}

/// Where lines come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The standard output.
    Stdout,
    /// The standard error output.
    Stderr,
    /// What the worker itself says.
    Header,
}

/// Text, as a rule of whole lines; old workers send any pieces.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lines {
    /// The text.
    pub text: String,
    /// When each line began, in seconds of the worker's clock since 1970. There may be fewer than lines, or none.
    pub times: Vec<f64>,
}

impl Lines {
    /// Without times.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            times: Vec::new(),
        }
    }
}

/// Why a worker ended a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailureReason {
    /// It printed nothing for `timeout` seconds.
    Silent,
    /// It ran for `maxTime` seconds.
    Slow,
    /// It printed more than `max_lines` lines.
    ManyLines,
    /// Another reason.
    Other(String),
}

impl FailureReason {
    fn read(word: &str) -> Self {
        match word {
            "timeout_without_output" => Self::Silent,
            "timeout" => Self::Slow,
            "max_lines_failure" => Self::ManyLines,
            other => Self::Other(other.to_owned()),
        }
    }

    fn word(&self) -> &str {
        match self {
            Self::Silent => "timeout_without_output",
            Self::Slow => "timeout",
            Self::ManyLines => "max_lines_failure",
            Self::Other(word) => word,
        }
    }
}

/// What is known of a file. Times are whole seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of stat(2)")]
pub struct FileStat {
    pub mode: u32,
    pub ino: i128,
    pub dev: i128,
    pub nlink: i64,
    pub uid: i64,
    pub gid: i64,
    pub size: u64,
    pub atime: i64,
    pub mtime: i64,
    pub ctime: i64,
}

impl FileStat {
    /// Whether it is a folder.
    pub const fn is_dir(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }

    fn read(value: &Value) -> Option<Self> {
        let items = value.as_items()?;
        let numbers: Vec<i128> = items
            .iter()
            .map(|item| match item {
                Value::Int(number) => Some(*number),
                // Old ones send times with fractions.
                Value::Float(number) => Some(*number as i128),
                _ => None,
            })
            .collect::<Option<_>>()?;
        let [mode, ino, dev, nlink, uid, gid, size, atime, mtime, ctime] = numbers.try_into().ok()?;
        Some(Self {
            mode: mode.try_into().ok()?,
            ino,
            dev,
            nlink: nlink.try_into().ok()?,
            uid: uid.try_into().ok()?,
            gid: gid.try_into().ok()?,
            size: size.try_into().ok()?,
            atime: atime.try_into().ok()?,
            mtime: mtime.try_into().ok()?,
            ctime: ctime.try_into().ok()?,
        })
    }

    fn write(&self) -> Vec<Value> {
        let numbers = [
            self.mode.into(),
            self.ino,
            self.dev,
            self.nlink.into(),
            self.uid.into(),
            self.gid.into(),
            self.size.into(),
            self.atime.into(),
            self.mtime.into(),
            self.ctime.into(),
        ];
        numbers.map(Value::Int).into()
    }
}

/// The two ways to write one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    Pb,
    Msgpack,
}

impl Update {
    /// From its name and its value, in either spelling.
    pub fn read(name: &str, value: &Value) -> Self {
        Self::try_read(name, value).unwrap_or_else(|problem| Self::Other {
            name: name.to_owned(),
            problem: Some(problem),
        })
    }

    fn try_read(name: &str, value: &Value) -> Result<Self, FieldError> {
        let output = |stream, field| {
            let lines = lines(field, value)?;
            Ok(Self::Output { stream, lines })
        };
        match name {
            "stdout" => output(Stream::Stdout, "stdout"),
            "stderr" => output(Stream::Stderr, "stderr"),
            "header" => output(Stream::Header, "header"),
            "log" => match value.as_items() {
                Some([name, content]) => Ok(Self::Log {
                    name: text("update", "log", name)?,
                    lines: lines("log", content)?,
                }),
                _ => Err(wrong("update", "log", "a name with its text", value)),
            },
            "rc" => match value {
                Value::Int(number) => i64::try_from(*number)
                    .map(Self::ExitCode)
                    .map_err(|_| FieldError {
                        what: "update",
                        field: "rc",
                        problem: FieldProblem::Range,
                    }),
                other => Err(wrong("update", "rc", "a whole number", other)),
            },
            "failure_reason" => {
                let word = text("update", "failure_reason", value)?;
                Ok(Self::FailureReason(FailureReason::read(&word)))
            }
            "elapsed" => value
                .as_number()
                .map(Self::Elapsed)
                .ok_or_else(|| wrong("update", "elapsed", "a number", value)),
            "stat" => FileStat::read(value)
                .map(Self::Stat)
                .ok_or_else(|| wrong("update", "stat", "ten numbers", value)),
            "files" => match value.as_items() {
                Some(items) => {
                    let files: Result<_, _> =
                        items.iter().map(|item| text("update", "files", item)).collect();
                    files.map(Self::Files)
                }
                None => Err(wrong("update", "files", "a list", value)),
            },
            other => Ok(Self::Other {
                name: other.to_owned(),
                problem: None,
            }),
        }
    }

    /// Its name and its value.
    pub(crate) fn write(&self, spelling: Spelling) -> (&str, Value) {
        match self {
            Self::Output { stream, lines } => {
                let name = match stream {
                    Stream::Stdout => "stdout",
                    Stream::Stderr => "stderr",
                    Stream::Header => "header",
                };
                (name, write_lines(lines, spelling))
            }
            Self::Log { name, lines } => {
                let parts = vec![name.as_str().into(), write_lines(lines, spelling)];
                ("log", Value::Tuple(parts))
            }
            Self::ExitCode(code) => ("rc", (*code).into()),
            Self::FailureReason(reason) => ("failure_reason", reason.word().into()),
            Self::Elapsed(seconds) => ("elapsed", (*seconds).into()),
            Self::Stat(stat) => ("stat", Value::Tuple(stat.write())),
            Self::Files(files) => {
                let files = files.iter().map(|file| file.as_str().into()).collect();
                ("files", Value::List(files))
            }
            Self::Other { name, .. } => (name, Value::None),
        }
    }
}

/// A text alone, or with the places of its line ends, which it says itself, and times.
fn lines(field: &'static str, value: &Value) -> Result<Lines, FieldError> {
    match value.as_items() {
        None => Ok(Lines::new(text("update", field, value)?)),
        Some([content, _, times]) => Ok(Lines {
            text: text("update", field, content)?,
            times: times
                .as_items()
                .unwrap_or_default()
                .iter()
                .map_while(Value::as_number)
                .collect(),
        }),
        Some(_) => Err(wrong("update", field, "a text, its line ends and times", value)),
    }
}

fn write_lines(lines: &Lines, spelling: Spelling) -> Value {
    match spelling {
        Spelling::Pb => lines.text.as_str().into(),
        Spelling::Msgpack => {
            // Code points, not bytes.
            let ends = lines.text.chars().enumerate().filter(|(_, c)| *c == '\n');
            let ends = ends.map(|(at, _)| Value::from(at as u64)).collect();
            let times = lines.times.iter().map(|time| Value::Float(*time)).collect();
            Value::List(vec![
                lines.text.as_str().into(),
                Value::List(ends),
                Value::List(times),
            ])
        }
    }
}
