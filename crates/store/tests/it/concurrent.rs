//! Readers beside the writer.

use std::sync::atomic::{AtomicBool, Ordering};

use ironmaster_store::{Filter, OpenOptions, Query, Resource};

use crate::{
    backend::{Backend, on_both},
    conformance::commit_one,
    history::History,
    world::World,
};

/// More readers than connections, while the writer is at work: nobody skips an event, sees one twice, or sees half a
/// commit.
fn followers_see_every_event_once(backend: &mut dyn Backend) {
    let options = OpenOptions {
        readers: 2,
        ..OpenOptions::default()
    };
    let (mut store, reader) = backend.open_with(options);
    let commits = History::new(21).commits(150);
    let world = World::of(&commits);
    let last = world.events.len() as u64;
    let ends: Vec<u64> = commits
        .iter()
        .map(|commit| commit.events.last().unwrap().seq)
        .collect();
    let done = AtomicBool::new(false);
    let finished = Query {
        filters: vec![Filter::eq("complete", true)],
        limit: Some(5),
        ..Query::default()
    };
    std::thread::scope(|scope| {
        let followers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut cursor = 0;
                    while cursor < last {
                        let events = reader.events_after(cursor, usize::MAX).unwrap();
                        for event in &events {
                            assert_eq!(event.seq, cursor + 1);
                            cursor = event.seq;
                        }
                        // What is read without a limit ends where a commit ends.
                        assert!(
                            cursor == 0 || ends.contains(&cursor),
                            "{cursor} is inside a commit"
                        );
                    }
                })
            })
            .collect();
        // A page and its total are of one moment.
        let pages = scope.spawn(|| {
            let mut asked = 0;
            while asked == 0 || !done.load(Ordering::Relaxed) {
                let page = reader.query(Resource::Builds, &finished).unwrap();
                let shown = page.items.len() as u64;
                assert!(page.total >= shown);
                assert!(shown == 5 || page.total == shown);
                asked += 1;
            }
        });
        for (id, commit) in (1..).zip(&commits) {
            commit_one(&mut *store, id, commit);
        }
        let followers: Vec<_> = followers
            .into_iter()
            .map(std::thread::ScopedJoinHandle::join)
            .collect();
        done.store(true, Ordering::Relaxed);
        for follower in followers {
            follower.unwrap();
        }
        pages.join().unwrap();
    });
    let complete = world
        .builds
        .values()
        .filter(|build| build.complete_at.is_some())
        .count();
    let page = reader.query(Resource::Builds, &finished).unwrap();
    assert_eq!(page.total, complete as u64);
}

on_both! { followers_see_every_event_once }
