//! How fast output gets from a command through a worker: `cargo run --release --example output -- PATH/TO/ironmaster-worker`.
//!
//! Plays the master on loopback, lets the worker print 2 GB, and says how long that took and how much
//! processor time and memory the worker used.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use futures_util::{SinkExt as _, StreamExt as _};
use ironmaster_wire::{CommandId, Exec, Frame, Limits, MasterEvent, MasterSession, Verb, Welcome};
use tokio_tungstenite::tungstenite::Message;

const BYTES: u64 = 2_000_000_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let program = std::env::args()
        .nth(1)
        .ok_or("give the path of the worker program")?;
    let folder = tempfile::tempdir()?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let mut worker = Command::new(program)
        .args([
            "--master",
            &format!("ws://{}", listener.local_addr()?),
            "--name",
            "w",
            "--token",
            "t",
            "--basedir",
        ])
        .arg(folder.path())
        .spawn()?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    let mut socket = tokio_tungstenite::accept_async(stream).await?;
    let epoch = Instant::now();
    let mut session = MasterSession::new(Limits::default(), Duration::ZERO);
    let id = CommandId {
        build: 1,
        step: 1,
        ordinal: 0,
    };
    let (mut received, mut acknowledged, mut started) = (0, 0, epoch);
    'all: while let Some(message) = socket.next().await {
        let frame = match message? {
            Message::Text(text) => Frame::Text(text.as_str().to_owned()),
            Message::Binary(bytes) => Frame::Binary(bytes),
            _ => continue,
        };
        session.feed(frame, epoch.elapsed())?;
        while let Some(event) = session.poll_event() {
            match event {
                MasterEvent::Hello(_) => {
                    session.welcome(Welcome::new("output"), epoch.elapsed())?;
                    println!("idle: {}", memory(worker.id())?);
                    let argv = ["head", "-c", &BYTES.to_string(), "/dev/zero"]
                        .map(str::to_owned)
                        .to_vec();
                    let verb = Verb::Exec(Exec {
                        argv,
                        ..Exec::default()
                    });
                    session.start(id, verb.digest(), verb)?;
                    started = Instant::now();
                }
                MasterEvent::Output(chunk) => {
                    received = chunk.end();
                    if received - acknowledged >= 512 * 1024 {
                        acknowledged = received;
                        session.ack(id, received);
                    }
                }
                MasterEvent::Exited(_) => break 'all,
                other => println!("{other:?}"),
            }
        }
        while let Some(Frame::Text(text)) = session.poll_send() {
            socket.send(Message::Text(text.into())).await?;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", worker.id()))?;
    let fields: Vec<&str> = stat.split_whitespace().collect();
    let ticks: f64 = fields[13].parse::<f64>()? + fields[14].parse::<f64>()?;
    let megabytes = received as f64 / 1e6;
    println!(
        "{megabytes:.0} MB in {seconds:.2} s: {:.0} MB/s",
        megabytes / seconds
    );
    println!(
        "the worker used {:.2} s of processor time: {:.0} MB per core second",
        ticks / 100.0,
        megabytes / (ticks / 100.0)
    );
    println!("afterwards: {}", memory(worker.id())?);
    worker.kill()?;
    worker.wait()?;
    Ok(())
}

/// The memory of a process, as the kernel says it.
fn memory(pid: u32) -> std::io::Result<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let lines: Vec<&str> = status
        .lines()
        .filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM"))
        .collect();
    Ok(lines.join(", ").replace('\t', " "))
}
