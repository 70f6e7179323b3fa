//! The table `in_repository` of a pipeline: what jobs that stand in its repository may use.

use std::{collections::BTreeSet, path::Path};

use ironmaster_model::{Duration, InRepositoryDef, pipeline::in_repository::Grants};

use super::{Pipelines, Start, inline};
use crate::{
    builder::Builders,
    checker::{Checker, Section},
    keys,
    project::{self, Projects},
    suggest,
};

/// Where the jobs stand if nobody says.
const FILE: &str = ".ironmaster.toml";

pub(super) fn read(
    checker: &mut Checker<'_>,
    pipeline: &Section<'_>,
    title: &str,
    projects: &Projects,
    builders: &Builders,
    pipelines: &mut Pipelines,
    starts: &mut Vec<Start>,
) -> Option<InRepositoryDef> {
    let section = inline(checker, pipeline, "in_repository", &keys::IN_REPOSITORY)?;
    if let Some(span) = pipeline.key_span("job") {
        checker.error_related(
            "conflict",
            span,
            format!("the jobs of {} stand in its repository", pipeline.what),
            (section.span, "as this says"),
            Some("leave out one of them".to_owned()),
        );
    }
    let file = checker.text(&section, "file");
    if let Some(file) = &file {
        let plain = !file.value.is_empty()
            && !file.value.contains(['\\', ':', '\n', '\r', '\0'])
            && file.value.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !plain {
            checker.error_help(
                "bad_path",
                file.span,
                format!(
                    "`{}` is not the path of a file in a repository",
                    file.value.escape_debug()
                ),
                Some(format!(
                    "write it from the top of the repository, as in `file = \"{FILE}\"`"
                )),
            );
        }
        let ending = Path::new(&file.value).extension();
        if plain && !ending.is_some_and(|ending| ending == "toml" || ending == "star") {
            checker.error_help(
                "bad_path",
                file.span,
                format!("`{}` ends neither in `.toml` nor in `.star`", file.value),
                Some("what a file is called says how it is read".to_owned()),
            );
        }
    }
    let (repository, codebase) = repository(checker, &section, projects);
    let trusted_branches = checker.text_or_texts(&section, "trusted_branches");
    for glob in &trusted_branches {
        checker.glob(glob);
    }
    let mut grants = |checker: &mut Checker<'_>, [names, tags, others]: [&'static str; 3]| Grants {
        builders: granted_builders(checker, &section, names, tags, builders),
        pipelines: granted_pipelines(checker, &section, others, title, starts),
    };
    let granted = grants(checker, ["builders", "builder_tags", "pipelines"]);
    let granted_trusted = grants(
        checker,
        ["trusted_builders", "trusted_builder_tags", "trusted_pipelines"],
    );
    for key in ["trusted_builders", "trusted_builder_tags", "trusted_pipelines"] {
        if let (Some(span), false) = (section.key_span(key), section.has("trusted_branches")) {
            checker.error_help(
                "missing_key",
                span,
                format!("`{key}` is for trusted branches, and there are none"),
                Some("write `trusted_branches = [\"main\"]`".to_owned()),
            );
        }
    }
    let asked = granted.builders.iter().chain(&granted_trusted.builders);
    pipelines.asked.extend(asked.cloned());
    let started = granted.pipelines.iter().chain(&granted_trusted.pipelines);
    pipelines.started.extend(started.cloned());
    Some(InRepositoryDef {
        file: file.map_or_else(|| FILE.to_owned(), |file| file.value),
        repository,
        codebase,
        trusted_branches: trusted_branches.into_iter().map(|text| text.value).collect(),
        granted,
        granted_trusted,
        jobs_max: checker
            .integer(&section, "jobs")
            .and_then(|jobs| jobs.try_into().ok())
            .unwrap_or(100),
        patience: checker
            .duration(&section, "patience")
            .unwrap_or_else(|| Duration::from_secs(600)),
    })
}

/// The repository, and the code base.
fn repository(checker: &mut Checker<'_>, section: &Section<'_>, projects: &Projects) -> (String, String) {
    let repository = checker.text(section, "repository");
    let codebase = checker.text(section, "codebase");
    if let Some(repository) = &repository
        && (repository.value.is_empty() || repository.value.starts_with('-'))
    {
        checker.error(
            "bad_repository",
            repository.span,
            format!("`{}` is not a repository", repository.value),
        );
    }
    let known = codebase
        .as_ref()
        .and_then(|name| projects.codebases.get(&name.value));
    match (&repository, &codebase) {
        (None, Some(name)) if known.is_none() => {
            project::unknown(checker, "codebase", name, projects.codebases.keys());
        }
        (None, None) if !section.has("repository") && !section.has("codebase") => {
            checker.missing(
                section,
                "repository",
                "write `repository = \"https://git.example.org/zlib.git\"`, or name a `codebase`",
            );
        }
        _ => {}
    }
    let repository = repository
        .map(|text| text.value)
        .or_else(|| known.map(|known| known.repository.clone()));
    (
        repository.unwrap_or_default(),
        codebase.map(|text| text.value).unwrap_or_default(),
    )
}

fn granted_builders(
    checker: &mut Checker<'_>,
    section: &Section<'_>,
    names: &str,
    tags: &str,
    builders: &Builders,
) -> BTreeSet<String> {
    let mut granted = BTreeSet::new();
    for name in checker.texts(section, names).unwrap_or_default() {
        if !builders.defs.contains_key(&name.value) && !checker.broken {
            let help = suggest::help(&name.value, builders.defs.keys().map(String::as_str));
            checker.error_help(
                "unknown_builder",
                name.span,
                format!("there is no builder `{}`", name.value),
                help,
            );
        }
        granted.insert(name.value);
    }
    for tag in checker.texts(section, tags).unwrap_or_default() {
        let before = granted.len();
        let mut found = false;
        for (name, def) in &builders.defs {
            if def.tags.contains(&tag.value) {
                found = true;
                granted.insert(name.clone());
            }
        }
        if !found && before == granted.len() && !checker.broken {
            let known: BTreeSet<&str> = builders
                .defs
                .values()
                .flat_map(|def| &def.tags)
                .map(String::as_str)
                .collect();
            let help = suggest::help(&tag.value, known);
            checker.error_help(
                "unknown_tag",
                tag.span,
                format!("no builder has the tag `{}`", tag.value),
                help,
            );
        }
    }
    granted
}

/// A grant may be used, so it counts as a start where cycles are looked for.
fn granted_pipelines(
    checker: &mut Checker<'_>,
    section: &Section<'_>,
    names: &str,
    title: &str,
    starts: &mut Vec<Start>,
) -> BTreeSet<String> {
    let names = checker.texts(section, names).unwrap_or_default();
    names
        .into_iter()
        .map(|name| {
            starts.push(Start {
                from: title.to_owned(),
                to: name.value.clone(),
                place: name.span,
            });
            name.value
        })
        .collect()
}
