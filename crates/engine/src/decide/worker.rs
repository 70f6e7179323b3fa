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
    tx.emit(Event::WorkerConnected {
        worker: id,
        connection,
        info: worker.info,
    });
    let reason = format!("worker \"{}\" was restarted", worker.name);
    if !planted(Bug::FencedKeepsBuilds) {
        lifecycle::lose_all_on(tx, id, Some(&instance), &reason);
    }
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
    let worker = find(tx, id)?;
    let pause_reason = paused.then_some(reason);
    if worker.paused != paused || worker.pause_reason != pause_reason {
        let (graceful, downtime) = (worker.graceful, worker.downtime);
        tx.emit(Event::WorkerStateChanged {
            worker: id,
            paused,
            pause_reason,
            graceful,
            downtime,
        });
    }
    Ok(Reply::Done)
}

pub(super) fn stop(tx: &mut Tx<'_>, id: WorkerId) -> Result<Reply, Refusal> {
    let worker = find(tx, id)?;
    if !worker.graceful {
        let (paused, pause_reason) = (worker.paused, worker.pause_reason.clone());
        let downtime = worker.downtime;
        tx.emit(Event::WorkerStateChanged {
            worker: id,
            paused,
            pause_reason,
            graceful: true,
            downtime,
        });
    }
    Ok(Reply::Done)
}

/// A worker's time off begins or ends. The one that is due may have passed while no master ran.
pub(super) fn downtime_due(tx: &mut Tx<'_>, id: WorkerId) {
    let Some(worker) = tx.state().worker(id) else {
        return;
    };
    let (paused, pause_reason, graceful) = (worker.paused, worker.pause_reason.clone(), worker.graceful);
    let definition = tx.state().plan().workers.get(&worker.name);
    let downtime = definition.and_then(|definition| definition.downtime_at(tx.now()));
    tx.emit(Event::WorkerStateChanged {
        worker: id,
        paused,
        pause_reason,
        graceful,
        downtime,
    });
}

fn find<'a>(tx: &'a Tx<'_>, id: WorkerId) -> Result<&'a WorkerRecord, Refusal> {
    tx.state().worker(id).ok_or_else(|| Refusal::NotFound {
        what: format!("worker {id}"),
    })
}
