//! What starts, or goes on, because a buildset is over.
//!
//! Whoever completes a buildset only notes it; it is followed up here, one after another, before the decision ends. So a long
//! chain of things that end each other takes no depth of calls, and all of it is one transaction: no crash comes between an end and
//! what follows from it.

use std::sync::Arc;

use ironmaster_model::{BuildsetRecord, Cause, ChangeId, Results, SchedulerKind, SourceStampId};
use serde_json::Value;

use super::{
    launch::{Launch, launch},
    pipelines, trigger,
};
use crate::{State, Tx, codebases, schedulers};

/// A buildset that is over, as it was at its end.
#[derive(Debug)]
pub(crate) struct Completed {
    pub(crate) buildset: BuildsetRecord,
    pub(crate) results: Results,
    /// Why it ended so, where there is more to say of one of its requests.
    pub(crate) cause: Option<Cause>,
    /// What the build that ended last has checked out (`got_revision`): a text, or an object of them by code base.
    pub(crate) built: Option<Value>,
}

/// What a scheduler had started and is over: a buildset, or a run of a pipeline.
pub(super) struct Ended {
    pub(super) what: String,
    pub(super) scheduler: String,
    pub(super) sourcestamps: Vec<SourceStampId>,
    pub(super) changes: Vec<ChangeId>,
    /// What these touch, where that is known.
    pub(super) files: Option<Vec<String>>,
    pub(super) results: Results,
}

impl State {
    /// Whether anything may follow from this buildset's end.
    pub(crate) fn is_followed(&self, buildset: &BuildsetRecord) -> bool {
        self.runs.buildsets.contains_key(&buildset.id)
            || self.dependents.contains_key(&buildset.scheduler)
            || self.waiters.contains_key(&buildset.id)
    }
}

/// Follows up everything that has ended since.
pub(super) fn follow(tx: &mut Tx<'_>) {
    loop {
        let Some(completed) = tx.next_completed() else {
            pipelines::follow(tx);
            if tx.has_completed() {
                continue;
            }
            return;
        };
        // What follows from a job's buildset is the pipeline's affair; its scheduler has started the run.
        pipelines::buildset_over(tx, &completed);
        if completed.buildset.job.is_none() {
            let sourcestamps = pinned(tx, &completed);
            dependents(
                tx,
                &Ended {
                    what: format!("buildset {}", completed.buildset.id),
                    scheduler: completed.buildset.scheduler.clone(),
                    sourcestamps,
                    changes: completed.buildset.changes.clone(),
                    // They were heard of long ago: their files are not at hand any more.
                    files: None,
                    results: completed.results,
                },
            );
        }
        trigger::child_is_over(tx, &completed);
    }
}

/// What dependent schedulers build: where the upstream was told to build the newest, it is what the newest was.
fn pinned(tx: &mut Tx<'_>, completed: &Completed) -> Vec<SourceStampId> {
    let given = &completed.buildset.sourcestamps;
    let (true, Some(built)) = (
        tx.state().dependents.contains_key(&completed.buildset.scheduler),
        &completed.built,
    ) else {
        return given.clone();
    };
    codebases::pinned(tx, given, |codebase| codebases::got(built, codebase))
}

/// Dependent schedulers build the same source, once what they depend on has succeeded.
pub(super) fn dependents(tx: &mut Tx<'_>, upstream: &Ended) {
    if !matches!(upstream.results, Results::Success | Results::Warnings) {
        return;
    }
    let plan = Arc::clone(tx.state().plan());
    let names = tx
        .state()
        .dependents
        .get(&upstream.scheduler)
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
        let sourcestamps = codebases::aggregate(tx, definition, upstream.sourcestamps.clone());
        launch(
            tx,
            definition,
            Launch {
                reason: format!(
                    "scheduler '{name}' follows '{}', whose {} has succeeded",
                    upstream.scheduler, upstream.what
                ),
                sourcestamps,
                changes: upstream.changes.clone(),
                files: upstream.files.clone(),
                properties: schedulers::base_properties(definition),
                priority: None,
                builders: None,
                parent: None,
                external_id: None,
            },
        );
    }
}
