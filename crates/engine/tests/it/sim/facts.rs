//! What happens to requests and builds, as the model foretells it and as events state it.

use std::collections::BTreeMap;

use ironmaster_model::{Event, JobState, Results, RunState, Sequenced};

/// What happens to requests and builds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fact {
    Queued {
        request: u64,
        builder: u64,
        priority: i64,
        since: i64,
        changes: Vec<u64>,
        /// Of the first of its stamps.
        revision: Option<String>,
    },
    Moved {
        request: u64,
        priority: i64,
        by_hand: bool,
        /// If that has changed.
        since: Option<i64>,
    },
    Completed {
        request: u64,
        results: Results,
    },
    Requeued {
        request: u64,
    },
    BuildsetDone {
        buildset: u64,
        results: Results,
    },
    Started {
        build: u64,
        request: u64,
        attempt: u32,
    },
    Step {
        build: u64,
        definition: usize,
    },
    Resumed {
        build: u64,
    },
    Acquired {
        build: u64,
    },
    Ended {
        build: u64,
        results: Results,
    },
    Lost {
        build: u64,
    },
    Stopped {
        build: u64,
    },
    Run {
        run: u64,
        state: RunState,
        results: Option<Results>,
    },
    Job {
        run: u64,
        number: usize,
        state: JobState,
        results: Option<Results>,
    },
    /// Never seen in events: it is the turn of a builder that asks, and it was not asked, or not with reason.
    NotAsked {
        builder: u64,
    },
    /// Never seen in events.
    BadPlacement {
        build: u64,
        worker: u64,
        slot: u32,
    },
}

/// Where each build was put.
pub(crate) type Placements = BTreeMap<u64, (u64, u32)>;

/// Run and number of each job.
pub(crate) type Jobs = BTreeMap<u64, (u64, usize)>;

/// The revision of each source stamp that was ever seen.
pub(crate) type Revisions = BTreeMap<u64, Option<String>>;

/// The facts that events state.
pub(crate) fn facts(events: &[Sequenced], jobs: &Jobs, revisions: &mut Revisions) -> (Vec<Fact>, Placements) {
    let mut facts = Vec::new();
    let mut placements = Placements::new();
    let mut buildsets = BTreeMap::new();
    // Ids of jobs are given away in order, so that with the first of a run all are known.
    let mut jobs = jobs.clone();
    for sequenced in events {
        match &sequenced.event {
            Event::BuildsetCreated { buildset } => {
                let changes: Vec<u64> = buildset.changes.iter().map(|change| change.0).collect();
                let stamp = buildset.sourcestamps.first();
                let revision = stamp.and_then(|stamp| revisions.get(&stamp.0)?.clone());
                buildsets.insert(buildset.id.0, (changes, revision));
            }
            Event::SourceStampAdded { sourcestamp } => {
                revisions.insert(sourcestamp.id.0, sourcestamp.stamp.revision.clone());
            }
            Event::RequestQueued { request } => {
                let (changes, revision) = buildsets.get(&request.buildset.0).cloned().unwrap_or_default();
                facts.push(Fact::Queued {
                    request: request.id.0,
                    builder: request.builder.0,
                    priority: request.priority,
                    since: request.submitted_at.0,
                    changes,
                    revision,
                });
            }
            Event::RequestPrioritised {
                request,
                priority,
                by_hand,
                since,
            } => facts.push(Fact::Moved {
                request: request.0,
                priority: *priority,
                by_hand: *by_hand,
                since: since.map(|since| since.0),
            }),
            Event::RequestCompleted { request, results, .. } => facts.push(Fact::Completed {
                request: request.0,
                results: *results,
            }),
            Event::RequestRequeued { request } => facts.push(Fact::Requeued { request: request.0 }),
            Event::BuildsetCompleted { buildset, results } => facts.push(Fact::BuildsetDone {
                buildset: buildset.0,
                results: *results,
            }),
            Event::BuildStarted { build, .. } => {
                placements.insert(build.id.0, (build.worker.0, build.slot));
                facts.push(Fact::Started {
                    build: build.id.0,
                    request: build.request.0,
                    attempt: build.attempt,
                });
            }
            Event::StepStarted { step, .. } => facts.push(Fact::Step {
                build: step.build.0,
                definition: step.definition as usize,
            }),
            Event::BuildResumed { build, .. } => facts.push(Fact::Resumed { build: build.0 }),
            Event::StepLocksAcquired { build, .. } => facts.push(Fact::Acquired { build: build.0 }),
            Event::BuildFinished { build, results, .. } => facts.push(Fact::Ended {
                build: build.0,
                results: *results,
            }),
            Event::BuildLost { build, .. } => facts.push(Fact::Lost { build: build.0 }),
            Event::RunCreated { run } => facts.push(Fact::Run {
                run: run.id.0,
                state: run.progress.state,
                results: None,
            }),
            Event::JobsAdded { run, jobs: added, .. } => {
                jobs.extend(added.iter().map(|job| (job.id.0, (run.0, job.number as usize))));
            }
            Event::JobMoved { run, job, progress } => facts.push(Fact::Job {
                run: run.0,
                number: jobs.get(&job.0).map_or(usize::MAX, |(_, number)| *number),
                state: progress.state,
                results: progress.results,
            }),
            Event::RunMoved { run, progress } => facts.push(Fact::Run {
                run: run.0,
                state: progress.state,
                results: progress.results,
            }),
            Event::BuildStopRequested { build, .. } => facts.push(Fact::Stopped { build: build.0 }),
            _ => {}
        }
    }
    (facts, placements)
}
