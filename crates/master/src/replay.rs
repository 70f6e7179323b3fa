//! What changes would start under a plan: the engine itself, on an empty state, with nothing done about what it decides.

use std::{collections::BTreeMap, sync::Arc};

use ironmaster_engine::{Input, NewChange, Refusal, State, Tx, decide};
use ironmaster_model::{BuildsetId, ChangeId, ChangeRecord, Duration, Event, Plan, SchedulerKind, Timestamp};

use crate::callbacks;

/// Timers that are waited for between two changes, and after the last.
const TICKS_MAX: usize = 10_000;

/// Something that would have started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WouldStart {
    /// The scheduler.
    pub scheduler: String,
    /// The builders that it asks.
    pub builders: Vec<String>,
    /// The changes that it starts for.
    pub changes: Vec<ChangeId>,
}

/// What `changes` would start under `plan`, oldest first. Only schedulers that hear changes take part; what would follow
/// from the results of builds is not known.
pub fn replay(plan: &Plan, changes: &[ChangeRecord]) -> Result<Vec<WouldStart>, Refusal> {
    let mut plan = plan.clone();
    plan.schedulers.retain(|_, scheduler| {
        matches!(
            scheduler.kind,
            SchedulerKind::SingleBranch { .. } | SchedulerKind::AnyBranch { .. }
        )
    });
    let functions = plan.callbacks.clone();
    let mut run = Run {
        state: State::default(),
        now: changes.first().map_or(Timestamp::default(), |change| change.when),
        changes,
        found: Vec::new(),
        sets: BTreeMap::new(),
    };
    run.input(Input::MasterStart {
        name: "replay".into(),
        lease: Duration::from_secs(0),
    })?;
    run.input(Input::Configure { plan: Arc::new(plan) })?;
    for change in changes {
        run.wait_until(Some(change.when))?;
        run.now = run.now.max(change.when);
        run.input(callbacks::ask(&functions, Input::Change(again(change))))?;
    }
    run.wait_until(None)?;
    Ok(run.found)
}

struct Run<'c> {
    state: State,
    now: Timestamp,
    changes: &'c [ChangeRecord],
    found: Vec<WouldStart>,
    /// Where each set is in `found`.
    sets: BTreeMap<BuildsetId, usize>,
}

impl Run<'_> {
    fn input(&mut self, input: Input) -> Result<(), Refusal> {
        let mut tx = Tx::new(&mut self.state, self.now);
        decide(&mut tx, input)?;
        for sequenced in tx.finish() {
            match sequenced.event {
                Event::BuildsetCreated { buildset } => {
                    self.sets.insert(buildset.id, self.found.len());
                    self.found.push(WouldStart {
                        scheduler: buildset.scheduler,
                        builders: Vec::new(),
                        // Ids are counted from 1 in the order in which changes come.
                        changes: buildset
                            .changes
                            .iter()
                            .filter_map(|id| self.changes.get(id.0.checked_sub(1)? as usize))
                            .map(|change| change.id)
                            .collect(),
                    });
                }
                Event::RequestQueued { request } => {
                    let found = self.sets.get(&request.buildset).map(|at| &mut self.found[*at]);
                    if let (Some(found), Some(builder)) = (found, self.state.builder(request.builder)) {
                        found.builders.push(builder.name.clone());
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Lets time pass, timer by timer; without an end until there are no more.
    fn wait_until(&mut self, end: Option<Timestamp>) -> Result<(), Refusal> {
        for _ in 0..TICKS_MAX {
            match self.state.next_deadline() {
                Some(deadline) if end.is_none_or(|end| deadline <= end) => {
                    self.now = self.now.max(deadline);
                    self.input(Input::Tick)?;
                }
                _ => break,
            }
        }
        Ok(())
    }
}

/// The change as it was told of.
fn again(change: &ChangeRecord) -> NewChange {
    NewChange {
        author: change.author.clone(),
        committer: change.committer.clone(),
        comments: change.comments.clone(),
        files: change.files.clone(),
        revision: change.revision.clone(),
        branch: change.branch.clone(),
        category: change.category.clone(),
        revlink: change.revlink.clone(),
        repository: change.repository.clone(),
        project: change.project.clone(),
        codebase: change.codebase.clone(),
        when: Some(change.when),
        properties: change.properties.clone(),
        verdicts: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use ironmaster_model::{BuilderDef, ChangeFilter, SchedulerDef};

    use super::*;

    fn plan(branch: &str, tree_stable: Option<Duration>) -> Plan {
        let builder = BuilderDef {
            name: "b".into(),
            builddir: "b".into(),
            attempts_max: 1,
            ..BuilderDef::default()
        };
        let scheduler = SchedulerDef {
            name: "s".into(),
            builders: vec!["b".into()],
            pipeline: None,
            codebases: Vec::new(),
            priority: 0,
            asks_priority: false,
            properties: BTreeMap::new(),
            kind: SchedulerKind::AnyBranch {
                filter: ChangeFilter {
                    branches: vec![branch.into()],
                    ..ChangeFilter::default()
                },
                tree_stable,
            },
        };
        Plan {
            digest: "d".into(),
            builders: BTreeMap::from([("b".to_owned(), builder)]),
            schedulers: BTreeMap::from([("s".to_owned(), scheduler)]),
            ..Plan::default()
        }
    }

    fn change(id: u64, at: i64, branch: &str) -> ChangeRecord {
        ChangeRecord {
            id: ChangeId(id),
            author: "ann".into(),
            committer: None,
            comments: "c".into(),
            files: Vec::new(),
            revision: Some(format!("r{id}")),
            branch: Some(branch.into()),
            category: None,
            revlink: None,
            repository: "r".into(),
            project: String::new(),
            codebase: String::new(),
            when: Timestamp::from_secs(at),
            properties: ironmaster_model::Properties::new(),
            sourcestamp: ironmaster_model::SourceStampId(1),
            parent: None,
        }
    }

    #[test]
    fn filters_and_timers_are_those_of_the_plan() {
        let changes = [
            change(7, 100, "main"),
            change(8, 110, "wip"),
            change(9, 130, "main"),
            change(12, 900, "main"),
        ];
        let sets = |plan: &Plan| -> Vec<Vec<u64>> {
            let found = replay(plan, &changes).expect("all is in order");
            assert!(
                found
                    .iter()
                    .all(|set| set.scheduler == "s" && set.builders == ["b"])
            );
            found
                .iter()
                .map(|set| set.changes.iter().map(|id| id.0).collect())
                .collect()
        };
        assert_eq!(sets(&plan("main", None)), [vec![7], vec![9], vec![12]]);
        assert_eq!(
            sets(&plan("main", Some(Duration::from_secs(60)))),
            [vec![7, 9], vec![12]]
        );
        assert!(sets(&plan("next", None)).is_empty());
        assert!(
            replay(&plan("main", None), &[])
                .expect("nothing is in order")
                .is_empty()
        );
    }
}
