//! Files that a command writes, told as they grow.

use std::{
    fs::{File, Metadata},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::PathBuf,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use crate::paths::Basedir;

/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// Where a file is.
#[derive(Debug, Clone)]
pub(crate) enum Where {
    /// Anywhere: a Buildbot master says where.
    Anywhere(PathBuf),
    /// Below the base directory, also by the links that there may be by then.
    Below(Basedir, String),
}

impl Where {
    fn path(&self) -> io::Result<PathBuf> {
        match self {
            Self::Anywhere(path) => Ok(path.clone()),
            Self::Below(base, text) => base.existing(text).map_err(|failure| {
                let kind = match failure.kind {
                    ironmaster_wire::FailureKind::NotFound => io::ErrorKind::NotFound,
                    _ => io::ErrorKind::Other,
                };
                io::Error::new(kind, failure.message)
            }),
        }
    }
}

/// One file. It counts as soon as it is another one than before the command.
#[derive(Debug, Clone)]
pub(crate) struct Tail {
    place: Where,
    /// Only what is new in it.
    follow: bool,
    before: Option<Seen>,
    changed: bool,
    offset: u64,
    /// Where it ended when the command was over: a file that something else goes on writing has no end.
    end: Option<u64>,
    /// Why it could not be read the last time.
    trouble: Option<String>,
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
    pub(crate) fn new(place: Where, follow: bool) -> Self {
        Self {
            place,
            follow,
            before: None,
            changed: false,
            offset: 0,
            end: None,
            trouble: None,
        }
    }

    /// The command is about to begin. Blocks.
    fn begin(&mut self) {
        let metadata = self.place.path().and_then(|path| path.metadata());
        self.before = metadata.ok().as_ref().map(Seen::of);
        if let Some(before) = self.before.filter(|_| self.follow) {
            self.offset = before.size;
        }
    }

    /// What is new, one piece of it; nothing if there is nothing, for now or for ever. Blocks.
    fn read(&mut self, last: bool) -> Vec<u8> {
        match self.try_read(last) {
            Ok(data) => {
                self.trouble = None;
                data
            }
            Err(error) => {
                self.trouble = Some(if error.kind() == io::ErrorKind::NotFound {
                    "there is no such file".to_owned()
                } else {
                    error.to_string()
                });
                Vec::new()
            }
        }
    }

    fn try_read(&mut self, last: bool) -> io::Result<Vec<u8>> {
        let path = self.place.path()?;
        // Without waiting, so that a pipe in its place cannot hold the worker.
        let file = File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        if !self.changed && self.before == Some(Seen::of(&metadata)) {
            return Ok(Vec::new());
        }
        self.changed = true;
        let mut size = metadata.len();
        if size < self.offset {
            // It was begun anew.
            self.offset = 0;
            self.end = None;
        }
        if last {
            size = size.min(*self.end.get_or_insert(size));
        }
        let most = usize::try_from(size - self.offset.min(size)).map_or(PIECE, |rest| rest.min(PIECE));
        let mut data = vec![0; most];
        let mut length = 0;
        while length < data.len() {
            match file.read_at(&mut data[length..], self.offset + length as u64)? {
                0 => break,
                more => length += more,
            }
        }
        data.truncate(length);
        self.offset += length as u64;
        Ok(data)
    }
}

/// The files of one command.
#[derive(Debug)]
pub(crate) struct Tails {
    files: Vec<Tail>,
    /// How often they are looked at.
    every: Duration,
    due: Instant,
    /// The one that is read next.
    next: usize,
    /// Whether one of those before it has more.
    more: bool,
    /// Reading blocks, so it is done elsewhere; it goes on if nobody waits for it for a while.
    reading: Option<JoinHandle<(Tail, Vec<u8>)>>,
}

impl Tails {
    pub(crate) fn new(files: Vec<Tail>, every: Duration) -> Self {
        Self {
            files,
            every,
            due: Instant::now(),
            next: 0,
            more: false,
            reading: None,
        }
    }

    pub(crate) fn none() -> Self {
        Self::new(Vec::new(), Duration::ZERO)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The command is about to begin.
    pub(crate) async fn begin(&mut self) {
        if self.is_empty() {
            return;
        }
        let mut files = std::mem::take(&mut self.files);
        let begun = tokio::task::spawn_blocking(move || {
            files.iter_mut().for_each(Tail::begin);
            files
        });
        // A task that does not panic is not cancelled either.
        self.files = begun.await.unwrap_or_default();
        self.due = Instant::now() + self.every;
    }

    /// Waits for something new: the file's number and what is new in it. Safe to cancel.
    pub(crate) async fn read(&mut self) -> (u8, Bytes) {
        loop {
            if self.next >= self.files.len() {
                self.next = 0;
                if !std::mem::take(&mut self.more) {
                    self.due = Instant::now() + self.every;
                }
            }
            if self.next == 0 && self.reading.is_none() {
                sleep_until(self.due).await;
            }
            if let Some(found) = self.read_next(false).await {
                return found;
            }
        }
    }

    /// What is left when the command is over, piece by piece. Safe to cancel.
    pub(crate) async fn rest(&mut self) -> Option<(u8, Bytes)> {
        loop {
            if self.next >= self.files.len() {
                if !std::mem::take(&mut self.more) {
                    return None;
                }
                self.next = 0;
            }
            if let Some(found) = self.read_next(true).await {
                return Some(found);
            }
        }
    }

    /// The command is over: [`Self::rest`] gives what is left, of all files.
    pub(crate) fn over(&mut self) {
        // What is being read is read again: it counts only once it has been told.
        self.reading = None;
        self.next = 0;
        self.more = false;
    }

    /// The files that could not be read at the end, by their numbers, and why.
    pub(crate) fn troubles(&self) -> impl Iterator<Item = (usize, &str)> {
        self.files
            .iter()
            .enumerate()
            .filter_map(|(number, tail)| Some((number, tail.trouble.as_deref()?)))
    }

    /// A piece of the next file; of the one after it the next time.
    async fn read_next(&mut self, last: bool) -> Option<(u8, Bytes)> {
        let files = &mut self.files;
        let number = self.next;
        let reading = self.reading.get_or_insert_with(|| {
            let mut tail = files[number].clone();
            tokio::task::spawn_blocking(move || {
                let data = tail.read(last);
                (tail, data)
            })
        });
        let read = reading.await;
        self.reading = None;
        self.next += 1;
        let (tail, data) = read.ok()?;
        self.files[number] = tail;
        self.more |= data.len() == PIECE;
        // There are at most as many as have a number.
        let number = u8::try_from(number).ok()?;
        (!data.is_empty()).then(|| (number, data.into()))
    }
}
