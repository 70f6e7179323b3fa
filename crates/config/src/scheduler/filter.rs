//! Which changes a scheduler hears.

use ironmaster_model::{ChangeAttribute, ChangeFilter, ChangeTest, Duration, Matching};

use crate::{
    checker::{Checker, Section, Text},
    tree::{Data, Node},
};

/// Attributes that have a key for what they are not, and keys for regular expressions.
const ATTRIBUTES: &[(&str, ChangeAttribute)] = &[
    ("author", ChangeAttribute::Author),
    ("committer", ChangeAttribute::Committer),
    ("branch", ChangeAttribute::Branch),
    ("repository", ChangeAttribute::Repository),
    ("project", ChangeAttribute::Project),
    ("category", ChangeAttribute::Category),
    ("codebase", ChangeAttribute::Codebase),
];

/// Those that every filter has, also that of a scheduler whose source says the rest.
const COMMON: &[&str] = &["author", "committer", "category"];

/// Whether the section has any key of a filter, for those that have one only sometimes.
pub(super) fn first_key<'k>(section: &Section<'_>) -> Option<&'k str> {
    crate::keys::FILTER
        .keys
        .iter()
        .map(|key| key.name)
        .find(|name| section.has(name))
}

/// The filter and the timer of a scheduler that changes set off.
pub(super) fn changes(checker: &mut Checker<'_>, section: &Section<'_>) -> (ChangeFilter, Option<Duration>) {
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
    for glob in &branches {
        checker.glob(glob);
    }
    let mut filter = common(checker, section);
    filter.branches = values(branches);
    filter.repositories = values(checker.text_or_texts(section, "repository"));
    filter.projects = values(checker.text_or_texts(section, "project"));
    filter.codebases = values(checker.text_or_texts(section, "codebase"));
    for (name, attribute) in ATTRIBUTES {
        if !COMMON.contains(name) {
            tests(checker, section, name, attribute, &mut filter.tests);
        }
    }
    let tree_stable = checker
        .duration(section, "tree_stable")
        .filter(|duration| *duration > Duration::ZERO);
    (filter, tree_stable)
}

/// What every filter has.
pub(super) fn common(checker: &mut Checker<'_>, section: &Section<'_>) -> ChangeFilter {
    let files = checker.text_or_texts(section, "files");
    let unimportant_files = checker.text_or_texts(section, "unimportant_files");
    let important_files = checker.text_or_texts(section, "important_files");
    for glob in files.iter().chain(&unimportant_files).chain(&important_files) {
        checker.glob(glob);
    }
    if let (Some(one), Some(other)) = (
        section.key_span("unimportant_files"),
        section.key_span("important_files"),
    ) {
        checker.error_related(
            "conflict",
            other,
            format!(
                "{} has both `important_files` and `unimportant_files`",
                section.what
            ),
            (one, "first given here"),
            Some("keep one of them: what it does not name is the other".to_owned()),
        );
    }
    let mut filter = ChangeFilter {
        categories: values(checker.text_or_texts(section, "category")),
        files: values(files),
        unimportant_files: values(unimportant_files),
        important_files: values(important_files),
        only_important: checker.boolean(section, "only_important").unwrap_or(false),
        callback: section.has("change_filter"),
        ..ChangeFilter::default()
    };
    for (name, attribute) in ATTRIBUTES {
        if COMMON.contains(name) {
            tests(checker, section, name, attribute, &mut filter.tests);
        }
    }
    // Of these there is no older form.
    for (name, attribute) in &ATTRIBUTES[..2] {
        test(
            checker,
            section,
            name,
            attribute,
            Matching::Exact,
            false,
            &mut filter.tests,
        );
    }
    for (key, matching, negated) in [
        ("property", Matching::Exact, false),
        ("property_not", Matching::Exact, true),
        ("property_re", Matching::Regex, false),
        ("property_not_re", Matching::Regex, true),
    ] {
        properties(checker, section, key, matching, negated, &mut filter.tests);
    }
    filter
}

/// The forms of an attribute beside the plain one.
fn tests(
    checker: &mut Checker<'_>,
    section: &Section<'_>,
    name: &str,
    attribute: &ChangeAttribute,
    out: &mut Vec<ChangeTest>,
) {
    let plain = if *attribute == ChangeAttribute::Branch {
        Matching::Glob
    } else {
        Matching::Exact
    };
    for (ending, matching, negated) in [
        ("_not", plain, true),
        ("_re", Matching::Regex, false),
        ("_not_re", Matching::Regex, true),
    ] {
        test(
            checker,
            section,
            &format!("{name}{ending}"),
            attribute,
            matching,
            negated,
            out,
        );
    }
}

fn test(
    checker: &mut Checker<'_>,
    section: &Section<'_>,
    key: &str,
    attribute: &ChangeAttribute,
    matching: Matching,
    negated: bool,
    out: &mut Vec<ChangeTest>,
) {
    let texts = checker.text_or_texts(section, key);
    add(checker, texts, attribute.clone(), matching, negated, out);
}

fn add(
    checker: &mut Checker<'_>,
    texts: Vec<Text>,
    attribute: ChangeAttribute,
    matching: Matching,
    negated: bool,
    out: &mut Vec<ChangeTest>,
) {
    for text in &texts {
        match matching {
            Matching::Exact => {}
            Matching::Glob => checker.glob(text),
            Matching::Regex => checker.regex(text),
        }
    }
    if !texts.is_empty() {
        out.push(ChangeTest {
            attribute,
            matching,
            negated,
            values: values(texts),
        });
    }
}

/// A table of property to text or texts.
fn properties(
    checker: &mut Checker<'_>,
    section: &Section<'_>,
    key: &str,
    matching: Matching,
    negated: bool,
    out: &mut Vec<ChangeTest>,
) {
    let Some(value) = section.get(key) else { return };
    let Some(table) = value.as_table() else {
        checker.wrong_table(key, value, "{ event = \"push\" }");
        return;
    };
    for entry in &table.entries {
        let texts = match &entry.node.data {
            Data::List(items) => items.iter().filter_map(|item| one(checker, key, item)).collect(),
            _ => one(checker, key, &entry.node).into_iter().collect(),
        };
        let attribute = ChangeAttribute::Property(entry.name.clone());
        add(checker, texts, attribute, matching, negated, out);
    }
}

/// Properties may be numbers and booleans; they are compared as text.
fn one(checker: &mut Checker<'_>, key: &str, node: &Node) -> Option<Text> {
    let value = match &node.data {
        Data::Text(text) => text.clone(),
        Data::Bool(bool) => bool.to_string(),
        Data::Integer(Some(number), _) => number.to_string(),
        _ => {
            checker.wrong_type(key, node, "text, a whole number, or a list of them");
            return None;
        }
    };
    Some(Text {
        value,
        span: node.span,
    })
}

fn values(texts: Vec<Text>) -> Vec<String> {
    texts.into_iter().map(|text| text.value).collect()
}

/// Warns when changes of several branches would be collected into one build.
pub(super) fn one_branch(checker: &mut Checker<'_>, section: &Section<'_>, filter: &ChangeFilter) {
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
