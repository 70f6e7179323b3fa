//! Workers connect, leave, are paused and told to finish.

use ironmaster_model::{Event, WorkerId, WorkerRecord};

use super::lifecycle;
use crate::{
    ConnectedWorker, Refusal, Reply, Tx,
    planted::{Bug, planted},
};

pub(super) fn connected(tx: &mut Tx<'_>, worker: ConnectedWorker) -> Result<Reply, Refusal> {
    let Some(record) = tx
        .state()
        .worker_by_name(&worker.name)
        .filter(|record| record.active)
    else {
        return Err(Refusal::NotFound {
            what: format!("worker \"{}\" in the configuration", worker.name),
        });
    };
    let id = record.id;
    let mut connection = worker.connection;
    connection.connected = true;
    let instance = connection.instance.clone();
    // Another process was started by somebody who wants it to work.
    let same = record
        .connection
        .as_ref()
        .is_some_and(|known| known.instance == instance);
    let (graceful, killed) = (same && record.graceful, same && record.killed);
    tx.emit(Event::WorkerConnected {
        worker: id,
        connection,
        info: worker.info,
        graceful,
        killed,
    });
    let reason = format!("worker \"{}\" was restarted", worker.name);
    if !planted(Bug::FencedKeepsBuilds) {
        lifecycle::lose_all_on(tx, id, Some(&instance), &reason);
    }
    dismiss_if_done(tx, id);
    Ok(Reply::Worker(id))
}

pub(super) fn disconnected(
    tx: &mut Tx<'_>,
    worker: WorkerId,
    instance: &str,
    reason: String,
) -> Result<Reply, Refusal> {
    let record = find(tx, worker)?;
    let current = record
        .connection
        .as_ref()
        .filter(|connection| connection.connected && connection.instance == instance);
    let Some(connection) = current else {
        // Late news of a process that another one has replaced.
        return Ok(Reply::Done);
    };
    let resumes = connection.resumes;
    let lost = format!(
        "the connection to worker \"{}\" ended, and it cannot resume commands: {reason}",
        record.name
    );
    tx.emit(Event::WorkerDisconnected { worker, reason });
    if !resumes {
        lifecycle::lose_all_on(tx, worker, None, &lost);
    }
    Ok(Reply::Done)
}

pub(super) fn pause(tx: &mut Tx<'_>, id: WorkerId, paused: bool, reason: String) -> Result<Reply, Refusal> {
    let mut worker = find(tx, id)?.clone();
    worker.paused = paused;
    worker.pause_reason = paused.then_some(reason);
    set_state(tx, worker);
    Ok(Reply::Done)
}

/// It is to end: when it is idle, or at once.
pub(super) fn stop(tx: &mut Tx<'_>, id: WorkerId, kill: bool) -> Result<Reply, Refusal> {
    let mut worker = find(tx, id)?.clone();
    worker.graceful = true;
    worker.killed |= kill;
    if set_state(tx, worker) {
        dismiss_if_done(tx, id);
    }
    Ok(Reply::Done)
}

/// A worker's time off begins or ends. The one that is due may have passed while no master ran.
pub(super) fn downtime_due(tx: &mut Tx<'_>, id: WorkerId) {
    let Some(mut worker) = tx.state().worker(id).cloned() else {
        return;
    };
    let definition = tx.state().plan().workers.get(&worker.name);
    worker.downtime = definition.and_then(|definition| definition.downtime_at(tx.now()));
    set_state(tx, worker);
}

/// States how a worker stands now, if that is something new.
fn set_state(tx: &mut Tx<'_>, worker: WorkerRecord) -> bool {
    let new = tx.state().worker(worker.id) != Some(&worker);
    if new {
        tx.emit(Event::WorkerStateChanged {
            worker: worker.id,
            paused: worker.paused,
            pause_reason: worker.pause_reason,
            graceful: worker.graceful,
            downtime: worker.downtime,
            killed: worker.killed,
        });
    }
    new
}

/// A build has ended on it. One that is to end at once was told so before.
pub(super) fn build_over(tx: &mut Tx<'_>, id: WorkerId) {
    if tx.state().worker(id).is_some_and(|worker| !worker.killed) {
        dismiss_if_done(tx, id);
    }
}

/// Tells a worker that is to end to do so, if it is there and nothing keeps it.
///
/// What it was told may be lost with a connection or with this master: it is told again when the same process connects.
fn dismiss_if_done(tx: &mut Tx<'_>, id: WorkerId) {
    let Some(worker) = tx.state().worker(id).filter(|worker| worker.graceful) else {
        return;
    };
    let Some(connection) = worker
        .connection
        .as_ref()
        .filter(|connection| connection.connected)
    else {
        return;
    };
    let reason = if worker.killed {
        "somebody told it to end at once"
    } else if tx.state().queue.builds_on(id).next().is_none() {
        "somebody told it to finish, and it is idle"
    } else {
        return;
    };
    let instance = connection.instance.clone();
    tx.emit(Event::WorkerDismissed {
        worker: id,
        instance,
        reason: reason.into(),
    });
}

/// A worker that has been away for longer than it may.
pub(super) fn missing(tx: &mut Tx<'_>, id: WorkerId) {
    let now = tx.now();
    let since = tx.state().worker(id).and_then(|worker| worker.disconnected_at);
    tx.emit(Event::WorkerMissing {
        worker: id,
        since: since.unwrap_or(now),
    });
}

fn find<'a>(tx: &'a Tx<'_>, id: WorkerId) -> Result<&'a WorkerRecord, Refusal> {
    tx.state().worker(id).ok_or_else(|| Refusal::NotFound {
        what: format!("worker {id}"),
    })
}
