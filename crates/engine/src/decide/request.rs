//! Requests are cancelled, moved ahead, and made again.

use ironmaster_model::{
    BuildId, BuildRequestId, BuilderId, Cause, Event, NewSourceStamp, Properties, RequestPhase, Results,
};

use super::{NewBuildset, buildset, existed, invalid, lifecycle};
use crate::{Refusal, Reply, Tx};

pub(super) fn cancel(
    tx: &mut Tx<'_>,
    id: BuildRequestId,
    by: String,
    reason: String,
) -> Result<Reply, Refusal> {
    let Some(request) = tx.state().request(id) else {
        return if existed(tx, id) {
            Ok(Reply::Done)
        } else {
            Err(not_found(id))
        };
    };
    match request.phase {
        RequestPhase::Queued => {
            let cause = Cause::Cancelled { by, reason };
            lifecycle::complete(tx, id, Results::Cancelled, Some(cause));
            Ok(Reply::Done)
        }
        RequestPhase::Claimed { build, .. } => lifecycle::stop(tx, build, &by, reason),
        RequestPhase::Complete { .. } => Ok(Reply::Done),
    }
}

pub(super) fn set_priority(tx: &mut Tx<'_>, id: BuildRequestId, priority: i64) -> Result<Reply, Refusal> {
    let queued = match tx.state().request(id) {
        Some(request) if request.phase == RequestPhase::Queued => request,
        Some(_) => {
            return Err(Refusal::Conflict {
                reason: format!("build request {id} does not wait any more, so its priority means nothing"),
            });
        }
        None if existed(tx, id) => {
            return Err(Refusal::Conflict {
                reason: format!("build request {id} is over, so its priority means nothing"),
            });
        }
        None => return Err(not_found(id)),
    };
    if queued.priority != priority || !queued.by_hand {
        tx.emit(Event::RequestPrioritised {
            request: id,
            priority,
            by_hand: true,
            since: None,
        });
    }
    Ok(Reply::Done)
}

pub(super) fn rebuild(
    tx: &mut Tx<'_>,
    rebuilt: BuildId,
    builder: BuilderId,
    sourcestamps: Vec<NewSourceStamp>,
    mut properties: Properties,
    owner: &str,
) -> Result<Reply, Refusal> {
    match tx.state().builder(builder) {
        None => {
            return Err(Refusal::NotFound {
                what: format!("builder {builder}"),
            });
        }
        Some(record) if !record.active => {
            return Err(Refusal::Conflict {
                reason: format!(
                    "builder \"{}\" is not in the configuration any more, so nothing can be built by it",
                    record.name
                ),
            });
        }
        Some(_) => {}
    }
    properties
        .validate()
        .map_err(|error| invalid("properties", error.to_string()))?;
    if sourcestamps.is_empty() {
        return Err(invalid(
            "sourcestamps",
            "nothing is known of what the build was made from",
        ));
    }
    properties.set("scheduler", "rebuild", "Scheduler");
    if !owner.is_empty() {
        properties.set("owner", owner, "Rebuild");
    }
    let sourcestamps = sourcestamps
        .into_iter()
        .map(|stamp| buildset::stamp(tx, stamp))
        .collect();
    let (buildset, requests) = buildset::create(
        tx,
        NewBuildset {
            reason: "rebuild".into(),
            scheduler: "rebuild".into(),
            sourcestamps,
            changes: Vec::new(),
            properties,
            builders: vec![builder],
            priority: 0,
            rebuilt_build: Some(rebuilt),
            parent: None,
            job: None,
            external_id: None,
        },
    );
    Ok(Reply::Buildset { buildset, requests })
}

fn not_found(id: BuildRequestId) -> Refusal {
    Refusal::NotFound {
        what: format!("build request {id}"),
    }
}
