//! Lines longer than anything that is kept in memory.

use std::io::Read;

use ironmaster_logs::{LineCursor, LogKind, LogReader, LogSource, LogWriter, Options, Stream};

use crate::support::{Item, Model, at, check_all, feed, open_finished, store, tiny};

/// Most memory this process ever had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Byte `n` of a long line: no newline, hard to mistake for another place.
fn byte(n: u64) -> u8 {
    b'a' + ((n ^ (n >> 8) ^ (n >> 16)) % 26) as u8
}

/// 64 MiB of one line of stdout, with lines of stderr all the while: memory stays what it is for a small log, and
/// any place is found without reading what is before it.
#[test]
fn a_line_of_64_mib_takes_constant_memory() {
    const LEN: u64 = 64 << 20;
    const CHUNK: u64 = 256 << 10;
    let (_dir, store) = store(Options::default());
    let mut writer = LogWriter::create(&store, 1, 1, LogKind::Stream);
    let before = peak();
    let mut offset = 0;
    let mut written = 0;
    let mut errors = 0;
    while written < LEN {
        let chunk: Vec<u8> = (written..written + CHUNK).map(byte).collect();
        writer.append(at(0, offset), Stream::Stdout, &chunk).unwrap();
        (offset, written) = (offset + CHUNK, written + CHUNK);
        let line = format!("at {written}\n");
        writer
            .append(at(0, offset), Stream::Stderr, line.as_bytes())
            .unwrap();
        (offset, errors) = (offset + line.len() as u64, errors + 1);
        if errors == 100 {
            writer.flush().unwrap();
            let reader = writer.live().reader();
            assert_eq!(reader.num_lines(), 100);
            let partial = &reader.partials(10).unwrap()[0];
            assert_eq!(partial.len, written);
            assert_eq!(
                partial.tail,
                (written - 10..written).map(byte).collect::<Vec<u8>>()
            );
        }
    }
    let finished = writer.finish().unwrap();
    assert_eq!(finished.num_lines, errors + 1);
    drop(writer);

    let reader = LogReader::open(&store, LogSource::File { key: 1, log_id: 1 }).unwrap();
    let begin = finished.raw_bytes - LEN;
    for place in [0, 1, LEN / 3, LEN - 20] {
        let mut part = Vec::new();
        reader
            .raw_range(begin + place, begin + place + 20)
            .unwrap()
            .read_to_end(&mut part)
            .unwrap();
        assert_eq!(part, (place..place + 20).map(byte).collect::<Vec<u8>>());
        let page = reader
            .lines(
                LineCursor {
                    line: errors,
                    offset: place,
                },
                1,
                if place == LEN - 20 { 40 } else { 20 },
            )
            .unwrap();
        assert_eq!((page.lines[0].offset, &page.lines[0].bytes), (place, &part));
        assert_eq!(page.lines[0].complete, place == LEN - 20);
    }
    let mut raw = reader.raw_range(begin, u64::MAX).unwrap();
    let mut at = 0;
    loop {
        let chunk = raw.chunk().unwrap();
        if chunk.is_empty() {
            break;
        }
        assert!(chunk.iter().zip(at..).all(|(found, n)| *found == byte(n)));
        at += chunk.len() as u64;
    }
    assert_eq!(at, LEN);
    let grown = peak() - before;
    assert!(grown < LEN / 4, "{grown} bytes more memory for a line of {LEN}");
}

/// The same at a scale where every block, mark and frame boundary falls inside lines of all streams at once.
#[test]
fn long_lines_of_all_streams_interleave() {
    let (_dir, store) = store(tiny());
    let mut items = Vec::new();
    let mut offset = 0;
    for round in 0..400_u64 {
        let stream = Stream::ALL[(round % 4) as usize];
        let mut bytes: Vec<u8> = (0..37 + round % 91).map(|n| byte(n + round * 100)).collect();
        if round % 57 == 0 {
            bytes.insert(5, b'\n');
        }
        let len = bytes.len() as u64;
        items.push(Item::Bytes(at(0, offset), stream, bytes));
        offset += len;
    }
    let mut writer = LogWriter::create(&store, 1, 1, LogKind::Stream);
    for item in &items {
        feed(&mut writer, item);
    }
    let finished = writer.finish().unwrap();
    let mut model = Model::of(&items);
    model.finish();
    assert!(model.lines.iter().any(|(_, line)| line.len() > 4000));
    check_all(&open_finished(&store, 1, 1, &finished), &model);
    assert_eq!(store.verify(1).unwrap().findings, []);
}
