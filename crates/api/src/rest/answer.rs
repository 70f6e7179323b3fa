//! Bodies of answers.

use axum::{
    body::Body,
    http::{HeaderValue, Response as HttpResponse, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value, json};

use crate::{
    error::ApiError,
    json::{self, Layout},
};

/// The envelope of section 2: `{"<plural>": [items], "meta": {}}`, keys sorted.
pub(super) struct Envelope<'a> {
    pub(super) plural: &'static str,
    pub(super) items: &'a [Map<String, Value>],
    /// Collections say how many items there are in all.
    pub(super) total: Option<u64>,
}

impl Serialize for Envelope<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let meta = self
            .total
            .map_or_else(|| json!({}), |total| json!({ "total": total }));
        let mut map = serializer.serialize_map(Some(2))?;
        if self.plural < "meta" {
            map.serialize_entry(self.plural, self.items)?;
            map.serialize_entry("meta", &meta)?;
        } else {
            map.serialize_entry("meta", &meta)?;
            map.serialize_entry(self.plural, self.items)?;
        }
        map.end()
    }
}

/// The content type that goes with a layout.
pub(super) fn content_type(layout: Layout) -> HeaderValue {
    HeaderValue::from_static(match layout {
        Layout::Compact => "application/json; charset=utf-8",
        Layout::Indented => "text/plain; charset=utf-8",
    })
}

/// A body that is complete.
pub(super) fn whole(bytes: impl Into<Body>, layout: Layout) -> Response {
    HttpResponse::builder()
        .header(header::CONTENT_TYPE, content_type(layout))
        .body(bytes.into())
        .expect("all parts are valid")
}

/// JSON outside of REST v2's envelopes.
pub fn json_response(value: &Value) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        json::to_vec(value, Layout::Compact),
    )
        .into_response()
}

/// An error as section 4 wants it: JSON, though not called so.
pub fn error_response(error: &ApiError) -> Response {
    let mut response = HttpResponse::builder()
        .status(error.status())
        .header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
        .body(Body::from(json::to_vec(
            &json!({ "error": error.to_string() }),
            Layout::Compact,
        )))
        .expect("all parts are valid");
    add_error_headers(error, &mut response);
    response
}

/// Headers that go with some errors, whatever their body.
pub(crate) fn add_error_headers(error: &ApiError, response: &mut Response) {
    let headers = response.headers_mut();
    match error {
        ApiError::TooManyTries { seconds } => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
        }
        ApiError::BadCredentials => {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"ironmaster\""),
            );
        }
        ApiError::Unavailable(_) => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
        }
        _ => {}
    }
    debug_assert!(response.status() != StatusCode::OK);
}
