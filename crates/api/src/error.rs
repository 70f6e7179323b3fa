//! One error for everything a method may answer, mapped to a status and a body in one place.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use ironmaster_engine::Refusal;

use crate::auth::Role;

/// Why a method did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The request is wrong; the text says how.
    #[error("{0}")]
    BadRequest(String),
    /// There is no endpoint at that path.
    #[error("Invalid path: {0}")]
    InvalidPath(String),
    /// The endpoint exists, what it names does not.
    #[error("{0}")]
    NotFound(String),
    /// Values of fields are not acceptable.
    #[error("{}", .0.values().cloned().collect::<Vec<_>>().join("; "))]
    InvalidFields(BTreeMap<String, String>),
    /// Who asks may not.
    #[error("you need to have role '{0}'")]
    Forbidden(Role),
    /// The credentials that came along are not valid.
    #[error("this token is not valid")]
    BadCredentials,
    /// Too many failed tries from the same place.
    #[error("too many failed tries; wait {seconds} seconds")]
    TooManyTries {
        /// How long to wait.
        seconds: u64,
    },
    /// The method is known but there is no such action.
    #[error("action: {0} is not supported")]
    Unsupported(String),
    /// A configuration is wrong.
    #[error("{text}")]
    WrongConfig {
        /// What is wrong, for people.
        text: String,
        /// The same for programs.
        findings: Vec<serde_json::Value>,
    },
    /// It cannot be done now.
    #[error("{0}")]
    Conflict(String),
    /// The request is larger than allowed.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The master cannot take changes at the moment; it goes on by itself.
    #[error("{0}")]
    Unavailable(String),
    /// A fault of the master. The cause is in its log under this id.
    #[error("internal error; the master's log has it under request {0}")]
    Internal(String),
}

impl ApiError {
    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            ApiError::BadRequest(_) | ApiError::InvalidFields(_) | ApiError::WrongConfig { .. } => {
                StatusCode::BAD_REQUEST
            }
            ApiError::InvalidPath(_) | ApiError::NotFound(_) => StatusCode::NOT_FOUND,
            ApiError::Forbidden(_) => StatusCode::FORBIDDEN,
            ApiError::BadCredentials => StatusCode::UNAUTHORIZED,
            ApiError::TooManyTries { .. } => StatusCode::TOO_MANY_REQUESTS,
            ApiError::Unsupported(_) => StatusCode::NOT_IMPLEMENTED,
            ApiError::Conflict(_) => StatusCode::CONFLICT,
            ApiError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            ApiError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            ApiError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The JSON-RPC error code (REST v2, section 8).
    pub fn rpc_code(&self) -> i64 {
        match self {
            ApiError::InvalidFields(_) => -32602,
            ApiError::Unsupported(_) => -32601,
            ApiError::Internal(_) | ApiError::Unavailable(_) => -32603,
            _ => -32600,
        }
    }

    /// Logs a fault and returns the error that names it.
    pub fn internal(what: &str, fault: &dyn std::error::Error) -> Self {
        let id = request_id();
        let mut causes = String::new();
        let mut source = fault.source();
        while let Some(cause) = source {
            causes.push_str(": ");
            causes.push_str(&cause.to_string());
            source = cause.source();
        }
        tracing::error!(request = %id, "{what}: {fault}{causes}");
        ApiError::Internal(id)
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound { what } => ApiError::NotFound(format!("there is no {what}")),
            Refusal::Invalid { fields } => ApiError::InvalidFields(fields),
            Refusal::NotLive { what } => ApiError::Conflict(format!("{what} is not running")),
            Refusal::Conflict { reason } => ApiError::Conflict(reason),
        }
    }
}

/// A short random id that ties a client's error message to a line in the log.
pub fn request_id() -> String {
    let mut bytes = [0; 6];
    // Without entropy the id is useless, but the answer is not.
    let _ = getrandom::fill(&mut bytes);
    hex::encode(bytes)
}
