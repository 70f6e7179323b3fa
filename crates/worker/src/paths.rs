//! Keeps every path that a master names below the base directory.
//!
//! This guards against mistakes, not against a hostile master, which may run any program anyway. So symbolic
//! links are resolved before use rather than with it.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use ironmaster_wire::{FailureKind, Outcome};

/// The worker's own folder in the base directory.
pub(crate) const STATE_FOLDER: &str = ".ironmaster-worker";

/// Why a verb did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Invalid,
            message: message.into(),
        }
    }

    /// `what` says what was tried, with the path as the master wrote it.
    pub(crate) fn io(what: &str, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => FailureKind::NotFound,
            io::ErrorKind::PermissionDenied => FailureKind::Permission,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FailureKind::NoSpace,
            _ => FailureKind::Io,
        };
        Self {
            kind,
            message: format!("cannot {what}: {error}"),
        }
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self::Failed {
            kind: failure.kind,
            message: failure.message,
        }
    }
}

/// The folder below which everything happens.
#[derive(Debug, Clone)]
pub(crate) struct Basedir {
    path: PathBuf,
}

impl Basedir {
    /// Makes the folder if it is missing.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        Ok(Self {
            path: path.canonicalize()?,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path.join(STATE_FOLDER)
    }

    /// The path as written, checked by its text alone.
    pub(crate) fn lexical(&self, text: &str) -> Result<PathBuf, Failure> {
        let refuse = |why: &str| Err(Failure::invalid(format!("path {text:?} {why}")));
        if text.contains('\0') {
            return refuse("contains a zero byte");
        }
        let mut path = self.path.clone();
        for component in Path::new(text).components() {
            match component {
                Component::CurDir => {}
                Component::Normal(name) if name == STATE_FOLDER && path == self.path => {
                    return refuse("belongs to the worker itself");
                }
                Component::Normal(name) => path.push(name),
                Component::ParentDir => {
                    return refuse("contains `..`; paths must stay below the base directory");
                }
                Component::RootDir | Component::Prefix(_) => {
                    return refuse("is absolute; paths are relative to the base directory");
                }
            }
        }
        Ok(path)
    }

    /// An existing path, with all symbolic links followed.
    pub(crate) fn existing(&self, text: &str) -> Result<PathBuf, Failure> {
        let path = self.lexical(text)?;
        let real = path
            .canonicalize()
            .map_err(|error| Failure::io(&format!("open {text:?}"), &error))?;
        self.confined(real, text)
    }

    /// A path that need not exist, itself not followed; only the folders above it are. They are made if `make`.
    pub(crate) fn entry(&self, text: &str, make: bool) -> Result<PathBuf, Failure> {
        let path = self.lexical(text)?;
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Failure::invalid(format!("path {text:?} names no file")));
        };
        if path == self.path {
            return Err(Failure::invalid(format!(
                "path {text:?} is the base directory itself"
            )));
        }
        // The deepest folder that exists decides whether what is below it stays inside.
        let existing = parent
            .ancestors()
            .find_map(|folder| Some((folder, folder.canonicalize().ok()?)));
        let Some((existing, real)) = existing else {
            return Err(Failure::invalid(format!("path {text:?} is below nothing")));
        };
        let rest = parent.strip_prefix(existing).unwrap_or(Path::new(""));
        let folder = self.confined(real, text)?.join(rest);
        if make {
            std::fs::create_dir_all(&folder)
                .map_err(|error| Failure::io(&format!("make the folder of {text:?}"), &error))?;
        }
        Ok(folder.join(name))
    }

    fn confined(&self, real: PathBuf, text: &str) -> Result<PathBuf, Failure> {
        if !real.starts_with(&self.path) || real.starts_with(self.state()) {
            return Err(Failure::invalid(format!(
                "path {text:?} leads out of the base directory by a symbolic link"
            )));
        }
        Ok(real)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn paths_stay_below_the_base_directory() {
        let folder = tempfile::tempdir().unwrap();
        let base = Basedir::open(&folder.path().join("base")).unwrap();
        std::fs::create_dir(folder.path().join("outside")).unwrap();
        std::fs::create_dir(base.path().join("inside")).unwrap();
        symlink("../outside", base.path().join("out")).unwrap();
        symlink("inside", base.path().join("in")).unwrap();
        symlink("/nowhere", base.path().join("dangling")).unwrap();
        let table: &[(&str, bool)] = &[
            ("a", true),
            ("./a/b", true),
            ("inside/new/file", true),
            ("in/file", true),
            ("out", true), // the link itself
            ("dangling", true),
            ("..", false),
            ("a/../b", false),
            ("/etc/passwd", false),
            ("out/file", false),
            ("out/new/file", false),
            ("", false),
            (".", false),
            ("a\0b", false),
            (".ironmaster-worker", false),
            ("./.ironmaster-worker/lock", false),
            ("inside/.ironmaster-worker", true),
        ];
        for (text, allowed) in table {
            assert_eq!(base.entry(text, false).is_ok(), *allowed, "{text:?}");
        }
        assert!(base.existing("in").is_ok());
        assert!(base.existing("").is_ok());
        assert_eq!(base.existing("missing").unwrap_err().kind, FailureKind::NotFound);
        assert_eq!(base.existing("out").unwrap_err().kind, FailureKind::Invalid);
    }
}
