//! Files that nobody wrote like that: never a panic, never a wrong success that `verify` would not notice.

use ironmaster_logs::{LineCursor, LogKind, LogReader, LogSource, LogStore, LogWriter, Options, Stream};
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::support::{at, cases, store, tiny};

const KEY: u64 = 1;

/// A file with two logs, one finished, one not.
fn sample() -> Vec<u8> {
    let (_dir, store) = store(tiny());
    let mut one = LogWriter::create(&store, KEY, 1, LogKind::Stream);
    let mut two = LogWriter::create(&store, KEY, 2, LogKind::Text);
    for n in 0..40_u32 {
        let text = format!("line {n}{}", if n % 3 == 0 { "" } else { "\n" });
        one.append(at(n, 0), Stream::ALL[n as usize % 4], text.as_bytes())
            .unwrap();
        two.append(at(n, 0), Stream::Stdout, text.as_bytes()).unwrap();
    }
    two.finish().unwrap();
    one.flush().unwrap();
    std::fs::read(store.path(KEY)).unwrap()
}

/// Everything a reader can be asked; the answers may be errors.
fn read_all(reader: &LogReader) {
    let mut len = 0;
    if let Ok(mut raw) = reader.raw() {
        while let Ok(chunk) = raw.chunk() {
            if chunk.is_empty() {
                assert_eq!(len, reader.raw_bytes(), "a download that succeeds is whole");
                break;
            }
            len += chunk.len() as u64;
        }
    }
    if let Ok(mut contents) = reader.contents(0, Some(1000)) {
        while contents.chunk().is_ok_and(|text| !text.is_empty()) {}
    }
    for line in [0, 1, 7, 20, 1 << 40, u64::MAX] {
        let _ = reader.lines(
            LineCursor {
                line,
                offset: line % 5,
            },
            10,
            500,
        );
        let _ = reader.contents_page(LineCursor::line(line), Some(3), 50);
        let _ = reader
            .raw_range(line, line.saturating_add(9))
            .map(|mut raw| raw.chunk().map(<[u8]>::len));
    }
    let _ = reader.tail(5, 100);
    let _ = reader.partials(100);
}

fn use_file(bytes: &[u8]) {
    let (_dir, store) = store(Options {
        inline_limit: 0,
        ..tiny()
    });
    std::fs::create_dir_all(store.path(KEY).parent().unwrap()).unwrap();
    std::fs::write(store.path(KEY), bytes).unwrap();
    store.verify(KEY).unwrap();
    for log_id in [1, 2] {
        if let Ok(reader) = LogReader::open(&store, LogSource::File { key: KEY, log_id }) {
            read_all(&reader);
        }
    }
    let report = store.verify(KEY).unwrap();
    for log_id in [1, 2] {
        let Ok((mut writer, resumed)) = LogWriter::resume(&store, KEY, log_id, LogKind::Text, None) else {
            continue;
        };
        read_all(&writer.live().reader());
        if !resumed.finished {
            let _ = writer.append(at(1000, 0), Stream::Stdout, b"goes on\n");
        }
        let _ = writer.finish();
        read_all(&writer.live().reader());
    }
    if report.findings.is_empty() {
        assert_eq!(
            store.verify(KEY).unwrap().findings,
            [],
            "a sound file stays sound"
        );
    }
}

#[derive(Debug, Clone)]
enum Change {
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
    Cut(Index),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<Index>(), 1..=255_u8).prop_map(|(at, bits)| Change::Flip(at, bits)),
        (any::<Index>(), vec(any::<u8>(), 1..20)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (any::<Index>(), 1..200_usize).prop_map(|(at, len)| Change::Remove(at, len)),
        (any::<Index>(), 1..200_usize).prop_map(|(at, len)| Change::Repeat(at, len)),
        any::<Index>().prop_map(Change::Cut),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    if bytes.is_empty() {
        return;
    }
    match change {
        Change::Flip(at, bits) => {
            let at = at.index(bytes.len());
            bytes[at] ^= bits;
        }
        Change::Insert(at, new) => {
            let at = at.index(bytes.len());
            bytes.splice(at..at, new.iter().copied());
        }
        Change::Remove(at, len) => {
            let at = at.index(bytes.len());
            bytes.drain(at..(at + len).min(bytes.len()));
        }
        Change::Repeat(at, len) => {
            let at = at.index(bytes.len());
            let part = bytes[at..(at + len).min(bytes.len())].to_vec();
            bytes.splice(at..at, part);
        }
        Change::Cut(at) => bytes.truncate(at.index(bytes.len())),
    }
}

/// Makes the checksums of all records right again, as far as records can be made out, so that what is behind them gets
/// tested too.
fn mend(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(head) = bytes.get(at..at + 20) {
        let meta_len = usize::from(u16::from_le_bytes([head[6], head[7]]));
        let payload_len = u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize;
        let payload_at = at + 20 + meta_len;
        if head[..4] != *b"IML1" || payload_at > bytes.len() {
            at += 1;
            continue;
        }
        let end = payload_at.saturating_add(payload_len).min(bytes.len());
        let crc = crc32fast::hash(&bytes[payload_at..end]);
        bytes[at + 12..at + 16].copy_from_slice(&crc.to_le_bytes());
        let crc = crc32fast::hash(&[&bytes[at..at + 16], &bytes[at + 20..payload_at]].concat());
        bytes[at + 16..at + 20].copy_from_slice(&crc.to_le_bytes());
        at = end;
    }
}

#[test]
fn the_sample_itself_is_sound() {
    let mut mended = sample();
    mend(&mut mended);
    assert_eq!(mended, sample(), "mending changes nothing in a sound file");
    use_file(&mended);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(150), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_files_never_panic(changes in vec(change(), 1..4), mended in any::<bool>()) {
        let mut bytes = sample();
        for change in &changes {
            apply(&mut bytes, change);
        }
        if mended {
            mend(&mut bytes);
        }
        use_file(&bytes);
    }

    #[test]
    fn random_files_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        use_file(&bytes);
        let (_dir, store) = store(tiny());
        prop_assert!(LogReader::open(&store, LogSource::Inline(&bytes)).is_err());
    }

    #[test]
    fn changed_inline_logs_never_panic(changes in vec(change(), 1..4), text in "[ab\n]{0,60}") {
        let (_dir, store) = store(tiny());
        let bytes = inline(&store, &text);
        let mut changed = bytes.clone();
        for change in &changes {
            apply(&mut changed, change);
        }
        if let Some(body) = changed.len().checked_sub(4) {
            let crc = crc32fast::hash(&changed[..body]);
            changed[body..].copy_from_slice(&crc.to_le_bytes());
        }
        if let Ok(reader) = LogReader::open(&store, LogSource::Inline(&changed)) {
            read_all(&reader);
        }
        if let Ok((mut writer, _)) = LogWriter::resume(&store, 1, 1, LogKind::Stream, Some(&changed)) {
            let _ = writer.append(at(9, 0), Stream::Stdout, b"goes on\n");
            let _ = writer.finish();
            read_all(&writer.live().reader());
        }
    }
}

fn inline(store: &LogStore, text: &str) -> Vec<u8> {
    let mut writer = LogWriter::create(store, 1, 1, LogKind::Stream);
    for (n, part) in text.split_inclusive('a').enumerate() {
        writer
            .append(at(n as u32, 0), Stream::ALL[n % 4], part.as_bytes())
            .unwrap();
    }
    writer
        .snapshot_inline()
        .unwrap()
        .map(|inline| inline.bytes)
        .unwrap_or_default()
}
