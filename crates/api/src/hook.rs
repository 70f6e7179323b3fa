//! `/change_hook/base` (section 16 of `docs/reference/rest-api-v2.md`).

use std::net::IpAddr;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use hyper::ext::ReasonPhrase;
use ironmaster_changes::hook;
use ironmaster_engine::Input;

use crate::{
    app::{Client, Shared},
    control::refused,
    error::ApiError,
    query,
};

/// Fields of a hook's form at most.
const FIELDS_MAX: usize = 1000;

/// Answers everything below `/change_hook`.
pub async fn serve(
    State(app): State<Shared>,
    Client(client): Client,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if !matches!(method, Method::GET | Method::HEAD | Method::POST) {
        return StatusCode::NOT_IMPLEMENTED.into_response();
    }
    match accept(&app, client, &uri, &headers, body).await {
        Ok(()) => page(StatusCode::OK, "1 change found"),
        Err(error) => {
            tracing::warn!(%client, "a change hook was refused: {error}");
            let mut response = page(error.status(), &error.to_string());
            if matches!(error, ApiError::BadCredentials) {
                response.headers_mut().insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Basic realm=\"Protected area\""),
                );
            }
            response
        }
    }
}

async fn accept(
    app: &Shared,
    client: IpAddr,
    uri: &Uri,
    headers: &HeaderMap,
    body: Body,
) -> Result<(), ApiError> {
    // Hooks come from programs. A page of another site must not make changes through a visitor's browser.
    app.origins.check(headers)?;
    if !app.settings.hook_enabled {
        return Err(ApiError::BadRequest(
            "change hooks are switched off on this master (`enabled` in [change_hook])".into(),
        ));
    }
    if let Some(token) = &app.settings.hook_token_sha256 {
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        app.auth.limited(client, || hook::authorized(given, token))?;
    }
    let element = uri
        .path()
        .trim_start_matches("/change_hook")
        .trim_start_matches('/');
    let dialect: String = element
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect();
    if !matches!(dialect.as_str(), "" | "base") {
        return Err(ApiError::BadRequest(format!(
            "unknown dialect '{dialect}'; this master knows: base"
        )));
    }
    let body = crate::body::read(
        body,
        app.settings.limits.hook_body_bytes,
        app.settings.limits.body_time,
    )
    .await?;
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(str::trim);
    let is_form = media_type
        .is_none_or(|media_type| media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded"));
    if !is_form && !body.is_empty() {
        return Err(ApiError::BadRequest(
            "the body must be a form (application/x-www-form-urlencoded)".into(),
        ));
    }
    let body = String::from_utf8_lossy(&body);
    let fields: Vec<(String, String)> = query::pairs(uri.query().unwrap_or(""))
        .chain(query::pairs(body.trim_end()))
        .take(FIELDS_MAX)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let change = hook::parse_base(&fields).map_err(|error| ApiError::BadRequest(error.to_string()))?;
    app.master
        .submit(Input::Change(change))
        .await
        .map_err(|error| match refused(error) {
            ApiError::InvalidFields(fields) => {
                ApiError::BadRequest(fields.into_values().collect::<Vec<_>>().join("; "))
            }
            other => other,
        })?;
    Ok(())
}

/// The text as body and, for errors, as the reason phrase, where `git` hooks and the like show it.
fn page(status: StatusCode, text: &str) -> Response {
    // It is called HTML, so it must not be able to hold any.
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;");
    let mut response = (status, [(header::CONTENT_TYPE, "text/html")], escaped).into_response();
    if status != StatusCode::OK {
        let phrase: String = text
            .chars()
            .take(200)
            .map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' })
            .collect();
        if let Ok(phrase) = ReasonPhrase::try_from(phrase) {
            response.extensions_mut().insert(phrase);
        }
    }
    response
}
