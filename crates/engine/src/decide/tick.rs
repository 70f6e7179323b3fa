//! Time has passed.

use crate::{Reply, Tx, deadlines::Due, schedulers};

use super::{lifecycle, pipelines, worker};

pub(super) fn tick(tx: &mut Tx<'_>) -> Reply {
    while let Some((at, due)) = tx.state().deadlines.next()
        && at <= tx.now()
    {
        match due {
            Due::Scheduler(id) => schedulers::fire_due(tx, id),
            Due::Lease(id) => {
                let name = tx
                    .state()
                    .worker(id)
                    .map_or_else(String::new, |worker| worker.name.clone());
                let reason = format!("worker \"{name}\" went away and did not come back in time");
                lifecycle::lose_all_on(tx, id, None, &reason);
            }
            Due::Downtime(id) => worker::downtime_due(tx, id),
            Due::Missing(id) => worker::missing(tx, id),
            Due::Run(id) => pipelines::run_due(tx, id),
            Due::Job(id) => pipelines::job_due(tx, id),
        }
        // Each deadline that was met has moved or is gone; anything else would turn here for ever.
        assert_ne!(
            tx.state().deadlines.next(),
            Some((at, due)),
            "a deadline was met and did not move"
        );
    }
    tx.end_silences();
    Reply::Done
}
