//! Reads one file of a git repository at one revision, from a bare mirror of its own.
//!
//! Only the branch that is asked about is brought into the mirror. Whether it has the revision is told along with the file,
//! from git's own graph: what a message claims of a revision is worth nothing.

use std::path::{Path, PathBuf};

use ironmaster_model::Duration;
use sha2::{Digest, Sha256};

use super::{
    absolute,
    git::{Git, PollError},
    mirror::Mirror,
    parse,
};

/// How long one command of git may take, the first fetch of a large repository included.
const TIMEOUT: Duration = Duration::from_secs(600);

/// What is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRequest {
    /// The repository, as `git fetch` takes it.
    pub repository: String,
    /// The file, from the top.
    pub file: String,
    /// The branch; none = the repository's default.
    pub branch: Option<String>,
    /// The revision, a hash or the beginning of one; none = the newest of the branch.
    pub revision: Option<String>,
    /// The most bytes that the file may have.
    pub bytes_max: usize,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileRead {
    /// It was read.
    Text {
        /// The full hash of the revision.
        revision: String,
        /// The branch, if it has the revision.
        branch: Option<String>,
        /// What is in the file.
        text: String,
    },
    /// There is no such file to be read, and there will not be.
    Wrong {
        /// The full hash of the revision, if it is known.
        revision: Option<String>,
        /// What is wrong, for people.
        reason: String,
    },
    /// The repository does not have the revision, yet: what tells of a push may be faster than the push.
    NotYet {
        /// What is wrong, for people.
        reason: String,
    },
}

/// Reads a file. Only one read of a repository at a time may use `workdir`.
pub async fn read_file(workdir: &Path, wanted: &FileRequest) -> Result<FileRead, PollError> {
    read_with(&Git::new(TIMEOUT), workdir, wanted).await
}

async fn read_with(git: &Git, workdir: &Path, wanted: &FileRequest) -> Result<FileRead, PollError> {
    // Nothing but a hash: any other name could be one of the mirror's own.
    let is_hash = |text: &str| (4..=64).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_hexdigit());
    if let Some(revision) = wanted.revision.as_deref().filter(|revision| !is_hash(revision)) {
        return Ok(FileRead::Wrong {
            revision: None,
            reason: format!("`{}` is not the hash of a revision", revision.escape_debug()),
        });
    }
    let remote = absolute(&wanted.repository);
    let known = git.ls_remote(&remote).await?;
    let branch = wanted.branch.clone().or_else(|| known.default.clone());
    let branch = branch.filter(|branch| known.heads.contains_key(branch));
    let mirror = Mirror {
        git,
        directory: directory(workdir, &remote),
    };
    mirror.prepare(known.hash_len()).await?;
    let head = match &branch {
        Some(branch) => Some(fetch_branch(&mirror, &remote, branch, &known.heads[branch]).await?),
        None => None,
    };
    let revision = match (&wanted.revision, &head) {
        (Some(revision), _) => match find(&mirror, &remote, revision).await? {
            Ok(revision) => revision,
            Err(reason) => return Ok(FileRead::NotYet { reason }),
        },
        (None, Some(head)) => head.clone(),
        (None, None) => {
            let reason = match &wanted.branch {
                Some(branch) => format!("the repository has no branch `{branch}`"),
                None => "the repository has no default branch".to_owned(),
            };
            return Ok(FileRead::Wrong {
                revision: None,
                reason,
            });
        }
    };
    let reached = match &head {
        Some(head) => *head == revision || is_ancestor(&mirror, &revision, head).await?,
        None => false,
    };
    let wrong = |reason: String| FileRead::Wrong {
        revision: Some(revision.clone()),
        reason,
    };
    let blob = match blob(&mirror, &revision, &wanted.file, wanted.bytes_max).await? {
        Ok(blob) => blob,
        Err(reason) => return Ok(wrong(reason)),
    };
    let bytes = git
        .output(Some(&mirror.directory), "cat-file", &["blob", &blob], Vec::new())
        .await?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => FileRead::Text {
            branch: branch.filter(|_| reached),
            revision,
            text,
        },
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..at].split(|byte| *byte == b'\n').count();
            wrong(format!("line {line} of `{}` is not UTF-8", wanted.file))
        }
    })
}

/// Where the mirror of a repository is.
fn directory(workdir: &Path, remote: &str) -> PathBuf {
    let mark = hex::encode(&Sha256::digest(remote.as_bytes())[..16]);
    workdir.join(format!("{mark}.git"))
}

/// Brings a branch into the mirror, which was at `head` a moment ago. Where it is.
async fn fetch_branch(
    mirror: &Mirror<'_>,
    remote: &str,
    branch: &str,
    head: &str,
) -> Result<String, PollError> {
    // Under a hash of its name, as names may get into one another's way. What is kept need not be fetched again.
    let hash = hex::encode(&Sha256::digest(branch.as_bytes())[..16]);
    let name = format!("refs/read/{hash}");
    if resolve(mirror, &name).await?.as_deref() != Some(head) {
        fetch(mirror, remote, &format!("+refs/heads/{branch}:{name}")).await?;
    }
    let now = resolve(mirror, &name).await?;
    now.ok_or(PollError::Garbled { command: "fetch" })
}

async fn fetch(mirror: &Mirror<'_>, remote: &str, refspec: &str) -> Result<(), PollError> {
    let arguments = [
        "--quiet",
        "--no-tags",
        "--no-write-fetch-head",
        "--stdin",
        "--",
        remote,
    ];
    let input = format!("{refspec}\n").into_bytes();
    mirror
        .git
        .output(Some(&mirror.directory), "fetch", &arguments, input)
        .await?;
    Ok(())
}

/// The commit that a name or the beginning of a hash stands for.
async fn resolve(mirror: &Mirror<'_>, name: &str) -> Result<Option<String>, PollError> {
    let wanted = format!("{name}^{{commit}}\n").into_bytes();
    let output = mirror
        .git
        .output(
            Some(&mirror.directory),
            "cat-file",
            &["--batch-check=%(objectname)"],
            wanted,
        )
        .await?;
    let text = String::from_utf8_lossy(&output);
    let hash = text.trim();
    Ok(parse::is_hash(hash).then(|| hash.to_owned()))
}

/// The full hash of a revision that the mirror has, or that can be brought into it; else what is wrong.
async fn find(
    mirror: &Mirror<'_>,
    remote: &str,
    revision: &str,
) -> Result<Result<String, String>, PollError> {
    if let Some(found) = resolve(mirror, revision).await? {
        return Ok(Ok(found));
    }
    if parse::is_hash(revision) {
        // On none of the branches that were looked at. Some servers give away a revision by its hash.
        let name = format!("refs/asked/{revision}");
        match fetch(mirror, remote, &format!("+{revision}:{name}")).await {
            Ok(()) | Err(PollError::Failed { .. }) => {}
            Err(error) => return Err(error),
        }
        if let Some(found) = resolve(mirror, revision).await? {
            return Ok(Ok(found));
        }
    }
    Ok(Err(format!("the repository does not have revision {revision}")))
}

async fn is_ancestor(mirror: &Mirror<'_>, revision: &str, head: &str) -> Result<bool, PollError> {
    let arguments = ["--is-ancestor", revision, head];
    let result = mirror
        .git
        .output(Some(&mirror.directory), "merge-base", &arguments, Vec::new())
        .await;
    match result {
        Ok(_) => Ok(true),
        Err(PollError::Failed { status, .. }) if status.code() == Some(1) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The hash of a file's content; else what is wrong.
async fn blob(
    mirror: &Mirror<'_>,
    revision: &str,
    file: &str,
    bytes_max: usize,
) -> Result<Result<String, String>, PollError> {
    const COMMAND: &str = "ls-tree";
    let arguments = ["-z", "-l", "--full-tree", revision, "--", file];
    let output = mirror
        .git
        .output(Some(&mirror.directory), COMMAND, &arguments, Vec::new())
        .await?;
    let text = String::from_utf8_lossy(&output);
    let Some((entry, _)) = text.split('\0').find_map(|entry| {
        let (entry, path) = entry.split_once('\t')?;
        (path == file).then_some((entry, path))
    }) else {
        return Ok(Err(format!("there is no file `{file}`")));
    };
    let parts: Vec<&str> = entry.split_ascii_whitespace().collect();
    let &[mode, kind, hash, size] = parts.as_slice() else {
        return Err(PollError::Garbled { command: COMMAND });
    };
    // A link leads somewhere, and a module is another repository.
    if kind != "blob" || mode.starts_with("12") {
        return Ok(Err(format!("`{file}` is not a file")));
    }
    let size: usize = size
        .parse()
        .map_err(|_| PollError::Garbled { command: COMMAND })?;
    if size > bytes_max {
        return Ok(Err(format!("`{file}` is larger than {} KiB", bytes_max >> 10)));
    }
    Ok(Ok(hash.to_owned()))
}
