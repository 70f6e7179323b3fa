//! What the engine is told when a connection ends.

use std::time::Duration;

use ironmaster_engine::{Input, State};
use ironmaster_model::WorkerId;

use super::{Greeted, Sessions};
use crate::committer::SubmitError;

/// Between two tries to tell that a worker is gone, while the database takes no commits.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

impl Sessions {
    /// Tells the engine that a process is not connected, unless another connection of it has come meanwhile, or nobody had told that it
    /// was. Not always the connection that it was told of: one that takes its place, and then fails, has to tell it instead.
    pub(super) async fn tell_gone(&self, greeted: &Greeted, reason: &str) {
        loop {
            {
                let _turn = greeted.link.turn.lock().await;
                if greeted.link.is_attached(&greeted.instance) {
                    return;
                }
                match self.submit_gone(greeted, reason).await {
                    Err(SubmitError::Unavailable { .. }) => {}
                    _ => return,
                }
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }

    async fn submit_gone(&self, greeted: &Greeted, reason: &str) -> Result<(), SubmitError> {
        let (name, instance) = (greeted.name.clone(), greeted.instance.clone());
        let connected = move |state: &State| connected_as(state, &name, &instance);
        if let Some(worker) = self.committer.look(connected).await? {
            let gone = Input::WorkerDisconnected {
                worker,
                instance: greeted.instance.clone(),
                reason: reason.to_owned(),
            };
            self.committer.submit(gone).await?;
        }
        Ok(())
    }
}

/// The worker, if the engine takes that process for connected.
fn connected_as(state: &State, name: &str, instance: &str) -> Option<WorkerId> {
    let worker = state.worker_by_name(name)?;
    let connection = worker.connection.as_ref()?;
    (connection.connected && connection.instance == instance).then_some(worker.id)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ironmaster_engine::{ConnectedWorker, Reply, Tx, decide};
    use ironmaster_model::{Plan, Timestamp, WorkerConnection, WorkerDef};
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        committer::{Committer, Request},
        session::Refusals,
        workers::{WorkerLink, Workers},
    };

    /// A master of one worker, whose database takes commits or does not.
    struct Played {
        state: State,
        requests: mpsc::Receiver<Request>,
        sessions: Arc<Sessions>,
        link: Arc<WorkerLink>,
    }

    impl Played {
        fn new() -> Self {
            let (committer, requests) = Committer::channel(CancellationToken::new());
            let sessions = Arc::new(Sessions {
                committer,
                workers: Arc::new(Workers::default()),
                lease: Duration::from_mins(10),
                heartbeat: Duration::from_secs(10),
                refusals: Refusals::default(),
                stop: CancellationToken::new(),
            });
            let mut plan = Plan {
                digest: "one".into(),
                ..Plan::default()
            };
            let worker = WorkerDef {
                name: "w".into(),
                slots: 1,
                ..WorkerDef::default()
            };
            plan.workers.insert("w".into(), worker);
            let mut played = Self {
                state: State::default(),
                requests,
                link: sessions.workers.link("w"),
                sessions,
            };
            played.decide(Input::Configure { plan: plan.into() });
            played
        }

        fn decide(&mut self, input: Input) -> Reply {
            let mut tx = Tx::new(&mut self.state, Timestamp::from_secs(1));
            let reply = decide(&mut tx, input).expect("it is right");
            tx.finish();
            reply
        }

        fn connected(&mut self, instance: &str) {
            self.decide(Input::WorkerConnected(ConnectedWorker {
                name: "w".into(),
                connection: WorkerConnection {
                    instance: instance.into(),
                    boot: "b".into(),
                    resumes: true,
                    connected: true,
                },
                info: std::sync::Arc::default(),
            }));
        }

        fn is_connected(&self, instance: &str) -> bool {
            connected_as(&self.state, "w", instance).is_some()
        }

        fn attach(&self, instance: &str) -> u64 {
            self.link.attach(instance, true, CancellationToken::new())
        }

        /// The end of a connection, as of one that was told to the engine or not.
        fn part(&self, instance: &str, serial: u64) -> tokio::task::JoinHandle<()> {
            let (sessions, link, instance) = (self.sessions.clone(), self.link.clone(), instance.to_owned());
            tokio::spawn(async move {
                link.detach(serial);
                let greeted = Greeted {
                    name: "w".into(),
                    instance,
                    link,
                    serial,
                    worker: None,
                    ended: None,
                };
                sessions.tell_gone(&greeted, "it ended").await;
            })
        }

        /// Answers a request; whether it was to decide something.
        fn answer(&mut self, request: Request, takes_commits: bool) -> bool {
            match request {
                Request::Look(look) => {
                    look(Ok(&self.state));
                    false
                }
                Request::Decide(input, _, _, answer) => {
                    let result = if takes_commits {
                        Ok(self.decide(*input))
                    } else {
                        Err(SubmitError::Unavailable {
                            reason: "the disk is full".into(),
                        })
                    };
                    answer.send(result).expect("somebody waits");
                    true
                }
                Request::Write(_) | Request::Stop => panic!("nobody has asked for that"),
            }
        }

        /// Serves until a task has ended.
        async fn serve(&mut self, mut task: tokio::task::JoinHandle<()>) {
            loop {
                tokio::select! {
                    done = &mut task => return done.expect("no panic"),
                    request = self.requests.recv() => {
                        let request = request.expect("the sessions are there");
                        self.answer(request, true);
                    }
                }
            }
        }

        /// Serves, taking no commits, until somebody has tried one.
        async fn refuse_one(&mut self) {
            loop {
                let request = self.requests.recv().await.expect("the sessions are there");
                if self.answer(request, false) {
                    return;
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn late_news_of_an_old_connection_does_not_hide_a_new_one() {
        let mut played = Played::new();
        let first = played.attach("one");
        played.connected("one");
        let ending = played.part("one", first);
        played.refuse_one().await;
        // The same process is back before the old connection's end could be told.
        let second = played.attach("one");
        played.connected("one");
        played.serve(ending).await;
        assert!(played.is_connected("one"));
        let ending = played.part("one", second);
        played.serve(ending).await;
        assert!(!played.is_connected("one"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_fails_tells_the_end_of_the_one_whose_place_it_took() {
        let mut played = Played::new();
        let first = played.attach("one");
        played.connected("one");
        // It takes the place, and is then turned away, as the database takes no commits.
        let second = played.attach("one");
        let ending = played.part("one", first);
        played.serve(ending).await;
        assert!(played.is_connected("one"), "nobody knows better yet");
        let ending = played.part("one", second);
        played.refuse_one().await;
        played.serve(ending).await;
        assert!(!played.is_connected("one"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_process_that_another_one_has_replaced_is_no_news() {
        let mut played = Played::new();
        let first = played.attach("one");
        played.connected("one");
        played.attach("two");
        played.connected("two");
        let ending = played.part("one", first);
        played.serve(ending).await;
        assert!(played.is_connected("two"));
    }
}
