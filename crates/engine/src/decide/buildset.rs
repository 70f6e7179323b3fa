//! Buildsets: a decision to build becomes one request for each builder. An older request that waits for the same
//! thing may be merged into the new one.

use std::collections::BTreeMap;

use ironmaster_model::{
    BuildId, BuildRequestId, BuildRequestRecord, BuilderId, BuildsetId, BuildsetRecord, Cause, ChangeId,
    CollapseRule, Counter, Event, JobId, NewSourceStamp, Properties, RequestPhase, Results, SourceStampId,
    SourceStampRecord, Timestamp,
};

use super::{launch::Parent, lifecycle};
use crate::{
    State, Tx,
    hash::Fnv,
    planted::{Bug, planted},
};

/// The largest priority that a property can say, and the smallest.
pub(super) const PRIORITY_MAX: i64 = 1_000_000;

/// What is to be built.
pub(crate) struct NewBuildset {
    pub(crate) reason: String,
    pub(crate) scheduler: String,
    pub(crate) sourcestamps: Vec<SourceStampId>,
    pub(crate) changes: Vec<ChangeId>,
    pub(crate) properties: Properties,
    pub(crate) builders: Vec<BuilderId>,
    pub(crate) priority: i64,
    pub(crate) rebuilt_build: Option<BuildId>,
    pub(crate) parent: Option<Parent>,
    /// The job of a pipeline's run, if it is one's: somebody waits for it then, as for one that a build waits for.
    pub(crate) job: Option<JobId>,
    pub(crate) external_id: Option<String>,
}

/// The stamp's id. Equal stamps share a row for as long as something active refers to it.
pub(crate) fn stamp(tx: &mut Tx<'_>, stamp: NewSourceStamp) -> SourceStampId {
    if let Some(id) = tx.state().stamps.find(&stamp) {
        return id;
    }
    let id = SourceStampId(tx.next_id(Counter::SourceStamp));
    let created_at = tx.now();
    tx.emit(Event::SourceStampAdded {
        sourcestamp: SourceStampRecord {
            id,
            stamp,
            created_at,
        },
    });
    id
}

/// Creates a buildset with its requests. `builders` is not empty.
pub(crate) fn create(tx: &mut Tx<'_>, new: NewBuildset) -> (BuildsetId, BTreeMap<BuilderId, BuildRequestId>) {
    let id = tx.next_buildset();
    let submitted_at = tx.now();
    let NewBuildset {
        reason,
        scheduler,
        sourcestamps,
        changes,
        properties,
        builders,
        priority,
        rebuilt_build,
        parent,
        job,
        external_id,
    } = new;
    let waited_for = job.is_some() || parent.as_ref().is_some_and(|parent| parent.waits);
    tx.emit(Event::BuildsetCreated {
        buildset: BuildsetRecord {
            id,
            external_id,
            reason,
            scheduler,
            submitted_at,
            sourcestamps,
            changes,
            properties,
            parent_build: parent.as_ref().map(|parent| parent.build),
            parent_relationship: parent.map(|parent| parent.relationship),
            rebuilt_build,
            job,
            complete_at: None,
            results: None,
        },
    });
    let mut requests = BTreeMap::new();
    for builder in builders {
        let request = queue(tx, id, builder, priority, submitted_at, waited_for);
        requests.insert(builder, request);
    }
    (id, requests)
}

/// Queues one request, and merges older ones of the builder into it where its rule says so. The new one takes over
/// the oldest place and the highest priority among them: merging makes nobody wait longer, and a steady flow of
/// changes cannot push a builder back for ever.
fn queue(
    tx: &mut Tx<'_>,
    buildset: BuildsetId,
    builder: BuilderId,
    priority: i64,
    submitted_at: Timestamp,
    waited_for: bool,
) -> BuildRequestId {
    let id = tx.next_request();
    let priority = tx.state().priority_of(buildset, builder).unwrap_or(priority);
    let mut request = BuildRequestRecord {
        id,
        buildset,
        builder,
        priority,
        by_hand: false,
        submitted_at,
        waited_for,
        attempts: 0,
        phase: RequestPhase::Queued,
    };
    let merged = tx.state().collapsible_with(&request);
    let state = tx.state();
    let older: Vec<_> = merged.iter().filter_map(|older| state.request(*older)).collect();
    request.take_over(&older);
    tx.emit(Event::RequestQueued { request });
    for older in &merged {
        lifecycle::complete(tx, *older, Results::Skipped, Some(Cause::Collapsed { into: id }));
    }
    if !merged.is_empty() && planted(Bug::CollapseDropsBoth) {
        lifecycle::complete(tx, id, Results::Skipped, Some(Cause::Collapsed { into: id }));
    }
    id
}

impl State {
    /// The priority that a property says, where the builder goes by one.
    fn priority_of(&self, buildset: BuildsetId, builder: BuilderId) -> Option<i64> {
        let name = &self.builders.get(&builder)?.name;
        let property = self.plan.builders.get(name)?.priority_property.as_ref()?;
        let value = self.buildset(buildset)?.properties.get(property)?;
        let number = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())?;
        Some(number.clamp(-PRIORITY_MAX, PRIORITY_MAX))
    }

    /// What requests must have in common to be merged, as a hash; none if this one never is.
    pub(crate) fn collapse_hash(&self, request: &BuildRequestRecord) -> Option<u64> {
        let name = &self.builders.get(&request.builder)?.name;
        let rule = self.plan.builders.get(name)?.collapse;
        if rule == CollapseRule::Never || request.waited_for {
            return None;
        }
        let buildset = self.buildset(request.buildset)?;
        let mut hash = Fnv::default();
        for stamp in self.stamps_of(buildset) {
            let stamp = &stamp.stamp;
            if stamp.patch.is_some() {
                return None;
            }
            hash.text(&stamp.codebase);
            if rule == CollapseRule::SameBranch {
                hash.option(stamp.branch.as_deref());
            }
            hash.text(&stamp.repository);
            hash.text(&stamp.project);
        }
        Some(hash.finish())
    }

    /// Queued requests that a new one replaces, oldest first. The new one is not queued yet.
    fn collapsible_with(&self, new: &BuildRequestRecord) -> Vec<BuildRequestId> {
        let (Some(hash), Some(known)) = (self.collapse_hash(new), self.collapsible.get(&new.builder)) else {
            return Vec::new();
        };
        known
            .range((hash, BuildRequestId(0))..=(hash, BuildRequestId(u64::MAX)))
            .map(|(_, id)| *id)
            .filter(|id| self.request(*id).is_some_and(|older| self.compatible(older, new)))
            .collect()
    }

    /// Whether building `new` also answers `older`: equal stamps apart from the revision, which may differ only
    /// where both came from changes (a revision that somebody asked for is built), and equal properties apart
    /// from those that schedulers and changes bring along.
    fn compatible(&self, older: &BuildRequestRecord, new: &BuildRequestRecord) -> bool {
        let (Some(a), Some(b)) = (self.buildset(older.buildset), self.buildset(new.buildset)) else {
            return false;
        };
        let name = self.builders.get(&new.builder).map(|builder| &builder.name);
        let rule = name
            .and_then(|name| self.plan.builders.get(name))
            .map(|def| def.collapse);
        let newest = rule == Some(CollapseRule::Newest);
        let by_changes = !a.changes.is_empty() && !b.changes.is_empty();
        let same_stamps = a.sourcestamps.len() == b.sourcestamps.len()
            && std::iter::zip(self.stamps_of(a), self.stamps_of(b)).all(|(a, b)| {
                let (a, b) = (&a.stamp, &b.stamp);
                a.codebase == b.codebase
                    && (newest || a.branch == b.branch)
                    && a.repository == b.repository
                    && a.project == b.project
                    && a.patch.is_none()
                    && b.patch.is_none()
                    && (newest || by_changes || a.revision == b.revision)
            });
        same_stamps && wished(&a.properties).eq(wished(&b.properties))
    }
}

/// Properties that make a difference between two wishes for the same thing.
fn wished(properties: &Properties) -> impl Iterator<Item = (&String, &ironmaster_model::Property)> {
    properties
        .0
        .iter()
        .filter(|(_, property)| !matches!(property.source.as_str(), "Scheduler" | "Change" | "Build"))
}
