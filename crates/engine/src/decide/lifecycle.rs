//! How builds end: the next step or the end, lost machines, stop requests, retries, and the buildset's end.

use ironmaster_model::{
    BuildId, BuildRecord, BuildRequestId, BuildsetId, Cause, Counter, Event, JobState, LogId, LogKind,
    LogRecord, RequestPhase, Results, StepId, StepRecord, Waits, WorkerId,
};
use serde_json::Value;

use super::{completed::Completed, not_live, pipelines, trigger, worker as workers};
use crate::{
    Refusal, Reply, Tx, build,
    planted::{Bug, planted},
    state::BuildEntry,
};

pub(super) fn stop(tx: &mut Tx<'_>, id: BuildId, by: &str, reason: String) -> Result<Reply, Refusal> {
    let build = tx.state().build(id).ok_or_else(|| not_live(tx, id))?;
    if build.stop.is_none() {
        let children = children_of(build);
        tx.emit(Event::BuildStopRequested {
            build: id,
            by: by.to_owned(),
            reason,
        });
        let reason = format!("build {id} was stopped, which waited for it");
        trigger::cancel_children(tx, &children, by, &reason);
    }
    give_up_waiting(tx, id);
    Ok(Reply::Done)
}

/// Ends a step that waits for its locks, as its build is to stop or has no machine any more. Of a step that runs its code
/// says how it ends.
fn give_up_waiting(tx: &mut Tx<'_>, id: BuildId) {
    let Some(entry) = tx.state().builds.get(&id) else {
        return;
    };
    let waits = |step: &&StepRecord| step.complete_at.is_none() && step.locks_acquired_at.is_none();
    let Some(step) = entry.steps.last().filter(waits) else {
        return;
    };
    let (results, cause) = match (&entry.record.lost, &entry.record.stop) {
        (Some(reason), _) => {
            let reason = reason.clone();
            (Results::Retry, Cause::Infrastructure { reason })
        }
        (None, Some((by, reason))) => {
            let (by, reason) = (by.clone(), reason.clone());
            (Results::Cancelled, Cause::Cancelled { by, reason })
        }
        (None, None) => return,
    };
    let finished = Event::StepFinished {
        step: step.id,
        build: id,
        results,
        cause: Some(cause),
        state_string: format!(
            "'{}' was given up while it waited for locks ({results})",
            step.name
        ),
        urls: step.urls.clone(),
        hidden: step.hidden,
    };
    tx.emit(finished);
    advance(tx, id);
}

pub(super) fn lost(tx: &mut Tx<'_>, id: BuildId, reason: String) -> Result<Reply, Refusal> {
    let build = tx.state().build(id).ok_or_else(|| not_live(tx, id))?;
    if build.lost.is_none() {
        tx.emit(Event::BuildLost { build: id, reason });
        give_up_waiting(tx, id);
    }
    Ok(Reply::Done)
}

/// Buildsets that a build waits for.
fn children_of(build: &BuildRecord) -> Vec<BuildsetId> {
    build.waits.iter().flat_map(Waits::open).collect()
}

/// States that a worker's builds are lost, once for each; not those of the process `surviving`.
pub(super) fn lose_all_on(tx: &mut Tx<'_>, worker: WorkerId, surviving: Option<&str>, reason: &str) {
    let lost: Vec<BuildId> = tx
        .state()
        .queue
        .builds_on(worker)
        .filter(|id| {
            tx.state()
                .build(*id)
                .is_some_and(|build| build.lost.is_none() && surviving != Some(&build.instance))
        })
        .collect();
    for build in lost {
        tx.emit(Event::BuildLost {
            build,
            reason: reason.to_owned(),
        });
        give_up_waiting(tx, build);
    }
}

/// Goes on with a build whose last step has ended, or that has just started: its next step, or its end.
pub(super) fn advance(tx: &mut Tx<'_>, id: BuildId) {
    let Some(entry) = tx.state().builds.get(&id) else {
        return;
    };
    // A plan that lost the builder cannot happen while builds use it; an empty definition ends the build.
    let definition = tx.state().definition_of(&entry.record);
    let progress = definition.map(|builder| build::progress(builder, &entry.steps));
    let from = entry.steps.last().map_or(0, |step| step.definition as usize + 1);
    let stopped = entry.record.stop.is_some();
    let machine_gone = entry.record.lost.is_some()
        || entry
            .steps
            .iter()
            .any(|step| step.results == Some(Results::Retry));
    let terminate = progress.is_some_and(|progress| progress.terminate) && !planted(Bug::HaltIgnored);
    let next = definition.and_then(|builder| build::next_step(builder, from, stopped || terminate));
    match next {
        Some((index, step)) if !machine_gone => {
            let (name, logs) = (step.name.clone(), step.logs.clone());
            let locked = !step.locks.is_empty();
            start_step(tx, id, index, name, &logs, locked);
        }
        _ => {
            let mut results = progress.map_or(Results::Exception, |progress| progress.results);
            if next.is_some() {
                // What is left to do cannot be done: the machine is gone.
                results = results.worst(Results::Retry);
            }
            if stopped {
                results = Results::Cancelled;
            }
            finish(tx, id, results);
        }
    }
}

fn start_step(tx: &mut Tx<'_>, build: BuildId, definition: u32, name: String, logs: &[String], locked: bool) {
    let id = StepId(tx.next_id(Counter::Step));
    let first_log = tx.next_id(Counter::Log);
    let mut records: Vec<LogRecord> = Vec::with_capacity(logs.len());
    for (index, log) in logs.iter().enumerate() {
        let slug = build::slug(log, |slug| records.iter().any(|record| record.slug == slug));
        records.push(LogRecord {
            id: LogId(first_log + index as u64),
            step: id,
            build,
            name: log.clone(),
            slug,
            kind: if log == "stdio" {
                LogKind::Stdio
            } else {
                LogKind::Text
            },
            complete: false,
            num_lines: 0,
            raw_bytes: 0,
        });
    }
    let number = tx
        .state()
        .builds
        .get(&build)
        .map_or(0, |entry| entry.steps.len() as u32);
    let started_at = tx.now();
    tx.emit(Event::StepStarted {
        step: StepRecord {
            id,
            build,
            number,
            definition,
            name,
            started_at,
            locks_acquired_at: (!locked).then_some(started_at),
            complete_at: None,
            results: None,
            cause: None,
            state_string: if locked { "waiting for locks" } else { "running" }.into(),
            urls: Vec::new(),
            hidden: false,
        },
        logs: records,
    });
}

/// Ends a build, and with it its request, unless the attempt was lost and another one is allowed.
fn finish(tx: &mut Tx<'_>, id: BuildId, computed: Results) {
    let Some(entry) = tx.state().builds.get(&id) else {
        return;
    };
    let build = &entry.record;
    let children = children_of(build);
    let (request, builder, worker, attempt) = (build.request, build.builder, build.worker, build.attempt);
    let built = build.properties.get("got_revision").cloned();
    let attempts_max = tx
        .state()
        .definition_of(build)
        .map_or(1, |definition| definition.attempts_max.max(1));
    let attempts_max = if planted(Bug::AttemptsOffByOne) {
        attempts_max + 1
    } else {
        attempts_max
    };
    let exhausted = computed == Results::Retry && attempt >= attempts_max;
    let results = if exhausted { Results::Exception } else { computed };
    let cause = if exhausted {
        Some(exhausted_cause(entry, attempts_max))
    } else {
        cause_of(entry, computed)
    };
    let state_string = summary(entry, results, cause.as_ref());
    if matches!(results, Results::Success | Results::Warnings) {
        pipelines::keep_outputs(tx, id);
    }
    tx.emit(Event::BuildFinished {
        build: id,
        builder,
        worker,
        results,
        cause: cause.clone(),
        state_string,
    });
    let reason = format!("build {id} is over, which waited for it");
    trigger::cancel_children(tx, &children, "ironmaster", &reason);
    workers::build_over(tx, worker);
    if results == Results::Retry {
        if !planted(Bug::LostRequeue) {
            tx.emit(Event::RequestRequeued { request });
            if let Some(buildset) = tx.state().request(request).map(|request| request.buildset) {
                pipelines::build_moved(tx, buildset, JobState::Queued);
            }
        }
    } else {
        complete_with(tx, request, results, cause, built);
    }
}

/// Ends a request that is not over, and its buildset if it was the last one.
pub(super) fn complete(tx: &mut Tx<'_>, id: BuildRequestId, results: Results, cause: Option<Cause>) {
    complete_with(tx, id, results, cause, None);
}

/// The same at the end of a build, which has checked out these revisions.
fn complete_with(
    tx: &mut Tx<'_>,
    id: BuildRequestId,
    results: Results,
    cause: Option<Cause>,
    built: Option<Value>,
) {
    let Some(record) = tx.state().request(id) else {
        return;
    };
    if matches!(record.phase, RequestPhase::Complete { .. }) {
        return;
    }
    let (builder, buildset) = (record.builder, record.buildset);
    tx.emit(Event::RequestCompleted {
        request: id,
        builder,
        results,
        cause,
    });
    complete_buildset(tx, buildset, built);
}

fn complete_buildset(tx: &mut Tx<'_>, id: BuildsetId, built: Option<Value>) {
    let Some(entry) = tx.state().buildsets.get(&id).filter(|entry| entry.open == 0) else {
        return;
    };
    let results = entry
        .requests
        .iter()
        .filter_map(|request| match tx.state().request(*request)?.phase {
            RequestPhase::Complete { results, .. } => Some(results),
            _ => None,
        })
        .reduce(Results::worst)
        .unwrap_or(Results::Success);
    let completed = tx.state().is_followed(&entry.record).then(|| Completed {
        buildset: entry.record.clone(),
        results,
        cause: entry
            .requests
            .iter()
            .find_map(|request| match &tx.state().request(*request)?.phase {
                RequestPhase::Complete { cause, .. } => cause.clone(),
                _ => None,
            }),
        built,
    });
    tx.emit(Event::BuildsetCompleted {
        buildset: id,
        results,
    });
    if let Some(completed) = completed {
        tx.note_completed(completed);
    }
}

fn exhausted_cause(entry: &BuildEntry, attempts_max: u32) -> Cause {
    let last = match cause_of(entry, Results::Retry) {
        Some(Cause::Infrastructure { reason }) => reason,
        Some(cause) => cause.to_string(),
        None => "unknown".into(),
    };
    let reason = match attempts_max {
        1 => format!("the attempt was lost, and only one is allowed: {last}"),
        n => format!("all {n} attempts were lost; the last one: {last}"),
    };
    Cause::Infrastructure { reason }
}

/// Why a build ended so: who stopped it, what was lost, or the step that made it so.
fn cause_of(entry: &BuildEntry, results: Results) -> Option<Cause> {
    let build = &entry.record;
    if let (Results::Cancelled, Some((by, reason))) = (results, &build.stop) {
        return Some(Cause::Cancelled {
            by: by.clone(),
            reason: reason.clone(),
        });
    }
    if let (Results::Retry, Some(reason)) = (results, &build.lost) {
        return Some(Cause::Infrastructure {
            reason: reason.clone(),
        });
    }
    if matches!(results, Results::Success | Results::Skipped) {
        return None;
    }
    entry
        .steps
        .iter()
        .find(|step| step.results == Some(results))
        .and_then(|step| step.cause.clone())
}

/// A line for people about how a build ended.
fn summary(entry: &BuildEntry, results: Results, cause: Option<&Cause>) -> String {
    let steps = |wanted: &[Results]| {
        let names: Vec<String> = entry
            .steps
            .iter()
            .filter(|step| step.results.is_some_and(|results| wanted.contains(&results)))
            .map(|step| format!("'{}'", step.name))
            .collect();
        names.join(" ")
    };
    let with = |word: &str, names: String| {
        if names.is_empty() {
            word.to_owned()
        } else {
            format!("{word} {names}")
        }
    };
    let because = |word: &str| cause.map_or_else(|| word.to_owned(), |cause| format!("{word} ({cause})"));
    match results {
        Results::Success | Results::Skipped => "build successful".into(),
        Results::Warnings => with("warnings", steps(&[Results::Warnings, Results::Failure])),
        Results::Failure => with("failed", steps(&[Results::Failure, Results::Warnings])),
        Results::Exception => {
            let names = steps(&[Results::Exception]);
            if names.is_empty() {
                because("exception")
            } else {
                with("exception", names)
            }
        }
        Results::Retry => because("retry"),
        Results::Cancelled => because("cancelled"),
    }
}
