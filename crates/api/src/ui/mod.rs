//! The UI's files: those that were embedded when this program was compiled, or those of a directory that replaces
//! them (which may be Buildbot's own UI: see section 13 of `docs/reference/rest-api-v2.md`).

mod config;
mod files;

use std::path::PathBuf;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};

pub use config::serve as config;

use self::files::{File, embedded, from_directory};
use crate::{
    app::{Client, Shared},
    worker,
};

/// Where the files are.
#[derive(Debug)]
pub enum Ui {
    /// In the program.
    Embedded,
    /// In a directory.
    Directory(PathBuf),
}

impl Ui {
    async fn file(&self, path: &str) -> Option<File> {
        match self {
            Ui::Embedded => embedded(path),
            Ui::Directory(root) => {
                let (root, path) = (root.clone(), path.to_owned());
                tokio::task::spawn_blocking(move || from_directory(&root, &path))
                    .await
                    .ok()
                    .flatten()
            }
        }
    }
}

/// Answers every path that nothing else answers.
pub async fn serve(State(app): State<Shared>, Client(client): Client, request: Request) -> Response {
    if worker::is_stock(request.headers()) {
        return worker::upgrade_stock(app, client, request).await;
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let path = percent_encoding::percent_decode_str(request.uri().path())
        .decode_utf8_lossy()
        .into_owned();
    let path = path.trim_start_matches('/');
    let headers = request.headers();
    if matches!(path, "" | "index.html") {
        let Some(index) = app.ui.file("index.html").await else {
            return not_found();
        };
        return page(&app, client, headers, &index);
    }
    match app.ui.file(path).await {
        Some(file) => answer(path, file, headers),
        None => not_found(),
    }
}

/// The index page with the configuration in it.
fn page(app: &Shared, client: std::net::IpAddr, headers: &HeaderMap, index: &File) -> Response {
    let html = String::from_utf8_lossy(&index.bytes);
    let identity = app
        .auth
        .identify(headers, client)
        .unwrap_or(crate::auth::Identity::Anonymous);
    let nonce = config::nonce();
    let html = config::embed(&html, &config::object(app, &identity), &nonce);
    let mut response = (
        [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "public,max-age=0"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "same-origin"),
        ],
        html,
    )
        .into_response();
    // A UI that replaces ours may need what this forbids.
    if matches!(app.ui, Ui::Embedded) {
        let policy = format!(
            "default-src 'self'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'unsafe-inline'; \
             img-src 'self' data: https:; connect-src 'self' ws: wss:; frame-ancestors 'self'; base-uri 'none'; \
             form-action 'self'; object-src 'none'"
        );
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            response
                .headers_mut()
                .insert(header::CONTENT_SECURITY_POLICY, policy);
        }
    }
    response
}

fn answer(path: &str, file: File, headers: &HeaderMap) -> Response {
    // Files of the build's `assets` folder have a digest of their content in their names.
    let caching = if path.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|tags| {
        tags.to_str().is_ok_and(|tags| {
            tags.split(',')
                .any(|tag| tag.trim().trim_start_matches("W/") == file.etag)
        })
    });
    let media_type = mime_guess::from_path(path).first_or_octet_stream();
    let media_type = if media_type.type_() == "text" || media_type.subtype() == "javascript" {
        format!("{media_type}; charset=utf-8")
    } else {
        media_type.to_string()
    };
    let (status, body) = if known {
        (StatusCode::NOT_MODIFIED, Body::empty())
    } else {
        (StatusCode::OK, Body::from(file.bytes))
    };
    (
        status,
        [
            (header::ETAG, file.etag),
            (header::CACHE_CONTROL, caching.to_owned()),
            (header::CONTENT_TYPE, media_type),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        ],
        body,
    )
        .into_response()
}

fn not_found() -> Response {
    const PAGE: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Not found</title></head>\n\
        <body><h1>Not found</h1><p>There is no page at this address. <a href=\"/\">Go to the start</a>.</p></body></html>\n";
    (
        StatusCode::NOT_FOUND,
        [(header::CONTENT_TYPE, "text/html; charset=utf-8")],
        PAGE,
    )
        .into_response()
}
