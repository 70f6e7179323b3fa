//! The step against real repositories and the real `git`.

use std::{path::Path, process::Command};

use ironmaster_model::{NewSourceStamp, Patch, Results, StepDef, StepFlags};
use serde_json::{Value, json};

use crate::{StepContext, StepEnd, fake_host::FakeHost, make_step};

struct Repository {
    dir: tempfile::TempDir,
    host: FakeHost,
}

fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args([
            "-c",
            "user.name=T",
            "-c",
            "user.email=t@example.org",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(args)
        .current_dir(dir)
        .output()
        .expect("git is installed");
    assert!(
        output.status.success(),
        "git {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Repository {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let origin = dir.path().join("origin");
        std::fs::create_dir(&origin).unwrap();
        git(&origin, &["init", "--quiet"]);
        let host = FakeHost::new(dir.path().join("worker"));
        let mut this = Self { dir, host };
        this.commit("a.txt", "one\n");
        this.stamp(None, None);
        this
    }

    fn origin(&self) -> std::path::PathBuf {
        self.dir.path().join("origin")
    }

    fn commit(&self, file: &str, content: &str) -> String {
        std::fs::write(self.origin().join(file), content).unwrap();
        git(&self.origin(), &["add", "--all"]);
        git(&self.origin(), &["commit", "--quiet", "--message", file]);
        git(&self.origin(), &["rev-parse", "HEAD"])
    }

    fn stamp(&mut self, branch: Option<&str>, revision: Option<&str>) -> &mut NewSourceStamp {
        self.host.environment.stamps = vec![NewSourceStamp {
            repository: self.origin().to_str().unwrap().into(),
            branch: branch.map(Into::into),
            revision: revision.map(Into::into),
            ..NewSourceStamp::default()
        }];
        &mut self.host.environment.stamps[0]
    }

    async fn run(&mut self, params: Value) -> StepEnd {
        let Value::Object(params) = params else {
            unreachable!("tests give an object")
        };
        let step = make_step(&StepDef {
            name: "git".into(),
            kind: "git".into(),
            params,
            flags: StepFlags::default(),
            logs: vec!["stdio".into()],
            locks: Vec::new(),
        })
        .unwrap();
        let mut ctx = StepContext::new(&mut self.host);
        step.run(&mut ctx)
            .await
            .unwrap_or_else(|error| error.into_end("git"))
    }

    fn read(&self, file: &str) -> Option<String> {
        std::fs::read_to_string(self.host.basedir.join("b/build").join(file)).ok()
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.host.basedir.join("b/build").join(file), text).unwrap();
    }

    fn got_revision(&self) -> &str {
        self.host
            .environment
            .properties
            .get("got_revision")
            .and_then(Value::as_str)
            .unwrap()
    }

    fn log(&self) -> &str {
        &self.host.logs["stdio"]
    }
}

#[tokio::test]
async fn clones_then_fetches() {
    let mut repository = Repository::new();
    assert_eq!(
        repository.run(json!({})).await.results,
        Results::Success,
        "{}",
        repository.log()
    );
    assert_eq!(repository.read("a.txt").as_deref(), Some("one\n"));
    let second = repository.commit("a.txt", "two\n");
    repository.write("untracked", "kept by the incremental mode");
    repository.write("a.txt", "local edit, thrown away");
    assert_eq!(
        repository.run(json!({})).await.results,
        Results::Success,
        "{}",
        repository.log()
    );
    assert_eq!(repository.read("a.txt").as_deref(), Some("two\n"));
    assert_eq!(repository.got_revision(), second);
    assert!(repository.read("untracked").is_some());
}

#[tokio::test]
async fn full_mode_cleans_as_its_method_says() {
    for (method, untracked_left, ignored_left) in [
        ("clean", false, true),
        ("fresh", false, false),
        ("clobber", false, false),
    ] {
        let mut repository = Repository::new();
        repository.commit(".gitignore", "ignored\n");
        repository.run(json!({})).await;
        repository.write("untracked", "");
        repository.write("ignored", "");
        let end = repository.run(json!({"mode": "full", "method": method})).await;
        assert_eq!(end.results, Results::Success, "{}", repository.log());
        assert_eq!(repository.read("untracked").is_some(), untracked_left, "{method}");
        assert_eq!(repository.read("ignored").is_some(), ignored_left, "{method}");
    }
}

#[tokio::test]
async fn checks_out_branches_and_revisions() {
    let mut repository = Repository::new();
    let first = git(&repository.origin(), &["rev-parse", "HEAD"]);
    git(&repository.origin(), &["checkout", "--quiet", "-b", "side"]);
    let side = repository.commit("a.txt", "side\n");
    git(&repository.origin(), &["checkout", "--quiet", "main"]);
    repository.commit("a.txt", "main\n");
    for (branch, revision, expected) in [
        (Some("side"), None, &side),
        (Some("main"), Some(first.as_str()), &first),
        // A revision that is on another branch than the stamp says.
        (Some("main"), Some(side.as_str()), &side),
        (None, Some(first.as_str()), &first),
    ] {
        for params in [
            json!({}),
            json!({"depth": 1, "mode": "full", "method": "clobber"}),
        ] {
            repository.stamp(branch, revision);
            let end = repository.run(params).await;
            assert_eq!(end.results, Results::Success, "{}", repository.log());
            assert_eq!(repository.got_revision(), expected);
        }
    }
}

#[tokio::test]
async fn a_missing_remote_is_tried_again_and_the_checkout_kept() {
    let mut repository = Repository::new();
    repository.run(json!({})).await;
    repository.write("untracked", "");
    std::fs::rename(repository.origin(), repository.dir.path().join("away")).unwrap();
    let end = repository.run(json!({"retries": 2, "retry_delay": 1})).await;
    assert_eq!(end.results, Results::Failure);
    assert_eq!(
        repository
            .host
            .pauses
            .iter()
            .map(std::time::Duration::as_secs)
            .collect::<Vec<_>>(),
        [1, 2]
    );
    assert!(
        repository.read("untracked").is_some(),
        "a network failure must not cost the checkout"
    );
    repository.host.on_pause = |basedir| {
        let parent = basedir.parent().unwrap();
        std::fs::rename(parent.join("away"), parent.join("origin")).unwrap();
    };
    assert_eq!(
        repository.run(json!({})).await.results,
        Results::Success,
        "{}",
        repository.log()
    );
}

#[tokio::test]
async fn a_damaged_checkout_is_made_anew() {
    let mut repository = Repository::new();
    repository.run(json!({})).await;
    std::fs::remove_dir_all(repository.host.basedir.join("b/build/.git/objects")).unwrap();
    let end = repository.run(json!({})).await;
    assert_eq!(end.results, Results::Success, "{}", repository.log());
    std::fs::write(repository.host.basedir.join("b/build/.git/index.lock"), "").unwrap();
    assert_eq!(
        repository.run(json!({})).await.results,
        Results::Success,
        "{}",
        repository.log()
    );
}

#[tokio::test]
async fn applies_the_patch() {
    let mut repository = Repository::new();
    repository.stamp(Some("main"), None).patch = Some(Patch {
        level: 1,
        body: "--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-one\n+patched\n".into(),
        ..Patch::default()
    });
    let end = repository.run(json!({})).await;
    assert_eq!(end.results, Results::Success, "{}", repository.log());
    assert_eq!(repository.read("a.txt").as_deref(), Some("patched\n"));
}

#[tokio::test]
async fn impossible_requests_say_why() {
    let mut repository = Repository::new();
    repository.stamp(Some("--upload-pack=evil"), None);
    let end = repository.run(json!({})).await;
    assert_eq!(
        (end.results, end.summary.contains("must not begin with '-'")),
        (Results::Exception, true)
    );
    repository.stamp(Some("main"), None).repository = String::new();
    let end = repository.run(json!({})).await;
    assert_eq!(
        (end.results, end.summary.contains("names no repository")),
        (Results::Exception, true)
    );
    repository.stamp(Some("main"), Some("0123456789012345678901234567890123456789"));
    let end = repository.run(json!({"retries": 0})).await;
    assert_eq!(end.results, Results::Failure);
    assert!(
        repository.log().contains("has no revision 0123456789"),
        "{}",
        repository.log()
    );
}
