//! The configuration's own functions: asked outside of decisions, so that a decision stays a pure function of its input, and so that
//! no slow function holds up the committer. Their answers go in with the input, or as one. One that fails is logged with its traceback, and
//! has not agreed.

use std::sync::{Arc, RwLock};

use ironmaster_engine::{Input, NewChange};
use ironmaster_model::{CallbackSet, Plan};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

/// Changes about which functions are asked at once; whoever tells of more waits.
const CHANGES_MAX: usize = 8;

/// Functions, and the digest of the configuration that they are of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Functions {
    pub(crate) config: String,
    pub(crate) set: CallbackSet,
}

impl Functions {
    pub(crate) fn of(plan: &Plan) -> Self {
        Self {
            config: plan.digest.clone(),
            set: plan.callbacks.clone(),
        }
    }
}

/// The functions of the configuration in force, for whoever asks them outside of the committer.
#[derive(Debug)]
pub(crate) struct InForce {
    functions: RwLock<Functions>,
    changes: Semaphore,
}

impl Default for InForce {
    fn default() -> Self {
        Self {
            functions: RwLock::default(),
            changes: Semaphore::new(CHANGES_MAX),
        }
    }
}

impl InForce {
    /// The functions.
    pub(crate) fn get(&self) -> Functions {
        self.functions
            .read()
            .expect("no panic while holding the lock")
            .clone()
    }

    /// A configuration has come into force.
    pub(crate) fn set(&self, functions: Functions) {
        *self.functions.write().expect("no panic while holding the lock") = functions;
    }

    /// The input, with what the functions say of it; and the configuration whose functions were asked, if some were.
    pub(crate) async fn ask(self: &Arc<Self>, input: Input) -> (Input, Option<String>) {
        let functions = self.get();
        if functions.set.0.is_none() || !matches!(input, Input::Change(_)) {
            return (input, None);
        }
        let Ok(_permit) = self.changes.acquire().await else {
            return (input, None);
        };
        let asked = tokio::task::spawn_blocking(move || (ask(&functions.set, input), Some(functions.config)));
        match asked.await {
            Ok(asked) => asked,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

/// The input, with what the functions of the configuration say of it.
pub(crate) fn ask(callbacks: &CallbackSet, mut input: Input) -> Input {
    if let (Some(callbacks), Input::Change(change)) = (&callbacks.0, &mut input) {
        for (scheduler, verdict) in callbacks.change_filters(&fields(change)) {
            match verdict {
                Ok(verdict) => {
                    change.verdicts.insert(scheduler, verdict);
                }
                Err(traceback) => tracing::error!(
                    scheduler,
                    revision = change.revision,
                    "the scheduler's `change_filter` failed, so it does not hear this change:\n{traceback}"
                ),
            }
        }
    }
    input
}

/// A change as functions see it.
fn fields(change: &NewChange) -> Map<String, Value> {
    let properties: Map<String, Value> = change
        .properties
        .0
        .iter()
        .map(|(name, property)| (name.clone(), property.value.clone()))
        .collect();
    let Value::Object(fields) = json!({
        "author": change.author,
        "committer": change.committer,
        "comments": change.comments,
        "files": change.files,
        "revision": change.revision,
        "branch": change.branch,
        "category": change.category,
        "revlink": change.revlink,
        "repository": change.repository,
        "project": change.project,
        "codebase": change.codebase,
        "properties": properties,
    }) else {
        return Map::new();
    };
    fields
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use ironmaster_model::{Callbacks, Opinion, Pick};

    use super::*;

    struct ByBranch;

    impl Callbacks for ByBranch {
        fn change_filters(&self, change: &Map<String, Value>) -> BTreeMap<String, Result<bool, String>> {
            BTreeMap::from([
                ("main".to_owned(), Ok(change["branch"] == "main")),
                ("broken".to_owned(), Err("division by zero".to_owned())),
            ])
        }

        fn choose(
            &self,
            _builder: &str,
            _requests: &[Map<String, Value>],
            _workers: &[Map<String, Value>],
        ) -> Result<Pick, String> {
            Ok(Pick::Nothing("nobody asks".to_owned()))
        }

        fn judge(
            &self,
            _builder: &str,
            _scheduler: &str,
            _request: &Map<String, Value>,
            _others: &[Map<String, Value>],
        ) -> Opinion {
            Opinion::default()
        }
    }

    #[tokio::test]
    async fn functions_of_the_configuration_in_force_are_asked() {
        let in_force = Arc::new(InForce::default());
        let change = || Input::Change(NewChange::default());
        assert!(
            matches!(in_force.ask(change()).await, (Input::Change(change), None) if change.verdicts.is_empty())
        );
        in_force.set(Functions {
            config: "one".into(),
            set: CallbackSet(Some(Arc::new(ByBranch))),
        });
        let (asked, by) = in_force.ask(change()).await;
        assert!(matches!(asked, Input::Change(change) if change.verdicts.len() == 1));
        assert_eq!(by.as_deref(), Some("one"));
        assert!(matches!(in_force.ask(Input::Tick).await, (Input::Tick, None)));
    }

    #[test]
    fn verdicts_go_in_with_the_change() {
        let callbacks = CallbackSet(Some(Arc::new(ByBranch)));
        for (branch, verdict) in [("main", true), ("next", false)] {
            let change = NewChange {
                branch: Some(branch.into()),
                ..NewChange::default()
            };
            let Input::Change(asked) = ask(&callbacks, Input::Change(change.clone())) else {
                panic!("it stays a change");
            };
            assert_eq!(asked.verdicts, BTreeMap::from([("main".to_owned(), verdict)]));
            let Input::Change(unasked) = ask(&CallbackSet(None), Input::Change(change.clone())) else {
                panic!("it stays a change");
            };
            assert_eq!(unasked, change);
        }
        assert!(matches!(ask(&callbacks, Input::Tick), Input::Tick));
    }
}
