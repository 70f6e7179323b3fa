//! Bad input gets a clear error, and nothing is lost.

use std::fs;

use serde_json::json;

use crate::fleet::{Fleet, worker_sections};

const BUILDER: &str = "[[builder]]\nname = \"b\"\nworkers = [\"label:any\"]\n[[builder.step]]\ntype = \"shell\"\ncommand = \"true\"\n\
                       [[scheduler]]\nname = \"force\"\ntype = \"force\"\nbuilders = [\"b\"]\n\
                       [[scheduler]]\nname = \"all\"\ntype = \"any_branch\"\nbuilders = [\"b\"]\n";

fn fleet() -> Fleet {
    Fleet::new("", &format!("{}{BUILDER}", worker_sections(&["w1"], 1)))
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_with_all_its_mistakes() {
    let fleet = fleet();
    fleet.configure(
        "lissten = 3",
        "[[builder]]\nname = \"b\"\nworkers = [\"nobody\"]\n[[builder.step]]\ntype = \"shel\"\n",
    );
    for command in ["check", "start"] {
        let output = fleet
            .ironmaster(&[command, "ci.toml"])
            .output()
            .expect("the program can be started");
        assert_eq!(output.status.code(), Some(2), "{command}");
        let text = String::from_utf8_lossy(&output.stderr);
        for expected in ["lissten", "listen", "nobody", "shel", "shell", "ci.toml:"] {
            assert!(
                text.contains(expected),
                "{command} does not say {expected}:\n{text}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_master_keeps_its_configuration_when_the_new_one_is_wrong() {
    let mut fleet = fleet();
    fleet.start_master().await;
    fleet.configure("", "nonsense = [");
    let master = fleet.master.as_ref().expect("it runs").id();
    crate::fleet::signal(master, rustix::process::Signal::HUP);
    fleet
        .until("the master says that it keeps the old one", async |fleet| {
            fs::read_to_string(fleet.path("master.log"))
                .is_ok_and(|log| log.contains("the one in force stays"))
        })
        .await;
    assert_eq!(fleet.list("/api/v2/builders", "builders").await.len(), 1);
    let second = BUILDER.replace("\"b\"", "\"c\"");
    fleet.configure("", &format!("{}{second}", worker_sections(&["w1"], 1)));
    crate::fleet::signal(master, rustix::process::Signal::HUP);
    fleet
        .until("the good one is in force", async |fleet| {
            fleet
                .list("/api/v2/builders", "builders")
                .await
                .iter()
                .any(|builder| builder["name"] == "c")
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_master_is_refused() {
    let mut fleet = fleet();
    fleet.start_master().await;
    let output = fleet
        .ironmaster(&["start", "ci.toml"])
        .output()
        .expect("the program can be started");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains(&format!("cannot listen on 127.0.0.1:{}", fleet.port())),
        "{text}"
    );
    // On another port it is the state directory that says no.
    let config = fs::read_to_string(fleet.path("ci.toml")).expect("it is there");
    let moved = config.replace(
        &format!("listen = \"127.0.0.1:{}\"", fleet.port()),
        "listen = \"127.0.0.1:0\"",
    );
    fs::write(fleet.path("second.toml"), moved).expect("the directory is ours");
    let output = fleet
        .ironmaster(&["start", "second.toml"])
        .output()
        .expect("the program can be started");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let holder = format!(
        "another master (process {})",
        fleet.master.as_ref().expect("it runs").id()
    );
    assert!(text.contains(&holder), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_worker_is_refused_and_told_why() {
    let mut fleet = fleet();
    fleet.start_master().await;
    fleet.spawn_worker("stranger");
    let (_, worker) = fleet.workers.last_mut().expect("it was started");
    let status = worker.wait().expect("it is our child");
    assert_eq!(status.code(), Some(1));
    let said = fs::read_to_string(fleet.path("stranger.log")).expect("it has a log");
    assert!(
        said.contains("not configured on this master, or its token"),
        "{said}"
    );
    assert!(
        !said.contains(&crate::fleet::token("stranger")),
        "a log shows a token"
    );
    let master = fs::read_to_string(fleet.path("master.log")).expect("it has a log");
    assert!(
        master.contains("a worker was refused") && master.contains("stranger"),
        "{master}"
    );
    assert!(
        !master.contains(&crate::fleet::token("stranger")),
        "a log shows a token"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_and_controls_say_what_is_wrong() {
    let mut fleet = fleet();
    fleet.start_master().await;
    let hook = fleet
        .http
        .post(fleet.url("/change_hook/base"))
        .form(&[("files", "not json")])
        .send()
        .await
        .expect("an answer");
    assert_eq!(hook.status().as_u16(), 400);
    assert!(!hook.text().await.expect("a body").is_empty());
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "force", "params": {}});
    let anonymous = fleet
        .http
        .post(fleet.url("/api/v2/forceschedulers/force"))
        .json(&body)
        .send()
        .await
        .expect("an answer");
    assert_eq!(anonymous.status().as_u16(), 403);
    let (status, answer) = fleet
        .call("/api/v2/forceschedulers/nobody", "force", json!({}))
        .await
        .expect("an answer");
    assert_eq!(status, 404, "{answer}");
    assert!(
        fleet
            .list("/api/v2/buildrequests", "buildrequests")
            .await
            .is_empty()
    );
    assert!(fleet.list("/api/v2/changes", "changes").await.is_empty());
}
