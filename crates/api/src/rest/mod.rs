//! REST v2: paths below `/api`. GET reads, POST calls actions by JSON-RPC; both look the method up in the
//! [registry](mod@crate::registry).

mod answer;
mod answers;
mod locate;
mod logs;
mod own;
mod read;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

pub(crate) use answer::add_error_headers;
pub use answer::{error_response, json_response};
pub use answers::Answers;
pub(crate) use locate::query_error;
pub use locate::{Target, locate, targets};

use crate::{
    app::{Client, Shared, accepts_json},
    control,
    error::ApiError,
    json::Layout,
    registry,
};

/// Answers everything below `/api`.
pub async fn serve(State(app): State<Shared>, Client(client): Client, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let layout = if accepts_json(&parts.headers) {
        Layout::Compact
    } else {
        Layout::Indented
    };
    let origin = match app.origins.check(&parts.headers) {
        Ok(origin) => origin.cloned(),
        Err(refusal) => return error_response(&refusal),
    };
    let path = parts.uri.path();
    let query = parts.uri.query().unwrap_or("");
    let mut response = match parts.method {
        Method::OPTIONS => preflight(&parts.headers),
        Method::GET | Method::HEAD => match app.auth.identify(&parts.headers, client) {
            Ok(identity) => match read::get(&app, &identity, path, query, &parts.headers, layout).await {
                Ok(response) => response,
                Err(error) => error_response(&error),
            },
            Err(refusal) => error_response(&refusal),
        },
        Method::POST => control::post(&app, client, path, &parts.headers, body).await,
        _ => error_response(&ApiError::BadRequest("invalid HTTP method".into())),
    };
    let headers = response.headers_mut();
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("Content-Type, Idempotency-Key"),
        );
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
            HeaderValue::from_static("true"),
        );
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    headers.append(header::VARY, HeaderValue::from_static("Accept"));
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    response
}

/// `/api`: which versions there are.
pub async fn versions(State(app): State<Shared>) -> Response {
    json_response(&json!({ "api_versions": { "v2": format!("{}api/v2", app.settings.url) } }))
}

/// `/api/methods`: the registry as a document.
pub async fn methods(State(app): State<Shared>, Client(client): Client, headers: HeaderMap) -> Response {
    let refused = app
        .admit(&headers, client)
        .and_then(|identity| app.auth.require(&identity, registry::Permission::Read.role()));
    match refused {
        Ok(()) => json_response(&registry::describe()),
        Err(refusal) => error_response(&refusal),
    }
}

/// The elements of a path below `/api/v2` or `/api/latest`.
pub(crate) fn elements(path: &str) -> Result<Vec<String>, ApiError> {
    let below = path
        .strip_prefix("/api/v2")
        .or_else(|| path.strip_prefix("/api/latest"))
        .ok_or_else(|| ApiError::InvalidPath(path.trim_start_matches("/api/").to_owned()))?;
    match below.strip_prefix('/') {
        // A trailing slash makes another path, which does not exist.
        Some("") => Err(ApiError::InvalidPath(String::new())),
        Some(below) => Ok(registry::split(below)),
        None if below.is_empty() => Ok(registry::split("")),
        None => Err(ApiError::InvalidPath(path.trim_start_matches("/api/").to_owned())),
    }
}

fn preflight(headers: &HeaderMap) -> Response {
    let wanted = headers
        .get(header::ACCESS_CONTROL_REQUEST_METHOD)
        .map(HeaderValue::as_bytes);
    if matches!(wanted, Some(b"GET" | b"POST" | b"HEAD")) {
        (StatusCode::OK, Body::empty()).into_response()
    } else {
        error_response(&ApiError::BadRequest("invalid method".into()))
    }
}
