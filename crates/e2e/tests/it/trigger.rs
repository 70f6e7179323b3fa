//! A build triggers others and waits for them, on a worker with a single slot, through kills of the master.

use std::fs;

use serde_json::{Value, json};

use crate::{
    database::Kind,
    fleet::{Fleet, word, worker_sections},
};

/// `parent` waits for both builders of `children`, which run in the one slot that there is; then `after` follows.
fn configuration(dir: &str) -> String {
    let witness = |what: &str| {
        format!(
            "[[builder.step]]\ntype = \"shell\"\nname = \"run\"\ncommand = \"echo {what} >> {dir}/witness\"\n"
        )
    };
    let builder = |name: &str| format!("[[builder]]\nname = \"{name}\"\nworkers = [\"label:any\"]\n");
    let held = format!(
        "[[builder.step]]\ntype = \"shell\"\nname = \"wait\"\ncommand = \"echo begin >> {dir}/witness; while [ ! -e {dir}/go ]; do sleep 0.05; done\"\n"
    );
    [
        worker_sections(&["w1"], 1),
        builder("parent"),
        "[[builder.step]]\ntype = \"trigger\"\nname = \"spread\"\nschedulers = [\"children\"]\nwait = true\n\
         set_properties = { tag = \"of %(prop:buildnumber)s\" }\nhalt_on_failure = true\n"
            .into(),
        witness("parent"),
        builder("one"),
        held,
        witness("one-%(prop:tag)s"),
        builder("two"),
        witness("two"),
        builder("after"),
        witness("after"),
        "[[scheduler]]\nname = \"force\"\ntype = \"force\"\nbuilders = [\"parent\"]\n\
         [[scheduler]]\nname = \"children\"\ntype = \"triggerable\"\nbuilders = [\"one\", \"two\"]\n\
         [[scheduler]]\nname = \"after\"\ntype = \"dependent\"\nupstream = \"force\"\nbuilders = [\"after\"]\n"
            .into(),
    ]
    .concat()
}

async fn fleet(database: Kind) -> Fleet {
    let mut fleet = Fleet::on(database, "", "");
    let dir = fleet.path("ci.toml");
    let toml = configuration(word(dir.parent().expect("a directory")));
    fleet.configure("heartbeat = \"1s\"\ndead_after = \"3s\"", &toml);
    fleet.start_master().await;
    fleet.spawn_worker("w1");
    fleet.workers_connected(&["w1"]).await;
    fleet
}

fn witness(fleet: &Fleet) -> String {
    fs::read_to_string(fleet.path("witness")).unwrap_or_default()
}

async fn begun(fleet: &Fleet) {
    fleet
        .until("the child runs", async |fleet| witness(fleet).contains("begin"))
        .await;
}

/// The build of the parent's request.
async fn parent(fleet: &Fleet, request: u64) -> Value {
    fleet.builds_of(request).await.pop().expect("it has a build")
}

async fn a_parent_waits_for_its_children(database: Kind) {
    let mut fleet = fleet(database).await;
    let request = fleet.force("force", json!({})).await.expect("the master answers");
    begun(&fleet).await;
    // The child runs in the slot that its parent has given back. The master dies amid that, and again while it starts.
    fleet.kill_master();
    fleet.spawn_master(None);
    fleet.kill_master();
    fleet.start_master().await;
    let waiting = parent(&fleet, request).await;
    assert_eq!(waiting["complete"], false, "{waiting}");
    fs::write(fleet.path("go"), "").expect("the directory is ours");
    let done = fleet.completed(request).await;
    assert_eq!(done["results"], 0, "{done}\n{}", fleet.evidence());
    let builds = fleet.builds_of(request).await;
    assert_eq!(builds.len(), 1, "one attempt was enough: {builds:?}");
    let id = builds[0]["buildid"].as_u64().expect("a build has an id");
    let children = fleet
        .list(&format!("/api/v2/builds/{id}/triggered_builds"), "builds")
        .await;
    assert_eq!(children.len(), 2, "nothing was triggered twice: {children:?}");
    fleet
        .until("what depends on it has run", async |fleet| {
            witness(fleet).contains("after")
        })
        .await;
    assert_eq!(
        witness(&fleet),
        "begin\none-of 1\ntwo\nparent\nafter\n",
        "{}",
        fleet.evidence()
    );
    assert!(fleet.stop_master().await.success());
    fleet.fsck();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_waits_for_its_children_through_kills() {
    a_parent_waits_for_its_children(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_waits_for_its_children_through_kills_on_postgresql() {
    a_parent_waits_for_its_children(Kind::Postgres).await;
}

/// Dies in the moment between the commit and the step's hearing of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_triggered_is_not_triggered_again() {
    let mut fleet = fleet(Kind::Sqlite).await;
    fleet.kill_master();
    fleet.spawn_master(Some("triggered"));
    fleet
        .until("the master serves", async |fleet| {
            fleet.get("/api/v2/builders").await.is_some()
        })
        .await;
    fs::write(fleet.path("go"), "").expect("the directory is ours");
    // It may be dead before it has answered.
    fleet.force("force", json!({})).await;
    fleet.master_ended().await;
    fleet.start_master().await;
    let builders = fleet.list("/api/v2/builders?name=parent", "builders").await;
    let asked = format!("/api/v2/buildrequests?builderid={}", builders[0]["builderid"]);
    let requests = fleet.list(&asked, "buildrequests").await;
    assert_eq!(requests.len(), 1, "{requests:?}");
    let request = requests[0]["buildrequestid"].as_u64().expect("an id");
    let done = fleet.completed(request).await;
    assert_eq!(done["results"], 0, "{done}\n{}", fleet.evidence());
    assert_eq!(fleet.list("/api/v2/builds?builderid=2", "builds").await.len(), 1);
    assert!(fleet.stop_master().await.success());
    fleet.fsck();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_is_stopped_stops_its_children() {
    let mut fleet = fleet(Kind::Sqlite).await;
    let request = fleet.force("force", json!({})).await.expect("the master answers");
    begun(&fleet).await;
    let build = parent(&fleet, request).await["buildid"].as_u64().expect("an id");
    let (status, answer) = fleet
        .call(
            &format!("/api/v2/builds/{build}"),
            "stop",
            json!({"reason": "enough"}),
        )
        .await
        .expect("the master answers");
    assert_eq!(status, 200, "{answer}");
    let done = fleet.completed(request).await;
    assert_eq!(done["results"], 6, "{done}\n{}", fleet.evidence());
    let children = fleet
        .list(&format!("/api/v2/builds/{build}/triggered_builds"), "builds")
        .await;
    let results: Vec<_> = children.iter().map(|build| build["results"].as_u64()).collect();
    assert_eq!(
        results,
        [Some(6)],
        "the one that ran was stopped, the other never began"
    );
    assert_eq!(witness(&fleet), "begin\n");
    assert!(fleet.stop_master().await.success());
    fleet.fsck();
}
