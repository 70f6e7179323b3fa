//! Removing and copying whole folders. What is in them was made by builds and may be anything: links to elsewhere, folders
//! that forbid their removal, and folders in folders so deep that no stack would do for calls in calls.

use std::{
    ffi::{CStr, CString},
    fs::{self, OpenOptions, Permissions},
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::{
            ffi::OsStrExt as _,
            fs::{OpenOptionsExt as _, PermissionsExt as _, symlink},
        },
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    fs::{AtFlags, Dir, Mode, OFlags, Stat, chmod, fstat, open, openat, unlinkat},
    io::Errno,
};

use crate::paths::STATE_FOLDER;

/// How many names of a folder are read at once, as it may have any number.
const NAMES: usize = 4096;

/// A folder that is being emptied.
struct Level {
    /// Names in it that were read and are still there.
    names: Vec<CString>,
    /// Whether there may be others.
    more: bool,
}

/// Removes whatever is there. Folders without write permission (Go's module cache, for one) are opened up first.
///
/// All names are looked up in a folder that is open: paths may be longer than the system takes, and nothing is removed
/// through a link that somebody puts in a folder's place meanwhile.
pub(crate) fn remove_tree(path: &Path, cancel: &AtomicBool) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut here = match open(
        parent,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    };
    let mut level = Level {
        names: vec![CString::new(name.as_bytes())?],
        more: false,
    };
    // The folders above, not open, as there may be more than a process may have files open: which each was, what was left
    // of it, and the name in it of the next one.
    let mut above: Vec<(Stat, Level, CString)> = Vec::new();
    loop {
        check(cancel)?;
        if level.names.is_empty() && level.more {
            level = read(&here)?;
        }
        if let Some(name) = level.names.pop() {
            match unlinkat(&here, &name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::ISDIR) => {
                    let folder = match enter(&here, &name) {
                        Err(Errno::NOENT) => continue,
                        other => other?,
                    };
                    let inside = read(&folder)?;
                    above.push((fstat(&here)?, std::mem::replace(&mut level, inside), name));
                    here = folder;
                }
                Err(error) => return Err(error.into()),
            }
        } else {
            let Some((was, outside, name)) = above.pop() else {
                return Ok(());
            };
            here = openat(
                &here,
                c"..",
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )?;
            if !is_same(&fstat(&here)?, &was) {
                return Err(io::Error::other("something moved a folder in it meanwhile"));
            }
            level = outside;
            match unlinkat(&here, &name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Opens a folder in a folder, with all permissions for its owner.
fn enter(above: &OwnedFd, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = openat(above, name, flags, Mode::empty())?;
    let mode = Mode::from_raw_mode(fstat(&folder)?.st_mode);
    if !mode.contains(Mode::RWXU) {
        // It may be open in this way alone, and be changed by its name here alone. If this fails, so does what follows, with
        // the better message.
        let _ = chmod(format!("/proc/self/fd/{}", folder.as_raw_fd()), mode | Mode::RWXU);
    }
    Ok(folder)
}

/// Names in a folder.
fn read(folder: &OwnedFd) -> rustix::io::Result<Level> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut names = Vec::new();
    for entry in Dir::new(openat(folder, c".", flags, Mode::empty())?)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
        if names.len() == NAMES {
            return Ok(Level { names, more: true });
        }
    }
    Ok(Level { names, more: false })
}

fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// What is left to do of a copy, for one folder.
enum Step {
    /// To copy what is in the first into the second.
    Fill(PathBuf, PathBuf),
    /// To give it the permissions of the original, once nothing is written in it any more.
    Close(PathBuf, Permissions),
}

/// Copies whatever is there. A folder is joined with one that is there; everything else takes the place of the file or link
/// that is there, and no link is followed.
pub(crate) fn copy_tree(from: &Path, to: &Path, cancel: &AtomicBool) -> io::Result<()> {
    let mut steps = Vec::new();
    copy_entry(from, to, &mut steps)?;
    while let Some(step) = steps.pop() {
        match step {
            Step::Fill(from, to) => {
                for entry in fs::read_dir(&from)? {
                    check(cancel)?;
                    let name = entry?.file_name();
                    if name != STATE_FOLDER {
                        copy_entry(&from.join(&name), &to.join(&name), &mut steps)?;
                    }
                }
            }
            Step::Close(to, permissions) => OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_NOFOLLOW | libc::O_DIRECTORY)
                .open(to)?
                .set_permissions(permissions)?,
        }
    }
    Ok(())
}

/// Copies one thing. What is in a folder follows in further steps.
fn copy_entry(from: &Path, to: &Path, steps: &mut Vec<Step>) -> io::Result<()> {
    let metadata = from.symlink_metadata()?;
    if metadata.is_symlink() {
        make_way(to)?;
        symlink(fs::read_link(from)?, to)
    } else if metadata.is_dir() {
        if !to.symlink_metadata().is_ok_and(|there| there.is_dir()) {
            make_way(to)?;
            fs::create_dir(to)?;
        }
        steps.push(Step::Close(to.to_owned(), metadata.permissions()));
        steps.push(Step::Fill(from.to_owned(), to.to_owned()));
        Ok(())
    } else if metadata.is_file() {
        make_way(to)?;
        let mut from = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(from)?;
        let mut to = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(metadata.permissions().mode() & 0o700)
            .open(to)?;
        io::copy(&mut from, &mut to)?;
        to.set_permissions(metadata.permissions())
    } else {
        // Sockets, pipes and devices are not data.
        Ok(())
    }
}

/// Removes the file or link that is there.
fn make_way(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn check(cancel: &AtomicBool) -> io::Result<()> {
    if cancel.load(Ordering::Relaxed) {
        return Err(io::Error::other("interrupted"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_names_than_are_read_at_once_are_removed_and_nothing_beside_them() {
        let folder = tempfile::tempdir().unwrap();
        let (kept, tree) = (folder.path().join("kept"), folder.path().join("tree"));
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "").unwrap();
        fs::create_dir(&tree).unwrap();
        for number in 0..NAMES + 10 {
            fs::write(tree.join(number.to_string()), "").unwrap();
        }
        for name in ["a", "b"] {
            fs::create_dir_all(tree.join(name).join("below")).unwrap();
            symlink(&kept, tree.join(name).join("link")).unwrap();
        }
        let remove = |path: &Path, cancelled| remove_tree(path, &AtomicBool::new(cancelled));
        assert!(remove(&tree, true).is_err());
        assert!(tree.exists());
        remove(&tree, false).unwrap();
        // It is fine if nothing is there, nor where it could be.
        remove(&tree, false).unwrap();
        remove(&tree.join("below"), false).unwrap();
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().collect();
        assert_eq!(left.len(), 1);
        assert!(kept.join("file").exists());
    }
}
