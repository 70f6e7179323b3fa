//! `/auth/…` (section 12 of `docs/reference/rest-api-v2.md`, and our own token login).

use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::Role;
use crate::{
    app::{Client, Shared},
    error::ApiError,
    query,
    rest::{error_response, json_response},
};

/// The largest body of a login, in bytes.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// `POST /auth/token` with `{"token": "…"}`: a session cookie in return.
pub async fn token(
    State(app): State<Shared>,
    Client(client): Client,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let login = async {
        app.origins.check(&headers)?;
        let body = crate::body::read(body, BODY_BYTES_MAX, app.settings.limits.body_time).await?;
        let token = match serde_json::from_slice(&body) {
            Ok(Value::Object(mut form)) => form.remove("token"),
            _ => None,
        };
        let Some(Value::String(token)) = token else {
            return Err(ApiError::BadRequest(
                "the body must be JSON: {\"token\": \"…\"}".into(),
            ));
        };
        app.auth.log_in(token.trim(), client)
    };
    match login.await {
        Ok((identity, cookie)) => {
            with_cookie(json_response(&json!({ "user": identity.user_info() })), &cookie)
        }
        Err(error) => error_response(&error),
    }
}

/// `GET /auth/user`: who asks.
pub async fn user(State(app): State<Shared>, Client(client): Client, headers: HeaderMap) -> Response {
    match app.admit(&headers, client) {
        Ok(identity) => {
            let controls = app.auth.require(&identity, Role::Admin).is_ok();
            let reads = app.auth.require(&identity, Role::Reader).is_ok();
            json_response(
                &json!({ "user": identity.user_info(), "may": { "read": reads, "control": controls } }),
            )
        }
        Err(error) => error_response(&error),
    }
}

/// `POST /auth/logout`: ends the session.
pub async fn log_out(State(app): State<Shared>, headers: HeaderMap) -> Response {
    match app.origins.check(&headers) {
        Ok(_) => with_cookie(
            json_response(&json!({ "user": { "anonymous": true } })),
            &app.auth.log_out(&headers),
        ),
        Err(error) => error_response(&error),
    }
}

/// `GET /auth/logout?redirect=…`: ends the session and goes back to the UI.
pub async fn log_out_and_redirect(
    State(app): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    with_cookie(redirect(&app, query.as_deref()), &app.auth.log_out(&headers))
}

/// `GET /auth/login?redirect=…`: goes to the UI, which asks for the token.
pub async fn log_in_redirect(State(app): State<Shared>, RawQuery(query): RawQuery) -> Response {
    redirect(&app, query.as_deref())
}

/// To a page of the UI. The page goes behind the `#`, so that this cannot lead to another site.
fn redirect(app: &Shared, query: Option<&str>) -> Response {
    let page = query
        .into_iter()
        .flat_map(query::pairs)
        .find(|(name, _)| name == "redirect")
        .map_or_else(|| "/".to_owned(), |(_, page)| page.into_owned());
    let page: String = page.chars().filter(char::is_ascii_graphic).collect();
    let location = format!("{}#{page}", app.settings.url);
    match HeaderValue::from_str(&location) {
        Ok(location) => (StatusCode::FOUND, [(header::LOCATION, location)]).into_response(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
