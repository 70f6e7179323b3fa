//! From what a path says to rows: `builders/x/builds/3/steps/compile` is the step named so of the build that is
//! number 3 of builder x.

use ironmaster_store::{Filter, FilterValue, Query, QueryError, Reader, Resource, StoreError};

use crate::{error::ApiError, registry::Captures};

/// The row that an action or a log is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target(pub u64);

/// The conditions that a path puts on `resource`. An ancestor that the path names and that does not exist is
/// not found; one given by id is not looked up (nothing will match it).
pub fn locate(reader: &Reader, resource: Resource, captures: &Captures) -> Result<Vec<Filter>, ApiError> {
    let mut scope = Vec::new();
    let mut add = |name: &str, value: FilterValue| scope.push(Filter::eq(name, value));

    let builder = match (captures.number("builderid"), captures.text("buildername")) {
        (Some(id), _) => Some(id),
        (None, Some(name)) if resource == Resource::Builders => {
            add("name", name.into());
            None
        }
        (None, Some(name)) => Some(id_of(
            reader,
            Resource::Builders,
            "builderid",
            vec![Filter::eq("name", name)],
        )?),
        (None, None) => None,
    };

    let mut build = captures.number("buildid");
    if let Some(number) = captures.number("build_number") {
        if resource == Resource::Builds {
            add("number", number.into());
        } else {
            let of_builder = Filter::eq("builderid", builder.unwrap_or_default());
            build = Some(id_of(
                reader,
                Resource::Builds,
                "buildid",
                vec![of_builder, Filter::eq("number", number)],
            )?);
        }
    }
    let below_build = captures.number("build_number").is_some() && resource != Resource::Builds;

    let mut step = captures.number("stepid");
    let step_name = match (captures.number("step_number"), captures.text("step_name")) {
        (Some(number), _) => Some(Filter::eq("number", number)),
        (None, Some(name)) => Some(Filter::eq("name", name)),
        (None, None) => None,
    };
    match step_name {
        Some(name) if resource == Resource::Steps => scope.push(name),
        Some(name) => {
            let of_build = Filter::eq("buildid", build.unwrap_or_default());
            step = Some(id_of(reader, Resource::Steps, "stepid", vec![of_build, name])?);
        }
        None => {}
    }
    let below_step = step.is_some() && resource != Resource::Steps;

    let mut add = |name: &str, value: FilterValue| scope.push(Filter::eq(name, value));
    if let Some(id) = step {
        add("stepid", id.into());
    }
    if let Some(id) = build.filter(|_| !below_step) {
        add("buildid", id.into());
    }
    if let Some(id) = builder.filter(|_| !below_build) {
        add("builderid", id.into());
    }
    for name in [
        "masterid",
        "workerid",
        "projectid",
        "buildrequestid",
        "changeid",
        "parent_buildid",
        "bsid",
        "ssid",
        "schedulerid",
        "changesourceid",
        "logid",
        "codebaseid",
        "pipelineid",
        "runid",
        "jobid",
    ] {
        if let Some(id) = captures.number(name) {
            add(name, id.into());
        }
    }
    for name in ["workername", "projectname", "codebasename"] {
        if let Some(name) = captures.text(name) {
            add("name", name.into());
        }
    }
    if let Some(number) = captures.number("job_number") {
        add("number", number.into());
    }
    if let Some(slug) = captures.text("log_slug") {
        add("slug", slug.into());
    }
    Ok(scope)
}

/// The id of the one row that a path leads to.
pub fn targets(
    reader: &Reader,
    resource: Resource,
    id: &str,
    captures: &Captures,
) -> Result<Target, ApiError> {
    let scope = locate(reader, resource, captures)?;
    id_of(reader, resource, id, scope)
        .map(Target)
        .map_err(|error| match error {
            ApiError::NotFound(_) => ApiError::NotFound(format!(
                "there is no {} with {}",
                resource.plural().trim_end_matches('s'),
                captures.describe()
            )),
            other => other,
        })
}

fn id_of(reader: &Reader, resource: Resource, id: &str, scope: Vec<Filter>) -> Result<u64, ApiError> {
    let query = Query {
        scope,
        fields: Some(vec![id.to_owned()]),
        limit: Some(1),
        ..Query::default()
    };
    let page = reader.query(resource, &query).map_err(query_error)?;
    page.items
        .first()
        .and_then(|item| item.get(id))
        .and_then(serde_json::Value::as_u64)
        .ok_or_else(|| ApiError::NotFound(format!("{} that the path names", resource.plural())))
}

/// A refusal of the store in words of the API.
pub(crate) fn query_error(error: QueryError) -> ApiError {
    match error {
        QueryError::Store(away @ StoreError::Unreachable { .. }) => ApiError::Unavailable(away.to_string()),
        QueryError::Store(fault) => ApiError::internal("a query failed", &fault),
        refused => ApiError::BadRequest(refused.to_string()),
    }
}
