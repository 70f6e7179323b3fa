//! The two ends of a connection against each other, against tables of misbehaviour, and against noise.

mod document;
mod order;
mod properties;

use std::time::Duration;

use bytes::Bytes;
use ironmaster_wire::{
    Capabilities, CommandId, CommandReport, Frame, Hello, Limits, MasterEvent, MasterSession, OutputChunk,
    Stream, Welcome, WorkerEvent, WorkerInfo, WorkerSession,
};

fn id(ordinal: u32) -> CommandId {
    CommandId {
        build: 1,
        step: 2,
        ordinal,
    }
}

fn hello(commands: Vec<CommandReport>) -> Hello {
    Hello {
        protocol_min: 1,
        protocol_max: 1,
        name: "w".into(),
        token: "secret".into(),
        instance: "i".into(),
        boot: "b".into(),
        version: "0".into(),
        time_ms: Some(1_760_000_000_000),
        capabilities: Capabilities::default(),
        info: WorkerInfo::default(),
        commands,
    }
}

fn report(ordinal: u32, output_start: u64, output_end: u64) -> CommandReport {
    CommandReport {
        id: id(ordinal),
        digest: "d".into(),
        output_start,
        output_end,
        exited: false,
    }
}

fn chunk(ordinal: u32, offset: u64, data: &'static [u8]) -> Frame {
    let chunk = OutputChunk {
        id: id(ordinal),
        stream: Stream::Stdout,
        offset,
        data: Bytes::from_static(data),
    };
    Frame::Binary(chunk.encode())
}

fn text(text: &str) -> Frame {
    Frame::Text(text.into())
}

/// A master and a worker, greeted.
fn greeted(commands: Vec<CommandReport>, window_bytes: u64) -> (MasterSession, WorkerSession) {
    let now = Duration::ZERO;
    let mut master = MasterSession::new(Limits::default(), now);
    let mut worker = WorkerSession::new(hello(commands), Limits::default(), now);
    exchange(&mut master, &mut worker);
    assert!(matches!(master.poll_event(), Some(MasterEvent::Hello(_))));
    master
        .welcome(
            Welcome {
                window_bytes,
                ..Welcome::new("s")
            },
            now,
        )
        .unwrap();
    exchange(&mut master, &mut worker);
    assert!(matches!(worker.poll_event(), Some(WorkerEvent::Welcome(welcome)) if welcome.protocol == 1));
    (master, worker)
}

/// Carries every waiting frame over, in both directions.
fn exchange(master: &mut MasterSession, worker: &mut WorkerSession) {
    loop {
        let mut moved = false;
        while let Some(frame) = master.poll_send() {
            worker.feed(frame, Duration::ZERO).unwrap();
            moved = true;
        }
        while let Some(frame) = worker.poll_send() {
            master.feed(frame, Duration::ZERO).unwrap();
            moved = true;
        }
        if !moved {
            return;
        }
    }
}
