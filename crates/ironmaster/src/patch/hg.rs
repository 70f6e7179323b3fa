//! The difference of a Mercurial working copy.

use std::path::Path;

use super::{Local, line, names, output, text};
use crate::failure::Failure;

/// The difference to `base`, or to the newest ancestor that is public: that others have, too.
pub(super) fn difference(top: &Path, base: Option<&str>) -> Result<Local, Failure> {
    let hg = |args: &[&str]| line("hg", top, args);
    let wanted = base.unwrap_or("max(::. and public())");
    let revision = hg(&["log", "--limit=1", "--template={node}", "--rev", wanted])?;
    if revision.is_empty() {
        return Err(Failure::Failed {
            message: "no ancestor of the working copy is public, so nobody can say which of its changesets others have".into(),
            hint: Some("give the newest one that they have with --baserev".into()),
        });
    }
    let patch = text(output("hg", top, &["diff", "--git", "--rev", &revision])?)?;
    let untracked = output("hg", top, &["status", "--unknown", "--no-status", "--print0"])?;
    Ok(Local {
        patch,
        level: 1,
        branch: Some(hg(&["branch"])?),
        revision: Some(revision),
        repository: hg(&["paths", "default"]).ok().filter(|path| !path.is_empty()),
        untracked: names(&untracked),
        system: Some(("Mercurial", "hg add")),
    })
}
