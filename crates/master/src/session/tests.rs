//! What a connection does, with both of its ends in memory.

use std::{collections::BTreeSet, sync::Mutex};

use futures_util::FutureExt;
use ironmaster_buildbot::{
    CommandId as Name, Update, WorkerEnd, WorkerEvent, WorkerInfo as StockInfo, msgpack::WorkerSession,
};
use ironmaster_wire::{CommandId, Exec, OutputChunk, Stream, Verb};
use tokio::task::yield_now;

use super::*;
use crate::workers::From as Wanted;

/// As often as everything that can go on has gone on by then: nothing here waits for anything but its peers.
const TURNS: usize = 1000;
/// No heartbeat comes in the way.
const NEVER: Duration = Duration::from_hours(1);

const fn id(ordinal: u32) -> CommandId {
    CommandId {
        build: 1,
        step: 1,
        ordinal,
    }
}

fn exec(command: &str) -> Verb {
    Verb::Exec(Exec {
        argv: vec!["sh".into(), "-c".into(), command.into()],
        workdir: "b".into(),
        ..Exec::default()
    })
}

/// A connection with these ends; whoever plays the worker has the others.
fn connection(session: Box<dyn Carrier>) -> (Running, mpsc::Sender<Box<Frame>>, mpsc::Receiver<Box<Frame>>) {
    let (to_master, incoming) = mpsc::channel(4);
    let (outgoing, to_worker) = mpsc::channel(4);
    let connection = Running {
        epoch: Instant::now(),
        session,
        incoming,
        outgoing,
        send_within: NEVER,
        end: CancellationToken::new(),
    };
    (connection, to_master, to_worker)
}

/// What a session has seen. Every frame is a mebibyte of output of the first command.
#[derive(Debug, Default)]
struct Seen {
    frames: u64,
    started: Vec<CommandId>,
    resumed: Vec<(CommandId, u64)>,
    interrupted: Vec<String>,
    /// How many frames there were when somebody looked at the clock.
    looked: Vec<u64>,
}

#[derive(Debug)]
struct Torrent(Arc<Mutex<Seen>>, Vec<MasterEvent>);

const PIECE: u64 = 1 << 20;

impl Carrier for Torrent {
    fn feed(&mut self, _: Frame, _: Duration) -> Result<(), CarrierError> {
        let mut seen = self.0.lock().unwrap();
        let offset = seen.frames * PIECE;
        seen.frames += 1;
        self.1.insert(
            0,
            MasterEvent::Output(OutputChunk {
                id: id(0),
                stream: Stream::Stdout,
                offset,
                data: vec![b'x'; PIECE as usize].into(),
            }),
        );
        Ok(())
    }
    fn poll_event(&mut self) -> Option<MasterEvent> {
        self.1.pop()
    }
    fn poll_send(&mut self) -> Option<Frame> {
        None
    }
    /// Something is due all the time.
    fn poll_timeout(&self) -> Option<Duration> {
        (self.0.lock().unwrap().frames > 0).then_some(Duration::ZERO)
    }
    fn handle_timeout(&mut self, _: Duration) -> Result<(), CarrierError> {
        let mut seen = self.0.lock().unwrap();
        let frames = seen.frames;
        seen.looked.push(frames);
        Ok(())
    }
    fn protocol(&self) -> &'static str {
        "none"
    }
    fn takes_shutdown_wish(&mut self) -> bool {
        false
    }
    fn is_known(&self) -> bool {
        true
    }
    fn wants_dirs(&self) -> bool {
        false
    }
    fn welcome(&mut self, _: Welcome, _: Vec<String>, _: Duration) -> Result<(), CarrierError> {
        Ok(())
    }
    fn refuse(&mut self, _: &str, _: bool) {}
    fn goodbye(&mut self, _: &str) {}
    fn start(&mut self, id: CommandId, _: String, _: Verb) -> Result<(), CarrierError> {
        self.0.lock().unwrap().started.push(id);
        Ok(())
    }
    fn resume(&mut self, id: CommandId, offset: u64) -> Result<(), CarrierError> {
        self.0.lock().unwrap().resumed.push((id, offset));
        Ok(())
    }
    fn ack(&mut self, _: CommandId, _: u64) {}
    fn interrupt(&mut self, _: CommandId, reason: String) {
        self.0.lock().unwrap().interrupted.push(reason);
    }
    fn forget(&mut self, _: CommandId) {}
    fn shut_down(&mut self, _: &str, _: Duration) -> Result<(), CarrierError> {
        Ok(())
    }
    fn ping(&mut self) -> Result<(), CarrierError> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_is_read_while_too_much_output_waits() {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let (mut connection, to_master, _to_worker) = connection(Box::new(Torrent(seen.clone(), Vec::new())));
    let link = Arc::new(WorkerLink::default());
    let serial = link.attach("instance", true, connection.end.clone());
    link.open(serial, Vec::new(), &BTreeSet::new(), "instance");
    let begin = |ordinal| {
        link.begin(
            id(ordinal),
            "instance",
            exec("yes"),
            String::new(),
            Wanted::Offset(0),
        )
    };
    let inbox = begin(0);
    let pumped = {
        let link = link.clone();
        tokio::spawn(async move { connection.pump(&link, serial).await })
    };
    let frame = || Box::new(Frame::Binary(Vec::new().into()));
    // Nobody takes anything: it reads until there is too much, and no further.
    for _ in 0..TURNS {
        let _ = to_master.try_send(frame());
        yield_now().await;
    }
    assert!(link.waiting.is_full());
    assert_eq!(
        to_master.capacity(),
        0,
        "the worker is stopped by its own connection"
    );
    let read = seen.lock().unwrap().frames;
    assert!((33..=33 + 4).contains(&read), "{read} mebibytes");
    // Another one of its name cannot displace it: its answer may wait in the connection.
    let (other, _) = stock();
    let (mut second, _to_master, _to_worker) = self::connection(Box::new(other));
    tokio::time::pause();
    let refused = second.take_place(&link, "w", "second").await;
    tokio::time::resume();
    assert!(
        refused
            .as_ref()
            .is_err_and(|why| why.contains("more than the master can write")),
        "{refused:?}"
    );
    // What there is to say to it is said all the same, and it is not taken for silent, as nobody listens.
    let looked = seen.lock().unwrap().looked.len();
    begin(1);
    for _ in 0..TURNS {
        yield_now().await;
    }
    {
        let seen = seen.lock().unwrap();
        assert_eq!((&seen.started[..], seen.frames), (&[id(0), id(1)][..], read));
        assert_eq!(seen.looked.len(), looked);
    }
    // As soon as there is room it goes on where it was, and what has come meanwhile is heard before anybody looks at the clock.
    let mut taken = inbox.take().await.chunks;
    while seen.lock().unwrap().frames < read + 8 {
        let _ = to_master.try_send(frame());
        yield_now().await;
    }
    let looked_at = seen.lock().unwrap().looked.get(looked).copied();
    assert!(looked_at.is_none_or(|frames| frames >= read + 4), "{looked_at:?}");
    while taken.len() < read as usize + 8 {
        taken.extend(inbox.take().await.chunks);
    }
    let mut offset = 0;
    for chunk in taken {
        assert_eq!(chunk.offset, offset);
        offset = chunk.end();
    }
    drop(to_master);
    assert!(matches!(pumped.await.unwrap(), Some(End::Closed)));
}

/// A connection that was cut may have taken a stop with it; and what is still heard from it is not of its successor.
#[tokio::test]
async fn a_stop_is_said_on_each_connection_and_only_the_newest_one_speaks() {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let mut session = Torrent(seen.clone(), Vec::new());
    let link = WorkerLink::default();
    let first = link.attach("instance", true, CancellationToken::new());
    link.open(first, Vec::new(), &BTreeSet::new(), "instance");
    let inbox = link.begin(
        id(0),
        "instance",
        exec("sleep 100"),
        String::new(),
        Wanted::Offset(0),
    );
    let chunk = |offset| OutputChunk {
        id: id(0),
        stream: Stream::Stdout,
        offset,
        data: b"so far".as_slice().into(),
    };
    let mut pump = |serial| link.pump(serial, &mut session, Duration::ZERO);
    assert!(pump(first).unwrap());
    assert!(link.output(first, chunk(0)));
    link.interrupt(id(0), "stopped by ada");
    assert!(pump(first).unwrap() && pump(first).unwrap());
    assert_eq!(seen.lock().unwrap().interrupted, ["stopped by ada"]);
    assert_eq!(inbox.take().await.chunks.len(), 1);

    let second = link.attach("instance", true, CancellationToken::new());
    assert!(!pump(first).unwrap(), "its place is taken");
    let report = ironmaster_wire::CommandReport {
        id: id(0),
        digest: String::new(),
        output_start: 0,
        output_end: 6,
        exited: false,
    };
    // The old connection is late with all that it could say.
    link.open(first, Vec::new(), &BTreeSet::new(), "instance");
    link.open(second, vec![report], &BTreeSet::new(), "instance");
    assert!(link.output(first, chunk(6)));
    link.lost(first, id(0), "it has no such command".into());
    assert!(inbox.take().now_or_never().is_none(), "nothing has arrived");
    assert!(pump(second).unwrap());
    {
        let seen = seen.lock().unwrap();
        assert_eq!(seen.started, [id(0)]);
        assert_eq!(seen.resumed, [(id(0), 6)]);
        assert_eq!(seen.interrupted, ["stopped by ada", "stopped by ada"]);
    }
    assert!(link.output(second, chunk(6)));
    assert_eq!(
        inbox.take().await.chunks.front().map(|chunk| chunk.offset),
        Some(6)
    );
}

/// A stock worker over msgpack and the master's end of its connection, attached.
fn stock() -> (StockSession, WorkerSession) {
    let mut master = StockSession::msgpack("w".into()).unwrap();
    let mut worker = WorkerSession::new(StockInfo {
        basedir: "/srv/w".into(),
        system: "posix".into(),
        ..StockInfo::default()
    });
    exchange(&mut master, &mut worker);
    assert!(matches!(
        Carrier::poll_event(&mut master),
        Some(MasterEvent::Hello(_))
    ));
    let settings = Welcome {
        heartbeat_ms: NEVER.as_millis() as u64,
        ..Welcome::new("w")
    };
    Carrier::welcome(&mut master, settings, vec!["b".into()], Duration::ZERO).unwrap();
    exchange(&mut master, &mut worker);
    while worker.poll_event().is_some() {}
    (master, worker)
}

/// Until nobody has anything to say.
fn exchange(master: &mut StockSession, worker: &mut WorkerSession) {
    loop {
        let mut quiet = true;
        while let Some(Frame::Binary(bytes)) = Carrier::poll_send(master) {
            quiet = false;
            worker.feed(&bytes).unwrap();
        }
        while let Some(bytes) = worker.poll_send() {
            quiet = false;
            Carrier::feed(master, Frame::Binary(bytes), Duration::ZERO).unwrap();
        }
        if quiet {
            return;
        }
    }
}

fn heard(worker: &mut WorkerSession) -> Vec<WorkerEvent> {
    std::iter::from_fn(|| worker.poll_event()).collect()
}

fn said(master: &mut StockSession) -> Vec<MasterEvent> {
    std::iter::from_fn(|| Carrier::poll_event(master)).collect()
}

/// Begins a command; says what the worker calls it.
fn begin(master: &mut StockSession, worker: &mut WorkerSession, ordinal: u32) -> Name {
    Carrier::start(master, id(ordinal), String::new(), exec("sleep 100")).unwrap();
    exchange(master, worker);
    match &heard(worker)[..] {
        [WorkerEvent::Start { id, .. }] => id.clone(),
        other => panic!("{other:?}"),
    }
}

/// A stock worker's program leaves behind what it runs, so that is ended first, and only waited for so long.
#[test]
fn what_a_stock_worker_runs_ends_before_its_program_does() {
    for ends in [true, false] {
        let (mut master, mut worker) = stock();
        let name = begin(&mut master, &mut worker, 0);
        let at = Duration::from_secs(10);
        Carrier::shut_down(&mut master, "somebody wants it", at).unwrap();
        exchange(&mut master, &mut worker);
        let told = heard(&mut worker);
        assert!(
            matches!(&told[..], [WorkerEvent::Interrupt { id, .. }] if *id == name),
            "not the end of the program: {told:?}"
        );
        let lost = said(&mut master);
        assert!(
            matches!(&lost[..], [MasterEvent::Lost { id, reason }] if *id == self::id(0) && reason == "somebody wants it"),
            "{lost:?}"
        );
        if ends {
            worker.update(&name, &[Update::ExitCode(-1)]).unwrap();
            worker.complete(&name, None).unwrap();
        } else {
            let due = Carrier::poll_timeout(&master).expect("it does not wait for ever");
            assert!((at..at + Duration::from_mins(1)).contains(&due), "{due:?}");
            Carrier::handle_timeout(&mut master, due).unwrap();
        }
        exchange(&mut master, &mut worker);
        assert_eq!(heard(&mut worker), [WorkerEvent::Shutdown], "{ends}");
        // The outcome comes too late to be one.
        assert!(said(&mut master).is_empty());
    }
    // With nothing to end it ends at once.
    let (mut master, mut worker) = stock();
    Carrier::shut_down(&mut master, "somebody wants it", Duration::ZERO).unwrap();
    exchange(&mut master, &mut worker);
    assert_eq!(heard(&mut worker), [WorkerEvent::Shutdown]);
}

/// No heartbeat is due: the worker that has the name is asked when another one comes, and keeps it by its answer.
#[tokio::test]
async fn of_two_stock_workers_with_one_name_the_first_is_asked() {
    let (master, mut worker) = stock();
    let (mut first, to_master, mut to_worker) = connection(Box::new(master));
    let link = Arc::new(WorkerLink::default());
    let serial = link.attach("first", true, first.end.clone());
    link.open(serial, Vec::new(), &BTreeSet::new(), "first");
    let pumped = {
        let link = link.clone();
        tokio::spawn(async move { first.pump(&link, serial).await })
    };
    for _ in 0..TURNS {
        yield_now().await;
        assert!(to_worker.try_recv().is_err(), "nobody has asked yet");
    }
    let answers = tokio::spawn(async move {
        let mut asked = 0;
        while let Some(frame) = to_worker.recv().await {
            let Frame::Binary(bytes) = *frame else {
                panic!("text")
            };
            asked += 1;
            worker.feed(&bytes).unwrap();
            while let Some(bytes) = worker.poll_send() {
                to_master.send(Box::new(Frame::Binary(bytes))).await.unwrap();
            }
        }
        asked
    });
    let (other, _) = stock();
    let (mut second, _to_master, _to_worker) = connection(Box::new(other));
    let refused = second.take_place(&link, "w", "second").await;
    assert!(
        refused.as_ref().is_err_and(|why| why.contains("answers")),
        "{refused:?}"
    );
    link.disconnect();
    assert!(matches!(pumped.await.unwrap(), Some(End::Replaced)));
    assert_eq!(answers.await.unwrap(), 1);
}
