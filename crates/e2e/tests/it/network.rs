//! The network between worker and master fails for a while: nothing of it is visible but a pause.

use serde_json::json;

use crate::{
    fleet::Fleet,
    proxy::{Mode, Proxy},
    witness::{built_exactly_once, configuration, witness},
};

async fn fleet_behind_proxy() -> (Fleet, Proxy) {
    let mut fleet = Fleet::new("", "");
    let toml = configuration(fleet.path("ci.toml").parent().expect("a directory"), &["w1"], 4);
    fleet.configure("heartbeat = \"200ms\"\ndead_after = \"600ms\"", &toml);
    fleet.start_master().await;
    let proxy = Proxy::to(fleet.port()).await;
    fleet.spawn_worker_at("w1", &format!("ws://127.0.0.1:{}/worker", proxy.port));
    fleet.workers_connected(&["w1"]).await;
    (fleet, proxy)
}

async fn survives(mode: Mode) {
    let (fleet, proxy) = fleet_behind_proxy().await;
    let mut requests = Vec::new();
    for builder in ["steps", "large", "small"] {
        let tag = format!("{builder}-cut");
        let request = fleet
            .force(&format!("force-{builder}"), json!({"tag": tag}))
            .await
            .expect("the master answers");
        requests.push((builder, tag, request));
    }
    fleet
        .until("a command has begun", async |fleet| {
            witness(fleet, "large-cut", "run").contains("begin")
        })
        .await;
    for _ in 0..3 {
        proxy.set(mode);
        fleet.worker_disconnected().await;
        proxy.set(Mode::Open);
        fleet.workers_connected(&["w1"]).await;
    }
    for (builder, tag, request) in requests {
        built_exactly_once(&fleet, builder, &tag, request).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_is_only_a_pause() {
    survives(Mode::Cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_dies_without_a_word_is_noticed_and_only_a_pause() {
    survives(Mode::Silent).await;
}
