//! Pipelines that start one another.

use std::collections::{BTreeMap, BTreeSet};

use super::{Pipelines, Start};
use crate::{checker::Checker, suggest};

/// Pipelines that are started exist, and none starts itself, also not by others.
pub(super) fn cycles(checker: &mut Checker<'_>, pipelines: &Pipelines, starts: &[Start]) {
    let mut next: BTreeMap<&str, Vec<&Start>> = BTreeMap::new();
    for start in starts {
        if pipelines.defs.contains_key(&start.to) {
            next.entry(&start.from).or_default().push(start);
        } else if !checker.broken {
            let help = suggest::help(&start.to, pipelines.defs.keys().map(String::as_str));
            checker.error_help(
                "unknown_pipeline",
                start.place,
                format!("there is no pipeline `{}`", start.to),
                help,
            );
        }
    }
    // What starts nothing that is left is in no cycle.
    let mut left: BTreeSet<&str> = pipelines.defs.keys().map(String::as_str).collect();
    loop {
        let before = left.len();
        let free: Vec<&str> = left
            .iter()
            .copied()
            .filter(|name| {
                next.get(name)
                    .is_none_or(|starts| starts.iter().all(|start| !left.contains(start.to.as_str())))
            })
            .collect();
        for name in free {
            left.remove(name);
        }
        if left.len() == before {
            break;
        }
    }
    // Each that is left starts one that is left, so a walk comes back to where it was.
    let Some(first) = left.first().copied() else {
        return;
    };
    let mut path: Vec<&Start> = Vec::new();
    let mut at = first;
    let from = loop {
        if let Some(from) = path.iter().position(|start| start.from == at) {
            break from;
        }
        let Some(start) = next
            .get(at)
            .and_then(|starts| starts.iter().find(|start| left.contains(start.to.as_str())))
        else {
            return;
        };
        path.push(start);
        at = &start.to;
    };
    let cycle = &path[from..];
    let names: Vec<&str> = cycle
        .iter()
        .map(|start| start.from.as_str())
        .chain([at])
        .collect();
    if let Some(start) = cycle.first() {
        checker.error_help(
            "cycle",
            start.place,
            format!("pipelines start one another: {}", names.join(" starts ")),
            Some("one of them has to be started by something else".to_owned()),
        );
    }
}
