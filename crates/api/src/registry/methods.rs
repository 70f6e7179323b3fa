//! The list of methods.

use ironmaster_store::Resource;

use super::{Idempotency, Kind, Method, Operation, Param, ParamKind, Permission};
use crate::types::{self, ResourceType};

const REASON: Param = Param {
    name: "reason",
    kind: ParamKind::String,
    required: false,
    docs: "Why, in your words; shown to others.",
};

const BUILD_PATHS: &[&str] = &[
    "builds/n:buildid",
    "builders/n:builderid/builds/n:build_number",
    "builders/s:buildername/builds/n:build_number",
];
const REQUEST_PATHS: &[&str] = &["buildrequests/n:buildrequestid"];
const WORKER_PATHS: &[&str] = &[
    "workers/n:workerid",
    "workers/i:workername",
    "builders/n:builderid/workers/n:workerid",
    "builders/n:builderid/workers/i:workername",
    "masters/n:masterid/workers/n:workerid",
    "masters/n:masterid/workers/i:workername",
    "masters/n:masterid/builders/n:builderid/workers/n:workerid",
    "masters/n:masterid/builders/n:builderid/workers/i:workername",
];
const SCHEDULER_PATHS: &[&str] = &[
    "schedulers/n:schedulerid",
    "masters/n:masterid/schedulers/n:schedulerid",
];

macro_rules! step_paths {
    ($tail:literal) => {
        &[
            concat!("steps/n:stepid", $tail),
            concat!("builds/n:buildid/steps/n:step_number", $tail),
            concat!("builds/n:buildid/steps/i:step_name", $tail),
            concat!(
                "builders/n:builderid/builds/n:build_number/steps/n:step_number",
                $tail
            ),
            concat!(
                "builders/n:builderid/builds/n:build_number/steps/i:step_name",
                $tail
            ),
            concat!(
                "builders/s:buildername/builds/n:build_number/steps/n:step_number",
                $tail
            ),
            concat!(
                "builders/s:buildername/builds/n:build_number/steps/i:step_name",
                $tail
            ),
        ]
    };
}

macro_rules! log_paths {
    ($tail:literal) => {
        &[
            concat!("logs/n:logid", $tail),
            concat!("steps/n:stepid/logs/i:log_slug", $tail),
            concat!("builds/n:buildid/steps/n:step_number/logs/i:log_slug", $tail),
            concat!("builds/n:buildid/steps/i:step_name/logs/i:log_slug", $tail),
            concat!(
                "builders/n:builderid/builds/n:build_number/steps/n:step_number/logs/i:log_slug",
                $tail
            ),
            concat!(
                "builders/n:builderid/builds/n:build_number/steps/i:step_name/logs/i:log_slug",
                $tail
            ),
            concat!(
                "builders/s:buildername/builds/n:build_number/steps/n:step_number/logs/i:log_slug",
                $tail
            ),
            concat!(
                "builders/s:buildername/builds/n:build_number/steps/i:step_name/logs/i:log_slug",
                $tail
            ),
        ]
    };
}

macro_rules! build_paths {
    ($tail:literal) => {
        &[
            concat!("builds/n:buildid", $tail),
            concat!("builders/n:builderid/builds/n:build_number", $tail),
            concat!("builders/s:buildername/builds/n:build_number", $tail),
        ]
    };
}

const fn read(
    name: &'static str,
    kind: Kind,
    resource: &'static ResourceType,
    operation: Operation,
    paths: &'static [&'static str],
    docs: &'static str,
) -> Method {
    Method {
        name,
        docs,
        kind,
        resource,
        paths,
        permission: Permission::Read,
        params: &[],
        idempotency: Idempotency::Safe,
        operation,
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "the list of methods below reads as a table"
)]
const fn control(
    name: &'static str,
    action: &'static str,
    resource: &'static ResourceType,
    operation: Operation,
    paths: &'static [&'static str],
    idempotency: Idempotency,
    params: &'static [Param],
    docs: &'static str,
) -> Method {
    Method {
        name,
        docs,
        kind: Kind::Control(action),
        resource,
        paths,
        permission: Permission::Control,
        params,
        idempotency,
        operation,
    }
}

use Kind::{Collection, Raw, Single};
use Operation::{Nothing, Rows};

/// Every method, in the order of the reference.
#[rustfmt::skip]
pub(super) static METHODS: &[Method] = &[
    read("rootlinks.list", Collection, &types::ROOTLINK, Operation::RootLinks, &[""],
        "Names of the top-level collections."),
    read("specs.list", Collection, &types::SPEC, Operation::Spec, &["application.spec"],
        "Every readable path with the type of its items."),
    read("builders.list", Collection, &types::BUILDER, Rows(Resource::Builders),
        &["builders", "masters/n:masterid/builders", "projects/n:projectid/builders", "workers/n:workerid/builders"],
        "Builders: all, those configured on a master, or those that a worker may build."),
    read("builders.get", Single, &types::BUILDER, Rows(Resource::Builders),
        &["builders/n:builderid", "builders/s:buildername", "masters/n:masterid/builders/n:builderid"],
        "One builder, by id or name."),
    read("builds.list", Collection, &types::BUILD, Rows(Resource::Builds),
        &["builds", "builders/n:builderid/builds", "builders/s:buildername/builds",
          "buildrequests/n:buildrequestid/builds", "changes/n:changeid/builds", "workers/n:workerid/builds",
          "jobs/n:jobid/builds", "builds/n:parent_buildid/triggered_builds"],
        "Builds: all, or those of a builder, request, change, worker, job (all its attempts), or triggered by a build."),
    read("builds.get", Single, &types::BUILD, Rows(Resource::Builds), BUILD_PATHS,
        "One build, by id, or by builder and number."),
    read("properties.get", Single, &types::PROPERTIES, Operation::Properties,
        &["builds/n:buildid/properties", "builders/n:builderid/builds/n:build_number/properties",
          "builders/s:buildername/builds/n:build_number/properties", "buildsets/n:bsid/properties",
          "buildrequests/n:buildrequestid/properties"],
        "All properties of a build, a buildset, or a request (those of its buildset), as one object."),
    read("properties.list", Collection, &types::PROPERTY, Operation::PropertyList,
        &["builds/n:buildid/property_list", "buildsets/n:bsid/properties_list", "changes/n:changeid/properties_list"],
        "The properties of a build, buildset or change as a list that can be filtered; values are JSON text."),
    read("changes.list", Collection, &types::CHANGE, Rows(Resource::Changes),
        &["changes", "builds/n:buildid/changes", "builders/n:builderid/builds/n:build_number/changes",
          "builders/s:buildername/builds/n:build_number/changes", "sourcestamps/n:ssid/changes"],
        "Changes, newest first unless ordered: all, or those of a build or source stamp."),
    read("changes.get", Single, &types::CHANGE, Rows(Resource::Changes), &["changes/n:changeid"],
        "One change."),
    read("steps.list", Collection, &types::STEP, Rows(Resource::Steps), build_paths!("/steps"),
        "The steps of a build."),
    read("steps.get", Single, &types::STEP, Rows(Resource::Steps), step_paths!(""),
        "One step, by id, or by build and number or name."),
    read("logs.list", Collection, &types::LOG, Rows(Resource::Logs), step_paths!("/logs"),
        "The logs of a step."),
    read("logs.get", Single, &types::LOG, Rows(Resource::Logs), log_paths!(""),
        "One log, by id, or by step and slug."),
    read("logs.contents", Single, &types::LOGCHUNK, Operation::LogContents, log_paths!("/contents"),
        "Whole lines of a log from `offset` on, at most `limit`, each with its stream letter in logs of type s. \
         The lines of a running step are there too."),
    read("logs.raw", Raw, &types::LOGCHUNK, Operation::LogRaw { inline: false }, log_paths!("/raw"),
        "The bytes of a log as a download; byte ranges are supported."),
    read("logs.raw_inline", Raw, &types::LOGCHUNK, Operation::LogRaw { inline: true }, log_paths!("/raw_inline"),
        "The bytes of a log for a browser to show; byte ranges are supported."),
    read("logchunks.get", Single, &types::LOGCHUNK, Nothing, &["logchunks"],
        "Always not found: a piece of a log is read through the log."),
    read("buildrequests.list", Collection, &types::BUILDREQUEST, Rows(Resource::BuildRequests),
        &["buildrequests", "builders/n:builderid/buildrequests"],
        "Build requests: all, or those of a builder."),
    read("buildrequests.get", Single, &types::BUILDREQUEST, Rows(Resource::BuildRequests), REQUEST_PATHS,
        "One build request."),
    read("buildrequests.waiting", Collection, &types::WAITING, Operation::Waiting, &["buildrequests/n:buildrequestid/waiting"],
        "What a build request waits for, and what would make it run, in words; empty if it does not wait."),
    read("builds.waiting", Collection, &types::WAITING, Operation::Waiting, &["builds/n:buildid/waiting"],
        "Which lock the running step of a build waits for, in words; empty if it does not wait."),
    read("buildsets.list", Collection, &types::BUILDSET, Rows(Resource::Buildsets), &["buildsets"],
        "Buildsets with their source stamps."),
    read("buildsets.get", Single, &types::BUILDSET, Rows(Resource::Buildsets), &["buildsets/n:bsid"],
        "One buildset with its source stamps."),
    read("sourcestamps.list", Collection, &types::SOURCESTAMP, Rows(Resource::SourceStamps), &["sourcestamps", "buildsets/n:bsid/sourcestamps"],
        "Source stamps: all, or those of a buildset."),
    read("sourcestamps.get", Single, &types::SOURCESTAMP, Rows(Resource::SourceStamps), &["sourcestamps/n:ssid"],
        "One source stamp with its patch."),
    read("workers.list", Collection, &types::WORKER, Rows(Resource::Workers),
        &["workers", "builders/n:builderid/workers", "masters/n:masterid/workers",
          "masters/n:masterid/builders/n:builderid/workers"],
        "Workers: all, or those that may build for a builder."),
    read("workers.get", Single, &types::WORKER, Rows(Resource::Workers), WORKER_PATHS,
        "One worker, by id, or by name if that is an identifier."),
    read("masters.list", Collection, &types::MASTER, Rows(Resource::Masters), &["masters", "builders/n:builderid/masters"],
        "Masters that share the database."),
    read("masters.get", Single, &types::MASTER, Rows(Resource::Masters), &["masters/n:masterid", "builders/n:builderid/masters/n:masterid"],
        "One master."),
    read("master.get", Single, &types::STATUS, Operation::ThisMaster, &["master"],
        "This master: its configuration, whether it is about to stop, and which builds it waits for then."),
    read("configurations.list", Collection, &types::CONFIGURATION, Operation::Configurations, &["configurations"],
        "Configurations that came into force, oldest first, with when and by whom. Builds name theirs in `config`."),
    Method {
        permission: Permission::Control,
        ..read("configurations.get", Single, &types::CONFIGURATION_FILES, Operation::Configurations, &["configurations/s:digest"],
            "The files of one configuration, for administrators, without secrets; large ones are not kept.")
    },
    read("schedulers.list", Collection, &types::SCHEDULER, Rows(Resource::Schedulers), &["schedulers", "masters/n:masterid/schedulers"],
        "Schedulers with whether they are switched on."),
    read("schedulers.get", Single, &types::SCHEDULER, Rows(Resource::Schedulers), SCHEDULER_PATHS,
        "One scheduler."),
    read("forceschedulers.list", Collection, &types::FORCESCHEDULER, Operation::ForceSchedulers,
        &["forceschedulers", "builders/n:builderid/forceschedulers", "builders/s:buildername/forceschedulers"],
        "Force schedulers with their forms: all, or those that can build a builder."),
    read("forceschedulers.get", Single, &types::FORCESCHEDULER, Operation::ForceSchedulers,
        &["forceschedulers/i:schedulername"],
        "One force scheduler with its form."),
    read("tryschedulers.list", Collection, &types::TRYSCHEDULER, Operation::TrySchedulers, &["tryschedulers"],
        "Try schedulers with their builders, and with jobs from their job directories that were refused since the master's start."),
    read("tryschedulers.get", Single, &types::TRYSCHEDULER, Operation::TrySchedulers, &["tryschedulers/i:schedulername"],
        "One try scheduler."),
    read("changesources.list", Collection, &types::CHANGESOURCE, Rows(Resource::ChangeSources),
        &["changesources", "masters/n:masterid/changesources"],
        "Change sources."),
    read("changesources.get", Single, &types::CHANGESOURCE, Rows(Resource::ChangeSources),
        &["changesources/n:changesourceid", "masters/n:masterid/changesources/n:changesourceid"],
        "One change source."),

    control("master.reload", "reload", &types::STATUS, Operation::Reload, &["master"], Idempotency::Natural, &[],
        "Reads the configuration again. A wrong one changes nothing: the error's `data` lists what was found. Answers the \
         digest, whether it `changed`, `warnings`, and `next_start`: what counts from the next start on."),
    control("master.cancel_shutdown", "cancel_shutdown", &types::STATUS, Operation::CancelShutdown, &["master"],
        Idempotency::Natural, &[],
        "Has a master that waits for builds in order to stop go on after all."),
    control("master.shutdown", "shutdown", &types::STATUS, Operation::Shutdown, &["master"], Idempotency::Natural,
        &[Param { name: "wait", kind: ParamKind::Boolean, required: false, docs: "When no build runs any more; until then none starts." },
          Param { name: "now", kind: ParamKind::Boolean, required: false, docs: "Without waiting for requests that are being answered." }],
        "Stops this master in good order. Builds that run are taken up by its next start, unless it waits for them."),
    control("forceschedulers.force", "force", &types::FORCESCHEDULER, Operation::Force,
        &["forceschedulers/i:schedulername"], Idempotency::ByKey,
        &[Param { name: "builderid", kind: ParamKind::Integer, required: false, docs: "Build with this builder only." },
          Param { name: "builderNames", kind: ParamKind::Strings, required: false, docs: "Build with these builders only." }],
        "Asks for a build with the values of the form, each under its `fullName`. Answers the buildset and its requests."),
    control("tryschedulers.try", "try", &types::TRYSCHEDULER, Operation::Try,
        &["tryschedulers/i:schedulername"], Idempotency::ByKey,
        &[Param { name: "branch", kind: ParamKind::String, required: false, docs: "Branch; without it the repository's default." },
          Param { name: "revision", kind: ParamKind::String, required: false, docs: "What the patch is meant for; without it the newest." },
          Param { name: "patch", kind: ParamKind::String, required: false, docs: "A unified diff." },
          Param { name: "patch_level", kind: ParamKind::Integer, required: false, docs: "Leading path elements to strip; 1 if left out." },
          Param { name: "patch_subdir", kind: ParamKind::String, required: false, docs: "Directory below the checkout to apply it in." },
          Param { name: "repository", kind: ParamKind::String, required: false, docs: "Repository." },
          Param { name: "project", kind: ParamKind::String, required: false, docs: "Project." },
          Param { name: "codebase", kind: ParamKind::String, required: false, docs: "Code base, where the repository does not say it." },
          Param { name: "who", kind: ParamKind::String, required: false, docs: "Who wants it; without it who is logged in." },
          Param { name: "comment", kind: ParamKind::String, required: false, docs: "What for." },
          Param { name: "builderNames", kind: ParamKind::Strings, required: false, docs: "Build with these builders only; each must be the scheduler's." },
          Param { name: "jobid", kind: ParamKind::String, required: false, docs: "What the client calls it: `external_idstring` of the buildset." }],
        "Builds a patch. `properties` may hold an object with properties of the builds. A user of the scheduler may call it with name \
         and password (`Authorization: Basic`). Answers the buildset and its requests."),
    control("builds.stop", "stop", &types::BUILD, Operation::StopBuild, BUILD_PATHS, Idempotency::Natural, &[REASON],
        "Stops a build; a finished one stays as it is. The answer does not wait for the end."),
    control("builds.rebuild", "rebuild", &types::BUILD, Operation::Rebuild, BUILD_PATHS, Idempotency::ByKey, &[],
        "Builds the same source stamps with the same properties again. Answers the buildset and its requests."),
    control("buildrequests.cancel", "cancel", &types::BUILDREQUEST, Operation::CancelRequest, REQUEST_PATHS,
        Idempotency::Natural, &[REASON],
        "Cancels a request; if it is being built, its build is stopped."),
    control("buildrequests.set_priority", "set_priority", &types::BUILDREQUEST, Operation::SetPriority, REQUEST_PATHS,
        Idempotency::Natural,
        &[Param { name: "priority", kind: ParamKind::Integer, required: true, docs: "Higher goes first." }],
        "Changes the priority of a waiting request."),
    control("workers.pause", "pause", &types::WORKER, Operation::PauseWorker, WORKER_PATHS, Idempotency::Natural, &[REASON],
        "Gives a worker no new builds until it is unpaused."),
    control("workers.unpause", "unpause", &types::WORKER, Operation::UnpauseWorker, WORKER_PATHS, Idempotency::Natural, &[REASON],
        "Lets a paused worker build again."),
    control("workers.stop", "stop", &types::WORKER, Operation::StopWorker, WORKER_PATHS, Idempotency::Natural, &[REASON],
        "Lets a worker finish what it builds, and gives it nothing new; then its process ends. It is taken back by starting \
         the worker again."),
    control("workers.kill", "kill", &types::WORKER, Operation::KillWorker, WORKER_PATHS, Idempotency::Natural, &[REASON],
        "Ends a worker's process now. What it builds is lost, and tried again like the builds of any worker that is lost. \
         One that cannot be told to end is disconnected, and refused until it is started again; its builds are tried again \
         when its lease is over."),
    control("schedulers.enable", "enable", &types::SCHEDULER, Operation::EnableScheduler, SCHEDULER_PATHS, Idempotency::Natural,
        &[Param { name: "enabled", kind: ParamKind::Boolean, required: true, docs: "On or off." }],
        "Switches a scheduler on or off."),

    read("projects.list", Collection, &types::PROJECT, Rows(Resource::Projects), &["projects"],
        "Projects."),
    read("projects.get", Single, &types::PROJECT, Rows(Resource::Projects),
        &["projects/n:projectid", "projects/i:projectname"],
        "One project."),
    read("codebases.list", Collection, &types::CODEBASE, Rows(Resource::Codebases),
        &["codebases", "projects/n:projectid/codebases"],
        "Codebases."),
    read("pipelines.list", Collection, &types::PIPELINE, Rows(Resource::Pipelines), &["pipelines"],
        "Pipelines, also those that the configuration does not have any more (`active` is false)."),
    read("pipelines.get", Single, &types::PIPELINE, Rows(Resource::Pipelines), &["pipelines/n:pipelineid"],
        "One pipeline."),
    read("pipelines.definition", Collection, &types::PLANNED_JOB, Operation::PipelineDefinition, &["pipelines/n:pipelineid/definition"],
        "The jobs that the next run of a pipeline will have, numbered as in a run. None if the pipeline is not active, or if \
         its jobs stand in a repository."),
    read("runs.list", Collection, &types::RUN, Rows(Resource::Runs), &["runs", "pipelines/n:pipelineid/runs", "changes/n:changeid/runs"],
        "Runs of pipelines: all, those of one, or those that a change led to."),
    read("runs.get", Single, &types::RUN, Rows(Resource::Runs), &["runs/n:runid"],
        "One run with its source stamps."),
    read("jobs.list", Collection, &types::JOB, Rows(Resource::Jobs),
        &["jobs", "runs/n:runid/jobs", "pipelines/n:pipelineid/jobs"],
        "Jobs of runs: all, or those of a run or of a pipeline."),
    read("jobs.get", Single, &types::JOB, Rows(Resource::Jobs), &["jobs/n:jobid", "runs/n:runid/jobs/n:job_number"],
        "One job, by id, or by run and number."),
    read("jobs.waiting", Collection, &types::JOB_WAITING, Operation::JobWaiting, &["jobs/n:jobid/waiting"],
        "What a job waits for, in words; empty if it does not wait."),

    control("pipelines.start", "start", &types::PIPELINE, Operation::StartRun, &["pipelines/n:pipelineid"],
        Idempotency::ByKey,
        &[REASON,
          Param { name: "branch", kind: ParamKind::String, required: false, docs: "Branch; without it the repository's default." },
          Param { name: "revision", kind: ParamKind::String, required: false, docs: "Revision; without it the newest." },
          Param { name: "repository", kind: ParamKind::String, required: false, docs: "Repository, as change sources spell it." },
          Param { name: "project", kind: ParamKind::String, required: false, docs: "Project." },
          Param { name: "codebase", kind: ParamKind::String, required: false, docs: "Code base; without it the default one." }],
        "Starts a run of a pipeline. `properties` may hold an object with properties of its builds. Answers the run's id."),
    control("runs.stop", "stop", &types::RUN, Operation::StopRun, &["runs/n:runid"], Idempotency::Natural, &[REASON],
        "Stops a run: what has not started never does, and what runs is asked to end. Jobs with `needs_on = \"always\"` \
         still run; a second stop ends these, too."),
    control("runs.retry", "retry", &types::RUN, Operation::RetryRun, &["runs/n:runid"], Idempotency::ByKey, &[],
        "Tries a run again that is over: a new run takes over what has succeeded and does the rest. Answers its id."),
    control("jobs.retry", "retry", &types::JOB, Operation::RetryJob, &["jobs/n:jobid"], Idempotency::ByKey, &[],
        "The same for one job and all that need it. Answers the new run's id."),
    control("jobs.approve", "approve", &types::JOB, Operation::ApproveJob, &["jobs/n:jobid"], Idempotency::Natural, &[REASON],
        "Lets a job start that waits for approval."),
    control("jobs.reject", "reject", &types::JOB, Operation::RejectJob, &["jobs/n:jobid"], Idempotency::Natural, &[REASON],
        "Skips a job that waits for approval; its run is cancelled thereby, unless the job is optional."),

    read("codebases.get", Single, &types::CODEBASE, Rows(Resource::Codebases),
        &["codebases/n:codebaseid", "projects/n:projectid/codebases/i:codebasename"],
        "One codebase."),
    read("branches.list", Collection, &types::BRANCH, Nothing, &["codebases/n:codebaseid/branches"],
        "Branches of a codebase; this version has none."),
    read("branches.get", Single, &types::BRANCH, Nothing, &["branches/n:branchid"],
        "One branch; this version has none."),
    read("commits.list", Collection, &types::COMMIT, Nothing, &["codebases/n:codebaseid/commits"],
        "Commits of a codebase; this version has none."),
    read("commits.get", Single, &types::COMMIT, Nothing,
        &["commits/n:commitid", "codebases/n:codebaseid/commits_by_revision/s:revision",
          "codebases/n:codebaseid/commits_by_revision/n:revision"],
        "One commit; this version has none."),
    read("commit_graphs.get", Single, &types::COMMIT_GRAPH, Nothing,
        &["codebases/n:codebaseid/commit_range/n:commitid1/n:commitid2/commits_common_parent"],
        "How two commits are related; this version has no commits."),
    read("build_data.list", Collection, &types::BUILD_DATA, Nothing, build_paths!("/data"),
        "Data that a build keeps; this version has none."),
    read("build_data.get", Single, &types::BUILD_DATA, Nothing, build_paths!("/data/i:data_name"),
        "One piece of data of a build; this version has none."),
    read("build_data.value", Raw, &types::BUILD_DATA, Nothing, build_paths!("/data/i:data_name/value"),
        "The bytes of a build's data; this version has none."),
    read("test_result_sets.list", Collection, &types::TEST_RESULT_SET, Nothing,
        &["test_result_sets", "builders/n:builderid/test_result_sets", "builders/s:buildername/test_result_sets",
          "builds/n:buildid/test_result_sets", "steps/n:stepid/test_result_sets",
          "codebases/n:codebaseid/commit_range/n:commitid1/n:commitid2/test_result_sets"],
        "Sets of test results; this version has none."),
    read("test_result_sets.get", Single, &types::TEST_RESULT_SET, Nothing, &["test_result_sets/n:test_result_setid"],
        "One set of test results; this version has none."),
    read("test_results.list", Collection, &types::TEST_RESULT, Nothing,
        &["test_result_sets/n:test_result_setid/results"],
        "Results of single tests; this version has none."),
];
