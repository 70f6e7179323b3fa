//! A worker that dies takes its build with it: the build ends RETRY and runs again elsewhere, within a limit, and
//! nothing of the first goes on beside it.

use std::fs;

use serde_json::json;

use crate::fleet::{Fleet, word, worker_sections};

/// A command that runs until a file appears, and says if two of it run at once.
fn configuration(fleet: &Fleet, workers: &[&str], attempts: u32) -> String {
    let dir = fleet.path("ci.toml");
    let dir = word(dir.parent().expect("a directory"));
    let script = format!(
        "exec 9>>{dir}/lock; flock --nonblock 9 || echo overlap >> {dir}/witness; echo begin >> {dir}/witness; \
         while [ ! -e {dir}/go ]; do sleep 0.05; done; echo end >> {dir}/witness"
    );
    format!(
        "{}[[builder]]\nname = \"wait\"\nworkers = [\"label:any\"]\nattempts = {attempts}\n\
         [[builder.step]]\ntype = \"shell\"\nname = \"run\"\ncommand = '''{script}'''\n\
         [[scheduler]]\nname = \"force\"\ntype = \"force\"\nbuilders = [\"wait\"]\n",
        worker_sections(workers, 1)
    )
}

async fn begun(fleet: &Fleet, times: usize) {
    fleet
        .until(&format!("the command has begun {times} times"), async |fleet| {
            witness(fleet).matches("begin").count() >= times
        })
        .await;
}

fn witness(fleet: &Fleet) -> String {
    fs::read_to_string(fleet.path("witness")).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_of_a_killed_worker_runs_again() {
    let mut fleet = Fleet::new("", "");
    let toml = configuration(&fleet, &["w1", "w2"], 3);
    fleet.configure("", &toml);
    fleet.start_master().await;
    fleet.spawn_worker("w1");
    fleet.workers_connected(&["w1"]).await;
    let request = fleet.force("force", json!({})).await.expect("the master answers");
    begun(&fleet, 1).await;
    fleet.spawn_worker("w2");
    fleet.workers_connected(&["w2"]).await;
    fleet.kill_worker("w1");
    // Its next process ends what the first left running, and only then says that it is there.
    fleet.spawn_worker("w1");
    begun(&fleet, 2).await;
    fs::write(fleet.path("go"), "").expect("the directory is ours");
    let done = fleet.completed(request).await;
    assert_eq!(done["results"], 0, "{done}");
    let builds = fleet.builds_of(request).await;
    let results: Vec<_> = builds.iter().map(|build| build["results"].as_u64()).collect();
    assert_eq!(results, [Some(5), Some(0)], "{builds:?}\n{}", fleet.evidence());
    assert_eq!(
        witness(&fleet),
        "begin\nbegin\nend\n",
        "two attempts ran beside each other, or too many"
    );
    assert!(fleet.stop_master().await.success());
    fleet.fsck();
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_limited() {
    let mut fleet = Fleet::new("", "");
    let toml = configuration(&fleet, &["w1"], 2);
    fleet.configure("", &toml);
    fleet.start_master().await;
    fleet.spawn_worker("w1");
    let request = fleet.force("force", json!({})).await.expect("the master answers");
    for attempt in 1..=2 {
        begun(&fleet, attempt).await;
        fleet.kill_worker("w1");
        fleet.spawn_worker("w1");
    }
    let done = fleet.completed(request).await;
    assert_eq!(done["results"], 4, "exhausted attempts end in EXCEPTION: {done}");
    assert_eq!(fleet.builds_of(request).await.len(), 2);
}
