//! The folders of builders: made for those that there are, removed where nobody has them any more and the owner wants that.

use std::{
    ffi::OsStr,
    fs,
    io::ErrorKind,
    os::unix::fs::PermissionsExt as _,
    path::{Component, Path, PathBuf},
    sync::atomic::AtomicBool,
};

use ironmaster_buildbot::Builder;

use crate::{paths::STATE_FOLDER, random_hex, trees::remove_tree};

/// Where folders wait for their removal, in the worker's own folder.
const REMOVED: &str = "removed";

/// Makes the folders of these builders, and has those that are left over removed, if that is wanted.
pub(super) fn settle(base: &Path, builders: &[Builder], remove: bool) {
    for builder in builders {
        let path = base.join(&builder.dir);
        if let Err(error) = fs::create_dir_all(&path) {
            tracing::error!("cannot make {}: {error}", path.display());
        }
    }
    let left: Vec<PathBuf> = left_over(base, builders);
    if !remove {
        for path in left {
            tracing::debug!("{} belongs to no builder", path.display());
        }
        return;
    }
    let removed = base.join(STATE_FOLDER).join(REMOVED);
    for path in left {
        tracing::info!("removing {}, which no builder has any more", path.display());
        if let Err(error) = put_away(&path, &removed) {
            tracing::error!("cannot remove {}: {error}", path.display());
        }
    }
    // It may take its time.
    tokio::task::spawn_blocking(move || remove_all(&removed));
}

/// Removes whatever was put away, also by a worker that was killed before it was through.
fn remove_all(removed: &Path) {
    let Ok(entries) = fs::read_dir(removed) else {
        return;
    };
    for entry in entries.flatten() {
        match remove_tree(&entry.path(), &AtomicBool::new(false)) {
            Ok(()) => {}
            // Somebody else is at it.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => tracing::error!("cannot remove {}: {error}", entry.path().display()),
        }
    }
}

/// Folders below the worker's own that no builder has.
fn left_over(base: &Path, builders: &[Builder]) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(base) else {
        return Vec::new();
    };
    let is_left = |name: &OsStr| {
        name != "info"
            && name != STATE_FOLDER
            && builders.iter().all(|builder| first(&builder.dir) != Some(name))
    };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()) && is_left(&entry.file_name()))
        .map(|entry| entry.path())
        .collect()
}

/// The folder below the worker's own that a builder's is in.
fn first(dir: &str) -> Option<&OsStr> {
    Path::new(dir).components().find_map(|part| match part {
        Component::Normal(part) => Some(part),
        _ => None,
    })
}

/// Moves a folder out of the way at once: a builder of that name may be back before the removal is over, and begins with an empty one.
fn put_away(path: &Path, removed: &Path) -> std::io::Result<()> {
    fs::create_dir_all(removed)?;
    let mode = path.metadata()?.permissions().mode();
    if mode & 0o700 != 0o700 {
        // A folder that is moved is written to. If this fails, so does what follows, with the better message.
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o700));
    }
    fs::rename(path, removed.join(random_hex()))
}
