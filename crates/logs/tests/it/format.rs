//! The bytes of a file, so that a change of the format is noticed.

use ironmaster_logs::{LogKind, LogReader, LogSource, LogWriter, Options, Stream};

use crate::support::{at, raw, store};

/// A file as `docs/logs-format.md` describes it, put together by hand (zstd with a raw block, as the format allows).
fn by_hand() -> Vec<u8> {
    let record = |kind: u8, flags: u8, meta: &[u8], payload: &[u8]| {
        let mut bytes = b"IML1".to_vec();
        bytes.extend_from_slice(&[kind, flags]);
        bytes.extend_from_slice(&(meta.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
        let crc = crc32fast::hash(&[&bytes, meta].concat());
        bytes.extend_from_slice(&crc.to_le_bytes());
        [&bytes, meta, payload].concat()
    };
    // zstd: magic, no checksum and no sizes, window of 1 KiB; then one raw block each.
    let entries = b"\x01\x05err\nx\x05\x02\x07\x01y\n";
    let mut payload = b"\x28\xb5\x2f\xfd\x00\x00".to_vec();
    payload.extend_from_slice(&((entries.len() as u32) << 3).to_le_bytes()[..3]);
    payload.extend_from_slice(entries);
    // Log 200, kind s; frame_back, store, lines, raw; lengths of those; no open line; position 3, 300.
    let meta = b"\xc8\x01s\x00\x00\x00\x00\x0d\x02\x07\x00\x03\xac\x02";
    record(1, 3, meta, &payload)
}

#[test]
fn a_file_made_by_hand_is_read() {
    let (_dir, store) = store(Options::default());
    std::fs::create_dir_all(store.path(1).parent().unwrap()).unwrap();
    std::fs::write(store.path(1), by_hand()).unwrap();
    let report = store.verify(1).unwrap();
    assert_eq!(
        (report.findings, report.torn_bytes, report.records),
        (vec![], 0, 1)
    );
    let reader = LogReader::open(&store, LogSource::File { key: 1, log_id: 200 }).unwrap();
    assert_eq!(
        (reader.num_lines(), reader.position(), reader.kind()),
        (2, at(3, 300), LogKind::Stream)
    );
    assert_eq!(raw(&reader), b"err\nxy\n");
}

#[test]
fn a_written_file_begins_as_documented() {
    let (_dir, store) = store(Options {
        inline_limit: 0,
        ..Options::default()
    });
    let mut writer = LogWriter::create(&store, 1, 200, LogKind::Stream);
    writer.append(at(3, 0), Stream::Stderr, b"err\nx").unwrap();
    writer.append(at(3, 5), Stream::Header, b"y").unwrap();
    writer.flush().unwrap();
    let bytes = std::fs::read(store.path(1)).unwrap();
    assert_eq!(&bytes[..8], b"IML1\x01\x03\x11\x00");
    // 10 stored bytes with 1 line of 4; stderr and header have a byte of a line each, from store offsets 0 and 7 on.
    assert_eq!(
        &bytes[20..37],
        b"\xc8\x01s\x00\x00\x00\x00\x0a\x01\x04\x06\x00\x01\x07\x01\x03\x06"
    );
}
