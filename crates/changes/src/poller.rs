//! The git poller: asks a repository for new commits every so often.
//!
//! A poll goes so: `ls-remote` says which branches there are and where they point (this is all that happens when
//! nothing is new); `fetch` brings the branches that moved into a bare mirror; `rev-list` names the commits that are
//! new on each; `diff-tree` tells about them. What a poll found is reported together with the state that holds
//! once all of it was accepted; until the master has stored that state, the next poll finds the same again.
//!
//! Which commits are new:
//! - The first poll only notes where each branch is. So does the first one after the configured `branches`
//!   changed, for the branches that are polled since.
//! - On a branch that is known: those that its last revision does not reach, whether it was pushed to or
//!   forced elsewhere. If its last revision is gone, only the tip.
//! - On a branch that was made since: those that neither a polled branch reached before nor the repository's
//!   default branch reaches now.
//!
//! One poll reports at most [`COMMITS_MAX`] commits. Branches that do not fit wait for the next; of a branch that
//! has more by itself, the newest are reported.

mod file;
mod git;
mod kind;
mod mirror;
mod parse;
mod state;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use globset::{GlobBuilder, GlobMatcher};
use ironmaster_engine::NewChange;
use ironmaster_model::{
    ChangeSourceDef, Duration, KindSpec, NewSourceStamp, Properties, Scope, Template, Timestamp,
};
use sha2::{Digest, Sha256};

pub use file::{FileRead, FileRequest, read_file};
use git::Git;
pub use git::PollError;
use mirror::Mirror;
use parse::{Commit, Remote};
#[doc(hidden)]
pub use parse::{Output, read_output};
pub use state::{PolledChange, PollerState};

/// The most commits that one poll reports.
pub const COMMITS_MAX: usize = 1000;

/// What the configuration may say about it.
pub(crate) fn kind() -> KindSpec {
    kind::spec()
}

/// Polls one git repository.
#[derive(Clone)]
pub struct GitPoller {
    name: String,
    /// As configured: what changes say.
    repository: String,
    /// As git gets it: a relative path made absolute.
    remote: String,
    /// Patterns as configured; empty = the repository's default branch.
    branches: Vec<String>,
    patterns: Arc<[GlobMatcher]>,
    interval: Duration,
    project: String,
    codebase: String,
    category: Option<String>,
    revlink: Option<Template>,
    git: Git,
}

/// What a poll brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Polled {
    /// New commits, oldest first on each branch.
    pub changes: Vec<PolledChange>,
    /// The state once all of them were accepted.
    pub state: PollerState,
    /// What people should know (commits left out, a branch that vanished), one sentence each.
    pub notes: Vec<String>,
}

/// Without the repository, whose URL may hold a password.
impl std::fmt::Debug for GitPoller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GitPoller")
            .field("name", &self.name)
            .field("branches", &self.branches)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

impl GitPoller {
    /// Makes one from its definition, which `config` has checked against `kind`. The error says what is wrong.
    pub fn from_def(def: &ChangeSourceDef) -> Result<Self, String> {
        let fields = kind::Fields::read(&def.params)?;
        let patterns = fields
            .branches
            .iter()
            .map(|pattern| kind::glob(pattern))
            .collect::<Result<Vec<_>, _>>()?;
        let revlink = fields
            .revlink
            .map(|text| Template::parse(&text))
            .transpose()
            .map_err(|error| format!("`revlink`: {error}"))?;
        Ok(Self {
            name: def.name.clone(),
            remote: absolute(&fields.repository),
            repository: fields.repository,
            branches: fields.branches,
            patterns: patterns.into(),
            interval: fields.interval,
            project: fields.project,
            codebase: fields.codebase,
            category: fields.category,
            revlink,
            git: Git::new(fields.timeout),
        })
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// From the end of one poll to the start of the next.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Asks the repository once. A mirror of it is kept in a directory of its own below `workdir`, which other
    /// pollers may share; it can be removed at any time. `state` is what was stored last
    /// ([`PollerState::default`] at first).
    ///
    /// Dropping the future kills the git that it runs, with all its children.
    pub async fn poll(&self, workdir: &Path, state: &PollerState) -> Result<Polled, PollError> {
        let remote = self.git.ls_remote(&self.remote).await?;
        let heads = self.polled_heads(&remote);
        let mut polled = Polled {
            changes: Vec::new(),
            state: PollerState {
                repository: self.repository.clone(),
                branches: self.branches.clone(),
                heads: BTreeMap::new(),
                accepted: BTreeMap::new(),
            },
            notes: Vec::new(),
        };
        if state.repository != self.repository {
            polled.state.heads = heads;
            return Ok(polled);
        }
        for branch in state.heads.keys().filter(|branch| !heads.contains_key(*branch)) {
            polled
                .notes
                .push(format!("branch `{branch}` is gone or not polled any more"));
        }
        if heads == state.heads && state.branches == self.branches {
            polled.state.heads = heads;
            return Ok(polled);
        }
        let mirror = Mirror {
            git: &self.git,
            directory: self.mirror(workdir),
        };
        mirror.prepare(remote.hash_len()).await?;
        // The default branch comes along: what it reaches is not new on a branch that was just made.
        let mut wanted = heads.clone();
        wanted.extend(remote.default_head());
        let now = mirror.fetch(&self.remote, &wanted).await?;
        let mut room = COMMITS_MAX;
        for branch in heads.keys() {
            // The branch may have moved between the two commands: what was fetched counts.
            let Some(head) = now.get(branch) else { continue };
            let last = state.heads.get(branch);
            let newly_configured = last.is_none() && state.branches != self.branches;
            if last == Some(head) || newly_configured {
                polled.state.heads.insert(branch.clone(), head.clone());
                continue;
            }
            let known = match last {
                Some(last) => Known::Last(last),
                None => Known::Branches {
                    heads: state.heads.values().map(String::as_str).collect(),
                    default: remote
                        .default
                        .as_ref()
                        .filter(|default| *default != branch)
                        .and_then(|default| now.get(default)),
                },
            };
            let mut found = new_revisions(&mirror, branch, head, known).await?;
            if let Some(accepted) = state.accepted.get(branch) {
                found.revisions.retain(|revision| !accepted.contains(revision));
            }
            if found.revisions.len() > room {
                // It waits for the next poll, as if nothing had happened on it.
                polled
                    .state
                    .heads
                    .extend(last.map(|last| (branch.clone(), last.clone())));
                let accepted = state.accepted.get(branch);
                polled
                    .state
                    .accepted
                    .extend(accepted.map(|accepted| (branch.clone(), accepted.clone())));
                continue;
            }
            room -= found.revisions.len();
            polled.notes.extend(found.note);
            for commit in mirror.describe(&found.revisions).await? {
                polled.notes.extend(commit.note());
                polled.changes.push(self.change(branch, commit));
            }
            polled.state.heads.insert(branch.clone(), head.clone());
        }
        Ok(polled)
    }

    /// Where the branches are that are polled.
    fn polled_heads(&self, remote: &Remote) -> BTreeMap<String, String> {
        let polled = |branch: &String| {
            if self.patterns.is_empty() {
                Some(branch) == remote.default.as_ref()
            } else {
                self.patterns.iter().any(|pattern| pattern.is_match(branch))
            }
        };
        let heads = remote.heads.iter().filter(|(branch, _)| polled(branch));
        heads
            .map(|(branch, head)| (branch.clone(), head.clone()))
            .collect()
    }

    fn change(&self, branch: &str, commit: Commit) -> PolledChange {
        let stamp = NewSourceStamp {
            branch: Some(branch.to_owned()),
            revision: Some(commit.revision.clone()),
            repository: self.repository.clone(),
            project: self.project.clone(),
            codebase: self.codebase.clone(),
            patch: None,
        };
        let change = NewChange {
            author: commit.author,
            committer: Some(commit.committer),
            comments: commit.comments,
            files: commit.files,
            revision: Some(commit.revision.clone()),
            branch: Some(branch.to_owned()),
            category: self.category.clone(),
            revlink: self.revlink(stamp),
            repository: self.repository.clone(),
            project: self.project.clone(),
            codebase: self.codebase.clone(),
            when: Some(Timestamp::from_secs(commit.time)),
            properties: Properties::new(),
            ..NewChange::default()
        };
        PolledChange {
            branch: branch.to_owned(),
            revision: commit.revision,
            change,
        }
    }

    fn revlink(&self, stamp: NewSourceStamp) -> Option<String> {
        // The stamp answers to the name of its code base and, for short, to none.
        let short = NewSourceStamp {
            codebase: String::new(),
            ..stamp.clone()
        };
        let properties = Properties::new();
        let scope = Scope {
            properties: &properties,
            sourcestamps: &[stamp, short],
            worker: None,
        };
        // A link that is too long is no link.
        self.revlink.as_ref()?.render(&scope).ok()
    }

    /// Where the mirror is: named after the poller, so that pollers can share `workdir`.
    fn mirror(&self, workdir: &Path) -> PathBuf {
        let readable: String = self
            .name
            .chars()
            .take(40)
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        let mark = hex::encode(&Sha256::digest(self.name.as_bytes())[..8]);
        workdir.join(format!("{readable}-{mark}.git"))
    }
}

/// What was known of a branch before.
enum Known<'k> {
    /// Its last revision.
    Last(&'k str),
    /// Nothing: it was made since. These were there.
    Branches {
        /// Last revisions of the polled branches.
        heads: Vec<&'k str>,
        /// Where the repository's default branch is, unless it is this one.
        default: Option<&'k String>,
    },
}

/// The commits that are new on a branch.
struct New {
    /// Oldest first.
    revisions: Vec<String>,
    /// What people should know.
    note: Option<String>,
}

async fn new_revisions(
    mirror: &Mirror<'_>,
    branch: &str,
    head: &str,
    known: Known<'_>,
) -> Result<New, PollError> {
    let reached = match known {
        Known::Last(last) => {
            if mirror.existing(&[last]).await?.is_empty() {
                return Ok(New {
                    revisions: vec![head.to_owned()],
                    note: Some(format!(
                        "the last revision of branch `{branch}` is gone; only its newest commit is reported"
                    )),
                });
            }
            vec![last]
        }
        Known::Branches { mut heads, default } => {
            heads.extend(default.map(String::as_str));
            mirror.existing(&heads).await?
        }
    };
    let found = mirror.rev_list(head, &reached, COMMITS_MAX).await?;
    let note = (found.left_out > 0).then(|| {
        format!(
            "branch `{branch}` has {} new commits; the newest {} of them are reported",
            found.left_out + found.revisions.len(),
            found.revisions.len()
        )
    });
    Ok(New {
        revisions: found.revisions,
        note,
    })
}

/// A pattern for branches, as schedulers have it: `*` and `?` stop at `/`, `**` does not.
fn branch_glob(pattern: &str) -> Result<GlobMatcher, globset::Error> {
    Ok(GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()?
        .compile_matcher())
}

/// A path that is relative to the master's directory, made absolute; git runs elsewhere.
fn absolute(repository: &str) -> String {
    let is_path = match repository.split_once(':') {
        None => true,
        // `host:path` and `scheme://…` have no slash before the colon.
        Some((before, _)) => before.contains('/'),
    };
    if !is_path {
        return repository.to_owned();
    }
    std::path::absolute(repository).map_or_else(
        |_| repository.to_owned(),
        |path| path.to_string_lossy().into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_are_made_absolute() {
        for same in [
            "https://example.org/r.git",
            "git@example.org:r.git",
            "host:path/r.git",
            "file:///r.git",
            "/r.git",
        ] {
            assert_eq!(absolute(same), same);
        }
        for relative in ["r.git", "./r", "a/b:c"] {
            assert!(Path::new(&absolute(relative)).is_absolute(), "{relative}");
        }
    }
}
