//! Workers that are told to finish or to end, that come twice under one name, or do not come at all.

use std::{fs, process::ExitStatus, time::Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    fleet::{Fleet, PATIENCE, program, signal, token, word, worker_sections},
    proxy::{Mode, Proxy},
};

/// A build that runs until a file appears, and says that it has begun.
fn configuration(fleet: &Fleet, workers: &str) -> String {
    let dir = fleet.path("ci.toml");
    let dir = word(dir.parent().expect("a directory"));
    let script = format!("echo begin >> {dir}/witness; while [ ! -e {dir}/go ]; do sleep 0.05; done");
    format!(
        "{workers}[[builder]]\nname = \"wait\"\nworkers = [\"*\"]\n\
         [[builder.step]]\ntype = \"shell\"\nname = \"run\"\ncommand = '''{script}'''\n\
         [[scheduler]]\nname = \"force\"\ntype = \"force\"\nbuilders = [\"wait\"]\n"
    )
}

async fn fleet(workers: &[&str]) -> Fleet {
    let mut fleet = Fleet::new("", "");
    let toml = configuration(&fleet, &worker_sections(workers, 1));
    // So long a heartbeat that nothing in these tests comes of its end.
    fleet.configure("heartbeat = \"10m\"\ndead_after = \"1h\"\nlease = \"1h\"", &toml);
    fleet.start_master().await;
    fleet
}

async fn begun(fleet: &Fleet, times: usize) {
    fleet
        .until(&format!("the command has begun {times} times"), async |fleet| {
            let witness = fs::read_to_string(fleet.path("witness")).unwrap_or_default();
            witness.lines().count() >= times
        })
        .await;
}

pub(crate) async fn control(fleet: &Fleet, worker: &str, method: &str, params: Value) {
    let (status, answer) = fleet
        .call(&format!("/api/v2/workers/{worker}"), method, params)
        .await
        .expect("an answer");
    assert_eq!(status, 200, "{method}: {answer}");
}

pub(crate) async fn worker(fleet: &Fleet, name: &str) -> Value {
    fleet.list(&format!("/api/v2/workers/{name}"), "workers").await[0].clone()
}

/// Waits until the worker that was started first has ended by itself.
pub(crate) async fn ended(fleet: &mut Fleet) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    let (name, mut child) = fleet.workers.remove(0);
    loop {
        if let Some(status) = child.try_wait().expect("it is our child") {
            return status;
        }
        if Instant::now() >= deadline {
            fleet.workers.push((name, child));
            panic!("the worker did not end\n{}", fleet.evidence());
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_to_stop_finishes_and_ends_also_over_a_restart_of_the_master() {
    let mut fleet = fleet(&["w1", "w2"]).await;
    fleet.spawn_worker("w1");
    fleet.workers_connected(&["w1"]).await;
    control(
        &fleet,
        "w2",
        "pause",
        json!({ "reason": "the disk is being replaced" }),
    )
    .await;
    let request = fleet.force("force", json!({})).await.expect("the master answers");
    begun(&fleet, 1).await;
    control(&fleet, "w1", "stop", json!({})).await;
    fleet.kill_master();
    fleet.start_master().await;
    fleet.workers_connected(&["w1"]).await;
    assert_eq!(worker(&fleet, "w1").await["graceful"], true);
    assert_eq!(
        worker(&fleet, "w2").await["pause_reason"],
        "the disk is being replaced"
    );
    // It gets nothing new meanwhile.
    let second = fleet.force("force", json!({})).await.expect("the master answers");
    fs::write(fleet.path("go"), "").expect("the directory is ours");
    assert_eq!(fleet.completed(request).await["results"], 0);
    let status = ended(&mut fleet).await;
    assert_eq!(status.code(), Some(0), "{}", fleet.evidence());
    let said = fs::read_to_string(fleet.path("w1.log")).expect("it has a log");
    assert!(said.contains("told it to finish, and it is idle"), "{said}");
    assert!(fleet.builds_of(second).await.is_empty());
    // Who starts it again wants it to work.
    fleet.spawn_worker("w1");
    assert_eq!(fleet.completed(second).await["results"], 0);
    assert_eq!(worker(&fleet, "w1").await["graceful"], false);
    // One that is idle ends at once.
    control(&fleet, "w1", "stop", json!({})).await;
    assert_eq!(ended(&mut fleet).await.code(), Some(0), "{}", fleet.evidence());
    assert!(fleet.stop_master().await.success());
    fleet.fsck();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_ends_at_once_and_its_build_runs_again() {
    let mut fleet = fleet(&["w1", "w2"]).await;
    fleet.spawn_worker("w1");
    fleet.workers_connected(&["w1"]).await;
    let request = fleet.force("force", json!({})).await.expect("the master answers");
    begun(&fleet, 1).await;
    control(&fleet, "w1", "kill", json!({ "reason": "it is on fire" })).await;
    assert_eq!(ended(&mut fleet).await.code(), Some(0), "{}", fleet.evidence());
    fleet.spawn_worker("w2");
    begun(&fleet, 2).await;
    fs::write(fleet.path("go"), "").expect("the directory is ours");
    assert_eq!(fleet.completed(request).await["results"], 0);
    let builds = fleet.builds_of(request).await;
    let results: Vec<_> = builds.iter().map(|build| build["results"].as_u64()).collect();
    assert_eq!(results, [Some(5), Some(0)], "{builds:?}\n{}", fleet.evidence());
    assert!(fleet.stop_master().await.success());
    fleet.fsck();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_killed_while_it_was_away_ends_when_it_is_back() {
    let mut fleet = fleet(&["w1"]).await;
    let proxy = Proxy::to(fleet.port()).await;
    fleet.spawn_worker_at("w1", &format!("ws://127.0.0.1:{}/worker", proxy.port));
    fleet.workers_connected(&["w1"]).await;
    fleet.force("force", json!({})).await.expect("the master answers");
    begun(&fleet, 1).await;
    proxy.set(Mode::Cut);
    fleet
        .until("the worker is away", async |fleet| {
            worker(fleet, "w1").await["connected_to"] == json!([])
        })
        .await;
    control(&fleet, "w1", "kill", json!({})).await;
    fleet.kill_master();
    fleet.start_master().await;
    proxy.set(Mode::Open);
    assert_eq!(ended(&mut fleet).await.code(), Some(0), "{}", fleet.evidence());
    assert_eq!(worker(&fleet, "w1").await["killed"], true);
    fleet.spawn_worker("w1");
    begun(&fleet, 2).await;
    assert_eq!(worker(&fleet, "w1").await["killed"], false);
    fleet.kill_master();
    fleet.fsck();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_with_one_name_the_first_stays_as_long_as_it_answers() {
    const WHY: &str = "another process is connected as worker \"w1\", and answers";
    let mut fleet = fleet(&["w1"]).await;
    fleet.spawn_worker("w1");
    fleet.workers_connected(&["w1"]).await;
    let mut second = std::process::Command::new(program("ironmaster-worker"));
    second
        .args([
            "--master",
            &format!("ws://127.0.0.1:{}", fleet.port()),
            "--name",
            "w1",
            "--token",
        ])
        .arg(token("w1"))
        .arg("--basedir")
        .arg(fleet.path("elsewhere"));
    fleet.spawn_worker_as("second", second);
    let says = |log: &'static str, text: &'static str| {
        async move |fleet: &Fleet| fs::read_to_string(fleet.path(log)).is_ok_and(|log| log.contains(text))
    };
    fleet
        .until("the second is told why it is refused", says("second.log", WHY))
        .await;
    let basedir = async |fleet: &Fleet| worker(fleet, "w1").await["facts"]["basedir"].clone();
    assert_eq!(basedir(&fleet).await, word(&fleet.path("w1")));
    let first = fleet.workers[0].1.id();
    signal(first, Signal::STOP);
    let elsewhere = fleet.path("elsewhere");
    fleet
        .until("the second has taken the place of the first", async |fleet| {
            basedir(fleet).await == word(&elsewhere)
        })
        .await;
    signal(first, Signal::CONT);
    fleet
        .until("the first is told why it is refused", says("w1.log", WHY))
        .await;
    assert_eq!(basedir(&fleet).await, word(&elsewhere));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stays_away_is_missing_until_it_comes() {
    let mut fleet = Fleet::new("", "");
    let missing_after = format!("{}missing_after = \"1s\"\n", worker_sections(&["w1"], 1));
    let toml = configuration(&fleet, &format!("{missing_after}{}", worker_sections(&["w2"], 3)));
    fleet.configure("", &toml);
    fleet.start_master().await;
    let is = |missing: bool| async move |fleet: &Fleet| worker(fleet, "w1").await["missing"] == missing;
    fleet.until("it is missing", is(true)).await;
    assert!(worker(&fleet, "w1").await["disconnected_at"].as_u64().is_some());
    let other = worker(&fleet, "w2").await;
    assert_eq!((&other["missing"], &other["slots"]), (&json!(false), &json!(3)));
    fleet.kill_master();
    fleet.start_master().await;
    assert_eq!(worker(&fleet, "w1").await["missing"], true);
    fleet.spawn_worker("w1");
    fleet.until("it is there", is(false)).await;
    assert_eq!(worker(&fleet, "w1").await["disconnected_at"], Value::Null);
    fleet.kill_worker("w1");
    fleet.until("it is missing again", is(true)).await;
    let log = fs::read_to_string(fleet.path("master.log")).expect("it has a log");
    assert!(log.contains("worker is missing"), "{log}");
}
