//! What a worker can do when nothing goes wrong, and how it says no.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use ironmaster_wire::{Exec, FailureKind, Outcome, Put, Stream, Verb};
use serde_json::{Value, json};

use crate::harness::{Master, Place, Worker, id, sh};

#[tokio::test]
async fn a_program_gets_its_input_environment_and_folder_and_gives_back_exact_bytes() {
    let (master, place) = (Master::new().await, Place::new());
    let _worker = Worker::start(&master, &place.base());
    let (mut conn, hello) = master.welcome().await;
    assert_eq!((hello.name.as_str(), hello.token.as_str()), ("w", "secret-token"));
    assert!(hello.capabilities.resumes && hello.capabilities.exact_bytes && hello.commands.is_empty());
    assert_eq!(
        hello.info.basedir,
        place.base().canonicalize().unwrap().to_str().unwrap()
    );

    let mut exec = sh(
        r#"cat; printf '%s|' "$A" "${HOME-unset}" "${IRONMASTER_WORKER_TOKEN-unset}"; pwd; printf '\377\000err' >&2; exit 3"#,
    );
    exec.workdir = "some/dir".into();
    exec.env.insert("A".into(), Some("b c".into()));
    exec.env.insert("HOME".into(), None);
    exec.initial_stdin = Some("input\n".into());
    let done = conn.run(id(0), exec).await;
    assert_eq!(done.outcome(), Outcome::Exit { code: 3 });
    let folder = place.base().canonicalize().unwrap().join("some/dir");
    assert_eq!(
        done.text(Stream::Stdout),
        format!("input\nb c|unset|unset|{}\n", folder.display())
    );
    assert_eq!(done.bytes(Stream::Stderr), b"\xff\0err");
    assert_eq!(done.text(Stream::Header), "");

    let mut exec = sh("true");
    exec.log_env = true;
    exec.env.insert("SHOWN".into(), Some("yes".into()));
    let header = conn.run(id(1), exec).await.text(Stream::Header);
    assert!(
        header.contains("\n SHOWN=yes\n") && !header.contains("secret-token"),
        "{header}"
    );

    assert_eq!(
        conn.run(id(2), sh("kill -9 $$")).await.outcome(),
        Outcome::Signal { signal: 9 }
    );
}

#[tokio::test]
async fn a_program_that_cannot_start_says_why() {
    let (master, place) = (Master::new().await, Place::new());
    let _worker = Worker::start(&master, &place.base());
    let (mut conn, _) = master.welcome().await;
    let argv = |argv: &[&str]| Exec {
        argv: argv.iter().map(ToString::to_string).collect(),
        ..Exec::default()
    };
    let table = [
        (argv(&[]), "argv is empty"),
        (argv(&["no-such-program"]), "cannot run \"no-such-program\" in "),
        (
            Exec {
                workdir: "../out".into(),
                ..argv(&["true"])
            },
            "contains `..`",
        ),
        (
            Exec {
                interrupt_signal: "HUP".into(),
                ..argv(&["true"])
            },
            "must be INT, TERM or KILL",
        ),
        (
            Exec {
                env: [("A=B".to_owned(), None)].into(),
                ..argv(&["true"])
            },
            "cannot name an environment variable",
        ),
        (argv(&["true", "a\0b"]), "cannot run"),
    ];
    for (number, (exec, part)) in table.into_iter().enumerate() {
        match conn.run(id(number as u32), exec).await.outcome() {
            Outcome::StartFailed { message } => assert!(message.contains(part), "{message}"),
            other => panic!("row {number}: {other:?}"),
        }
    }
    let running = place.base().join(".ironmaster-worker/running");
    let records: Vec<_> = std::fs::read_dir(running)
        .unwrap()
        .flatten()
        .map(|folder| folder.path())
        .collect();
    assert!(
        records
            .iter()
            .all(|folder| std::fs::read_dir(folder).unwrap().count() == 0),
        "no record is left"
    );
}

#[tokio::test]
async fn files_are_put_read_copied_found_and_removed() {
    let (master, place) = (Master::new().await, Place::new());
    let _worker = Worker::start(&master, &place.base());
    let (mut conn, _) = master.welcome().await;
    let mut ordinal = 0;
    let mut next = || {
        ordinal += 1;
        id(ordinal)
    };
    let put = |path: &str, offset, content: &[u8]| {
        Verb::Put(Put {
            path: path.into(),
            mode: 0o750,
            offset,
            content: content.to_vec(),
        })
    };

    // A file in pieces; the second one is repeated.
    let content: Vec<u8> = (0..900_000_u32).map(|number| (number % 251) as u8).collect();
    let (first, second) = content.split_at(500_000);
    for (offset, piece) in [(0, first), (500_000, second), (500_000, second)] {
        assert_eq!(
            conn.value(next(), put("d/e/file", offset, piece)).await,
            Ok(Value::Null)
        );
    }
    let path = place.base().join("d/e/file");
    assert_eq!(std::fs::read(&path).unwrap(), content);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o750);

    let done = conn
        .run(
            next(),
            Verb::Get {
                path: "d/e/file".into(),
                max_bytes: 900_000,
            },
        )
        .await;
    assert_eq!(done.outcome(), Outcome::Value { value: Value::Null });
    assert_eq!(done.bytes(Stream::Stdout), content);

    assert_eq!(
        conn.value(
            next(),
            Verb::Mkdir {
                path: "d/new/folder".into()
            }
        )
        .await,
        Ok(Value::Null)
    );
    assert_eq!(
        conn.value(
            next(),
            Verb::Mkdir {
                path: "d/new/folder".into()
            }
        )
        .await,
        Ok(Value::Null)
    );
    symlink("e/file", place.base().join("d/link")).unwrap();
    assert_eq!(
        conn.value(
            next(),
            Verb::Copy {
                from: "d".into(),
                to: "copy".into()
            }
        )
        .await,
        Ok(Value::Null)
    );
    assert_eq!(std::fs::read(place.base().join("copy/e/file")).unwrap(), content);
    assert!(place.base().join("copy/link").is_symlink());

    let stat = conn
        .value(
            next(),
            Verb::Stat {
                path: "copy/e/file".into(),
            },
        )
        .await
        .unwrap();
    assert_eq!(
        (&stat["type"], &stat["size"], &stat["mode"]),
        (&json!("file"), &json!(900_000), &json!(0o750))
    );
    assert!(stat["mtime_us"].as_u64().unwrap() > 1_600_000_000_000_000);
    let stat = conn
        .value(
            next(),
            Verb::Stat {
                path: "d/link".into(),
            },
        )
        .await
        .unwrap();
    assert_eq!(stat["type"], "symlink");

    assert_eq!(
        conn.value(next(), Verb::List { path: String::new() }).await,
        Ok(json!(["copy", "d"]))
    );
    assert_eq!(
        conn.value(next(), Verb::List { path: "d".into() }).await,
        Ok(json!(["e", "link", "new"]))
    );
    let glob = Verb::Glob {
        pattern: "**/f*".into(),
    };
    assert_eq!(
        conn.value(next(), glob).await,
        Ok(json!([
            "copy/e/file",
            "copy/new/folder",
            "d/e/file",
            "d/new/folder"
        ]))
    );

    // A folder that forbids writing is removed all the same.
    std::fs::set_permissions(
        place.base().join("copy/e"),
        std::fs::Permissions::from_mode(0o500),
    )
    .unwrap();
    assert_eq!(
        conn.value(next(), Verb::Remove { path: "copy".into() }).await,
        Ok(Value::Null)
    );
    assert!(!place.base().join("copy").exists());
    assert_eq!(
        conn.value(next(), Verb::Remove { path: "copy".into() }).await,
        Ok(Value::Null)
    );

    let info = conn.value(next(), Verb::Info).await.unwrap();
    assert_eq!(
        (&info["os"], &info["arch"]),
        (&json!("linux"), &json!(std::env::consts::ARCH))
    );
}

#[tokio::test]
async fn failures_have_kinds_and_nothing_leaves_the_base_directory() {
    let (master, place) = (Master::new().await, Place::new());
    let _worker = Worker::start(&master, &place.base());
    let (mut conn, _) = master.welcome().await;
    let outside = place.base().with_file_name("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("treasure"), "kept").unwrap();
    symlink(&outside, place.base().join("out")).unwrap();
    std::fs::write(place.base().join("file"), "12345").unwrap();
    let put = |path: &str, offset| {
        Verb::Put(Put {
            path: path.into(),
            mode: 0o644,
            offset,
            content: b"x".to_vec(),
        })
    };
    let table = [
        (
            Verb::Get {
                path: "missing".into(),
                max_bytes: 1,
            },
            FailureKind::NotFound,
        ),
        (
            Verb::Get {
                path: "file".into(),
                max_bytes: 4,
            },
            FailureKind::Invalid,
        ),
        (
            Verb::Get {
                path: String::new(),
                max_bytes: 4,
            },
            FailureKind::Invalid,
        ),
        (
            Verb::Get {
                path: "out/treasure".into(),
                max_bytes: 100,
            },
            FailureKind::Invalid,
        ),
        (
            Verb::Stat {
                path: "missing".into(),
            },
            FailureKind::NotFound,
        ),
        (
            Verb::List {
                path: "missing".into(),
            },
            FailureKind::NotFound,
        ),
        (Verb::List { path: "out".into() }, FailureKind::Invalid),
        (
            Verb::Glob {
                pattern: "out/*".into(),
            },
            FailureKind::Invalid,
        ),
        (
            Verb::Glob {
                pattern: "../*".into(),
            },
            FailureKind::Invalid,
        ),
        (
            Verb::Copy {
                from: "missing".into(),
                to: "b".into(),
            },
            FailureKind::NotFound,
        ),
        (
            Verb::Copy {
                from: "out/treasure".into(),
                to: "b".into(),
            },
            FailureKind::Invalid,
        ),
        (
            Verb::Remove {
                path: "out/treasure".into(),
            },
            FailureKind::Invalid,
        ),
        (
            Verb::Remove {
                path: "../outside".into(),
            },
            FailureKind::Invalid,
        ),
        (
            Verb::Remove {
                path: outside.to_str().unwrap().into(),
            },
            FailureKind::Invalid,
        ),
        (Verb::Remove { path: ".".into() }, FailureKind::Invalid),
        (
            Verb::Remove {
                path: ".ironmaster-worker".into(),
            },
            FailureKind::Invalid,
        ),
        (
            Verb::Mkdir {
                path: "file/below".into(),
            },
            FailureKind::Io,
        ),
        (put("out/new", 0), FailureKind::Invalid),
        (put("../new", 0), FailureKind::Invalid),
        (put("file", 9), FailureKind::Invalid),
    ];
    for (number, (verb, expected)) in table.into_iter().enumerate() {
        match conn.value(id(number as u32), verb.clone()).await {
            Err(Outcome::Failed { kind, message }) => assert_eq!(kind, expected, "{verb:?}: {message}"),
            other => panic!("{verb:?}: {other:?}"),
        }
    }
    // The link itself may go; what it points to stays.
    assert_eq!(
        conn.value(id(100), Verb::Remove { path: "out".into() }).await,
        Ok(Value::Null)
    );
    assert_eq!(std::fs::read_to_string(outside.join("treasure")).unwrap(), "kept");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(
        std::fs::read_to_string(place.base().join("file")).unwrap(),
        "12345"
    );
}

#[tokio::test]
async fn an_answer_that_fits_no_message_fails() {
    let (master, place) = (Master::new().await, Place::new());
    let _worker = Worker::start(&master, &place.base());
    let (mut conn, _) = master.welcome().await;
    let folder = place.base().join("many");
    std::fs::create_dir(&folder).unwrap();
    // Each of these bytes takes six in a message.
    for number in 0..2000 {
        let name = format!("{number}{}", "\u{1}".repeat(200));
        std::fs::write(folder.join(name), "").unwrap();
    }
    let glob = Verb::Glob {
        pattern: "many/*".into(),
    };
    let list = Verb::List { path: "many".into() };
    for (number, verb) in [glob, list].into_iter().enumerate() {
        match conn.value(id(number as u32), verb).await {
            Err(Outcome::Failed { kind, message }) => {
                assert_eq!(kind, FailureKind::Invalid);
                assert!(message.contains("too many"), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_copy_takes_the_place_of_links_and_writes_through_none() {
    let (master, place) = (Master::new().await, Place::new());
    let _worker = Worker::start(&master, &place.base());
    let (mut conn, _) = master.welcome().await;
    let outside = place.base().with_file_name("outside");
    std::fs::create_dir_all(outside.join("sub")).unwrap();
    for path in ["a", "sub/b"] {
        std::fs::write(outside.join(path), "kept").unwrap();
    }
    std::fs::set_permissions(&outside, std::fs::Permissions::from_mode(0o750)).unwrap();
    let base = place.base();
    for path in ["dist/sub", "merged"] {
        std::fs::create_dir_all(base.join(path)).unwrap();
    }
    for path in ["dist/a", "dist/sub/b"] {
        std::fs::write(base.join(path), "new").unwrap();
    }
    std::fs::set_permissions(base.join("dist"), std::fs::Permissions::from_mode(0o700)).unwrap();
    symlink(&outside, base.join("out")).unwrap();
    symlink(outside.join("sub"), base.join("merged/sub")).unwrap();
    symlink(outside.join("a"), base.join("merged/a")).unwrap();
    symlink(outside.join("a"), base.join("file")).unwrap();
    let copies = [
        ("dist", "out"),
        ("dist", "merged"),
        ("dist/a", "file"),
        // What is no folder does not stay in a folder's way either.
        ("dist", "file"),
    ];
    for (number, (from, to)) in copies.into_iter().enumerate() {
        let copy = Verb::Copy {
            from: from.into(),
            to: to.into(),
        };
        assert_eq!(conn.value(id(number as u32), copy).await, Ok(Value::Null));
        assert!(!base.join(to).is_symlink(), "{to}");
    }
    for folder in ["out", "merged", "file"] {
        for path in ["a", "sub/b"] {
            assert_eq!(
                std::fs::read_to_string(base.join(folder).join(path)).unwrap(),
                "new"
            );
        }
        assert!(!base.join(folder).join("sub").is_symlink());
        let mode = base.join(folder).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
    for path in ["a", "sub/b"] {
        assert_eq!(std::fs::read_to_string(outside.join(path)).unwrap(), "kept");
    }
    assert_eq!(outside.metadata().unwrap().permissions().mode() & 0o777, 0o750);
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 2);

    // A link to a folder elsewhere is no folder of this worker's, nor is a file written through a link.
    symlink(&outside, base.join("away")).unwrap();
    symlink(outside.join("a"), base.join("link")).unwrap();
    let mkdir = Verb::Mkdir { path: "away".into() };
    let put = |offset| {
        Verb::Put(Put {
            path: "link".into(),
            mode: 0o600,
            offset,
            content: b"new".to_vec(),
        })
    };
    match conn.value(id(10), mkdir).await {
        Err(Outcome::Failed { kind, .. }) => assert_eq!(kind, FailureKind::Invalid),
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        conn.value(id(11), put(1)).await,
        Err(Outcome::Failed { .. })
    ));
    assert_eq!(conn.value(id(12), put(0)).await, Ok(Value::Null));
    assert!(!base.join("link").is_symlink());
    assert_eq!(std::fs::read_to_string(outside.join("a")).unwrap(), "kept");
}

#[tokio::test]
async fn a_folder_deeper_than_any_path_is_removed() {
    use rustix::fs::{Mode, OFlags, mkdirat, open, openat};
    let (master, place) = (Master::new().await, Place::new());
    let _worker = Worker::start(&master, &place.base());
    let (mut conn, _) = master.welcome().await;
    let deep = place.base().join("deep");
    std::fs::create_dir(&deep).unwrap();
    let outside = place.base().with_file_name("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("treasure"), "kept").unwrap();
    // More levels than a process may have files open, too.
    let mut here = open(&deep, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
    for level in 0..2100 {
        mkdirat(&here, "d", Mode::RWXU).unwrap();
        if level % 500 == 0 {
            mkdirat(&here, "beside", Mode::RWXU).unwrap();
            rustix::fs::symlinkat(&outside, &here, "link").unwrap();
        }
        here = openat(&here, "d", OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    mkdirat(&here, "locked", Mode::empty()).unwrap();
    // What can only be reached by a path has its end there.
    let glob = Verb::Glob {
        pattern: "deep/**/locked".into(),
    };
    assert_eq!(conn.value(id(1), glob).await, Ok(json!([])));
    let copy = Verb::Copy {
        from: "deep".into(),
        to: "copy".into(),
    };
    match conn.value(id(2), copy).await {
        Err(Outcome::Failed { kind, .. }) => assert_eq!(kind, FailureKind::Io),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        conn.value(id(0), Verb::Remove { path: "deep".into() }).await,
        Ok(Value::Null)
    );
    assert!(!deep.exists());
    assert_eq!(std::fs::read_to_string(outside.join("treasure")).unwrap(), "kept");
}
