//! What the running step of a build says. Anything about another step comes from an attempt that was given
//! up, and is refused.

use ironmaster_model::{
    BuildId, Cause, Counter, Event, LogId, LogKind, LogRecord, Results, StepId, StepRecord,
    properties::COUNT_MAX,
};

use super::{invalid, lifecycle, not_live, pipelines};
use crate::{Refusal, Reply, StepOutcome, StepReport, Tx, build, state::BuildEntry};

pub(super) fn open_log(
    tx: &mut Tx<'_>,
    build: BuildId,
    step: StepId,
    name: String,
    kind: LogKind,
) -> Result<Reply, Refusal> {
    let (entry, _) = running(tx, build, step)?;
    if name.is_empty() {
        return Err(invalid("name", "a log needs a name"));
    }
    // A step that is replayed after a restart opens its logs again.
    if let Some(log) = entry.logs.values().find(|log| log.name == name) {
        return Ok(Reply::Log(log.clone()));
    }
    let slug = build::slug(&name, |slug| entry.logs.values().any(|log| log.slug == slug));
    let log = LogRecord {
        id: LogId(tx.next_id(Counter::Log)),
        step,
        build,
        name,
        slug,
        kind,
        complete: false,
        num_lines: 0,
        raw_bytes: 0,
    };
    tx.emit(Event::LogOpened { log: log.clone() });
    Ok(Reply::Log(log))
}

pub(super) fn progress(tx: &mut Tx<'_>, report: StepReport) -> Result<Reply, Refusal> {
    let (_, step) = running(tx, report.build, report.step)?;
    let state_string = report
        .state_string
        .clone()
        .filter(|text| *text != step.state_string);
    let urls = report.urls.clone().filter(|urls| *urls != step.urls);
    let updated = (state_string.is_some() || urls.is_some()).then(|| Event::StepUpdated {
        step: step.id,
        build: step.build,
        state_string: state_string.unwrap_or_else(|| step.state_string.clone()),
        urls: urls.unwrap_or_else(|| step.urls.clone()),
    });
    check(tx, &report)?;
    record(tx, report);
    if let Some(updated) = updated {
        tx.emit(updated);
    }
    Ok(Reply::Done)
}

pub(super) fn ended(tx: &mut Tx<'_>, report: StepReport, mut outcome: StepOutcome) -> Result<Reply, Refusal> {
    let (entry, step) = running(tx, report.build, report.step)?;
    if entry.record.waits.is_some() {
        // It has no slot to go on in. What waits does not end by itself: something has gone wrong with the attempt.
        outcome.results = Results::Retry;
        outcome.cause.get_or_insert_with(|| Cause::Infrastructure {
            reason: "the step ended while it waited for what it had triggered".into(),
        });
    }
    let urls = report.urls.clone().unwrap_or_else(|| step.urls.clone());
    let cause = outcome
        .cause
        .or_else(|| match (outcome.results, &entry.record.lost) {
            (Results::Retry, Some(reason)) => Some(Cause::Infrastructure {
                reason: reason.clone(),
            }),
            _ => None,
        });
    check(tx, &report)?;
    let (build, step) = (report.build, report.step);
    record(tx, report);
    tx.emit(Event::StepFinished {
        step,
        build,
        results: outcome.results,
        cause,
        state_string: outcome.state_string,
        urls,
        hidden: outcome.hidden,
    });
    lifecycle::advance(tx, build);
    Ok(Reply::Done)
}

/// The build and its step, if that is the one that runs.
pub(super) fn running<'a>(
    tx: &'a Tx<'_>,
    build: BuildId,
    step: StepId,
) -> Result<(&'a BuildEntry, &'a StepRecord), Refusal> {
    let entry = tx.state().builds.get(&build).ok_or_else(|| not_live(tx, build))?;
    entry
        .steps
        .last()
        .filter(|record| {
            record.id == step && record.complete_at.is_none() && record.locks_acquired_at.is_some()
        })
        .map(|record| (entry, record))
        .ok_or_else(|| Refusal::NotLive {
            what: format!("step {step} of build {build}"),
        })
}

fn check(tx: &Tx<'_>, report: &StepReport) -> Result<(), Refusal> {
    report
        .properties
        .validate()
        .map_err(|error| invalid("properties", error.to_string()))?;
    let Some(entry) = tx.state().builds.get(&report.build) else {
        return Err(not_live(tx, report.build));
    };
    let known = &entry.record.properties.0;
    let added = report
        .properties
        .0
        .keys()
        .filter(|name| !known.contains_key(*name));
    if known.len() + added.count() > COUNT_MAX {
        return Err(invalid(
            "properties",
            format!("a build has at most {COUNT_MAX} properties"),
        ));
    }
    for save in &report.saves {
        if !entry.logs.contains_key(&save.log) {
            return Err(Refusal::NotLive {
                what: format!("log {} of step {}", save.log, report.step),
            });
        }
    }
    Ok(())
}

/// Makes durable what a report carries. A log only grows, and once finished stays as it is: what says otherwise is
/// old news.
fn record(tx: &mut Tx<'_>, report: StepReport) {
    let StepReport {
        build,
        step,
        effects,
        mut saves,
        mut properties,
        ..
    } = report;
    if !effects.is_empty() {
        tx.emit(Event::EffectsRecorded { build, step, effects });
    }
    if let Some(entry) = tx.state().builds.get(&build) {
        saves.retain(|save| {
            entry.logs.get(&save.log).is_some_and(|log| {
                !log.complete && save.num_lines >= log.num_lines && save.raw_bytes >= log.raw_bytes
            })
        });
        let known = &entry.record.properties.0;
        properties
            .0
            .retain(|name, property| known.get(name) != Some(property));
    }
    if !saves.is_empty() {
        tx.emit(Event::LogsSaved { build, saves });
    }
    if !properties.is_empty() {
        let checked_out = properties.get("got_revision").is_some();
        tx.emit(Event::PropertiesSet { build, properties });
        if checked_out {
            pipelines::pin(tx, build);
        }
    }
}
