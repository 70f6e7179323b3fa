//! `/files/`: the files that builds have uploaded.

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use ironmaster_master::FileError;
use tower_http::services::ServeFile;

use crate::{
    app::{Client, Shared},
    error::ApiError,
    registry::Permission,
    rest::error_response,
};

/// Answers with a file, or the part of it that is asked for.
pub(crate) async fn serve(State(app): State<Shared>, Client(client): Client, request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let refused = app
        .admit(request.headers(), client)
        .and_then(|identity| app.auth.require(&identity, Permission::Read.role()));
    if let Err(refusal) = refused {
        return error_response(&refusal);
    }
    match file(&app, request).await {
        Ok(response) => response,
        Err(error) => error_response(&error),
    }
}

async fn file(app: &Shared, mut request: Request) -> Result<Response, ApiError> {
    let path = percent_encoding::percent_decode_str(request.uri().path())
        .decode_utf8_lossy()
        .into_owned();
    let path = path.strip_prefix("/files/").unwrap_or_default();
    let place = match app.master.file(path.to_owned()).await {
        Ok(place) => place,
        Err(FileError::Path { .. } | FileError::Missing { .. }) => {
            return Err(ApiError::NotFound(format!("there is no file {path}")));
        }
        Err(fault) => return Err(ApiError::internal("a file cannot be read", &fault)),
    };
    // A part is only of use to who has the rest of the same file: which that is, is not told, so it gets all of it.
    if request.headers().contains_key(header::IF_RANGE) {
        request.headers_mut().remove(header::RANGE);
    }
    let mut response = ServeFile::new(place)
        .try_call(request)
        .await
        .map_err(|fault| ApiError::internal("a file cannot be read", &fault))?
        .map(Body::new);
    let headers = response.headers_mut();
    // It is not our page, even if it is HTML: it may not run scripts with the reader's cookie.
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}
