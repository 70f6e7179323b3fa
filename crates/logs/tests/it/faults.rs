//! Full disks, failing syncs, and what a crash leaves: nothing lost, nothing twice.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use ironmaster_logs::{
    Disk, DiskFile, FinishedStorage, LogError, LogKind, LogReader, LogSource, LogStore, LogWriter, OpenMode,
    Options, RealDisk, Stream,
};
use proptest::{collection::vec, prelude::*};

use crate::support::{Item, Model, at, cases, check_all, feed, open_finished, raw, store, tiny};

/// A disk that does as it is told.
#[derive(Debug, Clone, Default)]
struct Faulty(Arc<Orders>);

#[derive(Debug, Default)]
struct Orders {
    /// Bytes that may still be written; None for any number.
    room: Mutex<Option<usize>>,
    truncate_fails: AtomicBool,
    sync_fails: AtomicBool,
    syncs: AtomicUsize,
    dir_syncs: Mutex<Vec<PathBuf>>,
}

#[derive(Debug)]
struct FaultyFile(Box<dyn DiskFile>, Arc<Orders>);

impl Disk for Faulty {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        if mode == OpenMode::Create && !path.exists() && *self.0.room.lock().unwrap() == Some(0) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(Box::new(FaultyFile(
            RealDisk.open(path, mode)?,
            Arc::clone(&self.0),
        )))
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.dir_syncs.lock().unwrap().push(path.to_owned());
        RealDisk.sync_dir(path)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        RealDisk.list(path)
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        // Short reads are allowed, so give them.
        let len = buf.len().min(1000);
        self.0.read_at(&mut buf[..len], offset)
    }
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut room = self.1.room.lock().unwrap();
        let fits = room.map_or(buf.len(), |room| room.min(buf.len()));
        self.0.write_all_at(&buf[..fits], offset)?;
        if let Some(room) = room.as_mut() {
            *room -= fits;
        }
        if fits < buf.len() {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        if self.1.truncate_fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("cannot truncate"));
        }
        self.0.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.1.syncs.fetch_add(1, Ordering::SeqCst);
        if self.1.sync_fails.load(Ordering::SeqCst) {
            Err(io::Error::other("EIO"))
        } else {
            self.0.sync_data()
        }
    }
}

fn faulty(options: Options) -> (tempfile::TempDir, LogStore, Faulty) {
    let dir = tempfile::tempdir().unwrap();
    let disk = Faulty::default();
    let store = LogStore::with_disk(dir.path().join("logs"), options, Arc::new(disk.clone())).unwrap();
    (dir, store, disk)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(40), failure_persistence: None, ..ProptestConfig::default() })]

    /// Space runs out again and again, at any byte; the caller just tries again.
    #[test]
    fn a_full_disk_loses_and_repeats_nothing(
        chunks in vec((0..4_usize, "[a-z\n]{0,80}", 0..60_usize, any::<bool>(), 0..3_u8), 1..40),
    ) {
        let (_dir, store, disk) = faulty(tiny());
        let mut writer = LogWriter::create(&store, 1, 1, LogKind::Stream);
        let mut items = Vec::new();
        let mut offset = 0;
        let retry = |room: usize, truncate_fails: bool, act: &mut dyn FnMut() -> Result<(), LogError>| {
            *disk.0.room.lock().unwrap() = Some(room);
            disk.0.truncate_fails.store(truncate_fails, Ordering::SeqCst);
            let mut result = act();
            for extra in 1..100 {
                match result {
                    Ok(()) => break,
                    Err(LogError::NoSpace { .. }) => {}
                    Err(LogError::Io { .. }) if truncate_fails => {}
                    Err(error) => panic!("{error}"),
                }
                *disk.0.room.lock().unwrap() = Some(extra * 50);
                disk.0.truncate_fails.store(truncate_fails && extra < 3, Ordering::SeqCst);
                result = act();
            }
            result.unwrap();
        };
        for (stream, text, room, truncate_fails, what) in chunks {
            let (start, stream) = (at(0, offset), Stream::ALL[stream]);
            retry(room, truncate_fails, &mut || writer.append(start, stream, text.as_bytes()));
            if what == 0 {
                retry(room, truncate_fails, &mut || writer.flush().map(drop));
            }
            offset += text.len() as u64;
            items.push(Item::Bytes(start, stream, text.into_bytes()));
        }
        let mut finished = None;
        retry(3, false, &mut || { finished = Some(writer.finish()?); Ok(()) });
        let finished = finished.unwrap();
        let mut model = Model::of(&items);
        model.finish();
        check_all(&open_finished(&store, 1, 1, &finished), &model);
        check_all(&writer.live().reader(), &model);
        if finished.storage == FinishedStorage::File {
            let report = store.verify(1).unwrap();
            prop_assert_eq!((report.findings, report.torn_bytes), (vec![], 0));
        }
    }
}

#[test]
fn a_full_disk_is_told_apart_and_stops_what_waits_in_memory() {
    let (_dir, store, disk) = faulty(Options::default());
    let mut writer = LogWriter::create(&store, 1, 1, LogKind::Text);
    *disk.0.room.lock().unwrap() = Some(0);
    let chunk = vec![b'x'; 10_000];
    let mut offset = 0;
    let error = loop {
        match writer.append(at(0, offset), Stream::Stdout, &chunk) {
            Ok(()) => offset += chunk.len() as u64,
            Err(error) => break error,
        }
        assert!(offset < 300_000, "must not take more and more");
    };
    assert!(error.is_no_space() && !error.is_fatal());
    assert!(error.to_string().contains("no space left"));
    let taken = writer.accepted();
    for _ in 0..10 {
        assert!(
            writer
                .append(at(1, 0), Stream::Stdout, &chunk)
                .unwrap_err()
                .is_no_space()
        );
        assert!(writer.flush().unwrap_err().is_no_space());
    }
    assert_eq!(writer.accepted(), taken);
    assert_eq!(writer.live().num_lines(), 0);
    *disk.0.room.lock().unwrap() = None;
    assert_eq!(writer.flush().unwrap().position, taken);
    writer.append(at(0, taken.offset), Stream::Stdout, b"\n").unwrap();
    let finished = writer.finish().unwrap();
    assert_eq!(finished.raw_bytes, taken.offset + 1);
}

#[test]
fn a_failed_sync_is_final() {
    let (_dir, store, disk) = faulty(Options {
        inline_limit: 0,
        ..Options::default()
    });
    let mut writer = LogWriter::create(&store, 1, 1, LogKind::Text);
    writer.append(at(0, 0), Stream::Stdout, b"good\n").unwrap();
    assert!(writer.sync().unwrap().durable);
    writer.append(at(0, 5), Stream::Stdout, b"lost?\n").unwrap();
    disk.0.sync_fails.store(true, Ordering::SeqCst);
    let error = writer.sync().unwrap_err();
    assert!(error.is_fatal() && matches!(error, LogError::SyncFailed { .. }));
    assert_eq!(writer.durable(), at(0, 5));
    disk.0.sync_fails.store(false, Ordering::SeqCst);
    let syncs = disk.0.syncs.load(Ordering::SeqCst);
    assert!(writer.sync().unwrap_err().is_fatal());
    assert!(writer.finish().unwrap_err().is_fatal());
    drop(writer);
    assert!(
        LogWriter::resume(&store, 1, 1, LogKind::Text, None)
            .unwrap_err()
            .is_fatal()
    );
    assert_eq!(
        disk.0.syncs.load(Ordering::SeqCst),
        syncs,
        "it is not tried again"
    );
}

#[test]
fn syncs_are_shared_and_the_name_is_durable_too() {
    let (_dir, store, disk) = faulty(Options {
        inline_limit: 0,
        ..Options::default()
    });
    let mut one = LogWriter::create(&store, 1, 1, LogKind::Text);
    let mut two = LogWriter::create(&store, 1, 2, LogKind::Text);
    for writer in [&mut one, &mut two] {
        writer.append(at(0, 0), Stream::Stdout, b"x\n").unwrap();
        assert!(!writer.flush().unwrap().durable);
    }
    assert!(one.sync().unwrap().durable);
    assert_eq!(disk.0.syncs.load(Ordering::SeqCst), 1);
    assert!(two.sync().unwrap().durable);
    assert_eq!(
        disk.0.syncs.load(Ordering::SeqCst),
        1,
        "the first sync covered both"
    );
    let file = store.path(1);
    let shard = file.parent().unwrap();
    assert_eq!(
        *disk.0.dir_syncs.lock().unwrap(),
        [shard, shard.parent().unwrap()]
    );
}

#[test]
fn the_newer_of_row_and_file_wins() {
    let options = || Options {
        inline_limit: 10,
        ..Options::default()
    };
    let (dir, store) = store(options());
    let mut writer = LogWriter::create(&store, 1, 1, LogKind::Text);
    writer.append(at(0, 0), Stream::Stdout, b"row\n").unwrap();
    let row = writer.snapshot_inline().unwrap().unwrap().bytes;
    writer.append(at(0, 4), Stream::Stdout, b"and file\n").unwrap();
    writer.sync().unwrap();
    drop(writer);
    let (writer, resumed) = LogWriter::resume(&store, 1, 1, LogKind::Text, Some(&row)).unwrap();
    assert_eq!(resumed.position, at(0, 13), "the file has more");
    drop(writer);

    // A newer row than what the file kept: the log begins anew in the file when it grows again.
    let newest = {
        let scratch = LogStore::open(dir.path().join("scratch"), Options::default()).unwrap();
        let mut writer = LogWriter::create(&scratch, 1, 1, LogKind::Text);
        writer.append(at(5, 0), Stream::Stdout, b"newest\n").unwrap();
        writer.snapshot_inline().unwrap().unwrap().bytes
    };
    let (mut writer, resumed) = LogWriter::resume(&store, 1, 1, LogKind::Text, Some(&newest)).unwrap();
    assert_eq!(resumed.position, at(5, 7));
    writer
        .append(at(5, 7), Stream::Stdout, b"goes on in the file\n")
        .unwrap();
    assert_eq!(writer.finish().unwrap().storage, FinishedStorage::File);
    let reader = LogReader::open(&store, LogSource::File { key: 1, log_id: 1 }).unwrap();
    assert_eq!(raw(&reader), b"newest\ngoes on in the file\n");
    assert_eq!(store.verify(1).unwrap().findings, []);
}

#[test]
fn a_torn_tail_is_cut_and_reported_and_damage_is_kept_aside() {
    let options = || Options {
        inline_limit: 0,
        ..Options::default()
    };
    let (dir, store) = store(options());
    let path = store.path(1);
    let mut writer = LogWriter::create(&store, 1, 1, LogKind::Text);
    let mut ends = vec![0];
    for n in 0..5_u32 {
        writer
            .append(at(n, 0), Stream::Stdout, format!("block {n}\n").as_bytes())
            .unwrap();
        writer.flush().unwrap();
        ends.push(std::fs::metadata(&path).unwrap().len());
    }
    drop((writer, store));
    let whole = std::fs::read(&path).unwrap();
    for cut in 0..=whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let last = ends.iter().rposition(|end| *end <= cut as u64).unwrap();
        let store = LogStore::open(dir.path().join("logs"), options()).unwrap();
        let torn = cut as u64 - ends[last];
        let report = store.verify(1).unwrap();
        assert_eq!((report.torn_bytes, report.findings.len()), (torn, 0));
        if last > 0 {
            let reader = LogReader::open(&store, LogSource::File { key: 1, log_id: 1 }).unwrap();
            assert_eq!(
                reader.num_lines(),
                last as u64,
                "readers stop there and do not cut"
            );
        }
        let (writer, resumed) = LogWriter::resume(&store, 1, 1, LogKind::Text, None).unwrap();
        assert_eq!((resumed.cut_bytes, resumed.num_lines), (torn, last as u64));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), ends[last]);
        drop(writer);
    }

    let mut damaged = whole.clone();
    damaged[ends[2] as usize + 40] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let store = LogStore::open(dir.path().join("logs"), options()).unwrap();
    let report = store.verify(1).unwrap();
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].offset, ends[2]);
    let (mut writer, resumed) = LogWriter::resume(&store, 1, 1, LogKind::Text, None).unwrap();
    assert_eq!(resumed.num_lines, 2);
    let aside = path.with_extension(format!("damaged-{}", ends[2]));
    assert_eq!(std::fs::read(aside).unwrap(), damaged[ends[2] as usize..]);
    assert_eq!(store.keys().unwrap(), [1], "what is kept aside is no log file");
    for n in 0..5_u32 {
        feed(
            &mut writer,
            &Item::Bytes(at(n, 0), Stream::Stdout, format!("block {n}\n").into_bytes()),
        );
    }
    let finished = writer.finish().unwrap();
    assert_eq!(
        raw(&open_finished(&store, 1, 1, &finished)),
        b"block 0\nblock 1\nblock 2\nblock 3\nblock 4\n"
    );
}

#[test]
fn half_a_block_is_taken_back() {
    for truncate_fails in [false, true] {
        let (_dir, store, disk) = faulty(Options {
            inline_limit: 0,
            ..Options::default()
        });
        let mut one = LogWriter::create(&store, 1, 1, LogKind::Text);
        let mut two = LogWriter::create(&store, 1, 2, LogKind::Text);
        one.append(at(0, 0), Stream::Stdout, b"begin\n").unwrap();
        one.flush().unwrap();
        let whole = store.verify(1).unwrap().whole_bytes;
        let noise: Vec<u8> = (0..30_000_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        one.append(at(1, 0), Stream::Stdout, &noise).unwrap();
        *disk.0.room.lock().unwrap() = Some(1000);
        disk.0.truncate_fails.store(truncate_fails, Ordering::SeqCst);
        assert!(one.flush().unwrap_err().is_no_space());
        let report = store.verify(1).unwrap();
        let torn = if truncate_fails { 1000 } else { 0 };
        assert_eq!((report.whole_bytes, report.torn_bytes), (whole, torn));
        // A shorter record of another log takes the place; nothing of the half block may show behind it.
        *disk.0.room.lock().unwrap() = None;
        disk.0.truncate_fails.store(false, Ordering::SeqCst);
        two.append(at(0, 0), Stream::Stdout, b"short\n").unwrap();
        two.flush().unwrap();
        let report = store.verify(1).unwrap();
        assert_eq!((report.records, report.torn_bytes), (2, 0));
        one.finish().unwrap();
        two.finish().unwrap();
        assert_eq!(
            raw(&one.live().reader()),
            [b"begin\n".as_slice(), &noise].concat()
        );
        assert_eq!(store.verify(1).unwrap().findings, []);
    }
}
