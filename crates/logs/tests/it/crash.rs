//! Random logs with crashes, compared with the naive model.

use ironmaster_logs::{LogKind, LogReader, LogSource, LogStore, LogWriter, Position, Stream};
use proptest::{collection::vec, prelude::*, sample::select};

use crate::support::{Item, Model, at, check_all, feed, open_finished, store, tiny};

/// What happens while two logs of one build are written.
#[derive(Debug, Clone)]
enum Step {
    /// Gives the next `n` items of log `log` to its writer.
    Feed {
        log: usize,
        n: usize,
    },
    Flush(usize),
    Sync(usize),
    Rest(usize),
    /// Commits the snapshot of a log in memory, as the database would.
    Commit(usize),
    /// A reader looks at what is there.
    Look(usize),
    /// The process ends; of the file stays this part of what was not synced. The source then goes on `back`
    /// items before where it must.
    Crash {
        keep: f64,
        back: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let log = 0..2_usize;
    prop_oneof![
        6 => (log.clone(), 1..6_usize).prop_map(|(log, n)| Step::Feed { log, n }),
        3 => log.clone().prop_map(Step::Flush),
        1 => log.clone().prop_map(Step::Sync),
        1 => log.clone().prop_map(Step::Rest),
        1 => log.clone().prop_map(Step::Commit),
        1 => log.prop_map(Step::Look),
        2 => (0.0..=1.0, 0..10_usize).prop_map(|(keep, back)| Step::Crash { keep, back }),
    ]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let parts = select(vec![
        b"\n".to_vec(),
        b"a".to_vec(),
        b"bcd".to_vec(),
        b"\r\n".to_vec(),
        b"\xff".to_vec(),
        b"\xe2\x82".to_vec(),
        b"\xac".to_vec(),
        b"line of text\n".to_vec(),
        vec![b'x'; 130],
    ]);
    vec(parts, 0..5).prop_map(|parts| parts.concat())
}

/// What a source does: bytes of several effects, and now and then the end of one.
fn items() -> impl Strategy<Value = Vec<Item>> {
    let stream = select(Stream::ALL.to_vec());
    vec((stream, bytes(), 0..10_u8), 0..60).prop_map(|parts| {
        let (mut ordinal, mut offset) = (0, 0);
        let mut items = Vec::new();
        for (stream, bytes, what) in parts {
            let start = at(ordinal, offset);
            offset += bytes.len() as u64;
            items.push(Item::Bytes(start, stream, bytes));
            if what == 0 {
                items.push(Item::EndLines(at(ordinal, offset)));
            }
            if what <= 1 {
                (ordinal, offset) = (ordinal + 1, 0);
            }
        }
        items
    })
}

const KEY: u64 = 77;

struct Log {
    id: u64,
    items: Vec<Item>,
    next: usize,
    row: Option<Vec<u8>>,
    promised: Position,
    writer: Option<LogWriter>,
}

impl Log {
    fn resume(&mut self, store: &LogStore, back: usize) {
        let (writer, resumed) =
            LogWriter::resume(store, KEY, self.id, LogKind::Stream, self.row.as_deref()).unwrap();
        assert!(
            resumed.position >= self.promised,
            "{:?} was promised, {resumed:?} is left",
            self.promised
        );
        assert_eq!(writer.position(), resumed.position);
        self.promised = resumed.position;
        // The first item that is not wholly in the log, or an earlier one.
        let must = self
            .items
            .iter()
            .position(|item| match item {
                Item::Bytes(start, _, bytes) => {
                    resumed.position.consumed_of(*start, bytes.len() as u64) < bytes.len() as u64
                }
                Item::EndLines(start) => *start >= resumed.position,
            })
            .unwrap_or(self.items.len());
        self.next = must.min(self.next).saturating_sub(back);
        self.writer = Some(writer);
    }

    fn look(&self) {
        let writer = self.writer.as_ref().unwrap();
        let mut whole = Model::of(&self.items);
        whole.finish();
        let reader = writer.live().reader();
        let seen = usize::try_from(reader.num_lines()).unwrap();
        check_all(
            &reader,
            &Model {
                lines: whole.lines[..seen].to_vec(),
                ..Model::default()
            },
        );
        let partials = reader.partials(1000).unwrap();
        let len: u64 = partials.iter().map(|partial| partial.len).sum();
        let tails: usize = partials.iter().map(|partial| partial.tail.len()).sum();
        assert_eq!(len, tails as u64);
    }
}

fn run(scripts: [Vec<Item>; 2], steps: &[Step]) {
    let (_dir, mut store) = store(tiny());
    let root = store.path(KEY).parent().unwrap().parent().unwrap().to_owned();
    let mut synced = 0;
    let mut logs: Vec<Log> = scripts
        .into_iter()
        .zip([5, 6])
        .map(|(items, id)| Log {
            id,
            items,
            next: 0,
            row: None,
            promised: Position::default(),
            writer: None,
        })
        .collect();
    for log in &mut logs {
        log.resume(&store, 0);
    }
    for step in steps {
        match *step {
            Step::Feed { log, n } => {
                let log = &mut logs[log];
                for _ in 0..n {
                    if let Some(item) = log.items.get(log.next) {
                        feed(log.writer.as_mut().unwrap(), item);
                        log.next += 1;
                    }
                }
            }
            Step::Flush(log) => {
                let writer = logs[log].writer.as_mut().unwrap();
                let flushed = writer.flush().unwrap();
                assert_eq!(flushed.position, writer.accepted());
            }
            Step::Sync(log) => {
                let log = &mut logs[log];
                let flushed = log.writer.as_mut().unwrap().sync().unwrap();
                if flushed.durable {
                    log.promised = flushed.position;
                    synced = std::fs::metadata(store.path(KEY)).unwrap().len();
                }
            }
            Step::Rest(log) => logs[log].writer.as_mut().unwrap().rest().unwrap(),
            Step::Commit(log) => {
                let log = &mut logs[log];
                if let Some(inline) = log.writer.as_mut().unwrap().snapshot_inline().unwrap() {
                    log.promised = inline.position;
                    log.row = Some(inline.bytes);
                }
            }
            Step::Look(log) => logs[log].look(),
            Step::Crash { keep, back } => {
                for log in &mut logs {
                    log.writer = None;
                }
                drop(store);
                store = LogStore::open(&root, tiny()).unwrap();
                let path = store.path(KEY);
                if let Ok(file) = std::fs::OpenOptions::new().write(true).open(&path) {
                    let len = file.metadata().unwrap().len();
                    let left = synced + ((len - synced) as f64 * keep) as u64;
                    file.set_len(left).unwrap();
                }
                for log in &mut logs {
                    log.resume(&store, back);
                }
                synced = std::fs::metadata(&path).map_or(0, |data| data.len());
            }
        }
    }
    for log in &mut logs {
        let writer = log.writer.as_mut().unwrap();
        for item in &log.items[log.next..] {
            feed(writer, item);
        }
        let finished = writer.finish().unwrap();
        let mut model = Model::of(&log.items);
        model.finish();
        assert_eq!(finished.num_lines, model.lines.len() as u64);
        let reader = open_finished(&store, KEY, log.id, &finished);
        assert!(reader.is_finished());
        check_all(&reader, &model);
        check_all(&writer.live().reader(), &model);
        // Everything once more after a restart.
        let row = log.row.as_deref();
        log.writer = None;
        if matches!(finished.storage, ironmaster_logs::FinishedStorage::File) {
            let (mut again, resumed) = LogWriter::resume(&store, KEY, log.id, LogKind::Stream, row).unwrap();
            assert!(resumed.finished);
            for item in &log.items {
                feed(&mut again, item);
            }
            assert_eq!(again.finish().unwrap(), finished);
        }
    }
    if store.path(KEY).exists() {
        let report = store.verify(KEY).unwrap();
        assert_eq!(report.findings, []);
        assert_eq!(report.torn_bytes, 0);
        let ids: Vec<u64> = report.logs.iter().map(|log| log.log_id).collect();
        for id in ids {
            let reader = LogReader::open(&store, LogSource::File { key: KEY, log_id: id }).unwrap();
            assert_eq!(reader.kind(), LogKind::Stream);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::support::cases(40), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn logs_equal_the_model_through_crashes(
        one in items(),
        other in items(),
        steps in vec(step(), 0..60),
    ) {
        run([one, other], &steps);
    }
}
