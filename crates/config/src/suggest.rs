//! "Did you mean": the known name that is most like an unknown one.

use crate::keys::OTHER_NAMES;

/// The candidate that `given` was probably meant to be.
pub(crate) fn similar<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let folded = fold(given);
    if let Some((_, name)) = OTHER_NAMES.iter().find(|(other, _)| *other == folded)
        && let Some(found) = candidates.iter().find(|candidate| *candidate == name)
    {
        return Some(found);
    }
    // One mistake in a short name, up to three in a long one.
    let allowed = 1 + folded.chars().count().min(40) / 5;
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&folded, &fold(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= allowed.min(3) && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// What to tell about an unknown name: the similar one, or all there are if they are few.
pub(crate) fn help<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    const SHOWN_MAX: usize = 12;
    let candidates: Vec<&str> = candidates.into_iter().collect();
    if let Some(name) = similar(given, candidates.iter().copied()) {
        return Some(did_you_mean(name));
    }
    match candidates.len() {
        0 => None,
        1..=SHOWN_MAX => Some(format!("known here: {}", list(&candidates))),
        _ => None,
    }
}

/// The help for somebody who probably meant `name`.
pub(crate) fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// Names as a person writes them: `` `a`, `b` and `c` ``.
pub(crate) fn list(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// Words as a choice: `"a", "b" or "c"`.
pub(crate) fn or(words: &[String]) -> String {
    match words.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

/// The spelling in which names are compared: `haltOnFailure`, `halt-on-failure` → `halt_on_failure`.
fn fold(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut lower_before = false;
    for c in name.chars() {
        if c.is_uppercase() && lower_before {
            out.push('_');
        }
        lower_before = c.is_lowercase() || c.is_ascii_digit();
        out.extend(match c {
            '-' | ' ' => vec!['_'],
            c => c.to_lowercase().collect(),
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_similar_name_is_found() {
        let known = [
            "halt_on_failure",
            "workers",
            "name",
            "env",
            "tree_stable",
            "label:linux",
        ];
        for (given, expected) in [
            ("haltOnFailure", Some("halt_on_failure")),
            ("halt-on-failure", Some("halt_on_failure")),
            ("worker", Some("workers")),
            ("wokrers", Some("workers")),
            ("nmae", Some("name")),
            ("treeStableTimer", Some("tree_stable")),
            ("label:linus", Some("label:linux")),
            ("completely different", None),
            ("x", None),
        ] {
            assert_eq!(similar(given, known), expected, "{given}");
        }
    }

    #[test]
    fn lists_read_as_sentences() {
        assert_eq!(list(&["a"]), "`a`");
        assert_eq!(list(&["a", "b", "c"]), "`a`, `b` and `c`");
    }
}
