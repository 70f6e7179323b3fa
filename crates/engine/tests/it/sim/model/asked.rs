//! Builders that are asked what starts: who is asked, who has said no, and what is kept for them meanwhile.
//!
//! The model is told which question was put, and checks that it was the builder's turn. What an answer leads to it says itself.

use ironmaster_engine::Verdict;

use super::{Fact, Model, Placements, locks};

/// After what time who has said no is asked again, in microseconds.
const SILENCE: i64 = 30_000_000;

/// The number of each builder's question, and the worker that is kept for it.
pub(crate) type Questions = std::collections::BTreeMap<u64, (u64, u64)>;

/// A builder that is asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) builder: u64,
    pub(super) number: u64,
    pub(super) worker: u64,
    pub(super) locks: Vec<locks::Use>,
    /// Whether something has changed since.
    pub(super) changed: bool,
}

impl Model {
    /// Memory is lost.
    pub(crate) fn forget(&mut self) {
        self.forget_asked();
        self.open_all_cases();
    }

    /// Nobody is asked any more, and nobody has said anything.
    pub(super) fn forget_asked(&mut self) {
        self.asked.clear();
        self.silent.clear();
    }

    /// Who is asked.
    pub(crate) fn questions(&self) -> Questions {
        let asked = self.asked.iter();
        asked
            .map(|asked| (asked.builder, (asked.number, asked.worker)))
            .collect()
    }

    pub(super) fn asks(&self, builder: u64) -> bool {
        let name = &self.builders[builder as usize - 1].0;
        self.plan.builders[name].asks.before_start()
    }

    /// Whether it stands in no line.
    pub(super) fn is_withheld(&self, builder: u64) -> bool {
        self.asked.iter().any(|asked| asked.builder == builder)
            || self.silent.iter().any(|(silent, _)| *silent == builder)
    }

    pub(super) fn kept(&self, worker: u64) -> usize {
        self.asked.iter().filter(|asked| asked.worker == worker).count()
    }

    /// Something about a builder has changed.
    pub(super) fn listen(&mut self, builder: u64) {
        self.silent.retain(|(silent, _)| *silent != builder);
        for asked in self.asked.iter_mut().filter(|asked| asked.builder == builder) {
            asked.changed = true;
        }
    }

    /// Something about a worker has changed.
    pub(super) fn listen_all_of(&mut self, worker: u64) {
        let silent = self.silent.iter().map(|(builder, _)| *builder);
        let concerned: Vec<u64> = silent
            .chain(self.asked.iter().map(|asked| asked.builder))
            .collect();
        for builder in concerned {
            if self.would_do(worker, builder) {
                self.listen(builder);
            }
        }
    }

    pub(super) fn end_silences(&mut self, now: i64) {
        self.silent.retain(|(_, until)| *until > now);
    }

    /// A builder is asked.
    pub(super) fn ask(&mut self, builder: u64, number: u64, worker: u64) {
        let name = &self.builders[builder as usize - 1].0;
        let locks = locks::uses(&self.plan, &self.plan.builders[name].locks, worker);
        self.asked.push(Asked {
            builder,
            number,
            worker,
            locks,
            changed: false,
        });
    }

    pub(super) fn chosen(
        &mut self,
        builder: u64,
        number: u64,
        verdict: &Verdict,
        now: i64,
        placed: &Placements,
        out: &mut Vec<Fact>,
    ) -> Result<(), ()> {
        let at = self
            .asked
            .iter()
            .position(|asked| (asked.builder, asked.number) == (builder, number));
        let asked = self.asked.remove(at.ok_or(())?);
        let (request, worker) = match verdict {
            Verdict::Nothing { .. } if asked.changed => return Ok(()),
            Verdict::Nothing { .. } => {
                let mut requests = self.requests.iter();
                if requests.any(|request| {
                    request.builder == builder && request.build.is_none() && request.done.is_none()
                }) {
                    self.silent.push((builder, now + SILENCE));
                }
                return Ok(());
            }
            Verdict::Start { request, worker } => (request.0, worker.0),
        };
        if self.master.as_ref().is_none_or(|master| master.draining) {
            return Ok(());
        }
        let free = self.free();
        let lines = self.lines(&free);
        let mut startable = self.startable(&free);
        startable.retain(|request| request.builder == builder);
        let first = startable
            .iter()
            .min_by_key(|request| (-request.priority, request.since, request.id));
        let starts = free.contains(&worker)
            && startable.iter().any(|startable| startable.id == request)
            && first.is_some_and(|first| self.locks_let(first, worker, &lines));
        if starts {
            self.start(request, Some(worker), now, placed, out);
        }
        Ok(())
    }
}
