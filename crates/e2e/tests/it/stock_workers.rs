//! Stock `buildbot-worker` processes, over both of their protocols, as workers of our master.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    fleet::{Fleet, free_port, signal, token, word, worker_sections},
    lifecycle::{control, ended, worker},
    witness::git,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Pb,
    Msgpack,
}

impl Protocol {
    pub(crate) const ALL: [Self; 2] = [Self::Pb, Self::Msgpack];
}

/// A program of stock Buildbot.
pub(crate) fn stock(program: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../.tools/buildbot-4.3.0/bin")
        .join(program);
    assert!(
        path.exists(),
        "{} is missing; run scripts/buildbot.sh first (`make test` does)",
        path.display()
    );
    path
}

/// Makes the folder of a worker, as its owner would.
fn create(fleet: &Fleet, protocol: Protocol, pb_port: u16, password: &str) {
    create_in(fleet, "small", protocol, pb_port, password);
}

fn create_in(fleet: &Fleet, folder: &str, protocol: Protocol, pb_port: u16, password: &str) {
    let mut command = Command::new(stock("buildbot-worker"));
    command.arg("create-worker");
    let port = match protocol {
        Protocol::Pb => pb_port,
        Protocol::Msgpack => {
            command.arg("--protocol=msgpack_experimental_v7");
            fleet.port()
        }
    };
    if protocol == Protocol::Pb {
        command.arg("--allow-shutdown=signal");
    }
    command
        .arg(fleet.path(folder))
        .args([&format!("127.0.0.1:{port}"), "small", password]);
    let output = command.output().expect("the program can be started");
    assert!(output.status.success(), "{output:?}");
    let info = fleet.path(folder).join("info");
    fs::write(info.join("host"), "A machine of old.\n").expect("the directory is ours");
    fs::write(info.join("access_uri"), "ssh://old.example.org\n").expect("the directory is ours");
    fs::write(info.join("admin"), "ada@example.org\n").expect("the directory is ours");
}

fn start(fleet: &mut Fleet) {
    start_in(fleet, "small");
}

fn start_in(fleet: &mut Fleet, folder: &str) {
    let mut command = Command::new(stock("twistd"));
    command
        .args(["--nodaemon", "--no_save", "--pidfile=", "--python=buildbot.tac"])
        .current_dir(fleet.path(folder))
        .stdin(Stdio::null());
    fleet.spawn_worker_as(folder, command);
}

/// The port for Perspective Broker in a fleet's configuration.
fn pb_port(fleet: &Fleet) -> u16 {
    let toml = fs::read_to_string(fleet.path("ci.toml")).expect("it was configured");
    let port = toml.split("[pb]\nlisten = \"127.0.0.1:").nth(1);
    port.and_then(|rest| rest.split('"').next()?.parse().ok())
        .expect("it has one")
}

/// A master with the stock worker, and builders of one step each.
pub(crate) async fn fleet(protocol: Protocol, builders: &[(&str, &str)]) -> Fleet {
    let mut fleet = Fleet::new("", "");
    let pb_port = free_port();
    let mut toml = format!("[pb]\nlisten = \"127.0.0.1:{pb_port}\"\n");
    toml += &worker_sections(&["small"], 2);
    for (name, step) in builders {
        toml += &format!(
            "[[builder]]\nname = \"{name}\"\nworkers = [\"small\"]\n[[builder.step]]\nname = \"it\"\n{step}\n\
             [[scheduler]]\nname = \"force-{name}\"\ntype = \"force\"\nbuilders = [\"{name}\"]\npatch = true\n"
        );
    }
    fleet.configure("", &toml);
    fleet.start_master().await;
    create(&fleet, protocol, pb_port, &token("small"));
    start(&mut fleet);
    fleet.workers_connected(&["small"]).await;
    fleet
}

async fn force(fleet: &Fleet, builder: &str, params: Value) -> u64 {
    fleet
        .force(&format!("force-{builder}"), params)
        .await
        .expect("the master answers")
}

/// The one build of a request, once it is complete.
async fn built(fleet: &Fleet, builder: &str, params: Value) -> Value {
    let request = force(fleet, builder, params).await;
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

async fn it_runs_what_it_is_told(protocol: Protocol) {
    let repository = tempfile::tempdir().expect("a temporary directory");
    git(repository.path(), &["init", "--quiet"]);
    fs::write(repository.path().join("hello"), "hi\n").expect("the directory is ours");
    git(repository.path(), &["add", "--all"]);
    git(repository.path(), &["commit", "--quiet", "--message", "First"]);
    let revision = git(repository.path(), &["rev-parse", "HEAD"]);
    // More than one message of the protocol carries.
    let large: String = (0..200_000).map(|number| format!("+{number}\n")).collect();
    let patch = format!(
        "diff --git a/large b/large\nnew file mode 100644\n--- /dev/null\n+++ b/large\n@@ -0,0 +1,200000 @@\n{large}"
    );
    let clone = format!("type = \"git\"\nrepository = \"{}\"", word(repository.path()));
    let fleet = fleet(
        protocol,
        &[
            ("clone", &clone),
            (
                "many",
                "type = \"shell\"\ncommand = \"seq 100000; seq 100000 >&2\"",
            ),
            (
                "fail",
                "type = \"shell\"\ncommand = \"echo $COLOR é 中; exit 3\"\nenv = { COLOR = \"blue\" }",
            ),
            (
                "silent",
                "type = \"shell\"\ncommand = \"echo so far; sleep 600\"\ntimeout = \"5s\"",
            ),
            ("absent", "type = \"shell\"\ncommand = [\"no-such-program\"]"),
            ("killed", "type = \"shell\"\ncommand = \"kill -SEGV $$\""),
        ],
    )
    .await;
    // Twice, since the second finds what the first left: it looks there, and removes what is in the way.
    for _ in 0..2 {
        let build = built(&fleet, "clone", json!({})).await;
        assert_eq!(
            (&build["results"], &build["properties"]["got_revision"][0]),
            (&json!(0), &json!(revision)),
            "{protocol:?}: {build}\n{}\n{}",
            raw(&fleet, &build).await,
            fleet.evidence()
        );
    }
    let patched = json!({"revision": revision, "patch_body": patch});
    let build = built(&fleet, "clone", patched).await;
    assert_eq!(
        build["results"],
        0,
        "{protocol:?}: {build}\n{}",
        raw(&fleet, &build).await
    );
    let written = fs::read_to_string(fleet.path("small/clone/build/large")).expect("the patch made it");
    assert_eq!(written.lines().count(), 200_000);
    assert_eq!(written, large.replace('+', ""));

    let build = built(&fleet, "many", json!({})).await;
    assert_eq!(build["results"], 0, "{build}\n{}", fleet.evidence());
    let log = raw(&fleet, &build).await;
    let mut counts = std::collections::BTreeMap::new();
    for number in log.lines().filter_map(|line| line.parse::<u64>().ok()) {
        *counts.entry(number).or_insert(0_u32) += 1;
    }
    assert!(
        counts.len() == 100_000 && counts.values().all(|count| *count == 2),
        "{protocol:?}: {} different lines of 100000",
        counts.len()
    );
    for (builder, said) in [
        ("fail", "blue é 中\n"),
        ("fail", "exit code 3"),
        ("silent", "so far\n"),
        ("silent", "it printed nothing for too long"),
        ("absent", "no-such-program"),
        ("killed", "signal 11"),
    ] {
        let build = built(&fleet, builder, json!({})).await;
        let log = raw(&fleet, &build).await;
        assert!(
            build["results"] == 2 && log.contains(said),
            "{protocol:?}, {builder}: {build}\n{log}\n{}",
            fleet.evidence()
        );
    }
    let workers = fleet.list("/api/v2/workers", "workers").await;
    let info = &workers[0]["workerinfo"];
    assert_eq!(
        (
            &info["host"],
            &info["admin"],
            &info["version"],
            &info["access_uri"]
        ),
        (
            &json!("A machine of old."),
            &json!("ada@example.org"),
            &json!("4.3.0"),
            &json!("ssh://old.example.org")
        ),
        "{info}"
    );
    assert!(
        !info.to_string().contains("PATH"),
        "its environment may hold secrets: {info}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_runs_what_it_is_told_over_pb() {
    it_runs_what_it_is_told(Protocol::Pb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_runs_what_it_is_told_over_msgpack() {
    it_runs_what_it_is_told(Protocol::Msgpack).await;
}

/// A build ends when it is stopped; one whose worker or master dies is built again.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_is_built_again() {
    for protocol in Protocol::ALL {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = word(dir.path());
        let step = format!(
            "type = \"shell\"\ncommand = \"echo begin >> {path}/witness; while [ ! -e {path}/go ]; do sleep 0.05; done; echo end >> {path}/witness\""
        );
        let mut fleet = fleet(protocol, &[("wait", &step)]).await;
        let witness = || fs::read_to_string(dir.path().join("witness")).unwrap_or_default();
        let begun = async |fleet: &Fleet, times| {
            fleet
                .until(&format!("the command has begun {times} times"), async |_| {
                    witness().matches("begin").count() == times
                })
                .await;
        };
        let request = force(&fleet, "wait", json!({})).await;
        begun(&fleet, 1).await;
        let build = fleet.builds_of(request).await.remove(0);
        let (status, answer) = fleet
            .call(&format!("/api/v2/builds/{}", build["buildid"]), "stop", json!({}))
            .await
            .expect("the master answers");
        assert_eq!(status, 200, "{answer}");
        assert_eq!(fleet.completed(request).await["results"], 6, "{protocol:?}");

        let request = force(&fleet, "wait", json!({})).await;
        begun(&fleet, 2).await;
        fleet.kill_master();
        fleet.start_master().await;
        begun(&fleet, 3).await;
        fleet.kill_worker("small");
        start(&mut fleet);
        begun(&fleet, 4).await;
        fs::write(dir.path().join("go"), "").expect("the directory is ours");
        assert_eq!(fleet.completed(request).await["results"], 0, "{protocol:?}");
        let builds = fleet.builds_of(request).await;
        let results: Vec<_> = builds.iter().map(|build| build["results"].as_u64()).collect();
        assert_eq!(
            results,
            [Some(5), Some(5), Some(0)],
            "{protocol:?}: {}",
            fleet.evidence()
        );
        assert!(
            builds[1]["state_string"]
                .as_str()
                .is_some_and(|text| text.contains("connection")),
            "it says why: {}",
            builds[1]
        );
        assert!(fleet.stop_master().await.success());
        fleet.fsck();
    }
}

/// A step that says that it has begun, and runs until the directory has a file "go".
fn waits(dir: &Path) -> String {
    let path = word(dir);
    format!(
        "type = \"shell\"\ncommand = \"echo begin >> {path}/witness; while [ ! -e {path}/go ]; do sleep 0.05; done\""
    )
}

async fn begun(fleet: &Fleet, dir: &Path, times: usize) {
    fleet
        .until(&format!("the command has begun {times} times"), async |_| {
            let witness = fs::read_to_string(dir.join("witness")).unwrap_or_default();
            witness.lines().count() == times
        })
        .await;
}

/// One that is to stop, or wishes to, finishes first; one that is killed ends at once, and its build is built again.
#[tokio::test(flavor = "multi_thread")]
async fn it_ends_when_it_is_told_to() {
    for protocol in Protocol::ALL {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut fleet = fleet(protocol, &[("wait", &waits(dir.path()))]).await;
        let request = force(&fleet, "wait", json!({})).await;
        begun(&fleet, dir.path(), 1).await;
        control(&fleet, "small", "kill", json!({})).await;
        assert_eq!(ended(&mut fleet).await.code(), Some(0), "{}", fleet.evidence());

        start(&mut fleet);
        begun(&fleet, dir.path(), 2).await;
        if protocol == Protocol::Pb {
            // Over msgpack a stock worker cannot say so.
            signal(fleet.workers[0].1.id(), Signal::HUP);
        } else {
            control(&fleet, "small", "stop", json!({})).await;
        }
        fleet
            .until("it is to finish", async |fleet| {
                worker(fleet, "small").await["graceful"] == true
            })
            .await;
        let second = force(&fleet, "wait", json!({})).await;
        fs::write(dir.path().join("go"), "").expect("the directory is ours");
        assert_eq!(fleet.completed(request).await["results"], 0, "{protocol:?}");
        assert_eq!(ended(&mut fleet).await.code(), Some(0), "{}", fleet.evidence());
        let builds = fleet.builds_of(request).await;
        let results: Vec<_> = builds.iter().map(|build| build["results"].as_u64()).collect();
        assert_eq!(results, [Some(5), Some(0)], "{protocol:?}: {}", fleet.evidence());
        assert!(fleet.builds_of(second).await.is_empty(), "it takes nothing new");

        start(&mut fleet);
        assert_eq!(fleet.completed(second).await["results"], 0, "{protocol:?}");
        assert!(fleet.stop_master().await.success());
        fleet.fsck();
    }
}

/// Another one under its name has to wait as long as it answers.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_with_one_name_the_first_stays_as_long_as_it_answers() {
    const WHY: &str = "another process is connected as worker \"small\", and answers";
    for protocol in Protocol::ALL {
        let mut fleet = fleet(protocol, &[("any", "type = \"shell\"\ncommand = \"true\"")]).await;
        create_in(&fleet, "other", protocol, pb_port(&fleet), &token("small"));
        start_in(&mut fleet, "other");
        fleet
            .until("the second is told why", async |fleet| {
                fs::read_to_string(fleet.path("other/twistd.log")).is_ok_and(|log| log.contains(WHY))
            })
            .await;
        let basedir = async |fleet: &Fleet| worker(fleet, "small").await["facts"]["basedir"].clone();
        assert_eq!(basedir(&fleet).await, word(&fleet.path("small")), "{protocol:?}");
        let first = fleet.workers[0].1.id();
        signal(first, Signal::STOP);
        fleet
            .until("the second has its place", async |fleet| {
                basedir(fleet).await == word(&fleet.path("other"))
            })
            .await;
        signal(first, Signal::CONT);
        let request = force(&fleet, "any", json!({})).await;
        assert_eq!(fleet.completed(request).await["results"], 0, "{protocol:?}");
    }
}

/// It refuses all of its builders at once if it cannot make the folder of one; the others' builds run all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_it_cannot_make_stops_nobody_else() {
    let step = "type = \"shell\"\ncommand = \"echo hello\"";
    let mut fleet = fleet(Protocol::Pb, &[("blocked", step), ("fine", step)]).await;
    fleet.kill_worker("small");
    let folder = fleet.path("small/blocked");
    fs::remove_dir_all(&folder).expect("the directory is ours");
    fs::write(&folder, "in the way").expect("the directory is ours");
    fleet.worker_disconnected().await;
    start(&mut fleet);
    fleet.workers_connected(&["small"]).await;
    let build = built(&fleet, "fine", json!({})).await;
    assert_eq!(build["results"], 0, "{build}\n{}", fleet.evidence());
    let request = force(&fleet, "blocked", json!({})).await;
    let complete = fleet.completed(request).await;
    assert_eq!(complete["results"], 4, "{complete}\n{}", fleet.evidence());
    let build = fleet.builds_of(request).await.remove(0);
    let steps = fleet
        .list(&format!("/api/v2/builds/{}/steps", build["buildid"]), "steps")
        .await;
    let told = format!("{steps:?}");
    assert!(told.contains("does not take the folder blocked"), "{told}");
    let build = built(&fleet, "fine", json!({})).await;
    assert_eq!(build["results"], 0, "{build}\n{}", fleet.evidence());
    // Its program has to be started again, and then everything is as before.
    fs::remove_file(&folder).expect("the directory is ours");
    fleet.kill_worker("small");
    fleet.worker_disconnected().await;
    start(&mut fleet);
    fleet.workers_connected(&["small"]).await;
    for builder in ["blocked", "fine"] {
        let build = built(&fleet, builder, json!({})).await;
        assert_eq!(build["results"], 0, "{build}\n{}", fleet.evidence());
    }
}

/// Who has a wrong password hears of it, and does no harm.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused() {
    for protocol in Protocol::ALL {
        let mut fleet = Fleet::new("", "");
        let pb_port = free_port();
        let workers = worker_sections(&["small"], 1);
        fleet.configure("", &format!("[pb]\nlisten = \"127.0.0.1:{pb_port}\"\n{workers}"));
        fleet.start_master().await;
        create(&fleet, protocol, pb_port, "wrong");
        start(&mut fleet);
        let said = match protocol {
            Protocol::Pb => "unauthorized login",
            Protocol::Msgpack => "401",
        };
        fleet
            .until("the worker says why", async |fleet| {
                fs::read_to_string(fleet.path("small/twistd.log")).is_ok_and(|log| log.contains(said))
            })
            .await;
        fleet
            .until("the master says who", async |fleet| {
                fs::read_to_string(fleet.path("master.log"))
                    .is_ok_and(|log| log.contains("a worker was refused") && log.contains("small"))
            })
            .await;
    }
}

/// `buildbot sendchange` reports a change, which is there once the client has said so.
#[tokio::test(flavor = "multi_thread")]
async fn sendchange_is_heard() {
    let mut fleet = Fleet::new("", "");
    let port = free_port();
    let toml = format!(
        "[pb]\nlisten = \"127.0.0.1:{port}\"\n[sendchange]\ntoken = \"changepw-for-tests\"\n{}\
         [[builder]]\nname = \"b\"\nworkers = [\"small\"]\n[[builder.step]]\ntype = \"shell\"\nname = \"it\"\ncommand = \"true\"\n\
         [[scheduler]]\nname = \"s\"\ntype = \"any_branch\"\nbuilders = [\"b\"]\n",
        worker_sections(&["small"], 1)
    );
    fleet.configure("", &toml);
    fleet.start_master().await;
    let send = |password: &str, arguments: &[&str]| {
        Command::new(stock("buildbot"))
            .args(["sendchange", "--master", &format!("127.0.0.1:{port}")])
            .args([
                "--auth",
                &format!("change:{password}"),
                "--who",
                "Ada <ada@example.org>",
            ])
            .args(arguments)
            .output()
            .expect("the program can be started")
    };
    let sent = send(
        "changepw-for-tests",
        &[
            "--branch=main",
            "--revision=abcdef",
            "--category=c",
            "--when=1700000000",
            "--property=p:v",
            "--project=px",
            "--repository=https://example.org/x.git",
            "--comments=Größer",
            "a.c",
            "b/d.c",
        ],
    );
    assert!(sent.status.success(), "{sent:?}\n{}", fleet.evidence());
    let changes = fleet.list("/api/v2/changes", "changes").await;
    let change = &changes[0];
    assert_eq!(
        (
            &change["author"],
            &change["branch"],
            &change["revision"],
            &change["comments"]
        ),
        (
            &json!("Ada <ada@example.org>"),
            &json!("main"),
            &json!("abcdef"),
            &json!("Größer")
        ),
        "{change}"
    );
    assert_eq!(
        (
            &change["files"],
            &change["when_timestamp"],
            &change["properties"]["p"]
        ),
        (
            &json!(["a.c", "b/d.c"]),
            &json!(1_700_000_000),
            &json!(["v", "Change"])
        ),
        "{change}"
    );
    assert_eq!(
        fleet.list("/api/v2/buildrequests", "buildrequests").await.len(),
        1
    );

    let refused = send("changepw", &["a.c"]);
    assert!(!refused.status.success(), "{refused:?}");
    assert_eq!(fleet.list("/api/v2/changes", "changes").await.len(), 1);
}
