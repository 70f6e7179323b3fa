//! What a command has printed and the master has not confirmed: memory first, then files, bounded.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::PathBuf,
    rc::Rc,
};

use bytes::{Buf as _, Bytes, BytesMut};
use ironmaster_wire::Stream;

/// What an entry of the index costs, so that a command that prints byte by byte cannot fill memory with entries.
const ENTRY_COST: usize = 64;
/// What the index of pieces on disk may cost in any case.
const MIN_INDEX: usize = 4096;
/// A file is left for the next one at this size, so that confirmed bytes give their disk space back.
const FILE_SIZE: u64 = 16 * 1024 * 1024;
/// Small pieces in a file are joined to one entry up to this size.
const JOIN_SIZE: usize = 1024 * 1024;

/// How much one command's spool may hold.
#[derive(Debug, Clone, Copy)]
pub struct SpoolLimits {
    /// Bytes in memory.
    pub memory: usize,
    /// Bytes in files.
    pub disk: u64,
}

impl Default for SpoolLimits {
    fn default() -> Self {
        Self {
            memory: 4 * 1024 * 1024,
            disk: 1024 * 1024 * 1024,
        }
    }
}

#[derive(Debug)]
struct Piece {
    stream: Stream,
    offset: u64,
    length: usize,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory(Bytes),
    /// The file has no name any more: it vanishes with its last piece, also when the worker is killed.
    Disk {
        file: Rc<File>,
        at: u64,
    },
}

impl Piece {
    fn end(&self) -> u64 {
        self.offset + self.length as u64
    }
}

/// The spool of one command: one offset space over all streams, in the order in which they were read.
#[derive(Debug)]
pub(crate) struct Spool {
    limits: SpoolLimits,
    folder: PathBuf,
    start: u64,
    end: u64,
    pieces: VecDeque<Piece>,
    memory_used: usize,
    index_used: usize,
    disk_used: u64,
    file: Option<(Rc<File>, u64)>,
    /// Writing to disk failed; tried again once the master has confirmed something.
    disk_failed: bool,
}

impl Spool {
    pub(crate) fn new(limits: SpoolLimits, folder: PathBuf) -> Self {
        Self {
            limits,
            folder,
            start: 0,
            end: 0,
            pieces: VecDeque::new(),
            memory_used: 0,
            index_used: 0,
            disk_used: 0,
            file: None,
            disk_failed: false,
        }
    }

    /// The oldest byte that is still here.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// How many bytes there have been so far.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Whether the command should not be read any further for now.
    pub(crate) fn is_full(&self) -> bool {
        self.memory_used >= self.limits.memory && (self.disk_failed || self.disk_used >= self.limits.disk)
            || self.disk_used >= self.limits.disk.max(1)
            || self.index_used >= self.limits.memory + MIN_INDEX
    }

    /// Adds what was read. Never refuses: check [`Self::is_full`] before reading.
    pub(crate) fn push(&mut self, stream: Stream, data: Bytes) {
        let length = data.len();
        if length == 0 {
            return;
        }
        let offset = self.end;
        self.end += length as u64;
        let cost = length + ENTRY_COST;
        let fits = self.memory_used + cost <= self.limits.memory;
        if !fits && !self.disk_failed && self.limits.disk > 0 {
            match self.push_to_disk(stream, offset, &data) {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(
                        "cannot spool output in {}: {error}; commands that print much have to wait",
                        self.folder.display()
                    );
                    self.disk_failed = true;
                    self.file = None;
                }
            }
        }
        self.memory_used += cost;
        self.pieces.push_back(Piece {
            stream,
            offset,
            length,
            place: Place::Memory(data),
        });
    }

    fn push_to_disk(&mut self, stream: Stream, offset: u64, data: &Bytes) -> io::Result<()> {
        let (file, at) = match self.file.take() {
            Some((file, length)) if length < FILE_SIZE => (file, length),
            _ => (Rc::new(self.new_file()?), 0),
        };
        file.write_all_at(data, at)?;
        self.file = Some((Rc::clone(&file), at + data.len() as u64));
        self.disk_used += data.len() as u64;
        if let Some(Piece {
            stream: last,
            length,
            place: Place::Disk {
                file: old,
                at: old_at,
            },
            ..
        }) = self.pieces.back_mut()
            && *last == stream
            && Rc::ptr_eq(old, &file)
            && *old_at + *length as u64 == at
            && *length < JOIN_SIZE
        {
            *length += data.len();
            return Ok(());
        }
        self.index_used += ENTRY_COST;
        self.pieces.push_back(Piece {
            stream,
            offset,
            length: data.len(),
            place: Place::Disk { file, at },
        });
        Ok(())
    }

    fn new_file(&self) -> io::Result<File> {
        std::fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(crate::random_hex());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(file)
    }

    /// The master has everything below `offset`. Says whether that made room.
    pub(crate) fn confirm(&mut self, offset: u64) -> bool {
        let was_full = self.is_full();
        self.start = self.start.max(offset.min(self.end));
        while self.pieces.front().is_some_and(|piece| piece.end() <= self.start) {
            let Some(piece) = self.pieces.pop_front() else {
                break;
            };
            match piece.place {
                Place::Memory(_) => self.memory_used -= piece.length + ENTRY_COST,
                Place::Disk { .. } => {
                    self.disk_used -= piece.length as u64;
                    self.index_used -= ENTRY_COST;
                }
            }
        }
        // The confirmed part of a piece counts as gone too: room must not depend on where pieces happen to end.
        if let Some(piece) = self.pieces.front_mut() {
            let gone = self.start.saturating_sub(piece.offset);
            piece.offset += gone;
            piece.length -= gone as usize;
            match &mut piece.place {
                Place::Memory(data) => {
                    data.advance(gone as usize);
                    self.memory_used -= gone as usize;
                }
                Place::Disk { at, .. } => {
                    *at += gone;
                    self.disk_used -= gone;
                }
            }
        } else {
            self.file = None;
        }
        self.disk_failed = false;
        was_full && !self.is_full()
    }

    /// Appends up to `most` bytes from `offset` on to `to`, all of one stream. `None` if there are none yet.
    pub(crate) fn read(&self, offset: u64, most: usize, to: &mut BytesMut) -> io::Result<Option<Stream>> {
        if offset < self.start || offset >= self.end || most == 0 {
            return Ok(None);
        }
        let first = self.pieces.partition_point(|piece| piece.end() <= offset);
        let mut stream = None;
        let (mut offset, mut most) = (offset, most);
        for piece in self.pieces.range(first..) {
            if most == 0 || stream.is_some_and(|stream| stream != piece.stream) {
                break;
            }
            let skip = (offset - piece.offset) as usize;
            let take = most.min(piece.length - skip);
            match &piece.place {
                Place::Memory(data) => to.extend_from_slice(&data[skip..skip + take]),
                Place::Disk { file, at } => {
                    let from = to.len();
                    to.resize(from + take, 0);
                    file.read_exact_at(&mut to[from..], at + skip as u64)?;
                }
            }
            stream = Some(piece.stream);
            offset += take as u64;
            most -= take;
        }
        Ok(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(memory: usize, disk: u64) -> (tempfile::TempDir, Spool) {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(SpoolLimits { memory, disk }, folder.path().join("spool"));
        (folder, spool)
    }

    /// Everything from `offset` on, in pieces of at most `most`.
    fn all(spool: &Spool, mut offset: u64, most: usize) -> Vec<(Stream, Vec<u8>)> {
        let mut pieces: Vec<(Stream, Vec<u8>)> = Vec::new();
        loop {
            let mut to = BytesMut::new();
            let Some(stream) = spool.read(offset, most, &mut to).unwrap() else {
                return pieces;
            };
            assert!(!to.is_empty() && to.len() <= most);
            offset += to.len() as u64;
            match pieces.last_mut() {
                Some((last, bytes)) if *last == stream => bytes.extend_from_slice(&to),
                _ => pieces.push((stream, to.to_vec())),
            }
        }
    }

    #[test]
    fn memory_and_disk_give_back_the_same_bytes_from_any_offset() {
        let (_folder, mut spool) = spool(1000, 1_000_000);
        let mut expected = Vec::new();
        for number in 0..200_usize {
            let stream = if number % 5 == 0 {
                Stream::Stderr
            } else {
                Stream::Stdout
            };
            let data = vec![number as u8; number % 37 + 1];
            expected.extend(data.iter().map(|byte| (stream, *byte)));
            spool.push(stream, data.into());
        }
        assert!(
            spool.memory_used <= 1000 && spool.disk_used > 0,
            "both places are in use"
        );
        for start in [0, 1, 17, 500, expected.len() - 1] {
            let got: Vec<(Stream, u8)> = all(&spool, start as u64, 64)
                .into_iter()
                .flat_map(|(stream, bytes)| bytes.into_iter().map(move |byte| (stream, byte)))
                .collect();
            assert_eq!(got, expected[start..]);
        }
    }

    #[test]
    fn confirmed_bytes_make_room() {
        let (_folder, mut spool) = spool(100, 100);
        assert!(!spool.is_full());
        spool.push(Stream::Stdout, vec![1; 36].into());
        assert!(!spool.is_full(), "100 bytes of memory are used, the disk is free");
        spool.push(Stream::Stdout, vec![2; 100].into());
        assert!(spool.is_full());
        assert!(!spool.confirm(36), "the disk is still full");
        assert!(spool.confirm(136));
        assert_eq!(
            (
                spool.start(),
                spool.end(),
                spool.memory_used,
                spool.disk_used,
                spool.index_used
            ),
            (136, 136, 0, 0, 0)
        );
    }

    #[test]
    fn room_is_counted_by_the_byte() {
        for (memory, disk) in [(164, 0), (0, 100)] {
            let (_folder, mut spool) = spool(memory, disk);
            spool.push(Stream::Stdout, (0..100).collect::<Vec<u8>>().into());
            assert!(spool.is_full());
            assert!(spool.confirm(1));
            assert!(!spool.confirm(1), "that is no news");
            assert_eq!(all(&spool, 1, 100), [(Stream::Stdout, (1..100).collect())]);
            spool.push(Stream::Stdout, vec![100].into());
            assert_eq!(all(&spool, 1, 200), [(Stream::Stdout, (1..=100).collect())]);
            spool.confirm(101);
            assert_eq!((spool.memory_used, spool.disk_used, spool.index_used), (0, 0, 0));
        }
    }

    #[test]
    fn a_disk_that_cannot_be_written_means_waiting_not_losing() {
        let (folder, mut spool) = spool(100, 1000);
        std::fs::write(folder.path().join("spool"), "a file where the folder should be").unwrap();
        spool.push(Stream::Stdout, vec![1; 36].into());
        spool.push(Stream::Stdout, vec![2; 36].into());
        assert!(spool.is_full());
        assert_eq!(
            all(&spool, 0, 100),
            [(Stream::Stdout, [vec![1; 36], vec![2; 36]].concat())]
        );
        assert!(spool.confirm(72));
    }

    #[test]
    fn single_bytes_of_alternating_streams_are_bounded_too() {
        let (_folder, mut spool) = spool(64 * 10, 1_000_000);
        let mut pushed = 0;
        while !spool.is_full() {
            spool.push(
                if pushed % 2 == 0 {
                    Stream::Stdout
                } else {
                    Stream::Stderr
                },
                vec![0].into(),
            );
            pushed += 1;
        }
        assert!(pushed < 100, "{pushed} entries for 10 in memory and 74 on disk");
    }
}
