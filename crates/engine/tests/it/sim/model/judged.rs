//! Requests about which functions are asked when they are queued.

use ironmaster_engine::Judgement;
use ironmaster_model::{Asks, Results};

use super::{Fact, Model, Request, pipelines::JOB};

impl Model {
    fn queued(&self, id: u64) -> Option<&Request> {
        self.requests
            .iter()
            .find(|request| request.id == id && request.build.is_none() && request.done.is_none())
    }

    fn asks_of(&self, request: &Request) -> Asks {
        let name = &self.builders[request.builder as usize - 1].0;
        self.plan
            .builders
            .get(name)
            .map_or_else(Asks::default, |builder| builder.asks)
    }

    /// A request waits.
    pub(super) fn open_case(&mut self, id: u64) {
        let Some(request) = self.queued(id) else { return };
        let asks = self.asks_of(request);
        let scheduler = self.plan.schedulers.get(&request.scheduler);
        if asks.priority
            || (asks.collapse && !is_waited_for(request))
            || scheduler.is_some_and(|scheduler| scheduler.asks_priority)
        {
            self.cases.insert(id);
        }
    }

    /// Functions are asked about all that waits.
    pub(super) fn open_all_cases(&mut self) {
        self.cases.clear();
        let ids: Vec<u64> = self.requests.iter().map(|request| request.id).collect();
        for id in ids {
            self.open_case(id);
        }
    }

    pub(super) fn judged(
        &mut self,
        id: u64,
        config: &str,
        judgement: &Judgement,
        out: &mut Vec<Fact>,
    ) -> Result<(), ()> {
        if config != self.plan.digest || !self.cases.remove(&id) {
            return Err(());
        }
        let request = self.queued(id).ok_or(())?.clone();
        let may = self.asks_of(&request).collapse && !is_waited_for(&request);
        let replaced: Vec<Request> = self
            .requests
            .iter()
            .filter(|other| judgement.replaces.iter().any(|id| id.0 == other.id) && may)
            .filter(|other| other.builder == request.builder && other.id < id && !is_waited_for(other))
            .filter(|other| other.build.is_none() && other.done.is_none())
            .cloned()
            .collect();
        let mut new = request.clone();
        if !request.by_hand {
            new.priority = judgement.priority.unwrap_or(request.priority);
        }
        new.replace(&replaced);
        if (new.priority, new.by_hand, new.since) != (request.priority, request.by_hand, request.since) {
            out.push(Fact::Moved {
                request: id,
                priority: new.priority,
                by_hand: new.by_hand,
                since: (new.since != request.since).then_some(new.since),
            });
            self.listen(request.builder);
            let at = self.requests.iter().position(|other| other.id == id).unwrap();
            self.requests[at] = new;
        }
        for other in replaced {
            self.complete(other.id, Results::Skipped, out);
        }
        Ok(())
    }
}

impl Request {
    /// The new one in place of these has the best of all places, and remembers whose hand that was.
    pub(super) fn replace(&mut self, old: &[Request]) {
        let best = old.iter().map(|old| (old.priority, old.by_hand)).max();
        if let Some((priority, by_hand)) = best.filter(|(priority, _)| *priority >= self.priority) {
            self.priority = priority;
            self.by_hand |= by_hand;
        }
        self.since = old.iter().map(|old| old.since).fold(self.since, i64::min);
    }
}

/// Whether a build or a pipeline waits for it.
fn is_waited_for(request: &Request) -> bool {
    request.waited_for || request.wish == JOB
}
