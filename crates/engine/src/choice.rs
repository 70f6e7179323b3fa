//! What functions of the configuration are asked about a builder that starts nothing by itself, and what they say.
//!
//! That a builder is asked is no fact, and nothing of it is stored: a start of the master, or a configuration, begins anew. What
//! comes of an answer is decided like everything else ([`Input::Chosen`](crate::Input::Chosen)).

use ironmaster_model::{
    BuildRequestId, BuildRequestRecord, BuilderId, BuildsetRecord, SourceStampRecord, WorkerId, WorkerRecord,
};

use crate::State;

/// It is a builder's turn, and somebody has to say what starts where.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The builder.
    pub builder: BuilderId,
    /// Its name.
    pub name: String,
    /// Tells this question from others of the builder.
    pub number: u64,
    /// Digest of the configuration whose functions are meant.
    pub config: String,
    /// What waits for the builder: the first 16, those that go first by priority and age before the others.
    pub requests: Vec<Wish>,
    /// Workers that could run it now, at most 16, those that it prefers before the others.
    pub workers: Vec<Offer>,
}

/// A request that functions are asked about.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// The request.
    pub request: BuildRequestRecord,
    /// Its buildset.
    pub buildset: BuildsetRecord,
    /// What it builds.
    pub sourcestamps: Vec<SourceStampRecord>,
}

/// A worker that functions are asked about.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// The worker.
    pub worker: WorkerRecord,
    /// How many builds it runs.
    pub running: u32,
    /// Whether it has run the builder lately.
    pub warm: bool,
}

/// What was said of a [`Choice`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This starts there. It is looked at again, and if it cannot start any more the builder is asked anew.
    Start {
        /// The request.
        request: BuildRequestId,
        /// The worker.
        worker: WorkerId,
    },
    /// Nothing starts for now.
    Nothing {
        /// Why, for people: who said no, or what failed, and where in the file.
        why: String,
    },
}

impl State {
    /// Whether somebody is to be asked.
    pub fn has_choices(&self) -> bool {
        self.queue.all_asked().next().is_some()
    }

    /// Builders that are asked, each with the number of its question.
    pub fn choices(&self) -> impl Iterator<Item = (BuilderId, u64)> + '_ {
        self.queue.all_asked().map(|(builder, ask)| (builder, ask.number))
    }

    /// What a builder is asked; none if it is not.
    pub fn choice(&self, builder: BuilderId) -> Option<Choice> {
        let ask = self.queue.asked(builder)?;
        let requests = self.queue.first_requests(builder);
        let workers = ask.workers.iter().filter_map(|id| {
            let (running, _) = self.queue.slots(*id);
            Some(Offer {
                worker: self.workers.get(id)?.clone(),
                // One of its slots is only held for this builder.
                running: running - u32::from(*id == ask.worker && running > 0),
                warm: self.queue.is_warm(builder, *id),
            })
        });
        Some(Choice {
            builder,
            name: self.builders.get(&builder)?.name.clone(),
            number: ask.number,
            config: self.config.clone(),
            requests: requests.filter_map(|id| self.wish(id)).collect(),
            workers: workers.collect(),
        })
    }

    /// A request as functions are asked about it.
    pub fn wish(&self, id: BuildRequestId) -> Option<Wish> {
        let request = self.requests.get(&id)?;
        let buildset = &self.buildsets.get(&request.buildset)?.record;
        Some(Wish {
            request: request.clone(),
            buildset: buildset.clone(),
            sourcestamps: self.stamps_of(buildset).cloned().collect(),
        })
    }
}
