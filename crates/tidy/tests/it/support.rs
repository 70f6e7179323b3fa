//! What the tests look at: the workspace as cargo sees it, the files as git sees them.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// The folder of the repository.
pub(crate) fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the repository is there")
}

/// The packages of the workspace, with their dependencies and manifests.
pub(crate) fn packages() -> Vec<Value> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("there are packages");
    assert!(packages.len() >= 10, "the workspace has its rooms");
    packages.clone()
}

/// A text that must be there.
pub(crate) fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("{key} is a text in {value}"))
}

/// A package's room: `ironmaster-store` is `store`, the program is `ironmaster`.
pub(crate) fn room(package: &Value) -> &str {
    short(text(package, "name"))
}

/// The room that a package of this name is.
pub(crate) fn short(name: &str) -> &str {
    name.strip_prefix("ironmaster-").unwrap_or(name)
}

/// A file that is part of the repository, or is about to be.
pub(crate) struct File {
    /// Relative to the repository, with `/`.
    pub(crate) path: String,
    /// Its text; files that hold anything else are left out.
    pub(crate) text: String,
}

/// All text files that git tracks or would add, in order.
pub(crate) fn files() -> Vec<File> {
    let root = root();
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(&root)
        .output()
        .expect("git runs");
    assert!(
        output.status.success(),
        "git ls-files: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut paths: Vec<String> = String::from_utf8(output.stdout)
        .expect("names are UTF-8")
        .split_terminator('\0')
        .map(str::to_owned)
        .collect();
    paths.sort();
    paths.dedup();
    let files: Vec<File> = paths
        .into_iter()
        .filter_map(|path| {
            // One that was removed but not yet committed is still listed.
            let bytes = std::fs::read(root.join(&path)).ok()?;
            let text = String::from_utf8(bytes).ok()?;
            (!text.contains('\0')).then_some(File { path, text })
        })
        .collect();
    assert!(files.len() > 50, "the repository has its files");
    files
}

/// Fails with all findings.
#[track_caller]
pub(crate) fn report(findings: &[String], help: &str) {
    assert!(
        findings.is_empty(),
        "{} found:\n  {}\n{help}",
        findings.len(),
        findings.join("\n  ")
    );
}
