//! The sections `[[builder]]` and `[[builder.step]]`.

use std::collections::{BTreeMap, BTreeSet};

use ironmaster_model::{
    Asks, BuilderDef, CollapseRule, StepDef, StepFlags, WorkerPreference, WorkerSelector,
};
use sha2::{Digest, Sha256};

use crate::{
    callbacks::BuilderFunctions,
    checker::{Checker, Section, Span, Text},
    fields, keys,
    lock::{self, Locks, Order, PlacedUse},
    project::{self, Projects},
    suggest,
    tree::Data,
    worker::Workers,
};

/// The builders, with the places of their names.
#[derive(Debug, Default)]
pub(crate) struct Builders {
    pub(crate) defs: BTreeMap<String, BuilderDef>,
    pub(crate) places: BTreeMap<String, Span>,
    /// Workers that some selector matches.
    pub(crate) used_workers: BTreeSet<String>,
    /// Locks that something uses.
    pub(crate) used_locks: BTreeSet<String>,
    /// Which locks are waited for while others are held.
    pub(crate) lock_orders: Vec<Order>,
}

/// Reads all builders.
pub(crate) fn read(
    checker: &mut Checker<'_>,
    top: &Section<'_>,
    projects: &Projects,
    workers: &Workers,
    locks: &Locks,
) -> Builders {
    let mut builders = Builders::default();
    let mut builddirs: BTreeMap<String, (String, Span)> = BTreeMap::new();
    for mut section in checker.sections(top.get("builder"), "a builder", &keys::BUILDER) {
        let name = checker.text(&section, "name");
        if let Some(name) = &name {
            section.what = format!("builder `{}`", name.value);
            checker.any_name("a builder", name);
        } else if !section.has("name") {
            checker.missing(&section, "name", "write `name = \"test\"`");
        }
        let (mut def, matched) = one(checker, &section, projects, workers);
        let functions = functions(checker, &section);
        def.asks = functions.asks();
        let own = lock::uses(checker, &section, locks, &matched, None);
        builders.used_workers.extend(matched.iter().cloned());
        let label = name.as_ref().map_or("", |name| &name.value);
        let steps = steps(checker, &section, locks, &matched, &own);
        for (step, uses) in &steps {
            for used in uses {
                builders.used_locks.insert(used.used.name.clone());
                builders.lock_orders.extend(own.iter().map(|held| Order {
                    builder: label.to_owned(),
                    held: held.used.name.clone(),
                    wanted: used.used.name.clone(),
                    span: used.span,
                }));
            }
            def.steps.push(step.clone());
        }
        builders
            .used_locks
            .extend(own.iter().map(|used| used.used.name.clone()));
        def.locks = own.into_iter().map(|used| used.used).collect();
        let Some(name) = name else { continue };
        if let Some(first) = builders.places.get(&name.value) {
            let first = *first;
            checker.duplicate("builder", &name, first);
            continue;
        }
        builddir(checker, &section, &name, &mut builddirs, &mut def);
        def.name.clone_from(&name.value);
        if !def.asks.is_none() {
            checker.builder_functions.insert(name.value.clone(), functions);
        }
        builders.places.insert(name.value.clone(), name.span);
        builders.defs.insert(name.value, def);
    }
    builders
}

fn one(
    checker: &mut Checker<'_>,
    section: &Section<'_>,
    projects: &Projects,
    workers: &Workers,
) -> (BuilderDef, BTreeSet<String>) {
    checker.unknown_keys(section, &[]);
    let mut tags = Vec::new();
    for tag in checker.texts(section, "tags").unwrap_or_default() {
        checker.any_name("a tag", &tag);
        tags.push(tag.value);
    }
    let env = section
        .get("env")
        .and_then(|value| fields::env(checker, "env", value))
        .and_then(|env| serde_json::from_value(env).ok())
        .unwrap_or_default();
    let collapse = [
        ("never", CollapseRule::Never),
        ("same_branch", CollapseRule::SameBranch),
        ("newest", CollapseRule::Newest),
    ];
    let prefer = [
        ("warm", WorkerPreference::Warm),
        ("idle", WorkerPreference::Idle),
        ("order", WorkerPreference::Order),
    ];
    let (selectors, matched) = selectors(checker, section, workers);
    let def = BuilderDef {
        name: String::new(),
        description: checker.text(section, "description").map(|text| text.value),
        tags,
        workers: selectors,
        steps: Vec::new(),
        properties: checker.json_table(section, "properties"),
        env,
        builddir: String::new(),
        attempts_max: checker
            .integer(section, "attempts")
            .and_then(|number| number.try_into().ok())
            .unwrap_or(3),
        collapse: unless_function(section, "collapse")
            .and_then(|()| checker.choice(section, "collapse", &collapse))
            .unwrap_or_default(),
        builds_max: checker
            .integer(section, "builds_max")
            .and_then(|number| number.try_into().ok()),
        project: project::project(checker, section, &projects.projects),
        locks: Vec::new(),
        prefer: unless_function(section, "prefer")
            .and_then(|()| checker.choice(section, "prefer", &prefer))
            .unwrap_or_default(),
        priority_property: checker.text(section, "priority_property").map(|text| text.value),
        asks: Asks::default(),
    };
    (def, matched)
}

/// Reads the functions that are asked about it.
fn functions(checker: &mut Checker<'_>, section: &Section<'_>) -> BuilderFunctions {
    BuilderFunctions {
        can_start: checker.placed_function(section, "can_start", &["request", "worker"]),
        next_worker: checker.function_instead(section, "prefer", &["request", "workers"]),
        next_build: checker.placed_function(section, "next_build", &["requests"]),
        priority: checker.placed_function(section, "priority", &["request"]),
        collapse: checker.function_instead(section, "collapse", &["request", "other"]),
    }
}

/// Nothing if a key has a function where it may have something else.
pub(crate) fn unless_function(section: &Section<'_>, key: &str) -> Option<()> {
    let is_one = section
        .get(key)
        .is_some_and(|value| matches!(value.data, Data::Function(..)));
    (!is_one).then_some(())
}

/// Reads which workers may run it, and which those are now. Names that do not exist are errors; a label that nobody has is not: the
/// machines may come later.
fn selectors(
    checker: &mut Checker<'_>,
    section: &Section<'_>,
    workers: &Workers,
) -> (Vec<WorkerSelector>, BTreeSet<String>) {
    const HELP: &str = "write `workers = [\"NAME\", \"label:NAME\"]`, or `[\"*\"]` for all";
    let Some(texts) = checker.texts(section, "workers") else {
        if !section.has("workers") {
            checker.missing(section, "workers", HELP);
        }
        return (Vec::new(), BTreeSet::new());
    };
    let labels: BTreeSet<&str> = workers
        .defs
        .values()
        .flat_map(|worker| worker.labels.iter().map(String::as_str))
        .collect();
    let mut selectors = Vec::new();
    let mut matched = BTreeSet::new();
    let mut mistaken = false;
    for text in &texts {
        if text.value == "*" {
            matched.extend(workers.defs.keys().cloned());
            selectors.extend(workers.defs.keys().cloned().map(WorkerSelector::Name));
        } else if let Some(list) = text.value.strip_prefix("label:") {
            let selector = label_selector(list);
            let known = match &selector {
                WorkerSelector::Labels { all, not } => all.iter().chain(not).map(String::as_str).collect(),
                _ => vec![list],
            };
            for label in known {
                mistaken |= unknown_label(checker, text, label, &labels);
            }
            matched.extend(
                workers
                    .defs
                    .values()
                    .filter(|worker| selector.matches(worker))
                    .map(|worker| worker.name.clone()),
            );
            selectors.push(selector);
        } else {
            if workers.defs.contains_key(&text.value) {
                matched.insert(text.value.clone());
            } else if !checker.broken {
                mistaken = true;
                unknown_worker(checker, text, workers, &labels);
            }
            selectors.push(WorkerSelector::Name(text.value.clone()));
        }
    }
    if texts.is_empty() || (matched.is_empty() && !mistaken && !checker.broken) {
        let span = section.get("workers").map(|value| value.span).unwrap_or_default();
        checker.warning(
            "no_worker",
            span,
            format!("no worker can run {}", section.what),
            "its builds will wait until one is added",
        );
    }
    (selectors, matched)
}

/// `linux`, or several with commas between them: all that it must have, those with `!` it must not have.
fn label_selector(list: &str) -> WorkerSelector {
    if !list.contains([',', '!']) {
        return WorkerSelector::Label(list.to_owned());
    }
    let (mut all, mut not) = (Vec::new(), Vec::new());
    for label in list.split(',').map(str::trim) {
        match label.strip_prefix('!') {
            Some(label) => not.push(label.to_owned()),
            None => all.push(label.to_owned()),
        }
    }
    WorkerSelector::Labels { all, not }
}

/// Warns of a label that no worker has, and says whether it did.
fn unknown_label(checker: &mut Checker<'_>, text: &Text, label: &str, labels: &BTreeSet<&str>) -> bool {
    if labels.contains(label) || checker.broken {
        return false;
    }
    let help = match suggest::similar(label, labels.iter().copied()) {
        Some(label) => format!("did you mean `label:{label}`?"),
        None => format!("give a worker `labels = [\"{label}\"]`"),
    };
    let message = format!("no worker has the label `{label}`");
    checker.warning("unknown_label", text.span, message, &help);
    true
}

fn unknown_worker(checker: &mut Checker<'_>, text: &Text, workers: &Workers, labels: &BTreeSet<&str>) {
    let help = if labels.contains(text.value.as_str()) {
        Some(format!(
            "for every worker with that label write `label:{}`",
            text.value
        ))
    } else {
        suggest::help(&text.value, workers.defs.keys().map(String::as_str))
    };
    checker.error_help(
        "unknown_worker",
        text.span,
        format!("there is no worker `{}`", text.value),
        help,
    );
}

/// The steps with the locks that they use.
fn steps(
    checker: &mut Checker<'_>,
    builder: &Section<'_>,
    locks: &Locks,
    machines: &BTreeSet<String>,
    own: &[PlacedUse],
) -> Vec<(StepDef, Vec<PlacedUse>)> {
    let sections = checker.sections(builder.get("step"), "a step", &keys::STEP);
    if !builder.has("step") {
        checker.missing(
            builder,
            "step",
            checker.spelling.pick(
                "add `[[builder.step]]` with `type = \"shell\"` and `command = \"make check\"`",
                "write `steps = [shell(\"make check\")]`",
            ),
        );
    }
    let mut steps = Vec::new();
    let mut names: BTreeSet<String> = BTreeSet::new();
    for (index, mut section) in sections.into_iter().enumerate() {
        section.what = format!("step {} of {}", index + 1, builder.what);
        let name = checker.text(&section, "name");
        if let Some(name) = &name {
            checker.any_name("a step", name);
            section.what = format!("step `{}` of {}", name.value, builder.what);
        }
        let catalogue = checker.catalogue;
        let Some(kind) = fields::kind(checker, &section, &catalogue.steps) else {
            continue;
        };
        let params = fields::read(checker, &section, kind);
        let logs = fields::logs(kind, &params);
        let flags = flags(checker, &section, kind.flags);
        let wanted = name.map_or_else(|| kind.name.to_owned(), |name| name.value);
        let name = unique(&wanted, &names);
        names.insert(name.clone());
        let uses = lock::uses(checker, &section, locks, machines, Some(own));
        let def = StepDef {
            name,
            kind: kind.name.to_owned(),
            params,
            flags,
            logs,
            locks: uses.iter().map(|used| used.used.clone()).collect(),
        };
        steps.push((def, uses));
    }
    steps
}

fn flags(checker: &mut Checker<'_>, section: &Section<'_>, mut flags: StepFlags) -> StepFlags {
    for (key, flag) in [
        ("halt_on_failure", &mut flags.halt_on_failure),
        ("flunk_on_failure", &mut flags.flunk_on_failure),
        ("flunk_on_warnings", &mut flags.flunk_on_warnings),
        ("warn_on_failure", &mut flags.warn_on_failure),
        ("warn_on_warnings", &mut flags.warn_on_warnings),
        ("always_run", &mut flags.always_run),
    ] {
        if let Some(given) = checker.boolean(section, key) {
            *flag = given;
        }
    }
    flags
}

/// The name itself, or with the first free number behind it.
fn unique(wanted: &str, taken: &BTreeSet<String>) -> String {
    let mut name = wanted.to_owned();
    let mut number = 0;
    while taken.contains(&name) {
        number += 1;
        name = format!("{wanted}_{number}");
    }
    name
}

/// Settles the name of the builder's directory, which no other builder may have, on any file system.
fn builddir(
    checker: &mut Checker<'_>,
    section: &Section<'_>,
    name: &Text,
    taken: &mut BTreeMap<String, (String, Span)>,
    def: &mut BuilderDef,
) {
    let given = checker.text(section, "builddir");
    let (dir, span) = if let Some(text) = given {
        if !is_directory_name(&text.value) {
            checker.error_help(
                "bad_path",
                text.span,
                format!(
                    "`{}` cannot be the name of a directory on every worker",
                    text.value
                ),
                Some("use one name without `/`, at most 100 bytes, not starting with a dot".to_owned()),
            );
            return;
        }
        (text.value, text.span)
    } else {
        let mut dir = directory_name(&name.value);
        // Names that differ only in what a directory cannot show, or lose characters, get a mark.
        if taken.contains_key(&dir.to_lowercase()) || dir.len() < name.value.len() {
            let mark = hex::encode(&Sha256::digest(name.value.as_bytes())[..4]);
            dir = format!("{dir}-{mark}");
        }
        (dir, name.span)
    };
    if let Some((other, first)) = taken.get(&dir.to_lowercase()) {
        let message = format!("directory of builder `{other}`");
        let first = *first;
        checker.error_related(
            "duplicate",
            span,
            format!("two builders cannot share the directory `{dir}`"),
            (first, &message),
            Some("give one of them another `builddir`".to_owned()),
        );
        return;
    }
    taken.insert(dir.to_lowercase(), (name.value.clone(), span));
    def.builddir = dir;
}

/// Whether a directory can have that name on every system that a worker runs on, and within a pattern for paths.
fn is_directory_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 100
        && !name.starts_with('.')
        && !name.ends_with([' ', '.'])
        && !name.contains(|c: char| c.is_control() || "/\\:*?[]\"<>|".contains(c))
}

/// A name as a directory name: letters, digits, `_` and `-` stay, the rest becomes `_`; at most 80 bytes.
fn directory_name(name: &str) -> String {
    name.chars()
        .take(80)
        .enumerate()
        .map(|(at, c)| {
            let stays = c.is_ascii_alphanumeric() || (c == '-' && at > 0);
            if stays { c } else { '_' }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_names_are_plain() {
        for (name, dir) in [
            ("test", "test"),
            ("zlib on linux", "zlib_on_linux"),
            ("a/../b.c", "a____b_c"),
            ("übersetzen", "_bersetzen"),
            ("-rf x-y", "_rf_x-y"),
        ] {
            assert_eq!(directory_name(name), dir);
        }
        assert_eq!(directory_name(&"x".repeat(255)).len(), 80);
    }

    #[test]
    fn equal_names_get_numbers() {
        let taken = ["shell", "shell_1"].map(String::from).into();
        assert_eq!(unique("shell", &taken), "shell_2");
        assert_eq!(unique("git", &taken), "git");
    }
}
