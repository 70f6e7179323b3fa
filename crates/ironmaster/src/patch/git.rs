//! The difference of a git working copy.

use std::path::Path;

use super::{Local, line, names, output, text};
use crate::failure::Failure;

/// The difference of a git working copy to `base`, or to the newest commit that its upstream has, too.
pub(super) fn difference(top: &Path, base: Option<&str>) -> Result<Local, Failure> {
    // As `origin/main`; without one set, that of the remote's main branch.
    let upstream = git(
        top,
        &["rev-parse", "--abbrev-ref", "--symbolic-full-name", "@{upstream}"],
    )
    .or_else(|_| git(top, &["rev-parse", "--abbrev-ref", "origin/HEAD"]))
    .ok();
    let revision = match (base, &upstream) {
        (Some(base), _) => git(top, &["rev-parse", "--verify", &format!("{base}^{{commit}}")])?,
        (None, Some(upstream)) => git(top, &["merge-base", "HEAD", upstream])?,
        (None, None) => {
            return Err(Failure::Failed {
                message: "the branch has no upstream, so nobody can say which of its commits others have".into(),
                hint: Some("give the newest one that they have with --baserev, or set one: `git branch --set-upstream-to …`".into()),
            });
        }
    };
    let remote = upstream.as_deref().and_then(|upstream| upstream.split_once('/'));
    let repository = git(
        top,
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
    let patch = text(output("git", top, &diff)?)?;
    let untracked = output("git", top, &["ls-files", "--others", "--exclude-standard", "-z"])?;
    Ok(Local {
        patch,
        level: 1,
        branch: remote.map(|(_, branch)| branch.to_owned()),
        revision: Some(revision),
        repository: repository.ok(),
        untracked: names(&untracked),
        system: Some(("git", "git add --intent-to-add")),
    })
}

fn git(dir: &Path, args: &[&str]) -> Result<String, Failure> {
    line("git", dir, args)
}
