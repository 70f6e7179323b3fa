//! Two repositories that are built together, and what follows them.

use std::fs;

use serde_json::Value;

use crate::{
    fleet::{Fleet, word, worker_sections},
    witness::git,
};

fn commit(fleet: &Fleet, repository: &str, text: &str) -> String {
    let dir = fleet.path(repository);
    fs::write(dir.join("text"), format!("{text}\n")).expect("the directory is ours");
    git(&dir, &["add", "--all"]);
    git(&dir, &["commit", "--quiet", "--message", text]);
    git(&dir, &["rev-parse", "HEAD"])
}

/// The revisions that the newest build of a builder was made of, once it is complete.
async fn built(fleet: &Fleet, builder: &str, number: u64) -> Value {
    let path = format!("/api/v2/builders/{builder}/builds/{number}?property=got_revision");
    let mut build = Value::Null;
    fleet
        .until(
            &format!("build {number} of {builder} is complete"),
            async |fleet| {
                build = fleet.list(&path, "builds").await.pop().unwrap_or_default();
                build["complete"] == true
            },
        )
        .await;
    assert_eq!(build["results"], 0, "{build}\n{}", fleet.evidence());
    build["properties"]["got_revision"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_in_one_builds_both_and_what_follows_has_the_same_revisions() {
    let mut fleet = Fleet::new("", "");
    for name in ["app", "lib"] {
        fs::create_dir(fleet.path(name)).expect("the directory is ours");
        git(&fleet.path(name), &["init", "--quiet"]);
    }
    commit(&fleet, "app", "app 1");
    let lib = commit(&fleet, "lib", "lib 1");
    let codebase = |name: &str| {
        let url = fleet.path(name);
        format!(
            "[[codebase]]\nname = \"{name}\"\nrepository = \"{}\"\nbranch = \"main\"\nproject = \"p\"\n",
            word(&url)
        )
    };
    let builder = |name: &str, show: &str| {
        format!(
            "[[builder]]\nname = \"{name}\"\nworkers = [\"label:any\"]\n\
             [[builder.step]]\ntype = \"git\"\ncodebase = \"app\"\nworkdir = \"app\"\n\
             [[builder.step]]\ntype = \"git\"\ncodebase = \"lib\"\nworkdir = \"lib\"\n\
             [[builder.step]]\ntype = \"shell\"\nname = \"show\"\ncommand = \"{show}\"\n"
        )
    };
    // While the first is held, the library moves on; what follows must not see that.
    let held = format!(
        "while [ ! -e {} ]; do sleep 0.05; done; cat ../app/text ../lib/text",
        word(&fleet.path("go"))
    );
    let toml = [
        worker_sections(&["w1"], 4),
        "[[project]]\nname = \"p\"\n".into(),
        codebase("app"),
        codebase("lib"),
        builder("both", &held),
        builder("after", "cat ../app/text ../lib/text"),
        "[[scheduler]]\nname = \"s\"\ntype = \"single_branch\"\nbranch = \"main\"\ncodebases = [\"app\", \"lib\"]\nbuilders = [\"both\"]\n\
         [[scheduler]]\nname = \"after\"\ntype = \"dependent\"\nupstream = \"s\"\ncodebases = [\"app\", \"lib\"]\nbuilders = [\"after\"]\n"
            .into(),
    ]
    .concat();
    fleet.configure("", &toml);
    fleet.start_master().await;
    fleet.spawn_worker("w1");
    fleet.workers_connected(&["w1"]).await;
    let app = commit(&fleet, "app", "app 2");
    let url = word(&fleet.path("app")).to_owned();
    let told = fleet
        .http
        .post(fleet.url("/change_hook/base"))
        .form(&[
            ("author", "ann"),
            ("branch", "main"),
            ("revision", &app),
            ("repository", &url),
        ])
        .send()
        .await
        .expect("the master answers");
    assert_eq!(told.status(), 200);
    fleet
        .until("both are checked out", async |fleet| {
            let steps = fleet.list("/api/v2/builds/1/steps?complete=true", "steps").await;
            steps.len() == 2
        })
        .await;
    commit(&fleet, "lib", "lib 2");
    fs::write(fleet.path("go"), "").expect("the directory is ours");
    let expected = serde_json::json!({ "app": app, "lib": lib });
    assert_eq!(built(&fleet, "both", 1).await, expected);
    assert_eq!(built(&fleet, "after", 1).await, expected);
    assert_eq!(fleet.output(2, "show").await, "app 2\nlib 1\n");
    assert!(fleet.stop_master().await.success());
    fleet.fsck();
}
