//! The configuration's own functions: asked before something is decided, so that a decision stays a pure function of its
//! input. Their answers go in with the input. One that fails is logged with its traceback, and has not agreed.

use ironmaster_engine::{Input, NewChange};
use ironmaster_model::CallbackSet;
use serde_json::{Map, Value, json};

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

    use ironmaster_model::Callbacks;

    use super::*;

    struct ByBranch;

    impl Callbacks for ByBranch {
        fn change_filters(&self, change: &Map<String, Value>) -> BTreeMap<String, Result<bool, String>> {
            BTreeMap::from([
                ("main".to_owned(), Ok(change["branch"] == "main")),
                ("broken".to_owned(), Err("division by zero".to_owned())),
            ])
        }
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
