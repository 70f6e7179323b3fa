//! A full disk: a clear error, nothing lost, and the master goes on by itself when there is room again.

use std::{fs, io::Write, process::Command};

use serde_json::json;

use crate::{
    fleet::{Fleet, program, word, worker_sections},
    witness::{built_exactly_once, configuration},
};

/// Starts the master with its state on a small file system of its own. The link `state` leads there from outside, too.
async fn start_on_small_disk(fleet: &mut Fleet) {
    let script = "mkdir disk && mount -t tmpfs -o size=16m tmpfs disk && mkdir disk/state && \
                  ln -s /proc/$$/root$PWD/disk/state state && exec \"$0\" start ci.toml";
    let mut command = Command::new("unshare");
    command
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            script,
            word(&program("ironmaster")),
        ])
        .current_dir(fleet.path("ci.toml").parent().expect("a directory"));
    fleet.spawn_master_as(command);
    fleet
        .until("the master serves", async |fleet| {
            fleet.get("/api/v2/builders").await.is_some()
        })
        .await;
}

/// Takes all the room there is.
fn fill(fleet: &Fleet) {
    let mut filler = fs::File::create(fleet.path("state/filler")).expect("there is room for a name");
    let block = vec![0; 64 * 1024];
    while filler.write_all(&block).is_ok() {}
    let crumb = [0; 256];
    while filler.write_all(&crumb).is_ok() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_clearly_loses_nothing_and_heals() {
    let mut fleet = Fleet::new("", "");
    let toml = configuration(fleet.path("ci.toml").parent().expect("a directory"), &["w1"], 2);
    fleet.configure("", &toml);
    start_on_small_disk(&mut fleet).await;
    fleet.spawn_worker("w1");
    fleet.workers_connected(&["w1"]).await;
    let mut accepted = Vec::new();
    let mut n = 0;
    let mut force = async |fleet: &Fleet| {
        n += 1;
        let (builder, tag) = (["small", "large"][n % 2], format!("disk{n}"));
        let path = format!("/api/v2/forceschedulers/force-{builder}");
        let (status, answer) = fleet
            .call(&path, "force", json!({"tag": tag}))
            .await
            .expect("the master answers");
        if status == 200 {
            let requests = answer["result"][1].as_object().expect("an object").clone();
            let request = requests
                .values()
                .next()
                .and_then(serde_json::Value::as_u64)
                .expect("a request");
            accepted.push((builder, tag, request));
        }
        (status, answer)
    };
    assert_eq!(force(&fleet).await.0, 200);
    fill(&fleet);
    fleet
        .until("there is no room for another request", async |fleet| {
            let (status, answer) = force(fleet).await;
            if status != 200 {
                assert_eq!(status, 503, "{answer}");
                assert!(answer.to_string().contains("disk"), "{answer}");
            }
            status != 200
        })
        .await;
    // Reading goes on.
    assert_eq!(fleet.list("/api/v2/builders", "builders").await.len(), 4);
    fs::remove_file(fleet.path("state/filler")).expect("it is ours");
    fleet
        .until("the master goes on by itself", async |fleet| {
            force(fleet).await.0 == 200
        })
        .await;
    for (builder, tag, request) in &accepted {
        built_exactly_once(&fleet, builder, tag, *request).await;
    }
}

/// An upload waits for room, while what is small goes on.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_waits_for_room() {
    const LEFT: u64 = 3 << 20;
    let steps = "[[builder]]\nname = \"up\"\nworkers = [\"w1\"]\n[[builder.step]]\ntype = \"shell\"\ncommand = \"seq 1000000 > large\"\n\
                 [[builder.step]]\ntype = \"upload\"\nsrc = \"large\"\ndest = \"large\"\n\
                 [[scheduler]]\nname = \"force-up\"\ntype = \"force\"\nbuilders = [\"up\"]\n";
    let mut fleet = Fleet::new("", "");
    fleet.configure("", &(worker_sections(&["w1"], 1) + steps));
    start_on_small_disk(&mut fleet).await;
    fleet.spawn_worker("w1");
    fleet.workers_connected(&["w1"]).await;
    let mut filler = fs::File::create(fleet.path("state/filler")).expect("there is room");
    let room = |fleet: &Fleet| {
        let disk = rustix::fs::statvfs(fleet.path("state/filler")).expect("it is there");
        disk.f_bavail * disk.f_frsize
    };
    let block = vec![0; 64 * 1024];
    while room(&fleet) > LEFT {
        filler.write_all(&block).expect("there is room");
    }
    let request = fleet
        .force("force-up", json!({}))
        .await
        .expect("the master answers");
    fleet
        .until("the upload waits", async |fleet| {
            let log = fs::read_to_string(fleet.path("master.log")).unwrap_or_default();
            log.contains("an upload waits for room on the disk")
        })
        .await;
    assert!(!fleet.path("state/files/large").exists());
    fs::remove_file(fleet.path("state/filler")).expect("it is ours");
    drop(filler);
    assert_eq!(
        fleet.completed(request).await["results"],
        0,
        "{}",
        fleet.evidence()
    );
    assert_eq!(fleet.builds_of(request).await.len(), 1, "it ran once");
    let numbers: String = (1..=1_000_000).map(|number| format!("{number}\n")).collect();
    let large = fs::read_to_string(fleet.path("state/files/large")).expect("it was uploaded");
    assert!(large == numbers, "{} bytes of {}", large.len(), numbers.len());
}
