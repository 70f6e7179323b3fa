//! What starts, or goes on, because a buildset is over.
//!
//! Whoever completes a buildset only notes it; it is followed up here, one after another, before the decision ends. So a long
//! chain of things that end each other takes no depth of calls, and all of it is one transaction: no crash comes between an end and
//! what follows from it.

use std::sync::Arc;

use ironmaster_model::{BuildsetRecord, Results, SchedulerKind};

use super::{
    launch::{Launch, launch},
    trigger,
};
use crate::{State, Tx, codebases, schedulers};

/// A buildset that is over, as it was at its end.
#[derive(Debug)]
pub(crate) struct Completed {
    pub(crate) buildset: BuildsetRecord,
    pub(crate) results: Results,
}

impl State {
    /// Whether anything may follow from this buildset's end.
    pub(crate) fn is_followed(&self, buildset: &BuildsetRecord) -> bool {
        self.dependents.contains_key(&buildset.scheduler) || self.waiters.contains_key(&buildset.id)
    }
}

/// Follows up everything that has ended since.
pub(super) fn follow(tx: &mut Tx<'_>) {
    while let Some(completed) = tx.next_completed() {
        dependents(tx, &completed);
        trigger::child_is_over(tx, &completed);
    }
}

/// Dependent schedulers build the same source, once what they depend on has succeeded.
fn dependents(tx: &mut Tx<'_>, completed: &Completed) {
    if !matches!(completed.results, Results::Success | Results::Warnings) {
        return;
    }
    let plan = Arc::clone(tx.state().plan());
    let names = tx
        .state()
        .dependents
        .get(&completed.buildset.scheduler)
        .cloned()
        .unwrap_or_default();
    for name in names {
        let on = tx
            .state()
            .scheduler_by_name(&name)
            .is_some_and(|record| record.active && record.enabled);
        let Some(definition) = plan.schedulers.get(&name).filter(|_| on) else {
            continue;
        };
        debug_assert!(matches!(definition.kind, SchedulerKind::Dependent { .. }));
        let upstream = &completed.buildset;
        let sourcestamps = codebases::aggregate(tx, definition, upstream.sourcestamps.clone());
        launch(
            tx,
            definition,
            Launch {
                reason: format!(
                    "scheduler '{name}' follows '{}', whose buildset {} has succeeded",
                    upstream.scheduler, upstream.id
                ),
                sourcestamps,
                changes: upstream.changes.clone(),
                properties: schedulers::base_properties(definition),
                priority: None,
                builders: None,
                parent: None,
            },
        );
    }
}
