//! The worker's own life: greeting, refusal, silence, stopping, and being killed.

use std::{
    net::SocketAddr,
    process::Command,
    time::{Duration, Instant},
};

use futures_util::SinkExt as _;
use ironmaster_wire::{Exec, MasterEvent, MasterMessage, Outcome, Verb, Welcome};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpSocket;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Master, Place, Worker, id, is_alive, marked, until};

const TREE: &str = "sleep 1000 & (sleep 1000; echo never) & echo ready; wait";

#[tokio::test]
async fn a_killed_workers_commands_die_with_it() {
    let (master, place) = (Master::new().await, Place::new());
    let mut worker = Worker::start(&master, &place.base());
    let (mut conn, _) = master.welcome().await;
    conn.start(id(0), place.sh(TREE)).await;
    conn.line("ready").await;
    assert!(!marked(&place.mark()).is_empty());
    worker.kill();
    // Without another worker ever starting.
    until("the guard's work", || marked(&place.mark()).is_empty()).await;
}

#[tokio::test]
async fn what_a_killed_worker_and_its_guard_left_is_killed_before_the_next_one_connects() {
    let (master, place) = (Master::new().await, Place::new());
    let mut worker = Worker::start(&master, &place.base());
    let (mut conn, first) = master.welcome().await;
    // One tree that keeps its marks, one that leaves the session, one that wipes its environment.
    conn.start(id(0), place.sh(TREE)).await;
    conn.line("ready").await;
    conn.start(
        id(1),
        place.sh("setsid sh -c 'sleep 1000 & wait' & echo ready; wait"),
    )
    .await;
    conn.line("ready").await;
    conn.start(id(2), place.sh("env -i sleep 1000 & echo $!; wait"))
        .await;
    let bare: i32 = String::from_utf8_lossy(&conn.output().await.data)
        .trim()
        .parse()
        .unwrap();
    until("the bare process", || {
        std::fs::read(format!("/proc/{bare}/environ")).is_ok_and(|environ| environ.is_empty())
    })
    .await;
    worker.signal(Signal::STOP);
    let guard = worker.guard().expect("a guard");
    kill_process(Pid::from_raw(guard).unwrap(), Signal::KILL).unwrap();
    until("the guard's end", || !is_alive(guard)).await;
    worker.kill();
    assert!(
        !marked(&place.mark()).is_empty() && is_alive(bare),
        "there is something left to kill"
    );
    let _worker = Worker::start(&master, &place.base());
    let (_conn, second) = master.accept().await;
    assert_eq!(marked(&place.mark()), [] as [i32; 0]);
    assert!(!is_alive(bare));
    assert!(second.commands.is_empty());
    assert_ne!(first.instance, second.instance);
}

#[tokio::test]
async fn no_moment_of_a_start_lets_a_command_get_away() {
    let (master, place) = (Master::new().await, Place::new());
    for round in 0..20_u32 {
        let mut worker = Worker::start(&master, &place.base());
        let (mut conn, hello) = master.welcome().await;
        assert!(hello.commands.is_empty());
        assert_eq!(marked(&place.mark()), [] as [i32; 0], "round {round}");
        for ordinal in 0..7 {
            conn.start(id(ordinal), place.sh("sleep 1000 & sleep 1000 & wait"))
                .await;
        }
        // Each round is a little further on when the end comes.
        until("some processes", || marked(&place.mark()).len() as u32 >= round).await;
        if round % 2 == 0 {
            // Without the guard's help.
            worker.signal(Signal::STOP);
            if let Some(guard) = worker.guard() {
                kill_process(Pid::from_raw(guard).unwrap(), Signal::KILL).unwrap();
            }
        }
        worker.kill();
    }
    let _worker = Worker::start(&master, &place.base());
    let _conn = master.accept().await;
    assert_eq!(marked(&place.mark()), [] as [i32; 0]);
}

#[tokio::test]
async fn a_killed_guard_is_replaced() {
    let (master, place) = (Master::new().await, Place::new());
    let worker = Worker::start(&master, &place.base());
    let _conn = master.welcome().await;
    let guard = worker.guard().expect("a guard");
    kill_process(Pid::from_raw(guard).unwrap(), Signal::KILL).unwrap();
    until("another guard", || worker.guard().is_some_and(|new| new != guard)).await;
}

#[tokio::test]
async fn a_folder_has_one_worker() {
    let (master, place) = (Master::new().await, Place::new());
    let first = Worker::start(&master, &place.base());
    let (mut conn, _) = master.welcome().await;
    conn.start(id(0), place.sh("echo ready; sleep 1000")).await;
    conn.line("ready").await;
    let mut second = Worker::start(&master, &place.base());
    assert_eq!(second.wait().await.code(), Some(1));
    let log = second.log();
    assert!(
        log.contains("another worker uses") && log.contains(&first.pid().to_string()),
        "{log}"
    );
    assert!(
        !marked(&place.mark()).is_empty(),
        "the first one's command is unharmed"
    );
}

#[tokio::test]
async fn a_lease_that_runs_out_ends_what_runs() {
    let (master, place) = (Master::new().await, Place::new());
    let _worker = Worker::start(&master, &place.base());
    let terms = Welcome {
        lease_ms: 2000,
        ..Welcome::new("test")
    };
    let (mut conn, _) = master.welcome_with(terms.clone()).await;
    conn.start(
        id(0),
        Exec {
            grace_ms: 60_000,
            ..place.sh("trap '' TERM; echo ready; sleep 1000")
        },
    )
    .await;
    conn.line("ready").await;
    // The connection stays open, but nothing comes from this side.
    until("the end of the command", || marked(&place.mark()).is_empty()).await;
    drop(conn);
    let (mut conn, hello) = master.welcome_with(terms).await;
    let [report] = hello.commands.as_slice() else {
        panic!("{hello:?}")
    };
    assert_eq!(report.id, id(0));
    conn.session.resume(id(0), report.output_end).unwrap();
    assert_eq!(conn.finish().await.outcome(), Outcome::LeaseExpired);
}

#[tokio::test]
async fn a_refused_worker_says_why() {
    let (master, place) = (Master::new().await, Place::new());
    let mut worker = Worker::start(&master, &place.base());
    for _ in 0..3 {
        let (mut conn, hello) = master.accept().await;
        assert_eq!(hello.token, "secret-token");
        conn.session.refuse("try later", true);
        conn.flush().await;
    }
    let (mut conn, _) = master.accept().await;
    conn.session
        .refuse("no worker w with this token; see the list of workers", false);
    conn.flush().await;
    assert_eq!(worker.wait().await.code(), Some(1));
    let log = worker.log();
    assert!(
        log.contains("the master refused this worker: no worker w with this token"),
        "{log}"
    );
    assert_eq!(
        log.matches("try later").count(),
        1,
        "once per state, not once per try: {log}"
    );
    assert!(!log.contains("secret-token"));
}

#[tokio::test]
async fn a_frame_of_garbage_costs_the_connection_and_nothing_else() {
    let (master, place) = (Master::new().await, Place::new());
    let _worker = Worker::start(&master, &place.base());
    let (mut conn, _) = master.welcome().await;
    conn.start(
        id(0),
        place.sh("echo ready; while [ ! -e go ]; do sleep 0.01; done; echo end"),
    )
    .await;
    conn.line("ready").await;
    let garbage = [
        Message::Text("{\"type\":\"explode\"}".into()),
        Message::Text("not json".into()),
        Message::Binary(vec![1; 100].into()),
        Message::Text("x".repeat(3 << 20).into()),
        Message::Text("{\"type\":\"ack\",\"id\":\"7.1.0\",\"offset\":999999}".into()),
    ];
    for frame in garbage {
        let _ = conn.socket.send(frame).await;
        while conn.event().await.is_some() {}
        let hello;
        (conn, hello) = master.welcome().await;
        assert!(!hello.commands[0].exited);
        conn.session.resume(id(0), 6).unwrap();
        conn.flush().await;
    }
    std::fs::write(place.base().join("go"), "").unwrap();
    assert_eq!(conn.finish().await.outcome(), Outcome::Exit { code: 0 });
}

#[tokio::test]
async fn a_silent_master_is_noticed() {
    let (master, place) = (Master::new().await, Place::new());
    let worker = Worker::start(&master, &place.base());
    let (silent, _) = master
        .welcome_with(Welcome {
            heartbeat_ms: 40,
            ..Welcome::new("test")
        })
        .await;
    let _conn = master.welcome().await;
    assert!(
        worker.log().contains("nothing heard from the other side"),
        "{}",
        worker.log()
    );
    drop(silent);
}

#[tokio::test]
async fn a_worker_that_is_stopped_ends_its_commands_and_says_goodbye() {
    let (master, place) = (Master::new().await, Place::new());
    let mut worker = Worker::start(&master, &place.base());
    let (mut conn, _) = master.welcome().await;
    conn.start(
        id(0),
        place.sh("trap 'touch cleaned; exit' TERM; echo ready; while :; do sleep 0.05; done"),
    )
    .await;
    conn.line("ready").await;
    worker.signal(Signal::TERM);
    match conn.event().await {
        Some(MasterEvent::Lost { id: lost, reason }) => {
            assert_eq!((lost, reason.as_str()), (id(0), "the worker was stopped"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        marked(&place.mark()),
        [] as [i32; 0],
        "dead before it is reported"
    );
    assert!(matches!(conn.event().await, Some(MasterEvent::Goodbye { .. })));
    assert_eq!(worker.wait().await.code(), Some(0));
    assert!(place.base().join("cleaned").exists(), "it had its grace");
}

#[tokio::test]
async fn a_worker_without_a_master_can_be_stopped_and_keeps_trying_until_then() {
    let place = Place::new();
    // Nobody listens on this port, and nobody else can have it.
    let nobody = TcpSocket::new_v4().unwrap();
    nobody.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let url = format!("ws://{}", nobody.local_addr().unwrap());
    let mut worker = Worker::start_at(&url, &place.base(), &[]);
    until("the first report", || {
        worker.log().contains("cannot reach the master")
    })
    .await;
    worker.signal(Signal::INT);
    assert_eq!(worker.wait().await.code(), Some(0));
    assert_eq!(
        worker.log().matches("cannot reach the master").count(),
        1,
        "{}",
        worker.log()
    );
    assert!(worker.log().contains(&url), "it says which: {}", worker.log());
}

#[test]
fn wrong_arguments_have_clear_answers() {
    let place = Place::new();
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_ironmaster-worker"))
            .args(arguments)
            .env_remove("IRONMASTER_WORKER_TOKEN")
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let base = place.base();
    let base = base.to_str().unwrap();
    let with = |master: &'static str, more: &[&'static str]| {
        let mut arguments = vec!["--name", "w", "--basedir", base, "--master", master];
        arguments.extend(more);
        run(&arguments)
    };
    let (code, help, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(
        help.contains("--token-file") && help.contains("EXAMPLE"),
        "{help}"
    );
    assert!(run(&["--version"]).1.contains(env!("CARGO_PKG_VERSION")));
    assert_eq!(run(&[]).0, Some(2));
    let table = [
        (with("ws://localhost:1", &[]), "no token: give --token-file"),
        (
            with("ws://localhost:1", &["--token-file", "/nowhere/token"]),
            "cannot read the token file /nowhere/token",
        ),
        (with("ws://localhost:1", &["--token", " "]), "the token is empty"),
        (
            with(
                "ws://localhost:1",
                &["--token", "t", "--ca-file", "/nowhere/ca.pem"],
            ),
            "--ca-file is for wss://",
        ),
        (
            with(
                "wss://localhost:1",
                &["--token", "t", "--ca-file", "/nowhere/ca.pem"],
            ),
            "cannot read /nowhere/ca.pem",
        ),
        (
            with("ftp://localhost:1", &["--token", "t"]),
            "must begin with ws://",
        ),
        (
            run(&[
                "--name",
                "w",
                "--basedir",
                "/proc/none",
                "--master",
                "ws://a",
                "--token",
                "t",
            ]),
            "cannot use /proc/none",
        ),
    ];
    for ((code, _, errors), part) in table {
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains(part), "{errors}");
    }
}

#[tokio::test]
async fn what_was_said_before_a_pause_longer_than_the_lease_counts_for_nothing() {
    let (master, place) = (Master::new().await, Place::new());
    let worker = Worker::start(&master, &place.base());
    let lease = Duration::from_secs(2);
    let terms = Welcome {
        lease_ms: 2000,
        ..Welcome::new("test")
    };
    let (mut conn, _) = master.welcome_with(terms.clone()).await;
    conn.start(id(0), place.sh("echo ready; sleep 1000")).await;
    conn.line("ready").await;
    worker.signal(Signal::STOP);
    // A sign of life and more work, which the worker sees only when others have been given all of it.
    let verb = Verb::Exec(place.sh("touch never"));
    for message in [
        MasterMessage::Ping { nonce: 1 },
        MasterMessage::Start {
            id: id(1),
            digest: verb.digest(),
            verb,
        },
    ] {
        conn.socket
            .send(Message::Text(message.encode().into()))
            .await
            .unwrap();
    }
    let stopped = Instant::now();
    until("the end of the lease", || stopped.elapsed() > lease).await;
    worker.signal(Signal::CONT);
    let (mut conn, hello) = master.welcome_with(terms).await;
    let [report] = hello.commands.as_slice() else {
        panic!("{hello:?}")
    };
    assert_eq!(report.id, id(0));
    conn.session.resume(id(0), report.output_end).unwrap();
    assert_eq!(conn.finish().await.outcome(), Outcome::LeaseExpired);
    assert!(!place.base().join("never").exists());
}
