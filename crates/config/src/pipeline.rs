//! The sections `[[pipeline]]` and `[[pipeline.job]]`.

mod added;
mod cycles;
mod in_repository;
mod matrix;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ironmaster_model::{
    InRepositoryDef, JobDef, PipelineDef, Results,
    pipeline::{
        ApprovalDef, ConcurrencyDef, ConditionDef, FailureClass, JobWork, NeedsOn, RetryDef, WhenFull,
        graph::{self, GraphError},
    },
};
use serde_json::Value;

pub use added::{JOBS_FILE_BYTES_MAX, read_jobs};
use cycles::cycles;
use matrix::{exclude, matrix};

use crate::{
    builder::Builders,
    checker::{Checker, Section, Span, Text},
    keys::{self, SectionKeys},
    project::Projects,
    suggest,
};

/// The pipelines, with the places of their names.
#[derive(Debug, Default)]
pub(crate) struct Pipelines {
    pub(crate) defs: BTreeMap<String, Arc<PipelineDef>>,
    pub(crate) places: BTreeMap<String, Span>,
    /// Builders that some job asks.
    pub(crate) asked: BTreeSet<String>,
    /// Pipelines that some job starts.
    pub(crate) started: BTreeSet<String>,
}

/// A job that starts a pipeline: in which, which, and where it says so.
struct Start {
    from: String,
    to: String,
    place: Span,
}

/// Reads all pipelines.
pub(crate) fn read(
    checker: &mut Checker<'_>,
    top: &Section<'_>,
    projects: &Projects,
    builders: &Builders,
) -> Pipelines {
    let mut pipelines = Pipelines::default();
    let mut starts: Vec<Start> = Vec::new();
    for mut section in checker.sections(top.get("pipeline"), "a pipeline", &keys::PIPELINE) {
        let name = checker.text(&section, "name");
        if let Some(name) = &name {
            section.what = format!("pipeline `{}`", name.value);
            checker.any_name("a pipeline", name);
        } else if !section.has("name") {
            checker.missing(&section, "name", "write `name = \"release\"`");
        }
        checker.unknown_keys(&section, &[]);
        let title = name.as_ref().map_or("", |name| name.value.as_str()).to_owned();
        let in_repository = in_repository::read(
            checker,
            &section,
            &title,
            projects,
            builders,
            &mut pipelines,
            &mut starts,
        );
        let jobs = if section.has("in_repository") {
            Vec::new()
        } else {
            own_jobs(checker, &section, &title, builders, &mut pipelines, &mut starts)
        };
        let def = PipelineDef {
            name: title,
            description: checker.text(&section, "description").map(|text| text.value),
            project: checker
                .text(&section, "project")
                .map(|text| text.value)
                .unwrap_or_default(),
            jobs,
            in_repository,
            properties: checker.json_table(&section, "properties"),
            timeout: checker.duration(&section, "timeout"),
            cancel_superseded: checker.boolean(&section, "cancel_superseded").unwrap_or(false),
            concurrency: concurrency(checker, &section),
        };
        let Some(name) = name else { continue };
        if let Some(first) = pipelines.places.get(&name.value) {
            let first = *first;
            checker.duplicate("pipeline", &name, first);
            continue;
        }
        pipelines.places.insert(name.value.clone(), name.span);
        pipelines.defs.insert(name.value, Arc::new(def));
    }
    cycles(checker, &pipelines, &starts);
    pipelines
}

/// A table inside a section.
fn inline<'t>(
    checker: &mut Checker<'_>,
    section: &Section<'t>,
    key: &str,
    keys: &'static SectionKeys,
) -> Option<Section<'t>> {
    let what = format!("`{key}` of {}", section.what);
    let inside = checker.as_section(section.get(key)?, &what, keys)?;
    checker.unknown_keys(&inside, &[]);
    Some(inside)
}

fn concurrency(checker: &mut Checker<'_>, pipeline: &Section<'_>) -> Option<ConcurrencyDef> {
    let section = inline(checker, pipeline, "concurrency", &keys::CONCURRENCY)?;
    if !section.has("group") {
        checker.missing(&section, "group", "write `group = \"deploy\"`");
    }
    let group = checker.text(&section, "group")?;
    checker.template(&group);
    if group.value.is_empty() {
        checker.error("empty", group.span, "`group` is empty");
    }
    let words = [
        ("queue", WhenFull::Queue),
        ("cancel_older", WhenFull::CancelOlder),
    ];
    Some(ConcurrencyDef {
        group: group.value,
        limit: checker
            .integer(&section, "limit")
            .and_then(|limit| limit.try_into().ok())
            .unwrap_or(1),
        when_full: checker.choice(&section, "when_full", &words).unwrap_or_default(),
    })
}

/// What jobs may name.
pub(crate) enum May<'a> {
    /// Every builder that there is. Pipelines are looked at when all of them are known.
    All(&'a Builders),
    /// What the jobs of a repository are granted.
    Granted(Granted<'a>),
}

/// What the jobs of a repository are granted.
pub(crate) struct Granted<'a> {
    pub(crate) grants: &'a InRepositoryDef,
    pub(crate) trusted: bool,
}

impl May<'_> {
    /// Why a job may not do that: with which key it says so, a code, words and help.
    fn refuse(&self, work: &JobWork) -> Option<(&'static str, &'static str, String, Option<String>)> {
        match (self, work) {
            (May::All(builders), JobWork::Build { builder }) => {
                let help = || suggest::help(builder, builders.defs.keys().map(String::as_str));
                (!builders.defs.contains_key(builder)).then(|| {
                    let message = format!("there is no builder `{builder}`");
                    ("builder", "unknown_builder", message, help())
                })
            }
            (May::All(_), _) | (_, JobWork::Gate) => None,
            (May::Granted(Granted { grants, trusted }), JobWork::Build { builder }) => {
                let message = grants.refuse_work(work, *trusted)?;
                let help = suggest::help(builder, grants.builders(*trusted));
                Some(("builder", "not_granted", message, help))
            }
            (May::Granted(Granted { grants, trusted }), JobWork::Pipeline { pipeline, .. }) => {
                let message = grants.refuse_work(work, *trusted)?;
                let help = suggest::help(pipeline, grants.pipelines(*trusted));
                Some(("pipeline", "not_granted", message, help))
            }
        }
    }
}

/// The jobs of a pipeline of the configuration.
fn own_jobs(
    checker: &mut Checker<'_>,
    pipeline: &Section<'_>,
    title: &str,
    builders: &Builders,
    pipelines: &mut Pipelines,
    starts: &mut Vec<Start>,
) -> Vec<JobDef> {
    let help = checker.spelling.pick(
        "add `[[pipeline.job]]` with `name = \"test\"` and `builder = \"NAME\"`",
        "write `jobs = [job(\"test\", builder = \"NAME\")]`",
    );
    let (defs, places) = jobs(checker, pipeline, &keys::JOB, help, &May::All(builders));
    let Ok(planned) = graph::plan(&defs, &[]) else {
        return defs;
    };
    let mut told: BTreeSet<(String, String)> = BTreeSet::new();
    for job in planned.jobs {
        let at = defs.iter().position(|def| def.name == job.group);
        match (&job.definition.work, at.and_then(|at| places.get(at))) {
            (JobWork::Build { builder }, _) => {
                pipelines.asked.insert(builder.clone());
            }
            (JobWork::Pipeline { pipeline, .. }, Some(section)) => {
                pipelines.started.insert(pipeline.clone());
                if told.insert((job.group, pipeline.clone())) {
                    starts.push(Start {
                        from: title.to_owned(),
                        to: pipeline.clone(),
                        place: section.value_span("pipeline"),
                    });
                }
            }
            _ => {}
        }
    }
    defs
}

/// The jobs of a list of sections, with the places of those that have a name.
pub(crate) fn jobs<'t>(
    checker: &mut Checker<'_>,
    pipeline: &Section<'t>,
    keys: &'static SectionKeys,
    help: &str,
    may: &May<'_>,
) -> (Vec<JobDef>, Vec<Section<'t>>) {
    let sections = checker.sections(pipeline.get("job"), "a job", keys);
    let nothing = pipeline
        .get("job")
        .is_none_or(|jobs| jobs.as_list().is_some_and(<[_]>::is_empty));
    if nothing {
        checker.missing(pipeline, "job", help);
    }
    let (defs, places, complete) = named(checker, sections, &format!(" of {}", pipeline.what));
    // A small file can be a thousand times itself.
    let foreign = matches!(may, May::Granted(_));
    if !complete || (foreign && added::too_much(checker, &defs, &places)) {
        return (defs, places);
    }
    match graph::plan(&defs, &[]) {
        Ok(planned) => {
            let mut told: BTreeSet<(String, String)> = BTreeSet::new();
            for job in planned.jobs {
                let Some(section) = defs
                    .iter()
                    .position(|def| def.name == job.group)
                    .and_then(|at| places.get(at))
                else {
                    continue;
                };
                let refused = may.refuse(&job.definition.work);
                if let Some((key, code, message, help)) = refused
                    && !checker.broken
                    && told.insert((job.group, message.clone()))
                {
                    checker.error_help(code, section.value_span(key), message, help);
                }
            }
        }
        Err(errors) => {
            for error in errors {
                if let Some(section) = places.get(error.job()) {
                    report(checker, section, &defs[error.job()], &error);
                }
            }
        }
    }
    (defs, places)
}

/// Reads jobs with their names: those that have one, with their places, and whether that is all of them. `of` is said behind
/// `job 1`.
fn named<'t>(
    checker: &mut Checker<'_>,
    sections: Vec<Section<'t>>,
    of: &str,
) -> (Vec<JobDef>, Vec<Section<'t>>, bool) {
    let mut places: Vec<Section<'t>> = Vec::new();
    let mut defs: Vec<JobDef> = Vec::new();
    let mut complete = true;
    for (index, mut section) in sections.into_iter().enumerate() {
        section.what = format!("job {}{of}", index + 1);
        let name = checker.text(&section, "name");
        if let Some(name) = &name {
            checker.any_name("a job", name);
            section.what = format!("job `{}`{of}", name.value);
        } else {
            complete = false;
            if !section.has("name") {
                checker.missing(&section, "name", "write `name = \"test\"`");
            }
        }
        checker.unknown_keys(&section, &[]);
        let def = job(checker, &section);
        if let Some(name) = name {
            defs.push(JobDef {
                name: name.value,
                ..def
            });
            places.push(section);
        }
    }
    (defs, places, complete)
}

/// Reports what is wrong with the jobs taken together.
fn report(checker: &mut Checker<'_>, section: &Section<'_>, def: &JobDef, error: &GraphError) {
    // What is written in the wrong part may be there.
    if checker.broken {
        return;
    }
    let item = |key: &str, wanted: &str| {
        section
            .get(key)
            .and_then(|node| node.as_list())
            .and_then(|items| items.iter().find(|item| item.as_str() == Some(wanted)))
            .map_or_else(|| section.value_span(key), |item| item.span)
    };
    let (code, span, help) = match error {
        GraphError::Duplicate { .. } => ("duplicate", section.value_span("name"), None),
        GraphError::UnknownNeed { key, need, names, .. } => {
            let names: BTreeSet<&str> = names
                .iter()
                .map(String::as_str)
                .filter(|name| *name != def.name)
                .collect();
            ("unknown_job", item(key, need), suggest::help(need, names))
        }
        GraphError::NotNeeded { need, .. } => (
            "unknown_job",
            section.value_span(if section.has("when") { "when" } else { "unless" }),
            Some(format!("add `{need}` to its `needs`")),
        ),
        GraphError::BadTemplate { .. } => (
            "bad_interpolation",
            section.span,
            Some("name an axis of its `matrix`".to_owned()),
        ),
        GraphError::EmptyMatrix { .. } => ("empty", section.value_span("matrix"), None),
        GraphError::Cycle { .. } => (
            "cycle",
            section.value_span("needs"),
            Some("one of them has to do without the other".to_owned()),
        ),
        GraphError::TooMany { .. } | GraphError::TooLate { .. } => ("too_many", section.span, None),
    };
    let message = match error {
        // A long way round is not read by anybody.
        GraphError::Cycle { path, .. } if path.len() > 10 => format!(
            "{} jobs need one another: {} needs … needs {}",
            path.len() - 1,
            path[..3].join(" needs "),
            path[0]
        ),
        other => other.to_string(),
    };
    checker.error_help(code, span, message, help);
}

/// Reads one job; its name is the caller's affair.
fn job(checker: &mut Checker<'_>, section: &Section<'_>) -> JobDef {
    let texts = |checker: &mut Checker<'_>, key: &str| -> Vec<String> {
        let texts = checker.texts(section, key).unwrap_or_default();
        texts.into_iter().map(|text| text.value).collect()
    };
    let builder = checker.text(section, "builder");
    let pipeline = checker.text(section, "pipeline");
    let wait = checker.boolean(section, "wait");
    if let (Some(_), Some(pipeline)) = (&builder, &pipeline) {
        checker.error_help(
            "conflict",
            pipeline.span,
            format!("{} has a `builder` already", section.what),
            Some("make two jobs of it".to_owned()),
        );
    }
    if let (Some(span), None) = (section.key_span("wait"), &pipeline) {
        checker.error("conflict", span, "`wait` is only for jobs with a `pipeline`");
    }
    let work = match (builder, pipeline) {
        (Some(builder), _) => JobWork::Build {
            builder: builder.value,
        },
        (None, Some(pipeline)) => JobWork::Pipeline {
            pipeline: pipeline.value,
            wait: wait.unwrap_or(true),
        },
        (None, None) => JobWork::Gate,
    };
    let needs_on = checker
        .choice(section, "needs_on", &NeedsOn::WORDS)
        .unwrap_or_default();
    let percent = checker.integer(section, "needs_percent");
    if let (Some(span), true) = (section.key_span("needs_percent"), needs_on != NeedsOn::Success) {
        checker.error(
            "conflict",
            span,
            "`needs_percent` is only for jobs with `needs_on = \"success\"`",
        );
    }
    let when = condition(checker, section, "when");
    let unless = condition(checker, section, "unless");
    let matrix = matrix(checker, section);
    let matrix_exclude = exclude(checker, section, &matrix);
    JobDef {
        name: String::new(),
        work,
        needs: texts(checker, "needs"),
        needed_by: texts(checker, "needed_by"),
        needs_on,
        needs_share: percent.and_then(|percent| u32::try_from(percent * 10).ok()),
        when,
        unless,
        matrix,
        matrix_exclude,
        optional: checker.boolean(section, "optional").unwrap_or(false),
        approval: approval(checker, section),
        expires: checker.duration(section, "expires"),
        timeout: checker.duration(section, "timeout"),
        retry: retry(checker, section),
        properties: checker.json_table(section, "properties"),
        outputs: texts(checker, "outputs"),
        priority: checker.integer(section, "priority"),
    }
}

/// The names of those who can approve and reject, as long as there are no accounts: who logs in with the administrator's token,
/// and who calls through the socket of the state directory.
const LOGINS: [&str; 2] = ["admin", "local"];

fn approval(checker: &mut Checker<'_>, job: &Section<'_>) -> Option<ApprovalDef> {
    let section = inline(checker, job, "approval", &keys::APPROVAL)?;
    let users = checker.texts(&section, "users").unwrap_or_default();
    for user in &users {
        if !LOGINS.contains(&user.value.as_str()) {
            checker.warning(
                "unknown_user",
                user.span,
                format!("nobody can log in as `{}`", user.value),
                "the one login is the administrator's: `admin`, or `local` through the socket in the state directory; without \
                 `users` whoever may control the master decides",
            );
        }
    }
    Some(ApprovalDef {
        prompt: checker
            .text(&section, "prompt")
            .map(|text| text.value)
            .unwrap_or_default(),
        users: users.into_iter().map(|text| text.value).collect(),
    })
}

fn retry(checker: &mut Checker<'_>, job: &Section<'_>) -> Option<RetryDef> {
    let section = inline(checker, job, "retry", &keys::RETRY)?;
    if !section.has("limit") {
        checker.missing(&section, "limit", "write `limit = 2`");
    }
    let limit = checker.integer(&section, "limit").unwrap_or(1);
    let mut on = Vec::new();
    match checker.texts(&section, "on") {
        None => on.push(FailureClass::Any),
        Some(texts) => {
            for text in texts {
                if let Some((_, class)) = FailureClass::WORDS.iter().find(|(word, _)| *word == text.value) {
                    on.push(*class);
                } else {
                    let words: Vec<&str> = FailureClass::WORDS.iter().map(|(word, _)| *word).collect();
                    checker.not_a_choice("on", &text, &words);
                }
            }
        }
    }
    Some(RetryDef {
        limit: limit.try_into().unwrap_or(1),
        on,
    })
}

fn condition(checker: &mut Checker<'_>, job: &Section<'_>, key: &str) -> Option<ConditionDef> {
    let section = inline(checker, job, key, &keys::WHEN)?;
    let globs = |checker: &mut Checker<'_>, key: &str| -> Vec<String> {
        let texts = checker.text_or_texts(&section, key);
        texts
            .into_iter()
            .map(|text| {
                checker.glob(&text);
                text.value
            })
            .collect()
    };
    let branches = globs(checker, "branch");
    let files = globs(checker, "files");
    let properties = checker
        .json_table(&section, "properties")
        .into_iter()
        .map(|(name, value)| match value {
            Value::Array(values) => (name, values),
            value => (name, vec![value]),
        })
        .collect();
    let mut results = BTreeMap::new();
    if let Some(table) = section.get("results").and_then(|node| node.as_table()) {
        for entry in &table.entries {
            results.insert(entry.name.clone(), words(checker, &entry.name, &entry.node));
        }
    } else {
        // Anything else is told to be no table.
        checker.json_table(&section, "results");
    }
    Some(ConditionDef {
        branches,
        files,
        properties,
        results,
    })
}

/// One result or several, by their words.
fn words(checker: &mut Checker<'_>, key: &str, node: &crate::tree::Node) -> Vec<Results> {
    let texts = match node.as_str() {
        Some(text) => vec![Text {
            value: text.to_owned(),
            span: node.span,
        }],
        None => checker.texts_value(key, node).unwrap_or_default(),
    };
    let known: Vec<Results> = Results::ALL
        .into_iter()
        .filter(|results| *results != Results::Retry)
        .collect();
    texts
        .into_iter()
        .filter_map(|text| {
            let found = known.iter().find(|results| results.word() == text.value);
            if found.is_none() {
                let words: Vec<&str> = known.iter().map(|results| results.word()).collect();
                checker.not_a_choice(key, &text, &words);
            }
            found.copied()
        })
        .collect()
}
