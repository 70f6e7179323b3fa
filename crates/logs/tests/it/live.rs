//! Readers beside a writer.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use ironmaster_logs::{LogError, LogKind, LogReader, LogSource, LogWriter, Stream};

use crate::support::{at, contents, lines, raw, store, tiny};

fn line(n: u64) -> String {
    format!("line {n} {}\n", "x".repeat(n as usize % 50))
}

/// What a reader finds must be the beginning of the log, and never less than before.
fn check_prefix(reader: &LogReader) -> u64 {
    let count = reader.num_lines();
    let wanted: String = (0..count).map(line).collect();
    assert_eq!(raw(reader), wanted.as_bytes());
    assert_eq!(
        contents(reader, count.saturating_sub(3), None),
        (count.saturating_sub(3)..count).map(line).collect::<String>()
    );
    if let Some(middle) = (count / 2).checked_sub(1) {
        let page = lines(reader, middle, 1, 1000);
        assert_eq!(page[0].1, line(middle).trim_end_matches('\n').as_bytes());
    }
    count
}

#[test]
fn readers_see_a_growing_beginning_of_the_log() {
    const LINES: u64 = 2000;
    let (_dir, store) = store(tiny());
    let mut writer = LogWriter::create(&store, 1, 1, LogKind::Text);
    let live = writer.live();
    let done = Arc::new(AtomicBool::new(false));
    let start = Arc::new(Barrier::new(3));
    let by_view = {
        let (live, done, start) = (live.clone(), Arc::clone(&done), Arc::clone(&start));
        thread::spawn(move || {
            start.wait();
            let mut seen = 0;
            loop {
                let last = done.load(Ordering::SeqCst);
                let count = check_prefix(&live.reader());
                assert!(count >= seen);
                seen = count;
                if last {
                    return seen;
                }
            }
        })
    };
    let by_file = {
        let (store, done, start) = (store.clone(), Arc::clone(&done), Arc::clone(&start));
        thread::spawn(move || {
            start.wait();
            let mut seen = 0;
            loop {
                let last = done.load(Ordering::SeqCst);
                match LogReader::open(&store, LogSource::File { key: 1, log_id: 1 }) {
                    Ok(reader) => {
                        let count = check_prefix(&reader);
                        assert!(count >= seen);
                        seen = count;
                    }
                    Err(LogError::NoSuchLog { .. }) => assert_eq!(seen, 0),
                    Err(error) => panic!("{error}"),
                }
                if last {
                    return seen;
                }
            }
        })
    };
    // Readers opened before the log grew go on to read what they saw.
    let early = live.reader();
    start.wait();
    let mut offset = 0;
    for n in 0..LINES {
        let text = line(n);
        let (first, second) = text.split_at(text.len() / 2);
        writer
            .append(at(0, offset), Stream::Stdout, first.as_bytes())
            .unwrap();
        if n % 7 == 0 {
            writer.flush().unwrap();
        }
        writer
            .append(
                at(0, offset + first.len() as u64),
                Stream::Stdout,
                second.as_bytes(),
            )
            .unwrap();
        offset += text.len() as u64;
    }
    writer.finish().unwrap();
    done.store(true, Ordering::SeqCst);
    assert_eq!(by_view.join().unwrap(), LINES);
    assert_eq!(by_file.join().unwrap(), LINES);
    assert_eq!(early.num_lines(), 0);
    assert_eq!(raw(&early), b"");
    drop(writer);
    assert_eq!(check_prefix(&live.reader()), LINES);
}

#[test]
fn logs_of_one_build_are_written_from_several_threads() {
    let (_dir, store) = store(tiny());
    thread::scope(|scope| {
        for log_id in 0..4 {
            let store = store.clone();
            scope.spawn(move || {
                let mut writer = LogWriter::create(&store, 9, log_id, LogKind::Text);
                let mut offset = 0;
                for n in 0..300 {
                    let text = line(n + log_id);
                    writer
                        .append(at(0, offset), Stream::Stdout, text.as_bytes())
                        .unwrap();
                    offset += text.len() as u64;
                    if n % 100 == 99 {
                        assert!(writer.sync().unwrap().durable);
                    }
                }
                writer.finish().unwrap();
            });
        }
    });
    for log_id in 0..4 {
        let reader = LogReader::open(&store, LogSource::File { key: 9, log_id }).unwrap();
        assert_eq!(
            raw(&reader),
            (0..300).map(|n| line(n + log_id)).collect::<String>().as_bytes()
        );
    }
    let report = store.verify(9).unwrap();
    assert_eq!(
        (report.findings, report.torn_bytes, report.logs.len()),
        (vec![], 0, 4)
    );
}
