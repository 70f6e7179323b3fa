//! A change is told of: it is recorded, and every scheduler that is switched on hears of it.

use ironmaster_model::{ChangeRecord, Event, NewSourceStamp};

use super::{buildset, invalid};
use crate::{NewChange, Refusal, Reply, Tx, codebases, schedulers};

pub(super) fn add(tx: &mut Tx<'_>, mut change: NewChange) -> Result<Reply, Refusal> {
    change
        .properties
        .validate()
        .map_err(|error| invalid("properties", error.to_string()))?;
    codebases::place(tx.state(), &mut change);
    let sourcestamp = buildset::stamp(
        tx,
        NewSourceStamp {
            branch: change.branch.clone(),
            revision: change.revision.clone(),
            repository: change.repository.clone(),
            project: change.project.clone(),
            codebase: change.codebase.clone(),
            patch: None,
        },
    );
    let verdicts = schedulers::judge(tx.state(), &change);
    let id = tx.next_change();
    let now = tx.now();
    let change = ChangeRecord {
        id,
        author: change.author,
        committer: change.committer,
        comments: change.comments,
        files: change.files,
        revision: change.revision,
        branch: change.branch,
        category: change.category,
        revlink: change.revlink,
        repository: change.repository,
        project: change.project,
        codebase: change.codebase,
        when: change.when.unwrap_or(now),
        properties: change.properties,
        sourcestamp,
        parent: None,
    };
    tx.emit(Event::ChangeAdded {
        change: change.clone(),
    });
    codebases::see(tx, &change);
    for (scheduler, important) in verdicts {
        schedulers::hear(tx, scheduler, id, important);
    }
    Ok(Reply::Change(id))
}
