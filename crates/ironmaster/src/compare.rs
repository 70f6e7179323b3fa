//! `ironmaster check --diff` and `--replay`: a configuration beside what the database says. Nothing is changed, and it does
//! not matter whether the master runs: what is in force is in the database.

use std::collections::BTreeMap;

use ironmaster_config::{
    Loaded,
    diff::{Difference, What, diff},
};
use ironmaster_engine::State;
use ironmaster_model::{ChangeId, Plan, RequestPhase};
use ironmaster_store::{Database, OpenOptions, Query, Reader, Resource};

use crate::{database, failure::Failure};

/// The database of a configuration; none if there is none yet.
fn reader(loaded: &Loaded) -> Result<Option<Reader>, Failure> {
    let database = database::of(&loaded.settings)?;
    if let Database::Sqlite(path) = &database
        && !path.is_file()
    {
        return Ok(None);
    }
    Reader::of(&database, OpenOptions::default())
        .map(Some)
        .map_err(|error| Failure::because("cannot read the database", &error))
}

/// Says what would change.
pub(crate) fn show_diff(loaded: &Loaded) -> Result<(), Failure> {
    let state = match reader(loaded)? {
        None => State::default(),
        Some(reader) => {
            let snapshot = reader
                .snapshot()
                .map_err(|error| Failure::because("cannot read the database", &error))?;
            State::load(snapshot).map_err(|error| Failure::because("the database is damaged", &error))?
        }
    };
    let differences = diff(state.plan(), &loaded.plan);
    for difference in &differences {
        print!("{}", shown(difference));
    }
    if differences.is_empty() {
        println!("nothing differs from the configuration in force");
    }
    for line in affected(&state, &loaded.plan, &differences) {
        println!("{line}");
    }
    Ok(())
}

fn shown(difference: &Difference) -> String {
    let Difference { section, name, what } = difference;
    match what {
        What::Added => format!("+ {section} {name}\n"),
        What::Removed => format!("- {section} {name}\n"),
        What::Changed(keys) => {
            let mut text = format!("~ {section} {name}\n");
            for key in keys {
                let none = || "(not there)".to_owned();
                text.push_str(&format!(
                    "    {}: {} -> {}\n",
                    key.key,
                    key.old.clone().unwrap_or_else(none),
                    key.new.clone().unwrap_or_else(none)
                ));
            }
            text
        }
    }
}

/// What becomes of requests that are queued.
fn affected(state: &State, plan: &Plan, differences: &[Difference]) -> Vec<String> {
    let mut queued: BTreeMap<&str, u64> = BTreeMap::new();
    for request in state
        .requests()
        .filter(|request| request.phase == RequestPhase::Queued)
    {
        if let Some(builder) = state.builder(request.builder) {
            *queued.entry(&builder.name).or_default() += 1;
        }
    }
    let changed = |builder: &str| {
        differences
            .iter()
            .any(|difference| difference.section == "builder" && difference.name == builder)
    };
    queued
        .into_iter()
        .filter_map(|(builder, count)| {
            let requests = format!("{count} queued request{}", if count == 1 { "" } else { "s" });
            if !plan.builders.contains_key(builder) {
                Some(format!(
                    "{requests} of builder {builder} would wait until there is such a builder again"
                ))
            } else if changed(builder) {
                Some(format!(
                    "{requests} of builder {builder} would be built under its new definition"
                ))
            } else {
                None
            }
        })
        .collect()
}

/// Says what the last changes would have started.
pub(crate) fn show_replay(loaded: &Loaded, count: u64) -> Result<(), Failure> {
    let Some(reader) = reader(loaded)? else {
        println!("there is no database yet, so there are no changes");
        return Ok(());
    };
    let newest = Query {
        fields: Some(vec!["changeid".into()]),
        limit: Some(count),
        ..Query::default()
    };
    let page = reader
        .query(Resource::Changes, &newest)
        .map_err(|error| Failure::because("cannot read the changes", &error))?;
    let ids: Vec<ChangeId> = page
        .items
        .iter()
        .filter_map(|item| item["changeid"].as_u64())
        .map(ChangeId)
        .collect();
    let mut changes = reader
        .changes(&ids)
        .map_err(|error| Failure::because("cannot read the changes", &error))?;
    changes.sort_by_key(|change| change.id);
    let found = ironmaster_master::replay(&loaded.plan, &changes)
        .map_err(|error| Failure::because("the changes cannot be replayed", &error))?;
    for change in &changes {
        let revision = change.revision.as_deref().unwrap_or("?");
        let revision = revision.get(..12).unwrap_or(revision);
        let branch = change.branch.as_deref().unwrap_or("the default branch");
        println!(
            "change {} ({revision} on {branch} by {})",
            change.id, change.author
        );
        let of_it = found.iter().filter(|set| set.changes.last() == Some(&change.id));
        let mut started = false;
        for set in of_it {
            started = true;
            let others = set.changes.len() - 1;
            let together = match others {
                0 => String::new(),
                1 => " (with one change before it)".to_owned(),
                more => format!(" (with {more} changes before it)"),
            };
            println!(
                "    {} starts {}{together}",
                set.scheduler,
                set.builders.join(", ")
            );
        }
        if !started {
            let later = found.iter().any(|set| set.changes.contains(&change.id));
            println!(
                "    {}",
                if later {
                    "is built with a later one"
                } else {
                    "starts nothing"
                }
            );
        }
    }
    println!(
        "{} change{}, {} buildset{}",
        changes.len(),
        if changes.len() == 1 { "" } else { "s" },
        found.len(),
        if found.len() == 1 { "" } else { "s" }
    );
    Ok(())
}
