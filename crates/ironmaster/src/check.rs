//! `ironmaster check`.

use std::path::Path;

use ironmaster_config::print;

use crate::{PrintForm, catalogue, compare, database, failure::Failure, identity::Identities};

pub(crate) fn run(
    config: &Path,
    form: Option<PrintForm>,
    diff: bool,
    replay: Option<u64>,
) -> Result<(), Failure> {
    let loaded = catalogue::load(config)?;
    // Only read: what it names is not touched.
    database::of(&loaded.settings)?;
    Identities::of(&loaded.settings)?;
    let plan = &loaded.plan;
    if let Some(form) = form {
        match form {
            PrintForm::Json => print!("{}", print::json(plan)),
            PrintForm::Toml => print!("{}", print::toml(plan)),
        }
        return Ok(());
    }
    let count = |n: usize, noun: &str| format!("{n} {noun}{}", if n == 1 { "" } else { "s" });
    println!(
        "{}: good ({}, {}, {}, {}{})",
        config.display(),
        count(plan.builders.len(), "builder"),
        count(plan.workers.len(), "worker"),
        count(plan.schedulers.len(), "scheduler"),
        count(plan.change_sources.len(), "change source"),
        if loaded.warnings.is_empty() {
            String::new()
        } else {
            format!("; {}", loaded.warnings.summary())
        },
    );
    if diff {
        compare::show_diff(&loaded)?;
    }
    if let Some(count) = replay {
        compare::show_replay(&loaded, count)?;
    }
    Ok(())
}
