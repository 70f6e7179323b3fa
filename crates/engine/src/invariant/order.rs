//! Who goes first: higher priority, then the project with the least running for its share, then longer waiting, among all that could
//! have had the worker. As it holds for every single start, no project can keep another from its share.
//!
//! What functions of the configuration have chosen may go before others, and who is asked may be slow to answer.

use std::cmp::Reverse;

use ironmaster_model::{BuildRecord, BuildRequestId, BuilderId, Counter, Plan};

use super::{Checker, Request};

type Place = (Reverse<i64>, ironmaster_model::Timestamp, BuildRequestId);

impl Checker {
    fn place(id: BuildRequestId, request: &Request) -> Place {
        (Reverse(request.priority), request.submitted_at, id)
    }

    pub(super) fn enter_queue(&mut self, id: BuildRequestId) {
        if let Some(request) = self.requests.get(&id) {
            let place = Self::place(id, request);
            self.builders
                .entry(request.builder)
                .or_default()
                .queued
                .insert(place);
        }
    }

    pub(super) fn leave_queue(&mut self, id: BuildRequestId) {
        if let Some(request) = self.requests.get(&id) {
            let place = Self::place(id, request);
            self.builders
                .entry(request.builder)
                .or_default()
                .queued
                .remove(&place);
        }
    }

    /// What the builder's project has running for its share: two of these are compared crosswise.
    fn load(&self, plan: &Plan, builder: BuilderId) -> (u64, u64) {
        let project = self.builders.get(&builder).and_then(|builder| builder.project);
        let running = self
            .builders
            .values()
            .filter(|other| other.project == project)
            .map(|other| u64::from(other.running))
            .sum();
        let share = project
            .and_then(|id| self.names.get(&(Counter::Project, id.0)))
            .and_then(|name| plan.projects.get(name))
            .map_or(1, |project| project.share);
        (running, share.into())
    }

    /// Nothing of a builder that asks starts without.
    pub(super) fn check_chosen(&mut self, build: &BuildRecord, chosen: bool) {
        let asks = self.plan.as_ref().and_then(|plan| {
            let name = &self.builders.get(&build.builder)?.name;
            Some(plan.builders.get(name)?.asks.before_start())
        });
        if let Some(asks) = asks.filter(|asks| *asks != chosen) {
            let what = format!(
                "build {} was started, asked: {chosen}, to be asked: {asks}",
                build.id
            );
            self.violate("who has to be asked is asked, and nobody else", what);
        }
    }

    /// Called before the build takes its slot and its request leaves the queue.
    pub(super) fn check_order(&mut self, build: &BuildRecord) {
        let Some(request) = self.requests.get(&build.request) else {
            return;
        };
        let place = Self::place(build.request, request);
        let head = |id| {
            self.builders
                .get(&id)
                .and_then(|builder| builder.queued.first().copied())
        };
        let mut better = head(build.builder).filter(|head| *head < place);
        if let (None, Some(plan), Some(worker)) = (better, &self.plan, self.workers.get(&build.worker)) {
            better = worker
                .builders
                .iter()
                .filter(|id| {
                    self.builders.get(id).is_some_and(|builder| {
                        // Who needs locks may have to let others pass, and so may who is asked.
                        let definition = plan.builders.get(&builder.name);
                        let max = definition.and_then(|definition| definition.builds_max);
                        definition.is_none_or(|definition| {
                            definition.locks.is_empty() && !definition.asks.before_start()
                        }) && max.is_none_or(|max| builder.running < max)
                    })
                })
                .filter_map(|id| Some((*id, head(*id)?)))
                .filter(|(id, head)| {
                    let by_share = || {
                        let (theirs, mine) = (self.load(plan, *id), self.load(plan, build.builder));
                        (theirs.0 * mine.1).cmp(&(mine.0 * theirs.1))
                    };
                    let order = head.0.cmp(&place.0).then_with(by_share);
                    order.then_with(|| head.cmp(&place)).is_lt()
                })
                .map(|(_, head)| head)
                .min();
        }
        if let Some((.., better)) = better {
            self.violate(
                "the request that goes first is started first",
                format!(
                    "request {} was started on worker {} before request {better}",
                    build.request, build.worker
                ),
            );
        }
    }
}
