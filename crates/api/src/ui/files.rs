//! Static files.

use std::{
    borrow::Cow,
    fs,
    path::{Component, Path},
    time::UNIX_EPOCH,
};

use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "$IRONMASTER_UI"]
struct Bundle;

/// A file to be served.
pub(super) struct File {
    pub(super) bytes: Cow<'static, [u8]>,
    /// With its quotes.
    pub(super) etag: String,
}

/// A file of the bundled UI. (Debug builds read the folder at run time.)
pub(super) fn embedded(path: &str) -> Option<File> {
    let file = Bundle::get(path)?;
    let etag = format!("\"{}\"", hex::encode(&file.metadata.sha256_hash()[..12]));
    Some(File {
        bytes: file.data,
        etag,
    })
}

/// A file below a directory, never one outside, also not through a symbolic link.
pub(super) fn from_directory(root: &Path, path: &str) -> Option<File> {
    let path = Path::new(path);
    if !path
        .components()
        .all(|component| matches!(component, Component::Normal(_)))
    {
        return None;
    }
    let root = root.canonicalize().ok()?;
    let file = root.join(path).canonicalize().ok()?;
    if !file.starts_with(&root) {
        return None;
    }
    let metadata = fs::metadata(&file).ok().filter(fs::Metadata::is_file)?;
    let changed = metadata
        .modified()
        .ok()?
        .duration_since(UNIX_EPOCH)
        .ok()?
        .as_nanos();
    let etag = format!("\"{:x}-{changed:x}\"", metadata.len());
    Some(File {
        bytes: Cow::Owned(fs::read(&file).ok()?),
        etag,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_the_directory_is_served() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "x").unwrap();
        let root = outside.path().join("ui");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("app.js"), "js").unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), root.join("link")).unwrap();
        assert_eq!(&*from_directory(&root, "app.js").unwrap().bytes, b"js");
        for path in [
            "../secret",
            "/etc/passwd",
            "link",
            "",
            ".",
            "missing",
            "a/../../secret",
        ] {
            assert!(from_directory(&root, path).is_none(), "{path}");
        }
    }

    #[test]
    fn there_is_always_an_index() {
        assert!(embedded("index.html").is_some());
        assert!(embedded("../Cargo.toml").is_none());
    }
}
