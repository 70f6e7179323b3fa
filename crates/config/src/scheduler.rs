//! The sections `[[scheduler]]` and `[[scheduler.field]]`.

mod codebases;
mod filter;
mod force;
mod timed;
mod tries;

pub(crate) use timed::zone;

use std::collections::BTreeMap;

use ironmaster_model::{SchedulerDef, SchedulerKind, definition::FixedSource};

use crate::{
    builder::Builders,
    builder::unless_function,
    checker::{Checker, Section, Span, Text},
    keys::{self, SectionKeys},
    pipeline::Pipelines,
    project::Projects,
    suggest,
};

/// The schedulers, with the places of their names.
#[derive(Debug, Default)]
pub(crate) struct Schedulers {
    pub(crate) defs: BTreeMap<String, SchedulerDef>,
    pub(crate) places: BTreeMap<String, Span>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    SingleBranch,
    AnyBranch,
    Dependent,
    Periodic,
    Nightly,
    Triggerable,
    NightlyTriggerable,
    Force,
    Try,
}

impl Type {
    const WORDS: [(&'static str, Type); 9] = [
        ("single_branch", Type::SingleBranch),
        ("any_branch", Type::AnyBranch),
        ("dependent", Type::Dependent),
        ("periodic", Type::Periodic),
        ("nightly", Type::Nightly),
        ("triggerable", Type::Triggerable),
        ("nightly_triggerable", Type::NightlyTriggerable),
        ("force", Type::Force),
        ("try", Type::Try),
    ];

    fn keys(self) -> &'static [&'static SectionKeys] {
        Self::WORDS
            .iter()
            .zip(keys::SCHEDULER_TYPES)
            .find(|((_, ty), _)| *ty == self)
            .map_or(&[], |(_, (_, keys))| keys)
    }
}

/// Reads all schedulers.
pub(crate) fn read(
    checker: &mut Checker<'_>,
    top: &Section<'_>,
    projects: &Projects,
    builders: &Builders,
    pipelines: &Pipelines,
) -> Schedulers {
    let mut schedulers = Schedulers::default();
    let mut upstreams: Vec<(String, Text)> = Vec::new();
    let mut jobdirs = BTreeMap::new();
    for mut section in checker.sections(top.get("scheduler"), "a scheduler", &keys::SCHEDULER) {
        let name = checker.text(&section, "name");
        if let Some(name) = &name {
            section.what = format!("scheduler `{}`", name.value);
        } else if !section.has("name") {
            checker.missing(&section, "name", "write `name = \"on-commit\"`");
        }
        let kind = checker.choice(&section, "type", &Type::WORDS);
        if !section.has("type") {
            checker.missing(
                &section,
                "type",
                "write `type = \"single_branch\"`, `\"any_branch\"`, `\"dependent\"`, `\"nightly\"`, `\"triggerable\"` or `\"force\"`",
            );
        }
        if let Some(name) = &name {
            // These names are parts of addresses, so they are identifiers.
            match kind {
                Some(Type::Force) => checker.identifier("a force scheduler", name),
                Some(Type::Try) => checker.identifier("a try scheduler", name),
                _ => checker.any_name("a scheduler", name),
            }
        }
        let pipeline = pipeline_name(checker, &section, pipelines);
        let asked = if section.has("pipeline") {
            Vec::new()
        } else {
            builder_names(checker, &section, builders)
        };
        let by_function = checker.function_instead(&section, "priority", &["request"]);
        let priority = unless_function(&section, "priority")
            .and_then(|()| checker.integer(&section, "priority"))
            .unwrap_or(0);
        let properties = checker.json_table(&section, "properties");
        // Without a type nobody can say which keys are known.
        let Some(kind) = kind else { continue };
        section.keys.extend(kind.keys());
        checker.unknown_keys(&section, &[]);
        let title = name.as_ref().map_or("", |name| name.value.as_str());
        // Of those that changes set off, these keys say what is heard.
        let names_a_source = !matches!(kind, Type::SingleBranch | Type::AnyBranch);
        let together = codebases::read(checker, &section, &projects.codebases, names_a_source);
        let kind = match kind {
            Type::SingleBranch => {
                let (filter, tree_stable) = filter::changes(checker, &section);
                filter::one_branch(checker, &section, &filter);
                SchedulerKind::SingleBranch { filter, tree_stable }
            }
            Type::AnyBranch => {
                let (filter, tree_stable) = filter::changes(checker, &section);
                SchedulerKind::AnyBranch { filter, tree_stable }
            }
            Type::Dependent => {
                if !section.has("upstream") {
                    checker.missing(&section, "upstream", "write `upstream = \"on-commit\"`");
                }
                let upstream = checker.text(&section, "upstream");
                upstreams.extend(
                    upstream
                        .as_ref()
                        .map(|upstream| (title.to_owned(), upstream.clone())),
                );
                SchedulerKind::Dependent {
                    upstream: upstream.map(|text| text.value).unwrap_or_default(),
                }
            }
            Type::Periodic => timed::periodic(checker, &section),
            Type::Nightly => SchedulerKind::Nightly(timed::nightly(checker, &section)),
            Type::NightlyTriggerable => SchedulerKind::NightlyTriggerable(timed::nightly(checker, &section)),
            Type::Triggerable if pipeline.is_some() => {
                checker.error_help(
                    "conflict",
                    section.value_span("pipeline"),
                    "a step cannot trigger a pipeline",
                    Some("make the step a job of a pipeline, and let another job start this one".to_owned()),
                );
                continue;
            }
            Type::Triggerable => SchedulerKind::Triggerable {
                source: source(checker, &section),
            },
            Type::Force => SchedulerKind::Force(force::force(checker, &section, title, &together)),
            Type::Try => SchedulerKind::Try(tries::tries(checker, &section, title, &mut jobdirs)),
        };
        let change_filter = checker.placed_function(&section, "change_filter", &["change"]);
        let Some(name) = name else { continue };
        let asks_priority = by_function.is_some();
        if let Some(function) = by_function {
            checker.priorities.insert(name.value.clone(), function);
        }
        if let Some(function) = change_filter {
            checker.change_filters.insert(name.value.clone(), function);
        }
        if let Some(first) = schedulers.places.get(&name.value) {
            let first = *first;
            checker.duplicate("scheduler", &name, first);
            continue;
        }
        schedulers.places.insert(name.value.clone(), name.span);
        schedulers.defs.insert(
            name.value.clone(),
            SchedulerDef {
                name: name.value,
                builders: asked,
                pipeline,
                priority,
                asks_priority,
                properties,
                codebases: together,
                kind,
            },
        );
    }
    dependencies(checker, &schedulers, &upstreams);
    triggered(checker, &schedulers);
    schedulers
}

/// Whatever a step triggers exists and can be triggered.
fn triggered(checker: &mut Checker<'_>, schedulers: &Schedulers) {
    let triggerable = |name: &&String| {
        let def = schedulers.defs.get(*name);
        def.is_some_and(|def| {
            matches!(
                def.kind,
                SchedulerKind::Triggerable { .. } | SchedulerKind::NightlyTriggerable(_)
            )
        })
    };
    let named = std::mem::take(&mut checker.triggered);
    for name in schedulers.defs.keys().filter(triggerable) {
        if !named.iter().any(|step| step.value == *name) && !checker.broken {
            let place = schedulers.places.get(name).copied().unwrap_or_default();
            checker.warning(
                "never_triggered",
                place,
                format!("no step triggers scheduler `{name}`, so it never builds"),
                "name it in the `schedulers` of a step of type `trigger`, or leave it out",
            );
        }
    }
    for name in named {
        if triggerable(&&name.value) || checker.broken {
            continue;
        }
        let (problem, help) = if schedulers.defs.contains_key(&name.value) {
            (
                format!("scheduler `{}` cannot be triggered", name.value),
                Some("give it `type = \"triggerable\"`".to_owned()),
            )
        } else {
            let known = schedulers.defs.keys().filter(triggerable).map(String::as_str);
            (
                format!("there is no scheduler `{}`", name.value),
                suggest::help(&name.value, known),
            )
        };
        checker.error_help("unknown_scheduler", name.span, problem, help);
    }
}

/// Whatever a scheduler depends on exists, and none depends on itself.
fn dependencies(checker: &mut Checker<'_>, schedulers: &Schedulers, upstreams: &[(String, Text)]) {
    let above: BTreeMap<&str, &str> = upstreams
        .iter()
        .map(|(name, upstream)| (name.as_str(), upstream.value.as_str()))
        .collect();
    for (name, upstream) in upstreams {
        if !schedulers.defs.contains_key(&upstream.value) {
            if !checker.broken {
                let help = suggest::help(&upstream.value, schedulers.defs.keys().map(String::as_str));
                checker.error_help(
                    "unknown_scheduler",
                    upstream.span,
                    format!("there is no scheduler `{}`", upstream.value),
                    help,
                );
            }
            continue;
        }
        // Each has one upstream at most, so a cycle is found by walking up, and not further than there are schedulers.
        let mut path = vec![name.as_str()];
        let mut at = upstream.value.as_str();
        while at != name && path.len() <= above.len() {
            path.push(at);
            match above.get(at) {
                Some(next) => at = next,
                None => break,
            }
        }
        if at == name {
            path.push(at);
            checker.error_help(
                "cycle",
                upstream.span,
                format!("scheduler `{name}` follows itself: {}", path.join(" follows ")),
                Some("one of them has to be set off by something else".to_owned()),
            );
        }
    }
}

/// The pipeline that it starts in place of builders.
fn pipeline_name(checker: &mut Checker<'_>, section: &Section<'_>, pipelines: &Pipelines) -> Option<String> {
    let name = checker.text(section, "pipeline")?;
    if let Some(builders) = section.key_span("builders") {
        checker.error_related(
            "conflict",
            builders,
            format!("{} starts a pipeline, so it asks no builders", section.what),
            (name.span, "the pipeline"),
            Some("leave out one of them".to_owned()),
        );
    }
    if !pipelines.defs.contains_key(&name.value) && !checker.broken {
        let help = suggest::help(&name.value, pipelines.defs.keys().map(String::as_str));
        checker.error_help(
            "unknown_pipeline",
            name.span,
            format!("there is no pipeline `{}`", name.value),
            help,
        );
    }
    Some(name.value)
}

/// The builders it asks, each once, in the order given.
fn builder_names(checker: &mut Checker<'_>, section: &Section<'_>, builders: &Builders) -> Vec<String> {
    let Some(texts) = checker.texts(section, "builders") else {
        if !section.has("builders") {
            checker.missing(
                section,
                "builders",
                "write `builders = [\"NAME\"]`, or `[\"*\"]` for all",
            );
        }
        return Vec::new();
    };
    if texts.is_empty() {
        let span = section
            .get("builders")
            .map(|value| value.span)
            .unwrap_or_default();
        checker.error_help(
            "empty",
            span,
            format!("{} asks no builder", section.what),
            Some("name some, or write `[\"*\"]` for all".to_owned()),
        );
    }
    let mut names: Vec<String> = Vec::new();
    for text in &texts {
        if text.value == "*" {
            for name in builders.defs.keys() {
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
        } else if builders.defs.contains_key(&text.value) {
            if !names.contains(&text.value) {
                names.push(text.value.clone());
            }
        } else if !checker.broken {
            let help = suggest::help(&text.value, builders.defs.keys().map(String::as_str));
            checker.error_help(
                "unknown_builder",
                text.span,
                format!("there is no builder `{}`", text.value),
                help,
            );
        }
    }
    names
}

fn source(checker: &mut Checker<'_>, section: &Section<'_>) -> FixedSource {
    let mut text = |key: &str| checker.text(section, key).map(|text| text.value);
    FixedSource {
        branch: text("branch").filter(|branch| !branch.is_empty()),
        repository: text("repository").unwrap_or_default(),
        project: text("project").unwrap_or_default(),
        codebase: text("codebase").unwrap_or_default(),
    }
}
