//! Small logs, each worked through by hand.

use std::io::Read;

use ironmaster_logs::{
    FinishedStorage, LineCursor, LogError, LogKind, LogReader, LogSource, LogStore, LogWriter, MAX_CHUNK,
    Options, PartialLine, Place, Position, Stream,
};

use crate::support::{at, contents, lines, open_finished, raw, store, text_of, tiny};

use Stream::{Header, Stderr, Stdout};

/// Appends chunks one after the other as one effect's output.
fn write(writer: &mut LogWriter, chunks: &[(Stream, &[u8])]) {
    for (stream, bytes) in chunks {
        let start = writer.accepted();
        writer.append(start, *stream, bytes).unwrap();
    }
}

/// Both storages, small and tiny blocks, must read the same.
fn finished_forms(kind: LogKind, chunks: &[(Stream, &[u8])], look: impl Fn(&LogReader)) {
    for options in [
        Options::default(),
        Options {
            inline_limit: 0,
            ..Options::default()
        },
        tiny(),
    ] {
        for flush_each in [false, true] {
            let (_dir, store) = store(options.clone());
            let mut writer = LogWriter::create(&store, 300, 1, kind);
            for chunk in chunks {
                write(&mut writer, &[*chunk]);
                if flush_each {
                    writer.flush().unwrap();
                }
            }
            let finished = writer.finish().unwrap();
            look(&open_finished(&store, 300, 1, &finished));
            look(&writer.live().reader());
        }
    }
}

#[test]
fn lines_keep_their_stream_and_come_when_they_end() {
    let chunks: &[(Stream, &[u8])] = &[
        (Header, b"program starts\n"),
        (Stdout, b"hal"),
        (Stderr, b"oops\nmore"),
        (Stdout, b"lo\nworld"),
        (Header, b"it ended\n"),
    ];
    finished_forms(LogKind::Stream, chunks, |reader| {
        assert_eq!(reader.num_lines(), 6);
        assert_eq!(
            contents(reader, 0, None),
            "hprogram starts\neoops\nohallo\nhit ended\nemore\noworld\n"
        );
        assert_eq!(raw(reader), b"program starts\noops\nhallo\nit ended\nmore\nworld");
        assert_eq!(contents(reader, 2, Some(2)), "ohallo\nhit ended\n");
        assert_eq!(contents(reader, 6, None), "");
        assert_eq!(contents(reader, 0, Some(0)), "");
    });
}

#[test]
fn kinds_without_streams_have_no_letters_and_one_order() {
    for kind in [LogKind::Text, LogKind::Html] {
        finished_forms(
            kind,
            &[(Stdout, b"<b>a"), (Stderr, b"b\nc"), (Header, b"d\n\n")],
            |reader| {
                assert_eq!(reader.kind(), kind);
                assert_eq!(raw(reader), b"<b>ab\ncd\n\n");
                assert_eq!(contents(reader, 0, None), "<b>ab\ncd\n\n");
                assert_eq!(lines(reader, 2, 9, 100), [(Stdout, vec![])]);
            },
        );
    }
}

#[test]
fn raw_bytes_stay_and_contents_are_valid_text() {
    let bytes: &[u8] = b"caf\xc3\xa9 \xff\xfe\r\n\xe2\x82\n\xe2\x82\xac\0\x1b[31m\r\rlast";
    let halves: Vec<(Stream, &[u8])> = bytes.chunks(1).map(|byte| (Stdout, byte)).collect();
    for chunks in [vec![(Stdout, bytes)], halves] {
        finished_forms(LogKind::Text, &chunks, |reader| {
            assert_eq!(raw(reader), bytes);
            let text = "caf\u{e9} \u{fffd}\u{fffd}\r\n\u{fffd}\n\u{20ac}\0\x1b[31m\r\rlast\n";
            assert_eq!(contents(reader, 0, None), text);
            // Pages of any size join to the same text.
            for max in 1..30 {
                let (mut joined, mut next) = (String::new(), Some(LineCursor::default()));
                while let Some(cursor) = next {
                    let page = reader.contents_page(cursor, None, max).unwrap();
                    joined.push_str(&page.text);
                    next = page.next;
                }
                assert_eq!(joined, text, "pages of {max}");
            }
        });
    }
}

#[test]
fn an_empty_log_is_readable() {
    finished_forms(LogKind::Stream, &[(Stdout, b"")], |reader| {
        assert_eq!(
            (reader.num_lines(), reader.raw_bytes(), reader.is_finished()),
            (0, 0, true)
        );
        assert_eq!(raw(reader), b"");
        assert_eq!(contents(reader, 0, None), "");
        assert_eq!(reader.tail(5, 100).unwrap().lines, []);
        assert_eq!(reader.partials(10).unwrap(), []);
    });
}

#[test]
fn what_was_consumed_is_dropped() {
    let (_dir, store) = store(Options::default());
    let mut writer = LogWriter::create(&store, 1, 1, LogKind::Text);
    writer.append(at(1, 0), Stdout, b"0123456789").unwrap();
    writer.append(at(1, 0), Stdout, b"0123456789").unwrap();
    writer.append(at(1, 4), Stdout, b"456789ab").unwrap();
    writer.append(at(0, 99), Stdout, b"an older effect").unwrap();
    writer.append(at(1, 3), Stdout, b"").unwrap();
    assert_eq!(writer.accepted(), at(1, 12));
    assert_eq!(writer.position(), Position::default(), "nothing is flushed yet");
    // Other logs took the bytes between.
    writer.append(at(1, 20), Stdout, b"c").unwrap();
    writer.append(at(3, 0), Stdout, b"d\n").unwrap();
    writer.append(at(1, 20), Stdout, b"c").unwrap();
    assert_eq!(writer.flush().unwrap().position, at(3, 2));
    assert_eq!(raw(&writer.live().reader()), b"0123456789abcd\n");
}

#[test]
fn redacted_chunks_count_source_bytes_and_stay_whole() {
    let (_dir, store) = store(tiny());
    let mut writer = LogWriter::create(&store, 1, 1, LogKind::Text);
    writer
        .append_as(at(0, 0), 20, Stdout, b"password: <hidden>\n")
        .unwrap();
    writer
        .append_as(at(0, 0), 20, Stdout, b"password: <hidden>\n")
        .unwrap();
    assert_eq!(writer.accepted(), at(0, 20));
    let overlap = writer.append_as(at(0, 10), 20, Stdout, b"x").unwrap_err();
    assert!(matches!(overlap, LogError::Overlap { reached, .. } if reached == at(0, 20)));
    assert_eq!(
        writer.accepted().consumed_of(at(0, 10), 20),
        10,
        "that is what must be dropped first"
    );
    let big = vec![b'y'; 3000];
    writer.append_as(at(0, 20), 1, Stdout, &big).unwrap();
    writer.append_as(at(0, 21), 5, Stdout, b"").unwrap();
    assert_eq!(writer.flush().unwrap().position, at(0, 26));
    writer.append(at(1, 0), Stdout, b"\n").unwrap();
    let too_large = writer
        .append_as(at(2, 0), 1, Stdout, &vec![0; MAX_CHUNK + 1])
        .unwrap_err();
    assert!(matches!(too_large, LogError::ChunkTooLarge { len } if len == MAX_CHUNK + 1));
    writer
        .append_as(at(2, 0), 1, Stdout, &vec![b'z'; MAX_CHUNK])
        .unwrap();
    let finished = writer.finish().unwrap();
    let wanted = [
        b"password: <hidden>\n".as_slice(),
        &big,
        b"\n",
        &vec![b'z'; MAX_CHUNK],
    ]
    .concat();
    assert!(raw(&open_finished(&store, 1, 1, &finished)) == wanted);
    assert_eq!(store.verify(1).unwrap().findings, []);
}

#[test]
fn ended_lines_stay_apart_and_ending_twice_changes_nothing() {
    let (_dir, store) = store(Options::default());
    let mut writer = LogWriter::create(&store, 1, 1, LogKind::Stream);
    writer.append(at(1, 0), Stderr, b"e").unwrap();
    writer.append(at(1, 1), Stdout, b"o").unwrap();
    writer.end_lines(at(1, 2)).unwrap();
    writer.end_lines(at(1, 2)).unwrap();
    writer.append(at(2, 0), Stdout, b"next").unwrap();
    writer.end_lines(at(1, 2)).unwrap();
    writer.append(at(2, 4), Stdout, b" one").unwrap();
    writer.finish().unwrap();
    let reader = writer.live().reader();
    assert_eq!(contents(&reader, 0, None), "ee\noo\nonext one\n");
    assert_eq!(raw(&reader), b"e\no\nnext one");
}

#[test]
fn partial_lines_are_seen_but_not_counted() {
    for inline_limit in [0, 1000] {
        let (_dir, store) = store(Options {
            inline_limit,
            ..tiny()
        });
        let mut writer = LogWriter::create(&store, 1, 1, LogKind::Stream);
        let live = writer.live();
        writer.append(at(0, 0), Stdout, b"done\nprogress .").unwrap();
        assert_eq!(live.num_lines(), 0, "nothing is flushed");
        writer.flush().unwrap();
        writer.append(at(0, 15), Stderr, b"?").unwrap();
        writer.append(at(0, 16), Stdout, b"...").unwrap();
        writer.flush().unwrap();
        assert_eq!(
            (live.num_lines(), live.raw_bytes(), live.is_finished()),
            (1, 5, false)
        );
        let partial = |stream, len, tail: &[u8]| PartialLine {
            stream,
            len,
            tail: tail.to_vec(),
        };
        assert_eq!(
            live.reader().partials(5).unwrap(),
            [partial(Stdout, 13, b" ...."), partial(Stderr, 1, b"?")]
        );
        assert_eq!(raw(&live.reader()), b"done\n");
        writer.append(at(0, 19), Stdout, b"\n").unwrap();
        writer.flush().unwrap();
        assert_eq!(raw(&live.reader()), b"done\nprogress ....\n");
        assert_eq!(live.reader().partials(5).unwrap(), [partial(Stderr, 1, b"?")]);
        writer.finish().unwrap();
        assert!(live.is_finished());
        drop(writer);
        assert_eq!(raw(&live.reader()), b"done\nprogress ....\n?");
    }
}

#[test]
fn a_small_log_needs_no_file_and_a_grown_one_moves() {
    let (_dir, store) = store(Options::default());
    let mut writer = LogWriter::create(&store, 5, 9, LogKind::Text);
    writer.append(at(0, 0), Stdout, b"small\npart").unwrap();
    let flushed = writer.flush().unwrap();
    assert_eq!(
        (flushed.place, flushed.durable, flushed.num_lines),
        (Place::Memory, false, 1)
    );
    let inline = writer.snapshot_inline().unwrap().unwrap();
    assert_eq!(
        (inline.num_lines, inline.raw_bytes, inline.position),
        (1, 6, at(0, 10))
    );
    assert!(!store.path(5).exists());

    // Restoring gives the same reader and the same writer.
    let reader = LogReader::open(&store, LogSource::Inline(&inline.bytes)).unwrap();
    assert_eq!((raw(&reader), reader.is_finished()), (b"small\n".to_vec(), false));
    let (mut again, resumed) = LogWriter::resume(&store, 5, 9, LogKind::Text, Some(&inline.bytes)).unwrap();
    assert_eq!(
        (resumed.position, resumed.num_lines, resumed.finished),
        (at(0, 10), 1, false)
    );
    assert_eq!(again.snapshot_inline().unwrap(), Some(inline));
    drop(writer);

    let big = vec![b'x'; 20_000];
    again.append(at(0, 10), Stdout, &big).unwrap();
    let flushed = again.flush().unwrap();
    assert_eq!((flushed.place, flushed.durable), (Place::File, false));
    assert!(again.sync().unwrap().durable);
    assert_eq!(again.durable(), at(0, 20_010));
    assert_eq!(again.snapshot_inline().unwrap(), None);
    let finished = again.finish().unwrap();
    assert_eq!(finished.storage, FinishedStorage::File);
    assert_eq!(
        raw(&open_finished(&store, 5, 9, &finished)),
        [b"small\npart".as_slice(), &big].concat()
    );
}

#[test]
fn a_finished_log_takes_nothing_new_but_old_bytes_again() {
    let inline = Options::default();
    for options in [
        inline.clone(),
        Options {
            inline_limit: 0,
            ..inline
        },
    ] {
        let (_dir, store) = store(options);
        let mut writer = LogWriter::create(&store, 1, 1, LogKind::Text);
        writer.append(at(0, 0), Stdout, b"abc").unwrap();
        let finished = writer.finish().unwrap();
        writer.append(at(0, 1), Stdout, b"bc").unwrap();
        writer.end_lines(at(0, 3)).unwrap();
        assert_eq!(writer.finish().unwrap(), finished);
        for result in [writer.append(at(0, 2), Stdout, b"cd"), writer.end_lines(at(1, 0))] {
            assert!(matches!(result, Err(LogError::Finished { log_id: 1 })));
        }
        drop(writer);
        let row = if let FinishedStorage::Inline(bytes) = &finished.storage {
            Some(&bytes[..])
        } else {
            None
        };
        let (mut writer, resumed) = LogWriter::resume(&store, 1, 1, LogKind::Text, row).unwrap();
        assert!(resumed.finished && writer.live().is_finished());
        assert_eq!(writer.finish().unwrap(), finished);
        assert!(writer.append(at(0, 3), Stdout, b"d").is_err());
    }
}

#[test]
fn a_writer_may_be_taken_up_while_the_file_stays_open() {
    let (_dir, store) = store(Options {
        inline_limit: 0,
        ..Options::default()
    });
    let mut other = LogWriter::create(&store, 1, 2, LogKind::Text);
    other.append(at(0, 0), Stdout, b"other").unwrap();
    other.flush().unwrap();
    let mut writer = LogWriter::create(&store, 1, 1, LogKind::Text);
    writer.append(at(0, 0), Stdout, b"one\n").unwrap();
    writer.flush().unwrap();
    drop(writer);
    let (mut writer, resumed) = LogWriter::resume(&store, 1, 1, LogKind::Text, None).unwrap();
    assert_eq!(resumed.position, at(0, 4));
    writer.append(at(0, 0), Stdout, b"one\ntwo\n").unwrap();
    writer.finish().unwrap();
    other.finish().unwrap();
    for (log_id, wanted) in [(1, b"one\ntwo\n".as_slice()), (2, b"other")] {
        let reader = LogReader::open(&store, LogSource::File { key: 1, log_id }).unwrap();
        assert_eq!(raw(&reader), wanted);
    }
}

#[test]
fn many_logs_share_a_file_that_retention_removes() {
    let (_dir, store) = store(tiny());
    assert_eq!(store.keys().unwrap(), []);
    for key in [3, 259, 1 << 40] {
        let mut writers: Vec<LogWriter> = (0..20)
            .map(|id| LogWriter::create(&store, key, id, LogKind::Text))
            .collect();
        for round in 0..30_u32 {
            for writer in &mut writers {
                let line = format!("log {} line {round}\n", writer.log_id());
                writer.append(at(round, 0), Stdout, line.as_bytes()).unwrap();
            }
        }
        for writer in &mut writers {
            assert_eq!(writer.finish().unwrap().storage, FinishedStorage::File);
        }
        for log_id in 0..20 {
            let reader = LogReader::open(&store, LogSource::File { key, log_id }).unwrap();
            let wanted = text_of(0..30, |round| format!("log {log_id} line {round}\n"));
            assert_eq!(raw(&reader), wanted.as_bytes());
        }
    }
    assert_eq!(
        store.path(259).parent(),
        store.path(3).parent(),
        "the shard is the lowest byte"
    );
    assert_eq!(store.keys().unwrap(), [3, 259, 1 << 40]);
    let source = LogSource::File { key: 3, log_id: 7 };
    let reader = LogReader::open(&store, source).unwrap();
    assert!(store.remove(3).unwrap());
    assert!(!store.remove(3).unwrap());
    assert_eq!(raw(&reader).len(), 30 * 13 + 20, "who has it open reads on");
    assert!(matches!(
        LogReader::open(&store, source),
        Err(LogError::NoSuchLog { log_id: 7, .. })
    ));
    let missing = LogReader::open(&store, LogSource::File { key: 259, log_id: 77 });
    assert!(matches!(missing, Err(LogError::NoSuchLog { log_id: 77, .. })));
    assert_eq!(store.keys().unwrap(), [259, 1 << 40]);
}

#[test]
fn pages_and_tails_say_where_they_stop() {
    let (_dir, store) = store(tiny());
    let mut writer = LogWriter::create(&store, 1, 1, LogKind::Text);
    let text = text_of(0..500, |n| format!("line {n}\n"));
    writer.append(at(0, 0), Stdout, text.as_bytes()).unwrap();
    writer.finish().unwrap();
    let reader = writer.live().reader();
    let tail = reader.tail(3, 1 << 20).unwrap();
    let numbers: Vec<u64> = tail.lines.iter().map(|line| line.number).collect();
    assert_eq!((numbers, tail.next), (vec![497, 498, 499], None));
    assert_eq!(tail.lines[0].bytes, b"line 497");
    let page = reader.lines(LineCursor::line(100), 10, 1 << 20).unwrap();
    assert_eq!(
        (page.lines.len(), page.next),
        (10, None),
        "a whole range has no continuation"
    );
    let page = reader.lines(LineCursor::line(100), 10, 30).unwrap();
    assert_eq!(page.next, Some(LineCursor { line: 101, offset: 6 }));
    let beyond = reader
        .lines(
            LineCursor {
                line: 100,
                offset: 99,
            },
            2,
            100,
        )
        .unwrap();
    assert_eq!(
        (beyond.lines[0].offset, beyond.lines[0].complete),
        (8, true),
        "at the end of the line"
    );
    assert_eq!(beyond.lines[1].bytes, b"line 101");
    let mut part = String::new();
    reader
        .raw_range(5, 12)
        .unwrap()
        .read_to_string(&mut part)
        .unwrap();
    assert_eq!(part, "0\nline ");
}

#[test]
fn handles_cross_threads() {
    fn send<T: Send>() {}
    fn sync<T: Send + Sync>() {}
    send::<LogWriter>();
    send::<ironmaster_logs::RawReader>();
    send::<ironmaster_logs::ContentsReader>();
    send::<ironmaster_logs::LineStream>();
    sync::<LogStore>();
    sync::<LogReader>();
    sync::<ironmaster_logs::LiveLog>();
    sync::<LogError>();
}
