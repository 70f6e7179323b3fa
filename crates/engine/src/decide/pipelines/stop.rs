//! How runs and jobs end early: somebody stops them, or they take too long.

use ironmaster_model::{
    Cause, Event, JobId, JobProgress, JobState, Results, RunId, RunProgress, RunState, pipeline::NeedsOn,
};

use super::{super::request, Work, define, job_moved};
use crate::{Tx, pipeline};

/// Who stops what takes too long.
pub(super) const TIMEOUT: &str = "timeout";

/// Stops a run: what has not started never does, what runs is asked to end. Jobs that always run do so once what they need is
/// over; they are left out if the run is stopped again, or has not begun.
pub(super) fn stop(tx: &mut Tx<'_>, id: RunId, by: &str, reason: &str) {
    let Some(run) = tx.state().run_entry(id) else {
        return;
    };
    let again = run.record.progress.state == RunState::Stopping;
    let begun = run.record.progress.state > RunState::Queued;
    let all = again || !begun;
    if !again {
        let progress = RunProgress {
            state: RunState::Stopping,
            stop: Some((by.to_owned(), reason.to_owned())),
            ..run.record.progress.clone()
        };
        tx.emit(Event::RunMoved { run: id, progress });
    }
    let count = tx.state().run_entry(id).map_or(0, |run| run.jobs.len());
    if count == 0 {
        // Its jobs were not known yet.
        tx.note_work(Work::Finish(id));
    }
    for number in 0..count {
        let Some((run, job)) = tx
            .state()
            .run_entry(id)
            .and_then(|run| Some((run, run.job(number as u32)?)))
        else {
            continue;
        };
        let progress = &job.record.progress;
        let always = job.record.definition.needs_on == NeedsOn::Always;
        match progress.state {
            JobState::Waiting | JobState::AwaitingApproval => {
                if always && !all {
                    continue;
                }
                let progress = JobProgress {
                    state: JobState::Skipped,
                    results: Some(Results::Cancelled),
                    why: Some(pipeline::stopped(run)),
                    complete_at: Some(tx.now()),
                    ..progress.clone()
                };
                job_moved(tx, id, number as u32, progress);
            }
            JobState::Queued | JobState::Running => {
                if always && !all {
                    continue;
                }
                end_work(tx, id, number as u32, by, reason);
            }
            JobState::Complete | JobState::Skipped | JobState::Expired => {}
        }
    }
}

/// Asks what a job does to end.
fn end_work(tx: &mut Tx<'_>, id: RunId, number: u32, by: &str, reason: &str) {
    let Some(job) = tx.state().run_entry(id).and_then(|run| run.job(number)) else {
        return;
    };
    let progress = &job.record.progress;
    if let Some(child) = progress.child {
        tx.note_work(Work::Stop {
            run: child,
            by: by.to_owned(),
            reason: reason.to_owned(),
        });
    } else if let Some(request) = progress.request {
        // It is there and not over, so it is not refused.
        let _ = request::cancel(tx, request, by.to_owned(), reason.to_owned());
    }
}

/// A job has waited or run for as long as it may.
pub(in crate::decide) fn job_due(tx: &mut Tx<'_>, id: JobId) {
    let Some((run, job)) = tx.state().job_entry(id) else {
        return;
    };
    let (run, number) = (run.record.id, job.record.number);
    let mut progress = job.record.progress.clone();
    if progress.state == JobState::Running {
        progress.timed_out = true;
        job_moved(tx, run, number, progress);
        return end_work(tx, run, number, TIMEOUT, "the job took too long");
    }
    let waited_for = match progress.state {
        JobState::AwaitingApproval => "nobody has approved it in time",
        _ => "no worker was free in time",
    };
    let request = progress.request.filter(|_| progress.state == JobState::Queued);
    progress.state = JobState::Expired;
    progress.results = Some(Results::Exception);
    progress.why = Some(waited_for.into());
    progress.cause = Some(Cause::Timeout {
        limit: "expires".into(),
    });
    progress.complete_at = Some(tx.now());
    job_moved(tx, run, number, progress);
    if let Some(request) = request {
        let _ = request::cancel(tx, request, TIMEOUT.into(), waited_for.into());
    }
}

/// A run has gone on for as long as it may.
pub(in crate::decide) fn run_due(tx: &mut Tx<'_>, run: RunId) {
    let defining = tx.state().run(run).map(|run| run.progress.state) == Some(RunState::Defining);
    if defining {
        return define::give_up(tx, run);
    }
    stop(tx, run, TIMEOUT, "the run took too long");
}
