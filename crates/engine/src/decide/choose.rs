//! What is asked before builds of some builders start, and what comes of the answers.

use ironmaster_model::{BuilderId, RequestPhase};

use super::start;
use crate::{
    Refusal, Reply, State, Tx, Verdict,
    planted::{Bug, planted},
};

/// Somebody has said what starts, or that nothing does.
pub(super) fn chosen(
    tx: &mut Tx<'_>,
    builder: BuilderId,
    number: u64,
    verdict: Verdict,
) -> Result<Reply, Refusal> {
    let asked = tx
        .state()
        .choices()
        .any(|asked| asked == (builder, number) || (planted(Bug::AnswerOfAnyQuestion) && asked.0 == builder));
    if !asked {
        return Err(Refusal::NotLive {
            what: format!("question {number} about builder {builder}"),
        });
    }
    let changed = tx.answered(builder);
    match verdict {
        // It might say something else now, so it is asked again at its turn.
        Verdict::Nothing { .. } if changed && !planted(Bug::DeafWhileAsked) => {}
        Verdict::Nothing { why } => tx.silence(builder, why),
        Verdict::Start { request, worker } => {
            let starts = tx.state().master().is_some_and(|master| !master.draining);
            let queued = tx.state().request(request).filter(|request| {
                request.builder == builder && matches!(request.phase, RequestPhase::Queued)
            });
            if let Some(place) = queued.filter(|_| starts).map(State::place_of)
                && let Some(next) = tx.start_chosen(builder, &place, worker)
            {
                start::start(tx, next, true);
            }
        }
    }
    Ok(Reply::Done)
}
