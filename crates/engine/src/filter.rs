//! Which changes a scheduler hears, and which of them matter.
//!
//! Globs: `*` and `?` stop at `/`, `**` does not, `[…]` and `{a,b}` are understood. A pattern that is not a valid glob
//! matches its own text. Regular expressions are tried at the beginning of the text, as Buildbot does.

use std::collections::BTreeMap;

use globset::{GlobBuilder, GlobMatcher};
use ironmaster_model::{ChangeAttribute, ChangeFilter, ChangeTest, Matching, Plan, SchedulerKind};
use regex::Regex;
use serde_json::Value;

use crate::{NewChange, timed};

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
    important_files: Vec<Pattern>,
    only_important: bool,
    tests: Vec<Test>,
    callback: bool,
}

/// A compiled [`ChangeTest`].
#[derive(Clone, Debug)]
struct Test {
    attribute: ChangeAttribute,
    negated: bool,
    patterns: Vec<Pattern>,
}

/// A glob, or a text that is none.
#[derive(Clone, Debug)]
pub(crate) enum Pattern {
    Exact(String),
    Glob(Box<GlobMatcher>),
    Regex(Box<Regex>),
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

    /// A regular expression that is broken, which the configuration does not let through, matches nothing.
    fn regex(text: &str) -> Option<Self> {
        let regex = Regex::new(&format!("^(?:{text})")).ok()?;
        Some(Pattern::Regex(Box::new(regex)))
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Pattern::Exact(exact) => exact == text,
            Pattern::Glob(glob) => glob.is_match(text),
            Pattern::Regex(regex) => regex.is_match(text),
        }
    }
}

impl Test {
    fn new(test: &ChangeTest) -> Self {
        let values = test.values.iter();
        Self {
            attribute: test.attribute.clone(),
            negated: test.negated,
            patterns: match test.matching {
                Matching::Exact => values.cloned().map(Pattern::Exact).collect(),
                Matching::Glob => values.map(|text| Pattern::new(text)).collect(),
                Matching::Regex => values.filter_map(|text| Pattern::regex(text)).collect(),
            },
        }
    }

    /// A change that has no such attribute passes only where nothing may match.
    fn passes(&self, change: &NewChange) -> bool {
        let property;
        let value = match &self.attribute {
            ChangeAttribute::Author => Some(change.author.as_str()),
            ChangeAttribute::Committer => change.committer.as_deref(),
            ChangeAttribute::Branch => change.branch.as_deref(),
            ChangeAttribute::Repository => Some(change.repository.as_str()),
            ChangeAttribute::Project => Some(change.project.as_str()),
            ChangeAttribute::Category => change.category.as_deref(),
            ChangeAttribute::Codebase => Some(change.codebase.as_str()),
            ChangeAttribute::Property(name) => {
                property = change.properties.get(name).and_then(text_of);
                property.as_deref()
            }
        };
        let matches = value.is_some_and(|value| self.patterns.iter().any(|pattern| pattern.matches(value)));
        matches != self.negated
    }
}

/// A property's value as text: that of a list or an object is its JSON.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
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
            important_files: patterns(&filter.important_files),
            only_important: filter.only_important,
            tests: filter.tests.iter().map(Test::new).collect(),
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
            && (self.files.is_empty() || change.files.iter().any(|file| any(&self.files, file)))
            && self.tests.iter().all(|test| test.passes(change));
        if !heard {
            return Verdict::Ignored;
        }
        let unimportant = !self.unimportant_files.is_empty()
            && !change.files.is_empty()
            && change.files.iter().all(|file| any(&self.unimportant_files, file));
        let important = self.important_files.is_empty()
            || change.files.is_empty()
            || change.files.iter().any(|file| any(&self.important_files, file));
        if unimportant || !important {
            if self.only_important {
                Verdict::Ignored
            } else {
                Verdict::Unimportant
            }
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
                .filter_map(|scheduler| {
                    let filter = match &scheduler.kind {
                        SchedulerKind::SingleBranch { filter, .. }
                        | SchedulerKind::AnyBranch { filter, .. } => Some(filter),
                        kind => timed::wanted_changes(kind),
                    };
                    Some((scheduler.name.clone(), Filter::new(filter?)))
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
                    asks_priority: false,
                    codebases: Vec::new(),
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

    fn test(attribute: ChangeAttribute, matching: Matching, negated: bool, values: &[&str]) -> ChangeFilter {
        ChangeFilter {
            tests: vec![ChangeTest {
                attribute,
                matching,
                negated,
                values: texts(values),
            }],
            ..ChangeFilter::default()
        }
    }

    #[test]
    fn every_attribute_can_be_tested_in_every_form() {
        use ChangeAttribute::{Author, Branch, Category, Codebase, Committer, Project, Property, Repository};
        use Matching::{Exact, Glob, Regex};
        let mut full = NewChange {
            author: "Ann <ann@example.org>".into(),
            committer: Some("bot".into()),
            branch: Some("release/1.0".into()),
            repository: "https://example.org/zlib.git".into(),
            project: "zlib".into(),
            category: Some("push".into()),
            codebase: "lib".into(),
            ..NewChange::default()
        };
        full.properties.set("event", "push", "Change");
        full.properties.set("number", 7, "Change");
        let bare = NewChange::default();
        let property = |name: &str| Property(name.into());
        // What the full one, and the one without anything, say to the plain form; the negated form says the opposite.
        for (attribute, matching, values, passes_full, passes_bare) in [
            (Author, Exact, &["Ann <ann@example.org>"][..], true, false),
            (Author, Exact, &["Ann"], false, false),
            (Author, Regex, &["Ann"], true, false),
            (Author, Regex, &["ann@"], false, false),
            (Author, Regex, &[".*@example\\.org>$"], true, false),
            (Committer, Exact, &["bot", "other"], true, false),
            (Committer, Regex, &[""], true, false),
            (Branch, Glob, &["release/*"], true, false),
            (Branch, Glob, &["main", "topic/**"], false, false),
            (Branch, Regex, &["release/\\d+"], true, false),
            (Branch, Regex, &["main|release"], true, false),
            (Branch, Regex, &["elease"], false, false),
            (Repository, Exact, &["https://example.org/zlib.git"], true, false),
            (Repository, Regex, &["https://example\\.org/"], true, false),
            // Empty is a value where there is always one.
            (Repository, Exact, &[""], false, true),
            (Project, Exact, &["zlib"], true, false),
            (Project, Regex, &["(?i)Z"], true, false),
            (Category, Exact, &["push"], true, false),
            (Category, Exact, &["pull"], false, false),
            (Codebase, Exact, &["lib"], true, false),
            (Codebase, Regex, &["$"], false, true),
            (property("event"), Exact, &["push"], true, false),
            (property("event"), Regex, &["pu"], true, false),
            (property("number"), Exact, &["7"], true, false),
            (property("missing"), Regex, &[""], false, false),
            // What is broken matches nothing.
            (Author, Regex, &["("], false, false),
        ] {
            for (change, passes) in [(&full, passes_full), (&bare, passes_bare)] {
                for negated in [false, true] {
                    let filter = Filter::new(&test(attribute.clone(), matching, negated, values));
                    let expected = if passes == negated {
                        Verdict::Ignored
                    } else {
                        Verdict::Important
                    };
                    assert_eq!(
                        filter.judge(change),
                        expected,
                        "{attribute:?} {matching:?} {values:?} {negated}"
                    );
                }
            }
        }
    }

    #[test]
    fn important_files_are_the_other_way_round() {
        let mut filter = ChangeFilter {
            important_files: texts(&["src/**", "Makefile"]),
            ..ChangeFilter::default()
        };
        for (files, verdict, only_important) in [
            (&["src/a.c"][..], Verdict::Important, Verdict::Important),
            (&["docs/a.md"], Verdict::Unimportant, Verdict::Ignored),
            (&["docs/a.md", "Makefile"], Verdict::Important, Verdict::Important),
            // Nobody knows what it touches.
            (&[], Verdict::Important, Verdict::Important),
        ] {
            filter.only_important = false;
            assert_eq!(
                Filter::new(&filter).judge(&change(None, files)),
                verdict,
                "{files:?}"
            );
            filter.only_important = true;
            assert_eq!(
                Filter::new(&filter).judge(&change(None, files)),
                only_important,
                "{files:?}"
            );
        }
    }
}
