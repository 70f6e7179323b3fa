//! Masters come and go.

use ironmaster_model::{Counter, Duration, Event, MasterId, MasterRecord};

use super::{lifecycle, pipelines};
use crate::{Refusal, Reply, Tx};

pub(super) fn start(tx: &mut Tx<'_>, name: String, lease: Duration) -> Reply {
    // The database has one decider at a time: whoever else still counts as running has died.
    let dead: Vec<MasterRecord> = tx
        .state()
        .masters
        .values()
        .filter(|master| master.active && master.name != name)
        .cloned()
        .collect();
    for master in dead {
        tx.emit(Event::MasterStopped {
            master: MasterRecord {
                active: false,
                ..master
            },
        });
    }
    let id = tx
        .state()
        .names
        .masters
        .get(&name)
        .copied()
        .unwrap_or_else(|| MasterId(tx.next_id(Counter::Master)));
    let last_active = tx.now();
    tx.emit(Event::MasterStarted {
        master: MasterRecord {
            id,
            name,
            active: true,
            last_active,
            lease,
            draining: false,
        },
    });
    let workers: Vec<_> = tx
        .state()
        .workers()
        .filter(|worker| {
            worker
                .connection
                .as_ref()
                .is_some_and(|connection| !connection.resumes)
        })
        .map(|worker| (worker.id, worker.name.clone()))
        .collect();
    for (worker, name) in workers {
        let reason = format!("the master restarted, and worker \"{name}\" cannot resume commands");
        lifecycle::lose_all_on(tx, worker, None, &reason);
    }
    pipelines::ask_again(tx);
    Reply::Done
}

pub(super) fn drain(tx: &mut Tx<'_>, draining: bool) -> Result<Reply, Refusal> {
    let Some(master) = tx.state().master().cloned() else {
        return Err(Refusal::NotLive {
            what: "the master".into(),
        });
    };
    if master.draining != draining {
        tx.emit(Event::MasterSet {
            master: MasterRecord { draining, ..master },
        });
    }
    Ok(Reply::Done)
}

pub(super) fn stop(tx: &mut Tx<'_>) -> Reply {
    if let Some(master) = tx.state().master().cloned() {
        let last_active = tx.now();
        tx.emit(Event::MasterStopped {
            master: MasterRecord {
                active: false,
                last_active,
                ..master
            },
        });
    }
    Reply::Done
}
