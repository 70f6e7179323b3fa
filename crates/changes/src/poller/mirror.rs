//! The bare mirror of a repository, and what is asked of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fmt::Write,
    io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{
    git::{Git, PollError},
    parse::{self, Commit, LogParser},
};

/// Where the mirror keeps branches.
const REFS: &str = "refs/polled/";

/// A mirror. Only one poll at a time uses it.
#[derive(Debug)]
pub(crate) struct Mirror<'g> {
    pub(crate) git: &'g Git,
    pub(crate) directory: PathBuf,
}

/// The commits that `rev-list` names.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Oldest first.
    pub(crate) revisions: Vec<String>,
    /// How many older ones there are beyond the limit.
    pub(crate) left_out: usize,
}

impl Mirror<'_> {
    /// Makes it ready: present, and without the locks that a killed git left behind. Only one poll at a time
    /// uses a mirror, so a lock in it has no owner.
    pub(crate) async fn prepare(&self, hash_len: usize) -> Result<(), PollError> {
        let unusable = |source| PollError::Directory {
            path: self.directory.clone(),
            source,
        };
        if self.directory.join("HEAD").is_file() {
            return remove_locks(&self.directory).map_err(unusable);
        }
        std::fs::create_dir_all(&self.directory).map_err(unusable)?;
        let format = if hash_len == 64 {
            "--object-format=sha256"
        } else {
            "--object-format=sha1"
        };
        self.output("init", &["--bare", "--quiet", format], String::new())
            .await?;
        Ok(())
    }

    /// Brings branches into the mirror and lets go of all others; `wanted` says where they pointed a moment ago.
    /// Where they point now.
    pub(crate) async fn fetch(
        &self,
        remote: &str,
        wanted: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, PollError> {
        // A branch is kept under a hash of its name: `a` may give way to `a/b`, and names may differ only
        // in case. Kept it is because what it reaches need not be fetched again.
        let names: BTreeMap<String, &String> = wanted
            .keys()
            .map(|branch| {
                let hash = hex::encode(&Sha256::digest(branch.as_bytes())[..16]);
                (format!("{REFS}{hash}"), branch)
            })
            .collect();
        let present = self.refs().await?;
        let mut deletions = String::new();
        for name in present.keys().filter(|name| !names.contains_key(*name)) {
            let _ = writeln!(deletions, "delete {name}");
        }
        if !deletions.is_empty() {
            self.output("update-ref", &["--stdin"], deletions).await?;
        }
        let mut refspecs = String::new();
        for (name, branch) in &names {
            if present.get(name) != wanted.get(*branch) {
                let _ = writeln!(refspecs, "+refs/heads/{branch}:{name}");
            }
        }
        if !refspecs.is_empty() {
            let arguments = [
                "--quiet",
                "--no-tags",
                "--no-write-fetch-head",
                "--stdin",
                "--",
                remote,
            ];
            self.output("fetch", &arguments, refspecs).await?;
        }
        let now = self.refs().await?;
        Ok(now
            .into_iter()
            .filter_map(|(name, hash)| Some(((*names.get(&name)?).clone(), hash)))
            .collect())
    }

    /// Those of `revisions` that are commits in the mirror.
    pub(crate) async fn existing<'r>(&self, revisions: &[&'r str]) -> Result<Vec<&'r str>, PollError> {
        let revisions: BTreeSet<&str> = revisions.iter().copied().collect();
        if revisions.is_empty() {
            return Ok(Vec::new());
        }
        let input: String = revisions
            .iter()
            .fold(String::new(), |text, revision| text + revision + "\n");
        let output = self
            .output("cat-file", &["--batch-check=%(objecttype)"], input)
            .await?;
        Ok(revisions
            .into_iter()
            .zip(output.lines())
            .filter(|(_, kind)| *kind == "commit")
            .map(|(revision, _)| revision)
            .collect())
    }

    /// The newest `max` commits that `head` reaches and none of `reached` does.
    pub(crate) async fn rev_list(
        &self,
        head: &str,
        reached: &[&str],
        max: usize,
    ) -> Result<Found, PollError> {
        const COMMAND: &str = "rev-list";
        let mut input = format!("{head}\n");
        for revision in reached {
            let _ = writeln!(input, "^{revision}");
        }
        let limit = format!("--max-count={max}");
        let arguments = ["--topo-order", "--reverse", &limit, "--stdin"];
        let output = self.output(COMMAND, &arguments, input.clone()).await?;
        let revisions: Vec<String> = output.lines().map(str::to_owned).collect();
        if !revisions.iter().all(|revision| parse::is_hash(revision)) {
            return Err(PollError::Garbled { command: COMMAND });
        }
        let mut left_out = 0;
        if revisions.len() == max {
            let output = self.output(COMMAND, &["--count", "--stdin"], input).await?;
            let count = output.trim().parse::<usize>();
            let count = count.map_err(|_| PollError::Garbled { command: COMMAND })?;
            left_out = count.saturating_sub(revisions.len());
        }
        Ok(Found { revisions, left_out })
    }

    /// What is to be said of each commit, in the order given.
    pub(crate) async fn describe(&self, revisions: &[String]) -> Result<Vec<Commit>, PollError> {
        const COMMAND: &str = "diff-tree";
        if revisions.is_empty() {
            return Ok(Vec::new());
        }
        // A plumbing command: people's settings for `log` do not change what it prints.
        let arguments = [
            "--stdin",
            "-z",
            "-r",
            "--root",
            "--always",
            "--name-only",
            "--no-renames",
            "--no-ext-diff",
            "--diff-merges=first-parent",
            "--encoding=UTF-8",
            parse::FORMAT,
        ];
        let input = revisions.join("\n") + "\n";
        let mut parser = LogParser::default();
        let mut garbled = false;
        self.git
            .run(
                Some(&self.directory),
                COMMAND,
                &arguments,
                input.into_bytes(),
                |piece| {
                    garbled |= parser.push(piece).is_err();
                    Ok(())
                },
            )
            .await?;
        match parser.finish() {
            Ok(commits) if !garbled && commits.len() == revisions.len() => Ok(commits),
            _ => Err(PollError::Garbled { command: COMMAND }),
        }
    }

    /// Where the branches in the mirror point, by the names that they have there.
    async fn refs(&self) -> Result<BTreeMap<String, String>, PollError> {
        let arguments = ["--format=%(refname) %(objectname)", REFS];
        let output = self.output("for-each-ref", &arguments, String::new()).await?;
        Ok(output
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter(|(_, hash)| parse::is_hash(hash))
            .map(|(name, hash)| (name.to_owned(), hash.to_owned()))
            .collect())
    }

    async fn output(
        &self,
        command: &'static str,
        arguments: &[&str],
        input: String,
    ) -> Result<String, PollError> {
        let output = self
            .git
            .output(Some(&self.directory), command, arguments, input.into_bytes())
            .await?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }
}

/// Removes lock files that a killed git left.
fn remove_locks(mirror: &Path) -> io::Result<()> {
    for directory in [mirror.to_owned(), mirror.join(REFS), mirror.join("objects/info")] {
        let entries = match std::fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        for entry in entries {
            let path = entry?.path();
            if path.extension() == Some(OsStr::new("lock")) && path.is_file() {
                std::fs::remove_file(path)?;
            }
        }
    }
    Ok(())
}
