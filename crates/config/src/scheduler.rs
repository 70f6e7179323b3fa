//! The sections `[[scheduler]]` and `[[scheduler.field]]`.

use std::collections::{BTreeMap, BTreeSet};

use ironmaster_model::{
    ChangeFilter, Duration, ForceDef, ForceField, ForceFieldKind, SchedulerDef, SchedulerKind,
    definition::FixedSource,
};
use serde_json::Value;

use crate::{
    builder::Builders,
    checker::{Checker, Section, Span, Text},
    keys::{self, SectionKeys},
    pipeline::Pipelines,
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
    Triggerable,
    Force,
}

impl Type {
    const WORDS: [(&'static str, Type); 6] = [
        ("single_branch", Type::SingleBranch),
        ("any_branch", Type::AnyBranch),
        ("dependent", Type::Dependent),
        ("periodic", Type::Periodic),
        ("triggerable", Type::Triggerable),
        ("force", Type::Force),
    ];

    fn keys(self) -> &'static SectionKeys {
        match self {
            Type::SingleBranch | Type::AnyBranch => &keys::SCHEDULER_CHANGES,
            Type::Dependent => &keys::SCHEDULER_DEPENDENT,
            Type::Periodic => &keys::SCHEDULER_PERIODIC,
            Type::Triggerable => &keys::SCHEDULER_TRIGGERABLE,
            Type::Force => &keys::SCHEDULER_FORCE,
        }
    }
}

/// Reads all schedulers.
pub(crate) fn read(
    checker: &mut Checker<'_>,
    top: &Section<'_>,
    builders: &Builders,
    pipelines: &Pipelines,
) -> Schedulers {
    let mut schedulers = Schedulers::default();
    let mut upstreams: Vec<(String, Text)> = Vec::new();
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
                "write `type = \"single_branch\"`, `\"any_branch\"`, `\"dependent\"`, `\"periodic\"`, `\"triggerable\"` or `\"force\"`",
            );
        }
        if let Some(name) = &name {
            // A force scheduler's name is part of an address, so it is an identifier.
            if kind == Some(Type::Force) {
                checker.identifier("a force scheduler", name);
            } else {
                checker.any_name("a scheduler", name);
            }
        }
        let pipeline = pipeline_name(checker, &section, pipelines);
        let asked = if section.has("pipeline") {
            Vec::new()
        } else {
            builder_names(checker, &section, builders)
        };
        let priority = checker.integer(&section, "priority").unwrap_or(0);
        let properties = checker.json_table(&section, "properties");
        // Without a type nobody can say which keys are known.
        let Some(kind) = kind else { continue };
        section.keys.push(kind.keys());
        checker.unknown_keys(&section, &[]);
        let title = name.as_ref().map_or("", |name| name.value.as_str());
        let kind = match kind {
            Type::SingleBranch => {
                let (filter, tree_stable) = changes(checker, &section);
                one_branch(checker, &section, &filter);
                SchedulerKind::SingleBranch { filter, tree_stable }
            }
            Type::AnyBranch => {
                let (filter, tree_stable) = changes(checker, &section);
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
            Type::Periodic => periodic(checker, &section),
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
            Type::Force => SchedulerKind::Force(force(checker, &section, title)),
        };
        let change_filter = checker.function(&section, "change_filter");
        let Some(name) = name else { continue };
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
                properties,
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
        def.is_some_and(|def| matches!(def.kind, SchedulerKind::Triggerable { .. }))
    };
    for name in std::mem::take(&mut checker.triggered) {
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

fn changes(checker: &mut Checker<'_>, section: &Section<'_>) -> (ChangeFilter, Option<Duration>) {
    let mut branches: Vec<Text> = checker.text(section, "branch").into_iter().collect();
    if let (Some(one), Some(several)) = (section.key_span("branch"), section.key_span("branches")) {
        checker.error_related(
            "conflict",
            several,
            format!("{} has both `branch` and `branches`", section.what),
            (one, "first given here"),
            Some("keep `branches`".to_owned()),
        );
    }
    branches.extend(checker.texts(section, "branches").unwrap_or_default());
    let files = checker.text_or_texts(section, "files");
    let unimportant_files = checker.text_or_texts(section, "unimportant_files");
    for glob in branches.iter().chain(&files).chain(&unimportant_files) {
        checker.glob(glob);
    }
    let values = |texts: Vec<Text>| texts.into_iter().map(|text| text.value).collect::<Vec<_>>();
    let filter = ChangeFilter {
        branches: values(branches),
        repositories: values(checker.text_or_texts(section, "repository")),
        projects: values(checker.text_or_texts(section, "project")),
        categories: values(checker.text_or_texts(section, "category")),
        codebases: values(checker.text_or_texts(section, "codebase")),
        files: values(files),
        unimportant_files: values(unimportant_files),
        callback: section.has("change_filter"),
    };
    let tree_stable = checker
        .duration(section, "tree_stable")
        .filter(|duration| *duration > Duration::ZERO);
    (filter, tree_stable)
}

/// Warns when changes of several branches would be collected into one build.
fn one_branch(checker: &mut Checker<'_>, section: &Section<'_>, filter: &ChangeFilter) {
    let single = match filter.branches.as_slice() {
        [branch] => !branch.contains(['*', '?', '[', '{']),
        _ => false,
    };
    if single || !section.has("tree_stable") {
        return;
    }
    let key = ["branches", "branch", "type"]
        .into_iter()
        .find(|key| section.has(key))
        .unwrap_or("type");
    let span = section.get(key).map(|value| value.span).unwrap_or_default();
    checker.warning(
        "several_branches",
        span,
        format!(
            "{} collects changes of several branches into one build",
            section.what
        ),
        "take `type = \"any_branch\"`, which keeps branches apart, or name one `branch`",
    );
}

fn periodic(checker: &mut Checker<'_>, section: &Section<'_>) -> SchedulerKind {
    if !section.has("interval") {
        checker.missing(section, "interval", "write `interval = \"24h\"`");
    }
    let interval = checker
        .duration(section, "interval")
        .unwrap_or(Duration::from_secs(86_400));
    SchedulerKind::Periodic {
        interval,
        source: source(checker, section),
    }
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

fn force(checker: &mut Checker<'_>, section: &Section<'_>, title: &str) -> ForceDef {
    let mut text = |key: &str, default: &str| {
        checker
            .text(section, key)
            .map_or_else(|| default.to_owned(), |text| text.value)
    };
    let mut def = ForceDef {
        button: text("button", title),
        label: text("label", title),
        reason: text("reason", "force build"),
        reason_required: checker.boolean(section, "reason_required").unwrap_or(false),
        source: source(checker, section),
        fields: Vec::new(),
    };
    let mut places: BTreeMap<String, Span> = BTreeMap::new();
    for mut section in checker.sections(section.get("field"), "a field", &keys::FIELD) {
        let name = checker.text(&section, "name");
        match &name {
            Some(name) => {
                section.what = format!("field `{}`", name.value);
                checker.identifier("a field", name);
                if RESERVED.contains(&name.value.as_str()) {
                    checker.error_help(
                        "bad_name",
                        name.span,
                        format!("the form has a field `{}` already", name.value),
                        Some("give it another name".to_owned()),
                    );
                }
            }
            None if !section.has("name") => checker.missing(&section, "name", "write `name = \"target\"`"),
            None => {}
        }
        checker.unknown_keys(&section, &[]);
        let field = field(checker, &section, name.as_ref());
        if let Some(name) = &name
            && let Some(first) = places.insert(name.value.clone(), name.span)
        {
            checker.duplicate("field", name, first);
        }
        def.fields.extend(field);
    }
    def
}

/// Fields that every form has.
const RESERVED: &[&str] = &[
    "username",
    "reason",
    "priority",
    "branch",
    "project",
    "repository",
    "revision",
    "builderid",
    "builderNames",
    "owner",
];

fn field(checker: &mut Checker<'_>, section: &Section<'_>, name: Option<&Text>) -> Option<ForceField> {
    #[derive(Clone, Copy, PartialEq)]
    enum Word {
        String,
        Text,
        Int,
        Bool,
        Choice,
    }
    let word = checker.choice(
        section,
        "type",
        &[
            ("string", Word::String),
            ("text", Word::Text),
            ("int", Word::Int),
            ("bool", Word::Bool),
            ("choice", Word::Choice),
        ],
    );
    if !section.has("type") {
        checker.missing(section, "type", "write `type = \"string\"`");
    }
    let regex = checker.text(section, "regex");
    if let Some(text) = &regex
        && let Err(error) = regex::Regex::new(&text.value)
    {
        let reason = error.to_string();
        let reason = reason
            .lines()
            .last()
            .unwrap_or_default()
            .trim_start_matches("error: ");
        checker.error(
            "bad_regex",
            text.span,
            format!("`{}` is not a regular expression: {reason}", text.value),
        );
    }
    let choices = checker.texts(section, "choices");
    let strict = checker.boolean(section, "strict").unwrap_or(true);
    let required = checker.boolean(section, "required").unwrap_or(false);
    let tooltip = checker
        .text(section, "tooltip")
        .map(|text| text.value)
        .unwrap_or_default();
    let label = checker.text(section, "label").map(|text| text.value);
    let word = word?;
    let only_for = |checker: &mut Checker<'_>, key: &str, fits: bool, what: &str| {
        if let (false, Some(span)) = (fits, section.key_span(key)) {
            checker.error(
                "conflict",
                span,
                format!("`{key}` is only for fields of type {what}"),
            );
        }
    };
    only_for(
        checker,
        "regex",
        matches!(word, Word::String | Word::Text),
        "`string` and `text`",
    );
    only_for(checker, "choices", word == Word::Choice, "`choice`");
    only_for(checker, "strict", word == Word::Choice, "`choice`");
    let choices: Vec<String> = choices
        .unwrap_or_default()
        .into_iter()
        .map(|text| text.value)
        .collect();
    if word == Word::Choice {
        if choices.is_empty() {
            checker.missing(section, "choices", "write `choices = [\"a\", \"b\"]`");
        }
        let distinct: BTreeSet<_> = choices.iter().collect();
        if distinct.len() < choices.len() {
            let span = section.get("choices").map(|value| value.span).unwrap_or_default();
            checker.error("duplicate", span, "a choice is given twice");
        }
    }
    let default = match word {
        Word::String | Word::Text => Value::from(
            checker
                .text(section, "default")
                .map(|text| text.value)
                .unwrap_or_default(),
        ),
        Word::Int => Value::from(checker.integer(section, "default").unwrap_or(0)),
        Word::Bool => Value::from(checker.boolean(section, "default").unwrap_or(false)),
        Word::Choice => {
            let given = checker.text(section, "default");
            if let Some(text) = &given
                && strict
                && !choices.contains(&text.value)
            {
                let words: Vec<_> = choices.iter().map(String::as_str).collect();
                checker.not_a_choice("default", text, &words);
            }
            let first = choices.first().cloned().unwrap_or_default();
            Value::from(given.map_or(first, |text| text.value))
        }
    };
    let name = name?.value.clone();
    Some(ForceField {
        label: label.unwrap_or_else(|| name.clone()),
        name,
        kind: match word {
            Word::String => ForceFieldKind::String,
            Word::Text => ForceFieldKind::Text,
            Word::Int => ForceFieldKind::Int,
            Word::Bool => ForceFieldKind::Bool,
            Word::Choice => ForceFieldKind::Choice { choices, strict },
        },
        default,
        required,
        regex: regex.map(|text| text.value),
        tooltip,
    })
}
