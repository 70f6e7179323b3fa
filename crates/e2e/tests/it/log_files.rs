//! Log files and terminals of steps, on workers of every kind, and through kills of the master.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};

use crate::{
    fleet::{Fleet, worker_sections},
    rng::Rng,
    stock_workers::{self, Protocol},
};

/// Stock workers look at a file every two seconds, and begin to follow it behind what is in it when they first see that it has changed.
const STEP: &str = r#"type = "shell"
command = "echo begun; touch grown; seq 3000 > out/numbers; sleep 5; echo more >> grown; test -t 1 && echo terminal; true"
workdir = "work"
pty = true
log_files = { numbers = "out/numbers", "grown log" = { path = "grown", follow = true }, missing = "nowhere" }
"#;

async fn log(fleet: &Fleet, build: &Value, slug: &str) -> String {
    let steps = fleet
        .list(&format!("/api/v2/builds/{}/steps", build["buildid"]), "steps")
        .await;
    let step = steps
        .iter()
        .find(|step| step["name"] == "it")
        .expect("there is one");
    fleet
        .text(&format!("/api/v2/steps/{}/logs/{slug}/raw", step["stepid"]))
        .await
}

/// What a step with log files and a terminal leaves behind, whatever runs it.
pub(crate) async fn they_are_logs_of_the_step(fleet: &Fleet, builder: &str, folder: &str) {
    let work = fleet.path(folder).join(builder).join("work");
    fs::create_dir_all(work.join("out")).expect("the directory is ours");
    fs::write(work.join("grown"), "before\n").expect("the directory is ours");
    // So that the step's touch is a change, also to who counts in seconds.
    fs::File::options()
        .append(true)
        .open(work.join("grown"))
        .and_then(|file| file.set_modified(SystemTime::UNIX_EPOCH))
        .expect("the file is ours");
    let request = fleet
        .force(&format!("force-{builder}"), json!({}))
        .await
        .expect("the master answers");
    fleet.completed(request).await;
    let build = fleet.builds_of(request).await.remove(0);
    let numbers: String = (1..=3000).map(|number| format!("{number}\n")).collect();
    let stdio = log(fleet, &build, "stdio").await;
    assert_eq!(build["results"], 0, "{build}\n{stdio}\n{}", fleet.evidence());
    assert!(
        stdio.contains("begun\n") && stdio.contains("terminal\n") && !stdio.contains('\r'),
        "{stdio:?}"
    );
    assert!(
        log(fleet, &build, "numbers").await == numbers,
        "the bytes differ: {}\n{stdio}",
        log(fleet, &build, "numbers").await.len()
    );
    assert_eq!(log(fleet, &build, "grown_log").await, "more\n", "{stdio}");
    assert_eq!(log(fleet, &build, "missing").await, "");
}

fn builder(name: &str, worker: &str, step: &str) -> String {
    format!(
        "[[builder]]\nname = \"{name}\"\nworkers = [\"{worker}\"]\n[[builder.step]]\nname = \"it\"\n{step}\n\
         [[scheduler]]\nname = \"force-{name}\"\ntype = \"force\"\nbuilders = [\"{name}\"]\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn on_our_worker() {
    let toml = worker_sections(&["w1"], 2) + &builder("logs", "w1", STEP);
    let mut fleet = Fleet::new("", &toml);
    fleet.start_master().await;
    fleet.spawn_worker("w1");
    fleet.workers_connected(&["w1"]).await;
    they_are_logs_of_the_step(&fleet, "logs", "w1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_stock_workers() {
    for protocol in Protocol::ALL {
        let fleet = stock_workers::fleet(protocol, &[("logs", STEP)]).await;
        they_are_logs_of_the_step(&fleet, "logs", "small").await;
    }
}

/// Much output, a log that gets a line now and then and would stay in memory, and one that ends in its file at once: of each every byte
/// is there once, however often the master is killed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn every_byte_survives_kills_of_the_master() {
    const KILLS: u64 = 12;
    let script = "for i in $(seq 40); do seq $i 20000 | head -c 150000; echo line$i >> rare; seq 3000 >> many; sleep 0.1; done";
    let step = format!(
        "type = \"shell\"\ncommand = \"{script}\"\nlog_files = {{ rare = \"rare\", many = \"many\" }}"
    );
    let toml = worker_sections(&["w1"], 1) + &builder("logs", "w1", &step);
    let mut fleet = Fleet::new("heartbeat = \"1s\"\ndead_after = \"3s\"", &toml);
    fleet.start_master().await;
    fleet.spawn_worker("w1");
    fleet.workers_connected(&["w1"]).await;
    let request = fleet
        .force("force-logs", json!({}))
        .await
        .expect("the master answers");
    let mut rng = Rng::new(7);
    for _ in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(rng.between(50, 500))).await;
        fleet.kill_master();
        fleet.start_master().await;
    }
    fleet.completed(request).await;
    let builds = fleet.builds_of(request).await;
    assert_eq!(builds.len(), 1, "it ran once: {builds:?}");
    let build = &builds[0];
    assert_eq!(build["results"], 0, "{build}\n{}", fleet.evidence());
    let output = std::process::Command::new("sh")
        .args(["-c", &script.replace("sleep 0.1", "true")])
        .current_dir(fleet.path("ci.toml").parent().expect("a directory"))
        .output()
        .expect("there is a shell");
    let expected = String::from_utf8(output.stdout).expect("numbers");
    let stdio = log(&fleet, build, "stdio").await;
    // Between the lines about the command, and the line that tells how it ended.
    let printed: String = stdio
        .lines()
        .filter(|line| line.bytes().all(|byte| byte.is_ascii_digit()))
        .map(|line| format!("{line}\n"))
        .collect();
    let numbers: String = expected.lines().map(|line| format!("{line}\n")).collect();
    assert!(printed == numbers, "{} bytes of {}", printed.len(), numbers.len());
    for name in ["rare", "many"] {
        let expected = fs::read_to_string(fleet.path(name)).expect("it was written just now");
        let told = log(&fleet, build, name).await;
        assert!(
            told == expected,
            "{name}: {} bytes of {}",
            told.len(),
            expected.len()
        );
    }
    assert!(fleet.stop_master().await.success());
    fleet.fsck();
}
