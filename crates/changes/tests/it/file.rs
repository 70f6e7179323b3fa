//! One file of a repository at one revision.

use ironmaster_changes::{FileRead, FileRequest, read_file};
use tempfile::TempDir;

use crate::repository::Repository;

struct Reader {
    repository: Repository,
    workdir: TempDir,
}

impl Reader {
    fn new() -> Self {
        Self {
            repository: Repository::new(),
            workdir: tempfile::tempdir().unwrap(),
        }
    }

    async fn read(&self, branch: Option<&str>, revision: Option<&str>, file: &str) -> FileRead {
        let wanted = FileRequest {
            repository: self.repository.path().display().to_string(),
            file: file.into(),
            branch: branch.map(str::to_owned),
            revision: revision.map(str::to_owned),
            bytes_max: 1 << 10,
        };
        read_file(self.workdir.path(), &wanted).await.unwrap()
    }
}

fn text(revision: &str, branch: Option<&str>, text: &str) -> FileRead {
    FileRead::Text {
        revision: revision.into(),
        branch: branch.map(str::to_owned),
        text: text.into(),
    }
}

#[tokio::test]
async fn a_file_is_read_at_the_revision_with_whether_the_branch_has_it() {
    let reader = Reader::new();
    let repository = &reader.repository;
    let first = repository.commit("ci/jobs.toml", "one");
    let second = repository.commit("ci/jobs.toml", "two");
    let short = &first[..10];
    for (branch, revision, expected) in [
        (None, None, text(&second, Some("main"), "two")),
        (
            Some("main"),
            Some(first.as_str()),
            text(&first, Some("main"), "one"),
        ),
        (Some("main"), Some(short), text(&first, Some("main"), "one")),
        (Some("main"), None, text(&second, Some("main"), "two")),
    ] {
        assert_eq!(reader.read(branch, revision, "ci/jobs.toml").await, expected);
    }
    // What is pushed is seen.
    let third = repository.commit("ci/jobs.toml", "three");
    assert_eq!(
        reader.read(Some("main"), None, "ci/jobs.toml").await,
        text(&third, Some("main"), "three")
    );
    // A revision that another branch has is no revision of this one, whatever is claimed.
    repository.git(&["checkout", "--quiet", "-b", "topic"]);
    let topic = repository.commit("ci/jobs.toml", "theirs");
    assert_eq!(
        reader.read(Some("topic"), Some(&topic), "ci/jobs.toml").await,
        text(&topic, Some("topic"), "theirs")
    );
    assert_eq!(
        reader.read(Some("main"), Some(&topic), "ci/jobs.toml").await,
        text(&topic, None, "theirs")
    );
}

#[tokio::test]
async fn a_revision_of_no_branch_is_asked_for_by_its_hash() {
    let reader = Reader::new();
    let repository = &reader.repository;
    repository.commit("jobs.toml", "main");
    repository.git(&["checkout", "--quiet", "-b", "topic"]);
    let topic = repository.commit("jobs.toml", "request");
    repository.git(&["update-ref", "refs/pull/1/head", &topic]);
    repository.git(&["checkout", "--quiet", "main"]);
    repository.git(&["branch", "--quiet", "-D", "topic"]);
    repository.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    assert_eq!(
        reader
            .read(Some("refs/pull/1/head"), Some(&topic), "jobs.toml")
            .await,
        text(&topic, None, "request")
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_told() {
    let reader = Reader::new();
    let repository = &reader.repository;
    let first = repository.commit("dir/jobs.toml", "one");
    std::os::unix::fs::symlink("/etc/passwd", repository.path().join("link.toml")).unwrap();
    std::fs::write(repository.path().join("large.toml"), "x".repeat(2000)).unwrap();
    std::fs::write(repository.path().join("bytes.toml"), b"a\nb\xff").unwrap();
    let head = repository.commit("last", "links and others");
    for (file, expected) in [
        ("none.toml", "there is no file `none.toml`"),
        ("*.toml", "there is no file `*.toml`"),
        ("dir", "`dir` is not a file"),
        ("link.toml", "`link.toml` is not a file"),
        ("large.toml", "`large.toml` is larger than 1 KiB"),
        ("bytes.toml", "line 2 of `bytes.toml` is not UTF-8"),
    ] {
        assert_eq!(
            reader.read(Some("main"), None, file).await,
            FileRead::Wrong {
                revision: Some(head.clone()),
                reason: expected.into()
            }
        );
    }
    assert_eq!(
        reader.read(Some("gone"), None, "last").await,
        FileRead::Wrong {
            revision: None,
            reason: "the repository has no branch `gone`".into()
        }
    );
    let missing = "0123456789012345678901234567890123456789";
    assert_eq!(
        reader.read(Some("main"), Some(missing), "last").await,
        FileRead::NotYet {
            reason: format!("the repository does not have revision {missing}")
        }
    );
    for name in ["HEAD", "--all", "refs/heads/main"] {
        assert_eq!(
            reader.read(Some("main"), Some(name), "last").await,
            FileRead::Wrong {
                revision: None,
                reason: format!("`{name}` is not the hash of a revision")
            }
        );
    }
    // It can still be read where the branch is not there any more.
    assert_eq!(
        reader.read(Some("main"), Some(&first), "dir/jobs.toml").await,
        text(&first, Some("main"), "one")
    );
}

#[tokio::test]
async fn a_repository_that_is_not_there_is_an_error() {
    let reader = Reader::new();
    let wanted = FileRequest {
        repository: "/nowhere/zlib.git".into(),
        file: "jobs.toml".into(),
        branch: None,
        revision: None,
        bytes_max: 1,
    };
    let error = read_file(reader.workdir.path(), &wanted).await.unwrap_err();
    assert!(error.to_string().contains("ls-remote"), "{error}");
}
