//! `ironmaster check`.

use std::path::Path;

use crate::{catalogue, failure::Failure};

pub(crate) fn run(config: &Path, print: bool) -> Result<(), Failure> {
    let loaded = catalogue::load(config)?;
    let plan = &loaded.plan;
    if print {
        let text = serde_json::to_string_pretty(plan)
            .map_err(|error| Failure::because("cannot print the plan", &error))?;
        println!("{text}");
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
    Ok(())
}
