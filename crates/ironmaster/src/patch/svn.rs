//! The difference of a Subversion working copy.

use std::path::Path;

use super::{Local, line, output, text};
use crate::failure::Failure;

/// How Subversion begins the difference of a binary file: git cannot apply it, as no digest of the file comes with it.
const BINARY: &str = "\nGIT binary patch\n";

/// The difference to revision `base`, or to the one that was checked out.
pub(super) fn difference(top: &Path, base: Option<&str>) -> Result<Local, Failure> {
    let info = |item: &str| line("svn", top, &["info", "--show-item", item]);
    let revision = match base {
        Some(base) => line(
            "svn",
            top,
            &["info", "--show-item", "revision", "--revision", base],
        )?,
        None => checked_out(&line("svnversion", top, &["--no-newline"])?)?,
    };
    let patch = output(
        "svn",
        top,
        &[
            "diff",
            "--git",
            "--internal-diff",
            "--ignore-properties",
            // What Subversion says of a copy git cannot read.
            "--show-copies-as-adds",
            "--revision",
            &revision,
        ],
    )?;
    let patch = text(patch)?;
    if let Some(name) = binary_file(&patch) {
        return Err(Failure::Failed {
            message: format!(
                "Subversion cannot put the binary file {name} into a patch that others can apply"
            ),
            hint: Some("commit it first".into()),
        });
    }
    let status = output("svn", top, &["status"])?;
    let relative = info("relative-url")?;
    let relative = percent_encoding::percent_decode_str(&relative).decode_utf8_lossy();
    let branch = relative.trim_start_matches("^/").trim_end_matches('/');
    // Names in the patch begin with `a/` and the folder within the repository.
    let folders = branch.split('/').filter(|folder| !folder.is_empty()).count();
    Ok(Local {
        patch: as_git_has_it(&patch),
        level: 1 + u32::try_from(folders).unwrap_or_default(),
        branch: Some(branch.to_owned()),
        revision: Some(revision),
        repository: Some(info("repos-root-url")?),
        untracked: status
            .split(|byte| *byte == b'\n')
            .filter(|line| line.starts_with(b"?"))
            .count(),
        system: Some(("Subversion", "svn add")),
    })
}

/// The one revision of a working copy, from what `svnversion` says of it: `4711M`, say, or `4123:4168MS`.
fn checked_out(version: &str) -> Result<String, Failure> {
    let number = version.trim_end_matches(|c: char| c.is_ascii_uppercase());
    if version[number.len()..].contains('S') {
        return Err(Failure::Failed {
            message: format!(
                "some of the folders here are switched to another branch ({version}), so that no single one can be built with the patch"
            ),
            hint: Some("`svn switch` them back, or run it where nothing is switched".into()),
        });
    }
    if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(number.to_owned());
    }
    Err(Failure::Failed {
        message: format!(
            "the files here are of several revisions ({version}), so that no single one can be built with the patch"
        ),
        hint: Some(
            "`svn update` makes them of one; or say with --baserev which one the difference is to be to"
                .into(),
        ),
    })
}

/// The difference in the form that git writes: where there is no file, Subversion gives its name all the same.
fn as_git_has_it(patch: &str) -> String {
    let mut changed = String::with_capacity(patch.len());
    let mut in_header = false;
    for line in patch.split_inclusive('\n') {
        if line.starts_with("diff --git ") {
            in_header = true;
        } else if line.starts_with("@@ ") || line.starts_with("GIT binary patch") {
            in_header = false;
        }
        let side = ["--- ", "+++ "].into_iter().find(|side| line.starts_with(side));
        match side {
            Some(side) if in_header && line.trim_end().ends_with("\t(nonexistent)") => {
                changed.push_str(side);
                changed.push_str("/dev/null\n");
            }
            _ => changed.push_str(line),
        }
    }
    changed
}

/// The first file whose difference is missing.
fn binary_file(patch: &str) -> Option<&str> {
    let before = &patch[..patch.find(BINARY)?];
    before.lines().rev().find_map(|line| line.strip_prefix("Index: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_working_copy_of_one_revision_has_one() {
        for (said, revision) in [("4711", "4711"), ("4711M", "4711"), ("4MP", "4")] {
            assert_eq!(checked_out(said).ok().as_deref(), Some(revision));
        }
        for said in ["4MS", "4123:4168M", "Unversioned directory", "exported", ""] {
            assert!(checked_out(said).is_err(), "{said}");
        }
    }

    #[test]
    fn what_is_not_there_is_dev_null_but_for_lines_that_look_alike() {
        let patch = "Index: a\ndiff --git a/t/a b/t/a\ndeleted file mode 100644\n--- a/t/a\t(revision 1)\n+++ b/t/a\t(nonexistent)\n\
                     @@ -1,2 +0,0 @@\n--- x\t(nonexistent)\n-y\nIndex: b\n";
        let changed = as_git_has_it(patch);
        assert_eq!(
            changed,
            patch.replace("+++ b/t/a\t(nonexistent)", "+++ /dev/null")
        );
    }
}
