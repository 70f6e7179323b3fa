//! What the master says of itself, and the configurations that it has had.

use ironmaster_master::Condition;
use ironmaster_store::StoreError;
use serde_json::{Value, json};

use crate::{app::Shared, control::refused, error::ApiError, select::Item};

/// This master.
pub(super) async fn status(app: &Shared) -> Result<Vec<Item>, ApiError> {
    let Some(status) = app.master.status().await.map_err(refused)? else {
        return Ok(Vec::new());
    };
    let (condition, reason) = match status.condition {
        _ if status.leaving => ("stopping", None),
        Condition::Serving if status.draining_by.is_some() => ("draining", None),
        Condition::Serving => ("serving", None),
        Condition::Degraded { reason } => ("degraded", Some(reason)),
        Condition::Stopping => ("stopping", None),
    };
    let running: Vec<Value> = status
        .running
        .iter()
        .map(|running| {
            json!({
                "buildid": running.build,
                "builder": running.builder,
                "number": running.number,
                "worker": running.worker,
            })
        })
        .collect();
    Ok(items(vec![json!({
        "masterid": status.master,
        "name": status.name,
        "started_at": status.started_at.as_secs(),
        "condition": condition,
        "reason": reason,
        "config": status.config,
        "draining": status.draining_by.is_some(),
        "draining_by": status.draining_by,
        "running": running,
        "waiting": status.waiting,
    })]))
}

/// All configurations that are remembered.
pub(super) async fn configurations(app: &Shared) -> Result<Vec<Item>, ApiError> {
    let history = app.master.configurations().await.map_err(unreadable)?;
    let last = history.len().saturating_sub(1);
    let list = history.into_iter().enumerate().map(|(at, record)| {
        json!({
            "digest": record.digest,
            "loaded_at": record.at.as_secs(),
            "by": record.by,
            "via": record.via,
            "files": record.files,
            "in_force": at == last,
        })
    });
    Ok(items(list.collect()))
}

/// The files of one of them.
pub(super) async fn configuration(app: &Shared, digest: &str) -> Result<Vec<Item>, ApiError> {
    let history = app.master.configurations().await.map_err(unreadable)?;
    if history.iter().all(|record| record.digest != digest) {
        return Ok(Vec::new());
    }
    let files = app.master.configuration_files(digest).await.map_err(unreadable)?;
    Ok(items(vec![json!({
        "digest": digest,
        "kept": files.is_some(),
        "files": files.unwrap_or_default(),
    })]))
}

fn items(values: Vec<Value>) -> Vec<Item> {
    values
        .into_iter()
        .filter_map(|value| match value {
            Value::Object(item) => Some(item.into_iter().collect()),
            _ => None,
        })
        .collect()
}

fn unreadable(error: StoreError) -> ApiError {
    match error {
        away @ StoreError::Unreachable { .. } => ApiError::Unavailable(away.to_string()),
        fault => ApiError::internal("the history of configurations cannot be read", &fault),
    }
}
