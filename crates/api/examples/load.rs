//! Loads an HTTP server over kept connections, so that the client is not what limits the figures:
//!
//! ```text
//! load get  HOST:PORT CONNECTIONS SECONDS PATH
//! load send HOST:PORT CONNECTIONS REPLIES HEADERS REQUESTS
//! ```
//!
//! `get` asks for one path for some seconds. `send` sends each line of the file REQUESTS (`PATH<tab>BODY`, a POST) once, dealt over
//! connections that all begin at the same moment, with the lines of the file HEADERS, and writes the bodies of the replies to the
//! file REPLIES. Both print one line of JSON. Only the standard library, one thread a connection.

use std::{
    error::Error,
    fmt::Write as _,
    fs,
    io::{self, Read as _, Write as _},
    net::TcpStream,
    sync::{Arc, Barrier},
    time::{Duration, Instant},
};

/// A reply that stands still for so long counts as stalled.
const STALL: Duration = Duration::from_secs(5);

type Failure = Box<dyn Error + Send + Sync>;

/// What one connection saw.
#[derive(Default)]
struct Seen {
    /// How long each good reply took, in microseconds.
    took: Vec<u64>,
    bodies: Vec<Vec<u8>>,
    /// Replies that are not 2xx, and broken connections.
    errors: u64,
    stalled: u64,
    bytes: usize,
}

/// One kept connection.
struct Connection {
    address: String,
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(STALL))?;
        Ok(Self {
            address: address.to_owned(),
            stream,
            buffer: Vec::with_capacity(64 * 1024),
        })
    }

    /// Sends a request and reads the reply: its status and its body.
    fn exchange(&mut self, request: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        self.stream.write_all(request)?;
        self.buffer.clear();
        let head = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.read()?;
        };
        let text = String::from_utf8_lossy(&self.buffer[..head]).to_ascii_lowercase();
        let status = text
            .split(' ')
            .nth(1)
            .and_then(|word| word.parse().ok())
            .unwrap_or(0);
        let header = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(str::trim)
        };
        let body = if header("transfer-encoding") == Some("chunked") {
            self.chunks(head)?
        } else {
            let length: usize = header("content-length")
                .and_then(|value| value.parse().ok())
                .unwrap_or(0);
            while self.buffer.len() < head + length {
                self.read()?;
            }
            self.buffer[head..head + length].to_vec()
        };
        if header("connection") == Some("close") {
            *self = Self::open(&self.address)?;
        }
        Ok((status, body))
    }

    fn chunks(&mut self, mut at: usize) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = loop {
                if let Some(length) = self.buffer[at..].windows(2).position(|end| end == b"\r\n") {
                    break length;
                }
                self.read()?;
            };
            let size = std::str::from_utf8(&self.buffer[at..at + line])
                .ok()
                .and_then(|text| usize::from_str_radix(text.split(';').next()?.trim(), 16).ok())
                .ok_or(io::ErrorKind::InvalidData)?;
            at += line + 2;
            while self.buffer.len() < at + size + 2 {
                self.read()?;
            }
            body.extend_from_slice(&self.buffer[at..at + size]);
            at += size + 2;
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let length = self.buffer.len();
        self.buffer.resize(length + 256 * 1024, 0);
        let read = self.stream.read(&mut self.buffer[length..]);
        self.buffer
            .truncate(length + read.as_ref().copied().unwrap_or_default());
        match read? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

impl Seen {
    fn note(&mut self, began: Instant, result: io::Result<(u16, Vec<u8>)>) -> Option<Vec<u8>> {
        match result {
            Ok((status, body)) if (200..300).contains(&status) => {
                self.took
                    .push(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
                self.bytes = body.len();
                Some(body)
            }
            Ok((_, body)) => {
                self.errors += 1;
                Some(body)
            }
            Err(error) => {
                match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => self.stalled += 1,
                    _ => self.errors += 1,
                }
                None
            }
        }
    }
}

/// Runs one thread a connection, all at the same moment; says how long they took together and what they saw.
fn together(
    connections: usize,
    work: impl Fn(usize) -> io::Result<Seen> + Send + Sync + 'static,
) -> Result<(f64, Vec<Seen>), Failure> {
    let (work, barrier) = (Arc::new(work), Arc::new(Barrier::new(connections + 1)));
    let threads: Vec<_> = (0..connections)
        .map(|index| {
            let (work, barrier) = (work.clone(), barrier.clone());
            std::thread::spawn(move || {
                barrier.wait();
                work(index)
            })
        })
        .collect();
    barrier.wait();
    let began = Instant::now();
    let mut all = Vec::new();
    for thread in threads {
        let seen = thread.join().map_err(|_| "a client thread panicked")?;
        all.push(seen.unwrap_or_else(|_| Seen {
            errors: 1,
            ..Seen::default()
        }));
    }
    Ok((began.elapsed().as_secs_f64(), all))
}

fn report(seconds: f64, all: &[Seen]) {
    let mut took: Vec<u64> = all.iter().flat_map(|seen| seen.took.iter().copied()).collect();
    took.sort_unstable();
    let at = |percent: usize| {
        took.get((took.len() * percent / 100).min(took.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default() as f64
            / 1e3
    };
    println!(
        "{{\"seconds\": {seconds:.6}, \"replies\": {}, \"errors\": {}, \"stalled\": {}, \"bytes\": {}, \
         \"p50_ms\": {:.3}, \"p99_ms\": {:.3}, \"max_ms\": {:.3}}}",
        took.len(),
        all.iter().map(|seen| seen.errors).sum::<u64>(),
        all.iter().map(|seen| seen.stalled).sum::<u64>(),
        all.iter().map(|seen| seen.bytes).max().unwrap_or_default(),
        at(50),
        at(99),
        at(100),
    );
}

fn get(address: &str, connections: usize, seconds: f64, path: &str) -> Result<(), Failure> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: application/json\r\n\r\n");
    let (server, duration) = (address.to_owned(), Duration::from_secs_f64(seconds));
    let (seconds, all) = together(connections, move |_| {
        let mut connection = Connection::open(&server)?;
        let (mut seen, first) = (Seen::default(), Instant::now());
        while first.elapsed() < duration {
            let began = Instant::now();
            let result = connection.exchange(request.as_bytes());
            if seen.note(began, result).is_none() {
                connection = Connection::open(&server)?;
            }
        }
        Ok(seen)
    })?;
    report(seconds, &all);
    Ok(())
}

fn send(
    address: &str,
    connections: usize,
    replies: &str,
    headers: &str,
    requests: &str,
) -> Result<(), Failure> {
    let headers: String = fs::read_to_string(headers)?
        .lines()
        .fold(String::new(), |mut all, line| {
            let _ = write!(all, "{line}\r\n");
            all
        });
    let requests = fs::read_to_string(requests)?;
    let requests: Vec<Vec<u8>> = requests
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(path, body)| {
            let length = body.len();
            format!(
                "POST {path} HTTP/1.1\r\nHost: {address}\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
            )
            .into_bytes()
        })
        .collect();
    let server = address.to_owned();
    let (seconds, all) = together(connections, move |index| {
        let began = Instant::now();
        let mut connection = Connection::open(&server)?;
        let mut seen = Seen::default();
        let mut first = Some(began);
        for request in requests.iter().skip(index).step_by(connections) {
            // Opening the connection counts for its first reply.
            let began = first.take().unwrap_or_else(Instant::now);
            let result = connection.exchange(request);
            match seen.note(began, result) {
                Some(body) => seen.bodies.push(body),
                None => connection = Connection::open(&server)?,
            }
        }
        Ok(seen)
    })?;
    let mut out = Vec::new();
    for body in all.iter().flat_map(|seen| &seen.bodies) {
        out.extend(body.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
        out.push(b'\n');
    }
    fs::write(replies, out)?;
    report(seconds, &all);
    Ok(())
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments.as_slice() {
        ["get", address, connections, seconds, path] => {
            get(address, connections.parse()?, seconds.parse()?, path)
        }
        ["send", address, connections, replies, headers, requests] => {
            send(address, connections.parse()?, replies, headers, requests)
        }
        _ => Err("usage: load get|send ... (see the head of this file)".into()),
    }
}
