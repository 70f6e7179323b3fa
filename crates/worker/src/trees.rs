//! Copying whole folders. What is in them was made by builds and may be anything, also links to elsewhere.

use std::{
    fs::{self, OpenOptions, Permissions},
    io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use crate::paths::STATE_FOLDER;

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
    // Not one call in another: builds can make folders so deep that no stack would do.
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
