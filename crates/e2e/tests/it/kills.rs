//! The promise that nobody else gives: a build survives `kill -9` of its master. Killed at random moments and at each
//! named point, every accepted request ends exactly once in SUCCESS, every command runs exactly once, and no byte of a
//! log is missing or doubled.

use std::time::Duration;

use serde_json::json;

use crate::{
    database::Kind,
    fleet::Fleet,
    rng::Rng,
    witness::{BUILDERS, built_exactly_once, configuration},
};

/// Kills at random moments; `IRONMASTER_KILLS` asks for more.
const KILLS: u64 = 50;
const WORKERS: [&str; 2] = ["w1", "w2"];

/// The points of the master's code at which it may be made to die, with the passages that are tried.
const POINTS: [(&str, &[u32]); 11] = [
    ("before_commit", &[4, 9]),
    ("after_commit", &[4, 9]),
    ("command_sent", &[1, 3]),
    ("command_started", &[1, 3]),
    ("output_durable", &[1, 2]),
    ("output_acknowledged", &[1, 2]),
    ("command_exited", &[1, 3]),
    ("effects_committed", &[1]),
    ("step_ended", &[1, 3]),
    ("outcome_committed", &[1, 3]),
    ("forget", &[1, 3]),
];

async fn fleet(database: Kind) -> Fleet {
    let mut fleet = Fleet::on(database, "heartbeat = \"1s\"\ndead_after = \"3s\"", "");
    let toml = configuration(fleet.path("ci.toml").parent().expect("a directory"), &WORKERS, 2);
    fleet.configure("heartbeat = \"1s\"\ndead_after = \"3s\"", &toml);
    fleet.start_master().await;
    for worker in WORKERS {
        fleet.spawn_worker(worker);
    }
    fleet.workers_connected(&WORKERS).await;
    fleet
}

/// Asks for a build; keeps (builder, tag, request) if that was acknowledged. What was not may or may not exist; only
/// what was is promised.
async fn request(
    fleet: &Fleet,
    rng: &mut Rng,
    builder: &'static str,
    accepted: &mut Vec<(&'static str, String, u64)>,
) {
    let tag = format!("t{:x}", rng.next());
    if let Some(request) = fleet
        .force(&format!("force-{builder}"), json!({"tag": tag}))
        .await
    {
        accepted.push((builder, tag, request));
    }
}

/// How many kills there are to be, and the chance that says when: `IRONMASTER_KILLS` and `IRONMASTER_KILL_SEED`.
pub(crate) fn asked_for(kills: u64) -> (u64, Rng) {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    (
        number("IRONMASTER_KILLS").unwrap_or(kills),
        Rng::new(number("IRONMASTER_KILL_SEED").unwrap_or(1)),
    )
}

/// Lets the master live for a moment more, kills it, sometimes again while it starts, and starts it. Returns the number of kills.
pub(crate) async fn kill_at_random(fleet: &mut Fleet, rng: &mut Rng) -> u64 {
    tokio::time::sleep(Duration::from_millis(rng.between(1, 400))).await;
    fleet.kill_master();
    let mut kills = 1;
    if rng.between(0, 4) == 0 {
        fleet.spawn_master(None);
        tokio::time::sleep(Duration::from_millis(rng.between(1, 120))).await;
        fleet.kill_master();
        kills += 1;
    }
    fleet.start_master().await;
    kills
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_survive_kills_at_random_moments() {
    kills_at_random_moments(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_survive_kills_at_random_moments_on_postgresql() {
    kills_at_random_moments(Kind::Postgres).await;
}

async fn kills_at_random_moments(database: Kind) {
    let (wanted, mut rng) = asked_for(KILLS);
    let mut fleet = fleet(database).await;
    let mut accepted = Vec::new();
    let mut kills = 0;
    while kills < wanted {
        for _ in 0..3 {
            let builder = BUILDERS[rng.between(0, BUILDERS.len() as u64) as usize];
            request(&fleet, &mut rng, builder, &mut accepted).await;
        }
        kills += kill_at_random(&mut fleet, &mut rng).await;
    }
    assert!(
        accepted.len() as u64 >= wanted,
        "too few requests were accepted for this to mean anything"
    );
    for (builder, tag, request) in &accepted {
        built_exactly_once(&fleet, builder, tag, *request).await;
    }
    assert!(fleet.stop_master().await.success());
    fleet.fsck();
    println!("{kills} kills, {} requests", accepted.len());
    // Each restart goes on from the history that a kill has left, and what it did is checked.
    println!("kills: {kills} histories checked");
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_survive_a_kill_at_each_named_point() {
    kill_at_each_named_point(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_survive_a_kill_at_each_named_point_on_postgresql() {
    kill_at_each_named_point(Kind::Postgres).await;
}

async fn kill_at_each_named_point(database: Kind) {
    let mut rng = Rng::new(2);
    let mut fleet = fleet(database).await;
    fleet.kill_master();
    let mut accepted = Vec::new();
    for (point, passages) in POINTS {
        for passage in passages {
            let began = accepted.len();
            fleet.spawn_master(Some(&format!("{point}:{passage}")));
            fleet
                .until(
                    &format!("the master serves or has died at {point}:{passage}"),
                    async |fleet| fleet.get("/api/v2/builders").await.is_some() || fleet.master_is_gone(),
                )
                .await;
            for builder in BUILDERS {
                request(&fleet, &mut rng, builder, &mut accepted).await;
            }
            println!("waiting for {point}:{passage}");
            let status = fleet.master_ended().await;
            assert!(!status.success(), "the master was to die at {point}:{passage}");
            fleet.start_master().await;
            for (builder, tag, request) in &accepted[began..] {
                built_exactly_once(&fleet, builder, tag, *request).await;
            }
            fleet.kill_master();
        }
    }
    // What was accepted before each crash is there after all of them.
    fleet.start_master().await;
    for (builder, tag, request) in &accepted {
        built_exactly_once(&fleet, builder, tag, *request).await;
    }
    assert!(fleet.stop_master().await.success());
    fleet.fsck();
}
