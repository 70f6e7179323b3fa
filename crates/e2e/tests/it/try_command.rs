//! `ironmaster try` and `ironmaster sendchange`.

use std::fs;

use crate::{
    fleet::{Fleet, word},
    tries::{PASSWORD, fleet},
    witness::git,
};

/// `ironmaster try --wait` in the clone, as a user of the scheduler.
async fn our_try(fleet: &Fleet, more: &[&str]) -> (bool, String) {
    let mut command = fleet.ironmaster(&["try", "--user", "ann", "--wait", "--property=flavour=salty"]);
    command
        .args(["--master", &fleet.url("/")])
        .args(more)
        .env("IRONMASTER_PASSWORD", PASSWORD)
        .current_dir(fleet.path("clone"));
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("no panic")
        .expect("the program can be started");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains(PASSWORD));
    (output.status.success(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_waits_and_shows_why_it_failed() {
    let mut fleet = fleet();
    fleet.start_master().await;
    fleet.spawn_worker("w1");
    let clone = fleet.path("clone");
    git(
        &fleet.path(""),
        &["clone", "--quiet", word(&fleet.path("repository")), "clone"],
    );
    // Committed here alone, and not committed at all: both are part of it.
    fs::write(clone.join("second"), "").expect("the directory is ours");
    git(&clone, &["add", "--all"]);
    git(&clone, &["commit", "--quiet", "--message", "Mine"]);
    fs::write(clone.join("hello"), "one\ntwo\n").expect("the directory is ours");
    let (good, said) = our_try(&fleet, &["--comment", "ours"]).await;
    assert!(good, "{said}");
    assert!(said.contains("b #1: "), "{said}");
    let build = &fleet.builds_of(1).await[0];
    let id = build["buildid"].as_u64().expect("an id");
    assert_eq!(fleet.output(id, "show").await, "one\ntwo\nsalty\n");

    // A patch that takes the file away makes the step fail.
    let patch = fleet.path("patch");
    fs::write(
        &patch,
        "diff --git a/hello b/hello\ndeleted file mode 100644\n--- a/hello\n+++ /dev/null\n@@ -1 +0,0 @@\n-one\n",
    )
    .expect("the directory is ours");
    let (good, said) = our_try(&fleet, &["--diff", word(&patch), "--branch=main"]).await;
    assert!(!good, "{said}");
    assert!(said.contains("--- stdio of step show"), "{said}");
    assert!(said.contains("hello: No such file"), "{said}");
    let (good, said) = our_try(&fleet, &["--diff", word(&patch), "--builder=other"]).await;
    assert!(!good && said.contains("cannot build other"), "{said}");

    let told = fleet
        .ironmaster(&[
            "sendchange",
            "--author=ann",
            "--branch=main",
            "--revision=abc",
            "--property=a=1",
        ])
        .args(["--master", &fleet.url("/"), "--message=a & b", "src/a.c"])
        .output()
        .expect("the program can be started");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let changes = fleet.list("/api/v2/changes", "changes").await;
    assert_eq!(changes[0]["comments"], "a & b");
    assert_eq!(changes[0]["files"][0], "src/a.c");
    assert!(fleet.stop_master().await.success());
    fleet.fsck();
}
