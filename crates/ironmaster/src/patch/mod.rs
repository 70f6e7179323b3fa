//! What `ironmaster try` sends: the difference between a working copy and what its upstream has, or a patch from a file.

mod git;
mod hg;
mod svn;

use std::{fs, io::Read, path::Path, process::Command};

use crate::failure::Failure;

/// The largest patch, in bytes.
const PATCH_BYTES_MAX: u64 = 15 << 20;

/// A patch and what it is meant for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Local {
    pub(crate) patch: String,
    pub(crate) level: u32,
    pub(crate) branch: Option<String>,
    pub(crate) revision: Option<String>,
    pub(crate) repository: Option<String>,
    /// Files that the patch has not got.
    pub(crate) untracked: usize,
    /// The version control system of the working copy, and how a file gets into the patch.
    pub(crate) system: Option<(&'static str, &'static str)>,
}

/// The difference of the working copy that `dir` is in, to `base` or to what others have, too.
pub(crate) fn from_working_copy(dir: &Path, base: Option<&str>) -> Result<Local, Failure> {
    let dir = dir
        .canonicalize()
        .map_err(|error| Failure::because(&format!("cannot use {}", dir.display()), &error))?;
    // The innermost one: it is what somebody who stands there works on.
    for folder in dir.ancestors() {
        // A file in a working copy that git has added to another one.
        if folder.join(".git").exists() {
            return git::difference(folder, base);
        }
        if folder.join(".hg").is_dir() {
            return hg::difference(folder, base);
        }
        if folder.join(".svn").is_dir() {
            return svn::difference(folder, base);
        }
    }
    Err(Failure::Failed {
        message: format!(
            "{} is in no working copy of git, Mercurial or Subversion",
            dir.display()
        ),
        hint: Some(
            "run it in one, or give a patch with --diff, and --baserev and --branch to say what it is for"
                .into(),
        ),
    })
}

/// A patch from a file, or from standard input if the name is `-`.
pub(crate) fn from_file(name: &Path, level: Option<u32>) -> Result<Local, Failure> {
    let because =
        |error: std::io::Error| Failure::because(&format!("cannot read {}", name.display()), &error);
    let mut bytes = Vec::new();
    if name == Path::new("-") {
        std::io::stdin()
            .take(PATCH_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(because)?;
    } else {
        fs::File::open(name)
            .and_then(|file| file.take(PATCH_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(because)?;
    }
    Ok(Local {
        patch: text(bytes)?,
        level: level.unwrap_or(1),
        ..Local::default()
    })
}

fn text(bytes: Vec<u8>) -> Result<String, Failure> {
    let failed = |message: String, hint: &str| Failure::Failed {
        message,
        hint: Some(hint.to_owned()),
    };
    if bytes.len() as u64 > PATCH_BYTES_MAX {
        return Err(failed(
            format!("the patch is larger than {} MiB", PATCH_BYTES_MAX >> 20),
            "is the base revision the right one?",
        ));
    }
    String::from_utf8(bytes).map_err(|_| {
        failed(
            "the patch is not UTF-8".into(),
            "with git, give files that are in another encoding the attribute `-diff` in .gitattributes: then they go into the patch as binary",
        )
    })
}

/// One line that a program prints.
fn line(program: &str, dir: &Path, args: &[&str]) -> Result<String, Failure> {
    let bytes = output(program, dir, args)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

fn output(program: &str, dir: &Path, args: &[&str]) -> Result<Vec<u8>, Failure> {
    let output = Command::new(program)
        .args(args)
        .current_dir(dir)
        // English, and names in any language.
        .env("LC_ALL", "C.UTF-8")
        // Mercurial: as if nothing were configured that changes what is printed.
        .env("HGPLAIN", "1")
        .output()
        .map_err(|error| Failure::because(&format!("cannot run {program}"), &error))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::Failed {
        message: format!("{program} {}: {}", args[0], said.trim()),
        hint: None,
    })
}

/// How many names there are, each ended by a zero byte.
fn names(listing: &[u8]) -> usize {
    listing
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .count()
}
