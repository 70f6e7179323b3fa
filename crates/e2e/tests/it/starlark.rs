//! A master that is configured in Starlark: checked, started, reloaded.

use std::fs;

use crate::fleet::{Fleet, signal};

const LIB: &str = "def forced(name):\n    return builder(name, workers = [\"*\"], steps = [shell(\"true\")])\nNAMES = [\"a\", \"b\"]\n";

fn main_file(port: u16) -> String {
    format!(
        "load(\"lib.star\", \"forced\", \"NAMES\")\n\
         master(listen = \"127.0.0.1:{port}\", url = \"http://127.0.0.1:{port}/\", state_dir = \"state\")\n\
         worker(\"w1\", token = \"0123456789abcdef0123\")\n\
         scheduler(\"force\", type = \"force\", builders = [forced(name) for name in NAMES])\n"
    )
}

const SAME_IN_TOML: &str = "
[[worker]]
name = \"w1\"
token = \"0123456789abcdef0123\"
[[builder]]
name = \"a\"
workers = [\"*\"]
step = [{ type = \"shell\", command = \"true\" }]
[[builder]]
name = \"b\"
workers = [\"*\"]
step = [{ type = \"shell\", command = \"true\" }]
[[scheduler]]
name = \"force\"
type = \"force\"
builders = [\"a\", \"b\"]
";

fn reload(fleet: &Fleet) {
    let master = fleet.master.as_ref().expect("it runs").id();
    signal(master, rustix::process::Signal::HUP);
}

async fn until_builders(fleet: &mut Fleet, what: &str, names: &[&str]) {
    fleet
        .until(what, async |fleet| {
            // It may not serve yet.
            let Some(answer) = fleet.get("/api/v2/builders").await else {
                return false;
            };
            let builders = answer["builders"].as_array().cloned().unwrap_or_default();
            builders.len() == names.len()
                && names
                    .iter()
                    .all(|name| builders.iter().any(|builder| builder["name"] == *name))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_starts_and_reloads_starlark() {
    let mut fleet = Fleet::new("", SAME_IN_TOML);
    let main = main_file(fleet.port());
    fs::write(fleet.path("ci.star"), &main).expect("the directory is ours");
    fs::write(fleet.path("lib.star"), LIB).expect("the directory is ours");

    for form in ["json", "toml"] {
        let shown = ["ci.star", "ci.toml"].map(|file| {
            let output = fleet
                .ironmaster(&["check", "--print", form, file])
                .output()
                .expect("the program can be started");
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            String::from_utf8_lossy(&output.stdout).into_owned()
        });
        assert_eq!(shown[0], shown[1]);
        assert!(shown[0].contains("shell"), "{}", shown[0]);
    }

    let command = fleet.ironmaster(&["start", "ci.star"]);
    fleet.spawn_master_as(command);
    until_builders(&mut fleet, "the master serves", &["a", "b"]).await;

    // A file that is loaded is wrong, and would never end: the configuration in force stays.
    for broken in ["NAMES = [", "def forced(n): return forced(n)\nNAMES = [\"c\"]\n"] {
        fs::write(fleet.path("lib.star"), broken).expect("the directory is ours");
        let refusals = |fleet: &Fleet| {
            let log = fs::read_to_string(fleet.path("master.log")).unwrap_or_default();
            log.matches("the one in force stays").count()
        };
        let before = refusals(&fleet);
        reload(&fleet);
        fleet
            .until("the master says that it keeps the old one", async |fleet| {
                refusals(fleet) > before
            })
            .await;
    }
    assert_eq!(fleet.list("/api/v2/builders", "builders").await.len(), 2);

    fs::write(fleet.path("lib.star"), LIB.replace("\"b\"]", "\"b\", \"c\"]")).expect("the directory is ours");
    reload(&fleet);
    until_builders(&mut fleet, "the changed file is in force", &["a", "b", "c"]).await;
}

/// A function of the configuration is asked before a change is decided. One that fails fails for its scheduler alone; also
/// after a restart, when the plan itself comes from the database.
#[tokio::test(flavor = "multi_thread")]
async fn changes_are_filtered_by_functions() {
    let mut fleet = Fleet::new("", "");
    let port = fleet.port();
    let text = format!(
        "master(listen = \"127.0.0.1:{port}\", url = \"http://127.0.0.1:{port}/\", state_dir = \"state\")\n\
         worker(\"w1\", token = \"0123456789abcdef0123\")\n\
         def on(name, wanted):\n\
         \x20   built = builder(name, workers = [\"*\"], steps = [shell(\"true\")])\n\
         \x20   scheduler(name, type = \"any_branch\", builders = [built], change_filter = wanted)\n\
         on(\"wanted\", lambda change: \"[skip ci]\" not in change.comments)\n\
         on(\"broken\", lambda change: change.nothing)\n"
    );
    fs::write(fleet.path("ci.star"), text).expect("the directory is ours");
    let mut requests = 0;
    for round in 0..2 {
        let command = fleet.ironmaster(&["start", "ci.star"]);
        fleet.spawn_master_as(command);
        until_builders(&mut fleet, "the master serves", &["wanted", "broken"]).await;
        for (comments, heard) in [("fix", true), ("fix [skip ci]", false), ("more", true)] {
            let revision = format!("{round}-{comments}");
            let answer = reqwest::Client::new()
                .post(fleet.url("/change_hook/base"))
                .form(&[
                    ("author", "ann"),
                    ("comments", comments),
                    ("revision", &revision),
                    ("branch", "main"),
                ])
                .send()
                .await
                .expect("the master answers");
            assert!(answer.status().is_success(), "{answer:?}");
            requests += usize::from(heard);
            // The answer comes after the commit, so everything has been decided.
            let builders = fleet.list("/api/v2/builders", "builders").await;
            let asked = fleet.list("/api/v2/buildrequests", "buildrequests").await;
            assert_eq!(asked.len(), requests, "{comments}\n{}", fleet.evidence());
            for request in asked {
                let builder = builders
                    .iter()
                    .find(|builder| builder["builderid"] == request["builderid"])
                    .expect("a builder");
                assert_eq!(builder["name"], "wanted");
            }
        }
        fleet.stop_master().await;
    }
    let log = fs::read_to_string(fleet.path("master.log")).expect("there is a log");
    assert!(
        log.contains("has no `nothing`") && log.contains("ci.star:7"),
        "{log}"
    );
}
