//! Questions to the configuration's functions about requests that were queued: how urgent they are, and which older ones they replace.

use std::collections::BTreeSet;

use ironmaster_engine::{Case, Input, Judgement, State};
use ironmaster_model::{BuildRequestId, CallbackSet, Timestamp};

use crate::{
    asking::{Question, cut},
    choosing,
    committer::Committer,
};

impl Question for Case {
    type Key = BuildRequestId;

    fn open(state: &State, asked: &BTreeSet<BuildRequestId>, most: usize) -> Vec<Self> {
        let open = state.cases().filter(|id| !asked.contains(id));
        open.filter_map(|id| state.case(id)).take(most).collect()
    }

    fn key(&self) -> BuildRequestId {
        self.wish.request.id
    }

    fn config(&self) -> &str {
        &self.config
    }

    fn ask(&self, functions: &CallbackSet, now: Timestamp) -> Input {
        judged(self, judgement(functions, self, now))
    }

    fn failed(&self, why: String) -> Input {
        let judgement = Judgement {
            problem: Some(why),
            ..Judgement::default()
        };
        judged(self, judgement)
    }

    async fn hand_in(committer: &Committer, answer: Input) {
        // Refused because it does not wait any more, or another configuration asks anew.
        let _ = committer.submit_fact(answer).await;
    }
}

fn judged(case: &Case, judgement: Judgement) -> Input {
    Input::Judged {
        request: case.wish.request.id,
        config: case.config.clone(),
        judgement,
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
        problem: opinion.problem.map(cut),
    }
}
