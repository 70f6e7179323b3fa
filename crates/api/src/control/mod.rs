//! Actions: JSON-RPC 2.0 by POST (section 8 of `docs/reference/rest-api-v2.md`).

mod actions;
mod calls;
mod rpc;
mod tries;

use axum::{body::Body, http::HeaderMap, response::Response};
use serde_json::{Map, Value};

pub(crate) use actions::refused;
pub use calls::Calls;

use self::{
    calls::Key,
    rpc::{Call, RpcError},
};
use crate::{
    app::Shared,
    auth::{Identity, Role},
    error::ApiError,
    registry::{Found, Idempotency, Operation, ParamKind, registry},
    rest::elements,
};

/// Answers a POST to `path`.
pub async fn post(
    app: &Shared,
    client: std::net::IpAddr,
    path: &str,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    match answer(app, client, path, headers, body).await {
        Ok((id, result)) => rpc::success(&id, &result),
        Err((id, error)) => rpc::failure(id.as_ref(), &error),
    }
}

async fn answer(
    app: &Shared,
    client: std::net::IpAddr,
    path: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Value, Value), (Option<Value>, RpcError)> {
    let identity = app
        .auth
        .identify(headers, client)
        .map_err(|refusal| (None, refusal.into()))?;
    // A form of another site could be posted with the user's cookie, but not with this content type.
    rpc::check_content_type(headers).map_err(|error| (None, error))?;
    let tester =
        tries::login(app, client, path, headers).map_err(|refusal| (None, ApiError::into(refusal)))?;
    let may_try = tester.is_some();
    let identity = tester.unwrap_or(identity);
    let limits = &app.settings.limits;
    let limit = if may_try || app.auth.require(&identity, Role::Admin).is_ok() {
        limits.body_bytes
    } else {
        limits.anonymous_body_bytes
    };
    let body = crate::body::read(body, limit, limits.body_time)
        .await
        .map_err(|error| (None, error.into()))?;
    let call = rpc::parse(&body)?;
    let id = call.id.clone();
    run(app, &identity, may_try, path, headers, call)
        .await
        .map(|result| (id.clone(), result))
        .map_err(|error| (Some(id), error))
}

async fn run(
    app: &Shared,
    identity: &Identity,
    may_try: bool,
    path: &str,
    headers: &HeaderMap,
    call: Call,
) -> Result<Value, RpcError> {
    let path = elements(path)?;
    let found = registry().action(&path, &call.method).map_err(|exists| {
        if exists {
            ApiError::Unsupported(call.method.clone())
        } else {
            ApiError::InvalidPath(path.join("/"))
        }
    })?;
    if !(may_try && found.method.operation == Operation::Try) {
        app.auth.require(identity, found.method.permission.role())?;
    }
    let params = check_params(&found, call.params)?;
    tracing::info!(user = identity.owner(), method = found.method.name, path = %path.join("/"), "called");

    let key = headers.get("idempotency-key").map(|key| key.as_bytes().to_vec());
    let Some(key) = key.filter(|_| found.method.idempotency != Idempotency::Safe) else {
        return Ok(actions::run(app, identity, &found, params).await?);
    };
    let key = Key::new(identity.owner(), &key, &path, &call.method, &params)?;
    let (task_app, task_identity) = (app.clone(), identity.clone());
    app.calls
        .once(key, async move {
            actions::run(&task_app, &task_identity, &found, params)
                .await
                .map_err(RpcError::from)
        })
        .await
}

/// Checks the parameters that the registry declares. Others are left to the action.
fn check_params(found: &Found, mut params: Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    // Who calls is known from the session; what the client says of it does not count.
    params.remove("owner");
    let mut wrong = std::collections::BTreeMap::new();
    for param in found.method.params {
        let problem = match params.get(param.name) {
            None | Some(Value::Null) if param.required => Some("is required"),
            None | Some(Value::Null) => None,
            Some(value) => match param.kind {
                ParamKind::String => (!value.is_string()).then_some("must be a string"),
                ParamKind::Integer => (!value.is_i64()).then_some("must be a whole number"),
                ParamKind::Boolean => (!value.is_boolean()).then_some("must be true or false"),
                ParamKind::Strings => value
                    .as_array()
                    .is_none_or(|values| !values.iter().all(Value::is_string))
                    .then_some("must be a list of strings"),
            },
        };
        if let Some(problem) = problem {
            wrong.insert(param.name.to_owned(), format!("'{}' {problem}", param.name));
        }
    }
    if wrong.is_empty() {
        Ok(params)
    } else {
        Err(ApiError::InvalidFields(wrong))
    }
}
