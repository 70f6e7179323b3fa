//! Log files that a disk or a person has damaged.

use ironmaster_logs::{
    LineCursor, LogKind, LogReader, LogSource, LogStore, LogWriter, Options, Position, Stream,
};

const KEY: u64 = 1;

/// A file is verified, read, repaired, and written on. An input that begins with `make` stands for a whole file with
/// the rest as its text.
pub(crate) fn file(input: &[u8]) {
    let folder = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a folder");
    let options = Options {
        inline_limit: 0,
        block_bytes: 64,
        frame_bytes: 300,
        index_marks: 4,
        ..Options::default()
    };
    let store = LogStore::open(folder.path(), options.clone()).expect("a folder");
    let path = store.path(KEY);
    std::fs::create_dir_all(path.parent().expect("it has a folder")).expect("a folder");
    if let Some(text) = input.strip_prefix(b"make") {
        let mut writer = LogWriter::create(&store, KEY, 1, LogKind::Stream);
        writer
            .append(Position::new(0, 0), Stream::Stdout, text)
            .expect("it fits");
        writer.finish().expect("it fits");
        let mut bytes = std::fs::read(&path).unwrap_or_default();
        // Damaged in its middle, by what its own text says.
        if let (Some(at), Some(value)) = (text.first(), text.last()) {
            let middle = bytes.len() / 2 + usize::from(*at) % 32;
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= value;
            }
        }
        drop(writer);
        std::fs::write(&path, bytes).expect("it fits");
    } else {
        std::fs::write(&path, input).expect("it fits");
    }
    let store = LogStore::open(folder.path(), options).expect("a folder");
    let _ = store.verify(KEY);
    for log_id in [1, 2] {
        if let Ok(reader) = LogReader::open(&store, LogSource::File { key: KEY, log_id }) {
            read(&reader);
        }
        if let Ok((mut writer, resumed)) = LogWriter::resume(&store, KEY, log_id, LogKind::Stream, None)
            && !resumed.finished
            && writer.append(resumed.position, Stream::Stdout, b"more\n").is_ok()
            && writer.finish().is_ok()
            && let Ok(reader) = LogReader::open(&store, LogSource::File { key: KEY, log_id })
        {
            read(&reader);
        }
    }
    // A file that was repaired has no damage behind its end.
    if let Ok(report) = store.verify(KEY) {
        assert_eq!(report.torn_bytes, 0, "what is torn was cut");
    }
}

fn read(reader: &LogReader) {
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
    for line in [0, 1, 7, u64::MAX] {
        let _ = reader.lines(
            LineCursor {
                line,
                offset: line % 3,
            },
            10,
            500,
        );
    }
    let _ = reader.tail(5, 100);
}
