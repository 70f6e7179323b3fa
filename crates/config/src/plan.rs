//! The whole file: sections in the order in which they refer to one another, then what concerns several of
//! them, then the configuration's identity.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
    sync::Arc,
};

use ironmaster_model::{CallbackSet, Callbacks, Catalogue, ChangeSourceDef, Plan, SchedulerKind};
use ironmaster_starlark::Program;
use sha2::{Digest, Sha256};

use crate::{
    ConfigFile, Loaded, Report, Settings,
    builder::{self, Builders},
    callbacks::{Callers, Functions},
    checker::{Checker, Section, Span},
    fields, keys, lock, mask, master,
    pipeline::{self, Pipelines},
    project,
    scheduler::{self, Schedulers},
    spelling::Spelling,
    starlark_form, toml_form,
    tree::{Data, Node, Table},
    worker::{self, Workers},
};

pub(crate) fn check(
    source_name: &str,
    text: &str,
    base_dir: &Path,
    catalogue: &Catalogue,
) -> (Option<Loaded>, Report) {
    let mut checker = Checker::new(spelling(source_name), base_dir, catalogue);
    let (table, program) = tree(&mut checker, source_name, text);
    let top = top(&table);
    mask_unknown(&mut checker, &table);
    let names: Vec<&str> = keys::TOP.iter().map(|section| section.name()).collect();
    checker.unknown_keys(&top, &names);
    let settings = master::read(&mut checker, &top);
    let workers = worker::read(&mut checker, &top);
    let projects = project::read(&mut checker, &top);
    let locks = lock::read(&mut checker, &top, &workers);
    let builders = builder::read(&mut checker, &top, &projects, &workers, &locks);
    let pipelines = pipeline::read(&mut checker, &top, &projects, &builders);
    let schedulers = scheduler::read(&mut checker, &top, &projects, &builders, &pipelines);
    let change_sources = change_sources(&mut checker, &top);
    // Who is not named may be the one that a misspelt name was meant for: this waits until names are right.
    if !checker.has_errors() {
        cross_check(
            &mut checker,
            &workers,
            &builders,
            &pipelines,
            &schedulers,
            &change_sources,
        );
        lock::cross_check(&mut checker, &locks, &builders.used_locks, &builders.lock_orders);
    }
    let failed = checker.has_errors();
    let tokens = std::mem::take(&mut checker.tokens);
    let change_filters = std::mem::take(&mut checker.change_filters);
    let builders_ask = std::mem::take(&mut checker.builder_functions);
    let priorities = std::mem::take(&mut checker.priorities);
    let (report, texts, sources) = checker.into_report();
    if failed {
        return (None, report);
    }
    let functions = program
        .filter(|_| !change_filters.is_empty() || !builders_ask.is_empty() || !priorities.is_empty())
        .map(|program| {
            let functions: Arc<dyn Callbacks> = Arc::new(Callers::new(Functions {
                program,
                change_filters,
                priorities,
                builders: builders_ask,
                masked: report.sources.clone(),
                sources,
            }));
            functions
        });
    let plan = Plan {
        callbacks: CallbackSet(functions),
        digest: digest(&texts, &tokens),
        projects: projects.projects,
        codebases: projects.codebases,
        workers: workers.defs,
        locks: locks.defs,
        builders: builders.defs,
        schedulers: schedulers.defs,
        pipelines: pipelines.defs,
        change_sources: change_sources
            .into_iter()
            .map(|(name, (def, _))| (name, def))
            .collect(),
    };
    let files = texts
        .into_iter()
        .map(|(name, text)| ConfigFile { name, text })
        .collect();
    let loaded = Loaded {
        plan,
        settings,
        warnings: report.clone(),
        files,
    };
    (Some(loaded), report)
}

/// The settings of a configuration whose rest may be wrong; none if the text itself is.
pub(crate) fn settings(
    source_name: &str,
    text: &str,
    base_dir: &Path,
    catalogue: &Catalogue,
) -> (Option<Settings>, Report) {
    let mut checker = Checker::new(spelling(source_name), base_dir, catalogue);
    let (table, _) = tree(&mut checker, source_name, text);
    mask_unknown(&mut checker, &table);
    let settings = (!checker.broken).then(|| master::read(&mut checker, &top(&table)));
    (settings, checker.into_report().0)
}

pub(crate) fn spelling(source_name: &str) -> Spelling {
    let extension = Path::new(source_name).extension();
    if extension.is_some_and(|extension| extension == "star") {
        Spelling::Starlark
    } else {
        Spelling::Toml
    }
}

/// What a text says, as tables.
pub(crate) fn tree(checker: &mut Checker<'_>, source_name: &str, text: &str) -> (Table, Option<Program>) {
    // Only the last element of the name: the same configuration elsewhere is the same.
    let identity = Path::new(source_name).file_name().map_or_else(
        || source_name.to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    checker.sources.add(source_name.to_owned(), identity, text.into());
    match checker.spelling {
        Spelling::Toml => (toml_form::read(checker, text), None),
        Spelling::Starlark => starlark_form::read(checker),
    }
}

pub(crate) fn top(table: &Table) -> Section<'_> {
    Section {
        table,
        span: Span::default(),
        what: "the configuration".to_owned(),
        parts: "section",
        keys: Vec::new(),
    }
}

/// Values of unknown keys that sound like a secret are not shown.
pub(crate) fn mask_unknown(checker: &mut Checker<'_>, table: &Table) {
    for entry in &table.entries {
        if mask::is_secret_key(&entry.name) {
            checker.secret(&entry.node);
        }
        match &entry.node.data {
            Data::Table(inner) => mask_unknown(checker, inner),
            Data::List(items) => {
                for inner in items.iter().filter_map(Node::as_table) {
                    mask_unknown(checker, inner);
                }
            }
            _ => {}
        }
    }
}

type ChangeSources = BTreeMap<String, (ChangeSourceDef, Span)>;

fn change_sources(checker: &mut Checker<'_>, top: &Section<'_>) -> ChangeSources {
    let mut sources = ChangeSources::new();
    for mut section in checker.sections(top.get("change_source"), "a change source", &keys::CHANGE_SOURCE) {
        let name = checker.text(&section, "name");
        if let Some(name) = &name {
            section.what = format!("change source `{}`", name.value);
            checker.any_name("a change source", name);
        } else if !section.has("name") {
            checker.missing(&section, "name", "write `name = \"zlib\"`");
        }
        let catalogue = checker.catalogue;
        let kind = fields::kind(checker, &section, &catalogue.change_sources);
        let params = kind.map(|kind| (kind.name, fields::read(checker, &section, kind)));
        let Some(name) = name else { continue };
        if let Some((_, first)) = sources.get(&name.value) {
            let first = *first;
            checker.duplicate("change source", &name, first);
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
    pipelines: &Pipelines,
    schedulers: &Schedulers,
    change_sources: &ChangeSources,
) {
    for (name, place) in &workers.places {
        if !builders.used_workers.contains(name) {
            checker.warning(
                "unused_worker",
                *place,
                format!("no builder uses worker `{name}`"),
                "name it in the `workers` of a builder, or give it a label that a builder asks for",
            );
        }
    }
    let asked: HashSet<&String> = schedulers
        .defs
        .values()
        .flat_map(|scheduler| &scheduler.builders)
        .collect();
    for (name, place) in &builders.places {
        if !asked.contains(name) && !pipelines.asked.contains(name) {
            checker.warning(
                "unused_builder",
                *place,
                format!("no scheduler asks for builder `{name}`"),
                "name it in the `builders` of a scheduler; one of `type = \"force\"` gives it a button",
            );
        }
    }
    for (name, place) in &pipelines.places {
        let is_started = pipelines.started.contains(name)
            || schedulers
                .defs
                .values()
                .any(|scheduler| scheduler.pipeline.as_ref() == Some(name));
        if !is_started {
            checker.warning(
                "unused_pipeline",
                *place,
                format!("no scheduler starts pipeline `{name}`"),
                "give a scheduler `pipeline = \"…\"`; people can still start it by hand",
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
            *place,
            format!("nothing is built because of changes from `{name}`"),
            "add a scheduler of `type = \"single_branch\"` or `\"any_branch\"`",
        );
    }
}

/// SHA-256 over the names and contents of all files that take part. Tokens take part by their SHA-256 only.
fn digest(texts: &[(String, String)], tokens: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    part("ironmaster configuration 1");
    for (name, masked) in texts {
        part(name);
        part(masked);
    }
    for (owner, token) in tokens {
        part(owner);
        part(token);
    }
    hex::encode(hash.finalize())
}
