//! The directory of log files.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    Disk, LogError, OpenMode, Options, RealDisk, Result, VerifyReport,
    codec::{MAX_WINDOW_LOG, Pool},
    segment::{Segment, lock},
    verify,
};

/// The directory `logs/` with one file per build. Cheap to clone; all clones share open files.
///
/// Only one process may write in the directory, through one `LogStore` and its clones.
#[derive(Debug, Clone)]
pub struct LogStore(Arc<Inner>);

/// A file's place in the table; its lock makes sure that a file is opened (and repaired) once.
#[derive(Debug, Default)]
struct Slot {
    segment: Mutex<Weak<Segment>>,
    failed: Arc<AtomicBool>,
    /// Whether this process has made sure of what an earlier one has left.
    rewritten: AtomicBool,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    options: Options,
    disk: Arc<dyn Disk>,
    open: Mutex<BTreeMap<u64, Arc<Slot>>>,
    pool: Pool,
}

impl LogStore {
    /// Opens (and makes, if missing) the directory.
    pub fn open(root: impl Into<PathBuf>, options: Options) -> Result<Self> {
        Self::with_disk(root, options, Arc::new(RealDisk))
    }

    /// As [`LogStore::open`], on another file system.
    pub fn with_disk(root: impl Into<PathBuf>, mut options: Options, disk: Arc<dyn Disk>) -> Result<Self> {
        let root = root.into();
        options.inline_limit = options.inline_limit.min(256 * 1024);
        options.block_bytes = options.block_bytes.clamp(16, 256 * 1024);
        options.frame_bytes = options.frame_bytes.max(1);
        options.window_log = options.window_log.clamp(10, MAX_WINDOW_LOG);
        options.index_marks = options.index_marks.clamp(2, 64 * 1024);
        disk.create_dir_all(&root)
            .map_err(|source| LogError::io("create the directory of", &root, source))?;
        let pool = Pool::new(options.level, options.window_log);
        Ok(Self(Arc::new(Inner {
            root,
            options,
            disk,
            open: Mutex::default(),
            pool,
        })))
    }

    /// Where the file of that key is: `<root>/<shard>/<key>.log`; the shard is the key's lowest byte in hex.
    pub fn path(&self, key: u64) -> PathBuf {
        self.0
            .root
            .join(format!("{:02x}", key & 0xff))
            .join(format!("{key}.log"))
    }

    /// Keys of all files, in order, for retention and `fsck`.
    pub fn keys(&self) -> Result<Vec<u64>> {
        let mut keys = Vec::new();
        for dir in self.list(&self.0.root)? {
            let is_shard = dir
                .file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.len() == 2 && name.bytes().all(|byte| byte.is_ascii_hexdigit()));
            if is_shard {
                for path in self.list(&dir)? {
                    let key = path
                        .file_stem()
                        .and_then(|stem| stem.to_str())
                        .and_then(|stem| stem.parse().ok());
                    if let Some(key) = key
                        && self.path(key) == path
                    {
                        keys.push(key);
                    }
                }
            }
        }
        keys.sort_unstable();
        Ok(keys)
    }

    fn list(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        self.0
            .disk
            .list(dir)
            .map_err(|source| LogError::io("list the directory of", dir, source))
    }

    /// Unlinks a file; false if there was none. Readers that have it open keep reading; the build must have no
    /// writer any more.
    pub fn remove(&self, key: u64) -> Result<bool> {
        lock(&self.0.open).remove(&key);
        let path = self.path(key);
        match self.0.disk.remove(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(LogError::io("remove", path, source)),
        }
    }

    /// Checks the file of that key; see [`verify`](crate::verify()).
    pub fn verify(&self, key: u64) -> Result<VerifyReport> {
        verify::verify_on(&*self.0.disk, &self.path(key))
    }

    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.0.disk
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.0.pool
    }

    /// The file of that key to write; None if it does not exist and `mode` does not make it.
    pub(crate) fn segment(&self, key: u64, mode: OpenMode) -> Result<Option<Arc<Segment>>> {
        let slot = {
            let mut open = lock(&self.0.open);
            // Builds end: forget their files now and then, so that the table stays as small as what is open.
            if open.len() >= 64 && open.len().is_power_of_two() {
                open.retain(|_, slot| {
                    Arc::strong_count(slot) > 1
                        || slot.failed.load(Ordering::SeqCst)
                        || lock(&slot.segment).strong_count() > 0
                });
            }
            Arc::clone(open.entry(key).or_default())
        };
        let mut open = lock(&slot.segment);
        if let Some(segment) = open.upgrade() {
            return Ok(Some(segment));
        }
        let marks = self.0.options.index_marks;
        match Segment::open(
            &self.0.disk,
            &self.path(key),
            mode,
            marks,
            &slot.failed,
            &slot.rewritten,
        ) {
            Ok(segment) => {
                let segment = Arc::new(segment);
                *open = Arc::downgrade(&segment);
                Ok(Some(segment))
            }
            Err(LogError::Io { source, .. })
                if mode != OpenMode::Create && source.kind() == io::ErrorKind::NotFound =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
