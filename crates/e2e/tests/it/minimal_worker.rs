//! `examples/minimal-worker.py`: what docs/worker-protocol.md says is enough to write a worker.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    fleet::{Fleet, token, word, worker_sections},
    witness::git,
};

/// More than may be on its way at once, so that the worker has to wait for acknowledgements.
const LINES: u64 = 300_000;

fn spawn(fleet: &mut Fleet) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let packages = root.join(".tools/python");
    assert!(
        packages.join("websockets").is_dir(),
        "{} has no websockets; run scripts/python.sh first (`make test` does)",
        packages.display()
    );
    let mut command = Command::new("python3");
    command
        .arg(root.join("examples/minimal-worker.py"))
        .arg(format!("ws://127.0.0.1:{}/worker", fleet.port()))
        .arg("small")
        .arg(fleet.path("small"))
        .env("PYTHONPATH", packages)
        .env("IRONMASTER_WORKER_TOKEN", token("small"));
    fs::create_dir_all(fleet.path("small")).expect("the directory is ours");
    fleet.spawn_worker_as("small", command);
}

/// A master with the small worker, and builders of one step each.
async fn fleet(builders: &[(&str, &str)]) -> Fleet {
    let mut fleet = Fleet::new("", "");
    let mut toml = worker_sections(&["small"], 2);
    for (name, step) in builders {
        toml += &format!(
            "[[builder]]\nname = \"{name}\"\nworkers = [\"small\"]\n[[builder.step]]\nname = \"it\"\n{step}\n\
             [[scheduler]]\nname = \"force-{name}\"\ntype = \"force\"\nbuilders = [\"{name}\"]\n"
        );
    }
    fleet.configure("", &toml);
    fleet.start_master().await;
    spawn(&mut fleet);
    fleet.workers_connected(&["small"]).await;
    fleet
}

async fn force(fleet: &Fleet, builder: &str) -> u64 {
    fleet
        .force(&format!("force-{builder}"), json!({}))
        .await
        .expect("the master answers")
}

/// The one build of a request, once it is complete.
async fn built(fleet: &Fleet, builder: &str) -> Value {
    let request = force(fleet, builder).await;
    fleet.completed(request).await;
    let mut builds = fleet.builds_of(request).await;
    assert_eq!(builds.len(), 1, "it ran once: {builds:?}\n{}", fleet.evidence());
    builds.remove(0)
}

async fn raw(fleet: &Fleet, build: &Value) -> String {
    let steps = fleet
        .list(&format!("/api/v2/builds/{}/steps", build["buildid"]), "steps")
        .await;
    fleet
        .text(&format!("/api/v2/steps/{}/logs/stdio/raw", steps[0]["stepid"]))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_runs_what_it_is_told() {
    let repository = tempfile::tempdir().expect("a temporary directory");
    git(repository.path(), &["init", "--quiet"]);
    fs::write(repository.path().join("hello"), "hi\n").expect("the directory is ours");
    git(repository.path(), &["add", "--all"]);
    git(repository.path(), &["commit", "--quiet", "--message", "First"]);
    let revision = git(repository.path(), &["rev-parse", "HEAD"]);
    let clone = format!("type = \"git\"\nrepository = \"{}\"", word(repository.path()));
    let many = format!("type = \"shell\"\ncommand = \"seq {LINES}; seq {LINES} >&2\"");
    let fleet = fleet(&[
        ("clone", &clone),
        ("many", &many),
        (
            "fail",
            "type = \"shell\"\ncommand = \"echo $COLOR $IRONMASTER_WORKER_TOKEN.; exit 3\"\nenv = { COLOR = \"blue\" }",
        ),
        (
            "silent",
            "type = \"shell\"\ncommand = \"echo so far; sleep 600\"\ntimeout = \"5s\"",
        ),
        ("absent", "type = \"shell\"\ncommand = [\"no-such-program\"]"),
        (
            "daemon",
            "type = \"shell\"\ncommand = \"sleep 600 & echo leaves\"",
        ),
        (
            "terminal",
            "type = \"shell\"\ncommand = \"tty\"\npty = true",
        ),
    ])
    .await;
    // Twice, since the second finds what the first left: it looks there, and removes what is in the way.
    for _ in 0..2 {
        let build = built(&fleet, "clone").await;
        assert_eq!(
            (&build["results"], &build["properties"]["got_revision"][0]),
            (&json!(0), &json!(revision)),
            "{build}\n{}",
            fleet.evidence()
        );
    }
    let build = built(&fleet, "many").await;
    assert_eq!(build["results"], 0, "{build}\n{}", fleet.evidence());
    let log = raw(&fleet, &build).await;
    let mut counts = std::collections::BTreeMap::new();
    for number in log.lines().filter_map(|line| line.parse::<u64>().ok()) {
        *counts.entry(number).or_insert(0_u32) += 1;
    }
    assert!(
        counts.len() as u64 == LINES && counts.values().all(|count| *count == 2),
        "{} different lines of {LINES}",
        counts.len()
    );
    for (builder, said) in [
        ("fail", "blue .\n"),
        ("fail", "exit code 3"),
        ("silent", "so far\n"),
        ("silent", "it printed nothing for too long"),
        ("absent", "no-such-program"),
        ("daemon", "leaves\n"),
        ("terminal", "this worker cannot give a command a terminal"),
    ] {
        let build = built(&fleet, builder).await;
        let log = raw(&fleet, &build).await;
        let expected = if builder == "daemon" { 0 } else { 2 };
        assert!(
            build["results"] == expected && log.contains(said),
            "{builder}: {build}\n{log}\n{}",
            fleet.evidence()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_what_it_runs_when_told_or_left() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = word(dir.path());
    let step = format!(
        "type = \"shell\"\ncommand = \"echo begin >> {path}/witness; while [ ! -e {path}/go ]; do sleep 0.05; done; echo end >> {path}/witness\""
    );
    let mut fleet = fleet(&[("wait", &step)]).await;
    let witness = || fs::read_to_string(dir.path().join("witness")).unwrap_or_default();
    let begun = async |fleet: &Fleet, times| {
        fleet
            .until("the command has begun", async |_| {
                witness().matches("begin").count() == times
            })
            .await;
    };
    let request = force(&fleet, "wait").await;
    begun(&fleet, 1).await;
    let build = fleet.builds_of(request).await.remove(0);
    let (status, answer) = fleet
        .call(&format!("/api/v2/builds/{}", build["buildid"]), "stop", json!({}))
        .await
        .expect("the master answers");
    assert_eq!(status, 200, "{answer}");
    assert_eq!(fleet.completed(request).await["results"], 6);

    let request = force(&fleet, "wait").await;
    begun(&fleet, 2).await;
    fleet.kill_master();
    fleet.start_master().await;
    // It could not keep the command, so there is another attempt.
    begun(&fleet, 3).await;
    fs::write(dir.path().join("go"), "").expect("the directory is ours");
    assert_eq!(fleet.completed(request).await["results"], 0);
    let builds = fleet.builds_of(request).await;
    let results: Vec<_> = builds.iter().map(|build| build["results"].as_u64()).collect();
    assert_eq!(results, [Some(5), Some(0)], "{}", fleet.evidence());
    assert_eq!(witness(), "begin\nbegin\nbegin\nend\n");
    assert!(fleet.stop_master().await.success());
    fleet.fsck();
}
