//! The sections `[[worker]]`.

use std::collections::{BTreeMap, BTreeSet};

use ironmaster_model::WorkerDef;

use crate::{
    checker::{Checker, Section, Span},
    keys, token,
};

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
        let token = token::read(checker, &section, &owner, true);
        let slots = checker.integer(&section, "slots").unwrap_or(1);
        let mut labels = BTreeSet::new();
        for label in checker.texts(&section, "labels").unwrap_or_default() {
            checker.identifier("a label", &label);
            labels.insert(label.value);
        }
        let properties = checker.json_table(&section, "properties");
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
                // Only a section without errors gets out, and that has a token.
                token_sha256: token.unwrap_or_default(),
                properties,
            },
        );
    }
    workers
}
