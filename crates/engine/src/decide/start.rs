//! Starts what can start: the request that goes first, on the worker that suits it best, until nothing matches.

use std::collections::BTreeSet;

use ironmaster_model::{
    BuildId, BuildRecord, BuildRequestRecord, BuilderRecord, Event, JobState, Properties, WorkerRecord,
};
use serde_json::{Value, json};

use super::{completed, lifecycle, pipelines, trigger};
use crate::{State, Tx, build, queue::Start};

/// Follows up what has ended, and starts whatever can start now.
pub(super) fn whatever_can(tx: &mut Tx<'_>) {
    loop {
        completed::follow(tx);
        if tx.state().master().is_none() {
            return;
        }
        // Whoever had a slot before goes first, then whoever has one.
        if trigger::resume_one(tx) {
            continue;
        }
        if let Some(build) = tx.next_grant() {
            grant(tx, build);
            continue;
        }
        if tx.state().master().is_some_and(|master| master.draining) {
            return;
        }
        // A build without steps is over at once, and something may follow from that.
        let Some(next) = tx.next_start() else { return };
        if tx.state().queue.is_asked(next.builder) {
            tx.ask(&next);
        } else {
            start(tx, next, false);
        }
    }
}

/// A step that has waited gets its locks.
fn grant(tx: &mut Tx<'_>, build: BuildId) {
    let waiting = tx.state().builds.get(&build).and_then(|entry| entry.steps.last());
    let Some(step) = waiting else {
        unreachable!("the index named build {build}, which has no step that waits");
    };
    let step = step.id;
    tx.emit(Event::StepLocksAcquired {
        step,
        build,
        state_string: "running".into(),
    });
}

/// Starts a build; `chosen` by a function, or because it goes first.
pub(super) fn start(tx: &mut Tx<'_>, next: Start, chosen: bool) {
    let state = tx.state();
    let (Some(master), Some(request), Some(builder), Some(worker)) = (
        state.master(),
        state.request(next.request),
        state.builder(next.builder),
        state.worker(next.worker),
    ) else {
        unreachable!("the index named {next:?}, of which a part is not there");
    };
    let id = tx.next_build();
    let build = BuildRecord {
        id,
        number: builder.next_number,
        builder: builder.id,
        request: request.id,
        attempt: request.attempts + 1,
        worker: worker.id,
        instance: worker
            .connection
            .as_ref()
            .map(|connection| connection.instance.clone())
            .unwrap_or_default(),
        slot: next.slot,
        master: master.id,
        config: state.config.clone(),
        started_at: tx.now(),
        complete_at: None,
        results: None,
        cause: None,
        state_string: "building".into(),
        properties: properties(state, request, builder, worker, next.slot),
        stop: None,
        lost: None,
        waits: None,
    };
    let buildset = request.buildset;
    tx.emit(Event::BuildStarted { build, chosen });
    pipelines::build_moved(tx, buildset, JobState::Running);
    lifecycle::advance(tx, id);
}

/// Properties that a build starts with. Later ones win: those of the changes, the builder, the worker, the
/// scheduler and the buildset, and at last the build's own.
fn properties(
    state: &State,
    request: &BuildRequestRecord,
    builder: &BuilderRecord,
    worker: &WorkerRecord,
    slot: u32,
) -> Properties {
    let mut all = Properties::new();
    let buildset = state.buildset(request.buildset);
    let asked = || buildset.into_iter().flat_map(|buildset| &buildset.properties.0);
    for (name, property) in asked().filter(|(_, property)| property.source == "Change") {
        all.0.insert(name.clone(), property.clone());
    }
    let definition = state.plan.builders.get(&builder.name);
    if let Some(definition) = definition {
        all.update(&definition.property_set());
    }
    all.set("buildername", builder.name.as_str(), "Builder");
    all.set("builderid", builder.id.0, "Builder");
    if let Some(definition) = state.plan.workers.get(&worker.name) {
        for (name, value) in &definition.properties {
            all.set(name, value.clone(), "Worker");
        }
    }
    all.set("workername", worker.name.as_str(), "Worker");
    let directory = definition.map_or_else(String::new, |definition| build::workdir(definition, slot));
    match worker.info.facts.get("basedir").and_then(Value::as_str) {
        Some(basedir) => {
            all.set("basedir", basedir, "Worker");
            all.set(
                "builddir",
                format!("{}/{directory}", basedir.trim_end_matches('/')),
                "Worker",
            );
        }
        None => all.set("builddir", directory, "Worker"),
    }
    for (name, property) in asked().filter(|(_, property)| property.source != "Change") {
        all.0.insert(name.clone(), property.clone());
    }
    all.set("buildnumber", builder.next_number, "Build");
    let stamps: Vec<_> = buildset
        .map(|buildset| state.stamps_of(buildset).collect())
        .unwrap_or_default();
    if let [stamp] = stamps[..] {
        let stamp = &stamp.stamp;
        all.set("branch", json!(stamp.branch), "Build");
        all.set("revision", json!(stamp.revision), "Build");
        all.set("repository", stamp.repository.as_str(), "Build");
        all.set("project", stamp.project.as_str(), "Build");
        all.set("codebase", stamp.codebase.as_str(), "Build");
    }
    let mut owners: BTreeSet<String> = all
        .get("owners")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|owner| owner.as_str().map(str::to_owned))
        .collect();
    owners.extend(all.get("owner").and_then(Value::as_str).map(str::to_owned));
    if !owners.is_empty() {
        all.set("owners", owners.into_iter().collect::<Vec<_>>(), "Build");
    }
    all
}
