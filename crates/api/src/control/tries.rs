//! `try`: users of a try scheduler, and what a job is made of.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};
use base64::{Engine, engine::general_purpose::STANDARD};
use ironmaster_engine::{Input, TryJob, TryPatch};
use ironmaster_model::{SchedulerDef, SchedulerKind, TryDef};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{
    app::Shared,
    auth::{Identity, Role},
    error::ApiError,
    rest::elements,
};

/// Who calls a try scheduler with name and password. None if the call is for something else, or has no such thing: then it is
/// allowed to those who may control the master.
pub(super) fn login(
    app: &Shared,
    client: IpAddr,
    path: &str,
    headers: &HeaderMap,
) -> Result<Option<Identity>, ApiError> {
    let Some((name, password)) = basic(headers) else {
        return Ok(None);
    };
    let path = elements(path)?;
    let [of, scheduler] = path.as_slice() else {
        return Ok(None);
    };
    let plan = app.master.plan();
    let definition = plan.schedulers.get(scheduler).and_then(tries);
    let (true, Some(definition)) = (of == "tryschedulers", definition) else {
        return Ok(None);
    };
    // Whoever is not known takes as long as who is.
    let expected = definition.users.get(&name);
    let given = hex::encode(Sha256::digest(&password));
    let matches = given
        .as_bytes()
        .ct_eq(expected.map_or("", String::as_str).as_bytes());
    app.auth
        .limited(client, || expected.is_some() && bool::from(matches))?;
    Ok(Some(Identity::User {
        name,
        role: Role::Reader,
        by_cookie: false,
    }))
}

fn tries(definition: &SchedulerDef) -> Option<&TryDef> {
    match &definition.kind {
        SchedulerKind::Try(tries) => Some(tries),
        _ => None,
    }
}

/// Name and password of `Authorization: Basic`.
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, encoded) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

/// The job that the parameters describe.
pub(super) fn job(
    app: &Shared,
    scheduler: &str,
    identity: &Identity,
    params: &Map<String, Value>,
) -> Result<Input, ApiError> {
    let plan = app.master.plan();
    if plan.schedulers.get(scheduler).and_then(tries).is_none() {
        return Err(ApiError::NotFound(format!(
            "there is no try scheduler '{scheduler}'"
        )));
    }
    let invalid = |field: &str, problem: &str| {
        let problem = format!("'{field}' {problem}");
        ApiError::InvalidFields(std::iter::once((field.to_owned(), problem)).collect())
    };
    let text = |name: &str| {
        let text = params.get(name).and_then(Value::as_str);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let level = match params.get("patch_level").and_then(Value::as_i64) {
        None => 1,
        Some(level) => u32::try_from(level).map_err(|_| invalid("patch_level", "must not be negative"))?,
    };
    let properties = match params.get("properties") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(given)) => given.clone(),
        Some(_) => return Err(invalid("properties", "must be an object")),
    };
    let builders = params.get("builderNames").and_then(Value::as_array);
    Ok(Input::Try(Box::new(TryJob {
        scheduler: scheduler.to_owned(),
        id: text("jobid").unwrap_or_default(),
        branch: text("branch"),
        revision: text("revision"),
        patch: text("patch").map(|body| TryPatch {
            level,
            subdir: text("patch_subdir").unwrap_or_default(),
            body,
        }),
        repository: text("repository").unwrap_or_default(),
        project: text("project").unwrap_or_default(),
        codebase: text("codebase").unwrap_or_default(),
        who: text("who")
            .or_else(|| identity.name().map(str::to_owned))
            .unwrap_or_default(),
        comment: text("comment").unwrap_or_default(),
        builders: builders
            .into_iter()
            .flatten()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect(),
        properties: properties.into_iter().collect(),
    })))
}
