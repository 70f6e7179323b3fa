//! One build: its steps, one after another, as the engine starts them.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use ironmaster_engine::{Assignment, Input, Refusal, StepOutcome, StepReport};
use ironmaster_model::{Cause, Properties, Results, StepId, StepRecord};
use ironmaster_steps::{StepContext, StepEnd, make_step};
use tokio::sync::watch;

use super::{Control, Runner, host::Host};
use crate::{
    committer::{Committer, SubmitError},
    crash,
};

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
    crash::point("step_ended");
    submit_end(&runner.committer, report, end, &step.name).await?;
    crash::point("outcome_committed");
    link.forget(|id| id.build == step.build.0 && id.step == step.number);
    drop(logs);
    Ok(())
}

/// Reports how a step ended. What it wants to say besides may be refused, but never that it has ended: its build would go on for ever.
async fn submit_end(
    committer: &Committer,
    report: StepReport,
    end: StepEnd,
    name: &str,
) -> Result<(), SubmitError> {
    let bare = StepReport {
        properties: Properties::new(),
        urls: None,
        ..report.clone()
    };
    let submit = async |report, end: StepEnd| {
        let outcome = StepOutcome {
            state_string: state_string(end.results, &end.summary),
            results: end.results,
            cause: end.cause,
            hidden: false,
        };
        let ended = Input::StepEnded { report, outcome };
        committer.submit_fact(ended).await.map(drop)
    };
    match submit(report, end).await {
        Err(SubmitError::Refused(refusal)) if !matches!(refusal, Refusal::NotLive { .. }) => {
            tracing::warn!(build = %bare.build, step = name, %refusal, "a step's end was refused");
            submit(bare, broken(name, refusal.to_string())).await
        }
        done => done,
    }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ironmaster_engine::Reply;
    use ironmaster_model::BuildId;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::committer::Request;

    /// What the engine is told when it answers so; and what the runner makes of it.
    async fn told(answers: Vec<Result<Reply, SubmitError>>) -> (Vec<(StepReport, StepOutcome)>, bool) {
        let (committer, mut requests) = Committer::channel(CancellationToken::new());
        let engine = tokio::spawn(async move {
            let mut told = Vec::new();
            for result in answers {
                let Some(Request::Decide(input, _, _, answer)) = requests.recv().await else {
                    panic!("it is told something");
                };
                let Input::StepEnded { report, outcome } = *input else {
                    panic!("{input:?}");
                };
                told.push((report, outcome));
                answer.send(result).expect("somebody waits");
            }
            told
        });
        let mut properties = Properties::new();
        properties.set("", "x", "test");
        let report = StepReport {
            build: BuildId(1),
            step: StepId(1),
            effects: Vec::new(),
            saves: Vec::new(),
            properties,
            state_string: None,
            urls: None,
        };
        let end = StepEnd::success("done");
        let done = submit_end(&committer, report, end, "make").await;
        (engine.await.expect("no panic"), done.is_ok())
    }

    #[tokio::test]
    async fn a_step_whose_end_is_refused_has_ended_all_the_same() {
        let fields = BTreeMap::from([("properties".to_owned(), "too many".to_owned())]);
        let invalid = Refusal::Invalid { fields };
        let (told, taken) = told(vec![Err(invalid.into()), Ok(Reply::Done)]).await;
        assert!(taken);
        assert_eq!(told[0].1.results, Results::Success);
        let (report, outcome) = &told[1];
        assert_eq!(
            (outcome.results, report.properties.is_empty()),
            (Results::Exception, true)
        );
        assert!(outcome.state_string.contains("too many"), "{outcome:?}");
    }

    #[tokio::test]
    async fn the_end_of_an_attempt_that_was_given_up_is_told_once() {
        let late = Refusal::NotLive {
            what: "step 1".into(),
        };
        let (told, taken) = told(vec![Err(late.into())]).await;
        assert_eq!((told.len(), taken), (1, false));
    }
}
