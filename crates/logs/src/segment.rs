//! One build's file, open for writing: appends of whole records by many logs, grouped syncs, repair at opening.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::{
    Disk, DiskFile, LogError, OpenMode, Result,
    scan::{self, ScannedLog},
};

/// How much of a file's end is written once more: far more than is ever written between two syncs.
const REWRITE_MAX: u64 = 16 * 1024 * 1024;
/// How much of that at a time.
const REWRITE_PART: u64 = 256 * 1024;

/// An open file. All writers of a build share one.
#[derive(Debug)]
pub(crate) struct Segment {
    path: PathBuf,
    index_marks: usize,
    disk: Arc<dyn Disk>,
    file: Arc<dyn DiskFile>,
    tail: Mutex<Tail>,
    synced: Mutex<Synced>,
    /// An fsync has failed: nothing here may be trusted or promised any more. Outlives this handle.
    failed: Arc<AtomicBool>,
    logs: Mutex<Logs>,
    cut: AtomicU64,
}

/// What is known of the logs in the file.
#[derive(Debug)]
struct Logs {
    /// Unfinished ones that opening found, until their writers take them up.
    found: BTreeMap<u64, ScannedLog>,
    /// All others that have records: about those the file itself must be asked.
    others: BTreeSet<u64>,
}

#[derive(Debug)]
struct Tail {
    /// End of the last whole record.
    len: u64,
    /// A failed write may have left bytes behind it.
    torn: bool,
    last_index: Option<u64>,
}

#[derive(Debug)]
struct Synced {
    len: u64,
    entry: bool,
}

/// The end of the file, as a record that is about to be written sees it.
pub(crate) struct Place {
    /// File offset of the record.
    pub(crate) at: u64,
    /// The last index record.
    pub(crate) last_index: Option<u64>,
}

impl Segment {
    /// Opens a file to write and cuts its torn tail. With [`OpenMode::Create`] makes it if missing. What is left is
    /// written once more, unless this process did that before (`rewritten`).
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        path: &Path,
        mode: OpenMode,
        index_marks: usize,
        failed: &Arc<AtomicBool>,
        rewritten: &AtomicBool,
    ) -> Result<Self> {
        check(failed, path)?;
        if mode == OpenMode::Create
            && let Some(dir) = path.parent()
        {
            disk.create_dir_all(dir)
                .map_err(|source| LogError::io("create the directory of", path, source))?;
        }
        let fail = |action: &'static str| move |source: io::Error| LogError::io(action, path, source);
        let file: Arc<dyn DiskFile> = Arc::from(disk.open(path, mode).map_err(fail("open"))?);
        let scan = scan::scan(&*file, None, index_marks).map_err(fail("read"))?;
        let len = file.len().map_err(fail("read"))?;
        let cut = len - scan.whole;
        if cut > 0 {
            let why = scan.stopped.unwrap_or_default();
            match scan::find_record(&*file, scan.whole + 1).map_err(fail("read"))? {
                Some(_) => {
                    let kept = keep_damaged(disk, path, &*file, scan.whole, len)?;
                    tracing::error!(path = %path.display(), at = scan.whole, bytes = cut, why, kept = %kept.display(),
                        "log file is damaged before its end; the part from there on was moved aside");
                }
                None => {
                    tracing::warn!(path = %path.display(), at = scan.whole, bytes = cut, why, "cut the torn tail of a log file");
                }
            }
            file.set_len(scan.whole).map_err(fail("truncate"))?;
        }
        if !rewritten.load(Ordering::SeqCst) {
            rewrite_tail(&*file, scan.whole).map_err(fail("write again the end of"))?;
            rewritten.store(true, Ordering::SeqCst);
        }
        let (finished, found) = scan
            .logs
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(_, log)| log.finished.is_some());
        Ok(Self {
            index_marks,
            path: path.to_owned(),
            disk: Arc::clone(disk),
            file,
            tail: Mutex::new(Tail {
                len: scan.whole,
                torn: false,
                last_index: scan.last_index,
            }),
            synced: Mutex::new(Synced { len: 0, entry: false }),
            failed: Arc::clone(failed),
            logs: Mutex::new(Logs {
                found,
                others: finished.into_keys().collect(),
            }),
            cut: AtomicU64::new(cut),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> &Arc<dyn DiskFile> {
        &self.file
    }

    /// What the file holds of that log, for a writer that takes it up.
    pub(crate) fn find(&self, log_id: u64) -> Result<Option<ScannedLog>> {
        let mut logs = lock(&self.logs);
        if let Some(found) = logs.found.remove(&log_id) {
            logs.others.insert(log_id);
            return Ok(Some(found));
        }
        if !logs.others.contains(&log_id) {
            return Ok(None);
        }
        drop(logs);
        let mut scan = scan::scan(&*self.file, Some(log_id), self.index_marks)
            .map_err(|source| LogError::io("read", &self.path, source))?;
        Ok(scan.logs.remove(&log_id))
    }

    /// Bytes that opening cut; told once.
    pub(crate) fn take_cut(&self) -> u64 {
        self.cut.swap(0, Ordering::Relaxed)
    }

    /// Appends one record, which `build` makes for the place it will have. Afterwards all of it is in the file, or,
    /// after an error, none. Returns where it is and its length.
    pub(crate) fn append(
        &self,
        log_id: u64,
        is_index: bool,
        build: impl FnOnce(&Place) -> Vec<u8>,
    ) -> Result<(u64, u64)> {
        check(&self.failed, &self.path)?;
        let mut tail = lock(&self.tail);
        if tail.torn {
            self.file
                .set_len(tail.len)
                .map_err(|source| LogError::io("truncate", &self.path, source))?;
            tail.torn = false;
        }
        let at = tail.len;
        let record = build(&Place {
            at,
            last_index: tail.last_index,
        });
        if let Err(source) = self.file.write_all_at(&record, at) {
            tail.torn = self.file.set_len(at).is_err();
            return Err(LogError::io("write", &self.path, source));
        }
        tail.len += record.len() as u64;
        lock(&self.logs).others.insert(log_id);
        if is_index {
            tail.last_index = Some(at);
        }
        Ok((at, record.len() as u64))
    }

    /// Makes the file durable up to `len`. Whoever comes while another syncs waits, and often finds that the other's
    /// sync covers it.
    pub(crate) fn sync(&self, len: u64) -> Result<()> {
        check(&self.failed, &self.path)?;
        let mut synced = lock(&self.synced);
        check(&self.failed, &self.path)?;
        if synced.entry && synced.len >= len {
            return Ok(());
        }
        let reached = lock(&self.tail).len;
        let result = self.file.sync_data().and_then(|()| self.sync_entry(&mut synced));
        if let Err(source) = result {
            self.failed.store(true, Ordering::SeqCst);
            return Err(LogError::SyncFailed {
                path: self.path.clone(),
                source,
            });
        }
        synced.len = reached;
        Ok(())
    }

    /// Makes the file's name durable: its directory and that one's.
    fn sync_entry(&self, synced: &mut Synced) -> io::Result<()> {
        if !synced.entry {
            for dir in self.path.ancestors().skip(1).take(2) {
                self.disk.sync_dir(dir)?;
            }
            synced.entry = true;
        }
        Ok(())
    }
}

fn check(failed: &AtomicBool, path: &Path) -> Result<()> {
    if failed.load(Ordering::SeqCst) {
        let source = io::Error::other("an earlier sync of this file failed");
        return Err(LogError::SyncFailed {
            path: path.to_owned(),
            source,
        });
    }
    Ok(())
}

/// Writes the file's end once more as it is, so that the next sync makes it durable whatever has happened before.
///
/// After a failed sync the system takes what was written for durable, although the disk may not have it. A process that
/// starts then reads it all the same, and its own sync would not write it again: a loss of power would leave a hole before
/// everything appended since.
fn rewrite_tail(file: &dyn DiskFile, len: u64) -> io::Result<()> {
    let mut buf = Vec::new();
    let mut at = len.saturating_sub(REWRITE_MAX);
    while at < len {
        let part = (len - at).min(REWRITE_PART) as usize;
        scan::read_up_to(file, &mut buf, at, part)?;
        if buf.is_empty() {
            break;
        }
        file.write_all_at(&buf, at)?;
        at += buf.len() as u64;
    }
    Ok(())
}

/// Copies what is about to be cut to a file beside it, when whole records follow the damage: that is not how a crash
/// tears a tail, and somebody may want to look.
fn keep_damaged(
    disk: &Arc<dyn Disk>,
    path: &Path,
    file: &dyn DiskFile,
    from: u64,
    to: u64,
) -> Result<PathBuf> {
    let aside = path.with_extension(format!("damaged-{from}"));
    let fail = |source: io::Error| LogError::io("keep the damaged part of", path, source);
    let copy = disk.open(&aside, OpenMode::Create).map_err(fail)?;
    let mut buf = Vec::new();
    let mut at = from;
    while at < to {
        scan::read_up_to(file, &mut buf, at, 256 * 1024).map_err(fail)?;
        if buf.is_empty() {
            break;
        }
        copy.write_all_at(&buf, at - from).map_err(fail)?;
        at += buf.len() as u64;
    }
    copy.sync_data().map_err(fail)?;
    Ok(aside)
}

/// Locks; a panic of another thread while it held the lock left the counts as they were before or after a whole step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
