//! What comes of asking functions about a request that waits: its priority, and older ones that it replaces.

use ironmaster_model::{BuildRequestId, Cause, Event, Results};

use super::{buildset::PRIORITY_MAX, lifecycle};
use crate::{
    Judgement, Refusal, Reply, Tx,
    planted::{Bug, planted},
};

pub(super) fn judged(
    tx: &mut Tx<'_>,
    id: BuildRequestId,
    config: &str,
    judgement: Judgement,
) -> Result<Reply, Refusal> {
    let state = tx.state();
    let is_open = state.is_case(id) && state.config_digest() == config;
    let Some(request) = state.request(id).filter(|_| is_open).cloned() else {
        return Err(Refusal::NotLive {
            what: format!("what was asked about build request {id}"),
        });
    };
    let collapses = state.may_collapse(&request);
    let mut replaced = judgement.replaces;
    replaced.sort_unstable();
    replaced.dedup();
    replaced.retain(|other| {
        collapses
            && (state.is_replaceable(*other, &request) || planted(Bug::CollapseAnything) && *other != id)
    });
    tx.judged(id, judgement.problem);
    let mut moved = request.clone();
    // What somebody has set by hand stays.
    if let Some(priority) = judgement.priority.filter(|_| !request.by_hand) {
        moved.priority = priority.clamp(-PRIORITY_MAX, PRIORITY_MAX);
    }
    // As where a rule says it: merging makes nobody wait longer.
    let state = tx.state();
    let older: Vec<_> = replaced
        .iter()
        .filter_map(|older| state.request(*older))
        .collect();
    moved.take_over(&older);
    if moved != request {
        let since = moved.submitted_at;
        tx.emit(Event::RequestPrioritised {
            request: id,
            priority: moved.priority,
            by_hand: moved.by_hand,
            since: (since != request.submitted_at).then_some(since),
        });
    }
    for older in replaced {
        if tx.state().request(older).is_some() {
            lifecycle::complete(tx, older, Results::Skipped, Some(Cause::Collapsed { into: id }));
        }
    }
    Ok(Reply::Done)
}
