//! Request bodies, within bounds of size and time.

use std::time::Duration;

use axum::body::Body;
use bytes::BytesMut;
use futures_util::StreamExt;

use crate::error::ApiError;

/// Reads a whole body.
pub async fn read(body: Body, limit: usize, time: Duration) -> Result<BytesMut, ApiError> {
    let mut stream = body.into_data_stream();
    let mut bytes = BytesMut::new();
    let reading = async {
        while let Some(piece) = stream.next().await {
            let piece =
                piece.map_err(|error| ApiError::BadRequest(format!("the body ended early: {error}")))?;
            if bytes.len() + piece.len() > limit {
                return Err(ApiError::TooLarge { limit });
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(())
    };
    tokio::time::timeout(time, reading)
        .await
        .map_err(|_| ApiError::BadRequest(format!("the body took more than {} seconds", time.as_secs())))??;
    Ok(bytes)
}
