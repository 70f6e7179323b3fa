//! One line of 1 GB: `cargo run --release -p ironmaster-logs --example long_line [MB]`. Prints memory and seek times.

use std::{io::Read, time::Instant};

use ironmaster_logs::{
    LineCursor, LogError, LogKind, LogReader, LogSource, LogStore, LogWriter, Options, Position, Stream,
};

fn peak_rss() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap_or_default()
        .to_owned()
}

/// Bytes of the line from `offset` on.
fn chunk(offset: u64, len: u64) -> Vec<u8> {
    (offset..offset + len)
        .map(|n| b'a' + ((n ^ (n >> 9) ^ (n >> 17)) % 26) as u8)
        .collect()
}

fn main() -> Result<(), LogError> {
    const CHUNK: u64 = 64 * 1024;
    let size = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(1000_u64)
        * 1_000_000;
    let dir = std::env::temp_dir().join(format!("ironmaster-logs-long-line-{}", std::process::id()));
    let store = LogStore::open(&dir, Options::default())?;
    println!("at start: {}", peak_rss());
    let mut writer = LogWriter::create(&store, 1, 1, LogKind::Stream);
    let mut offset = 0;
    while offset < size {
        writer.append(Position::new(0, offset), Stream::Stdout, &chunk(offset, CHUNK))?;
        offset += CHUNK;
    }
    let finished = writer.finish()?;
    println!(
        "written {offset} bytes as {} line: {}",
        finished.num_lines,
        peak_rss()
    );
    let reader = LogReader::open(&store, LogSource::File { key: 1, log_id: 1 })?;
    for place in [0, offset / 2, offset - 100] {
        let begin = Instant::now();
        let page = reader.lines(
            LineCursor {
                line: 0,
                offset: place,
            },
            1,
            100,
        )?;
        assert_eq!(page.lines[0].bytes, chunk(place, 100));
        println!("100 bytes from {place} on: {:?}", begin.elapsed());
    }
    let (mut raw, mut at) = (reader.raw()?, 0_u64);
    let mut buf = vec![0; CHUNK as usize];
    while at < offset {
        let len = raw.read(&mut buf).unwrap_or_default();
        assert!(
            len > 0 && buf[..len] == chunk(at, len as u64),
            "raw download differs at {at}"
        );
        at += len as u64;
    }
    println!("downloaded: {}", peak_rss());
    let _ = std::fs::remove_dir_all(&dir);
    Ok(())
}
