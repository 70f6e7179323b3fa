//! Speaks with the running master through the socket in its state directory: the same methods that the HTTP API has.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

use ironmaster_api::SOCKET;
use serde_json::{Value, json};

use crate::{catalogue::catalogue, failure::Failure};

/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// A master that says nothing for so long has a problem.
const PATIENCE: Duration = Duration::from_mins(2);

/// The running master of a configuration.
pub(crate) struct Client {
    state_dir: PathBuf,
}

/// Why there was no good answer.
pub(crate) enum CallError {
    /// No master is there.
    NotRunning,
    /// It has said no. This is the `error` of its answer.
    Refused(Value),
    /// Anything else.
    Failed(Failure),
}

impl Client {
    /// The master that the configuration at `config` is for. Only where it keeps its state is read of that.
    pub(crate) fn of(config: &Path) -> Result<Self, Failure> {
        let state_dir = ironmaster_config::state_dir(config, &catalogue()).map_err(Failure::Config)?;
        Ok(Self { state_dir })
    }

    /// Reads below `/api/v2`.
    pub(crate) fn get(&self, path: &str) -> Result<Value, CallError> {
        self.request("GET", path, "")
    }

    /// Calls an action; returns its result.
    pub(crate) fn call(&self, path: &str, method: &str, params: &Value) -> Result<Value, CallError> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let mut answer = self.request("POST", path, &body)?;
        Ok(answer["result"].take())
    }

    /// What to say if no master is there.
    pub(crate) fn not_running(&self) -> Failure {
        Failure::Failed {
            message: format!("no master is running on {}", self.state_dir.display()),
            hint: Some(
                "start one with `ironmaster start`; if one runs, is `state_dir` in [master] the same?".into(),
            ),
        }
    }

    /// A failed call as a failed command.
    pub(crate) fn failure(&self, error: CallError) -> Failure {
        match error {
            CallError::NotRunning => self.not_running(),
            CallError::Failed(failure) => failure,
            CallError::Refused(error) => Failure::Failed {
                message: match &error["message"] {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                },
                hint: None,
            },
        }
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Result<Value, CallError> {
        exchange(self.connect()?, method, path, body)
    }

    fn connect(&self) -> Result<UnixStream, CallError> {
        let path = self.state_dir.join(SOCKET);
        // Kept open for as long as its number is used.
        let dir = fs::File::open(&self.state_dir);
        let short = match &dir {
            Ok(dir) if path.as_os_str().len() >= 100 => Path::new("/proc/self/fd")
                .join(dir.as_raw_fd().to_string())
                .join(SOCKET),
            _ => path.clone(),
        };
        UnixStream::connect(short).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => CallError::NotRunning,
            ErrorKind::PermissionDenied => CallError::Failed(
                Failure::because(&format!("cannot open {}", path.display()), &error)
                    .hint("run this as the master's user, or as root"),
            ),
            _ => CallError::Failed(Failure::because(
                &format!("cannot open {}", path.display()),
                &error,
            )),
        })
    }
}

/// One request and its answer.
fn exchange(mut stream: UnixStream, method: &str, path: &str, body: &str) -> Result<Value, CallError> {
    let failed =
        |error: std::io::Error| CallError::Failed(Failure::because("cannot speak with the master", &error));
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    // Version 1.0: the answer ends where the connection does.
    let head = format!(
        "{method} /api/v2/{path} HTTP/1.0\r\nHost: localhost\r\nAccept: application/json\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    // A master that ends may hear only a part of it. What it has said all the same is its answer.
    let unless_ended = |result: std::io::Result<()>| match result {
        Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => Ok(()),
        other => other.map_err(failed),
    };
    let spoken = stream.write_all(head.as_bytes());
    unless_ended(spoken.and_then(|()| stream.write_all(body.as_bytes())))?;
    let mut answer = Vec::new();
    let heard = stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer);
    unless_ended(heard.map(|_| ()))?;
    if answer.is_empty() {
        return Err(CallError::NotRunning);
    }
    parse(&answer)
}

/// The body of an answer, if it is a good one.
pub(crate) fn parse(answer: &[u8]) -> Result<Value, CallError> {
    let garbled = || {
        CallError::Failed(Failure::Failed {
            message: "the master's answer cannot be read".into(),
            hint: Some("are this program and the running master of the same version?".into()),
        })
    };
    let end = answer
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .ok_or_else(garbled)?;
    let status = answer
        .get(9..12)
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| digits.parse::<u16>().ok())
        .ok_or_else(garbled)?;
    let mut body: Value = serde_json::from_slice(&answer[end + 4..]).map_err(|_| garbled())?;
    if status == 200 {
        return Ok(body);
    }
    let error = body["error"].take();
    Err(CallError::Refused(match error {
        Value::String(text) => json!({ "message": text, "status": status }),
        other => other,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A long request to a master that has said this, and ends without having heard anything.
    fn asked_of_one_that_ends(says: &[u8]) -> Result<Value, CallError> {
        let (ours, mut master) = UnixStream::pair().unwrap();
        master.write_all(says).unwrap();
        drop(master);
        exchange(ours, "POST", "builds/1", &"x".repeat(1 << 20))
    }

    #[test]
    fn a_master_that_ends_amid_a_call_does_not_run() {
        assert!(matches!(asked_of_one_that_ends(b""), Err(CallError::NotRunning)));
        let refused =
            asked_of_one_that_ends(b"HTTP/1.0 413 Payload Too Large\r\n\r\n{\"error\": \"too long\"}");
        assert!(matches!(refused, Err(CallError::Refused(error)) if error["message"] == "too long"));
    }

    #[test]
    fn answers_are_read() {
        let good = parse(b"HTTP/1.0 200 OK\r\na: b\r\n\r\n{\"result\": 3}");
        assert!(matches!(good, Ok(value) if value["result"] == 3));
        let refused = parse(b"HTTP/1.0 400 Bad Request\r\n\r\n{\"error\": {\"message\": \"no\"}}");
        assert!(matches!(refused, Err(CallError::Refused(error)) if error["message"] == "no"));
        let missing = parse(b"HTTP/1.0 404 Not Found\r\n\r\n{\"error\": \"no such thing\"}");
        assert!(matches!(missing, Err(CallError::Refused(error)) if error["message"] == "no such thing"));
        for garbled in [&b""[..], b"HTTP/1.0 2", b"HTTP/1.0 200 OK\r\n\r\n{"] {
            assert!(matches!(parse(garbled), Err(CallError::Failed(_))));
        }
    }
}
