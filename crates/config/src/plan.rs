//! The whole file: sections in the order in which they refer to one another, then what concerns several of
//! them, then the configuration's identity.

use std::{collections::BTreeMap, path::Path};

use ironmaster_model::{Catalogue, ChangeSourceDef, Plan, SchedulerKind};
use sha2::{Digest, Sha256};
use toml::de::DeTable;

use crate::{
    Loaded, Report,
    builder::{self, Builders},
    checker::{Checker, Section, Span},
    fields, keys, mask, master,
    scheduler::{self, Schedulers},
    worker::{self, Workers},
};

pub(crate) fn check(
    source_name: &str,
    text: &str,
    base_dir: &Path,
    catalogue: &Catalogue,
) -> (Option<Loaded>, Report) {
    let mut checker = Checker::new(source_name, text, base_dir, catalogue);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        checker.broken = true;
        let message = error.message().replace('\n', ", ");
        let span = error.span().unwrap_or(text.len()..text.len());
        checker.error("syntax", span, format!("this is not TOML: {message}"));
    }
    let top = Section {
        table: document.get_ref(),
        span: 0..0,
        what: "the configuration".to_owned(),
        parts: "section",
    };
    mask_unknown(&mut checker, &top);
    checker.unknown_keys(&top, keys::TOP);
    let settings = master::read(&mut checker, &top);
    let workers = worker::read(&mut checker, &top);
    let builders = builder::read(&mut checker, &top, &workers);
    let schedulers = scheduler::read(&mut checker, &top, &builders);
    let change_sources = change_sources(&mut checker, &top);
    // Who is not named may be the one that a misspelt name was meant for: this waits until names are right.
    if !checker.has_errors() {
        cross_check(&mut checker, &workers, &builders, &schedulers, &change_sources);
    }
    let failed = checker.has_errors();
    let tokens = std::mem::take(&mut checker.tokens);
    let (report, masked) = checker.into_report();
    if failed {
        return (None, report);
    }
    let plan = Plan {
        digest: digest(source_name, &masked, &tokens),
        workers: workers.defs,
        builders: builders.defs,
        schedulers: schedulers.defs,
        change_sources: change_sources
            .into_iter()
            .map(|(name, (def, _))| (name, def))
            .collect(),
    };
    let loaded = Loaded {
        plan,
        settings,
        warnings: report.clone(),
    };
    (Some(loaded), report)
}

/// Values of unknown keys that sound like a secret are not shown.
fn mask_unknown(checker: &mut Checker<'_>, section: &Section<'_>) {
    for (key, value) in section.table {
        if mask::is_secret_key(key.get_ref()) {
            checker.secret(value.span());
        }
        let inner: Vec<_> = match value.get_ref() {
            toml::de::DeValue::Table(table) => vec![(table, value.span())],
            toml::de::DeValue::Array(items) => items
                .iter()
                .filter_map(|item| Some((item.get_ref().as_table()?, item.span())))
                .collect(),
            _ => continue,
        };
        for (table, span) in inner {
            let section = Section {
                table,
                span,
                what: String::new(),
                parts: "key",
            };
            mask_unknown(checker, &section);
        }
    }
}

type ChangeSources = BTreeMap<String, (ChangeSourceDef, Span)>;

fn change_sources(checker: &mut Checker<'_>, top: &Section<'_>) -> ChangeSources {
    let mut sources = ChangeSources::new();
    let common = keys::CHANGE_SOURCE.names();
    for mut section in checker.sections(top.get("change_source"), "a change source", "change_source") {
        let name = checker.text(&section, "name");
        if let Some(name) = &name {
            section.what = format!("change source `{}`", name.value);
            checker.any_name("a change source", name);
        } else if !section.has("name") {
            checker.missing(&section, "name", "write `name = \"zlib\"`");
        }
        let catalogue = checker.catalogue;
        let kind = fields::kind(checker, &section, &catalogue.change_sources);
        let params = kind.map(|kind| (kind.name, fields::read(checker, &section, kind, &common)));
        let Some(name) = name else { continue };
        if let Some((_, first)) = sources.get(&name.value) {
            let first = first.clone();
            checker.duplicate("change source", &name, &first);
            continue;
        }
        let Some((kind, params)) = params else { continue };
        let def = ChangeSourceDef {
            name: name.value.clone(),
            kind: kind.to_owned(),
            params,
        };
        sources.insert(name.value, (def, name.span));
    }
    sources
}

/// What is well-formed, but probably does not do what was meant.
fn cross_check(
    checker: &mut Checker<'_>,
    workers: &Workers,
    builders: &Builders,
    schedulers: &Schedulers,
    change_sources: &ChangeSources,
) {
    for (name, place) in &workers.places {
        if !builders.used_workers.contains(name) {
            checker.warning(
                "unused_worker",
                place.clone(),
                format!("no builder uses worker `{name}`"),
                "name it in the `workers` of a builder, or give it a label that a builder asks for",
            );
        }
    }
    for (name, place) in &builders.places {
        let asked = schedulers
            .defs
            .values()
            .any(|scheduler| scheduler.builders.contains(name));
        if !asked {
            checker.warning(
                "unused_builder",
                place.clone(),
                format!("no scheduler asks for builder `{name}`"),
                "name it in the `builders` of a scheduler; one of `type = \"force\"` gives it a button",
            );
        }
    }
    let heard = schedulers.defs.values().any(|scheduler| {
        matches!(
            scheduler.kind,
            SchedulerKind::SingleBranch { .. } | SchedulerKind::AnyBranch { .. }
        )
    });
    if let (false, Some((name, (_, place)))) = (heard, change_sources.first_key_value()) {
        checker.warning(
            "unheard_changes",
            place.clone(),
            format!("nothing is built because of changes from `{name}`"),
            "add a scheduler of `type = \"single_branch\"` or `\"any_branch\"`",
        );
    }
}

/// SHA-256 over the names and contents of all files that take part. Tokens take part by their SHA-256 only.
fn digest(source_name: &str, masked: &str, tokens: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    // Only the last element of the name: the same configuration elsewhere is the same.
    let name = Path::new(source_name).file_name().map_or_else(
        || source_name.to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    part("ironmaster configuration 1");
    part(&name);
    part(masked);
    for (owner, token) in tokens {
        part(owner);
        part(token);
    }
    hex::encode(hash.finalize())
}
