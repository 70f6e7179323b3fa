//! One task a change source: polls, has its changes accepted, and remembers how far it has come.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use ironmaster_changes::{GitPoller, Polled, PollerState};
use ironmaster_engine::Input;
use ironmaster_model::Plan;
use ironmaster_store::Reader;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    SubmitError,
    committer::{Committer, chain},
    jobdir,
};

/// What change sources need.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) committer: Committer,
    pub(crate) reader: Reader,
    /// Where mirrors are kept.
    pub(crate) dir: PathBuf,
    pub(crate) tasks: TaskTracker,
    /// Who polls now.
    pub(crate) generation: Mutex<Generation>,
    /// Jobs that were not accepted.
    pub(crate) refused: jobdir::Refused,
}

/// The tasks that serve one configuration. They begin when those of the one before have ended: a change that these are amid handing in
/// must not be found, and handed in, a second time.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) stop: CancellationToken,
    tasks: TaskTracker,
    before: TaskTracker,
}

impl Default for Generation {
    /// The one before the first.
    fn default() -> Self {
        let before = TaskTracker::new();
        before.close();
        Self {
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            before,
        }
    }
}

impl Generation {
    /// The one that comes now; this one ends.
    fn succeed(&mut self, stop: CancellationToken) -> Self {
        self.stop.cancel();
        self.tasks.close();
        Self {
            stop,
            tasks: TaskTracker::new(),
            before: self.tasks.clone(),
        }
    }

    /// Spawns a task, which also is one of `all`.
    pub(crate) fn spawn(&self, all: &TaskTracker, task: impl Future<Output = ()> + Send + 'static) {
        let before = self.before.clone();
        all.spawn(self.tasks.track_future(async move {
            before.wait().await;
            task.await;
        }));
    }
}

impl Sources {
    /// Begins polling as the plan says, until the next call or until `stop`.
    pub(crate) fn begin(self: &Arc<Self>, plan: &Plan, stop: &CancellationToken) {
        let mut generation = self.generation.lock().expect("no panic while holding the lock");
        *generation = generation.succeed(stop.child_token());
        jobdir::begin(self, plan, &generation);
        for definition in plan.change_sources.values() {
            match GitPoller::from_def(definition) {
                Ok(poller) => {
                    let (sources, stop) = (self.clone(), generation.stop.clone());
                    generation.spawn(&self.tasks, async move {
                        sources.poll_until(&stop, poller).await;
                    });
                }
                Err(reason) => {
                    tracing::error!(source = definition.name, reason, "a change source cannot be used");
                }
            }
        }
    }

    async fn poll_until(&self, stop: &CancellationToken, poller: GitPoller) {
        let key = format!("poller:{}", poller.name());
        let mut failing = false;
        loop {
            match self.poll(stop, &poller, &key).await {
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
            let pause = Duration::from(poller.interval()).max(Duration::from_millis(100));
            let waited = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
            if waited.is_none() {
                return;
            }
        }
    }

    /// Polls once. Only the polling itself is cut short by `stop`.
    async fn poll(&self, stop: &CancellationToken, poller: &GitPoller, key: &str) -> Result<(), String> {
        let (reader, owned_key) = (self.reader.clone(), key.to_owned());
        let stored = tokio::task::spawn_blocking(move || reader.meta(&owned_key))
            .await
            .map_err(|error| error.to_string())?;
        let stored = stored.map_err(|error| chain(&error))?;
        let state: PollerState = match &stored {
            Some(text) => serde_json::from_str(text)
                .map_err(|error| format!("its stored state cannot be read: {error}"))?,
            None => PollerState::default(),
        };
        let Some(polled) = stop.run_until_cancelled(poller.poll(&self.dir, &state)).await else {
            return Ok(());
        };
        let polled = polled.map_err(|error| error.to_string())?;
        for note in &polled.notes {
            tracing::info!(source = poller.name(), note, "polling");
        }
        let stored = stored.is_some().then_some(state);
        self.hand_over(stop, poller.name(), key, stored, &polled).await
    }

    /// Has the changes of a poll accepted one by one, each together with how far the poller has come with it.
    async fn hand_over(
        &self,
        stop: &CancellationToken,
        name: &str,
        key: &str,
        stored: Option<PollerState>,
        polled: &Polled,
    ) -> Result<(), String> {
        let is_new = stored.is_none();
        let mut state = stored.unwrap_or_default();
        for change in &polled.changes {
            if stop.is_cancelled() {
                return Ok(());
            }
            state.accept(change);
            let meta = (key.to_owned(), text(&state)?);
            let input = Input::Change(change.change.clone());
            match self.committer.submit_fact_with(input, Some(meta)).await {
                Ok(_) => {}
                // It would be refused again and again; those behind it shall not wait for ever.
                Err(SubmitError::Refused(reason)) => {
                    tracing::error!(source = name, revision = change.revision, %reason, "a change is left out");
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        if polled.state != state || is_new {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ironmaster_changes::PolledChange;
    use ironmaster_engine::{NewChange, Refusal, Reply};
    use ironmaster_model::ChangeId;
    use ironmaster_store::{OpenOptions, SqliteStore, Store as _};

    use super::*;
    use crate::committer::Request;

    const KEY: &str = "poller:zlib";

    fn found(revision: &str) -> PolledChange {
        PolledChange {
            branch: "main".into(),
            revision: revision.into(),
            change: NewChange {
                revision: Some(revision.into()),
                ..NewChange::default()
            },
        }
    }

    /// A committer that refuses the change `bad`. What the poller would know after a restart is noted after each request.
    async fn deal_with(changes: &[&str]) -> Vec<PollerState> {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, reader) = SqliteStore::open(dir.path().join("db"), OpenOptions::default()).unwrap();
        let (committer, mut requests) = Committer::channel(CancellationToken::new());
        let sources = Sources {
            committer,
            reader: reader.clone(),
            dir: dir.path().into(),
            tasks: TaskTracker::new(),
            generation: Mutex::default(),
            refused: jobdir::Refused::default(),
        };
        let remembered = tokio::task::spawn_blocking(move || {
            let mut remembered = Vec::new();
            while let Some(request) = requests.blocking_recv() {
                match request {
                    Request::Decide(input, meta, _, answer) => {
                        let Input::Change(change) = *input else {
                            panic!("a poller submits changes");
                        };
                        let answered = if change.revision.as_deref() == Some("bad") {
                            let fields = BTreeMap::from([("properties".into(), "too many".into())]);
                            answer.send(Err(Refusal::Invalid { fields }.into()))
                        } else {
                            let (key, value) = meta.expect("its state comes along");
                            store.set_meta(&key, &value).unwrap();
                            answer.send(Ok(Reply::Change(ChangeId(1))))
                        };
                        assert!(answered.is_ok());
                    }
                    Request::Write(write) => write(&mut store),
                    Request::Look(_) | Request::Stop => panic!("a poller asks for neither"),
                }
                let state = reader.meta(KEY).unwrap();
                remembered.push(
                    state.map_or_else(PollerState::default, |text| serde_json::from_str(&text).unwrap()),
                );
            }
            remembered
        });
        let polled = Polled {
            changes: changes.iter().map(|revision| found(revision)).collect(),
            state: PollerState {
                repository: "r".into(),
                heads: BTreeMap::from([("main".into(), "head".into())]),
                ..PollerState::default()
            },
            notes: Vec::new(),
        };
        let before = PollerState {
            repository: "r".into(),
            ..PollerState::default()
        };
        sources
            .hand_over(&CancellationToken::new(), "zlib", KEY, Some(before), &polled)
            .await
            .unwrap();
        drop(sources);
        let remembered = remembered.await.unwrap();
        assert_eq!(remembered.last(), Some(&polled.state), "the poll is over");
        remembered
    }

    fn accepted(state: &PollerState) -> Vec<&str> {
        state.accepted.values().flatten().map(String::as_str).collect()
    }

    #[tokio::test]
    async fn a_refused_change_is_left_out_and_those_behind_it_are_not() {
        let remembered = deal_with(&["one", "bad", "two"]).await;
        let steps: Vec<_> = remembered.iter().map(accepted).collect();
        // The refusal changes nothing; from the next change on it is not asked about again.
        assert_eq!(
            steps,
            [vec!["one"], vec!["one"], vec!["one", "bad", "two"], vec![]]
        );
    }

    #[tokio::test]
    async fn a_refused_change_at_the_end_is_not_asked_about_again() {
        let remembered = deal_with(&["bad"]).await;
        let steps: Vec<_> = remembered.iter().map(accepted).collect();
        assert_eq!(steps, [Vec::<&str>::new(), vec![]]);
        assert_eq!(remembered[0].heads, BTreeMap::new());
        assert_eq!(remembered[1].heads["main"], "head");
    }

    #[tokio::test]
    async fn a_generation_begins_when_the_one_before_has_ended() {
        let all = TaskTracker::new();
        let mut generation = Generation::default();
        let (end_first, first_ends) = tokio::sync::oneshot::channel::<()>();
        // Amid a change, which it hands in to its end.
        generation.spawn(&all, async {
            let _ = first_ends.await;
        });
        let first = generation.stop.clone();
        generation = generation.succeed(CancellationToken::new());
        assert!(first.is_cancelled());
        let (begun, mut has_begun) = tokio::sync::mpsc::unbounded_channel();
        for number in [2, 3] {
            let begun = begun.clone();
            generation.spawn(&all, async move { begun.send(number).expect("somebody waits") });
            generation = generation.succeed(CancellationToken::new());
        }
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(has_begun.try_recv().is_err(), "also not the one after the next");
        end_first.send(()).expect("it waits");
        all.close();
        all.wait().await;
        assert_eq!((has_begun.try_recv(), has_begun.try_recv()), (Ok(2), Ok(3)));
    }
}
