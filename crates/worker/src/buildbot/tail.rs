//! A file that is told as it grows.

use std::{
    fs::{File, Metadata},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::PathBuf,
};

use super::report::Report;

/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// One file. It counts as soon as it is another one than before the command.
#[derive(Debug)]
pub(super) struct Tail {
    name: String,
    path: PathBuf,
    /// Only what is new in it.
    follow: bool,
    before: Option<Seen>,
    changed: bool,
    offset: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    size: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Seen {
    fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.size(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Tail {
    pub(super) fn new(name: String, path: PathBuf, follow: bool) -> Self {
        Self {
            name,
            path,
            follow,
            before: None,
            changed: false,
            offset: 0,
        }
    }

    /// The command is about to begin.
    pub(super) async fn begin(&mut self) {
        let path = self.path.clone();
        let seen = tokio::task::spawn_blocking(move || path.metadata().ok()).await;
        self.before = seen.ok().flatten().as_ref().map(Seen::of);
        if let Some(before) = self.before.filter(|_| self.follow) {
            self.offset = before.size;
        }
    }

    /// Tells what is new, one piece of it. Says whether there may be more.
    pub(super) async fn read(&mut self, report: &Report) -> bool {
        let (path, offset, before) = (
            self.path.clone(),
            self.offset,
            self.before.filter(|_| !self.changed),
        );
        let read = tokio::task::spawn_blocking(move || piece(&path, offset, before)).await;
        // What cannot be read, for now or for ever, has nothing to say.
        let Ok(Ok(Some((at, data)))) = read else {
            return false;
        };
        self.changed = true;
        if data.is_empty() {
            return false;
        }
        self.offset = at + data.len() as u64;
        report.log(&self.name, &data);
        data.len() == PIECE
    }
}

/// Nothing if the file is still what it was.
fn piece(
    path: &std::path::Path,
    mut offset: u64,
    before: Option<Seen>,
) -> io::Result<Option<(u64, Vec<u8>)>> {
    let metadata = path.metadata()?;
    if !metadata.is_file() || before == Some(Seen::of(&metadata)) {
        return Ok(None);
    }
    if metadata.len() < offset {
        // It was begun anew.
        offset = 0;
    }
    let mut data = vec![0; PIECE];
    let mut length = 0;
    let file = File::open(path)?;
    while length < PIECE {
        match file.read_at(&mut data[length..], offset + length as u64)? {
            0 => break,
            more => length += more,
        }
    }
    data.truncate(length);
    Ok(Some((offset, data)))
}
