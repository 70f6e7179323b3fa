//! What each action does: one input for the master.

use ironmaster_engine::{Input, Refusal, Reply};
use ironmaster_master::{Findings, Origin, ReloadError, StopWhen, SubmitError};
use ironmaster_model::{
    BuildId, BuildRequestId, JobId, NewSourceStamp, Properties, RunId, SchedulerId, SchedulerKind, WorkerId,
};
use ironmaster_store::{Query, Reader, Resource};
use serde_json::{Map, Value, json};

use super::tries;
use crate::{
    app::Shared,
    auth::{Identity, LOCAL},
    error::ApiError,
    registry::{Found, Operation},
    rest::{query_error, targets},
};

/// Carries out the action; returns its result.
pub(super) async fn run(
    app: &Shared,
    identity: &Identity,
    found: &Found,
    params: Map<String, Value>,
) -> Result<Value, ApiError> {
    let by = identity.owner().to_owned();
    let reason = match params.get("reason") {
        Some(Value::String(reason)) => reason.clone(),
        _ => "no reason".to_owned(),
    };
    match found.method.operation {
        Operation::Reload => {
            let via = if by == LOCAL { "cli" } else { "api" };
            match app.master.reload(Origin::new(by, via)).await {
                Ok(reloaded) => Ok(json!({
                    "digest": reloaded.digest,
                    "changed": reloaded.changed,
                    "warnings": reloaded.warnings.list,
                    "text": reloaded.warnings.text,
                    "next_start": reloaded.next_start,
                })),
                Err(ReloadError::Wrong(Findings { text, list })) => {
                    Err(ApiError::WrongConfig { text, findings: list })
                }
                Err(ReloadError::Submit(error)) => Err(refused(error)),
                Err(error @ ReloadError::NoSource) => Err(ApiError::Conflict(error.to_string())),
            }
        }
        Operation::Shutdown => {
            let flag = |name| params.get(name).and_then(Value::as_bool).unwrap_or_default();
            let when = match (flag("wait"), flag("now")) {
                (true, true) => {
                    return Err(ApiError::BadRequest(
                        "'wait' and 'now' contradict each other".into(),
                    ));
                }
                (true, false) => StopWhen::NoBuildRuns,
                (false, true) => StopWhen::Now,
                (false, false) => StopWhen::Soon,
            };
            app.master.ask_to_stop(when, &by).await.map_err(refused)?;
            Ok(Value::Null)
        }
        Operation::CancelShutdown => {
            if app.master.cancel_stop(&by).await.map_err(refused)? {
                Ok(Value::Null)
            } else {
                Err(ApiError::Conflict("the master is stopping already".into()))
            }
        }
        Operation::Force => {
            let scheduler = found
                .captures
                .text("schedulername")
                .unwrap_or_default()
                .to_owned();
            let plan = app.master.plan();
            let is_force = |def: &ironmaster_model::SchedulerDef| matches!(def.kind, SchedulerKind::Force(_));
            if !plan.schedulers.get(&scheduler).is_some_and(is_force) {
                return Err(ApiError::NotFound(format!(
                    "there is no force scheduler '{scheduler}'"
                )));
            }
            let owner = identity.name().map(String::from);
            started(
                submit(
                    app,
                    Input::Force {
                        scheduler,
                        params,
                        owner,
                    },
                )
                .await?,
            )
        }
        Operation::Try => {
            let scheduler = found.captures.text("schedulername").unwrap_or_default();
            let job = tries::job(app, scheduler, identity, &params)?;
            started(submit(app, job).await?)
        }
        Operation::StopBuild => {
            let build = BuildId(target(app, found, Resource::Builds, "buildid").await?);
            over_is_fine(app.master.submit(Input::StopBuild { build, by, reason }).await)
        }
        Operation::Rebuild => {
            let build = BuildId(target(app, found, Resource::Builds, "buildid").await?);
            buildset(app.master.rebuild(build, &by).await.map_err(refused)?)
        }
        Operation::CancelRequest => {
            let request =
                BuildRequestId(target(app, found, Resource::BuildRequests, "buildrequestid").await?);
            over_is_fine(
                app.master
                    .submit(Input::CancelRequest { request, by, reason })
                    .await,
            )
        }
        Operation::SetPriority => {
            let request =
                BuildRequestId(target(app, found, Resource::BuildRequests, "buildrequestid").await?);
            let priority = params.get("priority").and_then(Value::as_i64).unwrap_or_default();
            match submit(app, Input::SetPriority { request, priority }).await {
                // It exists, as was checked above.
                Err(ApiError::NotFound(_)) => {
                    Err(ApiError::Conflict(format!("build request {request} is complete")))
                }
                other => other.map(|_| Value::Null),
            }
        }
        operation @ (Operation::PauseWorker | Operation::UnpauseWorker) => {
            let worker = WorkerId(target(app, found, Resource::Workers, "workerid").await?);
            let paused = operation == Operation::PauseWorker;
            submit(
                app,
                Input::PauseWorker {
                    worker,
                    paused,
                    reason,
                },
            )
            .await
            .map(|_| Value::Null)
        }
        Operation::StopWorker => {
            let worker = WorkerId(target(app, found, Resource::Workers, "workerid").await?);
            submit(app, Input::StopWorker { worker })
                .await
                .map(|_| Value::Null)
        }
        Operation::KillWorker => {
            let worker = WorkerId(target(app, found, Resource::Workers, "workerid").await?);
            tracing::info!(%worker, %by, %reason, "worker killed");
            submit(app, Input::KillWorker { worker })
                .await
                .map(|_| Value::Null)
        }
        Operation::EnableScheduler => {
            let scheduler = SchedulerId(target(app, found, Resource::Schedulers, "schedulerid").await?);
            let enabled = params.get("enabled").and_then(Value::as_bool).unwrap_or_default();
            submit(app, Input::EnableScheduler { scheduler, enabled })
                .await
                .map(|_| Value::Null)
        }
        Operation::StartRun => {
            let id = target(app, found, Resource::Pipelines, "pipelineid").await?;
            let pipeline = app.master.read(move |reader| pipeline_name(reader, id)).await?;
            let text = |name: &str| params.get(name).and_then(Value::as_str).map(str::to_owned);
            let stamp = NewSourceStamp {
                branch: text("branch"),
                revision: text("revision"),
                repository: text("repository").unwrap_or_default(),
                project: text("project").unwrap_or_default(),
                codebase: text("codebase").unwrap_or_default(),
                patch: None,
            };
            let mut properties = Properties::new();
            match params.get("properties") {
                None | Some(Value::Null) => {}
                Some(Value::Object(given)) => {
                    for (name, value) in given {
                        properties.set(name, value.clone(), "Run");
                    }
                }
                Some(_) => {
                    let problem = "'properties' must be an object".to_owned();
                    return Err(ApiError::InvalidFields(
                        std::iter::once(("properties".to_owned(), problem)).collect(),
                    ));
                }
            }
            let input = Input::StartRun {
                pipeline,
                sourcestamps: vec![stamp],
                properties,
                by,
                reason,
            };
            run_id(submit(app, input).await?)
        }
        Operation::StopRun => {
            let run = RunId(target(app, found, Resource::Runs, "runid").await?);
            over_is_fine(app.master.submit(Input::StopRun { run, by, reason }).await)
        }
        Operation::RetryRun => {
            let run = RunId(target(app, found, Resource::Runs, "runid").await?);
            run_id(app.master.retry_run(run, None, &by).await.map_err(refused)?)
        }
        Operation::RetryJob => {
            let job = target(app, found, Resource::Jobs, "jobid").await?;
            let run = app.master.read(move |reader| run_of(reader, job)).await?;
            run_id(
                app.master
                    .retry_run(RunId(run), Some(JobId(job)), &by)
                    .await
                    .map_err(refused)?,
            )
        }
        operation @ (Operation::ApproveJob | Operation::RejectJob) => {
            let job = JobId(target(app, found, Resource::Jobs, "jobid").await?);
            let approved = operation == Operation::ApproveJob;
            let input = Input::ApproveJob {
                job,
                by,
                approved,
                reason,
            };
            match submit(app, input).await {
                // It exists, as was checked above.
                Err(ApiError::NotFound(_)) => {
                    Err(ApiError::Conflict(format!("the run of job {job} is over")))
                }
                other => other.map(|_| Value::Null),
            }
        }
        reading => unreachable!("{reading:?} is not an action"),
    }
}

async fn target(app: &Shared, found: &Found, resource: Resource, id: &'static str) -> Result<u64, ApiError> {
    let captures = found.captures.clone();
    let target = app
        .master
        .read(move |reader| targets(reader, resource, id, &captures))
        .await?;
    Ok(target.0)
}

async fn submit(app: &Shared, input: Input) -> Result<Reply, ApiError> {
    app.master.submit(input).await.map_err(refused)
}

fn pipeline_name(reader: &Reader, id: u64) -> Result<String, ApiError> {
    let page = reader
        .query(Resource::Pipelines, &Query::of("pipelineid", id))
        .map_err(query_error)?;
    page.items
        .first()
        .and_then(|item| item["name"].as_str())
        .map(String::from)
        .ok_or_else(|| ApiError::NotFound(format!("there is no pipeline {id}")))
}

fn run_of(reader: &Reader, job: u64) -> Result<u64, ApiError> {
    let page = reader
        .query(Resource::Jobs, &Query::of("jobid", job))
        .map_err(query_error)?;
    page.items
        .first()
        .and_then(|item| item["runid"].as_u64())
        .ok_or_else(|| ApiError::NotFound(format!("there is no job {job}")))
}

/// What a force scheduler has started: a buildset, or `{"runid": id}`.
fn started(reply: Reply) -> Result<Value, ApiError> {
    match reply {
        Reply::Run(_) => run_id(reply),
        other => buildset(other),
    }
}

/// `{"runid": id}`.
fn run_id(reply: Reply) -> Result<Value, ApiError> {
    match reply {
        Reply::Run(run) => Ok(json!({ "runid": run.0 })),
        other => Err(ApiError::internal(
            "an action was answered",
            &std::io::Error::other(format!("{other:?} is no run")),
        )),
    }
}

/// `[bsid, {"<builderid>": buildrequestid}]`.
fn buildset(reply: Reply) -> Result<Value, ApiError> {
    match reply {
        Reply::Buildset { buildset, requests } => {
            let requests: Map<String, Value> = requests
                .into_iter()
                .map(|(builder, request)| (builder.to_string(), request.0.into()))
                .collect();
            Ok(json!([buildset.0, requests]))
        }
        other => Err(ApiError::internal(
            "an action was answered",
            &std::io::Error::other(format!("{other:?} is no buildset")),
        )),
    }
}

/// Stopping what is over already is not a mistake: somebody was faster, or the end was. (That it exists was checked before.)
fn over_is_fine(answer: Result<Reply, SubmitError>) -> Result<Value, ApiError> {
    match answer {
        Ok(_) | Err(SubmitError::Refused(Refusal::NotLive { .. } | Refusal::NotFound { .. })) => {
            Ok(Value::Null)
        }
        Err(other) => Err(refused(other)),
    }
}

/// Why the master did not take an input.
pub(crate) fn refused(error: SubmitError) -> ApiError {
    match error {
        SubmitError::Refused(refusal) => refusal.into(),
        SubmitError::Unavailable { reason } => ApiError::Unavailable(reason),
        SubmitError::Stopping => ApiError::Unavailable("the master is stopping".into()),
    }
}
