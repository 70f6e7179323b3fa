//! Runs whose jobs stand in a repository: what is granted decides.

use ironmaster_engine::Found;
use ironmaster_model::{
    JobDef, RunState,
    pipeline::{JobWork, graph},
};

use super::{Fact, Model, pipelines::Work};

impl Model {
    pub(super) fn define(&mut self, id: u64, found: &Found, out: &mut Vec<Fact>) -> Result<(), ()> {
        let at = self.at(id).ok_or(())?;
        if self.runs[at].state != RunState::Defining {
            return Err(());
        }
        match found {
            Found::Trouble { .. } => {
                if !self.runs[at].troubled {
                    self.runs[at].troubled = true;
                    out.push(Fact::Run {
                        run: id,
                        state: RunState::Defining,
                        results: None,
                    });
                }
            }
            Found::Problem { .. } => self.bad_jobs(id),
            Found::Jobs {
                revision,
                branch,
                jobs,
            } => {
                let trusted = self.runs[at].may_be_trusted
                    && branch
                        .as_ref()
                        .is_some_and(|branch| branch == "main" || branch.starts_with("release/"));
                if !self.may(at, jobs, trusted) {
                    self.bad_jobs(id);
                    return Ok(());
                }
                let jobs = self.new_jobs(graph::plan(jobs, &[]).unwrap().jobs);
                let run = &mut self.runs[at];
                run.jobs = jobs;
                run.trusted = trusted;
                run.state = RunState::Queued;
                run.stamp.1.get_or_insert_with(|| revision.clone());
                out.push(Fact::Run {
                    run: id,
                    state: RunState::Queued,
                    results: None,
                });
                self.work.push(Work::Begin(id));
            }
        }
        Ok(())
    }

    pub(super) fn bad_jobs(&mut self, id: u64) {
        let at = self.at(id).unwrap();
        self.runs[at].bad = true;
        self.work.push(Work::Finish(id));
    }

    fn may(&self, at: usize, jobs: &[JobDef], trusted: bool) -> bool {
        let name = &self.runs[at].definition.name;
        let Some(granted) = self
            .plan
            .pipelines
            .get(name)
            .and_then(|now| now.in_repository.as_ref())
        else {
            return false;
        };
        let Ok(planned) = graph::plan(jobs, &[]) else {
            return false;
        };
        let given = &self.runs[at].given;
        let good = |job: &graph::PlannedJob| {
            job.definition.priority.is_none()
                && job.matrix.keys().all(|axis| !given.contains(axis))
                && match &job.definition.work {
                    JobWork::Gate => true,
                    JobWork::Build { builder } => {
                        ["a", "b"].contains(&&**builder) || (trusted && ["c", "d"].contains(&&**builder))
                    }
                    JobWork::Pipeline { .. } => trusted,
                }
        };
        !planned.jobs.is_empty()
            && planned.jobs.len() <= granted.jobs_max as usize
            && planned.jobs.iter().all(good)
    }
}
