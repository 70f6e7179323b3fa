//! A fleet in one process: many sessions that do nothing but be there, and come back when their master does.
//!
//! ```text
//! fleet native HOST:PORT COUNT TOKEN     workers `worker-1` …; a `%` of the token stands for the name
//! fleet pb     HOST:PORT COUNT TOKEN     the same as stock workers speak, Perspective Broker
//! ```
//!
//! Prints a line of JSON whenever all are connected: seconds since the beginning or since the first of them was lost, attempts to
//! connect in that time, and the most of them in a tenth of a second. They wait between attempts as workers do.

use std::{
    cell::RefCell,
    error::Error,
    io::Write as _,
    rc::Rc,
    time::{Duration, Instant},
};

use futures_util::{SinkExt as _, StreamExt as _};
use ironmaster_buildbot::{
    WorkerEnd as _, WorkerEvent as StockEvent, WorkerInfo as StockInfo,
    pb::{PasswordDigest, WorkerSession as StockSession},
};
use ironmaster_wire::{
    Capabilities, Frame, Hello, Limits, PROTOCOL_MAX, PROTOCOL_MIN, WorkerEvent, WorkerInfo, WorkerSession,
};
use ironmaster_worker::Backoff;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, sleep_until},
};
use tokio_tungstenite::tungstenite::{Message, protocol::WebSocketConfig};

type Failure = Box<dyn Error>;

/// How often a stock worker says that it is there.
const KEEPALIVE: Duration = Duration::from_mins(10);

/// What the fleet sees as a whole.
struct Fleet {
    count: usize,
    connected: usize,
    begin: Instant,
    attempts: Vec<Instant>,
}

impl Fleet {
    fn came(&mut self) {
        self.connected += 1;
        if self.connected < self.count {
            return;
        }
        let seconds = self.begin.elapsed().as_secs_f64();
        let tenths = self
            .attempts
            .iter()
            .map(|at| at.saturating_duration_since(self.begin).as_millis() / 100);
        let mut counts = std::collections::HashMap::new();
        for tenth in tenths {
            *counts.entry(tenth).or_insert(0_u64) += 1;
        }
        let peak = counts.values().max().copied().unwrap_or(0);
        println!(
            "{{\"connected\": {}, \"seconds\": {seconds:.3}, \"attempts\": {}, \"peak\": {peak}}}",
            self.count,
            self.attempts.len()
        );
        // Whoever reads this reads it from a pipe.
        let _ = std::io::stdout().flush();
    }

    fn went(&mut self) {
        if self.connected == self.count {
            self.begin = Instant::now();
            self.attempts.clear();
        }
        self.connected -= 1;
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, kind, address, count, token] = arguments.as_slice() else {
        return Err("usage: fleet native|pb HOST:PORT COUNT TOKEN".into());
    };
    let count = count.parse()?;
    let fleet = Rc::new(RefCell::new(Fleet {
        count,
        connected: 0,
        begin: Instant::now(),
        attempts: Vec::new(),
    }));
    let local = tokio::task::LocalSet::new();
    for number in 1..=count {
        let (fleet, native) = (fleet.clone(), kind == "native");
        let (address, token) = (address.clone(), token.clone());
        local.spawn_local(async move {
            let name = format!("worker-{number}");
            let who = (name.as_str(), token.replace('%', &name));
            let (shortest, longest) = (Duration::from_secs(1), Duration::from_mins(1));
            let mut backoff = Backoff::new(shortest, longest);
            loop {
                fleet.borrow_mut().attempts.push(Instant::now());
                let mut here = false;
                let ended = if native {
                    native_session(&address, &who, &fleet, &mut here).await
                } else {
                    stock_session(&address, &who, &fleet, &mut here).await
                };
                if here {
                    fleet.borrow_mut().went();
                    backoff = Backoff::new(shortest, longest);
                }
                if let Err(error) = ended
                    && number == 1
                {
                    eprintln!("{name}: {error}");
                }
                sleep(backoff.pause()).await;
            }
        });
    }
    local.await;
    Ok(())
}

/// One connection over the native protocol, from its hello to its end.
async fn native_session(
    address: &str,
    (name, token): &(&str, String),
    fleet: &RefCell<Fleet>,
    here: &mut bool,
) -> Result<(), Failure> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let url = format!("ws://{address}/worker");
    let small = WebSocketConfig::default().read_buffer_size(4096);
    let (mut socket, _) = tokio_tungstenite::client_async_with_config(url, stream, Some(small)).await?;
    let epoch = tokio::time::Instant::now();
    let hello = Hello {
        protocol_min: PROTOCOL_MIN,
        protocol_max: PROTOCOL_MAX,
        name: (*name).to_owned(),
        token: token.clone(),
        instance: format!("instance of {name}"),
        boot: "boot".into(),
        time_ms: None,
        version: env!("CARGO_PKG_VERSION").into(),
        capabilities: Capabilities::default(),
        info: WorkerInfo::default(),
        commands: Vec::new(),
    };
    let mut session = WorkerSession::new(hello, Limits::default(), Duration::ZERO);
    loop {
        while let Some(frame) = session.poll_send() {
            let message = match frame {
                Frame::Text(text) => Message::Text(text.into()),
                Frame::Binary(bytes) => Message::Binary(bytes),
            };
            socket.send(message).await?;
        }
        while let Some(event) = session.poll_event() {
            match event {
                WorkerEvent::Welcome(_) => {
                    *here = true;
                    fleet.borrow_mut().came();
                }
                WorkerEvent::Refused { reason, .. } => return Err(reason.into()),
                _ => {}
            }
        }
        let timeout = session.poll_timeout().unwrap_or(Duration::from_hours(1));
        tokio::select! {
            message = socket.next() => {
                let frame = match message.ok_or("the connection was closed")?? {
                    Message::Text(text) => Frame::Text(text.as_str().to_owned()),
                    Message::Binary(bytes) => Frame::Binary(bytes),
                    _ => continue,
                };
                session.feed(frame, epoch.elapsed())?;
            }
            () = sleep_until(epoch + timeout) => session.handle_timeout(epoch.elapsed())?,
        }
    }
}

/// One connection as a stock worker makes it.
async fn stock_session(
    address: &str,
    (name, token): &(&str, String),
    fleet: &RefCell<Fleet>,
    here: &mut bool,
) -> Result<(), Failure> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut session = StockSession::new(*name, PasswordDigest::of(token), StockInfo::default());
    let mut buffer = vec![0; 4096];
    loop {
        while let Some(bytes) = session.poll_send() {
            stream.write_all(&bytes).await?;
        }
        while let Some(event) = session.poll_event() {
            match event {
                StockEvent::Attached => {
                    *here = true;
                    fleet.borrow_mut().came();
                }
                StockEvent::Refused { reason, .. } => return Err(reason.into()),
                _ => {}
            }
        }
        tokio::select! {
            count = stream.read(&mut buffer) => match count? {
                0 => return Err("the connection was closed".into()),
                count => session.feed(&buffer[..count])?,
            },
            () = sleep(KEEPALIVE) => session.keepalive()?,
        }
    }
}
