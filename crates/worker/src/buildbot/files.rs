//! Commands about files that need no program. They block.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path, sync::atomic::AtomicBool};

use ironmaster_buildbot::{Command, FileStat, Update};

use crate::{glob, paths::STATE_FOLDER};

/// Why a command did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The system said no, about this path.
    System(io::Error, String),
    /// There is no number for it.
    Other(String),
}

/// Does it. What came of it is told before the exit code.
pub(super) fn perform(
    base: &Path,
    command: &Command,
    cancel: &AtomicBool,
) -> Result<Option<Update>, Failure> {
    let about = |path: &str| {
        let path = path.to_owned();
        move |error: io::Error| Failure::System(error, path)
    };
    match command {
        Command::MakeDirectories { paths } => {
            for path in paths {
                fs::create_dir_all(path).map_err(about(path))?;
            }
            Ok(None)
        }
        Command::Stat(place) => {
            let found = fs::metadata(&place.path).map_err(about(&place.path))?;
            Ok(Some(Update::Stat(FileStat {
                mode: found.mode(),
                ino: found.ino().into(),
                dev: found.dev().into(),
                nlink: found.nlink() as i64,
                uid: found.uid().into(),
                gid: found.gid().into(),
                size: found.size(),
                atime: found.atime(),
                mtime: found.mtime(),
                ctime: found.ctime(),
            })))
        }
        Command::ListDirectory { path } => {
            let own = Path::new(path).canonicalize().is_ok_and(|path| path == base);
            let mut names = Vec::new();
            for entry in fs::read_dir(path).map_err(about(path))? {
                let name = entry.map_err(about(path))?.file_name();
                // A master may remove what it does not know.
                if !(own && name == STATE_FOLDER) {
                    names.push(name.to_string_lossy().into_owned());
                }
            }
            names.sort();
            Ok(Some(Update::Files(names)))
        }
        Command::Glob { path } => find(path, cancel).map(|found| Some(Update::Files(found))),
        Command::RemoveFile { path } => {
            fs::remove_file(path).map_err(about(path))?;
            Ok(None)
        }
        other => Err(Failure::Other(format!(
            "{} is no command about files",
            other.name()
        ))),
    }
}

/// Absolute paths. `**` at the end stands for the folder itself, too.
fn find(pattern: &str, cancel: &AtomicBool) -> Result<Vec<String>, Failure> {
    let search = |pattern: &str| {
        glob::find(Path::new("/"), pattern, cancel).map_err(|failure| Failure::Other(failure.message))
    };
    let absolute = |path: String| format!("/{path}");
    let mut found: Vec<String> = Vec::new();
    if let Some(above) = pattern.strip_suffix("/**") {
        let folders = search(above)?.into_iter().map(absolute);
        found.extend(
            folders
                .filter(|path| Path::new(path).is_dir())
                .map(|path| path + "/"),
        );
    }
    found.extend(search(pattern)?.into_iter().map(absolute));
    Ok(found)
}

/// What the system says, without the number.
pub(super) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// `~` and `~user` at the beginning of a path, as shells read them.
pub(super) fn expand_home(path: &str) -> String {
    let Some(rest) = path.strip_prefix('~') else {
        return path.to_owned();
    };
    let (user, below) = match rest.split_once('/') {
        Some((user, below)) => (user, Some(below)),
        None => (rest, None),
    };
    let home = if user.is_empty() {
        std::env::var("HOME").ok()
    } else {
        fs::read_to_string("/etc/passwd").ok().and_then(|users| {
            let line = users.lines().find(|line| line.split(':').next() == Some(user))?;
            line.split(':').nth(5).map(Into::into)
        })
    };
    match (home, below) {
        (None, _) => path.to_owned(),
        (Some(home), None) => home,
        (Some(home), Some(below)) => format!("{}/{below}", home.trim_end_matches('/')),
    }
}
