//! Decides what follows from an input: one file per family of inputs.
//!
//! Every decision has three parts: look whether the input is acceptable (and refuse it before anything was emitted),
//! state what happened, and at last start whatever can start now.

mod buildset;
mod change;
mod choose;
mod completed;
mod configure;
mod force;
mod judge;
pub(crate) mod launch;
mod lifecycle;
mod master;
mod pipelines;
mod request;
mod start;
mod step;
mod tick;
mod tries;
pub(crate) mod trigger;
mod worker;

use ironmaster_model::{BuildId, BuildRequestId, Counter};

pub use force::force_fields;
pub use pipelines::is_trusted;

use buildset::NewBuildset;
pub(crate) use buildset::stamp;
pub(crate) use completed::Completed;
pub(crate) use pipelines::Work;

use crate::{Input, Refusal, Reply, Tx};

/// Decides one input. What follows from it, everything that can start now included, is emitted to `tx`. A
/// refused input has emitted nothing.
pub fn decide(tx: &mut Tx<'_>, input: Input) -> Result<Reply, Refusal> {
    let before = tx.len();
    let answer = match input {
        Input::MasterStart { name, lease } => Ok(master::start(tx, name, lease)),
        Input::MasterStop => Ok(master::stop(tx)),
        Input::Drain { draining } => master::drain(tx, draining),
        Input::Configure { plan } => configure::configure(tx, &plan),
        Input::Change(change) => change::add(tx, change),
        Input::Force {
            scheduler,
            params,
            owner,
        } => force::force(tx, &scheduler, &params, owner),
        Input::Try(job) => tries::accept(tx, *job),
        Input::Rebuild {
            rebuilt,
            builder,
            sourcestamps,
            properties,
            owner,
        } => request::rebuild(tx, rebuilt, builder, sourcestamps, properties, &owner),
        Input::CancelRequest { request, by, reason } => request::cancel(tx, request, by, reason),
        Input::SetPriority { request, priority } => request::set_priority(tx, request, priority),
        Input::StopBuild { build, by, reason } => lifecycle::stop(tx, build, &by, reason),
        Input::EnableScheduler { scheduler, enabled } => configure::enable_scheduler(tx, scheduler, enabled),
        Input::PauseWorker {
            worker,
            paused,
            reason,
        } => worker::pause(tx, worker, paused, reason),
        Input::StopWorker { worker } => worker::stop(tx, worker, false),
        Input::KillWorker { worker } => worker::stop(tx, worker, true),
        Input::WorkerConnected(worker) => worker::connected(tx, worker),
        Input::WorkerDisconnected {
            worker,
            instance,
            reason,
        } => worker::disconnected(tx, worker, &instance, reason),
        Input::BuildLost { build, reason } => lifecycle::lost(tx, build, reason),
        Input::OpenLog {
            build,
            step,
            name,
            kind,
        } => step::open_log(tx, build, step, name, kind),
        Input::StepProgress(report) => step::progress(tx, report),
        Input::StepEnded { report, outcome } => step::ended(tx, report, outcome),
        Input::Trigger(wanted) => trigger::trigger(tx, wanted),
        Input::StartRun {
            pipeline,
            sourcestamps,
            properties,
            by,
            reason,
        } => pipelines::start_by_hand(tx, &pipeline, sourcestamps, properties, &by, &reason),
        Input::StopRun { run, by, reason } => pipelines::stop_by_hand(tx, run, &by, &reason),
        Input::ApproveJob {
            job,
            by,
            approved,
            reason,
        } => pipelines::approve(tx, job, by, approved, &reason),
        Input::RetryRun { source, job, by } => pipelines::retry(tx, *source, job, &by),
        Input::Define { run, found } => pipelines::define(tx, run, found),
        Input::AddJobs { build, key, jobs } => pipelines::add(tx, build, key, &jobs),
        Input::Chosen {
            builder,
            number,
            verdict,
        } => choose::chosen(tx, builder, number, verdict),
        Input::Judged {
            request,
            config,
            judgement,
        } => judge::judged(tx, request, &config, judgement),
        Input::Tick => Ok(tick::tick(tx)),
    };
    match answer {
        Ok(reply) => {
            start::whatever_can(tx);
            tx.forget_unused();
            Ok(reply)
        }
        Err(refusal) => {
            assert_eq!(
                tx.len(),
                before,
                "a refused input has changed something: {refusal}"
            );
            Err(refusal)
        }
    }
}

/// Refuses a build that is not active: it is over, or there never was one.
fn not_live(tx: &Tx<'_>, build: BuildId) -> Refusal {
    let what = format!("build {build}");
    if build.0 < tx.next_id(Counter::Build) && build.0 > 0 {
        Refusal::NotLive { what }
    } else {
        Refusal::NotFound { what }
    }
}

/// Whether a request existed at some time.
fn existed(tx: &Tx<'_>, request: BuildRequestId) -> bool {
    request.0 > 0 && request.0 < tx.next_id(Counter::BuildRequest)
}

/// Refuses one field of a form.
fn invalid(field: &str, problem: impl Into<String>) -> Refusal {
    Refusal::Invalid {
        fields: std::iter::once((field.to_owned(), problem.into())).collect(),
    }
}
