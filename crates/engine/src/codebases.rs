//! Several code bases built together: which of them a change belongs to, and what of the others is built along with it.

use ironmaster_model::{
    ChangeRecord, CodebaseUse, Event, NewSourceStamp, SchedulerDef, SchedulerId, SourceStampId,
};

use serde_json::Value;

use crate::{NewChange, State, Tx, decide, timed};

/// A change that does not say its code base belongs to the one with its repository, and to that one's project.
pub(crate) fn place(state: &State, change: &mut NewChange) {
    if !change.codebase.is_empty() || change.repository.is_empty() {
        return;
    }
    let mut of_repository = state
        .plan()
        .codebases
        .values()
        .filter(|codebase| same_repository(&codebase.repository, &change.repository));
    // Two of one repository differ by their branch.
    let found = of_repository
        .clone()
        .find(|codebase| codebase.branch.is_some() && codebase.branch == change.branch)
        .or_else(|| of_repository.next());
    if let Some(codebase) = found {
        change.codebase.clone_from(&codebase.name);
        if change.project.is_empty() {
            change.project.clone_from(&codebase.project);
        }
    }
}

/// Whether two spellings are those of one repository: with or without `.git` and `/` at the end.
pub(crate) fn same_repository(one: &str, other: &str) -> bool {
    fn bare(text: &str) -> &str {
        let text = text.trim_end_matches('/');
        text.strip_suffix(".git").unwrap_or(text)
    }
    bare(one) == bare(other)
}

/// These stamps; of a code base whose newest was meant, with the revision that somebody has found there.
pub(crate) fn pinned<'a>(
    tx: &mut Tx<'_>,
    stamps: &[SourceStampId],
    found: impl Fn(&str) -> Option<&'a str>,
) -> Vec<SourceStampId> {
    let pin = |id: &SourceStampId| {
        let stamp = &tx.state().stamps.by_id.get(id)?.record.stamp;
        let revision = found(&stamp.codebase).filter(|revision| !revision.is_empty())?;
        stamp.revision.is_none().then(|| NewSourceStamp {
            revision: Some(revision.to_owned()),
            ..stamp.clone()
        })
    };
    let new: Vec<Option<NewSourceStamp>> = stamps.iter().map(pin).collect();
    stamps
        .iter()
        .zip(new)
        .map(|(id, new)| new.map_or(*id, |stamp| decide::stamp(tx, stamp)))
        .collect()
}

/// The revision of a code base in a build's `got_revision`: a text, or an object of them by code base.
pub(crate) fn got<'a>(built: &'a Value, codebase: &str) -> Option<&'a str> {
    match (codebase, built) {
        ("", Value::String(revision)) => Some(revision),
        (codebase, Value::Object(all)) => all.get(codebase)?.as_str(),
        _ => None,
    }
}

/// Whether a scheduler has anything to do with a change's code base.
pub(crate) fn concerns(definition: &SchedulerDef, change: &NewChange) -> bool {
    if definition.codebases.is_empty() {
        return true;
    }
    let branch = change.branch.as_deref();
    definition.codebases.iter().any(|of| {
        // A filter of its own says which branches those that changes set off hear.
        let follows = !timed::is_timed(&definition.kind) || of.follows(branch);
        of.source.codebase == change.codebase && of.revision.is_none() && follows
    })
}

/// Remembers the newest of each code base, also where the change sets nothing off.
pub(crate) fn see(tx: &mut Tx<'_>, change: &ChangeRecord) {
    let state = tx.state();
    let plan = std::sync::Arc::clone(state.plan());
    let concerned: Vec<SchedulerId> = plan
        .schedulers
        .values()
        .filter(|definition| definition.codebases.len() > 1)
        .filter(|definition| {
            definition.codebases.iter().any(|of| {
                of.source.codebase == change.codebase
                    && of.revision.is_none()
                    && of.follows(change.branch.as_deref())
            })
        })
        .filter_map(|definition| state.scheduler_by_name(&definition.name))
        .filter(|record| record.active)
        .map(|record| record.id)
        .collect();
    for id in concerned {
        let Some(record) = tx.state().scheduler(id) else {
            continue;
        };
        let mut new = record.state.clone();
        let stamp = NewSourceStamp {
            branch: change.branch.clone(),
            revision: change.revision.clone(),
            repository: change.repository.clone(),
            project: change.project.clone(),
            codebase: change.codebase.clone(),
            patch: None,
        };
        if new.seen.insert(change.codebase.clone(), stamp.clone()).as_ref() != Some(&stamp) {
            tx.emit(Event::SchedulerMoved {
                scheduler: id,
                state: new,
            });
        }
    }
}

/// What a scheduler builds, given what has set it off: as it is, or, where it builds several code bases, one stamp for each:
/// the given one, or the pinned revision, or the newest that was heard of, or the newest of its branch.
pub(crate) fn aggregate(
    tx: &mut Tx<'_>,
    definition: &SchedulerDef,
    given: Vec<SourceStampId>,
) -> Vec<SourceStampId> {
    if definition.codebases.is_empty() {
        return given;
    }
    let state = tx.state();
    let given: Vec<(String, SourceStampId)> = given
        .into_iter()
        .filter_map(|id| Some((state.stamps.by_id.get(&id)?.record.stamp.codebase.clone(), id)))
        .collect();
    let seen = state
        .scheduler_by_name(&definition.name)
        .map(|record| record.state.seen.clone())
        .unwrap_or_default();
    definition
        .codebases
        .iter()
        .map(|of| {
            let name = &of.source.codebase;
            if let Some((_, id)) = given.iter().find(|(codebase, _)| codebase == name) {
                return *id;
            }
            let stamp = match (&of.revision, seen.get(name)) {
                (None, Some(seen)) => seen.clone(),
                (revision, _) => NewSourceStamp {
                    revision: revision.clone(),
                    ..of.source.stamp()
                },
            };
            decide::stamp(tx, stamp)
        })
        .collect()
}

/// Of several changes the newest of each code base, the newest of all last.
pub(crate) fn newest_of_each(changes: &[&ChangeRecord]) -> Vec<SourceStampId> {
    let mut out: Vec<(&str, SourceStampId)> = Vec::new();
    for change in changes {
        out.retain(|(codebase, _)| *codebase != change.codebase);
        out.push((&change.codebase, change.sourcestamp));
    }
    out.into_iter().map(|(_, stamp)| stamp).collect()
}

trait Follows {
    fn follows(&self, branch: Option<&str>) -> bool;
}

impl Follows for CodebaseUse {
    /// Whether a branch is the one that is followed.
    fn follows(&self, branch: Option<&str>) -> bool {
        self.source.branch.is_none() || self.source.branch.as_deref() == branch
    }
}
