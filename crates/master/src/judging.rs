//! Asks the configuration's functions about requests that were queued: how urgent they are, and which older ones they replace.
//!
//! As with [`choosing`], the State knows about which requests functions are to be asked, and nothing is remembered here.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use ironmaster_engine::{Case, Input, Judgement};
use ironmaster_model::{BuildRequestId, CallbackSet, Timestamp};
use tokio::{sync::Notify, task::JoinSet};

use crate::{
    SubmitError, choosing,
    committer::{Committer, clock},
};

/// Requests about which functions are asked at once. The threads that functions run on are fewer.
const CASES_MAX: usize = 8;
/// How long to wait while nothing can be decided.
const BACKOFF: Duration = Duration::from_secs(1);

/// What asking needs.
#[derive(Debug)]
pub(crate) struct Judging {
    pub(crate) committer: Committer,
    /// Told when there is a request to be asked about.
    pub(crate) wake: Arc<Notify>,
}

impl Judging {
    /// Asks whenever there is something to ask, for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut asked: BTreeSet<BuildRequestId> = BTreeSet::new();
        let mut cases: JoinSet<BuildRequestId> = JoinSet::new();
        loop {
            match self.open(&asked, CASES_MAX - cases.len()).await {
                Ok(open) => {
                    for case in open {
                        let functions = self.committer.functions().get();
                        // There is another configuration since, and all is asked anew.
                        if functions.config != case.config {
                            continue;
                        }
                        let id = case.wish.request.id;
                        asked.insert(id);
                        let this = Arc::clone(&self);
                        cases.spawn(async move {
                            this.ask(functions.set, case).await;
                            id
                        });
                    }
                }
                Err(SubmitError::Stopping) => return,
                Err(_) => {
                    // Nothing can be read from a State that is being mended.
                    tokio::time::sleep(BACKOFF).await;
                    continue;
                }
            }
            tokio::select! {
                () = self.wake.notified() => {}
                Some(Ok(id)) = cases.join_next() => {
                    asked.remove(&id);
                }
            }
        }
    }

    /// Requests about which nobody has been asked yet, at most so many.
    async fn open(&self, asked: &BTreeSet<BuildRequestId>, most: usize) -> Result<Vec<Case>, SubmitError> {
        if most == 0 {
            return Ok(Vec::new());
        }
        let asked = asked.clone();
        self.committer
            .look(move |state| {
                let open = state.cases().filter(|id| !asked.contains(id));
                open.filter_map(|id| state.case(id)).take(most).collect()
            })
            .await
    }

    async fn ask(&self, functions: CallbackSet, case: Case) {
        let (request, config) = (case.wish.request.id, case.config.clone());
        let asked = tokio::task::spawn_blocking(move || judgement(&functions, &case, clock()));
        let judgement = asked.await.unwrap_or_else(|error| {
            tracing::error!(request = request.0, %error, "asking about a request has failed");
            Judgement {
                problem: Some(
                    "functions of the configuration could not be asked: see the master's log".into(),
                ),
                ..Judgement::default()
            }
        });
        let input = Input::Judged {
            request,
            config,
            judgement,
        };
        // Refused because it does not wait any more, or another configuration asks anew.
        let _ = self.committer.submit_fact(input).await;
    }
}

fn judgement(functions: &CallbackSet, case: &Case, now: Timestamp) -> Judgement {
    let Some(functions) = &functions.0 else {
        return Judgement::default();
    };
    let about = |wish| choosing::request(wish, &case.builder, now);
    let others: Vec<_> = case.others.iter().map(about).collect();
    let scheduler = &case.wish.buildset.scheduler;
    let opinion = functions.judge(&case.builder, scheduler, &about(&case.wish), &others);
    if let Some(problem) = &opinion.problem {
        tracing::error!(
            builder = case.builder,
            request = case.wish.request.id.0,
            "a function of the configuration failed: {problem}"
        );
    }
    let replaces = opinion.replaces.iter().filter_map(|at| case.others.get(*at));
    Judgement {
        priority: opinion.priority,
        replaces: replaces.map(|other| other.request.id).collect(),
        problem: opinion.problem.map(choosing::cut),
    }
}
