//! A configuration comes into force. Names that return keep their ids; what did not change causes no event.

use std::{collections::BTreeMap, sync::Arc};

use ironmaster_model::{
    BuilderId, BuilderRecord, ChangeSourceId, ChangeSourceRecord, CodebaseId, CodebaseRecord, Counter, Event,
    PipelineId, PipelineRecord, Plan, ProjectId, ProjectRecord, SchedulerDef, SchedulerId, SchedulerKind,
    SchedulerRecord, SchedulerState, Timestamp, WorkerId, WorkerRecord, WorkerSelector,
};

use crate::{Refusal, Reply, State, Tx, timed};

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
    projects(tx, plan);
    builders(tx, plan);
    workers(tx, plan);
    schedulers(tx, plan, &old);
    change_sources(tx, plan);
    pipelines(tx, plan);
    Ok(Reply::Done)
}

fn projects(tx: &mut Tx<'_>, plan: &Plan) {
    for definition in plan.projects.values() {
        let known = tx.state().projects().find(|known| known.name == definition.name);
        let project = ProjectRecord {
            id: known.map_or_else(|| ProjectId(tx.next_id(Counter::Project)), |known| known.id),
            name: definition.name.clone(),
            description: definition.description.clone(),
            active: true,
        };
        if known != Some(&project) {
            tx.emit(Event::ProjectSet { project });
        }
    }
    for definition in plan.codebases.values() {
        let known = tx.state().codebases().find(|known| known.name == definition.name);
        let project = tx
            .state()
            .projects()
            .find(|project| project.name == definition.project);
        // The configuration's check has seen to it that there is one.
        let Some(project) = project.map(|project| project.id) else {
            continue;
        };
        let codebase = CodebaseRecord {
            id: known.map_or_else(|| CodebaseId(tx.next_id(Counter::Codebase)), |known| known.id),
            name: definition.name.clone(),
            project,
            active: true,
        };
        if known != Some(&codebase) {
            tx.emit(Event::CodebaseSet { codebase });
        }
    }
    let state = tx.state();
    let gone: Vec<Event> = state
        .projects()
        .filter(|project| project.active && !plan.projects.contains_key(&project.name))
        .map(|project| Event::ProjectSet {
            project: ProjectRecord {
                active: false,
                ..project.clone()
            },
        })
        .chain(
            state
                .codebases()
                .filter(|codebase| codebase.active && !plan.codebases.contains_key(&codebase.name))
                .map(|codebase| Event::CodebaseSet {
                    codebase: CodebaseRecord {
                        active: false,
                        ..codebase.clone()
                    },
                }),
        )
        .collect();
    for event in gone {
        tx.emit(event);
    }
}

fn builders(tx: &mut Tx<'_>, plan: &Plan) {
    let projects: BTreeMap<String, ProjectId> = tx
        .state()
        .projects()
        .map(|project| (project.name.clone(), project.id))
        .collect();
    for definition in plan.builders.values() {
        let known = tx.state().builder_by_name(&definition.name);
        let builder = BuilderRecord {
            id: known.map_or_else(|| BuilderId(tx.next_id(Counter::Builder)), |known| known.id),
            name: definition.name.clone(),
            description: definition.description.clone(),
            tags: definition.tags.clone(),
            active: true,
            next_number: known.map_or(1, |known| known.next_number),
            project: definition
                .project
                .as_deref()
                .and_then(|name| projects.get(name).copied()),
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
    // Which workers a builder means is looked up once for all builders that say the same.
    let mut alike: BTreeMap<&[WorkerSelector], Vec<BuilderId>> = BTreeMap::new();
    for definition in plan.builders.values() {
        if let Some(builder) = tx.state().builder_by_name(&definition.name) {
            alike.entry(&definition.workers).or_default().push(builder.id);
        }
    }
    let mut builders_of: Vec<Vec<BuilderId>> = vec![Vec::new(); plan.workers.len()];
    for (selectors, builders) in alike {
        for (worker, all) in plan.workers.values().zip(&mut builders_of) {
            if selectors.iter().any(|selector| selector.matches(worker)) {
                all.extend(&builders);
            }
        }
    }
    let now = tx.now();
    for (definition, mut builders) in plan.workers.values().zip(builders_of) {
        builders.sort_unstable();
        let known = tx.state().worker_by_name(&definition.name);
        let downtime = definition.downtime_at(now);
        let worker = match known {
            Some(known) => WorkerRecord {
                active: true,
                builders,
                downtime,
                slots: definition.slots,
                disconnected_at: away_since(tx.state(), known, now),
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
                downtime,
                killed: false,
                slots: definition.slots,
                connection: None,
                disconnected_at: Some(now),
                missing: false,
                info: Arc::default(),
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
        worker.missing = false;
        worker.builders.clear();
        worker.downtime = None;
        tx.emit(Event::WorkerSet { worker });
    }
}

/// Since when it has been away. While it was not configured nobody waited for it, but for the builds that it had.
fn away_since(state: &State, worker: &WorkerRecord, now: Timestamp) -> Option<Timestamp> {
    let waited = worker.active || state.queue.builds_on(worker.id).next().is_some();
    if waited {
        worker.disconnected_at
    } else {
        worker.disconnected_at.map(|_| now)
    }
}

fn schedulers(tx: &mut Tx<'_>, plan: &Plan, old: &Plan) {
    for definition in plan.schedulers.values() {
        let known = tx.state().scheduler_by_name(&definition.name);
        let mut state = known.map(|known| known.state.clone()).unwrap_or_default();
        adapt(
            &mut state,
            definition,
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
fn adapt(state: &mut SchedulerState, new: &SchedulerDef, old: Option<&SchedulerKind>, now: Timestamp) {
    if new.codebases.len() > 1 {
        state
            .seen
            .retain(|name, _| new.codebases.iter().any(|of| of.source.codebase == *name));
    } else {
        state.seen.clear();
    }
    let seen = std::mem::take(&mut state.seen);
    match new.kind {
        SchedulerKind::Periodic { .. } | SchedulerKind::Nightly(_) | SchedulerKind::NightlyTriggerable(_) => {
            timed::adapt(state, new, old, now);
        }
        SchedulerKind::Dependent { .. }
        | SchedulerKind::Triggerable { .. }
        | SchedulerKind::Force(_)
        | SchedulerKind::Try(_) => {
            *state = SchedulerState::default();
        }
        SchedulerKind::SingleBranch { .. } | SchedulerKind::AnyBranch { .. } => {
            state.next_fire = None;
            state.asked = None;
            // Of another kind before: what was important then is built now.
            for waiting in state.waiting.values_mut() {
                if std::mem::take(&mut waiting.important) {
                    waiting.fire_at.get_or_insert(now);
                }
            }
        }
    }
    state.seen = seen;
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
        let mut scheduler = SchedulerRecord {
            enabled,
            ..record.clone()
        };
        // Nobody wanted the times that it was off for.
        if enabled
            && scheduler.state.next_fire.is_some_and(|due| due <= tx.now())
            && let Some(definition) = tx.state().plan().schedulers.get(&scheduler.name)
            && matches!(
                definition.kind,
                SchedulerKind::Nightly(_) | SchedulerKind::NightlyTriggerable(_)
            )
        {
            scheduler.state.next_fire = timed::next_firing(definition, tx.now());
        }
        tx.emit(Event::SchedulerSet { scheduler });
    }
    Ok(Reply::Done)
}
