//! Which commits a poll finds, and what it says of them.

use std::os::unix::ffi::OsStrExt;

use ironmaster_changes::{PollerState, poller::COMMITS_MAX};
use ironmaster_model::{Properties, Timestamp};
use serde_json::json;

use crate::repository::{Polling, Repository, messages, poller};

#[tokio::test]
async fn a_commit_is_told_with_all_that_is_known() {
    let repository = Repository::new();
    repository.commit("a", "before the first poll");
    let params = json!({
        "project": "zlib",
        "codebase": "lib",
        "category": "upstream",
        "revlink": "https://example.org/%(src::revision)s?%(src:lib:branch)s",
    });
    let mut polling = Polling::new(repository.path(), params);
    assert_eq!(polling.poll().await, [""; 0], "the first poll only looks");

    let hash = repository.commit("dir/b c", "subject\n\nbody äöü");
    let polled = polling.polled().await;
    assert_eq!(polled.changes.len(), 1);
    let found = &polled.changes[0];
    assert_eq!((&*found.branch, &found.revision), ("main", &hash));
    let change = &found.change;
    assert_eq!(change.author, "Ann <ann@example.org>");
    assert_eq!(change.committer.as_deref(), Some("Bob <bob@example.org>"));
    assert_eq!(change.comments, "subject\n\nbody äöü");
    assert_eq!(change.files, ["dir/b c"]);
    assert_eq!(change.revision.as_ref(), Some(&hash));
    assert_eq!(change.branch.as_deref(), Some("main"));
    assert_eq!(change.category.as_deref(), Some("upstream"));
    assert_eq!(change.revlink, Some(format!("https://example.org/{hash}?main")));
    assert_eq!(change.repository, repository.path().to_str().unwrap());
    assert_eq!(change.project, "zlib");
    assert_eq!(change.codebase, "lib");
    assert_eq!(change.when, Some(Timestamp::from_secs(1_700_000_000)));
    assert_eq!(change.properties, Properties::new());

    assert_eq!(polling.poll().await, [""; 0], "nothing is told twice");
}

#[tokio::test]
async fn commits_come_oldest_first_with_those_that_a_merge_brings() {
    let repository = Repository::new();
    repository.commit("a", "one");
    let mut polling = Polling::new(repository.path(), json!({}));
    polling.poll().await;
    repository.commit("a", "two");
    repository.git(&["checkout", "--quiet", "-b", "side"]);
    repository.commit("b", "three");
    repository.git(&["checkout", "--quiet", "main"]);
    repository.git(&["merge", "--quiet", "--no-ff", "--message", "four", "side"]);
    repository.git(&["commit", "--quiet", "--allow-empty", "--message", "five"]);
    let polled = polling.polled().await;
    assert_eq!(
        messages(&polled),
        ["main: two", "main: three", "main: four", "main: five"]
    );
    let files: Vec<_> = polled
        .changes
        .iter()
        .map(|change| &change.change.files[..])
        .collect();
    assert_eq!(
        files,
        [&["a".to_owned()][..], &["b".to_owned()], &["b".to_owned()], &[]],
        "a merge is compared with its first parent"
    );
}

#[tokio::test]
async fn odd_file_names_are_told() {
    let repository = Repository::new();
    repository.commit("start", "one");
    let mut polling = Polling::new(repository.path(), json!({}));
    polling.poll().await;
    let latin1 = std::ffi::OsStr::from_bytes(b"caf\xe9");
    std::fs::write(repository.path().join(latin1), "x").unwrap();
    std::fs::write(repository.path().join("\nline\tfeed\""), "x").unwrap();
    repository.git(&["mv", "start", "end"]);
    repository.commit("ü", "two");
    let polled = polling.polled().await;
    assert_eq!(
        polled.changes[0].change.files,
        ["\nline\tfeed\"", "caf\u{fffd}", "end", "start", "ü"],
        "a renamed file is two files: filters may name either"
    );
}

/// Until the master has stored that a change was accepted, it is found again; afterwards it is not, also when
/// the master stopped in the middle of a poll's changes.
#[tokio::test]
async fn what_was_not_accepted_is_found_again() {
    let repository = Repository::new();
    repository.commit("a", "one");
    let mut polling = Polling::new(repository.path(), json!({}));
    polling.poll().await;
    for message in ["two", "three", "four"] {
        repository.commit("a", message);
    }
    let before = polling.state.clone();
    let polled = polling.polled().await;
    assert_eq!(messages(&polled).len(), 3);

    polling.state = before;
    assert_eq!(
        polling.try_poll().await.unwrap(),
        polled,
        "the master lost all of it"
    );

    polling.state.accept(&polled.changes[0]);
    polling.state.accept(&polled.changes[1]);
    let again = polling.polled().await;
    assert_eq!(messages(&again), ["main: four"]);
    assert_eq!(again.state, polled.state);
}

#[tokio::test]
async fn a_forced_push_brings_what_is_new() {
    let repository = Repository::new();
    repository.commit("a", "one");
    let base = repository.commit("a", "two");
    let mut polling = Polling::new(repository.path(), json!({}));
    polling.poll().await;
    repository.commit("a", "three");
    polling.poll().await;
    repository.git(&["reset", "--quiet", "--hard", &base]);
    repository.commit("a", "three, better");
    repository.commit("a", "four");
    assert_eq!(polling.poll().await, ["main: three, better", "main: four"]);
    // Back to where it was: nothing is new, and the next commit is found all the same.
    repository.git(&["reset", "--quiet", "--hard", &base]);
    assert_eq!(polling.poll().await, [""; 0]);
    repository.commit("a", "five");
    assert_eq!(polling.poll().await, ["main: five"]);
}

#[tokio::test]
async fn of_a_branch_whose_last_revision_is_gone_the_tip_is_told() {
    let repository = Repository::new();
    repository.commit("a", "one");
    let mut polling = Polling::new(repository.path(), json!({}));
    // The first poll brings no objects, so the mirror never sees this revision.
    polling.poll().await;
    repository.git(&["checkout", "--quiet", "--orphan", "new"]);
    repository.commit("a", "other one");
    repository.commit("a", "other two");
    repository.git(&["checkout", "--quiet", "-B", "main"]);
    let polled = polling.polled().await;
    assert_eq!(messages(&polled), ["main: other two"]);
    assert!(polled.notes[0].contains("gone"), "{:?}", polled.notes);
}

#[tokio::test]
async fn branches_come_and_go() {
    let repository = Repository::new();
    repository.commit("a", "one");
    repository.git(&["branch", "release/1"]);
    repository.git(&["branch", "other"]);
    let mut polling = Polling::new(
        repository.path(),
        json!({"branches": ["main", "release/*", "topic"]}),
    );
    polling.poll().await;
    let heads: Vec<_> = polling.state.heads.keys().map(String::as_str).collect();
    assert_eq!(heads, ["main", "release/1"]);

    repository.commit("a", "two");
    // Made of a commit that is told on `main`: only its own commit is new.
    repository.git(&["checkout", "--quiet", "-b", "release/2"]);
    repository.commit("a", "three");
    // Made without a commit: nothing is new.
    repository.git(&["branch", "topic", "main"]);
    // Not polled, nor one level further down.
    repository.git(&["checkout", "--quiet", "-b", "release/2x/deep"]);
    repository.commit("a", "not told");
    repository.git(&["checkout", "--quiet", "main"]);
    assert_eq!(polling.poll().await, ["main: two", "release/2: three"]);
    assert!(polling.state.heads.contains_key("topic"));

    // A branch gives way to a directory of branches.
    repository.git(&["branch", "--quiet", "-D", "release/2", "topic", "release/2x/deep"]);
    repository.git(&["branch", "topic/x"]);
    polling.reconfigure(
        repository.path(),
        json!({"branches": ["main", "release/*", "topic", "topic/*"]}),
    );
    let polled = polling.polled().await;
    assert_eq!(messages(&polled), [""; 0]);
    assert_eq!(polled.notes.len(), 2, "{:?}", polled.notes);
    repository.git(&["checkout", "--quiet", "topic/x"]);
    repository.commit("a", "four");
    assert_eq!(polling.poll().await, ["topic/x: four"]);
}

/// A release branch is cut from a `main` that is not polled: the history of `main` is not new on it.
#[tokio::test]
async fn what_the_default_branch_has_is_not_new_on_a_new_branch() {
    let repository = Repository::new();
    repository.commit("a", "one");
    repository.git(&["branch", "release/1"]);
    let mut polling = Polling::new(repository.path(), json!({"branches": ["release/*"]}));
    polling.poll().await;
    repository.commit("a", "two");
    repository.git(&["checkout", "--quiet", "-b", "release/2"]);
    repository.commit("a", "three");
    repository.git(&["checkout", "--quiet", "main"]);
    assert_eq!(polling.poll().await, ["release/2: three"]);
}

#[tokio::test]
async fn branches_that_are_newly_configured_start_where_they_are() {
    let repository = Repository::new();
    repository.commit("a", "one");
    repository.many_commits("old", &repository.head(), 20);
    let mut polling = Polling::new(repository.path(), json!({"branches": ["main"]}));
    polling.poll().await;
    polling.reconfigure(repository.path(), json!({"branches": ["**"]}));
    repository.commit("a", "two");
    assert_eq!(polling.poll().await, ["main: two"]);
    repository.git(&["checkout", "--quiet", "old"]);
    repository.git(&["commit", "--quiet", "--allow-empty", "--message", "three"]);
    assert_eq!(polling.poll().await, ["old: three"]);
}

#[tokio::test]
async fn an_empty_repository_tells_its_first_push() {
    let repository = Repository::new();
    let mut polling = Polling::new(repository.path(), json!({}));
    assert_eq!(polling.poll().await, [""; 0]);
    repository.commit("a", "one");
    repository.commit("a", "two");
    assert_eq!(polling.poll().await, ["main: one", "main: two"]);
}

#[tokio::test]
async fn another_repository_starts_afresh() {
    let (first, second) = (Repository::new(), Repository::new());
    first.commit("a", "one");
    second.commit("a", "other");
    let mut polling = Polling::new(first.path(), json!({}));
    polling.poll().await;
    first.commit("a", "two");
    assert_eq!(polling.poll().await, ["main: two"]);
    polling.reconfigure(second.path(), json!({}));
    assert_eq!(polling.poll().await, [""; 0]);
    second.commit("a", "news");
    assert_eq!(polling.poll().await, ["main: news"]);
}

#[tokio::test]
async fn of_very_many_commits_the_newest_are_told() {
    let repository = Repository::new();
    let base = repository.commit("a", "one");
    let mut polling = Polling::new(repository.path(), json!({}));
    polling.poll().await;
    repository.many_commits("main", &base, COMMITS_MAX + 5);
    let polled = polling.polled().await;
    assert_eq!(polled.changes.len(), COMMITS_MAX);
    assert_eq!(polled.changes[0].change.comments, "main 6");
    assert_eq!(polled.changes[COMMITS_MAX - 1].change.comments, "main 1005");
    assert!(polled.notes[0].contains("1005 new commits"), "{:?}", polled.notes);
    assert_eq!(polling.poll().await, [""; 0]);
}

/// What does not fit into one poll waits for the next, and is not lost.
#[tokio::test]
async fn branches_that_do_not_fit_wait() {
    let repository = Repository::new();
    let base = repository.commit("a", "one");
    repository.git(&["branch", "b"]);
    let mut polling = Polling::new(repository.path(), json!({"branches": ["*"]}));
    polling.poll().await;
    for branch in ["a", "b", "c"] {
        repository.many_commits(branch, &base, COMMITS_MAX - 100);
    }
    repository.commit("a", "two");
    let first = polling.polled().await;
    assert_eq!(first.changes.len(), COMMITS_MAX - 100 + 1);
    assert_eq!((&*first.changes[0].branch, first.notes.len()), ("a", 0));
    let told = messages(&first);
    assert_eq!(told.last().unwrap(), "main: two", "a small one still fits");
    // The master accepts some of the next ones and stops.
    let second = polling.try_poll().await.unwrap();
    assert_eq!(
        (&*second.changes[0].branch, second.changes.len()),
        ("b", COMMITS_MAX - 100)
    );
    polling.state.accept(&second.changes[0]);
    let second = polling.polled().await;
    assert_eq!(messages(&second)[0], "b: b 2");
    assert_eq!(messages(&polling.polled().await)[0], "c: c 1");
    assert_eq!(polling.poll().await, [""; 0]);
}

#[tokio::test]
async fn pollers_share_a_directory() {
    let repository = Repository::new();
    repository.commit("a", "one");
    let workdir = tempfile::tempdir().unwrap();
    let path = repository.path().to_str().unwrap();
    let pollers = ["a/b", "a_b"].map(|name| poller(name, path, json!({})));
    let mut states = Vec::new();
    for poller in &pollers {
        let polled = poller
            .poll(workdir.path(), &PollerState::default())
            .await
            .unwrap();
        states.push(polled.state);
    }
    repository.commit("a", "two");
    for (poller, state) in pollers.iter().zip(&states) {
        let polled = poller.poll(workdir.path(), state).await.unwrap();
        assert_eq!(messages(&polled), ["main: two"]);
    }
    assert_eq!(std::fs::read_dir(workdir.path()).unwrap().count(), 2);
}

#[tokio::test]
async fn repositories_of_the_other_hash_are_polled() {
    let repository = Repository::new();
    std::fs::remove_dir_all(repository.path().join(".git")).unwrap();
    repository.git(&[
        "init",
        "--quiet",
        "--initial-branch=main",
        "--object-format=sha256",
        ".",
    ]);
    repository.commit("a", "one");
    let mut polling = Polling::new(repository.path(), json!({}));
    polling.poll().await;
    let hash = repository.commit("a", "two");
    assert_eq!(hash.len(), 64);
    assert_eq!(polling.poll().await, ["main: two"]);
}
