//! The envelope of JSON-RPC 2.0 in Buildbot's dialect: all four keys are mandatory, no batches, no notifications.

use axum::{
    body::Body,
    http::{HeaderMap, Response as HttpResponse, StatusCode, header},
    response::Response,
};
use serde_json::{Map, Value, json};

use crate::{
    error::ApiError,
    json::{self, Layout},
    rest::add_error_headers,
};

/// A call.
#[derive(Debug, PartialEq)]
pub(super) struct Call {
    pub(super) method: String,
    pub(super) id: Value,
    pub(super) params: Map<String, Value>,
}

/// Why a call failed, as it is answered.
#[derive(Clone, Debug)]
pub(super) struct RpcError {
    status: StatusCode,
    code: i64,
    /// Text, or for values that are not acceptable an object: field to text.
    message: Value,
    /// More of it, for programs.
    data: Option<Box<Value>>,
    retry_after: Option<u64>,
}

impl RpcError {
    fn invalid(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code: -32600,
            message: Value::from(message.into()),
            data: None,
            retry_after: None,
        }
    }

    /// Whether the same call may succeed later.
    pub(super) fn is_temporary(&self) -> bool {
        self.status.is_server_error()
    }
}

impl From<ApiError> for RpcError {
    fn from(error: ApiError) -> Self {
        let retry_after = match &error {
            ApiError::TooManyTries { seconds } => Some(*seconds),
            _ => None,
        };
        let (status, code) = (error.status(), error.rpc_code());
        let (message, data) = match error {
            ApiError::InvalidFields(fields) => (json!(fields), None),
            ApiError::WrongConfig { text, findings } => (Value::from(text), Some(Box::new(json!(findings)))),
            other => (Value::from(other.to_string()), None),
        };
        Self {
            status,
            code,
            message,
            data,
            retry_after,
        }
    }
}

/// Refuses what is not called JSON.
pub(super) fn check_content_type(headers: &HeaderMap) -> Result<(), RpcError> {
    let json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"));
    if json {
        Ok(())
    } else {
        Err(RpcError::invalid("Invalid content-type (use application/json)"))
    }
}

/// Reads a call. The error comes with the call's id, if that could be read.
pub(super) fn parse(body: &[u8]) -> Result<Call, (Option<Value>, RpcError)> {
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        let error = RpcError {
            code: -32700,
            ..RpcError::invalid(format!("JSON parse error: {error}"))
        };
        (None, error)
    })?;
    let mut root = match value {
        Value::Object(root) => root,
        Value::Array(_) => {
            return Err((
                None,
                RpcError::invalid("JSONRPC batch requests are not supported"),
            ));
        }
        _ => return Err((None, RpcError::invalid("JSONRPC root object must be an object"))),
    };
    let is_id = |id: &Value| id.is_string() || id.is_i64() || id.is_u64() || id.is_null();
    let id = root.get("id").filter(|id| is_id(id)).cloned();
    let refuse = |text: String| Err((id.clone(), RpcError::invalid(text)));
    for key in ["jsonrpc", "method", "id", "params"] {
        if !root.contains_key(key) {
            return refuse(format!("missing key '{key}'"));
        }
    }
    if !is_id(&root["id"]) {
        return refuse("'id' must be a string, number, or null".into());
    }
    let Value::String(version) = &root["jsonrpc"] else {
        return refuse("'jsonrpc' must be a string".into());
    };
    if version != "2.0" {
        return refuse("only JSONRPC 2.0 is supported".into());
    }
    match (root.remove("method"), root.remove("params"), root.remove("id")) {
        (Some(Value::String(method)), Some(Value::Object(params)), Some(id)) => {
            Ok(Call { method, id, params })
        }
        (Some(Value::String(_)), ..) => refuse("'params' must be an object".into()),
        _ => refuse("'method' must be a string".into()),
    }
}

/// The answer to a call that succeeded.
pub(super) fn success(id: &Value, result: &Value) -> Response {
    respond(
        StatusCode::OK,
        &json!({ "id": id, "jsonrpc": "2.0", "result": result }),
    )
}

/// The answer to a call that failed.
pub(super) fn failure(id: Option<&Value>, error: &RpcError) -> Response {
    let mut answer = json!({ "jsonrpc": "2.0", "error": { "code": error.code, "message": error.message } });
    if let Some(data) = &error.data {
        answer["error"]["data"] = (**data).clone();
    }
    if let Some(id) = id {
        answer["id"] = id.clone();
    }
    let mut response = respond(error.status, &answer);
    match (error.status, error.retry_after) {
        (_, Some(seconds)) => add_error_headers(&ApiError::TooManyTries { seconds }, &mut response),
        (StatusCode::UNAUTHORIZED, _) => add_error_headers(&ApiError::BadCredentials, &mut response),
        (StatusCode::SERVICE_UNAVAILABLE, _) => {
            add_error_headers(&ApiError::Unavailable(String::new()), &mut response);
        }
        _ => {}
    }
    response
}

fn respond(status: StatusCode, answer: &Value) -> Response {
    HttpResponse::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(json::to_vec(answer, Layout::Compact)))
        .expect("all parts are valid")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_mistake_has_its_words() {
        for (body, id, code, text) in [
            ("{", None, -32700, "JSON parse error: "),
            ("[]", None, -32600, "JSONRPC batch requests are not supported"),
            ("3", None, -32600, "JSONRPC root object must be an object"),
            (
                r#"{"jsonrpc":"2.0","method":"x","id":4}"#,
                Some(json!(4)),
                -32600,
                "missing key 'params'",
            ),
            (
                r#"{"jsonrpc":"2.0","method":"x","id":[],"params":{}}"#,
                None,
                -32600,
                "'id' must be ",
            ),
            (
                r#"{"jsonrpc":"1.0","method":"x","id":"a","params":{}}"#,
                Some(json!("a")),
                -32600,
                "only JSONRPC 2.0 is supported",
            ),
            (
                r#"{"jsonrpc":"2.0","method":"x","id":null,"params":[]}"#,
                Some(Value::Null),
                -32600,
                "'params' must be an object",
            ),
            (
                r#"{"jsonrpc":"2.0","method":1,"id":1,"params":{}}"#,
                Some(json!(1)),
                -32600,
                "'method' must be a string",
            ),
        ] {
            let (said, error) = parse(body.as_bytes()).unwrap_err();
            assert_eq!((said, error.code), (id, code), "{body}");
            assert!(
                error.message.as_str().unwrap().starts_with(text),
                "{body}: {}",
                error.message
            );
        }
        let call = parse(br#"{"jsonrpc":"2.0","method":"stop","id":1,"params":{"reason":"x"}}"#).unwrap();
        assert_eq!(call.method, "stop");
    }

    proptest! {
        #[test]
        fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&body);
        }
    }
}
