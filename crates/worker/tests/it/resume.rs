//! Connections come and go; commands and their bytes do not.

use std::fs;

use ironmaster_wire::{Exec, MasterEvent, Outcome, Stream, Verb, Welcome};

use crate::harness::{Master, Place, Worker, id, marked, until};

/// What `seq 1 N` prints.
fn numbers(to: u32) -> Vec<u8> {
    let mut text = Vec::new();
    for number in 1..=to {
        text.extend_from_slice(number.to_string().as_bytes());
        text.push(b'\n');
    }
    text
}

#[tokio::test]
async fn large_output_is_exact_and_in_order() {
    let (master, place) = (Master::new().await, Place::new());
    let _worker = Worker::start(&master, &place.base());
    let (mut conn, _) = master.welcome().await;
    let done = conn.run(id(0), place.sh("seq 1 3000000")).await;
    assert!(
        done.bytes(Stream::Stdout) == numbers(3_000_000),
        "the bytes differ"
    );
    // Streams in the order in which the program wrote them, as it goes on only when the last line has come.
    let script = "seen() { while [ ! -e $1 ]; do sleep 0.01; done; }; \
                  for n in 1 2 3; do echo out$n; seen out$n; echo err$n >&2; seen err$n; done";
    conn.start(id(1), place.sh(script)).await;
    for n in 1..=3 {
        for (stream, name) in [(Stream::Stdout, "out"), (Stream::Stderr, "err")] {
            let line = format!("{name}{n}");
            let mut text = Vec::new();
            while text.len() <= line.len() {
                let chunk = conn.output().await;
                assert_eq!(chunk.stream, stream, "{chunk:?}");
                text.extend_from_slice(&chunk.data);
            }
            assert_eq!(text, format!("{line}\n").as_bytes());
            fs::write(place.base().join(line), "").unwrap();
        }
    }
    let done = conn.finish().await;
    assert_eq!(
        (done.outcome(), done.chunks.len()),
        (Outcome::Exit { code: 0 }, 0)
    );
}

#[tokio::test]
async fn a_cut_connection_resumes_with_every_byte_exactly_once() {
    let (master, place) = (Master::new().await, Place::new());
    // Small spools, so that memory, disk and waiting all take part.
    let _worker = Worker::start_with(
        &master,
        &place.base(),
        &["--spool-memory", "64", "--spool-disk", "1"],
    );
    let (mut conn, _) = master.welcome().await;
    conn.start(id(0), place.sh("seq 1 2000000")).await;
    let mut got: Vec<u8> = Vec::new();
    let mut cuts = 0;
    let outcome = loop {
        let cut_after = got.len() + 300_000 * (cuts + 1);
        let mut ended = None;
        while let Some(event) = conn.event().await {
            match event {
                MasterEvent::Output(chunk) => {
                    assert_eq!(chunk.offset, got.len() as u64);
                    got.extend_from_slice(&chunk.data);
                    // Acknowledged late and never whole, so that the worker has to send some of it again.
                    conn.session
                        .ack(id(0), (got.len() as u64).saturating_sub(100_000));
                }
                MasterEvent::Exited(exited) => {
                    ended = Some(exited);
                    break;
                }
                other => panic!("{other:?}"),
            }
            if got.len() > cut_after {
                break;
            }
        }
        if let Some(exited) = ended {
            break exited;
        }
        cuts += 1;
        drop(conn);
        // What was not acknowledged may have been lost with the master.
        let hello;
        (conn, hello) = master.welcome().await;
        let [report] = hello.commands.as_slice() else {
            panic!("one command is reported: {hello:?}")
        };
        assert_eq!(report.id, id(0));
        assert!(report.output_start <= got.len() as u64 && got.len() as u64 <= report.output_end);
        let again = got.len().saturating_sub(50_000).max(report.output_start as usize);
        got.truncate(again);
        conn.session.resume(id(0), again as u64).unwrap();
    };
    assert!(cuts >= 3, "{cuts} cuts");
    assert_eq!(outcome.outcome, Outcome::Exit { code: 0 });
    assert!(got == numbers(2_000_000), "the bytes differ");
}

#[tokio::test]
async fn outcomes_are_repeated_until_they_are_forgotten() {
    let (master, place) = (Master::new().await, Place::new());
    let _worker = Worker::start(&master, &place.base());
    let (mut conn, first) = master.welcome().await;
    conn.start(id(0), place.sh("echo hi; exit 7")).await;
    let once = conn.finish().await;
    for _ in 0..3 {
        drop(conn);
        let hello;
        (conn, hello) = master.welcome().await;
        assert_eq!(hello.instance, first.instance);
        assert!(hello.commands[0].exited);
        conn.session.resume(id(0), 3).unwrap();
        let again = conn.finish().await;
        assert_eq!((again.outcome(), again.chunks.len()), (once.outcome(), 0));
    }
    conn.session.forget(id(0));
    assert_eq!(conn.event().await, Some(MasterEvent::Forgotten { id: id(0) }));
    drop(conn);
    let (_conn, hello) = master.welcome().await;
    assert!(hello.commands.is_empty());
}

#[tokio::test]
async fn a_repeated_start_runs_the_command_once() {
    let (master, place) = (Master::new().await, Place::new());
    let _worker = Worker::start(&master, &place.base());
    let (mut conn, _) = master.welcome().await;
    let exec = place.sh("echo ran >> witness; echo ready; while [ ! -e go ]; do sleep 0.01; done; echo end");
    conn.start(id(0), exec.clone()).await;
    conn.start(id(0), exec.clone()).await;
    let Some(MasterEvent::Output(chunk)) = conn.event().await else {
        panic!("no output")
    };
    assert_eq!(&chunk.data[..], b"ready\n");
    drop(conn);
    let (mut conn, _) = master.welcome().await;
    conn.start(id(0), exec).await;
    std::fs::write(place.base().join("go"), "").unwrap();
    let done = conn.finish().await;
    assert_eq!(done.text(Stream::Stdout), "ready\nend\n");
    assert_eq!(
        std::fs::read_to_string(place.base().join("witness")).unwrap(),
        "ran\n"
    );
}

#[tokio::test]
async fn another_request_under_the_same_id_is_lost_and_nothing_of_it_runs() {
    let (master, place) = (Master::new().await, Place::new());
    let _worker = Worker::start(&master, &place.base());
    let (mut conn, _) = master.welcome().await;
    conn.start(id(0), place.sh("echo ready; sleep 1000")).await;
    conn.line("ready").await;
    for connection in ["the same", "a new"] {
        if connection == "a new" {
            conn.start(id(0), place.sh("echo ready; sleep 1000")).await;
            conn.line("ready").await;
            drop(conn);
            (conn, _) = master.welcome().await;
        }
        conn.start(id(0), place.sh("touch never")).await;
        match conn.event().await {
            Some(MasterEvent::Lost { id: lost, reason }) => {
                assert_eq!(lost, id(0));
                assert!(reason.contains("another request"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(marked(&place.mark()), [] as [i32; 0]);
    }
    assert!(!place.base().join("never").exists());
}

#[tokio::test]
async fn no_more_than_the_window_is_sent_unasked() {
    let (master, place) = (Master::new().await, Place::new());
    let _worker = Worker::start(&master, &place.base());
    let (mut conn, _) = master
        .welcome_with(Welcome {
            window_bytes: 1000,
            ..Welcome::new("test")
        })
        .await;
    conn.start(id(0), place.sh("seq 1 1000")).await;
    let mut got = Vec::new();
    // The session fails the test if the worker sends a byte too many.
    while got.len() < 1000 {
        let Some(MasterEvent::Output(chunk)) = conn.event().await else {
            panic!("no output")
        };
        got.extend_from_slice(&chunk.data);
    }
    conn.session.ack(id(0), 1000);
    got.extend(conn.finish().await.bytes(Stream::Stdout));
    assert_eq!(got, numbers(1000));
}

#[tokio::test]
async fn silence_while_the_program_waits_for_the_master_is_no_timeout() {
    let (master, place) = (Master::new().await, Place::new());
    let _worker = Worker::start_with(
        &master,
        &place.base(),
        &["--spool-memory", "64", "--spool-disk", "0"],
    );
    let (mut conn, _) = master
        .welcome_with(Welcome {
            window_bytes: 1000,
            ..Welcome::new("test")
        })
        .await;
    let exec = Exec {
        timeout_silence_ms: Some(1500),
        ..place.sh("seq 1 200000; echo $$ > ended")
    };
    conn.start(id(0), exec).await;
    conn.start(
        id(1),
        Exec {
            timeout_silence_ms: Some(4000),
            ..place.sh("sleep 1000")
        },
    )
    .await;
    // The other command shows that more than enough time has passed.
    loop {
        match conn.event().await {
            Some(MasterEvent::Exited(exited)) => {
                assert_eq!(exited.id, id(1));
                break;
            }
            Some(MasterEvent::Output(chunk)) if chunk.id == id(0) => {}
            Some(MasterEvent::Output(chunk)) => conn.session.ack(id(1), chunk.end()),
            other => panic!("{other:?}"),
        }
    }
    assert!(!place.base().join("ended").exists(), "the program has to wait");
    conn.session.ack(id(0), 1000);
    assert_eq!(conn.finish().await.outcome(), Outcome::Exit { code: 0 });
    until("its end", || place.base().join("ended").exists()).await;
}

#[tokio::test]
async fn files_that_wait_for_room_do_not_keep_the_worker_from_connecting() {
    let (master, place) = (Master::new().await, Place::new());
    // A name has to be looked up, which takes a thread.
    let url = master.url().replace("127.0.0.1", "localhost");
    let _worker = Worker::start_at(
        &url,
        &place.base(),
        &["--spool-memory", "64", "--spool-disk", "0"],
    );
    let (mut conn, _) = master.welcome().await;
    std::fs::File::create(place.base().join("large"))
        .unwrap()
        .set_len(100_000_000)
        .unwrap();
    let files = 40;
    for ordinal in 0..files {
        let get = Verb::Get {
            path: "large".into(),
            max_bytes: u64::MAX,
        };
        conn.start(id(ordinal), get).await;
    }
    // Those whose turn it is wait for room: nothing is acknowledged.
    let Some(MasterEvent::Output(_)) = conn.event().await else {
        panic!("no output")
    };
    drop(conn);
    let (mut conn, hello) = master.welcome().await;
    assert_eq!(hello.commands.len(), files as usize);
    // Also those whose turn has not come can be ended.
    for report in &hello.commands {
        conn.session.resume(report.id, report.output_start).unwrap();
        conn.session.interrupt(report.id, "enough");
    }
    let mut ended = 0;
    while ended < files {
        match conn.event().await {
            Some(MasterEvent::Output(_)) => {}
            Some(MasterEvent::Exited(exited)) => {
                let reason = "enough".into();
                assert_eq!(exited.outcome, Outcome::Interrupted { reason });
                ended += 1;
            }
            other => panic!("{other:?}"),
        }
    }
}
