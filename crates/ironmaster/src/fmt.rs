//! `ironmaster fmt`.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use ironmaster_config::format::{FormatError, format};

use crate::{catalogue::catalogue, failure::Failure};

pub(crate) fn run(files: &[PathBuf], check: bool) -> Result<(), Failure> {
    let catalogue = catalogue();
    let mut would_change = Vec::new();
    for file in files {
        if file.extension().is_some_and(|extension| extension == "star") {
            return Err(Failure::Failed {
                message: format!("{} is Starlark, and only TOML is laid out", file.display()),
                hint: Some("formatters of Bazel's world, such as buildifier, know Starlark".into()),
            });
        }
        let text = fs::read_to_string(file)
            .map_err(|error| Failure::because(&format!("cannot read {}", file.display()), &error))?;
        let formatted = format(&text, &catalogue).map_err(|error| {
            match (&error, ironmaster_config::load(file, &catalogue)) {
                // The checker says it better.
                (FormatError::Syntax(_), Err(report)) => Failure::Config(report),
                _ => Failure::because(&format!("cannot lay out {}", file.display()), &error),
            }
        })?;
        if formatted == text {
            continue;
        }
        if check {
            would_change.push(file.display().to_string());
        } else {
            write(file, &formatted)
                .map_err(|error| Failure::because(&format!("cannot write {}", file.display()), &error))?;
            println!("{}: laid out", file.display());
        }
    }
    if would_change.is_empty() {
        return Ok(());
    }
    Err(Failure::Failed {
        message: format!("not laid out: {}", would_change.join(", ")),
        hint: Some("run `ironmaster fmt` without `--check`".into()),
    })
}

/// All or nothing, with the permissions that it had: it may hold secrets.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    // A link stays one.
    let file = fs::canonicalize(file)?;
    let next = file.with_extension("toml.new");
    let permissions = fs::metadata(&file)?.permissions();
    let mut out = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&next)?;
    out.set_permissions(permissions)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    fs::rename(&next, &file)
}
