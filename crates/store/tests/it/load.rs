//! What a start-up reads is what follows from the events.

use std::collections::BTreeSet;

use ironmaster_engine::State;
use ironmaster_model::Snapshot;

use crate::{
    backend::{Backend, on_both},
    conformance::commit_one,
    history::History,
    world::World,
};

/// After every commit of many histories.
fn rows_memory_and_the_obvious_fold_agree(backend: &mut dyn Backend) {
    for seed in 100..112 {
        let mut history = History::new(seed);
        let mut world = World::of(&[]);
        let mut state = State::load(Snapshot::default()).unwrap();
        let mut backend = backend.fresh();
        let (mut store, _reader) = backend.open();
        for id in 1..40 {
            let commit = history.commit(4);
            commit_one(&mut *store, id, &commit);
            world.commit(&commit);
            for event in &commit.events {
                state.apply(event);
            }
            let loaded = store.load().unwrap();
            agree(&loaded, &world.snapshot(), seed, id);
            let mut live = state.to_snapshot();
            // The engine lets go of the stamp of a change that nobody wanted only when its next decision begins.
            let used: BTreeSet<_> = live
                .changes
                .iter()
                .map(|change| change.sourcestamp)
                .chain(
                    live.buildsets
                        .iter()
                        .flat_map(|buildset| buildset.sourcestamps.clone()),
                )
                .chain(live.runs.iter().flat_map(|run| run.sourcestamps.clone()))
                .collect();
            live.sourcestamps.retain(|stamp| used.contains(&stamp.id));
            agree(&loaded, &live, seed, id);
        }
    }
}

fn agree(left: &Snapshot, right: &Snapshot, seed: u64, commit: u64) {
    assert!(
        left == right,
        "seed {seed}, commit {commit}: {}",
        ironmaster_engine::snapshot_difference(left, right)
    );
}

on_both! { rows_memory_and_the_obvious_fold_agree }
