//! One seed's world: the engine, what was committed, and those who watch it.

use std::collections::{BTreeSet, VecDeque};

use ironmaster_engine::{
    Input, Refusal, State, Tx, Verdict, decide, invariant::Checker, snapshot_difference,
};
use ironmaster_model::{Duration, Event, JobId, JobState, Results, RunState, Sequenced, Snapshot, Timestamp};

use super::{
    facts::{Jobs, Revisions, facts},
    inputs::{self, Inputs},
    model::{Model, Questions},
    plans::WORKERS,
    rows,
};

/// Inputs of a seed before the healing begins.
const INPUTS: u64 = 220;

/// What a run has met.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) inputs: u64,
    refused: u64,
    fenced: u64,
    events: u64,
    builds: u64,
    retries: u64,
    exhausted: u64,
    lost: u64,
    merged: u64,
    followed: u64,
    waited: u64,
    resumed: u64,
    runs: u64,
    children: u64,
    skipped: u64,
    expired: u64,
    approved: u64,
    job_retries: u64,
    run_results: [u64; 7],
    /// Jobs of a repository that were used, and those that could not be.
    defined: [u64; 2],
    trusted: u64,
    stopped: u64,
    restarts: u64,
    failed_commits: u64,
    locks: u64,
    given_up: u64,
    chosen: u64,
    declined: u64,
    judged: u64,
    replaced: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Tally) {
        self.inputs += other.inputs;
        self.refused += other.refused;
        self.fenced += other.fenced;
        self.events += other.events;
        self.builds += other.builds;
        self.retries += other.retries;
        self.exhausted += other.exhausted;
        self.lost += other.lost;
        self.merged += other.merged;
        self.followed += other.followed;
        self.waited += other.waited;
        self.resumed += other.resumed;
        self.runs += other.runs;
        self.children += other.children;
        self.skipped += other.skipped;
        self.expired += other.expired;
        self.approved += other.approved;
        self.job_retries += other.job_retries;
        self.trusted += other.trusted;
        for (mine, theirs) in std::iter::zip(&mut self.defined, other.defined) {
            *mine += theirs;
        }
        for (mine, theirs) in std::iter::zip(&mut self.run_results, other.run_results) {
            *mine += theirs;
        }
        self.stopped += other.stopped;
        self.restarts += other.restarts;
        self.failed_commits += other.failed_commits;
        self.locks += other.locks;
        self.given_up += other.given_up;
        self.chosen += other.chosen;
        self.declined += other.declined;
        self.judged += other.judged;
        self.replaced += other.replaced;
    }

    pub(crate) fn cases(&self) -> [(&'static str, u64); 31] {
        [
            ("a refusal", self.refused),
            ("a fenced-off attempt that reports", self.fenced),
            ("a repeated attempt", self.retries),
            ("attempts that ran out", self.exhausted),
            ("a lost build", self.lost),
            ("merged requests", self.merged),
            ("a buildset that follows another", self.followed),
            ("a build that waits for others", self.waited),
            ("a build that has waited and goes on", self.resumed),
            ("a run of a pipeline", self.runs),
            ("a run that another one started", self.children),
            ("a skipped job", self.skipped),
            ("an expired job", self.expired),
            ("an approved job", self.approved),
            ("a job that is tried again", self.job_retries),
            ("a run that succeeds", self.run_results[0]),
            ("a run that fails", self.run_results[2]),
            ("a run that ends with an exception", self.run_results[4]),
            ("a run that is cancelled", self.run_results[6]),
            ("jobs of a repository", self.defined[0]),
            ("jobs of a repository that cannot be used", self.defined[1]),
            ("a trusted run of a repository", self.trusted),
            ("a stopped build", self.stopped),
            ("a restart", self.restarts),
            ("a failed commit", self.failed_commits),
            ("locks of a step", self.locks),
            ("a step that is given up while it waits for locks", self.given_up),
            ("a build that somebody has chosen", self.chosen),
            ("a builder that was asked and said no", self.declined),
            ("a request that functions were asked about", self.judged),
            ("a request that takes another one's place", self.replaced),
        ]
    }

    fn count(&mut self, events: &[Sequenced]) {
        self.events += events.len() as u64;
        for sequenced in events {
            match &sequenced.event {
                Event::BuildStarted { chosen, .. } => {
                    self.builds += 1;
                    self.chosen += u64::from(*chosen);
                }
                Event::BuildsetCreated { buildset } if buildset.scheduler.ends_with("dependent") => {
                    self.followed += 1;
                }
                Event::BuildWaits { .. } => self.waited += 1,
                Event::BuildResumed { .. } => self.resumed += 1,
                Event::RunCreated { run } => {
                    self.runs += 1;
                    self.children += u64::from(run.parent.is_some());
                }
                Event::RunDefined {
                    trusted,
                    source,
                    definition,
                    ..
                } => {
                    self.trusted += u64::from(*trusted);
                    self.defined[0] += u64::from(!definition.jobs.is_empty());
                    self.defined[1] += u64::from(source.problem.is_some());
                }
                Event::RunMoved { progress, .. } if progress.state == RunState::Complete => {
                    if let Some(results) = progress.results {
                        self.run_results[usize::from(results.code())] += 1;
                    }
                }
                Event::JobMoved { progress, .. } => match progress.state {
                    JobState::Skipped => self.skipped += 1,
                    JobState::Expired => self.expired += 1,
                    JobState::Queued if progress.attempts > 1 => self.job_retries += 1,
                    JobState::Complete => self.approved += u64::from(progress.approved_by.is_some()),
                    _ => {}
                },
                Event::RequestPrioritised { since: Some(_), .. } => self.replaced += 1,
                Event::RequestRequeued { .. } => self.retries += 1,
                Event::BuildLost { .. } => self.lost += 1,
                Event::BuildStopRequested { .. } => self.stopped += 1,
                Event::StepLocksAcquired { .. } => self.locks += 1,
                Event::StepFinished { state_string, .. } if state_string.contains("waited for locks") => {
                    self.given_up += 1;
                }
                Event::RequestCompleted {
                    results: Results::Skipped,
                    ..
                } => self.merged += 1,
                Event::BuildFinished {
                    results: Results::Exception,
                    cause: Some(ironmaster_model::Cause::Infrastructure { .. }),
                    ..
                } => self.exhausted += 1,
                _ => {}
            }
        }
    }
}

/// Who is asked, with the number of the question and the worker that is kept.
fn questions(state: &State) -> Questions {
    state
        .choices()
        .filter_map(|(builder, number)| {
            let kept = state.choice(builder)?.workers.first()?.worker.id.0;
            Some((builder.0, (number, kept)))
        })
        .collect()
}

/// See the [module](self).
pub(crate) struct World {
    inputs: Inputs,
    now: Timestamp,
    state: State,
    /// What was committed.
    rows: Snapshot,
    model: Model,
    checker: Checker,
    last: VecDeque<(Timestamp, Input)>,
    batches: u64,
    /// Every job that ever was.
    jobs: Jobs,
    revisions: Revisions,
    /// Places of everything that was ever triggered.
    triggered: BTreeSet<u32>,
    pub(crate) tally: Tally,
    pub(crate) keep_feed: bool,
    pub(crate) feed: Vec<Sequenced>,
    /// Only the checker and the healing judge.
    pub(crate) without_model: bool,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            inputs: Inputs::new(seed),
            now: Timestamp::from_secs(1_700_000_000),
            state: State::default(),
            rows: rows::empty(),
            model: Model::default(),
            checker: Checker::new(),
            last: VecDeque::new(),
            batches: 0,
            jobs: Jobs::new(),
            revisions: Revisions::new(),
            triggered: BTreeSet::new(),
            tally: Tally::default(),
            keep_feed: false,
            feed: Vec::new(),
            without_model: false,
        }
    }

    pub(crate) fn last_inputs(&self) -> String {
        let lines: Vec<String> = self
            .last
            .iter()
            .map(|(at, input)| format!("  {at} {input:?}"))
            .collect();
        lines.join("\n")
    }

    pub(crate) fn run(&mut self) -> Result<(), String> {
        self.master_start()?;
        for index in 0..WORKERS.len() {
            let connect = self.inputs.connect(index);
            self.batch(vec![connect], true)?;
        }
        while self.tally.inputs < INPUTS {
            self.pass_time();
            if self.inputs.rng.chance(2) {
                self.restart()?;
                continue;
            }
            let committed = !self.inputs.rng.chance(3);
            let count = 1 + self.inputs.rng.below(4);
            self.random_batch(count, committed)?;
        }
        self.heal()
    }

    fn pass_time(&mut self) {
        let micros = match self.inputs.rng.below(100) {
            0..40 => 0,
            40..85 => self.inputs.rng.below(5_000_000),
            85..97 => self.inputs.rng.below(90_000_000),
            // The clock jumps ahead. Back it does not go: the committer sees to that.
            97..99 => self.inputs.rng.below(3_600_000_000),
            _ => self.inputs.rng.below(30 * 86_400_000_000),
        };
        self.now = self.now + Duration(micros as i64);
    }

    fn master_start(&mut self) -> Result<(), String> {
        let start = Input::MasterStart {
            name: "host:/srv".into(),
            lease: Duration::from_secs(600),
        };
        let configure = self.inputs.configure();
        self.batch(vec![start], true)?;
        self.batch(vec![configure], true)
    }

    /// The master dies, or stops in good order, and another one takes over what was committed.
    fn restart(&mut self) -> Result<(), String> {
        self.tally.restarts += 1;
        if self.inputs.rng.chance(40) {
            self.batch(vec![Input::MasterStop], true)?;
        }
        self.compare()?;
        self.reload()?;
        self.pass_time();
        let start = Input::MasterStart {
            name: "host:/srv".into(),
            lease: Duration::from_secs(600),
        };
        self.batch(vec![start], true)?;
        if self.inputs.rng.chance(40) {
            let configure = self.inputs.configure();
            self.batch(vec![configure], true)?;
        }
        Ok(())
    }

    fn reload(&mut self) -> Result<(), String> {
        self.state = State::load(self.rows.clone()).map_err(|error| format!("loading failed: {error}"))?;
        self.model.forget();
        Ok(())
    }

    /// What was committed is what the engine has in memory, and a State loaded from it would decide alike.
    fn compare(&self) -> Result<(), String> {
        let live = self.state.to_snapshot();
        if live != self.rows {
            return Err(format!(
                "State is not what was committed: {}",
                snapshot_difference(&live, &self.rows)
            ));
        }
        let loaded = State::load(live).map_err(|error| format!("loading failed: {error}"))?;
        match self.state.difference(&loaded) {
            None => Ok(()),
            Some(difference) => Err(format!("loaded State differs from live State: {difference}")),
        }
    }

    fn random_batch(&mut self, count: u64, committed: bool) -> Result<(), String> {
        let mut inputs = Vec::new();
        if self.state.next_deadline().is_some_and(|at| at <= self.now) {
            inputs.push(Input::Tick);
        }
        // Each is aimed at what is there now; what comes before it in the batch may make it late.
        for _ in 0..count {
            let input = self.inputs.any(&self.state);
            inputs.push(input);
        }
        self.batch(inputs, committed)
    }

    /// Whether a step asks again for what it has triggered, after it was told what came of that. No runner does: a replay is
    /// answered from the record then.
    fn asks_in_vain(triggered: &mut BTreeSet<u32>, input: &Input, state: &State) -> bool {
        let Input::Trigger(trigger) = input else {
            return false;
        };
        let waits = state
            .build(trigger.build)
            .is_some_and(|build| build.waits.is_some());
        !triggered.insert(trigger.ordinal) && !waits
    }

    /// Decides a batch of inputs and commits it, or fails to.
    fn batch(&mut self, inputs: Vec<Input>, committed: bool) -> Result<(), String> {
        let saved = (!committed).then(|| self.model.clone());
        let mut tx = Tx::new(&mut self.state, self.now);
        for input in inputs {
            let input = if Self::asks_in_vain(&mut self.triggered, &input, tx.state()) {
                Input::Tick
            } else {
                input
            };
            self.tally.inputs += 1;
            if self.last.len() == 25 {
                self.last.pop_front();
            }
            self.last.push_back((self.now, input.clone()));
            let before = tx.len();
            let answer = decide(&mut tx, input.clone());
            // Numbers of a batch that was not committed are given again: what is there now goes over what was.
            let jobs = std::mem::take(&mut self.jobs)
                .into_iter()
                .chain(
                    tx.state()
                        .active_runs()
                        .flat_map(|run| tx.state().jobs_of(run.id))
                        .map(|job| (job.id.0, (job.run.0, job.number as usize))),
                )
                .collect();
            let (happened, placed) = facts(&tx.events()[before..], &jobs, &mut self.revisions);
            self.jobs = jobs;
            let expected = if self.without_model {
                answer.as_ref().map(|_| happened.clone()).map_err(|_| ())
            } else {
                self.model
                    .decide(&input, self.now.0, &placed, &questions(tx.state()))
            };
            match (&answer, expected) {
                (Ok(_), Ok(expected)) if happened == expected => {}
                (Ok(_), Ok(expected)) => {
                    return Err(format!(
                        "the model says\n    {expected:?}\n  and what happened is\n    {happened:?}"
                    ));
                }
                (Ok(reply), Err(())) => return Err(format!("the model refuses, the engine says {reply:?}")),
                (Err(refusal), Ok(expected)) => {
                    return Err(format!("refused: {refusal}; the model says {expected:?}"));
                }
                (Err(refusal), Err(())) => {
                    if tx.len() != before {
                        return Err(format!("refused ({refusal}), and yet something changed"));
                    }
                    self.tally.refused += 1;
                    self.tally.fenced += u64::from(matches!(refusal, Refusal::NotLive { .. }));
                }
            }
            if !self.without_model && self.model.questions() != questions(tx.state()) {
                return Err(format!(
                    "the model asks {:?}, and asked is {:?}",
                    self.model.questions(),
                    questions(tx.state())
                ));
            }
            if answer.is_ok()
                && matches!(
                    &input,
                    Input::Chosen {
                        verdict: Verdict::Nothing { .. },
                        ..
                    }
                )
            {
                self.tally.declined += 1;
            }
            self.tally.judged += u64::from(answer.is_ok() && matches!(&input, Input::Judged { .. }));
            if answer.is_ok()
                && let Some(stuck) = tx.state().stuck(self.now).first()
            {
                return Err(format!("stuck: {}", stuck.why));
            }
        }
        let events = tx.finish();
        if let Some(saved) = saved {
            // The commit failed: memory has run ahead, and nobody has seen it.
            self.tally.failed_commits += 1;
            self.model = saved;
            return self.reload();
        }
        rows::fold(&mut self.rows, &events);
        self.tally.count(&events);
        for sequenced in &events {
            self.checker.observe(sequenced);
        }
        if let Some(violation) = self.checker.violations().first() {
            return Err(violation.to_string());
        }
        if self.keep_feed {
            self.feed.extend(events);
        }
        self.batches += 1;
        if self.batches.is_multiple_of(16) {
            self.compare()
        } else {
            Ok(())
        }
    }

    /// Heals every fault and demands that everything ends.
    fn heal(&mut self) -> Result<(), String> {
        let whole = self.inputs.configure_whole();
        self.batch(vec![whole], true)?;
        let mut batch = vec![Input::Drain { draining: false }];
        for worker in self.state.workers() {
            batch.push(Input::PauseWorker {
                worker: worker.id,
                paused: false,
                reason: String::new(),
            });
        }
        for scheduler in self.state.schedulers().filter(|scheduler| scheduler.active) {
            batch.push(Input::EnableScheduler {
                scheduler: scheduler.id,
                enabled: true,
            });
        }
        for (index, name) in WORKERS.iter().enumerate() {
            // One that was told to end does so, and somebody starts it again.
            let graceful = self
                .state
                .worker_by_name(name)
                .is_some_and(|worker| worker.graceful);
            batch.push(if graceful {
                self.inputs.connect_as(index, true)
            } else {
                self.inputs.connect(index)
            });
        }
        self.batch(batch, true)?;
        for _ in 0..2000 {
            let active: Vec<_> = self.state.active_builds().map(|build| build.id).collect();
            let deadline = self.state.next_deadline();
            let asked: Vec<JobId> = self
                .state
                .active_runs()
                .flat_map(|run| self.state.jobs_of(run.id))
                .filter(|job| job.progress.state == JobState::AwaitingApproval)
                .map(|job| job.id)
                .collect();
            let choices: Vec<_> = self.state.choices().collect();
            if active.is_empty() && deadline.is_none() && asked.is_empty() && choices.is_empty() {
                return self.at_rest();
            }
            let mut batch: Vec<Input> = asked
                .into_iter()
                .map(|job| Input::ApproveJob {
                    job,
                    by: "eve".into(),
                    approved: true,
                    reason: String::new(),
                })
                .collect();
            for (builder, number) in choices {
                let choice = self.state.choice(builder).ok_or("a question without one")?;
                let offer = choice.workers.first().ok_or("nowhere to start")?;
                let verdict = match choice.requests.first() {
                    Some(wish) => Verdict::Start {
                        request: wish.request.id,
                        worker: offer.worker.id,
                    },
                    // All were cancelled meanwhile.
                    None => Verdict::Nothing { why: String::new() },
                };
                batch.push(Input::Chosen {
                    builder,
                    number,
                    verdict,
                });
            }
            if let Some(at) = deadline {
                self.now = self.now.max(at);
                batch.push(Input::Tick);
            }
            for build in active {
                let assignment = self
                    .state
                    .assignment(build)
                    .ok_or("an active build without assignment")?;
                if assignment.build.waits.is_some() && assignment.build.lost.is_none() {
                    continue;
                }
                let step = assignment.step.ok_or("an active build without a running step")?;
                if step.locks_acquired_at.is_none() {
                    continue;
                }
                let results = match (&assignment.build.lost, &assignment.build.stop) {
                    (Some(_), _) => Results::Retry,
                    (None, Some(_)) => Results::Cancelled,
                    (None, None) => Results::Success,
                };
                batch.push(inputs::ended(inputs::report(build, step.id), results));
            }
            if batch.is_empty() {
                return Err(format!("deadlock: {}", self.why_locks_wait()));
            }
            self.batch(batch, true)?;
        }
        Err("with all faults healed it does not come to rest".into())
    }

    /// What each step that waits for its locks waits for.
    fn why_locks_wait(&self) -> String {
        let builds = self.state.active_builds();
        let lines: Vec<String> = builds
            .map(|build| format!("build {}: {:?}", build.id, self.state.why_step_waits(build.id)))
            .collect();
        lines.join("; ")
    }

    fn at_rest(&mut self) -> Result<(), String> {
        self.compare()?;
        if let Some(request) = self.state.requests().next() {
            let why = self.state.why_waiting(request.id);
            return Err(format!("request {} was left behind: {why}", request.id));
        }
        let violations = std::mem::take(&mut self.checker).finish(true);
        match violations.first() {
            None => Ok(()),
            Some(violation) => Err(violation.to_string()),
        }
    }
}
