//! `kill -9` of a process that commits in a loop: everything that it acknowledged is there.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};

use ironmaster_store::{OpenOptions, open};

use crate::{
    backend::{Backend, database_of, on_both},
    conformance::{commit_one, fsck_findings},
    history::History,
    world::World,
};

const DATABASE: &str = "IRONMASTER_STORE_TEST_DATABASE";
const SEED: u64 = 77;

/// Not a test of its own: what the child of the test below does, when there is a database to do it to.
#[test]
fn child_commits_until_it_is_killed() {
    let Ok(word) = std::env::var(DATABASE) else {
        return;
    };
    let (mut store, _reader) = open(&database_of(&word), OpenOptions::default()).unwrap();
    let done = store.load().unwrap().seq;
    let mut history = History::new(SEED);
    let mut id = 0;
    loop {
        let commit = history.commit(4);
        let last = commit.events.last().unwrap().seq;
        if last <= done {
            continue;
        }
        id += 1;
        commit_one(&mut *store, id, &commit);
        // Straight to the descriptor: nothing may be lost in a buffer of ours.
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nacknowledged {last}").unwrap();
        out.flush().unwrap();
    }
}

/// Lets a child commit, kills it after `acknowledgements`, and returns the last sequence number that it acknowledged.
fn run_and_kill(database: &str, acknowledgements: usize) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child_commits_until_it_is_killed", "--nocapture"])
        .env(DATABASE, database)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = 0;
    let mut seen = 0;
    let mut killed = false;
    // What was written before the kill took hold is read to the end.
    while let Some(Ok(line)) = lines.next() {
        if let Some(seq) = line
            .strip_prefix("acknowledged ")
            .and_then(|seq| seq.parse().ok())
        {
            last = seq;
            seen += 1;
        }
        if seen == acknowledgements && !killed {
            child.kill().unwrap();
            killed = true;
        }
    }
    assert!(!child.wait().unwrap().success(), "it was killed");
    assert!(seen >= acknowledgements, "only {seen} commits");
    last
}

fn what_was_acknowledged_survives_kills(backend: &mut dyn Backend) {
    for round in 0..8 {
        let acknowledged = run_and_kill(&backend.word(), 1 + round * 7 % 13);
        let (mut store, reader) = backend.open();
        let loaded = store.load().unwrap();
        assert!(
            loaded.seq >= acknowledged,
            "round {round}: {acknowledged} was acknowledged, {} is there",
            loaded.seq
        );
        // Whole commits only: the same history, cut where the database ends.
        let mut history = History::new(SEED);
        let mut world = World::of(&[]);
        while (world.events.len() as u64) < loaded.seq {
            world.commit(&history.commit(4));
        }
        assert!(
            loaded == world.snapshot(),
            "round {round}: {}",
            ironmaster_engine::snapshot_difference(&loaded, &world.snapshot())
        );
        assert_eq!(fsck_findings(&reader), Vec::<String>::new(), "round {round}");
    }
}

on_both! { what_was_acknowledged_survives_kills }
