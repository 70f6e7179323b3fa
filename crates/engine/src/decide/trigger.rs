//! A build asks for other builds, and may wait for them.
//!
//! Whoever waits gives its slot back, so that what it waits for can run there. Its directory stays reserved. It
//! goes on when all that it waits for is over and its worker has a slot again, before anything new starts there.

use std::{collections::BTreeMap, sync::Arc};

use ironmaster_model::{
    Asked, BuildId, BuildsetId, ChangeId, EffectRecord, Event, FixedSource, NewSourceStamp, RequestPhase,
    SchedulerDef, SchedulerKind, StepId, TriggerOutcome, Triggered, Waits, Wanted,
};

use super::{
    buildset,
    completed::Completed,
    invalid,
    launch::{Launch, Launched, Parent, launch},
    request,
    step::running,
};
use crate::{
    Refusal, Reply, State, Trigger, Tx, codebases,
    planted::{Bug, planted},
    schedulers,
};

/// How deep builds may wait for each other. Beyond that a builder most likely triggers itself.
pub(crate) const DEPTH_MAX: usize = 32;
/// How many schedulers one step may trigger at once.
pub(crate) const TRIGGERED_MAX: usize = 1000;

pub(super) fn trigger(tx: &mut Tx<'_>, trigger: Trigger) -> Result<Reply, Refusal> {
    let (entry, step) = running(tx, trigger.build, trigger.step)?;
    let always_run = tx
        .state()
        .definition_of(&entry.record)
        .and_then(|builder| builder.steps.get(step.definition as usize))
        .is_some_and(|step| step.flags.always_run);
    if let Some(waits) = &entry.record.waits {
        // The step is replayed after a restart, and asks again for what it waits for.
        return if (waits.ordinal, &waits.digest) == (trigger.ordinal, &trigger.digest) {
            Ok(Reply::Triggered(waits.triggered.clone()))
        } else {
            Err(Refusal::Conflict {
                reason: format!("build {} waits for something else already", trigger.build),
            })
        };
    }
    if entry.record.lost.is_some() || (entry.record.stop.is_some() && !always_run) {
        return Err(Refusal::Conflict {
            reason: format!("build {} is about to end", trigger.build),
        });
    }
    check(tx.state(), &trigger)?;
    let plan = Arc::clone(tx.state().plan());
    let inherited = changes_of(tx.state(), trigger.build);
    let mut all = Vec::new();
    for wanted in trigger.wanted {
        let definition = &plan.schedulers[&wanted.scheduler];
        let source = match &definition.kind {
            SchedulerKind::Triggerable { source } => source,
            SchedulerKind::NightlyTriggerable(_) => {
                note(tx, wanted, &inherited);
                continue;
            }
            _ => unreachable!("only triggerable schedulers pass the check"),
        };
        let changes = if wanted.sourcestamps.is_empty() {
            Vec::new()
        } else {
            inherited.clone()
        };
        let stamps = if wanted.sourcestamps.is_empty() {
            newest(definition, source)
        } else {
            wanted.sourcestamps
        };
        let sourcestamps = stamps
            .into_iter()
            .map(|stamp| buildset::stamp(tx, stamp))
            .collect();
        let sourcestamps = codebases::aggregate(tx, definition, sourcestamps);
        let mut properties = schedulers::base_properties(definition);
        properties.update(&wanted.properties);
        let launched = launch(
            tx,
            definition,
            Launch {
                reason: format!(
                    "build {} triggered scheduler '{}'",
                    trigger.build, definition.name
                ),
                sourcestamps,
                changes,
                files: None,
                properties,
                priority: None,
                builders: None,
                parent: Some(Parent {
                    build: trigger.build,
                    relationship: trigger.relationship.clone(),
                    waits: trigger.waits,
                }),
                external_id: None,
            },
        );
        let Some(Launched::Buildset { buildset, requests }) = launched else {
            unreachable!("the check has seen that there are builders");
        };
        all.push(Triggered {
            scheduler: definition.name.clone(),
            buildset,
            requests,
        });
    }
    if trigger.waits && !all.is_empty() {
        // Stated in the same decision, so that no end can be missed.
        tx.emit(Event::BuildWaits {
            build: trigger.build,
            waits: Waits {
                ordinal: trigger.ordinal,
                digest: trigger.digest,
                triggered: all.clone(),
                over: BTreeMap::new(),
            },
        });
    } else {
        let outcome = TriggerOutcome {
            triggered: all.clone(),
            results: BTreeMap::new(),
        };
        tx.emit(Event::EffectsRecorded {
            build: trigger.build,
            step: trigger.step,
            effects: vec![effect(trigger.ordinal, trigger.digest, &outcome)],
        });
    }
    Ok(Reply::Triggered(all))
}

/// Everything that makes a trigger impossible, before anything is stated.
fn check(state: &State, trigger: &Trigger) -> Result<(), Refusal> {
    if trigger.wanted.is_empty() {
        return Err(invalid("schedulers", "no scheduler is named"));
    }
    if trigger.wanted.len() > TRIGGERED_MAX {
        return Err(invalid(
            "schedulers",
            format!("a step triggers at most {TRIGGERED_MAX} schedulers"),
        ));
    }
    for wanted in &trigger.wanted {
        let name = &wanted.scheduler;
        let record = state.scheduler_by_name(name).filter(|record| record.active);
        let definition = state.plan().schedulers.get(name);
        let (Some(record), Some(definition)) = (record, definition) else {
            return Err(Refusal::NotFound {
                what: format!("scheduler \"{name}\""),
            });
        };
        let triggerable = matches!(
            definition.kind,
            SchedulerKind::Triggerable { .. } | SchedulerKind::NightlyTriggerable(_)
        );
        let reason = if !triggerable {
            format!("scheduler \"{name}\" is not of type \"triggerable\"")
        } else if !record.enabled {
            format!("scheduler \"{name}\" is switched off")
        } else if schedulers::builders(state, definition).is_empty() {
            format!("scheduler \"{name}\" has no builders")
        } else {
            wanted
                .properties
                .validate()
                .map_err(|error| invalid("properties", error.to_string()))?;
            continue;
        };
        return Err(Refusal::Conflict { reason });
    }
    if trigger.waits && state.depth_of(trigger.build) >= DEPTH_MAX {
        return Err(Refusal::Conflict {
            reason: format!(
                "{DEPTH_MAX} builds already wait for each other, and build {} is the last of them; does a builder trigger itself?",
                trigger.build
            ),
        });
    }
    Ok(())
}

/// One that has its times notes what the last step has asked for, and nobody waits for it.
fn note(tx: &mut Tx<'_>, wanted: Wanted, inherited: &[ChangeId]) {
    let Some(record) = tx.state().scheduler_by_name(&wanted.scheduler) else {
        return;
    };
    let (scheduler, mut state) = (record.id, record.state.clone());
    state.asked = Some(Asked {
        changes: if wanted.sourcestamps.is_empty() {
            Vec::new()
        } else {
            inherited.to_vec()
        },
        sourcestamps: wanted.sourcestamps,
        properties: wanted.properties,
    });
    tx.emit(Event::SchedulerMoved { scheduler, state });
}

/// The newest of a scheduler's source; of several code bases, whatever it builds them from.
fn newest(definition: &SchedulerDef, source: &FixedSource) -> Vec<NewSourceStamp> {
    if definition.codebases.is_empty() {
        vec![source.stamp()]
    } else {
        Vec::new()
    }
}

fn changes_of(state: &State, build: BuildId) -> Vec<ironmaster_model::ChangeId> {
    state
        .builds
        .get(&build)
        .and_then(|entry| state.request(entry.record.request))
        .and_then(|request| state.buildset(request.buildset))
        .map(|buildset| buildset.changes.clone())
        .unwrap_or_default()
}

fn effect(ordinal: u32, digest: String, outcome: &TriggerOutcome) -> EffectRecord {
    EffectRecord {
        ordinal,
        kind: "trigger".into(),
        digest,
        outcome: serde_json::to_value(outcome).unwrap_or_default(),
    }
}

/// A buildset is over: whoever waits for it is told.
pub(super) fn child_is_over(tx: &mut Tx<'_>, completed: &Completed) {
    if planted(Bug::ChildForgotten) {
        return;
    }
    let id = completed.buildset.id;
    let Some(build) = tx.state().waiters.get(&id).copied() else {
        return;
    };
    let Some(mut waits) = tx.state().build(build).and_then(|build| build.waits.clone()) else {
        return;
    };
    waits.over.insert(id, completed.results);
    tx.emit(Event::BuildWaits { build, waits });
}

/// The next build that can go on, if there is one.
pub(super) fn resume_one(tx: &mut Tx<'_>) -> bool {
    let state = tx.state();
    // A worker without room is passed over with all who wait for it.
    let with_room = state.ready.iter().filter(|(worker, _)| {
        let (running, slots) = state.queue.slots(**worker);
        running < slots
    });
    let next = with_room
        .filter_map(|(_, builds)| builds.iter().copied().find(|id| state.can_resume(*id)))
        .min();
    let Some(entry) = next.and_then(|id| state.builds.get(&id)) else {
        return false;
    };
    let (Some(waits), Some(step)) = (entry.record.waits.clone(), entry.steps.last()) else {
        return false;
    };
    let (build, step) = (entry.record.id, step.id);
    resume(tx, build, step, waits);
    true
}

fn resume(tx: &mut Tx<'_>, build: BuildId, step: StepId, waits: Waits) {
    let outcome = TriggerOutcome {
        triggered: waits.triggered,
        results: waits.over,
    };
    tx.emit(Event::BuildResumed {
        build,
        step,
        effect: effect(waits.ordinal, waits.digest, &outcome),
    });
}

/// Nobody waits any more for what a build has triggered and waited for.
pub(super) fn cancel_children(tx: &mut Tx<'_>, children: &[BuildsetId], by: &str, reason: &str) {
    if planted(Bug::ChildrenLeft) {
        return;
    }
    for buildset in children {
        let Some(entry) = tx.state().buildsets.get(buildset) else {
            continue;
        };
        for id in entry.requests.clone() {
            let open = tx
                .state()
                .request(id)
                .is_some_and(|request| !matches!(request.phase, RequestPhase::Complete { .. }));
            if open && let Err(refusal) = request::cancel(tx, id, by.to_owned(), reason.to_owned()) {
                unreachable!("a request that is open can be cancelled: {refusal}");
            }
        }
    }
}

impl State {
    fn can_resume(&self, id: BuildId) -> bool {
        self.builds.get(&id).is_some_and(|entry| {
            let build = &entry.record;
            self.queue.can_resume(build.builder, build.worker, id)
        })
    }

    /// How many builds wait, one for the other, for this one.
    fn depth_of(&self, build: BuildId) -> usize {
        let mut depth = 0;
        let mut at = build;
        while depth < DEPTH_MAX {
            let parent = self
                .builds
                .get(&at)
                .and_then(|entry| self.request(entry.record.request))
                .and_then(|request| self.waiters.get(&request.buildset));
            let Some(parent) = parent else { break };
            depth += 1;
            at = *parent;
        }
        depth
    }
}
