//! What `ironmaster try` sends: the difference between a working copy and what its upstream has, or a patch from a file.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::Command,
};

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

/// The difference of a git working copy to `base`, or to the newest commit that its upstream has, too.
pub(crate) fn from_git(dir: &Path, base: Option<&str>) -> Result<Local, Failure> {
    let top = git(dir, &["rev-parse", "--show-toplevel"]).map_err(|failure| {
        failure.hint("run it in a git working copy, or give a patch with --diff, and --baserev and --branch to say what it is for")
    })?;
    let top = PathBuf::from(top);
    // As `origin/main`; without one set, that of the remote's main branch.
    let upstream = git(
        &top,
        &["rev-parse", "--abbrev-ref", "--symbolic-full-name", "@{upstream}"],
    )
    .or_else(|_| git(&top, &["rev-parse", "--abbrev-ref", "origin/HEAD"]))
    .ok();
    let revision = match (base, &upstream) {
        (Some(base), _) => git(&top, &["rev-parse", "--verify", &format!("{base}^{{commit}}")])?,
        (None, Some(upstream)) => git(&top, &["merge-base", "HEAD", upstream])?,
        (None, None) => {
            return Err(Failure::Failed {
                message: "the branch has no upstream, so nobody can say which of its commits others have".into(),
                hint: Some("give the newest one that they have with --baserev, or set one: `git branch --set-upstream-to …`".into()),
            });
        }
    };
    let remote = upstream.as_deref().and_then(|upstream| upstream.split_once('/'));
    let repository = git(
        &top,
        &[
            "config",
            "--get",
            &format!("remote.{}.url", remote.map_or("origin", |(remote, _)| remote)),
        ],
    );
    let diff = [
        "diff",
        "--binary",
        "--no-color",
        "--no-ext-diff",
        "--no-textconv",
        "--src-prefix=a/",
        "--dst-prefix=b/",
        &revision,
        "--",
    ];
    let patch = text(output(&top, &diff)?)?;
    let untracked = output(&top, &["ls-files", "--others", "--exclude-standard", "-z"])?;
    Ok(Local {
        patch,
        level: 1,
        branch: remote.map(|(_, branch)| branch.to_owned()),
        revision: Some(revision),
        repository: repository.ok(),
        untracked: untracked
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
            .count(),
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
            "give files that are in another encoding the attribute `-diff` in .gitattributes: then they go into the patch as binary",
        )
    })
}

/// One line that git prints.
fn git(dir: &Path, args: &[&str]) -> Result<String, Failure> {
    let bytes = output(dir, args)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

fn output(dir: &Path, args: &[&str]) -> Result<Vec<u8>, Failure> {
    let output = Command::new("git")
        .args(args)
        .current_dir(dir)
        .env("LC_ALL", "C")
        .output()
        .map_err(|error| Failure::because("cannot run git", &error))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::Failed {
        message: format!("git {}: {}", args[0], said.trim()),
        hint: None,
    })
}
