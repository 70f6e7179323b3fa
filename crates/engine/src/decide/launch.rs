//! What a scheduler starts, whatever has set it off: the one way from a scheduler to a buildset.

use std::collections::BTreeMap;

use ironmaster_model::{
    BuildId, BuildRequestId, BuilderId, BuildsetId, ChangeId, Properties, SchedulerDef, SourceStampId,
};

use super::{NewBuildset, buildset};
use crate::{Tx, schedulers};

/// What is to be built, and why.
pub(crate) struct Launch {
    pub(crate) reason: String,
    pub(crate) sourcestamps: Vec<SourceStampId>,
    pub(crate) changes: Vec<ChangeId>,
    /// All of them, the scheduler's own ([`base_properties`](schedulers::base_properties)) included: what goes over what
    /// differs between the kinds.
    pub(crate) properties: Properties,
    /// None = the scheduler's.
    pub(crate) priority: Option<i64>,
    /// Those of the scheduler's builders that are asked; none = all.
    pub(crate) builders: Option<Vec<BuilderId>>,
    pub(crate) parent: Option<Parent>,
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
pub(crate) struct Launched {
    pub(crate) buildset: BuildsetId,
    pub(crate) requests: BTreeMap<BuilderId, BuildRequestId>,
}

/// Starts what a scheduler starts. None if it has no builder that is still there.
pub(crate) fn launch(tx: &mut Tx<'_>, scheduler: &SchedulerDef, launch: Launch) -> Option<Launched> {
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
        },
    );
    Some(Launched { buildset, requests })
}
