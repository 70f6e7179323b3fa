//! The life of a worker of a Buildbot master.

use std::{
    cell::Cell,
    path::Path,
    rc::Rc,
    time::{Duration, SystemTime},
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Notify, watch},
    task::LocalSet,
    time::sleep,
};

use super::{
    AllowShutdown, Place, Protocol, Settings,
    session::{Ended, Session},
    transport::{NoConnection, Transport},
};
use crate::{
    Backoff, WorkerError,
    ground::Ground,
    procs,
    status::{self, Connection},
};

/// The shortest pause between attempts to connect.
const SHORTEST: Duration = Duration::from_secs(1);
/// How often the file that asks for a shutdown is looked for.
const LOOK: Duration = Duration::from_secs(5);

/// Runs the worker until it is stopped by SIGTERM or SIGINT, or by its master, or until it has tried in vain for as often as it may.
/// Call it on the program's main thread: commands die with the thread that started them.
pub fn run(settings: &Settings) -> Result<(), WorkerError> {
    if settings.protocol == Protocol::Msgpack && settings.name.contains(':') {
        return Err(WorkerError::Address {
            address: settings.name.clone(),
            problem: "over msgpack a worker's name may not have a colon".into(),
        });
    }
    if let Some(tls) = &settings.tls {
        tls.check(&settings.host)?;
    }
    if let Some(umask) = settings.umask {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask & 0o777));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(16)
        .build()
        .map_err(WorkerError::Runtime)?;
    let result = LocalSet::new().block_on(&runtime, work(settings));
    // A thread that is removing a large folder must not hold up the end.
    runtime.shutdown_background();
    result
}

async fn work(settings: &Settings) -> Result<(), WorkerError> {
    refuse_beside_stock(&settings.basedir)?;
    let (ground, guard) = Ground::take(&settings.basedir, &settings.guard)?;
    let place = Rc::new(Place::new(ground.base.path().to_owned(), ground.registry.clone()));
    let (stop, mut stopped) = watch::channel(0_u8);
    let mut terminate = signal(SignalKind::terminate()).map_err(WorkerError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(WorkerError::Runtime)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(WorkerError::Runtime)?;
    let wishes = Notify::new();
    let watch_signals = async {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv() => {
                    if settings.allow_shutdown == Some(AllowShutdown::Signal) {
                        wishes.notify_one();
                    } else {
                        tracing::info!("SIGHUP is ignored, as allow_shutdown is not 'signal'");
                    }
                    continue;
                }
            }
            stop.send_modify(|level| *level = level.saturating_add(1));
            if *stop.borrow() == 1 {
                tracing::info!("stopping; a second signal stops at once");
            }
        }
    };
    let state = Connection::new();
    let connections = connections(settings, &place, stopped.clone(), &wishes, &state);
    let (folder, master) = (ground.base.state(), master_of(settings));
    let tell = status::tell(&folder, &settings.name, &master, &state, || place.statuses());
    tokio::select! {
        result = connections => result,
        // The guard kills what still runs.
        _ = stopped.wait_for(|level| *level > 1) => Ok(()),
        () = watch_signals => Ok(()),
        () = watch_file(settings, &wishes) => Ok(()),
        () = ground.keep_guard(guard) => Ok(()),
        () = tell => Ok(()),
    }
}

fn master_of(settings: &Settings) -> String {
    format!("{}:{}", settings.host, settings.port)
}

/// A stock worker in the same folder would fight over the builders' folders, and over the name.
fn refuse_beside_stock(basedir: &Path) -> Result<(), WorkerError> {
    let path = basedir.join("twistd.pid");
    let Ok(text) = std::fs::read_to_string(&path) else {
        return Ok(());
    };
    let alive = text.trim().parse().ok().and_then(procs::Process::read);
    // A number is given again: what runs under it may be something else by now.
    let is_stock = alive.is_some_and(|process| {
        process.is_alive()
            && std::fs::read(format!("/proc/{}/cmdline", process.pid)).is_ok_and(|line| {
                let line = String::from_utf8_lossy(&line);
                line.contains("buildbot") || line.contains("twistd")
            })
    });
    if is_stock {
        return Err(WorkerError::InUse {
            path: basedir.to_owned(),
            holder: format!(
                "{}, a stock worker: `buildbot-worker stop {}`",
                text.trim(),
                basedir.display()
            ),
        });
    }
    Ok(())
}

/// Notices when somebody touches the file that asks for a shutdown.
async fn watch_file(settings: &Settings, wishes: &Notify) {
    if settings.allow_shutdown != Some(AllowShutdown::File) {
        return std::future::pending().await;
    }
    let path = settings.basedir.join("shutdown.stamp");
    let touched = || {
        path.metadata()
            .and_then(|found| found.modified())
            .unwrap_or(SystemTime::UNIX_EPOCH)
    };
    let mut last = touched();
    loop {
        sleep(LOOK).await;
        let now = touched();
        if now > last {
            wishes.notify_one();
        }
        last = now;
    }
}

async fn connections(
    settings: &Settings,
    place: &Rc<Place>,
    mut stopped: watch::Receiver<u8>,
    wishes: &Notify,
    state: &Connection,
) -> Result<(), WorkerError> {
    let master = master_of(settings);
    let mut backoff = Backoff::new(SHORTEST, settings.max_delay.max(SHORTEST));
    let mut failed = 0;
    loop {
        let attempt = tokio::select! {
            attempt = Transport::connect(settings) => attempt,
            () = wishes.notified() => {
                unheard();
                return Ok(());
            }
            _ = stopped.wait_for(|level| *level > 0) => return Ok(()),
        };
        failed += 1;
        let refusal = match attempt {
            Err(NoConnection::Failed(reason)) => {
                state.change(&format!("cannot reach the master at {master}: {reason}"), false);
                None
            }
            Err(NoConnection::Unauthorized) => Some((true, String::new())),
            Ok(transport) => {
                let attached = Cell::new(false);
                let on_attached = || {
                    attached.set(true);
                    let text = format!(
                        "connected to the Buildbot master at {master} as {}",
                        settings.name
                    );
                    state.change(&text, true);
                };
                let session = Session::new(place, settings, transport, &on_attached);
                let ended = session.run(&mut stopped, wishes).await;
                if attached.get() {
                    failed = 0;
                    backoff.reset();
                }
                let killed = place.running();
                if killed > 0 {
                    tracing::warn!("ending {killed} commands that were started on that connection");
                }
                // Before another connection: its builds use the same folders.
                place.idle().await;
                match ended {
                    Ended::Stopped => return Ok(()),
                    Ended::Refused { unauthorized, reason } => Some((unauthorized, reason)),
                    Ended::Lost(reason) => {
                        state.change(&format!("lost the master: {reason}; connecting again"), false);
                        None
                    }
                }
            }
        };
        match refusal {
            None => {}
            Some((true, _)) => {
                let text = format!(
                    "the master at {master} refuses the name or the password of worker {:?}; compare them with the \
                     master's configuration; trying again",
                    settings.name
                );
                state.change(&text, false);
            }
            Some((false, reason)) => {
                let text = format!("the master at {master} refuses this worker: {reason}; trying again");
                state.change(&text, false);
            }
        }
        if let Some(most) = settings.max_retries
            && failed > most
        {
            return Err(WorkerError::Refused {
                reason: format!("gave up after {failed} attempts: {}", state.text()),
            });
        }
        tokio::select! {
            () = sleep(backoff.pause()) => {}
            () = wishes.notified() => {
                unheard();
                return Ok(());
            }
            _ = stopped.wait_for(|level| *level > 0) => return Ok(()),
        }
    }
}

/// Somebody wants a shutdown, and there is no master who could be asked for it. Nothing runs then.
fn unheard() {
    tracing::info!("asked to shut down while there is no connection to the master: stopping");
}
