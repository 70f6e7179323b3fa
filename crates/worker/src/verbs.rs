//! The verbs that are not programs: files and folders. They block, so they run on a thread for blocking work.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    sync::atomic::AtomicBool,
    time::UNIX_EPOCH,
};

use bytes::{Bytes, BytesMut};
use ironmaster_wire::{MAX_CHUNK, MAX_PUT, Outcome, Put, Verb, WorkerInfo};
use serde_json::{Value, json};

use crate::{
    glob,
    paths::{Basedir, Failure, STATE_FOLDER},
    trees::{copy_tree, remove_tree},
};

/// Does what the verb says. `output` takes the bytes of a `get` and says whether anybody still wants them.
pub(crate) fn perform(
    base: &Basedir,
    info: &WorkerInfo,
    verb: Verb,
    cancel: &AtomicBool,
    output: impl FnMut(Bytes) -> bool,
) -> Outcome {
    let result = match verb {
        Verb::Put(put) => write(base, &put),
        Verb::Get { path, max_bytes } => read(base, &path, max_bytes, output),
        Verb::Mkdir { path } => make_folder(base, &path),
        Verb::Remove { path } => remove(base, &path, cancel),
        Verb::Copy { from, to } => copy(base, &from, &to, cancel),
        Verb::Stat { path } => stat(base, &path),
        Verb::Glob { pattern } => find(base, &pattern, cancel),
        Verb::List { path } => list(base, &path),
        Verb::Info => serde_json::to_value(info).map_err(|error| Failure::invalid(error.to_string())),
        Verb::Exec(_) => Err(Failure::invalid("exec is no file operation")),
    };
    match result {
        Ok(value) => Outcome::Value { value },
        Err(failure) => failure.into(),
    }
}

fn write(base: &Basedir, put: &Put) -> Result<Value, Failure> {
    if put.content.len() > MAX_PUT {
        return Err(Failure::invalid(format!(
            "one put carries at most {MAX_PUT} bytes; send more pieces"
        )));
    }
    let what = format!("write {:?}", put.path);
    let failed = |error: io::Error| Failure::io(&what, &error);
    let path = base.entry(&put.path, true)?;
    let permissions = fs::Permissions::from_mode(put.mode & 0o7777);
    if put.offset > 0 {
        let open = || {
            let mut options = OpenOptions::new();
            options
                .write(true)
                .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
                .open(&path)
        };
        let file = match open() {
            // The piece before has given it the permissions that it is to have.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
                open()
            }
            other => other,
        };
        let file = file.map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        if length < put.offset {
            let message = format!(
                "cannot {what} from byte {} on: it has only {length} bytes",
                put.offset
            );
            return Err(Failure::invalid(message));
        }
        file.set_len(put.offset).map_err(failed)?;
        file.write_all_at(&put.content, put.offset).map_err(failed)?;
        file.set_permissions(permissions).map_err(failed)?;
        return Ok(Value::Null);
    }
    // A new file takes the old one's place in one step: nobody sees half of it, and a link is not written through.
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .chars()
        .take(64)
        .collect::<String>();
    let temporary = path.with_file_name(format!(".{name}.{}", crate::random_hex()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
        file.write_all(&put.content)?;
        file.set_permissions(permissions)?;
        fs::rename(&temporary, &path)
    })();
    written.map(|()| Value::Null).map_err(|error| {
        let _ = fs::remove_file(&temporary);
        failed(error)
    })
}

fn read(
    base: &Basedir,
    text: &str,
    max: u64,
    mut output: impl FnMut(Bytes) -> bool,
) -> Result<Value, Failure> {
    let failed = |error: io::Error| Failure::io(&format!("read {text:?}"), &error);
    let path = base.existing(text)?;
    // Without waiting, so that a pipe in the folder cannot hold the worker.
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(Failure::invalid(format!("{text:?} is not a file")));
    }
    let too_large =
        |size: u64| Failure::invalid(format!("{text:?} has {size} bytes, more than the limit of {max}"));
    if metadata.len() > max {
        return Err(too_large(metadata.len()));
    }
    let mut total = 0;
    loop {
        let mut buffer = BytesMut::zeroed(MAX_CHUNK);
        let length = file.read(&mut buffer).map_err(failed)?;
        if length == 0 {
            return Ok(Value::Null);
        }
        total += length as u64;
        if total > max {
            return Err(too_large(total));
        }
        buffer.truncate(length);
        if !output(buffer.freeze()) {
            return Err(Failure::invalid("interrupted"));
        }
    }
}

fn make_folder(base: &Basedir, text: &str) -> Result<Value, Failure> {
    if base.lexical(text)? == base.path() {
        return Ok(Value::Null);
    }
    let path = base.entry(text, true)?;
    fs::create_dir_all(path).map_err(|error| Failure::io(&format!("make the folder {text:?}"), &error))?;
    // What was there may be a link to a folder elsewhere, in which nothing can be put.
    base.existing(text)?;
    Ok(Value::Null)
}

fn remove(base: &Basedir, text: &str, cancel: &AtomicBool) -> Result<Value, Failure> {
    let path = base.entry(text, false)?;
    remove_tree(&path, cancel).map_err(|error| Failure::io(&format!("remove {text:?}"), &error))?;
    Ok(Value::Null)
}

fn copy(base: &Basedir, from: &str, to: &str, cancel: &AtomicBool) -> Result<Value, Failure> {
    let source = base.existing(from)?;
    let target = base.entry(to, true)?;
    if target.starts_with(&source) {
        return Err(Failure::invalid(format!("cannot copy {from:?} into itself")));
    }
    copy_tree(&source, &target, cancel)
        .map_err(|error| Failure::io(&format!("copy {from:?} to {to:?}"), &error))?;
    Ok(Value::Null)
}

fn stat(base: &Basedir, text: &str) -> Result<Value, Failure> {
    let path = if base.lexical(text)? == base.path() {
        base.path().to_owned()
    } else {
        base.entry(text, false)?
    };
    let metadata = path
        .symlink_metadata()
        .map_err(|error| Failure::io(&format!("look at {text:?}"), &error))?;
    let kind = if metadata.is_file() {
        "file"
    } else if metadata.is_dir() {
        "dir"
    } else if metadata.is_symlink() {
        "symlink"
    } else {
        "other"
    };
    let modified = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Ok(json!({
        "type": kind,
        "size": metadata.len(),
        "mode": metadata.mode() & 0o7777,
        "mtime_us": modified.map_or(0, |time| time.as_micros() as u64),
    }))
}

fn find(base: &Basedir, pattern: &str, cancel: &AtomicBool) -> Result<Value, Failure> {
    base.lexical(pattern)?;
    // The part before the first wildcard may be a link that leads out.
    let fixed: Vec<&str> = pattern
        .split('/')
        .take_while(|part| !part.contains(['*', '?', '[']))
        .collect();
    match base.existing(&fixed.join("/")) {
        Err(failure) if failure.kind != ironmaster_wire::FailureKind::NotFound => return Err(failure),
        _ => {}
    }
    Ok(json!(glob::find(base.path(), pattern, cancel)?))
}

fn list(base: &Basedir, text: &str) -> Result<Value, Failure> {
    let failed = |error: io::Error| Failure::io(&format!("list {text:?}"), &error);
    let path = base.existing(text)?;
    let mut names = Vec::new();
    let mut size = glob::Size::default();
    for entry in fs::read_dir(&path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if path == base.path() && name == STATE_FOLDER {
            continue;
        }
        if !size.add(&name) {
            return Err(Failure::invalid(format!(
                "{text:?} has too many entries for one answer; use a glob"
            )));
        }
        names.push(name);
    }
    names.sort();
    Ok(json!(names))
}
