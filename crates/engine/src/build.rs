//! The build's own state machine: what a step's result does to the build, and what comes next.
//!
//! All of it is computed from the definition and the step records, so that it is the same after a restart.

use ironmaster_model::{BuilderDef, Results, StepDef, StepFlags, StepRecord};

/// How a build stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The overall result so far.
    pub results: Results,
    /// Whether only steps that always run are left.
    pub terminate: bool,
}

/// Name of a builder's directory on a worker: its `builddir` for the first slot, with `@2`, `@3` … appended for the others.
/// Two builds never share one.
pub fn workdir(builder: &BuilderDef, slot: u32) -> String {
    if slot == 0 {
        builder.builddir.clone()
    } else {
        format!("{}@{}", builder.builddir, slot + 1)
    }
}

/// What one step's result contributes to the overall result, and whether it ends the ordinary steps.
pub fn contribution(flags: StepFlags, results: Results) -> (Results, bool) {
    match results {
        Results::Failure => {
            let overall = if flags.flunk_on_failure {
                Results::Failure
            } else if flags.warn_on_failure {
                Results::Warnings
            } else {
                Results::Success
            };
            (overall, flags.halt_on_failure)
        }
        Results::Warnings => {
            let overall = if flags.flunk_on_warnings {
                Results::Failure
            } else if flags.warn_on_warnings {
                Results::Warnings
            } else {
                Results::Success
            };
            (overall, false)
        }
        Results::Exception | Results::Retry | Results::Cancelled => (results, true),
        Results::Success | Results::Skipped => (results, false),
    }
}

/// How a build stands after the steps that are over.
pub fn progress(builder: &BuilderDef, steps: &[StepRecord]) -> Progress {
    let mut progress = Progress {
        results: Results::Success,
        terminate: false,
    };
    for step in steps {
        let Some(results) = step.results else { continue };
        let flags = builder
            .steps
            .get(step.definition as usize)
            .map_or_else(StepFlags::default, |definition| definition.flags);
        let (overall, terminate) = contribution(flags, results);
        progress.results = progress.results.worst(overall);
        progress.terminate |= terminate;
    }
    progress
}

/// The next step to run from index `from` on.
pub fn next_step(builder: &BuilderDef, from: usize, only_always_run: bool) -> Option<(u32, &StepDef)> {
    builder
        .steps
        .iter()
        .enumerate()
        .skip(from)
        .find(|(_, step)| !only_always_run || step.flags.always_run)
        .map(|(index, step)| (index as u32, step))
}

/// An identifier for a log made from its name, of at most 50 characters, unlike those that are `taken`.
pub fn slug(name: &str, taken: impl Fn(&str) -> bool) -> String {
    const MAX: usize = 50;
    let mut base: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' || c == '-' {
                c
            } else {
                '_'
            }
        })
        .take(MAX)
        .collect();
    if !base.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        base.insert(0, '_');
        base.truncate(MAX);
    }
    if !taken(&base) {
        return base;
    }
    let mut n = 0_u64;
    loop {
        n += 1;
        let suffix = format!("_{n}");
        let keep = base.len().min(MAX - suffix.len());
        let slug = format!("{}{suffix}", &base[..keep]);
        if !taken(&slug) {
            return slug;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Results::{Cancelled, Exception, Failure, Retry, Skipped, Success, Warnings};

    fn flags(set: &[&str]) -> StepFlags {
        StepFlags {
            halt_on_failure: set.contains(&"halt"),
            flunk_on_failure: set.contains(&"flunk"),
            flunk_on_warnings: set.contains(&"flunk_warnings"),
            warn_on_failure: set.contains(&"warn"),
            warn_on_warnings: set.contains(&"warn_warnings"),
            always_run: false,
        }
    }

    #[test]
    fn contributions_are_buildbots() {
        for (set, results, overall, terminate) in [
            (&[][..], Failure, Success, false),
            (&["warn"], Failure, Warnings, false),
            (&["flunk"], Failure, Failure, false),
            (&["flunk", "warn"], Failure, Failure, false),
            (&["halt"], Failure, Success, true),
            (&[], Warnings, Success, false),
            (&["warn_warnings"], Warnings, Warnings, false),
            (&["flunk_warnings"], Warnings, Failure, false),
            (&["halt"], Warnings, Success, false),
            (&[], Exception, Exception, true),
            (&[], Retry, Retry, true),
            (&[], Cancelled, Cancelled, true),
            (&["halt", "flunk"], Skipped, Skipped, false),
            (&["halt", "flunk"], Success, Success, false),
        ] {
            assert_eq!(
                contribution(flags(set), results),
                (overall, terminate),
                "{set:?} {results}"
            );
        }
    }

    #[test]
    fn slugs_are_identifiers_and_unique() {
        let none = |_: &str| false;
        assert_eq!(slug("stdio", none), "stdio");
        assert_eq!(slug("property changes", none), "property_changes");
        assert_eq!(slug("1st.log", none), "_1st_log");
        assert_eq!(slug("", none), "_");
        assert_eq!(slug(&"ä".repeat(80), none).len(), 50);
        assert_eq!(slug("a", |slug| ["a", "a_1"].contains(&slug)), "a_2");
        let long = "x".repeat(60);
        assert_eq!(
            slug(&long, |slug| slug.len() == 50 && !slug.contains('_')).len(),
            50
        );
    }
}
