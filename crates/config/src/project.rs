//! The sections `[[project]]` and `[[codebase]]`.

use std::collections::BTreeMap;

use ironmaster_model::{CodebaseDef, ProjectDef};

use crate::{
    checker::{Checker, Section, Span, Text},
    keys::{self, SectionKeys},
    suggest,
};

/// The projects and code bases.
#[derive(Debug, Default)]
pub(crate) struct Projects {
    pub(crate) projects: BTreeMap<String, ProjectDef>,
    pub(crate) codebases: BTreeMap<String, CodebaseDef>,
}

/// Reads all of them.
pub(crate) fn read(checker: &mut Checker<'_>, top: &Section<'_>) -> Projects {
    let mut out = Projects::default();
    for (name, section) in named(checker, top, "project", "a project", &keys::PROJECT) {
        let def = ProjectDef {
            name: name.value.clone(),
            description: checker.text(&section, "description").map(|text| text.value),
            share: checker
                .integer(&section, "share")
                .and_then(|share| u32::try_from(share).ok())
                .unwrap_or(1),
        };
        out.projects.insert(name.value, def);
    }
    for (name, section) in named(checker, top, "codebase", "a code base", &keys::CODEBASE) {
        if !section.has("repository") {
            checker.missing(
                &section,
                "repository",
                "write `repository = \"https://git.example.org/zlib.git\"`",
            );
        }
        if !section.has("project") {
            checker.missing(
                &section,
                "project",
                "write `project = \"zlib\"`, and add a `[[project]]`",
            );
        }
        let def = CodebaseDef {
            name: name.value.clone(),
            project: project(checker, &section, &out.projects).unwrap_or_default(),
            repository: checker
                .text(&section, "repository")
                .map(|text| text.value)
                .unwrap_or_default(),
            branch: checker
                .text(&section, "branch")
                .map(|text| text.value)
                .filter(|branch| !branch.is_empty()),
        };
        out.codebases.insert(name.value, def);
    }
    out
}

/// The sections of one sort that have a name, each name once.
fn named<'t>(
    checker: &mut Checker<'_>,
    top: &Section<'t>,
    key: &str,
    what: &str,
    keys: &'static SectionKeys,
) -> Vec<(Text, Section<'t>)> {
    let mut out: Vec<(Text, Section<'t>)> = Vec::new();
    let mut places: BTreeMap<String, Span> = BTreeMap::new();
    let noun = what.trim_start_matches("a ");
    for mut section in checker.sections(top.get(key), what, keys) {
        let name = checker.text(&section, "name");
        if let Some(name) = &name {
            section.what = format!("{noun} `{}`", name.value);
            checker.identifier(what, name);
        } else if !section.has("name") {
            checker.missing(&section, "name", "write `name = \"zlib\"`");
        }
        checker.unknown_keys(&section, &[]);
        let Some(name) = name else { continue };
        match places.insert(name.value.clone(), name.span) {
            Some(first) => checker.duplicate(noun, &name, first),
            None => out.push((name, section)),
        }
    }
    out
}

/// The project that a section names.
pub(crate) fn project(
    checker: &mut Checker<'_>,
    section: &Section<'_>,
    projects: &BTreeMap<String, ProjectDef>,
) -> Option<String> {
    let name = checker.text(section, "project")?;
    if !projects.contains_key(&name.value) {
        unknown(checker, "project", &name, projects.keys());
    }
    Some(name.value)
}

/// Reports a name that nothing has.
pub(crate) fn unknown<'n>(
    checker: &mut Checker<'_>,
    what: &str,
    name: &Text,
    known: impl Iterator<Item = &'n String>,
) {
    if checker.broken {
        return;
    }
    let help = suggest::help(&name.value, known.map(String::as_str));
    let code = if what == "project" {
        "unknown_project"
    } else {
        "unknown_codebase"
    };
    checker.error_help(
        code,
        name.span,
        format!("there is no {what} `{}`", name.value),
        help,
    );
}
