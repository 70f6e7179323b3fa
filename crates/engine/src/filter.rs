//! Which changes a scheduler hears, and which of them matter.
//!
//! Globs: `*` and `?` stop at `/`, `**` does not, `[…]` and `{a,b}` are understood. A pattern that is not a valid glob
//! matches its own text.

use std::collections::BTreeMap;

use globset::{GlobBuilder, GlobMatcher};
use ironmaster_model::{ChangeFilter, Plan, SchedulerKind};

use crate::NewChange;

/// What a filter says about a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The scheduler does not hear of it.
    Ignored,
    /// It is built along with the next important one.
    Unimportant,
    /// It sets the scheduler off.
    Important,
}

/// A filter with its globs compiled.
#[derive(Clone, Debug)]
pub struct Filter {
    branches: Vec<Pattern>,
    repositories: Vec<String>,
    projects: Vec<String>,
    categories: Vec<String>,
    codebases: Vec<String>,
    files: Vec<Pattern>,
    unimportant_files: Vec<Pattern>,
    callback: bool,
}

/// A glob, or a text that is none.
#[derive(Clone, Debug)]
pub(crate) enum Pattern {
    Exact(String),
    Glob(Box<GlobMatcher>),
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Self {
        if !text.contains(['*', '?', '[', '{', '\\']) {
            return Pattern::Exact(text.to_owned());
        }
        GlobBuilder::new(text)
            .literal_separator(true)
            .build()
            .map_or_else(
                |_| Pattern::Exact(text.to_owned()),
                |glob| Pattern::Glob(Box::new(glob.compile_matcher())),
            )
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Pattern::Exact(exact) => exact == text,
            Pattern::Glob(glob) => glob.is_match(text),
        }
    }
}

impl Filter {
    /// Compiles a filter.
    pub fn new(filter: &ChangeFilter) -> Self {
        let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::new(text)).collect();
        Self {
            branches: patterns(&filter.branches),
            repositories: filter.repositories.clone(),
            projects: filter.projects.clone(),
            categories: filter.categories.clone(),
            codebases: filter.codebases.clone(),
            files: patterns(&filter.files),
            unimportant_files: patterns(&filter.unimportant_files),
            callback: filter.callback,
        }
    }

    /// Judges a change. A change without a branch or category passes only a filter that names none.
    pub fn judge(&self, change: &NewChange) -> Verdict {
        let exact = |allowed: &[String], value: Option<&str>| {
            allowed.is_empty() || value.is_some_and(|value| allowed.iter().any(|one| one == value))
        };
        let any = |patterns: &[Pattern], text: &str| patterns.iter().any(|pattern| pattern.matches(text));
        let branch_heard = self.branches.is_empty()
            || change
                .branch
                .as_deref()
                .is_some_and(|branch| any(&self.branches, branch));
        let heard = branch_heard
            && exact(&self.repositories, Some(&change.repository))
            && exact(&self.projects, Some(&change.project))
            && exact(&self.categories, change.category.as_deref())
            && exact(&self.codebases, Some(&change.codebase))
            && (self.files.is_empty() || change.files.iter().any(|file| any(&self.files, file)));
        if !heard {
            return Verdict::Ignored;
        }
        let unimportant = !self.unimportant_files.is_empty()
            && !change.files.is_empty()
            && change.files.iter().all(|file| any(&self.unimportant_files, file));
        if unimportant {
            Verdict::Unimportant
        } else {
            Verdict::Important
        }
    }
}

/// The filters of a plan by scheduler name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters(BTreeMap<String, Filter>);

impl Filters {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self(
            plan.schedulers
                .values()
                .filter_map(|scheduler| match &scheduler.kind {
                    SchedulerKind::SingleBranch { filter, .. } | SchedulerKind::AnyBranch { filter, .. } => {
                        Some((scheduler.name.clone(), Filter::new(filter)))
                    }
                    SchedulerKind::Dependent { .. }
                    | SchedulerKind::Periodic { .. }
                    | SchedulerKind::Triggerable { .. }
                    | SchedulerKind::Force(_) => None,
                })
                .collect(),
        )
    }

    pub(crate) fn judge(&self, scheduler: &str, change: &NewChange) -> Verdict {
        let Some(filter) = self.0.get(scheduler) else {
            return Verdict::Ignored;
        };
        if filter.callback && change.verdicts.get(scheduler) != Some(&true) {
            return Verdict::Ignored;
        }
        filter.judge(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(branch: Option<&str>, files: &[&str]) -> NewChange {
        NewChange {
            branch: branch.map(str::to_owned),
            files: files.iter().map(|file| (*file).to_owned()).collect(),
            repository: "r".into(),
            ..NewChange::default()
        }
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn branches_are_globs_and_empty_hears_all() {
        let filter = Filter::new(&ChangeFilter {
            branches: texts(&["main", "release/*"]),
            ..ChangeFilter::default()
        });
        for (branch, verdict) in [
            (Some("main"), Verdict::Important),
            (Some("release/1.0"), Verdict::Important),
            (Some("release/1.0/fix"), Verdict::Ignored),
            (Some("mainline"), Verdict::Ignored),
            (None, Verdict::Ignored),
        ] {
            assert_eq!(filter.judge(&change(branch, &[])), verdict, "{branch:?}");
        }
        let all = Filter::new(&ChangeFilter::default());
        assert_eq!(all.judge(&change(None, &[])), Verdict::Important);
    }

    #[test]
    fn files_select_and_unimportant_files_defer() {
        let filter = Filter::new(&ChangeFilter {
            files: texts(&["src/**", "docs/**"]),
            unimportant_files: texts(&["docs/**"]),
            ..ChangeFilter::default()
        });
        for (files, verdict) in [
            (&["src/a/b.rs"][..], Verdict::Important),
            (&["docs/x.md"], Verdict::Unimportant),
            (&["docs/x.md", "src/a.rs"], Verdict::Important),
            (&["README"], Verdict::Ignored),
            (&[], Verdict::Ignored),
        ] {
            assert_eq!(filter.judge(&change(None, files)), verdict, "{files:?}");
        }
    }

    #[test]
    fn a_function_must_have_agreed_beforehand() {
        let mut plan = Plan::default();
        for (name, callback, branch) in [
            ("asks", true, "main"),
            ("plain", false, "main"),
            ("other", true, "next"),
        ] {
            plan.schedulers.insert(
                name.into(),
                ironmaster_model::SchedulerDef {
                    name: name.into(),
                    builders: Vec::new(),
                    pipeline: None,
                    priority: 0,
                    properties: BTreeMap::new(),
                    kind: SchedulerKind::AnyBranch {
                        filter: ChangeFilter {
                            branches: texts(&[branch]),
                            callback,
                            ..ChangeFilter::default()
                        },
                        tree_stable: None,
                    },
                },
            );
        }
        let filters = Filters::new(&plan);
        for (verdict, heard) in [(Some(true), true), (Some(false), false), (None, false)] {
            let mut change = change(Some("main"), &[]);
            for name in ["asks", "plain", "other"] {
                change
                    .verdicts
                    .extend(verdict.map(|verdict| (name.to_owned(), verdict)));
            }
            assert_eq!(filters.judge("asks", &change) == Verdict::Important, heard);
            assert_eq!(filters.judge("plain", &change), Verdict::Important);
            assert_eq!(
                filters.judge("other", &change),
                Verdict::Ignored,
                "the branch does not fit"
            );
        }
    }

    #[test]
    fn a_broken_glob_matches_its_own_text() {
        let filter = Filter::new(&ChangeFilter {
            branches: texts(&["[x"]),
            ..ChangeFilter::default()
        });
        assert_eq!(filter.judge(&change(Some("[x"), &[])), Verdict::Important);
        assert_eq!(filter.judge(&change(Some("x"), &[])), Verdict::Ignored);
    }
}
