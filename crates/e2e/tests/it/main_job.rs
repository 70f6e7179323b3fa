//! The main job: a change becomes a build that can be watched.

use std::fs;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    fleet::{Fleet, word, worker_sections},
    witness::git,
};

/// A repository with one commit, and a master that polls it.
async fn fleet() -> (Fleet, String) {
    let mut fleet = Fleet::new("", "");
    let repository = fleet.path("repository");
    fs::create_dir(&repository).expect("the directory is ours");
    git(&repository, &["init", "--quiet"]);
    fs::write(repository.join("hello.sh"), "echo hello from the repository\n")
        .expect("the directory is ours");
    git(&repository, &["add", "--all"]);
    git(&repository, &["commit", "--quiet", "--message", "First"]);
    let url = word(&repository).to_owned();
    let toml = format!(
        "{}\
         [[builder]]\nname = \"green\"\nworkers = [\"label:any\"]\n\
         [[builder.step]]\ntype = \"git\"\n\
         [[builder.step]]\ntype = \"set_property\"\nname = \"name it\"\nproperty = \"who\"\ncommand = \"echo world\"\n\
         [[builder.step]]\ntype = \"shell\"\nname = \"greet\"\ncommand = \"sh hello.sh; echo and %(prop:who)s at %(prop:got_revision)s\"\n\
         [[builder]]\nname = \"red\"\nworkers = [\"label:any\"]\n\
         [[builder.step]]\ntype = \"shell\"\nname = \"fail\"\ncommand = \"echo oops >&2; exit 3\"\nhalt_on_failure = true\n\
         [[builder.step]]\ntype = \"shell\"\nname = \"never\"\ncommand = \"echo never\"\n\
         [[builder.step]]\ntype = \"shell\"\nname = \"always\"\ncommand = \"echo always\"\nalways_run = true\n\
         [[builder]]\nname = \"slow\"\nworkers = [\"label:any\"]\n\
         [[builder.step]]\ntype = \"shell\"\nname = \"sleep\"\ncommand = \"echo begun; sleep 600\"\n\
         [[scheduler]]\nname = \"commits\"\ntype = \"single_branch\"\nbranch = \"main\"\nbuilders = [\"green\", \"red\"]\n\
         [[scheduler]]\nname = \"force\"\ntype = \"force\"\nbuilders = [\"slow\", \"green\"]\nrepository = \"{url}\"\n\
         [[change_source]]\nname = \"poll\"\ntype = \"git_poller\"\nrepository = \"{url}\"\nbranches = [\"main\"]\ninterval = \"1s\"\n",
        worker_sections(&["w1"], 4)
    );
    fleet.configure("", &toml);
    fleet.start_master().await;
    fleet.spawn_worker("w1");
    fleet.workers_connected(&["w1"]).await;
    (fleet, url)
}

async fn builder_id(fleet: &Fleet, name: &str) -> u64 {
    fleet.list(&format!("/api/v2/builders/{name}"), "builders").await[0]["builderid"]
        .as_u64()
        .expect("an id")
}

/// The newest build of a builder, once it is complete.
async fn finished(fleet: &Fleet, builder: &str) -> Value {
    let mut build = Value::Null;
    fleet
        .until(&format!("a build of {builder} is complete"), async |fleet| {
            let builds = fleet
                .list(
                    &format!("/api/v2/builders/{builder}/builds?order=-number&limit=1&property=*"),
                    "builds",
                )
                .await;
            build = builds.first().cloned().unwrap_or_default();
            build["complete"] == true
        })
        .await;
    build
}

/// Makes an empty commit; returns its revision.
fn commit(fleet: &Fleet, message: &str) -> String {
    let repository = fleet.path("repository");
    git(
        &repository,
        &["commit", "--quiet", "--allow-empty", "--message", message],
    );
    git(&repository, &["rev-parse", "HEAD"])
}

async fn times_told(fleet: &Fleet, revision: &str) -> usize {
    fleet
        .list(&format!("/api/v2/changes?revision={revision}"), "changes")
        .await
        .len()
}

/// Makes commits until the poller tells of one; returns its revision. The first poll only takes note of what is
/// there, so the first commit may be one that is not told of.
async fn noticed_commit(fleet: &Fleet) -> String {
    let mut revision = String::new();
    let mut n = 0;
    fleet
        .until("a commit was noticed", async |fleet| {
            n += 1;
            revision = commit(fleet, &format!("Commit {n}"));
            for _ in 0..100 {
                if times_told(fleet, &revision).await > 0 {
                    return true;
                }
                tokio::task::yield_now().await;
            }
            false
        })
        .await;
    revision
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_is_pushed_back_is_built_again() {
    let (fleet, _) = fleet().await;
    let base = noticed_commit(&fleet).await;
    let reset = |revision: &str| {
        git(
            &fleet.path("repository"),
            &["reset", "--quiet", "--hard", revision],
        )
    };
    let first = commit(&fleet, "First try");
    fleet
        .until("the first try is told", async |fleet| {
            times_told(fleet, &first).await == 1
        })
        .await;
    reset(&base);
    let second = commit(&fleet, "Second try");
    fleet
        .until("the second try is told", async |fleet| {
            times_told(fleet, &second).await == 1
        })
        .await;
    reset(&first);
    fleet
        .until("the first try is told again", async |fleet| {
            times_told(fleet, &first).await == 2
        })
        .await;
    let mut green = Value::Null;
    fleet
        .until("the first try is built last", async |fleet| {
            green = finished(fleet, "green").await;
            green["properties"]["got_revision"][0] == first.as_str()
        })
        .await;
    assert_eq!(green["results"], 0, "{green}\n{}", fleet.evidence());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_becomes_a_build() {
    let (fleet, url) = fleet().await;
    let revision = noticed_commit(&fleet).await;
    let change = &fleet
        .list(&format!("/api/v2/changes?revision={revision}"), "changes")
        .await[0];
    assert_eq!(
        (change["branch"].as_str(), change["repository"].as_str()),
        (Some("main"), Some(url.as_str()))
    );
    let mut green = Value::Null;
    fleet
        .until("the commit is built", async |fleet| {
            green = finished(fleet, "green").await;
            green["properties"]["got_revision"][0] == revision.as_str()
        })
        .await;
    assert_eq!(green["results"], 0, "{green}\n{}", fleet.evidence());
    let id = green["buildid"].as_u64().expect("an id");
    let said = fleet.output(id, "greet").await;
    assert_eq!(
        said,
        format!("hello from the repository\nand world at {revision}\n")
    );
    let red = finished(&fleet, "red").await;
    assert_eq!(red["results"], 2, "{red}");
    let steps = fleet
        .list(
            &format!("/api/v2/builds/{}/steps?order=number", red["buildid"]),
            "steps",
        )
        .await;
    let names: Vec<_> = steps
        .iter()
        .map(|step| step["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, ["fail", "always"]);
    let raw = fleet
        .text(&format!("/api/v2/steps/{}/logs/stdio/raw", steps[0]["stepid"]))
        .await;
    assert!(raw.contains("oops") && raw.contains("exit code 3"), "{raw}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_change_is_built_once() {
    let (fleet, url) = fleet().await;
    let revision = git(&fleet.path("repository"), &["rev-parse", "HEAD"]);
    let form = [
        ("author", "Ada <ada@example.org>"),
        ("branch", "main"),
        ("repository", url.as_str()),
        ("revision", revision.as_str()),
        ("comments", "Told by a hook"),
        ("files", "[\"hello.sh\"]"),
    ];
    let answer = fleet
        .http
        .post(fleet.url("/change_hook/base"))
        .form(&form)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status().as_u16(), 200);
    assert_eq!(answer.text().await.expect("a body"), "1 change found");
    let green = finished(&fleet, "green").await;
    assert_eq!(
        (&green["results"], green["properties"]["got_revision"][0].as_str()),
        (&json!(0), Some(revision.as_str()))
    );
    let changes = fleet
        .list(&format!("/api/v2/builds/{}/changes", green["buildid"]), "changes")
        .await;
    assert_eq!(changes[0]["comments"], "Told by a hook");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_can_be_watched_and_stopped() {
    let (fleet, _) = fleet().await;
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://127.0.0.1:{}/ws", fleet.port()))
        .await
        .expect("a socket");
    for (id, path) in ["builds/*/*", "logs/*/*", "buildrequests/*/*"]
        .into_iter()
        .enumerate()
    {
        let command = json!({"cmd": "startConsuming", "_id": id, "path": path}).to_string();
        socket.send(Message::text(command)).await.expect("it is open");
    }
    let deadline = tokio::time::Instant::now() + crate::fleet::PATIENCE;
    // In force is what was answered.
    let mut answered = Vec::new();
    while answered.len() < 3 {
        let message = tokio::time::timeout_at(deadline, socket.next()).await;
        let message = message
            .unwrap_or_else(|_| panic!("only {answered:?} were answered\n{}", fleet.evidence()))
            .expect("it is open")
            .expect("a frame");
        let Ok(text) = message.into_text() else { continue };
        let answer: Value = serde_json::from_str(&text).expect("frames are JSON");
        if answer["code"] == 200 {
            answered.push(answer["_id"].as_u64());
        }
    }
    answered.sort_unstable();
    assert_eq!(answered, [Some(0), Some(1), Some(2)]);
    let builder = builder_id(&fleet, "slow").await;
    let request = fleet
        .force("force", json!({"builderid": builder, "reason": "to watch"}))
        .await
        .expect("an answer");
    let mut seen = Vec::new();
    let mut stopped = false;
    while !seen
        .iter()
        .any(|key: &String| key == &format!("buildrequests/{request}/complete"))
    {
        let message = tokio::time::timeout_at(deadline, socket.next()).await;
        let message = message
            .unwrap_or_else(|_| panic!("only {seen:?}\n{}", fleet.evidence()))
            .expect("it is open")
            .expect("a frame");
        let Ok(text) = message.into_text() else { continue };
        let event: Value = serde_json::from_str(&text).expect("frames are JSON");
        let Some(key) = event["k"].as_str() else { continue };
        seen.push(key.to_owned());
        if key.ends_with("/append") && !stopped {
            // The first line is there while the command still runs.
            stopped = true;
            let build = fleet.builds_of(request).await[0]["buildid"].clone();
            let (status, answer) = fleet
                .call(
                    &format!("/api/v2/builds/{build}"),
                    "stop",
                    json!({"reason": "seen enough"}),
                )
                .await
                .expect("an answer");
            assert_eq!(status, 200, "{answer}");
        }
    }
    let builds = fleet.builds_of(request).await;
    assert_eq!(
        (builds.len(), builds[0]["results"].as_u64()),
        (1, Some(6)),
        "{builds:?}"
    );
    let build = builds[0]["buildid"].as_u64().expect("an id");
    assert_eq!(fleet.output(build, "sleep").await, "begun\n");
    for event in ["new", "finished"] {
        assert!(seen.contains(&format!("builds/{build}/{event}")), "{seen:?}");
    }
}
