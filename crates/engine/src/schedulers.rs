//! Schedulers turn changes and time into buildsets. Wishes of people are in [`force`](crate::decide::force_fields).
//!
//! A scheduler remembers, durably, the changes that it holds back, and when it fires next: see `timed.rs` for those. A change is held back
//! while its tree-stable timer runs, or, when it is unimportant, until an important one comes along.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ironmaster_model::{
    BuilderId, ChangeId, ChangeRecord, Duration, Event, Plan, Properties, SchedulerDef, SchedulerId,
    SchedulerKind, SchedulerRecord, Timestamp, WaitingChanges,
};

use crate::{
    NewChange, State, Tx, codebases,
    decide::launch::{Launch, launch},
    filter::Verdict,
    planted::{Bug, planted},
    timed,
};

/// How many changes one timer holds back. When that many wait, the timer does not wait any longer; among
/// unimportant ones the oldest go.
pub const WAITING_MAX: usize = 1000;

/// Which schedulers hear a change, and whether it is important to them.
pub(crate) fn judge(state: &State, change: &NewChange) -> Vec<(SchedulerId, bool)> {
    state
        .schedulers
        .values()
        .filter(|scheduler| scheduler.active && scheduler.enabled)
        .filter(|scheduler| {
            definition(state, &state.plan, scheduler.id)
                .is_some_and(|definition| codebases::concerns(definition, change))
        })
        .filter_map(|scheduler| match state.filters.judge(&scheduler.name, change) {
            Verdict::Ignored => None,
            Verdict::Unimportant => Some((scheduler.id, false)),
            Verdict::Important => Some((scheduler.id, true)),
        })
        .collect()
}

/// A scheduler hears a change.
pub(crate) fn hear(tx: &mut Tx<'_>, id: SchedulerId, change: ChangeId, important: bool) {
    let plan = Arc::clone(tx.state().plan());
    let state = tx.state();
    let (Some(record), Some(definition)) = (state.schedulers.get(&id), definition(state, &plan, id)) else {
        return;
    };
    let Some(change) = state.changes.get(&change).map(|held| &held.record) else {
        return;
    };
    let (tree_stable, key) = match &definition.kind {
        SchedulerKind::SingleBranch { tree_stable, .. } => (*tree_stable, String::new()),
        SchedulerKind::AnyBranch { tree_stable, .. } => (*tree_stable, branch_key(change)),
        kind if timed::wanted_changes(kind).is_some() => return keep(tx, id, change.id, important),
        SchedulerKind::Dependent { .. }
        | SchedulerKind::Periodic { .. }
        | SchedulerKind::Nightly(_)
        | SchedulerKind::NightlyTriggerable(_)
        | SchedulerKind::Triggerable { .. }
        | SchedulerKind::Force(_)
        | SchedulerKind::Try(_) => return,
    };
    let now = tx.now();
    let mut new = record.state.clone();
    let waiting = new.waiting.entry(key.clone()).or_default();
    waiting.changes.push(change.id);
    if important {
        let fire_at = now + tree_stable.unwrap_or(Duration::ZERO);
        waiting.fire_at = match waiting.fire_at {
            Some(first) if planted(Bug::TimerFiresEarly) => Some(first),
            _ => Some(fire_at),
        };
    }
    let full = waiting.changes.len() >= WAITING_MAX;
    if waiting.fire_at.is_some() && (full || (important && tree_stable.is_none())) {
        let changes = std::mem::take(&mut waiting.changes);
        new.waiting.remove(&key);
        build_changes(tx, definition, &changes, None);
        // Nothing was held back before, and nothing is now: there is nothing to remember.
        if tx
            .state()
            .schedulers
            .get(&id)
            .is_some_and(|record| record.state == new)
        {
            return;
        }
    } else if full {
        waiting.changes.remove(0);
    }
    tx.emit(Event::SchedulerMoved {
        scheduler: id,
        state: new,
    });
}

/// A scheduler's deadline has come.
pub(crate) fn fire_due(tx: &mut Tx<'_>, id: SchedulerId) {
    let now = tx.now();
    let plan = Arc::clone(tx.state().plan());
    let state = tx.state();
    let (Some(record), Some(definition)) = (state.schedulers.get(&id), definition(state, &plan, id)) else {
        return;
    };
    let mut new = record.state.clone();
    let due: Vec<String> = new
        .waiting
        .iter()
        .filter(|(_, waiting)| waiting.fire_at.is_some_and(|at| at <= now))
        .map(|(key, _)| key.clone())
        .collect();
    for key in due {
        if let Some(waiting) = new.waiting.remove(&key) {
            build_changes(tx, definition, &waiting.changes, None);
        }
    }
    if let Some(due) = new
        .next_fire
        .filter(|at| *at <= now && timed::is_timed(&definition.kind))
    {
        timed::fire(tx, definition, &mut new, due);
    }
    tx.emit(Event::SchedulerMoved {
        scheduler: id,
        state: new,
    });
}

/// A scheduler that only builds what has changed keeps a change until it is due.
fn keep(tx: &mut Tx<'_>, id: SchedulerId, change: ChangeId, important: bool) {
    let Some(record) = tx.state().schedulers.get(&id) else {
        return;
    };
    let mut new = record.state.clone();
    let waiting = new.waiting.entry(String::new()).or_default();
    waiting.changes.push(change);
    waiting.important |= important;
    if waiting.changes.len() > WAITING_MAX {
        waiting.changes.remove(0);
    }
    tx.emit(Event::SchedulerMoved {
        scheduler: id,
        state: new,
    });
}

/// One buildset for all these changes: the newest one's stamp is built.
pub(crate) fn build_changes(
    tx: &mut Tx<'_>,
    definition: &SchedulerDef,
    changes: &[ChangeId],
    reason: Option<String>,
) {
    let state = tx.state();
    let records: Vec<&ChangeRecord> = changes
        .iter()
        .filter_map(|change| state.changes.get(change))
        .map(|held| &held.record)
        .collect();
    let Some(newest) = records.last() else {
        return;
    };
    let stamps = if definition.codebases.is_empty() {
        vec![newest.sourcestamp]
    } else {
        codebases::newest_of_each(&records)
    };
    let mut properties = Properties::new();
    for change in &records {
        for (name, property) in &change.properties.0 {
            properties.set(name, property.value.clone(), "Change");
        }
    }
    let authors: BTreeSet<String> = records.iter().map(|change| change.author.clone()).collect();
    properties.set("owners", authors.into_iter().collect::<Vec<_>>(), "Build");
    properties.update(&base_properties(definition));
    let heard = match records.len() {
        1 => format!("scheduler '{}' heard of a change", definition.name),
        n => format!("scheduler '{}' heard of {n} changes", definition.name),
    };
    let reason = reason.unwrap_or(heard);
    let sourcestamps = codebases::aggregate(tx, definition, stamps);
    let new = Launch {
        reason,
        sourcestamps,
        changes: changes.to_vec(),
        files: None,
        properties,
        priority: None,
        builders: None,
        parent: None,
        external_id: None,
    };
    launch(tx, definition, new);
}

/// Builders that a scheduler asks, in its order.
pub(crate) fn builders(state: &State, definition: &SchedulerDef) -> Vec<BuilderId> {
    let mut seen = BTreeSet::new();
    definition
        .builders
        .iter()
        .filter_map(|name| state.builder_by_name(name))
        .filter(|builder| builder.active && seen.insert(builder.id))
        .map(|builder| builder.id)
        .collect()
}

/// Properties that every buildset of a scheduler has.
pub(crate) fn base_properties(definition: &SchedulerDef) -> Properties {
    let mut properties = Properties::new();
    properties.set("scheduler", definition.name.as_str(), "Scheduler");
    for (name, value) in &definition.properties {
        properties.set(name, value.clone(), "Scheduler");
    }
    properties
}

/// The definition of an active scheduler.
pub(crate) fn definition<'a>(state: &State, plan: &'a Plan, id: SchedulerId) -> Option<&'a SchedulerDef> {
    let record = state.schedulers.get(&id).filter(|record| record.active)?;
    plan.schedulers.get(&record.name)
}

/// The key of an any-branch timer. Each part is quoted, so that two different trees never share one.
fn branch_key(change: &ChangeRecord) -> String {
    let branch = change.branch.as_deref();
    format!(
        "{:?} {:?} {:?} {branch:?}",
        change.codebase, change.project, change.repository
    )
}

impl State {
    /// When a scheduler is to be looked at next.
    pub(crate) fn timer_of(&self, scheduler: &SchedulerRecord) -> Option<Timestamp> {
        if !scheduler.enabled {
            return None;
        }
        let definition = definition(self, &self.plan, scheduler.id)?;
        let waiting: &BTreeMap<String, WaitingChanges> = &scheduler.state.waiting;
        let timed = timed::is_timed(&definition.kind);
        waiting
            .values()
            .filter_map(|waiting| waiting.fire_at)
            .chain(scheduler.state.next_fire.filter(|_| timed))
            .min()
    }
}
