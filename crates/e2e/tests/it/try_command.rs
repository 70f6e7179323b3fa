//! `ironmaster try` and `ironmaster sendchange`.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

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

/// Runs a program that has to succeed, in a folder.
fn run(folder: &Path, program: &str, args: &[&str]) {
    let mut command = Command::new(program);
    command.args(args).current_dir(folder).env("HGUSER", "Ann");
    let output = command.output().expect("it is installed: scripts/setup.sh");
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// What `ironmaster try` would send from that folder, or what it says against it.
fn dry_run(fleet: &Fleet, folder: &Path, more: &[&str]) -> Result<(Value, String), String> {
    let output = fleet
        .ironmaster(&["try", "--dry-run", "--master=http://127.0.0.1:9/"])
        .args(more)
        .env("IRONMASTER_TOKEN", "not needed here")
        .current_dir(folder)
        .output()
        .expect("the program can be started");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        Ok((serde_json::from_slice(&output.stdout).expect("it is JSON"), said))
    } else {
        Err(said)
    }
}

/// Applies what would be sent to a clean copy, which then has to be as the working copy is.
fn makes_the_same(sent: &Value, clean: &Path, names: &[&str], working_copy: &Path) {
    let patch = clean.join("../patch");
    fs::write(&patch, sent["patch"].as_str().expect("a text")).expect("the directory is ours");
    let level = format!("-p{}", sent["patch_level"]);
    run(clean, "git", &["apply", &level, word(&patch)]);
    for name in names {
        let read = |folder: &Path| fs::read(folder.join(name)).ok();
        assert_eq!(read(clean), read(working_copy), "{name}: {sent}");
    }
}

const NAMES: [&str; 4] = ["hello", "new", "dir/gone", "dir/binary"];

fn first_files(folder: &Path) {
    fs::create_dir_all(folder.join("dir")).expect("the directory is ours");
    fs::write(folder.join("hello"), "one\ntwo\nthree\n").expect("the directory is ours");
    fs::write(folder.join("dir/gone"), "gone\n").expect("the directory is ours");
}

#[test]
fn the_difference_of_a_mercurial_working_copy() {
    let fleet = Fleet::new("", "");
    let (server, copy) = (fleet.path("server"), fleet.path("copy"));
    fs::create_dir(&server).expect("the directory is ours");
    first_files(&server);
    run(&server, "hg", &["init"]);
    run(&server, "hg", &["commit", "--addremove", "--message=first"]);
    run(&fleet.path(""), "hg", &["clone", "--quiet", "server", "copy"]);
    run(&fleet.path(""), "hg", &["clone", "--quiet", "server", "clean"]);
    // Committed here alone, and not committed at all: both are part of it, wherever one stands.
    fs::write(copy.join("hello"), "one\n2\nthree\n").expect("the directory is ours");
    fs::write(copy.join("dir/binary"), b"a\0b\xff").expect("the directory is ours");
    run(&copy, "hg", &["commit", "--addremove", "--message=mine"]);
    fs::remove_file(copy.join("dir/gone")).expect("it is there");
    run(&copy, "hg", &["remove", "dir/gone"]);
    fs::create_dir_all(copy.join("dir")).expect("the directory is ours");
    fs::write(copy.join("new"), "new\n").expect("the directory is ours");
    run(&copy, "hg", &["add", "new"]);
    fs::write(copy.join("unknown"), "").expect("the directory is ours");

    let (sent, said) = dry_run(&fleet, &copy.join("dir"), &[]).expect("it works");
    assert!(
        said.contains("1 files that Mercurial does not know") && said.contains("`hg add`"),
        "{said}"
    );
    let first = Command::new("hg")
        .args(["id", "--id", "--debug"])
        .current_dir(&server)
        .output();
    let first = String::from_utf8(first.expect("it ran").stdout).expect("an id");
    assert_eq!(sent["revision"], first.trim());
    assert_eq!(sent["branch"], "default");
    assert_eq!(
        sent["repository"],
        word(&server.canonicalize().expect("it is there"))
    );
    makes_the_same(&sent, &fleet.path("clean"), &NAMES, &copy);

    let (sent, _) = dry_run(&fleet, &copy, &["--baserev=tip"]).expect("it works");
    let patch = sent["patch"].as_str().expect("a text");
    assert!(!patch.contains("hello") && patch.contains("+new"), "{patch}");
    let nothing = dry_run(&fleet, &copy, &["--baserev=none"]).unwrap_err();
    assert!(nothing.contains("unknown revision 'none'"), "{nothing}");
}

#[test]
fn the_difference_of_a_subversion_working_copy() {
    let fleet = Fleet::new("", "");
    let (start, copy, clean) = (fleet.path("start"), fleet.path("copy"), fleet.path("clean"));
    let here = fleet.path("");
    first_files(&start.join("trunk"));
    run(&here, "svnadmin", &["create", "server"]);
    let url = format!(
        "file://{}",
        fleet
            .path("server")
            .canonicalize()
            .expect("it is there")
            .display()
    );
    run(
        &here,
        "svn",
        &["import", "--quiet", "--message=first", "start", &url],
    );
    let trunk = format!("{url}/trunk");
    run(&here, "svn", &["checkout", "--quiet", &trunk, "copy"]);
    run(&here, "svn", &["checkout", "--quiet", &trunk, "clean"]);
    fs::write(copy.join("hello"), "one\n2\nthree\n").expect("the directory is ours");
    run(&copy, "svn", &["move", "--quiet", "dir/gone", "moved"]);
    run(&copy, "svn", &["copy", "--quiet", "hello", "copied"]);
    fs::write(copy.join("copied"), "one\nzwei\n").expect("the directory is ours");
    fs::write(copy.join("new"), "new\n").expect("the directory is ours");
    run(&copy, "svn", &["add", "--quiet", "new"]);
    run(
        &copy,
        "svn",
        &["propset", "--quiet", "svn:eol-style", "native", "new"],
    );
    fs::write(copy.join("unbekannt ist grün"), "").expect("the directory is ours");

    let (sent, said) = dry_run(&fleet, &copy.join("dir"), &[]).expect("it works");
    assert!(said.contains("1 files that Subversion does not know"), "{said}");
    assert_eq!(
        (&sent["revision"], &sent["branch"], &sent["patch_level"]),
        (&json!("1"), &json!("trunk"), &json!(2))
    );
    assert_eq!(sent["repository"], url);
    makes_the_same(&sent, &clean, &NAMES, &copy);
    for name in ["moved", "copied"] {
        let read = |folder: &Path| fs::read(folder.join(name)).ok();
        assert!(
            read(&copy).is_some() && read(&clean) == read(&copy),
            "{name}: {sent}"
        );
    }

    // What is committed is in the repository; the rest of the working copy is older until it is updated.
    run(
        &copy,
        "svn",
        &["commit", "--quiet", "--message=the second", "new"],
    );
    let several = dry_run(&fleet, &copy, &[]).unwrap_err();
    assert!(
        several.contains("several revisions (1:2M)") && several.contains("svn update"),
        "{several}"
    );
    let (sent, _) = dry_run(&fleet, &copy, &["--baserev=1"]).expect("it works");
    assert!(sent["patch"].as_str().expect("a text").contains("+new"), "{sent}");
    run(&copy, "svn", &["update", "--quiet"]);
    let (sent, _) = dry_run(&fleet, &copy, &[]).expect("it works");
    assert_eq!(sent["revision"], "2");

    fs::write(copy.join("picture"), b"a\0b\xff").expect("the directory is ours");
    run(&copy, "svn", &["add", "--quiet", "picture"]);
    run(
        &copy,
        "svn",
        &[
            "propset",
            "--quiet",
            "svn:mime-type",
            "application/octet-stream",
            "picture",
        ],
    );
    let binary = dry_run(&fleet, &copy, &[]).unwrap_err();
    assert!(binary.contains("the binary file picture"), "{binary}");
    let nowhere = dry_run(&fleet, &start, &[]).unwrap_err();
    assert!(
        nowhere.contains("is in no working copy of git, Mercurial or Subversion"),
        "{nowhere}"
    );
}
