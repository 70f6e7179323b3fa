//! The commands for a running master: reload, stop, explain.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Output},
};

use serde_json::json;

use crate::fleet::{Fleet, word, worker_sections};

/// `held` runs as long as there is a file `hold`.
fn sections(fleet: &Fleet, extra: &str) -> String {
    let worker = worker_sections(&["w1"], 2);
    let builder = |name: &str, command: &str| {
        format!(
            "[[builder]]\nname = \"{name}\"\nworkers = [\"label:any\"]\n[[builder.step]]\ntype = \"shell\"\ncommand = \"{command}\"\n"
        )
    };
    format!(
        "{worker}{}{}[[scheduler]]\nname = \"force\"\ntype = \"force\"\nbuilders = [\"quick\", \"held\"]\n{extra}",
        builder("quick", "true"),
        builder(
            "held",
            &format!("while [ -e {} ]; do sleep 0.05; done", word(&fleet.path("hold")))
        ),
    )
}

fn run(fleet: &Fleet, args: &[&str]) -> Output {
    fleet
        .ironmaster(args)
        .output()
        .expect("the program can be started")
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

async fn force(fleet: &Fleet, builder: &str) -> u64 {
    fleet
        .force("force", json!({ "builderNames": [builder] }))
        .await
        .expect("it is accepted")
}

/// A command that waits for the end of all builds.
struct StopWaits {
    child: Child,
    log: PathBuf,
}

impl StopWaits {
    fn spawn(fleet: &Fleet, log: &str) -> Self {
        let log = fleet.path(log);
        let file = File::create(&log).expect("the directory is ours");
        let child = fleet
            .ironmaster(&["stop", "--wait", "ci.toml"])
            .stdout(file.try_clone().expect("a handle more"))
            .stderr(file)
            .spawn()
            .expect("the program can be started");
        Self { child, log }
    }

    async fn until_said(&self, fleet: &Fleet, what: &str) {
        fleet
            .until(what, async |_| {
                std::fs::read_to_string(&self.log).is_ok_and(|said| said.contains(what))
            })
            .await;
    }

    /// Its exit code, once it has ended.
    async fn ended(&mut self, fleet: &Fleet) -> Option<i32> {
        let mut status = None;
        let child = &mut self.child;
        fleet
            .until("`stop --wait` ends", async |_| {
                status = child.try_wait().expect("it is our child");
                status.is_some()
            })
            .await;
        status.and_then(|status| status.code())
    }
}

/// Requests come in all the time while the configuration is reloaded again and again, right and wrong: none is lost, and
/// none is refused.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_by_reloads_under_load() {
    let mut fleet = Fleet::new("", "");
    fleet.configure("", &sections(&fleet, ""));
    fleet.start_master().await;
    fleet.spawn_worker("w1");
    fleet.workers_connected(&["w1"]).await;

    let mut requests = Vec::new();
    for round in 0..6 {
        let wrong = round % 3 == 2;
        let extra = if wrong {
            "[[builder]]\nname = \"broken\"\nworkrs = []\n".to_owned()
        } else {
            format!("[[worker]]\nname = \"spare-{round}\"\ntoken = \"0123456789abcdef0123\"\n")
        };
        fleet.configure("", &sections(&fleet, &extra));
        let command = fleet.ironmaster(&["reload", "ci.toml"]);
        let reload = tokio::task::spawn_blocking(move || {
            let mut command = command;
            command.output().expect("the program can be started")
        });
        for _ in 0..10 {
            requests.push(
                fleet
                    .force("force", json!({"builderNames": ["quick"]}))
                    .await
                    .expect("it is accepted"),
            );
        }
        let output = reload.await.expect("it does not panic");
        let said = text(&output);
        if wrong {
            assert_eq!(output.status.code(), Some(2), "{said}");
            for expected in [
                "unknown_key",
                "ci.toml:",
                "^^^^^^",
                "did you mean `workers`?",
                "in force stays",
            ] {
                assert!(said.contains(expected), "no {expected} in\n{said}");
            }
        } else {
            assert!(output.status.success(), "{said}");
            assert!(said.contains("in force ("), "{said}");
        }
    }
    for request in requests {
        assert_eq!(fleet.completed(request).await["results"], 0);
    }
    let history = fleet.list("/api/v2/configurations", "configurations").await;
    assert_eq!(history.len(), 5, "the start and four reloads: {history:?}");
    let last = history.last().expect("there are some");
    assert_eq!((&last["via"], &last["in_force"]), (&json!("cli"), &json!(true)));
    // Each build says which one it ran under.
    let builds = fleet.list("/api/v2/builds?field=config", "builds").await;
    assert!(
        builds
            .iter()
            .all(|build| history.iter().any(|entry| entry["digest"] == build["config"]))
    );

    // What counts from the next start on is said.
    fleet.configure("lease = \"11m\"", &sections(&fleet, ""));
    let said = text(&run(&fleet, &["reload", "ci.toml"]));
    assert!(
        said.contains("`lease` in [master] counts from the next start"),
        "{said}"
    );
    assert!(fleet.stop_master().await.success());
    let stopped = run(&fleet, &["reload", "ci.toml"]);
    assert_eq!(stopped.status.code(), Some(1));
    assert!(
        text(&stopped).contains("no master is running"),
        "{}",
        text(&stopped)
    );
    fleet.fsck();
}

/// A stop that waits starts nothing more, says what it waits for and what waits for it, can be cancelled, and ends when
/// the build does. What was queued is built after the next start.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_a_running_build() {
    let mut fleet = Fleet::new("", "");
    fleet.configure("", &sections(&fleet, ""));
    std::fs::write(fleet.path("hold"), "").expect("the directory is ours");
    fleet.start_master().await;
    fleet.spawn_worker("w1");
    fleet.workers_connected(&["w1"]).await;
    let held = force(&fleet, "held").await;
    fleet
        .until("it is being built", async |fleet| {
            !fleet.builds_of(held).await.is_empty()
        })
        .await;

    let mut waits = StopWaits::spawn(&fleet, "first.log");
    waits.until_said(&fleet, "waiting for held #1 on w1").await;
    let queued = force(&fleet, "quick").await;
    let explained = |request: u64| {
        text(&run(
            &fleet,
            &["explain", "ci.toml", "request", &request.to_string()],
        ))
    };
    let said = explained(queued);
    assert!(
        said.contains("of builder quick waits: the master is stopping") && said.contains("what would help: "),
        "{said}"
    );
    let said = explained(held);
    assert!(said.contains("of builder held is being built"), "{said}");
    let cancelled = run(&fleet, &["stop", "--cancel", "ci.toml"]);
    assert!(cancelled.status.success(), "{}", text(&cancelled));
    assert_eq!(waits.ended(&fleet).await, Some(1));
    waits.until_said(&fleet, "somebody has cancelled the stop").await;
    assert_eq!(fleet.completed(queued).await["results"], 0);
    let said = text(&run(
        &fleet,
        &["explain", "ci.toml", "request", &queued.to_string()],
    ));
    assert!(said.contains("is over"), "{said}");

    let mut waits = StopWaits::spawn(&fleet, "second.log");
    waits.until_said(&fleet, "waiting for held #1 on w1").await;
    let queued = force(&fleet, "quick").await;
    std::fs::remove_file(fleet.path("hold")).expect("it is there");
    assert_eq!(waits.ended(&fleet).await, Some(0));
    waits.until_said(&fleet, "the master has stopped").await;
    assert!(fleet.master_ended().await.success());
    assert!(!fleet.path("state/control.sock").exists());

    fleet.start_master().await;
    for request in [held, queued] {
        assert_eq!(fleet.completed(request).await["results"], 0);
    }
    assert_eq!(fleet.builds_of(held).await.len(), 1, "it was not interrupted");
    assert!(run(&fleet, &["stop", "ci.toml"]).status.success());
    assert!(fleet.master_ended().await.success());
    fleet.fsck();
}

/// Before a reload: what would change, what becomes of queued requests, and what the last changes would have started.
#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_is_compared_with_the_one_in_force() {
    let mut fleet = Fleet::new("", "");
    let on_main = "[[scheduler]]\nname = \"on-main\"\ntype = \"single_branch\"\nbranch = \"main\"\nbuilders = [\"quick\"]\n";
    fleet.configure("", &sections(&fleet, on_main));
    let new = text(&run(&fleet, &["check", "--diff", "--replay", "3", "ci.toml"]));
    assert!(
        new.contains("+ builder quick") && new.contains("there are no changes"),
        "{new}"
    );
    fleet.start_master().await;
    for (branch, revision) in [("main", "aaa"), ("next", "bbb")] {
        let told = fleet
            .http
            .post(fleet.url("/change_hook/base"))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(format!("author=ann&branch={branch}&revision={revision}"))
            .send()
            .await
            .expect("the master answers");
        assert!(told.status().is_success());
    }
    let same = text(&run(&fleet, &["check", "--diff", "ci.toml"]));
    assert!(same.contains("nothing differs"), "{same}");

    let changed = sections(&fleet, &on_main.replace("\"main\"", "\"next\""))
        .replace("command = \"true\"", "command = \"true again\"");
    fleet.configure("", &changed);
    let said = text(&run(&fleet, &["check", "--diff", "--replay", "5", "ci.toml"]));
    for expected in [
        "~ builder quick\n    steps[1].command: \"true\" -> \"true again\"\n",
        "~ scheduler on-main\n",
        "1 queued request of builder quick would be built under its new definition",
        "change 1 (aaa on main by ann)\n    starts nothing\n",
        "change 2 (bbb on next by ann)\n    on-main starts quick\n",
        "2 changes, 1 buildset",
    ] {
        assert!(said.contains(expected), "no {expected:?} in\n{said}");
    }
    // Nothing has happened by asking.
    assert_eq!(
        fleet.list("/api/v2/buildrequests", "buildrequests").await.len(),
        1
    );

    let checked = run(&fleet, &["fmt", "--check", "ci.toml"]);
    assert_eq!(checked.status.code(), Some(1), "{}", text(&checked));
    assert!(run(&fleet, &["fmt", "ci.toml"]).status.success());
    assert!(run(&fleet, &["fmt", "--check", "ci.toml"]).status.success());
    let said = text(&run(&fleet, &["reload", "ci.toml"]));
    assert!(said.contains("in force ("), "{said}");
}

/// Each connection is an open file, and the usual limit is for programs that can do with few.
#[tokio::test(flavor = "multi_thread")]
async fn the_master_takes_as_many_open_files_as_the_system_allows() {
    /// As many as it takes at most where the system sets no limit.
    const MOST: u64 = 1 << 20;
    let mut fleet = Fleet::new("", "");
    fleet.configure("", &sections(&fleet, ""));
    let plain = fleet.ironmaster(&["start", "ci.toml"]);
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -S -n 256 && exec \"$0\" \"$@\""])
        .arg(plain.get_program())
        .args(plain.get_args())
        .current_dir(plain.get_current_dir().expect("the directory is set"));
    fleet.spawn_master_as(command);
    fleet
        .until("the master serves", async |fleet| {
            fleet.get("/api/v2/builders").await.is_some()
        })
        .await;
    let id = fleet.master.as_ref().expect("it runs").id();
    let limits = fs::read_to_string(format!("/proc/{id}/limits")).expect("it runs");
    let files = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let mut numbers = files.expect("there is such a limit").split_whitespace();
    let (now, allowed) = (numbers.next(), numbers.next());
    // Without a limit there is a word.
    let allowed = allowed
        .and_then(|allowed| allowed.parse().ok())
        .unwrap_or(MOST)
        .min(MOST);
    assert_eq!(now, Some(allowed.to_string().as_str()), "{limits}");
    assert!(allowed > 256, "nothing could be raised here: {limits}");
    assert!(fleet.stop_master().await.success());
}
