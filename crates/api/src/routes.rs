//! Which path is answered by what.

use axum::{
    Router,
    routing::{any, get, post},
};

use crate::{app::Shared, auth, events, files, health, hook, rest, ui, worker};

/// The whole site.
pub(crate) fn router(app: Shared) -> Router {
    Router::new()
        .route("/api", get(rest::versions))
        .route("/api/methods", get(rest::methods))
        .route("/api/{*path}", any(rest::serve))
        .route("/ws", any(events::upgrade))
        .route("/sse", get(events::sse_listen))
        .route("/sse/listen", get(events::sse_listen))
        .route("/sse/listen/{*path}", get(events::sse_listen_to))
        .route("/sse/add/{id}/{*path}", get(events::sse_add))
        .route("/sse/remove/{id}/{*path}", get(events::sse_remove))
        .route("/sse/{*path}", get(events::sse_listen_to))
        .route("/auth/token", post(auth::routes::token))
        .route("/auth/user", get(auth::routes::user))
        .route("/auth/login", get(auth::routes::log_in_redirect))
        .route(
            "/auth/logout",
            get(auth::routes::log_out_and_redirect).post(auth::routes::log_out),
        )
        .route("/config", get(ui::config))
        .route("/change_hook", any(hook::serve))
        .route("/change_hook/{*dialect}", any(hook::serve))
        .route("/worker", any(worker::upgrade))
        .route("/healthz", get(health::serve))
        .route("/files/{*path}", any(files::serve))
        .fallback(ui::serve)
        .with_state(app)
}
