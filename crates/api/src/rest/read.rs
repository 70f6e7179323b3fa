//! GET.

use std::collections::BTreeSet;

use axum::{http::HeaderMap, response::Response};
use bytes::Bytes;
use ironmaster_engine::force_fields;
use ironmaster_master::Master;
use ironmaster_model::{BuildId, BuildRequestId, JobId, LogId, Plan, SchedulerKind, pipeline::graph};
use ironmaster_store::{Filter, FilterValue, Query, Reader, Resource};
use serde_json::{Value, json};

use super::{
    answer::{Envelope, whole},
    elements,
    locate::{locate, query_error},
    logs, own,
};
use crate::{
    app::Shared,
    auth::Identity,
    error::ApiError,
    json::{self, Layout},
    query::{self, Shape},
    registry::{Captures, Found, Kind, Operation, application_spec, registry},
    select::{Item, project, select},
};

const ROOT_LINKS: &[&str] = &[
    "builders",
    "builds",
    "buildrequests",
    "codebases",
    "workers",
    "logchunks",
    "buildsets",
    "changes",
    "changesources",
    "masters",
    "sourcestamps",
    "schedulers",
    "forceschedulers",
    "projects",
];

/// Answers a GET of `path` with the query string `query`.
pub(super) async fn get(
    app: &Shared,
    identity: &Identity,
    path: &str,
    query: &str,
    headers: &HeaderMap,
    layout: Layout,
) -> Result<Response, ApiError> {
    let path_text = path;
    let path = elements(path)?;
    let found = registry()
        .get(&path)
        .ok_or_else(|| ApiError::InvalidPath(path.join("/")))?;
    app.auth.require(identity, found.method.permission.role())?;
    // Logs that are being written have more than their rows say; other answers depend on committed rows alone.
    let keeps = match found.method.operation {
        Operation::Rows(resource) => resource != Resource::Logs,
        Operation::Properties | Operation::PropertyList => true,
        _ => false,
    };
    // Taken before reading: what is committed in between makes the answer newer than this says, which does no harm.
    let seq = app.master.subscribe().cursor();
    let question = keeps.then(|| format!("{layout:?} {path_text}?{query}"));
    if let Some(answer) = question
        .as_ref()
        .and_then(|question| app.answers.get(seq, question))
    {
        return Ok(whole(answer, layout));
    }
    let shape = if found.method.kind == Kind::Collection {
        Shape::Collection
    } else {
        Shape::Single
    };
    let parsed = query::parse(query, found.method.resource, shape)?;
    match found.method.operation {
        Operation::LogContents => return logs::contents(app, found, query, &parsed, layout).await,
        Operation::LogRaw { inline } => return logs::raw(app, found, inline, headers).await,
        _ => {}
    }
    let request = Request {
        found,
        query: parsed,
        query_text: query.to_owned(),
        layout,
    };
    let bytes = match request.found.method.operation {
        Operation::Rows(Resource::Logs) => log_rows(app, request).await?,
        Operation::Rows(resource) => {
            app.master
                .read(move |reader| request.rows(reader, resource))
                .await?
        }
        Operation::Properties => {
            app.master
                .read(move |reader| request.rows(reader, request.properties_resource(false)))
                .await?
        }
        Operation::PropertyList => {
            app.master
                .read(move |reader| request.rows(reader, request.properties_resource(true)))
                .await?
        }
        Operation::ForceSchedulers => {
            let plan = app.master.plan();
            app.master
                .read(move |reader| request.force_schedulers(reader, &plan))
                .await?
        }
        Operation::TrySchedulers => {
            let (plan, master) = (app.master.plan(), app.master.clone());
            app.master
                .read(move |reader| request.try_schedulers(reader, &plan, &master))
                .await?
        }
        Operation::PipelineDefinition => {
            let plan = app.master.plan();
            app.master
                .read(move |reader| request.pipeline_definition(reader, &plan))
                .await?
        }
        Operation::Waiting => {
            let number = |name: &str| request.found.captures.number(name);
            let (of_request, of_build) = (number("buildrequestid"), number("buildid"));
            let why = match (of_request, of_build) {
                (Some(id), _) => app.master.why_waiting(BuildRequestId(id)).await,
                (None, id) => app.master.why_step_waits(BuildId(id.unwrap_or_default())).await,
            };
            let waits = why.map(|(why, remedy)| {
                Item::from_iter([
                    ("buildrequestid".to_owned(), Value::from(of_request)),
                    ("buildid".to_owned(), Value::from(of_build)),
                    ("why".to_owned(), Value::from(why)),
                    ("remedy".to_owned(), Value::from(remedy)),
                ])
            });
            request.select(waits.into_iter().collect())?
        }
        Operation::JobWaiting => {
            let id = request.found.captures.number("jobid").unwrap_or_default();
            let why = app.master.why_job_waits(JobId(id)).await;
            let waits = why.map(|why| {
                Item::from_iter([
                    ("jobid".to_owned(), Value::from(id)),
                    ("why".to_owned(), Value::from(why)),
                ])
            });
            request.select(waits.into_iter().collect())?
        }
        Operation::ThisMaster => request.select(own::status(app).await?)?,
        Operation::Configurations => {
            let items = match request.found.captures.text("digest") {
                Some(digest) => own::configuration(app, digest).await?,
                None => own::configurations(app).await?,
            };
            request.select(items)?
        }
        Operation::RootLinks => {
            let links = ROOT_LINKS
                .iter()
                .map(|name| Item::from_iter([("name".to_owned(), Value::from(*name))]));
            request.select(links.collect())?
        }
        Operation::Spec => request.select(application_spec())?,
        _ => request.select(Vec::new())?,
    };
    let answer = Bytes::from(bytes);
    if let Some(question) = question {
        app.answers.put(seq, question, &answer);
    }
    Ok(whole(answer, layout))
}

struct Request {
    found: Found,
    query: Query,
    query_text: String,
    layout: Layout,
}

impl Request {
    fn is_single(&self) -> bool {
        self.found.method.kind != Kind::Collection
    }

    /// The query as the store takes it.
    fn scoped(&self, reader: &Reader, resource: Resource) -> Result<Query, ApiError> {
        let mut query = self.query.clone();
        query.scope = locate(reader, resource, &self.found.captures).map_err(|error| self.missing(error))?;
        if self.is_single() {
            query.order = Vec::new();
            query.offset = 0;
            query.limit = Some(1);
        }
        Ok(query)
    }

    fn rows(&self, reader: &Reader, resource: Resource) -> Result<Vec<u8>, ApiError> {
        let page = reader
            .query(resource, &self.scoped(reader, resource)?)
            .map_err(query_error)?;
        self.envelope(&page.items, page.total)
    }

    fn select(&self, items: Vec<Item>) -> Result<Vec<u8>, ApiError> {
        let (items, total) = select(items, &self.query);
        self.envelope(&items, total)
    }

    fn envelope(&self, items: &[Item], total: u64) -> Result<Vec<u8>, ApiError> {
        if self.is_single() && items.is_empty() {
            return Err(self.not_found());
        }
        let total = (!self.is_single()).then_some(total);
        let envelope = Envelope {
            plural: self.found.method.resource.plural,
            items,
            total,
        };
        Ok(json::to_vec(&envelope, self.layout))
    }

    fn not_found(&self) -> ApiError {
        not_found(&self.found, &self.query_text)
    }

    /// An ancestor that does not exist makes the whole path not found.
    fn missing(&self, error: ApiError) -> ApiError {
        match error {
            ApiError::NotFound(_) => self.not_found(),
            other => other,
        }
    }

    fn properties_resource(&self, list: bool) -> Resource {
        let captures = &self.found.captures;
        let of_change = captures.number("changeid").is_some();
        let of_buildset = captures
            .number("bsid")
            .or(captures.number("buildrequestid"))
            .is_some();
        match (of_change, of_buildset, list) {
            (true, _, true) => Resource::ChangePropertyList,
            (true, _, false) => Resource::ChangeProperties,
            (_, true, true) => Resource::BuildsetPropertyList,
            (_, true, false) => Resource::BuildsetProperties,
            (_, _, true) => Resource::BuildPropertyList,
            (_, _, false) => Resource::BuildProperties,
        }
    }

    fn force_schedulers(&self, reader: &Reader, plan: &Plan) -> Result<Vec<u8>, ApiError> {
        let captures = &self.found.captures;
        let builder = builder_name(reader, captures).map_err(|error| self.missing(error))?;
        let wanted = captures.text("schedulername");
        let off = switched_off(reader)?;
        let mut items = Vec::new();
        for def in plan.schedulers.values() {
            let SchedulerKind::Force(form) = &def.kind else {
                continue;
            };
            let named = wanted.is_none_or(|wanted| wanted == def.name);
            let builds = builder
                .as_ref()
                .is_none_or(|builder| def.builders.contains(builder));
            if named && builds {
                items.push(Item::from_iter([
                    ("all_fields".to_owned(), Value::from(force_fields(def))),
                    ("builder_names".to_owned(), Value::from(def.builders.clone())),
                    ("button_name".to_owned(), Value::from(form.button.clone())),
                    ("enabled".to_owned(), Value::from(!off.contains(&def.name))),
                    ("label".to_owned(), Value::from(form.label.clone())),
                    ("name".to_owned(), Value::from(def.name.clone())),
                ]));
            }
        }
        self.named(items)
    }

    fn pipeline_definition(&self, reader: &Reader, plan: &Plan) -> Result<Vec<u8>, ApiError> {
        let scope = locate(reader, Resource::Pipelines, &self.found.captures)?;
        let query = Query {
            scope,
            fields: Some(vec!["name".to_owned()]),
            ..Query::default()
        };
        let page = reader.query(Resource::Pipelines, &query).map_err(query_error)?;
        let Some(name) = page.items.first().and_then(|item| item.get("name")?.as_str()) else {
            return Err(self.not_found());
        };
        let jobs = plan
            .pipelines
            .get(name)
            .map_or(&[][..], |pipeline| &pipeline.jobs);
        // The configuration was checked: what cannot be planned is not in force.
        let planned = graph::plan(jobs, &[]).unwrap_or_default().jobs;
        let items = (0_u32..).zip(planned).map(|(number, job)| {
            Item::from_iter([
                ("number".to_owned(), Value::from(number)),
                ("name".to_owned(), Value::from(job.name)),
                ("group".to_owned(), Value::from(job.group)),
                ("matrix".to_owned(), json!(job.matrix)),
                ("needs".to_owned(), Value::from(job.needs)),
                ("definition".to_owned(), json!(job.definition)),
            ])
        });
        self.select(items.collect())
    }

    fn try_schedulers(&self, reader: &Reader, plan: &Plan, master: &Master) -> Result<Vec<u8>, ApiError> {
        let wanted = self.found.captures.text("schedulername");
        let off = switched_off(reader)?;
        let items = plan
            .schedulers
            .values()
            .filter(|def| matches!(def.kind, SchedulerKind::Try(_)))
            .filter(|def| wanted.is_none_or(|wanted| wanted == def.name))
            .map(|def| {
                let refused: Vec<Value> = master
                    .refused_jobs(&def.name)
                    .into_iter()
                    .map(|job| json!({ "file": job.file, "reason": job.reason, "at": job.at }))
                    .collect();
                Item::from_iter([
                    ("builder_names".to_owned(), Value::from(def.builders.clone())),
                    ("enabled".to_owned(), Value::from(!off.contains(&def.name))),
                    ("name".to_owned(), Value::from(def.name.clone())),
                    ("refused".to_owned(), Value::from(refused)),
                ])
            })
            .collect();
        self.named(items)
    }

    /// The one whose name the path has, or those that the query wants.
    fn named(&self, mut items: Vec<Item>) -> Result<Vec<u8>, ApiError> {
        if self.is_single() {
            for item in &mut items {
                project(item, &self.query);
            }
            return self.envelope(&items, 0);
        }
        self.select(items)
    }
}

/// Names of schedulers that are switched off.
fn switched_off(reader: &Reader) -> Result<BTreeSet<String>, ApiError> {
    let schedulers = reader
        .query(Resource::Schedulers, &Query::default())
        .map_err(query_error)?;
    Ok(schedulers
        .items
        .iter()
        .filter(|item| item["enabled"] == false)
        .filter_map(|item| item["name"].as_str().map(str::to_owned))
        .collect())
}

/// Logs that are being written have more lines than their rows say.
async fn log_rows(app: &Shared, request: Request) -> Result<Vec<u8>, ApiError> {
    let live_fields = ["num_lines", "raw_bytes", "complete"];
    let selected = request.query.fields.clone();
    let shows_live = selected
        .as_ref()
        .is_none_or(|fields| fields.iter().any(|field| live_fields.contains(&field.as_str())));
    let (request, mut page) = app
        .master
        .read(move |reader| {
            let mut query = request.scoped(reader, Resource::Logs)?;
            if shows_live && let Some(fields) = &mut query.fields {
                fields.extend(["logid", "complete"].map(String::from));
            }
            let page = reader.query(Resource::Logs, &query).map_err(query_error)?;
            Ok::<_, ApiError>((request, page))
        })
        .await?;
    if shows_live {
        for item in &mut page.items {
            refresh_log(app, item).await?;
            project(item, &request.query);
        }
    }
    request.envelope(&page.items, page.total)
}

/// Brings the item of an unfinished log up to date.
async fn refresh_log(app: &Shared, item: &mut Item) -> Result<(), ApiError> {
    let (Some(Value::Bool(false)), Some(id)) =
        (item.get("complete"), item.get("logid").and_then(Value::as_u64))
    else {
        return Ok(());
    };
    let handle = app
        .master
        .log(LogId(id))
        .await
        .map_err(|fault| ApiError::internal("a log cannot be read", &fault))?;
    if let Some(handle) = handle {
        for (field, value) in [
            ("num_lines", handle.record.num_lines),
            ("raw_bytes", handle.record.raw_bytes),
        ] {
            if let Some(shown) = item.get_mut(field) {
                *shown = Value::from(value.max(shown.as_u64().unwrap_or(0)));
            }
        }
    }
    Ok(())
}

/// The name of the builder that the path names, if it names one.
fn builder_name(reader: &Reader, captures: &Captures) -> Result<Option<String>, ApiError> {
    let filter = match (captures.number("builderid"), captures.text("buildername")) {
        (Some(id), _) => Filter::eq("builderid", FilterValue::from(id)),
        (None, Some(name)) => Filter::eq("name", name),
        (None, None) => return Ok(None),
    };
    let query = Query {
        scope: vec![filter],
        limit: Some(1),
        ..Query::default()
    };
    let page = reader.query(Resource::Builders, &query).map_err(query_error)?;
    match page.items.first().and_then(|item| item["name"].as_str()) {
        Some(name) => Ok(Some(name.to_owned())),
        None => Err(ApiError::NotFound("no such builder".into())),
    }
}

/// The error of an endpoint that has nothing to return, in the shape that clients know.
pub(super) fn not_found(found: &Found, query: &str) -> ApiError {
    let endpoints: Vec<String> = found.method.paths.iter().map(|path| format!("/{path}")).collect();
    ApiError::NotFound(format!(
        "not found while getting from endpoint for {} with arguments '{query}' and {{{}}}",
        endpoints.join(","),
        found.captures.describe()
    ))
}
