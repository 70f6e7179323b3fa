//! Idempotency keys: a call that is sent twice with the same key acts once, and both get the first answer. So a client
//! that lost the answer (a proxy timed out, the network went away) can simply ask again.
//!
//! Answers are kept in memory, the newest few thousand for some hours; a restart of the master forgets them.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::rpc::RpcError;
use crate::error::ApiError;

/// How long an answer is kept.
pub(super) const WINDOW: Duration = Duration::from_hours(6);
/// How many answers are kept; the oldest go first.
const ANSWERS_MAX: usize = 4096;
/// The longest key.
const KEY_BYTES_MAX: usize = 256;

type Answer = Result<Value, RpcError>;

/// Answers by key.
#[derive(Debug, Default)]
pub struct Calls(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    calls: HashMap<[u8; 32], Entry>,
    /// In order of arrival.
    order: VecDeque<(Instant, [u8; 32])>,
}

#[derive(Clone, Debug)]
struct Entry {
    call: [u8; 32],
    since: Instant,
    answer: watch::Receiver<Option<Answer>>,
}

/// A key together with what it was used for.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// Of user and key: two users may choose the same.
    key: [u8; 32],
    call: [u8; 32],
}

impl Key {
    pub(super) fn new(
        user: &str,
        key: &[u8],
        path: &[String],
        method: &str,
        params: &Map<String, Value>,
    ) -> Result<Self, ApiError> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(ApiError::BadRequest(format!(
                "an idempotency key has 1 to {KEY_BYTES_MAX} bytes"
            )));
        }
        let call = serde_json::to_vec(&(path, method, params)).expect("JSON serialises");
        Ok(Self {
            key: Sha256::new()
                .chain_update(user)
                .chain_update([0])
                .chain_update(key)
                .finalize()
                .into(),
            call: Sha256::digest(call).into(),
        })
    }
}

impl Calls {
    /// Runs the call, unless it has run already or is running: then its answer is returned. The call goes on even if nobody
    /// waits for it any more. Temporary failures are not kept.
    pub(super) async fn once(&self, key: Key, call: impl Future<Output = Answer> + Send + 'static) -> Answer {
        let mut answer = {
            let mut known = self.0.lock().expect("no panic while holding the lock");
            known.forget_old(Instant::now());
            match known.calls.get(&key.key) {
                Some(entry) if entry.call != key.call => {
                    return Err(ApiError::Conflict(
                        "this idempotency key was used for another call; take a new key for each".into(),
                    )
                    .into());
                }
                Some(entry) => entry.answer.clone(),
                None => self.start(&mut known, &key, call),
            }
        };
        let done = answer
            .wait_for(Option::is_some)
            .await
            .map(|answer| answer.clone());
        // The sender is gone without an answer only if the call panicked.
        done.ok()
            .flatten()
            .unwrap_or_else(|| Err(ApiError::Internal(crate::error::request_id()).into()))
    }

    fn start(
        &self,
        known: &mut Known,
        key: &Key,
        call: impl Future<Output = Answer> + Send + 'static,
    ) -> watch::Receiver<Option<Answer>> {
        let (sender, answer) = watch::channel(None);
        let since = Instant::now();
        known.calls.insert(
            key.key,
            Entry {
                call: key.call,
                since,
                answer: answer.clone(),
            },
        );
        known.order.push_back((since, key.key));
        let (all, key) = (self.0.clone(), key.key);
        tokio::spawn(async move {
            let forget = Forget {
                all,
                key,
                keep: false,
            };
            let answer = call.await;
            forget.unless(!matches!(&answer, Err(error) if error.is_temporary()));
            sender.send_replace(Some(answer));
        });
        answer
    }
}

/// Forgets a call that has no lasting answer; also when it panics.
struct Forget {
    all: Arc<Mutex<Known>>,
    key: [u8; 32],
    keep: bool,
}

impl Forget {
    fn unless(mut self, keep: bool) {
        self.keep = keep;
    }
}

impl Drop for Forget {
    fn drop(&mut self) {
        if !self.keep
            && let Ok(mut known) = self.all.lock()
        {
            known.calls.remove(&self.key);
        }
    }
}

impl Known {
    fn forget_old(&mut self, now: Instant) {
        while let Some((since, key)) = self.order.front().copied() {
            let due = now.saturating_duration_since(since) >= WINDOW || self.order.len() >= ANSWERS_MAX;
            if !due {
                break;
            }
            self.order.pop_front();
            // The key may have been used anew since.
            if self.calls.get(&key).is_some_and(|entry| entry.since == since) {
                self.calls.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use serde_json::json;

    use super::*;

    fn key(text: &str, method: &str) -> Key {
        Key::new(
            "me",
            text.as_bytes(),
            &["builds".into(), "1".into()],
            method,
            &Map::new(),
        )
        .unwrap()
    }

    fn counted(count: &Arc<AtomicU32>, answer: Answer) -> impl Future<Output = Answer> + Send + 'static {
        let count = count.clone();
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            answer
        }
    }

    #[tokio::test]
    async fn the_same_call_acts_once() {
        let (calls, count) = (Calls::default(), Arc::new(AtomicU32::new(0)));
        let first = calls
            .once(key("k", "rebuild"), counted(&count, Ok(json!(1))))
            .await;
        let second = calls
            .once(key("k", "rebuild"), counted(&count, Ok(json!(2))))
            .await;
        assert_eq!((first.unwrap(), second.unwrap()), (json!(1), json!(1)));
        assert_eq!(count.load(Ordering::SeqCst), 1);
        let other = calls.once(key("k", "stop"), counted(&count, Ok(json!(3)))).await;
        assert!(other.is_err(), "a key names one call");
    }

    #[tokio::test]
    async fn a_call_that_nobody_waits_for_goes_on() {
        let (calls, count) = (Calls::default(), Arc::new(AtomicU32::new(0)));
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let slow = counted(&count, Ok(json!(1)));
        {
            let mut abandoned = Box::pin(calls.once(key("k", "rebuild"), async move {
                let _ = wait.await;
                slow.await
            }));
            // One poll starts it; then the client goes away.
            assert!(futures_util::poll!(abandoned.as_mut()).is_pending());
        }
        go.send(()).unwrap();
        let answer = calls
            .once(key("k", "rebuild"), counted(&count, Ok(json!(2))))
            .await;
        assert_eq!(answer.unwrap(), json!(1));
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn temporary_failures_are_tried_again() {
        let (calls, count) = (Calls::default(), Arc::new(AtomicU32::new(0)));
        let full = Err(ApiError::Unavailable("disk full".into()).into());
        assert!(
            calls
                .once(key("k", "rebuild"), counted(&count, full))
                .await
                .is_err()
        );
        assert!(
            calls
                .once(key("k", "rebuild"), counted(&count, Ok(json!(2))))
                .await
                .is_ok()
        );
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn memory_is_bounded() {
        let (calls, count) = (Calls::default(), Arc::new(AtomicU32::new(0)));
        for n in 0..ANSWERS_MAX + 10 {
            calls
                .once(key(&n.to_string(), "stop"), counted(&count, Ok(Value::Null)))
                .await
                .unwrap();
        }
        assert!(calls.0.lock().unwrap().calls.len() <= ANSWERS_MAX);
    }
}
