//! Whether a job of a pipeline may start, and why not: the one predicate that decides and that answers people.

use std::collections::BTreeMap;

use ironmaster_model::{
    Cause, JobId, JobState, Properties, Results, RunState,
    pipeline::{ConditionDef, FailureClass, NeedsOn},
    properties::render,
};
use serde_json::Value;

use crate::{
    State, Waiting,
    filter::Pattern,
    planted::{Bug, planted},
    state::{JobEntry, RunEntry},
};

/// What becomes of a job whose needs are over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It starts.
    Start,
    /// Somebody has to approve it.
    Ask,
    /// It never starts.
    Skip { results: Results, why: String },
}

/// Globs that were compiled already.
#[derive(Debug, Default)]
pub(crate) struct Patterns(BTreeMap<String, Pattern>);

impl Patterns {
    fn matches(&mut self, pattern: &str, text: &str) -> bool {
        if !self.0.contains_key(pattern) {
            self.0.insert(pattern.to_owned(), Pattern::new(pattern));
        }
        self.0.get(pattern).is_some_and(|pattern| pattern.matches(text))
    }
}

/// What becomes of a job whose needs are over.
pub(crate) fn verdict(state: &State, run: &RunEntry, job: &JobEntry, patterns: &mut Patterns) -> Verdict {
    let definition = &job.record.definition;
    if run.record.progress.state == RunState::Stopping && definition.needs_on != NeedsOn::Always {
        return Verdict::Skip {
            results: Results::Cancelled,
            why: stopped(run),
        };
    }
    let skip = |why| Verdict::Skip {
        results: Results::Skipped,
        why,
    };
    if let Some(why) = unmet(run, job) {
        return skip(why);
    }
    if let Some(when) = &definition.when
        && let Err(why) = holds(state, run, job, when, patterns)
    {
        return skip(why);
    }
    if let Some(unless) = &definition.unless
        && holds(state, run, job, unless, patterns).is_ok()
    {
        return skip("what it is skipped for (`unless`) holds".into());
    }
    if definition.approval.is_some() && !planted(Bug::ApprovalForgotten) {
        Verdict::Ask
    } else {
        Verdict::Start
    }
}

/// Why a run ends early, for its jobs.
pub(crate) fn stopped(run: &RunEntry) -> String {
    match &run.record.progress.stop {
        Some((by, reason)) => format!("the run was stopped by {by}: {reason}"),
        None => "the run was stopped".into(),
    }
}

/// Why the needs have not ended as the job wants it; none if they have.
fn unmet(run: &RunEntry, job: &JobEntry) -> Option<String> {
    let definition = &job.record.definition;
    let total = job.record.needs.len() as u64;
    match (definition.needs_on, definition.needs_share) {
        _ if total == 0 => None,
        (NeedsOn::Success, Some(share)) => {
            let share = u64::from(share);
            let enough = if planted(Bug::ShareRoundsDown) {
                u64::from(job.succeeded) >= share * total / 1000
            } else {
                u64::from(job.succeeded) * 1000 >= share * total
            };
            (!enough).then(|| {
                format!(
                    "{} of the {total} jobs that it needs have succeeded, and it wants {}.{} %",
                    job.succeeded,
                    share / 10,
                    share % 10
                )
            })
        }
        (NeedsOn::Success, None) => {
            (u64::from(job.succeeded) < total).then(|| first(run, job, |need| !need.has_succeeded()))
        }
        (NeedsOn::NotFailed, _) => {
            (job.broken > 0).then(|| first(run, job, |need| need.has_failed() && !need.has_succeeded()))
        }
        (NeedsOn::Failure, _) => {
            (job.failed == 0).then(|| "none of the jobs that it needs has failed".to_owned())
        }
        (NeedsOn::Completion | NeedsOn::Always, _) => None,
    }
}

fn first(
    run: &RunEntry,
    job: &JobEntry,
    is_it: impl Fn(&ironmaster_model::PipelineJobRecord) -> bool,
) -> String {
    let found = job
        .record
        .needs
        .iter()
        .filter_map(|need| run.job(*need))
        .find(|need| is_it(&need.record));
    match found {
        Some(need) => {
            let results = need.record.progress.results.unwrap_or(Results::Skipped);
            let how = match (need.record.progress.state, results) {
                (JobState::Expired, _) => "has expired".to_owned(),
                (JobState::Skipped, _) => "was skipped".to_owned(),
                _ => format!("ended with {results}"),
            };
            format!("it needs `{}`, which {how}", need.record.name)
        }
        None => "what it needs has not ended as it should".into(),
    }
}

/// Whether a condition holds; else what does not.
fn holds(
    state: &State,
    run: &RunEntry,
    job: &JobEntry,
    condition: &ConditionDef,
    patterns: &mut Patterns,
) -> Result<(), String> {
    if !condition.branches.is_empty() {
        let branches: Vec<&str> = run
            .record
            .sourcestamps
            .iter()
            .filter_map(|id| state.stamps.by_id.get(id))
            .filter_map(|held| held.record.stamp.branch.as_deref())
            .collect();
        let matched = condition
            .branches
            .iter()
            .any(|pattern| branches.iter().any(|branch| patterns.matches(pattern, branch)));
        if !matched {
            return Err(match branches.first() {
                Some(branch) => format!("it is not for the branch `{branch}`"),
                None => "it is for certain branches, and the run has none".into(),
            });
        }
    }
    if !condition.files.is_empty()
        && let Some(files) = &run.record.files
    {
        let matched = condition
            .files
            .iter()
            .any(|pattern| files.iter().any(|file| patterns.matches(pattern, file)));
        if !matched {
            return Err("no changed file concerns it".into());
        }
    }
    for (name, wanted) in &condition.properties {
        let found = lookup(run, job, name);
        if !wanted.iter().any(|value| found == Some(value)) {
            let found = found.map_or_else(|| "not set".to_owned(), |value| format!("`{}`", render(value)));
            return Err(format!("the property `{name}` is {found}"));
        }
    }
    for (name, wanted) in &condition.results {
        let met = job
            .record
            .needs
            .iter()
            .filter_map(|need| run.job(*need))
            .any(|need| {
                (need.record.name == *name || need.record.group == *name)
                    && need
                        .record
                        .progress
                        .results
                        .is_some_and(|results| wanted.contains(&results))
            });
        if !met {
            return Err(format!("`{name}` has not ended as it should"));
        }
    }
    Ok(())
}

/// A property as a job's conditions see it: what its needs give (later ones win), then what the run has.
fn lookup<'a>(run: &'a RunEntry, job: &'a JobEntry, name: &str) -> Option<&'a Value> {
    job.record
        .needs
        .iter()
        .rev()
        .find_map(|need| run.job(*need)?.record.progress.outputs.get(name))
        .or_else(|| run.record.properties.get(name))
        .or_else(|| run.record.definition.properties.get(name))
}

/// Properties of a job's builds. Later ones win: those of the pipeline, of the run, of the jobs that it needs, and its own.
pub(crate) fn properties(run: &RunEntry, job: &JobEntry) -> Properties {
    let mut all = Properties::new();
    for (name, value) in &run.record.definition.properties {
        all.set(name, value.clone(), "Pipeline");
    }
    all.update(&run.record.properties);
    for need in job.record.needs.iter().filter_map(|need| run.job(*need)) {
        all.update(&need.record.progress.outputs);
    }
    for (name, value) in job.record.matrix.iter().chain(&job.record.definition.properties) {
        all.set(name, value.clone(), "Job");
    }
    all.set("pipeline", run.record.definition.name.as_str(), "Pipeline");
    all.set("pipeline_run", run.record.id.0, "Pipeline");
    all.set("pipeline_job", job.record.name.as_str(), "Pipeline");
    all
}

/// Whether a failure is one that a job is tried again for.
pub(crate) fn is_class(class: FailureClass, results: Results, cause: Option<&Cause>) -> bool {
    if !matches!(results, Results::Failure | Results::Exception) {
        return false;
    }
    match class {
        FailureClass::Infrastructure => matches!(cause, Some(Cause::Infrastructure { .. })),
        FailureClass::ExitCode => {
            matches!(cause, Some(Cause::ExitCode { .. } | Cause::Signal { .. }))
        }
        FailureClass::Timeout => matches!(cause, Some(Cause::Timeout { .. })),
        FailureClass::Any => true,
    }
}

impl State {
    /// Why a job has not started, and what would make it start; none if it runs or is over.
    pub fn why_job_waits(&self, id: JobId) -> Option<String> {
        let (run, number) = self.runs.jobs.get(&id)?;
        let run = self.runs.by_id.get(run)?;
        let job = run.job(*number)?;
        match job.record.progress.state {
            JobState::Waiting if run.record.progress.state == RunState::Queued => Some(
                run.record
                    .progress
                    .why
                    .clone()
                    .unwrap_or_else(|| "its run has not begun".into()),
            ),
            JobState::Waiting => {
                let open: Vec<String> = job
                    .record
                    .needs
                    .iter()
                    .filter_map(|need| run.job(*need))
                    .filter(|need| !need.record.progress.state.is_over())
                    .map(|need| format!("`{}`", need.record.name))
                    .collect();
                Some(format!("it needs {}", crate::watch::list(&open)))
            }
            JobState::AwaitingApproval => {
                let who = job
                    .record
                    .definition
                    .approval
                    .as_ref()
                    .map(|approval| &approval.users)
                    .filter(|users| !users.is_empty());
                Some(match who {
                    Some(users) => format!("one of these has to approve it: {}", crate::watch::list(users)),
                    None => "somebody has to approve it".into(),
                })
            }
            JobState::Queued => {
                let request = job.record.progress.request?;
                match self.why_waiting(request) {
                    Waiting::Unknown | Waiting::Building { .. } | Waiting::Complete { .. } => None,
                    waiting => Some(format!("build request {request}: {waiting}")),
                }
            }
            JobState::Running | JobState::Complete | JobState::Skipped | JobState::Expired => None,
        }
    }
}
