//! Writes a history into a new database, for measurements and for trying out pages:
//! `cargo run --release -p ironmaster-store --example make_history -- DATABASE BUILDS`.
//!
//! 10 builders (`builder 1` to `builder 10`); each build finished, with a request, a set, a source stamp of its own, 5 properties and
//! 3 steps, no logs. A master that is started on it needs a configuration with these builders. Goes through the same commits as a
//! master's would, so it is also what a real history of that length looks like.

use std::error::Error;

use ironmaster_store::{Batch, OpenOptions, SqliteStore, Store as _};

#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../tests/it/history/mod.rs"]
mod history;

use history::History;

/// Builds in one commit.
const TOGETHER: u64 = 500;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, builds] = arguments.as_slice() else {
        return Err("usage: make_history DATABASE BUILDS".into());
    };
    let builds: u64 = builds.parse()?;
    let (mut store, _reader) = SqliteStore::open(path, OpenOptions::default())?;
    let mut history = History::new(1);
    let mut commit = history.grow_builders(10);
    let (mut batch, mut made) = (0, 0);
    loop {
        batch += 1;
        store.commit(&Batch {
            id: batch,
            events: &commit.events,
            counters: &commit.counters,
            meta: &[],
        })?;
        // As a master does now and then: it keeps so many for those who were away.
        while store.prune_events(200_000)? {}
        if made >= builds {
            break;
        }
        commit.events.clear();
        for _ in 0..TOGETHER.min(builds - made) {
            let next = history.trivial_build(5, 3);
            commit.events.extend(next.events);
            commit.counters = next.counters;
            made += 1;
        }
    }
    Ok(())
}
