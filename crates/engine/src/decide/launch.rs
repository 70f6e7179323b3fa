//! What a scheduler starts, whatever has set it off: the one way from a scheduler to a buildset or a pipeline's run.

use std::{collections::BTreeMap, sync::Arc};

use ironmaster_model::{
    BuildId, BuildRequestId, BuilderId, BuildsetId, ChangeId, Properties, RunId, SchedulerDef, SchedulerKind,
    SourceStampId,
};

use super::{
    NewBuildset, buildset,
    pipelines::{self, StartRun},
};
use crate::{Tx, schedulers};

/// What is to be built, and why.
pub(crate) struct Launch {
    pub(crate) reason: String,
    pub(crate) sourcestamps: Vec<SourceStampId>,
    pub(crate) changes: Vec<ChangeId>,
    /// What the changes touch, where they may not be at hand any more.
    pub(crate) files: Option<Vec<String>>,
    /// All of them, the scheduler's own ([`base_properties`](schedulers::base_properties)) included: what goes over what
    /// differs between the kinds.
    pub(crate) properties: Properties,
    /// None = the scheduler's.
    pub(crate) priority: Option<i64>,
    /// Those of the scheduler's builders that are asked; none = all.
    pub(crate) builders: Option<Vec<BuilderId>>,
    pub(crate) parent: Option<Parent>,
    /// What the caller calls the buildset; a run of a pipeline has no such name.
    pub(crate) external_id: Option<String>,
}

/// The build that asks, if one does.
#[derive(Clone)]
pub(crate) struct Parent {
    pub(crate) build: BuildId,
    /// How it is related, for people.
    pub(crate) relationship: String,
    /// Whether it waits for the end.
    pub(crate) waits: bool,
}

/// What was started.
pub(crate) enum Launched {
    /// A buildset with its requests.
    Buildset {
        buildset: BuildsetId,
        requests: BTreeMap<BuilderId, BuildRequestId>,
    },
    /// A run of a pipeline.
    Run(RunId),
}

/// Starts what a scheduler starts: its builders, or its pipeline. None if it has no builder that is still there.
pub(crate) fn launch(tx: &mut Tx<'_>, scheduler: &SchedulerDef, launch: Launch) -> Option<Launched> {
    if let Some(pipeline) = &scheduler.pipeline {
        let plan = Arc::clone(tx.state().plan());
        let definition = plan.pipelines.get(pipeline)?;
        let files = match scheduler.kind {
            // Not to depend on whether they are still at hand.
            SchedulerKind::Dependent { .. } => launch.files,
            _ => pipelines::files_of(tx.state(), &launch.changes),
        };
        let run = pipelines::start(
            tx,
            definition,
            StartRun {
                reason: launch.reason,
                scheduler: scheduler.name.clone(),
                sourcestamps: launch.sourcestamps,
                changes: launch.changes,
                files,
                properties: launch.properties,
                priority: launch.priority.unwrap_or(scheduler.priority),
                parent: None,
                depth: 0,
                trusted: true,
                source: None,
            },
        );
        return Some(Launched::Run(run));
    }
    let builders = launch
        .builders
        .unwrap_or_else(|| schedulers::builders(tx.state(), scheduler));
    if builders.is_empty() {
        return None;
    }
    let (buildset, requests) = buildset::create(
        tx,
        NewBuildset {
            reason: launch.reason,
            scheduler: scheduler.name.clone(),
            sourcestamps: launch.sourcestamps,
            changes: launch.changes,
            properties: launch.properties,
            builders,
            priority: launch.priority.unwrap_or(scheduler.priority),
            rebuilt_build: None,
            parent: launch.parent,
            job: None,
            external_id: launch.external_id,
        },
    );
    Some(Launched::Buildset { buildset, requests })
}
