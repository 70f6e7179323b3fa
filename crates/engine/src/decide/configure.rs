//! A configuration comes into force. Names that return keep their ids; what did not change causes no event.

use std::sync::Arc;

use ironmaster_model::{
    BuilderId, BuilderRecord, ChangeSourceId, ChangeSourceRecord, Counter, Event, PipelineId, PipelineRecord,
    Plan, SchedulerId, SchedulerKind, SchedulerRecord, SchedulerState, Timestamp, WorkerId, WorkerInfo,
    WorkerRecord,
};

use crate::{Refusal, Reply, Tx};

pub(super) fn configure(tx: &mut Tx<'_>, plan: &Arc<Plan>) -> Result<Reply, Refusal> {
    if plan.digest.is_empty() {
        return Err(Refusal::Conflict {
            reason: "a configuration without a digest cannot come into force".into(),
        });
    }
    let old = Arc::clone(tx.state().plan());
    if *old != **plan || tx.state().config_digest() != plan.digest {
        tx.emit(Event::Configured {
            digest: plan.digest.clone(),
            plan: (**plan).clone(),
        });
    }
    builders(tx, plan);
    workers(tx, plan);
    schedulers(tx, plan, &old);
    change_sources(tx, plan);
    pipelines(tx, plan);
    Ok(Reply::Done)
}

fn builders(tx: &mut Tx<'_>, plan: &Plan) {
    for definition in plan.builders.values() {
        let known = tx.state().builder_by_name(&definition.name);
        let builder = BuilderRecord {
            id: known.map_or_else(|| BuilderId(tx.next_id(Counter::Builder)), |known| known.id),
            name: definition.name.clone(),
            description: definition.description.clone(),
            tags: definition.tags.clone(),
            active: true,
            next_number: known.map_or(1, |known| known.next_number),
        };
        if known != Some(&builder) {
            tx.emit(Event::BuilderSet { builder });
        }
    }
    let removed: Vec<BuilderRecord> = tx
        .state()
        .builders()
        .filter(|builder| builder.active && !plan.builders.contains_key(&builder.name))
        .cloned()
        .collect();
    for mut builder in removed {
        builder.active = false;
        tx.emit(Event::BuilderSet { builder });
    }
}

fn workers(tx: &mut Tx<'_>, plan: &Plan) {
    let mut builders: std::collections::BTreeMap<String, Vec<BuilderId>> = std::collections::BTreeMap::new();
    for definition in plan.builders.values() {
        if let Some(builder) = tx.state().builder_by_name(&definition.name) {
            for worker in plan.workers_of(definition) {
                builders.entry(worker).or_default().push(builder.id);
            }
        }
    }
    for definition in plan.workers.values() {
        let mut builders = builders.remove(&definition.name).unwrap_or_default();
        builders.sort_unstable();
        let known = tx.state().worker_by_name(&definition.name);
        let worker = match known {
            Some(known) => WorkerRecord {
                active: true,
                builders,
                ..known.clone()
            },
            None => WorkerRecord {
                id: WorkerId(tx.next_id(Counter::Worker)),
                name: definition.name.clone(),
                active: true,
                builders,
                paused: false,
                pause_reason: None,
                graceful: false,
                connection: None,
                disconnected_at: None,
                info: WorkerInfo::default(),
            },
        };
        if known != Some(&worker) {
            tx.emit(Event::WorkerSet { worker });
        }
    }
    let removed: Vec<WorkerRecord> = tx
        .state()
        .workers()
        .filter(|worker| worker.active && !plan.workers.contains_key(&worker.name))
        .cloned()
        .collect();
    for mut worker in removed {
        worker.active = false;
        worker.builders.clear();
        tx.emit(Event::WorkerSet { worker });
    }
}

fn schedulers(tx: &mut Tx<'_>, plan: &Plan, old: &Plan) {
    for definition in plan.schedulers.values() {
        let known = tx.state().scheduler_by_name(&definition.name);
        let mut state = known.map(|known| known.state.clone()).unwrap_or_default();
        adapt(
            &mut state,
            &definition.kind,
            old.schedulers.get(&definition.name).map(|old| &old.kind),
            tx.now(),
        );
        let scheduler = SchedulerRecord {
            id: known.map_or_else(|| SchedulerId(tx.next_id(Counter::Scheduler)), |known| known.id),
            name: definition.name.clone(),
            active: true,
            enabled: known.is_none_or(|known| known.enabled),
            state,
        };
        if known != Some(&scheduler) {
            tx.emit(Event::SchedulerSet { scheduler });
        }
    }
    // What a removed one holds back stays with it: should it return, nothing was lost.
    let removed: Vec<SchedulerRecord> = tx
        .state()
        .schedulers()
        .filter(|scheduler| scheduler.active && !plan.schedulers.contains_key(&scheduler.name))
        .cloned()
        .collect();
    for mut scheduler in removed {
        scheduler.active = false;
        tx.emit(Event::SchedulerSet { scheduler });
    }
}

/// Fits what a scheduler remembers to a new definition.
fn adapt(state: &mut SchedulerState, new: &SchedulerKind, old: Option<&SchedulerKind>, now: Timestamp) {
    match new {
        SchedulerKind::Periodic { interval, .. } => {
            state.waiting.clear();
            state.next_fire = match (state.next_fire, old) {
                (Some(next), Some(SchedulerKind::Periodic { interval: before, .. }))
                    if before != interval =>
                {
                    // Counted from the last firing, which the old interval tells.
                    Some(Timestamp(next.0.saturating_sub(before.0)) + *interval)
                }
                (Some(next), _) => Some(next),
                (None, _) => Some(now),
            };
        }
        SchedulerKind::Dependent { .. } | SchedulerKind::Triggerable { .. } | SchedulerKind::Force(_) => {
            *state = SchedulerState::default();
        }
        SchedulerKind::SingleBranch { .. } | SchedulerKind::AnyBranch { .. } => state.next_fire = None,
    }
}

fn change_sources(tx: &mut Tx<'_>, plan: &Plan) {
    for name in plan.change_sources.keys() {
        let known = tx
            .state()
            .names
            .change_sources
            .get(name)
            .and_then(|id| tx.state().change_sources.get(id));
        let change_source = ChangeSourceRecord {
            id: known.map_or_else(
                || ChangeSourceId(tx.next_id(Counter::ChangeSource)),
                |known| known.id,
            ),
            name: name.clone(),
            active: true,
        };
        if known != Some(&change_source) {
            tx.emit(Event::ChangeSourceSet { change_source });
        }
    }
    let removed: Vec<ChangeSourceRecord> = tx
        .state()
        .change_sources()
        .filter(|source| source.active && !plan.change_sources.contains_key(&source.name))
        .cloned()
        .collect();
    for mut change_source in removed {
        change_source.active = false;
        tx.emit(Event::ChangeSourceSet { change_source });
    }
}

fn pipelines(tx: &mut Tx<'_>, plan: &Plan) {
    for definition in plan.pipelines.values() {
        let known = tx.state().pipeline_by_name(&definition.name);
        let pipeline = PipelineRecord {
            id: known.map_or_else(|| PipelineId(tx.next_id(Counter::Pipeline)), |known| known.id),
            name: definition.name.clone(),
            description: definition.description.clone(),
            project: definition.project.clone(),
            active: true,
        };
        if known != Some(&pipeline) {
            tx.emit(Event::PipelineSet { pipeline });
        }
    }
    let removed: Vec<PipelineRecord> = tx
        .state()
        .pipelines()
        .filter(|pipeline| pipeline.active && !plan.pipelines.contains_key(&pipeline.name))
        .cloned()
        .collect();
    for mut pipeline in removed {
        pipeline.active = false;
        tx.emit(Event::PipelineSet { pipeline });
    }
}

pub(super) fn enable_scheduler(tx: &mut Tx<'_>, id: SchedulerId, enabled: bool) -> Result<Reply, Refusal> {
    let Some(record) = tx.state().scheduler(id).filter(|record| record.active) else {
        return Err(Refusal::NotFound {
            what: format!("scheduler {id}"),
        });
    };
    if record.enabled != enabled {
        let scheduler = SchedulerRecord {
            enabled,
            ..record.clone()
        };
        tx.emit(Event::SchedulerSet { scheduler });
    }
    Ok(Reply::Done)
}
