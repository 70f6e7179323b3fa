//! What the UI has to know before its first request: `/config`, and the same in the index page.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use serde_json::{Value, json};

use crate::{
    app::{Client, Shared},
    auth::Identity,
    json::{self, Layout},
    rest::{error_response, json_response},
};

/// Where the index page wants the configuration.
const PLACEHOLDER: &str = "<!-- BUILDBOT_CONFIG_PLACEHOLDER -->";

/// `GET /config`.
pub async fn serve(State(app): State<Shared>, Client(client): Client, headers: HeaderMap) -> Response {
    let identity = match app.admit(&headers, client) {
        Ok(identity) => identity,
        Err(refusal) => return error_response(&refusal),
    };
    let mut response = json_response(&object(&app, &identity));
    let out = response.headers_mut();
    out.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, no-cache"),
    );
    if let Some(cookie) = app
        .auth
        .refreshed(&headers)
        .and_then(|cookie| HeaderValue::from_str(&cookie).ok())
    {
        out.append(header::SET_COOKIE, cookie);
    }
    response
}

/// The configuration object (section 13). It holds no secrets.
pub(super) fn object(app: &Shared, identity: &Identity) -> Value {
    let settings = &app.settings;
    let auth = if app.auth.has_tokens() { "Token" } else { "NoAuth" };
    json!({
        "title": settings.title,
        "titleURL": settings.url,
        "buildbotURL": settings.url,
        "versions": [["Ironmaster", settings.version]],
        "user": identity.user_info(),
        "auth": { "name": auth },
        "authz": {},
        "avatar_methods": [],
        "multiMaster": false,
        "plugins": {},
        "ui_default_config": {},
        "port": app.settings.url.rsplit(':').next().and_then(|port| port.trim_end_matches('/').parse::<u16>().ok()),
    })
}

/// Puts the configuration into the index page, if that has a place for it.
pub(super) fn embed(html: &str, config: &Value, nonce: &str) -> String {
    let text = String::from_utf8(json::to_vec(config, Layout::Compact)).expect("the writer makes ASCII");
    // `</script>` in a value must not end the script.
    let text = text.replace('<', "\\u003c");
    let script = format!("<script nonce=\"{nonce}\">window.buildbotFrontendConfig = {text};</script>");
    html.replacen(PLACEHOLDER, &script, 1)
}

/// Allows one inline script in one answer.
pub(super) fn nonce() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    hex::encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_can_end_the_script() {
        let html = embed(
            "<head><!-- BUILDBOT_CONFIG_PLACEHOLDER --></head>",
            &json!({"title": "</script><b>"}),
            "00",
        );
        assert_eq!(
            html,
            "<head><script nonce=\"00\">window.buildbotFrontendConfig = {\"title\":\"\\u003c/script>\\u003cb>\"};</script></head>"
        );
        assert_eq!(embed("<p>", &json!({}), "00"), "<p>");
    }
}
