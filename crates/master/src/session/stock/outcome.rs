//! One command of a stock worker: what it has sent so far, and what that amounts to in the words of our own protocol.

use std::time::Duration;

use ironmaster_buildbot::{FailureReason, FileStat, Update};
use ironmaster_wire::{
    CommandId, Ending, Exited, FailureKind, MAX_CHUNK, Outcome, OutputChunk, Stream, TimeoutKind, Verb,
};
use serde_json::{Value, json};

/// What is kept of a transfer's complaints, in bytes.
const COMPLAINT_MAX: usize = 4 * 1024;
/// Names that a listing may have.
const FILES_MAX: usize = 1_000_000;
/// What the worker says when a signal has ended a command, in a line of its header.
const KILLED_BY: &str = "process killed by signal ";

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Running {
    id: CommandId,
    verb: Verb,
    began: Duration,
    /// Bytes of output so far.
    end: u64,
    /// Those of them that the program printed, and not the worker.
    printed: u64,
    rc: Option<i64>,
    signal: Option<i32>,
    failure_reason: Option<FailureReason>,
    stat: Option<FileStat>,
    files: Option<Vec<String>>,
    complaint: String,
    interrupted: Option<String>,
    /// It printed more than it may.
    over_limit: bool,
    /// Bytes of the file that was given to the worker.
    given: usize,
}

impl Running {
    pub(super) fn new(id: CommandId, verb: Verb, now: Duration) -> Self {
        Self {
            id,
            verb,
            began: now,
            end: 0,
            printed: 0,
            rc: None,
            signal: None,
            failure_reason: None,
            stat: None,
            files: None,
            complaint: String::new(),
            interrupted: None,
            over_limit: false,
            given: 0,
        }
    }

    pub(super) fn id(&self) -> CommandId {
        self.id
    }

    /// Whether what it has done so far was right, so that what comes next may be begun.
    pub(super) fn goes_on(&mut self, failure: Option<&str>) -> bool {
        let right = failure.is_none() && self.rc == Some(0) && self.interrupted.is_none() && !self.over_limit;
        if right {
            self.rc = None;
            self.complaint.clear();
        }
        right
    }

    /// Somebody asked for its end.
    pub(super) fn interrupt(&mut self, reason: String) {
        self.interrupted.get_or_insert(reason);
    }

    /// Takes in what the worker says; what of it is output goes to `output`. True if the command is to be ended, as it has
    /// printed too much.
    pub(super) fn said(&mut self, update: Update, output: &mut impl FnMut(OutputChunk)) -> bool {
        match update {
            // How long it took is measured here.
            Update::Elapsed(_) | Update::Other { .. } => {}
            Update::Log { name, lines } => {
                let Verb::Exec(exec) = &self.verb else {
                    return false;
                };
                let number = exec.log_files.iter().position(|file| file.name == name);
                // What was not asked for has no log to go to.
                let Some(number) = number.and_then(|number| u8::try_from(number).ok()) else {
                    return false;
                };
                return self.printed(Stream::File(number), lines.text.as_bytes(), output);
            }
            Update::ExitCode(rc) => self.rc = Some(rc),
            Update::FailureReason(reason) => self.failure_reason = Some(reason),
            Update::Stat(stat) => self.stat = Some(stat),
            Update::Files(mut files) => {
                files.truncate(FILES_MAX);
                self.files = Some(files);
            }
            Update::Output { stream, lines } => {
                let text = lines.text;
                let stream = match stream {
                    ironmaster_buildbot::Stream::Stdout => Stream::Stdout,
                    ironmaster_buildbot::Stream::Stderr => Stream::Stderr,
                    ironmaster_buildbot::Stream::Header => Stream::Header,
                };
                if stream == Stream::Header
                    && let Some(signal) = text.lines().find_map(|line| line.strip_prefix(KILLED_BY))
                {
                    self.signal = signal.trim().parse().ok();
                }
                return self.printed(stream, text.as_bytes(), output);
            }
        }
        false
    }

    /// What a program prints, or writes into its log files, as far as it may. True if it is to be ended.
    fn printed(&mut self, stream: Stream, bytes: &[u8], output: &mut impl FnMut(OutputChunk)) -> bool {
        let Verb::Exec(exec) = &self.verb else {
            self.complain(stream, &String::from_utf8_lossy(bytes));
            return false;
        };
        let limit = exec.max_output_bytes.unwrap_or(u64::MAX);
        // The worker's own words do not count.
        let room = if stream == Stream::Header {
            bytes.len()
        } else {
            usize::try_from(limit.saturating_sub(self.printed)).unwrap_or(usize::MAX)
        };
        let taken = bytes.len().min(room);
        self.print(stream, &bytes[..taken], output);
        if stream != Stream::Header {
            self.printed += taken as u64;
        }
        taken < bytes.len() && !std::mem::replace(&mut self.over_limit, true)
    }

    /// The next piece of a file that the worker sends. True if it is larger than it may be.
    pub(super) fn sent(&mut self, data: &[u8], output: &mut impl FnMut(OutputChunk)) -> bool {
        let Verb::Get { max_bytes, .. } = self.verb else {
            return false;
        };
        if self.end + data.len() as u64 > max_bytes {
            self.over_limit = true;
        }
        if !self.over_limit {
            self.print(Stream::Stdout, data, output);
        }
        self.over_limit
    }

    /// The next piece of a file for the worker; nothing at its end.
    pub(super) fn give(&mut self, length: usize) -> Vec<u8> {
        let Verb::Put(put) = &self.verb else {
            return Vec::new();
        };
        let rest = &put.content[self.given.min(put.content.len())..];
        let piece = rest[..rest.len().min(length)].to_vec();
        self.given += piece.len();
        piece
    }

    fn print(&mut self, stream: Stream, bytes: &[u8], output: &mut impl FnMut(OutputChunk)) {
        for piece in bytes.chunks(MAX_CHUNK) {
            output(OutputChunk {
                id: self.id,
                stream,
                offset: self.end,
                data: piece.to_vec().into(),
            });
            self.end += piece.len() as u64;
        }
    }

    /// File operations print nothing; what the worker says of them is kept for the message of a failure.
    fn complain(&mut self, stream: Stream, text: &str) {
        if stream == Stream::Stdout || self.complaint.len() + text.len() > COMPLAINT_MAX {
            return;
        }
        // What is done with the command's output (`rm`'s own header and the like) says nothing about a failure.
        if stream == Stream::Stderr
            || matches!(
                self.verb,
                Verb::Stat { .. } | Verb::List { .. } | Verb::Mkdir { .. }
            )
        {
            self.complaint.push_str(text);
        }
    }

    /// What its end means. `failure` is what the worker says if it could not do it at all.
    pub(super) fn end(mut self, failure: Option<String>, base: &str, now: Duration) -> Exited {
        let outcome = match &self.verb {
            Verb::Exec(_) => self.end_of_program(failure),
            _ => self.end_of_file_operation(failure, base),
        };
        Exited {
            id: self.id,
            outcome,
            output_end: self.end,
            duration_ms: u64::try_from(now.saturating_sub(self.began).as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn end_of_program(&mut self, failure: Option<String>) -> Outcome {
        if self.over_limit {
            return Outcome::OutputLimit;
        }
        if let Some(reason) = self.interrupted.take()
            && self.rc != Some(0)
        {
            return Outcome::Interrupted { reason };
        }
        let kind = match self.failure_reason {
            Some(FailureReason::Silent) => Some(TimeoutKind::Silence),
            Some(FailureReason::Slow) => Some(TimeoutKind::Total),
            _ => None,
        };
        if let Some(kind) = kind {
            return Outcome::Timeout {
                kind,
                after: if self.signal == Some(9) {
                    Ending::Kill
                } else {
                    Ending::Interrupt
                },
            };
        }
        if let Some(message) = failure {
            return Outcome::StartFailed { message };
        }
        match (self.rc, self.signal) {
            (Some(-1), Some(signal)) => Outcome::Signal { signal },
            (Some(rc), _) => Outcome::Exit {
                code: i32::try_from(rc).unwrap_or(-1),
            },
            (None, _) => Outcome::StartFailed {
                message: "the worker says that it has ended, but gave no exit code".into(),
            },
        }
    }

    fn end_of_file_operation(&mut self, failure: Option<String>, base: &str) -> Outcome {
        if let Some(reason) = self.interrupted.take() {
            return Outcome::Interrupted { reason };
        }
        if self.over_limit {
            return failed(FailureKind::Invalid, "the file is larger than what is allowed");
        }
        if let Some(message) = failure {
            return failed(FailureKind::Io, &message);
        }
        match self.rc {
            Some(0) => {}
            Some(rc) => {
                let message = self.complaint.trim();
                let message = if message.is_empty() {
                    format!("the worker says that \"{}\" failed with {rc}", self.verb.name())
                } else {
                    message.to_owned()
                };
                return failed(self.failure_kind(rc, &message), &message);
            }
            None => {
                return failed(
                    FailureKind::Io,
                    &format!("the worker did not say how \"{}\" ended", self.verb.name()),
                );
            }
        }
        let value = match &self.verb {
            Verb::Stat { .. } => match &self.stat {
                Some(stat) => described(stat),
                None => return failed(FailureKind::Io, "the worker did not describe the file"),
            },
            Verb::List { .. } => json!(sorted(self.files.take().unwrap_or_default())),
            Verb::Glob { .. } => {
                let files = self.files.take().unwrap_or_default();
                json!(sorted(files.iter().map(|file| relative(file, base)).collect()))
            }
            _ => Value::Null,
        };
        Outcome::Value { value }
    }

    /// Operations on files answer with the number of the system's error; transfers only say that something was wrong.
    fn failure_kind(&self, rc: i64, message: &str) -> FailureKind {
        let transfer = matches!(self.verb, Verb::Put(_) | Verb::Get { .. });
        match rc {
            2 if !transfer => FailureKind::NotFound,
            13 if !transfer => FailureKind::Permission,
            28 if !transfer => FailureKind::NoSpace,
            _ if transfer && message.contains("Cannot open file") => FailureKind::NotFound,
            _ => FailureKind::Io,
        }
    }
}

fn failed(kind: FailureKind, message: &str) -> Outcome {
    Outcome::Failed {
        kind,
        message: message.to_owned(),
    }
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

/// A path below the base directory, as our own worker would say it.
fn relative(path: &str, base: &str) -> String {
    let path = path.replace('\\', "/");
    let base = base.replace('\\', "/");
    path.strip_prefix(base.as_str())
        .map_or(path.as_str(), |rest| rest.trim_start_matches('/'))
        .trim_end_matches('/')
        .to_owned()
}

/// What a stock worker knows of a file, as our own worker would say it. Links are followed, so there are none.
fn described(stat: &FileStat) -> Value {
    let kind = match stat.mode & 0o170_000 {
        0o100_000 => "file",
        0o040_000 => "dir",
        _ => "other",
    };
    json!({
        "type": kind,
        "size": stat.size,
        "mode": stat.mode & 0o7777,
        "mtime_us": stat.mtime.saturating_mul(1_000_000),
    })
}

#[cfg(test)]
mod tests {
    use ironmaster_buildbot::Lines;
    use ironmaster_wire::Exec;

    use super::*;

    #[test]
    fn only_what_the_program_prints_counts_against_its_limit() {
        let id = CommandId {
            build: 1,
            step: 0,
            ordinal: 0,
        };
        let verb = Verb::Exec(Exec {
            max_output_bytes: Some(5),
            ..Exec::default()
        });
        let mut command = Running::new(id, verb, Duration::ZERO);
        let mut bytes = Vec::new();
        let mut say = |stream, text: &str| {
            let lines = Lines::new(text);
            command.said(Update::Output { stream, lines }, &mut |chunk| {
                assert_eq!(chunk.offset, bytes.len() as u64, "no byte is left out");
                bytes.extend_from_slice(&chunk.data);
            })
        };
        assert!(!say(ironmaster_buildbot::Stream::Header, "begins\n"));
        assert!(!say(ironmaster_buildbot::Stream::Stdout, "ab\n"));
        assert!(
            say(ironmaster_buildbot::Stream::Stderr, "cdef\n"),
            "it is to be ended"
        );
        assert!(
            !say(ironmaster_buildbot::Stream::Stdout, "more\n"),
            "it is only said once"
        );
        assert_eq!(bytes, b"begins\nab\ncd");
        let exited = command.end(None, "/base", Duration::ZERO);
        assert_eq!((exited.outcome, exited.output_end), (Outcome::OutputLimit, 12));
    }
}
