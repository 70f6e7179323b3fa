//! The only way to change State: an event is emitted, and applied at once.

use std::collections::VecDeque;

use ironmaster_model::{
    BuildId, BuildRequestId, BuilderId, BuildsetId, ChangeId, Counter, Event, Sequenced, Timestamp, WorkerId,
};

use crate::{
    State,
    decide::{Completed, Work},
    queue::{Place, Start},
};

/// Collects the events of one batch of decisions. Each is applied to State as it is emitted, so that what
/// follows sees it.
///
/// Nobody else may see State before the events are durable. When they cannot be made so, State has run ahead and is
/// loaded anew from the rows.
#[derive(Debug)]
pub struct Tx<'a> {
    state: &'a mut State,
    now: Timestamp,
    events: Vec<Sequenced>,
    /// Buildsets that are over and not followed up yet. Empty between decisions.
    completed: VecDeque<Completed>,
    /// What follows in pipelines and has not been done yet. Empty between decisions.
    work: VecDeque<Work>,
}

impl<'a> Tx<'a> {
    /// Begins a batch at `now`, which the caller keeps non-decreasing.
    pub fn new(state: &'a mut State, now: Timestamp) -> Self {
        assert!(
            now >= state.now(),
            "time runs backwards: {now} is before the last event at {}",
            state.now()
        );
        Self {
            state,
            now,
            events: Vec::new(),
            completed: VecDeque::new(),
            work: VecDeque::new(),
        }
    }

    /// The time of this batch.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// State with everything that was emitted so far.
    pub fn state(&self) -> &State {
        self.state
    }

    /// Indexes hold caches that choosing refreshes; rows are changed by events alone.
    pub(crate) fn next_start(&mut self) -> Option<Start> {
        self.state.queue.next()
    }

    /// It is a builder's turn, and somebody is asked what starts. Not a fact either: who is asked is not stored.
    pub(crate) fn ask(&mut self, next: &Start) {
        let number = self.state.seq();
        self.state.queue.ask(next, number);
    }

    /// A question is over. Says whether something has changed since it was put.
    pub(crate) fn answered(&mut self, builder: BuilderId) -> bool {
        self.state.queue.answered(builder)
    }

    /// Nothing of a builder starts for now.
    pub(crate) fn silence(&mut self, builder: BuilderId, why: String) {
        self.state.queue.silence(builder, why, self.now);
    }

    /// Functions were asked about a request. Not a fact either.
    pub(crate) fn judged(&mut self, request: BuildRequestId, problem: Option<String>) {
        self.state.judging.judged(request, problem);
    }

    pub(crate) fn end_silences(&mut self) {
        self.state.queue.end_silences(self.now);
    }

    /// How what was chosen starts, if it can.
    pub(crate) fn start_chosen(
        &mut self,
        builder: BuilderId,
        place: &Place,
        worker: WorkerId,
    ) -> Option<Start> {
        self.state.queue.start_chosen(builder, place, worker)
    }

    pub(crate) fn next_grant(&mut self) -> Option<BuildId> {
        self.state.queue.next_grant()
    }

    pub(crate) fn forget_unused(&mut self) {
        self.state.forget_unused();
    }

    /// Notes that a buildset is over, for those who follow it.
    pub(crate) fn note_completed(&mut self, completed: Completed) {
        self.completed.push_back(completed);
    }

    /// The next buildset to be followed up.
    pub(crate) fn next_completed(&mut self) -> Option<Completed> {
        self.completed.pop_front()
    }

    pub(crate) fn has_completed(&self) -> bool {
        !self.completed.is_empty()
    }

    /// Notes what follows in a pipeline.
    pub(crate) fn note_work(&mut self, work: Work) {
        self.work.push_back(work);
    }

    /// The next thing that follows in a pipeline.
    pub(crate) fn next_work(&mut self) -> Option<Work> {
        self.work.pop_front()
    }

    /// States a fact.
    pub fn emit(&mut self, event: Event) {
        let sequenced = Sequenced {
            seq: self.state.seq() + 1,
            at: self.now,
            event,
        };
        self.state.apply_event(&sequenced);
        self.events.push(sequenced);
    }

    /// The next id of a counter. It is taken when an event that carries it is emitted; until then the
    /// same id comes again.
    pub fn next_id(&self, counter: Counter) -> u64 {
        self.state.counters.get(&counter).copied().unwrap_or(1)
    }

    pub(crate) fn next_build(&self) -> BuildId {
        BuildId(self.next_id(Counter::Build))
    }

    pub(crate) fn next_request(&self) -> BuildRequestId {
        BuildRequestId(self.next_id(Counter::BuildRequest))
    }

    pub(crate) fn next_buildset(&self) -> BuildsetId {
        BuildsetId(self.next_id(Counter::Buildset))
    }

    pub(crate) fn next_change(&self) -> ChangeId {
        ChangeId(self.next_id(Counter::Change))
    }

    /// What was emitted so far.
    pub fn events(&self) -> &[Sequenced] {
        &self.events
    }

    /// How many events were emitted so far.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether nothing was emitted.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Ends the batch and gives its events for the commit.
    pub fn finish(self) -> Vec<Sequenced> {
        self.state.forget_unused();
        self.events
    }
}
