//! From a committed event to what clients are told of it.

use ironmaster_model::{Cause, Event, LogSave, Properties};
use ironmaster_store::Resource;

/// Something of which clients are told.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Notice {
    /// An item changed; they are told its present state.
    Item {
        /// Of this type.
        resource: Resource,
        /// With this id.
        id: u64,
        /// The last element of the topic.
        event: &'static str,
        /// A key that only the message has.
        extra: Option<(&'static str, String)>,
    },
    /// Properties of a build changed; they are told those.
    Properties {
        /// The build.
        build: u64,
        /// What changed.
        properties: Properties,
    },
}

/// The notices that follow from an event, in the order in which they are told.
pub(super) fn notices(event: &Event) -> Vec<Notice> {
    use Resource::{
        BuildRequests, Builders, Builds, Buildsets, Changes, Codebases, Jobs, Logs, Masters, Pipelines,
        Projects, Runs, Schedulers, Steps, Workers,
    };
    let item = |resource, id, event| Notice::Item {
        resource,
        id,
        event,
        extra: None,
    };
    match event {
        Event::MasterStarted { master } => vec![item(Masters, master.id.0, "started")],
        Event::MasterStopped { master } => vec![item(Masters, master.id.0, "stopped")],
        Event::MasterSet { master } => vec![item(Masters, master.id.0, "updated")],
        Event::BuilderSet { builder } => vec![item(Builders, builder.id.0, "update")],
        Event::WorkerSet { worker } => vec![item(Workers, worker.id.0, "state_updated")],
        Event::SchedulerSet { scheduler } => vec![item(Schedulers, scheduler.id.0, "updated")],
        Event::ProjectSet { project } => vec![item(Projects, project.id.0, "update")],
        Event::CodebaseSet { codebase } => vec![item(Codebases, codebase.id.0, "update")],
        Event::WorkerConnected { worker, .. } => vec![item(Workers, worker.0, "connected")],
        Event::WorkerDisconnected { worker, .. } => vec![item(Workers, worker.0, "disconnected")],
        Event::WorkerStateChanged { worker, .. } => vec![item(Workers, worker.0, "state_updated")],
        Event::WorkerDismissed { worker, .. } => vec![item(Workers, worker.0, "dismissed")],
        Event::WorkerMissing { worker, .. } => vec![item(Workers, worker.0, "missing")],
        Event::ChangeAdded { change } => vec![item(Changes, change.id.0, "new")],
        Event::BuildsetCreated { buildset } => vec![Notice::Item {
            resource: Buildsets,
            id: buildset.id.0,
            event: "new",
            extra: Some(("scheduler", buildset.scheduler.clone())),
        }],
        Event::BuildsetCompleted { buildset, .. } => vec![item(Buildsets, buildset.0, "complete")],
        Event::RequestQueued { request } => vec![item(BuildRequests, request.id.0, "new")],
        Event::RequestPrioritised { request, .. } => vec![item(BuildRequests, request.0, "update")],
        Event::RequestRequeued { request } => vec![item(BuildRequests, request.0, "unclaimed")],
        Event::RequestCompleted { request, cause, .. } => {
            let cancelled = matches!(cause, Some(Cause::Cancelled { .. }));
            let mut notices = vec![item(BuildRequests, request.0, "complete")];
            if cancelled {
                notices.insert(0, item(BuildRequests, request.0, "cancel"));
            }
            notices
        }
        Event::BuildStarted { build, .. } => {
            vec![
                item(BuildRequests, build.request.0, "claimed"),
                item(Builds, build.id.0, "new"),
            ]
        }
        Event::PropertiesSet { build, properties } => {
            vec![Notice::Properties {
                build: build.0,
                properties: properties.clone(),
            }]
        }
        Event::BuildStopRequested { build, .. }
        | Event::BuildLost { build, .. }
        | Event::BuildWaits { build, .. }
        | Event::BuildResumed { build, .. } => {
            vec![item(Builds, build.0, "update")]
        }
        Event::BuildFinished { build, .. } => vec![item(Builds, build.0, "finished")],
        Event::StepStarted { step, logs } => {
            let mut notices = vec![
                item(Steps, step.id.0, "new"),
                item(Steps, step.id.0, "started"),
                item(Builds, step.build.0, "update"),
            ];
            notices.extend(logs.iter().map(|log| item(Logs, log.id.0, "new")));
            notices
        }
        Event::StepLocksAcquired { step, build, .. } => {
            vec![item(Steps, step.0, "updated"), item(Builds, build.0, "update")]
        }
        Event::StepUpdated { step, .. } => vec![item(Steps, step.0, "updated")],
        Event::StepFinished { step, .. } => vec![item(Steps, step.0, "finished")],
        Event::LogOpened { log } => vec![item(Logs, log.id.0, "new")],
        Event::LogsSaved { saves, .. } => saves
            .iter()
            .map(|LogSave { log, complete, .. }| {
                item(Logs, log.0, if *complete { "finished" } else { "append" })
            })
            .collect(),
        Event::PipelineSet { pipeline } => vec![item(Pipelines, pipeline.id.0, "update")],
        Event::RunCreated { run } => vec![item(Runs, run.id.0, "new")],
        Event::JobsAdded { jobs, .. } => jobs.iter().map(|job| item(Jobs, job.id.0, "new")).collect(),
        Event::JobMoved { job, .. } => vec![item(Jobs, job.0, "update")],
        Event::RunDefined { run, .. } | Event::RunPinned { run, .. } => vec![item(Runs, run.0, "update")],
        Event::RunMoved { run, progress } => {
            let over = progress.complete_at.is_some();
            vec![item(Runs, run.0, if over { "complete" } else { "update" })]
        }
        // Of no interest outside, or told with what follows from it.
        Event::Configured { .. }
        | Event::ChangeSourceSet { .. }
        | Event::SchedulerMoved { .. }
        | Event::SourceStampAdded { .. }
        | Event::EffectsRecorded { .. } => Vec::new(),
    }
}

/// The key of a type's id.
pub(super) fn id_field(resource: Resource) -> &'static str {
    match resource {
        Resource::Builders => "builderid",
        Resource::Builds => "buildid",
        Resource::BuildRequests => "buildrequestid",
        Resource::Buildsets => "bsid",
        Resource::Changes => "changeid",
        Resource::Pipelines => "pipelineid",
        Resource::Runs => "runid",
        Resource::Jobs => "jobid",
        Resource::Steps => "stepid",
        Resource::Logs => "logid",
        Resource::Workers => "workerid",
        Resource::Masters => "masterid",
        Resource::Schedulers => "schedulerid",
        Resource::Projects => "projectid",
        Resource::Codebases => "codebaseid",
        other => unreachable!("{other:?} has no events"),
    }
}
