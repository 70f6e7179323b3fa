//! Schedulers that time sets off: when each is due next, and what it builds then.
//!
//! What was missed while no master was there is made up for once: a due time that has passed is kept until somebody looks. Times at which
//! the scheduler was switched off are not made up for, and neither are those of a definition that was changed.

use ironmaster_model::{
    ChangeFilter, Duration, NightlyDef, SchedulerDef, SchedulerKind, SchedulerState, Timestamp, Zone,
    calendar::{Cron, jitter},
};

use crate::{
    Tx, codebases,
    decide::{
        self,
        launch::{Launch, launch},
    },
    planted::{Bug, planted},
    schedulers::{base_properties, build_changes},
};

/// The shortest period.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// Whether time sets it off.
pub(crate) fn is_timed(kind: &SchedulerKind) -> bool {
    matches!(
        kind,
        SchedulerKind::Periodic { .. } | SchedulerKind::Nightly(_) | SchedulerKind::NightlyTriggerable(_)
    )
}

/// The filter of one that only builds what has changed.
pub(crate) fn wanted_changes(kind: &SchedulerKind) -> Option<&ChangeFilter> {
    match kind {
        SchedulerKind::Periodic { changes, .. } => changes.as_ref(),
        SchedulerKind::Nightly(nightly) | SchedulerKind::NightlyTriggerable(nightly) => {
            nightly.changes.as_ref()
        }
        _ => None,
    }
}

/// Fits what a scheduler remembers to a new definition.
pub(crate) fn adapt(
    state: &mut SchedulerState,
    new: &SchedulerDef,
    old: Option<&SchedulerKind>,
    now: Timestamp,
) {
    if wanted_changes(&new.kind).is_none() {
        state.waiting.clear();
    }
    // What another kind had waiting has a timer, which this one has not.
    for waiting in state.waiting.values_mut() {
        waiting.important |= waiting.fire_at.take().is_some();
    }
    if !matches!(new.kind, SchedulerKind::NightlyTriggerable(_)) {
        state.asked = None;
    }
    match &new.kind {
        SchedulerKind::Periodic { interval, .. } => {
            state.next_fire = match (state.next_fire, old) {
                (Some(next), Some(SchedulerKind::Periodic { interval: before, .. }))
                    if before != interval =>
                {
                    // Counted from the last firing, which the old interval tells.
                    Some(Timestamp(next.0.saturating_sub(before.0)) + *interval)
                }
                (None, _) | (_, Some(SchedulerKind::Nightly(_) | SchedulerKind::NightlyTriggerable(_))) => {
                    Some(now)
                }
                (Some(next), _) => Some(next),
            };
        }
        SchedulerKind::Nightly(nightly) | SchedulerKind::NightlyTriggerable(nightly) => {
            let before = match old {
                Some(SchedulerKind::Nightly(old) | SchedulerKind::NightlyTriggerable(old)) => Some(old),
                _ => None,
            };
            let same_times = before.is_some_and(|old| {
                (&old.cron, &old.zone, old.jitter, &old.force_at)
                    == (&nightly.cron, &nightly.zone, nightly.jitter, &nightly.force_at)
            });
            if !same_times || state.next_fire.is_none() {
                state.next_fire = next_nightly(&new.name, nightly, now);
            }
        }
        _ => {}
    }
}

/// When it fires next, as seen from `now`; none if it never does.
pub(crate) fn next_firing(definition: &SchedulerDef, now: Timestamp) -> Option<Timestamp> {
    match &definition.kind {
        // Counted from now: what was missed while nobody was there is not made up for again and again.
        SchedulerKind::Periodic { interval, .. } => Some(now + (*interval).max(INTERVAL_MIN)),
        SchedulerKind::Nightly(nightly) | SchedulerKind::NightlyTriggerable(nightly) => {
            next_nightly(&definition.name, nightly, now)
        }
        _ => None,
    }
}

fn next_nightly(name: &str, nightly: &NightlyDef, now: Timestamp) -> Option<Timestamp> {
    let plain = next_due(name, nightly, &nightly.cron, now);
    let forced = nightly
        .force_at
        .as_ref()
        .and_then(|cron| next_due(name, nightly, cron, now));
    match (plain, forced) {
        (Some(plain), Some(forced)) => Some(plain.min(forced)),
        (one, other) => one.or(other),
    }
}

/// The first firing after `now`, put off included.
fn next_due(name: &str, nightly: &NightlyDef, cron: &Cron, now: Timestamp) -> Option<Timestamp> {
    let zone = Zone::named(&nightly.zone).unwrap_or_else(Zone::utc);
    // One that was due a while ago may still be put off.
    let mut at = Timestamp(now.0.saturating_sub(nightly.jitter.0));
    loop {
        at = cron.next(&zone, at)?;
        let fires = at + jitter(name, at, nightly.jitter);
        if fires > now {
            return Some(fires);
        }
    }
}

/// Whether what was due at `due` builds even though nothing has changed.
fn is_forced(name: &str, nightly: &NightlyDef, due: Timestamp) -> bool {
    let before = Timestamp(due.0.saturating_sub(1));
    nightly
        .force_at
        .as_ref()
        .is_some_and(|cron| next_due(name, nightly, cron, before) == Some(due))
}

/// It is due: builds what is to be built, and says in `new` what is remembered.
pub(crate) fn fire(tx: &mut Tx<'_>, definition: &SchedulerDef, new: &mut SchedulerState, due: Timestamp) {
    let now = tx.now();
    new.next_fire = next_firing(definition, now);
    let name = &definition.name;
    let (reason, source, forced) = match &definition.kind {
        SchedulerKind::Periodic { interval, source, .. } => (
            format!("scheduler '{name}' builds every {} s", interval.as_secs()),
            source,
            false,
        ),
        SchedulerKind::Nightly(nightly) | SchedulerKind::NightlyTriggerable(nightly) => (
            format!("scheduler '{name}' builds at {}", nightly.cron),
            &nightly.source,
            is_forced(name, nightly, due),
        ),
        _ => return,
    };
    if wanted_changes(&definition.kind).is_some() {
        let waits = new.waiting.values().any(|waiting| waiting.important);
        if !waits && !forced && !planted(Bug::BuildsUnchanged) {
            return;
        }
        let held: Vec<_> = std::mem::take(&mut new.waiting)
            .into_values()
            .flat_map(|waiting| waiting.changes)
            .collect();
        if !held.is_empty() {
            build_changes(tx, definition, &held, Some(reason));
            return;
        }
    }
    let (sourcestamps, properties, changes) =
        if matches!(definition.kind, SchedulerKind::NightlyTriggerable(_)) {
            let Some(asked) = new.asked.take() else {
                return;
            };
            let mut properties = base_properties(definition);
            properties.update(&asked.properties);
            (asked.sourcestamps, properties, asked.changes)
        } else {
            (Vec::new(), base_properties(definition), Vec::new())
        };
    let sourcestamps = if sourcestamps.is_empty() && definition.codebases.is_empty() {
        vec![source.stamp()]
    } else {
        sourcestamps
    };
    let sourcestamps = sourcestamps
        .into_iter()
        .map(|stamp| decide::stamp(tx, stamp))
        .collect();
    let sourcestamps = codebases::aggregate(tx, definition, sourcestamps);
    launch(
        tx,
        definition,
        Launch {
            reason,
            sourcestamps,
            changes,
            files: None,
            properties,
            priority: None,
            builders: None,
            parent: None,
            external_id: None,
        },
    );
}
