//! Runs whose jobs stand in the repository: what is asked, what is found, and what becomes of it.
//!
//! That a file is to be read is a state of the run, so the question outlives every crash, and is asked until somebody answers
//! it or patience ends. The answer is looked at here: reading is done elsewhere, but what a run may use is decided.

use std::{collections::BTreeSet, sync::Arc};

use ironmaster_model::{
    Event, InRepositoryDef, JobDef, NewSourceStamp, PipelineDef, RunId, RunProblem, RunProgress, RunSource,
    RunState,
    pipeline::{graph, in_repository},
};

use super::{Work, start::records};
use crate::{
    Found, Question, Refusal, Reply, State, Tx, codebases,
    filter::Pattern,
    planted::{Bug, planted},
    state::RunEntry,
};

/// What is asked about a new run. None if it builds nothing of the code base that the file is of.
pub(super) fn source(
    tx: &Tx<'_>,
    definition: &InRepositoryDef,
    stamps: &[NewSourceStamp],
    trusted: bool,
) -> RunSource {
    let stamp = stamp_of(definition, stamps);
    let ours = stamp.is_some_and(|stamp| {
        // What nobody names is the one that there is.
        stamp.repository.is_empty() || codebases::same_repository(&stamp.repository, &definition.repository)
    });
    RunSource {
        file: definition.file.clone(),
        repository: definition.repository.clone(),
        branch: stamp.and_then(|stamp| stamp.branch.clone()),
        revision: stamp.and_then(|stamp| stamp.revision.clone()),
        may_be_trusted: trusted && ours && stamp.is_some_and(|stamp| stamp.patch.is_none()),
        asked_at: tx.now(),
        problem: stamp.is_none().then(|| RunProblem {
            summary: format!(
                "it builds nothing of the code base `{}`, which `{}` is of",
                definition.codebase, definition.file
            ),
            ..RunProblem::default()
        }),
    }
}

/// Which of the stamps the file is read for: that of its code base.
fn stamp_of<'s>(definition: &InRepositoryDef, stamps: &'s [NewSourceStamp]) -> Option<&'s NewSourceStamp> {
    stamps.iter().find(|stamp| stamp.codebase == definition.codebase)
}

/// Says what became of reading the file of a run.
pub(in crate::decide) fn define(tx: &mut Tx<'_>, id: RunId, found: Found) -> Result<Reply, Refusal> {
    let Some(run) = tx
        .state()
        .run_entry(id)
        .filter(|run| run.record.progress.state == RunState::Defining)
    else {
        return Err(Refusal::NotLive {
            what: format!("the reading of the jobs of run {id}"),
        });
    };
    match found {
        Found::Trouble { reason } => {
            if run.record.progress.why.as_ref() != Some(&reason) {
                let progress = RunProgress {
                    why: Some(reason),
                    ..run.record.progress.clone()
                };
                tx.emit(Event::RunMoved { run: id, progress });
            }
        }
        Found::Problem { revision, problem } => fail(tx, id, revision, problem),
        Found::Jobs {
            revision,
            branch,
            jobs,
        } => jobs_found(tx, id, revision, branch, jobs),
    }
    Ok(Reply::Done)
}

/// The jobs of a run cannot be known, or not be used: it is over.
pub(super) fn fail(tx: &mut Tx<'_>, id: RunId, revision: Option<String>, problem: RunProblem) {
    let Some(run) = tx.state().run_entry(id) else {
        return;
    };
    let record = &run.record;
    let Some(mut source) = record.source.clone() else {
        return;
    };
    source.problem = Some(problem);
    source.revision = revision.or(source.revision);
    tx.emit(Event::RunDefined {
        run: id,
        trusted: false,
        sourcestamps: record.sourcestamps.clone(),
        source,
        definition: record.definition.clone(),
    });
    tx.note_work(Work::Finish(id));
}

/// Nobody could read the file for as long as it is tried.
pub(super) fn give_up(tx: &mut Tx<'_>, id: RunId) {
    let Some(run) = tx.state().run_entry(id) else {
        return;
    };
    let file = run.record.source.as_ref().map_or("", |source| &source.file);
    let why = run.record.progress.why.as_deref().unwrap_or("nobody has tried");
    let problem = RunProblem {
        summary: format!("`{file}` could not be read in time; the last word on it: {why}"),
        ..RunProblem::default()
    };
    fail(tx, id, None, problem);
}

fn jobs_found(tx: &mut Tx<'_>, id: RunId, revision: String, branch: Option<String>, jobs: Vec<JobDef>) {
    let Some(run) = tx.state().run_entry(id) else {
        return;
    };
    let record = &run.record;
    let Some(mut source) = record.source.clone() else {
        return;
    };
    let Some((granted, taken)) = granted(tx.state(), run) else {
        let problem = RunProblem {
            summary: format!(
                "the configuration does not allow jobs of a repository for pipeline '{}' any more",
                record.definition.name
            ),
            ..RunProblem::default()
        };
        return fail(tx, id, Some(revision), problem);
    };
    let trusted = source.may_be_trusted && is_trusted(&granted, branch.as_deref());
    let taken: BTreeSet<&str> = taken.iter().map(String::as_str).collect();
    let mut wrong = granted.refuse(&jobs, 0, trusted, &taken);
    if planted(Bug::GrantsIgnored) {
        wrong.clear();
    }
    let planned = match graph::plan(&jobs, &[]) {
        Ok(planned) => planned,
        Err(errors) => {
            wrong.extend(errors.iter().map(|error| {
                let name = jobs.get(error.job()).map_or("", |job| &job.name);
                format!("job `{name}`: {error}")
            }));
            graph::Planned::default()
        }
    };
    if !wrong.is_empty() {
        let problem = RunProblem {
            summary: summary(&source.file, &wrong),
            text: wrong.join("\n"),
            findings: Vec::new(),
        };
        return fail(tx, id, Some(revision), problem);
    }
    let definition = PipelineDef {
        jobs,
        in_repository: Some(granted),
        ..PipelineDef::clone(&record.definition)
    };
    let why = super::start::waits_for_group(record.group.as_deref());
    let progress = RunProgress {
        state: RunState::Queued,
        why,
        ..record.progress.clone()
    };
    source.branch = branch.or(source.branch);
    source.revision = Some(revision.clone());
    let sourcestamps = pinned(tx, id, &revision);
    tx.emit(Event::RunDefined {
        run: id,
        trusted,
        sourcestamps,
        source,
        definition: Arc::new(definition),
    });
    tx.emit(Event::RunMoved { run: id, progress });
    let jobs = records(tx, id, planned);
    tx.emit(Event::JobsAdded {
        run: id,
        jobs,
        needs: Vec::new(),
    });
    tx.note_work(Work::Begin(id));
}

/// Whether what a branch has is trusted. `branch` is the repository's word, not that of whoever told of the revision.
pub fn is_trusted(granted: &InRepositoryDef, branch: Option<&str>) -> bool {
    branch.is_some_and(|branch| {
        let mut globs = granted.trusted_branches.iter();
        globs.any(|glob| Pattern::new(glob).matches(branch))
    })
}

/// Several things that are wrong, as one line.
fn summary(file: &str, wrong: &[String]) -> String {
    let first = wrong.first().map_or("", String::as_str);
    match wrong.len() {
        0 | 1 => format!("`{file}`: {first}"),
        more => format!("`{file}`: {first} (and {} more)", more - 1),
    }
}

/// The stamps of a run, with the revision where none was known: all of its jobs build what the file was read at.
fn pinned(tx: &mut Tx<'_>, id: RunId, revision: &str) -> Vec<ironmaster_model::SourceStampId> {
    let Some(run) = tx.state().run_entry(id) else {
        return Vec::new();
    };
    let codebase = run
        .record
        .definition
        .in_repository
        .as_ref()
        .map(|of| of.codebase.clone());
    let stamps = run.record.sourcestamps.clone();
    codebases::pinned(tx, &stamps, |of| {
        (Some(of) == codebase.as_deref()).then_some(revision)
    })
}

/// What the configuration in force grants the jobs of a run, and the properties that they cannot set. None if it does not
/// allow jobs of a repository (any more).
pub(super) fn granted(state: &State, run: &RunEntry) -> Option<(InRepositoryDef, BTreeSet<String>)> {
    let plan = Arc::clone(state.plan());
    let definition = plan.pipelines.get(&run.record.definition.name)?;
    let granted = definition.in_repository.clone()?;
    let own = in_repository::taken(&plan, definition);
    let theirs = run.record.properties.0.keys().map(String::as_str);
    let taken = own.into_iter().chain(theirs).map(str::to_owned).collect();
    Some((granted, taken))
}

/// A master starts: patience begins anew, because nobody could read anything meanwhile.
pub(in crate::decide) fn ask_again(tx: &mut Tx<'_>) {
    let asked: Vec<RunId> = tx.state().runs.defining.iter().copied().collect();
    for id in asked {
        let Some(run) = tx.state().run_entry(id) else {
            continue;
        };
        let record = &run.record;
        let Some(source) = record.source.clone() else {
            continue;
        };
        let event = Event::RunDefined {
            run: id,
            trusted: record.trusted,
            sourcestamps: record.sourcestamps.clone(),
            source: RunSource {
                asked_at: tx.now(),
                ..source
            },
            definition: record.definition.clone(),
        };
        tx.emit(event);
    }
}

impl State {
    /// The files that are to be read, the oldest run first.
    pub fn questions(&self) -> impl Iterator<Item = Question> {
        self.runs.defining.iter().filter_map(|id| {
            let record = &self.run_entry(*id)?.record;
            let source = record.source.as_ref()?;
            Some(Question {
                run: *id,
                pipeline: record.definition.name.clone(),
                file: source.file.clone(),
                repository: source.repository.clone(),
                branch: source.branch.clone(),
                revision: source.revision.clone(),
                may_be_trusted: source.may_be_trusted,
            })
        })
    }
}
