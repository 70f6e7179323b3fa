//! Files that a command writes, told as they grow, and terminals.

use std::fs;

use ironmaster_wire::{Exec, LogFile, MasterEvent, Outcome, Stream};

use crate::harness::{Master, Place, Worker, id, sh};

fn file(path: &str, follow: bool) -> LogFile {
    LogFile {
        name: path.into(),
        path: path.into(),
        follow,
    }
}

fn with_files(script: &str, log_files: Vec<LogFile>) -> Exec {
    Exec {
        log_files,
        ..sh(script)
    }
}

#[tokio::test]
async fn files_are_output_of_their_own_streams() {
    let (master, place) = (Master::new().await, Place::new());
    let _worker = Worker::start(&master, &place.base());
    let (mut conn, hello) = master.welcome().await;
    assert!(hello.capabilities.log_files);
    for (name, text) in [("grown", "before\n"), ("fresh", "before\n"), ("same", "old\n")] {
        fs::write(place.base().join(name), text).unwrap();
    }
    let exec = with_files(
        "echo out; echo more >> grown; echo more >> fresh; printf 'no end' > new; seq 100000 > large",
        vec![
            file("grown", true),
            file("fresh", false),
            file("same", false),
            file("new", false),
            file("large", false),
            file("missing", false),
        ],
    );
    let done = conn.run(id(0), exec).await;
    assert_eq!(done.outcome(), Outcome::Exit { code: 0 });
    assert_eq!(done.text(Stream::Stdout), "out\n");
    assert_eq!(done.text(Stream::File(0)), "more\n");
    assert_eq!(done.text(Stream::File(1)), "before\nmore\n");
    assert_eq!(done.text(Stream::File(2)), "");
    assert_eq!(done.text(Stream::File(3)), "no end");
    let numbers: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
    assert!(done.text(Stream::File(4)) == numbers, "the bytes differ");
    assert_eq!(
        done.text(Stream::Header),
        "log file \"missing\": there is no such file\n"
    );
}

/// The command ends only once the master has seen what it wrote.
#[tokio::test]
async fn files_are_told_while_the_command_runs() {
    let (master, place) = (Master::new().await, Place::new());
    let _worker = Worker::start(&master, &place.base());
    let (mut conn, _) = master.welcome().await;
    let exec = with_files(
        "echo first > log; while [ ! -e go ]; do sleep 0.02; done; echo second >> log",
        vec![file("log", false)],
    );
    conn.start(id(0), exec).await;
    let chunk = conn.output().await;
    assert_eq!(
        (chunk.stream, &chunk.data[..]),
        (Stream::File(0), &b"first\n"[..])
    );
    fs::write(place.base().join("go"), "").unwrap();
    let done = conn.finish().await;
    assert_eq!(done.outcome(), Outcome::Exit { code: 0 });
    assert_eq!(done.text(Stream::File(0)), "second\n");
}

#[tokio::test]
async fn a_file_resumes_with_every_byte_exactly_once() {
    let (master, place) = (Master::new().await, Place::new());
    let _worker = Worker::start(&master, &place.base());
    let (mut conn, _) = master.welcome().await;
    let exec = with_files(
        "for i in 1 2 3 4 5 6; do echo out$i; echo file$i >> log; sleep 0.4; done",
        vec![file("log", false)],
    );
    conn.start(id(0), exec).await;
    let mut got: Vec<(Stream, u8)> = Vec::new();
    let mut cuts = 0;
    loop {
        match conn.event().await {
            Some(MasterEvent::Output(chunk)) => {
                assert_eq!(chunk.offset, got.len() as u64);
                got.extend(chunk.data.iter().map(|byte| (chunk.stream, *byte)));
                conn.session.ack(id(0), chunk.offset);
                conn.flush().await;
                cuts += 1;
                drop(conn);
                let hello;
                (conn, hello) = master.welcome().await;
                let start = hello.commands[0].output_start;
                got.truncate(start as usize);
                conn.session.resume(id(0), start).unwrap();
            }
            Some(MasterEvent::Exited(exited)) => {
                assert_eq!(exited.outcome, Outcome::Exit { code: 0 });
                break;
            }
            other => panic!("{other:?}"),
        }
        if cuts > 4 {
            let rest = conn.finish().await;
            got.extend(
                rest.chunks
                    .iter()
                    .flat_map(|chunk| chunk.data.iter().map(|byte| (chunk.stream, *byte))),
            );
            break;
        }
    }
    let of = |stream| {
        let bytes = got.iter().filter(|(of, _)| *of == stream).map(|(_, byte)| *byte);
        String::from_utf8(bytes.collect()).unwrap()
    };
    let lines = |word| {
        (1..=6)
            .map(|number| format!("{word}{number}\n"))
            .collect::<String>()
    };
    assert_eq!(
        (of(Stream::Stdout), of(Stream::File(0))),
        (lines("out"), lines("file"))
    );
}

#[tokio::test]
async fn files_count_against_the_limit_of_output() {
    let (master, place) = (Master::new().await, Place::new());
    let _worker = Worker::start(&master, &place.base());
    let (mut conn, _) = master.welcome().await;
    for (number, script) in ["seq 1000 > log", "seq 1000 > log; sleep 600"]
        .into_iter()
        .enumerate()
    {
        let mut exec = with_files(script, vec![file("log", false)]);
        exec.max_output_bytes = Some(10);
        let done = conn.run(id(number as u32), exec).await;
        assert_eq!(done.outcome(), Outcome::OutputLimit);
        assert_eq!(done.text(Stream::File(0)), "1\n2\n3\n4\n5\n");
        fs::remove_file(place.base().join("log")).unwrap();
    }
}

#[tokio::test]
async fn what_leads_out_of_the_base_directory_is_not_told() {
    let (master, place) = (Master::new().await, Place::new());
    let _worker = Worker::start(&master, &place.base());
    let (mut conn, _) = master.welcome().await;
    let done = conn
        .run(id(0), with_files("true", vec![file("../secret", false)]))
        .await;
    match done.outcome() {
        Outcome::StartFailed { message } => assert!(message.contains("`..`"), "{message}"),
        other => panic!("{other:?}"),
    }
    let done = conn
        .run(
            id(1),
            with_files(
                "ln -s /etc/passwd link; mkfifo pipe",
                vec![file("link", false), file("pipe", false)],
            ),
        )
        .await;
    assert_eq!(done.outcome(), Outcome::Exit { code: 0 });
    assert_eq!(
        (done.text(Stream::File(0)), done.text(Stream::File(1))),
        (String::new(), String::new())
    );
    let header = done.text(Stream::Header);
    assert!(
        header.contains("log file \"link\": ") && header.contains("by a symbolic link"),
        "{header}"
    );
    assert!(header.contains("log file \"pipe\": it is no file\n"), "{header}");
}

#[tokio::test]
async fn a_command_with_a_terminal() {
    let (master, place) = (Master::new().await, Place::new());
    let _worker = Worker::start(&master, &place.base());
    let (mut conn, hello) = master.welcome().await;
    assert!(hello.capabilities.pty);
    let script = "test -t 0 && test -t 1 && test -t 2 && echo terminal; echo error >&2; exit 5";
    let done = conn
        .run(
            id(0),
            Exec {
                pty: true,
                ..sh(script)
            },
        )
        .await;
    assert_eq!(done.outcome(), Outcome::Exit { code: 5 });
    assert_eq!(
        (done.text(Stream::Stdout), done.text(Stream::Stderr)),
        ("terminal\nerror\n".into(), String::new())
    );
    let exec = Exec {
        pty: true,
        initial_stdin: Some("text".into()),
        ..sh("cat")
    };
    let done = conn.run(id(1), exec).await;
    assert!(matches!(done.outcome(), Outcome::StartFailed { .. }), "{done:?}");
    // Ended like any other.
    let exec = Exec {
        pty: true,
        ..sh("echo begun; sleep 600")
    };
    conn.start(id(2), exec).await;
    conn.line("begun\n").await;
    conn.session.interrupt(id(2), "enough");
    let done = conn.finish().await;
    assert_eq!(
        done.outcome(),
        Outcome::Interrupted {
            reason: "enough".into()
        }
    );
}
