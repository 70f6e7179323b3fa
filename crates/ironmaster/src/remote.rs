//! Speaks with a master over HTTP, from any machine: the same API that scripts use.

use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    path::PathBuf,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use ironmaster_tls::{Client, Trust, broken};
use serde_json::{Value, json};

use crate::{
    client::{CallError, parse},
    failure::Failure,
};

/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// A master that says nothing for so long has a problem.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long a connection may take.
const CONNECT_TIME: Duration = Duration::from_secs(20);
/// Where the password or token may come from.
const TOKEN: &str = "IRONMASTER_TOKEN";
const PASSWORD: &str = "IRONMASTER_PASSWORD";

/// Where the master is, and who calls it.
#[derive(clap::Args)]
pub(crate) struct At {
    /// The master's address, as browsers have it: `http://ci.example.org:8010/`
    #[arg(long, value_name = "URL", env = "IRONMASTER_URL")]
    master: String,
    /// With https: a file with the certificates (PEM) of the authorities to trust, instead of the machine's
    #[arg(long, value_name = "FILE", env = "IRONMASTER_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// Your name; the password is read from the variable IRONMASTER_PASSWORD or from --password-file. Without a name, a token is
    /// read from IRONMASTER_TOKEN or --token-file
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// A file with the password
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<std::path::PathBuf>,
    /// A file with a token
    #[arg(long, value_name = "FILE", conflicts_with = "user")]
    token_file: Option<std::path::PathBuf>,
}

/// A connection to a master.
trait Connection: Read + Write {}

impl<S: Read + Write> Connection for S {}

/// A master somewhere.
pub(crate) struct Remote {
    /// Whom to trust that it is the master; none = there is no encryption.
    trust: Option<Trust>,
    /// Host and port.
    authority: String,
    /// Path of the site, without a slash at its end.
    base: String,
    /// The value of `Authorization`, if there is one.
    authorization: Option<String>,
}

impl Remote {
    pub(crate) fn new(at: &At) -> Result<Self, Failure> {
        let url = at.master.trim();
        let wrong = |message: String, hint: &str| Failure::Failed {
            message,
            hint: Some(hint.to_owned()),
        };
        let (rest, encrypted) = match url.strip_prefix("https://") {
            Some(rest) => (rest, true),
            None => (url.strip_prefix("http://").unwrap_or(url), false),
        };
        let (authority, base) = rest.split_once('/').unwrap_or((rest, ""));
        let strange = |text: &str| text.bytes().any(|byte| !byte.is_ascii_graphic());
        if authority.is_empty() || authority.contains('@') || strange(rest) {
            return Err(wrong(
                format!("`{url}` is not the address of a master"),
                "it looks like http://ci.example.org:8010/ or https://ci.example.org/",
            ));
        }
        if at.ca_file.is_some() && !encrypted {
            // Somebody who names an authority means to be protected.
            return Err(wrong(
                format!("`{url}` has no encryption, so nothing can be done with --ca-file"),
                "give the master's https:// address, or leave --ca-file (IRONMASTER_CA_FILE) out",
            ));
        }
        let file = at.ca_file.clone();
        let trust = encrypted.then(|| file.map_or(Trust::System, Trust::File));
        let base = base.trim_end_matches('/');
        Ok(Self {
            trust,
            authority: authority.to_owned(),
            base: if base.is_empty() {
                String::new()
            } else {
                format!("/{base}")
            },
            authorization: authorization(at)?,
        })
    }

    /// The address of a page.
    pub(crate) fn page(&self, fragment: &str) -> String {
        format!("{}://{}{}/#/{fragment}", self.scheme(), self.authority, self.base)
    }

    fn scheme(&self) -> &'static str {
        if self.trust.is_some() { "https" } else { "http" }
    }

    /// Reads below `/api/v2`.
    pub(crate) fn get(&self, path: &str) -> Result<Value, CallError> {
        self.ask("GET", &format!("/api/v2/{path}"), "application/json", "", "")
    }

    /// Calls an action; returns its result. Should the connection break, it is called once more, and acts once.
    pub(crate) fn call(&self, path: &str, method: &str, params: &Value) -> Result<Value, CallError> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let mut random = [0; 16];
        getrandom::fill(&mut random).expect("the operating system has randomness");
        let key = format!("Idempotency-Key: {}\r\n", hex::encode(random));
        let path = format!("/api/v2/{path}");
        let call = || self.ask("POST", &path, "application/json", &key, &body);
        let answer = match call() {
            Err(CallError::NotRunning | CallError::Failed(_)) => call(),
            other => other,
        };
        Ok(answer?["result"].take())
    }

    /// Sends a form to the change hook.
    pub(crate) fn tell(&self, form: &str) -> Result<(), CallError> {
        let kind = "application/x-www-form-urlencoded";
        let answer = self.send("POST", "/change_hook/base", kind, "", form)?;
        let text = String::from_utf8_lossy(&answer);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        if head.get(9..12) == Some("200") {
            return Ok(());
        }
        let body = body.trim().replace("&lt;", "<").replace("&amp;", "&");
        Err(CallError::Refused(json!({ "message": body })))
    }

    /// A failed call as a failed command.
    pub(crate) fn failure(&self, error: CallError) -> Failure {
        match error {
            CallError::NotRunning => Failure::Failed {
                message: format!("no master answers at {}", self.authority),
                hint: Some("is the address right, and does the master run?".into()),
            },
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

    fn ask(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        headers: &str,
        body: &str,
    ) -> Result<Value, CallError> {
        parse(&self.send(method, path, kind, headers, body)?)
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        headers: &str,
        body: &str,
    ) -> Result<Vec<u8>, CallError> {
        let failed = |error: std::io::Error| {
            CallError::Failed(Failure::Failed {
                message: format!("cannot speak with {}: {}", self.authority, broken(&error)),
                hint: None,
            })
        };
        let plain = self.connect()?;
        plain.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        plain.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
        let mut stream = self.secured(plain)?;
        let authorization = self
            .authorization
            .as_ref()
            .map(|value| format!("Authorization: {value}\r\n"))
            .unwrap_or_default();
        // Version 1.0: the answer ends where the connection does.
        let head = format!(
            "{method} {}{path} HTTP/1.0\r\nHost: {}\r\nAccept: application/json\r\nContent-Type: {kind}\r\n\
             Content-Length: {}\r\n{authorization}{headers}\r\n",
            self.base,
            self.authority,
            body.len()
        );
        stream.write_all(head.as_bytes()).map_err(failed)?;
        stream.write_all(body.as_bytes()).map_err(failed)?;
        stream.flush().map_err(failed)?;
        let mut answer = Vec::new();
        match stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer) {
            // Some servers end an encrypted connection without a word. An answer that says how long it is needs none.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof && is_whole(&answer) => {}
            other => {
                other.map_err(failed)?;
            }
        }
        if answer.is_empty() {
            return Err(CallError::NotRunning);
        }
        if !answer.starts_with(b"HTTP/") {
            return Err(CallError::Failed(Failure::Failed {
                message: format!("what answers at {} does not speak HTTP", self.authority),
                hint: Some("is the port right, and should the address begin with https://?".into()),
            }));
        }
        Ok(answer)
    }

    /// Host and port, with the usual port if none is given.
    fn target(&self) -> String {
        let has_port = self
            .authority
            .rsplit_once(':')
            .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
        match &self.trust {
            _ if has_port => self.authority.clone(),
            Some(_) => format!("{}:443", self.authority),
            None => format!("{}:80", self.authority),
        }
    }

    fn secured(&self, stream: TcpStream) -> Result<Box<dyn Connection>, CallError> {
        let Some(trust) = &self.trust else {
            return Ok(Box::new(stream));
        };
        let target = self.target();
        let host = target.rsplit_once(':').map_or("", |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let stream = Client::new(host, trust).and_then(|client| client.connect_blocking(stream));
        match stream {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(CallError::Failed(Failure::because(
                &format!("cannot speak with {target}"),
                &error,
            ))),
        }
    }

    fn connect(&self) -> Result<TcpStream, CallError> {
        let target = self.target();
        let addresses = target
            .to_socket_addrs()
            .map_err(|error| CallError::Failed(Failure::because(&format!("cannot find {target}"), &error)))?;
        addresses
            .into_iter()
            .find_map(|address| TcpStream::connect_timeout(&address, CONNECT_TIME).ok())
            .ok_or(CallError::NotRunning)
    }
}

/// Whether an answer has as many bytes as it says.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&answer[..end]);
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let named = name.eq_ignore_ascii_case("content-length");
        named.then(|| value.trim().parse::<usize>().ok())?
    });
    length == Some(answer.len() - end - 4)
}

/// A password or token, from where it does not show in the list of processes.
fn authorization(at: &At) -> Result<Option<String>, Failure> {
    let secret = |file: &Option<std::path::PathBuf>, variable: &str| match file {
        Some(path) => std::fs::read_to_string(path)
            .map(|text| Some(text.trim_end().to_owned()))
            .map_err(|error| Failure::because(&format!("cannot read {}", path.display()), &error)),
        None => Ok(std::env::var(variable).ok().filter(|text| !text.is_empty())),
    };
    let value = match &at.user {
        Some(user) => {
            let password = secret(&at.password_file, PASSWORD)?.ok_or_else(|| Failure::Failed {
                message: format!("there is no password for {user}"),
                hint: Some(format!(
                    "put it into the variable {PASSWORD}, or give --password-file"
                )),
            })?;
            Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
        }
        None => secret(&at.token_file, TOKEN)?.map(|token| format!("Bearer {token}")),
    };
    if value.as_ref().is_some_and(|value| value.contains(['\r', '\n'])) {
        return Err(Failure::Failed {
            message: "a name, password or token has several lines".into(),
            hint: None,
        });
    }
    Ok(value)
}

/// A value in a form or a path.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
