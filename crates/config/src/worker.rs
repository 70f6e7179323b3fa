//! The sections `[[worker]]`.

use std::collections::{BTreeMap, BTreeSet};

use ironmaster_model::{Cron, DowntimeDef, Duration, WorkerDef};

use crate::{
    checker::{Checker, Section, Span},
    keys,
    scheduler::zone,
    token, units,
};

/// When a worker that is away counts as missing, unless the file says so.
const MISSING_AFTER: Duration = Duration::from_secs(60 * 60);

/// The workers, with the places of their names.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    pub(crate) defs: BTreeMap<String, WorkerDef>,
    pub(crate) places: BTreeMap<String, Span>,
}

/// Reads all workers.
pub(crate) fn read(checker: &mut Checker<'_>, top: &Section<'_>) -> Workers {
    let mut workers = Workers::default();
    for mut section in checker.sections(top.get("worker"), "a worker", &keys::WORKER) {
        let name = checker.text(&section, "name");
        if let Some(name) = &name {
            section.what = format!("worker `{}`", name.value);
            checker.identifier("a worker", name);
        } else if !section.has("name") {
            checker.missing(&section, "name", "write `name = \"linux-1\"`");
        }
        checker.unknown_keys(&section, &[]);
        let owner = name
            .as_ref()
            .map_or_else(String::new, |name| format!("worker {}", name.value));
        // Only a section without errors gets out, and that has a token.
        let token = token::read(checker, &section, &token::TOKEN, &owner, true).unwrap_or_default();
        let slots = checker.integer(&section, "slots").unwrap_or(1);
        let mut labels = BTreeSet::new();
        for label in checker.texts(&section, "labels").unwrap_or_default() {
            checker.identifier("a label", &label);
            labels.insert(label.value);
        }
        let properties = checker.json_table(&section, "properties");
        let downtime = downtime(checker, &section);
        let time_zone = zone(checker, &section);
        let missing_after = match checker.duration(&section, "missing_after") {
            None => Some(MISSING_AFTER),
            Some(Duration::ZERO) => None,
            after => after,
        };
        let Some(name) = name else { continue };
        if let Some(first) = workers.places.get(&name.value) {
            let first = *first;
            checker.duplicate("worker", &name, first);
            continue;
        }
        workers.places.insert(name.value.clone(), name.span);
        workers.defs.insert(
            name.value.clone(),
            WorkerDef {
                name: name.value,
                slots: u32::try_from(slots).unwrap_or(1),
                labels,
                token_sha256: token.sha256,
                pb_secret: token.pb,
                properties,
                downtime,
                time_zone: time_zone.unwrap_or_default(),
                missing_after,
            },
        );
    }
    workers
}

/// Windows of time, each written `CRON for DURATION`.
fn downtime(checker: &mut Checker<'_>, section: &Section<'_>) -> Vec<DowntimeDef> {
    const HOW: &str =
        "a downtime is written `0 22 * * mon-fri for 8h`: when it begins, and how long it lasts";
    let bounds = Duration::from_secs(60)..=Duration::from_secs(31 * 86_400);
    let mut windows = Vec::new();
    for text in checker.texts(section, "downtime").unwrap_or_default() {
        let Some((begins, lasts)) = text.value.rsplit_once(" for ") else {
            let message = format!("`{}` does not say how long it lasts", text.value);
            checker.error_help("bad_downtime", text.span, message, Some(HOW.to_owned()));
            continue;
        };
        let begins = Cron::parse(begins.trim());
        let lasts = units::duration(lasts);
        match (begins, lasts) {
            (Err(error), _) => {
                let message = format!("`{}` does not begin at a time: {error}", text.value);
                checker.error_help("bad_downtime", text.span, message, Some(HOW.to_owned()));
            }
            (_, Err(problem)) => {
                checker.error_help("bad_downtime", text.span, problem, Some(HOW.to_owned()));
            }
            (_, Ok(lasts)) if !bounds.contains(&lasts) => {
                let message = format!("`{}` must last from 1m to 31d", text.value);
                checker.error("out_of_range", text.span, message);
            }
            (Ok(begins), Ok(lasts)) => windows.push(DowntimeDef { begins, lasts }),
        }
    }
    windows
}
