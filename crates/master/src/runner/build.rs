//! One build: its steps, one after another, as the engine starts them.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use ironmaster_engine::{Assignment, Input, StepOutcome};
use ironmaster_model::{Cause, Results, StepId, StepRecord};
use ironmaster_steps::{StepContext, StepEnd, make_step};
use tokio::sync::watch;

use super::{Control, Runner, host::Host};
use crate::{committer::SubmitError, crash};

/// Runs a build until it is over. `resumed` says that an earlier process of this master had begun it.
pub(super) async fn run(runner: Arc<Runner>, mut control: watch::Receiver<Control>, mut resumed: bool) {
    let mut last: Option<StepId> = None;
    let (build, worker) = {
        let control = control.borrow();
        let step = control.assignment.step.as_ref();
        // A step that waited for its locks has done nothing yet that could be taken up again.
        resumed &= step.is_some_and(|step| step.locks_acquired_at.is_some());
        (
            control.assignment.build.id,
            control.assignment.worker_name.clone(),
        )
    };
    loop {
        let current = control.borrow_and_update().clone();
        if current.over {
            break;
        }
        if let Some(step) = current
            .assignment
            .step
            .clone()
            .filter(|step| Some(step.id) != last && step.locks_acquired_at.is_some())
        {
            last = Some(step.id);
            let done = tokio::select! {
                done = run_step(&runner, &control, &current, step, resumed) => done,
                () = runner.stop.cancelled() => return,
            };
            resumed = false;
            match done {
                Ok(()) => {}
                // The attempt was given up meanwhile: what it did is not wanted any more.
                Err(SubmitError::Refused(refusal)) => {
                    tracing::info!(%build, %refusal, "a step's outcome came too late");
                }
                Err(SubmitError::Stopping | SubmitError::Unavailable { .. }) => return,
            }
            continue;
        }
        tokio::select! {
            changed = control.changed() => if changed.is_err() { break },
            () = runner.stop.cancelled() => return,
        }
    }
    runner.workers.link(&worker).forget(|id| id.build == build.0);
    runner.files.forget(build.0);
}

/// Runs one step and reports how it ended.
async fn run_step(
    runner: &Arc<Runner>,
    control: &watch::Receiver<Control>,
    current: &Control,
    step: StepRecord,
    resumed: bool,
) -> Result<(), SubmitError> {
    let assignment = &current.assignment;
    let link = runner.workers.link(&assignment.worker_name);
    let mut host = Host::new(
        runner.clone(),
        link.clone(),
        control.clone(),
        current,
        &step,
        resumed,
    )
    .await;
    let gone = assignment
        .build
        .lost
        .as_deref()
        .or(host.broken())
        .map(str::to_owned);
    let mut end = match gone {
        Some(reason) => lost(&step.name, reason),
        None => run_definition(assignment, &step, &mut host).await,
    };
    tracing::debug!(build = %step.build, step = step.name, results = %end.results, "step ended");
    let (report, logs, error) = host.finish().await;
    if let Some(error) = error {
        end = lost(&step.name, error.to_string());
    }
    let outcome = StepOutcome {
        results: end.results,
        cause: end.cause,
        state_string: state_string(end.results, &end.summary),
        hidden: false,
    };
    crash::point("step_ended");
    runner
        .committer
        .submit_fact(Input::StepEnded { report, outcome })
        .await?;
    crash::point("outcome_committed");
    link.forget(|id| id.build == step.build.0 && id.step == step.number);
    drop(logs);
    Ok(())
}

async fn run_definition(assignment: &Assignment, step: &StepRecord, host: &mut Host) -> StepEnd {
    let Some(definition) = assignment.builder.steps.get(step.definition as usize) else {
        return broken(
            &step.name,
            "the configuration that this build runs under has no such step".into(),
        );
    };
    let Some(code) = make_step(definition) else {
        return broken(
            &step.name,
            format!("this program knows no steps of type \"{}\"", definition.kind),
        );
    };
    let mut ctx = StepContext::new(host);
    match AssertUnwindSafe(code.run(&mut ctx)).catch_unwind().await {
        Ok(Ok(end)) => end,
        Ok(Err(error)) => error.into_end(&step.name),
        Err(_) => {
            tracing::error!(build = %step.build, step = step.name, "a step panicked");
            broken(
                &step.name,
                "internal error in the step's code; the master's log has the details".into(),
            )
        }
    }
}

fn broken(name: &str, reason: String) -> StepEnd {
    StepEnd {
        results: Results::Exception,
        summary: format!("'{name}' could not run: {reason}"),
        cause: Some(Cause::Configuration { reason }),
    }
}

fn lost(name: &str, reason: String) -> StepEnd {
    StepEnd {
        results: Results::Retry,
        summary: format!("'{name}' was lost: {reason}"),
        cause: Some(Cause::Infrastructure { reason }),
    }
}

/// A step's summary with its result, as Buildbot's users know it.
fn state_string(results: Results, summary: &str) -> String {
    match results {
        Results::Success | Results::Skipped => summary.to_owned(),
        other => format!("{summary} ({other})"),
    }
}
