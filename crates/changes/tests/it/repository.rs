//! A repository to be polled, and a poller that remembers as the master does.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use ironmaster_changes::{GitPoller, PollError, Polled, PollerState};
use ironmaster_model::ChangeSourceDef;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A repository with a working copy.
pub(crate) struct Repository {
    pub(crate) dir: TempDir,
}

impl Repository {
    /// An empty one whose default branch is `main`.
    pub(crate) fn new() -> Self {
        let repository = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        repository.git(&["init", "--quiet", "--initial-branch=main", "."]);
        repository
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        self.git_with(arguments, b"")
    }

    /// Runs git, apart from the settings of whoever runs the tests.
    pub(crate) fn git_with(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut child = Command::new("git")
            .args(arguments)
            .current_dir(self.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_NAME", "Ann")
            .env("GIT_AUTHOR_EMAIL", "ann@example.org")
            .env("GIT_COMMITTER_NAME", "Bob")
            .env("GIT_COMMITTER_EMAIL", "bob@example.org")
            .env("GIT_COMMITTER_DATE", "1700000000 +0000")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "git {arguments:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Writes a file, commits it and gives the hash.
    pub(crate) fn commit(&self, file: &str, message: &str) -> String {
        let path = self.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, message).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
        self.head()
    }

    pub(crate) fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    /// Makes a branch at `from` with that many commits, and checks nothing out.
    pub(crate) fn many_commits(&self, branch: &str, from: &str, count: usize) {
        let mut stream = Vec::new();
        for number in 1..=count {
            let message = format!("{branch} {number}");
            write!(
                stream,
                "commit refs/heads/{branch}\ncommitter Bob <bob@example.org> 1700000000 +0000\ndata {}\n{message}\n",
                message.len()
            )
            .unwrap();
            if number == 1 {
                writeln!(stream, "from {from}").unwrap();
            }
            writeln!(stream).unwrap();
        }
        self.git_with(&["fast-import", "--quiet", "--force"], &stream);
    }
}

/// A poller with its state and the directory of its mirror.
pub(crate) struct Polling {
    pub(crate) poller: GitPoller,
    pub(crate) state: PollerState,
    pub(crate) workdir: TempDir,
}

impl Polling {
    pub(crate) fn new(repository: &Path, params: Value) -> Self {
        Self {
            poller: poller("test", repository.to_str().unwrap(), params),
            state: PollerState::default(),
            workdir: tempfile::tempdir().unwrap(),
        }
    }

    /// One poll whose changes are all accepted. Each as `branch: message`.
    pub(crate) async fn poll(&mut self) -> Vec<String> {
        messages(&self.polled().await)
    }

    pub(crate) async fn polled(&mut self) -> Polled {
        let polled = self.try_poll().await.unwrap();
        // Through JSON, as the master keeps it.
        let json = serde_json::to_string(&polled.state).unwrap();
        self.state = serde_json::from_str(&json).unwrap();
        polled
    }

    pub(crate) async fn try_poll(&self) -> Result<Polled, PollError> {
        self.poller.poll(self.workdir.path(), &self.state).await
    }

    /// The mirror; there must be exactly one.
    pub(crate) fn mirror(&self) -> PathBuf {
        let mut entries = std::fs::read_dir(self.workdir.path()).unwrap();
        let mirror = entries.next().unwrap().unwrap().path();
        assert!(entries.next().is_none());
        mirror
    }

    pub(crate) fn reconfigure(&mut self, repository: &Path, params: Value) {
        self.poller = poller("test", repository.to_str().unwrap(), params);
    }
}

pub(crate) fn poller(name: &str, repository: &str, params: Value) -> GitPoller {
    let Value::Object(mut params) = params else {
        panic!("{params}");
    };
    params.insert("repository".into(), json!(repository));
    GitPoller::from_def(&ChangeSourceDef {
        name: name.into(),
        kind: "git_poller".into(),
        params,
    })
    .unwrap()
}

pub(crate) fn messages(polled: &Polled) -> Vec<String> {
    polled
        .changes
        .iter()
        .map(|change| format!("{}: {}", change.branch, change.change.comments))
        .collect()
}
