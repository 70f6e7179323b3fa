//! How runs are made.

use std::{collections::BTreeSet, sync::Arc};

use ironmaster_model::{
    ChangeId, Counter, Event, JobId, JobProgress, NewSourceStamp, PipelineDef, PipelineId, PipelineJobRecord,
    PipelineRunRecord, Properties, RunId, RunProgress, RunSource, RunState, Scope, SourceStampId, Template,
    pipeline::{WhenFull, graph, graph::Planned},
};

use super::{Work, define};
use crate::{State, Tx};

/// Most files of changes that a run keeps; with more, nothing counts as known of them.
const FILES_MAX: usize = 10_000;

/// What is to be run, and why.
pub(crate) struct StartRun {
    pub(crate) reason: String,
    pub(crate) scheduler: String,
    pub(crate) sourcestamps: Vec<SourceStampId>,
    pub(crate) changes: Vec<ChangeId>,
    pub(crate) files: Option<Vec<String>>,
    pub(crate) properties: Properties,
    pub(crate) priority: i64,
    pub(crate) parent: Option<JobId>,
    pub(crate) depth: u32,
    /// Whether what has started it is trusted, or was nobody.
    pub(crate) trusted: bool,
    /// Where the jobs were read, if they were.
    pub(crate) source: Option<RunSource>,
}

/// Makes a run of a pipeline. It begins when the decision goes on.
pub(crate) fn start(tx: &mut Tx<'_>, definition: &Arc<PipelineDef>, mut new: StartRun) -> RunId {
    if let Some(in_repository) = &definition.in_repository {
        let stamps = stamps_of(tx.state(), &new.sourcestamps);
        new.source = Some(define::source(tx, in_repository, &stamps, new.trusted));
        // Until its repository says where the revision is from.
        new.trusted = false;
        return create(tx, definition, new, None, Vec::new());
    }
    // The configuration was checked: what cannot be planned is not in force. Without jobs the run is over at once.
    let planned = graph::plan(&definition.jobs, &[]).unwrap_or_default();
    let run = RunId(tx.next_id(Counter::Run));
    let jobs = records(tx, run, planned);
    create(tx, definition, new, None, jobs)
}

/// Jobs as they begin.
pub(super) fn records(tx: &Tx<'_>, run: RunId, planned: Planned) -> Vec<PipelineJobRecord> {
    let first = tx.next_id(Counter::Job);
    (0_u32..)
        .zip(planned.jobs)
        .map(|(number, job)| PipelineJobRecord {
            id: JobId(first + u64::from(number)),
            run,
            number,
            name: job.name,
            group: job.group,
            matrix: job.matrix,
            definition: job.definition,
            needs: job.needs,
            added_by: None,
            progress: JobProgress::default(),
        })
        .collect()
}

fn stamps_of(state: &State, ids: &[SourceStampId]) -> Vec<NewSourceStamp> {
    ids.iter()
        .filter_map(|id| state.stamps.by_id.get(id))
        .map(|held| held.record.stamp.clone())
        .collect()
}

/// What a run of a concurrency group waits for.
pub(super) fn waits_for_group(group: Option<&str>) -> Option<String> {
    group.map(|group| format!("it waits for its turn in the group `{group}`"))
}

/// Makes a run of these jobs.
pub(super) fn create(
    tx: &mut Tx<'_>,
    definition: &Arc<PipelineDef>,
    new: StartRun,
    retried: Option<RunId>,
    jobs: Vec<PipelineJobRecord>,
) -> RunId {
    let state = tx.state();
    let pipeline = state
        .pipeline_by_name(&definition.name)
        .map_or(PipelineId(0), |pipeline| pipeline.id);
    let id = RunId(tx.next_id(Counter::Run));
    let stamps = stamps_of(state, &new.sourcestamps);
    let group = definition.concurrency.as_ref().map(|concurrency| {
        let scope = Scope {
            properties: &new.properties,
            sourcestamps: &stamps,
            worker: None,
        };
        Template::parse(&concurrency.group)
            .ok()
            .and_then(|template| template.render(&scope).ok())
            .unwrap_or_else(|| concurrency.group.clone())
    });
    let supersedes = definition
        .cancel_superseded
        .then(|| supersede_key(definition, &stamps));
    let undefined = jobs.is_empty() && new.source.is_some();
    let asks = new.source.as_ref().map(|source| {
        format!(
            "its jobs are to be read from `{}` in {}",
            source.file, source.repository
        )
    });
    let hopeless = new.source.as_ref().and_then(|source| source.problem.clone());
    let run = PipelineRunRecord {
        id,
        pipeline,
        definition: Arc::clone(definition),
        scheduler: new.scheduler,
        reason: new.reason,
        sourcestamps: new.sourcestamps,
        changes: new.changes,
        files: new.files,
        properties: new.properties,
        priority: new.priority,
        parent: new.parent,
        depth: new.depth,
        retried,
        group: group.clone(),
        supersedes: supersedes.clone(),
        trusted: new.trusted,
        source: new.source,
        created_at: tx.now(),
        progress: RunProgress {
            state: if undefined {
                RunState::Defining
            } else {
                RunState::Queued
            },
            why: if undefined {
                asks
            } else {
                waits_for_group(group.as_deref())
            },
            ..RunProgress::default()
        },
    };
    tx.emit(Event::RunCreated { run: Box::new(run) });
    if !undefined {
        // All in one event: there is never a run of which some jobs are missing.
        tx.emit(Event::JobsAdded {
            run: id,
            jobs,
            needs: Vec::new(),
        });
    }
    let reason = format!("run {id} of pipeline '{}' supersedes it", definition.name);
    for run in older(tx.state(), id, supersedes.as_ref(), |runs| &runs.supersedable) {
        tx.note_work(Work::Stop {
            run,
            by: "a newer run".into(),
            reason: reason.clone(),
        });
    }
    if let Some(concurrency) = &definition.concurrency
        && concurrency.when_full == WhenFull::CancelOlder
    {
        let older = older(tx.state(), id, group.as_ref(), |runs| &runs.groups);
        let too_many = (older.len() + 1).saturating_sub(concurrency.limit as usize);
        for run in older.into_iter().take(too_many) {
            tx.note_work(Work::Stop {
                run,
                by: "a newer run".into(),
                reason: reason.clone(),
            });
        }
    }
    match hopeless {
        Some(problem) if undefined => define::fail(tx, id, None, problem),
        _ => tx.note_work(Work::Begin(id)),
    }
    id
}

/// Runs under a key that are older, and not being stopped already, the oldest first.
fn older(
    state: &State,
    id: RunId,
    key: Option<&String>,
    keys: impl Fn(&crate::state::Runs) -> &std::collections::BTreeMap<String, BTreeSet<RunId>>,
) -> Vec<RunId> {
    key.and_then(|key| keys(&state.runs).get(key))
        .into_iter()
        .flat_map(|runs| runs.range(..id))
        .copied()
        .filter(|run| {
            state
                .run(*run)
                .is_some_and(|run| run.progress.state != RunState::Stopping)
        })
        .collect()
}

/// What runs of a pipeline have in common that supersede one another: all of their stamps but the revisions.
fn supersede_key(definition: &PipelineDef, stamps: &[NewSourceStamp]) -> String {
    let parts: Vec<_> = stamps
        .iter()
        .map(|stamp| (&stamp.codebase, &stamp.project, &stamp.repository, &stamp.branch))
        .collect();
    format!("{:?} {parts:?}", definition.name)
}

/// The files that these changes touch; none where nothing is known of them.
pub(in crate::decide) fn files_of(state: &State, changes: &[ChangeId]) -> Option<Vec<String>> {
    if changes.is_empty() {
        return None;
    }
    let mut files: BTreeSet<&String> = BTreeSet::new();
    for id in changes {
        let change = &state.changes.get(id)?.record;
        // Who tells of a change without files does not know them.
        if change.files.is_empty() {
            return None;
        }
        files.extend(&change.files);
        if files.len() > FILES_MAX {
            return None;
        }
    }
    Some(files.into_iter().cloned().collect())
}
