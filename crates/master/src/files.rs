//! The files that builds leave with the master and take from it: what `upload` writes, `download` reads and the pages
//! serve.
//!
//! A file arrives under a name of its own, made of the command that sends it. Each piece is written at its place in the
//! command's output, so that a piece may come twice. Only when all of it is durable it is put where it belongs, in one
//! step; the name of its own stays until the command's outcome is committed, so that a master that dies in between finds
//! it again.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::SystemTime,
};

use ironmaster_model::wrong_path;
use ironmaster_wire::{CommandId, MAX_PUT};

/// Where files are that have not arrived as a whole; nobody is given one of these.
const INCOMING: &str = ".incoming";

/// Why a file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// No file can have this path.
    #[error("the path \"{path}\" {wrong}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        wrong: &'static str,
    },
    /// There is none.
    #[error("there is no file {path} in {dir}")]
    Missing {
        /// The path.
        path: String,
        /// The folder of all files.
        dir: PathBuf,
    },
    /// The system refuses it.
    #[error("cannot {verb} {path}: {source}")]
    Io {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl FileError {
    /// Whether there is no room for it.
    pub(crate) fn is_no_space(&self) -> bool {
        let Self::Io { source, .. } = self else {
            return false;
        };
        matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }
}

/// The folder of all files.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    dir: PathBuf,
    /// Builds that may have something in there which still arrives.
    arriving: Arc<Mutex<BTreeSet<u64>>>,
}

impl Files {
    /// The files of a state directory. The folder is made when the first one arrives.
    pub(crate) fn new(state_dir: &Path) -> Self {
        Self {
            dir: state_dir.join("files"),
            arriving: Arc::default(),
        }
    }

    /// Where a file is, or will be.
    fn place(&self, path: &str) -> Result<PathBuf, FileError> {
        let refused = |wrong| FileError::Path {
            path: path.to_owned(),
            wrong,
        };
        if let Some(wrong) = wrong_path(path) {
            return Err(refused(wrong));
        }
        let mut parts = path
            .split('/')
            .filter(|part| !matches!(*part, "" | "."))
            .peekable();
        match parts.peek() {
            None => return Err(refused("names no file")),
            Some(first) if *first == INCOMING => return Err(refused("is kept for files that still arrive")),
            Some(_) => {}
        }
        Ok(self.dir.join(parts.collect::<PathBuf>()))
    }

    /// Opens a file to read it; gives where it is, too. Blocks.
    pub(crate) fn open(&self, path: &str) -> Result<(File, PathBuf), FileError> {
        let place = self.place(path)?;
        let missing = || FileError::Missing {
            path: path.to_owned(),
            dir: self.dir.clone(),
        };
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => missing(),
            _ => FileError::Io {
                verb: "read",
                path: place.clone(),
                source,
            },
        };
        // Looked at before it is opened: to open a pipe would wait for its other end.
        if !fs::metadata(&place).map_err(failed)?.is_file() {
            return Err(missing());
        }
        Ok((File::open(&place).map_err(failed)?, place))
    }

    /// Readies a file that a command sends, or takes up what an earlier process of this master has of it. Blocks.
    pub(crate) fn incoming(&self, id: CommandId, path: &str, mode: u32) -> Result<Incoming, FileError> {
        let target = self.place(path)?;
        self.arriving().insert(id.build);
        let folder = self.dir.join(INCOMING);
        let partial = folder.join(format!("{}.{}.{}", id.build, id.step, id.ordinal));
        let opened = make_folders(&folder).and_then(|()| {
            let open = || {
                let mut options = OpenOptions::new();
                options.write(true).create(true).truncate(false).open(&partial)
            };
            let file = match open() {
                // It was in its place already, and has the permissions that it is to have.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    fs::set_permissions(&partial, Permissions::from_mode(0o600))?;
                    open()?
                }
                other => other?,
            };
            let had = file.metadata()?.len();
            if had == 0 {
                // What is made durable in it must not lose its name.
                File::open(&folder)?.sync_all()?;
            }
            Ok((file, had))
        });
        let (file, had) = opened.map_err(|source| FileError::Io {
            verb: "write",
            path: partial.clone(),
            source,
        })?;
        Ok(Incoming {
            path: path.to_owned(),
            file,
            had,
            partial,
            target,
            mode,
        })
    }

    fn arriving(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.arriving.lock().expect("no panic while holding the lock")
    }

    /// A master starts: removes what builds that are over have left. Blocks.
    pub(crate) fn sweep(&self, active: &BTreeSet<u64>) {
        self.remove_incoming(|build| match build {
            Some(build) if active.contains(&build) => {
                self.arriving().insert(build);
                false
            }
            _ => true,
        });
    }

    /// A build is over: removes what it has left. Nothing will ask for that again. Blocks, if there may be something.
    pub(crate) fn forget(&self, build: u64) {
        if self.arriving().remove(&build) {
            tokio::task::block_in_place(|| self.remove_incoming(|of| of == Some(build)));
        }
    }

    /// Removes files that still arrive, by the build that they are of.
    fn remove_incoming(&self, is_over: impl Fn(Option<u64>) -> bool) {
        let Ok(entries) = fs::read_dir(self.dir.join(INCOMING)) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let build = name
                .to_str()
                .and_then(|name| name.split('.').next())
                .and_then(|build| build.parse().ok());
            if is_over(build)
                && let Err(error) = gone(fs::remove_file(entry.path()))
            {
                tracing::warn!(file = %entry.path().display(), %error, "cannot remove a file that never arrived as a whole");
            }
        }
    }
}

/// A file on its way from a worker.
#[derive(Debug)]
pub(crate) struct Incoming {
    path: String,
    file: File,
    had: u64,
    partial: PathBuf,
    target: PathBuf,
    mode: u32,
}

impl Incoming {
    /// How much of it an earlier process of this master has written, in bytes. What it told the worker to be durable is; of
    /// the rest nothing is known.
    pub(crate) fn had(&self) -> u64 {
        self.had
    }

    /// Where it goes, as the step says it.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Writes a piece. Blocks.
    pub(crate) fn write(&self, offset: u64, data: &[u8]) -> Result<(), FileError> {
        self.file
            .write_all_at(data, offset)
            .map_err(|source| self.failed(source))
    }

    /// Makes durable what was written. Blocks.
    pub(crate) fn sync(&self) -> Result<(), FileError> {
        self.file.sync_data().map_err(|source| self.failed(source))
    }

    /// It is there as a whole, with so many bytes: puts it in its place. May be repeated. Blocks.
    pub(crate) fn publish(&self, length: u64) -> Result<(), FileError> {
        let link = self.partial.with_added_extension("link");
        let placed = || -> io::Result<()> {
            let had = self.file.metadata()?.len();
            if had != length {
                return Err(io::Error::other(format!("{had} of {length} bytes have arrived")));
            }
            self.file.set_permissions(Permissions::from_mode(self.mode))?;
            // Who has the file that it replaces must not take it for the same.
            self.file.set_modified(SystemTime::now())?;
            self.file.sync_all()?;
            let folder = self.target.parent().unwrap_or(&self.target);
            make_folders(folder)?;
            gone(fs::remove_file(&link))?;
            fs::hard_link(&self.partial, &link)?;
            fs::rename(&link, &self.target)?;
            // If the target was this same file, both names are still there.
            gone(fs::remove_file(&link))?;
            File::open(folder)?.sync_all()
        };
        placed().map_err(|source| {
            let _ = fs::remove_file(&link);
            FileError::Io {
                verb: "write",
                path: self.target.clone(),
                source,
            }
        })
    }

    /// Nobody will ask for what arrived any more: it is in its place, or not wanted. Blocks.
    pub(crate) fn forget(&self) {
        if let Err(error) = gone(fs::remove_file(&self.partial)) {
            tracing::warn!(file = %self.partial.display(), %error, "cannot remove a file that arrived; the next start tries again");
        }
    }

    fn failed(&self, source: io::Error) -> FileError {
        FileError::Io {
            verb: "write",
            path: self.partial.clone(),
            source,
        }
    }
}

/// Makes a folder and those above it, so that they survive a loss of power.
fn make_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let Some(above) = folder.parent() else {
        return Ok(());
    };
    make_folders(above)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => return Ok(()),
        other => other?,
    }
    File::open(above)?.sync_all()
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A file that a step reads, piece by piece.
#[derive(Debug)]
pub(crate) struct Reading {
    path: String,
    file: File,
}

impl Reading {
    /// Opens it. Blocks.
    pub(crate) fn begin(files: &Files, path: &str) -> Result<Self, FileError> {
        let (file, _) = files.open(path)?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    pub(crate) fn is_of(&self, path: &str) -> bool {
        self.path == path
    }

    /// At most [`MAX_PUT`] bytes; nothing at its end. Blocks.
    pub(crate) fn piece(&self, offset: u64) -> Result<Vec<u8>, FileError> {
        let mut piece = vec![0; MAX_PUT];
        let mut length = 0;
        while length < piece.len() {
            match self.file.read_at(&mut piece[length..], offset + length as u64) {
                Ok(0) => break,
                Ok(more) => length += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(FileError::Io {
                        verb: "read",
                        path: self.path.clone().into(),
                        source,
                    });
                }
            }
        }
        piece.truncate(length);
        Ok(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: CommandId = CommandId {
        build: 7,
        step: 2,
        ordinal: 1,
    };

    fn files() -> (tempfile::TempDir, Files) {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path());
        (dir, files)
    }

    /// How many files still arrive.
    fn left(files: &Files) -> usize {
        fs::read_dir(files.dir.join(INCOMING)).unwrap().count()
    }

    fn content(files: &Files, path: &str) -> Vec<u8> {
        Reading::begin(files, path).unwrap().piece(0).unwrap()
    }

    #[test]
    fn a_file_appears_as_a_whole_and_replaces_what_was_there() {
        let (_dir, files) = files();
        for text in ["first", "2nd"] {
            let incoming = files.incoming(ID, "a/b/c.txt", 0o640).unwrap();
            assert_eq!(incoming.had(), 0);
            incoming.write(0, text.as_bytes()).unwrap();
            incoming.sync().unwrap();
            incoming.publish(text.len() as u64).unwrap();
            incoming.forget();
            assert_eq!(content(&files, "a/b/c.txt"), text.as_bytes());
        }
        let (file, place) = files.open("a//b/./c.txt").unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, 0o640);
        assert!(place.ends_with("files/a/b/c.txt"));
        assert_eq!(left(&files), 0);
    }

    #[test]
    fn what_arrived_is_taken_up_by_another_process_also_if_it_is_in_its_place() {
        let (_dir, files) = files();
        let begun = files.incoming(ID, "f", 0o644).unwrap();
        begun.write(0, b"abc").unwrap();
        drop(begun);
        let resumed = files.incoming(ID, "f", 0o644).unwrap();
        assert_eq!(resumed.had(), 3);
        // The worker sends what was not confirmed again.
        resumed.write(1, b"bcdef").unwrap();
        resumed.publish(6).unwrap();
        drop(resumed);
        // Nor does it matter that nobody may write it by now.
        let again = files.incoming(ID, "f", 0o444).unwrap();
        assert_eq!(again.had(), 6, "its outcome was not committed yet");
        again.publish(6).unwrap();
        let again = files.incoming(ID, "f", 0o444).unwrap();
        again.write(3, b"def").unwrap();
        again.publish(6).unwrap();
        again.forget();
        assert_eq!(content(&files, "f"), b"abcdef");
        assert_eq!(left(&files), 0);
    }

    #[test]
    fn what_lacks_something_does_not_appear() {
        let (_dir, files) = files();
        let incoming = files.incoming(ID, "f", 0o644).unwrap();
        incoming.write(0, b"abc").unwrap();
        let error = incoming.publish(4).unwrap_err().to_string();
        assert!(error.ends_with("files/f: 3 of 4 bytes have arrived"), "{error}");
        assert!(files.open("f").is_err());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn half_a_file_stays_for_its_build_and_goes_after_it() {
        let (_dir, files) = files();
        files.incoming(ID, "f", 0o644).unwrap().write(0, b"half").unwrap();
        // As after a restart.
        let files = Files {
            arriving: Arc::default(),
            ..files
        };
        files.sweep(&BTreeSet::from([7]));
        assert_eq!(files.incoming(ID, "f", 0o644).unwrap().had(), 4);
        files.sweep(&BTreeSet::from([8]));
        assert_eq!(files.incoming(ID, "f", 0o644).unwrap().had(), 0);
        assert!(matches!(files.open("f"), Err(FileError::Missing { .. })));

        files.incoming(ID, "f", 0o644).unwrap().write(0, b"half").unwrap();
        files.forget(8);
        assert_eq!(
            files.incoming(ID, "f", 0o644).unwrap().had(),
            4,
            "that was another build"
        );
        files.forget(7);
        assert_eq!(left(&files), 0);
    }

    #[test]
    fn wrong_places_are_refused() {
        let (_dir, files) = files();
        for path in ["../f", "/f", "", ".", ".incoming/7.2.1", "./.incoming/x"] {
            let error = files.incoming(ID, path, 0o644).unwrap_err();
            assert!(matches!(error, FileError::Path { .. }), "{path:?}: {error}");
            assert!(files.open(path).is_err(), "{path:?}");
        }
        let folder = files.incoming(ID, "folder/f", 0o644).unwrap();
        folder.publish(0).unwrap();
        assert!(matches!(files.open("folder"), Err(FileError::Missing { .. })));
        let error = files
            .incoming(ID, "folder", 0o644)
            .unwrap()
            .publish(0)
            .unwrap_err();
        assert!(error.to_string().contains("files/folder"), "{error}");
        let error = files.incoming(ID, "folder/f/g", 0o644).unwrap().publish(0);
        assert!(error.is_err(), "a file is no folder");
    }

    #[test]
    fn a_large_file_is_read_in_pieces() {
        let (_dir, files) = files();
        let bytes: Vec<u8> = (0..MAX_PUT + 10).map(|n| (n % 251) as u8).collect();
        let incoming = files.incoming(ID, "large", 0o644).unwrap();
        incoming.write(0, &bytes).unwrap();
        incoming.publish(bytes.len() as u64).unwrap();
        let reading = Reading::begin(&files, "large").unwrap();
        assert!(reading.is_of("large") && !reading.is_of("other"));
        assert_eq!(reading.piece(0).unwrap(), bytes[..MAX_PUT]);
        assert_eq!(reading.piece(MAX_PUT as u64).unwrap(), bytes[MAX_PUT..]);
        assert!(reading.piece(bytes.len() as u64).unwrap().is_empty());
    }
}
