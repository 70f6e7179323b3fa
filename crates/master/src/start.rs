//! From a state directory to a running master.

use std::{
    collections::BTreeMap,
    fs::{File, TryLockError},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, RwLock},
    time::{Duration as StdDuration, Instant},
};

use ironmaster_engine::{Case, Input, State};
use ironmaster_logs::{LogError, LogStore};
use ironmaster_store::{Database, OpenOptions, Store, StoreError};
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    MasterOptions, Origin, asking,
    callbacks::Functions,
    choosing::Choosing,
    committer::{Committer, SubmitError, Thread, Unsettled},
    definitions::Definitions,
    feed::Feed,
    files::Files,
    handle::{Inner, Master},
    health::HealthCell,
    leave::Leaving,
    logs::LiveLogs,
    runner::Runner,
    session::{Refusals, Sessions},
    sources::Sources,
    workers::Workers,
};

/// Version of the state directory's layout; the database has its own.
const LAYOUT: &str = "1";

/// Why a master did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another master uses the directory.
    #[error(
        "another master{holder} uses the state directory {}; stop it first, or give this one a directory of its own",
        .dir.display()
    )]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// Who, if it is known (` (process 123)`).
        holder: String,
    },
    /// The directory was written by a program that lays it out in another way.
    #[error("the state directory {} has layout {found}, this program knows {LAYOUT}; start the program that wrote it", .dir.display())]
    Layout {
        /// The directory.
        dir: PathBuf,
        /// Its layout.
        found: String,
    },
    /// The directory cannot be used.
    #[error("cannot use the state directory {}", .dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log directory cannot be used.
    #[error(transparent)]
    Logs(#[from] LogError),
    /// The database contradicts itself.
    #[error("the database is damaged")]
    State(#[source] ironmaster_engine::LoadError),
    /// The first commits failed.
    #[error("the master cannot begin")]
    Begin(#[source] SubmitError),
}

/// Starts a master.
pub(crate) async fn start(options: MasterOptions) -> Result<Master, StartError> {
    let (dir, database) = (options.state_dir.clone(), options.database.clone());
    let opened = tokio::task::spawn_blocking(move || open(&dir, &database)).await;
    let Opened {
        lock,
        store,
        reader,
        state,
        logs,
    } = opened.expect("opening does not panic")?;

    let stop = CancellationToken::new();
    let (committer, requests) = Committer::channel(stop.clone());
    let tasks = TaskTracker::new();
    let workers = Arc::new(Workers::default());
    let live = Arc::new(LiveLogs::default());
    let health = Arc::new(HealthCell::default());
    let feed = Feed::new(state.seq());
    let runtime = tokio::runtime::Handle::current();
    let definitions = Arc::new(Notify::new());
    let files = Files::new(&options.state_dir);
    let runner = Arc::new(Runner {
        committer: committer.clone(),
        workers: workers.clone(),
        logs: logs.clone(),
        files: files.clone(),
        live: live.clone(),
        reader: reader.clone(),
        feed: feed.clone(),
        runtime: runtime.clone(),
        tasks: tasks.clone(),
        stop: stop.clone(),
        builds: Mutex::new(BTreeMap::new()),
        definitions: Arc::clone(&definitions),
    });
    let definitions = Arc::new(Definitions {
        committer: committer.clone(),
        config: options.config.clone(),
        dir: options.state_dir.join("definitions"),
        wake: definitions,
    });
    let (choosing, judging): (Arc<Notify>, Arc<Notify>) = (Arc::default(), Arc::default());
    let sources = Arc::new(Sources {
        committer: committer.clone(),
        reader: reader.clone(),
        dir: options.state_dir.join("pollers"),
        tasks: tasks.clone(),
        generation: Mutex::default(),
        refused: crate::jobdir::Refused::default(),
    });
    let sessions = Sessions {
        committer: committer.clone(),
        workers: workers.clone(),
        lease: options.lease.into(),
        heartbeat: options.heartbeat.into(),
        refusals: Refusals::default(),
        stop: stop.clone(),
    };

    // Before anything else is decided: whatever happens next finds the builds' tasks there.
    runner.resume(&state);
    let thread = Thread {
        counters: state.counters().clone(),
        state,
        store,
        feed: feed.clone(),
        runner,
        health: health.clone(),
        batch_id: 0,
        functions: Functions::default(),
        in_force: Arc::clone(committer.functions()),
        choosing: Arc::clone(&choosing),
        judging: Arc::clone(&judging),
        feed_events: options.feed_events,
        unsettled: Unsettled::Nothing,
        next_probe: (Instant::now(), StdDuration::ZERO),
    };
    let stopped = CancellationToken::new();
    let ended = stopped.clone();
    std::thread::Builder::new()
        .name("committer".into())
        .spawn(move || {
            thread.run(requests, &runtime);
            // The database is closed, and another master may have the directory.
            drop(lock);
            ended.cancel();
        })
        .map_err(|source| StartError::Directory {
            dir: options.state_dir.clone(),
            source,
        })?;

    let name = format!("{}:{}", hostname(), options.state_dir.display());
    let asking = committer.clone();
    let begin = Input::MasterStart {
        name,
        lease: options.patience(),
    };
    committer.submit(begin).await.map_err(StartError::Begin)?;
    let master = Master::new(Inner {
        committer,
        reader,
        feed,
        health,
        logs,
        files,
        live,
        workers,
        sessions,
        sources,
        plan: RwLock::new(options.plan.clone()),
        config: options.config,
        reloading: tokio::sync::Mutex::new(()),
        leaving: Leaving::default(),
        tasks,
        stop,
        stopped,
    });
    let origin = Origin::new("the program", "start");
    master
        .bring_into_force(options.plan, &options.files, origin)
        .await
        .map_err(StartError::Begin)?;
    master.spawn(definitions.run());
    master.spawn(asking::run::<Choosing>(asking.clone(), choosing));
    master.spawn(asking::run::<Case>(asking, judging));
    Ok(master)
}

struct Opened {
    lock: File,
    store: Box<dyn Store>,
    reader: ironmaster_store::Reader,
    state: State,
    logs: LogStore,
}

fn open(dir: &Path, database: &Database) -> Result<Opened, StartError> {
    let failed = |source| StartError::Directory {
        dir: dir.to_owned(),
        source,
    };
    std::fs::create_dir_all(dir).map_err(failed)?;
    let lock = lock(dir)?;
    let version = dir.join("VERSION");
    match std::fs::read_to_string(&version) {
        Ok(text) if text.trim() == LAYOUT => {}
        Ok(text) => {
            return Err(StartError::Layout {
                dir: dir.to_owned(),
                found: text.trim().to_owned(),
            });
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            std::fs::write(&version, format!("{LAYOUT}\n")).map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
    }
    let (mut store, reader) = ironmaster_store::open(database, OpenOptions::default())?;
    let state = State::load(store.load()?).map_err(StartError::State)?;
    let logs = LogStore::open(dir.join("logs"), ironmaster_logs::Options::default())?;
    Ok(Opened {
        lock,
        store,
        reader,
        state,
        logs,
    })
}

/// Takes the directory for this process. The kernel gives it back when the process ends, however it ends.
fn lock(dir: &Path) -> Result<File, StartError> {
    let failed = |source| StartError::Directory {
        dir: dir.to_owned(),
        source,
    };
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(dir.join("lock"))
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            let holder = holder.trim();
            let holder = if holder.is_empty() {
                String::new()
            } else {
                format!(" (process {holder})")
            };
            return Err(StartError::Locked {
                dir: dir.to_owned(),
                holder,
            });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0).map_err(failed)?;
    file.rewind().map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}

fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
