//! One task a change source: polls, has its changes accepted, and remembers how far it has come.

use std::{path::PathBuf, sync::Arc, time::Duration};

use ironmaster_changes::{GitPoller, PollerState};
use ironmaster_engine::Input;
use ironmaster_model::Plan;
use ironmaster_store::Reader;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    SubmitError,
    committer::{Committer, chain},
};

/// What change sources need.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) committer: Committer,
    pub(crate) reader: Reader,
    /// Where mirrors are kept.
    pub(crate) dir: PathBuf,
    pub(crate) tasks: TaskTracker,
}

impl Sources {
    /// Begins polling as the plan says, until `stop`.
    pub(crate) fn begin(self: &Arc<Self>, plan: &Plan, stop: &CancellationToken) {
        for definition in plan.change_sources.values() {
            match GitPoller::from_def(definition) {
                Ok(poller) => {
                    let (sources, stop) = (self.clone(), stop.clone());
                    self.tasks.spawn(async move {
                        let _ = stop.run_until_cancelled(sources.poll_for_ever(poller)).await;
                    });
                }
                Err(reason) => {
                    tracing::error!(source = definition.name, reason, "a change source cannot be used");
                }
            }
        }
    }

    async fn poll_for_ever(&self, poller: GitPoller) {
        let key = format!("poller:{}", poller.name());
        let mut failing = false;
        loop {
            match self.poll(&poller, &key).await {
                Ok(()) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!(source = poller.name(), "polling works again");
                    }
                }
                Err(reason) if !failing => {
                    failing = true;
                    tracing::warn!(source = poller.name(), reason, "polling failed; trying on");
                }
                Err(reason) => tracing::debug!(source = poller.name(), reason, "polling still fails"),
            }
            tokio::time::sleep(Duration::from(poller.interval()).max(Duration::from_millis(100))).await;
        }
    }

    async fn poll(&self, poller: &GitPoller, key: &str) -> Result<(), String> {
        let (reader, owned_key) = (self.reader.clone(), key.to_owned());
        let stored = tokio::task::spawn_blocking(move || reader.meta(&owned_key))
            .await
            .map_err(|error| error.to_string())?;
        let stored = stored.map_err(|error| chain(&error))?;
        let mut state: PollerState = match &stored {
            Some(text) => serde_json::from_str(text)
                .map_err(|error| format!("its stored state cannot be read: {error}"))?,
            None => PollerState::default(),
        };
        let polled = poller
            .poll(&self.dir, &state)
            .await
            .map_err(|error| error.to_string())?;
        for note in &polled.notes {
            tracing::info!(source = poller.name(), note, "polling");
        }
        for change in &polled.changes {
            state.accept(change);
            let meta = (key.to_owned(), text(&state)?);
            let input = Input::Change(change.change.clone());
            match self.committer.submit_fact_with(input, Some(meta)).await {
                Ok(_) => {}
                // It would be refused again and again; those behind it shall not wait for ever.
                Err(SubmitError::Refused(reason)) => {
                    tracing::error!(source = poller.name(), revision = change.revision, %reason, "a change is left out");
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        if polled.state != state || stored.is_none() {
            self.remember(key, &polled.state).await?;
        }
        Ok(())
    }

    async fn remember(&self, key: &str, state: &PollerState) -> Result<(), String> {
        let (key, text) = (key.to_owned(), text(state)?);
        let written = self
            .committer
            .write(move |store| store.set_meta(&key, &text))
            .await;
        written
            .map_err(|error| error.to_string())?
            .map_err(|error| chain(&error))
    }
}

/// How a poller's state is kept.
fn text(state: &PollerState) -> Result<String, String> {
    serde_json::to_string(state).map_err(|error| error.to_string())
}
