//! One task a change source: polls, has its changes accepted, and remembers how far it has come.

use std::{path::PathBuf, sync::Arc, time::Duration};

use ironmaster_changes::{GitPoller, PollerState};
use ironmaster_engine::Input;
use ironmaster_model::Plan;
use ironmaster_store::{Filter, FilterValue, Op, Query, Reader, Resource};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::committer::{Committer, chain};

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
            if !self.known(change.change.clone()).await? {
                self.committer
                    .submit_fact(Input::Change(change.change.clone()))
                    .await
                    .map_err(|error| error.to_string())?;
            }
            state.accept(change);
            self.remember(key, &state).await?;
        }
        if polled.state != state || stored.is_none() {
            self.remember(key, &polled.state).await?;
        }
        Ok(())
    }

    /// Whether a change was accepted before: the master may have died between accepting it and remembering that.
    async fn known(&self, change: ironmaster_engine::NewChange) -> Result<bool, String> {
        let is = |field: &str, value: Option<String>| Filter {
            field: field.into(),
            op: Op::Eq,
            values: value.map(FilterValue::Text).into_iter().collect(),
        };
        let query = Query {
            filters: vec![
                is("revision", change.revision),
                is("branch", change.branch),
                is("repository", Some(change.repository)),
            ],
            limit: Some(1),
            ..Query::default()
        };
        let reader = self.reader.clone();
        let page = tokio::task::spawn_blocking(move || reader.query(Resource::Changes, &query)).await;
        let page = page
            .map_err(|error| error.to_string())?
            .map_err(|error| chain(&error))?;
        Ok(!page.items.is_empty())
    }

    async fn remember(&self, key: &str, state: &PollerState) -> Result<(), String> {
        let text = serde_json::to_string(state).map_err(|error| error.to_string())?;
        let key = key.to_owned();
        let written = self
            .committer
            .write(move |store| store.set_meta(&key, &text))
            .await;
        written
            .map_err(|error| error.to_string())?
            .map_err(|error| chain(&error))
    }
}
