//! What a poller does when something is in its way.

use std::{
    fs,
    io::Read,
    net::{TcpListener, TcpStream},
};

use ironmaster_changes::{PollError, PollerState};
use serde_json::json;

use crate::repository::{Polling, Repository, poller};

#[tokio::test]
async fn a_repository_that_is_not_there_is_an_error_with_gits_words() {
    let workdir = tempfile::tempdir().unwrap();
    let poller = poller("p", "/nonexistent/r.git", json!({}));
    let error = poller
        .poll(workdir.path(), &PollerState::default())
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            PollError::Failed {
                command: "ls-remote",
                ..
            }
        ),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(text.contains("/nonexistent/r.git"), "{text}");
    assert!(!text.contains('\n'), "{text}");
}

/// After a failure the next poll finds what there is.
#[tokio::test]
async fn a_failed_poll_loses_nothing() {
    let repository = Repository::new();
    repository.commit("a", "one");
    let mut polling = Polling::new(repository.path(), json!({}));
    polling.poll().await;
    repository.commit("a", "two");
    let (git, away) = (repository.path().join(".git"), repository.path().join("away"));
    fs::rename(&git, &away).unwrap();
    assert!(polling.try_poll().await.is_err());
    fs::rename(&away, &git).unwrap();
    assert_eq!(polling.poll().await, ["main: two"]);
}

#[tokio::test]
async fn a_mirror_can_be_removed() {
    let repository = Repository::new();
    repository.commit("a", "one");
    let mut polling = Polling::new(repository.path(), json!({}));
    polling.poll().await;
    repository.commit("a", "two");
    polling.poll().await;
    fs::remove_dir_all(polling.mirror()).unwrap();
    repository.commit("a", "three");
    repository.commit("a", "four");
    assert_eq!(polling.poll().await, ["main: three", "main: four"]);
}

/// A git that was killed leaves locks; the next poll must not stumble over them.
#[tokio::test]
async fn locks_of_a_killed_git_are_removed() {
    let repository = Repository::new();
    repository.commit("a", "one");
    let mut polling = Polling::new(repository.path(), json!({}));
    polling.poll().await;
    repository.commit("a", "two");
    polling.poll().await;
    let mirror = polling.mirror();
    let refs: Vec<_> = fs::read_dir(mirror.join("refs/polled"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    for path in refs
        .iter()
        .chain([&mirror.join("packed-refs"), &mirror.join("HEAD")])
    {
        let mut lock = path.clone().into_os_string();
        lock.push(".lock");
        fs::write(lock, "").unwrap();
    }
    repository.commit("a", "three");
    assert_eq!(polling.poll().await, ["main: three"]);
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_told() {
    let repository = Repository::new();
    repository.commit("a", "one");
    let mut polling = Polling::new(repository.path(), json!({}));
    polling.poll().await;
    repository.commit("a", "two");
    let file = polling.workdir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = polling.poller.poll(&file, &polling.state).await.unwrap_err();
    assert!(matches!(error, PollError::Directory { .. }), "{error:?}");
}

/// A server that takes connections and never says a word.
fn silent_server() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, format!("http://user:hunter2@{address}/r.git"))
}

/// Waits until whoever connected is gone. Git's helper for HTTP is a child of git's own process, so this ends
/// only if the whole group was killed.
fn wait_for_end(mut connection: TcpStream) {
    let mut rest = Vec::new();
    // A killed process resets or closes; both are its end.
    let _ = connection.read_to_end(&mut rest);
}

#[tokio::test]
async fn a_git_that_takes_too_long_is_killed_with_its_children() {
    let (listener, url) = silent_server();
    listener.set_nonblocking(true).unwrap();
    let workdir = tempfile::tempdir().unwrap();
    // On a busy machine git may not even have connected within a second; then it gets longer.
    for timeout in [1, 4, 16, 64] {
        let poller = poller("p", &url, json!({"timeout": timeout}));
        let error = poller
            .poll(workdir.path(), &PollerState::default())
            .await
            .unwrap_err();
        assert!(
            matches!(
                error,
                PollError::Timeout {
                    command: "ls-remote",
                    seconds
                } if seconds == timeout
            ),
            "{error:?}"
        );
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        // The kernel has taken the connection, whether anybody has asked for it or not.
        if let Ok((connection, _)) = listener.accept() {
            connection.set_nonblocking(false).unwrap();
            wait_for_end(connection);
            return;
        }
    }
    panic!("git has never connected");
}

#[tokio::test]
async fn a_poll_that_is_dropped_kills_git_with_its_children() {
    let (listener, url) = silent_server();
    let mut accepted = tokio::task::spawn_blocking(move || listener.accept().unwrap().0);
    let workdir = tempfile::tempdir().unwrap();
    let poller = poller("p", &url, json!({}));
    let state = PollerState::default();
    let connection = tokio::select! {
        result = poller.poll(workdir.path(), &state) => panic!("{result:?}"),
        connection = &mut accepted => connection.unwrap(),
    };
    tokio::task::spawn_blocking(|| wait_for_end(connection))
        .await
        .unwrap();
}

#[test]
fn a_poller_does_not_show_the_password_of_its_repository() {
    let poller = poller("p", "https://user:hunter2@example.org/r.git", json!({}));
    assert!(!format!("{poller:?}").contains("hunter2"), "{poller:?}");
}
