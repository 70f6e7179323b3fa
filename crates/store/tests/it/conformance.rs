//! What every backend must do, written once: commit, read, crash, open again, read again.

use std::collections::BTreeMap;

use ironmaster_model::{Counter, Event, LogContent, Sequenced};
use ironmaster_store::{
    Batch, CommitError, EventsError, Filter, Op, OpenOptions, Query, Reader, Resource, Store, StoreError,
    open,
};
use serde_json::json;

use crate::{
    backend::{Backend, on_both},
    history::{Commit, History},
    world::World,
};

/// Commits all, with ids from 1.
pub(crate) fn commit_all(store: &mut dyn Store, commits: &[Commit]) {
    for (id, commit) in (1..).zip(commits) {
        commit_one(store, id, commit);
    }
}

pub(crate) fn commit_one(store: &mut dyn Store, id: u64, commit: &Commit) {
    store
        .commit(&Batch {
            id,
            events: &commit.events,
            counters: &commit.counters,
            meta: &[],
        })
        .unwrap();
}

/// An event as the feed shows it.
pub(crate) fn shown(event: &Sequenced) -> Sequenced {
    let mut event = event.clone();
    match &mut event.event {
        Event::Configured { plan, .. } => *plan = ironmaster_model::Plan::default(),
        Event::LogsSaved { saves, .. } => {
            for save in saves {
                if let LogContent::Inline(bytes) = &mut save.content {
                    bytes.clear();
                }
            }
        }
        _ => {}
    }
    event
}

fn everything_is_there(world: &World, store: &mut dyn Store, reader: &Reader) {
    let (loaded, expected) = (store.load().unwrap(), world.snapshot());
    assert!(
        loaded == expected,
        "{}",
        ironmaster_engine::snapshot_difference(&loaded, &expected)
    );
    assert_eq!(reader.last_seq().unwrap(), world.events.len() as u64);
    let events: Vec<Sequenced> = world.events.iter().map(shown).collect();
    let mut cursor = 0;
    while cursor < events.len() as u64 {
        let read = reader.events_after(cursor, 7).unwrap();
        assert!(!read.is_empty() && read.len() <= 7);
        assert_eq!(read, events[cursor as usize..cursor as usize + read.len()]);
        cursor += read.len() as u64;
    }
    assert_eq!(reader.events_after(cursor, 7).unwrap(), []);
    for (id, (record, content)) in &world.logs {
        let stored = reader.log(*id).unwrap().unwrap();
        assert_eq!((&stored.record, &stored.content), (record, content));
    }
    for (id, build) in &world.builds {
        assert_eq!(reader.build(*id).unwrap().as_ref(), Some(build));
        let logs: Vec<_> = world
            .logs
            .values()
            .filter(|(log, _)| log.build == *id)
            .map(|(log, _)| log.clone())
            .collect();
        assert_eq!(reader.logs_of_build(*id).unwrap(), logs);
    }
    for id in world.steps.keys() {
        let effects = world.effects.get(id).cloned().unwrap_or_default();
        assert_eq!(reader.effects(*id).unwrap(), effects);
    }
    let ids: Vec<_> = world.changes.keys().copied().collect();
    let changes: Vec<_> = world.changes.values().cloned().collect();
    assert_eq!(reader.changes(&ids).unwrap(), changes);
}

fn tells_the_story(backend: &mut dyn Backend) {
    for seed in 0..4 {
        story(&mut *backend.fresh(), seed);
    }
}

fn story(backend: &mut dyn Backend, seed: u64) {
    let mut history = History::new(seed);
    let mut world = World::of(&[]);
    let (mut store, mut reader) = backend.open();
    assert_eq!(store.load().unwrap(), world.snapshot());
    for _ in 0..4 {
        let commits = history.commits(25);
        // Ids of batches may start again with every opening.
        commit_all(&mut *store, &commits);
        for commit in &commits {
            world.commit(commit);
        }
        assert!(store.committed(25).unwrap());
        assert!(!store.committed(26).unwrap());
        everything_is_there(&world, &mut *store, &reader);
        backend.crash(store, reader);
        (store, reader) = backend.open();
        assert!(!store.committed(25).unwrap(), "that was another opening's");
        everything_is_there(&world, &mut *store, &reader);
    }
}

/// A batch that contradicts the tables changes nothing, and the next one is accepted.
fn refuses_contradictions(backend: &mut dyn Backend) {
    let mut history = History::new(1);
    let commits = history.commits(12);
    let world = World::of(&commits);
    let (mut store, reader) = backend.open();
    commit_all(&mut *store, &commits);
    let next = history.commit(3);
    let refused = |store: &mut dyn Store, id, events: &[Sequenced]| {
        let batch = Batch {
            id,
            events,
            counters: &next.counters,
            meta: &[],
        };
        let error = store.commit(&batch).unwrap_err();
        assert!(matches!(error, CommitError::Rejected { .. }), "{error}");
    };
    // A batch again, a gap, an event again.
    refused(&mut *store, 12, &next.events);
    let mut gap = next.events.clone();
    gap[0].seq += 1;
    refused(&mut *store, 13, &gap);
    refused(&mut *store, 13, &commits[11].events);
    // An id again, in the middle of a batch.
    let mut again = next.events.clone();
    let seq = again.last().unwrap().seq;
    let at = again.last().unwrap().at;
    let build = world.builds.values().next().unwrap().clone();
    again.push(Sequenced {
        seq: seq + 1,
        at,
        event: Event::BuildStarted { build, chosen: false },
    });
    refused(&mut *store, 13, &again);
    // A build that does not exist.
    again.pop();
    again.push(Sequenced {
        seq: seq + 1,
        at,
        event: Event::BuildLost {
            build: ironmaster_model::BuildId(1_000_000),
            reason: "gone".into(),
        },
    });
    refused(&mut *store, 13, &again);
    // A request of a buildset that does not exist.
    again.pop();
    let mut request = world.requests.values().next().unwrap().clone();
    request.id = ironmaster_model::BuildRequestId(1_000_000);
    request.buildset = ironmaster_model::BuildsetId(1_000_000);
    again.push(Sequenced {
        seq: seq + 1,
        at,
        event: Event::RequestQueued { request },
    });
    refused(&mut *store, 13, &again);
    assert!(!store.committed(13).unwrap());
    everything_is_there(&world, &mut *store, &reader);
    let mut world = world;
    commit_one(&mut *store, 13, &next);
    world.commit(&next);
    everything_is_there(&world, &mut *store, &reader);
}

fn keeps_small_things(backend: &mut dyn Backend) {
    let (mut store, reader) = backend.open();
    assert_eq!(reader.meta("installation").unwrap(), None);
    store.set_meta("installation", "one").unwrap();
    store.set_meta("installation", "two").unwrap();
    assert_eq!(reader.cursor("mail").unwrap(), None);
    store.save_cursor("mail", 7).unwrap();
    store.save_cursor("mail", 9).unwrap();
    store.probe().unwrap();
    // An empty batch is a commit too.
    let counters = BTreeMap::from([(Counter::Build, 10)]);
    let empty = Batch {
        id: 5,
        events: &[],
        counters: &counters,
        meta: &["first", "last"].map(|value| ("poller".to_owned(), value.to_owned())),
    };
    store.commit(&empty).unwrap();
    assert!(store.committed(5).unwrap());
    // Of a batch that is refused nothing is kept.
    let late = Batch {
        meta: &[("poller".to_owned(), "too late".to_owned())],
        ..empty
    };
    assert!(matches!(store.commit(&late), Err(CommitError::Rejected { .. })));
    backend.crash(store, reader);
    let (mut store, reader) = backend.open();
    assert_eq!(reader.meta("installation").unwrap().as_deref(), Some("two"));
    assert_eq!(reader.meta("poller").unwrap().as_deref(), Some("last"));
    assert_eq!(reader.cursor("mail").unwrap(), Some(9));
    let snapshot = store.load().unwrap();
    assert_eq!(snapshot.seq, 0);
    assert_eq!(snapshot.counters[&Counter::Build], 10);
    assert_eq!(snapshot.counters[&Counter::Step], 1);
}

fn forgets_old_events(backend: &mut dyn Backend) {
    let mut history = History::new(3);
    let (mut store, reader) = backend.open();
    // More builders than a random history ever gets.
    let mut commits = vec![history.grow_builders(10)];
    let mut events = commits[0].events.len() as u64;
    while events < 5000 {
        let commit = history.trivial_build(2, 2);
        events += commit.events.len() as u64;
        commits.push(commit);
    }
    commit_all(&mut *store, &commits);
    let mut calls = 1;
    while store.prune_events(100).unwrap() {
        calls += 1;
    }
    assert!(calls > 1, "one call removes a bounded number");
    let first = events - 100 + 1;
    for cursor in [0, first - 2] {
        let error = reader.events_after(cursor, 10).unwrap_err();
        assert!(
            matches!(error, EventsError::TooOld { oldest } if oldest == first),
            "{error}"
        );
    }
    assert_eq!(reader.events_after(first - 1, 1000).unwrap().len(), 100);
    assert!(!store.prune_events(100).unwrap());
    while store.prune_events(0).unwrap() {}
    let error = reader.events_after(events - 1, 10).unwrap_err();
    assert!(
        matches!(error, EventsError::TooOld { oldest } if oldest == events + 1),
        "{error}"
    );
    assert_eq!(reader.events_after(events, 10).unwrap(), []);
    let error = reader.events_after(events + 1, 10).unwrap_err();
    assert!(matches!(error, EventsError::Ahead { .. }), "{error}");
    // The sequence goes on where it was.
    backend.crash(store, reader);
    let (mut store, reader) = backend.open();
    let loaded = store.load().unwrap();
    assert_eq!((loaded.seq, loaded.builders.len()), (events, 10));
    commit_one(&mut *store, 1, &history.trivial_build(2, 2));
    assert_eq!(reader.events_after(events, 1).unwrap()[0].seq, events + 1);
}

fn refuses_a_second_writer(backend: &mut dyn Backend) {
    let (store, _reader) = backend.open();
    let error = open(&backend.database(), impatient()).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    // Readers are welcome.
    assert_eq!(backend.reader().last_seq().unwrap(), 0);
    drop(store);
    backend.open();
}

/// Texts of the world have every character, and every number.
fn keeps_odd_values(backend: &mut dyn Backend) {
    let odd = "\0 \u{fdd0} \\u0000 \u{fdd0}0 \u{10ffff} '\" \\";
    let mut history = History::new(8);
    let mut commits = history.commits(30);
    for event in commits.iter_mut().flat_map(|commit| &mut commit.events) {
        match &mut event.event {
            Event::ChangeAdded { change } => {
                change.comments.push_str(odd);
                change.files.push(odd.into());
                change
                    .properties
                    .set(odd, json!({ odd: [odd, 1e300, 0.1, 1.0] }), odd);
            }
            Event::BuildStarted { build, .. } => build.properties.set("before", json!([1e16, odd]), "Build"),
            Event::PropertiesSet { properties, .. } => {
                properties.set(odd, json!([odd, 1e-7, 12_345_678_901_234_567_890_u64]), odd);
            }
            Event::StepUpdated { state_string, .. } => state_string.push_str(odd),
            _ => {}
        }
    }
    let world = World::of(&commits);
    assert!(
        world
            .builds
            .values()
            .any(|build| build.properties.get(odd).is_some())
    );
    assert!(!world.changes.is_empty());
    let (mut store, reader) = backend.open();
    commit_all(&mut *store, &commits);
    store.set_meta(odd, odd).unwrap();
    assert_eq!(reader.meta(odd).unwrap().as_deref(), Some(odd));
    everything_is_there(&world, &mut *store, &reader);
    let (id, change) = world.changes.iter().next().unwrap();
    let by = |field: &str, op, value: &str| Query {
        filters: vec![
            Filter::eq("changeid", id.0),
            Filter {
                field: field.into(),
                op,
                values: vec![value.into()],
            },
        ],
        ..Query::default()
    };
    for (query, found) in [
        (by("comments", Op::Eq, &change.comments), 1),
        (by("comments", Op::Contains, odd), 1),
        (by("comments", Op::Ne, &change.comments), 0),
        (by("files", Op::Contains, odd), 1),
        (by("files", Op::Contains, "0"), 0),
    ] {
        let page = reader.query(Resource::Changes, &query).unwrap();
        assert_eq!(page.total, found, "{query:?}");
        for item in page.items {
            assert_eq!(item["comments"], json!(change.comments));
            assert_eq!(
                item["properties"],
                serde_json::to_value(&change.properties).unwrap()
            );
        }
    }
    assert_eq!(fsck_findings(&reader), Vec::<String>::new());
}

/// Does not wait for a writer that is there to stay.
pub(crate) fn impatient() -> OpenOptions {
    OpenOptions {
        lock_timeout: std::time::Duration::from_millis(100),
        ..OpenOptions::default()
    }
}

/// What `fsck` finds, but for what these histories do not keep to.
pub(crate) fn fsck_findings(reader: &Reader) -> Vec<String> {
    ironmaster_store::fsck(reader)
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .filter(|finding| !finding.contains("same slot"))
        .collect()
}

on_both! {
    tells_the_story refuses_contradictions keeps_small_things forgets_old_events refuses_a_second_writer
    keeps_odd_values
}
