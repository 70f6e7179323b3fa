//! What is due when. Follows from the rows; kept in order so that the next deadline is one look away.

use std::collections::{BTreeMap, BTreeSet};

use ironmaster_model::{JobId, RunId, SchedulerId, Timestamp, WorkerId};

/// Whose deadline it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// A scheduler's tree-stable timer or period.
    Scheduler(SchedulerId),
    /// The end of the lease of a worker that has gone away with builds.
    Lease(WorkerId),
    /// The begin or the end of a worker's time off.
    Downtime(WorkerId),
    /// When a worker that is away counts as missing.
    Missing(WorkerId),
    /// The end of a run that may not take longer.
    Run(RunId),
    /// The end of a job's waiting or running.
    Job(JobId),
}

/// See the [module](self).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deadlines {
    order: BTreeSet<(Timestamp, Due)>,
    by_owner: BTreeMap<Due, Timestamp>,
}

impl Deadlines {
    /// Sets or clears the one deadline that each owner has: its earliest.
    pub(crate) fn set(&mut self, due: Due, at: Option<Timestamp>) {
        let old = match at {
            Some(at) => self.by_owner.insert(due, at),
            None => self.by_owner.remove(&due),
        };
        if old == at {
            return;
        }
        if let Some(old) = old {
            self.order.remove(&(old, due));
        }
        if let Some(at) = at {
            self.order.insert((at, due));
        }
    }

    /// The earliest.
    pub(crate) fn next(&self) -> Option<(Timestamp, Due)> {
        self.order.first().copied()
    }
}
