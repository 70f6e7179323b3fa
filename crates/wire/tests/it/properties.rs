//! For all messages, and for all noise.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use ironmaster_wire::{
    CommandId, Ending, Exec, Exited, FailureKind, Frame, Limits, LogFile, MasterEvent, MasterMessage,
    MasterSession, Outcome, OutputChunk, Put, Stream, TimeoutKind, Verb, Welcome, WorkerMessage,
    WorkerSession,
};
use proptest::prelude::*;

use crate::{exchange, greeted, hello, id, report};

fn any_id() -> impl Strategy<Value = CommandId> {
    (any::<u64>(), any::<u32>(), any::<u32>()).prop_map(|(build, step, ordinal)| CommandId {
        build,
        step,
        ordinal,
    })
}

fn any_stream() -> impl Strategy<Value = Stream> {
    prop_oneof![
        Just(Stream::Stdout),
        Just(Stream::Stderr),
        Just(Stream::Header),
        (0..32_u8).prop_map(Stream::File),
    ]
}

fn any_text() -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>(), 0..20).prop_map(|chars| chars.into_iter().collect())
}

fn any_exec() -> impl Strategy<Value = Exec> {
    let env = proptest::collection::btree_map(any_text(), proptest::option::of(any_text()), 0..4);
    let numbers = (
        any::<Option<u64>>(),
        any::<Option<u64>>(),
        any::<u64>(),
        any::<Option<u64>>(),
    );
    let file = (any_text(), any_text(), any::<bool>());
    let file = file.prop_map(|(name, path, follow)| LogFile { name, path, follow });
    (
        proptest::collection::vec(any_text(), 0..4),
        any_text(),
        env,
        numbers,
        proptest::option::of(any_text()),
        any::<(bool, bool)>(),
        proptest::collection::vec(file, 0..3),
    )
        .prop_map(
            |(argv, workdir, env, (silence, total, grace, output), stdin, (log_env, pty), log_files)| Exec {
                argv,
                workdir,
                env: BTreeMap::from_iter(env),
                timeout_silence_ms: silence,
                timeout_total_ms: total,
                interrupt_signal: "INT".into(),
                grace_ms: grace,
                max_output_bytes: output,
                initial_stdin: stdin,
                log_env,
                pty,
                log_files,
            },
        )
}

fn any_verb() -> impl Strategy<Value = Verb> {
    prop_oneof![
        any_exec().prop_map(Verb::Exec),
        (any_text(), any::<u32>(), any::<u64>(), any::<Vec<u8>>()).prop_map(
            |(path, mode, offset, content)| Verb::Put(Put {
                path,
                mode,
                offset,
                content
            })
        ),
        (any_text(), any::<u64>()).prop_map(|(path, max_bytes)| Verb::Get { path, max_bytes }),
        any_text().prop_map(|path| Verb::Mkdir { path }),
        any_text().prop_map(|path| Verb::Remove { path }),
        (any_text(), any_text()).prop_map(|(from, to)| Verb::Copy { from, to }),
        any_text().prop_map(|path| Verb::Stat { path }),
        any_text().prop_map(|pattern| Verb::Glob { pattern }),
        any_text().prop_map(|path| Verb::List { path }),
        Just(Verb::Info),
    ]
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        any::<i32>().prop_map(|code| Outcome::Exit { code }),
        any::<i32>().prop_map(|signal| Outcome::Signal { signal }),
        Just(Outcome::Timeout {
            kind: TimeoutKind::Silence,
            after: Ending::Kill
        }),
        Just(Outcome::Timeout {
            kind: TimeoutKind::Total,
            after: Ending::Interrupt
        }),
        any_text().prop_map(|reason| Outcome::Interrupted { reason }),
        Just(Outcome::OutputLimit),
        any_text().prop_map(|message| Outcome::StartFailed { message }),
        proptest::collection::vec(any_text(), 0..4).prop_map(|value| Outcome::Value {
            value: serde_json::json!({ "list": value, "null": null, "n": 1 })
        }),
        any_text().prop_map(|message| Outcome::Failed {
            kind: FailureKind::NoSpace,
            message
        }),
        Just(Outcome::LeaseExpired),
    ]
}

fn any_master_message() -> impl Strategy<Value = MasterMessage> {
    prop_oneof![
        (any_text(), any::<u64>(), any::<u64>(), any::<u64>()).prop_map(
            |(session, lease, heartbeat, window)| {
                MasterMessage::Welcome(Welcome {
                    protocol: 1,
                    session,
                    lease_ms: lease,
                    heartbeat_ms: heartbeat,
                    window_bytes: window,
                })
            }
        ),
        (any_text(), any::<bool>()).prop_map(|(reason, retry)| MasterMessage::Refused { reason, retry }),
        (any_id(), any::<u64>()).prop_map(|(id, offset)| MasterMessage::Resume { id, offset }),
        (any_id(), any_text(), any_verb()).prop_map(|(id, digest, verb)| MasterMessage::Start {
            id,
            digest,
            verb
        }),
        (any_id(), any_text()).prop_map(|(id, reason)| MasterMessage::Interrupt { id, reason }),
        (any_id(), any::<u64>()).prop_map(|(id, offset)| MasterMessage::Ack { id, offset }),
        any_id().prop_map(|id| MasterMessage::Forget { id }),
        any::<u64>().prop_map(|nonce| MasterMessage::Ping { nonce }),
        any::<u64>().prop_map(|nonce| MasterMessage::Pong { nonce }),
        any_text().prop_map(|reason| MasterMessage::Goodbye { reason }),
    ]
}

fn any_worker_message() -> impl Strategy<Value = WorkerMessage> {
    prop_oneof![
        Just(WorkerMessage::Hello(Box::new(hello(vec![report(1, 2, 3)])))),
        (any_id(), any_outcome(), any::<u64>(), any::<u64>()).prop_map(
            |(id, outcome, output_end, duration_ms)| {
                WorkerMessage::Exited(Exited {
                    id,
                    outcome,
                    output_end,
                    duration_ms,
                })
            }
        ),
        (any_id(), any_text()).prop_map(|(id, reason)| WorkerMessage::Lost { id, reason }),
        any_id().prop_map(|id| WorkerMessage::Forgotten { id }),
        any::<u64>().prop_map(|nonce| WorkerMessage::Ping { nonce }),
        any::<u64>().prop_map(|nonce| WorkerMessage::Pong { nonce }),
        any_text().prop_map(|reason| WorkerMessage::Goodbye { reason }),
    ]
}

/// Frames from noise to nearly right: real messages, some with a byte changed, and arbitrary bytes.
fn any_frame() -> impl Strategy<Value = Frame> {
    let message = prop_oneof![
        any_master_message().prop_map(|message| message.encode()),
        any_worker_message().prop_map(|message| message.encode()),
    ];
    let broken =
        (message.clone(), any::<proptest::sample::Index>(), any::<u8>()).prop_map(|(text, at, to)| {
            let mut bytes = text.into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = to;
            String::from_utf8_lossy(&bytes).into_owned()
        });
    let near = (
        0..3_u32,
        any_stream(),
        0..5_u64,
        proptest::collection::vec(any::<u8>(), 0..5),
    )
        .prop_map(|(ordinal, stream, offset, data)| {
            OutputChunk {
                id: id(ordinal),
                stream,
                offset,
                data: data.into(),
            }
            .encode()
        });
    prop_oneof![
        message.prop_map(Frame::Text),
        broken.prop_map(Frame::Text),
        any_text().prop_map(Frame::Text),
        near.prop_map(Frame::Binary),
        any::<Vec<u8>>().prop_map(|bytes| Frame::Binary(bytes.into())),
    ]
}

/// What is certainly no message of either side.
fn garbage() -> impl Strategy<Value = Frame> {
    prop_oneof![
        any_text().prop_map(|text| Frame::Text(format!("!{text}"))),
        (9_u8.., any::<Vec<u8>>())
            .prop_map(|(kind, bytes)| Frame::Binary([vec![kind], bytes].concat().into())),
    ]
}

proptest! {
    #[test]
    fn messages_come_back_as_they_went(worker in any_worker_message(), master in any_master_message()) {
        prop_assert_eq!(WorkerMessage::decode(&worker.encode()).unwrap(), worker);
        prop_assert_eq!(MasterMessage::decode(&master.encode()).unwrap(), master);
    }

    #[test]
    fn digests_do_not_depend_on_the_way(verb in any_verb()) {
        let again: Verb = serde_json::from_str(&serde_json::to_string(&verb).unwrap()).unwrap();
        prop_assert_eq!(again.digest(), verb.digest());
    }

    #[test]
    fn chunks_come_back_as_they_went(
        id in any_id(), stream in any_stream(), offset in 0..u64::MAX / 2, data in any::<Vec<u8>>(),
    ) {
        let chunk = OutputChunk { id, stream, offset, data: data.into() };
        prop_assert_eq!(OutputChunk::decode(&chunk.encode()).unwrap(), chunk);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>()) {
        if let Ok(chunk) = OutputChunk::decode(&Bytes::from(bytes.clone())) {
            prop_assert_eq!(chunk.encode().to_vec(), bytes.clone());
        }
        let text = String::from_utf8_lossy(&bytes);
        prop_assert!(WorkerMessage::decode(&text).is_err());
        prop_assert!(MasterMessage::decode(&text).is_err());
    }

    /// Whatever comes: an error is the end, and the queues stay as short as what came.
    #[test]
    fn sessions_survive_anything(greet in any::<bool>(), frames in proptest::collection::vec(any_frame(), 1..30)) {
        let (mut master, mut worker) = if greet {
            greeted(vec![report(1, 0, 3)], 8)
        } else {
            let worker = WorkerSession::new(hello(vec![]), Limits::default(), Duration::ZERO);
            (MasterSession::new(Limits::default(), Duration::ZERO), worker)
        };
        if greet {
            master.start(id(0), "d".into(), Verb::Info).unwrap();
            master.resume(id(1), 1).unwrap();
            worker.attach(id(0), 0);
        }
        let (mut master_ended, mut worker_ended) = (false, false);
        for (second, frame) in frames.into_iter().enumerate() {
            let now = Duration::from_secs(second as u64);
            let fed = master.feed(frame.clone(), now);
            prop_assert!(!(master_ended && fed.is_ok()), "an ended session takes nothing");
            master_ended |= master.is_closed();
            prop_assert!(fed.is_ok() || master_ended);
            let fed = worker.feed(frame, now);
            prop_assert!(!(worker_ended && fed.is_ok()), "an ended session takes nothing");
            worker_ended |= fed.is_err();
            prop_assert!(std::iter::from_fn(|| master.poll_event()).count() <= 1);
            prop_assert!(std::iter::from_fn(|| worker.poll_event()).count() <= 1);
            prop_assert!(std::iter::from_fn(|| master.poll_send()).count() <= 4);
            prop_assert!(std::iter::from_fn(|| worker.poll_send()).count() <= 4);
        }
    }

    #[test]
    fn garbage_ends_a_session(greet in any::<bool>(), frame in garbage()) {
        let (mut master, mut worker) = if greet {
            greeted(vec![], 8)
        } else {
            let worker = WorkerSession::new(hello(vec![]), Limits::default(), Duration::ZERO);
            (MasterSession::new(Limits::default(), Duration::ZERO), worker)
        };
        prop_assert!(master.feed(frame.clone(), Duration::ZERO).is_err());
        prop_assert!(worker.feed(frame, Duration::ZERO).is_err());
        prop_assert!(master.is_closed() && !worker.is_open());
    }

    /// However output is cut into pieces and acknowledged, every byte arrives once and in order.
    #[test]
    fn output_arrives_whole(window in 1_u64..50, pieces in proptest::collection::vec((any_stream(), any::<Vec<u8>>()), 1..20)) {
        let (mut master, mut worker) = greeted(vec![], window);
        master.start(id(0), "d".into(), Verb::Info).unwrap();
        exchange(&mut master, &mut worker);
        worker.attach(id(0), 0);
        let mut got = Vec::new();
        for (stream, bytes) in &pieces {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let most = (worker.sendable(id(0)) as usize).min(rest.len());
                prop_assert!(most > 0, "everything was acknowledged");
                worker.output(id(0), *stream, &rest[..most]).unwrap();
                rest = &rest[most..];
                exchange(&mut master, &mut worker);
                while let Some(MasterEvent::Output(chunk)) = master.poll_event() {
                    master.ack(id(0), chunk.end());
                    got.extend(chunk.data.iter().map(|byte| (chunk.stream, *byte)));
                }
                exchange(&mut master, &mut worker);
            }
        }
        let sent: Vec<(Stream, u8)> =
            pieces.iter().flat_map(|(stream, bytes)| bytes.iter().map(|byte| (*stream, *byte))).collect();
        prop_assert_eq!(got, sent);
    }
}
