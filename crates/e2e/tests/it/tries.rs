//! Patches that stock Buildbot's `try` sends: they are built once, also if the master dies amid them.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    fleet::{Fleet, free_port, word, worker_sections},
    witness::git,
};

pub(crate) const PASSWORD: &str = "a-long-and-random-password";

/// A master with a job directory, and a repository with one commit.
pub(crate) fn fleet() -> Fleet {
    let fleet = Fleet::new("", "");
    let repository = fleet.path("repository");
    fs::create_dir(&repository).expect("the directory is ours");
    git(&repository, &["init", "--quiet"]);
    fs::write(repository.join("hello"), "one\n").expect("the directory is ours");
    git(&repository, &["add", "--all"]);
    git(&repository, &["commit", "--quiet", "--message", "First"]);
    let toml = format!(
        "{}\
         [[builder]]\nname = \"b\"\nworkers = [\"label:any\"]\n\
         [[builder.step]]\ntype = \"git\"\nrepository = \"{}\"\n\
         [[builder.step]]\ntype = \"shell\"\nname = \"show\"\ncommand = \"cat hello && echo %(prop:flavour)s\"\n\
         [[scheduler]]\nname = \"try\"\ntype = \"try\"\nbuilders = [\"b\"]\njobdir = \"jobs\"\n\
         [[scheduler.user]]\nname = \"ann\"\npassword = \"{PASSWORD}\"\n",
        worker_sections(&["w1"], 4),
        word(&repository),
    );
    fleet.configure("", &toml);
    fleet
}

/// The stock client, and a clone of the repository with an uncommitted change.
fn stock(fleet: &Fleet) -> (PathBuf, PathBuf) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/buildbot.sh");
    let found = Command::new(script).output().expect("the script can be started");
    assert!(
        found.status.success(),
        "{}",
        String::from_utf8_lossy(&found.stderr)
    );
    let programs = String::from_utf8(found.stdout).expect("a path");
    let buildbot = PathBuf::from(programs.trim()).join("buildbot");
    let clone = fleet.path("clone");
    git(
        &fleet.path(""),
        &["clone", "--quiet", word(&fleet.path("repository")), "clone"],
    );
    fs::write(clone.join("hello"), "one\ntwo\n").expect("the directory is ours");
    (buildbot, clone)
}

/// The stock client over a `ssh` that runs the command on this machine.
fn stock_try(fleet: &Fleet) {
    let (buildbot, clone) = stock(fleet);
    let ssh = fleet.path("ssh");
    fs::write(&ssh, "#!/bin/sh\nshift 3\nexec \"$@\"\n").expect("the directory is ours");
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let output = Command::new(&buildbot)
        .current_dir(&clone)
        .args([
            "try",
            "--connect=ssh",
            "--username=me",
            "--host=localhost",
            "--vc=git",
        ])
        .args([
            "--branch=main",
            "--who=ann",
            "--comment=is it two?",
            "--property=flavour=salty",
        ])
        .args([
            "--builder=b",
            "--ssh",
            word(&ssh),
            "--buildbotbin",
            word(&buildbot),
        ])
        .args(["--jobdir", word(&fleet.path("jobs"))])
        .output()
        .expect("the stock client can be started");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn files(fleet: &Fleet, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(fleet.path("jobs").join(folder)).expect("the master made it");
    let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("plain names");
    let mut names: Vec<_> = entries.map(|entry| name(entry.expect("readable"))).collect();
    names.sort();
    names
}

async fn built_once(fleet: &Fleet) {
    fleet
        .until("there is a request", async |fleet| {
            fleet.get("/api/v2/buildrequests/1").await.is_some()
        })
        .await;
    let done = fleet.completed(1).await;
    assert_eq!(done["results"], 0, "{done}\n{}", fleet.evidence());
    let build = &fleet.builds_of(1).await[0];
    let id = build["buildid"].as_u64().expect("an id");
    assert_eq!(fleet.output(id, "show").await, "one\ntwo\nsalty\n");
    fleet
        .until("the job is put away", async |fleet| {
            files(fleet, "cur").len() == 1 && files(fleet, "new").is_empty()
        })
        .await;
    let buildsets = fleet.list("/api/v2/buildsets", "buildsets").await;
    assert_eq!(buildsets.len(), 1, "{buildsets:?}");
    assert_eq!(buildsets[0]["reason"], "'try' job by user ann (is it two?)");
    assert!(buildsets[0]["external_idstring"].is_string(), "{buildsets:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_the_stock_client_is_built_and_a_bad_one_is_shown() {
    let mut fleet = fleet();
    fleet.start_master().await;
    fleet.spawn_worker("w1");
    fleet
        .until("the job directory is there", async |fleet| {
            fleet.path("jobs/new").is_dir()
        })
        .await;
    stock_try(&fleet);
    built_once(&fleet).await;
    // As clients do it: whole, or not there.
    fs::write(fleet.path("jobs/tmp/torn"), "1:5,400:{").expect("the directory is ours");
    fs::rename(fleet.path("jobs/tmp/torn"), fleet.path("jobs/new/torn")).expect("the directory is ours");
    fleet
        .until("the bad job is shown", async |fleet| {
            let shown = fleet.list("/api/v2/tryschedulers/try", "tryschedulers").await;
            shown[0]["refused"][0]["file"] == "torn"
        })
        .await;
    assert_eq!(files(&fleet, "bad"), ["torn", "torn.why"]);
    let why = fs::read_to_string(fleet.path("jobs/bad/torn.why")).expect("it is there");
    assert!(why.contains("was the file cut off?"), "{why}");
    // A name as long as names may be leaves no room for another ending; no folder and no hidden file keeps others from being seen.
    fs::create_dir(fleet.path("jobs/new/folder")).expect("the directory is ours");
    let long = "l".repeat(255);
    fs::write(fleet.path("jobs/new").join(&long), "torn").expect("the directory is ours");
    fleet
        .until("the one with the long name is put aside", async |fleet| {
            files(fleet, "bad").contains(&long)
        })
        .await;
    let why = fs::read_to_string(fleet.path("jobs/bad").join(format!("{}.why", &long[4..])));
    assert!(why.is_ok(), "{why:?}");
    assert!(fleet.stop_master().await.success());
    fleet.fsck();
}

/// The commit is done, the file is still in `new`.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_built_once_though_the_master_dies_before_it_is_put_away() {
    let mut fleet = fleet();
    for folder in ["new", "cur", "tmp"] {
        fs::create_dir_all(fleet.path("jobs").join(folder)).expect("the directory is ours");
    }
    stock_try(&fleet);
    fleet.spawn_master(Some("job_accepted"));
    fleet.master_ended().await;
    assert_eq!((files(&fleet, "new").len(), files(&fleet, "cur").len()), (1, 0));
    fleet.start_master().await;
    fleet.spawn_worker("w1");
    built_once(&fleet).await;
    assert!(fleet.stop_master().await.success());
    fleet.fsck();
}

/// `buildbot try --connect=pb` hands a patch in over Perspective Broker, and sees how its build ends.
#[tokio::test(flavor = "multi_thread")]
async fn the_stock_client_watches_over_perspective_broker() {
    let mut fleet = fleet();
    let port = free_port();
    let configured = fs::read_to_string(fleet.path("ci.toml")).expect("it was written");
    fs::write(
        fleet.path("ci.toml"),
        format!("{configured}[pb]\nlisten = \"127.0.0.1:{port}\"\n"),
    )
    .expect("the directory is ours");
    fleet.start_master().await;
    fleet.spawn_worker("w1");
    let (buildbot, clone) = stock(&fleet);
    let asks = |password: &str, arguments: &[&str]| {
        let mut command = Command::new(&buildbot);
        command
            .current_dir(&clone)
            .args(["try", "--connect=pb", &format!("--master=127.0.0.1:{port}")])
            .args(["--username=ann", &format!("--passwd={password}"), "--vc=git"])
            .args(["--branch=main", "--property=flavour=salty"])
            .args(arguments);
        command
    };
    let ask = |password: &str, arguments: &[&str]| {
        let output = asks(password, arguments).output();
        output.expect("the stock client can be started")
    };
    let said = |output: &std::process::Output| {
        let words = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        String::from_utf8_lossy(&words).into_owned()
    };

    let names = ask(PASSWORD, &["--get-builder-names"]);
    let listed = said(&names).lines().any(|line| line.trim() == "b");
    assert!(names.status.success() && listed, "{names:?}");

    let good = ask(PASSWORD, &["--builder=b", "--wait", "--comment=is it two?"]);
    assert!(good.status.success(), "{}\n{}", said(&good), fleet.evidence());
    assert!(said(&good).contains("b: success"), "{}", said(&good));
    let build = &fleet.builds_of(1).await[0];
    let id = build["buildid"].as_u64().expect("an id");
    assert_eq!(fleet.output(id, "show").await, "one\ntwo\nsalty\n");
    let buildsets = fleet.list("/api/v2/buildsets", "buildsets").await;
    assert_eq!(buildsets[0]["reason"], "'try' job by user ann (is it two?)");

    // What cannot be tried is queued nowhere, and the master says why: the stock client has no ear for that. Neither is what a
    // stranger wants.
    let unknown = ask(PASSWORD, &["--builder=nosuch"]);
    let schedulers = fleet.list("/api/v2/tryschedulers", "tryschedulers").await;
    let reason = schedulers[0]["refused"][0]["reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("cannot build nosuch; its builders are b"),
        "{schedulers:?} {}",
        said(&unknown)
    );
    let mut stranger = asks("not-the-password-of-ann", &["--builder=b"])
        .spawn()
        .expect("the stock client can be started");
    fleet
        .until("the master says who was turned away", async |fleet| {
            fs::read_to_string(fleet.path("master.log")).is_ok_and(|log| log.contains("a worker was refused"))
        })
        .await;
    // It would wait for ever.
    stranger.kill().expect("it runs");
    stranger.wait().expect("it was killed");
    let buildsets = fleet.list("/api/v2/buildsets", "buildsets").await;
    assert_eq!(buildsets.len(), 1, "{buildsets:?}");

    // A build that fails is told as one.
    fs::write(clone.join("hello"), "one\n").expect("the directory is ours");
    git(&clone, &["rm", "--quiet", "--cached", "hello"]);
    fs::remove_file(clone.join("hello")).expect("it was there");
    let bad = ask(PASSWORD, &["--builder=b", "--wait"]);
    assert!(!bad.status.success(), "{}", said(&bad));
    assert!(said(&bad).contains("b: failure"), "{}", said(&bad));
}
