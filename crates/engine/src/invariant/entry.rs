//! From a change to the end of its requests: nothing is lost, everything ends once.

use ironmaster_model::{
    BuildRequestId, BuildRequestRecord, BuildsetId, BuildsetRecord, ChangeId, Counter, RequestPhase, Results,
    SchedulerId, SchedulerState, Timestamp,
};

use super::{Buildset, Checker, Phase, Request};

impl Checker {
    /// A change that a running timer holds back is let go only into a buildset.
    pub(super) fn scheduler_state(&mut self, id: SchedulerId, state: &SchedulerState, configured: bool) {
        let new = state
            .waiting
            .iter()
            .map(|(key, waiting)| (key.clone(), (waiting.changes.clone(), waiting.fire_at.is_some())))
            .collect();
        let old = self.changes.insert(id, new).unwrap_or_default();
        let Some(name) = self.scheduler_names.get(&id).map(|(name, _)| name.clone()) else {
            // A feed without its beginning: which buildsets are this scheduler's cannot be told.
            return;
        };
        let still: std::collections::BTreeSet<ChangeId> = state
            .waiting
            .values()
            .flat_map(|waiting| waiting.changes.iter().copied())
            .collect();
        // A scheduler of another kind may forget; the configuration said so.
        if !configured {
            let built = self.built.remove(&name).unwrap_or_default();
            let lost: Vec<ChangeId> = old
                .values()
                .filter(|(_, timer)| *timer)
                .flat_map(|(changes, _)| changes.iter().copied())
                .filter(|change| !still.contains(change) && !built.contains(change))
                .collect();
            if !lost.is_empty() {
                self.violate(
                    "a change that was taken up is built",
                    format!("scheduler \"{name}\" dropped {lost:?}"),
                );
            }
        }
    }

    pub(super) fn buildset_created(&mut self, buildset: &BuildsetRecord) {
        self.fresh(Counter::Buildset, buildset.id.0);
        if buildset.sourcestamps.is_empty() {
            self.violate(
                "a buildset builds something",
                format!("buildset {} has no stamps", buildset.id),
            );
        }
        if !buildset.changes.is_empty() {
            let built = self.built.entry(buildset.scheduler.clone()).or_default();
            // Only the latest firings matter; the scheduler's next word clears it.
            while built.len() > 100_000 {
                built.pop_first();
            }
            built.extend(buildset.changes.iter().copied());
        }
        self.buildsets.insert(
            buildset.id,
            Buildset {
                requests: Vec::new(),
                whole: true,
            },
        );
    }

    pub(super) fn request_queued(&mut self, request: &BuildRequestRecord) {
        self.fresh(Counter::BuildRequest, request.id.0);
        if request.phase != RequestPhase::Queued || request.attempts != 0 {
            self.violate(
                "a request begins queued",
                format!("request {} is {request:?}", request.id),
            );
        }
        match self.buildsets.get_mut(&request.buildset) {
            Some(buildset) => buildset.requests.push(request.id),
            None => self.unknown(format!("buildset {} of request {}", request.buildset, request.id)),
        }
        self.requests.insert(
            request.id,
            Request {
                builder: request.builder,
                priority: request.priority,
                by_hand: request.by_hand,
                submitted_at: request.submitted_at,
                attempts: 0,
                phase: Phase::Queued,
            },
        );
        self.enter_queue(request.id);
    }

    pub(super) fn request_prioritised(
        &mut self,
        id: BuildRequestId,
        (priority, by_hand): (i64, bool),
        since: Option<Timestamp>,
    ) {
        let before = self.requests.get(&id);
        if before.is_some_and(|before| before.by_hand && !by_hand) {
            self.violate(
                "what somebody has set by hand stays",
                format!("request {id} got priority {priority}"),
            );
        }
        match self.requests.get(&id).map(|request| request.phase) {
            Some(Phase::Queued) => {
                self.leave_queue(id);
                if let Some(request) = self.requests.get_mut(&id) {
                    request.priority = priority;
                    request.by_hand = by_hand;
                    request.submitted_at = since.unwrap_or(request.submitted_at);
                }
                self.enter_queue(id);
            }
            Some(phase) => self.violate("only queued requests move", format!("request {id} is {phase:?}")),
            None => self.unknown(format!("request {id} got a priority")),
        }
    }

    pub(super) fn request_requeued(&mut self, id: BuildRequestId) {
        let owed = self.owed.remove(&id);
        match self.requests.get(&id).map(|request| request.phase) {
            Some(Phase::Claimed(build)) if !self.builds.contains_key(&build) => {
                if owed.is_some_and(|(_, results)| results != Results::Retry) {
                    self.violate(
                        "only lost attempts are repeated",
                        format!("request {id} is queued again"),
                    );
                }
                if let Some(request) = self.requests.get_mut(&id) {
                    request.phase = Phase::Queued;
                }
                self.enter_queue(id);
            }
            Some(phase) => self.violate(
                "states only move forward",
                format!("request {id} is {phase:?} and is queued again"),
            ),
            None => self.unknown(format!("request {id} queued again")),
        }
    }

    pub(super) fn request_completed(&mut self, id: BuildRequestId, results: Results) {
        let owed = self.owed.remove(&id);
        if let Some((_, attempt)) = owed
            && (attempt == Results::Retry || attempt != results)
        {
            self.violate(
                "a request ends as its last attempt did",
                format!("request {id} ended {results}, its attempt {attempt}"),
            );
        }
        let Some(request) = self.requests.get(&id) else {
            self.unknown(format!("request {id} completed"));
            return;
        };
        match request.phase {
            Phase::Complete(before) => self.violate(
                "a request completes exactly once",
                format!("request {id} ended {before}, and again {results}"),
            ),
            Phase::Claimed(build) if self.builds.contains_key(&build) => self.violate(
                "a request completes when its attempt is over",
                format!("request {id} ended while build {build} runs"),
            ),
            Phase::Claimed(_) => {}
            Phase::Queued => {
                if !matches!(results, Results::Skipped | Results::Cancelled) {
                    self.violate(
                        "a request that was not built was cancelled or merged",
                        format!("request {id} ended {results} while it was queued"),
                    );
                }
                self.leave_queue(id);
            }
        }
        if let Some(request) = self.requests.get_mut(&id) {
            request.phase = Phase::Complete(results);
        }
    }

    /// A request is answered by another one, which waits for the same builder.
    pub(super) fn merged(&mut self, id: BuildRequestId, into: BuildRequestId) {
        let builder = self.requests.get(&id).map(|request| request.builder);
        match self.requests.get(&into) {
            Some(other)
                if other.phase == Phase::Queued
                    && builder.is_none_or(|builder| builder == other.builder)
                    && into != id => {}
            Some(_) => self.violate(
                "a request is merged into one that waits",
                format!("request {id} was merged into {into}"),
            ),
            None => self.unknown(format!("request {into}, into which {id} was merged")),
        }
    }

    pub(super) fn buildset_completed(&mut self, id: BuildsetId, results: Results) {
        let Some(buildset) = self.buildsets.remove(&id) else {
            self.unknown(format!("buildset {id} completed"));
            return;
        };
        let mut worst = None;
        for request in &buildset.requests {
            match self.requests.get(request).map(|request| request.phase) {
                Some(Phase::Complete(results)) => {
                    worst = Some(worst.map_or(results, |worst: Results| worst.worst(results)));
                }
                phase => self.violate(
                    "a buildset completes when its requests have",
                    format!("buildset {id} completed, request {request} is {phase:?}"),
                ),
            }
            self.requests.remove(request);
        }
        if buildset.whole && worst != Some(results) {
            self.violate(
                "a buildset ends as the worst of its requests",
                format!("buildset {id} ended {results}, its requests {worst:?}"),
            );
        }
    }
}
