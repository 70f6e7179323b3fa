//! `/healthz`: whether the master makes progress. An open port says nothing.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use ironmaster_master::Condition;
use serde_json::json;

use crate::{app::Shared, rest::json_response};

/// Answers 200 while the master takes changes and nothing is stuck, else 503. The body says why.
pub async fn serve(State(app): State<Shared>) -> Response {
    let health = app.master.health();
    let (condition, reason) = match health.condition {
        Condition::Serving => ("serving", None),
        Condition::Degraded { reason } => ("degraded", Some(reason)),
        Condition::Stopping => ("stopping", None),
    };
    // Reading is part of it: a database that does not answer is no health.
    let reads = app
        .master
        .read(|reader| reader.last_seq().map_err(|fault| fault.to_string()))
        .await;
    let healthy = condition == "serving" && health.stuck.is_empty() && reads.is_ok();
    let body = json!({
        "condition": condition,
        "reason": reason.or(reads.as_ref().err().cloned()),
        "stuck": health.stuck,
        "last_event": reads.ok(),
    });
    let mut response = json_response(&body);
    *response.status_mut() = if healthy {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, "no-store".parse().expect("it is valid"));
    response.into_response()
}
