//! The file of a repository in which the jobs of a pipeline stand: the same keys, spellings and findings as in the
//! configuration, and nothing else of it. What the file says can come from anybody, so it loads no other files, is small, and
//! is evaluated under tighter limits; findings name what is granted, and nothing else that there is.

use std::{collections::BTreeSet, path::Path};

use ironmaster_model::{Catalogue, JobDef, PipelineDef, Plan, pipeline::in_repository};

use crate::{
    Report,
    checker::{Checker, Section},
    keys,
    pipeline::{self, Granted, May},
    plan,
    sources::Span,
};

/// The largest such file, in bytes.
pub const REPOSITORY_FILE_BYTES_MAX: usize = 256 << 10;

/// Reads the jobs of a pipeline as they stand in a file of its repository. `name` is the file's name in findings; one that
/// ends in `.star` is Starlark, any other TOML. The pipeline must be one whose jobs stand in a repository. There are jobs if and
/// only if the report has no errors.
pub fn repository_jobs(
    name: &str,
    text: &str,
    plan: &Plan,
    pipeline: &PipelineDef,
    trusted: bool,
) -> (Option<Vec<JobDef>>, Report) {
    // No kinds of steps: a job names a builder.
    let catalogue = Catalogue::default();
    let mut checker = Checker::new(plan::spelling(name), Path::new(""), &catalogue);
    checker.of_repository = true;
    let Some(granted) = &pipeline.in_repository else {
        checker.error(
            "not_granted",
            Span::default(),
            format!(
                "the jobs of pipeline `{}` do not stand in a repository",
                pipeline.name
            ),
        );
        return (None, checker.into_report().0);
    };
    if text.len() > REPOSITORY_FILE_BYTES_MAX {
        checker.error(
            "too_large",
            Span::default(),
            format!("`{name}` is larger than {} KiB", REPOSITORY_FILE_BYTES_MAX >> 10),
        );
        return (None, checker.into_report().0);
    }
    let (table, _) = plan::tree(&mut checker, name, text);
    let top = Section {
        what: format!("`{name}`"),
        ..plan::top(&table)
    };
    plan::mask_unknown(&mut checker, &table);
    checker.unknown_keys(&top, &["job"]);
    let may = May::Granted(Granted {
        grants: granted,
        trusted,
    });
    let help = checker.spelling.pick(
        "add `[[job]]` with `name = \"test\"` and `builder = \"NAME\"`",
        "write `job(\"test\", builder = \"NAME\")`",
    );
    let (jobs, places) = pipeline::jobs(&mut checker, &top, &keys::REPOSITORY_JOB, help, &may);
    let taken = in_repository::taken(plan, pipeline);
    for (job, section) in jobs.iter().zip(&places) {
        names(&mut checker, job, section, &taken);
    }
    // Else it may be too much to be planned.
    if !checker.has_errors() {
        // The word of those who decide, for whatever was not found above.
        for wrong in granted.refuse(&jobs, 0, trusted, &taken) {
            checker.error("not_granted", Span::default(), wrong);
        }
    }
    let failed = checker.has_errors();
    let report = checker.into_report().0;
    ((!failed).then_some(jobs), report)
}

/// Reports properties that are not for a file to set.
fn names(checker: &mut Checker<'_>, job: &JobDef, section: &Section<'_>, taken: &BTreeSet<&str>) {
    let told: BTreeSet<&str> = in_repository::property_names(job)
        .filter(|name| taken.contains(name))
        .collect();
    for name in told {
        let key = if job.properties.contains_key(name) {
            "properties"
        } else if job.outputs.iter().any(|output| output == name) {
            "outputs"
        } else {
            "matrix"
        };
        checker.error_help(
            "not_granted",
            section.value_span(key),
            in_repository::taken_name(name),
            Some("call it something else".to_owned()),
        );
    }
}
