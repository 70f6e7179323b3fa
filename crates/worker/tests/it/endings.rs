//! Ways for a command to end: by itself, by request, by limits. Nothing of its tree may stay.

use std::fs;

use ironmaster_wire::{Ending, Exec, MasterEvent, Outcome, Stream, TimeoutKind, Verb};
use rustix::process::Signal;

use crate::harness::{Conn, Master, Place, Worker, id, is_alive, marked, until, within};

async fn connected() -> (Master, Place, Worker, Conn) {
    let (master, place) = (Master::new().await, Place::new());
    let worker = Worker::start(&master, &place.base());
    let (conn, _) = master.welcome().await;
    (master, place, worker, conn)
}

#[tokio::test]
async fn an_interrupt_gives_the_command_time_to_end() {
    let (_master, place, _worker, mut conn) = connected().await;
    let exec = Exec {
        interrupt_signal: "INT".into(),
        grace_ms: 60_000,
        ..place.sh("trap 'echo cleaned up; exit 0' INT; echo ready; while :; do sleep 0.05; done")
    };
    conn.start(id(0), exec).await;
    conn.line("ready").await;
    conn.session.interrupt(id(0), "no longer wanted");
    let done = conn.finish().await;
    assert_eq!(
        done.outcome(),
        Outcome::Interrupted {
            reason: "no longer wanted".into()
        }
    );
    assert_eq!(done.text(Stream::Stdout), "cleaned up\n");
    assert!(
        done.text(Stream::Header)
            .contains("interrupted (no longer wanted): asked to end with SIGINT")
    );
    assert_eq!(marked(&place.mark()), [] as [i32; 0]);
}

#[tokio::test]
async fn the_whole_tree_has_the_grace_not_only_its_leader() {
    let (_master, place, _worker, mut conn) = connected().await;
    // The leader ends at once; its child takes longer than output is usually awaited after the leader's end.
    let script = "echo $$ >leader; (trap 'echo hears; sleep 2.5; echo child done; exit' TERM; \
                  echo ready; while :; do sleep 0.05; done) & wait";
    conn.start(
        id(0),
        Exec {
            grace_ms: 60_000,
            ..place.sh(script)
        },
    )
    .await;
    conn.line("ready").await;
    conn.session.interrupt(id(0), "stop");
    conn.line("hears").await;
    let leader = fs::read_to_string(place.base().join("leader")).unwrap();
    let leader = leader.trim().parse().unwrap();
    until("the leader's end", || !is_alive(leader)).await;
    // A master says so again when the connection was another one meanwhile.
    conn.session.interrupt(id(0), "stop");
    let done = conn.finish().await;
    assert_eq!(
        done.outcome(),
        Outcome::Interrupted {
            reason: "stop".into()
        }
    );
    assert_eq!(done.text(Stream::Stdout), "child done\n");
    assert!(
        !done.text(Stream::Header).contains("killed"),
        "{}",
        done.text(Stream::Header)
    );
    assert_eq!(marked(&place.mark()), [] as [i32; 0]);
}

#[tokio::test]
async fn a_tree_that_ignores_the_interrupt_is_killed_whole() {
    let (_master, place, _worker, mut conn) = connected().await;
    // Children, grandchildren, and one that leaves the session.
    let script = "trap '' TERM INT; (sleep 1000 & sleep 1000) & sh -c 'sleep 1000 & wait' & \
                  setsid sleep 1000 & sleep 0; echo ready; wait; sleep 1000";
    conn.start(
        id(0),
        Exec {
            grace_ms: 50,
            ..place.sh(script)
        },
    )
    .await;
    conn.line("ready").await;
    until("all processes", || marked(&place.mark()).len() >= 6).await;
    conn.session.interrupt(id(0), "stop");
    let done = conn.finish().await;
    assert_eq!(
        done.outcome(),
        Outcome::Interrupted {
            reason: "stop".into()
        }
    );
    assert!(
        done.text(Stream::Header)
            .contains("still running after the grace period: killed")
    );
    assert_eq!(
        marked(&place.mark()),
        [] as [i32; 0],
        "all are dead by the time of the outcome"
    );
}

#[tokio::test]
async fn silence_and_total_time_are_limited() {
    let (_master, place, _worker, mut conn) = connected().await;
    let silent = Exec {
        timeout_silence_ms: Some(5500),
        ..place.sh("echo one; sleep 1000")
    };
    let done = conn.run(id(0), silent).await;
    assert_eq!(
        done.outcome(),
        Outcome::Timeout {
            kind: TimeoutKind::Silence,
            after: Ending::Interrupt
        }
    );
    assert_eq!(done.text(Stream::Stdout), "one\n");
    assert!(
        done.text(Stream::Header)
            .starts_with("no output for 5.5 s: asked to end with SIGTERM")
    );

    let busy = "trap '' TERM; while :; do echo x; sleep 0.02; done";
    let total = Exec {
        timeout_total_ms: Some(5500),
        timeout_silence_ms: Some(60_000),
        grace_ms: 50,
        ..place.sh(busy)
    };
    let done = conn.run(id(1), total).await;
    assert_eq!(
        done.outcome(),
        Outcome::Timeout {
            kind: TimeoutKind::Total,
            after: Ending::Kill
        }
    );
    assert!(
        done.text(Stream::Header)
            .starts_with("running for 5.5 s: asked to end")
    );
    assert_eq!(marked(&place.mark()), [] as [i32; 0]);
}

#[tokio::test]
async fn output_is_limited_to_the_byte() {
    let (_master, place, _worker, mut conn) = connected().await;
    let done = conn
        .run(
            id(0),
            Exec {
                max_output_bytes: Some(100_001),
                ..place.sh("yes")
            },
        )
        .await;
    assert_eq!(done.outcome(), Outcome::OutputLimit);
    assert_eq!(done.bytes(Stream::Stdout).len(), 100_001);
    assert_eq!(
        done.text(Stream::Header),
        "more than 100001 bytes of output: killed\n"
    );
    let exact = Exec {
        max_output_bytes: Some(4),
        ..place.sh("printf 1234")
    };
    assert_eq!(conn.run(id(1), exact).await.outcome(), Outcome::Exit { code: 0 });
}

#[tokio::test]
async fn processes_left_behind_do_not_hold_the_command_up() {
    let (_master, place, _worker, mut conn) = connected().await;
    let done = conn.run(id(0), place.sh("sleep 1000 & echo done")).await;
    assert_eq!(
        (done.outcome(), done.text(Stream::Stdout)),
        (Outcome::Exit { code: 0 }, "done\n".into())
    );
    assert!(
        done.text(Stream::Header)
            .contains("processes that it left behind hold its output: killed")
    );
    assert_eq!(marked(&place.mark()), [] as [i32; 0]);

    let done = conn
        .run(id(1), place.sh("sleep 1000 >/dev/null 2>&1 & echo done; exit 4"))
        .await;
    assert_eq!(
        (done.outcome(), done.text(Stream::Stdout)),
        (Outcome::Exit { code: 4 }, "done\n".into())
    );
    assert_eq!(
        done.text(Stream::Header),
        "1 processes that the command left behind: killed\n"
    );
    assert_eq!(marked(&place.mark()), [] as [i32; 0]);

    // What is still coming when the leader ends is not lost.
    let script = "(while [ ! -e go ]; do sleep 0.01; done; echo late) & echo gone; exit 0";
    conn.start(id(2), place.sh(script)).await;
    conn.line("gone\n").await;
    fs::write(place.base().join("go"), "").unwrap();
    let done = conn.finish().await;
    assert_eq!(
        (done.outcome(), done.text(Stream::Stdout)),
        (Outcome::Exit { code: 0 }, "late\n".into())
    );
}

#[tokio::test]
async fn a_running_command_that_is_forgotten_is_killed_first() {
    let (_master, place, _worker, mut conn) = connected().await;
    conn.start(
        id(0),
        Exec {
            grace_ms: 60_000,
            ..place.sh("trap '' TERM; echo $$; sleep 1000")
        },
    )
    .await;
    let pid: i32 = String::from_utf8_lossy(&conn.output().await.data)
        .trim()
        .parse()
        .unwrap();
    assert!(is_alive(pid));
    conn.session.forget(id(0));
    assert_eq!(conn.event().await, Some(MasterEvent::Forgotten { id: id(0) }));
    assert_eq!(marked(&place.mark()), [] as [i32; 0]);
    // The id is free again.
    assert_eq!(
        conn.run(id(0), place.sh("exit 5")).await.outcome(),
        Outcome::Exit { code: 5 }
    );
}

#[tokio::test]
async fn an_unknown_command_is_lost_and_many_run_side_by_side() {
    let (_master, place, _worker, mut conn) = connected().await;
    conn.session.interrupt(id(9), "who?");
    match conn.event().await {
        Some(MasterEvent::Lost { id: lost, .. }) => assert_eq!(lost, id(9)),
        other => panic!("{other:?}"),
    }
    for ordinal in 0..20 {
        conn.start(id(ordinal), place.sh(&format!("seq 1 20000; exit {ordinal}")))
            .await;
    }
    let mut length = 0;
    let mut codes = Vec::new();
    while codes.len() < 20 {
        match conn.event().await {
            Some(MasterEvent::Output(chunk)) => {
                length += chunk.data.len();
                conn.session.ack(chunk.id, chunk.end());
            }
            Some(MasterEvent::Exited(exited)) => codes.push(exited.outcome),
            other => panic!("{other:?}"),
        }
    }
    let expected: usize = (1..=20_000).map(|number: u32| number.to_string().len() + 1).sum();
    assert_eq!(length, 20 * expected);
    for code in 0..20 {
        assert!(codes.contains(&Outcome::Exit { code }));
    }
}

#[tokio::test]
async fn file_work_can_be_interrupted_while_it_waits_for_room() {
    let (master, place) = (Master::new().await, Place::new());
    let _worker = Worker::start_with(
        &master,
        &place.base(),
        &["--spool-memory", "64", "--spool-disk", "0"],
    );
    let (mut conn, _) = master.welcome().await;
    std::fs::File::create(place.base().join("large"))
        .unwrap()
        .set_len(100_000_000)
        .unwrap();
    conn.start(
        id(0),
        Verb::Get {
            path: "large".into(),
            max_bytes: u64::MAX,
        },
    )
    .await;
    let Some(MasterEvent::Output(_)) = conn.event().await else {
        panic!("no output")
    };
    conn.session.interrupt(id(0), "enough");
    assert_eq!(
        conn.finish().await.outcome(),
        Outcome::Interrupted {
            reason: "enough".into()
        }
    );
}

/// Begins a command that prints more than there is room for, and interrupts it. It is dead then, and waits for the
/// master to take what it has printed.
async fn ended_without_room(conn: &mut Conn, place: &Place) {
    conn.start(id(0), place.sh("echo $$; exec yes")).await;
    let mut printed = Vec::new();
    // As much as fills the spool, of which nothing is acknowledged.
    while printed.len() < 1024 {
        match conn.event().await {
            Some(MasterEvent::Output(chunk)) => printed.extend_from_slice(&chunk.data),
            other => panic!("{other:?}"),
        }
    }
    let pid = String::from_utf8_lossy(&printed)
        .lines()
        .next()
        .unwrap()
        .to_owned();
    conn.session.interrupt(id(0), "enough");
    conn.flush().await;
    // Not only dead: the worker knows.
    until("its end", || !std::path::Path::new("/proc").join(&pid).exists()).await;
}

const TINY_SPOOL: &[&str] = &["--spool-memory", "1", "--spool-disk", "0"];

#[tokio::test]
async fn a_command_that_has_ended_and_waits_for_room_can_be_forgotten() {
    let (master, place) = (Master::new().await, Place::new());
    let _worker = Worker::start_with(&master, &place.base(), TINY_SPOOL);
    let (mut conn, _) = master.welcome().await;
    ended_without_room(&mut conn, &place).await;
    conn.session.forget(id(0));
    loop {
        match conn.event().await {
            Some(MasterEvent::Output(_)) => {}
            other => {
                assert_eq!(other, Some(MasterEvent::Forgotten { id: id(0) }));
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_command_that_has_ended_and_waits_for_room_does_not_hold_up_a_worker_that_stops() {
    let (master, place) = (Master::new().await, Place::new());
    let mut worker = Worker::start_with(&master, &place.base(), TINY_SPOOL);
    let (mut conn, _) = master.welcome().await;
    ended_without_room(&mut conn, &place).await;
    // There is nobody any more who could make room.
    drop((conn, master));
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait().await.code(), Some(0));
}

#[tokio::test]
async fn what_a_command_left_behind_cannot_print_for_ever() {
    let (master, place) = (Master::new().await, Place::new());
    let _worker = Worker::start_with(
        &master,
        &place.base(),
        &["--spool-memory", "64", "--spool-disk", "0"],
    );
    let (mut conn, _) = master.welcome().await;
    // Whenever the master makes room, it is full again at once.
    conn.start(id(0), place.sh("yes & exit 3")).await;
    let mut remarks = Vec::new();
    let exited = within("the end of the command", async {
        loop {
            match conn.event().await {
                Some(MasterEvent::Output(chunk)) => {
                    conn.session.ack(chunk.id, chunk.end());
                    if chunk.stream == Stream::Header {
                        remarks.extend_from_slice(&chunk.data);
                    }
                }
                Some(MasterEvent::Exited(exited)) => return exited,
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
    assert_eq!(exited.outcome, Outcome::Exit { code: 3 });
    let remarks = String::from_utf8(remarks).unwrap();
    assert!(
        remarks.contains("processes that it left behind hold its output: killed"),
        "{remarks}"
    );
    assert_eq!(marked(&place.mark()), [] as [i32; 0]);
}

#[tokio::test]
async fn a_job_in_a_process_group_of_its_own_does_not_outlive_its_command() {
    let (_master, place, _worker, mut conn) = connected().await;
    let script = "set -m; sleep 1000 > /dev/null 2>&1 & echo done";
    let exec = Exec {
        argv: ["bash", "-c", script].map(str::to_owned).to_vec(),
        ..place.sh("")
    };
    let done = conn.run(id(0), exec).await;
    assert_eq!(
        (done.outcome(), done.text(Stream::Stdout)),
        (Outcome::Exit { code: 0 }, "done\n".into())
    );
    assert_eq!(marked(&place.mark()), [] as [i32; 0]);
    assert_eq!(
        done.text(Stream::Header),
        "1 processes that the command left behind: killed\n"
    );
}
