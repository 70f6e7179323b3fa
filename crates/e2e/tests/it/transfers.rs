//! Steps that move files: between worker and master, and within the worker; on workers of every kind, and through kills of
//! the master.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

use serde_json::{Value, json};

use crate::{
    fleet::{Fleet, worker_sections},
    rng::Rng,
    stock_workers::{self, Protocol},
};

/// Folders, an upload, several, downloads of a file and of a text, a copy, a removal; the last step compares.
const STEPS: &str = r#"type = "mkdir"
paths = ["in", "out/sub"]
workdir = "work"
[[builder.step]]
type = "shell"
command = "seq 400000 > out/big; printf 'a\\000\\377\\r\\n' > out/sub/binary; : > out/empty; printf '\\000' > out/zero"
workdir = "work"
[[builder.step]]
type = "upload"
src = "out/big"
dest = "%(prop:buildername)s/the big one"
mode = "440"
workdir = "work"
[[builder.step]]
type = "upload"
src = "out/[a-z]*"
dest = "%(prop:buildername)s/all/"
workdir = "work"
[[builder.step]]
type = "upload"
src = "out/**"
dest = "%(prop:buildername)s/tree/"
workdir = "work"
[[builder.step]]
type = "upload"
src = "out/sub/binary"
dest = "%(prop:buildername)s/"
workdir = "work"
[[builder.step]]
type = "download"
src = "%(prop:buildername)s/the big one"
dest = "in/deep/big"
mode = "555"
workdir = "work"
[[builder.step]]
type = "download"
src = "%(prop:buildername)s/binary"
dest = "in/binary"
workdir = "work"
[[builder.step]]
type = "download"
text = "of %(prop:buildername)s\n"
dest = "in/text"
workdir = "work"
[[builder.step]]
type = "copy"
src = "out"
dest = "in/copy"
workdir = "work"
[[builder.step]]
type = "copy"
src = "out/zero"
dest = "in/copied file"
workdir = "work"
[[builder.step]]
type = "remove"
paths = ["in/copy/sub", "out/zero", "never there"]
workdir = "work"
[[builder.step]]
type = "shell"
name = "compare"
command = "set -ex; cmp out/big in/deep/big; test -x in/deep/big; cmp out/sub/binary in/binary; test ! -x in/binary; cat in/text; cmp in/copy/zero 'in/copied file'; test ! -e in/copy/sub; test ! -e out/zero; cmp out/big in/copy/big"
workdir = "work"
"#;

fn uploaded(fleet: &Fleet, name: &str) -> PathBuf {
    fleet.path("state/files").join(name)
}

/// Of a build that is over nothing stays half sent.
async fn nothing_is_left(fleet: &Fleet) {
    fleet
        .until("nothing is left half sent", async |fleet| {
            let left = fs::read_dir(uploaded(fleet, ".incoming")).expect("it is there");
            left.count() == 0
        })
        .await;
}

/// Runs those steps, and looks at what the master has afterwards.
pub(crate) async fn files_move_both_ways(fleet: &Fleet, builder: &str) {
    let build = succeeded(fleet, builder).await;
    let output = fleet
        .output(build["buildid"].as_u64().expect("a number"), "compare")
        .await;
    assert!(output.contains(&format!("of {builder}\n")), "{output}");
    let numbers: String = (1..=400_000).map(|number| format!("{number}\n")).collect();
    let place = |name: &str| uploaded(fleet, builder).join(name);
    assert!(fs::read_to_string(place("the big one")).expect("it was uploaded") == numbers);
    let mode = fs::metadata(place("the big one"))
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o440);
    assert!(fs::read_to_string(place("all/big")).expect("it was uploaded") == numbers);
    assert_eq!(fs::read(place("all/empty")).expect("it was uploaded"), b"");
    assert_eq!(fs::read(place("all/zero")).expect("it was uploaded"), b"\0");
    assert!(!place("all/sub").exists(), "a folder is no file");
    assert_eq!(
        fs::read(place("binary")).expect("it was uploaded"),
        b"a\0\xff\r\n"
    );
    assert_eq!(
        fs::read(place("tree/sub/binary")).expect("it was uploaded"),
        b"a\0\xff\r\n"
    );
    assert_eq!(fs::read(place("tree/zero")).expect("it was uploaded"), b"\0");
    nothing_is_left(fleet).await;
    // As the link of the step says.
    let steps = fleet
        .list(&format!("/api/v2/builds/{}/steps", build["buildid"]), "steps")
        .await;
    let url = steps[2]["urls"][0]["url"].as_str().expect("it has a link");
    assert!(fleet.text(&format!("/{url}")).await == numbers, "{url}");
}

async fn succeeded(fleet: &Fleet, builder: &str) -> Value {
    let request = fleet
        .force(&format!("force-{builder}"), json!({}))
        .await
        .expect("the master answers");
    fleet.completed(request).await;
    let mut builds = fleet.builds_of(request).await;
    assert_eq!(builds.len(), 1, "it ran once: {builds:?}");
    let build = builds.remove(0);
    assert_eq!(build["results"], 0, "{build}\n{}", fleet.evidence());
    build
}

fn builder(name: &str, steps: &str) -> String {
    format!(
        "[[builder]]\nname = \"{name}\"\nworkers = [\"w1\"]\n[[builder.step]]\n{steps}\n\
         [[scheduler]]\nname = \"force-{name}\"\ntype = \"force\"\nbuilders = [\"{name}\"]\n"
    )
}

async fn own_fleet(builders: &[(&str, &str)]) -> Fleet {
    let mut toml = worker_sections(&["w1"], 2);
    for (name, steps) in builders {
        toml += &builder(name, steps);
    }
    let mut fleet = Fleet::new("heartbeat = \"1s\"\ndead_after = \"3s\"", &toml);
    fleet.start_master().await;
    fleet.spawn_worker("w1");
    fleet.workers_connected(&["w1"]).await;
    fleet
}

#[tokio::test(flavor = "multi_thread")]
async fn on_our_worker() {
    let fleet = own_fleet(&[("files", STEPS)]).await;
    files_move_both_ways(&fleet, "files").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_stock_workers() {
    for protocol in Protocol::ALL {
        let fleet = stock_workers::fleet(protocol, &[("files", STEPS)]).await;
        files_move_both_ways(&fleet, "files").await;
    }
}

/// A whole tree, by a pattern; what cannot be uploaded fails and leaves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn trees_and_failures() {
    let tree = r#"type = "shell"
command = "mkdir -p site/a/b; echo 1 > site/index.html; echo 2 > site/a/b/c.html; ln -s index.html site/link"
[[builder.step]]
type = "upload"
src = "site/**"
dest = "site/"
"#;
    let large = r#"type = "shell"
command = "seq 1000 > large"
[[builder.step]]
type = "upload"
src = "large"
dest = "large"
max_size = 1000
"#;
    let missing = "type = \"upload\"\nsrc = \"nothing\"\ndest = \"nothing\"\n";
    let onto_folder = r#"type = "shell"
command = "echo x > f"
[[builder.step]]
type = "upload"
name = "onto"
src = "f"
dest = "taken"
"#;
    let no_source = "type = \"download\"\nsrc = \"not/there\"\ndest = \"x\"\n";
    let fleet = own_fleet(&[
        ("tree", tree),
        ("large", large),
        ("missing", missing),
        ("onto", onto_folder),
        ("source", no_source),
    ])
    .await;
    succeeded(&fleet, "tree").await;
    assert_eq!(
        fs::read(uploaded(&fleet, "site/index.html")).expect("it is there"),
        b"1\n"
    );
    assert_eq!(
        fs::read(uploaded(&fleet, "site/a/b/c.html")).expect("it is there"),
        b"2\n"
    );
    assert!(!uploaded(&fleet, "site/link").exists());
    fs::create_dir_all(uploaded(&fleet, "taken")).expect("the directory is ours");
    for (name, results, says) in [
        ("large", 2, "more than the limit of 1000"),
        ("missing", 2, "No such file"),
        ("onto", 4, "state/files/taken"),
        ("source", 4, "there is no file not/there"),
    ] {
        let request = fleet
            .force(&format!("force-{name}"), json!({}))
            .await
            .expect("the master answers");
        fleet.completed(request).await;
        let build = fleet.builds_of(request).await.remove(0);
        assert_eq!(build["results"], results, "{name}: {build}");
        let steps = fleet
            .list(&format!("/api/v2/builds/{}/steps", build["buildid"]), "steps")
            .await;
        let step = steps.last().expect("there is one");
        let text = format!("{} {}", step["state_string"], step["cause"]);
        assert!(text.contains(says), "{name}: {text}");
    }
    nothing_is_left(&fleet).await;
    assert!(!uploaded(&fleet, "large").exists() && !uploaded(&fleet, "nothing").exists());
}

/// A large file goes to the master and back, however often the master is killed meanwhile, also at the moments that matter most.
#[tokio::test(flavor = "multi_thread")]
async fn every_byte_survives_kills_of_the_master() {
    const KILLS: u64 = 8;
    let there_and_back = r#"type = "shell"
command = "seq 8000000 > large"
[[builder.step]]
type = "upload"
src = "large"
dest = "large"
mode = "444"
[[builder.step]]
type = "download"
src = "large"
dest = "back"
[[builder.step]]
type = "shell"
command = "cmp large back"
"#;
    let mut fleet = own_fleet(&[("large", there_and_back)]).await;
    let numbers: String = (1..=8_000_000).map(|number| format!("{number}\n")).collect();
    let mut rng = Rng::new(3);
    for point in [
        "output_durable:5",
        "file_published:1",
        "effects_committed:2",
        "step_ended:2",
        "command_started:2",
        "",
    ] {
        // Of the build before.
        let _ = fs::remove_file(uploaded(&fleet, "large"));
        fleet.kill_master();
        if point.is_empty() {
            fleet.start_master().await;
        } else {
            fleet.spawn_master(Some(point));
            fleet
                .until("the master serves", async |fleet| {
                    fleet.get("/api/v2/builders").await.is_some()
                })
                .await;
        }
        let request = fleet
            .force("force-large", json!({}))
            .await
            .expect("the master answers");
        if point.is_empty() {
            for _ in 0..KILLS {
                tokio::time::sleep(Duration::from_millis(rng.between(50, 600))).await;
                fleet.kill_master();
                fleet.start_master().await;
            }
        } else {
            let status = fleet.master_ended().await;
            assert!(!status.success(), "the master was to die at {point}");
            fleet.start_master().await;
        }
        fleet.completed(request).await;
        let builds = fleet.builds_of(request).await;
        assert_eq!(builds.len(), 1, "{point}: it ran once: {builds:?}");
        assert_eq!(
            builds[0]["results"],
            0,
            "{point}: {}\n{}",
            builds[0],
            fleet.evidence()
        );
        // Also what was taken up from the record.
        nothing_is_left(&fleet).await;
        let large = fs::read_to_string(uploaded(&fleet, "large")).expect("it was uploaded");
        assert!(
            large == numbers,
            "{point}: {} bytes of {}",
            large.len(),
            numbers.len()
        );
    }
    nothing_is_left(&fleet).await;
    assert!(fleet.stop_master().await.success());
    fleet.fsck();
}
