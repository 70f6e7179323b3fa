//! The connection to PostgreSQL is cut at each message of a small story, one after the other: before the server has the
//! message, after, and so that the server does not notice. Each time the store goes on as the master does, and nothing is lost,
//! done twice or half done.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ironmaster_store::{
    Batch, CommitError, Database, OpenOptions, PostgresAddress, Reader, Store, StoreError, open,
};

use crate::{
    backend::{Backend as _, Postgres},
    conformance::fsck_findings,
    history::{Commit, History},
    world::World,
};

/// Only a broken store gets there.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// The server does not get the message, and sees the connection end.
    Before,
    /// The server gets the message and deals with it, but its answer does not arrive.
    After,
    /// The server gets the message, and does not see that nobody listens any more.
    Unnoticed,
}

#[derive(Default)]
struct Plan {
    /// Messages of clients seen so far.
    seen: usize,
    cut: Option<(When, How)>,
    /// Connections of which the server does not know that they are dead.
    stranded: Vec<TcpStream>,
}

#[derive(Clone, Copy)]
enum When {
    /// At the message with this number, from 0.
    Number(usize),
    /// At the next message that asks for a commit.
    Commit,
}

/// Passes messages on, up to a point.
struct Proxy {
    port: u16,
    plan: Arc<Mutex<Plan>>,
}

impl Proxy {
    fn new(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let plan = Arc::new(Mutex::new(Plan::default()));
        let shared = plan.clone();
        // It ends with the process of this test.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let plan = shared.clone();
                let server = TcpStream::connect(("127.0.0.1", target)).unwrap();
                std::thread::spawn(move || pass(client.unwrap(), server, &plan));
            }
        });
        Self { port, plan }
    }

    fn plan(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts once, from now on.
    fn cut(&self, when: When, how: How) {
        *self.plan() = Plan {
            cut: Some((when, how)),
            ..Plan::default()
        };
    }

    /// Lets the server notice what it had not, and forgets the plan; whether the cut was made.
    fn end(&self) -> bool {
        self.notice();
        std::mem::take(&mut *self.plan()).cut.is_none()
    }

    fn notice(&self) {
        for server in self.plan().stranded.drain(..) {
            // Gone already is as good.
            let _ = server.shutdown(Shutdown::Both);
        }
    }
}

/// One message of a client: the first has no type.
fn message(client: &mut TcpStream, first: bool) -> Option<Vec<u8>> {
    let mut message = vec![0; if first { 4 } else { 5 }];
    client.read_exact(&mut message).ok()?;
    let head = message.len();
    let length = u32::from_be_bytes(message[head - 4..].try_into().unwrap()) as usize;
    message.resize(head - 4 + length, 0);
    client.read_exact(&mut message[head..]).ok()?;
    Some(message)
}

fn pass(mut client: TcpStream, mut server: TcpStream, plan: &Mutex<Plan>) {
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let mute = Arc::new(AtomicBool::new(false));
    let muted = mute.clone();
    let answers = std::thread::spawn(move || {
        // Read to the end, whether anybody listens or not: what is not read would be taken for a broken connection.
        let mut buffer = [0; 16 * 1024];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            if !muted.load(Ordering::SeqCst) {
                let _ = to.write_all(&buffer[..n]);
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
    let mut first = true;
    while let Some(message) = message(&mut client, first) {
        first = false;
        let cut = {
            let mut plan = plan.lock().unwrap_or_else(PoisonError::into_inner);
            let number = plan.seen;
            plan.seen += 1;
            match plan.cut {
                Some((When::Number(at), how)) if at == number => {
                    plan.cut = None;
                    Some(how)
                }
                Some((When::Commit, how))
                    if message.starts_with(b"Q") && message[5..].starts_with(b"commit") =>
                {
                    plan.cut = None;
                    Some(how)
                }
                _ => None,
            }
        };
        match cut {
            None => {
                if server.write_all(&message).is_err() {
                    break;
                }
                continue;
            }
            Some(How::Before) => {}
            // Its answers go nowhere. The client hears of the end when the server has dealt with the message, lest it has the
            // server's process ended before.
            Some(How::After) => {
                mute.store(true, Ordering::SeqCst);
                let _ = server.write_all(&message);
            }
            Some(How::Unnoticed) => {
                // The client may ask to have the server told as soon as it sees the end.
                let mut plan = plan.lock().unwrap_or_else(PoisonError::into_inner);
                let _ = client.shutdown(Shutdown::Write);
                let _ = server.write_all(&message);
                plan.stranded.push(server);
                let _ = client.shutdown(Shutdown::Both);
                return;
            }
        }
        break;
    }
    // The server sees the end behind the last message, and has dealt with all of them when it ends the connection too.
    let _ = server.shutdown(Shutdown::Write);
    let _ = answers.join();
    let _ = client.shutdown(Shutdown::Both);
}

struct Story {
    postgres: Postgres,
    proxy: Proxy,
    history: History,
    world: World,
}

impl Story {
    fn new(seed: u64) -> Self {
        let mut postgres = Postgres::new();
        drop(postgres.open());
        let url = postgres.url();
        let port = url.rsplit_once(':').unwrap().1.split_once('/').unwrap().0;
        Self {
            proxy: Proxy::new(port.parse().unwrap()),
            postgres,
            history: History::new(seed),
            world: World::of(&[]),
        }
    }

    fn database(&self) -> Database {
        let url = self.postgres.url();
        let (before, rest) = url.rsplit_once(':').unwrap();
        let (_, name) = rest.split_once('/').unwrap();
        let address = PostgresAddress::new(&format!("{before}:{}/{name}", self.proxy.port), None).unwrap();
        Database::Postgres(Box::new(address))
    }

    /// As after a restart of the master.
    fn open(&self) -> (Box<dyn Store>, Reader) {
        let database = self.database();
        until(|| match open(&database, OpenOptions::default()) {
            Ok(opened) => Some(opened),
            Err(StoreError::Unreachable { .. }) => {
                // A server finds out by itself that nobody is there; here it is told.
                self.proxy.notice();
                None
            }
            Err(error) => panic!("{error:?}"),
        })
    }

    fn load(&self, store: &mut dyn Store) {
        let loaded = until(|| match store.load() {
            Ok(loaded) => Some(loaded),
            Err(StoreError::Unreachable { .. }) => None,
            Err(error) => panic!("{error:?}"),
        });
        let expected = self.world.snapshot();
        assert!(
            loaded == expected,
            "{}",
            ironmaster_engine::snapshot_difference(&loaded, &expected)
        );
    }

    /// Commits as the master does.
    fn commit(&mut self, store: &mut dyn Store, id: &mut u64, commit: &Commit) {
        until(|| {
            *id += 1;
            let batch = Batch {
                id: *id,
                events: &commit.events,
                counters: &commit.counters,
                meta: &[],
            };
            match store.commit(&batch) {
                Ok(()) => return Some(()),
                Err(CommitError::Unreachable { .. }) => {}
                Err(CommitError::Unknown { .. }) => {
                    let committed = until(|| match store.committed(*id) {
                        Ok(committed) => Some(committed),
                        Err(StoreError::Unreachable { .. }) => None,
                        Err(error) => panic!("{error:?}"),
                    });
                    if committed {
                        return Some(());
                    }
                }
                Err(error) => panic!("{error:?}"),
            }
            self.load(store);
            None
        });
        self.world.commit(commit);
    }

    fn small(store: &mut dyn Store) {
        until(|| match store.set_meta("poller", "far") {
            Ok(()) => Some(()),
            Err(CommitError::Unreachable { .. }) => None,
            Err(error) => panic!("{error:?}"),
        });
    }

    /// A start and some commits.
    fn day(&mut self) {
        let (mut store, reader) = self.open();
        self.load(&mut *store);
        let mut id = 0;
        for size in [1, 4] {
            let commit = self.history.commit(size);
            self.commit(&mut *store, &mut id, &commit);
        }
        Self::small(&mut *store);
        self.load(&mut *store);
        let seq = until(|| match reader.last_seq() {
            Ok(seq) => Some(seq),
            Err(StoreError::Unreachable { .. }) => None,
            Err(error) => panic!("{error:?}"),
        });
        assert_eq!(seq, self.world.events.len() as u64);
    }

    fn check(&mut self) {
        let (mut store, reader) = self.postgres.open();
        self.load(&mut *store);
        assert_eq!(fsck_findings(&reader), Vec::<String>::new());
    }
}

fn until<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(began.elapsed() < PATIENCE, "it does not heal");
    }
}

/// The messages of a day, from the first of its connections to the last: every fifth, each way to cut another fifth of them, or
/// all of them (`IRONMASTER_CUT_STEP=1`, as `make soak` has it).
fn cut_at_each_message(how: How, first: usize) {
    let step = std::env::var("IRONMASTER_CUT_STEP")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(5);
    let mut story = Story::new(33);
    let mut number = first.min(step - 1);
    let mut played = 0;
    loop {
        story.proxy.cut(When::Number(number), how);
        story.day();
        let made = story.proxy.end();
        if !made {
            assert!(number > 100, "only {number} messages");
            break;
        }
        played += 1;
        if number % 20 < step {
            story.check();
        }
        number += step;
    }
    story.check();
    println!("cuts: {played} histories checked (PostgreSQL, {how:?})");
}

#[test]
fn nothing_is_lost_where_a_message_does_not_arrive() {
    cut_at_each_message(How::Before, 0);
}

#[test]
fn nothing_is_lost_where_an_answer_does_not_arrive() {
    cut_at_each_message(How::After, 1);
}

#[test]
fn nothing_is_lost_where_the_server_does_not_notice() {
    cut_at_each_message(How::Unnoticed, 3);
}

/// Lost in the commit: whether it has happened is looked up, and known.
#[test]
fn a_commit_whose_answer_is_lost_is_looked_up() {
    for (how, expected) in [(How::Before, false), (How::After, true), (How::Unnoticed, true)] {
        let mut story = Story::new(34);
        let (mut store, _reader) = story.open();
        let first = story.history.commit(3);
        let mut id = 0;
        story.commit(&mut *store, &mut id, &first);
        story.proxy.cut(When::Commit, how);
        let second = story.history.commit(3);
        let batch = Batch {
            id: 2,
            events: &second.events,
            counters: &second.counters,
            meta: &[],
        };
        let error = store.commit(&batch).unwrap_err();
        assert!(matches!(error, CommitError::Unknown { .. }), "{how:?}: {error:?}");
        let committed = store.committed(2).unwrap();
        // What the server does not notice it may also have been kept from.
        if how != How::Unnoticed {
            assert_eq!(committed, expected, "{how:?}");
        }
        if committed {
            story.world.commit(&second);
        }
        story.load(&mut *store);
        // It goes on where it is.
        id = 2;
        if !committed {
            story.commit(&mut *store, &mut id, &second);
        }
        let third = story.history.commit(3);
        story.commit(&mut *store, &mut id, &third);
        drop(store);
        story.check();
    }
}

/// A store that was replaced while it was cut off does not write any more.
#[test]
fn a_writer_that_was_replaced_is_told() {
    let mut story = Story::new(35);
    let (mut store, _reader) = story.open();
    let first = story.history.commit(3);
    let mut id = 0;
    story.commit(&mut *store, &mut id, &first);
    story.proxy.cut(When::Commit, How::Before);
    let second = story.history.commit(3);
    let batch = Batch {
        id: 2,
        events: &second.events,
        counters: &second.counters,
        meta: &[],
    };
    let error = store.commit(&batch).unwrap_err();
    assert!(matches!(error, CommitError::Unknown { .. }), "{error:?}");
    // Another master has come and gone.
    drop(story.postgres.open());
    let error = store.committed(2).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error:?}");
    let error = store.commit(&batch).unwrap_err();
    assert!(matches!(error, CommitError::Fatal { .. }), "{error:?}");
}
