//! A disk that is full: nothing is half written, and it goes on when there is room.

use ironmaster_store::{Batch, CommitError, OpenOptions, SqliteStore, Store};

use crate::{
    backend::Sqlite,
    conformance::{commit_one, fsck_findings},
    history::{Commit, History},
    world::World,
};

fn try_commit(store: &mut SqliteStore, id: u64, commit: &Commit) -> Result<(), CommitError> {
    store.commit(&Batch {
        id,
        events: &commit.events,
        counters: &commit.counters,
        meta: &[],
    })
}

#[test]
fn nothing_is_lost_when_the_disk_is_full() {
    let backend = Sqlite::new();
    let options = OpenOptions {
        max_pages: Some(120),
        ..OpenOptions::default()
    };
    let (mut store, reader) = SqliteStore::open(backend.path(), options).unwrap();
    let mut history = History::new(11);
    let mut world = World::of(&[]);
    let mut next = 1;
    let mut times_full = 0;
    for limit in [240, 400, 600] {
        let refused = loop {
            let commit = history.commit(5);
            match try_commit(&mut store, next, &commit) {
                Ok(()) => world.commit(&commit),
                Err(CommitError::NoSpace) => break commit,
                Err(other) => panic!("{other}"),
            }
            next += 1;
        };
        times_full += 1;
        assert!(!store.committed(next).unwrap());
        assert_eq!(store.load().unwrap(), world.snapshot());
        assert_eq!(reader.last_seq().unwrap(), world.events.len() as u64);
        assert_eq!(
            reader.events_after(0, usize::MAX).unwrap().len(),
            world.events.len()
        );
        // As long as there is no room, it says so; reading goes on.
        assert!(matches!(store.probe(), Err(CommitError::NoSpace)));
        assert!(matches!(
            try_commit(&mut store, next, &refused),
            Err(CommitError::NoSpace)
        ));
        store.set_max_pages(Some(limit)).unwrap();
        store.probe().unwrap();
        commit_one(&mut store, next, &refused);
        world.commit(&refused);
        next += 1;
        assert_eq!(store.load().unwrap(), world.snapshot());
    }
    assert_eq!(times_full, 3);
    assert_eq!(fsck_findings(&reader), Vec::<String>::new());
}

/// A real file system without room, where this machine lets us have one.
#[test]
fn a_really_full_disk_is_no_space() {
    use std::io::Write as _;

    let Some(disk) = small_disk() else {
        // Without the right to mount there is no such disk; the limit on pages above covers the handling.
        return;
    };
    let path = disk.path().join("test.db");
    let (mut store, _reader) = SqliteStore::open(&path, OpenOptions::default()).unwrap();
    let mut history = History::new(12);
    let mut world = World::of(&[]);
    // Somebody else fills the disk.
    let ballast = disk.path().join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    drop(file);
    let mut next = 1;
    let refused = loop {
        let commit = history.commit(20);
        match try_commit(&mut store, next, &commit) {
            Ok(()) => world.commit(&commit),
            Err(CommitError::NoSpace) => break commit,
            Err(other) => panic!("{other:?}"),
        }
        next += 1;
    };
    assert_eq!(store.load().unwrap(), world.snapshot());
    assert!(matches!(store.probe(), Err(CommitError::NoSpace)));
    std::fs::remove_file(&ballast).unwrap();
    store.probe().unwrap();
    commit_one(&mut store, next, &refused);
    world.commit(&refused);
    assert_eq!(store.load().unwrap(), world.snapshot());
}

/// A file system of 4 MiB, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn path(&self) -> &std::path::Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("--lazy")
            .arg(self.0.path())
            .status();
    }
}

fn small_disk() -> Option<SmallDisk> {
    let directory = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
        .arg(directory.path())
        .stderr(std::process::Stdio::null())
        .status();
    mounted
        .is_ok_and(|status| status.success())
        .then(|| SmallDisk(directory))
}
