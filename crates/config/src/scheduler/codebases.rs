//! Code bases that a scheduler builds together.

use std::collections::BTreeMap;

use ironmaster_model::{CodebaseDef, CodebaseUse, FixedSource};

use crate::{
    checker::{Checker, Section, Text},
    project,
};

/// Reads `codebases` with what goes with it.
pub(super) fn read(
    checker: &mut Checker<'_>,
    section: &Section<'_>,
    known: &BTreeMap<String, CodebaseDef>,
    names_a_source: bool,
) -> Vec<CodebaseUse> {
    let names = checker.texts(section, "codebases").unwrap_or_default();
    if let (Some(span), true) = (section.key_span("codebases"), names_a_source)
        && let Some(key) = ["branch", "repository", "project", "codebase"]
            .into_iter()
            .find(|key| section.has(key))
    {
        let other = section.key_span(key).unwrap_or(span);
        checker.error_related(
            "conflict",
            other,
            format!("{} has both `codebases` and `{key}`", section.what),
            (span, "first given here"),
            Some("say it in `[[codebase]]`, or in `codebase_branches`".to_owned()),
        );
    }
    let branches = table(checker, section, "codebase_branches", &names);
    let pinned = table(checker, section, "pinned", &names);
    let mut uses: Vec<CodebaseUse> = Vec::new();
    for name in &names {
        let Some(codebase) = known.get(&name.value) else {
            project::unknown(checker, "code base", name, known.keys());
            continue;
        };
        if uses.iter().any(|of| of.source.codebase == name.value) {
            checker.error(
                "duplicate",
                name.span,
                format!("code base `{}` is given twice", name.value),
            );
            continue;
        }
        uses.push(CodebaseUse {
            source: FixedSource {
                branch: branches
                    .get(&name.value)
                    .cloned()
                    .or_else(|| codebase.branch.clone()),
                repository: codebase.repository.clone(),
                project: codebase.project.clone(),
                codebase: codebase.name.clone(),
            },
            revision: pinned.get(&name.value).cloned(),
        });
    }
    if !uses.is_empty() && uses.iter().all(|of| of.revision.is_some()) && section.has("pinned") {
        checker.warning(
            "all_pinned",
            section.value_span("pinned"),
            format!("{} builds the same revisions for ever", section.what),
            "leave one of its code bases free",
        );
    }
    uses
}

/// A table of code base to text.
fn table(
    checker: &mut Checker<'_>,
    section: &Section<'_>,
    key: &str,
    names: &[Text],
) -> BTreeMap<String, String> {
    let Some(value) = section.get(key) else {
        return BTreeMap::new();
    };
    let Some(table) = value.as_table() else {
        checker.wrong_table(key, value, "{ lib = \"stable\" }");
        return BTreeMap::new();
    };
    let mut out = BTreeMap::new();
    for entry in &table.entries {
        if !names.iter().any(|name| name.value == entry.name) {
            let name = Text {
                value: entry.name.clone(),
                span: entry.name_span,
            };
            checker.error(
                "unknown_codebase",
                name.span,
                format!(
                    "`{}` is not among the `codebases` of {}",
                    name.value, section.what
                ),
            );
            continue;
        }
        match entry.node.as_str() {
            Some(text) if !text.is_empty() => {
                out.insert(entry.name.clone(), text.to_owned());
            }
            _ => checker.wrong_type(key, &entry.node, "text in quotes"),
        }
    }
    out
}
